package phases

import "slices"

// maxCalls bounds how deep functions that call functions are followed.
const maxCalls = 8

// maxBodies bounds how many operations one statement may run through bodies: functions that call each other many times
// would multiply without end.
const maxBodies = 10_000

// judgement is an assessment in the making.
type judgement struct {
	AssessedOperation
	c    *Catalog
	desc *Descriptor
	// rel is the relation that the operation is on, nil where it is on none or on one that the catalog does not know.
	rel *rel
	// group are all commands of the same ALTER TABLE.
	group []Operation
	// extra are the operations that this one brings with it.
	extra []AssessedOperation
	// absent is true where the operation finds nothing to do.
	absent bool
}

// run judges one operation, applies it, and appends what it and its side effects do.
func (c *Catalog) run(op *Operation, out *[]AssessedOperation, group []Operation) {
	switch op.Kind {
	case "do", "prepare":
		c.emit(out, c.plain(op, op.Kind))
		if op.Kind == "prepare" {
			c.prepared[op.On.Name] = op.Body
			return
		}
		c.body(op.Body, out)
		return
	case "execute":
		body, ok := c.prepared[op.On.Name]
		if !ok {
			c.emit(out, c.plain(op, Opaque))
			return
		}
		c.emit(out, c.plain(op, op.Kind))
		c.body(body, out)
		return
	}
	j := c.borrow()
	j.group, j.Operation = group, *op
	j.refine()
	j.describe()
	j.locks()
	j.takes()
	c.meet(op)
	if c.see != nil {
		c.see(&j.AssessedOperation)
	}
	c.apply(j)
	*out = append(*out, j.AssessedOperation)
	for i := range j.extra {
		c.emit(out, j.extra[i])
	}
	c.idle = append(c.idle, j)
	if op.Query != nil {
		c.calls(op, out)
	}
}

// emit appends an operation that has nothing left to change in the catalog, and shows it to who watches.
func (c *Catalog) emit(out *[]AssessedOperation, op AssessedOperation) {
	if c.see != nil {
		c.see(&op)
	}
	*out = append(*out, op)
}

// borrow gives an empty judgement, one that was used before if there is one: they are large and short-lived.
func (c *Catalog) borrow() *judgement {
	n := len(c.idle)
	if n == 0 {
		return &judgement{c: c}
	}
	j := c.idle[n-1]
	c.idle = c.idle[:n-1]
	*j = judgement{c: c}
	return j
}

// body judges what a DO block or a function runs.
func (c *Catalog) body(ops []Operation, out *[]AssessedOperation) {
	if c.depth >= maxCalls {
		c.emit(out, c.plain(&Operation{}, Opaque))
		return
	}
	c.depth++
	path := slices.Clone(c.path)
	for i := range ops {
		if c.budget--; c.budget <= 0 {
			if c.budget == 0 {
				c.emit(out, c.plain(&Operation{}, Opaque))
			}
			break
		}
		c.run(&ops[i], out, nil)
	}
	c.path = path
	c.depth--
}

// plain gives an operation with its row and nothing of the catalog.
func (c *Catalog) plain(op *Operation, kind Kind) AssessedOperation {
	j := &judgement{c: c}
	j.Operation = *op
	j.Kind = kind
	j.describe()
	j.takes()
	if kind == Opaque {
		c.Incomplete = true
	}
	return j.AssessedOperation
}

// calls follows the functions that a query calls into their bodies.
func (c *Catalog) calls(op *Operation, out *[]AssessedOperation) {
	if op.Kind == "create_view" || op.Kind == "create_rule" {
		return
	}
	for _, use := range op.Query.Functions {
		c.call(op, use, out)
	}
}

func (c *Catalog) call(op *Operation, use FunctionUse, out *[]AssessedOperation) {
	if all := c.funcs(use.Schema, use.Name); len(all) > 0 {
		for _, f := range all {
			if f.Aggregate {
				continue
			}
			c.body(f.Body, out)
		}
		return
	}
	switch harmless(use) {
	case harmlessCall:
		return
	case sequenceCall:
		one := Operation{Kind: "set_sequence", On: sequenceOf(use.Literal), Span: op.Span}
		c.run(&one, out, nil)
		return
	}
	if extensionFunction(use) {
		return
	}
	one := *op
	one.On = Object{Kind: Function, Schema: use.Schema, Name: use.Name}
	one.Query = nil
	c.emit(out, c.plain(&one, "call_unknown"))
}

