package parse

import (
	"strings"

	"github.com/bitvault/pawl/phases"
	pg "github.com/pganalyze/pg_query_go/v5"
)

// objectKind names the parser's kinds of objects in pawl's words.
func objectKind(t pg.ObjectType) phases.ObjectKind {
	switch t {
	case pg.ObjectType_OBJECT_TABLE:
		return phases.Table
	case pg.ObjectType_OBJECT_VIEW:
		return phases.View
	case pg.ObjectType_OBJECT_MATVIEW:
		return phases.MatView
	case pg.ObjectType_OBJECT_FOREIGN_TABLE:
		return phases.ForeignTable
	case pg.ObjectType_OBJECT_SEQUENCE:
		return phases.Sequence
	case pg.ObjectType_OBJECT_INDEX:
		return phases.Index
	case pg.ObjectType_OBJECT_COLUMN:
		return phases.Column
	case pg.ObjectType_OBJECT_ATTRIBUTE:
		return phases.Attribute
	case pg.ObjectType_OBJECT_TABCONSTRAINT, pg.ObjectType_OBJECT_DOMCONSTRAINT:
		return phases.Constraint
	case pg.ObjectType_OBJECT_TYPE:
		return phases.Type
	case pg.ObjectType_OBJECT_DOMAIN:
		return phases.Domain
	case pg.ObjectType_OBJECT_FUNCTION:
		return phases.Function
	case pg.ObjectType_OBJECT_PROCEDURE:
		return phases.Procedure
	case pg.ObjectType_OBJECT_ROUTINE:
		return phases.Routine
	case pg.ObjectType_OBJECT_AGGREGATE:
		return phases.Aggregate
	case pg.ObjectType_OBJECT_TRIGGER:
		return phases.Trigger
	case pg.ObjectType_OBJECT_RULE:
		return phases.Rule
	case pg.ObjectType_OBJECT_POLICY:
		return phases.Policy
	case pg.ObjectType_OBJECT_SCHEMA:
		return phases.Schema
	case pg.ObjectType_OBJECT_EXTENSION:
		return phases.Extension
	case pg.ObjectType_OBJECT_ROLE:
		return phases.Role
	case pg.ObjectType_OBJECT_DATABASE:
		return phases.Database
	case pg.ObjectType_OBJECT_OPERATOR:
		return phases.Operator
	case pg.ObjectType_OBJECT_OPCLASS:
		return phases.OperatorClass
	case pg.ObjectType_OBJECT_OPFAMILY:
		return phases.OperatorFamily
	case pg.ObjectType_OBJECT_CAST:
		return phases.Cast
	case pg.ObjectType_OBJECT_COLLATION:
		return phases.Collation
	case pg.ObjectType_OBJECT_CONVERSION:
		return phases.Conversion
	case pg.ObjectType_OBJECT_TRANSFORM:
		return phases.Transform
	case pg.ObjectType_OBJECT_LANGUAGE:
		return phases.Language
	case pg.ObjectType_OBJECT_ACCESS_METHOD:
		return phases.AccessMethod
	case pg.ObjectType_OBJECT_PUBLICATION:
		return phases.Publication
	case pg.ObjectType_OBJECT_SUBSCRIPTION:
		return phases.Subscription
	case pg.ObjectType_OBJECT_STATISTIC_EXT:
		return phases.Statistics
	case pg.ObjectType_OBJECT_EVENT_TRIGGER:
		return phases.EventTrigger
	case pg.ObjectType_OBJECT_TSCONFIGURATION, pg.ObjectType_OBJECT_TSDICTIONARY, pg.ObjectType_OBJECT_TSPARSER,
		pg.ObjectType_OBJECT_TSTEMPLATE:
		return phases.TextSearch
	case pg.ObjectType_OBJECT_FDW:
		return phases.Wrapper
	case pg.ObjectType_OBJECT_FOREIGN_SERVER:
		return phases.Server
	case pg.ObjectType_OBJECT_USER_MAPPING:
		return phases.UserMapping
	case pg.ObjectType_OBJECT_TABLESPACE:
		return phases.Tablespace
	case pg.ObjectType_OBJECT_LARGEOBJECT:
		return phases.LargeObject
	case pg.ObjectType_OBJECT_PARAMETER_ACL:
		return phases.ParameterName
	default:
		return phases.Other
	}
}

