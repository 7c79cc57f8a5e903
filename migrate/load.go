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
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/layout"
	"github.com/bitvault/pawl/phases/parse"
)

// Migration is one file that was read. It is parsed when it is first asked for, so that a run which has nothing to do
// parses nothing.
type Migration struct {
	Version Version
	// Label is the version as the file name writes it.
	Label string
	// Name is the file's name, Path the way to it as the user would type it. Where each migration has a directory of its
	// own, as Prisma's do, the name begins with that.
	Name, Path string
	// Sum is the checksum of the text, blind to line endings and trailing white space.
	Sum string
	// Down is the text of the file's development-only reverse (NAME.down.sql); nil where there is none beside it.
	Down []byte
	// Program is true for a migration of goose that is a Go program, which pawl cannot run.
	Program bool
	// Checkpoint is true for a file that stands for all that was before it, as Atlas and Flyway have them: only an empty
	// database needs it.
	Checkpoint bool

	fsys   fs.FS
	src    []byte
	once   sync.Once
	file   *phases.File
	layout *layout.Layout
}

// File gives the parsed file, without what leads back.
func (m *Migration) File() *phases.File {
	m.once.Do(func() {
		text, how := layout.Read(m.Name, m.src)
		m.layout = how
		text, problem := m.rendered(text)
		m.file = parse.File(m.Path, text)
		if problem != nil {
			how.Problems = append(how.Problems, *problem)
		}
		for _, p := range slices.Backward(how.Problems) {
			m.file.Problems = append([]phases.Problem{{
				Code: phases.TemplateProblem, Message: p.Message, Hint: p.Hint, Span: phases.Span{Start: placeOf(string(m.src), p.Start), End: placeOf(string(m.src), p.End)},
			}}, m.file.Problems...)
		}
	})
	return m.file
}

// sumUntil gives the checksum of the first statements of the file.
func (m *Migration) sumUntil(count int) string {
	var text strings.Builder
	for _, s := range m.File().Statements[:count] {
		text.WriteString(strings.TrimSpace(s.Text) + ";\n")
	}
	return Checksum([]byte(text.String()))
}

// back gives the text that undoes the migration: that of its own file, or the part of this one that leads back.
func (m *Migration) back() []byte {
	if m.Down != nil {
		return m.Down
	}
	m.File()
	if m.layout.Back == "" {
		return nil
	}
	return []byte(m.layout.Back)
}

func placeOf(text string, offset int) phases.Position {
	at, _ := positionAt(text, 0, utf8.RuneCountInString(text[:offset]), len(text))
	return at
}

// loader collects what a directory holds.
type loader struct {
	fsys      fs.FS
	root      string
	byVersion map[Version]*Migration
	downs     map[Version][]byte
	list      []*Migration
}

// Load reads every migration of a directory in the order of their versions. It reads the layouts of goose, golang-migrate, dbmate,
// tern, Flyway, Liquibase, sqlx, Prisma and Atlas as well as pawl's own. Root is the directory's name for messages. Errors are *FileError.
func Load(fsys fs.FS, root string) ([]*Migration, error) {
	l := &loader{fsys: fsys, root: root, downs: map[Version][]byte{}}
	if err := l.directory("."); err != nil {
		return nil, err
	}
	if len(l.list) == 0 {
		return nil, &FileError{
			Path: root, Message: "there are no migrations in this directory",
			Hint: "files are named VERSION_what_it_does.sql; another directory is given by --dir",
		}
	}
	for v, src := range l.downs {
		if m := l.byVersion[v]; m != nil {
			m.Down = src
		}
	}
	slices.SortFunc(l.list, func(a, b *Migration) int {
		return cmp.Or(a.Version.Compare(b.Version), strings.Compare(a.Name, b.Name))
	})
	// A checkpoint is for directories whose earlier files were taken away; where they are here, they tell the same.
	first := l.list[0]
	return slices.DeleteFunc(l.list, func(m *Migration) bool { return m.Checkpoint && m != first }), nil
}

// directory reads the files at the top of a directory, and those that tools keep further down.
func (l *loader) directory(dir string) error {
	entries, err := fs.ReadDir(l.fsys, dir)
	if err != nil {
		return &FileError{Path: path.Join(l.root, dir), Message: "read the migrations directory", Err: rootCause(err)}
	}
	if dir == "." {
		l.byVersion, l.list = make(map[Version]*Migration, len(entries)), make([]*Migration, 0, len(entries))
	}
	flyway := dir != "."
	for _, entry := range entries {
		if n, ok := layout.ParseName(entry.Name()); ok && n.Tool == "flyway" && !entry.IsDir() {
			flyway = true
		}
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		if entry.IsDir() && !strings.HasSuffix(name, ".sql") {
			if n, ok := layout.ParseDir(name); ok && !flyway {
				if err := l.ofItsOwn(name, n); err != nil {
					return err
				}
			} else if flyway {
				if err := l.directory(path.Join(dir, name)); err != nil {
					return err
				}
			} else if l.unnumbered(name) {
				return &FileError{
					Path: path.Join(l.root, name), Message: "this directory has a migration of Prisma's, and no number",
					Hint: "name it VERSION_what_it_does, for example 20240131120000_add_users_email; `pawl adopt` finds by its checksum what was applied under the other name",
				}
			}
			continue
		}
		if n, ok := layout.ParseProgram(name); ok && dir == "." {
			if err := l.add(name, n, nil); err != nil {
				return err
			}
			continue
		}
		if !strings.HasSuffix(name, ".sql") {
			continue
		}
		n, ok := layout.ParseName(name)
		if !ok {
			return &FileError{
				Path: path.Join(l.root, dir, name), Message: "this name is not that of a migration",
				Hint: "name it VERSION_what_it_does.sql, for example 0042_add_users_email.sql; files that are no migrations belong elsewhere",
			}
		}
		if err := l.read(path.Join(dir, name), n); err != nil {
			return err
		}
	}
	return nil
}

