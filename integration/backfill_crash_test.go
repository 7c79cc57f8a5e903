package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

// workerURL makes the test binary a worker process that drains the queue, to be killed by its parent.
const workerURL = "PAWL_TEST_BACKFILL_WORKER"

func backfillWorker(url string) {
	config, err := pgx.ParseConfig(url)
	if err == nil {
		_, err = migrate.New(config, history(aTable(0)...), migrate.Options{}).RunBackfills(context.Background(), migrate.BackfillRun{UntilDone: true})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		panic(err)
	}
}

// A worker is killed a hundred times, after any batch, while the application inserts and updates: every row is changed
// exactly once. The statement itself would change a row again and again; only the place that commits with each batch
// keeps it from that.
func TestBackfillSurvivesKills(t *testing.T) {
	t.Parallel()
	const rows, kills = 60_000, 100
	db, files := queued(t, rows, "-- pawl:backfill batch=50..150 pause=2ms workers=2 done: select not exists (select from t where counter = 0)\n"+
		"update t set counter = counter + 1, new = upper(old) where counter >= 0 and old <> 'fresh' and (select true);")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var application sync.WaitGroup
	for i := range 2 {
		conn := db.Conn(t)
		application.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for ctx.Err() == nil {
				// The new code writes the new shape; both write rows that the backfill is at.
				_, err := conn.Exec(context.Background(), `insert into t (old, new, counter) values ('fresh', 'FRESH', 1)`)
				if err == nil {
					_, err = conn.Exec(context.Background(), `update t set old = old || 'x' where id = $1`, 1+random.IntN(rows))
				}
				if err != nil {
					t.Errorf("the application: %v", err)
					return
				}
				<-time.After(time.Millisecond)
			}
		})
	}

	watch := db.Conn(t)
	batches := func() (n int64) {
		require.NoError(t, watch.QueryRow(t.Context(), `select coalesce(sum(batches), 0)::bigint from pawl.backfill_range`).Scan(&n))
		return n
	}
	killed := 0
	for killed < kills {
		worker := exec.Command(os.Args[0])
		worker.Env = append(os.Environ(), workerURL+"="+db.URL)
		require.NoError(t, worker.Start())
		ended := make(chan error, 1)
		go func() { ended <- worker.Wait() }()
		until := batches() + rand.Int64N(5)
		deadline := time.After(30 * time.Second)
		for waiting := true; waiting; {
			select {
			case err := <-ended:
				require.NoError(t, err)
				t.Fatalf("the backfill was done after %d kills; make it longer", killed)
			case <-deadline:
				t.Fatal("the worker makes no batches")
			case <-time.After(time.Duration(rand.Int64N(int64(2 * time.Millisecond)))):
				waiting = batches() <= until
			}
		}
		require.NoError(t, worker.Process.Kill())
		require.Error(t, <-ended)
		killed++
	}
	b := statusOf(t, db, "4")
	require.Equal(t, migrate.BackfillRunning, b.State)
	require.Less(t, b.RowsChanged, int64(rows), "it was killed a hundred times during one backfill")
	t.Logf("%d kills, %d of %d rows in %d batches", killed, b.RowsChanged, rows, b.Batches)
	drain(t, db, files, migrate.BackfillRun{UntilDone: true, Overrides: map[string]string{"batch": "1000..5000", "pause": "off"}})
	stop()
	application.Wait()

	require.Equal(t, []int32{1}, pgtest.Column[int32](t, db, `select distinct counter from t`))
	require.Equal(t, pgtest.Value[int64](t, db, `select count(*) from t`), pgtest.Value[int64](t, db, `select sum(counter) from t`))
	require.Greater(t, pgtest.Value[int64](t, db, `select count(*) from t`), int64(rows))
	require.Equal(t, 1, statusOf(t, db, "4").Pass)
}
