package gate_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// day gives noon of a day of the story; now is day 20.
func day(n int) time.Time { return time.Date(2026, 3, n, 12, 0, 0, 0, time.UTC) }

func TestStates(t *testing.T) {
	t.Parallel()
	type event struct {
		day     int
		release string
		kind    gate.EventKind
	}
	for _, c := range []struct {
		name   string
		events []event
		want   map[string][]gate.Eligibility
	}{
		{"nothing happened", nil, map[string][]gate.Eligibility{}},
		{"registered only: it may be deployed at any time", []event{{1, "r1", gate.Registered}},
			map[string][]gate.Eligibility{"r1": {gate.WhyRegistered}}},
		{"deploying, and nobody said that it ended", []event{{1, "r1", gate.Registered}, {2, "r1", gate.Deploying}},
			map[string][]gate.Eligibility{"r1": {gate.WhyDeploying}}},
		{"live for weeks", []event{{1, "r1", gate.Deploying}, {1, "r1", gate.LiveNow}},
			map[string][]gate.Eligibility{"r1": {gate.WhyLive}}},
		{"a canary beside the stable release", []event{{1, "r1", gate.LiveNow}, {19, "r2", gate.Deploying}},
			map[string][]gate.Eligibility{"r1": {gate.WhyLive}, "r2": {gate.WhyDeploying}}},
		{"promoted: the other is superseded, within the window and the previous one", []event{{1, "r1", gate.LiveNow}, {19, "r2", gate.LiveNow}},
			map[string][]gate.Eligibility{"r1": {gate.WhySuperseded, gate.WhyPrevious}, "r2": {gate.WhyLive}}},
		{"the window counts from being superseded, not from being deployed", []event{{1, "r1", gate.LiveNow}, {14, "r2", gate.LiveNow}, {15, "r3", gate.LiveNow}},
			map[string][]gate.Eligibility{"r1": {gate.WhySuperseded}, "r2": {gate.WhySuperseded, gate.WhyPrevious}, "r3": {gate.WhyLive}}},
		{"after the window the previous one stays", []event{{1, "r1", gate.LiveNow}, {2, "r2", gate.LiveNow}, {3, "r3", gate.LiveNow}},
			map[string][]gate.Eligibility{"r1": nil, "r2": {gate.WhyPrevious}, "r3": {gate.WhyLive}}},
		{"an aborted canary may have pods yet, and the stable release runs on", []event{{1, "r1", gate.LiveNow}, {19, "r2", gate.Deploying}, {19, "r2", gate.Aborted}},
			map[string][]gate.Eligibility{"r1": {gate.WhyLive}, "r2": {gate.WhySuperseded, gate.WhyPrevious}}},
		{"aborting the deployment of what is live takes nothing from it", []event{{1, "r1", gate.LiveNow}, {2, "r1", gate.Deploying}, {2, "r1", gate.Aborted}},
			map[string][]gate.Eligibility{"r1": {gate.WhyLive}}},
		{"git revert: the old release is deploying again", []event{{1, "r1", gate.LiveNow}, {2, "r2", gate.LiveNow}, {19, "r1", gate.Deploying}},
			map[string][]gate.Eligibility{"r1": {gate.WhyDeploying, gate.WhyPrevious}, "r2": {gate.WhyLive}}},
		{"retired", []event{{1, "r1", gate.LiveNow}, {19, "r2", gate.LiveNow}, {19, "r1", gate.Retired}},
			map[string][]gate.Eligibility{"r1": nil, "r2": {gate.WhyLive}}},
		{"retired and deployed again", []event{{1, "r1", gate.LiveNow}, {2, "r1", gate.Retired}, {19, "r1", gate.Deploying}},
			map[string][]gate.Eligibility{"r1": {gate.WhyDeploying}}},
		{"pinned outlives everything", []event{{1, "r0", gate.Deploying}, {1, "r0", gate.Superseded}, {1, "r0", gate.Pinned}, {2, "r1", gate.LiveNow}, {3, "r2", gate.LiveNow}},
			map[string][]gate.Eligibility{"r0": {gate.WhyPinned}, "r1": {gate.WhyPrevious}, "r2": {gate.WhyLive}}},
		{"unpinned", []event{{1, "r0", gate.Pinned}, {2, "r0", gate.Unpinned}},
			map[string][]gate.Eligibility{"r0": nil}},
		{"seen a moment ago", []event{{1, "r1", gate.LiveNow}, {1, "r1", gate.Retired}, {20, "r1", gate.Seen}},
			map[string][]gate.Eligibility{"r1": {gate.WhySeen}}},
		{"seen long ago", []event{{1, "r1", gate.Seen}},
			map[string][]gate.Eligibility{"r1": nil}},
		{"registered again while live", []event{{1, "r1", gate.LiveNow}, {2, "r1", gate.Registered}},
			map[string][]gate.Eligibility{"r1": {gate.WhyLive}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var log []gate.Event
			for _, e := range c.events {
				log = append(log, gate.Event{Consumer: "api", Release: e.release, Kind: e.kind, At: day(e.day)})
			}
			got := map[string][]gate.Eligibility{}
			for _, s := range gate.States(log, gate.Policy{}, day(20)) {
				got[s.ID] = s.Why
			}
			require.Equal(t, c.want, got)
			slices.Reverse(log)
			if !sameTimes(log) {
				again := map[string][]gate.Eligibility{}
				for _, s := range gate.States(log, gate.Policy{}, day(20)) {
					again[s.ID] = s.Why
				}
				require.Equal(t, c.want, again, "the order in which the log is read does not matter")
			}
		})
	}
}

