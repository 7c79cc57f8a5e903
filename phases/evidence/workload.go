package evidence

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Workload is a pod, or the template by which Kubernetes makes pods.
type Workload struct {
	Kind, Namespace, Name string
	// Labels are the pod's, or those that the template gives to its pods.
	Labels map[string]string
	// How qualifies it for people, such as "terminating" or "stable of Rollout api"; empty for nothing special.
	How        string
	Containers []Container
}

// Container is one container of a Workload, whether it runs first, beside or as the main one.
type Container struct {
	Name, Image string
	// Digests are those of the image's reference and of what the node has pulled: of the index of a multi-arch image, of
	// the manifest for one platform, or both. None means that it is not known which image it is.
	Digests []string
}

// String names the workload as people do.
func (w Workload) String() string {
	name := w.Kind + " " + w.Name
	if w.Kind == podKind {
		name = "pod " + w.Name
	}
	if w.How != "" {
		name += " (" + w.How + ")"
	}
	return name
}

const (
	podKind        = "Pod"
	replicaSetKind = "ReplicaSet"
	deploymentKind = "Deployment"
	rolloutKind    = "Rollout"
	cronJobKind    = "CronJob"
	jobKind        = "Job"

	rolloutHash = "rollouts-pod-template-hash"
	// ownComponent is how the labels of pawl's own pods begin, ownContainer what its initContainer in other pods is called:
	// they send nothing of a consumer's.
	ownComponent = "pawl-"
	ownContainer = "pawl-verify"
)

// kubeObject is the part of a Kubernetes object that tells what runs. It fits all kinds that are looked at.
type kubeObject struct {
	Kind     string
	Metadata struct {
		Name, Namespace, UID string
		Labels, Annotations  map[string]string
		DeletionTimestamp    string
		OwnerReferences      []struct {
			Kind, Name, UID string
			Controller      bool
		}
	}
	Spec struct {
		podSpec
		Replicas    *int64
		Suspend     bool
		Paused      bool
		Template    podTemplate
		JobTemplate struct {
			Spec struct{ Template podTemplate }
		}
		WorkloadRef struct{ Kind, Name string }
	}
	Status struct {
		Phase                                    string
		InitContainerStatuses, ContainerStatuses []struct{ Name, ImageID string }
		Replicas                                 int64
		Conditions                               []struct{ Type, Status string }
		StableRS, CurrentPodHash                 string
		BlueGreen                                struct{ ActiveSelector, PreviewSelector string }
	}
}

type podTemplate struct {
	Metadata struct{ Labels map[string]string }
	Spec     podSpec
}

type podSpec struct {
	InitContainers, Containers []struct{ Name, Image string }
}

// workloads reads what runs, and what can start something, out of objects of all kinds: each is one object in JSON. A kind
// that the answer leaves out of its items is given before the object. The problems say what is missing from the picture.
func workloads(objects []kubeObject) (list []Workload, problems []string) {
	wanted := rolloutHashes(objects)
	for i := range objects {
		o := &objects[i]
		if strings.HasPrefix(o.Metadata.Labels["app.kubernetes.io/component"], ownComponent) {
			continue
		}
		w := Workload{Kind: o.Kind, Namespace: o.Metadata.Namespace, Name: o.Metadata.Name, Labels: o.Spec.Template.Metadata.Labels}
		spec := o.Spec.Template.Spec
		switch o.Kind {
		case podKind:
			if o.ended() {
				continue
			}
			w.Labels, spec, w.How = o.Metadata.Labels, o.Spec.podSpec, o.podState()
		case replicaSetKind:
			roles := wanted.take(o)
			if o.replicas() == 0 && o.Status.Replicas == 0 && len(roles) == 0 {
				continue
			}
			w.How = strings.Join(roles, " and ")
			if at := o.Metadata.Annotations["scale-down-deadline"]; at != "" {
				w.How = strings.TrimPrefix(w.How+", runs until "+at, ", ")
			}
		case deploymentKind:
			if o.replicas() == 0 {
				w.How = "scaled to 0"
			}
		case rolloutKind:
			if ref := o.Spec.WorkloadRef; ref.Name != "" {
				if !slices.ContainsFunc(objects, func(d kubeObject) bool {
					return d.Kind == ref.Kind && d.Metadata.Name == ref.Name && d.Metadata.Namespace == w.Namespace
				}) {
					problems = append(problems, fmt.Sprintf("%s takes its pods' template from %s %s, which is not there", w, ref.Kind, ref.Name))
				}
				continue
			}
		case jobKind:
			if o.condition("Complete") || o.condition("Failed") {
				continue
			}
			w.How = suspended(o.Spec.Suspend)
		case cronJobKind:
			w.Labels, spec, w.How = o.Spec.JobTemplate.Spec.Template.Metadata.Labels, o.Spec.JobTemplate.Spec.Template.Spec, suspended(o.Spec.Suspend)
		}
		if strings.HasPrefix(w.Labels["app.kubernetes.io/component"], ownComponent) {
			continue
		}
		w.Containers = o.containers(spec)
		list = append(list, w)
	}
	return list, append(problems, wanted.missing()...)
}

