package parse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"
)

// assembled takes apart an expression that puts a statement together: its known stretches, and between them holes for
// names and values, as Template takes them. It fails where any SQL at all may stand in a hole.
func assembled(expression string, vars variables) (parts, holes []string, ok bool) {
	a, ok := assemble(expression, assembly{vars: vars})
	return a.parts, a.holes, ok
}

// likelyText is the statement with a plain word in each hole, the same word for the same variable: as it most likely reads,
// if nothing but names and values are put in.
func likelyText(expression string, vars variables) (string, bool) {
	a, ok := assemble(expression, assembly{loose: true, vars: vars})
	if !ok || a.parts[0] == "" {
		return "", false
	}
	var b strings.Builder
	for i, part := range a.parts {
		b.WriteString(part)
		switch {
		case i >= len(a.words):
		case wantsNumber(part):
			b.WriteByte('1')
		default:
			b.WriteString(a.words[i])
		}
	}
	return b.String(), true
}

// wantsNumber reports whether the grammar takes nothing but a number after a text: in the bound of a hash partition.
func wantsNumber(text string) bool {
	fields := strings.Fields(strings.ToLower(text))
	return len(fields) > 0 && (fields[len(fields)-1] == "modulus" || fields[len(fields)-1] == "remainder") && !wordRune(rune(text[len(text)-1]))
}

// assemble takes the expression apart, with the options that a has.
func assemble(expression string, a assembly) (assembly, bool) {
	a.parts = []string{""}
	n := valueOf(expression)
	return a, n != nil && a.add(n)
}

// assembly is a statement that is put together. Words are plain ones that stand for what the holes hold.
type assembly struct {
	parts, holes, words []string
	// loose also takes a hole "text", for any SQL.
	loose bool
	// vars are the variables that the expression may name; depth counts those that stand in one another.
	vars  variables
	depth int
}

// inner is the expression of a variable, where only one is assigned to it.
func (a *assembly) inner(n *pg.Node, loose bool) (assembly, bool) {
	const deepest = 8
	values := a.vars.of(n)
	if len(values) != 1 || a.depth >= deepest {
		return assembly{}, false
	}
	return assemble(values[0], assembly{loose: loose, vars: a.vars, depth: a.depth + 1})
}

// take puts another one at the end.
func (a *assembly) take(b assembly) {
	a.text(b.parts[0])
	a.holes, a.words, a.parts = append(a.holes, b.holes...), append(a.words, b.words...), append(a.parts, b.parts[1:]...)
}

// name takes a value in as one identifier.
func (a *assembly) name(n *pg.Node) {
	b, ok := a.inner(n, true)
	if !ok {
		a.hole("name", n)
		return
	}
	for i := range b.holes {
		b.holes[i], b.words[i] = "name", strings.Trim(b.words[i], "'")
	}
	for i := range b.parts {
		b.parts[i] = strings.ReplaceAll(b.parts[i], `"`, `""`)
	}
	a.text(`"`)
	a.take(b)
	a.text(`"`)
}

func (a *assembly) text(s string) { a.parts[len(a.parts)-1] += s }

func (a *assembly) hole(kind string, of *pg.Node) {
	word := "pawl_hole"
	if fields := words(of.GetColumnRef().GetFields()); len(fields) > 0 {
		word += "_" + strings.Join(strings.FieldsFunc(strings.ToLower(strings.Join(fields, "_")), notName), "_")
	}
	if kind == "literal" {
		kind, word = "value", quoteLiteral(word)
	}
	a.holes, a.words, a.parts = append(a.holes, kind), append(a.words, word), append(a.parts, "")
}

func notName(r rune) bool { return r >= 0x80 || !wordRune(r) }

// any is a hole of which nothing is known.
func (a *assembly) any(n *pg.Node) bool {
	if a.loose {
		a.hole("text", n)
	}
	return a.loose
}

// add takes the value of an expression into the statement, as SQL text.
func (a *assembly) add(n *pg.Node) bool {
	if text, ok := constantValue(n); ok {
		a.text(text)
		return true
	}
	if b, ok := a.inner(n, a.loose); ok {
		a.take(b)
		return true
	}
	if c := n.GetTypeCast(); c != nil {
		_, name := qualified(words(c.TypeName.GetNames()))
		if name == "text" || name == "varchar" {
			return a.add(c.Arg)
		}
		return a.any(n)
	}
	if e := n.GetAExpr(); e != nil && word(first(e.Name)) == "||" {
		return a.add(e.Lexpr) && a.add(e.Rexpr)
	}
	f := n.GetFuncCall()
	if f == nil {
		return a.any(n)
	}
	switch _, name := qualified(words(f.Funcname)); {
	case name == "quote_ident" && len(f.Args) == 1:
		a.name(f.Args[0])
		return true
	case (name == "quote_literal" || name == "quote_nullable") && len(f.Args) == 1:
		a.hole("literal", f.Args[0])
		return true
	case name == "format" && len(f.Args) > 0:
		pattern, ok := constantValue(f.Args[0])
		return ok && a.format(pattern, f.Args[1:])
	}
	return a.any(n)
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
			a.name(arg)
		case verb == 'L':
			a.hole("literal", arg)
		default:
			return false
		}
	}
	return true
}
