package migrate_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/migrate"
)

func files(pairs ...string) fstest.MapFS {
	out := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return out
}

// Each tool's directory gives versions, names and what leads forward; the rest is neither run nor a fault.
func TestLayouts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files fstest.MapFS
		// want is VERSION NAME: statements, one migration a line.
		want string
	}{
		"goose": {files(
			"00001_a.sql", "-- +goose Up\ncreate table a (id int);\n-- +goose StatementBegin\ncreate function f() returns int language sql as $$ select 1; $$;\n-- +goose StatementEnd\n-- +goose Down\ndrop table a;\n",
			"00002_b.sql", "-- +goose NO TRANSACTION\n-- +goose Down\ndrop index i;\n-- +goose Up\ncreate index concurrently i on a (id);\n",
			"00003_c.go", "package migrations", "embed_test.go", "package migrations",
		), "1 00001_a.sql: create table a (id int) | create function f() returns int language sql as $$ select 1; $$\n2 00002_b.sql: create index concurrently i on a (id)\n3 00003_c.go: Go"},
		"golang-migrate": {files(
			"1_a.up.sql", "create table a (id int);", "1_a.down.sql", "drop table a;", "10_b.up.sql", "create table b (id int);",
		), "1 1_a.up.sql: create table a (id int)\n10 10_b.up.sql: create table b (id int)"},
		"dbmate": {files(
			"20240101000000_a.sql", "-- migrate:up transaction:false\ncreate table a (id int);\n-- migrate:down\ndrop table a;\n-- migrate:up\ncreate table b (id int);\n-- migrate:down\ndrop table b;\n",
		), "20240101000000 20240101000000_a.sql: create table a (id int) | create table b (id int)"},
		"tern": {files(
			"001_a.sql", "create table a (id int);\n---- create above / drop below ----\ndrop table a;\n",
			"002_b.sql", "{{ template \"shared/b.sql\" . }}\n---- create above / drop below ----\ndrop table b;\n",
			"003_c.sql", "select '{{1,2},{3,4}}'::int[];\n",
			"shared/b.sql", "create table b (id int);", "tern.conf", "",
		), "1 001_a.sql: create table a (id int)\n2 002_b.sql: create table b (id int)\n3 003_c.sql: select '{{1,2},{3,4}}'::int[]"},
		"flyway": {files(
			"V1__a.sql", "create table a (id int);", "U1__a.sql", "drop table a;", "V1.10__c.sql", "create table c (id int);", "V1_2__b.sql", "create table b (id int);",
			"R__view.sql", "create or replace view v as select 1 as x;", "more/V2__d.sql", "create table d (id int);", "V1__a.sql.conf", "executeInTransaction=false",
		), "1 V1__a.sql: create table a (id int)\n1.2 V1_2__b.sql: create table b (id int)\n1.10 V1.10__c.sql: create table c (id int)\n2 more/V2__d.sql: create table d (id int)\nR__view@ R__view.sql: create or replace view v as select 1 as x"},
		"flyway with the baseline instead": {files("B3__all.sql", "create table a (id int);", "V4__b.sql", "create table b (id int);"),
			"3 B3__all.sql: create table a (id int)\n4 V4__b.sql: create table b (id int)"},
		"flyway with the baseline beside": {files("V3__a.sql", "create table a (id int);", "B3__all.sql", "create table a (id int);", "V4__b.sql", "create table b (id int);"),
			"3 V3__a.sql: create table a (id int)\n4 V4__b.sql: create table b (id int)"},
		"sqlx": {files(
			"20240101_a.up.sql", "create table a (id int);", "20240101_a.down.sql", "drop table a;", "20240102_i.sql", "-- no-transaction\ncreate index concurrently i on a (id);",
		), "20240101 20240101_a.up.sql: create table a (id int)\n20240102 20240102_i.sql: create index concurrently i on a (id)"},
		"prisma": {files(
			"20240101000000_init/migration.sql", "create table a (id int);", "20240102000000_b/migration.sql", "create table b (id int);", "migration_lock.toml", "provider = \"postgresql\"",
		), "20240101000000 20240101000000_init/migration.sql: create table a (id int)\n20240102000000 20240102000000_b/migration.sql: create table b (id int)"},
		"atlas": {files(
			"20240101_a.sql", "create table a (id int);", "20240102_checkpoint.sql", "-- atlas:checkpoint\n\ncreate table a (id int);", "20240103_i.sql", "-- atlas:txmode none\n\ncreate index concurrently i on a (id);", "20240104.sql", "create table b (id int);", "atlas.sum", "h1:x",
		), "20240101 20240101_a.sql: create table a (id int)\n20240103 20240103_i.sql: create index concurrently i on a (id)\n20240104 20240104.sql: create table b (id int)"},
		"liquibase": {files(
			"0001_a.sql", "--liquibase formatted sql\n--changeset me:1\ncreate table a (id int);\n--rollback drop table a;\n",
			"0002_b.sql", "\ufeff-- liquibase formatted sql\ncreate table no (id int);\n-- changeset me:2 dbms:oracle,h2\ncreate table no (id number(3))\n/\n--changeset me:3 ignore:true\nno;\n--changeset me:4 dbms:!oracle runInTransaction:false\n--ignoreLines:start\nno\n--ignoreLines:end\n--ignoreLines:1\nno\ncreate index concurrently i on a (id);\n",
			"0003_c.sql", "--liquibase formatted sql\r\n--changeset me:1 endDelimiter:\\n//\r\ncreate function f() returns int language sql as $$ select 4\r\n/\r\n2; $$\r\n  //\r\nselect 1\r\n//\r\n--changeset me:2\r\nselect 2\r\nGO\r\nselect 3\r\n/\r\n",
		), "1 0001_a.sql: create table a (id int)\n2 0002_b.sql: create index concurrently i on a (id)\n3 0003_c.sql: create function f() returns int language sql as $$ select 4\r\n/\r\n2; $$ | select 1 | select 2 | select 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list, err := migrate.Load(test.files, "m")
			require.NoError(t, err)
			var got []string
			for _, m := range list {
				line := string(m.Version)
				if m.Version.Repeatable() {
					line = line[:len("R__view@")]
				}
				line += " " + m.Name + ": "
				if m.Program {
					require.ErrorContains(t, m.Check(), "Go program")
					got = append(got, line+"Go")
					continue
				}
				require.NoError(t, m.Check())
				var texts []string
				for _, s := range m.File().Statements {
					texts = append(texts, s.Text)
				}
				got = append(got, line+strings.Join(texts, " | "))
			}
			require.Equal(t, test.want, strings.Join(got, "\n"))
		})
	}
}

