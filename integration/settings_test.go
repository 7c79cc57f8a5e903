package integration

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/gate"
)

// Whatever a database or a role has for its sessions, the runner's are its own.
func TestSettingsOfTheDatabase(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	before := db.Conn(t) // the settings are for sessions that begin later
	for name, value := range map[string]string{
		"default_transaction_isolation": "serializable", "statement_timeout": "100ms", "lock_timeout": "1ms", "idle_in_transaction_session_timeout": "50ms",
		"idle_session_timeout": "100ms", "transaction_timeout": "150ms", "standard_conforming_strings": "off", "search_path": "", "datestyle": "German",
		"intervalstyle": "iso_8601", "timezone": "Asia/Kathmandu", "bytea_output": "escape", "client_min_messages": "debug1", "transform_null_equals": "on",
		"enable_seqscan": "off", "array_nulls": "off", "escape_string_warning": "off", "xmloption": "document", "default_statistics_target": "1",
	} {
		if name == "transaction_timeout" && db.Server.Major < 17 {
			continue
		}
		_, err := before.Exec(t.Context(), fmt.Sprintf("alter database %s set %s = '%s'", db.Name, name, value))
		require.NoError(t, err)
	}
	files := history("0001_a.sql", `create table public.a (id int primary key, t text not null default 'x\y');`,
		"0002_b.sql", "create index concurrently a_t on public.a (t);",
		"0003_c.sql", "do $$ begin perform pg_sleep(0.4); end $$;\ninsert into public.a (id) select generate_series(1, 1000);",
		"0004_d.sql", "alter table public.a add constraint short check (length(t) < 100) not valid;", "0005_e.sql", "alter table public.a validate constraint short;")
	r := up(t, db.URL, files, migrate.Options{OnEvent: func(e migrate.Event) {
		if _, ok := e.(migrate.Applied); ok {
			<-time.After(200 * time.Millisecond) // longer than a session may be idle
		}
	}})
	require.Len(t, r.Applied, 5)
	var text string
	require.NoError(t, before.QueryRow(t.Context(), "select t from public.a where id = 1").Scan(&text))
	require.Equal(t, `x\y`, text)
	s, err := migrator(t, db.URL, files, migrate.Options{}).Status(t.Context())
	require.NoError(t, err)
	require.Len(t, s.Files, 5)
}

// A database that takes no writes by default is frozen, and says so; it is no standby.
func TestReadOnlyByDefault(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	db.Exec(t, fmt.Sprintf("alter database %s set default_transaction_read_only = on", db.Name))
	files := history("0001_a.sql", "create table a (id int);")
	_, err := migrator(t, db.URL, files, migrate.Options{}).Migrate(t.Context())
	var config *migrate.ConfigError
	require.ErrorAs(t, err, &config)
	require.Contains(t, err.Error(), "default_transaction_read_only is on (set by: database)")
	require.NotContains(t, err.Error(), "standby")
	require.Contains(t, config.Hint, "default_transaction_read_only=off")
	_, err = migrator(t, db.URL, files, migrate.Options{}).Status(t.Context())
	require.NoError(t, err, "looking needs no writes")
	require.Len(t, up(t, db.URL+"&default_transaction_read_only=off", files, migrate.Options{}).Applied, 1)
}

// What is recorded while a contract waits for its lock is seen under it, also where transactions have one snapshot.
func TestIsolationHidesNothingFromTheGate(t *testing.T) {
	t.Parallel()
	const drop = "alter table users drop column email;"
	t.Run("by default", func(t *testing.T) {
		t.Parallel()
		db := pgtest.Database(t)
		db.Exec(t, fmt.Sprintf("alter database %s set default_transaction_isolation = 'repeatable read'", db.Name))
		heldForWhatComesBack(t, db, drop)
	})
	for what, file := range map[string]string{
		"by the file":           "set transaction isolation level repeatable read;\n" + drop,
		"in a block of its own": "begin isolation level serializable;\n" + drop + "\ncommit;",
		"for the session":       "set default_transaction_isolation = 'repeatable read';\n" + drop,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			heldForWhatComesBack(t, pgtest.Database(t), file)
		})
	}
}

