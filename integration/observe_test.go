package integration

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/refs"
)

func explains(m *evidence.Manifest) func(string) bool { return refs.NewExplainer(m).Explains }

// What a consumer's role was seen to send and no manifest has makes its manifests partial; what is seen never allows
// anything. Resets and evictions are noticed.
func TestObserve(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{Settings: map[string]string{
		"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.max": "100",
	}})
	url, err := server.CreateDatabase(t.Context(), "observed", "")
	require.NoError(t, err)
	db := &pgtest.DB{Name: "observed", URL: url, Server: server}
	files := history("0001_users.sql", "create table users (id bigint primary key, email text, name text);")
	o := migrate.Options{Roles: map[string][]string{"api": {"api_app"}}}
	m := migrator(t, url, files, o)
	_, err = m.Observe(t.Context(), explains)
	var missing *migrate.ConfigError
	require.ErrorAs(t, err, &missing)
	require.Contains(t, missing.Hint, "create extension")

	db.Exec(t, "create extension if not exists pg_stat_statements; create role api_app login; create role bi login; create role other login")
	_, err = m.Migrate(t.Context())
	if err != nil {
		_, err = m.Baseline(t.Context(), "1")
		require.NoError(t, err)
	}
	db.Exec(t, "create table if not exists users (id bigint primary key, email text, name text); grant select on users to api_app, bi")
	require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r1", "select name from users where id = $1")))
	require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.LiveNow, ""))
	files["0002_drop.sql"] = &fstest.MapFile{Data: []byte("alter table users drop column email;")}
	send := func(role string, texts ...string) {
		t.Helper()
		config, err := pgx.ParseConfig(url)
		require.NoError(t, err)
		config.User = role
		conn, err := pgx.ConnectConfig(t.Context(), config)
		require.NoError(t, err)
		for _, text := range texts {
			_, err := conn.Exec(t.Context(), text)
			require.NoError(t, err)
		}
		require.NoError(t, conn.Close(t.Context()))
	}

	// What the manifest has, with other constants, is explained; so are the session's own commands.
	send("api_app", "begin", "select name from users where id = 17", "select name\nfrom users where id = 4", "commit", "select 1 from pg_class")
	seen, err := m.Observe(t.Context(), explains)
	require.NoError(t, err)
	require.Empty(t, seen.Unexplained)
	require.Contains(t, strings.Join(seen.Problems, "; "), "track is top")
	p, _, err := m.Plan(t.Context())
	require.NoError(t, err)
	require.Empty(t, p.Held)
	require.Equal(t, gate.Possible, p.Steps[0].Decision.Verdict, "a stranger is told, and does not hold by default")
	require.Equal(t, "role:bi", p.Steps[0].Decision.Findings[0].Consumer)
	require.Contains(t, p.Steps[0].Decision.Findings[0].Message, "role bi may read public.users and belongs to no consumer")
	require.Len(t, p.Steps[0].Decision.Findings, 1, "a role that cannot touch it is not named")

	// Strictly, it holds, until its consumer is known, or somebody answers for it.
	strict := o
	strict.Policy.EnforceRoles = true
	p, _, err = migrator(t, url, files, strict).Plan(t.Context())
	require.NoError(t, err)
	require.Len(t, p.Held, 1)
	require.Equal(t, gate.Unknown, p.Held[0].Decision.Verdict)
	a, err := m.Acknowledge(t.Context(), gate.Acknowledgement{Object: "users.email", Consumer: "role:bi", Reason: "reads names only"}, 1e12, "alice")
	require.NoError(t, err)
	p, _, err = migrator(t, url, files, strict).Plan(t.Context())
	require.NoError(t, err)
	require.Empty(t, p.Held)
	require.NoError(t, m.RevokeAcknowledgement(t.Context(), a.ID, "test", ""))
	require.NoError(t, m.SetRoles(t.Context(), "reports", []string{"bi"}))
	p, _, err = migrator(t, url, files, strict).Plan(t.Context())
	require.NoError(t, err)
	require.Empty(t, p.Held)

	// What no manifest has makes api's partial, although it does not name the column.
	send("api_app", "select count(*) from users where name = 'x'")
	seen, err = m.Observe(t.Context(), explains)
	require.NoError(t, err)
	require.Len(t, seen.Unexplained, 1)
	require.Equal(t, "api", seen.Unexplained[0].Consumer)
	p, _, err = m.Plan(t.Context())
	require.NoError(t, err)
	require.Len(t, p.Held, 1)
	require.Contains(t, p.Held[0].Decision.Findings[0].Message, "role api_app was seen on")
	require.Contains(t, p.Held[0].Decision.Findings[0].Message, "select count(*) from users where name = $1")

	// A release that came later is not blamed for it; nor is anybody once the manifest has it.
	require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r2", "select name from users where id = $1")))
	require.NoError(t, m.RecordRelease(t.Context(), "api", "r2", gate.LiveNow, ""))
	require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.Retired, "gone"))
	p, _, err = m.Plan(t.Context())
	require.NoError(t, err)
	require.Empty(t, p.Held)
	send("api_app", "select count(*) from users where name = 'y'")
	_, err = m.Observe(t.Context(), explains)
	require.NoError(t, err)
	p, _, err = m.Plan(t.Context())
	require.NoError(t, err)
	require.Len(t, p.Held, 1, "it was sent again since")
	require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r2", "select count(*) from users where name = $1")))
	_, err = m.Observe(t.Context(), explains)
	require.NoError(t, err)
	p, _, err = m.Plan(t.Context())
	require.NoError(t, err)
	require.Empty(t, p.Held)

	// Evictions and resets.
	var many []string
	for i := range 300 {
		many = append(many, "select 1"+strings.Repeat(", 1", i))
	}
	send("other", many...)
	seen, err = m.Observe(t.Context(), explains)
	require.NoError(t, err)
	require.Contains(t, strings.Join(seen.Problems, "; "), "statements were evicted")
	require.Contains(t, seen.Strangers, "other")
	db.Exec(t, "select pg_stat_statements_reset()")
	seen, err = m.Observe(t.Context(), explains)
	require.NoError(t, err)
	require.Contains(t, strings.Join(seen.Problems, "; "), "the statistics were reset on")
	require.Equal(t, int64(6), pgtest.Value[int64](t, db, "select count(*) from pawl.observation"))
}
