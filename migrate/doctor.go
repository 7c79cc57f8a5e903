package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Health says how well something is.
type Health string

// How well something can be.
const (
	// Well means that there is nothing to do.
	Well Health = "ok"
	// Doubtful is what works and will hurt one day, or what costs pawl some of what it could do.
	Doubtful Health = "warn"
	// Ill is what keeps pawl from migrating.
	Ill Health = "fail"
)

// Check is what Doctor says of one thing.
type Check struct {
	Name   string `json:"name"`
	Health Health `json:"health"`
	// Message says what was found, Next what to do about it; empty for nothing.
	Message string `json:"message"`
	Next    string `json:"next,omitempty"`
}

// Doctor looks at everything that a migration of the database depends on, and changes nothing. Without a connection there is one check.
func (m *Migrator) Doctor(ctx context.Context) ([]Check, error) {
	s, err := m.dial(ctx, false)
	if err != nil {
		var config *ConfigError
		var transient *TransientError
		switch {
		case errors.As(err, &config):
			return []Check{{"connection", Ill, config.Message, config.Hint}}, nil
		case errors.As(err, &transient):
			return []Check{{"connection", Ill, transient.Error(), transient.Hint}}, nil
		}
		return nil, err
	}
	defer s.close()
	d := &doctor{s: s}
	d.say("connection", Well, fmt.Sprintf("connected to database %q as role %q, directly and not through a pooler", s.database, s.role), "")
	for _, look := range []func(context.Context) error{
		d.server, d.ledger, d.rights, d.settings, d.blockers, d.indexes, d.archiver, d.restorePoints, d.workload,
	} {
		if err := look(ctx); err != nil {
			return nil, classify(ctx, "look at the database", err)
		}
	}
	return d.checks, nil
}

type doctor struct {
	s      *session
	checks []Check
}

func (d *doctor) say(name string, h Health, message, next string) {
	d.checks = append(d.checks, Check{name, h, message, next})
}

func (d *doctor) server(ctx context.Context) error {
	var version string
	if err := d.s.conn.QueryRow(ctx, `select current_setting('server_version')`).Scan(&version); err != nil {
		return err
	}
	const newest = 18
	switch {
	case d.s.version > newest:
		d.say("server", Doubtful, "PostgreSQL "+version+" is newer than this pawl knows", "update pawl before the server: what new versions do to locks it cannot know")
	default:
		d.say("server", Well, "PostgreSQL "+version, "")
	}
	switch {
	case d.s.standby:
		d.say("standby", Ill, "this server is a standby", "give the URL of the primary: a standby takes no changes")
	case d.s.readOnly:
		d.say("read only", Ill, "default_transaction_read_only is on for this database or role", "lift it, or add default_transaction_read_only=off to the URL's parameters")
	}
	return nil
}

func (d *doctor) ledger(ctx context.Context) error {
	if !d.s.hasLedger {
		d.say("ledger", Well, "pawl has not been here yet: the first `pawl migrate` makes schema pawl", "")
		return nil
	}
	l, err := d.s.ledger(ctx)
	if err != nil {
		var config *ConfigError
		if errors.As(err, &config) {
			d.say("ledger", Ill, config.Message, config.Hint)
			return nil
		}
		d.say("ledger", Ill, err.Error(), "grant the role usage of schema pawl and select on its tables")
		return nil
	}
	applied, running := 0, []string{}
	for _, e := range l.Entries {
		if e.State == "running" {
			running = append(running, e.Name)
			continue
		}
		applied++
	}
	if len(running) > 0 {
		d.say("ledger", Doubtful, fmt.Sprintf("begun and not recorded as done: %s", strings.Join(running, ", ")), "the next `pawl migrate` finds out what became of it; `pawl resolve` says so by hand")
		return nil
	}
	d.say("ledger", Well, fmt.Sprintf("%d migrations are applied; the database is stamped %s", applied, l.Environment), "")
	return nil
}

