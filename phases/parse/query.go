package parse

import (
	"slices"
	"strconv"
	"strings"

	"github.com/bitvault/pawl/phases"
	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// collector walks a query or an expression and gathers what it reads, writes and calls. The node types that queries
// are made of have a case of their own, because reflection costs ten times as much; every other node is still walked,
// by reflection, so that nothing inside a node that nobody thought of is missed.
type collector struct {
	q        phases.QueryDef
	ctes     []string
	subquery bool
	stable   bool
	depth    int
	// variables is true inside a function's body, where a bare name may be a variable.
	variables bool
}

// query gives what a statement's query does.
func query(n *pg.Node) *phases.QueryDef { return queryIn(n, false) }

// queryIn is query for a place where bare names may be variables.
func queryIn(n *pg.Node, variables bool) *phases.QueryDef {
	c := collector{variables: variables}
	c.node(n)
	switch v := n.GetNode().(type) {
	case *pg.Node_SelectStmt:
		c.outputs(v.SelectStmt)
	}
	return &c.q
}

func (c *collector) list(nodes []*pg.Node) {
	for _, n := range nodes {
		c.node(n)
	}
}

func (c *collector) node(n *pg.Node) {
	if n == nil {
		return
	}
	switch v := n.Node.(type) {
	case nil, *pg.Node_String_, *pg.Node_Integer, *pg.Node_Float, *pg.Node_Boolean, *pg.Node_AConst, *pg.Node_AStar,
		*pg.Node_ParamRef, *pg.Node_SetToDefault, *pg.Node_BitString:
	case *pg.Node_ColumnRef:
		c.columnRef(v.ColumnRef)
	case *pg.Node_AExpr:
		c.node(v.AExpr.Lexpr)
		c.node(v.AExpr.Rexpr)
		c.operator(v.AExpr)
	case *pg.Node_BoolExpr:
		c.list(v.BoolExpr.Args)
	case *pg.Node_TypeCast:
		c.typeUse(v.TypeCast.TypeName)
		c.node(v.TypeCast.Arg)
	case *pg.Node_FuncCall:
		c.call(v.FuncCall)
	case *pg.Node_NullTest:
		c.node(v.NullTest.Arg)
	case *pg.Node_BooleanTest:
		c.node(v.BooleanTest.Arg)
	case *pg.Node_CaseExpr:
		c.node(v.CaseExpr.Arg)
		c.list(v.CaseExpr.Args)
		c.node(v.CaseExpr.Defresult)
	case *pg.Node_CaseWhen:
		c.node(v.CaseWhen.Expr)
		c.node(v.CaseWhen.Result)
	case *pg.Node_CoalesceExpr:
		c.list(v.CoalesceExpr.Args)
	case *pg.Node_MinMaxExpr:
		c.list(v.MinMaxExpr.Args)
	case *pg.Node_SqlvalueFunction:
		c.stable = true
	case *pg.Node_AArrayExpr:
		c.list(v.AArrayExpr.Elements)
	case *pg.Node_RowExpr:
		c.list(v.RowExpr.Args)
	case *pg.Node_AIndirection:
		c.node(v.AIndirection.Arg)
		c.list(v.AIndirection.Indirection)
	case *pg.Node_AIndices:
		c.node(v.AIndices.Lidx)
		c.node(v.AIndices.Uidx)
	case *pg.Node_CollateClause:
		c.node(v.CollateClause.Arg)
	case *pg.Node_NamedArgExpr:
		c.node(v.NamedArgExpr.Arg)
	case *pg.Node_List:
		c.list(v.List.Items)
	case *pg.Node_SubLink:
		c.subquery = true
		c.node(v.SubLink.Testexpr)
		c.node(v.SubLink.Subselect)
	case *pg.Node_ResTarget:
		c.node(v.ResTarget.Val)
	case *pg.Node_MultiAssignRef:
		c.node(v.MultiAssignRef.Source)
	case *pg.Node_SortBy:
		c.node(v.SortBy.Node)
	case *pg.Node_WindowDef:
		c.window(v.WindowDef)
	case *pg.Node_RangeVar:
		c.read(v.RangeVar)
	case *pg.Node_JoinExpr:
		c.node(v.JoinExpr.Larg)
		c.node(v.JoinExpr.Rarg)
		c.node(v.JoinExpr.Quals)
		c.q.Columns = append(c.q.Columns, words(v.JoinExpr.UsingClause)...)
	case *pg.Node_RangeSubselect:
		c.node(v.RangeSubselect.Subquery)
	case *pg.Node_RangeFunction:
		c.list(v.RangeFunction.Functions)
	case *pg.Node_RangeTableSample:
		c.node(v.RangeTableSample.Relation)
		c.list(v.RangeTableSample.Args)
	case *pg.Node_LockingClause:
	case *pg.Node_SelectStmt:
		c.selectStmt(v.SelectStmt)
	case *pg.Node_InsertStmt:
		c.insert(v.InsertStmt)
	case *pg.Node_UpdateStmt:
		c.update(v.UpdateStmt)
	case *pg.Node_DeleteStmt:
		c.delete(v.DeleteStmt)
	case *pg.Node_MergeStmt:
		c.merge(v.MergeStmt)
	case *pg.Node_TypeName:
		c.typeUse(v.TypeName)
	default:
		c.reflect(n.ProtoReflect())
	}
}

// reflect walks the fields of a message of which no case above knows the type.
func (c *collector) reflect(m protoreflect.Message) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.Kind() != protoreflect.MessageKind {
			return true
		}
		visit := func(m protoreflect.Message) {
			switch t := m.Interface().(type) {
			case *pg.Node:
				c.node(t)
			case *pg.RangeVar:
				c.read(t)
			case *pg.TypeName:
				c.typeUse(t)
			case *pg.FuncCall:
				c.call(t)
			case *pg.SelectStmt:
				c.selectStmt(t)
			default:
				c.reflect(m)
			}
		}
		if fd.IsList() {
			for i := range v.List().Len() {
				visit(v.List().Get(i).Message())
			}
			return true
		}
		visit(v.Message())
		return true
	})
}

