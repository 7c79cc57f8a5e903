// Package telemetry sends what a run does to an OpenTelemetry collector, as spans and metrics by OTLP over HTTP. It is set up by the
// standard OTEL_ environment variables alone, and does nothing without them.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/bitvault/pawl/migrate"
)

// Env gives an environment variable.
type Env func(string) (string, bool)

// wanted is which signals the environment asks for.
type wanted struct{ traces, metrics bool }

// Wanted reports whether the environment asks for any telemetry, and what in it cannot be done; empty for nothing.
func Wanted(env Env) (yes bool, problem string) {
	w, problem := ask(env)
	return w.traces || w.metrics, problem
}

func ask(env Env) (w wanted, problem string) {
	get := func(name string) string {
		v, _ := env(name)
		return strings.TrimSpace(v)
	}
	if strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") {
		return w, ""
	}
	signal := func(name string) bool {
		exporter := get("OTEL_" + name + "_EXPORTER")
		switch exporter {
		case "none":
			return false
		case "", "otlp":
		default:
			problem = fmt.Sprintf("OTEL_%s_EXPORTER=%s is not known: pawl sends by otlp, or none", name, exporter)
			return false
		}
		on := exporter == "otlp" || get("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || get("OTEL_EXPORTER_OTLP_"+name+"_ENDPOINT") != ""
		protocol := get("OTEL_EXPORTER_OTLP_" + name + "_PROTOCOL")
		if protocol == "" {
			protocol = get("OTEL_EXPORTER_OTLP_PROTOCOL")
		}
		if on && protocol != "" && protocol != "http/protobuf" {
			problem = fmt.Sprintf("OTEL_EXPORTER_OTLP_PROTOCOL=%s is not known: pawl speaks http/protobuf (port 4318 of a collector)", protocol)
			return false
		}
		return on
	}
	w.traces, w.metrics = signal("TRACES"), signal("METRICS")
	return w, problem
}

// Telemetry is what a process sends.
type Telemetry struct {
	tracer trace.Tracer
	stops  []func(context.Context) error
	parent context.Context

	migrations metric.Int64Counter
	durations  metric.Float64Histogram
	misses     metric.Int64Counter
	runs       metric.Int64Counter
}

// flushTime is how long a process that is done waits for the collector.
const flushTime = 5 * time.Second

// Start sets the exporters up by the environment. What they cannot send is given to problem, and keeps nothing from working. A
// TRACEPARENT in the environment is the parent of all spans.
func Start(ctx context.Context, env Env, version string, problem func(error)) (*Telemetry, error) {
	w, _ := ask(env)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(problem))
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "pawl"), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("read OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	t := &Telemetry{parent: context.WithoutCancel(ctx)}
	if parent, ok := env("TRACEPARENT"); ok {
		state, _ := env("TRACESTATE")
		t.parent = propagation.TraceContext{}.Extract(t.parent, propagation.MapCarrier{"traceparent": parent, "tracestate": state})
	}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithResource(about))
	if w.traces {
		exporter, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("set up the export of spans: %w", err)
		}
		tracers = sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(exporter))
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithResource(about))
	if w.metrics {
		exporter, err := otlpmetrichttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("set up the export of metrics: %w", err)
		}
		meters = sdkmetric.NewMeterProvider(sdkmetric.WithResource(about), sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter)))
	}
	const scope = "github.com/bitvault/pawl"
	t.tracer = tracers.Tracer(scope)
	meter := meters.Meter(scope)
	var errs [4]error
	t.migrations, errs[0] = meter.Int64Counter("pawl.migrations", metric.WithDescription("Migrations by what became of them: applied, held or set aside"))
	t.durations, errs[1] = meter.Float64Histogram("pawl.migration.duration", metric.WithUnit("s"), metric.WithDescription("How long an applied migration took, with all attempts"))
	t.misses, errs[2] = meter.Int64Counter("pawl.lock.misses", metric.WithDescription("Attempts that were rolled back because a lock was not had in time"))
	t.runs, errs[3] = meter.Int64Counter("pawl.runs", metric.WithDescription("Runs by command and exit code"))
	t.stops = []func(context.Context) error{tracers.Shutdown, meters.Shutdown}
	return t, errors.Join(errs[:]...)
}

// Close sends what is left, within a few seconds.
func (t *Telemetry) Close() error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.parent), flushTime)
	defer cancel()
	var errs []error
	for _, stop := range t.stops {
		errs = append(errs, stop(ctx))
	}
	return errors.Join(errs...)
}

// Run is one command's work on one database: a span, with one below it for each migration. A nil Run hears and does nothing.
type Run struct {
	t       *Telemetry
	ctx     context.Context
	span    trace.Span
	command string
	// open are the spans of migrations that are under way.
	open map[migrate.Version]trace.Span
}

