package parse

import (
	"strings"

	"github.com/bitvault/pawl/phases"
	pg "github.com/pganalyze/pg_query_go/v5"
)

func (s *statement) alterTable(a *pg.AlterTableStmt) []phases.Operation {
	on := relation(objectKind(a.Objtype), a.Relation)
	if a.Objtype == pg.ObjectType_OBJECT_TYPE {
		on = phases.Object{Kind: phases.Type, Schema: on.Schema, Name: on.Relation}
	}
	flags := flag(phases.IfExists, a.MissingOk) | flag(phases.Only, !a.Relation.GetInh())
	spans := s.commandSpans(len(a.Cmds))
	ops := make([]phases.Operation, 0, len(a.Cmds))
	for i, n := range a.Cmds {
		op := s.alterCommand(on, n.GetAlterTableCmd())
		// IF EXISTS of the table is told from IF EXISTS of the column or constraint by Text.
		if flags.Has(phases.IfExists) {
			op.Flags |= phases.IfTable
		}
		op.Flags |= flags &^ phases.IfExists
		op.Span = spans[i]
		ops = append(ops, op)
	}
	return ops
}

// commandSpans gives the place of each command of an ALTER TABLE: the stretches between the commas.
func (s *statement) commandSpans(n int) []phases.Span {
	spans := make([]phases.Span, n)
	for i := range spans {
		spans[i] = s.span
	}
	if n < 2 || s.body {
		return spans
	}
	sc := scanner{src: s.text}
	start, end, parens, i := -1, 0, 0, 0
	base := s.span.Start.Offset
	sc.pos = headEnd(s.text)
	for {
		t := sc.nextCode()
		text := s.text[t.start:t.end]
		if t.kind == tokenEOF || text == "," && parens == 0 {
			if i < n && start >= 0 {
				spans[i] = s.at.span(base+start, base+end)
			}
			i++
			start = -1
			if t.kind == tokenEOF {
				return spans
			}
			continue
		}
		switch text {
		case "(", "[":
			parens++
		case ")", "]":
			parens--
		}
		if start < 0 {
			start = t.start
		}
		end = t.end
	}
}

// headEnd gives where `ALTER TABLE IF EXISTS ONLY schema.name *` ends.
func headEnd(text string) int {
	sc := scanner{src: text}
	end, named := 0, false
	for {
		t := sc.nextCode()
		w := strings.ToLower(text[t.start:t.end])
		switch {
		case t.kind == tokenEOF:
			return end
		case !named && t.kind == tokenWord && strings.Contains(" alter table index view materialized sequence foreign type if exists only ", " "+w+" "):
		case !named && (t.kind == tokenWord || t.kind == tokenQuoted):
			named = true
		case w == "." && named:
			// The part behind the dot is the name.
			t = sc.nextCode()
		case w == "*":
		default:
			return end
		}
		end = t.end
	}
}

