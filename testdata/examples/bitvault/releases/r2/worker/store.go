package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// store is all SQL that the worker sends. A missing row is pgx.ErrNoRows.
type store struct {
	pool *pgxpool.Pool
}

// expire removes sessions and shares whose time is over and counts them.
func (s *store) expire(ctx context.Context) (sessions, shares int64, err error) {
	var batch pgx.Batch
	batch.Queue("DELETE FROM sessions WHERE expires_at < now()")
	batch.Queue("DELETE FROM shares WHERE expires_at < now() - interval '7 days'")
	results := s.pool.SendBatch(ctx, &batch)
	for _, n := range []*int64{&sessions, &shares} {
		tag, execErr := results.Exec()
		if execErr != nil {
			err = execErr
			break
		}
		*n = tag.RowsAffected()
	}
	if closeErr := results.Close(); err == nil {
		err = closeErr
	}
	return sessions, shares, err
}

// enqueueNotices queues a mail to the owner of each share that ends within a day.
func (s *store) enqueueNotices(ctx context.Context) (int64, error) {
	tag, err := s.pool.Exec(ctx, `
		WITH due AS (
			UPDATE shares SET notified_at = now()
			WHERE expires_at < now() + interval '1 day' AND notified_at IS NULL
			RETURNING file_id, created_by
		)
		INSERT INTO jobs (kind, payload)
		SELECT 'mail', jsonb_build_object('to', users.email_address, 'path', files.path)
		FROM due
		JOIN users ON users.id = due.created_by
		JOIN files ON files.id = due.file_id`)
	return tag.RowsAffected(), err
}

// collectGarbage removes files that were deleted a month ago, then contents that no file names any more, and gives the
// bytes of the files. A content stored within the day may still be about to get its file.
func (s *store) collectGarbage(ctx context.Context) (int64, error) {
	const remove = `
		WITH gone AS (
			DELETE FROM files WHERE deleted_at < now() - interval '30 days'
			RETURNING size_bytes
		)
		SELECT coalesce(sum(size_bytes), 0)::bigint FROM gone`
	var freed int64
	if err := s.pool.QueryRow(ctx, remove).Scan(&freed); err != nil {
		return 0, err
	}
	_, err := s.pool.Exec(ctx, `
		DELETE FROM blobs
		WHERE stored_at < now() - interval '1 day'
			AND NOT EXISTS (SELECT FROM files WHERE files.storage_key = blobs.storage_key)`)
	return freed, err
}

// enqueueThumbnails queues a job for each picture that has no thumbnail yet.
func (s *store) enqueueThumbnails(ctx context.Context) (int64, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT id FROM files
		WHERE thumbnail_at IS NULL AND deleted_at IS NULL AND path LIKE '%.png'
			AND NOT EXISTS (
				SELECT FROM jobs
				WHERE kind = 'thumbnail' AND done_at IS NULL AND (payload ->> 'file_id')::bigint = files.id
			)
		ORDER BY id LIMIT 500`)
	if err != nil {
		return 0, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return 0, err
	}
	return s.pool.CopyFrom(ctx, pgx.Identifier{"jobs"}, []string{"kind", "payload"},
		pgx.CopyFromSlice(len(ids), func(i int) ([]any, error) {
			return []any{"thumbnail", map[string]int64{"file_id": ids[i]}}, nil
		}))
}

func (s *store) thumbnailDone(ctx context.Context, fileID int64) error {
	_, err := s.pool.Exec(ctx, "UPDATE files SET thumbnail_at = now() WHERE id = $1", fileID)
	return err
}

type job struct {
	ID        int64
	Kind      string
	Payload   json.RawMessage
	Attempts  int32
	RunAt     time.Time
	DoneAt    *time.Time
	LastError *string
}

// claimJob takes the job that is due longest and hides it from the other workers for five minutes.
func (s *store) claimJob(ctx context.Context) (job, error) {
	rows, err := s.pool.Query(ctx, `
		UPDATE jobs SET attempts = attempts + 1, run_at = now() + interval '5 minutes'
		WHERE id = (
			SELECT id FROM jobs WHERE done_at IS NULL AND run_at <= now() AND attempts < 5
			ORDER BY run_at LIMIT 1 FOR UPDATE SKIP LOCKED
		)
		RETURNING jobs.*`)
	if err != nil {
		return job{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[job])
}

func (s *store) finishJob(ctx context.Context, id int64) error {
	_, err := s.pool.Exec(ctx, "UPDATE jobs SET done_at = now(), last_error = NULL WHERE id = $1", id)
	return err
}

func (s *store) failJob(ctx context.Context, id int64, reason string) error {
	_, err := s.pool.Exec(ctx, "UPDATE jobs SET last_error = $2 WHERE id = $1", id, reason)
	return err
}

type count struct {
	Key string
	N   int64
}

// auditReport counts the last day's actions, by action or by actor.
func (s *store) auditReport(ctx context.Context, byActor bool) ([]count, error) {
	report := "SELECT action::text, count(*) FROM audit_log WHERE at > now() - interval '1 day' GROUP BY action ORDER BY 2 DESC"
	if byActor {
		report = `
			SELECT users.email_address, count(*)
			FROM audit_log JOIN users ON users.id = audit_log.actor_id
			WHERE audit_log.at > now() - interval '1 day'
			GROUP BY users.email_address ORDER BY 2 DESC`
	}
	rows, err := s.pool.Query(ctx, report)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[count])
}
