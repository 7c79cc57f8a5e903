package refs

import (
	"cmp"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/ssa/ssautil"

	"github.com/bitvault/pawl/internal/pattern"
)

// program is the source of a release in SSA form, with indexes of who assigns and calls what.
type program struct {
	ssa       *ssa.Program
	packages  []*packages.Package
	ownTypes  map[*types.Package]bool
	functions []*ssa.Function
	// isProgram is true where a main package is among the roots: then what nobody calls does not run.
	isProgram bool

	calls         map[*ssa.Function][]ssa.CallInstruction
	invokes       map[string][]ssa.CallInstruction
	indirects     []ssa.CallInstruction
	methods       map[string][]*ssa.Function
	closures      map[*ssa.Function][]*ssa.MakeClosure
	taken         map[*ssa.Function]bool
	escapes       map[*ssa.Function]string
	foreign       map[types.Type][]*types.Interface
	globals       map[*ssa.Global][]ssa.Value
	globalLoads   map[*ssa.Global][]ssa.Value
	globalEscapes map[*ssa.Global]bool
	fields        map[*types.Var][]ssa.Value
	fieldEscapes  map[*types.Var]string
	embedded      map[*ssa.Global]string
	embeddedFS    map[*ssa.Global]map[string]string
	callers       map[*ssa.Function]callerSet
	drivers       []types.Type
}

type callerSet struct {
	calls   []ssa.CallInstruction
	outside string
}

// newProgram builds the SSA form of packages that were loaded with syntax.
func newProgram(pkgs []*packages.Package, isProgram bool) *program {
	p := &program{
		packages: pkgs, isProgram: isProgram, ownTypes: map[*types.Package]bool{},
		calls: map[*ssa.Function][]ssa.CallInstruction{}, invokes: map[string][]ssa.CallInstruction{},
		methods: map[string][]*ssa.Function{}, closures: map[*ssa.Function][]*ssa.MakeClosure{},
		taken: map[*ssa.Function]bool{}, escapes: map[*ssa.Function]string{}, foreign: map[types.Type][]*types.Interface{},
		globals: map[*ssa.Global][]ssa.Value{}, globalLoads: map[*ssa.Global][]ssa.Value{}, globalEscapes: map[*ssa.Global]bool{},
		fields: map[*types.Var][]ssa.Value{}, fieldEscapes: map[*types.Var]string{},
		embedded: map[*ssa.Global]string{}, embeddedFS: map[*ssa.Global]map[string]string{},
		callers: map[*ssa.Function]callerSet{},
	}
	prog, roots := ssautil.Packages(pkgs, ssa.InstantiateGenerics)
	p.ssa = prog
	prog.Build()
	for i, root := range roots {
		if root == nil {
			continue
		}
		p.ownTypes[root.Pkg] = true
		p.embeds(pkgs[i], root)
	}
	all := map[*ssa.Function]bool{}
	var add func(fn *ssa.Function)
	add = func(fn *ssa.Function) {
		if fn == nil || all[fn] {
			return
		}
		all[fn] = true
		for _, inner := range fn.AnonFuncs {
			add(inner)
		}
	}
	for fn := range ssautil.AllFunctions(prog) {
		add(fn)
	}
	for _, pkg := range pkgs {
		for _, def := range pkg.TypesInfo.Defs {
			if fn, ok := def.(*types.Func); ok {
				add(prog.FuncValue(fn))
			}
		}
	}
	for fn := range all {
		if len(fn.Blocks) > 0 {
			p.functions = append(p.functions, fn)
		}
	}
	slices.SortFunc(p.functions, func(a, b *ssa.Function) int {
		return cmp.Or(cmp.Compare(p.file(a.Pos()), p.file(b.Pos())), cmp.Compare(a.Pos(), b.Pos()), cmp.Compare(a.String(), b.String()))
	})
	for _, fn := range p.functions {
		p.index(fn)
	}
	return p
}

func (p *program) file(pos token.Pos) string {
	if !pos.IsValid() {
		return ""
	}
	return p.ssa.Fset.Position(pos).Filename
}

