package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bitvault/pawl/lint"
)

// defaultBaseline is where --write-baseline writes when no file is named.
const defaultBaseline = "pawl-baseline.json"

// readBaseline reads the baseline that a flag names; nil for none.
func readBaseline(path string) (*lint.Baseline, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no file is no baseline
	}
	data, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, &usageError{message: fmt.Sprintf("read the baseline %s: %v", path, pathCause(err)), hint: "`pawl lint --write-baseline` makes one"}
	}
	b, err := lint.ReadBaseline(path, data)
	if err != nil {
		return nil, &usageError{message: fmt.Sprintf("read the baseline %s: %v", path, err), hint: "`pawl lint --write-baseline` makes it anew"}
	}
	b.Relative = relativeTo(filepath.Dir(path))
	return b, nil
}

// relativeTo gives paths relative to a directory, so that it does not matter where pawl is started.
func relativeTo(dir string) func(string) string {
	root, err := filepath.Abs(dir)
	return func(path string) string {
		full, err2 := filepath.Abs(path)
		rel, err3 := filepath.Rel(root, full)
		if err != nil || err2 != nil || err3 != nil {
			return path
		}
		return filepath.ToSlash(rel)
	}
}

// gone tells of the paths of a baseline which files are there no more.
func gone(b *lint.Baseline) func(string) bool {
	return func(path string) bool {
		_, err := os.Lstat(filepath.Join(filepath.Dir(b.Path), filepath.FromSlash(path)))
		return errors.Is(err, fs.ErrNotExist)
	}
}

// writeBaseline writes what is found into the baseline. Entries of files that are there and were not judged stay.
func (a *app) writeBaseline(options lint.Options, sources []source, f *lintFlags) error {
	if f.base != "" || f.fix || f.diff {
		return &usageError{message: "--write-baseline goes with neither --base nor --fix", hint: "it writes down all that is found as it is"}
	}
	path := cmp.Or(f.baseline, defaultBaseline)
	b := &lint.Baseline{Path: path, Relative: relativeTo(filepath.Dir(path))}
	linter, err := lint.New(options)
	if err != nil {
		return &usageError{message: err.Error(), hint: "`pawl explain` lists the rules"}
	}
	judged := map[string]bool{}
	unread, err := eachLinted(linter, sources, func(s *lint.Source, found []lint.Finding) error {
		judged[b.Relative(s.File.Path)] = true
		for i := range found {
			b.Add(&found[i], s.File.Text)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(unread) > 0 {
		return &usageError{message: strings.Join(unread, "\n      "), hint: "nothing is written: the baseline would lack what these files have"}
	}
	if old, err := readBaseline(path); err == nil {
		away := gone(old)
		b.Keep(old, func(path string) bool { return !judged[path] && !away(path) })
	}
	data, err := b.Marshal()
	if err != nil {
		return fmt.Errorf("write the baseline: %w", err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil { //nolint:gosec // it is for everybody to read
		return fmt.Errorf("write the baseline: %w", err)
	}
	fmt.Fprintf(a.stdout, "wrote %s: %d findings are known\n", path, b.Len())
	if f.baseline == "" {
		fmt.Fprintf(a.stdout, "have it read by --baseline %s, or in pawl.yaml: `lint: {baseline: %s}`\n", path, path)
	}
	return nil
}