// Begin begins a run; parent is nil for a process's own, or the run that this is a part of. A nil Telemetry gives a nil Run.
func (t *Telemetry) Begin(parent *Run, command, target string) *Run {
	if t == nil {
		return nil
	}
	r := &Run{t: t, command: command, open: map[migrate.Version]trace.Span{}}
	from := t.parent
	if parent != nil {
		from = parent.ctx
	}
	attributes := []attribute.KeyValue{attribute.String("db.system.name", "postgresql"), attribute.String("pawl.command", command)}
	if target != "" {
		attributes = append(attributes, attribute.String("pawl.target", target))
	}
	r.ctx, r.span = t.tracer.Start(from, "pawl "+command, trace.WithAttributes(attributes...))
	return r
}

// Hear turns an event into spans and metrics.
func (r *Run) Hear(event migrate.Event) {
	if r == nil {
		return
	}
	switch e := event.(type) {
	case migrate.Started:
		_, span := r.t.tracer.Start(r.ctx, "apply "+e.Migration.Name, trace.WithAttributes(about(e.Migration)...), trace.WithAttributes(attribute.Stringer("pawl.phase", e.Phase)))
		r.open[e.Migration.Version] = span
	case migrate.LockMissed:
		r.t.misses.Add(r.ctx, 1)
		r.at(e.Migration).AddEvent("lock not had", trace.WithAttributes(attribute.Int("attempt", e.Attempt), attribute.Int64("timeout_ms", e.Timeout.Milliseconds()), attribute.Int("blockers", len(e.Blockers))))
	case migrate.Recovered:
		r.at(e.Migration).AddEvent("recovered", trace.WithAttributes(attribute.String("what", e.What)))
	case migrate.Applied:
		r.count("applied", e.Phase.String())
		r.t.durations.Record(r.ctx, e.Duration.Seconds(), metric.WithAttributes(attribute.Stringer("pawl.phase", e.Phase)))
		span := r.at(e.Migration)
		span.SetAttributes(attribute.Int("pawl.attempts", e.Attempts))
		if e.Decision != nil {
			span.SetAttributes(attribute.Stringer("pawl.verdict", e.Decision.Verdict))
		}
		r.end(e.Migration.Version)
	case migrate.SetAside:
		r.count("set aside", "contract")
		r.at(e.Migration).AddEvent("set aside")
		r.end(e.Migration.Version)
	case migrate.HeldBack:
		r.count("held", e.Held.Phase.String())
		attributes := append(about(e.Held.Migration), attribute.Stringer("pawl.phase", e.Held.Phase), attribute.Stringer("pawl.verdict", e.Held.Decision.Verdict))
		if e.Held.Behind != "" {
			attributes = append(attributes, attribute.String("pawl.behind", string(e.Held.Behind)))
		}
		r.span.AddEvent("held", trace.WithAttributes(attributes...))
	case migrate.Waiting:
		r.span.AddEvent("waiting for another pawl", trace.WithAttributes(attribute.Int("pid", e.Holder.PID)))
	case migrate.Drifted:
		r.span.AddEvent("drifted", trace.WithAttributes(attribute.Int("differences", len(e.Drift.Differences))))
	case migrate.Finished:
		r.span.SetAttributes(attribute.String("db.namespace", e.Result.Database), attribute.Int("pawl.applied", len(e.Result.Applied)), attribute.Int("pawl.held", len(e.Result.Held)))
	}
}

// at gives the span of a migration that is under way, or else the run's.
func (r *Run) at(m *migrate.Migration) trace.Span {
	if span, ok := r.open[m.Version]; ok {
		return span
	}
	return r.span
}

func (r *Run) end(v migrate.Version) {
	if span, ok := r.open[v]; ok {
		span.End()
		delete(r.open, v)
	}
}

func (r *Run) count(outcome, phase string) {
	r.t.migrations.Add(r.ctx, 1, metric.WithAttributes(attribute.String("pawl.outcome", outcome), attribute.String("pawl.phase", phase)))
}

func about(m *migrate.Migration) []attribute.KeyValue {
	return []attribute.KeyValue{attribute.String("pawl.migration", m.Name), attribute.String("pawl.version", string(m.Version)), attribute.String("pawl.checksum", m.Sum)}
}

// End ends the run with its exit code. A migration that is still under way has failed, or was held at the last moment.
func (r *Run) End(exit int, err error) {
	if r == nil {
		return
	}
	for v, span := range r.open {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		r.end(v)
	}
	r.span.SetAttributes(attribute.Int("process.exit.code", exit))
	if exit != 0 {
		text := ""
		if err != nil {
			text = err.Error()
		}
		r.span.SetStatus(codes.Error, text)
	}
	r.span.End()
	r.t.runs.Add(r.ctx, 1, metric.WithAttributes(attribute.String("pawl.command", r.command), attribute.Int("process.exit.code", exit)))
}
