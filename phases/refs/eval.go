package refs

import (
	"go/constant"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/ssa"

	"github.com/bitvault/pawl/phases/evidence"
)

// piece is a stretch of a text: known, or a hole of one of the manifest's kinds.
type piece struct {
	text, hole string
}

// builtHole is a text that a query builder makes of the pieces given to it, which are collected where they are given. It
// stands in no manifest.
const builtHole = "built"

// alt is one text that a value may be.
type alt struct {
	pieces []piece
	// call is the call through which the text came into the function that sends it; nil where it was there.
	call ssa.CallInstruction
	// why says of a hole of text what hides it.
	why string
}

const (
	// mostAlts is how many texts of one value are kept as they are; beyond it only so many that every two pieces which
	// can stand in one text do so in one of them. mostCover is how many of these may be left.
	mostAlts  = 48
	mostCover = 160
	// deepest bounds the chain of calls and assignments that is followed.
	deepest = 60
	// mostCallers is how many calls of one function are followed.
	mostCallers = 400
)

func literal(text string) []alt {
	if text == "" {
		return []alt{{}}
	}
	return []alt{{pieces: []piece{{text: text}}}}
}

func holeOf(kind, why string) []alt { return []alt{{pieces: []piece{{hole: kind}}, why: why}} }

// unknown is a value of which only the type is known.
func unknown(t types.Type, why string) []alt {
	if b, ok := t.Underlying().(*types.Basic); ok && b.Info()&(types.IsNumeric|types.IsBoolean) != 0 {
		return holeOf(evidence.ValueHole, why)
	}
	return holeOf(evidence.TextHole, why)
}

func (a alt) known() bool {
	return !slices.ContainsFunc(a.pieces, func(p piece) bool { return p.hole != "" })
}

func (a alt) text() string {
	var b strings.Builder
	for _, p := range a.pieces {
		b.WriteString(p.text)
	}
	return b.String()
}

func (a alt) key() string {
	var b strings.Builder
	for _, p := range a.pieces {
		b.WriteString(p.text)
		if p.hole != "" {
			b.WriteString("\x00" + p.hole + "\x00")
		}
	}
	return b.String()
}

// cat gives all texts that begin with one of the first and go on with one of the second.
func cat(first, second []alt) []alt {
	if len(second) == 1 && len(second[0].pieces) == 0 && second[0].call == nil {
		return first
	}
	out := make([]alt, 0, len(first)*len(second))
	for _, x := range first {
		for _, y := range second {
			both := alt{pieces: slices.Concat(x.pieces, y.pieces), call: carried(x, y), why: x.why}
			if both.call == nil {
				both.call = carried(y, x)
			}
			if both.why == "" {
				both.why = y.why
			}
			out = append(out, both)
		}
	}
	return reduce(out)
}

// carried gives the call through which a part of a text came, if it still stands for the whole: a name that is put into
// a statement does not.
func carried(part, rest alt) ssa.CallInstruction {
	if len(rest.pieces) == 0 || strings.ContainsAny(strings.TrimSpace(part.text()), " \t\n") {
		return part.call
	}
	return nil
}

// reduce drops texts that occur twice, and of too many texts all but a set in which every two pieces that can stand
// in one text stand in one: what a text names, and beside what, is then all still there.
func reduce(alts []alt) []alt {
	type identity struct {
		text string
		call ssa.CallInstruction
	}
	seen := map[identity]bool{}
	alts = slices.DeleteFunc(slices.Clone(alts), func(a alt) bool {
		id := identity{a.key(), a.call}
		defer func() { seen[id] = true }()
		return seen[id]
	})
	if len(alts) <= mostAlts {
		return alts
	}
	type pair struct {
		a, b piece
		call ssa.CallInstruction
	}
	covered := map[pair]bool{}
	slices.SortStableFunc(alts, func(a, b alt) int { return len(b.pieces) - len(a.pieces) })
	var kept []alt
	for _, a := range alts {
		fresh := len(a.pieces) == 0
		for i, x := range a.pieces {
			for _, y := range a.pieces[i:] {
				if p := (pair{x, y, a.call}); !covered[p] {
					covered[p], fresh = true, true
				}
			}
		}
		if fresh {
			kept = append(kept, a)
		}
	}
	if len(kept) > mostCover {
		return append(kept[:mostCover:mostCover], holeOf(evidence.TextHole, "it has too many possible texts")...)
	}
	return kept
}