// object reads the object of DROP, COMMENT, ALTER … RENAME and their like, which the parser gives in half a dozen
// shapes.
func (s *statement) object(t pg.ObjectType, rel *pg.RangeVar, n *pg.Node) phases.Object {
	kind := objectKind(t)
	if rel != nil {
		return relation(kind, rel)
	}
	var parts []string
	switch v := n.GetNode().(type) {
	case *pg.Node_List:
		parts = words(v.List.Items)
		if t == pg.ObjectType_OBJECT_CAST && len(v.List.Items) == 2 {
			return castObject(v.List.Items[0].GetTypeName(), v.List.Items[1].GetTypeName())
		}
		if (t == pg.ObjectType_OBJECT_OPCLASS || t == pg.ObjectType_OBJECT_OPFAMILY) && len(parts) > 1 {
			parts = parts[1:]
		}
		if t == pg.ObjectType_OBJECT_DOMCONSTRAINT && len(v.List.Items) == 2 {
			d := typeName(v.List.Items[0].GetTypeName())
			return phases.Object{Kind: phases.Constraint, Schema: d.Schema, Name: d.Name, Column: word(v.List.Items[1])}
		}
	case *pg.Node_TypeName:
		d := typeName(v.TypeName)
		return phases.Object{Kind: kind, Schema: d.Schema, Name: d.Name}
	case *pg.Node_ObjectWithArgs:
		return withArgs(kind, v.ObjectWithArgs)
	case *pg.Node_String_, *pg.Node_RoleSpec:
		parts = []string{word(n)}
	default:
		parts = []string{word(n)}
	}
	switch kind {
	case phases.Table, phases.View, phases.MatView, phases.ForeignTable, phases.Sequence, phases.Index:
		return relationNames(kind, parts)
	case phases.Column, phases.Constraint, phases.Trigger, phases.Rule, phases.Policy:
		last := len(parts) - 1
		if last < 0 {
			return phases.Object{Kind: kind}
		}
		table := relationNames(kind, parts[:last])
		if kind == phases.Column {
			return columnOf(table, parts[last])
		}
		return part(kind, table, parts[last])
	default:
		schema, name := qualified(parts)
		return phases.Object{Kind: kind, Schema: schema, Name: name}
	}
}

func castObject(from, to *pg.TypeName) phases.Object {
	return phases.Object{Kind: phases.Cast, Name: typeName(from).String() + " as " + typeName(to).String()}
}

// withArgs names a routine or operator; the types of the arguments stand in Column, so that overloads differ.
func withArgs(kind phases.ObjectKind, o *pg.ObjectWithArgs) phases.Object {
	out := named(kind, o.GetObjname())
	if o.GetArgsUnspecified() {
		return out
	}
	var types []string
	for _, n := range o.GetObjargs() {
		types = append(types, typeName(n.GetTypeName()).String())
	}
	out.Column = "(" + strings.Join(types, ",") + ")"
	return out
}

func (s *statement) drop(d *pg.DropStmt) []phases.Operation {
	ops := make([]phases.Operation, 0, len(d.Objects))
	for _, n := range d.Objects {
		on := s.object(d.RemoveType, nil, n)
		op := s.make(suffix("drop_", on.Kind), on)
		op.Flags = flag(phases.IfExists, d.MissingOk) | cascade(d.Behavior) | flag(phases.Concurrently, d.Concurrent)
		if d.Concurrent {
			op.Kind = "drop_index_concurrently"
		}
		for _, m := range d.Objects {
			op.Names = append(op.Names, s.object(d.RemoveType, nil, m).String())
		}
		ops = append(ops, op)
	}
	return ops
}