// ofItsOwn reads a directory that holds one migration; one without migration.sql is none, such as tern's templates.
func (l *loader) ofItsOwn(dir string, n layout.Name) error {
	name := path.Join(dir, "migration.sql")
	if _, err := fs.Stat(l.fsys, name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return l.read(name, n)
}

// unnumbered reports whether a directory without number holds a migration, as Prisma takes them.
func (l *loader) unnumbered(dir string) bool {
	for _, name := range []string{"migration_lock.toml", path.Join(dir, "migration.sql")} {
		if _, err := fs.Stat(l.fsys, name); err != nil {
			return false
		}
	}
	return true
}

func (l *loader) read(name string, n layout.Name) error {
	src, err := fs.ReadFile(l.fsys, name)
	if err != nil {
		return &FileError{Path: path.Join(l.root, name), Message: "read the file", Err: rootCause(err)}
	}
	return l.add(name, n, src)
}

func (l *loader) add(name string, n layout.Name, src []byte) error {
	version, _ := ParseVersion(n.Version)
	if n.Down {
		l.downs[version] = src
		return nil
	}
	m := &Migration{
		Version: version, Label: n.Version, Name: name, Path: path.Join(l.root, name), Sum: Checksum(src), src: src, fsys: l.fsys,
		Program: src == nil, Checkpoint: n.Baseline || checkpoint(src),
	}
	if m.Program {
		m.Sum = ""
	}
	if n.Repeatable {
		m.Version, m.Label = repeatableVersion(n.Title, m.Sum), repeatablePrefix+n.Title
	}
	other := l.byVersion[m.Version]
	switch {
	case other == nil:
		l.byVersion[m.Version] = m
	case other.Checkpoint == m.Checkpoint:
		return &FileError{
			Path: m.Path, Message: fmt.Sprintf("version %s is taken by %s already", m.Label, other.Path),
			Hint: "give one of them a new version, later than every one that was applied anywhere",
		}
	case m.Checkpoint:
		return nil
	default:
		l.byVersion[m.Version] = m
		l.list = slices.DeleteFunc(l.list, func(o *Migration) bool { return o == other })
	}
	l.list = append(l.list, m)
	return nil
}

// checkpoint reports whether a file of Atlas stands for all that was before it. The mark is in the header.
func checkpoint(src []byte) bool {
	const mark = "-- atlas:checkpoint"
	return bytes.HasPrefix(src, []byte(mark)) || bytes.Contains(src, []byte("\n"+mark))
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
	if m.Program {
		return &FileError{
			Path: m.Path, Message: "this migration is a Go program, and pawl runs SQL",
			Hint: "let goose apply it and run `pawl adopt` again, or write it as SQL",
		}
	}
	if err := m.fault(m.File().Problems); err != nil {
		return err
	}
	if err := m.checkConcurrent(); err != nil {
		return err
	}
	if err := m.checkDiscard(); err != nil {
		return err
	}
	return m.checkBackfill()
}

// checkDiscard refuses what gives up pawl's lock together with the session's settings: what stands in the file could be run twice at once.
func (m *Migration) checkDiscard() error {
	for _, s := range m.File().Statements {
		for _, op := range s.Operations {
			if op.Kind == "discard_all" {
				return &FileError{
					Path: m.Path, Span: s.Span, Source: m.File().Text, Message: "DISCARD ALL gives up the lock by which one pawl works at a time",
					Hint: "take it out: pawl sets the session back after each file by itself",
				}
			}
		}
	}
	return nil
}

// checkConcurrent refuses a concurrent index without a name: should the build die, nothing could tell what it left.
func (m *Migration) checkConcurrent() error {
	for _, s := range m.File().Statements {
		for _, op := range s.Operations {
			if op.Index == nil || op.Index.Name != "" || op.Flags&phases.Concurrently == 0 {
				continue
			}
			return &FileError{
				Path: m.Path, Span: s.Span, Source: m.File().Text, Message: "this concurrent index has no name",
				Hint: fmt.Sprintf("name it, as in CREATE INDEX CONCURRENTLY %s ON …: should the build die, pawl finds by the name what it left",
					pgx.Identifier{phases.ChosenIndexName(op.On.Relation, op.Index)}.Sanitize()),
			}
		}
	}
	return nil
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
