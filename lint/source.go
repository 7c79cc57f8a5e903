package lint

import (
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/layout"
)

// Source is a parsed file with what its tool's marks say about it.
type Source struct {
	*Layout
	File *phases.File
	// Change is what a branch does to the file; nil where nothing is compared.
	Change *Change
}

// Layout is what the marks of a migration tool in a file, or its name, say about how the file runs.
type Layout = layout.Layout

// Read finds out how a file is laid out, and gives its text with the part that leads back blanked: byte for byte, so that every
// place in the rest still holds.
func Read(file string, src []byte) ([]byte, *Layout) { return layout.Read(file, src) }

// declared reports whether the file says of itself that it is a contract: it then goes through the gate.
func (s *Source) declared() bool {
	for i := range s.File.Directives {
		d := &s.File.Directives[i]
		if d.Name == "phase" && d.Arg == phases.Contract.String() {
			return true
		}
	}
	return false
}

// managed reports whether the file speaks to pawl, so that pawl is who runs it.
func (s *Source) managed() bool {
	for i := range s.File.Directives {
		if s.File.Directives[i].Name != "allow" {
			return true
		}
	}
	return false
}
