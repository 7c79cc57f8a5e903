package lint_test

import (
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/lint"
)

// laterFixes are files that are cured by moving something into a second one.
var laterFixes = []struct {
	rule, before, after, path, second string
	version                           int
}{
	{
		rule:   "blocking-check",
		before: "ALTER TABLE orders ADD CONSTRAINT orders_quantity_check CHECK (quantity < 1000);\n",
		after:  "ALTER TABLE orders ADD CONSTRAINT orders_quantity_check CHECK (quantity < 1000) NOT VALID;\n",
		path:   "0043_validate_orders_quantity_check.sql",
		second: "ALTER TABLE orders VALIDATE CONSTRAINT orders_quantity_check;\n",
	},
	{
		rule:   "blocking-check",
		before: "ALTER TABLE orders ADD COLUMN currency text, ADD CONSTRAINT \"Few\" CHECK (quantity < 1000), ALTER COLUMN note SET DEFAULT 'x';\n",
		after:  "ALTER TABLE orders ADD COLUMN currency text, ADD CONSTRAINT \"Few\" CHECK (quantity < 1000) NOT VALID, ALTER COLUMN note SET DEFAULT 'x';\n",
		path:   "0043_validate_few.sql",
		second: "ALTER TABLE orders VALIDATE CONSTRAINT \"Few\";\n",
	},
	{
		rule:   "blocking-foreign-key",
		before: "ALTER TABLE public.orders\n  ADD CONSTRAINT orders_id_fkey FOREIGN KEY (id) REFERENCES users (id) ON DELETE CASCADE DEFERRABLE;\nCOMMENT ON TABLE orders IS 'x';\n",
		after:  "ALTER TABLE public.orders\n  ADD CONSTRAINT orders_id_fkey FOREIGN KEY (id) REFERENCES users (id) ON DELETE CASCADE DEFERRABLE NOT VALID;\nCOMMENT ON TABLE orders IS 'x';\n",
		path:   "0043_validate_orders_id_fkey.sql",
		second: "ALTER TABLE public.orders VALIDATE CONSTRAINT orders_id_fkey;\n",
	},
	{
		rule: "blocking-not-null", version: 18,
		before: "ALTER TABLE orders ADD CONSTRAINT orders_quantity_set NOT NULL quantity;\n",
		after:  "ALTER TABLE orders ADD CONSTRAINT orders_quantity_set NOT NULL quantity NOT VALID;\n",
		path:   "0043_validate_orders_quantity_set.sql",
		second: "ALTER TABLE orders VALIDATE CONSTRAINT orders_quantity_set;\n",
	},
	{
		rule:   "blocking-index",
		before: "ALTER TABLE users ADD COLUMN locale text;\n\n-- The list of orders filters by it.\nCREATE INDEX orders_state_idx ON orders (state);\nCREATE TABLE shops (id bigint PRIMARY KEY);\n",
		after:  "ALTER TABLE users ADD COLUMN locale text;\n\nCREATE TABLE shops (id bigint PRIMARY KEY);\n",
		path:   "0043_orders_state_idx.sql",
		second: "-- The list of orders filters by it.\nCREATE INDEX CONCURRENTLY orders_state_idx ON orders (state);\n",
	},
	{
		rule:   "blocking-index-drop",
		before: "DROP INDEX users_name_idx; CREATE TABLE shops (id bigint PRIMARY KEY);\n",
		after:  "CREATE TABLE shops (id bigint PRIMARY KEY);\n",
		path:   "0043_users_name_idx.sql",
		second: "DROP INDEX CONCURRENTLY users_name_idx;\n",
	},
	{
		rule:   "blocking-check",
		before: "ALTER TABLE orders ADD CHECK (quantity < 1000);\n",
		after:  "ALTER TABLE orders ADD CONSTRAINT orders_quantity_check CHECK (quantity < 1000) NOT VALID;\n",
		path:   "0043_validate_orders_quantity_check.sql",
		second: "ALTER TABLE orders VALIDATE CONSTRAINT orders_quantity_check;\n",
	},
	{
		rule:   "blocking-check",
		before: "ALTER TABLE orders\n  ADD  check (quantity < 1000 or note is null);\n",
		after:  "ALTER TABLE orders\n  ADD  CONSTRAINT orders_check check (quantity < 1000 or note is null) NOT VALID;\n",
		path:   "0043_validate_orders_check.sql",
		second: "ALTER TABLE orders VALIDATE CONSTRAINT orders_check;\n",
	},
	{
		rule:   "blocking-foreign-key",
		before: "ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES users;\n",
		after:  "ALTER TABLE orders ADD CONSTRAINT orders_id_fkey FOREIGN KEY (id) REFERENCES users NOT VALID;\n",
		path:   "0043_validate_orders_id_fkey.sql",
		second: "ALTER TABLE orders VALIDATE CONSTRAINT orders_id_fkey;\n",
	},
	{
		rule:   "validated-under-lock",
		before: "ALTER TABLE orders ADD CONSTRAINT few CHECK (quantity < 1000) NOT VALID;\nALTER TABLE orders VALIDATE CONSTRAINT few;\n",
		after:  "ALTER TABLE orders ADD CONSTRAINT few CHECK (quantity < 1000) NOT VALID;\n",
		path:   "0043_validate_few.sql",
		second: "ALTER TABLE orders VALIDATE CONSTRAINT few;\n",
	},
	{
		rule:   "mixed-phases",
		before: "BEGIN;\n-- nobody reads it\nALTER TABLE orders DROP COLUMN note;\nALTER TABLE users ADD COLUMN locale text;\nDROP VIEW open_orders;\nCOMMIT;\n",
		after:  "BEGIN;\nALTER TABLE users ADD COLUMN locale text;\nCOMMIT;\n",
		path:   "0043_change_contract.sql",
		second: "-- pawl:phase contract\n-- nobody reads it\nALTER TABLE orders DROP COLUMN note;\nDROP VIEW open_orders;\n",
	},
}

