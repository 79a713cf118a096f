package broker_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/raw"
)

// three brokers, a topic on all of them, and who leads it.
func three(t *testing.T, cfg broker.Config, minISR int) (l *lab, topic string, leader int32) {
	cfg.Brokers = 3
	l = newLab(t, cfg)
	topic = l.topic(1, broker.TopicConfig{MinISR: minISR})
	return l, topic, l.to(topic)
}

// later puts a request to a broker and does not wait for the answer, which it gives when there is one.
func (l *lab) later(to int32, req kmsg.Request) (answer func() *kmsg.ProduceResponseTopicPartition) {
	k, ok := l.Open(to, func() {})
	if !ok {
		l.t.Fatalf("broker %d does not listen", to)
	}
	var got *kmsg.ProduceResponseTopicPartition
	k.Receive(req, func(r kmsg.Response) { got = &r.(*kmsg.ProduceResponse).Topics[0].Partitions[0] })
	return func() *kmsg.ProduceResponseTopicPartition { return got }
}

func (l *lab) batch(topic string, base int32, timeout int32) *kmsg.ProduceRequest {
	return raw.Produce(11, -1, timeout, raw.Part{Topic: topic, Records: l.seq(base, 2).Bytes()})
}

func (l *lab) of2(topic string, id int32) broker.ReplicaState {
	all := l.ReplicasOf(topic, 0)
	return all[slices.IndexFunc(all, func(r broker.ReplicaState) bool { return r.Broker == id })]
}

func (l *lab) isr(topic string) []int32 {
	_, isr := l.Assignment(topic, 0)
	slices.Sort(isr)
	return isr
}

// The high watermark is what acks=-1 and readers go by: it may not pass any replica that could lead next.
func TestTheHighWatermarkWaitsForTheSlowestReplicaInSync(t *testing.T) {
	l, topic, leader := three(t, broker.Config{Lag: 10_000, Session: 10_000}, 1)
	slow := (leader + 1) % 3
	l.Slow(slow, true)
	answer := l.later(leader, l.batch(topic, 0, 60_000))
	l.pass(5000)
	if r := l.of2(topic, leader); r.HW != 0 || r.End != 2 || answer() != nil {
		t.Errorf("a follower in sync has nothing yet: high watermark %d of %d, answered %v", r.HW, r.End, answer() != nil)
	}
	l.await("the slow one out of the ISR", func() bool { return !slices.Contains(l.isr(topic), slow) })
	l.pass(100)
	if r := l.of2(topic, leader); r.HW != 2 || answer() == nil || answer().ErrorCode != 0 {
		t.Errorf("it has left the ISR: high watermark %d, answer %s", r.HW, outcome(answer()))
	}
}

// KIP-966: below min.insync.replicas the high watermark stands, so that who left the ISR then has all that was acked.
func TestTheHighWatermarkStandsWhileTheISRIsBelowItsMinimum(t *testing.T) {
	l, topic, leader := three(t, broker.Config{}, 3)
	l.Kill((leader + 1) % 3)
	l.await("an ISR of two", func() bool { return len(l.isr(topic)) == 2 })
	l.pass(100)
	if o := outcome(l.produceAs(leader, 9, 1, raw.Part{Topic: topic, Records: l.seq(0, 2).Bytes()})); o != "NONE off=0" {
		t.Fatalf("acks=1: %s", o)
	}
	l.pass(1000)
	if r := l.of2(topic, leader); r.HW != 0 || r.End != 2 {
		t.Errorf("high watermark %d of %d, with two of three in sync, where there must be three", r.HW, r.End)
	}
}

// A leader that is cut off does not know that another one was elected. It may append; what it acks would be lost.
func TestADeposedLeaderThatBelievesInItselfAcksNothing(t *testing.T) {
	l, topic, old := three(t, broker.Config{}, 2)
	l.fill(topic, 0, 1)
	l.CutOff(old, true)
	answer := l.later(old, l.batch(topic, 2, 2000))
	l.await("another leader", func() bool { return l.Leader(topic, 0) >= 0 && l.Leader(topic, 0) != old })
	l.pass(1000)
	if r := l.of2(topic, old); !r.Leads || r.End != 4 || answer() != nil {
		t.Fatalf("the old leader leads %v, ends at %d, answered %v: want one that believes in itself and waits", r.Leads, r.End, answer() != nil)
	}
	l.pass(2000)
	if o := outcome(answer()); o != "REQUEST_TIMED_OUT" {
		t.Errorf("the deposed leader answers %s", o)
	}
	if p := answer(); p.BaseOffset != 2 {
		t.Errorf("base offset %d with REQUEST_TIMED_OUT: Kafka returns where it was appended, 2", p.BaseOffset)
	}
}

