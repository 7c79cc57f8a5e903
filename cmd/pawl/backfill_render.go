package main

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/bitvault/pawl/migrate"
)

// backfillJSON is a backfill in the outputs for machines.
type backfillJSON struct {
	Version       string     `json:"version"`
	Name          string     `json:"name"`
	State         string     `json:"state"`
	Table         string     `json:"table"`
	GoesBy        string     `json:"goes_by,omitempty"`
	Reason        string     `json:"reason,omitempty"`
	LimitedBy     string     `json:"limited_by,omitempty"`
	Unwatched     []string   `json:"unwatched,omitempty"`
	Pass          int        `json:"pass"`
	Percent       float64    `json:"percent"`
	RowsSeen      int64      `json:"rows_seen"`
	RowsEstimate  int64      `json:"rows_estimate"`
	RowsChanged   int64      `json:"rows_changed"`
	RowsPerSecond float64    `json:"rows_per_second"`
	ETASeconds    *float64   `json:"eta_s,omitempty"`
	Batches       int64      `json:"batches"`
	BatchSize     int        `json:"batch_size"`
	WALBytes      int64      `json:"wal_bytes"`
	Ranges        int        `json:"ranges"`
	RangesDone    int        `json:"ranges_done"`
	Worked        bool       `json:"worked"`
	DoneQuery     string     `json:"done_query,omitempty"`
	QueuedAt      time.Time  `json:"queued_at"`
	StartedAt     *time.Time `json:"started_at,omitempty"`
	FinishedAt    *time.Time `json:"finished_at,omitempty"`
	HeartbeatAt   *time.Time `json:"heartbeat_at,omitempty"`
}

