package integration

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgproxy"
	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

var ordinary = []string{
	"0001_users.sql", "create table users (id bigint primary key, email text not null);\ninsert into users select g, 'u' || g from generate_series(1, 500) g;",
	"0002_name.sql", "alter table users add column name text;",
	"0003_users_email_idx.sql", "create index concurrently users_email_idx on users (email);",
	"0004_orders.sql", "create table orders (id bigint primary key, user_id bigint references users);",
}

// Eight Jobs at once: one works, the others wait and find nothing to do. PAWL_TEST_REPEATS says how often.
func TestEightAtOnce(t *testing.T) {
	t.Parallel()
	const jobs = 8
	repeats := 5
	if s := os.Getenv("PAWL_TEST_REPEATS"); s != "" {
		var err error
		repeats, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	files := history(twelve...)
	for repeat := range repeats {
		db := pgtest.Database(t)
		var group sync.WaitGroup
		errs := make([]error, jobs)
		applied := make([]int, jobs)
		for i := range jobs {
			m := migrator(t, db.URL, files, migrate.Options{Application: fmt.Sprintf("pawl/job-%d", i)})
			group.Go(func() {
				r, err := m.Migrate(t.Context())
				errs[i], applied[i] = err, len(r.Applied)
			})
		}
		group.Wait()
		for _, err := range errs {
			require.NoError(t, err, "repeat %d", repeat)
		}
		slices.Sort(applied)
		require.Equal(t, []int{0, 0, 0, 0, 0, 0, 0, 12}, applied, "repeat %d", repeat)
		require.Equal(t, int64(12), pgtest.Value[int64](t, db, `select count(*) from pawl.event where kind = 'applied'`))
		require.Zero(t, pgtest.Value[int64](t, db, `select count(*) from pg_index where not indisvalid`))
	}
	t.Logf("%d jobs, %d times, PostgreSQL %d", jobs, repeats, pgtest.Server(t).Major)
}

// A second run sends three statements at most and takes no lock.
func TestNothingToDo(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	up(t, db.URL, history(ordinary...), migrate.Options{})
	proxy, err := pgproxy.Start(db.URL)
	require.NoError(t, err)
	defer proxy.Close()

	// Whoever holds the lock does not keep a run from seeing that there is nothing to do.
	holdLock(t, db)
	_, err = migrator(t, db.URL, history(append(slices.Clone(ordinary), "0005_x.sql", "select 1;")...), migrate.Options{Wait: time.Millisecond}).Migrate(t.Context())
	var transient *migrate.TransientError
	require.ErrorAs(t, err, &transient, "a run with something to do waits for the lock")
	before := pgtest.Dump(t, db)
	r := up(t, proxy.URL(), history(ordinary...), migrate.Options{Wait: time.Millisecond})
	require.Empty(t, r.Applied)
	require.Equal(t, 4, r.Total)
	t.Logf("%d messages", proxy.Messages())
	require.LessOrEqual(t, proxy.Messages(), int64(3))
	require.Equal(t, before, pgtest.Dump(t, db))
}

// holdLock takes the advisory lock by which runners take turns, for the rest of the test.
func holdLock(t *testing.T, db *pgtest.DB) {
	t.Helper()
	h := fnv.New64a()
	fmt.Fprintf(h, "pawl/%d/pawl", pgtest.Value[uint32](t, db, `select oid from pg_database where datname = current_database()`))
	_, err := db.Conn(t).Exec(t.Context(), `select pg_advisory_lock($1)`, int64(h.Sum64()))
	require.NoError(t, err)
}

// A thousand tiny migrations that make tables share messages and transactions, the server says.
func TestMessagesAndTransactions(t *testing.T) {
	t.Parallel()
	messages, transactions, n := countThousand(t)
	require.LessOrEqual(t, float64(messages), 0.1*float64(n))
	// Those by which the session beside it looks for blockers come by the clock: a slow machine has more of them.
	require.LessOrEqual(t, float64(transactions), 0.3*float64(n))
}

// BenchmarkThousand prints the messages and transactions per migration of a fresh run.
func BenchmarkThousand(b *testing.B) {
	for b.Loop() {
		messages, transactions, n := countThousand(b)
		b.ReportMetric(float64(messages)/float64(n), "messages/migration")
		b.ReportMetric(float64(transactions)/float64(n), "transactions/migration")
	}
}

func countThousand(t testing.TB) (messages, transactions int64, n int) {
	const count = 1000
	files := fstest.MapFS{}
	for i := 1; i <= count; i++ {
		files[fmt.Sprintf("%04d_t.sql", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "create table t%04d (id bigint primary key, name text not null);\n", i)}
	}
	// Autovacuum's own transactions would be counted too.
	server := pgtest.Private(t, pgserver.Options{Settings: map[string]string{"autovacuum": "off"}})
	db := &pgtest.DB{Name: "postgres", URL: server.URL("postgres"), Server: server}
	proxy, err := pgproxy.Start(db.URL)
	require.NoError(t, err)
	defer proxy.Close()
	before := transactionsOf(t, db, 0)
	up(t, proxy.URL(), files, migrate.Options{})
	return proxy.Messages(), transactionsOf(t, db, before+count/50) - before, count
}

// transactionsOf reads how many transactions a database has seen. Sessions report theirs with a delay, so it waits until
// at least so many are counted and the number stands still.
func transactionsOf(t testing.TB, db *pgtest.DB, atLeast int64) int64 {
	conn := db.Conn(t)
	last := int64(-1)
	for {
		var n int64
		err := conn.QueryRow(context.Background(), `select xact_commit + xact_rollback from pg_stat_database where datname = current_database()`).Scan(&n)
		require.NoError(t, err)
		if n >= atLeast && n-last <= 1 {
			return n
		}
		last = n
		// Sessions report once a second.
		<-time.After(1200 * time.Millisecond)
	}
}

// While somebody holds a table, its readers and writers never wait long for pawl, and pawl gets in soon after.
func TestTrafficIsNotStalled(t *testing.T) {
	t.Parallel()
	// Long enough for lock_timeout to grow past the bound, if nothing held it.
	held := 8 * time.Second
	if s := os.Getenv("PAWL_TEST_HOLD"); s != "" {
		var err error
		held, err = time.ParseDuration(s)
		require.NoError(t, err)
	}
	// A busy machine can hold a statement up by itself, so the best of three rounds counts; a wait that is pawl's doing
	// comes back in each.
	worst := stalled(t, held)
	for round := 2; round <= 3 && worst > 600*time.Millisecond; round++ {
		worst = min(worst, stalled(t, held))
	}
	require.LessOrEqual(t, worst, 600*time.Millisecond)
}

// stalled has somebody hold a table while pawl wants it, and gives the longest that a statement of the others took.
func stalled(t *testing.T, held time.Duration) time.Duration {
	t.Helper()
	db := pgtest.Database(t)
	files := history(ordinary...)
	up(t, db.URL, files, migrate.Options{})
	files["0005_hot.sql"] = &fstest.MapFile{Data: []byte("alter table users add column hot text;")}

	holder := db.Conn(t)
	tx, err := holder.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "select count(*) from users")
	require.NoError(t, err)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var worst atomic.Int64
	var traffic sync.WaitGroup
	for i := range 4 {
		conn := db.Conn(t)
		query := "select count(*) from users where id = 7"
		if i%2 == 1 {
			query = "update users set name = 'x' where id = 7"
		}
		traffic.Go(func() {
			for ctx.Err() == nil {
				start := time.Now()
				if _, err := conn.Exec(context.Background(), query); err != nil {
					t.Errorf("traffic: %v", err)
					return
				}
				if took := int64(time.Since(start)); took > worst.Load() {
					worst.Store(took)
				}
				<-time.After(5 * time.Millisecond)
			}
		})
	}

	var blamed atomic.Int64
	done := make(chan error, 1)
	m := migrator(t, db.URL, files, migrate.Options{OnEvent: func(e migrate.Event) {
		if missed, ok := e.(migrate.LockMissed); ok && len(missed.Blockers) > 0 {
			blamed.Store(int64(missed.Blockers[0].PID))
		}
	}})
	go func() {
		_, err := m.Migrate(t.Context())
		done <- err
	}()
	<-time.After(held)
	require.Equal(t, int64(holder.PgConn().PID()), blamed.Load(), "the blocker is named")
	require.NoError(t, tx.Rollback(t.Context()))
	released := time.Now()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(5 * time.Second):
		t.Fatal("not applied within 5 s of the release")
	}
	t.Logf("held %s: worst statement of the traffic took %s, applied %s after the release", held, time.Duration(worst.Load()), time.Since(released))
	stop()
	traffic.Wait()
	return time.Duration(worst.Load())
}