// frame is a call that the evaluation went into: parameters then have the values of its arguments.
type frame struct {
	call *ssa.CallCommon
	fn   *ssa.Function
	up   *frame
}

// busyKey is a value that is being evaluated.
type busyKey struct {
	value ssa.Value
	frame *frame
}

// evaluator tells what strings a value may be.
type evaluator struct {
	*program
	busy  map[busyKey]int
	depth int
	memo  map[ssa.Value][]alt
	// cut counts evaluations that were cut short by a loop: their results must not be remembered.
	cut int
	// uncalled is set when a value could come only from callers, and there are none.
	uncalled bool
	// dumb are functions without an own frame whose builder is being followed.
	steps int
}

// value gives the texts that a value may be. No text at all means that it has none: the code does not run.
func (e *evaluator) value(v ssa.Value, f *frame) []alt {
	if c, ok := v.(*ssa.Const); ok {
		return e.constant(c)
	}
	if f == nil {
		if known, ok := e.memo[v]; ok {
			return known
		}
	}
	key := busyKey{v, f}
	// A loop is followed once around: what it adds is then seen once and twice, and so is what it names.
	if e.busy[key] >= 2 {
		e.cut++
		return nil
	}
	if e.depth > deepest {
		e.cut++
		return holeOf(evidence.TextHole, "it is put together too far away")
	}
	e.steps++
	if e.steps > 200_000 {
		e.cut++
		return holeOf(evidence.TextHole, "it is put together in too many ways")
	}
	e.busy[key]++
	e.depth++
	before := e.cut
	out := reduce(e.compute(v, f))
	e.depth--
	e.busy[key]--
	if e.busy[key] == 0 {
		delete(e.busy, key)
	}
	if f == nil && (e.cut == before || len(e.busy) == 0) {
		e.memo[v] = out
	}
	return out
}

func (e *evaluator) constant(c *ssa.Const) []alt {
	if c.Value == nil {
		return literal("")
	}
	switch c.Value.Kind() {
	case constant.String:
		return literal(constant.StringVal(c.Value))
	case constant.Int:
		if basic, ok := c.Type().Underlying().(*types.Basic); ok && basic.Kind() == types.UntypedRune {
			return literal(string(rune(c.Int64())))
		}
	}
	return literal(c.Value.ExactString())
}

func (e *evaluator) compute(v ssa.Value, f *frame) []alt {
	switch v := v.(type) {
	case *ssa.BinOp:
		if v.Op == token.ADD && isString(v.Type()) {
			return cat(e.value(v.X, f), e.value(v.Y, f))
		}
		return unknown(v.Type(), "")
	case *ssa.Phi:
		var out []alt
		for _, edge := range v.Edges {
			out = append(out, e.value(edge, f)...)
		}
		return out
	case *ssa.MakeInterface:
		return e.boxed(v.X, f)
	case *ssa.ChangeInterface:
		return e.value(v.X, f)
	case *ssa.ChangeType:
		return e.value(v.X, f)
	case *ssa.TypeAssert:
		if !v.CommaOk {
			return e.value(v.X, f)
		}
	case *ssa.Convert:
		return e.convert(v, f)
	case *ssa.UnOp:
		if v.Op == token.MUL {
			return e.load(v.X, f)
		}
		return unknown(v.Type(), "")
	case *ssa.Field:
		return e.field(fieldOf(v.X.Type(), v.Field), v.Type())
	case *ssa.Index:
		return e.union(e.elements(v.X, f), v.Type(), "it is an element of a list that is made at run time")
	case *ssa.Lookup:
		if isString(v.X.Type()) {
			return unknown(v.Type(), "")
		}
		return e.lookup(v, f)
	case *ssa.Slice:
		return e.substring(v, f)
	case *ssa.Parameter:
		return e.parameter(v, f)
	case *ssa.FreeVar:
		return e.freeVar(v, f)
	case *ssa.Call:
		return e.call(v, 0, f)
	case *ssa.Extract:
		return e.extract(v, f)
	case *ssa.Builtin, *ssa.Function:
		return nil
	}
	return unknown(v.Type(), "it is a "+describe(v))
}

// describe names a kind of value for a message.
func describe(v ssa.Value) string {
	switch v.(type) {
	case *ssa.TypeAssert:
		return "value of a type that is known at run time"
	case *ssa.Next, *ssa.Range:
		return "loop variable"
	}
	return "value made at run time"
}

func isString(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&types.IsString != 0
}

func isInteger(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&types.IsInteger != 0
}

