package evidence

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// counterTime bounds the search for one counterexample; what is not found within it is not known.
const counterTime = 2 * time.Second

// Counterexamples looks, for what only values decide, whether the rows that are there contradict it already: then code
// writes such values, and goes on writing them. It takes ACCESS SHARE alone, and a search that takes too long or is not
// allowed finds nothing. Statements are those of the assessment that the change is of, by their index.
func Counterexamples(ctx context.Context, conn *pgx.Conn, a *phases.Assessment, change *gate.Change) error {
	found := map[int]bool{}
	for i := range change.Takes {
		t := &change.Takes[i]
		if t.Certainty != phases.ValuesDecide {
			continue
		}
		counter, asked := found[t.Statement]
		if !asked {
			var err error
			if counter, err = contradicted(ctx, conn, a.Statements[t.Statement].Statement.Text); err != nil {
				return err
			}
			found[t.Statement] = counter
		}
		if counter {
			t.Counter = "rows that are there contradict it already, so code writes such values"
		}
	}
	return nil
}

func contradicted(ctx context.Context, conn *pgx.Conn, text string) (bool, error) {
	for _, query := range parse.Violations(text) {
		tx, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
		if err != nil {
			return false, fmt.Errorf("look for counterexamples: %w", err)
		}
		var some bool
		_, err = tx.Exec(ctx, fmt.Sprintf("set local statement_timeout = %d; set local lock_timeout = %d", counterTime.Milliseconds(), counterTime.Milliseconds()/20))
		if err == nil {
			err = tx.QueryRow(ctx, "select exists ("+query+")").Scan(&some)
		}
		if back := tx.Rollback(ctx); back != nil || ctx.Err() != nil {
			return false, fmt.Errorf("look for counterexamples: %w", back)
		}
		if err == nil && some {
			return true, nil
		}
	}
	return false, nil
}
