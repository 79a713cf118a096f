//go:build kafka

package txn_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/link"
	"github.com/spoold/spoold/integration/poll"
)

// markerRig is the library before one broker of Kafka 4.3.1, which loses the markers of transactions when it is killed right
// behind an answer to EndTxn.
type markerRig struct {
	t     *testing.T
	c     *kafka.Cluster
	set   map[string]string
	p     *spoold.Producer
	l     *ledger
	kill  atomic.Int32 // what the next end of a transaction is answered with: 1 commit, 2 abort; 0: nothing is killed
	dead  chan error
	delay atomic.Bool // markers are
	stop  chan struct{}
	done  chan error
}

// patience is how long a broker that was killed may keep its transactions waiting, on a busy machine.
const patience = 3 * time.Minute

// lostMarkers is what these tests saw together. Whether a broker loses markers depends on how quickly it is back, which it is not on a busy
// machine; that it has lost none in any of them would show nothing.
var lostMarkers struct {
	ran     bool
	written int
}

func newMarkerRig(t *testing.T, version int) *markerRig {
	c := clusterOf(t, kafka.Options{Inner: true, FormatArgs: []string{"-f", fmt.Sprint("transaction.version=", version)}})
	r := &markerRig{t: t, c: c, l: &ledger{spooled: map[int]bool{}, next: 1}, dead: make(chan error, 1)}
	r.c.Inner(0).SetMix(link.Mix{Delay: 500 * time.Millisecond})
	r.set = settings(t, r.c)
	r.open()
	return r
}

// delayMarkers has markers arrive half a second late: on a busy machine they would be there before the answer to EndTxn is seen here.
func (r *markerRig) delayMarkers() {
	if r.delay.Load() {
		r.c.Inner(0).Aim(writeTxnMarkers, link.DelayRequest, r.delayMarkers)
	}
}

