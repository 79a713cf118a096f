package otel

import (
	"context"
	"os"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/spoold/spoold"
)

// watched are the instruments that are read from a status when somebody asks.
type watched struct {
	size, limit, free, segments, keys            metric.Int64ObservableGauge
	records, inDoubt, parked                     metric.Int64ObservableGauge
	linkUp, brokers, recovered                   metric.Int64ObservableGauge
	anonymous, mapped                            metric.Int64ObservableGauge
	accepted, acked, deadLettered, expired, lost metric.Int64ObservableCounter
	inFlight, waiting                            metric.Int64ObservableGauge
	oldest, linkSeconds, metadataAge             metric.Float64ObservableGauge
	committing, transactionOpen                  metric.Float64ObservableGauge
	transactionParked, fenced                    metric.Int64ObservableGauge
	waited                                       metric.Float64ObservableCounter
	quota, quotaUsed, expiry                     metric.Int64ObservableGauge
}

// Watch reports the status of a Producer. peek must be cheap (Producer.Peek). To be called once.
func (m *Metrics) Watch(peek func() *spoold.Status) error {
	b := builder{meter: m.meter}
	w := watched{
		size:     b.gauge("spoold.spool.used", "By", "Bytes of the spool that hold something."),
		limit:    b.gauge("spoold.spool.limit", "By", "spool.max.bytes."),
		free:     b.gauge("spoold.disk.free", "By", "Free space of the spool's file system."),
		segments: b.gauge("spoold.spool.segments", "", "Segment files."),
		keys:     b.gauge("spoold.idempotency.keys", "", "Idempotency keys that are remembered."),
		records:  b.gauge("spoold.spool.records", "{record}", "Pending records, by topic."),
		inDoubt:  b.gauge("spoold.in_doubt.records", "{record}", "Records in batches that are sent and not settled, by topic."),
		parked:   b.gauge("spoold.parked.partitions", "", "Partitions that wait for spoold resolve, by topic and reason."),

		quota:     b.gauge("spoold.topic.quota.limit", "By", "topic.quota.bytes, by topic; only of topics that have one."),
		quotaUsed: b.gauge("spoold.topic.quota.used", "By", "Bytes that the pending records of a topic with a quota take, by topic."),

		expiry: b.gauge("spoold.certificate.expiry.timestamp", "s", "When the certificate that a configuration key leads to expires, in seconds since 1970: the first of a chain, and of several authorities the first that has not expired."),

		linkUp:    b.gauge("spoold.link.up", "", "1 while the cluster can be reached."),
		brokers:   b.gauge("spoold.broker.connections", "", "Open connections to brokers."),
		recovered: b.gauge("spoold.recovered.seals", "", "Batches whose fate this start had to find out."),

		anonymous: b.gauge("spoold.memory.anonymous", "By", "Resident memory of the process that no file backs."),
		mapped:    b.gauge("spoold.memory.mapped", "By", "Resident pages of mapped files: the page cache's, given back under pressure."),

		accepted:     b.total("spoold.accepted.records", "Records spooled since the spool was created, by topic."),
		acked:        b.total("spoold.acked.records", "Records on all in-sync replicas since the spool was created, by topic."),
		deadLettered: b.total("spoold.dead_lettered.records", "Records refused for good since the spool was created, by topic."),
		lost:         b.total("spoold.lost.records", "Records that damage to the disk has taken since the spool was created, by topic."),
		expired:      b.total("spoold.dropped.records", "Records dropped by policy since the spool was created, by topic."),

		oldest:      b.float("spoold.spool.oldest_record.age", "Age of the oldest pending record; what an earlier process spooled counts from the record's timestamp, and from no earlier than the spool was made."),
		committing:  b.float("spoold.spool.commit.running", "How long the spool commit under way has taken; it grows on a disk that hangs."),
		inFlight:    b.gauge("spoold.requests.in_flight", "{request}", "Requests to brokers that wait for an answer."),
		waiting:     b.gauge("spoold.send.waiting", "{caller}", "Callers of Send that wait for room in the spool."),
		waited:      b.floatTotal("spoold.send.wait.duration", "Time that callers of Send waited for room in the spool."),
		metadataAge: b.float("spoold.metadata.age", "Age of what is known of the cluster."),

		transactionParked: b.gauge("spoold.transaction.parked", "", "1 while a transaction waits for spoold txn resolve."),
		fenced:            b.gauge("spoold.transaction.fenced", "", "1 while another producer has the transactional id."),
		transactionOpen:   b.float("spoold.transaction.open.duration", "How long the open transaction has been open; 0: none is."),

		linkSeconds: b.float("spoold.link.state.duration", "How long the link has been as it is."),
	}
	if b.err != nil {
		return b.err
	}
	_, err := m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		w.observe(o, peek())
		o.ObserveInt64(w.recovered, m.recoveredSeal.Load())
		return nil
	}, w.size, w.limit, w.free, w.segments, w.keys, w.records, w.inDoubt, w.parked, w.linkUp, w.brokers, w.recovered,
		w.anonymous, w.mapped, w.accepted, w.acked, w.deadLettered, w.expired, w.lost, w.oldest, w.linkSeconds, w.inFlight, w.waiting, w.waited, w.metadataAge, w.committing,
		w.transactionParked, w.fenced, w.transactionOpen, w.quota, w.quotaUsed, w.expiry)
	if err != nil {
		return err
	}
	return nil
}