// An INVALID index that a dead build left is dropped and built again; one of another definition is an error.
func TestInvalidIndexIsRepaired(t *testing.T) {
	t.Parallel()
	for _, ifNotExists := range []string{"", "if not exists "} {
		db := pgtest.Database(t)
		files := history(ordinary[:4]...)
		up(t, db.URL, files, migrate.Options{})
		leaveInvalidIndex(t, db, "create index concurrently users_email_idx on users (email)")
		files["0003_users_email_idx.sql"] = &fstest.MapFile{Data: []byte("create index concurrently " + ifNotExists + "users_email_idx on users (email);")}
		var recovered []string
		up(t, db.URL, files, migrate.Options{OnEvent: func(e migrate.Event) {
			if r, ok := e.(migrate.Recovered); ok {
				recovered = append(recovered, r.What)
			}
		}})
		require.True(t, pgtest.Value[bool](t, db, `select indisvalid from pg_index where indexrelid = 'users_email_idx'::regclass`))
		require.Len(t, recovered, 1)
	}

	db := pgtest.Database(t)
	files := history(ordinary[:4]...)
	up(t, db.URL, files, migrate.Options{})
	db.Exec(t, "create index users_email_idx on users (lower(email))")
	files["0003_users_email_idx.sql"] = &fstest.MapFile{Data: []byte(ordinary[5])}
	_, err := migrator(t, db.URL, files, migrate.Options{}).Migrate(t.Context())
	var integrity *migrate.IntegrityError
	require.ErrorAs(t, err, &integrity)
	require.Contains(t, err.Error(), "lower(email)")
	require.Contains(t, integrity.Hint, "another name")
	files["0003_users_email_idx.sql"] = history("x", "create index concurrently users_email_idx_2 on users (email);")["x"]
	require.Len(t, up(t, db.URL, files, migrate.Options{}).Applied, 1, "what the hint says can be done")
}

