package integration

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgproxy"
	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/gate"
)

// twelve is a history with what a runner meets: transactions, concurrent builds, other statements outside of
// transactions, rows by the copy protocol, a contract that api@r1 is in the way of.
var twelve = []string{
	"0001_users.sql", "create table users (id bigint primary key, email text not null, name text);\ninsert into users select g, 'u' || g from generate_series(1, 200) g;",
	"0002_events.sql", "create table events (id bigint, at date) partition by range (at);\n" +
		"create table events_25 partition of events for values from ('2025-01-01') to ('2026-01-01');\n" +
		"create table events_26 partition of events for values from ('2026-01-01') to ('2027-01-01');",
	"0003_email_idx.sql", "create unique index concurrently users_email_idx on users (lower(email)) where name is null or name <> 'x';",
	"0004_orders.sql", "create table orders (id bigint primary key, user_id bigint references users);\ncreate schema shop;\ngrant all on schema shop to pg_database_owner;",
	"0005_rows.sql", "copy orders (id, user_id) from stdin;\n1\t1\n2\t\\N\n\\.\ninsert into orders values (3, 3);\n",
	"0006_mood.sql", "create type mood as enum ('ok');\nalter table users add column mood mood;",
	"0007_happy.sql", "alter type mood add value 'happy';",
	"0008_checked.sql", "alter table orders add constraint positive check (id > 0) not valid;",
	"0009_validated.sql", "alter table orders validate constraint positive;",
	"0010_anew.sql", "set search_path to shop, public;\nset role pg_database_owner;\ncreate table noted (id int);\ncreate index concurrently noted_id on noted (id);\n" +
		"create table noted_too (id int);\nreset role;\nset search_path to public;\nreindex table concurrently users;\nvacuum orders;\ndrop index concurrently if exists users_nowhere_idx;",
	"0011_drop_email.sql", "alter table users drop column email;",
	"0012_detach.sql", "alter table events detach partition events_25 concurrently;",
}

// A run whose connection is lost around any of its messages leaves a database from which one more run comes to the same
// end: the same catalog, each migration applied once, none lost. It makes no difference whether the request is lost or
// the reply to it.
func TestCutAroundAnyMessage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what string
		// before is how many of the files are applied when api@r1 goes live; 0 for an empty database without releases.
		before int
		held   []string
	}{
		{"a fresh installation", 0, []string{}},
		{"an upgrade with contracts held", 2, []string{"0011_drop_email.sql", "0012_detach.sql"}},
	} {
		// What the server has when the reply to a message is lost is what it has when the next request is. So requests and
		// replies of every other message make every state. On all versions but the newest a sample has to do.
		for lost, how := range map[pgproxy.Lost]string{pgproxy.Request: "requests", pgproxy.Reply: "replies"} {
			t.Run(c.what+", "+how+" lost", func(t *testing.T) {
				t.Parallel()
				files := history(twelve...)
				prepare := func(ctx context.Context, url string) error {
					if c.before == 0 {
						return nil
					}
					config, err := pgx.ParseConfig(url)
					if err != nil {
						return err
					}
					m := migrate.New(config, history(twelve[:2*c.before]...), migrate.Options{})
					if _, err := m.Migrate(ctx); err != nil {
						return err
					}
					if err := m.RegisterRelease(ctx, manifest("api", "r1", "select email from users", "insert into events (id, at) values ($1, $2)")); err != nil {
						return err
					}
					return m.RecordRelease(ctx, "api", "r1", gate.LiveNow, "")
				}
				whole := pgtest.Template(t, c.what, prepare)
				require.Equal(t, c.held, heldNames(up(t, whole.URL, files, migrate.Options{}).Held))
				want, applied := pgtest.Dump(t, whole), int64(len(twelve)/2-len(c.held))

				cuts, step := 0, int64(2)
				if whole.Server.Major != pgserver.Newest {
					step = 16
				}
				for n := int64(1); ; n += step {
					db := pgtest.Template(t, c.what, prepare)
					if !cutAt(t, db, files, &pgproxy.Cut{Lost: lost, At: func(at int64, _ []byte) bool { return at >= n }}) {
						break
					}
					cuts++
					convergesTo(t, db, files, want, applied, fmt.Sprintf("cut at message %d", n))
				}
				t.Logf("%d places to cut at", cuts)
				require.Greater(t, cuts, 3)
			})
		}
	}
}

