package spoold_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/poll"
)

// marker is an interceptor that adds a header, and counts what it sees, by topic.
type marker struct {
	mu   sync.Mutex
	sent int
	acks map[string][]error
	busy func() // called in OnAcknowledgement
}

func (m *marker) OnSend(_ context.Context, r spoold.Record) (spoold.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent++
	r.Headers = append(r.Headers, spoold.Header{Key: "seen", Value: []byte("yes")})
	return r, nil
}

func (m *marker) OnAcknowledgement(a spoold.Acknowledgement) {
	if m.busy != nil {
		m.busy()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(a.Headers) != 1 {
		a.Err = fmt.Errorf("%d headers", len(a.Headers))
	}
	m.acks[a.Topic] = append(m.acks[a.Topic], a.Err)
}

func (m *marker) Close() error { return nil }

// seen reports how many records were sent, acknowledged without an error, and with it.
func (m *marker) seen() (sent, good int, bad []error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, errs := range m.acks {
		for _, err := range errs {
			if err == nil {
				good++
			} else {
				bad = append(bad, err)
			}
		}
	}
	return m.sent, good, bad
}

func (m *marker) await(t *testing.T, sent, good, bad int) []error {
	t.Helper()
	if !poll.Until(func() bool { s, g, b := m.seen(); return s == sent && g == good && len(b) == bad }) {
		s, g, b := m.seen()
		t.Fatalf("%d sent, %d acknowledged, %d with an error (%v); want %d, %d, %d", s, g, len(b), b, sent, good, bad)
	}
	_, _, errs := m.seen()
	return errs
}

// Each way a transaction can go: in memory, over the disk, with a consumer's offsets, aborted, refused, and left open when the
// Producer is closed.
func TestInterceptorsSeeTheRecordsOfATransaction(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "a", "b", "in"))
	m := &marker{acks: make(map[string][]error)}
	p := c.openEnv(t, t.TempDir(), spoold.Env{Interceptors: []spoold.Interceptor{m}}, transactional("t1"), smallUnits)
	unit(t, p, "small", "a", "b", "a")
	m.await(t, 3, 3, 0)
	if _, err := large(t, p, 300).Commit(patient(t)); err != nil {
		t.Fatal(err)
	}
	m.await(t, 303, 303, 0)

	online := large(t, p, 2)
	if err := online.SendOffsets(patient(t), []spoold.ConsumedOffset{{Topic: "in", Offset: 1, LeaderEpoch: -1}}, spoold.ConsumerGroup{ID: "g", Generation: -1}); err != nil {
		t.Fatal(err)
	}
	if _, err := online.Commit(patient(t)); err != nil {
		t.Fatal(err)
	}
	m.await(t, 305, 305, 0)

	aborted := large(t, p, 200)
	m.busy = func() { _ = aborted.Abort(context.Background()) } // it may call the transaction
	if err := aborted.Abort(patient(t)); err != nil {
		t.Fatal(err)
	}
	errs := m.await(t, 505, 305, 200)
	for _, err := range errs {
		if !errors.Is(err, spoold.ErrAborted) {
			t.Fatalf("a record of an aborted transaction is acknowledged with %v", err)
		}
	}
	m.busy = nil
	left := large(t, p, 1)
	if err := left.Send(patient(t), spoold.Record{Topic: "not a topic"}); !errors.Is(err, spoold.ErrInvalidRecord) {
		t.Fatal(err)
	}
	m.await(t, 507, 305, 201)
	closeNow(t, p)
	m.await(t, 507, 305, 202)
	for _, r := range c.readCommitted(t, 305, "a", "b") {
		if len(r.Headers) != 1 {
			t.Fatalf("a record arrived with %d headers", len(r.Headers))
		}
	}
}

// What interceptors are to see of a transaction is kept within unit.memory.bytes.
func TestWhatInterceptorsMakeATransactionKeepIsBounded(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "a"))
	m := &marker{acks: make(map[string][]error)}
	p := c.openEnv(t, t.TempDir(), spoold.Env{Interceptors: []spoold.Interceptor{m}}, transactional("t1"), smallUnits)
	tx, err := p.Begin(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for err == nil && n < 1<<20 {
		n++
		err = tx.Send(patient(t), spoold.Record{Topic: "a"})
	}
	if !errors.Is(err, spoold.ErrTooLarge) {
		t.Fatalf("after %d records: %v", n, err)
	}
	if err := tx.Abort(patient(t)); err != nil {
		t.Fatal(err)
	}
	m.await(t, n, 0, n)
	unit(t, p, "there is room again", "a")
	m.await(t, n+1, 1, n)
}

// places is an interceptor that keeps where records are said to be.
type places struct {
	mu   sync.Mutex
	acks []spoold.Ack
}

func (p *places) OnSend(_ context.Context, r spoold.Record) (spoold.Record, error) { return r, nil }
func (p *places) Close() error                                                     { return nil }
func (p *places) OnAcknowledgement(a spoold.Acknowledgement) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.Err == nil {
		a.Ack.Offset = 99
	}
	p.acks = append(p.acks, a.Ack)
}

// A record of a transaction that was aborted, or that was not taken, was at offset 0 of partition 0.
func TestARecordThatDidNotLeaveIsNowhere(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	seen := &places{}
	p := c.openEnv(t, t.TempDir(), spoold.Env{Interceptors: []spoold.Interceptor{seen}}, transactional("t1"))
	tx, err := p.Begin(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Send(patient(t), spoold.Record{Topic: "t"}); err != nil {
		t.Fatal(err)
	}
	bad := []spoold.Record{{Topic: "t"}, {Topic: "a b"}}
	var at *spoold.RecordError
	if err := tx.SendBatch(patient(t), bad); !errors.As(err, &at) || at.Index != 1 || at.Of != 2 || !errors.Is(err, spoold.ErrInvalidRecord) {
		t.Errorf("SendBatch = %v", err)
	}
	if err := tx.Send(patient(t), bad[1]); errors.As(err, &at) && at.Of == 1 || !errors.Is(err, spoold.ErrInvalidRecord) {
		t.Errorf("Send = %v", err)
	}
	if err := tx.Abort(patient(t)); err != nil {
		t.Fatal(err)
	}
	if !poll.Until(func() bool { seen.mu.Lock(); defer seen.mu.Unlock(); return len(seen.acks) == 4 }) {
		t.Fatalf("acknowledged: %+v", seen.acks)
	}
	for _, a := range seen.acks {
		if a.Partition != -1 || a.Offset != -1 {
			t.Errorf("%+v, want partition and offset -1", a)
		}
	}
}

// byHeader is a Partitioner that goes by what an interceptor has added.
type byHeader struct{ without int }

func (b *byHeader) Partition(r spoold.Record, _ int32) (spoold.Partition, error) {
	if len(r.Headers) == 0 {
		b.without++
	}
	return spoold.ToPartition(0), nil
}

func TestAPartitionerSeesWhatInterceptorsHaveMadeOfARecord(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	by := &byHeader{}
	p := c.openEnv(t, t.TempDir(), spoold.Env{Partitioner: by, Interceptors: []spoold.Interceptor{&marker{acks: map[string][]error{}}}}, transactional("t1"))
	send(t, p, "t", 0, 1)
	unit(t, p, "v", "t")
	if _, err := p.SendBatch(patient(t), spoold.Batch{Records: []spoold.Record{{Topic: "t"}}}); err != nil {
		t.Fatal(err)
	}
	if by.without > 0 {
		t.Errorf("%d records came before the interceptor", by.without)
	}
}
