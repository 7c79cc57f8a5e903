package pgserver

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user whom the server runs as. PostgreSQL refuses to run as
// root, so root lends it the machine's nobody.
type account struct {
	name     string
	uid, gid uint32
	lent     bool // false: it is ourselves
}

func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return &account{name: strconv.Itoa(os.Geteuid())}, nil
	}
	// initdb looks its user up, so the id must be one that the machine knows.
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("find an unprivileged user for the server: %w", err)
	}
	uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read the id of user nobody: %w", err)
	}
	gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read the group of user nobody: %w", err)
	}
	return &account{name: "nobody", uid: uint32(uid), gid: uint32(gid), lent: true}, nil
}

func (a *account) attributes() *syscall.SysProcAttr {
	if !a.lent {
		return &syscall.SysProcAttr{}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.uid, Gid: a.gid}}
}

// give makes the account the owner of one file or directory.
func (a *account) give(path string) error {
	if !a.lent {
		return nil
	}
	if err := os.Lchown(path, int(a.uid), int(a.gid)); err != nil {
		return fmt.Errorf("give %s to user %s: %w", path, a.name, err)
	}
	return nil
}

// blockedAt names the first directory on the way to path that the account may
// not enter, "" if there is none. Only a lent account can be kept out of what
// we made: /root, for one, is closed to everybody else.
func (a *account) blockedAt(path string) string {
	if !a.lent {
		return ""
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if resolved, err := filepath.EvalSymlinks(abs); err == nil {
		abs = resolved
	}
	for dir := abs; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil {
			stat, ok := info.Sys().(*syscall.Stat_t)
			owned := ok && stat.Uid == a.uid && info.Mode().Perm()&0o100 != 0
			if !owned && info.Mode().Perm()&0o001 == 0 {
				return dir
			}
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}
