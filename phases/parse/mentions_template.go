package parse

import (
	"slices"
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bitvault/pawl/phases"
)

// Template gives what a statement with holes names. The parts are its known stretches, and holes, one fewer, say what
// may stand between them: "name" (one identifier), "value" (a number, or a stretch of a string constant) or "text" (any
// SQL; what that names is not in the result). A name that touches a hole becomes a pattern, a hole in the place of a
// relation is a relation of any name that has the columns which the statement names.
func Template(parts, holes []string) *phases.Mentions {
	var m *phases.Mentions
	for _, fill := range fillings(parts, holes) {
		text := fill.text()
		tree, err := parseTree(text)
		if err != nil {
			continue
		}
		m = Mentions(text)
		if fill.whole() {
			need(m, tree)
		}
		break
	}
	if m == nil {
		m = tokenMentions(filling{parts, holes, 0}.text())
	}
	return withPatterns(m)
}

// Fragment gives what a piece of a statement names: a condition, a list of columns, a relation. What cannot be read as
// one of these gives its words.
func Fragment(parts, holes []string) *phases.Mentions {
	text := filling{parts, holes, 0}.text()
	m := &phases.Mentions{Names: map[string]bool{}}
	for _, around := range []string{"select * from h where ", "select ", "select from h order by ", "select from ", "select from h ", ""} {
		if _, err := parseTree(around + text); err == nil {
			m = Mentions(around + text)
			m.Star = strings.Contains(text, "*") || strings.Contains(strings.ToLower(text), "natural")
			break
		}
	}
	// As a piece may read in more than one way, all its words count.
	for name := range tokenMentions(text).Names {
		m.Names[name] = true
	}
	for _, r := range m.Relations {
		m.Names[r.Name] = true
	}
	m.Relations, m.Unparsed, m.Owners, m.Stars = nil, false, nil, nil
	return withPatterns(m)
}

// filling is one way to make a template into text: bit i of empty leaves hole i out.
type filling struct {
	parts, holes []string
	empty        int
}

// fillings are the ways to try, the likeliest first: a hole of text may stand for a name, or for a clause that may be
// missing.
func fillings(parts, holes []string) []filling {
	out := []filling{{parts, holes, 0}}
	var texts []int
	for i, h := range holes {
		if h == "text" {
			texts = append(texts, i)
		}
	}
	const most = 5
	texts = texts[:min(len(texts), most)]
	for set := 1; set < 1<<len(texts); set++ {
		mask := 0
		for bit, hole := range texts {
			if set&(1<<bit) != 0 {
				mask |= 1 << hole
			}
		}
		out = append(out, filling{parts, holes, mask})
	}
	return out
}

// whole reports whether all that the statement says is in the text.
func (f filling) whole() bool { return f.empty == 0 && !slices.Contains(f.holes, "text") }

func (f filling) text() string {
	var b strings.Builder
	var state quoting
	for i, part := range f.parts {
		b.WriteString(part)
		state = state.after(part)
		switch {
		case i >= len(f.holes) || f.empty&(1<<i) != 0:
		case f.holes[i] == "value" && state != inString:
			b.WriteString(strconv.Itoa(i + 1))
		default:
			b.WriteString(phases.Hole)
		}
	}
	return b.String()
}

// quoting tells whether a place in a text is inside a string constant.
type quoting int

const (
	inCode quoting = iota
	inString
	inName
)

func (q quoting) after(part string) quoting {
	for _, r := range part {
		switch {
		case r == '\'' && q == inCode:
			q = inString
		case r == '\'' && q == inString, r == '"' && q == inName:
			q = inCode
		case r == '"' && q == inCode:
			q = inName
		}
	}
	return q
}

// withPatterns moves names that touch a hole to the patterns.
func withPatterns(m *phases.Mentions) *phases.Mentions {
	for name := range m.Names {
		if strings.Contains(name, phases.Hole) {
			delete(m.Names, name)
			m.Patterns = append(m.Patterns, name)
		}
	}
	slices.Sort(m.Patterns)
	return m
}

// need notes on relations that a hole stands for which columns they must have.
func need(m *phases.Mentions, tree *pg_query.ParseResult) {
	var relations, others int
	var names []string
	outputs := map[string]bool{}
	var walk func(protoreflect.Message)
	walk = func(message protoreflect.Message) {
		switch node := message.Interface().(type) {
		case *pg_query.RangeVar:
			relations++
			outputs[node.Relname] = true
			if node.Alias != nil {
				outputs[node.Alias.Aliasname] = true
				others += len(node.Alias.Colnames)
			}
		case *pg_query.SubLink, *pg_query.RangeSubselect, *pg_query.CommonTableExpr, *pg_query.RangeFunction, *pg_query.MergeStmt:
			others++
		case *pg_query.ResTarget:
			outputs[node.Name] = true
		case *pg_query.ColumnRef:
			if s := node.Fields[len(node.Fields)-1].GetString_(); s != nil {
				names = append(names, s.Sval)
			}
		}
		message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
			switch {
			case field.Kind() != protoreflect.MessageKind:
			case field.IsList():
				for i := range value.List().Len() {
					walk(value.List().Get(i).Message())
				}
			default:
				walk(value.Message())
			}
			return true
		})
	}
	walk(tree.ProtoReflect())
	for i := range m.Relations {
		r := &m.Relations[i]
		if !strings.Contains(r.Name, phases.Hole) {
			continue
		}
		r.Needs = append(r.Needs, r.Columns...)
		if relations == 1 && others == 0 {
			for _, n := range names {
				if !outputs[n] && !systemColumns[n] {
					r.Needs = append(r.Needs, n)
				}
			}
		}
		r.Needs = slices.DeleteFunc(r.Needs, func(n string) bool { return strings.Contains(n, phases.Hole) })
	}
}

// systemColumns are the columns that every table has: https://www.postgresql.org/docs/current/ddl-system-columns.html
var systemColumns = map[string]bool{"tableoid": true, "xmin": true, "cmin": true, "xmax": true, "cmax": true, "ctid": true} //nolint:gochecknoglobals // a constant table

// Fingerprint gives what two texts share that differ only in constants, parameters and layout; empty for a text that
// the parser rejects. It also equates some texts that mean different things, so that it must not be a key.
func Fingerprint(text string) string {
	fingerprint, err := pg_query.Fingerprint(text)
	if err != nil {
		return ""
	}
	return fingerprint
}

// IsFunctionName reports whether a name in a text may be that of a function that is called there.
func IsFunctionName(text, name string) bool {
	for rest := strings.ToLower(text); ; {
		i := strings.Index(rest, strings.ToLower(name))
		if i < 0 {
			return false
		}
		rest = rest[i+len(name):]
		if strings.HasPrefix(strings.TrimLeft(strings.TrimPrefix(rest, `"`), " \t\n"), "(") {
			return true
		}
	}
}
