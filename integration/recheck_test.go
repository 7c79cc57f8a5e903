package integration

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/gate"
)

// slowEvidence makes every reading of the releases take seconds.
const slowEvidence = `
alter table pawl.release rename to release_kept;
create view pawl.release as select r.* from (select pg_sleep(2) offset 0) as slow, lateral (select * from pawl.release_kept offset 0) as r`

// Where something is recorded between the decision and the locks, and reading it takes longer than others may wait, the contract is
// rolled back and decided anew without its locks. It is applied once nothing comes in between, and held where something always does.
func TestSlowEvidenceInsideAContract(t *testing.T) {
	t.Parallel()
	for what, always := range map[string]bool{"once": false, "each time": true} {
		for kind, drop := range map[string]string{"in a transaction": "alter table users drop column email;", "soft": "-- pawl:soft-drop 1h\nalter table users drop column email;",
			"outside of one": "alter table events detach partition events_25 concurrently;"} {
			t.Run(what+", "+kind, func(t *testing.T) {
				t.Parallel()
				db := pgtest.Database(t)
				files := history("0001_users.sql", "create table users (id bigint primary key, email text, name text);\ninsert into users values (1, 'e', 'n');\n"+
					"create table events (id bigint, at date) partition by range (at);\ncreate table events_25 partition of events for values from ('2025-01-01') to ('2026-01-01');")
				m := migrator(t, db.URL, files, migrate.Options{})
				up(t, db.URL, files, migrate.Options{})
				require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r1", "select name from users")))
				require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.LiveNow, ""))
				files["0002_drop.sql"] = history("x", drop)["x"]
				other := db.Conn(t)
				meanwhile := func() {
					if _, err := other.Exec(context.Background(), "insert into pawl.release_event (consumer, release, kind, pawl_version) values ('api', 'r1', 'live', 'test')"); err != nil {
						t.Errorf("record an event: %v", err)
					}
				}
				// The key that release_event has to it would be the view's.
				db.Exec(t, "alter table pawl.release_event drop constraint release_event_consumer_release_fkey; "+slowEvidence)

				var anew int
				stop := make(chan struct{})
				var worst time.Duration
				var readers sync.WaitGroup
				reader, err := pgx.Connect(t.Context(), db.URL)
				require.NoError(t, err)
				readers.Go(func() {
					defer reader.Close(context.Background())
					for {
						select {
						case <-stop:
							return
						case <-time.After(2 * time.Millisecond):
						}
						start := time.Now()
						if _, err := reader.Exec(context.Background(), "select name from users where id = 1"); err != nil {
							t.Errorf("read: %v", err)
							return
						}
						worst = max(worst, time.Since(start))
					}
				})
				started := false
				r, err := migrator(t, db.URL, files, migrate.Options{OnEvent: func(e migrate.Event) {
					switch e.(type) {
					case migrate.Started:
						if !started {
							meanwhile()
						}
						started = true
					case migrate.DecidedAnew:
						anew++
						if anew == 1 && always {
							// From the new decision on there is always one that it has not read.
							readers.Go(func() {
								for {
									select {
									case <-stop:
										return
									case <-time.After(50 * time.Millisecond):
										meanwhile()
									}
								}
							})
						}
					}
				}}).Migrate(t.Context())
				close(stop)
				readers.Wait()
				require.NoError(t, err)
				t.Logf("decided anew %d times; a reader waited for %s at most", anew, worst)
				require.Less(t, worst, 600*time.Millisecond)
				if !always {
					require.Equal(t, 1, anew)
					require.Empty(t, r.Held)
					require.Len(t, append(r.Applied, r.Aside...), 1)
					return
				}
				require.Equal(t, 2, anew)
				require.Len(t, r.Held, 1)
				require.False(t, r.Held[0].Decision.Allowed)
				require.Equal(t, gate.Unknown, r.Held[0].Decision.Verdict)
				findings := r.Held[0].Decision.Findings
				require.Contains(t, findings[len(findings)-1].Message, "the evidence could not be read again within")
				require.Equal(t, int64(1), pgtest.Value[int64](t, db, `select count(*) from pawl.decision where not allowed and findings::text like '%could not be read again%'`), "the reason is recorded")
				require.True(t, hasEmail(t, db))
			})
		}
	}
}
