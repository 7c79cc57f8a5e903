package parse

import (
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bitvault/pawl/phases"
)

// Mentions gives what a query's text names. It never fails: a text that the parser rejects falls back to its
// identifier tokens, and one that cannot even be scanned to its words, and both are marked Unparsed.
func Mentions(text string) *phases.Mentions {
	tree, err := pg_query.Parse(text)
	if err != nil {
		return tokenMentions(text)
	}
	w := mentionWalk{
		out:        &phases.Mentions{Names: map[string]bool{}},
		aliases:    map[string]bool{},
		relation:   map[relationName]int{},
		bare:       map[string]bool{},
		denotes:    map[string][]string{},
		ofRelation: map[*pg_query.Alias]bool{},
	}
	for _, s := range tree.Stmts {
		if s.Stmt != nil {
			w.walk(s.Stmt.ProtoReflect())
		}
	}
	w.wholeRows()
	w.owners()
	return w.out
}

type relationName struct{ schema, name string }

// mentionWalk visits every message of a parse tree by reflection, so that node kinds which nobody thought of are
// still looked into: a name may be found twice, but none is lost.
type mentionWalk struct {
	out      *phases.Mentions
	relation map[relationName]int
	// aliases are all names by which a FROM item can be called; single holds the one-part column references, which are
	// whole rows where they name an alias.
	aliases map[string]bool
	single  []string
	// bare are the names that stand somewhere without a qualifier; qualified are those behind one. Denotes gives the
	// relations that a qualifier may stand for; the empty name is for what is no relation, such as a subquery.
	bare      map[string]bool
	qualified []qualifiedName
	denotes   map[string][]string
	// ofRelation are the aliases that a relation bears.
	ofRelation map[*pg_query.Alias]bool
}

type qualifiedName struct{ qualifier, name string }

func (w *mentionWalk) name(n string) {
	w.out.Names[n], w.bare[n] = true, true
}

func (w *mentionWalk) walk(m protoreflect.Message) {
	switch node := m.Interface().(type) {
	case *pg_query.RangeVar:
		w.rangeVar(node, phases.Read)
		if node.Alias != nil {
			w.ofRelation[node.Alias] = true
		}
	case *pg_query.InsertStmt:
		w.insert(node)
	case *pg_query.UpdateStmt:
		if node.Relation != nil {
			w.mention(node.Relation.Schemaname, node.Relation.Relname, phases.Update, targetNames(node.TargetList))
		}
	case *pg_query.DeleteStmt:
		if node.Relation != nil {
			w.mention(node.Relation.Schemaname, node.Relation.Relname, phases.Delete, nil)
		}
	case *pg_query.TruncateStmt:
		for _, n := range node.Relations {
			if r := n.GetRangeVar(); r != nil {
				w.mention(r.Schemaname, r.Relname, phases.Delete, nil)
			}
		}
	case *pg_query.MergeStmt:
		w.merge(node)
	case *pg_query.SelectStmt:
		if len(node.GroupClause) > 0 {
			w.out.Groups = true
		}
		w.outputNames(node)
		return
	case *pg_query.ColumnRef:
		w.columnRef(node)
		return
	case *pg_query.A_Star:
		w.out.Star = true
	case *pg_query.JoinExpr:
		if node.IsNatural {
			w.out.Star = true
		}
	case *pg_query.Alias:
		w.aliases[node.Aliasname] = true
		if !w.ofRelation[node] {
			w.denotes[node.Aliasname] = append(w.denotes[node.Aliasname], "")
		}
		if len(node.Colnames) > 0 {
			w.out.Star = true
		}
	case *pg_query.CommonTableExpr:
		w.aliases[node.Ctename] = true
		w.denotes[node.Ctename] = append(w.denotes[node.Ctename], "")
	case *pg_query.TypeName:
		w.typeName(node)
	case *pg_query.String:
		w.name(node.Sval)
	case *pg_query.A_Const:
		if s := node.GetSval(); s != nil {
			w.out.Strings = append(w.out.Strings, s.Sval)
		}
		return
	case *pg_query.DefElem:
		w.name(node.Defname)
	case *pg_query.ResTarget:
		// A target of INSERT or UPDATE, which belongs to the statement's relation, or the name of an output column.
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
				w.out.Star = true
			}
			w.mention(node.Relation.Schemaname, node.Relation.Relname, uses, columns)
		}
	case *pg_query.InferClause:
		if node.Conname != "" {
			w.name(node.Conname)
		}
	case *pg_query.IndexElem:
		if node.Name != "" {
			w.name(node.Name)
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

// outputNames visits a SELECT and leaves the names of its output columns out: they name nothing in the database. An
// ORDER BY that uses one names it again by a column reference.
func (w *mentionWalk) outputNames(s *pg_query.SelectStmt) {
	for _, t := range s.TargetList {
		if r := t.GetResTarget(); r != nil {
			w.children(r.ProtoReflect(), "")
		} else {
			w.walk(t.ProtoReflect())
		}
	}
	w.children(s.ProtoReflect(), "target_list")
}

func (w *mentionWalk) rangeVar(r *pg_query.RangeVar, uses phases.Use) {
	w.mention(r.Schemaname, r.Relname, uses, nil)
	w.aliases[r.Relname] = true
	called := r.Relname
	if r.Alias != nil {
		called = r.Alias.Aliasname
	}
	w.denotes[called] = append(w.denotes[called], r.Relname)
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
		w.qualified = append(w.qualified, qualifiedName{"\x00" + name, c})
	}
}

