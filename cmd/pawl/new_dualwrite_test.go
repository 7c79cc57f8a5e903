package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
)

// command runs one command line in this process and expects success.
func command(t *testing.T, args ...string) string {
	t.Helper()
	var out, fault bytes.Buffer
	code := run(t.Context(), args, &out, &fault)
	require.Equal(t, exitOK, code, "pawl %s: %s%s", strings.Join(args, " "), out.String(), fault.String())
	return out.String()
}

// The migrations that `pawl new dual-write` writes never make a write fail, whichever column it names: writers of the old
// column are at work until the contract, writers of the new one from the expand on.
func TestDualWriteUnderLoad(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	dir, stage := t.TempDir(), t.TempDir()
	first := "create table accounts (id bigint generated always as identity primary key, mail text not null, note text);\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "0001_accounts.sql"), []byte(first), 0o600))
	written := strings.Fields(command(t, "new", "dual-write", "accounts", "mail", "Email address", "--dir", dir, "--up", "lower({})", "--down", "{}"))
	require.Len(t, written, 6)
	migrate := func(last int) {
		files, err := filepath.Glob(filepath.Join(dir, "*.sql"))
		require.NoError(t, err)
		for _, f := range files[:last] {
			data, err := os.ReadFile(f)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(stage, filepath.Base(f)), data, 0o600))
		}
		command(t, "migrate", "--dir", stage, "--database-url", db.URL, "--env", "dev", "--format", "text", "--config", os.DevNull)
	}
	migrate(1)
	db.Exec(t, "insert into accounts (mail) select 'User' || g || '@Example.com' from generate_series(1, 10000) g")

	load := func(queries ...string) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, len(queries))
		var rounds atomic.Int64
		for _, q := range queries {
			conn := db.Conn(t)
			go func() {
				for ctx.Err() == nil {
					if _, err := conn.Exec(context.Background(), q); err != nil {
						done <- err
						return
					}
					rounds.Add(1)
				}
				done <- nil
			}()
		}
		return func() {
			begin := rounds.Load()
			require.Eventually(t, func() bool { return rounds.Load() > begin+100 || len(done) > 0 }, 20*time.Second, 5*time.Millisecond)
			cancel()
			for range queries {
				require.NoError(t, <-done)
			}
		}
	}
	stopOld := load(`insert into accounts (mail) values ('Old@Example.com')`, `update accounts set mail = 'Changed@Example.com' where id = 1 + floor(random() * 9000)::int`)
	migrate(2)
	stopNew := load(`insert into accounts ("Email address") values ('new@example.com')`, `update accounts set "Email address" = 'changed@example.com' where id = 1 + floor(random() * 9000)::int`,
		`select "Email address" from accounts where id = 5`)
	migrate(3)
	require.Zero(t, pgtest.Value[int64](t, db, `select count(*) from accounts where "Email address" is distinct from lower(mail)`))
	migrate(6)
	stopOld()
	migrate(7)
	stopNew()
	columns := pgtest.Column[string](t, db, `select attname::text || case when attnotnull then ' not null' else '' end from pg_attribute where attrelid = 'accounts'::regclass and attnum > 0 and not attisdropped order by attnum`)
	require.Equal(t, []string{"id not null", "note", "Email address not null"}, columns)
	require.Zero(t, pgtest.Value[int64](t, db, `select count(*) from pg_trigger where tgrelid = 'accounts'::regclass`))
	require.Zero(t, pgtest.Value[int64](t, db, `select count(*) from accounts where "Email address" <> lower("Email address")`))
}
