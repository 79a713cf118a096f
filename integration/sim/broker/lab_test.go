package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/agenda"
	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/raw"
)

// lab is a cluster to put requests to, one at a time.
type lab struct {
	t testing.TB
	a *agenda.Agenda
	*broker.Cluster
	topics int
	led    map[string]int32
}

// day is in ms.
const day = 24 * 3600_000

func newLab(t testing.TB, cfg broker.Config) *lab {
	l := &lab{t: t, a: &agenda.Agenda{}, led: map[string]int32{}}
	l.a.Set(1_790_000_000_000)
	l.Cluster = broker.New(cfg, l.a)
	return l
}

// pass lets time go by.
func (l *lab) pass(ms int64) { l.a.Run(l.a.Now() + ms) }

// await lets time go by until something holds.
func (l *lab) await(what string, holds func() bool) {
	l.t.Helper()
	for until := l.a.Now() + 300_000; !holds(); {
		if l.a.Now() > until || !l.a.Step() {
			l.t.Fatalf("after 5 minutes: not %s", what)
		}
	}
}

// topic makes one with so many partitions, on all brokers.
func (l *lab) topic(partitions int, cfg broker.TopicConfig) string {
	l.topics++
	name := fmt.Sprintf("t%d", l.topics)
	l.CreateTopic(name, partitions, int(l.Brokers()), cfg)
	l.await("a quiet cluster", l.Quiet)
	return name
}

// ask puts a request to a broker on a connection of its own. nil: the connection ended.
func (l *lab) ask(to int32, req kmsg.Request) (resp kmsg.Response) {
	l.t.Helper()
	over := false
	k, ok := l.Open(to, func() { over = true })
	if !ok {
		return nil
	}
	k.Receive(req, func(r kmsg.Response) { resp, over = r, true })
	l.await("an answer", func() bool { return over })
	k.Close(false)
	return resp
}

// to is who leads partition 0 of a topic, once there is one and it has learned that.
func (l *lab) to(topic string) int32 {
	l.await("a leader of "+topic, func() bool { return l.Leader(topic, 0) >= 0 })
	leader := l.Leader(topic, 0)
	if l.led[topic] != leader {
		l.led[topic] = leader
		l.pass(100)
	}
	return leader
}

// records are n records of now, with one content.
func (l *lab) records(n int, value string) []raw.Record {
	return l.recordsOf(n, value, l.a.Now())
}

func (l *lab) recordsOf(n int, value string, at int64) []raw.Record {
	list := make([]raw.Record, n)
	for i := range list {
		list[i] = raw.Record{Timestamp: at, Key: []byte("k"), Value: []byte(value)}
	}
	return list
}

// seq is a batch of n records of now, of producer 1 in epoch 0.
func (l *lab) seq(base int32, n int) *raw.Spec { return l.of(1, 0, base, n) }

func (l *lab) of(pid int64, epoch int16, base int32, n int) *raw.Spec {
	return &raw.Spec{PID: pid, Epoch: epoch, Base: base, Records: l.records(n, "A")}
}

// send produces one batch to partition 0 at the leader.
func (l *lab) send(topic string, s *raw.Spec) string { return outcome(l.produce(topic, s)) }

func (l *lab) produce(topic string, s *raw.Spec) *kmsg.ProduceResponseTopicPartition {
	return l.produceAs(l.to(topic), 9, -1, raw.Part{Topic: topic, Records: s.Bytes()})
}

func (l *lab) produceAs(to int32, version, acks int16, parts ...raw.Part) *kmsg.ProduceResponseTopicPartition {
	resp := l.ask(to, raw.Produce(version, acks, 30_000, parts...))
	if resp == nil {
		return nil
	}
	return &resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
}

// outcome writes an answer as the facts do.
func outcome(p *kmsg.ProduceResponseTopicPartition) string {
	switch {
	case p == nil:
		return "(connection closed)"
	case p.ErrorCode == 0:
		return fmt.Sprintf("NONE off=%d", p.BaseOffset)
	}
	s := raw.Code(p.ErrorCode)
	for i, e := range p.ErrorRecords {
		sep := ","
		if i == 0 {
			sep = " records "
		}
		s += fmt.Sprintf("%s%d:%q", sep, e.RelativeOffset, *e.ErrorMessage)
	}
	return s
}

