// Command lintcases runs `pawl lint` over measured cases: a base schema, and statements that a linter should or should not flag.
//
//	lintcases PAWL CASES.jsonl BASE.sql
//
// It prints the cases that it gets wrong and fails if there are any.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

type measured struct {
	ID    string   `json:"id"`
	Title string   `json:"title"`
	SQL   string   `json:"sql"`
	Want  string   `json:"want"`
	Why   string   `json:"why"`
	Args  []string `json:"squawk_args"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lintcases:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: lintcases PAWL CASES.jsonl BASE.sql")
	}
	base, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	file, err := os.Open(args[1])
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	total, wrong := 0, 0
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c measured
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return err
		}
		rules, err := lint(args[0], base, &c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.ID, err)
		}
		total++
		if c.Want == "finding" && len(rules) == 0 || c.Want == "quiet" && len(rules) > 0 {
			wrong++
			fmt.Printf("%s wants %s, got [%s]: %s (%s)\n%s\n", c.ID, c.Want, strings.Join(rules, " "), c.Title, c.Why, c.SQL)
		} else if os.Getenv("VERBOSE") != "" {
			fmt.Printf("%s %-7s [%s] %s\n", c.ID, c.Want, strings.Join(rules, " "), c.Title)
		}
	}
	fmt.Printf("%d of %d right\n", total-wrong, total)
	if wrong > 0 {
		return fmt.Errorf("%d cases are wrong", wrong)
	}
	return lines.Err()
}

// lint gives the names of the rules that find something in a case.
func lint(pawl string, base []byte, c *measured) ([]string, error) {
	dir, err := os.MkdirTemp("", "lintcases")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.WriteFile(filepath.Join(dir, "0001_base.sql"), base, 0o600); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, "0002_case.sql")
	if err := os.WriteFile(name, []byte(c.SQL), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.Background(), pawl, append([]string{"lint", "--format", "json", name}, c.Args...)...) //nolint:gosec // the caller names the program
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		if exit != nil {
			return nil, fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, err
	}
	var report struct {
		Findings []struct {
			Rule string `json:"rule"`
		} `json:"findings"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return nil, err
	}
	var rules []string
	for _, f := range report.Findings {
		rules = append(rules, f.Rule)
	}
	return rules, nil
}
