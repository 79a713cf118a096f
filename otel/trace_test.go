package otel

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltraces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spoold/spoold"
)

// patience bounds every wait of a test: reached only when something is broken.
const patience = 20 * time.Second

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func open(t testing.TB, env spoold.Env, opts ...kfake.Opt) (*spoold.Producer, *kfake.Cluster) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cfg := spoold.DefaultConfig()
	cfg.BootstrapServers, cfg.SpoolPath, cfg.SpoolMinFreeBytes = c.ListenAddrs(), t.TempDir(), 0
	p, err := spoold.Open(cfg, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(ended) })
	return p, c
}

// traced is a producer whose spans are recorded.
func traced(t *testing.T, opts ...kfake.Opt) (*spoold.Producer, *tracetest.SpanRecorder, *kfake.Cluster) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	tracing := NewTracing(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)), 1)
	p, c := open(t, spoold.Env{Tracer: tracing, Hooks: tracing.Hooks(spoold.Hooks{})}, opts...)
	return p, spans, c
}

// named waits until there are n ended spans of that name.
func named(t *testing.T, spans *tracetest.SpanRecorder, name string, n int) []sdktrace.ReadOnlySpan {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		var found []sdktrace.ReadOnlySpan
		for _, s := range spans.Ended() {
			if s.Name() == name {
				found = append(found, s)
			}
		}
		if len(found) >= n {
			return found
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d spans %s, want %d", len(found), name, n)
		}
		time.Sleep(time.Millisecond)
	}
}

func attributeOf(s sdktrace.ReadOnlySpan, key string) string {
	for _, kv := range s.Attributes() {
		if string(kv.Key) == key {
			return kv.Value.String()
		}
	}
	return ""
}

func fetch(t *testing.T, c *kfake.Cluster, n int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for len(records) < n {
		f := client.PollFetches(patient(t))
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		records = append(records, f.Records()...)
	}
	return records
}

func headerOf(r *kgo.Record, key string) (values []string) {
	for _, h := range r.Headers {
		if h.Key == key {
			values = append(values, string(h.Value))
		}
	}
	return values
}

const incoming = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// A record's own traceparent is its create span's parent, and goes on as it is; one without gets one.
func TestARecordIsFollowedFromSendToTheAck(t *testing.T) {
	p, spans, c := traced(t, kfake.SeedTopics(1, "t"))
	for _, headers := range [][]spoold.Header{{{Key: "traceparent", Value: []byte(incoming)}}, nil} {
		d, err := p.Send(patient(t), spoold.Record{Topic: "t", Headers: headers})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Acked(patient(t)); err != nil {
			t.Fatal(err)
		}
	}
	create, commits, sends := named(t, spans, "create t", 2), named(t, spans, "commit", 2), named(t, spans, "send t", 2)
	if create[0].SpanContext().TraceID().String() != "0af7651916cd43dd8448eb211c80319c" || create[0].Parent().SpanID().String() != "b7ad6b7169203331" || create[0].SpanKind() != trace.SpanKindProducer {
		t.Errorf("create span %v in %v", create[0].SpanContext(), create[0].Parent())
	}
	for i, made := range create {
		for _, s := range []sdktrace.ReadOnlySpan{commits[i], sends[i]} {
			if len(s.Links()) != 1 || s.Links()[0].SpanContext.SpanID() != made.SpanContext().SpanID() || s.SpanContext().TraceID() != made.SpanContext().TraceID() {
				t.Errorf("%s %d: links %v in trace %v, want create span %v", s.Name(), i, s.Links(), s.SpanContext(), made.SpanContext())
			}
			if s.EndTime().Before(s.StartTime()) {
				t.Errorf("%s ends before it starts", s.Name())
			}
		}
		if attributeOf(sends[i], "messaging.batch.message_count") != "1" || attributeOf(sends[i], "messaging.kafka.offset") != []string{"0", "1"}[i] || attributeOf(sends[i], "messaging.system") != "kafka" {
			t.Errorf("send span has %v", sends[i].Attributes())
		}
	}
	records := fetch(t, c, 2)
	if h := headerOf(records[0], "traceparent"); len(h) != 1 || h[0] != incoming {
		t.Errorf("traceparent %v, want it as it came", h)
	}
	if h := headerOf(records[1], "traceparent"); len(h) != 1 || !strings.Contains(h[0], create[1].SpanContext().SpanID().String()) {
		t.Errorf("traceparent %v, want the create span's", h)
	}
}

