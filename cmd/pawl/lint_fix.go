package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bitvault/pawl/lint"
	"github.com/bitvault/pawl/migrate"
)

// lintFix writes the mechanical cures into the files, or prints which lines they change. Edits of one file that overlap are applied
// one run at a time: the first counts, and the next run finds the rest.
func (a *app) lintFix(linter *lint.Linter, sources []source, dry bool) error {
	files, fixed := 0, 0
	var wants []string
	made := map[string]bool{}
	var taken takenVersions
	unread, err := eachLinted(linter, sources, func(s *lint.Source, found []lint.Finding) error {
		var edits []lint.Edit
		for i := range found {
			if found[i].Wants != "" {
				wants = append(wants, fmt.Sprintf("%s:%d: %s: the cure needs a file %s, and that version is taken",
					found[i].Path, found[i].Span.Start.Line, found[i].Rule, filepath.Base(found[i].Wants)))
			}
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
		edits = spread(edits, made, &taken)
		if dry {
			for _, e := range edits {
				if e.NewFile {
					fmt.Fprintf(a.stdout, "  new file %s\n  + %s\n", e.Path, strings.ReplaceAll(strings.TrimRight(e.Text, "\n"), "\n", "\n  + "))
					continue
				}
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
	const shown = 10
	for i, text := range wants {
		if i == shown {
			fmt.Fprintf(a.stdout, "… and %d more that need a version that is taken\n", len(wants)-shown)
			break
		}
		fmt.Fprintln(a.stdout, text)
	}
	if len(unread) > 0 {
		return &usageError{message: strings.Join(unread, "\n      ")}
	}
	return nil
}

// spread gives each new file of a run a version of its own: where two cures want the same one, the later gets the next that is free,
// or has to wait for another run.
func spread(edits []lint.Edit, made map[string]bool, taken *takenVersions) []lint.Edit {
	for i := range edits {
		if !edits[i].NewFile {
			continue
		}
		title := lint.Title(edits[i].Path)
		for edits[i].Path != "" && (made[versionOf(edits[i].Path)] || !taken.free(edits[i].Path)) {
			edits[i].Path = lint.NextFile(edits[i].Path, title)
		}
		made[versionOf(edits[i].Path)] = true
	}
	return edits
}

// versionOf gives the directory and the version of a file, which no two files may share.
func versionOf(path string) string {
	m := fileVersion().FindStringSubmatch(filepath.Base(path))
	if m == nil {
		return path
	}
	v, ok := migrate.ParseVersion(m[1])
	if !ok {
		return path
	}
	return filepath.Dir(path) + "/" + string(v)
}

// takenVersions remembers the versions of the files in directories, as long as those do not change: many findings ask.
type takenVersions struct {
	mu   sync.Mutex
	read map[string]directoryVersions
}

type directoryVersions struct {
	changed time.Time
	taken   map[string]bool
}

// free reports whether no file of a directory has the version of a new one.
func (t *takenVersions) free(path string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	dir, want := filepath.Dir(path), versionOf(path)
	info, err := os.Stat(dir)
	if err != nil || want == path {
		return false
	}
	known, ok := t.read[dir]
	if !ok || !known.changed.Equal(info.ModTime()) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return false
		}
		known = directoryVersions{changed: info.ModTime(), taken: make(map[string]bool, len(entries))}
		for _, e := range entries {
			known.taken[versionOf(filepath.Join(dir, e.Name()))] = true
		}
		if t.read == nil {
			t.read = map[string]directoryVersions{}
		}
		t.read[dir] = known
	}
	return !known.taken[want]
}

func overlaps(list, more []lint.Edit) bool {
	for _, a := range list {
		for _, b := range more {
			if a.NewFile || b.NewFile {
				continue
			}
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
		if e.NewFile {
			if e.Path == "" {
				return fmt.Errorf("fix %s: no version behind it is free", path)
			}
			if err := makeFile(e.Path, e.Text, info.Mode().Perm()); err != nil {
				return err
			}
			continue
		}
		out = slices.Concat(out[:e.Start], []byte(e.Text), out[e.End:])
	}
	if err := os.WriteFile(path, slices.Concat(head, out), info.Mode().Perm()); err != nil {
		return fmt.Errorf("fix %s: %w", path, err)
	}
	return nil
}

// makeFile writes a new file, and never over one that is there.
func makeFile(path, text string, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode) //nolint:gosec // it stands beside the file that the user names
	if err != nil {
		return fmt.Errorf("fix: %w", err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("fix: write %s: %w", path, err)
	}
	return nil
}
