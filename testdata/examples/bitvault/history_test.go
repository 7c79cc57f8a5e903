package bitvault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
)

type migration struct {
	name, text string
}

func (m migration) version() string { return m.name[:4] }

func migrations(t *testing.T) []migration {
	t.Helper()
	paths, err := filepath.Glob("migrations/*.sql")
	require.NoError(t, err)
	var all []migration
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		all = append(all, migration{strings.TrimSuffix(filepath.Base(path), ".sql"), string(text)})
	}
	return all
}

// apply runs the migrations of the given versions, both included, each in a transaction if it may. A lock that is not
// had within 100 ms is tried for again, as pawl does.
func apply(t *testing.T, conn *pgx.Conn, first, last string) {
	t.Helper()
	for _, m := range migrations(t) {
		if m.version() < first || m.version() > last {
			continue
		}
		text := m.text
		if !strings.Contains(text, " CONCURRENTLY ") {
			text = "BEGIN; SET LOCAL lock_timeout = '100ms';" + text + "; COMMIT"
		}
		require.Eventually(t, func() bool {
			err := run(t.Context(), conn, text)
			if code(err) != "55P03" {
				require.NoError(t, err, m.name)
				return true
			}
			require.NoError(t, run(t.Context(), conn, "ROLLBACK"))
			return false
		}, time.Minute, 150*time.Millisecond, m.name)
	}
}

func seed(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	text, err := os.ReadFile("seed.sql")
	require.NoError(t, err)
	require.NoError(t, run(t.Context(), conn, string(text)))
}

func run(ctx context.Context, conn *pgx.Conn, text string) error {
	_, err := conn.PgConn().Exec(ctx, text).ReadAll()
	return err
}

func connect(t *testing.T) (*pgx.Conn, string) {
	t.Helper()
	url := pgtest.Database(t).URL
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) })
	return conn, url
}

func code(err error) string {
	if pgErr := (*pgconn.PgError)(nil); errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// fails says what of a manifest does not work once change has run: what PostgreSQL does not prepare, does not plan
// (only then does it look for the index behind ON CONFLICT), or refuses to run on the sample rows. It leaves no trace.
func fails(t *testing.T, conn *pgx.Conn, m manifest, change string) []string {
	t.Helper()
	ctx := t.Context()
	var failing []string
	for _, s := range m.Statements {
		tx, err := conn.Begin(ctx)
		require.NoError(t, err)
		require.NoError(t, run(ctx, conn, change))
		if err := works(ctx, conn, s); err != nil {
			failing = append(failing, fmt.Sprintf("%s: %v", strings.Join(strings.Fields(s.Text), " "), err))
		}
		require.NoError(t, tx.Rollback(ctx))
	}
	return failing
}

func works(ctx context.Context, conn *pgx.Conn, s statement) error {
	if strings.HasPrefix(s.Text, "copy ") {
		empty := append([]byte("PGCOPY\n\377\r\n\000"), 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff)
		_, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(empty), s.Text)
		return err
	}
	if err := run(ctx, conn, "DEALLOCATE ALL; SET LOCAL plan_cache_mode = force_generic_plan; PREPARE it AS "+s.Text); err != nil {
		return err
	}
	explain := "EXPLAIN EXECUTE it"
	if n := len(s.Params); n > 0 {
		explain += "(" + strings.TrimSuffix(strings.Repeat("NULL, ", n), ", ") + ")"
	}
	if err := run(ctx, conn, explain); err != nil {
		return err
	}
	for begin, args := range map[string][]any{
		"INSERT INTO users ":  {"new@example.com", "New", "free"},
		"INSERT INTO vaults ": {int64(1), "new", int64(1)},
	} {
		if strings.HasPrefix(s.Text, begin) {
			_, err := conn.Exec(ctx, s.Text, append([]any{pgx.QueryExecModeDescribeExec}, args[:len(s.Params)]...)...)
			return err
		}
	}
	return nil
}

// TestWhichSchemaSuitsWhichRelease applies the history in order and asks PostgreSQL after each migration which releases
// work on it.
func TestWhichSchemaSuitsWhichRelease(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t)
	type interval struct{ from, until string }
	have := map[string]interval{}
	for _, m := range migrations(t) {
		apply(t, conn, m.version(), m.version())
		if m.version() == "0004" {
			seed(t, conn)
		}
		for _, release := range releases {
			for _, consumer := range consumers {
				key := consumer + "@" + release
				i := have[key]
				// The sample rows need users, which come with the seed.
				failing := m.version() < "0004" || len(fails(t, conn, readManifest(t, consumer, release), "")) > 0
				switch {
				case !failing && i.from == "":
					i.from = m.version()
				case failing && i.from != "" && i.until == "":
					i.until = m.version()
				case !failing:
					require.Empty(t, i.until, "%s works again after %s", key, m.name)
				}
				have[key] = i
			}
		}
	}
	want := map[string]interval{}
	for _, row := range tables(t)["consumer"] {
		want[row[0]] = interval{row[1], row[2]}
	}
	require.Equal(t, want, have)
}

// TestWhatEachMigrationBreaks applies each migration that comes after r2's alone to the schema on which all releases
// work, as pawl's gate does, and compares what breaks with the README.
func TestWhatEachMigrationBreaks(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t)
	apply(t, conn, "0001", "0004")
	seed(t, conn)
	apply(t, conn, "0005", "0014")

	for _, release := range releases {
		for _, consumer := range consumers {
			require.Empty(t, fails(t, conn, readManifest(t, consumer, release), ""), "%s@%s", consumer, release)
		}
	}
	for _, row := range tables(t)["migration"] {
		if row[0] < "0015" || row[2] != "contract" {
			continue
		}
		m := migrations(t)[slices.IndexFunc(migrations(t), func(m migration) bool { return m.name == row[0] })]
		var broken []string
		for _, release := range releases {
			for _, consumer := range consumers {
				if len(fails(t, conn, readManifest(t, consumer, release), m.text)) > 0 {
					broken = append(broken, consumer+"@"+release)
				}
			}
		}
		require.Equal(t, row[3], strings.Join(broken, ", "), m.name)
		require.Subset(t, strings.Split(row[4], ", "), broken, m.name)
	}
}

// TestBackfillsAreIdempotent runs each backfill twice on the seed: the first changes rows, the second none.
func TestBackfillsAreIdempotent(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t)
	apply(t, conn, "0001", "0004")
	seed(t, conn)
	for _, m := range migrations(t) {
		if m.version() < "0005" || m.version() > "0013" {
			continue
		}
		if strings.Contains(m.text, "-- pawl:backfill ") {
			tag, err := conn.Exec(t.Context(), m.text)
			require.NoError(t, err, m.name)
			require.Positive(t, tag.RowsAffected(), m.name)
			tag, err = conn.Exec(t.Context(), m.text)
			require.NoError(t, err, m.name)
			require.Zero(t, tag.RowsAffected(), m.name)
			continue
		}
		apply(t, conn, m.version(), m.version())
	}
}
