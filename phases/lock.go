package phases

// Lock is a table-level lock mode of PostgreSQL, weakest first, so that the greater of two modes is the stronger.
// The modes and their conflicts are those of the manual's page "Explicit Locking" (explicit-locking.html, table 13.2)
// and of src/backend/storage/lmgr/lock.c. The zero Lock means that no lock is taken.
type Lock uint8

// The modes, weakest first.
const (
	NoLock Lock = iota
	AccessShare
	RowShare
	RowExclusive
	ShareUpdateExclusive
	Share
	ShareRowExclusive
	Exclusive
	AccessExclusive
)

var lockNames = [...]string{
	NoLock:               "",
	AccessShare:          "ACCESS SHARE",
	RowShare:             "ROW SHARE",
	RowExclusive:         "ROW EXCLUSIVE",
	ShareUpdateExclusive: "SHARE UPDATE EXCLUSIVE",
	Share:                "SHARE",
	ShareRowExclusive:    "SHARE ROW EXCLUSIVE",
	Exclusive:            "EXCLUSIVE",
	AccessExclusive:      "ACCESS EXCLUSIVE",
}

// String gives PostgreSQL's own name of the mode, as LOCK TABLE spells it; empty for NoLock.
func (l Lock) String() string { return lockNames[l] }

// MarshalText writes PostgreSQL's name.
func (l Lock) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// BlocksReads reports whether a plain SELECT has to wait for this lock.
func (l Lock) BlocksReads() bool { return l == AccessExclusive }

// BlocksWrites reports whether INSERT, UPDATE and DELETE have to wait for this lock.
func (l Lock) BlocksWrites() bool { return l >= Share }

// Blocks says in words whose statements wait for this lock.
func (l Lock) Blocks() string {
	switch {
	case l.BlocksReads():
		return "reads and writes"
	case l.BlocksWrites():
		return "writes"
	case l == ShareUpdateExclusive:
		return "other DDL and VACUUM"
	default:
		return "nothing that applications send"
	}
}
