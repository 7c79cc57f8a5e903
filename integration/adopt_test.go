package integration

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/peers"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

const (
	tableA = "create table a (id int);\n"
	tableB = "create table b (id int);\n"
	tableC = "create table c (id int);\n"
)

// taken is a database that another tool has migrated.
type taken struct {
	tool, table string
	// files are what the tool applied, next is the file that pawl goes on with: its name and text.
	files fstest.MapFS
	next  [2]string
	// setup writes the tool's table as the tool does; make applies the files where the tool itself is not run.
	setup string
	// adopted are the names that the ledger then has; verified counts those whose checksum was compared.
	adopted  []string
	verified int
}

func sha384(text string) string {
	sum := sha512.Sum384([]byte(text))
	return hex.EncodeToString(sum[:])
}

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// histories are version tables as the tools write them.
func histories() []taken {
	two := []string{"0001_a.sql", "0002_b.sql"}
	return []taken{
		{
			tool: "dbmate", table: "public.schema_migrations",
			files:   history("20240101000000_a.sql", "-- migrate:up\n"+tableA+"-- migrate:down\ndrop table a;\n", "20240102000000_b.sql", "-- migrate:up transaction:false\n"+tableB+"\n-- migrate:down\n"),
			next:    [2]string{"20240103000000_c.sql", "-- migrate:up\n" + tableC + "-- migrate:down\ndrop table c;\n"},
			setup:   `create table schema_migrations (version varchar primary key); insert into schema_migrations values ('20240101000000'), ('20240102000000')`,
			adopted: []string{"20240101000000_a.sql", "20240102000000_b.sql"},
		},
		{
			// The checksums are CRC-32 of the lines, computed by another program.
			tool: "flyway", table: "public.flyway_schema_history",
			files: history("V1__a.sql", tableA, "V1.1__b.sql", tableB, "U1__a.sql", "drop table a;", "R__v.sql", "create or replace view v as select 1 as x;\n"),
			next:  [2]string{"V2__c.sql", tableC},
			setup: `create view v as select 1 as x;
create table flyway_schema_history (installed_rank int primary key, version varchar(50), description varchar(200) not null, type varchar(20) not null,
	script varchar(1000) not null, checksum int, installed_by varchar(100) not null, installed_on timestamp not null default now(), execution_time int not null, success boolean not null);
insert into flyway_schema_history values (1, null, '<< Flyway Schema Creation >>', 'SCHEMA', '"public"', null, 'u', '2024-01-01', 0, true),
	(2, '1', 'a', 'SQL', 'V1__a.sql', -897341557, 'flo', '2024-01-01 10:00', 3, true), (3, '1.1', 'b', 'SQL', 'V1.1__b.sql', 1398915466, 'flo', '2024-01-02', 3, true),
	(4, null, 'v', 'SQL', 'R__v.sql', 865944825, 'flo', '2024-01-02', 3, true)`,
			adopted: []string{"V1__a.sql", "V1.1__b.sql", "R__v.sql"}, verified: 3,
		},
		{
			tool: "liquibase", table: "public.databasechangelog",
			files: history("0001_a.sql", "--liquibase formatted sql\n\n--changeset me:1\n"+tableA+"--rollback drop table a;\n\n--changeset me:2\n"+tableB),
			next:  [2]string{"0002_c.sql", "--liquibase formatted sql\n--changeset me:3\n" + tableC},
			setup: liquibaseTable + `insert into databasechangelog values ('0', 'me', 'db/changelog.xml', '2023-12-31', 1, 'EXECUTED', '8:x', '', '', null, '4.28'),
	('1', 'me', 'db/0001_a.sql', '2024-01-01', 2, 'EXECUTED', '7:x', 'sql', '', null, '4.28'), ('2', 'me', 'db/0001_a.sql', '2024-01-01', 3, 'EXECUTED', '7:y', 'sql', '', null, '4.28')`,
			adopted: []string{"db/changelog.xml::0::me", "0001_a.sql"},
		},
		{
			tool: "sqlx", table: "public._sqlx_migrations",
			files: history("20240101_a.up.sql", tableA, "20240101_a.down.sql", "drop table a;", "20240102_b.sql", "-- no-transaction\n"+tableB),
			next:  [2]string{"20240103_c.sql", tableC},
			setup: fmt.Sprintf(`create table _sqlx_migrations (version bigint primary key, description text not null, installed_on timestamptz not null default now(), success boolean not null, checksum bytea not null, execution_time bigint not null);
insert into _sqlx_migrations values (20240101, 'a', '2024-01-01', true, '\x%s', 5), (20240102, 'b', '2024-01-02', true, '\x%s', 5)`, sha384(tableA), sha384("-- no-transaction\n"+tableB)),
			adopted: []string{"20240101_a.up.sql", "20240102_b.sql"}, verified: 2,
		},
		{
			tool: "prisma", table: "public._prisma_migrations",
			files: history("20240101000000_a/migration.sql", tableA, "20240102000000_b/migration.sql", tableB, "migration_lock.toml", "provider = \"postgresql\"\n"),
			next:  [2]string{"20240103000000_c/migration.sql", tableC},
			setup: fmt.Sprintf(`create table _prisma_migrations (id varchar(36) primary key, checksum varchar(64) not null, finished_at timestamptz, migration_name varchar(255) not null, logs text, rolled_back_at timestamptz, started_at timestamptz not null default now(), applied_steps_count int not null default 0);
insert into _prisma_migrations values ('1', '%s', '2024-01-01', '20240101000000_a', null, null, '2024-01-01', 1), ('2', 'x', null, '20240102000000_b', 'failed', '2024-01-02', '2024-01-02', 0), ('3', '%s', '2024-01-02', '20240102000000_b', null, null, '2024-01-02', 1)`,
				sha256Hex(tableA), sha256Hex(tableB)),
			adopted: []string{"20240101000000_a/migration.sql", "20240102000000_b/migration.sql"}, verified: 2,
		},
		{
			// The sums are those that `atlas migrate hash` writes for these files.
			tool: "atlas", table: "atlas_schema_revisions.atlas_schema_revisions",
			files: history("20240101000000_a.sql", tableA, "20240102000000_b.sql", tableB,
				"atlas.sum", "h1:UPWPnJuGRUY40n7XduM7tNDPy19nNXoXjUxbEEjyjRk=\n20240101000000_a.sql h1:NpPSNHUdrZYCQeJ1BEyEVuc4CGHcWD/zRVxYbib2qFw=\n20240102000000_b.sql h1:Ra/M/UP+d646DjWkaBShPjejfBJuCqLvweAOkOWx/1w=\n"),
			next: [2]string{"20240103000000_c.sql", tableC},
			setup: `create schema atlas_schema_revisions;
create table atlas_schema_revisions.atlas_schema_revisions (version varchar primary key, description varchar not null, type bigint not null default 2, applied bigint not null default 0, total bigint not null default 0,
	executed_at timestamptz not null, execution_time bigint not null, error text, error_stmt text, hash varchar not null, partial_hashes jsonb, operator_version varchar not null);
insert into atlas_schema_revisions.atlas_schema_revisions values ('.atlas_cloud_identifier', '', 2, 0, 0, '2024-01-01', 0, null, null, '', null, ''),
	('20240101000000', 'a', 2, 1, 1, '2024-01-01', 1, null, null, 'NpPSNHUdrZYCQeJ1BEyEVuc4CGHcWD/zRVxYbib2qFw=', null, 'x'),
	('20240102000000', 'b', 2, 1, 1, '2024-01-02', 1, null, null, 'Ra/M/UP+d646DjWkaBShPjejfBJuCqLvweAOkOWx/1w=', null, 'x')`,
			adopted: []string{"20240101000000_a.sql", "20240102000000_b.sql"}, verified: 2,
		},
		{
			tool: "rails", table: "public.schema_migrations",
			files: history("0001_structure.sql", tableA+tableB),
			next:  [2]string{"0002_c.sql", tableC},
			setup: `create table ar_internal_metadata (key varchar primary key, value varchar, created_at timestamp not null, updated_at timestamp not null);
create table schema_migrations (version varchar primary key); insert into schema_migrations values ('20240101000000'), ('20240102000000')`,
			adopted: []string{"20240101000000", "20240102000000", "0001_structure.sql"},
		},
		{
			tool: "ecto", table: "public.schema_migrations",
			files: history("0001_structure.sql", tableA+tableB), next: [2]string{"0002_c.sql", tableC},
			setup:   `create table schema_migrations (version bigint primary key, inserted_at timestamp(0)); insert into schema_migrations values (20240101000000, '2024-01-01')`,
			adopted: []string{"20240101000000", "0001_structure.sql"},
		},
		{
			tool: "django", table: "public.django_migrations",
			files: history("0001_structure.sql", tableA+tableB), next: [2]string{"0002_c.sql", tableC},
			setup: `create table django_migrations (id bigint generated by default as identity primary key, app varchar(255) not null, name varchar(255) not null, applied timestamptz not null);
insert into django_migrations (app, name, applied) values ('polls', '0001_initial', '2024-01-01'), ('auth', '0001_initial', '2024-01-02')`,
			adopted: []string{"polls/0001_initial", "auth/0001_initial", "0001_structure.sql"},
		},
		{tool: "goose", table: "public.goose_db_version", files: history(two[0], "-- +goose Up\n"+tableA+"-- +goose Down\ndrop table a;\n", two[1], "-- +goose NO TRANSACTION\n-- +goose Up\n-- +goose StatementBegin\n"+tableB+"-- +goose StatementEnd\n"),
			next: [2]string{"0003_c.sql", "-- +goose Up\n" + tableC + "-- +goose Down\ndrop table a;\n"}, adopted: two},
		{tool: "golang-migrate", table: "public.schema_migrations", files: history("0001_a.up.sql", tableA, "0001_a.down.sql", "drop table a;", "0002_b.up.sql", tableB),
			next: [2]string{"0003_c.up.sql", tableC}, adopted: []string{"0001_a.up.sql", "0002_b.up.sql"}},
		{tool: "tern", table: "public.schema_version", files: history(two[0], tableA+"---- create above / drop below ----\ndrop table a;\n", two[1], "{{ template \"shared/b.sql\" . }}\n", "shared/b.sql", tableB),
			next: [2]string{"0003_c.sql", tableC + "---- create above / drop below ----\ndrop table c;\n"}, adopted: two},
	}
}

