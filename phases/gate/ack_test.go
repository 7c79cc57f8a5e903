package gate_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// An acknowledgement lets pass what it is about, and nothing else; what it lets pass stays in sight.
func TestAcknowledgements(t *testing.T) {
	t.Parallel()
	name := phases.Object{Kind: phases.Column, Schema: "public", Relation: "users", Column: "name"}
	both := dropEmail()
	both.Takes = append(both.Takes, gate.Taken{Take: phases.Take{Object: name, Uses: phases.AnyUse &^ phases.Omit}, Summary: "so does this one"})
	partial := gate.Release{Consumer: "api", ID: "r1", Manifest: &gate.Manifest{Reasons: []string{"main.go:7"}}}
	sends := func(text string) gate.Release {
		return gate.Release{Consumer: "api", ID: "r1", Manifest: &gate.Manifest{Complete: true, Queries: []gate.Query{{ID: text, Text: text, Mentions: parse.Mentions(text)}}}}
	}
	proof := map[string]gate.Proof{"select email, name from users": {After: `column "email" does not exist`, Code: "42703"}}
	ack := func(change func(*gate.Acknowledgement)) gate.Acknowledgement {
		a := gate.Acknowledgement{ID: 1, Object: "users.email", Consumer: "api", Reason: "off", By: "bob", Until: day(21)}
		change(&a)
		return a
	}
	same := func(*gate.Acknowledgement) {}
	broken := func(a *gate.Acknowledgement) { a.Broken = true }
	for _, c := range []struct {
		what    string
		change  gate.Change
		release gate.Release
		acks    []gate.Acknowledgement
		allowed bool
	}{
		{"nothing", dropEmail(), partial, nil, false},
		{"what is not known", dropEmail(), partial, []gate.Acknowledgement{ack(same)}, true},
		{"with its schema", dropEmail(), partial, []gate.Acknowledgement{ack(func(a *gate.Acknowledgement) { a.Object = "public.users.email" })}, true},
		{"the table is not the column", dropEmail(), partial, []gate.Acknowledgement{ack(func(a *gate.Acknowledgement) { a.Object = "users" })}, false},
		{"another schema", dropEmail(), partial, []gate.Acknowledgement{ack(func(a *gate.Acknowledgement) { a.Object = "old.users.email" })}, false},
		{"another consumer", dropEmail(), partial, []gate.Acknowledgement{ack(func(a *gate.Acknowledgement) { a.Consumer = "web" })}, false},
		{"this release", dropEmail(), partial, []gate.Acknowledgement{ack(func(a *gate.Acknowledgement) { a.Release = "r1" })}, true},
		{"another release", dropEmail(), partial, []gate.Acknowledgement{ack(func(a *gate.Acknowledgement) { a.Release = "r2" })}, false},
		{"it is over this very moment", dropEmail(), partial, []gate.Acknowledgement{ack(func(a *gate.Acknowledgement) { a.Until = day(20) })}, false},
		{"what breaks needs to be named", dropEmail(), sends("select email from users"), []gate.Acknowledgement{ack(same)}, false},
		{"what breaks, named", dropEmail(), sends("select email from users"), []gate.Acknowledgement{ack(broken)}, true},
		{"a partial manifest may need all that goes", both, partial, []gate.Acknowledgement{ack(same)}, false},
		{"all that goes, one by one", both, partial,
			[]gate.Acknowledgement{ack(same), ack(func(a *gate.Acknowledgement) { a.Object = "users.name" })}, true},
		{"PostgreSQL names the first column only", both, sends("select email, name from users"), []gate.Acknowledgement{ack(broken)}, false},
		{"both columns", both, sends("select email, name from users"),
			[]gate.Acknowledgement{ack(broken), ack(func(a *gate.Acknowledgement) { a.Object, a.Broken = "users.name", true })}, true},
		{"no manifest at all", dropEmail(), gate.Release{Consumer: "api", ID: "r1"}, []gate.Acknowledgement{ack(same)}, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			e := gate.Evidence{Registered: true, Releases: []gate.Release{c.release}, Acknowledgements: c.acks}
			for _, e.Proofs = range []map[string]gate.Proof{nil, proof} {
				d := gate.Decide(c.change, e, gate.Policy{}, day(20))
				require.Equal(t, c.allowed, d.Allowed)
				require.NotEmpty(t, d.Findings, "it stays in sight")
				require.GreaterOrEqual(t, d.Verdict, gate.Unknown)
				require.True(t, !c.allowed || len(d.Acknowledged()) > 0)
			}
		})
	}
}

// Nobody can answer for a database of which nobody knows who uses it, nor for a source that cannot be read, nor for a
// statement that pawl cannot see through.
func TestWhatNobodyCanAnswerFor(t *testing.T) {
	t.Parallel()
	everything := gate.Change{Phase: phases.Unknown, Takes: []gate.Taken{{Take: phases.Take{Everything: true}}}}
	for _, c := range []struct {
		change   gate.Change
		evidence gate.Evidence
	}{
		{dropEmail(), gate.Evidence{}},
		{dropEmail(), gate.Evidence{Registered: true, Failures: []string{"the cluster does not answer"}}},
		{everything, gate.Evidence{Registered: true, Releases: []gate.Release{{Consumer: "api", ID: "r1"}}}},
	} {
		for _, consumer := range []string{"", "api"} {
			for _, object := range []string{"", "users.email"} {
				c.evidence.Acknowledgements = append(c.evidence.Acknowledgements, gate.Acknowledgement{
					Object: object, Consumer: consumer, Broken: true, Until: day(20).Add(time.Hour),
				})
			}
		}
		require.False(t, gate.Decide(c.change, c.evidence, gate.Policy{}, day(20)).Allowed)
	}
}
