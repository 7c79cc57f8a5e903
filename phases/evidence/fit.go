package evidence

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// Misfit is one statement of a release that PostgreSQL does not take on the schema as it is.
type Misfit struct {
	Consumer, Release string
	Text              string
	Sites             []gate.Site
	Mentions          *phases.Mentions
	// Code and Message are PostgreSQL's.
	Code, Message string
	// Dropped is the contract that took what the statement needs; nil where none did that the ledger knows of.
	Dropped *Taken
	// Doubt says why PostgreSQL's refusal proves nothing about the schema; empty where it does.
	Doubt string
}

// unfitCodes are the SQLSTATEs by which PostgreSQL says that a statement does not suit the schema, as against the
// session or its rights.
var unfitCodes = map[string]bool{
	"42703": true, // undefined_column
	"42P01": true, // undefined_table
	"42883": true, // undefined_function
	"42704": true, // undefined_object
	"3F000": true, // invalid_schema_name
	"42702": true, // ambiguous_column
	"42725": true, // ambiguous_function
	"42P10": true, // invalid_column_reference: no arbiter for ON CONFLICT
	"42803": true, // grouping_error: the primary key is gone
	"42804": true, // datatype_mismatch
	"42846": true, // cannot_coerce
	"22P02": true, // invalid_text_representation: an enum value is gone
	"428C9": true, // generated_always
	"42809": true, // wrong_object_type
	"42601": true, // syntax_error: INSERT has more expressions than target columns
}

// MissesSomething reports whether an SQLSTATE says that a statement does not suit the schema.
func MissesSomething(code string) bool { return unfitCodes[code] }

var temporary = pattern.Lazy(`(?i)\bcreate\s+(?:(?:local|global)\s+)?temp(?:orary)?\s+(?:table|view|sequence)\s+(?:if\s+not\s+exists\s+)?(?:pg_temp\.)?"?(\w+)|\binto\s+temp(?:orary)?\s+(?:table\s+)?"?(\w+)`)

// Fit asks PostgreSQL to prepare every statement of the releases on the schema as it is, and plans those with a conflict
// target. It gives what is refused. Nothing is executed, and nothing but ACCESS SHARE is taken, for moments, or,
// where the session is inside a transaction, until its end. Errors are those of the connection.
//
// Of models it asks for their columns, but counts a refusal only where a contract took what it is about: a type in the
// source need not be used.
func Fit(ctx context.Context, conn Conn, manifests []*Manifest, taken []Taken) ([]Misfit, error) {
	var list []Misfit
	temp := map[string]bool{}
	for _, m := range manifests {
		for _, s := range m.Statements {
			list = append(list, Misfit{Consumer: m.Consumer, Release: m.Release, Text: s.Text, Sites: s.Sites})
			for _, found := range temporary().FindAllStringSubmatch(s.Text, -1) {
				temp[strings.ToLower(found[1]+found[2])] = true
			}
		}
	}
	whole := len(list)
	for _, m := range manifests {
		for _, model := range m.Models {
			if text := model.probe(); text != "" {
				list = append(list, Misfit{Consumer: m.Consumer, Release: m.Release, Text: text, Sites: []gate.Site{model.Site}})
			}
		}
	}
	texts := make([]string, len(list))
	for i := range list {
		texts[i] = list[i].Text
	}
	prepared, err := Prepare(ctx, conn, texts)
	if err != nil {
		return nil, err
	}
	if err := splitSeveral(ctx, conn, texts, prepared); err != nil {
		return nil, err
	}
	var unfit []Misfit
	for i, p := range prepared {
		if p.Err == nil {
			continue
		}
		if code := p.Err.Code; code == "55P03" || code == "57014" || strings.HasPrefix(code, "53") {
			return nil, p.Err
		}
		u := list[i]
		u.Code, u.Message, u.Mentions = p.Err.Code, p.Err.Message, parse.Mentions(u.Text)
		u.Dropped = takenBy(u, taken)
		switch {
		case !unfitCodes[u.Code]:
			u.Doubt = "it is no matter of the schema"
		case u.Code == "42601" && u.Mentions.Unparsed:
			u.Doubt = "the text is no SQL that can be prepared"
		case i >= whole && u.Dropped == nil:
			u.Doubt = "a type in the source need not be used"
		case u.Dropped == nil && namesAny(u.Mentions, temp):
			u.Doubt = "the release makes temporary tables of this name"
		}
		unfit = append(unfit, u)
	}
	return unfit, doubtElsewhere(ctx, conn, unfit)
}

