package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/lint"
	"github.com/bitvault/pawl/lint/report"
	"github.com/bitvault/pawl/phases/parse"
)

// write lints files, given as path and text in turn, and reports on them.
func write(t *testing.T, format string, o report.Options, files ...string) string {
	t.Helper()
	linter, err := lint.New(lint.Options{Transactions: lint.ByFile})
	require.NoError(t, err)
	var out bytes.Buffer
	w, err := report.New(format, &out, o)
	require.NoError(t, err)
	require.NoError(t, w.Begin())
	for i := 0; i < len(files); i += 2 {
		text, layout := lint.Read(files[i], []byte(files[i+1]))
		s := &lint.Source{File: parse.File(files[i], text), Layout: layout}
		require.NoError(t, w.File(files[i]))
		for _, f := range linter.Check(s) {
			require.NoError(t, w.Finding(&f, s.File.Text))
		}
	}
	require.NoError(t, w.End(linter.Summary()))
	return out.String()
}

const (
	oddPath = "migrations/1_größe, 50%: a.sql"
	oddText = "-- ünïcödé 🦫\nSELECT 1; /* 🦫 */ DROP TABLE \"a`b<c>|%0A::error::\";\nDROP TABLE \"a`b<c>|%0A::error::\"; DROP\n TABLE gone;\n"
)

func TestSarif(t *testing.T) {
	t.Parallel()
	out := write(t, "sarif", report.Options{Version: "1.2.3"}, oddPath, oddText, "migrations/2_b.sql", "SELECT 1;")
	doc, err := sarif.FromString(out)
	require.NoError(t, err)
	require.NoError(t, doc.Validate())
	require.Len(t, doc.Runs, 1)
	run := doc.Runs[0]
	require.Equal(t, "unicodeCodePoints", *run.ColumnKind)
	require.Len(t, run.Tool.Driver.Rules, len(lint.Names()))
	require.Len(t, run.Results, 3)
	seen := map[string]bool{}
	for _, r := range run.Results {
		require.Equal(t, "dropped-table", *r.RuleID)
		require.Equal(t, *r.RuleID, *run.Tool.Driver.Rules[r.RuleIndex].ID)
		require.Equal(t, "migrations/1_gr%C3%B6%C3%9Fe,%2050%25:%20a.sql", *r.Locations[0].PhysicalLocation.ArtifactLocation.URI)
		seen[r.PartialFingerprints["pawl/v1"]] = true
	}
	require.Len(t, seen, 3)
	first := run.Results[0].Locations[0].PhysicalLocation.Region
	require.Equal(t, []int{2, 19, 2}, []int{*first.StartLine, *first.StartColumn, *first.EndLine})

	doc, err = sarif.FromString(write(t, "sarif", report.Options{}, "a.sql", "SELECT 1;"))
	require.NoError(t, err)
	require.NoError(t, doc.Validate())
	require.NotNil(t, doc.Runs[0].Results, "a run without findings has an empty list, which says that it ran")
}

func TestGitHub(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.TrimSpace(write(t, "github", report.Options{}, oddPath, oddText)), "\n")
	require.Len(t, lines, 4, "a finding is a line, whatever is in it")
	require.True(t, strings.HasPrefix(lines[0], "::error title=pawl dropped-table,file=migrations/1_größe%2C 50%25%3A a.sql,line=2,endLine=2,col=19,endColumn=51::"), lines[0])
	require.Contains(t, lines[0], "%250A::error::", "what looks like an escape stays what it is")
	require.Contains(t, lines[0], "%0A", "the help stands in a line of its own")
	require.Contains(t, lines[2], ",line=3,endLine=4::", "a place of several lines has no columns")
}

func TestGitLab(t *testing.T) {
	t.Parallel()
	type issue struct {
		Description string `json:"description"`
		Name        string `json:"check_name"`
		Fingerprint string
		Severity    string
		Location    struct {
			Path  string
			Lines struct{ Begin int }
		}
	}
	read := func(text string) (list []issue) {
		require.NoError(t, json.Unmarshal([]byte(write(t, "gitlab", report.Options{}, oddPath, text)), &list))
		return list
	}
	list := read(oddText)
	require.Len(t, list, 3)
	prints := map[string]bool{}
	for _, i := range list {
		require.NotEmpty(t, i.Description)
		require.Equal(t, "major", i.Severity)
		require.Equal(t, oddPath, i.Location.Path)
		prints[i.Fingerprint] = true
	}
	require.Len(t, prints, 3, "GitLab drops a second finding of one fingerprint")
	for _, i := range read("\n\n-- moved\n" + strings.ReplaceAll(oddText, "DROP TABLE", "DROP   TABLE")) {
		require.True(t, prints[i.Fingerprint], "a finding that moves stays the same")
	}
	require.Empty(t, read("SELECT 1;"))
}