func (d *doctor) rights(ctx context.Context) error {
	var create, made bool
	var foreign int
	var example *string
	const query = `
select has_database_privilege(current_database(), 'create'), coalesce((select has_schema_privilege(oid, 'create') from pg_namespace where nspname = $1), false), count(*) filter (where not mine), min(name) filter (where not mine)
from (select pg_has_role(c.relowner, 'usage') as mine, n.nspname || '.' || c.relname as name
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p', 'm', 'v', 'S') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') and n.nspname not like 'pg\_t%'
        and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
      union all select true, '') x`
	if err := d.s.conn.QueryRow(ctx, query, d.s.ledgerSchema).Scan(&create, &made, &foreign, &example); err != nil {
		return err
	}
	switch {
	case !create && !d.s.hasLedger && !made:
		d.say("rights", Ill, fmt.Sprintf("role %q may not create a schema in this database, and schema pawl is needed", d.s.role),
			fmt.Sprintf("grant create on database %s to %s", qualified("", d.s.database), qualified("", d.s.role)))
	case foreign > 0:
		d.say("rights", Doubtful, fmt.Sprintf("role %q owns %d relations not, such as %s: it cannot alter them", d.s.role, foreign, *example),
			"migrate as their owner, or make the role a member of it")
	default:
		d.say("rights", Well, fmt.Sprintf("role %q owns all relations", d.s.role), "")
	}
	return nil
}

func (d *doctor) settings(ctx context.Context) error {
	var autovacuum, counts, role string
	const query = `
select current_setting('autovacuum'), current_setting('track_counts'),
       coalesce((select string_agg(c, ', ' order by c) from pg_db_role_setting s, unnest(s.setconfig) c
                 where (s.setrole = (select oid from pg_roles where rolname = current_user) or s.setrole = 0)
                   and (s.setdatabase = 0 or s.setdatabase = (select oid from pg_database where datname = current_database()))
                   and c ~ '^(lock_timeout|statement_timeout|idle_in_transaction_session_timeout|transaction_timeout|default_transaction_read_only|session_replication_role|role)='), '')`
	if err := d.s.conn.QueryRow(ctx, query).Scan(&autovacuum, &counts, &role); err != nil {
		return err
	}
	if autovacuum == "off" || counts == "off" {
		d.say("autovacuum", Doubtful, "autovacuum or track_counts is off: tables bloat, and sizes are not known", "alter system set autovacuum = on; alter system set track_counts = on; select pg_reload_conf()")
	} else {
		d.say("autovacuum", Well, "autovacuum is on", "")
	}
	// This session sets the value itself, so that the server's is asked for where the role has none of its own.
	var others string
	const outside = `
select coalesce((select split_part(c, '=', 2) from pg_db_role_setting s, unnest(s.setconfig) c where s.setrole = 0
                   and s.setdatabase in (0, (select oid from pg_database where datname = current_database())) and c like 'idle_in_transaction_session_timeout=%' limit 1),
                (select setting from pg_file_settings where name = 'idle_in_transaction_session_timeout' and applied order by seqno desc limit 1), '0')`
	switch err := d.s.conn.QueryRow(ctx, outside).Scan(&others); {
	case sqlState(err) == "42501":
		others = ""
	case err != nil:
		return err
	}
	switch others {
	case "":
	case "0":
		d.say("idle transactions", Doubtful, "idle_in_transaction_session_timeout is not set: a forgotten transaction blocks a migration, and what queues behind it, for ever",
			fmt.Sprintf("alter database %s set idle_in_transaction_session_timeout = '5min'", qualified("", d.s.database)))
	default:
		d.say("idle transactions", Well, "idle_in_transaction_session_timeout is "+others, "")
	}
	switch {
	case strings.Contains(role, "default_transaction_read_only=on"):
		var source string
		if err := d.s.conn.QueryRow(ctx, `select source from pg_settings where name = 'default_transaction_read_only'`).Scan(&source); err != nil {
			return err
		}
		owner := map[string]string{
			"database": "database " + qualified("", d.s.database), "user": "role " + qualified("", d.s.role),
			"database user": fmt.Sprintf("role %s in database %s", qualified("", d.s.role), qualified("", d.s.database)),
		}[source]
		next := ""
		if owner != "" {
			next = fmt.Sprintf("alter %s reset default_transaction_read_only", owner)
		}
		d.say("role settings", Ill, "sessions are read-only here: "+role, next)
	case role != "":
		d.say("role settings", Well, "set for this role or database: "+role+"; pawl sets lock_timeout and statement_timeout itself", "")
	default:
		d.say("role settings", Well, "nothing is set for this role; pawl sets lock_timeout and statement_timeout itself", "")
	}
	return nil
}

// longTransaction is from when on a transaction is told of: a migration waits behind it.
const longTransaction = 5 * time.Minute

