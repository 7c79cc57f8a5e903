package parse

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"github.com/bitvault/pawl/phases"
)

// Schema is what References needs to know of a database. Names are as PostgreSQL folds them; relations, constraints and
// functions are keyed by `schema.name`.
type Schema struct {
	// Path is the search path, pg_catalog included where it counts.
	Path []string
	// Relations are the columns of tables, views, materialized views and foreign tables, in their order.
	Relations map[string][]string
	// Functions are the columns of what functions return, where that is a row; several functions of one name that
	// return different rows must be left out.
	Functions map[string][]string
	// Constraints are the columns of unique constraints, keyed by `schema.table.constraint`.
	Constraints map[string][]string
}

// Reference is one column, or a relation of which no column matters, and what a query does with it: Read, Insert,
// Update, Delete, and Star beside Read or Insert where the query does not name the column.
type Reference struct {
	Object phases.Object
	Uses   phases.Use
}

// References resolves the names in a text: which columns of which relations it reads and writes, through aliases,
// common table expressions, subqueries and joins, as PostgreSQL's own analysis does. Views count as relations. Where
// the text has something that is not understood, exact is false, and the result is what Mentions finds: too much rather
// than too little.
func References(text string, schema *Schema) (refs []Reference, exact bool) {
	tree, err := parseTree(text)
	if err != nil {
		return mentioned(text, schema), false
	}
	r := &resolver{schema: schema, found: map[phases.Object]phases.Use{}}
	for _, s := range tree.Stmts {
		if err := r.top(s.Stmt); err != nil {
			return mentioned(text, schema), false
		}
	}
	return sortedReferences(r.found), true
}

func sortedReferences(found map[phases.Object]phases.Use) []Reference {
	out := make([]Reference, 0, len(found))
	for o, uses := range found {
		out = append(out, Reference{o, uses})
	}
	slices.SortFunc(out, func(a, b Reference) int { return strings.Compare(a.Object.String(), b.Object.String()) })
	return out
}

// mentioned gives all columns that the text's mentions meet.
func mentioned(text string, schema *Schema) []Reference {
	m := Mentions(text)
	found := map[phases.Object]phases.Use{}
	for _, key := range slices.Sorted(maps.Keys(schema.Relations)) {
		space, name, _ := strings.Cut(key, ".")
		table := phases.Object{Kind: phases.Table, Schema: space, Relation: name}
		if met := m.Meets(phases.Take{Object: table, Uses: phases.AnyUse}, nil); met.Uses == 0 {
			continue
		}
		found[table] = phases.Read
		for _, column := range schema.Relations[key] {
			o := phases.Object{Kind: phases.Column, Schema: space, Relation: name, Column: column}
			if met := m.Meets(phases.Take{Object: o, Uses: phases.Read | phases.Insert | phases.Update | phases.Star}, nil); met.Uses != 0 {
				found[o] = met.Uses
			}
		}
	}
	return sortedReferences(found)
}

// unresolved is something in a query that the resolver does not understand.
type unresolved struct{ what string }

func (u *unresolved) Error() string { return u.what }

// resultColumn is one column of a FROM item or of a query's result.
type resultColumn struct {
	name string
	// bases are the table columns that it stands for, none for a computed one; a column merged by USING has several.
	bases []phases.Object
}

// item is one thing in FROM that names can refer to.
type item struct {
	alias   string
	key     string
	columns []resultColumn
	// open is true for a function of which the columns are not known.
	open bool
	// hidden items can be named only by their alias: the sides of a join that merges columns.
	merged map[string]bool
	// reach are the items of an aliased join.
	reach []*item
	// covered is true for what an alias of a join hides.
	covered bool
}

// unlisted is the name of a result that stands for columns which are not known.
const unlisted = "\x00"

func isOpen(columns []resultColumn) bool {
	return slices.ContainsFunc(columns, func(c resultColumn) bool { return c.name == unlisted })
}

type scope struct {
	up    *scope
	items []*item
	// output are the names of the query's result, for ORDER BY and GROUP BY.
	output map[string]bool
}

type resolver struct {
	schema *Schema
	found  map[phases.Object]phases.Use
	ctes   []map[string][]resultColumn
}

func (r *resolver) top(n *pg_query.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			u, ok := p.(*unresolved)
			if !ok {
				panic(p)
			}
			err = u
		}
	}()
	r.statement(n, nil)
	return nil
}

