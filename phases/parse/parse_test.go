package parse_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/parse"
)

// place writes a position as line and column.
func place(p phases.Position) [2]int { return [2]int{p.Line, p.Column} }

func TestSpans(t *testing.T) {
	for name, tc := range map[string]struct {
		src        string
		texts      []string
		start, end [2]int // of the last statement
	}{
		"comments stay outside":   {"-- head\n/* a /* b */ */ SELECT 1 /* in */ + 2 -- tail\n; -- more\n", []string{"SELECT 1 /* in */ + 2"}, [2]int{2, 17}, [2]int{2, 38}},
		"columns are characters":  {"SELECT 'é'; SELECT 'ü' AS x", []string{"SELECT 'é'", "SELECT 'ü' AS x"}, [2]int{1, 13}, [2]int{1, 28}},
		"byte order mark":         {"\xef\xbb\xbfSELECT 1", []string{"SELECT 1"}, [2]int{1, 1}, [2]int{1, 9}},
		"carriage returns":        {"SELECT 1;\r\n\r\nSELECT\r\n2;\r\n", []string{"SELECT 1", "SELECT\r\n2"}, [2]int{3, 1}, [2]int{4, 2}},
		"semicolons in a string":  {"SELECT ';', $$;$$, $a$;$a$, E'\\';', \";\" FROM x; SELECT 2", []string{"SELECT ';', $$;$$, $a$;$a$, E'\\';', \";\" FROM x", "SELECT 2"}, [2]int{1, 49}, [2]int{1, 57}},
		"a body of BEGIN ATOMIC":  {"CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END; SELECT 1", []string{"CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END", "SELECT 1"}, [2]int{1, 108}, [2]int{1, 116}},
		"only comments":           {"-- nothing\n/* here */", nil, [2]int{}, [2]int{}},
		"empty statements":        {";;\n; SELECT 1;;", []string{"SELECT 1"}, [2]int{2, 3}, [2]int{2, 11}},
		"the same when one fails": {"SELECT frm frm frm; -- x\nCREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END; SELECT ';'", []string{"SELECT frm frm frm", "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END", "SELECT ';'"}, [2]int{2, 74}, [2]int{2, 84}},
		"an open parenthesis":     {"SELECT (1; SELECT 2; SELECT 3", []string{"SELECT (1", "SELECT 2", "SELECT 3"}, [2]int{1, 22}, [2]int{1, 30}},
	} {
		t.Run(name, func(t *testing.T) {
			f := parse.File("m.sql", []byte(tc.src))
			var texts []string
			for _, s := range f.Statements {
				texts = append(texts, s.Text)
				require.Equal(t, s.Text, f.Text[s.Span.Start.Offset:s.Span.End.Offset])
			}
			require.Equal(t, tc.texts, texts)
			if n := len(f.Statements); n > 0 {
				require.Equal(t, tc.start, place(f.Statements[n-1].Span.Start))
				require.Equal(t, tc.end, place(f.Statements[n-1].Span.End))
			}
		})
	}
}

func TestProblems(t *testing.T) {
	for name, tc := range map[string]struct {
		src     string
		code    phases.ProblemCode
		at      [2]int
		message string
		hint    string
	}{
		"syntax":                    {"SELECT 1;\nSELECT 'é', 1 frm frm x;", phases.SyntaxProblem, [2]int{2, 19}, `syntax error at or near "frm"`, ""},
		"psql variable":             {"SELECT :name;", phases.SyntaxProblem, [2]int{1, 8}, "syntax error", "psql variables"},
		"psql command":              {"SELECT 1;\n  \\i other.sql\n", phases.MetaCommandProblem, [2]int{2, 3}, `\i is a command of psql`, "put that file's statements here"},
		"NUL":                       {"SELECT 1;\nSELECT\x00", phases.EncodingProblem, [2]int{2, 7}, "NUL byte", ""},
		"Latin-1":                   {"SELECT 'caf\xe9'", phases.EncodingProblem, [2]int{1, 12}, "not UTF-8", ""},
		"UTF-16":                    {"\xff\xfeS\x00", phases.EncodingProblem, [2]int{1, 1}, "UTF-16", ""},
		"unknown directive":         {"SELECT 1;\n-- pawl:alow x: y\n", phases.DirectiveProblem, [2]int{2, 1}, "unknown directive pawl:alow", `did you mean "allow"?`},
		"unknown phase":             {"-- pawl:phase contrac\n", phases.DirectiveProblem, [2]int{1, 1}, "unknown phase", `did you mean "contract"?`},
		"no reason":                 {"-- pawl:assume expand\n", phases.DirectiveProblem, [2]int{1, 1}, "needs a reason", ""},
		"unknown option":            {"-- pawl:backfill tabel=users\n", phases.DirectiveProblem, [2]int{1, 1}, "unknown option", `did you mean "table"?`},
		"commit in the middle":      {"SELECT 1; COMMIT; SELECT 2;", phases.ControlProblem, [2]int{1, 11}, "transaction control (commit)", ""},
		"statement before the wrap": {"SELECT 1; BEGIN; COMMIT;", phases.ControlProblem, [2]int{1, 11}, "transaction control (begin)", ""},
		"unterminated string":       {"SELECT 1;\nSELECT 'x", phases.SyntaxProblem, [2]int{2, 8}, "unterminated quoted string", ""},
		"unterminated comment":      {"SELECT 1;\n/* a /* b */", phases.SyntaxProblem, [2]int{2, 1}, "unterminated /* comment", "close it"},
	} {
		t.Run(name, func(t *testing.T) {
			f := parse.File("m.sql", []byte(tc.src))
			require.NotEmpty(t, f.Problems)
			p := f.Problems[0]
			require.Equal(t, tc.code, p.Code)
			require.Equal(t, tc.at, place(p.Span.Start))
			require.Contains(t, p.Message, tc.message)
			require.Contains(t, p.Hint, tc.hint)
		})
	}
}

