// Package harvest writes down what a test run sends to PostgreSQL, for `pawl refs harvest` to hold against what
// the source says. A program imports it in its tests alone:
//
//	tracer, err := harvest.To("sent.jsonl")
//	config.ConnConfig.Tracer = tracer
package harvest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// Sent is one line of the file: a text, and where it was first sent from. A text is written once per process.
type Sent struct {
	SQL  string `json:"sql"`
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// Tracer writes down every text that a pgx connection sends. It serves any number of connections at once.
type Tracer struct {
	mu   sync.Mutex
	out  *os.File
	seen map[string]bool
	err  error
}

var (
	_ pgx.QueryTracer    = (*Tracer)(nil)
	_ pgx.BatchTracer    = (*Tracer)(nil)
	_ pgx.CopyFromTracer = (*Tracer)(nil)
	_ pgx.PrepareTracer  = (*Tracer)(nil)
)

// To gives a tracer that appends to a file, so that the test binaries of several packages can share one.
func To(path string) (*Tracer, error) {
	const mode = 0o600
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, mode) //nolint:gosec // the caller names the file
	if err != nil {
		return nil, fmt.Errorf("open the harvest: %w", err)
	}
	return &Tracer{out: f, seen: map[string]bool{}}, nil
}

// Close closes the file. It gives the first error of writing: a harvest with gaps looks like one without.
func (t *Tracer) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.out.Close(); t.err == nil {
		t.err = err
	}
	return t.err
}

func (t *Tracer) sent(sql string) {
	if strings.TrimSpace(sql) == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen[sql] {
		return
	}
	t.seen[sql] = true
	s := Sent{SQL: sql}
	s.File, s.Line = caller()
	line, err := json.Marshal(s)
	if err == nil {
		// One write per line: appends of one write do not mix with those of other processes.
		_, err = t.out.Write(append(line, '\n'))
	}
	if t.err == nil && err != nil {
		t.err = fmt.Errorf("write the harvest: %w", err)
	}
}

// caller gives the place outside of drivers and this package that sends.
func caller() (file string, line int) {
	const deepest, own = 64, 3
	pcs := make([]uintptr, deepest)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(own, pcs)])
	for {
		f, more := frames.Next()
		foreign := strings.Contains(f.Function, "jackc/") || strings.HasPrefix(f.Function, "database/sql.") ||
			strings.Contains(f.Function, "pawl/harvest.") || strings.Contains(f.Function, "gorm.io/") || strings.Contains(f.Function, "jmoiron/sqlx")
		if !foreign && f.File != "" {
			return f.File, f.Line
		}
		if !more {
			return "", 0
		}
	}
}

// TraceQueryStart writes the text of Query, QueryRow and Exec.
func (t *Tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	t.sent(data.SQL)
	return ctx
}

// TraceQueryEnd does nothing: a statement that fails was sent too.
func (t *Tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart writes the texts of a batch: at its end, some of them may be missing after an error.
func (t *Tracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	if data.Batch != nil {
		for _, q := range data.Batch.QueuedQueries {
			t.sent(q.SQL)
		}
	}
	return ctx
}

// TraceBatchQuery does nothing: the text was written when the batch started.
func (t *Tracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd does nothing.
func (t *Tracer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// TraceCopyFromStart writes the COPY that pgx makes of a table and columns.
func (t *Tracer) TraceCopyFromStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceCopyFromStartData) context.Context {
	columns := make([]string, len(data.ColumnNames))
	for i, c := range data.ColumnNames {
		columns[i] = pgx.Identifier{c}.Sanitize()
	}
	t.sent(fmt.Sprintf("copy %s ( %s ) from stdin binary;", data.TableName.Sanitize(), strings.Join(columns, ", ")))
	return ctx
}

// TraceCopyFromEnd does nothing.
func (t *Tracer) TraceCopyFromEnd(context.Context, *pgx.Conn, pgx.TraceCopyFromEndData) {}

// TracePrepareStart writes the text that is prepared: an Exec of it has only its name.
func (t *Tracer) TracePrepareStart(ctx context.Context, _ *pgx.Conn, data pgx.TracePrepareStartData) context.Context {
	t.sent(data.SQL)
	return ctx
}

// TracePrepareEnd does nothing.
func (t *Tracer) TracePrepareEnd(context.Context, *pgx.Conn, pgx.TracePrepareEndData) {}
