package integration

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgproxy"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

var repairBase = []string{
	"0001_t.sql", "create table t (id int primary key, a text, b int default 3);\ninsert into t select g, 'x' || g from generate_series(1, 50) g;\n" +
		"create index t_a on t (a);\n" +
		"create table p (id int, at date) partition by range (at);\ncreate table p_25 partition of p for values from ('2025-01-01') to ('2026-01-01');",
}

// killedAt has the backend of a run killed while its second file waits for somebody's transaction.
func killedAt(t *testing.T, db *pgtest.DB, files fstest.MapFS, remains string) {
	t.Helper()
	old, err := db.Conn(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = old.Exec(t.Context(), "update t set a = a where id = 1; insert into p values (1, '2025-02-02')")
	require.NoError(t, err)
	done := make(chan error, 1)
	victim := migrator(t, db.URL, files, migrate.Options{Application: "victim"})
	go func() {
		_, err := victim.Migrate(context.Background())
		done <- err
	}()
	const waits = `select exists (select from pg_locks l join pg_stat_activity a using (pid) where a.datname = current_database() and a.application_name = 'victim' and not l.granted)`
	require.Eventually(t, func() bool { return pgtest.Value[bool](t, db, waits) }, 20*time.Second, 20*time.Millisecond)
	require.True(t, pgtest.Value[bool](t, db, remains), "something is left half-done")
	db.Exec(t, `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'victim'`)
	require.Error(t, <-done)
	require.NoError(t, old.Rollback(t.Context()))
}

func repair(t *testing.T, db *pgtest.DB, files fstest.MapFS, o migrate.RepairOptions) []migrate.Repair {
	t.Helper()
	list, err := migrator(t, db.URL, files, migrate.Options{Person: "ann", LockDeadline: 20 * time.Second}).Repair(t.Context(), o)
	require.NoError(t, err)
	for _, f := range list {
		t.Logf("%s: %s | %s | %s | %v", f.State, f.What, f.Proof, f.Do, f.Err)
	}
	return list
}

func repairStates(list []migrate.Repair) []string {
	states := []string{}
	for _, f := range list {
		states = append(states, f.Kind+" "+string(f.State))
	}
	return states
}

// What a killed backend leaves of a statement outside of a transaction is proved to be done or not done, tidied up and recorded; the
// file of what is not done may then be another one.
func TestRepairAfterAKill(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		statement, remains string
		states             []string
		// applied is true where the ledger has the migration as applied after the repair, check what holds then.
		applied bool
		check   string
	}{
		{"create index concurrently t_b on t (b)", `select not indisvalid from pg_index where indexrelid = to_regclass('t_b')`, []string{"step"}, false, `select to_regclass('t_b') is null`},
		{"create unique index concurrently if not exists t_b on t (b, id)", `select not indisvalid from pg_index where indexrelid = to_regclass('t_b')`, []string{"step"}, false, `select to_regclass('t_b') is null`},
		{"reindex index concurrently t_a", `select not indisvalid from pg_index where indexrelid = to_regclass('t_a_ccnew')`, []string{"step", "index"}, false, `select count(*) = 1 from pg_class where relname ~ '^t_a'`},
		{"reindex table concurrently t", `select count(*) >= 3 from pg_index where not indisvalid`, []string{"step", "index", "index", "index"}, false, `select count(*) = 2 from pg_class where relname ~ '^t_(a|pkey)'`},
		{"drop index concurrently t_a", `select not indisvalid from pg_index where indexrelid = to_regclass('t_a')`, []string{"step"}, true, `select to_regclass('t_a') is null`},
		{"alter table p detach partition p_25 concurrently", `select inhdetachpending from pg_inherits`, []string{"step"}, true, `select to_regclass('p_25') is not null and not exists (select from pg_inherits)`},
	} {
		t.Run(c.statement, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Database(t)
			up(t, db.URL, history(repairBase...), migrate.Options{Environment: migrate.Dev})
			files := history(append(slices.Clone(repairBase), "0002_it.sql", c.statement+";")...)
			killedAt(t, db, files, c.remains)

			const events = `select count(*) from pawl.event`
			before, had := pgtest.Dump(t, db), pgtest.Value[int64](t, db, events)
			var would, did []string
			for _, kind := range c.states {
				would, did = append(would, kind+" repairable"), append(did, kind+" repaired")
			}
			require.Equal(t, would, repairStates(repair(t, db, files, migrate.RepairOptions{DryRun: true})))
			require.Equal(t, before, pgtest.Dump(t, db), "a dry run changes nothing")
			require.Equal(t, had, pgtest.Value[int64](t, db, events), "a dry run records nothing")

			require.Equal(t, did, repairStates(repair(t, db, files, migrate.RepairOptions{Reason: "the node was lost"})))
			require.True(t, pgtest.Value[bool](t, db, c.check))
			require.Zero(t, pgtest.Value[int64](t, db, `select count(*) from pg_index where not indisvalid`))
			rows := `select count(*) from pawl.migration where version = '2'`
			if c.applied {
				rows += ` and state = 'applied'`
			}
			require.Equal(t, c.applied, pgtest.Value[int64](t, db, rows) == 1)
			require.Equal(t, int64(len(c.states)), pgtest.Value[int64](t, db, `select count(*) from pawl.event where kind = 'repaired'
				and person = 'ann' and detail ->> 'reason' = 'the node was lost' and detail ->> 'proof' <> '' and detail ->> 'did' <> ''`))
			require.Empty(t, repair(t, db, files, migrate.RepairOptions{}), "nothing is left")

			if !c.applied {
				files["0002_it.sql"] = &fstest.MapFile{Data: []byte("create index concurrently t_other on t (id, a);")}
			}
			require.Len(t, up(t, db.URL, files, migrate.Options{}).Applied, map[bool]int{true: 0, false: 1}[c.applied])
		})
	}
}

