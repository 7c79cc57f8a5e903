package lint

import (
	"embed"
	"fmt"
	"strings"

	"github.com/bitvault/pawl/internal/pattern"
)

//go:embed docs/*.md docs/schema.sql
var docs embed.FS

// Page gives the page of a rule as Markdown; empty for none.
func Page(name string) string {
	text, err := docs.ReadFile("docs/" + name + ".md")
	if err != nil {
		return ""
	}
	return string(text)
}

// PageURL gives where the page of a rule can be read; the list of all rules for one without a page.
func PageURL(name string) string {
	if Page(name) == "" {
		return "https://github.com/bitvault/pawl/blob/main/docs/rules.md"
	}
	return "https://github.com/bitvault/pawl/blob/main/lint/docs/" + name + ".md"
}

// PageSchema gives the schema that the blocks of the pages run against.
func PageSchema() string {
	text, err := docs.ReadFile("docs/schema.sql")
	if err != nil {
		panic(err)
	}
	return string(text)
}

// Block is one block of SQL of a page.
type Block struct {
	// Kind is setup, bad or good; Words are what else the fence says.
	Kind  string
	Words []string
	Text  string
	// Line is the number of its first line in the page.
	Line int
}

// Has reports whether the fence has the word.
func (b Block) Has(word string) bool {
	for _, w := range b.Words {
		if w == word {
			return true
		}
	}
	return false
}

// Blocks takes the blocks of SQL out of a page.
func Blocks(page string) []Block {
	var out []Block
	open := false
	for n, line := range strings.Split(page, "\n") {
		switch {
		case !open && strings.HasPrefix(line, "```sql "):
			words := strings.Fields(line)[1:]
			out = append(out, Block{Kind: words[0], Words: words[1:], Line: n + 2})
			open = true
		case open && line == "```":
			open = false
		case open:
			b := &out[len(out)-1]
			b.Text += line + "\n"
		}
	}
	return out
}

// fileLine is the line that begins a file in a block of several. Behind the name stands what a branch does with it.
var fileLine = pattern.Lazy(`^-- (\d+_\w+\.sql)(?: \((on main|edited|deleted)\))?$`)

// Fates gives what a branch does with each of the block's files: on main, edited, deleted, or empty for one that it adds. Nil for a
// block that compares nothing.
func (b Block) Fates() []string {
	var out []string
	compared := false
	for line := range strings.SplitSeq(b.Text, "\n") {
		if m := fileLine().FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			out = append(out, m[2])
			compared = compared || m[2] != ""
		}
	}
	if !compared {
		return nil
	}
	return out
}

// Files cuts a block into the files that it writes out; one that names none is a file of its own.
func (b Block) Files() (names, texts []string) {
	for line := range strings.SplitAfterSeq(b.Text, "\n") {
		if m := fileLine().FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			names, texts = append(names, m[1]), append(texts, "")
			continue
		}
		if len(names) == 0 {
			if strings.TrimSpace(line) == "" {
				continue
			}
			names, texts = append(names, "0042_change.sql"), append(texts, "")
		}
		texts[len(texts)-1] += line
	}
	return names, texts
}

// Document writes docs/rules.md: all rules, in their families.
func Document() string {
	var b strings.Builder
	on, off := 0, 0
	for i := range rules {
		if rules[i].Severity == Off {
			off++
		} else {
			on++
		}
	}
	fmt.Fprintf(&b, "<!-- Generated from lint/rules*.go; `go generate ./lint/...` writes it anew. -->\n\n# The rules of `pawl lint`\n\n"+
		"%d rules, of which %d are on by default; `--select` switches on the others, by name or by group (`style`, `strict`, `all`).\n"+
		"A name that is a link leads to the rule's page, which `pawl explain` shows in the terminal: why it matters, what it flags, and how to do it\n"+
		"safely, with the files written out. The pages are tests: what they call bad gives exactly the findings shown, what they call good\n"+
		"gives none, and all of it runs on PostgreSQL, against [this schema](../lint/docs/schema.sql).\n", on+off, on)
	title := ""
	for i := range rules {
		r := &rules[i]
		if r.Group != title {
			title = r.Group
			fmt.Fprintf(&b, "\n## %s\n\n| rule | severity | what it flags |\n|---|---|---|\n", title)
		}
		name := r.Name
		if Page(name) != "" {
			name = "[" + name + "](../lint/docs/" + name + ".md)"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, r.Severity, strings.ReplaceAll(r.Summary, "|", `\|`))
	}
	return b.String()
}
