package phases

import (
	"slices"
	"strings"
)

func (j *judgement) refineRelation() {
	c := j.c
	switch j.Kind {
	case "create_table":
		if c.shadows(j.On) {
			j.Kind = "create_table_shadowing"
		}
	case "create_partition":
		j.rel = nil
		if parent := c.rel(j.Ref); parent != nil {
			if d := parent.defaultPartition(); d != nil && !c.fresh(d.born) && !d.excludes(parent, j.Table.Bound) && !j.Table.Bound.Default {
				j.Kind = "create_partition_default_scan"
			}
		}
	case "create_index", "create_unique_index", "create_index_concurrently", "create_unique_index_concurrently":
		j.refineIndex()
	case "drop_index", "drop_index_concurrently":
		if i := c.index(j.On); i == nil || i.Unique {
			j.Kind = Kind(strings.Replace(string(j.Kind), "drop_index", "drop_unique_index", 1))
			if i != nil && c.fresh(i.born) {
				j.Why = "the index was made in the same run"
			}
			if i != nil && i.table.kind == MatView {
				j.Why = "no statement names the unique index of a materialized view"
			}
		}
	case "create_view":
		j.refineView()
	case "attach_partition":
		j.refineAttach()
	case "rename_table", "rename_view", "rename_materialized_view":
		if j.rel == nil {
			if _, ok := lookup(c, c.indexOf, j.On.Schema, j.On.Relation); ok {
				j.Kind = "rename_index"
				j.rel = c.index(Object{Kind: Index, Schema: j.On.Schema, Relation: j.On.Relation}).table
				return
			}
		}
		j.renamed()
	case "owner_table", "owner_view", "owner_materialized_view", "owner_sequence", "owner_foreign_table":
		if j.rel != nil && j.rel.open().owner != "" && j.rel.open().owner == j.To {
			j.Why = "the owner stays"
		}
	case "reindex_index", "reindex_table":
		r := j.rel
		if r != nil && r.partitioned != 0 && j.On.Kind == Table || j.On.Kind == Index && r != nil && r.partitioned != 0 {
			j.Kind += "_partitioned"
		}
	case "cluster":
		if j.rel != nil && j.rel.partitioned != 0 {
			j.Kind = "cluster_partitioned"
		}
	case "set_logged", "set_unlogged":
		if j.rel != nil && j.rel.unlogged == (j.Kind == "set_unlogged") {
			j.Kind += "_already"
		}
	case "set_access_method":
		if j.To == "heap" {
			j.Kind = "set_access_method_already"
		}
	case "set_tablespace":
		if j.To == "pg_default" {
			j.To = ""
		}
		if j.rel != nil && j.rel.partitioned != 0 {
			j.Kind = "set_partitioned_tablespace"
		} else if j.rel != nil && j.rel.open().tablespace == j.To {
			j.Kind = "set_tablespace_already"
		}
	case "enable_row_security":
		if j.rel != nil && j.rel.rls {
			j.Why = "row security is on already"
		}
	case "force_row_security":
		if j.rel != nil && !j.rel.rls {
			j.Why = "row security is off"
		}
	case "disable_row_security":
	case "replica_identity":
		if j.Text == "d" && j.rel != nil && j.rel.primaryKey() != nil || j.Text == "i" || j.Text == "f" || !c.published(j.rel) && c.known() {
			j.Kind = "replica_identity_kept"
		}
	case "inherit", "no_inherit":
	case "alter_sequence_bounds":
	case "restart_sequence":
	case "lock_table":
	case "grant", "revoke":
		j.refineRevoke()
	case "refresh_materialized_view", "refresh_materialized_view_concurrently":
		if j.Flags.Has(NoData) {
			j.Kind = "empty_materialized_view"
		}
	case "update", "delete", "update_all", "delete_all", "merge", "insert", "upsert", "copy_from", "select", "copy_to", "create_table_as":
		j.refineData()
	case "create_materialized_view":
		j.refineData()
	case "set_view_options":
		if !slices.ContainsFunc(j.Names, func(n string) bool { return n == "check_option" || n == "security_invoker" }) {
			j.Why = "the option changes plans only"
		}
	}
}