func backfillOf(b *migrate.BackfillStatus) backfillJSON {
	j := backfillJSON{
		Version: string(b.Version), Name: b.Name, State: string(b.State), Table: b.Table, GoesBy: b.GoesBy, Reason: b.Reason,
		LimitedBy: b.LimitedBy, Unwatched: b.Unwatched, Pass: b.Pass, Percent: float64(int(b.Percent()*10)) / 10,
		RowsSeen: b.RowsSeen, RowsEstimate: b.RowsEstimate, RowsChanged: b.RowsChanged, RowsPerSecond: float64(int(b.Rate)),
		Batches: b.Batches, BatchSize: b.BatchSize, WALBytes: b.WALBytes, Ranges: b.Ranges, RangesDone: b.RangesDone,
		Worked: b.Worked(), DoneQuery: b.DoneQuery, QueuedAt: b.QueuedAt.UTC(), StartedAt: utc(b.StartedAt),
		FinishedAt: utc(b.FinishedAt), HeartbeatAt: utc(b.Heartbeat),
	}
	if eta := b.ETA().Round(time.Second).Seconds(); eta > 0 {
		j.ETASeconds = &eta
	}
	return j
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

func backfillsJSON(list []*migrate.BackfillStatus) []backfillJSON {
	out := make([]backfillJSON, 0, len(list))
	for _, b := range list {
		out = append(out, backfillOf(b))
	}
	return out
}

// backfillBar is the bar of the backfill that is worked on. Where nobody watches, lines come every few seconds instead.
type backfillBar struct {
	bar  *progressbar.ProgressBar
	of   migrate.Version
	line time.Time
}

// lineEvery is how often a log says how far a backfill is.
const lineEvery = 5 * time.Second

// backfillEvent tells of a backfill's event; false where the event is not about one.
func (a *app) backfillEvent(event migrate.Event) bool {
	if p, ok := event.(migrate.BackfillProgress); ok {
		a.metrics.see(p.Status)
		a.backfillProgress(p.Status)
		return true
	}
	text, b := backfillText(event)
	if b == nil && text == "" {
		return false
	}
	if b != nil {
		a.metrics.see(b)
	}
	if a.logs() {
		a.logBackfill(event)
		return true
	}
	if ended, ok := event.(migrate.BackfillEnded); ok && a.bar.bar != nil && ended.Status.State == migrate.BackfillDone {
		_ = a.bar.bar.Finish()
	}
	a.endBar()
	fmt.Fprintln(a.stdout, text)
	return true
}

// backfillText says an event in one line.
func backfillText(event migrate.Event) (string, *migrate.BackfillStatus) {
	switch e := event.(type) {
	case migrate.BackfillEnqueued:
		if e.Empty {
			return fmt.Sprintf("  %s: the table has no rows, so there is nothing to move", e.Migration.Name), nil
		}
		return fmt.Sprintf("queued    backfill  %s: `pawl backfill run %s --until-done` moves the data", e.Migration.Name, e.Migration.Label), nil
	case migrate.BackfillStarted:
		return fmt.Sprintf("backfill  %s: %s", e.Status.Name, e.Status.Describe()), e.Status
	case migrate.BackfillWaits:
		return fmt.Sprintf("  %s waits: %s", e.Status.Name, e.Why), e.Status
	case migrate.BackfillGoesOn:
		return fmt.Sprintf("  %s goes on", e.Status.Name), e.Status
	case migrate.BackfillUnwatched:
		return fmt.Sprintf("  %s: cannot be watched: %s", e.Status.Name, e.Why), e.Status
	case migrate.BackfillRetry:
		return fmt.Sprintf("  %s: a batch was rolled back because of %s; again with %d rows", e.Status.Name, e.Why, e.Rows), e.Status
	case migrate.BackfillEnded:
		b := e.Status
		text := fmt.Sprintf("backfill  %s: %s", b.Name, b.Describe())
		if b.State == migrate.BackfillDone && b.StartedAt != nil && b.FinishedAt != nil {
			text = fmt.Sprintf("done      %s: %d rows changed (%s)", b.Name, b.RowsChanged, round(b.FinishedAt.Sub(*b.StartedAt)))
		}
		return text, b
	}
	return "", nil
}

func (a *app) backfillProgress(b *migrate.BackfillStatus) {
	if a.logs() || !terminal(a.stdout) {
		if time.Since(a.bar.line) < lineEvery {
			return
		}
		a.bar.line = time.Now()
		if a.logs() {
			a.logger().Info().Interface("backfill", backfillOf(b)).Msg("backfill progress")
			return
		}
		fmt.Fprintf(a.stdout, "  %s: %s\n", b.Name, b.Describe())
		return
	}
	if a.bar.bar == nil || a.bar.of != b.Version {
		a.endBar()
		a.bar.of, a.bar.bar = b.Version, newBar(a.stdout, b)
	}
	text := b.Name
	if b.LimitedBy != "" {
		text += " (" + b.LimitedBy + ")"
	}
	a.bar.bar.ChangeMax64(max(b.RowsEstimate, b.RowsSeen+1))
	a.bar.bar.Describe(text)
	_ = a.bar.bar.Set64(b.RowsSeen)
}

func newBar(w io.Writer, b *migrate.BackfillStatus) *progressbar.ProgressBar {
	return progressbar.NewOptions64(max(1, b.RowsEstimate), progressbar.OptionSetWriter(w), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("rows"), progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetRenderBlankState(true))
}

// endBar leaves the bar as it is, so that what follows stands below it.
func (a *app) endBar() {
	if a.bar.bar == nil {
		return
	}
	_ = a.bar.bar.Exit()
	fmt.Fprintln(a.stdout)
	a.bar.bar = nil
}

// logBackfill writes a backfill's event as one line of JSON.
func (a *app) logBackfill(event migrate.Event) {
	l := a.logger()
	switch e := event.(type) {
	case migrate.BackfillEnqueued:
		l.Info().Str("migration", e.Migration.Name).Str("version", string(e.Migration.Version)).Bool("empty", e.Empty).Msg("backfill queued")
	case migrate.BackfillStarted:
		l.Info().Interface("backfill", backfillOf(e.Status)).Msg("backfill started")
	case migrate.BackfillWaits:
		l.Warn().Str("migration", e.Status.Name).Str("why", e.Why).Msg("backfill waits")
	case migrate.BackfillGoesOn:
		l.Info().Str("migration", e.Status.Name).Msg("backfill goes on")
	case migrate.BackfillUnwatched:
		l.Warn().Str("migration", e.Status.Name).Str("why", e.Why).Msg("backfill cannot be watched")
	case migrate.BackfillRetry:
		l.Info().Str("migration", e.Status.Name).Str("why", e.Why).Int("rows", e.Rows).Msg("backfill batch rolled back")
	case migrate.BackfillEnded:
		l.Info().Interface("backfill", backfillOf(e.Status)).Msg("backfill ended")
	}
}

// backfillPlanJSON is how a backfill will be run, in `pawl plan --format json`.
type backfillPlanJSON struct {
	Table        string   `json:"table"`
	GoesBy       string   `json:"goes_by"`
	RowsEstimate int64    `json:"rows_estimate"`
	Partitions   int      `json:"partitions"`
	Statement    string   `json:"statement"`
	DoneQuery    string   `json:"done_query,omitempty"`
	Fires        []string `json:"fires,omitempty"`
}

// printBackfillPlan shows how a backfill will go through its table, with the statement of one batch.
func (a *app) printBackfillPlan(s migrate.Step) {
	b := s.Backfill
	fmt.Fprintf(a.stdout, "queue     %-9s %s (for `pawl backfill run`)\n", s.Phase, s.Migration.Name)
	if b.Partitions == 0 && b.Statement == "" {
		text := b.GoesBy
		if text == "" {
			text = "its table is made by an earlier migration of this run; the key is looked up when it is queued"
		}
		fmt.Fprintf(a.stdout, "    %s\n", text)
		return
	}
	fmt.Fprintf(a.stdout, "    goes through %s, about %d rows, by %s; each batch is\n", b.Table, b.Rows, b.GoesBy)
	fmt.Fprintf(a.stdout, "      %s\n", b.Statement)
	if b.DoneQuery != "" {
		fmt.Fprintf(a.stdout, "    it is done when this is true: %s\n", b.DoneQuery)
	}
	for _, name := range b.Fires {
		fmt.Fprintf(a.stdout, "    trigger %s fires for each row; if that is meant, say triggers=%s\n", name, name)
	}
}
