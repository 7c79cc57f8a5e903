package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

func newAckCommand(a *app) *cobra.Command {
	var r runFlags
	var g gate.Acknowledgement
	var until, by string
	cmd := &cobra.Command{
		Use:   "ack OBJECT --consumer NAME --reason TEXT --until WHEN",
		Short: "Answer for a consumer not needing an object, where pawl cannot prove it",
		Long: `Records that you answer for a consumer not needing an object, until a moment. Findings of the gate about both no longer
block then; they stay in every decision, with your name, your reason and the end. What PostgreSQL proves to break is
covered only with --broken.

OBJECT is the name that the finding gives: users.email, public.users, a function, a type. A table does not stand for its
columns. WHEN is how long (72h, 14d) or a date (2026-03-01, 2026-03-01T12:00:00Z), by the database's clock.`,
		Example: `  pawl ack users.email --consumer reports --reason "the report reads it by hand only" --until 14d
  pawl ack users.email --consumer api --release r41 --broken --reason "the page that sends it is switched off" --until 72h
  pawl ack list
  pawl ack revoke 7 --reason "the page is back"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if g.Object = args[0]; g.Consumer == "" || g.Reason == "" || until == "" {
				return &usageError{message: "--consumer, --reason and --until are needed", hint: "an acknowledgement is for one consumer, says why, and ends"}
			}
			lasts, at, err := parseWhen(until)
			if err != nil {
				return err
			}
			g.Until = at
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			stored, err := m.Acknowledge(cmd.Context(), g, lasts, a.person(by))
			if err != nil {
				return err
			}
			if a.json() {
				return writeJSON(a.stdout, struct {
					Version         int                  `json:"version"`
					Acknowledgement migrate.Acknowledged `json:"acknowledgement"`
				}{1, migrate.AcknowledgedOf(stored)})
			}
			fmt.Fprintf(a.stdout, "recorded %d: %s answers for %s not needing %s until %s\n", stored.ID, stored.By,
				consumerName(stored.Consumer, stored.Release), stored.Object, minute(stored.Until))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&g.Consumer, "consumer", "", "whose need you answer for; role:NAME for a role that belongs to no consumer")
	f.StringVar(&g.Release, "release", "", "only this release of it (default: all)")
	f.BoolVar(&g.Broken, "broken", false, "answer even for what PostgreSQL proves to break")
	f.StringVar(&until, "until", "", "how long (72h, 14d), or up to which date")
	f.StringVar(&g.Reason, "reason", "", "why; it is printed with every later decision")
	f.StringVar(&by, "by", "", "who you are (default: the user that CI or the system names); the database role is recorded in any case")
	cmd.AddCommand(newAckListCommand(a), newAckRevokeCommand(a))
	return cmd
}

func newAckListCommand(a *app) *cobra.Command {
	var r runFlags
	return &cobra.Command{
		Use:     "list",
		Short:   "Show the acknowledgements that nobody has taken back",
		Example: "  pawl ack list\n  pawl ack list --format json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			list, now, err := m.Acknowledgements(cmd.Context())
			if err != nil {
				return err
			}
			if a.json() {
				out := []migrate.Acknowledged{}
				for _, g := range list {
					out = append(out, migrate.AcknowledgedOf(g))
				}
				return writeJSON(a.stdout, struct {
					Version          int                    `json:"version"`
					At               time.Time              `json:"at"`
					Acknowledgements []migrate.Acknowledged `json:"acknowledgements"`
				}{1, now.UTC(), out})
			}
			if len(list) == 0 {
				fmt.Fprintln(a.stdout, "nothing is acknowledged")
				return nil
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tOBJECT\tCONSUMER\tCOVERS\tUNTIL\tBY\tREASON")
			for _, g := range list {
				covers, end := "what is not proved", minute(g.Until)
				if g.Broken {
					covers = "what breaks, too"
				}
				if !now.Before(g.Until) {
					end += " (over)"
				}
				fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", g.ID, g.Object, consumerName(g.Consumer, g.Release), covers, end, g.By, g.Reason)
			}
			return w.Flush()
		},
	}
}

func newAckRevokeCommand(a *app) *cobra.Command {
	var r runFlags
	var reason, by string
	cmd := &cobra.Command{
		Use:     "revoke ID --reason TEXT",
		Short:   "Take an acknowledgement back",
		Example: `  pawl ack revoke 7 --reason "the page is back"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return &usageError{message: fmt.Sprintf("%q is no number", args[0]), hint: "see `pawl ack list`"}
			}
			if reason == "" {
				return &usageError{message: "give --reason TEXT: it is recorded with who gave it"}
			}
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			if err := m.RevokeAcknowledgement(cmd.Context(), id, reason, a.person(by)); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "taken back: %d\n", id)
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is recorded")
	cmd.Flags().StringVar(&by, "by", "", "who you are (default: the user that CI or the system names)")
	return cmd
}

// person gives who acts: as said, or as the CI or the system names the user.
func (a *app) person(said string) evidence.Person {
	if said != "" {
		return evidence.Person(said)
	}
	for _, name := range []string{"GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER", "LOGNAME"} {
		if who, ok := a.env(name); ok && who != "" {
			return evidence.Person(who)
		}
	}
	return ""
}

// parseWhen reads a duration, also in days, or a date.
func parseWhen(text string) (lasts time.Duration, at time.Time, err error) {
	if d, err := parseDays(text); err == nil {
		if d <= 0 {
			return 0, time.Time{}, &usageError{message: fmt.Sprintf("--until %s is not in the future", text)}
		}
		return d, time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return 0, at, nil
		}
	}
	return 0, time.Time{}, &usageError{message: fmt.Sprintf("--until %q is neither a duration nor a date", text), hint: "like 72h, 14d, 2026-03-01 or 2026-03-01T12:00:00Z"}
}

// parseDays reads Go's durations, and days.
func parseDays(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		return time.Duration(n * float64(day)), err
	}
	return time.ParseDuration(text)
}

func consumerName(consumer, release string) string {
	if release == "" {
		return consumer
	}
	return consumer + "@" + release
}

// moment gives nil for the zero time.
func moment(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}

// minute shows a moment as people read it.
func minute(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 MST") }