func (s *statement) rename(r *pg.RenameStmt) []phases.Operation {
	on := s.object(r.RenameType, r.Relation, r.Object)
	switch r.RenameType {
	case pg.ObjectType_OBJECT_COLUMN:
		on = columnOf(relation(phases.Table, r.Relation), r.Subname)
	case pg.ObjectType_OBJECT_ATTRIBUTE:
		on = phases.Object{Kind: phases.Attribute, Schema: r.Relation.GetSchemaname(), Name: r.Relation.GetRelname(), Column: r.Subname}
	case pg.ObjectType_OBJECT_TABCONSTRAINT, pg.ObjectType_OBJECT_TRIGGER, pg.ObjectType_OBJECT_RULE, pg.ObjectType_OBJECT_POLICY:
		on = part(objectKind(r.RenameType), relation(phases.Table, r.Relation), r.Subname)
	case pg.ObjectType_OBJECT_DOMCONSTRAINT:
		d := named(phases.Constraint, r.Object.GetList().GetItems())
		d.Column = r.Subname
		on = d
	case pg.ObjectType_OBJECT_ROLE, pg.ObjectType_OBJECT_SCHEMA, pg.ObjectType_OBJECT_DATABASE, pg.ObjectType_OBJECT_TABLESPACE:
		on = phases.Object{Kind: objectKind(r.RenameType), Name: r.Subname}
	}
	op := s.make(suffix("rename_", on.Kind), on)
	if r.RenameType == pg.ObjectType_OBJECT_DOMCONSTRAINT {
		op.Kind = "rename_domain_constraint"
	}
	op.To = r.Newname
	op.Flags = flag(phases.IfExists, r.MissingOk) | cascade(r.Behavior)
	op.Text = string(objectKind(r.RelationType))
	return []phases.Operation{op}
}

func (s *statement) setSchema(a *pg.AlterObjectSchemaStmt) []phases.Operation {
	on := s.object(a.ObjectType, a.Relation, a.Object)
	op := s.make(suffix("set_schema_", on.Kind), on)
	op.To = a.Newschema
	op.Flags = flag(phases.IfExists, a.MissingOk)
	return []phases.Operation{op}
}

func (s *statement) owner(a *pg.AlterOwnerStmt) []phases.Operation {
	on := s.object(a.ObjectType, a.Relation, a.Object)
	op := s.make(suffix("owner_", on.Kind), on)
	op.To = role(a.Newowner)
	return []phases.Operation{op}
}

func (s *statement) depends(a *pg.AlterObjectDependsStmt) []phases.Operation {
	on := s.object(a.ObjectType, a.Relation, a.Object)
	if a.Relation != nil && objectKind(a.ObjectType) == phases.Trigger {
		on = part(phases.Trigger, relation(phases.Table, a.Relation), word(first(a.Object.GetList().GetItems())))
	}
	op := s.make("depends_on_extension", on)
	op.Ref = phases.Object{Kind: phases.Extension, Name: a.Extname.GetSval()}
	return []phases.Operation{op}
}

func (s *statement) createIndex(i *pg.IndexStmt) []phases.Operation {
	op := s.make("create_index", relation(phases.Table, i.Relation))
	def := &phases.IndexDef{
		Name: i.Idxname, Method: i.AccessMethod, Unique: i.Unique, NullsNotDistinct: i.NullsNotDistinct,
		Where: expression(i.WhereClause), Keys: len(i.IndexParams),
	}
	for _, n := range i.IndexParams {
		e := n.GetIndexElem()
		if e.GetName() != "" {
			def.Columns = append(def.Columns, e.GetName())
		} else if x := expression(e.GetExpr()); x != nil {
			def.Expressions = append(def.Expressions, x)
		}
		if class := words(e.GetOpclass()); len(class) > 0 {
			def.OpClasses = append(def.OpClasses, class[len(class)-1])
		}
	}
	for _, n := range i.IndexIncludingParams {
		def.Include = append(def.Include, n.GetIndexElem().GetName())
	}
	op.Index = def
	op.Flags = flag(phases.IfNotExists, i.IfNotExists) | flag(phases.Concurrently, i.Concurrent) |
		flag(phases.Only, !i.Relation.GetInh())
	if i.Unique {
		op.Kind = "create_unique_index"
	}
	if i.Concurrent {
		op.Kind += "_concurrently"
	}
	return []phases.Operation{op}
}

