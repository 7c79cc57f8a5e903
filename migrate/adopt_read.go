package migrate

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// eachRow scans the rows of a query one after another.
func eachRow(ctx context.Context, tx pgx.Tx, query string, scan func(pgx.Rows) error) error {
	rows, err := tx.Query(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func numberOf(n int64) Version { return Version(strconv.FormatInt(n, 10)) }

// readGoose takes the newest row of each version: going down and up again adds rows.
func readGoose(ctx context.Context, tx pgx.Tx, table string) (*history, error) {
	h := &history{}
	const query = `
select version_id, tstamp::timestamptz from (select distinct on (version_id) id, version_id, is_applied, tstamp from %s order by version_id, id desc) v
where is_applied and version_id > 0 order by id`
	return h, eachRow(ctx, tx, fmt.Sprintf(query, table), func(r pgx.Rows) error {
		var version int64
		var at time.Time
		err := r.Scan(&version, &at)
		h.rows = append(h.rows, historyRow{version: numberOf(version), at: at})
		return err
	})
}

func readGolangMigrate(ctx context.Context, tx pgx.Tx, table string) (*history, error) {
	h := &history{notes: []string{"golang-migrate keeps the newest version alone: each file up to it is taken as applied"}}
	dirty := Version("")
	err := eachRow(ctx, tx, "select version, dirty from "+table, func(r pgx.Rows) error {
		var version int64
		var bad bool
		if err := r.Scan(&version, &bad); err != nil {
			return err
		}
		if bad {
			dirty = numberOf(version)
		}
		h.upTo = numberOf(version)
		return nil
	})
	if err == nil && dirty != "" {
		return nil, &RefusedError{
			Message: fmt.Sprintf("golang-migrate's table %s says that version %s is dirty: it began and did not end", table, dirty),
			Hint: "look what of that file is in the database; finish it or undo it by hand, say so with `migrate force VERSION`, and adopt then.\n" +
				"A process that was killed may have left it dirty although all of it is there",
		}
	}
	return h, err
}

func readTern(ctx context.Context, tx pgx.Tx, table string) (*history, error) {
	h := &history{notes: []string{"tern keeps the newest version alone: each file up to it is taken as applied"}}
	return h, eachRow(ctx, tx, "select version from "+table, func(r pgx.Rows) error {
		var version int32
		err := r.Scan(&version)
		h.upTo = numberOf(int64(version))
		return err
	})
}

func readDbmate(ctx context.Context, tx pgx.Tx, table string) (*history, error) {
	h := &history{byText: true}
	return h, eachRow(ctx, tx, "select version from "+table+" order by version", func(r pgx.Rows) error {
		var text string
		err := r.Scan(&text)
		if v, ok := ParseVersion(text); ok {
			h.rows = append(h.rows, historyRow{version: v, name: text})
		} else {
			h.notes = append(h.notes, fmt.Sprintf("version %q is no number, and is left out", text))
		}
		return err
	})
}

const programNote = "%s's migrations are programs: they are recorded as applied under versions before all SQL files. Give the first file of this directory " +
	"what `pg_dump --schema-only` writes, and take it as applied with --baseline VERSION, so that an empty database can be made from the files"

func readRails(ctx context.Context, tx pgx.Tx, table string) (*history, error) {
	h, err := readDbmate(ctx, tx, table)
	if err == nil {
		h.byText = false
		h.notes = append(h.notes, fmt.Sprintf(programNote, "Rails"))
	}
	return h, err
}

func readEcto(ctx context.Context, tx pgx.Tx, table string) (*history, error) {
	h := &history{notes: []string{fmt.Sprintf(programNote, "Ecto")}}
	return h, eachRow(ctx, tx, "select version, inserted_at::timestamptz from "+table+" order by version", func(r pgx.Rows) error {
		var version int64
		var at *time.Time
		err := r.Scan(&version, &at)
		row := historyRow{version: numberOf(version)}
		if at != nil {
			row.at = *at
		}
		h.rows = append(h.rows, row)
		return err
	})
}

func readDjango(ctx context.Context, tx pgx.Tx, table string) (*history, error) {
	h := &history{notes: []string{fmt.Sprintf(programNote, "Django")}}
	return h, eachRow(ctx, tx, "select id::bigint, app::text, name::text, applied::timestamptz from "+table+" order by id", func(r pgx.Rows) error {
		var id int64
		var app, name string
		var at time.Time
		err := r.Scan(&id, &app, &name, &at)
		h.rows = append(h.rows, historyRow{version: numberOf(id), name: app + "/" + name, at: at})
		return err
	})
}

// readFlyway follows the rows in the order in which they were written: an undo or a deletion takes a version back.
func readFlyway(ctx context.Context, tx pgx.Tx, table string) (*history, error) {
	h := &history{verify: verifyFlyway}
	var failed string
	query := "select version::text, description::text, type::text, script::text, checksum, installed_by::text, installed_on::timestamptz, success from " + table + " order by installed_rank"
	err := eachRow(ctx, tx, query, func(r pgx.Rows) error {
		var version, description, kind, script, by *string
		var sum *int32
		var at time.Time
		var success bool
		if err := r.Scan(&version, &description, &kind, &script, &sum, &by, &at, &success); err != nil {
			return err
		}
		row := historyRow{name: orEmpty(script), at: at, by: orEmpty(by), repeat: version == nil}
		if version != nil {
			v, ok := ParseVersion(strings.ReplaceAll(*version, "_", "."))
			if !ok {
				h.notes = append(h.notes, fmt.Sprintf("version %q is no number, and is left out", *version))
				return nil
			}
			row.version = v
		}
		if sum != nil {
			row.sum = strconv.FormatInt(int64(*sum), 10)
		}
		switch kind := strings.ToUpper(orEmpty(kind)); {
		case !success:
			failed = orEmpty(script)
		case kind == "SCHEMA":
		case strings.HasPrefix(kind, "UNDO"), kind == "DELETE":
			h.forget(row)
		case strings.Contains(kind, "BASELINE"):
			row.upTo, row.name = true, "baseline "+orEmpty(version)
			h.rows = append(h.rows, row)
		default:
			h.forget(row)
			h.rows = append(h.rows, row)
		}
		return nil
	})
	if err == nil && failed != "" {
		return nil, &RefusedError{
			Message: fmt.Sprintf("Flyway's table %s says that %s failed", table, failed),
			Hint:    "undo what it left, take the row away with `flyway repair`, and adopt then",
		}
	}
	return h, err
}

// forget takes rows back that a later one replaces.
func (h *history) forget(row historyRow) {
	kept := h.rows[:0]
	for _, r := range h.rows {
		if row.repeat && r.repeat && r.name == row.name || !row.repeat && !r.upTo && r.version == row.version {
			continue
		}
		kept = append(kept, r)
	}
	h.rows = kept
}

// keptState is for tools whose sums are not of one file alone, and were compared before.
func keptState(_ *Migration, row historyRow) ChecksumState { return row.state }

func readLiquibase(ctx context.Context, tx pgx.Tx, table string) (*history, error) {
	h := &history{verify: keptState}
	// The lock's table keeps its name where only the history's was changed.
	schema := table[:strings.LastIndex(table, `."`)]
	for _, lock := range []string{strings.TrimSuffix(table, `"`) + `lock"`, schema + `."databasechangeloglock"`} {
		var exists, locked bool
		if err := tx.QueryRow(ctx, `select to_regclass($1) is not null`, lock).Scan(&exists); err != nil {
			return nil, err
		}
		if exists {
			if err := tx.QueryRow(ctx, "select coalesce(bool_or(locked), false) from "+lock).Scan(&locked); err != nil {
				return nil, err
			}
		}
		if locked {
			return nil, &RefusedError{
				Message: "Liquibase is at work on this database, or died there: its lock is taken",
				Hint:    "wait for it; if nothing runs, `liquibase release-locks` takes the lock away",
			}
		}
	}
	seen := map[int64]int{}
	query := "select id::text, author::text, filename::text, dateexecuted::timestamptz, orderexecuted::bigint, md5sum::text, description::text from " + table + " order by orderexecuted, dateexecuted"
	return h, eachRow(ctx, tx, query, func(r pgx.Rows) error {
		var id, author, file string
		var at time.Time
		var order int64
		var sum, description *string
		err := r.Scan(&id, &author, &file, &at, &order, &sum, &description)
		v := numberOf(order)
		if seen[order]++; seen[order] > 1 {
			v += Version("." + strconv.Itoa(seen[order]))
		}
		h.rows = append(h.rows, historyRow{
			version: v, name: file + "::" + id + "::" + author, file: file, at: at, sum: orEmpty(sum), author: author, id: id, description: orEmpty(description),
		})
		return err
	})
}

func readSqlx(ctx context.Context, tx pgx.Tx, table string) (*history, error) {
	h := &history{verify: verifySqlx}
	failed := Version("")
	err := eachRow(ctx, tx, "select version, description::text, installed_on::timestamptz, success, checksum from "+table+" order by version", func(r pgx.Rows) error {
		var version int64
		var description string
		var at time.Time
		var success bool
		var sum []byte
		err := r.Scan(&version, &description, &at, &success, &sum)
		if !success {
			failed = numberOf(version)
		}
		h.rows = append(h.rows, historyRow{version: numberOf(version), name: description, at: at, sum: hex.EncodeToString(sum)})
		return err
	})
	if err == nil && failed != "" {
		return nil, &RefusedError{
			Message: fmt.Sprintf("sqlx's table %s says that version %s began and did not succeed", table, failed),
			Hint:    "finish or undo by hand what it left, set success in its row or delete it, and adopt then",
		}
	}
	return h, err
}

func readPrisma(ctx context.Context, tx pgx.Tx, table string) (*history, error) {
	h := &history{verify: verifyPrisma}
	failed := ""
	query := "select migration_name::text, checksum::text, finished_at::timestamptz, rolled_back_at::timestamptz, started_at::timestamptz from " + table + " order by started_at"
	err := eachRow(ctx, tx, query, func(r pgx.Rows) error {
		var name, sum string
		var finished, rolledBack, started *time.Time
		if err := r.Scan(&name, &sum, &finished, &rolledBack, &started); err != nil {
			return err
		}
		switch {
		case rolledBack != nil:
			return nil
		case finished == nil:
			failed = name
			return nil
		}
		digits, _, _ := strings.Cut(name, "_")
		v, _ := ParseVersion(digits)
		h.rows = append(h.rows, historyRow{version: v, name: name, at: *finished, sum: sum})
		return nil
	})
	if err == nil && failed != "" {
		return nil, &RefusedError{
			Message: fmt.Sprintf("Prisma's table %s says that %s failed", table, failed),
			Hint:    "look what of it is in the database, say so with `prisma migrate resolve --applied|--rolled-back`, and adopt then",
		}
	}
	return h, err
}

func readAtlas(ctx context.Context, tx pgx.Tx, table string) (*history, error) {
	h := &history{verify: keptState, byText: true}
	failed := ""
	// The type is a set of flags: 1 is a baseline, 2 was executed, 4 was set by hand.
	query := `select version::text, description::text, type::bigint, applied::bigint, total::bigint, executed_at::timestamptz, hash::text from ` + table + ` where version not like '.atlas%' order by version`
	err := eachRow(ctx, tx, query, func(r pgx.Rows) error {
		var version, description, sum string
		var kind, applied, total int64
		var at time.Time
		if err := r.Scan(&version, &description, &kind, &applied, &total, &at, &sum); err != nil {
			return err
		}
		v, ok := ParseVersion(version)
		if !ok {
			h.notes = append(h.notes, fmt.Sprintf("version %q is no number, and is left out", version))
			return nil
		}
		const baseline, byHand = 1, 4
		if applied < total && kind&byHand == 0 {
			failed = fmt.Sprintf("%s (%d of %d statements)", version, applied, total)
		}
		name := strings.TrimSuffix(version+"_"+description, "_")
		h.rows = append(h.rows, historyRow{version: v, label: version, name: name, at: at, sum: sum, upTo: kind == baseline})
		return nil
	})
	if err == nil && failed != "" {
		return nil, &RefusedError{
			Message: fmt.Sprintf("Atlas' table %s says that %s was applied in part", table, failed),
			Hint:    "let `atlas migrate apply` finish it, or finish it by hand and say so with `atlas migrate set VERSION`; adopt then",
		}
	}
	return h, err
}

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
