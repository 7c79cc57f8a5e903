package phases

import (
	"slices"
)

// A history of thousands of migrations leaves a schema of thousands of tables, of which each file touches a few. The others are kept
// as bytes: a tenth of the room, and nothing in them that the garbage collector has to follow.

// maxOpen is how many bodies may be open when a file begins; with more, all that can be packed are.
const maxOpen = 1000

// body is what a relation is made of. It is there after rel.open, until the next file at the earliest.
type body struct {
	columns     []*col
	constraints []*con
	indexes     []*index
	surroundings
}

// surroundings are what few relations have, or what leads to others.
type surroundings struct {
	triggers   []*trigger
	policies   []*policy
	parents    []*rel
	children   []*rel
	key        []string
	bound      *PartitionBound
	foreign    string
	ofType     qname
	owner      string
	grants     map[string][]string
	query      *QueryDef
	options    []string
	reads      []*rel
	readBy     []*rel
	tablespace string
}

func (s *surroundings) empty() bool {
	return s.triggers == nil && s.policies == nil && s.parents == nil && s.children == nil && s.key == nil && s.bound == nil && s.foreign == "" &&
		s.ofType == qname{} && s.owner == "" && s.grants == nil && s.query == nil && s.options == nil && s.reads == nil && s.readBy == nil && s.tablespace == ""
}

// store knows all relations of a catalog by their numbers, and which of their bodies are open.
type store struct {
	relations []*rel
	opened    []*rel
	scratch   packer
	// types are those of the columns, each once; known finds them by their bytes.
	types []*colType
	known map[string]*colType
	// defaults are those that columns share, at most maxShared of them.
	defaults []*Expr
	shared   map[string]int
}

// maxShared bounds what is kept for sharing: most columns have one of a few defaults.
const maxShared = 1000

// colType is a type that columns share. Nobody changes it.
type colType struct {
	TypeName
	id int32
}

// typeOf gives the shared form of a type.
func (s *store) typeOf(t TypeName) *colType {
	p := &s.scratch
	p.reset()
	p.typeName(&t)
	p.flush()
	if found := s.known[string(p.buf)]; found != nil {
		return found
	}
	made := &colType{TypeName: t, id: int32(len(s.types))} //nolint:gosec // a schema has fewer than two billion types
	if s.known == nil {
		s.known = map[string]*colType{}
	}
	s.known[string(p.buf)] = made
	s.types = append(s.types, made)
	return made
}

// add numbers a relation and gives it an empty body.
func (s *store) add(r *rel) *rel {
	r.store, r.id, r.inside = s, int32(len(s.relations)), &body{} //nolint:gosec // a schema has fewer than two billion relations
	s.relations = append(s.relations, r)
	s.opened = append(s.opened, r)
	return r
}

// forget takes a relation out.
func (s *store) forget(r *rel) {
	r.dropped = true
	s.relations[r.id] = nil
}

// rest packs what is open where that is much. Pointers into bodies do not outlive it.
func (s *store) rest() {
	if len(s.opened) <= maxOpen {
		return
	}
	for _, r := range s.opened {
		r.pack()
	}
	clear(s.opened)
	s.opened = s.opened[:0]
}

// open gives the body of the relation, for reading and for writing.
func (r *rel) open() *body {
	if r.inside == nil {
		r.unpack()
		r.store.opened = append(r.store.opened, r)
	}
	return r.inside
}

// pack turns the body into bytes. What belongs to a tree of partitions stays as it is: their indexes lead to each other.
func (r *rel) pack() {
	b := r.inside
	if b == nil || r.dropped || r.partitioned != 0 || len(b.parents)+len(b.children) > 0 {
		return
	}
	r.inside = nil
	if !b.empty() {
		aside := b.surroundings
		r.aside = &aside
	}
	if len(b.columns)+len(b.constraints)+len(b.indexes) == 0 {
		return
	}
	p := &r.store.scratch
	p.reset()
	p.number(len(b.columns))
	for _, k := range b.columns {
		p.column(k, r)
	}
	p.number(len(b.constraints))
	for _, k := range b.constraints {
		p.constraint(k)
	}
	p.number(len(b.indexes))
	for _, i := range b.indexes {
		p.index(i, slices.Index(b.constraints, i.constraint))
	}
	r.packed = p.String()
}

