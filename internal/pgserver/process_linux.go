package pgserver

import (
	"os/exec"
	"syscall"
)

// startTied starts cmd so that it ends when this program does, however that
// happens. SIGQUIT is PostgreSQL's immediate shutdown: unlike SIGKILL it takes
// the server's own children and its shared memory along.
func startTied(cmd *exec.Cmd) (release func(), err error) {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	return func() {}, cmd.Start()
}
