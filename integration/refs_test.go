package integration

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/parse"
)

// truth is PostgreSQL's own analysis: the body of a BEGIN ATOMIC function keeps, for each relation of the query at
// every level, the bitmaps of the columns that it selects, inserts and updates. Bit 7 is the whole row.
type truth struct {
	conn   *pgx.Conn
	major  int
	schema *parse.Schema
	// relations are the names of pg_class's rows, attributes the columns of each by number.
	relations  map[string]string
	attributes map[string][]string
	types      map[string]string
}

func newTruth(t *testing.T, major int, conn *pgx.Conn) *truth {
	t.Helper()
	ctx := t.Context()
	_, err := conn.Exec(ctx, "begin")
	require.NoError(t, err)
	tr := &truth{
		conn: conn, major: major, relations: map[string]string{}, attributes: map[string][]string{}, types: map[string]string{},
		schema: &parse.Schema{Relations: map[string][]string{}, Functions: map[string][]string{}, Constraints: map[string][]string{}},
	}
	require.NoError(t, conn.QueryRow(ctx, "select current_schemas(true)::text[]").Scan(&tr.schema.Path))
	rows, err := conn.Query(ctx, `
select c.oid::text, n.nspname || '.' || c.relname,
       array_agg(case when a.attisdropped then '' else a.attname::text end order by a.attnum)
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
where c.relkind in ('r', 'v', 'm', 'p', 'f') group by 1, 2`)
	require.NoError(t, err)
	var oid, name string
	var list []string
	_, err = pgx.ForEachRow(rows, []any{&oid, &name, &list}, func() error {
		tr.relations[oid], tr.attributes[name] = name, slices.Clone(list)
		tr.schema.Relations[name] = slices.DeleteFunc(slices.Clone(list), func(c string) bool { return c == "" })
		return nil
	})
	require.NoError(t, err)
	rows, err = conn.Query(ctx, `
select n.nspname || '.' || p.proname, coalesce(
    (select array_agg(x.name order by x.i) from unnest(p.proargnames, p.proargmodes) with ordinality x(name, mode, i) where x.mode in ('o', 'b', 't')),
    (select array_agg(a.attname::text order by a.attnum) from pg_attribute a join pg_type y on y.typrelid = a.attrelid
     where y.oid = p.prorettype and a.attnum > 0 and not a.attisdropped),
    '{}')
from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_type r on r.oid = p.prorettype
where r.typtype <> 'p' or p.proallargtypes is not null or r.typname = 'void'`)
	require.NoError(t, err)
	several := map[string]bool{}
	_, err = pgx.ForEachRow(rows, []any{&name, &list}, func() error {
		if have, ok := tr.schema.Functions[name]; ok && !slices.Equal(have, list) {
			several[name] = true
		}
		tr.schema.Functions[name] = slices.Clone(list)
		return nil
	})
	require.NoError(t, err)
	for name := range several {
		delete(tr.schema.Functions, name)
	}
	rows, err = conn.Query(ctx, `
select n.nspname || '.' || r.relname || '.' || c.conname, array_agg(a.attname::text)
from pg_constraint c join pg_class r on r.oid = c.conrelid join pg_namespace n on n.oid = r.relnamespace
join pg_attribute a on a.attrelid = r.oid and a.attnum = any (c.conkey) where c.contype in ('p', 'u', 'x') group by 1`)
	require.NoError(t, err)
	_, err = pgx.ForEachRow(rows, []any{&name, &list}, func() error {
		tr.schema.Constraints[name] = slices.Clone(list)
		return nil
	})
	require.NoError(t, err)
	rows, err = conn.Query(ctx, "select oid::text, format_type(oid, null) from pg_type")
	require.NoError(t, err)
	var typ string
	_, err = pgx.ForEachRow(rows, []any{&oid, &typ}, func() error { tr.types[oid] = typ; return nil })
	require.NoError(t, err)
	return tr
}

