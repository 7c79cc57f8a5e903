package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/migrate"
)

func newSoftDropCommand(a *app) *cobra.Command {
	var r runFlags
	cmd := &cobra.Command{
		Use:   "soft-drop",
		Short: "Show what is set aside before it is dropped, or bring it back",
		Long: `A migration with -- pawl:soft-drop 72h renames the columns or the table that it drops, and drops them in the first run after
that time. A run brings them back if a release that may run, or is being deployed, has a statement that fails for want of
them, or if a table is used under its other name. Statements that fail leave no trace in the database: if you see them in
a log, undo it here.`,
		Example: `  pawl soft-drop
  pawl soft-drop undo 0042 --reason "the nightly report fails"
  pawl soft-drop again 0042 --reason "the report is mended"`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return subcommand(cmd, args)
			}
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			list, err := m.SoftDrops(cmd.Context())
			if err != nil {
				return err
			}
			return a.printSoftDrops(list)
		},
	}
	cmd.AddCommand(newSoftDropStep(a, "undo", "Bring back what a migration has set aside"), newSoftDropStep(a, "again", "Let a migration set aside again what was brought back"))
	return cmd
}

func newSoftDropStep(a *app, use, short string) *cobra.Command {
	var r runFlags
	var reason, by string
	cmd := &cobra.Command{
		Use:     use + " VERSION --reason TEXT",
		Short:   short,
		Example: fmt.Sprintf(`  pawl soft-drop %s 0042 --reason "…"`, use),
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			v, ok := migrate.ParseVersion(args[0])
			if !ok || reason == "" {
				return &usageError{message: "give the VERSION of a migration and --reason TEXT: it is recorded with who gave it"}
			}
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			if use == "undo" {
				return m.UndoSoftDrop(cmd.Context(), v, reason, a.person(by))
			}
			if err := m.AgainSoftDrop(cmd.Context(), v, reason); err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, "recorded; the next run asks the gate and sets it aside again")
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is recorded")
	cmd.Flags().StringVar(&by, "by", "", "who you are (default: the user that CI or the system names)")
	cmd.Flags().DurationVar(&r.wait, "wait", 10*time.Minute, "how long to wait for another pawl at work")
	return cmd
}

func (a *app) printSoftDrops(list []migrate.SoftDrop) error {
	if a.json() {
		type item struct {
			Version    string          `json:"version"`
			Name       string          `json:"name"`
			State      string          `json:"state"`
			SetAsideAt time.Time       `json:"set_aside_at"`
			DueAt      time.Time       `json:"due_at"`
			Objects    []migrate.Aside `json:"objects"`
			Reason     string          `json:"reason,omitempty"`
			By         string          `json:"by,omitempty"`
		}
		out := []item{}
		for _, d := range list {
			out = append(out, item{string(d.Version), d.Name, d.State, d.SetAsideAt.UTC(), d.DueAt.UTC(), d.Objects, d.Reason, d.By})
		}
		return writeJSON(a.stdout, struct {
			Version   int    `json:"version"`
			SoftDrops []item `json:"soft_drops"`
		}{1, out})
	}
	if len(list) == 0 {
		fmt.Fprintln(a.stdout, "nothing is set aside")
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MIGRATION\tSTATE\tOBJECT\tMEANWHILE\tDROPPED AFTER\tREASON")
	for _, d := range list {
		for _, o := range d.Objects {
			object := o.Schema + "." + o.Relation
			if o.Column != "" {
				object += "." + o.Column
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.Name, d.State, object, o.Name, minute(d.DueAt), d.Reason)
		}
	}
	return w.Flush()
}
