package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	authentication "k8s.io/api/authentication/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"
)

const node = "local"

// kubelet is a node that says that its pods run, and really runs those containers whose image the tests have given it:
// as local processes of the program under test, with the container's arguments, environment, Secrets and identity.
type kubelet struct {
	world *world
	dir   string
	mu    sync.Mutex
	// images are directories that stand for the root of a container of an image.
	images  map[string]string
	started map[string]bool
	running map[string]context.CancelFunc
}

// give makes an image runnable: root is what its containers see as /.
func (k *kubelet) give(image, root string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.images[image] = root
}

func (k *kubelet) root(image string) (string, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	root, ok := k.images[image]
	return root, ok
}

func (k *kubelet) start(ctx context.Context) error {
	_, err := k.world.client.CoreV1().Nodes().Create(ctx, &core.Node{ObjectMeta: meta.ObjectMeta{Name: node}}, meta.CreateOptions{})
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(k.world.client, 0)
	_, err = factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { k.handle(ctx, o.(*core.Pod)) },
		UpdateFunc: func(_, o any) { k.handle(ctx, o.(*core.Pod)) },
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return nil
}

func (k *kubelet) handle(ctx context.Context, p *core.Pod) {
	pods := k.world.client.CoreV1().Pods(p.Namespace)
	switch {
	case p.DeletionTimestamp != nil:
		k.mu.Lock()
		stop := k.running[string(p.UID)]
		k.mu.Unlock()
		if stop != nil {
			stop()
		}
		now := int64(0)
		_ = pods.Delete(ctx, p.Name, meta.DeleteOptions{GracePeriodSeconds: &now})
	case p.Spec.NodeName == "":
		_ = pods.Bind(ctx, &core.Binding{ObjectMeta: meta.ObjectMeta{Name: p.Name, UID: p.UID}, Target: core.ObjectReference{Kind: "Node", Name: node}}, meta.CreateOptions{})
	default:
		k.mu.Lock()
		defer k.mu.Unlock()
		if !k.started[string(p.UID)] {
			k.started[string(p.UID)] = true
			life, stop := context.WithCancel(ctx)
			k.running[string(p.UID)] = stop
			go k.run(life, p)
		}
	}
}

// run is a pod's life: its init containers one after another, then the others.
func (k *kubelet) run(ctx context.Context, p *core.Pod) {
	for _, c := range p.Spec.InitContainers {
		root, ok := k.root(c.Image)
		for ok {
			ended := k.execute(ctx, p, c, root)
			if ended.ExitCode == 0 {
				break
			}
			k.report(ctx, p, core.PodPending, func(s *core.PodStatus) {
				s.InitContainerStatuses = []core.ContainerStatus{{Name: c.Name, Image: c.Image, ImageID: c.Image, State: core.ContainerState{Terminated: ended}}}
			})
			select {
			case <-ctx.Done():
				return
			case <-time.After(300 * time.Millisecond):
				// A kubelet waits longer each time.
			}
		}
	}
	main := p.Spec.Containers[0]
	root, ok := k.root(main.Image)
	if main.Name != "pawl" {
		ok = false
	}
	k.report(ctx, p, core.PodRunning, func(s *core.PodStatus) {
		ready := true
		for _, c := range p.Spec.Containers {
			s.ContainerStatuses = append(s.ContainerStatuses, core.ContainerStatus{
				Name: c.Name, Image: c.Image, ImageID: c.Image, Ready: ready, Started: &ready, State: core.ContainerState{Running: &core.ContainerStateRunning{StartedAt: meta.Now()}},
			})
		}
	})
	if !ok {
		return
	}
	ended := k.execute(ctx, p, main, root)
	phase := core.PodSucceeded
	if ended.ExitCode != 0 {
		phase = core.PodFailed
	}
	k.report(ctx, p, phase, func(s *core.PodStatus) {
		s.ContainerStatuses = []core.ContainerStatus{{Name: main.Name, Image: main.Image, ImageID: main.Image, State: core.ContainerState{Terminated: ended}}}
	})
}

// report writes a pod's status.
func (k *kubelet) report(ctx context.Context, p *core.Pod, phase core.PodPhase, more func(*core.PodStatus)) {
	_ = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		now, err := k.world.client.CoreV1().Pods(p.Namespace).Get(ctx, p.Name, meta.GetOptions{})
		if err != nil {
			return err
		}
		at := meta.Now()
		now.Status.Phase, now.Status.HostIP, now.Status.PodIP, now.Status.StartTime = phase, "127.0.0.1", "127.0.0.1", &at
		now.Status.ContainerStatuses, now.Status.Conditions = nil, nil
		ready := core.ConditionFalse
		if phase == core.PodRunning {
			ready = core.ConditionTrue
		}
		for _, c := range []core.PodConditionType{core.PodScheduled, core.PodInitialized, core.ContainersReady, core.PodReady} {
			status := ready
			if c == core.PodScheduled {
				status = core.ConditionTrue
			}
			now.Status.Conditions = append(now.Status.Conditions, core.PodCondition{Type: c, Status: status, LastTransitionTime: at})
		}
		more(&now.Status)
		_, err = k.world.client.CoreV1().Pods(p.Namespace).UpdateStatus(ctx, now, meta.UpdateOptions{})
		return err
	})
}

