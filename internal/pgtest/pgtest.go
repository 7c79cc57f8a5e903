// Package pgtest gives tests a database each, on servers that their process
// shares. A package that uses it says so once:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
// Where there is no PostgreSQL such tests are skipped with a sentence that says
// what to install, or fail if PAWL_REQUIRE_PG is 1. PAWL_TEST_MAJOR chooses the
// version, PAWL_TEST_MATRIX=1 fetches those that the machine lacks, and
// PAWL_TEST_KEEP=1 keeps the database of a failed test until an interrupt.
package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgserver"
)

// shared is what Main makes and all tests of the process use: package testing
// offers no other way to hand something from TestMain to a test.
var shared *pool

// Main runs the package's tests and then stops the servers they started.
func Main(m *testing.M) { MainWith(m, pgserver.Options{}) }

// MainWith is Main with options for every shared server; Major is ignored.
func MainWith(m *testing.M, o pgserver.Options) {
	Run(m, o) // m keeps the exit code for the caller of TestMain
}

// Run is MainWith for a TestMain that has more to do: it returns the exit code.
func Run(m *testing.M, o pgserver.Options) int {
	shared = &pool{options: o, servers: map[int]*entry{}}
	code := m.Run()
	shared.stop()
	return code
}

// pool holds the process's servers by wanted major version.
type pool struct {
	options pgserver.Options

	mu      sync.Mutex
	servers map[int]*entry
	kept    []string
}

// entry is one server, started by whoever needs it first.
type entry struct {
	once   sync.Once
	server *pgserver.Server
	err    error

	mu        sync.Mutex
	templates map[string]*template
}

type template struct {
	once sync.Once
	name string
	err  error
}

// Server returns the shared server of the version that PAWL_TEST_MAJOR names,
// or of any.
func Server(t testing.TB) *pgserver.Server {
	t.Helper()
	return ServerOf(t, wantedMajor(t))
}

// ServerOf returns the shared server of a major version; 0 is any.
func ServerOf(t testing.TB, major int) *pgserver.Server {
	t.Helper()
	return shared.entry(t, major).server
}

// Private starts a server of the test's own, which it may restart, kill or
// give a password. It is stopped at the test's end.
func Private(t testing.TB, o pgserver.Options) *pgserver.Server {
	t.Helper()
	o.Private = true
	if o.Major == 0 {
		o.Major = wantedMajor(t)
	}
	server, err := pgserver.Start(t.Context(), o)
	if err != nil {
		unavailable(t, err)
	}
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	return server
}

// Database returns a new, empty database, dropped at the test's end.
func Database(t testing.TB) *DB {
	t.Helper()
	return DatabaseOf(t, wantedMajor(t))
}

// DatabaseOf returns a new, empty database in a server of a major version; 0 is any.
func DatabaseOf(t testing.TB, major int) *DB {
	t.Helper()
	return shared.entry(t, major).database(t, "")
}

// Template returns a new database that is a copy of what fill made. The tests
// of a process that give the same key share one run of fill, which gets the URL
// of an empty database and leaves no session in it.
func Template(t testing.TB, key string, fill func(ctx context.Context, url string) error) *DB {
	t.Helper()
	return TemplateOf(t, wantedMajor(t), key, fill)
}

// TemplateOf is Template in a server of a major version; 0 is any.
func TemplateOf(t testing.TB, major int, key string, fill func(ctx context.Context, url string) error) *DB {
	t.Helper()
	e := shared.entry(t, major)
	e.mu.Lock()
	made := e.templates[key]
	if made == nil {
		made = &template{name: uniqueName("template")}
		e.templates[key] = made
	}
	e.mu.Unlock()
	made.once.Do(func() {
		// Not the test's context: the next test uses what this one makes.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
		defer cancel()
		url, err := e.server.CreateDatabase(ctx, made.name, "")
		if err == nil {
			err = fill(ctx, url)
		}
		made.err = err
	})
	require.NoError(t, made.err, "fill template database %s", key)
	return e.database(t, made.name)
}

// Majors returns the major versions that tests of every version run on: those
// at hand; with PAWL_TEST_MATRIX=1 all that pawl supports; with PAWL_TEST_MAJOR
// that one alone. It is not empty.
func Majors(t testing.TB) []int {
	t.Helper()
	if major := wantedMajor(t); major != 0 {
		return []int{major}
	}
	var majors []int
	for major := pgserver.Oldest; major <= pgserver.Newest; major++ {
		if os.Getenv("PAWL_TEST_MATRIX") == "1" {
			majors = append(majors, major)
		} else if _, _, err := pgserver.Locate(t.Context(), pgserver.Options{Major: major, Offline: true}); err == nil {
			majors = append(majors, major)
		}
	}
	if len(majors) == 0 {
		majors = append(majors, Server(t).Major)
	}
	return majors
}

