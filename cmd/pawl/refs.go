package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bitvault/pawl/harvest"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
	"github.com/bitvault/pawl/phases/refs"
)

func newRefsCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "refs",
		Short: "Build and read manifests: what a release may send",
		Long: `A manifest says what one release of one program may send to the database. It is built from the source where the release is
built, and goes into its image. What cannot be told from the source is listed in it, and makes it partial: a partial
manifest blocks every contract until what it lists is settled.`,
		Args: cobra.ArbitraryArgs,
		RunE: subcommand,
	}
	cmd.AddCommand(newRefsBuildCommand(a), newRefsHarvestCommand(a), newRefsShowCommand(a), newRefsDiffCommand(a), newRefsCheckCommand(a))
	return cmd
}

func newRefsBuildCommand(a *app) *cobra.Command {
	var o refs.Options
	var consumer, release, output string
	var digests, trust []string
	cmd := &cobra.Command{
		Use:   "build --consumer NAME --release ID [--go ./...] [--sql GLOB] …",
		Short: "Write the manifest of a release from its source",
		Long: `build reads source and writes what the release may send. Sites in the manifest are relative to the working directory.

Go source is followed from each call that sends SQL back to the strings. Where that fails, a comment above the call
settles it:

  //pawl:sql SELECT …       the call sends this (may be repeated)
  //pawl:tables a,b         whatever the call sends, it uses these relations and no others
  //pawl:ignore REASON      what the call sends does not matter`,
		Example: `  pawl refs build --go ./cmd/gateway --consumer gateway --release "$GIT_SHA" -o pawl.refs.json
  pawl refs build --sql 'queries/**/*.sql' --consumer report --release r42 -o pawl.refs.json
  pawl refs build --prisma prisma/schema.prisma --consumer web --release r7
  pawl refs build --consumer api --release r7    # as pawl.yaml says under consumers`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if consumer == "" || release == "" {
				return &usageError{message: "--consumer and --release are needed", hint: "a release without its consumer's name cannot be told from another's"}
			}
			o.Tagged = cmd.Flags().Changed("tags")
			if known, ok := a.consumers[consumer]; ok && !hasSource(o) {
				o, trust = known.source, append(known.trust, trust...)
			}
			var err error
			if o.Trust, err = parseTrust(trust); err != nil {
				return err
			}
			done := a.refsProgress(&o)
			m, counts, err := refs.Build(cmd.Context(), consumer, release, o)
			done()
			if err != nil {
				return sourceUsage(err)
			}
			m.Digests = digests
			slices.Sort(m.Digests)
			if output == "" || output == "-" {
				err = m.Write(a.stdout)
			} else {
				err = writeManifest(m, output)
			}
			if err != nil {
				return err
			}
			a.refsSummary(m, counts)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.Go, "go", nil, "Go packages, such as ./cmd/gateway or ./...; may be repeated")
	f.StringSliceVar(&o.Tags, "tags", nil, "build tags of the release; give it empty where there are none")
	f.StringArrayVar(&o.SQL, "sql", nil, "pattern of .sql files; ** matches directories; may be repeated")
	f.StringArrayVar(&o.SQLC, "sqlc", nil, "sqlc's configuration, sqlc.yaml; may be repeated")
	f.StringArrayVar(&o.SQLx, "sqlx", nil, "directory that `cargo sqlx prepare` writes (.sqlx); may be repeated")
	f.Lookup("sqlx").Usage = "directory that cargo sqlx prepare writes (.sqlx); may be repeated"
	f.StringArrayVar(&o.Prisma, "prisma", nil, "Prisma schema file or directory; may be repeated")
	f.StringArrayVar(&o.Tokens, "tokens", nil, "directory of source in any language, read for its words alone; may be repeated")
	f.StringArrayVar(&trust, "trust", nil, "MODULE=REASON: a dependency whose own SQL need not be known; may be repeated")
	f.StringVar(&consumer, "consumer", "", "name of the program that sends these statements")
	f.StringVar(&release, "release", "", "build id of the release")
	f.StringSliceVar(&digests, "digest", nil, "image digest of the release; may be repeated")
	f.StringVarP(&output, "output", "o", "", "file to write (default: standard output)")
	return cmd
}

// sourceUsage shows errors of the source with what to do about them.
func sourceUsage(err error) error {
	var source *refs.SourceError
	if errors.As(err, &source) {
		return &usageError{message: source.Message, hint: source.Hint}
	}
	return err
}

