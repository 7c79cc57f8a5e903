package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/internal/pgserver"
)

func newDemoCommand(a *app) *cobra.Command {
	var example string
	var major int
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play a rollout of three releases on a throwaway PostgreSQL",
		Long: `Starts a private PostgreSQL, migrates the example in testdata/examples/bitvault and deploys its releases one after another: a
contract is held while a release that needs the old shape may run, and goes through once none does. Everything it starts
is removed at the end.`,
		Example: "  pawl demo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &demo{app: a, example: example}
			return d.play(cmd.Context(), major)
		},
	}
	cmd.Flags().StringVar(&example, "example", filepath.Join("testdata", "examples", "bitvault"), "directory of the example")
	cmd.Flags().IntVar(&major, "pg", 0, "PostgreSQL major to use (default: any that is at hand)")
	_ = cmd.MarkFlagDirname("example")
	return cmd
}

// demo plays the example by pawl's own command line, so that what it shows is what a user would see.
type demo struct {
	app     *app
	example string
	url     string
	dir     string
}

func (d *demo) play(ctx context.Context, major int) (err error) {
	if _, err := os.Stat(filepath.Join(d.example, "migrations")); err != nil {
		return &usageError{
			message: fmt.Sprintf("the example is not at %s", d.example),
			hint:    "run it from a clone of pawl's repository, or say where the example is with --example",
		}
	}
	d.say("Starting a throwaway PostgreSQL …")
	server, err := pgserver.Start(ctx, pgserver.Options{Major: major})
	if err != nil {
		return fmt.Errorf("start a throwaway PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if d.url, err = server.CreateDatabase(ctx, "bitvault", ""); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "pawl-demo-"); err != nil {
		return fmt.Errorf("make a directory for the demo: %w", err)
	}
	defer os.RemoveAll(d.dir)
	return d.story(ctx)
}

// story is the rollout, step by step. Every step says which exit code it expects, so that the demo is a test of itself.
func (d *demo) story(ctx context.Context) error {
	consumers := []string{"gateway", "bitvaultd", "worker"}
	manifests := func(release string) []string {
		var args []string
		for _, c := range consumers {
			args = append(args, "--manifest", filepath.Join(d.example, "releases", release, c+".refs.json"))
		}
		return args
	}
	live := func(release string) error {
		for _, c := range consumers {
			if err := d.pawl(ctx, exitOK, "release", "live", c, release); err != nil {
				return err
			}
		}
		return nil
	}
	retire := func(release, reason string) error {
		for _, c := range consumers {
			if err := d.pawl(ctx, exitOK, "release", "retire", c, release, "--reason", reason); err != nil {
				return err
			}
		}
		return nil
	}

	d.chapter("1. Release r1 is deployed to an empty database",
		"The PreSync Job of each deployment runs `pawl migrate` from the release's image, with that release's migrations and manifests.")
	if err := d.release("0004"); err != nil {
		return err
	}
	if err := d.pawl(ctx, exitOK, append([]string{"migrate"}, manifests("r1")...)...); err != nil {
		return err
	}
	if err := live("r1"); err != nil {
		return err
	}
	if err := d.seed(ctx); err != nil {
		return err
	}

	d.chapter("2. Release r2 renames users.email the safe way",
		"It adds the new column, keeps both in step by a trigger, and copies the old values. r1 and r2 run side by side.")
	if err := d.release("0013"); err != nil {
		return err
	}
	if err := d.pawl(ctx, exitOK, append([]string{"migrate"}, manifests("r2")...)...); err != nil {
		return err
	}
	d.say("The data moves in the background, in a Job of its own:")
	if err := d.pawl(ctx, exitOK, "backfill", "run", "--all", "--until-done"); err != nil {
		return err
	}
	if err := live("r2"); err != nil {
		return err
	}

	d.chapter("3. Release r3 no longer needs the old columns, and brings the contracts that drop them",
		"r1 and r2 may still come back: a canary can be aborted, a deployment reverted. So the contracts are held, and r3 rolls out.")
	if err := d.release(""); err != nil {
		return err
	}
	if err := d.pawl(ctx, exitOK, append([]string{"migrate"}, manifests("r3")...)...); err != nil {
		return err
	}
	if err := live("r3"); err != nil {
		return err
	}
	if err := d.pawl(ctx, exitOK, "release", "list"); err != nil {
		return err
	}

	d.chapter("4. r1 can never run again", "In real life the rollback window passes; here an operator retires it.")
	if err := retire("r1", "its images are deleted"); err != nil {
		return err
	}
	d.say("What only r1 needed goes now. What r2 needs stays held, with the statement that needs it:")
	if err := d.pawl(ctx, exitOK, "migrate"); err != nil {
		return err
	}

	d.chapter("5. r2 is gone, too", "Nobody needs the old shape any more: the rest goes through.")
	if err := retire("r2", "its images are deleted"); err != nil {
		return err
	}
	if err := d.pawl(ctx, exitOK, "migrate"); err != nil {
		return err
	}
	if err := d.pawl(ctx, exitOK, "migrate"); err != nil {
		return err
	}

	d.chapter("6. There is no way back", "A down-migration against production is refused; pawl rolls forward.")
	if err := d.pawl(ctx, exitRefused, "down"); err != nil {
		return err
	}
	d.say("\nThat was pawl: expand, move the data, and contract only when nobody needs the old shape.")
	return nil
}

func (d *demo) say(text string) { fmt.Fprintln(d.app.stdout, text) }

func (d *demo) chapter(title, text string) {
	fmt.Fprintf(d.app.stdout, "\n%s\n%s\n%s\n", title, strings.Repeat("-", len(title)), text)
}

// release fills the demo's migrations directory with the example's files up to a version: what a release's image holds.
func (d *demo) release(last string) error {
	from := filepath.Join(d.example, "migrations")
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("read the example: %w", err)
	}
	for _, e := range entries {
		if last != "" && e.Name() > last+"~" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(from, e.Name())) //nolint:gosec // a file of the example
		if err != nil {
			return fmt.Errorf("read the example: %w", err)
		}
		if err := os.WriteFile(filepath.Join(d.dir, e.Name()), data, 0o600); err != nil {
			return fmt.Errorf("copy the example: %w", err)
		}
	}
	return nil
}

