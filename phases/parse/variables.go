package parse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"
)

// variables are those that a PL/pgSQL body declares in its outermost block, by their lower-case names, with the
// expressions that are assigned to each. What is put together in a variable and executed from it is known in this way
// (plpgsql-statements.html, "Executing Dynamic Commands").
type variables map[string]*variable

type variable struct {
	// values are the expressions; the variable holds what one of them comes to, or NULL.
	values []string
	// open is true where something else may be in it: a loop, a query's result, or another variable of that name.
	open bool
}

// variablesOf reads a body. It takes a variable for open rather than overlook what is assigned to it.
func variablesOf(body string) variables {
	vars := variables{}
	p := plpgsql{scanner: scanner{src: body}}
	declaring, inner := false, false
	declare := func(text string) {
		name, rest := cutWord(text)
		if inner || vars[name] != nil {
			vars[name] = &variable{open: true}
			return
		}
		v := &variable{}
		vars[name] = v
		if kind, _ := cutWord(rest); kind == "alias" || strings.Contains(strings.ToLower(rest), "cursor") {
			v.open = true
		}
		if value := afterAny(rest, ":=", "=", "default"); value != "" {
			v.values = append(v.values, value)
		}
	}
	for {
		piece, ok := p.piece()
		if !ok {
			return vars
		}
		first, rest := cutWord(piece)
		switch {
		case first == "declare":
			declaring = true
			if rest != "" {
				declare(rest)
			}
		case first == "begin":
			declaring, inner = false, true
		case declaring:
			declare(piece)
		default:
			vars.assigned(piece, first, rest)
		}
	}
}

// assigned notes what one statement assigns.
func (v variables) assigned(piece, first, rest string) {
	switch first {
	case "if", "elsif", "elseif", "when", "while", "case", "else", "loop", "end", "exit", "continue", "raise", "assert", "return",
		"perform", "null", "exception", "commit", "rollback", "close", "move":
		return
	case "for", "foreach":
		names, _, _ := before(rest, "in")
		v.spoil(names)
		return
	case "get", "fetch", "call", "open":
		v.spoil(rest)
		return
	case "execute":
		_, _, into := before(rest, "into")
		v.spoil(into)
		return
	}
	s := scanner{src: piece}
	for i := 0; i < 12 && !sqlVerb(first); i++ {
		t := s.nextCode()
		if t.kind == tokenEOF {
			break
		}
		if text := piece[t.start:t.end]; text == ":=" || text == "=" {
			if known := v[first]; known != nil && i == 1 {
				known.values = append(known.values, strings.TrimSpace(piece[t.end:]))
			} else {
				v.spoil(piece[:t.start])
			}
			return
		}
	}
	_, word, targets := before(piece, "into")
	if word == "" {
		return
	}
	name, _ := cutWord(targets)
	if known := v[name]; known != nil && first == "select" && !strings.Contains(targets, ",") {
		// SELECT e INTO v, wherever INTO stands: what is left is the query whose one column goes into the variable.
		_, query := cutWord(withoutInto(piece))
		known.values = append(known.values, query)
		return
	}
	v.spoil(targets)
}

// spoil opens all variables that a text names.
func (v variables) spoil(text string) {
	s := scanner{src: text}
	for {
		t := s.nextCode()
		if t.kind == tokenEOF {
			return
		}
		name := strings.ToLower(text[t.start:t.end])
		if t.kind == tokenQuoted {
			name = strings.Trim(text[t.start:t.end], `"`)
		}
		if known := v[name]; known != nil {
			known.open = true
		}
	}
}

// of gives the expressions of which one is in the variable that a node names; nil where they are not all known, or
// where one is put together of the variable itself.
func (v variables) of(n *pg.Node) []string {
	fields := n.GetColumnRef().GetFields()
	if len(fields) != 1 {
		return nil
	}
	name := word(fields[0])
	known := v[name]
	if known == nil || known.open {
		return nil
	}
	for _, value := range known.values {
		s := scanner{src: value}
		for t := s.nextCode(); t.kind != tokenEOF; t = s.nextCode() {
			if strings.EqualFold(value[t.start:t.end], name) {
				return nil
			}
		}
	}
	return known.values
}

// executed gives the expressions of which one makes up the text of an EXECUTE: its own one, or those of the variable
// that it names.
func (v variables) executed(expression string) []string {
	if values := v.of(valueOf(expression)); len(values) > 0 {
		return values
	}
	return []string{expression}
}

// valueOf is the node of an expression, or of the one column of a query without its SELECT; nil where it has another form.
func valueOf(expression string) *pg.Node {
	tree, err := parseTree("select " + expression)
	if err != nil || len(tree.Stmts) != 1 {
		return nil
	}
	targets := tree.Stmts[0].Stmt.GetSelectStmt().GetTargetList()
	if len(targets) != 1 {
		return nil
	}
	return targets[0].GetResTarget().GetVal()
}
