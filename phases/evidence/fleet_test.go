package evidence

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"encoding/json"
)

// digest gives a whole digest from one letter.
func digest(letter string) string { return "sha256:" + strings.Repeat(letter, 64) }

// objects reads Kubernetes objects as people write them. $1 stands for the digest of r1's image, $2 for r2's, and so on.
func objects(t *testing.T, text string) []kubeObject {
	t.Helper()
	for _, letter := range []string{"1", "2", "3", "9"} {
		text = strings.ReplaceAll(text, "$"+letter, digest(letter))
	}
	var list []kubeObject
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var tree map[string]any
		if err := decoder.Decode(&tree); err != nil {
			require.ErrorContains(t, err, "EOF")
			return list
		}
		data, err := json.Marshal(tree)
		require.NoError(t, err)
		o, err := readObject("", data)
		require.NoError(t, err)
		list = append(list, o)
	}
}

const gatewayPod = `
kind: Pod
metadata: {name: gateway-a, labels: {app: gateway}}
spec: {containers: [{name: gateway, image: 'reg/gateway@$1'}]}
status: {phase: Running, containerStatuses: [{name: gateway, imageID: 'reg/gateway@$1'}]}
`

const gatewayRollout = `
kind: Rollout
metadata: {name: gateway}
spec: {replicas: 10, template: {metadata: {labels: {app: gateway}}, spec: {containers: [{name: gateway, image: 'reg/gateway@$2'}]}}}
status: {stableRS: aaa, currentPodHash: bbb}
---
kind: ReplicaSet
metadata: {name: gateway-aaa, labels: {rollouts-pod-template-hash: aaa}, ownerReferences: [{kind: Rollout, name: gateway, controller: true}]}
spec: {replicas: 0, template: {metadata: {labels: {app: gateway}}, spec: {containers: [{name: gateway, image: 'reg/gateway@$1'}]}}}
---
kind: ReplicaSet
metadata: {name: gateway-bbb, labels: {rollouts-pod-template-hash: bbb}, ownerReferences: [{kind: Rollout, name: gateway, controller: true}]}
spec: {replicas: 1, template: {metadata: {labels: {app: gateway}}, spec: {containers: [{name: gateway, image: 'reg/gateway@$2'}]}}}
`

