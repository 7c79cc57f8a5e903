package integration

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

// follow runs a backfill and sends what it says of waiting and going on.
func follow(t *testing.T, db *pgtest.DB, o migrate.BackfillRun) (waits chan string, goesOn chan bool, done chan error) {
	t.Helper()
	waits, goesOn, done = make(chan string, 100), make(chan bool, 100), make(chan error, 1)
	m := migrator(t, db.URL, history(aTable(0)...), migrate.Options{OnEvent: func(e migrate.Event) {
		switch e := e.(type) {
		case migrate.BackfillWaits:
			waits <- e.Why
		case migrate.BackfillGoesOn:
			goesOn <- true
		}
	}})
	go func() {
		_, err := m.RunBackfills(t.Context(), o)
		done <- err
	}()
	return waits, goesOn, done
}

func receive[T any](t *testing.T, from <-chan T, within time.Duration, what string) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(within):
		t.Fatalf("%s: nothing within %s", what, within)
	}
	return v
}

// slow is a backfill that takes long enough to be watched.
var slow = strings.Replace(moveT, "table=t", "table=t batch=100..100 pause=20ms", 1)

// A standby that stops makes the backfill wait within five seconds, whichever way it stops; it goes on when it is back.
func TestBackfillWaitsForStandby(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{})
	standby, err := server.Standby(t.Context())
	require.NoError(t, err)
	db := &pgtest.DB{Name: "postgres", URL: server.URL("postgres"), Server: server}
	up(t, db.URL, history(aTable(60_000)...), migrate.Options{})
	up(t, db.URL, history(append(aTable(60_000), "0004_move.sql", slow)...), migrate.Options{})
	replica, err := pgx.Connect(t.Context(), standby.URL("postgres"))
	require.NoError(t, err)
	defer replica.Close(context.Background())

	waits, goesOn, done := follow(t, db, migrate.BackfillRun{UntilDone: true})
	require.Eventually(t, func() bool { return statusOf(t, db, "4").Batches > 5 }, 20*time.Second, 10*time.Millisecond)
	require.Empty(t, waits)

	_, err = replica.Exec(t.Context(), `select pg_wal_replay_pause()`)
	require.NoError(t, err)
	start := time.Now()
	why := receive(t, waits, 5*time.Second, "the standby is paused")
	t.Logf("waits %s after the pause: %s", time.Since(start).Round(time.Millisecond), why)
	require.Regexp(t, `^standby .* is .* behind`, why)
	b := statusOf(t, db, "4")
	require.Regexp(t, `^standby .* is .* behind`, b.LimitedBy)
	require.Contains(t, b.Describe(), "waits: standby")
	require.Equal(t, int64(1), pgtest.Value[int64](t, db, `select count(*) from pawl.event where kind = 'backfill waits' and detail ->> 'why' like 'standby%'`))
	standing := statusOf(t, db, "4").Batches
	<-time.After(1500 * time.Millisecond)
	require.LessOrEqual(t, statusOf(t, db, "4").Batches, standing+1, "no batch is run meanwhile")

	_, err = replica.Exec(t.Context(), `select pg_wal_replay_resume()`)
	require.NoError(t, err)
	receive(t, goesOn, 5*time.Second, "the standby is back")
	require.Eventually(t, func() bool { return statusOf(t, db, "4").Batches > standing+5 }, 10*time.Second, 10*time.Millisecond)

	// A standby that is shut down is in no view of those that are connected; its slot is.
	require.NoError(t, replica.Close(t.Context()))
	require.NoError(t, standby.Stop())
	start = time.Now()
	why = receive(t, waits, 5*time.Second, "the standby is gone")
	t.Logf("waits %s after the standby went: %s", time.Since(start).Round(time.Millisecond), why)
	require.Contains(t, why, "standby")
	db.Exec(t, `select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active`)
	receive(t, goesOn, 5*time.Second, "the slot is dropped")
	_, err = migrator(t, db.URL, history(aTable(0)...), migrate.Options{}).PauseBackfill(t.Context(), "4", "enough")
	require.NoError(t, err)
	select {
	case err := <-done:
		t.Fatalf("a run that is to go on until it is done has ended while the backfill is paused: %v", err)
	case <-time.After(1500 * time.Millisecond):
	}
	_, err = migrator(t, db.URL, history(aTable(0)...), migrate.Options{}).AbortBackfill(t.Context(), "4", "seen enough")
	require.NoError(t, err)
	require.NoError(t, receive(t, done, 10*time.Second, "the end"))
}

