package phases

import (
	"cmp"
	"slices"
	"strings"
)

// Catalog is the schema as earlier migrations left it, as far as pawl could follow them. The zero Catalog is not
// usable; NewCatalog makes an empty one.
type Catalog struct {
	// Version is the PostgreSQL major that statements are judged for.
	Version int
	// Incomplete is true once something was applied that could not be followed; the stricter reading then holds.
	Incomplete bool

	kinds        map[Kind]*Descriptor
	schemas      map[string]bool
	schemaBorn   map[string]int32
	defaultPath  []string
	relations    map[qname]*rel
	indexOf      map[qname]*rel // to the table of each index
	store        *store
	types        map[qname]*typ
	functions    map[qname][]*function
	extensions   map[string]string
	publications map[string]*publication
	roles        map[string]bool
	statistics   map[string]*rel
	prepared     map[string][]Operation
	others       map[Object]bool
	servers      map[string]string // to the foreign data wrapper of each
	// session holds what SET made; local what a COMMIT or ROLLBACK brings back after SET LOCAL, nil where there is none.
	session
	local *session
	// filled are the tables that the file at hand brought rows into.
	filled map[*rel]bool

	// step counts the files; an object is new to a statement when it was born in mark or later.
	step   int32
	mark   int32
	marked bool
	// touched counts the objects ever made, and the schemas known to be bare: an empty catalog knows nothing about the database.
	touched int
	// see is told of each operation before it is applied; nil for nobody.
	see   func(*AssessedOperation)
	depth int
	// budget is how many more operations the bodies that a statement runs may have.
	budget int
	idle   []*judgement
	// suffixes are the numbers that chosen names ended in last.
	suffixes map[string]int
	gone     []lost
}

// rel is a table, view, materialized view, sequence or composite type's relation. What it is made of stands in its body.
type rel struct {
	schema, name string
	kind         ObjectKind
	// store keeps the bodies; id is the relation's number there.
	store  *store
	inside *body
	// packed is the body while nothing asks for it, and aside what of it is not packed; nil for nothing.
	packed string
	aside  *surroundings
	// referrers are the relations with a foreign key that refers to this one, each once.
	referrers []*rel
	// sequences are those that columns of the relation own; ownerTable and ownerColumn are the way back.
	sequences   []*rel
	ownerTable  *rel
	ownerColumn string
	id          int32
	born        int32
	partitioned byte
	identity    byte
	temporary   bool
	unlogged    bool
	rls, force  bool
	unfollowed  bool
	// identified is set where REPLICA IDENTITY names an index or FULL, nothing where it says NOTHING.
	identified, nothing bool
	dropped             bool
}

type col struct {
	name       string
	typ        *colType
	def        *Expr
	expression *Expr
	collation  string
	born       int32
	identity   byte
	generated  byte
	notNull    bool
	serial     bool
}

type con struct {
	ConstraintDef
	table *rel
	ref   *rel
	valid bool
	index *index
	born  int32
	// inherited constraints hang on the parent's.
	inherited bool
}

type index struct {
	IndexDef
	schema     string
	table      *rel
	born       int32
	constraint *con
	parent     *index
	invalid    bool
}

type trigger struct {
	TriggerDef
	name     string
	rule     bool
	disabled bool
	born     int32
}

type policy struct {
	PolicyDef
	name string
	born int32
}

type typ struct {
	schema, name string
	TypeDef
	born int32
}

type function struct {
	schema, name string
	FunctionDef
	born  int32
	owner string
}

type publication struct {
	name    string
	all     bool
	schemas []string
	tables  []*rel
	publish string
	born    int32
}

// lost is an object that an operation of the file took away, kept to see whether the file puts it back.
type lost struct {
	op     op
	object Object
	shape  *rel
	fn     *function
	con    *con
}

// op tells an operation of a file from the others.
type op struct {
	span Span
	kind Kind
	on   Object
}

// NewCatalog gives the catalog of an empty database of the given PostgreSQL major; 0 means the oldest supported, 14.
func NewCatalog(version int) *Catalog {
	if version == 0 {
		version = 14
	}
	c := &Catalog{
		Version: version, kinds: make(map[Kind]*Descriptor, len(registry)),
		schemas: map[string]bool{"public": true}, schemaBorn: map[string]int32{}, session: session{path: []string{"public"}}, defaultPath: []string{"public"},
		relations: map[qname]*rel{}, indexOf: map[qname]*rel{}, store: &store{}, types: map[qname]*typ{},
		functions: map[qname][]*function{}, extensions: map[string]string{"plpgsql": "pg_catalog"},
		publications: map[string]*publication{}, roles: map[string]bool{}, statistics: map[string]*rel{},
		prepared: map[string][]Operation{}, suffixes: map[string]int{}, others: map[Object]bool{}, servers: map[string]string{}, step: 1,
	}
	for i := range registry {
		c.kinds[registry[i].Kind] = &registry[i]
	}
	return c
}

