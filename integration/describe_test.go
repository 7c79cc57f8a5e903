package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/phases/evidence"
)

// described are changes past pawl, with the lines by which a description tells them.
var described = []struct{ change, minus, plus string }{
	{"alter table t add column extra int", "", "alter table public.t add column extra integer"},
	{"alter table t alter column b drop not null", "alter table public.t add column b text default 'b'::text not null", "alter table public.t add column b text default 'b'::text"},
	{"drop index t_a_idx", "CREATE INDEX t_a_idx ON public.t USING btree (a) WHERE (a > 5)", ""},
	{"alter table t drop constraint t_a_positive", "alter table public.t add constraint t_a_positive CHECK ((a > 0))", ""},
	{"drop trigger touch on t", "CREATE TRIGGER touch BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.touch()", ""},
	{"alter table t disable trigger touch", "CREATE TRIGGER touch BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.touch()", "CREATE TRIGGER touch BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.touch() /* disabled */"},
	{"alter type mood add value 'great'", "create type public.mood as enum ('ok', 'bad')", "create type public.mood as enum ('ok', 'bad', 'great')"},
	{"alter table t disable row level security", "alter table public.t enable row level security", ""},
	{"drop policy p on t", "create policy p on public.t for select using ((a > 0))", ""},
	{"comment on column t.a is 'x'", "", "comment on column public.t.a is 'x'"},
	{"comment on index t_a_idx is 'x'", "", "comment on index public.t_a_idx on public.t is 'x'"},
	{"grant select on t to public", "", "grant select on table public.t to public"},
	{"grant update (a) on t to public", "", "grant update (a) on table public.t to public"},
	{"revoke execute on function f(int) from public", "grant execute on function public.f(x integer) to public", ""},
	{"create schema apart", "", "create schema apart"},
	{"alter sequence s increment 7", "create sequence public.s as bigint increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1", "create sequence public.s as bigint increment 7 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1"},
	{"alter table parted detach partition parted_24", "create table public.parted_24 partition of public.parted FOR VALUES FROM (0) TO (100)", "create table public.parted_24"},
	{"alter table t set (fillfactor = 50)", "create table public.t", "create table public.t with (fillfactor=50)"},
	{"create function g() returns int language sql as 'select 1'", "", "grant execute on function public.g() to public"},
	{"alter domain positive add constraint small check (value < 9)", "", "alter domain public.positive add constraint small CHECK ((VALUE < 9))"},
	{"create statistics st on a, b from t", "", "CREATE STATISTICS public.st ON a, b FROM public.t"},
}

// Every change of a schema is told, on each version; what pawl and extensions keep is not.
func TestDescribe(t *testing.T) {
	t.Parallel()
	pgtest.EachMajor(t, func(t *testing.T, major int) {
		db := pgtest.DatabaseOf(t, major)
		db.Exec(t, modelled)
		conn := db.Conn(t)
		describe := func(o evidence.DescribeOptions) *evidence.Description {
			d, err := evidence.Describe(t.Context(), conn, o)
			require.NoError(t, err)
			return d
		}
		before := describe(evidence.DescribeOptions{})
		_, err := conn.Exec(t.Context(), "create schema pawl; create table pawl.meta (id int)")
		require.NoError(t, err)
		require.Equal(t, before.Fingerprint(), describe(evidence.DescribeOptions{}).Fingerprint())
		for _, c := range described {
			tx, err := conn.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), c.change)
			require.NoError(t, err, c.change)
			after, err := evidence.DescribeIn(t.Context(), tx, evidence.DescribeOptions{})
			require.NoError(t, err, c.change)
			var minus, plus []string
			for _, d := range evidence.Diff(before, after) {
				if d.Added {
					plus = append(plus, d.Line)
				} else {
					minus = append(minus, d.Line)
				}
			}
			if c.minus != "" {
				require.Contains(t, minus, c.minus, c.change)
			} else {
				require.Empty(t, minus, c.change)
			}
			if c.plus != "" {
				require.Contains(t, plus, c.plus, c.change)
			} else {
				require.Empty(t, plus, c.change)
			}
			require.NoError(t, tx.Rollback(t.Context()))
		}
		for _, line := range describe(evidence.DescribeOptions{LeaveOut: []string{"public.t"}, WithoutRoles: true}).Lines {
			require.NotRegexp(t, `create table public\.t$|owner to|grant |t_id_seq`, line)
		}
	})
}
