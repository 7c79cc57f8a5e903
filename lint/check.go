package lint

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bitvault/pawl/phases"
)

// Options are how a Linter judges.
type Options struct {
	// Version is the PostgreSQL major that is judged for; 0 means the oldest supported, 14.
	Version int
	// Transactions says who runs the files; empty means ByStatement.
	Transactions Transactions
	// Config says which rules look where.
	Config Config
	// Free reports whether a new file of a path may be made, because nothing has its version. Without it no cure is offered that
	// needs a second file.
	Free func(path string) bool
	// StoppedUse gives the place, such as store.go:8, of a use of the object that the branch takes out of the code; empty for none. Nil
	// where the code is not compared.
	StoppedUse func(phases.Object) string
	// Baseline has findings that are not told; nil for none.
	Baseline *Baseline
	// Stats are the sizes of production's tables; nil where they are not known.
	Stats *Stats
}

// Linter judges files in their order: each against the schema that the earlier ones left.
type Linter struct {
	options Options
	rules   []Rule
	number  map[string]int
	byKind  map[phases.Kind][]int
	byFile  []int
	catalog *phases.Catalog
	// paths remembers the severities of a path's directory, for most files of a run share one.
	severities []Severity
	perPath    bool
	versions   map[string]string
	summary    Summary
}

// Summary counts what a run saw.
type Summary struct {
	Files      int `json:"files"`
	Statements int `json:"statements"`
	// Unread counts the statements that could not be read; nothing is known about them.
	Unread   int `json:"unread"`
	Findings int `json:"findings"`
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	Infos    int `json:"infos"`
	// Fixable counts the findings that come with edits.
	Fixable int `json:"fixable"`
	// Suppressed counts the findings that comments silenced, by whose comments they were: pawl, squawk, atlas.
	Suppressed map[string]int `json:"suppressed,omitempty"`
}

// New makes a Linter with an empty schema. The error is an *UnknownRuleError or says which pattern is none.
func New(o Options) (*Linter, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Transactions == "" {
		o.Transactions = ByStatement
	}
	l := &Linter{
		options: o, rules: rules, number: make(map[string]int, len(rules)), byKind: map[phases.Kind][]int{},
		catalog: phases.NewCatalog(o.Version), perPath: len(o.Config.Paths) > 0, versions: map[string]string{},
		summary: Summary{Suppressed: map[string]int{}},
	}
	for i := range rules {
		l.number[rules[i].Name] = i
		for _, k := range rules[i].Kinds {
			l.byKind[k] = append(l.byKind[k], i)
		}
		if rules[i].File != nil {
			l.byFile = append(l.byFile, i)
		}
	}
	l.severities, _ = o.Config.severities("")
	return l, nil
}

// Summary gives the counts so far.
func (l *Linter) Summary() Summary { return l.summary }

// Mark begins a run of files that are applied in one go: what one of them makes is new to all of them.
func (l *Linter) Mark() { l.catalog.Mark() }

// Learn applies a file to the schema without judging it: others are judged after it.
func (l *Linter) Learn(s *Source) { l.catalog.Assess(s.File) }

// File is one file while it is judged.
type File struct {
	*Source
	Assessment *phases.Assessment
	Catalog    *phases.Catalog
	Options    *Options
	// Groups gives for each statement the number of its transaction; 0 for one that runs alone.
	Groups []int
	// back gives for each statement the ROLLBACK that takes it back; nil where nothing is taken back.
	back []int
	// Explicit is true where the file itself, or a mark of its tool, says that the group is a transaction.
	Explicit []bool

	linter     *Linter
	severities []Severity
	rule       int
	found      []candidate
	// wants is the file that the cure at hand cannot make.
	wants string
}

// candidate is a finding before the end of the file decides whether it stands.
type candidate struct {
	Finding
	rule                 int
	statement, operation int
}

// Op is one operation, with what the catalog knew before it.
type Op struct {
	*phases.AssessedOperation
	File *File
	// Statement is the number of its statement in the file.
	Statement int
	number    int
	place     phases.Span
}

// Check judges a file and applies it to the schema. The findings are in the order of their places.
func (l *Linter) Check(s *Source) []Finding {
	_, found := l.Assess(s)
	return found
}

// Assess is Check for who wants to know, too, what the file does.
func (l *Linter) Assess(s *Source) (*phases.Assessment, []Finding) {
	f := &File{Source: s, Catalog: l.catalog, Options: &l.options, linter: l, severities: l.severities}
	if l.perPath {
		f.severities, _ = l.options.Config.severities(s.File.Path)
	}
	if s.Change != nil && s.Change.Kind != Added {
		found := l.checkApplied(f)
		return f.Assessment, found
	}
	f.group()
	f.back = s.File.RolledBack()
	f.Assessment = l.catalog.AssessEach(s.File, f.see)
	f.unwrap()
	f.settle()
	for _, i := range l.byFile {
		if f.severities[i] != Off {
			f.rule = i
			l.rules[i].File(f)
		}
	}
	found := l.finish(f)
	return f.Assessment, found
}

