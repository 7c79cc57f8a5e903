package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgproxy"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// guarded is a database with a contract pending that api@r1 needs the old shape of.
func guarded(t *testing.T) (*pgtest.DB, *migrate.Migrator, func(migrate.Options) *migrate.Migrator) {
	t.Helper()
	db, files := dropsEmail(t)
	delete(files, "0004_note.sql")
	m := migrator(t, db.URL, files, migrate.Options{})
	require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r1", "select email from users", "select name from users")))
	require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.LiveNow, ""))
	return db, m, func(o migrate.Options) *migrate.Migrator { return migrator(t, db.URL, files, o) }
}

// A source that errors, is locked away, is damaged or is half there never lets a contract through.
func TestFaultySources(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what   string
		damage string
		// part is in the finding; where it is empty, the run fails.
		part string
	}{
		{"the events cannot be read", "alter table pawl.release_event rename to gone", ""},
		{"the manifests cannot be read", "alter table pawl.release_query rename to gone", ""},
		{"the acknowledgements cannot be read", "alter table pawl.acknowledgement rename column object to gone", ""},
		{"a statement is not what its hash says", "update pawl.query set text = 'select 1' where text like '%email%'", "does not have this hash"},
		{"half of a manifest is gone", "delete from pawl.release_query where sha256 = (select sha256 from pawl.query where text like '%email%')", "1 of the 2 statements"},
		{"a whole manifest is gone", "delete from pawl.release_query", "0 of the 2 statements"},
		{"the manifest's parts cannot be read", `update pawl.release set parts = '[{"models": 7}]'`, ""},
		{"nothing is known of the release", "update pawl.release set status = null", "no manifest"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			db, m, _ := guarded(t)
			db.Exec(t, c.damage)
			r, err := m.Migrate(t.Context())
			if c.part == "" {
				require.Error(t, err)
			} else {
				require.NoError(t, err)
				require.Len(t, r.Held, 1)
				require.Equal(t, gate.Unknown, r.Held[0].Decision.Verdict)
				require.Contains(t, r.Held[0].Decision.Findings[0].Message, c.part)
			}
			require.True(t, hasEmail(t, db))
		})
	}
}

// A source that does not answer in time is a passing trouble, and nothing is applied.
func TestSourceThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"pawl.release_event", "pawl.release_query", "pawl.acknowledgement"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			db, m, _ := guarded(t)
			tx, err := db.Conn(t).Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), "lock table "+table+" in access exclusive mode")
			require.NoError(t, err)
			_, err = m.Migrate(t.Context())
			var transient *migrate.TransientError
			require.ErrorAs(t, err, &transient)
			require.NoError(t, tx.Rollback(t.Context()))
			require.True(t, hasEmail(t, db))
		})
	}
}

// A manifest that was changed by hand is refused before anything is registered.
func TestManifestWithABadHash(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pawl.refs.json")
	text := `{"version": 1, "consumer": "api", "release": "r1", "status": "complete", "statements": [{"sha256": "` + strings.Repeat("0", 64) + `", "text": "select 1"}]}`
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	_, err := evidence.ReadManifest(path)
	var bad *evidence.ManifestError
	require.ErrorAs(t, err, &bad)
	require.Contains(t, err.Error(), "changed by hand or damaged")
}

// The database's clock is the judge: a host that is a month ahead does not shorten the rollback window, and an event that
// seems to come from the future counts now.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	db, m, with := guarded(t)
	require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r2", "select name from users")))
	require.NoError(t, m.RecordRelease(t.Context(), "api", "r2", gate.LiveNow, ""))
	for _, ahead := range []time.Duration{30 * 24 * time.Hour, -30 * 24 * time.Hour} {
		skewed := with(migrate.Options{Now: func() time.Time { return time.Now().Add(ahead) }, Policy: gate.Policy{KeepPrevious: -1}})
		r, err := skewed.Migrate(t.Context())
		require.NoError(t, err)
		require.Len(t, r.Held, 1)
		require.Equal(t, "r1", r.Held[0].Decision.Findings[0].Release)
		require.WithinDuration(t, time.Now().Add(7*24*time.Hour), r.Held[0].Decision.Findings[0].Until, time.Minute)
	}
	db.Exec(t, "insert into pawl.release_event (consumer, release, kind, at, pawl_version) values ('api', 'r1', 'deploying', now() + interval '1 year', 'test')")
	r, err := m.Migrate(t.Context())
	require.NoError(t, err)
	require.Contains(t, r.Held[0].Decision.Findings[0].Why, gate.WhyDeploying)
	require.True(t, hasEmail(t, db))
}

