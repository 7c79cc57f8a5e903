package integration

import (
	"context"
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

// Before a contract, and before nothing else, a restore point is made where the role may; what stands in the way of coming
// back is told, and stored with the decision.
func TestRestorePoint(t *testing.T) {
	t.Parallel()
	db, files := dropsEmail(t)
	require.NoError(t, migrator(t, db.URL, files, migrate.Options{}).RegisterRelease(t.Context(), manifest("api", "r2", "select name from users")))
	var made []migrate.RestorePointMade
	r := up(t, db.URL, files, migrate.Options{OnEvent: func(e migrate.Event) {
		if p, ok := e.(migrate.RestorePointMade); ok {
			made = append(made, p)
		}
	}})
	require.Len(t, r.Applied, 2)
	require.Len(t, made, 1)
	p := made[0].Point
	require.Equal(t, "pawl 0003_drop_email", p.Name)
	require.NotEmpty(t, p.LSN)
	require.WithinDuration(t, time.Now(), p.At, time.Minute)
	stored, err := migrator(t, db.URL, files, migrate.Options{}).Decisions(t.Context(), "3")
	require.NoError(t, err)
	require.True(t, stored[0].Allowed)
	require.Equal(t, p.Name, stored[0].Evidence.RestorePoint.Name)
	require.Equal(t, p.LSN, stored[0].Evidence.RestorePoint.LSN)
	require.Equal(t, 1, stored[0].Evidence.Releases)
	require.True(t, pgtest.Value[bool](t, db, fmt.Sprintf(`select '%s'::pg_lsn <= pg_current_wal_lsn()`, p.LSN)))
}

// A role that may not make one notes where the log stands; with require, the contract is not applied.
func TestRestorePointWithoutTheRight(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	role := fmt.Sprintf("migrator_%d", time.Now().UnixNano())
	db.Exec(t, fmt.Sprintf("create role %s login; grant all on schema public to %[1]s; grant create on database %s to %[1]s",
		role, pgx.Identifier{pgtest.Value[string](t, db, "select current_database()::text")}.Sanitize()))
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), db.URL)
		require.NoError(t, err)
		_, err = conn.PgConn().Exec(context.Background(), fmt.Sprintf("drop owned by %s cascade; drop role %[1]s", role)).ReadAll()
		require.NoError(t, err)
		require.NoError(t, conn.Close(context.Background()))
	})
	config, err := pgx.ParseConfig(db.URL)
	require.NoError(t, err)
	config.User = role
	files := history("0001_users.sql", "create table users (id bigint primary key, email text, name text);")
	var made []migrate.RestorePointMade
	o := migrate.Options{OnEvent: func(e migrate.Event) {
		if p, ok := e.(migrate.RestorePointMade); ok {
			made = append(made, p)
		}
	}}
	_, err = migrate.New(config, files, o).Migrate(t.Context())
	require.NoError(t, err)
	require.Empty(t, made, "nothing is taken away from an empty database")
	files["0002_drop.sql"] = &fstest.MapFile{Data: []byte("alter table users drop column email;")}
	require.NoError(t, migrate.New(config, files, o).RegisterRelease(t.Context(), manifest("api", "r1", "select name from users")))

	strict := o
	strict.Restore = migrate.RestoreRequire
	_, err = migrate.New(config, files, strict).Migrate(t.Context())
	var refused *migrate.RefusedError
	require.ErrorAs(t, err, &refused)
	require.Contains(t, refused.Message, "grant execute on function pg_create_restore_point(text)")
	require.True(t, hasEmail(t, db))

	_, err = migrate.New(config, files, o).Migrate(t.Context())
	require.NoError(t, err)
	require.False(t, hasEmail(t, db))
	require.Len(t, made, 1)
	require.Empty(t, made[0].Point.Name)
	require.NotEmpty(t, made[0].Point.LSN)
	require.Contains(t, made[0].Point.String(), "may not make one")
}

// An archiver that fails is told, and with require it keeps the contract back.
func TestRestorePointAndAFailingArchiver(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{Settings: map[string]string{"archive_mode": "on", "archive_command": "false"}})
	url, err := server.CreateDatabase(t.Context(), "archived", "")
	require.NoError(t, err)
	files := history("0001_users.sql", "create table users (id bigint primary key, email text, name text);")
	_, err = migrator(t, url, files, migrate.Options{}).Migrate(t.Context())
	require.NoError(t, err)
	require.NoError(t, migrator(t, url, files, migrate.Options{}).RegisterRelease(t.Context(), manifest("api", "r1", "select name from users")))
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "select pg_switch_wal()")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		var failed int
		return conn.QueryRow(t.Context(), "select failed_count from pg_stat_archiver").Scan(&failed) == nil && failed > 0
	}, 30*time.Second, 50*time.Millisecond)
	require.NoError(t, conn.Close(t.Context()))
	files["0002_drop.sql"] = &fstest.MapFile{Data: []byte("alter table users drop column email;")}
	_, err = migrator(t, url, files, migrate.Options{Restore: migrate.RestoreRequire}).Migrate(t.Context())
	var refused *migrate.RefusedError
	require.ErrorAs(t, err, &refused)
	require.Contains(t, refused.Message, "the archiver fails since")
	r, err := migrator(t, url, files, migrate.Options{}).Migrate(t.Context())
	require.NoError(t, err)
	require.Len(t, r.Applied, 1)
}
