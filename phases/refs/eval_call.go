package refs

import (
	"fmt"
	"go/types"
	"path"
	"strconv"
	"strings"

	"golang.org/x/tools/go/ssa"

	"github.com/bitvault/pawl/phases/evidence"
)

// call gives one of the results of a call.
func (e *evaluator) call(c *ssa.Call, index int, f *frame) []alt {
	t := c.Type()
	if tuple, ok := t.(*types.Tuple); ok {
		t = tuple.At(index).Type()
	}
	if c.Call.IsInvoke() {
		return e.dynamic(c, index, t, f)
	}
	if b, ok := c.Call.Value.(*ssa.Builtin); ok {
		switch b.Name() {
		case "append":
			if isBytes(t) {
				return cat(e.value(c.Call.Args[0], f), e.value(c.Call.Args[1], f))
			}
		case "min", "max":
			if isString(t) {
				var out []alt
				for _, a := range c.Call.Args {
					out = append(out, e.value(a, f)...)
				}
				return out
			}
		}
		return unknown(t, "")
	}
	fn := c.Call.StaticCallee()
	if fn == nil {
		return e.indirect(c, index, t, f)
	}
	if out, ok := e.library(c, fn, index, f); ok {
		return out
	}
	if fn.Blocks != nil && e.own(fn) {
		return e.results(fn, index, &c.Call, f)
	}
	if b, ok := t.Underlying().(*types.Basic); ok && b.Info()&(types.IsNumeric|types.IsBoolean) != 0 {
		return unknown(t, "")
	}
	return unknown(t, "it comes from "+fn.RelString(nil))
}

// indirect is a call of a function value: any function literal that may be meant is followed where they can be told.
func (e *evaluator) indirect(c *ssa.Call, index int, t types.Type, f *frame) []alt {
	var out []alt
	for _, target := range e.targets(c.Call.Value, 0) {
		if target == nil || target.Blocks == nil || !e.own(target) {
			return unknown(t, "it comes from a function value")
		}
		out = append(out, e.results(target, index, &c.Call, f)...)
	}
	if out == nil {
		return unknown(t, "it comes from a function value")
	}
	return out
}

// targets are the functions that a value may be; nil among them is one that is not known.
func (e *evaluator) targets(v ssa.Value, depth int) []*ssa.Function {
	if depth > 6 {
		return []*ssa.Function{nil}
	}
	switch v := v.(type) {
	case *ssa.Function:
		return []*ssa.Function{v}
	case *ssa.MakeClosure:
		return []*ssa.Function{v.Fn.(*ssa.Function)}
	case *ssa.ChangeType:
		return e.targets(v.X, depth+1)
	case *ssa.Phi:
		var out []*ssa.Function
		for _, edge := range v.Edges {
			out = append(out, e.targets(edge, depth+1)...)
		}
		return out
	case *ssa.Parameter:
		calls, outside := e.callersOf(v.Parent())
		if outside != "" || len(calls) == 0 {
			return []*ssa.Function{nil}
		}
		var out []*ssa.Function
		for i, p := range v.Parent().Params {
			if p != v {
				continue
			}
			for _, c := range calls {
				if c.Common().IsInvoke() || i >= len(c.Common().Args) {
					return []*ssa.Function{nil}
				}
				out = append(out, e.targets(c.Common().Args[i], depth+1)...)
			}
		}
		return out
	}
	return []*ssa.Function{nil}
}

// dynamic is a method called through an interface: all implementations in the source are meant.
func (e *evaluator) dynamic(c *ssa.Call, index int, t types.Type, f *frame) []alt {
	iface, ok := c.Call.Value.Type().Underlying().(*types.Interface)
	if !ok {
		return unknown(t, "it comes from a method that is chosen at run time")
	}
	var out []alt
	for _, m := range e.methods[c.Call.Method.Name()] {
		if m.Blocks == nil || !e.own(m) || !types.Implements(m.Signature.Recv().Type(), iface) {
			continue
		}
		out = append(out, e.results(m, index, &ssa.CallCommon{Value: m, Args: append([]ssa.Value{c.Call.Value}, c.Call.Args...)}, f)...)
	}
	if index == 0 && (isBuilder(c.Call.Method) || e.buildersIn(iface)) {
		return append(out, holeOf(builtHole, "")...)
	}
	if out == nil || !e.ownTypes[c.Call.Method.Pkg()] {
		out = append(out, unknown(t, "it comes from method "+c.Call.Method.Name()+" of an interface")...)
	}
	return out
}