func (r *rel) unpack() {
	b := &body{}
	r.inside = b
	if r.aside != nil {
		b.surroundings = *r.aside
		r.aside = nil
	}
	if r.packed == "" {
		return
	}
	u := &unpacker{text: r.packed}
	r.packed = ""
	columns := make([]col, u.number())
	b.columns = make([]*col, len(columns))
	for i := range columns {
		u.column(&columns[i], r)
		b.columns[i] = &columns[i]
	}
	constraints := make([]con, u.number())
	b.constraints = make([]*con, len(constraints))
	for i := range constraints {
		u.constraint(&constraints[i], r)
		b.constraints[i] = &constraints[i]
	}
	indexes := make([]index, u.number())
	b.indexes = make([]*index, len(indexes))
	for i := range indexes {
		k := u.index(&indexes[i], r)
		b.indexes[i] = &indexes[i]
		if k >= 0 {
			indexes[i].constraint, constraints[k].index = &constraints[k], &indexes[i]
		}
	}
}

// packDefault writes the number of a shared default, or the default itself.
func (s *store) packDefault(p *packer, e *Expr) {
	if e == nil {
		p.number(0)
		return
	}
	var own packer
	own.expression(e)
	own.flush()
	n, ok := s.shared[string(own.buf)]
	if !ok {
		if len(s.defaults) == maxShared {
			p.number(1)
			p.expression(e)
			return
		}
		if s.shared == nil {
			s.shared = map[string]int{}
		}
		n = len(s.defaults)
		s.shared[string(own.buf)] = n
		s.defaults = append(s.defaults, e)
	}
	p.number(n + 2)
}

func (s *store) unpackDefault(u *unpacker) *Expr {
	switch n := u.number(); n {
	case 0:
		return nil
	case 1:
		e := &Expr{}
		u.expression(e)
		return e
	default:
		return s.defaults[n-2]
	}
}

// packer writes values one behind the other. A run of zero bytes, which is what most fields are, is one byte and its length.
type packer struct {
	buf   []byte
	zeros int
}

func (p *packer) reset() { p.buf, p.zeros = p.buf[:0], 0 }

// String gives what was written.
func (p *packer) String() string {
	p.flush()
	return string(p.buf)
}

func (p *packer) flush() {
	for p.zeros > 0 {
		n := min(p.zeros, 255)
		p.buf = append(p.buf, 0, byte(n))
		p.zeros -= n
	}
}

func (p *packer) byte(b byte) {
	if b == 0 {
		p.zeros++
		return
	}
	p.flush()
	p.buf = append(p.buf, b)
}

// number writes an integer of any sign, seven bits at a time.
func (p *packer) number(n int) {
	u := uint64(n)<<1 ^ uint64(n>>63) //nolint:gosec // the sign goes into the lowest bit
	for u >= 0x80 {
		p.byte(byte(u) | 0x80)
		u >>= 7
	}
	p.byte(byte(u))
}

func (p *packer) text(s string) {
	p.number(len(s))
	if s != "" {
		p.flush()
		p.buf = append(p.buf, s...)
	}
}

func (p *packer) texts(list []string) { packList(p, list, func(s *string) { p.text(*s) }) }

// packList writes a list; nil is another than an empty one.
func packList[T any](p *packer, list []T, each func(*T)) {
	if list == nil {
		p.number(0)
		return
	}
	p.number(len(list) + 1)
	for i := range list {
		each(&list[i])
	}
}

func packPointer[T any](p *packer, one *T, each func(*T)) {
	p.flags(one != nil)
	if one != nil {
		each(one)
	}
}

// flags writes up to seven conditions.
func (p *packer) flags(list ...bool) {
	var b byte
	for i, on := range list {
		if on {
			b |= 1 << i
		}
	}
	p.byte(b)
}

