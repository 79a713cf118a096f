package probe

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/protocol/conn"
)

// Transactional is what this client may do under a transactional id.
type Transactional struct {
	ID, Group string // the id, and the group that has the progress under it; "": none
	MayUse    bool   // WRITE on the id
	MayCommit bool   // READ on the group; not known without MayUse
	Known     bool
}

// nobodysID is a producer id that no coordinator gives: it counts up from 0.
const nobodysID = 1 << 62

// look asks what it may. AddOffsetsToTxn of a producer id that nobody has changes nothing: a broker looks at the rights first, and then
// answers that it is not the coordinator, or that this is not the id's producer (KafkaApis.handleAddOffsetsToTxnRequest). So any broker can be asked.
func (t *Transactional) look(ctx context.Context, cn *conn.Conn) {
	if t.ID == "" {
		return
	}
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.Group, req.ProducerID = t.ID, t.Group, nobodysID
	resp, err := request[*kmsg.AddOffsetsToTxnResponse](ctx, cn, req)
	if err != nil {
		return
	}
	code := protocol.ErrorCode(resp.ErrorCode)
	t.Known, t.MayUse = true, code != protocol.TransactionalIDAuthorizationFailed
	t.MayCommit = t.MayUse && code != protocol.GroupAuthorizationFailed
}
