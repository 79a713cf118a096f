package loop

import (
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
)

var errRebootstrap = errors.New("the cluster is looked for anew at the bootstrap servers")

// noteAddresses keeps the addresses that an answer names: all brokers in Metadata, and new leaders beside the partitions
// that have moved in Produce (KIP-951).
func (ls *links) noteAddresses(resp kmsg.Response) {
	switch r := resp.(type) {
	case *kmsg.ProduceResponse:
		for i := range r.Brokers {
			b := &r.Brokers[i]
			ls.noteAddress(b.NodeID, b.Host, b.Port)
		}
	case *kmsg.MetadataResponse:
		if protocol.ErrorCode(r.ErrorCode) == protocol.RebootstrapRequired {
			ls.rebootstrap()
			return
		}
		if len(r.Brokers) == 0 {
			return
		}
		ls.metadata, ls.failing = ls.now.Age, 0
		known := make(map[int32]bool, len(r.Brokers))
		for i := range r.Brokers {
			b := &r.Brokers[i]
			known[b.NodeID] = true
			ls.noteAddress(b.NodeID, b.Host, b.Port)
		}
		for id := range ls.book {
			if !known[id] {
				delete(ls.book, id)
			}
		}
	}
}

// noteAddress keeps where a broker is. At another address than before it is dialled at once.
func (ls *links) noteAddress(id int32, host string, port int32) {
	addr := net.JoinHostPort(host, strconv.Itoa(int(port)))
	if was := ls.book[id]; was != "" && was != addr {
		delete(ls.paces, id)
	}
	ls.book[id] = addr
}

// metadataFailed notes that a Metadata request came to nothing. When none has come to anything for
// metadata.recovery.rebootstrap.trigger.ms, all that is known of brokers is dropped (KIP-1102).
func (ls *links) metadataFailed() {
	if ls.failing == 0 {
		ls.failing = ls.now.Age
	}
	if ls.now.Age-ls.failing >= ls.opt.Rebootstrap.Milliseconds() {
		ls.rebootstrap()
	}
}

// rebootstrap ends all connections and forgets where brokers are: the next request goes to the bootstrap servers, whose names
// are looked up anew.
func (ls *links) rebootstrap() {
	ls.failing = 0
	clear(ls.book)
	clear(ls.paces)
	for _, k := range ls.open {
		if k.open() {
			k.close(errRebootstrap)
		}
	}
}

// maxThrottle bounds what a broker may ask for: a wrong throttle_time_ms must not stop us for long.
const maxThrottle = 30 * time.Second

// throttle takes the throttle_time_ms of an answer (KIP-219): nothing is sent to the broker until it is over. The core
// holds Produce requests back itself.
func (ls *links) throttle(k *link, resp kmsg.Response) {
	t, ok := resp.(kmsg.ThrottleResponse)
	if !ok {
		return
	}
	if ms, after := t.Throttle(); ms > 0 && after {
		k.throttled = ls.now.Age + min(int64(ms), maxThrottle.Milliseconds())
	}
}

// held reports whether r must wait until the link's throttling is over, and keeps it if so.
func (ls *links) held(k *link, r *sender.Request) bool {
	if ls.now.Age >= k.throttled {
		return false
	}
	k.waiting = append(k.waiting, *r)
	return true
}

// release sends what waited for a throttling that is over.
func (ls *links) release() {
	for _, k := range ls.open {
		if !k.open() || ls.now.Age < k.throttled {
			continue
		}
		waiting := k.waiting
		k.waiting = nil
		for i := range waiting {
			ls.control(k, &waiting[i])
		}
	}
}

// releaseAt is the Age of the next release, or 0.
func (ls *links) releaseAt() (at int64) {
	for _, k := range ls.open {
		if len(k.waiting) > 0 && (at == 0 || k.throttled < at) {
			at = k.throttled
		}
	}
	return at
}
