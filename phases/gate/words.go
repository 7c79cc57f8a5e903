package gate

import (
	"maps"
	"slices"

	"github.com/bitvault/pawl/phases"
)

// Words are such that each statement which the change may affect has one of them among its own (phases.Words): what the
// ledger is searched by. Nil means that any statement may be affected.
func (c Change) Words() []string {
	words := map[string]bool{}
	for _, t := range slices.Concat(c.Takes, c.Adds) {
		if t.Everything {
			continue
		}
		names := []string{t.Object.Relation, t.Object.Name}
		switch t.Object.Kind {
		case phases.EnumValue, phases.Attribute:
			if t.Object.Column == "" {
				return nil
			}
			names = append(names, t.Object.Column)
		case phases.Schema:
			if !t.Only {
				return nil
			}
			names = append(names, t.Object.Schema)
		case phases.Sequence:
			// A parameter may name it.
			names = append(names, phases.SequenceFunctions()...)
		case phases.Role, phases.Database, phases.Extension, phases.Other, phases.Cast, phases.Operator:
			return nil
		}
		for _, r := range t.Reach {
			names = append(names, r.Relation, r.Name)
		}
		named := false
		for _, name := range names {
			if name == "" {
				continue
			}
			word := phases.Word(name)
			if word == "" {
				return nil
			}
			named, words[word] = true, true
		}
		if !named {
			return nil
		}
	}
	return append([]string{}, slices.Sorted(maps.Keys(words))...)
}
