package evidence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// ErrNotObservable means that the database does not have pg_stat_statements.
var ErrNotObservable = errors.New("pg_stat_statements is not installed in this database")

// Observation is what one look at pg_stat_statements gave.
type Observation struct {
	At time.Time
	// Statements were read, of which Hidden had a text that pawl's role may not see, and New were never seen before.
	Statements, Hidden, New int
	// Unexplained are those of consumers' roles that no manifest has.
	Unexplained []Unexplained
	// Strangers are roles that sent statements and belong to no consumer.
	Strangers []string
	// Problems say why statements may be missing.
	Problems []string
}

// Unexplained is a statement that a consumer's role was seen to send and that no manifest of the consumer has.
type Unexplained struct {
	// Consumer is whose the role is; several are separated by commas.
	Consumer, Role, Text string
	FirstSeen, LastSeen  time.Time
	Calls                int64
}

type seenStatement struct {
	role, text string
	calls      int64
}

// Observe takes a snapshot of pg_stat_statements into the ledger. Roles say which consumers connect under a role; explains
// whether a manifest of one of them has a text.
func Observe(ctx context.Context, conn Conn, roles map[string][]string, explains func(consumers []string, text string) bool, pawlVersion string) (*Observation, error) {
	var schema string
	const extension = `select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'pg_stat_statements'`
	err := conn.QueryRow(ctx, extension).Scan(&schema)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNotObservable
	}
	if err != nil {
		return nil, fmt.Errorf("look for pg_stat_statements: %w", err)
	}
	o := &Observation{}
	// One transaction: a second look at the same time would find statements new that this one has.
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `lock table pawl.observation in share row exclusive mode`); err != nil {
			return err
		}
		var reset *time.Time
		var dealloc *int64
		var track string
		const info = `select stats_reset, dealloc, coalesce(current_setting('pg_stat_statements.track', true), ''), clock_timestamp() from %s.pg_stat_statements_info`
		if err := tx.QueryRow(ctx, fmt.Sprintf(info, pgx.Identifier{schema}.Sanitize())).Scan(&reset, &dealloc, &track, &o.At); err != nil {
			return err
		}
		seen, err := o.read(ctx, tx, schema)
		if err != nil {
			return err
		}
		if err := o.notice(ctx, tx, reset, dealloc, track); err != nil {
			return err
		}
		problems, err := json.Marshal(emptyNotNil(o.Problems))
		if err != nil {
			return err
		}
		const look = `insert into pawl.observation (at, stats_reset, dealloc, track, statements, hidden, problems, pawl_version) values ($1, $2, $3, $4, $5, $6, $7::jsonb, $8)`
		if _, err := tx.Exec(ctx, look, o.At, reset, dealloc, track, o.Statements, o.Hidden, string(problems), pawlVersion); err != nil {
			return err
		}
		return o.store(ctx, tx, seen, roles, explains)
	})
	if err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	return o, nil
}

