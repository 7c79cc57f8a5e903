package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases"
)

// throttle watches the server from a connection of its own while batches run, and says what they have to wait for.
type throttle struct {
	settings phases.BackfillSettings
	// relations are the tables that are gone through.
	relations []uint32
	standbys  standbys

	// own counts the transactions of the run itself, at least as many as there were.
	own atomic.Int64

	mu        sync.Mutex
	why       string
	commits   commits
	busy      bool
	unwatched map[string]string
	// cannot are the things beside the signals that this role cannot do.
	cannot map[string]bool
}

const (
	// watchThrottle is how often the signals are read: a standby that stops is noticed within this and the lag allowed.
	watchThrottle = time.Second
	// signalTimeout bounds each reading.
	signalTimeout = 2 * time.Second
)

// blocked gives why the next batch has to wait; empty where nothing is in the way.
func (t *throttle) blocked() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.why
}

// commits is how many transactions of the database had ended at a moment, and how many of them were the run's own.
type commits struct {
	at       time.Time
	all, own int64
}

// trafficRate is from how many transactions of others a second on the run makes room for them.
const trafficRate = 20

// traffic looks whether others use the database. Until two looks have told, and where they cannot, it is taken for used.
func (t *throttle) traffic(ctx context.Context, s *session) error {
	now := commits{at: time.Now(), own: t.own.Load()}
	const query = `select xact_commit + xact_rollback from pg_stat_database where datname = current_database()`
	err := s.conn.QueryRow(ctx, query).Scan(&now.all)
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.commits
	t.commits, t.busy = now, true
	if err != nil || last.at.IsZero() {
		return err
	}
	others := float64((now.all - last.all) - (now.own - last.own))
	t.busy = others > trafficRate*now.at.Sub(last.at).Seconds()
	return nil
}

// shared reports whether others use the database at the same time.
func (t *throttle) shared() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.busy && t.settings.Share > 0 && t.settings.Share < 1
}

// missing lists the signals that cannot be read, each with the reason.
func (t *throttle) missing() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := []string{}
	for _, name := range slices.Sorted(maps.Keys(t.unwatched)) {
		list = append(list, name+": "+t.unwatched[name])
	}
	list = append(list, slices.Sorted(maps.Keys(t.cannot))...)
	return list
}

// unreadable is a signal that the server does not give to this role, or not at all.
type unreadable struct{ why string }

func (u unreadable) Error() string { return u.why }

var errNeedsMonitor = unreadable{"the role may not see it; grant pg_monitor to it"} //nolint:gochecknoglobals // a sentinel

// read takes one reading of all signals. It gives an error only where the connection is lost.
func (t *throttle) read(ctx context.Context, s *session) error {
	var why []string
	missing := map[string]string{}
	for _, signal := range []struct {
		name string
		on   bool
		read func(context.Context, *session) (string, error)
	}{
		{"replication lag", t.settings.Lag > 0 || t.settings.LagBytes > 0, t.lag},
		{"archive backlog", t.settings.Archive > 0, t.archive},
		{"replication slots", t.settings.SlotSpare > 0, t.slots},
		{"autovacuum", t.settings.Autovacuum, t.autovacuum},
		{"oldest transaction", t.settings.OldestXact > 0, t.oldest},
		{"active sessions", t.settings.Active > 0, t.active},
	} {
		if !signal.on {
			continue
		}
		one, cancel := context.WithTimeout(ctx, signalTimeout)
		text, err := signal.read(one, s)
		cancel()
		var not unreadable
		switch {
		case err == nil:
			if text != "" {
				why = append(why, text)
			}
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &not):
			missing[signal.name] = not.why
		case s.conn.IsClosed():
			return classify(ctx, "watch the server", err)
		default:
			missing[signal.name] = describe(err)
		}
	}
	one, cancel := context.WithTimeout(ctx, signalTimeout)
	err := t.traffic(one, s)
	cancel()
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case s.conn.IsClosed():
		return classify(ctx, "watch the server", err)
	default:
		missing["traffic"] = describe(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.why, t.unwatched = strings.Join(why, "; "), missing
	return nil
}

// seesAll reports whether the role sees other roles' sessions in the statistics views.
func (s *session) seesAll(ctx context.Context) (bool, error) {
	var all bool
	err := s.conn.QueryRow(ctx, `select pg_has_role(current_user, 'pg_read_all_stats', 'usage')`).Scan(&all)
	return all, err
}

