package spoold_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
)

func value(i int) []byte { return fmt.Appendf(nil, "value %06d", i) }

// send sends n values to a topic, numbered from first on, and waits until they are spooled.
func send(t testing.TB, p *spoold.Producer, topic string, first, n int) []spoold.Delivery {
	t.Helper()
	ctx := patient(t)
	deliveries := make([]spoold.Delivery, n)
	for i := range n {
		var err error
		if deliveries[i], err = p.Send(ctx, spoold.Record{Topic: topic, Value: value(first + i)}); err != nil {
			t.Fatalf("Send %d = %v", first+i, err)
		}
	}
	for i, d := range deliveries {
		if err := d.Spooled(ctx); err != nil {
			t.Fatalf("Spooled of %d = %v", first+i, err)
		}
	}
	return deliveries
}

func flush(t testing.TB, p *spoold.Producer) {
	t.Helper()
	if err := p.Flush(patient(t)); err != nil {
		t.Fatalf("Flush = %v; status %+v", err, p.Status())
	}
}

// expectValues fails unless the topic's one partition holds values 0 to n-1 in order.
func (c *cluster) expectValues(t testing.TB, topic string, n int) {
	t.Helper()
	for i, r := range c.read(t, topic, n) {
		if !bytes.Equal(r.Value, value(i)) {
			t.Fatalf("record %d of %d is %q, want %q", i, n, r.Value, value(i))
		}
	}
}

func TestRecordsArriveByteForByteInOrder(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	p := c.open(t, t.TempDir())
	when := time.UnixMilli(1_700_000_000_123)
	sent := []spoold.Record{
		{Topic: "t", Value: []byte("plain")},
		{Topic: "t", Key: []byte("k"), Value: []byte("keyed"), Timestamp: when},
		{Topic: "t", Key: []byte("gone"), Value: nil},
		{Topic: "t", Key: []byte{}, Value: []byte{}},
		{Topic: "t", Value: []byte("headed"), Headers: []spoold.Header{{Key: "a", Value: []byte("1")}, {Key: "a", Value: nil}, {Key: "", Value: []byte{}}}},
		{Topic: "t", Partition: spoold.ToPartition(0), Value: bytes.Repeat([]byte{0xff}, 100_000)},
	}
	var deliveries []spoold.Delivery
	for _, r := range sent {
		d, err := p.Send(patient(t), r)
		if err != nil {
			t.Fatal(err)
		}
		deliveries = append(deliveries, d)
	}
	for i, d := range deliveries {
		ack, err := d.Acked(patient(t))
		if err != nil || ack.Partition != 0 || ack.Offset != int64(i) {
			t.Errorf("record %d: acked at %+v, %v", i, ack, err)
		}
	}
	if ack, _ := deliveries[1].Acked(patient(t)); !ack.Timestamp.Equal(when) {
		t.Errorf("acked with timestamp %v, want the record's %v", ack.Timestamp, when)
	}
	for i, r := range c.read(t, "t", len(sent)) {
		want := sent[i]
		if !same(r.Key, want.Key) || !same(r.Value, want.Value) || len(r.Headers) != len(want.Headers) {
			t.Errorf("record %d: %q %q with %d headers, want %q %q with %d", i, r.Key, r.Value, len(r.Headers), want.Key, want.Value, len(want.Headers))
		}
		for j, h := range r.Headers {
			if h.Key != want.Headers[j].Key || !same(h.Value, want.Headers[j].Value) {
				t.Errorf("record %d: header %d is %q=%q", i, j, h.Key, h.Value)
			}
		}
	}
}

