//go:build unix

package files_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/files"
)

func TestReadIsWhatOSReads(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int{"empty": 0, "one": 1, "page": 4096, "long": 1 << 20} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte(name+"\n"), size)[:size], 0o600))
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		got, err := files.Read(path)
		require.NoError(t, err)
		assert.NotNil(t, got, "an empty file is no missing one")
		assert.True(t, bytes.Equal(want, got), name)
	}
	for _, path := range []string{filepath.Join(dir, "missing"), dir, filepath.Join(dir, "one", "below"), filepath.Join(dir, "a\x00b"), ""} {
		_, want := os.ReadFile(path)
		_, got := files.Read(path)
		require.Error(t, got, path)
		require.Equal(t, want.Error(), got.Error())
		require.True(t, errors.As(got, new(*fs.PathError)))
	}
	pipe := filepath.Join(dir, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	for _, path := range []string{pipe, os.DevNull} {
		_, err := files.Read(path)
		require.ErrorIs(t, err, files.ErrIrregular)
	}
}

func TestDirIsAFileSystem(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "below"), 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "0001_a.sql"), []byte("select 1;\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "below", "b.sql"), nil, 0o600))
	require.NoError(t, fstest.TestFS(files.Dir(dir), "0001_a.sql", "below/b.sql"))
	for _, name := range []string{"../x", "/etc/passwd", "", "missing.sql", "below"} {
		_, want := fs.ReadFile(os.DirFS(dir), name)
		_, got := fs.ReadFile(files.Dir(dir), name)
		require.Error(t, got, name)
		assert.Equal(t, want.Error(), got.Error())
	}
	_, err := fs.ReadFile(files.Dir(""), "0001_a.sql")
	require.Error(t, err)
}
