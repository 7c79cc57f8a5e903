package parse_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/parse"
)

func TestBackfillProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		rule       phases.BackfillRule
		message    string
	}{
		{"plain", "-- pawl:backfill table=users\nupdate users set a = b where a is distinct from b;", "", ""},
		{"not null", "-- pawl:backfill\nupdate users set a = 1 where a is null and b > now();", "", ""},
		{"delete", "-- pawl:backfill\ndelete from users where at < now() - interval '30 days';", "", ""},
		{"insert", "-- pawl:backfill table=files\ninsert into blobs (k) select k from files on conflict (k) do nothing;", phases.BackfillUnproved, "no query follows"},
		{"insert with an anti-join", "-- pawl:backfill\ninsert into blobs (k) select k from files where not exists (select from blobs where blobs.k = files.k);", "", ""},
		{"insert again and again", "-- pawl:backfill\ninsert into log (k) select k from files where k > 5;", phases.BackfillRepeats, "insert the same rows again"},
		{"no condition", "-- pawl:backfill\nupdate users set a = b;", phases.BackfillRepeats, "no condition speaks of a column that is set"},
		{"another condition", "-- pawl:backfill\nupdate users set a = b where c > 5;", phases.BackfillRepeats, "no condition speaks of"},
		{"a condition on the clock", "-- pawl:backfill\nupdate users set a = now() where a is distinct from now();", phases.BackfillRepeats, "no condition speaks of"},
		{"volatile", "-- pawl:backfill\nupdate users set a = 1 where a is null and random() < 0.5;", phases.BackfillVolatile, "random()"},
		{"volatile value", "-- pawl:backfill\nupdate users set a = gen_random_uuid() where a is null;", "", ""},
		{"two statements", "-- pawl:backfill\nupdate users set a = 1 where a is null;\nupdate files set a = 1 where a is null;", phases.BackfillStatement, "several statements"},
		{"none", "-- pawl:backfill\n", phases.BackfillStatement, "no statement"},
		{"ddl", "-- pawl:backfill\nalter table users add x int;", phases.BackfillStatement, "one UPDATE, INSERT"},
		{"join", "-- pawl:backfill\nupdate users set a = o.a from orders o where o.id = users.id and users.a is null;", phases.BackfillTables, "joins another table"},
		{"two tables written", "-- pawl:backfill\nwith x as (delete from old returning id) update users set a = 1 where a is null;", phases.BackfillTables, "writes old as well"},
		{"another table", "-- pawl:backfill table=files\nupdate users set a = 1 where a is null;", phases.BackfillTables, "names table files"},
		{"select that joins", "-- pawl:backfill\ninsert into c select a.x from a join b on a.id = b.id where not exists (select from c);", phases.BackfillTables, "joins several"},
		{"group", "-- pawl:backfill\ninsert into c select x, count(*) from a group by x on conflict do nothing;", phases.BackfillStatement, "puts rows together"},
		{"values", "-- pawl:backfill\ninsert into c values (1);", phases.BackfillStatement, "reads no table"},
		{"key written", "-- pawl:backfill key=code\nupdate users set code = 'x' || code where code not like 'x%';", phases.BackfillKey, "is written itself"},
		{"returning", "-- pawl:backfill\nupdate users set a = 1 where a is null returning id;", phases.BackfillStatement, "nobody reads"},
		{"done", "-- pawl:backfill table=files done: select count(*) = 0 from files\ninsert into blobs (k) select k from files on conflict (k) do nothing;", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := parse.File("m.sql", []byte(c.text))
			require.Empty(t, f.Problems)
			_, problems := parse.Backfill(f)
			if c.rule == "" {
				require.Empty(t, problems)
				return
			}
			require.Len(t, problems, 1)
			require.Equal(t, c.rule, problems[0].Rule)
			require.Contains(t, problems[0].Message, c.message)
			require.Equal(t, 1, problems[0].Span.Start.Line)
		})
	}
}

