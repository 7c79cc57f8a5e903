package parse_test

import (
	"testing"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/parse"
	"github.com/stretchr/testify/require"
)

// TestNewerGrammar holds statements that only PostgreSQL 17 or 18 reads, and the parser does not. What each does on
// such a server, the registry's rows show.
func TestNewerGrammar(t *testing.T) {
	for src, kinds := range map[string][]phases.Kind{
		"ALTER TABLE t ADD COLUMN g int GENERATED ALWAYS AS (a + 1) VIRTUAL":                                         {"add_column_virtual"},
		"ALTER TABLE t ADD COLUMN g int GENERATED ALWAYS AS (a + 1)":                                                 {"add_column_virtual"},
		"ALTER TABLE t ADD COLUMN g int GENERATED ALWAYS AS (a + 1) STORED, ADD h int GENERATED ALWAYS AS (a)":       {"add_column_generated", "add_column_virtual"},
		"ALTER TABLE t ADD CONSTRAINT k NOT NULL a":                                                                  {"add_not_null"},
		"ALTER TABLE t ADD NOT NULL a NOT VALID":                                                                     {"add_not_null_not_valid"},
		"ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0) NOT ENFORCED":                                                  {"add_check_not_enforced"},
		"ALTER TABLE lone ADD CONSTRAINT k FOREIGN KEY (t_id) REFERENCES t NOT ENFORCED":                             {"add_foreign_key_not_enforced"},
		"ALTER TABLE child ALTER CONSTRAINT child_fk NOT ENFORCED":                                                   {"set_not_enforced"},
		"ALTER TABLE t ALTER CONSTRAINT k INHERIT":                                                                   {"alter_constraint"},
		"ALTER TABLE t ALTER CONSTRAINT k NO INHERIT":                                                                {"alter_constraint"},
		"ALTER TABLE t ALTER COLUMN a SET EXPRESSION AS (id * 2)":                                                    {"set_expression"},
		"ALTER TABLE t ALTER COLUMN a SET STATISTICS DEFAULT":                                                        {"set_statistics"},
		"ALTER TABLE t SET ACCESS METHOD DEFAULT":                                                                    {"set_access_method_already"},
		"ALTER TABLE t ADD CONSTRAINT k UNIQUE (a, c WITHOUT OVERLAPS)":                                              {"add_unique"},
		"ALTER TABLE lone ADD FOREIGN KEY (t_id, PERIOD x) REFERENCES t (id, PERIOD a)":                              {"add_foreign_key"},
		"CREATE TABLE z (a int GENERATED ALWAYS AS (1) VIRTUAL, CONSTRAINT n NOT NULL a, b int NOT NULL NO INHERIT)": {"create_table"},
		"MERGE INTO t USING lone ON t.id = lone.id WHEN MATCHED THEN UPDATE SET a = 1 RETURNING merge_action()":      {"merge"},
		"MERGE INTO t USING lone ON t.id = lone.id WHEN NOT MATCHED BY SOURCE THEN DELETE":                           {"merge"},
		"UPDATE t SET a = 1 WHERE id = 5 RETURNING WITH (OLD AS o, NEW AS n) o.a, n.a":                               {"update_by_key"},
		"SELECT * FROM JSON_TABLE('[1]'::jsonb, '$[*]' COLUMNS (a int PATH '$')) AS x":                               {"select_nothing"},
		"SELECT JSON_VALUE('{}'::jsonb, '$.a' RETURNING int DEFAULT 0 ON EMPTY)":                                     {"select_nothing"},
		"SELECT now() AT LOCAL": {"select_nothing"},
		"ANALYZE ONLY parted":   {"analyze"},
		"ALTER DEFAULT PRIVILEGES GRANT SELECT ON LARGE OBJECTS TO pawl_other": {"grant_default_privileges"},
	} {
		t.Run(src, func(t *testing.T) {
			c := phases.NewCatalog(18)
			c.Assess(parse.File("0001.sql", []byte(phases.Fixture)))
			f := parse.File("0002.sql", []byte("SELECT 1;\n"+src+"; -- behind\nSELECT 2"))
			require.Empty(t, f.Problems)
			require.Len(t, f.Statements, 3)
			require.Equal(t, src, f.Statements[1].Text, "the server gets the text as it was written")
			var got []phases.Kind
			for _, op := range c.Assess(f).Statements[1].Operations {
				got = append(got, op.Kind)
			}
			require.Equal(t, kinds, got)
		})
	}
}

func TestAssumeLetsTheUnreadableThrough(t *testing.T) {
	f := parse.File("m.sql", []byte("-- pawl:assume expand: PostgreSQL 19 reads it\nALTER TABLE t SPLIT PARTITION p INTO (x);\n"))
	require.Empty(t, f.Problems)
	require.Equal(t, phases.Expand, phases.NewCatalog(18).Assess(f).Phase)

	f = parse.File("m.sql", []byte("-- pawl:assume expand: nothing else is in there\nDO $$ BEGIN EXECUTE x; ALTER TABLE t DROP COLUMN c; END $$;\n"))
	require.Equal(t, phases.Contract, phases.NewCatalog(18).Assess(f).Phase, "an assumption lifts what is unknown and nothing else")
}