// A file that was changed after it was begun is looked up by the text that was begun, where that is known; otherwise a person has to say.
func TestRepairByTheTextThatWasBegun(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	up(t, db.URL, history(repairBase...), migrate.Options{Environment: migrate.Dev})
	begun := "create index concurrently t_b on t (b);"
	killedAt(t, db, history(append(slices.Clone(repairBase), "0002_it.sql", begun)...), `select not indisvalid from pg_index where indexrelid = to_regclass('t_b')`)
	files := history(append(slices.Clone(repairBase), "0002_it.sql", "create index concurrently t_b on t (b, a);")...)
	_, err := migrator(t, db.URL, files, migrate.Options{}).Migrate(t.Context())
	var integrity *migrate.IntegrityError
	require.ErrorAs(t, err, &integrity)

	list := repair(t, db, files, migrate.RepairOptions{})
	require.Equal(t, []string{"step needs a person", "index needs a person"}, repairStates(list))
	require.Contains(t, list[0].Do, "pawl resolve 2")
	require.Equal(t, int64(2), pgtest.Value[int64](t, db, `select count(*) from pawl.event where kind = 'refused' and detail ->> 'command' = 'repair'`))

	texts := func(context.Context, *migrate.Migration) ([][]byte, error) {
		return [][]byte{[]byte("create index concurrently t_b on t (a);"), []byte(begun)}, nil
	}
	require.Equal(t, []string{"step repaired"}, repairStates(repair(t, db, files, migrate.RepairOptions{Texts: texts})))
	up(t, db.URL, files, migrate.Options{})
	require.Contains(t, pgtest.Value[string](t, db, `select pg_get_indexdef('t_b'::regclass)`), "(b, a)")
}

