package phases

import (
	"fmt"
	"slices"
	"strings"
)

// BackfillDef is what a file with `-- pawl:backfill` says: one statement that moves the rows of one table, in batches.
type BackfillDef struct {
	// Verb is "update", "insert" or "delete".
	Verb string
	// Table is the table whose rows are gone through by its key: the one that is written, or for INSERT … SELECT the one
	// that is read. Target is the one that is written.
	Table, Target Object
	// Alias is what the statement calls Table; empty for its own name. Only is true where it says ONLY.
	Alias string
	Only  bool
	// Sets are the columns that are written, in the order of the statement; none for DELETE.
	Sets []string
	// Values are the expressions that are written, as far as they are no constants.
	Values []*Expr
	// Conditions are the parts of WHERE that are joined by AND.
	Conditions []BackfillCondition
	// DoNothing is true for an INSERT with ON CONFLICT DO NOTHING, Anti for one that leaves out what the target has.
	DoNothing, Anti bool
	// Key are the columns that the directive asks to go by; empty means the primary key, or what serves as well.
	Key []string
	// Done is the query that is true once nothing is left to move: the directive's, or the one that follows from WHERE.
	// It is empty where none follows.
	Done string
	// Settings are those that the directive gives, over DefaultBackfillSettings.
	Settings BackfillSettings
	// Statement is the index of the statement in its file, Span that of the directive.
	Statement int
	Span      Span
}

// BackfillCondition is one condition of a backfill's WHERE.
type BackfillCondition struct {
	Expr *Expr
	// Clock is true where it asks for the time, which moves on from one pass to the next.
	Clock bool
}

// BackfillRule names what a BackfillProblem is about.
type BackfillRule string

const (
	// BackfillStatement is a file or a statement that cannot be run in batches at all.
	BackfillStatement BackfillRule = "backfill-statement"
	// BackfillTables is a statement that touches more than one table.
	BackfillTables BackfillRule = "backfill-tables"
	// BackfillRepeats is a statement that would change the same rows on every pass.
	BackfillRepeats BackfillRule = "backfill-repeats"
	// BackfillVolatile is a condition that gives another answer on every pass.
	BackfillVolatile BackfillRule = "backfill-volatile"
	// BackfillKey is a key to go by that is not there, not unique, may be NULL, or is written itself.
	BackfillKey BackfillRule = "backfill-key"
	// BackfillTriggers is a table whose triggers fire for each row that is moved.
	BackfillTriggers BackfillRule = "backfill-triggers"
	// BackfillGenerated is a write of a column that PostgreSQL fills itself.
	BackfillGenerated BackfillRule = "backfill-generated"
	// BackfillUnproved is a backfill of which no query tells that it is complete.
	BackfillUnproved BackfillRule = "backfill-unproved"
)

// BackfillProblem is something wrong with a backfill. What is Fatal is refused by the runner as well; the rest is advice.
type BackfillProblem struct {
	Rule    BackfillRule
	Message string
	Hint    string
	Span    Span
	Fatal   bool
}

// Problems gives what is wrong with the backfill as its text stands, whatever the schema.
func (b *BackfillDef) Problems() []BackfillProblem { return b.problems(volatileUse) }

func volatileUse(use FunctionUse) bool {
	return (use.Schema == "" || use.Schema == "pg_catalog") && volatileBuiltins()[use.Name]
}

func (b *BackfillDef) problem(rule BackfillRule, fatal bool, hint, message string, args ...any) BackfillProblem {
	return BackfillProblem{Rule: rule, Fatal: fatal, Message: fmt.Sprintf(message, args...), Hint: hint, Span: b.Span}
}

func (b *BackfillDef) problems(volatile func(FunctionUse) bool) []BackfillProblem {
	var out []BackfillProblem
	for _, c := range b.Conditions {
		for _, use := range c.Expr.Functions {
			if volatile(use) {
				out = append(out, b.problem(BackfillVolatile, true, "decide by what the row holds",
					"the condition calls %s(), which gives another answer each time: a second pass would change other rows", use.Name))
			}
		}
	}
	repeats := b.repeats()
	if repeats {
		hint := "add a condition that is false once the row is moved, such as `WHERE " + firstColumn(b.Sets) + " IS DISTINCT FROM …` or `IS NULL`"
		message := "no condition speaks of a column that is set, so a second pass would change the same rows again"
		if b.Verb == "insert" {
			hint = "add `ON CONFLICT … DO NOTHING`, or `WHERE NOT EXISTS (SELECT FROM " + b.Target.String() + " …)`"
			message = "a second pass would insert the same rows again"
		}
		out = append(out, b.problem(BackfillRepeats, true, hint, "%s", message))
	}
	for _, k := range b.Key {
		if b.Table == b.Target && slices.Contains(b.Sets, k) {
			out = append(out, b.problem(BackfillKey, true, "go by another unique key: `key=…`",
				"%s is the key to go by and is written itself, so rows would move from one batch into another", k))
		}
	}
	if b.Done == "" && !repeats {
		out = append(out, b.problem(BackfillUnproved, false, "say it: `-- pawl:backfill … done: SELECT NOT EXISTS (…)`",
			"no query follows from the statement that would tell when the backfill is complete"))
	}
	return out
}

