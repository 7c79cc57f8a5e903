package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases/evidence"
)

// DriftOptions say what a database is compared with.
type DriftOptions struct {
	// Shadow makes the empty database in which the applied files are run. Where it is nil, or where FromSnapshot is true and the
	// ledger has a snapshot of the schema, the database is compared with that.
	Shadow       func(context.Context, ShadowNeeds) (*Shadow, error)
	FromSnapshot bool
}

// ShadowNeeds is what an empty database has to have before the files can be run in it.
type ShadowNeeds struct {
	// Major is the server's version.
	Major int
	// Roles are the roles of the real server; Owner is the one that applied the files, empty where there were several.
	Roles []string
	Owner string
}

// Shadow is an empty database on a throwaway server.
type Shadow struct {
	Config *pgx.ConnConfig
	// Roles is true where the roles that were needed are there, so that owners and grants can be compared.
	Roles bool
	Close func() error
}

// Drift is what was changed past pawl.
type Drift struct {
	Database string
	// Against says what the database was compared with.
	Against     string
	Differences []evidence.Difference
	// Notes say what was not compared.
	Notes []string
}

// DriftUnknownError means that it cannot be told whether the database has drifted.
type DriftUnknownError struct {
	Message, Hint string
	Err           error
}

func (e *DriftUnknownError) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap gives the cause.
func (e *DriftUnknownError) Unwrap() error { return e.Err }

func (*DriftUnknownError) pawlError() {}

// Drift compares the database's schema with what the applied files give, or with how pawl left it. Nothing is written to it, and a
// standby will do. Columns may stand in another order; pawl's own tables, extensions' members and the tables of a tool that was taken
// over are not compared.
func (m *Migrator) Drift(ctx context.Context, o DriftOptions) (*Drift, error) {
	files, err := Load(m.files, m.opts.Root)
	if err != nil {
		return nil, err
	}
	s, err := m.dial(ctx, false)
	if err != nil {
		return nil, err
	}
	defer s.close()
	l, err := s.ledger(ctx)
	if err != nil {
		return nil, err
	}
	if l.Schema == 0 {
		return nil, &RefusedError{
			Message: fmt.Sprintf("database %q has no ledger, so there is nothing to compare it with", s.database),
			Hint:    "`pawl migrate` or `pawl adopt` makes one",
		}
	}
	t, err := compare(files, l)
	if err != nil {
		return nil, err
	}
	snap, err := s.lastSnapshot(ctx, l)
	if err != nil {
		return nil, err
	}
	if snap != nil && (o.FromSnapshot || o.Shadow == nil) {
		return s.driftSince(ctx, snap, l)
	}
	if o.Shadow == nil {
		return nil, &DriftUnknownError{Message: "there is no snapshot of the schema in the ledger", Hint: "compare with the files on a throwaway server: --shadow embedded"}
	}
	d, err := m.driftFromFiles(ctx, s, l, t, snap, o)
	return d, err
}

// snapshotRow is the schema as pawl left it.
type snapshotRow struct {
	at      time.Time
	lines   []string
	leftOut []string
}

// lastSnapshot gives nil where there is none, or in a ledger from before there were any.
func (s *session) lastSnapshot(ctx context.Context, l *Ledger) (*snapshotRow, error) {
	const since = 5
	if l.Schema < since {
		return nil, nil //nolint:nilnil // there is none
	}
	r := &snapshotRow{}
	err := s.conn.QueryRow(ctx, `select at, lines, left_out from pawl.snapshot order by id desc limit 1`).Scan(&r.at, &r.lines, &r.leftOut)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // there is none
	}
	return r, classify(ctx, "read the snapshot of the schema", err)
}

func (s *session) driftSince(ctx context.Context, snap *snapshotRow, l *Ledger) (*Drift, error) {
	o, err := s.described(ctx, snap.leftOut)
	if err != nil {
		return nil, err
	}
	live, err := evidence.Describe(ctx, s.conn, o)
	if err != nil {
		return nil, classify(ctx, "read the schema", err)
	}
	d := &Drift{Database: s.database, Against: "the schema as pawl left it on " + snap.at.UTC().Format("2006-01-02 15:04 MST")}
	d.Differences = evidence.Diff(&evidence.Description{Lines: snap.lines}, live)
	var since []string
	for _, e := range l.Entries {
		if e.State == StateApplied && e.FinishedAt.After(snap.at) {
			since = append(since, e.Name)
		}
	}
	if len(since) > 0 {
		slices.Sort(since)
		d.Notes = append(d.Notes, fmt.Sprintf("%s was applied after that by a run that did not end; what it changed is among the differences", few(since)))
	}
	return d, nil
}

