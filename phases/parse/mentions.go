package parse

import (
	"maps"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bitvault/pawl/phases"
)

// Mentions gives what a query's text names. It never fails: a text that the parser rejects falls back to its
// identifier tokens, and one that cannot even be scanned to its words, and both are marked Unparsed.
func Mentions(text string) *phases.Mentions { return mentions(text, false) }

// mentions also takes a text of which the number of columns counts that it gives.
func mentions(text string, counted bool) *phases.Mentions {
	tree, err := parseTree(text)
	if err != nil {
		return tokenMentions(text)
	}
	w := mentionWalk{
		places:   map[any]place{},
		out:      &phases.Mentions{Names: map[string]bool{}},
		relation: map[relationName]int{},
		denotes:  map[string][]string{},
		typed:    map[string]bool{},
		stars:    map[string]bool{},
		spread:   map[string]bool{},

		spreading: map[*pg_query.ColumnRef]bool{},
		counting:  map[*pg_query.ColumnRef]bool{},

		owners:   map[string]map[string]bool{},
		anywhere: map[string]bool{},
		with:     map[string]bool{},
	}
	for _, s := range tree.Stmts {
		if s.Stmt != nil {
			w.top(s.Stmt, place{counts: counted})
			w.walk(s.Stmt.ProtoReflect())
		}
	}
	w.finish()
	return w.out
}

type relationName struct{ schema, name string }

// mentionWalk visits every message of a parse tree by reflection, so that node kinds which nobody thought of are
// still looked into: a name may be found twice, but none is lost.
type mentionWalk struct {
	out      *phases.Mentions
	relation map[relationName]int
	level    *level
	// denotes gives the relations that an alias may stand for; an alias of what is no relation has an empty list.
	denotes map[string][]string
	// typed are the relations whose row type is named: a name anywhere may be of theirs.
	typed map[string]bool
	// stars are the relations of which all columns are used, spread those of them under a star whose columns come to a
	// place where their number counts; owners are the relations that each name may be a column of, and anywhere the names
	// that may be a column of any.
	stars  map[string]bool
	spread map[string]bool
	// places tell where the columns of a query, or of a statement's RETURNING, go; those of any other query are counted.
	places map[any]place
	// spreading are the column references in places where a star is so many columns.
	spreading map[*pg_query.ColumnRef]bool
	counting  map[*pg_query.ColumnRef]bool
	owners    map[string]map[string]bool
	anywhere  map[string]bool
	// references are the column references that need all aliases to be known.
	references []reference
	// selects are relations that are read for sure, unless the name is one of with, the names that WITH gives.
	selects []phases.RelationName
	with    map[string]bool
}

// level is a query or a statement that writes: what it names without a qualifier is of its own relations or of those
// of the queries around it.
type level struct {
	relations []string
	up        *level
	// derived are the aliases of subqueries and functions among what it reads, and place is where its columns go.
	derived []string
	place   place
}

// place is where columns go: where their number counts, as in what INSERT takes or beside the other side of a UNION, or
// into something that is read by a name.
type place struct {
	counts bool
	name   string
	named  bool
}

func (l *level) all() []string {
	var out []string
	for ; l != nil; l = l.up {
		out = append(out, l.relations...)
	}
	return out
}

// reference is a column reference: its parts, with an empty last one for a star.
type reference struct {
	parts []string
	level *level
	// spread is true for a star that stands for so many columns, and not for a row; counts is true where it stands itself
	// where their number counts.
	spread, counts bool
}

// column notes a name that may be of a column of the level's relations.
func (w *mentionWalk) column(name string) {
	w.out.Names[name] = true
	if w.level == nil {
		w.anywhere[name] = true
		return
	}
	w.own(name, w.level.all())
}

func (w *mentionWalk) own(name string, relations []string) {
	if w.owners[name] == nil {
		w.owners[name] = map[string]bool{}
	}
	for _, r := range relations {
		w.owners[name][r] = true
	}
}

