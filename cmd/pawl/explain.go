package main

import (
	"fmt"
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
	fmt.Fprintln(a.stdout, r.Summary)
	return nil
}
