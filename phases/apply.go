package phases

import (
	"slices"
	"strings"
)

// apply changes the catalog as the operation changes the database.
func (c *Catalog) apply(j *judgement) {
	op := &j.Operation
	if j.absent {
		return
	}
	switch op.On.Kind {
	case Column:
		if j.rel != nil {
			c.applyColumn(j, j.rel)
		} else {
			c.lose(op.On)
		}
		return
	case Constraint:
		if j.rel != nil {
			c.applyConstraint(j, j.rel)
			return
		}
	case Trigger, Rule, Policy:
		c.applyTrigger(j)
		return
	}
	if j.rel != nil && op.fills() {
		c.filled[j.rel] = true
	}
	switch op.Kind {
	case Opaque, "call_unknown":
		c.Incomplete = true
	case "create_table", "create_foreign_table", "create_table_shadowing", "create_partition", "create_partition_default_scan":
		c.createTable(op)
	case "create_table_as", "create_table_as_no_data", "create_table_as_empty", "create_materialized_view", "create_materialized_view_no_data", "create_materialized_view_empty":
		c.createTableAs(op)
		if r := c.rel(op.On); r != nil && (op.Kind == "create_table_as" || op.Kind == "create_materialized_view") {
			c.filled[r] = true
		}
	case "create_view", "replace_view", "replace_view_same":
		c.createView(op)
	case "create_index", "create_index_only", "create_unique_index", "create_index_concurrently", "create_unique_index_concurrently":
		if j.rel != nil {
			c.createIndex(j.rel, *op.Index, nil)
		}
	case "drop_index", "drop_index_concurrently", "drop_unique_index", "drop_unique_index_concurrently":
		if i := c.index(op.On); i != nil {
			c.dropIndex(i)
		}
	case "drop_table", "drop_view", "drop_materialized_view", "drop_sequence", "drop_foreign_table":
		if j.rel != nil {
			c.noteLost(j, lost{object: j.rel.object(j.rel.kind), shape: j.rel})
			c.dropRelation(j.rel, op.Flags.Has(Cascade))
		}
	case "rename_table", "rename_view", "rename_materialized_view", "rename_sequence", "rename_foreign_table":
		if j.rel != nil {
			c.noteLost(j, lost{object: j.rel.object(j.rel.kind), shape: j.rel})
			c.move(j.rel, j.rel.schema, op.To)
		}
	case "set_schema_table", "set_schema_view", "set_schema_materialized_view", "set_schema_sequence", "set_schema_foreign_table":
		if j.rel != nil {
			c.noteLost(j, lost{object: j.rel.object(j.rel.kind), shape: j.rel})
			c.move(j.rel, op.To, j.rel.name)
		}
	case "rename_index":
		if i := c.index(Object{Schema: op.On.Schema, Relation: op.On.Relation}); i != nil {
			c.renameIndex(i, op.To)
		}
	case "create_sequence":
		s := c.newRel(op.On, Sequence)
		s.temporary = op.Flags.Has(Temporary)
		c.own(s, op.Ref)
	case "alter_sequence_owner":
		if j.rel != nil {
			c.own(j.rel, op.Ref)
		}
	default:
		if !c.applyTable(j) {
			c.applyObject(j)
		}
	}
}

// fills reports whether an operation brings rows into its table: by writing them, or with a partition that holds them.
func (op *Operation) fills() bool {
	k := string(op.Kind)
	return slices.ContainsFunc([]string{"insert", "upsert", "merge", "copy_from", "attach_partition", "refresh_materialized_view", "restart_sequence", "set_sequence"}, func(p string) bool { return strings.HasPrefix(k, p) })
}

// lose notes that something happened to an object that the catalog does not have: it did not see the beginning.
func (c *Catalog) lose(Object) { c.Incomplete = true }

func (c *Catalog) noteLost(j *judgement, l lost) {
	if l.shape != nil {
		inside := *l.shape.open()
		inside.columns = slices.Clone(inside.columns)
		shape := *l.shape
		shape.inside = &inside
		l.shape = &shape
	}
	l.op = op{span: j.Span, kind: j.Kind, on: j.On}
	c.gone = append(c.gone, l)
}