func (d *doctor) blockers(ctx context.Context) error {
	var long, prepared int
	var who *string
	const query = `
select (select count(*) from pg_stat_activity where xact_start < now() - $1::interval and pid <> pg_backend_pid() and backend_type = 'client backend'),
       (select format('pid %s (%s, %s) since %s', pid, usename, application_name, xact_start) from pg_stat_activity
        where xact_start < now() - $1::interval and pid <> pg_backend_pid() and backend_type = 'client backend' order by xact_start limit 1),
       (select count(*) from pg_prepared_xacts where database = current_database())`
	if err := d.s.conn.QueryRow(ctx, query, longTransaction.String()).Scan(&long, &who, &prepared); err != nil {
		return err
	}
	switch {
	case prepared > 0:
		d.say("long transactions", Doubtful, fmt.Sprintf("%d prepared transactions hold their locks until somebody ends them", prepared), "select gid from pg_prepared_xacts; commit prepared or rollback prepared each")
	case long > 0:
		d.say("long transactions", Doubtful, fmt.Sprintf("%d transactions are open for more than 5 minutes, the oldest of %s", long, *who), "migrations of what they use wait for them; end them first, or migrate later")
	default:
		d.say("long transactions", Well, "no transaction is open for more than 5 minutes", "")
	}
	return nil
}

func (d *doctor) indexes(ctx context.Context) error {
	var n int
	var example *string
	// A partitioned index is invalid until each partition has its own.
	const query = `
select count(*), min(indexrelid::regclass::text) from pg_index i join pg_class c on c.oid = i.indexrelid
where not i.indisvalid and c.relkind = 'i' and not exists (select from pg_stat_progress_create_index p where p.index_relid = i.indexrelid)`
	if err := d.s.conn.QueryRow(ctx, query).Scan(&n, &example); err != nil {
		return err
	}
	if n > 0 {
		d.say("invalid indexes", Doubtful, fmt.Sprintf("%d indexes are invalid, such as %s: they cost writes and serve no reads", n, *example), "drop index concurrently "+*example+", and build it again where it is needed")
	} else {
		d.say("invalid indexes", Well, "no index is invalid", "")
	}
	return nil
}

func (d *doctor) archiver(ctx context.Context) error {
	var mode string
	var failing bool
	var last *string
	const query = `
select current_setting('archive_mode'), coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false), last_failed_wal from pg_stat_archiver`
	if err := d.s.conn.QueryRow(ctx, query).Scan(&mode, &failing, &last); err != nil {
		return err
	}
	switch {
	case mode == "off":
		d.say("archiver", Doubtful, "archive_mode is off: without another kind of backup, what a contract drops cannot be brought back", "set up point-in-time recovery, or know that the platform has it")
	case failing:
		d.say("archiver", Doubtful, "the archiver fails, last on "+*last, "look at the server's log for archive_command: until it works, there is no way back to now")
	default:
		d.say("archiver", Well, "the log is archived", "")
	}
	return nil
}

func (d *doctor) restorePoints(ctx context.Context) error {
	var may bool
	if err := d.s.conn.QueryRow(ctx, `select has_function_privilege('pg_create_restore_point(text)', 'execute')`).Scan(&may); err != nil {
		return err
	}
	if may {
		d.say("restore points", Well, "a restore point is made before each contract", "")
	} else {
		d.say("restore points", Doubtful, "the role may not make restore points; position and time are noted instead", fmt.Sprintf("grant execute on function pg_create_restore_point(text) to %s", qualified("", d.s.role)))
	}
	return nil
}

func (d *doctor) workload(ctx context.Context) error {
	var installed, all bool
	const query = `
select exists (select from pg_extension where extname = 'pg_stat_statements'), pg_has_role('pg_read_all_stats', 'usage')`
	if err := d.s.conn.QueryRow(ctx, query).Scan(&installed, &all); err != nil {
		return err
	}
	switch {
	case !installed:
		d.say("pg_stat_statements", Doubtful, "pg_stat_statements is not installed here: `pawl observe` cannot see what is really sent",
			"put it into shared_preload_libraries, restart, and run `create extension pg_stat_statements`")
	case !all:
		d.say("pg_stat_statements", Doubtful, "the role sees only its own statements", fmt.Sprintf("grant pg_read_all_stats to %s", qualified("", d.s.role)))
	default:
		d.say("pg_stat_statements", Well, "what is really sent can be observed", "")
	}
	return nil
}
