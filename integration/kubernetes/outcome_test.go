package kubernetes

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// told is what somebody sees of a run who sees only Kubernetes: the Job's end, the last words of its pods, and Events.
type told struct {
	job    *batch.Job
	events []string // type, reason and message
	pods   []core.Pod
}

// said gives the last words of the Job's only pod, and its exit code.
func (o told) said(t *testing.T) (string, int32) {
	t.Helper()
	require.Len(t, o.pods, 1)
	ended := o.pods[0].Status.ContainerStatuses[0].State.Terminated
	require.NotNil(t, ended)
	return ended.Message, ended.ExitCode
}

// ended reports whether a Job has the condition, in which case it is over.
func ended(job *batch.Job, condition batch.JobConditionType) bool {
	for _, c := range job.Status.Conditions {
		if c.Type == condition && c.Status == core.ConditionTrue {
			return true
		}
	}
	return false
}

// hook applies the hook's objects but the Jobs that come after it, as a sync does, and waits for the end of its Job.
func (s *shop) hook(objects []*unstructured.Unstructured, name string) told {
	s.t.Helper()
	t, jobs := s.t, shared.client.BatchV1().Jobs(s.namespace)
	behind := meta.DeletePropagationForeground
	if err := jobs.Delete(t.Context(), name, meta.DeleteOptions{PropagationPolicy: &behind}); err == nil {
		eventually(t, "the Job of before is gone", func() bool {
			_, err := jobs.Get(t.Context(), name, meta.GetOptions{})
			return apierrors.IsNotFound(err)
		}, func() any { return name })
	} else {
		require.True(t, apierrors.IsNotFound(err), "%v", err)
	}
	for _, o := range objects {
		if o.GetKind() == "Job" && o.GetName() != name || o.GetKind() == "Rollout" {
			continue
		}
		require.NoError(t, shared.apply(t.Context(), s.namespace, false, o))
	}
	var o told
	eventually(t, "the Job is over", func() bool {
		var err error
		o.job, err = jobs.Get(t.Context(), name, meta.GetOptions{})
		require.NoError(t, err)
		return ended(o.job, batch.JobComplete) || ended(o.job, batch.JobFailed)
	}, func() any { return o.job.Status })
	pods, err := shared.client.CoreV1().Pods(s.namespace).List(t.Context(), meta.ListOptions{LabelSelector: "batch.kubernetes.io/controller-uid=" + string(o.job.UID)})
	require.NoError(t, err)
	o.pods = pods.Items
	events, err := shared.client.CoreV1().Events(s.namespace).List(t.Context(), meta.ListOptions{FieldSelector: "involvedObject.uid=" + string(o.job.UID)})
	require.NoError(t, err)
	for _, e := range events.Items {
		if e.Source.Component == "pawl" {
			require.Equal(t, "Job/"+name, e.InvolvedObject.Kind+"/"+e.InvolvedObject.Name)
			o.events = append(o.events, e.Type+" "+e.Reason+" "+e.Message)
		}
	}
	return o
}

// add puts another migration into the release's image.
func (r release) add(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(r.root, "migrations", name), []byte(text), 0o600))
}

