package migrate

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bitvault/pawl/phases/evidence"
)

// VerifyOptions set how Verify asks. The zero value asks once.
type VerifyOptions struct {
	// Wait is how long to wait for a schema that does not yet have what the releases need, or for a server that takes no
	// connection. A release that references what a contract has dropped does not wait.
	Wait time.Duration
	// Application is shown in pg_stat_activity; empty means "pawl verify".
	Application string
	// OnWait hears of each answer that is waited over; nil means that nobody listens.
	OnWait func(error)
}

// Verified is what Verify found.
type Verified struct {
	// Statements were prepared, of which Doubtful were refused for reasons that prove nothing.
	Statements int
	Doubtful   []evidence.Misfit
	// Blind is true where the role may not read pawl's ledger: what a contract dropped is then told without its name.
	Blind bool
}

// verifyEvery is how long to wait between two answers.
const verifyEvery = time.Second

// Verify asks whether releases suit the schema as it is: one connection, nothing written, nothing executed, a connection
// pooler will do. It gives a *UnfitError where a release does not.
func Verify(ctx context.Context, config *pgx.ConnConfig, manifests []*evidence.Manifest, o VerifyOptions) (Verified, error) {
	deadline := time.Now().Add(o.Wait)
	for {
		v, err := verifyOnce(ctx, config, manifests, o)
		var unfit *UnfitError
		var transient *TransientError
		again := errors.As(err, &unfit) && !unfit.Dropped() || errors.As(err, &transient)
		if err == nil || !again || time.Now().Add(verifyEvery).After(deadline) {
			return v, err
		}
		if o.OnWait != nil {
			o.OnWait(err)
		}
		if err := sleep(ctx, verifyEvery); err != nil {
			return v, err
		}
	}
}

func verifyOnce(ctx context.Context, base *pgx.ConnConfig, manifests []*evidence.Manifest, o VerifyOptions) (v Verified, err error) {
	config := base.Copy()
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.RuntimeParams == nil {
		config.RuntimeParams = map[string]string{}
	}
	config.RuntimeParams["application_name"] = o.Application
	if o.Application == "" {
		config.RuntimeParams["application_name"] = "pawl verify"
	}
	config.RuntimeParams["default_transaction_read_only"] = "on"
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	config.OnNotice = func(*pgconn.PgConn, *pgconn.Notice) {}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil && strings.Contains(err.Error(), "unsupported startup parameter") {
		// A pooler may not pass the setting on. Preparing executes nothing in any case.
		delete(config.RuntimeParams, "default_transaction_read_only")
		conn, err = pgx.ConnectConfig(ctx, config)
	}
	if err != nil {
		return v, connectError(ctx, config, err)
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = conn.Close(clean)
	}()
	taken, err := evidence.LoadTaken(ctx, conn)
	if sqlState(err) == "42501" {
		v.Blind, err = true, nil
	}
	if err != nil {
		return v, classify(ctx, "read what contracts took", err)
	}
	// One transaction keeps a pooler from spreading the questions, and the settings they need, over several sessions.
	if _, err := conn.Exec(ctx, "begin read only"); err != nil {
		return v, classify(ctx, "begin to ask", err)
	}
	all, err := evidence.Fit(ctx, conn, manifests, taken)
	if err != nil {
		return v, classify(ctx, "ask whether the release suits the schema", err)
	}
	e := &UnfitError{Advice: "the schema is older than this release: `pawl migrate` brings what it needs; --wait waits for that"}
	for _, u := range all {
		if u.Doubt != "" {
			v.Doubtful = append(v.Doubtful, u)
			continue
		}
		e.Misfits = append(e.Misfits, u)
	}
	for _, m := range manifests {
		v.Statements += len(m.Statements)
	}
	if len(e.Misfits) > 0 {
		return v, e
	}
	return v, nil
}