// standbys remembers where the log stood when, so that a standby which stops is late from that moment on, whatever it
// reports: a standby that does not answer reports nothing.
type standbys struct {
	history []position
	// known are the slots that were in use during this run.
	known map[string]bool
}

type position struct {
	at  time.Time
	lsn int64
}

// behind gives since when the log has been past a position.
func (b *standbys) behind(now time.Time, lsn int64) time.Duration {
	for _, p := range b.history {
		if p.lsn > lsn {
			return now.Sub(p.at)
		}
	}
	return 0
}

func (b *standbys) note(now time.Time, lsn int64) {
	if n := len(b.history); n > 0 && b.history[n-1].lsn == lsn {
		return
	}
	b.history = append(b.history, position{now, lsn})
	const most = 3600
	if len(b.history) > most {
		b.history = b.history[1:]
	}
}

func (t *throttle) lag(ctx context.Context, s *session) (string, error) {
	const query = `
select pg_current_wal_lsn() - '0/0', coalesce(application_name, ''), coalesce(client_addr::text, ''), replay_lsn - '0/0', coalesce(extract(epoch from replay_lag), 0)::float8
from (select 1) one left join pg_stat_replication on state is null or state not in ('startup', 'backup')`
	rows, err := s.conn.Query(ctx, query)
	if err != nil {
		return "", err
	}
	now := time.Now()
	var current int64
	var name, address string
	var replayed *int64
	var reported float64
	var worst string
	hidden := false
	var late time.Duration
	_, err = pgx.ForEachRow(rows, []any{&current, &name, &address, &replayed, &reported}, func() error {
		if replayed == nil {
			hidden = hidden || name != ""
			return nil
		}
		behind := max(t.standbys.behind(now, *replayed), 0)
		if *replayed < current {
			behind = max(behind, time.Duration(reported*float64(time.Second)))
		}
		bytes := current - *replayed
		switch {
		case t.settings.Lag > 0 && behind > t.settings.Lag && behind > late:
			late, worst = behind, fmt.Sprintf("standby %s is %s behind (%s of log), more than %s", name, behind.Round(100*time.Millisecond), size(bytes), t.settings.Lag)
		case t.settings.LagBytes > 0 && bytes > t.settings.LagBytes && worst == "":
			worst = fmt.Sprintf("standby %s is %s of log behind, more than %s", name, size(bytes), size(t.settings.LagBytes))
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	t.standbys.note(now, current)
	if worst != "" {
		return worst, nil
	}
	gone, err := t.lostSlots(ctx, s, now, current)
	if err != nil || gone != "" {
		return gone, err
	}
	if !hidden {
		return "", nil
	}
	if all, err := s.seesAll(ctx); err != nil || all {
		return "", err
	}
	return "", errNeedsMonitor
}

// lostSlots finds the slots that were in use during this run and are not now: a standby that is down is in no view of
// those that are connected.
func (t *throttle) lostSlots(ctx context.Context, s *session, now time.Time, current int64) (string, error) {
	rows, err := s.conn.Query(ctx, `select slot_name::text, active, coalesce(coalesce(confirmed_flush_lsn, restart_lsn) - '0/0', 0) from pg_replication_slots where not temporary`)
	if err != nil {
		return "", err
	}
	if t.standbys.known == nil {
		t.standbys.known = map[string]bool{}
	}
	var name, lost string
	var active bool
	var at int64
	_, err = pgx.ForEachRow(rows, []any{&name, &active, &at}, func() error {
		if active {
			t.standbys.known[name] = true
			return nil
		}
		behind, bytes := t.standbys.behind(now, at), current-at
		if t.standbys.known[name] && (t.settings.Lag > 0 && behind > t.settings.Lag || t.settings.LagBytes > 0 && bytes > t.settings.LagBytes) {
			lost = fmt.Sprintf("the standby of slot %s is gone, and the slot keeps %s of log for it", name, size(bytes))
		}
		return nil
	})
	return lost, err
}

func (t *throttle) archive(ctx context.Context, s *session) (string, error) {
	var mode string
	var failing bool
	var why *string
	const state = `
select current_setting('archive_mode'), coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false), last_failed_wal from pg_stat_archiver`
	if err := s.conn.QueryRow(ctx, state).Scan(&mode, &failing, &why); err != nil {
		return "", err
	}
	if mode == "off" {
		return "", nil
	}
	var ready int
	err := s.conn.QueryRow(ctx, `select count(*) from pg_ls_archive_statusdir() where name like '%.ready'`).Scan(&ready)
	switch {
	case sqlState(err) == "42501":
		if failing {
			return fmt.Sprintf("archiving fails (%s)", deref(why)), nil
		}
		return "", errNeedsMonitor
	case err != nil:
		return "", err
	case failing && ready > 1:
		return fmt.Sprintf("archiving fails (%s), %d segments wait", deref(why), ready), nil
	case ready > t.settings.Archive:
		return fmt.Sprintf("%d segments wait for the archiver, more than %d", ready, t.settings.Archive), nil
	}
	return "", nil
}

func deref(text *string) string {
	if text == nil {
		return "no segment named"
	}
	return *text
}

func (t *throttle) slots(ctx context.Context, s *session) (string, error) {
	const query = `
select slot_name::text, coalesce(wal_status, ''), coalesce(safe_wal_size, -1) from pg_replication_slots
where safe_wal_size is not null and safe_wal_size < $1 or wal_status = 'unreserved' order by safe_wal_size nulls first limit 1`
	var name, status string
	var spare int64
	err := s.conn.QueryRow(ctx, query, t.settings.SlotSpare).Scan(&name, &status, &spare)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("slot %s will be given up after another %s of log (%s), less than %s", name, size(max(spare, 0)), status, size(t.settings.SlotSpare)), nil
}

func (t *throttle) autovacuum(ctx context.Context, s *session) (string, error) {
	const query = `
select coalesce(min(p.relid::regclass::text), ''), count(*) filter (where p.relid is null)
from pg_stat_progress_vacuum p left join pg_stat_activity a using (pid)
where (p.relid is null or p.relid = any($1::oid[]) and a.backend_type = 'autovacuum worker') and p.datname = current_database()`
	var relation string
	var hidden int
	if err := s.conn.QueryRow(ctx, query, t.relations).Scan(&relation, &hidden); err != nil {
		return "", err
	}
	switch {
	case relation != "":
		return "autovacuum works on " + relation, nil
	case hidden > 0:
		return "", errNeedsMonitor
	}
	return "", nil
}

func (t *throttle) oldest(ctx context.Context, s *session) (string, error) {
	const query = `
select pid, coalesce(application_name, ''), coalesce(state, ''), extract(epoch from clock_timestamp() - xact_start)::float8
from pg_stat_activity
where (backend_xmin is not null or backend_xid is not null) and pid <> pg_backend_pid() and backend_type in ('client backend', 'walsender')
  and datname = current_database() and application_name <> current_setting('application_name')
order by xact_start limit 1`
	var pid int
	var name, state string
	var age *float64
	err := s.conn.QueryRow(ctx, query).Scan(&pid, &name, &state, &age)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", err
	}
	if err == nil && age != nil && *age > t.settings.OldestXact.Seconds() {
		return fmt.Sprintf("a transaction is open for %s, so that nothing can be vacuumed: pid %d (%s, %s)",
			time.Duration(*age*float64(time.Second)).Round(time.Second), pid, name, state), nil
	}
	var prepared *float64
	err = s.conn.QueryRow(ctx, `select max(extract(epoch from clock_timestamp() - prepared))::float8 from pg_prepared_xacts where database = current_database()`).Scan(&prepared)
	if err != nil {
		return "", err
	}
	if prepared != nil && *prepared > t.settings.OldestXact.Seconds() {
		return fmt.Sprintf("a prepared transaction waits for %s, so that nothing can be vacuumed", time.Duration(*prepared*float64(time.Second)).Round(time.Second)), nil
	}
	if all, err := s.seesAll(ctx); err != nil || all {
		return "", err
	}
	return "", errNeedsMonitor
}

func (t *throttle) active(ctx context.Context, s *session) (string, error) {
	var n int
	const query = `
select count(*) from pg_stat_activity
where state = 'active' and backend_type = 'client backend' and application_name <> current_setting('application_name')`
	if err := s.conn.QueryRow(ctx, query).Scan(&n); err != nil {
		return "", err
	}
	if n > t.settings.Active {
		return fmt.Sprintf("%d sessions are active, more than %d", n, t.settings.Active), nil
	}
	if all, err := s.seesAll(ctx); err != nil || all {
		return "", err
	}
	return "", errNeedsMonitor
}

// size writes bytes for a person.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.0f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.0f kB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}