// shadows reports whether a new table hides an older one of the same name from code that does not qualify it.
func (c *Catalog) shadows(o Object) bool {
	schema := c.schemaFor(o.Schema)
	at := slices.Index(c.defaultPath, schema)
	if at < 0 && !c.roles[schema] {
		return false
	}
	for _, s := range c.defaultPath[at+1:] {
		if r, ok := c.relations[key(s, o.Relation)]; ok && !c.fresh(r.born) && s != schema {
			return true
		}
	}
	return false
}

// excludes reports whether a CHECK of the default partition proves that it holds no row of the bound.
func (r *rel) excludes(parent *rel, b *PartitionBound) bool {
	if b == nil || len(parent.open().key) != 1 {
		return false
	}
	column := parent.open().key[0]
	for _, k := range r.open().constraints {
		if k.Type != CheckConstraint || !k.valid || k.Expr == nil {
			continue
		}
		if covers(k.Expr.Outside, column, b) {
			return true
		}
		for _, g := range k.Expr.Ranges {
			if g.Column != column || len(g.Values) == 0 {
				continue
			}
			if len(b.Lower) == 1 && len(b.Upper) == 1 {
				switch g.Op {
				case "<":
					if b.Lower[0] != "MINVALUE" && compareLiterals(g.Values[0], b.Lower[0]) <= 0 {
						return true
					}
				case ">=":
					if b.Upper[0] != "MAXVALUE" && compareLiterals(g.Values[0], b.Upper[0]) >= 0 {
						return true
					}
				}
			}
		}
	}
	return false
}

// covers reports whether every row of the bound meets all of the comparisons.
func covers(list []Range, column string, b *PartitionBound) bool {
	for _, g := range list {
		if g.Column != column || len(g.Values) == 0 || len(b.Lower) != 1 || len(b.Upper) != 1 {
			return false
		}
		holds := false
		switch g.Op {
		case ">=":
			holds = b.Lower[0] != "MINVALUE" && compareLiterals(b.Lower[0], g.Values[0]) >= 0
		case ">":
			holds = b.Lower[0] != "MINVALUE" && compareLiterals(b.Lower[0], g.Values[0]) > 0
		case "<":
			holds = b.Upper[0] != "MAXVALUE" && compareLiterals(b.Upper[0], g.Values[0]) <= 0
		case "<=":
			holds = b.Upper[0] != "MAXVALUE" && compareLiterals(b.Upper[0], g.Values[0]) <= 0
		}
		if !holds {
			return false
		}
	}
	return len(list) > 0
}

// within reports whether valid CHECKs of the relation prove that all of its rows are inside the bound.
func (r *rel) within(parent *rel, b *PartitionBound) bool {
	if b == nil || b.Default || len(parent.open().key) != 1 {
		return false
	}
	column := parent.open().key[0]
	notNull := r.column(column).isNotNull()
	lower, upper, list := false, false, false
	for _, k := range r.open().constraints {
		if k.Type != CheckConstraint || !k.valid || k.Expr == nil {
			continue
		}
		notNull = notNull || slices.Contains(k.Expr.NotNull, column)
		for _, g := range k.Expr.Ranges {
			if g.Column != column || len(g.Values) == 0 {
				continue
			}
			if len(b.Lower) == 1 && (g.Op == ">=" || g.Op == ">" || g.Op == "=") && (b.Lower[0] == "MINVALUE" || compareLiterals(g.Values[0], b.Lower[0]) >= 0) {
				lower = true
			}
			if len(b.Upper) == 1 && (g.Op == "<" && compareLiterals(g.Values[0], b.Upper[0]) <= 0 || (g.Op == "<=" || g.Op == "=") && compareLiterals(g.Values[0], b.Upper[0]) < 0 || b.Upper[0] == "MAXVALUE") {
				upper = true
			}
			if len(b.List) > 0 && (g.Op == "=" || g.Op == "in") && !slices.ContainsFunc(g.Values, func(v string) bool { return !slices.Contains(b.List, v) }) {
				list = true
			}
		}
	}
	if len(b.List) > 0 {
		return list && notNull
	}
	return notNull && (lower || len(b.Lower) == 1 && b.Lower[0] == "MINVALUE") && (upper || len(b.Upper) == 1 && b.Upper[0] == "MAXVALUE")
}

