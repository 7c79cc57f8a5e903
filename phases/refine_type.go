package phases

import "slices"

// change is what a change of a column's type does.
type change uint8

const (
	// sameType leaves the type as it is.
	sameType change = iota
	// widening takes every value that was there and leaves what old code does with the column working.
	widening
	// differing is any other change.
	differing
)

func (j *judgement) refineType(k *col) {
	if k == nil {
		return
	}
	to := j.Column.Type
	plain := j.Expr == nil || j.Expr.Bare == j.On.Column && (j.Expr.Cast == nil || sameTypeName(*j.Expr.Cast, to))
	what, rewrite := j.c.typeChange(k.typ.TypeName, to)
	if !plain {
		if what == sameType && j.Expr.Bare != j.On.Column {
			j.Kind = "alter_column_type_using"
			return
		}
		rewrite = what != sameType
	}
	scan := false
	if !rewrite {
		scan = j.rebuilds(k, to, what)
	}
	switch what {
	case sameType:
		j.Kind = "alter_column_type_same"
		if scan {
			j.Kind = "alter_column_type_widening_scan"
		}
	case widening:
		switch {
		case rewrite:
			j.Kind = "alter_column_type_widening_rewrite"
		case scan:
			j.Kind = "alter_column_type_widening_scan"
		default:
			j.Kind = "alter_column_type_widening"
		}
	default:
		switch {
		case rewrite:
		case scan:
			j.Kind = "alter_column_type_no_rewrite_scan"
		default:
			j.Kind = "alter_column_type_no_rewrite"
		}
	}
}

func sameTypeName(a, b TypeName) bool {
	return a.Name == b.Name && slices.Equal(a.Mods, b.Mods) && a.Dims == b.Dims && (a.Schema == b.Schema || a.Schema == "" || b.Schema == "")
}

// rebuilds reports whether a change without a rewrite still reads the table: a valid CHECK on the column is checked
// again, and an index on it is built again unless its operator class stays (CheckIndexCompatible in indexcmds.c).
func (j *judgement) rebuilds(k *col, to TypeName, what change) bool {
	collation := j.Column.Collation != k.collation
	changes := what != sameType || collation
	for _, r := range j.rel.family(false) {
		for _, con := range r.open().constraints {
			if changes && con.Type == CheckConstraint && con.valid && con.Expr != nil && slices.Contains(con.Expr.Columns, k.name) {
				return true
			}
		}
		for _, i := range r.open().indexes {
			if !i.mentions(k.name) {
				continue
			}
			// An index with expressions or a condition is never found to be the same, nor is a part of a partitioned one.
			if len(i.Expressions) > 0 || i.Where != nil || i.parent != nil {
				return true
			}
			if collation || changes && opFamily(k.typ.Name) != opFamily(j.c.base(to).Name) {
				return true
			}
		}
	}
	return false
}

// mentions reports whether the index uses the column anywhere.
func (i *index) mentions(column string) bool {
	if slices.Contains(i.Columns, column) || slices.Contains(i.Include, column) || i.Where != nil && slices.Contains(i.Where.Columns, column) {
		return true
	}
	return slices.ContainsFunc(i.Expressions, func(e *Expr) bool { return slices.Contains(e.Columns, column) })
}

// opFamily groups the types that share a default operator class.
func opFamily(name string) string {
	switch name {
	case "varchar", "text":
		return "text"
	case "cidr", "inet":
		return "inet"
	default:
		return name
	}
}

// base follows a domain to the type below it.
func (c *Catalog) base(t TypeName) TypeName {
	for range 16 {
		d := c.typ(t)
		if d == nil || d.Form != "domain" || t.Dims > 0 {
			return t
		}
		t = d.Base
	}
	return t
}

// typeChange compares two types by the matrix that PostgreSQL's ATColumnChangeRequiresRewrite (tablecmds.c) and the
// length coercion functions' support functions give.
func (c *Catalog) typeChange(from, to TypeName) (what change, rewrite bool) {
	return c.typeChangeBelow(from, to, 0)
}

func (c *Catalog) typeChangeBelow(from, to TypeName, depth int) (what change, rewrite bool) {
	if depth > 16 {
		return differing, true
	}
	if sameTypeName(from, to) {
		return sameType, false
	}
	oldDomain, newDomain := c.typ(from), c.typ(to)
	if newDomain != nil && newDomain.Form == "domain" && to.Dims == 0 {
		what, rewrite = c.typeChangeBelow(from, newDomain.Base, depth+1)
		if c.constrained(newDomain) {
			return differing, true
		}
		return max(what, widening), rewrite
	}
	if oldDomain != nil && oldDomain.Form == "domain" && from.Dims == 0 {
		what, rewrite = c.typeChangeBelow(oldDomain.Base, to, depth+1)
		return max(what, widening), rewrite
	}
	if from.Dims != to.Dims {
		return differing, true
	}
	if from.Dims > 0 {
		from.Dims, to.Dims = 0, 0
		what, _ = c.typeChangeBelow(from, to, depth+1)
		return what, true
	}
	if from.Name == to.Name {
		return modifiers(from, to)
	}
	return c.crossTypes(from, to)
}

// modifiers compares lengths and precisions of one type.
func modifiers(from, to TypeName) (change, bool) {
	o, n := from.Mods, to.Mods
	switch from.Name {
	case "varchar", "varbit", "timestamp", "timestamptz", "time", "timetz", "interval":
		if len(n) == 0 || len(o) > 0 && n[len(n)-1] >= o[len(o)-1] {
			return widening, false
		}
		if from.Name != "varchar" && from.Name != "varbit" && n[len(n)-1] >= 6 {
			return widening, false
		}
		return differing, true
	case "bpchar":
		// Values are padded to the length, so every change of it writes them anew.
		if len(o) > 0 && len(n) > 0 && n[0] >= o[0] {
			return widening, true
		}
		return differing, true
	case "numeric":
		if len(n) == 0 {
			return widening, false
		}
		if len(o) == 0 {
			return differing, true
		}
		oldScale, newScale := scale(o), scale(n)
		if oldScale == newScale && n[0] >= o[0] {
			return widening, false
		}
		if newScale >= oldScale && n[0]-newScale >= o[0]-oldScale {
			return widening, true
		}
		return differing, true
	default:
		return differing, true
	}
}

func scale(mods []int) int {
	if len(mods) > 1 {
		return mods[1]
	}
	return 0
}

// crossTypes compares two different types.
func (c *Catalog) crossTypes(from, to TypeName) (change, bool) {
	free := len(to.Mods) == 0
	switch from.Name + " " + to.Name {
	case "varchar text", "text varchar", "text citext", "varchar citext", "citext text", "citext varchar":
		if free {
			return widening, false
		}
	case "cidr inet":
		return widening, false
	case "xml text", "int4 oid", "oid int4", "int4 regclass", "bit varbit", "varbit bit", "regclass oid", "oid regclass":
		if free {
			return differing, false
		}
	case "timestamp timestamptz", "timestamptz timestamp":
		return widening, !c.utc || !free
	case "int2 int4", "int2 int8", "int4 int8", "float4 float8":
		return widening, true
	case "bpchar text":
		return widening, true
	case "bpchar varchar":
		if free || len(from.Mods) > 0 && to.Mods[0] >= from.Mods[0] {
			return widening, true
		}
	case "float8 numeric", "float4 numeric":
		return widening, true
	}
	return differing, true
}
