package integration

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgproxy"
	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

// The server crashes, and recovers, in the middle of a run: the run ends with an error that asks for another try, and
// that comes to the same end as one without a crash.
func TestServerCrashesInTheMiddle(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{})
	database := func(name string) *pgtest.DB {
		url, err := server.CreateDatabase(t.Context(), name, "")
		require.NoError(t, err)
		return &pgtest.DB{Name: name, URL: url, Server: server}
	}
	files := history(twelve...)
	whole := database("whole")
	up(t, whole.URL, files, migrate.Options{})
	want := pgtest.Dump(t, whole)
	for _, n := range []int64{14, 38} {
		db := database(fmt.Sprintf("crash_%d", n))
		crashed := false
		require.True(t, cutAt(t, db, files, &pgproxy.Cut{
			At: func(at int64, _ []byte) bool { return at == n },
			Then: func() {
				crashed = server.Kill(context.Background()) == nil
			},
		}))
		require.True(t, crashed)
		require.NoError(t, server.Restart(t.Context()))
		convergesTo(t, db, files, want, 12, fmt.Sprintf("crash at message %d", n))
	}
}
