// Manifest writes the example's releases/rN/<consumer>.refs.json from the sources beside them. It is the example's own
// and knows no more than the example needs; `pawl refs build` replaces it.
//
//	go run ./testdata/examples/bitvault/internal/manifest [-check] [releases]
//
// With -check it writes nothing and fails if a manifest is not what it would write.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

func main() {
	check := flag.Bool("check", false, "fail if a manifest is stale, write nothing")
	flag.Parse()
	root := "testdata/examples/bitvault/releases"
	if flag.NArg() > 0 {
		root = flag.Arg(0)
	}
	if err := run(root, *check); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(root string, check bool) error {
	dirs, err := filepath.Glob(filepath.Join(root, "*", "*"))
	if err != nil {
		return err
	}
	load, err := newLoader(root)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		text, err := load.manifest(dir)
		if err != nil {
			return err
		}
		path := dir + ".refs.json"
		if !check {
			if err := os.WriteFile(path, text, 0o644); err != nil {
				return err
			}
			continue
		}
		if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, text) {
			return fmt.Errorf("%s is stale: run go run ./testdata/examples/bitvault/internal/manifest", path)
		}
	}
	return nil
}

type manifest struct {
	Version    int         `json:"version"`
	Consumer   string      `json:"consumer"`
	Release    string      `json:"release"`
	Toolchain  string      `json:"toolchain"`
	Status     string      `json:"status"`
	Statements []statement `json:"statements"`
}

type statement struct {
	SHA256 string   `json:"sha256"`
	Text   string   `json:"text"`
	Params []string `json:"params,omitempty"`
	Sites  []site   `json:"sites"`
}

type site struct {
	File string `json:"file"`
	Line int    `json:"line"`
}

// loader type-checks services against the compiler's export data of what they import.
type loader struct {
	files    *token.FileSet
	importer types.Importer
}

func newLoader(root string) (*loader, error) {
	list := exec.Command("go", "list", "-deps", "-export", "-json=ImportPath,Export", "./...")
	list.Dir = root
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	exports := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		exports[p.ImportPath] = p.Export
	}
	files := token.NewFileSet()
	return &loader{files, importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})}, nil
}

