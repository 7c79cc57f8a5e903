package parse

import (
	"strings"

	"github.com/bitvault/pawl/phases"
)

// The parser's grammar is PostgreSQL 16's. What 17 and 18 added is rewritten, token by token, into what 16 reads, and
// the operations that come out are then told what they really are. Each rewrite keeps every name and expression, so
// that nothing is lost to the classification; what no rewrite fits stays opaque. The server always gets the text as it
// was written.

// newer is one statement while it is rewritten.
type newer struct {
	src    string
	tokens []token
	edits  []edit
	fixes  []func(ops []phases.Operation)
}

// edit replaces the bytes from start to end.
type edit struct {
	start, end int
	text       string
}

// rewriteNewer gives the statement in PostgreSQL 16's grammar, and what to do to its operations; ok is false when no
// rewrite fits.
func rewriteNewer(src string) (text string, fix func([]phases.Operation), ok bool) {
	n := newer{src: src}
	s := scanner{src: src}
	for t := s.nextCode(); t.kind != tokenEOF; t = s.nextCode() {
		n.tokens = append(n.tokens, t)
	}
	for i := range n.tokens {
		n.at(i)
	}
	if len(n.edits) == 0 {
		return "", nil, false
	}
	var b strings.Builder
	last := 0
	for _, e := range n.edits {
		if e.start < last {
			continue
		}
		b.WriteString(src[last:e.start])
		b.WriteString(e.text)
		last = e.end
	}
	b.WriteString(src[last:])
	return b.String(), func(ops []phases.Operation) {
		for _, f := range n.fixes {
			f(ops)
		}
	}, true
}

func (n *newer) word(i int) string {
	if i < 0 || i >= len(n.tokens) {
		return ""
	}
	t := n.tokens[i]
	if t.kind == tokenWord {
		return strings.ToLower(n.src[t.start:t.end])
	}
	return n.src[t.start:t.end]
}

// are reports whether the tokens from i on are the given words.
func (n *newer) are(i int, words ...string) bool {
	for k, w := range words {
		if n.word(i+k) != w {
			return false
		}
	}
	return true
}

// replace puts text in the place of the tokens from i up to but not including j.
func (n *newer) replace(i, j int, text string) {
	n.edits = append(n.edits, edit{n.tokens[i].start, n.tokens[j-1].end, text})
}

func (n *newer) fix(f func([]phases.Operation)) { n.fixes = append(n.fixes, f) }

// command gives the index of the ALTER TABLE command that a token belongs to.
func (n *newer) command(i int) int {
	count, depth := 0, 0
	for k := range i {
		switch n.word(k) {
		case "(":
			depth++
		case ")":
			depth--
		case ",":
			if depth == 0 {
				count++
			}
		}
	}
	return count
}

// element gives the first token of the column or constraint that a token belongs to, in CREATE TABLE or ALTER TABLE.
func (n *newer) element(i int) int {
	depth := 0
	for k := i - 1; k >= 0; k-- {
		switch n.word(k) {
		case ")":
			depth++
		case "(":
			if depth == 0 {
				return k + 1
			}
			depth--
		case ",":
			if depth == 0 {
				return k + 1
			}
		}
	}
	return 0
}

// closing gives the index behind the parenthesis that closes the one at i.
func (n *newer) closing(i int) int {
	depth := 0
	for k := i; k < len(n.tokens); k++ {
		switch n.word(k) {
		case "(":
			depth++
		case ")":
			depth--
			if depth == 0 {
				return k + 1
			}
		}
	}
	return len(n.tokens)
}

func (n *newer) name(i int) string {
	w := n.word(i)
	if strings.HasPrefix(w, `"`) && len(w) > 1 {
		return strings.ReplaceAll(w[1:len(w)-1], `""`, `"`)
	}
	return w
}

func (n *newer) altering() bool { return n.word(0) == "alter" }

