package parse

import (
	"fmt"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bitvault/pawl/phases"
)

// backfillDirective reads what follows `pawl:backfill`: options, then `done:` with a query, or a colon with a reason.
func backfillDirective(d *phases.Directive, rest string) {
	d.Options = map[string]string{}
	words := strings.Fields(rest)
	at := 0
	for i, word := range words {
		if word == "done:" {
			d.Options["done"] = strings.TrimSuffix(strings.TrimSpace(rest[strings.Index(rest, "done:")+len("done:"):]), ";")
			words = words[:i]
			break
		}
		at += len(word)
		if strings.HasSuffix(word, ":") {
			words[i] = strings.TrimSuffix(word, ":")
			_, d.Reason, _ = strings.Cut(rest, word)
			d.Reason = strings.TrimSpace(d.Reason)
			words = words[:i+1]
			break
		}
	}
	d.Arg = strings.TrimSpace(strings.Join(words, " "))
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		d.Options[key] = value
	}
}

func checkBackfillDirective(d phases.Directive) (problem, hint string) {
	known := append([]string{"table", "key"}, phases.BackfillOptions()...)
	if problem, hint := checkOptions(d, known, "write `-- pawl:backfill table=users batch=1000`"); problem != "" {
		return problem, hint
	}
	s := phases.DefaultBackfillSettings()
	if err := s.ApplyBackfillOptions(d.Options); err != nil {
		return "pawl:backfill: " + err.Error(), ""
	}
	if done, ok := d.Options["done"]; ok {
		tree, err := parseTree(done)
		if err != nil || len(tree.Stmts) != 1 || tree.Stmts[0].Stmt.GetSelectStmt() == nil {
			return "pawl:backfill: done: is followed by one SELECT that is true when nothing is left to move", "write `done: SELECT NOT EXISTS (…)`"
		}
	}
	return "", ""
}

// Backfill reads the backfill of a file. It is nil where the file has no `-- pawl:backfill`, and where its statement
// cannot be run in batches, which the problems then say.
func Backfill(f *phases.File) (*phases.BackfillDef, []phases.BackfillProblem) {
	at := slices.IndexFunc(f.Directives, func(d phases.Directive) bool { return d.Name == "backfill" })
	if at < 0 {
		return nil, nil
	}
	d := f.Directives[at]
	refuse := func(rule phases.BackfillRule, hint, message string, args ...any) (*phases.BackfillDef, []phases.BackfillProblem) {
		return nil, []phases.BackfillProblem{{Rule: rule, Fatal: true, Message: fmt.Sprintf(message, args...), Hint: hint, Span: d.Span}}
	}
	const one = "a backfill file holds one UPDATE, INSERT … SELECT or DELETE; put the rest into files of their own"
	index := -1
	for i, s := range f.Statements {
		if s.Control != "" {
			continue
		}
		if index >= 0 {
			return refuse(phases.BackfillStatement, one, "there are several statements in this backfill")
		}
		index = i
	}
	if index < 0 {
		return refuse(phases.BackfillStatement, one, "there is no statement in this backfill")
	}
	p, fault := readPieces(f.Statements[index].Text)
	if fault != nil {
		return refuse(fault.rule, fault.hint, "%s", fault.message)
	}
	b := &phases.BackfillDef{
		Verb: p.verb, Table: relation(phases.Table, p.table), Target: relation(phases.Table, p.target), Only: !p.table.Inh,
		Settings: phases.DefaultBackfillSettings(), Statement: index, Span: d.Span,
	}
	if p.table.Alias != nil {
		b.Alias = p.table.Alias.Aliasname
	}
	if table := d.Options["table"]; table != "" && !sameTable(table, b.Table) {
		return refuse(phases.BackfillTables, "name the table whose rows are gone through, or leave table= out",
			"the directive names table %s, and the statement goes through %s", table, b.Table)
	}
	if key := d.Options["key"]; key != "" {
		b.Key = strings.Split(key, ",")
	}
	// Wrong values are problems of the directive itself, which the file has already.
	_ = b.Settings.ApplyBackfillOptions(d.Options)
	b.Sets = p.sets
	for _, c := range conjuncts(p.where()) {
		e := expression(c)
		b.Conditions = append(b.Conditions, phases.BackfillCondition{Expr: e, Clock: clock(c)})
		b.Anti = b.Anti || slices.ContainsFunc(e.Relations, func(o phases.Object) bool { return o.Relation == b.Target.Relation })
	}
	for _, v := range p.values {
		if e := expression(v); !e.Constant {
			b.Values = append(b.Values, e)
		}
	}
	b.DoNothing = p.doNothing
	if b.Done = d.Options["done"]; b.Done == "" {
		b.Done = p.done(b)
	}
	return b, b.Problems()
}