// refsProgress shows on a terminal what is being done; done clears the line.
func (a *app) refsProgress(o *refs.Options) (done func()) {
	f, ok := a.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) { //nolint:gosec // descriptors are small
		return func() {}
	}
	o.Progress = func(step string) { fmt.Fprintf(a.stderr, "\r\x1b[K%s", step) }
	return func() { fmt.Fprint(a.stderr, "\r\x1b[K") }
}

func (a *app) refsSummary(m *evidence.Manifest, c refs.Counts) {
	if a.json() {
		return
	}
	fmt.Fprintf(a.stderr, "%s@%s is %s: %d statements, %d templates, %d pieces, %d models\n", m.Consumer, m.Release, m.Status,
		len(m.Statements), len(m.Templates), len(m.Fragments), len(m.Models))
	if c.Calls > 0 {
		fmt.Fprintf(a.stderr, "  packages read: %d; calls that send SQL: %d, of which %d exact, %d with holes, %d opaque, %d settled by comments, %d in functions that nothing calls\n",
			c.Packages, c.Calls, c.Exact, c.Templates, c.Opaque, c.Acknowledged, c.Unused)
	}
	for _, r := range m.Reasons {
		fmt.Fprintf(a.stderr, "  partial: %s\n", r)
	}
	for _, w := range c.Warnings {
		fmt.Fprintf(a.stderr, "  warning: %s\n", w)
	}
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

func newRefsHarvestCommand(a *app) *cobra.Command {
	var traces []string
	var output, accept, role string
	cmd := &cobra.Command{
		Use:   "harvest MANIFEST [--trace FILE…]",
		Short: "Add what a test run sent, and report what the source does not explain",
		Long: `harvest reads what a test run sent: files that package github.com/bitvault/pawl/harvest wrote, or, without --trace, what
pg_stat_statements of the test database holds. What was sent and is explained by a template, a model or pieces is added
to the manifest; what nothing explains is added, reported, and makes the manifest partial.`,
		Example: `  pawl refs harvest pawl.refs.json --trace sent.jsonl -o pawl.refs.json
  pawl refs harvest pawl.refs.json --database-url "$TEST_DATABASE_URL" --role app`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := evidence.ReadManifest(args[0])
			if err != nil {
				return err
			}
			var sent []refs.Observed
			if len(traces) > 0 {
				sent, err = readTraces(traces)
			} else {
				sent, err = a.readStatements(cmd.Context(), role)
			}
			if err != nil {
				return err
			}
			if len(sent) == 0 {
				return &usageError{message: "the test run sent nothing", hint: "is the tracer set on the connections, or pg_stat_statements reset?"}
			}
			unexplained := refs.Harvest(m, sent, accept)
			if output == "" || output == "-" {
				err = m.Write(a.stdout)
			} else {
				err = writeManifest(m, output)
			}
			if err != nil {
				return err
			}
			for _, u := range unexplained {
				fmt.Fprintf(a.stderr, "not explained by the source: %s%s\n", siteBefore(u.Site), oneLine(u.Text))
			}
			fmt.Fprintf(a.stderr, "%s@%s is %s: %d texts were sent, %d of them not explained\n", m.Consumer, m.Release, m.Status, len(sent), len(unexplained))
			if len(unexplained) > 0 && accept == "" {
				return silentError{exitRefused}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&traces, "trace", nil, "file that the harvest tracer wrote; may be repeated")
	f.StringVar(&role, "role", "", "with pg_stat_statements: take only what this role sent")
	f.StringVar(&accept, "accept", "", "reason why what the source does not explain is no sign of more; it is recorded")
	f.StringVarP(&output, "output", "o", "", "file to write (default: standard output)")
	return cmd
}

func siteBefore(s gate.Site) string {
	if s.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d: ", s.File, s.Line)
}

func readTraces(paths []string) ([]refs.Observed, error) {
	var out []refs.Observed
	root, err := filepath.Abs(".")
	if err != nil {
		return nil, fmt.Errorf("find the working directory: %w", err)
	}
	for _, path := range paths {
		f, err := os.Open(path) //nolint:gosec // the user names the file
		if err != nil {
			return nil, &usageError{message: fmt.Sprintf("read what was sent: %v", err)}
		}
		lines := bufio.NewScanner(f)
		const longest = 16 << 20
		lines.Buffer(nil, longest)
		for n := 1; lines.Scan(); n++ {
			var s harvest.Sent
			if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
				return nil, errors.Join(&usageError{message: fmt.Sprintf("%s:%d is not what the harvest tracer writes: %v", path, n, err)}, f.Close())
			}
			file := s.File
			if rel, err := filepath.Rel(root, file); err == nil && !strings.HasPrefix(rel, "..") {
				file = rel
			}
			out = append(out, refs.Observed{Text: s.SQL, Site: gate.Site{File: filepath.ToSlash(file), Line: s.Line}})
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	return out, nil
}

// readStatements reads pg_stat_statements of the database that the settings name.
func (a *app) readStatements(ctx context.Context, role string) (out []refs.Observed, err error) {
	config, err := a.database()
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["application_name"] = "pawl/harvest"
	config.RuntimeParams["statement_timeout"] = "60s"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	const query = `
select s.query from pg_stat_statements s join pg_database d on d.oid = s.dbid join pg_roles r on r.oid = s.userid
where d.datname = current_database() and ($1 = '' or r.rolname = $1) and s.query not like '%pg_stat_statements%' order by 1`
	rows, err := conn.Query(ctx, query, role)
	if err != nil {
		return nil, fmt.Errorf("read pg_stat_statements: %w", err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, &usageError{message: fmt.Sprintf("read pg_stat_statements: %v", err), hint: "it must be in shared_preload_libraries, and `create extension pg_stat_statements` run"}
	}
	for _, t := range texts {
		out = append(out, refs.Observed{Text: t})
	}
	return out, nil
}

// shownReference is one reference as `pawl refs show` gives it.
type shownReference struct {
	Object phases.Object `json:"object"`
	Uses   phases.Use    `json:"uses"`
	// Exact is true where the reference was resolved against the schema; otherwise the statement may use the object.
	Exact bool      `json:"exact"`
	Site  gate.Site `json:"site"`
	Query string    `json:"query"`
}

func newRefsShowCommand(a *app) *cobra.Command {
	var tables, columns []string
	cmd := &cobra.Command{
		Use:   "show MANIFEST",
		Short: "Show which references a release has, and where they stand",
		Long: `show lists what a manifest says. With --table or --column it lists the statements that use the object; exit code 1 says
that there are none. Where the directory of the migrations is there, statements are resolved against the schema that
they leave: each column is then said to be read, inserted or updated.`,
		Example: `  pawl refs show pawl.refs.json
  pawl refs show pawl.refs.json --column users.email
  pawl refs show pawl.refs.json --table public.orders --format json`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			m, err := evidence.ReadManifest(args[0])
			if err != nil {
				return err
			}
			wanted, err := wantedObjects(tables, columns)
			if err != nil {
				return err
			}
			found := references(m, a.replayed(), wanted)
			if a.json() {
				if found == nil {
					found = []shownReference{}
				}
				err = writeJSON(a.stdout, struct {
					Version    int              `json:"version"`
					Consumer   string           `json:"consumer"`
					Release    string           `json:"release"`
					Status     string           `json:"status"`
					Reasons    []string         `json:"reasons"`
					References []shownReference `json:"references"`
				}{1, m.Consumer, m.Release, m.Status, append([]string{}, m.Reasons...), found})
			} else {
				a.showReferences(m, found, len(wanted) > 0)
			}
			if err == nil && len(wanted) > 0 && len(found) == 0 {
				return silentError{exitRefused}
			}
			return err
		},
	}
	cmd.Flags().StringArrayVar(&tables, "table", nil, "show what uses this relation: [schema.]name; may be repeated")
	cmd.Flags().StringArrayVar(&columns, "column", nil, "show what uses this column: [schema.]table.column; may be repeated")
	return cmd
}

func wantedObjects(tables, columns []string) ([]phases.Object, error) {
	var out []phases.Object
	for _, t := range tables {
		switch parts := strings.Split(t, "."); len(parts) {
		case 1:
			out = append(out, phases.Object{Kind: phases.Table, Relation: parts[0]})
		case 2:
			out = append(out, phases.Object{Kind: phases.Table, Schema: parts[0], Relation: parts[1]})
		default:
			return nil, &usageError{message: fmt.Sprintf("--table %s: give it as name or schema.name", t)}
		}
	}
	for _, c := range columns {
		switch parts := strings.Split(c, "."); len(parts) {
		case 2:
			out = append(out, phases.Object{Kind: phases.Column, Relation: parts[0], Column: parts[1]})
		case 3:
			out = append(out, phases.Object{Kind: phases.Column, Schema: parts[0], Relation: parts[1], Column: parts[2]})
		default:
			return nil, &usageError{message: fmt.Sprintf("--column %s: give it as table.column or schema.table.column", c)}
		}
	}
	return out, nil
}

// replayed gives the schema that the migrations leave; nil where there are none, or where they cannot be followed.
func (a *app) replayed() *parse.Schema {
	sources, err := readSources(a.flags.dir, nil)
	if err != nil || len(sources) == 0 {
		return nil
	}
	catalog := phases.NewCatalog(0)
	for _, s := range sources {
		text, err := os.ReadFile(s.path)
		if err != nil {
			return nil
		}
		f, _ := parseForward(s.path, text)
		catalog.Assess(f)
	}
	if catalog.Incomplete {
		return nil
	}
	return &parse.Schema{Path: []string{"public"}, Relations: catalog.Columns()}
}

// references gives what the manifest uses: of all objects, or of the wanted ones.
func references(m *evidence.Manifest, schema *parse.Schema, wanted []phases.Object) []shownReference {
	var out []shownReference
	for _, q := range m.Gate().Queries {
		add := func(o phases.Object, uses phases.Use, exact bool) {
			sites := q.Sites
			if len(sites) == 0 {
				sites = []gate.Site{{}}
			}
			for _, s := range sites {
				out = append(out, shownReference{o, uses, exact, s, q.Text})
			}
		}
		if schema != nil && q.ID != "" {
			if resolved, exact := parse.References(q.Text, schema); exact {
				for _, r := range resolved {
					if len(wanted) == 0 || slices.ContainsFunc(wanted, func(w phases.Object) bool { return isObject(r.Object, w) }) {
						add(r.Object, r.Uses, true)
					}
				}
				continue
			}
		}
		if len(wanted) == 0 {
			for _, r := range q.Mentions.Relations {
				add(phases.Object{Kind: phases.Table, Schema: r.Schema, Relation: strings.ReplaceAll(r.Name, phases.Hole, "…")}, r.Uses, false)
			}
			continue
		}
		for _, w := range wanted {
			uses := phases.AnyUse
			if w.Kind == phases.Column {
				uses = phases.Read | phases.Insert | phases.Update | phases.Star | phases.Conflict
			}
			if met := q.Mentions.Meets(phases.Take{Object: w, Uses: uses}, nil); met.Uses != 0 {
				add(w, met.Uses, false)
			}
		}
	}
	slices.SortStableFunc(out, func(x, y shownReference) int {
		return cmp.Or(cmp.Compare(x.Object.String(), y.Object.String()), cmp.Compare(x.Site.File, y.Site.File), cmp.Compare(x.Site.Line, y.Site.Line))
	})
	return slices.CompactFunc(out, func(x, y shownReference) bool { return x == y })
}

func isObject(o, wanted phases.Object) bool {
	return o.Relation == wanted.Relation && o.Column == wanted.Column && (wanted.Schema == "" || o.Schema == wanted.Schema)
}

func (a *app) showReferences(m *evidence.Manifest, found []shownReference, filtered bool) {
	fmt.Fprintf(a.stdout, "%s@%s is %s: %d statements, %d templates, %d pieces, %d models\n", m.Consumer, m.Release, m.Status,
		len(m.Statements), len(m.Templates), len(m.Fragments), len(m.Models))
	for _, r := range m.Reasons {
		fmt.Fprintf(a.stdout, "  partial: %s\n", r)
	}
	last := ""
	for _, r := range found {
		if o := r.Object.String(); o != last {
			fmt.Fprintf(a.stdout, "\n%s %s\n", r.Object.Kind, o)
			last = o
		}
		uses := r.Uses.String()
		if !r.Exact && filtered {
			uses = "may " + uses
		}
		fmt.Fprintf(a.stdout, "  %-24s %s%s\n", uses, siteBefore(r.Site), oneLine(r.Query))
	}
	if filtered && len(found) == 0 {
		fmt.Fprintln(a.stdout, "nothing uses it")
	}
	if filtered {
		return
	}
	for _, o := range m.Opaque {
		fmt.Fprintf(a.stdout, "\nopaque %s%s: %s\n", siteBefore(o.Site), o.Call, o.Why)
	}
	for _, k := range m.Acknowledged {
		fmt.Fprintf(a.stdout, "\nsettled %s%s %s\n", siteBefore(k.Site), k.Directive, k.Text)
	}
}

// manifestDifference is one thing that one of two manifests has.
type manifestDifference struct {
	Change string    `json:"change"`
	What   string    `json:"what"`
	Text   string    `json:"text"`
	Site   gate.Site `json:"site"`
}

func newRefsDiffCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "diff OLD NEW",
		Short:   "Show what a release sends that another does not; exit code 1 says that they differ",
		Example: "  pawl refs diff releases/r41.refs.json releases/r42.refs.json",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			before, err := evidence.ReadManifest(args[0])
			if err != nil {
				return err
			}
			after, err := evidence.ReadManifest(args[1])
			if err != nil {
				return err
			}
			changes := difference(before, after)
			if a.json() {
				if err := writeJSON(a.stdout, struct {
					Version int                  `json:"version"`
					Changes []manifestDifference `json:"changes"`
				}{1, append([]manifestDifference{}, changes...)}); err != nil {
					return err
				}
			} else {
				for _, c := range changes {
					fmt.Fprintf(a.stdout, "%s %-9s %s%s\n", map[string]string{"removed": "-", "added": "+"}[c.Change], c.What, siteBefore(c.Site), oneLine(c.Text))
				}
			}
			if len(changes) > 0 {
				return silentError{exitRefused}
			}
			return nil
		},
	}
}

