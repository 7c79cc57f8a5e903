package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/parse"
)

// oldStatements are what deployed code sends to the registry's fixture. Each works before; whatever an expand leaves
// standing works after.
var oldStatements = []string{
	"SELECT id, a, b, c, n, at, w FROM t WHERE id = 1",
	"SELECT * FROM t WHERE id = 2",
	"INSERT INTO t (id, w) VALUES (9001, 'w')",
	"INSERT INTO t (id, a, b, c, n, at, w) VALUES (9002, 5, 'b', 'c', 1.5, '2024-01-01', 'w')",
	"INSERT INTO t (id, a, w) VALUES (1, 1, 'w') ON CONFLICT (id) DO UPDATE SET a = 3",
	"UPDATE t SET a = 7, b = 'x', c = 'y' WHERE id = 2",
	"DELETE FROM t WHERE id = 1900",
	"SELECT id, t_id FROM child WHERE t_id = 1",
	"INSERT INTO child (id, t_id) VALUES (9001, 2)",
	"SELECT id, t_id, x FROM lone WHERE id = 1",
	"INSERT INTO lone (id, t_id, x) VALUES (9001, 5, 5)",
	"UPDATE lone SET x = 1 WHERE id = 3",
	"DELETE FROM lone WHERE id = 4",
	"SELECT id, day, v FROM parted WHERE id = 1",
	"INSERT INTO parted (id, day, v) VALUES (1, '2024-05-05', 1)",
	"UPDATE parted SET v = 2 WHERE id = 1",
	"SELECT id, day, v FROM parted_24 LIMIT 1",
}

// TestEffects runs every row of the registry on the server: PostgreSQL itself says which locks the example takes, what
// it rewrites and scans, whether it runs inside a transaction, and which old statements fail after it.
func TestEffects(t *testing.T) {
	t.Parallel()
	pgtest.EachMajor(t, func(t *testing.T, major int) {
		fixture := func(ctx context.Context, url string) error {
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				return err
			}
			defer conn.Close(ctx)
			_, err = conn.Exec(ctx, phases.Fixture+`DO 'BEGIN CREATE ROLE pawl_other; EXCEPTION WHEN duplicate_object THEN NULL; END'`)
			return err
		}
		// A row that leaves nothing behind takes its turn in one database; the others get one each.
		turns := make(chan string, 1)
		turns <- pgtest.TemplateOf(t, major, "effects", fixture).URL
		for _, d := range phases.Descriptors() {
			if d.Manual != "" || d.Since > major {
				continue
			}
			t.Run(string(d.Kind), func(t *testing.T) {
				t.Parallel()
				if d.Setup == "" && !d.Effect.NoTx {
					url := <-turns
					defer func() { turns <- url }()
					effectOf(t, url, major, d)
					return
				}
				effectOf(t, pgtest.TemplateOf(t, major, "effects", fixture).URL, major, d)
			})
		}
	})
}

func effectOf(t *testing.T, url string, major int, d phases.Descriptor) {
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	if d.Setup != "" && !strings.HasPrefix(d.Setup, "PREPARE") {
		_, err = conn.Exec(t.Context(), d.Setup)
		require.NoError(t, err, "setup")
	}
	want := assessed(d, major)
	before := tables(t, conn)
	broken := statementsThatWork(t, conn, d)

	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	if strings.HasPrefix(d.Setup, "PREPARE") {
		_, err = tx.Exec(t.Context(), d.Setup)
		require.NoError(t, err)
	}
	scans := scanCounts(t, tx, before)
	_, err = tx.Exec(t.Context(), d.Example)
	if want.noTx {
		var pe *pgconn.PgError
		require.True(t, errors.As(err, &pe), "PostgreSQL ran it inside a transaction")
		require.Contains(t, []string{"25001", "2D000", "0A000"}, pe.Code, pe.Message)
		require.NoError(t, tx.Rollback(t.Context()))
		outside(t, conn, d, before, want)
		return
	}
	require.NoError(t, err, "the example")
	require.Equal(t, want.locks, locks(t, tx, before), "locks")
	rewritten := false
	for oid, node := range nodes(t, tx, before) {
		rewritten = rewritten || before[oid].node != node && before[oid].node != 0
	}
	require.Equal(t, want.rewrite, rewritten, "rewrite")
	// ANALYZE reads a sample, which no counter counts.
	if !want.rewrite && d.Kind != "analyze" {
		scanned := []string{}
		for oid, n := range scanCounts(t, tx, before) {
			if n > scans[oid] {
				scanned = append(scanned, before[oid].name)
			}
		}
		require.Equal(t, want.scan, len(scanned) > 0, "scan: %v", scanned)
	}
	compare(t, tx, d, broken)
	require.NoError(t, tx.Rollback(t.Context()))
}

// outside runs what refuses to run in a transaction, and looks at what it left.
func outside(t *testing.T, conn *pgx.Conn, d phases.Descriptor, before map[uint32]table, want expectation) {
	_, err := conn.Exec(t.Context(), d.Example)
	require.NoError(t, err, "the example, outside a transaction")
	rewritten := false
	for oid, node := range nodes(t, conn, before) {
		rewritten = rewritten || before[oid].node != node && before[oid].node != 0
	}
	require.Equal(t, want.rewrite, rewritten, "rewrite")
	if d.Breaks != "" {
		_, err = conn.Exec(t.Context(), d.Breaks)
		require.Error(t, err, "the old statement still works: %s", d.Breaks)
	}
}

