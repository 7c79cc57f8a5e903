// Package report writes the findings of package lint, one at a time as they come, in the formats that people and machines read.
package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/bitvault/pawl/lint"
)

// Writer writes a report. Begin comes first and End last; Finding comes once for each finding, in the order of the files. None of
// them keeps what it is given, so that a report of any length takes the same memory.
type Writer interface {
	Begin() error
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
}

// Formats lists the formats that New knows.
func Formats() []string { return []string{"text", "json"} }

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
	}
	return nil, fmt.Errorf("unknown format %q (%s)", format, strings.Join(Formats(), ", "))
}
