package lint

import (
	"path"
	"regexp"
	"strings"

	"github.com/bitvault/pawl/phases"
)

// Source is a parsed file with what its tool's marks say about it.
type Source struct {
	*Layout
	File *phases.File
	// Change is what a branch does to the file; nil where nothing is compared.
	Change *Change
}

// Layout is what the marks of a migration tool in a file, or its name, say about how the file runs.
type Layout struct {
	// Tool is the tool whose marks the file has; empty for none.
	Tool string
	// Down is true for a file that only leads back; it is never deployed and holds no findings.
	Down bool
	// Wraps is true where the tool runs the file in a transaction; NoTransaction where a mark says that it does not.
	Wraps, NoTransaction bool
}

// mark is a line by which a tool tells how to run what follows.
type mark struct {
	tool   string
	begins *regexp.Regexp // the part that leads forward
	down   *regexp.Regexp // the part that leads back
	noTx   *regexp.Regexp
}

var marks = []mark{
	{"goose", regexp.MustCompile(`(?mi)^--\s*\+goose\s+up\b`), regexp.MustCompile(`(?mi)^--\s*\+goose\s+down\b`), regexp.MustCompile(`(?mi)^--\s*\+goose\s+no\s+transaction\b`)},
	{"sql-migrate", regexp.MustCompile(`(?mi)^--\s*\+migrate\s+up\b`), regexp.MustCompile(`(?mi)^--\s*\+migrate\s+down\b`), regexp.MustCompile(`(?mi)^--\s*\+migrate\s+(up|down)\s+notransaction\b`)},
	{"dbmate", regexp.MustCompile(`(?mi)^--\s*migrate:up\b`), regexp.MustCompile(`(?mi)^--\s*migrate:down\b`), regexp.MustCompile(`(?mi)^--\s*migrate:up\b.*\btransaction:\s*false\b`)},
	{"tern", nil, regexp.MustCompile(`(?mi)^---- create above / drop below ----`), regexp.MustCompile(`(?mi)^---- tern: disable-tx ----`)},
	{"rambler", regexp.MustCompile(`(?mi)^--\s*rambler\s+up\b`), regexp.MustCompile(`(?mi)^--\s*rambler\s+down\b`), nil},
	{"atlas", nil, nil, regexp.MustCompile(`(?mi)^--\s*atlas:txmode\s+none\b`)},
	{"sqlx", nil, nil, regexp.MustCompile(`(?mi)^--\s*no-transaction\b`)},
	{"flyway", nil, nil, regexp.MustCompile(`(?mi)^--\s*flyway:executeInTransaction=false\b`)},
}

// Read finds out how a file is laid out, and gives its text with the part that leads back blanked: byte for byte, so that every
// place in the rest still holds.
func Read(file string, src []byte) ([]byte, *Layout) {
	l := &Layout{Down: leadsBack(file)}
	text := string(src)
	if !strings.Contains(text, "--") {
		return src, l
	}
	for _, m := range marks {
		if !l.read(m, text) {
			continue
		}
		if m.down == nil {
			continue
		}
		at := m.down.FindStringIndex(text)
		if at == nil {
			continue
		}
		end := len(text)
		if m.begins != nil {
			// goose and its like may have the way back first.
			if up := m.begins.FindStringIndex(text[at[1]:]); up != nil {
				end = at[1] + up[0]
			}
		}
		out := []byte(text)
		for i := at[0]; i < end; i++ {
			if out[i] != '\n' && out[i] != '\r' {
				out[i] = ' '
			}
		}
		return out, l
	}
	return src, l
}

// read notes what the marks of one tool say; false where there are none.
func (l *Layout) read(m mark, text string) bool {
	words := map[string]string{"goose": "goose", "sql-migrate": "migrate", "dbmate": "migrate:", "tern": "----", "rambler": "rambler", "atlas": "atlas:", "sqlx": "transaction", "flyway": "flyway"}
	if !strings.Contains(text, words[m.tool]) && !strings.Contains(strings.ToLower(text), words[m.tool]) {
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

// leadsBack tells by its name a file that undoes another: golang-migrate's and sqlx's x.down.sql, Flyway's U12__x.sql, diesel's
// down.sql.
func leadsBack(file string) bool {
	base := path.Base(strings.ReplaceAll(file, `\`, "/"))
	return strings.HasSuffix(base, ".down.sql") || base == "down.sql" || undoName.MatchString(base)
}

var undoName = regexp.MustCompile(`^U\d[\d._]*__`)

// declared reports whether the file says of itself that it is a contract: it then goes through the gate.
func (s *Source) declared() bool {
	for i := range s.File.Directives {
		d := &s.File.Directives[i]
		if d.Name == "phase" && d.Arg == phases.Contract.String() {
			return true
		}
	}
	return false
}

// managed reports whether the file speaks to pawl, so that pawl is who runs it.
func (s *Source) managed() bool {
	for i := range s.File.Directives {
		if s.File.Directives[i].Name != "allow" {
			return true
		}
	}
	return false
}
