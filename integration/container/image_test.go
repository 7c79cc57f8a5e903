//go:build docker

package container

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

const repository = "../.."

// What the image may weigh, and what a run that has nothing to do may take.
const (
	maxImage  = 60_000_000             // bytes
	maxMemory = 64 << 20               // bytes, the most that is resident at a time
	maxCPU    = 300 * time.Millisecond // from start to exit
)

// docker runs the engine's command line, which has to succeed, and gives what it writes to standard output.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	r := attempt(t, args...)
	require.Zero(t, r.code, "docker %s\n%s%s", strings.Join(args, " "), r.out, r.err)
	return strings.TrimSpace(r.out)
}

type result struct {
	code     int
	out, err string
}

func attempt(t *testing.T, args ...string) result {
	t.Helper()
	program := "docker"
	if set := os.Getenv("DOCKER"); set != "" {
		program = set
	}
	// Not the test's context alone: containers are removed after it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	// Debian's package has no BuildKit; the Dockerfile needs none.
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), said.String()}
}

// create makes a container that is removed at the test's end.
func create(t *testing.T, args ...string) string {
	t.Helper()
	id := docker(t, append([]string{"create"}, args...)...)
	t.Cleanup(func() { docker(t, "rm", "-f", "-v", id) })
	return id
}

// build makes an image that is removed at the test's end.
func build(t *testing.T, dir string, args ...string) string {
	t.Helper()
	name := "pawl-test/" + strings.ToLower(t.Name()) + ":" + strconv.FormatInt(time.Now().UnixNano(), 36)
	docker(t, append(append([]string{"build", "-t", name}, args...), dir)...)
	t.Cleanup(func() { docker(t, "image", "rm", name) })
	return name
}

// write makes the context of a build.
func write(t *testing.T, dockerfile string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600))
	return dir
}

// postgres starts a server and gives its container and its URL from here.
func postgres(t *testing.T) (id, url string) {
	t.Helper()
	image, major := os.Getenv("PAWL_TEST_IMAGE"), os.Getenv("PAWL_TEST_MAJOR")
	if image == "" {
		image = "postgres"
	}
	if !strings.Contains(image[strings.LastIndex(image, "/")+1:], ":") {
		image += ":" + major
	}
	id = docker(t, "run", "-d", "-e", "POSTGRES_HOST_AUTH_METHOD=trust", "-p", "127.0.0.1::5432", image)
	t.Cleanup(func() { docker(t, "rm", "-f", "-v", id) })
	url = "postgres://postgres@" + docker(t, "port", id, "5432/tcp") + "/postgres?sslmode=disable"
	// The official image starts twice: sessions come to stay once it listens on the network.
	require.Eventually(t, func() bool {
		conn, err := pgx.Connect(t.Context(), url)
		return err == nil && conn.Close(t.Context()) == nil
	}, 2*time.Minute, 100*time.Millisecond)
	return id, url
}

// confined is how deploy/ runs pawl's container, beside the server's network and in as much memory as is allowed.
func confined(server, image string, args ...string) []string {
	return append([]string{
		"--network", "container:" + server, "-e", "PAWL_DATABASE_URL=postgres://postgres@127.0.0.1/postgres?sslmode=disable", "-e", "PAWL_FORMAT=text",
		"--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", strconv.Itoa(maxMemory), image,
	}, args...)
}