func (s *statement) createView(v *pg.ViewStmt) []phases.Operation {
	op := s.make("create_view", relation(phases.View, v.View))
	op.Query = query(v.Query)
	op.Query.Text = normal(s.text, "as")
	for i, name := range words(v.Aliases) {
		if i < len(op.Query.Outputs) {
			op.Query.Outputs[i].Name = name
		}
	}
	op.Flags = flag(phases.Replace, v.Replace)
	op.Table = &phases.TableDef{}
	persistence(v.View, op.Table)
	op.Names, _ = options(v.Options)
	if v.WithCheckOption > pg.ViewCheckOption_NO_CHECK_OPTION {
		op.Names = append(op.Names, "check_option")
	}
	return []phases.Operation{op}
}

// normal gives the text behind the first word of the given name with comments and white space made equal and words in
// lower case, so that two definitions can be compared.
func normal(text, after string) string {
	var b strings.Builder
	sc := scanner{src: text}
	found := after == ""
	for {
		t := sc.nextCode()
		if t.kind == tokenEOF {
			return b.String()
		}
		w := text[t.start:t.end]
		if t.kind == tokenWord {
			w = strings.ToLower(w)
		}
		if found {
			b.WriteString(w)
			b.WriteByte(' ')
		} else if t.kind == tokenWord && w == after {
			found = true
		}
	}
}

func (s *statement) createSequence(c *pg.CreateSeqStmt) []phases.Operation {
	op := s.make("create_sequence", relation(phases.Sequence, c.Sequence))
	op.Flags = flag(phases.IfNotExists, c.IfNotExists) | flag(phases.Temporary, c.Sequence.GetRelpersistence() == "t")
	s.sequenceOptions(&op, c.Options)
	return []phases.Operation{op}
}

func (s *statement) alterSequence(a *pg.AlterSeqStmt) []phases.Operation {
	op := s.make("alter_sequence", relation(phases.Sequence, a.Sequence))
	op.Flags = flag(phases.IfExists, a.MissingOk)
	s.sequenceOptions(&op, a.Options)
	for _, name := range op.Names {
		switch name {
		case "owned_by":
			op.Kind = "alter_sequence_owner"
		case "restart":
			op.Kind = "restart_sequence"
		case "as", "maxvalue", "minvalue", "cycle":
			op.Kind = sequenceBounds(a.Options)
		}
	}
	return []phases.Operation{op}
}

// sequenceBounds tells a sequence that gets more room from one that may get less.
func sequenceBounds(list []*pg.Node) phases.Kind {
	for _, n := range list {
		d := n.GetDefElem()
		switch d.GetDefname() {
		case "as":
			if typeName(d.GetArg().GetTypeName()).Name != "int8" {
				return "alter_sequence_bounds"
			}
		case "maxvalue", "minvalue":
			// NO MAXVALUE has no argument.
			if d.GetArg() != nil {
				return "alter_sequence_bounds"
			}
		case "cycle":
			if !d.GetArg().GetBoolean().GetBoolval() {
				return "alter_sequence_bounds"
			}
		}
	}
	return "alter_sequence_wider"
}

func (s *statement) sequenceOptions(op *phases.Operation, list []*pg.Node) {
	names, values := options(list)
	op.Names = names
	if owner, ok := values["owned_by"]; ok && owner != "none" {
		parts := strings.Split(owner, ".")
		if n := len(parts); n > 1 {
			op.Ref = columnOf(relationNames(phases.Table, parts[:n-1]), parts[n-1])
		}
	}
	op.Type = values["as"]
}

