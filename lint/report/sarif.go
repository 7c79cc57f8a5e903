package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"github.com/bitvault/pawl/lint"
)

// sarifWriter writes SARIF 2.1.0. The document around the results is made once and cut open where they go.
type sarifWriter struct {
	out     *bufio.Writer
	options Options
	rules   map[string]int
	seen    map[string]int
	tail    []byte
	any     bool
}

// Begin writes the document up to the results: the tool with all its rules.
func (w *sarifWriter) Begin() error {
	run := sarif.NewRunWithInformationURI("pawl", "https://github.com/bitvault/pawl").WithColumnKind("unicodeCodePoints")
	if w.options.Version != "" {
		run.Tool.Driver.WithVersion(w.options.Version)
	}
	w.rules, w.seen = map[string]int{}, map[string]int{}
	for i, r := range lint.Rules() {
		w.rules[r.Name] = i
		rule := sarif.NewRule(r.Name).WithDescription(capital(r.Summary) + ".").WithHelpURI(lint.PageURL(r.Name)).
			WithDefaultConfiguration(sarif.NewReportingConfiguration().WithLevel(sarifLevel(r.Severity)).WithEnabled(r.Severity != lint.Off))
		if page := lint.Page(r.Name); page != "" {
			rule.WithHelp(sarif.NewMultiformatMessageString().WithText(capital(r.Summary) + ": pawl explain " + r.Name).WithMarkdown(page))
		}
		run.Tool.Driver.AddRule(rule)
	}
	run.Results = []*sarif.Result{}
	report := sarif.NewReport()
	report.AddRun(run)
	data, err := json.Marshal(report)
	if err != nil {
		return err
	}
	head, tail, ok := bytes.Cut(data, []byte(`"results":[]`))
	if !ok {
		return errors.New("the document has no place for results")
	}
	w.tail = tail
	_, _ = w.out.Write(head)
	_, err = w.out.WriteString(`"results":[`)
	return err
}

// File begins a new count of fingerprints, which have the path in them.
func (w *sarifWriter) File(string) error {
	clear(w.seen)
	return nil
}

// Finding writes one result.
func (w *sarifWriter) Finding(f *lint.Finding, text string) error {
	message := f.Message
	if f.Help != "" {
		message += "\n\n" + f.Help
	}
	region := sarif.NewRegion().WithStartLine(f.Span.Start.Line).WithStartColumn(f.Span.Start.Column)
	if f.Span.End.Line >= f.Span.Start.Line {
		region.WithEndLine(f.Span.End.Line).WithEndColumn(f.Span.End.Column)
	}
	path := url.URL{Path: strings.ReplaceAll(f.Path, `\`, "/")}
	digest := f.Fingerprint(text)
	w.seen[digest]++
	result := sarif.NewRuleResult(f.Rule).WithRuleIndex(w.rules[f.Rule]).WithLevel(sarifLevel(f.Severity)).WithMessage(sarif.NewTextMessage(message)).
		WithLocations([]*sarif.Location{sarif.NewLocationWithPhysicalLocation(sarif.NewPhysicalLocation().
			WithArtifactLocation(sarif.NewSimpleArtifactLocation(path.String())).WithRegion(region))}).
		WithPartialFingerprints(map[string]string{"pawl/v1": digest + ":" + strconv.Itoa(w.seen[digest])})
	data, err := json.Marshal(result)
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

// End closes the document.
func (w *sarifWriter) End(lint.Summary) error {
	_, _ = w.out.WriteString("\n]")
	_, _ = w.out.Write(w.tail)
	_ = w.out.WriteByte('\n')
	return w.out.Flush()
}

func sarifLevel(s lint.Severity) string {
	switch s {
	case lint.Error:
		return sarif.LevelError
	case lint.Warning:
		return sarif.LevelWarning
	default:
		return sarif.LevelNote
	}
}

func capital(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
