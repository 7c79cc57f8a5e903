package integration

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	// The example's services use the pool; `go mod tidy` does not look into testdata.
	_ "github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// manifest is a complete one of these statements.
func manifest(consumer, release string, statements ...string) *evidence.Manifest {
	m := &evidence.Manifest{Version: 1, Consumer: consumer, Release: release, Status: "complete"}
	for i, text := range statements {
		m.Statements = append(m.Statements, evidence.Statement{
			SHA256: evidence.HashText(text), Text: text, Sites: []gate.Site{{File: "store.go", Line: 10 + i}},
		})
	}
	return m
}

// dropsEmail is a history whose last file takes a column away, in a database that has the files before it.
func dropsEmail(t *testing.T) (*pgtest.DB, fstest.MapFS) {
	t.Helper()
	db := pgtest.Database(t)
	files := history(
		"0001_users.sql", "create table users (id bigint primary key, email text, name text);",
		"0002_orders.sql", "create table orders (id bigint primary key, user_id bigint references users);",
	)
	up(t, db.URL, files, migrate.Options{})
	files["0003_drop_email.sql"] = &fstest.MapFile{Data: []byte("alter table users drop column email;")}
	files["0004_note.sql"] = &fstest.MapFile{Data: []byte("alter table orders add column note text;")}
	return db, files
}

func hasEmail(t *testing.T, db *pgtest.DB) bool {
	t.Helper()
	return pgtest.Value[bool](t, db, `select exists (select from pg_attribute where attrelid = 'users'::regclass and attname = 'email' and not attisdropped)`)
}

// A contract is held while a release that may run needs the old shape, and applied once none does; never twice.
func TestContractWaitsForItsLastUser(t *testing.T) {
	t.Parallel()
	db, files := dropsEmail(t)
	m := migrator(t, db.URL, files, migrate.Options{})
	ctx := t.Context()
	require.NoError(t, m.RegisterRelease(ctx, manifest("api", "r1", "select email from users where id = $1")))
	require.NoError(t, m.RecordRelease(ctx, "api", "r1", gate.LiveNow, ""))

	r, err := m.Migrate(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"0003_drop_email.sql"}, heldNames(r.Held))
	require.Equal(t, []string{"0004_note.sql"}, names(r.Applied), "a later expand passes")
	require.True(t, hasEmail(t, db))
	f := r.Held[0].Decision.Findings[0]
	require.Equal(t, gate.Broken, f.Verdict)
	require.Equal(t, "api@r1 store.go:10 42703", f.Consumer+"@"+f.Release+" "+f.Site.File+":10 "+f.Code)
	require.Contains(t, f.Message, "email")
	require.NotEmpty(t, f.Next)

	// The next release does not need it, but the first may come back.
	require.NoError(t, m.RegisterRelease(ctx, manifest("api", "r2", "select name from users where id = $1")))
	require.NoError(t, m.RecordRelease(ctx, "api", "r2", gate.LiveNow, ""))
	r, err = m.Migrate(ctx)
	require.NoError(t, err)
	require.Len(t, r.Held, 1)
	require.True(t, hasEmail(t, db))

	require.NoError(t, m.RecordRelease(ctx, "api", "r1", gate.Retired, "gone"))
	r, err = m.Migrate(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"0003_drop_email.sql"}, names(r.Applied))
	require.False(t, hasEmail(t, db))
	require.True(t, pgtest.Value[bool](t, db, `select allowed from pawl.decision where version = '3' order by id desc limit 1`))

	r, err = m.Migrate(ctx)
	require.NoError(t, err)
	require.Empty(t, r.Applied)
}

func TestContractWaitsForWhatIsUnknown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(*testing.T, *migrate.Migrator)
		part    string
	}{
		"nobody is registered": {func(*testing.T, *migrate.Migrator) {}, "no release of any consumer is registered"},
		"a release without a manifest": {func(t *testing.T, m *migrate.Migrator) {
			require.NoError(t, m.RecordRelease(t.Context(), "api", "r1", gate.LiveNow, ""))
		}, "no manifest"},
		"a partial manifest": {func(t *testing.T, m *migrate.Migrator) {
			partial := manifest("api", "r1", "select 1")
			partial.Status, partial.Reasons = "partial", []string{"store.go:7: SQL from a file"}
			require.NoError(t, m.RegisterRelease(t.Context(), partial))
		}, "store.go:7: SQL from a file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, files := dropsEmail(t)
			c.prepare(t, migrator(t, db.URL, files, migrate.Options{}))
			r := up(t, db.URL, files, migrate.Options{})
			require.Equal(t, []string{"0003_drop_email.sql"}, heldNames(r.Held))
			require.Equal(t, gate.Unknown, r.Held[0].Decision.Verdict)
			require.Contains(t, r.Held[0].Decision.Findings[0].Message, c.part)
			require.True(t, hasEmail(t, db))

			_, err := migrator(t, db.URL, files, migrate.Options{FailOnBlocked: true}).Migrate(t.Context())
			var blocked *migrate.BlockedError
			require.ErrorAs(t, err, &blocked)
			require.True(t, blocked.Unknown)
		})
	}
}

