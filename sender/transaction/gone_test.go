package transaction

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/accumulator"
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
	return spool.DecidedPartition{Topic: "a", Partition: 1, TopicID: protocol.TopicID{'a', id}, First: 10, Last: 10, Records: 1}
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

// sequence is a place in a producer's stream to a partition.
type sequence struct {
	protocol.TopicPartition
	protocol.ProducerIdentity
	protocol.Sequence
}

// once: a sequence is given to one batch. A broker that has one with it takes the second for a copy: it says that it is
// acknowledged, and does not append it.
func (w *world) once(b *accumulator.Batch) {
	if w.given == nil {
		w.given = map[sequence]spool.Index{}
	}
	k := sequence{protocol.TopicPartition{Topic: b.Topic, Partition: b.Partition}, b.Identity, b.Base}
	if first, ok := w.given[k]; ok && first != b.Spans[0].First {
		w.t.Fatalf("%s %v sequence %d is given to record %d, and was given to record %d", k.TopicPartition, b.Identity, b.Base, b.Spans[0].First, first)
	}
	w.given[k] = b.Spans[0].First
}

// Up to version 11 Produce goes by name, so the new topic may have batches before metadata shows it. Under version 1 the next
// transaction has the same epoch.
func TestSequencesGoOnInATopicThatWasCreatedAnew(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := newWorld(t, 1, version, "a")
		w.longest = 1 << 30
		w.spooled(3, 0)
		w.run()
		w.marks.anew = 1
		w.spooled(2, 0)
		w.run()
		for range 2 { // two looks show that it is another topic
			w.now.Age += 1000
			w.s.view.Want()
			w.do(w.s.Tick(w.now))
			for w.step() {
			}
		}
		if l := w.s.byTopic["a"]; l.remote.Bound[1] != 1 {
			t.Fatalf("version %d: the topic is still taken for the former one", version)
		}
		w.spooled(1, 0)
		w.spooled(4, 0)
		w.run()
		if w.settled[0] != 10 {
			t.Errorf("version %d: %d left the spool, want 10", version, w.settled[0])
		}
	}
}

// What a start finds of the progress is one log's word: a coordinator that ended at once may have lost its decision when only some of
// the markers were written, and the next one has aborted the rest.
func TestAStartLooksIntoTheLogsOfWhatItFindsCommitted(t *testing.T) {
	for _, undone := range []bool{false, true} {
		w := newWorld(t, 1, 2, "a")
		w.longest = 1 << 30
		w.spooled(3, 0)
		for !w.disk.Decision.Open() || len(w.disk.Decision.Partitions) == 0 {
			if !w.step() {
				w.now.Age += 20
				w.do(w.s.Tick(w.now))
			}
		}
		w.restarted(2)
		w.marks.undone = undone
		w.s.enter(w.now)
		w.s.runner.outcome(true, nil)
		w.do(w.s.end())
		for range 3_000 {
			if !w.step() {
				w.now.Age += 20
				w.do(w.s.Tick(w.now))
			}
		}
		if left := w.settled[0]; left > 0 == undone || len(w.disk.Parked) > 0 != undone {
			t.Errorf("aborted in the log: %v, and %d records left the spool, parked %v", undone, left, w.disk.Parked)
		}
	}
}
