package parse_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/parse"
	"github.com/stretchr/testify/require"
)

const users = `CREATE TABLE users (id bigserial PRIMARY KEY, email varchar(100) NOT NULL UNIQUE, name text, age int);
CREATE VIEW v AS SELECT id, email FROM users; GRANT SELECT ON users TO app;
`

// TestPhases says of one file after the schema above what its phase is, whether it is mixed, and which kinds it holds.
func TestPhases(t *testing.T) {
	for name, tc := range map[string]struct {
		sql   string
		phase phases.Phase
		mixed bool
		kinds string
	}{
		"what the same file makes":      {"CREATE TABLE n (a int); ALTER TABLE n DROP COLUMN a; DROP TABLE n", phases.Expand, false, "create_table drop_column drop_table"},
		"a temporary table":             {"CREATE TEMP TABLE users (a int); TRUNCATE users; DROP TABLE users", phases.Expand, false, ""},
		"a new column tightened":        {"ALTER TABLE users ADD COLUMN t text; ALTER TABLE users ALTER t SET NOT NULL", phases.Contract, true, "add_column set_not_null"},
		"a new column with its default": {"ALTER TABLE users ADD COLUMN t text; ALTER TABLE users ALTER t SET DEFAULT 'x'; ALTER TABLE users ALTER t SET NOT NULL", phases.Expand, false, ""},
		"expand and contract":           {"ALTER TABLE users ADD COLUMN t text; ALTER TABLE users DROP COLUMN name", phases.Contract, true, ""},
		"contract and comment":          {"COMMENT ON TABLE users IS 'x'; ALTER TABLE users DROP COLUMN name", phases.Contract, false, ""},
		"a swap":                        {"CREATE TABLE u2 (LIKE users INCLUDING ALL); INSERT INTO u2 SELECT * FROM users WHERE id < 100; ALTER TABLE users RENAME TO u1; ALTER TABLE u2 RENAME TO users; GRANT SELECT ON users TO app", phases.Expand, false, ""},
		"a swap for an empty table":     {"CREATE TABLE u2 (LIKE users INCLUDING ALL); ALTER TABLE users RENAME TO u1; ALTER TABLE u2 RENAME TO users; GRANT SELECT ON users TO app", phases.Contract, true, ""},
		"a swap that loses a right":     {"CREATE TABLE u2 (LIKE users INCLUDING ALL); ALTER TABLE users RENAME TO u1; ALTER TABLE u2 RENAME TO users", phases.Contract, true, ""},
		"a rename behind a view":        {"ALTER TABLE users RENAME TO u1; CREATE VIEW users AS SELECT * FROM u1; GRANT SELECT ON users TO app", phases.Expand, false, "rename_table create_view grant"},
		"a view made again":             {"DROP VIEW v; CREATE VIEW v AS SELECT id, email, name FROM users", phases.Expand, false, "drop_view create_view"},
		"a view made again with less":   {"DROP VIEW v; CREATE VIEW v AS SELECT id FROM users", phases.Contract, true, "drop_view create_view"},
		"nothing to drop":               {"DROP TABLE IF EXISTS nosuch; ALTER TABLE users DROP COLUMN IF EXISTS nosuch", phases.Expand, false, "drop_table drop_column"},
		"something to drop":             {"DROP TABLE IF EXISTS users CASCADE", phases.Contract, false, "drop_table drop_dependent"},
		"dynamic SQL":                   {"DO $$ BEGIN EXECUTE current_setting('x'); END $$", phases.Unknown, false, "do opaque"},
		"a constant put together":       {"DO $$ BEGIN EXECUTE format('ALTER TABLE %I ' || 'DROP COLUMN %I', 'users', 'name'); END $$", phases.Contract, false, "do drop_column"},
		"a branch that may be taken":    {"DO $$ BEGIN IF now() > 'epoch' THEN ALTER TABLE users DROP COLUMN name; END IF; END $$", phases.Contract, false, "do drop_column"},
		"a function that nobody knows":  {"SELECT nosuch()", phases.Unknown, false, "select_nothing call_unknown"},
		"a function that drops":         {"CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'ALTER TABLE users DROP COLUMN name'; SELECT f()", phases.Contract, true, "create_function select_nothing drop_column"},
		"a function that is only made":  {"CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'ALTER TABLE users DROP COLUMN name'", phases.Expand, false, "create_function"},
		"a dropped column's companions": {"ALTER TABLE users DROP COLUMN email", phases.Contract, false, "drop_column drop_dependent_unique"},
		"a wider varchar":               {"ALTER TABLE users ALTER email TYPE varchar(200)", phases.Expand, false, "alter_column_type_widening"},
		"a narrower varchar":            {"ALTER TABLE users ALTER email TYPE varchar(50)", phases.Contract, false, "alter_column_type"},
		"an asserted contract":          {"-- pawl:phase contract\nCREATE TABLE n (a int)", phases.Contract, false, ""},
		"what does not parse":           {"SELEC 1; CREATE TABLE n (a int)", phases.Unknown, false, "opaque create_table"},
		"nothing at all":                {"-- nothing", phases.Expand, false, ""},
		"a key that is there already":   {"CREATE UNIQUE INDEX ON users (id, name)", phases.Expand, false, "create_unique_index"},
		"a trigger that raises":         {"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'; CREATE TRIGGER t BEFORE INSERT ON users EXECUTE FUNCTION f()", phases.Contract, true, "create_function create_trigger"},
		"rows":                          {"UPDATE users SET name = 'x' WHERE id = 5", phases.Backfill, false, "update_by_key"},
		"all rows gone":                 {"DELETE FROM users", phases.Contract, false, "delete_all"},
	} {
		t.Run(name, func(t *testing.T) {
			c := phases.NewCatalog(16)
			c.Assess(parse.File("0001.sql", []byte(users)))
			a := c.Assess(parse.File("0002.sql", []byte(tc.sql)))
			require.Equal(t, tc.phase, a.Phase)
			require.Equal(t, tc.mixed, a.Mixed, "mixed")
			var kinds []string
			for _, s := range a.Statements {
				for _, op := range s.Operations {
					kinds = append(kinds, string(op.Kind))
				}
			}
			if tc.kinds != "" {
				require.Equal(t, tc.kinds, strings.Join(kinds, " "))
			}
		})
	}
}

