package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

func newReleaseCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "release",
		Short: "Record which releases of which consumers run",
		Long: `A release is one build of a consumer (a service, a worker, a report). A contract waits until no release that runs, or may come
back, needs what it takes. Hooks of the deployment record the events; a person can too. The log only grows.`,
		Example: `  pawl release register pawl.refs.json
  pawl release live gateway r42
  pawl release retire gateway r41 --reason "image deleted"
  pawl release roles gateway gateway_app gateway_ro
  pawl release digests gateway r42 sha256:…
  pawl release list`,
		Args: cobra.ArbitraryArgs,
		RunE: subcommand,
	}
	var r runFlags
	register := &cobra.Command{
		Use:     "register MANIFEST…",
		Short:   "Store the manifests of releases that may be deployed",
		Example: "  pawl release register gateway.refs.json worker.refs.json",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var manifests []*evidence.Manifest
			for _, path := range args {
				m, err := evidence.ReadManifest(path)
				if err != nil {
					return err
				}
				manifests = append(manifests, m)
			}
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			if err := m.RegisterRelease(cmd.Context(), manifests...); err != nil {
				return err
			}
			for _, m := range manifests {
				fmt.Fprintf(a.stdout, "registered %s@%s: %d statements, %s\n", m.Consumer, m.Release, len(m.Statements), m.Status)
			}
			return nil
		},
	}
	list := &cobra.Command{
		Use:   "list",
		Short: "Show every release, its state and until when it may come back",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			return a.listReleases(cmd.Context(), m)
		},
	}
	r.policy(list.Flags())
	r.kubernetes.completions(list)
	cmd.AddCommand(register, list, newReleaseRolesCommand(a), newReleaseDigestsCommand(a))
	for _, e := range []struct {
		use     string
		kind    gate.EventKind
		short   string
		because bool
	}{
		{"deploying", gate.Deploying, "The release is being deployed (PreSync)", false},
		{"live", gate.LiveNow, "The release has replaced the consumer's others (PostSync)", false},
		{"superseded", gate.Superseded, "The release no longer runs, and may come back within the window", false},
		{"aborted", gate.Aborted, "The deployment of the release was given up (SyncFail)", false},
		{"pin", gate.Pinned, "Count the release as running until it is unpinned", true},
		{"unpin", gate.Unpinned, "Take a pin back", true},
		{"retire", gate.Retired, "The release will never run again", true},
	} {
		cmd.AddCommand(a.newEventCommand(e.use, e.kind, e.short, e.because))
	}
	return cmd
}

func (a *app) newEventCommand(use string, kind gate.EventKind, short string, because bool) *cobra.Command {
	var r runFlags
	var reason, targets string
	var manifests []string
	cmd := &cobra.Command{
		Use:     use + " CONSUMER RELEASE | --manifest FILE…",
		Short:   short,
		Example: fmt.Sprintf("  pawl release %s gateway r42", use),
		Args:    cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			pairs, err := named(args, manifests)
			if err != nil {
				return err
			}
			if because && reason == "" {
				return &usageError{message: "give --reason TEXT: it is recorded with who gave it"}
			}
			if targets != "" {
				return a.recordInTargets(cmd.Context(), &r, targets, pairs, kind, reason)
			}
			return a.record(cmd.Context(), &r, pairs, kind, reason)
		},
	}
	if because {
		cmd.Example += ` --reason "…"`
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is recorded")
	cmd.Flags().StringSliceVar(&manifests, "manifest", nil, "take consumer and release from a manifest; may be repeated, where several are deployed together")
	cmd.Flags().StringVar(&targets, "targets", "", "record it in every database or schema of this YAML file, which is that of pawl migrate --targets")
	_ = cmd.MarkFlagFilename("manifest", "json")
	_ = cmd.MarkFlagFilename("targets", "yaml", "yml")
	return cmd
}

// record puts an event of releases into the ledger.
func (a *app) record(ctx context.Context, r *runFlags, pairs [][2]string, kind gate.EventKind, reason string) error {
	m, err := a.migrator(r)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		if err := m.RecordRelease(ctx, p[0], p[1], kind, reason); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "recorded: %s@%s %s\n", p[0], p[1], kind)
	}
	return nil
}

// named gives the consumers and releases that a command line names, by words or by manifests.
func named(args, manifests []string) ([][2]string, error) {
	if len(args) == 2 && len(manifests) == 0 {
		return [][2]string{{args[0], args[1]}}, nil
	}
	if len(args) > 0 || len(manifests) == 0 {
		return nil, &usageError{message: "give CONSUMER and RELEASE, or --manifest FILE", hint: "they name the release in the ledger: see `pawl release list`"}
	}
	var list [][2]string
	for _, path := range manifests {
		m, err := evidence.ReadManifest(path)
		if err != nil {
			return nil, err
		}
		list = append(list, [2]string{m.Consumer, m.Release})
	}
	return list, nil
}

