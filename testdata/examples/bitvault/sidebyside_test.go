package bitvault_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReleasesSideBySide plays the deploy order with the services running: whatever one release writes the other reads,
// while the migrations between them are applied, and no request fails.
func TestReleasesSideBySide(t *testing.T) {
	t.Parallel()
	conn, url := connect(t)
	bin := build(t)

	apply(t, conn, "0001", "0004")
	seed(t, conn)
	r1 := start(t, bin, "r1", url)
	traffic := drive(t, [2]*deployment{r1, r1})
	apply(t, conn, "0005", "0013")
	traffic.stop(t)

	r2 := start(t, bin, "r2", url)
	traffic = drive(t, [2]*deployment{r1, r2}, [2]*deployment{r2, r1})
	r1.work(t)
	r2.work(t)
	traffic.stop(t)
	inStep(t, conn)

	apply(t, conn, "0014", "0014")
	r3 := start(t, bin, "r3", url)
	traffic = drive(t, [2]*deployment{r1, r2}, [2]*deployment{r2, r3}, [2]*deployment{r3, r1})
	traffic.stop(t)
	inStep(t, conn)

	r1.stop(t)
	apply(t, conn, "0013", "0013")
	traffic = drive(t, [2]*deployment{r2, r3}, [2]*deployment{r3, r2})
	apply(t, conn, "0015", "0021")
	r2.work(t)
	r3.work(t)
	traffic.stop(t)

	r2.stop(t)
	traffic = drive(t, [2]*deployment{r3, r3})
	apply(t, conn, "0022", "0023")
	r3.work(t)
	traffic.stop(t)
	r3.stop(t)
}

// inStep asserts that old and new shape hold the same.
func inStep(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	for _, query := range []string{
		"SELECT count(*) FROM users WHERE email_address IS DISTINCT FROM email",
		`SELECT count(*) FROM files LEFT JOIN blobs USING (storage_key)
		WHERE (files.size_bytes, files.sha256) IS DISTINCT FROM (blobs.size_bytes, blobs.sha256)`,
		"SELECT count(*) FROM vaults WHERE vault_usage(id) <> vault_used_bytes(id)",
	} {
		var n int
		require.NoError(t, conn.QueryRow(t.Context(), query).Scan(&n))
		require.Zero(t, n, query)
	}
}

// build compiles all services and gives the folder of rN/<consumer>.
func build(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	for _, release := range releases {
		dir := filepath.Join(bin, release)
		require.NoError(t, os.Mkdir(dir, 0o755))
		out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "./releases/"+release+"/...").CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	return bin
}

// deployment is one release's services; the worker runs only when told to.
type deployment struct {
	release            string
	gateway, bitvaultd string
	worker             string
	url                string
	processes          []*exec.Cmd
}

func start(t *testing.T, bin, release, url string) *deployment {
	t.Helper()
	d := &deployment{release: release, worker: filepath.Join(bin, release, "worker"), url: url}
	for consumer, base := range map[string]*string{"gateway": &d.gateway, "bitvaultd": &d.bitvaultd} {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		addr := free.Addr().String()
		require.NoError(t, free.Close())

		cmd := exec.Command(filepath.Join(bin, release, consumer))
		cmd.Env = append(os.Environ(), "DATABASE_URL="+url, "ADDR="+addr)
		cmd.Stderr = t.Output()
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		d.processes = append(d.processes, cmd)

		*base = "http://" + addr
		require.Eventually(t, func() bool {
			resp, err := http.Get(*base + "/healthz")
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			return resp.StatusCode == http.StatusOK
		}, 20*time.Second, 20*time.Millisecond)
	}
	return d
}

// stop asks the services to end, and expects them to.
func (d *deployment) stop(t *testing.T) {
	t.Helper()
	for _, p := range d.processes {
		require.NoError(t, p.Process.Signal(syscall.SIGTERM))
		require.NoError(t, p.Wait())
	}
}

// work does one round of the release's worker.
func (d *deployment) work(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), d.worker, "-once")
	cmd.Env = append(os.Environ(), "DATABASE_URL="+d.url)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// load is traffic under way.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	rounds []atomic.Int64
}

// users numbers the users that the load makes.
var users atomic.Int64

// drive lets, for each pair, people use the vault through both releases at once until the load is stopped.
func drive(t *testing.T, pairs ...[2]*deployment) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	l := &load{cancel: cancel, rounds: make([]atomic.Int64, len(pairs))}
	for i, pair := range pairs {
		l.done.Go(func() {
			for ctx.Err() == nil {
				// A round ends even when the load does: what is under way must succeed.
				if !visit(context.WithoutCancel(ctx), t, pair[0], pair[1]) {
					return
				}
				l.rounds[i].Add(1)
			}
		})
	}
	return l
}

