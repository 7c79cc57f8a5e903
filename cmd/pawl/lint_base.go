package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bitvault/pawl/lint"
	"github.com/bitvault/pawl/migrate"
)

// baseSources lists what there is to judge on a branch: the files that it adds, against the schema of the files that its base has, and
// what became of those.
func (a *app) baseSources(ctx context.Context, revision string, args []string) ([]source, *branch, error) {
	if len(args) == 0 {
		args = []string{a.flags.dir}
	}
	for _, arg := range args {
		if _, err := os.Stat(arg); err != nil {
			return nil, nil, &usageError{message: fmt.Sprintf("read %s: %v", arg, pathCause(err))}
		}
	}
	dir := args[0]
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	b, err := openBranch(ctx, dir, revision)
	if err != nil {
		return nil, nil, err
	}
	var c comparison
	for _, root := range rootsOf(args) {
		if err := c.compare(ctx, b, root.dir, root.wanted); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case len(c.added) > 0:
		c.added[0].mark = true
	case len(c.changed) == 0:
		return nil, b, nil
	}
	return slices.Concat(c.context, c.changed, c.added), b, nil
}

// lintRoot is a directory of migrations with the files of it that are wanted; nil for all of them.
type lintRoot struct {
	dir    string
	wanted map[string]bool
}

// rootsOf gives the directories that the arguments are in.
func rootsOf(args []string) []*lintRoot {
	var roots []*lintRoot
	for _, arg := range args {
		arg = filepath.Clean(arg)
		dir := arg
		info, err := os.Stat(arg)
		file := err != nil || !info.IsDir()
		if file {
			dir = filepath.Dir(arg)
			if !fileVersion().MatchString(filepath.Base(arg)) && fileVersion().MatchString(filepath.Base(dir)) {
				dir = filepath.Dir(dir)
			}
		}
		i := slices.IndexFunc(roots, func(r *lintRoot) bool { return r.dir == dir })
		switch {
		case i < 0 && file:
			roots = append(roots, &lintRoot{dir: dir, wanted: map[string]bool{arg: true}})
		case i < 0:
			roots = append(roots, &lintRoot{dir: dir})
		case !file:
			roots[i].wanted = nil
		case roots[i].wanted != nil:
			roots[i].wanted[arg] = true
		}
	}
	return roots
}

// comparison collects what a branch has, beside what its base has.
type comparison struct {
	// context are the base's files with the base's text, changed those that the branch has otherwise, added those that it adds.
	context, changed, added []source
}

