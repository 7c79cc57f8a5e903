package migrate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/parse"
)

// BackfillPlan is how a backfill will go through its table.
type BackfillPlan struct {
	// Table is what is gone through, GoesBy by which key, or why by none.
	Table, GoesBy string
	// Rows is about how many rows the table has; Empty is true where it has none at all.
	Rows  int64
	Empty bool
	// Statement is that of one batch, with $1, $2, … for the bounds of the key.
	Statement string
	// DoneQuery tells when it is complete; empty where no query does.
	DoneQuery string
	// Partitions is how many tables it is gone through by; 1 for an ordinary one, 0 where the table does not exist yet.
	Partitions int
	// Fires are the table's triggers that each row fires.
	Fires []string

	parts []*backfillPart
}

// backfillPart is one table whose rows are gone through: the table itself, or one of its partitions.
type backfillPart struct {
	oid          uint32
	schema, name string
	key          []string
	index        string
	why          string
	rows         int64
	blocks       int64
	empty        bool
}

func (p *backfillPart) ident() string { return pgx.Identifier{p.schema, p.name}.Sanitize() }

func (p *backfillPart) object() phases.Object {
	return phases.Object{Kind: phases.Table, Schema: p.schema, Relation: p.name}
}

// columns lists the key for SQL, with what is put behind each.
func columnList(key []string, suffix string) string {
	list := make([]string, len(key))
	for i, k := range key {
		list[i] = pgx.Identifier{k}.Sanitize() + suffix
	}
	return strings.Join(list, ", ")
}

// definition reads a queued backfill's statement again.
func (b *BackfillStatus) definition() (*phases.BackfillDef, error) {
	def, problems := parse.Backfill(parse.File(b.Name, []byte("-- pawl:backfill\n"+b.Statement)))
	if def == nil {
		return nil, &IntegrityError{Version: b.Version, Path: b.Name, Message: "the queued statement cannot be run in batches: " + problems[0].Message}
	}
	if key := b.Options["key"]; key != "" {
		def.Key = strings.Split(key, ",")
	}
	return def, nil
}

// layOut looks the table and its key up in the database. A backfill that cannot be run is a *RefusedError.
func (s *session) layOut(ctx context.Context, name string, def *phases.BackfillDef, text string) (*BackfillPlan, error) {
	table := pgx.Identifier{def.Table.Relation}
	if def.Table.Schema != "" {
		table = pgx.Identifier{def.Table.Schema, def.Table.Relation}
	}
	plan := &BackfillPlan{Table: def.Table.String(), DoneQuery: def.Done}
	var oid *uint32
	if err := s.conn.QueryRow(ctx, `select to_regclass($1)::oid`, table.Sanitize()).Scan(&oid); err != nil {
		return nil, classify(ctx, "look the backfill's table up", err)
	}
	if oid == nil {
		return plan, nil
	}
	var err error
	if plan.parts, err = s.backfillParts(ctx, name, *oid, def.Only); err != nil {
		return nil, err
	}
	if err := s.checkWritable(ctx, name, def); err != nil {
		return nil, err
	}
	if plan.Fires, err = s.firing(ctx, *oid, def); err != nil {
		return nil, err
	}
	plan.Partitions, plan.Empty = len(plan.parts), true
	for _, p := range plan.parts {
		if err := s.chooseKey(ctx, name, p, def); err != nil {
			return nil, err
		}
		if p.rows, err = s.estimateRows(ctx, p); err != nil {
			return nil, err
		}
		plan.Rows += p.rows
		plan.Empty = plan.Empty && p.empty
	}
	if len(plan.parts) == 0 {
		plan.GoesBy = "it has no partitions"
		return plan, nil
	}
	first := plan.parts[0]
	plan.GoesBy = first.goesBy()
	if len(plan.parts) > 1 {
		plan.GoesBy += fmt.Sprintf(", in each of %d partitions", len(plan.parts))
	}
	plan.Statement, _, err = parse.Batch{Table: first.object(), Key: first.key, Below: true}.Statement(text)
	return plan, err
}

func (p *backfillPart) goesBy() string {
	if len(p.key) == 0 {
		return "blocks (" + p.why + ")"
	}
	return fmt.Sprintf("(%s), by index %s", strings.Join(p.key, ", "), p.index)
}