// heldForWhatComesBack has a release come back, which needs what the file drops, while the drop waits for its lock.
func heldForWhatComesBack(t *testing.T, db *pgtest.DB, drop string) {
	t.Helper()
	files := history("0001_users.sql", "create table users (id bigint primary key, email text, name text);")
	up(t, db.URL, files, migrate.Options{})
	m := migrator(t, db.URL, files, migrate.Options{})
	require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r1", "select name from users")))
	require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.LiveNow, ""))
	files["0002_drop.sql"] = history("x", drop)["x"]

	reader, other := db.Conn(t), db.Conn(t)
	_, err := reader.Exec(t.Context(), "begin; select name from users")
	require.NoError(t, err)
	var rival sync.WaitGroup
	rival.Go(func() {
		deadline := time.Now().Add(10 * time.Second)
		for waiting := false; !waiting && time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
			if err := other.QueryRow(context.Background(), "select exists (select from pg_locks where relation = 'users'::regclass and not granted)").Scan(&waiting); err != nil {
				t.Errorf("look for the lock: %v", err)
				return
			}
		}
		if err := errors.Join(m.RegisterRelease(context.Background(), manifest("api", "r0", "select email from users")), m.RecordRelease(context.Background(), "api", "r0", gate.LiveNow, "")); err != nil {
			t.Errorf("bring the old release back: %v", err)
		}
		if _, err := reader.Exec(context.Background(), "commit"); err != nil {
			t.Errorf("commit: %v", err)
		}
	})
	r, err := migrator(t, db.URL, files, migrate.Options{}).Migrate(t.Context())
	rival.Wait()
	if asks := (*migrate.FileError)(nil); errors.As(err, &asks) {
		require.ErrorContains(t, err, "repeatable read transaction")
	} else {
		require.NoError(t, err)
		require.Len(t, r.Held, 1, "the release that came back needs the column")
	}
	require.Equal(t, int64(1), pgtest.Value[int64](t, db, "select count(*) from pg_attribute where attrelid = 'users'::regclass and attname = 'email'"))
}

// What a file makes for its session alone is gone before the next file, as it is when that runs on another day.
func TestNothingOfASessionIsLeft(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	files := history("0001_a.sql", "create temp table work (id int);\nset search_path to pg_temp, public;\nset default_transaction_isolation = 'serializable';",
		"0002_b.sql", "create temp table work (name text);\nprepare p as select 1;\nlisten news;\ndeclare c cursor with hold for select 1;",
		"0003_c.sql", "do $$ begin execute 'create temporary table hidden (id int)'; end $$;",
		"0004_d.sql", `do $$ begin
  if exists (select from pg_class where relpersistence = 't' and pg_table_is_visible(oid)) then raise 'a temporary table is left'; end if;
  if exists (select from pg_prepared_statements) or exists (select from pg_cursors where is_holdable) or exists (select pg_listening_channels()) then raise 'something prepared is left'; end if;
  if current_setting('default_transaction_isolation') <> 'read committed' or current_setting('search_path') like 'pg_temp%' then raise 'a setting is left'; end if;
end $$;`)
	require.Len(t, up(t, db.URL, files, migrate.Options{}).Applied, 4)
}

