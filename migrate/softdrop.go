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

	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
)

// Aside is one column or table that a soft drop has set aside under another name.
type Aside struct {
	Schema   string `json:"schema"`
	Relation string `json:"relation"`
	// Column is empty for a table. Name is what it is called meanwhile.
	Column string `json:"column,omitempty"`
	Name   string `json:"aside"`
	// NotNull says that the column refused NULL, Checks are the constraints over it: while it is set aside, rows are
	// inserted that leave it out, as they would be without it.
	NotNull bool    `json:"not_null,omitempty"`
	Checks  []check `json:"checks,omitempty"`
	// Uses are the table's counters of scans and writes at the time, by which later use is seen; 0 for a column.
	Uses int64 `json:"uses,omitempty"`
}

type check struct {
	Name       string `json:"name"`
	Definition string `json:"definition"`
}

func (a Aside) object() phases.Object {
	if a.Column == "" {
		return phases.Object{Kind: phases.Table, Schema: a.Schema, Relation: a.Relation}
	}
	return phases.Object{Kind: phases.Column, Schema: a.Schema, Relation: a.Relation, Column: a.Column}
}

// SoftDrop is a contract with -- pawl:soft-drop whose objects are set aside, were brought back, or are gone.
type SoftDrop struct {
	Version Version
	Name    string
	Sum     string
	// State is aside, restored or dropped.
	State   string
	Objects []Aside
	// SetAsideAt and DueAt are by the database's clock; from DueAt on a run drops for good.
	SetAsideAt, DueAt time.Time
	// Reason says why they were brought back, By who said so; empty otherwise.
	Reason, By string

	now time.Time
}

// softDrop reads the directive of a file. Keep is 0 where there is none.
func softDrop(m *Migration) (keep time.Duration, err error) {
	f := m.File()
	for _, d := range f.Directives {
		if d.Name != "soft-drop" {
			continue
		}
		text := d.Arg
		if days, ok := strings.CutSuffix(text, "d"); ok {
			text = days + "h"
		}
		if keep, err = time.ParseDuration(text); err == nil && strings.HasSuffix(d.Arg, "d") {
			keep *= 24
		}
		if err != nil || keep <= 0 {
			return 0, &FileError{
				Path: m.Path, Span: d.Span, Source: f.Text, Message: fmt.Sprintf("pawl:soft-drop %q is not how long to keep what is dropped", d.Arg),
				Hint: "write `-- pawl:soft-drop 72h`",
			}
		}
		for _, s := range f.Statements {
			for _, op := range s.Operations {
				if s.Control == "" && !strings.HasPrefix(string(op.Kind), "drop_column") && !strings.HasPrefix(string(op.Kind), "drop_table") {
					return 0, &FileError{
						Path: m.Path, Span: s.Span, Source: f.Text, Message: fmt.Sprintf("pawl:soft-drop goes with DROP COLUMN and DROP TABLE alone, and this is %s", op.Kind),
						Hint: "put the rest into a migration of its own",
					}
				}
			}
		}
	}
	return keep, nil
}

const softDropColumns = `version, name, checksum, state, objects, set_aside_at, due_at, coalesce(detail ->> 'reason', ''), coalesce(detail ->> 'by', ''), clock_timestamp()`

// softDrops gives those that the ledger knows, by version; none in one from before there were any.
func (s *session) softDrops(ctx context.Context) (map[Version]*SoftDrop, error) {
	list := map[Version]*SoftDrop{}
	if has, err := s.hasSoftDrops(ctx); err != nil || !has {
		return list, err
	}
	rows, err := s.conn.Query(ctx, `select `+softDropColumns+` from pawl.soft_drop order by set_aside_at`)
	if err != nil {
		return nil, classify(ctx, "read the soft drops", err)
	}
	defer rows.Close()
	for rows.Next() {
		d := &SoftDrop{}
		var version string
		var objects []byte
		if err := rows.Scan(&version, &d.Name, &d.Sum, &d.State, &objects, &d.SetAsideAt, &d.DueAt, &d.Reason, &d.By, &d.now); err != nil {
			return nil, classify(ctx, "read the soft drops", err)
		}
		if err := json.Unmarshal(objects, &d.Objects); err != nil {
			return nil, fmt.Errorf("read the soft drop of %s: %w", d.Name, err)
		}
		d.Version = Version(version)
		list[d.Version] = d
	}
	return list, classify(ctx, "read the soft drops", rows.Err())
}

