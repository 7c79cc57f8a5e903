package parse

import (
	"strings"

	"github.com/bitvault/pawl/phases"
	pg "github.com/pganalyze/pg_query_go/v5"
)

func (s *statement) createTable(c *pg.CreateStmt, foreign bool) []phases.Operation {
	op := s.make("create_table", relation(phases.Table, c.Relation))
	def := &phases.TableDef{Foreign: foreign}
	op.Table = def
	op.Flags = flag(phases.IfNotExists, c.IfNotExists)
	if foreign {
		op.Kind, op.On.Kind = "create_foreign_table", phases.ForeignTable
	}
	persistence(c.Relation, def)
	if c.Relation.GetSchemaname() == "pg_temp" {
		def.Temporary = true
	}
	if c.Oncommit == pg.OnCommitAction_ONCOMMIT_DROP {
		def.OnCommit = "drop"
	}
	for _, n := range c.TableElts {
		switch v := n.GetNode().(type) {
		case *pg.Node_ColumnDef:
			def.Columns = append(def.Columns, columnDef(v.ColumnDef))
		case *pg.Node_Constraint:
			def.Constraints = append(def.Constraints, constraintDef(v.Constraint))
		case *pg.Node_TableLikeClause:
			def.Likes = append(def.Likes, likeDef(v.TableLikeClause))
		}
	}
	for _, n := range c.Constraints {
		if v := n.GetConstraint(); v != nil {
			def.Constraints = append(def.Constraints, constraintDef(v))
		}
	}
	if c.OfTypename != nil {
		def.OfType = typeName(c.OfTypename)
	}
	if c.Partspec != nil {
		def.Strategy, def.PartitionKey = partitionKey(c.Partspec)
	}
	for _, n := range c.InhRelations {
		def.Inherits = append(def.Inherits, relation(phases.Table, n.GetRangeVar()))
	}
	if c.Partbound != nil && len(def.Inherits) > 0 {
		def.PartitionOf, def.Inherits = def.Inherits[0], nil
		def.Bound = bound(c.Partbound)
		op.Kind, op.Ref = "create_partition", def.PartitionOf
	}
	return []phases.Operation{op}
}

func persistence(r *pg.RangeVar, def *phases.TableDef) {
	def.Temporary = r.GetRelpersistence() == "t"
	def.Unlogged = r.GetRelpersistence() == "u"
}

func likeDef(l *pg.TableLikeClause) phases.LikeDef {
	// The bits are those of TableLikeOption in src/include/nodes/parsenodes.h.
	const (
		constraints = 1 << 2
		defaults    = 1 << 3
		generated   = 1 << 4
		identity    = 1 << 5
		indexes     = 1 << 6
	)
	return phases.LikeDef{
		Table: relation(phases.Table, l.Relation), Constraints: l.Options&constraints != 0,
		Defaults: l.Options&defaults != 0, Generated: l.Options&generated != 0,
		Identity: l.Options&identity != 0, Indexes: l.Options&indexes != 0,
	}
}

func partitionKey(p *pg.PartitionSpec) (strategy byte, columns []string) {
	switch p.Strategy {
	case pg.PartitionStrategy_PARTITION_STRATEGY_LIST:
		strategy = 'l'
	case pg.PartitionStrategy_PARTITION_STRATEGY_HASH:
		strategy = 'h'
	default:
		strategy = 'r'
	}
	for _, n := range p.PartParams {
		e := n.GetPartitionElem()
		if e.GetName() != "" {
			columns = append(columns, e.GetName())
		} else if x := expression(e.GetExpr()); x != nil {
			columns = append(columns, x.Columns...)
		}
	}
	return strategy, columns
}

