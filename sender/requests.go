package sender

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

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

// Handle takes the answer to a Request. Answers to requests that were never made, or
// were answered already, are ignored.
func (s *Sender) Handle(now spool.Time, resp Response) *Effects {
	s.start(now)
	q := s.reqs[resp.ID]
	if q == nil {
		return s.end()
	}
	delete(s.reqs, resp.ID)
	s.clones.changed = true
	switch q.kind {
	case reqIdentity, reqCloneCheck:
		s.all = true
	}
	if connect := q.kind == reqView && q.view.Message == nil; resp.Err != nil && !connect {
		s.view.Unanswered(q.broker)
	}
	if t, ok := resp.Message.(kmsg.ThrottleResponse); ok && resp.Err == nil {
		ms, _ := t.Throttle()
		s.view.Throttle(q.broker, ms)
	}
	var foreign *ForeignClusterError
	if errors.As(resp.Err, &foreign) {
		s.changes.foreign(foreign)
		s.all = true
	}
	switch q.kind {
	case reqView:
		s.all = s.view.Handle(q.view, cluster.Answer{Message: resp.Message, Err: resp.Err}) || s.all
		s.changes.apply()
	case reqIdentity:
		s.identify.answered(resp)
	case reqDescribe:
		s.questions.onDescribe(q, resp)
	case reqLogEnd:
		s.questions.onLogEnd(q, resp)
	case reqTail:
		s.questions.onTail(q, resp)
	case reqLogStart:
		s.questions.onLogStart(q, resp)
	case reqProduce:
		s.drain.onProduce(q, resp)
	case reqCloneCheck:
		s.clones.answered(q, resp)
	}
	return s.end()
}

// Disconnected says that the connection to a broker is gone. All its requests
// have been answered before.
func (s *Sender) Disconnected(now spool.Time, id int32, err error) *Effects {
	s.start(now)
	s.view.Disconnected(id, err)
	s.all = true
	s.clones.changed = true
	s.changes.apply()
	return s.end()
}

// requests are those that no Response has come to.
type requests struct {
	*call
	reqs  map[uint64]*request
	reqID uint64
}

// request puts r on the list of effects, behind what the view wanted before.
func (rs *requests) request(r Request, q *request) {
	rs.viewRequests()
	rs.put(r, q)
}

// viewRequests puts what the view of the cluster asks for on the list of effects.
func (rs *requests) viewRequests() {
	for _, vr := range rs.view.Requests() {
		r := Request{Kind: KindControl, Broker: vr.Broker, Message: vr.Message, MaxVersion: -1}
		if vr.Message == nil {
			r = Request{Kind: KindConnect, Broker: vr.Broker}
		}
		rs.put(r, &request{kind: reqView, view: vr})
	}
}

func (rs *requests) put(r Request, q *request) {
	rs.reqID++
	r.ID = rs.reqID
	if r.Timeout == 0 {
		r.Timeout = rs.cfg.RequestTimeoutMs
	}
	q.broker = r.Broker
	rs.reqs[r.ID] = q
	rs.eff.Requests = append(rs.eff.Requests, r)
}
