package refs

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/go/ssa"

	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// collector turns the calls of a program into what its release may send.
type collector struct {
	*builder
	*evaluator
	// calls are the calls of the source by the place of their parenthesis.
	calls map[token.Pos]callSite
	notes *notes
	// prepared are the names that statements are prepared under.
	prepared map[string]bool
	texts    []foundText
}

// foundText is a statement that is sent, as long as it may still turn out to be the name of a prepared one.
type foundText struct {
	text   string
	params []string
	site   gate.Site
}

// callSite is a call in the syntax, with the statement that it stands in.
type callSite struct {
	call      *ast.CallExpr
	statement ast.Node
	pkg       *packages.Package
}

func newCollector(b *builder, p *program) (*collector, error) {
	c := &collector{
		builder:   b,
		evaluator: &evaluator{program: p, busy: map[busyKey]int{}, memo: map[ssa.Value][]alt{}},
		calls:     map[token.Pos]callSite{},
		prepared:  map[string]bool{},
	}
	for _, pkg := range p.packages {
		for _, file := range pkg.Syntax {
			c.indexCalls(pkg, file)
		}
	}
	var err error
	c.notes, err = readNotes(b, p)
	return c, err
}

func (c *collector) indexCalls(pkg *packages.Package, file *ast.File) {
	var stack []ast.Node
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return true
		}
		stack = append(stack, n)
		if call, ok := n.(*ast.CallExpr); ok {
			var statement ast.Node = call
			for i := len(stack) - 1; i >= 0; i-- {
				switch stack[i].(type) {
				case *ast.BlockStmt, *ast.CaseClause, *ast.CommClause, *ast.FuncLit:
				case ast.Stmt, *ast.ValueSpec:
					statement = stack[i]
				default:
					continue
				}
				break
			}
			site := callSite{call, statement, pkg}
			c.calls[call.Lparen] = site
			for _, s := range stack[max(0, len(stack)-2):] {
				switch s := s.(type) {
				case *ast.GoStmt:
					c.calls[s.Go] = site
				case *ast.DeferStmt:
					c.calls[s.Defer] = site
				}
			}
		}
		return true
	})
}

// collect visits every call.
func (c *collector) collect() {
	step := max(1, len(c.functions)/20)
	for i, fn := range c.functions {
		if i%step == 0 {
			c.options.Progress(fmt.Sprintf("reading functions: %d of %d", i, len(c.functions)))
		}
		// Wrappers have no syntax; the bodies of loops over functions are made by the compiler too, and have one.
		if !c.own(fn) || fn.Syntax() == nil && fn.Origin() == nil && fn.Name() != "init" {
			continue
		}
		if fn.Origin() == nil && fn.TypeParams().Len() > 0 && c.instantiated(fn) {
			// Its instances say more.
			continue
		}
		for _, b := range fn.Blocks {
			for _, in := range b.Instrs {
				switch in := in.(type) {
				case ssa.CallInstruction:
					c.visit(in)
				case *ssa.Store:
					c.clause(in)
				}
			}
		}
		c.valuesOfSinks(fn)
	}
	for _, t := range c.texts {
		if !c.prepared[t.text] {
			c.text(t.text, t.params, t.site)
		}
	}
}

func (c *collector) instantiated(fn *ssa.Function) bool {
	return slices.ContainsFunc(c.methods[fn.Name()], func(m *ssa.Function) bool { return m.Origin() == fn }) ||
		slices.ContainsFunc(c.functions, func(m *ssa.Function) bool { return m.Origin() == fn })
}

// visit judges one call.
func (c *collector) visit(in ssa.CallInstruction) {
	common := in.Common()
	s := c.sinkOf(common)
	if s.kind == noSink {
		return
	}
	args := common.Args
	if fn := common.StaticCallee(); !common.IsInvoke() && fn != nil && fn.Signature.Recv() != nil {
		args = args[1:]
	}
	if common.IsInvoke() {
		args = common.Args
	}
	c.steps, c.uncalled = 0, false
	site := c.site(in)
	if s.kind == statementSink || s.kind == copySink {
		c.counts.Calls++
	}
	if c.settled(in, s, site) {
		return
	}
	switch s.kind {
	case statementSink:
		if s.prepared >= 0 && s.prepared < len(args) {
			for _, a := range c.value(args[s.prepared], nil) {
				if a.known() && a.text() != "" {
					c.prepared[a.text()] = true
				}
			}
		}
		c.statement(in, s, args[s.args[0]], site)
	case copySink:
		c.copied(in, s, args, site)
	case typeSink:
		c.loadedType(in, args, site)
	case pieceSink:
		c.pieces(in, s, args, site)
	}
}

