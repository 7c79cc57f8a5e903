package migrate

// BackfillEnqueued means that a backfill waits for `pawl backfill run`, or that there was nothing to move.
type BackfillEnqueued struct {
	Migration *Migration
	// Empty is true where the table has no rows, so that the backfill is done.
	Empty bool
}

// BackfillStarted means that a worker has begun, or goes on with, a backfill.
type BackfillStarted struct{ Status *BackfillStatus }

// BackfillProgress tells how a backfill gets on, about once a second.
type BackfillProgress struct{ Status *BackfillStatus }

// BackfillWaits means that a signal keeps a backfill from its next batch, and why.
type BackfillWaits struct {
	Status *BackfillStatus
	Why    string
}

// BackfillGoesOn means that nothing keeps a backfill waiting any more.
type BackfillGoesOn struct{ Status *BackfillStatus }

// BackfillUnwatched means that a signal cannot be read, so that nothing is held against it.
type BackfillUnwatched struct {
	Status *BackfillStatus
	Why    string
}

// BackfillRetry means that a batch was rolled back and is tried again with fewer rows.
type BackfillRetry struct {
	Status *BackfillStatus
	Why    string
	Rows   int
}

// BackfillEnded means that a run has no more to do about a backfill: it is done, or somebody else works on the rest, or
// a person has stopped it, or its window has closed.
type BackfillEnded struct{ Status *BackfillStatus }

func (BackfillEnqueued) isEvent()  {}
func (BackfillStarted) isEvent()   {}
func (BackfillProgress) isEvent()  {}
func (BackfillWaits) isEvent()     {}
func (BackfillGoesOn) isEvent()    {}
func (BackfillUnwatched) isEvent() {}
func (BackfillRetry) isEvent()     {}
func (BackfillEnded) isEvent()     {}
