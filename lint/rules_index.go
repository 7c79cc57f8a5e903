package lint

import (
	"slices"

	"github.com/bitvault/pawl/phases"
)

var indexRules = []Rule{
	{
		Name: "blocking-index", Severity: Error, Kinds: kinds("create_index", "create_unique_index"),
		When:    func(o *Op) bool { return o.Existing() && o.Blocks() && !o.onMatView() && !o.Relation().Partitioned() },
		Summary: "CREATE INDEX without CONCURRENTLY on a table with traffic",
		Message: "building the index {cost}",
		Help:    "Write CREATE INDEX CONCURRENTLY, in a file of its own: PostgreSQL refuses it in a transaction.", Fix: fixConcurrently,
	},
	{
		Name: "blocking-partitioned-index", Severity: Error, Kinds: kinds("create_index", "create_unique_index"),
		When:    func(o *Op) bool { return o.Existing() && o.Blocks() && o.Relation().Partitioned() },
		Summary: "CREATE INDEX on a partitioned table, which builds one on each partition",
		Message: "an index is built on every partition of {table}, one after the other, in one transaction: it {cost}",
		Help:    "`CREATE INDEX … ON ONLY {table}`, then CREATE INDEX CONCURRENTLY on each partition in files of their own, then ALTER INDEX … ATTACH PARTITION for each.",
	},
	{
		Name: "partitioned-concurrent-index", Severity: Error, Kinds: kinds("create_index_concurrently", "create_unique_index_concurrently"),
		When:    func(o *Op) bool { return o.Relation().Partitioned() && !o.Flags.Has(phases.Only) },
		Summary: "CREATE INDEX CONCURRENTLY on a partitioned table",
		Message: "PostgreSQL refuses this: {table} is partitioned, and no index of it can be built CONCURRENTLY",
		Help:    "`CREATE INDEX … ON ONLY {table}`, then CREATE INDEX CONCURRENTLY on each partition in files of their own, then ALTER INDEX … ATTACH PARTITION for each.",
	},
	{
		Name: "concurrent-if-not-exists", Severity: Error, Kinds: kinds("create_index_concurrently", "create_unique_index_concurrently"),
		When:    func(o *Op) bool { return o.Flags.Has(phases.IfNotExists) },
		Summary: "IF NOT EXISTS on a concurrent build",
		Message: "where a build failed before, IF NOT EXISTS finds its INVALID index and reports success: the index is never used and every write pays for it",
		Help:    "Leave IF NOT EXISTS out: pawl drops the INVALID index of a dead build and builds it again. With another tool, begin with DROP INDEX CONCURRENTLY IF EXISTS in a file of its own.", Fix: fixIfNotExists,
	},
	{
		Name: "blocking-index-drop", Severity: Error, Kinds: kinds("drop_index", "drop_unique_index"),
		When: func(o *Op) bool {
			return o.Existing() && o.Blocks() && !o.ofConstraint() && !o.newIndex()
		},
		Summary: "DROP INDEX without CONCURRENTLY on a table with traffic",
		Message: "dropping the index {cost}, and waits behind every query that runs",
		Help:    "Write DROP INDEX CONCURRENTLY, one index in a file of its own.", Fix: fixConcurrently,
	},
	{
		Name: "constraint-index-drop", Severity: Error, Kinds: kinds("drop_index", "drop_unique_index", "drop_index_concurrently", "drop_unique_index_concurrently"),
		When:    func(o *Op) bool { return o.ofConstraint() && !o.Flags.Has(phases.Cascade) },
		Summary: "DROP INDEX on the index of a constraint",
		Say: func(o *Op) string {
			i, _ := o.File.Catalog.Index(o.On)
			return o.expand("PostgreSQL refuses this: constraint " + i.Constraint + " of {table} needs the index")
		},
		Help: "Drop the constraint instead, which takes its index along: `ALTER TABLE {table} DROP CONSTRAINT …`.",
	},
	{
		Name: "unsupported-concurrent-drop", Severity: Error, Kinds: kinds("drop_index_concurrently", "drop_unique_index_concurrently"),
		When:    func(o *Op) bool { return o.refusedDrop() != "" },
		Summary: "a form of DROP INDEX CONCURRENTLY that PostgreSQL lacks",
		Say:     func(o *Op) string { return "PostgreSQL refuses this: DROP INDEX CONCURRENTLY " + o.refusedDrop() },
		Help:    "Drop one index per statement, without CASCADE, each in a file of its own; the index of a partitioned table can only be dropped without CONCURRENTLY.",
	},
	{
		Name: "mutable-index", Severity: Error, Kinds: kinds("create_index", "create_index_only", "create_unique_index", "create_index_concurrently", "create_unique_index_concurrently"),
		When:    func(o *Op) bool { return o.mutableIndex() != "" },
		Summary: "an index on what is not immutable",
		Say: func(o *Op) string {
			return "PostgreSQL refuses this: functions in an index must be IMMUTABLE, and " + o.mutableIndex() + " is not"
		},
		Help: "Index what does not depend on the clock, the time zone or a setting: `(at AT TIME ZONE 'UTC')::date` instead of `at::date`.",
	},
	{
		Name: "unfit-index", Severity: Error,
		Kinds:   kinds("add_unique_using_index", "add_unique_using_index_deferrable", "add_primary_key_using_index", "add_primary_key_using_index_nullable", "replica_identity", "replica_identity_kept"),
		When:    func(o *Op) bool { return o.unfit() != "" },
		Summary: "USING INDEX with an index that cannot serve for it",
		Say: func(o *Op) string {
			return "PostgreSQL refuses this: the index " + o.using() + " " + o.unfit()
		},
		Help: "Build the index that is needed first: CREATE UNIQUE INDEX CONCURRENTLY, over plain columns and without WHERE.",
	},
	{
		Name: "blocking-reindex", Severity: Error,
		Kinds:   kinds("reindex_index", "reindex_index_partitioned", "reindex_table", "reindex_table_partitioned", "reindex_schema", "reindex_database", "reindex_system"),
		When:    existing,
		Summary: "REINDEX without CONCURRENTLY",
		Say: func(o *Op) string {
			if text := o.Cost(); text != "" {
				return o.expand("REINDEX {cost}; readers that plan on the index wait as well")
			}
			return "REINDEX blocks the writers of every table, and the readers that plan on an index, for as long as it builds"
		},
		Help: "Write REINDEX … CONCURRENTLY, in a file of its own; REINDEX SYSTEM has no such form.", Fix: fixConcurrently,
	},
	{
		Name: "redundant-index", Severity: Off, Kinds: kinds("create_index", "create_index_concurrently"),
		When:    func(o *Op) bool { return o.coveredBy() != "" },
		Summary: "an index that another one makes superfluous",
		Say: func(o *Op) string {
			return o.expand(o.coveredBy() + " begins with ({columns}) already: whatever uses the new index can use it")
		},
		Help: "Leave it out: every write pays for every index.",
	},
	{
		Name: "unnamed-index", Severity: Off, Kinds: kinds("create_index", "create_index_only", "create_unique_index", "create_index_concurrently", "create_unique_index_concurrently"),
		When:    func(o *Op) bool { return o.Index != nil && o.Index.Name == "" },
		Summary: "an index without a name",
		Message: "PostgreSQL chooses the name, which depends on what is there: later files cannot rely on it",
		Help:    "Name it: `{short}_…_idx`.",
	},
	{
		Name: "wide-index", Severity: Off, Kinds: kinds("create_index", "create_index_concurrently"),
		When: func(o *Op) bool {
			return o.Index != nil && !o.Index.Unique && len(o.Index.Columns)+len(o.Index.Expressions) > 3
		},
		Summary: "an index of more than three columns",
		Message: "an index of more than three columns rarely finds more than one of its first three",
		Help:    "Index the columns that tell rows apart; put what is only read into INCLUDE.",
	},
}