func (p *packer) typeName(t *TypeName) {
	p.text(t.Name)
	p.text(t.Schema)
	packList(p, t.Mods, func(n *int) { p.number(*n) })
	p.number(t.Dims)
	p.flags(t.SetOf)
	p.text(t.Like)
}

func (p *packer) object(o *Object) {
	p.text(string(o.Kind))
	p.text(o.Schema)
	p.text(o.Relation)
	p.text(o.Column)
	p.text(o.Name)
}

func (p *packer) call(f *FunctionUse) {
	p.text(f.Schema)
	p.text(f.Name)
	p.number(f.Args)
	p.text(f.Literal)
	p.text(f.Column)
}

func (p *packer) comparison(r *Range) {
	p.text(r.Column)
	p.text(r.Op)
	p.texts(r.Values)
}

func (p *packer) expression(e *Expr) {
	p.flags(e.Constant, e.Null, e.Subquery, e.Stable)
	p.text(e.Literal)
	p.texts(e.Columns)
	packList(p, e.Functions, p.call)
	packList(p, e.Relations, p.object)
	packList(p, e.Types, p.typeName)
	p.texts(e.NotNull)
	p.text(e.Bare)
	packPointer(p, e.Cast, p.typeName)
	packList(p, e.Ranges, p.comparison)
	packList(p, e.Outside, p.comparison)
	p.text(e.Text)
}

func (p *packer) column(k *col, on *rel) {
	p.text(k.name)
	p.number(int(k.born))
	p.flags(k.notNull, k.serial)
	p.number(int(k.typ.id))
	on.store.packDefault(p, k.def)
	p.byte(k.identity)
	p.byte(k.generated)
	packPointer(p, k.expression, p.expression)
	p.text(k.collation)
}

func (p *packer) constraint(k *con) {
	p.text(k.Name)
	p.text(string(k.Type))
	p.texts(k.Columns)
	p.number(int(k.born))
	p.flags(k.valid, k.inherited, k.WithoutOverlaps, k.ref != nil)
	if k.ref != nil {
		p.number(int(k.ref.id))
	}
	packPointer(p, k.Expr, p.expression)
	p.object(&k.Ref)
	p.texts(k.RefColumns)
	p.byte(k.OnDelete)
	p.byte(k.OnUpdate)
	p.flags(k.MatchFull, k.NotValid, k.NotEnforced, k.NoInherit, k.Deferrable, k.NullsNotDistinct)
	p.text(k.Index)
	p.texts(k.Operators)
	p.text(k.Method)
	packPointer(p, k.Where, p.expression)
}

// index writes an index, and the place of its constraint among those of the table; -1 for none.
func (p *packer) index(i *index, constraint int) {
	p.number(constraint + 1)
	p.text(i.Name)
	p.text(i.schema)
	p.number(int(i.born))
	p.flags(i.invalid, i.Unique, i.NullsNotDistinct)
	p.text(i.Method)
	p.texts(i.Columns)
	p.number(i.Keys)
	packList(p, i.Expressions, func(e **Expr) { packPointer(p, *e, p.expression) })
	p.texts(i.Include)
	p.texts(i.OpClasses)
	packPointer(p, i.Where, p.expression)
	p.text(i.Text)
}

// unpacker reads what a packer wrote. Its strings are parts of the text.
type unpacker struct {
	text  string
	zeros int
}

func (u *unpacker) byte() byte {
	if u.zeros > 0 {
		u.zeros--
		return 0
	}
	b := u.text[0]
	if b != 0 {
		u.text = u.text[1:]
		return b
	}
	u.zeros = int(u.text[1]) - 1
	u.text = u.text[2:]
	return 0
}

func (u *unpacker) number() int {
	var n uint64
	for shift := 0; ; shift += 7 {
		b := u.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int(n>>1) ^ -int(n&1) //nolint:gosec // the lowest bit is the sign
		}
	}
}

// born reads a number of a file.
func (u *unpacker) born() int32 { return int32(u.number()) } //nolint:gosec // it was one before

func (u *unpacker) string() string {
	n := u.number()
	s := u.text[:n]
	u.text = u.text[n:]
	return s
}

