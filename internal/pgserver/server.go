// Package pgserver runs a throwaway PostgreSQL: it finds a server, or the
// binaries of one, starts it in a private directory and removes what it made.
//
// The demo, the shadow checks and the tests use it. It imports nothing beyond
// the standard library and pgx, because it is part of the shipped binary; the
// way by Docker stands in a package of its own and is handed in by
// Options.Container.
package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// DefaultMajor is the major version that is fetched when any would do and the
// machine has none. Oldest and Newest bound what pawl supports.
const (
	DefaultMajor = 17
	Oldest       = 14
	Newest       = 18
)

// Options says which server is wanted. The zero value takes the first that is
// found, of any supported version.
type Options struct {
	// Major is the wanted major version; 0 takes any from Oldest on.
	Major int
	// Dir is the directory in which the server makes a directory of its own;
	// "" is the system's temporary one. Its path must be short, for it also
	// holds a unix socket.
	Dir string
	// Settings are added to the server's configuration and win over the
	// package's own. An existing server cannot be given any, so it is passed over.
	Settings map[string]string
	// Password is the superuser's. With "" every local connection is trusted;
	// otherwise each must prove it by SCRAM, also through the socket.
	Password string
	// Private asks for a process of one's own, which Restart, Kill and Standby
	// need: neither an existing server nor a container will do.
	Private bool
	// Offline forbids fetching binaries; those fetched earlier are used.
	Offline bool
	// Container starts a server by other means when no binaries are to be had;
	// nil has none. Package pgserver/docker is one.
	Container func(context.Context, Request) (*Container, error)
}

// Request is what a container must run.
type Request struct {
	Major    int // never 0
	Settings map[string]string
	Password string // "" trusts every connection
}

// Container is a server that something else started.
type Container struct {
	// URL reaches its database postgres as a superuser.
	URL string
	// Stop ends it and removes what it made.
	Stop func(context.Context) error
}

// Server is a running PostgreSQL. Its methods may be called from several
// goroutines. Stop it when done.
type Server struct {
	// Major is its major version, Version as the server spells it ("17.10").
	Major   int
	Version string
	// Origin says where it came from, for a person: a directory, "PAWL_TEST_DATABASE_URL", "a container".
	Origin string

	admin     string // URL of database postgres, as superuser
	local     *local // nil: no process of ours
	container *Container

	mu        sync.Mutex
	databases []string // made in a server that outlives us
	standbys  []*Server
	stopped   bool
}

