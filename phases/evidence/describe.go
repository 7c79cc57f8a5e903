package evidence

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Description is a database's own schema, one DDL-like line for each object and each property that can be changed by itself. Equal
// descriptions mean equal schemas, save for the order of columns. Extensions' members, pawl's own tables and the system's
// objects are not in it.
type Description struct {
	// Lines are sorted by the object that they are about.
	Lines []string
}

// DescribeOptions say what is left out.
type DescribeOptions struct {
	// LeaveOut are relations, or whole schemas, by their qualified names as PostgreSQL quotes them.
	LeaveOut []string
	// WithoutRoles leaves owners and grants out, for databases whose roles are not the same.
	WithoutRoles bool
}

// Describe reads a database's schema.
func Describe(ctx context.Context, conn Conn, o DescribeOptions) (d *Description, err error) {
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		d, err = DescribeIn(ctx, tx, o)
		return err
	})
	return d, err
}

// DescribeIn is Describe within a transaction, whose search path it changes.
func DescribeIn(ctx context.Context, tx pgx.Tx, o DescribeOptions) (*Description, error) {
	left := o.LeaveOut
	if left == nil {
		left = []string{}
	}
	// With nothing else on the path every name is printed with its schema.
	if _, err := tx.Exec(ctx, "set local search_path = pg_catalog"); err != nil {
		return nil, fmt.Errorf("describe the schema: %w", err)
	}
	rows, err := tx.Query(ctx, describeQuery, left, !o.WithoutRoles)
	if err != nil {
		return nil, fmt.Errorf("describe the schema: %w", err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("describe the schema: %w", err)
	}
	return &Description{Lines: lines}, nil
}

// Fingerprint gives the SHA-256 of the lines in hex.
func (d *Description) Fingerprint() string {
	sum := sha256.Sum256([]byte(strings.Join(d.Lines, "\x00")))
	return hex.EncodeToString(sum[:])
}

// Difference is one line that one of two schemas has and the other has not.
type Difference struct {
	// Added is true for what the second has and the first has not.
	Added bool
	Line  string
}

// String is the line behind + or -, as are all lines of a text of several.
func (d Difference) String() string {
	sign := "- "
	if d.Added {
		sign = "+ "
	}
	return sign + strings.ReplaceAll(d.Line, "\n", "\n"+sign)
}

// Diff gives what the second schema has otherwise than the first: lines of one object stand together.
func Diff(first, second *Description) []Difference {
	count := map[string]int{}
	for _, l := range first.Lines {
		count[l]--
	}
	for _, l := range second.Lines {
		count[l]++
	}
	var list []Difference
	seen := map[string]bool{}
	for _, l := range slices.Concat(first.Lines, second.Lines) {
		if n := count[l]; n != 0 && !seen[l] {
			seen[l] = true
			list = append(list, Difference{Added: n > 0, Line: l})
		}
	}
	slices.SortStableFunc(list, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(about(a.Line), about(b.Line)), cmp.Compare(side(a), side(b)))
	})
	return list
}

func side(d Difference) int {
	if d.Added {
		return 1
	}
	return 0
}

// about gives the beginning of a line up to the name of what it is about, so that two states of one thing stand together.
func about(line string) string {
	words := strings.Fields(line)
	return strings.Join(words[:min(6, len(words))], " ")
}

