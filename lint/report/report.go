// Package report writes the findings of package lint, one at a time as they come, in the formats that people and machines read.
package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/bitvault/pawl/lint"
)

// Writer writes a report. Begin comes first and End last; File comes before the findings of each file that is judged, and Finding once
// for each finding. None keeps more than the findings of one file, so that a report of any length takes the same memory.
type Writer interface {
	Begin() error
	// File begins a file.
	File(path string) error
	// Finding writes one finding. Text is the text of its file, for excerpts; it is empty where that could not be read.
	Finding(f *lint.Finding, text string) error
	// End writes what comes after the findings, and flushes.
	End(s lint.Summary) error
}

// Options are how a report looks.
type Options struct {
	// Color is true where the reader is a terminal that shows colours.
	Color bool
	// Width is the number of columns to stay within; 0 means 100.
	Width int
	// FailOn is the mildest severity that fails the run.
	FailOn lint.Severity
	// Version is that of pawl, for formats that name their tool; empty for none.
	Version string
}

// Formats lists the formats that New knows.
func Formats() []string {
	return []string{"text", "json", "sarif", "github", "gitlab", "junit", "markdown"}
}

// New makes the writer of a format.
func New(format string, out io.Writer, o Options) (Writer, error) {
	b := bufio.NewWriterSize(out, 1<<16)
	switch format {
	case "", "text":
		if o.Width == 0 {
			o.Width = 100
		}
		return &textWriter{out: b, options: o}, nil
	case "json":
		return &jsonWriter{out: b}, nil
	case "sarif":
		return &sarifWriter{out: b, options: o}, nil
	case "github":
		return &githubWriter{out: b}, nil
	case "gitlab":
		return &gitlabWriter{out: b, seen: map[string]int{}}, nil
	case "junit":
		return &junitWriter{out: b, options: o}, nil
	case "markdown":
		return &markdownWriter{out: b}, nil
	}
	return nil, fmt.Errorf("unknown format %q (%s)", format, strings.Join(Formats(), ", "))
}
