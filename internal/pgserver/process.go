package pgserver

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// process is a child that does not outlive this program.
type process struct {
	child *os.Process
	done  chan struct{} // closed when it has ended
	err   error         // how it ended; read after done
}

// startProcess starts cmd in a process group of its own, so that an interrupt
// typed at the terminal reaches only this program, which then cleans up.
func startProcess(cmd *exec.Cmd) (*process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	p := &process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux sends the signal of dieWithParent when the *thread* that made
		// the child ends, so that thread stays here until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		release, err := startTied(cmd)
		if err != nil {
			started <- err
			return
		}
		p.child = cmd.Process
		started <- nil
		p.err = cmd.Wait()
		release()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) signal(s syscall.Signal) {
	// The only error is that it has ended, which is what signals are sent for.
	_ = p.child.Signal(s)
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// wait returns nil once the child has ended, however it did.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