// Every other signal stops it as well, says so, and lets it go on.
func TestBackfillSignals(t *testing.T) {
	t.Parallel()
	// The archive works once this file is there; the server's account has to see it.
	dir, err := os.MkdirTemp("", "pawl-archive-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755)) //nolint:gosec // see above
	archived := filepath.Join(dir, "works")
	for _, c := range []struct {
		name     string
		settings map[string]string
		option   [2]string
		why      string
		on, off  string
		hold     string
	}{
		{name: "oldest transaction", option: [2]string{"xact", "1s"}, why: "a transaction is open for", hold: "begin; select txid_current()"},
		{name: "active sessions", option: [2]string{"active", "1"}, why: "sessions are active, more than 1", hold: ""},
		{name: "replication slot", settings: map[string]string{"max_slot_wal_keep_size": "64MB"}, option: [2]string{"slot", "60GB"}, why: "slot keeper will be given up after",
			on: "select pg_create_physical_replication_slot('keeper', true)", off: "select pg_drop_replication_slot('keeper')"},
		{name: "archive", settings: map[string]string{"archive_mode": "on", "archive_command": "test -f " + archived}, option: [2]string{"archive", "1"}, why: "archiv",
			on: "create table x1 (i int); select pg_switch_wal(); create table x2 (i int); select pg_switch_wal(); create table x3 (i int); select pg_switch_wal()"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := pgtest.Private(t, pgserver.Options{Settings: c.settings})
			db := &pgtest.DB{Name: "postgres", URL: server.URL("postgres"), Server: server}
			up(t, db.URL, history(aTable(20_000)...), migrate.Options{})
			up(t, db.URL, history(append(aTable(20_000), "0004_move.sql", slow)...), migrate.Options{})
			waits, goesOn, done := follow(t, db, migrate.BackfillRun{UntilDone: true, Overrides: map[string]string{c.option[0]: c.option[1]}})
			require.Eventually(t, func() bool { return statusOf(t, db, "4").Batches > 5 }, 20*time.Second, 10*time.Millisecond)
			require.Empty(t, waits)
			var release func()
			switch {
			case c.name == "active sessions":
				release = busy(t, db, 3)
			case c.hold != "":
				conn := db.Conn(t)
				_, err := conn.Exec(t.Context(), c.hold)
				require.NoError(t, err)
				release = func() { require.NoError(t, conn.Close(context.Background())) }
			case c.name == "archive":
				each(t, db, c.on)
				release = func() {
					require.NoError(t, os.WriteFile(archived, nil, 0o600))
					each(t, db, "create table x4 (i int); select pg_switch_wal()")
				}
			default:
				each(t, db, c.on)
				release = func() { each(t, db, c.off) }
			}
			require.Contains(t, receive(t, waits, 8*time.Second, c.name), c.why)
			require.Contains(t, statusOf(t, db, "4").LimitedBy, c.why)
			release()
			receive(t, goesOn, 70*time.Second, c.name+" is over")
			_, err := migrator(t, db.URL, history(aTable(0)...), migrate.Options{}).AbortBackfill(t.Context(), "4", "seen enough")
			require.NoError(t, err)
			require.NoError(t, receive(t, done, 10*time.Second, "the end"))
		})
	}
}

// each runs statements one by one: some refuse to be in a transaction together.
func each(t *testing.T, db *pgtest.DB, list string) {
	t.Helper()
	for s := range strings.SplitSeq(list, ";") {
		db.Exec(t, s)
	}
}

// busy keeps so many sessions active until it is released.
func busy(t *testing.T, db *pgtest.DB, n int) (release func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range n {
		conn := db.Conn(t)
		group.Go(func() { _, _ = conn.Exec(ctx, `select pg_sleep(60)`) })
	}
	return func() {
		cancel()
		group.Wait()
		require.Eventually(t, func() bool {
			return pgtest.Value[int64](t, db, `select count(pg_terminate_backend(pid)) from pg_stat_activity where query like '%pg_sleep(60)%' and pid <> pg_backend_pid()`) == 0
		}, 10*time.Second, 50*time.Millisecond)
	}
}

// A row that somebody holds, and a deadlock, cost a batch and no more: it is tried again with fewer rows.
func TestBackfillHalves(t *testing.T) {
	t.Parallel()
	db, files := queued(t, 3000, moveT)
	holder := db.Conn(t)
	_, err := holder.Exec(t.Context(), `begin; update t set old = old where id = 1500`)
	require.NoError(t, err)
	retries := make(chan migrate.BackfillRetry, 1000)
	done := make(chan error, 1)
	m := migrator(t, db.URL, files, migrate.Options{OnEvent: func(e migrate.Event) {
		if r, ok := e.(migrate.BackfillRetry); ok {
			retries <- r
		}
	}})
	go func() {
		_, err := m.RunBackfills(t.Context(), migrate.BackfillRun{UntilDone: true})
		done <- err
	}()
	first := receive(t, retries, 10*time.Second, "the first retry")
	second := receive(t, retries, 10*time.Second, "the second retry")
	require.Contains(t, first.Why, "locked by somebody else")
	require.Less(t, second.Rows, first.Rows)
	_, err = holder.Exec(t.Context(), `commit`)
	require.NoError(t, err)
	require.NoError(t, receive(t, done, 20*time.Second, "the end"))
	moved(t, db)
}