func (c *Catalog) newRel(o Object, kind ObjectKind) *rel {
	r := c.store.add(&rel{schema: c.schemaFor(o.Schema), name: o.Relation, kind: kind, born: c.step})
	r.inside.owner = c.role
	c.relations[key(r.schema, r.name)] = r
	c.touched++
	return r
}

func (c *Catalog) createTable(op *Operation) {
	def := op.Table
	r := c.newRel(op.On, Table)
	if def.Temporary {
		delete(c.relations, key(r.schema, r.name))
		r.schema, r.temporary = "pg_temp", true
		c.relations[key(r.schema, r.name)] = r
	}
	if def.Foreign {
		r.open().foreign = def.Server
		r.kind = ForeignTable
	}
	r.unlogged, r.partitioned, r.open().key = def.Unlogged, def.Strategy, def.PartitionKey
	if def.OfType.Name != "" {
		if t := c.typ(def.OfType); t != nil {
			r.open().ofType = key(t.schema, t.name)
			for i := range t.Attributes {
				c.addColumn(r, &t.Attributes[i])
			}
		} else {
			r.unfollowed = true
		}
	}
	for _, o := range def.Inherits {
		c.inherit(r, c.rel(o), nil)
	}
	if !def.PartitionOf.IsZero() {
		c.inherit(r, c.rel(def.PartitionOf), def.Bound)
	}
	for _, l := range def.Likes {
		c.like(r, l)
	}
	for i := range def.Columns {
		if k := r.column(def.Columns[i].Name); k != nil {
			k.notNull = k.notNull || def.Columns[i].NotNull
			if def.Columns[i].Default != nil {
				k.def = def.Columns[i].Default
			}
			continue
		}
		c.addColumn(r, &def.Columns[i])
	}
	for i := range def.Columns {
		for _, k := range def.Columns[i].Constraints {
			c.addConstraint(r, k)
		}
	}
	for _, k := range def.Constraints {
		c.addConstraint(r, k)
	}
}

func (c *Catalog) addColumn(r *rel, def *ColumnDef) {
	k := &col{
		name: def.Name, typ: c.store.typeOf(def.Type), notNull: def.NotNull, def: def.Default, identity: def.Identity,
		generated: def.Generated, expression: def.Expression, serial: def.Serial, born: c.step, collation: def.Collation,
	}
	if def.Type.Like != "" {
		k.typ = c.store.typeOf(c.typeLike(def.Type.Like))
	}
	if t := c.typ(def.Type); t != nil && t.Form == "domain" {
		k.notNull = k.notNull || c.notNullDomain(t)
		if k.def == nil {
			k.def = t.Default
		}
	}
	r.open().columns = append(r.open().columns, k)
	if def.Serial || def.Identity != 0 {
		s := c.addSequence(r, def.Name, def.Identity, nil)
		if def.Serial {
			k.def = &Expr{Functions: []FunctionUse{{Name: "nextval", Args: 1, Literal: s.schema + "." + s.name}}}
		}
	}
}

// addSequence makes the sequence behind a column. Names are its schema and name where the statement gives them.
func (c *Catalog) addSequence(r *rel, column string, identity byte, names []string) *rel {
	schema := r.schema
	var name string
	switch len(names) {
	case 0:
		name = c.freeName(r.name, column, "seq", func(name string) bool { return c.relations[key(r.schema, name)] != nil })
	case 1:
		name = names[0]
	default:
		schema, name = names[0], names[1]
	}
	s := c.store.add(&rel{schema: schema, name: name, kind: Sequence, born: c.step, ownerTable: r, ownerColumn: column, identity: identity, temporary: r.temporary})
	c.relations[key(s.schema, s.name)] = s
	r.sequences = append(r.sequences, s)
	return s
}

// typeLike gives the type of `table.column%TYPE`.
func (c *Catalog) typeLike(path string) TypeName {
	parts := strings.Split(path, ".")
	if n := len(parts); n >= 2 {
		o := Object{Relation: parts[n-2]}
		if n > 2 {
			o.Schema = parts[n-3]
		}
		if r := c.rel(o); r != nil {
			if k := r.column(parts[n-1]); k != nil {
				return k.typ.TypeName
			}
		}
	}
	return TypeName{Like: path}
}

