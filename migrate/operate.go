package migrate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bitvault/pawl/migrations"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// with runs f on a session that holds the lock and has a ledger. What f refuses is recorded as the command's refusal.
func (m *Migrator) with(ctx context.Context, command string, f func(*session, *Ledger) error) error {
	s, err := m.dial(ctx, true)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.lock(ctx, m.opts.Wait, func(h Holder, waited time.Duration) { m.opts.OnEvent(Waiting{h, waited}) }); err != nil {
		return err
	}
	l, err := m.look(ctx, s)
	if err != nil {
		return err
	}
	if err := m.prepare(ctx, s, l); err != nil {
		return err
	}
	if err := f(s, l); err != nil {
		return m.audit(ctx, s, command, err)
	}
	return s.unlock(context.WithoutCancel(ctx))
}

// Down undoes the newest applied migration by its NAME.down.sql. It exists for development: the database itself must
// be stamped Dev, and nothing overrides that.
func (m *Migrator) Down(ctx context.Context) (*Migration, error) {
	s, err := m.dial(ctx, true)
	if err != nil {
		return nil, err
	}
	defer s.close()
	l, err := s.ledger(ctx)
	if err != nil {
		return nil, err
	}
	if l.Environment != Dev {
		stamp := string(l.Environment)
		if stamp == "" {
			stamp = "nothing, which counts as production"
		}
		return nil, m.audit(ctx, s, "down", &RefusedError{
			Message: fmt.Sprintf("there is no way down: database %q is stamped %s", s.database, stamp),
			Hint: "roll forward: write a new migration that brings the schema to where you want it. If data was lost, point-in-time recovery is the last resort.\n" +
				"`pawl down` works only in databases that were stamped dev at first use (`pawl migrate --env dev`)",
		})
	}
	files, err := Load(m.files, m.opts.Root)
	if err != nil {
		return nil, err
	}
	var undone *Migration
	err = m.with(ctx, "down", func(s *session, l *Ledger) error {
		for _, f := range slices.Backward(files) {
			if l.Entries[f.Version].State == StateApplied {
				undone = f
				break
			}
		}
		if undone == nil {
			return &RefusedError{Message: "nothing is applied, so there is nothing to undo"}
		}
		down := undone.back()
		if down == nil {
			return &RefusedError{
				Version: undone.Version,
				Message: undone.Path + " has no .down.sql beside it, and no part that leads back",
				Hint:    "write one, or make the development database anew and run `pawl migrate --env dev`",
			}
		}
		const record = "; insert into pawl.event (kind, version, pawl_version) values ('undone', %s, %s); delete from pawl.migration where version = %s; commit"
		version := literal(string(undone.Version))
		text := "begin; " + string(down) + "\n" + s.conn.own(fmt.Sprintf(record, version, literal(m.opts.PawlVersion), version))
		_, err := s.conn.PgConn().Exec(ctx, text).ReadAll()
		if err != nil {
			m.rollback(ctx, s)
			return &StatementError{Version: undone.Version, Path: undone.Path + " (down)", Err: err}
		}
		return nil
	})
	return undone, err
}

// RegisterRelease stores manifests of releases that may be deployed.
func (m *Migrator) RegisterRelease(ctx context.Context, manifests ...*evidence.Manifest) error {
	return m.registry(ctx, "release", func(s *session) error {
		for _, manifest := range manifests {
			if err := evidence.Register(ctx, s.conn, manifest, m.opts.PawlVersion); err != nil {
				return classify(ctx, "register the release", err)
			}
		}
		return nil
	})
}

// RecordDigests notes that images are of a release.
func (m *Migrator) RecordDigests(ctx context.Context, consumer, release string, digests []string) error {
	return m.registry(ctx, "release", func(s *session) error {
		err := evidence.AddDigests(ctx, s.conn, consumer, release, digests)
		if err == evidence.ErrUnknownRelease { //nolint:errorlint // the sentinel is returned as it is
			return &RefusedError{Message: fmt.Sprintf("%s has no release %q", consumer, release), Hint: "see `pawl release list`"}
		}
		return classify(ctx, "record the release's images", err)
	})
}

// RecordRelease adds one event to a release's log.
func (m *Migrator) RecordRelease(ctx context.Context, consumer, release string, kind gate.EventKind, reason string) error {
	return m.registry(ctx, "release", func(s *session) error {
		err := evidence.Record(ctx, s.conn, consumer, release, kind, reason, m.opts.PawlVersion)
		if err == evidence.ErrUnknownRelease { //nolint:errorlint // the sentinel is returned as it is
			return &RefusedError{
				Message: fmt.Sprintf("%s has no release %q", consumer, release),
				Hint:    "see `pawl release list`",
			}
		}
		return classify(ctx, "record the release event", err)
	})
}

// registry runs f with a ledger that is up to date. Release events need no lock of pawl's: the log only grows, and a
// contract locks it against new events before its last look. Only creating the ledger takes the lock. What f refuses is recorded as
// the command's refusal.
func (m *Migrator) registry(ctx context.Context, command string, f func(*session) error) error {
	s, err := m.dial(ctx, true)
	if err != nil {
		return err
	}
	defer s.close()
	l, err := s.ledger(ctx)
	if err != nil {
		return err
	}
	if l.Schema < migrations.Newest {
		return m.with(ctx, command, func(s *session, _ *Ledger) error { return f(s) })
	}
	return m.audit(ctx, s, command, f(s))
}

// Releases gives the state of every release that the ledger knows.
func (m *Migrator) Releases(ctx context.Context) (*evidence.Snapshot, error) {
	s, err := m.dial(ctx, false)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if !s.hasLedger {
		return &evidence.Snapshot{At: m.opts.Now()}, nil
	}
	var fleet *evidence.Fleet
	if m.opts.Fleet != nil {
		fleet = m.opts.Fleet(ctx)
	}
	snapshot, err := evidence.Load(ctx, s.conn, m.opts.Policy, fleet)
	return snapshot, classify(ctx, "read the registry of releases", err)
}
