package otel

import (
	"context"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/spoold/spoold"
)

// Metrics is one Producer's. Safe for concurrent use.
type Metrics struct {
	provider *sdk.MeterProvider
	registry *prometheus.Registry
	meter    metric.Meter

	commitSeconds metric.Float64Histogram
	commitRecords metric.Int64Histogram
	commitBytes   metric.Int64Histogram
	sent          metric.Int64Counter
	operation     metric.Float64Histogram
	requestRecs   metric.Int64Histogram
	wireBytes     metric.Int64Counter
	rawBytes      metric.Int64Counter
	throttle      metric.Float64Histogram
	splits        metric.Int64Counter
	batchRecords  metric.Int64Histogram
	batchBytes    metric.Int64Histogram
	retries       metric.Int64Counter
	epochBumps    metric.Int64Counter
	appended      metric.Int64Counter
	duplicates    metric.Int64Counter
	rejected      metric.Int64Counter
	linkChanges   metric.Int64Counter
	linkState     atomic.Value // the last one counted: another reason for it is no change
	dwell         metric.Float64Histogram
	recoveredSeal atomic.Int64
	topics        sync.Map // attributes by topic
}

// Buckets. A sync takes 0.1 ms on a good disk and seconds on a bad one.
var (
	secondsBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	dwellBuckets   = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 86400}
	countBuckets   = []float64{1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000}
	bytesBuckets   = []float64{256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20}
)

// New makes the instruments. version is spoold's. With an Export that has a Reader they are exported, too; nil: for
// Prometheus alone.
func New(version string, e *Export) (*Metrics, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reader, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutScopeInfo(),
		exporter.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes))
	if err != nil {
		return nil, err
	}
	options := []sdk.Option{sdk.WithReader(reader)}
	switch {
	case e != nil && e.Resource != nil:
		options = append(options, sdk.WithResource(e.Resource))
	default:
		options = append(options, sdk.WithResource(resource.NewSchemaless(serviceAttributes(version)...)))
	}
	if e != nil && e.Reader != nil {
		options = append(options, sdk.WithReader(e.Reader))
	}
	m := &Metrics{provider: sdk.NewMeterProvider(options...), registry: registry}
	m.meter = m.provider.Meter("github.com/spoold/spoold")
	b := builder{meter: m.meter}
	m.commitSeconds = b.seconds("spoold.spool.commit.duration", "Spool commits, sync included.")
	m.commitRecords = b.histogram("spoold.spool.commit.records", "{record}", "Records per spool commit.", countBuckets)
	m.commitBytes = b.histogram("spoold.spool.commit.size", "By", "Bytes per spool commit.", bytesBuckets)
	m.sent = b.counter("messaging.client.sent.messages", "{message}", "Records whose sending has ended: acked, or refused for good (error.type).")
	m.operation = b.seconds("messaging.client.operation.duration", "Produce requests, from sending to the answer.")
	m.requestRecs = b.histogram("spoold.produce.request.records", "{record}", "Records per Produce request.", countBuckets)
	m.wireBytes = b.counter("spoold.produce.wire", "By", "Bytes of batches in answered Produce requests, as they went on the wire.")
	m.rawBytes = b.counter("spoold.produce.uncompressed", "By", "Bytes of the same batches before compression.")
	m.throttle = b.seconds("spoold.produce.throttle.duration", "How long brokers asked to wait after a Produce request.")
	m.splits = b.counter("spoold.batch.splits", "{batch}", "Batches cut because the broker refused them.")
	m.batchRecords = b.histogram("spoold.batch.records", "{record}", "Records per acked batch.", countBuckets)
	m.batchBytes = b.histogram("spoold.batch.size", "By", "Bytes per acked batch, before compression.", bytesBuckets)
	m.retries = b.counter("spoold.produce.retries", "", "Batches sent once more under the same identity, by what was answered before.")
	m.epochBumps = b.counter("spoold.producer.epoch.bumps", "", "Partitions that went on under the next producer epoch.")
	m.appended = b.counter("spoold.spool.appended.records", "", "Records spooled by an ingress, since this start.")
	m.duplicates = b.counter("spoold.duplicate.requests", "", "Requests that came again with their idempotency key.")
	m.rejected = b.counter("spoold.rejected.records", "", "Records that were refused, by reason; a request that cannot be read counts as one.")
	m.dwell = b.secondsIn(dwellBuckets, "spoold.record.dwell", "From Send to the ack, of the records that are traced; with exemplars.")
	m.linkChanges = b.counter("spoold.link.changes", "", "Times the cluster was reached or lost.")
	info := b.gauge("spoold.build.info", "", "What runs here; always 1.")
	if b.err != nil {
		return nil, b.err
	}
	labels := metric.WithAttributes(attribute.String("version", version), attribute.String("go", runtime.Version()))
	_, err = m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(info, 1, labels)
		return nil
	}, info)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// serviceAttributes say in target_info and to receivers of OTLP what this is.
func serviceAttributes(version string) []attribute.KeyValue {
	return []attribute.KeyValue{attribute.String("service.name", "spoold"), attribute.String("service.version", version)}
}

// Shutdown exports what is left, until ctx ends.
func (m *Metrics) Shutdown(ctx context.Context) error { return m.provider.Shutdown(ctx) }