func sameTimes(log []gate.Event) bool {
	for i := 1; i < len(log); i++ {
		if log[i].At.Equal(log[i-1].At) {
			return true
		}
	}
	return false
}

func TestStatesUntil(t *testing.T) {
	t.Parallel()
	log := []gate.Event{
		{Consumer: "api", Release: "r1", Kind: gate.LiveNow, At: day(1)},
		{Consumer: "api", Release: "r2", Kind: gate.LiveNow, At: day(19)},
		{Consumer: "batch", Release: "b1", Kind: gate.LiveNow, At: day(1)},
	}
	until := map[string]time.Time{}
	for _, s := range gate.States(log, gate.Policy{KeepPrevious: -1}, day(20)) {
		until[s.ID] = s.Until
	}
	require.Equal(t, map[string]time.Time{"r1": day(26), "r2": {}, "b1": {}}, until, "one consumer's release supersedes no other's")
	for _, s := range gate.States(log, gate.Policy{}, day(20)) {
		require.Zero(t, s.Until, "as the previous release, r1 stays however old it gets")
	}
}

var email = phases.Object{Kind: phases.Column, Schema: "public", Relation: "users", Column: "email"}

func dropEmail() gate.Change {
	return gate.Change{Phase: phases.Contract, Takes: []gate.Taken{{
		Take: phases.Take{Object: email, Uses: phases.AnyUse &^ phases.Omit}, Summary: "the column goes",
	}}}
}