var (
	permissions   = regexp.MustCompile(`RTEPERMISSIONINFO :relid (\d+) :inh \w+ :requiredPerms (\d+) :checkAsUser \d+ :selectedCols \(b([ \d]*)\) :insertedCols \(b([ \d]*)\) :updatedCols \(b([ \d]*)\)`)
	permissions14 = regexp.MustCompile(`:rtekind 0 :relid (\d+)[^{}]*?:requiredPerms (\d+) :checkAsUser \d+ :selectedCols \(b([ \d]*)\) :insertedCols \(b([ \d]*)\) :updatedCols \(b([ \d]*)\)`)
)

// of gives the columns that PostgreSQL says the query uses; ok is false where it does not analyse the query.
func (tr *truth) of(t *testing.T, query string) (map[phases.Object]phases.Use, bool) {
	t.Helper()
	ctx := t.Context()
	_, err := tr.conn.Exec(ctx, "savepoint q")
	require.NoError(t, err)
	defer func() {
		_, err := tr.conn.Exec(ctx, "rollback to q")
		require.NoError(t, err)
	}()
	prepared, err := tr.conn.PgConn().Prepare(ctx, "", query, nil)
	if err != nil {
		return nil, false
	}
	var params []string
	for _, oid := range prepared.ParamOIDs {
		params = append(params, tr.types[strconv.Itoa(int(oid))])
	}
	_, err = tr.conn.PgConn().Exec(ctx, fmt.Sprintf("create function pg_temp.q_(%s) returns void begin atomic %s\n; end",
		strings.Join(params, ","), strings.TrimRight(query, "; \n"))).ReadAll()
	if err != nil {
		return nil, false
	}
	var body string
	require.NoError(t, tr.conn.QueryRow(ctx, "select prosqlbody::text from pg_proc where proname = 'q_'").Scan(&body))
	pattern := permissions
	if tr.major < 16 {
		pattern = permissions14
	}
	out := map[phases.Object]phases.Use{}
	for _, m := range pattern.FindAllStringSubmatch(body, -1) {
		if m[2] == "0" {
			continue
		}
		key := tr.relations[m[1]]
		schema, name, _ := strings.Cut(key, ".")
		for i, bits := range m[3:6] {
			use := []phases.Use{phases.Read, phases.Insert, phases.Update}[i]
			for _, bit := range strings.Fields(bits) {
				n, err := strconv.Atoi(bit)
				require.NoError(t, err)
				columns := tr.schema.Relations[key]
				if n > 7 {
					columns = tr.attributes[key][n-8 : n-7]
				} else if n < 7 {
					continue
				}
				for _, c := range columns {
					out[phases.Object{Kind: phases.Column, Schema: schema, Relation: name, Column: c}] |= use
				}
			}
		}
	}
	return out, true
}

// tally compares what the two resolvers find with the truth.
type tally struct {
	statements, exact, fallback int
	truePairs, mentionedPairs   int
	missed, wrong, unanalysed   []string
	unresolved                  []string
}

const columnUses = phases.Read | phases.Insert | phases.Update

func (tr *truth) compare(t *testing.T, sum *tally, query string, among func(schema string) bool) {
	t.Helper()
	want, ok := tr.of(t, query)
	if !ok {
		sum.unanalysed = append(sum.unanalysed, query)
		return
	}
	sum.statements++
	m := parse.Mentions(query)
	meets := func(o phases.Object, uses phases.Use) bool {
		return m.Meets(phases.Take{Object: o, Uses: uses}, nil).Uses != 0
	}
	for o, uses := range want {
		for _, use := range []phases.Use{phases.Read, phases.Insert, phases.Update} {
			if uses&use != 0 && !meets(o, use|phases.Star) {
				sum.missed = append(sum.missed, fmt.Sprintf("%s %s: %s", o, use, query))
			}
		}
		if among(o.Schema) {
			sum.truePairs++
		}
	}
	for key, columns := range tr.schema.Relations {
		schema, name, _ := strings.Cut(key, ".")
		if !among(schema) {
			continue
		}
		for _, c := range columns {
			if meets(phases.Object{Kind: phases.Column, Schema: schema, Relation: name, Column: c}, columnUses|phases.Star) {
				sum.mentionedPairs++
			}
		}
	}
	refs, exact := parse.References(query, tr.schema)
	got := map[phases.Object]phases.Use{}
	for _, r := range refs {
		if r.Object.Column != "" {
			if use := r.Uses & columnUses; use != 0 {
				got[r.Object] = use
			}
		}
	}
	same := len(got) == len(want)
	for o, uses := range want {
		same = same && got[o] == uses
		if exact && got[o]&uses != uses || !exact && got[o] == 0 && parse.Mentions(query).Meets(phases.Take{Object: o, Uses: phases.AnyUse}, nil).Uses == 0 {
			sum.wrong = append(sum.wrong, fmt.Sprintf("%s is %s, found %s: %s", o, uses, got[o], query))
		}
	}
	switch {
	case !exact:
		sum.fallback++
		sum.unresolved = append(sum.unresolved, query)
	case same:
		sum.exact++
	default:
		var extra []string
		for o, uses := range got {
			if want[o] != uses {
				extra = append(extra, fmt.Sprintf("%s %s instead of %q", o, uses, want[o].String()))
			}
		}
		slices.Sort(extra)
		sum.unresolved = append(sum.unresolved, strings.Join(extra, ", ")+": "+query)
	}
}

