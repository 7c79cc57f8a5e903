package phases

import (
	"slices"
	"strings"
)

// reach adds the locks on relations that only the catalog knows, and the operations that come along unasked.
func (j *judgement) reach() {
	if j.absent {
		return
	}
	c, r := j.c, j.rel
	switch j.Kind {
	case "drop_column":
		j.dropsWithColumn()
	case "drop_table", "drop_foreign_table":
		if r != nil {
			for _, each := range r.family(!j.Flags.Has(Cascade) && r.partitioned == 0) {
				j.lock(each, AccessExclusive)
				j.foreignKeyEnds(each)
				for _, k := range each.open().columns {
					for _, s := range each.ownedBy(k.name) {
						j.lock(s, AccessExclusive)
					}
				}
			}
			j.cascade(r)
		}
	case "drop_view", "drop_materialized_view":
		if r != nil {
			j.cascade(r)
		}
	case "drop_sequence":
		if r != nil && j.Flags.Has(Cascade) {
			for _, t := range c.sorted() {
				if slices.ContainsFunc(t.open().columns, func(k *col) bool { return k.def.draws(c, r) }) {
					j.lock(t, AccessExclusive)
				}
			}
		}
	case "drop_identity", "set_identity", "set_identity_always", "restart_identity":
		mode := ShareRowExclusive
		if j.Kind == "drop_identity" {
			mode = AccessExclusive
		}
		if r != nil {
			for _, s := range r.ownedBy(j.On.Column) {
				j.lock(s, mode)
			}
		}
	case "set_schema_table", "owner_table":
		if r != nil {
			for _, s := range r.sequences {
				j.lock(s, AccessExclusive)
			}
		}
	case "create_trigger", "create_trigger_harmless":
		if r != nil && r.partitioned != 0 && j.Trigger.Row {
			for _, each := range r.descendants() {
				j.lock(each, ShareRowExclusive)
			}
		}
	case "rename_type", "owner_type":
		j.lockRowType()
	case "drop_type", "drop_domain":
		j.lockRowType()
		if t := c.typ(TypeName{Schema: j.On.Schema, Name: j.On.Name}); t != nil && j.Flags.Has(Cascade) {
			for _, u := range c.users(t) {
				j.lock(u, AccessExclusive)
				j.columnsGo(u, func(k *col) bool { return c.typ(k.typ.TypeName) == t })
				for _, v := range u.readers() {
					j.lock(v, AccessExclusive)
				}
			}
			for _, all := range c.functions {
				for _, f := range all {
					if c.typ(f.Returns) == t || slices.ContainsFunc(f.Parameters, func(p Parameter) bool { return c.typ(p.Type) == t }) {
						j.along("drop_dependent", Object{Kind: Function, Schema: f.schema, Name: f.name})
					}
				}
			}
		}
	case "drop_schema":
		if j.Flags.Has(Cascade) {
			var rows []string
			for _, t := range c.types {
				if t.schema == j.On.Name && t.Form == "composite" && !c.fresh(t.born) {
					rows = append(rows, t.schema+"."+t.name)
				}
			}
			slices.Sort(rows)
			for _, name := range rows {
				j.lockName(name, AccessExclusive)
			}
			for _, each := range c.sorted() {
				if each.schema == j.On.Name {
					j.lock(each, AccessExclusive)
					j.foreignKeyEnds(each)
					if !c.fresh(each.born) {
						j.along("drop_dependent", each.object(each.kind))
					}
					for _, v := range each.readers() {
						j.lock(v, AccessExclusive)
						j.along("drop_dependent", v.object(v.kind))
					}
				}
			}
			for k, all := range c.functions {
				if k.schema == j.On.Name && len(all) > 0 {
					j.along("drop_dependent", Object{Kind: Function, Schema: k.schema, Name: k.name})
				}
			}
		}
	case "drop_extension":
		if j.Flags.Has(Cascade) {
			j.extensionUsers()
		}
	case "drop_function", "drop_procedure", "drop_routine", "drop_aggregate":
		if j.Flags.Has(Cascade) {
			j.functionUsers()
		}
	case "drop_server", "drop_foreign_data_wrapper":
		if j.Flags.Has(Cascade) {
			j.foreignTables(func(server string) bool { return server == j.On.Name || c.servers[server] == j.On.Name })
		}
	case "drop_owned":
		for _, each := range c.sorted() {
			if slices.Contains(j.Roles, each.open().owner) {
				j.lock(each, AccessExclusive)
				j.foreignKeyEnds(each)
			}
		}
	case "reassign_owned":
		for _, each := range c.sorted() {
			if slices.Contains(j.Roles, each.open().owner) {
				j.lock(each, AccessExclusive)
			}
		}
	case "drop_foreign_key":
		if r != nil && r.constraint(j.On.Name) != nil && r.constraint(j.On.Name).ref != nil {
			for _, each := range r.constraint(j.On.Name).ref.family(false) {
				j.lock(each, AccessExclusive)
			}
		}
	case "drop_primary_key", "drop_unique":
		if r != nil && j.Flags.Has(Cascade) {
			for _, k := range r.references() {
				j.lock(k.table, AccessExclusive)
			}
			for _, v := range r.readers() {
				j.lock(v, AccessExclusive)
			}
		}
	case "alter_column_type", "alter_column_type_widening", "alter_column_type_widening_rewrite", "alter_column_type_widening_scan",
		"alter_column_type_no_rewrite", "alter_column_type_no_rewrite_scan", "alter_column_type_using":
		j.typeEnds()
	case "truncate":
		if r != nil {
			for _, each := range c.truncated(r, j.Flags) {
				j.lock(each, AccessExclusive)
				for _, s := range each.sequences {
					if j.Text == "restart identity" {
						j.lock(s, AccessExclusive)
					}
				}
			}
		}
	case "lock_table":
		if r != nil {
			for _, each := range r.family(j.Flags.Has(Only)) {
				j.lock(each, j.Mode)
			}
			for _, below := range r.open().reads {
				j.lock(below, j.Mode)
			}
		} else {
			j.lockObject(j.On, j.Mode)
		}
		j.Effect.Lock = j.Mode
	case "attach_partition", "attach_partition_proven", "attach_partition_new", "attach_partition_default_scan":
		if child := c.rel(j.Ref); child != nil {
			for _, each := range child.family(false) {
				j.lock(each, AccessExclusive)
			}
		}
		if r != nil {
			j.lock(r.defaultPartition(), AccessExclusive)
			j.lockParentKeys(r)
			// A foreign key that the table has already is merged with the parent's.
			if child := c.rel(j.Ref); child != nil {
				for _, k := range r.open().constraints {
					if k.Type == ForeignKeyConstraint && slices.ContainsFunc(child.open().constraints, func(own *con) bool {
						return own.ref == k.ref && slices.Equal(own.Columns, k.Columns)
					}) {
						j.lock(k.ref, AccessExclusive)
					}
				}
			}
		}
	case "detach_partition":
		if r != nil {
			j.lock(r.defaultPartition(), AccessExclusive)
			for _, k := range r.references() {
				j.lock(k.table, AccessExclusive)
				j.Effect.Scan = true
			}
			for _, k := range r.open().constraints {
				if k.Type == ForeignKeyConstraint {
					j.lockFamily(k.ref, ShareRowExclusive)
				}
			}
			if child := c.rel(j.Ref); child != nil {
				for _, each := range child.family(false) {
					j.lock(each, AccessExclusive)
				}
			}
		}
	case "create_partition", "create_partition_default_scan":
		if parent := c.rel(j.Ref); parent != nil {
			j.lock(parent, AccessExclusive)
			j.lock(parent.defaultPartition(), AccessExclusive)
			j.lockParentKeys(parent)
			if c.fresh(parent.born) {
				j.Effect.Scan = false
			}
		}
		j.definitionLocks()
	case "create_table", "create_foreign_table", "create_table_shadowing":
		j.definitionLocks()
	case "rename_column", "rename_constraint", "rename_unique_constraint":
	case "add_foreign_key", "add_foreign_key_not_valid", "add_column_references", "add_foreign_key_with_default", "add_column_references_null":
		j.lockReferenced(j.Ref)
	case "add_unique", "add_primary_key", "add_exclusion":
		j.indexPartitions()
	case "add_check", "add_check_not_valid":
		// PostgreSQL 18 recurses for NO INHERIT too, if only to find that there is nothing to do.
		if r != nil && j.Constraint.NoInherit && c.Version < 18 {
			j.Locks = slices.DeleteFunc(j.Locks, func(l RelationLock) bool { return l.Relation != r.String() })
		}
	case "create_view", "replace_view", "replace_view_same", "create_materialized_view":
	case "refresh_materialized_view", "refresh_materialized_view_concurrently":
		if r != nil && r.open().query != nil {
			for _, o := range r.open().query.Reads {
				j.lockRead(o, AccessShare)
			}
		}
	case "create_statistics", "drop_statistics":
		t := c.rel(j.Ref)
		if t == nil {
			t = c.statistics[j.On.Name]
		}
		j.lock(t, ShareUpdateExclusive)
	case "vacuum", "analyze", "vacuum_full", "cluster_all":
		j.upkeep()
	case "reindex_schema", "reindex_database", "reindex_schema_concurrently", "reindex_database_concurrently":
		for _, each := range c.sorted() {
			if each.kind == Table && (j.On.Kind == Database || each.schema == j.On.Name) && each.partitioned == 0 {
				j.lock(each, j.desc.Effect.Lock)
			}
		}
	case "update", "update_all", "update_by_key", "delete", "delete_all", "delete_by_key", "merge", "merge_by_key", "insert", "insert_select", "upsert", "upsert_select", "copy_from", "copy_from_select":
		j.writeEnds()
	case "create_publication", "add_publication_table", "set_publication_tables", "create_publication_keyed", "add_publication_table_keyed", "set_publication_tables_keyed":
		if t := c.rel(j.Ref); t != nil {
			j.lock(t, ShareUpdateExclusive)
		}
		if p := c.publications[j.On.Name]; p != nil && strings.HasPrefix(string(j.Kind), "set_") {
			for _, t := range p.tables {
				j.lock(t, ShareUpdateExclusive)
			}
		}
	case "drop_publication_table":
		j.lock(c.rel(j.Ref), ShareUpdateExclusive)
	case "add_attribute", "drop_attribute", "alter_attribute_type", "rename_attribute":
		j.lockRowType()
		if t := c.typ(TypeName{Schema: j.On.Schema, Name: j.On.Name}); t != nil {
			for _, each := range c.sorted() {
				if each.open().ofType == key(t.schema, t.name) {
					j.lock(each, AccessExclusive)
				}
			}
		}
	case "drop_rule", "drop_rule_behaviour":
	case "create_rule", "create_rule_also":
		if j.Trigger != nil {
			for _, a := range j.Trigger.Actions {
				if a.On.Relation != "" {
					j.lockObject(a.On, RowExclusive)
				}
			}
		}
	}
}