// library follows functions of the standard library and of drivers that make texts.
func (e *evaluator) library(c *ssa.Call, fn *ssa.Function, index int, f *frame) ([]alt, bool) {
	args := c.Call.Args
	name := fn.String()
	if o := fn.Origin(); o != nil {
		name = o.String()
	}
	switch name {
	case "fmt.Sprintf", "fmt.Errorf":
		return e.sprintf(e.value(args[0], f), e.elements(args[1], f)), true
	case "fmt.Appendf":
		return cat(e.value(args[0], f), e.sprintf(e.value(args[1], f), e.elements(args[2], f))), true
	case "fmt.Sprint", "fmt.Sprintln":
		l := e.elements(args[0], f)
		if !l.fixed || l.open != "" {
			return holeOf(evidence.TextHole, "it is printed from a list"), true
		}
		out := literal("")
		for i, item := range l.items {
			// Sprint puts spaces only between operands of which neither is a string; a space more does no harm in SQL
			// between words, and would in a name.
			if i > 0 && name == "fmt.Sprintln" {
				out = cat(out, literal(" "))
			}
			out = cat(out, item)
		}
		return out, true
	case "strings.Clone", "(*strings.Builder).String", "(*bytes.Buffer).String", "(*bytes.Buffer).Bytes":
		if name != "strings.Clone" {
			return e.built(args[0], c, f), true
		}
		return e.value(args[0], f), true
	case "strings.TrimSpace", "strings.ToLower", "strings.ToUpper", "bytes.TrimSpace":
		return e.mapped(args[0], f, map[string]func(string) string{
			"strings.TrimSpace": strings.TrimSpace, "strings.ToLower": strings.ToLower, "strings.ToUpper": strings.ToUpper, "bytes.TrimSpace": strings.TrimSpace,
		}[name], strings.Contains(name, "Trim")), true
	case "strings.TrimSuffix", "strings.TrimPrefix", "strings.Trim", "strings.TrimRight", "strings.TrimLeft":
		cut, ok := e.exact(args[1], f)
		if !ok || len(cut) != 1 {
			return holeOf(evidence.TextHole, "what is trimmed from it is not known"), true
		}
		return e.trimmed(args[0], f, strings.TrimPrefix(name, "strings."), cut[0]), true
	case "strings.Repeat":
		return e.repeated(args, f), true
	case "strings.Replace", "strings.ReplaceAll":
		return e.replaced(e.value(args[0], f), e.value(args[1], f), e.value(args[2], f)), true
	case "(*strings.Replacer).Replace":
		return e.replacer(args, f), true
	case "strings.Join":
		return e.joined(e.elements(args[0], f), e.value(args[1], f), false), true
	case "strconv.Itoa", "strconv.FormatInt", "strconv.FormatUint", "strconv.FormatBool", "strconv.FormatFloat":
		if ct, ok := args[0].(*ssa.Const); ok {
			return e.constant(ct), true
		}
		return holeOf(evidence.ValueHole, ""), true
	case "strconv.Quote":
		return quoteName(e.value(args[0], f)), true
	case "cmp.Or":
		return e.union(e.elements(args[0], f), fn.Signature.Results().At(0).Type(), "it is one of a list"), true
	case "os.ReadFile", "(embed.FS).ReadFile", "io/fs.ReadFile":
		if index == 0 {
			return e.readFile(name, args, f), true
		}
		return literal(""), true
	}
	return e.driverText(fn, name, index, args, f)
}

// buildersIn reports whether a query builder can stand in an interface of the source that asks for its text.
func (e *evaluator) buildersIn(iface *types.Interface) bool {
	for m := range iface.Methods() {
		switch m.Name() {
		case "ToSql", "MustSql", "ToSQL":
		default:
			continue
		}
		for _, t := range e.driverTypes() {
			if named, ok := deref(t).(*types.Named); ok && implements(t, iface) {
				if lib, known := libraryOf(named.Obj().Pkg().Path()); known && lib.builder {
					return true
				}
			}
		}
	}
	return false
}

