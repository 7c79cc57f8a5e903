package migrate

import (
	"cmp"
	"context"
	"slices"

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
	// err is what kept the evidence from being read in a way that makes the whole run fail: a lost connection.
	err error
}

// judge gives the gate's decision on each migration it is asked about.
func (g *gatekeeper) judge(ctx context.Context) judge {
	return func(m *Migration, a *phases.Assessment) gate.Decision {
		change := ChangeOf(a)
		if len(change.Takes) == 0 && change.Phase != phases.Unknown {
			return gate.Decide(change, gate.Evidence{}, g.m.opts.Policy, g.m.opts.Now())
		}
		if err := g.load(ctx); err != nil {
			g.err = cmp.Or(g.err, err)
			return gate.Decision{}
		}
		return g.decide(change)
	}
}

func (g *gatekeeper) decide(change gate.Change) gate.Decision {
	for i := range change.Takes {
		change.Takes[i].Reach = g.reach.Of(change.Takes[i].Take)
	}
	d := gate.Decide(change, g.snapshot.Evidence, g.m.opts.Policy, g.snapshot.At)
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
	snapshot, err := evidence.Load(ctx, g.s.conn, g.m.opts.Policy)
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

// again decides once more inside the migration's own transaction, after its locks are granted. The log of releases is
// locked against new events until the transaction ends, so that no release can come in between decision and commit.
func (g *gatekeeper) again(ctx context.Context, step Step) (gate.Decision, error) {
	if g.snapshot == nil {
		return *step.Decision, nil
	}
	if _, err := g.s.conn.Exec(ctx, `lock table pawl.release_event in share mode`); err != nil {
		return gate.Decision{}, err
	}
	var last int64
	if err := g.s.conn.QueryRow(ctx, `select coalesce(max(id), 0) from pawl.release_event`).Scan(&last); err != nil {
		return gate.Decision{}, err
	}
	if last == g.snapshot.LastEvent {
		return *step.Decision, nil
	}
	snapshot, err := evidence.Load(ctx, g.s.conn, g.m.opts.Policy)
	if err != nil {
		return gate.Decision{}, err
	}
	g.snapshot = snapshot
	return g.decide(ChangeOf(step.Assessment)), nil
}

// ChangeOf gives what the gate has to know of an assessed file: its phase and all that it takes from code.
func ChangeOf(a *phases.Assessment) gate.Change {
	change := gate.Change{Phase: phaseOf(a)}
	for _, s := range a.Statements {
		for _, op := range s.Operations {
			for _, take := range op.Takes {
				change.Takes = append(change.Takes, gate.Taken{Take: take, Kind: op.Kind, Summary: op.Summary, Span: op.Span})
			}
		}
	}
	return change
}

func sortFiles(files []FileStatus) {
	slices.SortStableFunc(files, func(a, b FileStatus) int { return a.Version.Compare(b.Version) })
}
