package lsp

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tliron/glsp"
	protocol "github.com/tliron/glsp/protocol_3_16"

	"github.com/bitvault/pawl/lint"
	"github.com/bitvault/pawl/phases"
)

// diagnostic gives a finding as the editor shows it.
func diagnostic(d *document, f *lint.Finding) protocol.Diagnostic {
	severity := protocol.DiagnosticSeverityInformation
	switch f.Severity {
	case lint.Error:
		severity = protocol.DiagnosticSeverityError
	case lint.Warning:
		severity = protocol.DiagnosticSeverityWarning
	}
	message := f.Message
	if f.Help != "" {
		message += "\n" + f.Help
	}
	source := "pawl"
	return protocol.Diagnostic{
		Range: place(d, f), Severity: &severity, Code: &protocol.IntegerOrString{Value: f.Rule}, Source: &source, Message: message,
		CodeDescription: &protocol.CodeDescription{HRef: lint.PageURL(f.Rule)},
	}
}

// place gives the range of a finding; one without an extent goes to the end of its line, so that there is something to see.
func place(d *document, f *lint.Finding) protocol.Range {
	start, end := f.Span.Start.Offset, f.Span.End.Offset
	if end <= start {
		end = d.lineEnd(min(start+d.mark(), len(d.text))) - d.mark()
	}
	return d.stretch(start, end)
}

// hover tells what the operation under the cursor does: its phase, its locks, what it rewrites, reads and takes. Over an allowance it
// shows the rule's page.
func (s *Server) hover(_ *glsp.Context, params *protocol.HoverParams) (*protocol.Hover, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.analyse(params.TextDocument.URI)
	if a == nil {
		return nil, nil //nolint:nilnil // nothing to say
	}
	d := a.document
	offset := d.offset(params.Position) - d.mark()
	show := func(text string, span phases.Span) (*protocol.Hover, error) {
		r := d.stretch(span.Start.Offset, span.End.Offset)
		return &protocol.Hover{Contents: protocol.MarkupContent{Kind: protocol.MarkupKindMarkdown, Value: text}, Range: &r}, nil
	}
	for i := range a.assessment.File.Directives {
		directive := &a.assessment.File.Directives[i]
		if directive.Name == "allow" && covers(directive.Span, offset) {
			var pages []string
			for name := range strings.FieldsFuncSeq(directive.Arg, func(r rune) bool { return r == ',' || r == ' ' }) {
				if r, ok := lint.Find(name); ok {
					pages = append(pages, fmt.Sprintf("**%s**: %s. [Read on](%s)", r.Name, r.Summary, lint.PageURL(r.Name)))
				}
			}
			if len(pages) > 0 {
				return show(strings.Join(pages, "\n\n"), directive.Span)
			}
		}
	}
	for i := range a.assessment.Statements {
		st := &a.assessment.Statements[i]
		if st.Statement == nil || !covers(st.Statement.Span, offset) {
			continue
		}
		// The operation under the cursor, or all of the statement where it is on none of them in particular.
		var under []phases.AssessedOperation
		span := st.Statement.Span
		for _, op := range st.Operations {
			if covers(op.Span, offset) && op.Span != span {
				under = append(under, op)
			}
		}
		if len(under) > 0 {
			span = under[0].Span
		} else {
			under = st.Operations
		}
		if len(under) == 0 {
			return nil, nil //nolint:nilnil // nothing to say
		}
		return show(describe(under, st), span)
	}
	return nil, nil //nolint:nilnil // nothing to say
}

func covers(s phases.Span, offset int) bool {
	return s.Start.Offset <= offset && offset <= s.End.Offset
}

// mostOperations is how many operations a hover tells about.
const mostOperations = 8

func describe(ops []phases.AssessedOperation, st *phases.AssessedStatement) string {
	var b strings.Builder
	for i := range ops {
		if i == mostOperations {
			fmt.Fprintf(&b, "\n… and %d more\n", len(ops)-i)
			break
		}
		if i > 0 {
			b.WriteString("\n---\n\n")
		}
		describeOperation(&b, &ops[i])
	}
	if !st.Transactional {
		b.WriteString("\nPostgreSQL refuses this inside a transaction: it needs a file of its own.\n")
	}
	return b.String()
}

