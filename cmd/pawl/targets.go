package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/bitvault/pawl/internal/telemetry"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/gate"
)

// target is one of many databases, or schemas, that have the same migrations.
type target struct {
	Name string `yaml:"name"`
	// One of these says where it is; without any it is the database of the flags.
	URLFile string `yaml:"database-url-file"`
	URLEnv  string `yaml:"database-url-env"`
	URL     string `yaml:"database-url"`
	// Schema is the tenant's, where a database has one for each.
	Schema string `yaml:"schema"`
}

// targetFlags are the flags of `pawl migrate` about many targets.
type targetFlags struct {
	file     string
	shard    string
	parallel int
	failFast bool
}

func (t *targetFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&t.file, "targets", "", "migrate every database or schema of this YAML file: targets: [{name: a, database-url-file: /etc/pawl/a, schema: a}]")
	f.StringVar(&t.shard, "shard", "", "with --targets: take only the I-th of N shares of them, like $JOB_COMPLETION_INDEX/8; I counts from 0")
	f.IntVar(&t.parallel, "parallel", 4, "with --targets: how many to work on at once")
	f.BoolVar(&t.failFast, "fail-fast", false, "with --targets: begin no further one after one has failed")
	_ = cmd.MarkFlagFilename("targets", "yaml", "yml")
}

// readTargets reads the file and takes the share that is asked for.
func readTargets(file, shard string) ([]target, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the user names the file
	if err != nil {
		return nil, &usageError{message: fmt.Sprintf("read the targets: %v", err)}
	}
	var list struct {
		Targets []target `yaml:"targets"`
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&list); err != nil {
		return nil, &usageError{message: fmt.Sprintf("%s: %v", file, err), hint: "it is like\n  targets:\n    - {name: acme, database-url-file: /etc/pawl/acme, schema: acme}"}
	}
	if len(list.Targets) == 0 {
		return nil, &usageError{message: file + ": there are no targets in it", hint: "it is like\n  targets:\n    - {name: acme, database-url-file: /etc/pawl/acme}"}
	}
	seen := map[string]bool{}
	for i, t := range list.Targets {
		from := 0
		for _, where := range []string{t.URLFile, t.URLEnv, t.URL} {
			if where != "" {
				from++
			}
		}
		switch {
		case t.Name == "":
			return nil, &usageError{message: fmt.Sprintf("%s: target %d has no name", file, i+1)}
		case seen[t.Name]:
			return nil, &usageError{message: fmt.Sprintf("%s: there are two targets of the name %s", file, t.Name)}
		case from > 1:
			return nil, &usageError{message: fmt.Sprintf("%s: target %s has its URL from several places", file, t.Name), hint: "give one of database-url-file, database-url-env and database-url"}
		}
		seen[t.Name] = true
	}
	if shard == "" {
		return list.Targets, nil
	}
	index, count, ok := strings.Cut(shard, "/")
	i, err1 := strconv.Atoi(index)
	n, err2 := strconv.Atoi(count)
	if !ok || err1 != nil || err2 != nil || n < 1 || i < 0 || i >= n {
		return nil, &usageError{message: fmt.Sprintf("--shard %s is no share", shard), hint: "like 0/8 for the first of eight: in an Indexed Job, --shard $(JOB_COMPLETION_INDEX)/8"}
	}
	var mine []target
	for at, t := range list.Targets {
		if at%n == i {
			mine = append(mine, t)
		}
	}
	return mine, nil
}

// outcome is what became of one target.
type outcome struct {
	target target
	result migrate.Result
	err    error
	begun  bool
}

func (o outcome) state() string {
	switch {
	case !o.begun:
		return "not begun"
	case o.err != nil:
		return "failed"
	case len(o.result.Held) > 0:
		return "held"
	}
	return "ok"
}

// exit gives the code that a run on this target alone would have had.
func (o outcome) exit() int {
	if o.err == nil {
		return exitOK
	}
	return exitCode(o.err)
}

