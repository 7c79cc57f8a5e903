package refs

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/constant"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/packages"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// golang reads the Go packages of the release.
func (b *builder) golang(ctx context.Context) error {
	if len(b.options.Go) == 0 {
		return nil
	}
	if _, err := exec.LookPath("go"); err != nil {
		return &SourceError{Message: "the go command is not installed", Hint: "Go source is read with the help of the go command; run this where the release is built", Err: err}
	}
	b.options.Progress("listing packages")
	roots, err := b.load(ctx, packages.NeedName|packages.NeedFiles|packages.NeedImports|packages.NeedDeps|packages.NeedModule, b.options.Go)
	if err != nil {
		return err
	}
	if len(roots) == 0 {
		return &SourceError{Message: "no package matches " + strings.Join(b.options.Go, " ")}
	}
	var own []string
	var others []*packages.Package
	seen := map[string]bool{}
	packages.Visit(roots, nil, func(p *packages.Package) {
		switch {
		case seen[p.PkgPath]:
		case isOwn(p):
			own = append(own, p.PkgPath)
		case p.Module != nil:
			others = append(others, p)
		}
		seen[p.PkgPath] = true
	})
	if err := b.loadErrors(roots); err != nil {
		return err
	}
	if len(own) == 0 {
		return &SourceError{
			Message: strings.Join(b.options.Go, " ") + " is no package of this module",
			Hint:    "packages are read from source in the main module; give --go ./... in its directory",
		}
	}
	slices.Sort(own)
	b.options.Progress(fmt.Sprintf("loading %s", plural(len(own), "package")))
	pkgs, err := b.load(ctx, packages.LoadSyntax|packages.NeedModule|packages.NeedEmbedFiles, own)
	if err != nil {
		return err
	}
	if err := b.loadErrors(pkgs); err != nil {
		return err
	}
	slices.SortFunc(pkgs, func(x, y *packages.Package) int { return cmp.Compare(x.PkgPath, y.PkgPath) })
	b.counts.Packages = len(pkgs)
	b.m.Toolchain, err = b.toolchain(ctx)
	if err != nil {
		return err
	}
	isProgram := slices.ContainsFunc(roots, func(p *packages.Package) bool { return p.Name == "main" })

	b.options.Progress("following strings to the calls that send them")
	p := newProgram(pkgs, isProgram)
	c, err := newCollector(b, p)
	if err != nil {
		return err
	}
	c.collect()
	c.models()
	for _, x := range c.notes.unused() {
		b.counts.Warnings = append(b.counts.Warnings, fmt.Sprintf("%s:%d: //pawl:%s settles nothing: no call below it needs it", x.file, x.line, x.directive))
	}
	for _, pkg := range pkgs {
		b.goWords(pkg)
		b.leftOut(pkg)
		b.foreignCode(pkg)
	}
	b.options.Progress("reading dependencies")
	return b.dependencies(roots, others)
}

// isOwn reports whether a package is of the main module, of another module of the workspace, or of one that a directory
// replaces.
func isOwn(p *packages.Package) bool {
	if p.Module == nil {
		return false
	}
	if _, known := libraryOf(p.PkgPath); known && !p.Module.Main {
		// A fork of a driver is a driver.
		return false
	}
	return p.Module.Main || p.Module.Replace != nil && p.Module.Replace.Version == ""
}

