package migrate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Holder is the session that has pawl's advisory lock.
type Holder struct {
	PID         int
	Application string
	Since       time.Time
	// Statement is the beginning of what it runs or ran last.
	Statement string
}

func (h Holder) String() string {
	text := fmt.Sprintf("pid %d", h.PID)
	if h.Application != "" {
		text += ", " + h.Application
	}
	if !h.Since.IsZero() {
		text += ", connected since " + h.Since.UTC().Format("2006-01-02 15:04:05 MST")
	}
	return text
}

// lock takes pawl's advisory lock by polling. Waiting for it inside PostgreSQL would hold a snapshot, on which another
// runner's CREATE INDEX CONCURRENTLY waits: the two would deadlock.
func (s *session) lock(ctx context.Context, patience time.Duration, waiting func(Holder, time.Duration)) error {
	start := time.Now()
	pause := 50 * time.Millisecond
	told := time.Time{}
	for {
		var got bool
		if err := s.conn.QueryRow(ctx, `select pg_try_advisory_lock($1)`, s.lockKey).Scan(&got); err != nil {
			return classify(ctx, "take pawl's lock", err)
		}
		if got {
			s.locked = true
			return nil
		}
		waited := time.Since(start)
		if waited > patience || time.Since(told) > 10*time.Second {
			holder := s.holder(ctx)
			if waited > patience {
				return &TransientError{
					Message: fmt.Sprintf("another pawl (%s) is at work on this database, for longer than %s", holder, patience),
					Hint:    "wait for it, or look at it in pg_stat_activity; --wait sets how long to wait",
				}
			}
			told = time.Now()
			waiting(holder, waited)
		}
		if err := sleep(ctx, jitter(pause)); err != nil {
			return err
		}
		pause = min(pause*3/2, time.Second)
	}
}

// unlock gives the lock back. Losing it together with the connection is as good.
func (s *session) unlock(ctx context.Context) error {
	if !s.locked {
		return nil
	}
	s.locked = false
	if s.conn.PgConn().TxStatus() != 'I' {
		// A failure left its transaction open.
		if _, err := s.conn.Exec(ctx, "rollback"); err != nil {
			return classify(ctx, "release pawl's lock", err)
		}
	}
	var held bool
	if err := s.conn.QueryRow(ctx, `select pg_advisory_unlock($1)`, s.lockKey).Scan(&held); err != nil {
		return classify(ctx, "release pawl's lock", err)
	}
	if !held {
		return &IntegrityError{Message: "pawl's advisory lock was lost during the run", Hint: "a migration that runs DISCARD ALL or pg_advisory_unlock_all() does this"}
	}
	return nil
}

func (s *session) holder(ctx context.Context) Holder {
	const query = `
select a.pid, a.application_name, a.backend_start, left(a.query, 200)
from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
  and l.database = (select oid from pg_database where datname = current_database())
  and ((l.classid::bigint << 32) | l.objid::bigint) = $1
limit 1`
	var h Holder
	// The holder may be gone by now; then there is nothing to tell.
	_ = s.conn.QueryRow(ctx, query, s.lockKey).Scan(&h.PID, &h.Application, &h.Since, &h.Statement)
	return h
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// jitter spreads a pause over 75 to 125 per cent of itself, so that runners which started together do not stay in step.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.75 + rand.Float64()/2)) //nolint:gosec // no secret hangs on it
}