// isBuilder reports whether a method gives the text that a query builder made.
func isBuilder(fn *types.Func) bool {
	if fn.Pkg() == nil {
		return false
	}
	lib, _ := libraryOf(fn.Pkg().Path())
	switch fn.Name() {
	case "ToSql", "MustSql", "ToSQL":
		return lib.builder
	}
	return false
}

// driverText follows functions of drivers that quote names and rewrite placeholders.
func (e *evaluator) driverText(fn *ssa.Function, name string, index int, args []ssa.Value, f *frame) ([]alt, bool) {
	pkg := ""
	if fn.Pkg != nil {
		pkg = fn.Pkg.Pkg.Path()
	} else if o := fn.Object(); o != nil && o.Pkg() != nil {
		pkg = o.Pkg().Path()
	}
	if o, ok := fn.Object().(*types.Func); ok && isBuilder(o) && index == 0 {
		return holeOf(builtHole, ""), true
	}
	switch {
	case strings.HasPrefix(pkg, "github.com/jackc/pgx/") && fn.Name() == "Sanitize" && len(args) == 1:
		l := e.elements(args[0], f)
		quoted := list{fixed: l.fixed && l.open == ""}
		for _, item := range l.items {
			quoted.items = append(quoted.items, quoteName(item))
		}
		if !quoted.fixed {
			return holeOf(evidence.NameHole, ""), true
		}
		return e.joined(quoted, literal("."), true), true
	case fn.Name() == "QuoteIdentifier" && (pkg == "github.com/lib/pq"):
		return quoteName(e.value(args[0], f)), true
	case fn.Name() == "QuoteLiteral" && pkg == "github.com/lib/pq":
		return quoteText(e.value(args[0], f)), true
	case fn.Name() == "Rebind" && strings.HasPrefix(pkg, "github.com/jmoiron/sqlx"):
		return e.value(args[len(args)-1], f), true
	case (fn.Name() == "In" || fn.Name() == "Named" || fn.Name() == "BindNamed") && strings.HasPrefix(pkg, "github.com/jmoiron/sqlx") && index == 0:
		for _, a := range args {
			if isString(a.Type()) {
				return e.value(a, f), true
			}
		}
	}
	_ = name
	return nil, false
}

// mapped applies a function to the known pieces; trims says that it only touches the ends.
func (e *evaluator) mapped(v ssa.Value, f *frame, apply func(string) string, trims bool) []alt {
	var out []alt
	for _, a := range e.value(v, f) {
		switch {
		case a.known():
			a.pieces = literal(apply(a.text()))[0].pieces
		case !trims:
			pieces := make([]piece, len(a.pieces))
			for i, p := range a.pieces {
				pieces[i] = piece{apply(p.text), p.hole}
			}
			a.pieces = pieces
		}
		out = append(out, a)
	}
	return out
}

func (e *evaluator) trimmed(v ssa.Value, f *frame, how, cut string) []alt {
	apply := map[string]func(string, string) string{
		"TrimSuffix": strings.TrimSuffix, "TrimPrefix": strings.TrimPrefix, "Trim": strings.Trim, "TrimRight": strings.TrimRight, "TrimLeft": strings.TrimLeft,
	}[how]
	var out []alt
	for _, a := range e.value(v, f) {
		if a.known() {
			a.pieces = literal(apply(a.text(), cut))[0].pieces
		} else {
			pieces := append([]piece(nil), a.pieces...)
			if last := &pieces[len(pieces)-1]; last.hole == "" && (how == "TrimSuffix" || how == "TrimRight" || how == "Trim") {
				last.text = apply(last.text, cut)
			}
			if first := &pieces[0]; first.hole == "" && (how == "TrimPrefix" || how == "TrimLeft" || how == "Trim") {
				first.text = apply(first.text, cut)
			}
			a.pieces = pieces
		}
		out = append(out, a)
	}
	return out
}

// repeated takes a text once or twice where it is not known how often: what it names is the same.
func (e *evaluator) repeated(args []ssa.Value, f *frame) []alt {
	times := []int{1, 2}
	if c, ok := args[1].(*ssa.Const); ok {
		times = []int{int(min(c.Int64(), 1000))}
	}
	once := e.value(args[0], f)
	var out []alt
	for _, n := range times {
		if len(once) == 1 && once[0].known() {
			out = append(out, literal(strings.Repeat(once[0].text(), n))...)
			continue
		}
		all := literal("")
		for range min(n, 4) {
			all = cat(all, once)
		}
		out = append(out, all...)
	}
	return out
}