func (u *unpacker) strings() []string { return unpackList(u, func(s *string) { *s = u.string() }) }

func unpackList[T any](u *unpacker, each func(*T)) []T {
	n := u.number()
	if n == 0 {
		return nil
	}
	out := make([]T, n-1)
	for i := range out {
		each(&out[i])
	}
	return out
}

func unpackPointer[T any](u *unpacker, each func(*T)) *T {
	if !u.flag() {
		return nil
	}
	out := new(T)
	each(out)
	return out
}

func (u *unpacker) flag() bool { return u.byte() != 0 }

func (u *unpacker) flags(list ...*bool) {
	b := u.byte()
	for i, on := range list {
		*on = b&(1<<i) != 0
	}
}

func (u *unpacker) typeName(t *TypeName) {
	t.Name, t.Schema = u.string(), u.string()
	t.Mods = unpackList(u, func(n *int) { *n = u.number() })
	t.Dims, t.SetOf, t.Like = u.number(), u.flag(), u.string()
}

func (u *unpacker) object(o *Object) {
	o.Kind, o.Schema, o.Relation, o.Column, o.Name = ObjectKind(u.string()), u.string(), u.string(), u.string(), u.string()
}

func (u *unpacker) call(f *FunctionUse) {
	f.Schema, f.Name, f.Args, f.Literal, f.Column = u.string(), u.string(), u.number(), u.string(), u.string()
}

func (u *unpacker) comparison(r *Range) {
	r.Column, r.Op, r.Values = u.string(), u.string(), u.strings()
}

func (u *unpacker) expression(e *Expr) {
	u.flags(&e.Constant, &e.Null, &e.Subquery, &e.Stable)
	e.Literal, e.Columns = u.string(), u.strings()
	e.Functions, e.Relations, e.Types = unpackList(u, u.call), unpackList(u, u.object), unpackList(u, u.typeName)
	e.NotNull, e.Bare, e.Cast = u.strings(), u.string(), unpackPointer(u, u.typeName)
	e.Ranges, e.Outside, e.Text = unpackList(u, u.comparison), unpackList(u, u.comparison), u.string()
}

func (u *unpacker) column(k *col, on *rel) {
	k.name, k.born = u.string(), u.born()
	u.flags(&k.notNull, &k.serial)
	k.typ = on.store.types[u.number()]
	k.def = on.store.unpackDefault(u)
	k.identity, k.generated = u.byte(), u.byte()
	k.expression, k.collation = unpackPointer(u, u.expression), u.string()
}

func (u *unpacker) constraint(k *con, on *rel) {
	k.table = on
	k.Name, k.Type, k.Columns, k.born = u.string(), ConstraintType(u.string()), u.strings(), u.born()
	var refers bool
	u.flags(&k.valid, &k.inherited, &k.WithoutOverlaps, &refers)
	if refers {
		k.ref = on.store.relations[u.number()]
	}
	k.Expr = unpackPointer(u, u.expression)
	u.object(&k.Ref)
	k.RefColumns, k.OnDelete, k.OnUpdate = u.strings(), u.byte(), u.byte()
	u.flags(&k.MatchFull, &k.NotValid, &k.NotEnforced, &k.NoInherit, &k.Deferrable, &k.NullsNotDistinct)
	k.Index, k.Operators, k.Method, k.Where = u.string(), u.strings(), u.string(), unpackPointer(u, u.expression)
}

// index reads an index and gives the place of its constraint.
func (u *unpacker) index(i *index, on *rel) int {
	i.table = on
	constraint := u.number() - 1
	i.Name, i.schema, i.born = u.string(), u.string(), u.born()
	u.flags(&i.invalid, &i.Unique, &i.NullsNotDistinct)
	i.Method, i.Columns, i.Keys = u.string(), u.strings(), u.number()
	i.Expressions = unpackList(u, func(e **Expr) { *e = unpackPointer(u, u.expression) })
	i.Include, i.OpClasses = u.strings(), u.strings()
	i.Where, i.Text = unpackPointer(u, u.expression), u.string()
	return constraint
}
