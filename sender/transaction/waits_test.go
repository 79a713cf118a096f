package transaction

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/txn"
)

// calls counts how often the sender has itself woken within an hour; answer answers what it asks, a millisecond later.
func (w *world) calls(answer func(*sender.Request) sender.Response) (n int) {
	at := w.now.Age + 1
	for end := w.now.Age + 3600_000; w.now.Age < end; n++ {
		w.now.Age = max(w.now.Age+1, at)
		e := w.s.Tick(w.now)
		w.do(e)
		for at = e.WakeAt; len(w.requests) > 0; at = e.WakeAt {
			r := w.requests[0]
			w.requests = w.requests[1:]
			w.now.Age++
			e = w.s.Handle(w.now, answer(&r))
			w.do(e)
		}
	}
	return n
}

// Nobody says what the cluster has finalized. It was asked for again each retry.backoff.ms, all that time.
func TestAStartThatIsNotAnsweredWaitsLongerEachTime(t *testing.T) {
	w := newWorld(t, 1, 2, "a")
	w.run()
	w.s.starter.version, w.s.starter.versionsAt = 0, 0
	w.s.starter.restart()
	n := w.calls(func(r *sender.Request) sender.Response {
		if _, ok := r.Message.(*kmsg.ApiVersionsRequest); ok {
			return sender.Response{ID: r.ID, Conn: sender.Conn{Broker: r.Broker}, Err: errors.New("connection refused")}
		}
		return w.answer(r)
	})
	if n > 20_000 { // retry.backoff.max.ms is 1 s here
		t.Errorf("%d calls within an hour", n)
	}
}

// Nobody leads the partition whose log tells what became of the decided transaction. It was looked at each retry.backoff.ms.
func TestALogWithoutALeaderIsLookedAtNowAndThen(t *testing.T) {
	w := newWorld(t, 1, 2, "a")
	w.spooled(1, 0)
	w.run()
	w.s.known.Decision = spool.Decision{Ordinal: 9, Partitions: []spool.DecidedPartition{{Topic: "a", Partition: 1, First: 10, Last: 10, Records: 1, TopicID: w.s.lanes[0].remote.Bound}}}
	w.s.starter.restart()
	w.s.enter(w.now)
	w.s.starter.search("there is no progress")
	w.do(w.s.end())
	n := w.calls(w.answer)
	if w.s.starter.phase != searching || n > 20_000 {
		t.Errorf("%s, %d calls within an hour", phaseNames[w.s.starter.phase], n)
	}
}

// A broker that is apart from the others says that it coordinates the group, and that nothing was committed. The others know better:
// this spool is a copy.
func TestProgressOfAFormerCoordinatorDoesNotCount(t *testing.T) {
	w := newWorld(t, 1, 2, "a")
	w.spooled(1, 0)
	for range 1000 {
		if len(w.requests) == 0 {
			w.now.Age += 20
			w.do(w.s.Tick(w.now))
			continue
		}
		r := w.requests[0]
		w.requests = w.requests[1:]
		w.now.Age++
		resp := w.answer(&r)
		switch m := resp.Message.(type) {
		case *kmsg.MetadataResponse:
			m.Brokers = append(m.Brokers, kmsg.MetadataResponseBroker{NodeID: 2})
		case *kmsg.FindCoordinatorResponse:
			if q := r.Message.(*kmsg.FindCoordinatorRequest); r.Broker == 2 && q.CoordinatorType == 0 {
				m.Coordinators[0].NodeID = 2
			}
		case *kmsg.OffsetFetchResponse:
			if r.Broker == 2 {
				m.Groups = []kmsg.OffsetFetchResponseGroup{{Group: "spoold.id", Topics: []kmsg.OffsetFetchResponseGroupTopic{{
					Topic: "a", Partitions: []kmsg.OffsetFetchResponseGroupTopicPartition{{Offset: 9, Metadata: kmsg.StringPtr(txn.Metadata("us", 1))}},
				}}}}
			}
		case *kmsg.AddPartitionsToTxnResponse, *kmsg.TxnOffsetCommitResponse:
			t.Fatalf("%T: a copy has begun a transaction", r.Message)
		}
		e := w.s.Handle(w.now, resp)
		if e.Stop != nil {
			return
		}
		w.do(e)
	}
	t.Errorf("the copy was not noticed: %s, %+v", phaseNames[w.s.starter.phase], w.s.starter.begun)
}
