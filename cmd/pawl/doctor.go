package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/lint"
	"github.com/bitvault/pawl/migrate"
)

func newDoctorCommand(a *app) *cobra.Command {
	var r runFlags
	var export string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look whether a database is fit for migrations, or write down how large its tables are",
		Long: `doctor looks at what a migration depends on, and changes nothing: the connection, the server, the role's rights, the ledger, settings,
transactions that would be in the way, invalid indexes, the archiver, pg_stat_statements. Each is ok, warn or fail, with what to do.

With --export-stats it writes the names and sizes of the tables into a file instead, for pawl lint --stats. It reads what
PostgreSQL noted at the last VACUUM or ANALYZE: no table is locked or read, and no row is in the file.

Exit codes: 0 nothing fails; 1 something keeps pawl from migrating.`,
		Example: `  pawl doctor
  pawl doctor --format json
  pawl doctor --export-stats pawl-stats.json     # from production, now and then; pawl lint --stats reads it`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			if export != "" {
				stats, err := m.TableSizes(cmd.Context())
				if err != nil {
					return err
				}
				return a.writeStats(export, stats)
			}
			checks, err := m.Doctor(cmd.Context())
			if err != nil {
				return err
			}
			return a.printChecks(checks)
		},
	}
	cmd.Flags().StringVar(&export, "export-stats", "", "file to write the sizes of the tables into; - for standard output")
	_ = cmd.MarkFlagFilename("export-stats", "json")
	return cmd
}

// writeStats writes one table a line, so that a version control system shows what has grown.
func (a *app) writeStats(path string, stats *lint.Stats) error {
	head, err := json.Marshal(struct {
		Version  int    `json:"version"`
		Database string `json:"database"`
		Server   string `json:"server"`
		At       any    `json:"at"`
	}{stats.Version, stats.Database, stats.Server, stats.At})
	if err != nil {
		return fmt.Errorf("write the sizes of tables: %w", err)
	}
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(string(head), "}") + `,"tables":[`)
	for i := range stats.Tables {
		line, err := json.Marshal(stats.Tables[i])
		if err != nil {
			return fmt.Errorf("write the sizes of tables: %w", err)
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n  " + string(line))
	}
	b.WriteString("\n]}\n")
	if path == "-" {
		_, err := fmt.Fprint(a.stdout, b.String())
		return err
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil { //nolint:gosec // it is for everybody to read
		return fmt.Errorf("write the sizes of tables: %w", err)
	}
	fmt.Fprintf(a.stdout, "wrote %s: %d tables of %s\n", path, len(stats.Tables), stats.Database)
	return nil
}

func (a *app) printChecks(checks []migrate.Check) error {
	failed := false
	for _, c := range checks {
		failed = failed || c.Health == migrate.Ill
	}
	if a.json() {
		if err := writeJSON(a.stdout, struct {
			Version int             `json:"version"`
			Fit     bool            `json:"fit"`
			Checks  []migrate.Check `json:"checks"`
		}{1, !failed, checks}); err != nil {
			return err
		}
	} else {
		color := a.color(a.stdout)
		for _, c := range checks {
			word := fmt.Sprintf("%-4s", c.Health)
			if color {
				word = map[migrate.Health]string{migrate.Well: "\x1b[32m", migrate.Doubtful: "\x1b[33m", migrate.Ill: "\x1b[31m"}[c.Health] + word + "\x1b[0m"
			}
			fmt.Fprintf(a.stdout, "%s  %s: %s\n", word, c.Name, c.Message)
			if c.Next != "" {
				fmt.Fprintf(a.stdout, "      %s\n", c.Next)
			}
		}
	}
	if failed {
		return silentError{exitRefused}
	}
	return nil
}
