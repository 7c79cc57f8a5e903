package phases

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// sharpenTakes says more exactly what an operation takes, where the catalog knows the columns concerned: an INSERT that
// leaves out a column without a default fails for sure once NULL is refused, and one that leaves out a column with a
// default works as before.
func (j *judgement) sharpenTakes() {
	switch j.Kind {
	case "drop_unique_index", "drop_unique_index_concurrently", "drop_unique", "drop_primary_key", "drop_dependent_unique", "drop_dependent_primary_key":
		j.takeUnique()
		return
	}
	if !j.c.known() {
		return
	}
	switch j.Kind {
	case "alter_column_type", "alter_column_type_no_rewrite", "alter_column_type_no_rewrite_scan":
		// Values that came as parameters may not fit any more, which preparing does not see.
		for _, t := range slices.Clone(j.Takes) {
			uses := Insert | Update
			if k := j.column(); k == nil || k.def != nil || j.rel.fills(j.c, k.name) {
				uses |= Omit
			}
			j.Takes = append(j.Takes, Take{Object: t.Object, Uses: uses, Certainty: ValuesDecide})
		}
		if j.Column != nil && unequal(j.Column.Type) {
			// Rows are compared when the statement runs, and then there is no operator for this column.
			o := j.qualify(Object{Kind: Column, Schema: j.On.Schema, Relation: j.On.Relation, Column: j.On.Column})
			j.Takes = append(j.Takes, Take{Object: o, Uses: Star, Certainty: RunFails})
		}
		return
	case "create_publication", "add_publication_table", "set_publication_tables", "publish_updates":
		j.takeUnkeyed()
		return
	case "replace_function_stricter":
		for _, f := range j.c.functions[key(j.c.schemaFor(j.On.Schema), j.On.Name)] {
			if f.signature() == j.Function.signature() {
				j.Takes = append(j.Takes, j.c.unfilled(f, j.Function)...)
			}
		}
		return
	}
	if t := j.c.typ(TypeName{Schema: j.On.Schema, Name: j.On.Name}); t != nil && j.On.Relation == "" {
		j.takeTyped(t)
	}
	if j.rel == nil {
		return
	}
	switch j.Kind {
	case "rename_constraint", "rename_unique_constraint":
		for i := range j.Takes {
			j.Takes[i].Only = j.Takes[i].Object.Kind == Constraint && j.Takes[i].Object.Name != ""
		}
		return
	case "create_rule":
		if j.Trigger != nil {
			j.takeRuled()
		}
		return
	case "drop_trigger", "disable_trigger":
		j.takeFilled()
		return
	case "drop_trigger_behaviour", "disable_trigger_behaviour":
		_, defaulted, _ := j.filledColumns()
		j.takeValues(defaulted)
		return
	case "truncate":
		j.takeReferring(j.c.truncated(j.rel, j.Flags))
		return
	case "attach_partition", "attach_partition_proven", "attach_partition_new", "attach_partition_default_scan":
		if child := j.c.rel(j.Ref); child != nil && child.partitioned != 0 && child.defaultPartition() == nil && !j.c.fresh(j.rel.born) {
			// Rows that went elsewhere find no partition any more.
			j.Phase = Contract
			j.Takes = append(j.Takes, Take{Object: j.rel.object(j.rel.kind), Uses: Insert | Update, Certainty: RunFails})
		}
		return
	case "delete", "delete_all":
		j.takeReferring(j.rel.family(j.Flags.Has(Only)))
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
		case k.def != nil && !k.def.Null || k.identity != 0 || k.generated != 0 || j.rel.fills(j.c, k.name):
			if !j.refusesNull(k.name) || k.def == nil && k.identity == 0 && k.generated == 0 {
				// What the default, or the trigger that fills the column, is worth to a constraint, only its value tells.
				sharper = append(sharper, Take{Object: t.Object, Uses: Omit, Certainty: ValuesDecide})
			}
		case j.refusesNull(k.name):
			sharper = append(sharper, Take{Object: t.Object, Uses: Omit, Certainty: Fails})
		}
	}
	j.Takes = sharper
}

// unequal reports whether a type of PostgreSQL has no operator by which rows with such a column are compared: it has no
// default operator class for B-trees or hashes (rowtypes.c, record_eq).
func unequal(t TypeName) bool {
	if t.Schema != "" && t.Schema != "pg_catalog" {
		return false
	}
	switch t.Name {
	case "json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle":
		return true
	}
	return false
}

