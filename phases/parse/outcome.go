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
	// Relation is the table of an index and the partition of a parent, Value the label of an enum. RelationSchema is
	// empty where the statement does not qualify the relation.
	RelationSchema, Relation, Value string
	// Reach is what a REINDEX covers.
	Reach Reach
	// Unless is true for IF NOT EXISTS and IF EXISTS.
	Unless bool
}

// Reach is what a REINDEX covers.
type Reach uint8

// What a REINDEX covers; the zero Reach is one index.
const (
	OneIndex Reach = iota
	OneTable
	OneSchema
	WholeDatabase
)

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
	// TablespaceCreated is CREATE TABLESPACE.
	TablespaceCreated
	// TablespaceDropped is DROP TABLESPACE.
	TablespaceDropped
	// SubscriptionCreated is CREATE SUBSCRIPTION.
	SubscriptionCreated
	// SubscriptionDropped is DROP SUBSCRIPTION.
	SubscriptionDropped
	// Reindexed is REINDEX CONCURRENTLY: it can be repeated, once what a dead one left is dropped.
	Reindexed
	// PartitionDetached is DETACH PARTITION … CONCURRENTLY. Name is the parent, Relation the partition.
	PartitionDetached
	// Repeatable is a statement that gives the same result when it runs once more: VACUUM, CLUSTER, ALTER SYSTEM.
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
	case node.GetCreateTableSpaceStmt() != nil:
		return Outcome{Kind: TablespaceCreated, Name: node.GetCreateTableSpaceStmt().Tablespacename}
	case node.GetDropTableSpaceStmt() != nil:
		return Outcome{Kind: TablespaceDropped, Name: node.GetDropTableSpaceStmt().Tablespacename, Unless: node.GetDropTableSpaceStmt().MissingOk}
	case node.GetCreateSubscriptionStmt() != nil:
		return Outcome{Kind: SubscriptionCreated, Name: node.GetCreateSubscriptionStmt().Subname}
	case node.GetDropSubscriptionStmt() != nil:
		return Outcome{Kind: SubscriptionDropped, Name: node.GetDropSubscriptionStmt().Subname, Unless: node.GetDropSubscriptionStmt().MissingOk}
	case node.GetReindexStmt() != nil:
		return reindexed(node.GetReindexStmt())
	case node.GetAlterTableStmt() != nil:
		return detached(node.GetAlterTableStmt())
	case node.GetVacuumStmt() != nil, node.GetAlterSystemStmt() != nil, node.GetClusterStmt() != nil,
		node.GetAlterDatabaseStmt() != nil, node.GetAlterSubscriptionStmt() != nil, node.GetDiscardStmt() != nil:
		return Outcome{Kind: Repeatable}
	}
	return Outcome{}
}

func reindexed(r *pg.ReindexStmt) Outcome {
	_, values := options(r.Params)
	if _, named := values["concurrently"]; !named || values["concurrently"] != "" && !on(values, "concurrently") {
		return Outcome{Kind: Repeatable}
	}
	o := Outcome{Kind: Reindexed}
	switch r.Kind {
	case pg.ReindexObjectType_REINDEX_OBJECT_INDEX:
		o.Schema, o.Name = r.Relation.GetSchemaname(), r.Relation.GetRelname()
	case pg.ReindexObjectType_REINDEX_OBJECT_TABLE:
		o.Reach, o.Schema, o.Name = OneTable, r.Relation.GetSchemaname(), r.Relation.GetRelname()
	case pg.ReindexObjectType_REINDEX_OBJECT_SCHEMA:
		o.Reach, o.Schema = OneSchema, r.Name
	default:
		o.Reach = WholeDatabase
	}
	return o
}

func detached(a *pg.AlterTableStmt) Outcome {
	if len(a.Cmds) != 1 {
		return Outcome{}
	}
	p := a.Cmds[0].GetAlterTableCmd().GetDef().GetPartitionCmd()
	if a.Cmds[0].GetAlterTableCmd().GetSubtype() != pg.AlterTableType_AT_DetachPartition || !p.GetConcurrent() {
		return Outcome{}
	}
	return Outcome{
		Kind: PartitionDetached, Schema: a.Relation.GetSchemaname(), Name: a.Relation.GetRelname(),
		RelationSchema: p.GetName().GetSchemaname(), Relation: p.GetName().GetRelname(), Unless: a.MissingOk,
	}
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

// OnCopy gives the statement that builds the same index on a table of the same name in pg_temp, at once and by an own
// name, so that PostgreSQL can be asked how it spells its definition. It is empty where that cannot be written.
func OnCopy(createIndex string) string {
	s := indexStatement(createIndex)
	if s == nil {
		return ""
	}
	s.Relation.Schemaname, s.Relation.Catalogname, s.TableSpace = "pg_temp", "", ""
	text, err := pg.Deparse(&pg.ParseResult{Stmts: []*pg.RawStmt{{Stmt: &pg.Node{Node: &pg.Node_IndexStmt{IndexStmt: s}}}}})
	if err != nil {
		return ""
	}
	return text
}

// SameDefinition reports whether two definitions as pg_get_indexdef gives them differ in the schema of the table alone.
func SameDefinition(a, b string) bool {
	x, y := indexStatement(a), indexStatement(b)
	if x == nil || y == nil {
		return false
	}
	x.Relation.Schemaname, y.Relation.Schemaname = "", ""
	return deparseIndex(x) == deparseIndex(y) && deparseIndex(x) != ""
}
