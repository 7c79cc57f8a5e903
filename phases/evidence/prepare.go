package evidence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases/gate"
)

// Prepared is what PostgreSQL says of one text when it is asked to prepare it.
type Prepared struct {
	// Err is the server's refusal; nil where the text prepares.
	Err *pgconn.PgError
	// Params are the OIDs of the parameters' types, Fields the result's columns; both empty where Err is set.
	Params []uint32
	Fields []pgconn.FieldDescription
}

// command is one message of many that are sent together: a text to prepare under a name, or one to execute.
type command struct {
	name, sql string
	execute   bool
}

// outcome is the server's answer to a command.
type outcome struct {
	description *pgconn.StatementDescription
	refused     *pgconn.PgError
}

// inFlight bounds how many commands are on their way at once, so that neither side's buffers fill up.
const inFlight = 256

// converse sends the commands, many to a round trip, each by itself so that one refusal does not hide the others. Errors
// are those of the connection.
func converse(ctx context.Context, conn Conn, commands []command) ([]outcome, error) {
	out := make([]outcome, 0, len(commands))
	for batch := range slices.Chunk(commands, inFlight) {
		pipeline := conn.PgConn().StartPipeline(ctx)
		for _, c := range batch {
			if c.execute {
				pipeline.SendQueryParams(c.sql, nil, nil, nil, nil)
			} else {
				pipeline.SendPrepare(c.name, c.sql, nil)
			}
			pipeline.SendPipelineSync()
		}
		if err := pipeline.Flush(); err != nil {
			return nil, errors.Join(fmt.Errorf("prepare statements: %w", err), pipeline.Close())
		}
		for range batch {
			o, err := readOutcome(pipeline)
			if err != nil {
				return nil, errors.Join(err, pipeline.Close())
			}
			out = append(out, o)
		}
		if err := pipeline.Close(); err != nil {
			return nil, fmt.Errorf("prepare statements: %w", err)
		}
	}
	return out, nil
}

// readOutcome reads the answer to one command, up to its synchronisation point.
func readOutcome(pipeline *pgconn.Pipeline) (outcome, error) {
	var o outcome
	for {
		result, err := pipeline.GetResults()
		if reader, ok := result.(*pgconn.ResultReader); ok && err == nil {
			_, err = reader.Close()
		}
		if errors.As(err, &o.refused) {
			continue
		}
		if err != nil {
			return o, fmt.Errorf("prepare a statement: %w", err)
		}
		switch r := result.(type) {
		case *pgconn.StatementDescription:
			o.description = r
		case *pgconn.PipelineSync:
			return o, nil
		case nil:
			return o, errors.New("prepare a statement: the server's answer ended early")
		}
	}
}

// planned matches texts of which only planning shows that they fail: one with a conflict target needs an index for it, and rows can be
// locked through simple views alone.
var planned = pattern.Lazy(`(?i)\bconflict\b|\bfor\s+(no\s+key\s+update|update|key\s+share|share)\b`)

// Prepare asks the server to prepare each text, and for a generic plan of each one that needs it: a missing arbiter index,
// for example, is found only then. Nothing is executed. Inside a transaction each text is asked about behind a
// savepoint. Errors are those of the connection.
func Prepare(ctx context.Context, conn Conn, texts []string) ([]Prepared, error) {
	inside := conn.PgConn().TxStatus() != 'I'
	var begin, each []command
	if inside {
		begin = []command{{sql: "savepoint pawl_each", execute: true}}
		each = []command{{sql: "rollback to savepoint pawl_each", execute: true}}
	}
	commands := slices.Clone(begin)
	for _, text := range texts {
		commands = append(append(commands, command{sql: text}), each...)
	}
	answers, err := converse(ctx, conn, commands)
	if err != nil {
		return nil, err
	}
	out := make([]Prepared, len(texts))
	for i := range texts {
		a := answers[len(begin)+i*(1+len(each))]
		out[i].Err = a.refused
		if d := a.description; d != nil && a.refused == nil {
			out[i].Params, out[i].Fields = d.ParamOIDs, d.Fields
		}
	}
	if err := plans(ctx, conn, texts, out, inside); err != nil {
		return nil, err
	}
	if inside {
		_, err = conn.PgConn().Exec(ctx, "release savepoint pawl_each").ReadAll()
	}
	return out, err
}

