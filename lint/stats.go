package lint

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bitvault/pawl/phases"
)

// Stats are the sizes of a production database's tables, by which lint tells a small table from a large one.
type Stats struct {
	// Version is that of the format, 1.
	Version int `json:"version"`
	// Database and Server say where the sizes are from, At when they were read.
	Database string    `json:"database"`
	Server   string    `json:"server"`
	At       time.Time `json:"at"`
	// Tables are in the order of their names.
	Tables []TableStats `json:"tables"`

	index map[[2]string]int
}

// TableStats are the sizes of one table. Of a partitioned table they are those of all its partitions.
type TableStats struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	// Rows is an estimate; -1 for one that was never counted.
	Rows int64 `json:"rows"`
	// Bytes are those of the rows, IndexBytes those of the indexes.
	Bytes      int64 `json:"bytes"`
	IndexBytes int64 `json:"index_bytes"`
}

const statsVersion = 1

// ReadStats reads what `pawl doctor --export-stats` writes.
func ReadStats(data []byte) (*Stats, error) {
	var s Stats
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	switch {
	case s.Version > statsVersion:
		return nil, fmt.Errorf("it is of format version %d, and this pawl reads version %d", s.Version, statsVersion)
	case s.Version < 1:
		return nil, errors.New("it has no version, and holds no sizes of tables")
	}
	s.index = make(map[[2]string]int, len(s.Tables))
	for i := range s.Tables {
		s.index[[2]string{s.Tables[i].Schema, s.Tables[i].Name}] = i
	}
	return &s, nil
}

// A table is small up to both: rewriting it, or reading it whole, takes about as long as a lock that nobody notices.
const (
	smallRows  = 10_000
	smallBytes = 10 << 20
)

// small reports whether a table is known to be small.
func (t *TableStats) small() bool {
	return t.Rows >= 0 && t.Rows <= smallRows && t.Bytes+t.IndexBytes <= smallBytes
}

// String says how large the table is.
func (t *TableStats) String() string {
	size := bytesInWords(t.Bytes + t.IndexBytes)
	if t.Rows < 0 {
		return size
	}
	return "about " + rowsInWords(t.Rows) + ", " + size
}

// sized are the rules about work that grows with the table: on a small one it is over before anybody waits.
var sized = map[string]bool{
	"volatile-default": true, "serial-column": true, "identity-column": true, "stored-generated-column": true, "rewritten-expression": true,
	"constrained-domain-column": true, "checked-column": true, "unique-column": true, "primary-key-column": true, "defaulted-reference": true,
	"scanning-not-null": true, "dropped-proof": true, "blocking-not-null": true, "rewritten-type": true, "rescanned-type": true,
	"blocking-check": true, "blocking-unique": true, "blocking-primary-key": true, "blocking-exclusion": true, "enforced-constraint": true,
	"blocking-index": true, "blocking-partitioned-index": true, "blocking-reindex": true, "scanned-partition": true,
	"switched-logging": true, "changed-access-method": true, "clustered-table": true, "full-vacuum": true,
	"unfiltered-write": true, "unbatched-write": true,
}

// weigh lets the size of the table count. What takes something from code surely stays as it is, whatever the size.
func (s *Stats) weigh(c *candidate, o *Op) {
	if !sized[c.Rule] {
		return
	}
	object := phases.Object{Schema: o.On.Schema, Relation: o.On.Relation}
	if r := o.Relation(); r.Exists() {
		object = r.Object()
	}
	if object.Schema == "" {
		object.Schema = "public"
	}
	i, ok := s.index[[2]string{object.Schema, object.Relation}]
	if !ok {
		return
	}
	t := &s.Tables[i]
	c.Message += fmt.Sprintf("; %s.%s had %s on %s", t.Schema, t.Name, t, s.At.UTC().Format(time.DateOnly))
	if t.small() && !takesSurely(o.AssessedOperation) {
		c.Message += ", which is small"
		c.Severity = min(c.Severity, Info)
	}
}

func rowsInWords(n int64) string {
	switch {
	case n == 1:
		return "1 row"
	case n < 1_000:
		return strconv.FormatInt(n, 10) + " rows"
	case n < 1_000_000:
		return short(n, 1_000) + " thousand rows"
	case n < 1_000_000_000:
		return short(n, 1_000_000) + " million rows"
	}
	return short(n, 1_000_000_000) + " billion rows"
}

func bytesInWords(n int64) string {
	switch {
	case n < 1<<20:
		return short(n, 1<<10) + " kB"
	case n < 1<<30:
		return short(n, 1<<20) + " MB"
	case n < 1<<40:
		return short(n, 1<<30) + " GB"
	}
	return short(n, 1<<40) + " TB"
}

// short gives a number with two digits at most that count, or as a whole number.
func short(n, unit int64) string {
	v := float64(n) / float64(unit)
	if v >= 9.95 || n%unit == 0 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}
