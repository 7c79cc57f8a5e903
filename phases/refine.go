package phases

import (
	"slices"
	"strconv"
	"strings"
)

// refine finds the relation that the operation is on, and sharpens its kind by what the catalog knows. Where the
// catalog knows nothing, the kind stays the parser's, whose row holds the strictest reading.
func (j *judgement) refine() {
	switch j.On.Kind {
	case Index:
		if i := j.c.index(j.On); i != nil {
			j.rel = i.table
		}
	case Type, Domain, Function, Procedure, Aggregate, Routine, Schema, Role, Database, Attribute, EnumValue, Extension:
	default:
		if j.On.Relation != "" {
			j.rel = j.c.rel(j.On)
		}
	}
	j.missing()
	if j.absent {
		return
	}
	if j.Kind == "comment" {
		switch j.On.Kind {
		case Table, Column, View, MatView, ForeignTable, Sequence:
		default:
			j.Kind = "comment_on_part"
		}
		return
	}
	switch j.On.Kind {
	case Column:
		j.refineColumn()
	case Constraint:
		j.refineConstraint()
	case Table, ForeignTable, View, MatView, Sequence, Index:
		j.refineRelation()
	case Trigger, Rule, Policy:
		j.refineTrigger()
	default:
		j.refineObject()
	}
}

// missing finds out whether IF EXISTS or IF NOT EXISTS leaves the operation nothing to do.
func (j *judgement) missing() {
	c := j.c
	if j.Flags.Has(IfTable) && j.rel == nil && c.known() && j.On.Kind != Index {
		j.absent = true
	}
	if j.Flags.Has(IfNotExists) {
		switch {
		case strings.HasPrefix(string(j.Kind), "create_index"), strings.HasPrefix(string(j.Kind), "create_unique_index"):
			if j.rel != nil && j.Index.Name != "" {
				if i := c.indexOf[key(j.rel.schema, j.Index.Name)].index(j.Index.Name); i != nil {
					j.absent = !i.invalid
				}
			}
		case j.On.Kind == Column:
			j.absent = j.rel != nil && j.rel.column(j.On.Column) != nil
		case j.On.Kind == EnumValue:
			t := c.typ(TypeName{Schema: j.On.Schema, Name: j.On.Name})
			j.absent = t != nil && slices.Contains(t.Values, j.On.Column)
		case j.On.Kind == Table, j.On.Kind == MatView, j.On.Kind == Sequence, j.On.Kind == ForeignTable:
			schema := c.schemaFor(j.On.Schema)
			_, j.absent = c.relations[key(schema, j.On.Relation)]
			if j.absent {
				j.rel = nil
				j.Ref = Object{}
			}
		case j.On.Kind == Schema:
			j.absent = c.schemas[j.On.Name]
		case j.On.Kind == Extension:
			_, j.absent = c.extensions[j.On.Name]
		}
	}
	if !j.Flags.Has(IfExists) || !c.known() {
		return
	}
	switch j.On.Kind {
	case Column:
		j.absent = j.rel == nil || !j.rel.unfollowed && j.rel.column(j.On.Column) == nil
	case Constraint:
		switch {
		case j.On.Relation != "":
			j.absent = j.rel == nil || !j.rel.unfollowed && j.rel.constraint(j.On.Name) == nil
		}
	case Trigger, Rule:
		j.absent = j.rel == nil || j.rel.trigger(j.On.Name, j.On.Kind == Rule) == nil
	case Policy:
		j.absent = j.rel == nil || j.rel.policy(j.On.Name) == nil
	case Index:
		j.absent = c.index(j.On) == nil
	case Table, View, MatView, Sequence, ForeignTable:
		j.absent = j.rel == nil
	case Type, Domain:
		t := c.typ(TypeName{Schema: j.On.Schema, Name: j.On.Name})
		j.absent = t == nil
		if t != nil && j.Kind == "drop_domain_constraint" && len(j.Names) > 0 {
			j.absent = !slices.ContainsFunc(t.Constraints, func(d ConstraintDef) bool { return d.Name == j.Names[0] })
		}
	case Attribute:
		t := c.typ(TypeName{Schema: j.On.Schema, Name: j.On.Name})
		j.absent = t != nil && !slices.ContainsFunc(t.Attributes, func(a ColumnDef) bool { return a.Name == j.On.Column })
	case Function, Procedure, Routine, Aggregate:
		j.absent = len(c.funcs(j.On.Schema, j.On.Name)) == 0 || j.On.Column != "" && c.fn(j.On) == nil
	case Schema:
		j.absent = !c.schemas[j.On.Name]
	case Extension:
		_, ok := c.extensions[j.On.Name]
		j.absent = !ok
	case Role:
		j.absent = !c.roles[j.On.Name]
	case Publication:
		_, ok := c.publications[j.On.Name]
		j.absent = !ok
	default:
		o := j.On
		o.Column = ""
		j.absent = !c.others[o]
	}
	switch j.Kind {
	// Without the object PostgreSQL returns before it opens the table.
	case "drop_trigger", "drop_rule", "drop_policy", "drop_index", "drop_index_concurrently":
		if j.absent {
			j.rel = nil
		}
	}
}

