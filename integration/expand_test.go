package integration

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// An expand that makes a name in a running release's statement ambiguous is held, by PostgreSQL's own word; one that
// makes a star another list is told and let through; one that is in nobody's way is not talked about.
func TestExpandInTheWay(t *testing.T) {
	t.Parallel()
	db, files := dropsEmail(t)
	delete(files, "0003_drop_email.sql")
	delete(files, "0004_note.sql")
	m := migrator(t, db.URL, files, migrate.Options{Manifests: []*evidence.Manifest{manifest("web", "w0", "select id from users")}})
	release := manifest("api", "r1",
		"select note from users join orders on orders.user_id = users.id", // note is nobody's yet: it fails already
		"select name from users join orders on orders.user_id = users.id",
		"select users.name from users join orders on orders.user_id = users.id",
		"select * from orders where id = $1",
		"insert into orders select 1, 2")
	require.NoError(t, m.RegisterRelease(t.Context(), release))
	require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.LiveNow, ""))

	files["0010_total.sql"] = &fstest.MapFile{Data: []byte("alter table orders add column total int;")}
	files["0011_name.sql"] = &fstest.MapFile{Data: []byte("alter table orders add column name text;")}
	files["0012_other.sql"] = &fstest.MapFile{Data: []byte("create table other (name text); alter table other add column email text;")}
	r, err := m.Migrate(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"0010_total.sql", "0012_other.sql"}, names(r.Applied))
	require.Equal(t, []string{"0011_name.sql"}, heldNames(r.Held))

	total := r.Applied[0].Decision
	require.NotNil(t, total)
	require.Equal(t, gate.Changed, total.Verdict)
	require.Len(t, total.Findings, 1)
	require.Equal(t, `its result has 3 columns instead of 2`, total.Findings[0].Message)
	require.Nil(t, r.Applied[1].Decision, "nobody knows a table of the same run")

	d := r.Held[0].Decision
	require.Equal(t, gate.Broken, d.Verdict)
	f := d.Findings[0]
	require.Equal(t, "42702", f.Code)
	require.Equal(t, release.Statements[1].Text, f.Query)
	require.Equal(t, "orders.name", f.Object.String())
	require.Contains(t, f.Next, "qualify")
	for _, f := range d.Findings[1:] {
		require.Equal(t, gate.Changed, f.Verdict, f.Query)
	}

	// The run of a release that needs the column fails, and acknowledging it lets it in.
	needs := migrate.Options{Manifests: []*evidence.Manifest{manifest("web", "w1", "select orders.name from orders")}}
	_, err = migrator(t, db.URL, files, needs).Migrate(t.Context())
	var blocked *migrate.BlockedError
	require.ErrorAs(t, err, &blocked)
	_, err = m.Acknowledge(t.Context(), gate.Acknowledgement{Object: "orders.name", Consumer: "api", Broken: true, Reason: "that page is off"}, 1e12, "alice")
	require.NoError(t, err)
	r, err = migrator(t, db.URL, files, needs).Migrate(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"0011_name.sql"}, names(r.Applied))
	require.Equal(t, "that page is off", pgtest.Value[string](t, db, `select findings -> 0 -> 'acknowledged' ->> 'reason' from pawl.decision where version = '11' and allowed`))

	// What somebody assumes is not judged by what it might take.
	files["0013_assumed.sql"] = &fstest.MapFile{Data: []byte("-- pawl:assume expand: it only counts\ndo $$ begin execute 'select 1'; end $$;")}
	r, err = m.Migrate(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"0013_assumed.sql"}, names(r.Applied))
}

// Where nothing is added to a table that is in use, the registry is not even read.
func TestPlainExpandsAreCheap(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	files := history("0001_users.sql", "create table users (id bigint primary key);")
	m := migrator(t, db.URL, files, migrate.Options{})
	_, err := m.Migrate(t.Context())
	require.NoError(t, err)
	// A registry that cannot be read would fail the run.
	db.Exec(t, "alter table pawl.release_query rename to out_of_reach")
	files["0002_more.sql"] = &fstest.MapFile{Data: []byte("create table more (id bigint); create index on more (id); comment on table users is 'x';")}
	_, err = m.Migrate(t.Context())
	require.NoError(t, err)
	files["0003_add.sql"] = &fstest.MapFile{Data: []byte("alter table users add column name text;")}
	_, err = m.Migrate(t.Context())
	require.Error(t, err)
}