// top notes where the columns of a statement go that is not part of another one.
func (w *mentionWalk) top(n *pg_query.Node, at place) {
	switch s := n.GetNode().(type) {
	case *pg_query.Node_SelectStmt:
		w.places[s.SelectStmt] = at
	case *pg_query.Node_InsertStmt:
		w.places[s.InsertStmt] = at
	case *pg_query.Node_UpdateStmt:
		w.places[s.UpdateStmt] = at
	case *pg_query.Node_DeleteStmt:
		w.places[s.DeleteStmt] = at
	case *pg_query.Node_MergeStmt:
		w.places[s.MergeStmt] = at
	case *pg_query.Node_CreateTableAsStmt:
		w.top(s.CreateTableAsStmt.Query, at)
	case *pg_query.Node_DeclareCursorStmt:
		w.top(s.DeclareCursorStmt.Query, at)
	case *pg_query.Node_ExplainStmt:
		w.top(s.ExplainStmt.Query, at)
	case *pg_query.Node_CopyStmt:
		w.top(s.CopyStmt.Query, at)
	}
}

// spreadsAt notes that a star in this place is so many columns.
func (w *mentionWalk) spreadsAt(n *pg_query.Node) {
	c := n.GetColumnRef()
	if i := n.GetAIndirection(); i != nil {
		c = i.Arg.GetColumnRef()
	}
	if c != nil {
		w.spreading[c] = true
	}
}

// countsAt notes that a star in this place is so many columns, of which the number counts.
func (w *mentionWalk) countsAt(n *pg_query.Node) {
	w.spreadsAt(n)
	if c := n.GetColumnRef(); c != nil {
		w.counting[c] = true
	}
}

func (w *mentionWalk) star(relations []string) {
	for _, r := range relations {
		w.stars[r] = true
	}
}

// within visits a statement in a level of its own. From is what it reads.
func (w *mentionWalk) within(statement any, relations []string, from []*pg_query.Node, visit func()) {
	at, known := w.places[statement]
	if !known {
		at.counts = true
	}
	w.level = &level{relations: relations, up: w.level, derived: derivedIn(from), place: at}
	visit()
	w.level = w.level.up
}

// relationsIn lists the relations in FROM entries, those of joins included and those of subqueries not, and notes what
// their aliases stand for.
func (w *mentionWalk) relationsIn(list []*pg_query.Node) []string {
	var out []string
	for _, n := range list {
		switch f := n.GetNode().(type) {
		case *pg_query.Node_RangeVar:
			out = append(out, w.alias(f.RangeVar))
			w.selects = append(w.selects, phases.RelationName{Schema: f.RangeVar.Schemaname, Name: f.RangeVar.Relname})
		case *pg_query.Node_JoinExpr:
			inner := w.relationsIn([]*pg_query.Node{f.JoinExpr.Larg, f.JoinExpr.Rarg})
			for _, a := range []*pg_query.Alias{f.JoinExpr.Alias, f.JoinExpr.JoinUsingAlias} {
				if a != nil {
					w.denotes[a.Aliasname] = append(w.denotes[a.Aliasname], inner...)
				}
			}
			if f.JoinExpr.IsNatural || f.JoinExpr.Alias != nil && len(f.JoinExpr.Alias.Colnames) > 0 {
				w.star(inner)
			}
			if f.JoinExpr.IsNatural {
				w.out.Natural = append(w.out.Natural, inner...)
			}
			out = append(out, inner...)
		case *pg_query.Node_RangeTableSample:
			out = append(out, w.relationsIn([]*pg_query.Node{f.RangeTableSample.Relation})...)
		case *pg_query.Node_RangeSubselect:
			w.derived(f.RangeSubselect.Alias)
		case *pg_query.Node_RangeFunction:
			w.derived(f.RangeFunction.Alias)
		case *pg_query.Node_RangeTableFunc:
			w.derived(f.RangeTableFunc.Alias)
		}
	}
	return out
}

// derivedIn lists the aliases of subqueries and functions in FROM entries; "" for one without.
func derivedIn(list []*pg_query.Node) []string {
	var out []string
	for _, n := range list {
		switch f := n.GetNode().(type) {
		case *pg_query.Node_JoinExpr:
			out = append(out, derivedIn([]*pg_query.Node{f.JoinExpr.Larg, f.JoinExpr.Rarg})...)
			for _, a := range []*pg_query.Alias{f.JoinExpr.Alias, f.JoinExpr.JoinUsingAlias} {
				if a != nil {
					out = append(out, a.Aliasname)
				}
			}
		case *pg_query.Node_RangeSubselect:
			out = append(out, f.RangeSubselect.Alias.GetAliasname())
		case *pg_query.Node_RangeFunction:
			out = append(out, f.RangeFunction.Alias.GetAliasname())
		case *pg_query.Node_RangeTableFunc:
			out = append(out, f.RangeTableFunc.Alias.GetAliasname())
		}
	}
	return out
}

