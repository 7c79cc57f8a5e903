package migrate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// noTool as AdoptOptions.Tool looks for no other tool's history.
const noTool = "none"

// foreignTool is a migration tool whose history pawl reads.
type foreignTool struct {
	name string
	// usual is the table's usual name. Where plain is true only a table of that name is the tool's, for its columns alone say too little.
	usual string
	plain bool
	// columns are those by which the table is known, each with its type; exact means that it has no other.
	columns []string
	exact   bool
	// metadata is "with" or "without" Rails' ar_internal_metadata beside the table, by which it is told from that of dbmate.
	metadata string
	// programs is true where the migrations are no SQL files, so that versions of files here are not the tool's.
	programs bool
	// helpers are tables that the tool keeps besides.
	helpers []string
	// read gives the history by a query on the table, of which the name is already quoted.
	read func(ctx context.Context, tx pgx.Tx, table string) (*history, error)
}

// foreignTools are in the order in which they are looked for.
func foreignTools() []foreignTool {
	return []foreignTool{
		{name: "goose", usual: "goose_db_version", columns: []string{"version_id bigint", "is_applied boolean", "tstamp"}, read: readGoose},
		{name: "golang-migrate", usual: "schema_migrations", columns: []string{"version bigint", "dirty boolean"}, exact: true, read: readGolangMigrate},
		{name: "tern", usual: "schema_version", plain: true, columns: []string{"version integer"}, exact: true, read: readTern},
		{name: "dbmate", usual: "schema_migrations", plain: true, columns: []string{"version character varying"}, exact: true, metadata: "without", read: readDbmate},
		{name: "rails", usual: "schema_migrations", plain: true, columns: []string{"version character varying"}, exact: true, metadata: "with", programs: true, read: readRails},
		{name: "ecto", usual: "schema_migrations", plain: true, columns: []string{"version bigint", "inserted_at"}, exact: true, programs: true, read: readEcto},
		{name: "flyway", usual: "flyway_schema_history", columns: []string{"installed_rank integer", "version", "description", "type", "script", "checksum integer", "installed_by", "installed_on", "success boolean"}, read: readFlyway},
		{name: "liquibase", usual: "databasechangelog", columns: []string{"id", "author", "filename", "dateexecuted", "orderexecuted", "exectype", "md5sum"}, programs: true, helpers: []string{"databasechangeloglock"}, read: readLiquibase},
		{name: "sqlx", usual: "_sqlx_migrations", columns: []string{"version bigint", "description", "installed_on", "success boolean", "checksum bytea", "execution_time"}, read: readSqlx},
		{name: "prisma", usual: "_prisma_migrations", columns: []string{"id", "checksum", "finished_at", "migration_name", "rolled_back_at", "started_at", "applied_steps_count"}, read: readPrisma},
		{name: "atlas", usual: "atlas_schema_revisions", columns: []string{"version", "description", "type", "applied", "total", "executed_at", "hash"}, read: readAtlas},
		{name: "django", usual: "django_migrations", columns: []string{"id", "app", "name", "applied"}, exact: true, programs: true, read: readDjango},
	}
}

// Tools are the names of the tools whose history Adopt reads.
func Tools() []string {
	var names []string
	for _, t := range foreignTools() {
		names = append(names, t.name)
	}
	return names
}

// foreign is a table that is a tool's.
type foreign struct {
	tool  foreignTool
	table string
	// helpers are tables of the same schema that the tool keeps besides.
	helpers []string
}

// candidate is a table that may be a tool's.
type candidate struct {
	schema, name string
	columns      []string
	// metadata are tables of the same schema with the columns of Rails' ar_internal_metadata, which may have another name.
	metadata []string
}

func (c candidate) quoted() string { return pgx.Identifier{c.schema, c.name}.Sanitize() }

