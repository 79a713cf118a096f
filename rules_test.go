package spoold_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
)

func TestRecordIsTakenUpToMaxRequestSizeAndNotAByteMore(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	p := c.open(t, t.TempDir())
	size := int(spoold.DefaultConfig().MaxRequestSize)
	fits := 0
	for n := size - 100; n <= size; n++ {
		_, err := p.Send(patient(t), spoold.Record{Topic: "t", Value: make([]byte, n)})
		if err == nil {
			fits = n
			break
		}
		if !errors.Is(err, spoold.ErrTooLarge) || !strings.Contains(err.Error(), "max.request.size is 1048576") {
			t.Fatalf("Send of %d bytes = %v", n, err)
		}
	}
	if fits != size-100 {
		t.Errorf("a value of %d bytes is the smallest that fits, want %d to fit", fits, size-100)
	}
	if _, err := p.Send(patient(t), spoold.Record{Topic: "t", Value: make([]byte, size)}); !errors.Is(err, spoold.ErrTooLarge) {
		t.Errorf("Send of max.request.size bytes of value = %v", err)
	}
	flush(t, p)
}

func TestWhatCannotBeDeliveredIsRefusedAtOnce(t *testing.T) {
	c := newCluster(t)
	p := c.open(t, t.TempDir())
	for _, r := range []spoold.Record{
		{},
		{Topic: "."},
		{Topic: "a b"},
		{Topic: "tôpic"},
		{Topic: strings.Repeat("x", 250)},
		{Topic: "__consumer_offsets"},
		{Topic: "t", Partition: spoold.ToPartition(-1)},
		{Topic: "t", Partition: spoold.ToPartition(-2)},
		{Topic: "t", Partition: spoold.ToPartition(spoold.MaxPartition + 1)},
		{Topic: "t", Partition: spoold.ToPartition(math.MinInt32)},
		{Topic: "t", Partition: spoold.ToPartition(math.MaxInt32)},
		{Topic: "t", Timestamp: time.UnixMilli(-1)},
	} {
		if _, err := p.Send(patient(t), r); !errors.Is(err, spoold.ErrInvalidRecord) {
			t.Errorf("Send(%+v) = %v, want ErrInvalidRecord", r, err)
		}
	}
	if _, err := p.SendBatch(patient(t), spoold.Batch{}); !errors.Is(err, spoold.ErrInvalidRecord) {
		t.Errorf("SendBatch of nothing = %v", err)
	}
	if st := p.Status(); st.Accepted != 0 {
		t.Errorf("%d accepted", st.Accepted)
	}
}

// -1 was taken for no choice at all.
func TestAPartitionThatCannotBeIsRefusedByEveryWayIn(t *testing.T) {
	t.Parallel()
	for _, n := range []int32{-1, math.MinInt32, math.MaxInt32} {
		asked, number := spoold.Record{Topic: "t", Partition: spoold.ToPartition(n)}, fmt.Sprintf("partition %d", n)
		if got := asked.Partition.Number(); got != n {
			t.Errorf("ToPartition(%d).Number() = %d", n, got)
		}
		for what, env := range map[string]spoold.Env{
			"the record":      {},
			"the partitioner": {Partitioner: fixed(n)},
			"the interceptor": {Interceptors: []spoold.Interceptor{placing(n)}},
		} {
			r := asked
			if what != "the record" {
				r.Partition = spoold.Partition{}
			}
			c := newCluster(t, kfake.SeedTopics(1, "t"))
			p := c.openEnv(t, t.TempDir(), env, func(cfg *spoold.Config) { cfg.TransactionalID = "orders" })
			typed := spoold.NewTypedProducer(p, spoold.Bytes(), spoold.Bytes())
			txn, err := p.Begin(patient(t))
			if err != nil {
				t.Fatal(err)
			}
			ways := map[string]func() error{
				"Send":      func() error { _, err := p.Send(patient(t), r); return err },
				"SendFunc":  func() error { return p.SendFunc(patient(t), r, func(spoold.Ack, error) {}) },
				"SendBatch": func() error { _, err := p.SendBatch(patient(t), spoold.Batch{Records: []spoold.Record{r}}); return err },
				"SendBatch with a key": func() error {
					_, err := p.SendBatch(patient(t), spoold.Batch{Key: "k", Records: []spoold.Record{r}})
					return err
				},
				"TypedProducer.Send": func() error {
					_, err := typed.Send(patient(t), spoold.TypedRecord[[]byte, []byte]{Topic: "t", Partition: r.Partition})
					return err
				},
				"Transaction.Send": func() error { return txn.Send(patient(t), r) },
			}
			for way, send := range ways {
				err := send()
				if !errors.Is(err, spoold.ErrInvalidRecord) || !strings.Contains(err.Error(), number) || !strings.Contains(err.Error(), "topic t") ||
					what == "the partitioner" && !strings.Contains(err.Error(), "spoold_test.fixed") {
					t.Errorf("%s, %d of %s: %v", way, n, what, err)
				}
			}
			if err := txn.Abort(patient(t)); err != nil {
				t.Error(err)
			}
			if n := p.Status().Accepted; n != 0 {
				t.Errorf("%d records were taken", n)
			}
		}
	}
}

// placing is an interceptor that names a partition.
type placing int32

func (n placing) OnSend(_ context.Context, r spoold.Record) (spoold.Record, error) {
	r.Partition = spoold.ToPartition(int32(n))
	return r, nil
}
func (placing) OnAcknowledgement(spoold.Acknowledgement) {}
func (placing) Close() error                             { return nil }

func TestTheLetterThatATopicMayNotHaveIsNamedAsItIsWritten(t *testing.T) {
	if err := spoold.CheckTopic("käse"); err == nil || !strings.Contains(err.Error(), "'ä' is not one of") {
		t.Errorf("%v", err)
	}
}