// TestWithoutHistory reads everything in the strictest way: a catalog that saw nothing knows nothing.
func TestWithoutHistory(t *testing.T) {
	for sql, kind := range map[string]phases.Kind{
		"DROP TABLE IF EXISTS users":                                   "drop_table",
		"ALTER TABLE users DROP COLUMN IF EXISTS c":                    "drop_column",
		"ALTER TABLE users ALTER c TYPE text":                          "alter_column_type",
		"ALTER TABLE users ALTER c SET NOT NULL":                       "set_not_null",
		"ALTER TABLE users ALTER c DROP DEFAULT":                       "drop_default",
		"ALTER TABLE users DROP CONSTRAINT k":                          "drop_constraint",
		"DROP INDEX i":                                                 "drop_unique_index",
		"DROP TRIGGER t ON users":                                      "drop_trigger",
		"CREATE TRIGGER t BEFORE INSERT ON users EXECUTE FUNCTION f()": "create_trigger",
		"CREATE OR REPLACE VIEW v AS SELECT 1":                         "replace_view",
		"REVOKE SELECT ON users FROM app":                              "revoke",
		"CREATE PUBLICATION p FOR TABLE users":                         "create_publication",
	} {
		t.Run(sql, func(t *testing.T) {
			a := phases.NewCatalog(14).Assess(parse.File("0001.sql", []byte(sql)))
			require.Equal(t, kind, a.Statements[0].Operations[0].Kind)
			require.Equal(t, phases.Contract, a.Phase)
		})
	}
}

func TestMark(t *testing.T) {
	c := phases.NewCatalog(16)
	c.Assess(parse.File("0001.sql", []byte(users)))
	c.Mark()
	c.Assess(parse.File("0002.sql", []byte("CREATE TABLE n (a int); ALTER TABLE users ADD COLUMN t text")))
	a := c.Assess(parse.File("0003.sql", []byte("ALTER TABLE n DROP COLUMN a; ALTER TABLE users DROP COLUMN t")))
	require.Equal(t, phases.Expand, a.Phase, "both were made in the same run")
	a = c.Assess(parse.File("0004.sql", []byte("ALTER TABLE users DROP COLUMN name")))
	require.Equal(t, phases.Contract, a.Phase)
}

func TestPhaseDirectiveThatUnderstates(t *testing.T) {
	a := phases.NewCatalog(16).Assess(parse.File("m.sql", []byte("-- pawl:phase expand\nDROP TABLE users")))
	require.Equal(t, phases.Contract, a.Phase)
	require.Len(t, a.Problems, 1)
	require.Contains(t, a.Problems[0].Message, "pawl:phase says expand, but the file is contract: drop_table users")
}

func TestTransactional(t *testing.T) {
	for sql, transactional := range map[string]bool{
		"CREATE INDEX ON users (name)":              true,
		"CREATE INDEX CONCURRENTLY ON users (name)": false,
		"VACUUM users":               false,
		"DO $$ BEGIN COMMIT; END $$": false,
		"ALTER TYPE e ADD VALUE 'x'": true,
	} {
		a := phases.NewCatalog(16).Assess(parse.File("m.sql", []byte(sql)))
		require.Equal(t, transactional, a.Transactional, sql)
	}
}

func TestTakes(t *testing.T) {
	c := phases.NewCatalog(16)
	c.Assess(parse.File("0001.sql", []byte(users)))
	a := c.Assess(parse.File("0002.sql", []byte("ALTER TABLE users DROP COLUMN name; ALTER TABLE users ADD CHECK (age > 0)")))
	require.Equal(t, []phases.Take{{Object: phases.Object{Kind: phases.Column, Schema: "public", Relation: "users", Column: "name"}, Uses: phases.AnyUse}}, a.Statements[0].Operations[0].Takes)
	require.True(t, slices.ContainsFunc(a.Statements[1].Operations[0].Takes, func(k phases.Take) bool {
		return k.Object.Column == "age" && k.Certainty == phases.ValuesDecide && k.Uses&phases.Update != 0
	}))
}
