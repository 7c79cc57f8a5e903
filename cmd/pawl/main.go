// Command pawl migrates PostgreSQL databases forward, and lets a contract through only when nobody needs the old shape.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	_ "github.com/bitvault/pawl/internal/gc" // before all else
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command line and gives the process's exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, stop := interruptible(ctx)
	defer stop()
	app := &app{stdout: stdout, stderr: stderr, env: os.LookupEnv}
	root := newRootCommand(app)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	app.leave(err)
	app.finish(err)
	app.tell(ctx, err)
	if err != nil {
		app.report(err)
		return exitCode(err)
	}
	return exitOK
}

// interruptedError is why a run ended that got a signal.
type interruptedError struct{ signal syscall.Signal }

func (e interruptedError) Error() string {
	name := "SIGINT"
	if e.signal == syscall.SIGTERM {
		name = "SIGTERM"
	}
	return "interrupted by " + name + "; what was under way is rolled back, or put right by the next run"
}

// interruptible gives a context that ends with an interruptedError at the first SIGINT or SIGTERM, so that the statement
// is cancelled on the server and the transaction rolled back. A second signal ends the process at once.
func interruptible(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case s := <-signals:
			number, _ := s.(syscall.Signal)
			cancel(interruptedError{number})
		case <-done:
			return
		}
		select {
		case s := <-signals:
			number, _ := s.(syscall.Signal)
			os.Exit(128 + int(number))
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}

// silentError wraps an outcome whose explanation is printed already.
type silentError struct{ code int }

func (e silentError) Error() string { return fmt.Sprintf("exit %d", e.code) }
