package evidence

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases"
)

// Taken is what an applied contract took from code.
type Taken struct {
	// Version and Name are the migration's, At is when it was applied.
	Version, Name string
	At            time.Time
	Take          phases.Take
	Summary       string
}

// takenJSON is a phases.Take as the ledger keeps it.
type takenJSON struct {
	Object     phases.Object `json:"object"`
	Uses       phases.Use    `json:"uses"`
	Certainty  string        `json:"certainty"`
	Everything bool          `json:"everything,omitempty"`
}

// EncodeTake gives a take as the ledger's column pawl.taken.take keeps it.
func EncodeTake(t phases.Take) []byte {
	out, err := json.Marshal(takenJSON{t.Object, t.Uses, t.Certainty.String(), t.Everything})
	if err != nil {
		panic(err) // names and words always encode
	}
	return out
}

// LoadTaken gives what contracts have taken and made to fail, newest first. A ledger from before that was recorded
// has nothing.
func LoadTaken(ctx context.Context, conn Conn) ([]Taken, error) {
	has, err := hasTable(ctx, conn, "taken")
	if err != nil || !has {
		return nil, err
	}
	const query = `
select version, name, at, take, summary from pawl.taken where take ->> 'certainty' = 'fails' and not take ? 'everything' order by id desc`
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("read what contracts took: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Taken, error) {
		var t Taken
		var text []byte
		if err := row.Scan(&t.Version, &t.Name, &t.At, &text, &t.Summary); err != nil {
			return t, err
		}
		var take takenJSON
		if err := json.Unmarshal(text, &take); err != nil {
			return t, fmt.Errorf("read what %s took: %w", t.Name, err)
		}
		t.Take = phases.Take{Object: take.Object, Uses: take.Uses}
		return t, nil
	})
}
