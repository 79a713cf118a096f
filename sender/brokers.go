package sender

import (
	"slices"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/spool"
)

// broker is one broker and the connection to it.
type broker struct {
	id         int32
	up         bool
	connecting bool
	gen        uint64 // rises with every connection
	inFlight   int    // Produce requests unanswered
	throttled  int64  // Age until which nothing is sent (KIP-219)
	retryAt    int64
	attempts   int
	err        string
	listed     bool // Metadata named it last
	failed     bool // a request on this connection was not answered
	calling    bool // its part of the roll call is under way
}

type reqKind uint8

const (
	reqConnect reqKind = iota + 1
	reqMetadata
	reqIdentity
	reqDescribe
	reqLogEnd
	reqTail
	reqLogStart
	reqProduce
	reqExpiration
	reqRollCall
)

// request is what a Response will be told to.
type request struct {
	kind    reqKind
	broker  int32
	batches []*inflight  // reqProduce
	parts   []*partition // reqProduce: of each batch; reqDescribe, reqLogEnd, reqTail, reqLogStart, reqRollCall
	asks    []*asking    // reqDescribe, reqLogEnd: of each part
	tail    *tailRead
}

// request puts r on the list of effects.
func (s *Sender) request(r Request, q *request) {
	s.reqID++
	r.ID = s.reqID
	if r.Timeout == 0 {
		r.Timeout = s.cfg.RequestTimeoutMs
	}
	q.broker = r.Broker
	s.reqs[r.ID] = q
	s.eff.Requests = append(s.eff.Requests, r)
}

// Handle takes the answer to a Request. Answers to requests that were never made, or
// were answered already, are ignored.
func (s *Sender) Handle(now spool.Time, resp Response) *Effects {
	s.begin(now)
	q := s.reqs[resp.ID]
	if q == nil {
		return s.end()
	}
	delete(s.reqs, resp.ID)
	if resp.Err != nil && q.kind != reqConnect {
		if b := s.broker(q.broker); b != nil {
			b.failed = true
		}
	}
	switch q.kind {
	case reqConnect:
		s.onConnect(q, resp)
	case reqMetadata:
		s.onMetadata(q, resp)
	case reqIdentity:
		s.onIdentity(resp)
	case reqDescribe:
		s.onDescribe(q, resp)
	case reqLogEnd:
		s.onLogEnd(q, resp)
	case reqTail:
		s.onTail(q, resp)
	case reqLogStart:
		s.onLogStart(q, resp)
	case reqProduce:
		s.onProduce(q, resp)
	case reqExpiration:
		s.onExpiration(resp)
	case reqRollCall:
		s.onRollCall(q, resp)
	}
	return s.end()
}

func (s *Sender) broker(id int32) *broker {
	k, ok := slices.BinarySearchFunc(s.brokers, id, func(b *broker, id int32) int { return int(b.id) - int(id) })
	if !ok {
		return nil
	}
	return s.brokers[k]
}

func (s *Sender) connected() int {
	n := 0
	for _, b := range s.brokers {
		if b.up {
			n++
		}
	}
	return n
}

// connect opens the connection to b if it is neither there nor on its way.
func (s *Sender) connect(b *broker) {
	switch {
	case b.up || b.connecting:
	case s.now.Age < b.retryAt:
		s.wake(b.retryAt)
	default:
		b.connecting = true
		s.request(Request{Kind: KindConnect, Broker: b.id}, &request{kind: reqConnect})
	}
}

func (s *Sender) onConnect(q *request, resp Response) {
	b := s.broker(q.broker)
	if b == nil {
		return
	}
	b.connecting = false
	if resp.Err != nil {
		b.attempts++
		b.err = errText(resp.Err)
		b.retryAt = s.now.Age + s.backoff(b.attempts)
		s.wake(b.retryAt)
		s.meta.want = true // its address may have changed, or its partitions have moved
		if s.connected() == 0 {
			s.linkIs(false, b.err)
		}
		return
	}
	b.up, b.attempts, b.err, b.failed = true, 0, "", false
	b.gen++
	b.inFlight, b.throttled = 0, 0
	s.linkIs(true, "")
}

// Disconnected says that the connection to a broker is gone. All its requests
// have been answered before.
func (s *Sender) Disconnected(now spool.Time, id int32, err error) *Effects {
	s.begin(now)
	if b := s.broker(id); b != nil && b.up {
		b.up, b.inFlight = false, 0
		b.err = errText(err)
		// An idle connection that somebody closed says nothing about the link; asking for
		// metadata does.
		s.meta.want = true
		if b.failed && s.connected() == 0 {
			s.linkIs(false, b.err)
		}
	}
	return s.end()
}

// produce puts sealed batches on the wire: for each broker, requests with at most one
// batch per partition, while it may have more in flight.
func (s *Sender) produce() {
	if len(s.active) == 0 {
		return
	}
	s.turn++
	for _, b := range s.brokers {
		if !b.up {
			continue
		}
		if s.now.Age < b.throttled {
			s.wake(b.throttled)
			continue
		}
		for b.inFlight < s.cfg.MaxInFlight && s.produceTo(b) {
		}
	}
}

func (s *Sender) produceTo(b *broker) bool {
	var q *request
	var batches []*accumulator.Batch
	size := 0
	for k := range s.active {
		p := s.active[(k+s.turn)%len(s.active)]
		if p.leader != b.id || !p.lane.suspect.IsZero() {
			continue
		}
		inf := s.nextToSend(p)
		if inf == nil || size > 0 && size+len(inf.batch.Buf) > s.cfg.MaxRequestSize {
			continue
		}
		if q == nil {
			q = &request{kind: reqProduce}
		}
		size += len(inf.batch.Buf)
		inf.sent = true
		inf.copies++
		inf.code, inf.message, inf.bad = 0, "", nil
		p.onWire++
		q.batches = append(q.batches, inf)
		q.parts = append(q.parts, p)
		batches = append(batches, inf.batch)
	}
	if q == nil {
		return false
	}
	b.inFlight++
	s.request(Request{Kind: KindProduce, Broker: b.id, Batches: batches}, q)
	return true
}

// throttle obeys a broker's throttle_time_ms, capped so that a wrong one cannot
// stop us for long.
func (s *Sender) throttle(id int32, ms int32) {
	if b := s.broker(id); b != nil && ms > 0 {
		b.throttled = s.now.Age + min(int64(ms), 30_000)
	}
}