func describeOperation(b *strings.Builder, op *phases.AssessedOperation) {
	fmt.Fprintf(b, "**%s** `%s`", op.Phase, op.Kind)
	if name := op.On.String(); name != "" {
		fmt.Fprintf(b, " on `%s`", name)
	}
	fmt.Fprintf(b, "\n\n%s\n\n", op.Summary)
	if op.Why != "" {
		fmt.Fprintf(b, "But %s.\n\n", op.Why)
	}
	for _, l := range op.Locks {
		fmt.Fprintf(b, "- locks `%s`: %s, which blocks %s\n", l.Relation, l.Mode, l.Mode.Blocks())
	}
	switch {
	case op.Effect.Rewrite:
		b.WriteString("- rewrites the whole table\n")
	case op.Effect.Scan:
		b.WriteString("- reads the whole table\n")
	}
	for _, t := range op.Takes {
		fmt.Fprintf(b, "- takes %s `%s` from code; uses: %s (%s)\n", t.Object.Kind, t.Object, t.Uses, t.Certainty)
	}
	if d, ok := phases.Describe(op.Kind); ok && d.Safe != "" && !op.New {
		fmt.Fprintf(b, "\nSafely: %s\n", d.Safe)
	}
}

// codeActions offers the cures of the findings in a range, and the comment that allows them.
func (s *Server) codeActions(_ *glsp.Context, params *protocol.CodeActionParams) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	actions := []protocol.CodeAction{}
	a := s.analyse(params.TextDocument.URI)
	if a == nil || len(params.Context.Only) > 0 && !slices.ContainsFunc(params.Context.Only, func(k protocol.CodeActionKind) bool {
		return k == "" || k == protocol.CodeActionKindQuickFix || strings.HasPrefix(protocol.CodeActionKindQuickFix, k+".")
	}) {
		return actions, nil
	}
	kind, yes := protocol.CodeActionKindQuickFix, true
	for i := range a.findings {
		f := &a.findings[i]
		if !touches(place(a.document, f), params.Range) {
			continue
		}
		about := []protocol.Diagnostic{diagnostic(a.document, f)}
		if edit := s.edit(a.document, f.Edits); edit != nil {
			actions = append(actions, protocol.CodeAction{Title: "Fix " + f.Rule, Kind: &kind, Diagnostics: about, IsPreferred: &yes, Edit: edit})
		}
		if edit := allow(a, f); edit != nil {
			actions = append(actions, protocol.CodeAction{Title: "Allow " + f.Rule + " here", Kind: &kind, Diagnostics: about, Edit: edit})
		}
	}
	return actions, nil
}

// edit gives edits of lint as the editor applies them; nil where there are none, or where the editor cannot make files.
func (s *Server) edit(d *document, edits []lint.Edit) *protocol.WorkspaceEdit {
	if len(edits) == 0 {
		return nil
	}
	var mine []protocol.TextEdit
	var others []any
	for _, e := range edits {
		if !e.NewFile {
			if e.Path != d.path {
				return nil
			}
			mine = append(mine, protocol.TextEdit{Range: d.stretch(e.Start, e.End), NewText: e.Text})
			continue
		}
		if !s.creates {
			return nil
		}
		uri := uriOf(e.Path)
		others = append(others, protocol.CreateFile{Kind: "create", URI: uri}, protocol.TextDocumentEdit{
			TextDocument: protocol.OptionalVersionedTextDocumentIdentifier{TextDocumentIdentifier: protocol.TextDocumentIdentifier{URI: uri}},
			Edits:        []any{protocol.TextEdit{NewText: e.Text}},
		})
	}
	if len(others) == 0 {
		return &protocol.WorkspaceEdit{Changes: map[protocol.DocumentUri][]protocol.TextEdit{d.uri: mine}}
	}
	if len(mine) > 0 {
		list := make([]any, len(mine))
		for i := range mine {
			list[i] = mine[i]
		}
		version := d.version
		others = append(others, protocol.TextDocumentEdit{
			TextDocument: protocol.OptionalVersionedTextDocumentIdentifier{TextDocumentIdentifier: protocol.TextDocumentIdentifier{URI: d.uri}, Version: &version},
			Edits:        list,
		})
	}
	return &protocol.WorkspaceEdit{DocumentChanges: others}
}

// allow gives the edit that puts an allowance above the statement of a finding; nil for a finding about no statement.
func allow(a *analysis, f *lint.Finding) *protocol.WorkspaceEdit {
	for i := range a.assessment.Statements {
		st := a.assessment.Statements[i].Statement
		if st == nil || !covers(st.Span, f.Span.Start.Offset) || strings.HasSuffix(f.Rule, "-allowance") {
			continue
		}
		d := a.document
		start := st.Span.Start.Offset + d.mark()
		line := d.lines[d.position(start).Line]
		indent := d.text[line:start]
		at := line
		if strings.TrimSpace(indent) != "" {
			// Something else stands before it in the line.
			at, indent = start, ""
		}
		r := protocol.Range{Start: d.position(at), End: d.position(at)}
		text := indent + "-- pawl:allow " + f.Rule + ": say why it is safe here\n"
		if at == start {
			text = "\n" + text
		}
		return &protocol.WorkspaceEdit{Changes: map[protocol.DocumentUri][]protocol.TextEdit{d.uri: {{Range: r, NewText: text}}}}
	}
	return nil
}
