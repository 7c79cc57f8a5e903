package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/parse"
)

// tookEffect asks the catalog whether a statement whose end was not seen was carried out, and says so in words.
func (s *session) tookEffect(ctx context.Context, o parse.Outcome) (done bool, what string, err error) {
	const enumValue = `
select exists (
    select from pg_enum e join pg_type t on t.oid = e.enumtypid join pg_namespace n on n.oid = t.typnamespace
    where t.typname = $1 and e.enumlabel = $2 and ($3 = '' and pg_type_is_visible(t.oid) or n.nspname = $3))`
	var there bool
	switch o.Kind {
	case parse.IndexDropped:
		state, err := s.index(ctx, o)
		return err == nil && !state.exists, fmt.Sprintf("index %s is dropped already", o.Name), err
	case parse.EnumValueAdded:
		err = s.conn.QueryRow(ctx, enumValue, o.Name, o.Value, o.Schema).Scan(&there)
		return there, fmt.Sprintf("enum value %q is there already", o.Value), err
	case parse.DatabaseCreated, parse.DatabaseDropped:
		err = s.conn.QueryRow(ctx, `select exists (select from pg_database where datname = $1)`, o.Name).Scan(&there)
		return err == nil && there == (o.Kind == parse.DatabaseCreated), fmt.Sprintf("database %s is as it should be already", o.Name), err
	case parse.TablespaceCreated, parse.TablespaceDropped:
		err = s.conn.QueryRow(ctx, `select exists (select from pg_tablespace where spcname = $1)`, o.Name).Scan(&there)
		return err == nil && there == (o.Kind == parse.TablespaceCreated), fmt.Sprintf("tablespace %s is as it should be already", o.Name), err
	case parse.SubscriptionCreated, parse.SubscriptionDropped:
		const query = `select exists (select from pg_subscription where subname = $1 and subdbid = (select oid from pg_database where datname = current_database()))`
		err = s.conn.QueryRow(ctx, query, o.Name).Scan(&there)
		return err == nil && there == (o.Kind == parse.SubscriptionCreated), fmt.Sprintf("subscription %s is as it should be already", o.Name), err
	}
	return false, "", nil
}

// indexState is what the catalog says of an index.
type indexState struct {
	exists, valid, building bool
	// table is the name of the index's table, quoted and with its schema.
	schema, table, definition string
}

func (s *session) index(ctx context.Context, o parse.Outcome) (indexState, error) {
	// An index lives in its table's schema, so an unqualified name is looked for where the table would be found.
	const query = `
select n.nspname, format('%I.%I', n.nspname, t.relname), i.indisvalid and i.indisready and i.indislive, pg_get_indexdef(i.indexrelid),
       exists (select from pg_stat_progress_create_index p where p.index_relid = i.indexrelid and p.pid <> pg_backend_pid())
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
join pg_class t on t.oid = i.indrelid
where c.relname = $1 and ($2 = '' or n.nspname = $2)
  and ($2 <> '' or $3 = '' or n.nspname = (select tn.nspname from pg_class tc join pg_namespace tn on tn.oid = tc.relnamespace where tc.oid = to_regclass(quote_ident($3))))
  and ($2 <> '' or $3 <> '' or pg_table_is_visible(c.oid))`
	var st indexState
	err := s.conn.QueryRow(ctx, query, o.Name, o.Schema, o.Relation).Scan(&st.schema, &st.table, &st.valid, &st.definition, &st.building)
	if errors.Is(err, pgx.ErrNoRows) {
		return indexState{}, nil
	}
	st.exists = err == nil
	return st, err
}