var variable = regexp.MustCompile(`\$\(([A-Za-z_][A-Za-z0-9_]*)\)`)

// execute runs one container of pawl to its end.
func (k *kubelet) execute(ctx context.Context, p *core.Pod, c core.Container, root string) *core.ContainerStateTerminated {
	failed := func(err error) *core.ContainerStateTerminated {
		return &core.ContainerStateTerminated{ExitCode: 128, Reason: "StartError", Message: err.Error(), FinishedAt: meta.Now()}
	}
	dir, err := os.MkdirTemp(k.dir, "container-")
	if err != nil {
		return failed(err)
	}
	mounts, err := k.mount(ctx, p, c, dir)
	if err != nil {
		return failed(err)
	}
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil {
			env[e.Name] = field(p, e.ValueFrom.FieldRef.FieldPath)
		}
	}
	program := []string{k.world.pawl}
	if auto := p.Spec.AutomountServiceAccountToken; auto == nil || *auto {
		if program, err = k.world.inPod(ctx, p.Namespace, p.Spec.ServiceAccountName, dir, env); err != nil {
			return failed(err)
		}
	}
	message := filepath.Join(dir, "termination-log")
	if err := os.WriteFile(message, nil, 0o600); err != nil {
		return failed(err)
	}
	env["PAWL_TERMINATION_LOG"] = message
	args := program[1:]
	for _, a := range c.Args {
		a = variable.ReplaceAllStringFunc(a, func(v string) string { return env[v[2:len(v)-1]] })
		args = append(args, translate(a, root, mounts))
	}
	cmd := exec.CommandContext(ctx, program[0], args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Dir = root
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	_ = os.WriteFile(filepath.Join(dir, "log"), out.Bytes(), 0o600)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return failed(err)
	}
	ended := &core.ContainerStateTerminated{ExitCode: int32(cmd.ProcessState.ExitCode()), Reason: "Completed", FinishedAt: meta.Now()} //nolint:gosec // exit codes are small
	said, _ := os.ReadFile(message)
	if ended.ExitCode != 0 {
		ended.Reason = "Error"
		if len(said) == 0 && c.TerminationMessagePolicy == core.TerminationMessageFallbackToLogsOnError {
			said = out.Bytes()
		}
	}
	const most = 4096
	ended.Message = string(said[max(0, len(said)-most):])
	return ended
}

// mount writes the Secrets that a container mounts, and gives where they are.
func (k *kubelet) mount(ctx context.Context, p *core.Pod, c core.Container, dir string) (map[string]string, error) {
	mounts := map[string]string{}
	for _, m := range c.VolumeMounts {
		for _, v := range p.Spec.Volumes {
			if v.Name != m.Name || v.Secret == nil {
				continue
			}
			secret, err := k.world.client.CoreV1().Secrets(p.Namespace).Get(ctx, v.Secret.SecretName, meta.GetOptions{})
			if err != nil {
				return nil, err
			}
			at := filepath.Join(dir, v.Name)
			if err := os.MkdirAll(at, 0o700); err != nil {
				return nil, err
			}
			for _, item := range v.Secret.Items {
				data, ok := secret.Data[item.Key]
				if !ok {
					return nil, fmt.Errorf("secret %s has no key %s", v.Secret.SecretName, item.Key)
				}
				if err := os.WriteFile(filepath.Join(at, item.Path), data, 0o600); err != nil {
					return nil, err
				}
			}
			mounts[m.MountPath] = at
		}
	}
	return mounts, nil
}

// translate turns a path inside of a container into one of this machine, also behind a flag's equals sign.
func translate(arg, root string, mounts map[string]string) string {
	flag, path := "", arg
	if at := strings.Index(arg, "=/"); at > 0 && strings.HasPrefix(arg, "-") {
		flag, path = arg[:at+1], arg[at+1:]
	}
	if !strings.HasPrefix(path, "/") {
		return arg
	}
	for from, to := range mounts {
		if strings.HasPrefix(path, from) {
			return flag + to + strings.TrimPrefix(path, from)
		}
	}
	return flag + root + path
}

var keyed = regexp.MustCompile(`^metadata\.(annotations|labels)\['(.*)'\]$`)

// field gives what the downward API gives.
func field(p *core.Pod, path string) string {
	switch path {
	case "metadata.name":
		return p.Name
	case "metadata.namespace":
		return p.Namespace
	case "metadata.uid":
		return string(p.UID)
	}
	if m := keyed.FindStringSubmatch(path); m != nil && m[1] == "annotations" {
		return p.Annotations[m[2]]
	} else if m != nil {
		return p.Labels[m[2]]
	}
	return ""
}

// identity writes a kubeconfig with a service account's token, as the kubelet mounts one.
func (w *world) identity(ctx context.Context, namespace, account, dir string) (string, error) {
	token, err := w.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, &authentication.TokenRequest{}, meta.CreateOptions{})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "kubeconfig")
	text := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: pod, clusters: [{name: pod, cluster: {server: %q, insecure-skip-tls-verify: true}}],
users: [{name: pod, user: {token: %q}}], contexts: [{name: pod, context: {cluster: pod, user: pod, namespace: %q}}]}`, w.config.Host, token.Status.Token, namespace)
	return path, os.WriteFile(path, []byte(text), 0o600)
}
