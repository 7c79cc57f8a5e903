package kubernetes

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// readyToDrop makes a shop in which r1 is retired and r2 runs, so that the contract goes through if what runs can be seen.
func readyToDrop(t *testing.T) (*shop, release) {
	t.Helper()
	s := newShop(t)
	r1 := newRelease(t, "4", 1, "select id, email from users")
	r2 := newRelease(t, "5", 2, "select id, name from users")
	for _, o := range r2.targets(t, "presync") {
		if o.GetKind() != "Job" {
			require.NoError(t, shared.apply(t.Context(), s.namespace, false, o))
		}
	}
	off := []string{"--kubernetes=off"}
	for _, args := range [][]string{
		{"migrate", "--manifest=pawl.refs.json"}, {"release", "live", "gateway", r1.id},
	} {
		done := s.pawl(r1.root, slices.Concat(args, flags(args, off))...)
		require.Zero(t, done.code, done.text)
	}
	for _, args := range [][]string{
		{"release", "register", "pawl.refs.json"}, {"release", "live", "gateway", r2.id},
		{"release", "digests", "gateway", r2.id, digest("5")}, {"release", "retire", "gateway", r1.id, "--reason=gone"},
	} {
		done := s.pawl(r2.root, args...)
		require.Zero(t, done.code, done.text)
	}
	eventually(t, "r2 runs", func() bool { return s.pods()[r2.image] == 10 && s.phase() == "Healthy" }, func() any { return s.pods() })
	return s, r2
}

// flags leaves out what a subcommand does not have.
func flags(args, list []string) []string {
	if args[0] == "release" {
		return nil
	}
	return list
}

// TestLeastRights runs with exactly the Role of deploy/: it suffices, and without any one of its rights nothing that takes
// something away goes through, while what only adds does.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	s, r2 := readyToDrop(t)
	gate := s.pawl(r2.root, "gate")
	require.Zero(t, gate.code, gate.text)
	require.Contains(t, gate.text, "allowed")

	roles := shared.client.RbacV1().Roles(s.namespace)
	whole, err := roles.Get(t.Context(), "pawl", meta.GetOptions{})
	require.NoError(t, err)
	set := func(rules []rbac.PolicyRule) {
		t.Helper()
		role, err := roles.Get(t.Context(), "pawl", meta.GetOptions{})
		require.NoError(t, err)
		role.Rules = rules
		_, err = roles.Update(t.Context(), role, meta.UpdateOptions{})
		require.NoError(t, err)
	}
	tried := 0
	for i, rule := range whole.Rules {
		if slices.Equal(rule.Resources, []string{"events"}) {
			// Of the component, and not for looking.
			require.Equal(t, []string{"create"}, rule.Verbs)
			continue
		}
		require.Equal(t, []string{"list"}, rule.Verbs, "listing is all that it takes")
		for _, resource := range rule.Resources {
			less := whole.DeepCopy().Rules
			less[i].Resources = slices.DeleteFunc(slices.Clone(rule.Resources), func(r string) bool { return r == resource })
			less = slices.DeleteFunc(less, func(r rbac.PolicyRule) bool { return len(r.Resources) == 0 })
			set(less)
			// The authorizer learns of it a moment later.
			eventually(t, "a contract is held without the right to list "+resource, func() bool {
				gate = s.pawl(r2.root, "gate")
				return gate.code == 3 && strings.Contains(gate.text, "pawl may not list the "+resource+" in namespace "+s.namespace)
			}, func() any { return gate })
			tried++
		}
	}
	require.Equal(t, 8, tried)
	require.Equal(t, "id email name", s.columns())

	// Without any right, an expand goes through.
	set([]rbac.PolicyRule{})
	require.NoError(t, os.WriteFile(filepath.Join(r2.root, "migrations", "0003_notes.sql"), []byte("create table notes (id bigint primary key);\n"), 0o600))
	done := s.pawl(r2.root, "migrate")
	require.Zero(t, done.code, done.text)
	require.Contains(t, done.text, "may not list the pods")
	require.Contains(t, done.text, "applied   expand    0003_notes.sql")
	require.Equal(t, "id email name", s.columns())

	set(whole.Rules)
	eventually(t, "the contract goes through with the whole Role", func() bool {
		done = s.pawl(r2.root, "migrate")
		return strings.Contains(done.text, "applied   contract  0002_drop_email.sql")
	}, func() any { return done })
	require.Equal(t, "id name", s.columns())
}

// TestServerGone cuts the connection to the API server after each number of answers: never is a part taken for the whole.
func TestServerGone(t *testing.T) {
	t.Parallel()
	s, r2 := readyToDrop(t)
	target, err := url.Parse(shared.config.Host)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // the control plane is this test's own
	var left, asked atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if left.Add(-1) < 0 {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	direct, err := shared.identity(t.Context(), s.namespace, "pawl", t.TempDir())
	require.NoError(t, err)
	text, err := os.ReadFile(direct)
	require.NoError(t, err)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(kubeconfig, []byte(strings.ReplaceAll(string(text), shared.config.Host, server.URL)), 0o600))

	left.Store(1000)
	gate := s.run(r2.root, kubeconfig, "gate")
	require.Zero(t, gate.code, gate.text)
	needed := asked.Load()
	require.Equal(t, int64(8), needed, "one request for each kind")
	for n := range needed {
		left.Store(n)
		gate := s.run(r2.root, kubeconfig, "gate", "--kubernetes-timeout=1s")
		require.Equal(t, 3, gate.code, "after %d answers: %s", n, gate.text)
		require.Contains(t, gate.text, "was lost in the middle of its answer")
	}
}
