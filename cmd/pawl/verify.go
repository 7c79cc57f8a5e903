package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/evidence"
)

func newVerifyCommand(a *app) *cobra.Command {
	var manifests []string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "verify --manifest FILE",
		Short: "Check that this release suits the schema, before it starts",
		Long: `Asks PostgreSQL to prepare every statement of a release's manifest: exit 0 if the schema has what the release needs and
has not dropped what it references. Made for an initContainer with the application's own URL: one connection that only
reads, a connection pooler will do, and the role needs no rights on pawl's ledger. With them (usage on schema pawl, select
on pawl.taken) it also tells which contract dropped what is missing, and does not wait for it to come back.

Exit codes: 0 it suits; 1 it does not; 2 usage; 4 no connection.`,
		Example: `  pawl verify --manifest /app/pawl.refs.json
  pawl verify --manifest /app/pawl.refs.json --wait 5m    # the migration may still be at work`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(manifests) == 0 {
				return &usageError{message: "--manifest is needed", hint: "it is the pawl.refs.json that was built with the release"}
			}
			var list []*evidence.Manifest
			for _, path := range manifests {
				m, err := evidence.ReadManifest(path)
				if err != nil {
					return err
				}
				list = append(list, m)
			}
			config, err := a.database()
			if err != nil {
				return err
			}
			start, told := time.Now(), ""
			v, err := migrate.Verify(cmd.Context(), config, list, migrate.VerifyOptions{
				Wait: wait, Application: a.application() + " verify",
				OnWait: func(err error) {
					if err.Error() != told {
						told = err.Error()
						fmt.Fprintf(a.stderr, "waiting: %s\n", told)
					}
				},
			})
			if err != nil {
				return err
			}
			if a.json() {
				return writeJSON(a.stdout, struct {
					Version    int          `json:"version"`
					Suits      bool         `json:"suits"`
					Statements int          `json:"statements"`
					Doubtful   []misfitJSON `json:"doubtful"`
				}{1, true, v.Statements, misfits(v.Doubtful)})
			}
			for _, m := range list {
				fmt.Fprintf(a.stdout, "%s suits this schema: %d statements\n", consumerName(m.Consumer, m.Release), len(m.Statements))
			}
			if len(v.Doubtful) > 0 {
				printMisfits(a.stdout, v.Doubtful)
			}
			fmt.Fprintf(a.stdout, "asked in %s\n", round(time.Since(start)))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&manifests, "manifest", nil, "manifest of the release (pawl.refs.json); may be repeated")
	f.DurationVar(&wait, "wait", 0, "how long to wait for a schema that does not yet have what the release needs, or for the server")
	_ = cmd.MarkFlagFilename("manifest", "json")
	return cmd
}
