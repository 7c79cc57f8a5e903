package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/lint"
	"github.com/bitvault/pawl/lint/report"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/layout"
	"github.com/bitvault/pawl/phases/parse"
)

// lintFlags are the flags of `pawl lint`.
type lintFlags struct {
	version      string
	selected     []string
	ignored      []string
	failOn       string
	transactions string
	always       bool
	fix, diff    bool
	base         string
	baseline     string
	stats        string
	write        bool
}

func newLintCommand(a *app) *cobra.Command {
	var f lintFlags
	cmd := &cobra.Command{
		Use:   "lint [FILE|DIR…]",
		Short: "Find in migrations what hurts in production",
		Long: `lint reads migrations in order and tells what blocks traffic, breaks deployed code, loses data, fails, or cannot be told. What it says
depends on the schema that the earlier files leave: an index on a table made in the same file is no hazard, one on a table
with traffic is.

Without arguments it reads the directory of --dir. Files given by name are judged after those that stand before them.
With --base only the files that a branch adds are judged, after all that the base revision has; a file of the base that the branch
edits, deletes or gets ahead of is an error, for it may be applied already.

--format is text, json, sarif, github (annotations), gitlab (Code Quality), junit, or markdown (for a comment on a pull request).
A comment silences a finding where it is right as it is: -- pawl:allow RULE: reason`,
		Example: `  pawl lint
  pawl lint migrations/0042_drop_email.sql --pg-version 17
  pawl lint --base origin/main         # on a pull request
  pawl lint --select style --ignore length-limit
  pawl lint --format sarif > pawl.sarif
  pawl lint --stats pawl-stats.json    # what blocks a table that is small in production is a note only
  pawl lint --write-baseline           # on an old repository: what is there is known, what comes new is told
  pawl lint --fix                      # cure what can be cured mechanically
  pawl explain blocking-index          # why, and how to do it safely`,
		Annotations: map[string]string{formatsAnnotation: strings.Join(report.Formats(), ",")},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.lint(cmd.Context(), args, &f)
		},
	}
	f.judging(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.failOn, "fail-on", "warning", "the mildest severity that makes the exit code 1: info, warning, error or none")
	_ = cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions([]string{"info", "warning", "error", "none"}, cobra.ShellCompDirectiveNoFileComp))
	flags.StringVar(&f.base, "base", "", "revision that the branch starts from, such as origin/main: only what the branch adds is judged")
	flags.StringVar(&f.baseline, "baseline", "", "file with findings that are known and not told again")
	flags.BoolVar(&f.write, "write-baseline", false, "write what is found into the baseline (default "+defaultBaseline+"), and succeed")
	flags.BoolVar(&f.fix, "fix", false, "write the mechanical cures into the files, and into new ones right behind them")
	flags.BoolVar(&f.diff, "diff", false, "print what --fix would change, and change nothing")
	_ = cmd.MarkFlagFilename("baseline", "json")
	return cmd
}

// judging registers the flags that say how files are judged.
func (f *lintFlags) judging(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.version, "pg-version", "", "PostgreSQL major to judge for (default the oldest supported, 14)")
	flags.StringSliceVar(&f.selected, "select", nil, "rules or groups to switch on besides the defaults: a rule's name, style, strict, all")
	flags.StringSliceVar(&f.ignored, "ignore", nil, "rules or groups to switch off")
	flags.StringVar(&f.transactions, "transactions", "", "who runs the files: statement (nobody wraps them), file (pawl), always (a tool wraps every file)\n(default file where there is a pawl.yaml, else statement)")
	flags.StringVar(&f.stats, "stats", "", "file with the sizes of production's tables, of pawl doctor --export-stats: what blocks a small one is a note only")
	_ = cmd.MarkFlagFilename("stats", "json")
	flags.BoolVar(&f.always, "assume-in-transaction", false, "the same as --transactions=always")
	for name, words := range map[string][]string{
		"select": slices.Concat(lint.Groups(), lint.Names()), "ignore": slices.Concat(lint.Groups(), lint.Names()),
		"transactions": {"statement", "file", "always"}, "pg-version": {"14", "15", "16", "17", "18"},
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
}

