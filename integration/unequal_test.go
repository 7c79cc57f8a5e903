package integration

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/phases"
)

// Rows with a column of some types cannot be compared, which shows only when it is tried: for each plain type of PostgreSQL, what
// changes a column to it takes whole rows exactly if comparing them fails.
func TestTypesWithoutEquality(t *testing.T) {
	t.Parallel()
	pgtest.EachMajor(t, func(t *testing.T, major int) {
		conn := pgtest.DatabaseOf(t, major).Conn(t)
		refused := 0
		for _, typ := range []string{"json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle", "jsonb", "text", "bigint", "numeric",
			"uuid", "bytea", "inet", "macaddr", "timestamptz", "interval", "tsvector", "tsquery", "int4range", "bit(3)", "money", "boolean"} {
			_, err := conn.Exec(t.Context(), fmt.Sprintf("create temp table same (v %s); insert into same values (null)", typ))
			require.NoError(t, err, typ)
			_, err = conn.Exec(t.Context(), "select 1 from same a where a in (select b from same b)")
			catalog := phases.NewCatalog(major)
			catalog.Assess(parseFile(t, "1_make.sql", "create table t (id int, c text);"))
			catalog.Mark()
			a := catalog.Assess(parseFile(t, "2_change.sql", fmt.Sprintf("alter table t alter column c type %s using null;", typ)))
			taken := slices.ContainsFunc(a.Statements[0].Operations[0].Takes, func(k phases.Take) bool {
				return k.Uses == phases.Star && k.Certainty == phases.RunFails
			})
			if typ != "text" {
				require.Equal(t, err != nil, taken, "%s: %v", typ, err)
			}
			if err != nil {
				refused++
			}
			_, err = conn.Exec(t.Context(), "drop table same")
			require.NoError(t, err)
		}
		require.Positive(t, refused)
	})
}
