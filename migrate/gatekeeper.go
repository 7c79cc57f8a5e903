package migrate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// gatekeeper asks the gate for one run. It reads the evidence at the first question and again inside a contract's own
// transaction where something was recorded in between.
type gatekeeper struct {
	m           *Migrator
	s           *session
	environment Environment

	snapshot *evidence.Snapshot
	reach    *evidence.Reach
	// fleet is what the orchestrator ran at the last look; nil where it was not asked. moved is true where that look
	// differs from the one that the snapshot has.
	fleet *evidence.Fleet
	moved bool
	// err is what kept the evidence from being read in a way that makes the whole run fail: a lost connection.
	err error
	// refused are the contracts of this run that were found inside their transaction to come before a backfill is done.
	refused map[Version]gate.Decision
	// incoming asks whether the releases that are being deployed suit the schema.
	incoming *fitting
	// told are the held migrations of which this run has told already.
	told map[Version]bool
	// snapshots is true for a database that was taken over: the schema is stored as the run leaves it. driftWatched is true once
	// it was looked at how the run found it.
	snapshots, driftWatched bool
}

// judge gives the gate's decision on each migration it is asked about.
func (g *gatekeeper) judge(ctx context.Context) judge {
	moved := false
	return func(m *Migration, a *phases.Assessment) gate.Decision {
		change := ChangeOf(a)
		// What the rows are before data move says nothing of what they are afterwards.
		moved = moved || movesData(a)
		if len(change.Takes) == 0 && len(change.Adds) == 0 && change.Phase != phases.Unknown {
			return gate.Decide(change, gate.Evidence{}, g.m.opts.Policy, g.m.opts.Now())
		}
		if err := g.load(ctx); err != nil {
			g.err = cmp.Or(g.err, err)
			return gate.Decision{}
		}
		if !moved {
			if err := evidence.Counterexamples(ctx, g.s.conn.Conn, a, &change); err != nil {
				g.err = cmp.Or(g.err, classify(ctx, "look for counterexamples", err))
				return gate.Decision{}
			}
		}
		return g.decide(ctx, a, change)
	}
}

// movesData reports whether a file writes rows, or may.
func movesData(a *phases.Assessment) bool {
	return slices.ContainsFunc(a.Statements, func(s phases.AssessedStatement) bool {
		return s.Phase == phases.Backfill || s.Phase == phases.Unknown
	})
}

// decide asks the gate. With an assessment, PostgreSQL is asked on copies first; without one the mentions decide alone.
func (g *gatekeeper) decide(ctx context.Context, a *phases.Assessment, change gate.Change) gate.Decision {
	g.reach.Know(&change)
	if err := evidence.Confine(ctx, g.s.conn.Conn, &change); err != nil {
		g.err = cmp.Or(g.err, classify(ctx, "read the rights of roles", err))
		return gate.Decision{}
	}
	e := g.snapshot.Evidence
	if g.s.hasLedger {
		var err error
		if e, err = g.snapshot.About(ctx, g.s.conn, change.Words()); err != nil {
			g.err = cmp.Or(g.err, classify(ctx, "read the releases' statements", err))
			return gate.Decision{}
		}
	}
	if policy := g.m.opts.Policy; !policy.IgnoreRoles && g.s.hasLedger {
		var err error
		if e.Strangers, err = evidence.Strangers(ctx, g.s.conn, change.Takes, policy.EnforceRoles); err != nil {
			e.Failures = append(slices.Clone(e.Failures), err.Error())
		}
	}
	d := gate.Decide(change, e, g.m.opts.Policy, g.snapshot.At)
	if a != nil && (!d.Allowed || len(change.Adds) > 0) {
		// The mentions take too much; only what they found has to be looked at more closely. What an addition is in the way
		// of only PostgreSQL can tell.
		judged, err := evidence.OnCopies(ctx, g.s.conn, a, change, e.Releases)
		switch {
		case ctx.Err() != nil, g.s.conn.IsClosed():
			g.err = cmp.Or(g.err, classify(ctx, "ask PostgreSQL about the releases' statements", err))
		case err == nil && judged != nil:
			e.Proofs = judged.Proofs
			d = gate.Decide(change, e, g.m.opts.Policy, g.snapshot.At)
		}
	}
	if g.environment == Dev && !g.m.opts.GateDev {
		// In a development database the gate reports and does not hold.
		d.Allowed = true
	}
	return d
}