// known is what a broker has of a producer on partition 0.
func (l *lab) known(at int32, topic string, pid int64) string {
	resp := l.ask(at, raw.DescribeProducers(topic, 0)).(*kmsg.DescribeProducersResponse)
	return raw.Known(&resp.Topics[0].Partitions[0], pid)
}

func (l *lab) state(topic string) string { return l.known(l.to(topic), topic, 1) }

// last sends batches of producer 1 again, two records each, the last one first: those that end at sequence end.
func (l *lab) last(topic string, n int, end int32) string {
	known, list := 0, ""
	for i := range n {
		p := l.produce(topic, l.seq(end-1-2*int32(i), 2))
		switch o := outcome(p); {
		case p.ErrorCode == 0:
			known++
			list += fmt.Sprintf(" ok@%d", p.BaseOffset)
		case o == "OUT_OF_ORDER_SEQUENCE_NUMBER":
			list += " OOO"
		default:
			list += " " + o
		}
	}
	return fmt.Sprintf("%d known: last→%s", known, list)
}

// fill sends n batches of two records, from a sequence on.
func (l *lab) fill(topic string, base int32, n int) {
	for i := range n {
		if o := l.send(topic, l.seq(base+2*int32(i), 2)); !strings.HasPrefix(o, "NONE") {
			l.t.Fatalf("batch %d of producer 1: %s", i, o)
		}
	}
}

// read is the log of partition 0 at its leader, up to the high watermark, and that.
func (l *lab) read(topic string) (log []byte, hw int64) {
	from := int64(0)
	for {
		p := l.fetch(l.to(topic), 12, topic, from)
		if p.ErrorCode == 1 { // OFFSET_OUT_OF_RANGE: below the log start
			from++
			continue
		}
		before := len(log)
		log = append(log, p.RecordBatches...)
		for rest := log[before:]; ; {
			b, more, ok := raw.Next(rest)
			if !ok {
				break
			}
			rest, from = more, b.Last()+1
		}
		if len(log) == before {
			return log, p.HighWatermark
		}
	}
}

func (l *lab) fetch(at int32, version int16, topic string, from int64) *kmsg.FetchResponseTopicPartition {
	resp := l.ask(at, raw.Fetch(version, topic, 0, from, -1, 1<<20)).(*kmsg.FetchResponse)
	return &resp.Topics[0].Partitions[0]
}

func (l *lab) log(topic string) string {
	log, _ := l.read(topic)
	return raw.Log(log, false)
}

// batches is how many the log has.
func (l *lab) batches(topic string) int {
	s := l.log(topic)
	if s == "" {
		return 0
	}
	return strings.Count(s, " s")
}

// latest is the high watermark as ListOffsets returns it.
func (l *lab) latest(topic string) string {
	resp := l.ask(l.to(topic), raw.ListOffsets(7, topic, raw.Latest, 0)).(*kmsg.ListOffsetsResponse)
	p := &resp.Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		return raw.Code(p.ErrorCode)
	}
	return fmt.Sprint(p.Offset)
}

// trim deletes all records below the high watermark.
func (l *lab) trim(topic string) {
	resp := l.ask(l.to(topic), raw.DeleteRecords(topic, 0, -1, 1000)).(*kmsg.DeleteRecordsResponse)
	if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
		l.t.Fatalf("DeleteRecords: %s", raw.Code(code))
	}
	l.pass(100)
}

// restart ends a broker, in order or not, and starts it again.
func (l *lab) restart(id int32, inOrder bool) {
	if inOrder {
		l.Shutdown(id)
		l.await("the end of a broker", func() bool { return !l.Alive(id) })
	} else {
		l.Kill(id)
	}
	l.Start(id)
	l.await("a quiet cluster", l.Quiet)
}