const liquibaseTable = `create table databasechangelog (id varchar(255) not null, author varchar(255) not null, filename varchar(255) not null, dateexecuted timestamp not null, orderexecuted int not null,
	exectype varchar(10) not null, md5sum varchar(35), description varchar(255), comments varchar(255), tag varchar(255), liquibase varchar(20));
create table databasechangeloglock (id int primary key, locked boolean not null, lockgranted timestamp, lockedby varchar(255));
insert into databasechangeloglock values (1, false, null, null);
`

// make brings a database where the tool has it: by the tool itself where it can be had, or by its documented table.
func (h taken) make(t *testing.T, db *pgtest.DB) {
	t.Helper()
	for _, tool := range peers.All() {
		if tool.Name != h.tool && (tool.Name != "migrate" || h.tool != "golang-migrate") {
			continue
		}
		dir := t.TempDir()
		for name, f := range h.files {
			require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), f.Data, 0o600))
		}
		runPeer(t, tool, dir, db.URL)
		return
	}
	db.Exec(t, tableA+tableB+h.setup)
}

// A history of each tool is taken over and gone on with: nothing is written before that is asked for, the tool's table is left as it
// is, and pawl applies the next file and no other.
func TestAdopt(t *testing.T) {
	t.Parallel()
	for _, h := range histories() {
		t.Run(h.tool, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Database(t)
			h.make(t, db)
			files := maps.Clone(h.files)
			files[h.next[0]] = &fstest.MapFile{Data: []byte(h.next[1])}
			m := migrator(t, db.URL, files, migrate.Options{Person: "ann"})
			before := pgtest.Dump(t, db)
			rows := "select string_agg(x::text, '|' order by x::text) from " + h.table + " x"
			kept := pgtest.Value[string](t, db, rows)

			_, err := m.Migrate(t.Context())
			var refused *migrate.RefusedError
			require.ErrorAs(t, err, &refused)
			require.Contains(t, refused.Message, "has a history of "+h.tool)
			o := migrate.AdoptOptions{}
			if strings.HasPrefix(h.next[0], "0002") && h.tool != "liquibase" {
				o.Baseline = "1" // programs, and a dump of what they made
			}
			dry, err := m.Adopt(t.Context(), o)
			require.NoError(t, err)
			require.False(t, dry.Written)
			require.Equal(t, before, pgtest.Dump(t, db), "a dry run writes nothing")

			o.Write = true
			done, err := m.Adopt(t.Context(), o)
			require.NoError(t, err)
			require.Equal(t, h.tool, done.Tool)
			var got []string
			verified := 0
			for _, d := range done.Adopted {
				got = append(got, d.Name)
				if d.Checksum == migrate.ChecksumVerified {
					verified++
				}
			}
			require.Equal(t, h.adopted, got)
			require.Equal(t, h.verified, verified)
			require.Equal(t, dry.Adopted[0].Name, done.Adopted[0].Name)
			require.Len(t, done.Pending, 1)
			require.Equal(t, kept, pgtest.Value[string](t, db, rows), "the tool's table is only read")

			r, err := m.Migrate(t.Context())
			require.NoError(t, err)
			require.Equal(t, []string{h.next[0]}, names(r.Applied))
			require.True(t, pgtest.Value[bool](t, db, `select to_regclass('c') is not null and to_regclass('a') is not null`))
			again, err := m.Adopt(t.Context(), o)
			require.NoError(t, err)
			require.Empty(t, again.Adopted)
			require.Equal(t, len(h.adopted), again.Known)
			require.Equal(t, "ann", pgtest.Value[string](t, db, `select person from pawl.event where kind = 'adopted' order by id limit 1`))
		})
	}
}