// findHistory looks for another tool's table; nil where there is none and a baseline was given, or none is to be looked for.
func (s *session) findHistory(ctx context.Context, o AdoptOptions) (*foreign, error) {
	if o.Tool == noTool {
		return nil, nil //nolint:nilnil // nothing is to be found
	}
	if o.Tool != "" && !slices.Contains(Tools(), o.Tool) {
		return nil, &ConfigError{Message: fmt.Sprintf("pawl does not know the tool %q", o.Tool), Hint: "it reads the history of " + strings.Join(Tools(), ", ")}
	}
	list, err := s.candidates(ctx, o.Table)
	if err != nil {
		return nil, err
	}
	var found []foreign
	for _, c := range list {
		for _, t := range foreignTools() {
			if (o.Tool == "" || o.Tool == t.name) && t.owns(c, o) {
				found = append(found, foreign{t, c.quoted(), slices.Concat(t.helpers, c.metadata)})
			}
		}
	}
	switch {
	case len(found) == 1:
		return &found[0], nil
	case len(found) > 1:
		names := make([]string, len(found))
		for i, f := range found {
			names[i] = fmt.Sprintf("%s in %s", f.tool.name, f.table)
		}
		return nil, &RefusedError{
			Message: "there are several histories: " + strings.Join(names, ", "),
			Hint:    "say which one these files go with: `pawl adopt --from TOOL`, or --table SCHEMA.TABLE",
		}
	case o.Table != "":
		return nil, &ConfigError{
			Message: fmt.Sprintf("%s is no table, or has not the columns of %s", o.Table, cmpOr(o.Tool, "a tool that pawl knows")),
			Hint:    "pawl reads the history of " + strings.Join(Tools(), ", "),
		}
	case o.Tool != "" || o.Baseline == "":
		return nil, &RefusedError{
			Message: fmt.Sprintf("there is no history of %s in the search path of database %q", cmpOr(o.Tool, "another migration tool"), s.database),
			Hint: "if its table has another name or schema, say so: --table SCHEMA.TABLE. If these migrations were applied by other means,\n" +
				"say up to which version: `pawl adopt --baseline VERSION`",
		}
	}
	return nil, nil //nolint:nilnil // a baseline needs no history
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// owns reports whether the table is the tool's, as far as the user has not said so.
func (t foreignTool) owns(c candidate, o AdoptOptions) bool {
	if t.plain && o.Table == "" && c.name != t.usual || t.exact && len(c.columns) != len(t.columns) {
		return false
	}
	for _, want := range t.columns {
		name, kind, typed := strings.Cut(want, " ")
		if !slices.ContainsFunc(c.columns, func(have string) bool {
			n, k, _ := strings.Cut(have, " ")
			return strings.EqualFold(n, name) && (!typed || k == kind)
		}) {
			return false
		}
	}
	return o.Tool != "" || t.metadata == "" || t.metadata == "with" == (len(c.metadata) > 0)
}

// candidates lists the tables of the search path, and Atlas' own schema; or the one that is named.
func (s *session) candidates(ctx context.Context, table string) ([]candidate, error) {
	const query = `
with here as (
    select c.oid, n.nspname, c.relname, c.relnamespace
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and (case when $1 = '' then n.nspname = any (current_schemas(false)) or n.nspname = 'atlas_schema_revisions' else c.oid = to_regclass($1) end)
)
select h.nspname, h.relname,
       (select array_agg(a.attname || ' ' || format_type(a.atttypid, null) order by a.attnum) from pg_attribute a where a.attrelid = h.oid and a.attnum > 0 and not a.attisdropped),
       (select array_agg(o.relname::text) from pg_class o where o.relnamespace = h.relnamespace and o.relkind in ('r', 'p') and (o.relname = 'ar_internal_metadata' or
           (select array_agg(a.attname::text order by a.attname) from pg_attribute a where a.attrelid = o.oid and a.attnum > 0 and not a.attisdropped) = '{created_at,key,updated_at,value}'))
from here h
where (select count(*) from pg_attribute a where a.attrelid = h.oid and a.attnum > 0 and not a.attisdropped) between 1 and 20
order by array_position(current_schemas(false), h.nspname), h.relname`
	rows, err := s.conn.Query(ctx, query, table)
	if err != nil {
		return nil, classify(ctx, "look for another tool's history", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (candidate, error) {
		var c candidate
		err := r.Scan(&c.schema, &c.name, &c.columns, &c.metadata)
		return c, err
	})
	return list, classify(ctx, "look for another tool's history", err)
}

// readHistory reads a tool's table in one snapshot.
func (s *session) readHistory(ctx context.Context, f *foreign) (h *history, err error) {
	var refused *RefusedError
	err = pgx.BeginTxFunc(ctx, s.conn, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		var err error
		h, err = f.tool.read(ctx, tx, f.table)
		if r, ok := err.(*RefusedError); ok { //nolint:errorlint // the readers return it as it is
			refused = r
			return nil
		}
		return err
	})
	if err != nil {
		return nil, classify(ctx, "read "+f.table, err)
	}
	if refused != nil {
		return nil, refused
	}
	h.tool = f.tool
	return h, nil
}

// leftOut names a tool's relations, which are no part of the schema that migrations make.
func leftOut(table string, helpers []string) []string {
	if table == "" {
		return nil
	}
	schema, name, _ := strings.Cut(strings.ReplaceAll(table, `"`, ""), ".")
	out := []string{quoteIdent(schema) + "." + quoteIdent(name)}
	for _, h := range helpers {
		out = append(out, quoteIdent(schema)+"."+quoteIdent(h))
	}
	if schema == "atlas_schema_revisions" {
		out = append(out, schema)
	}
	return out
}

// quoteIdent quotes as PostgreSQL's quote_ident does, for names without a reserved word.
func quoteIdent(name string) string {
	for i, r := range name {
		if letter, digit := r >= 'a' && r <= 'z' || r == '_', r >= '0' && r <= '9'; !letter && (i == 0 || !digit) {
			return pgx.Identifier{name}.Sanitize()
		}
	}
	return name
}

// history is what a tool's table says.
type history struct {
	tool foreignTool
	// rows are in the order in which they were applied.
	rows []historyRow
	// upTo is the newest version where the tool keeps nothing else: all files up to it are applied.
	upTo Version
	// byText is true where the tool compares versions as text.
	byText bool
	// sums says what the rows' checksums are of.
	verify verifier
	notes  []string
}

// historyRow is one migration that a tool applied.
type historyRow struct {
	// version is canonical; empty for what has none.
	version Version
	// name is what the tool calls it. Where several rows are of one file, that is file.
	name, file string
	// label is the version as the tool writes it, where it compares them so.
	label string
	at    time.Time
	by    string
	sum   string
	// upTo is true for a baseline: files up to this version count as applied.
	upTo bool
	// repeat is true for a repeatable migration.
	repeat bool
	// author, id and description are Liquibase's.
	author, id, description string
	// state is what the checksums of several rows came to; allowed is true where the file itself says that another will do.
	state   ChecksumState
	allowed bool
}
