package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bitvault/pawl/phases/refs"
)

// consumerConfig is what pawl.yaml says of one consumer under `consumers`.
type consumerConfig struct {
	// source is where its source stands.
	source refs.Options
	// trust are its trusted dependencies, as --trust says them.
	trust []string
	// roles are the login roles under which it connects.
	roles []string
	// pods are label selectors of its pods, containers the names of those that send SQL, releaseLabel the label of the
	// pods that has the release's name.
	pods, containers, releaseLabel []string
}

// consumerSettings are the settings that a consumer can have in pawl.yaml, and where each goes.
func (c *consumerConfig) settings() map[string]*[]string {
	return map[string]*[]string{
		"go": &c.source.Go, "tags": &c.source.Tags, "sql": &c.source.SQL, "sqlc": &c.source.SQLC, "sqlx": &c.source.SQLx,
		"prisma": &c.source.Prisma, "tokens": &c.source.Tokens, "trust": &c.trust, "roles": &c.roles,
		"pods": &c.pods, "containers": &c.containers, "release-label": &c.releaseLabel,
	}
}

// readConsumers reads what stands under `consumers` in pawl.yaml: for each its source, as the flags of `pawl refs build`
// say it, and its roles.
func (a *app) readConsumers(path string, tree any) error {
	m, ok := tree.(map[string]any)
	if !ok && tree != nil {
		return &usageError{message: path + ": consumers has to be a mapping, such as `consumers: {api: {go: ./cmd/api, roles: [api]}}`"}
	}
	d := configReader{path: path}
	a.consumers = map[string]consumerConfig{}
	for name, value := range m {
		settings, ok := value.(map[string]any)
		if !ok {
			d.fail(fmt.Sprintf("consumers.%s has to be a mapping", name), "such as {go: ./cmd/api, roles: [api]}")
			continue
		}
		var c consumerConfig
		into := c.settings()
		for key, value := range settings {
			list, known := into[key]
			if !known {
				d.unknown(fmt.Sprintf("consumers.%s.%s", name, key), key, keysOf(into))
				continue
			}
			*list = d.wordsOrOne(fmt.Sprintf("consumers.%s.%s", name, key), value)
		}
		_, c.source.Tagged = settings["tags"]
		var err error
		if c.source.Trust, err = parseTrust(c.trust); err != nil && d.err == nil {
			d.err = err
		}
		a.consumers[name] = c
	}
	return d.err
}

func keysOf[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// wordsOrOne reads a list of strings, or one string.
func (d *configReader) wordsOrOne(name string, value any) []string {
	if s, ok := value.(string); ok {
		return []string{s}
	}
	list, ok := value.([]any)
	if !ok {
		d.fail(name+" has to be a string or a list of strings", "")
	}
	out := make([]string, 0, len(list))
	for _, v := range list {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

// parseTrust reads MODULE=REASON.
func parseTrust(list []string) (map[string]string, error) {
	trust := map[string]string{}
	for _, t := range list {
		module, reason, ok := strings.Cut(t, "=")
		if !ok || reason == "" {
			return nil, &usageError{message: fmt.Sprintf("--trust %s: give a reason as MODULE=REASON", t)}
		}
		trust[module] = reason
	}
	return trust, nil
}

// hasSource reports whether a consumer's source is given.
func hasSource(o refs.Options) bool {
	return len(o.Go)+len(o.SQL)+len(o.SQLC)+len(o.SQLx)+len(o.Prisma)+len(o.Tokens) > 0
}

// sources gives the consumers whose source pawl.yaml names: those under `consumers`, or the one of the settings of
// `pawl refs build`.
func (a *app) sources() map[string]refs.Options {
	list := map[string]refs.Options{}
	for name, c := range a.consumers {
		if hasSource(c.source) {
			list[name] = c.source
		}
	}
	if len(list) > 0 {
		return list
	}
	var c consumerConfig
	for key, into := range c.settings() {
		if text := a.settings[key]; text != "" {
			*into = strings.Split(text, ",")
		}
	}
	if name := a.settings["consumer"]; name != "" && hasSource(c.source) {
		list[name] = c.source
	}
	return list
}
