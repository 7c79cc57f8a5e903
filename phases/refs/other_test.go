package refs_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/refs"
)

func TestOtherSources(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, archive string
		options       refs.Options
		// want are lines of the listing, status is the manifest's, reason a part of the first reason, or of the error.
		want           []string
		status, reason string
	}{
		{
			name:    "sql",
			archive: "-- q/a/b.sql --\nSELECT 1;\n-- a comment\nSELECT email FROM users WHERE id = :id;\n",
			options: refs.Options{SQL: []string{"q/**/*.sql"}},
			want:    []string{`q/a/b.sql:1 exact "SELECT 1" []`, `q/a/b.sql:3 exact "SELECT email FROM users WHERE id = $1" []`},
			status:  evidence.Complete,
		},
		{name: "sql that is not there", archive: "-- a --\n", options: refs.Options{SQL: []string{"q/*.sql"}}, reason: "no file matches q/*.sql"},
		{
			name: "sqlc, version 2",
			archive: "-- db/sqlc.yaml --\nversion: \"2\"\nsql:\n  - engine: postgresql\n    queries: [queries]\n  - engine: mysql\n    queries: other\n" +
				"-- db/queries/q.sql --\n-- name: Get :one\nSELECT sqlc.embed(users) FROM users WHERE id = @id AND name = sqlc.narg('name') AND x = ANY(sqlc.slice(ids));\n",
			options: refs.Options{SQLC: []string{"db/sqlc.yaml"}},
			want:    []string{`db/queries/q.sql:2 exact "SELECT users.* FROM users WHERE id = $1 AND name = $2 AND x = ANY($3)" []`},
			status:  evidence.Complete,
		},
		{
			name:    "sqlc, version 1",
			archive: "-- sqlc.yaml --\nversion: \"1\"\npackages:\n  - queries: q.sql\n-- q.sql --\n-- name: Get :one\nSELECT 1;\n",
			options: refs.Options{SQLC: []string{"sqlc.yaml"}}, want: []string{`q.sql:2 exact "SELECT 1" []`}, status: evidence.Complete,
		},
		{
			name:    "Rust's sqlx",
			archive: "-- .sqlx/query-1.json --\n{\"db_name\": \"PostgreSQL\", \"query\": \"SELECT id FROM users\"}\n-- src/main.rs --\nfn main() { sqlx::query!(\"SELECT id FROM users\"); }\n",
			options: refs.Options{SQLx: []string{".sqlx"}}, want: []string{`.sqlx/query-1.json:1 exact "SELECT id FROM users" []`}, status: evidence.Complete,
		},
		{
			name:    "Rust's sqlx at run time",
			archive: "-- .sqlx/query-1.json --\n{\"query\": \"SELECT id FROM users\"}\n-- src/main.rs --\nfn main() {\n  sqlx::query(&text).execute(&pool);\n}\n",
			options: refs.Options{SQLx: []string{".sqlx"}}, want: []string{`src/main.rs:2 opaque query: sqlx sends a text that no macro has checked`}, status: evidence.Partial, reason: "src/main.rs:2",
		},
		{
			name:    "Rust's sqlx without source",
			archive: "-- .sqlx/query-1.json --\n{\"query\": \"SELECT id FROM users\"}\n",
			options: refs.Options{SQLx: []string{".sqlx"}}, status: evidence.Partial, reason: "there is no Rust source",
		},
		{
			name: "Prisma",
			archive: `-- schema.prisma --
datasource db {
  provider = "postgresql"
}
enum Role {
  USER
}
model User {
  id     Int      @id @default(autoincrement()) // the key
  email  String   @unique @map("email_address")
  role   Role
  posts  Post[]
  tags   Tag[]
  where  Unsupported("point")?
  @@map("users")
  @@schema("app")
}
model Post {
  id     Int  @id
  userId Int  @map("user_id")
  user   User @relation(fields: [userId], references: [id])
}
model Tag {
  id    Int @id
  users User[]
}
-- src/a.ts --
const x = 1
`,
			options: refs.Options{Prisma: []string{"schema.prisma"}},
			want: []string{
				"schema.prisma:7 model User app.users [{id } {email_address } {role }]", "schema.prisma:17 model Post .Post [{id } {user_id }]",
				"schema.prisma:22 model Tag .Tag [{id }]", "schema.prisma:22 model Tag.users ._TagToUser [{A } {B }]",
			},
			status: evidence.Complete,
		},
		{
			name:    "Prisma with raw SQL",
			archive: "-- schema.prisma --\nmodel A {\n  id Int @id\n}\n-- src/a.ts --\nawait prisma.$queryRaw`SELECT 1`\n",
			options: refs.Options{Prisma: []string{"schema.prisma"}}, status: evidence.Partial, reason: "src/a.ts:1",
		},
		{
			name:    "words",
			archive: "-- app/a.py --\n# comment about invoices\nsql = \"select userEmail from people\"\nclass OrderItem: pass\n-- node_modules/b.js --\nvar payments\n",
			options: refs.Options{Tokens: []string{"."}}, status: evidence.Partial, reason: "only the words are known",
		},
		{name: "nothing given", options: refs.Options{}, reason: "no source is given"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.options.Dir = unpack(t, txtar.Parse([]byte(test.archive)))
			m, counts, err := refs.Build(t.Context(), "app", "r1", test.options)
			if test.status == "" {
				require.ErrorContains(t, err, test.reason)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.status, m.Status, m.Reasons)
			lines := strings.Split(listing(m, counts), "\n")
			for _, want := range test.want {
				require.Contains(t, lines, want)
			}
			if test.reason != "" {
				require.Contains(t, m.Reasons[0], test.reason)
			}
			if test.name == "words" {
				words := strings.Fields(m.Tokens)
				require.Subset(t, words, []string{"people", "user_email", "order_item"})
				require.NotContains(t, words, "invoices")
				require.NotContains(t, words, "payments")
			}
		})
	}
}