// TestOutcomes shows what each kind of outcome leaves in Kubernetes: the Job's condition, the termination message, the Events.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	r1 := newRelease(t, "6", 1, "select id, email from users")
	r2 := newRelease(t, "7", 2, "select id, name from users")
	unseen(t, r1, r2)

	// Applied.
	applied := s.hook(r1.targets(t, "presync"), "pawl-migrate")
	said, code := applied.said(t)
	require.Zero(t, code, said)
	require.Equal(t, "applied: 0001_users.sql", said)
	require.True(t, ended(applied.job, batch.JobComplete))
	require.Equal(t, []string{"Normal MigrationsApplied applied: 0001_users.sql"}, applied.events)
	require.Zero(t, s.pawl(r1.root, "release", "live", "gateway", r1.id).code)

	// Nothing to do: nothing to tell.
	nothing := s.hook(r1.targets(t, "presync"), "pawl-migrate")
	said, code = nothing.said(t)
	require.Zero(t, code)
	require.Empty(t, said)
	require.Empty(t, nothing.events)

	// Held, and something applied beside it: a success that says what waits for whom.
	r2.add(t, "0003_notes.sql", "create table notes (id bigint primary key);\n")
	held := s.hook(r2.targets(t, "presync"), "pawl-migrate")
	said, code = held.said(t)
	require.Zero(t, code, said)
	require.True(t, ended(held.job, batch.JobComplete))
	require.Regexp(t, `(?s)^held: 0002_drop_email\.sql\n  gateway@r6: live since .*store\.go:88.*\napplied: 0003_notes\.sql$`, said)
	require.Len(t, held.events, 2)
	require.ElementsMatch(t, []string{"Warning MigrationHeld", "Normal MigrationsApplied"}, reasons(held.events))
	require.Contains(t, strings.Join(held.events, "\n"), "gateway@r6: live since")

	// Refused: the release that is deployed does not suit the schema.
	require.Zero(t, s.pawl(r2.root, "release", "live", "gateway", r2.id).code)
	require.Zero(t, s.pawl(r2.root, "release", "retire", "gateway", r1.id, "--reason=gone").code)
	let := s.hook(r2.targets(t, "presync"), "pawl-migrate")
	said, _ = let.said(t)
	require.Equal(t, "applied: 0002_drop_email.sql", said)
	refused := s.hook(r1.targets(t, "presync"), "pawl-migrate")
	said, code = refused.said(t)
	require.Equal(t, int32(1), code)
	require.True(t, ended(refused.job, batch.JobFailed))
	require.Contains(t, said, "gateway@r6 references users.email, dropped by 0002_drop_email")
	require.Equal(t, []string{"Warning MigrationRefused"}, reasons(refused.events))
	require.Contains(t, refused.events[0], "users.email")

	// Failed: PostgreSQL refuses the statement, once; the same again would end the same.
	r2.add(t, "0004_wrong.sql", "create table more (id bigint primary key);\nalter table missing add column x int;\n")
	failed := s.hook(r2.targets(t, "presync"), "pawl-migrate")
	said, code = failed.said(t)
	require.Equal(t, int32(5), code)
	require.True(t, ended(failed.job, batch.JobFailed))
	require.Contains(t, said, `relation "missing" does not exist`)
	require.Contains(t, said, "0004_wrong.sql:2")
	require.Equal(t, []string{"Warning MigrationFailed"}, reasons(failed.events))
	require.Contains(t, failed.events[0], `relation "missing" does not exist`)

	// Without the right to create Events the run is the same.
	require.NoError(t, os.Remove(filepath.Join(r2.root, "migrations", "0004_wrong.sql")))
	r2.add(t, "0004_more.sql", "create table more (id bigint primary key);\n")
	var objects []*unstructured.Unstructured
	for _, o := range r2.targets(t, "presync") {
		if o.GetKind() == "Role" {
			rules, _, err := unstructured.NestedSlice(o.Object, "rules")
			require.NoError(t, err)
			require.NoError(t, unstructured.SetNestedSlice(o.Object, rules[:len(rules)-1], "rules"))
		}
		objects = append(objects, o)
	}
	quiet := s.hook(objects, "pawl-migrate")
	said, code = quiet.said(t)
	require.Zero(t, code)
	require.Equal(t, "applied: 0004_more.sql", said)
	require.Empty(t, quiet.events)
}

// unseen leaves pawl.yaml out of images: no pods are looked for, and what hooks and people record is all there is.
func unseen(t *testing.T, list ...release) {
	t.Helper()
	for _, r := range list {
		require.NoError(t, os.Remove(filepath.Join(r.root, "pawl.yaml")))
	}
}

func reasons(events []string) []string {
	var list []string
	for _, e := range events {
		list = append(list, strings.Join(strings.Fields(e)[:2], " "))
	}
	return list
}

