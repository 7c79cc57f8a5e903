package integration

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// The example's r1 comes back by a git revert after r3's contracts: each consumer is refused by what it needs, with the
// migration and the date, and nothing is written but the refusal. r2, within its window, was never allowed to break.
func TestRevertOfTheExample(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "testdata", "examples", "bitvault")
	db := pgtest.Database(t)
	consumers := []string{"gateway", "bitvaultd", "worker"}
	of := func(release, consumer string) *evidence.Manifest {
		m, err := evidence.ReadManifest(filepath.Join(root, "releases", release, consumer+".refs.json"))
		require.NoError(t, err)
		return m
	}
	for _, d := range []struct{ release, last string }{{"r1", "0004"}, {"r2", "0013"}, {"r3", "9999"}} {
		var o migrate.Options
		for _, c := range consumers {
			o.Manifests = append(o.Manifests, of(d.release, c))
		}
		m := migrator(t, db.URL, example(t, d.last), o)
		_, err := m.Migrate(t.Context())
		require.NoError(t, err)
		for _, c := range consumers {
			require.NoError(t, m.RecordRelease(t.Context(), c, d.release, gate.LiveNow, ""))
		}
	}
	m := migrator(t, db.URL, example(t, "9999"), migrate.Options{})
	for _, c := range consumers {
		require.NoError(t, m.RecordRelease(t.Context(), c, "r1", gate.Retired, "its window is over"))
	}
	r, err := m.Migrate(t.Context())
	require.NoError(t, err)
	require.Contains(t, names(r.Applied), "0021_drop_users_email.sql")
	require.Equal(t, []string{"0022_drop_files_content_columns.sql", "0023_drop_users_legacy_plan.sql"}, heldNames(r.Held))

	before := pgtest.Dump(t, db)
	events := pgtest.Value[int64](t, db, `select count(*) from pawl.release_event`)
	for consumer, want := range map[string]string{
		"gateway": "gateway@r1 references users.email, dropped by 0021_drop_users_email on 20",
		"worker":  "worker@r1 references users.email, dropped by 0021_drop_users_email on 20",
	} {
		_, err := migrator(t, db.URL, example(t, "0004"), migrate.Options{Manifests: []*evidence.Manifest{of("r1", consumer)}}).Migrate(t.Context())
		var unfit *migrate.UnfitError
		require.ErrorAs(t, err, &unfit, consumer)
		require.Contains(t, unfit.Error(), want)
		require.Contains(t, unfit.Error(), "roll forward")
		require.Contains(t, unfit.Hint(), consumer+"/")
		require.True(t, unfit.Dropped())
		require.Equal(t, consumer, pgtest.Value[string](t, db, `select detail ->> 'consumer' from pawl.event where kind = 'refused' order by id desc limit 1`))
	}
	require.Equal(t, before, pgtest.Dump(t, db))
	require.Equal(t, events, pgtest.Value[int64](t, db, `select count(*) from pawl.release_event`), "a refused release holds back no contract")

	// r2 may come back, with its own directory.
	var o migrate.Options
	for _, c := range consumers {
		o.Manifests = append(o.Manifests, of("r2", c))
	}
	_, err = migrator(t, db.URL, example(t, "0013"), o).Migrate(t.Context())
	require.NoError(t, err)
	config, err := pgx.ParseConfig(db.URL)
	require.NoError(t, err)
	v, err := migrate.Verify(t.Context(), config, o.Manifests, migrate.VerifyOptions{})
	require.NoError(t, err)
	require.Empty(t, v.Doubtful)
	require.Greater(t, v.Statements, 30)
}

