// Package lsp answers an editor: what lint finds while a migration is written, what an operation does, and the cures.
package lsp

import (
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sourcegraph/jsonrpc2"
	"github.com/tliron/glsp"
	protocol "github.com/tliron/glsp/protocol_3_16"

	"github.com/bitvault/pawl/lint"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/parse"
)

// Options are how a Server judges.
type Options struct {
	// Lint are the linter's options, as for the command line.
	Lint lint.Options
	// Before lists the files that stand before one, in order; the schema that they leave is what the file is judged against.
	Before func(path string) []string
	// Version is that of pawl, for the editor to show.
	Version string
}

// Server serves one editor. Messages are handled in their order; findings are worked out beside them, so that a burst of changes is
// judged once.
type Server struct {
	options Options
	handler protocol.Handler
	notify  func(method string, params any)
	// changed wakes the worker; it holds at most one word.
	changed chan struct{}

	mu        sync.Mutex
	documents map[protocol.DocumentUri]*document
	// generation grows with every change of any text: what was worked out for another one is out of date.
	generation int
	parsed     map[string]parsedFile
	analyses   map[protocol.DocumentUri]*analysis
	creates    bool
	shut       bool
}

// parsedFile is a file of the disk, as long as it does not change there.
type parsedFile struct {
	changed time.Time
	size    int64
	file    *phases.File
	layout  *lint.Layout
}

// analysis is what there is to say about one document.
type analysis struct {
	generation int
	document   *document
	assessment *phases.Assessment
	findings   []lint.Finding
}

// ErrNoShutdown is what Serve gives when the editor goes away without asking for the shutdown first.
var ErrNoShutdown = errors.New("the editor ended without a shutdown request")

// New makes a server.
func New(o Options) *Server {
	s := &Server{
		options: o, changed: make(chan struct{}, 1), documents: map[protocol.DocumentUri]*document{}, parsed: map[string]parsedFile{},
		analyses: map[protocol.DocumentUri]*analysis{},
	}
	s.handler = protocol.Handler{
		Initialize: s.initialize, Initialized: func(*glsp.Context, *protocol.InitializedParams) error { return nil },
		Shutdown: func(*glsp.Context) error { s.shut = true; return nil },
		SetTrace: func(*glsp.Context, *protocol.SetTraceParams) error { return nil },
		// A request is answered before the next message is read, so that there is never one to cancel.
		CancelRequest:       func(*glsp.Context, *protocol.CancelParams) error { return nil },
		TextDocumentDidOpen: s.didOpen, TextDocumentDidChange: s.didChange, TextDocumentDidClose: s.didClose,
		TextDocumentDidSave: func(*glsp.Context, *protocol.DidSaveTextDocumentParams) error { s.touch(); return nil },
		WorkspaceDidChangeWatchedFiles: func(*glsp.Context, *protocol.DidChangeWatchedFilesParams) error {
			s.touch()
			return nil
		},
		WorkspaceDidChangeConfiguration: func(*glsp.Context, *protocol.DidChangeConfigurationParams) error { return nil },
		TextDocumentHover:               s.hover,
		TextDocumentCodeAction:          s.codeActions,
	}
	return s
}

// Serve talks over the streams until the editor says exit or goes away.
func (s *Server) Serve(ctx context.Context, in io.ReadCloser, out io.WriteCloser) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	exit := make(chan struct{})
	var first, once sync.Once
	handle := func(ctx context.Context, conn *jsonrpc2.Conn, r *jsonrpc2.Request) (any, error) {
		first.Do(func() {
			// A connection that is gone ends the wait below.
			s.notify = func(method string, params any) { _ = conn.Notify(ctx, method, params) }
		})
		if r.Method == protocol.MethodExit {
			once.Do(func() { close(exit) })
			return nil, nil
		}
		return s.handle(r)
	}
	conn := jsonrpc2.NewConn(ctx, jsonrpc2.NewBufferedStream(duplex{in, out}, jsonrpc2.VSCodeObjectCodec{}), jsonrpc2.HandlerWithError(handle),
		jsonrpc2.SetLogger(silent{}))
	go s.work(ctx)
	var err error
	select {
	case <-exit:
	case <-conn.DisconnectNotify():
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	_ = conn.Close() // the other side may have closed it
	if err == nil && !s.shut {
		err = ErrNoShutdown
	}
	return err
}

// handle answers one message.
func (s *Server) handle(r *jsonrpc2.Request) (any, error) {
	c := glsp.Context{Method: r.Method, Notify: s.notify}
	if r.Params != nil {
		c.Params = *r.Params
	}
	result, known, valid, err := s.handler.Handle(&c)
	switch {
	case !known && err == nil:
		return nil, &jsonrpc2.Error{Code: jsonrpc2.CodeMethodNotFound, Message: "method not supported: " + r.Method}
	case !valid:
		message := "the parameters of " + r.Method + " cannot be read"
		if err != nil {
			message += ": " + err.Error()
		}
		return nil, &jsonrpc2.Error{Code: jsonrpc2.CodeInvalidParams, Message: message}
	case err != nil:
		return nil, &jsonrpc2.Error{Code: jsonrpc2.CodeInvalidRequest, Message: err.Error()}
	}
	return result, nil
}

// silent drops what the library would log: standard error belongs to whoever started the editor.
type silent struct{}

// Printf drops a line.
func (silent) Printf(string, ...any) {}

type duplex struct {
	io.ReadCloser
	out io.WriteCloser
}

// Write writes to the editor.
func (d duplex) Write(p []byte) (int, error) { return d.out.Write(p) }

// Close closes both directions.
func (d duplex) Close() error { return errors.Join(d.ReadCloser.Close(), d.out.Close()) }

