package phases

import (
	"strconv"
	"strings"
)

// maxIdentifier is NAMEDATALEN - 1 (src/include/pg_config_manual.h).
const maxIdentifier = 63

// objectName makes a name as PostgreSQL's makeObjectName does (src/backend/commands/indexcmds.c): the table, the
// columns and a label, the longer of the first two cut until all of it fits.
func objectName(table, columns, label string) string {
	overhead := 0
	if columns != "" {
		overhead++
	}
	if label != "" {
		overhead += len(label) + 1
	}
	for len(table)+len(columns)+overhead > maxIdentifier {
		if len(table) > len(columns) {
			table = table[:len(table)-1]
		} else {
			columns = columns[:len(columns)-1]
		}
	}
	out := table
	if columns != "" {
		out += "_" + columns
	}
	if label != "" {
		out += "_" + label
	}
	return out
}

// freeName appends 1, 2, … to the label until nothing has the name. It remembers how far it came for each name, so
// that a table with a thousand nameless constraints does not cost a million tries.
func (c *Catalog) freeName(table, columns, label string, taken func(string) bool) string {
	first := objectName(table, columns, label)
	if !taken(first) {
		return first
	}
	for n := c.suffixes[first] + 1; ; n++ {
		if name := objectName(table, columns, label+strconv.Itoa(n)); !taken(name) {
			c.suffixes[first] = n
			return name
		}
	}
}

// constraintName chooses the name that PostgreSQL would for a constraint that has none.
func (c *Catalog) constraintName(r *rel, def *ConstraintDef) string {
	taken := func(name string) bool {
		_, relation := c.relations[key(r.schema, name)]
		_, index := c.indexOf[key(r.schema, name)]
		return r.constraint(name) != nil || relation || index
	}
	columns := strings.Join(def.Columns, "_")
	switch def.Type {
	case PrimaryKeyConstraint:
		return c.freeName(r.name, "", "pkey", taken)
	case UniqueConstraint:
		return c.freeName(r.name, columns, "key", taken)
	case ExclusionConstraint:
		return c.freeName(r.name, columns, "excl", taken)
	case ForeignKeyConstraint:
		return c.freeName(r.name, columns, "fkey", taken)
	case NotNullConstraint:
		return c.freeName(r.name, columns, "not_null", taken)
	default:
		if len(def.Columns) != 1 {
			columns = ""
		}
		return c.freeName(r.name, columns, "check", taken)
	}
}

// indexName chooses the name of an index that has none.
func (c *Catalog) indexName(r *rel, def *IndexDef) string {
	return c.freeName(r.name, indexedColumns(def), "idx", func(name string) bool {
		_, relation := c.relations[key(r.schema, name)]
		_, index := c.indexOf[key(r.schema, name)]
		return relation || index
	})
}

// ChosenIndexName gives the name that PostgreSQL chooses for an index without one, where nothing else has it.
func ChosenIndexName(table string, def *IndexDef) string {
	return objectName(table, indexedColumns(def), "idx")
}

func indexedColumns(def *IndexDef) string {
	parts := append([]string(nil), def.Columns...)
	for _, e := range def.Expressions {
		if len(e.Functions) > 0 {
			parts = append(parts, e.Functions[0].Name)
		} else {
			parts = append(parts, "expr")
		}
	}
	return strings.Join(append(parts, def.Include...), "_")
}
