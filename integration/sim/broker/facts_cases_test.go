package broker_test

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/raw"
)

// cases are the requests of each case of the facts.
var cases = map[string]func(*caseRun){
	"01": case01, "02": case02, "02c": case02c, "03": case03, "04": case04, "05": case05, "06": case06,
	"11": case11, "12": case12, "13": case13, "15": case15, "15z": case15z, "17": case17,
}

// case01: what is taken for a duplicate.
func case01(c *caseRun) {
	l := c.lab(broker.Config{})
	topic := l.topic(1, broker.TopicConfig{})
	id := l.id(topic)
	first := l.seq(0, 3)
	stamp := l.a.Now()
	c.saw("first send s0+3 (A)", l.send(topic, first))
	l.pass(1000)
	k, _ := l.Open(0, func() {})
	var again *kmsg.ProduceResponse
	k.Receive(raw.Produce(9, -1, 1000, raw.Part{Topic: topic, Records: first.Bytes()}), func(r kmsg.Response) { again = r.(*kmsg.ProduceResponse) })
	l.await("an answer", func() bool { return again != nil })
	c.saw("identical batch, same connection", outcome(&again.Topics[0].Partitions[0]))
	c.saw("append time field of the duplicate's answer = batch max timestamp (CreateTime topic)", fmt.Sprint(again.Topics[0].Partitions[0].LogAppendTime == stamp))
	c.saw("identical batch, new connection", l.send(topic, first))
	other := l.seq(0, 3)
	other.Records = l.records(3, "B")
	c.saw("same identity and count, other content and timestamps (B)", l.send(topic, other))
	c.saw("same base, fewer records s0+2", l.send(topic, l.seq(0, 2)))
	c.saw("same base, more records s0+5", l.send(topic, l.seq(0, 5)))
	c.saw("tail of the batch s1+2", l.send(topic, l.seq(1, 2)))
	log, _ := l.read(topic)
	c.saw("log: appended once, first content", raw.Log(log, true))
	c.saw("next s3+2", l.send(topic, l.seq(3, 2)))
	c.saw("next s5+2", l.send(topic, l.seq(5, 2)))
	c.saw("two remembered batches merged into one s3+4", l.send(topic, l.seq(3, 4)))
	c.saw("duplicate with acks=1", outcome(l.produceAs(0, 9, 1, raw.Part{Topic: topic, Records: l.seq(3, 2).Bytes()})))
	// 3.9.1 has no such version; it was asked by name.
	c.saw("duplicate by topic id (v13)", outcome(l.produceAs(0, l.ProduceMax(), -1, l.part(topic, id, l.seq(5, 2)))))
	two := append(l.seq(7, 1).Bytes(), l.seq(8, 1).Bytes()...)
	c.saw("two batches of one partition in one request", outcome(l.produceAs(0, 9, -1, raw.Part{Topic: topic, Records: two})))
	c.saw("… appended nothing: s7+1", l.send(topic, l.seq(7, 1)))
}

// id is the present id of a topic.
func (l *lab) id(topic string) (id [16]byte) {
	for _, i := range l.Topics() {
		if i.Name == topic && !i.Deleted {
			id = i.ID
		}
	}
	return id
}

// part goes by id if the highest version of Produce does.
func (l *lab) part(topic string, id [16]byte, s *raw.Spec) raw.Part {
	if l.ProduceMax() >= 13 {
		topic = ""
	}
	return raw.Part{Topic: topic, ID: id, Records: s.Bytes()}
}