// pawl runs one command line in this process, after showing it.
func (d *demo) pawl(ctx context.Context, want int, args ...string) error {
	shown := make([]string, 0, len(args))
	for _, a := range args {
		if strings.ContainsRune(a, ' ') {
			a = `"` + a + `"`
		}
		shown = append(shown, strings.TrimPrefix(a, d.example+string(filepath.Separator)))
	}
	fmt.Fprintf(d.app.stdout, "\n$ pawl %s\n", strings.Join(shown, " "))
	args = append(args, "--dir", d.dir, "--database-url", d.url, "--format", "text", "--config", os.DevNull)
	sub := &app{stdout: d.app.stdout, stderr: d.app.stdout, env: func(string) (string, bool) { return "", false }}
	root := newRootCommand(sub)
	root.SetArgs(args)
	root.SetOut(d.app.stdout)
	root.SetErr(d.app.stdout)
	got := exitOK
	if err := root.ExecuteContext(ctx); err != nil {
		sub.report(err)
		got = exitCode(err)
		if ctx.Err() != nil {
			return err
		}
	}
	if got != want {
		return fmt.Errorf("the demo went wrong: `pawl %s` exited with %d, not %d", strings.Join(shown, " "), got, want)
	}
	if got != exitOK {
		fmt.Fprintf(d.app.stdout, "(exit code %d)\n", got)
	}
	return nil
}

// seed puts rows into the tables: what r1's users have left there.
func (d *demo) seed(ctx context.Context) error {
	text, err := os.ReadFile(filepath.Join(d.example, "seed.sql"))
	if err != nil {
		return fmt.Errorf("read the example's data: %w", err)
	}
	conn, err := pgx.Connect(ctx, d.url)
	if err != nil {
		return fmt.Errorf("connect to fill the example: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.PgConn().Exec(ctx, string(text)).ReadAll(); err != nil {
		return fmt.Errorf("fill the example: %w", err)
	}
	d.say("\n(r1's users fill the tables: a few hundred users, vaults and files)")
	return nil
}
