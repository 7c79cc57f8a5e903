package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/jinzhu/inflection"

	"github.com/bitvault/pawl/phases"
)

// stoppedUses gives a function that says where the branch takes a use of an object out of the code. The code is read at the first
// question.
//
// It goes by words: a name counts as used where a file of the base revision has it as a word, however it joins its parts (email_address,
// emailAddress, EmailAddress), and names the table, too. That is a hint; what the code really sends only a manifest tells.
func (b *branch) stoppedUses(ctx context.Context, migrations []source) func(phases.Object) string {
	files := sync.OnceValue(func() []comparedFile {
		list, err := b.comparedFiles(ctx, migrations)
		if err != nil {
			return nil // the migrations could be compared; a hint that cannot be had is none
		}
		return list
	})
	return func(o phases.Object) string {
		for _, f := range files() {
			if line := f.stopped(o); line > 0 {
				return fmt.Sprintf("%s:%d", f.path, line)
			}
		}
		return ""
	}
}

// comparedFile is a file of source that the branch changes: its words before, with the lines they are in, and after.
type comparedFile struct {
	path          string
	before, after map[string][]int
}

// stopped gives the line of a use that is there before and no more after; 0 for none.
func (f *comparedFile) stopped(o phases.Object) int {
	table := joined(o.Relation)
	name := table
	if o.Column != "" {
		name = joined(o.Column)
		if len(f.before[table]) == 0 && len(f.before[joined(inflection.Singular(o.Relation))]) == 0 {
			return 0
		}
	}
	before, after := f.before[name], f.after[name]
	if len(after) >= len(before) {
		return 0
	}
	return before[0]
}

// longestSource is the size up to which a file is taken for source that somebody wrote.
const longestSource = 1 << 20

// comparedFiles reads the files that the branch changes or deletes, except migrations and documentation.
func (b *branch) comparedFiles(ctx context.Context, migrations []source) ([]comparedFile, error) {
	top, err := b.top(ctx, ".")
	if err != nil {
		return nil, err
	}
	names, err := b.touched(ctx, top)
	if err != nil {
		return nil, err
	}
	start, err := b.files(ctx, top, b.start)
	if err != nil {
		return nil, err
	}
	roots := map[string]bool{}
	for i := range migrations {
		if dir, err := filepath.Abs(filepath.Dir(migrations[i].path)); err == nil {
			roots[dir] = true
		}
	}
	var list, blobs []string
	for name := range names {
		dir, _ := filepath.Abs(filepath.Join(top, filepath.Dir(filepath.FromSlash(name))))
		if start[name] == "" || roots[dir] || slices.Contains([]string{".md", ".txt", ".rst", ".adoc", ".lock", ".sum"}, filepath.Ext(name)) {
			continue
		}
		list = append(list, name)
	}
	slices.Sort(list)
	for _, name := range list {
		blobs = append(blobs, start[name])
	}
	texts, err := b.texts(ctx, top, blobs)
	if err != nil {
		return nil, err
	}
	var out []comparedFile
	for i, name := range list {
		after, _ := os.ReadFile(filepath.Join(top, filepath.FromSlash(name))) //nolint:gosec // a file of the repository
		if len(texts[i]) > longestSource || len(after) > longestSource || bytes.IndexByte(texts[i], 0) >= 0 {
			continue
		}
		out = append(out, comparedFile{path: name, before: wordLines(string(texts[i])), after: wordLines(string(after))})
	}
	return out, nil
}

// wordLines gives the words of a text with the numbers of the lines that they are in.
func wordLines(text string) map[string][]int {
	out := map[string][]int{}
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		for word := range strings.FieldsFuncSeq(line, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			word = joined(word)
			out[word] = append(out[word], n)
		}
	}
	return out
}

// joined gives a name as one word in lower case, however its parts are joined.
func joined(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", ""))
}
