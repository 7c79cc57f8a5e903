package evidence

import (
	"strings"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// Gate gives the manifest as the gate reads it, with what each text mentions.
func (m *Manifest) Gate() *gate.Manifest {
	out := &gate.Manifest{Complete: m.Status == Complete, Reasons: m.Reasons}
	for _, s := range m.Statements {
		out.Queries = append(out.Queries, gate.Query{ID: s.SHA256, Text: s.Text, Sites: s.Sites, Mentions: parse.Mentions(s.Text)})
	}
	m.addTo(out)
	return out
}

// addTo gives the gate what the parts say: each template, fragment and model is a query of its own, without an ID, for
// there is no text that could be prepared.
func (p *Parts) addTo(out *gate.Manifest) {
	for _, t := range p.Templates {
		m := parse.Template(t.Parts, t.Holes)
		for _, table := range t.Tables {
			mayUse(m, table)
		}
		out.Queries = append(out.Queries, gate.Query{Text: t.String(), Sites: t.Sites, Mentions: m})
	}
	var fragments []*phases.Mentions
	among := map[string]bool{}
	for _, t := range p.Fragments {
		m := parse.Fragment(t.Parts, t.Holes)
		for _, table := range t.Tables {
			mayUse(m, table)
		}
		m.Among = among
		fragments = append(fragments, m)
		for name := range m.Names {
			among[name] = true
		}
		out.Queries = append(out.Queries, gate.Query{Text: t.String(), Sites: t.Sites, Mentions: m})
	}
	for _, model := range p.Models {
		if model.Table == "" {
			continue
		}
		among[model.Table] = true
		out.Queries = append(out.Queries, gate.Query{
			Text:     "statements made from " + model.Name,
			Sites:    []gate.Site{model.Site},
			Mentions: model.mentions(),
		})
	}
	if len(fragments) > 0 {
		for _, q := range out.Queries {
			for _, r := range q.Mentions.Relations {
				among[r.Name] = true
			}
		}
	}
	for _, a := range p.Acknowledged {
		if a.Directive != "tables" {
			continue
		}
		m := &phases.Mentions{Names: map[string]bool{}}
		for table := range strings.SplitSeq(a.Text, ",") {
			mayUse(m, table)
		}
		out.Queries = append(out.Queries, gate.Query{Text: "//pawl:tables " + a.Text, Sites: []gate.Site{a.Site}, Mentions: m})
	}
	if p.Tokens != "" {
		out.Words = map[string]bool{}
		for word := range strings.FieldsSeq(p.Tokens) {
			out.Words[word] = true
		}
	}
}

// mayUse adds every use of a relation and of all its columns.
func mayUse(m *phases.Mentions, table string) {
	table = strings.TrimSpace(table)
	schema, name, qualified := strings.Cut(table, ".")
	if !qualified {
		schema, name = "", table
	}
	m.Star = true
	m.Relations = append(m.Relations,
		phases.RelationMention{Schema: schema, Name: name, Uses: phases.AnyUse &^ (phases.Insert | phases.Update | phases.Omit)},
		phases.RelationMention{Schema: schema, Name: name, Uses: phases.Insert | phases.Star},
		phases.RelationMention{Schema: schema, Name: name, Uses: phases.Update, Columns: []string{phases.Hole}})
}

// mentions are those of the statements that a library makes from a model: reads of all columns by name, INSERT and
// UPDATE of those that it writes, DELETE.
func (model Model) mentions() *phases.Mentions {
	m := &phases.Mentions{Names: map[string]bool{}}
	written := []string{}
	for _, c := range model.Columns {
		m.Names[c.Name] = true
		if c.Access != "read" {
			written = append(written, c.Name)
		}
	}
	m.Relations = append(m.Relations, phases.RelationMention{Schema: model.Schema, Name: model.Table, Uses: phases.Read | phases.Delete | phases.Conflict})
	if len(written) > 0 {
		m.Relations = append(m.Relations,
			phases.RelationMention{Schema: model.Schema, Name: model.Table, Uses: phases.Insert, Columns: written},
			phases.RelationMention{Schema: model.Schema, Name: model.Table, Uses: phases.Update, Columns: written})
	}
	return m
}