func (b *builder) load(ctx context.Context, mode packages.LoadMode, patterns []string) ([]*packages.Package, error) {
	config := &packages.Config{
		Context: ctx, Mode: mode, Dir: b.dir, Env: b.options.Env,
		// With -trimpath in GOFLAGS, what cgo makes of a file no longer tells where the file is.
		BuildFlags: []string{"-trimpath=false"},
	}
	if len(b.options.Tags) > 0 {
		config.BuildFlags = append(config.BuildFlags, "-tags="+strings.Join(b.options.Tags, ","))
	}
	pkgs, err := packages.Load(config, patterns...)
	if err == nil {
		return pkgs, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, &SourceError{Message: "the go command cannot list the packages: " + firstLines(err.Error()), Hint: goHint(err.Error()), Err: err}
}

func firstLines(text string) string {
	const most = 5
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > most {
		lines = append(lines[:most], fmt.Sprintf("and %d lines more", len(lines)-most))
	}
	return strings.Join(lines, "\n")
}

// goHint says what to do about an error of the go command.
func goHint(text string) string {
	switch {
	case strings.Contains(text, "go.mod file not found") || strings.Contains(text, "cannot find main module") || strings.Contains(text, "does not contain main module") || strings.Contains(text, "outside main module or its selected dependencies"):
		return "run this in the directory of a Go module, or use --sql, --sqlx, --prisma or --tokens for other source"
	case strings.Contains(text, "missing go.sum entry"):
		return "run `go mod tidy` or `go mod download` first, as the build of the release does"
	case strings.Contains(text, "inconsistent vendoring"):
		return "run `go mod vendor`"
	case strings.Contains(text, "no required module provides package") || strings.Contains(text, "cannot find module providing"):
		return "run `go mod tidy`"
	case strings.Contains(text, "C compiler") || strings.Contains(text, "cgo"):
		return "packages with cgo are read with a C compiler; without one, CGO_ENABLED=0 if the release is built so"
	case strings.Contains(text, "build constraints exclude all Go files"):
		return "give the release's build tags with --tags"
	}
	return ""
}

// loadErrors gives the errors of all packages as one: of code that does not compile nothing can be said.
func (b *builder) loadErrors(pkgs []*packages.Package) error {
	var messages []string
	what := "the go command cannot load the packages: "
	packages.Visit(pkgs, nil, func(p *packages.Package) {
		for _, e := range p.Errors {
			if e.Kind == packages.TypeError || e.Kind == packages.ParseError {
				what = "the source does not compile: "
			}
			at := e.Pos
			if file, rest, ok := strings.Cut(at, ":"); ok && filepath.IsAbs(file) {
				at = b.shown(file) + ":" + rest
			}
			m := e.Msg
			if at != "" && at != "-" {
				m = at + ": " + m
			}
			if !slices.Contains(messages, m) {
				messages = append(messages, m)
			}
		}
	})
	if len(messages) == 0 {
		return nil
	}
	all := strings.Join(messages, "\n")
	hint := goHint(all)
	if hint == "" {
		hint = "the source must compile, with the tags and the environment that the release is built with"
	}
	return &SourceError{Message: what + firstLines(all), Hint: hint, Err: errors.New(all)}
}

// toolchain gives the language version of the compiler: patch releases do not change what a program sends.
func (b *builder) toolchain(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION")
	cmd.Dir, cmd.Env = b.dir, b.options.Env
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ask for Go's version: %w", err)
	}
	version := strings.TrimSpace(string(out))
	if parts := strings.SplitN(version, ".", 3); len(parts) == 3 {
		version = parts[0] + "." + parts[1]
	}
	return version, nil
}

var word = pattern.Lazy(`[A-Za-z_\x{80}-\x{10FFFF}][A-Za-z0-9_$\x{80}-\x{10FFFF}]*`)

// addWords notes the words of a text.
func (b *builder) addWords(text string) {
	const longest = 63 // PostgreSQL cuts names there
	for _, w := range word().FindAllString(text, -1) {
		if len(w) > 1 && len(w) <= longest {
			b.words[strings.ToLower(w)] = true
		}
	}
}

// goWords notes the words in the strings, tags and names of a package.
func (b *builder) goWords(pkg *packages.Package) {
	for _, file := range pkg.Syntax {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ImportSpec:
				return false
			case *ast.BasicLit:
				if n.Kind == token.STRING {
					if text, err := strconv.Unquote(n.Value); err == nil {
						b.addWords(text)
					}
				}
			case *ast.Field:
				for _, name := range n.Names {
					b.words[snake(name.Name)] = true
				}
			case *ast.TypeSpec:
				b.words[snake(n.Name.Name)] = true
			}
			return true
		})
	}
	const largest = 1 << 20
	for _, path := range pkg.EmbedFiles {
		if info, err := os.Stat(path); err == nil && info.Size() <= largest {
			if text, err := os.ReadFile(path); err == nil { //nolint:gosec // the go command names the file
				b.addWords(string(text))
			}
		}
	}
}

// leftOut makes a manifest partial for files that a build tag leaves out, unless the tags of the release are given.
func (b *builder) leftOut(pkg *packages.Package) {
	if b.options.Tagged {
		return
	}
	for _, path := range pkg.IgnoredFiles {
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			continue
		}
		src, err := os.ReadFile(path) //nolint:gosec // the go command names the file
		if err != nil {
			continue
		}
		tag := customTag(src)
		if tag == "" || !sendsSQL(src) {
			continue
		}
		b.partial("%s is left out by build tag %s: give --tags with the tags that the release is built with", b.shown(path), tag)
	}
}

// sendsSQL reports whether a file may have to do with a database.
func sendsSQL(src []byte) bool {
	f, err := parser.ParseFile(token.NewFileSet(), "", src, parser.SkipObjectResolution)
	if err != nil {
		return true
	}
	for _, spec := range f.Imports {
		if path, err := strconv.Unquote(spec.Path.Value); err == nil {
			if _, known := libraryOf(path); known {
				return true
			}
		}
	}
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil && looksSQL(text) {
				found = true
			}
		}
		return !found
	})
	return found
}

