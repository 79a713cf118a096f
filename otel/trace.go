package otel

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/spoold/spoold"
)

// Tracing makes spans of a record's way, for the records that the sampler takes:
//
//   - "create TOPIC" (producer), while Send takes the record. Its parent is the context in the record's
//     traceparent header, or else the span in Send's context. A record without that header gets one,
//     and one that has it is sent as it is.
//   - "commit" (internal), one for each commit of the spool that has such records, linked to their
//     create spans.
//   - "send TOPIC" (client), one for each acked batch that has such records, from the Produce request to its answer,
//     linked to their create spans; and one for each of them that the cluster refused.
//
// No span is open while a record waits in the spool, which may be for hours. What is kept of a record until its
// ack is bounded (maxTracked): beyond it, and after a restart, a record has no send span. It is a spoold.Tracer, whose
// Hooks must be the producer's, too; safe for concurrent use.
type Tracing struct {
	tracer trace.Tracer
	ratio  float64
	wait   atomic.Bool  // no trace begins here until a commit lets it
	begun  atomic.Int64 // when the last one did, ns since 1970

	metrics *Metrics // nil: none

	mu        sync.Mutex
	tracked   []tracked // in the order of their Sends
	unspooled int       // where those begin that no commit had yet
}

// tracked is a record whose spans are not all there yet.
type tracked struct {
	span     trace.SpanContext // its create span
	topic    string
	delivery spoold.Delivery
	since    time.Time
}

const (
	maxTracked = 512
	maxBegun   = 100 // traces that begin here in a second, unless ratio is 1
	maxLinks   = 128 // the SDK's limit
	maxLooked  = 16  // tracked records that a batch's ack looks at and finds still waiting
)

// NewTracing makes spans with the provider's tracer. ratio is how many of the records that come without a trace
// are given to its sampler, 0 to 1, and at most 100 of them a second unless it is 1: a sampler that leaves out nearly all would cost more than sending the record.
func NewTracing(provider trace.TracerProvider, ratio float64) *Tracing {
	return &Tracing{tracer: provider.Tracer("github.com/spoold/spoold"), ratio: ratio}
}

// Measure has the metrics take how long traced records took from Send to their ack. To be called before the first Send.
func (t *Tracing) Measure(m *Metrics) { t.metrics = m }

// carrier is a record's headers as propagation.TraceContext wants them.
type carrier struct{ headers *[]spoold.Header }

func (c carrier) Get(key string) string {
	for _, h := range *c.headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func (c carrier) Set(key, value string) {
	*c.headers = append(*c.headers, spoold.Header{Key: key, Value: []byte(value)})
}

func (c carrier) Keys() []string {
	var keys []string
	for _, h := range *c.headers {
		keys = append(keys, h.Key)
	}
	return keys
}

// StartSend begins a record's create span.
func (t *Tracing) StartSend(ctx context.Context, r spoold.Record) (spoold.Record, func(spoold.Delivery, error)) {
	// Nearly every record comes by here and is not followed: this costs a few nanoseconds.
	has := len(r.Headers) > 0 && slices.ContainsFunc(r.Headers, func(h spoold.Header) bool { return h.Key == "traceparent" })
	if !has && !t.begins() && (ctx == context.Background() || !trace.SpanContextFromContext(ctx).IsValid()) {
		return r, nil
	}
	return t.follow(ctx, r, has)
}

// begins decides whether a record without a trace begins one. After one that does none do until a commit that comes at least
// a hundredth of a second later, so that a flood of records is not followed by one of spans.
func (t *Tracing) begins() bool {
	if t.ratio >= 1 {
		return true
	}
	if t.ratio <= 0 || t.wait.Load() || rand.Float64() >= t.ratio || t.wait.Swap(true) {
		return false
	}
	t.begun.Store(time.Now().UnixNano())
	return true
}

// mayBegin lets the next trace begin, if it is time.
func (t *Tracing) mayBegin(now time.Time) {
	if t.wait.Load() {
		if since := now.UnixNano() - t.begun.Load(); since < 0 || since >= int64(time.Second/maxBegun) {
			t.wait.Store(false)
		}
	}
}

func (t *Tracing) follow(ctx context.Context, r spoold.Record, has bool) (spoold.Record, func(spoold.Delivery, error)) {
	headers := slices.Clip(r.Headers)
	own := carrier{&headers}
	if has {
		ctx = propagation.TraceContext{}.Extract(ctx, own)
	}
	ctx, span := t.tracer.Start(ctx, "create "+r.Topic, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		attribute.String("messaging.system", "kafka"), attribute.String("messaging.operation.name", "create"),
		attribute.String("messaging.operation.type", "create"), attribute.String("messaging.destination.name", r.Topic)))
	if !span.SpanContext().IsSampled() {
		span.End()
		return r, nil
	}
	if !has {
		propagation.TraceContext{}.Inject(ctx, own)
		r.Headers = headers
	}
	since := time.Now()
	return r, func(d spoold.Delivery, err error) {
		if err != nil {
			span.RecordError(err)
			span.SetStatus(codes.Error, "not taken")
		} else {
			t.track(tracked{span: span.SpanContext(), topic: r.Topic, delivery: d, since: since})
		}
		span.End()
	}
}

// track keeps a record until its ack. With too many the oldest quarter is forgotten.
func (t *Tracing) track(r tracked) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.tracked) >= maxTracked {
		t.tracked = slices.Delete(t.tracked, 0, maxTracked/4)
		t.unspooled = max(t.unspooled-maxTracked/4, 0)
	}
	t.tracked = append(t.tracked, r)
}

