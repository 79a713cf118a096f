package transaction

import "github.com/spoold/spoold/protocol"

// lateInits are requests InitProducerId of this spool that may reach the coordinator late: their connection was lost before they were
// answered, and what was written to it may be read still. Each of them raises the epoch by one, and looks like another producer that
// has taken the id and done nothing with it.
type lateInits struct {
	n     int
	until int64 // Age: none is under way after that
}

const (
	lateMs   = 15 * 60_000 // for about so long a host goes on sending what was written to a connection (tcp_retries2)
	lateMost = 100
)

// sent notes one that was not answered. A process takes it that the one before it has left one.
func (x *lateInits) sent(now int64) {
	if now > x.until {
		x.n = 0
	}
	x.n, x.until = min(x.n+1, lateMost), now+lateMs
}

// explain reports whether they can have raised the epoch from ours to the coordinator's, and takes them for arrived then.
func (x *lateInits) explain(now int64, ours, its protocol.ProducerIdentity, state string) bool {
	raised := int(its.Epoch) - int(ours.Epoch)
	if its.ID != ours.ID || raised <= 0 || raised > x.n || now > x.until || state != "Empty" && state != "CompleteAbort" {
		return false
	}
	x.n -= raised
	return true
}