// describe takes the row of the kind; a kind without a row is opaque.
func (j *judgement) describe() {
	d, ok := j.c.kinds[j.Kind]
	if !ok {
		j.Kind = Opaque
		d = j.c.kinds[Opaque]
	}
	j.desc = d
	j.Phase, j.Effect, j.Summary = d.Phase, d.Effect, d.Summary
	if j.absent {
		j.Phase, j.Effect.Rewrite, j.Effect.Scan = Expand, false, false
		j.Why = "there is nothing to do"
	} else if j.Why != "" {
		j.Phase = Expand
	}
	if j.Kind == Opaque {
		j.c.Incomplete = true
	}
}

// lock adds a lock on a relation that existed before; new and temporary ones hinder nobody.
func (j *judgement) lock(r *rel, mode Lock) {
	if r == nil || r.temporary || mode == NoLock || j.c.fresh(r.born) {
		return
	}
	j.lockName(r.String(), mode)
}

func (j *judgement) lockName(name string, mode Lock) {
	for i := range j.Locks {
		if j.Locks[i].Relation == name {
			j.Locks[i].Mode = max(j.Locks[i].Mode, mode)
			return
		}
	}
	j.Locks = append(j.Locks, RelationLock{Relation: name, Mode: mode})
}

// lockObject locks a relation by its name: the catalog's, or one that it does not know and that may exist.
func (j *judgement) lockObject(o Object, mode Lock) {
	if mode == NoLock || o.Relation == "" {
		return
	}
	if r := j.c.rel(o); r != nil {
		j.lock(r, mode)
		return
	}
	if !j.c.known() {
		schema := o.Schema
		if schema == "" {
			schema = j.c.path[0]
		}
		j.lockName(schema+"."+o.Relation, mode)
	}
}

// locks works out the locks from the row's effect and reach.
func (j *judgement) locks() {
	d, c := j.desc, j.c
	if j.rel != nil {
		j.lock(j.rel, d.Effect.Lock)
		if d.Reach&ToFamily != 0 {
			// DROP COLUMN looks at the children even where ONLY spares them.
			for _, r := range j.rel.family(j.Flags.Has(Only) && j.Kind != "drop_column")[1:] {
				j.lock(r, d.Effect.Lock)
			}
		}
		if d.Reach&ToPartitions != 0 && j.rel.partitioned != 0 && !j.Flags.Has(Only) {
			for _, r := range j.rel.descendants() {
				j.lock(r, d.Effect.Lock)
			}
		}
		if d.Reach&ToParent != 0 && j.rel.isPartition() {
			for _, p := range j.rel.open().parents {
				j.lock(p, AccessExclusive)
				j.lock(p.defaultPartition(), AccessExclusive)
			}
		}
	} else if !j.absent {
		j.lockObject(j.On, d.Effect.Lock)
	}
	if !j.absent {
		j.lockObject(j.Ref, d.Effect.RefLock)
	}
	if d.Reach&ToReads != 0 && j.Query != nil {
		for _, o := range j.Query.Reads {
			j.lockRead(o, AccessShare)
		}
		for _, o := range j.Query.Locks {
			j.lockRead(o, RowShare)
		}
	}
	if d.Reach&ToUsers != 0 {
		if t := c.typ(TypeName{Schema: j.On.Schema, Name: j.On.Name}); t != nil {
			for _, r := range c.users(t) {
				j.lock(r, d.Effect.Lock)
			}
		}
	}
	j.reach()
	j.settleEffect()
}

// lockRead locks a relation that a query reads, and through a view what the view reads.
func (j *judgement) lockRead(o Object, mode Lock) {
	r := j.c.rel(o)
	if r == nil {
		j.lockObject(o, mode)
		return
	}
	seen := map[*rel]bool{r: true}
	for queue := []*rel{r}; len(queue) > 0; queue = queue[1:] {
		for _, each := range queue[0].family(false) {
			j.lock(each, mode)
		}
		if queue[0].kind != View {
			continue
		}
		for _, below := range queue[0].open().reads {
			if !seen[below] {
				seen[below] = true
				queue = append(queue, below)
			}
		}
	}
}