func (c *collector) columnRef(r *pg.ColumnRef) {
	if n := len(r.Fields); n > 0 {
		if name := word(r.Fields[n-1]); name != "" {
			c.q.Columns = append(c.q.Columns, name)
		} else {
			c.q.Columns = append(c.q.Columns, "*")
		}
	}
}

// operator notes operators that are not PostgreSQL's own, because a function of unknown making stands behind them.
func (c *collector) operator(e *pg.A_Expr) {
	if len(e.Name) > 1 {
		schema, name := qualified(words(e.Name))
		c.q.Functions = append(c.q.Functions, phases.FunctionUse{Schema: schema, Name: "operator " + name, Args: 2})
	}
}

func (c *collector) typeUse(t *pg.TypeName) {
	if t != nil {
		c.q.Types = append(c.q.Types, typeName(t))
	}
}

func (c *collector) call(f *pg.FuncCall) {
	schema, name := qualified(words(f.Funcname))
	use := phases.FunctionUse{Schema: schema, Name: name, Args: len(f.Args)}
	if len(f.Args) > 0 {
		use.Literal = word(f.Args[0])
	}
	for _, a := range f.Args {
		if use.Column == "" && a.GetColumnRef() != nil {
			use.Column = lastField(a)
		}
	}
	c.q.Functions = append(c.q.Functions, use)
	c.list(f.Args)
	c.list(f.AggOrder)
	c.node(f.AggFilter)
	if f.Over != nil {
		c.window(f.Over)
	}
}

func (c *collector) window(w *pg.WindowDef) {
	c.list(w.PartitionClause)
	c.list(w.OrderClause)
	c.node(w.StartOffset)
	c.node(w.EndOffset)
}

func (c *collector) read(r *pg.RangeVar) {
	if r == nil || r.Schemaname == "" && slices.Contains(c.ctes, r.Relname) {
		return
	}
	c.q.Reads = append(c.q.Reads, relation(phases.Table, r))
}

