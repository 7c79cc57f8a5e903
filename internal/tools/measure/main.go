// Command measure runs a program and writes, as one line to standard error, what it took: microseconds of CPU and of the
// clock, and kilobytes of memory at most. It is small itself, for a child's peak begins with that of its parent.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: measure PROGRAM [ARGUMENT…]")
		return 2
	}
	cmd := exec.Command(args[0], args[1:]...) //nolint:gosec // it is what this program is for
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)
	if cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 127
	}
	usage, _ := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	fmt.Fprintf(os.Stderr, "measured %d %d %d\n", cpu.Microseconds(), took.Microseconds(), usage.Maxrss)
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		return 127
	}
	return cmd.ProcessState.ExitCode()
}
