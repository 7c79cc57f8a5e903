package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bitvault/pawl/internal/files"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/refs"
)

// baseTree is what a revision of the repository holds, written out where it is needed.
type baseTree struct {
	revision string
	// root is a directory of its own, prefix the working directory's place in the repository.
	root, prefix string
	index        string
}

// openBase finds the revision. Nothing is written out yet but an index.
func openBase(ctx context.Context, revision string) (*baseTree, error) {
	b := &baseTree{revision: revision}
	if err := checkRevision(ctx, ".", revision); err != nil {
		return nil, err
	}
	prefix, err := git(ctx, nil, "rev-parse", "--show-prefix")
	if err != nil {
		return nil, noRepository(err)
	}
	b.prefix = strings.TrimRight(prefix, "\n")
	if b.root, err = os.MkdirTemp("", "pawl-base-"); err != nil {
		return nil, fmt.Errorf("make a directory for the base revision: %w", err)
	}
	b.index = filepath.Join(b.root, "index")
	if _, err := git(ctx, b.env(), "read-tree", revision); err != nil {
		return nil, errors.Join(fmt.Errorf("read the tree of %s: %w", revision, err), b.close())
	}
	return b, nil
}

func (b *baseTree) env() []string { return append(os.Environ(), "GIT_INDEX_FILE="+b.index) }

func (b *baseTree) close() error { return os.RemoveAll(b.root) }

// dir gives where a path of the working directory stands in the base tree.
func (b *baseTree) dir(path string) string { return filepath.Join(b.root, "tree", b.prefix, path) }

// write writes the whole tree out, as a checkout would. The repository's own index and working tree are not touched.
func (b *baseTree) write(ctx context.Context) error {
	// From a subdirectory git would write only that out.
	top, err := git(ctx, nil, "rev-parse", "--show-toplevel")
	if err != nil {
		return fmt.Errorf("find the repository: %w", err)
	}
	_, err = git(ctx, b.env(), "-C", strings.TrimRight(top, "\n"), "checkout-index", "--all", "--force", "--quiet", "--prefix="+filepath.Join(b.root, "tree")+string(filepath.Separator))
	if err != nil {
		return fmt.Errorf("write out the tree of %s: %w", b.revision, err)
	}
	return nil
}

func git(ctx context.Context, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = append(env, "LC_ALL=C")
	if env == nil {
		cmd.Env = append(os.Environ(), "LC_ALL=C")
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		text, _, _ := strings.Cut(strings.TrimSpace(errs.String()), "\n")
		if text == "" {
			return "", err
		}
		return "", errors.New(text)
	}
	return out.String(), nil
}

// compareWithBase splits the directory's migrations: deployed are those of the base revision, as they stand there; added
// are the files that it does not have.
func (a *app) compareWithBase(b *baseTree) (deployed, added []*migrate.Migration, err error) {
	here, err := migrate.Load(files.Dir(a.flags.dir), a.flags.dir)
	if err != nil {
		return nil, nil, err
	}
	relative := a.flags.dir
	if filepath.IsAbs(relative) {
		wd, err := os.Getwd()
		if err != nil {
			return nil, nil, fmt.Errorf("find the working directory: %w", err)
		}
		if relative, err = filepath.Rel(wd, relative); err != nil {
			return nil, nil, fmt.Errorf("find the migrations in the base revision: %w", err)
		}
	}
	there := b.dir(relative)
	if _, err := os.Stat(there); err == nil {
		if deployed, err = migrate.Load(files.Dir(there), b.revision+":"+filepath.ToSlash(relative)); err != nil {
			return nil, nil, err
		}
	}
	for _, m := range here {
		i := slices.IndexFunc(deployed, func(d *migrate.Migration) bool { return d.Name == m.Name })
		switch {
		case i < 0:
			added = append(added, m)
		case deployed[i].Sum != m.Sum:
			fmt.Fprintf(a.stderr, "note: %s differs from that of %s, and is taken as it is there\n", m.Path, b.revision)
		}
	}
	return deployed, added, nil
}

// baseReleases builds the manifests of the base revision's code, of every consumer that pawl.yaml names.
func (a *app) baseReleases(ctx context.Context, b *baseTree) ([]gate.Release, error) {
	sources := a.sources()
	if len(sources) == 0 {
		return nil, &usageError{
			message: fmt.Sprintf("it is not known what the code of %s sends", b.revision),
			hint: "say in pawl.yaml where the consumers' source is, such as `consumers: {api: {go: ./cmd/api}}`;\n" +
				"or give its manifests with --refs, or a database whose ledger knows the releases with --database-url",
		}
	}
	var list []gate.Release
	for _, name := range keysOf(sources) {
		o := sources[name]
		o.Dir = b.dir(".")
		done := a.refsProgress(&o)
		m, _, err := refs.Build(ctx, name, b.revision, o)
		done()
		if err != nil {
			return nil, fmt.Errorf("read what %s sends in %s: %w", name, b.revision, sourceUsage(err))
		}
		list = append(list, gate.Release{Consumer: name, ID: b.revision, Why: []gate.Eligibility{gate.WhyBase}, Manifest: m.Gate()})
	}
	return list, nil
}

// given reads manifests that the command line names.
func given(paths []string) ([]gate.Release, error) {
	var list []gate.Release
	for _, path := range paths {
		m, err := evidence.ReadManifest(path)
		if err != nil {
			return nil, err
		}
		list = append(list, gate.Release{Consumer: m.Consumer, ID: m.Release, Why: []gate.Eligibility{gate.WhyGiven}, Manifest: m.Gate()})
	}
	return list, nil
}