func sameTable(text string, o phases.Object) bool {
	schema, name := "", strings.ToLower(text)
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		schema, name = name[:i], name[i+1:]
	}
	return strings.EqualFold(name, o.Relation) && (schema == "" || o.Schema == "" || strings.EqualFold(schema, o.Schema))
}

type backfillFault struct {
	rule          phases.BackfillRule
	message, hint string
}

// pieces are the parts of a backfill's statement that the rewriting needs. They point into its tree.
type pieces struct {
	tree          *pg.ParseResult
	verb          string
	table, target *pg.RangeVar
	update        *pg.UpdateStmt
	remove        *pg.DeleteStmt
	insert        *pg.InsertStmt
	source        *pg.SelectStmt
	sets          []string
	values        []*pg.Node
	doNothing     bool
}

func readPieces(text string) (*pieces, *backfillFault) {
	wrong := func(rule phases.BackfillRule, hint, message string) (*pieces, *backfillFault) {
		return nil, &backfillFault{rule, message, hint}
	}
	const batches = "pawl runs the statement in batches by the table's key; write it for the whole table, as one UPDATE, INSERT … SELECT or DELETE"
	tree, err := parseTree(text)
	if err != nil || len(tree.Stmts) != 1 {
		return wrong(phases.BackfillStatement, batches, "this statement cannot be read")
	}
	p := &pieces{tree: tree}
	var with *pg.WithClause
	var from, returning []*pg.Node
	switch v := tree.Stmts[0].Stmt.GetNode().(type) {
	case *pg.Node_UpdateStmt:
		p.verb, p.update, p.target = "update", v.UpdateStmt, v.UpdateStmt.Relation
		p.table, with, from, returning = p.target, v.UpdateStmt.WithClause, v.UpdateStmt.FromClause, v.UpdateStmt.ReturningList
		p.sets, p.values = assigned(v.UpdateStmt.TargetList)
	case *pg.Node_DeleteStmt:
		p.verb, p.remove, p.target = "delete", v.DeleteStmt, v.DeleteStmt.Relation
		p.table, with, from, returning = p.target, v.DeleteStmt.WithClause, v.DeleteStmt.UsingClause, v.DeleteStmt.ReturningList
	case *pg.Node_InsertStmt:
		p.verb, p.insert, p.target = "insert", v.InsertStmt, v.InsertStmt.Relation
		with, returning = v.InsertStmt.WithClause, v.InsertStmt.ReturningList
		if fault := p.readInsert(); fault != nil {
			return nil, fault
		}
	default:
		return wrong(phases.BackfillStatement, batches, "a backfill is one UPDATE, INSERT … SELECT or DELETE")
	}
	if len(from) > 0 {
		return wrong(phases.BackfillTables, "read the other table in a subquery: SET x = (SELECT … FROM other WHERE …), and the same in the condition",
			"the statement joins another table, so that a row may be met twice or in no batch: a backfill touches one table")
	}
	if writes := writesWithin(with); writes != "" {
		return wrong(phases.BackfillTables, "write two backfills", "the statement writes "+writes+" as well: a backfill touches one table")
	}
	if len(returning) > 0 {
		return wrong(phases.BackfillStatement, "leave RETURNING out", "nobody reads what a backfill returns")
	}
	return p, nil
}

func assigned(list []*pg.Node) (sets []string, values []*pg.Node) {
	for _, n := range list {
		if r := n.GetResTarget(); r != nil {
			sets = append(sets, r.Name)
			values = append(values, r.Val)
		}
	}
	return sets, values
}

// readInsert finds the one table that an INSERT … SELECT reads row by row.
func (p *pieces) readInsert() *backfillFault {
	for _, n := range p.insert.Cols {
		p.sets = append(p.sets, n.GetResTarget().GetName())
	}
	s := p.insert.SelectStmt.GetSelectStmt()
	if s == nil || len(s.ValuesLists) > 0 || len(s.FromClause) == 0 {
		return &backfillFault{phases.BackfillStatement, "this INSERT reads no table, so there is nothing to go through in batches", "leave the directive out: the rows are few"}
	}
	switch {
	case s.Op != pg.SetOperation_SETOP_NONE, len(s.GroupClause) > 0, len(s.DistinctClause) > 0, s.HavingClause != nil, s.LimitCount != nil,
		s.LimitOffset != nil, len(s.WindowClause) > 0, s.WithClause != nil && writesWithin(s.WithClause) != "":
		return &backfillFault{phases.BackfillStatement, "this SELECT puts rows together or counts them, which would come out otherwise in batches", "select row by row: no GROUP BY, DISTINCT, LIMIT, UNION or window"}
	}
	table := s.FromClause[0].GetRangeVar()
	if len(s.FromClause) > 1 || table == nil {
		return &backfillFault{
			phases.BackfillTables, "the SELECT joins several tables, so that a row may be met twice: a backfill goes through one table",
			"read the others in subqueries",
		}
	}
	for _, n := range s.TargetList {
		p.values = append(p.values, n.GetResTarget().GetVal())
	}
	p.source, p.table = s, table
	if c := p.insert.OnConflictClause; c != nil {
		p.doNothing = c.Action == pg.OnConflictAction_ONCONFLICT_NOTHING
	}
	return nil
}