func (m *Migrator) driftFromFiles(ctx context.Context, s *session, l *Ledger, t *todo, snap *snapshotRow, o DriftOptions) (drift *Drift, err error) {
	r, err := m.openReplay(ctx, s, l, t, snap, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.shadow.Close()) }()
	d := &Drift{Database: s.database, Against: fmt.Sprintf("%d applied files on a throwaway server", len(t.applied))}
	want, err := r.run(ctx, t.applied)
	if err != nil {
		return nil, err
	}
	d.Notes = r.notes
	live, err := evidence.Describe(ctx, s.conn, r.describe)
	if err != nil {
		return nil, classify(ctx, "read the schema", err)
	}
	d.Differences = evidence.Diff(want, live)
	return d, s.withoutAside(ctx, d)
}

// replay is a throwaway server on which files are run, to tell what they give.
type replay struct {
	m        *Migrator
	s        *session
	shadow   *Shadow
	config   *pgx.ConnConfig
	describe evidence.DescribeOptions
	// notes say what cannot be compared.
	notes []string
}

// openReplay makes the shadow like what the files found. Who gets it closes its shadow.
func (m *Migrator) openReplay(ctx context.Context, s *session, l *Ledger, t *todo, snap *snapshotRow, o DriftOptions) (*replay, error) {
	if err := t.replayable(); err != nil {
		return nil, err
	}
	needs, err := s.shadowNeeds(ctx, l)
	if err != nil {
		return nil, err
	}
	shadow, err := o.Shadow(ctx, needs)
	if err != nil {
		return nil, err
	}
	r := &replay{m: m, s: s, shadow: shadow}
	if err := r.equipped(ctx, t, snap, needs); err != nil {
		return nil, errors.Join(err, shadow.Close())
	}
	return r, nil
}

func (r *replay) equipped(ctx context.Context, t *todo, snap *snapshotRow, needs ShadowNeeds) error {
	var out []string
	if snap != nil {
		out = snap.leftOut
	}
	var err error
	if r.describe, err = r.s.described(ctx, out); err != nil {
		return err
	}
	r.describe.WithoutRoles = !r.shadow.Roles || needs.Owner == ""
	switch {
	case !r.shadow.Roles:
		r.notes = append(r.notes, "owners and grants are not compared: the throwaway server has other roles")
	case needs.Owner == "":
		r.notes = append(r.notes, "owners and grants are not compared: several roles have applied the files")
	}
	r.config = r.shadow.Config.Copy()
	r.config.RuntimeParams["search_path"] = r.s.searchPath
	if !r.describe.WithoutRoles {
		r.config.RuntimeParams["role"] = needs.Owner
	}
	return r.s.equip(ctx, r.shadow.Config, t.applied, r)
}

