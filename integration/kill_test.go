package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

// killURL makes the test binary a process that applies waitingFiles, to be killed by its parent.
const killURL = "PAWL_TEST_KILL_RUNNER"

// waitingFiles are two statements that wait for as long as there is time.
var waitingFiles = map[string][]string{
	"a lock":           {"0001_t.sql", "create table t (id int);", "0002_wait.sql", "-- pawl:timeout lock=10m\nalter table t add column n int;"},
	"old transactions": {"0001_t.sql", "create table t (id int);", "0002_wait.sql", "create index concurrently t_id on t (id);"},
}

func killedRunner(url string) {
	config, err := pgx.ParseConfig(url)
	if err == nil {
		files := history(waitingFiles[os.Getenv(killURL+"_FILES")]...)
		_, err = migrate.New(config, files, migrate.Options{Application: "doomed"}).Migrate(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		panic(err)
	}
}

// When pawl's process is killed while its statement waits, the server ends the statement soon by itself: nobody queues behind a runner
// that is not there any more, and the next one gets the lock by which they take turns.
func TestServerEndsWhatAKilledRunnerWaitsFor(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	require.NoError(t, err)
	for what, list := range waitingFiles {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Database(t)
			files := history(list...)
			up(t, db.URL, history(list[:2]...), migrate.Options{})
			old, err := db.Conn(t).Begin(t.Context())
			require.NoError(t, err)
			_, err = old.Exec(t.Context(), "insert into t values (1)")
			require.NoError(t, err)

			worker := exec.CommandContext(t.Context(), program)
			worker.Env = append(os.Environ(), killURL+"="+db.URL, killURL+"_FILES="+what)
			require.NoError(t, worker.Start())
			const waits = `select exists (select from pg_locks l join pg_stat_activity a using (pid) where a.datname = current_database() and a.application_name = 'doomed' and not l.granted)`
			require.Eventually(t, func() bool { return pgtest.Value[bool](t, db, waits) }, 20*time.Second, 20*time.Millisecond)
			require.NoError(t, worker.Process.Kill())
			require.Error(t, worker.Wait())
			killed := time.Now()
			const gone = `select not exists (select from pg_stat_activity where datname = current_database() and application_name ~ '^doomed')`
			require.Eventually(t, func() bool { return pgtest.Value[bool](t, db, gone) }, 10*time.Second, 20*time.Millisecond)
			took := time.Since(killed)
			t.Logf("the server ended it after %s", took.Round(time.Millisecond))
			require.Less(t, took, 4*time.Second)
			require.NoError(t, old.Rollback(t.Context()))
			up(t, db.URL, files, migrate.Options{Wait: time.Second})
			require.Zero(t, pgtest.Value[int64](t, db, `select count(*) from pg_index where not indisvalid`))
		})
	}
}
