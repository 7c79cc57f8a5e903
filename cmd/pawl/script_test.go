package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgserver/docker"
	"github.com/bitvault/pawl/internal/pgtest"
)

// suite lets testscript and pgtest share one TestMain.
type suite struct{ m *testing.M }

func (s suite) Run() int { return pgtest.Run(s.m, pgserver.Options{Container: docker.Start}) }

func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){"pawl": main})
}

// TestScripts runs the command line as a user would. A script whose first comment says `database` gets a fresh one in
// DATABASE_URL.
//
// Own commands: `code N pawl …` expects an exit code; `sql TEXT` runs SQL; `query TEXT` prints the first column of
// each row to stdout; `same` asserts that the schema is as at the last `remember`; `cluster FILE` starts a Kubernetes API
// with these objects, which `kubeconfig` leads to, and `asked` prints how often it was asked.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "..", "testdata", "script", "*.txtar"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{t: t}
			if strings.HasPrefix(string(text), "# database") {
				s.db = pgtest.Database(t)
			}
			testscript.Run(t, testscript.Params{
				Files:               []string{file},
				RequireExplicitExec: true,
				UpdateScripts:       os.Getenv("PAWL_UPDATE_SCRIPTS") != "",
				Setup:               s.setup,
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"code": s.code, "sql": s.sql, "query": s.query, "remember": s.remember, "same": s.same,
					"cluster": s.cluster, "asked": s.asked,
				},
			})
		})
	}
}

type script struct {
	t      *testing.T
	db     *pgtest.DB
	before string
	api    *fakeCluster
}

func (s *script) setup(e *testscript.Env) error {
	repository, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return err
	}
	e.Setenv("REPO", repository)
	e.Setenv("PAWL_FORMAT", "text")
	if cache, err := os.UserCacheDir(); err == nil && os.Getenv("GOCACHE") == "" {
		e.Setenv("GOCACHE", filepath.Join(cache, "go-build"))
	} else {
		e.Setenv("GOCACHE", os.Getenv("GOCACHE"))
	}
	if s.db != nil {
		e.Setenv("DATABASE_URL", s.db.URL)
	}
	return nil
}

func (s *script) code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command …")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

func (s *script) sql(ts *testscript.TestScript, _ bool, args []string) {
	s.db.Exec(s.t, strings.Join(args, " "))
}

func (s *script) query(ts *testscript.TestScript, _ bool, args []string) {
	for _, row := range pgtest.Column[any](s.t, s.db, strings.Join(args, " ")) {
		_, err := fmt.Fprintln(ts.Stdout(), row)
		ts.Check(err)
	}
}

func (s *script) remember(*testscript.TestScript, bool, []string) { s.before = pgtest.Dump(s.t, s.db) }

func (s *script) same(ts *testscript.TestScript, _ bool, _ []string) {
	if now := pgtest.Dump(s.t, s.db); now != s.before {
		ts.Fatalf("the schema has changed:\n%s", now)
	}
}
