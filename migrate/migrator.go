package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bitvault/pawl/migrations"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// Options set how a Migrator works. The zero Options are the defaults.
type Options struct {
	// Root is the migrations directory's name in messages; empty means "migrations".
	Root string
	// Schema is the tenant's schema that the migrations are for, where a database has a schema for each; empty means that the
	// database has one history. It is made if it is not there, is the first of the search path, and its ledger is apart, in
	// schema pawl_SCHEMA.
	Schema string
	// Environment is what an unstamped database is stamped as; empty means Production. Asking for another environment
	// than the one a database is stamped as is an error.
	Environment Environment
	// Manifests are those of the release that is being deployed; they are registered before anything else is done.
	Manifests []*evidence.Manifest
	// Roles are the login roles of consumers, which are recorded besides those that the ledger knows.
	Roles map[string][]string
	// Fleet asks an orchestrator what runs. It is called only when the gate has a question. Nil means that none is asked.
	Fleet func(context.Context) *evidence.Fleet
	// Digests gives the digests of the images by which the releases of Manifests are deployed, where those are found out
	// at run time. It is called only when they are registered; an error is told and does not keep them out.
	Digests func(context.Context) ([]string, error)
	// Policy is the gate's.
	Policy gate.Policy
	// FailOnBlocked makes Migrate fail with a *BlockedError where a contract is held. An expand that is held behind a
	// contract fails in any case where the incoming release needs what it adds.
	FailOnBlocked bool
	// GateDev makes the gate hold contracts in a database stamped Dev as it does in production.
	GateDev bool
	// InlineBackfills makes Migrate run backfills itself, as it does in a database stamped Dev; otherwise it queues them.
	InlineBackfills bool
	// Incoming says what to do about a release of Manifests that does not suit the schema; empty means IncomingRefuse.
	Incoming Incoming
	// Lane is which migrations a run takes up; empty means all.
	Lane Lane
	// Restore says what to do about a restore point before a contract; empty means RestoreTry.
	Restore Restore
	// OutOfOrder is Independent where empty.
	OutOfOrder OutOfOrder
	// Wait is how long to wait for another pawl; 0 means ten minutes.
	Wait time.Duration
	// LockTimeout and MaxLockTimeout bound how long one attempt waits for a table lock, and with it how long traffic
	// can queue behind pawl: 0 means 100 ms at first and at most 400 ms, which keeps what queues behind pawl under half a second.
	LockTimeout, MaxLockTimeout time.Duration
	// LockDeadline is how long to keep trying for one migration's locks; 0 means ten minutes.
	LockDeadline time.Duration
	// StatementTimeout bounds each statement of a transactional migration; 0 means ten minutes.
	StatementTimeout time.Duration
	// Application is shown in pg_stat_activity and in the ledger; empty means "pawl".
	Application string
	// Person is who runs it, where the database's role does not tell: a user of the operating system, a job of the CI, a pod.
	// It goes into the ledger's log.
	Person string
	// PawlVersion goes into the ledger; empty means "dev".
	PawlVersion string
	// OnEvent receives what happens, one event after another; nil means that nobody listens.
	OnEvent func(Event)
	// Now is the clock that the gate goes by where there is no database to ask; nil means time.Now.
	Now func() time.Time
}

// Migrator applies the migrations of one directory to one database. It keeps no connection between calls.
type Migrator struct {
	config *pgx.ConnConfig
	files  fs.FS
	opts   Options
	// list is what to apply in place of all that files has; nil for that.
	list []*Migration
}

