package lint

import (
	"strings"

	"github.com/bitvault/pawl/internal/pattern"
)

var chain = pattern.Lazy(`(?i)\band\s+chain\s*$`)

// group finds out which statements share a transaction. Without BEGIN that is up to who runs the file.
func (f *File) group() {
	n := len(f.File.Statements)
	f.Groups, f.Explicit = make([]int, n), make([]bool, n)
	open, next := 0, 2
	for i := range f.File.Statements {
		s := &f.File.Statements[i]
		switch s.Control {
		case "":
		case "begin":
			if open == 0 {
				open = next
				next++
			}
		case "commit", "rollback", "prepare transaction":
			f.Groups[i], f.Explicit[i] = open, open != 0
			open = 0
			if chain().MatchString(strings.TrimSpace(s.Text)) {
				open = next
				next++
			}
			continue
		}
		if open != 0 {
			f.Groups[i], f.Explicit[i] = open, true
			continue
		}
		switch {
		case f.NoTransaction:
		case f.Wraps, f.Options.Transactions == Always:
			f.Groups[i], f.Explicit[i] = 1, true
		case f.Options.Transactions == ByFile, f.managed():
			f.Groups[i] = 1
		}
	}
}

// unwrap takes back the transaction that pawl itself would put around a file: it runs a file alone that PostgreSQL refuses there.
func (f *File) unwrap() {
	if f.Assessment.Transactional {
		return
	}
	for i := range f.Groups {
		if !f.Explicit[i] {
			f.Groups[i] = 0
		}
	}
}
