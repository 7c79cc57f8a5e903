package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// shadow is a throwaway database that goes through the migrations one by one, so that PostgreSQL itself can be asked
// what each of them does to the statements of the releases.
type shadow struct {
	conn *pgx.Conn
	stop func() error

	ids, texts []string
	last       []evidence.Prepared
	reach      *evidence.Reach
	// failed are the relations that statements name which could not be replayed; what the shadow accepts of them proves
	// nothing. With the empty name, it proves nothing at all.
	failed map[string]bool
}

// startShadow makes the database: on a server of its own, or as a new database on the server that a URL names.
// Its sessions have the search path given, if there is one; the schemas given are there from the beginning.
func startShadow(ctx context.Context, where string, major int, path, there []string) (*shadow, error) {
	config, stop, err := shadowDatabase(ctx, where, major)
	if err != nil {
		return nil, err
	}
	s := &shadow{stop: stop}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	config.RuntimeParams["application_name"] = "pawl shadow"
	config.RuntimeParams["lock_timeout"] = "10s"
	config.RuntimeParams["statement_timeout"] = "60s"
	var names []string
	for _, name := range path {
		names = append(names, pgx.Identifier{name}.Sanitize())
	}
	if names != nil {
		config.RuntimeParams["search_path"] = strings.Join(names, ", ")
	}
	if s.conn, err = pgx.ConnectConfig(ctx, config); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to the shadow: %w", err), s.stop())
	}
	for _, name := range there {
		if _, err = s.conn.Exec(ctx, "create schema if not exists "+pgx.Identifier{name}.Sanitize()); err != nil {
			return nil, errors.Join(fmt.Errorf("make schema %s on the shadow: %w", name, err), s.close(ctx))
		}
	}
	return s, nil
}

// shadowDatabase makes an empty database, and gives what takes it away again.
func shadowDatabase(ctx context.Context, where string, major int) (config *pgx.ConnConfig, stop func() error, err error) {
	url, name := where, ""
	if where == "embedded" {
		server, err := pgserver.Start(ctx, pgserver.Options{Major: major, Private: true})
		if err != nil {
			return nil, nil, fmt.Errorf("start the shadow server: %w", err)
		}
		stop = server.Stop
		if url, err = server.CreateDatabase(ctx, "shadow", ""); err != nil {
			return nil, nil, errors.Join(err, server.Stop())
		}
	} else {
		admin, err := pgx.ParseConfig(where)
		if err != nil {
			return nil, nil, &usageError{message: "--shadow is \"embedded\" or the URL of a server on which a database may be made and dropped: " + lastError(err)}
		}
		if name, stop, err = createShadow(ctx, admin); err != nil {
			return nil, nil, err
		}
	}
	if config, err = pgx.ParseConfig(url); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("read the shadow's URL: %w", err), stop())
	}
	if name != "" {
		config.Database = name
	}
	config.OnNotice = func(*pgconn.PgConn, *pgconn.Notice) {}
	return config, stop, nil
}

// createShadow makes a database beside the one that the URL names, and gives its name and what drops it again. Several may
// use one server at a time.
func createShadow(ctx context.Context, config *pgx.ConnConfig) (name string, stop func() error, err error) {
	admin, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return "", nil, &migrate.TransientError{Message: "no connection to the shadow's server", Err: err}
	}
	name = "pawl_shadow_" + strings.ToLower(rand.Text()[:12])
	drop := func() error {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		_, err := admin.Exec(clean, "drop database if exists "+name+" with (force)")
		return errors.Join(err, admin.Close(clean))
	}
	if _, err := admin.Exec(ctx, "create database "+name); err != nil {
		return "", nil, errors.Join(fmt.Errorf("make the shadow database: %w", err), admin.Close(ctx))
	}
	return name, drop, nil
}

func (s *shadow) close(ctx context.Context) error {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return errors.Join(s.conn.Close(clean), s.stop())
}