// What stands behind a held contract waits with it; an expand that the incoming release needs makes the run fail.
func TestBehindAHeldContract(t *testing.T) {
	t.Parallel()
	db, files := dropsEmail(t)
	files["0005_mail.sql"] = &fstest.MapFile{Data: []byte("alter table users add column mail text;")}
	m := migrator(t, db.URL, files, migrate.Options{})
	require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r1", "select email from users")))

	r := up(t, db.URL, files, migrate.Options{Manifests: []*evidence.Manifest{manifest("api", "r2", "select name from users")}})
	require.Equal(t, []string{"0003_drop_email.sql", "0005_mail.sql"}, heldNames(r.Held))
	require.Equal(t, migrate.Version("3"), r.Held[1].Behind)

	needs := migrate.Options{Manifests: []*evidence.Manifest{manifest("api", "r3", "select mail from users")}}
	_, err := migrator(t, db.URL, files, needs).Migrate(t.Context())
	var blocked *migrate.BlockedError
	require.ErrorAs(t, err, &blocked)
	require.Equal(t, []string{"0005_mail.sql"}, heldNames(blocked.Held))
}

// A release that registers between decision and commit is not overlooked: the log is locked, and read again.
func TestReleaseBetweenDecisionAndCommit(t *testing.T) {
	t.Parallel()
	db, files := dropsEmail(t)
	m := migrator(t, db.URL, files, migrate.Options{})
	require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r2", "select name from users")))
	late := migrator(t, db.URL, files, migrate.Options{OnEvent: func(e migrate.Event) {
		// Started comes after the plan was made and before the contract is sent.
		if s, ok := e.(migrate.Started); ok && s.Migration.Version == "3" {
			if err := m.RegisterRelease(context.Background(), manifest("batch", "b1", "select email from users")); err != nil {
				t.Errorf("register: %v", err)
			}
		}
	}})
	r, err := late.Migrate(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"0003_drop_email.sql"}, heldNames(r.Held))
	require.Equal(t, []string{"0004_note.sql"}, names(r.Applied), "what follows is planned anew")
	require.Equal(t, "batch", r.Held[0].Decision.Findings[0].Consumer)
	require.True(t, hasEmail(t, db))
}

// In a database stamped dev the gate reports and does not hold, and there is a way down.
func TestDevDatabase(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	files := history("0001_users.sql", "create table users (id bigint, email text);")
	up(t, db.URL, files, migrate.Options{Environment: migrate.Dev})
	files["0002_drop.sql"] = &fstest.MapFile{Data: []byte("alter table users drop column email;")}
	files["0002_drop.down.sql"] = &fstest.MapFile{Data: []byte("alter table users add column email text;")}
	r := up(t, db.URL, files, migrate.Options{})
	require.Equal(t, gate.Unknown, r.Applied[0].Decision.Verdict, "it is reported")
	require.False(t, hasEmail(t, db))
	undone, err := migrator(t, db.URL, files, migrate.Options{}).Down(t.Context())
	require.NoError(t, err)
	require.Equal(t, "0002_drop.sql", undone.Name)
	require.True(t, hasEmail(t, db))
	r = up(t, db.URL, files, migrate.Options{})
	require.Equal(t, []string{"0002_drop.sql"}, names(r.Applied))
}

func TestNoWayDownInProduction(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	files := history("0001_a.sql", "create table a (id int);", "0001_a.down.sql", "drop table a;")
	up(t, db.URL, files, migrate.Options{})
	for _, o := range []migrate.Options{{}, {Environment: migrate.Dev}} {
		_, err := migrator(t, db.URL, files, o).Down(t.Context())
		var refused *migrate.RefusedError
		require.ErrorAs(t, err, &refused)
		require.Contains(t, refused.Hint, "roll forward")
	}
	require.True(t, pgtest.Value[bool](t, db, `select to_regclass('a') is not null`))
}

