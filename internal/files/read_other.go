//go:build !unix

package files

import (
	"io/fs"
	"os"
)

// Read gives the content of a regular file. Errors are *fs.PathError, as os.ReadFile has them, or with ErrIrregular.
func Read(path string) ([]byte, error) {
	about, err := os.Stat(path)
	if err == nil && !about.Mode().IsRegular() && !about.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: ErrIrregular}
	}
	return os.ReadFile(path)
}