// The search path is the one that the connection has, however its names are written.
func TestSearchPathOfTheConnection(t *testing.T) {
	t.Parallel()
	schemas := []string{"order", `Or"d,er`, "mixed", "'a'", "Q"}
	for path, want := range map[string]string{
		`order, public`: "{order,public}", `"Or""d,er", public`: `{"Or\"d,er",public}`, `"$user", Mixed ,"Q"`: "{mixed,Q}", `'a'`: "{'a'}", `"", public`: "{public}", `$user`: "{}",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Database(t)
			for _, schema := range schemas {
				db.Exec(t, "create schema "+pgx.Identifier{schema}.Sanitize())
			}
			at := db.URL + "&search_path=" + url.PathEscape(path)
			plain, err := pgx.Connect(t.Context(), at)
			require.NoError(t, err)
			defer plain.Close(context.WithoutCancel(t.Context()))
			const seen = "select current_schemas(false)::text"
			var of string
			require.NoError(t, plain.QueryRow(t.Context(), seen).Scan(&of))
			require.Equal(t, want, of)
			files := history("0001_a.sql", "create table public.a as "+seen+" as seen;", "0002_b.sql", "create index concurrently a_i on public.a (seen);\ninsert into public.a "+seen+";")
			up(t, at, files, migrate.Options{})
			require.Equal(t, want+want, pgtest.Value[string](t, db, "select string_agg(seen, '') from public.a"))
		})
	}
}

// Files of every way of being run may set what they like for their session, a role that has no rights to the ledger included.
func TestFilesThatSetSomething(t *testing.T) {
	t.Parallel()
	const setup = "create table users (id bigint primary key, email text, name text, plan text);\ninsert into users select g, 'e', 'n', null from generate_series(1, 10) g;\n" +
		"create table events (id bigint, at date) partition by range (at);\ncreate table events_25 partition of events for values from ('2025-01-01') to ('2026-01-01');\ncreate type mood as enum ('sad');"
	for what, file := range map[string]string{
		"in a transaction":          "create table made (id int);",
		"an index":                  "create index concurrently users_name on users (name);",
		"an index, then more":       "create index concurrently users_name on users (name);\ncreate table made (id int);\nalter table users add column more int;",
		"a table, then an index":    "create table made (id int);\ncreate index concurrently users_name on users (name);",
		"vacuum":                    "vacuum users;",
		"an enum's value":           "alter type mood add value 'glad';",
		"a contract":                "alter table users drop column email;",
		"a contract set aside":      "-- pawl:soft-drop 1h\nalter table users drop column email;",
		"a contract outside of one": "alter table events detach partition events_25 concurrently;",
		"rows":                      "copy users (id) from stdin;\n11\n12\n\\.",
		"an assertion":              "-- pawl:assert select count(*) = 10 from users\ncreate table made (id int);",
		"a backfill":                "-- pawl:backfill table=users key=id\nupdate users set plan = 'free' where plan is null;",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for _, set := range []string{"set statement_timeout = '1h';", "set role %s;", "set session authorization %s;", "set search_path to public, pg_temp;", "select set_config('lock_timeout', '1s', false);"} {
				db := pgtest.Database(t)
				owner := "role_of_" + db.Name
				db.Exec(t, fmt.Sprintf("create role %s; grant create on schema public to %[1]s; grant all on database %s to %[1]s", owner, db.Name))
				files := history("0001_setup.sql", setup)
				up(t, db.URL, files, migrate.Options{})
				db.Exec(t, fmt.Sprintf("alter table users owner to %s; alter table events owner to %[1]s; alter table events_25 owner to %[1]s; alter type mood owner to %[1]s", owner))
				m := migrator(t, db.URL, files, migrate.Options{})
				require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r1", "select name from users")))
				require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.LiveNow, ""))
				if strings.Contains(set, "%s") {
					set = fmt.Sprintf(set, owner)
				}
				text := set + "\n" + file
				if directive, rest, ok := strings.Cut(file, "\n"); ok && strings.HasPrefix(directive, "-- pawl:") {
					text = directive + "\n" + set + "\n" + rest
				}
				files["0002_it.sql"] = history("x", text)["x"]
				r, err := migrator(t, db.URL, files, migrate.Options{}).Migrate(t.Context())
				if what == "a backfill" || what == "a contract set aside" {
					require.Error(t, err, "these are one statement")
					continue
				}
				require.NoError(t, err, text)
				require.Empty(t, r.Held, text)
				require.Len(t, append(r.Applied, r.Aside...), 1, text)
				r = up(t, db.URL, files, migrate.Options{})
				require.Empty(t, append(r.Applied, r.Aside...), text)
			}
		})
	}
}

