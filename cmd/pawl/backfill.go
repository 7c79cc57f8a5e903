package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases"
)

func newBackfillCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backfill",
		Short: "Move data in the background, in batches, and see how far it is",
		Long: `A migration with "-- pawl:backfill" is one UPDATE, INSERT … SELECT or DELETE. "pawl migrate" puts it into a queue in the
database; "pawl backfill run" works on the queue, in batches by the table's key, each with its place in one transaction. It
may be killed at any moment and goes on where it was; any number of workers on any number of hosts share the queue.

A contract that takes what a backfill needs is held until the backfill is done and nothing is left to move.`,
		Example: `  pawl backfill run --all --until-done       # in a Job of its own
  pawl backfill status
  pawl backfill pause 0042`,
		Args: cobra.ArbitraryArgs,
		RunE: subcommand,
	}
	cmd.AddCommand(newBackfillRunCommand(a), newBackfillStatusCommand(a), newBackfillPauseCommand(a), newBackfillResumeCommand(a), newBackfillAbortCommand(a))
	return cmd
}

// backfillFlags are the settings that a run may override.
type backfillFlags map[string]*string

func (b backfillFlags) add(cmd *cobra.Command) {
	d := phases.DefaultBackfillSettings()
	for _, f := range []struct{ name, usage string }{
		{"batch", fmt.Sprintf("rows of the first batch (1000), or bounds such as 100..20000; by default at most %d%% of the table and 20000", 1)},
		{"target", "how long a batch should take; its size follows (" + d.Target.String() + ")"},
		{"pause", "least time between two batches (none)"},
		{"lock", "how long a batch waits for a row that somebody has locked (" + d.LockTimeout.String() + ")"},
		{"workers", "how many ranges to work on at once (1)"},
		{"between", "time of day in which to run, such as 01:00-05:00, by this host's clock and TZ (always)"},
		{"lag", "how late a standby may be (" + d.Lag.String() + ")"},
		{"lag-bytes", "how much log a standby may be behind (64MB)"},
		{"archive", "how many WAL segments may wait for the archiver (40)"},
		{"slot", "how much log a replication slot must have left before it is given up (512MB)"},
		{"autovacuum", "wait while autovacuum works on the table: wait or off (wait)"},
		{"xact", "how old the oldest transaction may be, which keeps dead rows from being removed (" + d.OldestXact.String() + ")"},
		{"active", "how many other sessions may be active (50)"},
		{"share", "part of the time that batches take while others use the database (30%)"},
		{"wal", "how much log may be written per second (128MB)"},
		{"dead", "how much of the table may be dead rows before a VACUUM in between (6%)"},
	} {
		b[f.name] = cmd.Flags().String(f.name, "", f.usage+"; off takes a limit away")
	}
}

func (b backfillFlags) overrides() (map[string]string, error) {
	set := map[string]string{}
	for name, value := range b {
		if *value != "" {
			set[name] = *value
		}
	}
	s := phases.DefaultBackfillSettings()
	if err := s.ApplyBackfillOptions(set); err != nil {
		return nil, &usageError{message: "--" + err.Error()}
	}
	return set, nil
}

func newBackfillRunCommand(a *app) *cobra.Command {
	var r runFlags
	var all, untilDone, again bool
	var metrics string
	settings := backfillFlags{}
	cmd := &cobra.Command{
		Use:   "run (VERSION | --all)",
		Short: "Work on one backfill, or on all in the queue",
		Long: `Works on the queue until there is nothing to do for it now. It waits while a standby lags, the archive is behind, autovacuum
works on the table or another signal says so; with --until-done also for its window, for a paused backfill and for other
workers. Settings given here win over those of the file's directive.

Exit codes: 0 nothing left to do now; 1 it cannot go on as it is written; 4 transient, the next run goes on where this one
stopped; 5 PostgreSQL refused the statement; 130 and 143 interrupted.`,
		Example: `  pawl backfill run --all --until-done
  pawl backfill run 0042 --workers 4 --wal 32MB
  pawl backfill run --all --between 01:00-05:00      # in a CronJob
  pawl backfill run 0042 --again                     # rows in the old shape have come since it was done`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.working = true
			if all == (len(args) == 1) {
				return &usageError{message: "give one VERSION, or --all", hint: "`pawl backfill status` lists them"}
			}
			run := migrate.BackfillRun{UntilDone: untilDone, Again: again}
			if len(args) == 1 {
				v, err := versionArgument(args[0])
				if err != nil {
					return err
				}
				run.Version = v
			}
			if again && all {
				return &usageError{message: "--again is for one VERSION"}
			}
			var err error
			if run.Overrides, err = settings.overrides(); err != nil {
				return err
			}
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			if metrics != "" {
				stop, err := a.serveMetrics(cmd.Context(), metrics)
				if err != nil {
					return err
				}
				defer stop()
			}
			list, err := m.RunBackfills(cmd.Context(), run)
			a.endBar()
			if err == nil && len(list) == 0 && !a.logs() {
				fmt.Fprintln(a.stdout, "nothing to do: no backfill is open")
			}
			return err
		},
		ValidArgsFunction: a.completeBackfills,
	}
	f := cmd.Flags()
	f.BoolVar(&all, "all", false, "work on every backfill in the queue, in the order of versions")
	f.BoolVar(&untilDone, "until-done", false, "wait for whatever keeps it, and return only when nothing is left")
	f.BoolVar(&again, "again", false, "go through the table once more, though it is done")
	f.StringVar(&metrics, "metrics-listen", "", "address to serve Prometheus metrics at, such as :9187")
	settings.add(cmd)
	return cmd
}