func (j *judgement) refineColumn() {
	var k *col
	if j.rel != nil {
		k = j.rel.column(j.On.Column)
	}
	if k != nil && j.c.fresh(k.born) && !j.c.fresh(j.rel.born) {
		j.refineNewColumn(k)
		return
	}
	switch j.Kind {
	case "add_column":
		j.refineAddColumn()
	case "alter_column_type":
		j.refineType(k)
	case "set_not_null":
		switch {
		case k == nil:
		case k.notNull:
			j.Kind = "set_not_null_already"
		default:
			proof := j.rel.notNullProof(j.On.Column)
			switch {
			case proof == nil:
			case proof.valid && len(j.setNotNulls()) == 0 && !j.drops(proof):
				j.Kind = "set_not_null_proven"
			default:
				j.Kind = "set_not_null_checked"
			}
		}
	case "drop_default":
		if k != nil && (!k.notNull || k.def == nil) {
			j.Kind = "drop_default_nullable"
		}
		if j.willSetDefault() {
			j.Kind = "drop_default_nullable"
			j.Why = "the same statement sets another default"
		}
	case "set_default":
		if j.Expr != nil && j.Expr.Null && k != nil && k.notNull && k.def != nil {
			j.Kind = "drop_default"
		} else if j.violates(j.Expr) {
			j.Kind = "set_default_violating"
		}
	case "add_identity":
		if j.Text == "a" {
			j.Kind = "add_identity_always"
		}
	case "set_identity":
		switch {
		case j.Text == "a":
			j.Kind = "set_identity_always"
		case slices.Contains(j.Names, "restart"):
			j.Kind = "restart_identity"
		}
	case "set_expression":
		if k != nil && k.generated == 'v' {
			j.Kind = "set_expression_virtual"
		}
	case "drop_expression":
		if k != nil && k.notNull {
			j.Kind = "drop_expression_not_null"
		}
	}
}

// refineNewColumn is for columns that the same run added to an older table: no code names them, but its INSERTs leave
// them out.
func (j *judgement) refineNewColumn(k *col) {
	switch j.Kind {
	case "set_not_null":
		if k.notNull {
			j.Kind = "set_not_null_already"
		} else if proof := j.rel.notNullProof(j.On.Column); proof != nil && proof.valid && len(j.setNotNulls()) == 0 && !j.drops(proof) {
			j.Kind = "set_not_null_proven"
		} else if k.def == nil && k.identity == 0 && k.generated == 0 {
			return
		} else {
			j.Kind = "set_not_null_checked"
		}
	case "drop_default":
		if !k.notNull {
			j.Kind = "drop_default_nullable"
		}
		return
	case "alter_column_type":
		j.refineType(k)
	case "set_expression":
		if k.generated == 'v' {
			j.Kind = "set_expression_virtual"
		}
	case "set_default":
		return
	}
	j.Why = "the column was added in the same run"
}

// setNotNulls lists the other columns of the same ALTER TABLE that get NOT NULL without proof: one scan then reads the
// table for all of them.
func (j *judgement) setNotNulls() []string {
	var out []string
	for i := range j.group {
		op := &j.group[i]
		if op.Kind != "set_not_null" || op.On.Column == j.On.Column {
			continue
		}
		k := j.rel.column(op.On.Column)
		if proof := j.rel.notNullProof(op.On.Column); k != nil && !k.notNull && (proof == nil || !proof.valid) {
			out = append(out, op.On.Column)
		}
	}
	return out
}

