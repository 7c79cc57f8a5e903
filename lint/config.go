package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bitvault/pawl/phases"
)

// Transactions says what may be taken for granted about who runs the files.
type Transactions string

const (
	// ByStatement takes nothing for granted: a statement is a transaction of its own unless the file says BEGIN, or has the marks
	// of a tool that wraps files.
	ByStatement Transactions = "statement"
	// ByFile is how pawl runs files: a file is one transaction, unless PostgreSQL refuses one of its statements there.
	ByFile Transactions = "file"
	// Always is a tool that wraps every file in a transaction, whatever it holds.
	Always Transactions = "always"
)

// Config says which rules look at which files. The zero Config is the default.
type Config struct {
	// Select switches rules on that are off by default, by their names or their groups' ("style", "all").
	Select []string
	// Ignore switches rules off.
	Ignore []string
	// Severity gives rules other severities than their own; Off switches one off.
	Severity map[string]Severity
	// Paths are settings for some files; a later one goes before an earlier one.
	Paths []PathConfig
}

// PathConfig are settings for the files that a pattern matches.
type PathConfig struct {
	// Path is a pattern as of path.Match, against the whole path or any part at its end; `**` stands for any directories.
	Path     string
	Select   []string
	Ignore   []string
	Severity map[string]Severity
}

// UnknownRuleError is a rule that configuration or a flag names and that does not exist.
type UnknownRuleError struct {
	Name string
	// Suggestion is the name that was most likely meant; empty for none.
	Suggestion string
}

func (e *UnknownRuleError) Error() string {
	if e.Suggestion != "" {
		return fmt.Sprintf("unknown rule %q: did you mean %q?", e.Name, e.Suggestion)
	}
	return fmt.Sprintf("unknown rule %q", e.Name)
}

// Groups gives the words that stand for several rules in Select and Ignore.
func Groups() []string { return []string{"all", "default", "style", "strict"} }

// severities works out the severity of every rule for one path.
func (c *Config) severities(file string) ([]Severity, error) {
	out := make([]Severity, len(rules))
	for i := range rules {
		out[i] = rules[i].Severity
	}
	if err := change(out, c.Select, c.Ignore, c.Severity); err != nil {
		return nil, err
	}
	for i := range c.Paths {
		p := &c.Paths[i]
		if !matches(p.Path, file) {
			continue
		}
		if err := change(out, p.Select, p.Ignore, p.Severity); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Validate reports the first name of a rule that does not exist, or a pattern that is none.
func (c *Config) Validate() error {
	out := make([]Severity, len(rules))
	if err := change(out, c.Select, c.Ignore, c.Severity); err != nil {
		return err
	}
	for i := range c.Paths {
		p := &c.Paths[i]
		if _, err := path.Match(strings.ReplaceAll(p.Path, "**", "*"), ""); err != nil {
			return fmt.Errorf("pattern %q: %w", p.Path, err)
		}
		if err := change(out, p.Select, p.Ignore, p.Severity); err != nil {
			return err
		}
	}
	return nil
}

func change(out []Severity, selected, ignored []string, severity map[string]Severity) error {
	for _, name := range selected {
		if err := each(name, func(i int) {
			if out[i] == Off {
				out[i] = max(rules[i].Severity, Warning)
			}
		}); err != nil {
			return err
		}
	}
	names := make([]string, 0, len(severity))
	for name := range severity {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := each(name, func(i int) { out[i] = severity[name] }); err != nil {
			return err
		}
	}
	for _, name := range ignored {
		if err := each(name, func(i int) { out[i] = Off }); err != nil {
			return err
		}
	}
	return nil
}

// each calls f with the number of every rule that a name stands for.
func each(name string, f func(int)) error {
	found := false
	for i := range rules {
		r := &rules[i]
		is := r.Name == name
		switch name {
		case "all":
			is = true
		case "default":
			is = r.Severity != Off
		case "style":
			is = r.Group == "Style"
		case "strict":
			is = r.Group != "Style"
		}
		if is {
			found = true
			f(i)
		}
	}
	if !found {
		return &UnknownRuleError{Name: name, Suggestion: phases.Suggest(name, slices.Concat(Names(), Groups()))}
	}
	return nil
}

// matches compares a path with a pattern, from any of the path's directories on.
func matches(pattern, file string) bool {
	parts := strings.Split(path.Clean(strings.ReplaceAll(file, `\`, "/")), "/")
	want := strings.Split(path.Clean(pattern), "/")
	for i := range parts {
		if matchParts(want, parts[i:]) {
			return true
		}
	}
	return false
}

func matchParts(want, have []string) bool {
	for len(want) > 0 {
		if want[0] == "**" {
			for i := range len(have) + 1 {
				if matchParts(want[1:], have[i:]) {
					return true
				}
			}
			return false
		}
		if len(have) == 0 {
			return false
		}
		if ok, err := path.Match(want[0], have[0]); err != nil || !ok {
			return false
		}
		want, have = want[1:], have[1:]
	}
	// A pattern that names a directory means all that is in it.
	return true
}
