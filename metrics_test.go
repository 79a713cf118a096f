package spoold

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/spoold/spoold/sender/loop"
)

func metric(t *testing.T, p *Producer, name string) float64 {
	t.Helper()
	for _, m := range p.Metrics() {
		if m.Name == name {
			return m.Value
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// Two requests in the window, one before it, one without an answer.
func TestMetricsAreRatesAndAveragesOfTheLastThirtySeconds(t *testing.T) {
	p, _ := offline(t)
	defer func() { _ = p.Close(closed()) }()
	now := time.Now()
	p.meter = newMeter(func() time.Time { return now })
	p.meter.produced(&loop.Produced{Batches: 9, Records: 9000, Bytes: 9, Uncompressed: 9, Duration: time.Hour})
	now = now.Add(60 * time.Second)
	p.meter.produced(&loop.Produced{Batches: 2, Records: 60, Bytes: 500, Uncompressed: 1000, Duration: 10 * time.Millisecond, Throttle: 4 * time.Millisecond, Splits: 3})
	p.meter.produced(&loop.Produced{Batches: 2, Records: 30, Bytes: 500, Uncompressed: 1000, Duration: 20 * time.Millisecond})
	p.meter.produced(&loop.Produced{Batches: 1, Records: 30, Duration: time.Minute, Err: errors.New("closed")})
	p.meter.note(&sent{retries: 6, deadLetter: 15})
	ended := p.meter.blocked()
	if n := metric(t, p, "waiting-threads"); n != 1 {
		t.Errorf("waiting-threads %v, want 1", n)
	}
	now = now.Add(3 * time.Second)
	ended()
	for name, want := range map[string]float64{
		"record-send-rate": 4, "record-retry-rate": 0.2, "record-error-rate": 0.5, "records-per-request-avg": 40, "batch-size-avg": 250,
		"batch-split-rate": 0.1, "compression-rate-avg": 0.5, "request-rate": 0.1, "request-latency-avg": 15, "request-latency-max": 20,
		"produce-throttle-time-avg": 2, "produce-throttle-time-max": 4, "waiting-threads": 0, "bufferpool-wait-ratio": 0.1,
		"bufferpool-wait-time-ns": 3e9, "buffer-total-bytes": 1 << 30, "requests-in-flight": 0, "metadata-age": 0,
	} {
		if got := metric(t, p, name); math.Abs(got-want) > 1e-9 {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	now = now.Add(time.Minute)
	for _, name := range []string{"record-send-rate", "request-latency-avg", "request-latency-max", "bufferpool-wait-ratio"} {
		if got := metric(t, p, name); got != 0 {
			t.Errorf("%s is %v a minute later, want 0", name, got)
		}
	}
}

// On a quiet host nothing is published: ages must grow all the same.
func TestAgesAreThoseOfTheMomentTheyAreAskedFor(t *testing.T) {
	p, _ := offline(t)
	defer func() { _ = p.Close(closed()) }()
	sendOne(t, p)
	deadline := time.Now().Add(10 * time.Second)
	for p.Status().OldestAgeSeconds == 0 { // the loop has not received the commit
		if time.Now().After(deadline) {
			t.Fatal("a pending record has no age")
		}
	}
	snapshot := p.engines.now.Load().loop.Snapshot()
	var last float64
	for grown := 0; grown < 3; {
		st := p.status(snapshot) // always the same one
		if age := st.OldestAgeSeconds; age > last {
			grown, last = grown+1, age
		}
		if st.Topics[0].OldestAgeSeconds < last {
			t.Fatalf("the topic's age is %v, the spool's %v", st.Topics[0].OldestAgeSeconds, last)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the age stands still at %v", last)
		}
	}
}
