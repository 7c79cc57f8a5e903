package deploy

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// object is the part of a Kubernetes object that the tests look at.
type object struct {
	Kind     string
	Metadata struct {
		Name        string
		Annotations map[string]string
	}
	AutomountServiceAccountToken *bool `yaml:"automountServiceAccountToken"`
	Spec                         struct {
		jobSpec `yaml:",inline"`
		// Of a CronJob.
		ConcurrencyPolicy string                 `yaml:"concurrencyPolicy"`
		JobTemplate       struct{ Spec jobSpec } `yaml:"jobTemplate"`
	}
}

type jobSpec struct {
	BackoffLimit            int  `yaml:"backoffLimit"`
	ActiveDeadlineSeconds   int  `yaml:"activeDeadlineSeconds"`
	TTLSecondsAfterFinished *int `yaml:"ttlSecondsAfterFinished"`
	PodFailurePolicy        struct {
		Rules []struct {
			Action      string
			OnExitCodes *struct {
				ContainerName string `yaml:"containerName"`
				Operator      string
				Values        []int
			} `yaml:"onExitCodes"`
			OnPodConditions []struct{ Type, Status string } `yaml:"onPodConditions"`
		}
	} `yaml:"podFailurePolicy"`
	Template struct {
		Metadata struct{ Annotations map[string]string }
		Spec     podSpec
	}
}

