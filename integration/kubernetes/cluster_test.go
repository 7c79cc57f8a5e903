package kubernetes

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/kustomize/api/krusty"
	kustomize "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// repository is the root of pawl's own module.
const repository = "../.."

var rollouts = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"} //nolint:gochecknoglobals // a constant

// digest gives a whole digest from one digit.
func digest(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

// parse reads the objects of a YAML stream.
func parse(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var list []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		var o map[string]any
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) {
			return list
		}
		require.NoError(t, err)
		if len(o) > 0 {
			list = append(list, &unstructured.Unstructured{Object: o})
		}
	}
}

// render gives what `kubectl kustomize` gives for a kustomization of this text. In it, ROOT stands for the repository.
func render(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs(repository)
	require.NoError(t, err)
	relative, err := filepath.Rel(dir, root)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(strings.ReplaceAll(text, "ROOT", relative)), 0o600))
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = kustomize.LoadRestrictionsNone
	built, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	require.NoError(t, err)
	data, err := built.AsYaml()
	require.NoError(t, err)
	return parse(t, string(data))
}

// resource gives the client for objects of a kind.
func (w *world) resource(o *unstructured.Unstructured, namespace string) (dynamic.ResourceInterface, error) {
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(w.client.Discovery()))
	kind := o.GroupVersionKind()
	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == apimeta.RESTScopeNameNamespace {
		return w.dynamic.Resource(mapping.Resource).Namespace(namespace), nil
	}
	return w.dynamic.Resource(mapping.Resource), nil
}

// apply puts objects into a namespace, strictly; with dry nothing is stored.
func (w *world) apply(ctx context.Context, namespace string, dry bool, objects ...*unstructured.Unstructured) error {
	for _, o := range objects {
		o = o.DeepCopy()
		client, err := w.resource(o, namespace)
		if err != nil {
			return err
		}
		if o.GetNamespace() != "" {
			o.SetNamespace(namespace)
		}
		data, err := json.Marshal(o)
		if err != nil {
			return err
		}
		force := true
		options := meta.PatchOptions{FieldManager: "test", Force: &force, FieldValidation: meta.FieldValidationStrict}
		if dry {
			options.DryRun = []string{meta.DryRunAll}
		}
		if _, err := client.Patch(ctx, o.GetName(), types.ApplyPatchType, data, options); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// installRollouts makes the kinds of Argo Rollouts known.
func (w *world) installRollouts(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/argoproj/argo-rollouts").Output()
	if err != nil {
		return fmt.Errorf("find the Rollouts module: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "manifests", "crds", "*-crd.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("the Rollouts module has no kinds: %w", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var o map[string]any
		if err := yaml.Unmarshal(data, &o); err != nil {
			return err
		}
		if err := w.apply(ctx, "", false, &unstructured.Unstructured{Object: o}); err != nil {
			return err
		}
	}
	for {
		_, err := w.dynamic.Resource(rollouts).List(ctx, meta.ListOptions{})
		if err == nil || !apierrors.IsNotFound(err) {
			return err
		}
	}
}

// shop is a namespace with a database of its own, the Secret that leads to it, and an identity like the hooks'.
type shop struct {
	t         *testing.T
	namespace string
	url       string
	db        *sql.DB
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t}
	made, err := shared.client.CoreV1().Namespaces().Create(t.Context(), &core.Namespace{ObjectMeta: meta.ObjectMeta{GenerateName: "shop-"}}, meta.CreateOptions{})
	require.NoError(t, err)
	s.namespace = made.Name
	t.Cleanup(func() {
		_ = shared.client.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), s.namespace, meta.DeleteOptions{})
	})

	admin, err := sql.Open("postgres", shared.admin)
	require.NoError(t, err)
	t.Cleanup(func() { _ = admin.Close() })
	name := strings.ReplaceAll(s.namespace, "-", "_")
	_, err = admin.ExecContext(t.Context(), "create database "+name)
	require.NoError(t, err)
	at, err := url.Parse(shared.admin)
	require.NoError(t, err)
	at.Path = "/" + name
	s.url = at.String()
	s.db, err = sql.Open("postgres", s.url)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = s.db.Close()
		_, _ = admin.ExecContext(context.WithoutCancel(t.Context()), "drop database "+name+" with (force)")
	})
	_, err = shared.client.CoreV1().Secrets(s.namespace).Create(t.Context(), &core.Secret{
		ObjectMeta: meta.ObjectMeta{Name: "pawl-database"}, StringData: map[string]string{"url": s.url},
	}, meta.CreateOptions{})
	require.NoError(t, err)
	return s
}

// columns gives the columns of the table users.
func (s *shop) columns() string {
	s.t.Helper()
	var list sql.NullString
	err := s.db.QueryRowContext(s.t.Context(), `select string_agg(column_name, ' ' order by ordinal_position) from information_schema.columns where table_name = 'users'`).Scan(&list)
	require.NoError(s.t, err)
	return list.String
}

// text asks the database for one text.
func (s *shop) text(query string, args ...any) string {
	s.t.Helper()
	var text string
	require.NoError(s.t, s.db.QueryRowContext(s.t.Context(), query, args...).Scan(&text))
	return text
}

// outcome is what one run of pawl said.
type outcome struct {
	code int
	text string
}

// pawl runs the command line with the hooks' identity, in a directory that stands for an image's root.
func (s *shop) pawl(root string, args ...string) outcome {
	s.t.Helper()
	kubeconfig, err := shared.identity(s.t.Context(), s.namespace, "pawl", s.t.TempDir())
	require.NoError(s.t, err)
	return s.run(root, kubeconfig, args...)
}

func (s *shop) run(root, kubeconfig string, args ...string) outcome {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), shared.pawl, args...)
	cmd.Dir = root
	cmd.Env = []string{"PAWL_DATABASE_URL=" + s.url, "PAWL_KUBECONFIG=" + kubeconfig, "PAWL_FORMAT=text"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(s.t, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String()}
}

func generation(o *unstructured.Unstructured) string { return strconv.FormatInt(o.GetGeneration(), 10) }