// derived notes an alias of what has no columns of its own: what it is made of is named inside.
func (w *mentionWalk) derived(a *pg_query.Alias) {
	if a != nil && w.denotes[a.Aliasname] == nil {
		w.denotes[a.Aliasname] = []string{}
	}
}

func (w *mentionWalk) alias(r *pg_query.RangeVar) string {
	called := r.Relname
	if r.Alias != nil {
		called = r.Alias.Aliasname
		if len(r.Alias.Colnames) > 0 {
			w.stars[r.Relname] = true
		}
	}
	w.denotes[called] = append(w.denotes[called], r.Relname)
	return r.Relname
}

// target gives the relations of a level that writes.
func (w *mentionWalk) target(r *pg_query.RangeVar, others []*pg_query.Node) []string {
	if r == nil {
		return w.relationsIn(others)
	}
	return append([]string{w.alias(r)}, w.relationsIn(others)...)
}

func (w *mentionWalk) walk(m protoreflect.Message) {
	switch node := m.Interface().(type) {
	case *pg_query.RangeVar:
		w.mention(node.Schemaname, node.Relname, phases.Read, nil)
	case *pg_query.InsertStmt:
		w.insert(node)
		return
	case *pg_query.UpdateStmt:
		if node.Relation != nil {
			w.mention(node.Relation.Schemaname, node.Relation.Relname, phases.Update, targetNames(node.TargetList))
			w.assigned(node.TargetList)
		}
		w.within(node, w.target(node.Relation, node.FromClause), node.FromClause, func() {
			w.returned(node.ReturningList)
			w.ownRows(node.Relation, node.FromClause, node.WhereClause, node.ReturningList)
			w.children(m, "")
		})
		return
	case *pg_query.DeleteStmt:
		if node.Relation != nil {
			w.mention(node.Relation.Schemaname, node.Relation.Relname, phases.Delete, nil)
		}
		w.within(node, w.target(node.Relation, node.UsingClause), node.UsingClause, func() {
			w.returned(node.ReturningList)
			w.ownRows(node.Relation, node.UsingClause, node.WhereClause, node.ReturningList)
			w.children(m, "")
		})
		return
	case *pg_query.TruncateStmt:
		for _, n := range node.Relations {
			if r := n.GetRangeVar(); r != nil {
				w.mention(r.Schemaname, r.Relname, phases.Delete, nil)
			}
		}
	case *pg_query.MergeStmt:
		source := []*pg_query.Node{node.SourceRelation}
		w.within(node, w.target(node.Relation, source), source, func() {
			w.merge(node)
			w.children(m, "")
		})
		return
	case *pg_query.SelectStmt:
		if len(node.GroupClause) > 0 {
			w.out.Groups = true
		}
		for _, row := range node.ValuesLists {
			for _, n := range row.GetList().GetItems() {
				w.countsAt(n)
			}
		}
		w.within(node, w.relationsIn(node.FromClause), node.FromClause, func() { w.outputNames(node) })
		return
	case *pg_query.RangeSubselect:
		w.top(node.Subquery, place{name: node.Alias.GetAliasname(), named: true})
	case *pg_query.RowExpr:
		for _, n := range node.Args {
			w.countsAt(n)
		}
	case *pg_query.SubLink:
		if node.SubLinkType == pg_query.SubLinkType_EXISTS_SUBLINK {
			w.top(node.Subselect, place{})
		}
	case *pg_query.ColumnRef:
		w.columnRef(node)
		return
	case *pg_query.A_Star:
		w.out.Star = true
	case *pg_query.Alias:
		for _, n := range node.Colnames {
			w.out.Names[n.GetString_().GetSval()] = true
		}
		return
	case *pg_query.CommonTableExpr:
		w.top(node.Ctequery, place{name: node.Ctename, named: true})
		w.with[node.Ctename] = true
		w.derived(&pg_query.Alias{Aliasname: node.Ctename})
		w.children(m, "aliascolnames")
		return
	case *pg_query.FuncCall:
		names := stringValues(node.Funcname)
		for _, n := range names {
			w.out.Names[n] = true
		}
		if len(names) == 1 && len(node.Args) == 1 {
			// f(t) is another way to write t.f.
			w.column(names[0])
		}
		w.children(m, "funcname")
		return
	case *pg_query.A_Indirection:
		w.walk(node.Arg.ProtoReflect())
		for _, n := range node.Indirection {
			// (t).* names the whole row t, which is a reference itself.
			if n.GetAStar() == nil || node.Arg.GetColumnRef() == nil {
				w.walk(n.ProtoReflect())
			}
		}
		return
	case *pg_query.TypeName:
		w.typeName(node)
	case *pg_query.A_Expr:
		w.children(m, "name")
		if n := len(node.Name); n > 0 {
			if name := node.Name[n-1].GetString_().GetSval(); !phases.CommonOperator(name) {
				w.out.Names[name] = true
			}
		}
		return
	case *pg_query.String:
		w.column(node.Sval)
	case *pg_query.A_Const:
		if s := node.GetSval(); s != nil {
			w.out.Strings = append(w.out.Strings, s.Sval)
		}
		return
	case *pg_query.DefElem:
		w.column(node.Defname)
	case *pg_query.ResTarget:
		// A target of INSERT or UPDATE, which belongs to the statement's relation.
		if node.Name != "" {
			w.out.Names[node.Name] = true
		}
	case *pg_query.CopyStmt:
		if node.Relation != nil {
			uses := phases.Read
			if node.IsFrom {
				uses = phases.Insert
			}
			columns := stringValues(node.Attlist)
			if columns == nil {
				uses |= phases.Star
				w.stars[node.Relation.Relname] = true
			}
			w.mention(node.Relation.Schemaname, node.Relation.Relname, uses, columns)
		}
	case *pg_query.InferClause:
		if node.Conname != "" {
			w.column(node.Conname)
			// A constraint's columns are used without being named.
			w.star(w.level.all())
		}
	case *pg_query.IndexElem:
		if node.Name != "" {
			w.column(node.Name)
		}
	}
	w.children(m, "")
}

