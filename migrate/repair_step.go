package migrate

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/parse"
)

// fate is what the catalog proves of a statement that a run was at, or had yet to come to.
type fate struct {
	done, undone bool
	// proof says it in words.
	proof string
	// tidy takes away what the statement left half-done, or ends it; nil where there is nothing. Tidying says what it does.
	tidy    func(context.Context) error
	tidying string
	// open says why nothing is proved; empty where the catalog just does not tell.
	open string
}

// stateUndone is that of a migration of which nothing is done.
const stateUndone State = "undone"

// steps looks up what became of migrations that were begun and whose end was not seen.
func (r *repairer) steps(ctx context.Context) error {
	for _, v := range r.versions(StateRunning) {
		e, file := r.l.Entries[v], r.files[v]
		f := Repair{
			Kind: "step", Version: v, State: Personal, record: true,
			What: fmt.Sprintf("%s was begun on %s, and its end was not seen", e.Name, e.StartedAt.UTC().Format("2006-01-02 15:04 MST")),
			Do:   fmt.Sprintf("look at the database, then say what is true: `pawl resolve %s --applied|--not-applied --reason …`", v),
		}
		switch {
		case file == nil:
			f.What += "; there is no file of it here"
			f.Do = "use the directory of the release that began it; " + f.Do
		case file.Sum != e.Sum && r.l.amendedBy(file):
			f.Path = file.Path
			at := r.l.stopped[v]
			f.What = fmt.Sprintf("%s was begun on %s, and PostgreSQL refused a statement behind the first %s; the file was corrected since", e.Name, e.StartedAt.UTC().Format("2006-01-02 15:04 MST"), counted(at.done, "statement"))
			f.Do = "run `pawl migrate`: it goes on behind what is done"
			file = nil
		case file.Sum != e.Sum:
			f.Path = file.Path
			old, err := r.textOf(ctx, file, e.Sum)
			if err != nil {
				return err
			}
			if old == nil {
				f.What += "; the file was changed since"
				f.Do = "restore the file as it was and run pawl again, or: " + f.Do
			}
			file = old
		}
		if file != nil {
			f.Path = file.Path
			if err := r.step(ctx, &f, file); err != nil {
				return err
			}
		}
		if err := r.found(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// step works out what became of one file, statement by statement, in the order of the text.
func (r *repairer) step(ctx context.Context, f *Repair, file *Migration) error {
	if fault := file.Check(); fault != nil {
		f.What += "; it cannot be read: " + fault.Error()
		return nil //nolint:nilerr // the finding tells it
	}
	t := &todo{path: r.l.path}
	for _, v := range r.versions(StateApplied) {
		if a := r.files[v]; a != nil && a.Check() == nil {
			t.applied = append(t.applied, a)
		}
	}
	a := t.catalog(r.s.version, nil).Assess(file.File())
	step := Step{Migration: file, Assessment: a, Phase: a.Phase}
	j, err := r.s.journaled(ctx, file.Version, file.Sum)
	if err != nil {
		return err
	}
	r.remember(file)
	var tidies []func(context.Context) error
	var did, proofs []string
	last := j.done
	for i, st := range a.Statements {
		if st.Statement.Control != "" || i < j.done {
			continue
		}
		what, err := r.fate(ctx, st, i == j.done, j.doubt && i == j.done)
		if err != nil {
			return err
		}
		line := st.Statement.Span.Start.Line
		if !what.done && !what.undone {
			// The runner tells what can be run once more from what only a person can tell.
			if parse.OutcomeOf(st.Statement.Text).Kind == parse.Repeatable {
				f.State = NextRun
				f.Do = fmt.Sprintf("the next run of `pawl migrate` runs line %d once more, which gives the same in any case", line)
				return nil
			}
			f.What += "; " + cmp.Or(what.open, fmt.Sprintf("the catalog cannot tell whether line %d took effect", line))
			return nil
		}
		if what.tidy != nil {
			tidies, did = append(tidies, what.tidy), append(did, what.tidying)
		}
		proofs = append(proofs, what.proof)
		f.Proof = strings.Join(proofs, "; ")
		if what.done {
			last = i + 1
			continue
		}
		switch {
		case last == 0:
			f.outcome = stateUndone
			did = append(did, "recorded as not applied; the next run of `pawl migrate` takes the file up, as it stands then")
			f.mend = func(ctx context.Context) error { return r.notApplied(ctx, file.Version, tidies) }
		case last == j.done && len(tidies) == 0:
			f.State = NextRun
			did = append(did, fmt.Sprintf("the next run of `pawl migrate` goes on at line %d", line))
		default:
			did = append(did, fmt.Sprintf("recorded up to line %d; the next run of `pawl migrate` goes on there", line))
			f.mend = func(ctx context.Context) error { return r.advance(ctx, step, j.done, last, tidies) }
		}
		f.Do = strings.Join(did, "; ")
		return nil
	}
	if len(tidies) == 0 {
		f.outcome = StateApplied
	}
	f.Do = strings.Join(append(did, "recorded as applied"), "; ")
	f.mend = func(ctx context.Context) error {
		if err := all(ctx, tidies); err != nil {
			return err
		}
		_, err := r.s.conn.PgConn().Exec(ctx, r.s.conn.own("begin"+r.m.record(r.s, step)+"; commit")).ReadAll()
		return err
	}
	return nil
}

func all(ctx context.Context, tidies []func(context.Context) error) error {
	for _, tidy := range tidies {
		if err := tidy(ctx); err != nil {
			return err
		}
	}
	return nil
}

// remember keeps what a file makes from being looked at a second time.
func (r *repairer) remember(file *Migration) {
	for _, st := range file.File().Statements {
		o := parse.OutcomeOf(st.Text)
		switch o.Kind {
		case parse.IndexBuilt, parse.IndexDropped, parse.Reindexed:
			r.unfinished[o.Name] = true
		case parse.PartitionDetached:
			r.unfinished[o.Relation] = true
		}
	}
}

// notApplied takes the row away of a file of which nothing was done.
func (r *repairer) notApplied(ctx context.Context, version Version, tidies []func(context.Context) error) error {
	if err := all(ctx, tidies); err != nil {
		return err
	}
	_, err := r.s.conn.Exec(ctx, `delete from pawl.migration where version = $1 and state = 'running'`, string(version))
	return err
}

// advance records statements that are proved to be done.
func (r *repairer) advance(ctx context.Context, step Step, from, until int, tidies []func(context.Context) error) error {
	if err := all(ctx, tidies); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, r.s.conn, func(tx pgx.Tx) error {
		for i := from; i < until; i++ {
			if _, err := tx.Exec(ctx, r.m.journalText(step, i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// fate asks the catalog about one statement. First is true for the one that an earlier run was at or before, doubt where it may have
// been at it.
func (r *repairer) fate(ctx context.Context, st phases.AssessedStatement, first, doubt bool) (fate, error) {
	line := st.Statement.Span.Start.Line
	o := parse.OutcomeOf(st.Statement.Text)
	switch {
	case st.Transactional:
		return fate{undone: true, proof: fmt.Sprintf("line %d commits together with its record, and there is none", line)}, nil
	case o.Kind == parse.IndexBuilt:
		return r.fateOfIndex(ctx, st, o)
	case o.Kind == parse.PartitionDetached:
		return r.fateOfDetach(ctx, o, doubt)
	case !first:
		return fate{undone: true, proof: fmt.Sprintf("the run never came to line %d", line)}, nil
	case !doubt:
		return fate{undone: true, proof: fmt.Sprintf("PostgreSQL refused line %d, which is recorded", line)}, nil
	case o.Kind == parse.Reindexed:
		return r.fateOfReindex(ctx, o, line)
	case o.Kind == parse.IndexDropped:
		state, err := r.s.index(ctx, o)
		switch {
		case err != nil:
			return fate{}, classify(ctx, "look for index "+o.Name, err)
		case !state.exists:
			return fate{done: true, proof: fmt.Sprintf("index %s is not there any more", o.Name)}, nil
		case state.valid:
			return fate{undone: true, proof: fmt.Sprintf("index %s is there and valid", o.Name)}, nil
		}
		return fate{
			done: true, proof: fmt.Sprintf("DROP INDEX CONCURRENTLY has marked index %s INVALID, and no query uses it", o.Name),
			tidying: "dropped index " + o.Name, tidy: func(ctx context.Context) error { return r.s.dropIndex(ctx, state.schema, o.Name) },
		}, nil
	case o.Kind == parse.Repeatable || o.Kind == parse.Unsure:
		return fate{}, nil
	}
	done, what, err := r.s.tookEffect(ctx, o)
	if err != nil {
		return fate{}, classify(ctx, "look the outcome up", err)
	}
	if done {
		return fate{done: true, proof: what}, nil
	}
	return fate{undone: true, proof: fmt.Sprintf("the catalog shows nothing of line %d", line)}, nil
}

func (r *repairer) fateOfIndex(ctx context.Context, st phases.AssessedStatement, o parse.Outcome) (fate, error) {
	state, err := r.s.index(ctx, o)
	if err != nil {
		return fate{}, classify(ctx, "look for index "+o.Name, err)
	}
	if !state.exists {
		return fate{undone: true, proof: fmt.Sprintf("there is no index %s", o.Name)}, nil
	}
	same, err := r.same(ctx, st.Statement.Text, o, state)
	busy := false
	if err == nil {
		busy, err = r.busy(ctx, qualified(state.schema, o.Name))
	}
	switch {
	case err != nil:
		return fate{}, classify(ctx, "compare index "+o.Name, err)
	case !same:
		return fate{open: fmt.Sprintf("there is an index %s, and it is another one: %s", o.Name, state.definition)}, nil
	case busy:
		return fate{open: "somebody works on the table of index " + o.Name}, nil
	case state.valid:
		return fate{done: true, proof: fmt.Sprintf("index %s is there, valid, and defined as the file says", o.Name)}, nil
	}
	return fate{
		undone: true, proof: fmt.Sprintf("index %s is INVALID, defined as the file says, and nobody works on its table", o.Name),
		tidying: "dropped the INVALID index " + o.Name, tidy: func(ctx context.Context) error { return r.s.dropIndex(ctx, state.schema, o.Name) },
	}, nil
}

// same compares a statement with an index. A standby, where no copy can be made, is asked for the text alone.
func (r *repairer) same(ctx context.Context, statement string, o parse.Outcome, state indexState) (bool, error) {
	if r.s.standby {
		return parse.SameIndex(statement, state.definition), nil
	}
	return r.s.sameIndex(ctx, statement, o, state)
}

func (r *repairer) fateOfDetach(ctx context.Context, o parse.Outcome, doubt bool) (fate, error) {
	parent, partition := qualified(o.Schema, o.Name), qualified(o.RelationSchema, o.Relation)
	state, err := r.s.detaching(ctx, parent, partition)
	if err != nil {
		return fate{}, classify(ctx, "look for partition "+o.Relation, err)
	}
	busy, err := r.busy(ctx, parent)
	if err != nil {
		return fate{}, err
	}
	switch {
	case busy:
		return fate{open: "somebody works on " + parent}, nil
	case state.pending:
		return fate{
			done: true, proof: fmt.Sprintf("the DETACH of partition %s is pending, which PostgreSQL lets nobody take back, and nobody works on it", o.Relation),
			tidying: "finished the DETACH of partition " + o.Relation, tidy: func(ctx context.Context) error { return r.finalize(ctx, parent, partition) },
		}, nil
	case state.attached:
		return fate{undone: true, proof: fmt.Sprintf("partition %s is attached", o.Relation)}, nil
	case doubt && state.exists:
		return fate{done: true, proof: fmt.Sprintf("table %s is there and no partition any more", o.Relation)}, nil
	}
	return fate{}, nil
}

func (r *repairer) fateOfReindex(ctx context.Context, o parse.Outcome, line int) (fate, error) {
	left, err := r.s.leftovers(ctx, o)
	if err != nil {
		return fate{}, classify(ctx, "look for what REINDEX left", err)
	}
	for _, l := range left {
		if l.old && o.Reach == parse.OneIndex {
			return fate{
				done: true, proof: fmt.Sprintf("the new index has taken the place of the old one, which is called %s", l.name),
				tidying: "dropped index " + l.name, tidy: func(ctx context.Context) error { return r.s.dropIndex(ctx, l.schema, l.name) },
			}, nil
		}
	}
	// What it may have left is found among the indexes; to run it once more is right in any case.
	return fate{undone: true, proof: fmt.Sprintf("REINDEX of line %d may be run once more", line)}, nil
}
