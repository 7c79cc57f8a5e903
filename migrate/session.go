package migrate

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

// LedgerSchema is the schema of pawl's own tables; a tenant's schema has its own beside it, pawl_SCHEMA.
const LedgerSchema = "pawl"

// session is the one connection that a run uses, with what is known of the server behind it.
type session struct {
	conn *ledgerConn
	// config made the connection; the watcher opens its own from it.
	config *pgx.ConnConfig

	database   string
	databaseID uint32
	role       string
	version    int
	standby    bool
	// readOnly is true where transactions take no writes, be it that the server is a standby or that a setting says so.
	readOnly  bool
	hasLedger bool
	// path are the schemas of the search path that exist.
	path []string
	// transactionTimeout is the setting of that name; empty before PostgreSQL 17.
	transactionTimeout string
	searchPath         string
	// schema is the tenant's whose migrations these are; empty where the whole database has one history. ledgerSchema is where
	// the ledger stands.
	schema, ledgerSchema string
	// lockKey is the advisory lock by which the runners of one database take turns.
	lockKey  int64
	locked   bool
	observer *observer
}

const connectTimeout = 15 * time.Second

// oldest is the first major of PostgreSQL that pawl works with.
const oldest = 14

// dial connects and looks at the server with one statement. It refuses poolers; whether a standby will do is the
// caller's affair.
func dial(ctx context.Context, base *pgx.ConnConfig, schema string, identity map[string]string, notice func(*pgconn.Notice)) (*session, error) {
	if err := checkTenant(schema); err != nil {
		return nil, err
	}
	config := base.Copy()
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.RuntimeParams == nil {
		config.RuntimeParams = map[string]string{}
	}
	for k, v := range identity {
		if v != "" {
			config.RuntimeParams[k] = v
		}
	}
	for k, v := range map[string]string{
		"lock_timeout":                        "500ms",
		"statement_timeout":                   "60s",
		"idle_in_transaction_session_timeout": "0",
		"idle_session_timeout":                "0",
		// What the gate reads under a contract's locks has to be of that moment, not of the transaction's beginning.
		"default_transaction_isolation":    "read committed",
		"standard_conforming_strings":      "on",
		"client_encoding":                  "UTF8",
		"DateStyle":                        "ISO",
		"client_connection_check_interval": "2s",
	} {
		config.RuntimeParams[k] = v
	}
	// The simple protocol sends one message where the extended one sends five, and leaves nothing prepared behind.
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	config.StatementCacheCapacity, config.DescriptionCacheCapacity = 0, 0
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if notice != nil {
			notice(n)
		}
	}
	// A cancelled context asks the server to cancel the statement and keeps the connection, so that the transaction is
	// rolled back in order and no backend goes on working for nobody.
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: 5 * time.Second}
	}
	s := &session{config: config, schema: schema, ledgerSchema: ledgerFor(schema)}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	if s.transactionTimeout != "" && s.transactionTimeout != "0" {
		// Servers before 17 would refuse the setting, so it is only given where it is needed.
		config.RuntimeParams["transaction_timeout"] = "0"
		s.close()
		if err := s.connect(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *session) connect(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, s.config)
	if err != nil && sqlState(err) == "22023" {
		// Platforms whose poll() cannot see a closed socket refuse any interval but zero.
		delete(s.config.RuntimeParams, "client_connection_check_interval")
		conn, err = pgx.ConnectConfig(ctx, s.config)
	}
	if err != nil {
		return connectError(ctx, s.config, err)
	}
	s.conn = &ledgerConn{Conn: conn, own: ownSQL(s.ledgerSchema)}
	if err := s.look(ctx); err != nil {
		s.close()
		return err
	}
	return nil
}

func (s *session) look(ctx context.Context) error {
	const query = `
select pg_backend_pid(), pg_is_in_recovery(), current_setting('transaction_read_only')::bool, coalesce(current_setting('transaction_timeout', true), ''),
       current_setting('server_version_num')::int / 10000, current_database(), (select oid from pg_database where datname = current_database()),
       current_user, current_setting('search_path'), current_schemas(false)::text[],
       exists (select from pg_namespace n join pg_class c on c.relnamespace = n.oid where n.nspname = $1 and c.relname = 'meta')`
	var pid uint32
	err := s.conn.QueryRow(ctx, query, s.ledgerSchema).Scan(&pid, &s.standby, &s.readOnly, &s.transactionTimeout, &s.version, &s.database, &s.databaseID, &s.role, &s.searchPath, &s.path, &s.hasLedger)
	if err != nil {
		return classify(ctx, "look at the server", err)
	}
	if pid != s.conn.PgConn().PID() {
		return poolerError(nil)
	}
	if s.version < oldest {
		return &ConfigError{Message: fmt.Sprintf("this server is PostgreSQL %d, and pawl works with 14 and newer", s.version)}
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "pawl/%d/%s", s.databaseID, s.ledgerSchema)
	s.lockKey = int64(h.Sum64()) //nolint:gosec // the key is 64 bits, whatever their sign
	return nil
}

func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if s.observer != nil {
		s.observer.close()
	}
	_ = s.conn.Close(ctx)
}

func poolerError(err error) error {
	return &ConfigError{
		Message: "this address is a connection pooler's, not PostgreSQL's",
		Hint:    "give pawl a direct URL: through a pooler its lock and its settings can stay behind in a connection that others use",
		Err:     err,
	}
}

