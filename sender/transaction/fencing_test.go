package transaction

import (
	"errors"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/txn"
)

// suspected is a sender that was refused for its epoch, whose transaction was begun at once, some time ago.
func suspected(t *testing.T, ago int64) *world {
	w := newWorld(t, 1, 2, "a")
	w.spooled(1, 0)
	w.run()
	s := &w.s.starter
	w.now.Age++
	opened := w.now.Age
	w.now.Age += ago
	w.s.enter(w.now)
	s.begun.identity, s.begun.openedAt, s.begun.lasts = protocol.ProducerIdentity{ID: 7, Epoch: 3}, opened, 60_000
	s.phase = describing
	return w
}

// seen has the coordinator say so often, a second apart, what it has open.
func (w *world) seen(times int, id int64, epoch int16, state string, started int64) {
	for range times {
		if w.s.starter.phase != describing {
			return
		}
		w.now.Age += 1000
		w.s.enter(w.now)
		st := kmsg.NewDescribeTransactionsResponseTransactionState()
		st.TransactionalID, st.State, st.ProducerID, st.ProducerEpoch, st.StartTimestamp = "id", state, id, epoch, started
		r := kmsg.NewPtrDescribeTransactionsResponse()
		r.TransactionStates = append(r.TransactionStates, st)
		w.s.starter.described(r)
	}
}

// The coordinator raises the epoch of a transaction whose time is over, and may find nobody to replicate its abort for hours.
// After 5 s it was taken for another producer.
func TestTheCoordinatorsAbortIsAwaitedWhileNobodyReplicatesIt(t *testing.T) {
	w := suspected(t, 61_000)
	w.seen(5000, 7, 4, "Ongoing", 5)
	if p := w.s.starter.phase; p != describing {
		t.Fatalf("%s, and the transaction is still open", phaseNames[p])
	}
	w.seen(1, 7, 4, "PrepareAbort", 5)
	w.seen(1, 7, 4, "CompleteAbort", 5)
	if p := w.s.starter.phase; p != looking {
		t.Fatalf("%s after the abort", phaseNames[p])
	}
}

func TestAnotherProducersTransactionIsNoAbortOfTheCoordinator(t *testing.T) {
	for _, c := range []struct {
		what    string
		ago     int64
		id      int64
		epoch   int16
		state   string
		started int64
		times   int
	}{
		{"two epochs later", 61_000, 7, 5, "Ongoing", 5, 1},
		{"another producer id", 61_000, 8, 4, "Ongoing", 5, 1},
		{"begun at another time", 61_000, 7, 4, "Ongoing", 6, describeTries},
		{"committed", 61_000, 7, 4, "CompleteCommit", 5, 1},
		{"before the time is over", 1000, 7, 4, "Ongoing", 5, describeTries},
	} {
		w := suspected(t, c.ago)
		if c.ago > 60_000 {
			w.seen(100, 7, 4, "Ongoing", 5)
		}
		if w.seen(c.times-1, c.id, c.epoch, c.state, c.started); w.s.starter.phase != describing {
			t.Errorf("%s: %s too early", c.what, phaseNames[w.s.starter.phase])
		}
		if w.seen(1, c.id, c.epoch, c.state, c.started); w.s.starter.phase != fenced {
			t.Errorf("%s: %s", c.what, phaseNames[w.s.starter.phase])
		}
	}
}

// A broker that is apart from the others, and takes itself for the coordinator still, gives an epoch that is older than ours. It was
// taken for another producer's.
func TestAnEpochBelowOursIsNotAnotherProducers(t *testing.T) {
	for _, state := range []string{"Ongoing", "PrepareAbort", "CompleteAbort", "CompleteCommit", "Empty"} {
		w := suspected(t, 1000)
		for range 20 {
			if w.seen(1, 7, 1, state, 5); w.s.starter.begun.owner >= 0 {
				t.Errorf("%s: the same broker is asked again, and the coordinator is not looked up", state)
			}
		}
		if p := w.s.starter.phase; p != describing {
			t.Errorf("%s: %s after what a former coordinator said", state, phaseNames[p])
		}
		if w.seen(1, 7, 3, "Empty", -1); w.s.starter.phase != looking {
			t.Errorf("%s: %s, and the coordinator has our epoch", state, phaseNames[w.s.starter.phase])
		}
		w.s.starter.phase = describing
		if w.seen(1, 7, 5, "Empty", -1); w.s.starter.phase != fenced {
			t.Errorf("%s: %s, and the coordinator has a newer epoch", state, phaseNames[w.s.starter.phase])
		}
	}
}

// A transaction did not end in time, so the next one is to be given more. The coordinator aborts this one when its own time is over.
func TestTheTimeThatIsOverIsThatOfTheTransactionAtHand(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := newWorld(t, 1, version, "a")
		w.longest = 1 << 30
		w.spooled(1, 0)
		for w.s.sending == nil || !slices.ContainsFunc(w.requests, func(r sender.Request) bool { return r.Kind == sender.KindProduce }) {
			if !w.step() {
				w.now.Age += 20
				w.do(w.s.Tick(w.now))
			}
		}
		s := &w.s.starter
		w.now.Age += 50_000
		w.s.enter(w.now)
		if w.s.sending.admitted = 1; !s.runner.raiseTimeout() {
			t.Fatal("no more time is asked for")
		}
		w.now.Age += 10_000
		w.s.enter(w.now)
		id := w.s.m.Identity()
		w.s.m.Fence(protocol.ProducerFenced, "EndTxn: PRODUCER_FENCED")
		s.broken()
		if w.seen(1, int64(id.ID), int16(id.Epoch)+1, "CompleteAbort", -1); s.phase != looking {
			t.Errorf("version %d: %s after the coordinator's abort", version, phaseNames[s.phase])
		}
	}
}