// with walks the common table expressions; the caller cuts c.ctes back to its old length afterwards.
func (c *collector) with(w *pg.WithClause) {
	if w == nil {
		return
	}
	if w.Recursive {
		for _, n := range w.Ctes {
			c.ctes = append(c.ctes, n.GetCommonTableExpr().GetCtename())
		}
	}
	for _, n := range w.Ctes {
		cte := n.GetCommonTableExpr()
		c.node(cte.GetCtequery())
		if !w.Recursive {
			c.ctes = append(c.ctes, cte.GetCtename())
		}
	}
}

func (c *collector) selectStmt(s *pg.SelectStmt) {
	if s == nil {
		return
	}
	defer c.leave(len(c.ctes))
	c.depth++
	c.with(s.WithClause)
	c.list(s.DistinctClause)
	c.list(s.TargetList)
	c.list(s.FromClause)
	c.node(s.WhereClause)
	c.list(s.GroupClause)
	c.node(s.HavingClause)
	c.list(s.WindowClause)
	c.list(s.ValuesLists)
	c.list(s.SortClause)
	c.node(s.LimitOffset)
	c.node(s.LimitCount)
	if len(s.LockingClause) > 0 {
		for _, f := range s.FromClause {
			if r := f.GetRangeVar(); r != nil {
				c.q.Locks = append(c.q.Locks, relation(phases.Table, r))
			}
		}
	}
	if s.IntoClause != nil && s.IntoClause.Rel != nil {
		c.q.Writes = append(c.q.Writes, phases.Write{Verb: "create", Table: relation(phases.Table, s.IntoClause.Rel)})
	}
	c.selectStmt(s.Larg)
	c.selectStmt(s.Rarg)
	if c.depth == 1 {
		c.q.Where = s.WhereClause != nil
		c.q.Key = keyColumns(s.WhereClause, c.variables)
		c.q.Limited = s.LimitCount != nil && len(s.SortClause) == 0
	}
	c.depth--
}

func (c *collector) leave(ctes int) { c.ctes = c.ctes[:ctes] }

func (c *collector) insert(s *pg.InsertStmt) {
	defer c.leave(len(c.ctes))
	c.depth++
	c.with(s.WithClause)
	w := phases.Write{Verb: "insert", Table: relation(phases.Table, s.Relation), Where: true}
	for _, n := range s.Cols {
		w.Columns = append(w.Columns, n.GetResTarget().GetName())
	}
	if oc := s.OnConflictClause; oc != nil {
		w.Conflict = oc.Action == pg.OnConflictAction_ONCONFLICT_UPDATE
		c.list(oc.TargetList)
		c.node(oc.WhereClause)
	}
	c.node(s.SelectStmt)
	c.list(s.ReturningList)
	c.q.Writes = append(c.q.Writes, w)
	c.depth--
}

func (c *collector) update(s *pg.UpdateStmt) {
	defer c.leave(len(c.ctes))
	c.depth++
	c.with(s.WithClause)
	w := phases.Write{Verb: "update", Table: relation(phases.Table, s.Relation), Where: s.WhereClause != nil, Key: keyColumns(s.WhereClause, c.variables)}
	for _, n := range s.TargetList {
		w.Columns = append(w.Columns, n.GetResTarget().GetName())
	}
	c.list(s.TargetList)
	c.list(s.FromClause)
	c.node(s.WhereClause)
	c.list(s.ReturningList)
	c.q.Writes = append(c.q.Writes, w)
	c.depth--
}

func (c *collector) delete(s *pg.DeleteStmt) {
	defer c.leave(len(c.ctes))
	c.depth++
	c.with(s.WithClause)
	c.list(s.UsingClause)
	c.node(s.WhereClause)
	c.list(s.ReturningList)
	c.q.Writes = append(c.q.Writes, phases.Write{
		Verb: "delete", Table: relation(phases.Table, s.Relation), Where: s.WhereClause != nil, Key: keyColumns(s.WhereClause, c.variables),
	})
	c.depth--
}

