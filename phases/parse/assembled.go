package parse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"
)

// assembled takes apart an expression that puts a statement together: its known stretches, and between them holes for
// names and values, as Template takes them. It fails where any SQL at all may stand in a hole.
func assembled(expression string) (parts, holes []string, ok bool) {
	tree, err := parseTree("select " + expression)
	if err != nil || len(tree.Stmts) != 1 {
		return nil, nil, false
	}
	targets := tree.Stmts[0].Stmt.GetSelectStmt().GetTargetList()
	if len(targets) != 1 {
		return nil, nil, false
	}
	a := assembly{parts: []string{""}}
	ok = a.add(targets[0].GetResTarget().GetVal())
	return a.parts, a.holes, ok
}

type assembly struct{ parts, holes []string }

func (a *assembly) text(s string) { a.parts[len(a.parts)-1] += s }

func (a *assembly) hole(kind string) {
	a.holes, a.parts = append(a.holes, kind), append(a.parts, "")
}

// add takes the value of an expression into the statement, as SQL text.
func (a *assembly) add(n *pg.Node) bool {
	if text, ok := constantValue(n); ok {
		a.text(text)
		return true
	}
	if c := n.GetTypeCast(); c != nil {
		_, name := qualified(words(c.TypeName.GetNames()))
		return (name == "text" || name == "varchar") && a.add(c.Arg)
	}
	if e := n.GetAExpr(); e != nil && word(first(e.Name)) == "||" {
		return a.add(e.Lexpr) && a.add(e.Rexpr)
	}
	f := n.GetFuncCall()
	if f == nil {
		return false
	}
	switch _, name := qualified(words(f.Funcname)); {
	case name == "quote_ident" && len(f.Args) == 1:
		a.hole("name")
		return true
	case (name == "quote_literal" || name == "quote_nullable") && len(f.Args) == 1:
		a.hole("value")
		return true
	case name == "format" && len(f.Args) > 0:
		pattern, ok := constantValue(f.Args[0])
		return ok && a.format(pattern, f.Args[1:])
	}
	return false
}

// format takes in PostgreSQL's function of that name, as the manual's "String Functions" describes it, without widths.
func (a *assembly) format(pattern string, args []*pg.Node) bool {
	next := 0
	for pattern != "" {
		before, after, found := strings.Cut(pattern, "%")
		a.text(before)
		if !found {
			return true
		}
		position, rest, numbered := strings.Cut(after, "$")
		if numbered && position != "" && strings.Trim(position, "0123456789") == "" {
			next = 0
			for _, digit := range position {
				next = next*10 + int(digit-'0')
			}
			next--
			after = rest
		}
		if after == "" {
			return false
		}
		verb := after[0]
		pattern = after[1:]
		if verb == '%' {
			a.text("%")
			continue
		}
		if next < 0 || next >= len(args) {
			return false
		}
		arg := args[next]
		next++
		known, constant := constantValue(arg)
		switch {
		case verb == 's':
			if !a.add(arg) {
				return false
			}
		case verb == 'I' && constant:
			a.text(quoteIdentifier(known))
		case verb == 'L' && constant:
			a.text(quoteLiteral(known))
		case verb == 'I':
			a.hole("name")
		case verb == 'L':
			a.hole("value")
		default:
			return false
		}
	}
	return true
}
