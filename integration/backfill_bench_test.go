package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

// cost is what a way of moving the rows has cost.
type cost struct {
	took         time.Duration
	wal          int64
	before, heap int64
}

func (c cost) growth() float64 { return 100 * (float64(c.heap)/float64(c.before) - 1) }

func measure(t testing.TB, db *pgtest.DB, move func()) cost {
	t.Helper()
	lsn := func() int64 {
		return pgtest.Value[int64](t, db, `select (pg_current_wal_insert_lsn() - '0/0')::bigint`)
	}
	heap := func() int64 { return pgtest.Value[int64](t, db, `select pg_relation_size('t')`) }
	c := cost{before: heap()}
	begin, start := lsn(), time.Now()
	move()
	c.took, c.wal, c.heap = time.Since(start), lsn()-begin, heap()
	return c
}

// compareBackfill moves the same rows by one UPDATE and by a backfill, on a server as it comes.
func compareBackfill(t testing.TB, rows int, o migrate.BackfillRun) (single, batches cost) {
	t.Helper()
	server := pgtest.Private(t, pgserver.Options{Settings: map[string]string{
		"fsync": "on", "full_page_writes": "on", "shared_buffers": "512MB", "max_wal_size": "4GB", "checkpoint_timeout": "30min",
	}})
	fill := func(name string) *pgtest.DB {
		url, err := server.CreateDatabase(t.Context(), name, "")
		require.NoError(t, err)
		db := &pgtest.DB{Name: name, URL: url, Server: server}
		conn := db.Conn(t)
		_, err = conn.PgConn().Exec(t.Context(), fmt.Sprintf("create table t (id bigint generated always as identity primary key, old text not null, note text not null, new text); insert into t (old, note) select 'user' || g || '@example.com', repeat('n', 30) from generate_series(1, %d) g", rows)).ReadAll()
		require.NoError(t, err)
		db.Exec(t, "vacuum (analyze) t")
		db.Exec(t, "checkpoint")
		return db
	}
	const statement = "update t set new = upper(old) where new is distinct from upper(old)"
	one := fill("single")
	single = measure(t, one, func() { one.Exec(t, statement) })

	many := fill("batches")
	files := history("0001_t.sql", "create table unrelated (id int);")
	_, err := migrator(t, many.URL, files, migrate.Options{}).Baseline(t.Context(), "1")
	require.NoError(t, err)
	files = history("0001_t.sql", "create table unrelated (id int);", "0002_move.sql", "-- pawl:backfill table=t\n"+statement+";")
	up(t, many.URL, files, migrate.Options{})
	many.Exec(t, "checkpoint")
	o.UntilDone = true
	batches = measure(t, many, func() { drain(t, many, files, o) })
	require.Equal(t, int64(rows), pgtest.Value[int64](t, many, `select count(*) from t where new = upper(old)`))
	return single, batches
}

// BenchmarkBackfill prints what a backfill of a million rows costs, beside a single UPDATE of the same rows.
func BenchmarkBackfill(b *testing.B) {
	const rows = 1_000_000
	for b.Loop() {
		single, batches := compareBackfill(b, rows, migrate.BackfillRun{})
		for name, c := range map[string]cost{"update": single, "backfill": batches} {
			b.ReportMetric(rows/c.took.Seconds(), name+"-rows/s")
			b.ReportMetric(float64(c.wal)/(1<<20), name+"-WAL-MB")
			b.ReportMetric(c.growth(), name+"-heap-growth-%")
			b.Logf("%-8s %8.0f rows/s  %6.1f s  WAL %4.0f MB  heap %4.0f MB, %+.0f%%", name, rows/c.took.Seconds(), c.took.Seconds(),
				float64(c.wal)/(1<<20), float64(c.heap)/(1<<20), c.growth())
		}
		b.ReportMetric(batches.took.Seconds()/single.took.Seconds(), "times-slower")
	}
}

// A backfill costs little more log than one UPDATE, and VACUUM in between keeps the table from doubling.
func TestBackfillCosts(t *testing.T) {
	t.Parallel()
	const rows = 200_000
	single, batches := compareBackfill(t, rows, migrate.BackfillRun{})
	t.Logf("update %s, WAL %d MB, heap %+.0f%%; backfill %s, WAL %d MB, heap %+.0f%%", single.took, single.wal>>20, single.growth(),
		batches.took, batches.wal>>20, batches.growth())
	require.Greater(t, single.growth(), 100.0, "one UPDATE doubles the table, or this compares nothing")
	require.LessOrEqual(t, batches.growth(), 35.0)
	require.LessOrEqual(t, float64(batches.wal), 420.0*(1<<20)*rows/1_000_000)
}
