package lint

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bitvault/pawl/phases"
)

// Baseline is a list of findings that are known and not told again, for taking up pawl on an old repository. An entry is found
// again wherever its text moves within its file; see Finding.Fingerprint.
type Baseline struct {
	// Path and Text are those of the file that the baseline was read from.
	Path, Text string
	// Relative gives a path as the baseline has it, relative to the baseline's own directory; nil for as it is.
	Relative func(string) string

	entries []BaselineEntry
	left    map[string]int
	lines   map[string]phases.Position
	judged  map[string]bool
}

// BaselineEntry is a finding that is known.
type BaselineEntry struct {
	Path        string `json:"path"`
	Rule        string `json:"rule"`
	Fingerprint string `json:"fingerprint"`
	// Count is how many findings have the fingerprint.
	Count int `json:"count"`
	// Text is the beginning of what was found, for who reads the file.
	Text string `json:"text,omitempty"`
}

const baselineVersion = 1

// ReadBaseline reads what Baseline.Marshal wrote.
func ReadBaseline(path string, data []byte) (*Baseline, error) {
	b := &Baseline{Path: path, Text: string(data), left: map[string]int{}, lines: map[string]phases.Position{}, judged: map[string]bool{}}
	var doc struct {
		Version  int               `json:"version"`
		Findings []json.RawMessage `json:"findings"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	switch {
	case doc.Version > baselineVersion:
		return nil, fmt.Errorf("it is of format version %d, and this pawl reads version %d", doc.Version, baselineVersion)
	case doc.Version < 1:
		return nil, errors.New("it has no version, and is no baseline")
	}
	at := phases.Position{Line: 1, Column: 1}
	for i, raw := range doc.Findings {
		var e BaselineEntry
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("finding %d: %w", i+1, err)
		}
		if e.Fingerprint == "" || e.Path == "" || e.Rule == "" {
			return nil, fmt.Errorf("finding %d has no path, rule or fingerprint", i+1)
		}
		if offset := strings.Index(b.Text[at.Offset:], string(raw)); offset >= 0 {
			at = advance(b.Text, at, at.Offset+offset)
		}
		b.lines[e.Fingerprint] = at
		b.left[e.Fingerprint] += max(1, e.Count)
		b.entries = append(b.entries, e)
	}
	return b, nil
}

func (b *Baseline) relative(path string) string {
	if b.Relative != nil {
		path = b.Relative(path)
	}
	return strings.ReplaceAll(path, `\`, "/")
}

func (b *Baseline) fingerprint(f *Finding, text string) string {
	moved := *f
	moved.Path = b.relative(f.Path)
	return moved.Fingerprint(text)
}

// without takes out of a file's findings those that are known.
func (b *Baseline) without(path, text string, found []Finding) []Finding {
	b.judged[b.relative(path)] = true
	return slices.DeleteFunc(found, func(f Finding) bool {
		digest := b.fingerprint(&f, text)
		if b.left[digest] == 0 {
			return false
		}
		b.left[digest]--
		return true
	})
}

// stale lists the entries of which less is left than the baseline says, of files that were judged or are gone.
func (b *Baseline) stale(gone func(path string) bool) []BaselineEntry {
	var out []BaselineEntry
	for _, e := range b.entries {
		if n := b.left[e.Fingerprint]; n > 0 && (b.judged[e.Path] || gone(e.Path)) {
			b.left[e.Fingerprint] = 0
			e.Count = n
			out = append(out, e)
		}
	}
	return out
}

// StaleBaseline gives a finding for each entry of the baseline that nothing was found for. Gone tells of a path, as the baseline has it,
// that there is no such file any more. It is called when all files are judged.
func (l *Linter) StaleBaseline(gone func(path string) bool) []Finding {
	b, n := l.options.Baseline, l.number["stale-baseline"]
	if b == nil {
		return nil
	}
	severity := l.severities[n]
	if l.perPath {
		if list, err := l.options.Config.severities(b.Path); err == nil {
			severity = list[n]
		}
	}
	if severity == Off {
		return nil
	}
	var out []Finding
	for _, e := range b.stale(gone) {
		what := fmt.Sprintf("%s in %s is there no more", e.Rule, e.Path)
		if e.Count > 1 {
			what = fmt.Sprintf("%d cases of %s in %s are there no more", e.Count, e.Rule, e.Path)
		}
		at := b.lines[e.Fingerprint]
		out = append(out, Finding{
			Rule: rules[n].Name, Severity: severity, Path: b.Path, Span: phases.Span{Start: at, End: at}, Message: what + ", and the baseline still allows it",
			Help: rules[n].Help,
		})
	}
	l.tally(out)
	return out
}

// Add notes a finding for Marshal.
func (b *Baseline) Add(f *Finding, text string) {
	digest := b.fingerprint(f, text)
	if b.lines == nil {
		b.lines, b.left = map[string]phases.Position{}, map[string]int{}
	}
	if _, ok := b.lines[digest]; ok {
		b.left[digest]++
		return
	}
	b.lines[digest], b.left[digest] = phases.Position{}, 1
	e := BaselineEntry{Path: b.relative(f.Path), Rule: f.Rule, Fingerprint: digest}
	if start, end := f.Span.Start.Offset, min(f.Span.End.Offset, f.Span.Start.Offset+200, len(text)); start < end {
		words := []rune(strings.Join(strings.Fields(strings.ToValidUTF8(text[start:end], "")), " "))
		e.Text = string(words[:min(len(words), 80)])
	}
	b.entries = append(b.entries, e)
}

// Keep takes over the entries of another baseline of which wanted says so.
func (b *Baseline) Keep(old *Baseline, wanted func(path string) bool) {
	for _, e := range old.entries {
		if wanted(e.Path) {
			if b.left == nil {
				b.lines, b.left = map[string]phases.Position{}, map[string]int{}
			}
			b.left[e.Fingerprint] = max(1, e.Count)
			b.entries = append(b.entries, e)
		}
	}
}

// Len counts the findings of the baseline.
func (b *Baseline) Len() int {
	n := 0
	for _, count := range b.left {
		n += count
	}
	return n
}

// Marshal writes the baseline, one entry a line and in a fixed order, so that a version control system shows what has changed.
func (b *Baseline) Marshal() ([]byte, error) {
	list := slices.Clone(b.entries)
	slices.SortFunc(list, func(x, y BaselineEntry) int {
		return cmp.Or(cmp.Compare(x.Path, y.Path), cmp.Compare(x.Rule, y.Rule), cmp.Compare(x.Text, y.Text), cmp.Compare(x.Fingerprint, y.Fingerprint))
	})
	var out bytes.Buffer
	fmt.Fprintf(&out, "{\"version\": %d, \"findings\": [", baselineVersion)
	for i, e := range list {
		e.Count = b.left[e.Fingerprint]
		var line bytes.Buffer
		encoder := json.NewEncoder(&line)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(e); err != nil {
			return nil, err
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString("\n  ")
		out.Write(bytes.TrimSpace(line.Bytes()))
	}
	out.WriteString("\n]}\n")
	return out.Bytes(), nil
}

var baselineRules = []Rule{
	{
		Name: "stale-baseline", Severity: Warning,
		Summary: "an entry of the baseline for what is there no more",
		Help:    "`pawl lint --write-baseline` takes it out, so that it cannot come back unseen.",
	},
}
