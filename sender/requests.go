package sender

import (
	"errors"

	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

type reqKind uint8

const (
	reqView reqKind = iota + 1 // of the view of the cluster
	reqIdentity
	reqDescribe
	reqLogEnd
	reqTail
	reqLogStart
	reqProduce
	reqCloneCheck
)

// request is what a Response answers.
type request struct {
	kind    reqKind
	broker  int32
	view    cluster.Request       // reqView
	batches []*idempotence.Sealed // reqProduce
	parts   []*partition          // reqProduce: of each batch; reqDescribe, reqLogEnd, reqTail, reqLogStart, reqCloneCheck
	asks    []*asking             // reqDescribe, reqLogEnd: of each part
	tail    *tailRead
}

// request puts r on the list of effects, behind what the view wanted before.
func (s *Sender) request(r Request, q *request) {
	s.viewRequests()
	s.put(r, q)
}

// viewRequests puts what the view of the cluster asks for on the list of effects.
func (s *Sender) viewRequests() {
	for _, vr := range s.view.Requests() {
		r := Request{Kind: KindControl, Broker: vr.Broker, Message: vr.Message, MaxVersion: -1}
		if vr.Message == nil {
			r = Request{Kind: KindConnect, Broker: vr.Broker}
		}
		s.put(r, &request{kind: reqView, view: vr})
	}
}

func (s *Sender) put(r Request, q *request) {
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
	s.clones.changed = true
	if connect := q.kind == reqView && q.view.Message == nil; resp.Err != nil && !connect {
		s.view.Unanswered(q.broker)
	}
	var foreign *ForeignClusterError
	if errors.As(resp.Err, &foreign) {
		s.foreign(foreign)
	}
	switch q.kind {
	case reqView:
		s.view.Handle(q.view, cluster.Answer{Message: resp.Message, Err: resp.Err})
		s.viewChanged()
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
	case reqCloneCheck:
		s.onCloneCheck(q, resp)
	}
	return s.end()
}

// Disconnected says that the connection to a broker is gone. All its requests
// have been answered before.
func (s *Sender) Disconnected(now spool.Time, id int32, err error) *Effects {
	s.begin(now)
	s.view.Disconnected(id, err)
	s.clones.changed = true
	s.viewChanged()
	return s.end()
}