// plans asks for the plans with unknown values. EXPLAIN does not execute the statement that it explains.
func plans(ctx context.Context, conn Conn, texts []string, prepared []Prepared, inside bool) error {
	const name = "pawl_plan"
	commands := []command{{sql: "set plan_cache_mode = force_generic_plan", execute: true}}
	after := []string{"deallocate " + name}
	if inside {
		// What fails in a transaction is undone before and after the name is given back.
		const undo = "rollback to savepoint pawl_each"
		after = []string{undo, after[0], undo}
		commands = append(commands, command{sql: "savepoint pawl_each", execute: true})
	}
	first := len(commands)
	var at []int
	for i, text := range texts {
		if prepared[i].Err != nil || !planned().MatchString(text) {
			continue
		}
		args := ""
		if n := len(prepared[i].Params); n > 0 {
			args = "(" + strings.TrimSuffix(strings.Repeat("null, ", n), ", ") + ")"
		}
		at = append(at, i)
		commands = append(commands, command{name: name, sql: text}, command{sql: "explain execute " + name + args, execute: true})
		for _, sql := range after {
			commands = append(commands, command{sql: sql, execute: true})
		}
	}
	if len(at) == 0 {
		return nil
	}
	per := 2 + len(after)
	answers, err := converse(ctx, conn, append(commands, command{sql: "reset plan_cache_mode", execute: true}))
	if err != nil {
		return err
	}
	for k, i := range at {
		for _, a := range answers[first+k*per : first+k*per+2] {
			if a.refused != nil {
				prepared[i] = Prepared{Err: a.refused}
			}
		}
	}
	return nil
}

// Prove compares what the server said of each text before and after a change.
func Prove(ids []string, texts []string, before, after []Prepared) map[string]gate.Proof {
	proofs := make(map[string]gate.Proof, len(ids))
	for i, id := range ids {
		p := gate.Proof{Blind: !Analyzed(texts[i])}
		if e := before[i].Err; e != nil {
			p.Before = e.Message
		}
		if e := after[i].Err; e != nil {
			p.After, p.Code = e.Message, e.Code
		}
		if p.Before == "" && p.After == "" {
			p.Changed = difference(before[i], after[i])
		}
		proofs[id] = p
	}
	return proofs
}

// Analyzed reports whether PostgreSQL looks names up when it prepares such a statement: it does for queries, and for
// utility statements only the grammar is checked.
func Analyzed(text string) bool {
	text = strings.TrimSpace(text)
	for strings.HasPrefix(text, "--") || strings.HasPrefix(text, "/*") {
		end, skip := strings.IndexByte(text, '\n'), 1
		if strings.HasPrefix(text, "/*") {
			end, skip = strings.Index(text, "*/"), 2
		}
		if end < 0 {
			return false
		}
		text = strings.TrimSpace(text[end+skip:])
	}
	word := strings.ToLower(text)
	if i := strings.IndexFunc(word, func(r rune) bool { return (r < 'a' || r > 'z') && r != '_' }); i >= 0 {
		word = word[:i]
	}
	switch word {
	case "select", "insert", "update", "delete", "merge", "with", "values", "table":
		return true
	}
	return strings.HasPrefix(text, "(")
}

// difference says what a client sees that looks at types: parameters first, then the result.
func difference(before, after Prepared) string {
	if len(before.Params) != len(after.Params) {
		return "it takes another number of parameters"
	}
	for i := range before.Params {
		if before.Params[i] != after.Params[i] {
			return fmt.Sprintf("the type of parameter $%d is another", i+1)
		}
	}
	if len(before.Fields) != len(after.Fields) {
		return fmt.Sprintf("its result has %d columns instead of %d", len(after.Fields), len(before.Fields))
	}
	for i := range before.Fields {
		b, a := before.Fields[i], after.Fields[i]
		switch {
		case b.Name != a.Name:
			return fmt.Sprintf("column %d of its result is %q instead of %q", i+1, a.Name, b.Name)
		case b.DataTypeOID != a.DataTypeOID || b.TypeModifier != a.TypeModifier:
			return fmt.Sprintf("the type of result column %q is another", a.Name)
		}
	}
	return ""
}
