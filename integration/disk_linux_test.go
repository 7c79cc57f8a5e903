package integration

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

// smallDisk mounts a file system of its own that the server can use as a tablespace.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pawl-disk-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755)) //nolint:gosec // the server runs as another user
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		if os.Geteuid() == 0 && os.Getenv("PAWL_REQUIRE_PG") != "" {
			require.NoError(t, err, "root can mount a small disk")
		}
		t.Skipf("only root can mount a small disk: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
	nobody, err := user.Lookup("nobody")
	require.NoError(t, err)
	uid, err := strconv.Atoi(nobody.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(nobody.Gid)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "space"), 0o700))
	require.NoError(t, os.Chown(filepath.Join(dir, "space"), uid, gid))
	return dir
}

// ballast fills a disk until so many bytes are left, and gives what takes it away again.
func ballast(t *testing.T, dir string, left int64) func() {
	t.Helper()
	var disk syscall.Statfs_t
	require.NoError(t, syscall.Statfs(dir, &disk))
	free := int64(disk.Bavail) * disk.Bsize //nolint:gosec // a few megabytes
	require.Greater(t, free, left)
	name := filepath.Join(dir, "ballast")
	require.NoError(t, os.WriteFile(name, make([]byte, free-left), 0o600))
	return func() { require.NoError(t, os.Remove(name)) }
}

// A disk of the server that is full, wherever in a run that comes, is a passing trouble: once there is space, one more run comes to the
// same end as one that always had it.
func TestDiskIsFull(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 64)
	server := pgtest.Private(t, pgserver.Options{Settings: map[string]string{"autovacuum": "off"}})
	database := func(name string, space bool) *pgtest.DB {
		admin := &pgtest.DB{Name: "postgres", URL: server.URL("postgres"), Server: server}
		text := "create database " + name
		if space {
			text += " tablespace small"
		}
		admin.Exec(t, text)
		return &pgtest.DB{Name: name, URL: server.URL(name), Server: server}
	}
	admin := &pgtest.DB{Name: "postgres", URL: server.URL("postgres"), Server: server}
	admin.Exec(t, "create tablespace small location '"+filepath.Join(dir, "space")+"'")

	// The rows make the files that do not fit: tables, a rewrite, a concurrent build.
	list := append([]string{}, twelve...)
	list[1] = strings.Replace(list[1], "generate_series(1, 200)", "generate_series(1, 20000)", 1)
	list = append(list, "0013_rewrite.sql", "alter table users alter column name type varchar(5);")
	files := history(list...)
	whole := database("whole", false)
	up(t, whole.URL, files, migrate.Options{})
	want := pgtest.Dump(t, whole)

	seen := map[string]int{}
	full, fits := 0, false
	for left := int64(64 << 10); !fits; left += 256 << 10 {
		name := fmt.Sprintf("full_%d", left>>10)
		db := database(name, true)
		// What making the database has yet to write is written.
		db.Exec(t, "checkpoint")
		free := ballast(t, dir, left)
		at := "before the first file"
		_, err := migrator(t, db.URL, files, migrate.Options{OnEvent: func(e migrate.Event) {
			if s, ok := e.(migrate.Started); ok {
				at = s.Migration.Name
			}
		}}).Migrate(t.Context())
		free()
		if err == nil {
			fits = true
		} else {
			full++
			seen[at]++
			var transient *migrate.TransientError
			require.ErrorAs(t, err, &transient, "%d KB left, at %s", left>>10, at)
			require.ErrorContains(t, err, "No space left on device", "%d KB left, at %s", left>>10, at)
		}
		convergesTo(t, db, files, want, int64(len(list)/2), fmt.Sprintf("%d KB left, at %s", left>>10, at))
		require.NoError(t, server.DropDatabase(context.Background(), name))
	}
	t.Logf("the disk was full in %d runs: %v", full, seen)
	require.Greater(t, full, 4)
	require.Greater(t, len(seen), 2, "in different places")
}
