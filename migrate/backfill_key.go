package migrate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases"
)

// keyCandidate is a unique index that may serve as the key to go by.
type keyCandidate struct {
	index    string
	columns  []string
	primary  bool
	notNull  bool
	straight bool
	nullable []string
}

// chooseKey finds the index to go by: the one on the wanted columns, or the primary key, or the narrowest other unique
// one without NULLs. Without any, blocks are gone through, unless a key was asked for.
func (s *session) chooseKey(ctx context.Context, name string, p *backfillPart, def *phases.BackfillDef) error {
	const query = `
select ic.relname::text, i.indisprimary, array_agg(a.attname::text order by k.ord), bool_and(a.attnotnull),
       bool_and(i.indcollation[k.ord - 1] = a.attcollation and i.indoption[k.ord - 1] & 1 = i.indoption[0] & 1),
       coalesce(array_agg(a.attname::text) filter (where not a.attnotnull), '{}')
from pg_index i join pg_class ic on ic.oid = i.indexrelid join pg_am am on am.oid = ic.relam
cross join lateral unnest(i.indkey::int2[]) with ordinality k(attnum, ord)
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
where i.indrelid = $1 and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
  and am.amname = 'btree' and k.ord <= i.indnkeyatts
group by ic.relname, i.indexrelid, i.indisprimary order by i.indisprimary desc, count(*), ic.relname`
	rows, err := s.conn.Query(ctx, query, p.oid)
	if err != nil {
		return classify(ctx, "look the table's keys up", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (keyCandidate, error) {
		var k keyCandidate
		return k, row.Scan(&k.index, &k.primary, &k.columns, &k.notNull, &k.straight, &k.nullable)
	})
	if err != nil {
		return classify(ctx, "look the table's keys up", err)
	}
	written := func(k keyCandidate) bool {
		return def.Verb == "update" && slices.ContainsFunc(k.columns, func(c string) bool { return slices.Contains(def.Sets, c) })
	}
	if len(def.Key) > 0 {
		return s.wantedKey(ctx, name, p, def, list)
	}
	var why []string
	for _, k := range list {
		switch {
		case !k.notNull:
			why = append(why, fmt.Sprintf("%s of index %s may be NULL", strings.Join(k.nullable, ", "), k.index))
		case !k.straight:
			why = append(why, fmt.Sprintf("index %s sorts otherwise than its columns compare", k.index))
		case written(k):
			why = append(why, "the statement writes the columns of "+k.index)
		default:
			p.key, p.index = k.columns, k.index
			return nil
		}
	}
	p.why = fmt.Sprintf("%s.%s has no unique key that cannot be NULL", p.schema, p.name)
	if len(why) > 0 {
		p.why += ": " + strings.Join(why, "; ")
	}
	return nil
}

// wantedKey finds the index on the columns that the directive asks for.
func (s *session) wantedKey(ctx context.Context, name string, p *backfillPart, def *phases.BackfillDef, list []keyCandidate) error {
	wanted := strings.Join(def.Key, ", ")
	for _, k := range list {
		if !slices.Equal(k.columns, def.Key) {
			continue
		}
		switch {
		case !k.notNull:
			return &RefusedError{
				Message: fmt.Sprintf("backfill %s: key %s of %s.%s may be NULL (%s), so rows without a key would never be reached", name, wanted, p.schema, p.name, strings.Join(k.nullable, ", ")),
				Hint:    "make it NOT NULL, or go by another key: leave key= out to let pawl choose",
			}
		case k.straight:
			p.key, p.index = k.columns, k.index
			return nil
		}
	}
	var missing []string
	const query = `select k from unnest($2::text[]) k where not exists (select from pg_attribute where attrelid = $1 and attname = k and attnum > 0 and not attisdropped)`
	rows, err := s.conn.Query(ctx, query, p.oid, def.Key)
	if err == nil {
		missing, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return classify(ctx, "look the key's columns up", err)
	}
	if len(missing) > 0 {
		return &RefusedError{
			Message: fmt.Sprintf("backfill %s: %s.%s has no column %s to go by", name, p.schema, p.name, strings.Join(missing, ", ")),
			Hint:    "correct key=, or leave it out to go by the primary key",
		}
	}
	return &RefusedError{
		Message: fmt.Sprintf("backfill %s: no unique index of %s.%s is on exactly (%s)", name, p.schema, p.name, wanted),
		Hint:    "a key to go by needs a valid, plain unique index on columns that are NOT NULL; leave key= out to let pawl choose",
	}
}
