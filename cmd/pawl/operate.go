package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/internal/files"
	"github.com/bitvault/pawl/migrate"
)

func newNewCommand(a *app) *cobra.Command {
	var phase string
	var stamp bool
	cmd := &cobra.Command{
		Use:     "new NAME…",
		Short:   "Write the next, empty migration file",
		Example: "  pawl new add users email_address\n  pawl new drop users email --phase contract",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := oneOf("phase", phase, "", "expand", "backfill", "contract"); err != nil {
				return err
			}
			name := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(strings.Join(args, "_")), "_"), "_")
			if name == "" {
				return &usageError{message: "the name has no letters or digits"}
			}
			version, err := nextVersion(a.flags.dir, stamp)
			if err != nil {
				return err
			}
			path := filepath.Join(a.flags.dir, version+"_"+name+".sql")
			text := ""
			if phase != "" {
				text = "-- pawl:phase " + phase + "\n"
			}
			if err := os.MkdirAll(a.flags.dir, 0o755); err != nil { //nolint:gosec // source code is for all to read
				return fmt.Errorf("make the migrations directory: %w", err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // see above
				return fmt.Errorf("write the migration: %w", err)
			}
			fmt.Fprintln(a.stdout, path)
			return nil
		},
	}
	cmd.Flags().StringVar(&phase, "phase", "", "assert the phase: expand, backfill or contract")
	cmd.Flags().BoolVar(&stamp, "timestamp", false, "number by the time instead of counting on")
	cmd.AddCommand(newDualWriteCommand(a))
	return cmd
}

func nextVersion(dir string, stamp bool) (string, error) {
	if stamp {
		return time.Now().UTC().Format("20060102150405"), nil
	}
	files, err := migrate.Load(files.Dir(dir), dir)
	var bad *migrate.FileError
	switch {
	case errors.As(err, &bad) && (bad.Err == nil || errors.Is(bad.Err, fs.ErrNotExist)) && len(files) == 0 && bad.Path == dir:
		return "0001", nil
	case err != nil:
		return "", err
	}
	return after(files[len(files)-1].Label), nil
}

// after counts a version on by one and keeps its width.
func after(version string) string {
	next := []byte(version)
	for i := len(next) - 1; ; i-- {
		if i < 0 {
			return "1" + string(next)
		}
		if next[i] != '9' {
			next[i]++
			return string(next)
		}
		next[i] = '0'
	}
}

func newDownCommand(a *app) *cobra.Command {
	var r runFlags
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Undo the newest migration, in a development database only",
		Long: `Runs NAME.down.sql of the newest applied migration. It works only in a database that was stamped dev at its first use; in any
other there is no way down: roll forward with a new migration, with point-in-time recovery as the last resort.`,
		Example: "  pawl down",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.migrator(&r)
			if err != nil {
				return err
			}
			f, err := m.Down(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "undone    %s\n", f.Name)
			return nil
		},
	}
	return cmd
}
