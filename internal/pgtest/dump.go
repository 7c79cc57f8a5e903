package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgserver"
)

// Dump returns a database's schema as text, for comparing two databases: equal
// texts mean equal schemas. Nothing in it depends on the order in which objects
// were made, save the order of columns and enum values. It reads the catalog,
// which also tells valid from INVALID and needs no program of the machine's, and
// adds pg_dump --schema-only where there is one that is new enough.
// The named schemas are left out.
func Dump(t testing.TB, db *DB, without ...string) string {
	t.Helper()
	text := Catalog(t, db, without...)
	program := pgDump(t.Context(), db.Server)
	if program == "" {
		return text
	}
	args := []string{"--schema-only", "--dbname", db.URL}
	for _, schema := range without {
		args = append(args, "--exclude-schema", `"`+schema+`"`)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	var failure strings.Builder
	cmd.Stderr = &failure
	out, err := cmd.Output()
	require.NoError(t, err, "pg_dump: %s", failure.String())
	// The keyword's argument is random in each run.
	return text + regexp.MustCompile(`(?m)^\\(un)?restrict .*\n`).ReplaceAllString(string(out), "")
}

// Catalog is Dump without pg_dump.
func Catalog(t testing.TB, db *DB, without ...string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db.URL)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	return catalog(t, conn, without)
}

func catalog(t testing.TB, conn *pgx.Conn, without []string) string {
	t.Helper()
	// With nothing else on the path every name is printed with its schema.
	_, err := conn.Exec(t.Context(), `set search_path = pg_catalog; set datestyle = iso; set timezone = utc`)
	require.NoError(t, err)
	hidden := append([]string{"information_schema"}, without...)
	var text strings.Builder
	for _, section := range catalogSections() {
		rows, err := conn.Query(t.Context(), section.query, hidden)
		require.NoError(t, err, section.name)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err, section.name)
		fmt.Fprintf(&text, "-- %s\n", section.name)
		for _, line := range lines {
			text.WriteString(line + "\n")
		}
	}
	return text.String()
}

// pgDump finds a pg_dump that is at least as new as the server, "" if none is:
// an older one refuses.
func pgDump(ctx context.Context, server *pgserver.Server) string {
	candidates := []string{}
	if dir := server.BinDir(); dir != "" {
		candidates = append(candidates, filepath.Join(dir, "pg_dump"))
	}
	if path, err := exec.LookPath("pg_dump"); err == nil {
		candidates = append(candidates, path)
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/pg_dump", "/opt/homebrew/opt/*/bin/pg_dump", "/usr/local/opt/*/bin/pg_dump"} {
		paths, err := filepath.Glob(pattern)
		if err == nil {
			candidates = append(candidates, paths...)
		}
	}
	version := regexp.MustCompile(`^pg_dump \(PostgreSQL\) (\d+)`)
	for _, path := range candidates {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		out, err := exec.CommandContext(ctx, path, "--version").Output()
		if err != nil {
			continue
		}
		if m := version.FindSubmatch(out); m != nil {
			if major, err := strconv.Atoi(string(m[1])); err == nil && major >= server.Major {
				return path
			}
		}
	}
	return ""
}

type section struct{ name, query string }