func (c *Catalog) inherit(r, parent *rel, b *PartitionBound) {
	if parent == nil || slices.Contains(r.family(false), parent) {
		r.unfollowed = true
		c.lose(Object{})
		return
	}
	r.open().bound = b
	r.open().parents = append(r.open().parents, parent)
	parent.open().children = append(parent.open().children, r)
	for _, k := range parent.open().columns {
		if r.column(k.name) == nil {
			copied := *k
			copied.born = c.step
			r.open().columns = append(r.open().columns, &copied)
		}
	}
	for _, k := range slices.Clone(parent.open().constraints) {
		if k.Type == CheckConstraint && !k.NoInherit || k.Type == ForeignKeyConstraint && b != nil {
			if r.constraint(k.Name) == nil {
				c.addInherited(r, k)
			}
		}
	}
	if b == nil {
		return
	}
	for _, i := range slices.Clone(parent.open().indexes) {
		c.indexPartition(i, r)
	}
}

func (c *Catalog) addInherited(r *rel, k *con) {
	copied := *k
	copied.table, copied.inherited, copied.index = r, true, nil
	r.open().constraints = append(r.open().constraints, &copied)
	if copied.ref != nil {
		r.refer(copied.ref)
	}
}

func (c *Catalog) like(r *rel, l LikeDef) {
	from := c.rel(l.Table)
	if from == nil {
		r.unfollowed = true
		return
	}
	for _, k := range from.open().columns {
		copied := col{name: k.name, typ: k.typ, notNull: k.notNull, born: c.step, collation: k.collation}
		if l.Defaults {
			copied.def = k.def
		}
		if l.Identity {
			copied.identity = k.identity
		}
		if l.Generated {
			copied.generated, copied.expression = k.generated, k.expression
		}
		r.open().columns = append(r.open().columns, &copied)
	}
	for _, k := range from.open().constraints {
		if k.Type == CheckConstraint && l.Constraints {
			c.addConstraint(r, k.ConstraintDef)
		}
	}
	if !l.Indexes {
		return
	}
	for _, i := range slices.Clone(from.open().indexes) {
		if i.constraint != nil {
			def := i.constraint.ConstraintDef
			def.Name, def.Index = "", ""
			c.addConstraint(r, def)
			continue
		}
		def := i.IndexDef
		def.Name = ""
		c.createIndex(r, def, nil)
	}
}

func (c *Catalog) addConstraint(r *rel, def ConstraintDef) *con {
	if def.Name == "" {
		def.Name = c.constraintName(r, &def)
	}
	k := &con{ConstraintDef: def, table: r, valid: !def.NotValid && !def.NotEnforced, born: c.step}
	r.open().constraints = append(r.open().constraints, k)
	switch def.Type {
	case PrimaryKeyConstraint:
		for _, name := range def.Columns {
			if each := r.column(name); each != nil {
				each.notNull = true
			}
		}
	case NotNullConstraint:
		for _, name := range def.Columns {
			if each := r.column(name); each != nil && k.valid {
				each.notNull = true
			}
		}
	case ForeignKeyConstraint:
		k.ref = c.rel(def.Ref)
		if k.ref != nil {
			r.refer(k.ref)
		}
	}
	switch def.Type {
	case PrimaryKeyConstraint, UniqueConstraint, ExclusionConstraint:
		if i := c.indexOf[key(r.schema, def.Index)].index(def.Index); def.Index != "" && i != nil {
			k.index, i.constraint = i, k
			if len(k.Columns) == 0 {
				k.Columns = i.Columns
			}
			for _, name := range k.Columns {
				if each := r.column(name); each != nil && def.Type == PrimaryKeyConstraint {
					each.notNull = true
				}
			}
			c.renameIndex(i, def.Name)
			break
		}
		idx := IndexDef{Name: def.Name, Columns: def.Columns, Keys: len(def.Columns), Unique: def.Type != ExclusionConstraint, NullsNotDistinct: def.NullsNotDistinct}
		k.index = c.createIndex(r, idx, k)
	}
	return k
}

