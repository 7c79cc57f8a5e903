package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/migrations"
	"github.com/bitvault/pawl/phases/gate"
)

// Environment is what a database is stamped as. The zero Environment means that it was never stamped, which counts as
// production.
type Environment string

const (
	// Production holds contracts and refuses to go back.
	Production Environment = "production"
	// Dev lets contracts through with a report and allows `pawl down`.
	Dev Environment = "dev"
)

// State is where a migration stands in the ledger.
type State string

const (
	// StateRunning is a non-transactional statement that was begun; after a crash its outcome is looked up.
	StateRunning State = "running"
	// StateApplied is done, for ever.
	StateApplied State = "applied"
	// StateHeld waits for the gate.
	StateHeld State = "held"
)

// Entry is one row of the ledger.
type Entry struct {
	Version Version
	Name    string
	Sum     string
	// Same are the checksums of later texts that were proved to differ from the applied one in blanks and comments alone.
	Same          []string
	Phase         string
	State         State
	Transactional bool
	Origin        string
	StartedAt     time.Time
	// FinishedAt is zero unless the state is StateApplied.
	FinishedAt time.Time
	AppliedBy  string
	Client     string
	// Reason is the JSON of why a held migration is held; nil otherwise.
	Reason json.RawMessage
}

// has reports whether a checksum is that of what was applied, as far as blanks and comments do not count. What was adopted without
// its file has no checksum.
func (e Entry) has(sum string) bool {
	return e.Sum == sum || e.Sum == "" || slices.Contains(e.Same, sum)
}

// Ledger is what a database says of itself. The zero Ledger is that of a database which pawl never touched.
type Ledger struct {
	// Schema is the version of pawl's own tables; 0 where there are none.
	Schema      int
	MinReader   int
	Environment Environment
	// Installing is true while no run on a database that was empty at first has come to its end: until then no deployed
	// code can know what the migrations made.
	Installing bool
	// Bare are the schemas in which there was nothing at all when the first installation began, and that had been there before.
	Bare []string
	// Others is true where the database had tables that none of the migrations made, and somebody said so: the files do not tell the
	// whole schema.
	Others  bool
	Entries map[Version]Entry
	// stopped are the running entries of which a statement was refused by PostgreSQL, with how far they came.
	stopped map[Version]journaled
	// path are the schemas in which the database's sessions look for unqualified names.
	path []string
}

// readLedger gives a row for each migration, or one with an empty version where there is none. What pawl.meta says is in the first.
const readLedger = `
select case when row_number() over () = 1 then m.meta end, coalesce(l.version, ''), coalesce(l.name, ''), coalesce(l.checksum, ''),
       coalesce(l.phase, ''), coalesce(l.state, ''), coalesce(l.transactional, false), coalesce(l.origin, ''), coalesce(l.started_at, 'epoch'),
       l.finished_at, coalesce(l.applied_by, ''), coalesce(l.client, ''), l.reason, to_jsonb(l) -> 'same'
from (select jsonb_object_agg(key, value) as meta from pawl.meta) m left join pawl.migration l on true`

// ledger reads pawl's tables with one statement; none where they do not exist.
func (s *session) ledger(ctx context.Context) (*Ledger, error) {
	l := &Ledger{Entries: map[Version]Entry{}, path: s.path}
	if !s.hasLedger {
		return l, nil
	}
	rows, err := s.conn.Query(ctx, readLedger)
	if err != nil {
		return nil, classify(ctx, "read the ledger", err)
	}
	defer rows.Close()
	for rows.Next() {
		var (
			meta           map[string]string
			version, state string
			finished       *time.Time
			e              Entry
		)
		err := rows.Scan(&meta, &version, &e.Name, &e.Sum, &e.Phase, &state, &e.Transactional, &e.Origin, &e.StartedAt, &finished, &e.AppliedBy, &e.Client, (*[]byte)(&e.Reason), &e.Same)
		if err != nil {
			return nil, classify(ctx, "read the ledger", err)
		}
		if meta != nil {
			l.Schema, _ = strconv.Atoi(meta["ledger"])
			l.MinReader, _ = strconv.Atoi(meta["min_reader"])
			l.Environment = Environment(meta["environment"])
			_, l.Others = meta[others]
			if begun, bare, _ := strings.Cut(meta[installing], "\n"); begun != "" {
				l.Installing, l.Bare = true, strings.Fields(bare)
			}
		}
		if version == "" {
			continue
		}
		e.Version, e.State = Version(version), State(state)
		if finished != nil {
			e.FinishedAt = *finished
		}
		l.Entries[e.Version] = e
	}
	if err := rows.Err(); err != nil {
		return nil, classify(ctx, "read the ledger", err)
	}
	if err := s.whereStopped(ctx, l); err != nil {
		return nil, err
	}
	if l.MinReader > migrations.Newest {
		return nil, &IntegrityError{
			Message: fmt.Sprintf("this database's ledger needs a newer pawl: it asks for one that knows ledger version %d, and this one knows %d", l.MinReader, migrations.Newest),
			Hint:    "use the pawl that the newest release ships with, or a later one",
		}
	}
	return l, nil
}