func (w *mentionWalk) insert(s *pg_query.InsertStmt) {
	if s.Relation == nil {
		return
	}
	uses, columns := phases.Insert, targetNames(s.Cols)
	if columns == nil {
		uses |= phases.Star
		w.out.Star = true
		if s.SelectStmt == nil {
			// INSERT … DEFAULT VALUES omits every column.
			columns = []string{}
		}
	}
	w.mention(s.Relation.Schemaname, s.Relation.Relname, uses, columns)
	if c := s.OnConflictClause; c != nil {
		w.mention(s.Relation.Schemaname, s.Relation.Relname, phases.Conflict, nil)
		if len(c.TargetList) > 0 {
			w.mention(s.Relation.Schemaname, s.Relation.Relname, phases.Update, targetNames(c.TargetList))
		}
	}
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
				w.out.Star = true
			}
			w.mention(s.Relation.Schemaname, s.Relation.Relname, uses, columns)
		case pg_query.CmdType_CMD_UPDATE:
			w.mention(s.Relation.Schemaname, s.Relation.Relname, phases.Update, columns)
		default:
			w.mention(s.Relation.Schemaname, s.Relation.Relname, phases.Delete, nil)
		}
	}
}

func (w *mentionWalk) columnRef(c *pg_query.ColumnRef) {
	var parts []string
	for _, f := range c.Fields {
		switch {
		case f.GetAStar() != nil:
			w.out.Star = true
			parts = append(parts, "")
		case f.GetString_() != nil:
			parts = append(parts, f.GetString_().Sval)
		}
	}
	if len(parts) == 0 {
		return
	}
	last := len(parts) - 1
	for _, p := range parts[:last] {
		w.name(p)
	}
	if parts[last] == "" {
		return
	}
	// In schema.table.column and table.row the last name may itself be a relation's alias used as a row.
	w.single = append(w.single, parts[last])
	if last == 0 {
		w.name(parts[last])
		return
	}
	w.out.Names[parts[last]] = true
	w.qualified = append(w.qualified, qualifiedName{parts[last-1], parts[last]})
}

// owners finds the names that stand behind a qualifier everywhere, and of which each qualifier is a relation's name or
// alias: they name columns of those relations and of no other.
func (w *mentionWalk) owners() {
	owners := map[string][]string{}
	unsure := map[string]bool{}
	for _, q := range w.qualified {
		if relation, target := strings.CutPrefix(q.qualifier, "\x00"); target {
			owners[q.name] = append(owners[q.name], relation)
			continue
		}
		denotes := w.denotes[q.qualifier]
		if len(denotes) == 0 || slices.Contains(denotes, "") {
			unsure[q.name] = true
			continue
		}
		owners[q.name] = append(owners[q.name], denotes...)
	}
	for name, relations := range owners {
		if !w.bare[name] && !unsure[name] {
			if w.out.Owners == nil {
				w.out.Owners = map[string][]string{}
			}
			w.out.Owners[name] = relations
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
		w.mention(schema, names[len(names)-1], phases.Read|phases.Call, nil)
		if t.PctType && len(names) > 1 {
			w.mention("", names[len(names)-2], phases.Read|phases.Call, nil)
		}
	}
}

// wholeRows turns column references that name a FROM item into uses of all its columns.
func (w *mentionWalk) wholeRows() {
	for _, name := range w.single {
		if w.aliases[name] {
			w.out.Star = true
			return
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
	_, err := pg_query.Parse(text)
	return err == nil
}