// case02: what is known of five and more batches, live and after restarts.
func case02(c *caseRun) {
	l := c.lab(broker.Config{})
	seven, trimmed, four := l.topic(1, broker.TopicConfig{}), l.topic(1, broker.TopicConfig{}), l.topic(1, broker.TopicConfig{})
	l.fill(seven, 0, 7)
	for k := range 7 {
		c.saw(fmt.Sprintf("live: batch %d from the end", k+1), l.send(seven, l.seq(12-2*int32(k), 2)))
	}
	c.saw("live: log has no copy", fmt.Sprint(l.log(seven) == "0:e0 s0+2 2:e0 s2+2 4:e0 s4+2 6:e0 s6+2 8:e0 s8+2 10:e0 s10+2 12:e0 s12+2"))
	l.fill(trimmed, 0, 3)
	l.trim(trimmed)
	c.saw("live: after DeleteRecords up to the high watermark", l.last(trimmed, 3, 5))
	l.fill(four, 0, 4)

	l.restart(0, true)
	c.saw("clean restart (SIGTERM): last five again", l.last(seven, 5, 13))
	c.saw("clean restart: DescribeProducers", l.state(seven))
	c.saw("clean restart: log emptied by DeleteRecords before", l.last(trimmed, 3, 5)+"; "+l.state(trimmed))
	l.fill(four, 8, 3)
	c.saw("4 batches, clean restart, 3 batches: last five", l.last(four, 5, 13))

	fresh, small := l.topic(1, broker.TopicConfig{}), l.topic(1, broker.TopicConfig{})
	l.fill(fresh, 0, 7)
	l.fill(small, 0, 4)
	l.restart(0, false)
	c.saw("kill -9, no snapshot existed: last five", l.last(fresh, 5, 13))
	c.saw("kill -9: DescribeProducers", l.state(fresh))
	c.saw("4 batches, clean restart, 3 batches, kill -9: last five", l.last(four, 5, 13))
	c.saw("kill -9: nothing lost in the log (acks=all, one replica, page cache)", fmt.Sprint(l.batches(fresh), l.batches(small)))
	l.fill(fresh, 14, 2)
	c.saw("kill -9, then 2 new batches: last three", l.last(fresh, 3, 17))
}

// case02c: what other replicas know.
func case02c(c *caseRun) {
	l := c.lab(broker.Config{Brokers: 3})
	topic := l.topic(1, broker.TopicConfig{MinISR: 2})
	leader := l.to(topic)
	follower := (leader + 1) % 3
	l.fill(topic, 0, 7)
	l.await("a quiet cluster", l.Quiet)
	c.saw("DescribeProducers asked of a follower", l.known(follower, topic, 1))
	c.saw("Produce to a follower", outcome(l.produceAs(follower, 9, -1, raw.Part{Topic: topic, Records: l.seq(14, 2).Bytes()})))
	l.Kill(leader)
	l.await("another leader", func() bool { return l.to(topic) != leader })
	c.saw("leader killed (-9): last five at the new leader", l.last(topic, 5, 13))
	l.Start(leader)
	l.await("a quiet cluster", l.Quiet)
	l.fill(topic, 14, 1)
	l.await("a quiet cluster", l.Quiet)
	l.Kill(l.to(topic))
	l.await("the one that was restarted to lead", func() bool { return l.Leader(topic, 0) == leader })
	c.saw("second leader killed too: last five at the third", l.last(topic, 5, 15))

	l = c.lab(broker.Config{Brokers: 3})
	topic = l.topic(1, broker.TopicConfig{MinISR: 2})
	leader = l.to(topic)
	l.fill(topic, 0, 7)
	l.await("a quiet cluster", l.Quiet)
	for k := range int32(2) {
		l.restart((leader+1+k)%3, true)
	}
	c.saw("both followers restarted cleanly while idle, leader untouched: last five", l.last(topic, 5, 13))
	l.Kill(leader)
	l.await("another leader", func() bool { return l.to(topic) != leader })
	c.saw("… then leader killed: last five at a restarted follower", l.last(topic, 5, 13))
	c.saw("… DescribeProducers", l.state(topic))
}

// case03: expiry of what is known, by the records' own timestamps.
func case03(c *caseRun) {
	l := c.lab(broker.Config{Check: 10_000})
	check := func() { l.pass(10_001) }
	old := func(base int32, n int) *raw.Spec {
		s := l.seq(base, n)
		s.Records = l.recordsOf(n, "A", l.a.Now()-2*day)
		return s
	}
	topic := l.topic(1, broker.TopicConfig{})
	c.saw("expiry 1 day; batch with CreateTime 2 days ago", l.send(topic, old(0, 2)))
	check()
	c.saw("… state after the next check", l.state(topic))
	c.saw("… identical batch again: APPENDED TWICE", l.send(topic, old(0, 2)))
	c.saw("… identical batch again before the check", l.send(topic, old(0, 2)))
	check()
	c.saw("… then next sequence s2 without state", l.send(topic, old(2, 2)))
	topic = l.topic(1, broker.TopicConfig{})
	l.fill(topic, 0, 1)
	l.send(topic, old(2, 2))
	check()
	c.saw("new batch, then an old-timestamp batch: state", l.state(topic))
	topic = l.topic(1, broker.TopicConfig{})
	l.send(topic, old(0, 2))
	l.fill(topic, 2, 1)
	check()
	c.saw("old-timestamp batch, then a new one: state kept", l.state(topic))
	topic = l.topic(1, broker.TopicConfig{})
	s := old(0, 2)
	s.Records[1].Timestamp = l.a.Now()
	l.send(topic, s)
	check()
	c.saw("one batch whose first record is 2 days old and last is of now: state kept (max timestamp)", l.state(topic))
	topic = l.topic(1, broker.TopicConfig{})
	s.Records = l.recordsOf(2, "A", -1)
	c.saw("timestamps -1 (none)", l.send(topic, s))
	check()
	c.saw("… state", l.state(topic))
	topic = l.topic(1, broker.TopicConfig{AppendTime: true})
	l.send(topic, old(0, 2))
	check()
	c.saw("LogAppendTime topic, 2 days old: state kept", l.state(topic))
	c.saw("… duplicate recognised", l.send(topic, old(0, 2)))
	expiry3s(c)
}

