package parse

import (
	"github.com/bitvault/pawl/phases"
	pg "github.com/pganalyze/pg_query_go/v5"
)

func controlWord(t *pg.TransactionStmt) string {
	switch t.Kind {
	case pg.TransactionStmtKind_TRANS_STMT_BEGIN, pg.TransactionStmtKind_TRANS_STMT_START:
		return "begin"
	case pg.TransactionStmtKind_TRANS_STMT_COMMIT:
		return "commit"
	case pg.TransactionStmtKind_TRANS_STMT_ROLLBACK:
		return "rollback"
	case pg.TransactionStmtKind_TRANS_STMT_SAVEPOINT:
		return "savepoint"
	case pg.TransactionStmtKind_TRANS_STMT_RELEASE:
		return "release"
	case pg.TransactionStmtKind_TRANS_STMT_ROLLBACK_TO:
		return "rollback to"
	case pg.TransactionStmtKind_TRANS_STMT_PREPARE:
		return "prepare transaction"
	case pg.TransactionStmtKind_TRANS_STMT_COMMIT_PREPARED:
		return "commit prepared"
	case pg.TransactionStmtKind_TRANS_STMT_ROLLBACK_PREPARED:
		return "rollback prepared"
	default:
		return "transaction control"
	}
}

// control sets Wrapped for a file that is one BEGIN … COMMIT, and reports every other transaction control.
func (r *reader) control() {
	st := r.file.Statements
	n := len(st)
	if n >= 2 && st[0].Control == "begin" && st[n-1].Control == "commit" {
		r.file.Wrapped = true
		st = st[1 : n-1]
	}
	for _, s := range st {
		if s.Control != "" {
			r.file.Wrapped = false
		}
	}
	if r.file.Wrapped {
		return
	}
	for _, s := range r.file.Statements {
		if s.Control == "" {
			continue
		}
		r.file.Problems = append(r.file.Problems, phases.Problem{
			Code:    phases.ControlProblem,
			Message: "transaction control (" + s.Control + ") that is not one BEGIN … COMMIT around the whole file",
			Hint:    "take it out: a file without it runs in one transaction",
			Span:    s.Span,
		})
	}
}
