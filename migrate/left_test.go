package migrate

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/phases/parse"
)

func TestLeftBehind(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"create table attempts (template text);":                                    "",
		"CREATE TEMP TABLE x (id int);":                                             "discard temp",
		"do $$ begin create TEMPORARY table x (id int); end $$;":                    "discard temp",
		"-- no temp table\nselect 1;":                                               "",
		"copy t from stdin;\na temp table, prepare, listen, cursor\n\\.\nselect 1;": "",
		"prepare p as select 1; listen l;":                                          "deallocate all; unlisten *",
	} {
		require.Equal(t, want, leftBehind(parse.File("a.sql", []byte(text))), text)
	}
}