// TestImage builds the Dockerfile and runs what comes of it as a cluster would: not as root, with nothing to write to.
func TestImage(t *testing.T) {
	toolchain := os.Getenv("PAWL_GO_IMAGE")
	require.NotEmpty(t, toolchain, "run this by `make test-docker`, which sees to the images")
	bare := build(t, repository, "--network", "host", "--build-arg", "GO_IMAGE="+toolchain, "--build-arg", "VERSION=v0.0.0-image")

	size, err := strconv.ParseInt(docker(t, "image", "inspect", "-f", "{{.Size}}", bare), 10, 64)
	require.NoError(t, err)
	t.Logf("the image has %.1f MB; %.0f are allowed", float64(size)/1e6, maxImage/1e6)
	require.Less(t, size, int64(maxImage))
	require.Equal(t, "65532:65532", docker(t, "image", "inspect", "-f", "{{.Config.User}}", bare))
	require.Contains(t, docker(t, "run", "--rm", bare, "--version"), "v0.0.0-image")
	require.ElementsMatch(t, []string{"etc/passwd", "etc/ssl/certs/ca-certificates.crt", "pawl", "usr/share/zoneinfo.zip"}, files(t, bare))
	shell := attempt(t, "start", "-a", create(t, "--entrypoint", "/bin/sh", bare, "-c", "true"))
	require.NotZero(t, shell.code, "there is no shell")
	require.Contains(t, shell.err, "no such file")

	// What a release brings, as the example's README puts it together.
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(repository, "deploy/examples/bitvault"))))
	for _, name := range []string{"migrations", "releases"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(repository, "testdata/examples/bitvault", name))))
	}
	release := build(t, dir, "--build-arg", "PAWL_IMAGE="+bare)
	server, url := postgres(t)

	first := attempt(t, append([]string{"run", "--rm"}, confined(server, release, "migrate")...)...)
	require.Zero(t, first.code, first.out+first.err)
	require.Contains(t, first.out+first.err, "applied now")
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	before := ledger(t, conn)

	// The second run by a program that tells what its child took.
	dir = write(t, "FROM "+release+"\nCOPY measure /measure\nENTRYPOINT [\"/measure\", \"/pawl\"]\n")
	tool := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "measure"), "./internal/tools/measure")
	tool.Dir = repository
	tool.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+docker(t, "image", "inspect", "-f", "{{.Architecture}}", bare))
	said, err := tool.CombinedOutput()
	require.NoError(t, err, "%s", said)
	measuring := build(t, dir)
	id := create(t, confined(server, measuring, "migrate")...)
	second := attempt(t, "start", "-a", id)
	require.Zero(t, second.code, second.out+second.err)
	require.Contains(t, second.out+second.err, "nothing to do")
	require.Equal(t, before, ledger(t, conn))
	require.Equal(t, "false", docker(t, "inspect", "-f", "{{.State.OOMKilled}}", id))
	var cpu, wall, kilobytes int64
	at := strings.LastIndex(second.err, "measured ")
	require.GreaterOrEqual(t, at, 0, second.err)
	_, err = fmt.Sscanf(second.err[at:], "measured %d %d %d", &cpu, &wall, &kilobytes)
	require.NoError(t, err)
	t.Logf("nothing to do took %d ms of CPU, %d ms from start to exit, and %.1f MiB of memory", cpu/1000, wall/1000, float64(kilobytes)/1024)
	require.Less(t, time.Duration(cpu)*time.Microsecond, maxCPU)
	require.Less(t, kilobytes<<10, int64(maxMemory))

	// As the container's first process pawl gets no signal that it does not ask for; it asks for what stops a pod.
	lock, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = lock.Exec(t.Context(), "lock table public.users in access share mode")
	require.NoError(t, err)
	dir = write(t, "FROM "+release+"\nCOPY next.sql /migrations/9999_next.sql\n")
	// It is read by nobody in particular.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "next.sql"), []byte("alter table users add column later int;\n"), 0o644))
	id = create(t, confined(server, build(t, dir), "migrate")...)
	docker(t, "start", id)
	waits := false
	for end := time.Now().Add(time.Minute); !waits && time.Now().Before(end); {
		require.NoError(t, lock.QueryRow(t.Context(), "select exists (select from pg_locks where not granted)").Scan(&waits))
	}
	require.True(t, waits, "%v", attempt(t, "logs", id))
	docker(t, "stop", "-t", "20", id)
	require.Equal(t, "143", docker(t, "inspect", "-f", "{{.State.ExitCode}}", id), docker(t, "logs", id))
}

// ledger gives what the ledger knows of the migrations, so that a run that changes nothing can be told.
func ledger(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	var rows string
	require.NoError(t, conn.QueryRow(t.Context(), "select json_agg(m order by m.version)::text from pawl.migration m").Scan(&rows))
	return rows
}

// files lists what an image holds, without what the engine itself puts into every container.
func files(t *testing.T, image string) []string {
	t.Helper()
	id := create(t, image)
	path := filepath.Join(t.TempDir(), "image.tar")
	docker(t, "export", "-o", path, id)
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	var names []string
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		require.NoError(t, err)
		engine := strings.HasPrefix(h.Name, "dev/") || h.Name == ".dockerenv" || h.Name == "etc/hostname" || h.Name == "etc/hosts" || h.Name == "etc/resolv.conf" || h.Name == "etc/mtab"
		if h.Typeflag != tar.TypeDir && !engine {
			names = append(names, h.Name)
		}
	}
}