// own reports whether a function's source was read.
func (p *program) own(fn *ssa.Function) bool {
	if o := fn.Origin(); o != nil {
		fn = o
	}
	if fn.Pkg != nil {
		return p.ownPackage(fn.Pkg)
	}
	if o := fn.Object(); o != nil && o.Pkg() != nil {
		return p.ownTypes[o.Pkg()]
	}
	// Wrappers belong to nobody; what they call says whose they are.
	return fn.Synthetic != ""
}

func (p *program) ownPackage(pkg *ssa.Package) bool { return pkg != nil && p.ownTypes[pkg.Pkg] }

var decoders = pattern.Lazy(`(?i)unmarshal|decode|scan|load|parse|bind|process|populate|fill|unpack|read|struct`)

func (p *program) index(fn *ssa.Function) {
	if recv := fn.Signature.Recv(); recv != nil && fn.Parent() == nil {
		p.methods[fn.Name()] = append(p.methods[fn.Name()], fn)
	}
	for _, b := range fn.Blocks {
		for _, in := range b.Instrs {
			p.instruction(in)
		}
	}
}

func (p *program) instruction(in ssa.Instruction) {
	var callee ssa.Value
	if c, ok := in.(ssa.CallInstruction); ok {
		common := c.Common()
		switch {
		case common.IsInvoke():
			p.invokes[common.Method.Name()] = append(p.invokes[common.Method.Name()], c)
		case common.StaticCallee() != nil:
			p.calls[common.StaticCallee()] = append(p.calls[common.StaticCallee()], c)
			callee = common.Value
		default:
			if _, builtin := common.Value.(*ssa.Builtin); !builtin {
				p.indirects = append(p.indirects, c)
			}
		}
	}
	switch in := in.(type) {
	case *ssa.Store:
		switch addr := in.Addr.(type) {
		case *ssa.Global:
			p.globals[addr] = append(p.globals[addr], in.Val)
		case *ssa.FieldAddr:
			if v := fieldOf(addr.X.Type(), addr.Field); v != nil {
				p.fields[v] = append(p.fields[v], in.Val)
			}
		}
	case *ssa.UnOp:
		if g, ok := in.X.(*ssa.Global); ok && in.Op == token.MUL {
			p.globalLoads[g] = append(p.globalLoads[g], in)
		}
	case *ssa.FieldAddr:
		p.fieldAddress(in)
	case *ssa.MakeClosure:
		fn := in.Fn.(*ssa.Function)
		p.closures[fn] = append(p.closures[fn], in)
	case *ssa.MakeInterface:
		p.boxed(in)
	}
	var operands [12]*ssa.Value
	for _, op := range in.Operands(operands[:0]) {
		if op == nil || *op == nil {
			continue
		}
		switch v := (*op).(type) {
		case *ssa.Function:
			if v != callee {
				if _, closure := in.(*ssa.MakeClosure); !closure {
					p.take(v, in)
				}
			}
		case *ssa.MakeClosure:
			if v != callee {
				p.take(v.Fn.(*ssa.Function), in)
			}
		case *ssa.Global:
			switch in := in.(type) {
			case *ssa.UnOp:
			case *ssa.Store:
				if in.Addr != v {
					p.globalEscapes[v] = true
				}
			case *ssa.FieldAddr, *ssa.IndexAddr, *ssa.DebugRef:
			default:
				p.globalEscapes[v] = true
			}
		}
	}
}

// take notes that a function is used as a value: calls of function values may then mean it.
func (p *program) take(fn *ssa.Function, in ssa.Instruction) {
	p.taken[fn] = true
	c, ok := in.(ssa.CallInstruction)
	if !ok {
		return
	}
	if to := c.Common().StaticCallee(); to == nil && c.Common().IsInvoke() || to != nil && to.Blocks == nil {
		p.escapes[fn] = "its function is given to code outside of the source"
	}
}

