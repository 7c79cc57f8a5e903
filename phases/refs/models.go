package refs

import (
	"go/types"
	"slices"
	"strings"
	"unicode"

	"github.com/jinzhu/inflection"
	"golang.org/x/tools/go/ssa"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// mapper is a library that makes statements from the fields of structs.
type mapper struct {
	path, tag string
	// table and column give the names that the library makes up; a table that is not known is empty.
	table  func(string) string
	column func(string) string
	// field reads one field; skip is true for what is no column.
	field func(m *mapper, f *types.Var, tag string) (column evidence.ModelColumn, skip bool)
	// untagged is true where fields without the tag are columns too.
	untagged bool
}

// models adds the structs from which ORMs make statements. sqlx makes none: its tags only name what is received.
func (c *collector) models() {
	naming := c.namingStrategy()
	mappers := []*mapper{
		{path: "gorm.io/gorm", tag: "gorm", untagged: true, table: naming.table, column: gormName, field: gormField},
		{path: "github.com/uptrace/bun", tag: "bun", untagged: true, column: bunName, table: func(s string) string { return inflection.Plural(bunName(s)) }, field: bunField},
		{path: "github.com/gobuffalo/pop", tag: "db", table: popTable, column: func(s string) string { return s }, field: popField},
		{path: "github.com/jmoiron/sqlx", tag: "db", column: strings.ToLower, field: popField},
	}
	imported := func(path string) bool {
		return slices.ContainsFunc(c.ssa.AllPackages(), func(p *ssa.Package) bool {
			return p.Pkg.Path() == path || strings.HasPrefix(p.Pkg.Path(), path+"/")
		})
	}
	used := c.given()
	for _, m := range mappers {
		if !imported(m.path) || m.tag == "db" && m.table == nil && imported("github.com/gobuffalo/pop") {
			continue
		}
		for _, pkg := range c.packages {
			scope := pkg.Types.Scope()
			for _, name := range scope.Names() {
				tn, ok := scope.Lookup(name).(*types.TypeName)
				if !ok || tn.IsAlias() {
					continue
				}
				named, ok := tn.Type().(*types.Named)
				if !ok {
					continue
				}
				if s, ok := named.Underlying().(*types.Struct); ok {
					c.model(m, named, s, used[m.path][named])
				}
			}
		}
	}
}

// given lists the structs that are handed to each ORM, by pointer, in slices, or as they are.
func (c *collector) given() map[string]map[*types.Named]bool {
	out := map[string]map[*types.Named]bool{}
	for _, fn := range c.functions {
		for _, b := range fn.Blocks {
			for _, in := range b.Instrs {
				call, ok := in.(ssa.CallInstruction)
				if !ok {
					continue
				}
				f, _ := callee(call.Common())
				if f == nil || f.Pkg() == nil {
					continue
				}
				lib, known := libraryOf(f.Pkg().Path())
				if !known || !lib.orm {
					continue
				}
				for _, a := range call.Common().Args {
					values := []ssa.Value{a}
					if _, isSlice := a.Type().Underlying().(*types.Slice); isSlice {
						if s, ok := a.(*ssa.Slice); ok && s.X.Referrers() != nil {
							for _, r := range *s.X.Referrers() {
								if ia, ok := r.(*ssa.IndexAddr); ok {
									values = append(values, storesTo(ia)...)
								}
							}
						}
					}
					for _, v := range values {
						if m, ok := v.(*ssa.MakeInterface); ok {
							if named := elementType(m.X.Type()); named != nil {
								if out[lib.path] == nil {
									out[lib.path] = map[*types.Named]bool{}
								}
								out[lib.path][named] = true
							}
						}
					}
				}
			}
		}
	}
	return out
}

func elementType(t types.Type) *types.Named {
	for range 4 {
		switch u := t.(type) {
		case *types.Named:
			if _, isStruct := u.Underlying().(*types.Struct); isStruct {
				return u.Origin()
			}
			t = u.Underlying()
		case *types.Pointer:
			t = u.Elem()
		case *types.Slice:
			t = u.Elem()
		case *types.Array:
			t = u.Elem()
		default:
			return nil
		}
	}
	return nil
}

// model adds one struct, if it is one of the mapper's.
func (c *collector) model(m *mapper, named *types.Named, s *types.Struct, given bool) {
	tagged := given || embedsBase(s)
	for i := range s.NumFields() {
		if _, ok := tagOf(s.Tag(i), m.tag); ok {
			tagged = true
		}
	}
	if !tagged {
		return
	}
	table, schema, baseTags := "", "", ""
	for i := range s.NumFields() {
		if s.Field(i).Name() == "BaseModel" && m.tag == "bun" {
			baseTags, _ = tagOf(s.Tag(i), m.tag)
		}
	}
	out := evidence.Model{
		Name: types.TypeString(named, func(p *types.Package) string { return p.Name() }),
		Site: c.position(named.Obj().Pos()),
	}
	c.columns(m, s, "", &out, 0)
	if len(out.Columns) == 0 {
		return
	}
	if m.table != nil {
		table = m.table(named.Obj().Name())
		for part := range strings.SplitSeq(baseTags, ",") {
			if name, ok := strings.CutPrefix(strings.TrimSpace(part), "table:"); ok {
				table = name
			}
		}
		if own := c.tableName(named); own != nil {
			table = ""
			for i, a := range own {
				parts, holes := render(a)
				if len(holes) > 0 {
					c.opaque(evidence.Opaque{Site: out.Site, Call: out.Name + ".TableName", Why: "the name of its table is made at run time"})
					continue
				}
				if i > 0 && table != "" {
					other := out
					other.Schema, other.Table = splitName(parts[0])
					c.m.Models = append(c.m.Models, other)
					continue
				}
				table = parts[0]
			}
		}
		if table == "" && given && c.tableName(named) == nil {
			c.opaque(evidence.Opaque{Site: out.Site, Call: out.Name, Why: "it is not known how " + m.path + " names its table; give it a TableName method"})
		}
		schema, table = splitName(table)
	}
	out.Table, out.Schema = table, schema
	c.m.Models = append(c.m.Models, out)
	c.joins(m, named, s, out)
}

// joins adds the tables between two models that GORM's many2many and bun's m2m name.
func (c *collector) joins(m *mapper, named *types.Named, s *types.Struct, model evidence.Model) {
	for i := range s.NumFields() {
		tag, _ := tagOf(s.Tag(i), m.tag)
		options := tagOptions(tag)
		table := options["many2many"] + options["m2m"]
		other := elementType(s.Field(i).Type())
		if table == "" || other == nil {
			continue
		}
		join := evidence.Model{Name: model.Name + "." + s.Field(i).Name(), Site: model.Site}
		join.Schema, join.Table = splitName(table)
		for _, t := range []*types.Named{named, other} {
			join.Columns = append(join.Columns, evidence.ModelColumn{Name: m.column(t.Obj().Name()) + "_id"})
		}
		c.m.Models = append(c.m.Models, join)
	}
}

func splitName(name string) (schema, table string) {
	name = strings.ReplaceAll(name, `"`, "")
	if schema, table, ok := strings.Cut(name, "."); ok {
		return schema, table
	}
	return "", name
}

// tableName gives what a type's TableName method returns; nil where it has none.
func (c *collector) tableName(named *types.Named) []alt {
	for _, t := range []types.Type{named, types.NewPointer(named)} {
		fn := c.methodOf(t, "TableName")
		if fn == nil {
			continue
		}
		c.steps = 0
		return c.results(fn, 0, &ssa.CallCommon{Value: fn}, nil)
	}
	return nil
}

func embedsBase(s *types.Struct) bool {
	for i := range s.NumFields() {
		f := s.Field(i)
		if !f.Embedded() {
			continue
		}
		if named, ok := deref(f.Type()).(*types.Named); ok && named.Obj().Pkg() != nil {
			switch named.Obj().Pkg().Path() + "." + named.Obj().Name() {
			case "gorm.io/gorm.Model", "github.com/uptrace/bun.BaseModel":
				return true
			}
		}
	}
	return false
}

// columns adds the columns of a struct and of those embedded in it.
func (c *collector) columns(m *mapper, s *types.Struct, prefix string, out *evidence.Model, depth int) {
	const deepestEmbedding = 8
	for i := range s.NumFields() {
		f := s.Field(i)
		tag, tagged := tagOf(s.Tag(i), m.tag)
		if f.Name() == "BaseModel" || tag == "-" || strings.HasPrefix(tag, "-:") {
			continue
		}
		inner, isStruct := deref(f.Type()).Underlying().(*types.Struct)
		options := tagOptions(tag)
		_, embedded := options["embedded"]
		embedPrefix, bunEmbed := options["embed"]
		if isStruct && depth < deepestEmbedding && (f.Embedded() && !tagged || f.Embedded() && (tag == "" || tag == "extend") || embedded || bunEmbed) {
			c.columns(m, inner, prefix+options["embeddedprefix"]+embedPrefix, out, depth+1)
			continue
		}
		if !f.Exported() || !tagged && !m.untagged {
			continue
		}
		column, skip := m.field(m, f, tag)
		if skip || column.Name == "" {
			continue
		}
		column.Name = prefix + column.Name
		if !slices.ContainsFunc(out.Columns, func(have evidence.ModelColumn) bool { return have.Name == column.Name }) {
			out.Columns = append(out.Columns, column)
		}
	}
}

// tagOptions reads `a:b;c` and `name,a:b,c`; keys are in lower case.
func tagOptions(tag string) map[string]string {
	out := map[string]string{}
	for part := range strings.FieldsFuncSeq(tag, func(r rune) bool { return r == ';' || r == ',' }) {
		key, value, _ := strings.Cut(strings.TrimSpace(part), ":")
		out[strings.ToLower(key)] = value
	}
	return out
}

// isColumn reports whether a field's type is stored in one column: anything but other models and lists of them.
func isColumn(t types.Type) bool {
	switch u := deref(t).Underlying().(type) {
	case *types.Struct:
		return storesItself(t)
	case *types.Slice:
		if _, ok := deref(u.Elem()).Underlying().(*types.Struct); ok {
			return storesItself(t) || storesItself(u.Elem())
		}
	}
	return true
}

// storesItself reports whether a type knows how it is stored: time.Time, or one with a Value or Scan method.
func storesItself(t types.Type) bool {
	if named, ok := deref(t).(*types.Named); ok && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == "time" {
		return true
	}
	for _, t := range []types.Type{t, types.NewPointer(deref(t))} {
		set := types.NewMethodSet(t)
		for _, name := range []string{"Value", "Scan", "GormDataType", "ScanValue"} {
			if set.Lookup(nil, name) != nil {
				return true
			}
		}
	}
	return false
}

// https://gorm.io/docs/models.html
func gormField(m *mapper, f *types.Var, tag string) (evidence.ModelColumn, bool) {
	options := tagOptions(tag)
	if table, ok := options["many2many"]; ok && table != "" {
		return evidence.ModelColumn{}, true
	}
	_, serialized := options["serializer"]
	_, typed := options["type"]
	if !isColumn(f.Type()) && !serialized && !typed {
		return evidence.ModelColumn{}, true
	}
	column := evidence.ModelColumn{Name: options["column"]}
	if column.Name == "" {
		column.Name = m.column(f.Name())
	}
	_, readable := options["->"]
	_, writable := options["<-"]
	switch {
	case options["->"] == "false":
		column.Access = "write"
	case readable && !writable, options["<-"] == "false":
		column.Access = "read"
	}
	return column, false
}

// https://bun.uptrace.dev/guide/models.html
func bunField(m *mapper, f *types.Var, tag string) (evidence.ModelColumn, bool) {
	options := tagOptions(tag)
	for _, relation := range []string{"rel", "m2m"} {
		if _, ok := options[relation]; ok {
			return evidence.ModelColumn{}, true
		}
	}
	name, _, _ := strings.Cut(tag, ",")
	if strings.Contains(name, ":") {
		name = ""
	}
	if name == "" {
		name = m.column(f.Name())
	}
	column := evidence.ModelColumn{Name: name}
	if _, ok := options["scanonly"]; ok {
		// The query itself names it, if anything does.
		return column, true
	}
	return column, false
}

// https://gobuffalo.io/documentation/database/models/
func popField(m *mapper, f *types.Var, tag string) (evidence.ModelColumn, bool) {
	name, _, _ := strings.Cut(tag, ",")
	if name == "" {
		return evidence.ModelColumn{}, true
	}
	return evidence.ModelColumn{Name: name}, false
}

// strategy is how GORM names tables.
type strategy struct {
	prefix   string
	singular bool
}

func (s strategy) table(name string) string {
	if s.singular {
		return s.prefix + gormName(name)
	}
	return s.prefix + inflection.Plural(gormName(name))
}

// namingStrategy reads the fields of schema.NamingStrategy that the source sets.
func (c *collector) namingStrategy() strategy {
	var s strategy
	var fields []*types.Var
	for f := range c.fields {
		if f.Pkg() != nil && f.Pkg().Path() == "gorm.io/gorm/schema" {
			fields = append(fields, f)
		}
	}
	slices.SortFunc(fields, func(a, b *types.Var) int { return strings.Compare(a.Name(), b.Name()) })
	for _, f := range fields {
		for _, v := range c.fields[f] {
			k, isConst := v.(*ssa.Const)
			switch {
			case f.Name() == "TablePrefix" && isConst:
				s.prefix = k.Value.ExactString()
				if texts, ok := c.exact(v, nil); ok {
					s.prefix = texts[0]
				}
			case f.Name() == "SingularTable" && isConst:
				s.singular = k.Value.ExactString() == "true"
			case f.Name() == "TablePrefix" || f.Name() == "SingularTable" || f.Name() == "NameReplacer" || f.Name() == "NoLowerCase":
				at := c.position(v.Pos())
				c.opaque(evidence.Opaque{Site: gate.Site{File: at.File, Line: at.Line}, Call: "schema.NamingStrategy." + f.Name(), Why: "the names of tables are made at run time"})
			}
		}
	}
	return s
}

// gormInitialisms are the words that GORM's naming strategy writes as one: gorm.io/gorm/schema/naming.go.
var gormInitialisms = strings.Fields(`API ASCII CPU CSS DNS EOF GUID HTML HTTP HTTPS ID IP JSON LHS QPS RAM RHS RPC SLA SMTP SSH TLS TTL UID UI UUID URI URL UTF8 VM XML XSRF XSS`) //nolint:gochecknoglobals // a constant table

// gormName is GORM's default name of a column or, in the singular, of a table.
func gormName(name string) string {
	for _, w := range gormInitialisms {
		name = strings.ReplaceAll(name, w, w[:1]+strings.ToLower(w[1:]))
	}
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) {
			next := i+1 < len(name) && unicode.IsLower(rune(name[i+1]))
			before := i > 0 && (unicode.IsLower(rune(name[i-1])) || unicode.IsDigit(rune(name[i-1])))
			if i > 0 && name[i-1] != '_' && (before || next) {
				b.WriteByte('_')
			}
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// popTable is the table that pop makes up for a struct: its words with underscores, the last in the plural. It is empty
// where the rules of that plural (github.com/gobuffalo/flect) are not those of inflection, or might not be: the two were
// held against each other over a dictionary.
func popTable(name string) string {
	words := plainWords().FindAllString(name, -1)
	if strings.Join(words, "") != name || len(words) == 0 {
		return ""
	}
	words[len(words)-1] = strings.ToLower(words[len(words)-1])
	last := words[len(words)-1]
	if oddPlural().MatchString(last) {
		return ""
	}
	words[len(words)-1] = inflection.Plural(last)
	return strings.ToLower(strings.Join(words, "_"))
}

var (
	plainWords = pattern.Lazy(`[A-Z][a-z]+`)
	oddPlural  = pattern.Lazy(`(?:[aiou]|us|is|um|en|[iue]x|ae|f|fe|z|[rdlm]ice|^ice|oot|ooth|eeth|eet|oose|eese|ouse|eer|out|man|fish|craft|people|information|criterion|phenomenon|ganglion|bison|shrimp|equipment|money|series|species|sheep|staff|die|ids|dns|pots|lexicon|hedron|salmon|swine)$`)
)

// bunName is bun's name of a column: an underscore before each upper-case letter that follows or precedes a lower-case one.
func bunName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if c >= 'A' && c <= 'Z' {
			if i > 0 && i+1 < len(name) && (isLower(name[i-1]) || isLower(name[i+1])) {
				b.WriteByte('_')
			}
			c += 'a' - 'A'
		}
		b.WriteByte(c)
	}
	return b.String()
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
