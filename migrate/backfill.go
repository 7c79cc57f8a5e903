package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases"
)

// BackfillState is where a backfill stands.
type BackfillState string

const (
	// BackfillQueued waits for a worker.
	BackfillQueued BackfillState = "queued"
	// BackfillRunning was begun. Whether somebody works on it, Heartbeat says.
	BackfillRunning BackfillState = "running"
	// BackfillPaused was stopped by a person and keeps its place.
	BackfillPaused BackfillState = "paused"
	// BackfillDone has gone through all rows, and its done query was true.
	BackfillDone BackfillState = "done"
	// BackfillAborted was given up by a person.
	BackfillAborted BackfillState = "aborted"
	// BackfillFailed met something that trying again does not help. The next run begins where it stopped.
	BackfillFailed BackfillState = "failed"
)

// BackfillStatus is one backfill as the ledger has it.
type BackfillStatus struct {
	Version   Version
	Name      string
	Sum       string
	Statement string
	Options   map[string]string
	// DoneQuery is true once nothing is left to move; empty where no query tells.
	DoneQuery  string
	SearchPath string
	// Table is what is gone through, GoesBy says by which key, or why by none.
	Table, GoesBy string
	State         BackfillState
	// Reason says why it is paused, aborted or failed; LimitedBy what makes it wait at the moment.
	Reason, LimitedBy string
	// Unwatched are the signals that cannot be read, each with the reason.
	Unwatched []string
	// Pass counts how often the table has been gone through, this time included; 0 before the first.
	Pass int
	// Rows are of this pass: gone through, of about so many, and changed.
	RowsSeen, RowsEstimate, RowsChanged int64
	Batches, WALBytes                   int64
	// Rate is in rows of the table per second, lately.
	Rate               float64
	Ranges, RangesDone int
	QueuedAt           time.Time
	StartedAt          *time.Time
	FinishedAt         *time.Time
	Heartbeat          *time.Time
	Now                time.Time
	// BatchSize is in rows of the table, of the batches that were run last.
	BatchSize int
}

// Label is the version as the file's name writes it.
func (b *BackfillStatus) Label() string { return labelOf(b.Name, b.Version) }

func labelOf(name string, version Version) string {
	if label, _, ok := strings.Cut(name, "_"); ok {
		return label
	}
	return string(version)
}

// Open reports whether there is something left to do about it.
func (b *BackfillStatus) Open() bool { return b.State != BackfillDone && b.State != BackfillAborted }

// Percent is how much of the table has been gone through: 100 only once it is done.
func (b *BackfillStatus) Percent() float64 {
	switch {
	case b.State == BackfillDone:
		return 100
	case b.RowsEstimate <= 0:
		return 0
	}
	return min(99.9, 100*float64(b.RowsSeen)/float64(b.RowsEstimate))
}

// ETA is how long the rest takes at the present rate; 0 where that cannot be told.
func (b *BackfillStatus) ETA() time.Duration {
	left := b.RowsEstimate - b.RowsSeen
	if b.Rate <= 0 || left <= 0 || b.State != BackfillRunning {
		return 0
	}
	return time.Duration(float64(left) / b.Rate * float64(time.Second))
}

// Worked reports whether somebody has been at it lately.
func (b *BackfillStatus) Worked() bool {
	return b.State == BackfillRunning && b.Heartbeat != nil && b.Now.Sub(*b.Heartbeat) < 15*time.Second
}

// Describe says in one line how far it is.
func (b *BackfillStatus) Describe() string {
	text := string(b.State)
	if b.RowsEstimate > 0 {
		text += fmt.Sprintf(", %d of about %d rows (%.0f%%)", b.RowsSeen, max(b.RowsEstimate, b.RowsSeen), b.Percent())
	}
	switch eta := b.ETA(); {
	case b.State == BackfillRunning && !b.Worked():
		text += ", nobody works on it"
	case eta > 0:
		text += fmt.Sprintf(", %.0f rows/s, about %s to go", b.Rate, eta.Round(time.Second))
	}
	if b.LimitedBy != "" && b.State == BackfillRunning {
		text += ", waits: " + b.LimitedBy
	}
	if b.Reason != "" {
		text += ": " + b.Reason
	}
	return text
}

// settings gives what holds for the backfill: the defaults, the directive's, and then the overrides.
func (b *BackfillStatus) settings(overrides map[string]string) (phases.BackfillSettings, error) {
	s := phases.DefaultBackfillSettings()
	if err := s.ApplyBackfillOptions(b.Options); err != nil {
		return s, &ConfigError{Message: fmt.Sprintf("the options of backfill %s: %v", b.Name, err)}
	}
	if err := s.ApplyBackfillOptions(overrides); err != nil {
		return s, &ConfigError{Message: err.Error()}
	}
	return s, nil
}