func (j *judgement) refineAttach() {
	child := j.c.rel(j.Ref)
	if j.rel == nil || child == nil {
		return
	}
	switch {
	case j.c.fresh(child.born):
		j.Kind = "attach_partition_new"
	case child.within(j.rel, j.Bound):
		j.Kind = "attach_partition_proven"
	}
	if d := j.rel.defaultPartition(); d != nil && !j.c.fresh(d.born) && !d.excludes(j.rel, j.Bound) && j.Kind != "attach_partition" {
		j.Kind = "attach_partition_default_scan"
	}
}

func (j *judgement) refineIndex() {
	def := j.Index
	if j.rel == nil {
		return
	}
	if j.rel.kind == MatView && def.Unique {
		j.Why = "a materialized view takes no writes"
	}
	columns := j.subjectColumns()
	if def.Unique && j.newColumns(columns) {
		j.Why = "it is about columns that the same run added"
	}
	if def.Unique && def.Where == nil && len(def.Expressions) == 0 && j.rel.uniqueOn(def.Columns) {
		j.Why = "an index already keeps these columns unique"
	}
	if j.Flags.Has(Only) && j.rel.partitioned != 0 {
		j.Kind = "create_index_only"
	}
}

// refineView tells a new view from a replaced one, and what the replacement takes.
func (j *judgement) refineView() {
	old := j.rel
	j.rel = nil
	if old == nil {
		schema := j.c.schemaFor(j.On.Schema)
		old = j.c.relations[key(schema, j.On.Relation)]
	}
	if !j.Flags.Has(Replace) {
		return
	}
	if old == nil {
		if !j.c.known() {
			j.Kind = "replace_view"
		}
		return
	}
	j.rel = old
	switch {
	case old.open().query == nil:
		j.Kind = "replace_view"
	case old.open().query.Text == j.Query.Text && slices.Equal(old.open().options, j.Names):
		j.Kind = "replace_view_same"
	case old.open().query.Simple && !j.Query.Simple, added(old.open().options, j.Names, "check_option"), added(old.open().options, j.Names, "security_invoker"), j.losesWrites(old):
		j.Kind = "replace_view"
	default:
		j.Kind = "replace_view_same"
	}
}

func added(old, now []string, name string) bool {
	return slices.Contains(now, name) && !slices.Contains(old, name)
}

// losesWrites reports whether a column that was a plain column of a table, and so took writes, is one no more.
func (j *judgement) losesWrites(old *rel) bool {
	for i, o := range old.open().query.Outputs {
		if i >= len(j.Query.Outputs) {
			return true
		}
		n := j.Query.Outputs[i]
		if o.Star || n.Star {
			return false
		}
		if o.Column.Column != "" && n.Column.Column != o.Column.Column {
			return true
		}
	}
	return false
}

func (j *judgement) renamed() {
	if j.rel == nil {
		return
	}
	switch j.rel.kind {
	case View:
		j.Kind = "rename_view"
	case MatView:
		j.Kind = "rename_materialized_view"
	case Sequence:
		j.Kind = "rename_sequence"
	}
}