// A release that the pending expands do not make fit is refused after them and before the first contract, and what it
// recorded of itself holds back nothing.
func TestRefusedAfterTheExpands(t *testing.T) {
	t.Parallel()
	db, files := dropsEmail(t)
	m := migrator(t, db.URL, files, migrate.Options{})
	require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r1", "select name from users")))
	// What touches orders does not bring what this release needs there; the contract would be allowed.
	files["0005_drop_email.sql"] = files["0003_drop_email.sql"]
	delete(files, "0003_drop_email.sql")
	o := migrate.Options{Manifests: []*evidence.Manifest{manifest("api", "r2", "select discount from orders", "select name from users")}}
	_, err := migrator(t, db.URL, files, o).Migrate(t.Context())
	var unfit *migrate.UnfitError
	require.ErrorAs(t, err, &unfit)
	require.Contains(t, unfit.Error(), `api@r2 needs what this database does not have: column "discount" does not exist`)
	require.False(t, unfit.Dropped())
	require.True(t, pgtest.Value[bool](t, db, `select exists (select from pg_attribute where attrelid = 'orders'::regclass and attname = 'note')`))
	require.True(t, hasEmail(t, db), "nothing is taken away for a release that cannot run")
	states, err := m.Releases(t.Context())
	require.NoError(t, err)
	for _, s := range states.States {
		require.Equal(t, s.ID != "r2", s.Eligible(), s.ID)
	}

	// In a development database it is told.
	dev := pgtest.Database(t)
	o.Environment = migrate.Dev
	var told []evidence.Misfit
	o.OnEvent = func(e migrate.Event) {
		if u, ok := e.(migrate.ReleaseUnfit); ok {
			told = append(told, u.Misfits...)
		}
	}
	_, err = migrator(t, dev.URL, files, o).Migrate(t.Context())
	require.NoError(t, err)
	require.Len(t, told, 1)
}

// The check reads only, is quick, does without rights on the ledger, and says so.
func TestVerifyAsTheApplication(t *testing.T) {
	t.Parallel()
	db, files := dropsEmail(t)
	m := migrator(t, db.URL, files, migrate.Options{})
	require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r2", "select name from users")))
	_, err := m.Migrate(t.Context())
	require.NoError(t, err)
	require.False(t, hasEmail(t, db))

	role := "app_" + strings.ReplaceAll(fmt.Sprint(time.Now().UnixNano()), "-", "")
	db.Exec(t, fmt.Sprintf("create role %s login; grant select on users to %[1]s", role))
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), db.URL)
		require.NoError(t, err)
		_, err = conn.PgConn().Exec(context.Background(), fmt.Sprintf("drop owned by %s; drop role %[1]s", role)).ReadAll()
		require.NoError(t, err)
		require.NoError(t, conn.Close(context.Background()))
	})
	config, err := pgx.ParseConfig(db.URL)
	require.NoError(t, err)
	config.User = role
	old := []*evidence.Manifest{manifest("api", "r1", "select email from users")}
	v, err := migrate.Verify(t.Context(), config, old, migrate.VerifyOptions{})
	var unfit *migrate.UnfitError
	require.ErrorAs(t, err, &unfit)
	require.True(t, v.Blind)
	require.False(t, unfit.Dropped())
	db.Exec(t, fmt.Sprintf("grant usage on schema pawl to %s; grant select on pawl.taken to %[1]s", role))
	start := time.Now()
	_, err = migrate.Verify(t.Context(), config, old, migrate.VerifyOptions{Wait: time.Minute})
	require.ErrorAs(t, err, &unfit)
	require.True(t, unfit.Dropped(), "then it is known that waiting is in vain")
	require.Less(t, time.Since(start), 30*time.Second)

	var many []string
	for i := range 2000 {
		many = append(many, fmt.Sprintf("select id, name from users where id = $1 and name <> 'n%d'", i))
	}
	start = time.Now()
	v, err = migrate.Verify(t.Context(), config, []*evidence.Manifest{manifest("api", "r3", many...)}, migrate.VerifyOptions{})
	require.NoError(t, err)
	require.Equal(t, 2000, v.Statements)
	t.Logf("2,000 statements verified in %s", time.Since(start).Round(time.Millisecond))
}