// lintOptions turns flags and configuration into the linter's options.
func (a *app) lintOptions(f *lintFlags) (lint.Options, lint.Severity, error) {
	o := lint.Options{Config: a.lintConfig, Free: new(takenVersions).free}
	var err error
	if o.Version, err = postgresMajor(f.version); err != nil {
		return o, 0, err
	}
	if err := oneOf("transactions", f.transactions, "", string(lint.ByStatement), string(lint.ByFile), string(lint.Always)); err != nil {
		return o, 0, err
	}
	o.Transactions = lint.Transactions(f.transactions)
	switch {
	case f.always:
		o.Transactions = lint.Always
	case o.Transactions == "" && a.flags.config != "":
		o.Transactions = lint.ByFile
	}
	if o.Stats, err = readStats(f.stats); err != nil {
		return o, 0, err
	}
	o.Config.Select = slices.Concat(o.Config.Select, f.selected)
	o.Config.Ignore = slices.Concat(o.Config.Ignore, f.ignored)
	failOn := lint.Error + 1
	if f.failOn != "none" && f.failOn != "" {
		if failOn, err = lint.ParseSeverity(f.failOn); err != nil || failOn == lint.Off {
			return o, 0, &usageError{message: fmt.Sprintf("--fail-on is %q, and must be one of info, warning, error, none", f.failOn)}
		}
	}
	return o, failOn, nil
}

// readStats reads the sizes of tables that a flag names; nil for none.
func readStats(path string) (*lint.Stats, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no file is no sizes
	}
	data, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, &usageError{message: fmt.Sprintf("read the sizes of tables %s: %v", path, pathCause(err)), hint: "`pawl doctor --export-stats FILE` writes it, from a database like production"}
	}
	s, err := lint.ReadStats(data)
	if err != nil {
		return nil, &usageError{message: fmt.Sprintf("read the sizes of tables %s: %v", path, err), hint: "`pawl doctor --export-stats FILE` writes it"}
	}
	return s, nil
}

// postgresMajor reads a version such as 17 or 17.2; empty is 0.
func postgresMajor(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	major, _, _ := strings.Cut(text, ".")
	n, err := strconv.Atoi(major)
	if err != nil || n < 14 || n > 18 {
		return 0, &usageError{message: fmt.Sprintf("--pg-version %s: pawl knows PostgreSQL 14 to 18", text)}
	}
	return n, nil
}

