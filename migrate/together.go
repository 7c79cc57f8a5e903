package migrate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bitvault/pawl/phases"
)

// Bounds of how much goes to the server together: an error costs the work of all of it, and every relation that is made
// takes a few entries of the server's lock table until the commit.
const (
	mostTogether           = 50
	mostStatementsTogether = 150
	mostBytesTogether      = 256 << 10
)

// together counts the steps at the beginning of a list that may share one transaction: files that only make what nobody
// can use yet, and for which nobody can wait.
func together(steps []Step) int {
	n, statements, bytes := 0, 0, 0
	for n < len(steps) && n < mostTogether && makesOnly(steps[n]) {
		statements += len(steps[n].Assessment.Statements)
		bytes += len(steps[n].Migration.File().Text)
		if statements > mostStatementsTogether || bytes > mostBytesTogether {
			break
		}
		n++
	}
	return n
}

func makesOnly(step Step) bool {
	f := step.Migration.File()
	if !step.Transactional || step.Phase != phases.Expand || step.Assessment.Mixed || step.Resume || step.Decision != nil ||
		step.keep > 0 || step.aside != nil || leftBehind(f) != "" || len(step.Assessment.Statements) == 0 {
		return false
	}
	for _, d := range f.Directives {
		switch d.Name {
		case "allow", "after", "phase":
		default:
			return false
		}
	}
	for _, s := range step.Assessment.Statements {
		if s.Statement.CopyData != nil {
			return false
		}
		for _, op := range s.Operations {
			if len(op.Locks) > 0 || len(op.Takes) > 0 || !makes(op) {
				return false
			}
		}
	}
	return true
}

// makes reports whether an operation makes something new, or changes what the same run has made, quickly and without
// running code of its own.
func makes(op phases.AssessedOperation) bool {
	switch op.Kind {
	case "create_table", "create_partition", "create_index", "create_unique_index", "create_index_only", "create_view", "create_sequence",
		"create_enum", "create_composite_type", "create_range_type", "create_schema", "create_statistics":
		return true
	case "comment":
		return op.New
	}
	return op.New && strings.HasPrefix(string(op.Kind), "add_")
}

// applyTogether applies steps in one message and one transaction, each with its row. It reports false where PostgreSQL
// refused any of it: nothing is applied then, and one by one tells which it was and applies those before.
func (m *Migrator) applyTogether(ctx context.Context, s *session, steps []Step) (bool, error) {
	start := time.Now()
	var text strings.Builder
	fmt.Fprintf(&text, "/* pawl %s and %d more */ begin; set local lock_timeout = %d; set local statement_timeout = %d; set local search_path = %s",
		commentSafe(steps[0].Migration.Name), len(steps)-1, m.opts.LockTimeout.Milliseconds(), m.opts.StatementTimeout.Milliseconds(), s.searchPathList())
	for _, step := range steps {
		m.opts.OnEvent(Started{step.Migration, step.Phase})
		text.WriteString(";\n" + runnable(step.Migration.File()) + "\n")
	}
	text.WriteString(s.conn.own(m.recordTogether(s, steps)) + "; commit")
	_, err := s.conn.PgConn().Exec(ctx, text.String()).ReadAll()
	switch {
	case err == nil:
	case ctx.Err() != nil:
		m.rollback(ctx, s)
		return false, context.Cause(ctx)
	case s.conn.IsClosed():
		return false, classify(ctx, fmt.Sprintf("apply %s and %d more", steps[0].Migration.Name, len(steps)-1), err)
	default:
		m.rollback(ctx, s)
		return false, nil
	}
	took := time.Since(start) / time.Duration(len(steps))
	for _, step := range steps {
		m.opts.OnEvent(Applied{Migration: step.Migration, Phase: step.Phase, Duration: took, Attempts: 1})
	}
	return true, nil
}

// recordTogether gives the statements that write the rows of several steps as pawl.record_applied writes one: its look
// for the lock costs as much as the row, and once is enough for a transaction. Whatever is not as it should be makes them
// fail, and pawl.record_applied then says what it is.
func (m *Migrator) recordTogether(s *session, steps []Step) string {
	const fence = `; select 1 / (
    select count(*) from pg_catalog.pg_locks
    where locktype = 'advisory' and pid = pg_catalog.pg_backend_pid() and granted and objsubid = 1 and database = %d
      and ((classid::bigint << 32) | objid::bigint) = %d)`
	const record = `; with done as (
    insert into pawl.migration (version, name, checksum, phase, state, transactional, origin, started_at, finished_at, duration_ms, pawl_version)
    select version, name, checksum, %s, 'applied', true, 'migrate', pg_catalog.transaction_timestamp(), pg_catalog.clock_timestamp(),
           (extract(epoch from pg_catalog.clock_timestamp() - pg_catalog.transaction_timestamp()) * 1000)::bigint, %s
    from (values %s) as file (version, name, checksum)
    returning *
)
insert into pawl.event (kind, version, detail, pawl_version)
select 'applied', version, pg_catalog.jsonb_build_object('name', name, 'checksum', checksum, 'phase', phase, 'origin', origin), pawl_version from done`
	rows := make([]string, len(steps))
	for i, step := range steps {
		rows[i] = fmt.Sprintf("(%s, %s, %s)", literal(string(step.Migration.Version)), literal(step.Migration.Name), literal(step.Migration.Sum))
	}
	return fmt.Sprintf(fence, s.databaseID, s.lockKey) +
		fmt.Sprintf(record, literal(phases.Expand.String()), literal(m.opts.PawlVersion), strings.Join(rows, ", "))
}
