package parse

import pg "github.com/pganalyze/pg_query_go/v5"

// AlteredRelations names what a statement changes, where it is of a form that can be tried on a copy of a table: ALTER
// TABLE, the renaming of a column, constraint or index, and the dropping of an index. Names have one or two parts. Ok is
// false for every other statement.
func AlteredRelations(text string) (names [][]string, ok bool) {
	tree, err := parseTree(text)
	if err != nil || len(tree.Stmts) != 1 {
		return nil, false
	}
	name := func(r *pg.RangeVar) []string {
		if r.Schemaname == "" {
			return []string{r.Relname}
		}
		return []string{r.Schemaname, r.Relname}
	}
	node := tree.Stmts[0].Stmt
	switch {
	case node.GetAlterTableStmt() != nil:
		s := node.GetAlterTableStmt()
		if s.Objtype != pg.ObjectType_OBJECT_TABLE || s.Relation == nil {
			return nil, false
		}
		return [][]string{name(s.Relation)}, true
	case node.GetRenameStmt() != nil:
		s := node.GetRenameStmt()
		switch s.RenameType {
		case pg.ObjectType_OBJECT_COLUMN, pg.ObjectType_OBJECT_TABCONSTRAINT, pg.ObjectType_OBJECT_INDEX:
			if s.Relation != nil {
				return [][]string{name(s.Relation)}, true
			}
		}
	case node.GetDropStmt() != nil:
		s := node.GetDropStmt()
		if s.RemoveType != pg.ObjectType_OBJECT_INDEX || s.Concurrent {
			return nil, false
		}
		for _, o := range s.Objects {
			names = append(names, stringValues(o.GetList().GetItems()))
		}
		return names, len(names) > 0
	}
	return nil, false
}