// lockRowType locks a composite type, which is a relation of its own to PostgreSQL.
func (j *judgement) lockRowType() {
	t := j.c.typ(TypeName{Schema: j.On.Schema, Name: j.On.Name})
	if t != nil && t.Form == "composite" && !j.c.fresh(t.born) {
		j.lockName(t.schema+"."+t.name, AccessExclusive)
	}
}

// foreignKeyEnds locks the tables at the other ends of the relation's foreign keys.
func (j *judgement) foreignKeyEnds(r *rel) {
	for _, k := range r.open().constraints {
		if k.Type == ForeignKeyConstraint {
			j.lockFamily(k.ref, AccessExclusive)
		}
	}
	for _, k := range r.references() {
		j.lock(k.table, AccessExclusive)
	}
}

// lockFamily locks a relation that a foreign key points to with its partitions.
func (j *judgement) lockFamily(r *rel, mode Lock) {
	if r == nil {
		return
	}
	j.lock(r, mode)
	if r.partitioned != 0 {
		for _, each := range r.descendants() {
			j.lock(each, mode)
		}
	}
}

// cascade locks and lists what CASCADE takes with a relation.
func (j *judgement) cascade(r *rel) {
	if !j.Flags.Has(Cascade) {
		return
	}
	for _, v := range r.readers() {
		j.lock(v, AccessExclusive)
		j.along("drop_dependent", v.object(v.kind))
	}
	for _, child := range r.descendants() {
		if r.partitioned == 0 {
			j.along("drop_dependent", child.object(child.kind))
		}
	}
	for _, k := range r.references() {
		if k.table != r {
			j.along("drop_dependent_quietly", Object{Kind: Constraint, Schema: k.table.schema, Relation: k.table.name, Name: k.Name})
		}
	}
}