// finish takes out what comments and the baseline allow, and counts the rest.
func (l *Linter) finish(f *File) []Finding {
	out := f.suppress()
	if b := l.options.Baseline; b != nil {
		all := len(out)
		if out = b.without(f.File.Path, f.File.Text, out); len(out) < all {
			l.summary.Suppressed["baseline"] += all - len(out)
		}
	}
	l.count(f, out)
	return out
}

func (l *Linter) count(f *File, out []Finding) {
	l.summary.Files++
	l.summary.Statements += len(f.File.Statements)
	for _, s := range f.Assessment.Statements {
		if slices.ContainsFunc(s.Operations, func(op phases.AssessedOperation) bool { return op.Kind == phases.Opaque }) {
			l.summary.Unread++
		}
	}
	l.tally(out)
}

// tally counts findings.
func (l *Linter) tally(out []Finding) {
	for i := range out {
		l.summary.Findings++
		switch out[i].Severity {
		case Error:
			l.summary.Errors++
		case Warning:
			l.summary.Warnings++
		default:
			l.summary.Infos++
		}
		if len(out[i].Edits) > 0 {
			l.summary.Fixable++
		}
	}
}

// see is called with each operation before it changes the schema.
func (f *File) see(statement, number int, op *phases.AssessedOperation) {
	list := f.linter.byKind[op.Kind]
	if len(list) == 0 {
		return
	}
	o := &Op{AssessedOperation: op, File: f, Statement: statement, number: number, place: op.Span}
	whole := f.File.Statements[statement].Span
	if op.Span.Start.Offset < whole.Start.Offset || op.Span.End.Offset > whole.End.Offset {
		// What a function's body does is told where it is called.
		o.place = whole
	}
	takenBack := f.back != nil && f.back[statement] > 0
	for _, i := range list {
		if f.severities[i] == Off {
			continue
		}
		r := &f.linter.rules[i]
		if r.When != nil && !r.When(o) {
			continue
		}
		if r.Contract && f.declared() || takenBack && (r.Contract || op.Phase == phases.Contract && !op.Effect.Scan && !op.Effect.Rewrite) {
			continue
		}
		c := candidate{rule: i, statement: statement, operation: number, Finding: Finding{
			Rule: r.Name, Severity: f.severities[i], Path: f.File.Path, Span: o.place, Phase: op.Phase,
		}}
		c.Message = o.say(r)
		c.Help = o.advise(r)
		if r.Fix != nil {
			if c.Edits = r.Fix(o); c.Edits == nil {
				c.Wants = f.wants
			}
			f.wants = ""
		}
		if stats := f.Options.Stats; stats != nil {
			stats.weigh(&c, o)
		}
		f.found = append(f.found, c)
	}
}

// settle takes back what the end of the file made good: a view dropped and made again as it was is no loss.
func (f *File) settle() {
	f.found = slices.DeleteFunc(f.found, func(c candidate) bool {
		ops := f.Assessment.Statements[c.statement].Operations
		return f.linter.rules[c.rule].Contract && c.operation < len(ops) && c.Phase != phases.Expand && ops[c.operation].Phase == phases.Expand
	})
}

// Report adds a finding of the rule that is looking at the file. A statement of -1 stands for none in particular.
func (f *File) Report(statement int, span phases.Span, phase phases.Phase, message, help string, edits ...Edit) {
	r := &f.linter.rules[f.rule]
	if len(edits) > 0 {
		f.wants = ""
	}
	f.found = append(f.found, candidate{rule: f.rule, statement: statement, operation: -1, Finding: Finding{
		Rule: r.Name, Severity: f.severities[f.rule], Path: f.File.Path, Span: span, Phase: phase, Message: message,
		Help: cmp.Or(help, r.Help), Edits: edits, Wants: f.wants,
	}})
	f.wants = ""
}

func (o *Op) say(r *Rule) string {
	if r.Say != nil {
		return r.Say(o)
	}
	return o.expand(r.Message)
}

func (o *Op) advise(r *Rule) string {
	if r.Advise != nil {
		return r.Advise(o)
	}
	return o.expand(r.Help)
}

// expand fills the braces of a template.
func (o *Op) expand(text string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	var b strings.Builder
	for {
		head, rest, ok := strings.Cut(text, "{")
		b.WriteString(head)
		if !ok {
			return b.String()
		}
		word, tail, ok := strings.Cut(rest, "}")
		if !ok {
			b.WriteString("{" + rest)
			return b.String()
		}
		b.WriteString(o.word(word))
		text = tail
	}
}