func expiry3s(c *caseRun) {
	l := c.lab(broker.Config{Expiration: 3000, Check: 1000})
	topic, other, ahead := l.topic(1, broker.TopicConfig{}), l.topic(1, broker.TopicConfig{}), l.topic(1, broker.TopicConfig{})
	l.fill(topic, 0, 1)
	l.fill(other, 0, 1)
	s := l.seq(0, 2)
	s.Records = l.recordsOf(2, "A", l.a.Now()+50*60_000)
	l.send(ahead, s)
	l.pass(5000)
	c.saw("expiry 3 s: state of a batch of now after 5 s", l.state(topic))
	c.saw("… duplicate: APPENDED TWICE", l.send(topic, l.seq(0, 2)))
	c.saw("… gap s100 while state (last 1) is present", l.send(topic, l.seq(100, 1)))
	c.saw("expiry 3 s: gap s100 when the state is gone", l.send(other, l.seq(100, 1)))
	c.saw("expiry 3 s: lower sequence s2 (lost to expiry) behind s100", l.send(other, l.seq(2, 1)))
	c.saw("expiry 3 s: state of a batch with CreateTime 50 min ahead", l.state(ahead))
}

// case04: epochs, and which sequence may come.
func case04(c *caseRun) {
	l := c.lab(broker.Config{})
	topic := l.topic(4, broker.TopicConfig{})
	send := func(epoch int16, base int32, n int) string { return l.send(topic, l.of(1, epoch, base, n)) }
	on := func(partition int32, s *raw.Spec) string {
		return outcome(l.produceAs(0, 9, -1, raw.Part{Topic: topic, Partition: partition, Records: s.Bytes()}))
	}
	c.saw("no state: first batch ever s7+2", send(0, 7, 2))
	c.saw("state (last 8): gap s10+1", send(0, 10, 1))
	c.saw("state (last 8): earlier s0+2 (first of two in flight was lost)", send(0, 0, 2))
	c.saw("state (last 8): earlier s5+2, just before", send(0, 5, 2))
	c.saw("new epoch e1 at s9 (continuing)", send(1, 9, 1))
	c.saw("… was not taken as the epoch: e0 s9+1", send(0, 9, 1))
	c.saw("local epoch bump, nothing of e1 appended yet: zombie e0 s10+1", send(0, 10, 1))
	c.saw("new epoch e1 at s0+2", send(1, 0, 2))
	c.saw("old epoch: next e0 s11", send(0, 11, 1))
	c.saw("old epoch: duplicate of e0 s10+1", send(0, 10, 1))
	c.saw("duplicate of e1 s0+2", send(1, 0, 2))
	c.saw("epoch jump e1 → e5 at s0", send(5, 0, 1))
	c.saw("last epoch e32767 at s0", send(32767, 0, 1))
	c.saw("e32767 s1", send(32767, 1, 1))
	c.saw("old epoch elsewhere: e0 s0 on another partition", on(1, l.of(1, 0, 0, 1)))
	c.saw("no state: e3 s4 on a fresh partition", on(2, l.of(1, 3, 4, 1)))
	c.saw("producer id that nobody ever allocated", on(3, l.of(4_000_000_000, 0, 0, 1)))
	fresh := l.topic(1, broker.TopicConfig{})
	c.saw("producer id with sequence -1", l.send(fresh, l.of(1, 0, -1, 1)))
	c.saw("producer id with epoch -1", l.send(fresh, l.of(1, -1, 0, 1)))
	pid := l.given(-1, -1).ProducerID
	for _, epoch := range []int16{0, 5, -1} {
		c.saw(fmt.Sprintf("InitProducerId without transactional id, given (pid, %d)", epoch), l.init(pid, epoch))
	}
	c.saw("InitProducerId without transactional id, given (-1, 3)", l.init(-1, 3))
}

