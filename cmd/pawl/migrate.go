package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/migrate"
)

func newMigrateCommand(a *app) *cobra.Command {
	var r runFlags
	var many targetFlags
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Apply what is pending and allowed; hold contracts that something still needs",
		Long: `Applies the pending migrations in order, each in one transaction with its row in the ledger. A contract is applied only
if no release that runs, or may come back, needs what it takes; otherwise it is held, and retried by every later run.

With --manifest, the incoming release is refused (exit 1) before anything else is done if a contract has dropped what it
references, as after a git revert, or if it needs what neither the database nor a pending migration has.

With --targets, each database or schema of a YAML file is migrated, several at once; one that fails does not stop the others. The
exit code is the worst: interrupted, then 5, 2, 1, 3, 4.

Safe to run from many places at once, and again after any kind of death. Exit codes: 0 done, nothing to do, or contracts
held; 1 refused; 2 usage; 3 unknown; 4 transient, try again; 5 failure; 130 and 143 interrupted.`,
		Example: `  pawl migrate                                   # in development or CI
  pawl migrate --manifest /app/pawl.refs.json    # in the PreSync Job: registers the release that is being deployed
  pawl migrate --on-blocked=fail                 # exit 1 or 3 if a contract is held
  pawl migrate --lane contract                   # between deployments: try the held contracts again
  pawl migrate --targets tenants.yaml --shard $JOB_COMPLETION_INDEX/8   # a share of many databases, in an Indexed Job`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.working = true
			if many.file != "" {
				return a.migrateTargets(cmd.Context(), &r, many)
			}
			if many.shard != "" {
				return &usageError{message: "--shard goes with --targets"}
			}
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			_, err = m.Migrate(cmd.Context())
			return err
		},
	}
	f := cmd.Flags()
	r.run(f)
	many.register(cmd)
	f.StringSliceVar(&r.manifests, "manifest", nil, "manifest of the release that is being deployed (pawl.refs.json); may be repeated")
	f.StringVar(&r.onBlocked, "on-blocked", "hold", "what to do about a contract that is not allowed: hold it and succeed, or fail")
	f.StringVar(&r.lane, "lane", "all", "what to take up: all, expand (leave contracts out) or contract (try the held ones again)")
	f.StringVar(&r.restorePoint, "restore-point", "try", "before a contract: require a restore point, try to make one and note where the log stands, or off")
	f.StringVar(&r.deployGate, "deploy-gate", "refuse", "what to do about a release in --manifest that does not suit the schema: refuse, warn or off")
	f.DurationVar(&r.wait, "wait", 10*time.Minute, "how long to wait for another pawl at work")
	f.DurationVar(&r.lockTimeout, "lock-timeout", 100*time.Millisecond, "first lock_timeout of a migration; traffic can queue behind pawl this long")
	f.DurationVar(&r.maxLockTimeout, "max-lock-timeout", 400*time.Millisecond, "up to which lock_timeout grows from attempt to attempt")
	f.DurationVar(&r.lockDeadline, "lock-deadline", 10*time.Minute, "how long to keep trying for one migration's locks")
	f.DurationVar(&r.statementTimeout, "statement-timeout", 10*time.Minute, "statement_timeout of transactional migrations")
	f.BoolVar(&r.runBackfills, "run-backfills", false, "run backfills at once instead of queueing them, as in a database stamped dev")
	r.kubernetes.registerEvents(f)
	r.kubernetes.completions(cmd)
	_ = cmd.RegisterFlagCompletionFunc("on-blocked", cobra.FixedCompletions([]string{"hold", "fail"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("lane", cobra.FixedCompletions([]string{"all", "expand", "contract"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("restore-point", cobra.FixedCompletions([]string{"require", "try", "off"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("deploy-gate", cobra.FixedCompletions([]string{"refuse", "warn", "off"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagFilename("manifest", "json")
	return cmd
}

func newPlanCommand(a *app) *cobra.Command {
	var r runFlags
	cmd := &cobra.Command{
		Use:     "plan",
		Short:   "Show what migrate would do now, without doing it",
		Example: "  pawl plan\n  pawl plan --format json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			p, l, err := m.Plan(cmd.Context())
			if err != nil {
				return err
			}
			if a.json() {
				return a.planJSON(p, l)
			}
			a.printPlan(p)
			return nil
		},
	}
	r.run(cmd.Flags())
	r.kubernetes.completions(cmd)
	return cmd
}

func (a *app) planJSON(p *migrate.Plan, l *migrate.Ledger) error {
	out := struct {
		Version     int             `json:"version"`
		Environment string          `json:"environment"`
		Steps       []migrationJSON `json:"steps"`
		Held        []migrationJSON `json:"held"`
	}{1, string(l.Environment), []migrationJSON{}, []migrationJSON{}}
	for _, s := range p.Steps {
		j := migrationJSON{Path: s.Migration.Path, Name: s.Migration.Name, Version: s.Migration.Label, Phase: s.Phase}
		if s.Decision != nil {
			j = decisionJSON(s.Migration, s.Phase, *s.Decision)
		}
		if b := s.Backfill; b != nil {
			j.Backfill = &backfillPlanJSON{b.Table, b.GoesBy, b.Rows, b.Partitions, b.Statement, b.DoneQuery, b.Fires}
		}
		out.Steps = append(out.Steps, j)
	}
	for _, h := range p.Held {
		j := decisionJSON(h.Migration, h.Phase, h.Decision)
		j.Behind, j.Because = string(h.Behind), h.Because
		out.Held = append(out.Held, j)
	}
	return writeJSON(a.stdout, out)
}

func (a *app) printPlan(p *migrate.Plan) {
	if p.Pending() == 0 {
		fmt.Fprintln(a.stdout, "nothing to do")
	}
	for _, s := range p.Steps {
		how := "in one transaction"
		if !s.Transactional {
			how = "outside of a transaction"
		}
		if s.Resume {
			how += ", begun by an earlier run"
		}
		if s.Backfill != nil {
			a.printBackfillPlan(s)
			continue
		}
		fmt.Fprintf(a.stdout, "apply     %-9s %s (%s)\n", s.Phase, s.Migration.Name, how)
		for _, st := range s.Assessment.Statements {
			for _, op := range st.Operations {
				for _, lock := range op.Locks {
					if lock.Mode.BlocksWrites() {
						fmt.Fprintf(a.stdout, "    %s takes %s on %s: blocks %s%s\n", op.Kind, lock.Mode, lock.Relation, lock.Mode.Blocks(), costs(op.Effect.Rewrite, op.Effect.Scan))
					}
				}
			}
		}
	}
	for _, h := range p.Held {
		printHeld(a.stdout, h)
	}
	for _, e := range p.Missing {
		fmt.Fprintf(a.stdout, "no file   %s is applied, and there is no file of it here\n", e.Name)
	}
}

func costs(rewrite, scan bool) string {
	switch {
	case rewrite:
		return ", while the table is rewritten"
	case scan:
		return ", while the table is read"
	}
	return ""
}

func newStatusCommand(a *app) *cobra.Command {
	var r runFlags
	var exit, releases, all, drift bool
	var decision, shadow string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what is applied, held and pending",
		Example: `  pawl status
  pawl status --exit-code                          # exit 1 if anything is pending or held
  pawl status --releases                           # who runs, until when, and which held contracts that holds back
  pawl status --decision 0042                      # what the gate decided last, with its evidence
  pawl status --decision 0042 --format markdown
  pawl status --drift                              # what was changed past pawl, as DDL; exit 5 if anything was
  pawl status --drift --shadow postgres://…        # the same, with the throwaway database on that server`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{formatsAnnotation: "text,json,markdown"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			switch {
			case decision != "":
				return a.showDecisions(cmd.Context(), m, decision, all)
			case a.markdown():
				return &usageError{message: "--format markdown goes with --decision"}
			case releases:
				return a.listReleases(cmd.Context(), m)
			case drift || shadow != "":
				return a.showDrift(cmd.Context(), m, shadow)
			}
			s, changed := m.Status(cmd.Context())
			if s == nil {
				return changed
			}
			if err := a.printStatus(s); err != nil {
				return err
			}
			if changed == nil && exit {
				for _, f := range s.Files {
					if f.State != string(migrate.StateApplied) {
						return silentError{exitRefused}
					}
				}
			}
			return changed
		},
	}
	cmd.Flags().BoolVar(&exit, "exit-code", false, "exit with 1 unless every migration is applied")
	cmd.Flags().BoolVar(&releases, "releases", false, "show consumers and releases instead of migrations")
	cmd.Flags().StringVar(&decision, "decision", "", "show what the gate decided on this version, with its evidence and acknowledgements")
	cmd.Flags().BoolVar(&drift, "drift", false, "compare the schema with what the applied files give; exit 5 if it differs")
	cmd.Flags().StringVar(&shadow, "shadow", "", "with --drift: run the files on a throwaway server (embedded), or in a new database on the server of this URL")
	cmd.Flags().BoolVar(&all, "all", false, "with --decision: every decision on it, not the newest alone")
	r.policy(cmd.Flags())
	r.kubernetes.completions(cmd)
	return cmd
}

func (a *app) printStatus(s *migrate.Status) error {
	if a.json() {
		return a.statusJSON(s)
	}
	stamp := string(s.Environment)
	if stamp == "" {
		stamp = "not stamped yet"
	}
	fmt.Fprintf(a.stdout, "database %s (%s)\n", s.Database, stamp)
	for _, f := range s.Files {
		line := fmt.Sprintf("%-8s %s", f.State, f.Name)
		if f.Entry != nil && !f.Entry.FinishedAt.IsZero() {
			line += fmt.Sprintf("  %s by %s", f.Entry.FinishedAt.UTC().Format("2006-01-02 15:04:05 MST"), f.Entry.AppliedBy)
			if f.Entry.Origin != "migrate" {
				line += " (" + f.Entry.Origin + ")"
			}
		}
		if f.Migration == nil {
			line += "  (no file here)"
		}
		fmt.Fprintln(a.stdout, line)
		for _, b := range s.Backfills {
			if b.Version == f.Version {
				fmt.Fprintf(a.stdout, "         backfill: %s\n", b.Describe())
			}
		}
		if f.Entry != nil && f.Entry.State == migrate.StateHeld {
			a.printReason(f.Entry)
		}
	}
	return nil
}

func (a *app) printReason(e *migrate.Entry) {
	for _, f := range e.Findings() {
		place := ""
		if f.Consumer != "" {
			place = f.Consumer + "@" + f.Release + " "
		}
		if f.Site != nil {
			place += fmt.Sprintf("%s:%d: ", f.Site.File, f.Site.Line)
		}
		fmt.Fprintf(a.stdout, "         %s: %s%s\n", f.Verdict, place, f.Message)
	}
}

func (a *app) statusJSON(s *migrate.Status) error {
	type file struct {
		Version    string                `json:"version"`
		Name       string                `json:"name"`
		State      string                `json:"state"`
		Phase      string                `json:"phase,omitempty"`
		Checksum   string                `json:"checksum,omitempty"`
		Origin     string                `json:"origin,omitempty"`
		StartedAt  *time.Time            `json:"started_at,omitempty"`
		FinishedAt *time.Time            `json:"finished_at,omitempty"`
		AppliedBy  string                `json:"applied_by,omitempty"`
		Client     string                `json:"client,omitempty"`
		FileHere   bool                  `json:"file_here"`
		Backfill   *backfillJSON         `json:"backfill,omitempty"`
		Findings   []migrate.HeldFinding `json:"findings,omitempty"`
	}
	out := struct {
		Version     int    `json:"version"`
		Database    string `json:"database"`
		Environment string `json:"environment"`
		Migrations  []file `json:"migrations"`
	}{1, s.Database, string(s.Environment), []file{}}
	for _, f := range s.Files {
		j := file{Version: label(f.Migration, f.Version), Name: f.Name, State: f.State, FileHere: f.Migration != nil}
		if e := f.Entry; e != nil {
			j.Phase, j.Checksum, j.Origin, j.AppliedBy, j.Client = e.Phase, e.Sum, e.Origin, e.AppliedBy, e.Client
			j.StartedAt = &e.StartedAt
			if !e.FinishedAt.IsZero() {
				j.FinishedAt = &e.FinishedAt
			}
			j.Findings = e.Findings()
		}
		for _, b := range s.Backfills {
			if b.Version == f.Version {
				one := backfillOf(b)
				j.Backfill = &one
			}
		}
		out.Migrations = append(out.Migrations, j)
	}
	return writeJSON(a.stdout, out)
}
