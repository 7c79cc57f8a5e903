package main

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/gate"
)

// explained is a decision as it is told to people: the gate's of this moment, or one that the ledger keeps.
type explained struct {
	allowed  bool
	findings []migrate.HeldFinding
	// until is when it can turn into an allowance by time alone; empty where time alone changes nothing.
	until string
}

func explain(d gate.Decision) explained {
	e := explained{allowed: d.Allowed, findings: migrate.FindingsOf(d)}
	if until := d.Until(); !until.IsZero() && !d.Allowed {
		e.until = until.UTC().Format("2006-01-02 15:04:05 MST")
	}
	return e
}

// releaseFindings are the findings on one release, worst first. Consumer and Release are empty for what is about no
// release.
type releaseFindings struct {
	consumer, release string
	list              []migrate.HeldFinding
}

// groups sorts the findings by release, in the order in which they come. One statement that meets several things which a
// migration takes is told once. Where something blocks, milder is what only the values decide: counted only.
func (e explained) groups() (list []releaseFindings, milder int) {
	seen := map[string]bool{}
	worst := gate.Undecided
	for _, f := range e.findings {
		worst = max(worst, f.Verdict)
	}
	for _, f := range e.findings {
		if !e.allowed && worst >= gate.Unknown && f.Verdict < gate.Unknown {
			milder++
			continue
		}
		place := fmt.Sprint(f.Consumer, f.Release, f.Site, f.Query)
		if f.Site != nil {
			place = fmt.Sprint(f.Consumer, f.Release, *f.Site, f.Query)
		}
		if f.Query != "" && seen[place] {
			continue
		}
		seen[place] = true
		i := slices.IndexFunc(list, func(g releaseFindings) bool { return g.consumer == f.Consumer && g.release == f.Release })
		if i < 0 {
			i = len(list)
			list = append(list, releaseFindings{consumer: f.Consumer, release: f.Release})
		}
		list[i].list = append(list[i].list, f)
	}
	return list, milder
}

