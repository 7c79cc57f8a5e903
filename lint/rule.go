// Package lint finds in migrations what hurts in production. Its rules are rows of tables that match kinds of operations;
// what a kind locks, rewrites, reads or takes they look up in the registry of package phases and never repeat.
package lint

import (
	"slices"

	"github.com/bitvault/pawl/phases"
)

// Rule is one row: what is flagged, when, and what is said. The page lint/docs/<Name>.md explains it and is its test.
type Rule struct {
	// Name is kebab-case, names what is flagged, and reads well behind "pawl:allow".
	Name string
	// Summary says in half a sentence what is flagged, for lists.
	Summary string
	// Severity is the one that the rule has by default; Off for those that have to be selected.
	Severity Severity
	// Kinds are the kinds of operations that the rule looks at; nil for a rule with File or Each.
	Kinds []phases.Kind
	// When tells whether an operation of one of the Kinds is meant; nil means every one.
	When func(*Op) bool
	// Message says what is wrong. In braces stand {object}, {table}, {column}, {name}, {to}, {type}, {ref}, {constraint}, {summary}, {kind},
	// {cost}: what the operation does to traffic, {why}: what the schema tells about it.
	Message string
	// Say gives the message where a template does not do; nil for Message.
	Say func(*Op) string
	// Help says what to do instead, for this very table and column; a template as Message is.
	Help string
	// Advise gives the help where a template does not do; nil for Help.
	Advise func(*Op) string
	// Contract marks rules about what code loses: they spare a file that says pawl:phase contract, because that file goes through
	// the gate, and operations that the end of the file makes good again.
	Contract bool
	// Fix gives the edits that cure an operation mechanically; nil where there are none.
	Fix func(*Op) []Edit
	// File looks at a whole file after its operations were judged.
	File func(*File)
	// Applied marks rules of File about what became of a migration that may be applied already.
	Applied bool
	// Group tells rules of one family apart from others in lists and documentation.
	Group string
}

// Finding is one thing that a rule found.
type Finding struct {
	Rule     string
	Severity Severity
	Path     string
	Span     phases.Span
	Message  string
	// Help says what to do; empty for nothing to say.
	Help string
	// Phase is the phase of the operation or the file that the finding is about.
	Phase phases.Phase
	// Edits cure the finding when all of them are applied; nil where no mechanical cure is known.
	Edits []Edit
	// Wants is the second file that a cure would need and cannot have, because its version is taken; Edits are nil then.
	Wants string
}

// Edit replaces a stretch of a file, or makes a new one.
type Edit struct {
	// Path is the file that is changed; NewFile that it is made, and that Text is all of it.
	Path    string
	NewFile bool
	// Start and End are byte offsets in the text without a byte order mark, End exclusive.
	Start, End int
	Text       string
}

// Rules gives all rules in the order of the documentation.
func Rules() []Rule { return slices.Clone(rules) }

// Names gives the names of all rules in the order of the documentation.
func Names() []string {
	out := make([]string, len(rules))
	for i := range rules {
		out[i] = rules[i].Name
	}
	return out
}

// Find gives the rule of a name; false where there is none.
func Find(name string) (Rule, bool) {
	for i := range rules {
		if rules[i].Name == name {
			return rules[i], true
		}
	}
	return Rule{}, false
}

// group stamps the family's title on its rows.
func group(title string, list []Rule) []Rule {
	out := slices.Clone(list)
	for i := range out {
		out[i].Group = title
	}
	return out
}

var rules = slices.Concat(
	group("Columns", columnRules), group("Constraints", constraintRules), group("Indexes", indexRules), group("Partitions", partitionRules),
	group("Tables and upkeep", tableRules), group("What code loses", contractRules), group("Functions, triggers and views", routineRules),
	group("Access", accessRules), group("Data", dataRules), group("Transactions and settings", transactionRules),
	group("What cannot be read", opaqueRules), group("Phases and history", slices.Concat(phaseRules, historyRules)), group("Allowances", slices.Concat(allowanceRules, baselineRules)),
	group("Style", styleRules),
)
