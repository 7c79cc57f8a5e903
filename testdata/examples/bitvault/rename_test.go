package bitvault_test

import (
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// pawl is the command line's library on the example's migrations up to a version, deploying a release.
func pawl(t *testing.T, url, last, release string) *migrate.Migrator {
	t.Helper()
	files := fstest.MapFS{}
	for _, m := range migrations(t) {
		if m.version() <= last {
			files[m.name+".sql"] = &fstest.MapFile{Data: []byte(m.text)}
		}
	}
	o := migrate.Options{}
	for _, consumer := range consumers {
		if release == "" {
			break
		}
		m, err := evidence.ReadManifest(filepath.Join("releases", release, consumer+".refs.json"))
		require.NoError(t, err)
		o.Manifests = append(o.Manifests, m)
	}
	config, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	return migrate.New(config, files, o)
}

func deploy(t *testing.T, m *migrate.Migrator) []string {
	t.Helper()
	r, err := m.Migrate(t.Context())
	require.NoError(t, err)
	var held []string
	for _, h := range r.Held {
		held = append(held, h.Migration.Name[:4])
	}
	return held
}

func record(t *testing.T, m *migrate.Migrator, release string, kind gate.EventKind) {
	t.Helper()
	for _, consumer := range consumers {
		require.NoError(t, m.RecordRelease(t.Context(), consumer, release, kind, "the test"))
	}
}

// TestRenameUnderLoad takes users.email to its new name by pawl alone, from the first expand to the contract, with two
// releases at work throughout: no statement of theirs fails.
func TestRenameUnderLoad(t *testing.T) {
	t.Parallel()
	conn, url := connect(t)
	bin := build(t)
	m := pawl(t, url, "0004", "r1")
	require.Empty(t, deploy(t, m))
	record(t, m, "r1", gate.LiveNow)
	seed(t, conn)
	_, err := conn.Exec(t.Context(), `insert into users (email, display_name) select 'filler' || g || '@example.com', 'Filler' from generate_series(1, 20000) g`)
	require.NoError(t, err)

	r1 := start(t, bin, "r1", url)
	traffic := drive(t, [2]*deployment{r1, r1}, [2]*deployment{r1, r1})
	m = pawl(t, url, "0013", "r2")
	require.Empty(t, deploy(t, m))
	_, err = m.RunBackfills(t.Context(), migrate.BackfillRun{UntilDone: true})
	require.NoError(t, err)
	traffic.stop(t)
	r2 := start(t, bin, "r2", url)
	record(t, m, "r2", gate.LiveNow)

	traffic = drive(t, [2]*deployment{r1, r2}, [2]*deployment{r2, r1})
	m = pawl(t, url, "0021", "r3")
	require.Contains(t, deploy(t, m), "0021")
	traffic.stop(t)
	r3 := start(t, bin, "r3", url)
	record(t, m, "r3", gate.LiveNow)
	inStep(t, conn)

	r1.stop(t)
	record(t, m, "r1", gate.Retired)
	traffic = drive(t, [2]*deployment{r2, r3}, [2]*deployment{r3, r2})
	// r1 has made vaults without a quota since the backfill was done.
	_, err = m.RunBackfills(t.Context(), migrate.BackfillRun{Version: "13", Again: true, UntilDone: true})
	require.NoError(t, err)
	require.Empty(t, deploy(t, m))
	traffic.stop(t)
	var gone bool
	require.NoError(t, conn.QueryRow(t.Context(), `select not exists (select from pg_attribute where attrelid = 'users'::regclass and attname = 'email')`).Scan(&gone))
	require.True(t, gone)
	r2.stop(t)
	r3.stop(t)
}
