package spoold_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/protocol"
)

// A record larger than batch.size is a batch of its own, also with batch.size=0, compressed or not.
func TestARecordLargerThanABatchGoesAlone(t *testing.T) {
	t.Parallel()
	for _, codec := range []string{"none", "lz4"} {
		for _, size := range []int{0, 200} {
			t.Run(fmt.Sprint(codec, size), func(t *testing.T) {
				t.Parallel()
				c := newCluster(t, kfake.SeedTopics(2, "t"))
				p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.CompressionType, cfg.BatchSize = codec, int64(size) })
				var list []spoold.Delivery
				for _, n := range []int{1, 5000, 1, 70_000, 3} {
					d, err := p.Send(patient(t), spoold.Record{Topic: "t", Value: make([]byte, n)})
					if err != nil {
						t.Fatal(err)
					}
					list = append(list, d)
				}
				for i, d := range list {
					if _, err := d.Acked(patient(t)); err != nil {
						t.Errorf("record %d: %v", i, err)
					}
				}
				c.read(t, "t", len(list))
			})
		}
	}
}

// Who waits for room in the spool gets ErrClosed as soon as the Producer is closed, and its record was not taken.
func TestSendThatWaitsForRoomIsReleasedByClose(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	c.link.down()
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) {
		cfg.SpoolSegmentBytes, cfg.SpoolMaxBytes, cfg.MaxBlock = 64<<10, 1<<20, time.Hour
	})
	var taken atomic.Uint64
	ended := make(chan error, 4)
	for range cap(ended) {
		go func() {
			for {
				if _, err := p.Send(context.Background(), spoold.Record{Topic: "t", Value: make([]byte, 50_000)}); err != nil {
					ended <- err
					return
				}
				taken.Add(1)
			}
		}()
	}
	eventually(t, "all wait", func() bool { st := p.Status(); return st.SendersWaiting == cap(ended) && st.SpoolFull != "" })
	closeNow(t, p)
	for range cap(ended) {
		if err := <-ended; !errors.Is(err, spoold.ErrClosed) {
			t.Errorf("Send = %v, want ErrClosed", err)
		}
	}
	if st := p.Status(); st.Accepted != taken.Load() {
		t.Errorf("%d records accepted, %d Sends returned", st.Accepted, taken.Load())
	}
}

// Flush does not wait for linger.ms, and what comes after it does again.
func TestFlushEndsTheWaitForCompanyOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(3, "t"))
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.Linger = 10 * time.Minute })
	for i := range 3 {
		for _, d := range send(t, p, "t", i, 1) {
			if err := d.Spooled(patient(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if st := p.Status(); st.Acked != 0 {
		t.Errorf("%d acked before Flush", st.Acked)
	}
	flush(t, p)
	c.read(t, "t", 3)
	d := send(t, p, "t", 3, 1)[0]
	if err := d.Spooled(patient(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "some more of the loop's calls", func() bool { return p.Status().Pending == 1 })
	if _, _, ok := d.TryAcked(); ok {
		t.Error("the record after Flush did not wait for company")
	}
}

// Flush returns though records keep coming, and what the broker refused for its size is waited for in its pieces.
func TestFlushWaitsForThePiecesOfABatch(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if len(req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records) < 400 {
			return nil, nil, false
		}
		return produceError(req, int16(protocol.MessageTooLarge)), nil, true
	})
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.Linger = 10 * time.Minute }) // so that they are one batch
	const n = 100
	var called atomic.Int32
	for i := range n {
		err := p.SendFunc(patient(t), spoold.Record{Topic: "t", Value: value(i)}, func(a spoold.Ack, err error) {
			if called.Add(1); err != nil || a.Offset != int64(i) {
				t.Errorf("record %d is at %d: %v", i, a.Offset, err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	flush(t, p)
	eventually(t, "each callback is called", func() bool { return called.Load() == n })
	for i, r := range c.read(t, "t", n) {
		if string(r.Value) != string(value(i)) {
			t.Fatalf("at offset %d is %q", i, r.Value)
		}
	}
}

// Callbacks of records that expired may send others. Several partitions' records expire together.
func TestACallbackOfAnExpiredRecordMaySend(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(3, "t"))
	c.link.down()
	p := c.open(t, t.TempDir(), expiring(300*time.Millisecond))
	const n = 30
	var all sync.WaitGroup
	all.Add(2 * n)
	var again func(error)
	sendOne := func(i int, then func(error)) {
		r := spoold.Record{Topic: "t", Partition: spoold.ToPartition(int32(i % 3)), Value: value(i)}
		if err := p.SendFunc(patient(t), r, func(_ spoold.Ack, err error) {
			defer all.Done()
			if !errors.Is(err, spoold.ErrExpired) {
				t.Errorf("record %d: %v, want ErrExpired", i, err)
			}
			then(err)
		}); err != nil {
			t.Error(err)
		}
	}
	again = func(error) { sendOne(n, func(error) {}) }
	for i := range n {
		sendOne(i, again)
	}
	all.Wait()
	checkExpired(t, p, 2*n)
}

// The longest delivery.timeout.ms that Kafka takes is no overflow.
func TestTheLongestDeliveryTimeoutExpiresNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	c.link.down()
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) {
		if err := cfg.Set("delivery.timeout.ms", fmt.Sprint(math.MaxInt32)); err != nil {
			t.Fatal(err)
		}
	})
	list := send(t, p, "t", 0, 3)
	eventually(t, "some looks at what has expired", func() bool { return p.Status().UptimeSeconds > 0.3 })
	c.link.up()
	for i, d := range list {
		if _, err := d.Acked(patient(t)); err != nil {
			t.Errorf("record %d: %v", i, err)
		}
	}
}

// One producer id is asked for, before the first batch. Without the right to it records wait, and the status says what to grant.
func TestAProducerIDIsAskedForOnceAndWaitedFor(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(2, "t"))
	var granted atomic.Bool
	var given, early atomic.Int32
	c.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if granted.Load() {
			given.Add(1)
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = int16(protocol.ClusterAuthorizationFailed), -1, -1
		return resp, nil, true
	})
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if given.Load() == 0 {
			early.Add(1)
		}
		return nil, nil, false
	})
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.BatchSize = 200 })
	send(t, p, "t", 0, 20)
	eventually(t, "the status names the right", func() bool {
		for _, topic := range p.Status().Topics {
			for _, text := range []string{topic.Detail, topic.Trouble} {
				if strings.Contains(text, "CLUSTER_AUTHORIZATION_FAILED") && strings.Contains(text, "IDEMPOTENT_WRITE") {
					return true
				}
			}
		}
		return false
	})
	if st := p.Status(); st.Pending != 20 || st.State != "running" {
		t.Errorf("%d pending, %s", st.Pending, st.State)
	}
	granted.Store(true)
	flush(t, p)
	send(t, p, "t", 20, 20)
	flush(t, p)
	c.read(t, "t", 40)
	if given.Load() != 1 || early.Load() != 0 {
		t.Errorf("%d producer ids, %d batches before the first", given.Load(), early.Load())
	}
}

// Commit returns when its records are on the disk; linger.ms gathers units for a transaction of the cluster, and Flush ends that.
func TestFlushEndsTheWaitForCompanyOfATransaction(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	p := c.open(t, t.TempDir(), transactional("t1"), func(cfg *spoold.Config) { cfg.Linger = 10 * time.Minute })
	u := unit(t, p, "v", "t")
	flush(t, p)
	committed(t, p, u)
	c.readCommitted(t, 1, "t")
}
