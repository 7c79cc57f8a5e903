package evidence

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bitvault/pawl/phases/gate"
)

// The labels of pods by which pawl knows what they are. They may stand in the place of an image's digest, and of a
// selector in pawl.yaml.
const (
	ReleaseLabel  = "pawl.dev/release"
	ConsumerLabel = "pawl.dev/consumer"
)

// Fleet is what an orchestrator runs, or starts again by itself, at one moment. It only ever adds to what the ledger
// knows: a release that nothing runs may still come back.
type Fleet struct {
	// At is the moment by the orchestrator's own clock; zero where it did not say. Looked is the same by this host's.
	At, Looked time.Time
	// Place says where it was looked, for people: "namespace shop".
	Place     string
	Workloads []Workload
	// Owners are the consumers that pods are known to belong to.
	Owners []Owner
	// Failures say what could not be seen; with any of them no contract goes through.
	Failures []string
}

// Owner says which pods are a consumer's.
type Owner struct {
	Consumer string
	// Pods are label selectors, any of which makes a pod the consumer's. With none only labels and digests tell.
	Pods []labels.Selector
	// Containers are the names of those that send SQL; empty means all of a pod's.
	Containers []string
	// ReleaseLabel is the label of the pods that has the release's name; empty means ReleaseLabel.
	ReleaseLabel string
}

// ParseSelector reads a label selector as kubectl does.
func ParseSelector(text string) (labels.Selector, error) {
	s, err := labels.Parse(text)
	if err == nil && s.Empty() {
		return nil, fmt.Errorf("an empty selector would take every pod")
	}
	return s, err
}

func (o Owner) releaseLabel() string { return cmp.Or(o.ReleaseLabel, ReleaseLabel) }

func (o Owner) owns(w Workload) (why string, ok bool) {
	if w.Labels[ConsumerLabel] == o.Consumer {
		return ConsumerLabel + "=" + o.Consumer, true
	}
	for _, s := range o.Pods {
		if s.Matches(labels.Set(w.Labels)) {
			return s.String(), true
		}
	}
	return "", false
}

// knownRelease is what the ledger says of a release whose image or name was seen.
type knownRelease struct {
	consumer, release string
	digests           []string
}

// sighting is one release that something runs or can start. With a problem, it's not known which one.
type sighting struct {
	consumer, release string
	problem, cure     string
	workloads         []Workload
}

// sightings tells which releases the workloads are of.
type sightings struct {
	known    []knownRelease
	list     []*sighting
	failures []string
}

// sight maps what runs to consumers and releases. It is pure: known are the ledger's releases.
func (f *Fleet) sight(known []knownRelease) *sightings {
	s := &sightings{known: known, failures: slices.Clone(f.Failures)}
	owners := f.owners()
	owned := map[string]int{}
	for _, w := range f.Workloads {
		var claims []string
		for _, o := range owners {
			if why, ok := o.owns(w); ok {
				claims = append(claims, fmt.Sprintf("%s (%s)", o.Consumer, why))
				owned[o.Consumer]++
				s.ofOwner(o, w)
			}
		}
		switch len(claims) {
		case 0:
			s.ofNobody(w)
		case 1:
		default:
			s.fail(fmt.Sprintf("two consumers claim %s in namespace %s: %s; make their selectors exclude each other", w, w.Namespace, strings.Join(claims, " and ")))
		}
	}
	if len(f.Failures) == 0 {
		for _, o := range owners {
			if len(o.Pods) > 0 && owned[o.Consumer] == 0 {
				s.fail(fmt.Sprintf("nothing in %s matches the selector of consumer %s (%s), so where it runs is not known; correct `pods` in pawl.yaml, name the namespace, or take the consumer out",
					f.Place, o.Consumer, selectors(o.Pods)))
			}
		}
	}
	return s
}

// owners gives those of the configuration, and one for each consumer that only a label names.
func (f *Fleet) owners() []Owner {
	list := slices.Clone(f.Owners)
	for _, w := range f.Workloads {
		name := w.Labels[ConsumerLabel]
		if name != "" && !slices.ContainsFunc(list, func(o Owner) bool { return o.Consumer == name }) {
			list = append(list, Owner{Consumer: name})
		}
	}
	return list
}

func selectors(list []labels.Selector) string {
	texts := make([]string, len(list))
	for i, s := range list {
		texts[i] = s.String()
	}
	return strings.Join(texts, " or ")
}

func (s *sightings) fail(text string) {
	if !slices.Contains(s.failures, text) {
		s.failures = append(s.failures, text)
	}
}

