package integration

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

// PgBouncer is refused, whatever it pools and whether it lets pawl's settings pass or not: nothing is written.
func TestPoolerIsRefused(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/pgbouncer")
	}
	if err != nil && os.Getenv("PAWL_REQUIRE_PG") != "1" {
		t.Skip("there is no pgbouncer: apt-get install pgbouncer")
	}
	require.NoError(t, err, "install pgbouncer (apt-get install pgbouncer)")
	for _, mode := range []string{"transaction", "session"} {
		for _, ignored := range []string{"", "lock_timeout,statement_timeout,idle_in_transaction_session_timeout,client_connection_check_interval,pawlrun.person,pawlrun.version,search_path"} {
			t.Run(fmt.Sprintf("%s pooling, passing over %q", mode, ignored), func(t *testing.T) {
				t.Parallel()
				db := pgtest.Database(t)
				pooled := pgbouncer(t, program, db.URL, mode, ignored)
				_, err := migrator(t, pooled, history("0001_a.sql", "create table a (id int);"), migrate.Options{}).Migrate(t.Context())
				var config *migrate.ConfigError
				require.ErrorAs(t, err, &config)
				require.Contains(t, err.Error(), "pooler")
				require.Contains(t, config.Hint, "direct URL")
				require.True(t, pgtest.Value[bool](t, db, `select to_regclass('a') is null and to_regnamespace('pawl') is null`))
				require.Zero(t, pgtest.Value[int64](t, db, `select count(*) from pg_locks l join pg_stat_activity a using (pid) where l.locktype = 'advisory' and a.datname = current_database()`))
			})
		}
	}
}

// pgbouncer starts a pooler in front of a database and gives the URL through it.
func pgbouncer(t *testing.T, program, server, mode, ignored string) string {
	t.Helper()
	config, err := pgx.ParseConfig(server)
	require.NoError(t, err)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())
	dir, err := os.MkdirTemp("", "pgbouncer")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755)) //nolint:gosec // another user has to read it
	ini := filepath.Join(dir, "pgbouncer.ini")
	text := fmt.Sprintf("[databases]\n* = host=%s port=%d user=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\nauth_type = any\npool_mode = %s\n",
		config.Host, config.Port, config.User, port, mode)
	if ignored != "" {
		text += "ignore_startup_parameters = " + ignored + "\n"
	}
	require.NoError(t, os.WriteFile(ini, []byte(text), 0o644)) //nolint:gosec // likewise
	args := []string{ini}
	if os.Geteuid() == 0 {
		// It does not run as root.
		args = append([]string{"-u", "nobody"}, args...)
	}
	cmd := exec.Command(program, args...) //nolint:gosec // found in PATH
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address := fmt.Sprintf("127.0.0.1:%d", port)
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 20*time.Second, 20*time.Millisecond)
	u, err := url.Parse(server)
	require.NoError(t, err)
	u.Host = address
	return u.String()
}