// at applies whatever rewrite begins at the token.
func (n *newer) at(i int) {
	switch n.word(i) {
	case "enforced":
		n.enforced(i)
	case "not":
		n.notNull(i)
	case "generated":
		n.generated(i)
	case "set":
		n.set(i)
	case "without":
		if n.are(i, "without", "overlaps") {
			n.replace(i, i+2, "")
			n.eachConstraint(i, func(k *phases.ConstraintDef) { k.WithoutOverlaps = true })
		}
	case "period":
		if w := n.word(i - 1); (w == "," || w == "(") && n.tokens[min(i+1, len(n.tokens)-1)].kind != tokenSymbol {
			n.replace(i, i+1, "")
		}
	case "returning":
		n.returning(i)
	case "by":
		if n.word(0) == "merge" || n.word(0) == "with" {
			if n.are(i-1, "matched", "by") && (n.word(i+1) == "source" || n.word(i+1) == "target") {
				// NOT MATCHED BY SOURCE updates or deletes, which 16 allows only for MATCHED.
				if n.word(i+1) == "source" && n.word(i-2) == "not" {
					n.replace(i-2, i+2, "matched")
				} else {
					n.replace(i, i+2, "")
				}
			}
		}
	case "json_table", "json_value", "json_query", "json_exists", "json_scalar", "json_serialize":
		n.json(i)
	case "at":
		if n.are(i, "at", "local") {
			n.replace(i, i+2, "at time zone 'local'")
		}
	case "only":
		if n.word(0) == "analyze" || n.word(0) == "vacuum" {
			n.replace(i, i+1, "")
		}
	case "large":
		if n.are(0, "alter", "default", "privileges") && n.are(i-1, "on", "large", "objects") {
			n.replace(i, i+2, "tables")
		}
	case "inherit":
		if n.are(i-1, "no", "inherit") && n.are(i-3, "not", "null") {
			n.replace(i-1, i+1, "")
		} else if n.altering() && n.tail(i) >= 0 {
			start := i
			if n.word(i-1) == "no" {
				start--
			}
			n.replace(start, i+1, "not deferrable")
		}
	}
}

// tail gives the first token of the ALTER TABLE command that a token belongs to.
func (n *newer) tail(i int) int {
	for k := i - 1; k > 0; k-- {
		if n.are(k, "alter", "constraint") {
			return k
		}
		if n.word(k) == "," {
			break
		}
	}
	return -1
}

func (n *newer) enforced(i int) {
	start, not := i, n.word(i-1) == "not"
	if not {
		start--
	}
	if n.altering() && n.tail(i) >= 0 {
		n.replace(start, i+1, "not deferrable")
		at := n.command(i)
		n.fix(func(ops []phases.Operation) {
			if at < len(ops) && ops[at].Constraint != nil {
				ops[at].Text = "enforced"
				def := *ops[at].Constraint
				def.NotEnforced = not
				ops[at].Constraint = &def
			}
		})
		return
	}
	n.replace(start, i+1, "")
	if not {
		n.eachConstraint(i, func(k *phases.ConstraintDef) { k.NotEnforced = true })
	}
}

// eachConstraint fixes the constraint that a token belongs to: that of its ALTER TABLE command, or the one of its name
// in CREATE TABLE.
func (n *newer) eachConstraint(i int, f func(*phases.ConstraintDef)) {
	at, altering := n.command(i), n.altering()
	name := ""
	for k := i; k > 0; k-- {
		if n.word(k) == "constraint" {
			name = n.name(k + 1)
			break
		}
	}
	n.fix(func(ops []phases.Operation) {
		if altering {
			if at < len(ops) && ops[at].Constraint != nil {
				f(ops[at].Constraint)
				if ops[at].Constraint.NotEnforced && ops[at].Kind == "add_check" {
					ops[at].Kind = "add_check_not_enforced"
				}
			} else if at < len(ops) && ops[at].Column != nil {
				for k := range ops[at].Column.Constraints {
					f(&ops[at].Column.Constraints[k])
				}
			}
			return
		}
		for o := range ops {
			if ops[o].Table == nil {
				continue
			}
			for k := range ops[o].Table.Constraints {
				if ops[o].Table.Constraints[k].Name == name {
					f(&ops[o].Table.Constraints[k])
				}
			}
		}
	})
}

