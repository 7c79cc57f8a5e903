package parse

import (
	"strings"

	"github.com/bitvault/pawl/phases"
)

// prepared is a text made fit for the parser: psql's meta-commands and the rows of COPY blocks are blanked, byte for
// byte, so that every offset still holds in the original.
type prepared struct {
	text     string
	problems []phases.Problem
	// rows maps the offset of the semicolon that ends a COPY … FROM stdin to where its rows stand.
	rows map[int][2]int
}

// prepare looks for what psql understands and SQL does not. Most files have neither a backslash nor a COPY from
// stdin, and cost two searches.
func prepare(text string, at *places) prepared {
	p := prepared{text: text}
	if !strings.Contains(text, `\`) && !containsFold(text, "stdin") {
		return p
	}
	var blank [][2]int
	var terminators []int
	s := splitter{scanner: scanner{src: text}}
	for {
		c, meta, ok := s.next()
		if !ok {
			break
		}
		switch {
		case meta:
			end := lineEnd(text, c.semicolon)
			command := metaName(text[c.semicolon:end])
			blank = append(blank, [2]int{c.semicolon, end})
			if c.start >= 0 && strings.HasPrefix(command, `\g`) {
				terminators = append(terminators, c.semicolon)
			}
			if command != `\restrict` && command != `\unrestrict` {
				p.problems = append(p.problems, phases.Problem{
					Code:    phases.MetaCommandProblem,
					Message: command + " is a command of psql, not SQL",
					Hint:    metaHint(command),
					Span:    at.span(c.semicolon, c.semicolon+len(command)),
				})
			}
			s.pos = end
		case c.copies:
			start := lineEnd(text, c.semicolon)
			if start < len(text) {
				start++
			}
			end, next := copyEnd(text, start)
			if p.rows == nil {
				p.rows = map[int][2]int{}
			}
			p.rows[c.semicolon] = [2]int{start, end}
			blank = append(blank, [2]int{start, next})
			s.pos = next
		}
	}
	if len(blank) > 0 {
		p.text = blanked(text, blank, terminators)
	}
	return p
}

func blanked(text string, blank [][2]int, terminators []int) string {
	b := []byte(text)
	for _, span := range blank {
		for i := span[0]; i < span[1]; i++ {
			if b[i] != '\n' {
				b[i] = ' '
			}
		}
	}
	for _, i := range terminators {
		b[i] = ';'
	}
	return string(b)
}

func containsFold(text, lower string) bool {
	for i := 0; i+len(lower) <= len(text); {
		n := strings.IndexAny(text[i:], lower[:1]+strings.ToUpper(lower[:1]))
		if n < 0 || i+n+len(lower) > len(text) {
			return false
		}
		if i += n; strings.EqualFold(text[i:i+len(lower)], lower) {
			return true
		}
		i++
	}
	return false
}

func lineEnd(text string, from int) int {
	if n := strings.IndexByte(text[from:], '\n'); n >= 0 {
		return from + n
	}
	return len(text)
}

// copyEnd gives where the rows that begin at from end, and where the text goes on behind the closing `\.` line.
func copyEnd(text string, from int) (end, next int) {
	for at := from; at < len(text); {
		stop := lineEnd(text, at)
		if strings.TrimRight(text[at:stop], "\r") == `\.` {
			return at, stop
		}
		at = stop + 1
	}
	return len(text), len(text)
}

func metaName(line string) string {
	if line == `\` {
		return line
	}
	end := 1
	for end < len(line) && !isSpace(line[end]) && line[end] != '\\' {
		end++
	}
	return line[:max(end, min(2, len(line)))]
}

func metaHint(command string) string {
	switch strings.ToLower(command) {
	case `\i`, `\ir`, `\include`, `\include_relative`:
		return "put that file's statements here, or make it a migration of its own"
	case `\set`, `\unset`, `\gset`, `\prompt`, `\getenv`:
		return "write the value where it is used"
	case `\c`, `\connect`:
		return "a migration runs in one database; take the line out"
	case `\copy`:
		return "use COPY … FROM stdin with the rows in the file, or load the data elsewhere"
	case `\echo`, `\qecho`, `\warn`, `\timing`, `\pset`, `\x`, `\t`, `\a`, `\o`, `\q`, `\quit`, `\encoding`:
		return "take the line out; it only steers psql"
	case `\if`, `\elif`, `\else`, `\endif`:
		return "use a DO block with IF"
	case `\gexec`:
		return "write the statements out, or use a DO block with EXECUTE"
	case `\g`, `\gx`, `\;`:
		return "end the statement with a semicolon"
	case `\!`:
		return "a migration runs no programs; take the line out"
	case `\.`:
		return "rows end here that no COPY … FROM stdin began"
	default:
		return "write the SQL that it stands for, or take it out"
	}
}