func (l *loader) manifest(dir string) ([]byte, error) {
	releaseDir, consumer := filepath.Split(dir)
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	s := service{info: &types.Info{
		Types:      map[ast.Expr]types.TypeAndValue{},
		Defs:       map[*ast.Ident]types.Object{},
		Uses:       map[*ast.Ident]types.Object{},
		Selections: map[*ast.SelectorExpr]*types.Selection{},
	}}
	for _, path := range paths {
		f, err := parser.ParseFile(l.files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		s.syntax = append(s.syntax, f)
	}
	config := types.Config{Importer: l.importer}
	if _, err := config.Check(dir, l.files, s.syntax, s.info); err != nil {
		return nil, err
	}

	m := manifest{Version: 1, Consumer: consumer, Release: filepath.Base(releaseDir), Toolchain: "go1.26", Status: "complete"}
	for _, f := range s.syntax {
		for call := range calls(f) {
			texts, params, err := s.sent(call)
			pos := l.files.Position(call.Fun.(*ast.SelectorExpr).Sel.Pos())
			if err != nil {
				return nil, fmt.Errorf("%s: %w", pos, err)
			}
			file, err := filepath.Rel(releaseDir, pos.Filename)
			if err != nil {
				return nil, err
			}
			for _, text := range texts {
				if err := m.add(text, params, site{filepath.ToSlash(file), pos.Line}); err != nil {
					return nil, fmt.Errorf("%s: %w", pos, err)
				}
			}
		}
	}
	slices.SortFunc(m.Statements, func(a, b statement) int { return strings.Compare(a.Text, b.Text) })

	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err = e.Encode(m)
	return out.Bytes(), err
}

func (m *manifest) add(text string, params []string, at site) error {
	i := slices.IndexFunc(m.Statements, func(s statement) bool { return s.Text == text })
	if i < 0 {
		sum := sha256.Sum256([]byte(text))
		m.Statements = append(m.Statements, statement{hex.EncodeToString(sum[:]), text, params, []site{at}})
		return nil
	}
	s := &m.Statements[i]
	if !slices.Equal(s.Params, params) {
		return fmt.Errorf("parameters %v here, %v at %v", params, s.Params, s.Sites[0])
	}
	s.Sites = append(s.Sites, at)
	return nil
}

// calls are the method calls of a file in the order of the source.
func calls(f *ast.File) func(yield func(*ast.CallExpr) bool) {
	return func(yield func(*ast.CallExpr) bool) {
		for n := range ast.Preorder(f) {
			if call, ok := n.(*ast.CallExpr); ok {
				if _, ok := call.Fun.(*ast.SelectorExpr); ok && !yield(call) {
					return
				}
			}
		}
	}
}

type service struct {
	syntax []*ast.File
	info   *types.Info
}

// sent gives the texts that a call sends and the Go types of their parameters; nothing if it is no call of pgx that
// takes SQL.
func (s *service) sent(call *ast.CallExpr) (texts, params []string, err error) {
	selection := s.info.Selections[call.Fun.(*ast.SelectorExpr)]
	if selection == nil || selection.Obj().Pkg() == nil ||
		!strings.HasPrefix(selection.Obj().Pkg().Path(), "github.com/jackc/pgx/v5") {
		return nil, nil, nil
	}
	if selection.Obj().Name() == "CopyFrom" {
		return s.copied(call)
	}
	signature := selection.Type().(*types.Signature)
	for i := range signature.Params().Len() {
		if name := signature.Params().At(i).Name(); name != "sql" && name != "query" {
			continue
		}
		if texts, err = s.values(call.Args[i]); err != nil {
			return nil, nil, err
		}
		for _, arg := range call.Args[i+1:] {
			t := types.Default(s.info.Types[arg].Type)
			params = append(params, types.TypeString(t, (*types.Package).Name))
		}
		return texts, params, nil
	}
	return nil, nil, nil
}

// copied gives the two statements that pgx sends for CopyFrom: the first asks for the columns' types.
func (s *service) copied(call *ast.CallExpr) (texts, params []string, err error) {
	var names [2][]string
	for i := range names {
		list, ok := call.Args[i+1].(*ast.CompositeLit)
		if !ok {
			return nil, nil, errors.New("CopyFrom with names that are not written out")
		}
		for _, e := range list.Elts {
			values, err := s.values(e)
			if err != nil {
				return nil, nil, err
			}
			names[i] = append(names[i], pgx.Identifier(values).Sanitize())
		}
	}
	table, columns := strings.Join(names[0], "."), strings.Join(names[1], ", ")
	return []string{
		fmt.Sprintf("select %s from %s", columns, table),
		fmt.Sprintf("copy %s ( %s ) from stdin binary;", table, columns),
	}, nil, nil
}

// values gives all values that a string expression can have.
func (s *service) values(e ast.Expr) ([]string, error) {
	if v := s.info.Types[e].Value; v != nil {
		if v.Kind() == constant.String {
			return []string{constant.StringVal(v)}, nil
		}
		return []string{v.ExactString()}, nil
	}
	switch e := e.(type) {
	case *ast.Ident:
		var all []string
		for _, from := range s.assigned(s.info.Uses[e]) {
			values, err := s.values(from)
			if err != nil {
				return nil, err
			}
			all = append(all, values...)
		}
		if len(all) > 0 {
			return all, nil
		}
	case *ast.CallExpr:
		f, ok := e.Fun.(*ast.SelectorExpr)
		if !ok || s.info.Uses[f.Sel].String() != "func fmt.Sprintf(format string, a ...any) string" {
			break
		}
		var parts []string
		for _, arg := range e.Args {
			values, err := s.values(arg)
			if err != nil {
				return nil, err
			}
			if len(values) != 1 {
				return nil, errors.New("Sprintf of a part with several values")
			}
			parts = append(parts, values[0])
		}
		text := parts[0]
		for _, part := range parts[1:] {
			i := strings.IndexByte(text, '%')
			if i < 0 || !strings.ContainsRune("sd", rune(text[i+1])) {
				return nil, errors.New("Sprintf with other verbs than %s and %d")
			}
			text = text[:i] + part + text[i+2:]
		}
		return []string{text}, nil
	}
	return nil, fmt.Errorf("cannot tell the value of this %T", e)
}

// assigned gives every expression that the service assigns to a variable.
func (s *service) assigned(v types.Object) []ast.Expr {
	var found []ast.Expr
	is := func(e ast.Expr) bool {
		id, ok := e.(*ast.Ident)
		return ok && v != nil && (s.info.Defs[id] == v || s.info.Uses[id] == v)
	}
	for _, f := range s.syntax {
		for n := range ast.Preorder(f) {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for i, left := range n.Lhs {
					if is(left) && len(n.Lhs) == len(n.Rhs) {
						found = append(found, n.Rhs[i])
					}
				}
			case *ast.ValueSpec:
				for i, name := range n.Names {
					if is(name) && i < len(n.Values) {
						found = append(found, n.Values[i])
					}
				}
			}
		}
	}
	return found
}