// onMatView reports whether the operation is on a materialized view, whose only writer is REFRESH.
func (o *Op) onMatView() bool { return o.Relation().Object().Kind == phases.MatView }

// newIndex reports whether the index was made in the same run.
func (o *Op) newIndex() bool {
	i, ok := o.File.Catalog.Index(o.On)
	return ok && i.New
}

// refusedDrop says which form of DROP INDEX CONCURRENTLY PostgreSQL lacks; empty where it has it.
func (o *Op) refusedDrop() string {
	operations := o.File.File.Statements[o.Statement].Operations
	switch {
	case len(operations) > 1 && operations[0].On != o.On:
		// Said once for the statement.
		return ""
	case len(operations) > 1:
		return "drops one index at a time"
	case o.Flags.Has(phases.Cascade):
		return "has no CASCADE"
	case o.Relation().Partitioned():
		return "cannot drop the index of a partitioned table"
	}
	return ""
}

// mutableIndex names what PostgreSQL refuses in the index's expressions and its condition; empty for nothing.
func (o *Op) mutableIndex() string {
	if o.Index == nil {
		return ""
	}
	for _, e := range append(slices.Clone(o.Index.Expressions), o.Index.Where) {
		if e == nil {
			continue
		}
		for _, f := range e.Functions {
			if o.File.Catalog.MutableFor(f, o.Relation()) {
				return f.Name + "()"
			}
		}
		if o.File.Catalog.Mutable(e) {
			return "what it reads of the clock or the session"
		}
		if e.Bare != "" && e.Cast != nil {
			if k, ok := o.Relation().Column(e.Bare); ok && o.File.Catalog.MutableCast(k.Type, *e.Cast) {
				return "the cast of " + e.Bare + " from " + k.Type.String() + " to " + e.Cast.String()
			}
		}
	}
	return ""
}