// ofOwner finds the release of a workload that is a consumer's.
func (s *sightings) ofOwner(o Owner, w Workload) {
	key := o.releaseLabel()
	label := w.Labels[key]
	if label != "" {
		if s.registered(o.Consumer, label) {
			s.add(sighting{consumer: o.Consumer, release: label}, w)
		} else {
			s.add(sighting{
				consumer: o.Consumer, release: label, problem: fmt.Sprintf("its pods say %s=%s, and no such release of %s is registered", key, label, o.Consumer),
				cure: registerCure(o.Consumer, label),
			}, w)
		}
	}
	looked := 0
	for _, c := range w.Containers {
		if len(o.Containers) > 0 && !slices.Contains(o.Containers, c.Name) {
			continue
		}
		looked++
		found := false
		for _, k := range s.known {
			if k.consumer == o.Consumer && overlap(k.digests, c.Digests) {
				s.add(sighting{consumer: o.Consumer, release: k.release}, w)
				found = true
			}
		}
		switch {
		case found || label != "":
		case len(c.Digests) == 0:
			s.add(sighting{
				consumer: o.Consumer, release: "image " + c.Image,
				problem: fmt.Sprintf("image %s has no digest, so it is not known which release it is", c.Image),
				cure:    fmt.Sprintf("deploy it as %s@sha256:…, or give its pods the label %s", withoutTag(c.Image), key),
			}, w)
		default:
			s.add(sighting{
				consumer: o.Consumer, release: "image " + c.Image,
				problem: fmt.Sprintf("image %s (%s) is of no registered release of %s", c.Image, c.Digests[len(c.Digests)-1], o.Consumer),
				cure: fmt.Sprintf("say which it is: `pawl release digests %s RELEASE %s`; give its pods the label %s; or, if container %s sends no SQL, name those that do in pawl.yaml (consumers.%s.containers)",
					o.Consumer, c.Digests[len(c.Digests)-1], key, c.Name, o.Consumer),
			}, w)
		}
	}
	if looked == 0 && label == "" {
		s.fail(fmt.Sprintf("%s in namespace %s has none of the containers of consumer %s (%s)", w, w.Namespace, o.Consumer, strings.Join(o.Containers, ", ")))
	}
}

func registerCure(consumer, release string) string {
	return fmt.Sprintf("register its manifest: `pawl release register FILE` with the pawl.refs.json of %s@%s", consumer, release)
}

// ofNobody finds a release by its image alone, in what belongs to no consumer by its labels.
func (s *sightings) ofNobody(w Workload) {
	for _, c := range w.Containers {
		for _, k := range s.known {
			if overlap(k.digests, c.Digests) {
				s.add(sighting{consumer: k.consumer, release: k.release}, w)
			}
		}
	}
}

func (s *sightings) registered(consumer, release string) bool {
	return slices.ContainsFunc(s.known, func(k knownRelease) bool { return k.consumer == consumer && k.release == release })
}

func (s *sightings) add(what sighting, w Workload) {
	for _, have := range s.list {
		if have.consumer == what.consumer && have.release == what.release && have.problem == what.problem {
			if !slices.ContainsFunc(have.workloads, func(o Workload) bool {
				return o.Kind == w.Kind && o.Name == w.Name && o.Namespace == w.Namespace
			}) {
				have.workloads = append(have.workloads, w)
			}
			return
		}
	}
	what.workloads = []Workload{w}
	s.list = append(s.list, &what)
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(d string) bool { return slices.Contains(b, d) })
}

// withoutTag cuts the tag off an image's reference.
func withoutTag(image string) string {
	if at := strings.LastIndex(image, ":"); at > strings.LastIndex(image, "/") {
		return image[:at]
	}
	return image
}

// where tells in what a release runs: its pods, then what else can start it. Of a large fleet it names a few.
func where(list []Workload) []string {
	var pods, others []string
	for _, w := range list {
		if w.Kind == podKind {
			pods = append(pods, strings.TrimPrefix(w.String(), "pod "))
		} else {
			others = append(others, w.String())
		}
	}
	slices.Sort(pods)
	slices.Sort(others)
	var out []string
	switch n := len(pods); {
	case n == 1:
		out = append(out, "runs in pod "+pods[0])
	case n > 1:
		out = append(out, "runs in pods "+few(pods))
	}
	if len(others) > 0 {
		out = append(out, "can be started by "+few(others))
	}
	return out
}

