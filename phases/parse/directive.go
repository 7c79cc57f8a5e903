package parse

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/bitvault/pawl/phases"
)

// Directives gives the names that a `-- pawl:` comment may have.
func Directives() []string {
	return []string{"phase", "allow", "assume", "after", "backfill", "assert", "timeout", "soft-drop"}
}

const directivePrefix = "pawl:"

// directives finds the `-- pawl:` comments of the text. Only real comments count: the same words inside a string or a
// function's body are data.
func directives(text string, at *places) (found []phases.Directive, problems []phases.Problem) {
	if !strings.Contains(text, directivePrefix) {
		return nil, nil
	}
	s := scanner{src: text}
	for {
		t := s.next()
		if t.kind == tokenEOF {
			return found, problems
		}
		if t.kind != tokenComment {
			continue
		}
		body := strings.TrimPrefix(strings.TrimSuffix(strings.TrimPrefix(text[t.start:t.end], "/*"), "*/"), "--")
		rest, ok := strings.CutPrefix(strings.TrimSpace(body), directivePrefix)
		if !ok {
			continue
		}
		d := directive(rest)
		d.Span = at.span(t.start, t.end)
		if problem, hint := checkDirective(d); problem != "" {
			problems = append(problems, phases.Problem{Code: phases.DirectiveProblem, Message: problem, Hint: hint, Span: d.Span})
		}
		found = append(found, d)
	}
}

func directive(text string) phases.Directive {
	name, rest, _ := strings.Cut(text, " ")
	rest = strings.TrimSpace(rest)
	// `pawl:phase: contract` is not a directive with an empty name: the colon belongs to the name that was mistyped.
	d := phases.Directive{Name: strings.TrimSpace(name)}
	if d.Name == "assert" {
		d.Arg = strings.TrimSuffix(rest, ";")
		return d
	}
	if d.Name == "backfill" {
		backfillDirective(&d, rest)
		return d
	}
	arg, reason, _ := strings.Cut(rest, ":")
	d.Arg, d.Reason = strings.TrimSpace(arg), strings.TrimSpace(reason)
	if d.Name == "timeout" {
		d.Options = map[string]string{}
		for _, word := range strings.Fields(d.Arg) {
			key, value, _ := strings.Cut(word, "=")
			d.Options[key] = value
		}
	}
	return d
}

// checkDirective says what is wrong with a directive, and what to write instead.
func checkDirective(d phases.Directive) (problem, hint string) {
	switch d.Name {
	case "phase", "assume":
		if _, err := phases.ParsePhase(d.Arg); err != nil {
			return fmt.Sprintf("pawl:%s: %v", d.Name, err), didYouMean(d.Arg, []string{"expand", "backfill", "contract", "unknown"})
		}
		if d.Name == "assume" && d.Reason == "" {
			return "pawl:assume needs a reason", fmt.Sprintf("write `-- pawl:assume %s: why it is safe`", d.Arg)
		}
	case "allow":
		if d.Arg == "" {
			return "pawl:allow needs the name of a rule", "write `-- pawl:allow RULE: reason`"
		}
	case "after":
		if d.Arg == "" || strings.Trim(d.Arg, "0123456789") != "" {
			return fmt.Sprintf("pawl:after needs the version of a migration, not %q", d.Arg), "write `-- pawl:after 0012`"
		}
	case "assert":
		if d.Arg == "" {
			return "pawl:assert needs a query", "write `-- pawl:assert SELECT …`; it has to return true"
		}
	case "backfill":
		return checkBackfillDirective(d)
	case "timeout":
		return checkTimeout(d)
	case "soft-drop":
		if d.Arg == "" {
			return "pawl:soft-drop needs how long to keep what is dropped", "write `-- pawl:soft-drop 72h`"
		}
	default:
		return fmt.Sprintf("unknown directive pawl:%s", d.Name), didYouMean(d.Name, Directives())
	}
	return "", ""
}

// checkTimeout wants times that PostgreSQL can be told, in milliseconds. A lock_timeout of 0 would let traffic queue behind the file
// for as long as another transaction lasts; a statement_timeout of 0 has none.
func checkTimeout(d phases.Directive) (problem, hint string) {
	hint = "write `-- pawl:timeout lock=300ms statement=10min`"
	if d.Arg == "" {
		return "pawl:timeout needs a time", hint
	}
	if problem, help := checkOptions(d, []string{"lock", "statement"}, hint); problem != "" {
		return problem, help
	}
	for _, key := range []string{"lock", "statement"} {
		value, ok := d.Options[key]
		if !ok {
			continue
		}
		t, err := phases.ParseDuration(value)
		switch {
		case err != nil:
			return fmt.Sprintf("pawl:timeout: %s=%s is no time", key, value), hint
		case key == "statement" && t == 0:
		case t < time.Millisecond || t.Milliseconds() > math.MaxInt32:
			return fmt.Sprintf("pawl:timeout: %s=%s is not from 1ms to 24 days", key, value), hint
		}
	}
	return "", ""
}

func checkOptions(d phases.Directive, known []string, hint string) (problem, help string) {
	for _, word := range strings.Fields(d.Arg) {
		key, value, ok := strings.Cut(word, "=")
		if !ok || value == "" {
			return fmt.Sprintf("pawl:%s: %q is not key=value", d.Name, word), hint
		}
		if !slices.Contains(known, key) {
			help := didYouMean(key, known)
			if help == "" {
				help = hint
			}
			return fmt.Sprintf("pawl:%s: unknown option %q", d.Name, key), help
		}
	}
	return "", ""
}

func didYouMean(word string, known []string) string {
	if near := phases.Suggest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known: " + strings.Join(known, ", ")
}

// attach lists each directive again at the statement that it belongs to: the one it stands in or right behind on the
// same line, otherwise the next one.
func attach(f *phases.File) {
	if len(f.Directives) == 0 {
		return
	}
	next := 0
	for _, d := range f.Directives {
		for next < len(f.Statements) && f.Statements[next].Span.End.Offset <= d.Span.Start.Offset {
			next++
		}
		owner := next
		if behind := next - 1; behind >= 0 && f.Statements[behind].Span.End.Line == d.Span.Start.Line {
			owner = behind
		}
		if owner < len(f.Statements) {
			f.Statements[owner].Directives = append(f.Statements[owner].Directives, d)
		}
	}
}
