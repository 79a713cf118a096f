package txn

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// coordinators are the brokers that requests of a transactional id go to.
type coordinators struct {
	coordinator int32            // of transactions, or AnyBroker: not known
	groups      map[string]int32 // coordinators of groups
	finding     string           // the group that FindCoordinator under way is for; "": transactions
}

// Coordinator is the broker that coordinates the id's transactions, or AnyBroker.
func (c *coordinators) Coordinator() int32 { return c.coordinator }

// Lose says that a broker cannot be reached: coordinators there are looked up again.
func (c *coordinators) Lose(broker int32) {
	if c.coordinator == broker {
		c.coordinator = AnyBroker
	}
	for g, b := range c.groups {
		if b == broker {
			delete(c.groups, g)
		}
	}
}

func (c *coordinators) found(r *kmsg.FindCoordinatorResponse) (protocol.ErrorCode, string) {
	code, node := protocol.ErrorCode(r.ErrorCode), r.NodeID
	if len(r.Coordinators) > 0 {
		code, node = protocol.ErrorCode(r.Coordinators[0].ErrorCode), r.Coordinators[0].NodeID
	}
	if code != protocol.None {
		return code, ""
	}
	if node < 0 {
		return protocol.CoordinatorNotAvailable, ""
	}
	if c.finding == "" {
		c.coordinator = node
	} else {
		c.groups[c.finding] = node
	}
	return code, ""
}
