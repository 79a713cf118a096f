package spoold_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/protocol/codec"
)

// receiver takes the metrics that are pushed to a cluster.
type receiver struct {
	pushes     chan *kmsg.PushTelemetryRequest
	subscribed chan *kmsg.GetTelemetrySubscriptionsRequest
	codes      chan int16 // of the answers to the next pushes
}

func receive(c *cluster, prefixes []string, codecs ...int8) *receiver {
	r := &receiver{make(chan *kmsg.PushTelemetryRequest, 1000), make(chan *kmsg.GetTelemetrySubscriptionsRequest, 1000), make(chan int16, 10)}
	subscription := int32(6)
	c.ControlKey(71, func(q kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := q.(*kmsg.GetTelemetrySubscriptionsRequest)
		r.subscribed <- req
		resp := req.ResponseKind().(*kmsg.GetTelemetrySubscriptionsResponse)
		subscription++
		resp.ClientInstanceID, resp.SubscriptionID = [16]byte{1, 2, 3}, subscription
		resp.AcceptedCompressionTypes, resp.PushIntervalMillis, resp.TelemetryMaxBytes = codecs, 100, 1<<20
		resp.RequestedMetrics = prefixes
		return resp, nil, true
	})
	c.ControlKey(72, func(q kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := q.(*kmsg.PushTelemetryRequest)
		r.pushes <- req
		resp := req.ResponseKind().(*kmsg.PushTelemetryResponse)
		select {
		case resp.ErrorCode = <-r.codes:
		default:
		}
		return resp, nil, true
	})
	return r
}

func payload(t *testing.T, q *kmsg.PushTelemetryRequest) string {
	t.Helper()
	if q.CompressionType == 0 {
		return string(q.Metrics)
	}
	b, err := codec.Decompress(nil, q.Metrics, protocol.Codec(q.CompressionType), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func pushing(t *testing.T, c *cluster) *spoold.Producer {
	t.Helper()
	p, err := spoold.Open(c.config(t, t.TempDir()), spoold.Env{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.Send(patient(t), spoold.Record{Topic: "t"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Acked(patient(t)); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMetricsThatTheClusterWantsArePushed(t *testing.T) {
	t.Parallel()
	for _, codecs := range [][]int8{nil, {4, 1}, {1}, {2}, {3}} {
		c := newCluster(t, kfake.SeedTopics(1, "t"))
		r := receive(c, []string{"org.apache.kafka.producer.record."}, codecs...)
		p := pushing(t, c)
		q := <-r.pushes
		if q.SubscriptionID != 7 || q.ClientInstanceID != [16]byte{1, 2, 3} || q.Terminating || len(codecs) > 0 && q.CompressionType != codecs[0] {
			t.Errorf("codecs %v: pushed %+v", codecs, q)
		}
		text := payload(t, q)
		if !strings.Contains(text, "org.apache.kafka.producer.record.send.rate") || strings.Contains(text, "request.latency") {
			t.Errorf("codecs %v: pushed %q", codecs, text)
		}
		// The subscription has changed: it is asked for again, under the same id.
		for len(r.subscribed) > 0 {
			<-r.subscribed
		}
		r.codes <- int16(protocol.UnknownSubscriptionID)
		if again := <-r.subscribed; again.ClientInstanceID != [16]byte{1, 2, 3} {
			t.Errorf("codecs %v: subscribed as %v", codecs, again.ClientInstanceID)
		}
		for q = <-r.pushes; q.SubscriptionID != 8; q = <-r.pushes {
		}
		if err := p.Close(patient(t)); err != nil {
			t.Error(err)
		}
		last := q
		for len(r.pushes) > 0 {
			last = <-r.pushes
		}
		if !last.Terminating {
			t.Errorf("codecs %v: the last push is not the terminating one", codecs)
		}
	}
}

func TestNothingIsPushedThatNobodyWants(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	r := receive(c, nil)
	p := pushing(t, c)
	for range 2 { // it goes on asking
		<-r.subscribed
	}
	if err := p.Close(patient(t)); err != nil {
		t.Error(err)
	}
	if n := len(r.pushes); n != 0 {
		t.Errorf("%d pushes", n)
	}
}

// A codec that the receiver does not take after all is given up.
func TestAPushIsPlainWhenItsCodecIsRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	r := receive(c, []string{""}, 4)
	r.codes <- int16(protocol.UnsupportedCompressionType)
	p := pushing(t, c)
	if first, second := <-r.pushes, <-r.pushes; first.CompressionType != 4 || second.CompressionType != 0 {
		t.Errorf("pushed with codec %d, then %d; want 4, then 0", first.CompressionType, second.CompressionType)
	}
	if err := p.Close(patient(t)); err != nil {
		t.Error(err)
	}
}
