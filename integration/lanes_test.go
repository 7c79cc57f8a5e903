package integration

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// story is a generated history: files that make tables, and later ones that add to them and take from them.
type story struct {
	first, later []string
	// sends are statements that suit the tables as the first files leave them.
	sends []string
}

func newStory(seed uint64) story {
	rng := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // the same numbers each time are wanted
	var s story
	columns := map[string][]string{}
	var tables []string
	for i := range 4 {
		name := fmt.Sprintf("t%d", i)
		tables = append(tables, name)
		columns[name] = []string{"a", "b", "c"}
		s.first = append(s.first, fmt.Sprintf("create table %s (id int primary key, a int, b text default 'x', c int not null default 0);", name))
		for _, c := range columns[name] {
			if rng.IntN(2) == 0 {
				s.sends = append(s.sends, fmt.Sprintf("select %s from %s where id = $1", c, name))
			}
		}
	}
	for n := range 14 {
		name := tables[rng.IntN(len(tables))]
		has := columns[name]
		switch kind := rng.IntN(8); {
		case kind < 2:
			c := fmt.Sprintf("n%d", n)
			columns[name] = append(has, c)
			s.later = append(s.later, fmt.Sprintf("alter table %s add column %s int;", name, c))
		case kind < 5 && len(has) > 0:
			i := rng.IntN(len(has))
			s.later = append(s.later, fmt.Sprintf("alter table %s drop column %s;", name, has[i]))
			columns[name] = slices.Delete(slices.Clone(has), i, i+1)
		case kind == 5 && len(has) > 0:
			i := rng.IntN(len(has))
			s.later = append(s.later, fmt.Sprintf("alter table %s rename column %s to r%d;", name, has[i], n))
			columns[name] = append(slices.Delete(slices.Clone(has), i, i+1), fmt.Sprintf("r%d", n))
		case kind == 6 && len(has) > 0:
			s.later = append(s.later, fmt.Sprintf("create index i%d on %s (%s);", n, name, has[rng.IntN(len(has))]))
		default:
			other := fmt.Sprintf("u%d", n)
			tables = append(tables, other)
			columns[other] = []string{"a"}
			s.later = append(s.later, fmt.Sprintf("create table %s (id int primary key, a int, t_id int references %s);", other, name))
		}
	}
	return s
}

// Files in order on an empty database, and in lanes on an old one whose release holds contracts back for a while, give
// the same catalog.
func TestBothOrdersAgree(t *testing.T) {
	t.Parallel()
	held := 0
	for seed := range uint64(10) {
		s := newStory(seed)
		all := fstest.MapFS{}
		old := fstest.MapFS{}
		for i, text := range slices.Concat(s.first, s.later) {
			file := &fstest.MapFile{Data: []byte(text)}
			all[fmt.Sprintf("%04d_step.sql", i+1)] = file
			if i < len(s.first) {
				old[fmt.Sprintf("%04d_step.sql", i+1)] = file
			}
		}
		inOrder := pgtest.Database(t)
		r := up(t, inOrder.URL, all, migrate.Options{})
		require.Empty(t, r.Held, "on an empty database nothing is old (seed %d)", seed)

		inLanes := pgtest.Database(t)
		up(t, inLanes.URL, old, migrate.Options{})
		// The release that comes in needs none of what waits behind a contract.
		coming := migrate.Options{Manifests: []*evidence.Manifest{manifest("worker", "r1", "select 1")}}
		m := migrator(t, inLanes.URL, all, coming)
		require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r1", s.sends...)))
		require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.LiveNow, ""))
		r = up(t, inLanes.URL, all, coming)
		held += len(r.Held)
		require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.Retired, "gone"))
		r = up(t, inLanes.URL, all, coming)
		require.Empty(t, r.Held, "seed %d", seed)
		require.Equal(t, pgtest.Catalog(t, inOrder), pgtest.Catalog(t, inLanes), "seed %d", seed)
	}
	require.Greater(t, held, 20, "the releases must have held something back")
}
