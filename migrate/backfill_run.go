package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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
		err = m.with(ctx, "backfill", func(*session, *Ledger) error { return nil })
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
	// limited and unwatched are what the watch has stored last.
	limited   string
	unwatched []string
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
	run := &backfillRun{m: m, status: b, def: def, settings: settings, dead: map[uint32]int64{}, rows: map[uint32]int64{}, noVac: map[uint32]bool{},
		limited: b.LimitedBy, unwatched: b.Unwatched}
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

// work runs the workers and the watch beside them until no range is free any more, or something stops them.
func (run *backfillRun) work(ctx context.Context) error {
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