// fieldAddress notes fields that are set otherwise than by an assignment that can be seen.
func (p *program) fieldAddress(in *ssa.FieldAddr) {
	v := fieldOf(in.X.Type(), in.Field)
	if v == nil || in.Referrers() == nil {
		return
	}
	for _, r := range *in.Referrers() {
		switch r := r.(type) {
		case *ssa.Store:
			if r.Addr == in {
				continue
			}
		case *ssa.UnOp, *ssa.DebugRef, *ssa.FieldAddr, *ssa.IndexAddr:
			continue
		case *ssa.Call:
			if fn := r.Call.StaticCallee(); fn != nil && fn.Signature.Recv() != nil && len(r.Call.Args) > 0 && r.Call.Args[0] == ssa.Value(in) {
				continue
			}
		}
		p.fieldEscapes[v] = "is set through a pointer"
	}
}

// boxed notes what becomes of a pointer to a struct in an interface: a decoder fills its fields, and foreign code calls
// its methods.
func (p *program) boxed(in *ssa.MakeInterface) {
	t := in.X.Type()
	iface, ok := in.Type().Underlying().(*types.Interface)
	if ok && iface.NumMethods() > 0 {
		if named, isNamed := in.Type().(*types.Named); isNamed && named.Obj().Pkg() != nil && !p.ownTypes[named.Obj().Pkg()] {
			p.foreign[t] = append(p.foreign[t], iface)
		}
	}
	s, isStruct := deref(t).Underlying().(*types.Struct)
	if _, isPointer := t.Underlying().(*types.Pointer); !isPointer || !isStruct || in.Referrers() == nil {
		return
	}
	for _, r := range *in.Referrers() {
		name := ""
		switch r := r.(type) {
		case *ssa.Call:
			if fn := r.Call.StaticCallee(); fn != nil && !p.own(fn) {
				name = fn.Name()
			} else if r.Call.IsInvoke() {
				name = r.Call.Method.Name()
			}
		case *ssa.Store:
			// An element of a variadic call's list: Scan(&row.A, …) is by address, Decode(&row) is not variadic, but
			// wrappers of it may be.
			continue
		}
		if name != "" && decoders().MatchString(name) {
			p.decoded(s, 0)
		}
	}
}

func (p *program) decoded(s *types.Struct, depth int) {
	for i := range s.NumFields() {
		p.fieldEscapes[s.Field(i).Origin()] = "is filled by a decoder"
		if inner, ok := deref(s.Field(i).Type()).Underlying().(*types.Struct); ok && depth < 5 {
			p.decoded(inner, depth+1)
		}
	}
}

// callersOf gives the calls that may run a function; outside says why there may be more, empty if there are none.
func (p *program) callersOf(fn *ssa.Function) ([]ssa.CallInstruction, string) {
	if set, ok := p.callers[fn]; ok {
		return set.calls, set.outside
	}
	set := callerSet{calls: slices.Clone(p.calls[fn])}
	origin := fn
	if o := fn.Origin(); o != nil {
		origin = o
	}
	recv := fn.Signature.Recv()
	if recv != nil && fn.Synthetic == "" || recv != nil && strings.HasPrefix(fn.Synthetic, "wrapper") {
		for _, c := range p.invokes[fn.Name()] {
			if iface, ok := c.Common().Value.Type().Underlying().(*types.Interface); ok && implements(recv.Type(), iface) {
				set.calls = append(set.calls, c)
			}
		}
		for t, interfaces := range p.foreign {
			if !types.Identical(deref(t), deref(recv.Type())) {
				continue
			}
			for _, iface := range interfaces {
				if ast.IsExported(fn.Name()) && slices.ContainsFunc(slices.Collect(iface.Methods()), func(m *types.Func) bool { return m.Name() == fn.Name() }) {
					set.outside = "its function may be called by code outside of the source, through an interface"
				}
			}
		}
	}
	if p.taken[fn] {
		for _, c := range p.indirects {
			if sig, ok := c.Common().Value.Type().Underlying().(*types.Signature); ok && types.Identical(withoutReceiver(sig), withoutReceiver(fn.Signature)) {
				set.calls = append(set.calls, c)
			}
		}
		if p.escapes[fn] != "" {
			set.outside = p.escapes[fn]
		}
	}
	if !p.isProgram && set.outside == "" && exported(origin) {
		set.outside = "its function is called from outside of the packages that were read"
	}
	p.callers[fn] = set
	return set.calls, set.outside
}

