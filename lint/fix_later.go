package lint

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases"
)

// Some cures need a second file: what has to be alone, or to come after a commit, moves there. It gets the version right behind the
// file's own. Where that is taken nothing is offered: versions that others may have applied stay as they are.

// versionedName takes a file's name apart: what stands before the version, the version, what parts it from the title, and the title.
var versionedName = pattern.Lazy(`^([Vv]?)(\d+(?:[._]\d+)*)(__|[_-])([^.]*)\.sql$`)

// NextFile gives the name of a file right behind another one, with a title of its own; empty where the name has no version that could
// be counted on, or is one of a pair.
func NextFile(file, title string) string {
	dir, base := path.Split(strings.ReplaceAll(file, `\`, "/"))
	m := versionedName().FindStringSubmatch(base)
	if m == nil {
		return ""
	}
	at := strings.LastIndexAny(m[2], "._") + 1
	n, err := strconv.ParseUint(m[2][at:], 10, 63)
	if err != nil {
		return ""
	}
	last := strconv.FormatUint(n+1, 10)
	for len(last) < len(m[2])-at {
		last = "0" + last
	}
	if title == "" {
		title = m[4]
	}
	return dir + m[1] + m[2][:at] + last + m[3] + titled(title) + ".sql"
}

// Title gives what stands behind the version in a file's name.
func Title(file string) string {
	if m := versionedName().FindStringSubmatch(path.Base(strings.ReplaceAll(file, `\`, "/"))); m != nil {
		return m[4]
	}
	return ""
}

var notInTitle = pattern.Lazy(`[^a-z0-9]+`)

func titled(text string) string {
	return strings.Trim(notInTitle().ReplaceAllString(strings.ToLower(text), "_"), "_")
}

// next gives the path of a second file; empty where none can be made.
func (f *File) next(title string) string {
	if f.Options.Free == nil || f.Tool != "" || f.Options.Transactions == Always {
		return ""
	}
	file := NextFile(f.File.Path, title)
	if file != "" && !f.Options.Free(file) {
		f.wants, file = file, ""
	}
	return file
}

// movable reports whether a statement may run after the rest of the file: nothing behind it is about the same relations, or names what
// it makes or drops.
func (f *File) movable(statement int, but ...int) bool {
	s := &f.File.Statements[statement]
	if s.CopyData != nil || s.Control != "" {
		return false
	}
	var relations, names []string
	for i := range s.Operations {
		o := s.Operations[i].On
		relations = append(relations, o.Relation, f.Catalog.Relation(o).Object().Relation)
		names = append(names, o.Name, o.Relation, s.Operations[i].To)
		if x := s.Operations[i].Index; x != nil {
			names = append(names, x.Name)
		}
	}
	for i := statement + 1; i < len(f.File.Statements); i++ {
		later := &f.File.Statements[i]
		if later.Control != "" || slices.Contains(but, i) {
			continue
		}
		for j := range later.Operations {
			o := later.Operations[j].On
			if o.Relation != "" && (slices.Contains(relations, o.Relation) || slices.Contains(relations, f.Catalog.Relation(o).Object().Relation)) {
				return false
			}
		}
		text := strings.ToLower(later.Text)
		for _, n := range names {
			if n != "" && strings.Contains(text, strings.ToLower(n)) {
				return false
			}
		}
	}
	return true
}

// taken gives the stretch of a statement with its semicolon, its line's end and the comments right above it, and those comments.
func (f *File) taken(statement int) (start, end int, comments string) {
	s := f.File.Statements[statement].Span
	text := f.File.Text
	start, end = s.Start.Offset, s.End.Offset
	for end < len(text) && (text[end] == ' ' || text[end] == ';' || text[end] == '\r') {
		end++
		if text[end-1] == ';' {
			break
		}
	}
	for end < len(text) && (text[end] == ' ' || text[end] == '\t' || text[end] == '\r') {
		end++
	}
	if end < len(text) && text[end] == '\n' {
		end++
	}
	for statement > 0 && start > 0 && text[start-1] == '\n' {
		line := strings.LastIndexByte(text[:start-1], '\n') + 1
		if line <= f.File.Statements[statement-1].Span.End.Offset || !strings.HasPrefix(strings.TrimSpace(text[line:start]), "--") {
			break
		}
		start = line
	}
	return start, end, text[start:s.Start.Offset]
}

// move gives the edits that put statements into a second file, below a head and changed as wanted; nil where that cannot be.
func (f *File) move(title, head string, change func(string) string, statements ...int) []Edit {
	file := f.next(title)
	if file == "" {
		return nil
	}
	var out []Edit
	moved := head
	for _, i := range statements {
		if !f.movable(i, statements...) {
			return nil
		}
		start, end, comments := f.taken(i)
		moved += comments + change(f.File.Statements[i].Text) + ";\n"
		out = append(out, Edit{Path: f.File.Path, Start: start, End: end})
	}
	return append(out, Edit{Path: file, NewFile: true, Text: moved})
}

func asItIs(text string) string { return text }

// ownStatement reports whether the operation is all of a statement of the file, and not part of a body or of a list.
func (o *Op) ownStatement() bool {
	s := &o.File.File.Statements[o.Statement]
	return len(s.Operations) == 1 && o.place == s.Span
}

// moveConcurrently moves an index build or drop behind the file, as the concurrent form that has to be alone.
func moveConcurrently(o *Op) []Edit {
	if !o.ownStatement() || o.Flags.Has(phases.IfNotExists) || o.Flags.Has(phases.Cascade) || o.Relation().Partitioned() {
		return nil
	}
	name := o.On.Relation
	if o.Index != nil {
		name = o.Index.Name
	}
	text := o.File.File.Statements[o.Statement].Text
	if name == "" || !indexWord().MatchString(text) {
		return nil
	}
	return o.File.move(name, "", func(text string) string { return indexWord().ReplaceAllString(text, "$1 CONCURRENTLY") }, o.Statement)
}

// fixNotValid makes a constraint NOT VALID, and validates it in a second file.
func fixNotValid(o *Op) []Edit {
	if o.Constraint == nil || o.Constraint.NotEnforced || o.place.Start.Offset == 0 && o.place.End.Offset == 0 {
		return nil
	}
	name, clause := o.Constraint.Name, constraintClause
	if name == "" {
		if name, clause = o.givenName(), unnamedClause; name == "" {
			return nil
		}
	}
	if o.Relation().Partitioned() && o.Constraint.Type == phases.ForeignKeyConstraint {
		return nil
	}
	s := &o.File.File.Statements[o.Statement]
	if o.place.Start.Offset < s.Span.Start.Offset || o.place.End.Offset > s.Span.End.Offset || !clause().MatchString(o.File.File.Text[o.place.Start.Offset:o.place.End.Offset]) {
		return nil
	}
	for i := o.Statement + 1; i < len(o.File.File.Statements); i++ {
		for j := range o.File.File.Statements[i].Operations {
			op := &o.File.File.Statements[i].Operations[j]
			if op.On.Relation == o.On.Relation && !slices.ContainsFunc(unproven, func(prefix string) bool { return strings.HasPrefix(string(op.Kind), prefix) }) {
				return nil // what comes behind may need the proof
			}
		}
	}
	file := o.File.next("validate " + name)
	if file == "" {
		return nil
	}
	table := quoted(o.On.Relation)
	if o.On.Schema != "" {
		table = quoted(o.On.Schema) + "." + table
	}
	end := o.place.End.Offset
	edits := []Edit{
		{Path: o.File.File.Path, Start: end, End: end, Text: " NOT VALID"},
		{Path: file, NewFile: true, Text: "ALTER TABLE " + table + " VALIDATE CONSTRAINT " + quoted(name) + ";\n"},
	}
	if o.Constraint.Name == "" {
		// The second file has to name it.
		at := o.place.Start.Offset + unnamedClause().FindStringSubmatchIndex(o.File.File.Text[o.place.Start.Offset:end])[2]
		edits = append(edits, Edit{Path: o.File.File.Path, Start: at, End: at, Text: "CONSTRAINT " + quoted(name) + " "})
	}
	return edits
}

// givenName is the name that PostgreSQL would give to a CHECK or a foreign key without one (ChooseConstraintName in
// pg_constraint.c); empty where that is not sure.
func (o *Op) givenName() string {
	var columns []string
	suffix := "check"
	switch {
	case o.Constraint.Type == phases.ForeignKeyConstraint:
		columns, suffix = o.Constraint.Columns, "fkey"
	case o.Constraint.Type == phases.CheckConstraint && o.Constraint.Expr != nil:
		if columns = o.Constraint.Expr.Columns; len(columns) > 1 {
			columns = nil
		}
	default:
		return ""
	}
	name := strings.Join(append(append([]string{o.On.Relation}, columns...), suffix), "_")
	// A longer one is cut, one that is there gets a number.
	const longest = 63
	if !o.Relation().Exists() || len(name) > longest {
		return ""
	}
	if _, there := o.Relation().Constraint(name); there {
		return ""
	}
	for i := range o.File.File.Statements {
		for j := range o.File.File.Statements[i].Operations {
			if c := o.File.File.Statements[i].Operations[j].Constraint; c != nil && c != o.Constraint && (c.Name == "" || c.Name == name) {
				return ""
			}
		}
	}
	return name
}

// unproven begin the kinds that do not care whether a constraint has been validated.
var unproven = []string{"comment", "add_column", "create_index", "create_unique_index", "drop_index", "set_default", "create_trigger"}

var (
	constraintClause = pattern.Lazy(`(?is)\badd\s+constraint\s[^;]*[)\w"]$`)
	unnamedClause    = pattern.Lazy(`(?is)\badd\s+(check|foreign\s+key)\b[^;]*[)\w"]$`)
	plainName        = pattern.Lazy(`^[a-z_][a-z0-9_]*$`)
)

func quoted(name string) string {
	if plainName().MatchString(name) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// moveValidation moves VALIDATE CONSTRAINT into a second file, where no stronger lock is held.
func (f *File) moveValidation(statement int) []Edit {
	s := &f.File.Statements[statement]
	if len(s.Operations) != 1 || s.Operations[0].On.Name == "" {
		return nil
	}
	return f.move("validate "+s.Operations[0].On.Name, "", asItIs, statement)
}

// moveRefused moves what PostgreSQL refuses in the file's transaction into a file of its own.
func (f *File) moveRefused(statement int) []Edit {
	s := &f.File.Statements[statement]
	if len(s.Operations) != 1 {
		return nil
	}
	return f.move(strings.ReplaceAll(string(s.Operations[0].Kind), "_concurrently", "")+" "+s.Operations[0].On.Relation, "", asItIs, statement)
}

// splitPhases moves what the file takes away into a second file, which says that it is a contract.
func (f *File) splitPhases() []Edit {
	var statements []int
	for i := range f.Assessment.Statements {
		takes := false
		for j := range f.Assessment.Statements[i].Operations {
			op := &f.Assessment.Statements[i].Operations[j]
			switch {
			case op.Phase == phases.Contract:
				takes = true
			case op.Phase != phases.Expand || slices.Contains([]phases.Kind{"drop_dependent_quietly", "drop_dependent"}, op.Kind):
			default:
				if takes {
					return nil // a statement that does both
				}
			}
		}
		if !takes {
			continue
		}
		for j := range f.File.Statements[i].Operations {
			if j < len(f.Assessment.Statements[i].Operations) && f.Assessment.Statements[i].Operations[j].Phase == phases.Expand {
				return nil
			}
		}
		statements = append(statements, i)
	}
	if len(statements) == 0 || f.declared() {
		return nil
	}
	m := versionedName().FindStringSubmatch(path.Base(strings.ReplaceAll(f.File.Path, `\`, "/")))
	if m == nil {
		return nil
	}
	return f.move(m[4]+" contract", "-- pawl:phase contract\n", asItIs, statements...)
}
