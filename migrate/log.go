package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// LogEntry is one thing that was done, decided, refused or overridden.
type LogEntry struct {
	At time.Time
	// Log is where it was recorded, with the number of its row: event, release, decision or acknowledgement.
	Log string
	ID  int64
	// Kind says what it is, like applied, held, refused, resolved, live or acknowledged.
	Kind string
	// Version and Name are the migration's, Sum is the checksum of its text then; empty where it is about none.
	Version Version
	Name    string
	Sum     string
	// Role is the database's, Person who or which CI job is behind it, Client the pod or host; as far as they were known.
	Role, Person, Client string
	PawlVersion          string
	// Detail is a JSON object that depends on Kind.
	Detail json.RawMessage
}

// LogOptions say which entries are wanted. The zero value wants the newest hundred.
type LogOptions struct {
	// Since and Until bound the time; zero means no bound. Lasts is Since counted back from the database's time.
	Since, Until time.Time
	Lasts        time.Duration
	// Version is the migration's that the entries are about, Kind what they are; empty means all.
	Version Version
	Kind    string
	// Limit is how many of the newest; 0 means 100, and less than 0 all.
	Limit int
}

// logQuery puts the append-only logs together. What a decision says of a held migration is not told twice.
const logQuery = `
select * from (
    select at, 'event' as log, id, kind, version, coalesce(e.detail ->> 'name', m.name, ''), coalesce(e.detail ->> 'checksum', m.checksum, ''), by_role, e.person, e.client, e.pawl_version, e.detail
    from pawl.event e left join pawl.migration m using (version)
    where kind <> 'held' or not exists (select from pawl.decision d where d.version = e.version and not d.allowed and d.at between e.at - interval '1 second' and e.at + interval '1 second')
    union all
    select at, 'release', id, kind, null, '', '', by_role, person, client, pawl_version,
           jsonb_strip_nulls(jsonb_build_object('consumer', consumer, 'release', release, 'reason', nullif(reason, '')))
    from pawl.release_event
    union all
    select d.at, 'decision', d.id, case when d.allowed then 'allowed' else 'held' end, d.version, coalesce(m.name, ''), d.checksum, d.by_role, d.person, d.client, d.pawl_version,
           jsonb_build_object('verdict', d.verdict, 'findings', jsonb_array_length(d.findings),
               'acknowledgements', (select coalesce(jsonb_agg(distinct f -> 'acknowledged' -> 'id'), '[]') from jsonb_array_elements(d.findings) f where f ? 'acknowledged'))
    from pawl.decision d left join pawl.migration m using (version)
    union all
    select at, 'acknowledgement', id, case when revokes is null then 'acknowledged' else 'acknowledgement taken back' end, null, '', '', by_role, by_person, client, pawl_version,
           jsonb_strip_nulls(jsonb_build_object('object', object, 'consumer', consumer, 'release', nullif(release, ''), 'broken', nullif(broken, false), 'reason', reason, 'until', until, 'revokes', revokes))
    from pawl.acknowledgement
) as log
where at >= coalesce($1::timestamptz, clock_timestamp() - $2::bigint * interval '1 millisecond', '-infinity') and ($3::timestamptz is null or at < $3)
  and ($4 = '' or version = $4) and ($5 = '' or kind = $5)
order by at desc, log desc, id desc limit $6`

// Log gives the entries of the ledger's logs, oldest first. A standby will do.
func (m *Migrator) Log(ctx context.Context, o LogOptions) ([]LogEntry, error) {
	var list []LogEntry
	err := m.reading(ctx, func(s *session, l *Ledger) error {
		const since = 5
		if l.Schema < since {
			return &RefusedError{
				Message: "this ledger is from before there was such a log",
				Hint:    "the next run of `pawl migrate` that has something to do brings it up to date",
			}
		}
		var limit *int
		switch {
		case o.Limit == 0:
			hundred := 100
			limit = &hundred
		case o.Limit > 0:
			limit = &o.Limit
		}
		var lasts *int64
		if o.Lasts > 0 {
			ms := o.Lasts.Milliseconds()
			lasts = &ms
		}
		rows, err := s.conn.Query(ctx, logQuery, timeOrNil(o.Since), lasts, timeOrNil(o.Until), string(o.Version), o.Kind, limit)
		if err != nil {
			return classify(ctx, "read the log", err)
		}
		list, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (LogEntry, error) {
			var e LogEntry
			var version *string
			err := r.Scan(&e.At, &e.Log, &e.ID, &e.Kind, &version, &e.Name, &e.Sum, &e.Role, &e.Person, &e.Client, &e.PawlVersion, &e.Detail)
			e.Version = Version(orEmpty(version))
			return e, err
		})
		return classify(ctx, "read the log", err)
	})
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list, err
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// audit records that something was refused, or failed in the database's or the files' own right. What is transient is not recorded,
// and nothing is written where there is no ledger. The error is given back.
func (m *Migrator) audit(ctx context.Context, s *session, command string, err error) error {
	if err == nil || !s.hasLedger || s.standby || s.conn.IsClosed() || ctx.Err() != nil {
		return err
	}
	var (
		refused   *RefusedError
		integrity *IntegrityError
		file      *FileError
		statement *StatementError
	)
	kind, version := "refused", Version("")
	about := map[string]string{"command": command, "message": err.Error()}
	switch {
	case errors.As(err, &statement):
		kind, version = "failed", statement.Version
		if statement.Sum != "" {
			about["name"], about["checksum"] = statement.Name, statement.Sum
		}
	case errors.As(err, &integrity):
		version = integrity.Version
	case errors.As(err, &refused):
		version = refused.Version
	case errors.As(err, &file):
	default:
		return err
	}
	detail, encodeErr := json.Marshal(about)
	if encodeErr != nil {
		return errors.Join(err, encodeErr)
	}
	m.rollback(ctx, s)
	const query = `insert into pawl.event (kind, version, detail, pawl_version) values ($1, nullif($2, ''), $3, $4)`
	if _, writeErr := s.conn.Exec(ctx, query, kind, string(version), string(detail), m.opts.PawlVersion); writeErr != nil {
		// A role that may only read is refused all the same.
		if sqlState(writeErr) == "42501" || sqlState(writeErr) == "25006" {
			return err
		}
		return errors.Join(err, classify(ctx, "record the refusal", writeErr))
	}
	return err
}

// overridden records that an option let through what pawl would have refused.
func (m *Migrator) overridden(ctx context.Context, s *session, option string, what any) error {
	detail, err := json.Marshal(map[string]any{"option": option, "what": what})
	if err != nil {
		return fmt.Errorf("encode what was overridden: %w", err)
	}
	_, err = s.conn.Exec(ctx, `insert into pawl.event (kind, detail, pawl_version) values ('overridden', $1, $2)`, string(detail), m.opts.PawlVersion)
	return classify(ctx, "record what was overridden", err)
}
