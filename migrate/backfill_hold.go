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

// pastBackfills holds what takes something that a backfill still needs. A contract that the gate allows is looked at
// again here; what the gate holds stays held.
func (g *gatekeeper) pastBackfills(ctx context.Context, t *todo, decide judge) judge {
	var queue []*BackfillStatus
	read := false
	return func(m *Migration, a *phases.Assessment) gate.Decision {
		d := decide(m, a)
		if refused, ok := g.refused[m.Version]; ok && g.err == nil {
			return refused
		}
		if !Gated(a) || g.err != nil {
			return d
		}
		if !read && g.s.hasLedger {
			var err error
			if queue, err = g.s.backfills(ctx); err != nil {
				g.err = err
				return gate.Decision{}
			}
			read = true
		}
		for _, b := range queue {
			object, tied := needs(b.Statement, a)
			if !tied || b.Version == m.Version {
				continue
			}
			why, err := g.s.unfinished(ctx, b, planLook)
			if err != nil {
				g.err = err
				return gate.Decision{}
			}
			if why != "" {
				holdFor(&d, b.Version, b.Name, object, why, b.how())
			}
		}
		for _, p := range t.pending {
			def, _ := parse.Backfill(p.File())
			if def == nil || p.Version == m.Version || g.m.inline(g.environment) {
				continue
			}
			text := p.File().Statements[def.Statement].Text
			object, tied := needs(text, a)
			if !tied {
				continue
			}
			some, err := g.s.hasRows(ctx, def)
			if err != nil {
				g.err = err
				return gate.Decision{}
			}
			if some {
				holdFor(&d, p.Version, p.Name, object, "its data has not been moved yet", "--until-done")
			}
		}
		return d
	}
}

// planLook is how long a done query may take while the plan is made; the contract's own transaction asks it in full.
const planLook = 5 * time.Second

// needs reports whether the change takes something that the backfill's statement names, and what.
func needs(statement string, a *phases.Assessment) (object string, tied bool) {
	change := ChangeOf(a)
	mentions := parse.Mentions(statement)
	for _, t := range change.Takes {
		if t.Everything {
			return "what cannot be seen", true
		}
		if mentions.Meets(t.Take, nil).Uses != 0 {
			return t.Object.String(), true
		}
	}
	if change.Phase != phases.Unknown {
		return "", false
	}
	// Nothing is known of what it takes, so sharing a table is enough.
	touched := touches(a)
	for name := range mentions.Names {
		if touched[name] {
			return name, true
		}
	}
	return "what cannot be seen", touched[everything]
}

// holdFor turns a decision into one that waits for a backfill.
func holdFor(d *gate.Decision, version Version, name, object, why, how string) {
	d.Allowed = false
	d.Verdict = max(d.Verdict, gate.Broken)
	d.Findings = append(d.Findings, gate.Finding{
		Verdict: gate.Broken, Message: fmt.Sprintf("backfill %s still needs %s: %s", name, object, why),
		Next: fmt.Sprintf("`pawl backfill run %s %s`, then `pawl migrate`", labelOf(name, version), how),
	})
}

// how is the option by which a run brings the backfill to its end.
func (b *BackfillStatus) how() string {
	if b.Open() {
		return "--until-done"
	}
	return "--again"
}

// unfinished says what is left to do about a backfill; empty where it is done and its query says so. A query that takes
// longer than the patience is left open, 0 is without end.
func (s *session) unfinished(ctx context.Context, b *BackfillStatus, patience time.Duration) (string, error) {
	if b.Open() {
		return b.Describe(), nil
	}
	if b.DoneQuery == "" {
		if b.State == BackfillAborted {
			return b.Describe(), nil
		}
		return "", nil
	}
	var done *bool
	begin := fmt.Sprintf("set local statement_timeout = %d; set local search_path = %s", patience.Milliseconds(), b.SearchPath)
	err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, begin); err != nil {
			return err
		}
		return tx.QueryRow(ctx, b.DoneQuery).Scan(&done)
	})
	return b.outcome(ctx, done, err)
}