func (w *watched) observe(o metric.Observer, s *spoold.Status) {
	o.ObserveInt64(w.size, s.SpoolBytes)
	o.ObserveInt64(w.limit, s.SpoolLimitBytes)
	o.ObserveInt64(w.free, s.DiskFreeBytes)
	o.ObserveInt64(w.segments, int64(s.Segments))
	o.ObserveInt64(w.keys, int64(s.IdempotencyKeys))
	o.ObserveInt64(w.inFlight, int64(s.RequestsInFlight))
	o.ObserveInt64(w.waiting, int64(s.SendersWaiting))
	o.ObserveFloat64(w.waited, s.SendWaitSeconds)
	o.ObserveFloat64(w.metadataAge, s.MetadataAgeSeconds)
	o.ObserveFloat64(w.committing, s.CommitSeconds)
	o.ObserveInt64(w.brokers, int64(s.Brokers))
	o.ObserveFloat64(w.oldest, s.OldestAgeSeconds)
	o.ObserveFloat64(w.linkSeconds, s.LinkSinceSeconds)
	o.ObserveInt64(w.linkUp, oneIf(s.Link == "up"))
	if t := s.Transaction; t != nil {
		o.ObserveInt64(w.transactionParked, oneIf(t.ParkReason != ""))
		o.ObserveInt64(w.fenced, oneIf(t.Fenced != ""))
		open := 0.0
		if t.Open {
			open = t.OpenSeconds
		}
		o.ObserveFloat64(w.transactionOpen, open)
	}
	for _, c := range s.Certificates {
		o.ObserveInt64(w.expiry, c.NotAfter.Unix(), metric.WithAttributes(attribute.String("key", c.Key)))
	}
	for i := range s.Topics {
		w.observeTopic(o, &s.Topics[i])
	}
	if anonymous, mapped, ok := memory(); ok {
		o.ObserveInt64(w.anonymous, anonymous)
		o.ObserveInt64(w.mapped, mapped)
	}
}

func oneIf(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

func (w *watched) observeTopic(o metric.Observer, t *spoold.TopicStatus) {
	topic := attribute.String("topic", t.Topic)
	inDoubt := 0
	parked := map[string]int64{}
	for i := range t.Partitions {
		p := &t.Partitions[i]
		inDoubt += p.InDoubt
		if p.ParkReason != "" {
			parked[p.ParkReason]++
		}
	}
	byTopic := metric.WithAttributes(topic)
	if t.QuotaBytes > 0 {
		o.ObserveInt64(w.quota, t.QuotaBytes, byTopic)
		o.ObserveInt64(w.quotaUsed, t.QuotaUsedBytes, byTopic)
	}
	o.ObserveInt64(w.accepted, int64(t.Accepted), byTopic)
	o.ObserveInt64(w.acked, int64(t.Acked), byTopic)
	o.ObserveInt64(w.deadLettered, int64(t.DeadLettered), byTopic)
	o.ObserveInt64(w.expired, int64(t.Expired), byTopic)
	o.ObserveInt64(w.lost, int64(t.Lost), byTopic)
	o.ObserveInt64(w.records, int64(t.Pending), byTopic)
	o.ObserveInt64(w.inDoubt, int64(inDoubt), metric.WithAttributes(topic))
	for reason, n := range parked {
		o.ObserveInt64(w.parked, n, metric.WithAttributes(topic, attribute.String("reason", reason)))
	}
}

// memory is the process's resident memory, apart: what is its own, and what are pages of
// mapped files (the spool's segments). Linux only.
func memory() (anonymous, mapped int64, ok bool) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0, false
	}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		n, err := strconv.ParseInt(kib, 10, 64)
		switch {
		case err != nil:
		case name == "RssAnon":
			anonymous, ok = n<<10, true
		case name == "RssFile":
			mapped = n << 10
		}
	}
	return anonymous, mapped, ok
}

func (b *builder) total(name, help string) metric.Int64ObservableCounter {
	c, err := b.meter.Int64ObservableCounter(name, metric.WithDescription(help))
	b.note(err)
	return c
}

func (b *builder) floatTotal(name, help string) metric.Float64ObservableCounter {
	c, err := b.meter.Float64ObservableCounter(name, metric.WithUnit("s"), metric.WithDescription(help))
	b.note(err)
	return c
}

func (b *builder) float(name, help string) metric.Float64ObservableGauge {
	g, err := b.meter.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(help))
	b.note(err)
	return g
}
