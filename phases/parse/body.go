package parse

import (
	"strings"

	"github.com/bitvault/pawl/phases"
	pg "github.com/pganalyze/pg_query_go/v5"
)

// maxBodies bounds how deep bodies may stand inside bodies: a DO that creates a function that runs a DO.
const maxBodies = 8

// bodyOperations gives what the string body of a DO block or a function does when it runs: its static statements, with
// Conditional set where a branch or loop decides whether they run, and an opaque operation for each part that cannot
// be read. It reads PL/pgSQL statement by statement instead of calling the parser's own PL/pgSQL reader, because that
// one gives up on a whole body for one statement it cannot resolve.
func (s *statement) bodyOperations(language, body string) []phases.Operation {
	inner := statement{span: s.span, at: s.at, body: true, depth: s.depth + 1}
	switch strings.ToLower(language) {
	case "sql":
		if inner.depth > maxBodies {
			return inner.opaque()
		}
		return inner.sqlBody(body)
	case "plpgsql":
		if inner.depth > maxBodies {
			return inner.opaque()
		}
		p := plpgsql{statement: inner, scanner: scanner{src: body}}
		return p.operations()
	default:
		return inner.opaque()
	}
}

func (s *statement) sqlBody(body string) []phases.Operation {
	tree, err := parseTree(body)
	if err != nil {
		s.text = body
		return s.opaque()
	}
	var ops []phases.Operation
	for _, raw := range tree.Stmts {
		start, end := int(raw.StmtLocation), len(body)
		if raw.StmtLen > 0 {
			end = start + int(raw.StmtLen)
		}
		start, end = trim(body, start, end)
		inner := *s
		inner.text = body[start:end]
		ops = append(ops, inner.operations(raw.Stmt)...)
	}
	return ops
}

// plpgsql reads the body of a PL/pgSQL block.
type plpgsql struct {
	statement
	scanner
	ops []phases.Operation
	// nesting counts the open IF, CASE, LOOP and exception handlers, in which a statement may or may not run.
	nesting int
	// vars are the block's variables, read when the first EXECUTE is met.
	vars variables
}

// operations reads the whole body.
func (p *plpgsql) operations() []phases.Operation {
	declaring := false
	for {
		piece, ok := p.piece()
		if !ok {
			return p.ops
		}
		first, rest := cutWord(piece)
		switch first {
		case "declare":
			declaring = true
			if rest != "" {
				p.expression(afterAny(rest, ":=", "default"))
			}
		case "begin":
			declaring = false
		default:
			if declaring {
				p.expression(afterAny(piece, ":=", "default"))
				continue
			}
			p.statementPiece(piece, first, rest)
		}
	}
}

// piece gives the next stretch that stands alone: what lies between semicolons, and before that the words that open a
// block: BEGIN, THEN, ELSE, LOOP.
func (p *plpgsql) piece() (string, bool) {
	start, parens := -1, 0
	end := 0
	for {
		t := p.nextCode()
		if t.kind == tokenEOF {
			return p.src[max(start, 0):max(end, 0)], start >= 0
		}
		text := p.src[t.start:t.end]
		switch {
		case text == "(" || text == "[":
			parens++
		case (text == ")" || text == "]") && parens > 0:
			parens--
		case text == ";" && parens == 0:
			if start < 0 {
				continue
			}
			return p.src[start:end], true
		case text == "<<" && start < 0:
			p.label()
			continue
		}
		if start < 0 {
			start = t.start
		}
		end = t.end
		if t.kind == tokenWord && parens == 0 {
			head, _ := cutWord(p.src[start:end])
			if endsPiece(head, strings.ToLower(text), t.start == start) {
				return p.src[start:end], true
			}
		}
	}
}

func (p *plpgsql) label() {
	for {
		t := p.nextCode()
		if t.kind == tokenEOF || p.src[t.start:t.end] == ">>" {
			return
		}
	}
}

// endsPiece reports whether a word closes the piece that began with head. THEN closes only conditions, because CASE
// expressions have one too.
func endsPiece(head, word string, first bool) bool {
	switch word {
	case "begin", "else", "exception":
		return first
	case "then":
		return head == "if" || head == "elsif" || head == "elseif" || head == "when"
	case "loop":
		return head == "loop" || head == "while" || head == "for" || head == "foreach"
	case "declare":
		return first
	default:
		return false
	}
}