// setAside works out what a step's file drops, and the statements that set it aside instead.
func (s *session) setAside(ctx context.Context, step Step) ([]Aside, string, error) {
	var list []Aside
	var text strings.Builder
	for _, st := range step.Assessment.Statements {
		for _, op := range st.Operations {
			column := strings.HasPrefix(string(op.Kind), "drop_column")
			if !column && !strings.HasPrefix(string(op.Kind), "drop_table") {
				continue
			}
			a := Aside{Column: op.On.Column, Relation: op.On.Relation}
			name := pgx.Identifier{a.Relation}
			if op.On.Schema != "" {
				name = pgx.Identifier{op.On.Schema, a.Relation}
			}
			const table = `
select n.nspname, coalesce((select attnotnull and not atthasdef and attidentity = '' from pg_attribute where attrelid = c.oid and attname = $2), false),
       coalesce((select jsonb_agg(jsonb_build_object('name', k.conname, 'definition', pg_get_constraintdef(k.oid)) order by k.conname) from pg_constraint k
                 where k.conrelid = c.oid and k.contype = 'c' and k.conkey @> (select array[attnum] from pg_attribute where attrelid = c.oid and attname = $2)), '[]'),
       coalesce((select seq_scan + coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd + n_tup_del from pg_stat_user_tables t where t.relid = c.oid), 0)
from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass($1)`
			var checks []byte
			var uses int64
			err := s.conn.QueryRow(ctx, table, name.Sanitize(), a.Column).Scan(&a.Schema, &a.NotNull, &checks, &uses)
			if errors.Is(err, pgx.ErrNoRows) {
				// IF EXISTS, perhaps: what is not there need not be set aside.
				continue
			}
			if err != nil {
				return nil, "", err
			}
			if err := json.Unmarshal(checks, &a.Checks); err != nil {
				return nil, "", err
			}
			const longest = 63
			a.Name = fmt.Sprintf("pawl_aside_%s_%s", step.Migration.Version, a.Relation)
			if column {
				a.Name = fmt.Sprintf("pawl_aside_%s_%s", step.Migration.Version, a.Column)
			} else {
				a.Uses = uses
			}
			a.Name = strings.ToValidUTF8(a.Name[:min(len(a.Name), longest)], "")
			text.WriteString(a.away())
			list = append(list, a)
		}
	}
	return list, text.String(), nil
}

// away gives the statements that set the object aside, back those that undo them, gone the one that drops it for good.
func (a Aside) away() string {
	table := pgx.Identifier{a.Schema, a.Relation}.Sanitize()
	if a.Column == "" {
		return fmt.Sprintf("alter table %s rename to %s; ", table, pgx.Identifier{a.Name}.Sanitize())
	}
	column, text := pgx.Identifier{a.Column}.Sanitize(), ""
	if a.NotNull {
		text += fmt.Sprintf("alter table %s alter column %s drop not null; ", table, column)
	}
	for _, c := range a.Checks {
		text += fmt.Sprintf("alter table %s drop constraint %s; ", table, pgx.Identifier{c.Name}.Sanitize())
	}
	return text + fmt.Sprintf("alter table %s rename column %s to %s; ", table, column, pgx.Identifier{a.Name}.Sanitize())
}

func (a Aside) back() string {
	if a.Column == "" {
		return fmt.Sprintf("alter table %s rename to %s; ", pgx.Identifier{a.Schema, a.Name}.Sanitize(), pgx.Identifier{a.Relation}.Sanitize())
	}
	table, column := pgx.Identifier{a.Schema, a.Relation}.Sanitize(), pgx.Identifier{a.Column}.Sanitize()
	text := fmt.Sprintf("alter table %s rename column %s to %s; ", table, pgx.Identifier{a.Name}.Sanitize(), column)
	// Rows that came meanwhile may leave it empty, so that what was promised of it binds new rows alone.
	for _, c := range a.Checks {
		text += fmt.Sprintf("alter table %s add constraint %s %s not valid; ", table, pgx.Identifier{c.Name}.Sanitize(), strings.TrimSuffix(c.Definition, " NOT VALID"))
	}
	if a.NotNull {
		name := a.Name
		text += fmt.Sprintf("alter table %s add constraint %s check (%s is not null) not valid; ", table, pgx.Identifier{name}.Sanitize(), column)
	}
	return text
}