// lint judges the files and reports what it finds.
func (a *app) lint(ctx context.Context, args []string, f *lintFlags) error {
	options, failOn, err := a.lintOptions(f)
	if err != nil {
		return err
	}
	var sources []source
	if f.base != "" {
		var b *branch
		if sources, b, err = a.baseSources(ctx, f.base, args); err == nil {
			options.StoppedUse = b.stoppedUses(ctx, sources)
		}
	} else {
		sources, err = readSources(a.flags.dir, args)
	}
	if err != nil {
		return err
	}
	if f.write {
		return a.writeBaseline(options, sources, f)
	}
	if options.Baseline, err = readBaseline(f.baseline); err != nil {
		return err
	}
	linter, err := lint.New(options)
	if err != nil {
		return &usageError{message: err.Error(), hint: "`pawl explain` lists the rules"}
	}
	if f.fix || f.diff {
		return a.lintFix(linter, sources, f.diff)
	}
	w, err := report.New(a.flags.format, a.stdout, report.Options{Color: a.color(a.stdout), Width: width(a.stdout), FailOn: failOn, Version: pawlVersion()})
	if err != nil {
		return &usageError{message: err.Error()}
	}
	if err := w.Begin(); err != nil {
		return err
	}
	failed, place := false, a.placer()
	unread, err := eachLinted(linter, sources, func(s *lint.Source, found []lint.Finding) error {
		if err := w.File(place(s.File.Path)); err != nil {
			return err
		}
		for i := range found {
			failed = failed || found[i].Severity >= failOn
			found[i].Path = place(found[i].Path)
			if err := w.Finding(&found[i], s.File.Text); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if stale := linter.StaleBaseline(gone(options.Baseline)); len(stale) > 0 {
		path := place(stale[0].Path)
		if err := w.File(path); err != nil {
			return err
		}
		for i := range stale {
			failed = failed || stale[i].Severity >= failOn
			stale[i].Path = path
			if err := w.Finding(&stale[i], options.Baseline.Text); err != nil {
				return err
			}
		}
	}
	if err := w.End(linter.Summary()); err != nil {
		return err
	}
	switch {
	case len(unread) > 0:
		return &usageError{message: strings.Join(unread, "\n      ")}
	case failed:
		return silentError{exitRefused}
	}
	return nil
}

// collecting keeps the garbage in the heap to some 12 MB: what lives is cheap to mark while it is little, and grows with the schema.
type collecting struct {
	live [1]metrics.Sample
	last uint64
}

// adjust sets the percentage at which the heap is collected, if a collection found more alive than the one before.
func (c *collecting) adjust() {
	const room, least = 12 << 20, 4 << 20 // the runtime reckons from 4 MB where less is alive
	c.live[0].Name = "/gc/heap/live:bytes"
	metrics.Read(c.live[:])
	alive := uint64(least)
	if c.live[0].Value.Kind() == metrics.KindUint64 {
		alive = max(alive, c.live[0].Value.Uint64())
	}
	if alive > c.last {
		c.last = alive
		debug.SetGCPercent(int(room * 100 / alive)) //nolint:gosec // a percentage
	}
}

// eachLinted reads the files on all cores, a window at a time so that memory stays bounded, judges them in order, and hands over the
// findings of each. A file that cannot be read hides no other: the errors are given at the end.
func eachLinted(linter *lint.Linter, sources []source, see func(*lint.Source, []lint.Finding) error) (unread []string, err error) {
	const window = 16
	if len(sources) > window {
		// What lives is the schema, packed and cheap to mark; the rest is garbage of a few files.
		percent := debug.SetGCPercent(100)
		defer debug.SetGCPercent(percent)
	}
	var heap collecting
	for start := 0; start < len(sources); start += window {
		batch := sources[start:min(start+window, len(sources))]
		if len(sources) > window {
			heap.adjust()
		}
		readFiles(batch)
		for i := range batch {
			s := &batch[i]
			if s.err != nil {
				unread = append(unread, fmt.Sprintf("read %s: %v", s.path, pathCause(s.err)))
				continue
			}
			one := &lint.Source{File: s.file, Layout: s.layout, Change: s.change}
			if s.mark {
				linter.Mark()
			}
			if s.context {
				linter.Learn(one)
			} else if err := see(one, linter.Check(one)); err != nil {
				return nil, err
			}
			s.file, s.layout, s.text = nil, nil, nil
		}
	}
	return unread, nil
}

// readSources lists the files to judge, in order, with those that they build on. It goes into directories: some tools keep each
// migration in one of its own.
func readSources(dir string, args []string) ([]source, error) {
	if len(args) == 0 {
		args = []string{dir}
	}
	var out []source
	seen := map[string]int{}
	add := func(path string, context bool) {
		if i, ok := seen[path]; ok {
			out[i].context = out[i].context && context
			return
		}
		seen[path] = len(out)
		out = append(out, source{path: path, context: context})
	}
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, &usageError{message: fmt.Sprintf("read %s: %v", arg, pathCause(err))}
		}
		if info.IsDir() {
			list, err := treeFiles(arg)
			if err != nil {
				return nil, err
			}
			if len(list) == 0 {
				return nil, &usageError{message: fmt.Sprintf("there are no .sql files in %s", arg)}
			}
			for _, path := range list {
				add(path, false)
			}
			continue
		}
		for _, path := range filesBefore(filepath.Clean(arg)) {
			add(path, true)
		}
		add(filepath.Clean(arg), false)
		out[seen[filepath.Clean(arg)]].named = true
	}
	return out, nil
}

// filesBefore lists the migrations that stand before a file: those of its directory with lower versions, or of its directory's
// siblings where each has one of its own.
func filesBefore(file string) []string {
	root := filepath.Dir(file)
	if !fileVersion().MatchString(filepath.Base(file)) {
		root = filepath.Dir(filepath.Dir(file))
		if !fileVersion().MatchString(filepath.Base(filepath.Dir(file))) {
			return nil
		}
	}
	list, err := treeFiles(root)
	if err != nil {
		return nil
	}
	mine := slashed(root, file)
	return slices.DeleteFunc(list, func(path string) bool {
		rest := slashed(root, path)
		return compareTree(rest, mine) >= 0 || !fileVersion().MatchString(strings.Split(rest, "/")[0])
	})
}

// treeFiles lists the .sql files of a directory and of those below it, each directory in the order of the versions in its names.
// Links to directories are not followed, so that none can lead in a circle.
func treeFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, &usageError{message: fmt.Sprintf("read %s: %v", dir, pathCause(err))}
	}
	var list []fs.DirEntry
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || name == "node_modules" || !e.IsDir() && !strings.HasSuffix(name, ".sql") {
			continue
		}
		list = append(list, e)
	}
	slices.SortStableFunc(list, func(x, y fs.DirEntry) int { return compareTree(x.Name(), y.Name()) })
	var out []string
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			below, err := treeFiles(path)
			if err != nil {
				return nil, err
			}
			out = append(out, below...)
			continue
		}
		if n, _ := layout.ParseName(e.Name()); !n.Down {
			out = append(out, path)
		}
	}
	return out, nil
}