// drops reports whether the same ALTER TABLE drops the CHECK that would spare the scan: drops run first.
func (j *judgement) drops(proof *con) bool {
	return slices.ContainsFunc(j.group, func(op Operation) bool {
		return op.Kind == "drop_constraint" && op.On.Name == proof.Name
	})
}

func (j *judgement) willSetDefault() bool {
	return slices.ContainsFunc(j.group, func(op Operation) bool {
		return op.Kind == "set_default" && op.On.Column == j.On.Column
	})
}

// notNullProof finds a CHECK that proves a column not to be NULL, a valid one first.
func (r *rel) notNullProof(column string) *con {
	var found *con
	for _, k := range r.open().constraints {
		if k.NotEnforced {
			continue
		}
		proves := k.Type == NotNullConstraint && slices.Contains(k.Columns, column) ||
			k.Type == CheckConstraint && k.Expr != nil && slices.Contains(k.Expr.NotNull, column)
		if proves && (found == nil || k.valid) {
			found = k
		}
	}
	return found
}

// violates reports whether a default may break a CHECK on its column; one that cannot be worked out counts as broken.
func (j *judgement) violates(e *Expr) bool {
	if j.rel == nil || e == nil || e.Null {
		return false
	}
	for _, k := range j.rel.open().constraints {
		if k.Type != CheckConstraint || k.Expr == nil || !slices.Contains(k.Expr.Columns, j.On.Column) {
			continue
		}
		if !e.Constant || len(k.Expr.Columns) > 1 || len(k.Expr.Ranges) == 0 {
			if len(k.Expr.NotNull) == len(k.Expr.Columns) && len(k.Expr.Ranges) == 0 {
				continue
			}
			return true
		}
		for _, r := range k.Expr.Ranges {
			if r.Column == j.On.Column && !r.holds(e.Literal) {
				return true
			}
		}
	}
	return false
}

// holds evaluates the comparison for a constant.
func (r Range) holds(literal string) bool {
	for _, v := range r.Values {
		order := compareLiterals(literal, v)
		switch r.Op {
		case "=", "in":
			if order == 0 {
				return true
			}
		case "<":
			return order < 0
		case "<=":
			return order <= 0
		case ">":
			return order > 0
		case ">=":
			return order >= 0
		}
	}
	return false
}

// compareLiterals compares as numbers where both are, and as text otherwise: right for ISO dates too.
func compareLiterals(a, b string) int {
	x, errA := strconv.ParseFloat(a, 64)
	y, errB := strconv.ParseFloat(b, 64)
	if errA == nil && errB == nil {
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		default:
			return 0
		}
	}
	return strings.Compare(a, b)
}

func (j *judgement) refineAddColumn() {
	def := j.Column
	t := j.c.typ(def.Type)
	// An array of a domain is none: PostgreSQL fills the new column with NULL as it does for others.
	domain := t != nil && t.Form == "domain" && def.Type.Dims == 0
	constrained := domain && j.c.constrained(t)
	hasDefault := def.Default != nil && !def.Default.Null
	if !hasDefault && domain && t.Default != nil && def.Default == nil {
		hasDefault = true
	}
	switch {
	case def.Generated == 's':
		j.Kind = "add_column_generated"
	case def.Generated == 'v':
		j.Kind = "add_column_virtual"
	case def.Identity != 0:
		j.Kind = "add_column_identity"
	case def.Serial:
		j.Kind = "add_column_serial"
	case (def.NotNull || domain && j.c.notNullDomain(t)) && !hasDefault:
		j.Kind = "add_column_not_null"
	case hasDefault && j.c.volatile(def.Default):
		j.Kind = "add_column_volatile_default"
	case constrained:
		j.Kind = "add_column_constrained_domain"
	case t == nil && def.Type.Schema != "" && def.Type.Schema != "pg_catalog" && !j.c.known():
		j.Kind = "add_column_constrained_domain"
	case hasDefault && domain && t.Default != nil && def.Default == nil && j.c.volatile(t.Default):
		j.Kind = "add_column_volatile_default"
	case hasDefault:
		j.Kind = "add_column_default"
	}
	for i := range def.Constraints {
		j.inline(&def.Constraints[i], hasDefault || def.Identity != 0 || def.Serial)
	}
}