// whereStopped reads how far the running entries came whose last statement was refused.
func (s *session) whereStopped(ctx context.Context, l *Ledger) error {
	for v, e := range l.Entries {
		if e.State != StateRunning {
			continue
		}
		at, err := s.journaled(ctx, v, e.Sum)
		if err != nil {
			return err
		}
		if !at.doubt && at.text != "" {
			if l.stopped == nil {
				l.stopped = map[Version]journaled{}
			}
			l.stopped[v] = at
		}
	}
	return nil
}

// upgradeLedger brings pawl's own tables up to date and stamps the environment at first use. The caller holds the lock.
func (s *session) upgradeLedger(ctx context.Context, l *Ledger, wanted Environment) error {
	for version := l.Schema + 1; version <= migrations.Newest; version++ {
		names, err := fs.Glob(migrations.FS, fmt.Sprintf("%04d_*.sql", version))
		if err != nil || len(names) != 1 {
			panic(fmt.Sprintf("ledger migration %d is missing from the binary", version))
		}
		text, err := migrations.FS.ReadFile(names[0])
		if err != nil {
			panic(err)
		}
		sql, there := string(text), false
		if version == 1 {
			if there, err = s.emptySchema(ctx, s.ledgerSchema); err != nil {
				return err
			}
		}
		if there {
			sql = strings.Replace(sql, "create schema "+LedgerSchema+";", "", 1)
		}
		err = pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, sql)
			return err
		})
		if sqlState(err) == "42501" {
			role, schema := pgx.Identifier{s.role}.Sanitize(), pgx.Identifier{s.ledgerSchema}.Sanitize()
			if there {
				return &ConfigError{
					Message: fmt.Sprintf("role %q may not make pawl's tables in schema %q", s.role, s.ledgerSchema),
					Hint:    fmt.Sprintf("grant usage, create on schema %s to %s;", schema, role),
				}
			}
			return &ConfigError{
				Message: fmt.Sprintf("role %q may not create pawl's schema in database %q", s.role, s.database),
				Hint: fmt.Sprintf("grant create on database %s to %s; or, if it is to have no more than that: create schema %s authorization %[2]s;",
					pgx.Identifier{s.database}.Sanitize(), role, schema),
			}
		}
		if err != nil {
			return classify(ctx, "create the ledger", err)
		}
		s.hasLedger = true
	}
	if l.Environment != "" {
		return nil
	}
	if wanted == "" {
		wanted = Production
	}
	_, err := s.conn.Exec(ctx, `insert into pawl.meta (key, value) values ('environment', $1) on conflict (key) do nothing`, string(wanted))
	l.Environment = wanted
	return classify(ctx, "stamp the environment", err)
}

// installing is the key in pawl.meta of a first installation that is under way. Its value is when it began, and in a line each the
// schemas that were bare.
const installing = "installing"

// emptySchema reports whether a schema is there, made for the ledger by somebody with the right to, and nothing is in it.
func (s *session) emptySchema(ctx context.Context, name string) (bool, error) {
	const query = `select exists (select from pg_namespace n where n.nspname = $1 and not exists (select from pg_class c where c.relnamespace = n.oid))`
	var empty bool
	err := s.conn.QueryRow(ctx, query, name).Scan(&empty)
	return empty, classify(ctx, "look for pawl's schema", err)
}

// others is the key in pawl.meta that says that the database had tables of others before the first migration.
const others = "others"

// bareSchemas names the schemas of an empty database in which there is nothing, not even what an extension has put there. Names that
// have to be quoted are left out.
const bareSchemas = `
select n.nspname::text from pg_namespace n
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'pawl') and n.nspname !~ '^pawl_' and n.nspname = quote_ident(n.nspname)
  and not exists (select from pg_class where relnamespace = n.oid) and not exists (select from pg_proc where pronamespace = n.oid)
  and not exists (select from pg_type where typnamespace = n.oid) and not exists (select from pg_operator where oprnamespace = n.oid)
  and not exists (select from pg_collation where collnamespace = n.oid) and not exists (select from pg_ts_config where cfgnamespace = n.oid)
order by 1`

