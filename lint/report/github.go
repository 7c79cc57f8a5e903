package report

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"

	"github.com/bitvault/pawl/lint"
)

// githubWriter writes workflow commands, of which GitHub Actions makes annotations:
// https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
type githubWriter struct{ out *bufio.Writer }

// What a command's text and its properties may not hold as it is.
var (
	githubText     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	githubProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// Begin writes nothing.
func (w *githubWriter) Begin() error { return nil }

// File writes nothing.
func (w *githubWriter) File(string) error { return nil }

// Finding writes one command.
func (w *githubWriter) Finding(f *lint.Finding, _ string) error {
	command := "notice"
	switch f.Severity {
	case lint.Error:
		command = "error"
	case lint.Warning:
		command = "warning"
	}
	end := max(f.Span.End.Line, f.Span.Start.Line)
	var b strings.Builder
	b.WriteString("::" + command + " title=" + githubProperty.Replace("pawl "+f.Rule) + ",file=" + githubProperty.Replace(f.Path) +
		",line=" + strconv.Itoa(f.Span.Start.Line) + ",endLine=" + strconv.Itoa(end))
	if end == f.Span.Start.Line {
		// GitHub refuses columns of a place that goes over several lines.
		b.WriteString(",col=" + strconv.Itoa(f.Span.Start.Column) + ",endColumn=" + strconv.Itoa(max(f.Span.End.Column, f.Span.Start.Column)))
	}
	b.WriteString("::" + githubText.Replace(f.Message))
	if f.Help != "" {
		b.WriteString("%0A" + githubText.Replace(f.Help))
	}
	b.WriteString("\n")
	_, err := w.out.WriteString(b.String())
	return err
}

// End writes the counts for who reads the log.
func (w *githubWriter) End(s lint.Summary) error {
	fmt.Fprintln(w.out, summary(s))
	return w.out.Flush()
}
