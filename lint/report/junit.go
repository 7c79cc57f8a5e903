package report

import (
	"bufio"
	"encoding/xml"
	"fmt"

	"github.com/bitvault/pawl/lint"
)

// junitWriter writes a test report: a suite for each file, a case for each finding, and a passed case for a file without any. What is
// milder than the severity that fails a run is a passed case with a text. The findings of one file at a time are kept, for the suite's
// counts stand before them.
type junitWriter struct {
	out     *bufio.Writer
	options Options
	suite   *junitSuite
}

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	File    string        `xml:"file,attr"`
	Line    int           `xml:"line,attr,omitempty"`
	Failure *junitFailure `xml:"failure,omitempty"`
	Output  string        `xml:"system-out,omitempty"`
}

type junitFailure struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// Begin opens the document.
func (w *junitWriter) Begin() error {
	_, err := w.out.WriteString(xml.Header + "<testsuites name=\"pawl lint\">\n")
	return err
}

// File writes the suite of the file before and begins one.
func (w *junitWriter) File(path string) error {
	err := w.flush()
	w.suite = &junitSuite{Name: path}
	return err
}

func (w *junitWriter) flush() error {
	if w.suite == nil {
		return nil
	}
	s := w.suite
	if len(s.Cases) == 0 {
		s.Cases = []junitCase{{Name: "pawl lint", Class: s.Name, File: s.Name}}
	}
	s.Tests = len(s.Cases)
	data, err := xml.MarshalIndent(s, "  ", "  ")
	if err != nil {
		return err
	}
	_, _ = w.out.Write(data)
	return w.out.WriteByte('\n')
}

// Finding keeps one case.
func (w *junitWriter) Finding(f *lint.Finding, _ string) error {
	place := fmt.Sprintf("%s:%d:%d", f.Path, f.Span.Start.Line, f.Span.Start.Column)
	c := junitCase{Name: fmt.Sprintf("%s at line %d", f.Rule, f.Span.Start.Line), Class: f.Path, File: f.Path, Line: f.Span.Start.Line}
	text := place + ": " + f.Severity.String() + ": " + f.Message
	if f.Help != "" {
		text += "\n" + f.Help
	}
	if f.Severity >= w.options.FailOn {
		c.Failure = &junitFailure{Type: f.Severity.String(), Message: f.Message, Text: text}
		w.suite.Failures++
	} else {
		c.Output = text
	}
	w.suite.Cases = append(w.suite.Cases, c)
	return nil
}

// End closes the document.
func (w *junitWriter) End(lint.Summary) error {
	if err := w.flush(); err != nil {
		return err
	}
	_, _ = w.out.WriteString("</testsuites>\n")
	return w.out.Flush()
}