func versionArgument(text string) (migrate.Version, error) {
	v, ok := migrate.ParseVersion(text)
	if !ok {
		return "", &usageError{message: fmt.Sprintf("%q is no version; give the digits of the migration's file name", text)}
	}
	return v, nil
}

// completeBackfills offers the versions in the queue to the shell; without a database it offers nothing.
func (a *app) completeBackfills(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var r runFlags
	if len(args) > 0 || a.configure(cmd) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	m, err := a.migrator(&r)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	list, err := m.Backfills(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, b := range list {
		out = append(out, string(b.Version)+"\t"+b.Name+", "+string(b.State))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func newBackfillStatusCommand(a *app) *cobra.Command {
	var r runFlags
	var exit bool
	cmd := &cobra.Command{
		Use:     "status [VERSION]",
		Short:   "Show how far backfills are, and what they wait for",
		Example: "  pawl backfill status\n  pawl backfill status 0042 --format json\n  pawl backfill status --exit-code      # exit 1 unless all are done",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			list, err := m.Backfills(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) == 1 {
				v, err := versionArgument(args[0])
				if err != nil {
					return err
				}
				var one []*migrate.BackfillStatus
				for _, b := range list {
					if b.Version == v {
						one = append(one, b)
					}
				}
				if list = one; len(list) == 0 {
					return &migrate.RefusedError{Message: fmt.Sprintf("there is no backfill of version %s", v), Hint: "see `pawl backfill status`"}
				}
			}
			if err := a.printBackfills(list); err != nil {
				return err
			}
			for _, b := range list {
				if exit && b.State != migrate.BackfillDone {
					return silentError{exitRefused}
				}
			}
			return nil
		},
		ValidArgsFunction: a.completeBackfills,
	}
	cmd.Flags().BoolVar(&exit, "exit-code", false, "exit with 1 unless every backfill is done")
	return cmd
}

func newBackfillPauseCommand(a *app) *cobra.Command {
	return a.backfillTurn("pause VERSION", "Stop a backfill after the batch that is under way; it keeps its place", `  pawl backfill pause 0042 --reason "month end"`,
		func(ctx context.Context, m *migrate.Migrator, v migrate.Version, reason string) (*migrate.BackfillStatus, error) {
			return m.PauseBackfill(ctx, v, reason)
		})
}

func newBackfillResumeCommand(a *app) *cobra.Command {
	return a.backfillTurn("resume VERSION", "Let a backfill go on that was paused, aborted or has failed", "  pawl backfill resume 0042",
		func(ctx context.Context, m *migrate.Migrator, v migrate.Version, _ string) (*migrate.BackfillStatus, error) {
			return m.ResumeBackfill(ctx, v)
		})
}

func newBackfillAbortCommand(a *app) *cobra.Command {
	return a.backfillTurn("abort VERSION", "Give a backfill up; what it has changed stays, and contracts that need it stay held", `  pawl backfill abort 0042 --reason "the table goes anyway"`,
		func(ctx context.Context, m *migrate.Migrator, v migrate.Version, reason string) (*migrate.BackfillStatus, error) {
			return m.AbortBackfill(ctx, v, reason)
		})
}

func (a *app) backfillTurn(use, short, example string, turn func(context.Context, *migrate.Migrator, migrate.Version, string) (*migrate.BackfillStatus, error)) *cobra.Command {
	var r runFlags
	var reason string
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := versionArgument(args[0])
			if err != nil {
				return err
			}
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			b, err := turn(cmd.Context(), m, v, reason)
			if err != nil {
				return err
			}
			if a.json() {
				return a.printBackfills([]*migrate.BackfillStatus{b})
			}
			fmt.Fprintf(a.stdout, "%s: %s\n", b.Name, b.Describe())
			return nil
		},
		ValidArgsFunction: a.completeBackfills,
	}
	if !strings.HasPrefix(use, "resume") {
		cmd.Flags().StringVar(&reason, "reason", "", "why; it is stored and shown")
	}
	return cmd
}

func (a *app) printBackfills(list []*migrate.BackfillStatus) error {
	if a.json() {
		out := struct {
			Version   int            `json:"version"`
			Backfills []backfillJSON `json:"backfills"`
		}{1, backfillsJSON(list)}
		return writeJSON(a.stdout, out)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.stdout, "no backfill has been queued")
	}
	for _, b := range list {
		a.printBackfill(b)
	}
	return nil
}

func (a *app) printBackfill(b *migrate.BackfillStatus) {
	fmt.Fprintf(a.stdout, "%-8s %s  %s\n", b.State, b.Name, strings.TrimPrefix(strings.TrimPrefix(b.Describe(), string(b.State)), ", "))
	if b.GoesBy != "" {
		fmt.Fprintf(a.stdout, "         goes through %s by %s", b.Table, b.GoesBy)
		if b.Ranges > 1 {
			fmt.Fprintf(a.stdout, "; %d of %d ranges are done", b.RangesDone, b.Ranges)
		}
		fmt.Fprintln(a.stdout)
	}
	if b.Batches > 0 {
		fmt.Fprintf(a.stdout, "         %d rows changed in %d batches, of %d rows lately; pass %d; %s of log\n", b.RowsChanged, b.Batches, b.BatchSize, b.Pass, bytesOf(b.WALBytes))
	}
	for _, u := range b.Unwatched {
		fmt.Fprintf(a.stdout, "         cannot be watched: %s\n", u)
	}
}

func bytesOf(n int64) string {
	const mega = 1 << 20
	if n < mega {
		return strconv.FormatInt(n>>10, 10) + " kB"
	}
	return strconv.FormatInt(n/mega, 10) + " MB"
}