// stop ends the load when each pair has done some rounds.
func (l *load) stop(t *testing.T) {
	t.Helper()
	for i := range l.rounds {
		require.Eventually(t, func() bool { return t.Failed() || l.rounds[i].Load() >= 20 }, time.Minute, 10*time.Millisecond)
	}
	l.cancel()
	l.done.Wait()
	require.False(t, t.Failed())
}

// visit is what one user does: writes go through the one release, reads through the other.
func visit(ctx context.Context, t *testing.T, writes, reads *deployment) bool {
	n := users.Add(1)
	v := visitor{ctx: ctx, t: t}
	email := fmt.Sprintf("visitor%d@example.com", n)

	user := v.call("POST", writes.gateway+"/users", map[string]any{"email": email, "display_name": "Visitor"})
	v.equal(email, v.call("GET", fmt.Sprintf("%s/users/%v", reads.gateway, user["id"]), nil)["email"])
	v.token, _ = v.call("POST", reads.gateway+"/sessions", map[string]any{"email": email})["token"].(string)
	email = "new-" + email
	v.call("PUT", writes.gateway+"/me/email", map[string]any{"email": email})
	v.equal(email, v.call("GET", fmt.Sprintf("%s/users/%v", reads.gateway, user["id"]), nil)["email"])

	vault := v.call("POST", writes.bitvaultd+"/vaults", map[string]any{"owner_id": user["id"], "name": "home"})
	ofWriter, ofReader := fmt.Sprintf("%s/vaults/%v", writes.bitvaultd, vault["id"]), fmt.Sprintf("%s/vaults/%v", reads.bitvaultd, vault["id"])
	var file map[string]any
	for version := range int64(2) {
		// Every tenth visitor stores what others have stored.
		content := sha256.Sum256(fmt.Appendf(nil, "%d %d", n/10, version))
		file = v.call("PUT", ofWriter+"/files/a/b.png", map[string]any{"size_bytes": 100 + version, "sha256": content[:]})
		seen := v.call("GET", ofReader+"/files/a/b.png", nil)
		v.equal(float64(100+version), seen["size_bytes"])
		v.equal(file["storage_key"], seen["storage_key"])
		v.equal(file["sha256"], seen["sha256"])
		v.equal(float64(version+1), seen["version"])
		v.equal(float64(100+version), v.call("GET", ofReader, nil)["used_bytes"])
	}
	v.call("PUT", ofWriter+"/quota", map[string]any{"quota_bytes": 5000})
	v.equal(float64(5000), v.call("GET", ofReader, nil)["quota_bytes"])
	v.call("GET", ofReader+"/files?sort=largest", nil)
	v.call("GET", ofReader+"/files", nil)

	share := v.call("POST", writes.gateway+"/shares", map[string]any{"file_id": file["id"]})
	opened := v.call("GET", fmt.Sprintf("%s/shares/%v", reads.gateway, share["token"]), nil)
	v.equal(email, opened["shared_by"])
	v.equal(101.0, opened["size_bytes"])
	v.call("GET", reads.gateway+"/shares", nil)
	v.call("DELETE", fmt.Sprintf("%s/shares/%v", writes.gateway, share["token"]), nil)
	v.call("DELETE", ofWriter+"/files/a/b.png", nil)
	v.equal(0.0, v.call("GET", ofReader, nil)["used_bytes"])
	if writes.release >= "r2" {
		v.call("POST", ofWriter+"/restored/a/b.png", nil)
		v.equal(101.0, v.call("GET", ofReader, nil)["used_bytes"])
	}
	if writes.release >= "r3" {
		v.call("POST", ofWriter+"/moved/a/b.png", map[string]any{"to": "c.png"})
		v.equal(file["id"], v.call("GET", ofReader+"/files/c.png", nil)["id"])
	}
	v.call("DELETE", reads.gateway+"/sessions", nil)
	return !v.failed
}

// visitor speaks to the services; after the first failure it is silent.
type visitor struct {
	ctx    context.Context
	t      *testing.T
	token  string
	failed bool
}

func (v *visitor) equal(want, have any) {
	if !v.failed {
		v.failed = !assert.Equal(v.t, want, have)
	}
}

// call gives the answer's object; nil for none and for a list.
func (v *visitor) call(method, url string, body any) map[string]any {
	if v.failed {
		return nil
	}
	answer, err := v.request(method, url, body)
	v.failed = !assert.NoError(v.t, err)
	var object map[string]any
	if len(answer) > 0 && answer[0] == '{' && !v.failed {
		v.failed = !assert.NoError(v.t, json.Unmarshal(answer, &object))
	}
	return object
}

func (v *visitor) request(method, url string, body any) ([]byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(v.ctx, method, url, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+v.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, url, response.Status, answer)
	}
	return answer, err
}
