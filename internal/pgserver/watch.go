package pgserver

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// watch starts a shell that ends process pid once this program is gone: it
// waits on a pipe whose other end only this program holds, and which the
// kernel closes however the program ends. Calling release dismisses the shell.
//
// If the shell cannot be started there is no watcher, which costs a server
// left over after a kill -9 and nothing else.
func watch(pid int) (release func()) {
	read, write, err := os.Pipe()
	if err != nil {
		return func() {}
	}
	// The word says that the watched process is over; end of file, that we are.
	cmd := exec.Command("/bin/sh", "-c", `read -r word; [ "$word" = over ] || kill -QUIT "$0"`, strconv.Itoa(pid))
	cmd.Stdin = read
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	_ = read.Close()
	if err != nil {
		_ = write.Close()
		return func() {}
	}
	return func() {
		_, _ = write.WriteString("over\n")
		_ = write.Close()
		_ = cmd.Wait()
	}
}
