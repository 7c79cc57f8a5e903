package parse

import (
	"strconv"
	"strings"

	"github.com/bitvault/pawl/phases"
	pg "github.com/pganalyze/pg_query_go/v5"
)

// words gives the strings of a list of string nodes: the parts of a name, a list of columns.
func words(list []*pg.Node) []string {
	if len(list) == 0 {
		return nil
	}
	out := make([]string, 0, len(list))
	for _, n := range list {
		if s := word(n); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// word gives the text of a node that is a string, a number or a constant.
func word(n *pg.Node) string {
	switch v := n.GetNode().(type) {
	case *pg.Node_String_:
		return v.String_.Sval
	case *pg.Node_Integer:
		return strconv.Itoa(int(v.Integer.Ival))
	case *pg.Node_Float:
		return v.Float.Fval
	case *pg.Node_Boolean:
		return strconv.FormatBool(v.Boolean.Boolval)
	case *pg.Node_AConst:
		s, _ := constant(v.AConst)
		return s
	case *pg.Node_TypeName:
		return typeName(v.TypeName).Name
	case *pg.Node_List:
		return strings.Join(words(v.List.Items), ".")
	case *pg.Node_RoleSpec:
		return role(v.RoleSpec)
	case *pg.Node_DefElem:
		return v.DefElem.Defname
	case *pg.Node_RangeVar:
		return v.RangeVar.Relname
	case *pg.Node_ColumnRef:
		return strings.Join(words(v.ColumnRef.Fields), ".")
	case *pg.Node_TypeCast:
		return word(v.TypeCast.Arg)
	default:
		return ""
	}
}

func constant(c *pg.A_Const) (text string, null bool) {
	if c.Isnull {
		return "", true
	}
	switch v := c.Val.(type) {
	case *pg.A_Const_Ival:
		return strconv.Itoa(int(v.Ival.Ival)), false
	case *pg.A_Const_Fval:
		return v.Fval.Fval, false
	case *pg.A_Const_Boolval:
		return strconv.FormatBool(v.Boolval.Boolval), false
	case *pg.A_Const_Sval:
		return v.Sval.Sval, false
	case *pg.A_Const_Bsval:
		return v.Bsval.Bsval, false
	default:
		return "", false
	}
}

// qualified splits a dotted name into its schema and its last part; a database's name in front is dropped.
func qualified(parts []string) (schema, name string) {
	switch n := len(parts); n {
	case 0:
		return "", ""
	case 1:
		return "", parts[0]
	default:
		return parts[n-2], parts[n-1]
	}
}

// named is an object that stands alone in a schema.
func named(kind phases.ObjectKind, list []*pg.Node) phases.Object {
	schema, name := qualified(words(list))
	return phases.Object{Kind: kind, Schema: schema, Name: name}
}

func relation(kind phases.ObjectKind, r *pg.RangeVar) phases.Object {
	if r == nil {
		return phases.Object{}
	}
	return phases.Object{Kind: kind, Schema: r.Schemaname, Relation: r.Relname}
}

func relationNames(kind phases.ObjectKind, parts []string) phases.Object {
	schema, name := qualified(parts)
	return phases.Object{Kind: kind, Schema: schema, Relation: name}
}

func columnOf(table phases.Object, name string) phases.Object {
	return phases.Object{Kind: phases.Column, Schema: table.Schema, Relation: table.Relation, Column: name}
}

// part is something that hangs on a relation: a constraint, a trigger, a rule, a policy.
func part(kind phases.ObjectKind, table phases.Object, name string) phases.Object {
	return phases.Object{Kind: kind, Schema: table.Schema, Relation: table.Relation, Name: name}
}

func role(r *pg.RoleSpec) string {
	switch r.GetRoletype() {
	case pg.RoleSpecType_ROLESPEC_PUBLIC:
		return "public"
	case pg.RoleSpecType_ROLESPEC_CURRENT_ROLE, pg.RoleSpecType_ROLESPEC_CURRENT_USER:
		return "current_user"
	case pg.RoleSpecType_ROLESPEC_SESSION_USER:
		return "session_user"
	default:
		return r.GetRolename()
	}
}

func typeName(t *pg.TypeName) phases.TypeName {
	if t == nil {
		return phases.TypeName{}
	}
	parts := words(t.Names)
	if t.PctType {
		return phases.TypeName{Like: strings.Join(parts, "."), SetOf: t.Setof}
	}
	schema, name := qualified(parts)
	if schema == "pg_catalog" {
		schema = ""
	}
	out := phases.TypeName{Schema: schema, Name: name, Dims: len(t.ArrayBounds), SetOf: t.Setof}
	for _, m := range t.Typmods {
		if v, err := strconv.Atoi(word(m)); err == nil {
			out.Mods = append(out.Mods, v)
		}
	}
	// An interval carries the mask of its fields in front of its precision.
	if name == "interval" && len(out.Mods) == 1 {
		out.Mods = nil
	}
	return out
}

// options gives the names of a list of options, and their values where they are plain.
func options(list []*pg.Node) (names []string, values map[string]string) {
	if len(list) == 0 {
		return nil, nil
	}
	values = make(map[string]string, len(list))
	for _, n := range list {
		d := n.GetDefElem()
		if d == nil {
			continue
		}
		name := d.Defname
		if d.Defnamespace != "" {
			name = d.Defnamespace + "." + name
		}
		names = append(names, name)
		values[name] = word(d.Arg)
	}
	return names, values
}

func on(values map[string]string, name string) bool {
	v, ok := values[name]
	return ok && v != "false" && v != "off" && v != "0"
}