// A batch is one send span that is linked to all of its records' create spans.
func TestASendSpanIsLinkedToItsRecords(t *testing.T) {
	p, spans, _ := traced(t, kfake.SeedTopics(1, "t"))
	ds, err := p.SendBatch(patient(t), spoold.Batch{Records: []spoold.Record{{Topic: "t"}, {Topic: "t"}, {Topic: "t"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ds.Acked(patient(t)); err != nil {
		t.Fatal(err)
	}
	if s := named(t, spans, "send t", 1)[0]; len(s.Links()) != 3 || s.Parent().IsValid() || attributeOf(s, "messaging.batch.message_count") != "3" {
		t.Errorf("send span with %d links in %v: %v", len(s.Links()), s.Parent(), s.Attributes())
	}
}

// A repeat of a batch with a key must be the same records, so they get no header.
func TestABatchWithAKeyKeepsItsHeaders(t *testing.T) {
	p, spans, c := traced(t, kfake.SeedTopics(1, "t"))
	for i := range 2 {
		ds, err := p.SendBatch(patient(t), spoold.Batch{Key: "k", Records: []spoold.Record{{Topic: "t"}}})
		if err != nil || ds.Duplicate() != (i == 1) {
			t.Fatalf("SendBatch %d: duplicate %v, %v", i, ds.Duplicate(), err)
		}
		if _, err := ds.Acked(patient(t)); err != nil {
			t.Fatal(err)
		}
	}
	named(t, spans, "create t", 2)
	if h := headerOf(fetch(t, c, 1)[0], "traceparent"); h != nil {
		t.Errorf("traceparent %v", h)
	}
}

func TestWhatTheSamplerLeavesOutIsNotTouched(t *testing.T) {
	tracing := NewTracing(sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())), 1)
	r, done := tracing.StartSend(context.Background(), spoold.Record{Topic: "t"})
	if done != nil || r.Headers != nil || len(tracing.tracked) != 0 {
		t.Errorf("StartSend = %+v", r)
	}
	tracing = NewTracing(sdktrace.NewTracerProvider(), 0)
	if _, done := tracing.StartSend(context.Background(), spoold.Record{Topic: "t"}); done != nil {
		t.Error("a record without a trace began one, the ratio is 0")
	}
	if _, done := tracing.StartSend(context.Background(), spoold.Record{Topic: "t", Headers: []spoold.Header{{Key: "traceparent", Value: []byte(incoming)}}}); done == nil {
		t.Error("a record with a trace that is sampled is not followed")
	}
}

// A flood of records begins no flood of traces, but each that comes with a trace is followed.
func TestTracesThatBeginHereAreBounded(t *testing.T) {
	tracing := NewTracing(sdktrace.NewTracerProvider(), 0.999999)
	synctest.Test(t, func(*testing.T) {
		begun := 0
		for range 5000 { // a commit each millisecond, with ten records
			for range 10 {
				if _, done := tracing.StartSend(context.Background(), spoold.Record{Topic: "t"}); done != nil {
					begun++
				}
			}
			time.Sleep(time.Millisecond)
			tracing.committed(spoold.SpoolCommit{})
		}
		if begun < 5*maxBegun-5 || begun > 5*maxBegun+5 {
			t.Errorf("%d traces began in 5 s, want about %d", begun, 5*maxBegun)
		}
	})
	if _, done := tracing.StartSend(context.Background(), spoold.Record{Topic: "t", Headers: []spoold.Header{{Key: "traceparent", Value: []byte(incoming)}}}); done == nil {
		t.Error("a record with a trace that is sampled is not followed")
	}
}

func TestARefusedRecordHasASendSpanWithTheError(t *testing.T) {
	p, spans, _ := traced(t, kfake.SeedTopics(1, "t"), kfake.BrokerConfigs(map[string]string{"message.max.bytes": "1000"}))
	d, err := p.Send(patient(t), spoold.Record{Topic: "t", Value: make([]byte, 5000)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Acked(patient(t)); !errors.Is(err, spoold.ErrDeadLettered) {
		t.Fatal(err)
	}
	if s := named(t, spans, "send t", 1)[0]; attributeOf(s, "error.type") != "MESSAGE_TOO_LARGE" {
		t.Errorf("send span has %v", s.Attributes())
	}
	if _, err := p.Send(patient(t), spoold.Record{Topic: "no/topic"}); err == nil {
		t.Error("no error")
	}
	if s := named(t, spans, "create no/topic", 1)[0]; s.Status().Description != "not taken" {
		t.Errorf("create span's status %+v", s.Status())
	}
}

// What is kept of records that are not acked is bounded.
func TestTheOldestOfTooManyTrackedRecordsIsForgotten(t *testing.T) {
	tracing := NewTracing(sdktrace.NewTracerProvider(), 1)
	for i := range maxTracked + 5 {
		tracing.track(tracked{topic: strings.Repeat("x", i%7+1), since: time.UnixMilli(int64(i))})
	}
	if len(tracing.tracked) > maxTracked || tracing.tracked[0].since.UnixMilli() != maxTracked/4 {
		t.Errorf("%d are tracked, the oldest is number %d", len(tracing.tracked), tracing.tracked[0].since.UnixMilli())
	}
}

// receiver is an OTLP receiver.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	metrics map[string]bool
	spans   map[string]bool
	service string
	headers http.Header
}

func newReceiver(t testing.TB) *receiver {
	t.Helper()
	r := &receiver{metrics: map[string]bool{}, spans: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/metrics", func(w http.ResponseWriter, req *http.Request) {
		var m colmetrics.ExportMetricsServiceRequest
		r.read(t, req, &m, func() {
			for _, rm := range m.ResourceMetrics {
				for _, kv := range rm.Resource.Attributes {
					if kv.Key == "service.name" {
						r.service = kv.Value.GetStringValue()
					}
				}
				for _, sm := range rm.ScopeMetrics {
					for _, one := range sm.Metrics {
						r.metrics[one.Name] = true
					}
				}
			}
		})
		w.Header().Set("Content-Type", "application/x-protobuf")
	})
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, req *http.Request) {
		var m coltraces.ExportTraceServiceRequest
		r.read(t, req, &m, func() {
			for _, rs := range m.ResourceSpans {
				for _, ss := range rs.ScopeSpans {
					for _, one := range ss.Spans {
						r.spans[one.Name] = true
					}
				}
			}
		})
		w.Header().Set("Content-Type", "application/x-protobuf")
	})
	r.Server = httptest.NewServer(mux)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) read(t testing.TB, req *http.Request, m proto.Message, then func()) {
	body, err := io.ReadAll(req.Body)
	if err == nil {
		err = proto.Unmarshal(body, m)
	}
	if err != nil {
		t.Error(err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.headers = req.Header
	then()
}

func TestMetricsAndSpansReachAnOTLPReceiver(t *testing.T) {
	r := newReceiver(t)
	e, err := NewExport(context.Background(), ExportOptions{Version: "v1", Endpoint: r.URL, SampleRatio: 1, Headers: map[string]string{"token": "secret"}, Getenv: none})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New("v1", e)
	if err != nil {
		t.Fatal(err)
	}
	tracing := e.Tracing()
	p, _ := open(t, spoold.Env{Tracer: tracing, Hooks: tracing.Hooks(m.Hooks())}, kfake.SeedTopics(1, "t"))
	if err := m.Watch(p.Status); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Send(patient(t), spoold.Record{Topic: "t"}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Flush(patient(t)), m.Shutdown(patient(t)), e.Shutdown(patient(t))); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.metrics["spoold.acked.records"] || !r.metrics["messaging.client.operation.duration"] || !r.spans["create t"] || r.service != "spoold" || r.headers.Get("token") != "secret" {
		t.Errorf("received %v, %v, service %q", r.metrics, r.spans, r.service)
	}
}

func none(string) string { return "" }

func TestWhatIsExportedFollowsTheEnvironment(t *testing.T) {
	for _, tt := range []struct {
		env             map[string]string
		endpoint        string
		metrics, traces bool
	}{
		{nil, "", false, false},
		{nil, "http://localhost:4318", true, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, "", true, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318/v1/traces"}, "", false, true},
		{map[string]string{"OTEL_METRICS_EXPORTER": "otlp"}, "", true, false},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none"}, "http://localhost:4318", true, false},
		{map[string]string{"OTEL_SDK_DISABLED": "true"}, "http://localhost:4318", false, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http://localhost:4317", true, true},
	} {
		e, err := NewExport(context.Background(), ExportOptions{Endpoint: tt.endpoint, Getenv: func(k string) string { return tt.env[k] }})
		if err != nil {
			t.Errorf("%v: %v", tt.env, err)
			continue
		}
		if (e.Reader != nil) != tt.metrics || (e.Traces != nil) != tt.traces {
			t.Errorf("%v, endpoint %q: metrics %v, traces %v", tt.env, tt.endpoint, e.Reader != nil, e.Traces != nil)
		}
		if e.Reader != nil {
			_ = e.Reader.Shutdown(ended)
		}
		_ = e.Shutdown(ended)
	}
}

func TestAnExportThatCannotWorkIsRefused(t *testing.T) {
	for _, o := range []ExportOptions{
		{Endpoint: "localhost:4318"},
		{Endpoint: "http://localhost:4318", Protocol: "http/json"},
		{Endpoint: "https://localhost:4318", Certificate: "/nowhere"},
		{Endpoint: "https://localhost:4318", Certificate: "trace.go"},
		{Endpoint: "ftp://localhost", Protocol: "grpc"},
	} {
		o.Getenv = none
		if _, err := NewExport(context.Background(), o); err == nil {
			t.Errorf("NewExport(%+v) is content", o)
		}
	}
}
