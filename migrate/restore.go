package migrate

import (
	"fmt"
	"strings"
	"time"
)

// RestorePoint is where a database can be brought back to by point-in-time recovery.
type RestorePoint struct {
	// Name is that of the restore point; empty where none was made.
	Name string `json:"name,omitempty"`
	// LSN is the position in the write-ahead log, At the database's time.
	LSN string    `json:"lsn"`
	At  time.Time `json:"at"`
	// Problems say why there is no restore point, or why it may be of no use.
	Problems []string `json:"problems,omitempty"`
}

// String describes it in one line.
func (p RestorePoint) String() string {
	text := fmt.Sprintf("LSN %s at %s", p.LSN, p.At.UTC().Format("2006-01-02 15:04:05 MST"))
	if p.Name != "" {
		text = p.Name + ", " + text
	}
	if len(p.Problems) > 0 {
		text += "; " + strings.Join(p.Problems, "; ")
	}
	return text
}
