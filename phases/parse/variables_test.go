package parse

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/phases"
)

// TestRoutineVariables reads functions that put SQL together in variables.
func TestRoutineVariables(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		declare, body string
		dynamic       bool
		// relations are those that the queries of the body use, holes as *.
		relations []string
	}{
		"assigned once":              {"q text;", "q := 'delete from t'; execute q;", false, []string{"t"}},
		"in a branch":                {"q text;", "if x then q := 'delete from t'; else q = 'delete from u'; end if; execute q;", false, []string{"t", "u"}},
		"a default":                  {"q text := 'delete from t';", "execute q;", false, []string{"t"}},
		"selected into":              {"q text;", "select format('delete from %I', x) into q from pg_class where relname = 'a'; execute q;", false, []string{"*"}},
		"the name in a variable":     {"n text; q text;", "select format('t_%s', x) into n; q := format('delete from %I where a = $1', n); execute q using 1;", false, []string{"t_*"}},
		"joined to itself":           {"q text;", "q := 'delete from t'; q := q || ' where a'; execute q;", true, nil},
		"a parameter":                {"", "execute x;", true, nil},
		"a parameter assigned":       {"", "x := 'delete from t'; execute x;", true, nil},
		"two targets":                {"q text; n int;", "select 'delete from t', 1 into q, n; execute q;", true, nil},
		"a loop's":                   {"q text;", "for q in select a from t loop execute q; end loop;", true, nil},
		"fetched":                    {"q text := 'delete from t'; c refcursor;", "fetch c into q; execute q;", true, nil},
		"given by another statement": {"q text := 'delete from t';", "execute 'select 1' into q; execute q;", true, nil},
		"returned by a statement":    {"q text := 'delete from t';", "update t set a = 1 returning b into q; execute q;", true, nil},
		"shadowed":                   {"q text := 'delete from t';", "declare q text := x; begin execute q; end;", true, nil},
		"an alias":                   {"q alias for $1;", "execute q;", true, nil},
		"a part of a record":         {"q record;", "q.a := 'delete from t'; execute q.a;", true, nil},
		"any text in it":             {"q text;", "q := 'delete from t where ' || x; execute q;", true, nil},
		"called by reference":        {"q text := 'delete from t';", "call p(q); execute q;", true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			def := "create function f(x text) returns void language plpgsql as $f$ declare " + c.declare + " begin " + c.body + " end $f$"
			r := RoutineOf(def, "plpgsql")
			require.Equal(t, c.dynamic, r.Dynamic, def)
			var found []string
			for _, q := range r.Queries {
				for _, rel := range q.Relations {
					if rel.Uses&phases.Delete != 0 {
						found = append(found, strings.ReplaceAll(rel.Name, phases.Hole, "*"))
					}
				}
			}
			slices.Sort(found)
			require.Equal(t, c.relations, found, def)
		})
	}
}
