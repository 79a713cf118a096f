package broker_test

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/raw"
)

// case11: fewer replicas in sync than there must be.
func case11(c *caseRun) {
	l := c.lab(broker.Config{Brokers: 3, Session: 10_000, Lag: 10_000})
	topic := l.topic(1, broker.TopicConfig{MinISR: 3})
	leader := l.to(topic)
	follower := (leader + 1) % 3
	send := func(base, timeout int32, acks int16) string {
		m := raw.Produce(9, acks, timeout, raw.Part{Topic: topic, Records: l.seq(base, 2).Bytes()})
		return outcome(&l.ask(leader, m).(*kmsg.ProduceResponse).Topics[0].Partitions[0])
	}
	l.fill(topic, 0, 1)
	l.await("a quiet cluster", l.Quiet)
	l.Pause(follower)
	c.saw("follower halted, still in the ISR: timeout 1 s", send(2, 1000, -1))
	c.saw("… DescribeProducers sees it above the high watermark", l.state(topic))
	c.saw("… high watermark", l.latest(topic))
	c.saw("… identical batch again, timeout 1 s: a duplicate waits as well", send(2, 1000, -1))
	c.saw("next batch waits until the ISR shrinks", send(4, 25_000, -1))
	c.saw("ISR of 2 < 3: PRESENT batch again", send(2, 1000, -1))
	c.saw("ISR of 2 < 3: PRESENT batch (after append) again", send(4, 1000, -1))
	c.saw("ISR of 2 < 3: new batch", send(6, 1000, -1))
	c.saw("… DescribeProducers: not appended", l.state(topic))
	c.saw("ISR of 2 < 3: new batch with acks=1", send(6, 1000, 1))
	c.saw("ISR of 2 < 3: the high watermark has passed the PRESENT batches", l.latest(topic))
	l.Resume(follower)
	l.await("a quiet cluster", l.Quiet)
	c.saw("healed: first batch again", send(2, 1000, -1))
	c.saw("healed: second again", send(4, 1000, -1))
	c.saw("healed: third again", send(6, 1000, -1))
	c.saw("healed: log", l.log(topic))
}

// case12: topics that are deleted and made again.
func case12(c *caseRun) {
	l := c.lab(broker.Config{})
	topic := l.topic(1, broker.TopicConfig{})
	id := l.id(topic)
	byID := func(id [16]byte, s *raw.Spec) string {
		return outcome(l.produceAs(0, 13, -1, raw.Part{ID: id, Records: s.Bytes()}))
	}
	newer := l.ProduceMax() >= 13
	l.fill(topic, 0, 2)
	l.DeleteTopic(topic)
	l.pass(1000)
	c.saw("deleted: Produce by name", outcome(l.produceAs(0, 9, -1, raw.Part{Topic: topic, Records: l.seq(4, 2).Bytes()})))
	if newer {
		c.saw("deleted: Produce by topic id (v13)", byID(id, l.seq(4, 2)))
	}
	l.CreateTopic(topic, 1, 1, broker.TopicConfig{})
	l.await("a quiet cluster", l.Quiet)
	c.saw("recreated: last batch again, by name: appended into the NEW topic", l.send(topic, l.seq(2, 2)))
	c.saw("recreated: next batch by name goes on silently", l.send(topic, l.seq(4, 2)))
	if newer {
		c.saw("recreated: next batch by the OLD topic id (v13)", byID(id, l.seq(6, 2)))
		c.saw("recreated: by the new topic id", byID(l.id(topic), l.seq(6, 2)))
	}
}

// case13: what is refused, and that a refusal says nothing about an earlier copy.
func case13(c *caseRun) {
	l := c.lab(broker.Config{})
	large := func(base int32) *raw.Spec {
		s := l.seq(base, 1)
		s.Records[0].Value = make([]byte, 2000)
		return s
	}
	topic := l.topic(1, broker.TopicConfig{MaxMessageBytes: 1000})
	c.saw("too large (max.message.bytes 1000)", l.send(topic, large(0)))
	c.saw("… did not advance: small batch at the same s0", l.send(topic, l.seq(0, 1)))

	topic = l.topic(1, broker.TopicConfig{After: 3600_000})
	s := l.seq(0, 2)
	s.BadSum = true
	c.saw("spoiled CRC", l.send(topic, s))
	c.saw("… did not advance: s0+2", l.send(topic, l.seq(0, 2)))
	s = l.seq(2, 2)
	s.Records = l.recordsOf(2, "A", l.a.Now()+2*3600_000)
	c.saw("timestamp 2 h ahead (message.timestamp.after.max.ms 1 h: default since 4.0, unlimited in 3.9)", l.send(topic, s))
	c.saw("… did not advance: s2+1", l.send(topic, l.seq(2, 1)))
	s = l.seq(3, 2)
	s.AddCount, s.AddDelta = 1, 1
	c.saw("count lies (3 said, 2 inside)", l.send(topic, s))
	s = l.seq(3, 2)
	s.AddDelta = 1
	c.saw("last offset delta lies", l.send(topic, s))
	c.saw("no records", l.send(topic, l.seq(3, 0)))
	s = l.seq(3, 1)
	s.Flags = raw.Control
	c.saw("control batch from a client", l.send(topic, s))
	s.Flags = raw.Transactional
	c.saw("transactional batch without transactional id", l.send(topic, s))
	c.saw("… none advanced: s3+1", l.send(topic, l.seq(3, 1)))

	topic = l.topic(1, broker.TopicConfig{Compact: true})
	s = l.seq(0, 2)
	s.Records[0].Key, s.Records[1].Key = nil, nil
	c.saw("compacted topic, null keys", l.send(topic, s))
	c.saw("… did not advance: s0+2 with keys", l.send(topic, l.seq(0, 2)))
	s = l.seq(7, 1)
	s.BadSum = true
	c.saw("order of checks: gap AND spoiled CRC", l.send(topic, s))
	c.present(l, large)
}