func (c *Catalog) createIndex(r *rel, def IndexDef, k *con) *index {
	if def.Name == "" {
		def.Name = c.indexName(r, &def)
	}
	i := &index{IndexDef: def, schema: r.schema, table: r, born: c.step, constraint: k}
	c.indexOf[key(i.schema, i.Name)] = r
	r.open().indexes = append(r.open().indexes, i)
	if r.partitioned != 0 {
		for _, child := range r.open().children {
			c.indexPartition(i, child)
		}
	}
	return i
}

// indexPartition gives a partition its part of the parent's index.
func (c *Catalog) indexPartition(i *index, child *rel) {
	for _, own := range child.open().indexes {
		if own.parent == nil && own.Unique == i.Unique && slices.Equal(own.Columns, i.Columns) && len(own.Expressions) == 0 && len(i.Expressions) == 0 {
			own.parent = i
			return
		}
	}
	def := i.IndexDef
	def.Name = ""
	made := c.createIndex(child, def, nil)
	made.parent = i
	if i.constraint != nil {
		k := i.constraint.ConstraintDef
		k.Name = made.Name
		k.Index = made.Name
		con := &con{ConstraintDef: k, table: child, valid: true, index: made, born: c.step, inherited: true}
		made.constraint = con
		child.open().constraints = append(child.open().constraints, con)
		if k.Type == PrimaryKeyConstraint {
			for _, name := range k.Columns {
				if each := child.column(name); each != nil {
					each.notNull = true
				}
			}
		}
	}
}

func (c *Catalog) renameIndex(i *index, name string) {
	if name == "" || i.Name == name {
		return
	}
	delete(c.indexOf, key(i.schema, i.Name))
	i.Name = name
	c.indexOf[key(i.schema, name)] = i.table
	if i.constraint != nil {
		i.constraint.Name = name
	}
}

func (c *Catalog) dropIndex(i *index) {
	delete(c.indexOf, key(i.schema, i.Name))
	i.table.open().indexes = without(i.table.open().indexes, i)
	if i.constraint != nil {
		i.table.open().constraints = without(i.table.open().constraints, i.constraint)
	}
	for _, child := range i.table.open().children {
		for _, own := range slices.Clone(child.open().indexes) {
			if own.parent == i {
				c.dropIndex(own)
			}
		}
	}
}

func without[T comparable](list []T, one T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(x T) bool { return x == one })
}

func (c *Catalog) dropConstraint(r *rel, k *con) {
	r.open().constraints = without(r.open().constraints, k)
	r.unrefer(k.ref)
	if k.index != nil {
		i := k.index
		i.constraint = nil
		c.dropIndex(i)
	}
	if k.Type == NotNullConstraint {
		for _, name := range k.Columns {
			if each := r.column(name); each != nil {
				each.notNull = false
			}
		}
	}
	for _, child := range r.open().children {
		if inherited := child.constraint(k.Name); inherited != nil && inherited.inherited {
			c.dropConstraint(child, inherited)
		}
	}
}

func (c *Catalog) dropRelation(r *rel, cascade bool) {
	if r.dropped {
		return
	}
	c.store.forget(r)
	if c.relations[key(r.schema, r.name)] == r {
		delete(c.relations, key(r.schema, r.name))
	}
	for _, i := range r.open().indexes {
		delete(c.indexOf, key(i.schema, i.Name))
	}
	for _, k := range r.open().constraints {
		r.unrefer(k.ref)
	}
	for _, k := range r.references() {
		c.dropConstraint(k.table, k)
	}
	for _, p := range r.open().parents {
		p.open().children = without(p.open().children, r)
	}
	for _, child := range slices.Clone(r.open().children) {
		if r.partitioned != 0 || cascade {
			c.dropRelation(child, cascade)
		} else {
			child.open().parents = without(child.open().parents, r)
		}
	}
	for _, below := range r.open().reads {
		below.open().readBy = without(below.open().readBy, r)
	}
	if cascade {
		for _, v := range slices.Clone(r.open().readBy) {
			c.dropRelation(v, true)
		}
	}
	for _, s := range r.sequences {
		c.store.forget(s)
		delete(c.relations, key(s.schema, s.name))
	}
	if r.ownerTable != nil {
		r.ownerTable.sequences = without(r.ownerTable.sequences, r)
	}
	for _, p := range c.publications {
		p.tables = without(p.tables, r)
	}
}

