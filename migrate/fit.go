package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// Incoming says what to do about an incoming release that does not suit the schema.
type Incoming string

const (
	// IncomingRefuse refuses it before any of its pods starts. It is the default.
	IncomingRefuse Incoming = "refuse"
	// IncomingWarn tells about it and goes on.
	IncomingWarn Incoming = "warn"
	// IncomingIgnore does not ask.
	IncomingIgnore Incoming = "off"
)

// UnfitError means that a release does not suit the schema: a contract dropped what it references, or the schema lacks
// what it needs. Misfits are never empty.
type UnfitError struct {
	Misfits []evidence.Misfit
	// Advice says what to do about what the schema lacks.
	Advice string
}

func (e *UnfitError) Error() string {
	var said []string
	for _, u := range e.Misfits {
		if text := describeMisfit(u); !slices.Contains(said, text) {
			said = append(said, text)
		}
	}
	const most = 3
	if more := len(said) - most; more > 0 {
		said = append(said[:most], fmt.Sprintf("and %d more", more))
	}
	if e.Dropped() {
		return strings.Join(said, "; ") + "; roll forward"
	}
	return strings.Join(said, "; ")
}

// Dropped reports whether a contract took what one of the statements needs, so that waiting cannot help.
func (e *UnfitError) Dropped() bool {
	return slices.ContainsFunc(e.Misfits, func(u evidence.Misfit) bool { return u.Dropped != nil })
}

// Hint gives the statements with their places and PostgreSQL's messages, and what to do.
func (e *UnfitError) Hint() string {
	var lines []string
	const most = 5
	for i, u := range e.Misfits {
		if i == most {
			lines = append(lines, fmt.Sprintf("and %d more statements", len(e.Misfits)-most))
			break
		}
		place := ""
		if len(u.Sites) > 0 {
			place = fmt.Sprintf("%s:%d: ", u.Sites[0].File, u.Sites[0].Line)
		}
		text := []rune(strings.Join(strings.Fields(u.Text), " "))
		const longest = 100
		if len(text) > longest {
			text = append(text[:longest], '…')
		}
		lines = append(lines, place+string(text), fmt.Sprintf("  PostgreSQL: %s (%s)", u.Message, u.Code))
	}
	if e.Dropped() {
		lines = append(lines, "no pod of this release may start: what it references does not come back. Deploy a release that suits the schema as it is")
	} else {
		lines = append(lines, e.Advice)
	}
	return strings.Join(lines, "\n")
}

func describeMisfit(u evidence.Misfit) string {
	if u.Dropped == nil {
		return fmt.Sprintf("%s@%s needs what this database does not have: %s", u.Consumer, u.Release, u.Message)
	}
	return fmt.Sprintf("%s@%s references %s, dropped by %s on %s", u.Consumer, u.Release, plainName(u.Dropped.Take.Object),
		strings.TrimSuffix(u.Dropped.Name, ".sql"), u.Dropped.At.UTC().Format("2006-01-02 15:04 MST"))
}

// plainName leaves the schema that everybody means out.
func plainName(o phases.Object) string {
	if o.Schema == "public" {
		o.Schema = ""
	}
	return o.String()
}

func (*UnfitError) pawlError() {}

// fitting asks whether the incoming releases suit the schema: before anything is written, before the first contract and
// at the end of a run.
type fitting struct {
	m    *Migrator
	s    *session
	acks []gate.Acknowledgement
	// open are the manifests of which a statement was refused that a pending migration may yet make good.
	open []*evidence.Manifest
}

// fit asks about the manifests and gives what counts against them. What pending migrations may make good is passed over:
// adds are the objects they make, touch the names of all that they touch.
func (f *fitting) fit(ctx context.Context, manifests []*evidence.Manifest, adds []phases.Object, touch map[string]bool) ([]evidence.Misfit, error) {
	taken, err := evidence.LoadTaken(ctx, f.s.conn)
	if err != nil {
		return nil, classify(ctx, "read what contracts took", err)
	}
	all, err := evidence.Fit(ctx, f.s.conn, manifests, taken)
	if err != nil {
		return nil, classify(ctx, "ask whether the release suits the schema", err)
	}
	f.open = nil
	var bad []evidence.Misfit
	var doubts []evidence.Misfit
	for _, u := range all {
		switch {
		case u.Doubt != "":
			doubts = append(doubts, u)
		case f.acknowledged(u):
			doubts = append(doubts, u)
		case mayBeMade(u, adds, touch):
			for _, m := range manifests {
				if m.Consumer == u.Consumer && m.Release == u.Release && !slices.Contains(f.open, m) {
					f.open = append(f.open, m)
				}
			}
		default:
			bad = append(bad, u)
		}
	}
	if len(doubts) > 0 {
		f.m.opts.OnEvent(ReleaseUnfit{Misfits: doubts})
	}
	return bad, nil
}

func (f *fitting) acknowledged(u evidence.Misfit) bool {
	return u.Dropped != nil && slices.ContainsFunc(f.acks, func(a gate.Acknowledgement) bool {
		return a.Broken && a.Consumer == u.Consumer && (a.Release == "" || a.Release == u.Release) && a.Names(u.Dropped.Take.Object)
	})
}

