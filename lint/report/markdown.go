package report

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/bitvault/pawl/lint"
)

// markdownWriter writes for a comment on a pull request: what is found, an excerpt, and what to do folded behind it.
type markdownWriter struct {
	out     *bufio.Writer
	written int
	left    int
	begun   bool
}

// longestComment is the length from which on findings are only counted: GitHub takes 65,536 characters for a comment.
const longestComment = 60_000

// Begin writes nothing: what stands at the top depends on whether there is a finding.
func (w *markdownWriter) Begin() error { return nil }

// File writes nothing.
func (w *markdownWriter) File(string) error { return nil }

// Finding writes one finding.
func (w *markdownWriter) Finding(f *lint.Finding, text string) error {
	var b strings.Builder
	if !w.begun {
		w.begun = true
		b.WriteString("### pawl lint\n\n")
	}
	icon := ":information_source:"
	switch f.Severity {
	case lint.Error:
		icon = ":x:"
	case lint.Warning:
		icon = ":warning:"
	}
	fmt.Fprintf(&b, "%s **%s** %s at %s\n\n%s\n\n", icon, f.Severity, link(f.Rule), codeSpan(fmt.Sprintf("%s:%d:%d", f.Path, f.Span.Start.Line, f.Span.Start.Column)), prose(f.Message))
	if line := excerptLine(f, text); line != "" {
		fence := strings.Repeat("`", max(3, longestRun(line, '`')+1))
		b.WriteString(fence + "sql\n" + line + "\n" + fence + "\n\n")
	}
	if f.Help != "" {
		b.WriteString("<details><summary>What to do</summary>\n\n" + prose(f.Help) + "\n\n</details>\n\n")
	}
	if w.written += b.Len(); w.written > longestComment {
		w.left++
		return nil
	}
	_, err := w.out.WriteString(b.String())
	return err
}

// End writes the counts.
func (w *markdownWriter) End(s lint.Summary) error {
	if !w.begun {
		_, _ = w.out.WriteString("### pawl lint\n\n")
	}
	if w.left > 0 {
		fmt.Fprintf(w.out, "… and %s more; `pawl lint` shows them all.\n\n", count(w.left, "finding"))
	}
	icon := ":white_check_mark:"
	if s.Findings > 0 {
		icon = ":mag:"
	}
	fmt.Fprintf(w.out, "%s %s\n", icon, prose(summary(s)))
	return w.out.Flush()
}

// link gives a rule's name, leading to its page where it has one.
func link(rule string) string {
	if lint.Page(rule) == "" {
		return "`" + rule + "`"
	}
	return "[`" + rule + "`](" + lint.PageURL(rule) + ")"
}

// prose escapes what HTML and Markdown would read as markup, except in what stands between backquotes.
func prose(text string) string {
	var b strings.Builder
	parts := strings.Split(text, "`")
	for i, part := range parts {
		switch {
		case i%2 == 1 && i < len(parts)-1:
			b.WriteString(codeSpan(part))
		case i%2 == 1:
			b.WriteString("\\`" + markup.Replace(part))
		default:
			b.WriteString(markup.Replace(part))
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

var markup = strings.NewReplacer("\\", "\\\\", "*", "\\*", "_", "\\_", "<", "&lt;", ">", "&gt;", "[", "\\[", "]", "\\]", "|", "\\|", "#", "\\#", "@", "@\u200b", "~", "\\~", "&", "&amp;")

// codeSpan gives text as code, whatever backquotes it has.
func codeSpan(text string) string {
	fence := strings.Repeat("`", longestRun(text, '`')+1)
	if len(fence) > 1 {
		return fence + " " + text + " " + fence
	}
	return fence + text + fence
}

func longestRun(text string, of byte) int {
	longest, n := 0, 0
	for i := range len(text) {
		if text[i] != of {
			n = 0
			continue
		}
		n++
		longest = max(longest, n)
	}
	return longest
}

// excerptLine gives the line that a finding begins in, or what stands near of a long one.
func excerptLine(f *lint.Finding, text string) string {
	from, to, ok := excerptOf(f, text)
	if !ok {
		return ""
	}
	return strings.TrimSpace(strings.ReplaceAll(text[from:to], "\r", ""))
}