func (s *statement) createComposite(c *pg.CompositeTypeStmt) []phases.Operation {
	op := s.make("create_composite_type", phases.Object{Kind: phases.Type, Schema: c.Typevar.GetSchemaname(), Name: c.Typevar.GetRelname()})
	op.TypeDef = &phases.TypeDef{Form: "composite"}
	for _, n := range c.Coldeflist {
		op.TypeDef.Attributes = append(op.TypeDef.Attributes, columnDef(n.GetColumnDef()))
	}
	return []phases.Operation{op}
}

func (s *statement) alterEnum(a *pg.AlterEnumStmt) []phases.Operation {
	on := named(phases.Type, a.TypeName)
	value := phases.Object{Kind: phases.EnumValue, Schema: on.Schema, Name: on.Name, Column: a.NewVal}
	if a.OldVal != "" {
		value.Column = a.OldVal
		op := s.make("rename_enum_value", value)
		op.To = a.NewVal
		return []phases.Operation{op}
	}
	op := s.make("add_enum_value", value)
	op.Flags = flag(phases.IfNotExists, a.SkipIfNewValExists)
	op.Text = a.NewValNeighbor
	return []phases.Operation{op}
}

func (s *statement) createDomain(c *pg.CreateDomainStmt) []phases.Operation {
	op := s.make("create_domain", named(phases.Domain, c.Domainname))
	def := &phases.TypeDef{Form: "domain", Base: typeName(c.TypeName)}
	for _, n := range c.Constraints {
		k := n.GetConstraint()
		switch k.GetContype() {
		case pg.ConstrType_CONSTR_NOTNULL:
			def.NotNull = true
		case pg.ConstrType_CONSTR_DEFAULT:
			def.Default = expression(k.RawExpr)
		case pg.ConstrType_CONSTR_CHECK:
			def.Constraints = append(def.Constraints, constraintDef(k))
		}
	}
	op.TypeDef = def
	return []phases.Operation{op}
}

func (s *statement) alterDomain(a *pg.AlterDomainStmt) []phases.Operation {
	op := s.make("", named(phases.Domain, a.TypeName))
	op.Flags = flag(phases.IfExists, a.MissingOk) | cascade(a.Behavior)
	op.Names = []string{a.Name}
	switch a.Subtype {
	case "T":
		op.Kind = "set_domain_default"
		if a.Def == nil {
			op.Kind = "drop_domain_default"
		}
		op.Expr = expression(a.Def)
	case "N":
		op.Kind = "drop_domain_not_null"
	case "O":
		op.Kind = "set_domain_not_null"
	case "C":
		def := constraintDef(a.Def.GetConstraint())
		op.Kind, op.Constraint = "add_domain_check", &def
		op.Names = []string{def.Name}
		if def.NotValid {
			op.Kind = "add_domain_check_not_valid"
		}
	case "X":
		op.Kind = "drop_domain_constraint"
	case "V":
		op.Kind = "validate_domain_constraint"
	default:
		op.Kind = phases.Opaque
	}
	return []phases.Operation{op}
}

// define is CREATE for aggregates, operators, base types, text search objects and collations.
func (s *statement) define(d *pg.DefineStmt) []phases.Operation {
	switch d.Kind {
	case pg.ObjectType_OBJECT_AGGREGATE:
		op := s.make("create_aggregate", named(phases.Aggregate, d.Defnames))
		op.Flags = flag(phases.Replace, d.Replace)
		op.Function = &phases.FunctionDef{Aggregate: true}
		for _, n := range first(d.Args).GetList().GetItems() {
			op.Function.Parameters = append(op.Function.Parameters, parameter(n.GetFunctionParameter()))
		}
		return []phases.Operation{op}
	case pg.ObjectType_OBJECT_TYPE:
		op := s.make("create_base_type", named(phases.Type, d.Defnames))
		op.TypeDef = &phases.TypeDef{Form: "base"}
		if len(d.Definition) == 0 {
			op.Kind, op.TypeDef.Form = "create_shell_type", "shell"
		}
		return []phases.Operation{op}
	case pg.ObjectType_OBJECT_OPERATOR:
		return s.one("create_operator", named(phases.Operator, d.Defnames))
	case pg.ObjectType_OBJECT_COLLATION:
		op := s.make("create_collation", named(phases.Collation, d.Defnames))
		op.Flags = flag(phases.IfNotExists, d.IfNotExists)
		return []phases.Operation{op}
	case pg.ObjectType_OBJECT_TSCONFIGURATION, pg.ObjectType_OBJECT_TSDICTIONARY, pg.ObjectType_OBJECT_TSPARSER,
		pg.ObjectType_OBJECT_TSTEMPLATE:
		return s.one("create_text_search_object", named(phases.TextSearch, d.Defnames))
	default:
		return s.opaque()
	}
}

