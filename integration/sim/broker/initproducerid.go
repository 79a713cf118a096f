package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// bringsID is the first version that has a producer id and epoch (KIP-360).
const bringsID = 3

// blockSize is how many producer ids a broker takes from the controller at once.
const blockSize = 1000

// initProducerID without a transactional id gives a producer id that nobody has, whatever it is given
// (TransactionCoordinator.handleInitProducerId). Ids of different brokers do not rise together. A broker that has just
// started, or cannot reach the controller, has none to give.
func (n *node) initProducerID(m *kmsg.InitProducerIDRequest) kmsg.Response {
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.SetVersion(m.GetVersion())
	resp.ThrottleMillis = n.throttle()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	switch {
	case !n.c.may(Idempotent, ""):
		resp.ErrorCode = int16(protocol.ClusterAuthorizationFailed)
	case m.GetVersion() >= bringsID && (m.ProducerID == -1) != (m.ProducerEpoch == -1):
		resp.ErrorCode = int16(protocol.InvalidRequest)
	case n.c.chance(n.c.Weather.Unavailable):
		resp.ErrorCode = int16(protocol.CoordinatorLoadInProgress)
	default:
		if pid, ok := n.newPID(); ok {
			resp.ProducerID, resp.ProducerEpoch = pid, 0
		} else {
			resp.ErrorCode = int16(protocol.CoordinatorLoadInProgress)
		}
	}
	return resp
}

// pidBlocks is what a broker has of producer ids (RPCProducerIdManager). It goes with the process.
type pidBlocks struct {
	next, end int64 // of the block in use
	spare     int64 // first id of the next one; 0: there is none yet
	asked     bool
}

func (n *node) newPID() (int64, bool) {
	p := &n.pids
	if p.next == p.end && p.spare > 0 {
		*p = pidBlocks{next: p.spare, end: p.spare + blockSize}
	}
	if p.end-p.next <= blockSize/10 && !p.asked && p.spare == 0 {
		p.asked = true
		n.askForPIDs()
	}
	if p.next == p.end {
		return -1, false
	}
	p.next++
	return p.next - 1, true
}

// askForPIDs asks the controller for a block (AllocateProducerIds), again and again while no answer comes.
func (n *node) askForPIDs() {
	n.after(n.c.within(n.c.cfg.Learn), func() {
		if n.cutOff {
			n.askForPIDs()
			return
		}
		n.c.blocks++
		n.pids.spare, n.pids.asked = n.c.blocks*blockSize, false
	})
}
