package kubernetes

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/argoproj/gitops-engine/pkg/sync/common"
	"github.com/stretchr/testify/require"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// release is one build of the gateway: its migrations, and what it sends.
type release struct {
	id, image, root string
	sends           string
}

// history are the migrations that releases bring, in order: r1 makes the table, r2 drops what it no longer reads, r3 adds.
func migrationsUpTo(n int) map[string]string {
	all := []struct{ name, text string }{
		{"0001_users.sql", "create table users (id bigint primary key, email text, name text);\n"},
		{"0002_drop_email.sql", "alter table users drop column email;\n"},
		{"0003_add_note.sql", "alter table users add column note text;\n"},
	}
	files := map[string]string{}
	for _, m := range all[:n] {
		files[m.name] = m.text
	}
	return files
}

// newRelease makes an image's root: the migrations, the manifest and pawl.yaml, as a Dockerfile copies them.
func newRelease(t *testing.T, digit string, migrations int, sends string) release {
	t.Helper()
	r := release{id: "r" + digit, image: "registry.example.com/gateway@" + digest(digit), root: t.TempDir(), sends: sends}
	require.NoError(t, os.Mkdir(filepath.Join(r.root, "migrations"), 0o700))
	for name, text := range migrationsUpTo(migrations) {
		require.NoError(t, os.WriteFile(filepath.Join(r.root, "migrations", name), []byte(text), 0o600))
	}
	manifest := fmt.Sprintf(`{"version": 1, "consumer": "gateway", "release": %q, "status": "complete", "statements": [{"text": %q, "sites": [{"file": "store.go", "line": 88}]}]}`, r.id, sends)
	require.NoError(t, os.WriteFile(filepath.Join(r.root, "pawl.refs.json"), []byte(manifest), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(r.root, "pawl.yaml"), []byte("consumers: {gateway: {pods: app=gateway}}\n"), 0o600))
	shared.kubelet.give(r.image, r.root)
	return r
}

// targets is what the Application has in git at this release: the hooks as deploy/ has them, and the gateway as a canary.
func (r release) targets(t *testing.T, variant string) []*unstructured.Unstructured {
	t.Helper()
	_, sum, _ := strings.Cut(r.image, "@")
	return append(render(t, fmt.Sprintf(`
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [ROOT/deploy/%s]
components: [ROOT/deploy/components/events]
commonAnnotations: {pawl.bitvault.io/consumer: gateway, pawl.bitvault.io/release: %s}
images: [{name: app-migrations, newName: registry.example.com/gateway, digest: '%s'}]
`, variant, r.id, sum)), parse(t, fmt.Sprintf(`
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata:
  name: gateway
  annotations: {argocd.argoproj.io/sync-wave: "1"}
spec:
  replicas: 10
  selector: {matchLabels: {app: gateway}}
  strategy:
    canary:
      steps: [{setWeight: 10}, {pause: {}}]
  template:
    metadata: {labels: {app: gateway}}
    spec:
      automountServiceAccountToken: false
      initContainers:
        - name: pawl-verify
          image: %[1]s
          args: [verify, --manifest=/pawl.refs.json, --database-url-file=/var/run/secrets/pawl/url]
          volumeMounts: [{name: database, mountPath: /var/run/secrets/pawl, readOnly: true}]
      containers:
        - name: gateway
          image: %[1]s
      volumes:
        - name: database
          secret: {secretName: pawl-database, items: [{key: url, path: url}]}
`, r.image))...)
}

// rollout gives the gateway's Rollout as it is.
func (s *shop) rollout() *unstructured.Unstructured {
	s.t.Helper()
	o, err := shared.dynamic.Resource(rollouts).Namespace(s.namespace).Get(s.t.Context(), "gateway", meta.GetOptions{})
	require.NoError(s.t, err)
	return o
}

func (s *shop) phase() string {
	o := s.rollout()
	phase, _, _ := unstructured.NestedString(o.Object, "status", "phase")
	if seen, _, _ := unstructured.NestedString(o.Object, "status", "observedGeneration"); seen != generation(o) {
		return "not seen yet"
	}
	return phase
}

// patch does what `kubectl argo rollouts promote --full` and `abort` do.
func (s *shop) patch(status string) {
	s.t.Helper()
	_, err := shared.dynamic.Resource(rollouts).Namespace(s.namespace).Patch(s.t.Context(), "gateway", types.MergePatchType, []byte(`{"status": `+status+`}`), meta.PatchOptions{}, "status")
	require.NoError(s.t, err)
}

