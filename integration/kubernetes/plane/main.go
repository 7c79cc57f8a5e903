// Command plane is a Kubernetes control plane in one program: etcd, kube-apiserver and kube-controller-manager, without
// containers and without root.
//
//	plane up -dir DIR -ports API,ETCD,PEER,MANAGER
//
// starts all three, writes DIR/kubeconfig, prints "ready", and ends with its standard input.
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

const (
	apiserverName = "kube-apiserver"
	managerName   = "kube-controller-manager"
	adminToken    = "admin"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: plane up -dir DIR -ports API,ETCD,PEER,MANAGER")
		os.Exit(2)
	}
	command := os.Args[1]
	os.Args = append(os.Args[:1], os.Args[2:]...)
	switch command {
	case apiserverName:
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case managerName:
		os.Exit(cli.Run(manager.NewControllerManagerCommand()))
	case "up":
		dir := flag.String("dir", "", "where everything is kept")
		ports := flag.String("ports", "", "four free ports")
		flag.Parse()
		if err := up(*dir, strings.Split(*ports, ",")); err != nil {
			fmt.Fprintln(os.Stderr, "plane:", err)
			os.Exit(1)
		}
	default:
		fmt.Fprintf(os.Stderr, "plane: unknown command %q\n", command)
		os.Exit(2)
	}
}

// plane is what one control plane consists of.
type plane struct {
	dir, self string
	children  []*exec.Cmd
}

func up(dir string, ports []string) (err error) {
	if len(ports) != 4 {
		return errors.New("four ports are needed")
	}
	api, store, peer, managing := ports[0], ports[1], ports[2], ports[3]
	p := &plane{}
	if p.dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if p.self, err = os.Executable(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if err := p.secrets(api); err != nil {
		return err
	}
	c := embed.NewConfig()
	c.Dir, c.LogLevel, c.UnsafeNoFsync = filepath.Join(p.dir, "etcd"), "fatal", true
	c.ListenClientUrls, c.AdvertiseClientUrls = local(store), local(store)
	c.ListenPeerUrls, c.AdvertisePeerUrls = local(peer), local(peer)
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	etcd, err := embed.StartEtcd(c)
	if err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	defer etcd.Close()
	<-etcd.Server.ReadyNotify()

	key := filepath.Join(p.dir, "sa.key")
	if err := p.start(apiserverName, "--etcd-servers=http://127.0.0.1:"+store, "--cert-dir="+filepath.Join(p.dir, "certs"), "--secure-port="+api,
		"--bind-address=127.0.0.1", "--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+key,
		"--service-account-signing-key-file="+key, "--token-auth-file="+filepath.Join(p.dir, "tokens.csv"), "--authorization-mode=RBAC",
		"--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none", "--disable-admission-plugins=ServiceAccount",
		"--enable-priority-and-fairness=false"); err != nil {
		return err
	}
	if err := p.wait("https://127.0.0.1:" + api + "/readyz"); err != nil {
		return err
	}
	if err := p.start(managerName, "--kubeconfig="+filepath.Join(p.dir, "kubeconfig"), "--service-account-private-key-file="+key, "--leader-elect=false",
		"--use-service-account-credentials=false", "--secure-port="+managing, "--bind-address=127.0.0.1", "--cert-dir="+filepath.Join(p.dir, "manager"),
		"--controllers=deployment-controller,replicaset-controller,job-controller,serviceaccount-controller,namespace-controller,garbage-collector-controller"); err != nil {
		return err
	}
	if err := p.wait("https://127.0.0.1:" + managing + "/healthz"); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func local(port string) []url.URL { return []url.URL{{Scheme: "http", Host: "127.0.0.1:" + port}} }

// secrets writes the key of service accounts, the administrator's token and the kubeconfig with it.
func (p *plane) secrets(api string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	config := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: plane, cluster: {server: "https://127.0.0.1:%s", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: %s}}]
contexts: [{name: plane, context: {cluster: plane, user: admin}}]
current-context: plane
`, api, adminToken)
	for name, data := range map[string][]byte{
		"sa.key":     pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
		"tokens.csv": []byte(adminToken + `,admin,admin,"system:masters"` + "\n"),
		"kubeconfig": []byte(config),
	} {
		if err := os.WriteFile(filepath.Join(p.dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// start runs another role of this program; what it says goes to a file.
func (p *plane) start(name string, args ...string) error {
	out, err := os.Create(filepath.Join(p.dir, name+".log"))
	if err != nil {
		return err
	}
	c := exec.Command(p.self, append([]string{name}, args...)...)
	c.Stdout, c.Stderr = out, out
	tie(c)
	if err := c.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	p.children = append(p.children, c)
	return nil
}

// wait asks until the answer is good. Certificates are this program's own, made a moment ago.
func (p *plane) wait(url string) error {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // see above
	const limit = 2 * time.Minute
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		r, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+adminToken)
		answer, err := client.Do(r)
		if err != nil {
			continue
		}
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return nil
		}
	}
	return fmt.Errorf("%s was not ready within %s: see the logs in %s", url, limit, p.dir)
}

// stop kills: an API server that is asked to end waits a minute for those who watch, and nothing here is to be kept.
func (p *plane) stop() error {
	var all error
	for i := len(p.children) - 1; i >= 0; i-- {
		_ = p.children[i].Process.Kill()
		if err := p.children[i].Wait(); err != nil {
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				all = errors.Join(all, err)
			}
		}
	}
	return all
}
