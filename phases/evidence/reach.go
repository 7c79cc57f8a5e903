package evidence

import (
	"context"
	"fmt"
	"regexp"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases"
)

// Reach knows through which other objects of a database code gets at an object without naming it: views over a table,
// a partition's parent, functions whose body names it, tables whose triggers call such functions. It takes too much
// rather than too little. The nil Reach reaches nothing.
type Reach struct {
	objects []reachable
	// by lists for each object the ways that lead to it.
	by map[int][]way
}

// way is one step: through the object with this index.
type way struct {
	through int
	kind    string
}

// The kinds of ways, as the query below names them.
const (
	wayView    = "view"
	wayInherit = "inherit"
	wayTrigger = "trigger"
	wayUse     = "use"
	wayBody    = "body"
)

type reachable struct {
	object phases.Object
	body   string
}

// LoadReach reads the dependencies of a database's own objects: pg_depend for what PostgreSQL knows of, and the bodies
// of functions, for which it keeps no dependencies where they are strings.
func LoadReach(ctx context.Context, conn *pgx.Conn) (*Reach, error) {
	const objects = `
select c.oid::bigint, 'r', n.nspname, c.relname, ''
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and n.nspname not in ('pg_catalog', 'information_schema', 'pawl') and n.nspname !~ '^pg_'
union all
select p.oid::bigint, 'f', n.nspname, p.proname, coalesce(p.prosrc, '') || ' ' || coalesce(pg_get_function_sqlbody(p.oid), '')
       || ' ' || coalesce(pg_get_function_arguments(p.oid), '') || ' ' || coalesce(pg_get_function_result(p.oid), '')
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname not in ('pg_catalog', 'information_schema', 'pawl') and n.nspname !~ '^pg_'
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')`
	// Each row: the first object is reached through the second.
	const edges = `
select d.refobjid::bigint, r.ev_class::bigint, 'view' from pg_depend d join pg_rewrite r on r.oid = d.objid
where d.classid = 'pg_rewrite'::regclass and d.refclassid in ('pg_class'::regclass, 'pg_proc'::regclass) and d.refobjid <> r.ev_class
union select inhrelid::bigint, inhparent::bigint, 'inherit' from pg_inherits
union select inhparent::bigint, inhrelid::bigint, 'inherit' from pg_inherits
union select tgfoid::bigint, tgrelid::bigint, 'trigger' from pg_trigger
union select d.refobjid::bigint, a.adrelid::bigint, 'trigger' from pg_depend d join pg_attrdef a on a.oid = d.objid
where d.classid = 'pg_attrdef'::regclass and d.refclassid in ('pg_proc'::regclass, 'pg_class'::regclass) and d.refobjid <> a.adrelid
union select d.refobjid::bigint, c.conrelid::bigint, 'trigger' from pg_depend d join pg_constraint c on c.oid = d.objid
where d.classid = 'pg_constraint'::regclass and d.refclassid = 'pg_proc'::regclass and c.conrelid <> 0
union select d.refobjid::bigint, p.polrelid::bigint, 'use' from pg_depend d join pg_policy p on p.oid = d.objid
where d.classid = 'pg_policy'::regclass and d.refclassid in ('pg_proc'::regclass, 'pg_class'::regclass) and d.refobjid <> p.polrelid
union select d.refobjid::bigint, d.objid::bigint, 'use' from pg_depend d
where d.classid = 'pg_proc'::regclass and d.refclassid in ('pg_class'::regclass, 'pg_proc'::regclass)`
	r := &Reach{by: map[int][]way{}}
	ids := map[int64]int{}
	rows, err := conn.Query(ctx, objects)
	if err != nil {
		return nil, fmt.Errorf("read the database's objects: %w", err)
	}
	for rows.Next() {
		var id int64
		var kind, schema, name, body string
		if err := rows.Scan(&id, &kind, &schema, &name, &body); err != nil {
			rows.Close()
			return nil, fmt.Errorf("read the database's objects: %w", err)
		}
		o := phases.Object{Kind: phases.Table, Schema: schema, Relation: name}
		if kind == "f" {
			o = phases.Object{Kind: phases.Function, Schema: schema, Name: name}
		}
		ids[id] = len(r.objects)
		r.objects = append(r.objects, reachable{o, body})
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the database's objects: %w", err)
	}
	rows, err = conn.Query(ctx, edges)
	if err != nil {
		return nil, fmt.Errorf("read the database's dependencies: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var used, by int64
		var kind string
		if err := rows.Scan(&used, &by, &kind); err != nil {
			return nil, fmt.Errorf("read the database's dependencies: %w", err)
		}
		u, ok1 := ids[used]
		b, ok2 := ids[by]
		if ok1 && ok2 {
			r.by[u] = append(r.by[u], way{b, kind})
		}
	}
	return r, rows.Err()
}

// Of gives the objects through which what is taken is reached, itself left out. PostgreSQL refuses to drop a function
// that a trigger, a view or a default calls, so from such a function only the ways through bodies of other functions
// lead on, of which PostgreSQL does not know.
func (r *Reach) Of(take phases.Take) []phases.Reached {
	if r == nil {
		return nil
	}
	o := take.Object
	found := map[int]phases.Reached{}
	var queue []int
	visit := func(i int, how phases.Reached) {
		how.Object = r.objects[i].object
		old, seen := found[i]
		if seen {
			// The least restricted of several ways counts, and a way inside of functions is never forgotten.
			how.Writes, how.View, how.Inside = how.Writes && old.Writes, how.View && old.View, how.Inside || old.Inside
			if how == old {
				return
			}
		}
		found[i] = how
		queue = append(queue, i)
	}
	for i, other := range r.objects {
		if names(other.object, o) {
			visit(i, phases.Reached{})
		}
	}
	for len(queue) > 0 {
		i := queue[0]
		queue = queue[1:]
		how, here := found[i], r.objects[i].object
		first := names(here, o)
		function := here.Kind == phases.Function
		for _, w := range r.by[i] {
			if first && function && take.Certainty == phases.Fails && w.kind != wayBody {
				continue
			}
			next := phases.Reached{Inside: how.Inside || function, Writes: how.Writes && !function, View: how.View && !function}
			switch w.kind {
			case wayTrigger:
				next.Writes = true
			case wayView:
				next.View = !next.Inside
			}
			visit(w.through, next)
		}
		word := regexp.MustCompile(`(?i)(^|[^\w$])` + regexp.QuoteMeta(here.Relation+here.Name) + `($|[^\w$])`)
		for j, other := range r.objects {
			if _, seen := found[j]; !seen && other.body != "" && word.MatchString(other.body) {
				visit(j, phases.Reached{Inside: true})
			}
		}
	}
	var out []phases.Reached
	for i := range r.objects {
		if how, ok := found[i]; ok && !names(how.Object, o) {
			out = append(out, how)
		}
	}
	return out
}

// names reports whether the object is, or hangs on, the other one.
func names(candidate, o phases.Object) bool {
	if o.Schema != "" && candidate.Schema != o.Schema {
		return false
	}
	if candidate.Kind == phases.Function {
		return o.Kind == phases.Function && candidate.Name == o.Name
	}
	return o.Relation != "" && candidate.Relation == o.Relation
}
