// Package gate decides whether a change may be made while the releases that run, or may run again, need what it takes.
// It is pure: everything it goes by comes in as values, and the zero Decision allows nothing.
package gate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bitvault/pawl/phases"
)

// Verdict is what the gate says of one change and one release, mildest first; the worst of all verdicts wins.
type Verdict uint8

const (
	// Undecided is the zero Verdict: nothing was looked at, so nothing is allowed.
	Undecided Verdict = iota
	// Unaffected means that nothing the release sends is touched.
	Unaffected
	// Changed means that everything still works, though a result's type or shape differs.
	Changed
	// Possible means that only the values of a statement or of the data decide whether it fails.
	Possible
	// Unknown means that it cannot be told what the release sends, or what the change does.
	Unknown
	// Broken means that a statement of the release names what the change takes.
	Broken
)

var verdictNames = [...]string{"undecided", "unaffected", "changed", "possible", "unknown", "broken"}

// String gives the word used in JSON and messages.
func (v Verdict) String() string { return verdictNames[v] }

// MarshalText writes the word.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads the word.
func (v *Verdict) UnmarshalText(text []byte) error {
	i := slices.Index(verdictNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("unknown verdict %q", text)
	}
	*v = Verdict(i) //nolint:gosec // the table has six entries
	return nil
}

// Change is one migration as the gate sees it: what it takes from code.
type Change struct {
	Phase phases.Phase
	Takes []Taken
	// Adds are the columns that the migration adds to older relations, as takes of phases.Alone: what names them without
	// a qualifier, or counts columns, may not have expected them. They never make a change wait for what is not known.
	Adds []Taken
	// Gone names the functions that the migration drops.
	Gone map[string]bool
}

// Suspects reports whether a statement has to be looked at closely: it may use what the change takes, or what the change
// adds may be in its way or give a star another list.
func (c Change) Suspects(q Query) bool {
	for _, t := range c.Takes {
		if !t.Everything && q.Mentions.Meets(t.Take, t.Reach, t.Columns...).Uses != 0 {
			return true
		}
	}
	_, met := c.addedMet(q)
	return met
}

// addedMet finds an added column that a statement meets: it is in the way of a name or of a star, or a star shows it.
func (c Change) addedMet(q Query) (Taken, bool) {
	for _, t := range c.Adds {
		if q.Mentions.Meets(t.Take, t.Reach).Uses != 0 || q.Mentions.Meets(phases.Take{Object: t.Object, Uses: phases.AnyUse}, nil).Uses != 0 {
			return t, true
		}
	}
	return Taken{}, false
}

// Taken is one thing that one operation of a migration takes.
type Taken struct {
	phases.Take
	// Statement is the index of the statement in the migration file. Kind and Summary are the operation's, Span its
	// place in the file.
	Statement int
	Kind      phases.Kind
	Summary   string
	Span      phases.Span
	// Reach are the other objects through which code gets at the taken one without naming it.
	Reach []phases.Reached
	// Proved is true where the operation was carried out where PostgreSQL was asked, so that Evidence.Proofs speak of it.
	Proved bool
	// Columns are all columns of the taken object's relation before the change; nil where they are not known. A hole in
	// a statement cannot stand for a relation that lacks a column which the statement names.
	Columns []string
	// Counter says that the present data contradict what only values decide; empty where that is not so, or not known.
	Counter string
}

// Evidence is what is known about who uses the database.
type Evidence struct {
	// Releases are the eligible ones, each with its manifest or nil.
	Releases []Release
	// Registered is false when no consumer was ever registered: then nobody knows who uses the database.
	Registered bool
	// Proofs are what PostgreSQL said of the statements before and after the change, by Query.ID; nil where it was not
	// asked, and then the mentions alone decide.
	Proofs map[string]Proof
	// Failures name sources that could not be read; any of them makes every decision Unknown.
	Failures []string
	// Strangers are login roles that can touch what is taken and belong to no consumer.
	Strangers []Stranger
	// Acknowledgements are those that nobody has taken back; expired ones count no longer.
	Acknowledgements []Acknowledgement
}

