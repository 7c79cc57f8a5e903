package evidence_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// TestSchema holds the JSON schema to the types that read and write manifests: the same fields, the same ones required.
func TestSchema(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "pawl.refs.schema.json"))
	require.NoError(t, err)
	type object struct {
		Required   []string
		Properties map[string]json.RawMessage
		Additional *bool `json:"additionalProperties"`
	}
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(text, &schema))
	for name, test := range map[string]struct {
		schema object
		of     any
	}{
		"manifest":        {schema.object, evidence.Manifest{}},
		"statement":       {schema.Defs["statement"], evidence.Statement{}},
		"template":        {schema.Defs["template"], evidence.Template{}},
		"model":           {schema.Defs["model"], evidence.Model{}},
		"opaque":          {schema.Defs["opaque"], evidence.Opaque{}},
		"acknowledgement": {schema.Defs["acknowledgement"], evidence.Acknowledgement{}},
		"site":            {schema.Defs["site"], gate.Site{}},
	} {
		fields, required := jsonFields(reflect.TypeOf(test.of))
		var have []string
		for p := range test.schema.Properties {
			have = append(have, p)
		}
		require.ElementsMatch(t, fields, have, name)
		require.Subset(t, required, test.schema.Required, name)
		require.NotNil(t, test.schema.Additional, name)
	}
}

func jsonFields(t reflect.Type) (all, required []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			inner, need := jsonFields(f.Type)
			all, required = append(all, inner...), append(required, need...)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		all = append(all, name)
		if !slices.Contains(strings.Split(options, ","), "omitempty") {
			required = append(required, name)
		}
	}
	return all, required
}

// TestManifestRefused gives manifests that say two things at once, or that something wrote by hand and got wrong.
func TestManifestRefused(t *testing.T) {
	t.Parallel()
	const head = `{"version": 1, "consumer": "a", "release": "b", "status": "complete", "statements": [], `
	for text, want := range map[string]string{
		`{}`:             `no "version"`,
		`{"version": 2}`: "use a newer pawl",
		`{"version": 1, "consumer": "a", "release": "b", "status": "done", "statements": []}`: `must be "complete" or "partial"`,
		`{"version": 1, "consumer": "a", "release": "b", "status": "complete"}`:               `"statements" is missing`,
		head + `"extra": 1}`:       "unknown field",
		head + `"reasons": ["x"]}`: "says that it is not: x",
		head + `"opaque": [{"site": {"file": "a.go", "line": 3}, "call": "x", "why": "y"}]}`:                                          "lists a.go:3",
		head + `"templates": [{"parts": ["a"], "holes": ["name"]}]}`:                                                                  "1 parts and 1 holes",
		head + `"templates": [{"parts": ["a", "b"], "holes": ["thing"]}]}`:                                                            "must be name, value or text",
		head + `"fragments": [{"parts": ["a", "b"], "holes": ["text"]}]}`:                                                             "may hold any SQL: a…b",
		`{"version": 1, "consumer": "a", "release": "b", "status": "complete", "statements": [{"text": "select 1", "sha256": "00"}]}`: "changed by hand",
	} {
		_, err := evidence.DecodeManifest(strings.NewReader(text))
		require.ErrorContains(t, err, want, text)
	}
	m, err := evidence.DecodeManifest(strings.NewReader(head + `"templates": [{"parts": ["a", "b"], "holes": ["text"], "tables": ["t"]}]}`))
	require.NoError(t, err)
	require.True(t, m.Gate().Complete)
}
