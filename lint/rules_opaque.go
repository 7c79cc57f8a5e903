package lint

import (
	"slices"
	"strings"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases"
)

var opaqueRules = []Rule{
	{
		Name: "syntax-error", Severity: Error, File: problems(phases.SyntaxProblem),
		Summary: "text that PostgreSQL cannot read",
		Help:    "Nothing is known about this statement; the rest of the file and the other files are judged all the same.",
	},
	{
		Name: "unreadable-file", Severity: Error, File: problems(phases.EncodingProblem),
		Summary: "a file that is not text in UTF-8",
		Help:    "Save it as UTF-8.",
	},
	{
		Name: "psql-command", Severity: Error, File: problems(phases.MetaCommandProblem),
		Summary: "a command of psql, which is not SQL",
	},
	{
		Name: "opaque-statement", Severity: Warning, Kinds: kinds(phases.Opaque, "copy_to_program"), When: func(o *Op) bool { return !o.assumed() && !o.misspelt() },
		Summary: "a statement that cannot be seen through",
		Message: "what this does is made up when it runs: nothing is known about it, so it is taken for a contract",
		Help:    "Write it as plain SQL, or say what it does: `-- pawl:assume expand: reason`.",
	},
	{
		Name: "unknown-call", Severity: Warning, Kinds: kinds("call_unknown"), When: func(o *Op) bool { return !o.assumed() },
		Summary: "a call of a function that no file defines",
		Message: "no file defines {object}: what calling it does cannot be told",
		Help:    "Write out what it does, or say it: `-- pawl:assume expand: reason`.",
	},
}

// assumed reports whether the statement says itself what it does.
func (o *Op) assumed() bool {
	return slices.ContainsFunc(o.File.File.Statements[o.Statement].Directives, func(d phases.Directive) bool { return d.Name == "assume" && d.Reason != "" })
}

// misspelt reports whether the statement is opaque because it cannot be read, which syntax-error says already.
func (o *Op) misspelt() bool {
	span := o.File.File.Statements[o.Statement].Span
	return slices.ContainsFunc(o.File.File.Problems, func(p phases.Problem) bool {
		return (p.Code == phases.SyntaxProblem || p.Code == phases.EncodingProblem) && p.Span.Start.Offset >= span.Start.Offset && p.Span.Start.Offset <= span.End.Offset
	})
}

var placeholder = pattern.Lazy(`\$\{\w+\}|\{\{.*\}\}|%\(\w+\)s`)

// problems reports what the parser noted.
func problems(code phases.ProblemCode) func(*File) {
	return func(f *File) {
		for i := range f.File.Problems {
			p := &f.File.Problems[i]
			if p.Code != code {
				continue
			}
			help := p.Hint
			if code == phases.SyntaxProblem && help == "" {
				line := f.File.Text[p.Span.Start.Offset-min(p.Span.Start.Offset, 40):]
				if m := placeholder().FindString(line[:min(len(line), 120)]); m != "" && !strings.Contains(m, "\n") {
					help = m + " is filled in by another tool before PostgreSQL sees it: lint the text that it makes"
				}
			}
			f.Report(f.statementOf(p.Span), p.Span, phases.Unknown, p.Message, help)
		}
	}
}