// takeRuled takes with a rule the statements that it is for; ON CONFLICT and MERGE do without rules.
func (j *judgement) takeRuled() {
	uses := Use(0)
	for _, event := range j.Trigger.Events {
		switch event {
		case "insert":
			uses |= Insert | Conflict
		case "update":
			uses |= Update | Conflict
		case "delete":
			uses |= Delete
		default:
			uses |= AnyUse
		}
	}
	for i := range j.Takes {
		if uses != 0 {
			j.Takes[i].Uses &= uses
		}
	}
}

// column is the one that the operation is on; nil where it is on none that the catalog knows.
func (j *judgement) column() *col {
	if j.rel == nil {
		return nil
	}
	return j.rel.column(j.On.Column)
}

// fills reports whether a trigger of the table may give the column a value before the row is stored.
func (r *rel) fills(c *Catalog, column string) bool {
	return slices.ContainsFunc(r.open().triggers, func(t *trigger) bool {
		if t.rule || !t.Before || t.disabled {
			return false
		}
		f := c.fn(Object{Kind: Function, Schema: t.Function.Schema, Name: t.Function.Name})
		return f == nil || strings.Contains(strings.ToLower(f.BodyText), "new."+column)
	})
}

// takeTyped takes, with what changes about a type, the columns of that type: their values come and go as parameters and
// results, which nothing in a statement's text shows.
func (j *judgement) takeTyped(t *typ) {
	omit := Behaves
	uses := Insert | Update
	switch j.Kind {
	case "add_domain_check", "add_domain_check_not_valid":
		omit = ValuesDecide
	case "set_domain_not_null":
		omit = RunFails
	case "rename_enum_value":
		uses |= Read
	case "add_attribute", "drop_attribute", "alter_attribute_type":
		uses |= Read
	default:
		return
	}
	for _, r := range j.c.users(t) {
		if j.c.fresh(r.born) {
			continue
		}
		for _, k := range r.open().columns {
			if j.c.typ(k.typ.TypeName) != t {
				continue
			}
			o := Object{Kind: Column, Schema: r.schema, Relation: r.name, Column: k.name}
			j.Takes = append(j.Takes, Take{Object: o, Uses: uses, Certainty: ValuesDecide})
			given := k.def != nil && !k.def.Null || t.Default != nil || r.fills(j.c, k.name)
			switch {
			case omit == Behaves:
			case given:
				j.Takes = append(j.Takes, Take{Object: o, Uses: Omit, Certainty: ValuesDecide})
			case omit == RunFails:
				j.Takes = append(j.Takes, Take{Object: o, Uses: Omit, Certainty: RunFails})
			}
		}
	}
}

// takeReferring takes rows from the tables given: what refers to them finds no row to refer to, and where TRUNCATE goes
// on to other tables, theirs are gone too.
func (j *judgement) takeReferring(emptied []*rel) {
	if len(j.Takes) == 0 {
		return
	}
	for i := 0; i < len(emptied); i++ {
		r := emptied[i]
		if r != j.rel && j.Kind == "truncate" {
			j.Takes = append(j.Takes, Take{Object: r.object(r.kind), Uses: j.Takes[0].Uses, Certainty: ValuesDecide})
		}
		for _, k := range r.references() {
			if !j.c.fresh(k.born) {
				j.Takes = append(j.Takes, Take{Object: k.table.object(k.table.kind), Uses: Insert | Update, Certainty: ValuesDecide})
			}
			if k.OnDelete == 'c' && j.Kind != "truncate" {
				// Its rows go too, and others may refer to those.
				for _, each := range k.table.family(false) {
					if !slices.Contains(emptied, each) {
						emptied = append(emptied, each)
					}
				}
			}
		}
	}
}