// Stranger is a login role that can touch a taken object and belongs to no consumer, so that nobody knows what it sends.
type Stranger struct {
	Role string
	// May says what it may do with Relation: read, insert into, update, delete from.
	May      string
	Relation phases.Object
	// Object is what is taken, Taken what the migration does to it.
	Object phases.Object
	Taken  string
}

// finding tells of a stranger. Who it is for is not known, so that it blocks only where the policy says so.
func (s Stranger) finding(policy Policy) Finding {
	f := Finding{
		Verdict: Possible, Consumer: RolePrefix + s.Role, Object: s.Object, Taken: s.Taken,
		Message: fmt.Sprintf("role %s may %s %s and belongs to no consumer, so what it sends is not known", s.Role, s.May, s.Relation),
		Next:    fmt.Sprintf("say whose it is: `pawl release roles CONSUMER %s`; or take its rights away", s.Role),
	}
	if policy.EnforceRoles {
		f.Verdict = Unknown
	}
	return f
}

// Proof is what PostgreSQL said of one text before and after a change.
type Proof struct {
	// Before and After are the server's messages where it refused to prepare or to plan the text; empty where it did
	// not. Code is the SQLSTATE of After.
	Before, After, Code string
	// Changed says what differs for a client that looks at types; empty for nothing.
	Changed string
	// Copies is true where PostgreSQL was asked on copies of the tables: it knows nothing then of what reaches the
	// originals by another way.
	Copies bool
	// Blind is true for statements whose names PostgreSQL does not look up before it executes them.
	Blind bool
}

// clears reports whether the proof settles that the text still works, as far as preparing and planning can tell.
func (p Proof) clears() bool { return !p.Blind && p.Before == "" && p.After == "" }

// Finding is one reason behind a decision.
type Finding struct {
	Verdict  Verdict
	Consumer string
	Release  string
	// Why says for what reasons the release is eligible, Since since when it is in its state.
	Why   []Eligibility
	Since time.Time
	// Where says in what the release runs, or what can start it, as far as that was looked at.
	Where  []string
	Object phases.Object
	// Uses are the release's uses that the change affects.
	Uses phases.Use
	// Site is where the statement stands in the consumer's source; zero where that is not known.
	Site  Site
	Query string
	// Code is PostgreSQL's SQLSTATE where it was asked and refused.
	Code string
	// Message says what is wrong, Next what to do about it.
	Message, Next string
	// Until is when the release stops being eligible by itself; zero means not by time alone.
	Until time.Time
	// Span is where in the migration the object is taken.
	Span phases.Span
	// Taken says what the migration does to the object; empty where the finding is about no one object.
	Taken string
	// Acknowledged is by whose word the finding does not block; nil where it may.
	Acknowledged *Acknowledgement

	// met are all objects which the finding is about, where there may be several.
	met []phases.Object
	// holders are the only ones that the finding matters to; nil for everybody.
	holders *phases.Holders
}

// Decision is the gate's answer for one change. The zero Decision allows nothing.
type Decision struct {
	Allowed  bool
	Verdict  Verdict
	Findings []Finding
	// Checked counts the releases and the statements that were looked at.
	Checked Checked
	At      time.Time
}

// Checked says what was looked at.
type Checked struct {
	Releases   int `json:"releases"`
	Statements int `json:"statements"`
	// Eligible are the releases that counted.
	Eligible []Considered `json:"eligible,omitempty"`
}

// Considered is one release that a decision went by.
type Considered struct {
	Consumer string        `json:"consumer"`
	Release  string        `json:"release"`
	Why      []Eligibility `json:"why,omitempty"`
	Since    time.Time     `json:"since,omitzero"`
	Until    time.Time     `json:"until,omitzero"`
	Where    []string      `json:"where,omitempty"`
	// Manifest is complete, partial or missing.
	Manifest string `json:"manifest"`
}