// fail leaves the resolver; top catches it. The tree is walked by forty functions, and each of them can meet what is
// not understood.
func fail(format string, args ...any) { panic(&unresolved{fmt.Sprintf(format, args...)}) }

func (r *resolver) use(o phases.Object, uses phases.Use) { r.found[o] |= uses }

func (r *resolver) useAll(bases []phases.Object, uses phases.Use) {
	for _, o := range bases {
		r.use(o, uses)
	}
}

func (r *resolver) statement(n *pg_query.Node, up *scope) []resultColumn {
	switch s := n.GetNode().(type) {
	case *pg_query.Node_SelectStmt:
		return r.query(s.SelectStmt, up)
	case *pg_query.Node_InsertStmt:
		return r.insert(s.InsertStmt, up)
	case *pg_query.Node_UpdateStmt:
		return r.update(s.UpdateStmt, up)
	case *pg_query.Node_DeleteStmt:
		return r.delete(s.DeleteStmt, up)
	case *pg_query.Node_MergeStmt:
		return r.merge(s.MergeStmt, up)
	case *pg_query.Node_ExplainStmt:
		return r.statement(s.ExplainStmt.Query, up)
	case *pg_query.Node_PrepareStmt:
		return r.statement(s.PrepareStmt.Query, up)
	case *pg_query.Node_DeclareCursorStmt:
		return r.statement(s.DeclareCursorStmt.Query, up)
	}
	fail("a statement of this kind")
	return nil
}

// with enters common table expressions; the result leaves them.
func (r *resolver) with(w *pg_query.WithClause, up *scope) func() {
	if w == nil {
		return func() {}
	}
	names := map[string][]resultColumn{}
	r.ctes = append(r.ctes, names)
	for _, n := range w.Ctes {
		c := n.GetCommonTableExpr()
		if c.SearchClause != nil || c.CycleClause != nil {
			fail("SEARCH or CYCLE")
		}
		if s := c.Ctequery.GetSelectStmt(); w.Recursive && s != nil && s.Op != pg_query.SetOperation_SETOP_NONE {
			// The name is known in the recursive term with the columns of the other.
			done := r.with(s.WithClause, up)
			names[c.Ctename] = renamed(computed(r.query(s.Larg, up)), c.Aliascolnames)
			done()
		} else if w.Recursive {
			delete(names, c.Ctename)
		}
		names[c.Ctename] = renamed(computed(r.statement(c.Ctequery, up)), c.Aliascolnames)
	}
	return func() { r.ctes = r.ctes[:len(r.ctes)-1] }
}

// computed forgets where columns come from: what they read was noted where they were computed.
func computed(columns []resultColumn) []resultColumn {
	out := make([]resultColumn, len(columns))
	for i, c := range columns {
		out[i] = resultColumn{name: c.name}
	}
	return out
}

func renamed(columns []resultColumn, names []*pg_query.Node) []resultColumn {
	out := slices.Clone(columns)
	for i, n := range names {
		if i < len(out) {
			out[i].name = n.GetString_().GetSval()
		}
	}
	return out
}

func (r *resolver) lookup(schema, name string) (string, bool) {
	if schema != "" {
		key := schema + "." + name
		_, ok := r.schema.Relations[key]
		return key, ok
	}
	for _, s := range r.schema.Path {
		if _, ok := r.schema.Relations[s+"."+name]; ok {
			return s + "." + name, true
		}
	}
	return "", false
}

// relation makes the item of a named relation.
func (r *resolver) relation(v *pg_query.RangeVar) *item {
	it := &item{alias: v.Relname}
	if v.Alias != nil {
		it.alias = v.Alias.Aliasname
	}
	if v.Schemaname == "" {
		for i := len(r.ctes) - 1; i >= 0; i-- {
			if columns, ok := r.ctes[i][v.Relname]; ok {
				it.columns = slices.Clone(columns)
				if v.Alias != nil {
					it.columns = renamed(it.columns, v.Alias.Colnames)
				}
				it.open = isOpen(columns)
				return it
			}
		}
	}
	key, ok := r.lookup(v.Schemaname, v.Relname)
	if !ok {
		fail("relation %s", v.Relname)
	}
	it.key = key
	schema, name, _ := strings.Cut(key, ".")
	for _, c := range r.schema.Relations[key] {
		it.columns = append(it.columns, resultColumn{c, []phases.Object{{Kind: phases.Column, Schema: schema, Relation: name, Column: c}}})
	}
	if v.Alias != nil {
		it.columns = renamed(it.columns, v.Alias.Colnames)
	}
	r.use(phases.Object{Kind: phases.Table, Schema: schema, Relation: name}, phases.Read)
	return it
}

