package sender

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// identify is how far this start has come with its producer id.
type identify struct {
	parts
	asked    bool
	writing  bool
	attempts int
}

// ask asks for this start's producer id, once, and for another when a
// partition has no epoch left.
func (in *identify) ask() {
	if in.e.Identity.Valid() && !in.e.AnotherIdentity || in.asked || in.writing {
		return
	}
	if in.now.Age < in.noIdentityUntil {
		in.wake(in.noIdentityUntil)
		return
	}
	in.asked = true
	r := kmsg.NewPtrInitProducerIDRequest()
	r.TransactionTimeoutMillis = 60_000 // means nothing without a transactional id
	r.ProducerID, r.ProducerEpoch = -1, -1
	in.request(Request{Kind: KindControl, Broker: AnyBroker, Message: r, MaxVersion: -1}, &request{kind: reqIdentity})
}

func (in *identify) answered(resp Response) {
	in.asked = false
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
		in.attempts++
		in.noIdentity = "InitProducerId: " + code.String()
		if resp.Err != nil {
			in.noIdentity = "InitProducerId: " + resp.Err.Error()
		}
		in.noIdentityUntil = in.now.Age + in.backoff.After(in.attempts)
		in.denied = resp.Err == nil && code.Class() == protocol.Authorization
		if in.denied {
			in.noIdentityUntil = in.now.Age + max(in.backoff.After(in.attempts), 5000)
			in.noIdentity += ": grant IDEMPOTENT_WRITE on the cluster, or WRITE on a topic"
			for _, l := range in.lanes {
				if l.acc.Pending() && l.remote.ReportOnce(code) {
					in.event(TopicTrouble{Topic: l.topic, Code: code, Message: in.noIdentity})
				}
			}
		}
		in.wake(in.noIdentityUntil)
		return
	}
	// Every start takes a new producer id, so that a rolled-back copy of the spool
	// cannot give a used sequence to other records. It counts once it is durable.
	in.attempts, in.noIdentity, in.denied, in.writing = 0, "", false, true
	in.e.Write.Identity, in.e.Urgent = &id, true
	in.then = append(in.then, func() {
		in.writing, in.e.AnotherIdentity = false, false
		in.e.Identity = id
	})
}