// An index that an interrupted build leaves, and that cannot be dropped at once because others are in the way, is told of.
func TestInterruptedBuild(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	files := history(ordinary[:4]...)
	up(t, db.URL, files, migrate.Options{})
	writer := db.Conn(t)
	tx, err := writer.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "update users set email = email where id = 1")
	require.NoError(t, err)
	files["0003_i.sql"] = history("x", "create index concurrently i on users (email);")["x"]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var left []string
	_, err = migrator(t, db.URL, files, migrate.Options{OnEvent: func(e migrate.Event) {
		switch e := e.(type) {
		case migrate.Progress:
			cancel()
		case migrate.LeftInvalid:
			left = append(left, e.Index)
		}
	}}).Migrate(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []string{`"public"."i"`}, left)
	require.False(t, pgtest.Value[bool](t, db, `select indisvalid from pg_index where indexrelid = 'i'::regclass`))
	require.NoError(t, tx.Rollback(t.Context()))
	up(t, db.URL, files, migrate.Options{})
	require.True(t, pgtest.Value[bool](t, db, `select indisvalid from pg_index where indexrelid = 'i'::regclass`))
}

// leaveInvalidIndex lets a concurrent build time out while an old transaction is in its way.
func leaveInvalidIndex(t *testing.T, db *pgtest.DB, create string) {
	t.Helper()
	old := db.Conn(t)
	tx, err := old.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "update users set email = email where id = 1")
	require.NoError(t, err)
	builder := db.Conn(t)
	_, err = builder.Exec(t.Context(), "set lock_timeout = '200ms'")
	require.NoError(t, err)
	_, err = builder.Exec(t.Context(), create)
	require.Error(t, err)
	require.NoError(t, tx.Rollback(t.Context()))
	require.False(t, pgtest.Value[bool](t, db, `select indisvalid from pg_index where indexrelid = 'users_email_idx'::regclass`))
}

// The ledger is what keeps a migration from being applied twice: without its row, the run fails and changes nothing.
func TestLostLedgerRow(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	up(t, db.URL, history(ordinary...), migrate.Options{})
	db.Exec(t, "delete from pawl.migration where version = '2'")
	_, err := migrator(t, db.URL, history(ordinary...), migrate.Options{}).Migrate(t.Context())
	require.Error(t, err)
	var refused *migrate.RefusedError
	var statement *migrate.StatementError
	require.True(t, errors.As(err, &refused) || errors.As(err, &statement), "%v", err)
}

// A migration that gives the lock away must not be recorded: nobody could tell whether another runner was at work.
func TestLockIsFenced(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	files := history("0001_a.sql", "create table a (id int);\nselect pg_advisory_unlock_all();")
	_, err := migrator(t, db.URL, files, migrate.Options{}).Migrate(t.Context())
	require.ErrorContains(t, err, "advisory lock")
	require.False(t, pgtest.Value[bool](t, db, `select to_regclass('a') is not null`))
}

