package integration

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgproxy"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

// Files that only make what is new share a transaction; where one of them fails, those before it are applied, and the
// error is as it would be alone.
func TestFilesGoTogether(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	proxy, err := pgproxy.Start(db.URL)
	require.NoError(t, err)
	defer proxy.Close()
	files := history(
		"0001_a.sql", "create table a (id int primary key);",
		"0002_b.sql", "begin;\ncreate table b (id int references a);\ncreate index on b (id);\ncommit;",
		"0003_c.sql", "create view c as\nselect missing from a;",
		"0004_d.sql", "create table d (id int);",
		"0005_e.sql", "create table e (at timestamptz default now());\ninsert into e default values;",
		"0006_f.sql", "create table f (id int);",
		"0007_g.sql", "alter table f add column g int;",
	)
	_, err = migrator(t, proxy.URL(), files, migrate.Options{}).Migrate(t.Context())
	var statement *migrate.StatementError
	require.ErrorAs(t, err, &statement)
	require.Equal(t, [2]int{2, 8}, [2]int{statement.At.Line, statement.At.Column})
	require.Equal(t, migrate.Version("3"), statement.Version)
	const applied = `select string_agg(version, ' ' order by version::int) from pawl.migration where state = 'applied'`
	require.Equal(t, "1 2", pgtest.Value[string](t, db, applied))

	files["0003_c.sql"] = &fstest.MapFile{Data: []byte("create view c as select id from a;")}
	var events []string
	r := up(t, proxy.URL(), files, migrate.Options{OnEvent: func(e migrate.Event) {
		switch e := e.(type) {
		case migrate.Started:
			events = append(events, "started "+string(e.Migration.Version))
		case migrate.Applied:
			events = append(events, "applied "+string(e.Migration.Version))
		}
	}})
	require.Len(t, r.Applied, 5)
	require.Equal(t, 7, r.Total)
	require.Equal(t, "1 2 3 4 5 6 7", pgtest.Value[string](t, db, applied))
	require.Equal(t, []string{
		"started 3", "started 4", "applied 3", "applied 4", "started 5", "applied 5", "started 6", "started 7", "applied 6", "applied 7",
	}, events)
	// One transaction wrote both rows.
	require.Equal(t, int64(2), pgtest.Value[int64](t, db, `select count(*) from pawl.migration where xmin::text = (select xmin::text from pawl.migration where version = '3')`))
}