func (a Aside) gone() string {
	if a.Column == "" {
		return fmt.Sprintf("drop table %s; ", pgx.Identifier{a.Schema, a.Name}.Sanitize())
	}
	return fmt.Sprintf("alter table %s drop column %s; ", pgx.Identifier{a.Schema, a.Relation}.Sanitize(), pgx.Identifier{a.Name}.Sanitize())
}

// soft runs the stage of a soft drop that is due, inside the transaction that before begins. The file's own text is tried
// first and undone, so that a drop which PostgreSQL refuses is refused now and not after the waiting.
func (m *Migrator) soft(ctx context.Context, s *session, g *gatekeeper, step Step, before string, count int, began time.Time) (gate.Decision, error) {
	f := step.Migration.File()
	text := runnable(f)
	if err := s.send(ctx, f, text, part{before: before, beforeCount: count}); err != nil {
		return gate.Decision{}, err
	}
	if step.aside == nil {
		for _, d := range assertions(f) {
			if err := s.assert(ctx, f, d); err != nil {
				return gate.Decision{}, err
			}
		}
		backfills, err := g.backfillsFor(ctx, step)
		if err != nil {
			return gate.Decision{}, err
		}
		if len(backfills) > 0 {
			if d, err := g.backfillsDone(ctx, step, backfills); err != nil || !d.Allowed {
				m.rollback(ctx, s)
				return d, err
			}
		}
	}
	var record string
	if d := step.aside; d != nil {
		for _, a := range d.Objects {
			record += a.gone()
		}
		record += fmt.Sprintf("update pawl.soft_drop set state = 'dropped', pawl_version = %s where version = %s", literal(m.opts.PawlVersion), literal(string(d.Version)))
		record += m.record(s, step)
	} else {
		if err := s.send(ctx, f, text, part{before: "savepoint pawl_trial; ", start: 0, end: len(text), beforeCount: 1}); err != nil {
			return gate.Decision{}, err
		}
		if _, err := s.conn.Exec(ctx, "rollback to savepoint pawl_trial; release savepoint pawl_trial"); err != nil {
			return gate.Decision{}, err
		}
		objects, away, err := s.setAside(ctx, step)
		if err != nil {
			return gate.Decision{}, err
		}
		listed, err := json.Marshal(objects)
		if err != nil {
			return gate.Decision{}, err
		}
		reason, err := json.Marshal(map[string]any{"verdict": gate.Unaffected, "findings": []HeldFinding{{
			Verdict: gate.Unaffected, Message: fmt.Sprintf("it is set aside as %s, and dropped by the first run after %s from now", asideNames(objects), step.keep),
			Next: fmt.Sprintf("if something fails for want of it: `pawl soft-drop undo %s --reason …`", step.Migration.Label),
		}}})
		if err != nil {
			return gate.Decision{}, err
		}
		const rows = `
insert into pawl.soft_drop as d (version, name, checksum, state, objects, due_at, pawl_version)
values (%[1]s, %[2]s, %[3]s, 'aside', %[4]s, clock_timestamp() + %[5]d * interval '1 millisecond', %[6]s)
on conflict (version) do update set name = excluded.name, checksum = excluded.checksum, state = 'aside', objects = excluded.objects,
    set_aside_at = clock_timestamp(), due_at = excluded.due_at, detail = '{}', pawl_version = excluded.pawl_version;
insert into pawl.migration as m (version, name, checksum, phase, state, transactional, pawl_version, reason)
values (%[1]s, %[2]s, %[3]s, 'contract', 'held', true, %[6]s, %[7]s)
on conflict (version) do update set name = excluded.name, checksum = excluded.checksum, reason = excluded.reason, pawl_version = excluded.pawl_version
    where m.state = 'held';
insert into pawl.event (kind, version, detail, pawl_version) values ('set aside', %[1]s, %[4]s, %[6]s)`
		record = away + fmt.Sprintf(rows, literal(string(step.Migration.Version)), literal(step.Migration.Name), literal(step.Migration.Sum),
			literal(string(listed)), step.keep.Milliseconds(), literal(m.opts.PawlVersion), literal(string(reason)))
	}
	decision, err := g.again(ctx, step, began)
	if err != nil {
		return decision, err
	}
	if !decision.Allowed {
		m.rollback(ctx, s)
		return decision, nil
	}
	return decision, s.send(ctx, f, text, part{
		before:      fmt.Sprintf("set local statement_timeout = %d; %s; %s; commit", m.limits(step).statement.Milliseconds(), record, m.recordDecision(step, decision)),
		beforeCount: 1,
	})
}