func (s *statement) createCast(c *pg.CreateCastStmt) []phases.Operation {
	op := s.make("create_cast", castObject(c.Sourcetype, c.Targettype))
	switch c.Context {
	case pg.CoercionContext_COERCION_IMPLICIT:
		op.Kind = "create_implicit_cast"
	case pg.CoercionContext_COERCION_ASSIGNMENT:
		op.Kind = "create_assignment_cast"
	}
	return []phases.Operation{op}
}

func (s *statement) createTrigger(c *pg.CreateTrigStmt) []phases.Operation {
	on := relation(phases.Table, c.Relation)
	op := s.make("create_trigger", part(phases.Trigger, on, c.Trigname))
	// The bits are those of src/include/catalog/pg_trigger.h.
	const (
		before, insert, del, update, truncate, instead = 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 6
	)
	def := &phases.TriggerDef{
		Function: named(phases.Function, c.Funcname), Row: c.Row, Before: c.Timing&before != 0,
		Instead: c.Timing&instead != 0, Columns: words(c.Columns), When: expression(c.WhenClause), Constraint: c.Isconstraint,
	}
	for _, e := range []struct {
		bit  int32
		name string
	}{{insert, "insert"}, {update, "update"}, {del, "delete"}, {truncate, "truncate"}} {
		if c.Events&e.bit != 0 {
			def.Events = append(def.Events, e.name)
		}
	}
	op.Trigger = def
	op.Flags = flag(phases.Replace, c.Replace)
	if c.Constrrel != nil {
		op.Ref = relation(phases.Table, c.Constrrel)
	}
	return []phases.Operation{op}
}

func (s *statement) createRule(r *pg.RuleStmt) []phases.Operation {
	on := relation(phases.Table, r.Relation)
	op := s.make("create_rule", part(phases.Rule, on, r.Rulename))
	def := &phases.TriggerDef{Instead: r.Instead, When: expression(r.WhereClause), Nothing: len(r.Actions) == 0}
	switch r.Event {
	case pg.CmdType_CMD_SELECT:
		def.Events = []string{"select"}
	case pg.CmdType_CMD_INSERT:
		def.Events = []string{"insert"}
	case pg.CmdType_CMD_UPDATE:
		def.Events = []string{"update"}
	case pg.CmdType_CMD_DELETE:
		def.Events = []string{"delete"}
	}
	for _, n := range r.Actions {
		def.Actions = append(def.Actions, s.operations(n)...)
	}
	op.Trigger = def
	op.Flags = flag(phases.Replace, r.Replace)
	return []phases.Operation{op}
}

func (s *statement) createPolicy(c *pg.CreatePolicyStmt) []phases.Operation {
	op := s.make("create_policy", part(phases.Policy, relation(phases.Table, c.Table), c.PolicyName))
	op.Policy = &phases.PolicyDef{
		Command: c.CmdName, Restrictive: !c.Permissive, Roles: words(c.Roles),
		Using: expression(c.Qual), Check: expression(c.WithCheck),
	}
	if op.Policy.Restrictive {
		op.Kind = "create_restrictive_policy"
	}
	return []phases.Operation{op}
}

func (s *statement) alterPolicy(a *pg.AlterPolicyStmt) []phases.Operation {
	op := s.make("alter_policy", part(phases.Policy, relation(phases.Table, a.Table), a.PolicyName))
	op.Policy = &phases.PolicyDef{Roles: words(a.Roles), Using: expression(a.Qual), Check: expression(a.WithCheck)}
	return []phases.Operation{op}
}

