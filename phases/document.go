package phases

import (
	"fmt"
	"strings"
)

// Document writes docs/operations.md: the registry as a page for people. A test compares the file with it and writes
// it anew with -update.
func Document() string {
	var b strings.Builder
	b.WriteString("<!-- Generated from phases/kinds*.go; `go generate ./phases/...` writes it anew. -->\n\n# What PostgreSQL operations do\n\n")
	b.WriteString("Every kind of operation that pawl tells apart: what it means for code that is already deployed (phase), what it does to traffic\n" +
		"while it runs (lock, rewrite, scan), and what it takes from code. The examples run on PostgreSQL 14 to 18 in the tests, which\n" +
		"compare locks, rewrites, scans and old statements with this page.\n\n" +
		"A lock stands for the tables that were there before: SHARE and stronger make writers wait, ACCESS EXCLUSIVE readers too,\n" +
		"SHARE UPDATE EXCLUSIVE other DDL and VACUUM only. *Not in a transaction* means that PostgreSQL refuses it in one.\n")
	for _, family := range families() {
		fmt.Fprintf(&b, "\n## %s\n\n", family.title)
		b.WriteString("| kind | phase | lock | rewrite, scan | what it does |\n|---|---|---|---|---|\n")
		for _, d := range family.rows {
			fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %s | %s |\n", d.Kind, d.Kind, d.Phase, lockCell(d), workCell(d), d.Summary)
		}
		for _, d := range family.rows {
			documentKind(&b, d)
		}
	}
	return b.String()
}

type family struct {
	title string
	rows  []Descriptor
}

func families() []family {
	return []family{
		{"Tables", tableKinds}, {"Columns", columnKinds}, {"Constraints", constraintKinds}, {"Partitions", partitionKinds},
		{"Indexes and statistics", indexKinds}, {"Views", viewKinds}, {"Sequences", sequenceKinds}, {"Types and domains", typeKinds},
		{"Functions and procedures", routineKinds}, {"Triggers, rules and policies", triggerKinds}, {"Roles and privileges", roleKinds},
		{"Replication", replicationKinds}, {"Schemas, extensions and the rest", otherKinds}, {"Data", dataKinds}, {"Upkeep", upkeepKinds},
		{"Session", sessionKinds},
	}
}

func documentKind(b *strings.Builder, d Descriptor) {
	fmt.Fprintf(b, "\n### %s\n\n%s%s.\n\n", d.Kind, strings.ToUpper(d.Summary[:1]), d.Summary[1:])
	fmt.Fprintf(b, "- Phase: **%s**", d.Phase)
	if d.Refines != "" {
		fmt.Fprintf(b, "; what [%s](#%s) is when the schema shows so", d.Refines, d.Refines)
	}
	b.WriteString("\n")
	for _, l := range []struct {
		mode Lock
		on   string
	}{{d.Effect.Lock, "what it is on"}, {d.Effect.RefLock, "what it refers to"}} {
		if l.mode != NoLock {
			fmt.Fprintf(b, "- Lock on %s: %s, which blocks %s\n", l.on, l.mode, l.mode.Blocks())
		}
	}
	if words := d.Reach.words(); words != "" {
		fmt.Fprintf(b, "- Also locks %s\n", words)
	}
	if work := workCell(d); work != "" {
		fmt.Fprintf(b, "- Work: %s\n", work)
	}
	for _, t := range d.Takes {
		fmt.Fprintf(b, "- Takes %s: %s (%s)\n", t.What, t.Uses, t.Certainty)
	}
	if d.Since != 0 {
		fmt.Fprintf(b, "- Since PostgreSQL %d\n", d.Since)
	}
	if d.Safe != "" {
		fmt.Fprintf(b, "- Safe way: %s\n", d.Safe)
	}
	fmt.Fprintf(b, "\n```sql\n%s;\n```\n", d.Example)
	if d.Breaks != "" {
		fmt.Fprintf(b, "\nAfter it this fails: `%s`\n", d.Breaks)
	}
}

func lockCell(d Descriptor) string {
	switch {
	case d.Effect.Lock != NoLock && d.Effect.RefLock != NoLock:
		return fmt.Sprintf("%s; other table: %s", d.Effect.Lock, d.Effect.RefLock)
	case d.Effect.RefLock != NoLock:
		return fmt.Sprintf("other table: %s", d.Effect.RefLock)
	default:
		return d.Effect.Lock.String()
	}
}

func workCell(d Descriptor) string {
	var words []string
	switch {
	case d.Effect.Rewrite:
		words = append(words, "rewrites the table")
	case d.Effect.Scan:
		words = append(words, "reads the whole table")
	}
	if d.Effect.NoTx {
		words = append(words, "not in a transaction")
	}
	return strings.Join(words, ", ")
}

// words says in words which further relations are locked.
func (r Reach) words() string {
	var out []string
	for _, w := range []struct {
		bit  Reach
		text string
	}{
		{ToFamily, "partitions and inheriting tables"}, {ToPartitions, "partitions"}, {ToParent, "the partition's parent and default partition"},
		{ToOtherEnds, "the tables at the other ends of its foreign keys"}, {ToDependents, "what CASCADE reaches"},
		{ToUsers, "every table that uses the type"}, {ToReads, "what its query reads, weakly"},
	} {
		if r&w.bit != 0 {
			out = append(out, w.text)
		}
	}
	return strings.Join(out, "; ")
}

// String says in words what a rule is about.
func (s Subject) String() string {
	switch s {
	case TheTable:
		return "the table"
	case TheColumns:
		return "its columns"
	case TheReferenced:
		return "what it refers to"
	case Everything:
		return "whatever there is"
	default:
		return "the object"
	}
}