// Unqualified names of the files are those of the schema to which the connection's search path leads: what a release sends with the
// schema written out is the same table.
func TestGateFollowsTheSearchPath(t *testing.T) {
	t.Parallel()
	const users = "create table users (id bigint primary key, email text, name text);"
	for what, prepare := range map[string]func(t *testing.T, db *pgtest.DB) (url, schema string, o migrate.Options){
		"a setting of the database": func(t *testing.T, db *pgtest.DB) (string, string, migrate.Options) {
			db.Exec(t, "create schema app")
			db.Exec(t, fmt.Sprintf("alter database %s set search_path to app, public", db.Name))
			return db.URL, "app", migrate.Options{}
		},
		"a parameter of the URL": func(t *testing.T, db *pgtest.DB) (string, string, migrate.Options) {
			db.Exec(t, "create schema app")
			return db.URL + "&search_path=missing,app", "app", migrate.Options{}
		},
		"the role's own schema": func(t *testing.T, db *pgtest.DB) (string, string, migrate.Options) {
			db.Exec(t, `create schema authorization current_user`)
			return db.URL, pgtest.Value[string](t, db, "select current_user::text"), migrate.Options{}
		},
		"a schema that a file makes where it is not there": func(t *testing.T, db *pgtest.DB) (string, string, migrate.Options) {
			db.Exec(t, "create schema late")
			return db.URL + "&search_path=late,public", "late", migrate.Options{}
		},
		"a schema that comes later": func(_ *testing.T, db *pgtest.DB) (string, string, migrate.Options) {
			return db.URL + "&search_path=late,public", "public", migrate.Options{}
		},
		"a tenant's schema": func(t *testing.T, db *pgtest.DB) (string, string, migrate.Options) {
			db.Exec(t, "create schema acme")
			return db.URL, "acme", migrate.Options{Schema: "acme"}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for _, c := range []struct {
				query string
				held  int
			}{{"select email from %s.users", 1}, {"select email from users", 1}, {"select name from %s.users", 0}, {"select email from other.users", 0}} {
				db := pgtest.Database(t)
				at, schema, o := prepare(t, db)
				files := history("0001_users.sql", users, "0002_late.sql", "create schema if not exists late;")
				up(t, at, files, o)
				db.Exec(t, "create schema other; create table other.users (email text)")
				require.Equal(t, schema, pgtest.Value[string](t, db, "select schemaname::text from pg_tables where tablename = 'users' and schemaname <> 'other'"))
				if strings.Contains(c.query, "%s") {
					c.query = fmt.Sprintf(c.query, pgx.Identifier{schema}.Sanitize())
				}
				m := migrator(t, at, files, o)
				require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r1", c.query)))
				require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.LiveNow, ""))
				files["0003_drop.sql"] = history("x", "alter table users drop column email;")["x"]
				require.Len(t, up(t, at, files, o).Held, c.held, c.query)
			}
		})
	}
}