func (j *judgement) refineTrigger() {
	c := j.c
	switch j.Kind {
	case "create_trigger", "enable_trigger":
		t := j.Trigger
		if t == nil && j.rel != nil {
			if old := j.rel.trigger(j.On.Name, false); old != nil {
				t = &old.TriggerDef
			}
		}
		if t == nil {
			if j.Text == "all" && j.rel != nil {
				for _, each := range j.rel.open().triggers {
					if !each.rule && each.disabled && c.raises(&each.TriggerDef) {
						return
					}
				}
				j.Kind = "enable_trigger_harmless"
			}
			return
		}
		if !c.raises(t) {
			j.Kind += "_harmless"
		}
	case "drop_trigger", "disable_trigger":
		if j.rel != nil && (c.known() && !j.filled() || j.afterwards()) {
			j.Kind += "_behaviour"
		}
		if j.rel != nil {
			if t := j.rel.trigger(j.On.Name, false); t != nil && c.fresh(t.born) {
				j.Why = "the trigger was made in the same run"
			}
		}
	case "create_rule":
		if !j.Trigger.Instead {
			j.Kind = "create_rule_also"
		} else if j.rel != nil && j.rel.kind == View {
			j.Kind = "create_rule_also"
		}
	case "drop_rule", "disable_rule":
		if j.rel != nil && j.rel.kind == Table {
			j.Kind += "_behaviour"
		}
	case "create_policy", "alter_policy", "drop_policy", "create_restrictive_policy":
		j.refinePolicy()
	}
}

// filled reports whether a trigger that goes away fills a column that must not be NULL and has no default.
func (j *judgement) filled() bool {
	columns, _, known := j.filledColumns()
	return !known || len(columns) > 0
}

// afterwards reports whether the trigger is one that was seen made and that fills no row: it runs after the row is
// written, once for the statement, or where rows are deleted.
func (j *judgement) afterwards() bool {
	t := j.rel.trigger(j.On.Name, false)
	return t != nil && !t.Instead && (!t.Before || !t.Row || !slices.Contains(t.Events, "insert") && !slices.Contains(t.Events, "update"))
}

// raises reports whether the trigger's function may refuse a write: it raises an exception, or it cannot be read.
func (c *Catalog) raises(t *TriggerDef) bool {
	f := c.fn(Object{Kind: Function, Schema: t.Function.Schema, Name: t.Function.Name})
	if f == nil {
		switch t.Function.Name {
		case "suppress_redundant_updates_trigger", "tsvector_update_trigger", "tsvector_update_trigger_column":
			return false
		}
		return true
	}
	return f.refuses()
}

// refuses reports whether the body raises exceptions or cannot be read.
func (f *FunctionDef) refuses() bool {
	for _, op := range f.Body {
		if op.Kind == Opaque {
			return true
		}
	}
	words := strings.Fields(strings.ToLower(f.BodyText))
	for i, w := range words {
		if w != "raise" || i+1 >= len(words) {
			continue
		}
		switch strings.TrimRight(words[i+1], ";") {
		case "notice", "warning", "info", "log", "debug":
		default:
			return true
		}
	}
	return false
}

func (j *judgement) refinePolicy() {
	if j.rel == nil || !j.c.known() {
		return
	}
	if !j.rel.rls {
		j.Why = "row security is off"
		return
	}
	p := j.rel.policy(j.On.Name)
	switch j.Kind {
	case "drop_policy":
		if p != nil && p.Restrictive {
			j.Kind = "drop_restrictive_policy"
		}
		if p != nil && j.c.fresh(p.born) {
			j.Why = "the policy was made in the same run"
		}
	case "alter_policy":
		always := func(e *Expr) bool { return e == nil || e.Constant && e.Literal == "true" }
		roles := len(j.Policy.Roles) == 0 || slices.Contains(j.Policy.Roles, "public")
		if p != nil && !p.Restrictive && always(j.Policy.Using) && always(j.Policy.Check) && roles {
			j.Why = "the policy lets more through than before"
		}
	}
}

