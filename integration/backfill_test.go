package integration

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

// aTable makes a table of n rows whose old column is to move to the new one; counter counts how often a row was moved.
func aTable(n int) []string {
	return []string{
		"0001_t.sql", "create table t (id bigint generated always as identity primary key, old text not null, counter int not null default 0);",
		"0002_rows.sql", fmt.Sprintf("insert into t (old) select 'value ' || g from generate_series(1, %d) g;", n),
		"0003_new.sql", "alter table t add column new text;",
	}
}

const moveT = "-- pawl:backfill table=t\nupdate t set new = upper(old), counter = counter + 1 where new is distinct from upper(old);\n"

// queued migrates and leaves the backfill of version 4 in the queue.
func queued(t testing.TB, n int, statement string) (*pgtest.DB, fstest.MapFS) {
	t.Helper()
	db := pgtest.Database(t)
	up(t, db.URL, history(aTable(n)...), migrate.Options{})
	files := history(append(aTable(n), "0004_move.sql", statement)...)
	up(t, db.URL, files, migrate.Options{})
	return db, files
}

// drain works on the queue until it is done.
func drain(t testing.TB, db *pgtest.DB, files fstest.MapFS, o migrate.BackfillRun) []*migrate.BackfillStatus {
	t.Helper()
	list, err := migrator(t, db.URL, files, migrate.Options{}).RunBackfills(t.Context(), o)
	require.NoError(t, err)
	return list
}

func statusOf(t testing.TB, db *pgtest.DB, version migrate.Version) *migrate.BackfillStatus {
	t.Helper()
	list, err := migrator(t, db.URL, history(aTable(0)...), migrate.Options{}).Backfills(t.Context())
	require.NoError(t, err)
	for _, b := range list {
		if b.Version == version {
			return b
		}
	}
	t.Fatalf("no backfill %s", version)
	return nil
}

// moved asserts that each row was changed exactly once.
func moved(t testing.TB, db *pgtest.DB) {
	t.Helper()
	require.Zero(t, pgtest.Value[int64](t, db, `select count(*) from t where new is distinct from upper(old)`))
	require.Equal(t, []int32{1}, pgtest.Column[int32](t, db, `select distinct counter from t`))
}

// migrate queues a backfill and holds the contract behind it; once the queue is drained the contract goes through.
func TestBackfillIsQueued(t *testing.T) {
	t.Parallel()
	pgtest.EachMajor(t, func(t *testing.T, major int) {
		db := pgtest.DatabaseOf(t, major)
		up(t, db.URL, history(aTable(5000)...), migrate.Options{})
		files := history(append(aTable(5000), "0004_move.sql", moveT, "0005_drop.sql", "alter table t drop column old;", "0006_more.sql", "create table more (id int);")...)
		r := up(t, db.URL, files, migrate.Options{})
		require.Equal(t, []string{"0004_move.sql", "0006_more.sql"}, names(r.Applied))
		require.Equal(t, []string{"0005_drop.sql"}, heldNames(r.Held))
		require.Equal(t, int64(5000), pgtest.Value[int64](t, db, `select count(*) from t where new is null`))
		require.Contains(t, r.Held[0].Decision.Findings[len(r.Held[0].Decision.Findings)-1].Message, "backfill 0004_move.sql still needs")

		list := drain(t, db, files, migrate.BackfillRun{UntilDone: true})
		require.Len(t, list, 1)
		moved(t, db)
		b := statusOf(t, db, "4")
		require.Equal(t, migrate.BackfillDone, b.State)
		require.Equal(t, int64(5000), b.RowsChanged)
		require.Equal(t, 1, b.Pass)
		require.Equal(t, "(id), by index t_pkey", b.GoesBy)
		require.Empty(t, drain(t, db, files, migrate.BackfillRun{}))
	})
}
