package phases

import "strings"

// ObjectKind names a kind of database object in PostgreSQL's words.
type ObjectKind string

// The kinds of objects that operations are on.
const (
	Table      ObjectKind = "table"
	Column     ObjectKind = "column"
	View       ObjectKind = "view"
	MatView    ObjectKind = "materialized view"
	Sequence   ObjectKind = "sequence"
	Index      ObjectKind = "index"
	Constraint ObjectKind = "constraint"
	Type       ObjectKind = "type"
	EnumValue  ObjectKind = "enum value"
	Attribute  ObjectKind = "attribute"
	Domain     ObjectKind = "domain"
	Function   ObjectKind = "function"
	Trigger    ObjectKind = "trigger"
	Rule       ObjectKind = "rule"
	Policy     ObjectKind = "policy"
	Schema     ObjectKind = "schema"
	Extension  ObjectKind = "extension"
	Role       ObjectKind = "role"
	Database   ObjectKind = "database"
	Other      ObjectKind = "object"

	ForeignTable   ObjectKind = "foreign table"
	Procedure      ObjectKind = "procedure"
	Routine        ObjectKind = "routine"
	Aggregate      ObjectKind = "aggregate"
	Operator       ObjectKind = "operator"
	OperatorClass  ObjectKind = "operator class"
	OperatorFamily ObjectKind = "operator family"
	Cast           ObjectKind = "cast"
	Collation      ObjectKind = "collation"
	Conversion     ObjectKind = "conversion"
	Transform      ObjectKind = "transform"
	Language       ObjectKind = "language"
	AccessMethod   ObjectKind = "access method"
	Publication    ObjectKind = "publication"
	Subscription   ObjectKind = "subscription"
	Statistics     ObjectKind = "statistics"
	EventTrigger   ObjectKind = "event trigger"
	TextSearch     ObjectKind = "text search object"
	Wrapper        ObjectKind = "foreign data wrapper"
	Server         ObjectKind = "server"
	UserMapping    ObjectKind = "user mapping"
	Tablespace     ObjectKind = "tablespace"
	LargeObject    ObjectKind = "large object"
	ParameterName  ObjectKind = "parameter"
)

// Object names one object of a database. A table, view, sequence or index is Schema and Relation; a column adds
// Column; what hangs on a relation (constraint, trigger, rule, policy) is Relation and Name; what stands alone in a
// schema (type, function) is Schema and Name, and an enum value is its type's Name with the value in Column.
// An empty Schema means that the statement did not qualify the name.
type Object struct {
	Kind     ObjectKind `json:"kind"`
	Schema   string     `json:"schema,omitempty"`
	Relation string     `json:"relation,omitempty"`
	Column   string     `json:"column,omitempty"`
	Name     string     `json:"name,omitempty"`
}

// String gives the dotted name without its kind, for messages.
func (o Object) String() string {
	parts := make([]string, 0, 4)
	for _, p := range []string{o.Schema, o.Relation, o.Name, o.Column} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	// A function's arguments follow its name without a dot.
	return strings.ReplaceAll(strings.Join(parts, "."), ".(", "(")
}

// IsZero reports whether the object names nothing.
func (o Object) IsZero() bool { return o == Object{} }

// Position is a place in a file. Offset counts bytes from 0 in File.Text, Line and Column count from 1, Column in
// characters (Unicode code points), as PostgreSQL and editors count.
type Position struct {
	Offset int `json:"-"`
	Line   int `json:"line"`
	Column int `json:"column"`
}

// Span is a stretch of a file, from Start up to but not including End.
type Span struct {
	Start Position `json:"start"`
	End   Position `json:"end"`
}

// File is one migration or query file after parsing. Text is the file's content without a byte order mark; every
// offset counts in it.
type File struct {
	Path       string
	Text       string
	Statements []Statement
	// Directives are all `-- pawl:` comments in the file, in order; those that stand right above or behind a
	// statement are listed again in that statement.
	Directives []Directive
	// Problems are what makes the file unusable as a migration, in the order of their places: syntax errors, unknown
	// directives, psql meta-commands, transaction control in the middle. A file with problems still has the
	// statements that could be read.
	Problems []Problem
	// Wrapped is true when the file is one BEGIN … COMMIT around everything; the two statements carry Control and
	// the text between them is what a runner executes.
	Wrapped bool
}

// Statement is one SQL statement of a file. Text is exactly the bytes of Span: no leading comments, no semicolon.
type Statement struct {
	Text       string
	Span       Span
	Operations []Operation
	Directives []Directive
	// Control is "begin", "commit", "rollback", "savepoint", … for transaction control and empty otherwise.
	Control string
	// CopyData is where the rows of a `COPY … FROM stdin` block stand, without the closing `\.` line; nil otherwise.
	CopyData *Span
}

// Problem is something wrong with a file at a place in it.
type Problem struct {
	Code    ProblemCode
	Message string
	Hint    string
	Span    Span
}

// ProblemCode tells apart the kinds of Problem.
type ProblemCode string

const (
	// SyntaxProblem is text that the parser could not read; the statement is kept with the operation kind Opaque.
	SyntaxProblem ProblemCode = "syntax"
	// DirectiveProblem is an unknown or malformed `-- pawl:` comment.
	DirectiveProblem ProblemCode = "directive"
	// MetaCommandProblem is a psql meta-command such as \set.
	MetaCommandProblem ProblemCode = "psql"
	// ControlProblem is transaction control that is not the wrapper of the whole file.
	ControlProblem ProblemCode = "transaction-control"
	// TemplateProblem is text that another tool replaces before it runs a file.
	TemplateProblem ProblemCode = "template"
	// EncodingProblem is text that is not UTF-8, or that holds NUL bytes.
	EncodingProblem ProblemCode = "encoding"
)

// Directive is one `-- pawl:NAME …` comment.
type Directive struct {
	// Name is one of the known directives: phase, allow, assume, after, backfill, assert, timeout, soft-drop.
	Name string
	// Arg is the text before the colon that begins the reason: the phase, the rule, the version, the options or the query.
	Arg string
	// Options are the key=value pairs of Arg for directives that have them; nil otherwise.
	Options map[string]string
	// Reason is the text behind the colon; empty where none was given.
	Reason string
	Span   Span
}