// replay runs a file as psql would: statement by statement, each by itself unless the file says otherwise.
func (s *shadow) replay(ctx context.Context, f *phases.File) error {
	defer s.tidy(ctx)
	for _, st := range f.Statements {
		var err error
		if st.CopyData != nil {
			rows := f.Text[st.CopyData.Start.Offset:st.CopyData.End.Offset]
			_, err = s.conn.PgConn().CopyFrom(ctx, strings.NewReader(rows), st.Text)
		} else {
			_, err = s.conn.PgConn().Exec(ctx, st.Text).ReadAll()
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil || s.conn.IsClosed() {
			return fmt.Errorf("replay %s on the shadow: %w", f.Path, err)
		}
		s.fail(st)
	}
	return nil
}

// fail notes what a statement that could not be replayed was about. Preparing a statement looks at neither rights nor
// roles, so what only those are about does not matter.
func (s *shadow) fail(st phases.Statement) {
	if s.failed == nil {
		s.failed = map[string]bool{}
	}
	for _, op := range st.Operations {
		kind := string(op.Kind)
		switch {
		case strings.Contains(kind, "grant"), strings.Contains(kind, "revoke"), strings.Contains(kind, "policy"),
			strings.Contains(kind, "role"), strings.Contains(kind, "owner"), strings.Contains(kind, "comment"),
			strings.Contains(kind, "privileges"), strings.Contains(kind, "row_security"):
			continue
		case op.On.Relation == "" && op.Ref.Relation == "" && op.Kind == phases.Opaque:
			s.failed[""] = true
		}
		for _, name := range []string{op.On.Relation, op.Ref.Relation} {
			if name != "" {
				s.failed[name] = true
			}
		}
	}
}

// proves reports whether what the shadow says of a taken object can be relied on.
func (s *shadow) proves(o phases.Object) bool { return !s.failed[""] && !s.failed[o.Relation] }

// followed is the catalog itself, or, where that could not follow a statement, the shadow's own schema: the statement ran
// there. The nil shadow, and one that could not replay everything, know no better.
func (s *shadow) followed(ctx context.Context, c *phases.Catalog, version int) (*phases.Catalog, error) {
	if s == nil || !c.Incomplete || len(s.failed) > 0 {
		return c, nil
	}
	text, err := evidence.Schema(ctx, s.conn)
	if err != nil {
		return nil, fmt.Errorf("ask the shadow: %w", err)
	}
	return phases.CatalogOf(version, parse.File("the shadow's schema", []byte(text))), nil
}

// tidy ends a transaction that a file left open, and takes its settings and its temporary tables back: no other session
// sees those.
func (s *shadow) tidy(ctx context.Context) {
	if s.conn.PgConn().TxStatus() != 'I' {
		_, _ = s.conn.Exec(ctx, "commit")
	}
	_, _ = s.conn.Exec(ctx, "reset session authorization; reset role; reset all; discard temp")
}

// know takes the statements of the releases and asks for each of them once.
func (s *shadow) know(ctx context.Context, releases []gate.Release) (err error) {
	seen := map[string]bool{}
	for _, r := range releases {
		for _, q := range r.Manifest.Queries {
			if q.ID != "" && !seen[q.ID] {
				seen[q.ID] = true
				s.ids, s.texts = append(s.ids, q.ID), append(s.texts, q.Text)
			}
		}
	}
	s.last, err = s.ask(ctx)
	return err
}

func (s *shadow) ask(ctx context.Context) ([]evidence.Prepared, error) {
	prepared, err := evidence.Prepare(ctx, s.conn, s.texts)
	if err != nil {
		return nil, err
	}
	s.reach, err = evidence.LoadReach(ctx, s.conn)
	return prepared, err
}

// apply takes the database through one more file. It gives what that did to each statement, and through what the
// objects were reached before.
func (s *shadow) apply(ctx context.Context, f *phases.File) (map[string]gate.Proof, *evidence.Reach, error) {
	reach := s.reach
	if err := s.replay(ctx, f); err != nil {
		return nil, nil, err
	}
	before := s.last
	after, err := s.ask(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("ask the shadow: %w", err)
	}
	s.last = after
	return evidence.Prove(s.ids, s.texts, before, after), reach, nil
}