// What a tool says went wrong, or a file that is not what was applied, is refused with what to do; nothing is written.
func TestAdoptRefuses(t *testing.T) {
	t.Parallel()
	by := map[string]taken{}
	for _, h := range histories() {
		by[h.tool] = h
	}
	for name, test := range map[string]struct {
		tool, sql  string
		change     string
		want, hint string
	}{
		"golang-migrate dirty":    {"golang-migrate", "update schema_migrations set dirty = true", "", "version 2 is dirty", "migrate force"},
		"flyway failed":           {"flyway", "update flyway_schema_history set success = false where version = '1.1'", "", "V1.1__b.sql failed", "flyway repair"},
		"flyway changed":          {"flyway", "", "V1__a.sql", "V1__a.sql is not what flyway applied", "--accept-changed"},
		"liquibase locked":        {"liquibase", "update databasechangeloglock set locked = true", "", "its lock is taken", "release-locks"},
		"liquibase in part":       {"liquibase", "delete from databasechangelog where id = '2'", "", "some changesets and not me:2", "let Liquibase apply the rest"},
		"sqlx failed":             {"sqlx", "update _sqlx_migrations set success = false where version = 20240102", "", "version 20240102 began and did not succeed", "set success"},
		"sqlx changed":            {"sqlx", "", "20240102_b.sql", "20240102_b.sql is not what sqlx applied", "--accept-changed"},
		"prisma failed":           {"prisma", "update _prisma_migrations set rolled_back_at = null where id = '2'", "", "20240102000000_b failed", "migrate resolve"},
		"prisma changed":          {"prisma", "", "20240101000000_a/migration.sql", "is not what prisma applied", "--accept-changed"},
		"atlas in part":           {"atlas", "update atlas_schema_revisions.atlas_schema_revisions set total = 3 where version = '20240102000000'", "", "20240102000000 (1 of 3 statements)", "atlas migrate set"},
		"atlas.sum does not hold": {"atlas", "", "20240102000000_b.sql", "20240102000000_b.sql is not as this file has it", "atlas migrate validate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := by[test.tool]
			db := pgtest.Database(t)
			h.make(t, db)
			files := maps.Clone(h.files)
			if test.change != "" {
				files[test.change] = &fstest.MapFile{Data: append([]byte("select 1;\n"), files[test.change].Data...)}
			}
			if test.sql != "" {
				db.Exec(t, test.sql)
			}
			before := pgtest.Dump(t, db)
			m := migrator(t, db.URL, files, migrate.Options{})
			_, err := m.Adopt(t.Context(), migrate.AdoptOptions{Write: true})
			require.ErrorContains(t, err, test.want)
			require.Contains(t, hintOf(err), test.hint)
			require.Equal(t, before, pgtest.Dump(t, db), "a refusal writes nothing")
			if test.change != "" {
				done, err := m.Adopt(t.Context(), migrate.AdoptOptions{Write: true, AcceptChanged: true})
				require.NoError(t, err)
				require.Len(t, done.Adopted, len(h.adopted))
				require.Equal(t, int64(1), pgtest.Value[int64](t, db, `select count(*) from pawl.event where kind = 'adopted'`))
			}
		})
	}
}