// boxed is a value put into an interface: fmt then asks its String method.
func (e *evaluator) boxed(v ssa.Value, f *frame) []alt {
	if m := e.methodOf(v.Type(), "String"); m != nil && !e.isError(v.Type()) {
		if m.Blocks != nil && e.own(m) {
			if t, ok := v.Type().Underlying().(*types.Basic); ok && t.Info()&types.IsString != 0 || !ok {
				return e.results(m, 0, &ssa.CallCommon{Value: m, Args: []ssa.Value{v}}, f)
			}
		}
		if !isString(v.Type()) {
			return unknown(types.Typ[types.String], "it is the String method of "+types.TypeString(v.Type(), shortQualifier))
		}
	}
	return e.value(v, f)
}

func (e *evaluator) isError(t types.Type) bool {
	return types.Implements(t, types.Universe.Lookup("error").Type().Underlying().(*types.Interface))
}

func (e *evaluator) convert(v *ssa.Convert, f *frame) []alt {
	switch {
	case isString(v.Type()) && isInteger(v.X.Type()):
		if c, ok := v.X.(*ssa.Const); ok {
			return literal(string(rune(c.Int64())))
		}
		return unknown(v.Type(), "it is made from a number")
	case isString(v.Type()) || isString(v.X.Type()) || isBytes(v.Type()):
		return e.value(v.X, f)
	}
	return unknown(v.Type(), "")
}

func isBytes(t types.Type) bool {
	s, ok := t.Underlying().(*types.Slice)
	if !ok {
		return false
	}
	b, ok := s.Elem().Underlying().(*types.Basic)
	return ok && b.Kind() == types.Byte
}

// load gives what may stand at an address.
func (e *evaluator) load(addr ssa.Value, f *frame) []alt {
	switch a := addr.(type) {
	case *ssa.Global:
		return e.global(a)
	case *ssa.FieldAddr:
		return e.field(fieldOf(a.X.Type(), a.Field), deref(a.Type()))
	case *ssa.IndexAddr:
		return e.union(e.elements(a.X, f), deref(a.Type()), "it is an element of a list that is made at run time")
	case *ssa.Alloc, *ssa.FreeVar:
		return e.variable(addr, f)
	}
	return unknown(deref(addr.Type()), "it is read through a pointer")
}

func deref(t types.Type) types.Type {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		return p.Elem()
	}
	return t
}

// variable gives what is assigned to a local variable that closures share or whose address is taken.
func (e *evaluator) variable(addr ssa.Value, f *frame) []alt {
	var out []alt
	stored := false
	for _, place := range e.sharers(addr) {
		if place.Referrers() == nil {
			continue
		}
		for _, r := range *place.Referrers() {
			switch r := r.(type) {
			case *ssa.Store:
				if r.Addr == place {
					stored = true
					out = append(out, e.value(r.Val, frameOf(f, r.Parent()))...)
				} else {
					out = append(out, unknown(deref(addr.Type()), "its address is kept")...)
				}
			case *ssa.UnOp, *ssa.MakeClosure, *ssa.DebugRef, *ssa.FieldAddr, *ssa.IndexAddr:
			default:
				out = append(out, unknown(deref(addr.Type()), "it is set through a pointer")...)
			}
		}
	}
	if !stored && out == nil && isString(deref(addr.Type())) {
		return literal("")
	}
	return out
}

// frameOf keeps a frame only for values of its own function.
func frameOf(f *frame, fn *ssa.Function) *frame {
	if f != nil && f.fn == fn {
		return f
	}
	return nil
}

// sharers are a variable's address in its own function and in the closures that capture it.
func (e *evaluator) sharers(addr ssa.Value) []ssa.Value {
	for {
		fv, ok := addr.(*ssa.FreeVar)
		if !ok {
			break
		}
		bound := e.binding(fv)
		if bound == nil {
			break
		}
		addr = bound
	}
	out := []ssa.Value{addr}
	for i := 0; i < len(out); i++ {
		if out[i].Referrers() == nil {
			continue
		}
		for _, r := range *out[i].Referrers() {
			c, ok := r.(*ssa.MakeClosure)
			if !ok {
				continue
			}
			fn := c.Fn.(*ssa.Function)
			for j, b := range c.Bindings {
				if b == out[i] && !slices.Contains(out, ssa.Value(fn.FreeVars[j])) {
					out = append(out, fn.FreeVars[j])
				}
			}
		}
	}
	return out
}

