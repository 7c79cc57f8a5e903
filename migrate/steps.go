package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// applySteps runs a file whose statements PostgreSQL refuses inside a transaction block, one by one. A `running` row
// stands in the ledger before the first, so that a later run knows that the outcome has to be looked up.
func (m *Migrator) applySteps(ctx context.Context, s *session, g *gatekeeper, step Step) (gate.Decision, error) {
	allowed := gate.Decision{Allowed: true}
	if step.Decision != nil {
		d, err := m.recheckAlone(ctx, s, g, step)
		if err != nil || !d.Allowed {
			return d, err
		}
	}
	done, err := m.begin(ctx, s, step)
	if err != nil {
		return allowed, err
	}
	timeouts := fmt.Sprintf("set lock_timeout = %d; set statement_timeout = 0", m.opts.LockDeadline.Milliseconds())
	if _, err := s.conn.Exec(ctx, timeouts); err != nil {
		return allowed, classify(ctx, "set the timeouts", err)
	}
	several := len(step.Assessment.Statements) > 1
	for i, st := range step.Assessment.Statements {
		if st.Statement.Control != "" || i < done {
			continue
		}
		start := time.Now()
		watch := m.watchProgress(ctx, s, step.Migration, start)
		err := m.runStatement(ctx, s, step, i, done == i)
		watch.stop()
		if err != nil {
			return allowed, m.stepError(ctx, s, step.Migration, err)
		}
		if several && !st.Transactional {
			if err := m.journal(ctx, s, step, i); err != nil {
				return allowed, err
			}
		}
	}
	record := "begin" + m.record(s, step) + "; commit"
	if _, err := s.conn.PgConn().Exec(ctx, record).ReadAll(); err != nil {
		return allowed, classify(ctx, "record "+step.Migration.Name, err)
	}
	if _, err := s.conn.Exec(ctx, "reset lock_timeout; reset statement_timeout"); err != nil {
		return allowed, classify(ctx, "reset the timeouts", err)
	}
	return allowed, nil
}

// recheckAlone asks the gate once more in a short transaction, for statements that cannot be in one themselves.
func (m *Migrator) recheckAlone(ctx context.Context, s *session, g *gatekeeper, step Step) (gate.Decision, error) {
	decision := *step.Decision
	backfills, err := g.backfillsFor(ctx, step)
	if err != nil {
		return decision, err
	}
	err = pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if len(backfills) > 0 {
			if d, err := g.backfillsDone(ctx, step, backfills); err != nil || !d.Allowed {
				decision = d
				return err
			}
		}
		d, err := g.again(ctx, step)
		decision = d
		if err != nil || !d.Allowed || g.snapshot == nil {
			return err
		}
		_, err = tx.Exec(ctx, m.recordDecision(step, d))
		return err
	})
	return decision, classify(ctx, "ask the gate again", err)
}

// begin writes the running row. It gives the number of the file's statements that an earlier run journaled as done.
func (m *Migrator) begin(ctx context.Context, s *session, step Step) (done int, err error) {
	if step.Resume {
		const query = `
select coalesce(max((e.detail ->> 'index')::int) + 1, 0) from pawl.event e join pawl.migration m using (version)
where e.kind = 'step' and e.version = $1 and e.at >= m.started_at and e.detail ->> 'checksum' = $2`
		if err := s.conn.QueryRow(ctx, query, string(step.Migration.Version), step.Migration.Sum).Scan(&done); err != nil {
			return 0, classify(ctx, "read the journal", err)
		}
		return done, nil
	}
	const query = `
insert into pawl.migration as m (version, name, checksum, phase, state, transactional, pawl_version)
values ($1, $2, $3, $4, 'running', false, $5)
on conflict (version) do update set name = excluded.name, checksum = excluded.checksum, state = 'running',
    started_at = clock_timestamp(), reason = null, pawl_version = excluded.pawl_version where m.state = 'held'`
	_, err = s.conn.Exec(ctx, query, string(step.Migration.Version), step.Migration.Name, step.Migration.Sum,
		phaseOf(step.Assessment).String(), m.opts.PawlVersion)
	return 0, classify(ctx, "record the beginning of "+step.Migration.Name, err)
}

func (m *Migrator) journal(ctx context.Context, s *session, step Step, index int) error {
	_, err := s.conn.Exec(ctx, m.journalText(step, index))
	return classify(ctx, "journal a step of "+step.Migration.Name, err)
}

