package integration

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/gate"
)

// What only values decide is possible as long as the rows that are there agree with it; rows that contradict it show that
// code writes such values, and it is held. Rows that a file before it puts right say nothing.
func TestCounterexamples(t *testing.T) {
	t.Parallel()
	pgtest.EachMajor(t, func(t *testing.T, major int) {
		db := pgtest.DatabaseOf(t, major)
		tables := []string{"0001_tables.sql", `create table teams (id bigint primary key, code int unique);
create table users (id bigint primary key, age int, mail text, team bigint, note text);
insert into teams values (1, 10); insert into users values (1, 30, 'a', 1, 'x'), (2, 40, 'b', null, 'y')`}
		files := history(tables...)
		m := migrator(t, db.URL, files, migrate.Options{})
		_, err := m.Migrate(t.Context())
		require.NoError(t, err)
		require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r1",
			"insert into users (id, age, mail, team, note) values ($1, $2, $3, $4, $5)", "update teams set code = $1")))
		require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.LiveNow, ""))
		verdict := func(extra ...string) gate.Verdict {
			t.Helper()
			files := history(append(slices.Clone(tables), extra...)...)
			p, _, err := migrator(t, db.URL, files, migrate.Options{}).Plan(t.Context())
			require.NoError(t, err)
			for _, h := range p.Held {
				return h.Decision.Verdict
			}
			return p.Steps[len(p.Steps)-1].Decision.Verdict
		}
		far := "alter table only public.users add constraint member foreign key (age) references teams (code) not valid"
		for change, row := range map[string]string{
			"alter table users add constraint adult check (age >= 18) not valid":                         "insert into users values (3, 7, 'c', 1, 'z')",
			"alter table users add constraint adult check (users.age >= 18)":                             "insert into users values (3, 7, 'c', 1, 'z')",
			"alter table users alter column note set not null":                                           "insert into users values (3, 50, 'c', 1, null)",
			"alter table users add constraint one unique (mail)":                                         "insert into users values (3, 50, 'a', 1, 'z')",
			"alter table users add constraint one unique (mail, age)":                                    "insert into users values (3, 30, 'a', 1, 'z')",
			"alter table users add constraint member foreign key (team) references teams (id) not valid": "insert into users values (3, 50, 'c', 77, 'z')",
			far: "insert into users values (3, 99, 'c', 1, 'z')",
		} {
			if change == far {
				db.Exec(t, "insert into teams values (2, 30), (3, 40)")
			}
			require.Equal(t, gate.Possible, verdict("0002_bind.sql", change+";"), change)
			db.Exec(t, row)
			require.Equal(t, gate.Broken, verdict("0002_bind.sql", change+";"), change)
			require.Equal(t, gate.Possible, verdict("0002_right.sql", "delete from users where id = 3;", "0003_bind.sql", change+";"), change)
			db.Exec(t, "delete from users where id = 3")
		}
	})
}
