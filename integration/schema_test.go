package integration

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/parse"
)

// judgedAlike are statements whose judgement hangs on what the catalog knows.
var judgedAlike = []string{
	"alter table t alter column c type varchar(100)", "alter table t alter column c type varchar(10)", "alter table t alter column n type numeric(12,2)",
	"alter table t alter column a set not null", "alter table t alter column b set not null", "alter table t drop column id",
	"alter table t drop column a", "alter table t drop column b", "drop table t", "drop table child", "drop index t_a_idx", "drop index t_b_key",
	"alter table child drop constraint child_t_fk", "alter table t drop constraint t_a_positive", "alter table t alter column b drop default",
	"alter table t add column z int default 5", "alter table t add column z positive", "drop view v", "alter type mood add value 'great'",
	"drop function f(int)", "drop trigger touch on t", "alter table parted drop column v", "create table parted_25 partition of parted for values from (200) to (300)",
	"alter table t validate constraint t_c_short", "truncate t", "drop sequence s", "alter table t rename column a to a2", "drop type mood",
	"insert into t (id) values (1)", "alter table t add constraint u unique (a)", "drop policy p on t", "drop materialized view m", "drop table parted_24",
}

const modelled = `
create domain positive as int check (value > 0);
create type mood as enum ('ok', 'bad');
create function f(x int) returns int language sql immutable as 'select x + 1';
create function touch() returns trigger language plpgsql as $$ begin new.b := 'x'; return new; end $$;
create sequence s;
create table t (id bigserial primary key, a int, b text not null default 'b', c varchar(50), n numeric(10,2), m mood, at timestamp default now(), d int generated always as (a + 1) stored);
create index t_a_idx on t (a) where a > 5;
create unique index t_b_key on t (b);
alter table t add constraint t_a_positive check (a > 0);
alter table t add constraint t_c_short check (length(c) < 40) not valid;
create table child (id int generated always as identity primary key, t_id bigint constraint child_t_fk references t on delete cascade, n int default nextval('s'));
create table parted (k int, v int) partition by range (k);
create table parted_24 partition of parted for values from (0) to (100);
create table parted_rest partition of parted default;
create view v as select id, a from t;
create materialized view m as select a from t;
create unique index m_a on m (a);
create trigger touch before insert on t for each row execute function touch();
alter table t enable row level security;
create policy p on t for select using (a > 0);
`

// The model of a live database is the model of the files that made it: every statement is judged alike by both.
func TestCatalogOfALiveDatabase(t *testing.T) {
	t.Parallel()
	pgtest.EachMajor(t, func(t *testing.T, major int) {
		db := pgtest.DatabaseOf(t, major)
		db.Exec(t, modelled)
		text, err := evidence.Schema(t.Context(), db.Conn(t))
		require.NoError(t, err)
		live := parse.File("database", []byte(text))
		require.Empty(t, live.Problems, "%s", text)
		for _, statement := range judgedAlike {
			judge := func(f *phases.File) string {
				c := phases.NewCatalog(major)
				c.Assess(f)
				require.False(t, c.Incomplete)
				c.Mark()
				a := c.Assess(parse.File("statement", []byte(statement)))
				type seen struct {
					Kind  phases.Kind
					Phase phases.Phase
					Locks map[string]phases.Lock
					Takes int
				}
				var list []seen
				for _, s := range a.Statements {
					for _, op := range s.Operations {
						locks := map[string]phases.Lock{}
						for _, l := range op.Locks {
							locks[l.Relation] = l.Mode
						}
						list = append(list, seen{op.Kind, op.Phase, locks, len(op.Takes)})
					}
				}
				out, err := json.Marshal(list)
				require.NoError(t, err)
				return string(out)
			}
			require.Equal(t, judge(parse.File("files", []byte(modelled))), judge(live), "%s\n%s", statement, text)
		}
	})
}

// An older directory does not know all files that were applied; the database does.
func TestPlanWithMissingFiles(t *testing.T) {
	t.Parallel()
	files := example(t, "9999")
	db := pgtest.Database(t)
	up(t, db.URL, files, migrate.Options{})
	// SET NOT NULL behind a validated CHECK is an expand: only the missing files and the database know of the CHECK.
	db.Exec(t, "alter table vaults alter column quota_bytes drop not null; alter table vaults add constraint q check (quota_bytes is not null)")
	later := history("0001_create_users.sql", string(files["0001_create_users.sql"].Data), "0099_quota.sql", "alter table vaults alter column quota_bytes set not null;")
	p, _, err := migrator(t, db.URL, later, migrate.Options{}).Plan(t.Context())
	require.NoError(t, err)
	require.Empty(t, heldNames(p.Held))
	require.Equal(t, phases.Expand, p.Steps[0].Phase)
	require.Len(t, p.Missing, len(files)-1)
}