// cutAt runs the migrations through a proxy and reports whether the connection was cut.
func cutAt(t *testing.T, db *pgtest.DB, files fstest.MapFS, cut *pgproxy.Cut) bool {
	t.Helper()
	proxy, err := pgproxy.Start(db.URL)
	require.NoError(t, err)
	defer proxy.Close()
	proxy.CutAt(cut)
	_, err = migrator(t, proxy.URL(), files, migrate.Options{}).Migrate(t.Context())
	if proxy.Cuts() == 0 {
		require.NoError(t, err)
		return false
	}
	if err != nil {
		// What is lost in the good-bye is lost on nobody.
		var transient *migrate.TransientError
		require.ErrorAs(t, err, &transient)
	}
	return true
}

// convergesTo runs once more and compares with the uninterrupted run.
func convergesTo(t *testing.T, db *pgtest.DB, files fstest.MapFS, want string, applied int64, what string) {
	t.Helper()
	// The server may yet be at the last message; the next run waits for the lock in any case.
	_, err := migrator(t, db.URL, files, migrate.Options{Wait: time.Minute}).Migrate(t.Context())
	require.NoError(t, err, what)
	require.Equal(t, want, pgtest.Dump(t, db), what)
	const counts = `
select array[(select count(*) from pawl.migration where state = 'applied'), (select count(*) from pawl.event where kind = 'applied'),
    (select count(*) from pg_index where not indisvalid), (select count(*) from orders)]`
	require.Equal(t, []int64{applied, applied, 0, 3}, pgtest.Value[[]int64](t, db, counts), what)
}

// Each statement that PostgreSQL runs outside of a transaction comes to the end it is meant to have, wherever the
// connection is lost: once before, once after it was carried out.
func TestOutcomeIsLookedUp(t *testing.T) {
	t.Parallel()
	base := []string{
		"0001_t.sql", "create table t (id int primary key, a text, b int default 3);\ninsert into t select g, 'x' || g from generate_series(1, 50) g;\n" +
			"create type mood as enum ('ok');\ncreate index t_a on t (a);\n" +
			"create table p (id int, at date) partition by range (at);\ncreate table p_25 partition of p for values from ('2025-01-01') to ('2026-01-01');",
	}
	for _, c := range []struct {
		statement string
		// check is true once the statement took effect.
		check string
	}{
		{"create index concurrently t_b on t (b)", `select indisvalid from pg_index where indexrelid = to_regclass('t_b')`},
		{"create index concurrently if not exists t_b on t (b)", `select indisvalid from pg_index where indexrelid = to_regclass('t_b')`},
		{"create index concurrently t_c on t ((b + 1), a text_pattern_ops desc) include (id) with (fillfactor = 70) where a = 'x' and b in (1, 2)", `select indisvalid from pg_index where indexrelid = to_regclass('t_c')`},
		{"drop index concurrently t_a", `select to_regclass('t_a') is null`},
		{"reindex index concurrently t_a", `select count(*) = 1 from pg_class where relname ~ '^t_a'`},
		{"reindex table concurrently t", `select count(*) = 2 from pg_class where relname ~ '^t_(a|pkey)'`},
		{"reindex schema concurrently public", `select count(*) = 2 from pg_class where relname ~ '^t_(a|pkey)'`},
		{"alter table p detach partition p_25 concurrently", `select not exists (select from pg_inherits)`},
		{"alter type mood add value 'happy' before 'ok'", `select count(*) = 2 from pg_enum where enumtypid = 'mood'::regtype`},
		{"vacuum (analyze) t", `select true`},
		{"cluster", `select true`},
		{"create subscription s connection 'dbname=nowhere' publication p with (connect = false)", `select exists (select from pg_subscription where subname = 's' and subdbid = (select oid from pg_database where datname = current_database()))`},
		{"alter table t add constraint b_small check (b < 100) not valid;\nalter table t validate constraint b_small", `select convalidated from pg_constraint where conname = 'b_small'`},
	} {
		t.Run(c.statement, func(t *testing.T) {
			t.Parallel()
			files := history(append(slices.Clone(base), "0002_it.sql", c.statement+";")...)
			for lost, how := range map[pgproxy.Lost]string{pgproxy.Request: "request", pgproxy.Reply: "reply"} {
				db := pgtest.Template(t, "outcomes", func(ctx context.Context, url string) error {
					config, err := pgx.ParseConfig(url)
					if err != nil {
						return err
					}
					_, err = migrate.New(config, history(base...), migrate.Options{Environment: migrate.Dev}).Migrate(ctx)
					return err
				})
				text := []byte(c.statement)
				require.True(t, cutAt(t, db, files, &pgproxy.Cut{Lost: lost, At: func(_ int64, body []byte) bool {
					return bytes.Contains(body, text)
				}}), "the statement was sent")
				_, err := migrator(t, db.URL, files, migrate.Options{Wait: time.Minute}).Migrate(t.Context())
				require.NoError(t, err, "the %s lost", how)
				require.True(t, pgtest.Value[bool](t, db, c.check), "the %s lost", how)
				require.Zero(t, pgtest.Value[int64](t, db, `select count(*) from pg_index where not indisvalid`))
				require.Equal(t, int64(2), pgtest.Value[int64](t, db, `select count(*) from pawl.event where kind = 'applied'`))
				db.Exec(t, `do $$ begin if exists (select from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())) then alter subscription s disable; alter subscription s set (slot_name = none); drop subscription s; end if; end $$`)
			}
		})
	}
}

