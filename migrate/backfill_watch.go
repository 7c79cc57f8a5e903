package migrate

import (
	"context"
	"slices"
	"time"
)

// keepWatch reads the signals until the workers are through, stores what the backfill waits for, and tells about it.
func (run *backfillRun) keepWatch(ctx context.Context, s *session, done <-chan struct{}) error {
	last := struct {
		at   time.Time
		seen int64
		rate float64
	}{time.Now(), run.status.RowsSeen, 0}
	for {
		timer := time.NewTimer(watchThrottle)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-done:
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if err := run.watch(ctx, s); err != nil {
			return err
		}
		b, err := s.backfill(ctx, run.status.Version)
		if err != nil {
			return err
		}
		if b.State != BackfillRunning || b.Pass != run.status.Pass {
			run.halt.Store(true)
		}
		now := time.Now()
		rate := float64(b.RowsSeen-last.seen) / now.Sub(last.at).Seconds()
		const weight = 0.3
		if last.rate == 0 {
			last.rate = rate
		}
		last.rate += weight * (rate - last.rate)
		last.at, last.seen = now, b.RowsSeen
		const beat = `update pawl.backfill set heartbeat_at = clock_timestamp(), rate = $2 where version = $1`
		if _, err := s.conn.Exec(ctx, beat, string(b.Version), last.rate); err != nil {
			return classify(ctx, "store how the backfill gets on", err)
		}
		b.Rate, b.Heartbeat = last.rate, &b.Now
		run.m.opts.OnEvent(BackfillProgress{b})
	}
}

// watch takes one reading, and stores and tells what has changed by it.
func (run *backfillRun) watch(ctx context.Context, s *session) error {
	before := run.throttle.blocked()
	if err := run.throttle.read(ctx, s); err != nil {
		return err
	}
	// The workers read the status meanwhile, so what is new stands in a copy.
	b := &BackfillStatus{}
	*b = *run.status
	b.LimitedBy, b.Unwatched = run.limited, run.unwatched
	if wait := run.settings.Between.Until(time.Now()); wait > 0 {
		run.halt.Store(true)
	}
	missing := run.throttle.missing()
	for _, why := range missing {
		if !slices.Contains(run.unwatched, why) {
			run.m.opts.OnEvent(BackfillUnwatched{b, why})
		}
	}
	now := run.throttle.blocked()
	limited := now
	if limited == "" {
		limited = run.limitedBy()
	}
	if limited != b.LimitedBy || !slices.Equal(missing, b.Unwatched) {
		const query = `update pawl.backfill set limited_by = $2, unwatched = $3::text[], heartbeat_at = clock_timestamp() where version = $1`
		if _, err := s.conn.Exec(ctx, query, string(b.Version), limited, missing); err != nil {
			return classify(ctx, "store what the backfill waits for", err)
		}
		b.LimitedBy, b.Unwatched = limited, missing
		run.limited, run.unwatched = limited, missing
	}
	if (now == "") == (before == "") {
		return nil
	}
	// What is told stands in the ledger already.
	kind, told := "backfill waits", Event(BackfillWaits{b, now})
	if now == "" {
		kind, told = "backfill goes on", BackfillGoesOn{b}
	}
	const event = `insert into pawl.event (kind, version, detail, pawl_version) values ($1, $2, jsonb_build_object('why', $3::text), $4)`
	if _, err := s.conn.Exec(ctx, event, kind, string(b.Version), now, run.m.opts.PawlVersion); err != nil {
		return classify(ctx, "store what the backfill waits for", err)
	}
	run.m.opts.OnEvent(told)
	return nil
}

func (run *backfillRun) limitedBy() string {
	run.mu.Lock()
	defer run.mu.Unlock()
	return run.limit
}

func (run *backfillRun) setLimit(text string) {
	run.mu.Lock()
	defer run.mu.Unlock()
	run.limit = text
}
