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
	e.NotNull = provenNotNull(n, false)
	e.Bare, e.Cast = bareColumn(n)
	e.Ranges = ranges(n)
	e.Outside = outside(n)
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
// `c IS NOT NULL` alone, joined by AND or in all arms of an OR, and what PostgreSQL brings to that form, such as
// `NOT (a IS NULL OR b IS NULL)`. That is what ALTER TABLE SET NOT NULL accepts as proof. With opposite it is NOT the condition
// that holds.
func provenNotNull(n *pg.Node, opposite bool) []string {
	switch v := n.GetNode().(type) {
	case *pg.Node_NullTest:
		if (v.NullTest.Nulltesttype == pg.NullTestType_IS_NOT_NULL) == opposite {
			return nil
		}
		if row := v.NullTest.Arg.GetRowExpr(); row != nil && !opposite {
			var out []string
			for _, a := range row.Args {
				if name := lastField(a); name != "" {
					out = append(out, name)
				}
			}
			return out
		}
		if name := lastField(v.NullTest.Arg); name != "" {
			return []string{name}
		}
	case *pg.Node_AExpr:
		switch kind := v.AExpr.Kind; {
		case kind == pg.A_Expr_Kind_AEXPR_DISTINCT && !opposite, kind == pg.A_Expr_Kind_AEXPR_NOT_DISTINCT && opposite:
			if name := lastField(v.AExpr.Lexpr); name != "" && v.AExpr.Rexpr.GetAConst().GetIsnull() {
				return []string{name}
			}
		case kind == pg.A_Expr_Kind_AEXPR_OP && word(first(v.AExpr.Name)) == "=":
			if c := v.AExpr.Rexpr.GetAConst(); c.GetBoolval() != nil && c.GetBoolval().Boolval {
				return provenNotNull(v.AExpr.Lexpr, opposite)
			}
		}
	case *pg.Node_BoolExpr:
		if v.BoolExpr.Boolop == pg.BoolExprType_NOT_EXPR {
			return provenNotNull(first(v.BoolExpr.Args), !opposite)
		}
		every := (v.BoolExpr.Boolop == pg.BoolExprType_OR_EXPR) != opposite
		var out []string
		for i, a := range v.BoolExpr.Args {
			one := provenNotNull(a, opposite)
			if every && i > 0 {
				out = slices.DeleteFunc(out, func(name string) bool { return !slices.Contains(one, name) })
			} else {
				out = append(out, one...)
			}
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

// outside gives the comparisons of which at least one does not hold: those in `NOT (day >= '2025-01-01' AND day < '2026-01-01')`,
// which may also be written `day < '2025-01-01' OR day >= '2026-01-01'`.
func outside(n *pg.Node) []phases.Range {
	b := n.GetBoolExpr()
	switch {
	case b == nil:
		return nil
	case b.Boolop == pg.BoolExprType_NOT_EXPR:
		return ranges(first(b.Args))
	case b.Boolop != pg.BoolExprType_OR_EXPR:
		return nil
	}
	opposite := map[string]string{"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
	var out []phases.Range
	for _, a := range b.Args {
		if a.GetAExpr() == nil {
			return nil
		}
		one := ranges(a)
		if len(one) != 1 || opposite[one[0].Op] == "" {
			return nil
		}
		one[0].Op = opposite[one[0].Op]
		out = append(out, one...)
	}
	return out
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