// expectation is what pawl says of an example.
type expectation struct {
	locks               map[string]string
	rewrite, scan, noTx bool
}

func assessed(d phases.Descriptor, major int) expectation {
	catalog := phases.NewCatalog(major)
	catalog.Assess(parse.File("0001_setup.sql", []byte(phases.Fixture+d.Setup)))
	a := catalog.Assess(parse.File("0002_case.sql", []byte(d.Example)))
	e := expectation{locks: map[string]string{}, noTx: !a.Transactional}
	strongest := map[string]phases.Lock{}
	for _, s := range a.Statements {
		for _, op := range s.Operations {
			e.rewrite = e.rewrite || op.Effect.Rewrite
			e.scan = e.scan || op.Effect.Scan
			for _, l := range op.Locks {
				strongest[l.Relation] = max(strongest[l.Relation], l.Mode)
			}
		}
	}
	for name, mode := range strongest {
		// Weaker locks hinder nobody, and the planner takes some that no rule foretells.
		if mode >= phases.ShareUpdateExclusive {
			e.locks[name] = mode.String()
		}
	}
	return e
}

type table struct {
	name string
	node uint32
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

const userTables = `select c.oid, n.nspname || '.' || c.relname, c.relfilenode from pg_class c join pg_namespace n on n.oid = c.relnamespace
	where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c')`

func tables(t *testing.T, q querier) map[uint32]table {
	out := map[uint32]table{}
	rows, err := q.Query(t.Context(), userTables)
	require.NoError(t, err)
	var oid, node uint32
	var name string
	_, err = pgx.ForEachRow(rows, []any{&oid, &name, &node}, func() error {
		out[oid] = table{name, node}
		return nil
	})
	require.NoError(t, err)
	return out
}

// nodes gives the files of the tables that were there before; sequences and views have none that matters.
func nodes(t *testing.T, q querier, before map[uint32]table) map[uint32]uint32 {
	out := map[uint32]uint32{}
	rows, err := q.Query(t.Context(), "select oid, relfilenode from pg_class where relkind in ('r', 'm')")
	require.NoError(t, err)
	var oid, node uint32
	_, err = pgx.ForEachRow(rows, []any{&oid, &node}, func() error {
		if _, ok := before[oid]; ok {
			out[oid] = node
		}
		return nil
	})
	require.NoError(t, err)
	return out
}

func scanCounts(t *testing.T, q querier, before map[uint32]table) map[uint32]int64 {
	out := map[uint32]int64{}
	rows, err := q.Query(t.Context(), "select oid, pg_stat_get_xact_numscans(oid) from pg_class where relkind in ('r', 'm')")
	require.NoError(t, err)
	var oid uint32
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&oid, &n}, func() error {
		if _, ok := before[oid]; ok {
			out[oid] = n
		}
		return nil
	})
	require.NoError(t, err)
	return out
}

func locks(t *testing.T, q querier, before map[uint32]table) map[string]string {
	strongest := map[string]phases.Lock{}
	rows, err := q.Query(t.Context(), "select relation, mode from pg_locks where pid = pg_backend_pid() and locktype = 'relation' and granted and relation is not null")
	require.NoError(t, err)
	var oid uint32
	var mode string
	_, err = pgx.ForEachRow(rows, []any{&oid, &mode}, func() error {
		if b, ok := before[oid]; ok {
			strongest[b.name] = max(strongest[b.name], lockOf(mode))
		}
		return nil
	})
	require.NoError(t, err)
	out := map[string]string{}
	for name, mode := range strongest {
		if mode >= phases.ShareUpdateExclusive {
			out[name] = mode.String()
		}
	}
	return out
}

// lockOf turns pg_locks' spelling (ShareRowExclusiveLock) into a mode.
func lockOf(mode string) phases.Lock {
	for l := phases.AccessShare; l <= phases.AccessExclusive; l++ {
		if strings.EqualFold(strings.ReplaceAll(l.String(), " ", "")+"lock", mode) {
			return l
		}
	}
	panic(fmt.Sprintf("lock mode %q", mode))
}

// statementsThatWork gives the old statements that work before the example.
func statementsThatWork(t *testing.T, conn *pgx.Conn, d phases.Descriptor) []string {
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	var out []string
	for _, s := range oldStatements {
		if try(t, tx, s) == nil {
			out = append(out, s)
		}
	}
	if d.Breaks != "" && d.Kind != "drop_publication" {
		require.NoError(t, try(t, tx, d.Breaks), "the old statement does not work before either")
	}
	return out
}

// try runs a statement and takes it back.
func try(t *testing.T, tx pgx.Tx, sql string) error {
	sub, err := tx.Begin(t.Context())
	require.NoError(t, err)
	_, failure := sub.Exec(t.Context(), sql)
	require.NoError(t, sub.Rollback(t.Context()))
	return failure
}

// compare holds the phase against the old statements: a contract breaks one, an expand or backfill none.
func compare(t *testing.T, tx pgx.Tx, d phases.Descriptor, worked []string) {
	if d.Phase == phases.Contract {
		if d.Breaks != "" {
			require.Error(t, try(t, tx, d.Breaks), "the old statement still works: %s", d.Breaks)
		}
		return
	}
	if d.Phase == phases.Unknown || d.Kind == "drop_dependent_quietly" {
		return
	}
	for _, s := range worked {
		require.NoError(t, try(t, tx, s), "an old statement fails after what is no contract: %s", s)
	}
}
