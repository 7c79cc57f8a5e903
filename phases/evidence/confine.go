package evidence

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/gate"
)

// Confine fills in, for what is taken from certain roles only, what those could do before. A statement that none of them
// had the rights for was never theirs. It leaves a take alone whose roles the database does not have.
func Confine(ctx context.Context, conn *pgx.Conn, change *gate.Change) error {
	var roles []string
	for _, t := range change.Takes {
		roles = append(roles, t.Roles...)
	}
	if len(roles) == 0 {
		return nil
	}
	const query = `
select r.rolname, n.nspname, c.relname,
    has_table_privilege(r.oid, c.oid, 'SELECT') or has_any_column_privilege(r.oid, c.oid, 'SELECT'),
    has_table_privilege(r.oid, c.oid, 'INSERT') or has_any_column_privilege(r.oid, c.oid, 'INSERT'),
    has_table_privilege(r.oid, c.oid, 'UPDATE') or has_any_column_privilege(r.oid, c.oid, 'UPDATE'),
    has_table_privilege(r.oid, c.oid, 'DELETE')
from pg_roles r cross join pg_class c join pg_namespace n on n.oid = c.relnamespace
where r.rolname = any ($1) and c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'`
	rows, err := conn.Query(ctx, query, roles)
	if err != nil {
		return fmt.Errorf("read the rights of roles: %w", err)
	}
	defer rows.Close()
	held := map[string]map[phases.RelationName]phases.Use{}
	for rows.Next() {
		var role string
		var name phases.RelationName
		var may [4]bool
		if err := rows.Scan(&role, &name.Schema, &name.Name, &may[0], &may[1], &may[2], &may[3]); err != nil {
			return fmt.Errorf("read the rights of roles: %w", err)
		}
		if held[role] == nil {
			held[role] = map[phases.RelationName]phases.Use{}
		}
		for i, use := range []phases.Use{phases.Read, phases.Insert, phases.Update, phases.Delete} {
			if may[i] {
				held[role][name] |= use
			} else {
				held[role][name] |= 0
			}
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the rights of roles: %w", err)
	}
	holders := map[string]*phases.Holders{}
	for i := range change.Takes {
		t := &change.Takes[i]
		if len(t.Roles) == 0 || slices.ContainsFunc(t.Roles, func(r string) bool { return held[r] == nil }) {
			continue
		}
		key := strings.Join(t.Roles, ",")
		if holders[key] == nil {
			holders[key] = &phases.Holders{May: map[string]map[string]phases.Use{}}
			for _, role := range t.Roles {
				for name, uses := range held[role] {
					if holders[key].May[name.Name] == nil {
						holders[key].May[name.Name] = map[string]phases.Use{}
					}
					holders[key].May[name.Name][name.Schema] |= uses
				}
			}
		}
		t.Holders = holders[key]
	}
	return nil
}
