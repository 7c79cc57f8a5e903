package layout

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/bitvault/pawl/internal/pattern"
)

// Changeset is one changeset of Liquibase's formatted SQL.
type Changeset struct {
	Author, ID string
	// Path is what stands in Liquibase's table instead of the file's own path; empty where the file says none.
	Path string
	// Again is true where Liquibase runs the changeset again when its text changes, or each time.
	Again bool
	// Elsewhere is true where Liquibase never runs it in PostgreSQL: it is for other databases, or to be ignored.
	Elsewhere bool
	// NoTransaction is true for runInTransaction:false.
	NoTransaction bool
	// Valid are the checksums that the file says are as good as its own.
	Valid []string
	// Parameters is true where the text has what Liquibase may replace.
	Parameters bool
	// Readings are the SQL and how it is run, as a checksum has it: several where versions of Liquibase read the file differently.
	Readings []Reading

	// rawAuthor and rawID are how Liquibase before 4.24 reads names in quotes.
	rawAuthor, rawID string
	start, end       int
	// delimiter ends statements; empty for Liquibase's own ways. Split is false where the text is one statement.
	delimiter string
	split     bool
}

// Reading is how Liquibase understands a changeset.
type Reading struct {
	SQL string
	// Delimiter is "null" where the file says none.
	Delimiter    string
	Split, Strip bool
}

// Named reports whether a row of Liquibase's table is of this changeset, as far as its names tell.
func (c *Changeset) Named(author, id string) bool {
	return c.Author == author && c.ID == id || c.rawAuthor == author && c.rawID == id
}

// liquibaseWords are the lines that are for Liquibase, as it knows them; case does not count.
type liquibaseWords struct {
	header, changeset, raw, ignored, property, comment, valid, rollback, rollbackBlock, precondition *regexp.Regexp
	path, end, plainEnd, split, plainSplit, strip, onChange, always, inTransaction, dbms, ignore     *regexp.Regexp
}

var liquibase = sync.OnceValue(func() liquibaseWords {
	c := func(expression string) *regexp.Regexp { return regexp.MustCompile("(?i)" + expression) }
	return liquibaseWords{
		header:        c(`^\s*--\s*liquibase\s*formatted`),
		changeset:     c(`^\s*--\s*changeset\s+("[^"]+"|[^:]+):\s*("[^"]+"|\S+)`),
		raw:           c(`^\s*--\s*changeset\s+([^:]+):(\S+)`),
		ignored:       c(`^--\s*ignoreLines:(\w+)$`),
		property:      c(`^\s*--\s*property\s+.*:.*\s+.*:.*`),
		comment:       c(`^--\s*comment:? `),
		valid:         c(`^--\s*validCheckSum:? (.*)`),
		rollback:      c(`^\s*--\s*rollback `),
		rollbackBlock: c(`^\s*/\*\s*liquibase\s*rollback\s*$`),
		precondition:  c(`^\s*--\s*precondition(?:s.*|-[a-z0-9-]+ .*)$`),
		// The last of several counts, and words that only end so count, too.
		path:          c(`.*logicalFilePath:(\S*)`),
		end:           c(`.*endDelimiter:(\S*)`),
		plainEnd:      c(`.*\bendDelimiter:(\S*)`),
		split:         c(`.*splitStatements:(\w+)`),
		plainSplit:    c(`.*\bsplitStatements:(\w+)`),
		strip:         c(`.*stripComments:(\w+)`),
		onChange:      c(`.*runOnChange:(\w+)`),
		always:        c(`.*runAlways:(\w+)`),
		inTransaction: c(`.*runInTransaction:(\w+)`),
		dbms:          c(`.*dbms:([^,][\w!,]+)`),
		ignore:        c(`.*\bignore:(\w*)`),
	}
})

// line is one line of a file, without its end.
type line struct {
	start, end, next int
	text             string
}

// linesOf splits a text where Java does: at \n, \r\n and \r.
func linesOf(text string) []line {
	var list []line
	for at := 0; at < len(text); {
		end := strings.IndexAny(text[at:], "\r\n")
		if end < 0 {
			return append(list, line{at, len(text), len(text), text[at:]})
		}
		end += at
		next := end + 1
		if text[end] == '\r' && next < len(text) && text[next] == '\n' {
			next++
		}
		list = append(list, line{at, end, next, text[at:end]})
		at = next
	}
	return list
}

