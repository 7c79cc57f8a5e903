package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases/parse"
)

// RepairOptions say how Repair works.
type RepairOptions struct {
	// DryRun finds out what would be done, without the lock and without writing anything. A standby will do.
	DryRun bool
	// Reason is recorded with what is done, besides the proof; it may be empty.
	Reason string
	// Texts gives texts that a migration's file had at other times. Only one that has the ledger's checksum is taken for what was
	// applied. Nil means that none are known.
	Texts func(context.Context, *Migration) ([][]byte, error)
}

// RepairState says what became of a finding of Repair.
type RepairState string

const (
	// Repaired means that it is put right, and recorded.
	Repaired RepairState = "repaired"
	// Repairable means that a run that is no dry run would put it right.
	Repairable RepairState = "repairable"
	// NextRun means that it needs no repair: the next run of Migrate puts it right, or it is over when others are.
	NextRun RepairState = "left to the next run"
	// Personal means that nothing proves what is right, and a person has to say it.
	Personal RepairState = "needs a person"
	// NotRepaired means that the repair was tried and failed; nothing that Do says was done.
	NotRepaired RepairState = "failed"
)

// Repair is one thing that was found not to be as files and ledger say.
type Repair struct {
	// Kind is "text", "step", "detach" or "index".
	Kind string
	// Version and Path are the migration's that it belongs to; empty where it belongs to none.
	Version Version
	Path    string
	State   RepairState
	// What is wrong, Proof is what shows that the repair is safe, and Do what is done about it, or what a person has to do.
	What, Proof, Do string
	// Err is why it failed; nil otherwise.
	Err error

	// mend does it. It records nothing where both happen in one transaction: record is false then.
	mend   func(context.Context) error
	record bool
	// outcome is what is proved of a whole step: StateApplied, stateUndone, or empty for neither.
	outcome State
}

// Repair looks for what interrupted runs, and edits of applied files, have left, and puts right what files, ledger and catalog
// together prove to be safe. The rest is told with what a person has to do. Nothing that a release may need is taken away.
func (m *Migrator) Repair(ctx context.Context, o RepairOptions) ([]Repair, error) {
	files, err := Load(m.files, m.opts.Root)
	if err != nil {
		return nil, err
	}
	s, err := m.dial(ctx, !o.DryRun)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if o.DryRun {
		if h := s.holder(ctx); h.PID != 0 {
			return nil, &TransientError{
				Message: fmt.Sprintf("another pawl (%s) is at work on this database", h),
				Hint:    "what it is at is not yet over; look again when it is done",
			}
		}
	} else {
		if err := s.lock(ctx, m.opts.Wait, func(h Holder, waited time.Duration) { m.opts.OnEvent(Waiting{h, waited}) }); err != nil {
			return nil, err
		}
	}
	l, err := m.look(ctx, s)
	if err != nil {
		return nil, err
	}
	if !s.hasLedger {
		return nil, &RefusedError{
			Message: fmt.Sprintf("database %q has no ledger, so nothing tells what it should be", s.database),
			Hint:    "`pawl migrate` or `pawl adopt` makes one",
		}
	}
	if !o.DryRun {
		if err := s.upgradeLedger(ctx, l, m.opts.Environment); err != nil {
			return nil, err
		}
	}
	r := newRepairer(m, s, l, files, o)
	for _, look := range []func(context.Context) error{r.texts, r.steps, r.detaches, r.indexes} {
		if err := look(ctx); err != nil {
			return r.list, m.audit(ctx, s, "repair", err)
		}
	}
	if o.DryRun {
		return r.list, nil
	}
	if err := r.recordRest(ctx); err != nil {
		return r.list, err
	}
	return r.list, s.unlock(context.WithoutCancel(ctx))
}

// repairer is at work on one database.
type repairer struct {
	m     *Migrator
	s     *session
	l     *Ledger
	o     RepairOptions
	files map[Version]*Migration
	list  []Repair
	// unfinished are the names of indexes, and of partitions, that belong to a migration which was begun and did not end.
	unfinished map[string]bool
}

func newRepairer(m *Migrator, s *session, l *Ledger, files []*Migration, o RepairOptions) *repairer {
	r := &repairer{m: m, s: s, l: l, o: o, files: map[Version]*Migration{}, unfinished: map[string]bool{}}
	for _, f := range files {
		if f.Version.Repeatable() {
			f.Version = l.nextOf(f)
		}
		r.files[f.Version] = f
	}
	return r
}

