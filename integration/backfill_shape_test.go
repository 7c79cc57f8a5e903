package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

// Tables are gone through by any key, by blocks where there is none, and by their partitions; each row is moved once.
func TestBackfillKeys(t *testing.T) {
	t.Parallel()
	const rows = 3000
	for _, c := range []struct{ name, table, fill, directive, goesBy string }{
		{"uuid", "create table t (id uuid primary key, old text)", "select md5(g::text)::uuid, 'v' || g", "", "(id), by index t_pkey"},
		{"text", "create table t (id text collate \"C\" primary key, old text)", "select chr(33 + g % 90) || '''\\' || g, 'v' || g", "", "(id), by index t_pkey"},
		{"composite", "create table t (a int, \"B c\" timestamptz, old text, primary key (a, \"B c\"))", "select g % 7, now() + g * interval '1 us', 'v' || g", "", "(a, B c), by index t_pkey"},
		{"bytea", "create table t (id bytea primary key, old text)", "select decode(md5(g::text), 'hex'), 'v' || g", "", "(id), by index t_pkey"},
		{"numeric", "create table t (id numeric primary key, old text)", "select g / 7.0, 'v' || g", "", "(id), by index t_pkey"},
		{"descending", "create table t (id int not null, old text); create unique index t_down on t (id desc)", "select g, 'v' || g", "", "(id), by index t_down"},
		{"wanted", "create table t (id int primary key, code text not null unique, old text)", "select g, 'c' || g, 'v' || g", " key=code", "(code), by index t_code_key"},
		{"always", "create table t (id int generated always as identity primary key, old text)", "select 'v' || g", "", "(id), by index t_pkey"},
		{"none", "create table t (old text)", "select 'v' || g", "", "blocks (public.t has no unique key that cannot be NULL)"},
		{"nulls", "create table t (id int unique, old text)", "select g, 'v' || g", "", "blocks (public.t has no unique key that cannot be NULL: id of index t_id_key may be NULL)"},
		{"partitions", "create table t (id int, old text, primary key (id)) partition by range (id); create table t1 partition of t for values from (0) to (1000); create table t2 partition of t for values from (1000) to (9000) partition by hash (id); create table t2a partition of t2 for values with (modulus 2, remainder 0); create table t2b partition of t2 for values with (modulus 2, remainder 1)",
			"select g, 'v' || g", "", "(id), by index t1_pkey, in each of 3 partitions"},
		{"children", "create table t (id int primary key, old text); create table kid () inherits (t)", "select g, 'v' || g", "", "(id), by index t_pkey, in each of 2 partitions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Database(t)
			columns := ""
			if c.name == "always" {
				columns = " (old)"
			}
			schema := c.table + "; alter table t add column new text, add column counter int default 0;"
			fill := fmt.Sprintf("insert into t%s %s from generate_series(1, %d) g;", columns, c.fill, rows)
			if c.name == "children" {
				fill += "insert into kid select g, 'kid' || g from generate_series(1, 500) g;"
			}
			files := history("0001_t.sql", schema)
			up(t, db.URL, files, migrate.Options{})
			db.Exec(t, fill)
			files = history("0001_t.sql", schema, "0002_move.sql",
				"-- pawl:backfill table=t batch=100..400"+c.directive+"\nupdate t set new = upper(old), counter = t.counter + 1 where new is distinct from upper(t.old);")
			up(t, db.URL, files, migrate.Options{})
			drain(t, db, files, migrate.BackfillRun{UntilDone: true, Overrides: map[string]string{"workers": "3"}})
			moved(t, db)
			b := statusOf(t, db, "2")
			require.Equal(t, c.goesBy, b.GoesBy)
			require.GreaterOrEqual(t, b.RowsChanged, int64(rows))
			require.GreaterOrEqual(t, b.Batches, int64(5))
		})
	}
}

// INSERT … SELECT and DELETE are run by the key of the table that they read.
func TestBackfillVerbs(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	schema := "create table src (id int primary key, k int); create table dst (k int primary key);"
	up(t, db.URL, history("0001_t.sql", schema), migrate.Options{})
	db.Exec(t, "insert into src select g, g % 500 from generate_series(1, 2000) g")
	files := history("0001_t.sql", schema,
		"0002_copy.sql", "-- pawl:backfill table=src batch=50..300\ninsert into dst select k from src where not exists (select from dst where dst.k = src.k) on conflict do nothing;",
		"0003_clean.sql", "-- pawl:backfill batch=50..300\ndelete from src where k > 250;")
	up(t, db.URL, files, migrate.Options{})
	drain(t, db, files, migrate.BackfillRun{UntilDone: true})
	require.Equal(t, int64(500), pgtest.Value[int64](t, db, "select count(*) from dst"))
	require.Zero(t, pgtest.Value[int64](t, db, "select count(*) from src where k > 250"))
	require.Greater(t, statusOf(t, db, "2").Batches, int64(5))
}

