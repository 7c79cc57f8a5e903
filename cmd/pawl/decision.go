package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases"
)

type decisionStored struct {
	ID          int64                 `json:"id"`
	Version     string                `json:"version"`
	Name        string                `json:"name,omitempty"`
	Checksum    string                `json:"checksum"`
	At          time.Time             `json:"at"`
	Allowed     bool                  `json:"allowed"`
	Verdict     string                `json:"verdict"`
	Findings    []migrate.HeldFinding `json:"findings"`
	Evidence    migrate.Evidence      `json:"evidence"`
	PawlVersion string                `json:"pawl_version"`
}

// showDecisions shows what the ledger keeps of the gate's decisions on one migration.
func (a *app) showDecisions(ctx context.Context, m *migrate.Migrator, version string, all bool) error {
	v, ok := migrate.ParseVersion(version)
	if !ok {
		return &usageError{message: fmt.Sprintf("--decision %q is not a version", version), hint: "give the number of a migration, like 0042"}
	}
	list, err := m.Decisions(ctx, v)
	if err != nil {
		return err
	}
	if len(list) == 0 && !a.json() {
		fmt.Fprintf(a.stdout, "the gate has decided nothing on %s: it is asked about contracts, and about expands that are in a statement's way\n", version)
		return nil
	}
	shown := list
	if !all && len(list) > 1 {
		shown = list[:1]
	}
	switch {
	case a.json():
		out := []decisionStored{}
		for _, d := range shown {
			out = append(out, decisionStored{d.ID, version, d.Name, d.Sum, d.At.UTC(), d.Allowed, d.Verdict.String(), d.Findings, d.Evidence, d.PawlVersion})
		}
		return writeJSON(a.stdout, struct {
			Version   int              `json:"version"`
			Decisions []decisionStored `json:"decisions"`
		}{1, out})
	case a.markdown():
		var decided []migrationJSON
		for _, d := range shown {
			decided = append(decided, migrationJSON{
				Name: d.Name, Version: version, Phase: phases.Contract, Allowed: &d.Allowed, Verdict: d.Verdict.String(), Findings: d.Findings,
			})
		}
		markdown(a.stdout, "pawl, as decided on "+minute(list[0].At), decided)
		return nil
	}
	for _, d := range shown {
		printStored(a.stdout, d)
	}
	if more := len(list) - len(shown); more > 0 {
		fmt.Fprintf(a.stdout, "%d earlier decisions since %s: --all shows them\n", more, minute(list[len(list)-1].At))
	}
	return nil
}

func printStored(w io.Writer, d migrate.StoredDecision) {
	word := "blocked"
	if d.Allowed {
		word = "allowed"
	}
	fmt.Fprintf(w, "decision %d on %s: %s (%s), %s, by pawl %s\n", d.ID, d.Name, word, d.Verdict, minute(d.At), d.PawlVersion)
	explained{allowed: d.Allowed, findings: d.Findings}.print(w)
	fmt.Fprintf(w, "  went by %d releases and %d statements\n", d.Evidence.Releases, d.Evidence.Statements)
	const most = 20
	for i, r := range d.Evidence.Eligible {
		if i == most {
			fmt.Fprintf(w, "    … and %d more\n", len(d.Evidence.Eligible)-most)
			break
		}
		fmt.Fprintf(w, "    %s: %s; manifest %s\n", consumerName(r.Consumer, r.Release), reasons(r.Why, moment(r.Since), moment(r.Until), r.Where), r.Manifest)
	}
	if p := d.Evidence.RestorePoint; p != nil {
		fmt.Fprintf(w, "  restore point: %s\n", p)
	}
}
