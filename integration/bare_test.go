package integration

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/gate"
)

const revokes = "REVOKE ALL ON SCHEMA public FROM postgres;\nREVOKE ALL ON SCHEMA public FROM PUBLIC;\nGRANT ALL ON SCHEMA public TO postgres;\n"

// On an empty production database nobody can use a schema in which there is nothing: what pg_dump takes from PUBLIC there is not held.
// Where anything at all was in the schema, or a release is live, or a first run is over, it is.
func TestRevokeOnABareSchema(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		before  string
		files   []string
		live    bool
		applied bool
	}{
		"empty":                   {"", []string{"0001_base.sql", revokes + "create table t (id int);"}, false, true},
		"in a later file":         {"", []string{"0001_t.sql", "create table t (id int);", "0002_rights.sql", revokes}, false, true},
		"a function":              {"create function f() returns int language sql as 'select 1'", []string{"0001_base.sql", revokes}, false, false},
		"an extension's function": {"create extension pg_trgm schema public", []string{"0001_base.sql", revokes}, false, false},
		"a type":                  {"create type mood as enum ('ok')", []string{"0001_base.sql", revokes}, false, false},
		"a live release":          {"", []string{"0001_base.sql", revokes}, true, false},
		"the database itself":     {"", []string{"0001_base.sql", "do $$ begin execute format('revoke connect on database %I from public', current_database()); end $$;"}, false, false},
		"a role":                  {"", []string{"0001_base.sql", "revoke pg_read_all_data from pg_monitor;"}, false, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Database(t)
			if c.before != "" {
				db.Exec(t, c.before)
			}
			files := history(c.files...)
			m := migrator(t, db.URL, files, migrate.Options{})
			if c.live {
				require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r1", "select name from public.users")))
				require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.LiveNow, ""))
			}
			p, _, err := m.Plan(t.Context())
			require.NoError(t, err)
			r, err := m.Migrate(t.Context())
			require.NoError(t, err)
			require.Equal(t, names(p.Steps), names(r.Applied), "plan and run say the same")
			require.Equal(t, c.applied, len(r.Held) == 0)
			if !c.applied {
				return
			}
			// Once the first run is over, the schema is in use.
			files["0009_more.sql"] = history("x", "revoke usage on schema public from public;")["x"]
			require.Len(t, up(t, db.URL, files, migrate.Options{}).Held, 1)
		})
	}
}

// A whole dump with its rights is applied on an empty production database and gives the rights that psql gives.
func TestPgDumpWithRights(t *testing.T) {
	t.Parallel()
	from, to, by := pgtest.Database(t), pgtest.Database(t), pgtest.Database(t)
	from.Exec(t, "create table t (id int); revoke all on schema public from public; grant usage on schema public to public; grant select on t to public")
	out, err := exec.CommandContext(t.Context(), "pg_dump", "--exclude-schema=pawl", from.URL).Output()
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("PAWL_REQUIRE_PG") == "" {
		t.Skip("no pg_dump")
	}
	if err != nil {
		// An older pg_dump refuses a newer server; the text is that of PostgreSQL 14 then.
		out = []byte("REVOKE ALL ON SCHEMA public FROM postgres;\nREVOKE ALL ON SCHEMA public FROM PUBLIC;\nGRANT ALL ON SCHEMA public TO postgres;\nGRANT USAGE ON SCHEMA public TO PUBLIC;\n" +
			"CREATE TABLE public.t (id integer);\nGRANT SELECT ON TABLE public.t TO PUBLIC;\n")
	}
	r := up(t, to.URL, history("0001_dump.sql", string(out)), migrate.Options{})
	require.Empty(t, r.Held)
	psql := exec.CommandContext(t.Context(), "psql", "--set=ON_ERROR_STOP=1", "--quiet", by.URL)
	psql.Stdin = strings.NewReader(string(out))
	said, err := psql.CombinedOutput()
	require.NoError(t, err, string(said))
	for _, rights := range []string{"select nspacl::text from pg_namespace where nspname = 'public'", "select relacl::text from pg_class where oid = 't'::regclass"} {
		require.Equal(t, pgtest.Value[*string](t, by, rights), pgtest.Value[*string](t, to, rights))
	}
}
