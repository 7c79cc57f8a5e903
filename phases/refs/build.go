// Package refs builds manifests: what a release may send, read from its source at build time. What it cannot tell it
// lists, and a manifest with anything on that list is partial: a reference that is missed is an outage.
package refs

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// Options say where the source of a release is. At least one kind of source must be given.
type Options struct {
	// Dir is the directory that patterns and paths start from and that sites are relative to; empty is the working
	// directory.
	Dir string
	// Go are package patterns of the go command. Packages of the same module that they import are read too.
	Go []string
	// Tags are the build tags of the release; Tagged says that they are known, even if there are none.
	Tags   []string
	Tagged bool
	// Env is the environment of the go command; nil is that of the process.
	Env []string
	// Trust are modules whose own SQL need not be known, with the reason for each.
	Trust map[string]string

	// SQL are patterns of .sql files, SQLC are sqlc.yaml files, SQLx are .sqlx directories, Prisma are schema files,
	// Tokens are directories of source in any language.
	SQL, SQLC, SQLx, Prisma, Tokens []string

	// Progress hears what is being done; nil is for nobody.
	Progress func(step string)
}

// SourceError is source that no manifest can be built from.
type SourceError struct {
	Message, Hint string
	Err           error
}

func (e *SourceError) Error() string { return e.Message }

// Unwrap gives the cause; nil where the message says all.
func (e *SourceError) Unwrap() error { return e.Err }

// Counts say how much of the source could be read.
type Counts struct {
	// Packages are the Go packages read, Calls the calls that send a whole statement. Each such call is in one of the
	// next four: its text is known, known with holes, unknown, or the call stands in a function that nothing calls.
	Packages, Calls, Exact, Templates, Opaque, Unused int
	// Acknowledged are the calls that a comment settles.
	Acknowledged int
	// Pieces are the calls that give a piece of a statement to a query builder, PiecesKnown those of known text.
	Pieces, PiecesKnown int
	Models              int
	// Warnings are what a person should look at and the manifest does not hold.
	Warnings []string
}

// Build writes the manifest of one release from its source. The same source gives the same manifest.
func Build(ctx context.Context, consumer, release string, o Options) (*evidence.Manifest, Counts, error) {
	b := &builder{
		options: o,
		m: &evidence.Manifest{
			Version: evidence.ManifestVersion, Consumer: consumer, Release: release,
			Status: evidence.Complete, Statements: []evidence.Statement{},
		},
		words: map[string]bool{},
		texts: map[string]int{},
	}
	if o.Progress == nil {
		b.options.Progress = func(string) {}
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, Counts{}, fmt.Errorf("find the directory: %w", err)
	}
	b.dir = dir
	if len(o.Go)+len(o.SQL)+len(o.SQLC)+len(o.SQLx)+len(o.Prisma)+len(o.Tokens) == 0 {
		return nil, Counts{}, &SourceError{Message: "no source is given", Hint: "a manifest that is empty by a slip of the pen would let every contract through"}
	}
	for _, source := range []func(context.Context) error{b.golang, b.sql, b.sqlc, b.sqlx, b.prisma, b.tokens} {
		if err := source(ctx); err != nil {
			return nil, Counts{}, err
		}
	}
	b.finish()
	return b.m, b.counts, nil
}

// builder collects what one release may send.
type builder struct {
	options Options
	dir     string
	m       *evidence.Manifest
	counts  Counts
	words   map[string]bool
	texts   map[string]int
}

// partial makes the manifest partial, for a reason that a person can act on.
func (b *builder) partial(format string, args ...any) {
	b.m.Status = evidence.Partial
	b.m.Reasons = append(b.m.Reasons, fmt.Sprintf(format, args...))
}

// text adds a whole statement.
func (b *builder) text(text string, params []string, site gate.Site) {
	i, found := b.texts[text]
	if !found {
		i = len(b.m.Statements)
		b.texts[text] = i
		b.m.Statements = append(b.m.Statements, evidence.Statement{SHA256: evidence.HashText(text), Text: text, Params: params})
	}
	s := &b.m.Statements[i]
	if !slices.Equal(s.Params, params) {
		// Two calls that send the same text with other types: which one a failure would hit is not known.
		s.Params = nil
	}
	if !slices.Contains(s.Sites, site) {
		s.Sites = append(s.Sites, site)
	}
}

func (b *builder) template(list *[]evidence.Template, t evidence.Template) {
	for i := range *list {
		have := &(*list)[i]
		if slices.Equal(have.Parts, t.Parts) && slices.Equal(have.Holes, t.Holes) && slices.Equal(have.Tables, t.Tables) {
			for _, site := range t.Sites {
				if !slices.Contains(have.Sites, site) {
					have.Sites = append(have.Sites, site)
				}
			}
			return
		}
	}
	*list = append(*list, t)
}

