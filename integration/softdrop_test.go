package integration

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// softly is a history whose last file drops a column softly, in a database where api@r2 runs, which does not need it.
func softly(t *testing.T) (*pgtest.DB, fstest.MapFS, *migrate.Migrator) {
	t.Helper()
	db := pgtest.Database(t)
	files := history(
		"0001_users.sql", "create table users (id bigint primary key, email text not null check (email is not null and email <> ''), name text);",
		"0002_old.sql", "create table old (id bigint primary key);")
	m := migrator(t, db.URL, files, migrate.Options{})
	_, err := m.Migrate(t.Context())
	require.NoError(t, err)
	require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r2", "insert into users (id, name) values ($1, $2)", "select name from users")))
	require.NoError(t, m.RecordRelease(t.Context(), "api", "r2", gate.LiveNow, ""))
	files["0003_drop_email.sql"] = &fstest.MapFile{Data: []byte("-- pawl:soft-drop 72h\nalter table users drop column email;")}
	return db, files, m
}

func due(t *testing.T, db *pgtest.DB) {
	t.Helper()
	db.Exec(t, "update pawl.soft_drop set due_at = clock_timestamp() - interval '1 second'")
}

func stateOf(t *testing.T, m *migrate.Migrator) string {
	t.Helper()
	list, err := m.SoftDrops(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 1)
	return list[0].State
}

// What is dropped softly is out of the code's way at once, and gone after its time; then the schema is that of a plain drop.
func TestSoftDrop(t *testing.T) {
	t.Parallel()
	db, files, m := softly(t)
	r, err := m.Migrate(t.Context())
	require.NoError(t, err)
	require.Len(t, r.Aside, 1)
	require.Empty(t, r.Applied)
	require.False(t, hasEmail(t, db))
	require.Equal(t, "aside", stateOf(t, m))
	db.Exec(t, "insert into users (id, name) values (1, 'x')")
	status, err := m.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, "aside", status.Files[2].State)
	require.Contains(t, status.Files[2].Entry.Findings()[0].Message, "set aside as public.users.pawl_aside_3_email")

	// Nothing stands behind it, and it stays until its time.
	files["0004_phone.sql"] = &fstest.MapFile{Data: []byte("alter table users add column phone text;")}
	r, err = m.Migrate(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"0004_phone.sql"}, names(r.Applied))
	require.Empty(t, r.Held)
	require.Equal(t, "aside", stateOf(t, m))
	p, _, err := m.Plan(t.Context())
	require.NoError(t, err)
	require.Zero(t, p.Pending())

	due(t, db)
	r, err = m.Migrate(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"0003_drop_email.sql"}, names(r.Applied))
	require.Equal(t, "dropped", stateOf(t, m))
	require.Equal(t, "applied", pgtest.Value[string](t, db, "select state from pawl.migration where version = '3'"))
	require.Equal(t, int64(2), pgtest.Value[int64](t, db, "select count(*) from pawl.decision where version = '3' and allowed"))
	r, err = m.Migrate(t.Context())
	require.NoError(t, err)
	require.Empty(t, r.Applied)

	other := pgtest.Database(t)
	plain := fstest.MapFS{}
	for name, f := range files {
		plain[name] = f
	}
	plain["0003_drop_email.sql"] = &fstest.MapFile{Data: []byte("alter table users drop column email;")}
	up(t, other.URL, plain, migrate.Options{})
	require.Equal(t, pgtest.Dump(t, other), pgtest.Dump(t, db))

	// On an empty database there is nobody to wait for.
	empty := pgtest.Database(t)
	require.Len(t, up(t, empty.URL, files, migrate.Options{}).Applied, 4)
}

