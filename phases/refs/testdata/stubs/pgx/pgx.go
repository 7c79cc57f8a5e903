// Package pgx has the parts of pgx's interface that the tests call.
package pgx

import (
	"context"

	"github.com/jackc/pgx/v5/pgconn"
)

type (
	Rows       interface{ Next() bool }
	Row        interface{ Scan(dest ...any) error }
	Identifier []string
	NamedArgs  map[string]any
	Batch      struct{}
	Conn       struct{}
	Tx         interface {
		Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
		Query(ctx context.Context, sql string, args ...any) (Rows, error)
		QueryRow(ctx context.Context, sql string, args ...any) Row
		Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error)
		CopyFrom(ctx context.Context, tableName Identifier, columnNames []string, rowSrc CopyFromSource) (int64, error)
		Commit(ctx context.Context) error
	}
	CopyFromSource interface{ Next() bool }
)

func (i Identifier) Sanitize() string { return "" }

func (b *Batch) Queue(query string, arguments ...any) {}

func (c *Conn) Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error) {
	return pgconn.CommandTag{}, nil
}
func (c *Conn) Query(ctx context.Context, sql string, args ...any) (Rows, error) { return nil, nil }
func (c *Conn) QueryRow(ctx context.Context, sql string, args ...any) Row        { return nil }
func (c *Conn) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	return nil, nil
}
func (c *Conn) LoadType(ctx context.Context, typeName string) (any, error) { return nil, nil }

func BeginFunc(ctx context.Context, db any, fn func(Tx) error) error { return nil }