// Once a registration is through, and the column was still there, it stays: whoever registers while a contract is decided
// either comes too late and can know it, or holds the contract.
func TestRegistrationAgainstContract(t *testing.T) {
	t.Parallel()
	const rounds = 12
	early, late := 0, 0
	for round := range rounds {
		db, m, with := guarded(t)
		require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.Retired, "gone"))
		var both sync.WaitGroup
		var there bool
		both.Go(func() {
			// From before the decision until after the commit.
			<-time.After(time.Duration(round) * 4 * time.Millisecond)
			if err := m.RegisterRelease(context.Background(), manifest("batch", "b1", "select email from users")); err != nil {
				t.Errorf("register: %v", err)
			}
			there = hasEmail(t, db)
		})
		for range 2 {
			// Two gates at once: one decides, the other finds nothing to do or the same decision.
			both.Go(func() {
				if _, err := with(migrate.Options{}).Migrate(context.Background()); err != nil {
					t.Errorf("migrate: %v", err)
				}
			})
		}
		both.Wait()
		_, err := m.Migrate(t.Context())
		require.NoError(t, err)
		if there {
			early++
		} else {
			late++
		}
		require.Equal(t, there, hasEmail(t, db), "round %d", round)
		require.LessOrEqual(t, pgtest.Value[int64](t, db, `select count(*) from pawl.decision where allowed`), int64(1))
	}
	t.Logf("the registration came first in %d rounds of %d", early, rounds)
	require.Positive(t, late+early)
}

// The connection is lost after each of the messages of a run: the contract, its decision, its row and what it took are
// there together or not at all, and a contract that is not allowed is never applied.
func TestConnectionLostAroundTheDecision(t *testing.T) {
	t.Parallel()
	for name, allowed := range map[string]bool{"allowed": true, "not allowed": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cuts := 0
			for n := int64(1); ; n++ {
				db, m, _ := guarded(t)
				if allowed {
					require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.Retired, "gone"))
				}
				proxy, err := pgproxy.Start(db.URL)
				require.NoError(t, err)
				_, files := "", history(
					"0001_users.sql", "create table users (id bigint primary key, email text, name text);",
					"0002_orders.sql", "create table orders (id bigint primary key, user_id bigint references users);",
					"0003_drop_email.sql", "alter table users drop column email;")
				proxy.CutAfter(n, nil)
				_, err = migrator(t, proxy.URL(), files, migrate.Options{}).Migrate(t.Context())
				cut := proxy.Cuts() > 0
				proxy.Close()
				// The server may yet be at the last message.
				require.Eventually(t, func() bool {
					return pgtest.Value[int64](t, db, `select count(*) from pg_stat_activity where datname = current_database() and application_name = 'pawl'`) == 0
				}, 20*time.Second, 10*time.Millisecond)
				gone := !hasEmail(t, db)
				require.False(t, gone && !allowed, "cut after %d messages", n)
				for _, query := range []string{
					`select count(*) from pawl.migration where version = '3' and state = 'applied'`,
					`select count(*) from pawl.decision where version = '3' and allowed`,
					`select least(count(*), 1) from pawl.taken where version = '3'`,
				} {
					require.Equal(t, gone, pgtest.Value[int64](t, db, query) == 1, "cut after %d messages: %s", n, query)
				}
				if !cut {
					require.NoError(t, err)
					require.Equal(t, allowed, gone)
					break
				}
				cuts++
				_, err = m.Migrate(t.Context())
				require.NoError(t, err)
				require.Equal(t, allowed, !hasEmail(t, db), "a further run ends what was begun")
			}
			t.Logf("%d places to cut at", cuts)
			require.Greater(t, cuts, 5)
		})
	}
}

// An event that was reported as recorded is in the log, whole; one that was not is there whole or not at all.
func TestNoEventIsLost(t *testing.T) {
	t.Parallel()
	db, m, _ := guarded(t)
	files := history("0001_x.sql", "select 1;")
	for n := int64(1); ; n++ {
		next := fmt.Sprintf("r%d", n+1)
		proxy, err := pgproxy.Start(db.URL)
		require.NoError(t, err)
		proxy.CutAfter(n, nil)
		err = migrator(t, proxy.URL(), files, migrate.Options{}).RecordRelease(t.Context(), "api", next, gate.LiveNow, "")
		cut := proxy.Cuts() > 0
		proxy.Close()
		require.Eventually(t, func() bool {
			return pgtest.Value[int64](t, db, `select count(*) from pg_stat_activity where datname = current_database() and application_name = 'pawl'`) == 0
		}, 20*time.Second, 10*time.Millisecond)
		recorded := pgtest.Value[bool](t, db, fmt.Sprintf(`select exists (select from pawl.release_event where release = '%s' and kind = 'live')`, next))
		require.True(t, recorded || err != nil, "cut after %d messages", n)
		snapshot, loadErr := m.Releases(t.Context())
		require.NoError(t, loadErr)
		var live []string
		for _, s := range snapshot.States {
			if s.Last == gate.LiveNow {
				live = append(live, s.ID)
			}
		}
		require.Len(t, live, 1, "one release is live, the new one or the one before it")
		require.Equal(t, recorded, live[0] == next)
		if !cut {
			require.NoError(t, err)
			require.Greater(t, n, int64(3))
			return
		}
	}
}

