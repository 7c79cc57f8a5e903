package parse

import (
	pg "github.com/pganalyze/pg_query_go/v5"
)

// The aliases of the tables in the queries of Violations.
const (
	violating   = "pawl_rows"
	counterpart = "pawl_counterpart"
)

// Violations gives for an ALTER TABLE the queries that find rows which contradict what it asks of all rows: NOT NULL, a
// CHECK, uniqueness, a foreign key that names the columns of both sides. Each gives a row for a contradiction. Text that
// cannot be parsed, and other statements, have none.
func Violations(text string) []string {
	tree, err := parseTree(text)
	if err != nil || len(tree.Stmts) != 1 {
		return nil
	}
	alter := tree.Stmts[0].Stmt.GetAlterTableStmt()
	if alter == nil || alter.Objtype != pg.ObjectType_OBJECT_TABLE {
		return nil
	}
	var out []string
	for _, n := range alter.Cmds {
		cmd := n.GetAlterTableCmd()
		s := &pg.SelectStmt{FromClause: called(alter.Relation, violating)}
		switch cmd.GetSubtype() {
		case pg.AlterTableType_AT_SetNotNull:
			s.WhereClause = isNull(cmd.Name)
		case pg.AlterTableType_AT_AddConstraint:
			c := cmd.Def.GetConstraint()
			keys, refs := stringValues(c.GetKeys()), stringValues(c.GetPkAttrs())
			switch {
			case c.GetContype() == pg.ConstrType_CONSTR_CHECK:
				s.FromClause = []*pg.Node{{Node: &pg.Node_RangeVar{RangeVar: alter.Relation}}}
				s.WhereClause = not(c.RawExpr)
			case c.GetContype() == pg.ConstrType_CONSTR_UNIQUE && len(keys) > 0 && !c.NullsNotDistinct:
				duplicates(s, keys)
			case c.GetContype() == pg.ConstrType_CONSTR_FOREIGN && len(refs) == len(c.FkAttrs):
				orphans(s, c.Pktable, stringValues(c.FkAttrs), refs)
			}
		}
		if s.WhereClause == nil {
			continue
		}
		if query, err := deparseSelect(finished(s)); err == nil {
			out = append(out, query)
		}
	}
	return out
}

// duplicates finds a key that occurs twice.
func duplicates(s *pg.SelectStmt, keys []string) {
	for _, k := range keys {
		s.GroupClause = append(s.GroupClause, column(violating, k))
		s.WhereClause = and(s.WhereClause, not(isNull(k)))
	}
	count := &pg.Node{Node: &pg.Node_FuncCall{FuncCall: &pg.FuncCall{Funcname: []*pg.Node{pg.MakeStrNode("count")}, AggStar: true}}}
	s.HavingClause = compare(">", count, pg.MakeAConstIntNode(1, -1))
}

// orphans finds a row whose counterpart is missing.
func orphans(s *pg.SelectStmt, ref *pg.RangeVar, keys, refs []string) {
	same := &pg.SelectStmt{FromClause: called(ref, counterpart)}
	for i, k := range keys {
		s.WhereClause = and(s.WhereClause, not(isNull(k)))
		same.WhereClause = and(same.WhereClause, compare("=", column(violating, k), column(counterpart, refs[i])))
	}
	s.WhereClause = and(s.WhereClause, not(&pg.Node{Node: &pg.Node_SubLink{SubLink: &pg.SubLink{
		SubLinkType: pg.SubLinkType_EXISTS_SUBLINK,
		Subselect:   &pg.Node{Node: &pg.Node_SelectStmt{SelectStmt: finished(same)}},
	}}}))
}

func called(r *pg.RangeVar, alias string) []*pg.Node {
	return []*pg.Node{{Node: &pg.Node_RangeVar{RangeVar: &pg.RangeVar{
		Schemaname: r.Schemaname, Relname: r.Relname, Inh: r.Inh, Relpersistence: r.Relpersistence, Alias: &pg.Alias{Aliasname: alias},
	}}}}
}

// finished sets what the parser always sets.
func finished(s *pg.SelectStmt) *pg.SelectStmt {
	s.LimitOption, s.Op = pg.LimitOption_LIMIT_OPTION_DEFAULT, pg.SetOperation_SETOP_NONE
	return s
}

func isNull(name string) *pg.Node {
	return &pg.Node{Node: &pg.Node_NullTest{NullTest: &pg.NullTest{Arg: column(violating, name), Nulltesttype: pg.NullTestType_IS_NULL}}}
}

func compare(operator string, left, right *pg.Node) *pg.Node {
	return pg.MakeAExprNode(pg.A_Expr_Kind_AEXPR_OP, []*pg.Node{pg.MakeStrNode(operator)}, left, right, -1)
}

func not(n *pg.Node) *pg.Node {
	return &pg.Node{Node: &pg.Node_BoolExpr{BoolExpr: &pg.BoolExpr{Boolop: pg.BoolExprType_NOT_EXPR, Args: []*pg.Node{n}}}}
}
