package lint_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/lint"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/parse"
)

//go:generate go test -run ^TestDocument$ . -args -update

var update = flag.Bool("update", false, "write generated files anew")

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestDocument(t *testing.T) {
	t.Parallel()
	const path = "../docs/rules.md"
	want := lint.Document()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "docs/rules.md is stale: go generate ./lint/...")
}

// TestEveryPageHasARule holds that a page is that of a rule, and that each has something bad and something good.
func TestEveryPageHasARule(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".md")
		_, ok := lint.Find(name)
		require.True(t, ok, "%s is the page of no rule", f)
		page := lint.Page(name)
		require.True(t, strings.HasPrefix(page, "# "+name+"\n"), name)
		var kinds []string
		for _, b := range lint.Blocks(page) {
			kinds = append(kinds, b.Kind)
		}
		if !unshown[name] {
			require.Contains(t, kinds, "bad", name)
		}
		require.Contains(t, kinds, "good", name)
	}
}

// unshown are the rules that are about something which stands in no statement: bytes that are not UTF-8, a baseline.
var unshown = map[string]bool{"unreadable-file": true, "stale-baseline": true}

// TestEveryRuleHasAPage holds that whoever adds a rule explains it.
func TestEveryRuleHasAPage(t *testing.T) {
	t.Parallel()
	for _, name := range lint.Names() {
		require.NotEmpty(t, lint.Page(name), "%s has no page: write lint/docs/%s.md", name, name)
	}
}

// TestPages is the test of the rules: what a page calls bad gives exactly the findings it wants, what it calls good gives none,
// and all of it runs on PostgreSQL, or fails there as it says.
func TestPages(t *testing.T) {
	t.Parallel()
	for _, name := range lint.Names() {
		page := lint.Page(name)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var setup string
			for _, b := range lint.Blocks(page) {
				switch b.Kind {
				case "setup":
					setup += b.Text
				case "bad", "good":
					t.Run(b.Kind+":"+strconv.Itoa(b.Line), func(t *testing.T) {
						checkBlock(t, name, setup, b)
						runBlock(t, setup, b)
					})
				default:
					t.Errorf("line %d: block of kind %q", b.Line, b.Kind)
				}
			}
		})
	}
}

var wantComment = regexp.MustCompile(`-- want ([a-z-]+) "([^"]*)"`)

// wanted is a finding that a block expects.
type wanted struct {
	file, line int
	rule, part string
	seen       bool
}

// version gives the PostgreSQL major that a block is for.
func version(b lint.Block) int {
	n, err := strconv.Atoi(option(b, "pg="))
	if err != nil {
		return 14
	}
	return n
}

// option gives what stands behind a word's = in the fence of a block.
func option(b lint.Block, name string) string {
	for _, w := range b.Words {
		if v, ok := strings.CutPrefix(w, name); ok {
			return v
		}
	}
	return ""
}

// checked judges file number i of a block, as a branch has it where the block compares with main.
func checked(l *lint.Linter, b lint.Block, names, texts []string, i int) []lint.Finding {
	s := source("migrations/"+names[i], texts[i])
	fates := b.Fates()
	if fates == nil {
		return l.Check(s)
	}
	s.Change = &lint.Change{Base: "main"}
	switch fates[i] {
	case "on main":
		l.Learn(s)
		return nil
	case "edited":
		s.Change.Kind = lint.Edited
	case "deleted":
		s.Change.Kind = lint.Deleted
	default:
		for j, name := range names {
			if fates[j] != "" && name > names[i] {
				s.Change.Before = name
			}
		}
	}
	return l.Check(s)
}

func source(path, text string) *lint.Source {
	masked, layout := lint.Read(path, []byte(text))
	return &lint.Source{File: parse.File(path, masked), Layout: layout}
}

func linter(t *testing.T, name string, b lint.Block, setup string) *lint.Linter {
	t.Helper()
	o := lint.Options{Version: version(b), Transactions: lint.ByFile, Config: lint.Config{Select: []string{name}}}
	if b.Has("statement") {
		o.Transactions = lint.ByStatement
	}
	if place := option(b, "stops="); place != "" {
		o.StoppedUse = func(phases.Object) string { return place }
	}
	l, err := lint.New(o)
	require.NoError(t, err)
	for i, text := range []string{lint.PageSchema(), setup} {
		l.Learn(source(fmt.Sprintf("migrations/%04d_schema.sql", i+1), text))
	}
	return l
}