// given asks for a producer id until the broker has some to give.
func (l *lab) given(pid int64, epoch int16) (r *kmsg.InitProducerIDResponse) {
	l.await("a broker with producer ids", func() bool {
		r = l.ask(0, raw.InitProducerID(4, pid, epoch)).(*kmsg.InitProducerIDResponse)
		return raw.Code(r.ErrorCode) != "COORDINATOR_LOAD_IN_PROGRESS"
	})
	return r
}

func (l *lab) init(pid int64, epoch int16) string {
	r := l.given(pid, epoch)
	switch {
	case r.ErrorCode != 0:
		return raw.Code(r.ErrorCode)
	case r.ProducerID == pid:
		return fmt.Sprintf("NONE same pid epoch %d", r.ProducerEpoch)
	}
	return fmt.Sprintf("NONE NEW pid epoch %d", r.ProducerEpoch)
}

// case05: sequences wrap.
func case05(c *caseRun) {
	l := c.lab(broker.Config{})
	topic := l.topic(1, broker.TopicConfig{})
	c.saw("s2147483640+8 ends at 2147483647", l.send(topic, l.seq(2147483640, 8)))
	c.saw("DescribeProducers", l.state(topic))
	c.saw("next is 0: s1+1 refused", l.send(topic, l.seq(1, 1)))
	c.saw("next is 0: s0+2", l.send(topic, l.seq(0, 2)))
	c.saw("duplicate of the batch before the wrap", l.send(topic, l.seq(2147483640, 8)))
	c.saw("duplicate of the batch after the wrap", l.send(topic, l.seq(0, 2)))
	topic = l.topic(1, broker.TopicConfig{})
	c.saw("straddling s2147483640+20", l.send(topic, l.seq(2147483640, 20)))
	c.saw("DescribeProducers: last is 11", l.state(topic))
	c.saw("duplicate of the straddling batch", l.send(topic, l.seq(2147483640, 20)))
	c.saw("next s13 refused", l.send(topic, l.seq(13, 1)))
	c.saw("next s12+1", l.send(topic, l.seq(12, 1)))
	c.saw("log", l.log(topic))
	topic = l.topic(1, broker.TopicConfig{})
	l.send(topic, l.seq(2147483646, 1))
	c.saw("s2147483646+1, then straddling with state s2147483647+3", l.send(topic, l.seq(2147483647, 3)))
	c.saw("then s2+1", l.send(topic, l.seq(2, 1)))
}

// case06: what DescribeProducers returns.
func case06(c *caseRun) {
	l := c.lab(broker.Config{})
	topic := l.topic(1, broker.TopicConfig{})
	c.saw("DescribeProducers before anything was produced", l.state(topic))
	l.send(topic, l.seq(0, 2))
	s := l.seq(2, 3)
	s.Records[1].Timestamp += 5
	l.send(topic, s)
	c.saw("DescribeProducers, idempotent, s0+2 s2+3", l.state(topic))
	resp := l.ask(0, raw.DescribeProducers(topic, 0)).(*kmsg.DescribeProducersResponse)
	last := resp.Topics[0].Partitions[0].ActiveProducers[0].LastTimestamp
	c.saw("… LastTimestamp = last batch's max record timestamp", fmt.Sprint(last == s.Records[1].Timestamp))
}

// case17: what survives a restart.
func case17(c *caseRun) {
	l := c.lab(broker.Config{})
	topic := l.topic(1, broker.TopicConfig{})
	ask := func() (cluster string, id [16]byte) {
		m := kmsg.NewPtrMetadataRequest()
		m.SetVersion(12)
		m.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
		r := l.ask(0, m).(*kmsg.MetadataResponse)
		return *r.ClusterID, r.Topics[0].TopicID
	}
	cluster, id := ask()
	l.restart(0, true)
	cluster2, id2 := ask()
	c.saw("cluster id and topic id over a restart", fmt.Sprint(cluster == cluster2 && cluster != "", id == id2 && id != [16]byte{}))
}
