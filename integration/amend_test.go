package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

// A file of steps that was refused in its middle is corrected there, and goes on behind what is done. What is done may not change any
// more, and nothing is done twice.
func TestCorrectedInTheMiddle(t *testing.T) {
	t.Parallel()
	const head, wrong = "create table a (id int);\ncreate index concurrently a_id on a (id);\n", "create index concurrently a_x on a (nope);\nalter table a add column y int;"
	refused := func(t *testing.T, text string) *pgtest.DB {
		t.Helper()
		db := pgtest.Database(t)
		_, err := migrator(t, db.URL, history("0001_a.sql", text), migrate.Options{}).Migrate(t.Context())
		var statement *migrate.StatementError
		require.ErrorAs(t, err, &statement)
		require.True(t, statement.Alone)
		return db
	}
	for what, corrected := range map[string]string{
		"the statement":             head + "create index concurrently a_x on a (id);\nalter table a add column y int;",
		"with blanks and comments":  "\n-- why\n" + head + "-- because\ncreate index concurrently a_x  on a (id);\nalter table a add column y int;\n",
		"more and other statements": head + "alter table a add column x int;\ncreate index concurrently a_x on a (x);\nalter table a add column y int;",
		"nothing is left to do":     "create table a (id int);\ncreate index concurrently a_id on a (id);",
		"no more outside of one":    head + "alter table a add column y int;",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			db := refused(t, head+wrong)
			files := history("0001_a.sql", corrected)
			plan, _, err := migrator(t, db.URL, files, migrate.Options{}).Plan(t.Context())
			require.NoError(t, err)
			require.Len(t, plan.Steps, 1)
			require.NotEmpty(t, plan.Steps[0].Amends)
			require.Len(t, up(t, db.URL, files, migrate.Options{}).Applied, 1)
			require.Empty(t, up(t, db.URL, files, migrate.Options{}).Applied)
			whole := pgtest.Database(t)
			up(t, whole.URL, files, migrate.Options{})
			require.Equal(t, pgtest.Dump(t, whole), pgtest.Dump(t, db))
			require.Equal(t, int64(1), pgtest.Value[int64](t, db, "select count(*) from pawl.event where kind = 'amended' and detail ->> 'was' <> detail ->> 'checksum'"))
			require.Equal(t, migrate.Checksum([]byte(head+wrong)), pgtest.Value[string](t, db, "select detail ->> 'checksum' from pawl.event where kind = 'failed'"), "the log has the sum of the text that failed")
		})
	}
	for what, changed := range map[string]string{
		"a statement that is done": "create table a (id int, x int);\ncreate index concurrently a_id on a (id);\nalter table a add column y int;",
		"one of them is gone":      "create table a (id int);",
		"their order":              "create index concurrently a_id on a (id);\ncreate table a (id int);\n" + wrong,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			_, err := migrator(t, refused(t, head+wrong).URL, history("0001_a.sql", changed), migrate.Options{}).Migrate(t.Context())
			var integrity *migrate.IntegrityError
			require.ErrorAs(t, err, &integrity)
			require.Contains(t, err.Error(), "the first 2 statements of version 0001 are done")
			require.Contains(t, integrity.Hint, "may be corrected")
		})
	}
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		db := refused(t, head+wrong)
		_, err := migrator(t, db.URL, history("0001_a.sql", head+"alter table a add column y int;\n"+wrong), migrate.Options{}).Migrate(t.Context())
		require.ErrorContains(t, err, "nope")
		files := history("0001_a.sql", head+"alter table a add column y int;\ncreate index concurrently a_y on a (y);")
		up(t, db.URL, files, migrate.Options{})
		whole := pgtest.Database(t)
		up(t, whole.URL, files, migrate.Options{})
		require.Equal(t, pgtest.Dump(t, whole), pgtest.Dump(t, db))
	})
	t.Run("the first statement", func(t *testing.T) {
		t.Parallel()
		db := pgtest.Database(t)
		_, err := migrator(t, db.URL, history("0001_b.sql", "create table b (id int);", "0002_a.sql", "create index concurrently b_x on b (nope);\nalter table b add column x int;"), migrate.Options{}).Migrate(t.Context())
		require.ErrorContains(t, err, "nope")
		require.Len(t, up(t, db.URL, history("0001_b.sql", "create table b (id int);", "0002_a.sql", "create index concurrently b_x on b (id);\nalter table b add column x int;"), migrate.Options{}).Applied, 1)
	})
	t.Run("what it set for its session", func(t *testing.T) {
		t.Parallel()
		const set = "create schema shop;\nset search_path to shop;\ncreate table a (id int);\n"
		db := refused(t, set+wrong)
		up(t, db.URL, history("0001_a.sql", set+"create index concurrently a_x on a (id);\ncreate table b (id int);"), migrate.Options{})
		require.Equal(t, int64(2), pgtest.Value[int64](t, db, "select count(*) from pg_tables where schemaname = 'shop'"))
	})
}