// refusedBound says why the bound of a new partition cannot be had; empty where it can.
func (o *Op) refusedBound() string {
	parent, bound := o.On, o.Bound
	if t := o.AssessedOperation.Table; t != nil {
		parent, bound = t.PartitionOf, t.Bound
	}
	return o.File.Catalog.Relation(parent).RefusedBound(bound)
}

// using names the index that the statement puts to use; empty for none.
func (o *Op) using() string {
	switch {
	case o.Constraint != nil:
		return o.Constraint.Index
	case o.Text == "i" && len(o.Names) > 0:
		return o.Names[0]
	}
	return ""
}

// unfit says why the index cannot become a constraint (parse_utilcmd.c, transformIndexConstraint) or a
// replica identity (tablecmds.c, ATExecReplicaIdentity); empty where it can, or is not known.
func (o *Op) unfit() string {
	list := o.Relation().Indexes()
	at := slices.IndexFunc(list, func(i phases.IndexInfo) bool { return i.Name == o.using() })
	if o.using() == "" || at < 0 {
		return ""
	}
	i := list[at]
	switch {
	case !i.Unique:
		return "is not unique"
	case i.Where != nil:
		return "is partial"
	case len(i.Expressions) > 0:
		return "holds expressions"
	case o.Constraint != nil:
		return ""
	}
	for _, name := range i.Columns {
		if k, ok := o.Relation().Column(name); ok && !k.NotNull {
			return "has the column " + name + ", which may be NULL"
		}
	}
	return ""
}

// coveredBy names an index of the same method whose first columns are those of the new one; empty for none.
func (o *Op) coveredBy() string {
	def := o.Index
	if def == nil || def.Where != nil || len(def.Expressions) > 0 || len(def.Columns) == 0 || def.Method != "" && def.Method != "btree" {
		return ""
	}
	for _, i := range o.Relation().Indexes() {
		if i.Where == nil && len(i.Expressions) == 0 && !i.Invalid && (i.Method == "" || i.Method == "btree") && len(i.Columns) >= len(def.Columns) && slices.Equal(i.Columns[:len(def.Columns)], def.Columns) {
			return i.Name
		}
	}
	return ""
}

