package lint

import (
	"path"
	"slices"
	"strings"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases"
)

var phaseRules = []Rule{
	{
		Name: "mixed-phases", Severity: Error, File: mixed,
		Summary: "something added and something taken away in one file",
		Help:    "Move what is taken away into a later file of its own that says `-- pawl:phase contract`: it is applied once no release needs it, and the rest does not wait for it.",
	},
	{
		Name: "contradicted-phase", Severity: Error, File: func(f *File) {
			for i := range f.Assessment.Problems {
				p := &f.Assessment.Problems[i]
				f.Report(-1, p.Span, f.Assessment.Phase, p.Message, p.Hint)
			}
		},
		Summary: "pawl:phase that the file's statements contradict",
	},
	{
		Name: "unknown-directive", Severity: Error, File: problems(phases.DirectiveProblem),
		Summary: "a pawl: comment that is misspelt or incomplete",
	},
	{
		Name: "transaction-control", Severity: Error, File: func(f *File) {
			if f.Options.Transactions == ByFile || f.managed() {
				problems(phases.ControlProblem)(f)
			}
		},
		Summary: "BEGIN and COMMIT in the middle of a file that pawl runs",
	},
	{
		Name: "duplicate-version", Severity: Error, File: duplicate,
		Summary: "two files of one version",
		Help:    "Give the later one the next free version.",
	},
	{
		Name: "crowded-backfill", Severity: Error, File: crowdedBackfill,
		Summary: "a backfill that is not alone in its file",
		Help:    "One UPDATE, INSERT … SELECT or DELETE with `-- pawl:backfill` is a file: it is queued and runs in batches, apart from the rest.",
	},
	{
		Name: "unresumable-backfill", Severity: Error, File: unresumable,
		Summary: "a backfill that cannot tell what is done from what is not",
		Help:    "Add a WHERE that finds only the rows still to do (`WHERE new IS DISTINCT FROM old`), or ON CONFLICT DO NOTHING to an INSERT.",
	},
	{
		Name: "undeclared-contract", Severity: Off, File: undeclared,
		Summary: "a contract that does not say that it is one",
		Help:    "Add `-- pawl:phase contract`, so that whoever reads the file knows that the gate may hold it.",
	},
}

// takesSurely reports whether an operation takes something that code is sure to miss, not just values that it may not write.
func takesSurely(op *phases.AssessedOperation) bool {
	if op.Phase != phases.Contract {
		return false
	}
	return slices.ContainsFunc(op.Takes, func(t phases.Take) bool { return t.Certainty == phases.Fails })
}

func mixed(f *File) {
	if !f.Assessment.Mixed || f.declared() && !f.brings() || f.unreadable() {
		return
	}
	for i := range f.Assessment.Statements {
		for j := range f.Assessment.Statements[i].Operations {
			op := &f.Assessment.Statements[i].Operations[j]
			if takesSurely(op) && (f.gated() || !slices.Contains(bindingKinds, op.Kind)) {
				f.Report(i, f.File.Statements[i].Span, phases.Contract, "this takes something from deployed code, and other statements of the file add something: the gate holds the whole file for it", "", f.splitPhases()...)
				return
			}
		}
	}
}

// gated reports whether pawl runs the file, so that its gate asks who breaks a new rule about the data.
func (f *File) gated() bool { return f.Options.Transactions == ByFile || f.managed() }

// unreadable reports whether a part of the file cannot be parsed: what it would do is not known, and is told already.
func (f *File) unreadable() bool {
	return slices.ContainsFunc(f.File.Problems, func(p phases.Problem) bool { return p.Code == phases.SyntaxProblem })
}

// brings reports whether the file makes something that new code will look for. In a file that calls itself a contract the rest, such as
// a view that is made again, belongs to what is taken away.
func (f *File) brings() bool {
	for i := range f.Assessment.Statements {
		for j := range f.Assessment.Statements[i].Operations {
			k := string(f.Assessment.Statements[i].Operations[j].Kind)
			if k == "create_table" || strings.HasPrefix(k, "add_column") || k == "add_enum_value" || k == "create_enum" {
				return true
			}
		}
	}
	return false
}

var versionPattern = pattern.Lazy(`^[VvR]?(\d+)(?:[._]\d+)*[_-]`)

func duplicate(f *File) {
	name := strings.ReplaceAll(f.File.Path, `\`, "/")
	m := versionPattern().FindStringSubmatch(path.Base(name))
	if m == nil || f.Down {
		return
	}
	version := strings.TrimLeft(m[1], "0")
	key := path.Dir(name) + "/" + version
	if prefix := strings.TrimSuffix(m[0], "_"); strings.ContainsAny(prefix, "._-") {
		key = path.Dir(name) + "/" + prefix
	}
	if before, ok := f.linter.versions[key]; ok && before != name {
		f.Report(-1, phases.Span{Start: phases.Position{Line: 1, Column: 1}, End: phases.Position{Line: 1, Column: 1}}, f.Assessment.Phase, "version "+m[1]+" is taken by "+before+" already", "")
		return
	}
	f.linter.versions[key] = name
}

func (f *File) backfills() []int {
	var out []int
	for i := range f.File.Statements {
		if slices.ContainsFunc(f.File.Statements[i].Directives, func(d phases.Directive) bool { return d.Name == "backfill" }) {
			out = append(out, i)
		}
	}
	return out
}

func crowdedBackfill(f *File) {
	list := f.backfills()
	if len(list) == 0 {
		return
	}
	for i := range f.File.Statements {
		if i != list[0] && f.File.Statements[i].Control == "" && !settles(&f.Assessment.Statements[i]) {
			f.Report(i, f.File.Statements[i].Span, f.Assessment.Statements[i].Phase, "a backfill runs in batches after the file is done: what else the file does does not wait for it", "")
			return
		}
	}
}

func unresumable(f *File) {
	for _, i := range f.backfills() {
		for j := range f.Assessment.Statements[i].Operations {
			op := &f.Assessment.Statements[i].Operations[j]
			message := ""
			switch op.Kind {
			case "update_all":
				message = "without a WHERE that finds the rows still to do, a batch that is repeated after a crash changes its rows twice"
			case "insert", "insert_select":
				if !resumes().MatchString(f.File.Statements[i].Text) {
					message = "a batch that is repeated after a crash inserts its rows twice"
				}
			}
			if message != "" {
				f.Report(i, f.File.Statements[i].Span, op.Phase, message, "")
			}
		}
	}
}

var resumes = pattern.Lazy(`(?is)\bon\s+conflict\b|\bnot\s+exists\b|\bexcept\b`)

func undeclared(f *File) {
	if f.Assessment.Phase != phases.Contract || f.declared() {
		return
	}
	for i := range f.Assessment.Statements {
		if f.Assessment.Statements[i].Phase == phases.Contract {
			f.Report(i, f.File.Statements[i].Span, phases.Contract, "this file is a contract and does not say so", "", Edit{Path: f.File.Path, Start: f.File.Statements[i].Span.Start.Offset, End: f.File.Statements[i].Span.Start.Offset, Text: "-- pawl:phase contract\n"})
			return
		}
	}
}

var allowanceRules = []Rule{
	{Name: "unused-allowance", Severity: Warning, Summary: "a pawl:allow of what is not there"},
	{Name: "unknown-allowance", Severity: Error, Summary: "a pawl:allow of a rule that does not exist"},
	{Name: "unexplained-allowance", Severity: Warning, Summary: "a pawl:allow without a reason"},
	{Name: "foreign-allowance", Severity: Off, Summary: "a comment of squawk or Atlas that silences pawl"},
}
