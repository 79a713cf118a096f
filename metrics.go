package spoold

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/spoold/spoold/sender/loop"
)

// Metric is one of Apache Kafka's producer metrics (group producer-metrics) at one moment. docs/metrics.md
// lists them beside the instruments of package otel.
type Metric struct {
	Name        string // Kafka's, such as record-send-rate
	Value       float64
	Unit        string // "1/s", "By/s", "ms", "s", "ns", "By", "{record}", "1" (a ratio) or "{request}" and its like
	Description string
}

// metricWindow is what rates, averages and maxima are taken over, as with Kafka's metrics.sample.window.ms.
const metricWindow = 30 * time.Second

// sent is a sum over Produce requests.
type sent struct {
	requests, answers          int64
	records, batches           int64
	bytes, raw                 int64
	answeredBatches            int64
	latency, throttle          time.Duration
	maxLatency, maxThrottle    time.Duration // not sums: within one second
	acked, retries, deadLetter int64
	splits                     int64
	wait                       time.Duration // that callers of Send waited for room
}

func (s *sent) add(o *sent) {
	s.requests += o.requests
	s.answers += o.answers
	s.records += o.records
	s.batches += o.batches
	s.bytes += o.bytes
	s.raw += o.raw
	s.answeredBatches += o.answeredBatches
	s.latency += o.latency
	s.throttle += o.throttle
	s.maxLatency = max(s.maxLatency, o.maxLatency)
	s.maxThrottle = max(s.maxThrottle, o.maxThrottle)
	s.acked += o.acked
	s.retries += o.retries
	s.deadLetter += o.deadLetter
	s.splits += o.splits
	s.wait += o.wait
}

// meter keeps the last window, a second a slot. Its methods are called once per request
// or batch, never per record.
type meter struct {
	now     func() time.Time
	opened  time.Time
	waiting atomic.Int64 // callers of Send that wait for room
	waited  atomic.Int64 // ns that they have, in all

	mu    sync.Mutex
	slots [metricWindow / time.Second]slot
	last  time.Duration // of the newest Produce request
}

type slot struct {
	second int64 // since opened
	sum    sent
}

func newMeter(now func() time.Time) *meter { return &meter{now: now, opened: now()} }

// note adds to the slot of the present second.
func (m *meter) note(o *sent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	second := int64(m.now().Sub(m.opened) / time.Second)
	s := &m.slots[second%int64(len(m.slots))]
	if s.second != second {
		*s = slot{second: second}
	}
	s.sum.add(o)
}

// window is the sum over the window, and how long that has been: shorter after the start.
func (m *meter) window() (sum sent, seconds float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	age := m.now().Sub(m.opened)
	second := int64(age / time.Second)
	for i := range m.slots {
		if m.slots[i].second > second-int64(len(m.slots)) {
			sum.add(&m.slots[i].sum)
		}
	}
	return sum, min(max(age, time.Second), metricWindow).Seconds()
}

// produced takes what is known of a Produce request. The loop's goroutine calls it.
func (m *meter) produced(s *loop.Produced) {
	o := sent{requests: 1, records: int64(s.Records), batches: int64(s.Batches), splits: int64(s.Splits)}
	if s.Err == nil {
		o.answers, o.answeredBatches = 1, int64(s.Batches)
		o.bytes, o.raw = int64(s.Bytes), int64(s.Uncompressed)
		o.latency, o.maxLatency = s.Duration, s.Duration
		o.throttle, o.maxThrottle = s.Throttle, s.Throttle
	}
	m.note(&o)
	m.mu.Lock()
	m.last = s.Duration
	m.mu.Unlock()
}

// lastLatency is the duration of the newest Produce request.
func (m *meter) lastLatency() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// blocked times a wait for room: the result ends it.
func (m *meter) blocked() func() {
	m.waiting.Add(1)
	since := m.now()
	return func() {
		m.waiting.Add(-1)
		d := m.now().Sub(since)
		m.waited.Add(int64(d))
		m.note(&sent{wait: d})
	}
}

// Metrics is what Kafka's producer would say of this one, always the same names in the same
// order. Rates, averages and maxima are over the last 30 seconds, or since Open if that is less; an
// average of nothing is 0. It costs little, and waits for nobody. Safe for concurrent use.
func (p *Producer) Metrics() []Metric {
	w, seconds := p.meter.window()
	st := p.Peek()
	rate := func(n int64) float64 { return float64(n) / seconds }
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	per := func(sum float64, n int64) float64 {
		if n == 0 {
			return 0
		}
		return sum / float64(n)
	}
	compression := 1.0
	if w.raw > 0 {
		compression = float64(w.bytes) / float64(w.raw)
	}
	return []Metric{
		{"record-send-rate", rate(w.records), "1/s", "Records in Produce requests, those sent again included."},
		{"record-retry-rate", rate(w.retries), "1/s", "Batches sent again under the same identity."},
		{"record-error-rate", rate(w.deadLetter), "1/s", "Records that the cluster refused for good."},
		{"records-per-request-avg", per(float64(w.records), w.requests), "{record}", "Records per Produce request."},
		{"batch-size-avg", per(float64(w.bytes), w.answeredBatches), "By", "Bytes per batch on the wire."},
		{"batch-split-rate", rate(w.splits), "1/s", "Batches that were cut because the broker refused them."},
		{"compression-rate-avg", compression, "1", "Bytes of batches on the wire for one byte before compression."},
		{"outgoing-byte-rate", rate(w.bytes), "By/s", "Bytes of batches on the wire."},
		{"request-rate", rate(w.requests), "1/s", "Produce requests."},
		{"request-latency-avg", per(ms(w.latency), w.answers), "ms", "From sending a Produce request to its answer."},
		{"request-latency-max", ms(w.maxLatency), "ms", "The longest of them."},
		{"produce-throttle-time-avg", per(ms(w.throttle), w.answers), "ms", "How long the broker asked to wait after a Produce request."},
		{"produce-throttle-time-max", ms(w.maxThrottle), "ms", "The longest of them."},
		{"requests-in-flight", float64(st.RequestsInFlight), "{request}", "Requests of all kinds that wait for an answer."},
		{"connection-count", float64(st.Brokers), "{connection}", "Open connections to brokers."},
		{"metadata-age", st.MetadataAgeSeconds, "s", "Age of what is known of the cluster; 0 before the first contact."},
		{"waiting-threads", float64(p.meter.waiting.Load()), "{caller}", "Callers of Send that wait for room in the spool."},
		{"bufferpool-wait-ratio", w.wait.Seconds() / seconds, "1", "Share of the time that callers waited for room in the spool; above 1 if several did."},
		{"bufferpool-wait-time-ns", float64(w.wait), "ns", "Time that callers waited for room in the spool."},
		{"buffer-total-bytes", float64(st.SpoolLimitBytes), "By", "What the spool may take (spool.max.bytes)."},
		{"buffer-available-bytes", float64(max(0, st.SpoolLimitBytes-st.SpoolBytes)), "By", "What the spool has not taken of it."},
	}
}