func bound(b *pg.PartitionBoundSpec) *phases.PartitionBound {
	if b == nil {
		return nil
	}
	out := &phases.PartitionBound{Default: b.IsDefault, Modulus: int(b.Modulus), Remainder: int(b.Remainder)}
	if b.Strategy != "" {
		out.Strategy = b.Strategy[0]
	}
	datums := func(list []*pg.Node) (out []string) {
		for _, n := range list {
			text := word(n)
			if d := n.GetPartitionRangeDatum(); d != nil {
				switch d.Kind {
				case pg.PartitionRangeDatumKind_PARTITION_RANGE_DATUM_MINVALUE:
					text = "MINVALUE"
				case pg.PartitionRangeDatumKind_PARTITION_RANGE_DATUM_MAXVALUE:
					text = "MAXVALUE"
				default:
					text, _, _ = literal(d.Value)
				}
			} else if lit, _, ok := literal(n); ok {
				text = lit
			}
			// MINVALUE and MAXVALUE reach the parser's output as plain column names.
			out = append(out, text)
		}
		return out
	}
	out.Lower, out.Upper, out.List = datums(b.Lowerdatums), datums(b.Upperdatums), datums(b.Listdatums)
	return out
}

func columnDef(c *pg.ColumnDef) phases.ColumnDef {
	def := phases.ColumnDef{Name: c.Colname, Type: typeName(c.TypeName), NotNull: c.IsNotNull}
	switch def.Type.Name {
	case "smallserial", "serial2":
		def.Serial, def.Type.Name = true, "int2"
	case "serial", "serial4":
		def.Serial, def.Type.Name = true, "int4"
	case "bigserial", "serial8":
		def.Serial, def.Type.Name = true, "int8"
	}
	def.NotNull = def.NotNull || def.Serial
	if c.CollClause != nil {
		def.Collation = strings.Join(words(c.CollClause.Collname), ".")
	}
	for _, n := range c.Constraints {
		k := n.GetConstraint()
		switch k.GetContype() {
		case pg.ConstrType_CONSTR_NULL, pg.ConstrType_CONSTR_ATTR_DEFERRABLE, pg.ConstrType_CONSTR_ATTR_NOT_DEFERRABLE,
			pg.ConstrType_CONSTR_ATTR_DEFERRED, pg.ConstrType_CONSTR_ATTR_IMMEDIATE:
			if k.GetContype() == pg.ConstrType_CONSTR_ATTR_DEFERRABLE || k.GetContype() == pg.ConstrType_CONSTR_ATTR_DEFERRED {
				if n := len(def.Constraints); n > 0 {
					def.Constraints[n-1].Deferrable = true
				}
			}
		case pg.ConstrType_CONSTR_NOTNULL:
			def.NotNull = true
		case pg.ConstrType_CONSTR_DEFAULT:
			def.Default = expression(k.RawExpr)
		case pg.ConstrType_CONSTR_IDENTITY:
			def.Identity, def.NotNull = 'd', true
			if k.GeneratedWhen == "a" {
				def.Identity = 'a'
			}
		case pg.ConstrType_CONSTR_GENERATED:
			def.Generated = 's'
			def.Expression = expression(k.RawExpr)
		default:
			d := constraintDef(k)
			if len(d.Columns) == 0 {
				d.Columns = []string{def.Name}
			}
			def.NotNull = def.NotNull || d.Type == phases.PrimaryKeyConstraint
			def.Constraints = append(def.Constraints, d)
		}
	}
	if c.RawDefault != nil && def.Default == nil {
		def.Default = expression(c.RawDefault)
	}
	return def
}