// from adds the items of a FROM entry to the scope and gives those that the entry makes visible to a join above it,
// with merged columns first.
func (r *resolver) from(n *pg_query.Node, sc *scope) []*item {
	switch f := n.GetNode().(type) {
	case *pg_query.Node_RangeVar:
		it := r.relation(f.RangeVar)
		sc.items = append(sc.items, it)
		return []*item{it}
	case *pg_query.Node_RangeSubselect:
		up := sc.up
		if f.RangeSubselect.Lateral {
			up = &scope{up: sc.up, items: slices.Clone(sc.items)}
		}
		it := &item{columns: computed(r.statement(f.RangeSubselect.Subquery, up))}
		if a := f.RangeSubselect.Alias; a != nil {
			it.alias = a.Aliasname
			it.columns = renamed(it.columns, a.Colnames)
		}
		it.open = isOpen(it.columns)
		sc.items = append(sc.items, it)
		return []*item{it}
	case *pg_query.Node_RangeFunction:
		it := r.function(f.RangeFunction, sc)
		sc.items = append(sc.items, it)
		return []*item{it}
	case *pg_query.Node_RangeTableFunc:
		return []*item{r.tableFunction(f.RangeTableFunc, sc)}
	case *pg_query.Node_RangeTableSample:
		items := r.from(f.RangeTableSample.Relation, sc)
		for _, a := range f.RangeTableSample.Args {
			r.expression(a, sc)
		}
		r.expression(f.RangeTableSample.Repeatable, sc)
		return items
	case *pg_query.Node_JoinExpr:
		return r.join(f.JoinExpr, sc)
	}
	fail("an entry of FROM")
	return nil
}

func (r *resolver) function(f *pg_query.RangeFunction, sc *scope) *item {
	it := &item{}
	for _, n := range f.Functions {
		list := n.GetList()
		if list == nil || len(list.Items) == 0 {
			fail("a function in FROM")
		}
		call := list.Items[0]
		r.expression(call, sc)
		name := outputName(call)
		if it.alias == "" {
			it.alias = name
		}
		var columns []resultColumn
		switch {
		case len(list.Items) > 1 && list.Items[1].GetList() != nil:
			columns = definitions(list.Items[1].GetList().Items)
		default:
			known, ok := r.returned(call)
			if !ok {
				it.open = true
			}
			for _, c := range known {
				columns = append(columns, resultColumn{name: c})
			}
			if len(known) == 0 {
				columns = append(columns, resultColumn{name: name})
			}
		}
		it.columns = append(it.columns, columns...)
	}
	if f.Ordinality {
		it.columns = append(it.columns, resultColumn{name: "ordinality"})
	}
	if defs := definitions(f.Coldeflist); defs != nil {
		it.columns, it.open = defs, false
	}
	if a := f.Alias; a != nil {
		single := len(it.columns) == 1
		it.alias = a.Aliasname
		if single && len(a.Colnames) == 0 && len(f.Coldeflist) == 0 {
			it.columns[0].name = a.Aliasname
		}
		for i, n := range a.Colnames {
			if i >= len(it.columns) {
				it.columns = append(it.columns, resultColumn{})
			}
			it.columns[i].name = n.GetString_().GetSval()
		}
	}
	return it
}

func definitions(list []*pg_query.Node) []resultColumn {
	var out []resultColumn
	for _, n := range list {
		if d := n.GetColumnDef(); d != nil {
			out = append(out, resultColumn{name: d.Colname})
		}
	}
	return out
}

// returned gives the columns of the row that a function returns; ok is false where that is not known.
func (r *resolver) returned(call *pg_query.Node) ([]string, bool) {
	f := call.GetFuncCall()
	if f == nil {
		return nil, false
	}
	names := stringValues(f.Funcname)
	if len(names) > 1 {
		columns, ok := r.schema.Functions[strings.Join(names, ".")]
		return columns, ok
	}
	for _, s := range r.schema.Path {
		if columns, ok := r.schema.Functions[s+"."+names[0]]; ok {
			return columns, true
		}
	}
	return nil, false
}

