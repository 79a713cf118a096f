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

// Brokers are all that were ever named by metadata, ascending by id.
func (v *View) Brokers() []*Broker { return v.brokers }

// Broker is the one with that id, or nil.
func (v *View) Broker(id int32) *Broker {
	k, ok := v.find(id)
	if !ok {
		return nil
	}
	return v.brokers[k]
}

func (v *View) find(id int32) (int, bool) {
	return slices.BinarySearchFunc(v.brokers, id, func(b *Broker, id int32) int { return int(b.ID) - int(id) })
}

// Connected is how many brokers are connected.
func (v *View) Connected() int {
	n := 0
	for _, b := range v.brokers {
		if b.Up {
			n++
		}
	}
	return n
}

// Connect opens the connection to b if it is neither there nor on its way.
func (v *View) Connect(b *Broker) {
	switch {
	case b.Up || b.connecting:
	case v.now < b.retryAt:
		v.wake(b.retryAt)
	default:
		b.connecting = true
		v.request(Request{Broker: b.ID, kind: connect})
	}
}

func (v *View) onConnect(id int32, a Answer) {
	b := v.Broker(id)
	if b == nil {
		return
	}
	b.connecting = false
	if a.Err != nil {
		b.attempts++
		b.err = ErrText(a.Err)
		b.retryAt = v.now + v.cfg.Backoff.After(b.attempts)
		v.wake(b.retryAt)
		v.meta.want = true // its address may have changed, or its partitions have moved
		if v.Connected() == 0 {
			v.linkIs(false, b.err)
		}
		return
	}
	b.Up, b.attempts, b.err, b.failed = true, 0, "", false
	b.connection++
	b.InFlight, b.throttled = 0, 0
	v.linkIs(true, "")
}

// Disconnected says that the connection to a broker is gone. All its requests have been answered before.
func (v *View) Disconnected(id int32, err error) {
	b := v.Broker(id)
	if b == nil || !b.Up {
		return
	}
	b.Up, b.InFlight = false, 0
	b.err = ErrText(err)
	// An idle connection that somebody closed says nothing about the link; asking for metadata does.
	v.meta.want = true
	if b.failed && v.Connected() == 0 {
		v.linkIs(false, b.err)
	}
}

// Unanswered notes that a request to a broker got no answer.
func (v *View) Unanswered(id int32) {
	if b := v.Broker(id); b != nil {
		b.failed = true
	}
}

// maxThrottleMs bounds what a broker may ask for: a wrong throttle_time_ms must not stop us for long.
const maxThrottleMs = 30_000

// Throttle takes the throttle_time_ms of a broker's answer.
func (v *View) Throttle(id int32, ms int32) {
	if b := v.Broker(id); b != nil && ms > 0 {
		b.throttled = v.now + min(int64(ms), maxThrottleMs)
	}
}

// Throttled reports whether nothing may be produced to b for now.
func (v *View) Throttled(b *Broker) bool {
	if v.now >= b.throttled {
		return false
	}
	v.wake(b.throttled)
	return true
}

// updateBrokers adds those that are new. One that metadata names no more stays: its connection ends by itself.
func (v *View) updateBrokers(list []kmsg.MetadataResponseBroker) {
	for _, b := range v.brokers {
		b.listed = false
	}
	for i := range list {
		k, ok := v.find(list[i].NodeID)
		if !ok {
			v.brokers = slices.Insert(v.brokers, k, &Broker{ID: list[i].NodeID})
		}
		v.brokers[k].listed = true
	}
}

// listed is how many brokers metadata named last.
func (v *View) listed() int {
	n := 0
	for _, b := range v.brokers {
		if b.listed {
			n++
		}
	}
	return n
}

// unreachable says why no broker of the cluster can be connected to although a bootstrap server answers, or "":
// typically an advertised name that does not resolve here. Brokers that no connection was tried to yet do
// not count.
func (v *View) unreachable() string {
	why := ""
	for _, b := range v.brokers {
		switch {
		case b.Up:
			return ""
		case b.listed && b.attempts > 0 && why == "":
			why = b.err
		}
	}
	return why
}

// reconnect tries the brokers that could not be reached again while the link is down for that, even if
// no record waits for them: only a connection brings the link up again.
func (v *View) reconnect() {
	if v.link.Up || v.unreachable() == "" {
		return
	}
	for _, b := range v.brokers {
		if b.listed && b.attempts > 0 {
			v.Connect(b)
		}
	}
}

// other is a broker other than id that is connected, or nil. It connects to those that are not; any reports
// whether there are others at all.
func (v *View) other(id int32) (other *Broker, others bool) {
	for _, b := range v.brokers {
		switch {
		case b.ID == id:
			continue
		case b.Up && other == nil:
			other = b
		case !b.Up:
			v.Connect(b)
		}
		others = true
	}
	return other, others
}
