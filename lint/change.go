package lint

import "github.com/bitvault/pawl/phases"

// Change is what a branch does to a migration, compared with the revision that it starts from.
type Change struct {
	// Base names that revision as the user does.
	Base string
	// Kind says what the branch did.
	Kind ChangeKind
	// Offset is where in the file the text begins to differ; of Edited alone.
	Offset int
	// Renamed is the file of the branch that has the text of this one; of Deleted alone, empty for none.
	Renamed string
	// Before is a file of the base that comes behind this one in the order of the versions; of Added alone, empty for none.
	Before string
}

// ChangeKind tells the changes of a migration apart.
type ChangeKind uint8

// What a branch can do to a migration.
const (
	// Added is a file that the base does not have. It is judged by all rules.
	Added ChangeKind = iota
	// Edited is a file that the base has with another text, and Deleted one that the branch does not have any more. Both are judged
	// by the rules about applied migrations alone; what they did to the schema is told to Learn with the text of the base.
	Edited
	Deleted
)

// checkApplied judges what became of a file that may be applied already. The schema stays as it is.
func (l *Linter) checkApplied(f *File) []Finding {
	f.Assessment = &phases.Assessment{File: f.File, Statements: make([]phases.AssessedStatement, len(f.File.Statements))}
	for _, i := range l.byFile {
		if l.rules[i].Applied && f.severities[i] != Off {
			f.rule = i
			l.rules[i].File(f)
		}
	}
	severities := f.severities
	f.severities = make([]Severity, len(severities))
	for i := range l.rules {
		if l.rules[i].Applied {
			f.severities[i] = severities[i]
		}
	}
	return l.finish(f)
}