// takes lists what the migration takes that somebody needs, each object once.
func (e explained) takes() []string {
	var list []string
	for _, f := range e.findings {
		if f.Object == nil {
			continue
		}
		text := fmt.Sprintf("%s %s", f.Object.Kind, f.Object)
		if f.Taken != "" {
			text += ": " + f.Taken
		}
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

// acknowledged lists who answers for findings, each once.
func (e explained) acknowledged() []migrate.Acknowledged {
	var list []migrate.Acknowledged
	for _, f := range e.findings {
		if a := f.Acknowledged; a != nil && !slices.ContainsFunc(list, func(o migrate.Acknowledged) bool { return o.ID == a.ID }) {
			list = append(list, *a)
		}
	}
	return list
}

// print explains the decision as text: what is taken, and for each release what stands in the way, each use with its
// place and PostgreSQL's words, then what to do and when the answer can change.
func (e explained) print(w io.Writer) {
	if !e.allowed {
		const most = 6
		takes := e.takes()
		for i, t := range takes {
			if i == most {
				fmt.Fprintf(w, "  takes … and %d more\n", len(takes)-most)
				break
			}
			fmt.Fprintf(w, "  takes %s\n", t)
		}
	}
	groups, milder := e.groups()
	for _, g := range groups {
		g.print(w, e.allowed)
	}
	if milder > 0 {
		fmt.Fprintf(w, "  and %d uses of which only the values decide whether they still work\n", milder)
	}
	for _, a := range e.acknowledged() {
		fmt.Fprintf(w, "  acknowledged: %s not needing %s, by %s\n", consumerName(a.Consumer, a.Release), a.Object, acknowledgedBy(a))
	}
	if e.until != "" {
		fmt.Fprintf(w, "  by time alone it can pass after %s\n", e.until)
	}
}

func (g releaseFindings) print(w io.Writer, allowed bool) {
	if g.consumer != "" {
		fmt.Fprintf(w, "  %s: %s\n", consumerName(g.consumer, g.release), why(g.list[0]))
	}
	most := 4
	if allowed {
		most = 1
	}
	for i, f := range g.list {
		if i == most {
			fmt.Fprintf(w, "    … and %d more\n", len(g.list)-most)
			break
		}
		fmt.Fprintf(w, "    %-8s %s%s\n", verdictWord(f), siteBeforeText(f.Site), messageOf(f))
		if f.Query != "" && !allowed {
			fmt.Fprintf(w, "             %s\n", oneLine(f.Query))
		}
	}
	if allowed {
		return
	}
	for _, next := range g.next() {
		fmt.Fprintf(w, "    next: %s\n", next)
	}
}

// next lists what to do about a release, at most three ways.
func (g releaseFindings) next() []string {
	var list []string
	for _, f := range g.list {
		if f.Next != "" && f.Acknowledged == nil && !slices.Contains(list, f.Next) {
			list = append(list, f.Next)
		}
	}
	return list[:min(len(list), 3)]
}

func verdictWord(f migrate.HeldFinding) string {
	if f.Acknowledged != nil {
		return f.Verdict.String() + " (acknowledged)"
	}
	return f.Verdict.String()
}

func messageOf(f migrate.HeldFinding) string {
	if f.Code != "" {
		return fmt.Sprintf("%s (%s)", f.Message, f.Code)
	}
	return f.Message
}

func siteBeforeText(s *gate.Site) string {
	if s == nil {
		return ""
	}
	return siteBefore(*s)
}

// acknowledgedBy says who answers for a finding, since when, until when and why.
func acknowledgedBy(a migrate.Acknowledged) string {
	return fmt.Sprintf("%s on %s, until %s: %s (%d)", a.By, minute(a.At), minute(a.Until), a.Reason, a.ID)
}

// why says for what reasons a release counts.
func why(f migrate.HeldFinding) string {
	if strings.HasPrefix(f.Consumer, gate.RolePrefix) {
		return "a login role that belongs to no consumer"
	}
	if len(f.Why) == 0 {
		return "not known where it runs"
	}
	return reasons(f.Why, f.Since, f.Until, f.Where)
}

// reasons says why a release counts: what the log says, then in what it runs.
func reasons(list []gate.Eligibility, since, until *time.Time, where []string) string {
	var parts []string
	for _, w := range list {
		if w != gate.WhyFleet || len(where) == 0 {
			parts = append(parts, string(w))
		}
	}
	text := strings.Join(parts, ", ")
	if since != nil && text != "" {
		text += " since " + minute(*since)
	}
	if until != nil {
		text += ", until " + minute(*until)
	}
	return strings.Join(append(nonEmpty([]string{text}), where...), "; ")
}

// markdown explains decisions for a comment on a pull request.
func markdown(w io.Writer, title string, list []migrationJSON) {
	blocked := 0
	for _, m := range list {
		if m.Allowed != nil && !*m.Allowed {
			blocked++
		}
	}
	switch {
	case len(list) == 0:
		fmt.Fprintf(w, "### %s: nothing is pending\n", title)
	case blocked == 0:
		fmt.Fprintf(w, "### %s: all %d migrations may go through\n", title, len(list))
	default:
		fmt.Fprintf(w, "### %s: %d of %d migrations may not go through yet\n", title, blocked, len(list))
	}
	for _, m := range list {
		m.markdown(w)
	}
}

func (m migrationJSON) markdown(w io.Writer) {
	allowed := m.Allowed == nil || *m.Allowed
	word := "allowed"
	if !allowed {
		word = "**blocked**"
	}
	fmt.Fprintf(w, "\n#### %s: %s (%s, %s)\n", code(cmp.Or(m.Name, m.Version)), word, m.Phase, cmp.Or(m.Verdict, "not asked"))
	if m.Behind != "" {
		fmt.Fprintf(w, "\nIt stands behind %s, which is held: %s.\n", m.Behind, cell(m.Because))
		return
	}
	e := explained{allowed: allowed, findings: m.Findings}
	if len(e.findings) == 0 {
		return
	}
	fmt.Fprintln(w)
	for _, t := range e.takes() {
		fmt.Fprintf(w, "- takes %s\n", cell(t))
	}
	groups, milder := e.groups()
	fmt.Fprint(w, "\n| who | counts because | verdict | where | why |\n|---|---|---|---|---|\n")
	var steps []string
	const most = 20
	for _, g := range groups {
		for i, f := range g.list {
			who := ""
			if g.consumer != "" {
				who = code(consumerName(g.consumer, g.release))
			}
			if i == most {
				fmt.Fprintf(w, "| %s | | | | … and %d more |\n", who, len(g.list)-most)
				break
			}
			place := ""
			if f.Site != nil {
				place = code(fmt.Sprintf("%s:%d", f.Site.File, f.Site.Line))
			}
			text := cell(messageOf(f))
			if f.Query != "" {
				text += "<br>" + code(oneLine(f.Query))
			}
			reason := ""
			if g.consumer != "" {
				reason = why(f)
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", who, cell(reason), verdictWord(f), place, text)
		}
		for _, next := range g.next() {
			if !slices.Contains(steps, next) {
				steps = append(steps, next)
			}
		}
	}
	if milder > 0 {
		fmt.Fprintf(w, "\nAnd %d uses of which only the values decide whether they still work.\n", milder)
	}
	for _, a := range e.acknowledged() {
		fmt.Fprintf(w, "\nAcknowledged: %s not needing %s, by %s\n", code(consumerName(a.Consumer, a.Release)), code(a.Object), cell(acknowledgedBy(a)))
	}
	if !allowed && len(steps) > 0 {
		fmt.Fprint(w, "\n**What to do**\n\n")
		for _, next := range steps {
			fmt.Fprintf(w, "- %s\n", cell(next))
		}
	}
	if m.Until != nil {
		fmt.Fprintf(w, "\nBy time alone it can pass after %s.\n", minute(*m.Until))
	}
}

// cell keeps a text from ending the cell that it stands in, or from being read as HTML.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "&#39;", "'", "&#34;", `"`).Replace(html.EscapeString(text))
}

// code shows a text as code in Markdown, whatever it holds.
func code(text string) string {
	text = strings.NewReplacer("|", `\|`, "\n", " ").Replace(text)
	if strings.Contains(text, "`") {
		return "`` " + text + " ``"
	}
	return "`" + text + "`"
}