// TestShares runs the Indexed Job of deploy/targets over many databases: each is migrated by one pod, what is held or fails in one
// stops no other, and a second run works on what is left.
func TestShares(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	r1 := newRelease(t, "8", 1, "select id, email from users")
	r2 := newRelease(t, "9", 2, "select id, name from users")
	unseen(t, r1, r2)
	tenants := []*shop{newShop(t), newShop(t), newShop(t), newShop(t), newShop(t)}
	list := "targets:\n"
	for i, tenant := range tenants {
		list += fmt.Sprintf("  - {name: tenant%d, database-url: %q}\n", i, tenant.url)
	}
	secrets := shared.client.CoreV1().Secrets(s.namespace)
	secret, err := secrets.Get(t.Context(), "pawl-database", meta.GetOptions{})
	require.NoError(t, err)
	secret.StringData = map[string]string{"targets": list}
	_, err = secrets.Update(t.Context(), secret, meta.UpdateOptions{})
	require.NoError(t, err)
	// What somebody made past pawl is in the way of the fourth database's first migration.
	_, err = tenants[3].db.ExecContext(t.Context(), "create type users as enum ('x')")
	require.NoError(t, err)

	objects := func(r release) []*unstructured.Unstructured {
		var list []*unstructured.Unstructured
		for _, o := range r.targets(t, "targets") {
			if o.GetKind() != "Rollout" {
				list = append(list, o)
			}
		}
		return list
	}
	first := s.hook(objects(r1), "pawl-migrate-targets")
	require.True(t, ended(first.job, batch.JobFailed))
	require.NotNil(t, first.job.Status.FailedIndexes)
	require.Equal(t, "3", *first.job.Status.FailedIndexes)
	require.Equal(t, "0-2", first.job.Status.CompletedIndexes)
	require.Len(t, first.pods, 4, "exit code 5 is not tried again")
	said := map[string]string{}
	for _, p := range first.pods {
		said[p.Annotations["batch.kubernetes.io/job-completion-index"]] = p.Status.ContainerStatuses[0].State.Terminated.Message
	}
	require.Contains(t, said["0"], "tenant0")
	require.Contains(t, said["0"], "tenant4")
	require.Contains(t, said["3"], `type "users" already exists`)
	for i, tenant := range tenants {
		if i == 3 {
			continue
		}
		require.Equal(t, "id email name", tenant.columns())
		require.Equal(t, "1", tenant.text("select count(*)::text from pawl.migration where state = 'applied'"))
	}
	require.ElementsMatch(t, []string{"Normal MigrationsApplied", "Normal MigrationsApplied", "Normal MigrationsApplied", "Warning MigrationFailed"}, reasons(first.events))

	// It goes, and all is well: what was done is not done again.
	_, err = tenants[3].db.ExecContext(t.Context(), "drop type users")
	require.NoError(t, err)
	second := s.hook(objects(r1), "pawl-migrate-targets")
	require.True(t, ended(second.job, batch.JobComplete))
	require.Equal(t, "0-3", second.job.Status.CompletedIndexes)
	require.Equal(t, []string{"Normal MigrationsApplied"}, reasons(second.events))
	require.Equal(t, "id email name", tenants[3].columns())

	// After the sync each ledger learns that the release is live. A contract is then held in the one database where nobody has said
	// that the release before was never used.
	live := s.hook(objects(r1), "pawl-live")
	require.True(t, ended(live.job, batch.JobComplete), "%v", live.job.Status)
	for i, tenant := range tenants {
		require.Equal(t, "live", tenant.text("select kind from pawl.release_event where release = 'r8' order by id desc limit 1"), "tenant%d", i)
	}
	for i, tenant := range tenants {
		if i != 1 {
			require.Zero(t, tenant.offline(r1.root, "release", "retire", "gateway", r1.id, "--reason=never used here").code)
		}
	}
	third := s.hook(objects(r2), "pawl-migrate-targets")
	require.True(t, ended(third.job, batch.JobComplete), "%v", third.events)
	for i, tenant := range tenants {
		want := "id name"
		if i == 1 {
			want = "id email name"
		}
		require.Equal(t, want, tenant.columns(), "tenant%d", i)
	}
	require.Equal(t, 1, strings.Count(strings.Join(third.events, "\n"), "held: 0002_drop_email.sql"), "%q", third.events)
	require.Contains(t, strings.Join(third.events, "\n"), "Warning MigrationHeld tenant1: held: 0002_drop_email.sql\n  gateway@r8: live since")
}

// offline runs the command line without Kubernetes.
func (s *shop) offline(root string, args ...string) outcome {
	s.t.Helper()
	return s.run(root, "", args...)
}

// TestWindow holds a contract for as long as the release that needs it may come back, and lets it through by nothing but time.
func TestWindow(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	r1 := newRelease(t, "a", 1, "select id, email from users")
	r2 := newRelease(t, "b", 2, "select id, name from users")
	for _, args := range [][]string{{"migrate", "--manifest=pawl.refs.json"}, {"release", "live", "gateway", r1.id}, {"release", "register", "pawl.refs.json"}, {"release", "live", "gateway", r2.id}} {
		root := r2.root
		if args[0] == "migrate" || args[len(args)-1] == r1.id {
			root = r1.root
		}
		done := s.offline(root, args...)
		require.Zero(t, done.code, done.text)
	}
	const window = 8 * time.Second
	contract := func() outcome {
		return s.offline(r2.root, "migrate", "--gate-window="+window.String(), "--gate-keep-previous=0")
	}
	held := contract()
	require.Zero(t, held.code)
	require.Contains(t, held.text, "gateway@"+r1.id+": within the rollback window")
	require.Equal(t, "id email name", s.columns())
	var last outcome
	eventually(t, "the window is over", func() bool { last = contract(); return s.columns() == "id name" }, func() any { return last })
	require.Contains(t, last.text, "applied   contract  0002_drop_email.sql")
	var after float64
	require.NoError(t, s.db.QueryRowContext(t.Context(), `select extract(epoch from (select finished_at from pawl.migration where version = '2')
		- (select at from pawl.release_event where release = $1 and kind = 'live'))`, r2.id).Scan(&after))
	require.GreaterOrEqual(t, after, window.Seconds(), "not a moment before")
	t.Logf("held for %.1f s, by a window of %s", after, window)
}

