package lint_test

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/lint"
)

// verdict is one line of testdata/cases.txt.
type verdict struct {
	line  int
	rule  string // empty for quiet
	words []string
	sql   string
}

func (v *verdict) has(word string) bool { return slices.Contains(v.words, word) }

func (v *verdict) version() int {
	for _, w := range v.words {
		if text, ok := strings.CutPrefix(w, "pg="); ok {
			n, _ := strconv.Atoi(text)
			return n
		}
	}
	return 14
}

func verdicts(t *testing.T) []verdict {
	t.Helper()
	text, err := os.ReadFile("testdata/cases.txt")
	require.NoError(t, err)
	var out []verdict
	for n, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		head, sql, ok := strings.Cut(line, ": ")
		require.True(t, ok, "line %d", n+1)
		v := verdict{line: n + 1, words: strings.Fields(head), sql: strings.NewReplacer(`\n`, "\n", `\\`, `\`).Replace(sql)}
		switch v.words[0] {
		case "finding":
			v.rule = v.words[1]
		case "quiet":
		default:
			t.Fatalf("line %d is neither finding nor quiet", n+1)
		}
		out = append(out, v)
	}
	return out
}

// TestCases is a table of statements on either side of the line between what hurts and what does not.
func TestCases(t *testing.T) {
	t.Parallel()
	schema, err := os.ReadFile("testdata/schema.sql")
	require.NoError(t, err)
	for _, v := range verdicts(t) {
		o := lint.Options{Version: v.version()}
		if v.has("always") {
			o.Transactions = lint.Always
		}
		l, err := lint.New(o)
		require.NoError(t, err)
		l.Learn(source("migrations/0001_schema.sql", string(schema)))
		var got []string
		for _, f := range l.Check(source("migrations/0002_case.sql", v.sql)) {
			got = append(got, f.Rule)
		}
		switch {
		case v.rule == "" && len(got) > 0:
			t.Errorf("line %d: %v in what is fine: %s", v.line, got, v.sql)
		case v.rule != "" && !slices.Contains(got, v.rule):
			t.Errorf("line %d: %v instead of %s: %s", v.line, got, v.rule, v.sql)
		}
	}
}

// outside matches what PostgreSQL does not run in a transaction, or not to the end.
var outside = regexp.MustCompile(`(?i)\b(begin;|start transaction|concurrently|vacuum|reindex|cluster|add value|pg_temp)\b|begin;`)

// TestCasesRun holds that what the table calls fine runs on PostgreSQL, and that it refuses what is said to be refused.
func TestCasesRun(t *testing.T) {
	t.Parallel()
	schema, err := os.ReadFile("testdata/schema.sql")
	require.NoError(t, err)
	fill := func(ctx context.Context, url string) error {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(ctx) }()
		_, err = conn.Exec(ctx, string(schema))
		return err
	}
	database := func(t *testing.T, major int) *pgx.Conn {
		t.Helper()
		return pgtest.TemplateOf(t, major, "lint-cases", fill).Conn(t)
	}
	shared := map[int]*pgx.Conn{}
	for _, v := range verdicts(t) {
		if v.has("text") {
			continue
		}
		alone := v.has("alone") || outside.MatchString(v.sql)
		conn := shared[v.version()]
		if alone || conn == nil {
			conn = database(t, v.version())
			if !alone {
				shared[v.version()] = conn
			}
		}
		pg := conn.PgConn()
		var failed error
		if alone {
			for _, s := range source("case.sql", v.sql).File.Statements {
				if _, failed = pg.Exec(t.Context(), s.Text).ReadAll(); failed != nil {
					break
				}
			}
			require.NoError(t, conn.Close(t.Context()))
		} else {
			_, failed = pg.Exec(t.Context(), "begin").ReadAll()
			require.NoError(t, failed)
			_, failed = pg.Exec(t.Context(), v.sql).ReadAll()
			_, err := pg.Exec(t.Context(), "rollback; reset all").ReadAll()
			require.NoError(t, err)
		}
		if v.has("error") != (failed != nil) {
			t.Errorf("line %d on PostgreSQL %d: error %v: %s", v.line, v.version(), failed, v.sql)
		}
	}
}
