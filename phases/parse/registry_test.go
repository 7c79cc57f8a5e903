package parse_test

import (
	"go/ast"
	goparser "go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/parse"
	"github.com/stretchr/testify/require"
)

// TestEveryRowIsReached parses each row's example after its fixture and expects the row's kind among its operations.
func TestEveryRowIsReached(t *testing.T) {
	seen := map[phases.Kind]bool{}
	for _, d := range phases.Descriptors() {
		require.False(t, seen[d.Kind], "two rows for %s", d.Kind)
		seen[d.Kind] = true
	}
	for _, d := range phases.Descriptors() {
		t.Run(string(d.Kind), func(t *testing.T) {
			require.NotEmpty(t, d.Summary)
			require.NotEmpty(t, d.Example)
			if d.Refines != "" {
				require.True(t, seen[d.Refines], "it refines %s, which has no row", d.Refines)
			}
			version := max(d.Since, 18)
			c := phases.NewCatalog(version)
			setup := parse.File("0001_setup.sql", []byte(phases.Fixture+d.Setup))
			require.Empty(t, setup.Problems)
			c.Assess(setup)
			require.False(t, c.Incomplete, "the catalog did not follow the fixture")
			f := parse.File("0002_case.sql", []byte(d.Example))
			if d.Kind != phases.Opaque {
				require.Empty(t, f.Problems)
			}
			var kinds []phases.Kind
			for _, s := range c.Assess(f).Statements {
				for _, op := range s.Operations {
					kinds = append(kinds, op.Kind)
					if op.Kind == d.Kind {
						require.Equal(t, d.Phase, op.Phase, "the phase of the row and of its example")
					}
				}
			}
			require.Contains(t, kinds, d.Kind)
			if d.Phase == phases.Contract && d.Manual == "" {
				require.True(t, d.Breaks != "" || d.Unshown != "", "a contract shows what it breaks")
				require.NotEmpty(t, d.Takes, "a contract takes something")
			}
			if d.Phase == phases.Unknown {
				require.True(t, d.Takes[0].What == phases.Everything)
			}
		})
	}
}

var kindLiteral = regexp.MustCompile(`^"[a-z]+(_[a-z]+)*"$`)

// TestEveryKindHasARow looks through the source for kinds that are given out, so that none is without a row: such a
// kind would turn opaque when it is first met.
func TestEveryKindHasARow(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	found := 0
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		tree, err := goparser.ParseFile(token.NewFileSet(), path, nil, 0)
		require.NoError(t, err)
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "make" && sel.Sel.Name != "one" && sel.Sel.Name != "Kind" {
				return true
			}
			lit, ok := call.Args[0].(*ast.BasicLit)
			if !ok || !kindLiteral.MatchString(lit.Value) {
				return true
			}
			found++
			kind := phases.Kind(strings.Trim(lit.Value, `"`))
			_, known := phases.Describe(kind)
			require.True(t, known, "%s gives out %s, which has no row", path, kind)
			return true
		})
	}
	require.Greater(t, found, 80, "the search finds what it is meant to")
}