func (c *collector) merge(s *pg.MergeStmt) {
	defer c.leave(len(c.ctes))
	c.depth++
	c.with(s.WithClause)
	c.node(s.SourceRelation)
	c.node(s.JoinCondition)
	for _, n := range s.MergeWhenClauses {
		w := n.GetMergeWhenClause()
		c.node(w.GetCondition())
		c.list(w.GetTargetList())
		c.list(w.GetValues())
	}
	c.q.Writes = append(c.q.Writes, phases.Write{Verb: "merge", Table: relation(phases.Table, s.Relation), Where: true, Key: joined(s.JoinCondition)})
	c.depth--
}

// keyColumns gives the columns that a condition compares for equality, or for being in a list or range, with
// constants or parameters, in the parts that AND joins: what an index can look up.
func keyColumns(n *pg.Node, variables bool) []string {
	switch v := n.GetNode().(type) {
	case *pg.Node_BoolExpr:
		if v.BoolExpr.Boolop != pg.BoolExprType_AND_EXPR {
			return nil
		}
		var out []string
		for _, a := range v.BoolExpr.Args {
			out = append(out, keyColumns(a, variables)...)
		}
		return out
	case *pg.Node_AExpr:
		switch op := word(first(v.AExpr.Name)); {
		case v.AExpr.Kind == pg.A_Expr_Kind_AEXPR_BETWEEN, v.AExpr.Kind == pg.A_Expr_Kind_AEXPR_IN && op == "=",
			v.AExpr.Kind == pg.A_Expr_Kind_AEXPR_OP && op == "=", v.AExpr.Kind == pg.A_Expr_Kind_AEXPR_OP_ANY && op == "=":
			if name := lastField(v.AExpr.Lexpr); name != "" && (variables || !mentionsColumn(v.AExpr.Rexpr)) {
				return []string{name}
			}
			if name := lastField(v.AExpr.Rexpr); name != "" && (variables || !mentionsColumn(v.AExpr.Lexpr)) {
				return []string{name}
			}
		}
	}
	return nil
}

// joined gives the columns, of either side, that a join compares for equality, in the parts that AND joins.
func joined(n *pg.Node) []string {
	switch v := n.GetNode().(type) {
	case *pg.Node_BoolExpr:
		if v.BoolExpr.Boolop != pg.BoolExprType_AND_EXPR {
			return nil
		}
		var out []string
		for _, a := range v.BoolExpr.Args {
			out = append(out, joined(a)...)
		}
		return out
	case *pg.Node_AExpr:
		if v.AExpr.Kind == pg.A_Expr_Kind_AEXPR_OP && word(first(v.AExpr.Name)) == "=" {
			return slices.DeleteFunc([]string{lastField(v.AExpr.Lexpr), lastField(v.AExpr.Rexpr)}, func(name string) bool { return name == "" })
		}
	}
	return nil
}

