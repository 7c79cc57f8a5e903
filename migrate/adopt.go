package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases/evidence"
)

// AdoptOptions say what Adopt takes over. The zero value looks for another tool's history and writes nothing.
type AdoptOptions struct {
	// Tool is the tool that kept the history, by a name of Tools; empty means that the columns of its table tell.
	Tool string
	// Table is the tool's table, where it has another name than usual or stands outside of the search path.
	Table string
	// Baseline is the last of this directory's migrations that the database has already, whatever another tool says. "0" means none of
	// them, where no file has that version: what is in the database is of others.
	Baseline Version
	// AcceptChanged takes files over that differ from what the tool applied; which, is recorded.
	AcceptChanged bool
	// Write records it. Otherwise nothing is written, the ledger included.
	Write bool
}

// Adopted is one migration that was applied before pawl came.
type Adopted struct {
	Version Version
	// Name is the file's, or what the tool calls it where there is no file.
	Name string
	// Migration is nil where there is no file of it here.
	Migration *Migration
	// Origin is the tool, or "baseline".
	Origin string
	// At and By are when and by whom it was applied, as far as the tool kept it; zero and empty otherwise.
	At time.Time
	By string
	// Checksum says what the tool's own checksum shows.
	Checksum ChecksumState

	// assumed is true where the tool keeps no row of it, and a later one stands for it.
	assumed bool
}

// ChecksumState says whether a file is what another tool applied.
type ChecksumState string

const (
	// ChecksumNone means that the tool keeps none, or that there is no file to compare with.
	ChecksumNone ChecksumState = "none"
	// ChecksumVerified means that the file is the one that was applied.
	ChecksumVerified ChecksumState = "verified"
	// ChecksumUnread means that the tool keeps one that pawl does not compute.
	ChecksumUnread ChecksumState = "not compared"
	// ChecksumChanged means that the file differs, and that this was accepted.
	ChecksumChanged ChecksumState = "changed"
)

// Adoption is what Adopt found, and did where it was asked to.
type Adoption struct {
	Database string
	// Tool and Table are empty for a baseline alone.
	Tool, Table string
	// Adopted are recorded as applied, in the order of versions; Known counts those that the ledger had already.
	Adopted []Adopted
	Known   int
	// Pending are the files that the next run takes up.
	Pending []*Migration
	// Notes are what cannot be told from the tool's history.
	Notes []string
	// Fingerprint is that of the schema as it was taken over; empty where nothing was written.
	Fingerprint string
	Written     bool

	helpers []string
}