// writesWithin names the table that a WITH clause writes; empty where it writes none.
func writesWithin(with *pg.WithClause) string {
	if with == nil {
		return ""
	}
	for _, n := range with.Ctes {
		if q := query(n.GetCommonTableExpr().GetCtequery()); len(q.Writes) > 0 {
			return q.Writes[0].Table.String()
		}
	}
	return ""
}

func (p *pieces) where() *pg.Node {
	switch p.verb {
	case "update":
		return p.update.WhereClause
	case "delete":
		return p.remove.WhereClause
	}
	return p.source.WhereClause
}

func (p *pieces) setWhere(n *pg.Node) {
	switch p.verb {
	case "update":
		p.update.WhereClause = n
	case "delete":
		p.remove.WhereClause = n
	default:
		p.source.WhereClause = n
	}
}

// conjuncts gives the conditions that are joined by AND.
func conjuncts(n *pg.Node) []*pg.Node {
	if n == nil {
		return nil
	}
	b := n.GetBoolExpr()
	if b == nil || b.Boolop != pg.BoolExprType_AND_EXPR {
		return []*pg.Node{n}
	}
	var out []*pg.Node
	for _, a := range b.Args {
		out = append(out, conjuncts(a)...)
	}
	return out
}

// clock reports whether an expression asks for the time: now() and its like, CURRENT_TIMESTAMP and its like.
func clock(n *pg.Node) bool {
	found := false
	eachMessage(n.ProtoReflect(), func(m protoreflect.Message) {
		switch v := m.Interface().(type) {
		case *pg.SQLValueFunction:
			switch v.Op {
			case pg.SQLValueFunctionOp_SVFOP_CURRENT_ROLE, pg.SQLValueFunctionOp_SVFOP_CURRENT_USER, pg.SQLValueFunctionOp_SVFOP_USER,
				pg.SQLValueFunctionOp_SVFOP_SESSION_USER, pg.SQLValueFunctionOp_SVFOP_CURRENT_CATALOG, pg.SQLValueFunctionOp_SVFOP_CURRENT_SCHEMA:
			default:
				found = true
			}
		case *pg.FuncCall:
			_, name := qualified(words(v.Funcname))
			switch name {
			case "now", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "timeofday", "age":
				found = true
			}
		}
	})
	return found
}

// eachMessage visits a message and all that it holds.
func eachMessage(m protoreflect.Message, visit func(protoreflect.Message)) {
	visit(m)
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Kind() != protoreflect.MessageKind:
		case fd.IsList():
			for i := range v.List().Len() {
				eachMessage(v.List().Get(i).Message(), visit)
			}
		default:
			eachMessage(v.Message(), visit)
		}
		return true
	})
}

// done gives the query that is true once the statement would find no row any more; empty where that does not follow.
func (p *pieces) done(b *phases.BackfillDef) string {
	if p.verb == "insert" && !b.Anti || p.where() == nil {
		return ""
	}
	rest := &pg.SelectStmt{
		FromClause: []*pg.Node{{Node: &pg.Node_RangeVar{RangeVar: p.table}}}, WhereClause: p.where(),
		LimitOption: pg.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg.SetOperation_SETOP_NONE,
	}
	switch {
	case p.verb == "update":
		rest.WithClause = p.update.WithClause
	case p.verb == "delete":
		rest.WithClause = p.remove.WithClause
	case p.source != nil:
		rest.WithClause = p.source.WithClause
	}
	text, err := deparseSelect(rest)
	if err != nil {
		return ""
	}
	return "SELECT NOT EXISTS (" + text + ")"
}

func deparseSelect(s *pg.SelectStmt) (string, error) {
	return pg.Deparse(&pg.ParseResult{Stmts: []*pg.RawStmt{{Stmt: &pg.Node{Node: &pg.Node_SelectStmt{SelectStmt: s}}}}})
}
