package parse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/proto"
)

// Outcome says how the catalog can tell whether a statement that runs outside of a transaction took effect.
type Outcome struct {
	Kind OutcomeKind
	// Schema is empty where the statement does not qualify the name.
	Schema, Name string
	// Relation is the table of an index, Value the label of an enum.
	Relation, Value string
	// Unless is true for IF NOT EXISTS and IF EXISTS.
	Unless bool
}

// OutcomeKind tells apart the ways to look an outcome up.
type OutcomeKind uint8

const (
	// Unsure is a statement whose effect the catalog cannot tell.
	Unsure OutcomeKind = iota
	// IndexBuilt is CREATE INDEX CONCURRENTLY.
	IndexBuilt
	// IndexDropped is DROP INDEX CONCURRENTLY.
	IndexDropped
	// EnumValueAdded is ALTER TYPE … ADD VALUE.
	EnumValueAdded
	// DatabaseCreated is CREATE DATABASE.
	DatabaseCreated
	// DatabaseDropped is DROP DATABASE.
	DatabaseDropped
	// Repeatable is a statement that gives the same result when it runs once more: VACUUM, REINDEX, ALTER SYSTEM.
	Repeatable
)

// OutcomeOf tells how to look up what became of one statement.
func OutcomeOf(statement string) Outcome {
	tree, err := parseTree(statement)
	if err != nil || len(tree.Stmts) != 1 {
		return Outcome{}
	}
	node := tree.Stmts[0].Stmt
	switch {
	case node.GetIndexStmt() != nil:
		s := node.GetIndexStmt()
		if !s.Concurrent {
			return Outcome{}
		}
		return Outcome{Kind: IndexBuilt, Schema: s.Relation.Schemaname, Name: s.Idxname, Relation: s.Relation.Relname, Unless: s.IfNotExists}
	case node.GetDropStmt() != nil:
		s := node.GetDropStmt()
		if !s.Concurrent || len(s.Objects) != 1 {
			return Outcome{}
		}
		names := stringValues(s.Objects[0].GetList().GetItems())
		if len(names) == 0 {
			return Outcome{}
		}
		o := Outcome{Kind: IndexDropped, Name: names[len(names)-1], Unless: s.MissingOk}
		if len(names) > 1 {
			o.Schema = names[len(names)-2]
		}
		return o
	case node.GetAlterEnumStmt() != nil:
		s := node.GetAlterEnumStmt()
		names := stringValues(s.TypeName)
		if s.OldVal != "" || len(names) == 0 {
			return Outcome{}
		}
		o := Outcome{Kind: EnumValueAdded, Name: names[len(names)-1], Value: s.NewVal, Unless: s.SkipIfNewValExists}
		if len(names) > 1 {
			o.Schema = names[len(names)-2]
		}
		return o
	case node.GetCreatedbStmt() != nil:
		return Outcome{Kind: DatabaseCreated, Name: node.GetCreatedbStmt().Dbname}
	case node.GetDropdbStmt() != nil:
		return Outcome{Kind: DatabaseDropped, Name: node.GetDropdbStmt().Dbname, Unless: node.GetDropdbStmt().MissingOk}
	case node.GetVacuumStmt() != nil, node.GetReindexStmt() != nil, node.GetAlterSystemStmt() != nil, node.GetClusterStmt() != nil:
		return Outcome{Kind: Repeatable}
	}
	return Outcome{}
}

// SameIndex reports whether two CREATE INDEX statements define the same index: CONCURRENTLY, IF NOT EXISTS, and a
// schema that only one of them names make no difference, nor does spelling.
func SameIndex(a, b string) bool {
	x, y := indexStatement(a), indexStatement(b)
	if x == nil || y == nil {
		return false
	}
	if x.Relation.Schemaname == "" || y.Relation.Schemaname == "" {
		x.Relation.Schemaname, y.Relation.Schemaname = "", ""
	}
	return deparseIndex(x) == deparseIndex(y) && deparseIndex(x) != ""
}

func indexStatement(text string) *pg.IndexStmt {
	tree, err := parseTree(text)
	if err != nil || len(tree.Stmts) != 1 {
		return nil
	}
	s := tree.Stmts[0].Stmt.GetIndexStmt()
	if s == nil || s.Relation == nil {
		return nil
	}
	s = proto.Clone(s).(*pg.IndexStmt)
	s.Concurrent, s.IfNotExists = false, false
	return s
}

func deparseIndex(s *pg.IndexStmt) string {
	text, err := pg.Deparse(&pg.ParseResult{Stmts: []*pg.RawStmt{{Stmt: &pg.Node{Node: &pg.Node_IndexStmt{IndexStmt: s}}}}})
	if err != nil {
		return ""
	}
	// PostgreSQL prints each expression in parentheses of its own.
	return strings.Map(func(r rune) rune {
		if r == '(' || r == ')' || r == ' ' {
			return -1
		}
		return r
	}, text)
}
