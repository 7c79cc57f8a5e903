// Package parse turns SQL text into pawl's own vocabulary. It is the only importer of the PostgreSQL parser.
package parse

import (
	"bytes"
	"errors"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/bitvault/pawl/phases"
	pg "github.com/pganalyze/pg_query_go/v5"
	"github.com/pganalyze/pg_query_go/v5/parser"
)

// File parses one file. It never fails as a whole: what cannot be read becomes a Problem of the file, with its place,
// and an Opaque operation, so that nothing is lost and nothing unread is taken for harmless.
func File(path string, src []byte) *phases.File {
	text := string(bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")))
	f := &phases.File{Path: path, Text: text}
	r := reader{file: f, at: newPlaces(text)}
	if bad, message := badText(text); bad >= 0 {
		r.unreadable(bad, message)
		return f
	}
	prepared := prepare(text, r.at)
	f.Problems = prepared.problems
	// The rows of a COPY block are data, whatever they look like.
	found, problems := directives(prepared.text, r.at)
	f.Directives = found
	f.Problems = append(f.Problems, problems...)
	r.text, r.rows = prepared.text, prepared.rows
	r.read()
	r.control()
	attach(f)
	f.Problems = slices.DeleteFunc(f.Problems, func(p phases.Problem) bool { return assumed(f, p) })
	sort.SliceStable(f.Problems, func(i, j int) bool {
		return f.Problems[i].Span.Start.Offset < f.Problems[j].Span.Start.Offset
	})
	return f
}

// assumed reports whether a syntax error stands in a statement that pawl:assume answers for: the parser may simply be
// older than the server.
func assumed(f *phases.File, p phases.Problem) bool {
	if p.Code != phases.SyntaxProblem || len(f.Directives) == 0 {
		return false
	}
	// The statement that holds the problem is the last one that begins before it.
	i := sort.Search(len(f.Statements), func(i int) bool { return f.Statements[i].Span.Start.Offset > p.Span.Start.Offset }) - 1
	if i < 0 {
		return false
	}
	return slices.ContainsFunc(f.Statements[i].Directives, func(d phases.Directive) bool {
		return d.Name == "assume" && d.Reason != ""
	})
}

// badText finds what makes a text unfit for PostgreSQL whatever it says: bytes that are not UTF-8, and NUL.
func badText(text string) (offset int, message string) {
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return 0, "the file is UTF-16; save it as UTF-8"
	}
	if n := strings.IndexByte(text, 0); n >= 0 {
		return n, "NUL byte; a migration is text in UTF-8"
	}
	if utf8.ValidString(text) {
		return -1, ""
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i, "not UTF-8; save the file as UTF-8"
		}
		i += size
	}
	return -1, ""
}

// reader fills one File.
type reader struct {
	file *phases.File
	at   *places
	// text is what the parser reads: the file's text with everything blanked that is not SQL.
	text string
	rows map[int][2]int
}

func (r *reader) problem(code phases.ProblemCode, start, end int, message, hint string) {
	r.file.Problems = append(r.file.Problems, phases.Problem{Code: code, Message: message, Hint: hint, Span: r.at.span(start, end)})
}

// unreadable makes the whole text one opaque statement.
func (r *reader) unreadable(offset int, message string) {
	r.problem(phases.EncodingProblem, offset, min(offset+1, len(r.file.Text)), message, "")
	span := r.at.span(0, len(r.file.Text))
	r.file.Statements = []phases.Statement{{
		Text: r.file.Text, Span: span,
		Operations: []phases.Operation{{Kind: phases.Opaque, Span: span}},
	}}
}

// read parses the whole text at once, and statement by statement when that fails.
func (r *reader) read() {
	tree, err := parseTree(r.text)
	if err != nil {
		r.readChunks()
		return
	}
	r.file.Statements = make([]phases.Statement, 0, len(tree.Stmts))
	for _, raw := range tree.Stmts {
		start := int(raw.StmtLocation)
		end := len(r.text)
		if raw.StmtLen > 0 {
			end = start + int(raw.StmtLen)
		}
		start, end = trim(r.text, start, end)
		r.statement(raw.Stmt, start, end, strings.IndexByte(r.text[end:], ';')+end)
	}
}

