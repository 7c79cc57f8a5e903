package evidence

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

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

// prepareBatch bounds how many texts are in flight at once, so that neither side's buffers fill up.
const prepareBatch = 256

// Prepare asks the server to prepare each text, many to a round trip, each by itself so that one refusal does not hide
// the others. The session must not be inside a transaction. Errors are those of the connection.
func Prepare(ctx context.Context, conn *pgx.Conn, texts []string) ([]Prepared, error) {
	out := make([]Prepared, 0, len(texts))
	for start := 0; start < len(texts); start += prepareBatch {
		batch := texts[start:min(start+prepareBatch, len(texts))]
		pipeline := conn.PgConn().StartPipeline(ctx)
		for _, text := range batch {
			pipeline.SendPrepare("", text, nil)
			pipeline.SendPipelineSync()
		}
		if err := pipeline.Flush(); err != nil {
			return nil, errors.Join(fmt.Errorf("prepare statements: %w", err), pipeline.Close())
		}
		for range batch {
			p, err := readPrepared(pipeline)
			if err != nil {
				return nil, errors.Join(err, pipeline.Close())
			}
			out = append(out, p)
		}
		if err := pipeline.Close(); err != nil {
			return nil, fmt.Errorf("prepare statements: %w", err)
		}
	}
	return out, nil
}

// readPrepared reads the results of one text, up to its synchronisation point.
func readPrepared(pipeline *pgconn.Pipeline) (Prepared, error) {
	var p Prepared
	for {
		result, err := pipeline.GetResults()
		var refused *pgconn.PgError
		switch {
		case errors.As(err, &refused):
			p.Err = refused
			continue
		case err != nil:
			return p, fmt.Errorf("prepare a statement: %w", err)
		}
		switch r := result.(type) {
		case *pgconn.StatementDescription:
			p.Params, p.Fields = r.ParamOIDs, r.Fields
		case *pgconn.PipelineSync:
			return p, nil
		case nil:
			return p, errors.New("prepare a statement: the server's answer ended early")
		}
	}
}

// Planned asks the server for a generic plan of each text that has a conflict target: a missing arbiter index is found
// only then. The others are left as they are.
func Planned(ctx context.Context, conn *pgx.Conn, texts []string, prepared []Prepared) error {
	for i, text := range texts {
		if prepared[i].Err != nil || !strings.Contains(strings.ToLower(text), "conflict") {
			continue
		}
		err := plan(ctx, conn, fmt.Sprintf("pawl_plan_%d", i), text, len(prepared[i].Params))
		var refused *pgconn.PgError
		if errors.As(err, &refused) {
			prepared[i].Err = refused
			continue
		}
		if err != nil {
			return err
		}
	}
	_, err := conn.PgConn().Exec(ctx, "reset plan_cache_mode; deallocate all").ReadAll()
	return err
}

// plan plans one text with unknown values, under a name that the session does not have yet. EXPLAIN does not execute it.
func plan(ctx context.Context, conn *pgx.Conn, name, text string, params int) error {
	if _, err := conn.PgConn().Prepare(ctx, name, text, nil); err != nil {
		return err
	}
	args := ""
	if params > 0 {
		args = "(" + strings.TrimSuffix(strings.Repeat("null, ", params), ", ") + ")"
	}
	explain := "set plan_cache_mode = force_generic_plan; explain execute " + name + args + "; reset plan_cache_mode"
	_, err := conn.PgConn().Exec(ctx, explain+"; deallocate "+name).ReadAll()
	return err
}

// Prove compares what the server said of each text before and after a change.
func Prove(ids []string, texts []string, before, after []Prepared) map[string]gate.Proof {
	proofs := make(map[string]gate.Proof, len(ids))
	for i, id := range ids {
		p := gate.Proof{Blind: !analyzed(texts[i])}
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

// analyzed reports whether PostgreSQL looks names up when it prepares such a statement: it does for queries, and for
// utility statements only the grammar is checked.
func analyzed(text string) bool {
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