// takeUnkeyed takes UPDATE and DELETE from each published table of which nothing identifies a row. A publication whose
// tables the catalog cannot list takes everything.
func (j *judgement) takeUnkeyed() {
	j.Takes = nil
	uses := Update | Delete
	p := j.c.publications[j.On.Name]
	if p == nil {
		p = &publication{}
		if j.Kind == "publish_updates" {
			j.Takes = []Take{{Everything: true, Uses: AnyUse}}
			return
		}
	}
	for _, r := range j.c.sorted() {
		named := j.Flags.Has(AllObjects) || j.Ref.Kind == Schema && j.Ref.Name == r.schema
		if j.Kind == "publish_updates" {
			named = p.all || slices.Contains(p.schemas, r.schema) || slices.Contains(p.tables, r)
		}
		if named && j.c.unidentified(r) {
			j.Takes = append(j.Takes, Take{Object: r.object(r.kind), Uses: uses, Certainty: RunFails})
		}
	}
	if j.Ref.Relation != "" {
		j.Takes = append(j.Takes, Take{Object: j.qualify(j.Ref), Uses: uses, Certainty: RunFails})
		if r := j.c.rel(j.Ref); r != nil {
			for _, each := range r.descendants() {
				j.Takes = append(j.Takes, Take{Object: each.object(each.kind), Uses: uses, Certainty: RunFails})
			}
		}
	}
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
	columns, defaulted, known := j.filledColumns()
	if !known {
		return
	}
	// Without a column that must be filled nothing fails for want of the trigger, unless by the values.
	j.Takes = []Take{{
		Object: j.qualify(Object{Kind: Table, Schema: j.On.Schema, Relation: j.On.Relation}),
		Uses:   Insert | Update | Delete, Certainty: Behaves,
	}}
	for _, name := range columns {
		o := j.qualify(Object{Kind: Column, Schema: j.On.Schema, Relation: j.On.Relation, Column: name})
		j.Takes = append(j.Takes, Take{Object: o, Uses: Omit, Certainty: Fails}, Take{Object: o, Uses: Insert | Update, Certainty: ValuesDecide})
	}
	j.takeValues(defaulted)
}

// takeValues takes columns that a trigger fills from those alone who give NULL: others have the default.
func (j *judgement) takeValues(columns []string) {
	for _, name := range columns {
		o := j.qualify(Object{Kind: Column, Schema: j.On.Schema, Relation: j.On.Relation, Column: name})
		j.Takes = append(j.Takes, Take{Object: o, Uses: Insert | Update, Certainty: ValuesDecide})
	}
}

// filledColumns gives the columns that must not be NULL and that the body of the trigger's function names: those without
// a default, and those with one; known is false where the trigger or its function's body is not known.
func (j *judgement) filledColumns() (columns, defaulted []string, known bool) {
	// Of all triggers there may be none.
	known = j.On.Name == "" && !j.rel.unfollowed
	for _, t := range j.rel.open().triggers {
		if t.rule || j.On.Name != "" && t.name != j.On.Name {
			continue
		}
		known = true
		f := j.c.fn(Object{Kind: Function, Schema: t.Function.Schema, Name: t.Function.Name})
		if f == nil || t.Instead {
			return nil, nil, false
		}
		if !t.Before {
			continue
		}
		body := strings.ToLower(f.BodyText)
		for _, k := range j.rel.open().columns {
			switch {
			case !k.notNull || k.identity != 0 || k.generated != 0 || !strings.Contains(body, "new."+k.name):
			case k.def == nil:
				columns = append(columns, k.name)
			default:
				defaulted = append(defaulted, k.name)
			}
		}
	}
	return columns, defaulted, known
}

var assigned = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\bnew\.(\w+)`) })

// unfilled takes what a trigger's function filled and its successor no longer names: the columns that must not be NULL of
// the tables before whose rows it runs.
func (c *Catalog) unfilled(old *function, now *FunctionDef) []Take {
	if old.Returns.Name != "trigger" {
		return nil
	}
	body := strings.ToLower(now.BodyText)
	gone := map[string]bool{}
	for _, m := range assigned().FindAllStringSubmatch(strings.ToLower(old.BodyText), -1) {
		if !strings.Contains(body, "new."+m[1]) {
			gone[m[1]] = true
		}
	}
	if len(gone) == 0 {
		return nil
	}
	var takes []Take
	for _, r := range c.sorted() {
		if !slices.ContainsFunc(r.open().triggers, func(t *trigger) bool {
			return !t.rule && t.Before && c.fn(Object{Kind: Function, Schema: t.Function.Schema, Name: t.Function.Name}) == old
		}) {
			continue
		}
		for _, k := range r.open().columns {
			if !gone[strings.ToLower(k.name)] || !k.notNull || k.identity != 0 || k.generated != 0 {
				continue
			}
			o := Object{Kind: Column, Schema: r.schema, Relation: r.name, Column: k.name}
			if k.def == nil {
				takes = append(takes, Take{Object: o, Uses: Omit, Certainty: Fails})
			}
			takes = append(takes, Take{Object: o, Uses: Insert | Update, Certainty: ValuesDecide})
		}
	}
	return takes
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
	if !j.c.known() {
		return nil
	}
	if j.On.Kind == Index {
		if i := j.c.index(j.On); i != nil && len(i.Expressions) == 0 && i.Where == nil {
			return i.Columns
		}
		return nil
	}
	if j.rel == nil {
		return nil
	}
	for _, k := range j.rel.open().constraints {
		if k.Name == j.On.Name {
			return k.Columns
		}
	}
	return nil
}