func (r *resolver) tableFunction(f *pg_query.RangeTableFunc, sc *scope) *item {
	it := &item{alias: "xmltable"}
	r.expression(f.Docexpr, sc)
	r.expression(f.Rowexpr, sc)
	for _, n := range f.Namespaces {
		r.expression(n, sc)
	}
	for _, n := range f.Columns {
		c := n.GetRangeTableFuncCol()
		r.expression(c.Colexpr, sc)
		r.expression(c.Coldefexpr, sc)
		it.columns = append(it.columns, resultColumn{name: c.Colname})
	}
	if f.Alias != nil {
		it.alias = f.Alias.Aliasname
		it.columns = renamed(it.columns, f.Alias.Colnames)
	}
	sc.items = append(sc.items, it)
	return it
}

func (r *resolver) join(j *pg_query.JoinExpr, sc *scope) []*item {
	first := len(sc.items)
	left := r.from(j.Larg, sc)
	right := r.from(j.Rarg, sc)
	var using []string
	for _, n := range j.UsingClause {
		using = append(using, n.GetString_().GetSval())
	}
	uses := phases.Read
	if j.IsNatural {
		uses |= phases.Star
		for _, it := range append(slices.Clone(left), right...) {
			if it.open {
				fail("NATURAL JOIN of a function")
			}
		}
		for _, c := range visible(left) {
			if slices.ContainsFunc(visible(right), func(d resultColumn) bool { return d.name == c.name }) && !slices.Contains(using, c.name) {
				using = append(using, c.name)
			}
		}
	}
	together := append(slices.Clone(left), right...)
	if len(using) > 0 {
		merged := &item{merged: map[string]bool{}}
		for _, name := range using {
			merged.merged[name] = true
			c := resultColumn{name: name}
			for _, side := range [][]*item{left, right} {
				found := false
				for _, d := range visible(side) {
					if d.name == name {
						c.bases = append(c.bases, d.bases...)
						found = true
					}
				}
				if !found && !slices.ContainsFunc(side, func(it *item) bool { return it.open }) {
					fail("column %s of USING", name)
				}
			}
			r.useAll(c.bases, uses)
			merged.columns = append(merged.columns, c)
		}
		if j.JoinUsingAlias != nil {
			sc.items = append(sc.items, &item{alias: j.JoinUsingAlias.Aliasname, columns: slices.Clone(merged.columns), covered: true})
		}
		// Merged columns come first, and hide those of the same name that they are made of.
		sc.items = append(sc.items, merged)
		together = append([]*item{merged}, together...)
	}
	r.expression(j.Quals, sc)
	if j.Alias != nil {
		it := &item{alias: j.Alias.Aliasname, columns: renamed(visible(together), j.Alias.Colnames), reach: together}
		for _, inner := range sc.items[first:] {
			if inner.open {
				it.open = true
			}
		}
		// What is inside can no longer be named.
		sc.items = append(sc.items[:first], it)
		return []*item{it}
	}
	return together
}

// visible gives the columns that a bare * would give for the items of one join.
func visible(items []*item) []resultColumn {
	var out []resultColumn
	hidden := map[string]bool{}
	for _, it := range items {
		if it.merged == nil {
			continue
		}
		for _, c := range it.columns {
			if !hidden[c.name] {
				hidden[c.name] = true
				out = append(out, c)
			}
		}
	}
	for _, it := range items {
		if it.merged != nil {
			continue
		}
		for _, c := range it.columns {
			if !hidden[c.name] {
				out = append(out, c)
			}
		}
	}
	return out
}

