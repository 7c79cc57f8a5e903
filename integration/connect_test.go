package integration

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

func TestWrongPasswordAndDatabase(t *testing.T) {
	t.Parallel()
	const secret = "correct-horse"
	server := pgtest.Private(t, pgserver.Options{Password: secret})
	good := server.URL("postgres")
	require.Contains(t, good, secret)
	files := history("0001_a.sql", "create table a (id int);")

	wrong := strings.Replace(good, secret, "battery-staple", 1)
	_, err := migrator(t, wrong, files, migrate.Options{}).Migrate(t.Context())
	var config *migrate.ConfigError
	require.ErrorAs(t, err, &config)
	require.Contains(t, err.Error(), `does not let role "postgres" in`)
	require.NotContains(t, err.Error()+config.Hint, "battery-staple")

	u, err := url.Parse(good)
	require.NoError(t, err)
	u.Path = "/nowhere"
	_, err = migrator(t, u.String(), files, migrate.Options{}).Migrate(t.Context())
	require.ErrorAs(t, err, &config)
	require.Contains(t, err.Error(), `database "nowhere" does not exist`)
	require.Contains(t, config.Hint, "create it first")
	require.NotContains(t, err.Error()+config.Hint, secret)

	_, err = migrator(t, strings.Replace(good, "sslmode=disable", "sslmode=require", 1), files, migrate.Options{}).Migrate(t.Context())
	require.ErrorAs(t, err, &config, "trying again does not give the server TLS")
	require.Contains(t, config.Hint, "sslmode")

	up(t, good, files, migrate.Options{})
}

// A standby is refused for writing, and good enough for looking.
func TestStandbyIsRefused(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{})
	files := history("0001_a.sql", "create table a (id int);")
	up(t, server.URL("postgres"), files, migrate.Options{})
	standby, err := server.Standby(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, standby.Stop()) })

	_, err = migrator(t, standby.URL("postgres"), files, migrate.Options{}).Migrate(t.Context())
	var config *migrate.ConfigError
	require.ErrorAs(t, err, &config)
	require.Contains(t, err.Error(), "is a standby")
	require.Contains(t, config.Hint, "primary")

	require.Eventually(t, func() bool {
		s, err := migrator(t, standby.URL("postgres"), files, migrate.Options{}).Status(t.Context())
		return err == nil && len(s.Files) == 1 && s.Files[0].State == "applied"
	}, 20*time.Second, 50*time.Millisecond)
}