func TestSight(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, objects string
		// want has one line for each release that is seen, as CONSUMER@RELEASE: where; then what is not known of it.
		want []string
		// failures are parts of the reasons for which nothing goes through.
		failures []string
	}{
		{"a pod by its image", gatewayPod, []string{"gateway@r1: runs in pod gateway-a"}, nil},
		{"a pod that terminates still serves", strings.Replace(gatewayPod, "name: gateway-a", "name: gateway-a, deletionTimestamp: '2026-11-28T12:00:00Z'", 1),
			[]string{"gateway@r1: runs in pod gateway-a (terminating)"}, nil},
		{"a pod that is to start", strings.Replace(strings.Replace(gatewayPod, "phase: Running, containerStatuses", "phase: Pending, x", 1), "\n", "", 1),
			[]string{"gateway@r1: runs in pod gateway-a (pending)"}, nil},
		{"a pod of which the node says nothing", strings.Replace(gatewayPod, "phase: Running", "phase: Unknown", 1),
			[]string{"gateway@r1: runs in pod gateway-a (unknown)"}, nil},
		{"a pod that has ended is no pod, and the selector finds none", strings.Replace(gatewayPod, "phase: Running", "phase: Succeeded", 1), nil,
			[]string{"nothing in namespace shop matches the selector of consumer gateway (app=gateway)"}},
		{"the tag moved: what the node pulled counts", strings.Replace(gatewayPod, "image: 'reg/gateway@$1'", "image: reg/gateway:latest", 1),
			[]string{"gateway@r1: runs in pod gateway-a"}, nil},
		{"Docker's way to write an imageID", strings.Replace(strings.Replace(gatewayPod, "image: 'reg/gateway@$1'", "image: reg/gateway:latest", 1), "imageID: 'reg", "imageID: 'docker-pullable://reg", 1),
			[]string{"gateway@r1: runs in pod gateway-a"}, nil},
		{"the index of a multi-arch image is deployed, and the node names the manifest of its platform", strings.Replace(gatewayPod, "imageID: 'reg/gateway@$1'", "imageID: 'reg/gateway@$9'", 1),
			[]string{"gateway@r1: runs in pod gateway-a"}, nil},
		{"the other way round", strings.Replace(gatewayPod, "image: 'reg/gateway@$1'", "image: 'reg/gateway@$9'", 1),
			[]string{"gateway@r1: runs in pod gateway-a"}, nil},
		{"an image of no registered release", strings.ReplaceAll(gatewayPod, "$1", "$9"),
			[]string{"gateway@image reg/gateway@$9: runs in pod gateway-a: image reg/gateway@$9 ($9) is of no registered release of gateway"}, nil},
		{"an image without digest", strings.ReplaceAll(gatewayPod, "@$1", ":v1"),
			[]string{"gateway@image reg/gateway:v1: runs in pod gateway-a: image reg/gateway:v1 has no digest, so it is not known which release it is"}, nil},
		{"a digest that is none", strings.ReplaceAll(gatewayPod, "@$1", "@sha256:short"),
			[]string{"gateway@image reg/gateway@sha256:short: runs in pod gateway-a: image reg/gateway@sha256:short has no digest, so it is not known which release it is"}, nil},
		{"the label says which release it is", strings.Replace(strings.ReplaceAll(gatewayPod, "@$1", ":v1"), "app: gateway", "app: gateway, pawl.dev/release: r2", 1),
			[]string{"gateway@r2: runs in pod gateway-a"}, nil},
		{"label and image disagree: both count", strings.Replace(gatewayPod, "app: gateway", "app: gateway, pawl.dev/release: r2", 1),
			[]string{"gateway@r2: runs in pod gateway-a", "gateway@r1: runs in pod gateway-a"}, nil},
		{"a label of a release that nobody registered", strings.Replace(strings.ReplaceAll(gatewayPod, "$1", "$9"), "app: gateway", "app: gateway, pawl.dev/release: r7", 1),
			[]string{"gateway@r7: runs in pod gateway-a: its pods say pawl.dev/release=r7, and no such release of gateway is registered"}, nil},
		{"an init container and a sidecar send SQL too", gatewayPod + `---
kind: Pod
metadata: {name: gateway-b, labels: {app: gateway}}
spec: {initContainers: [{name: warm, image: 'reg/gateway@$2'}, {name: side, image: 'reg/side@$9'}, {name: pawl-verify, image: 'reg/pawl:v1'}], containers: [{name: gateway, image: 'reg/gateway@$1'}]}
status: {phase: Running}
`, []string{"gateway@r1: runs in pods gateway-a, gateway-b", "gateway@r2: runs in pod gateway-b",
			"gateway@image reg/side@$9: runs in pod gateway-b: image reg/side@$9 ($9) is of no registered release of gateway"}, nil},
		{"pawl's own pods send nothing of a consumer's", gatewayPod + `---
kind: Pod
metadata: {name: pawl-migrate-x, labels: {app: gateway, app.kubernetes.io/component: pawl-migrate}}
spec: {containers: [{name: pawl, image: 'reg/gateway@$2'}]}
status: {phase: Running}
`, []string{"gateway@r1: runs in pod gateway-a"}, nil},
		{"two consumers claim a pod", strings.Replace(gatewayPod, "app: gateway", "app: gateway, tier: web", 1),
			[]string{"gateway@r1: runs in pod gateway-a", "web@image reg/gateway@$1: runs in pod gateway-a: image reg/gateway@$1 ($1) is of no registered release of web"},
			[]string{"two consumers claim pod gateway-a in namespace shop: gateway (app=gateway) and web (tier=web)"}},
		{"a pod that says itself whose it is", strings.Replace(gatewayPod, "app: gateway", "pawl.dev/consumer: report", 1),
			[]string{"report@image reg/gateway@$1: runs in pod gateway-a: image reg/gateway@$1 ($1) is of no registered release of report"},
			[]string{"nothing in namespace shop matches the selector of consumer gateway"}},
		{"a pod without labels is known by its image", gatewayPod + strings.NewReplacer("gateway-a", "old", "{app: gateway}", "{}").Replace("---"+gatewayPod),
			[]string{"gateway@r1: runs in pods gateway-a, old"}, nil},
		{"a canary: the stable ReplicaSet counts without pods, for an abort brings it back", gatewayRollout,
			[]string{"gateway@r2: can be started by ReplicaSet gateway-bbb (current of Rollout gateway), Rollout gateway",
				"gateway@r1: can be started by ReplicaSet gateway-aaa (stable of Rollout gateway)"}, nil},
		{"promoted: the old ReplicaSet has no replicas and no part in it", strings.Replace(gatewayRollout, "stableRS: aaa", "stableRS: bbb", 1),
			[]string{"gateway@r2: can be started by ReplicaSet gateway-bbb (stable, current of Rollout gateway), Rollout gateway"}, nil},
		{"blue-green: what is active and what is looked at first", strings.Replace(gatewayRollout, "stableRS: aaa, currentPodHash: bbb", "currentPodHash: bbb, blueGreen: {activeSelector: aaa, previewSelector: bbb}", 1),
			[]string{"gateway@r2: can be started by ReplicaSet gateway-bbb (current, preview of Rollout gateway), Rollout gateway",
				"gateway@r1: can be started by ReplicaSet gateway-aaa (active of Rollout gateway)"}, nil},
		{"a ReplicaSet that runs until its time is over", strings.Replace(strings.Replace(gatewayRollout, "stableRS: aaa", "stableRS: bbb", 1), "replicas: 0", "replicas: 3", 1) + "",
			[]string{"gateway@r2: can be started by ReplicaSet gateway-bbb (stable, current of Rollout gateway), Rollout gateway",
				"gateway@r1: can be started by ReplicaSet gateway-aaa"}, nil},
		{"the stable ReplicaSet is not there", strings.Replace(gatewayRollout, "stableRS: aaa", "stableRS: ccc", 1),
			[]string{"gateway@r2: can be started by ReplicaSet gateway-bbb (current of Rollout gateway), Rollout gateway"},
			[]string{"the ReplicaSet with the hash ccc, stable of Rollout gateway, is not there"}},
		{"a Rollout that refers to a Deployment", gatewayPod + `---
kind: Rollout
metadata: {name: gateway}
spec: {workloadRef: {kind: Deployment, name: gateway}}
---
kind: Deployment
metadata: {name: gateway}
spec: {replicas: 0, template: {metadata: {labels: {app: gateway}}, spec: {containers: [{name: gateway, image: 'reg/gateway@$2'}]}}}
`, []string{"gateway@r1: runs in pod gateway-a", "gateway@r2: can be started by Deployment gateway (scaled to 0)"}, nil},
		{"a Rollout whose Deployment is not there", gatewayPod + "---\nkind: Rollout\nmetadata: {name: gateway}\nspec: {workloadRef: {kind: Deployment, name: gateway}}\n",
			[]string{"gateway@r1: runs in pod gateway-a"}, []string{"Rollout gateway takes its pods' template from Deployment gateway, which is not there"}},
		{"a CronJob starts it, also a suspended one; a Job that has ended does not", gatewayPod + `---
kind: CronJob
metadata: {name: nightly}
spec: {suspend: true, jobTemplate: {spec: {template: {metadata: {labels: {app: gateway}}, spec: {containers: [{name: gateway, image: 'reg/gateway@$2'}]}}}}}
---
kind: Job
metadata: {name: done}
spec: {template: {metadata: {labels: {app: gateway}}, spec: {containers: [{name: gateway, image: 'reg/gateway@$9'}]}}}
status: {conditions: [{type: Complete, status: 'True'}]}
---
kind: Job
metadata: {name: under-way}
spec: {template: {metadata: {labels: {app: gateway}}, spec: {containers: [{name: gateway, image: 'reg/gateway@$2'}]}}}
`, []string{"gateway@r1: runs in pod gateway-a", "gateway@r2: can be started by CronJob nightly (suspended), Job under-way"}, nil},
		{"StatefulSet and DaemonSet", gatewayPod + `---
kind: StatefulSet
metadata: {name: s}
spec: {template: {metadata: {labels: {app: gateway}}, spec: {containers: [{name: gateway, image: 'reg/gateway@$2'}]}}}
---
kind: DaemonSet
metadata: {name: d}
spec: {template: {metadata: {labels: {app: gateway}}, spec: {containers: [{name: gateway, image: 'reg/gateway@$2'}]}}}
`, []string{"gateway@r1: runs in pod gateway-a", "gateway@r2: can be started by DaemonSet d, StatefulSet s"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := &Fleet{Place: "namespace shop"}
			for _, owner := range []string{"gateway=app=gateway", "web=tier=web"} {
				name, text, _ := strings.Cut(owner, "=")
				if name == "web" && !strings.Contains(c.objects, "tier: web") {
					continue
				}
				s, err := ParseSelector(text)
				require.NoError(t, err)
				f.Owners = append(f.Owners, Owner{Consumer: name})
				f.Owners[len(f.Owners)-1].Pods = append(f.Owners[len(f.Owners)-1].Pods, s)
			}
			list := objects(t, c.objects)
			for i := range list {
				list[i].Metadata.Namespace = "shop"
			}
			f.Workloads, f.Failures = workloads(list)
			seen := f.sight([]knownRelease{{"gateway", "r1", []string{digest("1")}}, {"gateway", "r2", []string{digest("2")}}})
			var got []string
			for _, s := range seen.list {
				line := fmt.Sprintf("%s@%s: %s", s.consumer, s.release, strings.Join(where(s.workloads), "; "))
				if s.problem != "" {
					require.NotEmpty(t, s.cure)
					line += ": " + s.problem
				}
				got = append(got, line)
			}
			for i := range c.want {
				c.want[i] = strings.ReplaceAll(strings.ReplaceAll(c.want[i], "$9", digest("9")), "$1", digest("1"))
			}
			require.ElementsMatch(t, c.want, got)
			require.Len(t, seen.failures, len(c.failures), "%s", seen.failures)
			for i, want := range c.failures {
				require.Contains(t, seen.failures[i], want)
			}
		})
	}
}

