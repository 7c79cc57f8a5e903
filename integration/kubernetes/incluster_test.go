package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	authentication "k8s.io/api/authentication/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// inside runs a program where the directory $1 is what pods see at /var/run/secrets/kubernetes.io/serviceaccount, a path that
// client-go does not let anybody choose, and where the API server has the name that is in its certificate.
const inside = `mount -t tmpfs tmpfs /run && mkdir -p /run/secrets/kubernetes.io && ln -s "$1" /run/secrets/kubernetes.io/serviceaccount &&
echo '127.0.0.1 localhost kubernetes.default.svc' > /run/hosts && mount --bind /run/hosts /etc/hosts && shift && exec "$@"`

// ownMounts begins the command of a program that has mounts of its own, which takes a user namespace where we are not root.
func ownMounts(account string) []string {
	args := []string{"unshare", "--mount"}
	if os.Geteuid() != 0 {
		args = append(args, "--map-root-user")
	}
	return append(args, "/bin/sh", "-c", inside, "sh", account)
}

// hasOwnMounts tells whether this machine lets us have them.
func hasOwnMounts(ctx context.Context, dir string) bool {
	args := append(ownMounts(dir), "test", "-d", "/var/run/secrets/kubernetes.io/serviceaccount")
	return exec.CommandContext(ctx, args[0], args[1:]...).Run() == nil
}

// inPod gives the command that begins pawl with the identity of a pod, and puts what goes with it into the environment: the files
// and variables by which client-go finds the cluster that it is in. Where a process cannot have mounts of its own, it is told of a
// kubeconfig with the same token.
func (w *world) inPod(ctx context.Context, namespace, account, dir string, env map[string]string) ([]string, error) {
	if !w.mounts {
		var err error
		env["PAWL_KUBECONFIG"], err = w.identity(ctx, namespace, account, dir)
		return []string{w.pawl}, err
	}
	token, err := w.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, &authentication.TokenRequest{}, meta.CreateOptions{})
	if err != nil {
		return nil, err
	}
	// The server made its certificate itself, and the file has who signed it.
	ca, err := os.ReadFile(filepath.Join(filepath.Dir(w.kubeconfig), "certs", "apiserver.crt"))
	if err != nil {
		return nil, err
	}
	at := filepath.Join(dir, "serviceaccount")
	if err := os.Mkdir(at, 0o700); err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{"token": []byte(token.Status.Token), "namespace": []byte(namespace), "ca.crt": ca} {
		if err := os.WriteFile(filepath.Join(at, name), data, 0o600); err != nil {
			return nil, err
		}
	}
	server, err := url.Parse(w.config.Host)
	if err != nil {
		return nil, err
	}
	env["KUBERNETES_SERVICE_HOST"], env["KUBERNETES_SERVICE_PORT"] = "kubernetes.default.svc", server.Port()
	return append(ownMounts(at), w.pawl), nil
}

// TestInCluster has nothing but what a pod has. A token that the server does not take, or a server that cannot be trusted, holds
// contracts with that as the reason.
func TestInCluster(t *testing.T) {
	t.Parallel()
	if !shared.mounts {
		t.Skip("this machine gives a process no mounts of its own: become root, or allow user namespaces")
	}
	s, r2 := readyToDrop(t)
	dir := t.TempDir()
	env := map[string]string{}
	program, err := shared.inPod(t.Context(), s.namespace, "pawl", dir, env)
	require.NoError(t, err)
	run := func(args ...string) outcome {
		t.Helper()
		args = append(program[1:len(program):len(program)], args...)
		cmd := exec.CommandContext(t.Context(), program[0], args...)
		cmd.Dir, cmd.Env = r2.root, []string{"PAWL_DATABASE_URL=" + s.url, "PAWL_FORMAT=text"}
		for name, value := range env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			require.NoError(t, err)
		}
		return outcome{cmd.ProcessState.ExitCode(), out.String()}
	}
	seen := run("gate", "--kubernetes=require")
	require.Zero(t, seen.code, seen.text)
	require.Contains(t, seen.text, "allowed")

	// The namespace is the pod's own, and the rights are its account's: without its Role it sees nothing.
	binding, err := shared.client.RbacV1().RoleBindings(s.namespace).Get(t.Context(), "pawl", meta.GetOptions{})
	require.NoError(t, err)
	require.NoError(t, shared.client.RbacV1().RoleBindings(s.namespace).Delete(t.Context(), "pawl", meta.DeleteOptions{}))
	eventually(t, "it may list nothing", func() bool { seen = run("gate"); return seen.code == 3 }, func() any { return seen })
	require.Contains(t, seen.text, "pawl may not list the pods, ")
	require.Contains(t, seen.text, "rollouts in namespace "+s.namespace)
	again := &rbac.RoleBinding{ObjectMeta: meta.ObjectMeta{Name: "pawl"}, Subjects: binding.Subjects, RoleRef: binding.RoleRef}
	_, err = shared.client.RbacV1().RoleBindings(s.namespace).Create(t.Context(), again, meta.CreateOptions{})
	require.NoError(t, err)
	eventually(t, "it may list everything again", func() bool { seen = run("gate"); return seen.code == 0 }, func() any { return seen })

	for file, reason := range map[string]string{
		"token":  "does not accept",
		"ca.crt": "certificate",
	} {
		path := filepath.Join(dir, "serviceaccount", file)
		good, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, []byte("nonsense"), 0o600))
		seen = run("gate", "--kubernetes-timeout=3s")
		require.Equal(t, 3, seen.code, seen.text)
		require.Contains(t, seen.text, reason)
		require.NoError(t, os.WriteFile(path, good, 0o600))
	}
	done := run("migrate")
	require.Zero(t, done.code, done.text)
	require.Equal(t, "id name", s.columns())
}
