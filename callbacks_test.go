package spoold_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
)

func TestCallbacksAreCalledOnceAndInOrder(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.CallbacksMax = 64 })
	const n = 5000
	var mu sync.Mutex
	var offsets []int64
	done := make(chan struct{})
	for i := range n {
		err := p.SendFunc(patient(t), spoold.Record{Topic: "t", Value: value(i)}, func(a spoold.Ack, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("callback %d = %v", i, err)
			}
			if offsets = append(offsets, a.Offset); len(offsets) == n {
				close(done)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("not all callbacks came")
	}
	for i, o := range offsets {
		if o != int64(i) {
			t.Fatalf("callback %d is of offset %d", i, o)
		}
	}
}

func TestOutstandingCallbacksAreBounded(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	c.link.down()
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.CallbacksMax, cfg.MaxBlock = 3, 10*time.Millisecond })
	results := make(chan error, 10)
	for i := range 3 {
		if err := p.SendFunc(patient(t), spoold.Record{Topic: "t", Value: value(i)}, func(_ spoold.Ack, err error) { results <- err }); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.SendFunc(patient(t), spoold.Record{Topic: "t"}, nil); !errors.Is(err, spoold.ErrFull) {
		t.Errorf("a fourth SendFunc = %v, want ErrFull", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.SendFunc(ctx, spoold.Record{Topic: "t"}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("SendFunc with an ended context = %v", err)
	}
	closeNow(t, p)
	for range 3 {
		if err := <-results; !errors.Is(err, spoold.ErrClosed) {
			t.Errorf("callback at Close = %v, want ErrClosed", err)
		}
	}
}

func TestAStuckTopicDoesNotHoldBackOtherTopicsCallbacks(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.TopicsCreate = false })
	for i := range 2000 {
		if err := p.SendFunc(patient(t), spoold.Record{Topic: "missing", Value: value(i)}, func(spoold.Ack, error) {}); err != nil {
			t.Fatal(err)
		}
	}
	acked := make(chan error, 1)
	if err := p.SendFunc(patient(t), spoold.Record{Topic: "t"}, func(_ spoold.Ack, err error) { acked <- err }); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-acked:
		if err != nil {
			t.Errorf("callback = %v", err)
		}
	case <-time.After(patience):
		t.Error("the callback did not come")
	}
}
