// Package docker starts a PostgreSQL server in a container, for machines that
// have an engine and nothing else. It stands apart from package pgserver so
// that the shipped binary does not carry a container client.
package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/bitvault/pawl/internal/pgserver"
)

// Start runs an image of PostgreSQL and returns once it answers; it suits
// pgserver.Options.Container. PAWL_TEST_IMAGE names the image: with a tag it is
// taken as it is, without one the major version is the tag. The default is the
// official "postgres".
func Start(ctx context.Context, request pgserver.Request) (_ *pgserver.Container, err error) {
	const port = "5432/tcp"
	options := []testcontainers.ContainerCustomizer{
		testcontainers.WithExposedPorts(port),
		testcontainers.WithEnv(environment(request)),
		testcontainers.WithWaitStrategy(wait.ForListeningPort(port).WithStartupTimeout(2 * time.Minute)),
	}
	if len(request.Settings) > 0 {
		options = append(options, testcontainers.WithCmd(command(request.Settings)...))
	}
	image := imageName(os.Getenv("PAWL_TEST_IMAGE"), request.Major)
	container, err := testcontainers.Run(ctx, image, options...)
	stop := func(ctx context.Context) error {
		if container == nil {
			return nil
		}
		if err := container.Terminate(ctx, testcontainers.StopTimeout(time.Second)); err != nil {
			return fmt.Errorf("remove the container of %s: %w", image, err)
		}
		return nil
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("run image %s: %w", image, err), stop(context.WithoutCancel(ctx)))
	}
	address, err := container.PortEndpoint(ctx, port, "")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("find the port of image %s: %w", image, err), stop(context.WithoutCancel(ctx)))
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", request.Password), Host: address, Path: "/postgres", RawQuery: "sslmode=disable"}
	if err := ready(ctx, u.String()); err != nil {
		return nil, errors.Join(err, stop(context.WithoutCancel(ctx)))
	}
	return &pgserver.Container{URL: u.String(), Stop: stop}, nil
}

// ready polls until a session can be had: the engine's proxy listens on the
// port before the server does.
func ready(ctx context.Context, dsn string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the container's first session: %w", errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

func environment(request pgserver.Request) map[string]string {
	if request.Password != "" {
		return map[string]string{"POSTGRES_PASSWORD": request.Password}
	}
	return map[string]string{"POSTGRES_HOST_AUTH_METHOD": "trust"}
}

// command is the official image's way to pass settings; it starts the server
// with whatever begins with "postgres".
func command(settings map[string]string) []string {
	args := []string{"postgres"}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

func imageName(configured string, major int) string {
	if configured == "" {
		configured = "postgres"
	}
	// A colon before the last slash belongs to a registry's port.
	if strings.Contains(configured[strings.LastIndex(configured, "/")+1:], ":") {
		return configured
	}
	return configured + ":" + strconv.Itoa(major)
}