func (r *resolver) query(s *pg_query.SelectStmt, up *scope) []resultColumn {
	defer r.with(s.WithClause, up)()
	if s.Op != pg_query.SetOperation_SETOP_NONE {
		out := computed(r.query(s.Larg, up))
		r.query(s.Rarg, up)
		sc := &scope{up: up, output: map[string]bool{}}
		for _, c := range out {
			sc.output[c.name] = true
		}
		r.sorted(s.SortClause, sc)
		r.expression(s.LimitCount, sc)
		r.expression(s.LimitOffset, sc)
		return out
	}
	sc := &scope{up: up, output: map[string]bool{}}
	if len(s.ValuesLists) > 0 {
		var out []resultColumn
		for i, row := range s.ValuesLists {
			for j, v := range row.GetList().GetItems() {
				r.expression(v, sc)
				if i == 0 {
					out = append(out, resultColumn{name: fmt.Sprintf("column%d", j+1)})
				}
			}
		}
		for _, c := range out {
			sc.output[c.name] = true
		}
		r.sorted(s.SortClause, sc)
		r.expression(s.LimitCount, sc)
		r.expression(s.LimitOffset, sc)
		return out
	}
	for _, f := range s.FromClause {
		r.from(f, sc)
	}
	out := r.targets(s.TargetList, sc)
	r.expression(s.WhereClause, sc)
	r.expression(s.HavingClause, sc)
	for _, c := range out {
		sc.output[c.name] = true
	}
	r.sorted(s.SortClause, sc)
	r.sorted(s.DistinctClause, sc)
	r.grouped(s.GroupClause, sc)
	for _, w := range s.WindowClause {
		r.expression(w, sc)
	}
	r.expression(s.LimitCount, sc)
	r.expression(s.LimitOffset, sc)
	return out
}

// sorted resolves ORDER BY and DISTINCT ON: a bare name is an output column's before it is an input column's.
// https://www.postgresql.org/docs/current/sql-select.html#SQL-ORDERBY
func (r *resolver) sorted(list []*pg_query.Node, sc *scope) {
	for _, n := range list {
		node := n
		if by := n.GetSortBy(); by != nil {
			node = by.Node
		}
		if name, ok := bareName(node); ok && sc.output[name] {
			continue
		}
		r.expression(node, sc)
	}
}

// grouped resolves GROUP BY: a bare name is an input column's before it is an output column's.
func (r *resolver) grouped(list []*pg_query.Node, sc *scope) {
	for _, n := range list {
		if set := n.GetGroupingSet(); set != nil {
			r.grouped(set.Content, sc)
			continue
		}
		if row := n.GetRowExpr(); row != nil {
			r.grouped(row.Args, sc)
			continue
		}
		if name, ok := bareName(n); ok && sc.output[name] && !r.inputs(name, sc) {
			continue
		}
		r.expression(n, sc)
	}
}

func bareName(n *pg_query.Node) (string, bool) {
	c := n.GetColumnRef()
	if c == nil || len(c.Fields) != 1 || c.Fields[0].GetString_() == nil {
		return "", false
	}
	return c.Fields[0].GetString_().Sval, true
}

// inputs reports whether a name is that of a column of the FROM items.
func (r *resolver) inputs(name string, sc *scope) bool {
	for _, it := range sc.items {
		if it.open || slices.ContainsFunc(it.columns, func(c resultColumn) bool { return c.name == name }) {
			return true
		}
	}
	return false
}

// targets resolves a list of results.
func (r *resolver) targets(list []*pg_query.Node, sc *scope) []resultColumn {
	var out []resultColumn
	for _, n := range list {
		t := n.GetResTarget()
		if t == nil {
			fail("a result")
		}
		if star := r.star(t.Val, sc); star != nil {
			out = append(out, star...)
			continue
		}
		r.expression(t.Val, sc)
		name := t.Name
		if name == "" {
			name = outputName(t.Val)
		}
		out = append(out, resultColumn{name: name})
	}
	return out
}

// star expands *, t.* and (row).*; nil for anything else.
func (r *resolver) star(n *pg_query.Node, sc *scope) []resultColumn {
	if in := n.GetAIndirection(); in != nil && len(in.Indirection) > 0 && in.Indirection[len(in.Indirection)-1].GetAStar() != nil {
		// (u).* is u.*; of any other row the columns are not known.
		if c := in.Arg.GetColumnRef(); c != nil && len(in.Indirection) == 1 {
			if it := r.rowOf(c, sc); it != nil {
				return r.allOf(it)
			}
		}
		r.expression(in.Arg, sc)
		return []resultColumn{{name: unlisted}}
	}
	c := n.GetColumnRef()
	if c == nil || c.Fields[len(c.Fields)-1].GetAStar() == nil {
		return nil
	}
	if len(c.Fields) == 1 {
		out := []resultColumn{}
		for _, it := range uncovered(sc.items) {
			if it.open {
				out = append(out, resultColumn{name: unlisted})
			}
		}
		for _, v := range visible(uncovered(sc.items)) {
			r.useAll(v.bases, phases.Read|phases.Star)
			out = append(out, resultColumn{name: v.name})
		}
		return out
	}
	it := r.find(stringValues(c.Fields), sc)
	if it == nil {
		fail("%v.*", stringValues(c.Fields))
	}
	return r.allOf(it)
}