// site gives the place of a call.
func (c *collector) site(in ssa.Instruction) gate.Site {
	pos := in.Pos()
	if !pos.IsValid() {
		pos = in.Parent().Pos()
	}
	if cs, ok := c.calls[pos]; ok {
		pos = cs.call.Lparen
		if sel, ok := ast.Unparen(cs.call.Fun).(*ast.SelectorExpr); ok {
			pos = sel.Sel.Pos()
		}
	}
	return c.position(pos)
}

func (c *collector) position(pos token.Pos) gate.Site {
	at := c.ssa.Fset.Position(pos)
	return gate.Site{File: c.shown(at.Filename), Line: at.Line}
}

// settled applies a comment above the call.
func (c *collector) settled(in ssa.CallInstruction, s sink, site gate.Site) bool {
	done := false
	for _, n := range c.notes.at(c.ssa.Fset, c.calls[in.Pos()], in.Pos()) {
		n.used = true
		switch n.directive {
		case "sql":
			c.text(n.text, nil, site)
		case "ignore":
		default:
			continue
		}
		done = true
		c.acknowledge(evidence.Acknowledgement{Site: site, Directive: n.directive, Text: n.text})
	}
	if done && s.kind != pieceSink {
		c.counts.Acknowledged++
	}
	return done
}

// tablesOf gives the tables that comments above the calls name; nil where there is no such comment.
func (c *collector) tablesOf(site gate.Site, calls ...ssa.CallInstruction) []string {
	var tables []string
	for _, in := range calls {
		if in == nil {
			continue
		}
		for _, n := range c.notes.at(c.ssa.Fset, c.calls[in.Pos()], in.Pos()) {
			if n.directive == "tables" {
				n.used = true
				tables = append(tables, splitTables(n.text)...)
				c.acknowledge(evidence.Acknowledgement{Site: site, Directive: n.directive, Text: n.text})
			}
		}
	}
	slices.Sort(tables)
	return slices.Compact(tables)
}

