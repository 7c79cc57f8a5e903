package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/bitvault/pawl/internal/files"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

func newGateCommand(a *app) *cobra.Command {
	var r runFlags
	var after, base string
	var refs, searchPath []string
	var pgVersion int
	var where string
	cmd := &cobra.Command{
		Use:   "gate",
		Short: "Decide whether pending contracts may go through, and why not",
		Long: `Asks the gate about every pending migration without applying anything: against the releases that the database's ledger knows,
or, with --after and --refs, against the given manifests and without a database (for CI).

With --base, only the migrations that a branch adds are judged: against the ledger's releases where --database-url names a
database; otherwise against the code of the base revision, from which manifests are built as pawl.yaml says:

  consumers:
    api: {go: ./cmd/api}
    report: {sql: 'queries/**/*.sql'}

Where a database is asked, its search path says what unqualified names of the files mean; otherwise --search-path does, without which
they may also be in a schema that no file makes.

Exit codes: 0 everything is allowed; 1 something is blocked; 3 something is not known.`,
		Example: `  pawl gate                                                      # against the ledger's releases
  pawl gate --after 0041 --refs gateway.json --refs worker.json  # offline: files up to 0041 are deployed
  pawl gate --base origin/main                                   # on a pull request: what the branch adds
  pawl gate --format markdown                                    # for a comment on the pull request
  pawl gate --after 0041 --refs gateway.json --shadow embedded   # and PostgreSQL judges every statement`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{formatsAnnotation: "text,json,markdown"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []migrationJSON
			var err error
			switch {
			case base != "" && after != "":
				return &usageError{message: "--base and --after exclude each other", hint: "both say what is deployed"}
			case base != "":
				list, err = a.gateBase(cmd.Context(), &r, base, refs, offline{shadow: where, pgVersion: pgVersion, searchPath: searchPath})
			case (after == "") != (len(refs) == 0):
				return &usageError{message: "--after and --refs go together", hint: "--after VERSION (or --base REVISION) says what is deployed, --refs FILE what the running releases send"}
			case after != "":
				var o offline
				if o, err = a.gateAfter(after, refs); err == nil {
					o.shadow, o.pgVersion, o.searchPath = where, pgVersion, searchPath
					list, err = a.gateOffline(cmd.Context(), &r, o)
				}
			default:
				list, err = a.gateOnline(cmd.Context(), &r, nil)
			}
			if err != nil {
				return err
			}
			switch {
			case a.json():
				if err := writeJSON(a.stdout, struct {
					Version    int             `json:"version"`
					Migrations []migrationJSON `json:"migrations"`
				}{1, list}); err != nil {
					return err
				}
			case a.markdown():
				markdown(a.stdout, "pawl", list)
			}
			return verdictOf(list)
		},
	}
	f := cmd.Flags()
	r.run(f)
	f.StringVar(&after, "after", "", "the last migration that is deployed; later files are judged in order")
	f.StringVar(&base, "base", "", "revision that the branch starts from, such as origin/main; only migrations that it does not have are judged")
	f.StringSliceVar(&refs, "refs", nil, "manifest of a release that may run; may be repeated")
	f.StringSliceVar(&searchPath, "search-path", nil, "schemas in which the database's sessions look for unqualified names, where there is no database to ask (default: public, or one that no file makes)")
	f.IntVar(&pgVersion, "pg-version", 0, "PostgreSQL major to judge for without a database (default: the oldest supported)")
	f.StringVar(&where, "shadow", "", `ask a PostgreSQL too: "embedded" starts a throwaway server, a URL names one where a database may be made`)
	_ = cmd.MarkFlagFilename("refs", "json")
	r.kubernetes.completions(cmd)
	return cmd
}

