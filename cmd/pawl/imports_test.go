package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/bitvault/pawl"

// importRule says who may import what. Both are path prefixes; Except lists directories that the rule lets pass.
type importRule struct {
	// from is a directory of the repository, or "" for all of it; tests of a directory count only where tests is true.
	from  string
	tests bool
	// never is the prefix of the import paths that are forbidden, only the one list of exceptions.
	never  string
	except []string
	reason string
}

var importRules = []importRule{
	{"", true, "github.com/pganalyze/pg_query_go", []string{"phases/parse"}, "a parser upgrade must touch one package"},
	{"", false, "github.com/jackc/pgx", []string{"migrate", "phases/evidence", "cmd/pawl", "internal/pgserver", "internal/pgtest", "internal/tools", "testdata", "harvest"},
		"the middle is pure: I/O stands at the edge"},
	{"", false, "k8s.io/", []string{"phases/evidence"}, "Kubernetes is one source of evidence, seen by one package"},
	{"", false, "golang.org/x/tools", []string{"phases/refs"}, "source analysis is for manifests alone"},
	{"", false, "github.com/spf13/cobra", []string{"cmd/pawl"}, "the libraries know no command line"},
	{"", false, "github.com/rs/zerolog", []string{"cmd/pawl"}, "libraries emit typed events; cmd renders them"},
	{"", false, "github.com/tliron/glsp", []string{"lint/lsp"}, "one package talks to editors"},
	{"", false, "github.com/owenrumney/go-sarif", []string{"lint/report"}, "one package writes reports"},
	{"", false, "go.opentelemetry.io/", []string{"internal/telemetry"}, "telemetry listens to typed events, in one package"},
	{"", false, "github.com/testcontainers/", []string{"internal/pgserver/docker"}, "the shipped binary starts no containers"},
	{"", false, module + "/cmd", nil, "nothing imports the commands"},
	{"", false, module + "/integration", nil, "nothing imports the tests"},
	{"phases/gate", false, module + "/", []string{module + "/phases"}, "the gate is pure"},
	{"phases/parse", false, module + "/", []string{module + "/phases"}, "the parser knows the vocabulary only"},
	{"lint", false, module + "/migrate", nil, "lint runs nothing"},
	{"lint", false, "github.com/jackc/pgx", nil, "lint needs no database"},
	{"migrations", false, module + "/", nil, "the ledger's schema depends on nothing"},
}

// TestImports holds the architecture's import rules; docs/architecture.md has the reasoning.
func TestImports(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	checked := 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		checked++
		for _, i := range f.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			for _, rule := range importRules {
				if rule.forbids(filepath.ToSlash(rel), imported) {
					t.Errorf("%s imports %s: %s", rel, imported, rule.reason)
				}
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, checked, 50)
}

func (r importRule) forbids(file, imported string) bool {
	dir := path.Dir(file)
	if !under(dir, r.from) || !strings.HasPrefix(imported, r.never) {
		return false
	}
	if !r.tests && strings.HasSuffix(file, "_test.go") || under(dir, "integration") && r.never != "github.com/pganalyze/pg_query_go" {
		return false
	}
	for _, e := range r.except {
		if under(dir, e) || under(imported, e) {
			return false
		}
	}
	return true
}

func under(dir, prefix string) bool {
	return prefix == "" || dir == prefix || strings.HasPrefix(dir, prefix+"/")
}

// TestImportRulesCanFail shows that each kind of rule refuses what it is for.
func TestImportRulesCanFail(t *testing.T) {
	t.Parallel()
	refused := func(file, imported string) bool {
		for _, r := range importRules {
			if r.forbids(file, imported) {
				return true
			}
		}
		return false
	}
	require.True(t, refused("lint/locks.go", "github.com/pganalyze/pg_query_go/v5"))
	require.True(t, refused("phases/kinds.go", "github.com/jackc/pgx/v5"))
	require.True(t, refused("phases/gate/decide.go", module+"/migrate"))
	require.True(t, refused("phases/evidence/reach.go", module+"/cmd/pawl"))
	require.True(t, refused("lint/rule.go", module+"/migrate"))
	require.False(t, refused("phases/gate/decide.go", module+"/phases"))
	require.False(t, refused("phases/parse/parse.go", "github.com/pganalyze/pg_query_go/v5"))
	require.False(t, refused("integration/runner_test.go", "github.com/jackc/pgx/v5"))
}
