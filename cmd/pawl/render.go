package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// onEvent gives the listener that the output asks for: text for a person, zerolog JSON for a machine.
func (a *app) onEvent() func(migrate.Event) {
	return func(e migrate.Event) {
		a.words.hear(e)
		a.span.Hear(e)
		switch {
		case a.backfillEvent(e):
		case a.logs():
			a.logEvent(e)
		default:
			printEvent(a.stdout, e)
		}
	}
}

func printEvent(w io.Writer, event migrate.Event) {
	switch e := event.(type) {
	case migrate.Waiting:
		fmt.Fprintf(w, "waiting for another pawl (%s), for %s so far\n", e.Holder, round(e.Waited))
	case migrate.LedgerCreated:
		fmt.Fprintf(w, "created the ledger; this database is stamped %s\n", e.Environment)
	case migrate.ReleaseRegistered:
		fmt.Fprintf(w, "release %s of %s is being deployed: %d statements registered\n", e.Release, e.Consumer, e.Statements)
	case migrate.DigestsUnknown:
		fmt.Fprintf(w, "note: the release's image is not recorded: %s\n", e.Problem)
	case migrate.ReleaseUnfit:
		printMisfits(w, e.Misfits)
	case migrate.SetAside:
		fmt.Fprintf(w, "set aside %s: dropped by the first run after %s; `pawl soft-drop` shows it\n", e.Migration.Name, e.Keep)
	case migrate.BroughtBack:
		fmt.Fprintf(w, "brought back what %s had set aside: %s\n", e.SoftDrop.Name, e.SoftDrop.Reason)
	case migrate.Drifted:
		fmt.Fprintf(w, "note: the schema is not %s any more\n", e.Drift.Against)
		for _, d := range e.Drift.Differences {
			fmt.Fprintf(w, "    %s\n", strings.ReplaceAll(d.String(), "\n", "\n    "))
		}
	case migrate.RestorePointMade:
		fmt.Fprintf(w, "  %s: restore point %s\n", e.Migration.Name, e.Point)
	case migrate.InTheWay:
		fmt.Fprintf(w, "note: %s may have to wait\n", e.Migration.Name)
		for _, b := range e.Blockers {
			fmt.Fprintf(w, "    for %s\n", b)
		}
	case migrate.LockMissed:
		fmt.Fprintf(w, "  %s: no lock within %s (attempt %d), again in %s\n", e.Migration.Name, round(e.Timeout), e.Attempt, round(e.Pause))
		for _, b := range e.Blockers {
			fmt.Fprintf(w, "    held by %s\n", b)
		}
	case migrate.DecidedAnew:
		fmt.Fprintf(w, "  %s: something was recorded meanwhile, and reading it took more than %s with the locks held (attempt %d): rolled back, and decided anew without them\n",
			e.Migration.Name, round(e.Bound), e.Attempt)
	case migrate.Progress:
		line := fmt.Sprintf("  %s: %s", e.Migration.Name, round(e.Elapsed))
		if e.What != "" {
			line += ", " + e.What
		}
		if e.Total > 0 {
			line += fmt.Sprintf(" %d of %d (%d%%)", e.Done, e.Total, 100*e.Done/e.Total)
		}
		fmt.Fprintln(w, line)
		for _, b := range e.Blockers {
			fmt.Fprintf(w, "    waits for %s\n", b)
		}
	case migrate.Recovered:
		fmt.Fprintf(w, "  %s: %s\n", e.Migration.Name, e.What)
	case migrate.LeftInvalid:
		fmt.Fprintf(w, "  %s: the INVALID index %s could not be dropped at once, and slows writers down until the next run drops it\n", e.Migration.Name, e.Index)
	case migrate.Overruled:
		fmt.Fprintf(w, "  %s: its lock_timeout of %s is left out, for others would wait as long: `-- pawl:timeout lock=…` is how a file waits for more than %s\n", e.Migration.Name, e.Set, e.Longest)
	case migrate.ServerNotice:
		fmt.Fprintf(w, "  %s: %s\n", strings.ToLower(e.Severity), e.Message)
	case migrate.Applied:
		fmt.Fprintf(w, "applied   %-9s %s (%s)\n", e.Phase, e.Migration.Name, round(e.Duration))
		if e.Decision != nil && e.Decision.Verdict > gate.Unaffected {
			explain(*e.Decision).print(w)
		}
	case migrate.HeldBack:
		printHeld(w, e.Held)
	case migrate.Finished:
		printResult(w, e.Result)
	}
}

