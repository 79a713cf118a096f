package transaction

import (
	"fmt"

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
	// A coordinator that was asked may have handed the id over, and the machine hears of it with its next request only.
	former  int32 // the last one that said so; sender.AnyBroker: none did
	lookUps int   // since the last answer that is shown
	findAt  int64 // the next look-up; 0: none is due
	again   bool  // ask whom the look-up has named
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
	viewLookUps = 6      // then it is shown that nobody takes the id for its own
)

// look asks if it is time to.
func (s *brokerView) look() {
	if s.m != nil && s.m.Coordinator() >= 0 && s.m.Coordinator() != s.former {
		s.owner = s.m.Coordinator()
	}
	if s.asked || s.off || s.closing {
		return
	}
	if s.findAt > 0 {
		s.find()
		return
	}
	if s.owner < 0 {
		return
	}
	now := moment{s.starter.phase, s.known.Decision.Ordinal, s.sending}
	every := int64(viewEveryMs)
	if now == s.about && !s.again {
		if s.sending == nil {
			return
		}
		every = viewOpenMs
	}
	if at := s.askedAt + every; s.askedAt > 0 && s.now.Age < at && !s.again {
		s.wake(at)
		return
	}
	if b := s.view.Broker(s.owner); b == nil || !b.Up {
		return // nothing is connected for this alone
	}
	s.again = false
	s.asked, s.askedAt, s.about = true, max(s.now.Age, 1), now
	q := kmsg.NewPtrDescribeTransactionsRequest()
	q.TransactionalIDs = []string{s.known.ID}
	s.request(sender.Request{Kind: sender.KindControl, Broker: s.owner, Message: q, MaxVersion: -1}, &request{kind: reqBrokerView})
}

// find looks the coordinator up again, when it is time to.
func (s *brokerView) find() {
	if s.now.Age < s.findAt {
		s.wake(s.findAt)
		return
	}
	s.findAt, s.asked = 0, true
	q := kmsg.NewPtrFindCoordinatorRequest()
	q.CoordinatorKey, q.CoordinatorKeys, q.CoordinatorType = s.known.ID, []string{s.known.ID}, 1
	s.request(sender.Request{Kind: sender.KindControl, Broker: sender.AnyBroker, Message: q, MinVersion: 1, MaxVersion: 4}, &request{kind: reqBrokerView})
}

// moved has the coordinator looked up, if the one that was asked is not it any more. It reports whether that is worth waiting for.
func (s *brokerView) moved(code protocol.ErrorCode) bool {
	if code != protocol.NotCoordinator || s.lookUps >= viewLookUps {
		return false
	}
	s.former = s.owner
	s.findAt = max(s.now.Age, 1)
	if s.lookUps > 0 {
		s.findAt += s.backoff.After(s.lookUps)
	}
	s.lookUps++
	return true
}

func (s *brokerView) answered(resp sender.Response) {
	s.asked, s.off = false, resp.Unsupported
	v := &sender.BrokerTransaction{Coordinator: s.owner, At: s.now.Age, Identity: protocol.NoIdentity}
	if f, ok := resp.Message.(*kmsg.FindCoordinatorResponse); ok && resp.Err == nil {
		code, node := coordinatorOf(f)
		if code == protocol.None && node >= 0 {
			s.owner, s.again = node, true
			return
		}
		resp.Err = fmt.Errorf("FindCoordinator: %w", code)
	}
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
			if s.moved(code) {
				return
			}
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
	s.said, s.lookUps = v, 0
}
