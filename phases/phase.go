package phases

import "fmt"

// Phase says what a change means for code that is already deployed. It says nothing of what the change costs traffic
// while it runs; that is Effect. The zero Phase is Unknown, which pawl treats as a contract.
type Phase uint8

const (
	// Unknown means that pawl cannot tell what the change does to deployed code.
	Unknown Phase = iota
	// Expand is additive: whatever worked before works after.
	Expand
	// Backfill moves or changes data and leaves the shape alone.
	Backfill
	// Contract takes something away that deployed code may need.
	Contract
)

var phaseNames = [...]string{Unknown: "unknown", Expand: "expand", Backfill: "backfill", Contract: "contract"}

// String gives the lower-case word used in files, JSON and messages.
func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return phaseNames[Unknown]
}

// Gated reports whether a change of this phase has to pass the gate: contracts do, and so does whatever is unknown.
func (p Phase) Gated() bool { return p == Contract || p == Unknown }

// MarshalText writes the phase as its word.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads one of the four words; anything else is an error.
func (p *Phase) UnmarshalText(text []byte) error {
	q, err := ParsePhase(string(text))
	if err != nil {
		return err
	}
	*p = q
	return nil
}

// ParsePhase reads a phase's word.
func ParsePhase(word string) (Phase, error) {
	for i, name := range phaseNames {
		if word == name {
			return Phase(i), nil //nolint:gosec // the table has four entries
		}
	}
	return Unknown, fmt.Errorf("unknown phase %q (expand, backfill, contract or unknown)", word)
}

// severity orders phases by how much care they need: expand, backfill, contract, unknown.
func (p Phase) severity() int {
	switch p {
	case Expand:
		return 0
	case Backfill:
		return 1
	case Contract:
		return 2
	default:
		return 3
	}
}

// Worse gives the phase of the two that needs more care: expand < backfill < contract < unknown.
func Worse(a, b Phase) Phase {
	if b.severity() > a.severity() {
		return b
	}
	return a
}
