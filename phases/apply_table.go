package phases

import (
	"slices"
	"strings"
)

func (c *Catalog) applyColumn(j *judgement, r *rel) {
	op := &j.Operation
	if op.Kind == "comment" || strings.HasPrefix(string(op.Kind), "grant") || strings.HasPrefix(string(op.Kind), "revoke") {
		return
	}
	name := op.On.Column
	if op.Column != nil && strings.HasPrefix(string(op.Kind), "add_column") {
		for _, each := range r.family(op.Flags.Has(Only)) {
			if each.column(name) != nil {
				continue
			}
			c.addColumn(each, op.Column)
			if each == r {
				for _, k := range op.Column.Constraints {
					c.addConstraint(r, k)
				}
			}
		}
		return
	}
	for _, each := range r.family(op.Flags.Has(Only)) {
		if k := each.column(name); k != nil {
			c.applyOne(j, each, k)
		} else if each == r && !r.unfollowed {
			c.lose(op.On)
		}
	}
}

func (c *Catalog) applyOne(j *judgement, r *rel, k *col) {
	op := &j.Operation
	switch op.Kind {
	case "drop_column":
		r.open().columns = without(r.open().columns, k)
		for _, con := range slices.Clone(r.open().constraints) {
			if slices.Contains(con.Columns, k.name) {
				c.dropConstraint(r, con)
			}
		}
		for _, i := range slices.Clone(r.open().indexes) {
			if i.mentions(k.name) {
				c.dropIndex(i)
			}
		}
		for _, s := range r.ownedBy(k.name) {
			c.dropRelation(s, false)
		}
		if op.Flags.Has(Cascade) {
			for _, v := range r.readers() {
				if v.usesColumn(r, k.name) {
					c.dropRelation(v, true)
				}
			}
		}
	case "rename_column":
		old := k.name
		k.name = op.To
		for _, s := range r.ownedBy(old) {
			s.ownerColumn = op.To
		}
		renameIn := func(list []string) []string {
			out := slices.Clone(list)
			for i := range out {
				if out[i] == old {
					out[i] = op.To
				}
			}
			return out
		}
		for _, con := range r.open().constraints {
			con.Columns = renameIn(con.Columns)
			if con.Expr != nil {
				e := *con.Expr
				e.Columns, e.NotNull = renameIn(e.Columns), renameIn(e.NotNull)
				e.Ranges = slices.Clone(e.Ranges)
				for i := range e.Ranges {
					if e.Ranges[i].Column == old {
						e.Ranges[i].Column = op.To
					}
				}
				con.Expr = &e
			}
		}
		for _, con := range r.references() {
			con.RefColumns = renameIn(con.RefColumns)
		}
		for _, i := range r.open().indexes {
			i.Columns, i.Include = renameIn(i.Columns), renameIn(i.Include)
		}
		r.open().key = renameIn(r.open().key)
	case "set_default", "set_default_violating":
		k.def = op.Expr
		if op.Expr != nil && op.Expr.Null {
			k.def = nil
		}
	case "drop_default", "drop_default_nullable":
		k.def = nil
	case "set_not_null", "set_not_null_proven", "set_not_null_checked", "set_not_null_already":
		k.notNull = true
	case "drop_not_null":
		k.notNull = false
		for _, con := range slices.Clone(r.open().constraints) {
			if con.Type == NotNullConstraint && slices.Contains(con.Columns, k.name) {
				r.open().constraints = without(r.open().constraints, con)
			}
		}
	case "add_identity", "add_identity_always":
		k.identity = 'd'
		if op.Text == "a" {
			k.identity = 'a'
		}
		c.addSequence(r, k.name, k.identity, op.Names)
	case "set_identity_always":
		k.identity = 'a'
	case "drop_identity":
		k.identity = 0
	case "drop_expression", "drop_expression_not_null":
		k.generated, k.expression = 0, nil
	default:
		if strings.HasPrefix(string(op.Kind), "alter_column_type") {
			k.typ = c.store.typeOf(op.Column.Type)
			k.collation = op.Column.Collation
		}
	}
}

// ownedBy gives the sequences that a column owns.
func (r *rel) ownedBy(column string) []*rel {
	var out []*rel
	for _, s := range r.sequences {
		if s.ownerColumn == column {
			out = append(out, s)
		}
	}
	return out
}

func (c *Catalog) applyConstraint(j *judgement, r *rel) {
	op := &j.Operation
	switch op.Kind {
	case "drop_constraint", "drop_check", "drop_foreign_key", "drop_unique", "drop_primary_key", "drop_exclusion", "drop_not_null_constraint":
		k := r.constraint(op.On.Name)
		if k == nil {
			c.lose(op.On)
			return
		}
		c.gone = append(c.gone, lost{con: k, op: opOf(j)})
		c.dropConstraint(r, k)
	case "rename_constraint", "rename_unique_constraint":
		if k := r.constraint(op.On.Name); k != nil {
			k.Name = op.To
			if k.index != nil {
				c.renameIndex(k.index, op.To)
			}
		}
	case "validate_check", "validate_foreign_key", "validate_constraint", "validate_not_null", "validate_valid_constraint":
		for _, each := range r.family(false) {
			if k := each.constraint(op.On.Name); k != nil {
				k.valid = true
				if k.Type == NotNullConstraint {
					for _, name := range k.Columns {
						if one := each.column(name); one != nil {
							one.notNull = true
						}
					}
				}
			}
		}
	case "alter_constraint":
		if k := r.constraint(op.On.Name); k != nil && op.Constraint != nil {
			k.Deferrable = op.Constraint.Deferrable
		}
	case "set_not_enforced":
		if k := r.constraint(op.On.Name); k != nil {
			k.NotEnforced, k.valid = true, false
		}
	case "set_enforced":
		if k := r.constraint(op.On.Name); k != nil {
			k.NotEnforced, k.valid = false, true
		}
	default:
		if op.Constraint == nil {
			return
		}
		k := c.addConstraint(r, *op.Constraint)
		if !op.Constraint.NoInherit && !op.Flags.Has(Only) && (k.Type == CheckConstraint || k.Type == ForeignKeyConstraint && r.partitioned != 0) {
			for _, child := range r.descendants() {
				if child.constraint(k.Name) == nil {
					c.addInherited(child, k)
				}
			}
		}
	}
}