// verdictOf turns the worst of the decisions into an exit code.
func verdictOf(list []migrationJSON) error {
	code := exitOK
	for _, m := range list {
		if m.Allowed == nil || *m.Allowed {
			continue
		}
		if m.Verdict == gate.Unknown.String() && code != exitRefused {
			code = exitUnknown
		} else {
			code = exitRefused
		}
	}
	if code == exitOK {
		return nil
	}
	return silentError{code}
}

// gateOnline judges what is pending against the ledger's releases; with only, no more than those files.
func (a *app) gateOnline(ctx context.Context, r *runFlags, only []*migrate.Migration) ([]migrationJSON, error) {
	r.gateDev = true
	m, err := a.migrator(r)
	if err != nil {
		return nil, err
	}
	p, _, err := m.Plan(ctx)
	if err != nil {
		return nil, err
	}
	wanted := func(m *migrate.Migration) bool {
		return only == nil || slices.ContainsFunc(only, func(o *migrate.Migration) bool { return o.Name == m.Name })
	}
	list := []migrationJSON{}
	for _, s := range p.Steps {
		if !wanted(s.Migration) {
			continue
		}
		d := gate.Decision{Allowed: true, Verdict: gate.Unaffected}
		if s.Decision != nil {
			d = *s.Decision
		}
		a.printDecision(s.Migration, s.Phase, d, s.Decision != nil)
		list = append(list, decisionJSON(s.Migration, s.Phase, d))
	}
	for _, h := range p.Held {
		if !wanted(h.Migration) {
			continue
		}
		d := h.Decision
		j := decisionJSON(h.Migration, h.Phase, d)
		if h.Behind != "" {
			j.Behind, j.Because, j.Verdict = string(h.Behind), h.Because, gate.Unknown.String()
		}
		if a.text() {
			printHeld(a.stdout, h)
		}
		list = append(list, j)
	}
	if len(list) == 0 && a.text() {
		fmt.Fprintln(a.stdout, "nothing is pending")
	}
	return list, nil
}

func (a *app) printDecision(m *migrate.Migration, phase phases.Phase, d gate.Decision, asked bool) {
	if !a.text() {
		return
	}
	word := "allowed"
	if !d.Allowed {
		word = "BLOCKED"
	}
	line := fmt.Sprintf("%-9s %-9s %s", word, phase, m.Name)
	if asked {
		line += fmt.Sprintf(" (%s; %d releases, %d statements)", d.Verdict, d.Checked.Releases, d.Checked.Statements)
	}
	fmt.Fprintln(a.stdout, line)
	if d.Verdict > gate.Unaffected {
		explain(d).print(a.stdout)
	}
}

// offline is what the gate goes by without a database: which migrations are deployed, which are judged, in order, and who
// runs.
type offline struct {
	deployed, judged []*migrate.Migration
	releases         []gate.Release
	shadow           string
	pgVersion        int
	// searchPath are the schemas in which the database's sessions look for unqualified names; empty where that is not known.
	searchPath []string
}

// gateAfter judges the files behind a version against manifests.
func (a *app) gateAfter(after string, refs []string) (offline, error) {
	var o offline
	last, ok := migrate.ParseVersion(after)
	if !ok {
		return o, &usageError{message: fmt.Sprintf("--after %q is not a version", after)}
	}
	files, err := migrate.Load(files.Dir(a.flags.dir), a.flags.dir)
	if err != nil {
		return o, err
	}
	for _, m := range files {
		if m.Version.Compare(last) <= 0 {
			o.deployed = append(o.deployed, m)
		} else {
			o.judged = append(o.judged, m)
		}
	}
	o.releases, err = given(refs)
	return o, err
}