func (w *mentionWalk) children(m protoreflect.Message, except protoreflect.Name) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Kind() != protoreflect.MessageKind || field.Name() == except {
			return true
		}
		if field.IsList() {
			list := value.List()
			for i := range list.Len() {
				w.walk(list.Get(i).Message())
			}
			return true
		}
		w.walk(value.Message())
		return true
	})
}

// outputNames visits a SELECT and leaves the names of its output columns out: they name nothing in the database, nor
// does an ORDER BY that is one of them, which goes before any column of that name.
func (w *mentionWalk) outputNames(s *pg_query.SelectStmt) {
	outputs := map[string]bool{}
	for _, t := range s.TargetList {
		if r := t.GetResTarget(); r != nil {
			outputs[r.Name] = r.Name != ""
			w.spreadsAt(r.Val)
			w.children(r.ProtoReflect(), "")
		} else {
			w.walk(t.ProtoReflect())
		}
	}
	s.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Kind() != protoreflect.MessageKind || field.Name() == "target_list":
		case field.Name() == "sort_clause":
			for _, n := range s.SortClause {
				if c := n.GetSortBy().GetNode().GetColumnRef(); c != nil && len(c.Fields) == 1 && outputs[c.Fields[0].GetString_().GetSval()] {
					w.out.Names[c.Fields[0].GetString_().GetSval()] = true
					continue
				}
				w.walk(n.ProtoReflect())
			}
		case field.IsList():
			for i := range value.List().Len() {
				w.walk(value.List().Get(i).Message())
			}
		default:
			w.walk(value.Message())
		}
		return true
	})
}

func (w *mentionWalk) mention(schema, name string, uses phases.Use, columns []string) {
	if columns == nil && uses&(phases.Insert|phases.Update) == 0 {
		key := relationName{schema, name}
		if i, ok := w.relation[key]; ok {
			w.out.Relations[i].Uses |= uses
			return
		}
		w.relation[key] = len(w.out.Relations)
	}
	w.out.Relations = append(w.out.Relations, phases.RelationMention{Schema: schema, Name: name, Uses: uses, Columns: columns})
	for _, c := range columns {
		w.out.Names[c] = true
		w.own(c, nil)
	}
}