func opOf(j *judgement) op { return op{span: j.Span, kind: j.Kind, on: j.On} }

func (c *Catalog) applyTrigger(j *judgement) {
	r, op := j.rel, &j.Operation
	if r == nil {
		return
	}
	switch op.Kind {
	case "create_trigger", "create_trigger_harmless", "create_rule", "create_rule_also":
		rule := op.On.Kind == Rule
		if old := r.trigger(op.On.Name, rule); old != nil {
			r.open().triggers = without(r.open().triggers, old)
		}
		r.open().triggers = append(r.open().triggers, &trigger{TriggerDef: *op.Trigger, name: op.On.Name, rule: rule, born: c.step})
	case "drop_trigger", "drop_trigger_behaviour", "drop_rule", "drop_rule_behaviour":
		if old := r.trigger(op.On.Name, op.On.Kind == Rule); old != nil {
			r.open().triggers = without(r.open().triggers, old)
		}
	case "rename_trigger", "rename_rule":
		if old := r.trigger(op.On.Name, op.On.Kind == Rule); old != nil {
			old.name = op.To
		}
	case "disable_trigger", "disable_trigger_behaviour", "enable_trigger", "enable_trigger_harmless":
		for _, t := range r.open().triggers {
			if !t.rule && (t.name == op.On.Name || op.On.Name == "") {
				t.disabled = strings.HasPrefix(string(op.Kind), "disable")
			}
		}
	case "create_policy", "create_restrictive_policy":
		r.open().policies = append(r.open().policies, &policy{PolicyDef: *op.Policy, name: op.On.Name, born: c.step})
	case "drop_policy", "drop_restrictive_policy":
		if old := r.policy(op.On.Name); old != nil {
			r.open().policies = without(r.open().policies, old)
		}
	case "rename_policy":
		if old := r.policy(op.On.Name); old != nil {
			old.name = op.To
		}
	}
}

// applyTable applies what changes a relation as a whole; false where the kind is not one of these.
func (c *Catalog) applyTable(j *judgement) bool {
	r, op := j.rel, &j.Operation
	kind := string(op.Kind)
	switch {
	case strings.HasPrefix(kind, "attach_partition"):
		child := c.rel(op.Ref)
		if r == nil || child == nil {
			c.lose(op.On)
			return true
		}
		c.inherit(child, r, op.Bound)
		return true
	case strings.HasPrefix(kind, "detach_partition"):
		if child := c.rel(op.Ref); r != nil && child != nil {
			child.open().bound = nil
			child.open().parents = without(child.open().parents, r)
			r.open().children = without(r.open().children, child)
			for _, i := range child.open().indexes {
				i.parent = nil
			}
			for _, k := range child.open().constraints {
				k.inherited = false
			}
		}
		return true
	case strings.HasPrefix(kind, "grant"), strings.HasPrefix(kind, "revoke"):
		c.applyGrant(j)
		return true
	case strings.HasPrefix(kind, "owner_"):
		if r != nil {
			r.open().owner = op.To
		} else if f := c.fn(op.On); f != nil {
			f.owner = op.To
		}
		return true
	}
	if r == nil {
		return false
	}
	switch op.Kind {
	case "inherit":
		c.inherit(r, c.rel(op.Ref), nil)
	case "no_inherit":
		if p := c.rel(op.Ref); p != nil {
			p.open().children, r.open().parents = without(p.open().children, r), without(r.open().parents, p)
		}
	case "enable_row_security":
		r.rls = true
	case "disable_row_security":
		r.rls = false
	case "force_row_security":
		r.force = true
	case "no_force_row_security":
		r.force = false
	case "set_logged":
		r.unlogged = false
	case "set_unlogged":
		r.unlogged = true
	case "set_tablespace":
		r.open().tablespace = op.To
	case "not_of":
		r.open().ofType = qname{}
	case "of_type":
		r.open().ofType = key(c.schemaFor(op.Ref.Schema), op.Ref.Name)
	case "replica_identity", "replica_identity_kept":
		r.identified, r.nothing = op.Text == "i" || op.Text == "f", op.Text == "n"
	default:
		return false
	}
	return true
}

func (c *Catalog) applyGrant(j *judgement) {
	op := &j.Operation
	targets := []*rel{}
	switch {
	case op.Flags.Has(AllObjects):
		for _, r := range c.relations {
			if r.schema == op.On.Name && (op.Text == "table" && r.kind != Sequence || op.Text == "sequence" && r.kind == Sequence) {
				targets = append(targets, r)
			}
		}
	case j.rel != nil:
		targets = append(targets, j.rel)
	}
	for _, r := range targets {
		if r.open().grants == nil {
			r.open().grants = map[string][]string{}
		}
		for _, role := range op.Roles {
			if strings.HasPrefix(string(op.Kind), "grant") {
				r.open().grants[role] = append(r.open().grants[role], op.Names...)
				continue
			}
			if slices.Contains(op.Names, "all") {
				delete(r.open().grants, role)
				continue
			}
			r.open().grants[role] = slices.DeleteFunc(slices.Clone(r.open().grants[role]), func(p string) bool { return slices.Contains(op.Names, p) })
		}
	}
}
