package parse

import (
	"fmt"

	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bitvault/pawl/phases"
)

// Batch says which rows one batch of a backfill is to touch.
type Batch struct {
	// Table is the table that stands in the place of the statement's: a partition, or the table itself by its full name.
	Table phases.Object
	// Key are the columns of the key, in the order of its index; none means ranges of ctid.
	Key []string
	// Below is true where the range has a lower bound. By key, the range is from behind the lower bound up to and with
	// the upper one; by ctid, from the lower one up to and without the upper one.
	Below bool
	// Watch makes the statement count the rows that still fulfil its condition once they are changed. It is heeded only
	// where that can be told from the changed row alone.
	Watch bool
}

// Statement rewrites a backfill's statement to one batch. Its parameters are the values of the lower bound, if the
// batch has one, and then those of the upper bound. Where watched is true the statement gives one row: how many rows
// it has changed, and how many of them still fulfil the condition. The text must be one that Backfill took.
func (b Batch) Statement(text string) (sql string, watched bool, err error) {
	p, fault := readPieces(text)
	if fault != nil {
		return "", false, fmt.Errorf("rewrite the backfill: %s", fault.message)
	}
	name := p.table.Relname
	if p.table.Alias != nil {
		name = p.table.Alias.Aliasname
	}
	own := [2]string{p.table.Schemaname, p.table.Relname}
	condition := p.where()
	p.setWhere(and(b.bounds(name), condition))
	if b.Watch && p.verb == "update" && condition != nil && !hasSubquery(condition) {
		p.update.ReturningList = []*pg.Node{{Node: &pg.Node_ResTarget{ResTarget: &pg.ResTarget{Name: "pawl_still", Val: condition}}}}
		watched = true
	}
	if p.table.Alias == nil {
		// What the statement says of its table by name it has to say of the partition.
		p.table.Alias = &pg.Alias{Aliasname: name}
		unqualify(p.tree.Stmts[0].Stmt.ProtoReflect(), own)
	}
	p.table.Schemaname, p.table.Relname, p.table.Inh = b.Table.Schema, b.Table.Relation, false
	sql, err = pg.Deparse(p.tree)
	if err != nil {
		return "", false, fmt.Errorf("rewrite the backfill: %w", err)
	}
	if watched {
		sql = "WITH pawl_batch AS (" + sql + ") SELECT count(*), count(*) FILTER (WHERE pawl_still) FROM pawl_batch"
	}
	return sql, watched, nil
}

// bounds gives the conditions on the key.
func (b Batch) bounds(name string) *pg.Node {
	key := b.Key
	lower, upper := ">", "<="
	if len(key) == 0 {
		key, lower, upper = []string{"ctid"}, ">=", "<"
	}
	next := int32(1)
	compare := func(operator string) *pg.Node {
		var columns, values []*pg.Node
		for _, k := range key {
			columns = append(columns, column(name, k))
			value := &pg.Node{Node: &pg.Node_ParamRef{ParamRef: &pg.ParamRef{Number: next}}}
			if len(b.Key) == 0 {
				value = cast(value, "tid")
			}
			values = append(values, value)
			next++
		}
		return &pg.Node{Node: &pg.Node_AExpr{AExpr: &pg.A_Expr{
			Kind: pg.A_Expr_Kind_AEXPR_OP, Name: []*pg.Node{pg.MakeStrNode(operator)}, Lexpr: row(columns), Rexpr: row(values),
		}}}
	}
	if !b.Below {
		return compare(upper)
	}
	from := compare(lower)
	return and(from, compare(upper))
}

func row(list []*pg.Node) *pg.Node {
	if len(list) == 1 {
		return list[0]
	}
	return &pg.Node{Node: &pg.Node_RowExpr{RowExpr: &pg.RowExpr{Args: list, RowFormat: pg.CoercionForm_COERCE_IMPLICIT_CAST}}}
}

func column(relation, name string) *pg.Node {
	return &pg.Node{Node: &pg.Node_ColumnRef{ColumnRef: &pg.ColumnRef{Fields: []*pg.Node{pg.MakeStrNode(relation), pg.MakeStrNode(name)}}}}
}

func cast(n *pg.Node, name string) *pg.Node {
	return &pg.Node{Node: &pg.Node_TypeCast{TypeCast: &pg.TypeCast{
		Arg: n, TypeName: &pg.TypeName{Names: []*pg.Node{pg.MakeStrNode(name)}, Typemod: -1},
	}}}
}

// and joins two conditions; either may be nil.
func and(a, b *pg.Node) *pg.Node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return &pg.Node{Node: &pg.Node_BoolExpr{BoolExpr: &pg.BoolExpr{Boolop: pg.BoolExprType_AND_EXPR, Args: append(conjuncts(a), conjuncts(b)...)}}}
}

func hasSubquery(n *pg.Node) bool {
	found := false
	eachMessage(n.ProtoReflect(), func(m protoreflect.Message) {
		if _, ok := m.Interface().(*pg.SubLink); ok {
			found = true
		}
	})
	return found
}

// unqualify takes the schema off column references such as app.users.email: the table goes by an alias then.
func unqualify(m protoreflect.Message, table [2]string) {
	eachMessage(m, func(m protoreflect.Message) {
		r, ok := m.Interface().(*pg.ColumnRef)
		if !ok || len(r.Fields) < 3 {
			return
		}
		if word(r.Fields[0]) == table[0] && word(r.Fields[1]) == table[1] {
			r.Fields = r.Fields[1:]
		}
	})
}
