package transaction

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/sender/cluster"
)

// brokerView is what the coordinator says of the transactional id, for people: nothing here depends on it. It is asked only
// after something has changed, and one question at a time.
type brokerView struct {
	*Sender
	owner   int32 // the coordinator that was known last; sender.AnyBroker: none was
	asked   bool
	off     bool // it does not know the request
	askedAt int64
	about   moment // what it was asked about last
	said    *sender.BrokerTransaction
}

// moment tells whether something has changed.
type moment struct {
	phase   phase
	ordinal uint64
	open    *cut
}

const (
	viewEveryMs = 5000   // between two questions
	viewOpenMs  = 30_000 // while one transaction is open all the time
)

// look asks if it is time to.
func (s *brokerView) look() {
	if s.m != nil && s.m.Coordinator() >= 0 {
		s.owner = s.m.Coordinator()
	}
	if s.owner < 0 || s.asked || s.off || s.closing {
		return
	}
	now := moment{s.starter.phase, s.known.Decision.Ordinal, s.sending}
	every := int64(viewEveryMs)
	if now == s.about {
		if s.sending == nil {
			return
		}
		every = viewOpenMs
	}
	if at := s.askedAt + every; s.askedAt > 0 && s.now.Age < at {
		s.wake(at)
		return
	}
	if b := s.view.Broker(s.owner); b == nil || !b.Up {
		return // nothing is connected for this alone
	}
	s.asked, s.askedAt, s.about = true, max(s.now.Age, 1), now
	q := kmsg.NewPtrDescribeTransactionsRequest()
	q.TransactionalIDs = []string{s.known.ID}
	s.request(sender.Request{Kind: sender.KindControl, Broker: s.owner, Message: q, MaxVersion: -1}, &request{kind: reqBrokerView})
}

func (s *brokerView) answered(resp sender.Response) {
	s.asked, s.off = false, resp.Unsupported
	v := &sender.BrokerTransaction{Coordinator: s.owner, At: s.now.Age, Identity: protocol.NoIdentity}
	r, ok := resp.Message.(*kmsg.DescribeTransactionsResponse)
	switch {
	case !ok || resp.Err != nil:
		v.Err = cluster.ErrText(resp.Err)
		s.owner = sender.AnyBroker
	case len(r.TransactionStates) != 1:
		v.Err = "the response does not mention the transactional id"
	default:
		t := &r.TransactionStates[0]
		if code := protocol.ErrorCode(t.ErrorCode); code != protocol.None {
			v.Err = code.String()
			if code == protocol.TransactionalIDAuthorizationFailed {
				v.Err += ": grant DESCRIBE on transactional id " + s.known.ID
			}
			break
		}
		v.State, v.TimeoutMs, v.StartedAt = t.State, t.TimeoutMillis, t.StartTimestamp
		v.Identity = protocol.ProducerIdentity{ID: protocol.ProducerID(t.ProducerID), Epoch: protocol.ProducerEpoch(t.ProducerEpoch)}
		for i := range t.Topics {
			v.Partitions += len(t.Topics[i].Partitions)
		}
	}
	s.said = v
}
