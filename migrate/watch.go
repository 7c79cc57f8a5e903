package migrate

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// observer looks at the runner's session from a connection of its own, opened when something takes long: a session
// that waits for a lock cannot ask who holds it.
type observer struct {
	config *pgx.ConnConfig
	pid    uint32
	conn   *pgx.Conn
}

func (o *observer) connect(ctx context.Context) error {
	if o.conn != nil && !o.conn.IsClosed() {
		return nil
	}
	config := o.config.Copy()
	config.RuntimeParams["application_name"] += " (watching)"
	config.RuntimeParams["statement_timeout"] = "2s"
	config.OnNotice = nil
	conn, err := pgx.ConnectConfig(ctx, config)
	o.conn = conn
	return err
}

func (o *observer) close() {
	if o.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = o.conn.Close(ctx)
}

// blockers names the sessions for which the runner's session waits.
func (o *observer) blockers(ctx context.Context) ([]Blocker, error) {
	const query = `
select distinct on (b.pid) b.pid, coalesce(a.application_name, ''), coalesce(a.state, 'unknown state'),
       coalesce(extract(epoch from clock_timestamp() - a.xact_start), 0)::float8, coalesce(left(a.query, 200), ''),
       coalesce((select format('%I.%I', n.nspname, c.relname)
                 from pg_locks l join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
                 where l.pid = $1 and not l.granted and l.locktype = 'relation' limit 1), ''),
       coalesce(a.backend_type = 'autovacuum worker', false)
from unnest(pg_blocking_pids($1)) as b(pid) left join pg_stat_activity a on a.pid = b.pid`
	rows, err := o.conn.Query(ctx, query, int32(o.pid)) //nolint:gosec // process ids are 32-bit
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanBlocker)
}

func scanBlocker(row pgx.CollectableRow) (Blocker, error) {
	var b Blocker
	var age float64
	err := row.Scan(&b.PID, &b.Application, &b.State, &age, &b.Query, &b.Relation, &b.Autovacuum)
	b.Age = time.Duration(age * float64(time.Second))
	b.Query = strings.Join(strings.Fields(b.Query), " ")
	if strings.Contains(strings.ToLower(b.Query), "password") {
		b.Query = "(not shown: it speaks of a password)"
	}
	b.Wraparound = b.Autovacuum && strings.Contains(b.Query, "(to prevent wraparound)")
	return b, err
}

// building gives the progress of the index build that the runner's session is at; ok is false where it is at none.
func (o *observer) building(ctx context.Context) (what string, done, total int64, ok bool) {
	const query = `
select phase, coalesce(nullif(blocks_total, 0), nullif(tuples_total, 0), lockers_total, 0),
       case when blocks_total > 0 then blocks_done when tuples_total > 0 then tuples_done else lockers_done end
from pg_stat_progress_create_index where pid = $1`
	err := o.conn.QueryRow(ctx, query, int32(o.pid)).Scan(&what, &total, &done) //nolint:gosec // see blockers
	return what, done, total, err == nil
}

// watching is one stretch of observation.
type watching struct {
	cancel   context.CancelFunc
	done     chan struct{}
	mu       sync.Mutex
	blockers []Blocker
}

const (
	// watchAfter is how long a statement may take before pawl opens a second connection to see why.
	watchAfter = 30 * time.Millisecond
	watchEvery = 50 * time.Millisecond
	// watchLong is from which lock_timeout on a wait is told while it lasts and not only when it is over.
	watchLong = 2 * time.Second
)

// watch notes who blocks the session while one attempt runs; stop gives the last ones seen. An attempt that may wait long
// is looked at every few seconds, and what it is at is told.
func (m *Migrator) watch(ctx context.Context, s *session, migration *Migration, start time.Time, timeout time.Duration) *watching {
	if timeout >= watchLong {
		return m.watchProgress(ctx, s, migration, start)
	}
	return s.observe(ctx, watchAfter, watchEvery, func(ctx context.Context, o *observer, w *watching) {
		if blockers, err := o.blockers(ctx); err == nil && len(blockers) > 0 {
			w.note(blockers)
		}
	})
}

// watchProgress tells how a long statement gets on, every few seconds.
func (m *Migrator) watchProgress(ctx context.Context, s *session, migration *Migration, start time.Time) *watching {
	return s.observe(ctx, time.Second, 2*time.Second, func(ctx context.Context, o *observer, w *watching) {
		p := Progress{Migration: migration, Elapsed: time.Since(start)}
		what, done, total, building := o.building(ctx)
		p.What, p.Done, p.Total = what, done, total
		blockers, err := o.blockers(ctx)
		p.Blockers = blockers
		if err != nil {
			return
		}
		w.note(blockers)
		if building || len(blockers) > 0 {
			m.opts.OnEvent(p)
		}
	})
}

func (w *watching) note(blockers []Blocker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blockers = blockers
}

func (s *session) observe(ctx context.Context, after, every time.Duration, look func(context.Context, *observer, *watching)) *watching {
	ctx, cancel := context.WithCancel(ctx)
	w := &watching{cancel: cancel, done: make(chan struct{})}
	if s.observer == nil {
		s.observer = &observer{config: s.config, pid: s.conn.PgConn().PID()}
	}
	go func() {
		defer close(w.done)
		if sleep(ctx, after) != nil || s.observer.connect(ctx) != nil {
			return
		}
		for {
			look(ctx, s.observer, w)
			if sleep(ctx, every) != nil {
				return
			}
		}
	}()
	return w
}

func (w *watching) stop() []Blocker {
	w.cancel()
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.blockers
}

// String describes a blocker in one line.
func (b Blocker) String() string {
	name := b.Application
	switch {
	case b.Wraparound:
		name = "autovacuum against wraparound, which does not give way"
	case b.Autovacuum:
		name = "autovacuum"
	case name == "":
		name = "no application name"
	}
	text := fmt.Sprintf("pid %d (%s), %s", b.PID, name, b.State)
	if b.Age > 0 {
		text += fmt.Sprintf(", its transaction open for %s", b.Age.Round(100*time.Millisecond))
	}
	if b.Relation != "" {
		text += ", keeps " + b.Relation
	}
	if b.Query != "" {
		text += ": " + b.Query
	}
	return text
}
