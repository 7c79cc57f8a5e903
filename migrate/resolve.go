package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases/evidence"
)

// Unresolved is what is known of a migration that was begun and whose end was not seen.
type Unresolved struct {
	Name, Database string
	// Against says what the database was compared with.
	Against string
	// Gives is what the file changes; empty where that is nothing that the catalog shows, or could not be found out.
	Gives []Given
	// Others are differences that the file has nothing to do with. Where it could not be found out what the file gives, they are all
	// that there are.
	Others []evidence.Difference
	// Proved says what files, ledger and catalog prove, as Repair would; empty where they prove nothing.
	Proved string
	Notes  []string
}

// Given is one line of what a file changes.
type Given struct {
	// Added is true for what the file makes, false for what it takes away.
	Added bool
	Line  string
	// Done is true where the database is so: it has what is made, or no longer has what is taken away.
	Done bool
}

// Done counts the lines of which the database has the state after the file.
func (u *Unresolved) Done() int {
	n := 0
	for _, g := range u.Gives {
		if g.Done {
			n++
		}
	}
	return n
}

// Unresolved compares the database with what an interrupted migration would give: the applied files, and then that one, are run on a
// throwaway server. Where a history was taken over, which cannot be run, the difference from how pawl left the database is all there
// is. Nothing is written to the database.
func (m *Migrator) Unresolved(ctx context.Context, version Version, o DriftOptions) (u *Unresolved, err error) {
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
	e := l.Entries[version]
	if err := begun(l, version); err != nil {
		return nil, err
	}
	u = &Unresolved{Name: e.Name, Database: s.database}
	var file *Migration
	rest := slices.DeleteFunc(slices.Clone(files), func(f *Migration) bool {
		if f.Version == version {
			file = f
		}
		return f.Version == version
	})
	if file != nil && file.Sum != e.Sum {
		u.Notes = append(u.Notes, fmt.Sprintf("%s was changed after it was begun; what it gives is told by the text that is here", file.Path))
	}
	t, err := compare(rest, l)
	if err != nil {
		return nil, err
	}
	snap, err := s.lastSnapshot(ctx, l)
	if err != nil {
		return nil, err
	}
	if u.Proved, err = m.proved(ctx, s, l, files, version); err != nil {
		return nil, err
	}
	if file == nil || snap != nil {
		return u, s.sinceLast(ctx, u, snap, l)
	}
	if o.Shadow == nil {
		return nil, &DriftUnknownError{Message: "it takes a throwaway server to tell what the file gives", Hint: "give one: --shadow embedded"}
	}
	r, err := m.openReplay(ctx, s, l, t, snap, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.shadow.Close()) }()
	before, err := r.run(ctx, t.applied)
	if err != nil {
		return nil, err
	}
	after, err := r.run(ctx, append(slices.Clone(t.applied), file))
	if err != nil {
		return nil, err
	}
	live, err := evidence.Describe(ctx, s.conn, r.describe)
	if err != nil {
		return nil, classify(ctx, "read the schema", err)
	}
	u.Against, u.Notes = fmt.Sprintf("%d applied files and %s on a throwaway server", len(t.applied), file.Path), append(u.Notes, r.notes...)
	u.compare(before, after, live)
	return u, nil
}

// compare tells what the file gives, and which of it is there.
func (u *Unresolved) compare(before, after, live *evidence.Description) {
	there := map[string]bool{}
	for _, line := range live.Lines {
		there[line] = true
	}
	given := map[string]bool{}
	for _, d := range evidence.Diff(before, after) {
		given[d.Line] = true
		u.Gives = append(u.Gives, Given{Added: d.Added, Line: d.Line, Done: there[d.Line] == d.Added})
	}
	for _, d := range evidence.Diff(after, live) {
		if !given[d.Line] {
			u.Others = append(u.Others, d)
		}
	}
}