// binding gives what a closure captured.
func (e *evaluator) binding(v *ssa.FreeVar) ssa.Value {
	fn := v.Parent()
	for _, c := range e.closures[fn] {
		for i, fv := range fn.FreeVars {
			if fv == v {
				return c.Bindings[i]
			}
		}
	}
	return nil
}

func (e *evaluator) freeVar(v *ssa.FreeVar, _ *frame) []alt {
	var out []alt
	fn := v.Parent()
	for _, c := range e.closures[fn] {
		for i, fv := range fn.FreeVars {
			if fv == v {
				out = append(out, e.value(c.Bindings[i], nil)...)
			}
		}
	}
	if out == nil {
		return unknown(v.Type(), "it is captured by a function")
	}
	return out
}

// global gives what a package variable may hold.
func (e *evaluator) global(g *ssa.Global) []alt {
	if text, ok := e.embedded[g]; ok {
		return literal(text)
	}
	t := deref(g.Type())
	if !e.ownPackage(g.Pkg) {
		return unknown(t, "it is a variable of "+g.Pkg.Pkg.Path())
	}
	var out []alt
	for _, s := range e.globals[g] {
		out = append(out, e.value(s, nil)...)
	}
	if e.globalEscapes[g] {
		out = append(out, unknown(t, "variable "+g.Name()+" is set through a pointer")...)
	}
	if out == nil {
		// The zero value: nothing in the source gives it another, except the linker.
		return append(literal(""), unknown(t, "variable "+g.Name()+" is not set in the source")...)
	}
	return out
}

// field gives what a struct's field may hold in any value of the struct.
func (e *evaluator) field(v *types.Var, t types.Type) []alt {
	if v == nil {
		return unknown(t, "it is a field of a struct")
	}
	var out []alt
	for _, s := range e.fields[v] {
		out = append(out, e.value(s, nil)...)
	}
	if reason := e.fieldEscapes[v]; reason != "" {
		out = append(out, unknown(t, "field "+v.Name()+" "+reason)...)
	}
	if !e.ownTypes[v.Pkg()] {
		out = append(out, unknown(t, "it is a field of "+v.Pkg().Path())...)
	}
	if out == nil {
		return append(literal(""), unknown(t, "field "+v.Name()+" is not set in the source")...)
	}
	return out
}

func fieldOf(t types.Type, index int) *types.Var {
	s, ok := deref(t).Underlying().(*types.Struct)
	if !ok || index >= s.NumFields() {
		return nil
	}
	return s.Field(index).Origin()
}

// parameter gives the arguments of the calls of a function.
func (e *evaluator) parameter(p *ssa.Parameter, f *frame) []alt {
	fn := p.Parent()
	index := slices.Index(fn.Params, p)
	if f != nil && f.fn == fn {
		if args := f.call.Args; index < len(args) && !f.call.IsInvoke() {
			return e.value(args[index], f.up)
		} else if index > 0 && index-1 < len(args) {
			return e.value(args[index-1], f.up)
		}
		return unknown(p.Type(), "")
	}
	calls, outside := e.callersOf(fn)
	var out []alt
	if len(calls) > mostCallers {
		return unknown(p.Type(), "its function is called at too many places")
	}
	for _, c := range calls {
		args := c.Common().Args
		i := index
		if c.Common().IsInvoke() && fn.Signature.Recv() != nil {
			i--
		} else if fn.Signature.Recv() == nil && fn.Synthetic != "" && len(fn.Params) > len(args) {
			i--
		}
		if i < 0 || i >= len(args) {
			out = append(out, unknown(p.Type(), "")...)
			continue
		}
		for _, a := range e.value(args[i], nil) {
			if a.call == nil && c.Parent() != nil && c.Parent().Synthetic == "" {
				a.call = c
			}
			out = append(out, a)
		}
	}
	if outside != "" {
		out = append(out, unknown(p.Type(), outside)...)
	}
	if out == nil && len(calls) == 0 {
		e.uncalled = true
		e.cut++
	}
	return out
}

func (e *evaluator) extract(v *ssa.Extract, f *frame) []alt {
	switch t := v.Tuple.(type) {
	case *ssa.Call:
		return e.call(t, v.Index, f)
	case *ssa.Lookup:
		if v.Index == 0 {
			return e.lookup(t, f)
		}
	case *ssa.TypeAssert:
		if v.Index == 0 {
			return append(e.value(t.X, f), literal("")...)
		}
	case *ssa.Next:
		if r, ok := t.Iter.(*ssa.Range); ok && !t.IsString {
			keys, values, ok := e.entries(r.X)
			if list := map[int][]ssa.Value{1: keys, 2: values}[v.Index]; ok && list != nil {
				var out []alt
				for _, x := range list {
					out = append(out, e.value(x, nil)...)
				}
				return out
			}
		}
	}
	return unknown(v.Type(), "it is a "+describe(v.Tuple))
}