func (e *evaluator) replaced(in, from, to []alt) []alt {
	if len(from) != 1 || !from[0].known() {
		return holeOf(evidence.TextHole, "what is replaced in it is not known")
	}
	old := from[0].text()
	var out []alt
	for _, a := range in {
		if old == "" {
			out = append(out, a)
			continue
		}
		now := []alt{{call: a.call, why: a.why}}
		var merged strings.Builder
		flush := func() {
			parts := strings.Split(merged.String(), old)
			merged.Reset()
			for i, part := range parts {
				if i > 0 {
					now = cat(now, to)
				}
				now = cat(now, literal(part))
			}
		}
		for _, p := range a.pieces {
			if p.hole == "" {
				merged.WriteString(p.text)
				continue
			}
			flush()
			now = cat(now, []alt{{pieces: []piece{p}}})
		}
		flush()
		out = append(out, now...)
	}
	return out
}

func (e *evaluator) replacer(args []ssa.Value, f *frame) []alt {
	var made *ssa.Call
	switch v := args[0].(type) {
	case *ssa.Call:
		made = v
	case *ssa.UnOp:
		if g, ok := v.X.(*ssa.Global); ok && len(e.globals[g]) == 1 {
			made, _ = e.globals[g][0].(*ssa.Call)
		}
	}
	if made != nil {
		if fn := made.Call.StaticCallee(); fn != nil && fn.String() == "strings.NewReplacer" {
			l := e.elements(made.Call.Args[0], frameOf(f, made.Parent()))
			if l.fixed && l.open == "" && len(l.items)%2 == 0 {
				out := e.value(args[1], f)
				for i := 0; i < len(l.items); i += 2 {
					out = e.replaced(out, l.items[i], l.items[i+1])
				}
				return out
			}
		}
	}
	return holeOf(evidence.TextHole, "a replacer changes it")
}

// joined puts elements together. Of a list whose length is not known it takes each element once: the text then names
// all that any of the texts names.
func (e *evaluator) joined(l list, sep []alt, all bool) []alt {
	out := literal("")
	for i, item := range l.items {
		if i > 0 {
			out = cat(out, sep)
		}
		if !l.fixed && !all {
			// Each of the texts that an element may be stands in some text of the family.
			for n, a := range item {
				if n > 0 {
					out = cat(out, sep)
				}
				out = cat(out, []alt{a})
			}
			continue
		}
		out = cat(out, item)
	}
	if l.open != "" {
		if len(l.items) > 0 {
			out = cat(out, sep)
		}
		out = cat(out, holeOf(evidence.TextHole, l.open))
	}
	return out
}

// sprintf formats as package fmt does.
func (e *evaluator) sprintf(formats []alt, args list) []alt {
	var out []alt
	for _, format := range formats {
		if !format.known() {
			out = append(out, holeOf(evidence.TextHole, "its format is put together at run time")...)
			continue
		}
		if args.open != "" {
			args.fixed = false
		}
		now := e.format(format.text(), args)
		for i := range now {
			if now[i].call == nil {
				now[i].call = format.call
			}
		}
		out = append(out, now...)
	}
	return out
}

// https://pkg.go.dev/fmt#hdr-Printing: %[argument index][flags][width][.precision]verb
func (e *evaluator) format(format string, args list) []alt {
	now := literal("")
	next := 0
	for {
		text, rest, found := strings.Cut(format, "%")
		now = cat(now, literal(text))
		if !found {
			return now
		}
		i := 0
		plain := true
		for i < len(rest) && !isVerb(rest[i]) {
			switch c := rest[i]; c {
			case '[':
				end := strings.IndexByte(rest[i:], ']')
				if end < 0 {
					return cat(now, holeOf(evidence.TextHole, "its format is malformed"))
				}
				next = atoi(rest[i+1:i+end]) - 1
				i += end
			case '*':
				next++
				plain = false
			default:
				plain = false
			}
			i++
		}
		if i >= len(rest) {
			return now
		}
		verb := rest[i]
		flags := rest[:i]
		format = rest[i+1:]
		if verb == '%' {
			now = cat(now, literal("%"))
			continue
		}
		value := holeOf(evidence.TextHole, "its arguments are a list made at run time")
		if args.fixed && next >= 0 && next < len(args.items) {
			value = args.items[next]
		} else if args.fixed {
			value = literal("%!" + string(verb) + "(MISSING)")
		}
		next++
		now = cat(now, verbValue(verb, plain, flags, value))
	}
}

