package lint

import (
	"slices"

	"github.com/bitvault/pawl/phases"
)

// historyRules look at what a branch does beside the migrations that its base has; without a base they find nothing.
var historyRules = []Rule{
	{
		Name: "edited-migration", Severity: Error, File: edited, Applied: true,
		Summary: "a migration that may be applied already, with another text",
		Help:    "Put the file back as it was, and write what should be different into a new migration.",
	},
	{
		Name: "deleted-migration", Severity: Error, File: deleted, Applied: true,
		Summary: "a migration that may be applied already, taken away or renamed",
		Help:    "Put the file back under its name. What it did is undone by a new migration.",
	},
	{
		Name: "out-of-order-migration", Severity: Error, File: outOfOrder,
		Summary: "a new migration with a lower version than one that may be applied already",
		Help:    "Rename it, so that it comes last: databases that have the other one would apply it in another order than new ones do. Where the order is meant, `-- pawl:after VERSION` says so.",
	},
	{
		Name: "hasty-contract", Severity: Warning, File: hasty,
		Summary: "a contract in the same branch as the code that stops using the shape",
		Help:    "Deploy the code first. Drop it in a later branch, or say `-- pawl:phase contract`: the gate then holds it until no release that may run needs it.",
	},
}

// statementAt gives the number of the statement at or behind a place; the last one where none follows, -1 in a file without any.
func (f *File) statementAt(at phases.Span) int {
	if n := f.statementOf(at); n >= 0 {
		return n
	}
	return len(f.File.Statements) - 1
}

func edited(f *File) {
	if f.Change == nil || f.Change.Kind != Edited {
		return
	}
	text := f.File.Text
	start := advance(text, phases.Position{Line: 1, Column: 1}, min(f.Change.Offset, len(text)))
	span := phases.Span{Start: start, End: start}
	f.Report(f.statementAt(span), span, phases.Unknown, "this file is not what it is on "+f.Change.Base+": databases that have applied it do not get the difference, and pawl refuses to go on there", "")
}

func deleted(f *File) {
	if f.Change == nil || f.Change.Kind != Deleted {
		return
	}
	start := phases.Position{Line: 1, Column: 1}
	message := "this file is there on " + f.Change.Base + " and not on this branch: databases that have applied it keep what it did, and new ones do without"
	if f.Change.Renamed != "" {
		message = "this file of " + f.Change.Base + " is called " + f.Change.Renamed + " on this branch: databases that have applied it would apply it once more"
	}
	f.Report(-1, phases.Span{Start: start, End: start}, phases.Unknown, message, "")
}

func outOfOrder(f *File) {
	if f.Change == nil || f.Change.Kind != Added || f.Change.Before == "" {
		return
	}
	if slices.ContainsFunc(f.File.Directives, func(d phases.Directive) bool { return d.Name == "after" }) {
		return
	}
	span, n := phases.Span{Start: phases.Position{Line: 1, Column: 1}, End: phases.Position{Line: 1, Column: 1}}, -1
	if len(f.File.Statements) > 0 {
		span, n = f.File.Statements[0].Span, 0
	}
	f.Report(n, span, f.Assessment.Phase, "this comes before "+f.Change.Before+", which is on "+f.Change.Base+" already", "")
}

// hasty finds what the file takes from code while the branch takes the code's uses out.
func hasty(f *File) {
	if f.Options.StoppedUse == nil || f.declared() {
		return
	}
	for i := range f.Assessment.Statements {
		seen := map[phases.Object]bool{}
		for j := range f.Assessment.Statements[i].Operations {
			op := &f.Assessment.Statements[i].Operations[j]
			if op.Phase != phases.Contract {
				continue
			}
			for _, t := range op.Takes {
				if t.Certainty != phases.Fails || t.Object.Relation == "" || seen[t.Object] {
					continue
				}
				seen[t.Object] = true
				if place := f.Options.StoppedUse(t.Object); place != "" {
					f.Report(i, f.File.Statements[i].Span, op.Phase, "this branch takes a use of "+t.Object.String()+" out of "+place+", and what it uses away at once: releases from before still need it, and one of them may come back", "")
				}
			}
		}
	}
}