func cutWord(piece string) (first, rest string) {
	s := scanner{src: piece}
	t := s.nextCode()
	if t.kind != tokenWord {
		return "", piece
	}
	return strings.ToLower(piece[t.start:t.end]), strings.TrimSpace(piece[t.end:])
}

// afterAny gives what stands behind the first of the given tokens, or nothing.
func afterAny(piece string, tokens ...string) string {
	s := scanner{src: piece}
	for {
		t := s.nextCode()
		if t.kind == tokenEOF {
			return ""
		}
		for _, want := range tokens {
			if strings.EqualFold(piece[t.start:t.end], want) {
				return strings.TrimSpace(piece[t.end:])
			}
		}
	}
}

// before cuts a piece at the first of the words that stands outside parentheses.
func before(piece string, words ...string) (head, word, tail string) {
	s := scanner{src: piece}
	parens := 0
	for {
		t := s.nextCode()
		if t.kind == tokenEOF {
			return piece, "", ""
		}
		text := piece[t.start:t.end]
		switch text {
		case "(":
			parens++
		case ")":
			parens--
		}
		if parens != 0 {
			continue
		}
		for _, w := range words {
			if strings.EqualFold(text, w) {
				return strings.TrimSpace(piece[:t.start]), w, strings.TrimSpace(piece[t.end:])
			}
		}
	}
}

func (p *plpgsql) statementPiece(piece, first, rest string) {
	switch first {
	case "if":
		cond, _, _ := before(rest, "then")
		p.expression(cond)
		p.nesting++
	case "elsif", "elseif":
		cond, _, _ := before(rest, "then")
		p.expression(cond)
	case "when":
		cond, _, _ := before(rest, "then")
		if p.nesting > 0 && !isCondition(cond) {
			p.expression(cond)
		}
	case "case":
		p.nesting++
		head, _, _ := before(rest, "when")
		p.expression(head)
	case "else":
	case "exception":
		p.nesting++
	case "while":
		cond, _, _ := before(rest, "loop")
		p.expression(cond)
		p.nesting++
	case "loop":
		p.nesting++
	case "for", "foreach":
		p.loop(rest)
		p.nesting++
	case "end":
		if p.nesting > 0 {
			p.nesting--
		}
	case "null", "exit", "continue", "close", "declare", "begin", "get", "fetch", "move":
		if first == "exit" || first == "continue" {
			p.expression(afterAny(rest, "when"))
		}
	case "return":
		p.returns(rest)
	case "raise", "assert":
		// The arguments are expressions; the format in front is a constant.
		_, _, args := before(rest, ",")
		for args != "" {
			var arg string
			arg, _, args = before(args, ",", "using")
			p.expression(arg)
		}
	case "perform":
		p.sql("select " + rest)
	case "execute":
		p.execute(rest)
	case "open":
		if q := afterAny(rest, "for"); q != "" {
			if w, r := cutWord(q); w == "execute" {
				p.execute(r)
			} else {
				p.sql(q)
			}
		}
	case "commit", "rollback":
		op := p.make("transaction_in_block", phases.Object{})
		op.Text = first
		p.add([]phases.Operation{op})
	case "call":
		p.sql(piece)
	default:
		p.assignmentOrSQL(piece, first)
	}
}

// isCondition reports whether WHEN names exceptions instead of values: unique_violation OR SQLSTATE '…'.
func isCondition(cond string) bool {
	for _, w := range strings.Fields(strings.ToLower(cond)) {
		if w == "or" || w == "others" || w == "sqlstate" || strings.Contains(w, "_") || strings.HasPrefix(w, "'") {
			continue
		}
		return false
	}
	return true
}

func (p *plpgsql) loop(rest string) {
	_, _, source := before(rest, "in")
	if source == "" {
		return
	}
	source, _, _ = before(source, "loop")
	w, r := cutWord(source)
	switch w {
	case "execute":
		p.execute(r)
	case "select", "with", "insert", "update", "delete", "values", "table":
		p.sql(source)
	default:
		p.expression(strings.ReplaceAll(strings.TrimPrefix(source, "reverse "), "..", ","))
	}
}

