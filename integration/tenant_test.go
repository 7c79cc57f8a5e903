package integration

import (
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