func (j *judgement) refineRevoke() {
	if j.Kind != "revoke" {
		return
	}
	c := j.c
	if j.Flags.Has(GrantOption) {
		j.Kind = "revoke_quietly"
		return
	}
	// These rights matter to whoever makes objects, not to whoever uses them: USAGE of a type, too, is looked at only
	// where a column or a function of the type is made.
	if !slices.ContainsFunc(j.Names, func(p string) bool {
		p, _, _ = strings.Cut(p, "(")
		return p != "create" && p != "references" && p != "trigger" && p != "maintain"
	}) {
		j.Kind = "revoke_quietly"
		return
	}
	switch j.On.Kind {
	case Language, Type, Domain, Wrapper, Server, Tablespace:
		j.Kind = "revoke_quietly"
	case Schema:
		if born, ok := c.schemaBorn[j.On.Name]; ok && c.fresh(born) {
			j.Why = "nothing was in the schema before this run"
		}
	case Function, Procedure, Routine, Aggregate:
		j.madeHere()
	case Table, View, MatView, Sequence:
		if j.rel == nil || !c.known() {
			return
		}
		for _, role := range j.Roles {
			if role == j.rel.open().owner || j.rel.open().owner == "" && (role == "current_user" || role == "session_user") || c.granted(j.rel, role, j.Names) {
				return
			}
		}
		j.Kind = "revoke_quietly"
	}
}

// granted reports whether a role holds any of the privileges on the relation.
func (c *Catalog) granted(r *rel, role string, privileges []string) bool {
	held := r.open().grants[role]
	for _, p := range privileges {
		name, _, column := strings.Cut(p, "(")
		for _, h := range held {
			hname, _, hcolumn := strings.Cut(h, "(")
			if (hname == name || hname == "all" || name == "all") && (!column || !hcolumn || h == p) {
				return true
			}
		}
	}
	return false
}

func (j *judgement) refineObject() {
	c := j.c
	switch j.Kind {
	case "create_function", "create_procedure":
		j.refineFunction()
	case "create_aggregate":
		if j.Flags.Has(Replace) {
			j.Kind = "replace_function"
		}
	case "set_security_invoker":
		if f := c.fn(j.On); f != nil && !f.SecurityDefiner {
			j.Kind = "alter_function"
		}
		j.madeHere()
	case "set_function_setting":
		if f := c.fn(j.On); f != nil && j.Function != nil && slices.Equal(f.Settings, j.Function.Settings) {
			j.Kind = "alter_function"
		} else if j.Function != nil && !slices.ContainsFunc(j.Function.Settings, func(s string) bool {
			return strings.HasPrefix(s, "search_path=") || strings.HasPrefix(s, "role=") || strings.HasPrefix(s, "statement_timeout=")
		}) {
			j.Kind = "alter_function"
		}
		j.madeHere()
	case "rename_type", "rename_domain", "drop_type", "drop_domain", "set_schema_type", "set_schema_domain", "rename_enum_value",
		"add_attribute", "drop_attribute", "alter_attribute_type", "rename_attribute":
		if t := c.typ(TypeName{Schema: j.On.Schema, Name: j.On.Name}); t != nil && c.fresh(t.born) {
			j.Why = "the type was made in the same run"
		}
	case "drop_function", "drop_procedure", "drop_routine", "drop_aggregate", "rename_function", "rename_procedure", "rename_routine", "rename_aggregate",
		"set_schema_function", "set_schema_procedure", "set_schema_aggregate", "owner_function", "owner_procedure", "owner_routine", "owner_aggregate":
		j.madeHere()
	case "create_publication", "add_publication_table", "set_publication_tables":
		if c.known() && !j.lacksIdentity() {
			j.Kind += "_keyed"
		}
	case "alter_publication":
		if p := c.publications[j.On.Name]; j.Text != "" && strings.ContainsAny(j.Text, "ud") && (p == nil || j.publishesUnkeyed(p)) {
			j.Kind = "publish_updates"
		}
	case "create_event_trigger":
		if j.Text != "login" {
			j.Kind = "create_ddl_event_trigger"
		}
	case "select":
		j.refineData()
	case "revoke":
		j.refineRevoke()
	case "alter_role_setting", "alter_database_setting":
		if j.Names[0] == "search_path" {
			path := searchPath(strings.Split(j.Text, ","))
			if j.Text == "" || len(path) < len(c.defaultPath) || !slices.Equal(path[:len(c.defaultPath)], c.defaultPath) {
				j.Kind = Kind(strings.Replace(string(j.Kind), "setting", "search_path", 1))
			}
		}
	case "reassign_owned", "drop_owned":
		if c.known() && !c.owns(j.Roles) && j.Kind == "reassign_owned" {
			j.Why = "the role owns nothing that pawl saw"
		}
	case "drop_schema", "rename_schema", "owner_schema":
		if born, ok := c.schemaBorn[j.On.Name]; ok && c.fresh(born) {
			j.Why = "the schema was made in the same run"
		} else if j.Kind == "drop_schema" && c.known() && c.emptySchema(j.On.Name) {
			j.Why = "the schema is empty"
		}
	}
}