// A lock_timeout in a file does not make others wait for longer than the policy does; a directive may.
func TestLockTimeoutOfAFile(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]struct {
		set  string
		left bool
	}{
		"set lock_timeout = '10s';\nalter table users add column x int;":                              {"10s", true},
		"set local lock_timeout to 0;\nalter table users add column x int;":                           {"0s", true},
		"reset lock_timeout;\nalter table users add column x int;":                                    {"0s", true},
		"set lock_timeout = '20ms';\nalter table users add column x int;":                             {"", false},
		"-- pawl:timeout lock=2s\nset lock_timeout = '1s';\nalter table users add column x int;":      {"", false},
		"-- pawl:timeout lock=200ms\nset lock_timeout = '1min';\nalter table users add column x int;": {"1m0s", true},
		"select set_config('statement_timeout', '1min', true);\nalter table users add column x int;":  {"", false},
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Database(t)
			files := history("0001_users.sql", "create table users (id bigint primary key);")
			up(t, db.URL, files, migrate.Options{})
			rival, reader := db.Conn(t), db.Conn(t)
			_, err := rival.Exec(t.Context(), "begin; select from users")
			require.NoError(t, err)
			stop, done := make(chan struct{}), make(chan time.Duration)
			go func() {
				var worst time.Duration
				for {
					select {
					case <-stop:
						done <- worst
						return
					case <-time.After(5 * time.Millisecond):
					}
					start := time.Now()
					if _, err := reader.Exec(context.Background(), "select from users"); err != nil {
						t.Errorf("read: %v", err)
					}
					worst = max(worst, time.Since(start))
				}
			}()
			files["0002_x.sql"] = history("x", file)["x"]
			var left []string
			missed := 0
			r, err := migrator(t, db.URL, files, migrate.Options{OnEvent: func(e migrate.Event) {
				switch e := e.(type) {
				case migrate.Overruled:
					left = append(left, e.Set.String())
				case migrate.LockMissed:
					if missed++; missed == 2 {
						if _, err := rival.Exec(context.Background(), "commit"); err != nil {
							t.Errorf("commit: %v", err)
						}
					}
				}
			}}).Migrate(t.Context())
			require.NoError(t, err)
			close(stop)
			worst := <-done
			require.Len(t, r.Applied, 1)
			require.Equal(t, 2, missed)
			if !strings.Contains(file, "lock=2s") {
				require.Less(t, worst, 600*time.Millisecond)
			}
			require.Equal(t, want.left, len(left) == 1)
			if want.left {
				require.Equal(t, want.set, left[0])
			}
		})
	}
	_, err := migrator(t, pgtest.Database(t).URL, history("0001_a.sql", "set lock_timeout = 0;\nselect 1;\ncreate table a (id nope);"), migrate.Options{}).Migrate(t.Context())
	require.ErrorContains(t, err, "0001_a.sql:3:20: type \"nope\" does not exist")
}

// A table that moves along the search path is found by its name alone, and not by its old schema.
func TestMovedAlongTheSearchPath(t *testing.T) {
	t.Parallel()
	for query, held := range map[string]int{"select name from app.users": 1, "select name from users": 0, "select name from other": 0} {
		db := pgtest.Database(t)
		db.Exec(t, "create schema app")
		at := db.URL + "&search_path=app,public"
		files := history("0001_users.sql", "create table users (id bigint primary key, name text);\ncreate table other (name text);")
		up(t, at, files, migrate.Options{})
		m := migrator(t, at, files, migrate.Options{})
		require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r1", query)))
		require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.LiveNow, ""))
		files["0002_move.sql"] = history("x", "alter table users set schema public;")["x"]
		require.Len(t, up(t, at, files, migrate.Options{}).Held, held, query)
	}
}

// A query that sets something and does more besides runs once, whole, and is not run again when its file is resumed.
func TestSetConfigBesideOtherThings(t *testing.T) {
	t.Parallel()
	const made = "create table made (id int generated always as identity);\ncreate function make() returns int language sql as 'insert into made default values returning id';"
	const also = "select set_config('lock_timeout', '10s', false), make();"
	db := pgtest.Database(t)
	files := history("0001_a.sql", made, "0002_b.sql", also)
	up(t, db.URL, files, migrate.Options{})
	require.Equal(t, int64(1), pgtest.Value[int64](t, db, "select count(*) from made"))
	files["0003_c.sql"] = history("x", also+"\nselect set_config('search_path', 'pg_temp, public', false);\ncreate index concurrently made_x on made (nope);")["x"]
	_, err := migrator(t, db.URL, files, migrate.Options{}).Migrate(t.Context())
	require.ErrorContains(t, err, "nope")
	files["0003_c.sql"] = history("x", also+"\nselect set_config('search_path', 'pg_temp, public', false);\ncreate index concurrently made_x on made (id);\n"+
		"do $$ begin if current_setting('search_path') <> 'pg_temp, public' then raise 'not set again'; end if; end $$;")["x"]
	up(t, db.URL, files, migrate.Options{})
	require.Equal(t, int64(2), pgtest.Value[int64](t, db, "select count(*) from made"))
}