// gateBase judges the migrations that the branch adds to a base revision: against the ledger's releases where a database
// is named, against the given manifests, or against the code of the base revision itself.
func (a *app) gateBase(ctx context.Context, r *runFlags, base string, refs []string, o offline) (list []migrationJSON, err error) {
	b, err := openBase(ctx, base)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.write(ctx); err != nil {
		return nil, err
	}
	if o.deployed, o.judged, err = a.compareWithBase(b); err != nil {
		return nil, err
	}
	if len(o.judged) == 0 {
		if a.text() {
			fmt.Fprintf(a.stdout, "this branch adds no migration to those of %s\n", base)
		}
		return []migrationJSON{}, nil
	}
	if a.flags.databaseURL != "" || a.flags.databaseURLFile != "" {
		return a.gateOnline(ctx, r, o.judged)
	}
	if len(refs) > 0 {
		o.releases, err = given(refs)
	} else {
		o.releases, err = a.baseReleases(ctx, b)
	}
	if err != nil {
		return nil, err
	}
	return a.gateOffline(ctx, r, o)
}

// anywhere gives the releases with schemas left out of their queries that no file makes: where the search path is not known, unqualified
// names of the files may lead there.
func anywhere(list []gate.Release, catalog *phases.Catalog) []gate.Release {
	list = slices.Clone(list)
	for i := range list {
		if list[i].Manifest == nil {
			continue
		}
		m := *list[i].Manifest
		m.Queries = slices.Clone(m.Queries)
		for j := range m.Queries {
			if m.Queries[j].Mentions != nil {
				m.Queries[j].Mentions = m.Queries[j].Mentions.Unqualify(catalog.HasSchema)
			}
		}
		list[i].Manifest = &m
	}
	return list
}

// gateOffline judges files against manifests, without a database: what code reaches through views and functions is
// known as far as the earlier files tell.
func (a *app) gateOffline(ctx context.Context, r *runFlags, o offline) (list []migrationJSON, err error) {
	policy, err := r.gatePolicy()
	if err != nil {
		return nil, err
	}
	e := gate.Evidence{Registered: true, Releases: o.releases}
	there := migrate.MadeByNone(o.searchPath, slices.Concat(o.deployed, o.judged))
	var judge *shadow
	if o.shadow != "" {
		if judge, err = startShadow(ctx, o.shadow, o.pgVersion, o.searchPath, there); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, judge.close(ctx)) }()
	}
	catalog := phases.NewCatalog(o.pgVersion)
	catalog.Path(o.searchPath, there)
	for _, m := range o.deployed {
		catalog.Assess(m.File())
		if judge != nil {
			if err := judge.replay(ctx, m.File()); err != nil {
				return nil, err
			}
		}
	}
	catalog, err = judge.followed(ctx, catalog, o.pgVersion)
	if err != nil {
		return nil, err
	}
	if len(o.searchPath) == 0 {
		e.Releases = anywhere(e.Releases, catalog)
	}
	catalog.Mark()
	if judge != nil {
		if err := judge.know(ctx, e.Releases); err != nil {
			return nil, err
		}
	}
	list = []migrationJSON{}
	for _, m := range o.judged {
		reach := evidence.ReachIn(catalog)
		assessment := catalog.Assess(m.File())
		change := migrate.ChangeOf(assessment)
		if judge != nil {
			if err := evidence.Confine(ctx, judge.conn, &change); err != nil {
				return nil, err
			}
			e.Proofs, reach, err = judge.apply(ctx, m.File())
			if err != nil {
				return nil, err
			}
			if catalog, err = judge.followed(ctx, catalog, o.pgVersion); err != nil {
				return nil, err
			}
			for _, list := range [][]gate.Taken{change.Takes, change.Adds} {
				for i := range list {
					list[i].Proved = judge.proves(list[i].Object)
				}
			}
		}
		reach.Know(&change)
		d := gate.Decision{Allowed: true, Verdict: gate.Unaffected}
		asked := migrate.Gated(assessment) || len(change.Takes)+len(change.Adds) > 0 || judge != nil
		if asked {
			d = gate.Decide(change, e, policy, time.Now())
		}
		a.printDecision(m, assessment.Phase, d, asked)
		list = append(list, decisionJSON(m, assessment.Phase, d))
	}
	return list, nil
}
