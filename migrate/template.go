package migrate

import (
	"bytes"
	"io/fs"
	"path"
	"strings"
	"text/template"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases/layout"
)

var ternAction = pattern.Lazy(`\{\{-?\s*(template\b|install_snapshot\b|[.$"(a-zA-Z]|/\*)`)

// rendered carries a template of tern out: the files in directories below are its shared templates, by their paths. Any other
// text is given as it is; two braces alone are an array of arrays.
func (m *Migration) rendered(text []byte) ([]byte, *layout.Problem) {
	at := bytes.Index(text, []byte("{{"))
	if at < 0 || m.layout.Tool != "tern" && !bytes.Contains(text, []byte("{{ template ")) && !bytes.Contains(text, []byte("{{template ")) {
		return text, nil
	}
	if m.layout.Tool == "tern" && !ternAction().Match(text) {
		return text, nil
	}
	problem := func(err error) ([]byte, *layout.Problem) {
		return text, &layout.Problem{
			Start: at, End: at + 2, Message: "this is a template of tern that pawl cannot fill in: " + err.Error(),
			Hint: "pawl has tern's shared templates and neither its data nor its functions; write the values where they are used",
		}
	}
	main := template.New("main").Option("missingkey=error")
	err := fs.WalkDir(m.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Dir(name) == "." || path.Ext(name) != ".sql" {
			return err
		}
		body, err := fs.ReadFile(m.fsys, name)
		if err != nil {
			return err
		}
		_, err = main.New(name).Parse(string(body))
		return err
	})
	if err != nil {
		return problem(err)
	}
	t, err := main.New(m.Name).Parse(string(text))
	if err != nil {
		return problem(err)
	}
	var out strings.Builder
	if err := t.Execute(&out, map[string]any{}); err != nil {
		return problem(err)
	}
	return []byte(out.String()), nil
}
