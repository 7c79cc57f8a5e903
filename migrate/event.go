package migrate

import (
	"time"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// Event is something that a run tells while it works. The types below are all there are; Options.OnEvent receives
// them one after another, never two at once.
type Event interface{ isEvent() }

// Waiting means that another pawl is at work on the database.
type Waiting struct {
	Holder Holder
	Waited time.Duration
}

// LedgerCreated means that the database is under pawl's care from here on.
type LedgerCreated struct{ Environment Environment }

// ReleaseRegistered means that an incoming release was recorded.
type ReleaseRegistered struct {
	Consumer, Release string
	Statements        int
}

// DigestsUnknown tells that the images by which a release is deployed could not be found out.
type DigestsUnknown struct{ Problem string }

// ReleaseUnfit tells of statements of an incoming release that PostgreSQL does not take on the schema as it is, and that
// do not keep the release out: the refusal proves nothing, somebody answers for it, or it was asked for a warning only.
type ReleaseUnfit struct{ Misfits []evidence.Misfit }

// RestorePointMade tells where the database can be brought back to from before a contract.
type RestorePointMade struct {
	Migration *Migration
	Point     RestorePoint
}

// SetAside means that what a migration drops is set aside for a while.
type SetAside struct {
	Migration *Migration
	Keep      time.Duration
}

// BroughtBack means that what a migration had set aside has its name again.
type BroughtBack struct{ SoftDrop SoftDrop }

// Started means that a migration is about to be sent.
type Started struct {
	Migration *Migration
	Phase     phases.Phase
}

// Blocker is one session that keeps pawl from a lock.
type Blocker struct {
	PID         int
	Application string
	State       string
	// Age is how long its transaction is open; zero where that is not known.
	Age   time.Duration
	Query string
	// Relation is the table that it keeps, quoted and with its schema; empty where pawl waits for no relation's lock.
	Relation string
	// Autovacuum is true for a worker of autovacuum, Wraparound for one that does not give way to anybody.
	Autovacuum, Wraparound bool
}

// InTheWay tells, before the first migration is sent, of sessions that keep locks for which the pending migrations would
// have to wait: transactions that are open for long, and autovacuum that prevents wraparound.
type InTheWay struct {
	Migration *Migration
	Blockers  []Blocker
}

// LockMissed means that a lock was not had within lock_timeout, that the attempt was rolled back, and that another
// follows after Pause.
type LockMissed struct {
	Migration *Migration
	Attempt   int
	Timeout   time.Duration
	Pause     time.Duration
	// Blockers are the sessions that stood in the way; empty where they could not be told in time.
	Blockers []Blocker
}

// DecidedAnew means that something was recorded between the gate's decision and a migration's locks, and that reading the evidence
// again took longer than Bound, for which others may be kept waiting. It was rolled back, and is decided anew without the locks.
type DecidedAnew struct {
	Migration *Migration
	Attempt   int
	Bound     time.Duration
}

// Progress tells of a long non-transactional statement.
type Progress struct {
	Migration   *Migration
	What        string
	Done, Total int64
	Elapsed     time.Duration
	Blockers    []Blocker
}

// Recovered means that the outcome of an interrupted statement was found in the catalog and put right.
type Recovered struct {
	Migration *Migration
	What      string
}

// LeftInvalid means that a build failed or was interrupted, and that its INVALID index could not be dropped at once. Writers keep it up
// until the next run drops it.
type LeftInvalid struct {
	Migration *Migration
	Index     string
}

// Overruled means that a lock_timeout which the file sets, 0 for none, is left out: others would wait as long. A pawl:timeout of the file
// makes the longest longer.
type Overruled struct {
	Migration    *Migration
	Set, Longest time.Duration
}

// ServerNotice is a NOTICE or WARNING of the server.
type ServerNotice struct{ Severity, Message string }

// Applied means that a migration is committed, with its row in the ledger.
type Applied struct {
	Migration *Migration
	Phase     phases.Phase
	Duration  time.Duration
	Attempts  int
	// Decision is the gate's where the phase is gated; nil otherwise.
	Decision *gate.Decision
}

// HeldBack means that a migration is not applied now.
type HeldBack struct{ Held Held }

// Finished is the last event of a run that did not fail.
type Finished struct{ Result Result }

func (Waiting) isEvent()           {}
func (LedgerCreated) isEvent()     {}
func (ReleaseRegistered) isEvent() {}
func (DigestsUnknown) isEvent()    {}
func (ReleaseUnfit) isEvent()      {}
func (RestorePointMade) isEvent()  {}
func (SetAside) isEvent()          {}
func (BroughtBack) isEvent()       {}
func (InTheWay) isEvent()          {}
func (Started) isEvent()           {}
func (LockMissed) isEvent()        {}
func (DecidedAnew) isEvent()       {}
func (Progress) isEvent()          {}
func (Recovered) isEvent()         {}
func (LeftInvalid) isEvent()       {}
func (Overruled) isEvent()         {}
func (ServerNotice) isEvent()      {}
func (Applied) isEvent()           {}
func (HeldBack) isEvent()          {}
func (Finished) isEvent()          {}