func release(id string, texts ...string) gate.Release {
	m := &gate.Manifest{Complete: true}
	for _, text := range texts {
		m.Queries = append(m.Queries, gate.Query{Text: text, Sites: []gate.Site{{File: "store.go", Line: 7}}, Mentions: parse.Mentions(text)})
	}
	return gate.Release{Consumer: "api", ID: id, Manifest: m}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	known := func(r ...gate.Release) gate.Evidence { return gate.Evidence{Registered: true, Releases: r} }
	possible := dropEmail()
	possible.Takes[0].Certainty = phases.ValuesDecide
	for _, c := range []struct {
		name     string
		change   gate.Change
		evidence gate.Evidence
		policy   gate.Policy
		allowed  bool
		verdict  gate.Verdict
	}{
		{"takes nothing, nobody known", gate.Change{Phase: phases.Contract}, gate.Evidence{}, gate.Policy{}, true, gate.Unaffected},
		{"nobody is registered", dropEmail(), gate.Evidence{}, gate.Policy{}, false, gate.Unknown},
		{"everybody is retired", dropEmail(), known(), gate.Policy{}, true, gate.Unaffected},
		{"a release uses it", dropEmail(), known(release("r1", "select email from users")), gate.Policy{}, false, gate.Broken},
		{"a release uses another column", dropEmail(), known(release("r1", "select id, name from users")), gate.Policy{}, true, gate.Unaffected},
		{"a release uses a column of that name elsewhere", dropEmail(), known(release("r1", "select email from invitations")), gate.Policy{}, true, gate.Unaffected},
		{"one of two uses it", dropEmail(), known(release("r2", "select id from users"), release("r1", "update users set email = $1")), gate.Policy{}, false, gate.Broken},
		{"no manifest", dropEmail(), known(gate.Release{Consumer: "api", ID: "r1"}), gate.Policy{}, false, gate.Unknown},
		{"partial manifest", dropEmail(), known(gate.Release{Consumer: "api", ID: "r1", Manifest: &gate.Manifest{}}), gate.Policy{}, false, gate.Unknown},
		{"a source failed", dropEmail(), gate.Evidence{Registered: true, Failures: []string{"the API server is down"}}, gate.Policy{}, false, gate.Unknown},
		{"unknown phase without takes", gate.Change{}, known(), gate.Policy{}, false, gate.Unknown},
		{"opaque statement, everybody retired", gate.Change{Phase: phases.Unknown, Takes: []gate.Taken{{Take: phases.Take{Everything: true}}}}, known(), gate.Policy{}, false, gate.Unknown},
		{"only values decide: warned", possible, known(release("r1", "select email from users")), gate.Policy{}, true, gate.Possible},
		{"only values decide: the strict block", possible, known(release("r1", "select email from users")), gate.Policy{BlockPossible: true}, false, gate.Possible},
		{"a text that does not parse names both", dropEmail(), known(release("r1", "selec email frm users")), gate.Policy{}, false, gate.Unknown},
		{"a text that does not parse names neither", dropEmail(), known(release("r1", "selec id frm orders")), gate.Policy{}, true, gate.Unaffected},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := gate.Decide(c.change, c.evidence, c.policy, day(20))
			require.Equal(t, c.verdict, d.Verdict, "%+v", d.Findings)
			require.Equal(t, c.allowed, d.Allowed)
			if !d.Allowed {
				require.NotEmpty(t, d.Findings)
				for _, f := range d.Findings {
					require.NotEmpty(t, f.Message)
					require.NotEmpty(t, f.Next, "every finding says what to do: %s", f.Message)
				}
			}
		})
	}
}

func TestZeroDecisionAllowsNothing(t *testing.T) {
	t.Parallel()
	var d gate.Decision
	require.False(t, d.Allowed)
	require.Equal(t, gate.Undecided, d.Verdict)
}

