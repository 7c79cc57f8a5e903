package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgtest"
)

// A password appears in no output, log, error or row of the ledger, in whatever form and wherever it is given, also where
// it stands in what cannot be read.
func TestPasswordsAppearNowhere(t *testing.T) {
	t.Parallel()
	const marker = "s3cr3t-m4rker"
	server := pgtest.Private(t, pgserver.Options{Password: marker, Settings: map[string]string{"log_statement": "all", "log_connections": "on"}})
	good := server.URL("postgres")
	u, err := url.Parse(good)
	require.NoError(t, err)
	require.Contains(t, good, marker)

	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	write("migrations/0001_a.sql", "create table a (id int);")
	write("migrations/0002_b.sql", "create index concurrently a_id on a (id);")
	bare := *u
	bare.User = url.User(u.User.Username())
	query := bare.Query()
	query.Set("password", marker)
	inQuery := bare
	inQuery.RawQuery = query.Encode()
	query.Set("sslpassword", marker)
	query.Set("sslcert", "/nowhere.crt")
	query.Set("sslkey", "/nowhere.key")
	query.Set("sslmode", "require")
	withKey := *u
	withKey.RawQuery = query.Encode()
	keywords := fmt.Sprintf("host=%s port=%s user=%s dbname=postgres sslmode=disable", u.Hostname(), u.Port(), u.User.Username())
	passfile := write("passfile", fmt.Sprintf("*:*:*:*:%s\n", marker))
	wrong := strings.Replace(good, marker, marker+"-wrong", 1)

	pawl := func(env []string, args ...string) (string, error) {
		cmd := exec.Command("pawl", args...)
		cmd.Dir = dir
		cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "PG") || strings.HasPrefix(e, "DATABASE_URL") }), env...)
		out, err := cmd.CombinedOutput()
		require.NotContains(t, string(out), marker, "%v", args)
		return string(out), err
	}

	// What works, in each form.
	for _, c := range []struct {
		env  []string
		args []string
	}{
		{nil, []string{"--database-url", good}},
		{nil, []string{"--database-url", good, "--format", "json"}},
		{nil, []string{"--database-url", inQuery.String()}},
		{nil, []string{"--database-url", keywords + " password=" + marker}},
		{nil, []string{"--database-url", keywords + " password='" + marker + "'"}},
		{nil, []string{"--database-url-file", write("url", good+"\n")}},
		{[]string{"DATABASE_URL=" + good}, nil},
		{[]string{"PAWL_DATABASE_URL=" + good}, nil},
		{[]string{"PGPASSWORD=" + marker, "DATABASE_URL=" + bare.String()}, nil},
		{[]string{"PGPASSFILE=" + passfile, "DATABASE_URL=" + bare.String()}, nil},
		{[]string{"DATABASE_URL=" + good, "PGAPPNAME=x"}, []string{"--config", write("conf/pawl.yaml", "database-url: "+good+"\n")}},
	} {
		for _, command := range []string{"migrate", "status", "plan"} {
			out, err := pawl(c.env, append([]string{command}, c.args...)...)
			require.NoError(t, err, "%s", out)
		}
	}
	// What does not: each of these fails, and says why without saying what.
	write("broken/0001_role.sql", "create role r password '"+marker+"' bogus;")
	write("refused/0003_role.sql", "create role postgres password '"+marker+"';")
	for _, args := range [][]string{
		{"migrate", "--database-url", wrong},
		{"migrate", "--database-url", wrong, "--format", "json"},
		{"migrate", "--database-url", withKey.String()},
		{"migrate", "--database-url", strings.Replace(good, u.Port(), "not-a-port", 1)},
		{"migrate", "--database-url", strings.Replace(good, u.Port(), "1", 1)},
		{"migrate", "--database-url", strings.Replace(good, marker, "%zz"+marker, 1)},
		{"migrate", "--database-url", strings.Replace(good, marker, "a b@"+marker, 1)},
		{"migrate", "--database-url", strings.Replace(good, marker, "a#/?"+marker, 1)},
		{"migrate", "--database-url", strings.Replace(good, "postgres://", "postgres:/", 1)},
		{"migrate", "--database-url", strings.Replace(good, "postgres://", "mysql://", 1)},
		{"migrate", "--database-url", good + "&sslmode=bogus&connect_timeout=x"},
		{"migrate", "--database-url", good + "&target_session_attrs=" + marker[:0] + "bogus"},
		{"migrate", "--database-url", keywords + " password='" + marker},
		{"migrate", "--database-url", keywords + " password=" + marker + " port=x"},
		{"migrate", "--database-url", keywords + " =" + " password=" + marker},
		{"migrate", "--database-url-file", write("badurl", "postgres://u:"+marker+"@[::1/x\n")},
		{"migrate", "--database-url-file", good},
		{"migrate", good},
		{"migrate", "--wait", good},
		{"migrate", "--databse-url", good},
		{"migrate", "--lane", good, "--database-url", good},
		{good},
		{"migrate", "--database-url", good, "--dir", "broken"},
		{"migrate", "--database-url", good, "--dir", "broken", "--format", "json"},
		{"migrate", "--database-url", good, "--dir", "refused"},
		{"resolve", "1", "--applied", "--reason", "none", "--database-url", wrong},
		{"release", "live", "--consumer", "api", "--release", "r1", "--database-url", wrong},
	} {
		out, err := pawl(nil, args...)
		require.Error(t, err, "%v: %s", args, out)
	}

	// What stays in the database, and what it shows to others.
	conn, err := pgx.Connect(context.Background(), good)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), `
		select coalesce((xpath('/*', query_to_xml(format('select * from pawl.%I', relname), true, false, '')))[1]::text, '') from pg_class
		where relnamespace = 'pawl'::regnamespace and relkind in ('r', 'v') union all select query_to_xml('select * from pg_stat_activity', true, false, '')::text`)
	require.NoError(t, err)
	kept, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Contains(t, strings.Join(kept, "\n"), "0002_b", "the ledger is looked at")
	require.NotContains(t, strings.Join(kept, "\n"), marker)
}