func considered(r Release) Considered {
	c := Considered{Consumer: r.Consumer, Release: r.ID, Why: r.Why, Since: r.Since, Until: r.Until, Where: r.Where, Manifest: "complete"}
	switch {
	case r.Manifest == nil:
		c.Manifest = "missing"
	case !r.Manifest.Complete:
		c.Manifest = "partial"
	}
	return c
}

// Until is when the decision can turn into an allowance by time alone: the last moment at which a release that
// blocks stops being eligible. Zero means that time alone changes nothing.
func (d Decision) Until() time.Time {
	var last time.Time
	for _, f := range d.Findings {
		if f.Acknowledged != nil || f.Verdict < Unknown && d.Verdict >= Unknown {
			continue
		}
		if f.Until.IsZero() {
			return time.Time{}
		}
		if f.Until.After(last) {
			last = f.Until
		}
	}
	return last
}

// Decide judges one change against the evidence. A change that takes nothing is allowed whoever runs. Everything else
// is allowed only if for each eligible release it is known, completely, that it sends nothing the change affects.
func Decide(change Change, evidence Evidence, policy Policy, now time.Time) Decision {
	d := Decision{At: now, Verdict: Unaffected}
	if len(change.Takes) == 0 && len(change.Adds) == 0 && change.Phase != phases.Unknown && evidence.Proofs == nil {
		d.Allowed = true
		return d
	}
	for _, failure := range evidence.Failures {
		if !change.Phase.Gated() {
			// What only adds goes on; nobody waits for it to be known.
			break
		}
		d.add(Finding{
			Verdict: Unknown, Message: failure,
			Next: "make this source readable again, then run `pawl migrate` or `pawl gate` once more",
		})
	}
	d.opaque(change)
	if !evidence.Registered && len(change.Takes) > 0 && change.Phase.Gated() {
		d.add(Finding{
			Verdict: Unknown,
			Message: "no release of any consumer is registered, so nobody knows which code uses this database",
			Next:    "register what runs: `pawl release register MANIFEST` and `pawl release live CONSUMER RELEASE`",
		})
	}
	for _, r := range evidence.Releases {
		d.release(change, r, evidence)
	}
	for _, s := range evidence.Strangers {
		d.add(s.finding(policy))
	}
	slices.SortStableFunc(d.Findings, func(a, b Finding) int { return cmp.Compare(b.Verdict, a.Verdict) })
	d.acknowledge(change, evidence.Acknowledgements, now)
	d.Allowed = !slices.ContainsFunc(d.Findings, func(f Finding) bool {
		return f.Acknowledged == nil && blocks(f.Verdict, change.Phase, policy)
	})
	return d
}

// blocks reports whether a finding of this verdict stops a change, whatever else was found: one more finding never turns
// a refusal into an allowance.
func blocks(v Verdict, phase phases.Phase, policy Policy) bool {
	switch v {
	case Unaffected:
		return false
	case Changed:
		return phase.Gated()
	case Possible:
		return policy.BlockPossible
	default:
		return true
	}
}

func (d *Decision) add(f Finding) {
	d.Findings = append(d.Findings, f)
	d.Verdict = max(d.Verdict, f.Verdict)
}

// opaque reports what the change itself leaves unknown: then no manifest can help.
func (d *Decision) opaque(change Change) {
	for _, t := range change.Takes {
		if t.Everything && change.Phase.Gated() {
			d.add(Finding{
				Verdict: Unknown, Object: t.Object, Span: t.Span,
				Message: "pawl cannot see what this statement does: " + t.Summary,
				Next:    "write it as plain SQL, or say what it is above it: `-- pawl:assume expand: REASON`",
			})
		}
	}
	if change.Phase == phases.Unknown && d.Verdict < Unknown {
		d.add(Finding{
			Verdict: Unknown, Message: "pawl cannot tell what this migration does to running code",
			Next: "see `pawl classify` on the file",
		})
	}
}

