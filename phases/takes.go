package phases

import (
	"fmt"
	"slices"
	"strings"
)

// Use says in which ways a piece of code uses an object, or which uses a contract affects. It is a set of bits; the
// zero Use is no use at all.
type Use uint16

const (
	// Read is a column or table named in a query.
	Read Use = 1 << iota
	// Insert is a row inserted; for a column: the column is written by it.
	Insert
	// Omit is an INSERT into the table that leaves the column out.
	Omit
	// Update is a row updated; for a column: the column is assigned.
	Update
	// Delete is a row deleted.
	Delete
	// Star is a use of all columns without naming them: SELECT *, a whole row, NATURAL JOIN, a column alias list,
	// an INSERT without a column list.
	Star
	// Conflict is the table's use as the target of ON CONFLICT.
	Conflict
	// Call is a function called, a type cast to, or a sequence drawn from.
	Call
	// Value is a constant equal to the object's name, such as an enum's value.
	Value
	// Alone is a use that fails once the relation has a column of that name as well: an unqualified name that would then
	// fit two columns, or a place where the number of columns counts. It is no part of AnyUse.
	Alone
	// Typed is a column that comes out of a function's RETURN QUERY, or of a trigger's whole row, where its type has to stay
	// what it is. It is no part of AnyUse.
	Typed

	// AnyUse is every use. To leave a column out is not to use it, so Omit is not part of it.
	AnyUse = Read | Insert | Update | Delete | Star | Conflict | Call | Value
	// Selects are the uses that a query that only reads can make.
	Selects = Read | Star | Call | Value
	// Writes are the uses that put rows into a table or change them.
	Writes = Insert | Omit | Update
)

var useNames = []struct {
	use  Use
	name string
}{
	{Read, "read"}, {Insert, "insert"}, {Omit, "omit"}, {Update, "update"}, {Delete, "delete"}, {Star, "star"},
	{Conflict, "conflict target"}, {Call, "call"}, {Value, "value"}, {Alone, "use without it"},
	{Typed, "result type"},
}

// String lists the uses by name, separated by commas; "any" for AnyUse.
func (u Use) String() string {
	if u == AnyUse {
		return "any"
	}
	var names []string
	for _, n := range useNames {
		if u&n.use != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ", ")
}

// MarshalText writes the list that String gives.
func (u Use) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads the list that String gives.
func (u *Use) UnmarshalText(text []byte) error {
	*u = 0
	if len(text) == 0 {
		return nil
	}
	if string(text) == AnyUse.String() {
		*u = AnyUse
		return nil
	}
	for name := range strings.SplitSeq(string(text), ", ") {
		i := slices.IndexFunc(useNames, func(n struct {
			use  Use
			name string
		}) bool {
			return n.name == name
		})
		if i < 0 {
			return fmt.Errorf("unknown use %q", name)
		}
		*u |= useNames[i].use
	}
	return nil
}

// Certainty says how sure it is that an affected use fails.
type Certainty uint8

const (
	// Fails means that an affected use fails, or that nothing is known that would spare it.
	Fails Certainty = iota
	// ValuesDecide means that only the values of a statement or of the data decide, as with a new CHECK.
	ValuesDecide
	// Behaves means that the use still works and does something else, as with a dropped trigger.
	Behaves
	// RunFails means that an affected use fails or finds nothing, which only executing it shows: PostgreSQL looks at rights,
	// policies, publications and the bounds of sequences then, and not when it prepares a statement.
	RunFails
)

// String gives the certainty's word: fails, possible, behaves or fails when run.
func (c Certainty) String() string {
	switch c {
	case ValuesDecide:
		return "possible"
	case Behaves:
		return "behaves"
	case RunFails:
		return "fails when run"
	default:
		return "fails"
	}
}

// Take is what one operation takes from code: an object, and the uses of it that the operation affects.
// An Everything take affects all code: it stands for what pawl cannot see through.
type Take struct {
	// Columns are those of a unique index or constraint that goes; nil where it is not one of plain columns.
	Columns    []string  `json:"-"`
	Object     Object    `json:"object"`
	Uses       Use       `json:"uses"`
	Certainty  Certainty `json:"-"`
	Everything bool      `json:"everything,omitempty"`
	// Only narrows a take: of a schema, only what qualifies its name is affected, for no search path has it; of a relation likewise, for the
	// search path finds it where it moves; of a
	// constraint, only what names it; of phases.Alone, no other relation has a column of that name.
	Only bool `json:"-"`
	// Roles are those that lose by it, as with a right that is revoked; nil for everybody. Holders is what they could do
	// before; nil where that is not known, and then every statement may be theirs.
	Roles   []string `json:"-"`
	Holders *Holders `json:"-"`
}

// Holders is what a group of roles may do with the relations of a database: all that one of them may.
type Holders struct {
	// May has an entry for each relation, by its name and then by its schema: the uses that a right is held for, on one
	// column at least.
	May map[string]map[string]Use
}

// may reports whether a statement that needs the uses of a relation can be run; a relation that is not known can.
func (h *Holders) may(schema, name string, uses Use) bool {
	known := false
	for s, held := range h.May[name] {
		if schema != "" && s != schema {
			continue
		}
		known = true
		if held&uses == uses {
			return true
		}
	}
	return !known
}

// RelationName is the name of a relation; Schema is empty where it is not qualified.
type RelationName struct{ Schema, Name string }

// Reached is an object through which code gets at another one without naming it.
type Reached struct {
	Object
	// Inside is true where the way leads through the body of a function: what runs there is not seen by looking at the
	// statement that sets it off.
	Inside bool
	// Writes is true where only writes to the object go that way, as with a trigger on it.
	Writes bool
	// Partly is true where only some rows of the object go that way, as from a partitioned table to one partition.
	Partly bool
	// Uses are those that the function at the end of the way makes of the taken object; zero means that any may be made.
	Uses Use
	// View is true where the way is PostgreSQL's own, by a view: PostgreSQL refuses to take away what a view reads, so
	// that only what binds written rows goes through.
	View bool
}
