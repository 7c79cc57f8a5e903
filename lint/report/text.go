package report

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bitvault/pawl/lint"
)

// textWriter writes for people: the place, the message, an excerpt with a caret, and what to do.
type textWriter struct {
	out     *bufio.Writer
	options Options
	any     bool
}

const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	blue   = "\x1b[34m"
	dim    = "\x1b[2m"
	reset  = "\x1b[0m"
)

func (w *textWriter) paint(style, text string) string {
	if !w.options.Color || text == "" {
		return text
	}
	return style + text + reset
}

// Begin writes nothing.
func (w *textWriter) Begin() error { return nil }

// File writes nothing.
func (w *textWriter) File(string) error { return nil }

// Finding writes one finding and an empty line.
func (w *textWriter) Finding(f *lint.Finding, text string) error {
	w.any = true
	style := blue
	switch f.Severity {
	case lint.Error:
		style = red
	case lint.Warning:
		style = yellow
	}
	place := f.Path + ":" + strconv.Itoa(f.Span.Start.Line) + ":" + strconv.Itoa(f.Span.Start.Column)
	fmt.Fprintf(w.out, "%s: %s %s\n", w.paint(bold, place), w.paint(style, f.Severity.String()), w.paint(bold, "["+f.Rule+"]"))
	w.wrap("  ", f.Message)
	w.excerpt(f, text, style)
	if f.Help != "" {
		w.wrap("  "+w.paint(dim, "help: "), f.Help)
	}
	if len(f.Edits) > 0 {
		fmt.Fprintf(w.out, "  %s\n", w.paint(dim, "pawl lint --fix does this"))
	}
	return w.out.WriteByte('\n')
}

// excerptOf finds the line that a finding begins in, or what stands near of a long one; false for no text.
func excerptOf(f *lint.Finding, text string) (from, to int, ok bool) {
	start := f.Span.Start.Offset
	if start > len(text) || text == "" {
		return 0, 0, false
	}
	// A dump may have lines of megabytes: only what stands near is looked at.
	const reach = 120
	from = strings.LastIndexByte(text[max(0, start-reach):start], '\n') + 1 + max(0, start-reach)
	for from < start && !utf8.RuneStart(text[from]) {
		from++
	}
	to = min(len(text), start+reach)
	for to < len(text) && !utf8.RuneStart(text[to]) {
		to--
	}
	if n := strings.IndexByte(text[start:to], '\n'); n >= 0 {
		to = start + n
	}
	return from, to, true
}

// excerpt shows the first line of the place, with what is meant underlined.
func (w *textWriter) excerpt(f *lint.Finding, text, style string) {
	from, to, ok := excerptOf(f, text)
	if !ok {
		return
	}
	start := f.Span.Start.Offset
	line := strings.TrimRight(text[from:to], "\r")
	end := min(max(f.Span.End.Offset, start+1), from+len(line))
	number := strconv.Itoa(f.Span.Start.Line)
	fmt.Fprintf(w.out, "  %s %s\n", w.paint(dim, number+" |"), strings.ReplaceAll(line, "\t", " "))
	marks := 1
	if end > start {
		marks = max(1, utf8.RuneCountInString(text[start:end]))
	}
	fmt.Fprintf(w.out, "  %s %s%s\n", strings.Repeat(" ", len(number))+w.paint(dim, " |"), strings.Repeat(" ", utf8.RuneCountInString(text[from:start])), w.paint(style, strings.Repeat("^", marks)))
}

// wrap writes text in lines of the width, the first behind the prefix and the others below its text.
func (w *textWriter) wrap(prefix, text string) {
	_, _ = w.out.WriteString(prefix)
	column, first := 4, true
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case first:
		case column+1+n > w.options.Width:
			_, _ = w.out.WriteString("\n    ")
			column = 4
		default:
			_ = w.out.WriteByte(' ')
			column++
		}
		_, _ = w.out.WriteString(word)
		column, first = column+n, false
	}
	_ = w.out.WriteByte('\n')
}

// End writes the counts.
func (w *textWriter) End(s lint.Summary) error {
	fmt.Fprintln(w.out, summary(s))
	if s.Findings > 0 {
		fmt.Fprintln(w.out, "`pawl explain RULE` tells why, and how to do it safely.")
	}
	return w.out.Flush()
}

// summary says in a line what a run saw.
func summary(s lint.Summary) string {
	var b strings.Builder
	switch s.Findings {
	case 0:
		fmt.Fprintf(&b, "%s: nothing found", count(s.Files, "file"))
	default:
		fmt.Fprintf(&b, "%s: %s", count(s.Files, "file"), count(s.Findings, "finding"))
		var parts []string
		for _, p := range []struct {
			n    int
			word string
		}{{s.Errors, "error"}, {s.Warnings, "warning"}, {s.Infos, "note"}} {
			if p.n > 0 {
				parts = append(parts, count(p.n, p.word))
			}
		}
		fmt.Fprintf(&b, " (%s)", strings.Join(parts, ", "))
		if s.Fixable > 0 {
			fmt.Fprintf(&b, ", %d fixable by --fix", s.Fixable)
		}
	}
	for _, by := range []string{"pawl", "squawk", "atlas", "baseline"} {
		if n := s.Suppressed[by]; n > 0 {
			fmt.Fprintf(&b, ", %d silenced by %s", n, map[string]string{"pawl": "pawl:allow", "squawk": "comments for squawk", "atlas": "comments for Atlas", "baseline": "the baseline"}[by])
		}
	}
	fmt.Fprintf(&b, "; %d of %s read", s.Statements-s.Unread, count(s.Statements, "statement"))
	return b.String()
}

func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}
