package phases

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

// Descriptor is one row of the registry: all that pawl knows about a kind.
type Descriptor struct {
	Kind    Kind
	Phase   Phase
	Effect  Effect
	Summary string
	// Since is the first PostgreSQL major that has this kind; 0 means every supported one (14 and newer).
	Since int
	// Setup makes what Example needs; the integration tests run both on every supported major.
	Setup, Example string
}
