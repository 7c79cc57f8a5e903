package parse

import (
	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Requalify gives a statement with every use of the relations that are qualified by one of the given names (schema,
// relation) qualified by the schema `to` instead. Text without such a use is given back as it is. Err is the parser's.
func Requalify(text string, relations map[[2]string]bool, to string) (string, error) {
	tree, err := parseTree(text)
	if err != nil {
		return "", err
	}
	r := requalify{relations: relations, to: to}
	for _, s := range tree.Stmts {
		if s.Stmt != nil {
			r.walk(s.Stmt.ProtoReflect())
		}
	}
	if !r.changed {
		return text, nil
	}
	return pg.Deparse(tree)
}

type requalify struct {
	relations map[[2]string]bool
	to        string
	changed   bool
}

func (r *requalify) walk(m protoreflect.Message) {
	switch node := m.Interface().(type) {
	case *pg.RangeVar:
		if r.relations[[2]string{node.Schemaname, node.Relname}] {
			node.Schemaname, node.Catalogname, r.changed = r.to, "", true
		}
	case *pg.ColumnRef:
		// schema.relation.column
		if len(node.Fields) >= 3 {
			r.list(node.Fields)
		}
	case *pg.TypeName:
		r.list(node.Names)
	case *pg.DropStmt:
		for _, o := range node.Objects {
			r.list(o.GetList().GetItems())
		}
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Kind() != protoreflect.MessageKind:
		case field.IsList():
			list := value.List()
			for i := range list.Len() {
				r.walk(list.Get(i).Message())
			}
		default:
			r.walk(value.Message())
		}
		return true
	})
}

// list changes a name of two or more parts that begins with a schema and a relation.
func (r *requalify) list(parts []*pg.Node) {
	if len(parts) < 2 {
		return
	}
	schema, relation := parts[0].GetString_(), parts[1].GetString_()
	if schema != nil && relation != nil && r.relations[[2]string{schema.Sval, relation.Sval}] {
		schema.Sval, r.changed = r.to, true
	}
}