// Mark begins a run of files that are applied in one go: from here on whatever one of them makes counts as new for all
// of them, because no deployed code can have seen it. Without a mark, each file is a run of its own.
func (c *Catalog) Mark() {
	c.marked, c.mark = true, c.step+1
}

// Bare says that nothing was in a schema when the run began that Mark marks: no code can have used it, as if the run had made it. The
// database was empty then, so that what a file drops IF EXISTS, as dumps with --clean do, is known not to be there.
func (c *Catalog) Bare(schemas ...string) {
	c.touched += len(schemas)
	for _, name := range schemas {
		c.schemaBorn[name] = c.mark
	}
}

// Path says in which schemas unqualified names are looked for from now on, and that those exist which are given as there before any
// file. No schemas leave it as it is.
func (c *Catalog) Path(path, there []string) {
	if len(path) > 0 {
		c.defaultPath = slices.Clone(path)
	}
	for _, name := range there {
		c.schemas[name] = true
	}
}

// HasSchema reports whether a schema is there: one that a file made, or PostgreSQL's own.
func (c *Catalog) HasSchema(name string) bool {
	return c.schemas[name] || strings.HasPrefix(name, "pg_") || name == "information_schema"
}

// CatalogOf is the catalog of a database whose schema is written down in a file, as evidence.Schema does.
func CatalogOf(version int, schema *File) *Catalog {
	c := NewCatalog(version)
	c.Assess(schema)
	c.Incomplete = c.Incomplete || len(schema.Problems) > 0
	return c
}

// fresh reports whether something was made in the same run.
func (c *Catalog) fresh(born int32) bool { return born >= c.mark }

// known reports whether the absence of an object from the catalog proves that the database lacks it: the history was
// followed from its beginning, which a catalog that never saw anything cannot claim.
func (c *Catalog) known() bool { return !c.Incomplete && c.touched > 0 }

// qname is the name of something in a schema.
type qname struct{ schema, name string }

func key(schema, name string) qname { return qname{schema, name} }

// lookup finds a name in the schema given, or along the search path.
func lookup[T any](c *Catalog, from map[qname]T, schema, name string) (found T, ok bool) {
	if schema != "" {
		found, ok = from[key(schema, name)]
		return found, ok
	}
	if found, ok = from[key("pg_temp", name)]; ok {
		return found, true
	}
	for _, s := range c.path {
		if found, ok = from[key(s, name)]; ok {
			return found, true
		}
	}
	return found, false
}

// schemaFor gives the schema that a new object lands in.
func (c *Catalog) schemaFor(schema string) string {
	if schema != "" {
		return schema
	}
	for _, s := range c.path {
		if c.schemas[s] {
			return s
		}
	}
	return "public"
}

// rel finds the relation of an object, nil when the catalog does not know it.
func (c *Catalog) rel(o Object) *rel {
	r, _ := lookup(c, c.relations, o.Schema, o.Relation)
	return r
}

func (c *Catalog) index(o Object) *index {
	r, _ := lookup(c, c.indexOf, o.Schema, o.Relation)
	return r.index(o.Relation)
}

func (c *Catalog) typ(t TypeName) *typ {
	if t.Schema == "" {
		if found, ok := c.types[key("pg_catalog", t.Name)]; ok {
			return found
		}
	}
	found, _ := lookup(c, c.types, t.Schema, t.Name)
	return found
}

func (c *Catalog) funcs(schema, name string) []*function {
	if schema != "" {
		return c.functions[key(schema, name)]
	}
	var out []*function
	for _, s := range c.path {
		out = append(out, c.functions[key(s, name)]...)
	}
	return out
}

// fn finds the one function that an object names, by its arguments where it gives them.
func (c *Catalog) fn(o Object) *function {
	all := c.funcs(o.Schema, o.Name)
	if o.Column == "" {
		if len(all) == 1 {
			return all[0]
		}
		return nil
	}
	for _, f := range all {
		if f.signature() == o.Column {
			return f
		}
	}
	return nil
}

// signature lists the types of the input parameters, as an object that names a function does.
func (f *FunctionDef) signature() string {
	var types []string
	for _, p := range f.inputs() {
		types = append(types, p.Type.String())
	}
	return "(" + strings.Join(types, ",") + ")"
}

// inputs are the parameters that a call gives; a procedure's OUT parameters are among them.
func (f *FunctionDef) inputs() []Parameter {
	var out []Parameter
	for _, p := range f.Parameters {
		if p.Mode == 'i' || p.Mode == 'b' || p.Mode == 'v' || p.Mode == 'o' && f.Procedure {
			out = append(out, p)
		}
	}
	return out
}