// along adds an operation that comes with this one.
func (j *judgement) along(kind Kind, o Object) {
	k := &judgement{c: j.c}
	k.Operation = Operation{Kind: kind, On: o, Span: j.Span}
	k.rel = j.c.rel(o)
	k.describe()
	if j.New || j.Why != "" || j.rel != nil && (j.rel.temporary || j.c.fresh(j.rel.born)) {
		k.Phase = Expand
	} else {
		k.takes()
	}
	j.extra = append(j.extra, k.AssessedOperation)
}

// dropsWithColumn lists what goes with a column without being named, and locks what hangs on it.
func (j *judgement) dropsWithColumn() {
	r := j.rel
	if r == nil {
		return
	}
	name := j.On.Column
	for _, k := range r.open().constraints {
		if !slices.Contains(k.Columns, name) {
			continue
		}
		kind := Kind("drop_dependent_quietly")
		switch k.Type {
		case PrimaryKeyConstraint:
			kind = "drop_dependent_primary_key"
		case UniqueConstraint, ExclusionConstraint:
			kind = "drop_dependent_unique"
		}
		if k.Type == ForeignKeyConstraint {
			j.lock(k.ref, AccessExclusive)
		}
		j.along(kind, Object{Kind: Constraint, Schema: r.schema, Relation: r.name, Name: k.Name})
		for _, f := range r.references() {
			if k.Type != ForeignKeyConstraint && sameSet(f.refColumns(), k.Columns) {
				j.lock(f.table, AccessExclusive)
			}
		}
	}
	for _, i := range r.open().indexes {
		if i.constraint == nil && i.mentions(name) {
			kind := Kind("drop_dependent_quietly")
			if i.Unique {
				kind = "drop_dependent_unique"
			}
			j.along(kind, Object{Kind: Index, Schema: r.schema, Relation: i.Name})
		}
	}
	for _, s := range r.ownedBy(name) {
		j.lock(s, AccessExclusive)
	}
	if j.Flags.Has(Cascade) {
		for _, v := range r.readers() {
			if v.usesColumn(r, name) {
				j.lock(v, AccessExclusive)
				j.along("drop_dependent", v.object(v.kind))
			}
		}
	}
}

