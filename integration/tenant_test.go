package integration

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

// A tenant's schema may be called what PostgreSQL allows, unless its ledger could then be another's.
func TestNamesOfTenants(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	files := history("0001_t.sql", "create table t (id int);", "0002_i.sql", "create index concurrently i on t (id);")
	for _, name := range []string{`o'brien`, `a\b"c`, "a b", "Größe", "a$b", strings.Repeat("s", 58), "public"} {
		r := up(t, db.URL, files, migrate.Options{Schema: name})
		require.Len(t, r.Applied, 2, name)
		require.Empty(t, up(t, db.URL, files, migrate.Options{Schema: name}).Applied, name)
		where := "select count(*) from pg_indexes where indexname = 'i' and schemaname = $tag$" + name + "$tag$"
		require.Equal(t, int64(1), pgtest.Value[int64](t, db, where), name)
	}
	for _, name := range []string{strings.Repeat("s", 59), strings.Repeat("ß", 31), "pg_x", "information_schema", "pawl", "pawl_a", "$user", "a$$b", "a\nb"} {
		_, err := migrator(t, db.URL, files, migrate.Options{Schema: name}).Migrate(t.Context())
		var config *migrate.ConfigError
		require.ErrorAs(t, err, &config, name)
		require.Contains(t, err.Error(), "cannot be a tenant's")
	}
}

// A role that may make no schemas migrates where somebody has made them for it; what to run for that is in the message.
func TestRoleThatMayNotMakeSchemas(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"", "acme"} {
		db := pgtest.Database(t)
		role := "poor_" + db.Name
		db.Exec(t, fmt.Sprintf("create role %s login; grant all on schema public to %[1]s", role))
		as, err := url.Parse(db.URL)
		require.NoError(t, err)
		as.User = url.User(role)
		files := history("0001_t.sql", "create table t (id int);", "0002_i.sql", "create index concurrently i on t (id);")
		_, err = migrator(t, as.String(), files, migrate.Options{Schema: schema}).Migrate(t.Context())
		var config *migrate.ConfigError
		require.ErrorAs(t, err, &config)
		_, remedy, ok := strings.Cut(config.Hint, "no more than ")
		require.True(t, ok, config.Hint)
		_, remedy, _ = strings.Cut(remedy, ": ")
		db.Exec(t, remedy)
		require.Len(t, up(t, as.String(), files, migrate.Options{Schema: schema}).Applied, 2)
		require.Empty(t, up(t, as.String(), files, migrate.Options{Schema: schema}).Applied)
	}
}