// printMisfits tells of statements that do not keep a release out.
func printMisfits(w io.Writer, list []evidence.Misfit) {
	fmt.Fprintf(w, "note: PostgreSQL does not take %d statements of the incoming release\n", len(list))
	const most = 5
	for i, u := range list {
		if i == most {
			fmt.Fprintf(w, "    … and %d more\n", len(list)-most)
			break
		}
		place := ""
		if len(u.Sites) > 0 {
			place = fmt.Sprintf("%s:%d: ", u.Sites[0].File, u.Sites[0].Line)
		}
		fmt.Fprintf(w, "    %s %s%s (%s)", consumerName(u.Consumer, u.Release), place, u.Message, u.Code)
		if u.Doubt != "" {
			fmt.Fprintf(w, "; it does not count, for %s", u.Doubt)
		}
		fmt.Fprintln(w)
	}
}

func printHeld(w io.Writer, h migrate.Held) {
	fmt.Fprintf(w, "held      %-9s %s\n", h.Phase, h.Migration.Name)
	if h.LeftOut {
		fmt.Fprintf(w, "  %s\n", h.Because)
		return
	}
	if h.Behind != "" {
		fmt.Fprintf(w, "  stands behind %s, which is held: %s\n", h.Behind, h.Because)
		return
	}
	explain(h.Decision).print(w)
}

func oneLine(sql string) string {
	text := []rune(strings.Join(strings.Fields(sql), " "))
	const most = 100
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}

func printResult(w io.Writer, r migrate.Result) {
	switch {
	case len(r.Applied) == 0 && len(r.Held) == 0 && len(r.Aside) == 0:
		fmt.Fprintf(w, "nothing to do: all %d migrations are applied\n", r.Total)
	default:
		fmt.Fprintf(w, "%d applied now, %d in all", len(r.Applied), r.Total)
		if n := len(r.Aside); n > 0 {
			fmt.Fprintf(w, ", %d set aside", n)
		}
		if n := len(r.Held); n > 0 {
			fmt.Fprintf(w, ", %d held", n)
		}
		fmt.Fprintln(w)
	}
}

func round(d time.Duration) time.Duration {
	switch {
	case d > 10*time.Second:
		return d.Round(time.Second)
	case d > time.Second:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(time.Millisecond)
	}
}

// logEvent writes an event as one line of JSON: constant messages, data in fields.
func (a *app) logEvent(event migrate.Event) {
	l := a.logger()
	switch e := event.(type) {
	case migrate.Waiting:
		l.Info().Int("pid", e.Holder.PID).Str("application", e.Holder.Application).Dur("waited_ms", e.Waited).Msg("waiting for another pawl")
	case migrate.LedgerCreated:
		l.Info().Str("environment", string(e.Environment)).Msg("ledger created")
	case migrate.ReleaseRegistered:
		l.Info().Str("consumer", e.Consumer).Str("release", e.Release).Int("statements", e.Statements).Msg("release deploying")
	case migrate.SetAside:
		l.Info().Str("migration", e.Migration.Name).Str("version", string(e.Migration.Version)).Dur("keep_ms", e.Keep).Msg("set aside")
	case migrate.BroughtBack:
		l.Warn().Str("migration", e.SoftDrop.Name).Str("version", string(e.SoftDrop.Version)).Str("reason", e.SoftDrop.Reason).Msg("brought back")
	case migrate.Drifted:
		lines := make([]string, len(e.Drift.Differences))
		for i, d := range e.Drift.Differences {
			lines[i] = d.String()
		}
		l.Warn().Str("against", e.Drift.Against).Strs("differences", lines).Msg("drifted")
	case migrate.RestorePointMade:
		l.Info().Str("migration", e.Migration.Name).Interface("restore_point", e.Point).Msg("restore point")
	case migrate.DigestsUnknown:
		l.Warn().Str("problem", e.Problem).Msg("image not recorded")
	case migrate.ReleaseUnfit:
		l.Warn().Interface("statements", misfits(e.Misfits)).Msg("statements not taken")
	case migrate.Started:
		l.Debug().Str("migration", e.Migration.Name).Stringer("phase", e.Phase).Msg("started")
	case migrate.InTheWay:
		l.Warn().Str("migration", e.Migration.Name).Interface("blockers", blockers(e.Blockers)).Msg("in the way")
	case migrate.LockMissed:
		l.Warn().Str("migration", e.Migration.Name).Int("attempt", e.Attempt).Dur("timeout_ms", e.Timeout).Dur("pause_ms", e.Pause).
			Interface("blockers", blockers(e.Blockers)).Msg("lock not had")
	case migrate.DecidedAnew:
		l.Warn().Str("migration", e.Migration.Name).Int("attempt", e.Attempt).Dur("bound_ms", e.Bound).Msg("decided anew")
	case migrate.Progress:
		l.Info().Str("migration", e.Migration.Name).Str("what", e.What).Int64("done", e.Done).Int64("total", e.Total).Dur("elapsed_ms", e.Elapsed).
			Interface("blockers", blockers(e.Blockers)).Msg("in progress")
	case migrate.Recovered:
		l.Info().Str("migration", e.Migration.Name).Str("what", e.What).Msg("recovered")
	case migrate.LeftInvalid:
		l.Warn().Str("migration", e.Migration.Name).Str("index", e.Index).Msg("invalid index left")
	case migrate.Overruled:
		l.Warn().Str("migration", e.Migration.Name).Dur("lock_timeout_ms", e.Set).Dur("longest_ms", e.Longest).Msg("lock_timeout left out")
	case migrate.ServerNotice:
		l.Info().Str("severity", e.Severity).Str("notice", e.Message).Msg("server notice")
	case migrate.Applied:
		line := l.Info().Str("migration", e.Migration.Name).Str("version", string(e.Migration.Version)).Stringer("phase", e.Phase).
			Dur("took_ms", e.Duration).Int("attempts", e.Attempts)
		if e.Decision != nil {
			line = line.Stringer("verdict", e.Decision.Verdict).Interface("findings", migrate.FindingsOf(*e.Decision))
		}
		line.Msg("applied")
	case migrate.HeldBack:
		line := l.Warn().Str("migration", e.Held.Migration.Name).Str("version", string(e.Held.Migration.Version)).Stringer("phase", e.Held.Phase)
		if e.Held.Behind != "" || e.Held.LeftOut {
			line.Str("behind", string(e.Held.Behind)).Str("because", e.Held.Because).Msg("held")
			return
		}
		line.Stringer("verdict", e.Held.Decision.Verdict).Interface("findings", migrate.FindingsOf(e.Held.Decision)).Msg("held")
	case migrate.Finished:
		l.Info().Int("applied", len(e.Result.Applied)).Int("held", len(e.Result.Held)).Int("total", e.Result.Total).Str("database", e.Result.Database).Msg("finished")
	}
}