func isVerb(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '%'
}

func verbValue(verb byte, plain bool, flags string, value []alt) []alt {
	var out []alt
	for _, a := range value {
		switch verb {
		case 'q':
			if a.known() {
				a.pieces = []piece{{text: strconv.Quote(a.text())}}
			} else {
				a = quoteName([]alt{a})[0]
			}
		case 's', 'v', 'd':
			if !plain && a.known() {
				if n, err := strconv.Atoi(a.text()); err == nil && strings.Trim(flags, "0123456789+-# ") == "" && verb != 's' {
					a.pieces = literal(fmt.Sprintf("%"+flags+"d", n))[0].pieces
				}
			}
			if verb == 'd' && !a.known() {
				a.pieces = []piece{{hole: evidence.ValueHole}}
			}
		default:
			a.pieces = []piece{{hole: evidence.ValueHole}}
		}
		out = append(out, a)
	}
	return out
}

// readFile gives the contents of an embedded file. Files of the machine that runs the release are not known.
func (e *evaluator) readFile(name string, args []ssa.Value, f *frame) []alt {
	if name == "os.ReadFile" {
		return holeOf(evidence.TextHole, "it is read from a file at run time")
	}
	fs := args[0]
	if m, ok := fs.(*ssa.MakeInterface); ok {
		fs = m.X
	}
	load, ok := fs.(*ssa.UnOp)
	if !ok {
		return holeOf(evidence.TextHole, "it is read from a file system that is not known")
	}
	g, ok := load.X.(*ssa.Global)
	files := e.embeddedFS[g]
	if !ok || files == nil {
		return holeOf(evidence.TextHole, "it is read from a file system that is not known")
	}
	var out []alt
	for _, a := range e.value(args[1], f) {
		if text, found := files[path.Clean(a.text())]; a.known() && found {
			found := literal(text)
			found[0].call = a.call
			out = append(out, found...)
			continue
		}
		// Which of the files is read is not known: each may be.
		for _, file := range sortedKeys(files) {
			if matchesAlt(a, file) {
				out = append(out, literal(files[file])...)
			}
		}
	}
	return out
}

// matchesAlt reports whether a name may be the text with its holes filled.
func matchesAlt(a alt, name string) bool {
	if a.known() {
		return false
	}
	first, last := a.pieces[0], a.pieces[len(a.pieces)-1]
	return strings.HasPrefix(name, first.text) && strings.HasSuffix(name, last.text)
}

// built follows what is written into a strings.Builder or bytes.Buffer on the ways to a place.
func (e *evaluator) built(receiver ssa.Value, at ssa.Instruction, f *frame) []alt {
	a, ok := receiver.(*ssa.Alloc)
	if !ok || a.Parent() != at.Parent() {
		return holeOf(evidence.TextHole, "it is written into a buffer elsewhere")
	}
	writes := map[*ssa.BasicBlock][]write{}
	if why := e.writesTo(a, at, f, writes); why != "" {
		return holeOf(evidence.TextHole, why)
	}
	for b := range writes {
		slicesSortWrites(writes[b])
	}
	// Walk from the entry to the place; a loop is taken once around.
	type state struct {
		block *ssa.BasicBlock
		sofar string
	}
	seen := map[state]bool{}
	var out []alt
	steps := 0
	var walk func(b *ssa.BasicBlock, visits map[*ssa.BasicBlock]int, now []alt)
	walk = func(b *ssa.BasicBlock, visits map[*ssa.BasicBlock]int, now []alt) {
		steps++
		if steps > 20_000 || visits[b] >= 2 {
			return
		}
		for _, w := range writes[b] {
			if b == at.Block() && w.index >= indexOf(at) {
				break
			}
			if w.reset {
				now = literal("")
				continue
			}
			now = cat(now, w.alts)
		}
		if b == at.Block() {
			out = append(out, now...)
			if visits[b] > 0 {
				return
			}
			for _, w := range writes[b] {
				if w.index >= indexOf(at) {
					if w.reset {
						now = literal("")
					} else {
						now = cat(now, w.alts)
					}
				}
			}
		}
		var key strings.Builder
		for _, x := range now {
			key.WriteString(x.key() + "\x02")
		}
		fmt.Fprint(&key, visits[b])
		s := state{b, key.String()}
		if seen[s] {
			return
		}
		seen[s] = true
		visits[b]++
		for _, next := range b.Succs {
			walk(next, visits, now)
		}
		visits[b]--
	}
	walk(at.Parent().Blocks[0], map[*ssa.BasicBlock]int{}, literal(""))
	if steps > 20_000 {
		return holeOf(evidence.TextHole, "it is written in too many ways")
	}
	return reduce(out)
}