// An epoch does not say which spool took the id, and each spool leaves its progress on a key of its own: take-over had to be said
// twice, and was of no use at all where two other spools had used the id.
func TestATakeOverIsSaidOnceHoweverManySpoolsUsedTheID(t *testing.T) {
	for _, why := range []struct{ text, by string }{{"its producer id and epoch are 7/9", ""}, {"spool them has used the transactional id", "them"}} {
		w := newWorld(t, 1, 2, "a")
		w.others = []string{"them", "those"}
		w.spooled(1, 0)
		w.s.enter(w.now)
		w.s.starter.fence(why.text, why.by)
		w.do(w.s.end())
		e, err := w.s.Operate(w.now, sender.TransactionTakeOver)
		if err != nil {
			t.Fatal(err)
		}
		w.do(e)
		w.run()
		if p := w.s.starter.phase; p != running || w.disk.TookOver != "them those" && w.disk.TookOver != "those them" {
			t.Fatalf("%s: %s after take-over, and the spool has %q", why.text, phaseNames[p], w.disk.TookOver)
		}
		w.others = append(w.others, "another")
		w.s.enter(w.now)
		w.s.starter.restart()
		w.do(w.s.end())
		for range 100 {
			if !w.step() {
				w.now.Age += 20
				w.do(w.s.Tick(w.now))
			}
		}
		if p := w.s.starter.phase; p != fenced {
			t.Errorf("%s: %s, and one more spool has used the id since", why.text, phaseNames[p])
		}
	}
}

// othersProgress is the progress of other spools, each on a key of its own.
func (w *world) othersProgress() *kmsg.OffsetFetchResponse {
	out := kmsg.NewPtrOffsetFetchResponse()
	if w.marks.forgot {
		p := kmsg.NewOffsetFetchResponseTopicPartition()
		p.Offset, p.ErrorCode = -1, int16(protocol.UnstableOffsetCommit)
		rt := kmsg.NewOffsetFetchResponseTopic()
		rt.Topic, rt.Partitions = w.topics[0], append(rt.Partitions, p)
		out.Topics = append(out.Topics, rt)
	}
	for i, id := range w.others {
		text := txn.Metadata(id, 1)
		p := kmsg.NewOffsetFetchResponseTopicPartition()
		p.Partition, p.Offset, p.Metadata = int32(i), 2, &text
		rt := kmsg.NewOffsetFetchResponseTopic()
		rt.Topic, rt.Partitions = "other", append(rt.Partitions, p)
		out.Topics = append(out.Topics, rt)
	}
	return out
}

// An InitProducerId whose connection was lost reached the coordinator after the one that was sent instead, and raised the epoch: that
// was taken for another producer, and nothing was sent until an operator said so.
func TestALateInitProducerIdIsNotAnotherProducer(t *testing.T) {
	for _, c := range []struct {
		what  string
		lost  int
		ago   int64
		id    int64
		epoch int16
		state string
		ours  bool
	}{
		{"one was lost", 1, 0, 7, 4, "Empty", true},
		{"one was lost, and it ended our transaction", 1, 0, 7, 4, "CompleteAbort", true},
		{"two were lost", 2, 0, 7, 5, "Empty", true},
		{"none was lost", 0, 0, 7, 4, "Empty", false},
		{"raised twice", 1, 0, 7, 5, "Empty", false},
		{"another producer id", 1, 0, 8, 4, "Empty", false},
		{"somebody has committed", 1, 0, 7, 4, "CompleteCommit", false},
		{"it was lost long ago", 1, lateMs + 1, 7, 4, "Empty", false},
	} {
		w := suspected(t, 1000)
		for range c.lost {
			w.s.starter.late.sent(w.now.Age)
		}
		w.now.Age += c.ago
		w.seen(1, c.id, c.epoch, c.state, 5)
		if p := w.s.starter.phase; (p == looking) != c.ours || !c.ours && p != fenced {
			t.Errorf("%s: %s", c.what, phaseNames[p])
			continue
		}
		if !c.ours {
			continue
		}
		w.s.starter.phase = describing // each explains one raise
		w.s.starter.begun.identity = protocol.ProducerIdentity{ID: 7, Epoch: protocol.ProducerEpoch(c.epoch)}
		if w.seen(1, c.id, c.epoch+1, "Empty", 5); w.s.starter.phase != fenced {
			t.Errorf("%s: then another one came: %s", c.what, phaseNames[w.s.starter.phase])
		}
	}
}

// An InitProducerId that may have been written, and was not answered, is one that may arrive late.
func TestALostInitProducerIdMayArriveLate(t *testing.T) {
	for _, written := range []bool{true, false} {
		w := newWorld(t, 1, 2, "a")
		for range 1000 {
			i := slices.IndexFunc(w.requests, func(r sender.Request) bool { _, ok := r.Message.(*kmsg.InitProducerIDRequest); return ok })
			if i >= 0 {
				r := w.requests[i]
				w.requests = slices.Delete(w.requests, i, i+1)
				w.do(w.s.Handle(w.now, sender.Response{ID: r.ID, Err: errors.New("cut"), Written: written}))
				break
			}
			if !w.step() {
				w.pass(20)
			}
		}
		if n := w.s.starter.late.n; n == 1 != written {
			t.Errorf("written: %v; %d may arrive late", written, n)
		}
	}
}