// What the new leader never had may not stay in a log (KIP-101): the offsets are other records' now.
func TestAFollowerThatComesBackCutsWhatTheNewLeaderLacks(t *testing.T) {
	l, topic, old := three(t, broker.Config{}, 2)
	l.fill(topic, 0, 1)
	l.CutOff(old, true)
	l.later(old, l.batch(topic, 2, 60_000))
	l.pass(100)
	l.await("another leader", func() bool { return l.Leader(topic, 0) >= 0 && l.Leader(topic, 0) != old })
	other := l.of(2, 0, 0, 3)
	if o := l.send(topic, other); o != "NONE off=2" {
		t.Fatalf("the new leader: %s", o)
	}
	l.CutOff(old, false)
	l.await("a quiet cluster", l.Quiet)
	l.pass(100)
	r := l.of2(topic, old)
	if n := len(r.Batches); n != 2 || r.Batches[1].PID != 2 || r.End != 5 {
		t.Errorf("the old leader's log: %+v", r.Batches)
	}
	if s := l.known(old, topic, 1); s != "epoch 0 lastSeq 1 txnStart -1 coordEpoch -1" {
		t.Errorf("what it has of the producer whose batch was cut off: %s", s)
	}
}

// A replica joins the ISR when it has all up to the high watermark, in this reign.
func TestAFollowerLeavesTheISRWhenItLagsAndJoinsWhenItHasCaughtUp(t *testing.T) {
	l, topic, leader := three(t, broker.Config{}, 1)
	slow := (leader + 1) % 3
	l.Slow(slow, true)
	l.fill(topic, 0, 3)
	if slices.Contains(l.isr(topic), slow) {
		t.Fatalf("in sync %v, though broker %d does not fetch", l.isr(topic), slow)
	}
	l.Slow(slow, false)
	l.await("all in sync", func() bool { return len(l.isr(topic)) == 3 })
	if r := l.of2(topic, slow); r.End != 6 {
		t.Errorf("broker %d is in sync and ends at %d of 6", slow, r.End)
	}
}

// Partition.isFollowerInSync: a new leader's high watermark may lag. A follower that has all below it may lack what was acked before, and
// must have all from before the reign to join.
func TestAFollowerJoinsTheISROnceItHasWhatTheReignBeganWith(t *testing.T) {
	l, topic, old := three(t, broker.Config{Lag: 1000, Session: 100_000, Fetch: 200}, 1)
	next, late := (old+1)%3, (old+2)%3
	l.fill(topic, 0, 2)
	l.await("a quiet cluster", l.Quiet)
	l.pass(1000)
	l.Slow(late, true)
	const end = 4 + 2*12 // more than one fetch brings
	for base := int32(4); base < end; base += 2 {
		l.produceAs(old, 9, 1, raw.Part{Topic: topic, Records: l.seq(base, 2).Bytes()})
	}
	// All is replicated when the late one is out of the ISR. The next leader has it, and does not know that it is.
	l.await("the high watermark at the end", func() bool { return l.of2(topic, old).HW == end })
	if r := l.of2(topic, next); r.End != end || r.HW != l.of2(topic, late).End {
		t.Fatalf("the next leader has high watermark %d of %d: choose another seed", r.HW, r.End)
	}
	l.Move(topic, 0, next)
	l.Slow(old, true) // which would tell the next leader with its fetches
	l.await("a leader that has learned it", func() bool { return l.of2(topic, next).Leads })
	l.Slow(late, false)
	l.await("the late one in sync", func() bool {
		in, has := slices.Contains(l.isr(topic), late), l.of2(topic, late).End
		if in && has < end {
			t.Fatalf("in sync with %d of %d, high watermark %d", has, end, l.of2(topic, next).HW)
		}
		return in
	})
}

// Nothing is written, so nobody lags: an idle follower stays in the ISR for ever.
func TestAnIdleFollowerStaysInTheISR(t *testing.T) {
	l, topic, leader := three(t, broker.Config{}, 1)
	l.fill(topic, 0, 1)
	l.await("a quiet cluster", l.Quiet)
	l.Slow((leader+1)%3, true)
	l.pass(60_000)
	if len(l.isr(topic)) != 3 {
		t.Errorf("in sync %v: an idle follower has all there is", l.isr(topic))
	}
}

// Where it leads nothing and is in no ISR there is nothing to decide, and the others receive it all the same.
func TestABrokerThatHasShutDownIsListedNoMore(t *testing.T) {
	l := newLab(t, broker.Config{Brokers: 3})
	l.Shutdown(2)
	l.pass(1000)
	for _, id := range []int32{0, 1} {
		m := l.ask(id, raw.Metadata(12, "none")).(*kmsg.MetadataResponse)
		if len(m.Brokers) != 2 || slices.ContainsFunc(m.Brokers, func(b kmsg.MetadataResponseBroker) bool { return b.NodeID == 2 }) {
			t.Errorf("broker %d lists %+v", id, m.Brokers)
		}
	}
}