func (s *statement) alterCommand(on phases.Object, c *pg.AlterTableCmd) phases.Operation {
	op := s.make("", on)
	op.Flags = flag(phases.IfExists, c.MissingOk) | cascade(c.Behavior)
	col := func(kind phases.Kind) {
		op.Kind, op.On = kind, columnOf(on, c.Name)
	}
	composite := on.Kind == phases.Type
	if composite {
		col = func(kind phases.Kind) {
			op.Kind, op.On = kind, phases.Object{Kind: phases.Attribute, Schema: on.Schema, Name: on.Name, Column: c.Name}
		}
	}
	switch c.Subtype {
	case pg.AlterTableType_AT_AddColumn:
		def := columnDef(c.Def.GetColumnDef())
		c.Name = def.Name
		col("add_column")
		if composite {
			op.Kind = "add_attribute"
		}
		op.Column, op.Type = &def, def.Type.String()
		op.Flags = op.Flags&^phases.IfExists | flag(phases.IfNotExists, c.MissingOk)
	case pg.AlterTableType_AT_ColumnDefault:
		if c.Def == nil {
			col("drop_default")
		} else {
			col("set_default")
			op.Expr = expression(c.Def)
		}
	case pg.AlterTableType_AT_DropNotNull:
		col("drop_not_null")
	case pg.AlterTableType_AT_SetNotNull:
		col("set_not_null")
	case pg.AlterTableType_AT_DropExpression:
		col("drop_expression")
	case pg.AlterTableType_AT_SetStatistics:
		col("set_statistics")
		if c.Name == "" {
			op.Names = []string{"index column"}
		}
	case pg.AlterTableType_AT_SetOptions:
		col("set_column_options")
		op.Names, _ = options(c.Def.GetList().GetItems())
	case pg.AlterTableType_AT_ResetOptions:
		col("set_column_options")
		op.Names, _ = options(c.Def.GetList().GetItems())
	case pg.AlterTableType_AT_SetStorage:
		col("set_storage")
		op.Text = word(c.Def)
	case pg.AlterTableType_AT_SetCompression:
		col("set_compression")
	case pg.AlterTableType_AT_DropColumn:
		col("drop_column")
		if composite {
			op.Kind = "drop_attribute"
		}
	case pg.AlterTableType_AT_AddConstraint:
		s.addConstraint(&op, on, c.Def.GetConstraint())
	case pg.AlterTableType_AT_AlterConstraint:
		k := c.Def.GetConstraint()
		op.Kind, op.On = "alter_constraint", part(phases.Constraint, on, k.GetConname())
		op.Constraint = &phases.ConstraintDef{Name: k.GetConname(), Deferrable: k.GetDeferrable()}
	case pg.AlterTableType_AT_ValidateConstraint:
		op.Kind, op.On = "validate_constraint", part(phases.Constraint, on, c.Name)
	case pg.AlterTableType_AT_DropConstraint:
		op.Kind, op.On = "drop_constraint", part(phases.Constraint, on, c.Name)
	case pg.AlterTableType_AT_AlterColumnType:
		col("alter_column_type")
		if composite {
			op.Kind = "alter_attribute_type"
		}
		def := columnDef(c.Def.GetColumnDef())
		op.Column, op.Type = &def, def.Type.String()
		op.Expr = expression(c.Def.GetColumnDef().GetRawDefault())
		op.Column.Default = nil
	case pg.AlterTableType_AT_AlterColumnGenericOptions:
		col("foreign_column_options")
	case pg.AlterTableType_AT_ChangeOwner:
		op.Kind, op.To = "owner_"+kindSuffix(on.Kind), role(c.Newowner)
	case pg.AlterTableType_AT_ClusterOn:
		op.Kind, op.Text = "cluster_on", c.Name
	case pg.AlterTableType_AT_DropCluster:
		op.Kind = "set_without_cluster"
	case pg.AlterTableType_AT_SetLogged:
		op.Kind = "set_logged"
	case pg.AlterTableType_AT_SetUnLogged:
		op.Kind = "set_unlogged"
	case pg.AlterTableType_AT_DropOids:
		op.Kind = "set_without_oids"
	case pg.AlterTableType_AT_SetAccessMethod:
		op.Kind, op.To = "set_access_method", c.Name
	case pg.AlterTableType_AT_SetTableSpace:
		op.Kind, op.To = "set_tablespace", c.Name
		if on.Kind == phases.Index {
			op.Kind = "set_index_tablespace"
		}
	case pg.AlterTableType_AT_SetRelOptions, pg.AlterTableType_AT_ReplaceRelOptions, pg.AlterTableType_AT_ResetRelOptions:
		s.storage(&op, c)
	case pg.AlterTableType_AT_EnableTrig, pg.AlterTableType_AT_EnableAlwaysTrig, pg.AlterTableType_AT_EnableReplicaTrig:
		op.Kind, op.On = "enable_trigger", part(phases.Trigger, on, c.Name)
	case pg.AlterTableType_AT_EnableTrigAll, pg.AlterTableType_AT_EnableTrigUser:
		op.Kind, op.On, op.Text = "enable_trigger", part(phases.Trigger, on, ""), "all"
	case pg.AlterTableType_AT_DisableTrig:
		op.Kind, op.On = "disable_trigger", part(phases.Trigger, on, c.Name)
	case pg.AlterTableType_AT_DisableTrigAll:
		op.Kind, op.On, op.Text = "disable_trigger", part(phases.Trigger, on, ""), "all"
	case pg.AlterTableType_AT_DisableTrigUser:
		op.Kind, op.On, op.Text = "disable_trigger", part(phases.Trigger, on, ""), "user"
	case pg.AlterTableType_AT_EnableRule, pg.AlterTableType_AT_EnableAlwaysRule, pg.AlterTableType_AT_EnableReplicaRule:
		op.Kind, op.On = "enable_rule", part(phases.Rule, on, c.Name)
	case pg.AlterTableType_AT_DisableRule:
		op.Kind, op.On = "disable_rule", part(phases.Rule, on, c.Name)
	case pg.AlterTableType_AT_AddInherit:
		op.Kind, op.Ref = "inherit", relation(phases.Table, c.Def.GetRangeVar())
	case pg.AlterTableType_AT_DropInherit:
		op.Kind, op.Ref = "no_inherit", relation(phases.Table, c.Def.GetRangeVar())
	case pg.AlterTableType_AT_AddOf:
		op.Kind = "of_type"
		t := typeName(c.Def.GetTypeName())
		op.Ref = phases.Object{Kind: phases.Type, Schema: t.Schema, Name: t.Name}
	case pg.AlterTableType_AT_DropOf:
		op.Kind = "not_of"
	case pg.AlterTableType_AT_ReplicaIdentity:
		r := c.Def.GetReplicaIdentityStmt()
		op.Kind = "replica_identity"
		op.Text = r.GetIdentityType()
		op.Names = []string{r.GetName()}
	case pg.AlterTableType_AT_EnableRowSecurity:
		op.Kind = "enable_row_security"
	case pg.AlterTableType_AT_DisableRowSecurity:
		op.Kind = "disable_row_security"
	case pg.AlterTableType_AT_ForceRowSecurity:
		op.Kind = "force_row_security"
	case pg.AlterTableType_AT_NoForceRowSecurity:
		op.Kind = "no_force_row_security"
	case pg.AlterTableType_AT_GenericOptions:
		op.Kind = "foreign_table_options"
	case pg.AlterTableType_AT_AttachPartition:
		p := c.Def.GetPartitionCmd()
		op.Kind, op.Ref, op.Bound = "attach_partition", relation(phases.Table, p.GetName()), bound(p.GetBound())
		if on.Kind == phases.Index {
			op.Kind = "attach_index_partition"
			op.Ref.Kind = phases.Index
		}
	case pg.AlterTableType_AT_DetachPartition:
		p := c.Def.GetPartitionCmd()
		op.Kind, op.Ref = "detach_partition", relation(phases.Table, p.GetName())
		if p.GetConcurrent() {
			op.Kind, op.Flags = "detach_partition_concurrently", op.Flags|phases.Concurrently
		}
	case pg.AlterTableType_AT_DetachPartitionFinalize:
		op.Kind, op.Ref = "detach_partition_finalize", relation(phases.Table, c.Def.GetPartitionCmd().GetName())
	case pg.AlterTableType_AT_AddIdentity:
		col("add_identity")
		op.Text = c.Def.GetConstraint().GetGeneratedWhen()
		for _, n := range c.Def.GetConstraint().GetOptions() {
			// pg_dump names the sequence: its schema, if it is given, and its name.
			if d := n.GetDefElem(); d.GetDefname() == "sequence_name" {
				for _, part := range d.GetArg().GetList().GetItems() {
					op.Names = append(op.Names, part.GetString_().GetSval())
				}
			}
		}
	case pg.AlterTableType_AT_SetIdentity:
		col("set_identity")
		for _, n := range c.Def.GetList().GetItems() {
			d := n.GetDefElem()
			op.Names = append(op.Names, d.GetDefname())
			if d.GetDefname() == "generated" && d.GetArg().GetInteger().GetIval() == 'a' {
				op.Text = "a"
			}
		}
	case pg.AlterTableType_AT_DropIdentity:
		col("drop_identity")
	default:
		op.Kind = phases.Opaque
	}
	return op
}

