package refs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// SQLFiles adds every statement of the .sql files that the patterns match to a manifest; `**` matches any number of
// directories. A pattern that matches nothing is an error: a manifest that is empty by a slip of the pen would let every
// contract through. Sites are relative to root.
func SQLFiles(m *evidence.Manifest, root string, patterns []string) error {
	b := &builder{m: m, dir: root, options: Options{SQL: patterns, Progress: func(string) {}}, texts: map[string]int{}, words: map[string]bool{}}
	for i, s := range m.Statements {
		b.texts[s.Text] = i
	}
	if err := b.sql(context.Background()); err != nil {
		return err
	}
	Sort(m)
	return nil
}

func (b *builder) sql(ctx context.Context) error {
	for _, pattern := range b.options.SQL {
		paths, err := b.glob(pattern)
		if err != nil {
			return err
		}
		for _, path := range paths {
			if err := ctx.Err(); err != nil {
				return err
			}
			src, err := os.ReadFile(path) //nolint:gosec // the user names the files
			if err != nil {
				return fmt.Errorf("read a query file: %w", err)
			}
			b.file(b.shown(path), src)
		}
	}
	return nil
}

// glob gives the files that a pattern matches; none is an error.
func (b *builder) glob(pattern string) ([]string, error) {
	full := pattern
	if !filepath.IsAbs(full) {
		full = filepath.Join(b.dir, pattern)
	}
	paths, err := doublestar.FilepathGlob(full, doublestar.WithFilesOnly(), doublestar.WithFailOnIOErrors())
	if err != nil {
		return nil, &SourceError{Message: fmt.Sprintf("match %s: %v", pattern, err), Err: err}
	}
	if len(paths) == 0 {
		return nil, &SourceError{Message: "no file matches " + pattern}
	}
	return paths, nil
}

func (b *builder) file(path string, src []byte) {
	f := parse.File(path, src)
	for _, s := range f.Statements {
		if s.Text == "" {
			continue
		}
		text := s.Text
		if asked, ok := rewriteNamed(text); ok {
			text = asked
		}
		b.text(text, nil, gate.Site{File: path, Line: s.Span.Start.Line})
	}
	for _, p := range f.Problems {
		switch p.Code {
		case phases.EncodingProblem, phases.MetaCommandProblem:
			b.partial("%s:%d: %s", path, p.Span.Start.Line, p.Message)
		}
	}
}
