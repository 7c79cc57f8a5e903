package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/bitvault/pawl/phases/gate"
)

// Evidence is what a stored decision went by.
type Evidence struct {
	gate.Checked
	// RestorePoint is where the database can be brought back to from before the contract; nil where none was asked for.
	RestorePoint *RestorePoint `json:"restore_point,omitempty"`
}

// StoredDecision is a decision of the gate as the ledger keeps it.
type StoredDecision struct {
	ID      int64
	Version Version
	// Name is the migration's file name; empty where the ledger has no row of it.
	Name, Sum string
	At        time.Time
	Allowed   bool
	Verdict   gate.Verdict
	Findings  []HeldFinding
	Evidence  Evidence
	// PawlVersion is the pawl that decided.
	PawlVersion string
}

// Decisions gives what the gate decided on one migration, newest first. A decision that is the same as the one before it
// is stored once.
func (m *Migrator) Decisions(ctx context.Context, version Version) ([]StoredDecision, error) {
	const query = `
select d.id, coalesce(m.name, ''), d.checksum, d.at, d.allowed, d.verdict, d.findings, d.evidence, d.pawl_version
from pawl.decision d left join pawl.migration m using (version) where d.version = $1 order by d.id desc`
	var list []StoredDecision
	err := m.reading(ctx, func(s *session, _ *Ledger) error {
		rows, err := s.conn.Query(ctx, query, string(version))
		if err != nil {
			return classify(ctx, "read the decisions", err)
		}
		defer rows.Close()
		for rows.Next() {
			d := StoredDecision{Version: version}
			var verdict string
			var findings, evidence []byte
			if err := rows.Scan(&d.ID, &d.Name, &d.Sum, &d.At, &d.Allowed, &verdict, &findings, &evidence, &d.PawlVersion); err != nil {
				return classify(ctx, "read the decisions", err)
			}
			if err := d.decode(verdict, findings, evidence); err != nil {
				return fmt.Errorf("read decision %d: %w", d.ID, err)
			}
			list = append(list, d)
		}
		return classify(ctx, "read the decisions", rows.Err())
	})
	return list, err
}

func (d *StoredDecision) decode(verdict string, findings, evidence []byte) error {
	if err := d.Verdict.UnmarshalText([]byte(verdict)); err != nil {
		return err
	}
	if err := json.Unmarshal(findings, &d.Findings); err != nil {
		return err
	}
	return json.Unmarshal(evidence, &d.Evidence)
}

// HeldBack says which held migrations each release holds back, by consumer and release, as of the last run.
func (m *Migrator) HeldBack(ctx context.Context) (map[[2]string][]Entry, error) {
	back := map[[2]string][]Entry{}
	err := m.reading(ctx, func(_ *session, l *Ledger) error {
		held := make([]Entry, 0, len(l.Entries))
		for _, e := range l.Entries {
			if e.State == StateHeld {
				held = append(held, e)
			}
		}
		slices.SortFunc(held, func(a, b Entry) int { return a.Version.Compare(b.Version) })
		for _, e := range held {
			for _, f := range e.Findings() {
				key := [2]string{f.Consumer, f.Release}
				if f.Consumer == "" || f.Acknowledged != nil || f.Verdict < gate.Unknown && e.worst() >= gate.Unknown {
					continue
				}
				if list := back[key]; len(list) == 0 || list[len(list)-1].Version != e.Version {
					back[key] = append(list, e)
				}
			}
		}
		return nil
	})
	return back, err
}

// worst gives the worst verdict that a held entry was recorded with.
func (e Entry) worst() gate.Verdict {
	worst := gate.Undecided
	for _, f := range e.Findings() {
		if f.Acknowledged == nil {
			worst = max(worst, f.Verdict)
		}
	}
	return worst
}
