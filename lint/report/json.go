package report

import (
	"bufio"
	"encoding/json"
	"strconv"

	"github.com/bitvault/pawl/lint"
	"github.com/bitvault/pawl/phases"
)

// jsonWriter writes the document that docs/formats.md describes. It is put together by hand: ten thousand findings spend more
// time in encoding/json than in all rules.
type jsonWriter struct {
	out *bufio.Writer
	buf []byte
	any bool
}

// Begin opens the document.
func (w *jsonWriter) Begin() error {
	_, err := w.out.WriteString(`{"version":1,"findings":[`)
	return err
}

// File writes nothing.
func (w *jsonWriter) File(string) error { return nil }

// Finding writes one object.
func (w *jsonWriter) Finding(f *lint.Finding, _ string) error {
	b := w.buf[:0]
	if w.any {
		b = append(b, ',')
	}
	w.any = true
	b = append(b, "\n{\"rule\":"...)
	b = AppendString(b, f.Rule)
	b = append(b, `,"severity":"`...)
	b = append(b, f.Severity.String()...)
	b = append(b, `","path":`...)
	b = AppendString(b, f.Path)
	b = append(b, `,"span":{"start":`...)
	b = appendPosition(b, f.Span.Start)
	b = append(b, `,"end":`...)
	b = appendPosition(b, f.Span.End)
	b = append(b, `},"message":`...)
	b = AppendString(b, f.Message)
	b = append(b, `,"help":`...)
	b = AppendString(b, f.Help)
	b = append(b, `,"phase":"`...)
	b = append(b, f.Phase.String()...)
	b = append(b, `","fixable":`...)
	b = strconv.AppendBool(b, len(f.Edits) > 0)
	b = append(b, '}')
	w.buf = b
	_, err := w.out.Write(b)
	return err
}

func appendPosition(b []byte, p phases.Position) []byte {
	b = append(b, `{"line":`...)
	b = strconv.AppendInt(b, int64(p.Line), 10)
	b = append(b, `,"column":`...)
	b = strconv.AppendInt(b, int64(p.Column), 10)
	return append(b, '}')
}

// End closes the document with the summary.
func (w *jsonWriter) End(s lint.Summary) error {
	summary, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, _ = w.out.WriteString("\n],\"summary\":")
	_, _ = w.out.Write(summary)
	_, _ = w.out.WriteString("}\n")
	return w.out.Flush()
}