// The names of a large fleet do not fill the page.
func TestWhereIsShort(t *testing.T) {
	t.Parallel()
	var list []Workload
	for i := range 500 {
		list = append(list, Workload{Kind: podKind, Name: fmt.Sprintf("gateway-%03d", i)})
	}
	require.Equal(t, []string{"runs in pods gateway-000, gateway-001, gateway-002, gateway-003 and 496 more"}, where(list))
}

// Only the named containers are looked at, and where none of them is there, it is not known what the pod sends.
func TestContainers(t *testing.T) {
	t.Parallel()
	f := &Fleet{Owners: []Owner{{Consumer: "gateway", Containers: []string{"gateway"}}}}
	w := Workload{Kind: podKind, Name: "a", Labels: map[string]string{ConsumerLabel: "gateway"}, Containers: []Container{
		{Name: "gateway", Image: "g", Digests: []string{digest("1")}}, {Name: "proxy", Image: "p", Digests: []string{digest("9")}},
	}}
	known := []knownRelease{{"gateway", "r1", []string{digest("1")}}}
	f.Workloads = []Workload{w}
	seen := f.sight(known)
	require.Len(t, seen.list, 1)
	require.Equal(t, "r1", seen.list[0].release)
	require.Empty(t, seen.failures)

	w.Containers = w.Containers[1:]
	f.Workloads = []Workload{w}
	require.Contains(t, strings.Join(f.sight(known).failures, ""), "none of the containers of consumer gateway (gateway)")
}
