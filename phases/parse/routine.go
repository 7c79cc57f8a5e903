package parse

import (
	"encoding/json"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/bitvault/pawl/phases"
)

// Routine is what the body of a function or procedure mentions.
type Routine struct {
	// Queries are its statements and expressions.
	Queries []*phases.Mentions
	// Dynamic is true where it runs SQL that it puts together, or where its body could not be read.
	Dynamic bool
}

// RoutineOf reads a CREATE FUNCTION or CREATE PROCEDURE statement, as pg_get_functiondef gives it. A body in a language
// other than SQL and PL/pgSQL is Dynamic: nobody knows what it sends.
func RoutineOf(definition, language string) Routine {
	switch language {
	case "plpgsql":
		return plpgsqlRoutine(definition)
	case "sql":
		return sqlRoutine(definition)
	case "internal", "c":
		// These send SQL only by SPI, which the functions of extensions and triggers of PostgreSQL's own do with names
		// that their arguments give; those stand in the trigger.
		return Routine{}
	}
	return Routine{Dynamic: true}
}

func sqlRoutine(definition string) Routine {
	tree, err := parseTree(definition)
	if err != nil || len(tree.Stmts) != 1 {
		return Routine{Queries: []*phases.Mentions{tokenMentions(definition)}}
	}
	f := tree.Stmts[0].Stmt.GetCreateFunctionStmt()
	if f == nil {
		return Routine{Dynamic: true}
	}
	if f.SqlBody != nil {
		// BEGIN ATOMIC: the statements are part of the tree.
		return Routine{Queries: []*phases.Mentions{Mentions(definition)}}
	}
	var r Routine
	for _, o := range f.Options {
		e := o.GetDefElem()
		if e == nil || e.Defname != "as" {
			continue
		}
		for _, body := range stringValues(e.Arg.GetList().GetItems()) {
			m := mentions(body, true)
			if row := stringValues(f.ReturnType.GetNames()); len(row) > 0 {
				// A star gives the row that is returned, whatever columns it has.
				m.Spread = slices.DeleteFunc(m.Spread, func(s string) bool { return s == row[len(row)-1] })
			}
			r.Queries = append(r.Queries, m)
		}
	}
	return r
}

func plpgsqlRoutine(definition string) Routine {
	if len(definition) > shallow && tooDeep(definition) >= 0 {
		return Routine{Dynamic: true}
	}
	text, err := pg.ParsePlPgSqlToJSON(definition)
	var tree any
	if err != nil || json.Unmarshal([]byte(text), &tree) != nil {
		return Routine{Queries: []*phases.Mentions{tokenMentions(definition)}, Dynamic: strings.Contains(strings.ToLower(definition), "execute")}
	}
	r := routineReader{definition: definition}
	r.visit(tree)
	return r.Routine
}

// routineReader collects what a PL/pgSQL function mentions.
type routineReader struct {
	Routine
	definition string
	vars       variables
	// returning is true within RETURN QUERY.
	returning bool
}

// visit collects every embedded query of a PL/pgSQL tree, wherever it stands.
func (r *routineReader) visit(node any) {
	switch n := node.(type) {
	case []any:
		for _, v := range n {
			r.visit(v)
		}
	case map[string]any:
		for key, v := range n {
			switch key {
			case "PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors":
				if n, ok := v.(map[string]any); ok {
					r.executed(n["query"])
				}
			case "dynquery":
				r.executed(v)
			case "PLpgSQL_stmt_return_query":
				r.returning = true
				r.visit(v)
				r.returning = false
				continue
			case "query":
				if text, ok := v.(string); ok {
					q := embedded(text)
					if r.returning {
						// RETURN QUERY gives so many columns as the function returns.
						q = mentions(text, true)
						q.Returns = true
						q.Spread = slices.DeleteFunc(q.Spread, func(s string) bool { return s == r.row() })
					}
					r.Queries = append(r.Queries, q)
					continue
				}
			}
			r.visit(v)
		}
	}
}

// executed reads the expression whose text is run as a statement: what is known of it is a template.
func (r *routineReader) executed(node any) {
	outer, _ := node.(map[string]any)
	inner, _ := outer["PLpgSQL_expr"].(map[string]any)
	expression, _ := inner["query"].(string)
	if r.vars == nil {
		r.vars = variablesOf(bodyOf(r.definition))
	}
	for _, e := range r.vars.executed(expression) {
		if parts, holes, ok := assembled(e, r.vars); ok {
			q := Template(parts, holes)
			q.Returns = r.returning
			r.Queries = append(r.Queries, q)
		} else if m := upkeep(e, r.vars); m != nil {
			r.Queries = append(r.Queries, m)
		} else {
			r.Dynamic = true
		}
	}
}

// row is the type of the rows that the function returns, which may be that of a table.
func (r *routineReader) row() string {
	tree, err := parseTree(r.definition)
	if err != nil || len(tree.Stmts) != 1 {
		return ""
	}
	names := stringValues(tree.Stmts[0].Stmt.GetCreateFunctionStmt().GetReturnType().GetNames())
	if len(names) == 0 {
		return ""
	}
	return names[len(names)-1]
}

// bodyOf is the text of a function's body; empty where there is none.
func bodyOf(definition string) string {
	tree, err := parseTree(definition)
	if err != nil || len(tree.Stmts) != 1 {
		return ""
	}
	for _, o := range tree.Stmts[0].Stmt.GetCreateFunctionStmt().GetOptions() {
		if e := o.GetDefElem(); e.GetDefname() == "as" {
			return strings.Join(stringValues(e.Arg.GetList().GetItems()), "")
		}
	}
	return ""
}

// upkeep reads a statement that begins as one that defines something: it neither reads nor writes rows, so that it can
// meet only what is named in its known words, and any relation as a whole. Nil stands for other statements.
func upkeep(expression string, vars variables) *phases.Mentions {
	a, ok := assemble(expression, assembly{loose: true, vars: vars})
	if !ok {
		return nil
	}
	verb, _ := cutWord(strings.TrimSpace(a.parts[0]))
	switch verb {
	case "create", "alter", "drop", "comment", "grant", "revoke", "analyze", "vacuum", "reindex", "lock", "refresh", "truncate":
	default:
		return nil
	}
	m := &phases.Mentions{Names: map[string]bool{}, Relations: []phases.RelationMention{{Name: phases.Hole, Uses: phases.Read | phases.Call}}}
	for _, part := range a.parts {
		for name := range tokenMentions(part).Names {
			m.Names[name] = true
		}
	}
	return m
}

// embedded reads a query, an expression, or an assignment with its target.
func embedded(text string) *phases.Mentions {
	for _, prefix := range []string{"", "select "} {
		if m := Mentions(prefix + text); !m.Unparsed {
			return m
		}
	}
	if target, value, ok := strings.Cut(text, ":="); ok {
		m := Mentions("select " + target + ", " + value)
		if !m.Unparsed {
			return m
		}
	}
	return tokenMentions(text)
}
