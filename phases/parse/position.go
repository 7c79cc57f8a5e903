package parse

import (
	"strings"
	"unicode/utf8"

	"github.com/bitvault/pawl/phases"
)

// places turns byte offsets into positions. It remembers where it was, so that asking in ascending order costs one
// pass over the text; asking backwards starts from the beginning.
type places struct {
	text   string
	offset int
	line   int
	column int
}

func newPlaces(text string) *places { return &places{text: text, line: 1, column: 1} }

// at gives the position of a byte offset; an offset beyond the text is the text's end.
func (p *places) at(offset int) phases.Position {
	offset = min(max(offset, 0), len(p.text))
	if offset < p.offset {
		p.back(offset)
	}
	s := p.text[p.offset:offset]
	if n := strings.LastIndexByte(s, '\n'); n >= 0 {
		p.line += strings.Count(s[:n+1], "\n")
		p.column = 1
		s = s[n+1:]
	}
	p.column += utf8.RuneCountInString(s)
	p.offset = offset
	return phases.Position{Offset: offset, Line: p.line, Column: p.column}
}

// back moves to the beginning of the line that holds offset.
func (p *places) back(offset int) {
	start := strings.LastIndexByte(p.text[:offset], '\n') + 1
	if start > p.offset {
		return
	}
	p.line -= strings.Count(p.text[start:p.offset], "\n")
	p.offset, p.column = start, 1
}

func (p *places) span(start, end int) phases.Span {
	return phases.Span{Start: p.at(start), End: p.at(end)}
}
