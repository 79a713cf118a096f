package transaction

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// added is the answer to AddPartitionsToTxn: a topic has partition 0 alone, and one that is not there keeps the others out.
func (w *world) added(q *kmsg.AddPartitionsToTxnRequest) kmsg.Response {
	lacks := false
	for _, t := range q.Topics {
		for _, p := range t.Partitions {
			lacks = lacks || p > 0
		}
	}
	out := kmsg.NewPtrAddPartitionsToTxnResponse()
	for _, t := range q.Topics {
		rt := kmsg.NewAddPartitionsToTxnResponseTopic()
		rt.Topic = t.Topic
		if !lacks {
			w.marks.members[t.Topic] = true
		}
		for _, p := range t.Partitions {
			rp := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
			switch rp.Partition = p; {
			case p > 0:
				rp.ErrorCode = int16(protocol.UnknownTopicOrPartition)
			case lacks:
				rp.ErrorCode = int16(protocol.OperationNotAttempted)
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		out.Topics = append(out.Topics, rt)
	}
	return out
}

// former is a partition of topic a that its topic had before it was created anew with one.
func former(id byte) spool.DecidedPartition {
	return spool.DecidedPartition{Topic: "a", Partition: 1, TopicID: protocol.TopicID{'a', id}, First: 10, Records: 1}
}

// A committed transaction wrote to a partition that went with its topic: nobody can see a marker there, and the records leave.
func TestNoMarkerIsAwaitedInAFormerTopic(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := lostMarker(t, version)
		w.disk.Unconfirmed[0].Partitions = append(w.disk.Unconfirmed[0].Partitions, former(9))
		w.restarted(version)
		w.run()
		if len(w.disk.Unconfirmed) > 0 || w.settled[0] != 3 {
			t.Fatalf("version %d: unconfirmed %v, %d settled", version, w.disk.Unconfirmed, w.settled[0])
		}
	}
}

// The topic is created anew, with fewer partitions, while an aborted transaction's marker is looked for.
func TestAnAbortedTransactionIsNotLookedForInAFormerTopic(t *testing.T) {
	w := newWorld(t, 1, 2, "a")
	w.spooled(1, 0)
	w.run()
	p := w.s.byTopic["a"].partition(1)
	p.mark.topicID = protocol.TopicID{'a', 9}
	c := newCut()
	c.touched = append(c.touched, p)
	w.s.markers.aborted(c)
	w.spooled(1, 0)
	w.run()
	if p.mark.sight != seen || p.mark.listed {
		t.Fatalf("a marker is looked for in a partition that is gone: %+v", p.mark)
	}
}

// A marker that is missing in a partition of a former topic is written nowhere, and keeps nothing from leaving.
func TestNoMarkerIsWrittenInAFormerTopic(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := newWorld(t, 1, version, "a")
		w.spooled(1, 0)
		w.run()
		p := w.s.byTopic["a"].partition(1)
		p.mark.topicID = protocol.TopicID{'a', 9}
		w.s.markers.lose(&p.mark)
		w.spooled(1, 0)
		w.run()
		if p.lane.lost != 0 || w.s.markers.healed != 0 {
			t.Fatalf("version %d: markers missing in %d partitions, written %d", version, p.lane.lost, w.s.markers.healed)
		}
	}
}

// The topic is created anew, with fewer partitions, while a missing marker is being written: the transaction that carries nothing
// cannot be in a partition that is gone, and must not wait for it.
func TestWritingAMarkerEndsWhenItsTopicIsGone(t *testing.T) {
	for _, commit := range []bool{false, true} {
		for _, version := range []int16{1, 2} {
			w := lostMarker(t, version)
			w.longest = 1 << 30
			if commit {
				w.disk.Unconfirmed[0].Partitions = append(w.disk.Unconfirmed[0].Partitions, former(0))
				w.restarted(version)
			} else {
				clear(w.marks.hangs)
				w.run()
				w.s.byTopic["a"].partition(1).mark.topicID = protocol.TopicID{'a'}
			}
			w.s.markers.lose(&w.s.byTopic["a"].partition(1).mark)
			w.spooled(1, 0)
			for range 3_000 {
				if !w.step() {
					w.now.Age += 20
					w.do(w.s.Tick(w.now))
				}
			}
			if c := w.s.sending; c == nil || c.healing == nil {
				t.Fatalf("commit %v, version %d: no transaction is open that writes the marker", commit, version)
			}
			w.marks.anew = 1
			w.run()
			if len(w.marks.hangs)+len(w.disk.Unconfirmed) > 0 || w.settled[0] != 4 {
				t.Fatalf("commit %v, version %d: markers missing %v, unconfirmed %v, %d settled", commit, version, w.marks.hangs, w.disk.Unconfirmed, w.settled[0])
			}
		}
	}
}