func (m *Migrator) journalText(step Step, index int) string {
	return fmt.Sprintf("insert into pawl.event (kind, version, detail, pawl_version) values ('step', %s, jsonb_build_object('index', %d, 'checksum', %s), %s)",
		literal(string(step.Migration.Version)), index, literal(step.Migration.Sum), literal(m.opts.PawlVersion))
}

// runStatement runs one statement of a non-transactional file, or finds that it was run. First is true for the one
// that an interrupted run may have been at.
func (m *Migrator) runStatement(ctx context.Context, s *session, step Step, index int, first bool) error {
	st := step.Assessment.Statements[index]
	f := step.Migration.File()
	p := part{start: st.Statement.Span.Start.Offset, end: st.Statement.Span.End.Offset, first: index}
	if st.Transactional {
		// Its effect and the journal's row commit together, so it needs no looking up.
		p.before, p.beforeCount, p.after = "begin; ", 1, "\n;"+m.journalText(step, index)+"; commit"
		return s.send(ctx, f, f.Text, p)
	}
	resumed := step.Resume && first
	o := parse.OutcomeOf(st.Statement.Text)
	switch o.Kind {
	case parse.IndexBuilt:
		return m.buildIndex(ctx, s, step.Migration, p, st.Statement, o)
	case parse.IndexDropped:
		state, err := s.index(ctx, o)
		if err != nil {
			return err
		}
		if resumed && !state.exists {
			m.opts.OnEvent(Recovered{step.Migration, fmt.Sprintf("index %s is dropped already", o.Name)})
			return nil
		}
	case parse.EnumValueAdded:
		if resumed {
			exists, err := s.enumValue(ctx, o)
			if err != nil {
				return err
			}
			if exists {
				m.opts.OnEvent(Recovered{step.Migration, fmt.Sprintf("enum value %q is there already", o.Value)})
				return nil
			}
		}
	case parse.DatabaseCreated, parse.DatabaseDropped:
		if resumed {
			var exists bool
			if err := s.conn.QueryRow(ctx, `select exists (select from pg_database where datname = $1)`, o.Name).Scan(&exists); err != nil {
				return err
			}
			if exists == (o.Kind == parse.DatabaseCreated) {
				m.opts.OnEvent(Recovered{step.Migration, fmt.Sprintf("database %s is as it should be already", o.Name)})
				return nil
			}
		}
	case parse.Repeatable:
	default:
		if resumed {
			return &IntegrityError{
				Version: step.Migration.Version, Path: step.Migration.Path,
				Message: fmt.Sprintf("line %d was begun by a run that did not end, and the catalog cannot tell whether it took effect", st.Statement.Span.Start.Line),
				Hint:    fmt.Sprintf("look at the database, then say what is true: `pawl resolve %s --applied|--not-applied --reason …`", step.Migration.Label),
			}
		}
	}
	return s.send(ctx, f, f.Text, p)
}

// stepError cleans up after a failed statement and sorts the error.
func (m *Migrator) stepError(ctx context.Context, s *session, migration *Migration, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.conn.IsClosed() {
		return classify(ctx, "apply "+migration.Name, unwrapStatement(err))
	}
	m.rollback(ctx, s)
	if code := sqlState(err); code == "55P03" || code == "40P01" {
		return &TransientError{
			Message: fmt.Sprintf("%s: a lock was not had within %s", migration.Path, m.opts.LockDeadline),
			Hint:    "what it had begun is put right by the next run", Err: unwrapStatement(err),
		}
	}
	var known interface{ pawlError() }
	if errors.As(err, &known) {
		return sortStatementError(ctx, migration, err)
	}
	return classify(ctx, "apply "+migration.Name, err)
}

// indexState is what the catalog says of an index.
type indexState struct {
	exists, valid, building bool
	schema, definition      string
}

