package migrate

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/parse"
)

// Migration is one file that was read. It is parsed when it is first asked for, so that a run which has nothing to do
// parses nothing.
type Migration struct {
	Version Version
	// Label is the version as the file name writes it.
	Label string
	// Name is the file's name, Path the way to it as the user would type it.
	Name, Path string
	// Sum is the checksum of the text, blind to line endings and trailing white space.
	Sum string
	// Down is the text of the file's development-only reverse (NAME.down.sql); nil where there is none.
	Down []byte

	src  []byte
	once sync.Once
	file *phases.File
}

// File gives the parsed file.
func (m *Migration) File() *phases.File {
	m.once.Do(func() { m.file = parse.File(m.Path, m.src) })
	return m.file
}

var fileName = regexp.MustCompile(`^(\d+)_(.+?)(\.up|\.down)?\.sql$`)

// Load reads every migration of a directory in the order of their versions. Root is the directory's name for messages.
// Errors are *FileError.
func Load(fsys fs.FS, root string) ([]*Migration, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, &FileError{Path: root, Message: "read the migrations directory", Err: rootCause(err)}
	}
	byVersion := map[Version]*Migration{}
	downs := map[Version][]byte{}
	var list []*Migration
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".sql") {
			continue
		}
		shown := path.Join(root, name)
		match := fileName.FindStringSubmatch(name)
		if match == nil {
			return nil, &FileError{
				Path: shown, Message: "this name is not that of a migration",
				Hint: "name it VERSION_what_it_does.sql, for example 0042_add_users_email.sql; files that are no migrations belong elsewhere",
			}
		}
		version, _ := ParseVersion(match[1])
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, &FileError{Path: shown, Message: "read the file", Err: rootCause(err)}
		}
		if match[3] == ".down" {
			downs[version] = src
			continue
		}
		m := &Migration{Version: version, Label: match[1], Name: name, Path: shown, Sum: Checksum(src), src: src}
		if other := byVersion[version]; other != nil {
			return nil, &FileError{
				Path: m.Path, Message: fmt.Sprintf("version %s is taken by %s already", m.Label, other.Path),
				Hint: "give one of them a new version, later than every one that was applied anywhere",
			}
		}
		byVersion[version] = m
		list = append(list, m)
	}
	if len(list) == 0 {
		return nil, &FileError{
			Path: root, Message: "there are no migrations in this directory",
			Hint: "files are named VERSION_what_it_does.sql; another directory is given by --dir",
		}
	}
	for v, src := range downs {
		if m := byVersion[v]; m != nil {
			m.Down = src
		}
	}
	slices.SortFunc(list, func(a, b *Migration) int {
		return cmp.Or(a.Version.Compare(b.Version), strings.Compare(a.Name, b.Name))
	})
	return list, nil
}

// rootCause drops the path that fs errors repeat.
func rootCause(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// Checksum gives the SHA-256 in hex of a migration's text without byte order mark, with line endings as \n, and
// without white space at the ends of lines and of the file.
func Checksum(src []byte) string {
	src = bytes.TrimPrefix(src, byteOrderMark)
	sum := sha256.New()
	blank := 0
	for line := range bytes.SplitSeq(src, []byte("\n")) {
		line = bytes.TrimRight(line, " \t\r\f\v")
		if len(line) == 0 {
			blank++
			continue
		}
		for ; blank > 0; blank-- {
			sum.Write([]byte("\n"))
		}
		sum.Write(line)
		sum.Write([]byte("\n"))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Check gives the first thing that keeps a file from being run, as a *FileError.
func (m *Migration) Check() error {
	if err := m.fault(m.File().Problems); err != nil {
		return err
	}
	return m.checkBackfill()
}

func (m *Migration) fault(problems []phases.Problem) error {
	for _, p := range problems {
		return &FileError{
			Path: m.Path, Span: p.Span, Source: m.File().Text, Message: p.Message, Hint: p.Hint,
			Syntax: p.Code == phases.SyntaxProblem,
		}
	}
	return nil
}
