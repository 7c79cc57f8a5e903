package report

import (
	"bufio"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/bitvault/pawl/lint"
)

// gitlabWriter writes a report for GitLab's Code Quality: https://docs.gitlab.com/ci/testing/code_quality/
type gitlabWriter struct {
	out  *bufio.Writer
	any  bool
	seen map[string]int
}

// gitlabIssue is one finding as GitLab reads it.
type gitlabIssue struct {
	Description string         `json:"description"`
	CheckName   string         `json:"check_name"`
	Fingerprint string         `json:"fingerprint"`
	Severity    string         `json:"severity"`
	Location    gitlabLocation `json:"location"`
}

type gitlabLocation struct {
	Path  string `json:"path"`
	Lines struct {
		Begin int `json:"begin"`
		End   int `json:"end"`
	} `json:"lines"`
}

// Begin opens the list.
func (w *gitlabWriter) Begin() error {
	_, err := w.out.WriteString("[")
	return err
}

// File begins a new count of fingerprints, which have the path in them.
func (w *gitlabWriter) File(string) error {
	clear(w.seen)
	return nil
}

// Finding writes one object. GitLab takes two of one fingerprint for one, so that a further one is numbered.
func (w *gitlabWriter) Finding(f *lint.Finding, text string) error {
	issue := gitlabIssue{Description: f.Message, CheckName: f.Rule, Fingerprint: f.Fingerprint(text), Severity: "info"}
	switch f.Severity {
	case lint.Error:
		issue.Severity = "major"
	case lint.Warning:
		issue.Severity = "minor"
	}
	if n := w.seen[issue.Fingerprint]; n > 0 {
		w.seen[issue.Fingerprint]++
		issue.Fingerprint += "-" + strconv.Itoa(n)
	} else {
		w.seen[issue.Fingerprint] = 1
	}
	issue.Location.Path = strings.TrimPrefix(strings.ReplaceAll(f.Path, `\`, "/"), "./")
	issue.Location.Lines.Begin, issue.Location.Lines.End = f.Span.Start.Line, max(f.Span.Start.Line, f.Span.End.Line)
	data, err := json.Marshal(issue)
	if err != nil {
		return err
	}
	if w.any {
		_ = w.out.WriteByte(',')
	}
	w.any = true
	_ = w.out.WriteByte('\n')
	_, err = w.out.Write(data)
	return err
}

// End closes the list.
func (w *gitlabWriter) End(lint.Summary) error {
	_, _ = w.out.WriteString("\n]\n")
	return w.out.Flush()
}
