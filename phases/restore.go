package phases

// restore finds what a file takes away and puts back: a table swapped for a copy, a view dropped and made again. No
// code can tell, as long as it happens in one transaction; the operation that took it is then an expand.
func (c *Catalog) restore(a *Assessment) {
	c.ungranted(a)
	if !a.Transactional {
		return
	}
	for _, l := range c.gone {
		if l.shape == nil && l.fn == nil || !c.back(l) {
			continue
		}
		for i := range a.Statements {
			for j := range a.Statements[i].Operations {
				op := &a.Statements[i].Operations[j]
				if op.Kind == l.op.kind && op.On == l.op.on && op.Span == l.op.span && op.Phase == Contract {
					if c.emptied(l) {
						op.Takes = []Take{{Object: l.object, Uses: Read | Update | Delete, Certainty: ValuesDecide}}
						op.Why = "the file puts it back in the same shape, and without what it held"
						continue
					}
					op.Phase, op.Takes = Expand, nil
					op.Why = "the file puts it back in the same shape"
					if l.shape != nil && l.shape.kind == Table && c.relations[key(l.shape.schema, l.shape.name)].kind == View {
						// Queries cannot tell, but COPY into a view and TRUNCATE of one are refused.
						op.Takes = []Take{{Object: l.object, Uses: AnyUse, Certainty: Behaves}}
						op.Why = "a view of the old name stands in for the table, for all but COPY into it and TRUNCATE"
					}
				}
			}
		}
	}
}

// emptied reports whether what stands in the place of a lost relation is a new one that the file brings nothing into: code finds the
// table, and no rows in it; the materialized view, and cannot read it; the sequence, and it counts from the beginning.
func (c *Catalog) emptied(l lost) bool {
	if l.shape == nil || l.shape.kind == View {
		return false
	}
	r := c.relations[key(l.shape.schema, l.shape.name)]
	return r.kind == l.shape.kind && r.born == c.step && !c.filled[r]
}

// back reports whether something of the same name and at least the same shape stands where the lost object stood.
func (c *Catalog) back(l lost) bool {
	if l.fn != nil {
		for _, f := range c.functions[key(l.object.Schema, l.object.Name)] {
			if f.signature() == l.fn.signature() && f.Returns.String() == l.fn.Returns.String() && f.calledAs(l.fn) && !f.refuses() && f.SecurityDefiner == l.fn.SecurityDefiner {
				return true
			}
		}
		return false
	}
	r := c.relations[key(l.shape.schema, l.shape.name)]
	old := l.shape
	if r == nil || r.unfollowed || old.unfollowed || len(r.open().columns) < len(old.open().columns) {
		return false
	}
	if r.kind == View && old.kind == Table && (r.open().query == nil || !r.open().query.Simple) {
		return false
	}
	if old.kind == View && r.kind == View && old.open().query != nil && old.open().query.Simple && !r.open().query.Simple {
		return false
	}
	if r.kind != old.kind && (old.kind != Table || r.kind != View) {
		return false
	}
	// SELECT * and INSERT without a list count columns from the left.
	for i, k := range old.open().columns {
		n := r.open().columns[i]
		if n.name != k.name || n.typ.String() != k.typ.String() || n.notNull && !k.notNull {
			return false
		}
		if r.kind == Table && (k.def != nil || k.identity != 0 || k.serial) && n.def == nil && n.identity == 0 && n.notNull {
			return false
		}
	}
	if r.kind == Table {
		for _, i := range old.open().indexes {
			if i.Unique && !r.uniqueOn(i.Columns) {
				return false
			}
		}
	}
	for role, held := range old.open().grants {
		if len(held) > 0 && !c.granted(r, role, held) {
			return false
		}
	}
	return len(old.open().grants) == 0 || len(r.open().grants) > 0
}

// ungranted finds what the file drops and makes again without granting what roles held: only executing a statement shows
// that a right is gone.
func (c *Catalog) ungranted(a *Assessment) {
	for _, l := range c.gone {
		if l.shape == nil {
			continue
		}
		r := c.relations[key(l.shape.schema, l.shape.name)]
		if r == nil {
			continue
		}
		for role, held := range l.shape.open().grants {
			if len(held) == 0 || c.granted(r, role, held) {
				continue
			}
			for i := range a.Statements {
				for j := range a.Statements[i].Operations {
					op := &a.Statements[i].Operations[j]
					if op.Kind == l.op.kind && op.On == l.op.on && op.Span == l.op.span && op.Phase == Contract {
						op.Takes = append(op.Takes, Take{Object: l.object, Uses: AnyUse, Certainty: RunFails})
					}
				}
			}
			break
		}
	}
}

// calledAs reports whether every call of the other function, by position, by name or by its defaults, fits this one.
func (f *function) calledAs(other *function) bool {
	for i, p := range other.Parameters {
		if i >= len(f.Parameters) || f.Parameters[i].Name != p.Name || p.Default && !f.Parameters[i].Default {
			return false
		}
	}
	return true
}