// write is one write into a buffer.
type write struct {
	index int
	alts  []alt
	reset bool
}

func slicesSortWrites(list []write) {
	for i := 1; i < len(list); i++ {
		for j := i; j > 0 && list[j].index < list[j-1].index; j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
}

func indexOf(in ssa.Instruction) int {
	for i, other := range in.Block().Instrs {
		if other == in {
			return i
		}
	}
	return -1
}

// writesTo finds the writes into a buffer; the string says why they are not all known.
func (e *evaluator) writesTo(v ssa.Value, at ssa.Instruction, f *frame, writes map[*ssa.BasicBlock][]write) string {
	inner := frameOf(f, at.Parent())
	for _, r := range *v.Referrers() {
		add := func(w write) {
			w.index = indexOf(r)
			writes[r.Block()] = append(writes[r.Block()], w)
		}
		switch r := r.(type) {
		case *ssa.DebugRef:
		case *ssa.Store:
			if r.Addr != v {
				return "its buffer is kept elsewhere"
			}
		case *ssa.MakeInterface:
			if why := e.writesTo(r, at, f, writes); why != "" {
				return why
			}
		case *ssa.ChangeInterface:
			if why := e.writesTo(r, at, f, writes); why != "" {
				return why
			}
		case *ssa.Call:
			fn := r.Call.StaticCallee()
			if fn == nil {
				return "its buffer is given to a function value"
			}
			args := r.Call.Args
			switch name := fn.String(); name {
			case "(*strings.Builder).WriteString", "(*bytes.Buffer).WriteString", "(*bytes.Buffer).Write", "(*strings.Builder).Write", "io.WriteString":
				add(write{alts: e.value(args[1], inner)})
			case "(*strings.Builder).WriteByte", "(*bytes.Buffer).WriteByte", "(*strings.Builder).WriteRune", "(*bytes.Buffer).WriteRune":
				if c, ok := args[1].(*ssa.Const); ok {
					add(write{alts: literal(string(rune(c.Int64())))})
				} else {
					add(write{alts: holeOf(evidence.TextHole, "a character of it is chosen at run time")})
				}
			case "fmt.Fprintf":
				add(write{alts: e.sprintf(e.value(args[1], inner), e.elements(args[2], inner))})
			case "fmt.Fprint", "fmt.Fprintln":
				l := e.elements(args[1], inner)
				if !l.fixed || l.open != "" {
					add(write{alts: holeOf(evidence.TextHole, "it is printed from a list")})
					continue
				}
				now := literal("")
				for i, item := range l.items {
					if i > 0 && name == "fmt.Fprintln" {
						now = cat(now, literal(" "))
					}
					now = cat(now, item)
				}
				if name == "fmt.Fprintln" {
					now = cat(now, literal("\n"))
				}
				add(write{alts: now})
			case "(*strings.Builder).Reset", "(*bytes.Buffer).Reset":
				add(write{reset: true})
			case "(*strings.Builder).String", "(*bytes.Buffer).String", "(*bytes.Buffer).Bytes", "(*strings.Builder).Len", "(*bytes.Buffer).Len",
				"(*strings.Builder).Grow", "(*bytes.Buffer).Grow", "(*strings.Builder).Cap":
			case "bytes.NewBufferString":
				add(write{alts: e.value(args[0], inner)})
			default:
				add(write{alts: holeOf(evidence.TextHole, "it is written by "+fn.RelString(nil))})
			}
		default:
			return "its buffer is kept elsewhere"
		}
	}
	return ""
}
