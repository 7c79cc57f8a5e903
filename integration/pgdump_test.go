package integration

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

var update = flag.Bool("update-dump", false, "write testdata/bitvault.dump.sql anew, by the pg_dump of the path and a server of PostgreSQL 14")

// odd are rows and objects that are awkward in a dump: what ends a COPY block, tabs, backslashes, NULL beside the empty text.
const odd = `
create table odd (id bigint generated always as identity primary key, t text, b bytea, j jsonb, a text[], doubled bigint generated always as (id * 2) stored);
insert into odd (t, b, j, a) values (E'\\.', '\x00ff', '{"a": "\\."}', '{"x,y", NULL, ""}'), (E'a\tb\\N', null, null, null), (E'two\nlines\r\n', '', '[]', '{}'), ('', null, 'null', null), (null, null, null, null),
	('Grüße, 世界', null, null, null), ('-- pawl:nothing', null, null, null), ('\restrict x', null, null, null), (E'\\\\.', null, null, null);
create table parted (k int, v text) partition by range (k);
create table parted_0 partition of parted for values from (0) to (10);
insert into parted values (1, 'one'), (2, E'\\.');
create function f() returns text language plpgsql as $$
begin
  return '
\.
';
end $$;
create materialized view seen as select count(*) as n from odd;
create unique index seen_n on seen (n);
create view latest as select * from odd order by id desc limit 1;
`

const dumpFile = "testdata/bitvault.dump.sql"

// The whole output of pg_dump, rows and all, is one migration: on an empty database of each version it gives what was dumped.
func TestPgDumpAsBaseline(t *testing.T) {
	t.Parallel()
	origin := func(t *testing.T, major int) *pgtest.DB {
		t.Helper()
		db := pgtest.DatabaseOf(t, major)
		up(t, db.URL, example(t, "9999"), migrate.Options{Environment: migrate.Dev})
		db.Exec(t, odd)
		return db
	}
	if *update {
		db := origin(t, 14)
		out, err := exec.CommandContext(t.Context(), "pg_dump", "--no-owner", "--no-privileges", "--exclude-schema=pawl", db.URL).Output()
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.FromSlash(dumpFile), out, 0o600))
	}
	dump, err := os.ReadFile(filepath.FromSlash(dumpFile))
	require.NoError(t, err)
	require.Contains(t, string(dump), "\n\\restrict ")
	pgtest.EachMajor(t, func(t *testing.T, major int) {
		from, to := origin(t, major), pgtest.DatabaseOf(t, major)
		files := history("0001_baseline.sql", string(dump), "0002_next.sql", "create table next (id int);")
		r := up(t, to.URL, files, migrate.Options{})
		require.Equal(t, []string{"0001_baseline.sql", "0002_next.sql"}, names(r.Applied))
		to.Exec(t, "drop table next")
		require.Equal(t, pgtest.Catalog(t, from, "pawl"), pgtest.Catalog(t, to, "pawl"))
		for _, table := range []string{"odd", "parted", "seen"} {
			rows := "select string_agg(x::text, E'\\n' order by x::text) from " + table + " x"
			require.Equal(t, pgtest.Value[string](t, from, rows), pgtest.Value[string](t, to, rows), table)
		}
		to.Exec(t, "insert into odd (t) values ('sequences go on')")
		require.Equal(t, int64(10), pgtest.Value[int64](t, to, "select max(id) from odd"))
		again := up(t, to.URL, files, migrate.Options{})
		require.Empty(t, again.Applied)
	})
}

// A line of \restrict that belongs to a function's body, to a constant or to a row reaches the server as it is written.
func TestRestrictInABody(t *testing.T) {
	t.Parallel()
	body := "\n\\restrict one\n  text\n\\unrestrict two\n"
	text := "\\restrict abc\n\ncreate function said() returns text language sql as $$ select '" + body + "' $$;\n" +
		"create table kept (t text default '" + body + "');\ncopy kept from stdin;\n\\restrict\n\\.\n\n\\unrestrict abc\n"
	db := pgtest.Database(t)
	up(t, db.URL, history("0001_dump.sql", text), migrate.Options{})
	require.Equal(t, body, pgtest.Value[string](t, db, "select said()"))
	db.Exec(t, "insert into kept default values")
	require.Equal(t, []string{body, "\restrict"}, pgtest.Column[string](t, db, "select t from kept order by ctid desc"))
}
