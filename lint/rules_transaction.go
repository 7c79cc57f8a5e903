package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bitvault/pawl/phases"
)

var transactionRules = []Rule{
	{
		Name: "concurrent-in-transaction", Severity: Error, File: func(f *File) {
			f.refused(func(op *phases.AssessedOperation) bool { return op.Flags.Has(phases.Concurrently) })
		},
		Summary: "a CONCURRENTLY statement in a transaction",
		Help:    "Take it out of BEGIN … COMMIT, into a file of its own; where another tool wraps files, say there that this one is not to be wrapped (`-- +goose NO TRANSACTION`, `-- migrate:up transaction:false`, …).",
	},
	{
		Name: "refused-in-transaction", Severity: Error, File: func(f *File) {
			f.refused(func(op *phases.AssessedOperation) bool { return !op.Flags.Has(phases.Concurrently) })
		},
		Summary: "a statement that PostgreSQL refuses in a transaction",
		Help:    "Take it out of BEGIN … COMMIT, into a file of its own.",
	},
	{
		Name: "validated-in-same-statement", Severity: Error, Kinds: kinds("validate_constraint", "validate_check", "validate_not_null", "validate_foreign_key"), When: func(o *Op) bool { return scans(o) && o.addsInSame() },
		Summary: "NOT VALID and VALIDATE in one ALTER TABLE",
		Message: "VALIDATE in the ALTER TABLE that adds the constraint reads the table under the stronger lock of the addition: NOT VALID gains nothing",
		Help:    "VALIDATE CONSTRAINT in the next file, in a transaction of its own.",
	},
	{
		Name: "validated-under-lock", Severity: Error, File: underLock("validated-under-lock"),
		Summary: "VALIDATE CONSTRAINT while its transaction holds a stronger lock",
		Help:    "VALIDATE CONSTRAINT in a file of its own: alone it lets reads and writes go on.",
	},
	{
		Name: "backfill-under-lock", Severity: Error, File: underLock("backfill-under-lock"),
		Summary: "rows changed while the transaction holds a lock that makes others wait",
		Help:    "Change the rows in a later file with `-- pawl:backfill table=… batch=1000`.",
	},
	{
		Name: "slow-under-lock", Severity: Error, File: underLock("slow-under-lock"),
		Summary: "a table read or rewritten while the transaction holds a lock that makes others wait",
		Help:    "Put what takes long into a file of its own, before the lock or after it.",
	},
	{
		Name: "several-locked-tables", Severity: Off, File: severalTables,
		Summary: "strong locks on several tables in one transaction",
		Help:    "One table per file: the locks are held for less time, and no two transactions can wait for each other.",
	},
	{
		Name: "enum-value-in-transaction", Severity: Error, File: enumInTransaction,
		Summary: "a new value of an enum used in the transaction that adds it",
		Help:    "ALTER TYPE … ADD VALUE in a file of its own; use the value in a later one.",
	},
	{
		Name: "nested-transaction", Severity: Warning, File: nested,
		Summary: "BEGIN inside a transaction",
		Help:    "PostgreSQL has no nested transactions: take the BEGIN out, or use SAVEPOINT.",
	},
	{
		Name: "open-transaction", Severity: Error, File: unclosed,
		Summary: "BEGIN without COMMIT",
		Help:    "Add COMMIT; or take BEGIN out, the file runs in one transaction anyway.",
	},
	{
		Name: "disabled-lock-timeout", Severity: Error, File: disabledTimeout,
		Summary: "lock_timeout switched off before a strong lock",
		Help:    "Leave lock_timeout to pawl, which tries with short ones and lets others through in between; elsewhere `SET lock_timeout = '300ms'`.",
	},
	{
		Name: "ineffective-set-local", Severity: Warning, File: setLocal,
		Summary: "SET LOCAL outside of a transaction",
		Help:    "Write SET, or BEGIN first.",
	},
	{
		Name: "missing-lock-timeout", Severity: Off, File: missingTimeout("lock_timeout"),
		Summary: "a strong lock without a lock_timeout before it",
		Help:    "`SET lock_timeout = '300ms'` at the head of the file, where another tool than pawl runs it: everybody queues behind a lock that waits.",
	},
	{
		Name: "long-lock-timeout", Severity: Off, File: longTimeout,
		Summary: "a lock_timeout of more than two seconds",
		Help:    "Keep it under a second and try again: traffic waits that long behind the statement that waits.",
	},
	{
		Name: "short-build-timeout", Severity: Warning, File: shortBuild,
		Summary: "a concurrent build under a statement_timeout of less than a minute",
		Help:    "`SET statement_timeout = 0` before it: cut short, a concurrent build leaves an INVALID index behind.",
	},
	{
		Name: "crowded-file", Severity: Warning, File: crowded,
		Summary: "several statements in a file that cannot be one transaction",
		Help:    "One such statement per file: at most one can then be in doubt after a crash.",
	},
}