func few(list []string) string {
	const most = 4
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

// skew is how far the clocks of the orchestrator and of the database may be apart: the time in which a release may come
// back is counted by the one, and what runs is seen by the other.
const skew = 2 * time.Minute

// skewed compares the clocks at this moment, which is some time after the look.
func (f *Fleet) skewed(database time.Time) string {
	if f.At.IsZero() {
		return ""
	}
	at := f.At
	if !f.Looked.IsZero() {
		at = at.Add(time.Since(f.Looked))
	}
	apart := at.Sub(database).Abs()
	if apart <= skew {
		return ""
	}
	return fmt.Sprintf("the clocks of the Kubernetes API (%s) and of the database (%s) are %s apart, so the time in which a release may come back cannot be counted; set them right",
		at.UTC().Format(time.RFC3339), database.UTC().Format(time.RFC3339), apart.Round(time.Second))
}

// Same reports whether two looks saw the same images in the same hands, in whatever pods.
func (f *Fleet) Same(o *Fleet) bool {
	return slices.Equal(f.Failures, o.Failures) && maps.Equal(f.essence(), o.essence())
}

func (f *Fleet) essence() map[string]bool {
	set := map[string]bool{}
	for _, w := range f.Workloads {
		text := w.Labels[ConsumerLabel]
		for _, o := range f.Owners {
			_, owns := o.owns(w)
			text += fmt.Sprint(" ", owns, w.Labels[o.releaseLabel()])
		}
		text += " " + w.Labels[ReleaseLabel]
		for _, c := range w.Containers {
			set[fmt.Sprint(text, " ", c)] = true
		}
	}
	return set
}

// join adds what runs to what the ledger knows: reasons to its releases, and as releases of which nothing is known those
// that it does not know.
func (f *Fleet) join(ctx context.Context, conn Conn, snapshot *Snapshot) error {
	known, err := f.lookUp(ctx, conn)
	if err != nil {
		return err
	}
	s := f.sight(known)
	if problem := f.skewed(snapshot.At); problem != "" {
		s.fail(problem)
	}
	snapshot.Evidence.Failures = append(snapshot.Evidence.Failures, s.failures...)
	snapshot.where = map[[2]string][]string{}
	for _, seen := range s.list {
		places := where(seen.workloads)
		if seen.problem != "" {
			snapshot.Evidence.Releases = append(snapshot.Evidence.Releases, gate.Release{
				Consumer: seen.consumer, ID: seen.release, Why: []gate.Eligibility{gate.WhyFleet}, Where: places, Problem: seen.problem, Cure: seen.cure,
			})
			continue
		}
		snapshot.where[[2]string{seen.consumer, seen.release}] = places
		at := slices.IndexFunc(snapshot.States, func(st gate.State) bool { return st.Consumer == seen.consumer && st.ID == seen.release })
		if at < 0 {
			snapshot.States = append(snapshot.States, gate.State{Consumer: seen.consumer, ID: seen.release, Last: gate.Seen, Since: snapshot.At})
			at = len(snapshot.States) - 1
		}
		state := &snapshot.States[at]
		state.Why = append(slices.Clone(state.Why), gate.WhyFleet)
		// While it runs, time alone ends nothing.
		state.Until = time.Time{}
	}
	return nil
}

// lookUp reads what the ledger knows of the images and labels that were seen.
func (f *Fleet) lookUp(ctx context.Context, conn Conn) ([]knownRelease, error) {
	digests, names := map[string]bool{}, map[string]bool{}
	keys := []string{ReleaseLabel}
	for _, o := range f.Owners {
		keys = append(keys, o.releaseLabel())
	}
	for _, w := range f.Workloads {
		for _, key := range keys {
			names[w.Labels[key]] = true
		}
		for _, c := range w.Containers {
			for _, d := range c.Digests {
				digests[d] = true
			}
		}
	}
	const query = `select consumer, release, digests from pawl.release where digests && $1::text[] or release = any ($2::text[]) order by 1, 2`
	rows, err := conn.Query(ctx, query, emptyNotNil(slices.Sorted(maps.Keys(digests))), emptyNotNil(slices.Sorted(maps.Keys(names))))
	if err != nil {
		return nil, fmt.Errorf("look up what runs: %w", err)
	}
	defer rows.Close()
	var list []knownRelease
	for rows.Next() {
		var k knownRelease
		if err := rows.Scan(&k.consumer, &k.release, &k.digests); err != nil {
			return nil, fmt.Errorf("look up what runs: %w", err)
		}
		list = append(list, k)
	}
	return list, rows.Err()
}

// AddDigests records that images are of a release that the ledger knows.
func AddDigests(ctx context.Context, conn Conn, consumer, release string, digests []string) error {
	const add = `
update pawl.release set digests = array(select distinct unnest(digests || $3::text[]) order by 1)
where consumer = $1 and release = $2`
	tag, err := conn.Exec(ctx, add, consumer, release, digests)
	if err == nil && tag.RowsAffected() == 0 {
		return ErrUnknownRelease
	}
	return err
}
