package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/bitvault/pawl/internal/files"
	"github.com/bitvault/pawl/internal/telemetry"
	"github.com/bitvault/pawl/lint"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// version is set by the linker; a build without it names its commit.
var version = "" //nolint:gochecknoglobals // the linker can set package variables only

// app is what the commands of one invocation share.
type app struct {
	stdout, stderr io.Writer
	env            func(string) (string, bool)
	flags          sharedFlags
	// lintConfig is the part of pawl.yaml under `lint`.
	lintConfig lint.Config
	// settings are those of pawl.yaml by the names of flags, consumers those under `consumers`.
	settings  map[string]string
	consumers map[string]consumerConfig
	// working is true for commands that work on a database for a while and tell about it as they go.
	working bool
	// command is the command's name; telemetry and span are nil where the environment asks for none.
	command   string
	telemetry *telemetry.Telemetry
	span      *telemetry.Run
	// target is the one of many that this is about; empty otherwise.
	target string
	bar    backfillBar
	words  lastWords
	// kube is the Kubernetes API that the command may ask; nil where it is not to be asked.
	kube    *clusterSource
	metrics backfillMetrics
}

// sharedFlags are the flags of the root command.
type sharedFlags struct {
	config          string
	dir             string
	databaseURL     string
	databaseURLFile string
	environment     string
	format          string
	terminationLog  string
	schema          string
}

func newRootCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pawl",
		Short: "Forward-only PostgreSQL migrations that enforce expand/contract",
		Long: `pawl applies SQL migrations to PostgreSQL, forward only. It knows what each one does to code that already runs, and
holds a contract (a change that takes something away) until no release that runs, or may come back, needs the old shape.

Settings come from flags, then PAWL_… environment variables (--lock-deadline is PAWL_LOCK_DEADLINE), then pawl.yaml, then
DATABASE_URL and the PG… variables of libpq.`,
		Example: `  pawl new add users email                 # write the next migration file
  pawl lint                                # what hurts in production, and how to do it safely
  pawl classify migrations/0042_x.sql      # what it does, to code and to traffic
  pawl migrate --manifest pawl.refs.json   # in the PreSync Job
  pawl status                              # what is applied, what is held, and why`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       pawlVersion(),
		Args:          cobra.ArbitraryArgs,
		RunE:          subcommand,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.configure(cmd)
		},
	}
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &usageError{message: err.Error(), hint: fmt.Sprintf("see `%s --help`", c.CommandPath())}
	})
	f := cmd.PersistentFlags()
	f.StringVar(&a.flags.config, "config", "", "configuration file (default pawl.yaml, where it exists)")
	f.StringVar(&a.flags.dir, "dir", "migrations", "directory of the migration files")
	f.StringVar(&a.flags.databaseURL, "database-url", "", "PostgreSQL URL or libpq connection string; a direct one, not a pooler's")
	f.StringVar(&a.flags.databaseURLFile, "database-url-file", "", "file that holds the URL, such as a mounted Secret")
	f.StringVar(&a.flags.schema, "schema", "", "tenant's schema, where a database has one for each: it has a history and a ledger (pawl_SCHEMA) of its own")
	f.StringVar(&a.flags.environment, "env", "", "what a new database is stamped as: production (the default) or dev")
	f.StringVar(&a.flags.format, "format", "", "output format: text or json, and what the command's help names (default: text on a terminal; logs are JSON elsewhere)")
	f.StringVar(&a.flags.terminationLog, "termination-log", "", "file for a short account of the outcome, at most 4096 bytes (default: in a pod, where POD_NAME is set, "+terminationLog+")")
	_ = cmd.RegisterFlagCompletionFunc("env", cobra.FixedCompletions([]string{"production", "dev"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("format", func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		if list, ok := c.Annotations[formatsAnnotation]; ok {
			return strings.Split(list, ","), cobra.ShellCompDirectiveNoFileComp
		}
		return []string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.MarkPersistentFlagDirname("dir")
	_ = cmd.MarkPersistentFlagFilename("config", "yaml", "yml")
	cmd.AddGroup(&cobra.Group{ID: "write", Title: "Writing migrations:"}, &cobra.Group{ID: "run", Title: "Running them:"},
		&cobra.Group{ID: "gate", Title: "Releases and the gate:"})
	for _, group := range []struct {
		id   string
		list []*cobra.Command
	}{
		{"write", []*cobra.Command{newNewCommand(a), newLintCommand(a), newLSPCommand(a), newExplainCommand(a), newClassifyCommand(a)}},
		{"run", []*cobra.Command{newMigrateCommand(a), newVerifyCommand(a), newManifestsCommand(a), newPlanCommand(a), newStatusCommand(a), newLogCommand(a), newAdoptCommand(a), newBackfillCommand(a), newSoftDropCommand(a), newRepairCommand(a), newResolveCommand(a), newDoctorCommand(a), newDownCommand(a)}},
		{"gate", []*cobra.Command{newGateCommand(a), newReleaseCommand(a), newAckCommand(a), newObserveCommand(a), newRefsCommand(a)}},
	} {
		for _, c := range group.list {
			c.GroupID = group.id
			cmd.AddCommand(c)
		}
	}
	cmd.AddCommand(newConfigCommand(a), newDemoCommand(a))
	eachCommand(cmd, func(c *cobra.Command) {
		if args := c.Args; args != nil {
			c.Args = func(c *cobra.Command, list []string) error {
				if err := args(c, list); err != nil {
					return &usageError{message: err.Error(), hint: fmt.Sprintf("see `%s --help`", c.CommandPath())}
				}
				return nil
			}
		}
	})
	return cmd
}

// subcommand is what a command does that only groups others: it shows its help, or says that there is no such command.
func subcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	hint := fmt.Sprintf("see `%s --help`", cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("did you mean `%s %s`?", cmd.CommandPath(), near[0])
	}
	return &usageError{message: fmt.Sprintf("unknown command %q of `%s`", args[0], cmd.CommandPath()), hint: hint}
}

func eachCommand(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		eachCommand(sub, f)
	}
}

func pawlVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "dev-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "dev"
}

