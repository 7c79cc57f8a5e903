package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
)

type worker struct {
	store *store
}

// round does each kind of work once.
func (w *worker) round(ctx context.Context) error {
	sessions, shares, err := w.store.expire(ctx)
	if err != nil {
		return fmt.Errorf("expire: %w", err)
	}
	notices, err := w.store.enqueueNotices(ctx)
	if err != nil {
		return fmt.Errorf("enqueue notices: %w", err)
	}
	freed, err := w.store.collectGarbage(ctx)
	if err != nil {
		return fmt.Errorf("collect garbage: %w", err)
	}
	thumbnails, err := w.store.enqueueThumbnails(ctx)
	if err != nil {
		return fmt.Errorf("enqueue thumbnails: %w", err)
	}
	done, err := w.runJobs(ctx)
	if err != nil {
		return fmt.Errorf("run jobs: %w", err)
	}
	report, err := w.store.auditReport(ctx, false)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	slog.Info("round is done", "sessions", sessions, "shares", shares, "notices", notices, "freed_bytes", freed,
		"thumbnails", thumbnails, "jobs", done, "actions", len(report))
	return nil
}

// runJobs runs jobs until none is due and gives their number.
func (w *worker) runJobs(ctx context.Context) (int, error) {
	for n := 0; ; n++ {
		j, err := w.store.claimJob(ctx)
		if errors.Is(err, pgx.ErrNoRows) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if err := w.runJob(ctx, j); err != nil {
			if err := w.store.failJob(ctx, j.ID, err.Error()); err != nil {
				return n, err
			}
			continue
		}
		if err := w.store.finishJob(ctx, j.ID); err != nil {
			return n, err
		}
	}
}

func (w *worker) runJob(ctx context.Context, j job) error {
	switch j.Kind {
	case "mail":
		var mail struct {
			To   string `json:"to"`
			Path string `json:"path"`
		}
		if err := json.Unmarshal(j.Payload, &mail); err != nil {
			return err
		}
		if mail.To == "" {
			return errors.New("mail to nobody")
		}
		return nil
	case "thumbnail":
		var thumbnail struct {
			FileID int64 `json:"file_id"`
		}
		if err := json.Unmarshal(j.Payload, &thumbnail); err != nil {
			return err
		}
		return w.store.thumbnailDone(ctx, thumbnail.FileID)
	default:
		return fmt.Errorf("unknown kind %q", j.Kind)
	}
}
