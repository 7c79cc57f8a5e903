package gate

import (
	"slices"
	"strings"
	"time"

	"github.com/bitvault/pawl/phases"
)

// Acknowledgement is a person's word that a consumer does not need an object. It lets a contract pass a finding and does
// not hide it: the finding stays in every later decision, with the acknowledgement at its side.
type Acknowledgement struct {
	ID int64
	// Object is a dotted name as findings print it, with or without its schema.
	Object string
	// Consumer is whose need is answered for; Release one of its releases, or empty for all of them.
	Consumer, Release string
	// Broken is true where the person answers even for what PostgreSQL proves to break; otherwise only for what is
	// possible, changed or not known.
	Broken bool
	// Reason, By and At say why, who and when; PawlVersion is the pawl that recorded it.
	Reason, By  string
	At          time.Time
	PawlVersion string
	// Until is when it stops counting, by the database's clock.
	Until time.Time
}

// acknowledge marks the findings for which somebody has answered. Of several acknowledgements that cover a finding the
// one that ends last is named.
func (d *Decision) acknowledge(change Change, acks []Acknowledgement, now time.Time) {
	for i := range d.Findings {
		f := &d.Findings[i]
		if f.Consumer == "" || f.Verdict <= Unaffected {
			continue
		}
		objects := f.met
		if len(objects) == 0 && !f.Object.IsZero() {
			objects = []phases.Object{f.Object}
		}
		if len(objects) == 0 {
			// What is not known of a release may concern all that the change takes.
			for _, t := range change.Takes {
				if t.Everything {
					return
				}
				objects = append(objects, t.Object)
			}
		}
		f.Acknowledged = covering(acks, *f, objects, now)
	}
}

// covering gives the acknowledgement that covers a finding on these objects; nil where one of them is not covered.
func covering(acks []Acknowledgement, f Finding, objects []phases.Object, now time.Time) *Acknowledgement {
	var named *Acknowledgement
	for _, o := range objects {
		var best *Acknowledgement
		for i := range acks {
			a := &acks[i]
			if a.concerns(f, now) && a.Names(o) && (best == nil || a.Until.After(best.Until)) {
				best = a
			}
		}
		if best == nil {
			return nil
		}
		if named == nil || best.Until.Before(named.Until) {
			named = best
		}
	}
	return named
}

func (a *Acknowledgement) concerns(f Finding, now time.Time) bool {
	return a.Consumer == f.Consumer && (a.Release == "" || a.Release == f.Release) && now.Before(a.Until) && (f.Verdict < Broken || a.Broken)
}

// Names reports whether the acknowledgement is about an object: by its whole dotted name, or without the schema. A
// table does not stand for its columns. A function's arguments may be left out.
func (a *Acknowledgement) Names(o phases.Object) bool {
	bare := o
	bare.Schema = ""
	names := []string{o.String(), bare.String()}
	if o.Schema == "" {
		names = append(names, "public."+bare.String())
	}
	for _, n := range slices.Clone(names) {
		if i := strings.IndexByte(n, '('); i > 0 {
			names = append(names, n[:i])
		}
	}
	return slices.Contains(names, a.Object)
}

// Acknowledged gives the acknowledgements by which the decision passes findings, each once.
func (d Decision) Acknowledged() []Acknowledgement {
	var list []Acknowledgement
	for _, f := range d.Findings {
		if f.Acknowledged != nil && !slices.ContainsFunc(list, func(a Acknowledgement) bool { return a.ID == f.Acknowledged.ID }) {
			list = append(list, *f.Acknowledged)
		}
	}
	return list
}

// RolePrefix stands before the name of a role in Finding.Consumer where the role belongs to no consumer.
const RolePrefix = "role:"