func (s *session) index(ctx context.Context, o parse.Outcome) (indexState, error) {
	// An index lives in its table's schema, so an unqualified name is looked for where the table would be found.
	const query = `
select n.nspname, i.indisvalid and i.indisready and i.indislive, pg_get_indexdef(i.indexrelid),
       exists (select from pg_stat_progress_create_index p where p.index_relid = i.indexrelid and p.pid <> pg_backend_pid())
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
join pg_class t on t.oid = i.indrelid
where c.relname = $1 and ($2 = '' or n.nspname = $2)
  and ($2 <> '' or $3 = '' or n.nspname = (select tn.nspname from pg_class tc join pg_namespace tn on tn.oid = tc.relnamespace where tc.oid = to_regclass(quote_ident($3))))
  and ($2 <> '' or $3 <> '' or pg_table_is_visible(c.oid))`
	var st indexState
	err := s.conn.QueryRow(ctx, query, o.Name, o.Schema, o.Relation).Scan(&st.schema, &st.valid, &st.definition, &st.building)
	if errors.Is(err, pgx.ErrNoRows) {
		return indexState{}, nil
	}
	st.exists = err == nil
	return st, err
}

func (s *session) enumValue(ctx context.Context, o parse.Outcome) (bool, error) {
	const query = `
select exists (
    select from pg_enum e join pg_type t on t.oid = e.enumtypid join pg_namespace n on n.oid = t.typnamespace
    where t.typname = $1 and e.enumlabel = $2 and ($3 = '' and pg_type_is_visible(t.oid) or n.nspname = $3))`
	var exists bool
	err := s.conn.QueryRow(ctx, query, o.Name, o.Value, o.Schema).Scan(&exists)
	return exists, err
}

// buildIndex runs CREATE INDEX CONCURRENTLY so that a valid index stands in the end, whatever stood there before: the
// remains of a dead build of the same definition are dropped first, a finished one is taken as done, and another index
// of that name is an error.
func (m *Migrator) buildIndex(ctx context.Context, s *session, migration *Migration, p part, st *phases.Statement, o parse.Outcome) error {
	at := st.Span.Start
	if o.Name == "" {
		return &FileError{
			Path: migration.Path, Span: st.Span, Source: migration.File().Text, Message: "this concurrent index has no name",
			Hint: "name it: should the build die, pawl has to find what it left",
		}
	}
	state, err := s.index(ctx, o)
	if err != nil {
		return err
	}
	if state.exists {
		switch same := parse.SameIndex(st.Text, state.definition); {
		case !same:
			return &IntegrityError{
				Version: migration.Version, Path: fmt.Sprintf("%s:%d:%d", migration.Path, at.Line, at.Column),
				Message: fmt.Sprintf("there is an index %s already, and it is another one: %s", o.Name, state.definition),
				Hint:    "give the new index another name, or drop the old one in a migration of its own",
			}
		case state.building:
			return &TransientError{Message: fmt.Sprintf("%s: another session is building index %s", migration.Path, o.Name), Hint: "run pawl again when it is done"}
		case state.valid:
			m.opts.OnEvent(Recovered{migration, fmt.Sprintf("index %s is built already", o.Name)})
			return nil
		}
		if err := s.dropIndex(ctx, state.schema, o.Name); err != nil {
			return err
		}
		m.opts.OnEvent(Recovered{migration, fmt.Sprintf("dropped the INVALID index %s that an interrupted build left; it is built again", o.Name)})
	}
	f := migration.File()
	if err := s.send(ctx, f, f.Text, p); err != nil {
		m.dropRemains(ctx, s, o)
		return err
	}
	state, err = s.index(ctx, o)
	if err != nil {
		return err
	}
	if !state.exists || !state.valid {
		return &IntegrityError{
			Version: migration.Version, Path: fmt.Sprintf("%s:%d:%d", migration.Path, at.Line, at.Column),
			Message: fmt.Sprintf("PostgreSQL reported success, and index %s is not valid", o.Name),
			Hint:    "run pawl again: it drops the index and builds it anew",
		}
	}
	return nil
}

func (s *session) dropIndex(ctx context.Context, schema, name string) error {
	_, err := s.conn.Exec(ctx, "drop index concurrently if exists "+pgx.Identifier{schema, name}.Sanitize())
	return err
}

// dropRemains takes the INVALID index of a failed build away at once: it slows writers down, and a unique one even
// refuses rows. Where that fails too, the next run does it.
func (m *Migrator) dropRemains(ctx context.Context, s *session, o parse.Outcome) {
	if s.conn.IsClosed() {
		return
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	state, err := s.index(clean, o)
	if err == nil && state.exists && !state.valid && !state.building {
		_ = s.dropIndex(clean, state.schema, o.Name)
	}
}