// lookup gives the values of a map.
func (e *evaluator) lookup(v *ssa.Lookup, _ *frame) []alt {
	_, values, ok := e.entries(v.X)
	if !ok {
		return unknown(v.X.Type().Underlying().(*types.Map).Elem(), "it stands in a map that is filled at run time")
	}
	out := literal("")
	for _, x := range values {
		out = append(out, e.value(x, nil)...)
	}
	return out
}

// entries gives the keys and values put into a map anywhere; ok is false where others may be put into it.
func (e *evaluator) entries(m ssa.Value) (keys, values []ssa.Value, ok bool) {
	seen := map[ssa.Value]bool{}
	ok = true
	var visit func(v ssa.Value)
	updates := func(v ssa.Value) {
		if v.Referrers() == nil {
			return
		}
		for _, r := range *v.Referrers() {
			switch r := r.(type) {
			case *ssa.MapUpdate:
				if r.Map == v {
					keys, values = append(keys, r.Key), append(values, r.Value)
				}
			case *ssa.Lookup, *ssa.Range, *ssa.DebugRef, *ssa.Store, *ssa.Phi, *ssa.UnOp, *ssa.MakeInterface, *ssa.ChangeType:
			case *ssa.Call:
				if b, is := r.Call.Value.(*ssa.Builtin); !is || b.Name() != "len" && b.Name() != "delete" {
					ok = false
				}
			default:
				ok = false
			}
		}
	}
	visit = func(v ssa.Value) {
		if seen[v] {
			return
		}
		seen[v] = true
		switch v := v.(type) {
		case *ssa.MakeMap:
			updates(v)
		case *ssa.Const:
		case *ssa.Phi:
			for _, edge := range v.Edges {
				visit(edge)
			}
			updates(v)
		case *ssa.ChangeType:
			visit(v.X)
		case *ssa.UnOp:
			g, isGlobal := v.X.(*ssa.Global)
			if !isGlobal || e.globalEscapes[g] || !e.ownPackage(g.Pkg) {
				ok = false
				return
			}
			for _, s := range e.globals[g] {
				visit(s)
			}
			for _, l := range e.globalLoads[g] {
				updates(l)
			}
		default:
			ok = false
		}
	}
	visit(m)
	return keys, values, ok
}

// list is what is known of a slice's elements.
type list struct {
	// items are the elements in order; where fixed is false, any number of them in any order.
	items [][]alt
	fixed bool
	// open says why there may be elements that are not among items; empty if there are none.
	open string
}

// union gives what one element may be.
func (e *evaluator) union(l list, t types.Type, why string) []alt {
	var out []alt
	for _, item := range l.items {
		out = append(out, item...)
	}
	if l.open != "" {
		out = append(out, unknown(t, why)...)
	}
	return reduce(out)
}

// elements gives what is known of the elements of a slice or an array.
func (e *evaluator) elements(v ssa.Value, f *frame) list {
	key := busyKey{v, f}
	if e.busy[key] >= 1 {
		e.cut++
		return list{fixed: true}
	}
	if e.depth > deepest {
		return list{open: "it is put together too far away"}
	}
	e.busy[key]++
	e.depth++
	defer func() {
		e.depth--
		e.busy[key]--
		if e.busy[key] == 0 {
			delete(e.busy, key)
		}
	}()
	l := e.computeElements(v, f)
	// Elements that are assigned by index come on top.
	if _, isAlloc := v.(*ssa.Alloc); !isAlloc && v.Referrers() != nil {
		for _, r := range *v.Referrers() {
			if ia, ok := r.(*ssa.IndexAddr); ok && ia.X == v {
				for _, s := range storesTo(ia) {
					l.fixed = false
					l.items = append(l.items, e.value(s, frameOf(f, ia.Parent())))
				}
			}
		}
	}
	return l
}

func storesTo(addr ssa.Value) []ssa.Value {
	var out []ssa.Value
	if addr.Referrers() != nil {
		for _, r := range *addr.Referrers() {
			if s, ok := r.(*ssa.Store); ok && s.Addr == addr {
				out = append(out, s.Val)
			}
		}
	}
	return out
}

