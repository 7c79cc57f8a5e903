package lint

import (
	"regexp"
	"slices"
	"strings"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases"
)

// The fixes below are mechanical and the same in the end. Each leaves a file that parses, that its rule is silent about, and that
// raises no other rule; a test holds that over the pages. Those that need a second file stand in fix_later.go.

// replaceIn gives the edit that replaces the first match of a pattern in the operation's statement.
func (o *Op) replaceIn(pattern *regexp.Regexp, with string) []Edit {
	s := &o.File.File.Statements[o.Statement]
	m := pattern.FindStringSubmatchIndex(s.Text)
	if m == nil || o.place != s.Span {
		return nil
	}
	text := pattern.ExpandString(nil, with, s.Text, m)
	return []Edit{{Path: o.File.File.Path, Start: s.Span.Start.Offset + m[0], End: s.Span.Start.Offset + m[1], Text: string(text)}}
}

// alone reports whether the statement is the only one of its file, so that it may be one that PostgreSQL refuses in a transaction.
func (o *Op) alone() bool {
	s := o.File.File.Statements
	return len(s) == 1 && len(s[0].Operations) == 1 && !o.File.Wraps && o.File.Options.Transactions != Always && !o.Flags.Has(phases.Cascade)
}

var (
	indexWord    = pattern.Lazy(`(?i)^((?:create\s+(?:unique\s+)?|drop\s+)index\b|reindex\s+(?:index|table|schema)\b)`)
	guardWords   = pattern.Lazy(`(?i)\bif\s+not\s+exists\s+`)
	detachClause = pattern.Lazy(`(?i)(\bdetach\s+partition\s+\S+)\s*$`)
	refreshWords = pattern.Lazy(`(?i)^(refresh\s+materialized\s+view\b)`)
)

func fixConcurrently(o *Op) []Edit {
	if !o.alone() && strings.HasPrefix(string(o.Kind), "reindex") {
		return nil
	}
	if !o.alone() {
		return moveConcurrently(o)
	}
	// Over IF NOT EXISTS the concurrent form would be a hazard of its own.
	if o.Flags.Has(phases.IfNotExists) || o.Relation().Partitioned() {
		return nil
	}
	return o.replaceIn(indexWord(), "$1 CONCURRENTLY")
}

func fixIfNotExists(o *Op) []Edit { return o.replaceIn(guardWords(), "") }

func fixDetach(o *Op) []Edit {
	if !o.alone() || o.Relation().DefaultPartition().Exists() {
		return nil
	}
	return o.replaceIn(detachClause(), "$1 CONCURRENTLY")
}

// fixRefresh needs a unique index on plain columns without a condition.
func fixRefresh(o *Op) []Edit {
	if !slices.ContainsFunc(o.Relation().Indexes(), func(i phases.IndexInfo) bool {
		return i.Unique && i.Where == nil && len(i.Expressions) == 0
	}) {
		return nil
	}
	return o.replaceIn(refreshWords(), "$1 CONCURRENTLY")
}

// fixDroppedProof makes two statements of SET NOT NULL and the drop of the CHECK behind it.
func fixDroppedProof(o *Op) []Edit {
	s := &o.File.File.Statements[o.Statement]
	if len(s.Operations) != 2 || s.Operations[0].Kind != "set_not_null" || s.Operations[1].Kind != "drop_constraint" {
		return nil
	}
	first, second := s.Operations[0].Span, s.Operations[1].Span
	between := o.File.File.Text[first.End.Offset:max(first.End.Offset, second.Start.Offset)]
	if strings.TrimSpace(between) != "," || first.Start.Offset <= s.Span.Start.Offset {
		return nil
	}
	head := o.File.File.Text[s.Span.Start.Offset:first.Start.Offset]
	return []Edit{{Path: o.File.File.Path, Start: first.End.Offset, End: second.Start.Offset, Text: ";\n" + head}}
}
