package spoold_test

import (
	"errors"
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
		{Topic: "t", Partition: spoold.ToPartition(-2)},
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
