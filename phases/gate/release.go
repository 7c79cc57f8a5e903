package gate

import (
	"cmp"
	"slices"
	"time"

	"github.com/bitvault/pawl/phases"
)

// EventKind is what happened to a release.
type EventKind string

const (
	// Registered means that the release and its manifest are known; it may be deployed at any time.
	Registered EventKind = "registered"
	// Deploying is recorded before the first pod of the release starts (PreSync).
	Deploying EventKind = "deploying"
	// LiveNow is recorded once the release has replaced the one before it (PostSync). It supersedes every other live
	// release of the same consumer.
	LiveNow EventKind = "live"
	// Superseded ends a release's life by hand, for consumers whose new releases do not record LiveNow.
	Superseded EventKind = "superseded"
	// Aborted means that the deployment was given up (SyncFail); its pods may have run.
	Aborted EventKind = "aborted"
	// Seen means that something that runs was observed to be of this release.
	Seen EventKind = "seen"
	// Pinned keeps a release eligible until it is unpinned or retired.
	Pinned EventKind = "pinned"
	// Unpinned takes Pinned back.
	Unpinned EventKind = "unpinned"
	// Retired says that the release will never run again, whatever its other events say, until it is deployed anew.
	Retired EventKind = "retired"
)

// EventKinds are all kinds, in the order of a release's life.
var EventKinds = []EventKind{Registered, Deploying, LiveNow, Superseded, Aborted, Seen, Pinned, Unpinned, Retired}

// Event is one row of the append-only event log.
type Event struct {
	Consumer, Release string
	Kind              EventKind
	At                time.Time
}

// Eligibility is one reason why a release may run now or later.
type Eligibility string

// The reasons, in the words that people read.
const (
	WhyLive       Eligibility = "live"
	WhyDeploying  Eligibility = "deploying"
	WhyRegistered Eligibility = "registered, not deployed yet"
	WhySeen       Eligibility = "seen running"
	WhySuperseded Eligibility = "within the rollback window"
	WhyPrevious   Eligibility = "previous release"
	WhyPinned     Eligibility = "pinned"
	WhyGiven      Eligibility = "given on the command line"
	WhyBase       Eligibility = "the code that this branch starts from"
	// WhyFleet is told by Release.Where.
	WhyFleet Eligibility = "in Kubernetes"
)

// Policy sets how careful the gate is. The zero Policy is the default one.
type Policy struct {
	// Window is how long after being superseded a release may come back; 0 means seven days.
	Window time.Duration
	// KeepPrevious is how many superseded releases stay eligible however old they are; 0 means one, -1 none.
	KeepPrevious int
	// SeenFor is how long an observation counts; 0 means fifteen minutes.
	SeenFor time.Duration
	// IgnoreRoles keeps roles out of it altogether.
	IgnoreRoles bool
	// EnforceRoles blocks where a login role that belongs to no consumer can touch what is taken; otherwise it is told.
	EnforceRoles bool
	// BlockPossible blocks on findings which only the values decide.
	BlockPossible bool
}

const (
	defaultWindow  = 7 * 24 * time.Hour
	defaultSeenFor = 15 * time.Minute
)

func (p Policy) window() time.Duration { return cmp.Or(p.Window, defaultWindow) }

func (p Policy) keepPrevious() int { return max(0, cmp.Or(p.KeepPrevious, 1)) }

func (p Policy) seenFor() time.Duration { return cmp.Or(p.SeenFor, defaultSeenFor) }

// Site is a place in a consumer's source.
type Site struct {
	File string `json:"file"`
	Line int    `json:"line"`
}

// Query is one text that a release may send.
type Query struct {
	// Text is the SQL as the release sends it; ID is the SHA-256 of it in hex. Where ID is empty, Text only describes
	// statements that are made at run time: there is nothing to prepare.
	ID, Text string
	Sites    []Site
	Mentions *phases.Mentions
}

// Manifest is all that a release may send.
type Manifest struct {
	// Complete is false when something the release sends is not in the manifest; Reasons say what and where.
	Complete bool
	Reasons  []string
	Queries  []Query
	// Statements is how many statements the manifest has where Queries are only those that matter; 0 means that Queries are
	// all.
	Statements int
	// Words are all words of the release's source, in lower case, that may name something in a database; nil where they
	// are not known.
	Words map[string]bool
}

// Count is how many statements the manifest has, those that do not matter included.
func (m *Manifest) Count() int { return max(len(m.Queries), m.Statements) }

// Release is one build of a consumer. A nil Manifest means that nothing is known of what it sends.
type Release struct {
	Consumer, ID string
	Digests      []string
	Why          []Eligibility
	// Since is when the release reached its present state.
	Since time.Time
	// Until is when the last reason for its eligibility ends by itself; zero means that it does not.
	Until    time.Time
	Manifest *Manifest
	// Where says in what it runs, or what can start it, as far as that was looked at.
	Where []string
	// Problem says why nothing is known of something that runs, and Cure what to do about it; empty for a release that the
	// ledger knows.
	Problem, Cure string
}

