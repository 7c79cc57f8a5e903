// Command pgrun runs a program beside a PostgreSQL in a container, with
// PAWL_TEST_DATABASE_URL set to it: the whole suite then runs against that
// server although only this program knows how to start containers.
//
//	go run ./internal/pgserver/docker/pgrun [-major 17] go test ./...
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgserver/docker"
)

func main() {
	major := flag.Int("major", pgserver.DefaultMajor, "major version of PostgreSQL")
	flag.Parse()
	err := run(*major, flag.Args())
	var program *exec.ExitError
	switch {
	case errors.As(err, &program):
		os.Exit(program.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "pgrun:", err)
		os.Exit(1)
	}
}

func run(major int, command []string) (err error) {
	if len(command) == 0 {
		return errors.New("no program to run was given")
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	settings := map[string]string{"fsync": "off", "full_page_writes": "off", "max_connections": "200", "max_locks_per_transaction": "256"}
	container, err := docker.Start(ctx, pgserver.Request{Major: major, Settings: settings})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, container.Stop(context.WithoutCancel(ctx))) }()

	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	// An interrupt lets the program clean up its databases.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "PAWL_TEST_DATABASE_URL="+container.URL)
	return cmd.Run()
}
