package integration

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

var updateAdopt = flag.Bool("update-adopt", false, "write what adopt says of the recorded histories anew")

// recorded is a database as another tool left it: see testdata/adopt/README.md.
type recorded struct {
	dir     string
	options migrate.AdoptOptions
	command string
	files   fstest.MapFS
	// next are the files that pawl goes on with.
	next []string
	want string
}

func readRecorded(t *testing.T, dir string) recorded {
	t.Helper()
	r := recorded{dir: dir, files: fstest.MapFS{}}
	want, err := os.ReadFile(filepath.Join(dir, "want"))
	require.NoError(t, err)
	r.command, r.want, _ = strings.Cut(string(want), "\n")
	words := strings.Fields(strings.TrimPrefix(r.command, "$ pawl adopt"))
	for i := 0; i < len(words); i += 2 {
		switch words[i] {
		case "--table":
			r.options.Table = words[i+1]
		case "--from":
			r.options.Tool = words[i+1]
		case "--baseline":
			r.options.Baseline, _ = migrate.ParseVersion(words[i+1])
		default:
			t.Fatalf("%s: unknown flag %s", dir, words[i])
		}
	}
	for _, part := range []string{"files", "next"} {
		root := os.DirFS(filepath.Join(dir, part))
		err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := fs.ReadFile(root, name)
			r.files[name] = &fstest.MapFile{Data: text}
			if part == "next" {
				r.next = append(r.next, name)
			}
			return err
		})
		if part == "files" {
			require.NoError(t, err)
		}
	}
	return r
}

func (r recorded) load(t *testing.T) *pgtest.DB {
	t.Helper()
	db := pgtest.Database(t)
	text, err := os.ReadFile(filepath.Join(r.dir, "database.sql"))
	require.NoError(t, err)
	db.Exec(t, string(text))
	return db
}

// said is what adopt found, in lines.
func said(a *migrate.Adoption, err error) string {
	if err != nil {
		return "refused: " + err.Error() + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %s\n", a.Tool, a.Table)
	for _, d := range a.Adopted {
		here := ""
		if d.Migration == nil {
			here = " (no file)"
		}
		fmt.Fprintf(&b, "%s: %s%s\n", d.Name, d.Checksum, here)
	}
	for _, f := range a.Pending {
		fmt.Fprintf(&b, "pending %s\n", f.Name)
	}
	for _, n := range a.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	return b.String()
}

// What the tools really wrote is taken over, and gone on with in their own layout; what was edited since is told.
func TestAdoptRecorded(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob("testdata/adopt/*/want")
	require.NoError(t, err)
	require.NotEmpty(t, dirs)
	for _, want := range dirs {
		dir := filepath.Dir(want)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			r := readRecorded(t, dir)
			db := r.load(t)
			m := migrator(t, db.URL, r.files, migrate.Options{})
			before := pgtest.Dump(t, db)
			dry, err := m.Adopt(t.Context(), r.options)
			if *updateAdopt {
				require.NoError(t, os.WriteFile(want, []byte(r.command+"\n"+said(dry, err)), 0o600))
				return
			}
			require.Equal(t, r.want, said(dry, err))
			require.Equal(t, before, pgtest.Dump(t, db), "a dry run writes nothing")
			if err != nil {
				return
			}
			r.edited(t, db, dry)

			rows := fmt.Sprintf("select coalesce(string_agg(x::text, '|' order by x::text), '') from %s x", dry.Table)
			kept := pgtest.Value[string](t, db, rows)
			o := r.options
			o.Write = true
			done, err := m.Adopt(t.Context(), o)
			require.NoError(t, err)
			require.Equal(t, said(dry, nil), said(done, nil))
			var pending []string
			for _, f := range done.Pending {
				pending = append(pending, f.Name)
			}
			if len(r.next) > 0 {
				require.Subset(t, pending, r.next)
				result, err := m.Migrate(t.Context())
				require.NoError(t, err)
				require.Equal(t, pending, names(result.Applied))
				require.Empty(t, up(t, db.URL, r.files, migrate.Options{}).Applied)
			}
			again, err := m.Adopt(t.Context(), o)
			require.NoError(t, err)
			require.Empty(t, again.Adopted)
			require.Equal(t, kept, pgtest.Value[string](t, db, rows), "the tool's table is only read")
		})
	}
}