// same tells null from empty.
func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func TestRecordsOfOneKeyStayTogetherAndInOrder(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(5, "t"))
	p := c.open(t, t.TempDir())
	const keys, each = 20, 50
	for i := range each {
		for k := range keys {
			if _, err := p.Send(patient(t), spoold.Record{Topic: "t", Key: fmt.Appendf(nil, "key %d", k), Value: value(i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	flush(t, p)
	next, home := map[string]int{}, map[string]int32{}
	for _, r := range c.read(t, "t", keys*each) {
		k := string(r.Key)
		if n := next[k]; n == 0 {
			home[k] = r.Partition
		} else if home[k] != r.Partition {
			t.Errorf("%s is on partitions %d and %d", k, home[k], r.Partition)
		}
		if want := value(next[k]); !bytes.Equal(r.Value, want) {
			t.Fatalf("%s: %q after %d records, want %q", k, r.Value, next[k], want)
		}
		next[k]++
	}
}

func TestEveryCodecIsReadBackByAnotherClient(t *testing.T) {
	t.Parallel()
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		c := newCluster(t, kfake.SeedTopics(1, "t"))
		p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.CompressionType = codec })
		send(t, p, "t", 0, 500)
		flush(t, p)
		c.expectValues(t, "t", 500)
	}
}

func TestOpenNeedsNoClusterAndDeliversWhenItAppears(t *testing.T) {
	t.Parallel()
	l := &link{cut: true}
	cfg := spoold.DefaultConfig()
	cfg.BootstrapServers, cfg.SpoolPath, cfg.SpoolMinFreeBytes = []string{"kafka:9092"}, t.TempDir(), 0
	p, err := spoold.Open(cfg, spoold.Env{Dial: l.dial})
	if err != nil {
		t.Fatalf("Open without a cluster = %v", err)
	}
	defer closeNow(t, p)
	deliveries := send(t, p, "never-heard-of", 0, 100)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := deliveries[0].Acked(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Acked without a cluster = %v", err)
	}
	if st := p.Status(); st.Accepted != 100 || st.Pending != 100 || st.Link != "down" {
		t.Errorf("Status = %+v, want 100 pending and the link down", st)
	}

	c := newCluster(t, kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(1))
	l.mu.Lock()
	l.alias = map[string]string{"kafka:9092": c.ListenAddrs()[0]}
	l.mu.Unlock()
	l.up()
	flush(t, p)
	c.expectValues(t, "never-heard-of", 100)
}

func TestWhatAnEarlierProcessSpooledIsDeliveredFirst(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	dir := t.TempDir()
	c.link.down()
	p := c.open(t, dir)
	send(t, p, "t", 0, 1000)
	closeNow(t, p)

	c.link.up()
	p = c.open(t, dir)
	send(t, p, "t", 1000, 10)
	flush(t, p)
	c.expectValues(t, "t", 1010)
}

func TestRestartsInTheMiddleOfDeliveryLoseAndDuplicateNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	dir := t.TempDir()
	const rounds, each = 6, 2000
	for round := range rounds {
		p := c.open(t, dir, func(cfg *spoold.Config) { cfg.BatchSize = 2048 })
		deliveries := send(t, p, "t", round*each, each)
		if _, err := deliveries[each/10].Acked(patient(t)); err != nil {
			t.Fatal(err)
		}
		closeNow(t, p) // with batches in flight: their answers are not waited for
	}
	p := c.open(t, dir)
	flush(t, p)
	c.expectValues(t, "t", rounds*each)
}

func TestOutagesUnderLoadLoseAndDuplicateNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.BatchSize = 1024 })
	const rounds, each = 10, 500
	for round := range rounds {
		deliveries := send(t, p, "t", round*each, each)
		if _, err := deliveries[0].Acked(patient(t)); err != nil {
			t.Fatal(err)
		}
		c.link.down()
		c.link.up()
	}
	flush(t, p)
	c.expectValues(t, "t", rounds*each)
}

func TestSpooledDoesNotWaitForTheClusterAndAckedDoes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	c.link.down()
	p := c.open(t, t.TempDir())
	d := send(t, p, "t", 0, 1)[0]
	acked := make(chan error, 1)
	go func() {
		_, err := d.Acked(patient(t))
		acked <- err
	}()
	select {
	case err := <-acked:
		t.Fatalf("Acked = %v while the link is cut", err)
	default:
	}
	c.link.up()
	if err := <-acked; err != nil {
		t.Errorf("Acked = %v", err)
	}
}