// An INVALID index that another tool left and that an applied file makes is built anew, where the rows let it; what no file knows
// is left to a person, what a pending one makes to the next run, and what somebody is at to whoever that is.
func TestRepairOfInvalidIndexes(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	db.Exec(t, "create table u (id int, email text); insert into u select g, 'u' || g % 9 from generate_series(1, 10) g")
	conn := db.Conn(t)
	for _, build := range []string{"u_email", "u_stranger", "u_pending"} {
		_, err := conn.Exec(t.Context(), "create unique index concurrently "+build+" on u (lower(email))")
		require.ErrorContains(t, err, "23505")
	}
	files := history("0001_u.sql", "create table u (id int, email text);", "0002_email.sql", "create unique index concurrently u_email on public.u (Lower(email));",
		"0003_next.sql", "create unique index concurrently u_pending on u (lower(email));")
	_, err := migrator(t, db.URL, files, migrate.Options{}).Baseline(t.Context(), "2")
	require.NoError(t, err)

	list := repair(t, db, files, migrate.RepairOptions{})
	require.Equal(t, []string{"index failed", "index left to the next run", "index needs a person"}, repairStates(list))
	require.ErrorContains(t, list[0].Err, "rows contradict it")
	require.Equal(t, int64(3), pgtest.Value[int64](t, db, `select count(*) from pg_index where not indisvalid`), "the attempt left nothing of its own")

	db.Exec(t, "delete from u where id = 10")
	holder, err := db.Conn(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), "lock table u in share update exclusive mode")
	require.NoError(t, err)
	require.Equal(t, []string{"index left to the next run", "index left to the next run", "index left to the next run"}, repairStates(repair(t, db, files, migrate.RepairOptions{})))
	require.NoError(t, holder.Rollback(t.Context()))

	require.Equal(t, []string{"index repaired", "index left to the next run", "index needs a person"}, repairStates(repair(t, db, files, migrate.RepairOptions{})))
	require.Equal(t, []string{"u_pending", "u_stranger"}, pgtest.Column[string](t, db, `select indexrelid::regclass::text from pg_index where not indisvalid order by 1`))
	require.Equal(t, int64(1), pgtest.Value[int64](t, db, `select count(*) from pawl.event where kind = 'repair failed' and detail ->> 'error' like '%23505%'`))
	up(t, db.URL, files, migrate.Options{Environment: migrate.Production, OutOfOrder: migrate.Independent})
}

// An applied file that differs in blanks and comments counts as the same text from then on, beside the one that was applied; one that
// differs in anything that PostgreSQL or the runner reads does not.
func TestRepairOfTexts(t *testing.T) {
	t.Parallel()
	old := "-- what it is for\ncreate table t (id int primary key, name text default 'x');\n" +
		"create function f() returns int language sql as $$ select 1 /* one */ $$;\ncopy t from stdin;\n1\ta\n\\.\n"
	for what, c := range map[string]struct {
		text string
		same bool
	}{
		"comments, blanks and letters' case": {"-- why it is\nCREATE TABLE t (\n  id int PRIMARY KEY, -- the key\n  name text default 'x'\n);\r\n" +
			"create function f() returns int language sql as $$ select 1 /* one */ $$;\ncopy t from stdin;\n1\ta\n\\.\n", true},
		"a constant":               {strings.Replace(old, "'x'", "'y'", 1), false},
		"a comment in a body":      {strings.Replace(old, "/* one */", "/* 1 */", 1), false},
		"a row":                    {strings.Replace(old, "1\ta", "1\tb", 1), false},
		"a directive":              {"-- pawl:timeout statement=5s\n" + old, false},
		"a statement more":         {old + "create table more ();", false},
		"a text that is no SQL":    {old + "create tabel more ();", false},
		"a column in another case": {strings.Replace(old, "name text", `"Name" text`, 1), false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Database(t)
			before := history("0001_t.sql", old)
			up(t, db.URL, before, migrate.Options{})
			after := history("0001_t.sql", c.text)
			_, err := migrator(t, db.URL, after, migrate.Options{}).Migrate(t.Context())
			var integrity *migrate.IntegrityError
			require.ErrorAs(t, err, &integrity)
			require.Equal(t, []string{"text needs a person"}, repairStates(repair(t, db, after, migrate.RepairOptions{})), "the old text is not known")

			o := migrate.RepairOptions{Texts: func(context.Context, *migrate.Migration) ([][]byte, error) {
				return [][]byte{[]byte("select 1"), []byte(old)}, nil
			}}
			if !c.same {
				require.Equal(t, []string{"text needs a person"}, repairStates(repair(t, db, after, o)))
				_, err := migrator(t, db.URL, after, migrate.Options{}).Migrate(t.Context())
				require.ErrorAs(t, err, &integrity)
				return
			}
			sum := pgtest.Value[string](t, db, `select checksum from pawl.migration`)
			require.Equal(t, []string{"text repaired"}, repairStates(repair(t, db, after, o)))
			for _, files := range []fstest.MapFS{before, after} {
				require.Empty(t, up(t, db.URL, files, migrate.Options{}).Applied)
				require.Empty(t, repair(t, db, files, migrate.RepairOptions{}))
			}
			require.Equal(t, sum, pgtest.Value[string](t, db, `select checksum from pawl.migration`), "what was applied stays on record")
			_, err = migrator(t, db.URL, history("0001_t.sql", old+"select 1;"), migrate.Options{}).Migrate(t.Context())
			require.ErrorAs(t, err, &integrity)
		})
	}
}

