package parse

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSpread holds which stars bring columns to a place where their number counts.
func TestSpread(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"select * from t":                                                                   nil,
		"insert into u select * from t":                                                     {"t"},
		"insert into u (a) select t.* from t":                                               {"t"},
		"insert into u values (new.*)":                                                      {"new"},
		"insert into u select new.*":                                                        {"new"},
		"select * from t union select 1, 2":                                                 {"t"},
		"select 1, 2 union all select x.* from t x":                                         {"t", "x"},
		"select a in (select * from t) from u":                                              {"t"},
		"select exists (select * from t) from u":                                            nil,
		"select row(t.*) = row(1, 2) from t":                                                {"t"},
		"with c as (select * from t) insert into u (a) select a from c":                     nil,
		"with c as (select * from t) insert into u select * from c":                         {"c", "t"},
		"with c as (select * from t) insert into u select d.* from c d":                     {"c", "d", "t"},
		"insert into u select * from (select x.* from t x) y":                               {"t", "x", "y"},
		"insert into u select a from (select x.* from t x) y":                               nil,
		"with c as (delete from t returning *) insert into u select * from c":               {"c", "t"},
		"with c as (delete from t returning *) insert into u select a from c":               nil,
		"with c as (update t set a = 1 returning t.*) insert into u table c":                {"c", "t"},
		"with a as (select * from t), b as (select * from a) insert into u select * from b": {"a", "b", "t"},
		"with a as (select * from t), b as (select * from a) insert into u select x from b": nil,
		"merge into u using t on true when not matched then insert values (t.*)":            {"t"},
		"delete from t returning *":                                                         nil,
		"create table u as select * from t":                                                 nil,
		"select json_agg(x.*) from t x":                                                     nil,
		"select (select * from t) from u":                                                   {"t"},
		"select array(select * from t) from u":                                              {"t"},
		"insert into u select * from v join (select * from t) s on true":                    {"s", "t", "v"},
	} {
		m := Mentions(text)
		require.False(t, m.Unparsed, text)
		require.Equal(t, want, m.Spread, text)
	}
}