// settleEffect takes rewrite and scan back where everything concerned is new.
func (j *judgement) settleEffect() {
	if j.rel != nil && (j.rel.temporary || j.c.fresh(j.rel.born)) {
		j.New = true
		j.Effect.Rewrite = false
		if j.desc.Reach&ToReads == 0 || j.Query == nil || !j.readsOld() {
			j.Effect.Scan = false
		}
		if j.Phase == Contract || j.Phase == Backfill {
			j.Phase = Expand
			j.Why = "the " + string(j.rel.kind) + " was made in the same run"
			if j.rel.temporary {
				j.Why = "the " + string(j.rel.kind) + " is temporary"
			}
		}
	}
}

// takes fills in what the operation takes, from the row's rules.
func (j *judgement) takes() {
	if j.absent || j.New || j.Why != "" {
		return
	}
	for _, rule := range j.desc.Takes {
		take := func(o Object) {
			t := Take{Object: j.qualify(o), Uses: rule.Uses, Certainty: rule.Certainty}
			if o.Kind == Schema {
				t.Only = j.c.known() && !slices.Contains(j.c.defaultPath, o.Name) && !j.c.roles[o.Name]
			}
			switch j.Kind {
			case "set_schema_table", "set_schema_view", "set_schema_materialized_view":
				t.Only = j.alongThePath()
			}
			j.Takes = append(j.Takes, t)
		}
		switch rule.What {
		case TheObject:
			take(j.On)
		case TheTable:
			take(j.table())
		case TheColumns:
			for _, name := range j.subjectColumns() {
				take(Object{Kind: Column, Schema: j.On.Schema, Relation: j.On.Relation, Column: name})
			}
		case TheReferenced:
			take(j.Ref)
		case Everything:
			j.Takes = append(j.Takes, Take{Everything: true, Uses: AnyUse})
		}
	}
	j.sharpenTakes()
	if roles := j.losers(); roles != nil {
		for i := range j.Takes {
			j.Takes[i].Roles = roles
		}
	}
}

// alongThePath reports whether a relation moves from one schema of the search path to another, where nothing has its name.
func (j *judgement) alongThePath() bool {
	c := j.c
	if j.rel == nil || !slices.Contains(c.defaultPath, j.To) || !slices.Contains(c.defaultPath, j.rel.schema) {
		return false
	}
	for _, schema := range c.defaultPath {
		if _, taken := c.relations[key(schema, j.rel.name)]; taken && schema != j.rel.schema {
			return false
		}
	}
	return true
}

// losers are the roles that an operation on rights is about; nil where everybody may be among them.
func (j *judgement) losers() []string {
	var roles []string
	switch j.Kind {
	case "revoke":
		roles = j.Roles
	case "create_restrictive_policy":
		roles = j.Policy.Roles
	case "drop_policy":
		if j.rel != nil && j.rel.policy(j.On.Name) != nil {
			roles = j.rel.policy(j.On.Name).Roles
		}
	}
	if slices.ContainsFunc(roles, func(r string) bool {
		return r == "public" || r == "current_user" || r == "session_user" || r == "current_role"
	}) {
		return nil
	}
	return roles
}

// table is the relation that the operation's object belongs to. An index that the catalog does not know may belong to
// any: the empty name stands for that.
func (j *judgement) table() Object {
	if j.On.Kind != Index {
		return Object{Kind: Table, Schema: j.On.Schema, Relation: j.On.Relation}
	}
	if i := j.c.index(j.On); i != nil && i.table != nil {
		return Object{Kind: Table, Schema: i.table.schema, Relation: i.table.name}
	}
	return Object{Kind: Table}
}

// subjectColumns are the columns that a constraint or an index is about.
func (j *judgement) subjectColumns() []string {
	switch {
	case j.Constraint != nil:
		return j.Constraint.Columns
	case j.Index != nil:
		columns := slices.Clone(j.Index.Columns)
		for _, e := range j.Index.Expressions {
			columns = append(columns, e.Columns...)
		}
		return columns
	case j.On.Kind == Column:
		return []string{j.On.Column}
	default:
		return j.Names
	}
}

// qualify fills in the schema that the catalog knows.
func (j *judgement) qualify(o Object) Object {
	if o.Schema == "" && o.Relation != "" {
		if r := j.c.rel(o); r != nil {
			o.Schema = r.schema
		} else if i := j.c.index(o); i != nil {
			o.Schema = i.schema
		}
	}
	return o
}
