package cluster

import "testing"

func TestTheEarliestWakeUpCounts(t *testing.T) {
	c := &call{}
	for _, tt := range []struct {
		wake []int64
		want int64
	}{
		{nil, 0},
		{[]int64{20}, 20},
		{[]int64{20, 30}, 20},
		{[]int64{20, 15}, 15},
		{[]int64{20, 20}, 20},
		{[]int64{11}, 11},
		{[]int64{10}, 11}, // now: as soon as it can be
		{[]int64{3, 20}, 11},
	} {
		c.Begin(10)
		for _, at := range tt.wake {
			c.wake(at)
		}
		if c.WakeAt() != tt.want {
			t.Errorf("wake-ups %v at 10: %d, want %d", tt.wake, c.WakeAt(), tt.want)
		}
	}
}

func TestRequestsAndChangesAreGivenOnce(t *testing.T) {
	c := &call{}
	c.Begin(1)
	for range 2 {
		c.request(Request{Broker: 7})
		c.change(Change{Ms: 7})
		if q, list := c.Requests(), c.Changes(); len(q) != 1 || len(list) != 1 {
			t.Fatalf("%d requests and %d changes, want one of each", len(q), len(list))
		}
	}
	c.request(Request{Broker: 7})
	c.change(Change{Ms: 7})
	c.Begin(2)
	if q, list := c.Requests(), c.Changes(); len(q)+len(list) != 0 {
		t.Errorf("the next call begins with %d requests and %d changes", len(q), len(list))
	}
}
