package migrate

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases/parse"
)

// worker takes one free range after another.
func (run *backfillRun) worker(ctx context.Context) error {
	s, err := run.session(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	run.workers.Add(1)
	defer run.workers.Add(-1)
	for !run.halt.Load() {
		w, err := run.takeRange(ctx, s)
		if err != nil || w == nil {
			return err
		}
		if err := w.through(ctx); err != nil {
			return err
		}
		if _, err := s.conn.Exec(ctx, `select pg_advisory_unlock($1)`, w.lease); err != nil {
			return classify(ctx, "release a range", err)
		}
	}
	return nil
}

// rangeWork is the work on one range by the worker that has its lease.
type rangeWork struct {
	run   *backfillRun
	s     *session
	r     *backfillRange
	lease int64
	// watched is true once a batch has shown that what it changes does not fulfil the condition any more.
	watched bool
	done    bool
	// patience is how long a batch may take before it is cancelled; failures counts those in a row that were rolled back.
	patience time.Duration
	failures int
}

// takeRange leases the first range that nobody works on; nil where there is none.
func (run *backfillRun) takeRange(ctx context.Context, s *session) (*rangeWork, error) {
	const query = `
select range, schema_name, relation_name, relid, key, lower, upper, cursor, rows_estimate, batch_size
from pawl.backfill_range where version = $1 and pass = $2 and not done order by range`
	rows, err := s.conn.Query(ctx, query, string(run.status.Version), run.status.Pass)
	if err != nil {
		return nil, classify(ctx, "look for a free range", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*backfillRange, error) {
		r := &backfillRange{part: &backfillPart{}}
		return r, row.Scan(&r.number, &r.part.schema, &r.part.name, &r.part.oid, &r.part.key, &r.lower, &r.upper, &r.cursor, &r.estimate, &r.size)
	})
	if err != nil {
		return nil, classify(ctx, "look for a free range", err)
	}
	for _, r := range list {
		w := &rangeWork{run: run, s: s, r: r, lease: s.leaseKey(run.status.Version, fmt.Sprintf("%d/%d", run.status.Pass, r.number))}
		var got bool
		if err := s.conn.QueryRow(ctx, `select pg_try_advisory_lock($1)`, w.lease).Scan(&got); err != nil {
			return nil, classify(ctx, "take a range", err)
		}
		if !got {
			continue
		}
		// Somebody may have finished or moved it since the list was read.
		const again = `select cursor, done, batch_size from pawl.backfill_range where version = $1 and pass = $2 and range = $3`
		if err := s.conn.QueryRow(ctx, again, string(run.status.Version), run.status.Pass, r.number).Scan(&r.cursor, &w.done, &r.size); err != nil {
			return nil, classify(ctx, "take a range", err)
		}
		if w.done {
			if _, err := s.conn.Exec(ctx, `select pg_advisory_unlock($1)`, w.lease); err != nil {
				return nil, classify(ctx, "release a range", err)
			}
			continue
		}
		if r.size == 0 {
			r.size = run.settings.Batch
		}
		r.size = min(max(r.size, run.settings.MinBatch), run.maxBatch)
		w.patience = max(4*run.settings.Target, time.Second)
		return w, nil
	}
	return nil, nil //nolint:nilnil // none is free
}

// through runs the range's batches to its end, or until the run is halted.
func (w *rangeWork) through(ctx context.Context) error {
	for !w.done {
		if err := w.wait(ctx); err != nil || w.run.halt.Load() {
			return err
		}
		start := time.Now()
		w.run.vacuum.RLock()
		changed, wal, err := w.batch(ctx)
		w.run.vacuum.RUnlock()
		// The search for the bound, the batch itself, and what looks at it.
		const transactions = 3
		w.run.throttle.own.Add(transactions)
		if errors.Is(err, errMoved) {
			// A person has stopped the backfill, or the lease was lost: whoever has the range now goes on from its cursor.
			w.run.halt.Store(true)
			return nil
		}
		if err != nil {
			if err := w.failed(ctx, err); err != nil {
				return err
			}
			continue
		}
		w.failures = 0
		took := time.Since(start)
		w.adapt(took)
		if err := w.run.clean(ctx, w.s, w.r.part, changed); err != nil {
			return err
		}
		if err := w.pace(ctx, took, wal); err != nil {
			return err
		}
	}
	return nil
}

// wait returns when no signal is in the way of the next batch, or when the run is halted.
func (w *rangeWork) wait(ctx context.Context) error {
	for w.run.throttle.blocked() != "" && !w.run.halt.Load() {
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// sharedTarget is how long a batch takes at most while others use the database: who writes a row of it waits for its
// end, and for the processor while it runs. Measured in integration.TestBackfillLeavesTrafficAlone.
const sharedTarget = 50 * time.Millisecond

// adapt sizes the next batch by how long the last took.
func (w *rangeWork) adapt(took time.Duration) {
	target := w.run.settings.Target
	if w.run.throttle.shared() {
		target = min(target, sharedTarget)
	}
	switch {
	case took > target*5/3:
		w.r.size = int(float64(w.r.size) * max(0.5, float64(target)/float64(took)))
	case took < target*2/3:
		const growth = 1.2
		w.r.size = int(float64(w.r.size)*growth) + 1
	}
	w.r.size = min(max(w.r.size, w.run.settings.MinBatch), w.run.maxBatch)
}

// pace pauses so that the budget of log per second is kept, and so that others have their share of the time.
func (w *rangeWork) pace(ctx context.Context, took time.Duration, wal int64) error {
	pause := w.run.settings.Pause
	limit := ""
	if budget := w.run.settings.WAL; budget > 0 {
		// The log is the server's, so what a batch sees of it is the work of all workers.
		share := float64(wal) / float64(max(1, w.run.workers.Load()))
		if need := time.Duration(share / float64(budget) * float64(time.Second)); need-took > pause {
			pause, limit = need-took, "the WAL budget of "+size(budget)+"/s"
		}
	}
	if share := w.run.settings.Share; w.run.throttle.shared() {
		if rest := time.Duration(float64(took) * (1 - share) / share); rest > pause {
			pause, limit = rest, "the traffic of others"
		}
	}
	w.run.setLimit(limit)
	if pause <= 0 {
		return nil
	}
	return sleep(ctx, pause)
}

// errMoved means that the range is not this worker's any more, or that the backfill is not running.
var errMoved = errors.New("the range has moved on")

// batch changes the rows of the next stretch and stores how far it has come, in one transaction. It gives how many rows
// it has changed, and how much log was written meanwhile.
func (w *rangeWork) batch(ctx context.Context) (changed, wal int64, err error) {
	conn, r := w.s.conn, w.r
	next, seen, last, before, err := w.bound(ctx)
	if err != nil {
		return 0, 0, err
	}
	sql, watched, err := parse.Batch{
		Table: r.part.object(), Key: r.part.key, Below: r.cursor != nil, Watch: !w.watched,
	}.Statement(w.run.status.Statement)
	if err != nil {
		return 0, 0, err
	}
	begin := fmt.Sprintf("/* pawl backfill %s */ begin; set local lock_timeout = %d; set local statement_timeout = %d",
		commentSafe(w.run.status.Name), w.run.settings.LockTimeout.Milliseconds(), w.patience.Milliseconds())
	if _, err := conn.Exec(ctx, begin); err != nil {
		return 0, 0, err
	}
	args := w.arguments(next)
	if watched {
		var still int64
		if err := conn.QueryRow(ctx, sql, args...).Scan(&changed, &still); err != nil {
			return 0, 0, err
		}
		if still > 0 {
			return 0, 0, &RefusedError{
				Message: fmt.Sprintf("backfill %s would never end: %d of the first %d rows that it changes still fulfil its condition", w.run.status.Name, still, changed),
				Hint:    "nothing of this batch was kept; write a condition that is false once a row is changed, and see that no trigger undoes the change",
			}
		}
	} else {
		tag, err := conn.Exec(ctx, sql, args...)
		if err != nil {
			return 0, 0, err
		}
		changed = tag.RowsAffected()
	}
	const store = `
update pawl.backfill_range r set cursor = $4::text[], done = $5, rows_seen = rows_seen + $6, rows_changed = rows_changed + $7, batches = batches + 1,
    batch_size = $8, wal_bytes = wal_bytes + greatest(0, pg_current_wal_insert_lsn() - '0/0' - $9), worker = current_setting('application_name'),
    busy_ms = busy_ms + (extract(epoch from clock_timestamp() - transaction_timestamp()) * 1000)::bigint, updated_at = clock_timestamp()
from pawl.backfill b
where r.version = $1 and r.pass = $2 and r.range = $3 and not r.done and r.cursor is not distinct from $10::text[]
  and b.version = r.version and b.pass = r.pass and b.state = 'running' and to_regclass($11)::oid = r.relid
returning (pg_current_wal_insert_lsn() - '0/0')::bigint`
	var after int64
	err = conn.QueryRow(ctx, store, string(w.run.status.Version), w.run.status.Pass, r.number, next, last, seen, changed, r.size, before,
		r.cursor, r.part.ident()).Scan(&after)
	if errors.Is(err, pgx.ErrNoRows) {
		w.run.m.rollback(ctx, w.s)
		return 0, 0, w.moved(ctx)
	}
	if err != nil {
		return 0, 0, err
	}
	if _, err := conn.Exec(ctx, "commit"); err != nil {
		return 0, 0, err
	}
	r.cursor, w.done = next, last
	w.watched = w.watched || watched && changed > 0
	return changed, after - before, nil
}

// moved says why a batch could not store its place.
func (w *rangeWork) moved(ctx context.Context) error {
	var same bool
	err := w.s.conn.QueryRow(ctx, `select coalesce(to_regclass($1)::oid = $2, false)`, w.r.part.ident(), w.r.part.oid).Scan(&same)
	if err != nil {
		return err
	}
	if !same {
		return &RefusedError{
			Message: fmt.Sprintf("backfill %s: table %s is another one than when it began", w.run.status.Name, w.r.part.name),
			Hint:    fmt.Sprintf("if it was replaced on purpose, go through the new one: `pawl backfill abort %s`, then `pawl backfill run %s --again`", w.run.status.Label(), w.run.status.Label()),
		}
	}
	return errMoved
}

// arguments are the values of the bounds in the order of the statement's parameters.
func (w *rangeWork) arguments(next []string) []any {
	var args []any
	add := func(values []string) {
		for _, v := range values {
			if len(w.r.part.key) == 0 {
				v = "(" + v + ",0)"
			}
			args = append(args, v)
		}
	}
	if w.r.cursor != nil {
		add(w.r.cursor)
	}
	add(next)
	return args
}

// bound finds where the next batch ends: as many rows of the key on as the batch is to have. Last is true where that is
// the end of the range. It also reads where the log stands.
func (w *rangeWork) bound(ctx context.Context) (next []string, seen int64, last bool, wal int64, err error) {
	r := w.r
	if len(r.part.key) == 0 {
		return w.boundBlocks(ctx)
	}
	key := columnList(r.part.key, "")
	where := fmt.Sprintf("(%s) <= (%s)", key, literals(r.upper))
	if r.cursor != nil {
		where = fmt.Sprintf("(%s) > (%s) and %s", key, literals(r.cursor), where)
	}
	query := fmt.Sprintf(`
select (pg_current_wal_insert_lsn() - '0/0')::bigint, coalesce(n, 0), k from (select 1) one left join (
    select array[%s] as k, n from (
        select %s, row_number() over (order by %s) as n from only %s where %s order by %s limit %d
    ) rows order by n desc limit 1
) found on true`, columnList(r.part.key, "::text"), key, key, r.part.ident(), where, key, r.size)
	var k []string
	if err := w.s.conn.QueryRow(ctx, query).Scan(&wal, &seen, &k); err != nil {
		return nil, 0, false, 0, err
	}
	if seen < int64(r.size) {
		return r.upper, seen, true, wal, nil
	}
	return k, seen, false, wal, nil
}

// boundBlocks is bound for a range of blocks.
func (w *rangeWork) boundBlocks(ctx context.Context) (next []string, seen int64, last bool, wal int64, err error) {
	const query = `select (pg_current_wal_insert_lsn() - '0/0')::bigint`
	if err := w.s.conn.QueryRow(ctx, query).Scan(&wal); err != nil {
		return nil, 0, false, 0, err
	}
	number := func(values []string) int64 {
		if err != nil || len(values) != 1 {
			return 0
		}
		var n int64
		n, err = strconv.ParseInt(values[0], 10, 64)
		return n
	}
	from, until, begin := number(w.r.cursor), number(w.r.upper), number(w.r.lower)
	if err != nil {
		return nil, 0, false, 0, fmt.Errorf("read the range of blocks: %w", err)
	}
	perBlock := max(1, float64(w.r.estimate)/float64(max(1, until-begin)))
	to := min(until, from+max(1, int64(float64(w.r.size)/perBlock)))
	return []string{strconv.FormatInt(to, 10)}, int64(float64(to-from) * perBlock), to >= until, wal, nil
}

// failed decides what follows a batch that was rolled back: another try with half the rows where others were in the way,
// an error where nothing would be different.
func (w *rangeWork) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		w.run.m.rollback(ctx, w.s)
		return context.Cause(ctx)
	}
	if w.s.conn.IsClosed() {
		return classify(ctx, "run a batch of "+w.run.status.Name, err)
	}
	w.run.m.rollback(ctx, w.s)
	var known interface{ pawlError() }
	if errors.As(err, &known) {
		return err
	}
	var why string
	switch sqlState(err) {
	case "55P03":
		why = "a row was locked by somebody else for longer than " + w.run.settings.LockTimeout.String()
	case "40P01":
		why = "a deadlock with somebody else"
	case "40001":
		why = "a conflict with somebody else"
	case "57014":
		why = "it took longer than " + w.patience.String()
		if w.r.size <= max(1, w.run.settings.MinBatch) {
			// A batch cannot be smaller, so it has to be given more time.
			const most = time.Minute
			if w.patience >= most {
				return &RefusedError{
					Message: fmt.Sprintf("backfill %s: a batch of %d rows takes longer than %s", w.run.status.Name, w.r.size, w.patience),
					Hint:    "the statement needs an index for its subqueries, most likely; EXPLAIN shows",
				}
			}
			w.patience = min(2*w.patience, most)
		}
	default:
		return w.run.status.statementError(ctx, "run a batch of "+w.run.status.Name, err)
	}
	w.failures++
	w.r.size = max(w.r.size/2, max(1, w.run.settings.MinBatch))
	w.run.m.opts.OnEvent(BackfillRetry{Status: w.run.status, Why: why, Rows: w.r.size})
	const mostFailures = 200
	if w.failures > mostFailures {
		return &TransientError{
			Message: fmt.Sprintf("backfill %s: %d batches in a row were rolled back, the last because of %s", w.run.status.Name, w.failures, why),
			Hint:    "somebody holds rows of the table locked; the next run goes on where this one stopped",
		}
	}
	return sleep(ctx, jitter(min(time.Duration(w.failures)*100*time.Millisecond, 3*time.Second)))
}