// describeQuery writes one line a row. $1 are relations and schemas to leave out, $2 says whether owners and grants are told.
const describeQuery = `
with extension as (
    select classid, objid from pg_depend where deptype = 'e'
), own as (
    select n.*, quote_ident(nspname) as name from pg_namespace n
    where nspname not in ('pg_catalog', 'information_schema', 'pawl') and nspname !~ '^(pg|pawl)_' and quote_ident(nspname) <> all ($1)
      and not exists (select from extension e where e.classid = 'pg_namespace'::regclass and e.objid = n.oid)
), relation as (
    select c.*, n.name || '.' || quote_ident(c.relname) as full_name, n.name as schema,
           case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' when 'f' then 'foreign table'
                          when 'c' then 'type' else 'table' end as what
    from pg_class c join own n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c') and n.name || '.' || quote_ident(c.relname) <> all ($1)
      and not exists (select from extension e where e.classid = 'pg_class'::regclass and e.objid = c.oid)
      -- the sequence of a left-out table is left out with it
      and not exists (select from pg_depend d join pg_class t on t.oid = d.refobjid join pg_namespace tn on tn.oid = t.relnamespace
                      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i') and c.relkind = 'S'
                        and quote_ident(tn.nspname) || '.' || quote_ident(t.relname) = any ($1))
), type as (
    select t.*, n.name || '.' || quote_ident(t.typname) as full_name
    from pg_type t join own n on n.oid = t.typnamespace
    where t.typtype in ('d', 'e', 'r') and not exists (select from extension e where e.classid = 'pg_type'::regclass and e.objid = t.oid)
), routine as (
    select p.*, n.name || '.' || quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')' as full_name,
           case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end as what
    from pg_proc p join own n on n.oid = p.pronamespace
    where not exists (select from extension e where e.classid = 'pg_proc'::regclass and e.objid = p.oid)
), col as (
    select a.*, c.full_name, c.relkind as kind, c.relispartition as partition,
           quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
           || case when a.attcollation <> 0 and a.attcollation <> t.typcollation then ' collate ' || a.attcollation::regcollation::text else '' end
           || case when a.attidentity = 'a' then ' generated always as identity' when a.attidentity = 'd' then ' generated by default as identity' else '' end
           || case when a.attgenerated = 's' then ' generated always as (' || pg_get_expr(d.adbin, d.adrelid) || ') stored'
                   when a.attgenerated <> '' then ' generated always as (' || pg_get_expr(d.adbin, d.adrelid) || ') virtual'
                   when d.oid is not null then ' default ' || pg_get_expr(d.adbin, d.adrelid) else '' end
           || case when a.attnotnull then ' not null' else '' end as text
    from pg_attribute a join relation c on c.oid = a.attrelid join pg_type t on t.oid = a.atttypid
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'f', 'c')
), line (place, step, text) as (
    select n.name, 0, 'create schema ' || n.name from own n where n.nspname <> 'public'
    union all
    select '', 1, 'create extension ' || quote_ident(e.extname) || ' with schema ' || quote_ident(n.nspname)
    from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname <> 'plpgsql'
    union all
    select t.full_name, 2, case t.typtype
        when 'e' then 'create type ' || t.full_name || ' as enum (' || coalesce((select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) from pg_enum where enumtypid = t.oid), '') || ')'
        when 'r' then 'create type ' || t.full_name || ' as range (subtype = ' || (select format_type(rngsubtype, null) from pg_range where rngtypid = t.oid) || ')'
        else 'create domain ' || t.full_name || ' as ' || format_type(t.typbasetype, t.typtypmod) || coalesce(' default ' || t.typdefault, '') || case when t.typnotnull then ' not null' else '' end end
    from type t
    union all
    select t.full_name, 3, 'alter domain ' || t.full_name || ' add constraint ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid)
    from pg_constraint k join type t on t.oid = k.contypid where k.contype = 'c'
    union all
    select p.full_name, 4, case when p.prokind = 'a' then 'create aggregate ' || p.full_name else rtrim(pg_get_functiondef(p.oid), E'\n') end from routine p
    union all
    select c.full_name, 5, 'create sequence ' || c.full_name || ' as ' || format_type(s.seqtypid, null) || ' increment ' || s.seqincrement || ' minvalue ' || s.seqmin
           || ' maxvalue ' || s.seqmax || ' start ' || s.seqstart || ' cache ' || s.seqcache || case when s.seqcycle then ' cycle' else '' end
           || coalesce((select ' owned by ' || t.full_name || '.' || quote_ident(a.attname)
                        from pg_depend d join relation t on t.oid = d.refobjid join pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid
                        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')), '')
    from relation c join pg_sequence s on s.seqrelid = c.oid
    union all
    select c.full_name, 6, 'create ' || case c.relpersistence when 'u' then 'unlogged ' else '' end || c.what || ' ' || c.full_name
           || case when c.relispartition then ' partition of ' || (select i.inhparent::regclass::text from pg_inherits i where i.inhrelid = c.oid) || ' ' || pg_get_expr(c.relpartbound, c.oid)
                   else coalesce((select ' inherits (' || string_agg(i.inhparent::regclass::text, ', ' order by i.inhseqno) || ')' from pg_inherits i where i.inhrelid = c.oid), '') end
           || case when c.relkind = 'p' then ' partition by ' || pg_get_partkeydef(c.oid) else '' end
           || coalesce(' server ' || (select quote_ident(s.srvname) || coalesce(' options (' || array_to_string(f.ftoptions, ', ') || ')', '') from pg_foreign_table f join pg_foreign_server s on s.oid = f.ftserver where f.ftrelid = c.oid), '')
           || coalesce(' with (' || array_to_string(c.reloptions, ', ') || ')', '')
    from relation c where c.relkind in ('r', 'p', 'f', 'c')
    union all
    select c.full_name, 7, 'alter table ' || c.full_name || case c.relreplident when 'n' then ' replica identity nothing' when 'f' then ' replica identity full'
           else ' replica identity using index ' || (select x.indexrelid::regclass::text from pg_index x where x.indrelid = c.oid and x.indisreplident) end
    from relation c where c.relkind in ('r', 'p') and c.relreplident not in ('d', '-')
    union all
    select a.full_name, 8, case when a.kind = 'c' then 'alter type ' || a.full_name || ' add attribute ' else 'alter table ' || a.full_name || ' add column ' end || a.text
    from col a where a.attislocal or not a.partition
    union all
    -- a partition's column is its parent's, but for its default and NOT NULL
    select a.full_name, 9, 'alter table ' || a.full_name || ' alter column ' || a.text from col a where a.partition and not a.attislocal
    union all
    select a.full_name, 10, 'alter table ' || a.full_name || ' alter column ' || quote_ident(a.attname) || ' set (' || array_to_string(a.attoptions, ', ') || ')'
    from col a where a.attoptions is not null
    union all
    select c.full_name, case k.contype when 'f' then 13 else 12 end,
           'alter table ' || c.full_name || ' add constraint ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid)
    from pg_constraint k join relation c on c.oid = k.conrelid
    where k.contype in ('p', 'u', 'x', 'c', 'f') and k.conparentid = 0 and k.conislocal
    union all
    select c.full_name, 14, pg_get_indexdef(i.indexrelid) || case when not i.indisvalid then ' /* invalid */' else '' end || case when i.indisclustered then ' /* clustered */' else '' end
    from pg_index i join relation c on c.oid = i.indrelid
    where not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.conrelid = i.indrelid)
      and not exists (select from pg_inherits h where h.inhrelid = i.indexrelid)
    union all
    select c.full_name, 15, 'create ' || c.what || ' ' || c.full_name || coalesce(' with (' || array_to_string(c.reloptions, ', ') || ')', '') || ' as ' || rtrim(pg_get_viewdef(c.oid), ';')
    from relation c where c.relkind in ('v', 'm')
    union all
    select c.full_name, 16, rtrim(pg_get_ruledef(r.oid), ';') from pg_rewrite r join relation c on c.oid = r.ev_class where r.rulename <> '_RETURN'
    union all
    select c.full_name, 17, pg_get_triggerdef(g.oid) || case g.tgenabled when 'D' then ' /* disabled */' when 'A' then ' /* always */' when 'R' then ' /* replica */' else '' end
    from pg_trigger g join relation c on c.oid = g.tgrelid where not g.tgisinternal
    union all
    select c.full_name, 18, 'alter table ' || c.full_name || ' enable row level security' from relation c where c.relrowsecurity
    union all
    select c.full_name, 18, 'alter table ' || c.full_name || ' force row level security' from relation c where c.relforcerowsecurity
    union all
    select c.full_name, 19, 'create policy ' || quote_ident(p.polname) || ' on ' || c.full_name || case when p.polpermissive then '' else ' as restrictive' end
           || case p.polcmd when 'r' then ' for select' when 'a' then ' for insert' when 'w' then ' for update' when 'd' then ' for delete' else '' end
           || case when p.polroles = '{0}' or not $2 then '' else ' to ' || (select string_agg(quote_ident(pg_get_userbyid(r)), ', ' order by 1) from unnest(p.polroles) as r) end
           || coalesce(' using (' || pg_get_expr(p.polqual, p.polrelid) || ')', '') || coalesce(' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
    from pg_policy p join relation c on c.oid = p.polrelid
    union all
    select c.full_name, 20, pg_get_statisticsobjdef(s.oid) from pg_statistic_ext s join relation c on c.oid = s.stxrelid
    union all
    select '~', 21, 'create event trigger ' || quote_ident(evtname) || ' on ' || evtevent || coalesce(' when tag in (' || array_to_string(evttags, ', ') || ')', '') || ' execute function ' || evtfoid::regproc
    from pg_event_trigger where not exists (select from extension e where e.classid = 'pg_event_trigger'::regclass and e.objid = pg_event_trigger.oid)
    union all
    select '~', 22, 'create publication ' || quote_ident(p.pubname) || case when p.puballtables then ' for all tables'
           else coalesce(' for table ' || (select string_agg(quote_ident(schemaname) || '.' || quote_ident(tablename), ', ' order by 1) from pg_publication_tables x where x.pubname = p.pubname), '') end
    from pg_publication p
    union all
    select coalesce(c.full_name, t.full_name, p.full_name, n.name, x.full_name), 23,
           'comment on ' || case when d.objsubid > 0 then 'column ' || c.full_name || '.' || quote_ident(a.attname)
                                 when c.oid is not null then c.what || ' ' || c.full_name when t.oid is not null then 'type ' || t.full_name
                                 when p.oid is not null then p.what || ' ' || p.full_name when n.oid is not null then 'schema ' || n.name
                                 else x.what || ' ' || x.name || ' on ' || x.full_name end || ' is ' || quote_literal(d.description)
    from pg_description d
    left join relation c on d.classoid = 'pg_class'::regclass and c.oid = d.objoid
    left join pg_attribute a on a.attrelid = c.oid and a.attnum = d.objsubid and d.objsubid > 0
    left join type t on d.classoid = 'pg_type'::regclass and t.oid = d.objoid
    left join routine p on d.classoid = 'pg_proc'::regclass and p.oid = d.objoid
    left join own n on d.classoid = 'pg_namespace'::regclass and n.oid = d.objoid and n.nspname <> 'public'
    left join (
        select 'pg_constraint'::regclass::oid as class, k.oid, 'constraint' as what, quote_ident(k.conname) as name, r.full_name from pg_constraint k join relation r on r.oid = k.conrelid
        union all
        select 'pg_trigger'::regclass, g.oid, 'trigger', quote_ident(g.tgname), r.full_name from pg_trigger g join relation r on r.oid = g.tgrelid
        union all
        select 'pg_policy'::regclass, y.oid, 'policy', quote_ident(y.polname), r.full_name from pg_policy y join relation r on r.oid = y.polrelid
        union all
        select 'pg_class'::regclass, i.indexrelid, 'index', i.indexrelid::regclass::text, r.full_name from pg_index i join relation r on r.oid = i.indrelid
    ) x on x.class = d.classoid and x.oid = d.objoid
    where coalesce(c.oid, t.oid, p.oid, n.oid, x.oid) is not null
    union all
    select o.name, 24, 'alter ' || o.what || ' ' || o.name || ' owner to ' || quote_ident(pg_get_userbyid(o.owner))
    from (
        select full_name as name, what, relowner as owner from relation
        where not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = relation.oid and d.deptype in ('a', 'i') and relation.relkind = 'S')
        union all select full_name, 'type', typowner from type
        union all select full_name, what, proowner from routine
        union all select name, 'schema', nspowner from own where nspname <> 'public'
    ) o where $2
    union all
    select g.name, 25, 'grant ' || string_agg(lower(x.privilege_type), ', ' order by x.privilege_type) || g.columns || ' on ' || g.what || ' ' || g.name || ' to '
           || case when x.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(x.grantee)) end || case when x.is_grantable then ' with grant option' else '' end
    from (
        select full_name as name, what, '' as columns, relowner as owner, coalesce(relacl, acldefault(case when relkind = 'S' then 's' else 'r' end::"char", relowner)) as acl from relation where relkind <> 'c'
        union all select a.full_name, 'table', ' (' || quote_ident(a.attname) || ')', r.relowner, a.attacl from col a join relation r on r.oid = a.attrelid where a.attacl is not null
        union all select full_name, 'type', '', typowner, coalesce(typacl, acldefault('T', typowner)) from type
        union all select full_name, what, '', proowner, coalesce(proacl, acldefault('f', proowner)) from routine
        union all select name, 'schema', '', nspowner, coalesce(nspacl, acldefault('n', nspowner)) from own
    ) g cross join aclexplode(g.acl) x
    where $2 and x.grantee <> g.owner
    group by g.name, g.what, g.columns, x.grantee, x.is_grantable
    union all
    select '~', 26, 'alter default privileges for role ' || quote_ident(pg_get_userbyid(d.defaclrole)) || case when d.defaclnamespace = 0 then '' else ' in schema ' || d.defaclnamespace::regnamespace::text end
           || ' on ' || d.defaclobjtype::text || ' acl ' || d.defaclacl::text
    from pg_default_acl d where $2 and d.defaclnamespace = 0 or $2 and exists (select from own where own.oid = d.defaclnamespace)
)
select text from line order by place collate "C", step, text collate "C"`
