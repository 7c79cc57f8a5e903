package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bitvault/pawl/internal/pattern"
	"github.com/bitvault/pawl/phases"
	"github.com/bitvault/pawl/phases/evidence"
	"github.com/bitvault/pawl/phases/gate"
	"github.com/bitvault/pawl/phases/parse"
)

// apply runs one step, with as many attempts as its locks need. The decision is the gate's last word on it: where that
// is no longer an allowance, nothing was done.
func (m *Migrator) apply(ctx context.Context, s *session, g *gatekeeper, step Step) (gate.Decision, error) {
	m.opts.OnEvent(Started{step.Migration, step.Phase})
	start := time.Now()
	var decision gate.Decision
	var err error
	attempts := 1
	if def, _ := parse.Backfill(step.Migration.File()); def != nil {
		return m.applyBackfill(ctx, s, g, step, def, start)
	}
	if step.Transactional {
		decision, attempts, err = m.applyTransaction(ctx, s, g, step)
	} else {
		decision, err = m.applySteps(ctx, s, g, step)
	}
	if err != nil || !decision.Allowed {
		return decision, err
	}
	done := Applied{Migration: step.Migration, Phase: step.Phase, Duration: time.Since(start), Attempts: attempts}
	if step.Decision != nil {
		done.Decision = &decision
	}
	if step.keep > 0 {
		m.opts.OnEvent(SetAside{Migration: step.Migration, Keep: step.keep})
	} else {
		m.opts.OnEvent(done)
	}
	if left := leftBehind(step.Migration.File()); left != "" {
		// What a file makes for its session must not reach the next one, which may run on another day.
		if _, err := s.conn.Exec(ctx, left); err != nil {
			return decision, classify(ctx, "reset the session", err)
		}
	}
	return decision, nil
}

// applyTransaction sends a file as one transaction, again and again until its locks are had or the deadline is over.
func (m *Migrator) applyTransaction(ctx context.Context, s *session, g *gatekeeper, step Step) (gate.Decision, int, error) {
	limits := m.limits(step)
	for _, set := range overlong(step.Migration.File(), limits.maxLock) {
		m.opts.OnEvent(Overruled{Migration: step.Migration, Set: set, Longest: limits.maxLock})
	}
	start := time.Now()
	deadline := start.Add(m.opts.LockDeadline)
	timeout, ease := limits.lock, ""
	slowly := 0
	for attempt := 1; ; attempt++ {
		watch := m.watch(ctx, s, step.Migration, start, timeout)
		decision, err := m.attempt(ctx, s, g, step, ease+fmt.Sprintf("set local lock_timeout = %d", timeout.Milliseconds()), limits.statement)
		blockers := watch.stop()
		switch {
		case err == nil:
			return decision, attempt, nil
		case ctx.Err() != nil:
			m.rollback(ctx, s)
			return decision, attempt, context.Cause(ctx)
		case s.conn.IsClosed():
			return decision, attempt, classify(ctx, "apply "+step.Migration.Name, unwrapStatement(err))
		}
		m.rollback(ctx, s)
		if slow := (*slowRecheckError)(nil); errors.As(err, &slow) {
			slowly++
			if decision, err = g.decideAnew(ctx, &step, slow, slowly); err != nil || !decision.Allowed {
				return decision, attempt, err
			}
			if err := sleep(ctx, jitter(2*slow.bound)); err != nil {
				return decision, attempt, err
			}
			continue
		}
		if code := sqlState(err); code != "55P03" && code != "40P01" {
			return decision, attempt, sortStatementError(ctx, step.Migration, err)
		}
		// The pause is longer than the wait was, so that what queued behind the attempt gets through before the next.
		pause := jitter(2 * min(timeout, m.opts.MaxLockTimeout))
		if time.Now().Add(pause).After(deadline) {
			return decision, attempt, &TransientError{
				Message: fmt.Sprintf("%s: its locks were not had within %s (%d attempts)%s", step.Migration.Path, m.opts.LockDeadline, attempt, blame(blockers)),
				Hint:    "nothing was changed; end the transactions named, or run pawl again when they are over",
			}
		}
		m.opts.OnEvent(LockMissed{Migration: step.Migration, Attempt: attempt, Timeout: timeout, Pause: pause, Blockers: blockers})
		if err := sleep(ctx, pause); err != nil {
			return decision, attempt, err
		}
		timeout, ease = min(timeout*3/2, limits.maxLock), pastAutovacuum(blockers)
	}
}

