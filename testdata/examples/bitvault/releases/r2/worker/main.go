// Worker does what nobody waits for: expiry, garbage collection, thumbnails, notices, the audit report.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const release = "r2"

func main() {
	once := flag.Bool("once", false, "do everything once and exit")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *once); err != nil {
		slog.Error("worker ends", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, once bool) error {
	config, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		return fmt.Errorf("read DATABASE_URL: %w", err)
	}
	config.ConnConfig.RuntimeParams["application_name"] = "worker@" + release
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer pool.Close()

	w := &worker{store: &store{pool: pool}}
	if once {
		return w.round(ctx)
	}
	slog.Info("worker runs", "release", release)
	ticker := time.NewTicker(10 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		// A round that fails is made good by a later one; a worker that exits is only started again.
		if err := w.round(ctx); err != nil && !errors.Is(err, context.Canceled) {
			slog.Error("round fails", "error", err)
		}
	}
}
