package parse

import (
	"strings"

	"github.com/bitvault/pawl/phases"
	pg "github.com/pganalyze/pg_query_go/v5"
)

// query gives the operations of SELECT, INSERT, UPDATE, DELETE and MERGE: one per table written, the outermost last,
// and one select where nothing is written.
func (s *statement) query(n *pg.Node) []phases.Operation {
	q := queryIn(n, s.body)
	if len(q.Writes) == 0 {
		op := s.make("select", phases.Object{})
		if len(q.Reads) > 0 {
			op.On = q.Reads[0]
		}
		op.Query = q
		return append(s.settings(n), op)
	}
	ops := make([]phases.Operation, 0, len(q.Writes))
	for i := range q.Writes {
		w := q.Writes[i]
		op := s.make(writeKind(w), w.Table)
		op.Names = w.Columns
		one := *q
		one.Writes = []phases.Write{w}
		one.Where, one.Key = w.Where, w.Key
		op.Query = &one
		if w.Verb == "create" {
			op.Table = &phases.TableDef{}
		}
		ops = append(ops, op)
	}
	return ops
}

// settings are the parameters that a query sets: SELECT set_config('lock_timeout', '2s', false).
func (s *statement) settings(n *pg.Node) []phases.Operation {
	var ops []phases.Operation
	for _, target := range n.GetSelectStmt().GetTargetList() {
		call := target.GetResTarget().GetVal().GetFuncCall()
		if call == nil || len(call.Args) != 3 || word(call.Funcname[len(call.Funcname)-1]) != "set_config" {
			continue
		}
		name, _, known := literal(call.Args[0])
		value, null, ok := literal(call.Args[1])
		local, _, sure := literal(call.Args[2])
		if !known || !ok || !sure || null || name == "" {
			continue
		}
		op := s.make("set", phases.Object{})
		op.Names, op.Roles, op.Text = []string{strings.ToLower(name)}, strings.Split(value, ","), value
		op.Flags = flag(phases.Local, local == "true" || local == "t")
		ops = append(ops, op)
	}
	return ops
}

func writeKind(w phases.Write) phases.Kind {
	switch w.Verb {
	case "create":
		return "create_table_as"
	case "update":
		if !w.Where {
			return "update_all"
		}
	case "delete":
		if !w.Where {
			return "delete_all"
		}
	case "insert":
		if w.Conflict {
			return "upsert"
		}
	}
	return phases.Kind(w.Verb)
}

func (s *statement) copy(c *pg.CopyStmt) []phases.Operation {
	if !c.IsFrom {
		op := s.make("copy_to", relation(phases.Table, c.Relation))
		op.Query = &phases.QueryDef{}
		if c.Query != nil {
			op.Query = query(c.Query)
			if len(op.Query.Writes) > 0 {
				return append(s.query(c.Query), op)
			}
		} else {
			op.Query.Reads = []phases.Object{op.On}
		}
		if c.IsProgram {
			op.Kind = "copy_to_program"
		}
		return []phases.Operation{op}
	}
	if c.IsProgram {
		// What a program prints, and does besides, nobody can tell.
		return s.one("copy_to_program", relation(phases.Table, c.Relation))
	}
	op := s.make("copy_from", relation(phases.Table, c.Relation))
	op.Names = words(c.Attlist)
	op.Query = &phases.QueryDef{Writes: []phases.Write{{Verb: "insert", Table: op.On, Columns: op.Names, Where: true}}}
	return []phases.Operation{op}
}

func (s *statement) call(c *pg.CallStmt) []phases.Operation {
	schema, name := qualified(words(c.Funccall.GetFuncname()))
	op := s.make("call", phases.Object{Kind: phases.Procedure, Schema: schema, Name: name})
	col := collector{}
	col.call(c.Funccall)
	op.Query = &col.q
	return []phases.Operation{op}
}

func (s *statement) explain(e *pg.ExplainStmt) []phases.Operation {
	_, values := options(e.Options)
	if _, ok := values["analyze"]; ok && (values["analyze"] == "" || on(values, "analyze")) {
		return s.operations(e.Query)
	}
	op := s.make("explain", phases.Object{})
	return []phases.Operation{op}
}