// buildIndex runs CREATE INDEX CONCURRENTLY so that a valid index stands in the end, whatever stood there before: the
// remains of a dead build of the same definition are dropped first, a finished one is taken as done, and another index
// of that name is an error.
func (m *Migrator) buildIndex(ctx context.Context, s *session, migration *Migration, p part, st *phases.Statement, o parse.Outcome) error {
	at := st.Span.Start
	state, err := s.index(ctx, o)
	if err != nil {
		return err
	}
	if state.exists {
		same, err := s.sameIndex(ctx, st.Text, o, state)
		if err != nil {
			return err
		}
		switch {
		case !same:
			return &IntegrityError{
				Version: migration.Version, Path: fmt.Sprintf("%s:%d:%d", migration.Path, at.Line, at.Column),
				Message: fmt.Sprintf("there is an index %s already, and it is another one: %s", o.Name, state.definition),
				Hint:    "give the new index another name, or drop the old one in a migration of its own", untouched: true,
			}
		case state.building:
			return &TransientError{Message: fmt.Sprintf("%s: another session is building index %s", migration.Path, o.Name), Hint: "run pawl again when it is done"}
		case state.valid:
			m.opts.OnEvent(Recovered{migration, fmt.Sprintf("index %s is built already", o.Name)})
			return nil
		}
		if err := s.dropIndex(ctx, state.schema, o.Name); err != nil {
			return err
		}
		m.opts.OnEvent(Recovered{migration, fmt.Sprintf("dropped the INVALID index %s that an interrupted build left; it is built again", o.Name)})
	}
	f := migration.File()
	if err := s.send(ctx, f, f.Text, p); err != nil {
		m.dropRemains(ctx, s, migration, o)
		return err
	}
	state, err = s.index(ctx, o)
	if err != nil {
		return err
	}
	if !state.exists || !state.valid {
		return &IntegrityError{
			Version: migration.Version, Path: fmt.Sprintf("%s:%d:%d", migration.Path, at.Line, at.Column),
			Message: fmt.Sprintf("PostgreSQL reported success, and index %s is not valid", o.Name),
			Hint:    "run pawl again: it drops the index and builds it anew",
		}
	}
	return nil
}

func (s *session) dropIndex(ctx context.Context, schema, name string) error {
	_, err := s.conn.Exec(ctx, "drop index concurrently if exists "+pgx.Identifier{schema, name}.Sanitize())
	return err
}

// hurry keeps what is cleaned up after a failure from waiting for others: a run that was told to stop has little time.
func (s *session) hurry(ctx context.Context) error {
	_, err := s.conn.Exec(ctx, "set lock_timeout = '1s'")
	return err
}

// dropRemains takes the INVALID index of a failed build away at once: it slows writers down, and a unique one even
// refuses rows. Where that fails too, the next run does it.
func (m *Migrator) dropRemains(ctx context.Context, s *session, migration *Migration, o parse.Outcome) {
	if s.conn.IsClosed() {
		return
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	state, err := s.index(clean, o)
	if err != nil || !state.exists || state.valid || state.building || s.hurry(clean) != nil {
		return
	}
	if s.dropIndex(clean, state.schema, o.Name) != nil {
		m.opts.OnEvent(LeftInvalid{migration, qualified(state.schema, o.Name)})
	}
}

// sameIndex reports whether a statement defines the index that stands in the catalog. Where the spellings differ,
// PostgreSQL is asked how it would write the statement's index down, on an empty copy of the table.
func (s *session) sameIndex(ctx context.Context, statement string, o parse.Outcome, state indexState) (bool, error) {
	if parse.SameIndex(statement, state.definition) {
		return true, nil
	}
	build := parse.OnCopy(statement)
	if build == "" {
		return false, nil
	}
	var definition string
	err := s.undone(ctx, func(tx pgx.Tx) error {
		table := pgx.Identifier{o.Relation}.Sanitize()
		if _, err := tx.Exec(ctx, "create temporary table "+table+" (like "+state.table+") on commit drop"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, build); err != nil {
			return err
		}
		const query = `select pg_get_indexdef(c.oid) from pg_class c where c.relname = $1 and c.relnamespace = pg_my_temp_schema()`
		return tx.QueryRow(ctx, query, o.Name).Scan(&definition)
	})
	if sqlState(err) != "" {
		// What cannot be built on the table's own columns is not the index that stands on them.
		return false, nil
	}
	return parse.SameDefinition(definition, state.definition), err
}

// undone runs f in a transaction that is rolled back in any case.
func (s *session) undone(ctx context.Context, f func(pgx.Tx) error) error {
	tx, err := s.conn.Begin(ctx)
	if err != nil {
		return err
	}
	err = f(tx)
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if undo := tx.Rollback(clean); err == nil {
		err = undo
	}
	return err
}

// reindex runs REINDEX … CONCURRENTLY so that nothing of an interrupted one stays: while PostgreSQL builds, the new
// index is called NAME_ccnew, and after the two have changed places the old one NAME_ccold (manual, REINDEX,
// "Rebuilding Indexes Concurrently").
func (m *Migrator) reindex(ctx context.Context, s *session, migration *Migration, p part, o parse.Outcome, doubt bool) error {
	left, err := s.leftovers(ctx, o)
	if err != nil {
		return err
	}
	swapped := false
	for _, l := range left {
		if err := s.dropIndex(ctx, l.schema, l.name); err != nil {
			return err
		}
		swapped = swapped || l.old
		m.opts.OnEvent(Recovered{migration, fmt.Sprintf("dropped the INVALID index %s that an interrupted REINDEX left", l.name)})
	}
	if doubt && swapped && o.Reach == parse.OneIndex {
		m.opts.OnEvent(Recovered{migration, fmt.Sprintf("index %s is built anew already", o.Name)})
		return nil
	}
	f := migration.File()
	if err := s.send(ctx, f, f.Text, p); err != nil {
		m.dropLeftovers(ctx, s, migration, o)
		return err
	}
	return nil
}

// leftover is an INVALID index that REINDEX CONCURRENTLY made or replaced.
type leftover struct {
	schema, name string
	old          bool
}

// leftovers finds what interrupted REINDEX CONCURRENTLY commands left on what o covers: INVALID, of the same table as
// the index whose name theirs begins with, and worked on by nobody.
func (s *session) leftovers(ctx context.Context, o parse.Outcome) ([]leftover, error) {
	const query = `
select n.nspname, c.relname, c.relname ~ '_ccold[0-9]*$'
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
join pg_class t on t.oid = i.indrelid left join pg_class main on main.reltoastrelid = t.oid
where not i.indisvalid and c.relname ~ '_cc(new|old)[0-9]*$'
  and exists (
      select from pg_index other join pg_class oc on oc.oid = other.indexrelid
      where other.indrelid = i.indrelid and other.indexrelid <> i.indexrelid
        and starts_with(c.relname, left(oc.relname, length(regexp_replace(c.relname, '_cc(new|old)[0-9]*$', '')))))
  and not exists (select from pg_stat_progress_create_index p where p.relid = i.indrelid and p.pid <> pg_backend_pid())
  and case $1::int
      when 0 then i.indrelid = (select x.indrelid from pg_index x where x.indexrelid = to_regclass($2))
          or i.indrelid in (select x.indrelid from pg_index x join pg_partition_tree(to_regclass($2)) pt on pt.relid = x.indexrelid)
      when 1 then coalesce(main.oid, t.oid) = to_regclass($2) or coalesce(main.oid, t.oid) in (select relid from pg_partition_tree(to_regclass($2)))
      when 2 then (select m.relnamespace from pg_class m where m.oid = coalesce(main.oid, t.oid)) = to_regnamespace($2)
      else true end
  and ($1::int <> 0 or starts_with(c.relname, left($3, length(regexp_replace(c.relname, '_cc(new|old)[0-9]*$', ''))))
      or exists (select from pg_partition_tree(to_regclass($2)) pt where pt.level > 0))
order by 1, 2`
	target := qualified(o.Schema, o.Name)
	if o.Reach == parse.OneSchema {
		target = pgx.Identifier{o.Schema}.Sanitize()
	}
	rows, err := s.conn.Query(ctx, query, int(o.Reach), target, o.Name)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (leftover, error) {
		var l leftover
		err := row.Scan(&l.schema, &l.name, &l.old)
		return l, err
	})
}

