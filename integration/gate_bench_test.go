package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bitvault/pawl/internal/pgtest"
	"github.com/bitvault/pawl/migrate"
	"github.com/bitvault/pawl/phases/gate"
)

// ledgerOf fills the ledger as many consumers would in time: 500 of them with 20 releases each, of which one is live, one
// the previous one, and one more was replaced within the window. A consumer has its own statements about its own 20
// tables; a release sends a fifth of them.
const ledgerOf = `
insert into pawl.query (sha256, text)
select encode(sha256(convert_to(text, 'UTF8')), 'hex'), text
from generate_series(1, 500) c, generate_series(1, %[1]d) q,
lateral (select format(case q %% 5
    when 0 then 'select id, a, b from s%%1$s_t%%2$s where id = $1 and a > %%3$s'
    when 1 then 'update s%%1$s_t%%2$s set a = $1 where id = $2 and %%3$s = %%3$s'
    when 2 then 'insert into s%%1$s_t%%2$s (id, a) values ($1, %%3$s)'
    when 3 then 'select t.a, count(*) from s%%1$s_t%%2$s t where t.b = $1 group by t.a having count(*) > %%3$s'
    else 'delete from s%%1$s_t%%2$s where id = $1 and a = %%3$s' end, c, q / 5 %% 20, q) as text) x;
insert into pawl.release (consumer, release, status, parts)
select 's' || c, 'r' || r, 'complete', '[{}]' from generate_series(1, 500) c, generate_series(1, 20) r;
insert into pawl.release_query (consumer, release, sha256, sites)
select 's' || c, 'r' || r, sha256, jsonb_build_array(jsonb_build_object('file', 'store.go', 'line', n %% 900))
from (select sha256, substring(text from 's([0-9]+)_t') as c, row_number() over () as n from pawl.query) q, generate_series(1, 20) r
where (n + r / 4) %% 5 = 0;
insert into pawl.release_event (consumer, release, kind, at, pawl_version)
select 's' || c, 'r' || r, k, now() - make_interval(days => (20 - r) * 3 + case k when 'superseded' then -3 else 0 end), 'bench'
from generate_series(1, 500) c, generate_series(1, 20) r, unnest(array['registered', 'deploying', 'live', 'superseded']) with ordinality as e(k, n)
where k <> 'superseded' or r < 20 order by 4, r, n;
analyze pawl.query, pawl.release, pawl.release_query, pawl.release_event`

// BenchmarkGateLedger asks about a column and about ten tables with a million distinct statements of 10,000 releases in
// the ledger, and about one consumer that sends 2,000 statements about one table. PAWL_BENCH_STATEMENTS is how many
// statements a consumer has (2,000).
func BenchmarkGateLedger(b *testing.B) {
	statements := 2000
	if _, err := fmt.Sscan(os.Getenv("PAWL_BENCH_STATEMENTS"), &statements); err != nil {
		statements = 2000
	}
	db := pgtest.Database(b)
	files := fstest.MapFS{}
	var tables strings.Builder
	for i := range 20 {
		fmt.Fprintf(&tables, "create table s7_t%d (id bigint primary key, a int, b text);\n", i)
	}
	files["0001_tables.sql"] = &fstest.MapFile{Data: []byte(tables.String() + "create table wide (id bigint primary key, a int, b text);\n")}
	up(b, db.URL, files, migrate.Options{})
	began := time.Now()
	for text := range strings.SplitSeq(fmt.Sprintf(ledgerOf, statements), ";\n") {
		db.Exec(b, text)
	}
	db.Exec(b, "vacuum analyze pawl.release_query")
	b.Logf("%d statements, %d rows of releases, filled in %s", pgtest.Value[int](b, db, `select count(*)::int from pawl.query`),
		pgtest.Value[int](b, db, `select count(*)::int from pawl.release_query`), time.Since(began).Round(time.Second))

	ask := func(name, change string, most time.Duration) {
		b.Run(name, func(b *testing.B) {
			files["0002_change.sql"] = &fstest.MapFile{Data: []byte(change)}
			for b.Loop() {
				began := time.Now()
				p, _, err := migrator(b, db.URL, files, migrate.Options{}).Plan(b.Context())
				require.NoError(b, err)
				require.Len(b, p.Held, 1)
				if took := time.Since(began); took > most {
					b.Logf("%s took %s; at most %s on an idle machine was meant", name, took, most)
				}
				b.ReportMetric(float64(len(p.Held[0].Decision.Findings)), "findings")
				b.ReportMetric(float64(p.Held[0].Decision.Checked.Releases), "releases")
			}
		})
	}
	ask("column", "alter table s7_t3 drop column b;", 500*time.Millisecond)
	var ten strings.Builder
	for i := range 10 {
		fmt.Fprintf(&ten, "drop table s7_t%d;\n", i)
	}
	ask("ten tables", ten.String(), 3*time.Second)

	texts := make([]string, 2000)
	for i := range texts {
		texts[i] = fmt.Sprintf("select id, b from wide where id = $1 and a = %d", i)
	}
	m := migrator(b, db.URL, files, migrate.Options{})
	require.NoError(b, m.RegisterRelease(b.Context(), manifest("wide", "r1", texts...)))
	require.NoError(b, m.RecordRelease(b.Context(), "wide", "r1", gate.LiveNow, ""))
	ask("2000 statements", "alter table wide drop column b;", time.Second)
}