func (b *builder) opaque(o evidence.Opaque) {
	if !slices.Contains(b.m.Opaque, o) {
		b.m.Opaque = append(b.m.Opaque, o)
	}
}

func (b *builder) acknowledge(a evidence.Acknowledgement) {
	if !slices.Contains(b.m.Acknowledged, a) {
		b.m.Acknowledged = append(b.m.Acknowledged, a)
	}
}

// finish states the reasons that follow from what was found, and puts everything into its one order.
func (b *builder) finish() {
	m := b.m
	b.counts.Models = len(m.Models)
	if len(m.Opaque) > 0 {
		b.partial("%s of which the SQL is not known: %s", plural(len(m.Opaque), "call"), listSites(m.Opaque, func(o evidence.Opaque) gate.Site { return o.Site }))
	}
	for _, list := range [][]evidence.Template{m.Templates, m.Fragments} {
		var open []evidence.Template
		for _, t := range list {
			if t.Open() {
				open = append(open, t)
			}
		}
		if len(open) > 0 {
			b.partial("%s of which a part may be any SQL: %s", plural(len(open), "text"), listSites(open, func(t evidence.Template) gate.Site {
				if len(t.Sites) == 0 {
					return gate.Site{}
				}
				return slices.MinFunc(t.Sites, compareSites)
			}))
		}
	}
	words := make([]string, 0, len(b.words))
	for w := range b.words {
		words = append(words, w)
	}
	slices.Sort(words)
	m.Tokens = strings.Join(words, " ")
	Sort(m)
	slices.Sort(b.counts.Warnings)
	b.counts.Warnings = slices.Compact(b.counts.Warnings)
}

func listSites[T any](list []T, site func(T) gate.Site) string {
	sites := make([]gate.Site, 0, len(list))
	for _, t := range list {
		sites = append(sites, site(t))
	}
	slices.SortFunc(sites, compareSites)
	sites = slices.Compact(sites)
	const shown = 5
	var names []string
	for _, s := range sites[:min(shown, len(sites))] {
		names = append(names, fmt.Sprintf("%s:%d", s.File, s.Line))
	}
	if len(sites) > shown {
		names = append(names, fmt.Sprintf("and %d more", len(sites)-shown))
	}
	return strings.Join(names, ", ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func compareSites(a, b gate.Site) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
}

// shown gives a path as sites have it: relative to the directory, with slashes.
func (b *builder) shown(path string) string {
	if rel, err := filepath.Rel(b.dir, path); err == nil {
		path = rel
	}
	return filepath.ToSlash(path)
}

// Sort puts a manifest into its one order: statements, templates and pieces by text, models by name, words by the
// alphabet, and all sites by file and line.
func Sort(m *evidence.Manifest) {
	slices.SortFunc(m.Statements, func(a, b evidence.Statement) int { return strings.Compare(a.Text, b.Text) })
	for _, s := range m.Statements {
		slices.SortFunc(s.Sites, compareSites)
	}
	for _, list := range [][]evidence.Template{m.Templates, m.Fragments} {
		slices.SortFunc(list, func(a, b evidence.Template) int {
			return cmp.Or(slices.Compare(a.Parts, b.Parts), slices.Compare(a.Holes, b.Holes), slices.Compare(a.Tables, b.Tables))
		})
		for _, t := range list {
			slices.SortFunc(t.Sites, compareSites)
		}
	}
	slices.SortFunc(m.Models, func(a, b evidence.Model) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Table, b.Table), compareSites(a.Site, b.Site))
	})
	slices.SortFunc(m.Opaque, func(a, b evidence.Opaque) int {
		return cmp.Or(compareSites(a.Site, b.Site), cmp.Compare(a.Call, b.Call), cmp.Compare(a.Why, b.Why))
	})
	slices.SortFunc(m.Acknowledged, func(a, b evidence.Acknowledgement) int {
		return cmp.Or(compareSites(a.Site, b.Site), cmp.Compare(a.Directive, b.Directive), cmp.Compare(a.Text, b.Text))
	})
	slices.Sort(m.Reasons)
	m.Reasons = slices.Compact(m.Reasons)
	if len(m.Reasons) == 0 {
		m.Reasons = nil
	}
	slices.Sort(m.Digests)
}

// Add puts one text into a manifest, or one more site to a text that it has.
func Add(m *evidence.Manifest, text string, site gate.Site) {
	for i := range m.Statements {
		if m.Statements[i].Text == text {
			if !slices.Contains(m.Statements[i].Sites, site) {
				m.Statements[i].Sites = append(m.Statements[i].Sites, site)
			}
			return
		}
	}
	m.Statements = append(m.Statements, evidence.Statement{SHA256: evidence.HashText(text), Text: text, Sites: []gate.Site{site}})
}