func TestJUnit(t *testing.T) {
	t.Parallel()
	type suite struct {
		Name     string `xml:"name,attr"`
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Cases    []struct {
			Name    string `xml:"name,attr"`
			Failure *struct {
				Message string `xml:"message,attr"`
				Text    string `xml:",chardata"`
			} `xml:"failure"`
		} `xml:"testcase"`
	}
	var doc struct {
		Suites []suite `xml:"testsuite"`
	}
	out := write(t, "junit", report.Options{FailOn: lint.Warning}, oddPath, oddText+"DROP TABLE \"\x01\";", "b.sql", "SELECT 1;")
	require.NoError(t, xml.Unmarshal([]byte(out), &doc))
	require.Len(t, doc.Suites, 2)
	require.Equal(t, []int{4, 4, 4}, []int{doc.Suites[0].Tests, doc.Suites[0].Failures, len(doc.Suites[0].Cases)})
	require.Equal(t, oddPath, doc.Suites[0].Name)
	require.Contains(t, doc.Suites[0].Cases[0].Failure.Message, "a`b<c>|%0A::error::")
	require.Equal(t, []int{1, 0}, []int{doc.Suites[1].Tests, doc.Suites[1].Failures})
	require.NoError(t, xml.Unmarshal([]byte(write(t, "junit", report.Options{FailOn: lint.Error + 1}, oddPath, oddText)), &doc))
	require.Zero(t, doc.Suites[2].Failures, "what does not fail the run is no failure")
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	out := write(t, "markdown", report.Options{}, oddPath, oddText)
	require.True(t, strings.HasPrefix(out, "### pawl lint\n"))
	require.Contains(t, out, ":x: **error** [`dropped-table`](https://github.com/bitvault/pawl/blob/main/lint/docs/dropped-table.md) at `"+oddPath+":2:19`")
	require.NotContains(t, strings.ReplaceAll(out, "```sql\n", ""), "\n<c>")
	require.Contains(t, out, "```sql\nSELECT 1; /* 🦫 */ DROP TABLE")
	require.Contains(t, out, "1 file: 3 findings (3 errors)")
	require.Contains(t, write(t, "markdown", report.Options{}, "a.sql", "SELECT 1;"), ":white_check_mark: 1 file: nothing found")

	many := write(t, "markdown", report.Options{}, "a.sql", strings.Repeat("DROP TABLE a;\n", 1000))
	require.Less(t, len(many), 65_536, "GitHub takes no longer comment")
	require.Regexp(t, `… and \d+ findings more`, many)
}

func TestTextInColor(t *testing.T) {
	t.Parallel()
	plain := write(t, "text", report.Options{}, oddPath, oddText)
	require.NotContains(t, plain, "\x1b")
	require.Contains(t, plain, oddPath+":2:19: error [dropped-table]\n")
	require.Contains(t, plain, "  2 | SELECT 1; /* 🦫 */ DROP TABLE")
	colored := write(t, "text", report.Options{Color: true}, oddPath, oddText)
	require.Contains(t, colored, "\x1b[31merror\x1b[0m")
}

// TestLinear holds that the work for one file grows with its length alone, in every format. What is counted is memory handed out, which
// no noise of the machine changes.
func TestLinear(t *testing.T) {
	for _, format := range report.Formats() {
		cost := func(n int) (handedOut, written int) {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, "DROP TABLE t%d;\n", i)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			out := write(t, format, report.Options{FailOn: lint.Warning}, "a.sql", b.String())
			runtime.ReadMemStats(&after)
			return int(after.TotalAlloc - before.TotalAlloc), len(out) //nolint:gosec // it is a few megabytes
		}
		small, _ := cost(1_000)
		large, length := cost(8_000)
		require.Less(t, float64(large)/float64(small), 8*1.5, "%s: %d bytes for 1,000 findings, %d for 8,000", format, small, large)
		require.Greater(t, length, 50_000)
	}
}