// New makes a Migrator for the database that config names and the migration files at the top of files.
func New(config *pgx.ConnConfig, files fs.FS, opts Options) *Migrator {
	opts.Root = cmp.Or(opts.Root, "migrations")
	opts.Wait = cmp.Or(opts.Wait, 10*time.Minute)
	opts.LockTimeout = cmp.Or(opts.LockTimeout, 100*time.Millisecond)
	opts.MaxLockTimeout = max(opts.LockTimeout, cmp.Or(opts.MaxLockTimeout, 400*time.Millisecond))
	opts.LockDeadline = cmp.Or(opts.LockDeadline, 10*time.Minute)
	opts.StatementTimeout = cmp.Or(opts.StatementTimeout, 10*time.Minute)
	opts.Application = cmp.Or(opts.Application, "pawl")
	opts.PawlVersion = cmp.Or(opts.PawlVersion, "dev")
	opts.OutOfOrder = cmp.Or(opts.OutOfOrder, Independent)
	listen := opts.OnEvent
	var one sync.Mutex
	opts.OnEvent = func(e Event) {
		if listen != nil {
			one.Lock()
			defer one.Unlock()
			listen(e)
		}
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Migrator{config: config, files: files, opts: opts}
}

// Result is what a run did.
type Result struct {
	// Applied, Aside and Held are in the order in which they were come to. Aside are those whose objects are set aside.
	Applied []Step
	Aside   []Step
	Held    []Held
	// Total counts the migrations that are applied now, earlier ones included.
	Total    int
	Database string
}

// identity gives the settings by which the server, and the ledger's log, know who is at work.
func (m *Migrator) identity() map[string]string {
	as := map[string]string{"application_name": m.opts.Application, "pawlrun.person": m.opts.Person, "pawlrun.version": m.opts.PawlVersion}
	if m.opts.Schema != "" {
		as["search_path"] = pgx.Identifier{m.opts.Schema}.Sanitize() + ", public"
	}
	return as
}

func (m *Migrator) dial(ctx context.Context, writes bool) (*session, error) {
	s, err := dial(ctx, m.config, m.opts.Schema, m.identity(), func(n *pgconn.Notice) {
		if n.Severity == "NOTICE" || n.Severity == "WARNING" {
			m.opts.OnEvent(ServerNotice{Severity: n.Severity, Message: n.Message})
		}
	})
	if err != nil {
		return nil, err
	}
	if !writes {
		return s, nil
	}
	if err := s.writable(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// Migrate applies what is pending and allowed. It is safe to run at once from many places: one works, the others wait
// and find nothing to do. Where nothing is pending it takes no lock and sends three statements at most.
func (m *Migrator) Migrate(ctx context.Context) (Result, error) {
	files, err := m.list, error(nil)
	if files == nil {
		files, err = Load(m.files, m.opts.Root)
	}
	if err != nil {
		return Result{}, err
	}
	s, err := m.dial(ctx, true)
	if err != nil {
		return Result{}, err
	}
	defer s.close()
	l, err := s.ledger(ctx)
	if err != nil {
		return Result{}, err
	}
	idle, err := m.idle(ctx, s, l, files)
	if err != nil {
		return Result{}, m.audit(ctx, s, "migrate", err)
	}
	if idle {
		r := Result{Total: len(files), Database: s.database}
		m.opts.OnEvent(Finished{r})
		return r, nil
	}
	if err := s.lock(ctx, m.opts.Wait, func(h Holder, d time.Duration) { m.opts.OnEvent(Waiting{h, d}) }); err != nil {
		return Result{}, err
	}
	r, err := m.locked(ctx, s, files)
	r.Database = s.database
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if s.conn.IsClosed() {
		return r, err
	}
	err = m.audit(ctx, s, "migrate", err)
	if ctx.Err() != nil {
		err = errors.Join(err, m.interrupted(clean, s, context.Cause(ctx), r))
	}
	if err = errors.Join(err, s.unlock(clean)); err != nil {
		return r, err
	}
	m.opts.OnEvent(Finished{r})
	return r, m.blocked(r)
}

// interrupted records that a run was told to stop, and how far it had come.
func (m *Migrator) interrupted(ctx context.Context, s *session, cause error, r Result) error {
	m.rollback(ctx, s)
	if !s.hasLedger {
		return nil
	}
	const query = `
insert into pawl.event (kind, detail, pawl_version)
values ('interrupted', jsonb_build_object('cause', $1::text, 'applied', $2::int), $3)`
	_, err := s.conn.Exec(ctx, query, cause.Error(), len(r.Applied), m.opts.PawlVersion)
	return classify(ctx, "record the interruption", err)
}

// idle reports whether there is nothing to do at all, without the lock and without parsing a file.
func (m *Migrator) idle(ctx context.Context, s *session, l *Ledger, files []*Migration) (bool, error) {
	t, err := compare(files, l)
	if err != nil {
		return false, err
	}
	if err := m.environment(l); err != nil {
		return false, err
	}
	if len(t.pending) > 0 || l.Schema < migrations.Newest || l.Installing {
		return false, nil
	}
	if len(m.opts.Manifests) == 0 {
		return true, nil
	}
	known, err := evidence.Known(ctx, s.conn, m.opts.Manifests)
	return known, classify(ctx, "look the release up", err)
}

func (m *Migrator) environment(l *Ledger) error {
	if l.Environment != "" && m.opts.Environment != "" && l.Environment != m.opts.Environment {
		return &ConfigError{
			Message: fmt.Sprintf("this database is stamped %q, and %q was asked for", l.Environment, m.opts.Environment),
			Hint:    "the stamp was set at first use and is not changed from the command line",
		}
	}
	return nil
}

// locked does the work of a run. The caller holds the lock. Where a contract was found inside its transaction to come
// before its backfill is done, what follows is planned anew.
func (m *Migrator) locked(ctx context.Context, s *session, files []*Migration) (Result, error) {
	var r Result
	g := &gatekeeper{m: m, s: s, told: map[Version]bool{}, refused: map[Version]gate.Decision{}, incoming: &fitting{m: m, s: s}}
	for {
		refused := len(g.refused)
		more, err := m.pass(ctx, s, files, g)
		r.Applied, r.Total = append(r.Applied, more.Applied...), more.Total
		r.Aside = append(r.Aside, more.Aside...)
		r.Held = more.Held
		if err != nil || len(g.refused) == refused {
			if err == nil && g.snapshots && len(r.Applied)+len(r.Aside) > 0 {
				err = m.leave(ctx, s)
			}
			return r, err
		}
	}
}

// pass plans once and applies what the plan allows.
func (m *Migrator) pass(ctx context.Context, s *session, files []*Migration, g *gatekeeper) (Result, error) {
	var r Result
	l, err := m.look(ctx, s)
	if err != nil {
		return r, err
	}
	t, err := compare(files, l)
	if err != nil {
		return r, err
	}
	r.Total = len(t.applied)
	if err := m.adopted(ctx, s, l, t); err != nil {
		return r, err
	}
	// Whatever can be refused is refused before anything is written, the ledger included.
	for _, f := range t.pending {
		if err := f.Check(); err != nil {
			return r, err
		}
	}
	live, err := s.live(ctx, t, l)
	if err != nil {
		return r, err
	}
	due, err := m.watchAside(ctx, s, g, t, live)
	if err != nil {
		return r, err
	}
	incoming := g.incoming
	if err := incoming.before(ctx, l, t, live); err != nil {
		return r, err
	}
	if err := m.prepare(ctx, s, l); err != nil {
		return r, err
	}
	if len(l.Entries) == 0 && len(t.pending) > 0 && !l.Installing && !l.Others {
		if err := s.beginInstallation(ctx, l); err != nil {
			return r, err
		}
	}
	if t.unseen, err = s.unseen(ctx, l); err != nil {
		return r, err
	}
	if t.unseen {
		t.bare = l.Bare
	}
	if len(t.pending) > 0 && !g.driftWatched {
		g.driftWatched = true
		if g.snapshots, err = m.watchDrift(ctx, s, l); err != nil {
			return r, err
		}
	}
	g.environment = l.Environment
	if l.Environment == Dev {
		if err := m.runOpen(ctx, s); err != nil {
			return r, err
		}
	}
	p, err := t.plan(l, m.opts.OutOfOrder, m.opts.Lane, s.version, live, g.pastBackfills(ctx, t, g.judge(ctx)))
	if err != nil {
		return r, err
	}
	if g.err != nil {
		return r, g.err
	}
	for _, h := range p.Held {
		if g.told[h.Migration.Version] {
			r.Held = append(r.Held, h)
			continue
		}
		if err := m.hold(ctx, s, &r, h, l); err != nil {
			return r, err
		}
		g.told[h.Migration.Version] = true
	}
	p.Steps = append(due, p.Steps...)
	if err := m.forewarn(ctx, s, p.Steps); err != nil {
		return r, err
	}
	alone := 0
	for i := 0; i < len(p.Steps); i++ {
		step := p.Steps[i]
		if n := together(p.Steps[i:]); n > 1 && i >= alone {
			done, err := m.applyTogether(ctx, s, p.Steps[i:i+n])
			if err != nil {
				return r, err
			}
			if done {
				r.Applied = append(r.Applied, p.Steps[i:i+n]...)
				r.Total += n
				i += n - 1
				continue
			}
			alone = i + n
		}
		if Gated(step.Assessment) {
			g.lookAgain(ctx)
			// A release that cannot run is no reason to take anything away.
			if err := incoming.again(ctx, l, p.Steps[i:]); err != nil {
				return r, err
			}
		}
		if step.restore, err = m.restorePoint(ctx, s, step, l.Environment); err != nil {
			return r, err
		}
		applied, err := m.apply(ctx, s, g, step)
		if err != nil {
			return r, err
		}
		if _, waits := g.refused[step.Migration.Version]; waits {
			return r, nil
		}
		if !applied.Allowed {
			// What follows was planned on the assumption that this one is applied: it is planned anew.
			g.refused[step.Migration.Version] = applied
			return r, nil
		}
		if step.keep > 0 {
			r.Aside = append(r.Aside, step)
			continue
		}
		r.Applied = append(r.Applied, step)
		r.Total++
	}
	if m.blocked(r) == nil {
		err = incoming.again(ctx, l, nil)
	}
	if err == nil && l.Installing {
		err = s.endInstallation(ctx)
	}
	return r, err
}

func (m *Migrator) hold(ctx context.Context, s *session, r *Result, h Held, l *Ledger) error {
	if !h.LeftOut || l.Entries[h.Migration.Version].State != StateHeld {
		if err := s.recordHeld(ctx, h, l, m.opts.PawlVersion); err != nil {
			return err
		}
	}
	r.Held = append(r.Held, h)
	m.opts.OnEvent(HeldBack{h})
	return nil
}

// look reads the ledger again under the lock: another runner may have been at work since the first look.
func (m *Migrator) look(ctx context.Context, s *session) (*Ledger, error) {
	if err := s.lookForLedger(ctx); err != nil {
		return nil, err
	}
	l, err := s.ledger(ctx)
	if err != nil {
		return nil, err
	}
	return l, m.environment(l)
}

// prepare creates or upgrades the ledger, and registers the incoming release.
func (m *Migrator) prepare(ctx context.Context, s *session, l *Ledger) error {
	created := l.Schema == 0
	if s.schema != "" && created {
		if err := s.makeSchema(ctx); err != nil {
			return err
		}
	}
	if err := s.upgradeLedger(ctx, l, m.opts.Environment); err != nil {
		return err
	}
	if created {
		m.opts.OnEvent(LedgerCreated{l.Environment})
	}
	if err := m.recordRoles(ctx, s); err != nil {
		return err
	}
	var fresh []*evidence.Manifest
	for _, manifest := range m.opts.Manifests {
		changed, err := evidence.Deploying(ctx, s.conn, manifest, m.opts.PawlVersion)
		if err != nil {
			return classify(ctx, "register the release", err)
		}
		if changed {
			fresh = append(fresh, manifest)
			m.opts.OnEvent(ReleaseRegistered{manifest.Consumer, manifest.Release, len(manifest.Statements)})
		}
	}
	return m.recordDigests(ctx, s, fresh)
}

// recordDigests notes by which images releases are deployed, so that what runs is known to be of them later.
func (m *Migrator) recordDigests(ctx context.Context, s *session, manifests []*evidence.Manifest) error {
	if len(manifests) == 0 || m.opts.Digests == nil {
		return nil
	}
	digests, err := m.opts.Digests(ctx)
	if err != nil {
		m.opts.OnEvent(DigestsUnknown{err.Error()})
		return nil //nolint:nilerr // it is told, and the run goes on
	}
	for _, manifest := range manifests {
		if len(digests) == 0 {
			break
		}
		if err := evidence.AddDigests(ctx, s.conn, manifest.Consumer, manifest.Release, digests); err != nil {
			return classify(ctx, "record the release's images", err)
		}
	}
	return nil
}

// live reads the database's own schema where the applied files do not tell the whole of it: after a git revert, or for
// a database that was taken over. It gives nil where they do, or where nothing is pending.
func (s *session) live(ctx context.Context, t *todo, l *Ledger) (*phases.File, error) {
	if len(t.pending) == 0 || t.told(l, s.version) {
		return nil, nil //nolint:nilnil // no file is needed
	}
	text, err := evidence.Schema(ctx, s.conn)
	if err != nil {
		return nil, classify(ctx, "read the schema", err)
	}
	return parse.File("the database's schema", []byte(text)), nil
}

// lookForLedger sees a ledger that another runner created since the connection was made.
func (s *session) lookForLedger(ctx context.Context) error {
	if s.hasLedger {
		return nil
	}
	err := s.conn.QueryRow(ctx, `select to_regclass('pawl.meta') is not null`).Scan(&s.hasLedger)
	return classify(ctx, "look for the ledger", err)
}

// adopted refuses a database that holds tables of unknown origin: applying a history from its first file to it would
// fail half-way at best. Of one that was taken over it refuses what the other tool applied later.
func (m *Migrator) adopted(ctx context.Context, s *session, l *Ledger, t *todo) error {
	if len(t.pending) == 0 {
		return nil
	}
	if len(l.Entries) > 0 || l.Others {
		return m.movedOn(ctx, s, l, t)
	}
	some, err := s.hasObjects(ctx)
	if err != nil || !some {
		return err
	}
	if found, err := s.findHistory(ctx, AdoptOptions{Baseline: "0"}); err == nil && found != nil {
		return &RefusedError{
			Message: fmt.Sprintf("database %q has a history of %s in %s, which pawl has not taken over", s.database, found.tool.name, found.table),
			Hint:    "`pawl adopt` shows what of it is applied, and `pawl adopt --apply` takes it over",
		}
	}
	return &RefusedError{
		Message: fmt.Sprintf("database %q has tables and no history that pawl knows", s.database),
		Hint: "if these migrations made them, say up to which version: `pawl adopt --baseline VERSION --apply`; if they are others' and none of these\n" +
			"was applied, so that all are to be: `pawl adopt --baseline 0 --apply`; otherwise check the URL",
	}
}

// blocked tells whether held migrations make the run fail.
func (m *Migrator) blocked(r Result) error {
	e := &BlockedError{Unknown: true}
	for _, h := range r.Held {
		if h.LeftOut {
			continue
		}
		needed := m.opts.Lane != ContractLane && (h.Behind != "" || !h.Phase.Gated()) && m.needs(h)
		if m.opts.FailOnBlocked || needed {
			e.Held = append(e.Held, h)
		}
		if h.Behind == "" && h.Decision.Verdict != gate.Unknown {
			e.Unknown = false
		}
	}
	if len(e.Held) == 0 {
		return nil
	}
	return e
}

// needs reports whether a held migration adds something that the incoming release names. Without a manifest of that
// release, whatever it adds may be needed.
func (m *Migrator) needs(h Held) bool {
	for _, added := range h.adds {
		if len(m.opts.Manifests) == 0 {
			return true
		}
		for _, manifest := range m.opts.Manifests {
			for _, q := range manifest.Gate().Queries {
				if q.Mentions.Meets(phases.Take{Object: added, Uses: phases.AnyUse}, nil).Uses != 0 {
					return true
				}
			}
		}
	}
	return false
}

// Plan gives what Migrate would do now, without the lock and without writing anything. A standby will do.
func (m *Migrator) Plan(ctx context.Context) (*Plan, *Ledger, error) {
	files, err := Load(m.files, m.opts.Root)
	if err != nil {
		return nil, nil, err
	}
	s, err := m.dial(ctx, false)
	if err != nil {
		return nil, nil, err
	}
	defer s.close()
	l, err := s.ledger(ctx)
	if err != nil {
		return nil, nil, err
	}
	t, err := compare(files, l)
	if err != nil {
		return nil, nil, err
	}
	if err := m.adopted(ctx, s, l, t); err != nil {
		return nil, nil, err
	}
	live, err := s.live(ctx, t, l)
	if err != nil {
		return nil, nil, err
	}
	if t.unseen, err = s.unseen(ctx, l); err != nil {
		return nil, nil, err
	}
	switch {
	case t.unseen:
		t.bare = l.Bare
	case l.Schema == 0:
		// As a run would find it that begins now.
		if t.bare, err = s.bare(ctx); err != nil {
			return nil, nil, err
		}
	}
	g := &gatekeeper{m: m, s: s, environment: l.Environment, refused: map[Version]gate.Decision{}}
	aside, err := s.softDrops(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := t.setAside(aside, g); err != nil {
		return nil, nil, err
	}
	p, err := t.plan(l, m.opts.OutOfOrder, m.opts.Lane, s.version, live, g.pastBackfills(ctx, t, g.judge(ctx)))
	if err = errors.Join(err, g.err); err == nil {
		err = m.backfillPlans(ctx, s, p)
	}
	return p, l, err
}

// FileStatus is one line of a status: a migration as files and ledger know it together.
type FileStatus struct {
	Version Version
	Name    string
	// State is "applied", "running", "held", "pending" or, while what it drops is set aside, "aside".
	State string
	// Entry is the ledger's row; nil for what is pending. Migration is nil where there is no file.
	Entry     *Entry
	Migration *Migration
}

// Status is what files and ledger say together, in the order of versions.
type Status struct {
	Database    string
	Environment Environment
	Ledger      int
	Files       []FileStatus
	// Backfills are the queue in the order of versions.
	Backfills []*BackfillStatus
}

// Status reads files and ledger and compares them. Nothing is parsed or written, and a standby will do. Where an
// applied file has changed, the status is given together with the *IntegrityError.
func (m *Migrator) Status(ctx context.Context) (*Status, error) {
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
	t, changed := compare(files, l)
	status := &Status{Database: s.database, Environment: l.Environment, Ledger: l.Schema}
	if s.hasLedger {
		if status.Backfills, err = s.backfills(ctx); err != nil {
			return nil, err
		}
	}
	aside, err := s.softDrops(ctx)
	if err != nil {
		return nil, err
	}
	if t != nil {
		for _, e := range t.missing {
			status.Files = append(status.Files, FileStatus{Version: e.Version, Name: e.Name, State: string(e.State), Entry: &e})
		}
	}
	for _, f := range files {
		line := FileStatus{Version: f.Version, Name: f.Name, State: "pending", Migration: f}
		if e, ok := l.Entries[f.Version]; ok {
			line.State, line.Entry = string(e.State), &e
		} else if f.Checkpoint && len(l.Entries) > 0 {
			// It is for empty databases.
			continue
		}
		if d := aside[f.Version]; d != nil && d.State == "aside" {
			line.State = d.State
		}
		status.Files = append(status.Files, line)
	}
	sortFiles(status.Files)
	return status, changed
}

// phaseOf gives the phase under which a step is recorded.
func phaseOf(a *phases.Assessment) phases.Phase {
	if a.Mixed {
		return phases.Worse(a.Phase, phases.Contract)
	}
	return a.Phase
}
