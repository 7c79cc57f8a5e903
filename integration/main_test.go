package integration

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgserver/docker"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(workerURL); url != "" {
		backfillWorker(url)
		return
	}
	if url := os.Getenv(killURL); url != "" {
		killedRunner(url)
		return
	}
	pgtest.MainWith(m, pgserver.Options{Container: docker.Start})
}

// history is a directory of migrations in memory: file names and texts by turns.
func history(pairs ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		files[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return files
}

// example gives the example's migrations up to a version.
func example(t testing.TB, last string) fstest.MapFS {
	t.Helper()
	root := filepath.Join("..", "testdata", "examples", "bitvault", "migrations")
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	files := fstest.MapFS{}
	for _, e := range entries {
		if e.Name() > last+"~" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(root, e.Name()))
		require.NoError(t, err)
		files[e.Name()] = &fstest.MapFile{Data: data}
	}
	return files
}

func migrator(t testing.TB, url string, files fstest.MapFS, o migrate.Options) *migrate.Migrator {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	return migrate.New(config, files, o)
}

// up migrates and expects success.
func up(t testing.TB, url string, files fstest.MapFS, o migrate.Options) migrate.Result {
	t.Helper()
	r, err := migrator(t, url, files, o).Migrate(context.Background())
	require.NoError(t, err)
	return r
}

// names lists the migrations of a result's steps.
func names(steps []migrate.Step) []string {
	list := []string{}
	for _, s := range steps {
		list = append(list, s.Migration.Name)
	}
	return list
}

func heldNames(held []migrate.Held) []string {
	list := []string{}
	for _, h := range held {
		list = append(list, h.Migration.Name)
	}
	return list
}