// worse orders the exit codes of many targets: a failure that no repetition cures comes before one that it may, so that a Job which
// goes by the code is not retried for nothing.
func worse(a, b int) int {
	for _, code := range []int{143, 130, exitFailure, exitUsage, exitRefused, exitUnknown, exitTransient} {
		if a == code || b == code {
			return code
		}
	}
	return exitOK
}

// migrateTargets migrates each target with the same flags. One that fails does not stop the others.
func (a *app) migrateTargets(ctx context.Context, r *runFlags, f targetFlags) error {
	if f.parallel < 1 {
		return &usageError{message: "--parallel has to be 1 at least"}
	}
	targets, err := readTargets(f.file, f.shard)
	if err != nil {
		return err
	}
	if err := a.measure(); err != nil {
		return err
	}
	// It is one Job, whatever the number of its targets.
	if a.kube, err = a.cluster(r.kubernetes); err != nil {
		return err
	}
	outcomes := make([]outcome, len(targets))
	out, errs := &sharedWriter{w: a.stdout}, &sharedWriter{w: a.stderr}
	next := make(chan int)
	var wait sync.WaitGroup
	var failed sync.Once
	stop := make(chan struct{})
	for range min(f.parallel, max(len(targets), 1)) {
		wait.Go(func() {
			for i := range next {
				o := &outcomes[i]
				o.begun = true
				span := a.telemetry.Begin(a.span, a.command, targets[i].Name)
				o.result, o.err = a.migrateTarget(ctx, r, targets[i], span, out, errs)
				span.End(o.exit(), o.err)
				if o.err != nil && f.failFast {
					failed.Do(func() { close(stop) })
				}
			}
		})
	}
	for i, t := range targets {
		outcomes[i].target = t
		if ctx.Err() != nil {
			continue
		}
		select {
		case <-stop:
			continue
		default:
		}
		select {
		case next <- i:
		case <-stop:
		case <-ctx.Done():
		}
	}
	close(next)
	wait.Wait()
	return a.summarize(ctx, outcomes)
}

// forTarget gives what works on one target; what it tells carries the target's name.
func (a *app) forTarget(t target, span *telemetry.Run, out, errs *sharedWriter) (*app, error) {
	one := &app{
		stdout: &lineWriter{to: out, prefix: t.Name + ": "}, stderr: errs, env: a.env, flags: a.flags, lintConfig: a.lintConfig,
		settings: a.settings, consumers: a.consumers, working: true, target: t.Name, command: a.command, telemetry: a.telemetry, span: span,
	}
	if a.logs() {
		one.flags.format = "json"
	} else {
		one.flags.format = "text"
	}
	if t.Schema != "" {
		one.flags.schema = t.Schema
	}
	switch {
	case t.URLFile != "":
		one.flags.databaseURL, one.flags.databaseURLFile = "", t.URLFile
	case t.URL != "":
		one.flags.databaseURL = t.URL
	case t.URLEnv != "":
		url, ok := a.env(t.URLEnv)
		if !ok || url == "" {
			return nil, &usageError{message: fmt.Sprintf("the environment has no %s, which should hold the URL of %s", t.URLEnv, t.Name)}
		}
		one.flags.databaseURL = url
	}
	return one, nil
}

// recordInTargets records a release's event in the ledger of each target. One that fails does not stop the others; of the errors
// the worst is given.
func (a *app) recordInTargets(ctx context.Context, r *runFlags, file string, pairs [][2]string, kind gate.EventKind, reason string) error {
	targets, err := readTargets(file, "")
	if err != nil {
		return err
	}
	out, errs := &sharedWriter{w: a.stdout}, &sharedWriter{w: a.stderr}
	code := exitOK
	for _, t := range targets {
		one, err := a.forTarget(t, a.span, out, errs)
		if err == nil {
			err = one.record(ctx, r, pairs, kind, reason)
		}
		if err != nil {
			fmt.Fprintf(a.stdout, "failed    %s: %s\n", t.Name, redact(strings.Join(append([]string{err.Error()}, details(err)...), "\n")))
			a.words.failed = append(a.words.failed, failedTarget{t.Name, err})
			code = worse(code, exitCode(err))
		}
	}
	if code != exitOK {
		return silentError{code}
	}
	return nil
}