// notNull is the table constraint [CONSTRAINT name] NOT NULL column.
func (n *newer) notNull(i int) {
	if !n.are(i, "not", "null") || i+2 >= len(n.tokens) {
		return
	}
	first := n.element(i)
	add := n.word(i-1) == "add" || n.are(i-3, "add", "constraint")
	alone := first == i || n.word(first) == "constraint" && first == i-2
	if kind := n.tokens[i+2].kind; !add && !alone || kind != tokenWord && kind != tokenQuoted {
		return
	}
	column := n.name(i + 2)
	n.replace(i, i+3, "check ("+n.src[n.tokens[i+2].start:n.tokens[i+2].end]+" is not null)")
	at, altering := n.command(i), n.altering()
	fix := func(k *phases.ConstraintDef) {
		k.Type, k.Columns, k.Expr = phases.NotNullConstraint, []string{column}, nil
	}
	n.fix(func(ops []phases.Operation) {
		if altering {
			if at < len(ops) && ops[at].Constraint != nil {
				fix(ops[at].Constraint)
				ops[at].Kind = "add_not_null"
				if ops[at].Constraint.NotValid {
					ops[at].Kind = "add_not_null_not_valid"
				}
			}
			return
		}
		for o := range ops {
			if ops[o].Table == nil {
				continue
			}
			for k := range ops[o].Table.Constraints {
				c := &ops[o].Table.Constraints[k]
				if c.Type == phases.CheckConstraint && c.Expr != nil && len(c.Expr.NotNull) == 1 && c.Expr.NotNull[0] == column && len(c.Expr.Ranges) == 0 {
					fix(c)
				}
			}
			for k := range ops[o].Table.Columns {
				if ops[o].Table.Columns[k].Name == column {
					ops[o].Table.Columns[k].NotNull = true
				}
			}
		}
	})
}

// generated is GENERATED ALWAYS AS (expression) [VIRTUAL]: 16 knows STORED only.
func (n *newer) generated(i int) {
	if !n.are(i, "generated", "always", "as", "(") {
		return
	}
	end := n.closing(i + 3)
	switch n.word(end) {
	case "stored":
		return
	case "virtual":
		n.replace(end, end+1, "stored")
	default:
		n.replace(end-1, end, ") stored")
	}
	at, altering := n.command(i), n.altering()
	name := n.name(n.element(i))
	n.fix(func(ops []phases.Operation) {
		if altering {
			if at < len(ops) && ops[at].Column != nil {
				ops[at].Column.Generated = 'v'
			}
			return
		}
		for o := range ops {
			if ops[o].Table == nil {
				continue
			}
			for k := range ops[o].Table.Columns {
				if c := &ops[o].Table.Columns[k]; c.Name == name {
					c.Generated = 'v'
				}
			}
		}
	})
}

func (n *newer) set(i int) {
	switch {
	case n.are(i, "set", "expression", "as"):
		n.replace(i, i+3, "set default")
		at := n.command(i)
		n.fix(func(ops []phases.Operation) {
			if at < len(ops) && ops[at].Kind == "set_default" {
				ops[at].Kind = "set_expression"
			}
		})
	case n.are(i, "set", "statistics", "default"):
		n.replace(i, i+3, "set statistics -1")
	case n.are(i, "set", "access", "method", "default"):
		n.replace(i, i+4, "set access method heap")
	}
}

// returning is MERGE … RETURNING, and RETURNING WITH (OLD AS o, NEW AS n).
func (n *newer) returning(i int) {
	if n.are(i, "returning", "with", "(") {
		n.replace(i+1, n.closing(i+2), "")
		return
	}
	if n.word(0) != "merge" {
		return
	}
	depth := 0
	for k := range i {
		switch n.word(k) {
		case "(":
			depth++
		case ")":
			depth--
		}
	}
	if depth != 0 {
		return
	}
	// The expressions go into the condition of a branch that changes nothing.
	n.edits = append(n.edits, edit{n.tokens[i].start, len(n.src), ""})
	list := n.src[n.tokens[i].end:]
	n.fix(func(ops []phases.Operation) {
		tree, err := parseTree("select " + list)
		if err != nil || len(tree.Stmts) != 1 || len(ops) == 0 || ops[len(ops)-1].Query == nil {
			return
		}
		ops[len(ops)-1].Query.Functions = append(ops[len(ops)-1].Query.Functions, query(tree.Stmts[0].Stmt).Functions...)
	})
}

// json keeps the first argument of the SQL/JSON functions and leaves their clauses out.
func (n *newer) json(i int) {
	if n.word(i+1) != "(" {
		return
	}
	end := n.closing(i + 1)
	depth := 0
	for k := i + 1; k < end; k++ {
		switch n.word(k) {
		case "(":
			depth++
		case ")":
			depth--
		case ",", "returning", "columns", "passing", "format":
			if depth == 1 {
				n.replace(k, end, ")")
				return
			}
		}
	}
}
