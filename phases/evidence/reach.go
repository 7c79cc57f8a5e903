package evidence

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
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
	kind    phases.EdgeKind
}

// ReachIn gives what leads to what in a catalog, where there is no database to ask.
func ReachIn(c *phases.Catalog) *Reach {
	nodes, edges := c.Graph()
	r := &Reach{by: map[int][]way{}}
	for _, n := range nodes {
		r.objects = append(r.objects, reachable{object: n.Object, definition: n.Definition, language: n.Language, columns: n.Columns})
	}
	for _, e := range edges {
		r.by[e.Used] = append(r.by[e.Used], way{e.By, e.Kind})
	}
	return r
}

type reachable struct {
	object phases.Object
	// definition and language are a function's; empty for relations.
	definition, language string
	routine              *parse.Routine
	// columns are a relation's; nil for functions.
	columns []string
}

// body reads a function's body when it is first asked for.
func (o *reachable) body() *parse.Routine {
	if o.routine == nil {
		r := parse.RoutineOf(o.definition, o.language)
		o.routine = &r
	}
	return o.routine
}

// LoadReach reads the dependencies of a database's own objects: pg_depend for what PostgreSQL knows of, and the bodies
// of functions, for which it keeps no dependencies where they are strings.
func LoadReach(ctx context.Context, conn Conn) (*Reach, error) {
	const objects = `
select c.oid::bigint, 'r', n.nspname, c.relname, '', '',
    array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and n.nspname not in ('pg_catalog', 'information_schema', 'pawl') and n.nspname !~ '^(pg|pawl)_'
union all
select p.oid::bigint, 'f', n.nspname, p.proname, case when p.prokind in ('f', 'p') then pg_get_functiondef(p.oid) else '' end, l.lanname, null
from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
where n.nspname not in ('pg_catalog', 'information_schema', 'pawl') and n.nspname !~ '^(pg|pawl)_'
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')`
	// Each row: the first object is reached through the second.
	const edges = `
select d.refobjid::bigint, r.ev_class::bigint, 'view' from pg_depend d join pg_rewrite r on r.oid = d.objid
where d.classid = 'pg_rewrite'::regclass and d.refclassid in ('pg_class'::regclass, 'pg_proc'::regclass) and d.refobjid <> r.ev_class
union select inhrelid::bigint, inhparent::bigint, 'parent' from pg_inherits
union select inhparent::bigint, inhrelid::bigint, 'inherit' from pg_inherits
union select tgfoid::bigint, tgrelid::bigint, 'trigger' from pg_trigger
union select d.refobjid::bigint, a.adrelid::bigint, 'trigger' from pg_depend d join pg_attrdef a on a.oid = d.objid
where d.classid = 'pg_attrdef'::regclass and d.refclassid in ('pg_proc'::regclass, 'pg_class'::regclass) and d.refobjid <> a.adrelid
union select d.refobjid::bigint, c.conrelid::bigint, 'trigger' from pg_depend d join pg_constraint c on c.oid = d.objid
where d.classid = 'pg_constraint'::regclass and d.refclassid = 'pg_proc'::regclass and c.conrelid <> 0
union select d.refobjid::bigint, p.polrelid::bigint, 'policy' from pg_depend d join pg_policy p on p.oid = d.objid
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
		var kind, schema, name, definition, language string
		var columns []string
		if err := rows.Scan(&id, &kind, &schema, &name, &definition, &language, &columns); err != nil {
			rows.Close()
			return nil, fmt.Errorf("read the database's objects: %w", err)
		}
		o := phases.Object{Kind: phases.Table, Schema: schema, Relation: name}
		if kind == "f" {
			o = phases.Object{Kind: phases.Function, Schema: schema, Name: name}
		}
		ids[id] = len(r.objects)
		r.objects = append(r.objects, reachable{object: o, definition: definition, language: language, columns: columns})
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
		var kind phases.EdgeKind
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

// Of gives the objects through which what is taken is reached, itself left out unless its own triggers lead back to
// it. PostgreSQL refuses to drop a function that a trigger, a view or a default calls, so from such a function only the
// ways through bodies of other functions lead on, of which PostgreSQL does not know. Gone names functions that the
// same migration drops: nothing is reached through them afterwards.
func (r *Reach) Of(take phases.Take, gone map[string]bool) []phases.Reached {
	if r == nil {
		return nil
	}
	w := walk{r: r, take: take, gone: gone, found: map[int]phases.Reached{}}
	for i := range r.objects {
		// A view keeps the columns that it has, and their types; only the bodies of functions are read again.
		if take.Uses != phases.Alone && take.Uses != phases.Typed && names(r.objects[i].object, take.Object) {
			w.visit(i, phases.Reached{})
		}
	}
	for i := range r.objects {
		if _, seen := w.found[i]; seen {
			continue
		}
		if uses, ok := w.body(i); ok {
			w.visit(i, phases.Reached{Inside: true, Uses: uses})
		}
	}
	for len(w.queue) > 0 {
		i := w.queue[0]
		w.queue = w.queue[1:]
		w.from(i)
	}
	var out []phases.Reached
	for i := range r.objects {
		if how, ok := w.found[i]; ok && (!names(how.Object, take.Object) || how.Inside) {
			out = append(out, how)
		}
	}
	return out
}

// Know fills in through what else each of the taken things is reached, and the columns beside it. The nil Reach leaves
// the change as it is.
func (r *Reach) Know(change *gate.Change) {
	if r == nil {
		return
	}
	for i := range change.Takes {
		t := &change.Takes[i]
		t.Object.Schema = r.schemaOf(t.Object)
		t.Reach, t.Columns = r.Of(t.Take, change.Gone), r.Columns(t.Object)
	}
	for i := range change.Adds {
		t := &change.Adds[i]
		t.Reach = r.Of(t.Take, change.Gone)
		t.Only = !slices.ContainsFunc(r.objects, func(o reachable) bool { return slices.Contains(o.columns, t.Object.Column) })
	}
}

// schemaOf gives the schema in which a relation really is: files that say where it is only by a search path may have been read with
// another one than they ran with. It is empty, which stands for all, where there are several.
func (r *Reach) schemaOf(o phases.Object) string {
	switch o.Kind {
	case phases.Table, phases.Column, phases.View, phases.MatView, phases.Sequence:
	default:
		return o.Schema
	}
	elsewhere, several := "", false
	for i := range r.objects {
		at := &r.objects[i].object
		if at.Kind == phases.Function || at.Relation != o.Relation {
			continue
		}
		if at.Schema == o.Schema {
			return o.Schema
		}
		several = several || elsewhere != ""
		elsewhere = at.Schema
	}
	if elsewhere == "" {
		return o.Schema
	}
	if several {
		return ""
	}
	return elsewhere
}

// walk is one search through what is reached.
type walk struct {
	r     *Reach
	take  phases.Take
	gone  map[string]bool
	found map[int]phases.Reached
	queue []int
}

func (w *walk) visit(i int, how phases.Reached) {
	how.Object = w.r.objects[i].object
	if how.Kind == phases.Function && w.gone[how.Name] && !names(how.Object, w.take.Object) {
		return
	}
	old, seen := w.found[i]
	if seen {
		// The least restricted of several ways counts, and a way inside of functions is never forgotten.
		how.Writes, how.View, how.Inside = how.Writes && old.Writes, how.View && old.View, how.Inside || old.Inside
		how.Partly = how.Partly && old.Partly
		if how.Uses != 0 && old.Uses != 0 {
			how.Uses |= old.Uses
		} else {
			how.Uses = 0
		}
		if names(how.Object, w.take.Object) {
			// It leads back by what its own writes set off.
			how.Writes = true
		}
		if how == old {
			return
		}
	}
	w.found[i] = how
	w.queue = append(w.queue, i)
}

// from follows the ways that lead through what uses one object.
func (w *walk) from(i int) {
	how, here := w.found[i], w.r.objects[i].object
	function := here.Kind == phases.Function
	taken := names(here, w.take.Object)
	if taken && w.take.Uses != phases.Typed {
		// Whatever else leads back to it, what uses it directly does so plainly.
		how = phases.Reached{}
	}
	for _, way := range w.r.by[i] {
		if taken && function && w.take.Certainty == phases.Fails {
			continue
		}
		next := phases.Reached{Inside: how.Inside || function, Writes: how.Writes && !function, View: how.View && !function}
		next.Partly, next.Uses = how.Partly, how.Uses
		switch way.kind {
		case phases.ByParent:
			next.Partly = true
		case phases.ByTrigger:
			next.Writes = true
		case phases.ByView:
			// A view of the parent does not keep a partition.
			next.View = !next.Inside && !next.Partly
		case phases.ByPolicy:
			if !next.Inside {
				// The policy's expression selects; it writes nothing and has no conflict target.
				if next.Uses = cmp.Or(next.Uses, phases.AnyUse) & phases.Selects; next.Uses == 0 {
					continue
				}
			}
		}
		w.visit(way.through, next)
	}
	if taken {
		return
	}
	use := phases.Take{Object: here, Uses: phases.AnyUse | phases.Omit}
	if how.Writes && !function {
		use.Uses = phases.Insert | phases.Omit | phases.Update | phases.Delete
	}
	for j := range w.r.objects {
		if _, seen := w.found[j]; !seen {
			if _, ok := w.mentioned(&w.r.objects[j], use); ok {
				w.visit(j, phases.Reached{Inside: true, Uses: how.Uses})
			}
		}
	}
}

// body reports whether a function's body gets at what is taken, and how: it names it, it is the function of a trigger on
// the table and names the column of the row, or it runs SQL of which nobody knows what it is, and then any use may be.
func (w *walk) body(i int) (phases.Use, bool) {
	o := &w.r.objects[i]
	if o.object.Kind != phases.Function {
		return 0, false
	}
	uses, ok := w.mentioned(o, w.take)
	if w.take.Object.Kind != phases.Column {
		return uses, ok
	}
	for _, way := range w.r.by[i] {
		if way.kind != phases.ByTrigger || !names(w.r.objects[way.through].object, w.take.Object) {
			continue
		}
		for _, q := range o.body().Queries {
			whole := slices.ContainsFunc(q.Spread, func(s string) bool { return s == "new" || s == "old" })
			switch {
			case w.take.Uses == phases.Alone:
				if whole {
					return phases.Alone, true
				}
			case w.take.Uses == phases.Typed:
				// Sessions that ran the function before keep the type that the row's column had then.
				if whole || q.Names[w.take.Object.Column] {
					return phases.Typed, true
				}
			case whole || q.Names[w.take.Object.Column]:
				return 0, true
			}
		}
	}
	return uses, ok
}

// mentioned gives the affected uses that a function's body makes of what is taken; zero and true for any. What is added
// does not wait for SQL of which nobody knows what it is.
func (w *walk) mentioned(o *reachable, take phases.Take) (uses phases.Use, ok bool) {
	if o.object.Kind != phases.Function {
		return 0, false
	}
	r := o.body()
	if r.Dynamic && w.take.Uses != phases.Alone && w.take.Uses != phases.Typed {
		return 0, true
	}
	for _, q := range r.Queries {
		if take.Uses == phases.Typed {
			read := take
			read.Uses = phases.Read | phases.Star
			if m := q.Meets(read, nil); q.Returns && m.Uses != 0 && !m.Unsure {
				uses |= phases.Typed
			}
			continue
		}
		m := q.Meets(take, nil)
		if m.Unsure && w.take.Uses == phases.Alone {
			continue
		}
		uses |= m.Uses
	}
	return uses, uses != 0
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

// Columns gives the columns of the relation that an object is or hangs on; nil where it is none, or where more than one
// relation may be meant.
func (r *Reach) Columns(o phases.Object) []string {
	if r == nil || o.Relation == "" {
		return nil
	}
	var found []string
	for _, other := range r.objects {
		if other.object.Kind != phases.Table || other.object.Relation != o.Relation || o.Schema != "" && other.object.Schema != o.Schema {
			continue
		}
		if found != nil {
			return nil
		}
		found = other.columns
	}
	return found
}