// EachMajor runs a subtest on every version of Majors, at the same time.
func EachMajor(t *testing.T, test func(t *testing.T, major int)) {
	t.Helper()
	for _, major := range Majors(t) {
		t.Run("pg"+strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			test(t, major)
		})
	}
}

func (p *pool) entry(t testing.TB, major int) *entry {
	t.Helper()
	if p == nil {
		t.Fatal("the package has no TestMain that calls pgtest.Main")
	}
	p.mu.Lock()
	e := p.servers[major]
	if e == nil {
		e = &entry{templates: map[string]*template{}}
		p.servers[major] = e
	}
	p.mu.Unlock()
	e.once.Do(func() {
		o := p.options
		o.Major = major
		// Not the test's context: the server outlives the test.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
		defer cancel()
		e.server, e.err = pgserver.Start(ctx, o)
	})
	if e.err != nil {
		unavailable(t, e.err)
	}
	return e
}

func (p *pool) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.kept) > 0 {
		ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
		defer cancel()
		fmt.Fprintf(os.Stderr, "PAWL_TEST_KEEP: these stay until an interrupt (Ctrl-C, or kill -INT %d):\n  %s\n",
			os.Getpid(), strings.Join(p.kept, "\n  "))
		<-ctx.Done()
	}
	for _, e := range p.servers {
		if e.server == nil {
			continue
		}
		if err := e.server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the test server:", err)
		}
	}
}

func (p *pool) keep(url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = append(p.kept, url)
}

func (e *entry) database(t testing.TB, from string) *DB {
	t.Helper()
	name := uniqueName("test")
	url, err := e.server.CreateDatabase(t.Context(), name, from)
	require.NoError(t, err)
	db := &DB{Name: name, URL: url, Server: e.server}
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("PAWL_TEST_KEEP") != "" {
			t.Logf("kept: %s", url)
			shared.keep(t.Name() + "  " + url)
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := e.server.DropDatabase(ctx, name); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return db
}

// DB is a database of one test.
type DB struct {
	// Name is its name, URL its connection URL as a superuser.
	Name, URL string
	// Server is where it is; other tests use it too.
	Server *pgserver.Server
}

// Conn opens a session, closed at the test's end.
func (db *DB) Conn(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db.URL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Exec runs SQL in a session of its own. Without arguments it may be several
// statements, which then are one transaction.
func (db *DB) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db.URL)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err, "%s", sql)
}

// Value returns the only column of the only row of a query, run in a session of
// its own.
func Value[T any](t testing.TB, db *DB, sql string, args ...any) T {
	t.Helper()
	rows := Column[T](t, db, sql, args...)
	require.Len(t, rows, 1, "%s", sql)
	return rows[0]
}

// Column returns the only column of a query, run in a session of its own.
func Column[T any](t testing.TB, db *DB, sql string, args ...any) []T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db.URL)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), sql, args...)
	require.NoError(t, err, "%s", sql)
	values, err := pgx.CollectRows(rows, pgx.RowTo[T])
	require.NoError(t, err, "%s", sql)
	return values
}

// unavailable ends a test that has no server: skipped where PostgreSQL is
// merely not installed, failed otherwise.
func unavailable(t testing.TB, err error) {
	t.Helper()
	var missing *pgserver.NotFoundError
	if errors.As(err, &missing) && os.Getenv("PAWL_REQUIRE_PG") != "1" {
		for _, a := range missing.Tried {
			t.Logf("tried %s: %s", a.Where, a.Why)
		}
		t.Skip(missing.Advice())
	}
	t.Fatal(err)
}

func wantedMajor(t testing.TB) int {
	t.Helper()
	set := os.Getenv("PAWL_TEST_MAJOR")
	if set == "" {
		return 0
	}
	major, err := strconv.Atoi(set)
	require.NoError(t, err, "PAWL_TEST_MAJOR")
	return major
}

// uniqueName is a name that no other process has in a shared server either.
func uniqueName(kind string) string {
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails, by its documentation
	return "pawl_" + kind + "_" + hex.EncodeToString(random[:])
}