// refused reports the statements that PostgreSQL refuses in the transaction that they stand in.
func (f *File) refused(match func(*phases.AssessedOperation) bool) {
	for i := range f.Assessment.Statements {
		for j := range f.Assessment.Statements[i].Operations {
			op := &f.Assessment.Statements[i].Operations[j]
			if !op.Effect.NoTx || !match(op) {
				continue
			}
			if j >= len(f.File.Statements[i].Operations) {
				// The body of a DO or of a function that the statement calls.
				f.Report(i, f.File.Statements[i].Span, op.Phase, "PostgreSQL refuses this inside of a DO or a function: "+op.Summary+", and has to commit in between", "")
				break
			}
			if f.Groups[i] != 0 && f.Explicit[i] {
				f.Report(i, f.File.Statements[i].Span, op.Phase, "PostgreSQL refuses this in a transaction: "+op.Summary+", and has to commit in between", "", f.moveRefused(i)...)
				break
			}
		}
	}
}

// addsInSame reports whether the same ALTER TABLE adds the constraint that it validates.
func (o *Op) addsInSame() bool {
	return slices.ContainsFunc(o.File.File.Statements[o.Statement].Operations, func(op phases.Operation) bool {
		return strings.HasSuffix(string(op.Kind), "_not_valid") && (op.On.Name == o.On.Name || op.Constraint != nil && op.Constraint.Name == o.On.Name)
	})
}

// strongerBeside gives the strongest of the locks that make others wait which the other commands of an ALTER TABLE bring to its VALIDATE:
// PostgreSQL takes the strongest of all for the whole statement. False where there is none.
func strongerBeside(s *phases.AssessedStatement, validate int) (held, bool) {
	var most held
	for j := range s.Operations {
		for _, l := range s.Operations[j].Locks {
			if j != validate && l.Mode.BlocksWrites() && l.Mode > most.mode && s.Operations[j].On.Relation == s.Operations[validate].On.Relation {
				most = held{mode: l.Mode, relation: l.Relation}
			}
		}
	}
	return most, most.relation != ""
}

// held is a lock that a transaction has.
type held struct {
	mode      phases.Lock
	relation  string
	statement int
}

// underLock reports what takes long while an earlier statement of the transaction has left it with a lock that makes others wait.
func underLock(rule string) func(*File) {
	return func(f *File) {
		group, locks, saved := 0, []held(nil), savepoints(nil)
		for i := range f.Assessment.Statements {
			if rule == "validated-under-lock" {
				f.validatedBeside(i)
			}
			if f.Groups[i] != group {
				group, locks, saved = f.Groups[i], locks[:0], nil
			}
			if group == 0 {
				continue
			}
			s := &f.Assessment.Statements[i]
			locks = saved.follow(s.Statement, locks)
			if len(locks) > 0 {
				for j := range s.Operations {
					if op := &s.Operations[j]; takesLong(op) == rule {
						l := locks[0]
						for _, other := range locks {
							if other.mode > l.mode {
								l = other
							}
						}
						var edits []Edit
						if rule == "validated-under-lock" {
							edits = f.moveValidation(i)
						}
						f.Report(i, f.File.Statements[i].Span, op.Phase, fmt.Sprintf("this takes as long as there are rows, while the transaction holds %s on %s since line %d, which blocks %s",
							l.mode, l.relation, f.File.Statements[l.statement].Span.Start.Line, l.mode.Blocks()), "", edits...)
						break
					}
				}
			}
			for j := range s.Operations {
				for _, l := range s.Operations[j].Locks {
					if l.Mode.BlocksWrites() {
						locks = append(locks, held{l.Mode, l.Relation, i})
					}
				}
			}
		}
	}
}

