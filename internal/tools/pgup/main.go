// Command pgup runs a program beside a private PostgreSQL, with PAWL_TEST_DATABASE_URL set to it: for tests in modules
// that cannot import what starts one.
//
//	go run ./internal/tools/pgup go test ./...
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/bitvault/pawl/internal/pgserver"
)

func main() {
	err := run(os.Args[1:])
	var program *exec.ExitError
	switch {
	case errors.As(err, &program):
		os.Exit(program.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "pgup:", err)
		os.Exit(1)
	}
}

func run(command []string) (err error) {
	if len(command) == 0 {
		return errors.New("no program to run was given")
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	server, err := pgserver.Start(ctx, pgserver.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // it is for running what it is given
	// An interrupt lets the program clean up.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "PAWL_TEST_DATABASE_URL="+server.URL("postgres"))
	return cmd.Run()
}