func (w *mentionWalk) insert(s *pg_query.InsertStmt) {
	if s.Relation == nil {
		w.children(s.ProtoReflect(), "")
		return
	}
	uses, columns := phases.Insert, targetNames(s.Cols)
	if columns == nil {
		if s.SelectStmt == nil {
			// INSERT … DEFAULT VALUES omits every column.
			columns = []string{}
		} else {
			uses |= phases.Star
			w.stars[s.Relation.Relname] = true
		}
	}
	w.mention(s.Relation.Schemaname, s.Relation.Relname, uses, columns)
	if values := s.SelectStmt.GetSelectStmt().GetValuesLists(); len(values) > 0 {
		m := &w.out.Relations[len(w.out.Relations)-1]
		if columns == nil {
			m.Width = width(values[0].GetList().GetItems())
		}
		for _, row := range values {
			defaults(m, columns, row.GetList().GetItems())
		}
	}
	relations := w.target(s.Relation, nil)
	w.within(s, relations, nil, func() {
		w.returned(s.ReturningList)
		w.ownRows(s.Relation, nil, nil, s.ReturningList)
		if c := s.OnConflictClause; c != nil {
			if columns, target := conflictTarget(c); target {
				w.mention(s.Relation.Schemaname, s.Relation.Relname, phases.Conflict, columns)
			}
			w.denotes["excluded"] = append(w.denotes["excluded"], relations...)
			if len(c.TargetList) > 0 {
				w.mention(s.Relation.Schemaname, s.Relation.Relname, phases.Update, targetNames(c.TargetList))
				w.assigned(c.TargetList)
			}
		}
		w.children(s.ProtoReflect(), "select_stmt")
	})
	// What is inserted cannot name the relation that it goes to.
	if s.SelectStmt != nil {
		w.walk(s.SelectStmt.ProtoReflect())
	}
}

// defaults notes the places of a row to insert in which DEFAULT stands.
func defaults(m *phases.RelationMention, columns []string, row []*pg_query.Node) {
	for i, v := range row {
		switch {
		case v.GetSetToDefault() == nil:
		case i < len(columns):
			m.Defaults = append(m.Defaults, columns[i])
		default:
			m.DefaultsAt = append(m.DefaultsAt, i)
		}
	}
}

// width counts the values of a row; 0 where a star stands for some of them.
func width(row []*pg_query.Node) int {
	for _, n := range row {
		fields := n.GetColumnRef().GetFields()
		indirection := n.GetAIndirection().GetIndirection()
		if len(fields) > 0 && fields[len(fields)-1].GetAStar() != nil || len(indirection) > 0 && indirection[len(indirection)-1].GetAStar() != nil {
			return 0
		}
	}
	return len(row)
}

func (w *mentionWalk) merge(s *pg_query.MergeStmt) {
	if s.Relation == nil {
		return
	}
	for _, n := range s.MergeWhenClauses {
		when := n.GetMergeWhenClause()
		if when == nil {
			continue
		}
		columns := targetNames(when.TargetList)
		switch when.CommandType {
		case pg_query.CmdType_CMD_INSERT:
			uses := phases.Insert
			if columns == nil {
				uses |= phases.Star
				w.stars[s.Relation.Relname] = true
			}
			w.mention(s.Relation.Schemaname, s.Relation.Relname, uses, columns)
			defaults(&w.out.Relations[len(w.out.Relations)-1], columns, when.Values)
			for _, n := range when.Values {
				w.countsAt(n)
			}
		case pg_query.CmdType_CMD_UPDATE:
			w.mention(s.Relation.Schemaname, s.Relation.Relname, phases.Update, columns)
			w.assigned(when.TargetList)
		case pg_query.CmdType_CMD_DELETE:
			w.mention(s.Relation.Schemaname, s.Relation.Relname, phases.Delete, nil)
		}
	}
}

func (w *mentionWalk) columnRef(c *pg_query.ColumnRef) {
	var parts []string
	for _, f := range c.Fields {
		switch {
		case f.GetAStar() != nil:
			parts = append(parts, "")
		case f.GetString_() != nil:
			parts = append(parts, f.GetString_().Sval)
			w.out.Names[f.GetString_().Sval] = true
		}
	}
	if len(parts) > 0 {
		w.references = append(w.references, reference{parts, w.level, w.spreading[c], w.counting[c]})
	}
}