func (d *Decision) release(change Change, r Release, evidence Evidence) {
	d.Checked.Releases++
	d.Checked.Eligible = append(d.Checked.Eligible, considered(r))
	base := Finding{Consumer: r.Consumer, Release: r.ID, Why: r.Why, Since: r.Since, Until: r.Until, Where: r.Where}
	// What only adds, and hardly ever hurts, does not wait for what is not known.
	takes := len(change.Takes) > 0 && change.Phase.Gated() || change.Phase == phases.Unknown
	if r.Manifest == nil {
		if takes {
			f := base
			f.Verdict = Unknown
			f.Message = "this release has no manifest, so what it sends is not known"
			f.Next = fmt.Sprintf("register its manifest (`pawl release register FILE`), or, if it never runs again, `pawl release retire %s %s --reason …`", r.Consumer, r.ID)
			if r.Problem != "" {
				f.Message, f.Next = r.Problem, r.Cure
			}
			d.add(f)
		}
		return
	}
	if !r.Manifest.Complete && takes {
		f := base
		f.Verdict = Unknown
		f.Message = "its manifest is partial: " + cmp.Or(strings.Join(r.Manifest.Reasons, "; "), "no reason is given") + unnamed(change, r.Manifest.Words)
		f.Next = "settle the call sites that it lists and register the manifest again; or answer for it: " + ackCommand(change, r.Consumer)
		d.add(f)
	}
	d.Checked.Statements += r.Manifest.Count()
	strange := strangers(change, r.Manifest.Queries)
	for _, q := range r.Manifest.Queries {
		for _, f := range query(change, r, q, evidence) {
			if why := strange[f.holders]; why != "" && f.Verdict > Possible {
				f.Verdict, f.Message = Possible, f.Message+why
			}
			f.Consumer, f.Release, f.Why, f.Since, f.Until, f.Where = r.Consumer, r.ID, r.Why, r.Since, r.Until, r.Where
			f.Query = q.Text
			if len(q.Sites) == 0 {
				d.add(f)
			}
			for _, site := range q.Sites {
				f.Site = site
				d.add(f)
			}
		}
	}
}

// strangers gives the holders of rights that a release hardly connects as, with the reason: most of its statements they
// could not run before the change. A statement that they could run may then still be theirs, by another connection.
func strangers(change Change, queries []Query) map[*phases.Holders]string {
	found := map[*phases.Holders]string{}
	for _, t := range change.Takes {
		if t.Holders == nil || found[t.Holders] != "" {
			continue
		}
		foreign := 0
		for _, q := range queries {
			if !q.Mentions.RunBy(t.Holders) {
				foreign++
			}
		}
		if 2*foreign > len(queries) {
			found[t.Holders] = fmt.Sprintf("; this matters only to a connection as %s, which had no rights for %d of its %d statements",
				strings.Join(t.Roles, ", "), foreign, len(queries))
		}
	}
	return found
}

