package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/bitvault/pawl/migrate"
)

// backfillMetrics keeps the last that was seen of each backfill, for whoever scrapes it.
type backfillMetrics struct {
	mu   sync.Mutex
	last map[migrate.Version]migrate.BackfillStatus
}

func (m *backfillMetrics) see(b *migrate.BackfillStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == nil {
		m.last = map[migrate.Version]migrate.BackfillStatus{}
	}
	m.last[b.Version] = *b
}

type backfillMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(migrate.BackfillStatus) float64
}

func backfillMetricsList() []backfillMetric {
	gauge := func(name, help string, value func(migrate.BackfillStatus) float64) backfillMetric {
		return backfillMetric{prometheus.NewDesc("pawl_backfill_"+name, help, []string{"version", "table"}, nil), prometheus.GaugeValue, value}
	}
	flag := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	return []backfillMetric{
		gauge("rows_seen", "Rows of the table gone through in this pass.", func(b migrate.BackfillStatus) float64 { return float64(b.RowsSeen) }),
		gauge("rows_estimate", "Rows of the table, estimated at the beginning of the pass.", func(b migrate.BackfillStatus) float64 { return float64(b.RowsEstimate) }),
		gauge("rows_changed", "Rows changed in this pass.", func(b migrate.BackfillStatus) float64 { return float64(b.RowsChanged) }),
		gauge("rows_per_second", "Rows of the table gone through per second, lately.", func(b migrate.BackfillStatus) float64 { return b.Rate }),
		gauge("eta_seconds", "Seconds to go at the present rate; 0 where that cannot be told.", func(b migrate.BackfillStatus) float64 { return b.ETA().Seconds() }),
		gauge("batch_rows", "Rows of a batch, lately.", func(b migrate.BackfillStatus) float64 { return float64(b.BatchSize) }),
		gauge("wal_bytes", "Log written while batches ran in this pass.", func(b migrate.BackfillStatus) float64 { return float64(b.WALBytes) }),
		gauge("waiting", "1 while something keeps it from its next batch.", func(b migrate.BackfillStatus) float64 { return flag(b.LimitedBy != "") }),
		gauge("unwatched_signals", "Signals that cannot be read.", func(b migrate.BackfillStatus) float64 { return float64(len(b.Unwatched)) }),
		gauge("done", "1 once it is done.", func(b migrate.BackfillStatus) float64 { return flag(b.State == migrate.BackfillDone) }),
	}
}

// Describe is prometheus.Collector's.
func (m *backfillMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, one := range backfillMetricsList() {
		out <- one.desc
	}
}

// Collect is prometheus.Collector's.
func (m *backfillMetrics) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range backfillMetricsList() {
		for _, b := range m.last {
			out <- prometheus.MustNewConstMetric(one.desc, one.kind, one.value(b), string(b.Version), b.Table)
		}
	}
}

// serveMetrics serves /metrics until the returned function is called.
func (a *app) serveMetrics(ctx context.Context, address string) (stop func(), err error) {
	registry := prometheus.NewRegistry()
	if err := registry.Register(&a.metrics); err != nil {
		return nil, fmt.Errorf("register the metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &usageError{message: fmt.Sprintf("serve metrics at %s: %v", address, lastError(err)), hint: "give --metrics-listen an address such as :9187"}
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.logger().Error().Err(err).Msg("metrics are not served any more")
		}
	}()
	return func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = server.Shutdown(clean)
		<-done
	}, nil
}