// sinceLast tells what is otherwise than pawl left it.
func (s *session) sinceLast(ctx context.Context, u *Unresolved, snap *snapshotRow, l *Ledger) error {
	if snap == nil {
		u.Notes = append(u.Notes, "there is no file of it here, so it cannot be told what it gives")
		return nil
	}
	d, err := s.driftSince(ctx, snap, l)
	if err != nil {
		return err
	}
	u.Against, u.Others, u.Notes = d.Against, d.Differences, append(u.Notes, d.Notes...)
	u.Notes = append(u.Notes, "the history was taken over and cannot be run again: what the interrupted file changed is among these differences")
	return nil
}

// proved gives what a repair would go by; empty where that is nothing.
func (m *Migrator) proved(ctx context.Context, s *session, l *Ledger, files []*Migration, version Version) (string, error) {
	f, err := m.foundOut(ctx, s, l, files, version)
	if err != nil || f == nil || f.mend == nil {
		return "", err
	}
	return f.Proof, nil
}

// foundOut asks the catalog about one interrupted migration, as Repair does; nil where its text is not here.
func (m *Migrator) foundOut(ctx context.Context, s *session, l *Ledger, files []*Migration, version Version) (*Repair, error) {
	i := slices.IndexFunc(files, func(f *Migration) bool { return f.Version == version })
	if i < 0 || files[i].Sum != l.Entries[version].Sum {
		return nil, nil //nolint:nilnil // nothing can be asked
	}
	r := newRepairer(m, s, l, files, RepairOptions{DryRun: true})
	f := &Repair{}
	return f, r.step(ctx, f, files[i])
}

// begun refuses a version that no run has left without an end.
func begun(l *Ledger, version Version) error {
	e, ok := l.Entries[version]
	if ok && e.State == StateRunning {
		return nil
	}
	state := "not in the ledger"
	if ok {
		state = string(e.State)
	}
	return &RefusedError{
		Version: version,
		Message: fmt.Sprintf("version %s is %s; only one that a run began and did not end can be resolved", version, state),
		Hint:    "see `pawl status`",
	}
}

// Resolve says what became of a non-transactional migration whose outcome the catalog cannot tell. Only a row in
// StateRunning can be resolved, and not against what the catalog proves. Reason is recorded, and must not be empty.
func (m *Migrator) Resolve(ctx context.Context, version Version, applied bool, reason string) error {
	if reason == "" {
		return &ConfigError{Message: "a reason is needed: it is recorded with who gave it"}
	}
	return m.with(ctx, "resolve", func(s *session, l *Ledger) error {
		if err := begun(l, version); err != nil {
			return err
		}
		// Who gives the answer may be in another directory, or in none.
		if files, err := Load(m.files, m.opts.Root); err == nil {
			f, err := m.foundOut(ctx, s, l, files, version)
			if err != nil {
				return err
			}
			if f != nil && f.outcome != "" && (f.outcome == StateApplied) != applied {
				return &RefusedError{
					Version: version, Message: fmt.Sprintf("version %s: the catalog proves otherwise: %s", version, f.Proof),
					Hint: "`pawl repair` records it as the catalog has it",
				}
			}
		}
		return m.resolved(ctx, s, l.Entries[version], applied, reason)
	})
}

func (m *Migrator) resolved(ctx context.Context, s *session, e Entry, applied bool, reason string) error {
	return classify(ctx, "resolve the migration", pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		outcome := "not applied"
		if applied {
			outcome = "applied"
		}
		const event = `insert into pawl.event (kind, version, detail, pawl_version) values ('resolved', $1, jsonb_build_object('outcome', $2::text, 'reason', $3::text), $4)`
		if _, err := tx.Exec(ctx, event, string(e.Version), outcome, reason, m.opts.PawlVersion); err != nil {
			return err
		}
		if !applied {
			_, err := tx.Exec(ctx, `delete from pawl.migration where version = $1 and state = 'running'`, string(e.Version))
			return err
		}
		_, err := tx.Exec(ctx, `select pawl.record_applied($1, $2, $3, $4, false, $5, $6, 'resolved')`,
			string(e.Version), e.Name, e.Sum, e.Phase, m.opts.PawlVersion, s.lockKey)
		return err
	}))
}
