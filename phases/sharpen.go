package phases

import (
	"slices"
	"strings"
)

// sharpenTakes says more exactly what an operation takes, where the catalog knows the columns concerned: an INSERT that
// leaves out a column without a default fails for sure once NULL is refused, and one that leaves out a column with a
// default works as before.
func (j *judgement) sharpenTakes() {
	if !j.c.known() {
		return
	}
	switch j.Kind {
	case "drop_unique_index", "drop_unique_index_concurrently", "drop_unique", "drop_primary_key":
		j.takeUnique()
		return
	}
	if j.rel == nil {
		return
	}
	switch j.Kind {
	case "drop_trigger", "disable_trigger":
		j.takeFilled()
		return
	}
	var sharper []Take
	for _, t := range j.Takes {
		k := j.rel.column(t.Object.Column)
		if t.Object.Kind != Column || t.Uses&Omit == 0 || t.Certainty != ValuesDecide || k == nil {
			sharper = append(sharper, t)
			continue
		}
		rest := t
		rest.Uses &^= Omit
		sharper = append(sharper, rest)
		switch {
		case k.def != nil && !k.def.Null || k.identity != 0 || k.generated != 0:
			if !j.refusesNull(k.name) {
				// What the default is worth to a CHECK or a foreign key, only its value tells.
				sharper = append(sharper, Take{Object: t.Object, Uses: Omit, Certainty: ValuesDecide})
			}
		case j.refusesNull(k.name):
			sharper = append(sharper, Take{Object: t.Object, Uses: Omit, Certainty: Fails})
		}
	}
	j.Takes = sharper
}

// refusesNull reports whether the operation makes PostgreSQL refuse NULL in the column.
func (j *judgement) refusesNull(column string) bool {
	kind := string(j.Kind)
	switch {
	case strings.HasPrefix(kind, "set_not_null"), strings.HasPrefix(kind, "add_not_null"), strings.HasPrefix(kind, "add_primary_key"):
		return true
	case strings.HasPrefix(kind, "add_check") && j.Constraint != nil && j.Constraint.Expr != nil:
		return slices.Contains(j.Constraint.Expr.NotNull, column)
	}
	return false
}

// takeFilled takes, with a trigger, the columns that it fills and that must not be NULL: who leaves them out fails then.
func (j *judgement) takeFilled() {
	columns, known := j.filledColumns()
	if !known || len(columns) == 0 {
		return
	}
	j.Takes = []Take{{
		Object: j.qualify(Object{Kind: Table, Schema: j.On.Schema, Relation: j.On.Relation}),
		Uses:   Insert | Update | Delete, Certainty: Behaves,
	}}
	for _, name := range columns {
		o := j.qualify(Object{Kind: Column, Schema: j.On.Schema, Relation: j.On.Relation, Column: name})
		j.Takes = append(j.Takes, Take{Object: o, Uses: Omit, Certainty: Fails}, Take{Object: o, Uses: Insert | Update, Certainty: ValuesDecide})
	}
}

// filledColumns gives the columns without a default that must not be NULL and that the body of the trigger's function
// names; known is false where the function's body is not known.
func (j *judgement) filledColumns() (columns []string, known bool) {
	known = true
	for _, t := range j.rel.triggers {
		if t.rule || j.On.Name != "" && t.name != j.On.Name {
			continue
		}
		f := j.c.fn(Object{Kind: Function, Schema: t.Function.Schema, Name: t.Function.Name})
		if f == nil || t.Instead {
			return nil, false
		}
		if !t.Before {
			continue
		}
		body := strings.ToLower(f.BodyText)
		for _, k := range j.rel.columns {
			if k.notNull && k.def == nil && k.identity == 0 && k.generated == 0 && strings.Contains(body, "new."+k.name) {
				columns = append(columns, k.name)
			}
		}
	}
	return columns, known
}

// takeUnique takes the index or the constraint, of which only what depends on it has to do without.
func (j *judgement) takeUnique() {
	columns := j.uniqueColumns()
	for i := range j.Takes {
		t := &j.Takes[i]
		t.Columns = columns
		if t.Object.Kind == Table && t.Object.Relation != "" {
			t.Object.Kind, t.Object.Name = Constraint, firstOf(j.On.Name, j.On.Relation)
		}
	}
}

// uniqueColumns are those of the unique index or constraint that goes; nil where it has expressions or covers a part of
// the rows only, or is not known.
func (j *judgement) uniqueColumns() []string {
	if j.On.Kind == Index {
		if i := j.c.index(j.On); i != nil && len(i.Expressions) == 0 && i.Where == nil {
			return i.Columns
		}
		return nil
	}
	if j.rel == nil {
		return nil
	}
	for _, k := range j.rel.constraints {
		if k.Name == j.On.Name {
			return k.Columns
		}
	}
	return nil
}
