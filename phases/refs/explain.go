package refs

import (
	"strings"

	"github.com/bitvault/pawl/phases/evidence"
)

// Explainer tells whether a statement that was observed is explained by manifests. Constants and formatting do not
// matter, so texts may be those of pg_stat_statements. The zero Explainer explains session commands alone.
type Explainer struct{ of []explainer }

// NewExplainer makes one for the manifests.
func NewExplainer(manifests ...*evidence.Manifest) Explainer {
	var e Explainer
	for _, m := range manifests {
		e.of = append(e.of, newExplainer(m))
	}
	return e
}

// Explains reports whether the text is about the session alone, or one of the manifests has it: as a statement, by a
// template, or by a model or pieces that name all that it names.
func (e Explainer) Explains(text string) bool {
	if text = strings.TrimSpace(text); text == "" || isSession(text) {
		return true
	}
	for _, one := range e.of {
		if one.explains(text) != "" {
			return true
		}
	}
	return false
}