// catalogSections are queries of one text column; $1 is the hidden schemas.
func catalogSections() []section {
	// shown is the condition on a schema n, unowned that on an object which no
	// extension brought.
	const shown = ` n.nspname !~ '^pg_' and n.nspname <> all ($1) `
	unowned := func(class, oid string) string {
		return ` not exists (select from pg_depend d where d.classid = '` + class + `'::regclass and d.objid = ` + oid + ` and d.deptype = 'e') `
	}
	return []section{
		{"schemas", `select format('%I owner %I acl %s comment %L', nspname, pg_get_userbyid(nspowner), nspacl, obj_description(n.oid, 'pg_namespace'))
			from pg_namespace n where` + shown + `and` + unowned("pg_namespace", "n.oid") + `order by 1`},
		{"extensions", `select format('%I %s schema %I', extname, extversion, n.nspname)
			from pg_extension e join pg_namespace n on n.oid = e.extnamespace where n.nspname <> all ($1) order by 1`},
		{"relations", `select format('%s %I.%I owner %I persistence %s options %s acl %s rls %s/%s replica identity %s partition %s of %s bound %s comment %L', relkind, n.nspname, relname,
				pg_get_userbyid(relowner), relpersistence, reloptions, relacl, relrowsecurity, relforcerowsecurity, relreplident,
				pg_get_partkeydef(c.oid),
				(select string_agg(inhparent::regclass::text, ', ' order by inhseqno) from pg_inherits where inhrelid = c.oid),
				pg_get_expr(relpartbound, c.oid), obj_description(c.oid, 'pg_class'))
			from pg_class c join pg_namespace n on n.oid = relnamespace
			where relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c') and` + shown + `and` + unowned("pg_class", "c.oid") + `order by 1`},
		{"columns", `select format('%I.%I.%s %I %s collation %s not null %s default %s identity %s generated %s storage %s statistics %s options %s acl %s comment %L', n.nspname, relname,
				lpad((row_number() over (partition by c.oid order by attnum))::text, 4, '0'), attname,
				format_type(atttypid, atttypmod), nullif(attcollation, 0)::regcollation, attnotnull,
				pg_get_expr(adbin, adrelid), attidentity, attgenerated, attstorage, nullif(attstattarget, -1), attoptions, attacl, col_description(c.oid, attnum))
			from pg_attribute a join pg_class c on c.oid = attrelid join pg_namespace n on n.oid = relnamespace
			left join pg_attrdef on adrelid = c.oid and adnum = attnum
			where attnum > 0 and not attisdropped and relkind in ('r', 'p', 'v', 'm', 'f', 'c') and` + shown + `and` + unowned("pg_class", "c.oid") + `order by 1`},
		{"constraints", `select format('%I.%s %I %s valid %s comment %L', n.nspname, coalesce(nullif(conrelid, 0)::regclass::text, nullif(contypid, 0)::regtype::text), conname,
				pg_get_constraintdef(o.oid), convalidated, obj_description(o.oid, 'pg_constraint'))
			from pg_constraint o join pg_namespace n on n.oid = connamespace where` + shown + `order by 1`},
		{"indexes", `select format('%s valid %s ready %s live %s clustered %s replica identity %s comment %L', pg_get_indexdef(indexrelid), indisvalid, indisready, indislive,
				indisclustered, indisreplident, obj_description(indexrelid, 'pg_class'))
			from pg_index join pg_class c on c.oid = indrelid join pg_namespace n on n.oid = relnamespace where` + shown + `order by 1`},
		{"views", `select format('%I.%I as %s', n.nspname, relname, pg_get_viewdef(c.oid))
			from pg_class c join pg_namespace n on n.oid = relnamespace where relkind in ('v', 'm') and` + shown + `and` + unowned("pg_class", "c.oid") + `order by 1`},
		{"rules", `select format('%s enabled %s', pg_get_ruledef(r.oid), ev_enabled)
			from pg_rewrite r join pg_class c on c.oid = ev_class join pg_namespace n on n.oid = relnamespace where rulename <> '_RETURN' and` + shown + `order by 1`},
		{"sequences", `select format('%I.%I %s start %s increment %s min %s max %s cache %s cycle %s owned by %s', n.nspname, relname, format_type(seqtypid, null), seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle,
				(select refobjid::regclass || '.' || attname from pg_depend d join pg_attribute on attrelid = refobjid and attnum = refobjsubid
					where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i') and refobjsubid > 0))
			from pg_sequence join pg_class c on c.oid = seqrelid join pg_namespace n on n.oid = relnamespace where` + shown + `order by 1`},
		{"types", `select format('%s %I.%I base %s not null %s default %s collation %s owner %I acl %s comment %L', typtype, n.nspname, typname,
				case when typbasetype <> 0 then format_type(typbasetype, typtypmod) end, typnotnull, typdefault,
				case when typtype = 'd' then nullif(typcollation, 0)::regcollation end, pg_get_userbyid(typowner), typacl, obj_description(t.oid, 'pg_type'))
			from pg_type t join pg_namespace n on n.oid = typnamespace
			where typtype in ('d', 'e', 'r') and` + shown + `and` + unowned("pg_type", "t.oid") + `order by 1`},
		{"enum values", `select format('%s %s %L', enumtypid::regtype, lpad((row_number() over (partition by enumtypid order by enumsortorder))::text, 4, '0'), enumlabel)
			from pg_enum join pg_type t on t.oid = enumtypid join pg_namespace n on n.oid = typnamespace where` + shown + `order by 1`},
		{"functions", `select format('%s.%s(%s) returns %s owner %I acl %s comment %L %s', n.nspname, proname, pg_get_function_identity_arguments(p.oid), pg_get_function_result(p.oid), pg_get_userbyid(proowner), proacl,
				obj_description(p.oid, 'pg_proc'), case when prokind <> 'a' then pg_get_functiondef(p.oid) end)
			from pg_proc p join pg_namespace n on n.oid = pronamespace where` + shown + `and` + unowned("pg_proc", "p.oid") + `order by 1`},
		{"triggers", `select format('%s enabled %s comment %L', pg_get_triggerdef(g.oid), tgenabled, obj_description(g.oid, 'pg_trigger'))
			from pg_trigger g join pg_class c on c.oid = tgrelid join pg_namespace n on n.oid = relnamespace where not tgisinternal and` + shown + `order by 1`},
		{"event triggers", `select format('%I on %s tags %s calls %s enabled %s', evtname, evtevent, evttags, evtfoid::regprocedure, evtenabled)
			from pg_event_trigger where cardinality($1::text[]) >= 0 order by 1`},
		{"policies", `select format('%I.%I %I %s for %s to %s using %s check %s', schemaname, tablename, policyname, permissive, cmd, roles, qual, with_check)
			from pg_policies where schemaname <> all ($1) order by 1`},
		{"statistics", `select pg_get_statisticsobjdef(s.oid) from pg_statistic_ext s join pg_namespace n on n.oid = stxnamespace where` + shown + `order by 1`},
		{"publications", `select format('%I all tables %s insert %s update %s delete %s truncate %s of %s', pubname, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate,
				(select string_agg(format('%I.%I', schemaname, tablename), ', ' order by schemaname, tablename) from pg_publication_tables x where x.pubname = p.pubname))
			from pg_publication p where cardinality($1::text[]) >= 0 order by 1`},
		{"default privileges", `select format('%I in %s for %s: %s', pg_get_userbyid(defaclrole), nullif(defaclnamespace, 0)::regnamespace, defaclobjtype, defaclacl)
			from pg_default_acl where cardinality($1::text[]) >= 0 order by 1`},
	}
}