func (p *plpgsql) returns(rest string) {
	switch w, r := cutWord(rest); w {
	case "query":
		if w, r2 := cutWord(r); w == "execute" {
			p.execute(r2)
		} else {
			p.sql(r)
		}
	case "next":
		p.expression(r)
	case "":
		p.expression(rest)
	default:
		p.expression(rest)
	}
}

// execute is EXECUTE: a constant is parsed, anything else cannot be known.
func (p *plpgsql) execute(rest string) {
	head, _, _ := before(rest, "into", "using")
	s := scanner{src: head}
	t := s.nextCode()
	if t.kind == tokenString && s.nextCode().kind == tokenEOF {
		if text, ok := unquote(head[t.start:t.end]); ok {
			p.add(p.sqlBody(text))
			return
		}
	}
	if p.vars == nil {
		p.vars = variablesOf(p.src)
	}
	values := p.vars.executed(head)
	if len(values) > 1 {
		p.nesting++
		defer func() { p.nesting-- }()
	}
	for _, value := range values {
		p.executed(value)
	}
}

// executed is one of the expressions that EXECUTE may run.
func (p *plpgsql) executed(expression string) {
	if text, ok := constantText(expression); ok {
		p.add(p.sqlBody(text))
		return
	}
	if text, ok := likelyText(expression, p.vars); ok {
		if ops := p.sqlBody(text); onlyMakes(ops) {
			p.add(ops)
			return
		}
	}
	op := p.make(phases.Opaque, phases.Object{})
	op.Text, op.Flags = expression, phases.Dynamic
	p.add([]phases.Operation{op})
}

// onlyMakes reports whether operations make something new, or set what no code can see, whatever the names in them are.
func onlyMakes(ops []phases.Operation) bool {
	for _, op := range ops {
		switch op.Kind {
		case "create_table", "create_partition", "create_index", "attach_partition", "set_storage_parameters", "comment":
		default:
			return false
		}
	}
	return len(ops) > 0
}

// constantText works out an expression that comes to the same text whenever it runs: constants joined by ||, and
// format, quote_ident and quote_literal of constants.
func constantText(expression string) (string, bool) {
	n := valueOf(expression)
	if n == nil {
		return "", false
	}
	return constantValue(n)
}

func constantValue(n *pg.Node) (string, bool) {
	if text, null, ok := literal(n); ok {
		return text, !null
	}
	if e := n.GetAExpr(); e != nil && word(first(e.Name)) == "||" {
		left, ok := constantValue(e.Lexpr)
		right, also := constantValue(e.Rexpr)
		return left + right, ok && also
	}
	f := n.GetFuncCall()
	if f == nil {
		return "", false
	}
	var args []string
	for _, a := range f.Args {
		text, ok := constantValue(a)
		if !ok {
			return "", false
		}
		args = append(args, text)
	}
	switch _, name := qualified(words(f.Funcname)); {
	case name == "quote_ident" && len(args) == 1:
		return quoteIdentifier(args[0]), true
	case name == "quote_literal" && len(args) == 1:
		return quoteLiteral(args[0]), true
	case name == "format" && len(args) > 0:
		return format(args[0], args[1:])
	default:
		return "", false
	}
}

// format is PostgreSQL's function of that name without widths and positions.
func format(pattern string, args []string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' {
			b.WriteByte(pattern[i])
			continue
		}
		i++
		if i >= len(pattern) {
			return "", false
		}
		if pattern[i] == '%' {
			b.WriteByte('%')
			continue
		}
		if len(args) == 0 {
			return "", false
		}
		switch pattern[i] {
		case 's':
			b.WriteString(args[0])
		case 'I':
			b.WriteString(quoteIdentifier(args[0]))
		case 'L':
			b.WriteString(quoteLiteral(args[0]))
		default:
			return "", false
		}
		args = args[1:]
	}
	return b.String(), true
}