func constraintDef(k *pg.Constraint) phases.ConstraintDef {
	def := phases.ConstraintDef{
		Name: k.Conname, NotValid: k.SkipValidation, NoInherit: k.IsNoInherit, Deferrable: k.Deferrable,
		NullsNotDistinct: k.NullsNotDistinct, Index: k.Indexname,
	}
	switch k.Contype {
	case pg.ConstrType_CONSTR_CHECK:
		def.Type, def.Expr = phases.CheckConstraint, expression(k.RawExpr)
		if def.Expr != nil {
			def.Columns = def.Expr.Columns
		}
	case pg.ConstrType_CONSTR_PRIMARY:
		def.Type, def.Columns = phases.PrimaryKeyConstraint, words(k.Keys)
	case pg.ConstrType_CONSTR_UNIQUE:
		def.Type, def.Columns = phases.UniqueConstraint, words(k.Keys)
	case pg.ConstrType_CONSTR_NOTNULL:
		def.Type, def.Columns = phases.NotNullConstraint, words(k.Keys)
	case pg.ConstrType_CONSTR_FOREIGN:
		def.Type, def.Columns = phases.ForeignKeyConstraint, words(k.FkAttrs)
		def.Ref, def.RefColumns = relation(phases.Table, k.Pktable), words(k.PkAttrs)
		def.OnDelete, def.OnUpdate = letter(k.FkDelAction), letter(k.FkUpdAction)
		def.MatchFull = k.FkMatchtype == "f"
	case pg.ConstrType_CONSTR_EXCLUSION:
		def.Type, def.Method = phases.ExclusionConstraint, k.AccessMethod
		for _, n := range k.Exclusions {
			items := n.GetList().GetItems()
			if len(items) != 2 {
				continue
			}
			if name := items[0].GetIndexElem().GetName(); name != "" {
				def.Columns = append(def.Columns, name)
			} else if x := expression(items[0].GetIndexElem().GetExpr()); x != nil {
				def.Columns = append(def.Columns, x.Columns...)
			}
			def.Operators = append(def.Operators, word(items[1]))
		}
		def.Where = expression(k.WhereClause)
	}
	return def
}

func letter(s string) byte {
	if s == "" {
		return 0
	}
	return s[0]
}

func (s *statement) createTableAs(c *pg.CreateTableAsStmt) []phases.Operation {
	kind, object := phases.Kind("create_table_as"), phases.Table
	if c.Objtype == pg.ObjectType_OBJECT_MATVIEW {
		kind, object = "create_materialized_view", phases.MatView
	}
	op := s.make(kind, relation(object, c.Into.Rel))
	op.Table = &phases.TableDef{NoData: c.Into.SkipData, ColumnList: words(c.Into.ColNames)}
	persistence(c.Into.Rel, op.Table)
	op.Flags = flag(phases.IfNotExists, c.IfNotExists) | flag(phases.NoData, c.Into.SkipData)
	op.Query = query(c.Query)
	if c.Query.GetExecuteStmt() != nil {
		op.Query.Functions = append(op.Query.Functions, phases.FunctionUse{Name: "execute"})
	}
	return []phases.Operation{op}
}

func (s *statement) truncate(t *pg.TruncateStmt) []phases.Operation {
	var ops []phases.Operation
	for _, n := range t.Relations {
		op := s.make("truncate", relation(phases.Table, n.GetRangeVar()))
		op.Flags = cascade(t.Behavior) | flag(phases.Only, !n.GetRangeVar().GetInh())
		for _, m := range t.Relations {
			op.Names = append(op.Names, m.GetRangeVar().GetRelname())
		}
		if t.RestartSeqs {
			op.Text = "restart identity"
		}
		ops = append(ops, op)
	}
	return ops
}

func (s *statement) lock(l *pg.LockStmt) []phases.Operation {
	var ops []phases.Operation
	for _, n := range l.Relations {
		op := s.make("lock_table", relation(phases.Table, n.GetRangeVar()))
		// PostgreSQL numbers its modes from ACCESS SHARE = 1, as pawl does.
		op.Mode = phases.Lock(l.Mode) //nolint:gosec // the grammar gives 1 to 8
		op.Flags = flag(phases.Only, !n.GetRangeVar().GetInh()) | flag(phases.NoWait, l.Nowait)
		ops = append(ops, op)
	}
	return ops
}