// migrateTarget migrates one target.
func (a *app) migrateTarget(ctx context.Context, r *runFlags, t target, span *telemetry.Run, out, errs *sharedWriter) (migrate.Result, error) {
	one, err := a.forTarget(t, span, out, errs)
	if err != nil {
		return migrate.Result{}, err
	}
	m, err := one.migrator(r)
	if err != nil {
		return migrate.Result{}, err
	}
	defer a.words.take(t.Name, &one.words)
	return m.Migrate(ctx)
}

// summarize tells what became of all targets, and gives the worst as an error that is told already.
func (a *app) summarize(ctx context.Context, outcomes []outcome) error {
	type one struct {
		Name    string   `json:"name"`
		Schema  string   `json:"schema,omitempty"`
		State   string   `json:"state"`
		Exit    int      `json:"exit"`
		Applied int      `json:"applied"`
		Held    int      `json:"held"`
		Total   int      `json:"total"`
		Error   string   `json:"error,omitempty"`
		Detail  []string `json:"detail,omitempty"`
	}
	code, counts := exitOK, map[string]int{}
	list := []one{}
	for _, o := range outcomes {
		j := one{o.target.Name, o.target.Schema, o.state(), o.exit(), len(o.result.Applied), len(o.result.Held), o.result.Total, "", nil}
		if o.err != nil {
			j.Error, j.Detail = o.err.Error(), details(o.err)
			a.words.failed = append(a.words.failed, failedTarget{j.Name, o.err})
		}
		code = worse(code, j.Exit)
		counts[j.State]++
		list = append(list, j)
	}
	var stopped interruptedError
	if errors.As(context.Cause(ctx), &stopped) {
		code = exitCode(stopped)
	}
	summary := fmt.Sprintf("%d targets: %d ok, %d held, %d failed, %d not begun", len(list), counts["ok"], counts["held"], counts["failed"], counts["not begun"])
	switch {
	case a.json():
		doc := struct {
			Version int   `json:"version"`
			Exit    int   `json:"exit"`
			Targets []one `json:"targets"`
		}{1, code, list}
		if err := writeJSON(a.stdout, doc); err != nil {
			return err
		}
	case a.logs():
		for _, j := range list {
			line := a.logger().Info()
			if j.Error != "" {
				line = a.logger().Error().Str("error", j.Error).Strs("detail", j.Detail)
			}
			line.Str("target", j.Name).Str("state", j.State).Int("exit", j.Exit).Int("applied", j.Applied).Int("held", j.Held).Int("total", j.Total).Msg("target finished")
		}
		a.logger().Info().Int("exit", code).Int("ok", counts["ok"]).Int("held", counts["held"]).Int("failed", counts["failed"]).Int("not_begun", counts["not begun"]).Msg("targets finished")
	default:
		for _, j := range list {
			fmt.Fprintf(a.stdout, "%-9s %s", j.State, j.Name)
			if j.Error != "" {
				fmt.Fprintf(a.stdout, " (exit %d): %s\n", j.Exit, j.Error)
				for _, d := range j.Detail {
					fmt.Fprintln(a.stdout, d)
				}
				continue
			}
			if j.State != "not begun" {
				fmt.Fprintf(a.stdout, ": %d applied now, %d in all, %d held", j.Applied, j.Total, j.Held)
			}
			fmt.Fprintln(a.stdout)
		}
		fmt.Fprintln(a.stdout, summary)
	}
	if code != exitOK {
		return silentError{code}
	}
	return nil
}

// sharedWriter lets several write, one whole write after another.
type sharedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *sharedWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// lineWriter gives whole lines on, each behind a prefix.
type lineWriter struct {
	to     io.Writer
	prefix string
	rest   []byte
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		if _, err := io.WriteString(l.to, l.prefix+string(l.rest[:i+1])); err != nil {
			return 0, err
		}
		l.rest = l.rest[i+1:]
	}
}