// repeats reports whether nothing in the text keeps a second pass from changing what the first has changed.
func (b *BackfillDef) repeats() bool {
	switch b.Verb {
	case "delete":
		return false
	case "insert":
		return !b.DoNothing && !b.Anti
	}
	return !slices.ContainsFunc(b.Conditions, func(c BackfillCondition) bool {
		return !c.Clock && slices.ContainsFunc(b.Sets, func(s string) bool { return slices.Contains(c.Expr.Columns, s) })
	})
}

// firstColumn gives an example for a hint.
func firstColumn(list []string) string {
	if len(list) > 0 {
		return list[0]
	}
	return "x"
}

// CheckBackfill gives what is wrong with a backfill in the schema that the catalog holds, what its text alone tells
// included. What the catalog does not know is not held against it.
func (c *Catalog) CheckBackfill(b *BackfillDef) []BackfillProblem {
	out := b.problems(func(use FunctionUse) bool {
		all := c.funcs(use.Schema, use.Name)
		if len(all) == 0 {
			return volatileUse(use)
		}
		return slices.ContainsFunc(all, func(f *function) bool { return f.Volatility == 'v' })
	})
	if r := c.rel(b.Target); r != nil {
		for _, name := range b.Sets {
			if k := r.column(name); k != nil && (k.identity == 'a' || k.generated != 0) {
				out = append(out, b.problem(BackfillGenerated, true, "leave it out; PostgreSQL keeps it itself",
					"%s.%s is GENERATED ALWAYS and cannot be written", b.Target, name))
			}
		}
		if fire := r.fires(b); len(fire) > 0 {
			out = append(out, b.problem(BackfillTriggers, false,
				"if that is meant, name them: `-- pawl:backfill … triggers="+strings.Join(fire, ",")+"`",
				"every row that is moved fires %s", plural("trigger", fire)))
		}
	}
	if r := c.rel(b.Table); r != nil {
		out = append(out, c.checkKey(b, r)...)
	}
	return out
}

// fires lists the triggers that the backfill sets off and that its directive does not name.
func (r *rel) fires(b *BackfillDef) []string {
	var out []string
	for _, t := range r.open().triggers {
		if t.rule || t.disabled || slices.Contains(b.Settings.Triggers, t.name) || !slices.Contains(t.Events, b.Verb) {
			continue
		}
		if b.Verb == "update" && len(t.Columns) > 0 && !slices.ContainsFunc(t.Columns, func(k string) bool { return slices.Contains(b.Sets, k) }) {
			continue
		}
		out = append(out, t.name)
	}
	return out
}

func plural(word string, names []string) string {
	if len(names) > 1 {
		word += "s"
	}
	return word + " " + strings.Join(names, ", ")
}

func (c *Catalog) checkKey(b *BackfillDef, r *rel) []BackfillProblem {
	if len(b.Key) == 0 {
		if r.uniqueKey(nil) != nil || c.Incomplete || r.unfollowed {
			return nil
		}
		return []BackfillProblem{b.problem(BackfillKey, false, "give it a primary key, or a unique index on columns that are NOT NULL",
			"%s has no unique key without NULLs: it is gone through by ranges of blocks, which needs more passes while rows are updated", r)}
	}
	for _, name := range b.Key {
		k := r.column(name)
		switch {
		case k == nil && !r.unfollowed && !c.Incomplete:
			return []BackfillProblem{b.problem(BackfillKey, true, "name columns of the table", "%s has no column %s to go by", r, name)}
		case k != nil && !k.notNull && !r.inPrimaryKey(name):
			return []BackfillProblem{b.problem(BackfillKey, true, "a key to go by is unique and NOT NULL",
				"%s.%s may be NULL: rows without a key would never be reached", r, name)}
		}
	}
	if r.uniqueKey(b.Key) == nil && !c.Incomplete && !r.unfollowed {
		return []BackfillProblem{b.problem(BackfillKey, true, "add a unique index on exactly these columns, in this order, or go by another key",
			"no unique index of %s is on (%s)", r, strings.Join(b.Key, ", "))}
	}
	return nil
}

func (r *rel) inPrimaryKey(column string) bool {
	pk := r.primaryKey()
	return pk != nil && slices.Contains(pk.Columns, column)
}

// uniqueKey gives the columns of a unique key without NULLs: the wanted one, or any where none is wanted; nil for none.
func (r *rel) uniqueKey(want []string) []string {
	fits := func(columns []string) bool {
		if want != nil {
			return slices.Equal(columns, want)
		}
		return len(columns) > 0 && !slices.ContainsFunc(columns, func(name string) bool {
			k := r.column(name)
			return k == nil || !k.notNull && !r.inPrimaryKey(name)
		})
	}
	if pk := r.primaryKey(); pk != nil && fits(pk.Columns) {
		return pk.Columns
	}
	for _, i := range r.open().indexes {
		if keys := i.Columns[:min(i.Keys, len(i.Columns))]; i.Unique && !i.invalid && i.Where == nil && len(i.Expressions) == 0 && fits(keys) {
			return keys
		}
	}
	for _, con := range r.open().constraints {
		if con.Type == UniqueConstraint && !con.Deferrable && fits(con.Columns) {
			return con.Columns
		}
	}
	return nil
}
