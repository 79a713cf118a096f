package bolt

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// A batch that is larger than a full group gets a group of its own, however many
// small records come at the same time.
func TestABatchLargerThanAGroupGetsItsTurnAmongManySmallOnes(t *testing.T) {
	o := Options{Path: t.TempDir(), SegmentBytes: 4 << 20, MinFreeBytes: -1}
	o.GroupBytes, o.MaxBatch = 4<<10, 256<<10
	s, _, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for c := range s.Commits() {
			c.Release()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.Append(ctx, "small", 1, -1, nil, make([]byte, 100), nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	large := &BatchInput{Records: []RecordInput{{Topic: "large", Partition: -1, Value: make([]byte, 200<<10)}}}
	for range 5 {
		tk, err := s.AppendBatch(ctx, large)
		if err == nil {
			err = tk.Spooled(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	large.Records[0].Value = make([]byte, 300<<10)
	if _, err := s.AppendBatch(ctx, large); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a batch over MaxBatch: %v, want ErrTooLarge", err)
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
