package phases

import (
	"slices"
	"strconv"
	"strings"
)

// applyObject applies what changes types, routines, schemas, roles and the session.
func (c *Catalog) applyObject(j *judgement) {
	op := &j.Operation
	switch op.Kind {
	case "set":
		if op.Flags.Has(Local) && c.local == nil {
			c.local = &session{c.path, c.role, c.utc}
		}
		c.set(op)
		if c.local != nil && !op.Flags.Has(Local) {
			c.local.set(op)
		}
	case "reset", "discard_all":
		name := ""
		if op.Kind == "reset" {
			name = op.Names[0]
		}
		if op.Flags.Has(Local) && c.local == nil {
			c.local = &session{c.path, c.role, c.utc}
		}
		c.reset(name, c.defaultPath)
		if c.local != nil && !op.Flags.Has(Local) {
			c.local.reset(name, c.defaultPath)
		}
	case "alter_database_setting", "alter_role_setting", "alter_database_search_path", "alter_role_search_path":
		if op.Names[0] == "search_path" && op.Text != "" {
			c.defaultPath = searchPath(strings.Split(op.Text, ","))
		}
	case "create_schema":
		c.schemas[op.On.Name] = true
		c.schemaBorn[op.On.Name] = c.step
		c.touched++
	case "drop_schema":
		c.dropSchema(op.On.Name)
	case "rename_schema":
		c.renameSchema(op.On.Name, op.To)
	case "create_extension":
		c.extensions[op.On.Name] = op.To
	case "create_server":
		c.servers[op.On.Name] = op.Ref.Name
		c.others[op.On] = true
	case "drop_extension":
		delete(c.extensions, op.On.Name)
	case "create_role":
		c.roles[op.On.Name] = true
	case "drop_role":
		delete(c.roles, op.On.Name)
	case "rename_role":
		delete(c.roles, op.On.Name)
		c.roles[op.To] = true
		for _, r := range c.relations {
			if r.open().owner == op.On.Name {
				r.open().owner = op.To
			}
		}
	case "create_statistics":
		c.statistics[op.On.Name] = c.rel(op.Ref)
		c.others[op.On] = true
	case "drop_statistics":
		delete(c.statistics, op.On.Name)
		delete(c.others, op.On)
	default:
		switch kind := string(op.Kind); {
		case j.isType():
			c.applyType(j)
		case op.Function != nil && op.On.Kind != "", op.On.Kind == Function, op.On.Kind == Procedure, op.On.Kind == Routine, op.On.Kind == Aggregate:
			c.applyFunction(j)
		case op.On.Kind == Publication:
			c.applyPublication(j)
		case strings.HasPrefix(kind, "create_"):
			c.others[op.On] = true
		case strings.HasPrefix(kind, "drop_"):
			o := op.On
			o.Column = ""
			delete(c.others, o)
			delete(c.others, op.On)
		}
	}
}

// meet notes roles that a grant, a policy or an owner names: they exist.
func (c *Catalog) meet(op *Operation) {
	k := string(op.Kind)
	switch {
	case strings.HasPrefix(k, "grant"), strings.HasPrefix(k, "revoke"):
		for _, role := range op.Roles {
			if role != "public" {
				c.roles[role] = true
			}
		}
	case strings.HasPrefix(k, "owner_"):
		c.roles[op.To] = true
	}
}

// session is what SET has made of the parameters that decide what later statements mean.
type session struct {
	path []string
	role string
	// utc is true where the time zone is known to be UTC.
	utc bool
}

func (s *session) set(op *Operation) {
	switch op.Names[0] {
	case "search_path":
		s.path = searchPath(op.Roles)
	case "role":
		s.role = op.Text
		if op.Text == "none" {
			s.role = ""
		}
	case "session_authorization":
		s.role = op.Text
	case "timezone":
		switch strings.ToLower(op.Text) {
		case "utc", "gmt", "etc/utc", "zulu", "0", "etc/gmt", "utc0":
			s.utc = true
		default:
			s.utc = false
		}
	}
}

// reset puts a parameter back to what the session began with; an empty name stands for all that RESET ALL puts back.
func (s *session) reset(name string, path []string) {
	if name == "search_path" || name == "" {
		s.path = slices.Clone(path)
	}
	if name == "timezone" || name == "" {
		s.utc = false
	}
	if name == "role" {
		s.role = ""
	}
}