// versions are the ledger's in a state, in their order.
func (r *repairer) versions(state State) []Version {
	var list []Version
	for v, e := range r.l.Entries {
		if e.State == state {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, Version.Compare)
	return list
}

// found adds a finding, after doing what can be done about it.
func (r *repairer) found(ctx context.Context, f Repair) error {
	switch {
	case f.mend == nil:
	case r.o.DryRun:
		f.State = Repairable
	default:
		if err := r.mend(ctx, &f); err != nil {
			return err
		}
	}
	r.list = append(r.list, f)
	return nil
}

// mend does what a finding says. Only what ends the whole run is an error.
func (r *repairer) mend(ctx context.Context, f *Repair) error {
	if f.record {
		// Should the process die in between, the log has what it was at.
		if err := r.event(ctx, "repair begun", *f, nil); err != nil {
			return err
		}
	}
	settings := fmt.Sprintf("set lock_timeout = %d; set statement_timeout = 0", r.m.opts.LockDeadline.Milliseconds())
	if _, err := r.s.conn.Exec(ctx, settings); err != nil {
		return classify(ctx, "set the timeouts", err)
	}
	err := f.mend(ctx)
	if ctx.Err() != nil || r.s.conn.IsClosed() {
		return classify(ctx, "repair", err)
	}
	r.m.rollback(ctx, r.s)
	if _, resetErr := r.s.conn.Exec(ctx, "reset lock_timeout; reset statement_timeout"); resetErr != nil {
		return classify(ctx, "reset the timeouts", resetErr)
	}
	if err != nil {
		f.State, f.Err = NotRepaired, err
		return r.event(ctx, "repair failed", *f, nil)
	}
	f.State = Repaired
	if f.record {
		return r.event(ctx, "repaired", *f, nil)
	}
	return nil
}

const repairEvent = `insert into pawl.event (kind, version, detail, pawl_version) values ($1, nullif($2, ''), $3, $4)`

// execer is a session, or a transaction of it.
type execer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// event records one finding; with tx nil by itself.
func (r *repairer) event(ctx context.Context, kind string, f Repair, tx execer) error {
	detail := map[string]string{"command": "repair", "what": f.What, "did": f.Do}
	for k, v := range map[string]string{"proof": f.Proof, "reason": r.o.Reason, "file": f.Path} {
		if v != "" {
			detail[k] = v
		}
	}
	if f.Err != nil {
		detail["error"] = f.Err.Error()
	}
	encoded, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("encode the repair: %w", err)
	}
	if tx == nil {
		tx = r.s.conn
	}
	var id int64
	err = tx.QueryRow(ctx, repairEvent+" returning id", kind, string(f.Version), string(encoded), r.m.opts.PawlVersion).Scan(&id)
	return classify(ctx, "record the repair", err)
}

// recordRest records what a person was left to do: that, too, was refused.
func (r *repairer) recordRest(ctx context.Context) error {
	for _, f := range r.list {
		if f.State != Personal {
			continue
		}
		detail, err := json.Marshal(map[string]string{"command": "repair", "message": f.What, "hint": f.Do})
		if err != nil {
			return fmt.Errorf("encode the refusal: %w", err)
		}
		if _, err := r.s.conn.Exec(ctx, repairEvent, "refused", string(f.Version), string(detail), r.m.opts.PawlVersion); err != nil {
			return classify(ctx, "record the refusal", err)
		}
	}
	return nil
}

// texts looks for applied files that differ from what was applied, and keeps those that say the same to PostgreSQL.
func (r *repairer) texts(ctx context.Context) error {
	for _, v := range r.versions(StateApplied) {
		e, file := r.l.Entries[v], r.files[v]
		if file == nil || v.Repeatable() || e.has(file.Sum) {
			continue
		}
		f := Repair{
			Kind: "text", Version: v, Path: file.Path, State: Personal, record: false,
			What: fmt.Sprintf("%s is not the text that was applied: the ledger has checksum %s, the file has %s", file.Path, short(e.Sum), short(file.Sum)),
			Do:   "restore the file as it was applied, and put the change into a new migration",
		}
		old, err := r.textOf(ctx, file, e.Sum)
		if err != nil {
			return err
		}
		if old == nil {
			f.What += "; the text that was applied is not at hand to compare with"
			f.Do += "; where only blanks and comments changed, give the directory that has the file as it was: `pawl repair --was DIR`"
		} else if different := parse.SameFile(old.File(), file.File()); different != "" {
			f.What += "; " + different
		} else {
			f.Proof = fmt.Sprintf("a text with checksum %s is known, and PostgreSQL's parser gives the same statements for both", short(e.Sum))
			f.Do = fmt.Sprintf("%s counts as the same text as %s", short(file.Sum), short(e.Sum))
			f.mend = func(ctx context.Context) error {
				return pgx.BeginFunc(ctx, r.s.conn, func(tx pgx.Tx) error {
					const same = `update pawl.migration set same = array_append(same, $2) where version = $1 and state = 'applied' and checksum = $3`
					tag, err := tx.Exec(ctx, same, string(v), file.Sum, e.Sum)
					if err != nil {
						return err
					}
					if tag.RowsAffected() != 1 {
						return fmt.Errorf("the ledger's row of version %s has changed meanwhile", v)
					}
					return r.event(ctx, "repaired", f, tx)
				})
			}
		}
		if err := r.found(ctx, f); err != nil {
			return err
		}
		if now := r.list[len(r.list)-1].State; now == Repaired || now == Repairable {
			e.Same = append(e.Same, file.Sum)
			r.l.Entries[v] = e
		}
	}
	return nil
}

// textOf gives the migration as it was when its text had a checksum; nil where no such text is known.
func (r *repairer) textOf(ctx context.Context, file *Migration, sum string) (*Migration, error) {
	if r.o.Texts == nil {
		return nil, nil //nolint:nilnil // none is known
	}
	texts, err := r.o.Texts(ctx, file)
	if err != nil {
		return nil, err
	}
	for _, text := range texts {
		if Checksum(text) == sum {
			return &Migration{Version: file.Version, Label: file.Label, Name: file.Name, Path: file.Path, Sum: sum, src: text, fsys: file.fsys}, nil
		}
	}
	return nil, nil //nolint:nilnil // none is known
}