func hintOf(err error) string {
	switch e := err.(type) { //nolint:errorlint // these are given as they are
	case *migrate.RefusedError:
		return e.Hint
	case *migrate.IntegrityError:
		return e.Hint
	case *migrate.ConfigError:
		return e.Hint
	}
	return ""
}

// Two tools that share a name are told apart, and two histories are asked about; any schema of the search path will do.
func TestAdoptFindsTheTable(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	db.Exec(t, `create schema app; create schema other; create table app.schema_migrations (version bigint primary key, dirty boolean not null);
insert into app.schema_migrations values (1, false); create table other.schema_migrations (version varchar primary key); insert into other.schema_migrations values ('1')`)
	files := history("0001_a.up.sql", tableA)
	url := func(path string) string {
		sep := "?"
		if strings.Contains(db.URL, "?") {
			sep = "&"
		}
		return db.URL + sep + "search_path=" + path
	}
	one, err := migrator(t, url("app"), files, migrate.Options{}).Adopt(t.Context(), migrate.AdoptOptions{})
	require.NoError(t, err)
	require.Equal(t, "golang-migrate", one.Tool)
	require.Equal(t, `"app"."schema_migrations"`, one.Table)
	both := migrator(t, url("app,other"), files, migrate.Options{})
	_, err = both.Adopt(t.Context(), migrate.AdoptOptions{})
	require.ErrorContains(t, err, "there are several histories")
	one, err = both.Adopt(t.Context(), migrate.AdoptOptions{Tool: "dbmate"})
	require.NoError(t, err)
	require.Equal(t, `"other"."schema_migrations"`, one.Table)
	one, err = both.Adopt(t.Context(), migrate.AdoptOptions{Table: "app.schema_migrations"})
	require.NoError(t, err)
	require.Equal(t, "golang-migrate", one.Tool)
	_, err = migrator(t, url("public"), files, migrate.Options{}).Adopt(t.Context(), migrate.AdoptOptions{})
	require.ErrorContains(t, err, "no history of another migration tool")
}

// A repeatable migration runs again whenever its text changes, also back to a text that ran before.
func TestRepeatable(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	view := func(text string) fstest.MapFS {
		return history("V1__a.sql", tableA, "R__v.sql", "create or replace view v as select '"+text+"' as x;")
	}
	applied := func(files fstest.MapFS) int {
		return len(up(t, db.URL, files, migrate.Options{Environment: migrate.Dev}).Applied)
	}
	require.Equal(t, 2, applied(view("one")))
	require.Equal(t, 0, applied(view("one")))
	for _, text := range []string{"two", "one", "two"} {
		require.Equal(t, 1, applied(view(text)))
		require.Equal(t, 0, applied(view(text)))
		require.Equal(t, text, pgtest.Value[string](t, db, `select x from v`))
	}
	later := view("two")
	later["V2__b.sql"] = &fstest.MapFile{Data: []byte("alter table a add column n int;")}
	require.Equal(t, 1, applied(later), "a later number is not late")
}
