package migrate

import (
	"fmt"
	"time"

	"github.com/bitvault/pawl/phases"
)

// limits are the timeouts of one file: lock is the first lock_timeout, maxLock up to where it grows. A statement of 0 is
// not bounded.
type limits struct{ lock, maxLock, statement time.Duration }

// limits gives the timeouts of one file: the options', or those of its pawl:timeout. A file that takes strong locks on
// several relations holds the first while it waits for the next, so the time is shared among them. A gentle one may wait
// and work for as long as there is time: nobody waits with it.
func (m *Migrator) limits(step Step) limits {
	l := limits{m.opts.LockTimeout, m.opts.MaxLockTimeout, m.opts.StatementTimeout}
	const least = 50 * time.Millisecond
	if n := time.Duration(len(strongLocks(step.Assessment.Statements))); n > 1 {
		l.lock, l.maxLock = max(least, l.lock/n), max(least, l.maxLock/n)
	}
	if gentle(step.Assessment.Statements) {
		l = limits{m.opts.LockDeadline, m.opts.LockDeadline, 0}
	}
	for _, d := range step.Migration.File().Directives {
		if d.Name != "timeout" {
			continue
		}
		if t, err := phases.ParseDuration(d.Options["lock"]); err == nil {
			l.lock, l.maxLock = t, t
		}
		if t, err := phases.ParseDuration(d.Options["statement"]); err == nil {
			l.statement = t
		}
	}
	return l
}

// overlong are the statements of a file, by their index, that set a lock_timeout of more than the longest that the file may wait for: as
// long would everybody queue behind it. The values are what they set; 0 is without end.
func overlong(f *phases.File, longest time.Duration) map[int]time.Duration {
	var found map[int]time.Duration
	for i, s := range f.Statements {
		if !setsAlone(&s) {
			continue
		}
		for _, op := range s.Operations {
			if op.Kind != "set" && op.Kind != "reset" || len(op.Names) == 0 || op.Names[0] != "lock_timeout" {
				continue
			}
			ms, ok := 0.0, true
			if op.Kind == "set" {
				ms, ok = phases.Milliseconds(op.Text)
			}
			set := time.Duration(ms * float64(time.Millisecond))
			if ok && (set == 0 || set > longest) {
				if found == nil {
					found = map[int]time.Duration{}
				}
				found[i] = set
			}
		}
	}
	return found
}

// withoutOverlong gives the text with those statements as others that do nothing, so that every position stays what it is.
func withoutOverlong(f *phases.File, text string, longest time.Duration) string {
	for i := range overlong(f, longest) {
		const nothing = "select"
		span := f.Statements[i].Span
		if length := span.End.Offset - span.Start.Offset; length >= len(nothing) {
			blank := []byte(text[span.Start.Offset:span.End.Offset])
			for j := range blank {
				if blank[j] != '\n' {
					blank[j] = ' '
				}
			}
			copy(blank, nothing)
			text = text[:span.Start.Offset] + string(blank) + text[span.End.Offset:]
		}
	}
	return text
}

// stepLimits gives the timeouts of one statement outside of a transaction. None is bounded but by the file's own word:
// a build that is cut short has to begin anew.
func (m *Migrator) stepLimits(step Step, index int) limits {
	l := m.limits(step)
	if !directed(step, "statement") {
		l.statement = 0
	}
	if !directed(step, "lock") && gentle(step.Assessment.Statements[index:index+1]) {
		l.lock, l.maxLock = m.opts.LockDeadline, m.opts.LockDeadline
	}
	return l
}

// directed reports whether a file's pawl:timeout sets an option.
func directed(step Step, option string) bool {
	for _, d := range step.Migration.File().Directives {
		if d.Name == "timeout" && d.Options[option] != "" {
			return true
		}
	}
	return false
}

// gentle reports whether statements take locks for which neither readers nor writers wait, also while they queue for
// them: CREATE INDEX CONCURRENTLY, VALIDATE CONSTRAINT, VACUUM and their like. Where a lock is not known they are not.
func gentle(statements []phases.AssessedStatement) bool {
	some := false
	for _, s := range statements {
		for _, op := range s.Operations {
			switch {
			case op.Effect.Lock == phases.ShareUpdateExclusive && !op.Effect.RefLock.BlocksWrites():
				some = true
			case op.Kind == "set" || op.Kind == "reset":
			case op.Effect.NoTx && op.Effect.Lock == phases.NoLock && op.Kind != "transaction_in_block" && op.Kind != "cluster_all" && op.Kind != "reindex_system":
				some = true
			default:
				return false
			}
		}
	}
	return some
}

// strongLocks names the relations for which writers have to wait.
func strongLocks(statements []phases.AssessedStatement) map[string]phases.Lock {
	locked := map[string]phases.Lock{}
	for _, s := range statements {
		for _, op := range s.Operations {
			for _, lock := range op.Locks {
				if lock.Mode.BlocksWrites() {
					locked[lock.Relation] = max(locked[lock.Relation], lock.Mode)
				}
			}
		}
	}
	return locked
}

// pastAutovacuum gives statements that get autovacuum off the tables it keeps pawl from; empty where it is not in the
// way. It gives way to whoever waits for deadlock_timeout, by default a second, which is longer than traffic may be kept
// waiting. Waiting in its own mode keeps neither readers nor writers, and none comes back while the lock is held. One
// that prevents wraparound does not give way.
func pastAutovacuum(blockers []Blocker) string {
	text := ""
	for _, b := range blockers {
		if b.Autovacuum && !b.Wraparound && b.Relation != "" {
			text += fmt.Sprintf("set local lock_timeout = %d; lock table only %s in share update exclusive mode; ", easeTimeout.Milliseconds(), b.Relation)
		}
	}
	return text
}

// easeTimeout is longer than deadlock_timeout, after which autovacuum is told to go.
const easeTimeout = 3 * time.Second
