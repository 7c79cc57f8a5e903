package main

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
)

// Wherever a run is when it is told to stop, it cancels what the server is at, rolls back, releases the lock, records that
// it was interrupted, and exits 143. Wherever it is killed, the next run comes to the same end.
func TestSignals(t *testing.T) {
	t.Parallel()
	const base = "create table t (id int primary key, a text);\ninsert into t select g, 'x' from generate_series(1, 20) g;\n"
	for _, c := range []struct {
		point string
		file  string
		// hold is what somebody else does in a transaction meanwhile; lock takes pawl's own lock.
		hold string
		lock bool
		// reached is true once pawl is at the point.
		reached string
	}{
		{"in a transaction", "alter table t add column b int;\ninsert into t select g from generate_series(21, 30) g;\nselect pg_sleep(case when current_setting('application_name') = 'pawl/victim' then 60 else 0 end);", "", false,
			`select exists (select from pg_stat_activity where datname = current_database() and application_name = 'pawl/victim' and wait_event = 'PgSleep')`},
		{"between two tries for a lock", "alter table t add column b int;", "select count(*) from t", false,
			`select exists (select from pg_stat_activity where datname = current_database() and application_name = 'pawl/victim' and state = 'idle' and query = 'rollback')`},
		{"waiting for a lock", "alter table t add column b int;", "select count(*) from t", false,
			`select exists (select from pg_locks l join pg_stat_activity a using (pid) where a.datname = current_database() and a.application_name = 'pawl/victim' and not l.granted)`},
		{"building an index", "create index concurrently t_a on t (a);", "update t set a = 'y' where id = 1", false,
			`select exists (select from pg_stat_progress_create_index p join pg_stat_activity a using (pid) where a.datname = current_database() and a.application_name = 'pawl/victim' and a.wait_event_type = 'Lock')`},
		{"building an index anew", "reindex index concurrently t_pkey;", "update t set a = 'y' where id = 1", false,
			`select exists (select from pg_stat_progress_create_index p join pg_stat_activity a using (pid) where a.datname = current_database() and a.application_name = 'pawl/victim' and a.wait_event_type = 'Lock')`},
		{"waiting for another pawl", "alter table t add column b int;", "", true,
			`select exists (select from pg_stat_activity where datname = current_database() and application_name = 'pawl/victim' and query like '%pg_try_advisory_lock%')`},
	} {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			t.Run(c.point+", "+signal.String(), func(t *testing.T) {
				t.Parallel()
				db := pgtest.Database(t)
				dir := t.TempDir()
				write := func(name, text string) {
					require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
				}
				write("0001_t.sql", base)
				out, err := pawlIn(dir, db.URL, "first").CombinedOutput()
				require.NoError(t, err, "%s", out)
				write("0002_it.sql", c.file)

				var tx pgx.Tx
				other := db.Conn(t)
				if c.hold != "" {
					tx, err = other.Begin(t.Context())
					require.NoError(t, err)
					_, err = tx.Exec(t.Context(), c.hold)
					require.NoError(t, err)
				}
				if c.lock {
					holdPawlsLock(t, db, other)
				}
				victim := pawlIn(dir, db.URL, "victim")
				var said bytes.Buffer
				victim.Stdout, victim.Stderr = &said, &said
				require.NoError(t, victim.Start())
				require.Eventually(t, func() bool { return pgtest.Value[bool](t, db, c.reached) }, 30*time.Second, 5*time.Millisecond)
				require.NoError(t, victim.Process.Signal(signal))
				err = victim.Wait()
				require.Error(t, err)
				if signal == syscall.SIGTERM {
					require.Equal(t, 143, victim.ProcessState.ExitCode(), "%s", said.String())
					require.Contains(t, said.String(), "SIGTERM")
					require.Zero(t, pgtest.Value[int64](t, db, `select count(*) from pg_locks l join pg_stat_activity a using (pid) where l.locktype = 'advisory' and a.datname = current_database() and a.application_name = 'pawl/victim'`), "the lock is released")
					require.False(t, pgtest.Value[bool](t, db, `select exists (select from pg_attribute where attrelid = 't'::regclass and attname = 'b')`), "it is rolled back")
					if !c.lock {
						require.Equal(t, int64(1), pgtest.Value[int64](t, db, `select count(*) from pawl.event where kind = 'interrupted'`), "it is recorded")
					}
				}
				if tx != nil {
					require.NoError(t, tx.Rollback(t.Context()))
				}
				require.NoError(t, other.Close(context.Background()))

				out, err = pawlIn(dir, db.URL, "next").CombinedOutput()
				require.NoError(t, err, "%s", out)
				require.Zero(t, pgtest.Value[int64](t, db, `select count(*) from pg_index where not indisvalid`))
				require.Equal(t, int64(2), pgtest.Value[int64](t, db, `select count(*) from pawl.event where kind = 'applied'`))
				require.Equal(t, int64(2), pgtest.Value[int64](t, db, `select count(*) from pawl.migration where state = 'applied'`))
			})
		}
	}
}

// A run that cannot connect ends at once when it is told to.
func TestSignalWhileConnecting(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "0001_a.sql"), []byte("select 1;"), 0o600))
	cmd := pawlIn(dir, "postgres://u@"+silent.Addr().String()+"/d?sslmode=disable", "victim")
	require.NoError(t, cmd.Start())
	conn, err := silent.Accept()
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Error(t, cmd.Wait())
	require.Equal(t, 143, cmd.ProcessState.ExitCode())
}

// pawlIn gives a run of pawl migrate as a process of its own, in a pod of the given name.
func pawlIn(dir, url, pod string) *exec.Cmd {
	cmd := exec.Command("pawl", "migrate", "--dir", dir, "--lock-deadline", "1m")
	cmd.Env = append(os.Environ(), "DATABASE_URL="+url, "POD_NAME="+pod)
	return cmd
}

// holdPawlsLock takes the lock by which runs take turns, as another run would have it.
func holdPawlsLock(t *testing.T, db *pgtest.DB, conn *pgx.Conn) {
	t.Helper()
	h := fnv.New64a()
	fmt.Fprintf(h, "pawl/%d/pawl", pgtest.Value[uint32](t, db, `select oid from pg_database where datname = current_database()`))
	_, err := conn.Exec(t.Context(), `select pg_advisory_lock($1)`, int64(h.Sum64()))
	require.NoError(t, err)
}