// Handler answers /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// Hooks are to be given to spoold.Open.
func (m *Metrics) Hooks() spoold.Hooks {
	ctx := context.Background()
	return spoold.Hooks{
		SpoolCommit: func(s spoold.SpoolCommit) {
			m.commitSeconds.Record(ctx, s.Duration.Seconds())
			m.commitRecords.Record(ctx, int64(s.Records))
			m.commitBytes.Record(ctx, int64(s.Bytes))
		},
		BatchAcked: func(e spoold.BatchAcked) {
			m.sent.Add(ctx, int64(e.Records), m.ofTopic(e.Topic))
			m.batchRecords.Record(ctx, int64(e.Records))
			m.batchBytes.Record(ctx, int64(e.Bytes))
		},
		ProduceRequest: m.produced,
		BatchRetried: func(e spoold.BatchRetried) {
			answer := "none"
			if e.Code != 0 {
				answer = e.Code.String()
			}
			m.retries.Add(ctx, 1, metric.WithAttributes(attribute.String("error", answer)))
		},
		RecordDeadLettered: func(e spoold.RecordDeadLettered) {
			m.sent.Add(ctx, 1, metric.WithAttributes(append(sendAttributes(), attribute.String("messaging.destination.name", e.Topic),
				attribute.String("error.type", e.Code.String()))...))
		},
		EpochBumped: func(spoold.EpochBumped) { m.epochBumps.Add(ctx, 1) },
		LinkChanged: func(e spoold.LinkChanged) {
			state := "down"
			if e.Up {
				state = "up"
			}
			if m.linkState.Swap(state) == state {
				return
			}
			m.linkChanges.Add(ctx, 1, metric.WithAttributes(attribute.String("state", state)))
		},
		Recovery: func(e spoold.Recovery) { m.recoveredSeal.Store(int64(e.Seals)) },
	}
}

// sendAttributes are OpenTelemetry's for what is sent to Kafka.
func sendAttributes() []attribute.KeyValue {
	return []attribute.KeyValue{attribute.String("messaging.system", "kafka"), attribute.String("messaging.operation.name", "send")}
}

// ofTopic are the attributes of what is sent to a topic, made once for each.
func (m *Metrics) ofTopic(topic string) metric.MeasurementOption {
	if known, ok := m.topics.Load(topic); ok {
		return known.(metric.MeasurementOption)
	}
	set := attribute.NewSet(append(sendAttributes(), attribute.String("messaging.destination.name", topic))...)
	made, _ := m.topics.LoadOrStore(topic, metric.WithAttributeSet(set))
	return made.(metric.MeasurementOption)
}

var (
	answered   = metric.WithAttributeSet(attribute.NewSet(sendAttributes()...))
	unanswered = metric.WithAttributeSet(attribute.NewSet(append(sendAttributes(), attribute.String("error.type", "no_answer"))...))
)

func (m *Metrics) produced(e spoold.ProduceRequest) {
	ctx := context.Background()
	how := answered
	if e.Err != nil {
		how = unanswered
	}
	m.operation.Record(ctx, e.Duration.Seconds(), how)
	m.requestRecs.Record(ctx, int64(e.Records))
	m.wireBytes.Add(ctx, int64(e.Bytes))
	m.rawBytes.Add(ctx, int64(e.Uncompressed))
	m.splits.Add(ctx, int64(e.Splits))
	if e.Err == nil {
		m.throttle.Record(ctx, e.Throttle.Seconds())
	}
}

// Ingress counts for one way in.
type Ingress struct {
	m    *Metrics
	name attribute.KeyValue
}

// Ingress is the counters of the way in of that name.
func (m *Metrics) Ingress(name string) *Ingress {
	return &Ingress{m, attribute.String("ingress", name)}
}

// Spooled counts records that are on disk.
func (i *Ingress) Spooled(topic string, records int) {
	i.m.appended.Add(context.Background(), int64(records), metric.WithAttributes(i.name, attribute.String("topic", topic)))
}

// Duplicate counts a request that came again.
func (i *Ingress) Duplicate() {
	i.m.duplicates.Add(context.Background(), 1, metric.WithAttributes(i.name))
}

// Rejected counts the records of a request of which nothing was spooled.
func (i *Ingress) Rejected(reason string, records int) {
	i.m.rejected.Add(context.Background(), int64(records), metric.WithAttributes(i.name, attribute.String("reason", reason)))
}

// builder makes instruments and keeps the first error.
type builder struct {
	meter metric.Meter
	err   error
}

func (b *builder) note(err error) {
	if b.err == nil {
		b.err = err
	}
}

func (b *builder) counter(name, unit, help string) metric.Int64Counter {
	c, err := b.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(help))
	b.note(err)
	return c
}

func (b *builder) seconds(name, help string) metric.Float64Histogram {
	return b.secondsIn(secondsBuckets, name, help)
}

func (b *builder) secondsIn(buckets []float64, name, help string) metric.Float64Histogram {
	h, err := b.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(help), metric.WithExplicitBucketBoundaries(buckets...))
	b.note(err)
	return h
}

func (b *builder) histogram(name, unit, help string, buckets []float64) metric.Int64Histogram {
	h, err := b.meter.Int64Histogram(name, metric.WithUnit(unit), metric.WithDescription(help), metric.WithExplicitBucketBoundaries(buckets...))
	b.note(err)
	return h
}

func (b *builder) gauge(name, unit, help string) metric.Int64ObservableGauge {
	g, err := b.meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(help))
	b.note(err)
	return g
}
