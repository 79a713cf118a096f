package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// blockSize is how many producer ids a broker takes from the controller at once.
const blockSize = 1000

// initProducerID without a transactional id gives a producer id that nobody has, whatever it is given
// (TransactionCoordinator.handleInitProducerId). Ids of different brokers do not rise together.
func (n *node) initProducerID(m *kmsg.InitProducerIDRequest) kmsg.Response {
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.SetVersion(m.GetVersion())
	resp.ThrottleMillis = n.throttle()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	switch {
	case !n.c.may(Idempotent, ""):
		resp.ErrorCode = int16(protocol.ClusterAuthorizationFailed)
	case (m.ProducerID == -1) != (m.ProducerEpoch == -1):
		resp.ErrorCode = int16(protocol.InvalidRequest)
	case n.c.chance(n.c.Weather.Unavailable):
		resp.ErrorCode = int16(protocol.CoordinatorLoadInProgress)
	default:
		resp.ProducerID, resp.ProducerEpoch = n.newPID(), 0
	}
	return resp
}

func (n *node) newPID() int64 {
	if n.next == n.block {
		n.next = n.c.blocks * blockSize
		n.block = n.next + blockSize
		n.c.blocks++
	}
	n.next++
	return n.next - 1
}
