package lint_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/lint"
)

// TestHazards holds the list of what can go wrong together with the rules: each line names rules that there are, or says why none does,
// and each rule that is on by default answers for a line.
func TestHazards(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/hazards.txt")
	require.NoError(t, err)
	named := map[string]bool{}
	for n, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		hazard, answer, ok := strings.Cut(line, ": ")
		require.True(t, ok && hazard != "", "line %d", n+1)
		if why, none := strings.CutPrefix(answer, "none: "); none {
			require.NotEmpty(t, why, "line %d", n+1)
			continue
		}
		for name := range strings.FieldsSeq(answer) {
			_, ok := lint.Find(name)
			require.True(t, ok, "line %d names %q, which is no rule", n+1, name)
			named[name] = true
		}
	}
	for _, r := range lint.Rules() {
		if r.Severity != lint.Off {
			require.True(t, named[r.Name], "no hazard of testdata/hazards.txt is seen by %s", r.Name)
		}
	}
}

// TestExampleIsClean holds that the example's own migrations, which are good history, are found no fault with.
func TestExampleIsClean(t *testing.T) {
	t.Parallel()
	l, err := lint.New(lint.Options{Transactions: lint.ByFile})
	require.NoError(t, err)
	files, err := filepath.Glob("../testdata/examples/*/migrations/*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		src, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, finding := range l.Check(source(f, string(src))) {
			t.Errorf("%s:%d %s %s", f, finding.Span.Start.Line, finding.Rule, finding.Message)
		}
	}
}
