package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/bitvault/pawl/phases"
)

// configure fills the flags that the command line leaves out: from PAWL_… variables, then from pawl.yaml.
func (a *app) configure(cmd *cobra.Command) error {
	a.command = strings.TrimPrefix(cmd.CommandPath(), "pawl ")
	if env, ok := a.env("PAWL_CONFIG"); ok && a.flags.config == "" {
		a.flags.config = env
	}
	values, err := a.readConfig(cmd)
	if err != nil {
		return err
	}
	var first error
	fromEnv := func(flag string) (name, value string, ok bool) {
		name = "PAWL_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
		value, ok = a.env(name)
		return name, value, ok && value != ""
	}
	given := map[string]bool{}
	cmd.Flags().Visit(func(f *pflag.Flag) { given[f.Name] = true })
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		other := sameThing[f.Name]
		if f.Changed || first != nil || given[other] {
			return
		}
		from, value, ok := fromEnv(f.Name)
		if !ok {
			if _, _, set := fromEnv(other); set && other != "" {
				return
			}
			value, ok = values[f.Name]
			from = a.flags.config
		}
		if !ok {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			first = &usageError{message: fmt.Sprintf("%s: %s: %v", from, f.Name, err)}
		}
	})
	if first != nil {
		return first
	}
	allowed := []string{"", "text", "json"}
	if list, ok := cmd.Annotations[formatsAnnotation]; ok {
		allowed = append(allowed[:1], strings.Split(list, ",")...)
	}
	return oneOf("format", a.flags.format, allowed...)
}

// sameThing are flags of which each says what the other one does: where one is given, settings of less weight do not count
// for the other.
var sameThing = map[string]string{ //nolint:gochecknoglobals // a constant table
	"database-url": "database-url-file", "database-url-file": "database-url",
}

// formatsAnnotation is how a command says which formats it knows besides text and json.
const formatsAnnotation = "pawl_formats"

// readConfig gives the settings of pawl.yaml by the names of their flags: a key `window` under `gate` is --gate-window.
func (a *app) readConfig(cmd *cobra.Command) (map[string]string, error) {
	path, must := a.flags.config, true
	if path == "" {
		path, must = "pawl.yaml", false
	}
	data, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if errors.Is(err, fs.ErrNotExist) && !must {
		return nil, nil //nolint:nilnil // no file is no settings
	}
	if err != nil {
		return nil, &usageError{message: fmt.Sprintf("read the configuration: %v", err)}
	}
	a.flags.config = path
	var tree map[string]any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		return nil, &usageError{message: fmt.Sprintf("%s: %v", path, err)}
	}
	known := map[string]bool{}
	eachCommand(cmd.Root(), func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) { known[f.Name] = true })
		c.PersistentFlags().VisitAll(func(f *pflag.Flag) { known[f.Name] = true })
	})
	values := map[string]string{}
	if sub, ok := tree["lint"]; ok {
		delete(tree, "lint")
		if err := a.readLintConfig(path, sub, cmd, values); err != nil {
			return nil, err
		}
	}
	if sub, ok := tree["consumers"]; ok {
		delete(tree, "consumers")
		if err := a.readConsumers(path, sub); err != nil {
			return nil, err
		}
	}
	if err := flatten(path, "", tree, known, values); err != nil {
		return nil, err
	}
	a.settings = values
	return values, nil
}

func flatten(path, prefix string, tree map[string]any, known map[string]bool, values map[string]string) error {
	for key, value := range tree {
		name := prefix + key
		if sub, ok := value.(map[string]any); ok {
			if err := flatten(path, name+"-", sub, known, values); err != nil {
				return err
			}
			continue
		}
		if !known[name] {
			hint := "settings are named like the flags: see `pawl migrate --help`"
			names := make([]string, 0, len(known))
			for n := range known {
				names = append(names, n)
			}
			if near := phases.Suggest(name, names); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			return &usageError{message: fmt.Sprintf("%s: unknown setting %q", path, name), hint: hint}
		}
		if list, ok := value.([]any); ok {
			parts := make([]string, len(list))
			for i, v := range list {
				parts[i] = fmt.Sprint(v)
			}
			values[name] = strings.Join(parts, ",")
			continue
		}
		values[name] = fmt.Sprint(value)
	}
	return nil
}
