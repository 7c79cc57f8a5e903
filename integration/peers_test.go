package integration

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/peers"
	"github.com/bitvault/pawl/internal/pgtest"
)

// The other tools apply the files that peers.Tool.File writes for them.
func TestPeersApplyTheirFiles(t *testing.T) {
	t.Parallel()
	for _, tool := range peers.All() {
		t.Run(tool.Name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Database(t)
			runPeer(t, tool, peerFiles(t, tool, "create table a (id int);", "create table b (id int);"), db.URL)
			require.True(t, pgtest.Value[bool](t, db, `select to_regclass('a') is not null and to_regclass('b') is not null`))
		})
	}
}

// peerFiles writes migrations as a tool reads them.
func peerFiles(t testing.TB, tool peers.Tool, ups ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i, up := range ups {
		name, text := tool.File(i+1, "step", up)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

// runPeer applies a directory by another tool.
func runPeer(t testing.TB, tool peers.Tool, dir, url string) {
	t.Helper()
	program, err := tool.Build(t.Context())
	require.NoError(t, err)
	out, err := tool.Up(t.Context(), program, dir, url).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