// inline adds the operation of a constraint written behind a new column.
func (j *judgement) inline(def *ConstraintDef, hasDefault bool) {
	op := Operation{On: Object{Kind: Constraint, Schema: j.On.Schema, Relation: j.On.Relation, Name: def.Name}, Constraint: def, Ref: def.Ref, Span: j.Span, Flags: j.Flags &^ (IfExists | IfNotExists)}
	switch def.Type {
	case CheckConstraint:
		op.Kind = "add_column_check"
		others := len(def.Columns) > 1 || len(def.Columns) == 1 && def.Columns[0] != j.On.Column
		if others || !hasDefault && def.Expr != nil && len(def.Expr.NotNull) > 0 {
			op.Kind = "add_check"
		}
	case ForeignKeyConstraint:
		op.Kind = "add_column_references"
		if hasDefault {
			op.Kind = "add_foreign_key_with_default"
		} else if j.Column.Default != nil {
			op.Kind = "add_column_references_null"
		}
	case UniqueConstraint:
		op.Kind = "add_column_unique"
		if hasDefault && !j.Column.Serial && j.Column.Identity == 0 && (j.Column.Default == nil || j.Column.Default.Constant) {
			op.Kind = "add_unique"
		}
	case PrimaryKeyConstraint:
		op.Kind = "add_column_primary_key"
	default:
		op.Kind = "add_exclusion"
	}
	k := &judgement{c: j.c, rel: j.rel}
	k.Operation = op
	k.describe()
	k.locks()
	k.takes()
	j.extra = append(j.extra, k.AssessedOperation)
}

// constrained reports whether a domain, or one below it, has a CHECK or NOT NULL.
func (c *Catalog) constrained(t *typ) bool {
	for range 16 {
		if t == nil || t.Form != "domain" {
			return false
		}
		if t.NotNull || len(t.Constraints) > 0 {
			return true
		}
		t = c.typ(t.Base)
	}
	return true
}

func (c *Catalog) notNullDomain(t *typ) bool {
	for range 16 {
		if t == nil || t.Form != "domain" {
			return false
		}
		if t.NotNull {
			return true
		}
		t = c.typ(t.Base)
	}
	return true
}

func (j *judgement) refineConstraint() {
	def := j.Constraint
	var old *con
	if j.rel != nil {
		old = j.rel.constraint(j.On.Name)
	}
	switch j.Kind {
	case "add_check", "add_check_not_valid":
		if j.newColumns(def.Columns) {
			j.Why = "it is about columns that the same run added"
		} else if def.Expr != nil && len(def.Expr.NotNull) > 0 && len(def.Expr.NotNull) == len(def.Expr.Columns) && len(def.Expr.Ranges) == 0 && j.allNotNull(def.Expr.NotNull) {
			j.Why = "the columns are NOT NULL already"
		}
	case "add_foreign_key", "add_foreign_key_not_valid":
		if j.c.hadForeignKey(j.rel, def) {
			j.Why = "it replaces a foreign key that was there"
		} else if j.newColumns(def.Columns) {
			j.Why = "it is about columns that the same run added"
		}
		if def.NotEnforced {
			j.Kind = "add_foreign_key_not_enforced"
		}
	case "add_unique", "add_primary_key":
		if j.newColumns(def.Columns) {
			j.Why = "it is about columns that the same run added"
		} else if j.rel != nil && j.rel.uniqueOn(def.Columns) && (def.Type == UniqueConstraint || j.allNotNull(def.Columns)) {
			j.Why = "an index already keeps these columns unique"
		}
	case "add_unique_using_index":
		if def.Deferrable {
			j.Kind = "add_unique_using_index_deferrable"
		}
		j.indexColumns(def)
	case "add_primary_key_using_index":
		j.indexColumns(def)
		if len(def.Columns) == 0 || !j.allNotNull(def.Columns) {
			j.Kind = "add_primary_key_using_index_nullable"
			if len(def.Columns) > 0 && !slices.ContainsFunc(def.Columns, func(name string) bool {
				proof := j.rel.notNullProof(name)
				return !j.rel.column(name).isNotNull() && (proof == nil || !proof.valid)
			}) {
				j.Kind = "add_primary_key_using_index"
			}
		} else if def.Deferrable {
			j.Kind = "add_unique_using_index_deferrable"
		}
	case "validate_constraint":
		j.refineValidate(old)
	case "alter_constraint":
		if def.NotEnforced {
			j.Kind = "set_not_enforced"
		} else if j.Text == "enforced" {
			j.Kind = "set_enforced"
			if old != nil && !old.NotEnforced {
				j.Kind = "alter_constraint"
			} else if old != nil {
				j.Constraint = &old.ConstraintDef
			}
		}
		if old != nil && (j.Kind == "set_not_enforced" || j.Kind == "set_enforced") {
			j.Ref = old.Ref
		}
	case "drop_constraint":
		if old == nil {
			return
		}
		j.Constraint = &old.ConstraintDef
		if j.c.fresh(old.born) {
			j.Why = "the constraint was made in the same run"
		}
		switch old.Type {
		case CheckConstraint:
			j.Kind = "drop_check"
		case ForeignKeyConstraint:
			j.Kind, j.Ref = "drop_foreign_key", old.Ref
			if old.ref != nil {
				j.Ref = old.ref.object(Table)
			}
		case UniqueConstraint:
			j.Kind = "drop_unique"
		case PrimaryKeyConstraint:
			j.Kind = "drop_primary_key"
		case ExclusionConstraint:
			j.Kind = "drop_exclusion"
		case NotNullConstraint:
			j.Kind = "drop_not_null_constraint"
		}
	case "rename_constraint":
		switch {
		case old == nil:
			j.Kind = "rename_unique_constraint"
		case old.Type == UniqueConstraint || old.Type == PrimaryKeyConstraint || old.Type == ExclusionConstraint:
			j.Kind, j.Constraint = "rename_unique_constraint", &old.ConstraintDef
		}
	}
}

