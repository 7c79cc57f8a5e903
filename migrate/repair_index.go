package migrate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases/parse"
)

// strongerThanWrites are the modes that a session has on a table while it builds, drops or moves one of its indexes or partitions.
const strongerThanWrites = `('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')`

// busy reports whether another session may be changing a relation. pg_locks shows it to every role, which the progress views do not.
func (r *repairer) busy(ctx context.Context, relation string) (bool, error) {
	const query = `
select exists (
    select from pg_locks l
    where l.locktype = 'relation' and l.database = (select oid from pg_database where datname = current_database()) and l.pid <> pg_backend_pid()
      and l.mode in ` + strongerThanWrites + `
      and l.relation in (to_regclass($1), (select i.indrelid from pg_index i where i.indexrelid = to_regclass($1))))`
	var busy bool
	err := r.s.conn.QueryRow(ctx, query, relation).Scan(&busy)
	return busy, classify(ctx, "look who is at work", err)
}

// detachState is what the catalog says of a partition.
type detachState struct{ pending, attached, exists bool }

func (s *session) detaching(ctx context.Context, parent, partition string) (detachState, error) {
	const query = `
select coalesce(bool_or(i.inhdetachpending), false), count(i.inhrelid) > 0, to_regclass($2) is not null
from pg_inherits i where i.inhparent = to_regclass($1) and i.inhrelid = to_regclass($2)`
	var d detachState
	err := s.conn.QueryRow(ctx, query, parent, partition).Scan(&d.pending, &d.attached, &d.exists)
	return d, err
}

// finalize carries out the second half of a DETACH PARTITION … CONCURRENTLY whose first half is committed.
func (s *session) finalize(ctx context.Context, parent, partition string) error {
	_, err := s.conn.Exec(ctx, "alter table "+parent+" detach partition "+partition+" finalize")
	return err
}

