package evidence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/pager"
)

// ClusterOptions say how to reach a Kubernetes API. The zero value is the cluster that the process runs in.
type ClusterOptions struct {
	// Kubeconfig is a file; empty means the pod's own service account, or what kubectl would use where there is none.
	Kubeconfig string
	// Namespaces are looked at; none means the pod's own, or the kubeconfig's.
	Namespaces []string
	Owners     []Owner
	// Pod is the name of the pod that the process runs in, and PodNamespace where; empty where that is not known.
	Pod, PodNamespace string
	// Timeout bounds one look; 0 means 10 seconds.
	Timeout time.Duration
	// UserAgent names the process to the API server.
	UserAgent string
}

// Cluster is a Kubernetes API that can be asked what runs. Making one asks nothing.
type Cluster struct {
	client     dynamic.Interface
	clock      *serverClock
	namespaces []string
	opts       ClusterOptions
}

// serviceAccount is where a pod finds the identity that it was given.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/"

// InCluster reports whether this process runs in a pod that was given an identity with the Kubernetes API.
func InCluster() bool {
	_, err := os.Stat(serviceAccount + "token")
	return err == nil && os.Getenv("KUBERNETES_SERVICE_HOST") != ""
}

// NewCluster reads the credentials. It connects to nothing.
func NewCluster(o ClusterOptions) (*Cluster, error) {
	config, namespace, err := credentials(o.Kubeconfig)
	if err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	c := &Cluster{clock: &serverClock{}, namespaces: o.Namespaces, opts: o}
	if len(c.namespaces) == 0 {
		c.namespaces = []string{namespace}
	}
	config.UserAgent = o.UserAgent
	// A look is some ten requests; the API server has its own way to slow a client down.
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	config.Wrap(c.clock.watch)
	if c.client, err = dynamic.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("use the Kubernetes credentials: %w", err)
	}
	return c, nil
}

func credentials(path string) (*rest.Config, string, error) {
	if path == "" && InCluster() {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, "", fmt.Errorf("read the pod's service account: %w", err)
		}
		namespace, err := os.ReadFile(serviceAccount + "namespace")
		if err != nil {
			return nil, "", fmt.Errorf("read the pod's namespace: %w", err)
		}
		return config, strings.TrimSpace(string(namespace)), nil
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = path
	loaded := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil)
	config, err := loaded.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("read the kubeconfig: %w", err)
	}
	namespace, _, err := loaded.Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("read the kubeconfig: %w", err)
	}
	return config, namespace, nil
}

// looked are the kinds of objects that tell what runs. A resource that may be absent belongs to something which not
// every cluster has.
func looked() []lookedAt {
	apps := schema.GroupVersion{Group: "apps", Version: "v1"}
	batch := schema.GroupVersion{Group: "batch", Version: "v1"}
	return []lookedAt{
		{schema.GroupVersionResource{Version: "v1", Resource: "pods"}, podKind, false},
		{apps.WithResource("replicasets"), replicaSetKind, false},
		{apps.WithResource("deployments"), deploymentKind, false},
		{apps.WithResource("statefulsets"), "StatefulSet", false},
		{apps.WithResource("daemonsets"), "DaemonSet", false},
		{batch.WithResource("jobs"), jobKind, false},
		{batch.WithResource("cronjobs"), cronJobKind, false},
		{schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}, rolloutKind, true},
	}
}

type lookedAt struct {
	resource  schema.GroupVersionResource
	kind      string
	mayBeGone bool
}

// Look asks what runs. What could not be seen is among the Failures of the answer: never is a part taken for the whole.
func (c *Cluster) Look(ctx context.Context) *Fleet {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	f := &Fleet{Owners: c.opts.Owners, Place: "namespace " + strings.Join(c.namespaces, ", ")}
	type part struct {
		objects []kubeObject
		err     error
	}
	kinds := looked()
	parts := make([]part, len(kinds)*len(c.namespaces))
	var all sync.WaitGroup
	for i := range parts {
		all.Go(func() {
			kind, namespace := kinds[i%len(kinds)], c.namespaces[i/len(kinds)]
			objects, err := c.list(ctx, kind, namespace)
			parts[i] = part{objects, err}
		})
	}
	all.Wait()
	var objects []kubeObject
	forbidden := map[string][]string{}
	for i, p := range parts {
		switch {
		case p.err == nil:
			objects = append(objects, p.objects...)
		case apierrors.IsForbidden(p.err):
			namespace := c.namespaces[i/len(kinds)]
			forbidden[namespace] = append(forbidden[namespace], kinds[i%len(kinds)].resource.Resource)
		default:
			if text := c.explain(kinds[i%len(kinds)], c.namespaces[i/len(kinds)], p.err).Error(); !slices.Contains(f.Failures, text) {
				f.Failures = append(f.Failures, text)
			}
		}
	}
	for namespace, resources := range forbidden {
		f.Failures = append(f.Failures, mayNotList(namespace, resources...))
	}
	slices.Sort(f.Failures)
	var problems []string
	f.Workloads, problems = workloads(objects)
	if len(f.Failures) == 0 {
		// Where something was not seen, what refers to it says nothing more.
		f.Failures = problems
	}
	f.At, f.Looked = c.clock.now(), time.Now()
	return f
}

