package integration

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// scores counts what one way of asking said against what PostgreSQL did.
type scores struct {
	missed            []string
	allowed, harmless int
	blocked           []string
	// compared counts the queries of which both copies and the changed database were asked.
	compared  int
	disagreed []string
}

// TestSoundness makes schemas, the statements of releases, and migrations, carries each migration out, runs every
// statement after it, and holds the gate's word against what happened: in its static form, with PostgreSQL asked on the
// changed database, and with PostgreSQL asked on temporary copies. PAWL_SOUNDNESS sets how many schemas are made
// for each major, PAWL_SOUNDNESS_FROM the first seed.
func TestSoundness(t *testing.T) {
	t.Parallel()
	worlds := 2
	if n, err := strconv.Atoi(os.Getenv("PAWL_SOUNDNESS")); err == nil {
		worlds = n
	}
	pgtest.EachMajor(t, func(t *testing.T, major int) {
		// Each major has worlds of its own: what differs between them shows sooner or later.
		first := 1 + (major-pgserver.Oldest)*worlds
		if n, err := strconv.Atoi(os.Getenv("PAWL_SOUNDNESS_FROM")); err == nil {
			first = n
		}
		total := map[string]*scores{"static": {}, "shadow": {}, "copies": {}}
		judged, refused, broken := 0, 0, 0
		for seed := first; seed < first+worlds; seed++ {
			trial := newTrial(t, major, uint64(seed)) //nolint:gosec // small and positive
			for _, change := range trial.world.changes {
				switch trial.judge(t, change, total) {
				case outcomeRefused:
					refused++
				case outcomeBroke:
					broken++
					judged++
				default:
					judged++
				}
			}
		}
		t.Logf("%d migrations judged (%d broke something), %d refused by PostgreSQL itself; %d answers on copies compared with the database's", judged, broken, refused, total["copies"].compared)
		for _, way := range []string{"static", "shadow", "copies"} {
			s := total[way]
			t.Logf("%s: %d missed, %d of %d harmless ones allowed", way, len(s.missed), s.allowed, s.harmless)
			for _, line := range firstOfEach(s.missed) {
				t.Error(way + ": " + line)
			}
			if os.Getenv("PAWL_SOUNDNESS_BLOCKED") == way {
				for _, line := range s.blocked {
					t.Log("blocked: " + line)
				}
			}
			for _, line := range firstOfEach(s.disagreed) {
				t.Error(way + ": " + line)
			}
			least := map[string]int{"static": 85, "shadow": 90, "copies": 85}[way]
			require.GreaterOrEqual(t, s.allowed*100, s.harmless*least, "%s: share of the harmless migrations that it allows", way)
		}
	})
}

type trialOutcome int

const (
	outcomeHarmless trialOutcome = iota
	outcomeBroke
	outcomeRefused
)

// trial is one world in a database of its own.
type trial struct {
	world *world
	seed  uint64
	major int
	db    *pgtest.DB
	conn  *pgx.Conn
	file  *phases.File
	// works are the statements that PostgreSQL carries out before any change, by release; each release has some of them.
	works   []sent
	queries []gate.Query
	reach   *evidence.Reach
	round   int
}

const (
	soundnessRole   = "pawl_soundness"
	sessionSettings = `set client_min_messages = error; set lock_timeout = '5s'`
)

func newTrial(t *testing.T, major int, seed uint64) *trial {
	t.Helper()
	r := &trial{world: newWorld(seed), seed: seed, major: major, db: pgtest.DatabaseOf(t, major)}
	r.conn = r.db.Conn(t)
	r.exec(t, sessionSettings)
	r.exec(t, `do $$ begin create role `+soundnessRole+` login; exception when duplicate_object or unique_violation then null; end $$`)
	setup := slices.Concat(r.world.setup, []string{
		"grant usage on schema side to " + soundnessRole,
		"grant all on all tables in schema public to " + soundnessRole, "grant all on all tables in schema side to " + soundnessRole,
		"grant all on all sequences in schema public to " + soundnessRole,
	})
	r.file = parseFile(t, "1_setup.sql", strings.Join(setup, ";\n")+";\n")
	for _, sql := range slices.Concat(setup, r.world.data) {
		_, err := r.conn.Exec(t.Context(), sql)
		require.NoError(t, err, "seed %d: %s", seed, sql)
	}
	r.exec(t, "begin")
	refused := r.try(t, r.world.statements)
	for i, s := range r.world.statements {
		if refused[i] == nil {
			r.works = append(r.works, s)
			r.queries = append(r.queries, gate.Query{ID: evidence.HashText(s.text), Text: s.text, Mentions: parse.Mentions(s.text)})
		}
	}
	r.exec(t, "rollback")
	require.Greater(t, len(r.works), len(r.world.statements)/2, "seed %d: most of the statements must work", seed)
	var err error
	r.reach, err = evidence.LoadReach(t.Context(), r.conn)
	require.NoError(t, err)
	return r
}

func (r *trial) exec(t *testing.T, sql string) {
	t.Helper()
	_, err := r.conn.PgConn().Exec(t.Context(), sql).ReadAll()
	require.NoError(t, err, "seed %d: %s", r.seed, sql)
}