// query gives the findings on one statement of a release. Where PostgreSQL was asked, its word counts for all that
// preparing and planning can see; for the rest the mentions do.
func query(change Change, r Release, q Query, evidence Evidence) []Finding {
	var found []Finding
	proof, asked := evidence.Proofs[q.ID]
	asked = asked && q.ID != ""
	if asked && proof.Before == "" && proof.After != "" {
		f := Finding{Verdict: Broken, Code: proof.Code, Message: "PostgreSQL refuses it afterwards: " + proof.After}
		if t, m, ok := firstMet(change, q); ok {
			f.Object, f.Uses, f.Span, f.Taken, f.Next = t.Object, m.Uses, t.Span, t.Summary, next(r, t)
			f.met = allMet(change, q)
		} else if t, ok := change.addedMet(q); ok {
			f.Object, f.Span, f.Taken = t.Object, t.Span, "adds a column that is in the statement's way"
			f.Next = fmt.Sprintf("qualify the names in the statement and deploy that release of %s first; or give the new column another name", r.Consumer)
		} else {
			f.Next = fmt.Sprintf("deploy a release of %s whose statement suits both shapes first", r.Consumer)
		}
		return []Finding{f}
	}
	if asked && proof.Changed != "" {
		f := Finding{Verdict: Changed, Message: proof.Changed, Next: fmt.Sprintf("make sure that %s reads this result by name and takes the new type", r.Consumer)}
		if t, m, ok := firstMet(change, q); ok {
			f.Object, f.Uses, f.Span, f.Taken = t.Object, m.Uses, t.Span, t.Summary
			f.met = allMet(change, q)
		} else if t, ok := change.addedMet(q); ok {
			f.Object, f.Span, f.Taken = t.Object, t.Span, t.Summary
		}
		found = append(found, f)
	}
	for _, t := range change.Takes {
		if t.Everything || t.Certainty == phases.Behaves && !change.Phase.Gated() {
			continue
		}
		m := q.Mentions.Meets(t.Take, t.Reach, t.Columns...)
		if m.Uses == 0 || asked && proof.clears() && settled(t, m, q, proof) {
			continue
		}
		f := Finding{Object: t.Object, Uses: m.Uses, Span: t.Span, Taken: t.Summary, Next: next(r, t), holders: t.Holders}
		f.Verdict, f.Message = judge(t, m, q)
		if t.Counter != "" && f.Verdict == Possible {
			f.Verdict, f.Message = Broken, f.Message+"; "+t.Counter
		}
		if asked && proof.Before != "" && f.Verdict > Unknown {
			f.Verdict, f.Message = Unknown, f.Message+"; PostgreSQL cannot tell, for it refuses the statement already now: "+proof.Before
		}
		found = append(found, f)
	}
	for _, t := range change.Adds {
		m := q.Mentions.Meets(t.Take, t.Reach)
		if m.Uses == 0 || asked && proof.clears() && settled(t, m, q, proof) {
			continue
		}
		f := Finding{
			Verdict: Broken, Object: t.Object, Uses: m.Uses, Span: t.Span, Taken: t.Summary,
			Message: fmt.Sprintf("with %s %s it may find two columns of that name, or one column more than fits", t.Object.Kind, t.Object),
			Next:    fmt.Sprintf("give the column another name, or first deploy a release of %s that qualifies the name and lists its columns", r.Consumer),
		}
		if asked && proof.Before != "" {
			f.Verdict = Possible
		}
		found = append(found, f)
	}
	return found
}

// ackCommand is the command line by which a person answers for a consumer not needing what a change takes.
func ackCommand(change Change, consumer string) string {
	var objects []string
	for _, t := range change.Takes {
		if name := t.Object.String(); !t.Everything && name != "" && !slices.Contains(objects, name) {
			objects = append(objects, name)
		}
	}
	if len(objects) == 0 {
		return "write what the migration does as plain SQL first"
	}
	text := fmt.Sprintf("`pawl ack %s --consumer %s --reason … --until …`", objects[0], consumer)
	if more := len(objects) - 1; more > 0 {
		text += fmt.Sprintf(", and the same for %d more that go with it", more)
	}
	return text
}

