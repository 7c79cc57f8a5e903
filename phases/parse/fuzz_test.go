package parse_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/parse"
	"github.com/stretchr/testify/require"
)

// FuzzFile holds for any input: parsing and judging never panic, every statement is exactly the text of its span, spans
// are in order and inside the file, and a file that gives no statement and no problem holds nothing but comments.
func FuzzFile(f *testing.F) {
	for _, d := range phases.Descriptors() {
		f.Add([]byte(d.Setup + "\n" + d.Example + ";\n"))
	}
	for _, seed := range seeds() {
		f.Add([]byte(seed))
	}
	paths, err := filepath.Glob("../../testdata/examples/*/migrations/*.sql")
	require.NoError(f, err)
	for _, path := range paths {
		src, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		file := parse.File("m.sql", src)
		last := 0
		for _, s := range file.Statements {
			start, end := s.Span.Start.Offset, s.Span.End.Offset
			require.LessOrEqual(t, last, start)
			require.LessOrEqual(t, start, end)
			require.LessOrEqual(t, end, len(file.Text))
			require.Equal(t, file.Text[start:end], s.Text)
			require.Positive(t, s.Span.Start.Line)
			require.Positive(t, s.Span.Start.Column)
			require.True(t, s.Control != "" || len(s.Operations) > 0, "a statement without operations: %q", s.Text)
			last = end
		}
		for _, p := range file.Problems {
			require.NotEmpty(t, p.Message)
			require.LessOrEqual(t, p.Span.End.Offset, len(file.Text))
			require.LessOrEqual(t, p.Span.Start.Offset, p.Span.End.Offset)
		}
		if !utf8.Valid(src) {
			require.NotEmpty(t, file.Problems)
		}
		for _, version := range []int{14, 18} {
			a := phases.NewCatalog(version).Assess(file)
			require.Len(t, a.Statements, len(file.Statements))
			opaque := false
			for _, s := range a.Statements {
				for _, op := range s.Operations {
					_, known := phases.Describe(op.Kind)
					require.True(t, known, "%s has no row", op.Kind)
					opaque = opaque || op.Kind == phases.Opaque
				}
			}
			if opaque && len(file.Directives) == 0 {
				require.Equal(t, phases.Unknown, a.Phase, "what cannot be read is never harmless")
			}
		}
	})
}

func seeds() []string {
	return []string{
		phases.Fixture,
		"SELECT 'unterminated", "SELECT $a$ x $b$", "/* /* */", "\\set x 1\nSELECT :x;", "COPY t FROM stdin;\n1\t2\n\\.\nSELECT 1;",
		"BEGIN; CREATE TABLE a (); COMMIT;", "-- pawl:allow x: y\nSELECT 1; -- pawl:assume expand: z", "E'\\", "$$", "U&\"\\0061\"", ";;;",
		"DO $$ BEGIN IF x THEN EXECUTE 'drop table ' || y; ELSE PERFORM f(1); END IF; FOR r IN SELECT 1 LOOP INSERT INTO t VALUES (r); END LOOP; END $$;",
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END;",
		"ALTER TABLE t ADD COLUMN g int GENERATED ALWAYS AS (a) VIRTUAL, ADD CONSTRAINT n NOT NULL a NOT VALID, ALTER c SET EXPRESSION AS (1);",
		"MERGE INTO t USING s ON t.a = s.a WHEN NOT MATCHED BY SOURCE THEN DELETE RETURNING merge_action(), t.*;",
		"SELECT JSON_VALUE(j, '$.a' RETURNING int) FROM JSON_TABLE(j, '$' COLUMNS (a int)) x;",
		"WITH RECURSIVE a AS (SELECT 1 UNION SELECT * FROM a), b AS (DELETE FROM t RETURNING *) SELECT * FROM a, b;",
		"CREATE TABLE p PARTITION OF q FOR VALUES FROM (MINVALUE) TO ('x') PARTITION BY LIST (a);",
		"CREATE TABLE a (LIKE a INCLUDING ALL) INHERITS (a); ALTER TABLE a INHERIT a; ALTER TABLE a ATTACH PARTITION a DEFAULT; DROP TABLE a CASCADE;",
		"CREATE VIEW v AS SELECT * FROM v; CREATE OR REPLACE VIEW v AS SELECT * FROM v; DROP VIEW v CASCADE;",
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT f()'; SELECT f();",
		"CREATE DOMAIN d AS d; CREATE TABLE x (y d); ALTER TABLE x ALTER y TYPE d;",
		"PREPARE p AS EXECUTE p; EXECUTE p;", "CREATE SCHEMA s CREATE TABLE t (a int) CREATE VIEW v AS SELECT a FROM t;",
		strings.Repeat("(", 600), "SELECT 1" + strings.Repeat("+1", 600), strings.Repeat("/*", 600),
	}
}

func TestTooDeepIsAnErrorWithAPlace(t *testing.T) {
	for name, src := range map[string]string{
		"operators":   "SELECT 1" + strings.Repeat("+1", 100_000),
		"casts":       "SELECT 1" + strings.Repeat("::int", 100_000),
		"unions":      "SELECT 1" + strings.Repeat(" UNION SELECT 1", 100_000),
		"joins":       "SELECT 1 FROM a" + strings.Repeat(" JOIN a ON true", 100_000),
		"parentheses": "SELECT " + strings.Repeat("(", 100_000) + "1" + strings.Repeat(")", 100_000),
		"cases":       "SELECT " + strings.Repeat("CASE WHEN true THEN ", 100_000) + "1" + strings.Repeat(" END", 100_000),
		"negations":   "SELECT " + strings.Repeat("NOT ", 100_000) + "true",
		"collations":  "SELECT 'a'" + strings.Repeat(" COLLATE \"C\"", 100_000),
		"a body":      "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1" + strings.Repeat("+1", 100_000) + "; END",
	} {
		t.Run(name, func(t *testing.T) {
			f := parse.File("m.sql", []byte("SELECT 1;\n"+src+";\nSELECT 2;"))
			require.Len(t, f.Statements, 3)
			require.Len(t, f.Problems, 1)
			require.Equal(t, phases.SyntaxProblem, f.Problems[0].Code)
			require.Contains(t, f.Problems[0].Message, "nested too deeply")
			require.Equal(t, 2, f.Problems[0].Span.Start.Line)
			require.Equal(t, phases.Unknown, phases.NewCatalog(0).Assess(f).Phase)
		})
	}
}

func TestLongListsAreNotDeep(t *testing.T) {
	for name, src := range map[string]string{
		"AND":        "SELECT true" + strings.Repeat(" AND a = 1", 20_000),
		"IN":         "SELECT 1 IN (1" + strings.Repeat(", -1", 50_000) + ")",
		"VALUES":     "INSERT INTO t VALUES (1, 'x')" + strings.Repeat(",\n(1 + 1, now() - interval '1 day')", 20_000),
		"statements": strings.Repeat("ALTER TABLE t ADD COLUMN c int;\n", 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			f := parse.File("m.sql", []byte(src))
			require.Empty(t, f.Problems)
			require.NotEqual(t, phases.Unknown, phases.NewCatalog(0).Assess(f).Phase)
		})
	}
}
