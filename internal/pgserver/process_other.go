//go:build !linux

package pgserver

import "os/exec"

// startTied starts cmd with a watcher beside it, for lack of Linux's
// parent-death signal.
func startTied(cmd *exec.Cmd) (release func(), err error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return watch(cmd.Process.Pid), nil
}
