package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bitvault/pawl/lint"
	"github.com/bitvault/pawl/phases"
)

// readLintConfig reads what stands under `lint` in pawl.yaml: rules by name, settings for some files, and flags of `pawl lint` by
// their names, which go into values when that is the command, or the one for editors.
func (a *app) readLintConfig(path string, tree any, cmd *cobra.Command, values map[string]string) error {
	m, ok := tree.(map[string]any)
	if !ok && tree != nil {
		return &usageError{message: path + ": lint has to be a mapping, such as `lint: {fail-on: error}`"}
	}
	flags := map[string]bool{}
	if c, _, err := cmd.Root().Find([]string{"lint"}); err == nil {
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) { flags[f.Name] = true })
	}
	d := configReader{path: path}
	for key, value := range m {
		switch key {
		case "select":
			a.lintConfig.Select = d.words("lint.select", value)
		case "ignore":
			a.lintConfig.Ignore = d.words("lint.ignore", value)
		case "severity":
			a.lintConfig.Severity = d.severities("lint.severity", value)
		case "paths":
			a.lintConfig.Paths = d.paths("lint.paths", value)
		default:
			if !flags[key] {
				d.unknown("lint."+key, key, append([]string{"severity", "paths"}, keys(flags)...))
				continue
			}
			if cmd.Name() == "lint" || cmd.Name() == "lsp" {
				values[key] = fmt.Sprint(value)
			}
		}
	}
	if d.err == nil {
		if err := a.lintConfig.Validate(); err != nil {
			return &usageError{message: fmt.Sprintf("%s: lint: %v", path, err), hint: "`pawl explain` lists the rules"}
		}
	}
	return d.err
}

func keys(m map[string]bool) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// configReader reads parts of a YAML tree and remembers the first thing wrong with it.
type configReader struct {
	path string
	err  error
}

func (d *configReader) fail(message, hint string) {
	if d.err == nil {
		d.err = &usageError{message: d.path + ": " + message, hint: hint}
	}
}

func (d *configReader) unknown(name, key string, known []string) {
	hint := ""
	if near := phases.Suggest(key, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	d.fail(fmt.Sprintf("unknown setting %q", name), hint)
}

// words reads one word or a list of them.
func (d *configReader) words(name string, value any) []string {
	switch v := value.(type) {
	case nil:
		return nil
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, w := range v {
			s, ok := w.(string)
			if !ok {
				d.fail(fmt.Sprintf("%s has to be a list of words", name), "")
				return nil
			}
			out = append(out, s)
		}
		return out
	}
	d.fail(fmt.Sprintf("%s has to be a list of words", name), "")
	return nil
}

// severities reads a mapping of rules to severities. YAML reads a bare off as false.
func (d *configReader) severities(name string, value any) map[string]lint.Severity {
	m, ok := value.(map[string]any)
	if !ok && value != nil {
		d.fail(fmt.Sprintf("%s has to be a mapping of rules to off, info, warning or error", name), "")
	}
	out := map[string]lint.Severity{}
	for rule, word := range m {
		text := fmt.Sprint(word)
		if word == false {
			text = "off"
		}
		s, err := lint.ParseSeverity(text)
		if err != nil {
			d.fail(fmt.Sprintf("%s.%s: %v", name, rule, err), "")
		}
		out[rule] = s
	}
	return out
}

func (d *configReader) paths(name string, value any) []lint.PathConfig {
	list, ok := value.([]any)
	if !ok && value != nil {
		d.fail(fmt.Sprintf("%s has to be a list of mappings with a path each", name), "")
	}
	var out []lint.PathConfig
	for i, entry := range list {
		at := fmt.Sprintf("%s[%d]", name, i)
		m, ok := entry.(map[string]any)
		if !ok {
			d.fail(at+" has to be a mapping with a path", "")
			continue
		}
		var p lint.PathConfig
		for key, v := range m {
			switch key {
			case "path":
				p.Path, _ = v.(string)
			case "select":
				p.Select = d.words(at+".select", v)
			case "ignore":
				p.Ignore = d.words(at+".ignore", v)
			case "severity":
				p.Severity = d.severities(at+".severity", v)
			default:
				d.unknown(at+"."+key, key, []string{"path", "select", "ignore", "severity"})
			}
		}
		if p.Path == "" {
			d.fail(at+" names no path", "a pattern such as `legacy/**`")
		}
		out = append(out, p)
	}
	return out
}