// customTag gives the first tag of a file's build constraint that is no platform and no version; empty where there is none.
func customTag(src []byte) string {
	for line := range bytes.Lines(src) {
		line = bytes.TrimSpace(line)
		if bytes.HasPrefix(line, []byte("package ")) {
			break
		}
		if !constraint.IsGoBuild(string(line)) {
			continue
		}
		expr, err := constraint.Parse(string(line))
		if err != nil {
			return string(line)
		}
		custom := ""
		var visit func(constraint.Expr)
		visit = func(e constraint.Expr) {
			switch e := e.(type) {
			case *constraint.TagExpr:
				if !platformTags[e.Tag] && !strings.HasPrefix(e.Tag, "go1.") && custom == "" {
					custom = e.Tag
				}
			case *constraint.NotExpr:
				visit(e.X)
			case *constraint.AndExpr:
				visit(e.X)
				visit(e.Y)
			case *constraint.OrExpr:
				visit(e.X)
				visit(e.Y)
			}
		}
		visit(expr)
		return custom
	}
	return ""
}

// platformTags are tags that the platform sets, and ignore, which nobody sets.
var platformTags = nameSet(`ignore unix cgo gc gccgo race msan asan purego
	aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris wasip1 windows zos
	386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x wasm sparc64`) //nolint:gochecknoglobals // a constant table

// foreignCode makes a manifest partial for C code that speaks to PostgreSQL itself. The compiler sees such files in the
// form that cgo gives them, so that the files as written are read.
func (b *builder) foreignCode(pkg *packages.Package) {
	for _, path := range pkg.GoFiles {
		if slices.Contains(pkg.CompiledGoFiles, path) {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			continue
		}
		for _, decl := range file.Decls {
			d, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, s := range d.Specs {
				spec, ok := s.(*ast.ImportSpec)
				if !ok || spec.Path.Value != `"C"` {
					continue
				}
				text := d.Doc.Text() + spec.Doc.Text()
				if strings.Contains(text, "libpq") || strings.Contains(text, "-lpq") {
					b.partial("%s:%d: C code of this package uses libpq, and what it sends is not known", b.shown(path), fset.Position(d.Pos()).Line)
				}
			}
		}
	}
}

// forwarders are dependencies that hand statements on, or send those of migrations: they make none of their own.
var forwarders = []string{ //nolint:gochecknoglobals // a constant table
	"github.com/golang-migrate/migrate", "github.com/pressly/goose", "github.com/rubenv/sql-migrate", "github.com/jackc/tern",
	"github.com/XSAM/otelsql", "go.nhat.io/otelsql", "github.com/exaring/otelpgx", "github.com/uptrace/opentelemetry-go-extra",
	"github.com/ngrok/sqlmw", "github.com/luna-duclos/instrumentedsql", "github.com/qustavo/sqlhooks", "github.com/gchaincl/sqlhooks",
	"github.com/DATA-DOG/go-txdb", "github.com/DATA-DOG/go-sqlmock", "github.com/pashagolub/pgxmock", "github.com/testcontainers/testcontainers-go",
	"github.com/go-sql-driver/mysql", "github.com/mattn/go-sqlite3", "modernc.org/sqlite", "github.com/microsoft/go-mssqldb",
	"gorm.io/driver", "gorm.io/plugin", "github.com/gobuffalo", "github.com/lann", "github.com/vgarvardt/pgx-google-uuid",
	"github.com/jackc", "github.com/google/uuid", "github.com/gofrs/uuid", "github.com/shopspring/decimal", "github.com/guregu/null",
	"gopkg.in/guregu/null.v4", "github.com/oklog/ulid", "github.com/lib/pq", "go.opentelemetry.io", "golang.org/x", "google.golang.org",
	"github.com/DataDog/dd-trace-go", "gopkg.in/DataDog/dd-trace-go.v1", "github.com/newrelic/go-agent", "github.com/prometheus",
	"github.com/rs/xid", "github.com/segmentio/ksuid", "github.com/Masterminds/semver", "github.com/aarondl/null", "github.com/volatiletech/null",
	"github.com/spf13/cast", "github.com/bitvault/pawl",
}