// run runs what is not run yet of a list of files, and gives the schema that they leave.
func (r *replay) run(ctx context.Context, list []*Migration) (want *evidence.Description, err error) {
	replay := New(r.config, r.m.files, Options{Root: r.m.opts.Root, Schema: r.s.schema, Environment: Dev, Restore: RestoreOff, Application: "pawl drift"})
	// An empty list is one of no files; nil would have all of the directory run.
	replay.list = append([]*Migration{}, list...)
	if _, err := replay.Migrate(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &DriftUnknownError{
			Message: "the applied files do not run on an empty database, so it cannot be told what they give", Err: err,
			Hint: "make them run there, or use a server that has what they need: --shadow URL",
		}
	}
	conn, err := pgx.ConnectConfig(ctx, r.shadow.Config)
	if err != nil {
		return nil, classify(ctx, "connect to the shadow", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	want, err = evidence.Describe(ctx, conn, r.describe)
	return want, classify(ctx, "read the shadow's schema", err)
}

// described gives what of the database is compared: all of it, or the tenant's schema alone.
func (s *session) described(ctx context.Context, leftOut []string) (evidence.DescribeOptions, error) {
	o := evidence.DescribeOptions{LeaveOut: leftOut}
	if s.schema == "" {
		return o, nil
	}
	rows, err := s.conn.Query(ctx, `select quote_ident(nspname) from pg_namespace where nspname <> $1`, s.schema)
	if err != nil {
		return o, classify(ctx, "read the schemas", err)
	}
	others, err := pgx.CollectRows(rows, pgx.RowTo[string])
	o.LeaveOut = append(others, leftOut...)
	return o, classify(ctx, "read the schemas", err)
}

// replayable reports whether the applied files, and nothing else, made the schema.
func (t *todo) replayable() error {
	var names []string
	for _, e := range t.missing {
		names = append(names, e.Name)
	}
	for _, m := range t.applied {
		if m.Program {
			names = append(names, m.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return &DriftUnknownError{
		Message: fmt.Sprintf("the files here do not tell the whole schema: %s is applied and cannot be run from them", few(names)),
		Hint:    "use the directory of the newest release; a database that was taken over is compared with how pawl left it, without --shadow",
	}
}

func (s *session) shadowNeeds(ctx context.Context, l *Ledger) (ShadowNeeds, error) {
	n := ShadowNeeds{Major: s.version}
	rows, err := s.conn.Query(ctx, `select rolname::text from pg_roles where rolname !~ '^pg_' order by 1`)
	if err != nil {
		return n, classify(ctx, "read the roles", err)
	}
	if n.Roles, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return n, classify(ctx, "read the roles", err)
	}
	first := true
	for _, e := range l.Entries {
		if e.State != StateApplied || e.Version.Repeatable() {
			continue
		}
		if first {
			n.Owner, first = e.AppliedBy, false
		} else if n.Owner != e.AppliedBy {
			n.Owner = ""
			break
		}
	}
	if !slices.Contains(n.Roles, n.Owner) {
		n.Owner = ""
	}
	return n, nil
}

// equip gives the shadow what the files take for granted: schemas of the search path, and extensions that none of them makes.
func (s *session) equip(ctx context.Context, shadow *pgx.ConnConfig, applied []*Migration, r *replay) error {
	conn, err := pgx.ConnectConfig(ctx, shadow)
	if err != nil {
		return &TransientError{Message: "no connection to the shadow", Err: innermost(err)}
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var text strings.Builder
	for _, m := range applied {
		text.WriteString(strings.ToLower(string(m.src)))
	}
	has := func(word, name string) bool {
		rest := text.String()
		for {
			i := strings.Index(rest, word)
			if i < 0 {
				return false
			}
			rest = rest[i+len(word):]
			if line, _, _ := strings.Cut(rest, ";"); strings.Contains(line, strings.ToLower(name)) {
				return true
			}
		}
	}
	const query = `
select 'schema', quote_ident(nspname), '' from pg_namespace where nspname = any (current_schemas(false)) and nspname <> 'public'
union all
select 'extension', extname, quote_ident(n.nspname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace where extname <> 'plpgsql'`
	rows, err := s.conn.Query(ctx, query)
	if err != nil {
		return classify(ctx, "read the extensions", err)
	}
	type thing struct{ Kind, Name, Schema string }
	things, err := pgx.CollectRows(rows, pgx.RowToStructByPos[thing])
	if err != nil {
		return classify(ctx, "read the extensions", err)
	}
	for _, t := range things {
		if t.Kind == "schema" {
			if !has("create schema", strings.Trim(t.Name, `"`)) {
				if _, err := conn.Exec(ctx, "create schema "+t.Name); err != nil {
					return classify(ctx, "make a schema on the shadow", err)
				}
			}
			continue
		}
		if has("create extension", t.Name) {
			continue
		}
		schema := "create schema if not exists " + t.Schema + "; "
		if _, err := conn.Exec(ctx, schema+"create extension "+pgx.Identifier{t.Name}.Sanitize()+" schema "+t.Schema); err != nil {
			r.notes = append(r.notes, fmt.Sprintf("no file makes extension %s, and the throwaway server does not have it", t.Name))
		}
	}
	return nil
}

// withoutAside leaves out what a soft drop has renamed for a while.
func (s *session) withoutAside(ctx context.Context, d *Drift) error {
	aside, err := s.softDrops(ctx)
	if err != nil {
		return err
	}
	for _, drop := range aside {
		if drop.State != "aside" {
			continue
		}
		for _, o := range drop.Objects {
			name := cmpOr(o.Column, o.Relation)
			d.Differences = slices.DeleteFunc(d.Differences, func(x evidence.Difference) bool {
				return strings.Contains(x.Line, o.Name) || strings.Contains(x.Line, o.Relation) && strings.Contains(x.Line, name)
			})
		}
		d.Notes = append(d.Notes, fmt.Sprintf("%s is set aside; its objects are not compared", drop.Name))
	}
	return nil
}

// Drifted means that the schema of a database that was taken over is no longer as pawl left it. The run goes on.
type Drifted struct{ Drift *Drift }

func (Drifted) isEvent() {}

// watchDrift compares a database that was taken over with how pawl left it, before the first file of a run is applied: afterwards it
// could not be told apart from what pawl did.
func (m *Migrator) watchDrift(ctx context.Context, s *session, l *Ledger) (watched bool, err error) {
	snap, err := s.lastSnapshot(ctx, l)
	if err != nil || snap == nil {
		return false, err
	}
	d, err := s.driftSince(ctx, snap, l)
	if err != nil || len(d.Differences) == 0 || len(d.Notes) > 0 {
		return true, err
	}
	lines := []string{}
	for _, x := range d.Differences {
		lines = append(lines, x.String())
	}
	detail, err := json.Marshal(map[string]any{"against": d.Against, "differences": lines})
	if err != nil {
		return true, fmt.Errorf("encode the drift: %w", err)
	}
	if _, err := s.conn.Exec(ctx, `insert into pawl.event (kind, detail, pawl_version) values ('drifted', $1, $2)`, string(detail), m.opts.PawlVersion); err != nil {
		return true, classify(ctx, "record the drift", err)
	}
	m.opts.OnEvent(Drifted{d})
	return true, nil
}

// leave stores how pawl leaves a database that was taken over.
func (m *Migrator) leave(ctx context.Context, s *session) error {
	err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		var out []string
		if err := tx.QueryRow(ctx, `select left_out from pawl.snapshot order by id desc limit 1`).Scan(&out); err != nil {
			return err
		}
		_, err := m.snapshot(ctx, s, tx, out)
		return err
	})
	return classify(ctx, "store the schema as it is left", err)
}
