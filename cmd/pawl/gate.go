package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

func newGateCommand(a *app) *cobra.Command {
	var r runFlags
	var after string
	var refs []string
	var pgVersion int
	var where string
	cmd := &cobra.Command{
		Use:   "gate",
		Short: "Decide whether pending contracts may go through, and why not",
		Long: `Asks the gate about every pending migration without applying anything: against the releases that the database's ledger knows,
or, with --after and --refs, against the given manifests and without a database (for CI).

Exit codes: 0 everything is allowed; 1 something is blocked; 3 something is not known.`,
		Example: `  pawl gate                                                      # against the ledger's releases
  pawl gate --after 0041 --refs gateway.json --refs worker.json  # offline: files up to 0041 are deployed
  pawl gate --format markdown                                    # for a comment on the pull request
  pawl gate --after 0041 --refs gateway.json --shadow embedded   # and PostgreSQL judges every statement`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{formatsAnnotation: "text,json,markdown"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			offline := after != "" || len(refs) > 0
			if offline && (after == "" || len(refs) == 0) {
				return &usageError{message: "--after and --refs go together", hint: "--after VERSION says what is deployed, --refs FILE what the running releases send"}
			}
			var list []migrationJSON
			var err error
			if offline {
				list, err = a.gateOffline(cmd.Context(), &r, after, refs, where, pgVersion)
			} else {
				list, err = a.gateOnline(cmd.Context(), &r)
			}
			if err != nil {
				return err
			}
			switch {
			case a.json():
				if err := writeJSON(a.stdout, struct {
					Version    int             `json:"version"`
					Migrations []migrationJSON `json:"migrations"`
				}{1, list}); err != nil {
					return err
				}
			case a.markdown():
				markdown(a.stdout, "pawl", list)
			}
			return verdictOf(list)
		},
	}
	f := cmd.Flags()
	r.run(f)
	f.StringVar(&after, "after", "", "the last migration that is deployed; later files are judged in order")
	f.StringSliceVar(&refs, "refs", nil, "manifest of a release that may run; may be repeated")
	f.IntVar(&pgVersion, "pg-version", 0, "PostgreSQL major to judge for without a database (default: the oldest supported)")
	f.StringVar(&where, "shadow", "", `ask a PostgreSQL too: "embedded" starts a throwaway server, a URL names one where a database may be made`)
	_ = cmd.MarkFlagFilename("refs", "json")
	return cmd
}

// verdictOf turns the worst of the decisions into an exit code.
func verdictOf(list []migrationJSON) error {
	code := exitOK
	for _, m := range list {
		if m.Allowed == nil || *m.Allowed {
			continue
		}
		if m.Verdict == gate.Unknown.String() && code != exitRefused {
			code = exitUnknown
		} else {
			code = exitRefused
		}
	}
	if code == exitOK {
		return nil
	}
	return silentError{code}
}

func (a *app) gateOnline(ctx context.Context, r *runFlags) ([]migrationJSON, error) {
	r.gateDev = true
	m, err := a.migrator(r)
	if err != nil {
		return nil, err
	}
	p, _, err := m.Plan(ctx)
	if err != nil {
		return nil, err
	}
	list := []migrationJSON{}
	for _, s := range p.Steps {
		d := gate.Decision{Allowed: true, Verdict: gate.Unaffected}
		if s.Decision != nil {
			d = *s.Decision
		}
		a.printDecision(s.Migration, s.Phase, d, s.Decision != nil)
		list = append(list, decisionJSON(s.Migration, s.Phase, d))
	}
	for _, h := range p.Held {
		d := h.Decision
		j := decisionJSON(h.Migration, h.Phase, d)
		if h.Behind != "" {
			j.Behind, j.Because, j.Verdict = string(h.Behind), h.Because, gate.Unknown.String()
		}
		if a.text() {
			printHeld(a.stdout, h)
		}
		list = append(list, j)
	}
	if len(list) == 0 && a.text() {
		fmt.Fprintln(a.stdout, "nothing is pending")
	}
	return list, nil
}

func (a *app) printDecision(m *migrate.Migration, phase phases.Phase, d gate.Decision, asked bool) {
	if !a.text() {
		return
	}
	word := "allowed"
	if !d.Allowed {
		word = "BLOCKED"
	}
	line := fmt.Sprintf("%-9s %-9s %s", word, phase, m.Name)
	if asked {
		line += fmt.Sprintf(" (%s; %d releases, %d statements)", d.Verdict, d.Checked.Releases, d.Checked.Statements)
	}
	fmt.Fprintln(a.stdout, line)
	if d.Verdict > gate.Unaffected {
		explain(d).print(a.stdout)
	}
}

// gateOffline judges files against manifests, without a database: what code reaches through views and functions is
// known as far as the earlier files tell.
func (a *app) gateOffline(ctx context.Context, r *runFlags, after string, refs []string, where string, pgVersion int) (list []migrationJSON, err error) {
	policy, err := r.gatePolicy()
	if err != nil {
		return nil, err
	}
	last, ok := migrate.ParseVersion(after)
	if !ok {
		return nil, &usageError{message: fmt.Sprintf("--after %q is not a version", after)}
	}
	files, err := migrate.Load(os.DirFS(a.flags.dir), a.flags.dir)
	if err != nil {
		return nil, err
	}
	e := gate.Evidence{Registered: true}
	for _, path := range refs {
		m, err := evidence.ReadManifest(path)
		if err != nil {
			return nil, err
		}
		e.Releases = append(e.Releases, gate.Release{Consumer: m.Consumer, ID: m.Release, Why: []gate.Eligibility{gate.WhyGiven}, Manifest: m.Gate()})
	}
	var judge *shadow
	if where != "" {
		if judge, err = startShadow(ctx, where, pgVersion); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, judge.close(ctx)) }()
	}
	catalog := phases.NewCatalog(pgVersion)
	list = []migrationJSON{}
	marked := false
	for _, m := range files {
		if m.Version.Compare(last) <= 0 {
			catalog.Assess(m.File())
			if judge != nil {
				if err := judge.replay(ctx, m.File()); err != nil {
					return nil, err
				}
			}
			continue
		}
		if !marked {
			marked = true
			catalog.Mark()
			if judge != nil {
				if err := judge.know(ctx, e.Releases); err != nil {
					return nil, err
				}
			}
		}
		reach := evidence.ReachIn(catalog)
		assessment := catalog.Assess(m.File())
		change := migrate.ChangeOf(assessment)
		if judge != nil {
			e.Proofs, reach, err = judge.apply(ctx, m.File())
			if err != nil {
				return nil, err
			}
			for i := range change.Takes {
				change.Takes[i].Proved = judge.proves(change.Takes[i].Object)
			}
		}
		reach.Know(&change)
		d := gate.Decision{Allowed: true, Verdict: gate.Unaffected}
		asked := migrate.Gated(assessment) || judge != nil
		if asked {
			d = gate.Decide(change, e, policy, time.Now())
		}
		a.printDecision(m, assessment.Phase, d, asked)
		list = append(list, decisionJSON(m, assessment.Phase, d))
	}
	return list, nil
}
