package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sourcegraph/jsonrpc2"
	"github.com/stretchr/testify/require"
)

// editor is a client that talks to the command over its standard input and output.
type editor struct {
	t         *testing.T
	dir       string
	cmd       *exec.Cmd
	conn      *jsonrpc2.Conn
	published chan published
}

type lspPosition struct{ Line, Character int }

type lspRange struct{ Start, End lspPosition }

type lspDiagnostic struct {
	Range    lspRange
	Severity int
	Code     string
	Source   string
	Message  string
}

type published struct {
	URI         string
	Version     int
	Diagnostics []lspDiagnostic
}

// Handle takes what the server publishes.
func (e *editor) Handle(_ context.Context, _ *jsonrpc2.Conn, r *jsonrpc2.Request) {
	if r.Method == "textDocument/publishDiagnostics" {
		var p published
		if json.Unmarshal(*r.Params, &p) == nil {
			e.published <- p
		}
	}
}

type pipes struct {
	io.ReadCloser
	in io.WriteCloser
}

// Write writes to the command.
func (p pipes) Write(b []byte) (int, error) { return p.in.Write(b) }

// Close closes both directions.
func (p pipes) Close() error { return errors.Join(p.in.Close(), p.ReadCloser.Close()) }

// newEditor starts the command in a directory with files, given as name and text in turn.
func newEditor(t *testing.T, files ...string) *editor {
	t.Helper()
	e := &editor{t: t, dir: t.TempDir(), published: make(chan published, 100)}
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(e.dir, filepath.FromSlash(files[i]))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(files[i+1]), 0o600))
	}
	binary, err := os.Executable()
	require.NoError(t, err)
	// The test binary is the command when it is called so.
	e.cmd = &exec.Cmd{Path: binary, Args: []string{"pawl", "lsp", "--stdio"}, Dir: e.dir, Env: os.Environ(), Stderr: os.Stderr}
	in, err := e.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := e.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, e.cmd.Start())
	e.conn = jsonrpc2.NewConn(t.Context(), jsonrpc2.NewBufferedStream(pipes{out, in}, jsonrpc2.VSCodeObjectCodec{}), e)
	t.Cleanup(func() {
		_ = e.cmd.Process.Kill() // it has ended already where the test went through
		_ = e.conn.Close()
	})
	return e
}

func (e *editor) initialize(capabilities map[string]any) map[string]any {
	var result map[string]any
	e.call("initialize", map[string]any{"processId": nil, "rootUri": nil, "capabilities": capabilities}, &result)
	e.notify("initialized", map[string]any{})
	return result
}

func (e *editor) call(method string, params, result any) {
	e.t.Helper()
	require.NoError(e.t, e.conn.Call(e.t.Context(), method, params, result), method)
}

func (e *editor) notify(method string, params any) {
	e.t.Helper()
	require.NoError(e.t, e.conn.Notify(e.t.Context(), method, params), method)
}

func (e *editor) uri(name string) string {
	return (&url.URL{Scheme: "file", Path: filepath.Join(e.dir, name)}).String()
}

func (e *editor) open(name, text string) {
	e.notify("textDocument/didOpen", map[string]any{"textDocument": map[string]any{"uri": e.uri(name), "languageId": "sql", "version": 1, "text": text}})
}

func (e *editor) change(name string, version int, changes ...map[string]any) {
	e.notify("textDocument/didChange", map[string]any{"textDocument": map[string]any{"uri": e.uri(name), "version": version}, "contentChanges": changes})
}