// Adopt takes a database over that another tool, or somebody by hand, has migrated so far: it records as applied what was, with when
// and by whom, after comparing the tool's checksums with the files. The other tool's table is only read.
func (m *Migrator) Adopt(ctx context.Context, o AdoptOptions) (*Adoption, error) {
	files, err := Load(m.files, m.opts.Root)
	var none *FileError
	if errors.As(err, &none) && none.Path == m.opts.Root && none.Err == nil {
		// A history of programs has no SQL files yet.
		files, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	if o.Baseline != "" && o.Baseline != "0" && !slices.ContainsFunc(files, func(f *Migration) bool { return f.Version == o.Baseline }) {
		return nil, &ConfigError{Message: fmt.Sprintf("there is no migration of version %s in %s", o.Baseline, m.opts.Root)}
	}
	// What is refused is refused before the ledger is made.
	a, err := m.wouldAdopt(ctx, files, o)
	if err != nil || !o.Write {
		return a, err
	}
	err = m.with(ctx, "adopt", func(s *session, l *Ledger) error {
		if a, err = m.adoption(ctx, s, l, files, o); err != nil {
			return err
		}
		if o.Baseline == "0" && len(l.Entries) == 0 && len(a.Adopted) == 0 {
			if _, err := s.conn.Exec(ctx, `insert into pawl.meta (key, value) values ($1, 'true') on conflict (key) do nothing`, others); err != nil {
				return classify(ctx, "record that the tables are of others", err)
			}
		}
		if err := m.writeAdoption(ctx, s, a); err != nil {
			return classify(ctx, "record what was applied before", err)
		}
		return nil
	})
	return a, err
}

// wouldAdopt gives what Adopt would write. A refusal is recorded where it was to be written and there is a ledger.
func (m *Migrator) wouldAdopt(ctx context.Context, files []*Migration, o AdoptOptions) (*Adoption, error) {
	s, err := m.dial(ctx, o.Write)
	if err != nil {
		return nil, err
	}
	defer s.close()
	l, err := s.ledger(ctx)
	if err != nil {
		return nil, err
	}
	a, err := m.adoption(ctx, s, l, files, o)
	if o.Write {
		err = m.audit(ctx, s, "adopt", err)
	}
	return a, err
}

// adoption works out what there is to take over.
func (m *Migrator) adoption(ctx context.Context, s *session, l *Ledger, files []*Migration, o AdoptOptions) (*Adoption, error) {
	a := &Adoption{Database: s.database}
	found, err := s.findHistory(ctx, o)
	if err != nil {
		return nil, err
	}
	taken := map[Version]bool{}
	if found != nil {
		a.Tool, a.Table, a.helpers = found.tool.name, found.table, found.helpers
		h, err := s.readHistory(ctx, found)
		if err != nil {
			return nil, err
		}
		a.Notes = h.notes
		if err := a.match(h, m, files, o); err != nil {
			return nil, err
		}
		for _, d := range a.Adopted {
			taken[d.Version] = true
		}
	}
	for _, f := range files {
		if o.Baseline != "" && f.Version.Compare(o.Baseline) <= 0 && !taken[f.Version] {
			a.Adopted = append(a.Adopted, Adopted{Version: f.Version, Name: f.Name, Migration: f, Origin: "baseline", Checksum: ChecksumNone})
			taken[f.Version] = true
		}
	}
	a.Adopted = slices.DeleteFunc(a.Adopted, func(d Adopted) bool {
		known := l.Entries[d.Version].State == StateApplied
		if known {
			a.Known++
		}
		return known
	})
	slices.SortStableFunc(a.Adopted, func(x, y Adopted) int { return x.Version.Compare(y.Version) })
	for _, f := range files {
		if !taken[f.Version] && l.Entries[f.Version].State != StateApplied && !f.Checkpoint {
			a.Pending = append(a.Pending, f)
		}
	}
	a.noteLate()
	return a, nil
}

// noteLate tells of files that were never applied and stand before some that were.
func (a *Adoption) noteLate() {
	var late []string
	for _, f := range a.Pending {
		if f.Version.Repeatable() {
			continue
		}
		if slices.ContainsFunc(a.Adopted, func(d Adopted) bool { return !d.Version.Repeatable() && d.Version.Compare(f.Version) > 0 }) {
			late = append(late, f.Name)
		}
	}
	if len(late) > 0 {
		a.Notes = append(a.Notes, fmt.Sprintf("%s was never applied although later ones were: `pawl migrate` applies such a file if it shares nothing with later ones, and refuses it otherwise", few(late)))
	}
}

func few(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

func (m *Migrator) writeAdoption(ctx context.Context, s *session, a *Adoption) error {
	return pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		for _, d := range a.Adopted {
			sum := ""
			if d.Migration != nil {
				sum = d.Migration.Sum
			}
			const record = `select pawl.record_applied($1, $2, $3, 'unknown', true, $4, $5, $6)`
			if _, err := tx.Exec(ctx, record, string(d.Version), d.Name, sum, m.opts.PawlVersion, s.lockKey, d.Origin); err != nil {
				return err
			}
			if d.At.IsZero() {
				continue
			}
			const when = `update pawl.migration set started_at = $2, finished_at = $2, duration_ms = 0, applied_by = coalesce(nullif($3, ''), applied_by) where version = $1`
			if _, err := tx.Exec(ctx, when, string(d.Version), d.At, d.By); err != nil {
				return err
			}
		}
		fingerprint, err := m.snapshot(ctx, s, tx, leftOut(a.Table, a.helpers))
		if err != nil {
			return err
		}
		changed := []string{}
		for _, d := range a.Adopted {
			if d.Checksum == ChecksumChanged {
				changed = append(changed, d.Name)
			}
		}
		detail, err := json.Marshal(map[string]any{
			"tool": a.Tool, "table": a.Table, "adopted": len(a.Adopted), "changed_files_accepted": changed, "fingerprint": fingerprint,
		})
		if err != nil {
			return err
		}
		kind := "adopted"
		if a.Tool == "" {
			kind = "baseline"
		}
		a.Fingerprint, a.Written = fingerprint, true
		_, err = tx.Exec(ctx, `insert into pawl.event (kind, detail, pawl_version) values ($1, $2, $3)`, kind, string(detail), m.opts.PawlVersion)
		return err
	})
}

// snapshot stores the schema as it is.
func (m *Migrator) snapshot(ctx context.Context, s *session, tx pgx.Tx, out []string) (fingerprint string, err error) {
	var path string
	if err := tx.QueryRow(ctx, `select current_setting('search_path')`).Scan(&path); err != nil {
		return "", err
	}
	o, err := s.described(ctx, out)
	if err != nil {
		return "", err
	}
	d, err := evidence.DescribeIn(ctx, tx, o)
	if err != nil {
		return "", err
	}
	if out == nil {
		out = []string{}
	}
	const insert = `insert into pawl.snapshot (fingerprint, lines, left_out, pawl_version) values ($1, $2, $3, $4)`
	if _, err := tx.Exec(ctx, insert, d.Fingerprint(), d.Lines, out, m.opts.PawlVersion); err != nil {
		return "", err
	}
	_, err = tx.Exec(ctx, `select set_config('search_path', $1, true)`, path)
	return d.Fingerprint(), err
}

// Baseline records every file up to a version as applied without running it, for a database which had its tables
// before pawl came. It gives the migrations that were recorded.
func (m *Migrator) Baseline(ctx context.Context, version Version) ([]*Migration, error) {
	a, err := m.Adopt(ctx, AdoptOptions{Baseline: version, Tool: noTool, Write: true})
	if err != nil {
		return nil, err
	}
	var done []*Migration
	for _, d := range a.Adopted {
		done = append(done, d.Migration)
	}
	return done, nil
}
