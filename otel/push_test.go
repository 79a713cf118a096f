package otel_test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spoold/spoold"
)

// What a Producer pushes to a cluster (KIP-714) is what OpenTelemetry's own library reads.
func TestPushedMetricsAreOTLP(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pushed := make(chan []byte, 100)
	c.ControlKey(71, func(q kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := q.ResponseKind().(*kmsg.GetTelemetrySubscriptionsResponse)
		resp.PushIntervalMillis, resp.RequestedMetrics = 100, []string{""}
		return resp, nil, true
	})
	c.ControlKey(72, func(q kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		pushed <- q.(*kmsg.PushTelemetryRequest).Metrics
		return q.ResponseKind(), nil, true
	})
	cfg := spoold.DefaultConfig()
	cfg.BootstrapServers, cfg.SpoolPath, cfg.SpoolMaxBytes = c.ListenAddrs(), t.TempDir(), 64<<20
	p, err := spoold.Open(cfg, spoold.Env{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var data metricspb.MetricsData
	select {
	case b := <-pushed:
		if err := proto.Unmarshal(b, &data); err != nil {
			t.Fatal(err)
		}
	case <-ctx.Done():
		t.Fatal("nothing was pushed")
	}
	if len(data.ResourceMetrics) != 1 || len(data.ResourceMetrics[0].ScopeMetrics) != 1 {
		t.Fatalf("%v", &data)
	}
	scope := data.ResourceMetrics[0].ScopeMetrics[0]
	if scope.Scope.Name != "github.com/spoold/spoold" || len(scope.Metrics) != len(p.Metrics()) {
		t.Errorf("scope %v, %d metrics, want %d", scope.Scope, len(scope.Metrics), len(p.Metrics()))
	}
	for _, m := range scope.Metrics {
		points := m.GetGauge().GetDataPoints()
		if len(points) != 1 || points[0].TimeUnixNano < points[0].StartTimeUnixNano || points[0].StartTimeUnixNano == 0 || len(m.ProtoReflect().GetUnknown()) > 0 {
			t.Errorf("%v", m)
		}
		if m.Name == "org.apache.kafka.producer.buffer.total.bytes" && points[0].GetAsDouble() != float64(64<<20) {
			t.Errorf("%v, want %d", m, 64<<20)
		}
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
}
