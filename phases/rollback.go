package phases

import (
	"slices"
	"strings"
)

// RolledBack gives for each statement the number of the ROLLBACK or ROLLBACK TO that takes it back, 0 for none; nil where the file takes
// nothing back. A ROLLBACK outside of the file's own transactions takes nothing back.
func (f *File) RolledBack() []int {
	if !slices.ContainsFunc(f.Statements, func(s Statement) bool { return strings.HasPrefix(s.Control, "rollback") }) {
		return nil
	}
	by := make([]int, len(f.Statements))
	begin, points := -1, []savepoint(nil)
	back := func(from, to int) {
		for i := from; i < to; i++ {
			if by[i] == 0 && f.Statements[i].Control == "" {
				by[i] = to
			}
		}
	}
	for i := range f.Statements {
		s := &f.Statements[i]
		switch s.Control {
		case "begin":
			if begin < 0 {
				begin, points = i, nil
			}
		case "rollback":
			if begin >= 0 {
				back(begin, i)
			}
			begin, points = -1, nil
		case "commit", "prepare transaction":
			begin, points = -1, nil
		case "savepoint":
			points = append(points, savepoint{s.lastWord(), i})
		case "rollback to":
			for n := len(points) - 1; n >= 0; n-- {
				if points[n].name == s.lastWord() {
					back(points[n].at, i)
					points = points[:n+1]
					break
				}
			}
		}
		if (s.Control == "commit" || s.Control == "rollback") && s.chains() {
			begin = i
		}
	}
	return by
}

type savepoint struct {
	name string
	at   int
}

// chains reports whether COMMIT or ROLLBACK begins another transaction at once.
func (s *Statement) chains() bool {
	words := strings.Fields(strings.ToLower(strings.TrimRight(strings.TrimSpace(s.Text), ";")))
	n := len(words)
	return n > 2 && words[n-2] == "and" && words[n-1] == "chain"
}

// lastWord is the name of the savepoint that the statement sets or goes back to.
func (s *Statement) lastWord() string {
	words := strings.Fields(strings.TrimRight(strings.TrimSpace(s.Text), ";"))
	return strings.ToLower(words[len(words)-1])
}

// rollback takes out of the catalog what statements made that a ROLLBACK takes back. What else they changed is not known afterwards.
func (c *Catalog) rollback(statements []AssessedStatement) {
	made := map[Object]bool{}
	for i := range slices.Backward(statements) {
		for j := range slices.Backward(statements[i].Operations) {
			op := &statements[i].Operations[j]
			if op.On.Kind == Constraint {
				c.takeBack(op)
			}
			if !op.makesRelation() {
				continue
			}
			if r := c.rel(op.On); r != nil && c.step == r.born {
				made[Object{Schema: op.On.Schema, Relation: op.On.Relation}] = true
				c.dropRelation(r, true)
			}
		}
	}
	for i := range statements {
		for j := range statements[i].Operations {
			op := &statements[i].Operations[j]
			if !made[Object{Schema: op.On.Schema, Relation: op.On.Relation}] && !op.leavesSchema() {
				c.Incomplete = true
			}
		}
	}
}

// takeBack undoes what an operation did to a constraint that may serve as a proof.
func (c *Catalog) takeBack(op *AssessedOperation) {
	r := c.rel(Object{Kind: Table, Schema: op.On.Schema, Relation: op.On.Relation})
	if r == nil {
		return
	}
	k := r.constraint(op.On.Name)
	switch {
	case k == nil:
	case op.Constraint != nil:
		c.dropConstraint(r, k)
	case strings.HasPrefix(string(op.Kind), "validate_"):
		k.valid = false
	}
}

// makesRelation reports whether an operation makes a table, view or sequence that was not there.
func (op *Operation) makesRelation() bool {
	return slices.ContainsFunc([]string{"create_table", "create_foreign_table", "create_partition", "create_materialized_view", "create_view", "create_sequence"}, func(p string) bool {
		return strings.HasPrefix(string(op.Kind), p)
	})
}

// leavesSchema reports whether an operation changes nothing that the catalog holds.
func (op *Operation) leavesSchema() bool {
	return slices.ContainsFunc([]string{"select", "insert", "upsert", "update", "delete", "merge", "copy_", "truncate", "lock_table", "analyze", "comment"}, func(p string) bool {
		return strings.HasPrefix(string(op.Kind), p)
	}) || op.Kind == "set"
}