// Outside of its window a backfill waits, and says since when it may run.
func TestBackfillWindow(t *testing.T) {
	t.Parallel()
	db, files := queued(t, 10, moveT)
	now := time.Now()
	clock := func(d time.Duration) string { return now.Add(d).Format("15:04") }
	waits, _, done := follow(t, db, migrate.BackfillRun{Overrides: map[string]string{"between": clock(2*time.Hour) + "-" + clock(3*time.Hour)}})
	require.NoError(t, receive(t, done, 10*time.Second, "the end"))
	require.Contains(t, receive(t, waits, time.Second, "why"), "it is outside of "+clock(2*time.Hour)+"-"+clock(3*time.Hour))
	require.Contains(t, statusOf(t, db, "4").LimitedBy, "outside of")
	drain(t, db, files, migrate.BackfillRun{Overrides: map[string]string{"between": clock(-time.Hour) + "-" + clock(time.Hour)}})
	moved(t, db)
}

// percentile gives a percentile of durations.
func percentile(list []time.Duration, p float64) time.Duration {
	slices.Sort(list)
	return list[min(len(list)-1, int(float64(len(list))*p))]
}

// traffic sends reads and writes of random rows at a fixed rate for a while, and gives how long each took.
func traffic(ctx context.Context, t *testing.T, db *pgtest.DB, rows, perSecond int) (reads, writes []time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var group sync.WaitGroup
	const sessions = 4
	for i := range 2 * sessions {
		conn := db.Conn(t)
		query, to := `select old, new from t where id = $1`, &reads
		if i%2 == 1 {
			query, to = `update t set note = 'touched' where id = $1`, &writes
		}
		group.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(i)))
			tick := time.NewTicker(time.Duration(sessions) * time.Second / time.Duration(perSecond))
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case due := <-tick.C:
					if _, err := conn.Exec(context.Background(), query, 1+random.IntN(rows)); err != nil {
						t.Errorf("traffic: %v", err)
						return
					}
					took := time.Since(due)
					mu.Lock()
					*to = append(*to, took)
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	return reads, writes
}

// With 200 reads and 200 writes a second on the table nothing fails, and the p99 of both stays under twice what it is
// without. It runs alone, with a server that writes through to the disk: beside other tests it would measure them.
func TestBackfillLeavesTrafficAlone(t *testing.T) {
	const rows = 400_000
	server := pgtest.Private(t, pgserver.Options{Settings: map[string]string{"fsync": "on"}})
	db := &pgtest.DB{Name: "postgres", URL: server.URL("postgres"), Server: server}
	table := aTable(rows)
	table[1] = strings.Replace(table[1], "old text not null", "old text not null, note text", 1)
	up(t, db.URL, history(table...), migrate.Options{})
	files := history(append(table, "0004_move.sql", moveT)...)
	up(t, db.URL, files, migrate.Options{})
	db.Exec(t, "vacuum analyze t")

	latest := func(what string) string {
		return "select (" + what + ")::bigint from pawl.backfill_range where version = '4' and pass = (select max(pass) from pawl.backfill_range)"
	}
	// A busy machine has delays of its own: the best of the rounds counts, for a delay that is the backfill's comes back.
	// Below the floor a delay is that of one tick of the scheduler.
	const rounds, floor = 4, 5 * time.Millisecond
	for range rounds {
		db.Exec(t, "update t set new = null, counter = 0")
		db.Exec(t, "vacuum t")
		db.Exec(t, "checkpoint")
		quiet, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		reads, writes := traffic(quiet, t, db, rows, 200)
		cancel()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			defer stop()
			_, err := migrator(t, db.URL, files, migrate.Options{}).RunBackfills(t.Context(), migrate.BackfillRun{Version: "4", UntilDone: true, Again: true})
			done <- err
		}()
		start := time.Now()
		r, w := traffic(ctx, t, db, rows, 200)
		require.NoError(t, <-done)
		took := time.Since(start)
		moved(t, db)
		// What makes room is counted, whatever the machine is at.
		busy := time.Duration(pgtest.Value[int64](t, db, latest("sum(busy_ms)"))) * time.Millisecond
		batches := pgtest.Value[int64](t, db, latest("sum(batches)"))
		require.Less(t, busy, took*2/5, "batches take at most three tenths of the time")
		require.Less(t, busy/time.Duration(batches), 100*time.Millisecond, "a batch takes some 50 ms")
		p99 := func(list []time.Duration) time.Duration { return percentile(list, 0.99).Round(10 * time.Microsecond) }
		t.Logf("%d rows in %s: p99 of %d reads %s, without %s; of %d writes %s, without %s", rows, took.Round(100*time.Millisecond),
			len(r), p99(r), p99(reads), len(w), p99(w), p99(writes))
		if p99(r) < max(2*p99(reads), floor) && p99(w) < max(2*p99(writes), floor) {
			return
		}
	}
	t.Error("the p99 is more than twice what it is without the backfill, in every round")
}
