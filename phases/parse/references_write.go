package parse

import (
	"maps"
	"math"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bitvault/pawl/phases"
)

// target makes the item of the relation that a statement writes to.
func (r *resolver) target(v *pg_query.RangeVar, uses phases.Use) *item {
	saved := r.ctes
	// A common table expression cannot be written to: its name means the table here.
	r.ctes = nil
	before := maps.Clone(r.found)
	it := r.relation(v)
	// To be written to is not to be read.
	r.found = before
	r.ctes = saved
	schema, name, _ := strings.Cut(it.key, ".")
	r.use(phases.Object{Kind: phases.Table, Schema: schema, Relation: name}, uses)
	return it
}

func (r *resolver) write(it *item, name string, uses phases.Use) {
	schema, relation, _ := strings.Cut(it.key, ".")
	if !slices.Contains(r.schema.Relations[it.key], name) {
		fail("column %s of %s", name, it.key)
	}
	r.use(phases.Object{Kind: phases.Column, Schema: schema, Relation: relation, Column: name}, uses)
}

func (r *resolver) insert(s *pg_query.InsertStmt, up *scope) []resultColumn {
	defer r.with(s.WithClause, up)()
	it := r.target(s.Relation, phases.Insert)
	given := -1
	if s.SelectStmt != nil {
		given = r.given(s.SelectStmt, up)
	}
	for _, n := range s.Cols {
		r.write(it, n.GetResTarget().Name, phases.Insert)
	}
	if len(s.Cols) == 0 && s.SelectStmt != nil {
		for i, c := range r.schema.Relations[it.key] {
			if i < given {
				r.write(it, c, phases.Insert|phases.Star)
			}
		}
	}
	sc := &scope{up: up, items: []*item{it}}
	if c := s.OnConflictClause; c != nil {
		r.conflict(c, it, sc)
	}
	return r.targets(s.ReturningList, sc)
}

// given counts the columns that an INSERT gets; where they are not known, as many as there may be.
func (r *resolver) given(n *pg_query.Node, up *scope) int {
	columns := r.statement(n, up)
	if isOpen(columns) {
		return math.MaxInt
	}
	return len(columns)
}

func (r *resolver) conflict(c *pg_query.OnConflictClause, it *item, sc *scope) {
	if in := c.Infer; in != nil {
		for _, n := range in.IndexElems {
			e := n.GetIndexElem()
			if e.Name != "" {
				r.write(it, e.Name, phases.Read|phases.Conflict)
			}
			r.expression(e.Expr, sc)
		}
		r.expression(in.WhereClause, sc)
		if in.Conname != "" {
			columns, ok := r.schema.Constraints[it.key+"."+in.Conname]
			if !ok {
				fail("constraint %s", in.Conname)
			}
			for _, name := range columns {
				r.write(it, name, phases.Read|phases.Conflict)
			}
		}
	}
	excluded := &item{alias: "excluded", columns: it.columns, key: it.key}
	// An unqualified name means the table: excluded stands outside.
	inner := &scope{up: &scope{up: sc.up, items: []*item{excluded}}, items: sc.items}
	r.assign(it, c.TargetList, inner)
	r.expression(c.WhereClause, inner)
}

func (r *resolver) assign(it *item, list []*pg_query.Node, sc *scope) {
	for _, n := range list {
		t := n.GetResTarget()
		r.write(it, t.Name, phases.Update)
		for _, i := range t.Indirection {
			r.expression(i, sc)
		}
		if m := t.Val.GetMultiAssignRef(); m != nil {
			r.expression(m.Source, sc)
			continue
		}
		r.expression(t.Val, sc)
	}
}

func (r *resolver) update(s *pg_query.UpdateStmt, up *scope) []resultColumn {
	defer r.with(s.WithClause, up)()
	it := r.target(s.Relation, phases.Update)
	sc := &scope{up: up, items: []*item{it}}
	for _, f := range s.FromClause {
		r.from(f, sc)
	}
	r.assign(it, s.TargetList, sc)
	r.expression(s.WhereClause, sc)
	return r.targets(s.ReturningList, sc)
}

func (r *resolver) delete(s *pg_query.DeleteStmt, up *scope) []resultColumn {
	defer r.with(s.WithClause, up)()
	it := r.target(s.Relation, phases.Delete)
	sc := &scope{up: up, items: []*item{it}}
	for _, f := range s.UsingClause {
		r.from(f, sc)
	}
	r.expression(s.WhereClause, sc)
	return r.targets(s.ReturningList, sc)
}

func (r *resolver) merge(s *pg_query.MergeStmt, up *scope) []resultColumn {
	defer r.with(s.WithClause, up)()
	it := r.target(s.Relation, phases.Update)
	sc := &scope{up: up, items: []*item{it}}
	r.from(s.SourceRelation, sc)
	r.expression(s.JoinCondition, sc)
	for _, n := range s.MergeWhenClauses {
		when := n.GetMergeWhenClause()
		r.expression(when.Condition, sc)
		switch when.CommandType {
		case pg_query.CmdType_CMD_UPDATE:
			r.assign(it, when.TargetList, sc)
		case pg_query.CmdType_CMD_INSERT:
			for _, t := range when.TargetList {
				r.write(it, t.GetResTarget().Name, phases.Insert)
			}
			for _, v := range when.Values {
				r.expression(v, sc)
			}
			if len(when.TargetList) == 0 {
				for i, c := range r.schema.Relations[it.key] {
					if i < len(when.Values) {
						r.write(it, c, phases.Insert|phases.Star)
					}
				}
			}
		}
	}
	return nil
}

