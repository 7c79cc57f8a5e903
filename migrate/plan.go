package migrate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/gate"
)

// Step is one migration that is to be applied, with what pawl knows of it.
type Step struct {
	Migration     *Migration
	Assessment    *phases.Assessment
	Phase         phases.Phase
	Transactional bool
	// Resume is true for a non-transactional migration that an earlier run began and did not record as done.
	Resume bool
	// Amends is the checksum of the text that the earlier run began, where a statement of it was refused and the file was corrected
	// since behind those that are done; empty otherwise.
	Amends string
	// keep is how long what the file drops is set aside first; 0 for a plain drop. Aside is what was set aside and is
	// dropped for good by this step; nil for others.
	keep  time.Duration
	aside *SoftDrop
	// restore is where the database can be brought back to from before the step; nil for none.
	restore *RestorePoint
	// Decision is the gate's, for a gated phase and for an expand of which it found something; nil otherwise.
	Decision *gate.Decision
	// Backfill says how a backfill will be run; it is filled in by Migrator.Plan alone, and nil for other migrations.
	Backfill *BackfillPlan
}

// Held is one migration that is not applied now.
type Held struct {
	Migration     *Migration
	Phase         phases.Phase
	Transactional bool
	// Decision is the gate's; its zero value where the migration only stands behind another.
	Decision gate.Decision
	// Behind is the held migration that this one has to wait for; empty where the gate itself holds it.
	Behind Version
	// Because says what ties it to Behind, or why it is left out.
	Because string
	// LeftOut is true where the lane of this run does not take it up.
	LeftOut bool

	// adds are the objects that code could not name before.
	adds []phases.Object
}

// HeldFinding is a gate.Finding as the ledger and JSON outputs keep it.
type HeldFinding struct {
	Verdict  gate.Verdict   `json:"verdict"`
	Consumer string         `json:"consumer,omitempty"`
	Release  string         `json:"release,omitempty"`
	Object   *phases.Object `json:"object,omitempty"`
	Access   string         `json:"access,omitempty"`
	Site     *gate.Site     `json:"site,omitempty"`
	Query    string         `json:"query,omitempty"`
	Code     string         `json:"code,omitempty"`
	Message  string         `json:"message"`
	Next     string         `json:"next,omitempty"`
	Until    *time.Time     `json:"until,omitempty"`
	// Why says for what reasons the release counts, Since since when it is in its state.
	Why   []gate.Eligibility `json:"why,omitempty"`
	Since *time.Time         `json:"since,omitempty"`
	// Where says in what the release runs, or what can start it.
	Where []string `json:"where,omitempty"`
	// Taken says what the migration does to the object.
	Taken        string        `json:"taken,omitempty"`
	Acknowledged *Acknowledged `json:"acknowledged,omitempty"`
}

// Acknowledged is a gate.Acknowledgement as the ledger and JSON outputs keep it.
type Acknowledged struct {
	ID       int64     `json:"id"`
	Object   string    `json:"object"`
	Consumer string    `json:"consumer"`
	Release  string    `json:"release,omitempty"`
	Broken   bool      `json:"broken,omitempty"`
	By       string    `json:"by"`
	At       time.Time `json:"at"`
	Until    time.Time `json:"until"`
	Reason   string    `json:"reason"`
	// PawlVersion is the pawl that recorded it.
	PawlVersion string `json:"pawl_version"`
}

// AcknowledgedOf gives an acknowledgement in its machine form.
func AcknowledgedOf(a gate.Acknowledgement) Acknowledged {
	return Acknowledged{
		ID: a.ID, Object: a.Object, Consumer: a.Consumer, Release: a.Release, Broken: a.Broken, By: a.By, At: a.At.UTC(),
		Until: a.Until.UTC(), Reason: a.Reason, PawlVersion: a.PawlVersion,
	}
}