func withoutReceiver(s *types.Signature) *types.Signature {
	return types.NewSignatureType(nil, nil, nil, s.Params(), s.Results(), s.Variadic())
}

func implements(t types.Type, iface *types.Interface) bool {
	if types.Implements(t, iface) {
		return true
	}
	if _, ok := t.Underlying().(*types.Pointer); !ok {
		return types.Implements(types.NewPointer(t), iface)
	}
	return false
}

// exported reports whether code of other modules can call a function.
func exported(fn *ssa.Function) bool {
	o := fn.Object()
	if o == nil || !o.Exported() {
		return false
	}
	return o.Pkg() == nil || o.Pkg().Name() != "main" && !strings.Contains(o.Pkg().Path()+"/", "/internal/") && !strings.HasPrefix(o.Pkg().Path(), "internal/")
}

// methodOf gives a type's method, nil where it has none of this name.
func (p *program) methodOf(t types.Type, name string) *ssa.Function {
	if _, isInterface := t.Underlying().(*types.Interface); isInterface {
		return nil
	}
	sel := types.NewMethodSet(t).Lookup(nil, name)
	if sel == nil {
		return nil
	}
	return p.ssa.MethodValue(sel)
}

// embeds reads what //go:embed puts into a package's variables.
func (p *program) embeds(pkg *packages.Package, root *ssa.Package) {
	for _, file := range pkg.Syntax {
		for _, d := range file.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.VAR {
				continue
			}
			for _, s := range decl.Specs {
				spec, ok := s.(*ast.ValueSpec)
				if !ok || len(spec.Names) != 1 {
					continue
				}
				doc := spec.Doc
				if doc == nil {
					doc = decl.Doc
				}
				if patterns := embedPatterns(doc); len(patterns) > 0 {
					if g, ok := root.Members[spec.Names[0].Name].(*ssa.Global); ok {
						p.embed(g, pkg, patterns)
					}
				}
			}
		}
	}
}

func embedPatterns(doc *ast.CommentGroup) []string {
	if doc == nil {
		return nil
	}
	var out []string
	for _, c := range doc.List {
		if rest, ok := strings.CutPrefix(c.Text, "//go:embed "); ok {
			for _, word := range strings.Fields(rest) {
				out = append(out, strings.TrimPrefix(strings.Trim(word, "\"`"), "all:"))
			}
		}
	}
	return out
}

func (p *program) embed(g *ssa.Global, pkg *packages.Package, patterns []string) {
	dir := pkg.Dir
	if dir == "" && len(pkg.GoFiles) > 0 {
		dir = filepath.Dir(pkg.GoFiles[0])
	}
	files := map[string]string{}
	for _, path := range pkg.EmbedFiles {
		name, err := filepath.Rel(dir, path)
		if err != nil {
			continue
		}
		name = filepath.ToSlash(name)
		for _, pattern := range patterns {
			matched, err := filepath.Match(pattern, name)
			if err == nil && matched || strings.HasPrefix(name, strings.TrimSuffix(pattern, "/")+"/") || underMatch(pattern, name) {
				if text, err := os.ReadFile(path); err == nil { //nolint:gosec // the go command names the file
					files[name] = string(text)
				}
			}
		}
	}
	if len(files) == 0 {
		return
	}
	if isString(deref(g.Type())) || isBytes(deref(g.Type())) {
		for _, text := range files {
			p.embedded[g] = text
		}
		return
	}
	p.embeddedFS[g] = files
}

// underMatch reports whether a directory above the file matches the pattern.
func underMatch(pattern, name string) bool {
	for dir := filepath.Dir(name); dir != "." && dir != "/"; dir = filepath.Dir(dir) {
		if ok, err := filepath.Match(pattern, dir); err == nil && ok {
			return true
		}
	}
	return pattern == "."
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func shortQualifier(p *types.Package) string { return p.Name() }
