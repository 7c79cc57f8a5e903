package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/xeipuuv/gojsonschema"
	"go.yaml.in/yaml/v3"
)

// TestConfigSchema holds that the schema and pawl itself say the same of a file.
func TestConfigSchema(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.Zero(t, run(context.Background(), []string{"config", "schema"}, &out, &out))
	schema, err := gojsonschema.NewSchema(gojsonschema.NewBytesLoader(out.Bytes()))
	require.NoError(t, err)
	for _, c := range []struct {
		name, text string
		good       bool
	}{
		{"empty", "", true},
		{"flags", "dir: db\npg-version: 17\nlock-deadline: 5m\n", true},
		{"nested", "gate: {window: 72h, keep-previous: 2}\nlock: {deadline: 5m}\n", true},
		{"lists", "manifest: [a.json, b.json]\n", true},
		{"lint", "lint:\n  select: style\n  ignore: [length-limit]\n  fail-on: error\n  severity: {blocking-index: off, dropped-column: info}\n" +
			"  baseline: b.json\n  paths:\n    - {path: 'legacy/**', ignore: all}\n    - {path: new, severity: {default: error}}\n", true},
		{"consumers", "consumers:\n  api: {go: [./a, ./b], roles: api}\n", true},
		{"unknown setting", "lock-deadlin: 5m\n", false},
		{"unknown nested setting", "gate: {windw: 72h}\n", false},
		{"unknown lint setting", "lint: {selekt: style}\n", false},
		{"unknown rule", "lint: {ignore: blockin-index}\n", false},
		{"unknown severity", "lint: {severity: {blocking-index: loud}}\n", false},
		{"path without a path", "lint: {paths: [{ignore: all}]}\n", false},
		{"unknown source", "consumers: {api: {goo: ./a}}\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "pawl.yaml")
			require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
			var out bytes.Buffer
			code := run(context.Background(), []string{"--config", path, "config", "schema"}, &out, &out)
			require.Equal(t, c.good, code == 0, out.String())
			tree := map[string]any{}
			require.NoError(t, yaml.Unmarshal([]byte(c.text), &tree))
			result, err := schema.Validate(gojsonschema.NewGoLoader(tree))
			require.NoError(t, err)
			require.Equal(t, c.good, result.Valid(), "%v", result.Errors())
		})
	}
}