// FindingsOf gives a decision's findings in their machine form.
func FindingsOf(d gate.Decision) []HeldFinding {
	out := make([]HeldFinding, 0, len(d.Findings))
	for _, f := range d.Findings {
		h := HeldFinding{
			Verdict: f.Verdict, Consumer: f.Consumer, Release: f.Release, Access: f.Uses.String(), Query: f.Query,
			Code: f.Code, Message: f.Message, Next: f.Next, Why: f.Why, Where: f.Where, Taken: f.Taken,
		}
		if !f.Object.IsZero() {
			h.Object = &f.Object
		}
		if f.Site.File != "" {
			h.Site = &f.Site
		}
		if !f.Until.IsZero() {
			until := f.Until.UTC()
			h.Until = &until
		}
		if !f.Since.IsZero() {
			since := f.Since.UTC()
			h.Since = &since
		}
		if f.Acknowledged != nil {
			a := AcknowledgedOf(*f.Acknowledged)
			h.Acknowledged = &a
		}
		out = append(out, h)
	}
	return out
}

func (h Held) findings() []HeldFinding {
	if h.LeftOut {
		return []HeldFinding{{Verdict: gate.Unknown, Message: h.Because, Next: "run pawl without --lane, or with the other one"}}
	}
	if h.Behind != "" {
		return []HeldFinding{{Verdict: gate.Unknown, Message: fmt.Sprintf("it stands behind %s, which is held: %s", h.Behind, h.Because)}}
	}
	return FindingsOf(h.Decision)
}

// Plan is what a run would do. Steps are in the order in which they are applied.
type Plan struct {
	Steps []Step
	Held  []Held
	// Missing are applied versions for which there is no file: an older release's directory, as after a git revert.
	Missing []Entry
}

// Pending counts what is not applied.
func (p *Plan) Pending() int { return len(p.Steps) + len(p.Held) }

// OutOfOrder says what to do with a file that comes late: with a lower version than one that was applied.
type OutOfOrder string

const (
	// Independent applies a late expand that shares no object with what was applied after it. It is the default.
	Independent OutOfOrder = "independent"
	// RefuseLate refuses every late file that does not say -- pawl:after.
	RefuseLate OutOfOrder = "refuse"
)

// todo is the part of planning that needs no parsing: which files are not applied, and whether files and ledger agree.
type todo struct {
	applied, pending []*Migration
	missing          []Entry
	// unseen is true where no deployed code can know what the applied files made.
	unseen bool
	// path are the schemas in which the database's sessions look for unqualified names.
	path []string
	// bare are schemas in which there was nothing before the first of the files; empty unless no deployed code can know them.
	bare []string
}

// amendedBy reports whether a file differs from the text that was begun only behind the statements that are done.
func (l *Ledger) amendedBy(m *Migration) bool {
	at, ok := l.stopped[m.Version]
	return ok && len(m.File().Statements) >= at.done && m.sumUntil(at.done) == at.text
}

