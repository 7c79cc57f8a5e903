package evidence_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
)

// TestWhatIsNotWhole asks what statements with holes, pieces and models meet.
func TestWhatIsNotWhole(t *testing.T) {
	t.Parallel()
	column := func(table, name string) phases.Take {
		return phases.Take{Object: phases.Object{Kind: phases.Column, Schema: "public", Relation: table, Column: name}, Uses: phases.AnyUse}
	}
	table := func(name string) phases.Take {
		return phases.Take{Object: phases.Object{Kind: phases.Table, Schema: "public", Relation: name}, Uses: phases.AnyUse}
	}
	template := func(holes []string, parts ...string) evidence.Parts {
		return evidence.Parts{Templates: []evidence.Template{{Parts: parts, Holes: holes}}}
	}
	name := []string{evidence.NameHole}
	users := []string{"id", "email", "is_admin"}
	user := evidence.Model{Name: "User", Table: "users", Columns: []evidence.ModelColumn{{Name: "id"}, {Name: "email"}, {Name: "score", Access: "read"}}}
	for _, test := range []struct {
		what    string
		parts   evidence.Parts
		take    phases.Take
		columns []string
		met     bool
		unsure  bool
	}{
		{"a relation of any name", template(name, "DELETE FROM ", " WHERE id = $1"), table("users"), users, true, true},
		{"which lacks a column", template(name, "DELETE FROM ", " WHERE done"), table("users"), users, false, false},
		{"whose columns are not known", template(name, "DELETE FROM ", " WHERE done"), table("users"), nil, true, true},
		{"a column of it that is not named", template(name, "SELECT id FROM ", ""), column("users", "email"), users, false, false},
		{"a column of it that is", template(name, "SELECT id, email FROM ", ""), column("users", "email"), users, true, true},
		{"all its columns", template(name, "SELECT * FROM ", ""), column("users", "email"), users, true, true},
		{"a name of a pattern", template(name, "SELECT is_", " FROM users"), column("users", "is_admin"), users, true, true},
		{"of another pattern", template(name, "SELECT was_", " FROM users"), column("users", "is_admin"), users, false, false},
		{"a relation of a pattern", template(name, "TRUNCATE jobs_", ""), table("jobs_2026"), nil, true, true},
		{"of another one", template(name, "TRUNCATE jobs_", ""), table("users"), nil, false, false},
		{"what is named for sure", template([]string{evidence.ValueHole}, "SELECT email FROM users LIMIT ", ""), column("users", "email"), users, true, false},
		{"a value is no name", template([]string{evidence.ValueHole}, "SELECT id FROM users LIMIT ", ""), column("users", "email"), users, false, false},
		{"any SQL over given tables", evidence.Parts{Templates: []evidence.Template{{Parts: []string{"SELECT ", ""}, Holes: []string{evidence.TextHole}, Tables: []string{"users"}}}}, column("users", "email"), users, true, false},
		{"and over no other", evidence.Parts{Templates: []evidence.Template{{Parts: []string{"SELECT ", ""}, Holes: []string{evidence.TextHole}, Tables: []string{"orders"}}}}, column("users", "email"), users, false, false},
		{"a model's column", evidence.Parts{Models: []evidence.Model{user}}, column("users", "email"), users, true, false},
		{"a column that it lacks", evidence.Parts{Models: []evidence.Model{user}}, phases.Take{Object: column("users", "is_admin").Object, Uses: phases.Read | phases.Star}, users, false, false},
		{"another table's", evidence.Parts{Models: []evidence.Model{user}}, column("orders", "email"), nil, false, false},
		{"a column that it omits", evidence.Parts{Models: []evidence.Model{user}}, phases.Take{Object: column("users", "is_admin").Object, Uses: phases.Omit}, users, true, false},
		{"a column that it only reads", evidence.Parts{Models: []evidence.Model{user}}, phases.Take{Object: column("users", "score").Object, Uses: phases.Insert | phases.Update}, users, false, false},
		{"a piece beside a model", evidence.Parts{Models: []evidence.Model{user}, Fragments: []evidence.Template{{Parts: []string{"is_admin = ?"}}}}, column("users", "is_admin"), users, true, true},
		{"a piece beside another", evidence.Parts{Models: []evidence.Model{user}, Fragments: []evidence.Template{{Parts: []string{"is_admin = ?"}}}}, column("orders", "is_admin"), nil, false, false},
		{"a piece with its relation", evidence.Parts{Fragments: []evidence.Template{{Parts: []string{"orders o ON o.user_id = u.id"}}}}, table("orders"), nil, true, true},
		{"tables said to be used", evidence.Parts{Acknowledged: []evidence.Acknowledgement{{Directive: "tables", Text: "users, app.orders"}}}, column("users", "email"), users, true, false},
		{"in a schema", evidence.Parts{Acknowledged: []evidence.Acknowledgement{{Directive: "tables", Text: "users, app.orders"}}}, table("orders"), nil, false, false},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			m := evidence.Manifest{Status: evidence.Complete, Parts: test.parts}
			met, unsure := false, true
			for _, q := range m.Gate().Queries {
				if found := q.Mentions.Meets(test.take, nil, test.columns...); found.Uses != 0 {
					met, unsure = true, unsure && found.Unsure
				}
			}
			require.Equal(t, test.met, met)
			require.Equal(t, test.unsure, met && unsure)
		})
	}
}
