package migrate

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// PostgreSQL 13 answers so to the settings of a session; a mistake in the user's own parameters is told as it is.
func TestServerIsTooOld(t *testing.T) {
	t.Parallel()
	config, err := pgx.ParseConfig("postgres://postgres@localhost:5432/app")
	require.NoError(t, err)
	for message, want := range map[string]string{
		`unrecognized configuration parameter "client_connection_check_interval"`: "the server at localhost:5432 is older than PostgreSQL 14",
		`unrecognized configuration parameter "idle_session_timeout"`:             "the server at localhost:5432 is older than PostgreSQL 14",
		`unrecognized configuration parameter "search_pat"`:                       `unrecognized configuration parameter "search_pat"`,
	} {
		got := connectError(t.Context(), config, &pgconn.PgError{Code: "42704", Message: message})
		require.ErrorContains(t, got, want)
		require.ErrorAs(t, got, new(*ConfigError))
	}
}
