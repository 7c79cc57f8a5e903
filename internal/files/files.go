// Package files reads many small files at little cost, and never waits for one. What os.ReadFile does for what might be a terminal or a
// pipe are ten system calls, a fifth of the time of a run that has nothing to do; here they are four.
package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrIrregular is what is wrong with a pipe, a socket or a device where a file is looked for.
var ErrIrregular = errors.New("not a regular file")

// Dir is os.DirFS, with ReadFile by Read.
func Dir(root string) fs.FS { return dir{FS: os.DirFS(root), root: root} }

type dir struct {
	fs.FS
	root string
}

// ReadFile is that of fs.ReadFileFS. Errors are *fs.PathError, with name as the path.
func (d dir) ReadFile(name string) ([]byte, error) {
	local, err := filepath.Localize(name)
	if err != nil || d.root == "" {
		return nil, &fs.PathError{Op: "readfile", Path: name, Err: fs.ErrInvalid}
	}
	data, err := Read(filepath.Join(d.root, local))
	if p, ok := err.(*fs.PathError); ok { //nolint:errorlint // as Read gives it
		p.Path = name
	}
	return data, err
}

// ReadDir is that of fs.ReadDirFS.
func (d dir) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(d.FS, name) }

// Stat is that of fs.StatFS.
func (d dir) Stat(name string) (fs.FileInfo, error) { return fs.Stat(d.FS, name) }
