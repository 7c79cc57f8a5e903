package evidence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// Copies asks PostgreSQL what a migration does to statements, on temporary copies of the relations that it touches, in
// one transaction that is rolled back. On the real relations it takes no more than ACCESS SHARE, so nobody waits for it.
//
// A temporary table is found before any other of its name, so statements that do not qualify the name meet the copy by
// themselves; where they do, the name is rewritten. Copies have the columns, defaults, checks, indexes and the keys of
// the originals; they have no foreign keys, triggers and policies, which preparing does not look at either.
type Copies struct {
	// Relations are the tables to copy, by schema and name.
	Relations [][2]string
	// Statements are the migration's, in order.
	Statements []string
	// Texts are the statements of the releases.
	IDs, Texts []string
}

// Judged is what the copies told.
type Judged struct {
	Proofs map[string]gate.Proof
	// Applied says for each of the migration's statements whether it could be applied to the copies: what the others
	// do is not part of the proof.
	Applied []bool
}

// OnCopies tries a migration on copies of the tables that it touches, for those statements of the releases that the
// mentions suspect, and marks what it takes of which the answer speaks. Nil means that there is nothing to ask.
func OnCopies(ctx context.Context, conn Conn, a *phases.Assessment, change gate.Change, releases []gate.Release) (*Judged, error) {
	c := &Copies{}
	seen := map[string]bool{}
	for _, r := range releases {
		if r.Manifest == nil {
			continue
		}
		for _, q := range r.Manifest.Queries {
			if q.ID == "" || seen[q.ID] || !change.Suspects(q) {
				continue
			}
			seen[q.ID] = true
			c.IDs, c.Texts = append(c.IDs, q.ID), append(c.Texts, q.Text)
		}
	}
	if len(c.Texts) == 0 {
		return nil, nil //nolint:nilnil // nothing to ask
	}
	tables := map[[2]string]bool{}
	for _, s := range a.Statements {
		c.Statements = append(c.Statements, s.Statement.Text)
		for _, op := range s.Operations {
			for _, o := range []phases.Object{op.On, op.Ref} {
				if o.Relation != "" {
					tables[[2]string{o.Schema, o.Relation}] = true
				}
			}
		}
	}
	var err error
	if c.Relations, err = ExistingTables(ctx, conn, tables); err != nil || len(c.Relations) == 0 {
		return nil, err
	}
	judged, err := c.Judge(ctx, conn)
	if err != nil {
		return nil, err
	}
	for _, list := range [][]gate.Taken{change.Takes, change.Adds} {
		for i := range list {
			list[i].Proved = judged.Applied[list[i].Statement] && c.holds(list[i].Object)
		}
	}
	return judged, nil
}

// holds reports whether a taken object is or belongs to one of the copies: what CASCADE takes elsewhere stays where it is.
// An index has a name of its own and comes with its table.
func (c *Copies) holds(o phases.Object) bool {
	return o.Kind == phases.Index || slices.ContainsFunc(c.Relations, func(r [2]string) bool {
		return r[1] == o.Relation && (o.Schema == "" || o.Schema == r[0])
	})
}