func (e *evaluator) computeElements(v ssa.Value, f *frame) list {
	switch v := v.(type) {
	case *ssa.Const:
		return list{fixed: true}
	case *ssa.ChangeType:
		return e.elements(v.X, f)
	case *ssa.MakeInterface:
		return e.elements(v.X, f)
	case *ssa.Convert:
		return e.elements(v.X, f)
	case *ssa.Slice:
		if a, ok := v.X.(*ssa.Alloc); ok {
			l := e.array(a, f)
			if v.Low != nil || v.High != nil && !isFullHigh(v, a) {
				l.fixed = false
			}
			return l
		}
		l := e.elements(v.X, f)
		if v.Low != nil || v.High != nil {
			l.fixed = false
		}
		return l
	case *ssa.Alloc:
		return e.array(v, f)
	case *ssa.MakeSlice:
		if c, ok := v.Len.(*ssa.Const); ok && c.Int64() == 0 {
			return list{fixed: true}
		}
		return list{}
	case *ssa.Phi:
		out := list{}
		for i, edge := range v.Edges {
			l := e.elements(edge, f)
			out.items = append(out.items, l.items...)
			out.open += l.open
			_ = i
		}
		out.items = distinct(out.items)
		return out
	case *ssa.Parameter:
		return e.parameterElements(v, f)
	case *ssa.UnOp:
		if v.Op == token.MUL {
			return e.loadElements(v.X, f)
		}
	case *ssa.Call:
		return e.callElements(v, 0, f)
	case *ssa.Extract:
		if c, ok := v.Tuple.(*ssa.Call); ok {
			return e.callElements(c, v.Index, f)
		}
	case *ssa.FreeVar:
		out := list{}
		for _, c := range e.closures[v.Parent()] {
			for i, fv := range v.Parent().FreeVars {
				if fv == v {
					out = merge(out, e.elements(c.Bindings[i], nil))
				}
			}
		}
		return out
	case *ssa.Field:
		return e.fieldElements(fieldOf(v.X.Type(), v.Field))
	}
	return list{open: "it is a list made at run time"}
}

// isFullHigh reports whether a slice of an array goes to the array's end.
func isFullHigh(s *ssa.Slice, a *ssa.Alloc) bool {
	arr, ok := deref(a.Type()).Underlying().(*types.Array)
	c, isConst := s.High.(*ssa.Const)
	return ok && isConst && c.Int64() == arr.Len()
}

func distinct(items [][]alt) [][]alt {
	seen := map[string]bool{}
	var out [][]alt
	for _, item := range items {
		var key strings.Builder
		for _, a := range item {
			key.WriteString(a.key() + "\x01")
		}
		if !seen[key.String()] {
			seen[key.String()] = true
			out = append(out, item)
		}
	}
	return out
}

func merge(a, b list) list {
	if a.items == nil && a.open == "" {
		return b
	}
	return list{items: distinct(slices.Concat(a.items, b.items)), open: a.open + b.open}
}

func (e *evaluator) array(a *ssa.Alloc, f *frame) list {
	at := map[int64]ssa.Value{}
	out := list{fixed: true}
	for _, r := range *a.Referrers() {
		switch r := r.(type) {
		case *ssa.IndexAddr:
			c, isConst := r.Index.(*ssa.Const)
			for _, s := range storesTo(r) {
				if !isConst || at[c.Int64()] != nil {
					out.fixed = false
					out.items = append(out.items, e.value(s, frameOf(f, r.Parent())))
					continue
				}
				at[c.Int64()] = s
			}
		case *ssa.Store:
			if r.Addr == a {
				out = merge(out, e.elements(r.Val, frameOf(f, r.Parent())))
			}
		}
	}
	indexes := slices.Sorted(maps.Keys(at))
	for n, i := range indexes {
		if int64(n) != i {
			out.fixed = false
		}
		out.items = append(out.items, e.value(at[i], frameOf(f, a.Parent())))
	}
	return out
}