func (s *Server) initialize(_ *glsp.Context, params *protocol.InitializeParams) (any, error) {
	if w := params.Capabilities.Workspace; w != nil && w.WorkspaceEdit != nil {
		s.creates = w.WorkspaceEdit.DocumentChanges != nil && *w.WorkspaceEdit.DocumentChanges &&
			slices.Contains(w.WorkspaceEdit.ResourceOperations, protocol.ResourceOperationKindCreate)
	}
	capabilities := s.handler.CreateServerCapabilities()
	capabilities.CodeActionProvider = &protocol.CodeActionOptions{CodeActionKinds: []protocol.CodeActionKind{protocol.CodeActionKindQuickFix}}
	return protocol.InitializeResult{Capabilities: capabilities, ServerInfo: &protocol.InitializeResultServerInfo{Name: "pawl", Version: &s.options.Version}}, nil
}

func (s *Server) didOpen(_ *glsp.Context, params *protocol.DidOpenTextDocumentParams) error {
	t := params.TextDocument
	s.mu.Lock()
	s.documents[t.URI] = newDocument(t.URI, pathOf(t.URI), t.Version, t.Text)
	s.mu.Unlock()
	s.touch()
	return nil
}

func (s *Server) didChange(_ *glsp.Context, params *protocol.DidChangeTextDocumentParams) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.documents[params.TextDocument.URI]
	if !ok {
		return errors.New("a document changed that is not open: " + params.TextDocument.URI)
	}
	s.documents[d.uri] = d.change(params.TextDocument.Version, params.ContentChanges)
	s.wake()
	return nil
}

func (s *Server) didClose(_ *glsp.Context, params *protocol.DidCloseTextDocumentParams) error {
	uri := params.TextDocument.URI
	s.mu.Lock()
	delete(s.documents, uri)
	delete(s.analyses, uri)
	s.mu.Unlock()
	s.notify(protocol.ServerTextDocumentPublishDiagnostics, protocol.PublishDiagnosticsParams{URI: uri, Diagnostics: []protocol.Diagnostic{}})
	s.touch()
	return nil
}

// touch makes what was worked out so far out of date.
func (s *Server) touch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake()
}

func (s *Server) wake() {
	s.generation++
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// work publishes the findings of all open documents after every change: what one says may depend on another.
func (s *Server) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		}
		s.mu.Lock()
		var uris []protocol.DocumentUri
		for uri := range s.documents {
			uris = append(uris, uri)
		}
		s.mu.Unlock()
		slices.Sort(uris)
		for _, uri := range uris {
			// The lock is let go between the documents, so that requests are answered meanwhile.
			s.mu.Lock()
			if _, open := s.documents[uri]; open {
				if a := s.analyse(uri); a != nil {
					s.publish(a)
				}
			}
			s.mu.Unlock()
		}
	}
}

func (s *Server) publish(a *analysis) {
	version := uint32(max(a.document.version, 0)) //nolint:gosec // it is not negative
	list := make([]protocol.Diagnostic, len(a.findings))
	for i := range a.findings {
		list[i] = diagnostic(a.document, &a.findings[i])
	}
	s.notify(protocol.ServerTextDocumentPublishDiagnostics, protocol.PublishDiagnosticsParams{URI: a.document.uri, Version: &version, Diagnostics: list})
}

// analyse judges a document, if nothing has changed since it was judged last, not again; nil for one that is not open. The caller
// holds the lock.
func (s *Server) analyse(uri protocol.DocumentUri) *analysis {
	d, ok := s.documents[uri]
	if !ok {
		return nil
	}
	if a := s.analyses[uri]; a != nil && a.generation == s.generation {
		return a
	}
	linter, err := lint.New(s.options.Lint)
	if err != nil {
		return nil // the options were tried before the server was made
	}
	open := map[string]*document{}
	for _, o := range s.documents {
		open[o.path] = o
	}
	for _, path := range s.earlier(d.path) {
		if source := s.source(path, open[path]); source != nil {
			linter.Learn(source)
		}
	}
	a := &analysis{generation: s.generation, document: d}
	a.assessment, a.findings = linter.Assess(s.source(d.path, d))
	s.analyses[uri] = a
	return a
}

// earlier lists what stands before a file, without what is not a file of the disk.
func (s *Server) earlier(path string) []string {
	if s.options.Before == nil || !filepath.IsAbs(path) {
		return nil
	}
	return s.options.Before(path)
}

// source parses a file: as the editor has it where it is open, from the disk otherwise, and again only when it has changed there. Nil for
// one that cannot be read.
func (s *Server) source(path string, d *document) *lint.Source {
	if d != nil {
		text, layout := lint.Read(path, []byte(d.text))
		return &lint.Source{File: parse.File(path, text), Layout: layout}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	known, ok := s.parsed[path]
	if !ok || known.size != info.Size() || !known.changed.Equal(info.ModTime()) {
		src, err := os.ReadFile(path) //nolint:gosec // a migration of the directory
		if err != nil {
			return nil
		}
		text, layout := lint.Read(path, src)
		known = parsedFile{changed: info.ModTime(), size: info.Size(), file: parse.File(path, text), layout: layout}
		s.parsed[path] = known
	}
	return &lint.Source{File: known.file, Layout: known.layout}
}

// pathOf gives the path of a document; its URI where it is no file.
func pathOf(uri protocol.DocumentUri) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" {
		return uri
	}
	path := u.Path
	if len(path) > 2 && path[0] == '/' && path[2] == ':' {
		path = path[1:] // a drive of Windows
	}
	return filepath.Clean(filepath.FromSlash(path))
}

// uriOf gives the URI of a file.
func uriOf(path string) protocol.DocumentUri {
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path)}
	if !strings.HasPrefix(u.Path, "/") {
		u.Path = "/" + u.Path
	}
	return u.String()
}
