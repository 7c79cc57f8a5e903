package kubernetes

import (
	"context"
	"testing"
	"time"

	"github.com/argoproj/gitops-engine/pkg/cache"
	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/argoproj/gitops-engine/pkg/sync"
	"github.com/argoproj/gitops-engine/pkg/sync/common"
	"github.com/argoproj/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/gitops-engine/pkg/utils/tracing"
	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const instanceLabel = "app.kubernetes.io/instance"

// application is what Argo CD's application controller keeps in sync: a name, and a namespace. Each pass looks at the live
// state anew and rebuilds the engine's context from the results so far, as that controller does.
type application struct {
	t         *testing.T
	name      string
	namespace string
	cache     cache.ClusterCache
}

func newApplication(t *testing.T, namespace string) *application {
	t.Helper()
	a := &application{t: t, name: "shop", namespace: namespace}
	a.cache = cache.NewClusterCache(shared.config, cache.SetNamespaces([]string{namespace}), cache.SetLogr(logr.Discard()),
		cache.SetPopulateResourceInfoHandler(func(o *unstructured.Unstructured, _ bool) (any, bool) { return o.GetLabels()[instanceLabel], true }))
	require.NoError(t, a.cache.EnsureSynced())
	return a
}

// operation is one sync under way.
type operation struct {
	app     *application
	targets []*unstructured.Unstructured
	// skipHooks is what a selective sync, a rollback in Argo CD and self-heal do.
	skipHooks bool
	startedAt meta.Time
	phase     common.OperationPhase
	message   string
	results   []common.ResourceSyncResult
}

func (a *application) begin(targets []*unstructured.Unstructured, skipHooks bool) *operation {
	o := &operation{app: a, skipHooks: skipHooks, startedAt: meta.Now(), phase: common.OperationRunning}
	for _, target := range targets {
		target = target.DeepCopy()
		target.SetNamespace(a.namespace)
		labels := target.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[instanceLabel] = a.name
		target.SetLabels(labels)
		o.targets = append(o.targets, target)
	}
	return o
}

func (o *operation) pass() {
	t, a := o.app.t, o.app
	live, err := a.cache.GetManagedLiveObjs(o.targets, func(r *cache.Resource) bool { name, _ := r.Info.(string); return name == a.name })
	require.NoError(t, err)
	kubectl := &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}
	c, cleanup, err := sync.NewSyncContext("revision", sync.Reconcile(o.targets, live, a.namespace, a.cache), shared.config, shared.config, kubectl,
		a.namespace, a.cache.GetOpenAPISchema(), sync.WithLogr(logr.Discard()), sync.WithPrune(true), sync.WithHealthOverride(rolloutHealth{}),
		sync.WithSkipHooks(o.skipHooks), sync.WithInitialState(o.phase, o.message, o.results, o.startedAt))
	require.NoError(t, err)
	defer cleanup()
	c.Sync()
	o.phase, o.message, o.results = c.GetState()
}

// until goes on with the sync until it has ended or the condition holds, and reports whether it ended.
func (o *operation) until(what string, holds func() bool) bool {
	o.app.t.Helper()
	ended := false
	eventually(o.app.t, what, func() bool {
		o.pass()
		ended = o.phase.Completed()
		return ended || holds()
	}, func() any { return o.describe() })
	return ended
}

// end goes on until the sync has ended.
func (o *operation) end() common.OperationPhase {
	o.app.t.Helper()
	o.until("the sync ends", func() bool { return false })
	return o.phase
}

func (o *operation) describe() any {
	lines := []string{string(o.phase) + ": " + o.message}
	for _, r := range o.results {
		lines = append(lines, "  "+r.ResourceKey.Kind+"/"+r.ResourceKey.Name+" "+string(r.SyncPhase)+" "+string(r.HookPhase)+" "+string(r.Status)+" "+r.Message)
	}
	return lines
}

// rolloutHealth is how Argo CD judges a Rollout: one that pauses is not healthy yet, so that PostSync waits.
type rolloutHealth struct{}

// GetResourceHealth gives nil for what the engine judges itself.
func (rolloutHealth) GetResourceHealth(o *unstructured.Unstructured) (*health.HealthStatus, error) {
	if o.GetKind() != "Rollout" {
		return nil, nil //nolint:nilnil // the engine's way to say that it is to judge itself
	}
	phase, _, _ := unstructured.NestedString(o.Object, "status", "phase")
	message, _, _ := unstructured.NestedString(o.Object, "status", "message")
	seen, _, _ := unstructured.NestedString(o.Object, "status", "observedGeneration")
	status := &health.HealthStatus{Status: health.HealthStatusProgressing, Message: message}
	if seen != generation(o) {
		return status, nil
	}
	switch phase {
	case "Healthy":
		status.Status = health.HealthStatusHealthy
	case "Paused":
		status.Status = health.HealthStatusSuspended
	case "Degraded":
		status.Status = health.HealthStatusDegraded
	}
	return status, nil
}

// eventually waits for a condition, and says what was there instead if it never held.
func eventually(t *testing.T, what string, holds func() bool, instead func() any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s; instead: %v", what, instead())
		case <-time.After(200 * time.Millisecond):
		}
	}
}
