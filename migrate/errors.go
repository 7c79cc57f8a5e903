package migrate

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bitvault/pawl/phases"
)

// FileError is something wrong with migration files that is found before anything is sent: a bad name, two files of
// one version, an unreadable file, a directive that does not exist, SQL that does not parse.
type FileError struct {
	Path string
	// Span is zero where the fault has no place in the file.
	Span    phases.Span
	Source  string
	Message string
	Hint    string
	// Syntax is true where the text is not SQL that the parser can read.
	Syntax bool
	Err    error
}

func (e *FileError) Error() string {
	text := e.Path
	if e.Span.Start.Line > 0 {
		text = fmt.Sprintf("%s:%d:%d", e.Path, e.Span.Start.Line, e.Span.Start.Column)
	}
	text += ": " + e.Message
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the cause, if there is one.
func (e *FileError) Unwrap() error { return e.Err }

// Excerpt gives the line of the fault with a caret under it; empty where there is no place.
func (e *FileError) Excerpt() string { return excerpt(e.Source, e.Span.Start) }

// StatementError is a statement that PostgreSQL refused. The transaction it was in is rolled back.
type StatementError struct {
	Version Version
	// Name and Sum are the migration's, as it was when it failed.
	Name, Sum string
	Path      string
	// At is where PostgreSQL points to, or where the statement begins; Line 0 where neither is known.
	At     phases.Position
	Source string
	// Statement is the text of the statement that failed; empty where it could not be told.
	Statement string
	// Alone is true where the statements of the file do not run in one transaction; Done counts those before this one, which are done and
	// stay so.
	Alone bool
	Done  int
	Err   error
}

// Aftermath says what there is of the file now, and how to go on.
func (e *StatementError) Aftermath() string {
	if !e.Alone {
		return "the transaction is rolled back; nothing of this file is applied"
	}
	rest := ""
	if endsItself(e.Statement) {
		rest = "; what this one committed by itself stays, so it has to bear being run again"
	}
	if e.Done == 0 {
		return "nothing of this file is recorded as done: correct it and run pawl again" + rest
	}
	return fmt.Sprintf("of this file the first %s %s done: correct this one, change nothing before it, and run pawl again, which goes on here%s",
		counted(e.Done, "statement"), isOrAre(e.Done), rest)
}

// endsItself reports whether a statement may commit by itself in its middle.
func endsItself(text string) bool {
	words := strings.Fields(strings.ToLower(text))
	return len(words) > 0 && (words[0] == "call" || words[0] == "do")
}

func (e *StatementError) Error() string {
	place := e.Path
	if e.At.Line > 0 {
		place = fmt.Sprintf("%s:%d:%d", e.Path, e.At.Line, e.At.Column)
	}
	return place + ": " + describe(e.Err)
}

// Unwrap gives PostgreSQL's error.
func (e *StatementError) Unwrap() error { return e.Err }

// Excerpt gives the line with a caret under the place; empty where there is none.
func (e *StatementError) Excerpt() string { return excerpt(e.Source, e.At) }

// Hint gives PostgreSQL's detail and hint, a line each; empty where it gave none.
func (e *StatementError) Hint() string {
	var pg *pgconn.PgError
	if !errors.As(e.Err, &pg) {
		return ""
	}
	var lines []string
	for _, l := range []struct{ label, text string }{{"detail", pg.Detail}, {"where", pg.Where}, {"hint", pg.Hint}} {
		if l.text != "" {
			lines = append(lines, l.label+": "+l.text)
		}
	}
	return strings.Join(lines, "\n")
}

func describe(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return fmt.Sprintf("%s (%s)", pg.Message, pg.Code)
	}
	return err.Error()
}

// IntegrityError means that ledger, files and database contradict each other. Nothing was changed.
type IntegrityError struct {
	Version Version
	Path    string
	Message string
	Hint    string
	// untouched is true where a statement of a file of steps was not sent: it may be corrected like one that PostgreSQL refused.
	untouched bool
}

func (e *IntegrityError) Error() string {
	if e.Path != "" {
		return e.Path + ": " + e.Message
	}
	return e.Message
}

// RefusedError means that pawl will not do what was asked, by its own rules.
type RefusedError struct {
	// Version is the migration's that the refusal is about; empty where it is about none or several.
	Version Version
	Message string
	Hint    string
}

func (e *RefusedError) Error() string { return e.Message }

// ConfigError means that the target or the options are wrong, and trying again cannot help.
type ConfigError struct {
	Message string
	Hint    string
	Err     error
}

func (e *ConfigError) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap gives the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// TransientError means that nothing is half-done and that another try may succeed: no connection, or a lock that was
// not had before the deadline.
type TransientError struct {
	Message string
	Hint    string
	Err     error
}

func (e *TransientError) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap gives the cause.
func (e *TransientError) Unwrap() error { return e.Err }

// BlockedError means that contracts were held and the caller asked to fail on that. Unknown is true when none of the
// findings proves a use: evidence is missing.
type BlockedError struct {
	Held    []Held
	Unknown bool
}

func (e *BlockedError) Error() string {
	names := make([]string, len(e.Held))
	for i, h := range e.Held {
		names[i] = h.Migration.Name
	}
	return "held: " + strings.Join(names, ", ")
}

// excerpt shows the line of source at a position with a caret below, tabs kept so that the caret stands right.
func excerpt(source string, at phases.Position) string {
	if at.Line == 0 || source == "" {
		return ""
	}
	lines := strings.Split(source, "\n")
	if at.Line > len(lines) {
		return ""
	}
	line := []rune(strings.TrimRight(lines[at.Line-1], "\r"))
	from, until := 0, len(line)
	const around = 100
	if at.Column > around {
		from = at.Column - around
	}
	until = min(until, from+2*around)
	pad := make([]rune, 0, around)
	for _, r := range line[from:min(max(at.Column-1, from), len(line))] {
		if r != '\t' {
			r = ' '
		}
		pad = append(pad, r)
	}
	number := fmt.Sprintf("%d | ", at.Line)
	return fmt.Sprintf("%s%s\n%s| %s^", number, string(line[from:until]), strings.Repeat(" ", len(number)-2), string(pad))
}