func (g *gatekeeper) load(ctx context.Context) error {
	if g.snapshot != nil {
		return nil
	}
	if !g.s.hasLedger {
		g.snapshot = &evidence.Snapshot{At: g.m.opts.Now()}
		return nil
	}
	snapshot, err := evidence.Load(ctx, g.s.conn, g.m.opts.Policy, g.look(ctx))
	if err != nil {
		return classify(ctx, "read the registry of releases", err)
	}
	reach, err := evidence.LoadReach(ctx, g.s.conn)
	if err != nil {
		return classify(ctx, "read what depends on what", err)
	}
	g.snapshot, g.reach = snapshot, reach
	return nil
}

// look asks the orchestrator once for a run.
func (g *gatekeeper) look(ctx context.Context) *evidence.Fleet {
	if g.fleet == nil && g.m.opts.Fleet != nil {
		g.fleet = g.m.opts.Fleet(ctx)
	}
	return g.fleet
}

// fleetKeeps is for how long a look at what runs is good enough for a contract that comes now.
const fleetKeeps = 10 * time.Second

// lookAgain asks the orchestrator anew before a contract where the last look is old: what was applied in between may have
// taken long. It is done outside of the contract's transaction, whose locks must not wait for a third party.
func (g *gatekeeper) lookAgain(ctx context.Context) {
	if g.fleet == nil || time.Since(g.fleet.Looked) < fleetKeeps {
		return
	}
	fleet := g.m.opts.Fleet(ctx)
	g.moved = g.moved || !fleet.Same(g.fleet)
	g.fleet = fleet
}

// heldAtMost is for how long traffic may wait behind a contract that is asked about once more: from when it began to wait for its
// locks until they are given back. What it takes to cancel and to roll back comes to it.
const heldAtMost = 400 * time.Millisecond

// recheckLeast is what a look at the logs gets in any case, and recheckTries how often it is begun anew.
const (
	recheckLeast = 50 * time.Millisecond
	recheckTries = 3
)

// slowRecheckError means that the evidence could not be read again for as long as locks may be held.
type slowRecheckError struct{ bound time.Duration }

func (e *slowRecheckError) Error() string {
	return fmt.Sprintf("the evidence could not be read again within %s", e.bound.Round(time.Millisecond))
}

// again decides once more inside the migration's own transaction, after its locks are granted. The logs of
// releases and of acknowledgements are locked against new rows until the transaction ends, so that nothing can come in
// between decision and commit. Since is when the attempt began: a look that does not end in time is a *slowRecheckError, after which
// the transaction has to be rolled back.
func (g *gatekeeper) again(ctx context.Context, step Step, since time.Time) (gate.Decision, error) {
	if g.snapshot == nil {
		return *step.Decision, nil
	}
	bound := max(recheckLeast, heldAtMost-time.Since(since))
	within, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	d, err := g.lookInside(within, step, bound)
	if ctx.Err() == nil && (within.Err() != nil || sqlState(err) == "57014") {
		g.snapshot = nil
		return gate.Decision{}, &slowRecheckError{bound}
	}
	return d, err
}

func (g *gatekeeper) lookInside(ctx context.Context, step Step, bound time.Duration) (gate.Decision, error) {
	// The server ends a statement by itself should the request to cancel it come late.
	lock := fmt.Sprintf(`set local statement_timeout = %d; lock table pawl.release_event, pawl.acknowledgement in share mode`, bound.Milliseconds())
	if _, err := g.s.conn.Exec(ctx, lock); err != nil {
		return gate.Decision{}, err
	}
	const newest = `
select (select coalesce(max(id), 0) from pawl.release_event), (select coalesce(max(id), 0) from pawl.acknowledgement), clock_timestamp(),
       current_setting('transaction_isolation')`
	var event, ack int64
	var now time.Time
	var isolation string
	if err := g.s.conn.QueryRow(ctx, newest).Scan(&event, &ack, &now, &isolation); err != nil {
		return gate.Decision{}, err
	}
	if isolation != "read committed" {
		return gate.Decision{}, &FileError{
			Path: step.Migration.Path, Message: "this contract runs in a " + isolation + " transaction, in which the gate cannot see what was recorded while it waited for its locks",
			Hint: "take out what sets the isolation; a statement that needs it goes into a file of its own",
		}
	}
	expired := slices.ContainsFunc(step.Decision.Acknowledged(), func(a gate.Acknowledgement) bool { return !now.Before(a.Until) })
	if event == g.snapshot.LastEvent && ack == g.snapshot.LastAcknowledgement && !expired && !g.moved {
		return *step.Decision, nil
	}
	snapshot, err := evidence.Load(ctx, g.s.conn, g.m.opts.Policy, g.fleet)
	if err != nil {
		return gate.Decision{}, err
	}
	d := *g
	d.snapshot = snapshot
	decision := d.decide(ctx, nil, ChangeOf(step.Assessment))
	if d.err == nil && ctx.Err() == nil {
		g.snapshot, g.moved = snapshot, false
	}
	return decision, d.err
}

