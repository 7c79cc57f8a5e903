package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/refs"
)

func newRefsCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "refs",
		Short: "Build manifests: what a release may send",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	m := evidence.Manifest{Version: evidence.ManifestVersion, Status: "complete", Statements: []evidence.Statement{}}
	var sql []string
	var output string
	build := &cobra.Command{
		Use:     "build --sql GLOB --consumer NAME --release ID",
		Short:   "Write the manifest of a release whose SQL stands in .sql files",
		Example: "  pawl refs build --sql 'queries/**/*.sql' --consumer gateway --release r42 -o pawl.refs.json",
		Args:    cobra.NoArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			if m.Consumer == "" || m.Release == "" || len(sql) == 0 {
				return &usageError{message: "--consumer, --release and --sql are needed", hint: "a release without its consumer's name cannot be told from another's"}
			}
			root, err := filepath.Abs(".")
			if err != nil {
				return fmt.Errorf("find the working directory: %w", err)
			}
			for i, pattern := range sql {
				if sql[i], err = filepath.Abs(pattern); err != nil {
					return fmt.Errorf("find the query files: %w", err)
				}
			}
			if err := refs.SQLFiles(&m, root, sql); err != nil {
				return &usageError{message: err.Error()}
			}
			if output == "" || output == "-" {
				return m.Write(a.stdout)
			}
			return writeManifest(&m, output)
		},
	}
	f := build.Flags()
	f.StringArrayVar(&sql, "sql", nil, "pattern of .sql files; ** matches directories; may be repeated")
	f.StringVar(&m.Consumer, "consumer", "", "name of the program that sends these statements")
	f.StringVar(&m.Release, "release", "", "build id of the release")
	f.StringSliceVar(&m.Digests, "digest", nil, "image digest of the release; may be repeated")
	f.StringVarP(&output, "output", "o", "", "file to write (default: standard output)")
	cmd.AddCommand(build)
	return cmd
}

func writeManifest(m *evidence.Manifest, path string) (err error) {
	out, err := os.Create(path) //nolint:gosec // the user names the file
	if err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	defer func() {
		if closeErr := out.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("write the manifest: %w", closeErr)
		}
	}()
	return m.Write(out)
}
