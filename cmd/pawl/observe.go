package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/refs"
)

func newObserveCommand(a *app) *cobra.Command {
	var r runFlags
	cmd := &cobra.Command{
		Use:   "observe",
		Short: "Take a snapshot of pg_stat_statements, and report what no manifest explains",
		Long: `Reads pg_stat_statements of the database into the ledger. A statement that a consumer's role sent and that no manifest of the
consumer has makes its manifests partial: something is missing in them, and contracts wait until it is not. What is
observed can hold a contract and never lets one through. Run it often, from a CronJob: statistics are reset and evicted.

Whose a role is stands in pawl.yaml (consumers: {api: {roles: [api]}}) or is said by pawl release roles.

Exit codes: 0 all is explained; 1 something is not.`,
		Example: "  pawl observe\n  pawl observe --format json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			o, err := m.Observe(cmd.Context(), func(m *evidence.Manifest) func(string) bool { return refs.NewExplainer(m).Explains })
			if err != nil {
				return err
			}
			if err := a.printObservation(o); err != nil {
				return err
			}
			if len(o.Unexplained) > 0 {
				return silentError{exitRefused}
			}
			return nil
		},
	}
	return cmd
}

func (a *app) printObservation(o *evidence.Observation) error {
	if a.json() {
		type statement struct {
			Consumer  string    `json:"consumer"`
			Role      string    `json:"role"`
			Query     string    `json:"query"`
			Calls     int64     `json:"calls"`
			FirstSeen time.Time `json:"first_seen"`
			LastSeen  time.Time `json:"last_seen"`
		}
		list := []statement{}
		for _, u := range o.Unexplained {
			list = append(list, statement{u.Consumer, u.Role, u.Text, u.Calls, u.FirstSeen.UTC(), u.LastSeen.UTC()})
		}
		return writeJSON(a.stdout, struct {
			Version     int         `json:"version"`
			At          time.Time   `json:"at"`
			Statements  int         `json:"statements"`
			Hidden      int         `json:"hidden"`
			New         int         `json:"new"`
			Unexplained []statement `json:"unexplained"`
			Strangers   []string    `json:"strangers"`
			Problems    []string    `json:"problems"`
		}{1, o.At.UTC(), o.Statements, o.Hidden, o.New, list, append([]string{}, o.Strangers...), append([]string{}, o.Problems...)})
	}
	fmt.Fprintf(a.stdout, "%d statements read, %d of them new\n", o.Statements, o.New)
	for _, u := range o.Unexplained {
		fmt.Fprintf(a.stdout, "not in any manifest of %s: role %s, %d calls, last seen %s\n  %s\n", u.Consumer, u.Role, u.Calls, minute(u.LastSeen), oneLine(u.Text))
	}
	if len(o.Unexplained) > 0 {
		fmt.Fprintln(a.stdout, "contracts wait for these consumers until their manifests have it: build them again, with `pawl refs harvest` where the source does not show it")
	}
	for _, s := range o.Strangers {
		fmt.Fprintf(a.stdout, "role %s sends statements and belongs to no consumer: `pawl release roles CONSUMER %s`\n", s, s)
	}
	for _, p := range o.Problems {
		fmt.Fprintf(a.stdout, "note: %s\n", p)
	}
	return nil
}

func newReleaseRolesCommand(a *app) *cobra.Command {
	var r runFlags
	var none bool
	cmd := &cobra.Command{
		Use:   "roles [CONSUMER ROLE…]",
		Short: "Say, or show, under which login roles consumers connect",
		Example: `  pawl release roles
  pawl release roles gateway gateway_app gateway_ro
  pawl release roles gateway --none`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && !none || none && len(args) != 1 {
				return &usageError{message: "give CONSUMER and its roles, CONSUMER and --none, or nothing to see them all"}
			}
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			if len(args) > 0 {
				if err := m.SetRoles(cmd.Context(), args[0], args[1:]); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "recorded: %s connects as %v\n", args[0], args[1:])
				return nil
			}
			roles, err := m.Roles(cmd.Context())
			if err != nil {
				return err
			}
			if a.json() {
				by := map[string][]string{}
				for _, role := range keysOf(roles) {
					for _, c := range roles[role] {
						by[c] = append(by[c], role)
					}
				}
				return writeJSON(a.stdout, struct {
					Version   int                 `json:"version"`
					Consumers map[string][]string `json:"consumers"`
				}{1, by})
			}
			if len(roles) == 0 {
				fmt.Fprintln(a.stdout, "no consumer's roles are known")
				return nil
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ROLE\tCONSUMERS")
			for _, role := range keysOf(roles) {
				fmt.Fprintf(w, "%s\t%s\n", role, strings.Join(roles[role], ", "))
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&none, "none", false, "the consumer has no role of its own")
	return cmd
}
