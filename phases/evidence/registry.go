package evidence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// ErrUnknownRelease means that the ledger has no release of this name.
var ErrUnknownRelease = errors.New("this release is not registered")

// Known reports with one statement whether all manifests are registered and their releases are deploying or live
// already, so that recording them again would change nothing.
func Known(ctx context.Context, conn Conn, manifests []*Manifest) (bool, error) {
	var consumers, releases, sums []string
	for _, m := range manifests {
		consumers, releases, sums = append(consumers, m.Consumer), append(releases, m.Release), append(sums, m.Sum())
	}
	const query = `
select count(*) from unnest($1::text[], $2::text[], $3::text[]) as g(consumer, release, sum)
join pawl.release r using (consumer, release)
where g.sum = any (r.manifests)
  and (select e.kind from pawl.release_event e
       where e.consumer = g.consumer and e.release = g.release and e.kind not in ('seen', 'pinned', 'unpinned', 'registered')
       order by e.id desc limit 1) in ('deploying', 'live')`
	var known int
	err := conn.QueryRow(ctx, query, consumers, releases, sums).Scan(&known)
	return known == len(manifests), err
}

// Deploying registers a manifest and records that its release is being deployed, in one transaction. Changed is false
// where the ledger said so already.
func Deploying(ctx context.Context, conn Conn, m *Manifest, pawlVersion string) (changed bool, err error) {
	known, err := Known(ctx, conn, []*Manifest{m})
	if err != nil || known {
		return false, err
	}
	return true, pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := register(ctx, tx, m); err != nil {
			return err
		}
		return record(ctx, tx, m.Consumer, m.Release, gate.Deploying, "", pawlVersion)
	})
}

// Register stores a manifest and records the release as registered, in one transaction.
func Register(ctx context.Context, conn Conn, m *Manifest, pawlVersion string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := register(ctx, tx, m); err != nil {
			return err
		}
		return record(ctx, tx, m.Consumer, m.Release, gate.Registered, "", pawlVersion)
	})
}

// register adds what the manifest says to what the ledger knows of the release: nothing that an earlier manifest of
// the same release said is forgotten, and partial stays partial.
func register(ctx context.Context, tx pgx.Tx, m *Manifest) error {
	const release = `
insert into pawl.release as r (consumer, release, status, reasons, digests, toolchain, manifests, parts)
values ($1, $2, $3, $4::text[], $5::text[], $6, array[$7], jsonb_build_array($8::jsonb))
on conflict (consumer, release) do update set
    status = case when 'partial' in (r.status, excluded.status) then 'partial' else excluded.status end,
    reasons = array(select distinct unnest(r.reasons || excluded.reasons) order by 1),
    digests = array(select distinct unnest(r.digests || excluded.digests) order by 1),
    toolchain = excluded.toolchain,
    manifests = array(select distinct unnest(r.manifests || excluded.manifests) order by 1),
    parts = case when exists (select from jsonb_array_elements(r.parts) p where p = excluded.parts -> 0)
                 then r.parts else r.parts || excluded.parts end`
	distinct := map[string]bool{}
	for _, s := range m.Statements {
		distinct[s.SHA256] = true
	}
	parts, err := json.Marshal(storedParts{m.Parts, len(distinct)})
	if err != nil {
		return fmt.Errorf("encode the parts of a manifest: %w", err)
	}
	_, err = tx.Exec(ctx, release, m.Consumer, m.Release, m.Status, emptyNotNil(m.Reasons), emptyNotNil(m.Digests), m.Toolchain, m.Sum(), string(parts))
	if err != nil {
		return err
	}
	type row struct {
		SHA256 string          `json:"sha256"`
		Text   string          `json:"text"`
		Sites  json.RawMessage `json:"sites"`
		Params json.RawMessage `json:"params"`
	}
	rows := make([]row, 0, len(m.Statements))
	at := map[string]int{}
	for _, s := range m.Statements {
		sites, err := json.Marshal(emptyNotNil(s.Sites))
		if err != nil {
			return fmt.Errorf("encode the sites of a statement: %w", err)
		}
		params, err := json.Marshal(s.Params)
		if err != nil {
			return fmt.Errorf("encode the parameters of a statement: %w", err)
		}
		if i, twice := at[s.SHA256]; twice {
			rows[i].Sites = sites
			continue
		}
		at[s.SHA256] = len(rows)
		rows = append(rows, row{s.SHA256, s.Text, sites, params})
	}
	statements, err := json.Marshal(rows)
	if err != nil {
		return fmt.Errorf("encode the statements: %w", err)
	}
	const queries = `
with given as (
    select sha256, text, sites, params from jsonb_to_recordset($3::jsonb) as x(sha256 text, text text, sites jsonb, params jsonb)
), texts as (
    insert into pawl.query (sha256, text) select sha256, text from given on conflict (sha256) do nothing
)
insert into pawl.release_query as q (consumer, release, sha256, sites, params)
select $1, $2, sha256, sites, nullif(params, 'null'::jsonb) from given
on conflict (consumer, release, sha256) do update set
    sites = coalesce((select jsonb_agg(distinct s) from jsonb_array_elements(q.sites || excluded.sites) s), '[]'), params = excluded.params`
	_, err = tx.Exec(ctx, queries, m.Consumer, m.Release, string(statements))
	return err
}