// Uses of a column that do not name it count: the statement would break all the same.
func TestColumnWithoutItsName(t *testing.T) {
	t.Parallel()
	for text, broken := range map[string]bool{
		"select * from users":                                                                true,
		"select u from users u":                                                              true,
		"select row_to_json(u) from public.users as u":                                       true,
		"select count(*) from users":                                                         false,
		"insert into users values (1, 'a')":                                                  true,
		"insert into users (id, name) values (1, 'a')":                                       false,
		"insert into users (id, email) values (1, 'a')":                                      true,
		"select a from users as x (a, b)":                                                    true,
		"select id from users natural join accounts":                                         true,
		"select id from users join accounts using (email)":                                   true,
		"select (u).email from (select u from users u) s":                                    true,
		"update users set name = 'x' where id = 1":                                           false,
		"update users set name = 'x' where email = 'y'":                                      true,
		"insert into users (id) values (1) on conflict (email) do nothing":                   true,
		"select id from other.users where id = 1 and email = 'x'":                            false,
		"select 1 from users where exists (select from t where t.x = users.email)":           true,
		"copy users to stdout":                                                               true,
		"copy users (id) to stdout":                                                          false,
		"select null::users":                                                                 false,
		"select (null::users).email":                                                         true,
		"delete from users where id = 1":                                                     false,
		"select a.email from users u join accounts a on a.id = u.id":                         false,
		"select u.email from users u join accounts a on a.id = u.id":                         true,
		"select users.email from users":                                                      true,
		"select a.email, email from users u join accounts a on a.id = u.id":                  true,
		"select a.email from accounts a where exists (select from users a)":                  true,
		"select c.email from (select * from users) c":                                        true,
		"with c as (select email from users) select c.email from c":                          true,
		"with c as (select id from users) select a.email from c join accounts a on true":     false,
		"update accounts set email = 'x' from users u where u.id = accounts.id":              false,
		"insert into accounts (email) select 'x' from users":                                 false,
		"select id from users order by \"email\"":                                            true,
		"with u as (select * from users) select id from u":                                   true,
		"merge into users u using t on u.id = t.id when matched then update set email = t.e": true,
	} {
		d := gate.Decide(dropEmail(), gate.Evidence{Registered: true, Releases: []gate.Release{release("r1", text)}}, gate.Policy{}, day(20))
		require.Equal(t, !broken, d.Allowed, "%s: %+v", text, d.Findings)
	}
}

// A view or function that reaches the column stands for it.
func TestReach(t *testing.T) {
	t.Parallel()
	change := dropEmail()
	change.Takes[0].Reach = []phases.Reached{
		{Object: phases.Object{Kind: phases.Table, Schema: "public", Relation: "v_users"}},
		{Object: phases.Object{Kind: phases.Function, Schema: "public", Name: "get_users"}, Inside: true},
		{Object: phases.Object{Kind: phases.Table, Schema: "public", Relation: "audited"}, Inside: true, Writes: true},
	}
	for text, broken := range map[string]bool{
		"select id from v_users":        true,
		"select id from get_users()":    true,
		"select id from audited":        false,
		"delete from audited":           true,
		"select id from other":          false,
		"select id from x.v_users":      false,
		"select id from public.v_users": true,
	} {
		d := gate.Decide(change, gate.Evidence{Registered: true, Releases: []gate.Release{release("r1", text)}}, gate.Policy{}, day(20))
		require.Equal(t, !broken, d.Allowed, text)
	}
}

// A result of another type blocks a contract and warns on an expand; a further, doubtful finding changes nothing in that,
// nor does a stricter policy.
func TestChangedBlocksWhateverElseIsFound(t *testing.T) {
	t.Parallel()
	r := release("r1", "select email from users", "update users set email = $1")
	r.Manifest.Queries[0].ID, r.Manifest.Queries[1].ID = "read", "write"
	for _, phase := range []phases.Phase{phases.Contract, phases.Expand} {
		for _, certainty := range []phases.Certainty{phases.Fails, phases.ValuesDecide} {
			for _, policy := range []gate.Policy{{}, {BlockPossible: true}} {
				change := dropEmail()
				change.Phase = phase
				change.Takes[0].Certainty, change.Takes[0].Proved = certainty, true
				e := gate.Evidence{Registered: true, Releases: []gate.Release{r}, Proofs: map[string]gate.Proof{
					"read": {Changed: "the type of result column \"email\" is another"}, "write": {},
				}}
				d := gate.Decide(change, e, policy, day(20))
				possible := certainty == phases.ValuesDecide && policy.BlockPossible
				require.Equal(t, phase == phases.Expand && !possible, d.Allowed, "%s %s %+v: %s", phase, certainty, policy, d.Verdict)
			}
		}
	}
}