// move gives a relation another name or schema; its indexes and owned sequences go with it to another schema.
func (c *Catalog) move(r *rel, schema, name string) {
	delete(c.relations, key(r.schema, r.name))
	if schema != r.schema {
		for _, i := range r.open().indexes {
			delete(c.indexOf, key(i.schema, i.Name))
			i.schema = schema
			c.indexOf[key(schema, i.Name)] = r
		}
		for _, s := range r.sequences {
			delete(c.relations, key(s.schema, s.name))
			s.schema = schema
			c.relations[key(schema, s.name)] = s
		}
	}
	r.schema, r.name = schema, name
	c.relations[key(schema, name)] = r
}

func (c *Catalog) own(s *rel, o Object) {
	if s.ownerTable != nil {
		s.ownerTable.sequences = without(s.ownerTable.sequences, s)
	}
	s.ownerTable, s.ownerColumn = c.rel(o), o.Column
	if s.ownerTable != nil {
		s.ownerTable.sequences = append(s.ownerTable.sequences, s)
	}
}

func (c *Catalog) createTableAs(op *Operation) {
	kind := Table
	if strings.HasPrefix(string(op.Kind), "create_materialized_view") {
		kind = MatView
	}
	r := c.newRel(op.On, kind)
	if op.Table != nil && op.Table.Temporary {
		delete(c.relations, key(r.schema, r.name))
		r.schema, r.temporary = "pg_temp", true
		c.relations[key(r.schema, r.name)] = r
	}
	c.outputs(r, op.Query)
	if op.Table != nil {
		r.unlogged = op.Table.Unlogged
		for i, name := range op.Table.ColumnList {
			if i < len(r.open().columns) {
				r.open().columns[i].name = name
			}
		}
	}
	if kind == MatView {
		c.readsOf(r, op.Query)
	}
}

func (c *Catalog) createView(op *Operation) {
	old := c.relations[key(c.schemaFor(op.On.Schema), op.On.Relation)]
	r := old
	if old == nil || !op.Flags.Has(Replace) {
		r = c.newRel(op.On, View)
		r.temporary = op.Table != nil && op.Table.Temporary
	} else {
		for _, below := range old.open().reads {
			below.open().readBy = without(below.open().readBy, old)
		}
		r.open().columns, r.open().reads = nil, nil
	}
	r.open().options = op.Names
	c.outputs(r, op.Query)
	c.readsOf(r, op.Query)
}

func (c *Catalog) readsOf(r *rel, q *QueryDef) {
	r.open().query = q
	for _, o := range q.Reads {
		if below := c.rel(o); below != nil && below != r && !slices.Contains(r.open().reads, below) {
			r.open().reads = append(r.open().reads, below)
			below.open().readBy = append(below.open().readBy, r)
		}
	}
}

// outputs gives the relation the columns of its query, their types where they are known.
func (c *Catalog) outputs(r *rel, q *QueryDef) {
	if q == nil {
		r.unfollowed = true
		return
	}
	for _, o := range q.Outputs {
		source := c.rel(o.Column)
		if o.Star {
			if source == nil && len(q.Reads) == 1 {
				source = c.rel(q.Reads[0])
			}
			if source == nil {
				r.unfollowed = true
				continue
			}
			for _, k := range source.open().columns {
				r.open().columns = append(r.open().columns, &col{name: k.name, typ: k.typ, born: c.step})
			}
			continue
		}
		k := &col{name: o.Name, typ: c.store.typeOf(o.Type), born: c.step}
		if source != nil && o.Type.Name == "" {
			if from := source.column(o.Column.Column); from != nil {
				k.typ = from.typ
			}
		}
		r.open().columns = append(r.open().columns, k)
	}
}