func searchPath(words []string) []string {
	var out []string
	for _, w := range words {
		if w = strings.Trim(strings.TrimSpace(w), `"`); w != "" && w != "$user" && w != "pg_catalog" {
			out = append(out, w)
		}
	}
	if len(out) == 0 {
		return []string{"public"}
	}
	return out
}

func (c *Catalog) dropSchema(name string) {
	delete(c.schemas, name)
	for _, r := range c.sorted() {
		if r.schema == name {
			c.dropRelation(r, true)
		}
	}
	for k, t := range c.types {
		if t.schema == name {
			delete(c.types, k)
		}
	}
	for k := range c.functions {
		if k.schema == name {
			delete(c.functions, k)
		}
	}
}

func (c *Catalog) renameSchema(from, to string) {
	delete(c.schemas, from)
	c.schemas[to] = true
	if born, ok := c.schemaBorn[from]; ok {
		c.schemaBorn[to] = born
	}
	for _, r := range c.sorted() {
		if r.schema == from {
			c.move(r, to, r.name)
		}
	}
	for k, t := range c.types {
		if t.schema == from {
			delete(c.types, k)
			t.schema = to
			c.types[key(to, t.name)] = t
		}
	}
	for k, list := range c.functions {
		if k.schema == from {
			delete(c.functions, k)
			for _, f := range list {
				f.schema = to
			}
			c.functions[key(to, k.name)] = list
		}
	}
}

func (j *judgement) isType() bool {
	return j.TypeDef != nil || j.On.Kind == Type || j.On.Kind == Domain || j.On.Kind == EnumValue || j.On.Kind == Attribute
}

// freeName is what PostgreSQL calls a domain's CHECK that the statement gives no name (ChooseConstraintName in pg_constraint.c).
func (t *typ) freeName() string {
	name := t.name + "_check"
	for n := 1; slices.ContainsFunc(t.Constraints, func(d ConstraintDef) bool { return d.Name == name }); n++ {
		name = t.name + "_check" + strconv.Itoa(n)
	}
	return name
}

func (c *Catalog) applyType(j *judgement) {
	op := &j.Operation
	if op.TypeDef != nil && strings.HasPrefix(string(op.Kind), "create_") {
		t := &typ{schema: c.schemaFor(op.On.Schema), name: op.On.Name, TypeDef: *op.TypeDef, born: c.step}
		t.Values = slices.Clone(t.Values)
		t.Constraints = slices.Clone(t.Constraints)
		for i := range t.Constraints {
			if t.Constraints[i].Name == "" {
				t.Constraints[i].Name = t.freeName()
			}
		}
		c.types[key(t.schema, t.name)] = t
		c.touched++
		return
	}
	t := c.typ(TypeName{Schema: op.On.Schema, Name: op.On.Name})
	if t == nil {
		if extensionOfType(op.On.Name) == "" {
			c.lose(op.On)
		}
		return
	}
	switch op.Kind {
	case "add_enum_value":
		t.Values = append(t.Values, op.On.Column)
	case "rename_enum_value":
		for i := range t.Values {
			if t.Values[i] == op.On.Column {
				t.Values[i] = op.To
			}
		}
	case "drop_type", "drop_domain":
		if op.Flags.Has(Cascade) {
			for _, u := range c.users(t) {
				for _, k := range slices.Clone(u.open().columns) {
					if c.typ(k.typ.TypeName) == t {
						u.open().columns = without(u.open().columns, k)
					}
				}
			}
		}
		delete(c.types, key(t.schema, t.name))
	case "rename_type", "rename_domain", "set_schema_type", "set_schema_domain":
		users := c.users(t)
		delete(c.types, key(t.schema, t.name))
		schema, name := t.schema, op.To
		if strings.HasPrefix(string(op.Kind), "set_schema") {
			schema, name = op.To, t.name
		}
		for _, u := range users {
			for _, k := range u.open().columns {
				if k.typ.Name == t.name && (k.typ.Schema == "" || k.typ.Schema == t.schema) {
					renamed := k.typ.TypeName
					renamed.Schema, renamed.Name = schema, name
					k.typ = c.store.typeOf(renamed)
				}
			}
		}
		t.schema, t.name = schema, name
		c.types[key(schema, name)] = t
	case "add_domain_check", "add_domain_check_not_valid":
		def := *op.Constraint
		if def.Name == "" {
			def.Name = t.freeName()
		}
		t.Constraints = append(slices.Clone(t.Constraints), def)
	case "drop_domain_constraint":
		t.Constraints = slices.DeleteFunc(slices.Clone(t.Constraints), func(d ConstraintDef) bool { return d.Name == op.Names[0] })
	case "set_domain_not_null":
		t.NotNull = true
	case "drop_domain_not_null":
		t.NotNull = false
	case "set_domain_default":
		t.Default = op.Expr
	case "drop_domain_default":
		t.Default = nil
	case "add_attribute":
		if op.Column != nil {
			t.Attributes = append(slices.Clone(t.Attributes), *op.Column)
			for _, r := range c.sorted() {
				if r.open().ofType == key(t.schema, t.name) {
					c.addColumn(r, op.Column)
				}
			}
		}
	case "drop_attribute":
		t.Attributes = slices.DeleteFunc(slices.Clone(t.Attributes), func(d ColumnDef) bool { return d.Name == op.On.Column })
	}
}

