// Package refs builds manifests: what a release may send, read from its source at build time.
package refs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
	for _, pattern := range patterns {
		paths, err := doublestar.FilepathGlob(pattern, doublestar.WithFilesOnly(), doublestar.WithFailOnIOErrors())
		if err != nil {
			return fmt.Errorf("match %s: %w", pattern, err)
		}
		if len(paths) == 0 {
			return fmt.Errorf("no file matches %s", pattern)
		}
		for _, path := range paths {
			src, err := os.ReadFile(path) //nolint:gosec // the user names the files
			if err != nil {
				return fmt.Errorf("read a query file: %w", err)
			}
			shown, err := filepath.Rel(root, path)
			if err != nil || strings.HasPrefix(shown, "..") {
				shown = path
			}
			addFile(m, filepath.ToSlash(shown), src)
		}
	}
	Sort(m)
	return nil
}

func addFile(m *evidence.Manifest, path string, src []byte) {
	f := parse.File(path, src)
	for _, s := range f.Statements {
		if s.Text == "" {
			continue
		}
		Add(m, s.Text, gate.Site{File: path, Line: s.Span.Start.Line})
	}
	for _, p := range f.Problems {
		switch p.Code {
		case phases.EncodingProblem, phases.MetaCommandProblem:
			m.Status = "partial"
			m.Reasons = append(m.Reasons, fmt.Sprintf("%s:%d: %s", path, p.Span.Start.Line, p.Message))
		}
	}
}

// Add puts one text into a manifest, or one more site to a text that it has.
func Add(m *evidence.Manifest, text string, site gate.Site) {
	for i := range m.Statements {
		if m.Statements[i].Text == text {
			if !slices.Contains(m.Statements[i].Sites, site) {
				m.Statements[i].Sites = append(m.Statements[i].Sites, site)
			}
			return
		}
	}
	m.Statements = append(m.Statements, evidence.Statement{SHA256: evidence.HashText(text), Text: text, Sites: []gate.Site{site}})
}

// Sort puts a manifest into its one order: statements by text, sites by file and line, reasons by the alphabet.
func Sort(m *evidence.Manifest) {
	slices.SortFunc(m.Statements, func(a, b evidence.Statement) int { return strings.Compare(a.Text, b.Text) })
	for _, s := range m.Statements {
		slices.SortFunc(s.Sites, func(a, b gate.Site) int {
			if c := strings.Compare(a.File, b.File); c != 0 {
				return c
			}
			return a.Line - b.Line
		})
	}
	slices.Sort(m.Reasons)
}