// compareTree orders paths below one directory: by the versions in the names, part by part.
func compareTree(x, y string) int {
	for {
		a, restX, moreX := strings.Cut(x, "/")
		b, restY, moreY := strings.Cut(y, "/")
		if c := compareNames(a, b); c != 0 || !moreX || !moreY {
			return c
		}
		x, y = restX, restY
	}
}

func compareNames(a, b string) int {
	n, _ := layout.ParseName(a)
	o, _ := layout.ParseName(b)
	if n.Repeatable != o.Repeatable {
		// What runs again whenever it changes comes last.
		if n.Repeatable {
			return 1
		}
		return -1
	}
	v, known := versionIn(a)
	w, alike := versionIn(b)
	if known && alike {
		if c := v.Compare(w); c != 0 {
			return c
		}
	}
	return cmp.Compare(a, b)
}

// parseForward parses a file without the part that leads back.
func parseForward(path string, src []byte) (*phases.File, *lint.Layout) {
	text, how := lint.Read(path, src)
	return parse.File(path, text), how
}

// placer gives how the format names files. GitHub and GitLab look for them below the directory of the checkout, which need not be the
// working directory.
func (a *app) placer() func(string) string {
	name := map[string]string{"github": "GITHUB_WORKSPACE", "sarif": "GITHUB_WORKSPACE", "gitlab": "CI_PROJECT_DIR"}[a.flags.format]
	root, _ := a.env(name)
	wd, err := os.Getwd()
	if name == "" || root == "" || err != nil {
		return func(path string) string { return path }
	}
	return func(path string) string {
		full := path
		if !filepath.IsAbs(path) {
			full = filepath.Join(wd, path)
		}
		rel, err := filepath.Rel(root, full)
		if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return path
		}
		return rel
	}
}

// color reports whether a writer shows colours: NO_COLOR (https://no-color.org) says no, CLICOLOR_FORCE yes, and without either a
// terminal does.
func (a *app) color(w io.Writer) bool {
	if no, ok := a.env("NO_COLOR"); ok && no != "" {
		return false
	}
	if force, ok := a.env("CLICOLOR_FORCE"); ok && force != "" && force != "0" {
		return true
	}
	if on, ok := a.env("CLICOLOR"); ok && on == "0" {
		return false
	}
	if t, _ := a.env("TERM"); t == "dumb" {
		return false
	}
	return terminal(w)
}
