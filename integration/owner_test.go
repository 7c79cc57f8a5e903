package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

// A dump says who owns what it makes and who may use it: on an empty database in production that takes nothing from anybody.
func TestBaselineWithOwnersAndGrants(t *testing.T) {
	t.Parallel()
	pgtest.EachMajor(t, func(t *testing.T, major int) {
		db := pgtest.DatabaseOf(t, major)
		r := up(t, db.URL, history("0001_baseline.sql", `
ALTER SCHEMA public OWNER TO CURRENT_USER;
CREATE TYPE public.mood AS ENUM ('ok');
ALTER TYPE public.mood OWNER TO CURRENT_USER;
CREATE FUNCTION public.f(a integer, m public.mood, OUT b text, VARIADIC c text[]) RETURNS text LANGUAGE sql AS 'select a::text';
ALTER FUNCTION public.f(a integer, m public.mood, OUT b text, VARIADIC c text[]) OWNER TO CURRENT_USER;
CREATE PROCEDURE public.p(INOUT a integer) LANGUAGE sql SECURITY DEFINER AS 'select 1';
ALTER PROCEDURE public.p(INOUT a integer) OWNER TO CURRENT_USER;
ALTER PROCEDURE public.p(INOUT a integer) SECURITY INVOKER;
ALTER PROCEDURE public.p(INOUT a integer) SET search_path TO 'pg_catalog';
CREATE AGGREGATE public.ag(integer) (SFUNC = int4pl, STYPE = integer);
ALTER AGGREGATE public.ag(integer) OWNER TO CURRENT_USER;
CREATE TABLE public.t (id integer);
ALTER TABLE public.t OWNER TO CURRENT_USER;
REVOKE USAGE ON SCHEMA public FROM PUBLIC;
GRANT ALL ON SCHEMA public TO PUBLIC;
REVOKE ALL ON FUNCTION public.f(a integer, m public.mood, OUT b text, VARIADIC c text[]) FROM PUBLIC;
REVOKE ALL ON PROCEDURE public.p(INOUT a integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION public.ag(integer) FROM PUBLIC;
REVOKE ALL ON TABLE public.t FROM PUBLIC;
`), migrate.Options{})
		require.Len(t, r.Applied, 1)
	})
}

// Dropping what cannot be there takes nothing either: first files, and dumps with --clean, begin so.
func TestBaselineThatCleans(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	files := history("0001_baseline.sql", `
drop policy if exists p on public.t;
alter table if exists only public.t drop constraint if exists t_pkey;
drop trigger if exists tr on public.t;
alter table if exists public.t alter column id drop default;
drop view if exists public.v;
drop table if exists t, public.u;
drop function if exists public.f(integer);
drop type if exists public.mood;
drop schema if exists app;
create table t (id int primary key);
`)
	require.Len(t, up(t, db.URL, files, migrate.Options{}).Applied, 1)
	files["0002_again.sql"] = history("x", "drop table if exists t;")["x"]
	require.Len(t, up(t, db.URL, files, migrate.Options{}).Held, 1)
}

// What is there already is a contract, as before.
func TestOwnersOfWhatIsThere(t *testing.T) {
	t.Parallel()
	for _, statement := range []string{
		"alter function f() owner to current_user", "alter routine f() owner to current_user", "revoke all on function f() from public",
		"alter function f() security invoker", "alter function f() set search_path to pg_catalog",
	} {
		db := pgtest.Database(t)
		files := history("0001_f.sql", "create function f() returns int language sql security definer as 'select 1';")
		up(t, db.URL, files, migrate.Options{})
		files["0002_it.sql"] = history("x", statement)["x"]
		require.Len(t, up(t, db.URL, files, migrate.Options{}).Held, 1, statement)
	}
}
