package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/internal/files"
	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/lint"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/layout"
)

func newClassifyCommand(a *app) *cobra.Command {
	var version int
	cmd := &cobra.Command{
		Use:   "classify [FILE…]",
		Short: "Say what migrations do: to deployed code, and to traffic while they run",
		Long: `classify reads SQL files in order and says for each statement its phase (expand, backfill, contract or unknown), the locks it
takes on tables that were there before, whether it rewrites or scans a table, and what it takes from code.

Without files it reads the directory of --dir. Files given by name are judged after the files that stand before them in
their directory: what a statement does often depends on the schema that the earlier ones left. Of files laid out for goose,
golang-migrate, dbmate, tern, Flyway, sqlx, Prisma or Atlas, what leads forward is judged.`,
		Example: `  pawl classify
  pawl classify migrations/0042_drop_email.sql --pg-version 17
  pawl classify --format json | jq '.files[] | select(.phase != "expand") | .path'`,
		RunE: func(_ *cobra.Command, args []string) error {
			if version != 0 && (version < 14 || version > 18) {
				return &usageError{message: fmt.Sprintf("--pg-version %d: pawl knows PostgreSQL 14 to 18", version)}
			}
			sources, err := readSources(a.flags.dir, args)
			if err != nil {
				return err
			}
			return a.classify(sources, version)
		},
	}
	cmd.Flags().IntVar(&version, "pg-version", 0, "PostgreSQL major to judge for (default the oldest supported, 14)")
	return cmd
}

// source is one file to read; context is true for a file that is read only because others build on it.
type source struct {
	path    string
	context bool
	// named is true for a file that the user names: it may be a pipe, which in a directory nobody would write to.
	named bool
	// text is what a revision of the repository has; nil for a file to read.
	text []byte
	// change is what the branch does to the file; mark begins the files that it adds.
	change *lint.Change
	mark   bool
	file   *phases.File
	layout *lint.Layout
	err    error
}

func pathCause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// fileVersion finds the version in the file names of the common tools: 0042_x.sql, V42__x.sql, 20260101_x.up.sql.
var fileVersion = pattern.Lazy(`^[VvRU]?(\d+)`)

// versionIn gives the version that the name of a file or of a directory begins with.
func versionIn(name string) (v migrate.Version, ok bool) {
	if n, known := layout.ParseName(name); known && n.Version != "" {
		return migrate.ParseVersion(n.Version)
	}
	if m := fileVersion().FindStringSubmatch(name); m != nil {
		return migrate.ParseVersion(m[1])
	}
	return "", false
}

// classify reads the files on all cores, a window at a time so that memory stays bounded, and judges them in order.
func (a *app) classify(sources []source, version int) error {
	const window = 256
	if len(sources) > window {
		// Parsing makes short-lived garbage only: collecting it less often spares a fifth of the time, and the window
		// bounds what is alive.
		defer debug.SetGCPercent(debug.SetGCPercent(800))
	}
	catalog := phases.NewCatalog(version)
	out := bufio.NewWriterSize(a.stdout, 1<<16)
	writer := classifyWriter{json: a.json(), out: out}
	writer.begin()
	for start := 0; start < len(sources); start += window {
		batch := sources[start:min(start+window, len(sources))]
		readFiles(batch)
		for i := range batch {
			if batch[i].err != nil {
				return &usageError{message: fmt.Sprintf("read %s: %v", batch[i].path, pathCause(batch[i].err))}
			}
			assessment := catalog.Assess(batch[i].file)
			if !batch[i].context {
				writer.file(assessment)
			}
			batch[i].file = nil
		}
	}
	writer.end()
	return out.Flush()
}

// readFiles parses a batch with one worker per core: a goroutine per file would grow a stack for each.
func readFiles(batch []source) {
	var wait sync.WaitGroup
	var next atomic.Int64
	for range min(runtime.GOMAXPROCS(0), len(batch)) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(batch); i = int(next.Add(1)) - 1 {
				src, err := batch[i].text, error(nil)
				switch {
				case src != nil:
				case batch[i].named:
					src, err = os.ReadFile(batch[i].path)
				default:
					src, err = files.Read(batch[i].path)
				}
				if err != nil {
					batch[i].err = err
					continue
				}
				batch[i].file, batch[i].layout = parseForward(batch[i].path, src)
			}
		})
	}
	wait.Wait()
}

// classifyWriter writes assessments as text or as JSON. JSON is put together by hand: a folder of ten thousand files
// spends more time in encoding/json than in the parser.
type classifyWriter struct {
	json  bool
	out   *bufio.Writer
	buf   []byte
	files int
}

func (w *classifyWriter) begin() {
	if w.json {
		_, _ = w.out.WriteString(`{"version":1,"files":[`)
	}
}

func (w *classifyWriter) end() {
	if w.json {
		_, _ = w.out.WriteString("]}\n")
	}
}

func (w *classifyWriter) file(a *phases.Assessment) {
	if w.json {
		w.buf = w.buf[:0]
		if w.files > 0 {
			w.buf = append(w.buf, ',')
		}
		w.buf = appendFile(w.buf, a)
		_, _ = w.out.Write(w.buf)
	} else {
		classifyText(w.out, a)
	}
	w.files++
}

func classifyText(out io.Writer, a *phases.Assessment) {
	note := ""
	if !a.Transactional {
		note += ", not in a transaction"
	}
	if a.Mixed {
		note += ", mixed"
	}
	fmt.Fprintf(out, "%s: %s%s\n", a.File.Path, a.Phase, note)
	for _, p := range slices.Concat(a.File.Problems, a.Problems) {
		fmt.Fprintf(out, "  %d:%d: %s\n", p.Span.Start.Line, p.Span.Start.Column, p.Message)
		if p.Hint != "" {
			fmt.Fprintf(out, "       %s\n", p.Hint)
		}
	}
	for _, s := range a.Statements {
		for i := range s.Operations {
			op := &s.Operations[i]
			fmt.Fprintf(out, "  %d:%d: %s %s", op.Span.Start.Line, op.Span.Start.Column, op.Phase, op.Kind)
			if !op.On.IsZero() && op.On.String() != "" {
				fmt.Fprintf(out, " %s", op.On)
			}
			fmt.Fprintf(out, ": %s\n", op.Summary)
			if op.Why != "" {
				fmt.Fprintf(out, "       but %s\n", op.Why)
			}
			for _, l := range op.Locks {
				if l.Mode > phases.RowExclusive {
					fmt.Fprintf(out, "       %s on %s: blocks %s\n", l.Mode, l.Relation, l.Mode.Blocks())
				}
			}
			switch {
			case op.Effect.Rewrite:
				fmt.Fprintf(out, "       rewrites the table\n")
			case op.Effect.Scan:
				fmt.Fprintf(out, "       reads the whole table\n")
			}
		}
	}
}
