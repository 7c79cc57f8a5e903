package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/internal/files"
	"github.com/bitvault/pawl/migrate"
)

func newRepairCommand(a *app) *cobra.Command {
	var r runFlags
	var o migrate.RepairOptions
	var was string
	cmd := &cobra.Command{
		Use:   "repair [--dry-run]",
		Short: "Put right what interrupted runs have left, where it is proved to be safe",
		Long: `Compares files, ledger and catalog, and puts right what they prove together:

  - a migration that was begun and did not end, of which the catalog shows that it is done, or that nothing of it is
  - an INVALID index that an interrupted REINDEX CONCURRENTLY left beside the valid one (_ccnew, _ccold): it is dropped
  - an INVALID index that an applied file makes: it is built anew, beside reads and writes
  - a DETACH PARTITION … CONCURRENTLY of an applied file that is pending: it is finished
  - an applied file that was edited in blanks and comments alone: PostgreSQL's parser says the same of both texts. The text
    that was applied comes from git's history of the file, or from --was; it has to have the ledger's checksum

Whatever is not proved is told with what a person has to do. Nothing is done while another session works on the table.
What is done, with its proof, and what is refused, is recorded: pawl log.

Exit codes: 0 nothing is left to do; 1 a person has to do something; 4 another pawl is at work; 5 a repair failed.`,
		Example: `  pawl repair --dry-run                    # what is wrong, and what would be done about it
  pawl repair --reason "the node was lost in the middle of release r41"
  pawl repair --was /tmp/r40/migrations    # texts as they were applied, where git does not have them
  pawl log --kind repaired`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			if o.Texts, err = a.texts(was); err != nil {
				return err
			}
			list, err := m.Repair(cmd.Context(), o)
			if err != nil {
				return err
			}
			if a.json() {
				err = a.repairJSON(list, o.DryRun)
			} else {
				a.printRepairs(list)
			}
			if err != nil {
				return err
			}
			return repairOutcome(list)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.DryRun, "dry-run", false, "say what would be done, and do nothing; a standby will do")
	f.StringVar(&o.Reason, "reason", "", "recorded with what is done, besides the proof")
	f.StringVar(&r.by, "by", "", "who you are (default: the user that CI or the system names); the database role is recorded in any case")
	f.StringVar(&was, "was", "", "directory that has files as they were applied (default: git's history of the file)")
	f.DurationVar(&r.wait, "wait", 10*time.Minute, "how long to wait for another pawl at work")
	f.DurationVar(&r.lockDeadline, "lock-deadline", 10*time.Minute, "how long to wait for the transactions that a repair has to outlast")
	_ = cmd.MarkFlagDirname("was")
	return cmd
}

// texts gives what finds earlier texts of a migration's file: in a directory, or else in git.
func (a *app) texts(was string) (func(context.Context, *migrate.Migration) ([][]byte, error), error) {
	if was == "" {
		return func(ctx context.Context, m *migrate.Migration) ([][]byte, error) { return a.gitTexts(ctx, m), nil }, nil
	}
	list, err := migrate.Load(files.Dir(was), was)
	if err != nil {
		return nil, err
	}
	return func(_ context.Context, m *migrate.Migration) ([][]byte, error) {
		for _, old := range list {
			if old.Version != m.Version {
				continue
			}
			text, err := os.ReadFile(old.Path)
			if err != nil {
				return nil, fmt.Errorf("read the file as it was: %w", err)
			}
			return [][]byte{text}, nil
		}
		return nil, nil
	}, nil
}

// gitTexts gives every text that git knows of a migration, on whatever branch and under whatever name; none outside of a repository.
func (a *app) gitTexts(ctx context.Context, m *migrate.Migration) [][]byte {
	out, err := git(ctx, nil, "-C", a.flags.dir, "log", "--all", "--no-renames", "--raw", "--no-abbrev", "--format=", "--", ".")
	if err != nil {
		return nil
	}
	var texts [][]byte
	seen := map[string]bool{}
	for line := range strings.SplitSeq(out, "\n") {
		// ":100644 100644 OLD NEW M\tpath"
		fields, path, _ := strings.Cut(line, "\t")
		words := strings.Fields(fields)
		const old, now = 2, 3
		if len(words) <= now || !strings.Contains(path, m.Label) {
			continue
		}
		for _, blob := range words[old : now+1] {
			if seen[blob] || strings.Trim(blob, "0") == "" {
				continue
			}
			seen[blob] = true
			if text, err := git(ctx, nil, "-C", a.flags.dir, "cat-file", "blob", blob); err == nil {
				texts = append(texts, []byte(text))
			}
		}
	}
	return texts
}

func (a *app) printRepairs(list []migrate.Repair) {
	for _, f := range list {
		fmt.Fprintf(a.stdout, "%-19s  %s\n", f.State, f.What)
		if f.Proof != "" {
			fmt.Fprintf(a.stdout, "  proof: %s\n", f.Proof)
		}
		word := "done"
		switch f.State {
		case migrate.Repairable:
			word = "would do"
		case migrate.Repaired:
		case migrate.NotRepaired:
			word = "tried"
		default:
			word = "to do"
		}
		fmt.Fprintf(a.stdout, "  %s: %s\n", word, f.Do)
		if f.Err != nil {
			fmt.Fprintf(a.stdout, "  error: %s\n", redact(f.Err.Error()))
		}
	}
	if len(list) == 0 {
		fmt.Fprintln(a.stdout, "nothing to repair")
	}
}

func (a *app) repairJSON(list []migrate.Repair, dry bool) error {
	type repair struct {
		Kind    string              `json:"kind"`
		State   migrate.RepairState `json:"state"`
		Version string              `json:"version,omitempty"`
		Path    string              `json:"path,omitempty"`
		What    string              `json:"what"`
		Proof   string              `json:"proof,omitempty"`
		Do      string              `json:"do"`
		Error   string              `json:"error,omitempty"`
	}
	out := struct {
		Version int      `json:"version"`
		DryRun  bool     `json:"dry_run"`
		Repairs []repair `json:"repairs"`
	}{1, dry, []repair{}}
	for _, f := range list {
		one := repair{Kind: f.Kind, State: f.State, Version: string(f.Version), Path: f.Path, What: f.What, Proof: f.Proof, Do: f.Do}
		if f.Err != nil {
			one.Error = redact(f.Err.Error())
		}
		out.Repairs = append(out.Repairs, one)
	}
	return writeJSON(a.stdout, out)
}

// repairOutcome gives the exit code: the worst of the findings.
func repairOutcome(list []migrate.Repair) error {
	code := exitOK
	for _, f := range list {
		switch f.State {
		case migrate.NotRepaired:
			code = exitFailure
		case migrate.Personal:
			code = max(code, exitRefused)
		case migrate.Repaired, migrate.Repairable, migrate.NextRun:
		}
	}
	if code == exitOK {
		return nil
	}
	return silentError{code}
}