// madeHere says of an operation on a function that nobody can have called it before.
func (j *judgement) madeHere() {
	if f := j.c.fn(j.On); f != nil && j.c.fresh(f.born) {
		j.Why = "the " + string(j.On.Kind) + " was made in the same run"
	}
}

// emptySchema reports whether nothing that the catalog knows is in a schema.
func (c *Catalog) emptySchema(name string) bool {
	if slices.Contains(c.defaultPath, name) {
		return false
	}
	for k := range c.relations {
		if k.schema == name {
			return false
		}
	}
	for k := range c.types {
		if k.schema == name {
			return false
		}
	}
	for k, list := range c.functions {
		if k.schema == name && len(list) > 0 {
			return false
		}
	}
	for _, schema := range c.extensions {
		if schema == name {
			return false
		}
	}
	return true
}

func (c *Catalog) owns(roles []string) bool {
	for _, r := range c.relations {
		if slices.Contains(roles, r.open().owner) {
			return true
		}
	}
	for _, list := range c.functions {
		for _, f := range list {
			if slices.Contains(roles, f.owner) {
				return true
			}
		}
	}
	return false
}

// published reports whether a publication sends the table's updates.
func (c *Catalog) published(r *rel) bool {
	if r == nil {
		return true
	}
	for _, p := range c.publications {
		if p.all || slices.Contains(p.tables, r) || slices.Contains(p.schemas, r.schema) {
			return true
		}
	}
	return false
}

// lacksIdentity reports whether the publication takes in a table whose updates PostgreSQL then refuses, because
// nothing identifies its rows.
func (j *judgement) lacksIdentity() bool {
	if j.Text != "" && !strings.Contains(j.Text, "update") && !strings.Contains(j.Text, "delete") {
		return false
	}
	lacks := j.c.unidentified
	switch {
	case j.Flags.Has(AllObjects):
		for _, r := range j.c.relations {
			if lacks(r) {
				return true
			}
		}
		return false
	case j.Ref.Kind == Schema:
		for _, r := range j.c.relations {
			if r.schema == j.Ref.Name && lacks(r) {
				return true
			}
		}
		return false
	case j.Ref.Relation == "":
		return false
	}
	r := j.c.rel(j.Ref)
	if r == nil {
		return true
	}
	// A row filter may name columns of the identity only, and a column list has to hold all of them.
	if pk := r.primaryKey(); pk != nil && !r.identified {
		if j.Expr != nil && !within(j.Expr.Columns, pk.Columns) || len(j.Names) > 0 && !within(pk.Columns, j.Names) {
			return true
		}
	}
	return slices.ContainsFunc(r.family(false), lacks)
}

// unidentified reports whether nothing identifies a row of an older table that a publication can have.
func (c *Catalog) unidentified(r *rel) bool {
	return r.kind == Table && !r.temporary && !r.unlogged && r.open().foreign == "" && !c.fresh(r.born) && (r.primaryKey() == nil && !r.identified || r.nothing)
}

// publishesUnkeyed reports whether a publication has a table of which nothing identifies a row.
func (j *judgement) publishesUnkeyed(p *publication) bool {
	if p.all || len(p.schemas) > 0 {
		return true
	}
	return slices.ContainsFunc(p.tables, func(r *rel) bool { return r.primaryKey() == nil && !r.identified || r.nothing })
}

