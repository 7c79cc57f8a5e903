package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// testSettings make a server quick rather than safe from power cuts.
// synchronous_commit stays on: what was committed must survive Server.Kill.
// Autovacuum stays on: its locks are part of what pawl must live with.
func testSettings() map[string]string {
	return map[string]string{
		"listen_addresses":          "127.0.0.1",
		"fsync":                     "off",
		"full_page_writes":          "off",
		"shared_buffers":            "64MB",
		"jit":                       "off",
		"max_connections":           "200",
		"max_locks_per_transaction": "256",
		"autovacuum":                "on",
		"timezone":                  "UTC",
		"log_line_prefix":           "%m [%p] %q%a %d ",
		"logging_collector":         "off",
	}
}

// local is a server process of ours and its directory:
//
//	pawl-pg-123/        the owner's file lock is held on .lock
//	    data/  s/ (the socket)  log
type local struct {
	bin      string
	dir      string
	settings map[string]string
	password string
	owner    *account
	lock     *os.File

	mu      sync.Mutex
	port    int
	process *process // nil: does not run
}

// newLocal makes a directory and a cluster in it, and starts the server.
func newLocal(ctx context.Context, bin string, o Options) (*local, error) {
	l, err := prepareLocal(bin, o)
	if err != nil {
		return nil, err
	}
	if err := l.initdb(ctx); err != nil {
		return nil, errors.Join(err, l.remove(ctx))
	}
	if err := l.start(ctx); err != nil {
		return nil, errors.Join(err, l.remove(ctx))
	}
	return l, nil
}

// prepareLocal makes the server's directory, empty but for the socket's.
func prepareLocal(bin string, o Options) (*local, error) {
	owner, err := serverAccount()
	if err != nil {
		return nil, err
	}
	parent := o.Dir
	if parent == "" {
		if parent = os.TempDir(); owner.blockedAt(parent) != "" {
			parent = "/tmp"
		}
	}
	for _, needed := range []string{parent, bin} {
		if at := owner.blockedAt(needed); at != "" {
			return nil, fmt.Errorf("user %s, whom the server runs as, may not enter %s", owner.name, at)
		}
	}
	sweep(parent)
	l := &local{bin: bin, owner: owner, password: o.Password, settings: testSettings()}
	for name, value := range o.Settings {
		l.settings[name] = value
	}
	if l.dir, err = os.MkdirTemp(parent, prefix); err != nil {
		return nil, fmt.Errorf("make the server's directory: %w", err)
	}
	if l.lock, err = lockFile(filepath.Join(l.dir, ".lock")); err != nil {
		return nil, errors.Join(err, os.RemoveAll(l.dir))
	}
	if err := os.Mkdir(filepath.Join(l.dir, "s"), 0o700); err != nil {
		return nil, errors.Join(fmt.Errorf("make the socket's directory: %w", err), l.remove(context.Background()))
	}
	for _, name := range []string{l.dir, filepath.Join(l.dir, "s")} {
		if err := owner.give(name); err != nil {
			return nil, errors.Join(err, l.remove(context.Background()))
		}
	}
	return l, nil
}

func (l *local) initdb(ctx context.Context) error {
	args := []string{"-D", l.data(), "-U", superuser, "-E", "UTF8", "--locale=C", "--no-sync"}
	if l.password == "" {
		args = append(args, "-A", "trust")
	} else {
		file := filepath.Join(l.dir, "password")
		if err := os.WriteFile(file, []byte(l.password+"\n"), 0o600); err != nil {
			return fmt.Errorf("write the superuser's password: %w", err)
		}
		defer os.Remove(file)
		if err := l.owner.give(file); err != nil {
			return err
		}
		args = append(args, "-A", "scram-sha-256", "--pwfile", file)
	}
	cmd := l.command("initdb", args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	process, err := startProcess(cmd)
	if err != nil {
		return fmt.Errorf("run initdb: %w", err)
	}
	if err := process.wait(ctx); err != nil {
		process.signal(syscall.SIGKILL)
		<-process.done
		return fmt.Errorf("run initdb: %w", errors.Join(err, process.err, errors.New(tail(output.Bytes()))))
	}
	if process.err != nil {
		return fmt.Errorf("run initdb: %w: %s", process.err, tail(output.Bytes()))
	}
	return nil
}

// start runs the server and waits until it takes connections. The port is
// chosen at the first start and kept, so that URLs stay good.
func (l *local) start(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.process != nil && !l.process.ended() {
		return nil
	}
	chosen := l.port != 0
	for attempt := 1; ; attempt++ {
		if !chosen {
			port, err := freePort(ctx)
			if err != nil {
				return err
			}
			l.port = port
		}
		err := l.startOnce(ctx)
		// Between our look and the server's bind another program may take the port.
		if err == nil || chosen || attempt == 5 || !strings.Contains(err.Error(), "could not bind") {
			return err
		}
	}
}

func (l *local) startOnce(ctx context.Context) error {
	log, err := os.OpenFile(l.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	defer log.Close()
	if err := l.owner.give(l.logPath()); err != nil {
		return err
	}
	before, err := log.Stat()
	if err != nil {
		return fmt.Errorf("look at the server's log: %w", err)
	}
	args := []string{"-D", l.data(), "-k", l.socketDir(), "-p", strconv.Itoa(l.port)}
	for _, name := range slices.Sorted(maps.Keys(l.settings)) {
		args = append(args, "-c", name+"="+l.settings[name])
	}
	cmd := l.command("postgres", args...)
	cmd.Stdout, cmd.Stderr = log, log
	if l.process, err = startProcess(cmd); err != nil {
		return fmt.Errorf("run postgres: %w", err)
	}
	if err := l.ready(ctx); err != nil {
		l.process.signal(syscall.SIGKILL)
		<-l.process.done
		return fmt.Errorf("%w; its log says: %s", err, l.logSince(before.Size()))
	}
	return nil
}

// ready polls until a session can be had.
func (l *local) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		conn, err := connect(ctx, l.url())
		if err == nil {
			return conn.Close(ctx)
		}
		last = err
		select {
		case <-l.process.done:
			return fmt.Errorf("postgres ended at once: %w", l.process.err)
		case <-ctx.Done():
			return fmt.Errorf("wait for the first session: %w", errors.Join(ctx.Err(), last))
		case <-tick.C:
		}
	}
}

