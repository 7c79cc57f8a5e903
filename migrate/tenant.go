package migrate

import (
	"context"
	"regexp"
	"strings"
	"sync"

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
			if rest, ok := strings.CutPrefix(found, LedgerSchema+"."); ok {
				return quoted + "." + rest
			}
			return "create schema " + quoted
		})
	}
}

// ledgerNames matches what the ledger's migrations make, with its schema.
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
	return regexp.MustCompile(`\bpawl\.(?:` + strings.Join(names, "|") + `)\b|\bcreate schema pawl\b`)
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