const readBackfills = `
select b.version, b.name, b.checksum, b.statement, b.options, b.done_query, b.search_path, b.relation, b.goes_by, b.state, b.reason,
       b.limited_by, b.unwatched, b.pass, b.rate, b.queued_at, b.started_at, b.finished_at, b.heartbeat_at, clock_timestamp(),
       coalesce(r.seen, 0), coalesce(r.estimate, 0), coalesce(r.changed, 0), coalesce(r.batches, 0), coalesce(r.wal, 0),
       coalesce(r.ranges, 0), coalesce(r.done, 0), coalesce(r.size, 0)
from pawl.backfill b left join lateral (
    select sum(rows_seen)::bigint as seen, sum(rows_estimate)::bigint as estimate, sum(rows_changed)::bigint as changed,
           sum(batches)::bigint as batches, sum(wal_bytes)::bigint as wal, count(*)::int as ranges,
           count(*) filter (where r.done)::int as done, max(batch_size) as size
    from pawl.backfill_range r where r.version = b.version and r.pass = b.pass
) r on true`

// backfills reads the queue in the order of versions; none where the ledger is older than the queue.
func (s *session) backfills(ctx context.Context) ([]*BackfillStatus, error) {
	rows, err := s.conn.Query(ctx, readBackfills)
	if err != nil {
		return nil, noQueue(ctx, err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*BackfillStatus, error) {
		b := &BackfillStatus{}
		var version, state string
		var options []byte
		err := row.Scan(&version, &b.Name, &b.Sum, &b.Statement, &options, &b.DoneQuery, &b.SearchPath, &b.Table, &b.GoesBy, &state, &b.Reason,
			&b.LimitedBy, &b.Unwatched, &b.Pass, &b.Rate, &b.QueuedAt, &b.StartedAt, &b.FinishedAt, &b.Heartbeat, &b.Now,
			&b.RowsSeen, &b.RowsEstimate, &b.RowsChanged, &b.Batches, &b.WALBytes, &b.Ranges, &b.RangesDone, &b.BatchSize)
		b.Version, b.State = Version(version), BackfillState(state)
		return b, errors.Join(err, json.Unmarshal(options, &b.Options))
	})
	if err != nil {
		return nil, noQueue(ctx, err)
	}
	sortBackfills(list)
	return list, nil
}

// noQueue lets a ledger that is older than the queue pass for one with an empty queue.
func noQueue(ctx context.Context, err error) error {
	if sqlState(err) == "42P01" {
		return nil
	}
	return classify(ctx, "read the backfills", err)
}

// Backfills gives the queue in the order of versions. A standby will do.
func (m *Migrator) Backfills(ctx context.Context) ([]*BackfillStatus, error) {
	s, err := m.dial(ctx, false)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if !s.hasLedger {
		return nil, nil
	}
	return s.backfills(ctx)
}

// PauseBackfill stops a backfill after the batch that is under way. It keeps its place.
func (m *Migrator) PauseBackfill(ctx context.Context, version Version, reason string) (*BackfillStatus, error) {
	return m.turnBackfill(ctx, version, BackfillPaused, reason, BackfillQueued, BackfillRunning)
}

// ResumeBackfill lets a backfill go on that was paused, aborted or has failed.
func (m *Migrator) ResumeBackfill(ctx context.Context, version Version) (*BackfillStatus, error) {
	return m.turnBackfill(ctx, version, BackfillQueued, "", BackfillPaused, BackfillAborted, BackfillFailed)
}

// AbortBackfill gives a backfill up. What it has changed stays, and contracts that need it stay held.
func (m *Migrator) AbortBackfill(ctx context.Context, version Version, reason string) (*BackfillStatus, error) {
	return m.turnBackfill(ctx, version, BackfillAborted, reason, BackfillQueued, BackfillRunning, BackfillPaused, BackfillFailed)
}

func (m *Migrator) turnBackfill(ctx context.Context, version Version, to BackfillState, reason string, from ...BackfillState) (*BackfillStatus, error) {
	s, err := m.dial(ctx, true)
	if err != nil {
		return nil, err
	}
	defer s.close()
	const query = `
with changed as (
    update pawl.backfill set state = $2, reason = $3, limited_by = '' where version = $1 and state = any($4) returning version
)
insert into pawl.event (kind, version, detail, pawl_version)
select 'backfill ' || $2::text, version, jsonb_build_object('reason', $3::text), $5 from changed`
	states := make([]string, len(from))
	for i, f := range from {
		states[i] = string(f)
	}
	var done int64
	if s.hasLedger {
		tag, err := s.conn.Exec(ctx, query, string(version), string(to), reason, states, m.opts.PawlVersion)
		if err != nil && sqlState(err) != "42P01" {
			return nil, classify(ctx, "change the backfill", err)
		}
		done = tag.RowsAffected()
	}
	b, err := s.backfill(ctx, version)
	if err != nil {
		return nil, m.audit(ctx, s, "backfill", err)
	}
	if done == 0 && b.State != to {
		return nil, m.audit(ctx, s, "backfill", &RefusedError{Version: version, Message: fmt.Sprintf("backfill %s is %s", b.Name, b.State), Hint: "see `pawl backfill status`"})
	}
	return b, nil
}

// backfill reads one backfill; an unknown version is a *RefusedError.
func (s *session) backfill(ctx context.Context, version Version) (*BackfillStatus, error) {
	var list []*BackfillStatus
	if s.hasLedger {
		var err error
		if list, err = s.backfills(ctx); err != nil {
			return nil, err
		}
	}
	for _, b := range list {
		if b.Version == version {
			return b, nil
		}
	}
	return nil, &RefusedError{Version: version, Message: fmt.Sprintf("there is no backfill of version %s", version), Hint: "`pawl backfill status` lists those that migrate has queued"}
}