func laterLinter(t *testing.T, version int, free func(string) bool) *lint.Linter {
	t.Helper()
	l, err := lint.New(lint.Options{Version: version, Transactions: lint.ByFile, Free: free})
	require.NoError(t, err)
	l.Learn(source("migrations/0001_schema.sql", lint.PageSchema()))
	return l
}

// TestFixesInTwoFiles holds what a cure with a second file promises: both parse, the rule is silent, nothing else is found, and
// PostgreSQL ends up with the same schema.
func TestFixesInTwoFiles(t *testing.T) {
	t.Parallel()
	free := func(string) bool { return true }
	fill := func(ctx context.Context, url string) error {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(ctx) }()
		_, err = conn.Exec(ctx, lint.PageSchema())
		return err
	}
	for _, c := range laterFixes {
		t.Run(c.rule+" "+c.path, func(t *testing.T) {
			t.Parallel()
			const path = "migrations/0042_change.sql"
			found := laterLinter(t, c.version, free).Check(source(path, c.before))
			at := slices.IndexFunc(found, func(f lint.Finding) bool { return f.Rule == c.rule })
			require.GreaterOrEqual(t, at, 0, "%v", found)
			edits := slices.Clone(found[at].Edits)
			slices.SortFunc(edits, func(x, y lint.Edit) int { return y.Start - x.Start })
			after, path2, text2 := c.before, "", ""
			for _, e := range edits {
				if e.NewFile {
					path2, text2 = e.Path, e.Text
					continue
				}
				after = after[:e.Start] + e.Text + after[e.End:]
			}
			require.Equal(t, c.after, after)
			require.Equal(t, "migrations/"+c.path, path2)
			require.Equal(t, c.second, text2)

			l := laterLinter(t, c.version, free)
			require.Empty(t, l.Check(source(path, after)))
			require.Empty(t, l.Check(source(path2, text2)))

			// A taken version, or a tool that wraps every file, leaves the cure to a person.
			taken := laterLinter(t, c.version, func(string) bool { return false }).Check(source(path, c.before))
			require.Empty(t, taken[at].Edits)
			require.Equal(t, "migrations/"+c.path, taken[at].Wants)

			database := func() *pgtest.DB {
				if c.version > 14 {
					return pgtest.TemplateOf(t, c.version, "lint-pages", fill)
				}
				return pgtest.Template(t, "lint-pages", fill)
			}
			dump := func(files ...string) string {
				db := database()
				conn := db.Conn(t)
				for _, text := range files {
					_, err := conn.PgConn().Exec(t.Context(), text).ReadAll()
					require.NoError(t, err)
				}
				return pgtest.Catalog(t, db)
			}
			require.Equal(t, dump(c.before), dump(after, text2))
		})
	}
}

func TestNextFile(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"migrations/0042_drop_note.sql", "validate Few", "migrations/0043_validate_few.sql"},
		{"migrations/0099_a.sql", "", "migrations/0100_a.sql"},
		{"999_a.sql", "b", "1000_b.sql"},
		{"20260131120059_a.sql", "b", "20260131120060_b.sql"},
		{"V3__a.sql", "b", "V4__b.sql"},
		{"V1.9__a.sql", "b", "V1.10__b.sql"},
		{"3-a.sql", "b", "4-b.sql"},
		{"0042_a.up.sql", "b", ""},
		{"R__a.sql", "b", ""},
		{"20260131120059_a/migration.sql", "b", ""},
	} {
		require.Equal(t, c[2], lint.NextFile(c[0], c[1]), c[0])
	}
}

// TestLaterFixesThatAreNone holds that nothing is moved past what needs it.
func TestLaterFixesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"ALTER TABLE orders ADD CONSTRAINT few CHECK (quantity IS NOT NULL);\nALTER TABLE orders ALTER COLUMN quantity SET NOT NULL;",
		"CREATE UNIQUE INDEX o ON orders (quantity);\nALTER TABLE orders ADD CONSTRAINT o UNIQUE USING INDEX o;",
		"CREATE INDEX o ON orders (quantity);\nCOMMENT ON INDEX o IS 'x';",
		"DROP INDEX users_name_idx;\nCREATE INDEX CONCURRENTLY users_name_idx ON users (name, plan);",
		"ALTER TABLE orders DROP COLUMN note;\nALTER TABLE orders ADD COLUMN note int;",
		"ALTER TABLE orders DROP COLUMN note, ADD COLUMN fresh int;",
		"DO $$ BEGIN CREATE INDEX o ON orders (quantity); END $$;\nSELECT 1;",
		"ALTER TABLE orders ADD CHECK (total < 1000);",
		"-- +goose Up\nALTER TABLE orders ADD CONSTRAINT few CHECK (quantity < 1000);",
	} {
		for _, f := range laterLinter(t, 0, func(string) bool { return true }).Check(source("migrations/0042_change.sql", text)) {
			for _, e := range f.Edits {
				require.False(t, e.NewFile, "%s makes %s of\n%s", f.Rule, e.Path, text)
			}
		}
	}
}