func counted(n int, what string) string {
	if n == 1 {
		return what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func isOrAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func compare(files []*Migration, l *Ledger) (*todo, error) {
	t := &todo{path: l.path}
	seen := map[Version]bool{}
	for _, m := range files {
		if m.Version.Repeatable() {
			m.Version = l.nextOf(m)
		}
		seen[m.Version] = true
		e, ok := l.Entries[m.Version]
		if !ok && m.Checkpoint && len(l.Entries) > 0 {
			continue
		}
		if ok && e.State == StateRunning && e.Sum != m.Sum && !l.amendedBy(m) {
			fault := &IntegrityError{
				Version: m.Version, Path: m.Path,
				Message: fmt.Sprintf("version %s was begun on %s from another text, and its end was not seen: the ledger has checksum %s, the file has %s",
					m.Label, e.StartedAt.UTC().Format("2006-01-02 15:04 MST"), short(e.Sum), short(m.Sum)),
				Hint: fmt.Sprintf("restore the file as it was and run pawl again, which looks the outcome up; or look yourself and say what is true: `pawl resolve %s --applied|--not-applied --reason …`", m.Label),
			}
			if at, ok := l.stopped[m.Version]; ok {
				fault.Message = fmt.Sprintf("the first %s of version %s %s done, and changed in the file since", counted(at.done, "statement"), m.Label, isOrAre(at.done))
				fault.Hint = fmt.Sprintf("restore them as they were; what stands behind them may be corrected. Or look at the database and say what is true: `pawl resolve %s --applied|--not-applied --reason …`", m.Label)
			}
			return nil, fault
		}
		if !ok || e.State != StateApplied {
			t.pending = append(t.pending, m)
			continue
		}
		if !e.has(m.Sum) {
			return nil, &IntegrityError{
				Version: m.Version, Path: m.Path,
				Message: fmt.Sprintf("version %s was applied on %s from another text: the ledger has checksum %s, the file has %s",
					m.Label, e.FinishedAt.UTC().Format("2006-01-02 15:04 MST"), short(e.Sum), short(m.Sum)),
				Hint: "restore the file as it was applied, and put the change into a new migration; where only blanks and comments changed, `pawl repair` proves it",
			}
		}
		t.applied = append(t.applied, m)
	}
	for v, e := range l.Entries {
		if !seen[v] && e.State == StateApplied && !v.Repeatable() {
			t.missing = append(t.missing, e)
		}
	}
	slices.SortFunc(t.missing, func(a, b Entry) int { return a.Version.Compare(b.Version) })
	return t, nil
}

// nextOf gives the version of a repeatable migration: that of the row in the ledger, where its text is the one that ran last, or else
// a new one.
func (l *Ledger) nextOf(m *Migration) Version {
	prefix := strings.SplitAfter(string(m.Version), "@")[0]
	var last Entry
	count := 0
	for v, e := range l.Entries {
		if !strings.HasPrefix(string(v), prefix) {
			continue
		}
		count++
		if e.State != StateApplied {
			if e.Sum == m.Sum {
				return v
			}
			continue
		}
		if c := e.FinishedAt.Compare(last.FinishedAt); last.Version == "" || c > 0 || c == 0 && e.Version > last.Version {
			last = e
		}
	}
	if last.Version != "" && last.Sum == m.Sum {
		return last.Version
	}
	if _, taken := l.Entries[m.Version]; taken {
		return m.Version + Version(fmt.Sprintf("~%d", count))
	}
	return m.Version
}

func short(sum string) string { return sum[:min(12, len(sum))] }

// judge asks for the gate's decision on one migration.
type judge func(m *Migration, a *phases.Assessment) gate.Decision

// told reports whether the applied files tell the whole schema: none is missing, each was run as it is, and there is
// nothing in them that cannot be followed.
func (t *todo) told(l *Ledger, version int) bool {
	for _, m := range t.applied {
		if l.Entries[m.Version].Origin != "migrate" {
			return false
		}
	}
	return !l.Others && len(t.missing) == 0 && !t.catalog(version, nil).Incomplete
}

// catalog is the schema that the applied files leave, or the live one where it is known.
func (t *todo) catalog(version int, live *phases.File) *phases.Catalog {
	if live == nil {
		c := t.begin(version)
		for _, m := range t.applied {
			c.Assess(m.File())
		}
		c.Path(t.path, nil)
		return c
	}
	c := phases.CatalogOf(version, live)
	c.Path(t.path, t.path)
	return c
}

// begin is the schema before the first file. What search path there was then is not known where a file has changed it since; a schema
// of the path was there if no file makes it.
func (t *todo) begin(version int) *phases.Catalog {
	c := phases.NewCatalog(version)
	path := t.path
	for _, m := range t.applied {
		for _, s := range m.File().Statements {
			for _, op := range s.Operations {
				switch op.Kind {
				case "alter_database_setting", "alter_role_setting", "alter_database_search_path", "alter_role_search_path":
					if op.Names[0] == "search_path" {
						path = nil
					}
				}
			}
		}
	}
	c.Path(path, MadeByNone(t.path, t.applied))
	return c
}

// MadeByNone gives the schemas of a list that none of the migrations makes.
func MadeByNone(schemas []string, list []*Migration) []string {
	schemas = slices.Clone(schemas)
	for _, m := range list {
		for _, s := range m.File().Statements {
			for _, op := range s.Operations {
				schemas = slices.DeleteFunc(schemas, func(s string) bool {
					return op.Kind == "create_schema" && op.On.Name == s || op.Kind == "rename_schema" && op.To == s
				})
			}
		}
	}
	return schemas
}

// plan decides for each pending file whether it is applied or held. Decide is called for each that is not held behind another. Live is the
// database's own schema, for where the files do not tell the whole of it; nil where they do.
func (t *todo) plan(l *Ledger, order OutOfOrder, lane Lane, version int, live *phases.File, decide judge) (*Plan, error) {
	p := &Plan{Missing: t.missing}
	catalog := t.begin(version)
	if t.unseen {
		catalog.Mark()
	}
	touched := map[Version]map[string]bool{}
	for _, m := range t.applied {
		touched[m.Version] = touches(catalog.Assess(m.File()))
	}
	catalog.Path(t.path, nil)
	if live != nil {
		catalog = phases.CatalogOf(version, live)
		catalog.Path(t.path, t.path)
	}
	if !t.unseen {
		catalog.Mark()
	}
	catalog.Bare(t.bare...)
	held := map[Version]map[string]bool{}
	for _, m := range t.pending {
		if err := m.Check(); err != nil {
			return nil, err
		}
		a := catalog.Assess(m.File())
		if err := m.fault(a.Problems); err != nil {
			return nil, err
		}
		keep, err := softDrop(m)
		if err != nil {
			return nil, err
		}
		touch := touches(a)
		if err := t.late(m, a, touch, touched, l, order); err != nil {
			return nil, err
		}
		h := Held{Migration: m, Phase: a.Phase, Transactional: a.Transactional, adds: addedBy(a)}
		if h.Behind, h.Because = behind(m, touch, held); h.Behind != "" {
			p.Held = append(p.Held, h)
			held[m.Version] = touch
			continue
		}
		if h.Because = lane.leavesOut(a); h.Because != "" && l.Entries[m.Version].State != StateRunning {
			h.LeftOut = true
			p.Held = append(p.Held, h)
			held[m.Version] = touch
			continue
		}
		step := Step{Migration: m, Assessment: a, Phase: a.Phase, Transactional: a.Transactional}
		if begun := l.Entries[m.Version]; begun.State == StateRunning {
			step.Resume, step.Transactional = true, false
			if begun.Sum != m.Sum {
				step.Amends = begun.Sum
			}
		}
		d := decide(m, a)
		if !d.Allowed {
			h.Decision = d
			p.Held = append(p.Held, h)
			held[m.Version] = touch
			continue
		}
		if Gated(a) || len(d.Findings) > 0 {
			step.Decision = &d
		}
		if l.Environment != Dev && len(ChangeOf(a).Takes) > 0 {
			step.keep = keep
		}
		p.Steps = append(p.Steps, step)
	}
	return p, nil
}

// Gated reports whether the file has to pass the gate: a file that mixes phases passes it whole.
func Gated(a *phases.Assessment) bool { return a.Phase.Gated() || a.Mixed }

// late refuses a file that comes after later ones were applied, unless nothing it touches was touched by those.
func (t *todo) late(m *Migration, a *phases.Assessment, touch map[string]bool, touched map[Version]map[string]bool, l *Ledger, order OutOfOrder) error {
	if _, known := l.Entries[m.Version]; known || m.Version.Repeatable() {
		// It was held or begun in its own time.
		return nil
	}
	var after []Version
	for v, e := range l.Entries {
		if e.State == StateApplied && !v.Repeatable() && v.Compare(m.Version) > 0 {
			after = append(after, v)
		}
	}
	if len(after) == 0 {
		return nil
	}
	slices.SortFunc(after, Version.Compare)
	last := after[len(after)-1]
	for _, d := range m.File().Directives {
		if d.Name != "after" {
			continue
		}
		if v, ok := ParseVersion(d.Arg); ok && v.Compare(last) >= 0 && l.Entries[v].State == StateApplied {
			return nil
		}
	}
	refuse := func(why string) error {
		return &RefusedError{
			Message: fmt.Sprintf("%s comes late: version %s is applied already, and %s", m.Path, last, why),
			Hint:    fmt.Sprintf("give it a version after %s, or say that the order is meant: `-- pawl:after %s`", last, last),
		}
	}
	switch {
	case order == RefuseLate:
		return refuse("--out-of-order=refuse asks for strict order")
	case a.Phase != phases.Expand || a.Mixed:
		return refuse(fmt.Sprintf("this file is no expand but %s", a.Phase))
	}
	for _, v := range after {
		other, ok := touched[v]
		if !ok {
			return refuse(fmt.Sprintf("the file of %s is not here to compare with", v))
		}
		if shared := common(touch, other); shared != "" {
			return refuse(fmt.Sprintf("%s has touched %s too", v, shared))
		}
	}
	return nil
}

// everything stands in a set of touched objects for what cannot be told.
const everything = "*"

// touches names the relations, types and functions that a file makes, changes or refers to. Schemas are left out of
// the names: a name alone may mean any of them.
func touches(a *phases.Assessment) map[string]bool {
	set := map[string]bool{}
	for _, s := range a.Statements {
		for _, op := range s.Operations {
			for _, o := range []phases.Object{op.On, op.Ref} {
				if name := cmp.Or(o.Relation, o.Name); name != "" {
					set[name] = true
				}
			}
			for _, l := range op.Locks {
				name := l.Relation
				if i := strings.LastIndexByte(name, '.'); i >= 0 {
					name = name[i+1:]
				}
				set[name] = true
			}
			if op.Kind == phases.Opaque {
				set[everything] = true
			}
		}
	}
	return set
}

// addedBy names the objects that a file makes and that code could not name before.
func addedBy(a *phases.Assessment) []phases.Object {
	var added []phases.Object
	for _, s := range a.Statements {
		for _, op := range s.Operations {
			kind := string(op.Kind)
			switch op.On.Kind {
			case phases.Table, phases.Column, phases.View, phases.MatView, phases.Sequence, phases.Type, phases.Domain,
				phases.EnumValue, phases.Function, phases.Schema:
				if strings.HasPrefix(kind, "create_") || strings.HasPrefix(kind, "add_") {
					added = append(added, op.On)
				}
			}
		}
	}
	return added
}

// behind finds the first held migration that shares an object with this one, or that it names by pawl:after.
func behind(m *Migration, touch map[string]bool, held map[Version]map[string]bool) (Version, string) {
	versions := make([]Version, 0, len(held))
	for v := range held {
		versions = append(versions, v)
	}
	slices.SortFunc(versions, Version.Compare)
	for _, v := range versions {
		for _, d := range m.File().Directives {
			if after, ok := ParseVersion(d.Arg); d.Name == "after" && ok && after == v {
				return v, "it says `-- pawl:after " + d.Arg + "`"
			}
		}
		if shared := common(touch, held[v]); shared != "" {
			return v, "both touch " + shared
		}
	}
	return "", ""
}

func common(a, b map[string]bool) string {
	var shared []string
	for name := range a {
		if b[name] && name != everything {
			shared = append(shared, name)
		}
	}
	if len(shared) > 0 {
		return slices.Min(shared)
	}
	if len(a) > 0 && b[everything] || len(b) > 0 && a[everything] {
		return "objects that pawl cannot see"
	}
	return ""
}
