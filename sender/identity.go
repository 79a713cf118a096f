package sender

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// identify is how far this start has come with its producer id.
type identify struct {
	asked    bool
	writing  bool
	another  bool // a partition has used up its epochs and needs a new one
	retryAt  int64
	attempts int
	err      string
}

// askIdentity asks for this start's producer id, once, and for another when a
// partition has no epoch left.
func (s *Sender) askIdentity() {
	i := &s.identify
	if s.identity.Valid() && !i.another || i.asked || i.writing {
		return
	}
	if s.now.Age < i.retryAt {
		s.wake(i.retryAt)
		return
	}
	i.asked = true
	r := kmsg.NewPtrInitProducerIDRequest()
	r.TransactionTimeoutMillis = 60_000 // means nothing without a transactional id
	r.ProducerID, r.ProducerEpoch = -1, -1
	s.request(Request{Kind: KindControl, Broker: AnyBroker, Message: r, MaxVersion: -1}, &request{kind: reqIdentity})
}

func (s *Sender) onIdentity(resp Response) {
	i := &s.identify
	i.asked = false
	r, ok := resp.Message.(*kmsg.InitProducerIDResponse)
	code := protocol.UnknownServerError
	if ok {
		code = protocol.ErrorCode(r.ErrorCode)
	}
	id := protocol.NoIdentity
	if ok {
		id = protocol.ProducerIdentity{ID: protocol.ProducerID(r.ProducerID), Epoch: protocol.ProducerEpoch(r.ProducerEpoch)}
	}
	if resp.Err != nil || code != protocol.None || !id.Valid() {
		i.attempts++
		i.err = "InitProducerId: " + code.String()
		if resp.Err != nil {
			i.err = "InitProducerId: " + resp.Err.Error()
		}
		i.retryAt = s.now.Age + s.backoff.After(i.attempts)
		if code.Class() == protocol.Authorization {
			i.retryAt = s.now.Age + max(s.backoff.After(i.attempts), 5000)
			i.err += ": grant IDEMPOTENT_WRITE on the cluster, or WRITE on a topic"
		}
		s.wake(i.retryAt)
		return
	}
	// Every start takes a new producer id, so that a rolled-back copy of the spool
	// cannot give a used sequence to other records. It counts once it is durable.
	i.attempts, i.err, i.writing = 0, "", true
	s.e.Write.Identity, s.e.Urgent = &id, true
	s.then = append(s.then, func() {
		i.writing, i.another = false, false
		s.identity = id
	})
}
