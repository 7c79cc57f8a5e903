package lint

import "fmt"

// Severity says how much a finding weighs. The zero Severity is Off: a rule that is not asked for finds nothing.
type Severity uint8

// The severities, mildest first.
const (
	// Off means that the rule finds nothing unless it is selected.
	Off Severity = iota
	// Info is worth knowing and never fails a run by default.
	Info
	// Warning is a hazard that a short lock, a small table or a look at the code may make harmless.
	Warning
	// Error is what blocks traffic for long, breaks deployed code, loses data or fails.
	Error
)

var severityNames = [...]string{Off: "off", Info: "info", Warning: "warning", Error: "error"}

// String gives the word used in configuration and output.
func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return severityNames[Off]
}

// MarshalText writes the severity as its word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ParseSeverity reads a severity's word.
func ParseSeverity(word string) (Severity, error) {
	for i, name := range severityNames {
		if word == name {
			return Severity(i), nil //nolint:gosec // the table has four entries
		}
	}
	return Off, fmt.Errorf("unknown severity %q (off, info, warning or error)", word)
}