// storedParts are one manifest's parts as the ledger keeps them, with how many statements it has: fewer in the ledger than
// that are half of a manifest.
type storedParts struct {
	Parts
	Count int `json:"statement_count"`
}

func emptyNotNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Record adds one event to a release's log. LiveNow also records the end of the consumer's other live releases. Retired
// and the other kinds that need a registered release give ErrUnknownRelease where there is none; Seen, Deploying and
// LiveNow make it known without a manifest, which blocks contracts until one is registered.
func Record(ctx context.Context, conn Conn, consumer, release string, kind gate.EventKind, reason, pawlVersion string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		switch kind {
		case gate.Seen, gate.Deploying, gate.LiveNow, gate.Pinned:
			const known = `insert into pawl.release (consumer, release) values ($1, $2) on conflict do nothing`
			if _, err := tx.Exec(ctx, known, consumer, release); err != nil {
				return err
			}
		default:
			var exists bool
			err := tx.QueryRow(ctx, `select exists (select from pawl.release where consumer = $1 and release = $2)`, consumer, release).Scan(&exists)
			if err != nil {
				return err
			}
			if !exists {
				return ErrUnknownRelease
			}
		}
		return record(ctx, tx, consumer, release, kind, reason, pawlVersion)
	})
}

// RetireUnstarted retires a release that was let in and refused before any of its pods started, unless its log tells of
// more than that.
func RetireUnstarted(ctx context.Context, conn Conn, consumer, release, reason, pawlVersion string) error {
	const retire = `
insert into pawl.release_event (consumer, release, kind, reason, at, pawl_version)
select $1, $2, 'retired', $3, now(), $4
where not exists (select from pawl.release_event where consumer = $1 and release = $2 and kind not in ('registered', 'deploying', 'retired'))`
	_, err := conn.Exec(ctx, retire, consumer, release, reason, pawlVersion)
	return err
}

func record(ctx context.Context, tx pgx.Tx, consumer, release string, kind gate.EventKind, reason, pawlVersion string) error {
	const event = `insert into pawl.release_event (consumer, release, kind, reason, at, pawl_version) values ($1, $2, $3, $4, now(), $5)`
	if _, err := tx.Exec(ctx, event, consumer, release, string(kind), reason, pawlVersion); err != nil {
		return err
	}
	if kind != gate.LiveNow {
		return nil
	}
	const supersede = `
insert into pawl.release_event (consumer, release, kind, reason, at, pawl_version)
select $1, r.release, 'superseded', $2 || ' is live', now(), $3
from pawl.release r
where r.consumer = $1 and r.release <> $2
  and (select e.kind from pawl.release_event e
       where e.consumer = r.consumer and e.release = r.release and e.kind not in ('seen', 'pinned', 'unpinned', 'registered', 'aborted')
       order by e.id desc limit 1) = 'live'`
	_, err := tx.Exec(ctx, supersede, consumer, release, pawlVersion)
	return err
}

// Snapshot is what the registry said at one moment.
type Snapshot struct {
	Evidence gate.Evidence
	// States are all releases, eligible or not.
	States []gate.State
	// LastEvent is the id of the newest event, by which a later reader sees whether anything was added.
	LastEvent int64
	// LastAcknowledgement is the same for acknowledgements.
	LastAcknowledgement int64
	// At is the database's clock, by which the states were derived: hosts' clocks may differ.
	At time.Time

	// indexed is true where the ledger knows the words of its statements.
	indexed bool
	// where says in what a release runs.
	where map[[2]string][]string
	read  map[string]*phases.Mentions
}

