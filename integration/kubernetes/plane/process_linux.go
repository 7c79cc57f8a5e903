package main

import (
	"os/exec"
	"syscall"
)

// tie makes a child die with this process, however that dies.
func tie(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