func checkBlock(t *testing.T, name, setup string, b lint.Block) {
	t.Helper()
	l := linter(t, name, b, setup)
	names, texts := b.Files()
	fates := b.Fates()
	var want []wanted
	var got []string
	for i := range names {
		for n, line := range strings.Split(texts[i], "\n") {
			for _, m := range wantComment.FindAllStringSubmatch(line, -1) {
				w := wanted{file: i, line: n + 1, rule: m[1], part: m[2]}
				if strings.HasPrefix(strings.TrimSpace(line), "-- want") {
					// It speaks of the next line that is not such a comment.
					for rest := strings.Split(texts[i], "\n")[n+1:]; len(rest) > 0; rest = rest[1:] {
						w.line++
						if !strings.HasPrefix(strings.TrimSpace(rest[0]), "-- want") {
							break
						}
					}
				}
				want = append(want, w)
			}
		}
		for _, f := range checked(l, b, names, texts, i) {
			at := slices.IndexFunc(want, func(w wanted) bool {
				// The comment with the expectation is itself a difference from the base, or stands in a file that is gone.
				there := w.line == f.Span.Start.Line || fates != nil && (fates[i] == "edited" || fates[i] == "deleted")
				return !w.seen && w.file == i && there && w.rule == f.Rule && strings.Contains(f.Message, w.part)
			})
			if at >= 0 {
				want[at].seen = true
				if f.Help == "" {
					t.Errorf("%s finds something and does not help: %s", f.Rule, f.Message)
				}
				for _, text := range []string{f.Message, f.Help} {
					if strings.ContainsAny(text, "{}") {
						t.Errorf("%s leaves braces: %s", f.Rule, text)
					}
				}
				continue
			}
			got = append(got, fmt.Sprintf("%s:%d %s %q", names[i], f.Span.Start.Line, f.Rule, f.Message))
		}
	}
	require.Empty(t, got, "findings that the block does not want")
	for _, w := range want {
		require.True(t, w.seen, "line %d of %s wants %s %q", w.line, names[w.file], w.rule, w.part)
	}
	if b.Kind == "bad" {
		require.True(t, slices.ContainsFunc(want, func(w wanted) bool { return w.rule == name }), "a bad block wants no finding of its own rule")
	}
	if b.Kind == "good" {
		require.Empty(t, want)
	}
}

// TestFixes holds that what a rule offers as a cure leaves a file that parses, that the rule is silent about, and that raises nothing new.
func TestFixes(t *testing.T) {
	t.Parallel()
	fixed := map[string]bool{}
	for _, name := range lint.Names() {
		var setup string
		for _, b := range lint.Blocks(lint.Page(name)) {
			if b.Kind == "setup" {
				setup += b.Text
			}
			names, texts := b.Files()
			for i := range names {
				if b.Kind != "bad" || len(names) > 1 {
					continue
				}
				before := map[string]int{}
				for _, f := range linter(t, name, b, setup).Check(source("migrations/"+names[i], texts[i])) {
					before[f.Rule]++
				}
				for _, f := range linter(t, name, b, setup).Check(source("migrations/"+names[i], texts[i])) {
					if len(f.Edits) == 0 {
						continue
					}
					fixed[f.Rule] = true
					text := texts[i]
					slices.SortFunc(f.Edits, func(x, y lint.Edit) int { return y.Start - x.Start })
					for _, e := range f.Edits {
						text = text[:e.Start] + e.Text + text[e.End:]
					}
					after := map[string]int{}
					for _, g := range linter(t, name, b, setup).Check(source("migrations/"+names[i], text)) {
						after[g.Rule]++
					}
					require.Less(t, after[f.Rule], before[f.Rule], "%s is not silent about\n%s", f.Rule, text)
					for rule, n := range after {
						require.LessOrEqual(t, n, before[rule], "the fix of %s raises %s in\n%s", f.Rule, rule, text)
					}
				}
			}
		}
	}
	for _, rule := range []string{"blocking-index", "blocking-index-drop", "blocking-reindex", "concurrent-if-not-exists", "blocking-detach", "dropped-proof"} {
		require.True(t, fixed[rule], "no page shows the fix of %s", rule)
	}
}

// runBlock runs a block as its files would run: each in one transaction, or statement by statement where PostgreSQL refuses that.
func runBlock(t *testing.T, setup string, b lint.Block) {
	t.Helper()
	if b.Has("text") {
		return // about text that never reaches PostgreSQL
	}
	fill := func(ctx context.Context, url string) error {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(ctx) }()
		_, err = conn.Exec(ctx, lint.PageSchema())
		return err
	}
	major := version(b)
	var db *pgtest.DB
	if major > 14 {
		db = pgtest.TemplateOf(t, major, "lint-pages", fill)
	} else {
		db = pgtest.Template(t, "lint-pages", fill)
	}
	conn := db.Conn(t)
	run := func(text string) error {
		_, err := conn.PgConn().Exec(t.Context(), text).ReadAll()
		return err
	}
	if setup != "" {
		require.NoError(t, run(setup))
	}
	names, texts := b.Files()
	fates := b.Fates()
	var failed error
	for i := range names {
		if fates != nil && (fates[i] == "edited" || fates[i] == "deleted") {
			continue // a database that has applied it does not get it again
		}
		text, _ := lint.Read(names[i], []byte(texts[i]))
		f := parse.File(names[i], text)
		whole := len(f.Statements) > 1
		for _, s := range f.Statements {
			for _, op := range s.Operations {
				if strings.HasSuffix(string(op.Kind), "_concurrently") && !b.Has("whole") || strings.HasPrefix(string(op.Kind), "vacuum") {
					whole = whole && b.Has("whole")
				}
			}
		}
		if b.Has("statement") {
			whole = false
		}
		if whole {
			failed = run(string(text))
		} else {
			for _, s := range f.Statements {
				if failed = run(s.Text); failed != nil {
					break
				}
			}
		}
		if failed != nil {
			failed = fmt.Errorf("%s: %w", names[i], failed)
			break
		}
	}
	if b.Has("error") {
		require.Error(t, failed, "PostgreSQL accepts what the page says it refuses")
		return
	}
	require.NoError(t, failed)
}