// validatedBeside reports a VALIDATE that shares its ALTER TABLE with a command that takes a stronger lock.
func (f *File) validatedBeside(i int) {
	s := &f.Assessment.Statements[i]
	for j := range s.Operations {
		op := &s.Operations[j]
		if takesLong(op) != "validated-under-lock" || (&Op{AssessedOperation: op, File: f, Statement: i}).addsInSame() {
			continue
		}
		if l, ok := strongerBeside(s, j); ok {
			f.Report(i, f.File.Statements[i].Span, op.Phase, fmt.Sprintf("this takes as long as there are rows, under the %s on %s that another command of the statement takes, which blocks %s", l.mode, l.relation, l.mode.Blocks()), "")
			return
		}
	}
}

// savepoints are those of a transaction, each with the number of locks that were held when it was set.
type savepoints []struct {
	name  string
	locks int
}

// follow takes a statement that sets a savepoint or goes back to one, and gives the locks that are held after it: going back gives up
// those that were taken since.
func (s *savepoints) follow(st *phases.Statement, locks []held) []held {
	if st.Control != "savepoint" && st.Control != "rollback to" {
		return locks
	}
	words := strings.Fields(strings.TrimRight(strings.TrimSpace(st.Text), ";"))
	name := strings.ToLower(words[len(words)-1])
	if st.Control == "savepoint" {
		*s = append(*s, struct {
			name  string
			locks int
		}{name, len(locks)})
		return locks
	}
	for i := len(*s) - 1; i >= 0; i-- {
		if (*s)[i].name == name {
			*s = (*s)[:i+1]
			return locks[:min((*s)[i].locks, len(locks))]
		}
	}
	return locks
}

// takesLong gives the rule for an operation whose time grows with the table; empty for the others.
func takesLong(op *phases.AssessedOperation) string {
	if op.New || !op.Effect.Scan && !op.Effect.Rewrite {
		return ""
	}
	switch op.Kind {
	case "validate_constraint", "validate_check", "validate_not_null", "validate_foreign_key":
		return "validated-under-lock"
	case "update", "update_all", "delete", "delete_all", "merge", "insert_select", "upsert_select":
		return "backfill-under-lock"
	case "select", "create_table_as", "copy_to", "analyze", "truncate", "create_materialized_view":
		return ""
	}
	return "slow-under-lock"
}

func severalTables(f *File) {
	group, seen := 0, map[string]bool{}
	for i := range f.Assessment.Statements {
		if f.Groups[i] != group {
			group, seen = f.Groups[i], map[string]bool{}
		}
		if group == 0 {
			continue
		}
		before := len(seen)
		last := ""
		for j := range f.Assessment.Statements[i].Operations {
			for _, l := range f.Assessment.Statements[i].Operations[j].Locks {
				if l.Mode == phases.AccessExclusive {
					seen[l.Relation], last = true, l.Relation
				}
			}
		}
		if before > 0 && len(seen) > before {
			f.Report(i, f.File.Statements[i].Span, f.Assessment.Statements[i].Phase, "the transaction holds a lock on another table when it asks for "+last, "")
		}
	}
}

func enumInTransaction(f *File) {
	type value struct {
		group int
		text  string
		on    phases.Object
	}
	var added []value
	for i := range f.Assessment.Statements {
		s := &f.File.Statements[i]
		for _, v := range added {
			if v.group == f.Groups[i] && strings.Contains(s.Text, "'"+strings.ReplaceAll(v.text, "'", "''")+"'") && !slices.ContainsFunc(s.Operations, func(op phases.Operation) bool { return op.Kind == "add_enum_value" }) && f.mayUse(s, v.on, v.text) {
				f.Report(i, s.Span, f.Assessment.Statements[i].Phase, "PostgreSQL refuses this: '"+v.text+"' was added to "+phases.Object{Schema: v.on.Schema, Name: v.on.Name}.String()+" in the same transaction, and cannot be used before it is committed", "")
				break
			}
		}
		if f.Groups[i] == 0 {
			continue
		}
		for j := range f.Assessment.Statements[i].Operations {
			op := &f.Assessment.Statements[i].Operations[j]
			if op.Kind != "add_enum_value" {
				continue
			}
			// From PostgreSQL 17 on a type of the same transaction is exempt.
			if def, fresh := f.Catalog.TypeOf(phases.TypeName{Schema: op.On.Schema, Name: op.On.Name}); def == nil || !fresh || f.Catalog.Version < 17 {
				added = append(added, value{f.Groups[i], op.On.Column, op.On})
			}
		}
	}
}

