package parse

import (
	"fmt"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bitvault/pawl/phases"
)

// SameFile says in what two texts of one migration differ for PostgreSQL and for pawl; empty where line ends, blanks and comments
// are all. What is compared is PostgreSQL's own parse tree without the places, each constant included, the rows of COPY, and
// pawl's directives. The body of a function is a constant: a comment in it is part of what PostgreSQL stores. Texts that do not
// parse are never the same.
func SameFile(a, b *phases.File) string {
	if len(a.Problems) > 0 || len(b.Problems) > 0 {
		return "one of them cannot be parsed"
	}
	if len(a.Statements) != len(b.Statements) {
		return fmt.Sprintf("one has %d statements, the other %d", len(a.Statements), len(b.Statements))
	}
	for i, x := range a.Statements {
		y := b.Statements[i]
		if x.Control != y.Control || !sameTree(x.Text, y.Text) || copied(a, x) != copied(b, y) {
			return fmt.Sprintf("the statement in line %d is another one: %s", y.Span.Start.Line, firstWords(y.Text))
		}
	}
	if !slices.Equal(directiveWords(a), directiveWords(b)) {
		return "their pawl: directives differ"
	}
	return ""
}

// directiveWords gives the directives that say something to the runner; what is allowed to stand is lint's affair.
func directiveWords(f *phases.File) []string {
	var words []string
	for _, d := range f.Directives {
		if d.Name != "allow" {
			words = append(words, d.Name+" "+strings.Join(strings.Fields(d.Arg), " "))
		}
	}
	return words
}

func copied(f *phases.File, s phases.Statement) string {
	if s.CopyData == nil {
		return ""
	}
	return strings.ReplaceAll(f.Text[s.CopyData.Start.Offset:s.CopyData.End.Offset], "\r\n", "\n")
}

func firstWords(text string) string {
	const most = 60
	line := strings.Join(strings.Fields(text), " ")
	if len([]rune(line)) > most {
		return string([]rune(line)[:most]) + "…"
	}
	return line
}

func sameTree(a, b string) bool {
	x, errA := parseTree(a)
	y, errB := parseTree(b)
	if errA != nil || errB != nil {
		return false
	}
	return proto.Equal(placeless(x), placeless(y))
}

// placeless takes the places of its nodes out of a tree: they are what is left of blanks and comments.
func placeless(tree *pg.ParseResult) proto.Message {
	clearPlaces(tree.ProtoReflect())
	return tree
}

func clearPlaces(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Name() == "location" || f.Name() == "stmt_location" || f.Name() == "stmt_len":
			m.Clear(f)
		case f.IsList() && f.Kind() == protoreflect.MessageKind:
			for i := range v.List().Len() {
				clearPlaces(v.List().Get(i).Message())
			}
		case f.Kind() == protoreflect.MessageKind && !f.IsList() && !f.IsMap():
			clearPlaces(v.Message())
		}
		return true
	})
}

// SameButName reports whether two definitions as pg_get_indexdef gives them differ in nothing but the index's name.
func SameButName(a, b string) bool {
	x, y := indexStatement(a), indexStatement(b)
	if x == nil || y == nil {
		return false
	}
	x.Idxname, y.Idxname = "", ""
	return proto.Equal(placelessIndex(x), placelessIndex(y))
}

func placelessIndex(s *pg.IndexStmt) proto.Message {
	clearPlaces(s.ProtoReflect())
	return s
}