// expression visits everything in an expression; what is no name or query is walked by reflection.
func (r *resolver) expression(n *pg_query.Node, sc *scope) {
	switch e := n.GetNode().(type) {
	case nil:
	case *pg_query.Node_ColumnRef:
		r.columnRef(e.ColumnRef, sc)
	case *pg_query.Node_SubLink:
		r.expression(e.SubLink.Testexpr, sc)
		r.statement(e.SubLink.Subselect, sc)
	case *pg_query.Node_SelectStmt, *pg_query.Node_InsertStmt, *pg_query.Node_UpdateStmt, *pg_query.Node_DeleteStmt:
		r.statement(n, sc)
	case *pg_query.Node_CurrentOfExpr:
	case *pg_query.Node_FuncCall:
		// The star of count(*) is no node; f(t.*) is a whole row.
		r.children(e.FuncCall.ProtoReflect(), sc)
	default:
		r.children(n.ProtoReflect(), sc)
	}
}

func (r *resolver) children(m protoreflect.Message, sc *scope) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Kind() != protoreflect.MessageKind {
			return true
		}
		visit := func(m protoreflect.Message) {
			if n, ok := m.Interface().(*pg_query.Node); ok {
				r.expression(n, sc)
				return
			}
			r.children(m, sc)
		}
		if field.IsList() {
			for i := range value.List().Len() {
				visit(value.List().Get(i).Message())
			}
			return true
		}
		visit(value.Message())
		return true
	})
}

// outputName gives the name that PostgreSQL gives to a result without AS: FigureColname in parse_target.c.
func outputName(n *pg_query.Node) string {
	if name, _ := namedBy(n); name != "" {
		return name
	}
	return "?column?"
}

// namedBy gives the name with its strength: 2 from a column or a function, 1 from a type or CASE, 0 none.
func namedBy(n *pg_query.Node) (string, int) {
	last := func(list []*pg_query.Node) string {
		for i := len(list) - 1; i >= 0; i-- {
			if s := list[i].GetString_(); s != nil {
				return s.Sval
			}
		}
		return ""
	}
	switch e := n.GetNode().(type) {
	case *pg_query.Node_ColumnRef:
		if name := last(e.ColumnRef.Fields); name != "" {
			return name, 2
		}
	case *pg_query.Node_AIndirection:
		if name := last(e.AIndirection.Indirection); name != "" {
			return name, 2
		}
		return namedBy(e.AIndirection.Arg)
	case *pg_query.Node_FuncCall:
		return last(e.FuncCall.Funcname), 2
	case *pg_query.Node_AExpr:
		if e.AExpr.Kind == pg_query.A_Expr_Kind_AEXPR_NULLIF {
			return "nullif", 2
		}
	case *pg_query.Node_TypeCast:
		if name, strength := namedBy(e.TypeCast.Arg); strength > 1 {
			return name, strength
		}
		return last(e.TypeCast.TypeName.GetNames()), 1
	case *pg_query.Node_CollateClause:
		return namedBy(e.CollateClause.Arg)
	case *pg_query.Node_GroupingFunc:
		return "grouping", 2
	case *pg_query.Node_SubLink:
		switch e.SubLink.SubLinkType {
		case pg_query.SubLinkType_EXISTS_SUBLINK:
			return "exists", 2
		case pg_query.SubLinkType_ARRAY_SUBLINK:
			return "array", 2
		case pg_query.SubLinkType_EXPR_SUBLINK:
			s := e.SubLink.Subselect.GetSelectStmt()
			for s != nil && s.Larg != nil {
				s = s.Larg
			}
			if s == nil || len(s.TargetList) == 0 {
				return "", 0
			}
			t := s.TargetList[0].GetResTarget()
			if t.Name != "" {
				return t.Name, 2
			}
			return namedBy(t.Val)
		}
	case *pg_query.Node_CaseExpr:
		if name, strength := namedBy(e.CaseExpr.Defresult); strength > 1 {
			return name, strength
		}
		return "case", 1
	case *pg_query.Node_AArrayExpr:
		return "array", 2
	case *pg_query.Node_RowExpr:
		return "row", 2
	case *pg_query.Node_CoalesceExpr:
		return "coalesce", 2
	case *pg_query.Node_MinMaxExpr:
		if e.MinMaxExpr.Op == pg_query.MinMaxOp_IS_LEAST {
			return "least", 2
		}
		return "greatest", 2
	case *pg_query.Node_SqlvalueFunction:
		name := strings.TrimPrefix(e.SqlvalueFunction.Op.String(), "SVFOP_")
		return strings.ToLower(strings.TrimSuffix(name, "_N")), 2
	case *pg_query.Node_XmlExpr:
		return strings.ToLower(strings.TrimPrefix(e.XmlExpr.Op.String(), "IS_")), 2
	case *pg_query.Node_XmlSerialize:
		return "xmlserialize", 2
	}
	return "", 0
}