// columnsGo takes the columns of a relation that CASCADE takes with their type, and the views that use them. A view goes
// whole.
func (j *judgement) columnsGo(r *rel, goes func(*col) bool) {
	taken := map[*rel]bool{}
	views := func(list []*rel, uses func(*rel) bool) {
		for _, v := range list {
			if !taken[v] && uses(v) {
				taken[v] = true
				j.along("drop_dependent", v.object(v.kind))
			}
		}
	}
	for _, k := range r.open().columns {
		switch {
		case !goes(k):
		case r.kind == View || r.kind == MatView:
			views([]*rel{r}, func(*rel) bool { return true })
			views(r.readers(), func(*rel) bool { return true })
		default:
			j.along("drop_column", Object{Kind: Column, Schema: r.schema, Relation: r.name, Column: k.name})
			views(r.readers(), func(v *rel) bool { return v.usesColumn(r, k.name) })
		}
	}
}

// usesColumn reports whether a view mentions the column, or a star that may stand for it.
func (r *rel) usesColumn(of *rel, name string) bool {
	return r.open().query == nil || slices.Contains(r.open().query.Columns, name) || slices.Contains(r.open().query.Columns, "*") || !slices.Contains(r.open().reads, of)
}

// typeEnds locks the tables at the other ends of the foreign keys that the column takes part in.
func (j *judgement) typeEnds() {
	if j.rel == nil {
		return
	}
	for _, each := range j.rel.family(j.Flags.Has(Only)) {
		for _, k := range each.open().constraints {
			if k.Type == ForeignKeyConstraint && slices.Contains(k.Columns, j.On.Column) {
				j.lockFamily(k.ref, AccessExclusive)
			}
		}
		for _, k := range each.references() {
			if slices.Contains(k.refColumns(), j.On.Column) {
				j.lock(k.table, AccessExclusive)
			}
		}
	}
}