// backfillParts lists the tables that hold the rows: a table and its children, or a partitioned table's leaves.
func (s *session) backfillParts(ctx context.Context, name string, oid uint32, only bool) ([]*backfillPart, error) {
	const query = `
with recursive tree as (
    select $1::oid as oid union select i.inhrelid from pg_inherits i join tree on i.inhparent = tree.oid where not $2::bool
)
select c.oid, n.nspname, c.relname, c.relkind::text,
       case when c.relkind = 'r' then pg_relation_size(c.oid) / current_setting('block_size')::int else 0 end
from tree join pg_class c on c.oid = tree.oid join pg_namespace n on n.oid = c.relnamespace order by c.oid`
	rows, err := s.conn.Query(ctx, query, oid, only)
	if err != nil {
		return nil, classify(ctx, "look the backfill's table up", err)
	}
	defer rows.Close()
	var parts []*backfillPart
	for rows.Next() {
		p := &backfillPart{}
		var kind string
		if err := rows.Scan(&p.oid, &p.schema, &p.name, &kind, &p.blocks); err != nil {
			return nil, classify(ctx, "look the backfill's table up", err)
		}
		switch kind {
		case "p":
		case "r":
			parts = append(parts, p)
		default:
			return nil, &RefusedError{
				Message: fmt.Sprintf("backfill %s: %s.%s is no table with rows of its own", name, p.schema, p.name),
				Hint:    "views and foreign tables cannot be gone through in batches; write the statement for the table itself",
			}
		}
	}
	return parts, classify(ctx, "look the backfill's table up", rows.Err())
}

// checkWritable refuses what PostgreSQL would refuse in the first batch.
func (s *session) checkWritable(ctx context.Context, name string, def *phases.BackfillDef) error {
	target := pgx.Identifier{def.Target.Relation}
	if def.Target.Schema != "" {
		target = pgx.Identifier{def.Target.Schema, def.Target.Relation}
	}
	const query = `
select coalesce((select attname from pg_attribute where attrelid = t.oid and attname = any($2) and (attidentity = 'a' and $3 = 'update' or attgenerated <> '') limit 1), ''),
       has_table_privilege(t.oid, $3) or has_any_column_privilege(t.oid, case $3 when 'delete' then 'update' else $3 end) and $3 <> 'delete'
from (select to_regclass($1)::oid as oid) t where t.oid is not null`
	var always string
	var may bool
	err := s.conn.QueryRow(ctx, query, target.Sanitize(), nonNil(def.Sets), def.Verb).Scan(&always, &may)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return &RefusedError{Message: fmt.Sprintf("backfill %s: table %s does not exist", name, def.Target)}
	case err != nil:
		return classify(ctx, "look the backfill's table up", err)
	case always != "":
		return &RefusedError{
			Message: fmt.Sprintf("backfill %s: %s.%s is GENERATED ALWAYS and cannot be written", name, def.Target, always),
			Hint:    "leave it out; PostgreSQL keeps it itself",
		}
	case !may:
		return &ConfigError{
			Message: fmt.Sprintf("backfill %s: role %q may not %s %s", name, s.role, def.Verb, def.Target),
			Hint:    fmt.Sprintf("grant %s on %s to %s;", def.Verb, target.Sanitize(), pgx.Identifier{s.role}.Sanitize()),
		}
	}
	return nil
}

func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// firing lists the triggers that the backfill sets off for each row.
func (s *session) firing(ctx context.Context, table uint32, def *phases.BackfillDef) ([]string, error) {
	if def.Table != def.Target {
		return nil, nil
	}
	const query = `
select tgname::text from pg_trigger t
where tgrelid = $1 and not tgisinternal and tgenabled in ('O', 'A') and tgtype::int & case $2 when 'insert' then 4 when 'delete' then 8 else 16 end <> 0
  and ($2 <> 'update' or tgattr = '' or exists (select from pg_attribute a where a.attrelid = tgrelid and a.attnum = any(tgattr::int2[]) and a.attname = any($3)))
order by 1`
	rows, err := s.conn.Query(ctx, query, table, def.Verb, nonNil(def.Sets))
	if err != nil {
		return nil, classify(ctx, "look the table's triggers up", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, classify(ctx, "look the table's triggers up", err)
}

// estimateRows asks the planner, which knows the table's present size, and looks whether there is a row at all.
func (s *session) estimateRows(ctx context.Context, p *backfillPart) (int64, error) {
	if err := s.conn.QueryRow(ctx, "select not exists (select from only "+p.ident()+")").Scan(&p.empty); err != nil {
		return 0, classify(ctx, "look into table "+p.name, err)
	}
	if p.empty {
		return 0, nil
	}
	var text string
	if err := s.conn.QueryRow(ctx, "explain (format json) select from only "+p.ident()).Scan(&text); err != nil {
		return 0, classify(ctx, "estimate the rows of "+p.name, err)
	}
	var plans []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		}
	}
	if err := json.Unmarshal([]byte(text), &plans); err != nil || len(plans) == 0 {
		return 0, fmt.Errorf("read the planner's estimate for %s: %w", p.name, err)
	}
	return max(1, int64(plans[0].Plan.Rows)), nil
}

// backfillRange is one row of pawl.backfill_range.
type backfillRange struct {
	number               int
	part                 *backfillPart
	lower, upper, cursor []string
	size                 int
	estimate             int64
}

const (
	// rowsPerRange is how many rows of a table make one range, which one worker takes at a time; maxRanges bounds them.
	rowsPerRange = 50_000
	maxRanges    = 32
)

