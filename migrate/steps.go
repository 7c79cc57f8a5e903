package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/internal/pattern"
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
	j, err := m.begin(ctx, s, step)
	if err != nil {
		return allowed, err
	}
	several := len(step.Assessment.Statements) > 1
	for i, st := range step.Assessment.Statements {
		switch {
		case st.Statement.Control != "":
			continue
		case i < j.done:
			// What an earlier run set for its session is gone with it, and the rest of the file counts on it.
			if setsSession(st.Statement) {
				if _, err := s.conn.Exec(ctx, st.Statement.Text); err != nil {
					return allowed, m.stepError(ctx, s, step, i, err)
				}
			}
			continue
		}
		if err := m.runStep(ctx, s, step, i, j.doubt && i == j.done); err != nil {
			return allowed, m.stepError(ctx, s, step, i, err)
		}
		if several && !st.Transactional {
			if err := m.journal(ctx, s, step, i); err != nil {
				return allowed, err
			}
		}
	}
	record := s.conn.own("begin" + m.record(s, step) + "; commit")
	if _, err := s.conn.PgConn().Exec(ctx, record).ReadAll(); err != nil {
		return allowed, classify(ctx, "record "+step.Migration.Name, err)
	}
	if _, err := s.conn.Exec(ctx, "reset lock_timeout; reset statement_timeout"); err != nil {
		return allowed, classify(ctx, "reset the timeouts", err)
	}
	return allowed, nil
}

// runStep runs one statement, with as many attempts as its locks need.
func (m *Migrator) runStep(ctx context.Context, s *session, step Step, index int, doubt bool) error {
	start := time.Now()
	limits := m.stepLimits(step, index)
	deadline := start.Add(m.opts.LockDeadline)
	timeout := limits.lock
	for attempt := 1; ; attempt++ {
		timeouts := fmt.Sprintf("set lock_timeout = %d; set statement_timeout = %d", timeout.Milliseconds(), limits.statement.Milliseconds())
		if _, err := s.conn.Exec(ctx, timeouts); err != nil {
			return err
		}
		watch := m.watch(ctx, s, step.Migration, start, timeout)
		err := m.runStatement(ctx, s, step, index, doubt)
		blockers := watch.stop()
		if err == nil || s.conn.IsClosed() || ctx.Err() != nil {
			return err
		}
		m.rollback(ctx, s)
		if code := sqlState(err); code != "55P03" && code != "40P01" {
			return err
		}
		pause := jitter(2 * min(timeout, m.opts.MaxLockTimeout))
		if time.Now().Add(pause).After(deadline) {
			return &TransientError{
				Message: fmt.Sprintf("%s: a lock was not had within %s (%d attempts)%s", step.Migration.Path, m.opts.LockDeadline, attempt, blame(blockers)),
				Hint:    "end the transactions named, or run pawl again when they are over: what it had begun is put right by the next run", Err: unwrapStatement(err),
			}
		}
		m.opts.OnEvent(LockMissed{Migration: step.Migration, Attempt: attempt, Timeout: timeout, Pause: pause, Blockers: blockers})
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		timeout = min(timeout*3/2, limits.maxLock)
	}
}

// recheckAlone asks the gate once more in a short transaction, for statements that cannot be in one themselves.
func (m *Migrator) recheckAlone(ctx context.Context, s *session, g *gatekeeper, step Step) (gate.Decision, error) {
	backfills, err := g.backfillsFor(ctx, step)
	if err != nil {
		return *step.Decision, err
	}
	for attempt := 1; ; attempt++ {
		decision, err := m.recheckOnce(ctx, s, g, step, backfills)
		slow := (*slowRecheckError)(nil)
		if !errors.As(err, &slow) {
			return decision, classify(ctx, "ask the gate again", err)
		}
		if decision, err = g.decideAnew(ctx, &step, slow, attempt); err != nil || !decision.Allowed {
			return decision, classify(ctx, "ask the gate again", err)
		}
	}
}

func (m *Migrator) recheckOnce(ctx context.Context, s *session, g *gatekeeper, step Step, backfills []*BackfillStatus) (gate.Decision, error) {
	decision := *step.Decision
	err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if len(backfills) > 0 {
			if d, err := g.backfillsDone(ctx, step, backfills); err != nil || !d.Allowed {
				decision = d
				return err
			}
		}
		d, err := g.again(ctx, step, time.Now())
		decision = d
		if err != nil || !d.Allowed || g.snapshot == nil {
			return err
		}
		_, err = tx.Exec(ctx, m.recordDecision(step, d))
		return err
	})
	return decision, err
}

// journaled is what the ledger knows of a file of steps. The zero journaled is that of one which was never begun.
type journaled struct {
	// done is the index of the first statement that is not known to be done.
	done int
	// doubt is true where an earlier run may have been at that statement.
	doubt bool
	// text is the checksum of the statements that are done; empty for none.
	text string
}