// Changesets reads Liquibase's formatted SQL; nil for a file that is none.
func Changesets(src []byte) []Changeset {
	sets, _, _ := changesets(string(src))
	return sets
}

// changesets gives besides the stretches that Liquibase does not run; ok is false for a file that is no formatted SQL.
func changesets(text string) (sets []Changeset, unread [][2]int, ok bool) {
	list, w := linesOf(text), liquibase()
	first := slices.IndexFunc(list, func(l line) bool { return strings.Trim(l.text, "\ufeff \t\f\v") != "" })
	if first < 0 || !w.header.MatchString(strings.TrimPrefix(list[first].text, "\ufeff")) {
		return nil, nil, false
	}
	filePath := lastWord(w.path, list[first].text)
	var now, older strings.Builder
	closeSet := func(at int, last bool) {
		if len(sets) > 0 {
			sets[len(sets)-1].finish(at, now.String(), older.String(), last)
		}
		now.Reset()
		older.Reset()
	}
	for i := first + 1; i < len(list); i++ {
		l := list[i]
		if m := w.ignored.FindStringSubmatch(l.text); m != nil {
			end := ignoredLines(list, i, m[1])
			unread = append(unread, [2]int{l.start, list[end].end})
			i = end
			continue
		}
		if m := w.changeset.FindStringSubmatch(l.text); m != nil {
			closeSet(l.start, false)
			set := newChangeset(l, m, w)
			if set.Path == "" {
				set.Path = filePath
			}
			sets = append(sets, set)
			continue
		}
		if len(sets) == 0 {
			if !strings.HasPrefix(strings.TrimSpace(l.text), "--") {
				unread = append(unread, [2]int{l.start, l.end})
			}
			continue
		}
		set := &sets[len(sets)-1]
		switch {
		case w.property.MatchString(l.text):
			older.WriteString(l.text + "\n")
		case w.rollbackBlock.MatchString(l.text):
			for ; i < len(list); i++ {
				older.WriteString(list[i].text + "\n")
				if strings.HasSuffix(strings.TrimRight(list[i].text, " \t\f\v"), "*/") {
					break
				}
			}
		case w.valid.MatchString(l.text):
			set.Valid = append(set.Valid, strings.TrimSpace(w.valid.FindStringSubmatch(l.text)[1]))
		case w.comment.MatchString(l.text), w.rollback.MatchString(l.text), w.precondition.MatchString(l.text):
		default:
			now.WriteString(l.text + "\n")
			older.WriteString(l.text + "\n")
		}
	}
	closeSet(len(text), true)
	for _, s := range sets {
		if s.Elsewhere {
			unread = append(unread, [2]int{s.start, s.end})
		}
	}
	return sets, unread, true
}

// ignoredLines gives the last line that a line with ignoreLines leaves out.
func ignoredLines(list []line, at int, word string) int {
	last := len(list) - 1
	if word == "start" {
		for i := at + 1; i < len(list); i++ {
			if m := liquibase().ignored.FindStringSubmatch(list[i].text); m != nil && m[1] == "end" {
				return i
			}
		}
		return last
	}
	n := 0
	for _, r := range word {
		if r < '0' || r > '9' || n > len(list) {
			return at
		}
		n = 10*n + int(r-'0')
	}
	return min(at+n, last)
}