// findings waits until the findings of a version of a file are as wanted, by their rules.
func (e *editor) findings(name string, version int, rules ...string) []lspDiagnostic {
	e.t.Helper()
	var last []string
	late := time.After(30 * time.Second)
	for {
		select {
		case p := <-e.published:
			if p.URI != e.uri(name) || p.Version != version {
				continue
			}
			last = []string{}
			for _, d := range p.Diagnostics {
				last = append(last, d.Code)
			}
			if strings.Join(last, " ") == strings.Join(rules, " ") {
				return p.Diagnostics
			}
		case <-e.conn.DisconnectNotify():
			require.Fail(e.t, "the server is gone", "last findings of %s: %v, want %v", name, last, rules)
		case <-late:
			require.Fail(e.t, "no such findings", "last of %s: %v, want %v", name, last, rules)
		}
	}
}

func at(line, character int) map[string]any {
	return map[string]any{"line": line, "character": character}
}

func between(line, from, to int) map[string]any {
	return map[string]any{"start": at(line, from), "end": at(line, to)}
}

// apply applies text edits as an editor does, which counts units of UTF-16. The texts of these tests have one line per edit.
func apply(t *testing.T, text string, edits []struct {
	Range   lspRange
	NewText string
}) string {
	t.Helper()
	offset := func(p lspPosition) int {
		lines := strings.SplitAfter(text, "\n")
		n := 0
		for i := range p.Line {
			n += len(lines[i])
		}
		units := 0
		for i, r := range lines[p.Line] {
			if units == p.Character {
				return n + i
			}
			units++
			if r > 0xffff {
				units++
			}
		}
		return n + len(lines[p.Line])
	}
	require.Len(t, edits, 1)
	return text[:offset(edits[0].Range.Start)] + edits[0].NewText + text[offset(edits[0].Range.End):]
}

const users = "CREATE TABLE users (id bigint PRIMARY KEY, email text);\n"

