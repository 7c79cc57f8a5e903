package refs

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"slices"
	"strings"
)

// note is one `//pawl:` comment.
type note struct {
	directive, text string
	// alone is true for a comment with no code before it on its line.
	alone, used bool
	file        string
	line        int
}

// notes are the `//pawl:` comments of the source, by file and by the line on which they end.
type notes struct {
	byLine map[string]map[int][]*note
	all    []*note
}

// readNotes reads the comments of all packages. One that is malformed is an error: the person who wrote it believes
// something settled that is not.
func readNotes(b *builder, p *program) (*notes, error) {
	n := &notes{byLine: map[string]map[int][]*note{}}
	fset := p.ssa.Fset
	for _, pkg := range p.packages {
		for _, file := range pkg.Syntax {
			var lines []string
			for _, group := range file.Comments {
				for _, c := range group.List {
					rest, ok := strings.CutPrefix(c.Text, "//pawl:")
					if !ok {
						continue
					}
					directive, text, _ := strings.Cut(rest, " ")
					text = strings.TrimSpace(text)
					at := fset.Position(c.Pos())
					where := b.shown(at.Filename)
					var hint string
					switch directive {
					case "sql":
						hint = "//pawl:sql SELECT … gives a statement that the call below sends"
					case "tables":
						hint = "//pawl:tables a,b names all relations that the call below may use"
					case "ignore":
						hint = "//pawl:ignore REASON says why nothing that the call below sends matters"
					default:
						return nil, &SourceError{
							Message: fmt.Sprintf("%s:%d: ", where, at.Line) + "//pawl:" + directive + " is not a directive",
							Hint:    "there are //pawl:sql, //pawl:tables and //pawl:ignore",
						}
					}
					if text == "" {
						return nil, &SourceError{Message: fmt.Sprintf("%s:%d: ", where, at.Line) + "//pawl:" + directive + " says nothing", Hint: hint}
					}
					end := fset.Position(group.End()).Line
					if n.byLine[at.Filename] == nil {
						n.byLine[at.Filename] = map[int][]*note{}
					}
					if lines == nil {
						src, err := os.ReadFile(at.Filename)
						if err != nil {
							return nil, fmt.Errorf("read comments: %w", err)
						}
						lines = strings.Split(string(src), "\n")
					}
					x := &note{directive: directive, text: text, file: where, line: at.Line}
					x.alone = at.Line > len(lines) || strings.HasPrefix(strings.TrimSpace(lines[at.Line-1]), "//")
					n.byLine[at.Filename][end] = append(n.byLine[at.Filename][end], x)
					if end != at.Line {
						n.byLine[at.Filename][at.Line] = append(n.byLine[at.Filename][at.Line], x)
					}
					n.all = append(n.all, x)
				}
			}
		}
	}
	return n, nil
}

// at gives the comments for a call: those that end on the line above the call, above the statement that it stands in,
// or on the call's own line.
func (n *notes) at(fset *token.FileSet, cs callSite, pos token.Pos) []*note {
	at := fset.Position(pos)
	lines := n.byLine[at.Filename]
	if lines == nil {
		return nil
	}
	var out []*note
	add := func(list []*note, alone bool) {
		for _, x := range list {
			// A comment behind the code of the line above belongs to that code.
			if x.alone == alone && !slices.Contains(out, x) {
				out = append(out, x)
			}
		}
	}
	add(lines[at.Line-1], true)
	add(lines[at.Line], false)
	if cs.statement != nil {
		start := fset.Position(cs.statement.Pos()).Line
		add(lines[start-1], true)
		if oneLine(cs.statement) {
			add(lines[fset.Position(cs.statement.End()).Line], false)
		}
	}
	return out
}

// oneLine reports whether a statement has no statements inside, so that a comment behind it can only mean it.
func oneLine(n ast.Node) bool {
	switch n.(type) {
	case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
		return false
	}
	return true
}

// unused gives the comments that settle nothing.
func (n *notes) unused() []*note {
	return slices.DeleteFunc(slices.Clone(n.all), func(x *note) bool { return x.used })
}