var partitionRules = []Rule{
	{
		Name: "scanned-partition", Severity: Error, Kinds: kinds("attach_partition"), When: scans,
		Summary: "ATTACH PARTITION without a CHECK that proves the bound",
		Message: "ATTACH PARTITION reads all of {ref} to see whether its rows belong there: it {cost}",
		Help:    "Before it, in files of their own: `ALTER TABLE {ref} ADD CONSTRAINT … CHECK (the bound, and the key IS NOT NULL) NOT VALID`, then VALIDATE CONSTRAINT. ATTACH takes the check as proof; drop it after.",
	},
	{
		Name: "scanned-default-partition", Severity: Error, Kinds: kinds("create_partition_default_scan", "attach_partition_default_scan"), When: func(o *Op) bool { return o.Effect.Scan },
		Summary: "a new partition whose rows may stand in the default partition",
		Message: "PostgreSQL reads all of the default partition for rows that belong to the new one: it {cost}",
		Help:    "Prove that it holds none: `ALTER TABLE` the default partition `ADD CONSTRAINT … CHECK (NOT (the bound)) NOT VALID`, VALIDATE in the next file, then add the partition.",
	},
	{
		Name: "blocking-partition", Severity: Error, Kinds: kinds("create_partition"), When: blocks,
		Summary: "CREATE TABLE … PARTITION OF a table with traffic",
		Message: "CREATE TABLE … PARTITION OF {cost}",
		Help:    "`CREATE TABLE {object} (LIKE {ref} INCLUDING ALL)`, then `ALTER TABLE {ref} ATTACH PARTITION {object} …`, which lets reads and writes of {ref} go on.",
	},
	{
		Name: "blocking-detach", Severity: Error, Kinds: kinds("detach_partition"), When: blocks,
		Summary: "DETACH PARTITION without CONCURRENTLY",
		Message: "DETACH PARTITION {cost}",
		Help:    "Write DETACH PARTITION … CONCURRENTLY, in a file of its own; it needs a table without a default partition.", Fix: fixDetach,
	},
	{
		Name: "refused-bound", Severity: Error,
		Kinds:   kinds("attach_partition", "attach_partition_proven", "attach_partition_new", "attach_partition_default_scan", "create_partition", "create_partition_default_scan"),
		When:    func(o *Op) bool { return o.refusedBound() != "" },
		Summary: "a partition whose bound PostgreSQL refuses",
		Say:     func(o *Op) string { return "PostgreSQL refuses this: " + o.refusedBound() },
		Help:    "Look at the bounds that are taken: `\\d+ {table}`.",
	},
	{
		Name: "detach-beside-default", Severity: Error, Kinds: kinds("detach_partition_concurrently"), When: func(o *Op) bool { return o.Relation().DefaultPartition().Exists() },
		Summary: "DETACH PARTITION CONCURRENTLY where there is a default partition",
		Message: "PostgreSQL refuses this: {table} has a default partition",
		Help:    "Detach it without CONCURRENTLY, with a short lock_timeout, when little runs.",
	},
	{
		Name: "dropped-partition", Severity: Error, Kinds: kinds("drop_table"), Contract: true, When: func(o *Op) bool { return o.Existing() && o.Relation().Parent().Exists() },
		Summary: "a partition dropped while it is attached",
		Say: func(o *Op) string {
			return o.expand("the rows of {object} are lost to the readers of " + o.Relation().Parent().Object().String() + ", and the drop {cost}")
		},
		Help: "DETACH PARTITION … CONCURRENTLY first, in a file of its own; drop the table in a later file that says `-- pawl:phase contract`.",
	},
	{
		Name: "detached-partition", Severity: Off, Kinds: kinds("detach_partition_concurrently", "detach_partition", "detach_partition_finalize"), Contract: true, When: exposed,
		Summary: "a partition's rows taken out of its table",
		Message: "the readers of {table} see the rows of {ref} no more",
		Help:    "Say `-- pawl:phase contract` in the file: the gate then asks who reads {table}.",
	},
	{
		Name: "changed-inheritance", Severity: Warning, Kinds: kinds("inherit", "no_inherit"), When: blocks,
		Summary: "INHERIT or NO INHERIT on a table with traffic",
		Message: "{kind} {cost}; the readers of the parent see other rows after it",
		Help:    "Use partitions, which can be attached and detached while reads and writes go on.",
	},
}
