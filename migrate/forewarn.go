package migrate

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases"
)

// longOpen is from which age on a transaction is told of before the first migration is sent.
const longOpen = 2 * time.Second

// forewarn tells, by one statement for all steps, which sessions already keep what the steps will wait for. It changes
// nothing: a transaction that is open for long may end in time.
func (m *Migrator) forewarn(ctx context.Context, s *session, steps []Step) error {
	var names []string
	first := map[string]*Migration{}
	var building *Migration
	for _, step := range steps {
		for _, st := range step.Assessment.Statements {
			for _, op := range st.Operations {
				for _, lock := range op.Locks {
					if lock.Mode < phases.ShareUpdateExclusive || first[lock.Relation] != nil {
						continue
					}
					first[lock.Relation] = step.Migration
					names = append(names, quoteRelation(lock.Relation))
				}
				if op.Effect.NoTx && op.Effect.Lock == phases.ShareUpdateExclusive && building == nil {
					building = step.Migration
				}
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	// A concurrent build also waits for whoever has an older snapshot in the database, whatever it reads.
	const query = `
with wanted as materialized (
    select name, to_regclass(name) as relation from unnest($1::text[]) as name
), session as materialized (
    select *, backend_type = 'autovacuum worker' as worker from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
      and (backend_type = 'autovacuum worker' and query like '%(to prevent wraparound)%'
           or backend_type <> 'autovacuum worker' and xact_start < clock_timestamp() - $2::float8 * interval '1 second')
), found as (
    select distinct s.pid, w.name from session s join pg_locks l using (pid) join wanted w on l.relation = w.relation
    where l.granted and l.locktype = 'relation' and l.database = (select oid from pg_database where datname = current_database())
), older as (
    select s.pid, '' as name from session s where $3 and s.backend_xmin is not null and not exists (select from found f where f.pid = s.pid)
)
select s.pid, coalesce(s.application_name, ''), coalesce(s.state, 'unknown state'),
       coalesce(extract(epoch from clock_timestamp() - s.xact_start), 0)::float8, coalesce(left(s.query, 200), ''), f.name, s.worker
from (select * from found union all select * from older) f join session s using (pid)
order by f.name, s.pid`
	rows, err := s.conn.Query(ctx, query, names, longOpen.Seconds(), building != nil)
	if err != nil {
		return classify(ctx, "look who is in the way", err)
	}
	list, err := pgx.CollectRows(rows, scanBlocker)
	if err != nil {
		return classify(ctx, "look who is in the way", err)
	}
	told := map[*Migration][]Blocker{}
	for _, b := range list {
		migration := building
		for name, m := range first {
			if quoteRelation(name) == b.Relation {
				migration = m
			}
		}
		told[migration] = append(told[migration], b)
	}
	for _, step := range steps {
		if blockers := told[step.Migration]; len(blockers) > 0 {
			m.opts.OnEvent(InTheWay{step.Migration, blockers})
		}
	}
	return nil
}

// quoteRelation quotes a relation's name as the assessment spells it.
func quoteRelation(name string) string {
	if schema, relation, ok := strings.Cut(name, "."); ok {
		return qualified(schema, relation)
	}
	return qualified("", name)
}