// edited changes each file whose checksum was verified, one by one.
func (r recorded) edited(t *testing.T, db *pgtest.DB, a *migrate.Adoption) {
	t.Helper()
	for _, d := range a.Adopted {
		if d.Checksum != migrate.ChecksumVerified || d.Version.Repeatable() {
			continue
		}
		files := maps.Clone(r.files)
		files[d.Name] = &fstest.MapFile{Data: slices.Concat(files[d.Name].Data, []byte("\nselect 1;\n"))}
		_, err := migrator(t, db.URL, files, migrate.Options{}).Adopt(t.Context(), r.options)
		var changed *migrate.IntegrityError
		require.ErrorAs(t, err, &changed)
		require.ErrorContains(t, err, d.Name)
	}
}

// Liquibase's changesets are found by their names and by their checksums, also where a file has another name now; what a file lost is told.
func TestAdoptChangesets(t *testing.T) {
	t.Parallel()
	r := readRecorded(t, "testdata/adopt/liquibase-4.28")
	db := r.load(t)
	adopt := func(change func(files fstest.MapFS)) (*migrate.Adoption, error) {
		files := maps.Clone(r.files)
		change(files)
		return migrator(t, db.URL, files, migrate.Options{}).Adopt(t.Context(), migrate.AdoptOptions{})
	}
	state := func(a *migrate.Adoption, name string) migrate.ChecksumState {
		i := slices.IndexFunc(a.Adopted, func(d migrate.Adopted) bool { return d.Name == name })
		require.GreaterOrEqual(t, i, 0, "%s is not adopted", name)
		return a.Adopted[i].Checksum
	}
	const plain = "0001_plain.sql"
	text := string(r.files[plain].Data)

	a, err := adopt(func(files fstest.MapFS) {
		files["0008_renamed.sql"] = files[plain]
		delete(files, plain)
	})
	require.NoError(t, err)
	require.Equal(t, migrate.ChecksumVerified, state(a, "0008_renamed.sql"))

	_, err = adopt(func(files fstest.MapFS) {
		files[plain] = &fstest.MapFile{Data: []byte(text[:strings.Index(text, "--changeset bob:three")])}
	})
	require.EqualError(t, err, "Liquibase has applied bob:three of 0001_plain.sql, which is no longer there")

	_, err = adopt(func(files fstest.MapFS) {
		files[plain] = &fstest.MapFile{Data: []byte(strings.Replace(text, "select 1", "select 2", 1))}
	})
	require.ErrorContains(t, err, "0001_plain.sql is not what liquibase applied")

	a, err = adopt(func(files fstest.MapFS) {
		files[plain] = &fstest.MapFile{Data: []byte(strings.Replace(text, "select 1", "select 2", 1) + "--validCheckSum: any\n")}
	})
	require.NoError(t, err)
	require.Equal(t, migrate.ChecksumChanged, state(a, plain))

	// Blanks, comments that are for Liquibase, and what leads back are no part of a checksum.
	a, err = adopt(func(files fstest.MapFS) {
		files[plain] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(text, "\n", "\r\n  \r\n") + "--comment: c\n--rollback select 2;\n")}
	})
	require.NoError(t, err)
	require.Equal(t, migrate.ChecksumVerified, state(a, plain))
}