// decideAnew reads the evidence and decides while no lock is held, after that took too long inside of the transaction. Attempt counts
// from 1; after the last the migration is held.
func (g *gatekeeper) decideAnew(ctx context.Context, step *Step, slow *slowRecheckError, attempt int) (gate.Decision, error) {
	if attempt >= recheckTries {
		d := *step.Decision
		d.Allowed, d.Verdict = false, gate.Unknown
		d.Findings = append(slices.Clone(d.Findings), gate.Finding{
			Verdict: gate.Unknown,
			Message: fmt.Sprintf("%s, while its locks were held, in %d attempts: something was recorded each time, and others must not wait any longer", slow, attempt),
			Next:    "run pawl again when nothing is being deployed; a slow ledger is told by `pawl doctor`",
		})
		return d, nil
	}
	g.m.opts.OnEvent(DecidedAnew{Migration: step.Migration, Attempt: attempt, Bound: slow.bound})
	g.snapshot, g.moved = nil, false
	if err := g.load(ctx); err != nil {
		return gate.Decision{}, err
	}
	d := g.decide(ctx, step.Assessment, ChangeOf(step.Assessment))
	if g.err != nil {
		return gate.Decision{}, g.err
	}
	step.Decision = &d
	return d, nil
}

// ChangeOf gives what the gate has to know of an assessed file: its phase and all that it takes from code.
func ChangeOf(a *phases.Assessment) gate.Change {
	change := gate.Change{Phase: phaseOf(a), Gone: map[string]bool{}}
	dropped := map[phases.Object]bool{}
	for _, s := range a.Statements {
		for _, op := range s.Operations {
			switch op.On.Kind {
			case phases.Function:
				if strings.HasPrefix(string(op.Kind), "drop_") {
					change.Gone[op.On.Name] = true
				}
			case phases.Column:
				for _, t := range op.Takes {
					if strings.HasPrefix(string(op.Kind), "drop_column") {
						dropped[t.Object] = true
					}
				}
			}
		}
	}
	for i, s := range a.Statements {
		for _, op := range s.Operations {
			if !op.New && op.On.Kind == phases.Column && (strings.HasPrefix(string(op.Kind), "add_column") || op.Kind == "rename_column") {
				o := op.On
				o.Column = cmp.Or(op.To, o.Column)
				take := phases.Take{Object: o, Uses: phases.Alone}
				change.Adds = append(change.Adds, gate.Taken{Take: take, Statement: i, Kind: op.Kind, Summary: op.Summary, Span: op.Span})
			}
			for _, take := range op.Takes {
				if !Gated(a) && (op.Phase.Gated() || take.Certainty == phases.Behaves) {
					// Somebody has assumed in the file that it takes nothing, or it only behaves in another way.
					continue
				}
				if dropped[take.Object] && take.Uses != phases.AnyUse {
					// What else the file takes from a column means nothing once the column itself goes.
					continue
				}
				change.Takes = append(change.Takes, gate.Taken{Take: take, Statement: i, Kind: op.Kind, Summary: op.Summary, Span: op.Span})
			}
		}
	}
	return change
}

func sortFiles(files []FileStatus) {
	slices.SortStableFunc(files, func(a, b FileStatus) int { return a.Version.Compare(b.Version) })
}
