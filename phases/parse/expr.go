package parse

import (
	"slices"
	"strings"

	"github.com/bitvault/pawl/phases"
	pg "github.com/pganalyze/pg_query_go/v5"
)

// expression gives what pawl keeps of an expression; nil for none.
func expression(n *pg.Node) *phases.Expr {
	if n == nil {
		return nil
	}
	e := &phases.Expr{}
	if lit, null, ok := literal(n); ok {
		e.Literal, e.Null, e.Constant = lit, null, true
		if tc := n.GetTypeCast(); tc != nil {
			e.Types = []phases.TypeName{typeName(tc.TypeName)}
			t := e.Types[0]
			e.Cast = &t
		}
		return e
	}
	c := collector{}
	c.node(n)
	e.Columns, e.Functions, e.Relations, e.Types = c.q.Columns, c.q.Functions, c.q.Reads, c.q.Types
	e.Subquery, e.Stable = c.subquery, c.stable
	e.Constant = len(e.Columns) == 0 && len(e.Functions) == 0 && !c.stable && !c.subquery
	slices.Sort(e.Columns)
	e.Columns = slices.Compact(e.Columns)
	e.NotNull = provenNotNull(n)
	e.Bare, e.Cast = bareColumn(n)
	e.Ranges = ranges(n)
	if b := n.GetBoolExpr(); b != nil && b.Boolop == pg.BoolExprType_NOT_EXPR {
		e.Outside = ranges(first(b.Args))
	}
	return e
}

// literal reads a constant, perhaps negated or cast.
func literal(n *pg.Node) (text string, null, ok bool) {
	switch v := n.GetNode().(type) {
	case *pg.Node_AConst:
		text, null = constant(v.AConst)
		return text, null, true
	case *pg.Node_TypeCast:
		return literal(v.TypeCast.Arg)
	case *pg.Node_AExpr:
		if v.AExpr.Lexpr == nil && word(first(v.AExpr.Name)) == "-" {
			text, null, ok = literal(v.AExpr.Rexpr)
			return "-" + text, null, ok
		}
	}
	return "", false, false
}

// provenNotNull gives the columns that cannot be NULL where the condition is true or, as in a CHECK, not false:
// `c IS NOT NULL` alone or joined by AND. That is what ALTER TABLE SET NOT NULL accepts as proof.
func provenNotNull(n *pg.Node) []string {
	switch v := n.GetNode().(type) {
	case *pg.Node_NullTest:
		if v.NullTest.Nulltesttype == pg.NullTestType_IS_NOT_NULL {
			if name := lastField(v.NullTest.Arg); name != "" {
				return []string{name}
			}
		}
	case *pg.Node_BoolExpr:
		if v.BoolExpr.Boolop != pg.BoolExprType_AND_EXPR {
			return nil
		}
		var out []string
		for _, a := range v.BoolExpr.Args {
			out = append(out, provenNotNull(a)...)
		}
		return out
	}
	return nil
}

func bareColumn(n *pg.Node) (name string, cast *phases.TypeName) {
	switch v := n.GetNode().(type) {
	case *pg.Node_ColumnRef:
		return lastField(n), nil
	case *pg.Node_TypeCast:
		if v.TypeCast.Arg.GetColumnRef() != nil {
			t := typeName(v.TypeCast.TypeName)
			return lastField(v.TypeCast.Arg), &t
		}
	case *pg.Node_CollateClause:
		return bareColumn(v.CollateClause.Arg)
	}
	return "", nil
}

// ranges gives the comparisons with constants that AND joins: `day >= '2025-01-01' AND day < '2026-01-01'`.
func ranges(n *pg.Node) []phases.Range {
	switch v := n.GetNode().(type) {
	case *pg.Node_BoolExpr:
		if v.BoolExpr.Boolop != pg.BoolExprType_AND_EXPR {
			return nil
		}
		var out []phases.Range
		for _, a := range v.BoolExpr.Args {
			out = append(out, ranges(a)...)
		}
		return out
	case *pg.Node_AExpr:
		name, op := lastField(v.AExpr.Lexpr), word(first(v.AExpr.Name))
		if name == "" {
			return nil
		}
		if v.AExpr.Kind == pg.A_Expr_Kind_AEXPR_IN && op == "=" {
			r := phases.Range{Column: name, Op: "in"}
			for _, item := range v.AExpr.Rexpr.GetList().GetItems() {
				lit, _, ok := literal(item)
				if !ok {
					return nil
				}
				r.Values = append(r.Values, lit)
			}
			return []phases.Range{r}
		}
		if v.AExpr.Kind == pg.A_Expr_Kind_AEXPR_OP && strings.Contains(" = < <= > >= ", " "+op+" ") {
			if lit, null, ok := literal(v.AExpr.Rexpr); ok && !null {
				return []phases.Range{{Column: name, Op: op, Values: []string{lit}}}
			}
		}
	}
	return nil
}
