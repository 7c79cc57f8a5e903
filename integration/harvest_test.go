package integration

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/harvest"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// TestHarvestTracer sends statements in all the ways that pgx has, and reads them back.
func TestHarvestTracer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.Database(t)
	db.Exec(t, "create table t (a int, b text)")
	path := filepath.Join(t.TempDir(), "sent.jsonl")
	tracer, err := harvest.To(path)
	require.NoError(t, err)
	config, err := pgx.ParseConfig(db.URL)
	require.NoError(t, err)
	config.Tracer = tracer
	conn, err := pgx.ConnectConfig(ctx, config)
	require.NoError(t, err)
	for range 2 {
		_, err = conn.Exec(ctx, "insert into t (a) values ($1)", 1)
		require.NoError(t, err)
	}
	var n int
	require.NoError(t, conn.QueryRow(ctx, "select count(*) from t").Scan(&n))
	var batch pgx.Batch
	batch.Queue("update t set b = $1", "x")
	batch.Queue("delete from t where a = 2")
	require.NoError(t, conn.SendBatch(ctx, &batch).Close())
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"t"}, []string{"a", "b"}, pgx.CopyFromRows([][]any{{1, "y"}}))
	require.NoError(t, err)
	_, err = conn.Prepare(ctx, "by_name", "select b from t")
	require.NoError(t, err)
	require.NoError(t, conn.Close(ctx))
	require.NoError(t, tracer.Close())

	f, err := os.Open(path) //nolint:gosec // the test's own file
	require.NoError(t, err)
	defer f.Close()
	var texts []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var s harvest.Sent
		require.NoError(t, json.Unmarshal(lines.Bytes(), &s))
		texts = append(texts, s.SQL)
		require.Equal(t, "harvest_test.go", filepath.Base(s.File), s.SQL)
		require.NotZero(t, s.Line)
	}
	require.Equal(t, []string{
		"insert into t (a) values ($1)", "select count(*) from t", "update t set b = $1", "delete from t where a = 2",
		`copy "t" ( "a", "b" ) from stdin binary;`, `select "a", "b" from "t"`, "select b from t",
	}, texts)
}

// TestLedgerKeepsParts registers a manifest that is not all whole statements, twice and in two versions, and asks the
// ledger for what it says.
func TestLedgerKeepsParts(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.Database(t)
	files := history("0001_users.sql", "create table users (id bigint primary key, email text, score int);")
	up(t, db.URL, files, migrate.Options{})
	m := &evidence.Manifest{
		Version: 1, Consumer: "api", Release: "r1", Status: evidence.Complete,
		Statements: []evidence.Statement{{SHA256: evidence.HashText("select 1"), Text: "select 1"}},
		Parts: evidence.Parts{
			Templates: []evidence.Template{{Parts: []string{"delete from ", " where id = $1"}, Holes: []string{evidence.NameHole}, Sites: []gate.Site{{File: "a.go", Line: 1}}}},
			Models:    []evidence.Model{{Name: "User", Table: "users", Columns: []evidence.ModelColumn{{Name: "email"}}}},
			Tokens:    "email users",
		},
	}
	conn := db.Conn(t)
	for range 2 {
		require.NoError(t, evidence.Register(ctx, conn, m, "test"))
	}
	more := *m
	more.Models = []evidence.Model{{Name: "User", Table: "users", Columns: []evidence.ModelColumn{{Name: "score"}}}}
	require.NoError(t, evidence.Register(ctx, conn, &more, "test"))

	snapshot, err := evidence.Load(ctx, conn, gate.Policy{}, nil)
	require.NoError(t, err)
	require.Len(t, snapshot.Evidence.Releases, 1)
	kept := snapshot.Evidence.Releases[0].Manifest
	require.True(t, kept.Words["users"])
	met := map[string]bool{}
	for _, name := range []string{"email", "score", "id", "other"} {
		take := phases.Take{Object: phases.Object{Kind: phases.Column, Schema: "public", Relation: "users", Column: name}, Uses: phases.Read}
		for _, q := range kept.Queries {
			if q.Mentions.Meets(take, nil, "id", "email", "score").Uses != 0 {
				met[name] = true
			}
		}
	}
	require.Equal(t, map[string]bool{"email": true, "score": true, "id": true}, met, "both manifests and the template count")
	var parts int
	require.NoError(t, conn.QueryRow(ctx, "select jsonb_array_length(parts) from pawl.release").Scan(&parts))
	require.Equal(t, 2, parts, "the same manifest is kept once")
}