func suspended(yes bool) string {
	if yes {
		return "suspended"
	}
	return ""
}

// ended reports whether no container of a pod runs any more, or ever will again.
func (o *kubeObject) ended() bool { return o.Status.Phase == "Succeeded" || o.Status.Phase == "Failed" }

func (o *kubeObject) podState() string {
	switch {
	case o.Metadata.DeletionTimestamp != "":
		// It serves until it has ended.
		return "terminating"
	case o.Status.Phase != "Running":
		return strings.ToLower(cmp.Or(o.Status.Phase, "Pending"))
	}
	return ""
}

// replicas gives how many are wanted; Kubernetes takes one where nothing is said.
func (o *kubeObject) replicas() int64 {
	if o.Spec.Replicas == nil {
		return 1
	}
	return *o.Spec.Replicas
}

func (o *kubeObject) condition(name string) bool {
	for _, c := range o.Status.Conditions {
		if c.Type == name && c.Status == "True" {
			return true
		}
	}
	return false
}

func (o *kubeObject) containers(spec podSpec) []Container {
	pulled := map[string]string{}
	for _, s := range slices.Concat(o.Status.InitContainerStatuses, o.Status.ContainerStatuses) {
		pulled[s.Name] = s.ImageID
	}
	var list []Container
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		if c.Name == ownContainer {
			continue
		}
		one := Container{Name: c.Name, Image: c.Image}
		for _, reference := range []string{c.Image, pulled[c.Name]} {
			if d := digestOf(reference); d != "" && !slices.Contains(one.Digests, d) {
				one.Digests = append(one.Digests, d)
			}
		}
		list = append(list, one)
	}
	return list
}

// digestOf finds the digest in an image's reference (repository@sha256:…) or in what a node says that it runs, which some
// write with a scheme in front, and some as the digest alone.
func digestOf(reference string) string {
	at := strings.LastIndex(reference, "sha256:")
	if at < 0 || at > 0 && reference[at-1] != '@' && reference[at-1] != '/' {
		return ""
	}
	digest := reference[at:]
	if len(digest) != len("sha256:")+64 || strings.Trim(digest[len("sha256:"):], "0123456789abcdef") != "" {
		return ""
	}
	return digest
}

// IsDigest reports whether a text is an image's digest.
func IsDigest(text string) bool { return text != "" && digestOf(text) == text }

// hashes are the ReplicaSets that Rollouts name in their status: what is stable, what comes, what is active and what is
// looked at first. An abort or a promotion brings each of them to the front without anybody deploying.
type hashes map[[3]string][]string

func rolloutHashes(objects []kubeObject) hashes {
	h := hashes{}
	for i := range objects {
		o := &objects[i]
		if o.Kind != rolloutKind {
			continue
		}
		// The template itself stands for what the newest hash names, before its ReplicaSet is made.
		for _, role := range []struct{ hash, what string }{
			{o.Status.StableRS, "stable"}, {o.Status.CurrentPodHash, "current"},
			{o.Status.BlueGreen.ActiveSelector, "active"}, {o.Status.BlueGreen.PreviewSelector, "preview"},
		} {
			if role.hash != "" {
				key := [3]string{o.Metadata.Namespace, o.Metadata.Name, role.hash}
				h[key] = append(h[key], role.what)
			}
		}
	}
	return h
}

// take gives what a Rollout says that a ReplicaSet is to it, and strikes it from the list.
func (h hashes) take(o *kubeObject) []string {
	for _, owner := range o.Metadata.OwnerReferences {
		key := [3]string{o.Metadata.Namespace, owner.Name, o.Metadata.Labels[rolloutHash]}
		if roles := h[key]; owner.Kind == rolloutKind && len(roles) > 0 {
			delete(h, key)
			return []string{strings.Join(roles, ", ") + " of Rollout " + owner.Name}
		}
	}
	return nil
}

// missing names the ReplicaSets that no take has struck, but for one that is only about to be made.
func (h hashes) missing() []string {
	var list []string
	for key, roles := range h {
		if len(roles) == 1 && roles[0] == "current" {
			continue
		}
		list = append(list, fmt.Sprintf("the ReplicaSet with the hash %s, %s of Rollout %s, is not there", key[2], strings.Join(roles, ", "), key[1]))
	}
	slices.Sort(list)
	return list
}

// readObject reads one object of a list.
func readObject(kind string, data []byte) (kubeObject, error) {
	var o kubeObject
	if err := json.Unmarshal(data, &o); err != nil {
		return o, fmt.Errorf("read a %s: %w", kind, err)
	}
	o.Kind = cmp.Or(o.Kind, kind)
	return o, nil
}
