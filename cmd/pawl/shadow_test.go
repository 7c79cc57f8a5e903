package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/phases"
)

// asked is what the gate says of one change and one old statement, with and without a shadow.
func asked(t *testing.T, url, setup, change, old string) (static, shadow string, report string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text+"\n"), 0o600))
	}
	write("migrations/0001_setup.sql", setup)
	write("migrations/0002_it.sql", change)
	write("q/old.sql", old)
	refs := filepath.Join(dir, "refs.json")
	var out, log bytes.Buffer
	build := []string{"refs", "build", "--sql", filepath.Join(dir, "q/*.sql"), "--consumer", "app", "--release", "r1", "-o", refs}
	require.Zero(t, run(t.Context(), build, &out, &log), "%s", log.String())
	judge := func(more ...string) string {
		out.Reset()
		log.Reset()
		args := append([]string{"gate", "--dir", filepath.Join(dir, "migrations"), "--after", "0001", "--refs", refs, "--format", "json"}, more...)
		code := run(t.Context(), args, &out, &log)
		var got struct {
			Migrations []struct {
				Allowed bool   `json:"allowed"`
				Verdict string `json:"verdict"`
			} `json:"migrations"`
		}
		require.NoError(t, json.Unmarshal(out.Bytes(), &got), "exit %d: %s", code, log.String())
		require.Len(t, got.Migrations, 1)
		report += out.String()
		m := got.Migrations[0]
		if m.Allowed && m.Verdict != "possible" {
			return "allowed"
		}
		return m.Verdict
	}
	return judge(), judge("--shadow", url), report
}

// Every contract of the registry that breaks an old statement is held, whether a PostgreSQL is asked or not: it may not
// say that all is well where only executing the statement shows what is wrong.
func TestGateHoldsEveryKind(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	for _, d := range phases.Descriptors() {
		if d.Breaks == "" || d.Manual != "" || d.Since > db.Server.Major {
			continue
		}
		t.Run(string(d.Kind), func(t *testing.T) {
			t.Parallel()
			static, shadow, report := asked(t, db.URL, phases.Fixture+d.Setup, d.Example+";", d.Breaks)
			require.NotEqual(t, "allowed", static, report)
			require.NotEqual(t, "allowed", shadow, report)
		})
	}
}

// What a shadow settles, and what it cannot see.
func TestGateOnAShadow(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	const filled = `create table au (id int primary key, b int not null);
create function f() returns trigger language plpgsql as $$ begin new.b := 1; return new; end $$;
create trigger tr before insert on au for each row execute function f();`
	const parted = `create table ev (id bigint, day date) partition by range (day);
create table ev_a partition of ev for values from ('2024-01-01') to ('2025-01-01');`
	const shifting = "create table src (a int, b text, c text); create table dst (a int, b text, c text, d text);"
	const followed = "do $$ begin execute (select string_agg(relname, '') || '; select 1' from pg_class where false or relname = 'none'); exception when others then null; end $$;\ncreate table au (id int primary key, b int not null);\n" +
		"create function f() returns trigger language plpgsql as $$ begin return null; end $$;\n"
	for _, c := range []struct{ name, setup, change, old, static, shadow string }{
		{"a trigger that ran afterwards", followed + "create trigger tr after insert on au for each row execute function f();", "drop trigger tr on au;", "insert into au values ($1, $2)", "allowed", "allowed"},
		{"one that ran before", followed + "create trigger tr before insert on au for each row execute function f();", "drop trigger tr on au;", "insert into au values ($1, $2)", "broken", "allowed"},
		{"a trigger's function fills no more", filled, "create or replace function f() returns trigger language plpgsql as $$ begin return new; end $$;", "insert into au (id) values ($1)", "broken", "broken"},
		{"it fills as before", filled, "create or replace function f() returns trigger language plpgsql as $$ begin new.b := 2; return new; end $$;", "insert into au (id) values ($1)", "allowed", "allowed"},
		{"a partition goes", parted, "drop table ev_a;", "insert into ev values ($1, $2)", "possible", "possible"},
		{"a partition is detached", parted, "alter table ev detach partition ev_a;", "insert into ev values ($1, $2)", "broken", "broken"},
		{"readers of one that is detached", parted, "alter table ev detach partition ev_a;", "select id from ev where day = $1", "possible", "possible"},
		{"a sequence named by a parameter", "create sequence sq;", "drop sequence sq;", "select nextval($1)", "unknown", "unknown"},
		{"a sequence that another is not", "create sequence sq; create sequence s2;", "drop sequence sq;", "select nextval('s2')", "allowed", "allowed"},
		{"a temporary table in the way", "create table t (a int);", "create temp table t (x int);", "select a from t", "allowed", "allowed"},
		{"an operator", "create operator === (leftarg = int, rightarg = int, function = int4eq);", "drop operator === (int, int);", "select 1 = 1", "allowed", "allowed"},
		{"values move to other columns", shifting, "alter table src drop column b;", "insert into dst select * from src", "broken", "broken"},
		{"by way of WITH", shifting, "alter table src drop column b;", "with x as (select y.* from src y) insert into dst select x.* from x", "broken", "broken"},
		{"by way of a view", shifting + " create view v as select * from src;", "drop view v; alter table src drop column b; create view v as select * from src;", "insert into dst select * from v", "broken", "broken"},
		{"values of a row move", shifting, "alter table src drop column b;", "insert into src values ($1, $2)", "broken", "broken"},
		{"the last column", shifting, "alter table src drop column c;", "insert into src values ($1, $2)", "broken", "allowed"},
		{"a star that is only read", shifting, "alter table src drop column b;", "select d.a from dst d where exists (select * from src s where s.a = d.a)", "broken", "allowed"},
		{"rows locked through a view that groups", shifting, "alter table src rename to src2; create view src as select a, max(b) b, max(c) c from src2 group by a;", "select b from src where a = $1 for no  key update", "broken", "broken"},
		{"rows locked through a simple view", shifting, "alter table src rename to src2; create view src as select a, b, c from src2 where a > 0;", "select b from src where a = $1 for update", "allowed", "allowed"},
		{"a rule that does nothing instead", shifting, "create rule r as on insert to src do instead nothing;", "insert into src values ($1, $2, $3)", "broken", "broken"},
		{"a cast that PostgreSQL makes unasked", "create type ca as (x int); create function fc(ca) returns text language sql as 'select $1.x::text'; create cast (ca as text) with function fc(ca);", "drop cast (ca as text);", "select 1", "broken", "allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			static, shadow, report := asked(t, db.URL, c.setup, c.change, c.old)
			require.Equal(t, [2]string{c.static, c.shadow}, [2]string{static, shadow}, report)
		})
	}
}