func uncovered(items []*item) []*item {
	return slices.DeleteFunc(slices.Clone(items), func(it *item) bool { return it.covered })
}

// allOf uses all columns of an item without naming them.
func (r *resolver) allOf(it *item) []resultColumn {
	out := []resultColumn{}
	if it.open {
		out = append(out, resultColumn{name: unlisted})
	}
	for _, c := range it.columns {
		r.useAll(c.bases, phases.Read|phases.Star)
		out = append(out, resultColumn{name: c.name})
	}
	return out
}

// find gives the item that an alias, or schema and relation, name; nil for none.
func (r *resolver) find(names []string, sc *scope) *item {
	alias := names[len(names)-1]
	for s := sc; s != nil; s = s.up {
		for _, it := range s.items {
			if it.merged == nil && it.alias == alias && (len(names) == 1 || it.key == strings.Join(names[len(names)-2:], ".")) {
				return it
			}
		}
	}
	return nil
}

// rowOf gives the item whose whole row a reference means; nil where it means a column.
func (r *resolver) rowOf(c *pg_query.ColumnRef, sc *scope) *item {
	names := stringValues(c.Fields)
	if len(names) != 1 || len(c.Fields) != 1 || r.isColumn(names[0], sc) {
		return nil
	}
	return r.find(names, sc)
}

func (r *resolver) isColumn(name string, sc *scope) bool {
	for s := sc; s != nil; s = s.up {
		for _, it := range s.items {
			if slices.ContainsFunc(it.columns, func(c resultColumn) bool { return c.name == name }) {
				return true
			}
		}
		if r.find([]string{name}, &scope{items: s.items}) != nil {
			return false
		}
	}
	return false
}

func (r *resolver) columnRef(c *pg_query.ColumnRef, sc *scope) {
	if c.Fields[len(c.Fields)-1].GetAStar() != nil {
		// u.* inside an expression, as in count(u.*), is the whole row.
		if len(c.Fields) == 1 {
			fail("* in an expression")
		}
		it := r.find(stringValues(c.Fields), sc)
		if it == nil {
			fail("%v.*", stringValues(c.Fields))
		}
		r.allOf(it)
		return
	}
	names := stringValues(c.Fields)
	if len(names) == 1 {
		r.bare(names[0], sc)
		return
	}
	name := names[len(names)-1]
	it := r.find(names[:len(names)-1], sc)
	if it == nil {
		fail("%s", strings.Join(names, "."))
	}
	for _, col := range it.columns {
		if col.name == name {
			r.useAll(col.bases, phases.Read)
			return
		}
	}
	switch {
	case systemColumns[name] && it.key != "":
	case it.open:
	default:
		// t.f may be f(t).
		r.allOf(it)
		fail("%s", strings.Join(names, "."))
	}
}

// bare resolves an unqualified name: a column of the innermost query that has one, or else a whole row.
func (r *resolver) bare(name string, sc *scope) {
	for s := sc; s != nil; s = s.up {
		var hits []resultColumn
		mergedHit := false
		for _, it := range s.items {
			if it.covered {
				continue
			}
			for _, c := range it.columns {
				if c.name == name {
					hits = append(hits, c)
					mergedHit = mergedHit || it.merged != nil
				}
			}
		}
		if len(hits) > 0 {
			if len(hits) > 1 && !mergedHit {
				fail("ambiguous column %s", name)
			}
			for _, h := range hits {
				r.useAll(h.bases, phases.Read)
			}
			return
		}
		open := slices.ContainsFunc(s.items, func(it *item) bool { return it.open })
		if open {
			if r.find([]string{name}, &scope{items: s.items}) == nil {
				return
			}
		}
		if systemColumns[name] && slices.ContainsFunc(s.items, func(it *item) bool { return it.key != "" }) {
			return
		}
		if it := r.find([]string{name}, &scope{items: s.items}); it != nil {
			if it.open && len(it.columns) <= 1 {
				return
			}
			r.allOf(it)
			return
		}
	}
	fail("column %s", name)
}