// Atlas' sums are of a file and of all before it: the file that was edited is named and no other. What a checkpoint replaced is not missed,
// and the checkpoint itself is for empty databases.
func TestAdoptAtlas(t *testing.T) {
	t.Parallel()
	r := readRecorded(t, "testdata/adopt/atlas-lib-order")
	db := r.load(t)
	files := maps.Clone(r.files)
	delete(files, "atlas.sum")
	files["20240102_b.sql"] = &fstest.MapFile{Data: []byte("create table b (id bigint);\n")}
	_, err := migrator(t, db.URL, files, migrate.Options{}).Adopt(t.Context(), migrate.AdoptOptions{})
	require.EqualError(t, err, `20240102_b.sql is not what atlas applied: the checksum in "atlas_schema_revisions"."atlas_schema_revisions" is another`)

	files = history("20240106_checkpoint.sql", "-- atlas:checkpoint\n\ncreate table a (id int);\n", "20240107_f.sql", "create table f (id int);\n")
	m := migrator(t, db.URL, files, migrate.Options{})
	a, err := m.Adopt(t.Context(), migrate.AdoptOptions{Write: true})
	require.NoError(t, err)
	require.Len(t, a.Adopted, 5)
	done, err := m.Migrate(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"20240107_f.sql"}, names(done.Applied))
	status, err := m.Status(t.Context())
	require.NoError(t, err)
	for _, f := range status.Files {
		require.Equal(t, "applied", f.State, f.Name)
	}
}

// The other tool's last job may run after its history was taken over. What it applied is not applied once more, also where that would not
// fail; the rest goes on, and so it does once the tool's table is gone.
func TestAdoptMovedOn(t *testing.T) {
	t.Parallel()
	late := "insert into a values (1);"
	for name, test := range map[string]struct{ setup, file, text, further string }{
		"dbmate": {
			"create table schema_migrations (version varchar primary key); insert into schema_migrations values ('2')", "4_d.sql", "-- migrate:up\n" + late + "\n-- migrate:down\n",
			"insert into schema_migrations values ('4')",
		},
		"golang-migrate": {
			"create table schema_migrations (version bigint primary key, dirty boolean not null); insert into schema_migrations values (2, false)", "4_d.up.sql", late,
			"update schema_migrations set version = 4",
		},
		"liquibase": {
			liquibaseTable + `insert into databasechangelog values ('1', 'me', 'db/2_a.sql', '2024-01-01', 1, 'EXECUTED', null, '', '', null, '4.28')`, "4_d.sql", "--liquibase formatted sql\n--changeset me:4\n" + late,
			"insert into databasechangelog values ('4', 'me', 'db/4_d.sql', '2024-01-01', 1, 'EXECUTED', null, '', '', null, '4.28')",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Database(t)
			db.Exec(t, tableA+test.setup)
			first := map[string]string{"dbmate": "2_a.sql", "golang-migrate": "2_a.up.sql", "liquibase": "2_a.sql"}[name]
			text := map[string]string{"dbmate": "-- migrate:up\n", "liquibase": "--liquibase formatted sql\n--changeset me:1\n"}[name] + tableA
			files := history(first, text)
			_, err := migrator(t, db.URL, files, migrate.Options{}).Adopt(t.Context(), migrate.AdoptOptions{Write: true})
			require.NoError(t, err)
			files[strings.Replace(first, "2_a", "1_late", 1)] = &fstest.MapFile{Data: []byte("create table late (id int);")}
			up(t, db.URL, files, migrate.Options{})

			files[test.file] = &fstest.MapFile{Data: []byte(test.text)}
			files[strings.Replace(first, "2_a", "5_e", 1)] = &fstest.MapFile{Data: []byte("create table e (id int);")}
			db.Exec(t, test.further)
			db.Exec(t, late)
			m := migrator(t, db.URL, files, migrate.Options{})
			_, err = m.Migrate(t.Context())
			require.EqualError(t, err, name+" has applied "+test.file+" since its history was taken over")
			_, _, err = m.Plan(t.Context())
			require.ErrorContains(t, err, "since its history was taken over")
			_, err = m.Adopt(t.Context(), migrate.AdoptOptions{Write: true})
			require.NoError(t, err)
			require.Len(t, up(t, db.URL, files, migrate.Options{}).Applied, 1)
			require.Equal(t, int64(1), pgtest.Value[int64](t, db, "select count(*) from a"))

			table := map[string]string{"liquibase": "databasechangelog"}[name]
			if table == "" {
				table = "schema_migrations"
			}
			db.Exec(t, "drop table "+table)
			files[strings.Replace(first, "2_a", "6_f", 1)] = &fstest.MapFile{Data: []byte("create table f (id int);")}
			require.Len(t, up(t, db.URL, files, migrate.Options{}).Applied, 1)
		})
	}
}