// refineFunction tells a new function from a replaced one, and an overload that makes calls ambiguous.
func (j *judgement) refineFunction() {
	c := j.c
	schema := c.schemaFor(j.On.Schema)
	all := c.functions[key(schema, j.On.Name)]
	signature := j.Function.signature()
	for _, f := range all {
		if f.signature() != signature {
			continue
		}
		j.Kind = "replace_function"
		if !f.refuses() && j.Function.refuses() || f.SecurityDefiner && !j.Function.SecurityDefiner || len(c.unfilled(f, j.Function)) > 0 {
			j.Kind = "replace_function_stricter"
		}
		if c.fresh(f.born) {
			j.Why = "the function was made in the same run"
		}
		return
	}
	for _, f := range all {
		if !c.fresh(f.born) && ambiguous(&f.FunctionDef, j.Function) {
			j.Kind = "create_overload"
			return
		}
	}
	if j.Flags.Has(Replace) && !c.known() {
		j.Kind = "replace_function"
	}
}

// ambiguous reports whether calls that meant the old function may fail to choose between the two: their numbers of
// arguments overlap, and no differing parameter is of a type that PostgreSQL prefers for constants of unknown type
// (the manual's "Function Type Resolution").
func ambiguous(old, now *FunctionDef) bool {
	required := func(f *FunctionDef) (least, most int) {
		for _, p := range f.inputs() {
			most++
			if !p.Default {
				least++
			}
		}
		return least, most
	}
	oldLeast, oldMost := required(old)
	newLeast, newMost := required(now)
	if newLeast > oldMost || oldLeast > newMost {
		return false
	}
	a, b := old.inputs(), now.inputs()
	for i := range min(len(a), len(b), max(oldLeast, newLeast)) {
		if a[i].Type.String() == b[i].Type.String() {
			continue
		}
		switch b[i].Type.Name {
		case "text", "varchar", "bpchar", "float8", "timestamptz", "interval", "bool", "oid", "inet", "varbit":
			return false
		}
		switch a[i].Type.Name {
		case "text", "varchar", "bpchar", "float8", "timestamptz", "interval":
			return false
		}
	}
	return true
}

// refineData tells whether a query scans: one that looks up an index by constants does not.
func (j *judgement) refineData() {
	q := j.Query
	if q == nil {
		return
	}
	switch j.Kind {
	case "create_table_as", "create_materialized_view":
		if j.Table != nil && j.Table.NoData {
			j.Kind += "_no_data"
			return
		}
		if !j.readsOld() {
			j.Kind += "_empty"
		}
	case "select":
		if !j.readsOld() {
			j.Kind = "select_nothing"
		}
	case "insert", "upsert", "copy_from":
		if j.readsOld() {
			j.Kind += "_select"
		}
	case "update", "delete":
		if len(q.Reads) > 0 {
			return
		}
		if j.rel != nil && j.rel.looksUp(q.Key) {
			j.Kind += "_by_key"
		}
	case "merge":
		if !j.readsOld() && j.rel != nil && j.rel.looksUp(q.Key) {
			j.Kind = "merge_by_key"
		}
	}
}

// readsOld reports whether the query scans a relation that existed before.
func (j *judgement) readsOld() bool {
	for _, o := range j.Query.Reads {
		if system(o) {
			continue
		}
		r := j.c.rel(o)
		if r == nil {
			if !j.c.known() {
				return true
			}
			continue
		}
		if j.c.fresh(r.born) || r.temporary || r.kind == Sequence {
			continue
		}
		if len(j.Query.Reads) == 1 && (j.Query.Limited || j.Kind != "merge" && r.looksUp(j.Query.Key)) {
			continue
		}
		return true
	}
	return false
}

func system(o Object) bool {
	return o.Schema == "information_schema" || o.Schema == "pg_catalog" || o.Schema == "" && strings.HasPrefix(o.Relation, "pg_")
}

// looksUp reports whether an index begins with one of the columns that are compared with constants.
func (r *rel) looksUp(keys []string) bool {
	for _, i := range r.open().indexes {
		if len(i.Columns) > 0 && i.Where == nil && slices.Contains(keys, i.Columns[0]) && (len(i.Expressions) == 0 || i.Keys == 1) {
			return true
		}
	}
	return false
}
