package otel

import (
	"bytes"
	"context"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/spoold/spoold"
)

// BenchmarkSend is a record's whole way, as in the root package: with nothing that measures it, with metrics, and with
// metrics and traces that a receiver in this process takes. cpu-ns/op is the time of all threads.
func BenchmarkSend(b *testing.B) {
	for _, kind := range []string{"plain", "metrics", "traces"} {
		b.Run(kind, func(b *testing.B) {
			env := spoold.Env{}
			var m *Metrics
			if kind != "plain" {
				o := ExportOptions{Version: "v1", Getenv: none}
				if kind == "traces" {
					o.Endpoint, o.SampleRatio = newReceiver(b).URL, 0.01
				}
				e, err := NewExport(context.Background(), o)
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = e.Shutdown(context.Background()) }()
				if m, err = New("v1", e); err != nil {
					b.Fatal(err)
				}
				env.Hooks = m.Hooks()
				if tracing := e.Tracing(); tracing != nil {
					env.Tracer, env.Hooks = tracing, tracing.Hooks(env.Hooks)
				}
			}
			p, _ := open(b, env, kfake.SeedTopics(3, "t"), kfake.BlackholeProduce())
			if m != nil {
				if err := m.Watch(p.Peek); err != nil {
					b.Fatal(err)
				}
			}
			r := spoold.Record{Topic: "t", Value: bytes.Repeat([]byte("0123456789"), 10)}
			ctx := context.Background()
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuNs(b)
			for b.Loop() {
				if _, err := p.Send(ctx, r); err != nil {
					b.Fatal(err)
				}
			}
			if err := p.Flush(ctx); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(cpuNs(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

func cpuNs(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// What a record costs that is not followed.
func BenchmarkStartSend(b *testing.B) {
	tracing := NewTracing(sdktrace.NewTracerProvider(), 0)
	r := spoold.Record{Topic: "t", Headers: []spoold.Header{{Key: "k"}}}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = tracing.StartSend(context.Background(), r)
	}
}