func quoteIdentifier(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// unquote gives the value of a string constant; E strings and U& strings with escapes are not worth reading.
func unquote(literal string) (string, bool) {
	switch {
	case strings.HasPrefix(literal, "$"):
		n := strings.IndexByte(literal[1:], '$') + 2
		if len(literal) < 2*n {
			return "", false
		}
		return literal[n : len(literal)-n], true
	case strings.HasPrefix(literal, "'"):
		return strings.ReplaceAll(literal[1:len(literal)-1], "''", "'"), len(literal) > 1
	default:
		return "", false
	}
}

// assignmentOrSQL tells `x := e` from a SQL statement.
func (p *plpgsql) assignmentOrSQL(piece, first string) {
	s := scanner{src: piece}
	for range 12 {
		t := s.nextCode()
		if t.kind == tokenEOF {
			break
		}
		if text := piece[t.start:t.end]; text == ":=" || text == "=" && !sqlVerb(first) {
			p.expression(strings.TrimSpace(piece[t.end:]))
			return
		}
	}
	p.sql(piece)
}

func sqlVerb(word string) bool {
	return strings.Contains(" select insert update delete merge with values table create alter drop truncate grant revoke comment lock "+
		"set reset copy analyze vacuum refresh reindex cluster call do notify import security explain prepare execute reassign discard ",
		" "+word+" ")
}

// sql parses a statement of the block. INTO names variables in SELECT INTO, which in plain SQL would make a table.
func (p *plpgsql) sql(text string) {
	if first, _ := cutWord(text); first == "select" || first == "with" || first == "values" {
		text = withoutInto(text)
	} else if first == "insert" || first == "update" || first == "delete" || first == "merge" {
		text = withoutReturningInto(text)
	}
	p.add(p.sqlBody(text))
}

// withoutInto takes `INTO [STRICT] target, …` out of a SELECT.
func withoutInto(text string) string {
	head, word, tail := before(text, "into")
	if word == "" {
		return text
	}
	s := scanner{src: tail}
	if t := s.nextCode(); !strings.EqualFold(tail[t.start:t.end], "strict") {
		s.pos = t.start
	}
	for {
		s.nextCode()
		at := s.pos
		t := s.nextCode()
		for t.kind == tokenSymbol && tail[t.start:t.end] == "." || tail[t.start:t.end] == "[" {
			for t.kind != tokenEOF && tail[t.start:t.end] != "." && tail[t.start:t.end] != "]" {
				t = s.nextCode()
			}
			if tail[t.start:t.end] == "." {
				s.nextCode()
			}
			at = s.pos
			t = s.nextCode()
		}
		if t.kind != tokenSymbol || tail[t.start:t.end] != "," {
			return head + " " + tail[min(at, len(tail)):]
		}
	}
}

func withoutReturningInto(text string) string {
	head, word, tail := before(text, "returning")
	if word == "" {
		return text
	}
	list, _, _ := before(tail, "into")
	return head + " returning " + list
}

// expression parses an expression for the functions it calls.
func (p *plpgsql) expression(text string) {
	if !worthParsing(text) {
		return
	}
	p.add(p.sqlBody("select " + withoutInto(text)))
}

// worthParsing reports whether an expression reads a table or calls a function that may do something: most only
// compare and compute, and parsing them would cost more than the rest of the body.
func worthParsing(text string) bool {
	if !strings.Contains(text, "(") {
		return false
	}
	s := scanner{src: text}
	last := ""
	for {
		t := s.nextCode()
		if t.kind == tokenEOF {
			return false
		}
		w := text[t.start:t.end]
		switch {
		case w == "(" && last != "":
			switch last = strings.ToLower(last); last {
			case "coalesce", "nullif", "greatest", "least", "and", "or", "not", "in", "cast", "row", "array", "values", "then", "else", "when":
			default:
				if !phases.Harmless(last) {
					return true
				}
			}
			last = ""
		case t.kind == tokenWord && (strings.EqualFold(w, "select") || strings.EqualFold(w, "with")):
			return true
		case t.kind == tokenQuoted:
			last = "?"
		case t.kind == tokenWord:
			last = w
		case w == ".":
			last = "?"
		default:
			last = ""
		}
	}
}

func (p *plpgsql) add(ops []phases.Operation) {
	for i := range ops {
		if p.nesting > 0 {
			ops[i].Flags |= phases.Conditional
		}
	}
	p.ops = append(p.ops, ops...)
}
