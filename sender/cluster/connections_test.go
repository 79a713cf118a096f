package cluster

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func brokerList(ids ...int32) (list []kmsg.MetadataResponseBroker) {
	for _, id := range ids {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID = id
		list = append(list, b)
	}
	return list
}

func TestBrokersAreKeptInOrderAlsoThoseThatAreNotNamedAnyMore(t *testing.T) {
	c := &connections{call: &call{}}
	c.update(brokerList(5, 1))
	c.update(brokerList(3, 1))
	var ids []int32
	for _, b := range c.Brokers() {
		ids = append(ids, b.ID)
	}
	if len(ids) != 3 || ids[0] != 1 || ids[1] != 3 || ids[2] != 5 {
		t.Errorf("brokers %v, want 1, 3 and 5", ids)
	}
	if n := c.listed(); n != 2 {
		t.Errorf("%d brokers were named last, want 2", n)
	}
	if c.Broker(3) == nil || c.Broker(4) != nil {
		t.Error("broker 3 is known, 4 is not")
	}
}

func TestAConnectionIsAskedForOnceAndNotBeforeItsBackOffEnds(t *testing.T) {
	c := &connections{call: &call{}}
	c.Begin(100)
	c.update(brokerList(1))
	b := c.Broker(1)
	b.retryAt = 200
	c.Connect(b)
	if n := len(c.Requests()); n != 0 || c.WakeAt() != 200 {
		t.Fatalf("%d connections asked for during the back-off, wake-up at %d; want 0, 200", n, c.WakeAt())
	}
	c.Begin(200)
	c.Connect(b)
	c.Connect(b)
	if n := len(c.Requests()); n != 1 {
		t.Errorf("%d connections asked for, want 1", n)
	}
}

func TestThrottleIsObeyedAndBounded(t *testing.T) {
	r := newRig(t, nil)
	r.metadata(r.asked())
	b := r.Broker(1)
	r.Throttle(1, 500)
	if r.after(499); !r.Throttled(b) || r.WakeAt() != r.now+1 {
		t.Errorf("1 ms before the end: throttled %v, woken at %d, now %d", r.Throttled(b), r.WakeAt(), r.now)
	}
	if r.after(1); r.Throttled(b) {
		t.Error("throttled after its time")
	}
	r.Throttle(1, 1<<30)
	if r.after(maxThrottleMs); r.Throttled(b) {
		t.Error("a broker may stop us for more than 30 s")
	}
}
