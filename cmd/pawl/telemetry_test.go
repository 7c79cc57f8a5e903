package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	colmetricpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/bitvault/pawl/internal/pgtest"
)

// collector receives OTLP over HTTP, as a real one does.
type collector struct {
	mu      sync.Mutex
	spans   []*tracepb.Span
	about   map[string]string
	metrics map[string]bool
	headers http.Header
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = z
	}
	data, err := io.ReadAll(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.headers = r.Header
	switch r.URL.Path {
	case "/v1/traces":
		var e coltracepb.ExportTraceServiceRequest
		err = proto.Unmarshal(data, &e)
		for _, rs := range e.GetResourceSpans() {
			c.about = values(rs.GetResource().GetAttributes())
			for _, ss := range rs.GetScopeSpans() {
				c.spans = append(c.spans, ss.GetSpans()...)
			}
		}
	case "/v1/metrics":
		var e colmetricpb.ExportMetricsServiceRequest
		err = proto.Unmarshal(data, &e)
		for _, rm := range e.GetResourceMetrics() {
			for _, sm := range rm.GetScopeMetrics() {
				for _, m := range sm.GetMetrics() {
					c.metrics[m.GetName()] = true
				}
			}
		}
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func values(list []*commonpb.KeyValue) map[string]string {
	out := map[string]string{}
	for _, kv := range list {
		out[kv.GetKey()] = kv.GetValue().GetStringValue()
	}
	return out
}

// A run sends a span for itself and one for each migration below it, and its metrics, to where the standard variables say; without
// them nothing is sent, and a collector that is away keeps nothing from working.
func TestTelemetry(t *testing.T) {
	db := pgtest.Database(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "0001_a.sql"), []byte("create table a (id int);"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "0002_i.sql"), []byte("create index concurrently i on a (id);"), 0o600))
	c := &collector{metrics: map[string]bool{}}
	server := httptest.NewServer(c)
	defer server.Close()
	pawl := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		code := run(context.Background(), append(args, "--dir", dir, "--database-url", db.URL, "--format", "text"), &out, &errs)
		return code, errs.String()
	}

	code, _ := pawl("plan")
	require.Equal(t, exitOK, code)
	require.Empty(t, c.spans, "off by default")

	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	t.Setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	code, text := pawl("migrate")
	require.Equal(t, exitOK, code, text)
	byName := map[string]*tracepb.Span{}
	for _, s := range c.spans {
		byName[s.GetName()] = s
	}
	root := byName["pawl migrate"]
	require.NotNil(t, root, "%v", byName)
	require.Len(t, c.spans, 3)
	require.Equal(t, []byte{0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c}, root.GetTraceId())
	for _, name := range []string{"apply 0001_a.sql", "apply 0002_i.sql"} {
		require.Equal(t, root.GetSpanId(), byName[name].GetParentSpanId(), name)
		require.Equal(t, "expand", values(byName[name].GetAttributes())["pawl.phase"])
		require.NotEmpty(t, values(byName[name].GetAttributes())["pawl.checksum"])
	}
	require.Equal(t, "pawl", c.about["service.name"])
	require.Equal(t, "test", c.about["deployment.environment.name"])
	require.Equal(t, "secret", c.headers.Get("X-Key"))
	for _, name := range []string{"pawl.migrations", "pawl.migration.duration", "pawl.runs"} {
		require.True(t, c.metrics[name], name)
	}

	// a failure is one of the span's
	require.NoError(t, os.WriteFile(filepath.Join(dir, "0003_bad.sql"), []byte("create table a (id int);"), 0o600))
	c.spans = nil
	code, _ = pawl("migrate")
	require.Equal(t, exitFailure, code)
	for _, s := range c.spans {
		require.Equal(t, tracepb.Status_STATUS_CODE_ERROR, s.GetStatus().GetCode(), s.GetName())
		require.Contains(t, s.GetStatus().GetMessage(), `relation "a" already exists`)
	}
	require.Len(t, c.spans, 2)
	require.NoError(t, os.Remove(filepath.Join(dir, "0003_bad.sql")))

	for _, off := range [][2]string{{"OTEL_SDK_DISABLED", "true"}, {"OTEL_TRACES_EXPORTER", "none"}} {
		c.spans = nil
		t.Setenv(off[0], off[1])
		code, _ = pawl("migrate")
		require.Equal(t, exitOK, code)
		require.Empty(t, c.spans, off[0])
		t.Setenv(off[0], "")
	}
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	code, text = pawl("migrate")
	require.Equal(t, exitOK, code)
	require.Contains(t, text, "pawl speaks http/protobuf")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "")

	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "300")
	code, text = pawl("migrate")
	require.Equal(t, exitOK, code)
	require.Contains(t, text, "telemetry not sent")
}
