package evidence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bitvault/pawl/phases/gate"
)

// ErrPast means that an acknowledgement would have ended before it began, by the database's clock.
var ErrPast = errors.New("its end is in the past")

// ErrUnknownAcknowledgement means that the ledger has no acknowledgement of this number that still stands.
var ErrUnknownAcknowledgement = errors.New("no such acknowledgement stands")

// Person is who acts, where the database role does not tell: a user of the operating system, a job of the CI.
type Person string

// Acknowledge records one. It counts for lasts from now, or up to a.Until where lasts is zero, by the database's clock.
// The result is a as it was stored. A consumer of which the ledger knows no release gives ErrUnknownRelease.
func Acknowledge(ctx context.Context, conn Conn, a gate.Acknowledgement, lasts time.Duration, who Person, pawlVersion string) (gate.Acknowledgement, error) {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var known bool
		const consumer = `select exists (select from pawl.release where consumer = $1 and ($2 = '' or release = $2))`
		if err := tx.QueryRow(ctx, consumer, a.Consumer, a.Release).Scan(&known); err != nil {
			return err
		}
		if !known && !strings.HasPrefix(a.Consumer, gate.RolePrefix) {
			return ErrUnknownRelease
		}
		var end *time.Time
		if lasts == 0 {
			end = &a.Until
		}
		const insert = `
insert into pawl.acknowledgement (object, consumer, release, broken, reason, until, by_person, pawl_version)
values ($1, $2, $3, $4, $5, coalesce($6::timestamptz, clock_timestamp() + $7::bigint * interval '1 millisecond'), $8, $9)
returning id, until, at, ` + byColumns + `, until > at`
		var counts bool
		err := tx.QueryRow(ctx, insert, a.Object, a.Consumer, a.Release, a.Broken, a.Reason, end, lasts.Milliseconds(), string(who), pawlVersion).
			Scan(&a.ID, &a.Until, &a.At, &a.By, &counts)
		if err == nil && !counts {
			return ErrPast
		}
		return err
	})
	a.PawlVersion = pawlVersion
	return a, err
}

// byColumns names who did something: the person, if one is known, and the role.
const byColumns = `case when by_person in ('', by_role) then by_role else by_person || ' (' || by_role || ')' end`

// Revoke takes an acknowledgement back.
func Revoke(ctx context.Context, conn Conn, id int64, reason string, who Person, pawlVersion string) error {
	const insert = `
insert into pawl.acknowledgement (revokes, object, consumer, release, reason, by_person, pawl_version)
select id, object, consumer, release, $2, $3, $4 from pawl.acknowledgement a
where id = $1 and revokes is null and not exists (select from pawl.acknowledgement r where r.revokes = a.id)`
	tag, err := conn.Exec(ctx, insert, id, reason, string(who), pawlVersion)
	if err == nil && tag.RowsAffected() == 0 {
		return ErrUnknownAcknowledgement
	}
	return err
}

// Acknowledgements gives those that nobody has taken back, oldest first, expired ones included, with the newest row's
// number, by which a later reader sees whether anything was added. A ledger from before there were any has none.
func Acknowledgements(ctx context.Context, conn Conn) (list []gate.Acknowledgement, last int64, err error) {
	has, err := hasTable(ctx, conn, "acknowledgement")
	if err != nil || !has {
		return nil, 0, err
	}
	const query = `
select id, revokes is not null or exists (select from pawl.acknowledgement r where r.revokes = a.id),
       object, consumer, release, broken, reason, coalesce(until, at), at, ` + byColumns + `, pawl_version
from pawl.acknowledgement a order by id`
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, 0, fmt.Errorf("read the acknowledgements: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var a gate.Acknowledgement
		var gone bool
		if err := rows.Scan(&last, &gone, &a.Object, &a.Consumer, &a.Release, &a.Broken, &a.Reason, &a.Until, &a.At, &a.By, &a.PawlVersion); err != nil {
			return nil, 0, fmt.Errorf("read the acknowledgements: %w", err)
		}
		a.ID = last
		if !gone {
			list = append(list, a)
		}
	}
	return list, last, rows.Err()
}

// Standing gives the acknowledgements that count at this moment, by the database's clock.
func Standing(ctx context.Context, conn Conn) ([]gate.Acknowledgement, error) {
	list, _, err := Acknowledgements(ctx, conn)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	var now time.Time
	if err := conn.QueryRow(ctx, `select clock_timestamp()`).Scan(&now); err != nil {
		return nil, fmt.Errorf("ask for the time: %w", err)
	}
	return slices.DeleteFunc(list, func(a gate.Acknowledgement) bool { return !now.Before(a.Until) }), nil
}

// hasTable reports whether the ledger is new enough to have a table.
func hasTable(ctx context.Context, conn Conn, name string) (bool, error) {
	var has bool
	err := conn.QueryRow(ctx, "select to_regclass('pawl."+name+"') is not null").Scan(&has)
	if err != nil {
		return false, fmt.Errorf("look at the ledger: %w", err)
	}
	return has, nil
}
