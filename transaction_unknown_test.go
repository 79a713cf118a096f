package spoold_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold"
)

// unknown leaves a transaction with one record, "two", of which neither EndTxn nor the offsets tell whether it was committed:
// the answer did not come, somebody has taken the id meanwhile, and somebody has deleted the group.
func unknown(t *testing.T, c *cluster, dir string, commit bool) *kgo.Client {
	p := c.open(t, dir, transactional("t1"))
	committed(t, p, unit(t, p, "one", "a"))
	asked := make(chan struct{}, 100)
	var healed atomic.Bool
	c.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if healed.Load() {
			return nil, nil, false
		}
		asked <- struct{}{}
		return nil, errors.New("lost"), true
	})
	unit(t, p, "two", "a")
	<-asked
	var producer int64
	var epoch int16
	if _, err := fmt.Sscanf(p.Status().Transaction.Producer, "%d/%d", &producer, &epoch); err != nil {
		t.Fatal(err)
	}
	closeNow(t, p)
	healed.Store(true)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if commit {
		req := kmsg.NewPtrEndTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = "t1", producer, epoch, true
		if resp, err := req.RequestWith(patient(t), client); err != nil || resp.ErrorCode != 0 {
			t.Fatal(err, resp)
		}
	}
	// Twice: the first one ends what is open, the second one's epoch is far from ours.
	for range 2 {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis = kmsg.StringPtr("t1"), 60000
		req.ProducerID, req.ProducerEpoch = -1, -1
		if _, err := req.RequestWith(patient(t), client); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := kadm.NewClient(client).DeleteGroup(patient(t), "spoold.t1"); err != nil {
		t.Fatal(err)
	}
	return client
}

func TestTheLogTellsWhatBecameOfATransactionWhoseProgressIsGone(t *testing.T) {
	t.Parallel()
	for _, commit := range []bool{true, false} {
		t.Run(fmt.Sprint("committed ", commit), func(t *testing.T) {
			c := newCluster(t, kfake.SeedTopics(1, "a"))
			dir := t.TempDir()
			unknown(t, c, dir, commit)
			p := c.open(t, dir, transactional("t1"))
			committed(t, p, unit(t, p, "three", "a"))
			if got := values(c.readCommitted(t, 3, "a")); got != "one two three" {
				t.Errorf("a has %q", got)
			}
			until(t, p, "all is acked", func(st *spoold.Status) bool { return st.Acked == 3 && st.Pending == 0 })
		})
	}
}

// The log does not tell either: the records were deleted.
func TestAnOutcomeThatNobodyCanTellIsParked(t *testing.T) {
	t.Parallel()
	for _, op := range []spoold.TransactionOperation{spoold.TransactionWasAborted, spoold.TransactionWasCommitted} {
		t.Run(string(op), func(t *testing.T) {
			c := newCluster(t, kfake.SeedTopics(1, "a", "b"))
			dir := t.TempDir()
			client := unknown(t, c, dir, false)
			var end kadm.Offsets
			end.Add(kadm.Offset{Topic: "a", Partition: 0, At: endOf(t, client, "a")})
			if _, err := kadm.NewClient(client).DeleteRecords(patient(t), end); err != nil {
				t.Fatal(err)
			}
			p := c.open(t, dir, transactional("t1"))
			until(t, p, "parked", func(st *spoold.Status) bool { return st.Transaction.Parked == 1 })
			committed(t, p, unit(t, p, "elsewhere", "b")) // other topics go on
			unit(t, p, "held", "b", "a")                  // one of its topics waits
			if st := p.Status(); st.Pending != 3 || st.Transaction.ParkReason != "outcome-unknown" {
				t.Errorf("pending %d, %+v", st.Pending, st.Transaction)
			}
			closeNow(t, p)
			c.link.down() // an operator's decision needs no cluster
			p = c.open(t, dir, transactional("t1"))
			if err := p.OperateTransaction(patient(t), op); err != nil {
				t.Fatal(err)
			}
			c.link.up()
			committed(t, p, unit(t, p, "three", "a"))
			want := "two held three"
			if op == spoold.TransactionWasCommitted {
				want = "held three" // as the operator said, wrongly here
			}
			if got := values(c.readCommitted(t, strings.Count(want, " ")+1, "a")); got != want {
				t.Errorf("a has %q, want %q", got, want)
			}
		})
	}
}

func endOf(t *testing.T, client *kgo.Client, topic string) int64 {
	ends, err := kadm.NewClient(client).ListEndOffsets(patient(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	o, _ := ends.Lookup(topic, 0)
	return o.Offset
}