// States reads the log and derives the state of each release by the database's clock.
func States(ctx context.Context, conn Conn, policy gate.Policy) (*Snapshot, error) {
	const query = `
select coalesce(id, 0), coalesce(consumer, ''), coalesce(release, ''), coalesce(kind, ''), coalesce(at, n), n
from (select clock_timestamp() as n) now left join pawl.release_event on true order by id`
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("read the release events: %w", err)
	}
	defer rows.Close()
	snapshot := &Snapshot{}
	var events []gate.Event
	for rows.Next() {
		var e gate.Event
		var kind string
		if err := rows.Scan(&snapshot.LastEvent, &e.Consumer, &e.Release, &kind, &e.At, &snapshot.At); err != nil {
			return nil, fmt.Errorf("read the release events: %w", err)
		}
		if kind == "" {
			continue
		}
		e.Kind = gate.EventKind(kind)
		events = append(events, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the release events: %w", err)
	}
	snapshot.States = gate.States(events, policy, snapshot.At)
	snapshot.Evidence.Registered = len(events) > 0
	return snapshot, nil
}

// Load gives the states, and for the eligible releases their manifests without the statements: those that matter to one
// change are read by About. What a fleet runs is eligible, whatever the log says; nil means that none was asked.
func Load(ctx context.Context, conn Conn, policy gate.Policy, fleet *Fleet) (*Snapshot, error) {
	snapshot, err := States(ctx, conn, policy)
	if err != nil {
		return nil, err
	}
	if fleet != nil {
		if err := fleet.join(ctx, conn, snapshot); err != nil {
			return nil, err
		}
	}
	var consumers, releases []string
	for _, s := range snapshot.States {
		if s.Eligible() {
			consumers, releases = append(consumers, s.Consumer), append(releases, s.ID)
		}
	}
	manifests, err := manifestsOf(ctx, conn, consumers, releases)
	if err != nil {
		return nil, err
	}
	if snapshot.Evidence.Acknowledgements, snapshot.LastAcknowledgement, err = Acknowledgements(ctx, conn); err != nil {
		return nil, err
	}
	if err := observed(ctx, conn, consumers, releases, manifests); err != nil {
		return nil, err
	}
	for _, s := range snapshot.States {
		if !s.Eligible() {
			continue
		}
		snapshot.Evidence.Releases = append(snapshot.Evidence.Releases, gate.Release{
			Consumer: s.Consumer, ID: s.ID, Why: s.Why, Since: s.Since, Until: s.Until,
			Manifest: manifests[[2]string{s.Consumer, s.ID}], Where: snapshot.where[[2]string{s.Consumer, s.ID}],
		})
	}
	const indexed = `select exists (select from pg_attribute where attrelid = 'pawl.query'::regclass and attname = 'words' and not attisdropped)`
	if err := conn.QueryRow(ctx, indexed).Scan(&snapshot.indexed); err != nil {
		return nil, fmt.Errorf("look at the ledger: %w", err)
	}
	return snapshot, nil
}

// manifestsOf reads all of the manifests but their statements, which it counts.
func manifestsOf(ctx context.Context, conn Conn, consumers, releases []string) (map[[2]string]*gate.Manifest, error) {
	const query = `
select r.consumer, r.release, r.status, r.reasons, r.parts,
    (select count(*) from pawl.release_query rq where rq.consumer = r.consumer and rq.release = r.release)
from unnest($1::text[], $2::text[]) as wanted(consumer, release)
join pawl.release r using (consumer, release)
where r.status is not null`
	rows, err := conn.Query(ctx, query, emptyNotNil(consumers), emptyNotNil(releases))
	if err != nil {
		return nil, fmt.Errorf("read the manifests: %w", err)
	}
	defer rows.Close()
	found := map[[2]string]*gate.Manifest{}
	for rows.Next() {
		var consumer, release, status string
		m := &gate.Manifest{}
		var parts []byte
		if err := rows.Scan(&consumer, &release, &status, &m.Reasons, &parts, &m.Statements); err != nil {
			return nil, fmt.Errorf("read the manifests: %w", err)
		}
		m.Complete = status == "complete"
		var all []storedParts
		if err := json.Unmarshal(parts, &all); err != nil {
			return nil, fmt.Errorf("read the manifest of %s %s: %w", consumer, release, err)
		}
		for i := range all {
			if all[i].Count > m.Statements {
				m.Complete = false
				m.Reasons = append(m.Reasons, fmt.Sprintf("the ledger has %d of the %d statements that were registered: register the manifest again", m.Statements, all[i].Count))
			}
			all[i].addTo(m)
		}
		m.Statements += len(m.Queries)
		found[[2]string{consumer, release}] = m
	}
	return found, rows.Err()
}