// While the gate asks, again and again, writers of the tables in question are not delayed, and it never holds more than
// ACCESS SHARE on them.
func TestWritersAreNotDelayedByTheGate(t *testing.T) {
	t.Parallel()
	db, m, _ := guarded(t)
	many := make([]string, 300)
	for i := range many {
		many[i] = fmt.Sprintf("select id, email from users where id = $1 and name <> 'n%d'", i)
	}
	require.NoError(t, m.RegisterRelease(t.Context(), manifest("web", "w1", many...)))
	db.Exec(t, "insert into users select i, 'e', 'n' from generate_series(1, 1000) i")

	ctx, stop := context.WithCancel(t.Context())
	var watchers sync.WaitGroup
	var asked, strong atomic.Int64
	conn := db.Conn(t)
	watchers.Go(func() {
		const query = `
select count(*) filter (where l.mode = 'AccessShareLock'), count(*) filter (where l.mode <> 'AccessShareLock')
from pg_locks l join pg_stat_activity a using (pid)
where a.application_name = 'pawl' and l.relation in ('users'::regclass, 'orders'::regclass)`
		for ctx.Err() == nil {
			var share, other int64
			if err := conn.QueryRow(context.Background(), query).Scan(&share, &other); err != nil {
				t.Errorf("look at the locks: %v", err)
				return
			}
			asked.Add(share)
			strong.Add(other)
		}
	})
	// A busy machine has delays of its own, so the best of three rounds counts.
	best := time.Hour
	var alone time.Duration
	for round := 0; round < 3 && best > 2*alone+50*time.Millisecond; round++ {
		alone = slowestWrite(t, db, func() { <-time.After(time.Second) })
		best = min(best, slowestWrite(t, db, func() {
			for range 5 {
				p, _, err := m.Plan(t.Context())
				require.NoError(t, err)
				require.Len(t, p.Held, 1)
			}
		}))
	}
	stop()
	watchers.Wait()
	t.Logf("the slowest write took %s alone and %s beside the gate", alone, best)
	require.LessOrEqual(t, best, 2*alone+50*time.Millisecond)
	require.Zero(t, strong.Load(), "the gate held more than ACCESS SHARE")
	require.Positive(t, asked.Load(), "the gate was seen at its question")
}

// slowestWrite has four writers at a table while f runs, and gives the longest that one of their statements took.
func slowestWrite(t *testing.T, db *pgtest.DB, f func()) time.Duration {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var worst atomic.Int64
	var writers sync.WaitGroup
	for i := range 4 {
		conn, err := pgx.Connect(t.Context(), db.URL)
		require.NoError(t, err)
		writers.Go(func() {
			defer conn.Close(context.Background())
			for ctx.Err() == nil {
				start := time.Now()
				if _, err := conn.Exec(context.Background(), "update users set name = 'x' where id = $1", 1+i); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				worst.Store(max(worst.Load(), int64(time.Since(start))))
				<-time.After(time.Millisecond)
			}
		})
	}
	f()
	stop()
	writers.Wait()
	return time.Duration(worst.Load())
}

// A registration that is under way while a contract is decided, and not yet to be seen, is waited for.
func TestRegistrationUnderWay(t *testing.T) {
	t.Parallel()
	db, m, with := guarded(t)
	require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.Retired, "gone"))
	require.NoError(t, m.RegisterRelease(t.Context(), manifest("batch", "b1", "select email from users")))
	require.NoError(t, m.RecordRelease(t.Context(), "batch", "b1", gate.Retired, "not yet"))
	tx, err := db.Conn(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "insert into pawl.release_event (consumer, release, kind, pawl_version) values ('batch', 'b1', 'deploying', 'test')")
	require.NoError(t, err)
	missed := make(chan struct{}, 100)
	done := make(chan error, 1)
	var r migrate.Result
	go func() {
		var err error
		r, err = with(migrate.Options{OnEvent: func(e migrate.Event) {
			if _, ok := e.(migrate.LockMissed); ok {
				missed <- struct{}{}
			}
		}}).Migrate(context.Background())
		done <- err
	}()
	select {
	case <-missed:
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	}
	require.True(t, hasEmail(t, db))
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-done)
	require.Len(t, r.Held, 1)
	require.Equal(t, "batch", r.Held[0].Decision.Findings[0].Consumer)
	require.True(t, hasEmail(t, db))
}