func (r *rel) object(kind ObjectKind) Object {
	return Object{Kind: kind, Schema: r.schema, Relation: r.name}
}

func (r *rel) String() string { return r.schema + "." + r.name }

func (r *rel) column(name string) *col {
	for _, c := range r.open().columns {
		if c.name == name {
			return c
		}
	}
	return nil
}

// index finds an index of the relation by its name; nil for none.
func (r *rel) index(name string) *index {
	if r == nil {
		return nil
	}
	list := r.open().indexes
	for n := len(list) - 1; n >= 0; n-- {
		if list[n].Name == name {
			return list[n]
		}
	}
	return nil
}

// references are the foreign keys that refer to the relation.
func (r *rel) references() []*con {
	var out []*con
	for _, from := range r.referrers {
		for _, k := range from.open().constraints {
			if k.ref == r {
				out = append(out, k)
			}
		}
	}
	return out
}

// refer notes a foreign key from one relation to another.
func (r *rel) refer(to *rel) {
	if to != nil && !slices.Contains(to.referrers, r) {
		to.referrers = append(to.referrers, r)
	}
}

// unrefer takes the note back once no foreign key leads there.
func (r *rel) unrefer(to *rel) {
	if to != nil && (r.dropped || !slices.ContainsFunc(r.open().constraints, func(k *con) bool { return k.ref == to })) {
		to.referrers = without(to.referrers, r)
	}
}

func (r *rel) constraint(name string) *con {
	for _, c := range r.open().constraints {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func (r *rel) trigger(name string, rule bool) *trigger {
	for _, t := range r.open().triggers {
		if t.name == name && t.rule == rule {
			return t
		}
	}
	return nil
}

func (r *rel) policy(name string) *policy {
	for _, p := range r.open().policies {
		if p.name == name {
			return p
		}
	}
	return nil
}

// descendants are the partitions and inheriting tables below, at any depth, each once.
func (r *rel) descendants() []*rel {
	if r.inside == nil || len(r.inside.children) == 0 {
		// What has children is never packed.
		return nil
	}
	out := slices.Clone(r.open().children)
	seen := map[*rel]bool{r: true}
	for _, child := range out {
		seen[child] = true
	}
	for i := 0; i < len(out); i++ {
		for _, child := range out[i].open().children {
			if !seen[child] {
				seen[child] = true
				out = append(out, child)
			}
		}
	}
	return out
}

// family is the relation with its descendants, or it alone for ONLY.
func (r *rel) family(only bool) []*rel {
	if only {
		return []*rel{r}
	}
	return append([]*rel{r}, r.descendants()...)
}

// isPartition reports whether the relation is a partition rather than a table that inherits.
func (r *rel) isPartition() bool { return r.open().bound != nil && len(r.open().parents) > 0 }

// defaultPartition is the partition that takes what no other does; nil for none.
func (r *rel) defaultPartition() *rel {
	for _, child := range r.open().children {
		if child.open().bound != nil && child.open().bound.Default {
			return child
		}
	}
	return nil
}

// primaryKey gives the primary key; nil for none.
func (r *rel) primaryKey() *con {
	for _, k := range r.open().constraints {
		if k.Type == PrimaryKeyConstraint {
			return k
		}
	}
	return nil
}

// sorted gives all relations in the order of their names, so that results do not depend on the order of a map.
func (c *Catalog) sorted() []*rel {
	out := make([]*rel, 0, len(c.relations))
	for _, r := range c.relations {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *rel) int {
		return cmp.Or(strings.Compare(a.schema, b.schema), strings.Compare(a.name, b.name))
	})
	return out
}

// readers gives the views that read a relation, directly or through other views.
func (r *rel) readers() []*rel {
	var out []*rel
	seen := map[*rel]bool{r: true}
	for queue := []*rel{r}; len(queue) > 0; {
		next := queue[0]
		queue = queue[1:]
		for _, v := range next.open().readBy {
			if !seen[v] {
				seen[v] = true
				out = append(out, v)
				queue = append(queue, v)
			}
		}
	}
	return out
}

// users gives the tables that have a column of a type, its arrays, or a domain over it.
func (c *Catalog) users(t *typ) []*rel {
	var out []*rel
	for _, r := range c.sorted() {
		if r.kind != Table && r.kind != MatView && r.kind != ForeignTable && r.kind != View {
			continue
		}
		if slices.ContainsFunc(r.open().columns, func(k *col) bool { return c.typ(k.typ.TypeName) == t }) || r.open().ofType == key(t.schema, t.name) {
			out = append(out, r)
		}
	}
	return out
}