// rowFunctions are functions of PostgreSQL that take a row of any type: t.to_jsonb is another way to write to_jsonb(t).
var rowFunctions = map[string]bool{ //nolint:gochecknoglobals // a constant table
	"row_to_json": true, "to_json": true, "to_jsonb": true, "json_agg": true, "jsonb_agg": true, "array_agg": true, "count": true,
	"hash_record": true, "record_out": true, "record_send": true, "pg_typeof": true, "pg_column_size": true, "num_nulls": true,
	"num_nonnulls": true, "quote_literal": true, "quote_nullable": true, "json_build_array": true, "jsonb_build_array": true,
	"json_build_object": true, "jsonb_build_object": true, "concat": true, "any_value": true, "text": true, "varchar": true,
	"bpchar": true,
}

// finish resolves the references, for which all aliases must be known.
func (w *mentionWalk) finish() {
	for _, r := range w.references {
		w.resolve(r)
	}
	for name := range w.anywhere {
		delete(w.owners, name)
	}
	typed := slices.Sorted(maps.Keys(w.typed))
	if len(w.owners) > 0 {
		w.out.Owners = map[string][]string{}
	}
	for name, relations := range w.owners {
		w.out.Owners[name] = append(slices.Sorted(maps.Keys(relations)), typed...)
	}
	if len(w.stars) > 0 {
		w.star(typed)
	}
	w.out.Stars = slices.Sorted(maps.Keys(w.stars))
	w.out.Selects = slices.DeleteFunc(w.selects, func(r phases.RelationName) bool { return r.Schema == "" && w.with[r.Name] })
	w.spreads()
	w.out.Spread = slices.Sorted(maps.Keys(w.spread))
}

// spreads finds the relations of which a star's columns come to a place where their number counts, by way of subqueries
// and WITH too. An alias that stands for several things in one text stands for all of them.
func (w *mentionWalk) spreads() {
	for before := -1; before < len(w.spread); {
		before = len(w.spread)
		for _, r := range w.references {
			last := len(r.parts) - 1
			if !r.spread || r.parts[last] != "" {
				continue
			}
			l := r.level
			if !r.counts && l != nil && !l.place.counts && (!l.place.named || !w.spread[l.place.name]) {
				continue
			}
			if last > 0 {
				// NEW and OLD of a trigger are no alias, and stand for themselves.
				w.spread[r.parts[last-1]] = true
				for _, name := range w.denotes[r.parts[last-1]] {
					w.spread[name] = true
				}
			} else if l != nil {
				for _, name := range slices.Concat(l.relations, l.derived) {
					w.spread[name] = true
				}
			}
		}
	}
}

// ownRows notes a relation that a statement writes and of which it reads columns too, in its WHERE or in RETURNING.
func (w *mentionWalk) ownRows(r *pg_query.RangeVar, others []*pg_query.Node, where *pg_query.Node, returning []*pg_query.Node) {
	if r == nil {
		return
	}
	called := r.Relname
	if r.Alias != nil {
		called = r.Alias.Aliasname
	}
	var own func(n *pg_query.Node) bool
	own = func(n *pg_query.Node) bool {
		switch e := n.GetNode().(type) {
		case *pg_query.Node_ColumnRef:
			names := words(e.ColumnRef.Fields)
			return len(names) == 2 && names[0] == called || len(e.ColumnRef.Fields) == 1 && len(others) == 0
		case *pg_query.Node_AExpr:
			return own(e.AExpr.Lexpr) || own(e.AExpr.Rexpr)
		case *pg_query.Node_BoolExpr:
			return slices.ContainsFunc(e.BoolExpr.Args, own)
		case *pg_query.Node_NullTest:
			return own(e.NullTest.Arg)
		case *pg_query.Node_TypeCast:
			return own(e.TypeCast.Arg)
		case *pg_query.Node_ResTarget:
			return own(e.ResTarget.Val)
		}
		return false
	}
	if own(where) || slices.ContainsFunc(returning, own) {
		w.selects = append(w.selects, phases.RelationName{Schema: r.Schemaname, Name: r.Relname})
	}
}

// returned notes the stars in a RETURNING list.
func (w *mentionWalk) returned(list []*pg_query.Node) {
	for _, n := range list {
		w.spreadsAt(n.GetResTarget().GetVal())
	}
}