// journaled reads how far a running migration came with a text of this checksum.
func (s *session) journaled(ctx context.Context, version Version, sum string) (journaled, error) {
	const query = `
select coalesce(max((e.detail ->> 'index')::int) filter (where e.kind in ('step', 'amended')) + 1, 0),
       coalesce((array_agg(e.kind order by e.id desc))[1], '') not in ('step_failed', 'amended'),
       coalesce((array_agg(e.detail ->> 'text' order by e.id desc) filter (where e.kind in ('step', 'amended')))[1], '')
from pawl.event e join pawl.migration m using (version)
where e.kind in ('step', 'step_failed', 'resumed', 'amended') and e.version = $1 and e.at >= m.started_at and e.detail ->> 'checksum' = $2`
	var j journaled
	err := s.conn.QueryRow(ctx, query, string(version), sum).Scan(&j.done, &j.doubt, &j.text)
	return j, classify(ctx, "read the journal", err)
}

// begin writes the running row, or reads how far an earlier run came.
func (m *Migrator) begin(ctx context.Context, s *session, step Step) (journaled, error) {
	if step.Resume {
		if step.Amends != "" {
			if err := m.amend(ctx, s, step); err != nil {
				return journaled{}, err
			}
		}
		j, err := s.journaled(ctx, step.Migration.Version, step.Migration.Sum)
		if err != nil {
			return j, err
		}
		const query = `insert into pawl.event (kind, version, detail, pawl_version) values ('resumed', $1, jsonb_build_object('index', $2::int, 'checksum', $3::text), $4)`
		_, err = s.conn.Exec(ctx, query, string(step.Migration.Version), j.done, step.Migration.Sum, m.opts.PawlVersion)
		return j, classify(ctx, "record that "+step.Migration.Name+" goes on", err)
	}
	const query = `
insert into pawl.migration as m (version, name, checksum, phase, state, transactional, pawl_version)
values ($1, $2, $3, $4, 'running', false, $5)
on conflict (version) do update set name = excluded.name, checksum = excluded.checksum, state = 'running',
    started_at = clock_timestamp(), reason = null, pawl_version = excluded.pawl_version where m.state = 'held'`
	_, err := s.conn.Exec(ctx, query, string(step.Migration.Version), step.Migration.Name, step.Migration.Sum,
		phaseOf(step.Assessment).String(), m.opts.PawlVersion)
	return journaled{}, classify(ctx, "record the beginning of "+step.Migration.Name, err)
}

// amend has the running row stand for the corrected text: what is done of the old one is done of this one.
func (m *Migrator) amend(ctx context.Context, s *session, step Step) error {
	const query = `
with amended as (
    update pawl.migration set checksum = $3, name = $4, phase = $5, pawl_version = $6 where version = $1 and state = 'running' and checksum = $2
    returning started_at
)
insert into pawl.event (kind, version, detail, pawl_version)
select 'amended', $1, (select e.detail from pawl.event e where e.kind in ('step', 'amended') and e.version = $1 and e.at >= a.started_at
    and e.detail ->> 'checksum' = $2 order by e.id desc limit 1) || jsonb_build_object('checksum', $3::text, 'was', $2::text), $6
from amended a`
	tag, err := s.conn.Exec(ctx, query, string(step.Migration.Version), step.Amends, step.Migration.Sum, step.Migration.Name, phaseOf(step.Assessment).String(), m.opts.PawlVersion)
	if err == nil && tag.RowsAffected() != 1 {
		return &IntegrityError{Version: step.Migration.Version, Path: step.Migration.Path, Message: "its running row has changed since the plan was made", Hint: "run pawl again"}
	}
	return classify(ctx, "record that "+step.Migration.Name+" was corrected", err)
}

// failed records that PostgreSQL refused a statement, so that no later run takes it for one in doubt. Where nothing of
// the file was done, its running row goes: the file may then be corrected like any other that failed.
func (m *Migrator) failed(ctx context.Context, s *session, step Step, index int, code string) error {
	const query = `
with failed as (
    insert into pawl.event (kind, version, detail, pawl_version)
    values ('step_failed', $1, jsonb_build_object('index', $2::int, 'checksum', $3::text, 'code', $4::text), $5)
)
delete from pawl.migration m where m.version = $1 and m.state = 'running' and not exists (
    select from pawl.event e
    where e.kind = 'step' and e.version = $1 and e.at >= m.started_at and e.detail ->> 'checksum' = $3)`
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if changesSession(step.Migration.File()) {
		if _, err := s.conn.Exec(clean, ownRights); err != nil {
			return classify(clean, "take back the session's own rights", err)
		}
	}
	_, err := s.conn.Exec(clean, query, string(step.Migration.Version), index, step.Migration.Sum, code, m.opts.PawlVersion)
	return classify(clean, "record that a statement of "+step.Migration.Name+" failed", err)
}

func (m *Migrator) journal(ctx context.Context, s *session, step Step, index int) error {
	_, err := s.conn.Exec(ctx, m.journalText(step, index))
	return classify(ctx, "journal a step of "+step.Migration.Name, err)
}

