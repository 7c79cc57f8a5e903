package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/evidence"
)

// terminationLog is the file that Kubernetes shows as a container's last words.
const terminationLog = "/dev/termination-log"

// lastWords are what a run has to say to somebody who sees only the Job: what it did, then what it holds and why.
type lastWords struct {
	mu                   sync.Mutex
	applied, aside, held []string
	failed               []failedTarget
}

// failedTarget is one of many targets for which a run ended with an error.
type failedTarget struct {
	name string
	err  error
}

// take adds the words of one target of many.
func (l *lastWords) take(target string, from *lastWords) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, list := range []struct{ to, from *[]string }{{&l.applied, &from.applied}, {&l.aside, &from.aside}, {&l.held, &from.held}} {
		for _, text := range *list.from {
			*list.to = append(*list.to, target+": "+text)
		}
	}
}

// hear collects from what happens.
func (l *lastWords) hear(event migrate.Event) {
	switch e := event.(type) {
	case migrate.Applied:
		l.applied = append(l.applied, e.Migration.Name)
	case migrate.SetAside:
		l.aside = append(l.aside, e.Migration.Name)
	case migrate.HeldBack:
		l.held = append(l.held, heldInShort(e.Held))
	}
}

// heldInShort gives a line on a held migration and one on the worst that stands in its way.
func heldInShort(h migrate.Held) string {
	line := "held: " + h.Migration.Name
	switch {
	case h.LeftOut:
		return line + " (left to another lane)"
	case h.Behind != "":
		return fmt.Sprintf("%s (behind %s: %s)", line, h.Behind, h.Because)
	}
	for _, g := range firstGroup(explain(h.Decision)) {
		f := g.list[0]
		line += "\n  "
		if g.consumer != "" {
			line += consumerName(g.consumer, g.release) + ": " + why(f) + ": "
		}
		line += siteBeforeText(f.Site) + messageOf(f)
		if f.Next != "" {
			line += "\n  next: " + f.Next
		}
	}
	return line
}

func firstGroup(e explained) []releaseFindings {
	list, _ := e.groups()
	return list[:min(len(list), 1)]
}

// String gives the words, the important ones first: the end may be cut.
func (l *lastWords) String() string {
	var lines []string
	for _, f := range l.failed {
		lines = append(lines, fmt.Sprintf("failed: %s: %s", f.name, strings.Join(append([]string{f.err.Error()}, details(f.err)...), "\n")))
	}
	lines = append(lines, l.held...)
	for _, list := range []struct {
		what  string
		names []string
	}{{"applied", l.applied}, {"set aside", l.aside}} {
		if len(list.names) > 0 {
			lines = append(lines, fmt.Sprintf("%s: %s", list.what, strings.Join(list.names, ", ")))
		}
	}
	return strings.Join(lines, "\n")
}

// tellings gives the words as Events: one for each target that failed and each held migration, one for all that was applied.
func (l *lastWords) tellings() []evidence.Telling {
	var list []evidence.Telling
	for _, f := range l.failed {
		list = append(list, failureTelling(f.name+": ", f.err))
	}
	for _, h := range l.held {
		list = append(list, evidence.Telling{Reason: "MigrationHeld", Message: cut(h, eventLength), Warning: true})
	}
	if done := append(append([]string{}, l.applied...), l.aside...); len(done) > 0 {
		list = append(list, evidence.Telling{Reason: "MigrationsApplied", Message: cut("applied: "+strings.Join(done, ", "), eventLength)})
	}
	return list
}

// leave writes the last words where Kubernetes looks for them: into the file of --termination-log, or in a pod into the
// usual one, if it is there.
func (a *app) leave(err error) {
	path := a.flags.terminationLog
	if path == "" {
		if _, pod := a.env("POD_NAME"); !pod {
			return
		}
		if _, missing := os.Stat(terminationLog); missing != nil {
			return
		}
		path = terminationLog
	}
	text := a.words.String()
	var silent silentError
	// What was printed already is in the words, or in the log, the end of which Kubernetes takes where nothing is left.
	if err != nil && !errors.As(err, &silent) {
		text = strings.TrimSpace(strings.Join(append([]string{"pawl: " + err.Error()}, details(err)...), "\n") + "\n" + text)
	}
	if text == "" {
		return
	}
	// Nothing depends on it, and there is nobody left to tell.
	_ = os.WriteFile(path, []byte(cut(redact(text), 4096)), 0o600) //nolint:gosec // the user names the file
}

// cut keeps the beginning of a text, and never half of a character.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const dots = "…"
	text = text[:most-len(dots)]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + dots
}
