package migrate

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/jackc/pgx/v5"
)

// turn does what there is to do in one pass: it begins the pass if nobody has, works on the ranges that are free, and
// looks whether all is done where they are through.
func (run *backfillRun) turn(ctx context.Context, s *session) (*BackfillStatus, error) {
	b, m := run.status, run.m
	if err := run.begin(ctx, s); err != nil {
		return nil, err
	}
	fresh, err := s.backfill(ctx, b.Version)
	if err != nil {
		return nil, err
	}
	run.status = fresh
	if fresh.State == BackfillRunning && fresh.RangesDone < fresh.Ranges {
		if err := run.work(ctx); err != nil {
			return nil, err
		}
	}
	if fresh, err = s.backfill(ctx, b.Version); err != nil {
		return nil, err
	}
	if fresh.State != BackfillRunning || fresh.RangesDone < fresh.Ranges {
		return fresh, nil
	}
	run.status = fresh
	err = m.alone(ctx, s, fresh, func() error { return run.finish(ctx, s) })
	if err != nil {
		return nil, err
	}
	return s.backfill(ctx, b.Version)
}

// leaseKey is the advisory lock of a part of a backfill.
func (s *session) leaseKey(version Version, part string) int64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "pawl/%d/%s/backfill/%s/%s", s.databaseID, s.ledgerSchema, version, part)
	return int64(h.Sum64()) //nolint:gosec // the key is 64 bits, whatever their sign
}

// alone runs f while no other worker does the same for this backfill; it waits for its turn.
func (m *Migrator) alone(ctx context.Context, s *session, b *BackfillStatus, f func() error) (err error) {
	key := s.leaseKey(b.Version, "whole")
	for {
		var got bool
		if err := s.conn.QueryRow(ctx, `select pg_try_advisory_lock($1)`, key).Scan(&got); err != nil {
			return classify(ctx, "take the backfill's lock", err)
		}
		if got {
			break
		}
		if err := sleep(ctx, jitter(200*time.Millisecond)); err != nil {
			return err
		}
	}
	defer func() {
		if s.conn.IsClosed() {
			return
		}
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_, unlock := s.conn.Exec(clean, `select pg_advisory_unlock($1)`, key)
		err = errors.Join(err, classify(clean, "release the backfill's lock", unlock))
	}()
	return f()
}

// begin starts a pass where none is under way.
func (run *backfillRun) begin(ctx context.Context, s *session) error {
	return run.m.alone(ctx, s, run.status, func() error {
		b, err := s.backfill(ctx, run.status.Version)
		if err != nil {
			return err
		}
		plan, err := s.layOut(ctx, b.Name, run.def, b.Statement)
		if err != nil {
			return err
		}
		if plan.Partitions == 0 && plan.GoesBy == "" {
			return &RefusedError{
				Message: fmt.Sprintf("backfill %s: table %s does not exist any more", b.Name, run.def.Table),
				Hint:    fmt.Sprintf("if it was dropped on purpose, give the backfill up: `pawl backfill abort %s`", b.Label()),
			}
		}
		for _, p := range plan.parts {
			run.rows[p.oid] = p.rows
		}
		const share = 1000
		run.maxBatch = run.settings.MaxBatch
		if run.maxBatch == 0 {
			run.maxBatch = int(min(20_000, max(200, plan.Rows/share)))
		}
		switch {
		case !b.Open() || b.State == BackfillPaused:
			return nil
		case b.RangesDone < b.Ranges:
			_, err := s.conn.Exec(ctx, `update pawl.backfill set state = 'running', reason = '', heartbeat_at = clock_timestamp() where version = $1 and state in ('queued', 'failed')`, string(b.Version))
			return classify(ctx, "take the backfill up again", err)
		case b.State == BackfillRunning && b.Pass > 0 && b.Ranges > 0:
			// The ranges are through; whether that is all, finish looks.
			return nil
		}
		return run.m.prepareBackfill(ctx, s, b, plan)
	})
}

// finish closes a pass whose ranges are through: the backfill is done if its query says so, and goes on otherwise.
func (run *backfillRun) finish(ctx context.Context, s *session) error {
	b, err := s.backfill(ctx, run.status.Version)
	if err != nil || b.State != BackfillRunning || b.RangesDone < b.Ranges || b.Pass != run.status.Pass {
		return err
	}
	complete, err := s.complete(ctx, b)
	if err != nil {
		return err
	}
	if complete {
		const query = `
with done as (update pawl.backfill set state = 'done', limited_by = '', reason = '', finished_at = clock_timestamp() where version = $1 and state = 'running' returning version)
insert into pawl.event (kind, version, detail, pawl_version) select 'backfill done', version, jsonb_build_object('pass', $2::int, 'rows', $3::bigint), $4 from done`
		_, err := s.conn.Exec(ctx, query, string(b.Version), b.Pass, b.RowsChanged, run.m.opts.PawlVersion)
		return classify(ctx, "store that the backfill is done", err)
	}
	// A row of old code may come after a pass has fixed its end, so one pass that found nothing does not tell. A query that
	// follows from the statement's own condition is given longer, for the two cannot disagree.
	passes := 40
	if b.DoneQuery != run.def.Done {
		passes = 5
	}
	if b.RowsChanged == 0 && b.Pass > passes {
		return &RefusedError{
			Message: fmt.Sprintf("backfill %s: nothing is left that the statement would change, and its done query is still false", b.Name),
			Hint:    "the two do not agree: " + b.DoneQuery,
		}
	}
	plan, err := s.layOut(ctx, b.Name, run.def, b.Statement)
	if err != nil {
		return err
	}
	return run.m.prepareBackfill(ctx, s, b, plan)
}

// complete asks the done query, which may read the whole table.
func (s *session) complete(ctx context.Context, b *BackfillStatus) (bool, error) {
	if b.DoneQuery == "" {
		return true, nil
	}
	var done *bool
	err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "set transaction read only; set local statement_timeout = 0; set local search_path = "+b.SearchPath); err != nil {
			return err
		}
		return tx.QueryRow(ctx, b.DoneQuery).Scan(&done)
	})
	if err != nil {
		return false, b.statementError(ctx, "ask whether backfill "+b.Name+" is complete", err)
	}
	return done != nil && *done, nil
}

// statementError says what keeps a statement of a backfill from running: what PostgreSQL says, with what to do.
func (b *BackfillStatus) statementError(ctx context.Context, attempted string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	name := fmt.Sprintf("backfill %s: ", b.Name)
	switch code := sqlState(err); {
	case code == "42P01", code == "42703":
		return &RefusedError{
			Message: name + describe(err),
			Hint:    fmt.Sprintf("what it reads or writes was changed meanwhile; if it is not needed any more: `pawl backfill abort %s`", b.Label()),
		}
	case code == "42501":
		return &ConfigError{Message: name + describe(err), Hint: "grant the role what it lacks; the next run goes on where this one stopped"}
	case code == "" || code[:2] == "08" || code[:2] == "53" || code[:3] == "57P" || code == "55P03" || code == "40P01" || code == "40001":
		return classify(ctx, attempted, err)
	}
	return &StatementError{Version: b.Version, Path: b.Name, Statement: b.Statement, Err: err}
}