func kindSuffix(k phases.ObjectKind) phases.Kind { return suffix("", k) }

func (s *statement) addConstraint(op *phases.Operation, on phases.Object, k *pg.Constraint) {
	def := constraintDef(k)
	op.Constraint, op.On, op.Ref = &def, part(phases.Constraint, on, def.Name), def.Ref
	switch def.Type {
	case phases.CheckConstraint:
		op.Kind = "add_check"
	case phases.ForeignKeyConstraint:
		op.Kind = "add_foreign_key"
	case phases.ExclusionConstraint:
		op.Kind = "add_exclusion"
	case phases.NotNullConstraint:
		op.Kind = "add_not_null"
	case phases.UniqueConstraint:
		op.Kind = "add_unique"
	case phases.PrimaryKeyConstraint:
		op.Kind = "add_primary_key"
	default:
		op.Kind = phases.Opaque
		return
	}
	switch {
	case def.Index != "":
		op.Kind += "_using_index"
	case def.NotValid:
		op.Kind += "_not_valid"
		op.Flags |= phases.NotValid
	}
}

// storage tells the storage parameters that need ACCESS EXCLUSIVE from the others (src/backend/access/common/reloptions.c).
func (s *statement) storage(op *phases.Operation, c *pg.AlterTableCmd) {
	op.Kind = "set_storage_parameters"
	op.Names, _ = options(c.Def.GetList().GetItems())
	switch op.On.Kind {
	case phases.View:
		op.Kind = "set_view_options"
	case phases.Index:
		op.Kind = "set_index_parameters"
	default:
		for _, name := range op.Names {
			if name == "user_catalog_table" {
				op.Kind = "set_user_catalog_table"
			}
		}
	}
}