// bare looks for schemas in which there is nothing, before the first run on an empty database.
func (s *session) bare(ctx context.Context) ([]string, error) {
	rows, err := s.conn.Query(ctx, bareSchemas)
	if err != nil {
		return nil, classify(ctx, "look for empty schemas", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return list, classify(ctx, "look for empty schemas", err)
}

// beginInstallation notes that the database was empty when the first run began.
func (s *session) beginInstallation(ctx context.Context, l *Ledger) error {
	bare, err := s.bare(ctx)
	if err != nil {
		return err
	}
	const query = `insert into pawl.meta (key, value) values ($1, clock_timestamp()::text || $2) on conflict (key) do nothing`
	_, err = s.conn.Exec(ctx, query, installing, "\n"+strings.Join(bare, "\n"))
	l.Installing, l.Bare = err == nil, bare
	return classify(ctx, "note that the first run began", err)
}

// endInstallation notes that code which knows the migrations may run from here on.
func (s *session) endInstallation(ctx context.Context) error {
	_, err := s.conn.Exec(ctx, `delete from pawl.meta where key = $1`, installing)
	return classify(ctx, "note that the first run is over", err)
}

// unseen reports whether no deployed code can know any of the schema: the first installation is not over, and no
// release was ever reported as live.
func (s *session) unseen(ctx context.Context, l *Ledger) (bool, error) {
	if !l.Installing {
		return false, nil
	}
	var live bool
	err := s.conn.QueryRow(ctx, `select exists (select from pawl.release_event where kind = $1)`, string(gate.LiveNow)).Scan(&live)
	return !live, classify(ctx, "look for live releases", err)
}

// hasObjects reports whether the database holds relations, functions or types of its own, outside of extensions and of
// pawl's schema.
func (s *session) hasObjects(ctx context.Context) (bool, error) {
	const query = `
select exists (
    select from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname not in ('pg_catalog', 'information_schema', 'pawl') and n.nspname !~ '^pg_(toast|temp)' and n.nspname !~ '^pawl_' and ($1 = '' or n.nspname = $1)
      and c.relkind in ('r', 'p', 'v', 'm', 'f')
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'))`
	var some bool
	err := s.conn.QueryRow(ctx, query, s.schema).Scan(&some)
	return some, classify(ctx, "look for existing tables", err)
}

// recordHeld writes that a migration is held, and why. Nothing is written where the ledger says the same already.
func (s *session) recordHeld(ctx context.Context, h Held, l *Ledger, pawlVersion string) error {
	reason, err := json.Marshal(struct {
		Behind   Version       `json:"behind,omitempty"`
		Verdict  gate.Verdict  `json:"verdict"`
		Findings []HeldFinding `json:"findings"`
	}{h.Behind, h.Decision.Verdict, h.findings()})
	if err != nil {
		return fmt.Errorf("encode the decision on %s: %w", h.Migration.Name, err)
	}
	if e, ok := l.Entries[h.Migration.Version]; ok && e.State == StateHeld && e.Sum == h.Migration.Sum && sameJSON(e.Reason, reason) {
		return nil
	}
	const query = `
with held as (
    insert into pawl.migration as m (version, name, checksum, phase, state, transactional, pawl_version, reason)
    values ($1, $2, $3, $4, 'held', $5, $6, $7::jsonb)
    on conflict (version) do update set name = excluded.name, checksum = excluded.checksum, phase = excluded.phase,
        transactional = excluded.transactional, pawl_version = excluded.pawl_version, reason = excluded.reason
        where m.state = 'held'
    returning version
), logged as (
    insert into pawl.event (kind, version, detail, pawl_version) select 'held', version, $7::jsonb, $6 from held
)
insert into pawl.decision (version, checksum, allowed, verdict, findings, evidence, pawl_version)
select version, $3, false, $8, $7::jsonb -> 'findings', $9::jsonb, $6 from held`
	_, err = s.conn.Exec(ctx, query, string(h.Migration.Version), h.Migration.Name, h.Migration.Sum, h.Phase.String(),
		h.Transactional, pawlVersion, string(reason), h.Decision.Verdict.String(), string(encodeEvidence(h.Decision, nil)))
	return classify(ctx, "record the held migration", err)
}

func encodeEvidence(d gate.Decision, restore *RestorePoint) []byte {
	out, err := json.Marshal(Evidence{Checked: d.Checked, RestorePoint: restore})
	if err != nil {
		panic(err) // strings, numbers and times always encode
	}
	return out
}

func sameJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	p, err1 := json.Marshal(x)
	q, err2 := json.Marshal(y)
	return err1 == nil && err2 == nil && string(p) == string(q)
}

// Findings gives the reasons that a held entry was recorded with; nil for other entries.
func (e Entry) Findings() []HeldFinding {
	var reason struct {
		Findings []HeldFinding `json:"findings"`
	}
	if e.State != StateHeld || json.Unmarshal(e.Reason, &reason) != nil {
		return nil
	}
	return reason.Findings
}