func (r *markerRig) open() {
	r.t.Helper()
	cfg := spoold.DefaultConfig()
	for k, v := range r.set {
		if err := cfg.Set(k, v); err != nil {
			r.t.Fatal(err)
		}
	}
	var err error
	r.p, err = spoold.Open(cfg, spoold.Env{Hooks: spoold.Hooks{
		TransactionEnded: func(e spoold.TransactionEnded) {
			want := int32(2)
			if e.Committed {
				want = 1
			}
			if e.Records > 0 && e.Partitions > 0 && r.kill.CompareAndSwap(want, 0) {
				r.dead <- r.c.Kill(0)
			}
		},
		TransactionTrouble: func(e spoold.TransactionTrouble) { r.t.Log(e.Message) },
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.stop, r.done = make(chan struct{}), make(chan error, 1)
	go func(from int) { r.done <- r.send(from) }(r.l.next)
}

// send commits unit after unit.
func (r *markerRig) send(n int) error {
	pause := time.NewTicker(3 * time.Millisecond)
	defer pause.Stop()
	for ; ; n++ {
		select {
		case <-r.stop:
			r.l.next = n
			return nil
		case <-pause.C:
		}
		d, err := r.p.SendBatch(context.Background(), spoold.Batch{Records: unitRecords(n)})
		if err == nil {
			err = d.Spooled(context.Background())
		}
		if err != nil {
			return err
		}
		r.l.spooled[n] = true
	}
}

func (r *markerRig) quiet() {
	r.t.Helper()
	close(r.stop)
	if err := <-r.done; err != nil {
		r.t.Fatal(err)
	}
}

// killed has the broker killed right behind the answer to the next EndTxn of a kind, and started again.
func (r *markerRig) killed(commit bool) {
	r.t.Helper()
	want := int32(2)
	if commit {
		want = 1
	}
	r.delay.Store(true)
	defer r.delay.Store(false)
	r.delayMarkers()
	r.kill.Store(want)
	if !commit {
		age := 0.0 // on a busy machine those that have just begun have not written anything: older ones in turn
		if !poll.Within(patience, func() bool {
			if st := r.p.Status(); st.Acked > 0 && st.Transaction.Records > 0 && st.Transaction.OpenSeconds >= age {
				_ = r.p.OperateTransaction(r.t.Context(), spoold.AbortTransaction)
				age = math.Mod(age+0.005, 0.1)
			}
			return r.kill.Load() == 0
		}) {
			r.t.Fatalf("no transaction with records was aborted: %+v", r.p.Status().Transaction)
		}
	}
	select {
	case err := <-r.dead:
		if err != nil {
			r.t.Fatal(err)
		}
	case <-time.After(patience):
		r.t.Fatalf("no transaction ended: %+v", r.p.Status().Transaction)
	}
	if err := r.c.Start(r.t.Context(), 0); err != nil {
		r.t.Fatal(err)
	}
}

// goesOn waits until more was committed than before, and nothing waits for its markers.
func (r *markerRig) goesOn() {
	r.t.Helper()
	from := r.p.Status().Acked
	if !poll.Within(patience, func() bool {
		st := r.p.Status()
		return st.Acked > from && st.Transaction.MarkersMissing == 0
	}) {
		r.t.Fatalf("it does not go on: %+v", r.p.Status().Transaction)
	}
}

// kills kills again and again. A kill that comes after the markers shows nothing: there are more until one was lost.
func (r *markerRig) kills(commit bool) {
	for i, n := 0, brokerKills(3); i < n || i < 2*n && r.p.Status().Transaction.MarkersWritten == 0; i++ {
		r.killed(commit)
		r.goesOn()
	}
}

func (r *markerRig) close() {
	r.t.Helper()
	limit, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := r.p.Close(limit); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		r.t.Fatal(err)
	}
}

// flush waits until all is delivered, as long as some of it is: after many kills on a busy machine much is pending.
func (r *markerRig) flush() {
	r.t.Helper()
	for {
		acked := r.p.Status().Acked
		limit, cancel := context.WithTimeout(context.Background(), patience)
		err := r.p.Flush(limit)
		cancel()
		if err == nil {
			return
		}
		if r.p.Status().Acked == acked {
			r.t.Fatalf("%v: %+v", err, r.p.Status().Transaction)
		}
	}
}

func (r *markerRig) end(written int) {
	r.t.Helper()
	r.quiet()
	r.flush()
	written += r.p.Status().Transaction.MarkersWritten
	r.close()
	r.t.Logf("%d markers that the broker had lost were written", written)
	lostMarkers.ran, lostMarkers.written = true, lostMarkers.written+written
	r.l.verify(r.t, r.c)
}

// One broker of Kafka 4.3.1, killed right behind an answered EndTxn, loses markers. The next transaction would decide for both:
// commits show what was aborted, aborts lose what was committed.
func TestLostMarkersUnderCommitLoseAndDoubleNothing(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		r := newMarkerRig(t, version)
		r.kills(true)
		r.end(0)
	})
}

func TestLostMarkersUnderAbortLoseAndDoubleNothing(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		r := newMarkerRig(t, version)
		r.kills(false)
		r.end(0)
	})
}

// The process ends with the broker: the next one finds what was left open, and what it has to be ended with.
func TestLostMarkersAreFoundByTheNextProcess(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		rng := seed(t)
		r := newMarkerRig(t, version)
		written := 0
		for i, n := 0, brokerKills(3); i < n || i < 2*n && written == 0; i++ { // a kill that comes after the markers shows nothing
			r.killed(i%2 == 0)
			if rng.IntN(2) == 0 {
				<-time.After(time.Duration(rng.IntN(400)) * time.Millisecond) // a drawn moment, whatever it does then
			}
			r.quiet()
			written += r.p.Status().Transaction.MarkersWritten
			r.close()
			r.open()
			r.goesOn()
		}
		r.end(written)
	})
}
