package lint

import (
	"regexp"
	"slices"
	"strings"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases"
)

var dataRules = []Rule{
	{
		Name: "unfiltered-write", Severity: Error, Kinds: kinds("update", "update_all", "delete", "delete_all"),
		When:    func(o *Op) bool { return o.Existing() && o.unfiltered() && !o.isBackfill() },
		Summary: "UPDATE or DELETE of every row",
		Say: func(o *Op) string {
			verb := "UPDATE"
			if strings.HasPrefix(string(o.Kind), "delete") {
				verb = "DELETE"
			}
			return o.expand(verb + " of every row of {table} in one transaction: each stays locked until it ends, the table grows by as many dead rows, and replicas fall behind")
		},
		Help: "Put it into a file of its own with `-- pawl:backfill table={table} batch=1000` and a WHERE that finds the rows still to do; pawl runs it in batches, and goes on where it stopped.",
	},
	{
		Name: "unbatched-write", Severity: Warning, Kinds: kinds("update", "delete", "merge", "upsert_select"),
		When: func(o *Op) bool {
			return o.Existing() && o.updates() && !o.unfiltered() && !o.isBackfill() && !o.bounded()
		},
		Summary: "UPDATE, DELETE, MERGE or upsert of any number of rows",
		Message: "nothing bounds how many rows of {table} this changes in one transaction: all of them stay locked until it ends",
		Help:    "Put it into a file of its own with `-- pawl:backfill table={table} batch=1000`; if there are few, allow it and say how many.",
	},
	{
		Name: "bulk-insert", Severity: Off, Kinds: kinds("insert_select", "upsert_select"), When: func(o *Op) bool { return o.Existing() && !o.isBackfill() },
		Summary: "INSERT … SELECT into a table with traffic",
		Message: "nothing bounds how many rows are copied into {table} in one transaction",
		Help:    "Put it into a file of its own with `-- pawl:backfill table=… batch=1000`, and ON CONFLICT DO NOTHING so that it can be repeated.",
	},
	{
		Name: "cascading-delete", Severity: Error, Kinds: kinds("delete", "delete_all", "delete_by_key"), When: func(o *Op) bool { return o.Existing() && len(o.cascadeInto()) > 0 },
		Summary: "DELETE from a table that others refer to with ON DELETE CASCADE",
		Say: func(o *Op) string {
			return o.expand("the rows of " + strings.Join(o.cascadeInto(), ", ") + " that refer to the deleted ones go too, however many there are")
		},
		Help: "Delete those rows first, in batches; look with a SELECT how many there are.",
	},
	{
		Name: "repeated-assignment", Severity: Error, Kinds: kinds("update", "update_all", "update_by_key"), When: func(o *Op) bool { return o.repeated() != "" },
		Summary: "one column assigned twice by an UPDATE",
		Say:     func(o *Op) string { return "PostgreSQL refuses this: " + o.repeated() + " is assigned twice" },
		Help:    "Keep one of the two.",
	},
	{
		Name: "columnless-insert", Severity: Off, Kinds: kinds("insert", "insert_select", "upsert", "upsert_select"),
		When: func(o *Op) bool {
			return o.Existing() && len(o.Names) == 0 && !defaultValues().MatchString(o.File.File.Statements[o.Statement].Text)
		},
		Summary: "INSERT without a list of columns",
		Message: "without a list of columns this means other columns as soon as {table} gets one more",
		Help:    "List the columns.",
	},
}

var defaultValues = pattern.Lazy(`(?i)\bdefault\s+values\b`)

// unfiltered reports whether every row is written: no WHERE, or one that is always true.
func (o *Op) unfiltered() bool {
	if o.Kind == "update_all" || o.Kind == "delete_all" {
		return true
	}
	return tautology().MatchString(strings.TrimSpace(o.File.File.Statements[o.Statement].Text))
}

// tautology is a WHERE that holds for every row, at the end of a statement.
var tautology = pattern.Lazy(`(?is)\bwhere\s+(\(?\s*true\s*\)?|\(?\s*(\d+)\s*=\s*(\d+)\s*\)?|not\s+false)\s*(returning\b.*)?$`)

// isBackfill reports whether the statement runs in batches: it has the directive.
func (o *Op) isBackfill() bool {
	return slices.ContainsFunc(o.File.File.Statements[o.Statement].Directives, func(d phases.Directive) bool { return d.Name == "backfill" })
}

var limited = pattern.Lazy(`(?is)\blimit\s+\d+\b`)

// updates reports whether the statement may change rows that are there: of the INSERTs those with ON CONFLICT DO UPDATE do, where a table
// feeds them.
func (o *Op) updates() bool {
	return o.Kind != "upsert_select" || len(o.Query.Reads) > 0 && slices.ContainsFunc(o.Query.Writes, func(w phases.Write) bool { return w.Conflict })
}

// bounded reports whether the statement says itself how many rows it changes at most: by a LIMIT, or a range of a key.
func (o *Op) bounded() bool {
	text := o.File.File.Statements[o.Statement].Text
	if limited().MatchString(text) {
		return true
	}
	if o.Query == nil {
		return false
	}
	r := o.Relation()
	keys := r.PrimaryKey()
	for _, i := range r.Indexes() {
		if i.Unique && len(i.Columns) == 1 {
			keys = append(slices.Clone(keys), i.Columns[0])
		}
	}
	named := func(list []string) bool {
		return slices.ContainsFunc(list, func(c string) bool { return slices.Contains(keys, c) })
	}
	if o.Kind != "merge" && named(o.Query.Key) {
		return true
	}
	lower := strings.ToLower(text)
	for _, k := range keys {
		if regexp.MustCompile(`\b` + regexp.QuoteMeta(strings.ToLower(k)) + `"?\s+(in\s*\(\s*('|\d|\$)|between\b)`).MatchString(lower) {
			return true
		}
		if regexp.MustCompile(`\b`+regexp.QuoteMeta(strings.ToLower(k))+`"?\s*>=?`).MatchString(lower) && regexp.MustCompile(`\b`+regexp.QuoteMeta(strings.ToLower(k))+`"?\s*<=?`).MatchString(lower) {
			return true
		}
	}
	return false
}

// cascadeInto names the tables whose rows a DELETE takes along.
func (o *Op) cascadeInto() []string {
	var out []string
	for _, k := range o.Relation().ReferencedBy() {
		if k.OnDelete == 'c' {
			out = append(out, k.Table.String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// repeated names a column that is assigned twice.
func (o *Op) repeated() string {
	seen := map[string]bool{}
	for _, n := range o.Names {
		if seen[n] {
			return n
		}
		seen[n] = true
	}
	return ""
}