// refColumns are the columns that a foreign key points to: those of the primary key where it names none.
func (k *con) refColumns() []string {
	if len(k.RefColumns) > 0 || k.ref == nil {
		return k.RefColumns
	}
	if pk := k.ref.primaryKey(); pk != nil {
		return pk.Columns
	}
	return nil
}

// truncated gives the tables that TRUNCATE empties: the descendants, and with CASCADE whoever refers to them.
func (c *Catalog) truncated(r *rel, flags Flags) []*rel {
	out := r.family(flags.Has(Only))
	if !flags.Has(Cascade) {
		return out
	}
	for i := 0; i < len(out); i++ {
		for _, k := range out[i].references() {
			for _, each := range k.table.family(false) {
				if !slices.Contains(out, each) {
					out = append(out, each)
				}
			}
		}
	}
	return out
}

// definitionLocks are those of CREATE TABLE: on what its foreign keys point to and what it inherits from.
func (j *judgement) definitionLocks() {
	def := j.Table
	if def == nil {
		return
	}
	for i := range def.Constraints {
		j.lockReferenced(foreignRef(&def.Constraints[i]))
	}
	for i := range def.Columns {
		for k := range def.Columns[i].Constraints {
			j.lockReferenced(foreignRef(&def.Columns[i].Constraints[k]))
		}
	}
	for _, o := range def.Inherits {
		j.lockObject(o, ShareUpdateExclusive)
	}
	for _, l := range def.Likes {
		j.lockObject(l.Table, AccessShare)
	}
}

// lockReferenced locks what a new foreign key points to, with its partitions.
func (j *judgement) lockReferenced(o Object) {
	j.lockObject(o, ShareRowExclusive)
	if o.Relation != "" {
		j.lockFamily(j.c.rel(o), ShareRowExclusive)
	}
}

func foreignRef(def *ConstraintDef) Object {
	if def.Type == ForeignKeyConstraint {
		return def.Ref
	}
	return Object{}
}

// lockParentKeys locks what a partitioned table's foreign keys point to, because a new partition gets them too.
func (j *judgement) lockParentKeys(parent *rel) {
	for _, k := range parent.open().constraints {
		if k.Type == ForeignKeyConstraint {
			j.lockFamily(k.ref, ShareRowExclusive)
		}
	}
	if j.c.Version >= keyLocksSince {
		for _, k := range parent.references() {
			j.lock(k.table, ShareRowExclusive)
		}
	}
}

// keyLocksSince is the first version that locks the tables that refer to a partitioned table when it gets a partition.
const keyLocksSince = 15

// indexPartitions corrects the locks of a key on a partitioned table: before 18 the partitions are only indexed.
func (j *judgement) indexPartitions() {
	if j.rel == nil || j.rel.partitioned == 0 || j.c.Version >= 18 {
		return
	}
	for i := range j.Locks {
		if j.Locks[i].Relation != j.rel.String() {
			j.Locks[i].Mode = Share
		}
	}
}

// writeEnds locks the tables that a write reaches by foreign keys with actions, and below a view.
func (j *judgement) writeEnds() {
	if j.rel == nil {
		return
	}
	verb := ""
	if len(j.Query.Writes) > 0 {
		verb = j.Query.Writes[0].Verb
	}
	if j.rel.kind == View {
		for _, below := range j.rel.open().reads {
			j.lock(below, RowExclusive)
		}
	}
	if verb == "delete" {
		for _, k := range j.rel.references() {
			if k.OnDelete == 'c' || k.OnDelete == 'n' || k.OnDelete == 'd' {
				j.lock(k.table, RowExclusive)
			}
		}
	}
}

// upkeep locks every table where VACUUM or ANALYZE names none.
func (j *judgement) upkeep() {
	mode := j.desc.Effect.Lock
	if !j.Flags.Has(AllObjects) && j.Kind != "cluster_all" {
		if j.rel != nil && j.Kind != "analyze" {
			for _, each := range j.rel.descendants() {
				j.lock(each, mode)
			}
		}
		return
	}
	for _, each := range j.c.sorted() {
		if each.kind == Table || each.kind == MatView {
			j.lock(each, mode)
		}
	}
}

