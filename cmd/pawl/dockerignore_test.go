package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDockerignore holds .dockerignore to leaving out nothing that the program is built from.
func TestDockerignore(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	require.NoError(t, err)
	var ignored []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || strings.HasPrefix(line, "**/") {
			continue // a pattern of file names: tests, which no build needs
		}
		ignored = append(ignored, line)
	}
	require.NotEmpty(t, ignored)

	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=Dir,GoFiles,CgoFiles,EmbedFiles,Module", "./cmd/pawl")
	list.Dir = root
	out, err := list.Output()
	require.NoError(t, err)
	needed := []string{"go.mod", "go.sum"}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			Dir                           string
			GoFiles, CgoFiles, EmbedFiles []string
			Module                        *struct{ Main bool }
		}
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if p.Module == nil || !p.Module.Main {
			continue
		}
		for _, files := range [][]string{p.GoFiles, p.CgoFiles, p.EmbedFiles} {
			for _, f := range files {
				name, err := filepath.Rel(root, filepath.Join(p.Dir, f))
				require.NoError(t, err)
				needed = append(needed, filepath.ToSlash(name))
			}
		}
	}
	require.Greater(t, len(needed), 100)
	for _, name := range needed {
		for _, pattern := range ignored {
			require.False(t, under(name, pattern), "%s is left out by %q of .dockerignore", name, pattern)
		}
	}
}