// difference compares what two manifests say. Where a text stands does not count: lines move with every commit.
func difference(before, after *evidence.Manifest) []manifestDifference {
	old, fresh := contents(before), contents(after)
	var out []manifestDifference
	for _, c := range old {
		if !slices.ContainsFunc(fresh, func(d manifestDifference) bool { return d.What == c.What && d.Text == c.Text }) {
			c.Change = "removed"
			out = append(out, c)
		}
	}
	for _, c := range fresh {
		if !slices.ContainsFunc(old, func(d manifestDifference) bool { return d.What == c.What && d.Text == c.Text }) {
			c.Change = "added"
			out = append(out, c)
		}
	}
	return out
}

func contents(m *evidence.Manifest) []manifestDifference {
	var out []manifestDifference
	add := func(what, text string, sites ...gate.Site) {
		d := manifestDifference{What: what, Text: text}
		if len(sites) > 0 {
			d.Site = sites[0]
		}
		out = append(out, d)
	}
	add("status", m.Status)
	for _, s := range m.Statements {
		add("statement", s.Text, s.Sites...)
	}
	for _, t := range m.Templates {
		add("template", t.String(), t.Sites...)
	}
	for _, t := range m.Fragments {
		add("piece", t.String(), t.Sites...)
	}
	for _, model := range m.Models {
		for _, c := range model.Columns {
			add("column", strings.TrimSpace(fmt.Sprintf("%s.%s %s", cmp.Or(model.Table, model.Name), c.Name, c.Access)), model.Site)
		}
	}
	for _, o := range m.Opaque {
		add("opaque", o.Call+": "+o.Why, o.Site)
	}
	for _, k := range m.Acknowledged {
		add("settled", k.Directive+" "+k.Text, k.Site)
	}
	return out
}

func newRefsCheckCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "check MANIFEST…",
		Short: "Say whether manifests are complete; exit code 3 says that one is not",
		Example: `  pawl refs check pawl.refs.json
  pawl refs check releases/*.refs.json --format json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			type checked struct {
				Path     string            `json:"path"`
				Consumer string            `json:"consumer"`
				Release  string            `json:"release"`
				Status   string            `json:"status"`
				Reasons  []string          `json:"reasons"`
				Opaque   []evidence.Opaque `json:"opaque"`
			}
			list := []checked{}
			partial := false
			for _, path := range args {
				m, err := evidence.ReadManifest(path)
				if err != nil {
					return err
				}
				partial = partial || m.Status != evidence.Complete
				list = append(list, checked{path, m.Consumer, m.Release, m.Status, append([]string{}, m.Reasons...), append([]evidence.Opaque{}, m.Opaque...)})
			}
			if a.json() {
				if err := writeJSON(a.stdout, struct {
					Version   int       `json:"version"`
					Manifests []checked `json:"manifests"`
				}{1, list}); err != nil {
					return err
				}
			} else {
				for _, c := range list {
					fmt.Fprintf(a.stdout, "%s: %s@%s is %s\n", c.Path, c.Consumer, c.Release, c.Status)
					for _, r := range c.Reasons {
						fmt.Fprintf(a.stdout, "  %s\n", r)
					}
					for _, o := range c.Opaque {
						fmt.Fprintf(a.stdout, "  %s%s: %s\n", siteBefore(o.Site), o.Call, o.Why)
					}
				}
			}
			if partial {
				return silentError{exitUnknown}
			}
			return nil
		},
	}
}