func TestManySendersEachKeepTheirOrder(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(3, "t"))
	p := c.open(t, t.TempDir())
	const senders, each = 16, 300
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				if _, err := p.Send(context.Background(), spoold.Record{Topic: "t", Key: []byte{byte(s)}, Value: value(i)}); err != nil {
					t.Errorf("Send = %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	flush(t, p)
	next := map[string]int{}
	for _, r := range c.read(t, "t", senders*each) {
		if want := value(next[string(r.Key)]); !bytes.Equal(r.Value, want) {
			t.Fatalf("sender %q: %q, want %q", r.Key, r.Value, want)
		}
		next[string(r.Key)]++
	}
}

func TestBatchWithAKeyIsSpooledOnceAlsoAfterARestart(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	dir := t.TempDir()
	p := c.open(t, dir)
	batch := spoold.Batch{Key: "request 1", Records: []spoold.Record{{Topic: "t", Value: value(0)}, {Topic: "t", Value: value(1)}},
		Notes: []spoold.Note{{Name: "file", Value: []byte("42")}}}
	d, err := p.SendBatch(patient(t), batch)
	if err != nil || d.Duplicate() || d.Len() != 2 {
		t.Fatalf("SendBatch = %d deliveries, duplicate %v, %v", d.Len(), d.Duplicate(), err)
	}
	first, err := d.Acked(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	if d, err = p.SendBatch(patient(t), batch); err != nil || !d.Duplicate() {
		t.Errorf("again: duplicate %v, %v", d.Duplicate(), err)
	}
	if again, err := d.Acked(patient(t)); err != nil || again[0].Offset != first[0].Offset {
		t.Errorf("again: acked at %+v, %v; the first at %+v", again, err, first)
	}
	closeNow(t, p)

	p = c.open(t, dir)
	if d, err = p.SendBatch(patient(t), batch); err != nil || !d.Duplicate() {
		t.Errorf("after a restart: duplicate %v, %v", d.Duplicate(), err)
	}
	if err := d.Spooled(patient(t)); err != nil {
		t.Errorf("after a restart: Spooled = %v", err)
	}
	if notes := p.Notes("fi"); len(notes) != 1 || string(notes["file"]) != "42" || len(p.Notes("x")) != 0 {
		t.Errorf("notes by prefix: %q", notes)
	}
	if note, ok := p.Note("file"); !ok || string(note) != "42" {
		t.Errorf("Note = %q, %v", note, ok)
	}
	batch.Records = batch.Records[:1]
	if _, err = p.SendBatch(patient(t), batch); !errors.Is(err, spoold.ErrKeyReused) {
		t.Errorf("the key with other records = %v, want ErrKeyReused", err)
	}
	flush(t, p)
	c.expectValues(t, "t", 2)
}

func TestStatusCountsEveryRecordOnceAndTheTopicsAddUpAtAnyInstant(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t", "u"))
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.SpoolSettle = 10 * time.Millisecond })
	const each = 3000
	go func() {
		for i := range each {
			for _, topic := range []string{"t", "u"} {
				_, _ = p.Send(context.Background(), spoold.Record{Topic: topic, Value: fmt.Append(nil, i)}) // counted below
			}
		}
	}()
	eventually(t, "all acks are settled", func() bool {
		for _, st := range []*spoold.Status{p.Status(), p.Peek()} {
			var sum spoold.TopicStatus
			for _, x := range st.Topics {
				sum.Accepted, sum.Acked, sum.Pending = sum.Accepted+x.Accepted, sum.Acked+x.Acked, sum.Pending+x.Pending
				if x.Pending == 0 && (x.OldestAgeSeconds != 0 || x.Bytes != 0) || x.Pending > 0 && x.State == "idle" {
					t.Fatalf("nothing pending, or all of it, and the topic says %+v", x)
				}
			}
			if st.Accepted != st.Acked+st.Pending+st.DeadLettered+st.Expired {
				t.Fatalf("accepted %d is not acked %d + pending %d + dead-lettered %d + expired %d", st.Accepted, st.Acked, st.Pending, st.DeadLettered, st.Expired)
			}
			if sum.Accepted != st.Accepted || sum.Acked != st.Acked || sum.Pending != st.Pending {
				t.Fatalf("the topics add up to %+v, the whole is %+v", sum, st)
			}
		}
		st := p.Status()
		return st.Acked == 2*each && st.Link == "up" && st.ClusterID != "" && st.Producer != ""
	})
}