func (o *Op) word(name string) string {
	switch name {
	case "object":
		if text := o.On.String(); text != "" {
			return text
		}
		return o.Table()
	case "table":
		return o.Table()
	case "column":
		return cmp.Or(o.On.Column, strings.Join(o.Columns(), ", "))
	case "columns":
		return strings.Join(o.Columns(), ", ")
	case "constraint":
		if o.Constraint != nil && o.Constraint.Name != "" {
			return o.Constraint.Name
		}
		return "…"
	case "name":
		return cmp.Or(o.On.Name, o.On.Relation)
	case "to":
		return o.To
	case "type":
		return cmp.Or(o.Type, o.typeOfColumn())
	case "ref":
		return o.Ref.String()
	case "kind":
		return strings.ReplaceAll(string(o.Kind), "_", " ")
	case "summary":
		return o.Summary
	case "why":
		return o.Why
	case "cost":
		return o.Cost()
	case "short":
		return o.short()
	default:
		return "{" + name + "}"
	}
}

func (o *Op) typeOfColumn() string {
	if o.Column != nil {
		return o.Column.Type.String()
	}
	return ""
}

// Table names the relation that the operation is about, as the statement does, or as the catalog does for an index.
func (o *Op) Table() string {
	if o.On.Kind == phases.Index {
		if r := o.Relation(); r.Exists() {
			return r.Object().String()
		}
	}
	return phases.Object{Schema: o.On.Schema, Relation: o.On.Relation}.String()
}

// short is the name of the table without its schema, for names that an example makes up.
func (o *Op) short() string {
	if r := o.Relation(); r.Exists() {
		return r.Object().Relation
	}
	return o.On.Relation
}

// Columns are those that the operation is about.
func (o *Op) Columns() []string {
	switch {
	case o.On.Column != "" && o.On.Kind == phases.Column:
		return []string{o.On.Column}
	case o.Constraint != nil:
		return o.Constraint.Columns
	case o.Index != nil:
		return o.Index.Columns
	}
	return o.Names
}

// Relation is what the catalog knows of the relation that the operation is on.
func (o *Op) Relation() phases.Relation { return o.File.Catalog.Relation(o.On) }

// Existing reports whether the operation is on something that other sessions may be using: it was there before the run, or
// the catalog does not know it.
func (o *Op) Existing() bool {
	if o.New || o.Why == nothingToDo || strings.HasSuffix(o.Why, sameRun) {
		return false
	}
	return !o.Relation().New()
}

// nothingToDo is what package phases says of IF EXISTS on what is not there.
const nothingToDo = "there is nothing to do"

// sameRun ends what package phases says of types, functions, schemas and the like that no other session can know yet.
const sameRun = "was made in the same run"

// Strongest gives the strongest lock that the operation takes on a relation that was there before, and that relation. Where
// the catalog does not know the relation, the registry's row speaks.
func (o *Op) Strongest() (phases.Lock, string) {
	var mode phases.Lock
	var on string
	for _, l := range o.Locks {
		if l.Mode > mode {
			mode, on = l.Mode, l.Relation
		}
	}
	if mode == phases.NoLock && o.Existing() && !o.Relation().Exists() && o.On.Relation != "" {
		return o.Effect.Lock, o.Table()
	}
	return mode, on
}

// Blocks reports whether writers, or readers too, wait for the operation.
func (o *Op) Blocks() bool {
	mode, _ := o.Strongest()
	return mode.BlocksWrites()
}

// Cost says in words what the operation does to traffic: the locks that matter, and for how long.
func (o *Op) Cost() string { return cost(o.AssessedOperation, o) }

func cost(op *phases.AssessedOperation, o *Op) string {
	var b strings.Builder
	mode, on := o.Strongest()
	if mode.BlocksWrites() {
		b.WriteString("takes " + mode.String() + " on " + on)
		others := 0
		for _, l := range op.Locks {
			if l.Mode.BlocksWrites() && l.Relation != on {
				others++
				if others <= 2 {
					b.WriteString(" and " + l.Mode.String() + " on " + l.Relation)
				}
			}
		}
		if others > 2 {
			b.WriteString(" and more")
		}
		b.WriteString(", which blocks " + mode.Blocks())
	}
	work := ""
	switch {
	case op.Effect.Rewrite:
		work = "rewrites the whole table"
	case op.Effect.Scan:
		work = "reads the whole table"
	}
	switch {
	case work == "":
	case b.Len() == 0:
		b.WriteString(work)
	default:
		b.WriteString(" while it " + work)
	}
	return b.String()
}

func (f *File) sorted() {
	slices.SortStableFunc(f.found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.Span.Start.Offset, b.Span.Start.Offset), cmp.Compare(a.Span.End.Offset, b.Span.End.Offset), cmp.Compare(a.rule, b.rule))
	})
	f.found = slices.CompactFunc(f.found, func(a, b candidate) bool {
		return a.rule == b.rule && a.Span == b.Span && a.Message == b.Message
	})
}
