package transaction

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/txn"
)

// ourProgress has the coordinator of our group say which transaction was committed last.
func (w *world) ourProgress(ordinal int64) {
	w.now.Age += 1000
	w.s.enter(w.now)
	meta := txn.Metadata("us", 1)
	p := kmsg.NewOffsetFetchResponseTopicPartition()
	p.Offset, p.Metadata = ordinal, &meta
	topic := kmsg.NewOffsetFetchResponseTopic()
	topic.Topic, topic.Partitions = "a", append(topic.Partitions, p)
	r := kmsg.NewPtrOffsetFetchResponse()
	r.Topics = append(r.Topics, topic)
	w.s.starter.onProgress(r)
}

// A broker that is apart from the others, and takes itself for the coordinator still, refuses the epoch of a transaction whose time is
// over, and which the coordinator has committed as was decided: with version 2 that raises the epoch. It was taken for another producer.
func TestACommitThatAFormerCoordinatorDidNotKnowIsOurs(t *testing.T) {
	decided := spool.Decision{Ordinal: 9, Identity: protocol.ProducerIdentity{ID: 7, Epoch: 3}, EndVersion: endVersion2, Key: "a"}
	w := suspected(t, 61_000)
	w.s.known.Decision = decided
	if w.seen(1, 7, 4, "CompleteCommit", -1); w.s.starter.phase != looking {
		t.Fatalf("%s, want the progress to be read", phaseNames[w.s.starter.phase])
	}
	for range describeTries - 1 { // a broker that is apart may be asked for it, too
		if w.ourProgress(8); w.s.starter.phase != looking {
			t.Fatalf("%s before the progress was read %d times", phaseNames[w.s.starter.phase], describeTries)
		}
	}
	if w.ourProgress(9); w.s.starter.phase != initialising || w.s.known.Decision.Outcome != spool.OutcomeCommitted {
		t.Errorf("%s, the outcome is %v", phaseNames[w.s.starter.phase], w.s.known.Decision.Outcome)
	}
}

// Without our progress it was another producer's.
func TestACommitWithoutOurProgressIsAnotherProducers(t *testing.T) {
	w := suspected(t, 61_000)
	w.s.known.Decision = spool.Decision{Ordinal: 9, Identity: protocol.ProducerIdentity{ID: 7, Epoch: 3}, EndVersion: endVersion2, Key: "a"}
	w.seen(1, 7, 4, "CompleteCommit", -1)
	for range describeTries {
		w.ourProgress(8)
	}
	if p := w.s.starter.phase; p != fenced {
		t.Errorf("%s, want fenced", phaseNames[p])
	}
	for what, d := range map[string]spool.Decision{
		"decided in another epoch": {Ordinal: 9, Identity: protocol.ProducerIdentity{ID: 7, Epoch: 2}, EndVersion: endVersion2},
		"version 1":                {Ordinal: 9, Identity: protocol.ProducerIdentity{ID: 7, Epoch: 3}, EndVersion: endVersion2 - 1},
		"nothing is decided":       {Ordinal: 9, Identity: protocol.ProducerIdentity{ID: 7, Epoch: 3}, EndVersion: endVersion2, Outcome: spool.OutcomeAborted},
	} {
		w := suspected(t, 61_000)
		w.s.known.Decision = d
		if w.seen(1, 7, 4, "CompleteCommit", -1); w.s.starter.phase != fenced {
			t.Errorf("%s: %s, want fenced", what, phaseNames[w.s.starter.phase])
		}
	}
}