// mayUse reports whether a statement that holds a new value's text may mean the value: not where all of it are comments, the defaults of
// columns of other types, or rows of tables without a column of the enum.
func (f *File) mayUse(s *phases.Statement, enum phases.Object, value string) bool {
	others := 0
	count := func(c *phases.ColumnDef) {
		if c != nil && c.Default != nil && c.Default.Literal == value && c.Type.Name != enum.Name && c.Type.Schema == "" {
			if def, _ := f.Catalog.TypeOf(c.Type); def == nil {
				others++
			}
		}
	}
	written := true
	for i := range s.Operations {
		op := &s.Operations[i]
		if op.Kind == "comment" {
			return false
		}
		count(op.Column)
		if op.Table != nil {
			for j := range op.Table.Columns {
				count(&op.Table.Columns[j])
			}
		}
		written = written && op.Query != nil && op.Kind != "select" && f.lacks(op, enum)
	}
	if written && len(s.Operations) > 0 && !strings.Contains(strings.ToLower(s.Text), strings.ToLower(enum.Name)) {
		return false
	}
	return others < strings.Count(s.Text, "'"+strings.ReplaceAll(value, "'", "''")+"'")
}

// lacks reports whether none of the relations that a statement reads or writes has a column of the type.
func (f *File) lacks(op *phases.Operation, enum phases.Object) bool {
	relations := slices.Clone(op.Query.Reads)
	for _, w := range op.Query.Writes {
		relations = append(relations, w.Table)
	}
	return len(op.Query.Functions) == 0 && !slices.ContainsFunc(relations, func(o phases.Object) bool {
		columns, complete := f.Catalog.Relation(o).Columns()
		return !complete || slices.ContainsFunc(columns, func(k phases.ColumnInfo) bool { return k.Type.Name == enum.Name })
	})
}

func nested(f *File) {
	open := f.Wraps || f.Options.Transactions == Always
	for i := range f.File.Statements {
		s := &f.File.Statements[i]
		switch s.Control {
		case "begin":
			if open {
				f.Report(i, s.Span, phases.Expand, "a transaction is open already: PostgreSQL only warns, and the next COMMIT ends all of it", "")
			}
			open = true
		case "commit", "rollback":
			open = chain().MatchString(strings.TrimSpace(s.Text))
		}
	}
}

func unclosed(f *File) {
	at := -1
	for i := range f.File.Statements {
		s := &f.File.Statements[i]
		switch s.Control {
		case "begin":
			if at < 0 {
				at = i
			}
		case "commit", "rollback", "prepare transaction":
			at = -1
			if chain().MatchString(strings.TrimSpace(s.Text)) {
				at = i
			}
		}
	}
	if at >= 0 && !f.Wraps {
		f.Report(at, f.File.Statements[at].Span, phases.Expand, "this transaction is never committed: what the file does is lost, or stays locked for as long as the session lives", "")
	}
}

// setting gives what a statement does to a parameter: its value in milliseconds, 0 for off or reset; ok is false where it does nothing to it.
func setting(op *phases.AssessedOperation, name string) (ms float64, ok bool) {
	if op.Kind != "discard_all" && (len(op.Names) == 0 || op.Names[0] != name && (op.Kind != "reset" || op.Names[0] != "" && op.Names[0] != "all")) {
		return 0, false
	}
	switch op.Kind {
	case "reset", "discard_all":
		return 0, true
	case "set":
		return phases.Milliseconds(op.Text)
	}
	return 0, false
}

// strongLock gives the first operation of a statement that makes others wait on a table which was there before.
func strongLock(s *phases.AssessedStatement) *phases.AssessedOperation {
	for j := range s.Operations {
		for _, l := range s.Operations[j].Locks {
			if l.Mode.BlocksWrites() {
				return &s.Operations[j]
			}
		}
	}
	return nil
}