// dependencies takes SQL from the constants of dependencies that talk to a database, and makes the manifest partial for
// those that put their SQL together at run time.
func (b *builder) dependencies(roots, others []*packages.Package) error {
	talks := false
	named := map[string]bool{}
	packages.Visit(roots, nil, func(p *packages.Package) {
		if isOwn(p) {
			for path := range p.Imports {
				_, known := libraryOf(path)
				talks = talks || known
			}
		}
	})
	for _, p := range others {
		for prefix, name := range unread {
			if p.PkgPath != prefix && !strings.HasPrefix(p.PkgPath, prefix+"/") || named[name] {
				continue
			}
			named[name] = true
			if b.trusted(p.Module.Path) {
				continue
			}
			b.partial("%s makes statements in a way that is not understood: harvest them (`pawl refs harvest`) and give --trust %s=REASON", name, p.Module.Path)
		}
	}
	byModule := map[string][]*packages.Package{}
	for _, p := range others {
		if _, known := libraryOf(p.PkgPath); known || isForwarder(p.PkgPath) {
			continue
		}
		for path := range p.Imports {
			if _, known := libraryOf(path); known {
				byModule[p.Module.Path] = append(byModule[p.Module.Path], p)
				talks = true
				break
			}
		}
	}
	for _, module := range sortedKeys(byModule) {
		if err := b.dependency(module, byModule[module], others); err != nil {
			return err
		}
	}
	if !talks && len(named) == 0 {
		b.partial("no package imports a database driver that is known: if this program sends SQL, it is not seen; otherwise it needs no manifest")
	}
	return nil
}

func isForwarder(path string) bool {
	return slices.ContainsFunc(forwarders, func(f string) bool { return path == f || strings.HasPrefix(path, f+"/") })
}

// trusted reports whether an option says that a module's SQL need not be known, and records it.
func (b *builder) trusted(module string) bool {
	reason, ok := b.options.Trust[module]
	if ok {
		b.acknowledge(evidence.Acknowledgement{Site: gate.Site{File: module}, Directive: "trust", Text: reason})
	}
	return ok
}

// dependency reads the packages of a module for constants; those that talk to a database also for calls whose text is
// no constant.
func (b *builder) dependency(module string, talking, others []*packages.Package) error {
	var dynamic []gate.Site
	for _, p := range others {
		if p.Module.Path != module {
			continue
		}
		talks := slices.Contains(talking, p)
		fset := token.NewFileSet()
		constants := map[string]bool{}
		var files []*ast.File
		for _, path := range p.GoFiles {
			f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return fmt.Errorf("read a dependency: %w", err)
			}
			files = append(files, f)
			constantNames(f, constants)
		}
		for _, f := range files {
			at := func(n ast.Node) gate.Site {
				pos := fset.Position(n.Pos())
				version := p.Module.Version
				if p.Module.Replace != nil {
					version = p.Module.Replace.Version
				}
				return gate.Site{File: p.PkgPath + "@" + version + "/" + filepath.Base(pos.Filename), Line: pos.Line}
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if e, ok := n.(ast.Expr); ok {
					if text, ok := constantText(e); ok {
						if looksSQL(text) {
							if whole, ok := wholeStatement(text); ok {
								b.text(whole, nil, at(e))
							}
						}
						return false
					}
				}
				if call, ok := n.(*ast.CallExpr); ok && talks && sendsDynamic(call, constants) {
					dynamic = append(dynamic, at(call))
				}
				return true
			})
		}
	}
	if len(dynamic) > 0 && !b.trusted(module) {
		b.partial("dependency %s puts SQL together at run time (%s): give --trust %s=REASON if it touches nothing of yours", module,
			listSites(dynamic, func(s gate.Site) gate.Site { return s }), module)
	}
	return nil
}

func constantNames(f *ast.File, names map[string]bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Names) == len(spec.Values) {
			for i, name := range spec.Names {
				if _, ok := constantText(spec.Values[i]); ok {
					names[name.Name] = true
				}
			}
		}
		return true
	})
}

// constantText gives the text of a literal or a sum of literals.
func constantText(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			return constant.StringVal(constant.MakeFromLiteral(e.Value, e.Kind, 0)), true
		}
	case *ast.ParenExpr:
		return constantText(e.X)
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			x, ok1 := constantText(e.X)
			y, ok2 := constantText(e.Y)
			return x + y, ok1 && ok2
		}
	}
	return "", false
}

var sends = nameSet(`Exec ExecContext Query QueryContext QueryRow QueryRowContext QueryRowx Queryx Queue`) //nolint:gochecknoglobals // a constant table

// sendsDynamic reports whether a call looks as if it sent a text that is no constant. It goes by the syntax alone, for
// dependencies are not type-checked: a call that hands on its caller's parameters counts too.
func sendsDynamic(call *ast.CallExpr, constants map[string]bool) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !sends[sel.Sel.Name] || len(call.Args) == 0 {
		return false
	}
	if len(call.Args) == 1 {
		// Exec(ctx) and Query(ctx) of a builder take no text.
		if id, ok := call.Args[0].(*ast.Ident); ok && id.Name == "ctx" {
			return false
		}
	}
	for _, arg := range call.Args[:min(2, len(call.Args))] {
		if _, ok := constantText(arg); ok {
			return false
		}
		if id, ok := arg.(*ast.Ident); ok && constants[id.Name] {
			return false
		}
	}
	return true
}

// tagOf reads one key of a struct tag.
func tagOf(tag, key string) (string, bool) { return reflect.StructTag(tag).Lookup(key) }