func (a *app) listReleases(ctx context.Context, m *migrate.Migrator) error {
	snapshot, err := m.Releases(ctx)
	if err != nil {
		return err
	}
	back, err := m.HeldBack(ctx)
	if err != nil {
		return err
	}
	manifests := map[[2]string]*gate.Manifest{}
	where := map[[2]string][]string{}
	problems := map[[2]string]string{}
	for _, r := range snapshot.Evidence.Releases {
		key := [2]string{r.Consumer, r.ID}
		manifests[key], where[key] = r.Manifest, r.Where
		if r.Problem != "" {
			// Something runs of which the ledger knows nothing.
			problems[key] = r.Problem
			snapshot.States = append(snapshot.States, gate.State{Consumer: r.Consumer, ID: r.ID, Last: gate.Seen, Since: snapshot.At, Why: r.Why})
		}
	}
	if a.json() {
		type release struct {
			Consumer string             `json:"consumer"`
			Release  string             `json:"release"`
			State    gate.EventKind     `json:"state"`
			Since    time.Time          `json:"since"`
			Eligible bool               `json:"eligible"`
			Why      []gate.Eligibility `json:"why"`
			Until    *time.Time         `json:"until,omitempty"`
			// HoldsBack are the versions of the held migrations that this release holds back, as of the last run.
			HoldsBack []string `json:"holds_back"`
			Manifest  string   `json:"manifest,omitempty"`
			Where     []string `json:"where,omitempty"`
			Problem   string   `json:"problem,omitempty"`
		}
		list := []release{}
		for _, s := range snapshot.States {
			j := release{s.Consumer, s.ID, s.Last, s.Since, s.Eligible(), append([]gate.Eligibility{}, s.Why...), nil, []string{}, "", where[[2]string{s.Consumer, s.ID}], problems[[2]string{s.Consumer, s.ID}]}
			for _, e := range back[[2]string{s.Consumer, s.ID}] {
				j.HoldsBack = append(j.HoldsBack, labelOf(e))
			}
			if s.Eligible() {
				j.Manifest = manifestWord(manifests[[2]string{s.Consumer, s.ID}])
			}
			if !s.Until.IsZero() {
				j.Until = &s.Until
			}
			list = append(list, j)
		}
		return writeJSON(a.stdout, struct {
			Version  int       `json:"version"`
			Releases []release `json:"releases"`
			// Unseen says what could not be seen of what runs.
			Unseen []string `json:"unseen,omitempty"`
		}{1, list, snapshot.Evidence.Failures})
	}
	if len(snapshot.States) == 0 {
		fmt.Fprintln(a.stdout, "no release is registered; contracts are held until the consumers of this database are known")
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	header := "CONSUMER\tRELEASE\tSTATE\tSINCE\tMAY RUN\tMANIFEST\tHOLDS BACK"
	seen := slices.ContainsFunc(snapshot.Evidence.Releases, func(r gate.Release) bool { return len(r.Where) > 0 })
	if seen {
		header += "\tWHERE"
	}
	fmt.Fprintln(w, header)
	for _, s := range snapshot.States {
		may, manifest := "no", "-"
		if s.Eligible() {
			may = "yes"
			if !s.Until.IsZero() {
				may = "until " + s.Until.UTC().Format("2006-01-02 15:04 MST")
			}
			m := manifests[[2]string{s.Consumer, s.ID}]
			manifest = manifestWord(m)
			if m == nil {
				manifest = "MISSING"
			} else {
				manifest += fmt.Sprintf(", %d statements", m.Count())
			}
		}
		holds := make([]string, 0, 1)
		for _, e := range back[[2]string{s.Consumer, s.ID}] {
			holds = append(holds, labelOf(e))
		}
		line := []string{s.Consumer, s.ID, string(s.Last), minute(s.Since), may, manifest, cmp.Or(strings.Join(holds, ", "), "-")}
		if seen {
			line = append(line, cmp.Or(strings.Join(where[[2]string{s.Consumer, s.ID}], "; "), "-"))
		}
		fmt.Fprintln(w, strings.Join(line, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, f := range snapshot.Evidence.Failures {
		fmt.Fprintf(a.stdout, "not seen: %s\n", f)
	}
	return nil
}

func manifestWord(m *gate.Manifest) string {
	switch {
	case m == nil:
		return "missing"
	case !m.Complete:
		return evidence.Partial
	}
	return evidence.Complete
}

// labelOf gives a version as the file's name writes it.
func labelOf(e migrate.Entry) string {
	if label, _, ok := strings.Cut(e.Name, "_"); ok {
		return label
	}
	return string(e.Version)
}
