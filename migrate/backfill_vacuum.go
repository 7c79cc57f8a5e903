package migrate

import (
	"context"
	"fmt"
)

// smallTable is the size in blocks below which dead rows are left to autovacuum.
const smallTable = 128

// clean counts what a batch has left dead, and vacuums the table once that is more than the budget, so that the space is
// used again instead of the table growing by every row that is changed.
func (run *backfillRun) clean(ctx context.Context, s *session, part *backfillPart, changed int64) error {
	if run.settings.Dead <= 0 || run.def.Verb == "insert" || !run.due(part, changed) {
		return nil
	}
	run.vacuum.Lock()
	defer run.vacuum.Unlock()
	if !run.due(part, 0) {
		// Another worker has done it.
		return nil
	}
	const look = `
select pg_relation_size(c.oid) / current_setting('block_size')::int,
       pg_has_role(c.relowner, 'usage') or case when current_setting('server_version_num')::int >= 170000 then has_table_privilege(c.oid, 'MAINTAIN') else false end
from pg_class c where c.oid = $1`
	var blocks int64
	var may bool
	if err := s.conn.QueryRow(ctx, look, part.oid).Scan(&blocks, &may); err != nil {
		return classify(ctx, "look at the size of "+part.name, err)
	}
	if blocks < smallTable || !may {
		run.mu.Lock()
		run.noVac[part.oid] = !may
		run.dead[part.oid] = 0
		run.mu.Unlock()
		if !may {
			run.tellNoVacuum(s, part)
		}
		return nil
	}
	run.setLimit("VACUUM of " + part.name)
	defer run.setLimit("")
	// The lock is the one that autovacuum takes: whoever has it vacuums the table already.
	// It goes in small steps, for at full speed writers wait for it; in smaller ones where there are others.
	steps := "set vacuum_cost_delay = 1; set vacuum_cost_limit = 1000"
	if run.throttle.shared() {
		steps = "set vacuum_cost_delay = 2; set vacuum_cost_limit = 200"
	}
	if _, err := s.conn.Exec(ctx, "set lock_timeout = '5s'; set statement_timeout = 0; "+steps); err != nil {
		return classify(ctx, "set the timeouts", err)
	}
	_, err := s.conn.Exec(ctx, "vacuum (truncate off) "+part.ident())
	if err != nil && sqlState(err) != "55P03" && sqlState(err) != "40P01" {
		return run.status.statementError(ctx, "vacuum "+part.name, err)
	}
	if _, err := s.conn.Exec(ctx, "reset lock_timeout; reset statement_timeout; reset vacuum_cost_delay; reset vacuum_cost_limit"); err != nil {
		return classify(ctx, "reset the timeouts", err)
	}
	run.mu.Lock()
	run.dead[part.oid] = 0
	run.mu.Unlock()
	return nil
}

// due adds what was changed to the dead rows of the table, and reports whether they are more than the budget.
func (run *backfillRun) due(part *backfillPart, changed int64) bool {
	run.mu.Lock()
	defer run.mu.Unlock()
	run.dead[part.oid] += changed
	rows := run.rows[part.oid]
	return !run.noVac[part.oid] && rows > 0 && float64(run.dead[part.oid]) > run.settings.Dead*float64(rows)
}

func (run *backfillRun) tellNoVacuum(s *session, part *backfillPart) {
	why := fmt.Sprintf("VACUUM: role %q may not vacuum %s.%s, so its size is left to autovacuum", s.role, part.schema, part.name)
	run.throttle.mu.Lock()
	known := run.throttle.cannot[why]
	if run.throttle.cannot == nil {
		run.throttle.cannot = map[string]bool{}
	}
	run.throttle.cannot[why] = true
	run.throttle.mu.Unlock()
	if !known {
		run.m.opts.OnEvent(BackfillUnwatched{run.status, why})
	}
}