// Ways to stop a server, by the signals of the manual's page "Shutting Down the Server".
const (
	fast      = syscall.SIGINT  // ends the sessions, writes a checkpoint
	immediate = syscall.SIGQUIT // ends at once; recovery at the next start
)

func (l *local) stop(ctx context.Context, how syscall.Signal) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.process == nil {
		return nil
	}
	l.process.signal(how)
	if err := l.process.wait(ctx); err != nil {
		l.process.signal(syscall.SIGKILL)
		<-l.process.done
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	l.process = nil
	return nil
}

// remove stops the server and deletes its directory.
func (l *local) remove(ctx context.Context) error {
	err := l.stop(ctx, immediate)
	if removed := os.RemoveAll(l.dir); removed != nil {
		err = errors.Join(err, fmt.Errorf("remove the server's directory: %w", removed))
	}
	return errors.Join(err, l.lock.Close())
}

func (l *local) pid() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.process == nil || l.process.ended() {
		return 0
	}
	return l.process.child.Pid
}

func (l *local) data() string      { return filepath.Join(l.dir, "data") }
func (l *local) socketDir() string { return filepath.Join(l.dir, "s") }
func (l *local) logPath() string   { return filepath.Join(l.dir, "log") }

func (l *local) url() string {
	u := url.URL{Scheme: "postgres", User: l.user(), Host: "127.0.0.1:" + strconv.Itoa(l.port), Path: "/postgres", RawQuery: "sslmode=disable"}
	return u.String()
}

func (l *local) socketURL() string {
	query := url.Values{"host": {l.socketDir()}, "port": {strconv.Itoa(l.port)}, "sslmode": {"disable"}}
	u := url.URL{Scheme: "postgres", User: l.user(), Path: "/postgres", RawQuery: query.Encode()}
	return u.String()
}

func (l *local) user() *url.Userinfo {
	if l.password == "" {
		return url.User(superuser)
	}
	return url.UserPassword(superuser, l.password)
}

// command runs one of the server's programs as the server's account.
func (l *local) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(l.bin, name), args...)
	cmd.Dir = l.dir
	cmd.Env = environment()
	cmd.SysProcAttr = l.owner.attributes()
	return cmd
}

// logSince returns the end of what was logged after the given size.
func (l *local) logSince(size int64) string {
	text, err := os.ReadFile(l.logPath())
	if err != nil || int64(len(text)) < size {
		return "(no log)"
	}
	return tail(text[size:])
}

const (
	superuser = "postgres"
	prefix    = "pawl-pg-"
)

// environment is ours less libpq's and the server's variables, which would
// point the programs at other servers, and with a fixed locale.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "PG") || strings.HasPrefix(v, "LC_") || strings.HasPrefix(v, "LANG")
	})
	return append(env, "LC_ALL=C")
}

// sweep removes directories left by programs that were killed. A live one
// holds a lock on its file, and a young one may be about to.
func sweep(parent string) {
	dirs, err := filepath.Glob(filepath.Join(parent, prefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		lock, err := tryLock(filepath.Join(dir, ".lock"))
		if err != nil || lock == nil {
			continue
		}
		// What cannot be removed belongs to somebody else.
		_ = os.RemoveAll(dir)
		_ = lock.Close()
	}
}

func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("look for a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// tail is the last lines of a program's output, for an error message.
func tail(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	if n := len(lines); n > 8 {
		lines = lines[n-8:]
	}
	return strings.Join(lines, "\n")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
