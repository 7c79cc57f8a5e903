//go:build docker

package docker

import (
	"context"
	"os"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgserver"
)

// TestStart needs a container engine and an image: `make test-docker`.
func TestStart(t *testing.T) {
	major := pgserver.DefaultMajor
	if set := os.Getenv("PAWL_TEST_MAJOR"); set != "" {
		var err error
		major, err = strconv.Atoi(set)
		require.NoError(t, err)
	}
	c, err := Start(t.Context(), pgserver.Request{Major: major, Settings: map[string]string{"work_mem": "5MB"}, Password: "secret"})
	require.NoError(t, err)
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			require.NoError(t, c.Stop(context.Background()))
		}
	})
	conn, err := pgx.Connect(t.Context(), c.URL)
	require.NoError(t, err)
	var memory string
	require.NoError(t, conn.QueryRow(t.Context(), "show work_mem").Scan(&memory))
	require.Equal(t, "5MB", memory)
	require.NoError(t, conn.Close(t.Context()))
	require.NoError(t, c.Stop(t.Context()))
	stopped = true
	_, err = pgx.Connect(t.Context(), c.URL)
	require.Error(t, err)
}
