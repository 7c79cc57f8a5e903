package refs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/refs"
)

const sender = `-- main.go --
package main

import "database/sql"

func main() {
	var db *sql.DB
	db.Exec("DELETE FROM users")
}
`

// TestNeverCompleteByAccident gives source that cannot be read, or not wholly: an error that says what to do, or a
// partial manifest that says why.
func TestNeverCompleteByAccident(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, archive string
		options       refs.Options
		// refused is a part of the error, hint of what to do; partial is a part of a reason, complete is for neither.
		refused, hint, partial string
		complete               bool
	}{
		{name: "as it should be", archive: sender, complete: true},
		{name: "does not compile", archive: strings.Replace(sender, "db.Exec", "db.Exce", 1), refused: "main.go:7:5: db.Exce undefined", hint: "must compile"},
		{name: "no module", archive: "-- readme.txt --\nx\n-- sub/go.mod --\nmodule x\n", refused: "cannot load the packages", hint: "directory of a Go module"},
		{name: "missing go.sum", archive: "-- go.mod --\nmodule x\n\ngo 1.26\n\nrequire github.com/jmoiron/sqlx v1.4.0\n-- main.go --\npackage main\n\nimport _ \"github.com/jmoiron/sqlx\"\n\nfunc main() {}\n", refused: "missing go.sum entry", hint: "go mod"},
		{name: "no package", archive: "-- a.txt --\nx\n", refused: "no package matches", hint: ""},
		{name: "sends nothing known", archive: "-- main.go --\npackage main\n\nfunc main() {}\n", partial: "no package imports a database driver"},
		{name: "build tag", archive: sender + "-- more.go --\n//go:build enterprise\n\npackage main\n\nconst q = \"SELECT secret FROM users\"\n", partial: "more.go is left out by build tag enterprise"},
		{name: "build tags known", archive: sender + "-- more.go --\n//go:build enterprise\n\npackage main\n\nconst q = \"SELECT secret FROM users\"\n", options: refs.Options{Tagged: true}, complete: true},
		{name: "other platform", archive: sender + "-- more_windows.go --\npackage main\n\nconst q = \"SELECT secret FROM users\"\n", complete: true},
		{name: "test files", archive: sender + "-- more_test.go --\npackage main\n\nfunc use() { db().Exec(name) }\n", complete: true},
		{name: "made at run time", archive: strings.Replace(sender, `"DELETE FROM users"`, "os()", 1) + "\nfunc os() string { var s []byte; return string(s[1:]) }\n", partial: "1 call of which the SQL is not known: main.go:7"},
		{name: "unknown directive", archive: strings.Replace(sender, "\tdb.Exec", "\t//pawl:ignored x\n\tdb.Exec", 1), refused: "main.go:7: //pawl:ignored is not a directive", hint: "//pawl:ignore"},
		{name: "directive without reason", archive: strings.Replace(sender, "\tdb.Exec", "\t//pawl:ignore\n\tdb.Exec", 1), refused: "says nothing", hint: "REASON"},
		{name: "linker's variable", archive: strings.Replace(sender, `"DELETE FROM users"`, "query", 1) + "\nvar query string\n", partial: "1 call of which the SQL is not known"},
		{name: "vendored", archive: `-- go.mod --
module x

go 1.26

require github.com/jmoiron/sqlx v1.4.0
-- vendor/modules.txt --
# github.com/jmoiron/sqlx v1.4.0
## explicit; go 1.26
github.com/jmoiron/sqlx
-- vendor/github.com/jmoiron/sqlx/sqlx.go --
package sqlx

type DB struct{}

func (db *DB) Get(dest any, query string, args ...any) error { return nil }
-- main.go --
package main

import "github.com/jmoiron/sqlx"

func main() {
	var db sqlx.DB
	db.Get(nil, "SELECT 1 FROM users")
}
`, complete: true},
		{name: "dependency at run time", archive: `-- go.mod --
module x

go 1.26

require example.com/dep v1.0.0
-- vendor/modules.txt --
# example.com/dep v1.0.0
## explicit; go 1.26
example.com/dep
-- vendor/example.com/dep/dep.go --
package dep

import "database/sql"

func Do(db *sql.DB, table string) {
	db.Exec("DELETE FROM jobs WHERE done")
	db.Exec("DELETE FROM " + table)
}
-- main.go --
package main

import "example.com/dep"

func main() { dep.Do(nil, "x") }
`, partial: "dependency example.com/dep puts SQL together at run time"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := module(t, txtar.Parse([]byte(test.archive)))
			switch test.name {
			case "no module":
				require.NoError(t, os.Remove(filepath.Join(dir, "go.mod")))
			case "missing go.sum":
			default:
				if !strings.Contains(test.archive, "go.mod") {
					require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module x\n\ngo 1.26\n"), 0o600))
				}
			}
			o := test.options
			o.Dir, o.Go = dir, []string{"./..."}
			m, _, err := refs.Build(t.Context(), "app", "r1", o)
			if test.refused != "" {
				require.ErrorContains(t, err, test.refused)
				var source *refs.SourceError
				require.ErrorAs(t, err, &source)
				require.Contains(t, source.Hint, test.hint)
				return
			}
			require.NoError(t, err)
			if test.complete {
				require.Equal(t, evidence.Complete, m.Status, m.Reasons)
				require.NotEmpty(t, m.Statements)
				return
			}
			require.Equal(t, evidence.Partial, m.Status)
			require.Contains(t, strings.Join(m.Reasons, "\n"), test.partial)
		})
	}
}

// TestCgo reads packages with cgo, of which C code that speaks to PostgreSQL itself makes the manifest partial.
func TestCgo(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("packages with cgo need a C compiler: install gcc")
	}
	for include, status := range map[string]string{"stdlib.h": evidence.Complete, "stdlib.h> // libpq-fe.h <": evidence.Partial} {
		dir := t.TempDir()
		source := fmt.Sprintf("package main\n\n// #include <stdlib.h>\n// // %s\nimport \"C\"\n\nimport \"database/sql\"\n\nfunc main() {\n\tvar db *sql.DB\n\tdb.Exec(\"DELETE FROM users\")\n\tC.free(nil)\n}\n", include)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module x\n\ngo 1.26\n"), 0o600))
		m, _, err := refs.Build(t.Context(), "app", "r1", refs.Options{Dir: dir, Go: []string{"./..."}, Env: append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=-trimpath")})
		require.NoError(t, err)
		require.Equal(t, status, m.Status, m.Reasons)
		require.Len(t, m.Statements, 1)
		require.Equal(t, "main.go", m.Statements[0].Sites[0].File)
	}
}