// present sends batches that are in the log already, when the topic does not take them any more.
func (c *caseRun) present(l *lab, large func(int32) *raw.Spec) {
	lower := l.topic(1, broker.TopicConfig{})
	l.send(lower, l.seq(0, 1))
	big := large(1)
	c.saw("PRESENT batch, limit lowered meanwhile, re-sent: first send", l.send(lower, big))
	l.Configure(lower, func(cfg *broker.TopicConfig) { cfg.MaxMessageBytes = 1000 })
	l.pass(1000)
	c.saw("PRESENT batch re-sent under the lower limit", l.send(lower, big))
	brief := l.topic(1, broker.TopicConfig{Before: 1500})
	s := l.seq(0, 1)
	c.saw("PRESENT batch, before.max 1.5 s: first send", l.send(brief, s))
	l.pass(2000)
	c.saw("PRESENT batch re-sent when its timestamp has become too old", l.send(brief, s))
	compacted := l.topic(1, broker.TopicConfig{})
	s = l.seq(0, 1)
	s.Records[0].Key = nil
	l.send(compacted, s)
	l.Configure(compacted, func(cfg *broker.TopicConfig) { cfg.Compact = true })
	l.pass(1000)
	c.saw("PRESENT batch (null key) re-sent after the topic became compacted", l.send(compacted, s))
	c.saw("PRESENT: logs hold one copy each", fmt.Sprint(l.batches(brief), l.batches(compacted)))
}

// case15: five in flight when the leader is killed.
func case15(c *caseRun) {
	outcomes := map[string]int{}
	logs := "each sequence once, in order"
	for range 6 {
		l := c.lab(broker.Config{Brokers: 3})
		topic := l.topic(1, broker.TopicConfig{MinISR: 2})
		l.fill(topic, 0, 1)
		leader := l.to(topic)
		k, _ := l.Open(leader, func() {})
		for i := range int32(5) {
			k.Receive(raw.Produce(9, -1, 30_000, raw.Part{Topic: topic, Records: l.seq(2+2*i, 2).Bytes()}), func(kmsg.Response) {})
		}
		for range 4 {
			l.a.Step()
		}
		l.Kill(leader)
		l.await("another leader", func() bool { return l.to(topic) != leader })
		var codes []string
		for i := range int32(5) {
			codes = append(codes, l.persist(topic, l.seq(2+2*i, 2)))
		}
		outcomes[strings.Join(codes, ",")]++
		if got := l.log(topic); got != "0:e0 s0+2 2:e0 s2+2 4:e0 s4+2 6:e0 s6+2 8:e0 s8+2 10:e0 s10+2" {
			logs = got
		}
	}
	for codes, n := range outcomes {
		c.saw("6 × all five re-sent in order to the new leader", fmt.Sprintf("%d× %s", n, codes))
	}
	c.saw("… log", logs)
}

// persist sends a batch until there is more of an answer than that the leader is another one.
func (l *lab) persist(topic string, s *raw.Spec) (code string) {
	l.await("a definite answer", func() bool {
		code, _, _ = strings.Cut(l.send(topic, s), " ")
		return code != "NOT_LEADER_FOR_PARTITION" && code != "NOT_ENOUGH_REPLICAS"
	})
	return code
}

// case15z: a leader that wakes with an old request in its socket.
func case15z(c *caseRun) {
	l := c.lab(broker.Config{Brokers: 3})
	topic := l.topic(1, broker.TopicConfig{MinISR: 2})
	l.fill(topic, 0, 1)
	l.await("a quiet cluster", l.Quiet)
	old := l.to(topic)
	k, _ := l.Open(old, func() {})
	l.Pause(old)
	var late kmsg.Response
	k.Receive(raw.Produce(9, -1, 30_000, raw.Part{Topic: topic, Records: l.seq(2, 2).Bytes()}), func(r kmsg.Response) { late = r })
	l.await("another leader", func() bool { return l.to(topic) != old })
	l.pass(1000)
	c.saw("leader halted with a request in its socket; batch re-sent to the new leader", l.send(topic, l.seq(2, 2)))
	c.saw("… next batch", l.send(topic, l.seq(4, 2)))
	l.Resume(old)
	l.await("the late answer", func() bool { return late != nil })
	o := outcome(&late.(*kmsg.ProduceResponse).Topics[0].Partitions[0])
	c.saw("old leader wakes: its answer to the buffered request", o)
	l.await("a quiet cluster", l.Quiet)
	c.saw("… log", l.log(topic))
	c.saw("… DescribeProducers at the old leader, now follower", l.known(old, topic, 1))
}