func TestLSP(t *testing.T) {
	t.Parallel()
	e := newEditor(t, "migrations/0001_users.sql", users, "migrations/0003_later.sql", "DROP TABLE users;\n", "pawl.yaml", "lint:\n  ignore: dropped-table\n")
	require.Error(t, e.conn.Call(t.Context(), "textDocument/hover", map[string]any{}, nil), "before it is initialized")
	result := e.initialize(map[string]any{})
	capabilities, _ := result["capabilities"].(map[string]any)
	require.Equal(t, true, capabilities["hoverProvider"])
	require.NotNil(t, capabilities["codeActionProvider"])
	require.Equal(t, map[string]any{"openClose": true, "change": 2.0, "save": true}, capabilities["textDocumentSync"])

	// A file that is not on the disk yet is judged after those before it. Characters beyond the BMP count twice.
	const name = "migrations/0002_index.sql"
	text := "/* 🦫🦫 */ CREATE INDEX users_email_idx ON users (email);\r\n-- 🦫\nSELECT 1;\n"
	e.open(name, text)
	found := e.findings(name, 1, "blocking-index")
	require.Equal(t, lspRange{lspPosition{0, 11}, lspPosition{0, 56}}, found[0].Range)
	require.Equal(t, 1, found[0].Severity)
	require.Equal(t, "pawl", found[0].Source)
	require.Contains(t, found[0].Message, "SHARE on public.users")
	require.Contains(t, found[0].Message, "CREATE INDEX CONCURRENTLY")

	// What a file before says counts as the editor has it, saved or not.
	const first = "migrations/0001_users.sql"
	e.open(first, users)
	e.findings(first, 1)
	e.change(first, 2, map[string]any{"text": "CREATE TABLE users (id bigint, email text) PARTITION BY RANGE (id);\n"})
	e.findings(name, 1, "blocking-partitioned-index")
	e.notify("textDocument/didClose", map[string]any{"textDocument": map[string]any{"uri": e.uri(first)}})
	e.findings(name, 1, "blocking-index")

	// A change by stretches, behind characters that count twice; the second counts in the text that the first leaves.
	e.change(name, 2, map[string]any{"range": between(0, 5, 7), "text": "🦫é"}, map[string]any{"range": between(0, 57, 58), "text": "; ALTR TABLE"})
	e.findings(name, 2, "blocking-index", "syntax-error")
	e.change(name, 3, map[string]any{"text": text})
	e.findings(name, 3, "blocking-index")

	// What an operation does.
	var hover struct {
		Contents struct{ Kind, Value string }
		Range    lspRange
	}
	e.call("textDocument/hover", map[string]any{"textDocument": map[string]any{"uri": e.uri(name)}, "position": at(0, 20)}, &hover)
	require.Equal(t, "markdown", hover.Contents.Kind)
	for _, part := range []string{"**expand** `create_index`", "- locks `public.users`: SHARE, which blocks writes", "- reads the whole table", "Safely: "} {
		require.Contains(t, hover.Contents.Value, part)
	}
	require.Equal(t, lspPosition{0, 11}, hover.Range.Start)
	e.open("migrations/0004_drop.sql", "-- pawl:allow dropped-column: nobody reads it\nALTER TABLE users ALTER email SET DEFAULT '', DROP COLUMN email;\n")
	e.call("textDocument/hover", map[string]any{"textDocument": map[string]any{"uri": e.uri("migrations/0004_drop.sql")}, "position": at(1, 50)}, &hover)
	require.Contains(t, hover.Contents.Value, "**contract** `drop_column`")
	require.Contains(t, hover.Contents.Value, "takes column `users.email` from code; uses: any (fails)")
	require.NotContains(t, hover.Contents.Value, "default")
	e.call("textDocument/hover", map[string]any{"textDocument": map[string]any{"uri": e.uri("migrations/0004_drop.sql")}, "position": at(0, 20)}, &hover)
	require.Contains(t, hover.Contents.Value, "lint/docs/dropped-column.md")
	var nothing *struct{}
	e.call("textDocument/hover", map[string]any{"textDocument": map[string]any{"uri": e.uri(name)}, "position": at(1, 3)}, &nothing)
	require.Nil(t, nothing)

	// The cures. One that needs the statement alone in its file is offered once it is.
	const alone = "/* 🦫 */ CREATE INDEX users_email_idx ON users (email);\n"
	e.change(name, 4, map[string]any{"text": alone})
	e.findings(name, 4, "blocking-index")
	var actions []struct {
		Title, Kind string
		Diagnostics []lspDiagnostic
		Edit        struct {
			Changes map[string][]struct {
				Range   lspRange
				NewText string
			}
		}
	}
	ask := func(from, to int) {
		e.call("textDocument/codeAction", map[string]any{"textDocument": map[string]any{"uri": e.uri(name)}, "range": between(0, from, to), "context": map[string]any{"diagnostics": []any{}}}, &actions)
	}
	ask(0, 2)
	require.Empty(t, actions, "nothing is found there")
	ask(20, 20)
	require.Len(t, actions, 2)
	require.Equal(t, "Fix blocking-index", actions[0].Title)
	require.Equal(t, "blocking-index", actions[0].Diagnostics[0].Code)
	fixed := apply(t, alone, actions[0].Edit.Changes[e.uri(name)])
	require.Equal(t, "/* 🦫 */ CREATE INDEX CONCURRENTLY users_email_idx ON users (email);\n", fixed)
	require.Equal(t, "Allow blocking-index here", actions[1].Title)
	allowed := apply(t, alone, actions[1].Edit.Changes[e.uri(name)])
	e.change(name, 5, map[string]any{"text": fixed})
	e.findings(name, 5)
	e.change(name, 6, map[string]any{"text": allowed})
	e.findings(name, 6)

	e.call("shutdown", nil, nil)
	e.notify("exit", nil)
	require.NoError(t, e.cmd.Wait())
}

// TestLSPEndsWithItsEditor holds that no server is left behind.
func TestLSPEndsWithItsEditor(t *testing.T) {
	t.Parallel()
	e := newEditor(t)
	e.initialize(map[string]any{})
	require.NoError(t, e.conn.Close())
	err := e.cmd.Wait()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 1, exit.ExitCode(), "there was no shutdown")
}
