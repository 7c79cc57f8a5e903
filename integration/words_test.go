package integration

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// The ledger's words of a statement are those that the gate's words are meant for.
func TestWordsOfStatements(t *testing.T) {
	t.Parallel()
	pgtest.EachMajor(t, func(t *testing.T, major int) {
		db := pgtest.DatabaseOf(t, major)
		up(t, db.URL, history("0001_a.sql", "create table a (id int);"), migrate.Options{})
		texts := []string{
			"", "select 1", `select "Odd Name", $1 from Users_2 u`, "select E'\\x41'", `select U&"d\0061ta"`, "select 'a'\n  'b'", "select 'a', 'b'",
			"select 'größe' from straße where ÀB = 1", "insert into " + string(slices.Repeat([]byte("x"), 100)) + " values (1)", "select 'it''s', 'x\ty' -- c\r\n",
		}
		for seed := range uint64(4) {
			for _, s := range newWorld(seed).statements {
				texts = append(texts, s.text)
			}
		}
		conn := db.Conn(t)
		for _, text := range texts {
			var words []string
			require.NoError(t, conn.QueryRow(t.Context(), `select coalesce(array(select w from unnest(pawl.words($1, $2)) w order by w collate "C"), '{}')`,
				evidence.HashText(text), text).Scan(&words))
			require.Equal(t, append([]string{}, phases.Words(text)...), append([]string{}, words...), "%q", text)
		}
	})
}

// Whatever a change may affect has one of the words by which the ledger is searched.
func TestWordsFindWhatIsAffected(t *testing.T) {
	t.Parallel()
	met := 0
	for seed := range uint64(12) {
		w := newWorld(seed)
		var setup string
		for _, sql := range w.setup {
			setup += sql + ";\n"
		}
		file := parseFile(t, "1_setup.sql", setup)
		queries := make([]gate.Query, len(w.statements))
		for i, s := range w.statements {
			queries[i] = gate.Query{ID: s.text, Text: s.text, Mentions: parse.Mentions(s.text)}
		}
		for _, change := range w.changes {
			catalog := phases.NewCatalog(0)
			catalog.Assess(file)
			catalog.Mark()
			reach := evidence.ReachIn(catalog)
			c := migrate.ChangeOf(catalog.Assess(parseFile(t, "2_change.sql", change+";\n")))
			reach.Know(&c)
			words := c.Words()
			if words == nil {
				continue
			}
			for _, q := range queries {
				if !c.Suspects(q) {
					continue
				}
				met++
				have := phases.Words(q.Text)
				require.True(t, slices.ContainsFunc(append(words, "*"), func(word string) bool { return slices.Contains(have, word) }),
					"%s: %q has none of %v", change, q.Text, words)
			}
		}
	}
	require.Greater(t, met, 10_000)
}