func (sum *tally) require(t *testing.T, most float64) {
	t.Helper()
	over := float64(sum.mentionedPairs) / float64(max(1, sum.truePairs))
	share := 100 * float64(sum.exact) / float64(max(1, sum.statements))
	t.Logf("%d statements (%d not analysed): mentions name %.2f times the columns used; resolved as PostgreSQL does %.1f%%, by mentions %d",
		sum.statements, len(sum.unanalysed), over, share, sum.fallback)
	for _, q := range sum.unresolved {
		t.Log("differs: ", q)
	}
	require.Empty(t, sum.missed, "mentions miss a column")
	require.Empty(t, sum.wrong, "the resolver misses a column")
	require.LessOrEqual(t, over, most)
	require.GreaterOrEqual(t, share, 99.0)
}

// statementsOf cuts a file of queries, one a line, into its schema and the queries.
func statementsOf(t *testing.T, path string) (schema string, queries []string) {
	t.Helper()
	text, err := os.ReadFile(path) //nolint:gosec // a test's data
	require.NoError(t, err)
	schema, rest, ok := strings.Cut(string(text), "-- QUERIES\n")
	require.True(t, ok)
	for line := range strings.Lines(rest) {
		if line = strings.TrimRight(strings.TrimSpace(line), ";"); line != "" {
			queries = append(queries, line)
		}
	}
	return schema, queries
}

// TestMentionsAgainstPostgreSQL holds mentions and references to PostgreSQL's own analysis: no column that it says is
// used may be missed, and what is named beyond that is bounded.
func TestMentionsAgainstPostgreSQL(t *testing.T) {
	t.Parallel()
	pgtest.EachMajor(t, func(t *testing.T, major int) {
		for _, file := range []string{"queries.sql", "more.sql"} {
			t.Run(file, func(t *testing.T) {
				t.Parallel()
				schema, queries := statementsOf(t, filepath.Join("testdata", "refs", file))
				conn := pgtest.DatabaseOf(t, major).Conn(t)
				_, err := conn.Exec(t.Context(), schema)
				require.NoError(t, err)
				tr := newTruth(t, major, conn)
				sum := &tally{}
				for _, q := range queries {
					tr.compare(t, sum, q, func(schema string) bool { return schema == "public" || schema == "app" })
				}
				for _, q := range sum.unanalysed {
					t.Log("not analysed: ", q)
				}
				const most = 1.25
				sum.require(t, most)
				require.LessOrEqual(t, len(sum.unanalysed), cmp.Or(len(queries)/25, 1))
			})
		}
		t.Run("system views", func(t *testing.T) {
			t.Parallel()
			conn := pgtest.DatabaseOf(t, major).Conn(t)
			rows, err := conn.Query(t.Context(), "select pg_get_viewdef(oid) from pg_class where relkind = 'v' order by oid")
			require.NoError(t, err)
			queries, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			tr := newTruth(t, major, conn)
			sum := &tally{}
			for _, q := range queries {
				tr.compare(t, sum, q, func(string) bool { return true })
			}
			const most = 1.25
			sum.require(t, most)
		})
	})
}
