//go:build unix

package files

import (
	"errors"
	"io/fs"
	"syscall"
)

// Read gives the content of a regular file. Errors are *fs.PathError, as os.ReadFile has them, or with ErrIrregular.
func Read(path string) ([]byte, error) {
	fail := func(op string, err error) ([]byte, error) {
		return nil, &fs.PathError{Op: op, Path: path, Err: err}
	}
	// Opening a pipe would wait for its other end.
	fd, err := again(func() (int, error) {
		return syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	})
	if err != nil {
		return fail("open", err)
	}
	defer func() { _ = syscall.Close(fd) }() // it was only read
	var about syscall.Stat_t
	if _, err := again(func() (int, error) { return 0, syscall.Fstat(fd, &about) }); err != nil {
		return fail("stat", err)
	}
	switch about.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
	case syscall.S_IFDIR:
		return fail("read", syscall.EISDIR)
	default:
		return fail("read", ErrIrregular)
	}
	data := make([]byte, about.Size)
	for filled := 0; filled < len(data); {
		n, err := again(func() (int, error) { return syscall.Read(fd, data[filled:]) })
		if err != nil {
			return fail("read", err)
		}
		if n == 0 { // it was cut meanwhile
			return data[:filled], nil
		}
		filled += n
	}
	return data, nil
}

// again repeats a call that a signal interrupted.
func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}
