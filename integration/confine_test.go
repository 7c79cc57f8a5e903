package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/gate"
)

// A right that is taken from a role matters to what that role could do. A statement that the role had no rights for was
// never its own; one that it could run is held, unless most of what the release sends cannot come from that role.
func TestRevokedFromOthers(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	worker, reader := db.Name+"_worker", db.Name+"_reader"
	db.Exec(t, fmt.Sprintf("create role %s; create role %s", worker, reader))
	conn := db.Conn(t)
	t.Cleanup(func() {
		_, err := conn.Exec(context.WithoutCancel(t.Context()), fmt.Sprintf("drop owned by %s, %s; drop role %s, %s", worker, reader, worker, reader))
		require.NoError(t, err)
	})
	files := history("0001_tables.sql", fmt.Sprintf(`create table jobs (id bigint primary key, state text);
create table users (id bigint primary key, name text);
grant select, insert on jobs to %[1]s; grant insert (id) on users to %[1]s; grant select on users to %[2]s`, worker, reader))
	m := migrator(t, db.URL, files, migrate.Options{})
	_, err := m.Migrate(t.Context())
	require.NoError(t, err)
	for i, c := range []struct {
		statements []string
		change     string
		verdict    gate.Verdict
		// as runs the statements before and after the change: they fail after it where the verdict is broken.
		as string
	}{
		{[]string{"select state from jobs where id = $1"}, "revoke select on jobs from " + worker, gate.Broken, worker},
		{[]string{"select state from jobs where id = $1"}, "revoke select on jobs from " + worker + ", " + reader, gate.Broken, worker},
		{[]string{"select state from jobs where id = $1"}, "revoke select on jobs from " + worker + ", public", gate.Broken, worker},
		{[]string{"update jobs set state = $1 where id = $2"}, "revoke select on jobs from " + worker, gate.Unaffected, ""},
		{[]string{"delete from jobs where id = $1"}, "revoke select on jobs from " + worker, gate.Unaffected, ""},
		{[]string{"select j.state from jobs j join users u on u.id = j.id"}, "revoke select on jobs from " + worker, gate.Unaffected, ""},
		{[]string{"insert into users (id) values ($1)"}, "revoke insert (id) on users from " + worker, gate.Broken, worker},
		{[]string{"insert into users (id) values ($1) returning id"}, "revoke insert (id) on users from " + worker, gate.Unaffected, ""},
		{[]string{"insert into jobs (id) select id from users"}, "revoke insert on jobs from " + worker, gate.Unaffected, ""},
		{[]string{"with u as (select 1 as id) insert into jobs (id) select id from u"}, "revoke insert on jobs from " + worker, gate.Broken, worker},
		{[]string{"with users as (select 1 as id) insert into jobs (id) select id from users"}, "revoke insert on jobs from " + worker, gate.Broken, worker},
		{[]string{"select state from jobs", "update jobs set state = $1", "delete from jobs where id = $1"},
			"revoke select on jobs from " + worker, gate.Possible, ""},
		{[]string{"select state from jobs", "delete from jobs where id = $1"}, "revoke select on jobs from " + worker, gate.Broken, worker},
	} {
		name := fmt.Sprintf("r%d", i)
		require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", name, c.statements...)))
		require.NoError(t, m.RecordRelease(t.Context(), "api", name, gate.LiveNow, ""))
		files["0002_revoke.sql"] = &fstest.MapFile{Data: []byte(c.change + ";")}
		p, _, err := migrator(t, db.URL, files, migrate.Options{}).Plan(t.Context())
		require.NoError(t, err)
		decisions := map[bool]*gate.Decision{}
		for _, s := range p.Steps {
			decisions[true] = s.Decision
		}
		for _, h := range p.Held {
			decisions[false] = &h.Decision
		}
		allowed := c.verdict < gate.Unknown
		require.NotNil(t, decisions[allowed], "%v, %s", c.statements, c.change)
		require.Equal(t, c.verdict, decisions[allowed].Verdict, "%v, %s", c.statements, c.change)
		require.NoError(t, m.RecordRelease(t.Context(), "api", name, gate.Retired, "the test goes on"))
		if c.as == "" {
			continue
		}
		// The role could run it before, and cannot afterwards.
		run := func(change string) error {
			conn := db.Conn(t)
			defer conn.Close(t.Context())
			tx, err := conn.Begin(t.Context())
			require.NoError(t, err)
			defer func() { _ = tx.Rollback(t.Context()) }()
			_, err = tx.Exec(t.Context(), change+"; set local role "+c.as)
			require.NoError(t, err)
			args := []any{}
			for n := range 3 {
				if strings.Contains(c.statements[0], fmt.Sprintf("$%d", n+1)) {
					args = append(args, n)
				}
			}
			_, err = tx.Exec(t.Context(), c.statements[0], args...)
			return err
		}
		require.NoError(t, run("select 1"), c.statements[0])
		require.ErrorContains(t, run(c.change), "permission denied", c.statements[0])
	}
}