func (s *statement) do(d *pg.DoStmt) []phases.Operation {
	language, body := "plpgsql", ""
	for _, n := range d.Args {
		switch e := n.GetDefElem(); e.GetDefname() {
		case "as":
			body = word(e.GetArg())
		case "language":
			language = word(e.GetArg())
		}
	}
	op := s.make("do", phases.Object{})
	op.Function = &phases.FunctionDef{Language: language, BodyText: body, Volatility: 'v', Procedure: true}
	op.Function.Body = s.bodyOperations(language, body)
	op.Body = op.Function.Body
	return []phases.Operation{op}
}

func parameter(p *pg.FunctionParameter) phases.Parameter {
	out := phases.Parameter{Name: p.GetName(), Type: typeName(p.GetArgType()), Default: p.GetDefexpr() != nil, Mode: 'i'}
	switch p.GetMode() {
	case pg.FunctionParameterMode_FUNC_PARAM_OUT:
		out.Mode = 'o'
	case pg.FunctionParameterMode_FUNC_PARAM_INOUT:
		out.Mode = 'b'
	case pg.FunctionParameterMode_FUNC_PARAM_VARIADIC:
		out.Mode = 'v'
	case pg.FunctionParameterMode_FUNC_PARAM_TABLE:
		out.Mode = 't'
	}
	return out
}

func (s *statement) createFunction(c *pg.CreateFunctionStmt) []phases.Operation {
	op := s.make("create_function", named(phases.Function, c.Funcname))
	def := &phases.FunctionDef{Procedure: c.IsProcedure, Returns: typeName(c.ReturnType), Volatility: 'v', Language: "sql"}
	if c.IsProcedure {
		op.Kind, op.On.Kind = "create_procedure", phases.Procedure
	}
	for _, n := range c.Parameters {
		def.Parameters = append(def.Parameters, parameter(n.GetFunctionParameter()))
	}
	s.functionOptions(def, c.Options)
	if c.SqlBody != nil {
		def.Atomic = true
		col := collector{}
		col.node(c.SqlBody)
		def.Reads = col.q.Reads
		def.Body = s.atomicBody(c.SqlBody)
		def.BodyText = normal(s.text, "returns")
	} else {
		def.Body = s.bodyOperations(def.Language, def.BodyText)
	}
	def.Definition = s.text
	op.Function = def
	op.Flags = flag(phases.Replace, c.Replace)
	return []phases.Operation{op}
}

func (s *statement) atomicBody(n *pg.Node) []phases.Operation {
	inner := statement{span: s.span, text: s.text, at: s.at, body: true}
	switch v := n.GetNode().(type) {
	case *pg.Node_List:
		var ops []phases.Operation
		for _, item := range v.List.Items {
			ops = append(ops, s.atomicBody(item)...)
		}
		return ops
	case *pg.Node_ReturnStmt:
		op := inner.make("select", phases.Object{})
		op.Query = query(v.ReturnStmt.Returnval)
		return []phases.Operation{op}
	default:
		return inner.operations(n)
	}
}

func (s *statement) functionOptions(def *phases.FunctionDef, list []*pg.Node) {
	for _, n := range list {
		d := n.GetDefElem()
		value := word(d.GetArg())
		switch d.GetDefname() {
		case "language":
			def.Language = strings.ToLower(value)
		case "volatility":
			def.Volatility = letter(value)
		case "strict":
			def.Strict = value == "true"
		case "security":
			def.SecurityDefiner = value == "true"
		case "as":
			def.BodyText = word(first(d.GetArg().GetList().GetItems()))
		case "set":
			v := d.GetArg().GetVariableSetStmt()
			def.Settings = append(def.Settings, strings.ToLower(v.GetName())+"="+strings.Join(words(v.GetArgs()), ","))
		}
	}
}

func (s *statement) alterFunction(a *pg.AlterFunctionStmt) []phases.Operation {
	op := s.make("alter_function", withArgs(objectKind(a.Objtype), a.Func))
	op.Names, _ = options(a.Actions)
	def := &phases.FunctionDef{}
	s.functionOptions(def, a.Actions)
	op.Function = def
	for _, name := range op.Names {
		switch {
		case name == "security" && !def.SecurityDefiner:
			op.Kind = "set_security_invoker"
		case name == "set":
			op.Kind = "set_function_setting"
		}
	}
	return []phases.Operation{op}
}
