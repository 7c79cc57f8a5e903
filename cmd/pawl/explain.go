package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/lint"
	"github.com/bitvault/pawl/phases"
)

func newExplainCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "explain [RULE]",
		Short: "Explain a rule of lint: why it matters, and how to do it safely",
		Long: `explain shows the page of a rule: what goes wrong, an example, and the files of the safe way step by step. Without a rule it
lists them all.`,
		Example: `  pawl explain
  pawl explain blocking-index`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return lint.Names(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listRules()
			}
			return a.explain(args[0])
		},
	}
}

func (a *app) listRules() error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	group := ""
	for _, r := range lint.Rules() {
		if r.Group != group {
			group = r.Group
			fmt.Fprintf(w, "\n%s\n", group)
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", r.Name, r.Severity, r.Summary)
	}
	return w.Flush()
}

func (a *app) explain(name string) error {
	r, ok := lint.Find(name)
	if !ok {
		hint := "`pawl explain` lists the rules"
		if near := phases.Suggest(name, lint.Names()); near != "" {
			hint = fmt.Sprintf("did you mean `pawl explain %s`?", near)
		}
		return &usageError{message: fmt.Sprintf("there is no rule %q", name), hint: hint}
	}
	page := lint.Page(name)
	if page == "" {
		page = fmt.Sprintf("# %s\n\n%s.\n\n%s\n", r.Name, r.Summary, r.Help)
	}
	return showPage(a.stdout, r, page, a.color(a.stdout))
}

// showPage writes a page of Markdown for a terminal: headings and code stand out, and what only the tests read is left out.
func showPage(w io.Writer, r lint.Rule, page string, color bool) error {
	paint := func(style, text string) string {
		if !color || text == "" {
			return text
		}
		return style + text + "\x1b[0m"
	}
	var b strings.Builder
	code, kind := false, ""
	for line := range strings.SplitSeq(strings.TrimRight(page, "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			code = !code
			if code {
				kind = ""
				if words := strings.Fields(line); len(words) > 1 {
					kind = words[1]
				}
				switch kind {
				case "bad":
					b.WriteString("  " + paint("\x1b[31m", "bad:") + "\n")
				case "good":
					b.WriteString("  " + paint("\x1b[32m", "good:") + "\n")
				case "setup":
					b.WriteString("  with:\n")
				}
			}
		case code && strings.HasPrefix(line, "-- want "):
		case code:
			style := "\x1b[36m"
			if strings.HasPrefix(strings.TrimSpace(line), "--") {
				style = "\x1b[2m"
			}
			b.WriteString("    " + paint(style, line) + "\n")
		case strings.HasPrefix(line, "# "):
			b.WriteString(paint("\x1b[1m", line[2:]) + "  (" + r.Group + ", " + r.Severity.String() + ")\n")
		case strings.HasPrefix(line, "## "):
			b.WriteString(paint("\x1b[1m", line[3:]) + "\n")
		default:
			b.WriteString(line + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