// Start finds a server as the package documentation of find.go orders it and
// returns it ready for connections. If there is none the error is a
// *NotFoundError, which says in its first sentence what to install.
func Start(ctx context.Context, o Options) (*Server, error) {
	found, err := find(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &Server{Origin: found.origin, admin: found.url, container: found.container}
	if found.binaries != "" {
		if s.local, err = newLocal(ctx, found.binaries, o); err != nil {
			return nil, fmt.Errorf("start PostgreSQL of %s: %w", found.origin, err)
		}
		s.admin = s.local.url()
	}
	if err := s.identify(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// URL returns the connection URL of a database, by TCP, as the superuser.
func (s *Server) URL(database string) string { return withDatabase(s.admin, database) }

// SocketURL returns the connection URL of a database through the unix socket,
// or "" if the server is not a process of ours.
func (s *Server) SocketURL(database string) string {
	if s.local == nil {
		return ""
	}
	return withDatabase(s.local.socketURL(), database)
}

// PID is the process id of the postmaster, 0 when it is not a process of ours
// or does not run.
func (s *Server) PID() int {
	if s.local == nil {
		return 0
	}
	return s.local.pid()
}

// LogPath is the file that the server writes its log to, "" when it is not a
// process of ours. Tests count statements in it.
func (s *Server) LogPath() string {
	if s.local == nil {
		return ""
	}
	return s.local.logPath()
}

// BinDir is the directory of the server's own programs, "" when it is not a
// process of ours. It need not hold more than initdb and postgres.
func (s *Server) BinDir() string {
	if s.local == nil {
		return ""
	}
	return s.local.bin
}

// CreateDatabase makes a database as a copy of template ("" is template1) and
// returns its URL. Nobody may be connected to the template. In a server that
// outlives this one, Stop drops it.
func (s *Server) CreateDatabase(ctx context.Context, name, template string) (string, error) {
	if template == "" {
		template = "template1"
	}
	conn, err := s.connect(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	sql := "create database " + pgx.Identifier{name}.Sanitize() + " template " + pgx.Identifier{template}.Sanitize()
	if _, err := conn.Exec(ctx, sql); err != nil {
		return "", fmt.Errorf("create database %s from %s: %w", name, template, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.local == nil {
		s.databases = append(s.databases, name)
	}
	return s.URL(name), nil
}

// DropDatabase drops a database, ending the sessions in it. It is no error if
// there is none of that name.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "drop database if exists "+pgx.Identifier{name}.Sanitize()+" with (force)"); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

// Restart stops the server with all its sessions, if it runs, and starts it
// again on the same port with the same data.
func (s *Server) Restart(ctx context.Context) error {
	if s.local == nil {
		return errNotOurs("restarted")
	}
	if err := s.local.stop(ctx, fast); err != nil {
		return fmt.Errorf("restart PostgreSQL: %w", err)
	}
	if err := s.local.start(ctx); err != nil {
		return fmt.Errorf("restart PostgreSQL: %w", err)
	}
	return nil
}

// Kill ends the server at once, without a checkpoint, and keeps its data: the
// next Restart recovers from the write-ahead log as after a crash.
func (s *Server) Kill(ctx context.Context) error {
	if s.local == nil {
		return errNotOurs("killed")
	}
	return s.local.stop(ctx, immediate)
}

// Stop ends the server, or only this use of it if it existed before, and
// removes what was made: processes, directories, databases. A second call does nothing.
func (s *Server) Stop() error {
	// The caller's context has often ended by the time it cleans up.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return nil
	}
	s.stopped = true
	databases, standbys := s.databases, s.standbys
	s.mu.Unlock()

	var errs []error
	for _, standby := range standbys {
		errs = append(errs, standby.Stop())
	}
	switch {
	case s.local != nil:
		errs = append(errs, s.local.remove(ctx))
	case s.container != nil:
		errs = append(errs, s.container.Stop(ctx))
	default:
		for _, name := range databases {
			errs = append(errs, s.DropDatabase(ctx, name))
		}
	}
	return errors.Join(errs...)
}

// connect opens an administrator's session in database postgres.
func (s *Server) connect(ctx context.Context) (*pgx.Conn, error) { return connect(ctx, s.admin) }

func (s *Server) identify(ctx context.Context) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var number int
	const sql = `select current_setting('server_version_num')::int, split_part(current_setting('server_version'), ' ', 1)`
	if err := conn.QueryRow(ctx, sql).Scan(&number, &s.Version); err != nil {
		return fmt.Errorf("read the server's version: %w", err)
	}
	s.Major = number / 10000
	return nil
}

func connect(ctx context.Context, dsn string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	for name, value := range map[string]string{
		"application_name":  "pawl/pgserver",
		"lock_timeout":      "30s",
		"statement_timeout": "60s",
		"search_path":       "pg_catalog",
	} {
		config.RuntimeParams[name] = value
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to the test server: %w", err)
	}
	return conn, nil
}

// withDatabase replaces the database in a URL or in a keyword string, in which
// the last of two settings counts.
func withDatabase(dsn, database string) string {
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(database)
		return dsn + " dbname='" + quoted + "'"
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return dsn // pgx parsed it before, so this is unreachable
	}
	u.Path = "/" + database
	return u.String()
}

func errNotOurs(done string) error {
	return fmt.Errorf("this PostgreSQL was not started here, so it cannot be %s: ask for Options.Private", done)
}