func (c *comparison) compare(ctx context.Context, b *branch, root string, wanted map[string]bool) error {
	here, err := treeFiles(root)
	if err != nil {
		return err
	}
	start, err := b.files(ctx, root, b.start)
	if err != nil {
		return err
	}
	tip, err := b.files(ctx, root, b.revision)
	if err != nil {
		return err
	}
	touched, err := b.touched(ctx, root)
	if err != nil {
		return err
	}
	// What the base got since the branch began is in place before the branch is.
	base := maps.Clone(start)
	for name, blob := range tip {
		if _, ok := start[name]; !ok {
			base[name] = blob
		}
	}
	onDisk := map[string]bool{}
	for _, path := range here {
		onDisk[slashed(root, path)] = true
	}
	var names, stored []string
	for name := range base {
		if !migrationName(name) {
			continue
		}
		names = append(names, name)
		if _, old := start[name]; !onDisk[name] || touched[name] || !old {
			stored = append(stored, name)
		}
	}
	slices.SortFunc(names, compareTree)
	slices.Sort(stored)
	blobs := make([]string, len(stored))
	for i, name := range stored {
		blobs[i] = base[name]
	}
	list, err := b.texts(ctx, root, blobs)
	if err != nil {
		return err
	}
	texts := map[string][]byte{}
	for i, name := range stored {
		texts[name] = list[i]
	}
	added := slices.DeleteFunc(slices.Clone(here), func(path string) bool { return start[slashed(root, path)] != "" })
	for _, name := range names {
		path := filepath.Join(root, filepath.FromSlash(name))
		text, isStored := texts[name]
		c.context = append(c.context, source{path: path, context: true, text: text})
		if _, old := start[name]; !isStored || !old || wanted != nil && !wanted[path] {
			continue
		}
		one := source{path: path, change: &lint.Change{Base: b.revision}}
		if !onDisk[name] {
			one.change.Kind, one.change.Renamed = lint.Deleted, sameText(added, text)
			one.text = []byte{}
			c.changed = append(c.changed, one)
			continue
		}
		mine, err := os.ReadFile(path) //nolint:gosec // the user names the directory
		if err == nil && migrate.Checksum(mine) != migrate.Checksum(text) {
			one.change.Kind, one.change.Offset = lint.Edited, firstDifference(mine, text)
			c.changed = append(c.changed, one)
		}
	}
	for _, path := range added {
		if wanted != nil && !wanted[path] {
			continue
		}
		if _, theirs := tip[slashed(root, path)]; theirs {
			// Both have made it: it is judged as this branch has it, once.
			c.context = slices.DeleteFunc(c.context, func(s source) bool { return s.path == path })
		}
		c.added = append(c.added, source{path: path, change: &lint.Change{Base: b.revision, Before: behind(names, slashed(root, path))}})
	}
	return nil
}

// behind gives the last of the base's files that has a higher version than a new one of the same directory; empty for none.
func behind(names []string, name string) string {
	dir, version, ok := series(name)
	if !ok {
		return ""
	}
	for i := len(names) - 1; i >= 0; i-- {
		d, v, ok := series(names[i])
		if ok && d == dir && v.Compare(version) > 0 {
			return names[i]
		}
	}
	return ""
}

// series gives the directory in which a migration has its place, and the version that gives it: its own, or that of a directory that is
// its own.
func series(name string) (dir string, version migrate.Version, ok bool) {
	parts := strings.Split(name, "/")
	for n := len(parts) - 1; n >= 0 && n >= len(parts)-2; n-- {
		if m := fileVersion().FindStringSubmatch(parts[n]); m != nil {
			version, ok = migrate.ParseVersion(m[1])
			return strings.Join(parts[:n], "/"), version, ok
		}
	}
	return "", "", false
}

func slashed(root, path string) string {
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return filepath.ToSlash(path)
	}
	return filepath.ToSlash(rel)
}

// migrationName reports whether treeFiles would list a file of this name.
func migrationName(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") || part == "node_modules" {
			return false
		}
	}
	if !strings.HasSuffix(name, ".sql") {
		return false
	}
	_, layout := lint.Read(name, nil)
	return !layout.Down
}

// sameText gives the base name of the file among paths that has the text; empty for none.
func sameText(paths []string, text []byte) string {
	sum := migrate.Checksum(text)
	for _, path := range paths {
		mine, err := os.ReadFile(path) //nolint:gosec // the user names the directory
		if err == nil && migrate.Checksum(mine) == sum {
			return filepath.Base(path)
		}
	}
	return ""
}

// firstDifference gives the offset of the first line of mine that is not as in theirs, without a byte order mark.
func firstDifference(mine, theirs []byte) int {
	mark := []byte("\xef\xbb\xbf")
	mine, theirs = bytes.TrimPrefix(mine, mark), bytes.TrimPrefix(theirs, mark)
	at := 0
	for {
		a, restA, moreA := bytes.Cut(mine[at:], []byte("\n"))
		b, restB, moreB := bytes.Cut(theirs, []byte("\n"))
		if !bytes.Equal(bytes.TrimRight(a, " \t\r\f\v"), bytes.TrimRight(b, " \t\r\f\v")) || !moreA || !moreB {
			return at
		}
		at, theirs = len(mine)-len(restA), restB
	}
}