func (w *mentionWalk) resolve(r reference) {
	last := len(r.parts) - 1
	name := r.parts[last]
	around := r.level.all()
	if last == 0 {
		switch {
		case r.level == nil:
			w.anywhere[name] = true
			w.out.Star = w.out.Star || name == ""
		case name == "":
			w.star(r.level.relations)
			w.star(slices.Collect(maps.Keys(w.typed)))
		default:
			w.own(name, around)
			w.star(w.denotes[name])
		}
		return
	}
	qualifier := r.parts[last-1]
	relations, known := w.denotes[qualifier]
	switch {
	case !known && name == "":
		w.out.Star = true
	case !known:
		w.anywhere[name] = true
		// In schema.relation, the last part may be a whole row, and in column.attribute the first is a column.
		w.star(w.denotes[name])
		w.own(qualifier, around)
	case name == "":
		w.star(relations)
	default:
		w.own(name, relations)
		if rowFunctions[name] {
			w.star(relations)
		}
	}
}

func (w *mentionWalk) typeName(t *pg_query.TypeName) {
	names := stringValues(t.Names)
	if len(names) == 0 {
		return
	}
	schema := ""
	if len(names) > 1 {
		schema = names[len(names)-2]
	}
	if schema != "pg_catalog" {
		w.row(schema, names[len(names)-1])
		if t.PctType && len(names) > 1 {
			w.row("", names[len(names)-2])
		}
	}
}

// row notes a type that may be the row type of a relation.
func (w *mentionWalk) row(schema, name string) {
	w.mention(schema, name, phases.Read|phases.Call, nil)
	w.typed[name] = true
}

// assigned notes the columns that SET gives DEFAULT: alone, or among others from one row.
func (w *mentionWalk) assigned(list []*pg_query.Node) {
	m := &w.out.Relations[len(w.out.Relations)-1]
	for _, n := range list {
		r := n.GetResTarget()
		value := r.GetVal()
		if ref := value.GetMultiAssignRef(); ref != nil {
			if items := ref.Source.GetRowExpr().GetArgs(); int(ref.Colno) <= len(items) && ref.Colno > 0 {
				value = items[ref.Colno-1]
			}
		}
		if value.GetSetToDefault() != nil {
			m.Defaults = append(m.Defaults, r.Name)
		}
	}
}

func targetNames(list []*pg_query.Node) []string {
	var names []string
	for _, n := range list {
		if r := n.GetResTarget(); r != nil && r.Name != "" {
			names = append(names, r.Name)
		}
	}
	return names
}

func stringValues(list []*pg_query.Node) []string {
	var values []string
	for _, n := range list {
		if s := n.GetString_(); s != nil {
			values = append(values, s.Sval)
		}
	}
	return values
}

// tokenMentions reads the identifiers of a text that does not parse. PostgreSQL's scanner accepts nearly everything;
// what even it rejects is cut into words.
func tokenMentions(text string) *phases.Mentions {
	out := &phases.Mentions{Names: map[string]bool{}, Star: true, Unparsed: true}
	scan, err := pg_query.Scan(text)
	if err != nil {
		for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r < 0x80 && !wordRune(r) }) {
			out.Names[word] = true
			out.Names[strings.ToLower(word)] = true
		}
		return out
	}
	for _, token := range scan.Tokens {
		raw := text[token.Start:token.End]
		switch token.Token {
		case pg_query.Token_SCONST, pg_query.Token_USCONST:
			out.Strings = append(out.Strings, strings.ReplaceAll(strings.Trim(raw, "'"), "''", "'"))
		case pg_query.Token_SQL_COMMENT, pg_query.Token_C_COMMENT:
		default:
			if unquoted, ok := strings.CutPrefix(raw, `"`); ok {
				out.Names[strings.ReplaceAll(strings.TrimSuffix(unquoted, `"`), `""`, `"`)] = true
				continue
			}
			out.Names[strings.ToLower(raw)] = true
		}
	}
	return out
}

func wordRune(r rune) bool {
	return r == '_' || r == '$' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// Reads reports whether the parser reads a text.
func Reads(text string) bool {
	_, err := parseTree(text)
	return err == nil
}

// conflictTarget gives the columns from which ON CONFLICT infers its index; nil where there is more to it than columns.
// Target is false where it names none: then every unique index serves, and none is needed.
func conflictTarget(c *pg_query.OnConflictClause) (columns []string, target bool) {
	if c.Infer == nil {
		return nil, false
	}
	for _, n := range c.Infer.IndexElems {
		e := n.GetIndexElem()
		if e == nil || e.Name == "" || len(e.Collation) > 0 || len(e.Opclass) > 0 {
			return nil, true
		}
		columns = append(columns, e.Name)
	}
	return columns, true
}
