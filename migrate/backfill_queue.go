package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// checkBackfill gives the first thing that keeps a file's backfill from being run, as a *FileError.
func (m *Migration) checkBackfill() error {
	_, problems := parse.Backfill(m.File())
	for _, p := range problems {
		if p.Fatal {
			return &FileError{Path: m.Path, Span: p.Span, Source: m.File().Text, Message: p.Message, Hint: p.Hint}
		}
	}
	return nil
}

// inline reports whether migrate runs backfills itself instead of queueing them.
func (m *Migrator) inline(e Environment) bool { return e == Dev || m.opts.InlineBackfills }

// enqueue puts a backfill into the queue and records its file, in one transaction. Where the table has no rows there is
// nothing to move, and the backfill is done. What cannot be run in batches is refused, and nothing is recorded.
func (m *Migrator) enqueue(ctx context.Context, s *session, step Step, def *phases.BackfillDef) (empty bool, err error) {
	f := step.Migration.File()
	text := f.Statements[def.Statement].Text
	plan, err := s.layOut(ctx, step.Migration.Name, def, text)
	if err != nil {
		return false, err
	}
	if plan.Partitions == 0 && plan.GoesBy == "" {
		return false, &RefusedError{
			Message: fmt.Sprintf("%s: table %s does not exist", step.Migration.Path, def.Table),
			Hint:    "a backfill follows the migration that makes its table and columns",
		}
	}
	if err := s.tryStatement(ctx, step, def, plan); err != nil {
		return false, err
	}
	state := BackfillQueued
	if plan.Empty {
		state = BackfillDone
	}
	options := map[string]string{}
	for _, d := range f.Directives {
		if d.Name == "backfill" {
			options = d.Options
		}
	}
	encoded, err := json.Marshal(options)
	if err != nil {
		return false, fmt.Errorf("encode the backfill's options: %w", err)
	}
	return plan.Empty, pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		for _, d := range assertions(f) {
			if err := s.assert(ctx, f, d); err != nil {
				return err
			}
		}
		const empty = `delete from pawl.backfill_range where version = $1`
		if _, err := tx.Exec(ctx, empty, string(step.Migration.Version)); err != nil {
			return classify(ctx, "queue "+step.Migration.Name, err)
		}
		const insert = `
insert into pawl.backfill (version, name, checksum, statement, options, done_query, search_path, relation, goes_by, state, pawl_version, finished_at)
values ($1, $2, $3, $4, $5::jsonb, $6, $7, $8, $9, $10, $11, case when $10 = 'done' then clock_timestamp() end)
on conflict (version) do update set name = excluded.name, checksum = excluded.checksum, statement = excluded.statement, options = excluded.options,
    done_query = excluded.done_query, search_path = excluded.search_path, relation = excluded.relation, goes_by = excluded.goes_by,
    state = excluded.state, reason = '', limited_by = '', pass = 0, rate = 0, queued_at = clock_timestamp(), started_at = null,
    finished_at = excluded.finished_at, heartbeat_at = null, pawl_version = excluded.pawl_version`
		if _, err := tx.Exec(ctx, insert, string(step.Migration.Version), step.Migration.Name, step.Migration.Sum, text, string(encoded), def.Done,
			s.searchPathList(), plan.Table, plan.GoesBy, string(state), m.opts.PawlVersion); err != nil {
			return classify(ctx, "queue "+step.Migration.Name, err)
		}
		_, err := tx.Exec(ctx, "select 1"+m.record(s, step))
		return classify(ctx, "queue "+step.Migration.Name, err)
	})
}

// applyBackfill queues a backfill, or runs it where backfills are run inline.
func (m *Migrator) applyBackfill(ctx context.Context, s *session, g *gatekeeper, step Step, def *phases.BackfillDef, start time.Time) (gate.Decision, error) {
	d := gate.Decision{Allowed: true}
	if step.Decision != nil {
		d = *step.Decision
	}
	empty, err := m.enqueue(ctx, s, step, def)
	if err != nil {
		return d, err
	}
	m.opts.OnEvent(BackfillEnqueued{step.Migration, empty})
	if !empty && !m.inline(g.environment) {
		return d, nil
	}
	if !empty {
		if _, err := m.RunBackfills(ctx, BackfillRun{Version: step.Migration.Version, UntilDone: true}); err != nil {
			return d, err
		}
	}
	m.opts.OnEvent(Applied{Migration: step.Migration, Phase: step.Phase, Duration: time.Since(start), Attempts: 1, Decision: step.Decision})
	return d, nil
}

// tryStatement has PostgreSQL plan a batch, so that a statement which it refuses is refused before it is queued.
func (s *session) tryStatement(ctx context.Context, step Step, def *phases.BackfillDef, plan *BackfillPlan) error {
	if len(plan.parts) == 0 {
		return nil
	}
	f := step.Migration.File()
	st := f.Statements[def.Statement]
	for _, query := range []string{st.Text, def.Done} {
		if query == "" {
			continue
		}
		if _, err := s.conn.Exec(ctx, "explain "+query); err != nil {
			if sqlState(err) == "" {
				return classify(ctx, "try "+step.Migration.Name, err)
			}
			return sortStatementError(ctx, step.Migration, &StatementError{Path: f.Path, At: st.Span.Start, Source: f.Text, Statement: query, Err: err})
		}
	}
	return nil
}

// runOpen runs what is left in the queue of a development database: there, migrate is done when the backfills are.
func (m *Migrator) runOpen(ctx context.Context, s *session) error {
	list, err := s.backfills(ctx)
	if err != nil {
		return err
	}
	for _, b := range list {
		if b.Open() && b.State != BackfillPaused {
			if _, err := m.RunBackfills(ctx, BackfillRun{Version: b.Version, UntilDone: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

// backfillPlans looks up how the plan's backfills would be run. What the database cannot tell yet, because an earlier
// migration of the same run makes it, is left out.
func (m *Migrator) backfillPlans(ctx context.Context, s *session, p *Plan) error {
	for i := range p.Steps {
		step := &p.Steps[i]
		def, _ := parse.Backfill(step.Migration.File())
		if def == nil {
			continue
		}
		plan, err := s.layOut(ctx, step.Migration.Name, def, step.Migration.File().Statements[def.Statement].Text)
		if err != nil && s.conn.IsClosed() {
			return err
		}
		if err != nil {
			plan = &BackfillPlan{Table: def.Table.String(), DoneQuery: def.Done, GoesBy: err.Error()}
		}
		plan.Fires = slices.DeleteFunc(plan.Fires, func(name string) bool { return slices.Contains(def.Settings.Triggers, name) })
		step.Backfill = plan
	}
	return nil
}