// A repair whose connection is lost around any of its messages is ended by the next one.
func TestRepairIsCut(t *testing.T) {
	t.Parallel()
	statement := "reindex index concurrently t_a;\ncreate index concurrently t_b on t (b);"
	files := history(append(slices.Clone(repairBase), "0002_it.sql", statement)...)
	cuts := 0
	for n := int64(1); ; n++ {
		db := pgtest.Database(t)
		up(t, db.URL, history(repairBase...), migrate.Options{Environment: migrate.Dev})
		killedAt(t, db, files, `select not indisvalid from pg_index where indexrelid = to_regclass('t_a_ccnew')`)
		proxy, err := pgproxy.Start(db.URL)
		require.NoError(t, err)
		proxy.CutAt(&pgproxy.Cut{Lost: pgproxy.Reply, At: func(at int64, _ []byte) bool { return at >= n }})
		_, err = migrator(t, proxy.URL(), files, migrate.Options{}).Repair(t.Context(), migrate.RepairOptions{})
		cut := proxy.Cuts() > 0
		proxy.Close()
		if !cut {
			require.NoError(t, err)
			break
		}
		cuts++
		repair(t, db, files, migrate.RepairOptions{})
		require.Zero(t, pgtest.Value[int64](t, db, `select count(*) from pg_index where not indisvalid`), "cut at message %d", n)
		up(t, db.URL, files, migrate.Options{})
		require.Equal(t, int64(1), pgtest.Value[int64](t, db, `select count(*) from pawl.event where kind = 'applied' and version = '2'`))
		require.True(t, pgtest.Value[bool](t, db, `select indisvalid from pg_index where indexrelid = to_regclass('t_b')`))
	}
	t.Logf("%d places to cut at", cuts)
	require.Greater(t, cuts, 5)
}

// A step that was carried out and not recorded is recorded, and the next run goes on behind it.
func TestRepairGoesOnInTheMiddle(t *testing.T) {
	t.Parallel()
	files := history(append(slices.Clone(repairBase), "0002_it.sql", "drop index concurrently t_a;\ncreate index concurrently t_b on t (b);")...)
	for _, c := range []struct {
		at   string
		want []string
		done int64
	}{
		{"drop index", []string{"step repaired"}, 1},
		{"create index", []string{"step repaired"}, 2},
	} {
		db := pgtest.Database(t)
		up(t, db.URL, history(repairBase...), migrate.Options{Environment: migrate.Dev})
		require.True(t, cutAt(t, db, files, &pgproxy.Cut{Lost: pgproxy.Reply, At: func(_ int64, body []byte) bool { return bytes.Contains(body, []byte(c.at)) }}))
		require.Equal(t, c.want, repairStates(repair(t, db, files, migrate.RepairOptions{})))
		require.Equal(t, c.done == 2, pgtest.Value[bool](t, db, `select state = 'applied' from pawl.migration where version = '2'`))
		up(t, db.URL, files, migrate.Options{})
		require.Equal(t, []string{"t_b", "t_pkey"}, pgtest.Column[string](t, db, `select indexrelid::regclass::text from pg_index where indrelid = 't'::regclass and indisvalid order by 1`))
		require.Equal(t, int64(1), pgtest.Value[int64](t, db, `select count(*) from pawl.event where version = '2' and kind = 'step' and detail ->> 'index' = '0'`))
	}
}

// A dry run tells nothing of a migration that is just being applied.
func TestRepairBesideARun(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	files := history(repairBase...)
	up(t, db.URL, files, migrate.Options{})
	holdLock(t, db)
	for _, dry := range []bool{true, false} {
		_, err := migrator(t, db.URL, files, migrate.Options{Wait: time.Millisecond}).Repair(t.Context(), migrate.RepairOptions{DryRun: dry})
		var transient *migrate.TransientError
		require.ErrorAs(t, err, &transient)
	}
}