// logs reports whether what a command tells is for machines: JSON was asked for, or it works where nobody watches.
func (a *app) logs() bool {
	switch a.flags.format {
	case "json":
		return true
	case "text":
		return false
	}
	return a.working && !terminal(a.stderr) && !terminal(a.stdout)
}

// width gives the columns of a terminal, at most what is comfortable to read; 0 for what is none.
func width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd())) //nolint:gosec // descriptors are small
	if err != nil {
		return 0
	}
	return min(max(columns, 40), 120)
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // descriptors are small
}

func (a *app) logger() *zerolog.Logger {
	with := zerolog.New(a.stderr).With().Timestamp()
	if a.target != "" {
		with = with.Str("target", a.target)
	}
	l := with.Logger()
	return &l
}

// text reports whether a command that answers a question is to answer a person at a terminal.
func (a *app) text() bool { return !a.json() && !a.markdown() }

// markdown reports whether the answer is for a page or a comment.
func (a *app) markdown() bool { return a.flags.format == "markdown" }

// json reports whether a command that answers a question is to answer in JSON.
func (a *app) json() bool { return a.flags.format == "json" }

// database gives the connection that the settings name. No error repeats the URL, for it may hold a password.
func (a *app) database() (*pgx.ConnConfig, error) {
	url, err := a.databaseURL()
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, &usageError{message: "the database URL cannot be read: " + lastError(err), hint: "it is like postgres://user@host:5432/database?sslmode=verify-full, or libpq's host=… dbname=…"}
	}
	return config, nil
}

func lastError(err error) string {
	if file := (*fs.PathError)(nil); errors.As(err, &file) {
		// such as a certificate's; the path is no secret
		return file.Error()
	}
	for {
		next := errors.Unwrap(err)
		if next == nil {
			break
		}
		err = next
	}
	text := err.Error()
	// net/url repeats the whole URL in front of what is wrong with it.
	if i := strings.LastIndex(text, `": `); i >= 0 {
		text = text[i+3:]
	}
	return text
}

func (a *app) databaseURL() (string, error) {
	if a.flags.databaseURL != "" {
		return a.flags.databaseURL, nil
	}
	if path := a.flags.databaseURLFile; path != "" {
		data, err := os.ReadFile(path) //nolint:gosec // the user names the file
		if err != nil {
			return "", &usageError{message: fmt.Sprintf("read the database URL: %v", err)}
		}
		if url := strings.TrimSpace(strings.TrimPrefix(string(data), "\ufeff")); url != "" {
			return url, nil
		}
		return "", &usageError{message: fmt.Sprintf("%s is empty; it should hold the database URL", path)}
	}
	if url, ok := a.env("DATABASE_URL"); ok && url != "" {
		return url, nil
	}
	for _, name := range []string{"PGHOST", "PGDATABASE", "PGSERVICE", "PGUSER", "PGPORT"} {
		if v, ok := a.env(name); ok && v != "" {
			return "", nil
		}
	}
	return "", &usageError{
		message: "no database is given",
		hint:    "give --database-url or --database-url-file, or set PAWL_DATABASE_URL, DATABASE_URL or libpq's PGHOST, PGDATABASE, …",
	}
}

// application is how pawl names itself in pg_stat_activity: with the pod that it runs in, or the host.
func (a *app) application() string {
	name, ok := a.env("POD_NAME")
	if !ok || name == "" {
		name, _ = os.Hostname()
	}
	return strings.TrimSuffix("pawl/"+name, "/")
}

// runFlags are the flags of commands that work on a database.
type runFlags struct {
	manifests        []string
	onBlocked        string
	deployGate       string
	lane             string
	restorePoint     string
	outOfOrder       string
	gateDev          bool
	possible         string
	roles            string
	by               string
	window           time.Duration
	keepPrevious     int
	wait             time.Duration
	lockTimeout      time.Duration
	maxLockTimeout   time.Duration
	lockDeadline     time.Duration
	statementTimeout time.Duration
	runBackfills     bool
	kubernetes       kubernetesFlags
}