// mayBeMade reports whether a pending migration may bring what a statement needs.
func mayBeMade(u evidence.Misfit, adds []phases.Object, touch map[string]bool) bool {
	for _, o := range adds {
		if u.Mentions.Meets(phases.Take{Object: o, Uses: phases.AnyUse}, nil).Uses != 0 {
			return true
		}
	}
	if u.Dropped != nil {
		return false
	}
	if touch[everything] {
		return true
	}
	for _, r := range u.Mentions.Relations {
		if touch[r.Name] {
			return true
		}
	}
	for name := range u.Mentions.Names {
		if touch[name] {
			return true
		}
	}
	return false
}

// additions gives what the files that are not applied add and touch.
func (t *todo) additions(version int, live *phases.File) (adds []phases.Object, touch map[string]bool) {
	catalog := t.catalog(version, live)
	catalog.Mark()
	touch = map[string]bool{}
	for _, m := range t.pending {
		a := catalog.Assess(m.File())
		adds = append(adds, addedBy(a)...)
		for name := range touches(a) {
			touch[name] = true
		}
	}
	return adds, touch
}

// ofSteps is additions for the rest of a plan.
func ofSteps(steps []Step) (adds []phases.Object, touch map[string]bool) {
	touch = map[string]bool{}
	for _, s := range steps {
		adds = append(adds, addedBy(s.Assessment)...)
		for name := range touches(s.Assessment) {
			touch[name] = true
		}
	}
	return adds, touch
}

// before refuses releases that no pending migration can make fit, before anything is written. L may be of any age.
func (f *fitting) before(ctx context.Context, l *Ledger, t *todo, live *phases.File) error {
	if f.m.opts.Incoming == IncomingIgnore || len(f.m.opts.Manifests) == 0 {
		return nil
	}
	known, err := f.known(ctx)
	if err != nil || known {
		return err
	}
	if f.s.hasLedger {
		if f.acks, err = evidence.Standing(ctx, f.s.conn); err != nil {
			return classify(ctx, "read the acknowledgements", err)
		}
	}
	adds, touch := t.additions(f.s.version, live)
	bad, err := f.fit(ctx, f.m.opts.Manifests, adds, touch)
	if err != nil || len(bad) == 0 {
		return err
	}
	return f.refuse(ctx, l, &UnfitError{Misfits: bad, Advice: "no pending migration adds it: bring the one that does, or take the use out"}, false)
}

// known reports whether the releases were let in by an earlier run and are counted since, so that nothing can have been
// taken from them.
func (f *fitting) known(ctx context.Context) (bool, error) {
	if !f.s.hasLedger {
		return false, nil
	}
	known, err := evidence.Known(ctx, f.s.conn, f.m.opts.Manifests)
	return known, classify(ctx, "look the release up", err)
}

// again asks about the releases that were let in for the sake of what was pending; rest is what still is.
func (f *fitting) again(ctx context.Context, l *Ledger, rest []Step) error {
	if len(f.open) == 0 {
		return nil
	}
	adds, touch := ofSteps(rest)
	bad, err := f.fit(ctx, f.open, adds, touch)
	if err != nil || len(bad) == 0 {
		return err
	}
	const advice = "the pending migrations do not add it: bring the one that does, or take the use out"
	return f.refuse(ctx, l, &UnfitError{Misfits: bad, Advice: advice}, true)
}

// refuse records the refusal and gives it, unless it is only to be told. A release that was let in by this run and never
// ran holds back no contract.
func (f *fitting) refuse(ctx context.Context, l *Ledger, e *UnfitError, letIn bool) error {
	if f.m.opts.Incoming == IncomingWarn || l.Environment == Dev && !f.m.opts.GateDev {
		if f.m.opts.Incoming == IncomingWarn && f.s.hasLedger {
			if err := f.m.overridden(ctx, f.s, "deploy-gate=warn", e.Error()); err != nil {
				return err
			}
		}
		f.m.opts.OnEvent(ReleaseUnfit{Misfits: e.Misfits})
		return nil
	}
	if !f.s.hasLedger {
		return e
	}
	releases := map[[2]string][]string{}
	for _, u := range e.Misfits {
		key := [2]string{u.Consumer, u.Release}
		releases[key] = append(releases[key], describeMisfit(u))
	}
	for key, why := range releases {
		detail, err := json.Marshal(map[string]any{"consumer": key[0], "release": key[1], "reasons": slices.Compact(why)})
		if err != nil {
			return fmt.Errorf("encode the refusal: %w", err)
		}
		const event = `insert into pawl.event (kind, detail, pawl_version) values ('refused', $1::jsonb, $2)`
		if _, err := f.s.conn.Exec(ctx, event, string(detail), f.m.opts.PawlVersion); err != nil {
			return classify(ctx, "record the refusal", err)
		}
		if letIn {
			if err := evidence.RetireUnstarted(ctx, f.s.conn, key[0], key[1], "refused before it started: "+why[0], f.m.opts.PawlVersion); err != nil {
				return classify(ctx, "record the refusal", err)
			}
		}
	}
	return e
}