// pods counts the gateway's pods by image.
func (s *shop) pods() map[string]int {
	s.t.Helper()
	list, err := shared.client.CoreV1().Pods(s.namespace).List(s.t.Context(), meta.ListOptions{LabelSelector: "app=gateway"})
	require.NoError(s.t, err)
	count := map[string]int{}
	for _, p := range list.Items {
		count[p.Spec.Containers[0].Image]++
	}
	return count
}

// message gives the termination message of the newest pod of a Job, and its exit code.
func (s *shop) message(job string) (string, int32) {
	s.t.Helper()
	list, err := shared.client.CoreV1().Pods(s.namespace).List(s.t.Context(), meta.ListOptions{LabelSelector: "job-name=" + job})
	require.NoError(s.t, err)
	for _, p := range list.Items {
		for _, c := range p.Status.ContainerStatuses {
			if c.State.Terminated != nil {
				return c.State.Terminated.Message, c.State.Terminated.ExitCode
			}
		}
	}
	return "", -1
}

// contract tries the held contracts with a window that is over at once, so that only what runs can hold them.
func (s *shop) contract(r release) outcome {
	s.t.Helper()
	return s.pawl(r.root, "migrate", "--lane=contract", "--gate-window=1ms", "--gate-keep-previous=0")
}

// TestCanary is the story that pawl is for: a canary at 10 per cent, its abort, its promotion, a revert, and what Argo CD
// does without hooks.
func TestCanary(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	r1 := newRelease(t, "1", 1, "select id, email from users")
	r2 := newRelease(t, "2", 2, "select id, name from users")
	app := newApplication(t, s.namespace)

	// The first install: the hook makes the table before the first pod of the gateway starts.
	first := app.begin(r1.targets(t, "presync"), false)
	require.Equal(t, common.OperationSucceeded, first.end(), "%v", first.describe())
	require.Equal(t, "id email name", s.columns())
	require.Equal(t, map[string]int{r1.image: 10}, s.pods())
	require.Equal(t, "live", s.text(`select kind from pawl.release_event where release = 'r1' order by id desc limit 1`))
	require.Equal(t, "{"+digest("1")+"}", s.text(`select digests::text from pawl.release where release = 'r1'`), "the hook's own image is the release's")

	// A canary of r2 waits at 10 per cent. Its contract is held, and the sync went on.
	canary := app.begin(r2.targets(t, "presync"), false)
	paused := func() bool { return s.phase() == "Paused" && s.pods()[r2.image] == 1 }
	require.False(t, canary.until("the canary pauses at 10 per cent", paused), "%v", canary.describe())
	require.Equal(t, 9, s.pods()[r1.image])
	require.Equal(t, "id email name", s.columns())
	require.Equal(t, "held", s.text(`select state from pawl.migration where version = '2'`))
	said, code := s.message("pawl-migrate")
	require.Zero(t, code)
	require.Contains(t, said, "held: 0002_drop_email.sql")

	events, err := shared.client.CoreV1().Events(s.namespace).List(t.Context(), meta.ListOptions{FieldSelector: "reason=MigrationHeld"})
	require.NoError(t, err)
	require.Len(t, events.Items, 1)
	require.Equal(t, "Job/pawl-migrate", events.Items[0].InvolvedObject.Kind+"/"+events.Items[0].InvolvedObject.Name)
	require.Contains(t, events.Items[0].Message, "held: 0002_drop_email.sql")

	// Whatever somebody claims of r1, it runs, and an abort would bring it back.
	require.Zero(t, s.pawl(r2.root, "release", "retire", "gateway", "r1", "--reason", "claimed").code)
	held := s.contract(r2)
	require.Zero(t, held.code)
	require.Contains(t, held.text, "gateway@r1: runs in pods gateway-")
	require.Regexp(t, `can be started by ReplicaSet gateway-\w+ \(stable of Rollout gateway\)`, held.text)
	require.Contains(t, held.text, "store.go:88")
	require.Equal(t, "id email name", s.columns())

	// Aborted: the stable release is all there is again, and the contract stays held.
	s.patch(`{"abort": true}`)
	require.True(t, canary.until("the aborted sync ends", func() bool { return false }))
	require.Equal(t, common.OperationFailed, canary.phase)
	require.Equal(t, "aborted", s.text(`select kind from pawl.release_event where release = 'r2' order by id desc limit 1`))
	eventually(t, "only r1 runs", func() bool { p := s.pods(); return p[r1.image] == 10 && p[r2.image] == 0 }, func() any { return s.pods() })
	require.Contains(t, s.contract(r2).text, "gateway@r1: runs in pods gateway-")
	require.Equal(t, "id email name", s.columns())

	// Once more, and promoted. r1 has gone, but a CronJob still carries its image.
	require.NoError(t, shared.apply(t.Context(), s.namespace, false, parse(t, fmt.Sprintf(`
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  suspend: true
  jobTemplate: {spec: {template: {metadata: {labels: {app: gateway}}, spec: {restartPolicy: Never, containers: [{name: report, image: '%s'}]}}}}
`, r1.image))...))
	again := app.begin(r2.targets(t, "presync"), false)
	// The same template again: the aborted Rollout is retried, as `kubectl argo rollouts retry` does.
	s.patch(`{"abort": false}`)
	require.False(t, again.until("the canary pauses again", paused), "%v", again.describe())
	s.patch(`{"promoteFull": true}`)
	require.Equal(t, common.OperationSucceeded, again.end(), "%v", again.describe())
	require.Equal(t, "live", s.text(`select kind from pawl.release_event where release = 'r2' order by id desc limit 1`))
	eventually(t, "only r2 runs", func() bool { p := s.pods(); return p[r2.image] == 10 && p[r1.image] == 0 }, func() any { return s.pods() })
	nightly := s.contract(r2)
	require.Contains(t, nightly.text, "gateway@r1: can be started by CronJob nightly (suspended)")
	require.Equal(t, "id email name", s.columns())

	require.NoError(t, shared.client.BatchV1().CronJobs(s.namespace).Delete(t.Context(), "nightly", meta.DeleteOptions{}))
	let := s.contract(r2)
	require.Zero(t, let.code, let.text)
	require.Contains(t, let.text, "applied   contract  0002_drop_email.sql")
	require.Equal(t, "id name", s.columns())

	// git revert: r1 does not suit the schema any more, and is refused before the first of its pods.
	back := app.begin(r1.targets(t, "presync"), false)
	require.Equal(t, common.OperationFailed, back.end())
	said, code = s.message("pawl-migrate")
	require.Equal(t, int32(1), code)
	require.Contains(t, said, "gateway@r1 references users.email, dropped by 0002_drop_email")
	require.Equal(t, map[string]int{r2.image: 10}, s.pods())
	require.Equal(t, "id name", s.columns())

	// argocd app rollback: no hooks. The initContainer keeps r1's canary from serving; r2 goes on.
	app.begin(r1.targets(t, "presync"), true).end()
	stuck := func() bool { return s.pods()[r1.image] == 1 && strings.Contains(s.verified(r1.image), "users.email") }
	eventually(t, "r1's pod is kept from starting", stuck, func() any { return []any{s.pods(), s.verified(r1.image)} })
	require.GreaterOrEqual(t, s.pods()[r2.image], 9)

	// A selective sync skips the hook too: r3 needs a column that no migration has brought, until a whole sync does.
	r3 := newRelease(t, "3", 3, "select id, note from users")
	app.begin(r3.targets(t, "presync"), true).end()
	eventually(t, "r3's pod waits", func() bool { return strings.Contains(s.verified(r3.image), "note") }, func() any { return []any{s.pods(), s.verified(r3.image)} })
	require.Equal(t, "id name", s.columns())
	whole := app.begin(r3.targets(t, "presync"), false)
	require.False(t, whole.until("the canary of r3 runs", func() bool { return s.phase() == "Paused" }), "%v", whole.describe())
	require.Equal(t, "id name note", s.columns())
}

// verified gives what the initContainer of a pod of this image said when it failed.
func (s *shop) verified(image string) string {
	s.t.Helper()
	list, err := shared.client.CoreV1().Pods(s.namespace).List(s.t.Context(), meta.ListOptions{LabelSelector: "app=gateway"})
	require.NoError(s.t, err)
	for _, p := range list.Items {
		for _, c := range p.Status.InitContainerStatuses {
			if p.Spec.Containers[0].Image == image && c.State.Terminated != nil {
				return c.State.Terminated.Message
			}
		}
	}
	return ""
}