// Interrupting a run cancels its statement on the server and rolls back.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	files := history("0001_slow.sql", "create table slow (id int);\nselect pg_sleep(30);")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	m := migrator(t, db.URL, files, migrate.Options{Application: "interrupt-me"})
	go func() {
		_, err := m.Migrate(ctx)
		done <- err
	}()
	require.Eventually(t, func() bool {
		return pgtest.Value[bool](t, db, `select exists (select from pg_stat_activity where application_name = 'interrupt-me' and query like '%pg_sleep%' and state = 'active')`)
	}, 10*time.Second, 20*time.Millisecond)
	cancel(context.DeadlineExceeded)
	start := time.Now()
	require.ErrorIs(t, <-done, context.DeadlineExceeded)
	require.Less(t, time.Since(start), 5*time.Second)
	require.Eventually(t, func() bool {
		return pgtest.Value[bool](t, db, `select not exists (select from pg_stat_activity where application_name = 'interrupt-me')`)
	}, 5*time.Second, 20*time.Millisecond)
	require.False(t, pgtest.Value[bool](t, db, `select to_regclass('slow') is not null`))
}

// Errors point to their place in the file, counted in characters, whatever stands before it.
func TestErrorPlaces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text         string
		line, column int
	}{
		{"create table a (id int);\n\n-- ключ\nselect 'ключ', missing;\n", 4, 16},
		{"begin;\ncreate table a (id int);\ncreate table a (id int);\ncommit;\n", 3, 1},
		{"create table a (id int primary key);\ninsert into a values (1);\ninsert into a values (1);\n", 3, 1},
		{"create table a (id int);\ncopy a from stdin;\n1\nx\n\\.\nselect 1;\n", 2, 1},
		{"create table a (id int);\ncopy a from stdin;\n1\n\\.\nselect nothing;\n", 5, 8},
	} {
		db := pgtest.Database(t)
		_, err := migrator(t, db.URL, history("0001_a.sql", c.text), migrate.Options{}).Migrate(t.Context())
		var statement *migrate.StatementError
		require.ErrorAs(t, err, &statement, "%s", c.text)
		require.Equal(t, [2]int{c.line, c.column}, [2]int{statement.At.Line, statement.At.Column}, "%s: %v", c.text, err)
		require.False(t, pgtest.Value[bool](t, db, `select to_regclass('a') is not null`))
	}
}

// What a file sets for its session does not reach the next one, nor the ledger's row.
func TestSettingsDoNotLeak(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	files := history(
		"0001_a.sql", "create schema other;\nset search_path = other;\nset standard_conforming_strings = off;\ncreate table a (id int);",
		"0002_b.sql", "create table b (s text default 'x\\y');",
		"0003_c.sql", "select pg_catalog.set_config('search_path', '', false);\ncreate table public.c (id int);",
		"0004_d.sql", "create table d (id int);",
	)
	up(t, db.URL, files, migrate.Options{})
	where := pgtest.Column[string](t, db, `select table_schema || '.' || table_name from information_schema.tables where table_schema in ('public', 'other') order by 1`)
	require.Equal(t, []string{"other.a", "public.b", "public.c", "public.d"}, where)
	require.Equal(t, `'x\y'::text`, pgtest.Value[string](t, db, `select pg_get_expr(adbin, adrelid) from pg_attrdef where adrelid = 'b'::regclass`))
}

// A whole pg_dump-like text is one migration: COPY blocks, \restrict lines, an emptied search path.
func TestDumpAsBaseline(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	text := strings.Join([]string{
		`\restrict abc`, "SET statement_timeout = 0;", "SELECT pg_catalog.set_config('search_path', '', false);",
		"CREATE TABLE public.a (id integer, note text);", "COPY public.a (id, note) FROM stdin;", "1\tone;", "2\t\\N", `\.`, "",
		"CREATE INDEX a_id ON public.a USING btree (id);", `\unrestrict abc`, "",
	}, "\n")
	up(t, db.URL, history("0001_baseline.sql", text, "0002_b.sql", "create table b (id int);"), migrate.Options{})
	require.Equal(t, int64(2), pgtest.Value[int64](t, db, "select count(*) from a"))
}

// A version that was recorded in the meantime is not applied on top: the row's own check undoes the second attempt.
func TestRecordedMeanwhile(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	up(t, db.URL, history("0001_a.sql", "create table a (id int);"), migrate.Options{})
	files := history("0001_a.sql", "create table a (id int);", "0002_b.sql", "create table b (id int);")
	m := migrator(t, db.URL, files, migrate.Options{OnEvent: func(e migrate.Event) {
		if s, ok := e.(migrate.Started); ok && s.Migration.Version == "2" {
			db.Exec(t, `insert into pawl.migration (version, name, checksum, phase, state, transactional, pawl_version) values ('2', 'b', '', 'expand', 'applied', true, '')`)
		}
	}})
	_, err := m.Migrate(t.Context())
	require.ErrorContains(t, err, "recorded as applied already")
	require.False(t, pgtest.Value[bool](t, db, `select to_regclass('b') is not null`))
}