func (k *col) isNotNull() bool { return k != nil && k.notNull }

func (j *judgement) refineValidate(old *con) {
	if old == nil {
		return
	}
	j.Constraint = &old.ConstraintDef
	switch {
	case old.valid:
		j.Kind = "validate_valid_constraint"
	case old.Type == ForeignKeyConstraint:
		j.Kind, j.Ref = "validate_foreign_key", old.Ref
		if old.ref != nil {
			j.Ref = old.ref.object(Table)
		}
	case old.Type == NotNullConstraint:
		j.Kind = "validate_not_null"
	default:
		j.Kind = "validate_check"
	}
}

// indexColumns fills in the columns of the index that USING INDEX names.
func (j *judgement) indexColumns(def *ConstraintDef) {
	if j.rel == nil || len(def.Columns) > 0 {
		return
	}
	if i := j.c.indexOf[key(j.rel.schema, def.Index)].index(def.Index); i != nil {
		filled := *def
		filled.Columns = i.Columns
		j.Constraint = &filled
		*def = filled
	}
}

// newColumns reports whether all of the columns were added to an older table in the same run without a default, so
// that no row of old code fills them.
func (j *judgement) newColumns(names []string) bool {
	if j.rel == nil || len(names) == 0 {
		return false
	}
	for _, name := range names {
		k := j.rel.column(name)
		if k == nil || !j.c.fresh(k.born) || k.notNull || k.def != nil && !k.def.Null {
			return false
		}
	}
	return true
}

func (j *judgement) allNotNull(names []string) bool {
	if j.rel == nil {
		return false
	}
	for _, name := range names {
		if !j.rel.column(name).isNotNull() {
			return false
		}
	}
	return len(names) > 0
}

// uniqueOn reports whether a unique index without condition on some of the columns makes all of them unique.
func (r *rel) uniqueOn(names []string) bool {
	for _, i := range r.open().indexes {
		if i.Unique && i.Where == nil && len(i.Expressions) == 0 && !i.invalid && within(i.Columns, names) {
			return true
		}
	}
	return false
}

func sameSet(a, b []string) bool { return len(a) == len(b) && within(a, b) }

// within reports whether all of a are in b.
func within(a, b []string) bool {
	if len(a) == 0 {
		return false
	}
	for _, x := range a {
		if !slices.Contains(b, x) {
			return false
		}
	}
	return true
}

// hadForeignKey reports whether the same reference stood before this run, and perhaps was dropped in it.
func (c *Catalog) hadForeignKey(r *rel, def *ConstraintDef) bool {
	if r == nil {
		return false
	}
	same := func(k *con) bool {
		return k.Type == ForeignKeyConstraint && slices.Equal(k.Columns, def.Columns) && k.ref != nil && k.ref == c.rel(def.Ref) && !c.fresh(k.born) && !k.NotEnforced
	}
	if slices.ContainsFunc(r.open().constraints, same) {
		return true
	}
	for _, l := range c.gone {
		if l.con != nil && l.con.table == r && same(l.con) {
			return true
		}
	}
	return false
}