func (e *evaluator) loadElements(addr ssa.Value, f *frame) list {
	var stores []ssa.Value
	out := list{}
	switch a := addr.(type) {
	case *ssa.Global:
		if !e.ownPackage(a.Pkg) || e.globalEscapes[a] {
			out.open = "variable " + a.Name() + " is set elsewhere"
		}
		stores = e.globals[a]
		f = nil
	case *ssa.FieldAddr:
		return e.fieldElements(fieldOf(a.X.Type(), a.Field))
	case *ssa.Alloc, *ssa.FreeVar:
		if alloc, ok := a.(*ssa.Alloc); ok {
			if _, isArray := deref(alloc.Type()).Underlying().(*types.Array); isArray {
				return e.array(alloc, f)
			}
		}
		for _, place := range e.sharers(addr) {
			for _, s := range storesTo(place) {
				out = merge(out, e.elements(s, nil))
			}
		}
		if out.items == nil && out.open == "" {
			out.fixed = true
		}
		return out
	default:
		return list{open: "it is a list read through a pointer"}
	}
	for _, s := range stores {
		l := e.elements(s, f)
		if len(stores) == 1 && out.open == "" {
			return l
		}
		out = merge(out, l)
	}
	return out
}

func (e *evaluator) fieldElements(v *types.Var) list {
	if v == nil {
		return list{open: "it is a list in a struct"}
	}
	out := list{}
	for i, s := range e.fields[v] {
		if i == 0 {
			out = e.elements(s, nil)
			continue
		}
		out = merge(out, e.elements(s, nil))
	}
	if e.fieldEscapes[v] != "" || !e.ownTypes[v.Pkg()] {
		out.open, out.fixed = "field "+v.Name()+" is set elsewhere", false
	}
	return out
}

func (e *evaluator) parameterElements(p *ssa.Parameter, f *frame) list {
	fn := p.Parent()
	index := slices.Index(fn.Params, p)
	if f != nil && f.fn == fn {
		if args := f.call.Args; index < len(args) {
			return e.elements(args[index], f.up)
		}
		return list{open: "it is a parameter"}
	}
	calls, outside := e.callersOf(fn)
	out := list{open: outside}
	for n, c := range calls {
		args := c.Common().Args
		i := index
		if c.Common().IsInvoke() && fn.Signature.Recv() != nil {
			i--
		}
		if i < 0 || i >= len(args) {
			out.open = "it is a parameter"
			continue
		}
		l := e.elements(args[i], nil)
		if n == 0 && out.open == "" && len(calls) == 1 {
			return l
		}
		out = merge(out, l)
	}
	return out
}

func (e *evaluator) callElements(c *ssa.Call, index int, f *frame) list {
	if b, ok := c.Call.Value.(*ssa.Builtin); ok && b.Name() == "append" {
		first, second := e.elements(c.Call.Args[0], f), e.elements(c.Call.Args[1], f)
		out := list{items: slices.Concat(first.items, second.items), fixed: first.fixed && second.fixed, open: first.open + second.open}
		if !out.fixed {
			out.items = distinct(out.items)
		}
		return out
	}
	fn := c.Call.StaticCallee()
	if fn == nil {
		return list{open: "it is a list from a call"}
	}
	switch name := fn.String(); {
	case name == "strings.Split" || name == "strings.Fields":
		args := c.Call.Args
		texts, ok := e.exact(args[0], f)
		sep := []string{" "}
		if len(args) > 1 {
			sep, ok = e.exactAnd(args[1], f, ok)
		}
		if ok && len(texts) == 1 && len(sep) == 1 {
			out := list{fixed: true}
			parts := strings.Split(texts[0], sep[0])
			if len(args) == 1 {
				parts = strings.Fields(texts[0])
			}
			for _, part := range parts {
				out.items = append(out.items, literal(part))
			}
			return out
		}
	case strings.HasPrefix(name, "slices.Sorted") || strings.HasPrefix(name, "slices.Clone") || strings.HasPrefix(name, "slices.Compact"):
		l := e.elements(c.Call.Args[0], f)
		l.fixed = l.fixed && strings.HasPrefix(name, "slices.Clone")
		return l
	case strings.HasPrefix(name, "slices.Concat"):
		return list{open: "it is a list of lists"}
	}
	if fn.Blocks == nil || !e.own(fn) {
		return list{open: "it is a list from " + fn.String()}
	}
	out := list{}
	inner := &frame{&c.Call, fn, f}
	returns := returnsOf(fn)
	for _, r := range returns {
		if index < len(r.Results) {
			l := e.elements(r.Results[index], inner)
			if len(returns) == 1 {
				return l
			}
			out = merge(out, l)
		}
	}
	return out
}

// exact gives the texts of a value if all of them are known.
func (e *evaluator) exact(v ssa.Value, f *frame) ([]string, bool) {
	var out []string
	for _, a := range e.value(v, f) {
		if !a.known() {
			return nil, false
		}
		out = append(out, a.text())
	}
	return out, len(out) > 0
}