// ranges divides the parts so that several workers can share them. The upper bound of the last range of a part is the
// greatest key there is: rows that come later are written by code that knows the new shape, or by its trigger.
func (s *session) ranges(ctx context.Context, plan *BackfillPlan) ([]*backfillRange, error) {
	var out []*backfillRange
	for _, p := range plan.parts {
		if p.empty {
			continue
		}
		n := int(min(max(1, p.rows/rowsPerRange), maxRanges))
		var list []*backfillRange
		var err error
		if len(p.key) == 0 {
			list = blockRanges(p, n)
		} else if list, err = s.keyRanges(ctx, p, n); err != nil {
			return nil, err
		}
		for _, r := range list {
			r.number, r.part, r.estimate = len(out)+1, p, max(1, p.rows/int64(len(list)))
			out = append(out, r)
		}
	}
	return out, nil
}

func blockRanges(p *backfillPart, n int) []*backfillRange {
	var out []*backfillRange
	n = min(n, int(max(1, p.blocks)))
	at := func(i int) []string { return []string{strconv.FormatInt(max(1, p.blocks)*int64(i)/int64(n), 10)} }
	for i := range n {
		out = append(out, &backfillRange{lower: at(i), upper: at(i + 1), cursor: at(i)})
	}
	return out
}

func (s *session) keyRanges(ctx context.Context, p *backfillPart, n int) ([]*backfillRange, error) {
	text, key := columnList(p.key, "::text"), columnList(p.key, "")
	var upper []string
	last := fmt.Sprintf("select array[%s] from only %s order by %s limit 1", text, p.ident(), columnList(p.key, " desc"))
	err := s.conn.QueryRow(ctx, last).Scan(&upper)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, classify(ctx, "find the greatest key of "+p.name, err)
	}
	var bounds [][]string
	if n > 1 {
		// Some thousand rows of random blocks show well enough where the parts of the key lie.
		const sample = 20_000
		percent := min(100, max(0.01, 100*sample/float64(p.rows)))
		query := fmt.Sprintf(`
select array[%s] from (
    select distinct on (part) %s, part from (
        select %s, ntile(%d) over (order by %s) as part from only %s tablesample system (%g)
    ) numbered order by part, %s
) bounds where part < %d and (%s) < (%s) order by part`,
			text, key, key, n, key, p.ident(), percent, columnList(p.key, " desc"), n, key, literals(upper))
		rows, err := s.conn.Query(ctx, query)
		if err == nil {
			bounds, err = pgx.CollectRows(rows, pgx.RowTo[[]string])
		}
		if err != nil {
			return nil, classify(ctx, "divide the key of "+p.name, err)
		}
	}
	var out []*backfillRange
	var from []string
	for _, b := range append(bounds, upper) {
		if from != nil && slices.Equal(from, b) {
			continue
		}
		out = append(out, &backfillRange{lower: from, upper: b, cursor: from})
		from = b
	}
	return out, nil
}

// literals quotes the values of a key.
func literals(values []string) string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = literal(v)
	}
	return strings.Join(list, ", ")
}

// prepareBackfill makes the ranges of the next pass. The caller holds the backfill's own lock.
func (m *Migrator) prepareBackfill(ctx context.Context, s *session, b *BackfillStatus, plan *BackfillPlan) error {
	ranges, err := s.ranges(ctx, plan)
	if err != nil {
		return err
	}
	return classify(ctx, "divide backfill "+b.Name, pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		const begin = `
update pawl.backfill set state = 'running', pass = pass + 1, reason = '', limited_by = '', relation = $2, goes_by = $3,
    started_at = coalesce(started_at, clock_timestamp()), heartbeat_at = clock_timestamp(), finished_at = null
where version = $1 and state in ('queued', 'running', 'failed') returning pass`
		var pass int
		if err := tx.QueryRow(ctx, begin, string(b.Version), cmp.Or(plan.Table, b.Table), plan.GoesBy).Scan(&pass); err != nil {
			return err
		}
		for _, r := range ranges {
			const insert = `
insert into pawl.backfill_range (version, pass, range, schema_name, relation_name, relid, key, why, lower, upper, cursor, rows_estimate)
values ($1, $2, $3, $4, $5, $6, $7::text[], $8, $9::text[], $10::text[], $11::text[], $12)`
			if _, err := tx.Exec(ctx, insert, string(b.Version), pass, r.number, r.part.schema, r.part.name, r.part.oid,
				nonNil(r.part.key), r.part.why, r.lower, r.upper, r.cursor, r.estimate); err != nil {
				return err
			}
		}
		const event = `insert into pawl.event (kind, version, detail, pawl_version) values ('backfill pass', $1, jsonb_build_object('pass', $2::int, 'ranges', $3::int, 'goes_by', $4::text), $5)`
		_, err := tx.Exec(ctx, event, string(b.Version), pass, len(ranges), plan.GoesBy, m.opts.PawlVersion)
		b.Pass, b.State = pass, BackfillRunning
		return err
	}))
}
