package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// branch compares the working directory with the revision that it branched off from, by git's plumbing commands.
type branch struct {
	// revision is the base as the user names it, start the commit that the branch and the base have in common.
	revision, start string
}

// checkRevision reports whether git knows a revision of the repository that dir is in.
func checkRevision(ctx context.Context, dir, revision string) error {
	if _, err := git(ctx, nil, "-C", dir, "rev-parse", "--git-dir"); err != nil {
		return noRepository(err)
	}
	if _, err := git(ctx, nil, "-C", dir, "rev-parse", "--verify", "--quiet", "--end-of-options", revision+"^{commit}"); err != nil {
		return &usageError{
			message: fmt.Sprintf("--base %s is no revision of this repository", revision),
			hint:    "in CI, fetch it first: git fetch origin main",
		}
	}
	return nil
}

func noRepository(err error) error {
	hint := ""
	switch {
	case errors.Is(err, exec.ErrNotFound):
		hint = "install git"
	case strings.Contains(err.Error(), "dubious ownership"):
		hint = "in a container: git config --global --add safe.directory '*'"
	}
	return &usageError{message: "--base needs a git repository: " + err.Error(), hint: hint}
}

// openBranch finds where the branch in dir began.
func openBranch(ctx context.Context, dir, revision string) (*branch, error) {
	if err := checkRevision(ctx, dir, revision); err != nil {
		return nil, err
	}
	start, err := git(ctx, nil, "-C", dir, "merge-base", "--end-of-options", revision, "HEAD")
	if err != nil {
		e := &usageError{message: fmt.Sprintf("this branch and %s have no commit in common", revision), hint: "is it the right revision?"}
		if shallow, _ := git(ctx, nil, "-C", dir, "rev-parse", "--is-shallow-repository"); strings.TrimSpace(shallow) == "true" {
			e.message += ": the clone is shallow"
			e.hint = "fetch the history that is missing: git fetch --unshallow, or fetch-depth: 0 of actions/checkout"
		}
		return nil, e
	}
	return &branch{revision: revision, start: strings.TrimSpace(start)}, nil
}

// files lists the files that a commit has below a directory, by their paths in it, with their blobs.
func (b *branch) files(ctx context.Context, dir, commit string) (map[string]string, error) {
	out, err := git(ctx, nil, "-C", dir, "ls-tree", "-r", "-z", commit, ".")
	if err != nil {
		return nil, fmt.Errorf("list what %s has in %s: %w", b.revision, dir, err)
	}
	files := map[string]string{}
	for entry := range strings.SplitSeq(out, "\x00") {
		head, name, ok := strings.Cut(entry, "\t")
		fields := strings.Fields(head)
		if ok && len(fields) == 3 && strings.HasPrefix(fields[0], "100") {
			files[name] = fields[2]
		}
	}
	return files, nil
}

// touched lists the files below a directory that are not sure to be as the branch found them, by their paths in it. A file that git
// was never told of is not among them.
func (b *branch) touched(ctx context.Context, dir string) (map[string]bool, error) {
	out, err := git(ctx, nil, "-C", dir, "diff-index", "-z", "--no-renames", "--relative", "--name-only", b.start, "--", ".")
	if err != nil {
		return nil, fmt.Errorf("compare %s with %s: %w", dir, b.revision, err)
	}
	names := map[string]bool{}
	for name := range strings.SplitSeq(out, "\x00") {
		if name != "" {
			names[name] = true
		}
	}
	return names, nil
}

// texts reads blobs, in one go, and gives them in order.
func (b *branch) texts(ctx context.Context, dir string, blobs []string) ([][]byte, error) {
	if len(blobs) == 0 {
		return nil, nil
	}
	cmd := exec.CommandContext(ctx, "git", "-C", dir, "cat-file", "--batch")
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(strings.Join(blobs, "\n") + "\n")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("read files of %s: %w", b.revision, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("read files of %s: %w", b.revision, err)
	}
	list, err := readBatch(bufio.NewReader(out), len(blobs))
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("read files of %s: %w", b.revision, err)
	}
	return list, nil
}

// readBatch reads the answers of git cat-file --batch: a line `SHA TYPE SIZE`, the text, a line feed.
func readBatch(in *bufio.Reader, n int) ([][]byte, error) {
	list := make([][]byte, 0, n)
	for range n {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, errors.New(strings.TrimSpace(line))
		}
		size, err := strconv.Atoi(fields[2])
		if err != nil {
			return nil, err
		}
		text := make([]byte, size+1)
		if _, err := io.ReadFull(in, text); err != nil {
			return nil, err
		}
		list = append(list, text[:size])
	}
	return list, nil
}

// top gives the directory of the repository that dir is in.
func (b *branch) top(ctx context.Context, dir string) (string, error) {
	out, err := git(ctx, nil, "-C", dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	return filepath.FromSlash(strings.TrimRight(out, "\n")), nil
}