// A database with tables of unknown origin is refused until somebody says what it has.
func TestBaseline(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	db.Exec(t, "create table a (id int)")
	files := history("0001_a.sql", "create table a (id int);", "0002_b.sql", "create table b (id int);")
	m := migrator(t, db.URL, files, migrate.Options{})
	before := pgtest.Dump(t, db)
	_, err := m.Migrate(t.Context())
	var refused *migrate.RefusedError
	require.ErrorAs(t, err, &refused)
	require.Contains(t, refused.Hint, "pawl adopt --baseline")
	require.Equal(t, before, pgtest.Dump(t, db), "a refusal writes nothing")

	done, err := m.Baseline(t.Context(), "1")
	require.NoError(t, err)
	require.Len(t, done, 1)
	r, err := m.Migrate(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"0002_b.sql"}, names(r.Applied))
}

// The example's rollout, release by release: exactly what its README says is held is held.
func TestExampleRollout(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "testdata", "examples", "bitvault")
	db := pgtest.Database(t)
	consumers := []string{"gateway", "bitvaultd", "worker"}
	deploy := func(release, last string) migrate.Result {
		t.Helper()
		files := example(t, last)
		var o migrate.Options
		for _, c := range consumers {
			if release != "" {
				m, err := evidence.ReadManifest(filepath.Join(root, "releases", release, c+".refs.json"))
				require.NoError(t, err)
				o.Manifests = append(o.Manifests, m)
			}
		}
		m := migrator(t, db.URL, files, o)
		r, err := m.Migrate(t.Context())
		require.NoError(t, err)
		for _, c := range consumers {
			if release != "" {
				require.NoError(t, m.RecordRelease(t.Context(), c, release, gate.LiveNow, ""))
			}
		}
		return r
	}
	retire := func(release string) {
		t.Helper()
		m := migrator(t, db.URL, history("0001_x.sql", "select 1;"), migrate.Options{})
		for _, c := range consumers {
			require.NoError(t, m.RecordRelease(t.Context(), c, release, gate.Retired, "test"))
		}
	}
	numbers := func(list []string) (out []string) {
		for _, n := range list {
			out = append(out, n[:4])
		}
		slices.Sort(out)
		return out
	}

	require.Empty(t, deploy("r1", "0004").Held)
	require.Empty(t, deploy("r2", "0013").Held)
	r := deploy("r3", "9999")
	require.Equal(t, []string{"0014", "0018", "0019", "0020"}, numbers(names(r.Applied)), "the trigger fills in what gateway@r1 leaves out")
	require.Equal(t, []string{"0015", "0016", "0017", "0021", "0022", "0023"}, numbers(heldNames(r.Held)))
	retire("r1")
	r = deploy("", "9999")
	require.Equal(t, []string{"0015", "0016", "0017", "0021"}, numbers(names(r.Applied)))
	require.Equal(t, []string{"0022", "0023"}, numbers(heldNames(r.Held)))
	retire("r2")
	r = deploy("", "9999")
	require.Equal(t, []string{"0022", "0023"}, numbers(names(r.Applied)))
	require.Empty(t, r.Held)
}

// A whole history, contracts and all, goes into an empty database without a question: no deployed code can have seen
// what the same run has made.
func TestExampleOnAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	files := example(t, "9999")
	db := pgtest.Database(t)
	r := up(t, db.URL, files, migrate.Options{})
	require.Empty(t, heldNames(r.Held))
	require.Len(t, r.Applied, len(files))
}

// While the gate asks PostgreSQL on copies, writers to the table do not wait.
func TestAskingTakesNoLock(t *testing.T) {
	t.Parallel()
	db, files := dropsEmail(t)
	m := migrator(t, db.URL, files, migrate.Options{})
	require.NoError(t, m.RegisterRelease(t.Context(), manifest("api", "r1", "select email from users where id = $1")))
	writer := db.Conn(t)
	tx, err := writer.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "insert into users values (1, 'a', 'b')")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	delete(files, "0004_note.sql")
	r, err := m.Migrate(ctx)
	require.NoError(t, err)
	require.Len(t, r.Held, 1)
	require.Equal(t, "42703", r.Held[0].Decision.Findings[0].Code, "it was asked while a writer held the table")
	require.NoError(t, tx.Commit(t.Context()))
}