// TestBlueGreen is a release that is looked at beside the old one, is promoted, and leaves the old one running until a deadline.
// All that time the old one holds the contract that it could not live with.
func TestBlueGreen(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	r1 := newRelease(t, "c", 1, "select id, email from users")
	r2 := newRelease(t, "d", 2, "select id, name from users")
	require.NoError(t, shared.apply(t.Context(), s.namespace, false, parse(t, `
apiVersion: v1
kind: Service
metadata: {name: active}
spec: {selector: {app: gateway}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: preview}
spec: {selector: {app: gateway}, ports: [{port: 80}]}
`)...))
	deploy := func(r release) {
		t.Helper()
		for _, o := range r.targets(t, "presync") {
			if o.GetKind() == "Job" {
				continue
			}
			if o.GetKind() == "Rollout" {
				require.NoError(t, unstructured.SetNestedField(o.Object, int64(3), "spec", "replicas"))
				unstructured.RemoveNestedField(o.Object, "spec", "strategy", "canary")
				require.NoError(t, unstructured.SetNestedMap(o.Object, map[string]any{
					"activeService": "active", "previewService": "preview", "autoPromotionEnabled": false, "scaleDownDelaySeconds": int64(20),
				}, "spec", "strategy", "blueGreen"))
			}
			require.NoError(t, shared.apply(t.Context(), s.namespace, false, o))
		}
	}
	require.Zero(t, s.offline(r1.root, "migrate", "--manifest=pawl.refs.json").code)
	require.Zero(t, s.offline(r1.root, "release", "digests", "gateway", r1.id, digest("c")).code)
	require.Zero(t, s.offline(r1.root, "release", "live", "gateway", r1.id).code)
	deploy(r1)
	eventually(t, "r1 is active", func() bool { return s.pods()[r1.image] == 3 && s.phase() == "Healthy" }, func() any { return []any{s.pods(), s.phase()} })

	require.Zero(t, s.offline(r2.root, "release", "register", "pawl.refs.json").code)
	require.Zero(t, s.offline(r2.root, "release", "digests", "gateway", r2.id, digest("d")).code)
	deploy(r2)
	eventually(t, "r2 is looked at", func() bool { return s.pods()[r2.image] == 3 && s.phase() == "Paused" }, func() any { return []any{s.pods(), s.phase()} })
	// Whatever somebody claims of r1, it is what users get.
	require.Zero(t, s.offline(r2.root, "release", "live", "gateway", r2.id).code)
	require.Zero(t, s.offline(r2.root, "release", "retire", "gateway", r1.id, "--reason=claimed").code)
	held := s.contract(r2)
	require.Zero(t, held.code, held.text)
	require.Contains(t, held.text, "gateway@"+r1.id+": runs in pods gateway-")
	require.Regexp(t, `can be started by ReplicaSet gateway-\w+ \(stable, active of Rollout gateway\)`, held.text)

	// Promoted: r1 has no part in it any more, and runs on until its deadline.
	s.patch(`{"pauseConditions": null}`)
	var deadline time.Time
	eventually(t, "r1's ReplicaSet has a deadline", func() bool {
		list, err := shared.client.AppsV1().ReplicaSets(s.namespace).List(t.Context(), meta.ListOptions{})
		require.NoError(t, err)
		for _, rs := range list.Items {
			if at := rs.Annotations["scale-down-deadline"]; at != "" && rs.Spec.Template.Spec.Containers[0].Image == r1.image {
				deadline, err = time.Parse(time.RFC3339, at)
				require.NoError(t, err)
				return true
			}
		}
		return false
	}, func() any { return []any{s.pods(), s.rollout().Object["status"]} })
	held = s.contract(r2)
	require.Zero(t, held.code, held.text)
	require.Contains(t, held.text, "gateway@"+r1.id+": runs in pods gateway-")
	require.Contains(t, held.text, "runs until "+deadline.UTC().Format(time.RFC3339))
	require.Equal(t, "id email name", s.columns())

	var last outcome
	eventually(t, "r1 is gone", func() bool { last = s.contract(r2); return s.columns() == "id name" }, func() any { return last })
	require.Zero(t, s.pods()[r1.image])
	require.Less(t, deadline.Unix(), time.Now().Unix()+1, "what ran until its deadline held the contract until then")
	require.Contains(t, last.text, "applied   contract  0002_drop_email.sql")
}
