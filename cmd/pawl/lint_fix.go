package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/bitvault/pawl/lint"
)

// lintFix writes the mechanical cures into the files, or prints which lines they change. Edits of one file that overlap are applied
// one run at a time: the first counts, and the next run finds the rest.
func (a *app) lintFix(linter *lint.Linter, sources []source, dry bool) error {
	files, fixed := 0, 0
	unread, err := eachLinted(linter, sources, func(s *lint.Source, found []lint.Finding) error {
		var edits []lint.Edit
		for i := range found {
			if !overlaps(edits, found[i].Edits) && len(found[i].Edits) > 0 {
				edits = append(edits, found[i].Edits...)
				fixed++
				fmt.Fprintf(a.stdout, "%s:%d: %s\n", found[i].Path, found[i].Span.Start.Line, found[i].Rule)
			}
		}
		if len(edits) == 0 {
			return nil
		}
		files++
		if dry {
			for _, e := range edits {
				if old := s.File.Text[e.Start:e.End]; old != "" {
					fmt.Fprintf(a.stdout, "  - %s\n", strings.ReplaceAll(strings.TrimRight(old, "\n"), "\n", "\n  - "))
				}
				if e.Text != "" {
					fmt.Fprintf(a.stdout, "  + %s\n", strings.ReplaceAll(strings.TrimRight(e.Text, "\n"), "\n", "\n  + "))
				}
			}
			return nil
		}
		return applyEdits(s.File.Path, edits)
	})
	if err != nil {
		return err
	}
	verb := "fixed"
	if dry {
		verb = "would fix"
	}
	fmt.Fprintf(a.stdout, "%s %d findings in %d files\n", verb, fixed, files)
	if len(unread) > 0 {
		return &usageError{message: strings.Join(unread, "\n      ")}
	}
	return nil
}

func overlaps(list, more []lint.Edit) bool {
	for _, a := range list {
		for _, b := range more {
			if a.Start < b.End && b.Start < a.End || a.Start == b.Start {
				return true
			}
		}
	}
	return false
}

// applyEdits changes one file. Offsets count without a byte order mark, which stays where it is.
func applyEdits(path string, edits []lint.Edit) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("fix %s: %w", path, err)
	}
	src, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if err != nil {
		return fmt.Errorf("fix %s: %w", path, err)
	}
	mark := []byte("\xef\xbb\xbf")
	text := bytes.TrimPrefix(src, mark)
	head := src[:len(src)-len(text)]
	slices.SortFunc(edits, func(a, b lint.Edit) int { return cmp.Compare(b.Start, a.Start) })
	out := slices.Clone(text)
	for _, e := range edits {
		out = slices.Concat(out[:e.Start], []byte(e.Text), out[e.End:])
	}
	if err := os.WriteFile(path, slices.Concat(head, out), info.Mode().Perm()); err != nil {
		return fmt.Errorf("fix %s: %w", path, err)
	}
	return nil
}
