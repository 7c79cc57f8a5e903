package layout

import (
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/bitvault/pawl/internal/pattern"
)

// Layout is what the marks of a migration tool in a file, or its name, say about how the file runs.
type Layout struct {
	// Tool is the tool whose marks the file has; empty for none.
	Tool string
	// Down is true for a file that only leads back; it is never deployed and holds no findings.
	Down bool
	// Wraps is true where the tool runs the file in a transaction; NoTransaction where a mark says that it does not.
	Wraps, NoTransaction bool
	// Back is the text of the part that leads back; empty where there is none.
	Back string
	// Problems are what in the file only the tool itself can fill in.
	Problems []Problem
}

// Problem is something at a place of a file, in bytes, that has to be written otherwise before the file can run.
type Problem struct {
	Start, End    int
	Message, Hint string
}

// mark is a line by which a tool tells how to run what follows.
type mark struct {
	tool string
	// word stands in each file, in lower case, that has one of the marks.
	word   string
	begins *regexp.Regexp // the part that leads forward
	down   *regexp.Regexp // the part that leads back
	noTx   *regexp.Regexp
}

// marks are made when the first file is read that may have one: most runs read none.
var marks = sync.OnceValue(func() []mark {
	return []mark{
		{"goose", "goose", regexp.MustCompile(`(?mi)^--\s*\+goose\s+up\b`), regexp.MustCompile(`(?mi)^--\s*\+goose\s+down\b`), regexp.MustCompile(`(?mi)^--\s*\+goose\s+no\s+transaction\b`)},
		{"sql-migrate", "migrate", regexp.MustCompile(`(?mi)^--\s*\+migrate\s+up\b`), regexp.MustCompile(`(?mi)^--\s*\+migrate\s+down\b`), regexp.MustCompile(`(?mi)^--\s*\+migrate\s+(up|down)\s+notransaction\b`)},
		{"dbmate", "migrate:", regexp.MustCompile(`(?mi)^--\s*migrate:up\b`), regexp.MustCompile(`(?mi)^--\s*migrate:down\b`), regexp.MustCompile(`(?mi)^--\s*migrate:up\b.*\btransaction:\s*false\b`)},
		{"tern", "----", nil, regexp.MustCompile(`(?mi)^---- create above / drop below ----`), regexp.MustCompile(`(?mi)^---- tern: disable-tx ----`)},
		{"rambler", "rambler", regexp.MustCompile(`(?mi)^--\s*rambler\s+up\b`), regexp.MustCompile(`(?mi)^--\s*rambler\s+down\b`), nil},
		{"atlas", "atlas:", nil, nil, regexp.MustCompile(`(?mi)^--\s*atlas:txmode\s+none\b`)},
		{"sqlx", "transaction", nil, nil, regexp.MustCompile(`(?mi)^--\s*no-transaction\b`)},
		{"flyway", "flyway", nil, nil, regexp.MustCompile(`(?mi)^--\s*flyway:executeInTransaction=false\b`)},
	}
})

// Read finds out how a file is laid out, and gives its text with the parts that lead back blanked: byte for byte, so that every
// place in the rest still holds.
func Read(file string, src []byte) ([]byte, *Layout) {
	l := &Layout{}
	name, known := ParseName(path.Base(strings.ReplaceAll(file, `\`, "/")))
	l.Down = known && name.Down
	text := string(src)
	if name.Tool == "flyway" {
		l.Tool = name.Tool
		l.placeholders(text)
	}
	if !strings.Contains(text, "--") {
		return src, l
	}
	lower := strings.ToLower(text)
	if strings.Contains(lower, "liquibase") {
		if out, ok := l.formatted(text); ok {
			return out, l
		}
	}
	for _, m := range marks() {
		if !l.read(m, text, lower) || m.down == nil {
			continue
		}
		back := m.backward(text)
		if len(back) == 0 {
			continue
		}
		out := []byte(text)
		var down strings.Builder
		for _, b := range back {
			down.WriteString(text[b[0]:b[1]])
			for i := b[0]; i < b[1]; i++ {
				if out[i] != '\n' && out[i] != '\r' {
					out[i] = ' '
				}
			}
		}
		l.Back = down.String()
		l.substitutions(string(out))
		return out, l
	}
	l.substitutions(text)
	return src, l
}

// backward gives the stretches that lead back: each from its mark to the next part that leads forward.
func (m mark) backward(text string) [][2]int {
	var found [][2]int
	for from := 0; from < len(text); {
		at := m.down.FindStringIndex(text[from:])
		if at == nil {
			break
		}
		start, end := from+at[0], len(text)
		if m.begins != nil {
			// goose and its like may have the way back first, and dbmate several ways in turn.
			if up := m.begins.FindStringIndex(text[from+at[1]:]); up != nil {
				end = from + at[1] + up[0]
			}
		}
		found = append(found, [2]int{start, end})
		from = end
	}
	return found
}

// read notes what the marks of one tool say; false where there are none.
func (l *Layout) read(m mark, text, lower string) bool {
	if !strings.Contains(lower, m.word) {
		return false
	}
	up := m.begins != nil && m.begins.MatchString(text)
	down := m.begins == nil && m.down != nil && m.down.MatchString(text)
	off := m.noTx != nil && m.noTx.MatchString(text)
	if !up && !down && !off {
		return false
	}
	l.Tool, l.NoTransaction = m.tool, off
	l.Wraps = !off
	return true
}

var placeholder = pattern.Lazy(`\$\{[A-Za-z0-9_:.-]+\}`)

// placeholders finds what Flyway replaces before it runs a file.
func (l *Layout) placeholders(text string) {
	for _, at := range placeholder().FindAllStringIndex(text, -1) {
		l.Problems = append(l.Problems, Problem{at[0], at[1], text[at[0]:at[1]] + " is a placeholder of Flyway, not SQL", "write the value where it is used"})
	}
}

var (
	envsub = pattern.Lazy(`(?mi)^--\s*\+goose\s+envsub\s+(on|off)\b`)
	envVar = pattern.Lazy(`\$(\{[A-Za-z_][^}\n]*\}|[A-Za-z_][A-Za-z0-9_]*)`)
)

// substitutions finds the environment variables that goose replaces where a file says so.
func (l *Layout) substitutions(text string) {
	if l.Tool != "goose" {
		return
	}
	switches := envsub().FindAllStringSubmatchIndex(text, -1)
	for i, at := range switches {
		if !strings.EqualFold(text[at[2]:at[3]], "on") {
			continue
		}
		end := len(text)
		if i+1 < len(switches) {
			end = switches[i+1][0]
		}
		for _, v := range envVar().FindAllStringIndex(text[at[1]:end], -1) {
			from, to := at[1]+v[0], at[1]+v[1]
			l.Problems = append(l.Problems, Problem{from, to, text[from:to] + " is replaced by goose from the environment (ENVSUB ON), and is not SQL", "write the value where it is used"})
		}
	}
}