func splitTables(text string) []string {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// settledAt applies a comment above a caller through which a text came.
func (c *collector) settledAt(call ssa.CallInstruction, site gate.Site) bool {
	done := false
	for _, n := range c.notes.at(c.ssa.Fset, c.calls[call.Pos()], call.Pos()) {
		if n.directive == "tables" {
			continue
		}
		n.used, done = true, true
		if n.directive == "sql" {
			c.text(n.text, nil, site)
		}
		c.acknowledge(evidence.Acknowledgement{Site: site, Directive: n.directive, Text: n.text})
	}
	return done
}

// statement adds the texts of one call.
func (c *collector) statement(in ssa.CallInstruction, s sink, arg ssa.Value, site gate.Site) {
	alts := c.value(arg, nil)
	if len(alts) == 0 {
		if c.uncalled && c.isProgram {
			c.counts.Unused++
			return
		}
		alts = holeOf(evidence.TextHole, "nothing in the source calls its function")
	}
	worst := &c.counts.Exact
	for _, a := range alts {
		at, params := site, c.params(in, s.args[0])
		if a.call != nil {
			at, params = c.site(a.call), c.forwardedParams(in, a.call, s)
			if c.settledAt(a.call, at) {
				continue
			}
		}
		switch c.add(a, params, at, s, in) {
		case evidence.ValueHole:
			if worst == &c.counts.Exact {
				worst = &c.counts.Templates
			}
		case evidence.TextHole:
			worst = &c.counts.Opaque
		}
	}
	*worst++
}

// add adds one text and tells its worst hole: empty for a text without any, value for a template, text for one of which
// nothing is known.
func (c *collector) add(a alt, params []string, site gate.Site, s sink, in ssa.CallInstruction) string {
	if slices.ContainsFunc(a.pieces, func(p piece) bool { return p.hole == builtHole }) {
		// What stands around the builder's text is one more piece.
		a.pieces = slices.DeleteFunc(slices.Clone(a.pieces), func(p piece) bool { return p.hole == builtHole })
		if parts, holes := render(a); len(holes) > 0 || !blank(parts) {
			c.template(&c.m.Fragments, evidence.Template{Parts: parts, Holes: holes, Tables: c.tablesOf(site, in, a.call), Sites: []gate.Site{site}})
		}
		return evidence.ValueHole
	}
	parts, holes := render(a)
	tables := c.tablesOf(site, in, a.call)
	if len(holes) == 0 {
		if text := parts[0]; strings.TrimSpace(text) != "" {
			c.texts = append(c.texts, foundText{normal(text, in), params, site})
		}
		return ""
	}
	if blank(parts) && !slices.Contains(holes, evidence.NameHole) {
		if tables == nil {
			why := a.why
			if why == "" {
				why = "it is made at run time"
			}
			c.opaque(evidence.Opaque{Site: site, Call: s.call, Why: why})
		}
		return evidence.TextHole
	}
	c.template(&c.m.Templates, evidence.Template{Parts: parts, Holes: holes, Tables: tables, Sites: []gate.Site{site}})
	return evidence.ValueHole
}

// blank reports whether the known parts of a text name nothing.
func blank(parts []string) bool {
	return !slices.ContainsFunc(parts, func(p string) bool { return strings.ContainsFunc(p, isLetter) })
}

func isLetter(r rune) bool {
	return r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80
}

// render makes parts and holes of a text: neighbouring pieces join, numbers of parameters become text, and holes in the
// place of a relation or touching letters become names.
func render(a alt) (parts, holes []string) {
	var now strings.Builder
	number := 0
	for _, m := range numbered().FindAllStringSubmatch(a.text(), -1) {
		number = max(number, atoi(m[1]))
	}
	for i, p := range a.pieces {
		if p.hole == "" {
			now.WriteString(p.text)
			continue
		}
		before := now.String()
		hole := p.hole
		switch {
		case hole == evidence.ValueHole && strings.HasSuffix(before, "$"):
			number++
			now.WriteString(strconv.Itoa(number))
			continue
		case hole == evidence.TextHole && namePlace(before, following(a.pieces[i+1:])):
			hole = evidence.NameHole
		case hole == evidence.TextHole && insideString(parts, before):
			hole = evidence.ValueHole
		}
		if before == "" && len(holes) > 0 && holes[len(holes)-1] == hole {
			continue
		}
		parts, holes = append(parts, before), append(holes, hole)
		now.Reset()
	}
	return append(parts, now.String()), holes
}

func following(pieces []piece) string {
	var b strings.Builder
	for _, p := range pieces {
		if p.hole != "" {
			if b.Len() == 0 {
				return "\x00"
			}
			break
		}
		b.WriteString(p.text)
	}
	return b.String()
}

// relationWords are those behind which a relation stands.
var relationWords = nameSet(`from join into update table only truncate using view`) //nolint:gochecknoglobals // a constant table

// clauseWords cannot be a part of a longer name.
var clauseWords = nameSet(`select from where and or order by group having limit offset set values returning on join
	union all insert into update delete with as not in is null asc desc distinct using`) //nolint:gochecknoglobals // a constant table

// namePlace reports whether a hole stands for a relation, or is a part of a name.
func namePlace(before, after string) bool {
	lower := strings.ToLower(before)
	word := lower[strings.LastIndexFunc(lower, func(r rune) bool { return !isLetter(r) && (r < '0' || r > '9') })+1:]
	if word != "" && !clauseWords[word] {
		return true
	}
	if strings.HasSuffix(before, `"`) && strings.HasPrefix(after, `"`) {
		return true
	}
	next := strings.ToLower(after)
	if end := strings.IndexFunc(next, func(r rune) bool { return !isLetter(r) && (r < '0' || r > '9') }); end >= 0 {
		next = next[:end]
	}
	if next != "" && next != "\x00" && !clauseWords[next] {
		return true
	}
	if word != "" || after != "" && !strings.ContainsAny(after[:1], " \t\n(,;.)") {
		return false
	}
	fields := strings.Fields(lower)
	if len(fields) == 0 {
		return false
	}
	last := fields[len(fields)-1]
	return relationWords[last] || strings.HasSuffix(last, ".") && len(fields) > 1 && relationWords[fields[len(fields)-2]]
}

// insideString reports whether a hole stands in a string constant.
func insideString(parts []string, before string) bool {
	return strings.Count(strings.Join(parts, "")+before, "'")%2 == 1
}

// params gives the Go types of a call's parameters.
func (c *collector) params(in ssa.CallInstruction, sqlArg int) []string {
	cs, ok := c.calls[in.Pos()]
	if !ok || cs.call.Ellipsis.IsValid() || namedArguments(in) {
		return nil
	}
	if fn, _ := callee(in.Common()); fn != nil {
		if sig, ok := fn.Type().(*types.Signature); !ok || !sig.Variadic() {
			return nil
		}
	}
	var out []string
	for _, arg := range cs.call.Args[min(sqlArg+1, len(cs.call.Args)):] {
		t := cs.pkg.TypesInfo.Types[arg].Type
		if t == nil {
			return nil
		}
		out = append(out, types.TypeString(types.Default(t), shortQualifier))
	}
	return out
}

// forwardedParams gives the parameters of a caller whose function hands its own variadic parameters on.
func (c *collector) forwardedParams(in, caller ssa.CallInstruction, s sink) []string {
	cs, ok := c.calls[in.Pos()]
	if !ok || !cs.call.Ellipsis.IsValid() || len(cs.call.Args) != s.args[0]+2 {
		return nil
	}
	fn, _ := callee(caller.Common())
	if fn == nil {
		return nil
	}
	sig, ok := fn.Type().(*types.Signature)
	if !ok || !sig.Variadic() || sig.Params().Len() < 2 {
		return nil
	}
	at, ok := c.calls[caller.Pos()]
	if !ok || at.call.Ellipsis.IsValid() {
		return nil
	}
	return c.params(caller, sig.Params().Len()-2)
}

// copied adds the two statements that pgx sends for CopyFrom: the first asks for the columns' types.
func (c *collector) copied(in ssa.CallInstruction, s sink, args []ssa.Value, site gate.Site) {
	var table, columns list
	if strings.HasPrefix(s.call, "pq.") {
		table = c.elementsOfStrings(args[:len(args)-1])
		columns = c.elements(args[len(args)-1], nil)
	} else {
		table = c.elements(args[1], nil)
		columns = c.elements(args[2], nil)
	}
	name := func(l list, sep string) []alt {
		if !l.fixed || l.open != "" || len(l.items) == 0 {
			return holeOf(evidence.NameHole, "")
		}
		quoted := list{fixed: true}
		for _, item := range l.items {
			quoted.items = append(quoted.items, quoteName(item))
		}
		return c.joined(quoted, literal(sep), true)
	}
	worst := &c.counts.Exact
	tables := name(table, ".")
	names := name(columns, ", ")
	texts := slices.Concat(
		cat(cat(literal("select "), names), cat(literal(" from "), tables)),
		cat(cat(literal("copy "), tables), cat(cat(literal(" ( "), names), literal(" ) from stdin binary;"))),
	)
	for _, a := range texts {
		at := site
		if a.call != nil {
			at = c.site(a.call)
		}
		if c.add(a, nil, at, s, in) != "" {
			worst = &c.counts.Templates
		}
	}
	*worst++
}

func (c *collector) elementsOfStrings(values []ssa.Value) list {
	l := list{fixed: true}
	for _, v := range values {
		l.items = append(l.items, c.value(v, nil))
	}
	return l
}

func (c *collector) loadedType(in ssa.CallInstruction, args []ssa.Value, site gate.Site) {
	if len(args) < 2 {
		return
	}
	var alts []alt
	if isString(args[1].Type()) {
		alts = c.value(args[1], nil)
	} else {
		alts = c.union(c.elements(args[1], nil), types.Typ[types.String], "")
	}
	for _, a := range alts {
		c.add(alt{pieces: quoteRegtype(a), call: a.call}, nil, site, sink{kind: statementSink, call: "LoadType"}, in)
	}
}

func quoteRegtype(a alt) []piece {
	return append(append([]piece{{text: "select "}}, quoteText([]alt{a})[0].pieces...), piece{text: "::regtype"})
}

// pieces adds the pieces of a statement that a call gives to a builder.
func (c *collector) pieces(in ssa.CallInstruction, s sink, args []ssa.Value, site gate.Site) {
	c.counts.Pieces++
	known := true
	for n, i := range s.args {
		if i >= len(args) {
			continue
		}
		for _, a := range c.pieceValues(args[i], n == 0) {
			at := site
			if a.call != nil {
				at = c.site(a.call)
				if c.settledAt(a.call, at) {
					continue
				}
			}
			a.pieces = slices.DeleteFunc(slices.Clone(a.pieces), func(p piece) bool { return p.hole == builtHole })
			parts, holes := render(a)
			if len(holes) == 0 && blank(parts) {
				continue
			}
			tables := c.tablesOf(at, in, a.call)
			t := evidence.Template{Parts: parts, Holes: holes, Tables: tables, Sites: []gate.Site{at}}
			if t.Open() {
				known = false
			}
			c.template(&c.m.Fragments, t)
		}
	}
	if known {
		c.counts.PiecesKnown++
	}
}

// pieceValues gives the pieces in one argument. What is no string for sure counts only where its text is known: a
// value is no SQL.
func (c *collector) pieceValues(v ssa.Value, first bool) []alt {
	t := v.Type()
	switch u := t.Underlying().(type) {
	case *types.Basic:
		if isString(t) {
			return c.value(v, nil)
		}
	case *types.Slice:
		l := c.elements(v, nil)
		if isString(u.Elem()) {
			out := c.union(list{items: l.items}, u.Elem(), "")
			if l.open != "" {
				out = append(out, holeOf(evidence.TextHole, l.open)...)
			}
			return out
		}
		if _, isInterface := u.Elem().Underlying().(*types.Interface); isInterface {
			return onlyKnown(c.union(list{items: l.items}, types.Typ[types.String], ""))
		}
	case *types.Map:
		return c.keys(v)
	case *types.Interface:
		switch x := v.(type) {
		case *ssa.MakeInterface:
			if _, isMap := x.X.Type().Underlying().(*types.Map); isMap {
				return c.keys(x.X)
			}
			if isString(x.X.Type()) {
				if first {
					return c.value(x.X, nil)
				}
				return onlyKnown(c.value(x.X, nil))
			}
			if s, ok := x.X.Type().Underlying().(*types.Slice); ok && isString(s.Elem()) {
				return onlyKnown(c.union(c.elements(x.X, nil), s.Elem(), ""))
			}
		case *ssa.Parameter, *ssa.Phi:
			return onlyKnown(c.value(v, nil))
		}
	}
	return nil
}

// keys gives a map's keys, which builders take for columns.
func (c *collector) keys(v ssa.Value) []alt {
	for {
		change, ok := v.(*ssa.ChangeType)
		if !ok {
			break
		}
		v = change.X
	}
	keys, _, ok := c.entries(v)
	var out []alt
	for _, k := range keys {
		if isString(k.Type()) {
			out = append(out, c.value(k, nil)...)
		}
	}
	if !ok && isString(v.Type().Underlying().(*types.Map).Key()) {
		out = append(out, holeOf(evidence.TextHole, "its columns stand in a map that is filled at run time")...)
	}
	return out
}

func onlyKnown(alts []alt) []alt {
	return slices.DeleteFunc(slices.Clone(alts), func(a alt) bool { return !a.known() })
}

// clause takes the strings that are put into GORM's clause structs for pieces.
func (c *collector) clause(in *ssa.Store) {
	addr, ok := in.Addr.(*ssa.FieldAddr)
	if !ok || !isString(in.Val.Type()) {
		return
	}
	named, ok := deref(addr.X.Type()).(*types.Named)
	if !ok || named.Obj().Pkg() == nil || named.Obj().Pkg().Path() != "gorm.io/gorm/clause" {
		return
	}
	site := c.position(in.Pos())
	for _, a := range c.value(in.Val, nil) {
		parts, holes := render(a)
		if len(holes) > 0 || !blank(parts) {
			c.template(&c.m.Fragments, evidence.Template{Parts: parts, Holes: holes, Sites: []gate.Site{site}})
		}
	}
}

// valuesOfSinks finds functions that send SQL and are used as values: what is sent through them is not seen.
func (c *collector) valuesOfSinks(fn *ssa.Function) {
	for _, b := range fn.Blocks {
		for _, in := range b.Instrs {
			var f *ssa.Function
			var refs *[]ssa.Instruction
			switch in := in.(type) {
			case *ssa.MakeClosure:
				f, _ = in.Fn.(*ssa.Function)
				refs = in.Referrers()
			default:
				continue
			}
			if f == nil || !strings.HasPrefix(f.Synthetic, "bound method wrapper") || refs == nil {
				continue
			}
			o, ok := f.Object().(*types.Func)
			if !ok || o.Pkg() == nil || c.ownTypes[o.Pkg()] || !statementNames[o.Name()] {
				continue
			}
			if _, known := libraryOf(o.Pkg().Path()); !known || !hasString(o.Type().(*types.Signature)) {
				continue
			}
			for _, r := range *refs {
				call, isCall := r.(ssa.CallInstruction)
				if isCall && call.Common().Value == in.(ssa.Value) {
					continue
				}
				if _, debug := r.(*ssa.DebugRef); debug {
					continue
				}
				c.counts.Calls++
				c.counts.Opaque++
				c.opaque(evidence.Opaque{Site: c.position(in.Pos()), Call: o.Pkg().Name() + "." + o.Name(), Why: "the function is used as a value"})
				break
			}
		}
	}
}

func hasString(sig *types.Signature) bool {
	for i := range sig.Params().Len() {
		if isString(sig.Params().At(i).Type()) {
			return true
		}
	}
	return false
}
