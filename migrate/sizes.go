package migrate

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/lint"
)

// TableSizes reads how large the database's tables are, by what PostgreSQL noted at the last VACUUM or ANALYZE: no table is locked or
// read for it. Of a partitioned table it is what its partitions have together.
func (m *Migrator) TableSizes(ctx context.Context) (*lint.Stats, error) {
	s, err := m.dial(ctx, false)
	if err != nil {
		return nil, err
	}
	defer s.close()
	stats := &lint.Stats{Version: 1, Database: s.database}
	if err := s.conn.QueryRow(ctx, `select current_setting('server_version'), now()`).Scan(&stats.Server, &stats.At); err != nil {
		return nil, classify(ctx, "read the sizes of tables", err)
	}
	stats.At = stats.At.UTC()
	const query = `
with recursive tables as (
  select c.oid, c.oid as root from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'm') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'pawl') and n.nspname not like 'pg\_temp%'
    and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
  union all
  select i.inhrelid, t.root from tables t join pg_class p on p.oid = t.oid and p.relkind = 'p' join pg_inherits i on i.inhparent = t.oid
), sizes as (
  select t.root,
         case when c.relkind = 'p' then 0 when c.reltuples >= 0 then c.reltuples::bigint when pg_stat_get_live_tuples(c.oid) > 0 then pg_stat_get_live_tuples(c.oid) else -1 end as rows,
         greatest(c.relpages, 0)::bigint + coalesce((select relpages from pg_class x where x.oid = c.reltoastrelid), 0) as pages,
         coalesce((select sum(x.relpages) from pg_index i join pg_class x on x.oid = i.indexrelid where i.indrelid = c.oid), 0)::bigint as index_pages
  from tables t join pg_class c on c.oid = t.oid
)
select n.nspname, c.relname, case when min(s.rows) < 0 then -1 else sum(s.rows)::bigint end,
       (sum(s.pages) * current_setting('block_size')::bigint)::bigint, (sum(s.index_pages) * current_setting('block_size')::bigint)::bigint
from sizes s join pg_class c on c.oid = s.root join pg_namespace n on n.oid = c.relnamespace
group by n.nspname, c.relname order by n.nspname, c.relname`
	rows, err := s.conn.Query(ctx, query)
	if err != nil {
		return nil, classify(ctx, "read the sizes of tables", err)
	}
	stats.Tables, err = pgx.CollectRows(rows, pgx.RowToStructByPos[lint.TableStats])
	return stats, classify(ctx, "read the sizes of tables", err)
}