func disabledTimeout(f *File) {
	off := -1
	for i := range f.Assessment.Statements {
		s := &f.Assessment.Statements[i]
		for j := range s.Operations {
			if ms, ok := setting(&s.Operations[j], "lock_timeout"); ok {
				off = -1
				if ms == 0 {
					off = i
				}
			}
		}
		if op := strongLock(s); op != nil && off >= 0 {
			f.Report(off, f.File.Statements[off].Span, op.Phase, fmt.Sprintf("without a lock_timeout the statement in line %d may wait without end, and everybody queues behind it", f.File.Statements[i].Span.Start.Line), "")
			off = -1
		}
	}
}

func setLocal(f *File) {
	for i := range f.Assessment.Statements {
		if f.Groups[i] != 0 {
			continue
		}
		for j := range f.Assessment.Statements[i].Operations {
			op := &f.Assessment.Statements[i].Operations[j]
			if op.Kind == "set" && op.Flags.Has(phases.Local) && f.Assessment.Statements[i].Operations[len(f.Assessment.Statements[i].Operations)-1].Kind == "set" {
				f.Report(i, f.File.Statements[i].Span, op.Phase, "SET LOCAL does nothing here: it ends with the transaction, and there is none", "")
			}
		}
	}
}

func missingTimeout(name string) func(*File) {
	return func(f *File) {
		set := false
		for i := range f.Assessment.Statements {
			s := &f.Assessment.Statements[i]
			for j := range s.Operations {
				if ms, ok := setting(&s.Operations[j], name); ok {
					set = ms > 0
				}
			}
			if strings.Contains(f.File.Statements[i].Text, "set_config('"+name+"'") {
				set = true
			}
			if op := strongLock(s); op != nil && !set {
				f.Report(i, f.File.Statements[i].Span, op.Phase, "this waits for its lock without a "+name+", and everybody queues behind it", "", Edit{Path: f.File.Path, Start: f.File.Statements[i].Span.Start.Offset, End: f.File.Statements[i].Span.Start.Offset, Text: "SET " + name + " = '300ms';\n"})
				return
			}
		}
	}
}

func longTimeout(f *File) {
	for i := range f.Assessment.Statements {
		for j := range f.Assessment.Statements[i].Operations {
			if ms, ok := setting(&f.Assessment.Statements[i].Operations[j], "lock_timeout"); ok && ms > 2000 {
				f.Report(i, f.File.Statements[i].Span, phases.Expand, "traffic may stand still for that long: whoever comes after the statement that waits for its lock waits with it", "")
			}
		}
	}
}

// shortBuild looks at concurrent builds alone: a validation that is cut short leaves nothing behind.
func shortBuild(f *File) {
	limit := 0.0
	for i := range f.Assessment.Statements {
		s := &f.Assessment.Statements[i]
		for j := range s.Operations {
			op := &s.Operations[j]
			if ms, ok := setting(op, "statement_timeout"); ok {
				limit = ms
			}
			if limit > 0 && limit < 60_000 && !op.New && op.Effect.Scan && op.Flags.Has(phases.Concurrently) {
				f.Report(i, f.File.Statements[i].Span, op.Phase, "this takes as long as there are rows, and is cut short by the statement_timeout set above", "")
				break
			}
		}
	}
}

// crowded looks at files that pawl runs: where several statements cannot share a transaction, a crash may leave any of them half done.
func crowded(f *File) {
	if f.Options.Transactions != ByFile && !f.managed() || f.Assessment.Transactional {
		return
	}
	n := 0
	for i := range f.Assessment.Statements {
		if f.Groups[i] != 0 || len(f.Assessment.Statements[i].Operations) == 0 {
			continue
		}
		if settles(&f.Assessment.Statements[i]) {
			continue
		}
		if n++; n == 2 {
			f.Report(i, f.File.Statements[i].Span, f.Assessment.Statements[i].Phase, "this file cannot be one transaction: a crash between its statements leaves it half done", "")
			return
		}
	}
}

// settles reports whether a statement only sets parameters.
func settles(s *phases.AssessedStatement) bool {
	return !slices.ContainsFunc(s.Operations, func(op phases.AssessedOperation) bool {
		return op.Kind != "set" && op.Kind != "reset" && op.Kind != "session"
	})
}
