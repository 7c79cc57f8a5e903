package migrate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Restore says what to do about a restore point before a contract.
type Restore string

const (
	// RestoreTry makes one where the role may, and notes the position in the log in any case. It is the default.
	RestoreTry Restore = "try"
	// RestoreRequire does not apply a contract without one, nor while the archiver fails.
	RestoreRequire Restore = "require"
	// RestoreOff neither makes nor notes anything.
	RestoreOff Restore = "off"
)

// RestorePoint is where a database can be brought back to by point-in-time recovery.
type RestorePoint struct {
	// Name is that of the restore point; empty where none was made.
	Name string `json:"name,omitempty"`
	// LSN is the position in the write-ahead log, At the database's time.
	LSN string    `json:"lsn"`
	At  time.Time `json:"at"`
	// Problems say why there is no restore point, or why it may be of no use.
	Problems []string `json:"problems,omitempty"`

	failing bool
}

// String describes it in one line.
func (p RestorePoint) String() string {
	text := fmt.Sprintf("LSN %s at %s", p.LSN, p.At.UTC().Format("2006-01-02 15:04:05 MST"))
	if p.Name != "" {
		text = p.Name + ", " + text
	}
	if len(p.Problems) > 0 {
		text += "; " + strings.Join(p.Problems, "; ")
	}
	return text
}

// restorePoint makes or notes where the database can be brought back to, before a step that takes something away. It is
// nil for other steps, in a development database, and where it is switched off.
func (m *Migrator) restorePoint(ctx context.Context, s *session, step Step, environment Environment) (*RestorePoint, error) {
	if m.opts.Restore == RestoreOff || environment == Dev || !Gated(step.Assessment) || len(ChangeOf(step.Assessment).Takes) == 0 {
		return nil, nil //nolint:nilnil // there is nothing to come back from
	}
	p := &RestorePoint{}
	const longest = 63
	name := "pawl " + strings.TrimSuffix(step.Migration.Name, ".sql")
	name = strings.ToValidUTF8(name[:min(len(name), longest)], "")
	err := s.conn.QueryRow(ctx, `select pg_create_restore_point($1)::text, clock_timestamp()`, name).Scan(&p.LSN, &p.At)
	switch code := sqlState(err); {
	case err == nil:
		p.Name = name
	case code == "42501":
		p.Problems = append(p.Problems, fmt.Sprintf("no restore point: role %q may not make one (grant execute on function pg_create_restore_point(text) to %s)",
			s.role, pgx.Identifier{s.role}.Sanitize()))
	case code == "55000":
		p.Problems = append(p.Problems, "no restore point: "+describe(err))
	default:
		return nil, classify(ctx, "make a restore point", err)
	}
	const position = `
select pg_current_wal_lsn()::text, clock_timestamp(), current_setting('archive_mode'),
       coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false), failed_count,
       coalesce(last_failed_wal, ''), coalesce(last_failed_time, now())
from pg_stat_archiver`
	var lsn, mode, wal string
	var at, failed time.Time
	var count int64
	if err := s.conn.QueryRow(ctx, position).Scan(&lsn, &at, &mode, &p.failing, &count, &wal, &failed); err != nil {
		return nil, classify(ctx, "read the position in the log", err)
	}
	if p.Name == "" {
		p.LSN, p.At = lsn, at
	}
	if p.failing = p.failing && mode != "off"; p.failing {
		p.Problems = append(p.Problems, fmt.Sprintf("the archiver fails since %s, last on %s, %d times in all: it may be impossible to come back to this point",
			failed.UTC().Format("2006-01-02 15:04 MST"), wal, count))
	}
	if mode == "off" {
		p.Problems = append(p.Problems, "archive_mode is off: this server archives no log by itself")
	}
	if m.opts.Restore == RestoreRequire && (p.Name == "" || p.failing) {
		return p, &RefusedError{
			Message: fmt.Sprintf("%s is a contract, and there is no restore point to come back to from it: %s", step.Migration.Path, strings.Join(p.Problems, "; ")),
			Hint:    "nothing of it was applied; make restore points possible, or say --restore-point=try",
		}
	}
	m.opts.OnEvent(RestorePointMade{Migration: step.Migration, Point: *p})
	return p, nil
}