// Hooks calls those of h, and makes the spans of commits and batches.
func (t *Tracing) Hooks(h spoold.Hooks) spoold.Hooks {
	after(&h.SpoolCommit, t.committed)
	after(&h.BatchAcked, t.acked)
	after(&h.RecordDeadLettered, t.refused)
	return h
}

// after has then called after what the hook does already.
func after[E any](hook *func(E), then func(E)) {
	first := *hook
	*hook = func(e E) {
		if first != nil {
			first(e)
		}
		then(e)
	}
}

// ended is a context that waits for nothing.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func (t *Tracing) committed(c spoold.SpoolCommit) {
	now := time.Now()
	t.mayBegin(now)
	links := t.spooled()
	if len(links) == 0 {
		return
	}
	_, span := t.tracer.Start(parentOf(links), "commit", trace.WithTimestamp(now.Add(-c.Duration)), trace.WithLinks(links...), trace.WithAttributes(
		attribute.Int("spoold.spool.commit.records", c.Records), attribute.Int("spoold.spool.commit.size", c.Bytes)))
	span.End(trace.WithTimestamp(now))
}

// spooled are links to the tracked records that have become spooled. They do so in the order of their Sends, about: the
// first that has not ends the search.
func (t *Tracing) spooled() (links []trace.Link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ; t.unspooled < len(t.tracked); t.unspooled++ {
		r := &t.tracked[t.unspooled]
		if err := r.delivery.Spooled(ended); errors.Is(err, context.Canceled) {
			break
		} else if err == nil && len(links) < maxLinks {
			links = append(links, trace.Link{SpanContext: r.span})
		}
	}
	return links
}

// parentOf is the context of the only create span that a span is linked to: then it is shown in the record's own
// trace. A span of several records is the beginning of a trace.
func parentOf(links []trace.Link) context.Context {
	if len(links) == 1 {
		return trace.ContextWithSpanContext(context.Background(), links[0].SpanContext)
	}
	return context.Background()
}

// outcome is a tracked record whose outcome is known.
type outcome struct {
	tracked
	ack spoold.Ack
	err error
}

// take removes the records of a topic whose outcome is known. As acks come in the order of Sends, about, it ends behind
// some that wait still; what it does not see is seen at a later ack.
func (t *Tracing) take(topic string) []outcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	var known []outcome
	waiting, kept, spooled := 0, 0, t.unspooled
	for i := range t.tracked {
		r := &t.tracked[i]
		if r.topic == topic && waiting < maxLooked {
			if ack, err, ok := r.delivery.TryAcked(); ok {
				known = append(known, outcome{*r, ack, err})
				if i < t.unspooled {
					spooled--
				}
				continue
			}
			waiting++
		}
		if len(known) > 0 {
			t.tracked[kept] = *r
		} else if waiting == maxLooked {
			return nil
		}
		kept++
	}
	clear(t.tracked[kept:])
	t.tracked, t.unspooled = t.tracked[:kept], spooled
	return known
}

func (t *Tracing) acked(e spoold.BatchAcked) {
	var batch []outcome
	for _, o := range t.take(e.Topic) {
		if o.err == nil && o.ack.Partition == e.Partition && (o.ack.Offset < 0 || o.ack.Offset >= e.Offset && o.ack.Offset < e.Offset+int64(e.Records)) {
			batch = append(batch, o)
			continue
		}
		t.one(&o) // it was acked before it was tracked, or it is a dead letter
	}
	if len(batch) > 0 {
		t.send(e.Topic, e.Latency, batch, attribute.Int("messaging.batch.message_count", e.Records), attribute.String("spoold.acked.by", e.How))
	}
}

func (t *Tracing) refused(e spoold.RecordDeadLettered) {
	for _, o := range t.take(e.Topic) {
		t.one(&o)
	}
}

// one is the send span of a record alone.
func (t *Tracing) one(o *outcome) {
	if !errors.Is(o.err, spoold.ErrClosed) {
		t.send(o.topic, 0, []outcome{*o})
	}
}

// send is the send span of records of one batch.
func (t *Tracing) send(topic string, latency time.Duration, batch []outcome, more ...attribute.KeyValue) {
	now := time.Now()
	links := make([]trace.Link, 0, min(len(batch), maxLinks))
	var dwell time.Duration
	for i := range batch {
		took := now.Sub(batch[i].since)
		dwell = max(dwell, took)
		if t.metrics != nil && batch[i].err == nil {
			t.metrics.dwell.Record(trace.ContextWithSpanContext(context.Background(), batch[i].span), took.Seconds())
		}
		if len(links) < maxLinks {
			links = append(links, trace.Link{SpanContext: batch[i].span})
		}
	}
	attributes := append(sendAttributes(), attribute.String("messaging.operation.type", "send"), attribute.String("messaging.destination.name", topic),
		attribute.Int64("spoold.spool.dwell_ms", dwell.Milliseconds()))
	if o := &batch[0]; o.err == nil {
		attributes = append(attributes, attribute.String("messaging.destination.partition.id", strconv.Itoa(int(o.ack.Partition))))
		if len(batch) == 1 && o.ack.Offset >= 0 {
			attributes = append(attributes, attribute.Int64("messaging.kafka.offset", o.ack.Offset))
		}
	}
	_, span := t.tracer.Start(parentOf(links), "send "+topic, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(now.Add(-latency)),
		trace.WithLinks(links...), trace.WithAttributes(append(attributes, more...)...))
	if err := batch[0].err; err != nil {
		var refused *spoold.RefusedError
		if errors.As(err, &refused) {
			span.SetAttributes(attribute.String("error.type", refused.Code))
		}
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	span.End(trace.WithTimestamp(now))
}