func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// connectError says why there is no connection, without the URL: a URL may hold a password.
func connectError(ctx context.Context, config *pgx.ConnConfig, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	address := addresses(config)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		why := innermost(err)
		if isTLS(why) {
			return &ConfigError{
				Message: fmt.Sprintf("no connection to %s: %s", address, why),
				Hint:    "sslmode says whether TLS is used and what of the server is checked, sslrootcert by which authorities",
			}
		}
		return &TransientError{
			Message: fmt.Sprintf("no connection to %s", address),
			Hint:    "is the server up, and does this host reach it?",
			Err:     why,
		}
	}
	switch {
	case strings.Contains(pg.Message, "unsupported startup parameter"):
		return poolerError(nil)
	case pg.Code == "42704" && (strings.Contains(pg.Message, "client_connection_check_interval") || strings.Contains(pg.Message, "idle_session_timeout")):
		return &ConfigError{Message: fmt.Sprintf("the server at %s is older than PostgreSQL %d, which is the oldest that pawl works with", address, oldest)}
	case pg.Code == "28P01" || pg.Code == "28000":
		return &ConfigError{
			Message: fmt.Sprintf("%s does not let role %q in: %s", address, config.User, pg.Message),
			Hint:    "check the user, the password and the server's pg_hba.conf",
		}
	case pg.Code == "3D000":
		return &ConfigError{
			Message: fmt.Sprintf("%s: %s", address, pg.Message),
			Hint:    fmt.Sprintf("create it first (createdb %s), or correct the URL", config.Database),
		}
	case pg.Code == "57P03" || strings.HasPrefix(pg.Code, "53") || strings.HasPrefix(pg.Code, "57P") || strings.HasPrefix(pg.Code, "08"):
		return &TransientError{Message: fmt.Sprintf("%s takes no connection: %s", address, pg.Message)}
	default:
		return &ConfigError{Message: fmt.Sprintf("%s refuses the connection: %s (%s)", address, pg.Message, pg.Code), Hint: pg.Hint}
	}
}

// addresses names the servers of a URL, of which each is tried once with TLS and once without, if it says so.
func addresses(config *pgx.ConnConfig) string {
	name := func(host string, port uint16) string {
		if strings.HasPrefix(host, "/") {
			return fmt.Sprintf("%s/.s.PGSQL.%d", host, port)
		}
		return net.JoinHostPort(host, fmt.Sprint(port))
	}
	list := []string{name(config.Host, config.Port)}
	for _, f := range config.Fallbacks {
		if next := name(f.Host, f.Port); !slices.Contains(list, next) {
			list = append(list, next)
		}
	}
	return strings.Join(list, ", ")
}

// isTLS reports whether an error says that one side wants TLS and the other has none, or not the certificate for it: trying again
// does not change that.
func isTLS(err error) bool {
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &invalid) || strings.Contains(err.Error(), "server refused TLS connection")
}

// innermost gives the last error of a chain: what the operating system said, without the wrappers' repetitions, which
// carry the connection string.
func innermost(err error) error {
	for {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			list := joined.Unwrap()
			if len(list) == 0 {
				return err
			}
			err = list[len(list)-1]
			continue
		}
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// classify sorts an error of pawl's own statements: interrupted, connection gone, or a failure to report with what
// was attempted.
func classify(ctx context.Context, attempted string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		var known interface{ pawlError() }
		if errors.As(err, &known) {
			return err
		}
		return &TransientError{
			Message: attempted + ": the connection was lost",
			Hint:    "nothing is half-done: what was committed is in the ledger; run pawl again",
			Err:     innermost(err),
		}
	}
	switch {
	case pg.Code == "55P03" || pg.Code == "40P01" || pg.Code == "40001":
		return &TransientError{Message: attempted, Err: err}
	case strings.HasPrefix(pg.Code, "57P") || strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "53"):
		return &TransientError{Message: attempted + ": " + pg.Message, Hint: "run pawl again once the server is well"}
	case pg.Code == "25006":
		return &ConfigError{
			Message: attempted + ": " + pg.Message,
			Hint:    "this server is a standby, or became one, or default_transaction_read_only is on: give pawl an address at which it may write",
		}
	case pg.Code == "42501":
		return &ConfigError{Message: attempted + ": " + pg.Message, Hint: "give the role that pawl connects as what it lacks"}
	}
	return fmt.Errorf("%s: %s (%s)", attempted, pg.Message, pg.Code)
}

// writable is nil where the session may write, or else says why it may not.
func (s *session) writable(ctx context.Context) error {
	switch {
	case s.standby:
		return &ConfigError{
			Message: fmt.Sprintf("the server of database %q is a standby (it is in recovery, so nothing can be written)", s.database),
			Hint:    "give pawl the primary's URL; libpq's target_session_attrs=read-write picks it from a list of hosts",
		}
	case !s.readOnly:
		return nil
	}
	var source string
	err := s.conn.QueryRow(ctx, `select source from pg_settings where name = 'default_transaction_read_only'`).Scan(&source)
	if err != nil {
		return classify(ctx, "read what keeps the session from writing", err)
	}
	return &ConfigError{
		Message: fmt.Sprintf("database %q takes no writes from role %q: default_transaction_read_only is on (set by: %s)", s.database, s.role, source),
		Hint:    "somebody may have frozen it on purpose. Lift that first, or let this run write all the same: add default_transaction_read_only=off to the URL's parameters",
	}
}

func (*FileError) pawlError()      {}
func (*StatementError) pawlError() {}
func (*IntegrityError) pawlError() {}
func (*RefusedError) pawlError()   {}
func (*ConfigError) pawlError()    {}
func (*TransientError) pawlError() {}
func (*BlockedError) pawlError()   {}