func blame(blockers []Blocker) string {
	var text strings.Builder
	for _, b := range blockers {
		text.WriteString("; in the way: " + b.String())
	}
	return text.String()
}

// sortStatementError tells a fault of the migration from one of the server.
func sortStatementError(ctx context.Context, m *Migration, err error) error {
	switch code := sqlState(err); {
	case strings.HasPrefix(code, "57P"), strings.HasPrefix(code, "53"), strings.HasPrefix(code, "08"):
		return classify(ctx, "apply "+m.Name, unwrapStatement(err))
	}
	var s *StatementError
	if errors.As(err, &s) {
		s.Version, s.Name, s.Sum = m.Version, m.Name, m.Sum
	}
	return err
}

func unwrapStatement(err error) error {
	var s *StatementError
	if errors.As(err, &s) {
		return s.Err
	}
	return err
}

func (m *Migrator) rollback(ctx context.Context, s *session) {
	if s.conn.PgConn().TxStatus() == 'I' {
		return
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	// If the connection is gone, the server has rolled back by itself.
	_, _ = s.conn.Exec(clean, "rollback")
}

// part is a stretch of one transaction that goes to the server as one message.
type part struct {
	// before and after are pawl's own, around the migration's text from Start to End.
	before, after string
	start, end    int
	// beforeCount is how many statements before has, first the index of the text's first statement in the file.
	beforeCount, first int
	// rows are sent by the copy protocol; nil for ordinary text.
	rows *phases.Span
}

// attempt runs the file once, in one transaction. Lock are the statements, with ; between them, that set lock_timeout. Any error leaves the transaction to be rolled back.
func (m *Migrator) attempt(ctx context.Context, s *session, g *gatekeeper, step Step, lock string, statement time.Duration) (gate.Decision, error) {
	began := time.Now()
	f := step.Migration.File()
	text := withoutOverlong(f, runnable(f), m.limits(step).maxLock)
	before := fmt.Sprintf("/* pawl %s */ begin; %s; set local statement_timeout = %d; set local search_path = %s; ",
		commentSafe(step.Migration.Name), lock, statement.Milliseconds(), s.searchPathList())
	beforeCount := 4 + strings.Count(lock, ";")
	if step.keep > 0 || step.aside != nil {
		return m.soft(ctx, s, g, step, before, beforeCount, began)
	}
	record := m.record(s, step)
	decision := gate.Decision{Allowed: true}
	if step.Decision != nil {
		decision = *step.Decision
	}

	asserts := assertions(f)
	recheck := step.Decision != nil && g.snapshot != nil
	parts := split(f, text)
	backfills, err := g.backfillsFor(ctx, step)
	if err != nil {
		return decision, err
	}
	if len(asserts) == 0 && !recheck && len(backfills) == 0 && len(parts) == 1 && parts[0].rows == nil {
		p := parts[0]
		p.before, p.after, p.beforeCount = before, "\n;"+record+"; commit", beforeCount
		return decision, s.send(ctx, f, text, p)
	}

	if err := s.send(ctx, f, text, part{before: before, beforeCount: beforeCount}); err != nil {
		return decision, err
	}
	for _, d := range asserts {
		if err := s.assert(ctx, f, d); err != nil {
			return decision, err
		}
	}
	if len(backfills) > 0 {
		if d, err := g.backfillsDone(ctx, step, backfills); err != nil || !d.Allowed {
			m.rollback(ctx, s)
			return d, err
		}
	}
	for _, p := range parts {
		if err := s.send(ctx, f, text, p); err != nil {
			return decision, err
		}
	}
	if recheck {
		if changesSession(f) {
			if _, err := s.conn.Exec(ctx, ownRights); err != nil {
				return decision, err
			}
		}
		var err error
		if decision, err = g.again(ctx, step, began); err != nil {
			return decision, err
		}
		if !decision.Allowed {
			m.rollback(ctx, s)
			return decision, nil
		}
		record = fmt.Sprintf("set local statement_timeout = %d; %s; %s", statement.Milliseconds(), m.recordDecision(step, decision), record)
	}
	return decision, s.send(ctx, f, text, part{before: record + "; commit", beforeCount: 1})
}

// runnable gives the text that is sent: the file's own, with what is pawl's business blanked out so that every
// position stays what it is.
func runnable(f *phases.File) string {
	text := []byte(f.Text)
	for _, s := range f.Statements {
		if s.Control == "" {
			continue
		}
		end := s.Span.End.Offset
		for i := s.Span.Start.Offset; i < end; i++ {
			if text[i] != '\n' {
				text[i] = ' '
			}
		}
	}
	for _, p := range skippedLines(f) {
		for i := p[0]; i < p[1]; i++ {
			text[i] = ' '
		}
	}
	return string(text)
}

// skippedLines finds the \restrict and \unrestrict lines that newer pg_dump writes around its output. Such a line inside of a
// statement, as in the body of a function or the rows of a COPY, is the statement's own.
func skippedLines(f *phases.File) [][2]int {
	var found [][2]int
	if !strings.Contains(f.Text, "restrict") {
		return nil
	}
	at, next := 0, 0
	for line := range strings.SplitAfterSeq(f.Text, "\n") {
		for next < len(f.Statements) && endOf(f.Statements[next]) <= at {
			next++
		}
		outside := next == len(f.Statements) || at < f.Statements[next].Span.Start.Offset
		if outside && (strings.HasPrefix(line, `\restrict`) || strings.HasPrefix(line, `\unrestrict`)) {
			found = append(found, [2]int{at, at + len(strings.TrimRight(line, "\r\n"))})
		}
		at += len(line)
	}
	return found
}

// endOf gives where a statement ends, with its rows.
func endOf(s phases.Statement) int {
	if s.CopyData != nil {
		return s.CopyData.End.Offset
	}
	return s.Span.End.Offset
}

// split cuts a file where rows for COPY stand between its statements; most files are one part.
func split(f *phases.File, text string) []part {
	var parts []part
	start, first := 0, 0
	for i, s := range f.Statements {
		if s.CopyData == nil {
			continue
		}
		if start < s.Span.Start.Offset {
			parts = append(parts, part{start: start, end: s.Span.Start.Offset, first: first})
		}
		parts = append(parts, part{start: s.Span.Start.Offset, end: s.Span.End.Offset, first: i, rows: s.CopyData})
		start, first = s.CopyData.End.Offset, i+1
		if rest, ok := strings.CutPrefix(text[start:], `\.`); ok {
			start = len(text) - len(rest)
		}
	}
	return append(parts, part{start: start, end: len(text), first: first})
}

// send sends one part and reads its results. An error of a statement becomes a *StatementError with its place.
func (s *session) send(ctx context.Context, f *phases.File, text string, p part) error {
	own := text[p.start:p.end]
	if p.rows != nil {
		rows := f.Text[p.rows.Start.Offset:p.rows.End.Offset]
		_, err := s.conn.PgConn().CopyFrom(ctx, strings.NewReader(rows), own)
		return locate(f, err, p, 0)
	}
	if p.before == "" && p.after == "" && strings.TrimSpace(own) == "" {
		return nil
	}
	p.before, p.after = s.conn.own(p.before), s.conn.own(p.after)
	results := s.conn.PgConn().Exec(ctx, p.before+own+p.after)
	done := 0
	for results.NextResult() {
		if _, err := results.ResultReader().Close(); err == nil {
			done++
		}
	}
	return locate(f, results.Close(), p, done)
}

// locate finds the place of an error in the file: by the position that PostgreSQL gives, in characters over the whole
// message, or by counting the statements that succeeded before it.
func locate(f *phases.File, err error, p part, done int) error {
	var pg *pgconn.PgError
	if err == nil || !errors.As(err, &pg) {
		return err
	}
	e := &StatementError{Path: f.Path, Source: f.Text, Err: err}
	index, runs := p.first, done-p.beforeCount
	for ; index < len(f.Statements); index++ {
		if f.Statements[index].Control != "" {
			continue
		}
		if runs <= 0 {
			break
		}
		runs--
	}
	if done >= p.beforeCount && index < len(f.Statements) && f.Statements[index].Span.Start.Offset < p.end {
		e.Statement, e.At = f.Statements[index].Text, f.Statements[index].Span.Start
	}
	if own := int(pg.Position) - 1 - utf8.RuneCountInString(p.before); pg.Position > 0 && own >= 0 {
		if at, ok := positionAt(f.Text, p.start, own, p.end); ok {
			e.At = at
			for _, s := range f.Statements {
				if s.Span.Start.Offset <= at.Offset && at.Offset < s.Span.End.Offset {
					e.Statement = s.Text
				}
			}
		}
	}
	return e
}

// positionAt counts characters on from a byte offset.
func positionAt(text string, from, characters, end int) (phases.Position, bool) {
	at := from
	for ; characters > 0 && at < end; characters-- {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	if characters > 0 {
		return phases.Position{}, false
	}
	line := strings.Count(text[:at], "\n") + 1
	column := utf8.RuneCountInString(text[strings.LastIndexByte(text[:at], '\n')+1:at]) + 1
	return phases.Position{Offset: at, Line: line, Column: column}, true
}

// assertions are the file's pawl:assert directives.
func assertions(f *phases.File) []phases.Directive {
	var found []phases.Directive
	for _, d := range f.Directives {
		if d.Name == "assert" {
			found = append(found, d)
		}
	}
	return found
}

func (s *session) assert(ctx context.Context, f *phases.File, d phases.Directive) error {
	var holds *bool
	query := strings.TrimRight(strings.TrimSpace(d.Arg), ";")
	if err := s.conn.QueryRow(ctx, query).Scan(&holds); err != nil {
		if sqlState(err) == "" && !s.conn.IsClosed() && ctx.Err() == nil {
			return &StatementError{Path: f.Path, At: d.Span.Start, Source: f.Text, Statement: query, Err: fmt.Errorf("this assertion must give one row with one boolean: %w", err)}
		}
		return &StatementError{Path: f.Path, At: d.Span.Start, Source: f.Text, Statement: query, Err: err}
	}
	if holds == nil || !*holds {
		return &RefusedError{
			Message: fmt.Sprintf("%s:%d:%d: the assertion does not hold: %s", f.Path, d.Span.Start.Line, d.Span.Start.Column, query),
			Hint:    "nothing was changed; make it hold, then run pawl again",
		}
	}
	return nil
}

// record gives what writes the ledger row of a step, to stand behind other statements.
func (m *Migrator) record(s *session, step Step) string {
	return fmt.Sprintf("%s%s; select pawl.record_applied(%s, %s, %s, %s, %t, %s, %d, 'migrate')", beforeRecord(step.Migration.File()), recordTaken(step),
		literal(string(step.Migration.Version)), literal(step.Migration.Name), literal(step.Migration.Sum),
		literal(phaseOf(step.Assessment).String()), step.Transactional, literal(m.opts.PawlVersion), s.lockKey)
}

// recordTaken gives the statement that writes what a step takes from code; empty where that is nothing.
func recordTaken(step Step) string {
	var rows []string
	for _, t := range ChangeOf(step.Assessment).Takes {
		rows = append(rows, fmt.Sprintf("(%s, %s, %s, %s)", literal(string(step.Migration.Version)), literal(step.Migration.Name),
			literal(string(evidence.EncodeTake(t.Take))), literal(t.Summary)))
	}
	if len(rows) == 0 {
		return ""
	}
	return "; insert into pawl.taken (version, name, take, summary) values " + strings.Join(rows, ", ")
}

// recordDecision gives the statement that stores an allowance with what it went by.
func (m *Migrator) recordDecision(step Step, d gate.Decision) string {
	findings, err := json.Marshal(FindingsOf(d))
	if err != nil {
		panic(err) // strings, numbers and times always encode
	}
	return fmt.Sprintf("insert into pawl.decision (version, checksum, allowed, verdict, findings, evidence, pawl_version) values (%s, %s, true, %s, %s, %s, %s)",
		literal(string(step.Migration.Version)), literal(step.Migration.Sum), literal(d.Verdict.String()), literal(string(findings)),
		literal(string(encodeEvidence(d, step.restore))), literal(m.opts.PawlVersion))
}

// beforeRecord gives back the rights that the ledger row needs, where a file has changed its role; what comes before it is ended by its
// semicolon.
func beforeRecord(f *phases.File) string {
	if changesSession(f) {
		return "; " + ownRights
	}
	return ""
}

// changesSession reports whether a file may leave settings behind: SET, RESET, or set_config(), also inside of
// functions it calls by that name.
func changesSession(f *phases.File) bool {
	for _, s := range f.Statements {
		word := s.Text
		if i := strings.IndexFunc(word, func(r rune) bool { return r == ' ' || r == '\n' || r == '\t' || r == '\r' }); i > 0 {
			word = word[:i]
		}
		if strings.EqualFold(word, "set") || strings.EqualFold(word, "reset") || strings.Contains(strings.ToLower(s.Text), "set_config") {
			return true
		}
	}
	return false
}

// sessionWords stand in the text of whatever makes something that lives as long as its session, and what takes that away again. Part is
// in each of them: looking for that is quick, and most statements have none.
var sessionWords = [...]struct {
	part  string
	word  func() *regexp.Regexp
	clean string
}{
	{"temp", pattern.Lazy(`\b(temp|temporary|pg_temp)\b`), "discard temp"},
	{"prepare", pattern.Lazy(`\bprepare\b`), "deallocate all"},
	{"listen", pattern.Lazy(`\blisten\b`), "unlisten *"},
	{"cursor", pattern.Lazy(`\bcursor\b`), "close all"},
}

// leftBehind gives the statements that undo what a file may have made for its session; empty where it can have made nothing.
func leftBehind(f *phases.File) string {
	var clean []string
	if changesSession(f) {
		clean = append(clean, ownRights+"; reset all")
	}
	var has [len(sessionWords)]bool
	// The rows of a COPY, which can be millions, are no statement's text.
	for _, s := range f.Statements {
		text := strings.ToLower(s.Text)
		for i, w := range sessionWords {
			has[i] = has[i] || strings.Contains(text, w.part) && w.word().MatchString(text)
		}
	}
	for i, w := range sessionWords {
		if has[i] {
			clean = append(clean, w.clean)
		}
	}
	return strings.Join(clean, "; ")
}

// literal quotes a string so that it means the same whatever standard_conforming_strings says.
func literal(text string) string {
	quoted := strings.ReplaceAll(text, `'`, `''`)
	if strings.Contains(quoted, `\`) {
		return ` E'` + strings.ReplaceAll(quoted, `\`, `\\`) + `'`
	}
	return `'` + quoted + `'`
}

// commentSafe keeps a file's name from ending the comment that it stands in.
func commentSafe(name string) string { return strings.ReplaceAll(name, "*/", "* /") }

// searchPathList gives the search path that the role and the database have set, for SET: as strings, for its names can be empty, and
// keywords where they came with the connection.
func (s *session) searchPathList() string {
	var list []string
	for rest := strings.TrimSpace(s.searchPath); rest != ""; {
		var name string
		if quoted, ok := strings.CutPrefix(rest, `"`); ok {
			for {
				part, after, _ := strings.Cut(quoted, `"`)
				name += part
				if quoted, ok = strings.CutPrefix(after, `"`); !ok {
					rest = after
					break
				}
				name += `"`
			}
			_, rest, _ = strings.Cut(rest, ",")
		} else {
			name, rest, _ = strings.Cut(rest, ",")
			name = strings.ToLower(strings.TrimSpace(name))
		}
		list = append(list, literal(name))
		rest = strings.TrimSpace(rest)
	}
	if list == nil {
		return "''"
	}
	return strings.Join(list, ", ")
}