// About gives the evidence with the statements that have one of the words among theirs (gate.Change.Words); nil stands for
// all statements. The snapshot itself stays as it is.
func (s *Snapshot) About(ctx context.Context, conn Conn, words []string) (gate.Evidence, error) {
	e := s.Evidence
	e.Releases = slices.Clone(e.Releases)
	var consumers, releases []string
	at := map[[2]string]*gate.Manifest{}
	for i, r := range e.Releases {
		if r.Manifest == nil {
			continue
		}
		m := *r.Manifest
		m.Queries = slices.Clone(m.Queries)
		e.Releases[i].Manifest = &m
		at[[2]string{r.Consumer, r.ID}] = &m
		consumers, releases = append(consumers, r.Consumer), append(releases, r.ID)
	}
	if len(at) == 0 {
		return e, nil
	}
	texts, err := s.texts(ctx, conn, words)
	if err != nil || len(texts) == 0 {
		return e, err
	}
	const query = `
select rq.consumer, rq.release, rq.sha256, rq.sites
from pawl.release_query rq join unnest($1::text[], $2::text[]) as wanted(consumer, release) using (consumer, release)
where rq.sha256 = any ($3::text[])
order by rq.consumer, rq.release, rq.sha256`
	rows, err := conn.Query(ctx, query, consumers, releases, slices.Sorted(maps.Keys(texts)))
	if err != nil {
		return e, fmt.Errorf("read the statements of the releases: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var key [2]string
		var sum string
		var sites []byte
		if err := rows.Scan(&key[0], &key[1], &sum, &sites); err != nil {
			return e, fmt.Errorf("read the statements of the releases: %w", err)
		}
		m, q := at[key], texts[sum]
		if HashText(q.Text) != sum {
			m.Complete = false
			m.Reasons = append(slices.Clone(m.Reasons), fmt.Sprintf("the ledger's text for %s does not have this hash", short(sum)))
		}
		if err := json.Unmarshal(sites, &q.Sites); err != nil {
			return e, fmt.Errorf("read the sites of a statement of %s %s: %w", key[0], key[1], err)
		}
		slices.SortFunc(q.Sites, compareSites)
		m.Queries = append(m.Queries, q)
	}
	return e, rows.Err()
}

// texts reads the statements that have one of the words, whichever releases send them.
func (s *Snapshot) texts(ctx context.Context, conn Conn, words []string) (map[string]gate.Query, error) {
	query, args := `select sha256, text from pawl.query`, []any{}
	if words != nil && s.indexed {
		// A star stands for a text whose words cannot be told from how it is written.
		query += ` where words && $1::text[]`
		args = append(args, append(slices.Clone(words), "*"))
	}
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read the statements: %w", err)
	}
	defer rows.Close()
	out := map[string]gate.Query{}
	for rows.Next() {
		var sum, text string
		if err := rows.Scan(&sum, &text); err != nil {
			return nil, fmt.Errorf("read the statements: %w", err)
		}
		out[sum] = gate.Query{ID: sum, Text: text, Mentions: s.mentions(text)}
	}
	return out, rows.Err()
}

// mentions reads a text once, however many changes ask about it.
func (s *Snapshot) mentions(text string) *phases.Mentions {
	if s.read == nil {
		s.read = map[string]*phases.Mentions{}
	}
	if m, ok := s.read[text]; ok {
		return m
	}
	m := parse.Mentions(text)
	s.read[text] = m
	return m
}

func short(sum string) string { return sum[:min(12, len(sum))] }

func compareSites(a, b gate.Site) int {
	if a.File != b.File {
		if a.File < b.File {
			return -1
		}
		return 1
	}
	return a.Line - b.Line
}