// finalize is the session's, with as many attempts as its locks need: while it waits for old snapshots, it keeps readers of the
// partition waiting.
func (r *repairer) finalize(ctx context.Context, parent, partition string) error {
	deadline := time.Now().Add(r.m.opts.LockDeadline)
	for timeout := r.m.opts.LockTimeout; ; timeout = min(timeout*3/2, r.m.opts.MaxLockTimeout) {
		if _, err := r.s.conn.Exec(ctx, fmt.Sprintf("set lock_timeout = %d", timeout.Milliseconds())); err != nil {
			return err
		}
		err := r.s.finalize(ctx, parent, partition)
		pause := jitter(2 * timeout)
		if code := sqlState(err); code != "55P03" && code != "40P01" || time.Now().Add(pause).After(deadline) {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// detaches looks for partitions whose DETACH is pending, other than those of migrations that did not end.
func (r *repairer) detaches(ctx context.Context) error {
	const query = `
select format('%I.%I', pn.nspname, p.relname), format('%I.%I', cn.nspname, c.relname), p.relname, c.relname, p.oid::bigint, c.oid::bigint
from pg_inherits i join pg_class p on p.oid = i.inhparent join pg_namespace pn on pn.oid = p.relnamespace
join pg_class c on c.oid = i.inhrelid join pg_namespace cn on cn.oid = c.relnamespace
where i.inhdetachpending and ($1 = '' or pn.nspname = $1) order by 1, 2`
	rows, err := r.s.conn.Query(ctx, query, r.s.schema)
	if err != nil {
		return classify(ctx, "look for pending detaches", err)
	}
	type pending struct {
		Parent, Partition, ParentName, PartitionName string
		ParentID, PartitionID                        int64
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[pending])
	if err != nil {
		return classify(ctx, "look for pending detaches", err)
	}
	for _, p := range list {
		if r.unfinished[p.PartitionName] {
			continue
		}
		f := Repair{
			Kind: "detach", State: Personal, record: true,
			What: fmt.Sprintf("the DETACH of partition %s from %s is pending", p.Partition, p.Parent),
			Do:   fmt.Sprintf("no applied file says so; PostgreSQL lets nobody take it back: `alter table %s detach partition %s finalize`", p.Parent, p.Partition),
		}
		busy, err := r.busy(ctx, p.Parent)
		if err != nil {
			return err
		}
		by, err := r.makes(ctx, func(o parse.Outcome) (bool, error) {
			if o.Kind != parse.PartitionDetached || o.Name != p.ParentName || o.Relation != p.PartitionName {
				return false, nil
			}
			var same bool
			err := r.s.conn.QueryRow(ctx, `select to_regclass($1)::oid::bigint = $3 and to_regclass($2)::oid::bigint = $4`,
				qualified(o.Schema, o.Name), qualified(o.RelationSchema, o.Relation), p.ParentID, p.PartitionID).Scan(&same)
			return same, err
		})
		if err != nil {
			return classify(ctx, "look for the file of a detach", err)
		}
		switch {
		case busy:
			f.State, f.Do = NextRun, "somebody works on the table; look again when that is over"
		case by != nil:
			f.Version, f.Path = by.migration.Version, by.migration.Path
			f.Proof = fmt.Sprintf("%s, which is applied, detaches it; PostgreSQL lets nobody take it back, and nobody works on it", by.migration.Path)
			f.Do = "finished the DETACH of partition " + p.Partition
			f.mend = func(ctx context.Context) error { return r.finalize(ctx, p.Parent, p.Partition) }
		}
		if err := r.found(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// maker is the statement of an applied file that something comes from.
type maker struct {
	migration *Migration
	statement string
	outcome   parse.Outcome
}

// makes finds the last statement of the applied files that matches; nil where none does.
func (r *repairer) makes(_ context.Context, match func(parse.Outcome) (bool, error)) (*maker, error) {
	var last *maker
	for _, v := range r.versions(StateApplied) {
		file := r.files[v]
		if file == nil || file.Program || !r.l.Entries[v].has(file.Sum) {
			continue
		}
		for _, st := range file.File().Statements {
			o := parse.OutcomeOf(st.Text)
			ok, err := match(o)
			if err != nil {
				return nil, err
			}
			if ok {
				last = &maker{file, st.Text, o}
			}
		}
	}
	return last, nil
}

// invalid is an index that is not valid.
type invalid struct {
	Schema, Name, Table, Definition string
	// Partitioned is true for the index of a partitioned table, which is a row of the catalog alone. Missing counts the partitions
	// that have none attached to it.
	Partitioned bool
	Missing     int64
	// Live is false once a DROP INDEX CONCURRENTLY has come so far that nobody keeps the index up.
	Live bool
	Busy bool
	// Twins are the definitions of the valid indexes of the same table.
	Twins []string
}

func (i invalid) qualified() string { return qualified(i.Schema, i.Name) }

// indexes looks for INVALID indexes, other than those of migrations that did not end.
func (r *repairer) indexes(ctx context.Context) error {
	const query = `
select n.nspname, c.relname, format('%I.%I', tn.nspname, t.relname), pg_get_indexdef(i.indexrelid), c.relkind = 'I',
       (select count(*) from pg_inherits h where h.inhparent = i.indrelid) - (select count(*) from pg_inherits h where h.inhparent = i.indexrelid),
       i.indislive,
       exists (select from pg_locks l
               where l.locktype = 'relation' and l.database = (select oid from pg_database where datname = current_database()) and l.pid <> pg_backend_pid()
                 and l.mode in ` + strongerThanWrites + ` and l.relation in (i.indrelid, i.indexrelid)),
       array(select pg_get_indexdef(o.indexrelid) from pg_index o where o.indrelid = i.indrelid and o.indisvalid and o.indisready and o.indislive and o.indexrelid <> i.indexrelid)
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
join pg_class t on t.oid = i.indrelid join pg_namespace tn on tn.oid = t.relnamespace left join pg_class main on main.reltoastrelid = t.oid
where not i.indisvalid and n.nspname !~ '^pg_temp' and ($1 = '' or coalesce((select m.nspname from pg_namespace m where m.oid = main.relnamespace), tn.nspname) = $1)
order by 1, 2`
	rows, err := r.s.conn.Query(ctx, query, r.s.schema)
	if err != nil {
		return classify(ctx, "look for INVALID indexes", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[invalid])
	if err != nil {
		return classify(ctx, "look for INVALID indexes", err)
	}
	for _, i := range list {
		if r.unfinished[i.Name] {
			continue
		}
		f, err := r.index(ctx, i)
		if err != nil {
			return err
		}
		if err := r.found(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

var transient = pattern.Lazy(`_cc(new|old)[0-9]*$`)

// index says what is to be done about one INVALID index.
func (r *repairer) index(ctx context.Context, i invalid) (Repair, error) {
	name := i.qualified()
	f := Repair{
		Kind: "index", State: Personal, record: true, What: fmt.Sprintf("index %s of %s is INVALID", name, i.Table),
		Do: fmt.Sprintf("no applied file makes it: `drop index concurrently %s` if nobody wants it, `reindex index concurrently %s` if it is to stay", name, name),
	}
	switch {
	case i.Busy:
		f.State, f.Do = NextRun, "somebody works on the table; look again when that is over"
		return f, nil
	case i.Partitioned:
		f.Do = fmt.Sprintf("%d partitions have no index attached to it: on each `create index concurrently`, then `alter index %s attach partition …`", i.Missing, name)
		return f, nil
	case transient().MatchString(i.Name):
		for _, twin := range i.Twins {
			if parse.SameButName(twin, i.Definition) {
				f.Proof = fmt.Sprintf("an interrupted REINDEX CONCURRENTLY left it; a valid index of the same definition stands beside it (%s), and nobody works on the table", twin)
				f.Do = "dropped index " + name
				f.mend = func(ctx context.Context) error { return r.s.dropIndex(ctx, i.Schema, i.Name) }
				return f, nil
			}
		}
		f.Do = fmt.Sprintf("an interrupted REINDEX CONCURRENTLY left it, and there is no valid index of the same definition beside it; when there is: `drop index concurrently %s`", name)
		return f, nil
	}
	state := indexState{exists: true, schema: i.Schema, table: i.Table, definition: i.Definition}
	built := func(o parse.Outcome) (bool, error) {
		return (o.Kind == parse.IndexBuilt || o.Kind == parse.IndexDropped) && o.Name == i.Name && (o.Schema == "" || o.Schema == i.Schema), nil
	}
	by, err := r.makes(ctx, built)
	if err != nil {
		return f, err
	}
	if by != nil && by.outcome.Kind == parse.IndexBuilt {
		f.Version, f.Path = by.migration.Version, by.migration.Path
		same, err := r.same(ctx, by.statement, by.outcome, state)
		switch {
		case err != nil:
			return f, classify(ctx, "compare index "+name, err)
		case !same:
			f.Do = fmt.Sprintf("%s makes an index of that name, and it is another one: %s", by.migration.Path, i.Definition)
		case !i.Live:
			f.Do = fmt.Sprintf("%s makes it, and a DROP INDEX CONCURRENTLY was at it: `drop index concurrently %s`, then build it anew in a new migration if it is to stay", by.migration.Path, name)
		default:
			f.Proof = fmt.Sprintf("%s, which is applied, makes it by this definition, and nobody works on the table", by.migration.Path)
			f.Do = "built it anew: reindex index concurrently " + name
			f.mend = func(ctx context.Context) error { return r.rebuild(ctx, i, by.outcome) }
		}
		return f, nil
	}
	for v, file := range r.files {
		if e, ok := r.l.Entries[v]; ok && e.State == StateApplied || file.Check() != nil {
			continue
		}
		for _, st := range file.File().Statements {
			o := parse.OutcomeOf(st.Text)
			if ok, _ := built(o); !ok || o.Kind != parse.IndexBuilt {
				continue
			}
			if same, err := r.same(ctx, st.Text, o, state); err != nil || !same {
				continue
			}
			f.Version, f.Path, f.State = v, file.Path, NextRun
			f.Do = fmt.Sprintf("%s is pending and makes it: the next run of `pawl migrate` drops what is left and builds it", file.Path)
			return f, nil
		}
	}
	return f, nil
}

// rebuild makes an INVALID index valid. Should somebody else have done so meanwhile, it does no harm.
func (r *repairer) rebuild(ctx context.Context, i invalid, o parse.Outcome) error {
	_, err := r.s.conn.Exec(ctx, "reindex index concurrently "+i.qualified())
	if err != nil {
		r.m.dropLeftovers(ctx, r.s, nil, parse.Outcome{Kind: parse.Reindexed, Schema: i.Schema, Name: i.Name})
		if sqlState(err) == "23505" {
			return fmt.Errorf("rows contradict it, which has to be put right first: %w", err)
		}
		return err
	}
	o.Schema = i.Schema
	state, err := r.s.index(ctx, o)
	if err == nil && !state.valid {
		return fmt.Errorf("PostgreSQL reported success, and index %s is not valid", strings.Trim(i.qualified(), `"`))
	}
	return err
}
