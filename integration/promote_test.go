package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgproxy"
	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

// The primary dies in the middle of a run, and its standby is promoted: pawl refuses it before, and comes to the same end on it after,
// wherever the log broke off. Nothing is applied twice, and nothing is taken for applied that the standby never got.
func TestStandbyIsPromotedInTheMiddle(t *testing.T) {
	t.Parallel()
	files := history(twelve...)
	whole := pgtest.Database(t)
	up(t, whole.URL, files, migrate.Options{})
	want := pgtest.Dump(t, whole)
	for _, n := range []int64{20, 36, 46, 56} {
		t.Run(fmt.Sprintf("at message %d", n), func(t *testing.T) {
			t.Parallel()
			primary := pgtest.Private(t, pgserver.Options{Major: whole.Server.Major})
			url, err := primary.CreateDatabase(t.Context(), "fleet", "")
			require.NoError(t, err)
			standby, err := primary.Standby(t.Context())
			require.NoError(t, err)
			killed := false
			require.True(t, cutAt(t, &pgtest.DB{Name: "fleet", URL: url, Server: primary}, files, &pgproxy.Cut{
				At:   func(at int64, _ []byte) bool { return at == n },
				Then: func() { killed = primary.Kill(context.Background()) == nil },
			}))
			require.True(t, killed)

			db := &pgtest.DB{Name: "fleet", URL: standby.URL("fleet"), Server: standby}
			var config *migrate.ConfigError
			_, err = migrator(t, db.URL, files, migrate.Options{}).Migrate(t.Context())
			require.ErrorAs(t, err, &config)
			require.ErrorContains(t, err, "standby")
			// Who waits inside of PostgreSQL for the promotion would hold a snapshot that the log may be in conflict with.
			db.Exec(t, "select pg_promote(false)")
			require.Eventually(t, func() bool { return !pgtest.Value[bool](t, db, "select pg_is_in_recovery()") }, time.Minute, 20*time.Millisecond)
			t.Logf("%d of 12 are applied as the standby takes over", pgtest.Value[int64](t, db, "select count(*) from pawl.migration where state = 'applied'"))
			convergesTo(t, db, files, want, 12, fmt.Sprintf("promoted at message %d", n))
			require.Empty(t, up(t, db.URL, files, migrate.Options{}).Applied)
		})
	}
}
