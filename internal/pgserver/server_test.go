package pgserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// TestMain lets a test start this binary again as a program that starts a
// server, or a watcher, and is then killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("PGSERVER_TEST_VICTIM"); dir != "" {
		victim(dir)
	}
	if pid, err := strconv.Atoi(os.Getenv("PGSERVER_TEST_WATCH")); err == nil {
		watch(pid)
		fmt.Println("watching")
		select {}
	}
	m.Run()
}

func victim(dir string) {
	s, err := Start(context.Background(), Options{Dir: dir, Private: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(s.PID())
	select {}
}

// start starts a server of the test's own, or fails or skips as the suite is told to.
func start(t *testing.T, o Options) *Server {
	t.Helper()
	o.Private = true
	if o.Dir == "" {
		o.Dir = shortDir(t)
	}
	s, err := Start(t.Context(), o)
	var missing *NotFoundError
	if errors.As(err, &missing) && os.Getenv("PAWL_REQUIRE_PG") != "1" {
		t.Skip(missing.Advice())
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return s
}

// shortDir is a directory that the server's user may enter and whose path is
// short enough for a socket; t.TempDir is neither.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgs")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func one[T any](t *testing.T, dsn, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	var value T
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&value))
	return value
}

func run(t *testing.T, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
}

// gone says whether a process has ended. One whose parent does not reap it stays as a zombie.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	return err == nil && strings.Contains(string(status), "\nState:\tZ")
}

func TestStartAndStopLeaveNothing(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	s := start(t, Options{Dir: dir, Settings: map[string]string{"work_mem": "5MB"}})

	require.Equal(t, "5MB", one[string](t, s.URL("postgres"), "show work_mem"))
	require.Equal(t, "on", one[string](t, s.URL("postgres"), "show autovacuum"))
	require.Equal(t, s.Major, one[int](t, s.SocketURL("postgres"), "select current_setting('server_version_num')::int / 10000"))
	require.NotEmpty(t, s.Version)
	require.FileExists(t, s.LogPath())
	require.FileExists(t, filepath.Join(s.BinDir(), "postgres"))

	owner, err := serverAccount()
	require.NoError(t, err)
	info, err := os.Stat(fmt.Sprintf("/proc/%d", s.PID()))
	if err == nil && os.Geteuid() == 0 {
		require.Equal(t, owner.uid, info.Sys().(*syscall.Stat_t).Uid, "the server does not run as nobody")
	}

	pid := s.PID()
	require.NoError(t, s.Stop())
	require.NoError(t, s.Stop(), "a second Stop")
	require.True(t, gone(pid))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestEndsWithItsParent(t *testing.T) {
	t.Parallel()
	start(t, Options{}) // skips where there is no server
	dir := shortDir(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PGSERVER_TEST_VICTIM="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	require.False(t, gone(pid))

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.Eventually(t, func() bool { return gone(pid) }, 10*time.Second, 20*time.Millisecond)

	// The next server in the same place clears away what the dead one left.
	old := time.Now().Add(-time.Hour)
	left, err := filepath.Glob(filepath.Join(dir, prefix+"*"))
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.NoError(t, os.Chtimes(left[0], old, old))
	live := start(t, Options{Dir: dir})
	require.NoDirExists(t, left[0])
	require.NoError(t, os.Chtimes(live.local.dir, old, old))
	sweep(dir)
	require.DirExists(t, live.local.dir, "a live server's directory was cleared away")
}

func TestWatcherEndsProcess(t *testing.T) {
	t.Parallel()
	spared := exec.Command("sleep", "60")
	require.NoError(t, spared.Start())
	release := watch(spared.Process.Pid)
	release()
	require.False(t, gone(spared.Process.Pid), "a dismissed watcher ended the process")
	require.NoError(t, spared.Process.Kill())
	require.Error(t, spared.Wait())

	watched := exec.Command("sleep", "60")
	watched.Dir = t.TempDir() // a core file may follow
	require.NoError(t, watched.Start())
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "PGSERVER_TEST_WATCH="+strconv.Itoa(watched.Process.Pid))
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	_, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.False(t, gone(watched.Process.Pid))
	require.NoError(t, parent.Process.Kill())
	require.Error(t, parent.Wait())
	require.ErrorContains(t, watched.Wait(), "signal: quit")
}

func TestCreateDatabase(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	template, err := s.CreateDatabase(t.Context(), "template_a", "")
	require.NoError(t, err)
	run(t, template, "create table t (id int); insert into t values (7)")
	copied, err := s.CreateDatabase(t.Context(), `odd "name"?`, "template_a")
	require.NoError(t, err)
	require.Equal(t, 7, one[int](t, copied, "select id from t"))
	require.Equal(t, `odd "name"?`, one[string](t, copied, "select current_database()"))
	require.NoError(t, s.DropDatabase(t.Context(), `odd "name"?`))
	require.NoError(t, s.DropDatabase(t.Context(), `odd "name"?`))
	_, err = s.CreateDatabase(t.Context(), "b", "no_such_template")
	require.ErrorContains(t, err, "create database b from no_such_template")
}

func TestPassword(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Password: `p@ss'\w`})
	require.Equal(t, 1, one[int](t, s.URL("postgres"), "select 1"))
	for _, good := range []string{s.URL("postgres"), s.SocketURL("postgres")} {
		config, err := pgx.ParseConfig(good)
		require.NoError(t, err)
		config.Password = "wrong"
		_, err = pgx.ConnectConfig(t.Context(), config)
		var refused *pgconn.PgError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "28P01", refused.Code)
	}
	left, err := filepath.Glob(filepath.Join(s.local.dir, "password"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestRestartAndKillKeepData(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	dsn := s.URL("postgres")
	run(t, dsn, "create table t (id int)")
	require.NoError(t, s.Restart(t.Context()))
	run(t, dsn, "insert into t values (1)")
	pid := s.PID()
	require.NoError(t, s.Kill(t.Context()))
	require.True(t, gone(pid))
	require.Zero(t, s.PID())
	require.NoError(t, s.Restart(t.Context()))
	require.Equal(t, 1, one[int](t, dsn, "select count(*)::int from t"))
	log, err := os.ReadFile(s.LogPath())
	require.NoError(t, err)
	require.Contains(t, string(log), "automatic recovery in progress")
}

func TestStandby(t *testing.T) {
	t.Parallel()
	for major := Oldest; major <= Newest; major++ {
		if _, _, err := Locate(t.Context(), Options{Major: major, Offline: true}); err != nil {
			continue
		}
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			dir := shortDir(t)
			s := start(t, Options{Major: major, Password: "secret", Dir: dir})
			run(t, s.URL("postgres"), "create table t (id int); insert into t values (1)")
			standby, err := s.Standby(t.Context())
			require.NoError(t, err)
			require.True(t, one[bool](t, standby.URL("postgres"), "select pg_is_in_recovery()"))
			run(t, s.URL("postgres"), "insert into t values (2)")
			require.Eventually(t, func() bool {
				return one[int](t, standby.URL("postgres"), "select count(*)::int from t") == 2
			}, 10*time.Second, 20*time.Millisecond)
			pid := standby.PID()
			require.NoError(t, s.Stop())
			require.True(t, gone(pid))
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

func TestStartFailureSaysWhy(t *testing.T) {
	t.Parallel()
	start(t, Options{}) // skips where there is no server
	dir := shortDir(t)
	_, err := Start(t.Context(), Options{Private: true, Dir: dir, Settings: map[string]string{"work_mem": "a lot"}})
	require.ErrorContains(t, err, `invalid value for parameter "work_mem"`)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}
