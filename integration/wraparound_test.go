package integration

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgserver"
	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
)

// Autovacuum that prevents wraparound does not give way, and neither does a transaction that is open for long: both are told of before
// the first file is sent, and again with what was missed.
func TestWraparoundIsToldBeforehand(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{Settings: map[string]string{"autovacuum_naptime": "1s"}})
	url, err := server.CreateDatabase(t.Context(), "old", "")
	require.NoError(t, err)
	db := &pgtest.DB{Name: "old", URL: url, Server: server}
	// A vacuum for the rows alone, which would come first on a busy machine and stay, is switched off; one against wraparound cannot be.
	files := history("0001_old.sql", "create table old (id int, filler text) with (autovacuum_enabled = false, autovacuum_freeze_max_age = 100000, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);\n"+
		"insert into old select g, repeat('x', 500) from generate_series(1, 20000) g;", "0002_busy.sql", "create table busy (id int);")
	up(t, db.URL, files, migrate.Options{})
	// The table's rows become old by transactions that did take place.
	db.Exec(t, "do $$ begin for i in 1 .. 101000 loop perform txid_current(); commit; end loop; end $$")
	const at = `select exists (select from pg_stat_activity where backend_type = 'autovacuum worker' and query like 'autovacuum: VACUUM%public.old (to prevent wraparound)%')`
	require.Eventually(t, func() bool { return pgtest.Value[bool](t, db, at) }, 90*time.Second, 50*time.Millisecond)
	long, err := db.Conn(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = long.Exec(t.Context(), "insert into busy values (1)")
	require.NoError(t, err)
	<-time.After(2100 * time.Millisecond)

	files["0003_old.sql"] = history("x", "alter table old add column n int;")["x"]
	files["0004_busy.sql"] = history("x", "alter table busy add column n int;")["x"]
	var told []migrate.InTheWay
	started := false
	_, err = migrator(t, db.URL, files, migrate.Options{LockDeadline: time.Second, OnEvent: func(e migrate.Event) {
		switch e := e.(type) {
		case migrate.InTheWay:
			require.False(t, started, "before anything is sent")
			told = append(told, e)
		case migrate.Started:
			started = true
		}
	}}).Migrate(t.Context())
	require.Len(t, told, 2)
	require.Equal(t, "0003_old.sql", told[0].Migration.Name)
	require.Len(t, told[0].Blockers, 1)
	require.True(t, told[0].Blockers[0].Wraparound && told[0].Blockers[0].Autovacuum)
	require.Contains(t, told[0].Blockers[0].String(), "wraparound")
	require.Equal(t, "0004_busy.sql", told[1].Migration.Name)
	require.Greater(t, told[1].Blockers[0].Age, 2*time.Second)
	require.False(t, told[1].Blockers[0].Autovacuum)

	var transient *migrate.TransientError
	require.ErrorAs(t, err, &transient)
	require.ErrorContains(t, err, "0003_old.sql")
	require.ErrorContains(t, err, "wraparound")
	require.True(t, pgtest.Value[bool](t, db, at), "it did not give way")

	require.NoError(t, long.Rollback(t.Context()))
	db.Exec(t, "alter system set autovacuum = off")
	db.Exec(t, "alter system set autovacuum_freeze_max_age = 2000000000")
	require.NoError(t, server.Restart(t.Context()))
	require.Len(t, up(t, db.URL, files, migrate.Options{}).Applied, 2)
}
