package lint

import (
	"slices"
	"strings"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases"
)

// allowance is one comment that silences findings of one statement.
type allowance struct {
	span phases.Span
	// by is whose comment it is: pawl, squawk or atlas.
	by     string
	rules  []string
	all    bool
	reason string
	// statement is the number of the one statement it speaks for; -1 for the whole file.
	statement int
	used      []bool
}

func (a *allowance) covers(rule string, statement int) (int, bool) {
	if a.statement >= 0 && a.statement != statement {
		return 0, false
	}
	if a.all {
		return 0, true
	}
	i := slices.Index(a.rules, rule)
	return i, i >= 0
}

// suppress takes out the findings that comments allow, and adds those about the comments themselves.
func (f *File) suppress() []Finding {
	list := f.allowances()
	if len(list) > 0 {
		f.found = slices.DeleteFunc(f.found, func(c candidate) bool {
			for i := range list {
				if n, ok := list[i].covers(c.Rule, c.statement); ok {
					list[i].used[n] = true
					f.linter.summary.Suppressed[list[i].by]++
					return true
				}
			}
			return false
		})
		for i := range list {
			f.judge(&list[i])
		}
	}
	if len(f.found) == 0 {
		return nil
	}
	f.sorted()
	out := make([]Finding, len(f.found))
	for i := range f.found {
		out[i] = f.found[i].Finding
	}
	return out
}

// allowances collects the comments of the file that silence something.
func (f *File) allowances() []allowance {
	var out []allowance
	for i := range f.File.Directives {
		d := &f.File.Directives[i]
		if d.Name != "allow" {
			continue
		}
		a := allowance{span: d.Span, by: "pawl", reason: d.Reason, statement: f.statementOf(d.Span)}
		for name := range strings.FieldsFuncSeq(d.Arg, func(r rune) bool { return r == ',' || r == ' ' }) {
			a.rules = append(a.rules, name)
		}
		a.used = make([]bool, max(1, len(a.rules)))
		out = append(out, a)
	}
	return append(out, f.foreign()...)
}

// statementOf finds the statement that a comment speaks for: the one it stands in or right behind, otherwise the next one, and
// none behind the last. In a file without statements it speaks for the file.
func (f *File) statementOf(at phases.Span) int {
	list := f.File.Statements
	next, _ := slices.BinarySearchFunc(list, at.Start.Offset, func(s phases.Statement, offset int) int {
		if s.Span.End.Offset <= offset {
			return -1
		}
		return 1
	})
	if behind := next - 1; behind >= 0 && list[behind].Span.End.Line == at.Start.Line {
		return behind
	}
	if len(list) == 0 {
		return -1
	}
	return next
}

var foreignComment = pattern.Lazy(`(?:--|/\*)[ \t]*(squawk-ignore(?:-file)?|atlas:nolint)\b[ \t]*([^\r\n*]*)(?:\*/)?`)

// foreign collects the comments of other linters.
func (f *File) foreign() []allowance {
	text := f.File.Text
	if !strings.Contains(text, "squawk-ignore") && !strings.Contains(text, "atlas:nolint") {
		return nil
	}
	var out []allowance
	at := phases.Position{Line: 1, Column: 1}
	for _, m := range foreignComment().FindAllStringSubmatchIndex(text, -1) {
		start := advance(text, at, m[0])
		at = start
		a := allowance{span: phases.Span{Start: start, End: advance(text, start, m[1])}, by: "squawk"}
		word, rest := text[m[2]:m[3]], text[m[4]:m[5]]
		known := squawkRules
		a.statement = f.statementOf(a.span)
		switch word {
		case "squawk-ignore-file":
			a.statement = -1
		case "atlas:nolint":
			a.by, known = "atlas", atlasRules
			// At the head of the file, apart from what follows, it speaks for the whole file.
			if strings.TrimSpace(text[:m[0]]) == "" && strings.HasPrefix(strings.ReplaceAll(text[m[1]:], "\r", ""), "\n\n") {
				a.statement = -1
			}
		}
		named := false
		for _, name := range strings.FieldsFunc(rest, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
			if mine, ok := known[name]; ok {
				named = true
				a.rules = append(a.rules, mine...)
			} else if a.by == "squawk" && strings.Contains(name, "-") || a.by == "atlas" {
				// A rule that has no counterpart here silences nothing here.
				named = true
			}
		}
		a.all = !named
		a.used = make([]bool, max(1, len(a.rules)))
		out = append(out, a)
	}
	return out
}

// advance moves a position on to an offset behind it.
func advance(text string, p phases.Position, offset int) phases.Position {
	for _, r := range text[p.Offset:offset] {
		if r == '\n' {
			p.Line++
			p.Column = 1
		} else {
			p.Column++
		}
	}
	p.Offset = offset
	return p
}

// judge says what is wrong with an allowance.
func (f *File) judge(a *allowance) {
	report := func(rule, message, help string, edits ...Edit) {
		i, ok := f.linter.number[rule]
		if !ok || f.severities[i] == Off {
			return
		}
		f.rule = i
		f.Report(-1, a.span, f.Assessment.Phase, message, help, edits...)
	}
	if a.by != "pawl" {
		f.judgeForeign(a, report)
		return
	}
	if a.reason == "" {
		report("unexplained-allowance", "the allowance of "+strings.Join(a.rules, ", ")+" gives no reason",
			"say behind a colon why it is safe here: `-- pawl:allow "+strings.Join(a.rules, ", ")+": the table has 40 rows`")
	}
	for i, name := range a.rules {
		n, ok := f.linter.number[name]
		switch {
		case !ok:
			help := "`pawl explain` lists the rules"
			if near := phases.Suggest(name, f.linter.names()); near != "" {
				help = "did you mean " + near + "?"
			}
			report("unknown-allowance", "there is no rule "+name+" to allow", help)
		case !a.used[i] && f.severities[n] != Off:
			var edits []Edit
			if len(a.rules) == 1 {
				edits = []Edit{f.deleteLine(a.span)}
			}
			report("unused-allowance", "nothing here is a case of "+name+", which the comment allows", "take the comment out", edits...)
		}
	}
}

func (f *File) judgeForeign(a *allowance, report func(rule, message, help string, edits ...Edit)) {
	var used []string
	for i, name := range a.rules {
		if a.used[i] {
			used = append(used, name)
		}
	}
	if len(used) == 0 {
		report("foreign-allowance", "a comment for "+a.by+" that silences nothing of pawl's", "keep it for as long as "+a.by+" reads these files")
		return
	}
	report("foreign-allowance", "a comment for "+a.by+" silences "+strings.Join(used, ", "),
		"write `-- pawl:allow "+strings.Join(used, ", ")+": reason` above the statement")
}

// deleteLine gives the edit that takes a comment out, with its line where nothing else stands in it.
func (f *File) deleteLine(s phases.Span) Edit {
	text := f.File.Text
	start, end := s.Start.Offset, s.End.Offset
	before := strings.LastIndexByte(text[:start], '\n') + 1
	after := end
	for after < len(text) && (text[after] == ' ' || text[after] == '\r' || text[after] == '\t') {
		after++
	}
	if strings.TrimSpace(text[before:start]) == "" && (after == len(text) || text[after] == '\n') {
		start, end = before, min(after+1, len(text))
	}
	return Edit{Path: f.File.Path, Start: start, End: end}
}

func (l *Linter) names() []string {
	out := make([]string, len(l.rules))
	for i := range l.rules {
		out[i] = l.rules[i].Name
	}
	return out
}