func (e *evaluator) exactAnd(v ssa.Value, f *frame, ok bool) ([]string, bool) {
	texts, known := e.exact(v, f)
	return texts, known && ok
}

// substring follows the slicing of strings as far as it serves to cut a known end off.
func (e *evaluator) substring(v *ssa.Slice, f *frame) []alt {
	if !isString(v.X.Type()) && !isBytes(v.X.Type()) {
		return unknown(v.Type(), "")
	}
	alts := e.value(v.X, f)
	if v.Low == nil && v.High == nil {
		return alts
	}
	var low, cut int64
	if c, ok := v.Low.(*ssa.Const); ok {
		low = c.Int64()
	} else if v.Low != nil {
		return unknown(types.Typ[types.String], "it is cut out of another text")
	}
	high := int64(-1)
	switch h := v.High.(type) {
	case nil:
	case *ssa.Const:
		high = h.Int64()
	case *ssa.BinOp:
		c, ok := h.Y.(*ssa.Const)
		if h.Op != token.SUB || !ok || !isLenOf(h.X) {
			return unknown(types.Typ[types.String], "it is cut out of another text")
		}
		cut = c.Int64()
	default:
		return unknown(types.Typ[types.String], "it is cut out of another text")
	}
	var out []alt
	for _, a := range alts {
		if a.known() {
			text := a.text()
			end := int64(len(text)) - cut
			if high >= 0 {
				end = min(high, end)
			}
			if low <= end {
				a.pieces = literal(text[low:end])[0].pieces
				out = append(out, a)
			}
			continue
		}
		last := len(a.pieces) - 1
		if low != 0 || high >= 0 || a.pieces[last].hole != "" || int64(len(a.pieces[last].text)) < cut {
			out = append(out, unknown(types.Typ[types.String], "it is cut out of another text")...)
			continue
		}
		a.pieces = slices.Clone(a.pieces)
		a.pieces[last].text = a.pieces[last].text[:int64(len(a.pieces[last].text))-cut]
		out = append(out, a)
	}
	return out
}

func isLenOf(v ssa.Value) bool {
	c, ok := v.(*ssa.Call)
	if !ok {
		return false
	}
	b, ok := c.Call.Value.(*ssa.Builtin)
	return ok && b.Name() == "len"
}

// results gives what a function returns, called in the way given.
func (e *evaluator) results(fn *ssa.Function, index int, call *ssa.CallCommon, up *frame) []alt {
	inner := &frame{call, fn, up}
	for at := up; at != nil; at = at.up {
		if at.fn == fn && at.call == call {
			e.cut++
			return nil
		}
	}
	var out []alt
	for _, r := range returnsOf(fn) {
		if index < len(r.Results) {
			out = append(out, e.value(r.Results[index], inner)...)
		}
	}
	return out
}

func returnsOf(fn *ssa.Function) []*ssa.Return {
	var out []*ssa.Return
	for _, b := range fn.Blocks {
		if len(b.Instrs) == 0 {
			continue
		}
		if r, ok := b.Instrs[len(b.Instrs)-1].(*ssa.Return); ok {
			out = append(out, r)
		}
	}
	return out
}

// quoteName puts an identifier into double quotes as pgx.Identifier does.
func quoteName(alts []alt) []alt {
	var out []alt
	for _, a := range alts {
		if a.known() {
			a.pieces = []piece{{text: `"` + strings.ReplaceAll(a.text(), `"`, `""`) + `"`}}
			out = append(out, a)
			continue
		}
		named := make([]piece, 0, len(a.pieces)+2)
		named = append(named, piece{text: `"`})
		for _, p := range a.pieces {
			if p.hole != "" {
				p.hole = evidence.NameHole
			}
			named = append(named, p)
		}
		a.pieces = append(named, piece{text: `"`})
		out = append(out, a)
	}
	return out
}

// quoteText puts a text into single quotes.
func quoteText(alts []alt) []alt {
	var out []alt
	for _, a := range alts {
		quoted := []piece{{text: "'"}}
		for _, p := range a.pieces {
			if p.hole != "" {
				p.hole = evidence.ValueHole
			}
			p.text = strings.ReplaceAll(p.text, "'", "''")
			quoted = append(quoted, p)
		}
		a.pieces = append(quoted, piece{text: "'"})
		out = append(out, a)
	}
	return out
}

// atoi reads a number; 0 where it is none.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
