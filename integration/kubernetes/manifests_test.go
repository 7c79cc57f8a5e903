package kubernetes

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const chartDir = repository + "/deploy/helm/pawl"

func overlay(folder string, components ...string) string {
	text := fmt.Sprintf(`
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [ROOT/deploy/%s]
commonAnnotations: {pawl.bitvault.io/consumer: gateway, pawl.bitvault.io/release: r42}
images: [{name: app-migrations, newName: registry.example.com/gateway, digest: '%s'}]
`, folder, digest("1"))
	for i, c := range components {
		if i == 0 {
			text += "components:\n"
		}
		text += "  - ROOT/deploy/components/" + c + "\n"
	}
	return text
}

// TestStrictly lets the API server check every variant as it would be stored: a field that it does not know is refused.
func TestStrictly(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	check := func(name string, objects []*unstructured.Unstructured) {
		t.Helper()
		require.NotEmpty(t, objects, name)
		require.NoError(t, shared.apply(t.Context(), s.namespace, true, objects...), name)
	}
	for _, folder := range []string{"presync", "sync", "targets", "backfill/job", "backfill/cronjob"} {
		check(folder, render(t, overlay(folder)))
	}
	for _, folder := range []string{"presync", "targets"} {
		told := render(t, overlay(folder, "events"))
		check(folder+" with events", told)
		require.Contains(t, fmt.Sprint(byName(told)), "--kubernetes-events", folder)
	}
	for _, variant := range []string{"presync", "sync", "targets", "backfill-job", "backfill-cronjob"} {
		check("pawl manifests "+variant, printed(t, variant))
	}
	for name, values := range charts() {
		check("chart: "+name, helmTemplate(t, values))
	}
	err := shared.apply(t.Context(), s.namespace, true, parse(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, date: {a: b}}")...)
	require.ErrorContains(t, err, "date", "the server is strict")
}

func printed(t *testing.T, variant string) []*unstructured.Unstructured {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), shared.pawl, "manifests", "--variant", variant, "--consumer", "gateway", "--release", "r42",
		"--image", "registry.example.com/gateway@"+digest("1")).Output()
	require.NoError(t, err)
	return parse(t, string(out))
}

// charts are the values with which the chart is tried.
func charts() map[string]map[string]any {
	with := func(more map[string]any) map[string]any {
		values := map[string]any{
			"consumer": "gateway", "release": "r42", "image": map[string]any{"repository": "registry.example.com/gateway", "digest": digest("1")},
		}
		for k, v := range more {
			values[k] = v
		}
		return values
	}
	return map[string]map[string]any{
		"presync": with(nil), "sync": with(map[string]any{"variant": "sync"}),
		"everything": with(map[string]any{
			"backfill": map[string]any{"enabled": true}, "kubernetes": map[string]any{"events": true}, "migrate": map[string]any{"args": []any{"--on-blocked=fail"}},
		}),
		"without Kubernetes": with(map[string]any{"kubernetes": map[string]any{"enabled": false}}),
	}
}

// helmTemplate does what `helm template` does.
func helmTemplate(t *testing.T, values map[string]any) []*unstructured.Unstructured {
	t.Helper()
	files, err := helmRender(t, values)
	require.NoError(t, err)
	var objects []*unstructured.Unstructured
	for name, text := range files {
		if strings.HasSuffix(name, ".yaml") {
			objects = append(objects, parse(t, text)...)
		}
	}
	return objects
}

func helmRender(t *testing.T, values map[string]any) (map[string]string, error) {
	t.Helper()
	var c *chart.Chart
	c, err := loader.Load(chartDir)
	require.NoError(t, err)
	given, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: "pawl"}, nil)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, given)
}