// lastWord gives the last value of an attribute; empty where there is none.
func lastWord(attribute *regexp.Regexp, text string) string {
	if m := attribute.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

func newChangeset(l line, m []string, w liquibaseWords) Changeset {
	is := func(attribute *regexp.Regexp, value string) bool {
		return strings.EqualFold(lastWord(attribute, l.text), value)
	}
	s := Changeset{
		Author: strings.Trim(m[1], `"`), ID: strings.Trim(m[2], `"`), Path: lastWord(w.path, l.text), start: l.start,
		Again: is(w.onChange, "true") || is(w.always, "true"), NoTransaction: is(w.inTransaction, "false"),
		Elsewhere: is(w.ignore, "true") || !forPostgres(lastWord(w.dbms, l.text)), delimiter: lastWord(w.plainEnd, l.text),
		split: !is(w.plainSplit, "false"),
	}
	if raw := w.raw.FindStringSubmatch(l.text); raw != nil {
		s.rawAuthor, s.rawID = raw[1], raw[2]
	}
	for _, end := range []*regexp.Regexp{w.end, w.plainEnd} {
		for _, split := range []*regexp.Regexp{w.split, w.plainSplit} {
			r := Reading{Delimiter: "null", Split: !is(split, "false"), Strip: !is(w.strip, "false")}
			if m := end.FindStringSubmatch(l.text); m != nil {
				r.Delimiter = m[1]
			}
			if !slices.Contains(s.Readings, r) {
				s.Readings = append(s.Readings, r)
			}
		}
	}
	return s
}

// forPostgres reads a list of databases, of which those with ! are left out; empty means all.
func forPostgres(dbms string) bool {
	others := false
	for name := range strings.SplitSeq(strings.ToLower(dbms), ",") {
		switch name = strings.TrimSpace(name); name {
		case "postgresql", "all":
			return true
		case "!postgresql":
			return false
		default:
			others = others || name != "" && !strings.HasPrefix(name, "!")
		}
	}
	return !others
}

var parameter = pattern.Lazy(`\$\{[^}\n]+\}`)

// finish gives a changeset its text.
func (c *Changeset) finish(end int, now, older string, last bool) {
	c.end = end
	heads := c.Readings
	c.Readings = nil
	for _, text := range []string{now, older} {
		// Java's trim takes away all that is not above the blank.
		text = strings.TrimFunc(text, func(r rune) bool { return r <= ' ' })
		for _, r := range heads {
			r.SQL = text
			if last && r.Delimiter == "null" && strings.HasSuffix(text, "\n/") {
				r.Delimiter = "\n/$"
			}
			if !slices.Contains(c.Readings, r) {
				c.Readings = append(c.Readings, r)
			}
		}
		c.Parameters = c.Parameters || strings.Contains(text, "${")
	}
}

// formatted lays a file of Liquibase's out, and gives its text without what Liquibase does not run; false for another file.
func (l *Layout) formatted(text string) ([]byte, bool) {
	sets, unread, ok := changesets(text)
	if !ok {
		return nil, false
	}
	out := []byte(text)
	l.Tool, l.Wraps = "liquibase", true
	for _, u := range unread {
		blank(out, u)
	}
	for _, s := range sets {
		if s.Elsewhere {
			continue
		}
		if s.NoTransaction {
			l.NoTransaction, l.Wraps = true, false
		}
		l.delimiters(s, out)
	}
	for _, at := range parameter().FindAllIndex(out, -1) {
		l.Problems = append(l.Problems, Problem{at[0], at[1], string(out[at[0]:at[1]]) + " is a parameter of Liquibase's changelog, not SQL", "write the value where it is used"})
	}
	return out, true
}

// delimiters puts semicolons where a changeset ends its statements by a line of its own: by what it says, and by / or GO otherwise. Where
// that may stand in a text or a body, nothing is put there.
func (l *Layout) delimiters(s Changeset, out []byte) {
	marks := []string{"/", "go"}
	if s.delimiter != "" {
		marks = []string{strings.ToLower(strings.TrimPrefix(s.delimiter, `\n`))}
	}
	if !s.split || strings.Trim(marks[0], ";") == "" {
		return
	}
	text := string(out[s.start:s.end])
	for _, one := range linesOf(text) {
		mark := strings.TrimSpace(one.text)
		if !slices.Contains(marks, strings.ToLower(mark)) {
			continue
		}
		at := s.start + one.start + strings.Index(one.text, mark)
		switch before := text[:one.start]; {
		case strings.Count(before, "'")%2 == 0 && strings.Count(before, "$$")%2 == 0:
			blank(out, [2]int{at, at + len(mark)})
			out[at] = ';'
		case s.delimiter != "":
			l.Problems = append(l.Problems, Problem{at, at + len(mark), mark + " ends a statement for Liquibase (endDelimiter), and is not SQL", "end statements with ; and leave endDelimiter out"})
		}
	}
}

func blank(out []byte, stretch [2]int) {
	for i := stretch[0]; i < stretch[1]; i++ {
		if out[i] != '\n' && out[i] != '\r' {
			out[i] = ' '
		}
	}
}