func (m *Migrator) journalText(step Step, index int) string {
	text := fmt.Sprintf("insert into pawl.event (kind, version, detail, pawl_version) values ('step', %s, jsonb_build_object('index', %d, 'checksum', %s, 'text', %s), %s)",
		literal(string(step.Migration.Version)), index, literal(step.Migration.Sum), literal(step.Migration.sumUntil(index+1)), literal(m.opts.PawlVersion))
	if changesSession(step.Migration.File()) {
		return keepRights + "; " + ownRights + "; " + text + "; " + giveRightsBack
	}
	return text
}

// A file may take another role for its statements, which has no rights to the ledger: the session's own rights come back for the
// journal, and then the role's again. The three are statements for one transaction.
const (
	keepRights = `select pg_catalog.set_config('pawl.role', pg_catalog.current_setting('role'), true),
    pg_catalog.set_config('pawl.session', pg_catalog.current_setting('session_authorization'), true)`
	ownRights      = "reset session authorization; reset role"
	giveRightsBack = `select pg_catalog.set_config('session_authorization', pg_catalog.current_setting('pawl.session'), false);
select pg_catalog.set_config('role', pg_catalog.current_setting('pawl.role'), false)`
)

var onlySetConfig = pattern.Lazy(`(?is)^select\s+(pg_catalog\s*\.\s*)?set_config\s*\(\s*'[^']*'\s*,\s*'[^']*'\s*,\s*(true|false)\s*\)$`)

// setsAlone reports whether a statement sets parameters and does nothing else.
func setsAlone(s *phases.Statement) bool {
	return onlySetConfig().MatchString(s.Text) || !slices.ContainsFunc(s.Operations, func(op phases.Operation) bool { return op.Kind != "set" && op.Kind != "reset" }) &&
		len(s.Operations) > 0 && !strings.HasPrefix(strings.ToLower(s.Text), "select")
}

// setsSession reports whether a statement sets something for the session and does nothing else.
func setsSession(s *phases.Statement) bool {
	return setsAlone(s) && !slices.ContainsFunc(s.Operations, func(op phases.Operation) bool { return op.Flags.Has(phases.Local) })
}

// runStatement runs one statement of a non-transactional file, or finds that it was run. Doubt is true where an
// interrupted run may have been at it.
func (m *Migrator) runStatement(ctx context.Context, s *session, step Step, index int, doubt bool) error {
	st := step.Assessment.Statements[index]
	f := step.Migration.File()
	p := part{start: st.Statement.Span.Start.Offset, end: st.Statement.Span.End.Offset, first: index}
	if st.Transactional {
		// Its effect and the journal's row commit together, so it needs no looking up.
		p.before, p.beforeCount, p.after = "begin; ", 1, "\n;"+m.journalText(step, index)+"; commit"
		return s.send(ctx, f, f.Text, p)
	}
	o := parse.OutcomeOf(st.Statement.Text)
	switch o.Kind {
	case parse.IndexBuilt:
		return m.buildIndex(ctx, s, step.Migration, p, st.Statement, o)
	case parse.Reindexed:
		return m.reindex(ctx, s, step.Migration, p, o, doubt)
	case parse.PartitionDetached:
		return m.detach(ctx, s, step.Migration, p, o, doubt)
	case parse.Repeatable:
	case parse.Unsure:
		if doubt {
			return &IntegrityError{
				Version: step.Migration.Version, Path: step.Migration.Path,
				Message: fmt.Sprintf("line %d was begun by a run that did not end, and the catalog cannot tell whether it took effect", st.Statement.Span.Start.Line),
				Hint:    fmt.Sprintf("look at the database, then say what is true: `pawl resolve %s --applied|--not-applied --reason …`", step.Migration.Label),
			}
		}
	default:
		if doubt {
			done, what, err := s.tookEffect(ctx, o)
			if err != nil {
				return err
			}
			if done {
				m.opts.OnEvent(Recovered{step.Migration, what})
				return nil
			}
		}
	}
	return s.send(ctx, f, f.Text, p)
}

// stepError cleans up after a failed statement and sorts the error.
func (m *Migrator) stepError(ctx context.Context, s *session, step Step, index int, err error) error {
	migration := step.Migration
	if s.conn.IsClosed() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return classify(ctx, "apply "+migration.Name, unwrapStatement(err))
	}
	m.rollback(ctx, s)
	// An answer of the server is certainty: whatever the statement had begun is undone, or found by name the next time.
	code := sqlState(err)
	var integrity *IntegrityError
	if errors.As(err, &integrity) && integrity.untouched {
		code = "untouched"
	}
	if code != "" {
		if recordErr := m.failed(ctx, s, step, index, code); recordErr != nil && ctx.Err() == nil {
			return errors.Join(sortStatementError(ctx, migration, err), recordErr)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var refused *StatementError
	if errors.As(err, &refused) {
		refused.Alone, refused.Done = true, index
	}
	var known interface{ pawlError() }
	if errors.As(err, &known) {
		return sortStatementError(ctx, migration, err)
	}
	return classify(ctx, "apply "+migration.Name, err)
}