// draws reports whether a default draws from the sequence.
func (e *Expr) draws(c *Catalog, seq *rel) bool {
	if e == nil {
		return false
	}
	return slices.ContainsFunc(e.Functions, func(f FunctionUse) bool {
		return f.Name == "nextval" && c.rel(sequenceOf(f.Literal)) == seq
	})
}

// sequenceOf reads the name that nextval and setval are given as text.
func sequenceOf(text string) Object {
	parts := strings.Split(strings.ReplaceAll(text, `"`, ""), ".")
	o := Object{Kind: Sequence, Relation: parts[len(parts)-1]}
	if len(parts) > 1 {
		o.Schema = parts[len(parts)-2]
	}
	return o
}

// functionUsers locks and lists what CASCADE takes with a function: defaults, generated columns, constraints, indexes,
// triggers, policies and views.
func (j *judgement) functionUsers() {
	name := j.On.Name
	uses := func(e *Expr) bool {
		return e != nil && slices.ContainsFunc(e.Functions, func(f FunctionUse) bool { return f.Name == name })
	}
	for _, r := range j.c.sorted() {
		found := false
		goes := func(kind Kind, o Object) {
			found = true
			o.Schema, o.Relation = r.schema, r.name
			j.along(kind, o)
		}
		for _, i := range r.open().indexes {
			if uses(i.Where) || slices.ContainsFunc(i.Expressions, uses) {
				found = true
				if i.Unique {
					j.along("drop_dependent_unique", Object{Kind: Index, Schema: r.schema, Relation: i.Name})
				}
			}
		}
		for _, k := range r.open().columns {
			switch {
			case uses(k.expression):
				goes("drop_column", Object{Kind: Column, Column: k.name})
			case uses(k.def):
				goes("drop_default", Object{Kind: Column, Column: k.name})
			}
		}
		for _, k := range r.open().constraints {
			found = found || uses(k.Expr)
		}
		for _, t := range r.open().triggers {
			if t.Function.Name == name {
				goes("drop_trigger", Object{Kind: Trigger, Name: t.name})
			}
		}
		for _, p := range r.open().policies {
			if uses(p.Using) || uses(p.Check) {
				goes("drop_policy", Object{Kind: Policy, Name: p.name})
			}
		}
		if r.open().query != nil && slices.ContainsFunc(r.open().query.Functions, func(f FunctionUse) bool { return f.Name == name }) {
			goes("drop_dependent", Object{Kind: r.kind})
		}
		if found {
			j.lock(r, AccessExclusive)
			for _, v := range r.readers() {
				if r.kind == View {
					j.lock(v, AccessExclusive)
					j.along("drop_dependent", v.object(v.kind))
				}
			}
		}
	}
}

// extensionUsers locks the tables with a type, an operator class or a function of the extension.
func (j *judgement) extensionUsers() {
	ext := j.On.Name
	for _, r := range j.c.sorted() {
		typed := slices.ContainsFunc(r.open().columns, func(k *col) bool { return extensionOfType(k.typ.Name) == ext })
		indexed := slices.ContainsFunc(r.open().indexes, func(i *index) bool {
			return slices.ContainsFunc(i.OpClasses, func(class string) bool { return extensionOfClass(class) == ext })
		})
		foreign := r.open().foreign != "" && j.c.servers[r.open().foreign] == ext
		if foreign {
			j.along("drop_dependent", r.object(r.kind))
		}
		j.columnsGo(r, func(k *col) bool { return extensionOfType(k.typ.Name) == ext })
		if typed || indexed || foreign {
			j.lock(r, AccessExclusive)
			for _, v := range r.readers() {
				j.lock(v, AccessExclusive)
			}
		}
	}
}

// foreignTables locks the foreign tables of the servers that are meant.
func (j *judgement) foreignTables(meant func(server string) bool) {
	for _, r := range j.c.sorted() {
		if r.open().foreign != "" && meant(r.open().foreign) {
			j.lock(r, AccessExclusive)
			j.along("drop_dependent", r.object(r.kind))
			for _, v := range r.readers() {
				j.lock(v, AccessExclusive)
			}
		}
	}
}
