package cluster

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

func names(q Request) (list []string) {
	r, ok := q.Message.(*kmsg.MetadataRequest)
	if !ok {
		return nil
	}
	for i := range r.Topics {
		list = append(list, *r.Topics[i].Topic)
	}
	return list
}

// A topic that records come for is asked about at once and alone, however soon after the last metadata; the answer is no newer
// view of the others, and the next full request is due when it was.
func TestANewTopicIsAskedAboutAtOnceAndAlone(t *testing.T) {
	r := newRig(t, nil)
	old := r.Follow("old", id(1))
	r.SetPending(old, true)
	r.metadata(r.asked(), topic("old", id(1), [2]int32{1, 5}))
	gen := r.Generation()

	r.after(1)
	fresh := r.Follow("new", protocol.TopicID{})
	r.SetPending(fresh, true)
	q := r.asked()
	if got := names(q); len(got) != 1 || got[0] != "new" {
		t.Fatalf("asked about %v, want the new topic", got)
	}
	r.after(1)
	r.metadata(q, topic("new", id(2), [2]int32{1, 1}))
	if leader, _ := fresh.Leader(0); leader != 1 || fresh.Count != 1 {
		t.Errorf("leader %d, %d partitions", leader, fresh.Count)
	}
	if r.Generation() != gen {
		t.Errorf("generation %d, want %d", r.Generation(), gen)
	}
	r.Update()
	if q := r.Requests(); len(q) != 0 {
		t.Errorf("asked again: %+v", q)
	}
	r.after(1000)
	if r.Update(); len(r.Requests()) != 0 {
		t.Error("asked about all, after a back-off")
	}
	r.after(300_000 - 1002)
	if got := names(r.asked()); len(got) != 2 {
		t.Errorf("asked about %v when the old view is old, want both", got)
	}
}

func TestATopicThatComesWhileMetadataIsAskedForIsAskedAboutThen(t *testing.T) {
	r := newRig(t, nil)
	q := r.asked()
	fresh := r.Follow("new", protocol.TopicID{})
	r.SetPending(fresh, true)
	r.Update()
	if got := r.Requests(); len(got) != 0 {
		t.Fatalf("asked beside another request: %+v", got)
	}
	r.metadata(q)
	if got := names(r.asked()); len(got) != 1 || got[0] != "new" {
		t.Errorf("asked about %v, want the new topic", got)
	}
}

// A broker may have created the topic a moment before it has a leader for it.
func TestANewTopicWithoutLeaderIsAskedAboutAgainAfterABackoff(t *testing.T) {
	r := newRig(t, nil)
	r.metadata(r.asked())
	r.after(1)
	fresh := r.Follow("new", protocol.TopicID{})
	r.SetPending(fresh, true)
	r.metadata(r.asked(), topic("new", id(2), [2]int32{-1, 0}))
	r.Update()
	if q := r.Requests(); len(q) != 0 {
		t.Fatalf("asked again without a pause: %+v", q)
	}
	r.after(200)
	r.metadata(r.asked(), topic("new", id(2), [2]int32{1, 0}))
	if leader, _ := fresh.Leader(0); leader != 1 {
		t.Errorf("leader %d", leader)
	}
}

func TestAnAnswerMayNameALeaderThatMetadataDidNot(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", id(1))
	r.SetPending(a, true)
	r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 5}))
	listed := r.listed()
	if r.Leads(a, 0, 9, 6) {
		t.Error("a leader that no address is known of is believed")
	}
	r.Met(9)
	r.Met(9)
	if r.Leads(a, 0, 9, 5) || !r.Leads(a, 0, 9, 6) || r.Leads(a, 0, 9, 6) {
		t.Error("only a newer leader epoch is news")
	}
	if leader, epoch := a.Leader(0); leader != 9 || epoch != 6 {
		t.Errorf("leader %d in epoch %d", leader, epoch)
	}
	if r.listed() != listed {
		t.Errorf("%d brokers are listed, want the %d that metadata named", r.listed(), listed)
	}
}

// REBOOTSTRAP_REQUIRED says that the broker's view is worth nothing (KIP-1102).
func TestMetadataWithAnErrorChangesNothing(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", id(1))
	r.SetPending(a, true)
	r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 5}))
	gen := r.Generation()
	r.after(300_000)
	q := r.asked()
	m := kmsg.NewPtrMetadataResponse()
	m.ErrorCode = int16(protocol.RebootstrapRequired)
	r.Handle(q, Answer{Message: m})
	if leader, _ := a.Leader(0); leader != 1 || r.Generation() != gen {
		t.Errorf("leader %d, generation %d, want 1 and %d", leader, r.Generation(), gen)
	}
	r.after(200)
	if got := names(r.asked()); len(got) != 1 {
		t.Errorf("asked about %v after a pause", got)
	}
}