func first(list []*pg.Node) *pg.Node {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

func lastField(n *pg.Node) string {
	r := n.GetColumnRef()
	if r == nil || len(r.Fields) == 0 {
		return ""
	}
	return word(r.Fields[len(r.Fields)-1])
}

func mentionsColumn(n *pg.Node) bool {
	c := collector{}
	c.node(n)
	return len(c.q.Columns) > 0
}

// outputs notes the columns that a query gives, and whether a view on it takes writes by itself.
func (c *collector) outputs(s *pg.SelectStmt) {
	for s.Op != pg.SetOperation_SETOP_NONE && s.Larg != nil {
		s = s.Larg
		c.q.Simple = false
	}
	var sources []*pg.RangeVar
	var aliases []string
	for _, f := range s.FromClause {
		sources, aliases = fromRelations(f, sources, aliases)
	}
	for _, n := range s.TargetList {
		c.q.Outputs = append(c.q.Outputs, output(n.GetResTarget(), sources, aliases))
	}
	if len(s.ValuesLists) > 0 {
		for i := range s.ValuesLists[0].GetList().GetItems() {
			c.q.Outputs = append(c.q.Outputs, phases.Output{Name: "column" + strconv.Itoa(i+1)})
		}
	}
	c.q.Simple = len(s.FromClause) == 1 && s.FromClause[0].GetRangeVar() != nil && s.Op == pg.SetOperation_SETOP_NONE &&
		len(s.DistinctClause) == 0 && len(s.GroupClause) == 0 && s.HavingClause == nil && s.LimitCount == nil &&
		s.LimitOffset == nil && s.WithClause == nil && len(s.WindowClause) == 0 && !aggregates(s.TargetList)
}

// aggregates reports whether a target list calls a function that makes a view read-only: an aggregate, a window
// function or one that returns a set. It names the common ones and leaves a plain function alone.
func aggregates(targets []*pg.Node) bool {
	c := collector{}
	c.list(targets)
	for _, f := range c.q.Functions {
		switch f.Name {
		case "count", "sum", "avg", "min", "max", "array_agg", "string_agg", "json_agg", "jsonb_agg", "bool_and",
			"bool_or", "every", "row_number", "rank", "dense_rank", "lag", "lead", "first_value", "last_value",
			"unnest", "generate_series", "jsonb_array_elements", "json_array_elements", "regexp_split_to_table":
			return true
		}
	}
	return false
}

func fromRelations(n *pg.Node, sources []*pg.RangeVar, aliases []string) ([]*pg.RangeVar, []string) {
	switch v := n.GetNode().(type) {
	case *pg.Node_RangeVar:
		alias := v.RangeVar.Alias.GetAliasname()
		if alias == "" {
			alias = v.RangeVar.Relname
		}
		return append(sources, v.RangeVar), append(aliases, alias)
	case *pg.Node_JoinExpr:
		sources, aliases = fromRelations(v.JoinExpr.Larg, sources, aliases)
		return fromRelations(v.JoinExpr.Rarg, sources, aliases)
	case *pg.Node_RangeSubselect:
		return append(sources, nil), append(aliases, v.RangeSubselect.Alias.GetAliasname())
	default:
		return append(sources, nil), append(aliases, "")
	}
}

func output(t *pg.ResTarget, sources []*pg.RangeVar, aliases []string) phases.Output {
	out := phases.Output{Name: t.GetName()}
	val := t.GetVal()
	if tc := val.GetTypeCast(); tc != nil {
		out.Type = typeName(tc.TypeName)
		val = tc.Arg
		if out.Name == "" && val.GetColumnRef() == nil {
			out.Name = out.Type.Name
		}
		if out.Name == "" {
			out.Name = lastField(val)
		}
		return out
	}
	switch v := val.GetNode().(type) {
	case *pg.Node_ColumnRef:
		fields := v.ColumnRef.Fields
		name := word(fields[len(fields)-1])
		qualifier := ""
		if len(fields) > 1 {
			qualifier = word(fields[len(fields)-2])
		}
		if name == "" {
			out.Star = true
		} else if out.Name == "" {
			out.Name = name
		}
		for i, r := range sources {
			if r != nil && (qualifier == aliases[i] || qualifier == "" && len(sources) == 1) {
				out.Column = columnOf(relation(phases.Table, r), name)
			}
		}
	case *pg.Node_FuncCall:
		if out.Name == "" {
			_, out.Name = qualified(words(v.FuncCall.Funcname))
		}
		if strings.EqualFold(out.Name, "count") {
			out.Type = phases.TypeName{Name: "int8"}
		}
	case *pg.Node_AConst:
		if out.Name == "" {
			out.Name = "?column?"
		}
		switch v.AConst.Val.(type) {
		case *pg.A_Const_Ival:
			out.Type = phases.TypeName{Name: "int4"}
		case *pg.A_Const_Sval:
			out.Type = phases.TypeName{Name: "text"}
		}
	case *pg.Node_CaseExpr:
		if out.Name == "" {
			out.Name = "case"
		}
	case *pg.Node_CoalesceExpr:
		if out.Name == "" {
			out.Name = "coalesce"
		}
	default:
		if out.Name == "" {
			out.Name = "?column?"
		}
	}
	return out
}
