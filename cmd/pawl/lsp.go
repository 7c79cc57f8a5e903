package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/lint"
	"github.com/bitvault/pawl/lint/lsp"
)

func newLSPCommand(a *app) *cobra.Command {
	var f lintFlags
	cmd := &cobra.Command{
		Use:   "lsp",
		Short: "Serve an editor: findings while you type, what an operation does, and the cures",
		Long: `lsp speaks the Language Server Protocol over standard input and output. It is started by an editor, in the directory of pawl.yaml.

Findings are those of pawl lint, against the earlier files of the directory as the editor has them. Over an operation, hover tells
its phase, its locks, whether it rewrites or reads a table, and what it takes from code. Code actions are the cures of
pawl lint --fix, and the comment that allows a finding.`,
		Example: `  pawl lsp

  # Neovim
  vim.lsp.config('pawl', { cmd = { 'pawl', 'lsp' }, filetypes = { 'sql' }, root_markers = { 'pawl.yaml', '.git' } })
  vim.lsp.enable('pawl')

  # Helix, languages.toml
  [language-server.pawl]
  command = "pawl"
  args = ["lsp"]`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			options, _, err := a.lintOptions(&f)
			if err != nil {
				return err
			}
			if _, err := lint.New(options); err != nil {
				return &usageError{message: err.Error(), hint: "`pawl explain` lists the rules"}
			}
			server := lsp.New(lsp.Options{Lint: options, Before: filesBefore, Version: pawlVersion()})
			err = server.Serve(cmd.Context(), os.Stdin, os.Stdout)
			if errors.Is(err, lsp.ErrNoShutdown) {
				return silentError{1} // as the protocol has it
			}
			if err != nil {
				return fmt.Errorf("serve the editor: %w", err)
			}
			return nil
		},
	}
	f.judging(cmd)
	// Some editors say how they talk; there is one way.
	cmd.Flags().Bool("stdio", true, "talk over standard input and output")
	_ = cmd.Flags().MarkHidden("stdio")
	return cmd
}