// Several workers in several processes share a queue: every row is moved once, and all of them come to an end.
func TestBackfillShared(t *testing.T) {
	t.Parallel()
	db, files := queued(t, 250_000, strings.Replace(moveT, "table=t", "table=t workers=2", 1))
	done := make(chan error, 3)
	for range 3 {
		go func() {
			_, err := migrator(t, db.URL, files, migrate.Options{}).RunBackfills(t.Context(), migrate.BackfillRun{UntilDone: true})
			done <- err
		}()
	}
	for range 3 {
		require.NoError(t, <-done)
	}
	moved(t, db)
	b := statusOf(t, db, "4")
	require.Equal(t, int64(250_000), b.RowsChanged)
	require.GreaterOrEqual(t, b.Ranges, 2)
	require.Equal(t, 1, b.Pass)
}

// What cannot be run is refused with one clear message, and what has been done is kept.
func TestBackfillBadInput(t *testing.T) {
	t.Parallel()
	enqueue := func(t *testing.T, schema, statement string) (*pgtest.DB, error) {
		db := pgtest.Database(t)
		up(t, db.URL, history("0001_t.sql", schema), migrate.Options{})
		db.Exec(t, "insert into t (id, a) select g, null from generate_series(1, 2000) g")
		_, err := migrator(t, db.URL, history("0001_t.sql", schema, "0002_move.sql", statement), migrate.Options{}).Migrate(t.Context())
		return db, err
	}
	const table = "create table t (id int primary key, a int, n int, u int unique, always int generated always as (1) stored);"
	for name, c := range map[string]struct{ statement, want string }{
		"no such key":      {"-- pawl:backfill key=nothing\nupdate t set a = 1 where a is null;", "public.t has no column nothing to go by"},
		"key with nulls":   {"-- pawl:backfill key=u\nupdate t set a = 1 where a is null;", "key u of public.t may be NULL (u)"},
		"key not unique":   {"-- pawl:backfill key=n\nupdate t set a = 1 where a is null;", "no unique index of public.t is on exactly (n)"},
		"two statements":   {"-- pawl:backfill\nupdate t set a = 1 where a is null;\nupdate t set n = 1 where n is null;", "several statements"},
		"two tables":       {"-- pawl:backfill\nupdate t set a = x.b from x where x.id = t.id and t.a is null;", "joins another table"},
		"never ending":     {"-- pawl:backfill\nupdate t set a = 1;", "a second pass would change the same rows again"},
		"generated always": {"-- pawl:backfill\nupdate t set always = 2 where always is null;", "t.always is GENERATED ALWAYS"},
		"no table":         {"-- pawl:backfill\nupdate nowhere set a = 1 where a is null;", "table nowhere does not exist"},
		"no column":        {"-- pawl:backfill\nupdate t set b = 1 where b is null;", `column "b"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := enqueue(t, table, c.statement)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n")
			require.Equal(t, int64(1), pgtest.Value[int64](t, db, "select count(*) from pawl.migration"), "nothing is recorded")
			require.Zero(t, pgtest.Value[int64](t, db, "select count(*) from pawl.backfill"))
		})
	}
	run := func(t *testing.T, db *pgtest.DB, url string) error {
		_, err := migrator(t, url, history("0001_t.sql", table), migrate.Options{}).RunBackfills(t.Context(), migrate.BackfillRun{Version: "2", UntilDone: true})
		return err
	}
	t.Run("a condition that stays true", func(t *testing.T) {
		t.Parallel()
		db, err := enqueue(t, table, "-- pawl:backfill\nupdate t set n = coalesce(n, 0) + 1 where n is null or n < 1000000;")
		require.NoError(t, err)
		err = run(t, db, db.URL)
		require.ErrorContains(t, err, "would never end: 200 of the first 200 rows")
		require.Equal(t, migrate.BackfillFailed, statusOf(t, db, "2").State)
		require.Zero(t, pgtest.Value[int64](t, db, "select count(*) from t where n is not null"))
	})
	t.Run("rows that keep coming back", func(t *testing.T) {
		t.Parallel()
		db, err := enqueue(t, table, "-- pawl:backfill done: select false\nupdate t set a = 1 where a is null;")
		require.NoError(t, err)
		err = run(t, db, db.URL)
		require.ErrorContains(t, err, "its done query is still false")
		b := statusOf(t, db, "2")
		require.Equal(t, migrate.BackfillFailed, b.State)
		require.Contains(t, b.Reason, "done query")
	})
	t.Run("table dropped meanwhile", func(t *testing.T) {
		t.Parallel()
		db, err := enqueue(t, table, "-- pawl:backfill batch=100..100 pause=20ms\nupdate t set a = 1 where a is null;")
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- run(t, db, db.URL) }()
		require.Eventually(t, func() bool { return statusOf(t, db, "2").Batches > 2 }, 20*time.Second, 10*time.Millisecond)
		db.Exec(t, "drop table t")
		err = <-done
		require.ErrorContains(t, err, "t")
		require.NotContains(t, err.Error(), "\n")
		b := statusOf(t, db, "2")
		require.Equal(t, migrate.BackfillFailed, b.State)
		require.Greater(t, b.RowsChanged, int64(200))
		require.ErrorContains(t, run(t, db, db.URL), "does not exist any more")
	})
	t.Run("a role without rights", func(t *testing.T) {
		t.Parallel()
		db, err := enqueue(t, table, "-- pawl:backfill\nupdate t set a = 1 where a is null;")
		require.NoError(t, err)
		role := "poor_" + db.Name
		db.Exec(t, fmt.Sprintf("create role %s login; grant usage on schema pawl to %[1]s; grant all on all tables in schema pawl to %[1]s; grant all on all sequences in schema pawl to %[1]s; grant select on t to %[1]s", role))
		t.Cleanup(func() { dropRole(t, db, role) })
		url := strings.Replace(db.URL, "postgres://postgres", "postgres://"+role, 1)
		require.NotEqual(t, db.URL, url)
		err = run(t, db, url)
		require.ErrorContains(t, err, fmt.Sprintf("role %q may not update t", role))
		require.Equal(t, migrate.BackfillFailed, statusOf(t, db, "2").State)
		db.Exec(t, "grant update on t to "+role)
		var unwatched []string
		_, err = migrator(t, url, history("0001_t.sql", table), migrate.Options{OnEvent: func(e migrate.Event) {
			if u, ok := e.(migrate.BackfillUnwatched); ok {
				unwatched = append(unwatched, u.Why)
			}
		}}).RunBackfills(t.Context(), migrate.BackfillRun{Version: "2", UntilDone: true})
		require.NoError(t, err)
		require.Equal(t, migrate.BackfillDone, statusOf(t, db, "2").State)
		require.Contains(t, strings.Join(unwatched, "\n"), "oldest transaction: the role may not see it; grant pg_monitor to it")
	})
}

func dropRole(t *testing.T, db *pgtest.DB, role string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), db.URL)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(context.Background(), fmt.Sprintf("drop owned by %s; drop role %[1]s", role))
	require.NoError(t, err)
}

// A person pauses, resumes and gives up; what was moved stays, and the rest follows from where it stopped.
func TestBackfillTurns(t *testing.T) {
	t.Parallel()
	db, files := queued(t, 4000, strings.Replace(moveT, "table=t", "table=t batch=100..100 pause=15ms", 1))
	m := migrator(t, db.URL, files, migrate.Options{})
	done := make(chan error, 1)
	go func() {
		_, err := m.RunBackfills(t.Context(), migrate.BackfillRun{Version: "4"})
		done <- err
	}()
	require.Eventually(t, func() bool { return statusOf(t, db, "4").Batches > 3 }, 20*time.Second, 10*time.Millisecond)
	b, err := m.PauseBackfill(t.Context(), "4", "month end")
	require.NoError(t, err)
	require.Equal(t, migrate.BackfillPaused, b.State)
	require.NoError(t, <-done)
	b = statusOf(t, db, "4")
	require.Less(t, b.RowsChanged, int64(4000))
	_, err = m.RunBackfills(t.Context(), migrate.BackfillRun{Version: "4"})
	require.ErrorContains(t, err, "is paused: month end")
	_, err = m.AbortBackfill(t.Context(), "4", "given up")
	require.NoError(t, err)
	held := up(t, db.URL, history(append(aTable(4000), "0004_move.sql", string(files["0004_move.sql"].Data), "0005_drop.sql", "alter table t drop column old;")...), migrate.Options{})
	require.Equal(t, []string{"0005_drop.sql"}, heldNames(held.Held))
	_, err = m.ResumeBackfill(t.Context(), "4")
	require.NoError(t, err)
	drain(t, db, files, migrate.BackfillRun{UntilDone: true})
	moved(t, db)
	_, err = m.PauseBackfill(t.Context(), "4", "too late")
	require.ErrorContains(t, err, "is done")
}