// TestChart holds the chart to the bases: by default it gives the same objects, and what cannot be right it refuses.
func TestChart(t *testing.T) {
	t.Parallel()
	linted := lint.AllWithKubeVersion(chartDir, charts()["presync"], "", nil)
	for _, m := range linted.Messages {
		require.LessOrEqual(t, m.Severity, support.InfoSev, "%v", m)
	}
	for _, variant := range []string{"presync", "sync"} {
		require.ElementsMatch(t, plain(printed(t, variant)), plain(helmTemplate(t, charts()[variant])), variant)
	}
	everything := byName(helmTemplate(t, charts()["everything"]))
	cron := byName(printed(t, "backfill-cronjob"))
	require.Equal(t, cron["CronJob/pawl-backfill"], everything["CronJob/pawl-backfill"])
	require.Contains(t, fmt.Sprint(everything["Job/pawl-migrate"]), "--kubernetes-events --on-blocked=fail")
	bare := byName(helmTemplate(t, charts()["without Kubernetes"]))
	require.NotContains(t, bare, "Role/pawl")
	require.Contains(t, fmt.Sprint(bare["Job/pawl-migrate"]), "--kubernetes=off")

	for what, values := range map[string]map[string]any{
		"consumer":  {"release": "r42"},
		"digest":    {"consumer": "gateway", "release": "r42", "image": map[string]any{"repository": "x", "digest": "latest"}},
		"variant":   {"consumer": "gateway", "release": "r42", "variant": "postsync", "image": map[string]any{"repository": "x", "digest": digest("1")}},
		"databases": {"consumer": "gateway", "release": "r42", "databases": 1, "image": map[string]any{"repository": "x", "digest": digest("1")}},
	} {
		_, err := helmRender(t, values)
		require.ErrorContains(t, err, what)
	}
	require.FileExists(t, filepath.Join(chartDir, "values.schema.json"))
}

func plain(list []*unstructured.Unstructured) []any {
	var out []any
	for _, o := range list {
		out = append(out, o.Object)
	}
	return out
}

func byName(list []*unstructured.Unstructured) map[string]any {
	out := map[string]any{}
	for _, o := range list {
		out[o.GetKind()+"/"+o.GetName()] = any(o.Object)
	}
	return out
}

// TestExample checks the example of a whole platform as it would be stored, by the real kinds of Argo Rollouts and of
// CloudNativePG, and that what it says of waves is so.
func TestExample(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	shared.installPostgres(t)
	objects := render(t, "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [ROOT/deploy/examples/bitvault]\n")
	waves := map[string]string{}
	for _, o := range objects {
		waves[o.GetKind()+"/"+o.GetName()] = o.GetAnnotations()["argocd.argoproj.io/sync-wave"]
		if o.GetKind() == "Namespace" {
			continue
		}
		require.NoError(t, shared.apply(t.Context(), s.namespace, true, o))
	}
	for name, wave := range map[string]string{
		"Role/pawl": "-5", "Cluster/bitvault-db": "0", "Job/pawl-migrate": "0", "Rollout/bitvaultd": "1", "Deployment/worker": "1",
		"Rollout/gateway": "2", "Rollout/web": "3",
	} {
		require.Equal(t, wave, waves[name], name)
	}
	named := byName(objects)
	for _, name := range []string{"Rollout/gateway", "Rollout/bitvaultd", "Deployment/worker"} {
		require.Contains(t, fmt.Sprint(named[name]), "pawl-verify", name)
		require.Contains(t, fmt.Sprint(named[name]), "pawl.dev/release:r3", name)
	}
	require.NotContains(t, fmt.Sprint(named["Rollout/web"]), "pawl-verify")
	require.NotContains(t, fmt.Sprint(objects), digest("0"), "an image was left to be filled in")
}

// installPostgres makes the kind Cluster of CloudNativePG known, from its module.
func (w *world) installPostgres(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "github.com/cloudnative-pg/cloudnative-pg@v1.27.1").Output()
	require.NoError(t, err)
	var module struct{ Dir string }
	require.NoError(t, json.Unmarshal(out, &module))
	data, err := os.ReadFile(filepath.Join(module.Dir, "config", "crd", "bases", "postgresql.cnpg.io_clusters.yaml"))
	require.NoError(t, err)
	kind := parse(t, string(data))
	require.NoError(t, w.apply(t.Context(), "", false, kind...))
	eventually(t, "the kind Cluster is known", func() bool {
		_, err := w.resource(&unstructured.Unstructured{Object: map[string]any{"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster"}}, "default")
		return err == nil
	}, func() any { return "it is not" })
}