// What only the other tool can fill in is refused at its place, with what to write instead.
func TestLayoutsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ file, text, want string }{
		"flyway":                  {"V1__a.sql", "create table a (id int);\ncreate schema ${name};", "m/V1__a.sql:2:15: ${name} is a placeholder of Flyway"},
		"goose":                   {"00001_a.sql", "-- +goose Up\n-- +goose ENVSUB ON\ncreate role ${NAME};\n-- +goose ENVSUB OFF\nselect '$OTHER';", "m/00001_a.sql:3:13: ${NAME} is replaced by goose"},
		"liquibase":               {"001_a.sql", "--liquibase formatted sql\n--changeset me:1\ncreate schema ${name};", "m/001_a.sql:3:15: ${name} is a parameter of Liquibase's changelog"},
		"liquibase with its mark": {"001_a.sql", "--liquibase formatted sql\n--changeset me:1 endDelimiter:\\n//\n-- don't\nselect 1\n//\nselect 2\n//\n", "m/001_a.sql:5:1: // ends a statement for Liquibase"},
		"tern":                    {"001_a.sql", "create schema {{ .schema }};\n---- create above / drop below ----\n", "m/001_a.sql:1:15: this is a template of tern"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list, err := migrate.Load(files(test.file, test.text), "m")
			require.NoError(t, err)
			require.ErrorContains(t, list[0].Check(), test.want)
		})
	}
}

// A directory of Prisma's that has no number is not passed over.
func TestPrismaWithoutNumber(t *testing.T) {
	t.Parallel()
	dir := files("20240101000000_a/migration.sql", "create table a (id int);", "named/migration.sql", "create table b (id int);", "migration_lock.toml", "")
	_, err := migrate.Load(dir, "m")
	require.ErrorContains(t, err, "m/named: this directory has a migration of Prisma's, and no number")
	delete(dir, "migration_lock.toml")
	list, err := migrate.Load(dir, "m")
	require.NoError(t, err)
	require.Len(t, list, 1)
}