// list reads all objects of a kind, page by page.
func (c *Cluster) list(ctx context.Context, kind lookedAt, namespace string) ([]kubeObject, error) {
	var list []kubeObject
	pages := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return c.client.Resource(kind.resource).Namespace(namespace).List(ctx, o)
	})
	// Not item by item: a list that expires between two pages is read again, and then nothing of it may be kept.
	all, _, err := pages.List(ctx, metav1.ListOptions{})
	if kind.mayBeGone && apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	err = meta.EachListItem(all, func(item runtime.Object) error {
		u, ok := item.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("the answer has a %T", item)
		}
		data, err := u.MarshalJSON()
		if err != nil {
			return err
		}
		o, err := readObject(kind.kind, data)
		list = append(list, o)
		return err
	})
	return list, err
}

func mayNotList(namespace string, resources ...string) string {
	return fmt.Sprintf("pawl may not list the %s in namespace %s: bind the Role of deploy/ to its service account, or leave Kubernetes out with --kubernetes=off",
		strings.Join(resources, ", "), namespace)
}

// explain says in one sentence what kept a list from being read, and what to do.
func (c *Cluster) explain(kind lookedAt, namespace string, err error) error {
	what := fmt.Sprintf("the %s in namespace %s", kind.resource.Resource, namespace)
	switch {
	case apierrors.IsForbidden(err):
		return errors.New(mayNotList(namespace, kind.resource.Resource))
	case apierrors.IsUnauthorized(err):
		return errors.New("the Kubernetes API does not accept pawl's credentials: give the pod a service account token, or correct the kubeconfig")
	case apierrors.IsNotFound(err):
		return fmt.Errorf("the Kubernetes API does not know %s", what)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the Kubernetes API did not answer within %s when asked what runs, or was lost in the middle of its answer", c.opts.Timeout)
	case errors.Is(err, context.Canceled):
		return errors.New("asking the Kubernetes API was interrupted")
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return fmt.Errorf("the Kubernetes API did not give %s: %w", what, err)
	}
	return fmt.Errorf("the Kubernetes API cannot be reached, or was lost in the middle of its answer: %s", lastOf(err))
}

// lastOf gives the innermost error, which has no address and no query in it.
func lastOf(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

// OwnDigests gives the digests of the images that this pod runs. A release that is deployed by its own image is known by
// them later.
func (c *Cluster) OwnDigests(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	pod, err := c.ownPod(ctx)
	if err != nil || pod == nil {
		return nil, err
	}
	var digests []string
	for _, container := range pod.containers(pod.Spec.podSpec) {
		digests = append(digests, container.Digests...)
	}
	slices.Sort(digests)
	return slices.Compact(digests), nil
}

// ownPod gives the pod that this process runs in, by the right to list that a look needs anyway; nil where that is not
// known.
func (c *Cluster) ownPod(ctx context.Context) (*kubeObject, error) {
	if c.opts.Pod == "" {
		return nil, nil //nolint:nilnil // it is not known
	}
	kind := looked()[0]
	namespace := cmp.Or(c.opts.PodNamespace, c.namespaces[0])
	answer, err := c.client.Resource(kind.resource).Namespace(namespace).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + c.opts.Pod})
	if err != nil {
		return nil, c.explain(kind, namespace, err)
	}
	if len(answer.Items) == 0 {
		return nil, nil //nolint:nilnil // it is gone already
	}
	data, err := answer.Items[0].MarshalJSON()
	if err != nil {
		return nil, err
	}
	o, err := readObject(podKind, data)
	return &o, err
}

// serverClock keeps the time of the newest answer, by the server's clock.
type serverClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *serverClock) watch(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		answer, err := next.RoundTrip(r)
		if err == nil {
			if at, bad := http.ParseTime(answer.Header.Get("Date")); bad == nil {
				c.mu.Lock()
				c.at = at
				c.mu.Unlock()
			}
		}
		return answer, err
	})
}

func (c *serverClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip calls the function.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
