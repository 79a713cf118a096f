package sender_test

import (
	"cmp"
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// drive runs a Sender against one broker that answers at once, and a spool that commits at once.
type drive struct {
	t     testing.TB
	s     *sender.Sender
	now   spool.Time
	parts int // partitions of each topic
	// refuse is the code that Produce of a topic is answered with; 0: it is acked.
	refuse map[string]protocol.ErrorCode
	// second: partitions with odd numbers are led by a second broker. unreachable is how many connections to it fail
	// before one opens.
	second      bool
	unreachable int
	events      []sender.Event

	topics  []string
	entries [][][]byte // by lane
	settled []*spool.Set
	ids     map[string]spool.LaneID
	offsets map[string]int64 // next offset, by topic and partition
	wakeAt  int64

	write    uint64 // the last Write, if it is not committed
	requests []sender.Request
	feeds    []sender.Feed

	broken func(sender.Request, *sender.Response) // may change an answer; nil: none is changed
	holds  func(sender.Request) bool              // keeps a request in held, unanswered; nil: none
	held   []sender.Request
	reads  int // of the spool
}

var errRefused = errors.New("refused")

// whole is cfg with usual values where nothing is given.
func whole(cfg sender.Config) sender.Config {
	cfg.BatchSize = cmp.Or(cfg.BatchSize, 16384)
	cfg.BufferMemory = cmp.Or(cfg.BufferMemory, 32<<20)
	cfg.MaxRequestSize = cmp.Or(cfg.MaxRequestSize, 1<<20)
	cfg.MaxInFlight = cmp.Or(cfg.MaxInFlight, 5)
	cfg.RequestTimeoutMs = cmp.Or(cfg.RequestTimeoutMs, 30_000)
	cfg.RetryBackoffMs = cmp.Or(cfg.RetryBackoffMs, 100)
	cfg.RetryBackoffMaxMs = cmp.Or(cfg.RetryBackoffMaxMs, 1000)
	cfg.MetadataMaxAgeMs = cmp.Or(cfg.MetadataMaxAgeMs, 300_000)
	cfg.MetadataMaxIdleMs = cmp.Or(cfg.MetadataMaxIdleMs, 300_000)
	cfg.MarginMs = cmp.Or(cfg.MarginMs, 20*3600*1000)
	return cfg
}

func newDrive(t testing.TB, cfg sender.Config, parts int) *drive {
	d := emptyDrive(t, parts)
	d.start(cfg, &spool.Recovered{Former: protocol.NoIdentity})
	return d
}

func (d *drive) start(cfg sender.Config, rec *spool.Recovered) {
	d.s = sender.New(whole(cfg), rec)
	d.carry(d.s.Start(d.now))
}

func emptyDrive(t testing.TB, parts int) *drive {
	d := &drive{t: t, parts: parts, now: spool.Time{Wall: 1 << 40, Age: 1}, refuse: map[string]protocol.ErrorCode{},
		ids: map[string]spool.LaneID{}, offsets: map[string]int64{}}
	return d
}

func (d *drive) carry(e *sender.Effects) {
	if e.Stop != nil {
		d.t.Fatal(e.Stop)
	}
	if e.Write != nil {
		d.write = e.Write.ID
		for _, st := range e.Write.Settle {
			for _, sp := range st.Spans {
				d.settled[st.Lane].Add(sp)
			}
		}
	}
	d.requests = append(d.requests, e.Requests...)
	d.feeds = append(d.feeds, e.Feed...)
	d.events = append(d.events, e.Events...)
	d.wakeAt = e.WakeAt
}

// settle carries out all that does not need time to pass.
func (d *drive) settle() {
	for n := 0; ; n++ {
		switch {
		case n > 1_000_000:
			d.t.Fatal("no end of it: a busy loop")
		case d.write != 0:
			d.carry(d.s.Committed(d.now, d.committed()))
		case len(d.requests) > 0:
			r := d.requests[0]
			d.requests = d.requests[1:]
			if d.holds != nil && d.holds(r) {
				d.held = append(d.held, r)
				continue
			}
			resp := d.answer(r)
			if d.broken != nil {
				d.broken(r, &resp)
			}
			d.carry(d.s.Handle(d.now, resp))
		case len(d.feeds) > 0:
			f := d.feeds[0]
			d.feeds = d.feeds[1:]
			d.carry(d.s.Fed(d.now, d.read(f)))
		default:
			return
		}
	}
}

// committed is the commit of the Write that is not committed.
func (d *drive) committed() *spool.Committed {
	c := &spool.Committed{Writes: d.write}
	d.write = 0
	return c
}

// pass lets time pass, from wake-up to wake-up.
func (d *drive) pass(ms int64) {
	for end := d.now.Age + ms; d.now.Age < end; {
		at := end
		if d.wakeAt > 0 {
			at = min(at, max(d.wakeAt, d.now.Age+1))
		}
		d.now.Wall += at - d.now.Age
		d.now.Age = at
		d.carry(d.s.Tick(d.now))
		d.settle()
	}
}

// spool commits one record for a partition of a topic.
func (d *drive) spool(topic string, partition int32, size int) *spool.Committed {
	c := &spool.Committed{Writes: d.write}
	d.write = 0
	id, ok := d.ids[topic]
	if !ok {
		id = spool.LaneID(len(d.topics))
		d.ids[topic] = id
		d.topics, d.entries, d.settled = append(d.topics, topic), append(d.entries, nil), append(d.settled, spool.NewSet(0))
		c.Lanes = append(c.Lanes, spool.NewLane{ID: id, Topic: topic})
	}
	value := make([]byte, size)
	e := spool.AppendEntry(nil, d.now.Wall, partition, nil, value, nil, spool.BodySize(nil, value, nil))
	i := spool.Index(len(d.entries[id]))
	d.entries[id] = append(d.entries[id], e)
	c.Sections = []spool.Section{{Lane: id, Spans: []spool.Span{{First: i, End: i + 1}}, Bytes: e}}
	return c
}

func (d *drive) produce(topic string, partition int32, size int) {
	d.carry(d.s.Committed(d.now, d.spool(topic, partition, size)))
}

func (d *drive) read(f sender.Feed) *sender.Fed {
	d.reads++
	fed := &sender.Fed{ID: f.ID, Lane: f.Lane, From: f.From, Next: f.From}
	size := 0
	for i := f.From; int(i) < len(d.entries[f.Lane]) && (size == 0 || size < f.Bytes); i++ {
		if !d.settled[f.Lane].Contains(i) {
			e := d.entries[f.Lane][i]
			size += len(e)
			fed.Sections = append(fed.Sections, spool.Section{Lane: f.Lane, Spans: []spool.Span{{First: i, End: i + 1}}, Bytes: e})
		}
		fed.Next = i + 1
	}
	return fed
}

func (d *drive) answer(r sender.Request) sender.Response {
	resp := sender.Response{ID: r.ID, Written: true}
	switch {
	case r.Kind == sender.KindConnect && r.Broker == 1 && d.unreachable > 0:
		d.unreachable--
		resp.Err, resp.Written = errRefused, false
	case r.Kind == sender.KindConnect:
		resp.Conn = sender.Conn{Broker: r.Broker, ProduceMax: 13}
	case r.Kind == sender.KindProduce:
		resp.Message = d.ack(r)
	default:
		resp.Message = d.control(r.Message)
	}
	return resp
}

func (d *drive) ack(r sender.Request) kmsg.Response {
	m := kmsg.NewPtrProduceResponse()
	for _, b := range r.Batches {
		t := kmsg.NewProduceResponseTopic()
		t.Topic = b.Topic
		p := kmsg.NewProduceResponseTopicPartition()
		p.Partition, p.LogAppendTime = b.Partition, -1
		key := fmt.Sprint(b.Topic, b.Partition)
		if code := d.refuse[b.Topic]; code != 0 {
			p.ErrorCode, p.BaseOffset = int16(code), -1
		} else {
			p.BaseOffset = d.offsets[key]
			d.offsets[key] += int64(b.Count)
		}
		t.Partitions = append(t.Partitions, p)
		m.Topics = append(m.Topics, t)
	}
	return m
}

func (d *drive) control(m kmsg.Request) kmsg.Response {
	switch m := m.(type) {
	case *kmsg.MetadataRequest:
		return d.metadata(m)
	case *kmsg.InitProducerIDRequest:
		r := kmsg.NewPtrInitProducerIDResponse()
		r.ProducerID = 7
		return r
	case *kmsg.DescribeProducersRequest:
		return describeAnswer(m, func(string, *kmsg.DescribeProducersResponseTopicPartition) {})
	case *kmsg.ListOffsetsRequest:
		return offsetsAnswer(m, func(topic string, _ int64, p *kmsg.ListOffsetsResponseTopicPartition) {
			p.Offset = d.offsets[fmt.Sprint(topic, p.Partition)]
		})
	case *kmsg.DescribeConfigsRequest:
		return kmsg.NewPtrDescribeConfigsResponse()
	case *kmsg.FetchRequest:
		return d.emptyLog(m)
	}
	d.t.Fatalf("the broker does not know %T", m)
	return nil
}

// emptyLog is the answer of a leader whose log ends where it is asked for.
func (d *drive) emptyLog(m *kmsg.FetchRequest) kmsg.Response {
	r := kmsg.NewPtrFetchResponse()
	for _, q := range m.Topics {
		t := kmsg.NewFetchResponseTopic()
		t.Topic = q.Topic
		for _, asked := range q.Partitions {
			p := kmsg.NewFetchResponseTopicPartition()
			p.Partition, p.HighWatermark = asked.Partition, asked.FetchOffset
			t.Partitions = append(t.Partitions, p)
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}

func (d *drive) metadata(m *kmsg.MetadataRequest) kmsg.Response {
	r := kmsg.NewPtrMetadataResponse()
	r.ClusterID = kmsg.StringPtr("c")
	r.Brokers = append(r.Brokers, kmsg.NewMetadataResponseBroker())
	if d.second {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID = 1
		r.Brokers = append(r.Brokers, b)
	}
	for _, q := range m.Topics {
		t := kmsg.NewMetadataResponseTopic()
		t.Topic = q.Topic
		copy(t.TopicID[:], *q.Topic)
		for n := range d.parts {
			p := kmsg.NewMetadataResponseTopicPartition()
			p.Partition = int32(n)
			if d.second {
				p.Leader = int32(n % 2)
			}
			t.Partitions = append(t.Partitions, p)
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}

// A topic whose Produce is denied must not keep another one's records from leaving, however many partitions it has.
func TestOneStuckTopicStopsNoOther(t *testing.T) {
	const batch = 1000
	d := newDrive(t, sender.Config{BatchSize: batch, BufferMemory: 32 * batch, MaxRequestSize: 1 << 20, Seed: 1}, 80)
	d.refuse["denied"] = protocol.TopicAuthorizationFailed
	for n := range int32(80) {
		for range 3 {
			d.produce("denied", n, 900)
			d.settle()
		}
	}
	d.pass(10_000)
	for range 20 {
		d.produce("other", 0, 900)
		d.settle()
	}
	d.pass(10_000)
	if n := d.offsets["other0"]; n != 20 {
		t.Errorf("%d of 20 records of the other topic have left", n)
	}
	if n := d.s.Buffered(); n > 33*batch {
		t.Errorf("%d bytes in memory, want at most %d and one batch", n, 32*batch)
	}
	// And once it may be written, all of it leaves, in order.
	d.refuse = nil
	d.pass(120_000)
	for n := range 80 {
		if got := d.offsets[fmt.Sprint("denied", n)]; got != 3 {
			t.Fatalf("%d of 3 records of partition %d have left", got, n)
		}
	}
	if n := d.s.Pending(); n != 0 {
		t.Errorf("%d records are pending", n)
	}
}

// A start that cannot reach a leader at once goes on trying, and does not give the clone check up before its time.
func TestTheCloneCheckTriesALeaderAgainThatCannotBeReached(t *testing.T) {
	d := emptyDrive(t, 2)
	d.second, d.unreachable = true, 3 // it leads a partition that no record is for
	c := d.spool("a", 0, 10)
	d.start(sender.Config{Seed: 1}, &spool.Recovered{
		Former: protocol.ProducerIdentity{ID: 3}, Incarnation: 2,
		Lanes: []spool.Lane{{ID: 0, Topic: "a", End: c.Sections[0].Spans[0].End, Settled: spool.NewSet(0)}},
	})
	d.settle()
	d.pass(20_000)
	for _, ev := range d.events {
		if e, ok := ev.(sender.CopyUnchecked); ok {
			t.Errorf("the check was given up: %+v", e)
		}
	}
	if n := d.offsets["a0"]; n != 1 {
		t.Errorf("%d records have left after 20 s, want 1", n)
	}
}
