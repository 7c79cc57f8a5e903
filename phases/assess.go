package phases

// Catalog is the schema as earlier migrations left it, as far as pawl could follow them. The zero Catalog is not
// usable; NewCatalog makes an empty one.
type Catalog struct {
	// Version is the PostgreSQL major that statements are judged for.
	Version int
	// Incomplete is true once something was applied that could not be followed; the stricter reading then holds.
	Incomplete bool
}

// NewCatalog gives the catalog of an empty database of the given PostgreSQL major; 0 means the oldest supported, 14.
func NewCatalog(version int) *Catalog { return &Catalog{Version: version} }

// RelationLock is the strongest lock that an operation takes on one relation that existed before it.
type RelationLock struct {
	Relation string `json:"relation"`
	Mode     Lock   `json:"mode"`
}

// AssessedOperation is an operation with all that the registry and the catalog say of it.
type AssessedOperation struct {
	Operation
	Phase   Phase
	Effect  Effect
	Locks   []RelationLock
	Takes   []Take
	Summary string
}

// AssessedStatement is a statement with the assessment of each of its operations.
type AssessedStatement struct {
	Statement     *Statement
	Phase         Phase
	Transactional bool
	Operations    []AssessedOperation
}

// Assessment is what a whole file does.
type Assessment struct {
	File *File
	// Phase is the worst phase of the statements, or the one that `pawl:phase` and `pawl:assume` leave of it.
	Phase Phase
	// Mixed is true when the file holds an expand and a contract, or a contract and what is unknown.
	Mixed bool
	// Transactional is false when a statement of the file is refused inside a transaction block.
	Transactional bool
	Statements    []AssessedStatement
}

// Assess judges the file's statements in order against the catalog and applies them to it, so that the next file is
// judged against what this one leaves.
func (c *Catalog) Assess(f *File) *Assessment {
	return &Assessment{File: f}
}
