package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// movedOn refuses files that the tool whose history was taken over has applied since: its last job may have run after that, and what does
// not fail when it is done twice would be.
func (m *Migrator) movedOn(ctx context.Context, s *session, l *Ledger, t *todo) error {
	tool, newest := "", Version("0")
	for _, e := range l.Entries {
		if slices.Contains(Tools(), e.Origin) {
			tool = e.Origin
			if !e.Version.Repeatable() && e.Version.Compare(newest) > 0 {
				newest = e.Version
			}
		}
	}
	if tool == "" {
		return nil
	}
	var table string
	const where = `select coalesce((select detail ->> 'table' from pawl.event where kind = 'adopted' and detail ->> 'tool' = $1 order by id desc limit 1), '')`
	if err := s.conn.QueryRow(ctx, where, tool).Scan(&table); err != nil {
		return classify(ctx, "look where another tool's history is", err)
	}
	found, err := s.findHistory(ctx, AdoptOptions{Tool: tool, Table: table})
	if err != nil || found == nil {
		// The table may go once it was taken over.
		return unlessRefused(err)
	}
	h, err := s.readHistory(ctx, found)
	if err != nil {
		return unlessRefused(err)
	}
	a := &Adoption{Tool: tool, Table: found.table}
	if err := a.match(h, m, slices.Concat(t.applied, t.pending), AdoptOptions{AcceptChanged: true}); err != nil {
		return err
	}
	var names []string
	for _, d := range a.Adopted {
		// Where the tool keeps its newest version alone, nothing tells a file that came late from one that was applied.
		certain := !d.assumed || h.upTo != "" && d.Version.Compare(newest) > 0
		if certain && slices.ContainsFunc(t.pending, func(f *Migration) bool { return f == d.Migration }) {
			names = append(names, d.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return &RefusedError{
		Message: fmt.Sprintf("%s has applied %s since its history was taken over", tool, few(names)),
		Hint:    "`pawl adopt --apply` takes that over, too; see to it that nothing but pawl migrates this database from then on",
	}
}

// unlessRefused leaves out that a history cannot be read, or says that something failed: nothing is told by that.
func unlessRefused(err error) error {
	var refused *RefusedError
	var config *ConfigError
	var pg *pgconn.PgError
	const denied = "42501"
	if errors.As(err, &refused) || errors.As(err, &config) || errors.As(err, &pg) && pg.Code == denied || errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}