// Judge runs the question. The session must not be inside a transaction; it is left as it was. A relation that cannot
// be copied is left out, and then statements about it are not applied either.
func (c *Copies) Judge(ctx context.Context, conn Conn) (judged *Judged, err error) {
	if _, err := conn.Exec(ctx, `begin; set local lock_timeout = '500ms'; set local statement_timeout = '30s'`); err != nil {
		return nil, fmt.Errorf("begin to ask on copies: %w", err)
	}
	defer func() {
		_, rollback := conn.PgConn().Exec(context.WithoutCancel(ctx), "rollback; reset plan_cache_mode").ReadAll()
		if !conn.IsClosed() {
			err = errors.Join(err, rollback)
		}
	}()
	copied := map[[2]string]bool{}
	for _, r := range c.Relations {
		ok, err := savepoint(ctx, conn, func() error { return copyTable(ctx, conn, r[0], r[1]) })
		if err != nil {
			return nil, err
		}
		if ok {
			copied[r] = true
		}
	}
	texts := make([]string, len(c.Texts))
	for i, text := range c.Texts {
		if texts[i], err = parse.Requalify(text, copied, "pg_temp"); err != nil {
			texts[i] = text
		}
	}
	before, err := Prepare(ctx, conn, texts)
	if err != nil {
		return nil, err
	}
	judged = &Judged{Applied: make([]bool, len(c.Statements))}
	for i, text := range c.Statements {
		if text, err = parse.Requalify(text, copied, "pg_temp"); err != nil {
			continue
		}
		judged.Applied[i], err = savepoint(ctx, conn, func() error {
			if err := onlyCopies(ctx, conn, text); err != nil {
				return err
			}
			_, err := conn.PgConn().Exec(ctx, text).ReadAll()
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	after, err := Prepare(ctx, conn, texts)
	if err != nil {
		return nil, err
	}
	judged.Proofs = Prove(c.IDs, c.Texts, before, after)
	for id, p := range judged.Proofs {
		p.Copies = true
		judged.Proofs[id] = p
	}
	return judged, nil
}

// savepoint runs f so that a refusal of the server undoes f alone. Ok is false then; err is a lost connection.
func savepoint(ctx context.Context, conn Conn, f func() error) (ok bool, err error) {
	if _, err := conn.Exec(ctx, "savepoint pawl"); err != nil {
		return false, fmt.Errorf("set a savepoint: %w", err)
	}
	failed := f()
	if failed == nil {
		_, err = conn.Exec(ctx, "release savepoint pawl")
		return err == nil, err
	}
	if ctx.Err() != nil || conn.IsClosed() {
		return false, failed
	}
	_, err = conn.Exec(ctx, "rollback to savepoint pawl; release savepoint pawl")
	return false, err
}

// copyTable makes pg_temp.NAME like the table, with the names of its indexes and constraints, on which statements can
// depend.
func copyTable(ctx context.Context, conn Conn, schema, name string) error {
	source, target := pgx.Identifier{schema, name}.Sanitize(), pgx.Identifier{"pg_temp", name}.Sanitize()
	create := fmt.Sprintf("create temporary table %s (like %s including defaults including generated including identity including constraints)",
		pgx.Identifier{name}.Sanitize(), source)
	if _, err := conn.Exec(ctx, create); err != nil {
		return err
	}
	// Keys first, as constraints; then the indexes that belong to none.
	const query = `
select coalesce('alter table ' || $3 || ' add constraint ' || quote_ident(c.conname) || ' ' || pg_get_constraintdef(c.oid),
                pg_get_indexdef(i.indexrelid)), c.oid is null, quote_ident(n.nspname) || '.' || quote_ident(t.relname)
from pg_index i join pg_class t on t.oid = i.indrelid join pg_namespace n on n.oid = t.relnamespace
left join pg_constraint c on c.conindid = i.indexrelid and c.conrelid = i.indrelid and c.contype in ('p', 'u', 'x')
where n.nspname = $1 and t.relname = $2 and i.indisvalid
order by c.oid is null, i.indexrelid`
	rows, err := conn.Query(ctx, query, schema, name, target)
	if err != nil {
		return err
	}
	type index struct {
		text   string
		plain  bool
		source string
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (index, error) {
		var x index
		return x, row.Scan(&x.text, &x.plain, &x.source)
	})
	if err != nil {
		return err
	}
	for _, x := range list {
		text := x.text
		if x.plain {
			for _, only := range []string{" ON ONLY ", " ON "} {
				text = strings.Replace(text, only+x.source+" ", " ON "+target+" ", 1)
			}
		}
		if _, err := conn.Exec(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

var errReal = errors.New("this statement would change something real")

// onlyCopies refuses a statement that would reach beyond the copies: everything it changes must be a temporary table,
// for even in a transaction that is rolled back a lock on the real one would make others wait.
func onlyCopies(ctx context.Context, conn Conn, text string) error {
	targets, ok := parse.AlteredRelations(text)
	if !ok || len(targets) == 0 {
		return errReal
	}
	for _, t := range targets {
		var temporary bool
		const query = `select coalesce((select relpersistence = 't' from pg_class where oid = to_regclass($1)), false)`
		if err := conn.QueryRow(ctx, query, pgx.Identifier(t).Sanitize()).Scan(&temporary); err != nil {
			return err
		}
		if !temporary {
			return errReal
		}
	}
	return nil
}

// ExistingTables gives those of the named relations that are tables, by schema and name. An empty schema is looked up
// by the search path.
func ExistingTables(ctx context.Context, conn Conn, names map[[2]string]bool) ([][2]string, error) {
	var schemas, relations []string
	for n := range names {
		schemas, relations = append(schemas, n[0]), append(relations, n[1])
	}
	const query = `
select distinct n.nspname, c.relname
from unnest($1::text[], $2::text[]) as w(schema, name)
join pg_class c on c.oid = to_regclass(case when w.schema = '' then quote_ident(w.name) else quote_ident(w.schema) || '.' || quote_ident(w.name) end)
join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and c.relpersistence <> 't' order by 1, 2`
	rows, err := conn.Query(ctx, query, schemas, relations)
	if err != nil {
		return nil, fmt.Errorf("look the tables up: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) ([2]string, error) {
		var t [2]string
		return t, row.Scan(&t[0], &t[1])
	})
}