func TestOneBadStatementCostsItselfOnly(t *testing.T) {
	f := parse.File("m.sql", []byte("ALTER TABLE t ADD c int; ALTER TABLE t ADDD d int; ALTER TABLE t DROP e;"))
	require.Len(t, f.Problems, 1)
	require.Len(t, f.Statements, 3)
	require.Equal(t, phases.Kind("add_column"), f.Statements[0].Operations[0].Kind)
	require.Equal(t, phases.Opaque, f.Statements[1].Operations[0].Kind)
	require.Equal(t, phases.Kind("drop_column"), f.Statements[2].Operations[0].Kind)
}

func TestWrapped(t *testing.T) {
	for src, wrapped := range map[string]bool{
		"BEGIN; SELECT 1; COMMIT;":                  true,
		"start transaction; SELECT 1; end;":         true,
		"BEGIN; SAVEPOINT s; COMMIT;":               false,
		"BEGIN; COMMIT; BEGIN; COMMIT;":             false,
		"SELECT 1;":                                 false,
		"-- x\nBEGIN;\nSELECT 1;\n-- y\nCOMMIT\n\n": true,
	} {
		f := parse.File("m.sql", []byte(src))
		require.Equal(t, wrapped, f.Wrapped, src)
		require.Equal(t, wrapped || len(f.Statements) == 1, len(f.Problems) == 0, src)
	}
}

func TestDirectives(t *testing.T) {
	f := parse.File("m.sql", []byte(`-- pawl:phase contract
-- pawl:timeout lock=300ms statement=10min
SELECT '-- pawl:bogus', $$ -- pawl:bogus $$; -- pawl:allow one: behind
/* pawl:allow two: in a block */
SELECT 2;
-- pawl:assert SELECT count(*) = 0 FROM t WHERE x::int = 1
`))
	require.Empty(t, f.Problems)
	require.Len(t, f.Directives, 5)
	require.Equal(t, map[string]string{"lock": "300ms", "statement": "10min"}, f.Directives[1].Options)
	require.Equal(t, "behind", f.Directives[2].Reason)
	require.Equal(t, "SELECT count(*) = 0 FROM t WHERE x::int = 1", f.Directives[4].Arg)
	require.Len(t, f.Statements[0].Directives, 3)
	require.Len(t, f.Statements[1].Directives, 1)
	require.Equal(t, "two", f.Statements[1].Directives[0].Arg)
}

func TestTimeouts(t *testing.T) {
	for _, good := range []string{"lock=300ms", "statement=10min lock=1min", "statement=0", "lock=1h30m"} {
		require.Empty(t, parse.File("m.sql", []byte("-- pawl:timeout "+good+"\nSELECT 1;")).Problems, good)
	}
	for _, bad := range []string{"", "lock", "lock=", "lock=soon", "lock=5", "lock=0", "lock=1us", "statement=-1s", "statement=1d", "lock=1000h", "locks=1s"} {
		require.Len(t, parse.File("m.sql", []byte("-- pawl:timeout "+bad+"\nSELECT 1;")).Problems, 1, bad)
	}
}

func TestCopyRows(t *testing.T) {
	src := "COPY t (a) FROM stdin;\nx;'\n\\N\n\\.\n\\restrict abc\nCOPY t FROM STDIN WITH (FORMAT csv);\r\n1\r\n\\.\r\nSELECT 1;\n\\unrestrict abc\n"
	f := parse.File("m.sql", []byte(src))
	require.Empty(t, f.Problems)
	require.Len(t, f.Statements, 3)
	rows := func(i int) string {
		s := f.Statements[i].CopyData
		return f.Text[s.Start.Offset:s.End.Offset]
	}
	require.Equal(t, "x;'\n\\N\n", rows(0))
	require.Equal(t, "1\r\n", rows(1))
	require.Nil(t, f.Statements[2].CopyData)
}

func TestSuggest(t *testing.T) {
	require.Equal(t, "allow", phases.Suggest("alow", parse.Directives()))
	require.Equal(t, "phase", phases.Suggest("phsae", parse.Directives()))
	require.Empty(t, phases.Suggest("frobnicate", parse.Directives()))
}

// Every directive stands in the documentation, and its example there is one that pawl reads.
func TestDirectivesAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "formats.md"))
	require.NoError(t, err)
	for _, name := range parse.Directives() {
		_, rest, found := strings.Cut(string(text), "| `-- pawl:"+name+" ")
		require.True(t, found, name)
		argument, _, _ := strings.Cut(rest, "`")
		argument = strings.NewReplacer("SELECT …", "SELECT true", "RULE, RULE: REASON", "missing-index: r", "REASON", "r").Replace(argument)
		f := parse.File("m.sql", []byte("-- pawl:"+name+" "+argument+"\nupdate users set a = b where a is null;\n"))
		require.Empty(t, f.Problems, name)
	}
}