// probe is a query for a model's columns; empty for a type that only receives rows.
func (model Model) probe() string {
	if model.Table == "" || len(model.Columns) == 0 {
		return ""
	}
	columns := make([]string, len(model.Columns))
	for i, c := range model.Columns {
		columns[i] = pgx.Identifier{c.Name}.Sanitize()
	}
	table := pgx.Identifier{model.Table}
	if model.Schema != "" {
		table = pgx.Identifier{model.Schema, model.Table}
	}
	return "select " + strings.Join(columns, ", ") + " from " + table.Sanitize()
}

// splitSeveral asks about texts that hold several statements one by one: PostgreSQL prepares one at a time.
func splitSeveral(ctx context.Context, conn Conn, texts []string, prepared []Prepared) error {
	for i, p := range prepared {
		if p.Err == nil || p.Err.Code != "42601" || !strings.Contains(texts[i], ";") {
			continue
		}
		f := parse.File("", []byte(texts[i]))
		if len(f.Statements) < 2 || len(f.Problems) > 0 {
			continue
		}
		parts := make([]string, len(f.Statements))
		for j := range f.Statements {
			parts[j] = f.Statements[j].Text
		}
		answers, err := Prepare(ctx, conn, parts)
		if err != nil {
			return err
		}
		prepared[i].Err = nil
		for _, a := range answers {
			if a.Err != nil {
				prepared[i].Err = a.Err
				break
			}
		}
	}
	return nil
}

// takenBy finds the contract that took what a statement needs: the newest whose object PostgreSQL's message names,
// otherwise the newest that the statement meets.
func takenBy(u Misfit, taken []Taken) *Taken {
	var met *Taken
	for i := range taken {
		if u.Mentions.Meets(taken[i].Take, nil).Uses == 0 {
			continue
		}
		o := taken[i].Take.Object
		for _, name := range []string{o.Column, o.Name, o.Relation} {
			if name == "" {
				continue
			}
			name, _, _ = strings.Cut(name, "(")
			if strings.Contains(u.Message, `"`+name+`"`) || strings.Contains(u.Message, name+"(") || strings.Contains(u.Message, "."+name) {
				return &taken[i]
			}
			break
		}
		if met == nil {
			met = &taken[i]
		}
	}
	if u.Code == "42703" || u.Code == "42P01" || u.Code == "42883" {
		// The message names what is missing, and no contract took it.
		return nil
	}
	return met
}

func namesAny(m *phases.Mentions, names map[string]bool) bool {
	for _, r := range m.Relations {
		if names[r.Name] {
			return true
		}
	}
	return false
}

// doubtElsewhere marks statements that name a relation which is there, in a schema where pawl's session does not look:
// the consumer's may.
func doubtElsewhere(ctx context.Context, conn Conn, unfit []Misfit) error {
	var names []string
	for _, u := range unfit {
		if (u.Code == "42P01" || u.Code == "42883") && u.Doubt == "" && u.Dropped == nil {
			for _, r := range u.Mentions.Relations {
				if r.Schema == "" {
					names = append(names, r.Name)
				}
			}
			for name := range u.Mentions.Names {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	const query = `
select c.relname from pg_class c where c.relname = any ($1) and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and not pg_table_is_visible(c.oid)
union select p.proname from pg_proc p where p.proname = any ($1) and not pg_function_is_visible(p.oid)`
	rows, err := conn.Query(ctx, query, names)
	if err != nil {
		return fmt.Errorf("look for the relations elsewhere: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for the relations elsewhere: %w", err)
	}
	for _, name := range found {
		for i := range unfit {
			u := &unfit[i]
			if (u.Code == "42P01" || u.Code == "42883") && u.Dropped == nil && strings.Contains(u.Message, name) {
				u.Doubt = fmt.Sprintf("%s is there, in a schema that is not in the search path of pawl's role", name)
			}
		}
	}
	return nil
}
