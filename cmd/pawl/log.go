package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/migrate"
)

func newLogCommand(a *app) *cobra.Command {
	var r runFlags
	var o migrate.LogOptions
	var since, until, version string
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Show who did what: every change, decision, refusal, acknowledgement and override",
		Long: `Shows the ledger's logs in one, oldest first: what was applied, held, allowed, refused, resolved, adopted, acknowledged or overridden,
which releases were registered and retired, each with the time, the database role, the person or CI job, the pod or host, pawl's
version and the checksum of the file. The logs are append-only, by trigger.`,
		Example: `  pawl log
  pawl log --since 24h
  pawl log --migration 0042 --limit -1
  pawl log --kind refused --format json | jq -r '.entries[].detail.message'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version != "" {
				v, ok := migrate.ParseVersion(version)
				if !ok && !strings.HasPrefix(version, "R__") {
					return &usageError{message: fmt.Sprintf("--migration %s is no version", version)}
				}
				if !ok {
					v = migrate.Version(version)
				}
				o.Version = v
			}
			var err error
			if since != "" {
				if o.Lasts, o.Since, err = parsePast("since", since); err != nil {
					return err
				}
			}
			if until != "" {
				ago, at, err := parsePast("until", until)
				if err != nil {
					return err
				}
				if o.Until = at; ago > 0 {
					o.Until = time.Now().Add(-ago)
				}
			}
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			list, err := m.Log(cmd.Context(), o)
			if err != nil {
				return err
			}
			if a.json() {
				return a.logJSON(list)
			}
			a.printLog(list)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&since, "since", "", "entries from this time on: a duration back from now (24h, 14d) or a time (2026-03-01, 2026-03-01T12:00:00Z)")
	f.StringVar(&until, "until", "", "entries before this time, in the same forms")
	f.StringVar(&version, "migration", "", "entries about this version alone")
	f.StringVar(&o.Kind, "kind", "", "entries of this kind alone, like applied, held, refused, failed, overridden, acknowledged")
	f.IntVar(&o.Limit, "limit", 0, "how many of the newest; -1 for all (default 100)")
	return cmd
}

// parsePast reads a duration back from now, or a time.
func parsePast(flag, text string) (ago time.Duration, at time.Time, err error) {
	if d, err := parseDays(text); err == nil && d > 0 {
		return d, time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return 0, at, nil
		}
	}
	return 0, time.Time{}, &usageError{message: fmt.Sprintf("--%s %q is neither a duration nor a time", flag, text), hint: "like 24h, 14d, 2026-03-01 or 2026-03-01T12:00:00Z"}
}

func (a *app) printLog(list []migrate.LogEntry) {
	for _, e := range list {
		line := e.At.UTC().Format("2006-01-02 15:04:05 MST") + "  " + e.Kind
		if e.Name != "" {
			line += " " + e.Name
		} else if e.Version != "" {
			line += " " + string(e.Version)
		}
		line += detailInShort(e.Detail)
		if e.Sum != "" {
			line += fmt.Sprintf("  sum %.12s", e.Sum)
		}
		who := e.Role
		if e.Person != "" && e.Person != e.Role {
			who = e.Person + " (" + e.Role + ")"
		}
		if who != "" {
			line += "  by " + who
		}
		if e.Client != "" {
			line += ", " + e.Client
		}
		if e.PawlVersion != "" {
			line += ", pawl " + e.PawlVersion
		}
		fmt.Fprintln(a.stdout, line)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.stdout, "nothing is recorded")
	}
}

// detailInShort gives the plain values of an entry's detail, without what stands elsewhere in its line.
func detailInShort(detail json.RawMessage) string {
	var all map[string]any
	if json.Unmarshal(detail, &all) != nil {
		return ""
	}
	keys := make([]string, 0, len(all))
	for k := range all {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var parts []string
	for _, k := range keys {
		switch v := all[k].(type) {
		case string:
			if k != "name" && k != "checksum" && v != "" {
				parts = append(parts, k+" "+oneLine(v))
			}
		case float64, bool:
			parts = append(parts, fmt.Sprintf("%s %v", k, v))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " [" + strings.Join(parts, ", ") + "]"
}

func (a *app) logJSON(list []migrate.LogEntry) error {
	type entry struct {
		At          time.Time       `json:"at"`
		Log         string          `json:"log"`
		ID          int64           `json:"id"`
		Kind        string          `json:"kind"`
		Version     string          `json:"version,omitempty"`
		Name        string          `json:"name,omitempty"`
		Checksum    string          `json:"checksum,omitempty"`
		Role        string          `json:"role,omitempty"`
		Person      string          `json:"person,omitempty"`
		Client      string          `json:"client,omitempty"`
		PawlVersion string          `json:"pawl_version,omitempty"`
		Detail      json.RawMessage `json:"detail"`
	}
	out := struct {
		Version int     `json:"version"`
		Entries []entry `json:"entries"`
	}{1, []entry{}}
	for _, e := range list {
		out.Entries = append(out.Entries, entry{e.At.UTC(), e.Log, e.ID, e.Kind, string(e.Version), e.Name, e.Sum, e.Role, e.Person, e.Client, e.PawlVersion, e.Detail})
	}
	return writeJSON(a.stdout, out)
}