func asideNames(list []Aside) string {
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = a.Schema + "." + a.Name
		if a.Column != "" {
			names[i] = a.Schema + "." + a.Relation + "." + a.Name
		}
	}
	return strings.Join(names, ", ")
}

// watchAside looks after what is set aside: what a release needs, or somebody was seen to use, it brings back. Then it
// sorts the files into what is to be dropped for good now, which it gives as steps, what stays aside, which counts as
// applied, and what was brought back, which is held until somebody says otherwise.
func (m *Migrator) watchAside(ctx context.Context, s *session, g *gatekeeper, t *todo, live *phases.File) ([]Step, error) {
	all, err := s.softDrops(ctx)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	var due []Step
	for v, d := range all {
		if d.State != "aside" {
			continue
		}
		why, proofs, err := m.needed(ctx, s, d, g.look(ctx))
		if err != nil {
			return nil, err
		}
		if why != "" {
			if err := m.bringBack(ctx, s, d, why, ""); err != nil {
				return nil, err
			}
			continue
		}
		i := slices.IndexFunc(t.pending, func(f *Migration) bool { return f.Version == v && f.Sum == d.Sum })
		if i < 0 || d.now.Before(d.DueAt) {
			continue
		}
		step, err := m.finish(ctx, s, g, t, live, t.pending[i], proofs)
		if err != nil {
			return nil, err
		}
		if step.Decision.Allowed {
			step.aside = d
			due = append(due, step)
		}
	}
	slices.SortFunc(due, func(a, b Step) int { return a.Migration.Version.Compare(b.Migration.Version) })
	return due, t.setAside(all, g)
}

// finish asks the gate for the last time before the drop. PostgreSQL has prepared what the releases send with the object
// out of the way, which settles what preparing can see.
func (m *Migrator) finish(ctx context.Context, s *session, g *gatekeeper, t *todo, live *phases.File, file *Migration, proofs map[string]gate.Proof) (Step, error) {
	catalog := t.catalog(s.version, live)
	catalog.Mark()
	a := catalog.Assess(file.File())
	if err := g.load(ctx); err != nil {
		return Step{}, err
	}
	change := ChangeOf(a)
	g.reach.Know(&change)
	for i := range change.Takes {
		change.Takes[i].Proved = true
	}
	e := g.snapshot.Evidence
	e.Proofs = proofs
	d := gate.Decide(change, e, m.opts.Policy, g.snapshot.At)
	return Step{Migration: file, Assessment: a, Phase: a.Phase, Transactional: true, Decision: &d}, nil
}

// setAside takes files whose objects are set aside for applied, and holds those whose objects were brought back.
func (t *todo) setAside(all map[Version]*SoftDrop, g *gatekeeper) error {
	var pending []*Migration
	for _, f := range t.pending {
		d := all[f.Version]
		switch {
		case d == nil || d.State == "dropped":
			pending = append(pending, f)
		case d.State == "restored":
			if _, told := g.refused[f.Version]; !told {
				g.refused[f.Version] = d.refusal(f)
			}
			pending = append(pending, f)
		case d.Sum != f.Sum:
			return &IntegrityError{
				Version: f.Version, Path: f.Path, Message: "this file was changed while what it drops is set aside",
				Hint: fmt.Sprintf("restore the file, or bring back what it set aside: `pawl soft-drop undo %s --reason …`", f.Label),
			}
		default:
			t.applied = append(t.applied, f)
		}
	}
	t.pending = pending
	slices.SortStableFunc(t.applied, func(a, b *Migration) int { return a.Version.Compare(b.Version) })
	return nil
}

