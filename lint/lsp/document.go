package lsp

import (
	"cmp"
	"sort"
	"strings"
	"unicode/utf8"

	protocol "github.com/tliron/glsp/protocol_3_16"
)

// document is a text as the editor has it. The protocol counts lines and, within a line, units of UTF-16; everything else here counts
// bytes.
type document struct {
	uri     protocol.DocumentUri
	path    string
	version int32
	text    string
	// lines are the offsets at which the lines begin.
	lines []int
}

func newDocument(uri protocol.DocumentUri, path string, version int32, text string) *document {
	d := &document{uri: uri, path: path, version: version, text: text, lines: []int{0}}
	for i := range len(text) {
		switch {
		case text[i] == '\n', text[i] == '\r' && (i+1 == len(text) || text[i+1] != '\n'):
			d.lines = append(d.lines, i+1)
		}
	}
	return d
}

// mark is the length of the byte order mark that the text begins with, which the parser's offsets leave out.
func (d *document) mark() int {
	if strings.HasPrefix(d.text, "\ufeff") {
		return len("\ufeff")
	}
	return 0
}

// position gives where the protocol sees an offset.
func (d *document) position(offset int) protocol.Position {
	offset = min(max(offset, 0), len(d.text))
	line := sort.Search(len(d.lines), func(i int) bool { return d.lines[i] > offset }) - 1
	units := 0
	for _, r := range d.text[d.lines[line]:offset] {
		units += unitsOf(r)
	}
	return protocol.Position{Line: uint32(line), Character: uint32(units)} //nolint:gosec // no text is that long
}

// offset gives the offset of a position. One behind the end of its line means that end, as the protocol has it.
func (d *document) offset(p protocol.Position) int {
	if int(p.Line) >= len(d.lines) {
		return len(d.text)
	}
	start, end := d.lines[p.Line], len(d.text)
	if int(p.Line)+1 < len(d.lines) {
		end = d.lines[p.Line+1]
	}
	line := strings.TrimRight(d.text[start:end], "\r\n")
	units := 0
	for i, r := range line {
		if units >= int(p.Character) {
			return start + i
		}
		units += unitsOf(r)
	}
	return start + len(line)
}

// lineEnd gives the end of the line that an offset is in.
func (d *document) lineEnd(offset int) int {
	if n := strings.IndexAny(d.text[offset:], "\r\n"); n >= 0 {
		return offset + n
	}
	return len(d.text)
}

// change gives the document after a change of the editor.
func (d *document) change(version int32, edits []any) *document {
	for _, e := range edits {
		switch e := e.(type) {
		case protocol.TextDocumentContentChangeEventWhole:
			d = newDocument(d.uri, d.path, version, e.Text)
		case protocol.TextDocumentContentChangeEvent:
			start, end := d.offset(e.Range.Start), d.offset(e.Range.End)
			d = newDocument(d.uri, d.path, version, d.text[:start]+e.Text+d.text[max(start, end):])
		}
	}
	return d
}

// stretch gives the range of a stretch of the text without a byte order mark.
func (d *document) stretch(start, end int) protocol.Range {
	return protocol.Range{Start: d.position(start + d.mark()), End: d.position(end + d.mark())}
}

func unitsOf(r rune) int {
	if r > 0xffff && r <= utf8.MaxRune {
		return 2
	}
	return 1
}

func before(a, b protocol.Position) bool {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Character, b.Character)) < 0
}

// touches reports whether two ranges have a place in common, be it an end.
func touches(a, b protocol.Range) bool { return !before(a.End, b.Start) && !before(b.End, a.Start) }
