// Command benchlint puts `pawl lint` and squawk side by side over the same generated files, and looks how pawl's time grows with one file.
//
//	benchlint PAWL SQUAWK GENERATOR DIR
//
// GENERATOR is a Python program that writes N files into a directory: `generator DIR N`; DIR is where they are kept. It prints the CPU
// time of the process itself, the time on the wall and the highest resident memory, each the best of a few runs in turn, and fails where
// pawl needs more CPU or time than squawk, or its time grows faster than the file.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// runs is how often each is measured; the best counts, for what else the machine does only ever adds.
const runs = 3

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "benchlint:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return errors.New("usage: benchlint PAWL SQUAWK GENERATOR DIR")
	}
	pawl, squawk, generator, dir := args[0], args[1], args[2], args[3]
	fmt.Printf("%6s  %-12s  %8s  %8s  %12s\n", "files", "program", "user", "wall", "max RSS")
	var failures []string
	for _, n := range []int{1000, 10000} {
		files, err := corpus(generator, dir, n)
		if err != nil {
			return err
		}
		var mine, theirs usage
		for i := range runs {
			// One after the other, so that what else the machine does meets both.
			a, err := measure(pawl, "lint", filepath.Dir(files[0]))
			if err != nil {
				return err
			}
			b, err := measure(squawk, files...)
			if err != nil {
				return err
			}
			if i == 0 {
				mine, theirs = a, b
			}
			mine, theirs = mine.best(a), theirs.best(b)
		}
		fmt.Printf("%6d  %-12s  %s\n%6d  %-12s  %s\n%6s  %-12s  %8.2f  %8.2f  %12.2f\n", n, "pawl", mine, n, "squawk", theirs, "", "pawl/squawk",
			ratio(mine.user, theirs.user), ratio(mine.wall, theirs.wall), float64(mine.rss)/float64(theirs.rss))
		if mine.user >= theirs.user || mine.wall >= theirs.wall {
			failures = append(failures, fmt.Sprintf("pawl is not faster than squawk on %d files", n))
		}
	}
	fmt.Println()
	slow, err := growth(pawl, dir)
	if err != nil {
		return err
	}
	if failures = append(failures, slow...); len(failures) > 0 {
		return errors.New(strings.Join(failures, "\n"))
	}
	return nil
}

// usage is what one process took.
type usage struct {
	user, wall time.Duration
	rss        int64 // KiB
}

func (u usage) best(v usage) usage {
	return usage{min(u.user, v.user), min(u.wall, v.wall), min(u.rss, v.rss)}
}

func (u usage) String() string {
	return fmt.Sprintf("%6.2f s  %6.2f s  %8.1f MiB", u.user.Seconds(), u.wall.Seconds(), float64(u.rss)/1024)
}

func ratio(a, b time.Duration) float64 { return a.Seconds() / max(b.Seconds(), 0.001) }

// measure runs a program that may find something, and throws away what it says.
func measure(program string, args ...string) (usage, error) {
	cmd := exec.CommandContext(context.Background(), program, args...) //nolint:gosec // the caller names the programs
	began := time.Now()
	err := cmd.Run()
	wall := time.Since(began)
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return usage{}, fmt.Errorf("%s: %w", program, err)
	}
	took, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return usage{}, errors.New("this system does not tell what a process took")
	}
	return usage{user: cmd.ProcessState.UserTime(), wall: wall, rss: took.Maxrss}, nil
}

// corpus gives n files, which are made once.
func corpus(generator, dir string, n int) ([]string, error) {
	at := filepath.Join(dir, strconv.Itoa(n))
	files, err := filepath.Glob(filepath.Join(at, "*.sql"))
	if err != nil || len(files) == n {
		return files, err
	}
	cmd := exec.CommandContext(context.Background(), "python3", generator, at, strconv.Itoa(n)) //nolint:gosec // the caller names the program
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w", generator, err)
	}
	return filepath.Glob(filepath.Join(at, "*.sql"))
}

// growth lints one file of more and more statements in every format. The time of n statements is compared with that of a fourth: four times
// as much is linear, and up to six is let pass for the start of the process and for noise.
func growth(pawl, dir string) ([]string, error) {
	formats, err := formatsOf(pawl)
	if err != nil {
		return nil, err
	}
	sizes := []int{2000, 8000, 32000}
	fmt.Printf("%-10s  %8d  %8d  %8d statements in one file, and the growth of the last step\n", "format", sizes[0], sizes[1], sizes[2])
	var failures []string
	for _, format := range formats {
		var took []time.Duration
		for _, n := range sizes {
			at := filepath.Join(dir, fmt.Sprintf("one-%d", n))
			if err := os.MkdirAll(at, 0o750); err != nil {
				return nil, err
			}
			text := []byte("CREATE TABLE t (id bigint);\n")
			for i := range n {
				text = fmt.Appendf(text, "ALTER TABLE old_%d ADD CONSTRAINT c_%d CHECK (a > %d);\n", i%50, i, i)
			}
			file := filepath.Join(at, "0001_one.sql")
			if err := os.WriteFile(file, text, 0o600); err != nil {
				return nil, err
			}
			var all []time.Duration
			for range 2 {
				u, err := measure(pawl, "lint", "--format", format, file)
				if err != nil {
					return nil, err
				}
				all = append(all, u.user)
			}
			took = append(took, slices.Min(all))
		}
		grew := ratio(took[2], took[1])
		fmt.Printf("%-10s  %6.2f s  %6.2f s  %6.2f s  %.1f\n", format, took[0].Seconds(), took[1].Seconds(), took[2].Seconds(), grew)
		if grew > 6 {
			failures = append(failures, fmt.Sprintf("four times the statements take %.1f times as long with --format %s", grew, format))
		}
	}
	return failures, nil
}

var choice = regexp.MustCompile(`--format[^\n]*must be one of ([a-z, -]+)`)

// formatsOf asks pawl for its formats, by one that it does not have.
func formatsOf(pawl string) ([]string, error) {
	said, _ := exec.CommandContext(context.Background(), pawl, "lint", "--format", "none-such", os.DevNull).CombinedOutput() //nolint:gosec // the caller names the program
	m := choice.FindSubmatch(said)
	if m == nil {
		return nil, fmt.Errorf("pawl does not list its formats: %s", said)
	}
	return strings.Split(strings.ReplaceAll(string(m[1]), " ", ""), ","), nil
}