// dropLeftovers takes away at once what a failed REINDEX left. Where that fails too, the next run does it. Migration is nil where none runs.
func (m *Migrator) dropLeftovers(ctx context.Context, s *session, migration *Migration, o parse.Outcome) {
	if s.conn.IsClosed() {
		return
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	left, err := s.leftovers(clean, o)
	if err != nil || s.hurry(clean) != nil {
		return
	}
	for _, l := range left {
		if s.dropIndex(clean, l.schema, l.name) != nil && migration != nil {
			m.opts.OnEvent(LeftInvalid{migration, qualified(l.schema, l.name)})
		}
	}
}

// detach runs DETACH PARTITION … CONCURRENTLY. It is two transactions: after the first the partition is marked, and
// only FINALIZE can carry out the second (manual, ALTER TABLE).
func (m *Migrator) detach(ctx context.Context, s *session, migration *Migration, p part, o parse.Outcome, doubt bool) error {
	parent, partition := qualified(o.Schema, o.Name), qualified(o.RelationSchema, o.Relation)
	state, err := s.detaching(ctx, parent, partition)
	switch {
	case err != nil:
		return err
	case state.pending:
		if err := s.finalize(ctx, parent, partition); err != nil {
			return err
		}
		m.opts.OnEvent(Recovered{migration, fmt.Sprintf("finished the interrupted DETACH of partition %s", o.Relation)})
		return nil
	case doubt && state.exists && !state.attached:
		m.opts.OnEvent(Recovered{migration, fmt.Sprintf("partition %s is detached already", o.Relation)})
		return nil
	}
	f := migration.File()
	return s.send(ctx, f, f.Text, p)
}

// qualified quotes a name for SQL and for to_regclass.
func qualified(schema, name string) string {
	if schema == "" {
		return pgx.Identifier{name}.Sanitize()
	}
	return pgx.Identifier{schema, name}.Sanitize()
}
