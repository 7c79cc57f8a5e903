package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/migrations"
	"github.com/bitvault/pawl/phases"
)

// BackfillRun says what a worker is to do. The zero BackfillRun takes whatever can be worked on now.
type BackfillRun struct {
	// Version is the one backfill to work on; empty means all in the queue.
	Version Version
	// UntilDone makes it wait for windows, for persons and for other workers, and return only when nothing is left.
	UntilDone bool
	// Again goes through the table of a backfill once more that is done or was given up.
	Again bool
	// Overrides are settings by the names of phases.BackfillOptions; they win over the directive's.
	Overrides map[string]string
}

func sortBackfills(list []*BackfillStatus) {
	slices.SortFunc(list, func(a, b *BackfillStatus) int { return a.Version.Compare(b.Version) })
}

// queueSession opens a session on a ledger that has the queue.
func (m *Migrator) queueSession(ctx context.Context) (*session, error) {
	s, err := m.dial(ctx, true)
	if err != nil {
		return nil, err
	}
	l, err := s.ledger(ctx)
	if err == nil && s.hasLedger && l.Schema < migrations.Newest {
		err = m.with(ctx, func(*session, *Ledger) error { return nil })
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// RunBackfills works on the queue. Any number of processes may do so at once: each stretch of a table has one worker at a
// time. It gives what it worked on, as it stands in the end.
func (m *Migrator) RunBackfills(ctx context.Context, o BackfillRun) ([]*BackfillStatus, error) {
	s, err := m.queueSession(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if o.Version != "" {
		b, err := s.backfill(ctx, o.Version)
		if err != nil {
			return nil, err
		}
		if err := m.requeue(ctx, s, b, o); err != nil {
			return nil, err
		}
	}
	failed := map[Version]error{}
	for {
		list, err := m.workable(ctx, s, o, failed)
		if err != nil {
			return nil, err
		}
		for _, b := range list {
			if b.State == BackfillPaused {
				continue
			}
			err := m.runBackfill(ctx, s, b, o)
			if transient := (*TransientError)(nil); errors.As(err, &transient) || ctx.Err() != nil {
				return list, err
			}
			if err != nil {
				failed[b.Version] = m.fail(ctx, s, b, err)
			}
		}
		rest, err := m.workable(ctx, s, o, failed)
		if err != nil {
			return nil, err
		}
		if len(rest) == 0 || !o.UntilDone {
			all := make([]error, 0, len(failed))
			for _, err := range failed {
				all = append(all, err)
			}
			return list, errors.Join(all...)
		}
		if err := sleep(ctx, time.Second); err != nil {
			return nil, err
		}
	}
}

// requeue puts a backfill back into the queue that was asked for by its version.
func (m *Migrator) requeue(ctx context.Context, s *session, b *BackfillStatus, o BackfillRun) error {
	switch {
	case b.State == BackfillPaused:
		return &RefusedError{
			Message: fmt.Sprintf("backfill %s is paused%s", b.Name, because(b.Reason)),
			Hint:    fmt.Sprintf("`pawl backfill resume %s` lets it go on", b.Label()),
		}
	case o.Again && !b.Open():
		const query = `
with again as (update pawl.backfill set state = 'queued', reason = '', finished_at = null where version = $1 and state in ('done', 'aborted') returning version)
insert into pawl.event (kind, version, pawl_version) select 'backfill again', version, $2 from again`
		_, err := s.conn.Exec(ctx, query, string(b.Version), m.opts.PawlVersion)
		return classify(ctx, "queue the backfill again", err)
	case b.State == BackfillAborted:
		return &RefusedError{
			Message: fmt.Sprintf("backfill %s was aborted%s", b.Name, because(b.Reason)),
			Hint:    fmt.Sprintf("`pawl backfill resume %s` goes on where it stopped; `pawl backfill run %s --again` begins anew", b.Label(), b.Label()),
		}
	}
	return nil
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// workable lists the backfills that this run has something to do about.
func (m *Migrator) workable(ctx context.Context, s *session, o BackfillRun, failed map[Version]error) ([]*BackfillStatus, error) {
	list, err := s.backfills(ctx)
	return slices.DeleteFunc(list, func(b *BackfillStatus) bool {
		_, bad := failed[b.Version]
		return bad || !b.Open() || o.Version != "" && b.Version != o.Version
	}), err
}

// fail stores why a backfill cannot go on. Its place is kept.
func (m *Migrator) fail(ctx context.Context, s *session, b *BackfillStatus, cause error) error {
	const query = `
with failed as (update pawl.backfill set state = 'failed', reason = $2, limited_by = '' where version = $1 and state in ('queued', 'running') returning version)
insert into pawl.event (kind, version, detail, pawl_version) select 'backfill failed', version, jsonb_build_object('reason', $2::text), $3 from failed`
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, err := s.conn.Exec(clean, query, string(b.Version), cause.Error(), m.opts.PawlVersion)
	return errors.Join(cause, classify(clean, "store why the backfill failed", err))
}

// backfillRun is the work of one process on one backfill.
type backfillRun struct {
	m        *Migrator
	status   *BackfillStatus
	def      *phases.BackfillDef
	settings phases.BackfillSettings
	throttle *throttle
	// maxBatch bounds the rows of a batch: a part of the table small enough that few writers meet a locked row.
	maxBatch int
	// halt is set when the batches have to stop: by a person, or because the window closes.
	halt atomic.Bool
	// vacuum is held for writing while a table is vacuumed.
	vacuum  sync.RWMutex
	mu      sync.Mutex
	dead    map[uint32]int64
	rows    map[uint32]int64
	noVac   map[uint32]bool
	limit   string
	workers atomic.Int64
}

// mostPasses bounds how often a table is gone through before the backfill counts as one that does not end.
const mostPasses = 4

// runBackfill works on one backfill as long as there is something for this process to do.
func (m *Migrator) runBackfill(ctx context.Context, s *session, b *BackfillStatus, o BackfillRun) error {
	settings, err := b.settings(o.Overrides)
	if err != nil {
		return err
	}
	if wait := settings.Between.Until(time.Now()); wait > 0 {
		return m.outside(ctx, s, b, settings, wait)
	}
	def, err := b.definition()
	if err != nil {
		return err
	}
	if _, err := s.conn.Exec(ctx, "set search_path = "+b.SearchPath); err != nil {
		return classify(ctx, "set the search path", err)
	}
	run := &backfillRun{m: m, status: b, def: def, settings: settings, dead: map[uint32]int64{}, rows: map[uint32]int64{}, noVac: map[uint32]bool{}}
	first := b.Pass
	m.opts.OnEvent(BackfillStarted{b})
	for {
		fresh, err := run.turn(ctx, s)
		if err != nil {
			return err
		}
		b = fresh
		run.status = fresh
		switch {
		case !b.Open() || b.State == BackfillPaused || run.halt.Load():
			m.opts.OnEvent(BackfillEnded{b})
			return nil
		case b.RangesDone < b.Ranges:
			// Others work on the rest.
			m.opts.OnEvent(BackfillEnded{b})
			return nil
		case b.Pass-first >= mostPasses && b.State == BackfillRunning:
			return &RefusedError{
				Message: fmt.Sprintf("backfill %s: rows are still left after %d passes over %s", b.Name, b.Pass-first-1, b.Table),
				Hint: "something goes on writing the old shape, or the statement leaves its own condition true; keep old and new in step first: `pawl new dual-write`\n" +
					"what is left: " + b.DoneQuery,
			}
		}
	}
}

// outside tells that a backfill waits for its window.
func (m *Migrator) outside(ctx context.Context, s *session, b *BackfillStatus, settings phases.BackfillSettings, wait time.Duration) error {
	why := fmt.Sprintf("it is outside of %s, which begins in %s", settings.Between, wait.Round(time.Minute))
	if b.LimitedBy != why {
		b.LimitedBy = why
		m.opts.OnEvent(BackfillWaits{b, why})
	}
	_, err := s.conn.Exec(ctx, `update pawl.backfill set limited_by = $2 where version = $1 and limited_by <> $2`, string(b.Version), why)
	return classify(ctx, "store what the backfill waits for", err)
}

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
		if err := run.work(ctx, s); err != nil {
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
	fmt.Fprintf(h, "pawl/%d/%s/backfill/%s/%s", s.databaseID, LedgerSchema, version, part)
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
	if b.RowsChanged == 0 && b.Pass > 1 {
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

// work runs the workers and the watch beside them until no range is free any more, or something stops them.
func (run *backfillRun) work(ctx context.Context, s *session) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	relations := make([]uint32, 0, len(run.rows))
	for oid := range run.rows {
		relations = append(relations, oid)
	}
	run.throttle = &throttle{settings: run.settings, relations: relations}
	watcher, err := run.session(ctx)
	if err != nil {
		return err
	}
	defer watcher.close()
	if err := run.watch(ctx, watcher); err != nil {
		return err
	}
	var group sync.WaitGroup
	errs := make([]error, run.settings.Workers+1)
	var working sync.WaitGroup
	done := make(chan struct{})
	for i := range run.settings.Workers {
		working.Add(1)
		group.Go(func() {
			defer working.Done()
			if errs[i] = run.worker(ctx); errs[i] != nil {
				cancel(errs[i])
			}
		})
	}
	group.Go(func() {
		working.Wait()
		close(done)
	})
	group.Go(func() {
		if err := run.keepWatch(ctx, watcher, done); err != nil && ctx.Err() == nil {
			errs[len(errs)-1] = err
			cancel(err)
		}
	})
	group.Wait()
	// The first cause is what counts; the others were cancelled because of it.
	first := context.Cause(ctx)
	for _, err := range errs {
		if err != nil && (first == nil || errors.Is(err, first)) {
			return err
		}
	}
	return cmp.Or(errs[0], first)
}

// session opens a further connection with the backfill's search path.
func (run *backfillRun) session(ctx context.Context) (*session, error) {
	s, err := run.m.dial(ctx, true)
	if err != nil {
		return nil, err
	}
	if _, err := s.conn.Exec(ctx, "set search_path = "+run.status.SearchPath); err != nil {
		s.close()
		return nil, classify(ctx, "set the search path", err)
	}
	return s, nil
}