func (c *Catalog) applyFunction(j *judgement) {
	op := &j.Operation
	switch op.Kind {
	case "create_function", "create_procedure", "create_aggregate", "create_overload", "replace_function", "replace_function_stricter":
		f := &function{schema: c.schemaFor(op.On.Schema), name: op.On.Name, FunctionDef: *op.Function, born: c.step, owner: c.role}
		// The text of the file that it stands in is not to be kept with it.
		f.Definition = strings.Clone(f.Definition)
		k := key(f.schema, f.name)
		for i, old := range c.functions[k] {
			if old.signature() == f.signature() {
				f.born = old.born
				list := slices.Clone(c.functions[k])
				list[i] = f
				c.functions[k] = list
				return
			}
		}
		c.functions[k] = append(c.functions[k], f)
		c.touched++
		return
	}
	f := c.fn(op.On)
	if f == nil {
		return
	}
	k := key(f.schema, f.name)
	kind := string(op.Kind)
	switch {
	case strings.HasPrefix(kind, "drop_"):
		c.noteLost(j, lost{object: Object{Kind: Function, Schema: f.schema, Name: f.name}, fn: f})
		c.functions[k] = without(c.functions[k], f)
	case strings.HasPrefix(kind, "rename_"), strings.HasPrefix(kind, "set_schema_"):
		c.functions[k] = without(c.functions[k], f)
		if strings.HasPrefix(kind, "rename_") {
			f.name = op.To
		} else {
			f.schema = op.To
		}
		k = key(f.schema, f.name)
		c.functions[k] = append(c.functions[k], f)
	case op.Function != nil:
		for _, name := range op.Names {
			switch name {
			case "security":
				f.SecurityDefiner = op.Function.SecurityDefiner
			case "volatility":
				f.Volatility = op.Function.Volatility
			case "strict":
				f.Strict = op.Function.Strict
			case "set":
				f.Settings = op.Function.Settings
			}
		}
	}
}

func (c *Catalog) applyPublication(j *judgement) {
	op := &j.Operation
	kind := strings.TrimSuffix(string(op.Kind), "_keyed")
	p := c.publications[op.On.Name]
	switch kind {
	case "create_publication":
		if p == nil {
			p = &publication{name: op.On.Name, born: c.step, publish: op.Text}
			c.publications[op.On.Name] = p
		}
	case "drop_publication":
		delete(c.publications, op.On.Name)
		return
	case "rename_publication":
		if p != nil {
			delete(c.publications, op.On.Name)
			p.name = op.To
			c.publications[op.To] = p
		}
		return
	case "set_publication_tables":
		if p != nil {
			p.tables, p.schemas = nil, nil
		}
	}
	if p == nil {
		return
	}
	p.all = p.all || op.Flags.Has(AllObjects)
	t := c.rel(op.Ref)
	switch {
	case op.Ref.Kind == Schema:
		p.schemas = append(p.schemas, op.Ref.Name)
	case t == nil:
	case kind == "drop_publication_table":
		p.tables = without(p.tables, t)
	default:
		p.tables = append(p.tables, t)
	}
}