// A release that comes back and needs what is set aside gets it back, and is let in.
func TestSoftDropAndRevert(t *testing.T) {
	t.Parallel()
	db, files, m := softly(t)
	_, err := m.Migrate(t.Context())
	require.NoError(t, err)
	before := history("0001_users.sql", string(files["0001_users.sql"].Data), "0002_old.sql", string(files["0002_old.sql"].Data))
	var back []migrate.BroughtBack
	revert := migrate.Options{
		Manifests: []*evidence.Manifest{manifest("api", "r1", "select email from users")},
		OnEvent: func(e migrate.Event) {
			if b, ok := e.(migrate.BroughtBack); ok {
				back = append(back, b)
			}
		},
	}
	_, err = migrator(t, db.URL, before, revert).Migrate(t.Context())
	require.NoError(t, err)
	require.Len(t, back, 1)
	require.Contains(t, back[0].SoftDrop.Reason, `api@r1 needs it at store.go:10: column "email" does not exist`)
	require.True(t, hasEmail(t, db))
	db.Exec(t, "insert into users (id, email) values (2, 'kept')")
	_, err = db.Conn(t).Exec(t.Context(), "insert into users (id) values (3)")
	require.ErrorContains(t, err, "violates check constraint", "what was promised of the column binds new rows again")

	// It is held until somebody says otherwise, and then by the gate.
	r, err := m.Migrate(t.Context())
	require.NoError(t, err)
	require.Len(t, r.Held, 1)
	require.Contains(t, r.Held[0].Decision.Findings[0].Message, "was brought back")
	require.NoError(t, m.AgainSoftDrop(t.Context(), "3", "r1 is gone"))
	r, err = m.Migrate(t.Context())
	require.NoError(t, err)
	require.Len(t, r.Held, 1)
	require.Equal(t, "r1", r.Held[0].Decision.Findings[0].Release)
	require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.Retired, "gone"))
	r, err = m.Migrate(t.Context())
	require.NoError(t, err)
	require.Len(t, r.Aside, 1)

	// By hand.
	require.NoError(t, m.UndoSoftDrop(t.Context(), "3", "the report fails", "alice"))
	require.True(t, hasEmail(t, db))
	r, err = m.Migrate(t.Context())
	require.NoError(t, err)
	require.Contains(t, r.Held[0].Decision.Findings[0].Message, "brought back by alice: the report fails")
	var refused *migrate.RefusedError
	require.ErrorAs(t, m.UndoSoftDrop(t.Context(), "3", "again", "alice"), &refused)
}

// A table that is reached under its other name comes back; a drop that PostgreSQL refuses is refused before the waiting;
// what is unknown when the time is over waits on.
func TestSoftDropOfATable(t *testing.T) {
	t.Parallel()
	db, files, m := softly(t)
	delete(files, "0003_drop_email.sql")
	files["0003_drop_old.sql"] = &fstest.MapFile{Data: []byte("-- pawl:soft-drop 3d\ndrop table old;")}
	db.Exec(t, "create view over_old as select id from old")
	_, err := m.Migrate(t.Context())
	var statement *migrate.StatementError
	require.ErrorAs(t, err, &statement)
	require.ErrorContains(t, err, "other objects depend on it")
	require.True(t, pgtest.Value[bool](t, db, "select to_regclass('old') is not null"))
	db.Exec(t, "drop view over_old")
	r, err := m.Migrate(t.Context())
	require.NoError(t, err)
	require.Len(t, r.Aside, 1)
	require.True(t, pgtest.Value[bool](t, db, "select to_regclass('old') is null and to_regclass('pawl_aside_3_old') is not null"))

	partial := manifest("api", "r2", "select name from users")
	partial.Status, partial.Reasons = "partial", []string{"main.go:7"}
	require.NoError(t, m.RegisterRelease(t.Context(), partial))
	due(t, db)
	r, err = m.Migrate(t.Context())
	require.NoError(t, err)
	require.Empty(t, r.Applied)
	require.Equal(t, "aside", stateOf(t, m), "it is not dropped while something is unknown")

	db.Exec(t, "insert into pawl_aside_3_old values (1)")
	require.Eventually(t, func() bool {
		return pgtest.Value[int64](t, db, "select n_tup_ins from pg_stat_user_tables where relname = 'pawl_aside_3_old'") > 0
	}, 20*time.Second, 20*time.Millisecond)
	_, err = m.Migrate(t.Context())
	require.NoError(t, err)
	require.Equal(t, "restored", stateOf(t, m))
	require.True(t, pgtest.Value[bool](t, db, "select exists (select from old)"))

	files["0004_wrong.sql"] = &fstest.MapFile{Data: []byte("-- pawl:soft-drop 3d\nalter table users drop column name, add column x int;")}
	_, _, err = m.Plan(t.Context())
	require.ErrorContains(t, err, "goes with DROP COLUMN and DROP TABLE alone")
}
