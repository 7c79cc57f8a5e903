package main

import (
	"strconv"

	"github.com/bitvault/pawl/lint/report"
	"github.com/bitvault/pawl/phases"
)

// appendFile writes one file of `pawl classify --format json`; docs/formats.md describes it.
func appendFile(b []byte, a *phases.Assessment) []byte {
	b = append(b, `{"path":`...)
	b = report.AppendString(b, a.File.Path)
	b = appendPhase(b, a.Phase)
	b = append(b, `,"transactional":`...)
	b = strconv.AppendBool(b, a.Transactional)
	b = append(b, `,"mixed":`...)
	b = strconv.AppendBool(b, a.Mixed)
	b = append(b, `,"statements":[`...)
	for i := range a.Statements {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendStatement(b, &a.Statements[i])
	}
	b = append(b, ']')
	if len(a.File.Problems)+len(a.Problems) > 0 {
		b = append(b, `,"problems":[`...)
		first := true
		for _, list := range [][]phases.Problem{a.File.Problems, a.Problems} {
			for i := range list {
				if !first {
					b = append(b, ',')
				}
				first = false
				b = appendProblem(b, &list[i])
			}
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

func appendProblem(b []byte, p *phases.Problem) []byte {
	b = append(b, `{"code":`...)
	b = report.AppendString(b, string(p.Code))
	b = append(b, `,"message":`...)
	b = report.AppendString(b, p.Message)
	if p.Hint != "" {
		b = append(b, `,"hint":`...)
		b = report.AppendString(b, p.Hint)
	}
	b = append(b, ',')
	b = appendSpan(b, p.Span)
	return append(b, '}')
}

func appendStatement(b []byte, s *phases.AssessedStatement) []byte {
	b = append(b, '{')
	b = appendSpan(b, s.Statement.Span)
	b = append(b, `,"sql":`...)
	b = report.AppendString(b, s.Statement.Text)
	b = appendPhase(b, s.Phase)
	b = append(b, `,"transactional":`...)
	b = strconv.AppendBool(b, s.Transactional)
	b = append(b, `,"operations":[`...)
	for i := range s.Operations {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendOperation(b, &s.Operations[i])
	}
	return append(b, "]}"...)
}

func appendOperation(b []byte, op *phases.AssessedOperation) []byte {
	b = append(b, `{"kind":`...)
	b = report.AppendString(b, string(op.Kind))
	b = appendPhase(b, op.Phase)
	b = append(b, `,"object":`...)
	b = appendObject(b, op.On)
	b = append(b, `,"locks":[`...)
	for i, l := range op.Locks {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"relation":`...)
		b = report.AppendString(b, l.Relation)
		b = append(b, `,"mode":"`...)
		b = append(b, l.Mode.String()...)
		b = append(b, `"}`...)
	}
	b = append(b, `],"rewrite":`...)
	b = strconv.AppendBool(b, op.Effect.Rewrite)
	b = append(b, `,"scan":`...)
	b = strconv.AppendBool(b, op.Effect.Scan)
	b = append(b, `,"takes":[`...)
	for i, t := range op.Takes {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"object":`...)
		b = appendObject(b, t.Object)
		b = append(b, `,"uses":`...)
		b = report.AppendString(b, t.Uses.String())
		b = append(b, `,"certainty":`...)
		b = report.AppendString(b, t.Certainty.String())
		if t.Everything {
			b = append(b, `,"everything":true`...)
		}
		b = append(b, '}')
	}
	b = append(b, ']')
	if op.Why != "" {
		b = append(b, `,"why":`...)
		b = report.AppendString(b, op.Why)
	}
	return append(b, '}')
}

func appendPhase(b []byte, p phases.Phase) []byte {
	b = append(b, `,"phase":"`...)
	b = append(b, p.String()...)
	return append(b, '"')
}

func appendObject(b []byte, o phases.Object) []byte {
	b = append(b, `{"kind":`...)
	b = report.AppendString(b, string(o.Kind))
	for _, f := range [...]struct{ name, value string }{{"schema", o.Schema}, {"relation", o.Relation}, {"column", o.Column}, {"name", o.Name}} {
		if f.value == "" {
			continue
		}
		b = append(b, `,"`...)
		b = append(b, f.name...)
		b = append(b, `":`...)
		b = report.AppendString(b, f.value)
	}
	return append(b, '}')
}

func appendSpan(b []byte, s phases.Span) []byte {
	b = append(b, `"span":{"start":`...)
	b = appendPosition(b, s.Start)
	b = append(b, `,"end":`...)
	b = appendPosition(b, s.End)
	return append(b, '}')
}

func appendPosition(b []byte, p phases.Position) []byte {
	b = append(b, `{"line":`...)
	b = strconv.AppendInt(b, int64(p.Line), 10)
	b = append(b, `,"column":`...)
	b = strconv.AppendInt(b, int64(p.Column), 10)
	return append(b, '}')
}