// unnamed says which of the taken objects no word of a release's source names, for a person who has to decide about a
// manifest that is partial.
func unnamed(change Change, words map[string]bool) string {
	if words == nil {
		return ""
	}
	var names []string
	for _, t := range change.Takes {
		name := cmp.Or(t.Object.Relation, t.Object.Name)
		if name != "" && !words[strings.ToLower(name)] && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; no word of its source is " + strings.Join(names, ", ")
}

// firstMet finds what a refused statement most likely fails on: the first take that it meets and that fails for sure,
// before those of which only the values decide.
func firstMet(change Change, q Query) (Taken, phases.Mention, bool) {
	var found Taken
	var how phases.Mention
	ok := false
	for _, t := range change.Takes {
		m := q.Mentions.Meets(t.Take, t.Reach, t.Columns...)
		if m.Uses == 0 || t.Everything || ok && (found.Certainty == phases.Fails || t.Certainty != phases.Fails) {
			continue
		}
		found, how, ok = t, m, true
	}
	return found, how, ok
}

// allMet gives every object that a statement meets: PostgreSQL names only the first that it fails on.
func allMet(change Change, q Query) []phases.Object {
	var met []phases.Object
	for _, t := range slices.Concat(change.Takes, change.Adds) {
		if !t.Everything && q.Mentions.Meets(t.Take, t.Reach, t.Columns...).Uses != 0 {
			met = append(met, t.Object)
		}
	}
	return met
}

// settled reports whether preparing and planning see everything about this kind of use, so that a statement which
// passes them is proved to work. They look names up; they see neither values nor what runs inside of functions.
func settled(t Taken, m phases.Mention, q Query, p Proof) bool {
	if !t.Proved || t.Certainty != phases.Fails || m.Uses&(phases.Omit|phases.Value) != 0 || m.Partly || m.Unsure || m.Inside || m.Through && p.Copies {
		return false
	}
	switch t.Object.Kind {
	case phases.Column, phases.Table, phases.View, phases.MatView:
		if q.Mentions.Shifts(t.Object.Relation, m) {
			return false
		}
	}
	switch t.Object.Kind {
	case phases.Table, phases.Column, phases.View, phases.MatView, phases.Sequence, phases.Type, phases.Domain, phases.Attribute,
		phases.Function, phases.Schema, phases.Index, phases.Constraint, phases.Operator, phases.Cast, phases.Collation:
		return true
	}
	return false
}

// judge says how bad it is that a query meets a take.
func judge(t Taken, m phases.Mention, q Query) (Verdict, string) {
	what := fmt.Sprintf("%s %s", t.Object.Kind, t.Object)
	if q.Mentions.Unparsed {
		return Unknown, fmt.Sprintf("its statement cannot be read, and its words include those of %s", what)
	}
	switch {
	case m.Unsure:
		return Unknown, fmt.Sprintf("it is made at run time, and may then name %s (%s)", what, m.Uses)
	case m.Partly:
		return Possible, fmt.Sprintf("%s: whether this %s gets at it depends on the rows (%s)", what, m.Uses, t.Summary)
	case t.Certainty == phases.ValuesDecide:
		return Possible, fmt.Sprintf("%s: whether this %s still works depends on the values (%s)", what, m.Uses, t.Summary)
	case t.Certainty == phases.Behaves:
		return Possible, fmt.Sprintf("%s: this %s still runs and may do something else (%s)", what, m.Uses, t.Summary)
	case m.Uses == phases.Omit:
		return Broken, fmt.Sprintf("this INSERT leaves out %s, which it must then give (%s)", what, t.Summary)
	case m.Named:
		return Broken, fmt.Sprintf("it uses %s (%s)", what, m.Uses)
	default:
		return Broken, fmt.Sprintf("it may use %s without naming it (%s)", what, m.Uses)
	}
}

// next says what to do about a release that needs what is taken. One that runs has to be replaced; one that may only
// come back stops counting by itself, or when somebody says that it never will.
func next(r Release, t Taken) string {
	retire := fmt.Sprintf("`pawl release retire %s %s --reason …` once it can never run again", r.Consumer, r.ID)
	if slices.Contains(r.Why, WhyBase) {
		return fmt.Sprintf("the code on %s still needs %s: take this use out and deploy that first; what drops it belongs in a later release", r.ID, t.Object)
	}
	comesBack := len(r.Why) > 0
	for _, why := range r.Why {
		comesBack = comesBack && (why == WhySuperseded || why == WhyPrevious)
	}
	switch {
	case !comesBack:
		return fmt.Sprintf("deploy a release of %s without this use of %s, and record it as live; or %s", r.Consumer, t.Object, retire)
	case r.Until.IsZero():
		return fmt.Sprintf("%s is the release that %s would go back to; it counts until a newer release has replaced the one that runs now, or %s", r.ID, r.Consumer, retire)
	default:
		return fmt.Sprintf("%s may come back until %s; sooner: %s", r.ID, r.Until.UTC().Format("2006-01-02 15:04 MST"), retire)
	}
}
