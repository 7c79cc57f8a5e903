package refs_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/refs"
)

var update = flag.Bool("update", false, "write golden files")

// module unpacks an archive as a module that uses the stubs of the libraries.
func module(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	dir, stubs := unpack(t, archive), ""
	if strings.Contains(string(txtar.Format(archive)), "package main") {
		libraries, err := txtar.ParseFile(filepath.Join("testdata", "stubs.txtar"))
		require.NoError(t, err)
		stubs = unpack(t, libraries)
	}
	mod := "module example.com/app\n\ngo 1.26\n"
	for _, lib := range [][2]string{
		{"github.com/jackc/pgx/v5", "pgx"}, {"github.com/jmoiron/sqlx", "sqlx"}, {"gorm.io/gorm", "gorm"}, {"github.com/Masterminds/squirrel", "squirrel"},
	} {
		version := "v1.0.0"
		if strings.HasSuffix(lib[0], "/v5") {
			version = "v5.0.0"
		}
		mod += fmt.Sprintf("\nrequire %s %s\nreplace %s => %s\n", lib[0], version, lib[0], filepath.Join(stubs, lib[1]))
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); os.IsNotExist(err) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o600))
	}
	return dir
}

func unpack(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range archive.Files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(t, os.WriteFile(path, f.Data, 0o600))
	}
	return dir
}

// listing shows a manifest with one line for each thing in it.
func listing(m *evidence.Manifest, c refs.Counts) string {
	var lines []string
	add := func(site gate.Site, what, text string) {
		lines = append(lines, fmt.Sprintf("%s:%d %s %s", site.File, site.Line, what, text))
	}
	for _, s := range m.Statements {
		for _, site := range s.Sites {
			add(site, "exact", fmt.Sprintf("%q %v", s.Text, s.Params))
		}
	}
	for _, list := range []struct {
		what      string
		templates []evidence.Template
	}{{"template", m.Templates}, {"piece", m.Fragments}} {
		for _, t := range list.templates {
			for _, site := range t.Sites {
				add(site, list.what, fmt.Sprintf("%q %v %v", t.Parts, t.Holes, t.Tables))
			}
		}
	}
	for _, model := range m.Models {
		add(model.Site, "model", fmt.Sprintf("%s %s.%s %v", model.Name, model.Schema, model.Table, model.Columns))
	}
	for _, o := range m.Opaque {
		add(o.Site, "opaque", o.Call+": "+o.Why)
	}
	for _, k := range m.Acknowledged {
		add(k.Site, "settled", k.Directive+" "+k.Text)
	}
	slices.Sort(lines)
	lines = append(lines, m.Status)
	lines = append(lines, m.Reasons...)
	lines = append(lines, c.Warnings...)
	c.Warnings = nil
	return strings.Join(lines, "\n") + fmt.Sprintf("\n%+v\n", c)
}

func TestPrograms(t *testing.T) {
	t.Parallel()
	archives, err := filepath.Glob(filepath.Join("testdata", "programs", "*.txtar"))
	require.NoError(t, err)
	require.NotEmpty(t, archives)
	for _, path := range archives {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(path)
			require.NoError(t, err)
			dir := module(t, archive)
			m, counts, err := refs.Build(t.Context(), "app", "r1", refs.Options{Dir: dir, Go: []string{"./..."}})
			require.NoError(t, err)
			got := listing(m, counts)
			golden := strings.TrimSuffix(path, ".txtar") + ".golden"
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o600))
			}
			want, err := os.ReadFile(golden) //nolint:gosec // a test's golden file
			require.NoError(t, err)
			require.Equal(t, string(want), got)

			again, _, err := refs.Build(t.Context(), "app", "r1", refs.Options{Dir: dir, Go: []string{"./..."}})
			require.NoError(t, err)
			require.Equal(t, m.Sum(), again.Sum(), "the same source gives the same bytes")
		})
	}
}
