package spoold_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/spoold/spoold"
)

func transactional(id string) func(*spoold.Config) {
	return func(c *spoold.Config) { c.TransactionalID = id }
}

// readCommitted returns the first n records of a topic that a read_committed reader sees.
func (c *cluster) readCommitted(t testing.TB, n int, topics ...string) []*kgo.Record {
	t.Helper()
	records := c.poll(t, n, kgo.ConsumeTopics(topics...), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if len(records) != n {
		t.Fatalf("%d records were read, want %d", len(records), n)
	}
	return records
}

func TestBatchesAreDeliveredInTransactions(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(3, "a", "b"))
	p := c.open(t, t.TempDir(), transactional("t1"))
	var all []spoold.Deliveries
	for i := range 50 {
		b := spoold.Batch{}
		for k := range 4 {
			topic := []string{"a", "b"}[k%2]
			b.Records = append(b.Records, spoold.Record{Topic: topic, Key: []byte("k"), Value: fmt.Appendf(nil, "%d-%d", i, k)})
		}
		d, err := p.SendBatch(patient(t), b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	for _, d := range all {
		if _, err := d.Acked(patient(t)); err != nil {
			t.Fatalf("%v; status %+v", err, p.Status().Transaction)
		}
	}
	got := c.readCommitted(t, 200, "a", "b")
	next := map[string]int{}
	for _, r := range got {
		var i, k int
		fmt.Sscanf(string(r.Value), "%d-%d", &i, &k)
		if at := i*2 + k/2; at != next[r.Topic] {
			t.Fatalf("%s: %s comes at place %d", r.Topic, r.Value, next[r.Topic])
		}
		next[r.Topic]++
	}
	st := p.Status()
	for deadline := time.Now().Add(patience); st.Acked != 200 && time.Now().Before(deadline); st = p.Status() {
		runtime.Gosched() // an ack counts when it is on disk
	}
	if st.Committed != 200 || st.Acked != 200 || st.Transaction.Version != 2 || st.Transaction.ID != "t1" {
		t.Errorf("committed %d, acked %d, %+v", st.Committed, st.Acked, st.Transaction)
	}
}

func TestATransactionIsSpooledWithoutAClusterAndDelivered(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "a", "b"))
	c.link.down()
	dir := t.TempDir()
	p := c.open(t, dir, transactional("t1"))
	begin := func() *spoold.Transaction {
		tx, err := p.Begin(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	send := func(tx *spoold.Transaction, topic, value string) {
		if err := tx.Send(patient(t), spoold.Record{Topic: topic, Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
	one, two, three := begin(), begin(), begin()
	send(two, "a", "two")
	send(one, "a", "one")
	send(three, "a", "three")
	send(one, "b", "one")
	var last spoold.Commitment
	for _, tx := range []*spoold.Transaction{one, two} {
		var err error
		if last, err = tx.Commit(patient(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := three.Abort(patient(t)); err != nil {
		t.Fatal(err)
	}
	if st := p.Status(); st.Accepted != 3 || st.Pending != 3 {
		t.Errorf("accepted %d, pending %d, want 3, 3", st.Accepted, st.Pending)
	}
	c.link.up()
	if err := last.Committed(patient(t)); err != nil {
		t.Fatal(err)
	}
	got := c.readCommitted(t, 2, "a")
	if string(got[0].Value) != "one" || string(got[1].Value) != "two" {
		t.Errorf("a has %s, %s: want the order of commits", got[0].Value, got[1].Value)
	}
	c.readCommitted(t, 1, "b")
}

func TestWrongUseOfATransactionIsOneClearError(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "a"))
	p := c.open(t, t.TempDir(), transactional("t1"), func(cfg *spoold.Config) { cfg.UnitMemory, cfg.UnitStaged, cfg.MaxRequestSize = 2<<20, 1<<20, 4<<20 })
	ctx := patient(t)
	record := spoold.Record{Topic: "a", Value: []byte("v")}
	is := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	committed, _ := p.Begin(ctx)
	_ = committed.Send(ctx, record)
	if _, err := committed.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := committed.Commit(ctx)
	is("commit twice", err, spoold.ErrTransactionOver)
	is("send after commit", committed.Send(ctx, record), spoold.ErrTransactionOver)
	is("abort after commit", committed.Abort(ctx), spoold.ErrTransactionOver)
	aborted, _ := p.Begin(ctx)
	_ = aborted.Send(ctx, record)
	is("abort", aborted.Abort(ctx), nil)
	is("abort twice", aborted.Abort(ctx), nil)
	_, err = aborted.Commit(ctx)
	is("commit after abort", err, spoold.ErrTransactionOver)

	tx, _ := p.Begin(ctx)
	is("a record that can never be delivered", tx.Send(ctx, spoold.Record{Topic: "not a topic"}), spoold.ErrInvalidRecord)
	is("a record that is too large", tx.Send(ctx, spoold.Record{Topic: "a", Value: make([]byte, 5<<20)}), spoold.ErrTooLarge)
	big := make([]byte, 1500<<10)
	is("a large record", tx.Send(ctx, spoold.Record{Topic: "a", Value: big}), nil)
	other, _ := p.Begin(ctx)
	_ = other.Send(ctx, record)
	is("more than unit.memory.bytes and unit.staged.bytes", other.Send(ctx, spoold.Record{Topic: "a", Value: big}), spoold.ErrFull)
	is("abort", tx.Abort(ctx), nil)
	again, _ := p.Begin(ctx)
	is("room again", again.Send(ctx, spoold.Record{Topic: "a", Value: big}), nil)
	empty, _ := p.Begin(ctx)
	if x, err := empty.Commit(ctx); err != nil || x.Committed(ctx) != nil {
		t.Errorf("an empty transaction: %v", err)
	}
	if st := p.Status(); st.Accepted != 1 {
		t.Errorf("%d records were taken, want 1", st.Accepted)
	}
	_, err = c.open(t, t.TempDir()).Begin(ctx)
	is("begin without transactional.id", err, spoold.ErrNotTransactional)
	closeNow(t, p)
	_, err = p.Begin(ctx)
	is("begin after close", err, spoold.ErrClosed)
	is("send after close", other.Send(ctx, record), spoold.ErrClosed)
}

func TestAnAbandonedTransactionIsAbortedByItsTimeout(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "a"))
	p := c.open(t, t.TempDir(), transactional("t1"), func(cfg *spoold.Config) { cfg.TransactionTimeout = 100 * time.Millisecond })
	tx, err := p.Begin(patient(t))
	for deadline := time.Now().Add(patience); err == nil && time.Now().Before(deadline); {
		err = tx.Send(patient(t), spoold.Record{Topic: "a", Value: []byte("v")})
		runtime.Gosched()
	}
	if !errors.Is(err, spoold.ErrTransactionOver) || !strings.Contains(err.Error(), "transaction.timeout.ms = 100") {
		t.Error(err)
	}
}

func TestTheWayOfDeliveryMayChangeWithRecordsPending(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "a"))
	dir := t.TempDir()
	n := 0
	for _, id := range []string{"", "t1", "t2", "", "t2"} {
		p := c.open(t, dir, transactional(id))
		for range 5 {
			if _, err := p.Send(patient(t), spoold.Record{Topic: "a", Value: fmt.Append(nil, n)}); err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n%10 == 5 {
			if err := p.Flush(patient(t)); err != nil {
				t.Fatalf("%v; %+v", err, p.Status().Transaction)
			}
		}
		closeNow(t, p)
	}
	p := c.open(t, dir)
	if err := p.Flush(patient(t)); err != nil {
		t.Fatal(err)
	}
	for i, r := range c.readCommitted(t, n, "a") {
		if string(r.Value) != fmt.Sprint(i) {
			t.Fatalf("record %d is %s", i, r.Value)
		}
	}
}