// trim moves the ends of a stretch inwards, past white space and comments.
func trim(text string, start, end int) (first, last int) {
	s := scanner{src: text[:end], pos: start}
	t := s.nextCode()
	first, last = t.start, end
	for last > first && isSpace(text[last-1]) {
		last--
	}
	if body := text[first:last]; !strings.Contains(body, "--") && !strings.Contains(body, "/*") {
		return first, last
	}
	last = t.end
	for {
		t := s.next()
		switch t.kind {
		case tokenEOF:
			return first, last
		case tokenComment:
		default:
			last = t.end
		}
	}
}

// readChunks finds the statements by scanning and parses each alone, so that a statement that does not parse costs
// itself only.
func (r *reader) readChunks() {
	s := splitter{scanner: scanner{src: r.text}}
	for {
		at := s.pos
		c, meta, ok := s.next()
		if !ok {
			if s.unclosed > 0 {
				// It stands behind the last statement, which parses without it; PostgreSQL refuses the whole text.
				r.problem(phases.SyntaxProblem, s.unclosed-1, s.unclosed+1, "unterminated /* comment", "close it with */")
			}
			return
		}
		if meta {
			// Only a backslash in the middle of an unfinished statement is left here.
			s.pos++
			if c.start < 0 {
				continue
			}
		}
		if c.open && !s.ignoreParens {
			// A parenthesis is never closed: what follows the next semicolon is another statement all the same.
			s.pos, s.ignoreParens = at, true
			continue
		}
		r.chunk(c)
	}
}

func (r *reader) chunk(c chunk) {
	text := r.text[c.start:c.end]
	tree, err := parseTree(text)
	if err == nil {
		for _, raw := range tree.Stmts {
			r.statement(raw.Stmt, c.start, c.end, c.semicolon)
		}
		return
	}
	if rewritten, fix, ok := rewriteNewer(text); ok {
		if tree, err := parseTree(rewritten); err == nil && len(tree.Stmts) == 1 {
			r.statement(tree.Stmts[0].Stmt, c.start, c.end, c.semicolon)
			fix(r.file.Statements[len(r.file.Statements)-1].Operations)
			return
		}
	}
	start, end, message, hint := syntaxError(text, err)
	r.problem(phases.SyntaxProblem, c.start+start, c.start+end, message, hint)
	span := r.at.span(c.start, c.end)
	r.file.Statements = append(r.file.Statements, phases.Statement{
		Text: r.file.Text[c.start:c.end], Span: span,
		Operations: []phases.Operation{{Kind: phases.Opaque, Span: span}},
	})
}

// statement adds one parsed statement.
func (r *reader) statement(node *pg.Node, start, end, semicolon int) {
	st := phases.Statement{Text: r.file.Text[start:end], Span: r.at.span(start, end)}
	if t := node.GetTransactionStmt(); t != nil {
		st.Control = controlWord(t)
	} else {
		one := statement{span: st.Span, text: st.Text, at: r.at}
		st.Operations = one.operations(node)
	}
	if rows, ok := r.rows[semicolon]; ok {
		span := r.at.span(rows[0], rows[1])
		st.CopyData = &span
	}
	r.file.Statements = append(r.file.Statements, st)
}

// syntaxError gives the place of a parse error as byte offsets in the text, its message, and a hint where one helps.
func syntaxError(text string, err error) (start, end int, message, hint string) {
	message = err.Error()
	var pe *parser.Error
	if errors.As(err, &pe) {
		message = pe.Message
		start = byteOffset(text, pe.Cursorpos-1)
	}
	if strings.HasPrefix(message, "memory exhausted") || strings.Contains(message, "maximum recursion depth") {
		message = deepMessage
	}
	s := scanner{src: text, pos: start}
	t := s.next()
	end = max(t.end, start)
	if t.kind == tokenSymbol && text[t.start:t.end] == ":" {
		hint = "psql variables such as :name are not SQL; write the value"
	}
	return start, end, message, hint
}

// byteOffset turns a count of characters into a count of bytes.
func byteOffset(text string, characters int) int {
	if characters <= 0 {
		return 0
	}
	for i := range text {
		if characters == 0 {
			return i
		}
		characters--
	}
	return len(text)
}