// try executes each statement as the releases' role inside the open transaction and undoes it; nil stands for success.
func (r *trial) try(t *testing.T, list []sent) []*pgconn.PgError {
	t.Helper()
	r.exec(t, "savepoint begun; set local role "+soundnessRole+"; savepoint tried")
	out := make([]*pgconn.PgError, 0, len(list))
	for some := range slices.Chunk(list, 64) {
		pipeline := r.conn.PgConn().StartPipeline(t.Context())
		for _, s := range some {
			args := make([][]byte, len(s.args))
			for i, a := range s.args {
				args[i] = []byte(a)
			}
			pipeline.SendQueryParams(s.text, args, nil, nil, nil)
			pipeline.SendPipelineSync()
			pipeline.SendQueryParams("rollback to savepoint tried", nil, nil, nil, nil)
			pipeline.SendPipelineSync()
		}
		require.NoError(t, pipeline.Flush())
		for range some {
			out = append(out, answer(t, pipeline))
			require.Nil(t, answer(t, pipeline))
		}
		require.NoError(t, pipeline.Close())
	}
	r.exec(t, "rollback to savepoint begun; release savepoint begun")
	return out
}

// answer reads what the server says to one statement.
func answer(t *testing.T, pipeline *pgconn.Pipeline) (refused *pgconn.PgError) {
	t.Helper()
	for {
		result, err := pipeline.GetResults()
		switch v := result.(type) {
		case *pgconn.ResultReader:
			if err == nil {
				_, err = v.Close()
			}
		case *pgconn.PipelineSync:
			return refused
		}
		if err != nil {
			require.ErrorAs(t, err, &refused)
		}
	}
}

// judge carries a change out, runs the statements, rolls back, and asks the gate in each way.
func (r *trial) judge(t *testing.T, change string, total map[string]*scores) trialOutcome {
	t.Helper()
	ctx := t.Context()
	r.round++
	texts := make([]string, len(r.works))
	ids := make([]string, len(r.works))
	for i, s := range r.works {
		texts[i], ids[i] = s.text, evidence.HashText(s.text)
	}
	r.exec(t, "begin")
	before, err := evidence.Prepare(ctx, r.conn, texts)
	require.NoError(t, err)
	if _, err := r.conn.PgConn().Exec(ctx, change).ReadAll(); err != nil {
		r.exec(t, "rollback")
		return outcomeRefused
	}
	failures := map[string]*pgconn.PgError{}
	for i, refused := range r.try(t, r.works) {
		if refused != nil {
			failures[ids[i]] = refused
		}
	}
	after, err := evidence.Prepare(ctx, r.conn, texts)
	require.NoError(t, err)
	r.exec(t, "rollback")
	if strings.Contains(change, " type ") {
		// PL/pgSQL goes on with the row types of a change that was rolled back: a session of its own for what comes next.
		require.NoError(t, r.conn.Close(ctx))
		r.conn = r.db.Conn(t)
		r.exec(t, sessionSettings)
	}
	proofs := evidence.Prove(ids, texts, before, after)

	outcome := outcomeHarmless
	if len(failures) > 0 {
		outcome = outcomeBroke
	}
	catalog := phases.NewCatalog(r.major)
	catalog.Assess(r.file)
	catalog.Mark()
	reach := evidence.ReachIn(catalog)
	assessment := catalog.Assess(parseFile(t, "2_change.sql", change+";\n"))
	static := migrate.ChangeOf(assessment)
	reach.Know(&static)
	if r.round%2 == 0 {
		r.copies(t, change, assessment, failures, proofs, total["copies"])
	}
	// Several releases, each with some of the statements, so that both answers occur; and one with all of them.
	for k := range 3 {
		var some []gate.Query
		for i, q := range r.queries {
			if k == 0 || (i+r.round)%(5+4*k) == 0 {
				some = append(some, q)
			}
		}
		r.release(t, change, some, failures, proofs, static, total)
	}
	return outcome
}

// release asks about one release in each way.
func (r *trial) release(t *testing.T, change string, some []gate.Query, failures map[string]*pgconn.PgError, proofs map[string]gate.Proof, static gate.Change, total map[string]*scores) {
	t.Helper()
	m := &gate.Manifest{Complete: true, Queries: some}
	e := gate.Evidence{Registered: true, Releases: []gate.Release{{Consumer: "app", ID: "r1", Why: []gate.Eligibility{gate.WhyLive}, Manifest: m}}}

	r.score(total["static"], change, some, failures, proofs, static.Phase.Gated(), gate.Decide(static, e, gate.Policy{}, time.Now()))

	asked := cloneChange(static)
	for _, list := range [][]gate.Taken{asked.Takes, asked.Adds} {
		for i := range list {
			list[i].Proved = true
		}
	}
	r.reach.Know(&asked)
	known := e
	known.Proofs = proofs
	r.score(total["shadow"], change, some, failures, proofs, static.Phase.Gated(), gate.Decide(asked, known, gate.Policy{}, time.Now()))
}