type podSpec struct {
	RestartPolicy                 string `yaml:"restartPolicy"`
	ServiceAccountName            string `yaml:"serviceAccountName"`
	AutomountServiceAccountToken  *bool  `yaml:"automountServiceAccountToken"`
	TerminationGracePeriodSeconds int    `yaml:"terminationGracePeriodSeconds"`
	SecurityContext               struct {
		RunAsNonRoot   bool                  `yaml:"runAsNonRoot"`
		RunAsUser      int                   `yaml:"runAsUser"`
		FSGroup        int                   `yaml:"fsGroup"`
		SeccompProfile struct{ Type string } `yaml:"seccompProfile"`
	} `yaml:"securityContext"`
	Containers []struct {
		Name, Image string
		Command     []string
		Args        []string
		Env         []struct {
			Name      string
			ValueFrom struct {
				FieldRef struct {
					FieldPath string `yaml:"fieldPath"`
				} `yaml:"fieldRef"`
			} `yaml:"valueFrom"`
		}
		Resources struct {
			Requests, Limits map[string]string
		}
		SecurityContext struct {
			AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
			ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
			Capabilities             struct{ Drop []string }
		} `yaml:"securityContext"`
		VolumeMounts []struct {
			Name, MountPath string
			ReadOnly        bool `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	}
	Volumes []struct {
		Name   string
		Secret struct {
			SecretName  string `yaml:"secretName"`
			DefaultMode int    `yaml:"defaultMode"`
		}
	}
}

// render returns the objects of a folder by "Kind/name".
func render(t *testing.T, folder string) map[string]object {
	t.Helper()
	return byName(t, kustomized(t, folder))
}

// kustomized is what Kustomize makes of a folder.
func kustomized(t *testing.T, folder string) []byte {
	t.Helper()
	var cmd *exec.Cmd
	if path, err := exec.LookPath("kustomize"); err == nil {
		cmd = exec.CommandContext(t.Context(), path, "build", folder)
	} else if path, err := exec.LookPath("kubectl"); err == nil {
		cmd = exec.CommandContext(t.Context(), path, "kustomize", folder)
	} else {
		t.Skip("neither kustomize nor kubectl is installed")
	}
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	require.NoError(t, err, "render %s: %s", folder, failure.String())
	return out
}

func byName(t *testing.T, out []byte) map[string]object {
	t.Helper()
	objects := map[string]object{}
	decoder := yaml.NewDecoder(bytes.NewReader(out))
	for {
		var o object
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) {
			return objects
		}
		require.NoError(t, err)
		objects[o.Kind+"/"+o.Metadata.Name] = o
	}
}

func hook(o object) string { return o.Metadata.Annotations["argocd.argoproj.io/hook"] }
func wave(o object) string { return o.Metadata.Annotations["argocd.argoproj.io/sync-wave"] }

func TestVariants(t *testing.T) {
	t.Parallel()
	presync, sync := render(t, "presync"), render(t, "sync")
	for name, objects := range map[string]map[string]object{"presync": presync, "sync": sync} {
		require.Len(t, objects, 7, name)
		require.Equal(t, "0", wave(objects["Job/pawl-migrate"]), name)
		for _, right := range []string{"ServiceAccount/pawl", "Role/pawl", "RoleBinding/pawl"} {
			require.Equal(t, "-5", wave(objects[right]), "%s: %s", name, right)
			require.Equal(t, map[string]string{"presync": "PreSync", "sync": ""}[name], hook(objects[right]),
				"a PreSync Job runs before any object of the Sync phase: %s", right)
		}
		require.Equal(t, "PostSync", hook(objects["Job/pawl-live"]), name)
		require.Equal(t, "SyncFail", hook(objects["Job/pawl-aborted"]), name)
		require.Empty(t, hook(objects["ConfigMap/pawl-target"]), "%s: what makes drift must not be a hook", name)
	}
	require.Equal(t, "PreSync", hook(presync["Job/pawl-migrate"]))
	require.Equal(t, "Sync", hook(sync["Job/pawl-migrate"]))
}

func TestJobs(t *testing.T) {
	t.Parallel()
	for folder, names := range map[string][]string{"presync": {"pawl-migrate", "pawl-live", "pawl-aborted"}, "sync": {"pawl-migrate"}} {
		objects := render(t, folder)
		for _, name := range names {
			t.Run(folder+"/"+name, func(t *testing.T) {
				t.Parallel()
				job, ok := objects["Job/"+name]
				require.True(t, ok)
				require.Equal(t, "BeforeHookCreation", job.Metadata.Annotations["argocd.argoproj.io/hook-delete-policy"])
				requireJob(t, job.Spec.jobSpec)
				// Only the migration asks the cluster what runs.
				requirePod(t, job.Spec.Template.Spec, "pawl", name == "pawl-migrate")
			})
		}
	}
}

// The backfills' Job and CronJob are held to the same, and to an account of their own, which no sync makes anew.
func TestBackfill(t *testing.T) {
	t.Parallel()
	job, cron := render(t, "backfill/job"), render(t, "backfill/cronjob")
	require.Len(t, job, 2)
	require.Len(t, cron, 2)
	require.Contains(t, job, "ServiceAccount/pawl-backfill")
	require.Equal(t, "Forbid", cron["CronJob/pawl-backfill"].Spec.ConcurrencyPolicy)
	for name, o := range map[string]object{"job": job["Job/pawl-backfill"], "cronjob": cron["CronJob/pawl-backfill"]} {
		spec := o.Spec.jobSpec
		if name == "cronjob" {
			spec = o.Spec.JobTemplate.Spec
		}
		require.Empty(t, hook(o), "a sync must not wait for the data to move")
		requireJob(t, spec)
		requirePod(t, spec.Template.Spec, "pawl-backfill", false)
		require.Equal(t, []string{"backfill", "run", "--all", "--until-done"}, spec.Template.Spec.Containers[0].Args[:4])
	}
}

// requireJob holds a Job to the exit codes that are pawl's interface: those
// that would come out the same again fail it, 4, 130 and 143 are tried again.
func requireJob(t *testing.T, spec jobSpec) {
	t.Helper()
	require.Equal(t, 2, spec.BackoffLimit)
	require.Positive(t, spec.ActiveDeadlineSeconds)
	require.Nil(t, spec.TTLSecondsAfterFinished)
	rules := spec.PodFailurePolicy.Rules
	require.Len(t, rules, 2)
	require.Equal(t, "Ignore", rules[0].Action)
	require.Len(t, rules[0].OnPodConditions, 1)
	require.Equal(t, "DisruptionTarget", rules[0].OnPodConditions[0].Type)
	require.Equal(t, "FailJob", rules[1].Action)
	require.Equal(t, "In", rules[1].OnExitCodes.Operator)
	require.Equal(t, []int{1, 2, 3, 5}, rules[1].OnExitCodes.Values)
	require.Equal(t, spec.Template.Spec.Containers[0].Name, rules[1].OnExitCodes.ContainerName)
	for _, name := range []string{"consumer", "release"} {
		require.NotEmpty(t, spec.Template.Metadata.Annotations["pawl.bitvault.io/"+name], "the environment is read from it")
	}
}

func requirePod(t *testing.T, pod podSpec, account string, asks bool) {
	t.Helper()
	require.Equal(t, "Never", pod.RestartPolicy, "podFailurePolicy needs it")
	require.Equal(t, account, pod.ServiceAccountName)
	require.NotNil(t, pod.AutomountServiceAccountToken)
	require.Equal(t, asks, *pod.AutomountServiceAccountToken)
	require.GreaterOrEqual(t, pod.TerminationGracePeriodSeconds, 30)
	require.True(t, pod.SecurityContext.RunAsNonRoot)
	require.Equal(t, 65532, pod.SecurityContext.RunAsUser)
	require.Equal(t, "RuntimeDefault", pod.SecurityContext.SeccompProfile.Type)

	require.Len(t, pod.Containers, 1)
	c := pod.Containers[0]
	require.Regexp(t, `^[^:@]+@sha256:[0-9a-f]{64}$`, c.Image)
	require.Empty(t, c.Command, "the image's entry point is pawl")
	require.NotNil(t, c.SecurityContext.AllowPrivilegeEscalation)
	require.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
	require.True(t, c.SecurityContext.ReadOnlyRootFilesystem)
	require.Equal(t, []string{"ALL"}, c.SecurityContext.Capabilities.Drop)
	require.NotEmpty(t, c.Resources.Requests["memory"])
	require.NotEmpty(t, c.Resources.Limits["memory"])

	fields := map[string]string{}
	for _, e := range c.Env {
		fields[e.Name] = e.ValueFrom.FieldRef.FieldPath
	}
	require.Equal(t, map[string]string{
		"POD_NAME":      "metadata.name",
		"POD_NAMESPACE": "metadata.namespace",
		"PAWL_CONSUMER": "metadata.annotations['pawl.bitvault.io/consumer']",
		"PAWL_RELEASE":  "metadata.annotations['pawl.bitvault.io/release']",
	}, fields)

	require.Len(t, pod.Volumes, 1)
	require.Equal(t, "pawl-database", pod.Volumes[0].Secret.SecretName)
	require.Equal(t, 0o440, pod.Volumes[0].Secret.DefaultMode)
	require.Equal(t, 65532, pod.SecurityContext.FSGroup, "the Secret's file is readable by its group alone")
	at := slices.IndexFunc(c.Args, func(a string) bool { return strings.HasPrefix(a, "--database-url-file=") })
	require.NotEqual(t, -1, at)
	require.Len(t, c.VolumeMounts, 1)
	require.True(t, c.VolumeMounts[0].ReadOnly)
}

// TestRender holds what `pawl manifests` prints to what Kustomize makes of the same files, bare and filled in.
func TestRender(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("1", 64)
	for variant, folder := range Variants() {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			bare, err := Render(Options{Variant: variant})
			require.NoError(t, err)
			require.ElementsMatch(t, decode(t, kustomized(t, folder)), decode(t, bare))
			require.Contains(t, string(bare), "# ", "the comments are for the reader of what is printed, too")

			overlay := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: shop\nresources: [../" + folder + "]\n" +
				"commonAnnotations: {pawl.bitvault.io/consumer: gateway, pawl.bitvault.io/release: '42'}\n" +
				"images: [{name: app-migrations, newName: reg.example.com:5000/gw, digest: '" + digest + "'}]\n"
			dir := beside(t, overlay)
			filled, err := Render(Options{Variant: variant, Namespace: "shop", Consumer: "gateway", Release: "42", Image: "reg.example.com:5000/gw@" + digest})
			require.NoError(t, err)
			require.ElementsMatch(t, decode(t, kustomized(t, dir)), decode(t, filled))
		})
	}
	_, err := Render(Options{Variant: "presync", Image: "gateway:latest"})
	require.ErrorIs(t, err, ErrImage)
	_, err = Render(Options{Variant: "other"})
	require.ErrorContains(t, err, `no variant "other"`)
	text, err := Render(Options{Variant: "targets", Shards: 7, Secret: "tenants", Digest: digest})
	require.NoError(t, err)
	for _, want := range []string{"completions: 7\n", "parallelism: 7\n", "--shard=$(JOB_COMPLETION_INDEX)/7\n", "secretName: tenants\n", "migrations: " + digest + "\n"} {
		require.Contains(t, string(text), want)
	}
}

// decode gives the objects of a stream, whatever they are.
func decode(t *testing.T, text []byte) []any {
	t.Helper()
	var list []any
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var o any
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) {
			return list
		}
		require.NoError(t, err)
		list = append(list, o)
	}
}

// beside writes an overlay where Kustomize lets it refer to the bases: it takes no absolute paths.
func beside(t *testing.T, overlay string) string {
	t.Helper()
	dir, err := os.MkdirTemp(".", ".overlay-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.WriteFile(dir+"/kustomization.yaml", []byte(overlay), 0o600))
	return dir
}

// TestComponents renders what the overlays may add.
func TestComponents(t *testing.T) {
	t.Parallel()
	objects := byName(t, kustomized(t, beside(t, "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../presync]\ncomponents: [../components/events]\n")))
	require.Contains(t, objects["Job/pawl-migrate"].Spec.Template.Spec.Containers[0].Args, "--kubernetes-events")
	require.Contains(t, string(kustomized(t, beside(t, "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../presync]\ncomponents: [../components/events]\n"))), "- events\n  verbs:\n  - create")
	for _, kind := range []string{"apps/v1, kind: Deployment", "argoproj.io/v1alpha1, kind: Rollout"} {
		dir := beside(t, "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [app.yaml]\ncomponents: [../components/verify]\n")
		app := "{apiVersion: " + kind + ", metadata: {name: api, labels: {pawl.dev/verify: 'true'}}, spec: {template: {spec: {containers: [{name: api, image: api}]}}}}"
		require.NoError(t, os.WriteFile(dir+"/app.yaml", []byte(app), 0o600))
		require.Contains(t, string(kustomized(t, dir)), "name: pawl-verify", kind)
	}
}

// TestReadmeOverlay renders the overlay that the README tells its reader to write.
func TestReadmeOverlay(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, block, ok := strings.Cut(string(text), "```yaml\n")
	require.True(t, ok)
	block, _, ok = strings.Cut(block, "```")
	require.True(t, ok)
	digest := "sha256:" + strings.Repeat("1", 64)
	block = strings.NewReplacer("\n   ", "\n", "path/to/deploy/", "../", "sha256:…", digest).Replace("\n" + block)
	objects := render(t, beside(t, block))
	for _, name := range []string{"pawl-migrate", "pawl-live", "pawl-aborted"} {
		template := objects["Job/"+name].Spec.Template
		require.Equal(t, "registry.example.com/gateway-migrations@"+digest, template.Spec.Containers[0].Image)
		require.Equal(t, "gateway", template.Metadata.Annotations["pawl.bitvault.io/consumer"])
		require.Equal(t, "r42", template.Metadata.Annotations["pawl.bitvault.io/release"])
	}
	require.Equal(t, "r42", objects["ConfigMap/pawl-target"].Metadata.Annotations["pawl.bitvault.io/release"])
}
