package refs

import (
	"go/types"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/tools/go/ssa"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases/parse"
)

var (
	statementStart = pattern.Lazy(`(?is)^\s*(--[^\n]*\n\s*|/\*.*?\*/\s*)*\(?\s*(with|select|insert\s+into|update|delete\s+from|merge\s+into|copy|call|values|table|lock|create|alter|drop|truncate|refresh|notify|listen)\b`)
	statementWord  = pattern.Lazy(`(?is)\b(from|into|set|table|values|index|select|schema|view|function|trigger|type|column|role|extension)\b`)
)

// looksSQL reports whether a constant of unknown use may be a statement.
func looksSQL(text string) bool {
	const shortest = 9
	return len(text) >= shortest && statementStart().MatchString(text) && statementWord().MatchString(text)
}

// wholeStatement gives a text in the form that PostgreSQL reads; ok is false where it is none.
func wholeStatement(text string) (string, bool) {
	if parse.Reads(text) {
		return text, true
	}
	return rewriteNamed(text)
}

// rewriteNamed puts PostgreSQL's own parameters for those of drivers (?, :name, @name, sqlc.arg(name)) into a text that
// PostgreSQL does not read as it stands; ok is false where that does not help either.
func rewriteNamed(text string) (string, bool) {
	if parse.Reads(text) {
		return text, false
	}
	for _, marks := range []string{"?", ":", "@", ":@", "?@", "?:"} {
		if out, changed := placeholders(text, marks); changed && parse.Reads(out) {
			return out, true
		}
	}
	return text, false
}

// placeholders numbers the parameters that the marks begin, outside of strings, names and comments.
func placeholders(text, marks string) (string, bool) {
	var b strings.Builder
	numbers := map[string]int{}
	next := 1
	for _, m := range numbered().FindAllStringSubmatch(text, -1) {
		next = max(next, atoi(m[1])+1)
	}
	changed := false
	for i := 0; i < len(text); {
		c := text[i]
		if skip := quotedLen(text[i:]); skip > 0 {
			b.WriteString(text[i : i+skip])
			i += skip
			continue
		}
		name := ""
		if i+1 < len(text) {
			name = identifier().FindString(text[i+1:])
		}
		before := byte(' ')
		if i > 0 {
			before = text[i-1]
		}
		switch {
		case c == ':' && i+1 < len(text) && (text[i+1] == ':' || text[i+1] == '='):
			b.WriteString(text[i : i+2])
			i += 2
		case c == '?' && strings.Contains(marks, "?") && i+1 < len(text) && text[i+1] == '?':
			b.WriteByte('?')
			i += 2
			changed = true
		case c == '?' && strings.Contains(marks, "?"):
			b.WriteString("$" + strconv.Itoa(next))
			next++
			i++
			changed = true
		case (c == ':' || c == '@') && strings.IndexByte(marks, c) >= 0 && name != "" && before != ':' && before != '@' && before != '<' && !isWordByte(before):
			if numbers[name] == 0 {
				numbers[name] = next
				next++
			}
			b.WriteString("$" + strconv.Itoa(numbers[name]))
			i += 1 + len(name)
			changed = true
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String(), changed
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

var (
	numbered   = pattern.Lazy(`\$(\d+)`)
	identifier = pattern.Lazy(`^[A-Za-z_][A-Za-z0-9_]*`)
	dollarTag  = pattern.Lazy(`^\$[A-Za-z_0-9]*\$`)
)

// quotedLen gives the length of the string, quoted name or comment that a text begins with; 0 for none.
func quotedLen(text string) int {
	end := func(closing string, from int) int {
		if i := strings.Index(text[from:], closing); i >= 0 {
			return from + i + len(closing)
		}
		return len(text)
	}
	switch {
	case text[0] == '\'':
		for i := 1; i < len(text); i++ {
			if text[i] == '\'' {
				if i+1 < len(text) && text[i+1] == '\'' {
					i++
					continue
				}
				return i + 1
			}
		}
		return len(text)
	case text[0] == '"':
		return end(`"`, 1)
	case strings.HasPrefix(text, "--"):
		return end("\n", 2)
	case strings.HasPrefix(text, "/*"):
		return end("*/", 2)
	case text[0] == '$':
		if tag := dollarTag().FindString(text); tag != "" {
			return end(tag, len(tag))
		}
	}
	return 0
}

// normal gives a statement as the driver sends it: parameters that the driver numbers are numbered.
func normal(text string, in ssa.CallInstruction) string {
	if in != nil && namedArguments(in) {
		for _, marks := range []string{"@", "@?"} {
			if out, changed := placeholders(text, marks); changed && parse.Reads(out) {
				return out
			}
		}
	}
	out, _ := rewriteNamed(text)
	return out
}

// namedArguments reports whether a call has pgx's NamedArgs among its arguments, or is one of GORM's, which read @name.
func namedArguments(in ssa.CallInstruction) bool {
	if fn, _ := callee(in.Common()); fn != nil && fn.Pkg() != nil && strings.HasPrefix(fn.Pkg().Path(), "gorm.io/") {
		return true
	}
	args := in.Common().Args
	if len(args) == 0 {
		return false
	}
	s, ok := args[len(args)-1].(*ssa.Slice)
	if !ok || s.X.Referrers() == nil {
		return false
	}
	for _, r := range *s.X.Referrers() {
		ia, ok := r.(*ssa.IndexAddr)
		if !ok {
			continue
		}
		for _, v := range storesTo(ia) {
			if m, ok := v.(*ssa.MakeInterface); ok {
				if named, ok := m.X.Type().(*types.Named); ok && (named.Obj().Name() == "NamedArgs" || named.Obj().Name() == "StrictNamedArgs") {
					return true
				}
			}
		}
	}
	return false
}

// snake writes a Go name as SQL names are written: UserID is user_id.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) {
			if i > 0 && runes[i-1] != '_' && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
				b.WriteByte('_')
			}
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}
