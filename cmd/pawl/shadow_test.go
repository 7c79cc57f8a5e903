package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/phases"
)

// Every contract of the registry that breaks an old statement is held, whether a PostgreSQL is asked or not: it may not
// say that all is well where only executing the statement shows what is wrong.
func TestGateHoldsEveryKind(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	for _, d := range phases.Descriptors() {
		if d.Breaks == "" || d.Manual != "" || d.Since > db.Server.Major {
			continue
		}
		t.Run(string(d.Kind), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write := func(name, text string) string {
				path := filepath.Join(dir, name)
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
				require.NoError(t, os.WriteFile(path, []byte(text+"\n"), 0o600))
				return path
			}
			write("migrations/0001_setup.sql", phases.Fixture+d.Setup)
			write("migrations/0002_it.sql", d.Example+";")
			write("q/old.sql", d.Breaks)
			refs := filepath.Join(dir, "refs.json")
			var out, log bytes.Buffer
			require.Zero(t, run(t.Context(), []string{"refs", "build", "--sql", filepath.Join(dir, "q/*.sql"), "--consumer", "app", "--release", "r1", "-o", refs}, &out, &log), "%s", log.String())
			for _, how := range [][]string{nil, {"--shadow", db.URL}} {
				out.Reset()
				log.Reset()
				args := append([]string{"gate", "--dir", filepath.Join(dir, "migrations"), "--after", "0001", "--refs", refs, "--format", "json"}, how...)
				code := run(t.Context(), args, &out, &log)
				var got struct {
					Migrations []struct {
						Allowed bool   `json:"allowed"`
						Verdict string `json:"verdict"`
					} `json:"migrations"`
				}
				require.NoError(t, json.Unmarshal(out.Bytes(), &got), "exit %d: %s", code, log.String())
				require.Len(t, got.Migrations, 1)
				m := got.Migrations[0]
				require.True(t, !m.Allowed || m.Verdict == "possible", "%v: %s", how, out.String())
			}
		})
	}
}