// A backend that is killed in the middle of a concurrent statement leaves an INVALID index, a half-built copy or a half
// detached partition behind. The next run puts it right, whatever it finds.
func TestKilledBackend(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		statement, remains, check string
		told                      string
	}{
		{"create index concurrently t_b on t (b)", `select not indisvalid from pg_index where indexrelid = to_regclass('t_b')`,
			`select indisvalid from pg_index where indexrelid = to_regclass('t_b')`, "dropped the INVALID index t_b"},
		{"create unique index concurrently if not exists t_b on t (b, id)", `select not indisvalid from pg_index where indexrelid = to_regclass('t_b')`,
			`select indisvalid from pg_index where indexrelid = to_regclass('t_b')`, "dropped the INVALID index t_b"},
		{"reindex index concurrently t_a", `select not indisvalid from pg_index where indexrelid = to_regclass('t_a_ccnew')`,
			`select indisvalid from pg_index where indexrelid = to_regclass('t_a')`, "dropped the INVALID index t_a_ccnew"},
		{"reindex table concurrently t", `select count(*) >= 3 from pg_index where not indisvalid`,
			`select count(*) = 2 from pg_class where relname ~ '^t_(a|pkey)'`, "_index_ccnew"},
		{"drop index concurrently t_a", `select not indisvalid from pg_index where indexrelid = to_regclass('t_a')`,
			`select to_regclass('t_a') is null`, ""},
		{"alter table p detach partition p_25 concurrently", `select inhdetachpending from pg_inherits`,
			`select not exists (select from pg_inherits)`, "finished the interrupted DETACH"},
		{"alter table t validate constraint b_small", `select not convalidated from pg_constraint where conname = 'b_small'`,
			`select convalidated from pg_constraint where conname = 'b_small'`, ""},
	} {
		t.Run(c.statement, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Database(t)
			base := []string{
				"0001_t.sql", "create table t (id int primary key, a text, b int default 3);\ninsert into t select g, 'x' || g from generate_series(1, 50) g;\n" +
					"create index t_a on t (a);\nalter table t add constraint b_small check (b < 100) not valid;\n" +
					"create table p (id int, at date) partition by range (at);\ncreate table p_25 partition of p for values from ('2025-01-01') to ('2026-01-01');",
			}
			up(t, db.URL, history(base...), migrate.Options{Environment: migrate.Dev})
			files := history(append(base, "0002_it.sql", c.statement+";")...)
			// Somebody has read and written, and does not end.
			old, err := db.Conn(t).Begin(t.Context())
			require.NoError(t, err)
			hold := "update t set a = a where id = 1; insert into p values (1, '2025-02-02')"
			if strings.Contains(c.statement, "validate") {
				hold = "lock table t in share update exclusive mode"
			}
			_, err = old.Exec(t.Context(), hold)
			require.NoError(t, err)

			done := make(chan error, 1)
			victim := migrator(t, db.URL, files, migrate.Options{Application: "victim"})
			go func() {
				_, err := victim.Migrate(context.Background())
				done <- err
			}()
			const waits = `select exists (select from pg_locks l join pg_stat_activity a using (pid) where a.datname = current_database() and a.application_name = 'victim' and not l.granted)`
			require.Eventually(t, func() bool { return pgtest.Value[bool](t, db, waits) }, 20*time.Second, 20*time.Millisecond)
			if c.remains != "" {
				require.True(t, pgtest.Value[bool](t, db, c.remains), "something is left half-done")
			}
			db.Exec(t, `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'victim'`)
			var transient *migrate.TransientError
			require.ErrorAs(t, <-done, &transient)
			require.NoError(t, old.Rollback(t.Context()))

			var told []string
			up(t, db.URL, files, migrate.Options{OnEvent: func(e migrate.Event) {
				if r, ok := e.(migrate.Recovered); ok {
					told = append(told, r.What)
				}
			}})
			require.True(t, pgtest.Value[bool](t, db, c.check))
			require.Zero(t, pgtest.Value[int64](t, db, `select count(*) from pg_index where not indisvalid`))
			require.Contains(t, strings.Join(told, "\n"), c.told)
		})
	}
}