func (s *statement) createSchema(c *pg.CreateSchemaStmt) []phases.Operation {
	name := c.Schemaname
	if name == "" {
		name = role(c.Authrole)
	}
	op := s.make("create_schema", phases.Object{Kind: phases.Schema, Name: name})
	op.Flags = flag(phases.IfNotExists, c.IfNotExists)
	op.To = role(c.Authrole)
	ops := []phases.Operation{op}
	for _, n := range c.SchemaElts {
		for _, inner := range s.operations(n) {
			if inner.On.Schema == "" {
				inner.On.Schema = name
			}
			ops = append(ops, inner)
		}
	}
	return ops
}

func (s *statement) createStatistics(c *pg.CreateStatsStmt) []phases.Operation {
	op := s.make("create_statistics", named(phases.Statistics, c.Defnames))
	op.Ref = relation(phases.Table, first(c.Relations).GetRangeVar())
	op.Flags = flag(phases.IfNotExists, c.IfNotExists)
	for _, n := range c.Exprs {
		if e := n.GetStatsElem(); e.GetName() != "" {
			op.Names = append(op.Names, e.GetName())
		}
	}
	return []phases.Operation{op}
}

// publications gives one operation per table of a publication, or one for the publication where it names none.
func (s *statement) publications(kind phases.Kind, name string, objects []*pg.Node, all bool) []phases.Operation {
	on := phases.Object{Kind: phases.Publication, Name: name}
	op := s.make(kind, on)
	op.Flags = flag(phases.AllObjects, all)
	var ops []phases.Operation
	schemas := false
	for _, n := range objects {
		o := n.GetPublicationObjSpec()
		// In a list, only the first table says TABLE; what continues it is of the same kind as before it.
		switch o.GetPubobjtype() {
		case pg.PublicationObjSpecType_PUBLICATIONOBJ_TABLE:
			schemas = false
		case pg.PublicationObjSpecType_PUBLICATIONOBJ_TABLES_IN_SCHEMA, pg.PublicationObjSpecType_PUBLICATIONOBJ_TABLES_IN_CUR_SCHEMA:
			schemas = true
		}
		each := op
		if schemas {
			each.Ref = phases.Object{Kind: phases.Schema, Name: o.GetName()}
		} else {
			each.Ref = relation(phases.Table, o.GetPubtable().GetRelation())
			each.Expr = expression(o.GetPubtable().GetWhereClause())
			each.Names = words(o.GetPubtable().GetColumns())
		}
		ops = append(ops, each)
	}
	if len(ops) == 0 {
		return []phases.Operation{op}
	}
	return ops
}

func (s *statement) createPublication(c *pg.CreatePublicationStmt) []phases.Operation {
	ops := s.publications("create_publication", c.Pubname, c.Pubobjects, c.ForAllTables)
	_, values := options(c.Options)
	for i := range ops {
		ops[i].Text = values["publish"]
	}
	return ops
}

func (s *statement) alterPublication(a *pg.AlterPublicationStmt) []phases.Operation {
	kind := phases.Kind("alter_publication")
	if len(a.Pubobjects) > 0 {
		switch a.Action {
		case pg.AlterPublicationAction_AP_AddObjects:
			kind = "add_publication_table"
		case pg.AlterPublicationAction_AP_DropObjects:
			kind = "drop_publication_table"
		case pg.AlterPublicationAction_AP_SetObjects:
			kind = "set_publication_tables"
		}
	}
	ops := s.publications(kind, a.Pubname, a.Pubobjects, a.ForAllTables)
	_, values := options(a.Options)
	for i := range ops {
		ops[i].Text = values["publish"]
	}
	return ops
}

func (s *statement) userMapping(kind phases.Kind, user *pg.RoleSpec, server string, missing bool) []phases.Operation {
	op := s.make(kind, phases.Object{Kind: phases.UserMapping, Name: role(user)})
	op.Ref = phases.Object{Kind: phases.Server, Name: server}
	op.Flags = flag(phases.IfExists, missing)
	return []phases.Operation{op}
}