func TestBackfillStatement(t *testing.T) {
	t.Parallel()
	leaf := phases.Object{Kind: phases.Table, Schema: "app", Relation: "Users_1"}
	for _, c := range []struct {
		name, text string
		batch      parse.Batch
		want, done string
	}{
		{
			"key", "update users set a = b where a is distinct from b or c",
			parse.Batch{Table: leaf, Key: []string{"id"}, Below: true},
			`UPDATE ONLY app."Users_1" users SET a = b WHERE users.id > $1 AND users.id <= $2 AND (a IS DISTINCT FROM b OR c)`,
			"SELECT NOT EXISTS (SELECT FROM users WHERE a IS DISTINCT FROM b OR c)",
		},
		{
			"composite, first", "update app.users u set a = 1 where u.a is null",
			parse.Batch{Table: leaf, Key: []string{"x", "Y"}},
			`UPDATE ONLY app."Users_1" u SET a = 1 WHERE (u.x, u."Y") <= ($1, $2) AND u.a IS NULL`,
			"SELECT NOT EXISTS (SELECT FROM app.users u WHERE u.a IS NULL)",
		},
		{
			"qualified", "update app.users set a = app.users.b where app.users.a is null",
			parse.Batch{Table: leaf, Key: []string{"id"}, Watch: true},
			`WITH pawl_batch AS (UPDATE ONLY app."Users_1" users SET a = users.b WHERE users.id <= $1 AND users.a IS NULL RETURNING users.a IS NULL AS pawl_still) SELECT count(*), count(*) FILTER (WHERE pawl_still) FROM pawl_batch`,
			"SELECT NOT EXISTS (SELECT FROM app.users WHERE app.users.a IS NULL)",
		},
		{
			"ctid", "delete from users where a is null",
			parse.Batch{Table: leaf, Below: true},
			`DELETE FROM ONLY app."Users_1" users WHERE users.ctid >= $1::tid AND users.ctid < $2::tid AND a IS NULL`,
			"SELECT NOT EXISTS (SELECT FROM users WHERE a IS NULL)",
		},
		{
			"insert", "insert into blobs (k) select f.k from files f where not exists (select from blobs where blobs.k = f.k) on conflict (k) do nothing",
			parse.Batch{Table: leaf, Key: []string{"id"}, Below: true, Watch: true},
			`INSERT INTO blobs (k) SELECT f.k FROM ONLY app."Users_1" f WHERE f.id > $1 AND f.id <= $2 AND NOT EXISTS (SELECT FROM blobs WHERE blobs.k = f.k) ON CONFLICT (k) DO NOTHING`,
			"SELECT NOT EXISTS (SELECT FROM files f WHERE NOT EXISTS (SELECT FROM blobs WHERE blobs.k = f.k))",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sql, watched, err := c.batch.Statement(c.text)
			require.NoError(t, err)
			require.Equal(t, c.want, sql)
			require.Equal(t, c.batch.Watch && c.name != "insert", watched)
			b, _ := parse.Backfill(parse.File("m.sql", []byte("-- pawl:backfill\n"+c.text)))
			require.NotNil(t, b)
			require.Equal(t, c.done, b.Done)
		})
	}
}

func TestBackfillDirective(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"table=users batch=1000": "", "table=users batch=10..2000 between=01:00-05:00 lag=off wal=8MB/s dead=10%: at night": "",
		"batch=none": "write a number of rows", "lag=soon": "write a duration", "between=1-2": "time of day", "dead=5": "percentage",
		"bacth=5": `unknown option "bacth"`, "wal=-1MB": "more than nothing", "table=x done: delete from y": "one SELECT", "workers=0": "from 1 to 64",
	} {
		f := parse.File("m.sql", []byte("-- pawl:backfill "+text+"\nupdate users set a = 1 where a is null"))
		if want == "" {
			require.Empty(t, f.Problems, text)
			continue
		}
		require.Len(t, f.Problems, 1, text)
		require.Contains(t, f.Problems[0].Message+f.Problems[0].Hint, want)
	}
	f := parse.File("m.sql", []byte("-- pawl:backfill table=users between=22:00-05:00: at night\nupdate users set a = 1 where a is null"))
	require.Equal(t, "at night", f.Directives[0].Reason)
	b, _ := parse.Backfill(f)
	require.Equal(t, "22:00-05:00", b.Settings.Between.String())
}

func TestCheckBackfill(t *testing.T) {
	t.Parallel()
	schema := `create table users (id bigint generated always as identity primary key, code text unique, region text not null, a int, u int generated always as (1) stored);
create unique index on users (region, id);
create function f() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger tick before update of a on users for each row execute function f();
create table heap (x int);`
	for _, c := range []struct {
		text string
		rule phases.BackfillRule
		want string
	}{
		{"-- pawl:backfill triggers=tick\nupdate users set a = 1 where a is null", "", ""},
		{"-- pawl:backfill\nupdate users set a = 1 where a is null", phases.BackfillTriggers, "trigger tick"},
		{"-- pawl:backfill triggers=tick key=code\nupdate users set a = 1 where a is null", phases.BackfillKey, "users.code may be NULL"},
		{"-- pawl:backfill triggers=tick key=region\nupdate users set a = 1 where a is null", phases.BackfillKey, "no unique index of public.users is on (region)"},
		{"-- pawl:backfill triggers=tick key=region,id\nupdate users set a = 1 where a is null", "", ""},
		{"-- pawl:backfill triggers=tick key=nothing\nupdate users set a = 1 where a is null", phases.BackfillKey, "no column nothing"},
		{"-- pawl:backfill\nupdate users set id = id + 1 where id < 0", phases.BackfillGenerated, "users.id is GENERATED ALWAYS"},
		{"-- pawl:backfill\nupdate users set u = 1 where u is null", phases.BackfillGenerated, "users.u is GENERATED ALWAYS"},
		{"-- pawl:backfill\nupdate heap set x = 1 where x is null", phases.BackfillKey, "no unique key"},
		{"-- pawl:backfill\nupdate unknown set x = 1 where x is null", "", ""},
	} {
		catalog := phases.NewCatalog(16)
		catalog.Assess(parse.File("s.sql", []byte(schema)))
		b, problems := parse.Backfill(parse.File("m.sql", []byte(c.text)))
		require.NotNil(t, b, "%v", problems)
		problems = catalog.CheckBackfill(b)
		if c.rule == "" {
			require.Empty(t, problems, c.text)
			continue
		}
		require.Len(t, problems, 1, c.text)
		require.Equal(t, c.rule, problems[0].Rule)
		require.Contains(t, problems[0].Message, c.want)
	}
}
