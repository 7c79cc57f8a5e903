package parse

import (
	"strings"
	"testing"

	"github.com/bitvault/pawl/phases"
	pg "github.com/pganalyze/pg_query_go/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// notStatements are nodes whose names end like those of statements and that stand inside others.
var notStatements = map[string]string{
	"RawStmt":             "the wrapper around each statement",
	"SetOperationStmt":    "part of a query after analysis",
	"ReturnStmt":          "the body of a SQL function",
	"PLAssignStmt":        "an assignment of PL/pgSQL, which only its own reader makes",
	"ReplicaIdentityStmt": "part of ALTER TABLE",
	"AlterTableCmd":       "part of ALTER TABLE",
	"PartitionCmd":        "part of ALTER TABLE",
}

// TestEveryStatementIsDecided walks the parser's own list of nodes: each that is a statement has to give an operation
// other than opaque, or be named above. A newer parser's new statements make it fail.
func TestEveryStatementIsDecided(t *testing.T) {
	fields := (&pg.Node{}).ProtoReflect().Descriptor().Oneofs().Get(0).Fields()
	decided := 0
	for i := range fields.Len() {
		f := fields.Get(i)
		name := string(f.Message().Name())
		if !strings.HasSuffix(name, "Stmt") && !strings.HasSuffix(name, "Cmd") && !strings.HasSuffix(name, "Command") {
			continue
		}
		if notStatements[name] != "" {
			continue
		}
		decided++
		t.Run(name, func(t *testing.T) {
			node := &pg.Node{}
			fill(node.ProtoReflect().Mutable(f).Message())
			s := statement{at: newPlaces("")}
			ops := s.operations(node)
			for _, op := range ops {
				require.NotEqual(t, phases.Opaque, op.Kind, "nobody decided what %s does", name)
				_, known := phases.Describe(op.Kind)
				require.True(t, known, "%s gives %s, which has no row", name, op.Kind)
			}
		})
	}
	require.Greater(t, decided, 110)
}

// fill gives the fields of a statement that the grammar always sets something to stand on.
func fill(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Kind() != protoreflect.MessageKind || f.IsList() || f.Message().Name() == "Node" {
			continue
		}
		m.Set(f, m.NewField(f))
	}
	switch s := m.Interface().(type) {
	case *pg.DefineStmt:
		s.Kind = pg.ObjectType_OBJECT_TYPE
	case *pg.AlterDomainStmt:
		s.Subtype = "O"
	case *pg.AlterTableStmt:
		s.Objtype = pg.ObjectType_OBJECT_TABLE
		s.Cmds = []*pg.Node{{Node: &pg.Node_AlterTableCmd{AlterTableCmd: &pg.AlterTableCmd{Subtype: pg.AlterTableType_AT_DropColumn, Name: "c"}}}}
	case *pg.CommentStmt:
		s.Objtype = pg.ObjectType_OBJECT_TABLE
	case *pg.DropStmt:
		s.RemoveType = pg.ObjectType_OBJECT_TABLE
	case *pg.RenameStmt:
		s.RenameType = pg.ObjectType_OBJECT_TABLE
	case *pg.AlterOwnerStmt:
		s.ObjectType = pg.ObjectType_OBJECT_TABLE
	case *pg.AlterObjectSchemaStmt:
		s.ObjectType = pg.ObjectType_OBJECT_TABLE
	}
}

// TestEveryAlterTableCommandIsDecided does the same for the subcommands of ALTER TABLE. Those that only the server
// makes for itself have no text.
func TestEveryAlterTableCommandIsDecided(t *testing.T) {
	internal := map[pg.AlterTableType]bool{
		pg.AlterTableType_ALTER_TABLE_TYPE_UNDEFINED: true, pg.AlterTableType_AT_AddColumnToView: true,
		pg.AlterTableType_AT_CookedColumnDefault: true, pg.AlterTableType_AT_CheckNotNull: true,
		pg.AlterTableType_AT_AddIndex: true, pg.AlterTableType_AT_ReAddIndex: true,
		pg.AlterTableType_AT_ReAddConstraint: true, pg.AlterTableType_AT_ReAddDomainConstraint: true,
		pg.AlterTableType_AT_AddIndexConstraint: true, pg.AlterTableType_AT_ReAddComment: true,
		pg.AlterTableType_AT_ReAddStatistics: true,
	}
	s := statement{at: newPlaces("")}
	on := phases.Object{Kind: phases.Table, Relation: "t"}
	for number, name := range pg.AlterTableType_name {
		if internal[pg.AlterTableType(number)] {
			continue
		}
		def := &pg.Node{Node: &pg.Node_Constraint{Constraint: &pg.Constraint{Contype: pg.ConstrType_CONSTR_CHECK}}}
		switch pg.AlterTableType(number) {
		case pg.AlterTableType_AT_AddColumn, pg.AlterTableType_AT_AlterColumnType:
			def = &pg.Node{Node: &pg.Node_ColumnDef{ColumnDef: &pg.ColumnDef{}}}
		}
		op := s.alterCommand(on, &pg.AlterTableCmd{Subtype: pg.AlterTableType(number), Name: "c", Def: def})
		require.NotEqual(t, phases.Opaque, op.Kind, name)
		_, known := phases.Describe(op.Kind)
		require.True(t, known, "%s gives %s, which has no row", name, op.Kind)
	}
}