// read gives the statements of this database, one per role and text.
func (o *Observation) read(ctx context.Context, tx pgx.Tx, schema string) ([]seenStatement, error) {
	const query = `
select coalesce(r.rolname, s.userid::text), coalesce(s.query, ''), sum(s.calls)::bigint
from %s.pg_stat_statements s left join pg_roles r on r.oid = s.userid
where s.dbid = (select oid from pg_database where datname = current_database()) and r.rolname is distinct from current_user
group by 1, 2 order by 1, 2`
	rows, err := tx.Query(ctx, fmt.Sprintf(query, pgx.Identifier{schema}.Sanitize()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []seenStatement
	for rows.Next() {
		var s seenStatement
		if err := rows.Scan(&s.role, &s.text, &s.calls); err != nil {
			return nil, err
		}
		o.Statements++
		if s.text == "<insufficient privilege>" {
			o.Hidden++
			continue
		}
		if !aboutOthers(s.text) {
			continue
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

// aboutOthers reports whether a text may be about the database's own objects, and not about the system's or pawl's alone.
func aboutOthers(text string) bool {
	m := parse.Mentions(text)
	if m.Unparsed || len(m.Relations) == 0 {
		return true
	}
	for _, r := range m.Relations {
		switch {
		case r.Schema == "pg_catalog", r.Schema == "information_schema", r.Schema == "pawl":
		case r.Schema == "" && len(r.Name) > 3 && r.Name[:3] == "pg_":
		default:
			return true
		}
	}
	return false
}

// notice says why statements may be missing: settings, a role without the right to see texts, and what happened since
// the last look.
func (o *Observation) notice(ctx context.Context, tx pgx.Tx, reset *time.Time, dealloc *int64, track string) error {
	switch track {
	case "none":
		o.Problems = append(o.Problems, "pg_stat_statements.track is none: nothing is recorded")
	case "top":
		o.Problems = append(o.Problems, "pg_stat_statements.track is top: what runs inside of functions is not recorded")
	}
	if o.Hidden > 0 {
		o.Problems = append(o.Problems, fmt.Sprintf("the text of %d statements is hidden from pawl's role: grant pg_read_all_stats to it", o.Hidden))
	}
	var lastReset *time.Time
	var lastDealloc *int64
	var lastAt time.Time
	const last = `select stats_reset, dealloc, at from pawl.observation order by id desc limit 1`
	err := tx.QueryRow(ctx, last).Scan(&lastReset, &lastDealloc, &lastAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	since := lastAt.UTC().Format("2006-01-02 15:04 MST")
	if reset != nil && lastReset != nil && !reset.Equal(*lastReset) {
		o.Problems = append(o.Problems, fmt.Sprintf("the statistics were reset on %s: what was sent between then and the last look, on %s, may be lost",
			reset.UTC().Format("2006-01-02 15:04 MST"), since))
	} else if dealloc != nil && lastDealloc != nil && *dealloc > *lastDealloc {
		o.Problems = append(o.Problems, fmt.Sprintf("statements were evicted %d times since the last look, on %s: raise pg_stat_statements.max, or look more often",
			*dealloc-*lastDealloc, since))
	}
	return nil
}

// store writes what was seen. A statement counts as seen again where its calls are others than at the last look.
func (o *Observation) store(ctx context.Context, tx pgx.Tx, seen []seenStatement, roles map[string][]string, explains func(consumers []string, text string) bool) error {
	type row struct {
		Role      string `json:"role"`
		SHA256    string `json:"sha256"`
		Text      string `json:"text"`
		Consumer  string `json:"consumer"`
		Explained bool   `json:"explained"`
		Calls     int64  `json:"calls"`
	}
	rows := make([]row, 0, len(seen))
	for _, s := range seen {
		r := row{Role: s.role, SHA256: HashText(s.text), Text: s.text, Consumer: strings.Join(roles[s.role], ","), Calls: s.calls}
		if r.Consumer == "" && !slices.Contains(o.Strangers, s.role) {
			o.Strangers = append(o.Strangers, s.role)
		}
		r.Explained = r.Consumer != "" && explains(roles[s.role], s.text)
		rows = append(rows, r)
	}
	text, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	const upsert = `
with given as (
    select * from jsonb_to_recordset($1::jsonb) as x(role text, sha256 text, text text, consumer text, explained boolean, calls bigint)
), texts as (
    insert into pawl.query (sha256, text) select distinct sha256, text from given on conflict (sha256) do nothing
)
insert into pawl.observed as o (role, sha256, consumer, explained, calls, first_seen, last_seen)
select role, sha256, consumer, explained, calls, $2, $2 from given
on conflict (role, sha256) do update set consumer = excluded.consumer, explained = excluded.explained, calls = excluded.calls,
    last_seen = case when o.calls <> excluded.calls then excluded.last_seen else o.last_seen end
returning first_seen = $2`
	news, err := tx.Query(ctx, upsert, string(text), o.At)
	if err != nil {
		return err
	}
	fresh, err := pgx.CollectRows(news, pgx.RowTo[bool])
	if err != nil {
		return err
	}
	for _, f := range fresh {
		if f {
			o.New++
		}
	}
	// Of what was seen earlier and has left the statistics since, the manifests may have learned in the meantime.
	o.Unexplained, err = unexplained(ctx, tx, nil)
	if err != nil {
		return err
	}
	var explained [][2]string
	for _, u := range o.Unexplained {
		if explains(roles[u.Role], u.Text) {
			explained = append(explained, [2]string{u.Role, HashText(u.Text)})
		}
	}
	for _, e := range explained {
		if _, err := tx.Exec(ctx, `update pawl.observed set explained = true where role = $1 and sha256 = $2`, e[0], e[1]); err != nil {
			return err
		}
	}
	o.Unexplained = slices.DeleteFunc(o.Unexplained, func(u Unexplained) bool { return explains(roles[u.Role], u.Text) })
	return nil
}

// querier is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// unexplained gives what roles of these consumers were seen to send and no manifest has, newest first; nil is all
// consumers.
func unexplained(ctx context.Context, q querier, consumers []string) ([]Unexplained, error) {
	const query = `
select o.consumer, o.role, q.text, o.first_seen, o.last_seen, o.calls
from pawl.observed o join pawl.query q using (sha256)
where o.consumer <> '' and not o.explained and ($1::text[] is null or string_to_array(o.consumer, ',') && $1) order by o.last_seen desc, q.text`
	rows, err := q.Query(ctx, query, consumers)
	if err != nil {
		return nil, fmt.Errorf("read what was observed: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Unexplained, error) {
		var u Unexplained
		return u, row.Scan(&u.Consumer, &u.Role, &u.Text, &u.FirstSeen, &u.LastSeen, &u.Calls)
	})
}

// StoredManifest gives all that the ledger knows a consumer to send, in any of its releases, as one manifest.
func StoredManifest(ctx context.Context, conn Conn, consumer string) (*Manifest, error) {
	m := &Manifest{Version: ManifestVersion, Consumer: consumer, Status: Complete, Statements: []Statement{}}
	const statements = `select distinct q.sha256, q.text from pawl.release_query r join pawl.query q using (sha256) where r.consumer = $1`
	rows, err := conn.Query(ctx, statements, consumer)
	if err != nil {
		return nil, fmt.Errorf("read the manifests of %s: %w", consumer, err)
	}
	m.Statements, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Statement, error) {
		var s Statement
		return s, row.Scan(&s.SHA256, &s.Text)
	})
	if err != nil {
		return nil, fmt.Errorf("read the manifests of %s: %w", consumer, err)
	}
	rows, err = conn.Query(ctx, `select parts from pawl.release where consumer = $1`, consumer)
	if err != nil {
		return nil, fmt.Errorf("read the manifests of %s: %w", consumer, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, fmt.Errorf("read the manifests of %s: %w", consumer, err)
	}
	for _, text := range list {
		var all []Parts
		if err := json.Unmarshal(text, &all); err != nil {
			return nil, fmt.Errorf("read the manifests of %s: %w", consumer, err)
		}
		for _, p := range all {
			m.Templates = append(m.Templates, p.Templates...)
			m.Fragments = append(m.Fragments, p.Fragments...)
			m.Models = append(m.Models, p.Models...)
		}
	}
	return m, nil
}

// observed makes the manifests of releases partial whose consumer's role was seen to send what no manifest has, since the
// release is known. What is observed can block, and never allows anything.
func observed(ctx context.Context, conn Conn, consumers, releases []string, manifests map[[2]string]*gate.Manifest) error {
	has, err := hasTable(ctx, conn, "observed")
	if err != nil || !has {
		return err
	}
	list, err := unexplained(ctx, conn, emptyNotNil(consumers))
	if err != nil || len(list) == 0 {
		return err
	}
	const first = `
select e.consumer, e.release, min(e.at) from unnest($1::text[], $2::text[]) as w(consumer, release)
join pawl.release_event e using (consumer, release) group by 1, 2`
	rows, err := conn.Query(ctx, first, emptyNotNil(consumers), emptyNotNil(releases))
	if err != nil {
		return fmt.Errorf("read since when releases are known: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var key [2]string
		var since time.Time
		if err := rows.Scan(&key[0], &key[1], &since); err != nil {
			return fmt.Errorf("read since when releases are known: %w", err)
		}
		m := manifests[key]
		if m == nil {
			continue
		}
		const most = 3
		n := 0
		for _, u := range list {
			if !slices.Contains(strings.Split(u.Consumer, ","), key[0]) || u.LastSeen.Before(since) {
				continue
			}
			m.Complete = false
			if n++; n <= most {
				m.Reasons = append(m.Reasons, fmt.Sprintf("role %s was seen on %s to send what no manifest has: %s",
					u.Role, u.LastSeen.UTC().Format("2006-01-02 15:04 MST"), strings.Join(strings.Fields(u.Text), " ")))
			}
		}
		if n > most {
			m.Reasons = append(m.Reasons, fmt.Sprintf("and %d more such statements", n-most))
		}
	}
	return rows.Err()
}
