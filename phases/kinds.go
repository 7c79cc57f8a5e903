package phases

import "slices"

// Kind names a behaviour that PostgreSQL distinguishes: add_check and add_check_not_valid are two kinds, however alike
// their statements look. Kinds are written in snake_case in JSON.
type Kind string

// Opaque is the kind of whatever pawl cannot see through: text that does not parse, dynamic SQL, unknown statements.
const Opaque Kind = "opaque"

// Operation is one effect of a statement on one object. It is flat: every kind uses the same fields and leaves those
// empty that mean nothing to it.
type Operation struct {
	Kind Kind
	// On is the object that the operation changes or makes.
	On Object
	// Ref is another object that takes part: the table a foreign key points to, the partition's parent.
	Ref Object
	// To is the new name or schema of what is renamed or moved.
	To string
	// Type is the type given for a column, as PostgreSQL would print it.
	Type string
	Span Span

	// Flags are words such as IF EXISTS, CASCADE and CONCURRENTLY.
	Flags Flags
	// Names lists what the kind needs by name: columns, options, roles, privileges.
	Names []string
	// Roles lists the roles that a grant, a policy or an ownership is about.
	Roles []string
	// Mode is the lock mode that LOCK TABLE asks for.
	Mode Lock
	// Text is a word that the kind needs: an option's value, a language, the other neighbour of an enum's value.
	Text string

	// The definitions are nil for kinds that do not need them. They are shared, not copied: nobody changes them.
	Column     *ColumnDef
	Constraint *ConstraintDef
	Index      *IndexDef
	Table      *TableDef
	Query      *QueryDef
	Function   *FunctionDef
	TypeDef    *TypeDef
	Trigger    *TriggerDef
	Policy     *PolicyDef
	Expr       *Expr
	Bound      *PartitionBound
	// Body is what a DO block or a prepared statement runs.
	Body []Operation
}

// Effect is what an operation does to traffic while it runs.
type Effect struct {
	// Lock is the mode taken on the relation the operation is on, RefLock on the one it refers to.
	Lock, RefLock Lock
	// Rewrite means that the table is written anew; Scan that all of its rows are read while the lock is held.
	Rewrite, Scan bool
	// NoTx means that PostgreSQL refuses the statement inside a transaction block.
	NoTx bool
}

// Reach says which relations besides its own an operation locks; the catalog knows them. It is a set of bits.
type Reach uint16

const (
	// ToFamily are the partitions and inheriting tables below, which get the operation's own lock unless it says ONLY.
	ToFamily Reach = 1 << iota
	// ToPartitions are the partitions below, but no tables that merely inherit.
	ToPartitions
	// ToParent are the parent of a partition and its default partition, with ACCESS EXCLUSIVE.
	ToParent
	// ToOtherEnds are the tables at the other ends of the foreign keys concerned, with ACCESS EXCLUSIVE.
	ToOtherEnds
	// ToDependents are the relations that CASCADE reaches, with ACCESS EXCLUSIVE.
	ToDependents
	// ToUsers are the tables with a column of the type, with the operation's own lock.
	ToUsers
	// ToReads are the relations that a query reads, with ACCESS SHARE, and those that it writes, with ROW EXCLUSIVE.
	ToReads
)

// Subject says which object a TakeRule is about.
type Subject uint8

const (
	// TheObject is what the operation is on.
	TheObject Subject = iota
	// TheTable is the relation that a column, constraint, index, trigger, rule or policy belongs to.
	TheTable
	// TheColumns are the columns that a constraint or an index is about.
	TheColumns
	// TheReferenced is the other object that takes part.
	TheReferenced
	// Everything stands for all code.
	Everything
)

// TakeRule is what a kind takes from code, before the catalog says from which object.
type TakeRule struct {
	What      Subject
	Uses      Use
	Certainty Certainty
}

// Descriptor is one row of the registry: all that pawl knows about a kind.
type Descriptor struct {
	Kind Kind
	// Refines is the kind that the parser gives and that the catalog sharpens to this one; empty for a base kind.
	Refines Kind
	Phase   Phase
	Effect  Effect
	Reach   Reach
	Takes   []TakeRule
	Summary string
	// Safe is the safe way to the same end, where this kind breaks or blocks something.
	Safe string
	// Since is the first PostgreSQL major that has this kind; 0 means every supported one (14 and newer).
	Since int
	// Setup makes what Example needs besides Fixture; the integration tests run all three on every supported major.
	Setup, Example string
	// Breaks is an old statement that works before Example and fails after it, for kinds that are contracts.
	Breaks string
	// Manual says why an example cannot be run by the tests: it needs a second server, a superuser's file or the like.
	Manual string
	// Unshown says why no old statement of the tests fails after the example of a contract.
	Unshown string
}

// Descriptors gives the registry: one row per kind, in the order of the documentation.
func Descriptors() []Descriptor { return slices.Clone(registry) }

// Describe gives the row of a kind; false for a kind that the registry lacks, which is then opaque.
func Describe(k Kind) (Descriptor, bool) {
	for i := range registry {
		if registry[i].Kind == k {
			return registry[i], true
		}
	}
	return Descriptor{}, false
}

// registry is written in the order of the documentation, family by family.
var registry = slices.Concat(
	tableKinds, columnKinds, constraintKinds, partitionKinds, indexKinds, viewKinds, sequenceKinds, typeKinds,
	routineKinds, triggerKinds, roleKinds, replicationKinds, otherKinds, dataKinds, upkeepKinds, sessionKinds,
)

// Fixture is the schema that the examples of the registry run against.
const Fixture = `CREATE TABLE t (id int PRIMARY KEY, a int, b text NOT NULL DEFAULT 'b', c varchar(50), n numeric(10,2), at timestamp, w text NOT NULL);
INSERT INTO t SELECT g, g, 'b' || g, 'c' || g, g, '2024-01-01', 'w' FROM generate_series(1, 2000) g;
CREATE TABLE child (id int PRIMARY KEY, t_id int CONSTRAINT child_fk REFERENCES t);
INSERT INTO child SELECT g, g FROM generate_series(1, 1000) g;
CREATE TABLE lone (id int NOT NULL, t_id int, x int);
INSERT INTO lone SELECT g, g, g FROM generate_series(1, 1000) g;
CREATE TABLE parted (id int, day date, v int) PARTITION BY RANGE (day);
CREATE TABLE parted_24 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO parted SELECT g, date '2024-01-01' + g % 300, g FROM generate_series(1, 1000) g;
ANALYZE t, child, lone, parted;
`

// fails, possible, behaves and failsRun write one rule each of what a kind takes, by its certainty.
func fails(what Subject, uses Use) []TakeRule    { return []TakeRule{{what, uses, Fails}} }
func possible(what Subject, uses Use) []TakeRule { return []TakeRule{{what, uses, ValuesDecide}} }
func behaves(what Subject, uses Use) []TakeRule  { return []TakeRule{{what, uses, Behaves}} }
func failsRun(what Subject, uses Use) []TakeRule { return []TakeRule{{what, uses, RunFails}} }