// refusal is why what was brought back is not set aside again.
func (d *SoftDrop) refusal(f *Migration) gate.Decision {
	by := ""
	if d.By != "" {
		by = " by " + d.By
	}
	return gate.Decision{Verdict: gate.Broken, At: d.now, Findings: []gate.Finding{{
		Verdict: gate.Broken, Object: d.Objects[0].object(),
		Message: fmt.Sprintf("what it had set aside was brought back%s: %s", by, d.Reason),
		Next:    fmt.Sprintf("once that is settled: `pawl soft-drop again %s --reason …`", f.Label),
	}}}
}

func (s *session) hasSoftDrops(ctx context.Context) (bool, error) {
	if !s.hasLedger {
		return false, nil
	}
	var has bool
	err := s.conn.QueryRow(ctx, `select to_regclass('pawl.soft_drop') is not null`).Scan(&has)
	return has, classify(ctx, "look for soft drops", err)
}

// needed says who needs what is set aside: a statement of an eligible or incoming release that PostgreSQL refuses for want
// of it, or use of a table under its other name. Empty is nobody. Statements that fail leave no trace in the database's
// statistics, so an operator who sees them in a log says so: `pawl soft-drop undo`. The proofs are PostgreSQL's answers.
func (m *Migrator) needed(ctx context.Context, s *session, d *SoftDrop, fleet *evidence.Fleet) (string, map[string]gate.Proof, error) {
	snapshot, err := evidence.Load(ctx, s.conn, m.opts.Policy, fleet)
	if err != nil {
		return "", nil, classify(ctx, "read the registry of releases", err)
	}
	releases := snapshot.Evidence.Releases
	for _, manifest := range m.opts.Manifests {
		releases = append(releases, gate.Release{Consumer: manifest.Consumer, ID: manifest.Release, Manifest: manifest.Gate()})
	}
	proofs := map[string]gate.Proof{}
	for _, r := range releases {
		if r.Manifest == nil {
			continue
		}
		var suspects []gate.Query
		var texts []string
		for _, q := range r.Manifest.Queries {
			if q.ID != "" && d.mentioned(q.Mentions) {
				suspects, texts = append(suspects, q), append(texts, q.Text)
			}
		}
		if len(texts) == 0 {
			continue
		}
		prepared, err := evidence.Prepare(ctx, s.conn, texts)
		if err != nil {
			return "", nil, classify(ctx, "ask for what is set aside", err)
		}
		for i, p := range prepared {
			if p.Err == nil {
				proofs[suspects[i].ID] = gate.Proof{Blind: !evidence.Analyzed(texts[i])}
				continue
			}
			proofs[suspects[i].ID] = gate.Proof{After: p.Err.Message, Code: p.Err.Code}
			if !evidence.MissesSomething(p.Err.Code) {
				continue
			}
			place := ""
			if len(suspects[i].Sites) > 0 {
				place = fmt.Sprintf(" at %s:%d", suspects[i].Sites[0].File, suspects[i].Sites[0].Line)
			}
			return fmt.Sprintf("%s@%s needs it%s: %s", r.Consumer, r.ID, place, p.Err.Message), nil, nil
		}
	}
	for _, a := range d.Objects {
		if a.Column != "" {
			continue
		}
		const uses = `select seq_scan + coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd + n_tup_del from pg_stat_user_tables where schemaname = $1 and relname = $2`
		var now int64
		err := s.conn.QueryRow(ctx, uses, a.Schema, a.Name).Scan(&now)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return "", nil, classify(ctx, "look at the use of what is set aside", err)
		}
		if now > a.Uses {
			return fmt.Sprintf("%s was used %d times under its other name, so something reaches it without naming it", a.object(), now-a.Uses), nil, nil
		}
	}
	return "", proofs, nil
}

func (d *SoftDrop) mentioned(q *phases.Mentions) bool {
	for _, a := range d.Objects {
		if q.Meets(phases.Take{Object: a.object(), Uses: phases.AnyUse}, nil).Uses != 0 {
			return true
		}
	}
	return false
}

