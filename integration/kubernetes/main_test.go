package kubernetes

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// world is what all tests share: a control plane, a kubelet, the Rollouts controller, and a PostgreSQL server.
type world struct {
	kubeconfig string
	config     *rest.Config
	client     kubernetes.Interface
	dynamic    dynamic.Interface
	kubelet    *kubelet
	// pawl is the program under test, admin a URL of the PostgreSQL server.
	pawl, admin string
	// mounts is true where a process can have some of its own, and so the files of a pod at their fixed path.
	mounts bool
}

var shared *world //nolint:gochecknoglobals // it is made once, for all tests

func TestMain(m *testing.M) {
	// What the engine's watches say when the control plane goes is of no use to a reader.
	klog.SetLogger(logr.Discard())
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	tools := os.Getenv("PAWL_KUBERNETES_TOOLS")
	w := &world{pawl: os.Getenv("PAWL_BINARY"), admin: os.Getenv("PAWL_TEST_DATABASE_URL")}
	if tools == "" || w.pawl == "" || w.admin == "" {
		return 1, errors.New("run these tests by `make test-kubernetes` in the root of the repository: it builds a control plane and starts a PostgreSQL")
	}
	dir, err := os.MkdirTemp("", "pawl-plane-")
	if err != nil {
		return 1, err
	}
	defer func() {
		if code == 0 && err == nil {
			err = os.RemoveAll(dir)
		} else {
			fmt.Fprintf(os.Stderr, "the control plane's logs are in %s\n", dir)
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop, err := startPlane(filepath.Join(tools, "plane"), dir)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	w.kubeconfig = filepath.Join(dir, "kubeconfig")
	if w.config, err = clientcmd.BuildConfigFromFlags("", w.kubeconfig); err != nil {
		return 1, err
	}
	w.config.QPS, w.config.Burst = 200, 400
	if w.client, err = kubernetes.NewForConfig(w.config); err != nil {
		return 1, err
	}
	if w.dynamic, err = dynamic.NewForConfig(w.config); err != nil {
		return 1, err
	}
	w.mounts = hasOwnMounts(ctx, dir)
	w.kubelet = &kubelet{world: w, dir: dir, images: map[string]string{}, started: map[string]bool{}, running: map[string]context.CancelFunc{}}
	if err := w.kubelet.start(ctx); err != nil {
		return 1, err
	}
	if err := w.installRollouts(ctx); err != nil {
		return 1, err
	}
	end, err := startRollouts(filepath.Join(tools, "rollouts-controller"), dir)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, end()) }()
	shared = w
	return m.Run(), nil
}

// freePorts gives ports that nobody uses.
func freePorts(n int) ([]string, error) {
	var ports []string
	var open []net.Listener
	defer func() {
		for _, l := range open {
			_ = l.Close()
		}
	}()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		open = append(open, l)
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// startPlane waits until the control plane is ready. It ends when its standard input does.
func startPlane(program, dir string) (stop func() error, err error) {
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	c := exec.Command(program, "up", "-dir", dir, "-ports", strings.Join(ports, ","))
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	stop = func() error { return errors.Join(in.Close(), c.Wait()) }
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "ready" {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return stop, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("the control plane did not start: see %s", dir), stop())
}

// startRollouts runs the Rollouts controller until the returned function is called.
func startRollouts(program, dir string) (func() error, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "rollouts.log"))
	if err != nil {
		return nil, err
	}
	c := exec.Command(program, "--kubeconfig", filepath.Join(dir, "kubeconfig"), "--leader-elect=false", "--metricsport", ports[0], "--healthzPort", ports[1])
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return nil, err
	}
	return func() error {
		_ = c.Process.Signal(os.Interrupt)
		timer := time.AfterFunc(10*time.Second, func() { _ = c.Process.Kill() })
		defer timer.Stop()
		_ = c.Wait()
		return log.Close()
	}, nil
}
