package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/migrate"
)

func newAdoptCommand(a *app) *cobra.Command {
	var r runFlags
	var o migrate.AdoptOptions
	var baseline string
	cmd := &cobra.Command{
		Use:   "adopt [--baseline VERSION] [--apply]",
		Short: "Take a database over that another tool, or somebody by hand, has migrated so far",
		Long: `Reads the history that another migration tool keeps, compares its checksums with the files, and says what would be recorded as
applied. With --apply it is recorded, with when and by whom it was applied, and with a fingerprint of the schema, by which
pawl status --drift tells later what was changed past pawl. The other tool's table is only read, and its files are read as
they are from then on.

It knows goose, golang-migrate, tern, dbmate, Flyway, Liquibase, sqlx, Prisma, Atlas, Rails, Django and Ecto, and finds their
table in the search path by its columns. A history that says that something failed is refused until that is put right.
Files of Liquibase and Prisma that had no number and get one are found by their checksums.

With --baseline, every file up to VERSION counts as applied, whatever made it. With --baseline 0 none does, for a database that has
tables of others, such as an audit's, before the first migration is applied.

Exit codes: 0 done, or shown; 1 refused; 2 usage; 5 a file is not what was applied.`,
		Example: `  pawl adopt                            # what would be taken over
  pawl adopt --apply
  pawl adopt --from flyway --table history.flyway_schema_history --apply
  pawl adopt --baseline 0042 --apply    # a database whose tables were made by other means`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if baseline != "" {
				v, ok := migrate.ParseVersion(baseline)
				if !ok {
					return &usageError{message: fmt.Sprintf("--baseline %s is no version; give the last migration that the database has already", baseline)}
				}
				o.Baseline = v
			}
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			adoption, err := m.Adopt(cmd.Context(), o)
			if err != nil {
				return err
			}
			if a.json() {
				return a.adoptionJSON(adoption)
			}
			again := "pawl adopt"
			for _, flag := range []string{"from", "table", "baseline"} {
				if value := cmd.Flag(flag).Value.String(); value != "" {
					again += " --" + flag + " " + value
				}
			}
			if o.AcceptChanged {
				again += " --accept-changed"
			}
			if o.Baseline == "0" && len(adoption.Adopted) == 0 && !adoption.Written {
				fmt.Fprintf(a.stdout, "none of these migrations counts as applied; `%s --apply` records that\n", again)
				return nil
			}
			a.printAdoption(adoption, again+" --apply")
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Tool, "from", "", "the tool whose history it is (default: the columns of its table tell)")
	f.StringVar(&o.Table, "table", "", "the tool's table, where it has another name than usual or stands outside of the search path")
	f.StringVar(&baseline, "baseline", "", "the last migration that the database has already; 0 for none")
	f.BoolVar(&o.AcceptChanged, "accept-changed", false, "take files over that differ from what was applied; it is recorded")
	f.BoolVar(&o.Write, "apply", false, "record it; without this nothing is written")
	f.DurationVar(&r.wait, "wait", 10*time.Minute, "how long to wait for another pawl at work")
	_ = cmd.RegisterFlagCompletionFunc("from", cobra.FixedCompletions(migrate.Tools(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// printAdoption shows what was taken over, or would be by the command apply.
func (a *app) printAdoption(d *migrate.Adoption, apply string) {
	if d.Tool != "" {
		fmt.Fprintf(a.stdout, "%s's history is in %s\n", d.Tool, d.Table)
	}
	word := "would record"
	if d.Written {
		word = "recorded    "
	}
	for _, one := range d.Adopted {
		line := fmt.Sprintf("%s  %s", word, one.Name)
		if !one.At.IsZero() {
			line += "  applied " + one.At.UTC().Format("2006-01-02 15:04 MST")
		}
		if one.By != "" {
			line += " by " + one.By
		}
		switch one.Checksum {
		case migrate.ChecksumVerified:
			line += ", checksum verified"
		case migrate.ChecksumChanged:
			line += ", changed since, and accepted"
		case migrate.ChecksumUnread:
			line += ", checksum not compared"
		}
		if one.Migration == nil {
			line += "  (no file here)"
		}
		fmt.Fprintln(a.stdout, line)
	}
	for _, f := range d.Pending {
		fmt.Fprintf(a.stdout, "pending       %s\n", f.Name)
	}
	for _, n := range d.Notes {
		fmt.Fprintf(a.stdout, "note: %s\n", n)
	}
	if d.Known > 0 {
		fmt.Fprintf(a.stdout, "%d are in the ledger already\n", d.Known)
	}
	switch {
	case d.Written:
		fmt.Fprintf(a.stdout, "%d recorded as applied; the schema's fingerprint is %.12s. `pawl migrate` applies the rest\n", len(d.Adopted), d.Fingerprint)
	case len(d.Adopted) == 0:
		fmt.Fprintln(a.stdout, "there is nothing to record")
	default:
		fmt.Fprintf(a.stdout, "nothing is written; `%s` records these %d as applied\n", apply, len(d.Adopted))
	}
}

func (a *app) adoptionJSON(d *migrate.Adoption) error {
	type one struct {
		Version   string     `json:"version"`
		Name      string     `json:"name"`
		Origin    string     `json:"origin"`
		AppliedAt *time.Time `json:"applied_at,omitempty"`
		AppliedBy string     `json:"applied_by,omitempty"`
		Checksum  string     `json:"checksum"`
		FileHere  bool       `json:"file_here"`
	}
	out := struct {
		Version     int      `json:"version"`
		Database    string   `json:"database"`
		Tool        string   `json:"tool,omitempty"`
		Table       string   `json:"table,omitempty"`
		Written     bool     `json:"written"`
		Migrations  []one    `json:"migrations"`
		Known       int      `json:"known"`
		Pending     []string `json:"pending"`
		Notes       []string `json:"notes"`
		Fingerprint string   `json:"fingerprint,omitempty"`
	}{1, d.Database, d.Tool, d.Table, d.Written, []one{}, d.Known, []string{}, nonEmpty(d.Notes), d.Fingerprint}
	for _, m := range d.Adopted {
		j := one{label(m.Migration, m.Version), m.Name, m.Origin, nil, m.By, string(m.Checksum), m.Migration != nil}
		if !m.At.IsZero() {
			at := m.At.UTC()
			j.AppliedAt = &at
		}
		out.Migrations = append(out.Migrations, j)
	}
	for _, f := range d.Pending {
		out.Pending = append(out.Pending, f.Name)
	}
	if out.Notes == nil {
		out.Notes = []string{}
	}
	return writeJSON(a.stdout, out)
}
