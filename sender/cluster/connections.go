package cluster

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Broker is one broker and the connection to it. Others read it and write nothing but InFlight.
type Broker struct {
	ID       int32
	Up       bool
	InFlight int // Produce requests that are not answered

	connecting bool
	connection uint64 // rises with every connection
	throttled  int64  // Age until which nothing is produced to it (KIP-219)
	retryAt    int64
	attempts   int
	err        string
	listed     bool // metadata named it last
	failed     bool // a request on this connection was not answered
}

// connections are the brokers and the connections to them.
type connections struct {
	*call
	brokers []*Broker // ascending by id
}

// Brokers are all that were ever named by metadata, ascending by id.
func (c *connections) Brokers() []*Broker { return c.brokers }

// Broker is the one with that id, or nil.
func (c *connections) Broker(id int32) *Broker {
	k, ok := c.find(id)
	if !ok {
		return nil
	}
	return c.brokers[k]
}

func (c *connections) find(id int32) (int, bool) {
	return slices.BinarySearchFunc(c.brokers, id, func(b *Broker, id int32) int { return int(b.ID) - int(id) })
}

// Connected is how many brokers are connected.
func (c *connections) Connected() int {
	n := 0
	for _, b := range c.brokers {
		if b.Up {
			n++
		}
	}
	return n
}

// Connect opens the connection to b if it is neither there nor on its way.
func (c *connections) Connect(b *Broker) {
	switch {
	case b.Up || b.connecting:
	case c.now < b.retryAt:
		c.wake(b.retryAt)
	default:
		b.connecting = true
		c.request(Request{Broker: b.ID, kind: connect})
	}
}

// Unanswered notes that a request to a broker got no answer.
func (c *connections) Unanswered(id int32) {
	if b := c.Broker(id); b != nil {
		b.failed = true
	}
}

// maxThrottleMs bounds what a broker may ask for: a wrong throttle_time_ms must not stop us for long.
const maxThrottleMs = 30_000

// Throttle takes the throttle_time_ms of a broker's answer.
func (c *connections) Throttle(id int32, ms int32) {
	if b := c.Broker(id); b != nil && ms > 0 {
		b.throttled = c.now + min(int64(ms), maxThrottleMs)
	}
}

// Throttled reports whether nothing may be produced to b for now.
func (c *connections) Throttled(b *Broker) bool {
	if c.now >= b.throttled {
		return false
	}
	c.wake(b.throttled)
	return true
}

// update adds those that are new. One that metadata names no more stays: its connection ends by itself.
func (c *connections) update(list []kmsg.MetadataResponseBroker) {
	for _, b := range c.brokers {
		b.listed = false
	}
	for i := range list {
		c.Met(list[i].NodeID)
		c.Broker(list[i].NodeID).listed = true
	}
}

// Met adds a broker that an answer named beside its new leaders.
func (c *connections) Met(id int32) {
	if k, ok := c.find(id); !ok {
		c.brokers = slices.Insert(c.brokers, k, &Broker{ID: id})
	}
}

// listed is how many brokers metadata named last.
func (c *connections) listed() int {
	n := 0
	for _, b := range c.brokers {
		if b.listed {
			n++
		}
	}
	return n
}

// unreachable says why no broker of the cluster can be connected to although a bootstrap server answers, or "":
// typically an advertised name that does not resolve here. Brokers that no connection was tried to yet do
// not count.
func (c *connections) unreachable() string {
	why := ""
	for _, b := range c.brokers {
		switch {
		case b.Up:
			return ""
		case b.listed && b.attempts > 0 && why == "":
			why = b.err
		}
	}
	return why
}

// other is a broker other than id that is connected, or nil. It connects to those that are not; any reports
// whether there are others at all.
func (c *connections) other(id int32) (other *Broker, others bool) {
	for _, b := range c.brokers {
		switch {
		case b.ID == id:
			continue
		case b.Up && other == nil:
			other = b
		case !b.Up:
			c.Connect(b)
		}
		others = true
	}
	return other, others
}
