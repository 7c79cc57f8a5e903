package evidence

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/gate"
)

// ConsumerRoles gives for each role the consumers that connect under it; none in a ledger from before that was recorded.
func ConsumerRoles(ctx context.Context, conn Conn) (map[string][]string, error) {
	has, err := hasTable(ctx, conn, "consumer_role")
	if err != nil || !has {
		return nil, err
	}
	rows, err := conn.Query(ctx, `select role, consumer from pawl.consumer_role order by role, consumer`)
	if err != nil {
		return nil, fmt.Errorf("read the consumers' roles: %w", err)
	}
	defer rows.Close()
	roles := map[string][]string{}
	for rows.Next() {
		var role, consumer string
		if err := rows.Scan(&role, &consumer); err != nil {
			return nil, fmt.Errorf("read the consumers' roles: %w", err)
		}
		roles[role] = append(roles[role], consumer)
	}
	return roles, rows.Err()
}

// AddRoles records under which roles a consumer connects, besides those that are known.
func AddRoles(ctx context.Context, conn Conn, consumer string, roles []string, pawlVersion string) error {
	const insert = `
insert into pawl.consumer_role (consumer, role, pawl_version) select $1, r, $3 from unnest($2::text[]) r
where not exists (select from pawl.consumer_role k where k.consumer = $1 and k.role = r) on conflict do nothing`
	_, err := conn.Exec(ctx, insert, consumer, emptyNotNil(roles), pawlVersion)
	return err
}

// SetRoles replaces the roles of a consumer.
func SetRoles(ctx context.Context, conn Conn, consumer string, roles []string, pawlVersion string) error {
	const replace = `
with gone as (delete from pawl.consumer_role where consumer = $1 and role <> all ($2::text[]))
insert into pawl.consumer_role (consumer, role, pawl_version) select $1, r, $3 from unnest($2::text[]) r on conflict do nothing`
	_, err := conn.Exec(ctx, replace, consumer, emptyNotNil(roles), pawlVersion)
	return err
}

// Strangers gives the login roles that can touch the taken objects and belong to no consumer. Superusers and pawl's own
// role are left out: they can touch everything, and run nobody's code. Where no consumer's roles are known, nothing is
// known of strangers either, unless all is set.
func Strangers(ctx context.Context, conn Conn, takes []gate.Taken, all bool) ([]gate.Stranger, error) {
	var schemas, relations []string
	for _, t := range takes {
		if o := t.Object; o.Relation != "" {
			schemas, relations = append(schemas, o.Schema), append(relations, o.Relation)
		}
	}
	if len(relations) == 0 {
		return nil, nil
	}
	known, err := ConsumerRoles(ctx, conn)
	if err != nil || len(known) == 0 && !all {
		return nil, err
	}
	const query = `
select distinct r.rolname, n.nspname, c.relname, concat_ws(', ',
    case when has_table_privilege(r.oid, c.oid, 'SELECT') or has_any_column_privilege(r.oid, c.oid, 'SELECT') then 'read' end,
    case when has_table_privilege(r.oid, c.oid, 'INSERT') or has_any_column_privilege(r.oid, c.oid, 'INSERT') then 'insert into' end,
    case when has_table_privilege(r.oid, c.oid, 'UPDATE') or has_any_column_privilege(r.oid, c.oid, 'UPDATE') then 'update' end,
    case when has_table_privilege(r.oid, c.oid, 'DELETE') then 'delete from' end)
from unnest($1::text[], $2::text[]) as w(schema, name)
join pg_class c on c.oid = to_regclass(case when w.schema = '' then quote_ident(w.name) else quote_ident(w.schema) || '.' || quote_ident(w.name) end)
join pg_namespace n on n.oid = c.relnamespace
cross join pg_roles r
where r.rolcanlogin and not r.rolsuper and r.rolname not in (current_user, session_user) and r.rolname !~ '^pg_'
  and c.relkind in ('r', 'p', 'v', 'm', 'f')
  and has_database_privilege(r.oid, current_database(), 'CONNECT') and has_schema_privilege(r.oid, n.oid, 'USAGE')
  and (has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE') or has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE'))
order by 1, 2, 3`
	rows, err := conn.Query(ctx, query, schemas, relations)
	if err != nil {
		return nil, fmt.Errorf("look for roles that can touch what is taken: %w", err)
	}
	defer rows.Close()
	var list []gate.Stranger
	for rows.Next() {
		var role, schema, name, may string
		if err := rows.Scan(&role, &schema, &name, &may); err != nil {
			return nil, fmt.Errorf("look for roles that can touch what is taken: %w", err)
		}
		if known[role] != nil {
			continue
		}
		i := slices.IndexFunc(takes, func(t gate.Taken) bool {
			return t.Object.Relation == name && (t.Object.Schema == "" || t.Object.Schema == schema)
		})
		list = append(list, gate.Stranger{
			Role: role, May: strings.TrimSpace(may), Relation: phases.Object{Kind: phases.Table, Schema: schema, Relation: name},
			Object: takes[i].Object, Taken: takes[i].Summary,
		})
	}
	return list, rows.Err()
}
