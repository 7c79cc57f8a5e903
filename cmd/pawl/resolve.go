package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/migrate"
)

func newResolveCommand(a *app) *cobra.Command {
	var r runFlags
	var applied, not bool
	var reason, shadow string
	cmd := &cobra.Command{
		Use:   "resolve VERSION [(--applied | --not-applied) --reason TEXT]",
		Short: "Say what became of an interrupted statement where the catalog cannot tell",
		Long: `Without an answer, shows what the migration changes and which of it is there: the applied files, and then this one, are run
on a throwaway server, and the schemas compared. Nothing is written to the database.

With an answer, records it with who gave it and why. An answer that the catalog disproves is refused; what it proves,
pawl repair records.

Exit codes: 0 shown, or recorded; 1 refused; 2 usage; 3 what the migration gives cannot be told.`,
		Example: `  pawl resolve 0042                        # what it changes, and which of that is there
  pawl resolve 0042 --shadow postgres://…  # the throwaway database on that server
  pawl resolve 0042 --not-applied --reason "the server log shows that it was cancelled"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			v, ok := migrate.ParseVersion(args[0])
			switch {
			case !ok || applied && not:
				return &usageError{message: "give one VERSION, and one of --applied and --not-applied; or neither, to see what there is"}
			case !applied && !not && reason != "":
				return &usageError{message: "--reason goes with --applied or --not-applied"}
			}
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			if !applied && !not {
				return a.showUnresolved(cmd.Context(), m, v, shadow)
			}
			if err := m.Resolve(cmd.Context(), v, applied, reason); err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, "recorded; run `pawl migrate` to go on")
			return nil
		},
	}
	cmd.Flags().BoolVar(&applied, "applied", false, "the statement took effect")
	cmd.Flags().BoolVar(&not, "not-applied", false, "it did not, or what it left is cleaned up")
	cmd.Flags().StringVar(&reason, "reason", "", "how you know; it is recorded")
	cmd.Flags().StringVar(&r.by, "by", "", "who you are (default: the user that CI or the system names)")
	cmd.Flags().StringVar(&shadow, "shadow", "embedded", "where the throwaway database is made: embedded, or the URL of a server")
	cmd.Flags().DurationVar(&r.wait, "wait", 10*time.Minute, "how long to wait for another pawl at work")
	return cmd
}

func (a *app) showUnresolved(ctx context.Context, m *migrate.Migrator, v migrate.Version, where string) error {
	u, err := m.Unresolved(ctx, v, migrate.DriftOptions{Shadow: func(ctx context.Context, needs migrate.ShadowNeeds) (*migrate.Shadow, error) {
		return driftShadow(ctx, where, needs)
	}})
	if err != nil {
		return err
	}
	if a.json() {
		return a.unresolvedJSON(u)
	}
	fmt.Fprintf(a.stdout, "%s was begun in database %s, and its end was not seen\n", u.Name, u.Database)
	if u.Proved != "" {
		fmt.Fprintf(a.stdout, "proved: %s; `pawl repair` goes by that\n", u.Proved)
	}
	if len(u.Gives) > 0 {
		fmt.Fprintf(a.stdout, "what it changes, by %s:\n", u.Against)
	}
	for _, g := range u.Gives {
		word := "not there"
		switch {
		case g.Added && g.Done:
			word = "there"
		case !g.Added && g.Done:
			word = "gone"
		case !g.Added:
			word = "still there"
		}
		sign := "-"
		if g.Added {
			sign = "+"
		}
		fmt.Fprintf(a.stdout, "  %-11s  %s %s\n", word, sign, oneLine(g.Line))
	}
	if len(u.Others) > 0 {
		what := "what else is otherwise than the files say"
		if len(u.Gives) == 0 {
			what = "against " + u.Against
		}
		fmt.Fprintf(a.stdout, "%s (+ is in the database alone, - is what it lacks):\n", what)
	}
	for _, d := range u.Others {
		fmt.Fprintf(a.stdout, "  %s\n", d)
	}
	for _, n := range u.Notes {
		fmt.Fprintf(a.stdout, "note: %s\n", n)
	}
	switch done := u.Done(); {
	case len(u.Gives) == 0:
		fmt.Fprintln(a.stdout, "the catalog shows nothing that it changes: the server's log, or the rows, have to tell")
	case done == len(u.Gives):
		fmt.Fprintln(a.stdout, "all of it is there: --applied, unless it also changes rows that are not")
	case done == 0:
		fmt.Fprintln(a.stdout, "nothing of it is there: --not-applied, unless it also changes rows that are")
	default:
		fmt.Fprintf(a.stdout, "%d of %d are there: do the rest or undo this by hand first, then say which\n", done, len(u.Gives))
	}
	return nil
}

func (a *app) unresolvedJSON(u *migrate.Unresolved) error {
	type given struct {
		Change string `json:"change"`
		Line   string `json:"line"`
		Done   bool   `json:"done"`
	}
	type other struct {
		Change string `json:"change"`
		Line   string `json:"line"`
	}
	out := struct {
		Version  int      `json:"version"`
		Database string   `json:"database"`
		Name     string   `json:"name"`
		Proved   string   `json:"proved,omitempty"`
		Against  string   `json:"against"`
		Gives    []given  `json:"gives"`
		Others   []other  `json:"others"`
		Notes    []string `json:"notes"`
	}{1, u.Database, u.Name, u.Proved, u.Against, []given{}, []other{}, append([]string{}, u.Notes...)}
	for _, g := range u.Gives {
		change := "takes"
		if g.Added {
			change = "makes"
		}
		out.Gives = append(out.Gives, given{change, g.Line, g.Done})
	}
	for _, d := range u.Others {
		change := "missing"
		if d.Added {
			change = "extra"
		}
		out.Others = append(out.Others, other{change, d.Line})
	}
	return writeJSON(a.stdout, out)
}
