package refs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// Observed is a text that a test run sent.
type Observed struct {
	Text string
	// Site is where it was sent from; zero where that is not known.
	Site gate.Site
}

// Harvest merges what a test run sent into a manifest, and gives what the manifest did not explain: neither a statement
// (constants and formatting apart), nor a template, nor a model or pieces that name all that it names. Unless accept
// says why that is no sign of more, the manifest is then partial.
func Harvest(m *evidence.Manifest, sent []Observed, accept string) []Observed {
	e := newExplainer(m)
	var unexplained []Observed
	seen := map[string]bool{}
	for _, s := range sent {
		if s.Text = strings.TrimSpace(s.Text); s.Text == "" || seen[s.Text] || isSession(s.Text) {
			continue
		}
		seen[s.Text] = true
		how := e.explains(s.Text)
		if how == "" {
			unexplained = append(unexplained, s)
		}
		if how != "statement" {
			site := s.Site
			if site.File == "" {
				site = gate.Site{File: "test run"}
			}
			Add(m, s.Text, site)
		}
	}
	if len(unexplained) > 0 {
		if accept != "" {
			m.Acknowledged = append(m.Acknowledged, evidence.Acknowledgement{Site: gate.Site{File: "test run"}, Directive: "harvest", Text: accept})
		} else {
			m.Status = evidence.Partial
			m.Reasons = append(m.Reasons, fmt.Sprintf("a test run sent %s that the source does not explain: there may be more of the kind", plural(len(unexplained), "statement")))
		}
	}
	Sort(m)
	return unexplained
}

var session = pattern.Lazy(`(?is)^\s*(begin|start|commit|rollback|savepoint|release|end|set|show|reset|discard|deallocate|listen|unlisten|notify|close|fetch|move|--\s*ping)\b`)

// isSession reports whether a text is about the session and names no object.
func isSession(text string) bool {
	return session().MatchString(text) || text == ";" || text == "-- ping"
}

type explainer struct {
	texts, prints map[string]bool
	templates     []*regexp.Regexp
	names         map[string]bool
}

func newExplainer(m *evidence.Manifest) explainer {
	e := explainer{texts: map[string]bool{}, prints: map[string]bool{}, names: map[string]bool{}}
	for _, s := range m.Statements {
		e.texts[strings.TrimSpace(s.Text)] = true
		if p := parse.Fingerprint(s.Text); p != "" {
			e.prints[p] = true
		}
	}
	for _, t := range m.Templates {
		quoted := make([]string, len(t.Parts))
		for i, p := range t.Parts {
			quoted[i] = regexp.QuoteMeta(p)
		}
		if r, err := regexp.Compile(`(?s)^` + strings.Join(quoted, `.*`) + `$`); err == nil {
			e.templates = append(e.templates, r)
		}
	}
	for _, model := range m.Models {
		if model.Table == "" {
			continue
		}
		e.names[model.Table] = true
		for _, c := range model.Columns {
			e.names[c.Name] = true
		}
	}
	for _, f := range m.Fragments {
		for name := range parse.Fragment(f.Parts, f.Holes).Names {
			e.names[name] = true
		}
	}
	return e
}

// explains says by what a text is explained; empty for nothing.
func (e explainer) explains(text string) string {
	if e.texts[text] || e.prints[parse.Fingerprint(text)] {
		return "statement"
	}
	if slices.ContainsFunc(e.templates, func(t *regexp.Regexp) bool { return t.MatchString(text) }) {
		return "template"
	}
	if len(e.names) == 0 {
		return ""
	}
	m := parse.Mentions(text)
	if m.Unparsed || len(m.Relations) == 0 {
		return ""
	}
	for _, r := range m.Relations {
		if !e.names[r.Name] {
			return ""
		}
		for _, c := range r.Columns {
			if !e.names[c] {
				return ""
			}
		}
	}
	for name, owners := range m.Owners {
		if len(owners) > 0 && !e.names[name] && !parse.IsFunctionName(text, name) {
			return ""
		}
	}
	return "model"
}