// KIP-966: when the ISR is empty, one that left it below the minimum is as good: nothing was acked since.
func TestAnEligibleLeaderReplicaIsElectedWhenTheISRIsEmpty(t *testing.T) {
	for _, noELR := range []bool{false, true} {
		t.Run(fmt.Sprintf("NoELR %v", noELR), func(t *testing.T) {
			l, topic, last := three(t, broker.Config{NoELR: noELR}, 2)
			l.fill(topic, 0, 3)
			l.await("a quiet cluster", l.Quiet)
			first, second := (last+1)%3, (last+2)%3
			for _, id := range []int32{first, second} {
				l.Shutdown(id)
				l.await("a smaller ISR", func() bool { return !slices.Contains(l.isr(topic), id) })
				l.pass(100)
			}
			elr := l.EligibleLeaders(topic, 0)
			l.Kill(last)
			l.await("no leader", func() bool { return l.Leader(topic, 0) < 0 })
			l.Start(second)
			l.pass(1000)
			want := second // it left when the ISR fell below two
			if noELR {
				want = -1
			}
			if got := l.Leader(topic, 0); got != want {
				t.Errorf("leader %d, want %d; eligible were %v", got, want, elr)
			}
			l.Start(last)
			l.Start(first)
			l.await("a quiet cluster", l.Quiet)
			if got := l.last(topic, 1, 5); got != "1 known: last→ ok@4" {
				t.Errorf("the last batch: %s", got)
			}
		})
	}
}

// A broker that was killed is not believed to have all it had; but if nobody else is left, the one that led last is.
func TestAKilledEligibleReplicaIsOnlyElectedIfItLedLast(t *testing.T) {
	l, topic, leader := three(t, broker.Config{}, 2)
	l.fill(topic, 0, 1)
	l.await("a quiet cluster", l.Quiet)
	ids := []int32{leader, (leader + 1) % 3, (leader + 2) % 3}
	for i, id := range ids { // the leader goes first, so that another one leads last
		l.Kill(id)
		l.await("it out of the ISR", func() bool { return !slices.Contains(l.isr(topic), id) })
		if i < 2 {
			l.await("another leader", func() bool { return l.Leader(topic, 0) >= 0 })
		}
	}
	last := ids[2]
	l.Start(ids[1])
	l.pass(2000)
	if got := l.Leader(topic, 0); got != -1 {
		t.Errorf("broker %d was killed and leads, though broker %d led last", got, last)
	}
	l.Start(last)
	l.pass(2000)
	if got := l.Leader(topic, 0); got != last {
		t.Errorf("leader %d, want %d, which led last", got, last)
	}
}

// KIP-207: a new leader's high watermark may lie behind what its predecessor returned. It says so, instead of returning an end of the log
// that goes back.
func TestANewLeaderDoesNotTellTheEndOfTheLogBeforeItKnows(t *testing.T) {
	l, topic, old := three(t, broker.Config{Lag: 10_000, Session: 10_000, Fetch: 200}, 1)
	l.fill(topic, 0, 1)
	l.await("a quiet cluster", l.Quiet)
	l.pass(1000)
	next := (old + 1) % 3
	l.fill(topic, 2, 1) // acked, but followers receive the high watermark with their next fetch
	if l.of2(topic, next).HW >= 4 {
		t.Fatal("the follower has the high watermark already: choose another seed")
	}
	if !l.Move(topic, 0, next) {
		t.Fatal("not moved")
	}
	l.await("a leader that has learned it", func() bool { return l.of2(topic, next).Leads })
	ask := func() int16 {
		r := l.ask(next, raw.ListOffsets(7, topic, raw.Latest, 0)).(*kmsg.ListOffsetsResponse)
		return r.Topics[0].Partitions[0].ErrorCode
	}
	if code := raw.Code(ask()); code != "OFFSET_NOT_AVAILABLE" {
		t.Errorf("high watermark %d of %d at the beginning of a reign: %s", l.of2(topic, next).HW, l.of2(topic, next).End, code)
	}
	l.pass(5000)
	if got := l.latest(topic); got != "4" {
		t.Errorf("the end of the log when followers have fetched: %s", got)
	}
}

// DelayedProduce: a leader that has appended and loses its leadership answers as if it had not. The batch may stay.
func TestNotLeaderIsAnsweredAfterAnAppendWhenLeadershipMoves(t *testing.T) {
	l, topic, old := three(t, broker.Config{Lag: 10_000, Session: 10_000}, 1)
	l.fill(topic, 0, 1)
	l.await("a quiet cluster", l.Quiet)
	slow, next := (old+1)%3, (old+2)%3
	l.Slow(slow, true)
	answer := l.later(old, l.batch(topic, 2, 60_000))
	l.await("it at the next leader", func() bool { return l.of2(topic, next).End == 4 })
	if answer() != nil {
		t.Fatalf("answered though a follower in sync lacks it: %s", outcome(answer()))
	}
	l.Move(topic, 0, next)
	l.await("an answer", func() bool { return answer() != nil })
	p := answer()
	if o := outcome(p); o != "NOT_LEADER_FOR_PARTITION" || p.BaseOffset != 2 {
		t.Errorf("answer %s, base offset %d; want NOT_LEADER_FOR_PARTITION, and 2", o, p.BaseOffset)
	}
	if p.CurrentLeader.LeaderID != next {
		t.Errorf("the answer names leader %d (KIP-951), want %d", p.CurrentLeader.LeaderID, next)
	}
	l.Slow(slow, false)
	l.await("a quiet cluster", l.Quiet)
	if o := l.send(topic, l.seq(2, 2)); o != "NONE off=2" {
		t.Errorf("the same batch at the new leader, which had it: %s", o)
	}
}