// bringBack gives what is set aside its name again. By is empty where pawl itself found the need.
func (m *Migrator) bringBack(ctx context.Context, s *session, d *SoftDrop, why, by string) error {
	text := "begin; set local statement_timeout = 60000; "
	for _, a := range d.Objects {
		text += a.back()
	}
	detail, err := json.Marshal(map[string]string{"reason": why, "by": by})
	if err != nil {
		return fmt.Errorf("encode the reason: %w", err)
	}
	version := literal(string(d.Version))
	text += fmt.Sprintf("update pawl.soft_drop set state = 'restored', detail = %[2]s where version = %[1]s and state = 'aside'; "+
		"insert into pawl.event (kind, version, detail, pawl_version) values ('brought back', %[1]s, %[2]s, %[3]s); commit", version, literal(string(detail)), literal(m.opts.PawlVersion))
	deadline := time.Now().Add(m.opts.LockDeadline)
	for timeout := m.opts.LockTimeout; ; timeout = min(timeout*3/2, m.opts.MaxLockTimeout) {
		_, err := s.conn.PgConn().Exec(ctx, fmt.Sprintf("set lock_timeout = %d; ", timeout.Milliseconds())+s.conn.own(text)).ReadAll()
		if err == nil {
			break
		}
		m.rollback(ctx, s)
		if code := sqlState(err); code != "55P03" && code != "40P01" || time.Now().After(deadline) {
			return classify(ctx, "bring back what "+d.Name+" set aside", err)
		}
		if err := sleep(ctx, jitter(2*timeout)); err != nil {
			return err
		}
	}
	d.State, d.Reason, d.By = "restored", why, by
	m.opts.OnEvent(BroughtBack{*d})
	_, err = s.conn.Exec(ctx, "reset lock_timeout")
	return classify(ctx, "reset the timeouts", err)
}

// UndoSoftDrop brings back what a migration has set aside; it stays until AgainSoftDrop.
func (m *Migrator) UndoSoftDrop(ctx context.Context, version Version, reason string, who evidence.Person) error {
	return m.softDropDo(ctx, "soft-drop undo", version, "aside", func(s *session, d *SoftDrop) error {
		by := string(who)
		if by == "" {
			by = s.role
		}
		return m.bringBack(ctx, s, d, reason, by)
	})
}

// AgainSoftDrop lets a migration set aside again what was brought back.
func (m *Migrator) AgainSoftDrop(ctx context.Context, version Version, reason string) error {
	return m.softDropDo(ctx, "soft-drop again", version, "restored", func(s *session, d *SoftDrop) error {
		const again = `
with e as (insert into pawl.event (kind, version, detail, pawl_version) values ('soft drop again', $1, jsonb_build_object('reason', $2::text), $3))
delete from pawl.soft_drop where version = $1 and state = 'restored'`
		_, err := s.conn.Exec(ctx, again, string(d.Version), reason, m.opts.PawlVersion)
		return classify(ctx, "record it", err)
	})
}

func (m *Migrator) softDropDo(ctx context.Context, command string, version Version, state string, f func(*session, *SoftDrop) error) error {
	return m.with(ctx, command, func(s *session, _ *Ledger) error {
		all, err := s.softDrops(ctx)
		if err != nil {
			return err
		}
		d := all[version]
		if d == nil || d.State != state {
			return &RefusedError{Version: version, Message: fmt.Sprintf("version %s has nothing that is %s", version, state), Hint: "see `pawl soft-drop`"}
		}
		return f(s, d)
	})
}

// SoftDrops gives what is set aside, was brought back, or is gone, in the order of versions.
func (m *Migrator) SoftDrops(ctx context.Context) ([]SoftDrop, error) {
	var list []SoftDrop
	err := m.reading(ctx, func(s *session, _ *Ledger) error {
		all, err := s.softDrops(ctx)
		for _, d := range all {
			list = append(list, *d)
		}
		return err
	})
	slices.SortFunc(list, func(a, b SoftDrop) int { return a.Version.Compare(b.Version) })
	return list, err
}