// copies asks on temporary copies, as a run of migrations does, and compares PostgreSQL's word there with its word on the
// changed database.
func (r *trial) copies(t *testing.T, change string, a *phases.Assessment, failures map[string]*pgconn.PgError, proofs map[string]gate.Proof, s *scores) {
	t.Helper()
	asked := migrate.ChangeOf(a)
	r.reach.Know(&asked)
	m := &gate.Manifest{Complete: true, Queries: r.queries}
	e := gate.Evidence{Registered: true, Releases: []gate.Release{{Consumer: "app", ID: "r1", Why: []gate.Eligibility{gate.WhyLive}, Manifest: m}}}
	judged, err := evidence.OnCopies(t.Context(), r.conn, a, asked, e.Releases)
	require.NoError(t, err, change)
	if judged != nil {
		e.Proofs = judged.Proofs
		if !slices.Contains(judged.Applied, false) {
			for _, q := range r.queries {
				r.agree(s, change, asked, q, judged.Proofs, proofs[q.ID])
			}
		}
	}
	r.score(s, change, r.queries, failures, proofs, asked.Phase.Gated(), gate.Decide(asked, e, gate.Policy{}, time.Now()))
}

// agree compares what PostgreSQL says of a query that meets only copied relations.
func (r *trial) agree(s *scores, change string, asked gate.Change, q gate.Query, copied map[string]gate.Proof, inPlace gate.Proof) {
	p, ok := copied[q.ID]
	if !ok || slices.ContainsFunc(asked.Takes, func(k gate.Taken) bool {
		how := q.Mentions.Meets(k.Take, k.Reach, k.Columns...)
		return how.Uses != 0 && (how.Through || how.Inside || !k.Proved)
	}) {
		return
	}
	s.compared++
	if p.Before != inPlace.Before || p.Code != inPlace.Code || (p.Changed == "") != (inPlace.Changed == "") {
		s.disagreed = append(s.disagreed, fmt.Sprintf("seed %d, %s: %q: copies say %q %q, the database says %q %q", r.seed, change, q.Text, p.After, p.Changed, inPlace.After, inPlace.Changed))
	}
}

func cloneChange(c gate.Change) gate.Change {
	c.Takes, c.Adds = slices.Clone(c.Takes), slices.Clone(c.Adds)
	return c
}

// swallows reports whether a change is a rule that does nothing where the query inserts.
func swallows(change string, q gate.Query) bool {
	rest, ok := strings.CutPrefix(change, "create rule r as on insert to ")
	table, nothing := strings.CutSuffix(rest, " do instead nothing")
	return ok && nothing && slices.ContainsFunc(q.Mentions.Relations, func(m phases.RelationMention) bool { return m.Name == table && m.Uses&phases.Insert != 0 })
}

func (r *trial) score(s *scores, change string, some []gate.Query, failures map[string]*pgconn.PgError, changed map[string]gate.Proof, contract bool, d gate.Decision) {
	// What changes a result's shape hurts a client that looks at it, unless it only adds.
	harmless := true
	for _, each := range some {
		refused := failures[each.ID]
		if refused == nil && swallows(change, each) {
			// It runs, and what it inserts is lost.
			harmless = false
			if d.Allowed {
				s.missed = append(s.missed, fmt.Sprintf("seed %d, %s: allowed as %s, and afterwards %q does nothing", r.seed, change, d.Verdict, each.Text))
			}
			continue
		}
		if refused == nil {
			harmless = harmless && (!contract || changed[each.ID].Changed == "")
			continue
		}
		harmless = false
		if !d.Allowed {
			continue
		}
		named := slices.ContainsFunc(d.Findings, func(f gate.Finding) bool { return f.Query == each.Text && f.Verdict == gate.Possible })
		if !named || !valueDecides(refused, each.Text) {
			s.missed = append(s.missed, fmt.Sprintf("seed %d, %s: allowed as %s, and afterwards %q fails: %s (%s)", r.seed, change, d.Verdict, each.Text, refused.Message, refused.Code))
		}
	}
	if harmless {
		s.harmless++
		if d.Allowed {
			s.allowed++
		} else {
			s.blocked = append(s.blocked, fmt.Sprintf("seed %d, %s: %s %q: %s", r.seed, change, d.Findings[0].Verdict, d.Findings[0].Query, d.Findings[0].Message))
		}
	}
}

// valueDecides reports whether another value in the same statement could have passed.
func valueDecides(e *pgconn.PgError, text string) bool {
	switch {
	case e.Code == "23502":
		// A column that the statement leaves out has no value to choose.
		return strings.Contains(text, e.ColumnName)
	case strings.HasPrefix(e.Code, "23"), strings.HasPrefix(e.Code, "22"), e.Code == "P0001", e.Code == "44000":
		return true
	}
	return false
}

func parseFile(t *testing.T, name, text string) *phases.File {
	t.Helper()
	f := parse.File(name, []byte(text))
	require.Empty(t, f.Problems, text)
	return f
}

// firstOfEach keeps one line for each change: the same gap shows in many statements.
func firstOfEach(lines []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		change, _, _ := strings.Cut(line, ": ")
		twice := seen[change]
		seen[change] = true
		return twice
	})
}
