package bitvault_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/phases/refs"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var (
	releases  = []string{"r1", "r2", "r3"}
	consumers = []string{"gateway", "bitvaultd", "worker"}
)

// manifest is what the tests read of a refs.json.
type manifest struct {
	Version    int
	Consumer   string
	Release    string
	Status     string
	Statements []statement
}

type statement struct {
	SHA256 string
	Text   string
	Params []string
	Sites  []struct {
		File string
		Line int
	}
}

func readManifest(t *testing.T, consumer, release string) manifest {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("releases", release, consumer+".refs.json"))
	require.NoError(t, err)
	var m manifest
	require.NoError(t, json.Unmarshal(text, &m))
	return m
}

func eachManifest(t *testing.T, test func(t *testing.T, m manifest)) {
	for _, release := range releases {
		for _, consumer := range consumers {
			t.Run(consumer+"@"+release, func(t *testing.T) {
				t.Parallel()
				test(t, readManifest(t, consumer, release))
			})
		}
	}
}

var update = flag.Bool("update", false, "write the manifests")

// TestManifestsAreFresh holds the manifests to what `pawl refs build` reads from the sources beside them.
func TestManifestsAreFresh(t *testing.T) {
	t.Parallel()
	for _, release := range releases {
		for _, consumer := range consumers {
			m, counts, err := refs.Build(t.Context(), consumer, release, refs.Options{
				Dir: filepath.Join("releases", release), Go: []string{"./" + consumer},
			})
			require.NoError(t, err)
			require.Equal(t, counts.Calls, counts.Exact, "calls whose text is known, of all")
			var text bytes.Buffer
			require.NoError(t, m.Write(&text))
			path := filepath.Join("releases", release, consumer+".refs.json")
			if *update {
				require.NoError(t, os.WriteFile(path, text.Bytes(), 0o600))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(want), text.String(), "%s is stale: go test ./testdata/examples/bitvault -run Fresh -update", path)
		}
	}
}

func TestManifestsHoldTogether(t *testing.T) {
	t.Parallel()
	eachManifest(t, func(t *testing.T, m manifest) {
		require.Equal(t, 1, m.Version)
		require.Equal(t, "complete", m.Status)
		require.FileExists(t, filepath.Join("releases", m.Release, m.Consumer, "main.go"))
		require.True(t, slices.IsSortedFunc(m.Statements, func(a, b statement) int { return strings.Compare(a.Text, b.Text) }))
		for _, s := range m.Statements {
			sum := sha256.Sum256([]byte(s.Text))
			require.Equal(t, hex.EncodeToString(sum[:]), s.SHA256, s.Text)
			require.NotEmpty(t, s.Sites, s.Text)
		}
	})
}

// TestManifestsMatchSources compares manifests with sources by syntax alone, so that it does not share the manifest
// tool's mistakes: every site is a call that takes SQL, every such call is a site, and every piece of SQL in the source
// is part of a statement.
func TestManifestsMatchSources(t *testing.T) {
	t.Parallel()
	takesSQL := []string{"Query", "QueryRow", "Exec", "Queue", "CopyFrom"}
	looksLikeSQL := regexp.MustCompile(`^\s*(SELECT|INSERT|UPDATE|DELETE FROM|WITH)\s|\s(FROM|WHERE|JOIN|RETURNING)\s|^\w+\.\w+, `)
	verb := regexp.MustCompile(`%[sd]`)

	eachManifest(t, func(t *testing.T, m manifest) {
		sites := map[string]bool{}
		for _, s := range m.Statements {
			for _, at := range s.Sites {
				sites[at.File+":"+strconv.Itoa(at.Line)] = true
			}
		}
		paths, err := filepath.Glob(filepath.Join("releases", m.Release, m.Consumer, "*.go"))
		require.NoError(t, err)
		calls := map[string]bool{}
		pieces := 0
		for _, path := range paths {
			files := token.NewFileSet()
			f, err := parser.ParseFile(files, path, nil, 0)
			require.NoError(t, err)
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					f, ok := n.Fun.(*ast.SelectorExpr)
					// Not Values.Query() of a URL nor BatchResults.Exec(), which take nothing.
					if ok && slices.Contains(takesSQL, f.Sel.Name) && len(n.Args) > 0 {
						line := files.Position(f.Sel.Pos()).Line
						calls[m.Consumer+"/"+filepath.Base(path)+":"+strconv.Itoa(line)] = true
					}
				case *ast.BasicLit:
					if n.Kind != token.STRING {
						return true
					}
					text, err := strconv.Unquote(n.Value)
					require.NoError(t, err)
					if !looksLikeSQL.MatchString(text) {
						return true
					}
					pieces++
					for _, part := range verb.Split(text, -1) {
						require.True(t, slices.ContainsFunc(m.Statements, func(s statement) bool { return strings.Contains(s.Text, part) }),
							"%s: no statement holds %q", files.Position(n.Pos()), part)
					}
				}
				return true
			})
		}
		require.Equal(t, calls, sites)
		require.Greater(t, pieces, 8)
	})
}

// tables reads the README's Markdown tables by their first heading; each row is its cells.
func tables(t *testing.T) map[string][][]string {
	t.Helper()
	f, err := os.Open("README.md")
	require.NoError(t, err)
	defer f.Close()
	all := map[string][][]string{}
	name := ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if !strings.HasPrefix(line, "|") {
			name = ""
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case name == "":
			name = cells[0]
		case !strings.HasPrefix(cells[0], "---"):
			all[name] = append(all[name], cells)
		}
	}
	return all
}

func TestReadmeListsTheMigrations(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, row := range tables(t)["migration"] {
		listed = append(listed, row[0]+".sql")
		text, err := os.ReadFile(filepath.Join("migrations", row[0]+".sql"))
		require.NoError(t, err)
		require.Equal(t, row[2] == "backfill", strings.Contains(string(text), "-- pawl:backfill "), row[0])
		if row[3]+row[4] != "" {
			require.Contains(t, string(text), "-- pawl:phase contract\n", row[0])
		}
	}
	var present []string
	for _, m := range migrations(t) {
		present = append(present, m.name+".sql")
	}
	require.Equal(t, present, listed)
}