type misfitJSON struct {
	Consumer  string      `json:"consumer"`
	Release   string      `json:"release"`
	Query     string      `json:"query"`
	Sites     []gate.Site `json:"sites,omitempty"`
	Code      string      `json:"code"`
	Message   string      `json:"message"`
	Doubt     string      `json:"doubt,omitempty"`
	DroppedBy string      `json:"dropped_by,omitempty"`
	DroppedAt *time.Time  `json:"dropped_at,omitempty"`
	Object    string      `json:"object,omitempty"`
}

func misfits(list []evidence.Misfit) []misfitJSON {
	out := make([]misfitJSON, len(list))
	for i, u := range list {
		out[i] = misfitJSON{Consumer: u.Consumer, Release: u.Release, Query: u.Text, Sites: u.Sites, Code: u.Code, Message: u.Message, Doubt: u.Doubt}
		if u.Dropped != nil {
			at := u.Dropped.At.UTC()
			out[i].DroppedBy, out[i].DroppedAt, out[i].Object = u.Dropped.Name, &at, u.Dropped.Take.Object.String()
		}
	}
	return out
}

type blockerJSON struct {
	PID         int     `json:"pid"`
	Application string  `json:"application,omitempty"`
	State       string  `json:"state,omitempty"`
	AgeSeconds  float64 `json:"age_s"`
	Query       string  `json:"query,omitempty"`
	Relation    string  `json:"relation,omitempty"`
	Autovacuum  bool    `json:"autovacuum,omitempty"`
	Wraparound  bool    `json:"wraparound,omitempty"`
}

func blockers(list []migrate.Blocker) []blockerJSON {
	out := make([]blockerJSON, len(list))
	for i, b := range list {
		out[i] = blockerJSON{b.PID, b.Application, b.State, b.Age.Seconds(), b.Query, b.Relation, b.Autovacuum, b.Wraparound}
	}
	return out
}

// writeJSON writes one indented document.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// migrationJSON is one migration in the outputs of gate, plan and status.
type migrationJSON struct {
	Path     string                `json:"path,omitempty"`
	Name     string                `json:"name,omitempty"`
	Version  string                `json:"version"`
	Phase    phases.Phase          `json:"phase"`
	State    string                `json:"state,omitempty"`
	Allowed  *bool                 `json:"allowed,omitempty"`
	Verdict  string                `json:"verdict,omitempty"`
	Behind   string                `json:"behind,omitempty"`
	Because  string                `json:"because,omitempty"`
	Findings []migrate.HeldFinding `json:"findings,omitzero"`
	// Until is when the decision can turn into an allowance by time alone.
	Until    *time.Time        `json:"until,omitempty"`
	Backfill *backfillPlanJSON `json:"backfill,omitempty"`
}

func decisionJSON(m *migrate.Migration, phase phases.Phase, d gate.Decision) migrationJSON {
	j := migrationJSON{
		Path: m.Path, Name: m.Name, Version: m.Label, Phase: phase, Allowed: &d.Allowed, Verdict: d.Verdict.String(),
		Findings: migrate.FindingsOf(d),
	}
	if until := d.Until(); !until.IsZero() && !d.Allowed {
		until = until.UTC()
		j.Until = &until
	}
	return j
}

func label(m *migrate.Migration, v migrate.Version) string {
	if m != nil {
		return m.Label
	}
	return cmp.Or(string(v), "?")
}