// outcome reads the answer of a done query.
func (b *BackfillStatus) outcome(ctx context.Context, done *bool, err error) (string, error) {
	switch code := sqlState(err); {
	case code == "57014" && ctx.Err() == nil:
		return "", nil
	case code == "42P01" || code == "42703" || code == "42883" || code == "3F000":
		// What it asks about went with an earlier contract, which waited for it.
		return "", nil
	case errors.Is(err, pgx.ErrNoRows):
	case err != nil:
		return "", classify(ctx, "ask whether backfill "+b.Name+" is complete", err)
	case done != nil && *done:
		return "", nil
	}
	if b.State == BackfillAborted {
		return b.Describe(), nil
	}
	return "rows in the old shape have come since it was done", nil
}

// hasRows reports whether the table that a backfill goes through is there and has rows.
func (s *session) hasRows(ctx context.Context, def *phases.BackfillDef) (bool, error) {
	table := pgx.Identifier{def.Table.Relation}
	if def.Table.Schema != "" {
		table = pgx.Identifier{def.Table.Schema, def.Table.Relation}
	}
	var exists, some bool
	err := s.conn.QueryRow(ctx, `select to_regclass($1) is not null`, table.Sanitize()).Scan(&exists)
	if err == nil && exists {
		err = s.conn.QueryRow(ctx, "select exists (select from "+table.Sanitize()+")").Scan(&some)
	}
	return some, classify(ctx, "look into the backfill's table", err)
}

// backfillsFor lists the backfills that a contract takes something from.
func (g *gatekeeper) backfillsFor(ctx context.Context, step Step) ([]*BackfillStatus, error) {
	if !Gated(step.Assessment) {
		return nil, nil
	}
	queue, err := g.s.backfills(ctx)
	if err != nil {
		return nil, err
	}
	var tied []*BackfillStatus
	for _, b := range queue {
		if _, ok := needs(b.Statement, step.Assessment); ok && b.Version != step.Migration.Version {
			tied = append(tied, b)
		}
	}
	return tied, nil
}

// backfillsDone looks inside the contract's own transaction, before anything of it is done, whether the backfills that
// it takes something from are done and their queries are true. Their rows are locked until the transaction ends.
func (g *gatekeeper) backfillsDone(ctx context.Context, step Step, tied []*BackfillStatus) (gate.Decision, error) {
	d := gate.Decision{Allowed: true}
	if step.Decision != nil {
		d = *step.Decision
	}
	for _, b := range tied {
		var state, reason string
		err := g.s.conn.QueryRow(ctx, `select state, reason from pawl.backfill where version = $1 for key share`, string(b.Version)).Scan(&state, &reason)
		if err != nil {
			return gate.Decision{}, err
		}
		b.State, b.Reason = BackfillState(state), reason
		var why string
		if b.Open() || b.DoneQuery == "" {
			if why, err = g.s.unfinished(ctx, b, 0); err != nil {
				return gate.Decision{}, err
			}
		} else if why, err = g.s.askDone(ctx, b); err != nil {
			return gate.Decision{}, err
		}
		if why != "" {
			object, _ := needs(b.Statement, step.Assessment)
			holdFor(&d, b.Version, b.Name, object, why, b.how())
		}
	}
	if !d.Allowed {
		if g.refused == nil {
			g.refused = map[Version]gate.Decision{}
		}
		g.refused[step.Migration.Version] = d
	}
	return d, nil
}

// askDone asks a done query inside the transaction that is under way.
func (s *session) askDone(ctx context.Context, b *BackfillStatus) (string, error) {
	var path string
	if err := s.conn.QueryRow(ctx, `select current_setting('search_path')`).Scan(&path); err != nil {
		return "", err
	}
	if _, err := s.conn.Exec(ctx, "savepoint pawl_done; set local search_path = "+b.SearchPath); err != nil {
		return "", err
	}
	var done *bool
	err := s.conn.QueryRow(ctx, b.DoneQuery).Scan(&done)
	why, fault := b.outcome(ctx, done, err)
	if fault != nil {
		return "", err
	}
	after := "release savepoint pawl_done"
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		after = "rollback to savepoint pawl_done; " + after
	}
	if _, err := s.conn.Exec(ctx, after); err != nil {
		return "", err
	}
	_, err = s.conn.Exec(ctx, `select set_config('search_path', $1, true)`, path)
	return why, err
}
