package transaction

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
)

// A commit was decided on, its time was over before EndTxn came, and the topic with its progress and its records was created anew.
func TestACoordinatorsAbortTellsWhatNoLogCan(t *testing.T) {
	for _, x := range []struct {
		version int16
		state   string
		epochs  int16
		parked  bool
	}{
		{2, "CompleteAbort", 1, false},
		{2, "CompleteCommit", 1, true},
		{2, "CompleteAbort", 2, true}, // of a later transaction, perhaps
		{2, "Empty", 1, true},
		{1, "CompleteAbort", 1, true}, // of what a late copy has begun, perhaps
	} {
		w := newWorld(t, 1, x.version, "a")
		w.longest = 1 << 30
		w.spooled(3, 0)
		for !w.disk.Decision.Open() || len(w.disk.Decision.Partitions) == 0 {
			if !w.step() {
				w.now.Age += 20
				w.do(w.s.Tick(w.now))
			}
		}
		ordinal := w.disk.Decision.Ordinal
		w.restarted(x.version)
		w.marks.anew = 1
		clear(w.open)
		w.epoch += x.epochs
		isAbout := func(r sender.Request) bool {
			switch r.Message.(type) {
			case *kmsg.EndTxnRequest, *kmsg.DescribeTransactionsRequest, *kmsg.FetchRequest:
				return true
			}
			return false
		}
		fenced := func(r *sender.Request) {
			resp := sender.Response{ID: r.ID, Conn: sender.Conn{Broker: r.Broker}}
			switch q := r.Message.(type) {
			case *kmsg.FetchRequest: // the log of the new topic is short
				out := kmsg.NewPtrFetchResponse()
				rt := kmsg.NewFetchResponseTopic()
				rt.Topic = q.Topics[0].Topic
				rp := kmsg.NewFetchResponseTopicPartition()
				rp.ErrorCode = int16(protocol.OffsetOutOfRange)
				rt.Partitions = append(rt.Partitions, rp)
				out.Topics = append(out.Topics, rt)
				resp.Message = out
			case *kmsg.EndTxnRequest:
				out := kmsg.NewPtrEndTxnResponse()
				out.ErrorCode = int16(protocol.InvalidProducerEpoch)
				resp.Message = out
			case *kmsg.DescribeTransactionsRequest:
				out := kmsg.NewPtrDescribeTransactionsResponse()
				st := kmsg.NewDescribeTransactionsResponseTransactionState()
				st.TransactionalID, st.State, st.ProducerID, st.ProducerEpoch = "id", x.state, 7, w.epoch
				out.TransactionStates = append(out.TransactionStates, st)
				resp.Message = out
			}
			w.do(w.s.Handle(w.now, resp))
		}
		for range 5_000 {
			if i := slices.IndexFunc(w.requests, isAbout); w.disk.Decision.Open() && w.disk.Decision.Ordinal == ordinal && i >= 0 {
				r := w.requests[i]
				w.requests = slices.Delete(w.requests, i, i+1)
				fenced(&r)
				continue
			}
			if !w.step() {
				w.now.Age += 20
				w.do(w.s.Tick(w.now))
			}
		}
		if parked := len(w.disk.Parked) > 0; parked != x.parked || w.settled[0] == 3 == x.parked {
			t.Errorf("version %d, %s %d epochs on: parked %v, %d records left the spool", x.version, x.state, x.epochs, w.disk.Parked, w.settled[0])
		}
	}
}