func TestHarvest(t *testing.T) {
	t.Parallel()
	manifest := func() *evidence.Manifest {
		m := &evidence.Manifest{Version: 1, Consumer: "app", Release: "r1", Status: evidence.Complete}
		refs.Add(m, "SELECT id FROM users WHERE id = $1", gate.Site{File: "a.go", Line: 1})
		m.Templates = []evidence.Template{{Parts: []string{"DELETE FROM ", " WHERE id = $1"}, Holes: []string{evidence.NameHole}}}
		m.Models = []evidence.Model{{Name: "Tag", Table: "tags", Columns: []evidence.ModelColumn{{Name: "id"}, {Name: "name"}}}}
		return m
	}
	for _, test := range []struct {
		name, sent, accept string
		unexplained, added int
		status             string
	}{
		{"the statement itself", "SELECT id FROM users WHERE id = $1", "", 0, 0, evidence.Complete},
		{"with a constant", "select id from users where id = 7", "", 0, 0, evidence.Complete},
		{"by a template", "DELETE FROM orders WHERE id = $1", "", 0, 1, evidence.Complete},
		{"by a model", `SELECT "tags"."id", "tags"."name" FROM "tags" ORDER BY "tags"."id" LIMIT 1`, "", 0, 1, evidence.Complete},
		{"a column that the model lacks", `SELECT tags.secret FROM tags`, "", 1, 1, evidence.Partial},
		{"another table", "SELECT 1 FROM invoices", "", 1, 1, evidence.Partial},
		{"accepted", "SELECT 1 FROM invoices", "only tests do", 1, 1, evidence.Complete},
		{"session", "begin isolation level serializable", "", 0, 0, evidence.Complete},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := manifest()
			unexplained := refs.Harvest(m, []refs.Observed{{Text: test.sent}}, test.accept)
			require.Len(t, unexplained, test.unexplained)
			require.Len(t, m.Statements, 1+test.added)
			require.Equal(t, test.status, m.Status)
		})
	}
}
