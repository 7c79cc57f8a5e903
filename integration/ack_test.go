package integration

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/gate"
)

// An acknowledgement that ends, or is taken back, between the decision and the commit counts no longer.
func TestAcknowledgementEndsBeforeTheCommit(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, context.Context, *migrate.Migrator, gate.Acknowledgement){
		"taken back": func(t *testing.T, ctx context.Context, m *migrate.Migrator, a gate.Acknowledgement) {
			require.NoError(t, m.RevokeAcknowledgement(ctx, a.ID, "it is needed", ""))
		},
		"over": func(_ *testing.T, ctx context.Context, _ *migrate.Migrator, a gate.Acknowledgement) {
			select {
			case <-ctx.Done():
			case <-time.After(time.Until(a.Until) + 50*time.Millisecond):
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, files := dropsEmail(t)
			m := migrator(t, db.URL, files, migrate.Options{})
			require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r1", "select email from users")))
			given := gate.Acknowledgement{Object: "users.email", Consumer: "api", Broken: true, Reason: "the page is off"}
			lasts := time.Hour
			if name == "over" {
				lasts = 2 * time.Second
			}
			a, err := m.Acknowledge(t.Context(), given, lasts, "alice")
			require.NoError(t, err)
			p, _, err := m.Plan(t.Context())
			require.NoError(t, err)
			require.Empty(t, p.Held, "it counts")

			late := migrator(t, db.URL, files, migrate.Options{OnEvent: func(e migrate.Event) {
				if s, ok := e.(migrate.Started); ok && s.Migration.Version == "3" {
					end(t, context.WithoutCancel(t.Context()), m, a)
				}
			}})
			r, err := late.Migrate(t.Context())
			require.NoError(t, err)
			require.Equal(t, []string{"0003_drop_email.sql"}, heldNames(r.Held))
			require.True(t, hasEmail(t, db))
		})
	}
}