func (r *runFlags) policy(f *pflag.FlagSet) {
	f.DurationVar(&r.window, "gate-window", 7*24*time.Hour, "how long a superseded release may come back")
	f.IntVar(&r.keepPrevious, "gate-keep-previous", 1, "how many superseded releases may come back however old they are")
	f.StringVar(&r.possible, "gate-possible", "warn", "what to do where only values decide: warn or block")
	f.StringVar(&r.roles, "gate-roles", "warn", "about login roles that can touch what is taken and belong to no consumer: warn, enforce (block) or off")
	f.BoolVar(&r.gateDev, "gate-dev", false, "hold contracts in a database stamped dev too")
	r.kubernetes.register(f)
}

func (r *runFlags) run(f *pflag.FlagSet) {
	r.policy(f)
	f.StringVar(&r.outOfOrder, "out-of-order", "independent", "files that come late: independent (apply an expand that shares nothing with later ones) or refuse")
}

// migrator makes the Migrator that the flags describe.
func (a *app) migrator(r *runFlags) (*migrate.Migrator, error) {
	policy, err := r.gatePolicy()
	if err != nil {
		return nil, err
	}
	if err := oneOf("env", a.flags.environment, "", "production", "dev"); err != nil {
		return nil, err
	}
	if err := oneOf("on-blocked", r.onBlocked, "", "hold", "fail"); err != nil {
		return nil, err
	}
	if err := oneOf("deploy-gate", r.deployGate, "", "refuse", "warn", "off"); err != nil {
		return nil, err
	}
	if err := oneOf("lane", r.lane, "", "all", "expand", "contract"); err != nil {
		return nil, err
	}
	if err := oneOf("restore-point", r.restorePoint, "", "require", "try", "off"); err != nil {
		return nil, err
	}
	if err := oneOf("out-of-order", r.outOfOrder, "", "independent", "refuse"); err != nil {
		return nil, err
	}
	for flag, d := range map[string]time.Duration{
		"gate-window": r.window, "wait": r.wait, "lock-timeout": r.lockTimeout, "max-lock-timeout": r.maxLockTimeout,
		"lock-deadline": r.lockDeadline, "statement-timeout": r.statementTimeout,
	} {
		// PostgreSQL counts in milliseconds, and takes a timeout of none for no bound.
		if d < 0 || d > 0 && d < time.Millisecond {
			return nil, &usageError{message: fmt.Sprintf("--%s is %s, and must be 1ms at least", flag, d)}
		}
	}
	if r.keepPrevious < 0 {
		return nil, &usageError{message: fmt.Sprintf("--gate-keep-previous is %d, and cannot be less than 0", r.keepPrevious)}
	}
	config, err := a.database()
	if err != nil {
		return nil, err
	}
	if err := a.measure(); err != nil {
		return nil, err
	}
	var manifests []*evidence.Manifest
	for _, path := range r.manifests {
		m, err := evidence.ReadManifest(path)
		if err != nil {
			return nil, err
		}
		manifests = append(manifests, m)
	}
	cluster, err := a.cluster(r.kubernetes)
	if err != nil {
		return nil, err
	}
	a.kube = cluster
	roles := map[string][]string{}
	for name, c := range a.consumers {
		roles[name] = c.roles
	}
	return migrate.New(config, files.Dir(a.flags.dir), migrate.Options{
		Roles: roles, Fleet: cluster.fleet(), Digests: cluster.digests(),
		Root: a.flags.dir, Schema: a.flags.schema, Environment: migrate.Environment(a.flags.environment), Manifests: manifests, Policy: policy,
		FailOnBlocked: r.onBlocked == "fail", Incoming: migrate.Incoming(r.deployGate), Lane: migrate.Lane(r.lane),
		Restore: migrate.Restore(r.restorePoint), GateDev: r.gateDev, OutOfOrder: migrate.OutOfOrder(r.outOfOrder),
		Wait: r.wait, LockTimeout: r.lockTimeout, MaxLockTimeout: r.maxLockTimeout, LockDeadline: r.lockDeadline,
		StatementTimeout: r.statementTimeout, Application: a.application(), Person: string(a.person(r.by)), PawlVersion: pawlVersion(), OnEvent: a.onEvent(), InlineBackfills: r.runBackfills,
	}), nil
}

func (r *runFlags) gatePolicy() (gate.Policy, error) {
	if err := oneOf("gate-possible", r.possible, "", "warn", "block"); err != nil {
		return gate.Policy{}, err
	}
	if err := oneOf("gate-roles", r.roles, "", "warn", "enforce", "off"); err != nil {
		return gate.Policy{}, err
	}
	keep := r.keepPrevious
	if keep == 0 {
		keep = -1
	}
	return gate.Policy{Window: cmp.Or(r.window, time.Nanosecond), KeepPrevious: keep, BlockPossible: r.possible == "block",
		EnforceRoles: r.roles == "enforce", IgnoreRoles: r.roles == "off"}, nil
}

func oneOf(flag, value string, allowed ...string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return &usageError{message: fmt.Sprintf("--%s is %q, and must be one of %s", flag, value, strings.Join(nonEmpty(allowed), ", "))}
}

func nonEmpty(list []string) []string {
	var out []string
	for _, s := range list {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}