// State is where one release stands, derived from its events.
type State struct {
	Consumer, ID string
	// Last is the kind of the event that decides, at Since.
	Last  EventKind
	Since time.Time
	// Why is empty for a release that may not run.
	Why   []Eligibility
	Until time.Time
}

// Eligible reports whether the release runs or may run.
func (s State) Eligible() bool { return len(s.Why) > 0 }

// States derives the state of every release from the log, sorted by consumer and by the time of the last event, newest
// first. Events may come in any order; equal times keep the order given. An event in the future counts as now, for a
// host whose clock runs ahead must not hide a release.
func States(events []Event, policy Policy, now time.Time) []State {
	log := slices.Clone(events)
	slices.SortStableFunc(log, func(a, b Event) int { return a.At.Compare(b.At) })
	consumers := map[string]map[string]*lifeOf{}
	for _, e := range log {
		releases := consumers[e.Consumer]
		if releases == nil {
			releases = map[string]*lifeOf{}
			consumers[e.Consumer] = releases
		}
		l := releases[e.Release]
		if l == nil {
			l = &lifeOf{}
			releases[e.Release] = l
		}
		l.apply(e)
		if e.Kind == LiveNow {
			for id, other := range releases {
				if id != e.Release && other.live {
					other.supersede(e.At)
				}
			}
		}
	}
	var states []State
	for consumer, releases := range consumers {
		states = append(states, statesOf(consumer, releases, policy, now)...)
	}
	slices.SortFunc(states, func(a, b State) int {
		return cmp.Or(cmp.Compare(a.Consumer, b.Consumer), b.Since.Compare(a.Since), cmp.Compare(b.ID, a.ID))
	})
	return states
}

// lifeOf is what the events of one release add up to.
type lifeOf struct {
	last                               EventKind
	since                              time.Time
	live, deploying, registered        bool
	pinned, retired                    bool
	seenAt, supersededAt, registeredAt time.Time
}

func (l *lifeOf) apply(e Event) {
	if e.Kind == Registered && (l.live || l.deploying || !l.supersededAt.IsZero()) {
		// Registering again tells nothing about where the release runs.
		return
	}
	if e.Kind == Seen && !l.retired {
		l.seenAt = e.At
		if l.last == "" {
			l.last, l.since = e.Kind, e.At
		}
		return
	}
	l.last, l.since = e.Kind, e.At
	switch e.Kind {
	case Registered:
		l.registered, l.registeredAt = true, e.At
	case Deploying:
		l.deploying, l.registered, l.retired = true, false, false
	case LiveNow:
		l.live, l.deploying, l.registered, l.retired = true, false, false, false
		l.supersededAt = time.Time{}
	case Superseded:
		l.supersede(e.At)
	case Aborted:
		// An aborted canary may have run; it counts as superseded from that moment unless it was live before.
		l.deploying, l.registered = false, false
		if !l.live {
			l.supersededAt = e.At
		}
	case Seen:
		l.seenAt, l.retired = e.At, false
	case Pinned:
		l.pinned, l.retired = true, false
	case Unpinned:
		l.pinned = false
	case Retired:
		l.live, l.deploying, l.registered, l.pinned = false, false, false, false
		l.seenAt, l.supersededAt = time.Time{}, time.Time{}
		l.retired = true
	}
}

func (l *lifeOf) supersede(at time.Time) {
	l.live, l.deploying, l.registered = false, false, false
	l.supersededAt = at
	l.last, l.since = Superseded, at
}

func statesOf(consumer string, releases map[string]*lifeOf, policy Policy, now time.Time) []State {
	var previous []string
	for id, l := range releases {
		if !l.supersededAt.IsZero() {
			previous = append(previous, id)
		}
	}
	slices.SortFunc(previous, func(a, b string) int {
		return cmp.Or(releases[b].supersededAt.Compare(releases[a].supersededAt), cmp.Compare(b, a))
	})
	previous = previous[:min(len(previous), policy.keepPrevious())]

	states := make([]State, 0, len(releases))
	for id, l := range releases {
		s := State{Consumer: consumer, ID: id, Last: l.last, Since: l.since}
		forever := false
		add := func(why Eligibility, until time.Time) {
			s.Why = append(s.Why, why)
			if until.IsZero() {
				forever = true
			} else if until.After(s.Until) {
				s.Until = until
			}
		}
		if l.live {
			add(WhyLive, time.Time{})
		}
		if l.deploying {
			add(WhyDeploying, time.Time{})
		}
		if l.registered {
			add(WhyRegistered, time.Time{})
		}
		if until := l.supersededAt.Add(policy.window()); !l.supersededAt.IsZero() && now.Before(until) {
			add(WhySuperseded, until)
		}
		if slices.Contains(previous, id) {
			add(WhyPrevious, time.Time{})
		}
		if until := l.seenAt.Add(policy.seenFor()); !l.seenAt.IsZero() && now.Before(until) {
			add(WhySeen, until)
		}
		if l.pinned {
			add(WhyPinned, time.Time{})
		}
		if forever {
			s.Until = time.Time{}
		}
		states = append(states, s)
	}
	return states
}
