package migrate

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bitvault/pawl/migrations"
)

// ledgerFor names the ledger's schema: pawl, or the tenant's own beside it.
func ledgerFor(schema string) string {
	if schema == "" {
		return LedgerSchema
	}
	return LedgerSchema + "_" + schema
}

// longestTenant is how many bytes a tenant's schema may have, so that PostgreSQL does not cut the ledger's name off: two
// tenants would then share one ledger, and the second be taken for migrated.
const longestTenant = 63 - len(LedgerSchema+"_")

// checkTenant is nil for a schema that can be a tenant's.
func checkTenant(schema string) error {
	var why string
	switch {
	case len(schema) > longestTenant:
		why = fmt.Sprintf("it is longer than %d bytes, and its ledger's name (%s) than PostgreSQL's names can be", longestTenant, ledgerFor("SCHEMA"))
	case strings.HasPrefix(schema, "pg_") || schema == "information_schema":
		why = "names like it are PostgreSQL's own"
	case schema == LedgerSchema || strings.HasPrefix(schema, LedgerSchema+"_"):
		why = "names like it are those of ledgers"
	case schema == "$user":
		why = "in a search path it stands for the schema that is called like the role"
	case strings.Contains(schema, "$$") || strings.ContainsFunc(schema, unicode.IsControl):
		why = "it has $$ or a control character in it"
	default:
		return nil
	}
	return &ConfigError{Message: fmt.Sprintf("schema %q cannot be a tenant's: %s", schema, why), Hint: "give the tenant a schema of another name"}
}

// makeSchema makes the tenant's schema where it is missing. PostgreSQL wants the right to make one for IF NOT EXISTS, too.
func (s *session) makeSchema(ctx context.Context) error {
	var there bool
	if err := s.conn.QueryRow(ctx, `select exists (select from pg_namespace where nspname = $1)`, s.schema).Scan(&there); err != nil {
		return classify(ctx, "look for the schema "+s.schema, err)
	}
	if there {
		return nil
	}
	_, err := s.conn.Exec(ctx, "create schema if not exists "+pgx.Identifier{s.schema}.Sanitize())
	if sqlState(err) == "42501" {
		role := pgx.Identifier{s.role}.Sanitize()
		return &ConfigError{
			Message: fmt.Sprintf("role %q may not make the schema %q in database %q", s.role, s.schema, s.database),
			Hint: fmt.Sprintf("grant create on database %s to %s; or, if it is to have no more than these: create schema %s authorization %[2]s; create schema %[4]s authorization %[2]s;",
				pgx.Identifier{s.database}.Sanitize(), role, pgx.Identifier{s.schema}.Sanitize(), pgx.Identifier{s.ledgerSchema}.Sanitize()),
		}
	}
	return classify(ctx, "make the schema "+s.schema, err)
}

// ledgerConn is a connection whose statements about the ledger are about one in another schema than pawl. Only names that the ledger's
// own migrations make are changed, and no parameter is.
type ledgerConn struct {
	*pgx.Conn
	own func(string) string
}

// ownSQL gives what changes a statement about the ledger in schema pawl into one about the ledger in another.
func ownSQL(schema string) func(string) string {
	if schema == LedgerSchema {
		return func(sql string) string { return sql }
	}
	quoted := pgx.Identifier{schema}.Sanitize()
	names := ledgerNames()
	return func(sql string) string {
		if !strings.Contains(sql, LedgerSchema) {
			return sql
		}
		return names.ReplaceAllStringFunc(sql, func(found string) string {
			if text, ok := strings.CutPrefix(found, "'"); ok {
				return literal(quoted + strings.TrimSuffix(strings.TrimPrefix(text, LedgerSchema), "'"))
			}
			if rest, ok := strings.CutPrefix(found, LedgerSchema+"."); ok {
				return quoted + "." + rest
			}
			return "create schema " + quoted
		})
	}
}

// ledgerNames matches what the ledger's migrations make, with its schema, also as the whole of a string.
var ledgerNames = sync.OnceValue(func() *regexp.Regexp {
	made := regexp.MustCompile(`(?m)^create (?:table|function|view|sequence) pawl\.([a-z_0-9]+)`)
	seen := map[string]bool{}
	var names []string
	entries, err := migrations.FS.ReadDir(".")
	if err != nil {
		panic(err) // it is in the binary
	}
	for _, e := range entries {
		text, err := migrations.FS.ReadFile(e.Name())
		if err != nil {
			panic(err)
		}
		for _, m := range made.FindAllStringSubmatch(string(text), -1) {
			if !seen[m[1]] {
				seen[m[1]] = true
				names = append(names, m[1])
			}
		}
	}
	name := `pawl\.(?:` + strings.Join(names, "|") + `)\b`
	return regexp.MustCompile(`'` + name + `'|\b` + name + `|\bcreate schema pawl\b`)
})

// Exec runs a statement on the tenant's own ledger.
func (c *ledgerConn) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return c.Conn.Exec(ctx, c.own(sql), args...)
}

// Query asks the tenant's own ledger.
func (c *ledgerConn) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return c.Conn.Query(ctx, c.own(sql), args...)
}

// QueryRow asks the tenant's own ledger for one row.
func (c *ledgerConn) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return c.Conn.QueryRow(ctx, c.own(sql), args...)
}

// Begin begins a transaction on the tenant's own ledger.
func (c *ledgerConn) Begin(ctx context.Context) (pgx.Tx, error) {
	return c.BeginTx(ctx, pgx.TxOptions{})
}

// BeginTx is Begin with options.
func (c *ledgerConn) BeginTx(ctx context.Context, o pgx.TxOptions) (pgx.Tx, error) {
	tx, err := c.Conn.BeginTx(ctx, o)
	if err != nil {
		return nil, err
	}
	return ledgerTx{tx, c.own}, nil
}

// ledgerTx is a transaction of a ledgerConn.
type ledgerTx struct {
	pgx.Tx
	own func(string) string
}

// Begin begins a transaction inside of this one.
func (t ledgerTx) Begin(ctx context.Context) (pgx.Tx, error) {
	tx, err := t.Tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return ledgerTx{tx, t.own}, nil
}

// Exec runs a statement on the tenant's own ledger.
func (t ledgerTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return t.Tx.Exec(ctx, t.own(sql), args...)
}

// Query asks the tenant's own ledger.
func (t ledgerTx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return t.Tx.Query(ctx, t.own(sql), args...)
}

// QueryRow asks the tenant's own ledger for one row.
func (t ledgerTx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return t.Tx.QueryRow(ctx, t.own(sql), args...)
}
