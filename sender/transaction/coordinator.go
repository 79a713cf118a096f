package transaction

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/txn"
)

type reqKind uint8

const (
	reqView reqKind = iota + 1 // of the view of the cluster
	reqTxn                     // of the transactional id's machine
	reqProduce
	reqVersions
	reqFind       // a coordinator, for what follows
	reqProgress   // OffsetFetch
	reqDescribe   // DescribeTransactions
	reqEvidence   // Fetch, of the decided transaction's records
	reqMarkers    // DescribeProducers, ListOffsets
	reqMarkerLog  // Fetch, of the records of a transaction whose marker was looked for
	reqBrokerView // DescribeTransactions, for people
	reqGroup      // whether a group's offsets are marked
)

// request is what a Response answers.
type request struct {
	kind    reqKind
	broker  int32
	view    cluster.Request
	m       *txn.Machine
	flights []*flight
	places  []*place
	look    *leaderLook
	joined  bool   // reqGroup: the coordinator was done with what was before
	begun   uint64 // reqFind, reqProgress, reqDescribe: which start asked

	init  bool        // reqTxn: it is InitProducerId
	which whichOffset // reqMarkers: if it asks for offsets
}

// request puts r on the list of effects, behind what the view wanted before.
func (s *Sender) request(r sender.Request, q *request) {
	s.viewRequests()
	s.ask(r, q)
}

func (s *Sender) viewRequests() {
	for _, vr := range s.view.Requests() {
		r := sender.Request{Kind: sender.KindControl, Broker: vr.Broker, Message: vr.Message, MaxVersion: -1}
		if vr.Message == nil {
			r = sender.Request{Kind: sender.KindConnect, Broker: vr.Broker}
		}
		s.ask(r, &request{kind: reqView, view: vr})
	}
}

func (s *Sender) ask(r sender.Request, q *request) {
	s.reqID++
	r.ID = s.reqID
	if r.Timeout == 0 {
		r.Timeout = s.cfg.RequestTimeoutMs
	}
	q.broker = r.Broker
	s.reqs[r.ID] = q
	s.eff.Requests = append(s.eff.Requests, r)
}

// Handle takes the answer to a Request. Answers to requests that were never made, or were answered
// already, are ignored.
func (s *Sender) Handle(now spool.Time, resp sender.Response) *sender.Effects {
	s.enter(now)
	q := s.reqs[resp.ID]
	if q == nil {
		return s.end()
	}
	delete(s.reqs, resp.ID)
	if connect := q.kind == reqView && q.view.Message == nil; resp.Err != nil && !connect {
		s.view.Unanswered(q.broker)
	}
	var foreign *sender.ForeignClusterError
	if s.cfg.CheckCluster && s.view.Generation() == 0 && errors.As(resp.Err, &foreign) {
		s.stop = foreign
	}
	switch q.kind {
	case reqView:
		s.view.Handle(q.view, cluster.Answer{Message: resp.Message, Err: resp.Err})
		s.markers.stir = true
		s.viewChanged()
	case reqTxn:
		s.starter.onTxn(q, resp)
	case reqProduce:
		s.producer.onProduce(q, resp)
	case reqVersions:
		s.starter.onVersions(resp)
	case reqMarkers:
		s.markers.answered(q, resp)
	case reqMarkerLog:
		s.markers.onLog(q, resp)
	case reqGroup:
		inGroups{&s.markers}.answered(q, resp)
	case reqBrokerView:
		s.says.answered(resp)
	case reqFind, reqProgress, reqDescribe, reqEvidence:
		if q.begun == s.starter.begun.id {
			s.starter.onStart(q, resp)
		}
	}
	return s.end()
}

// Disconnected says that the connection to a broker is gone. All its requests have been answered before.
func (s *Sender) Disconnected(now spool.Time, id int32, err error) *sender.Effects {
	s.enter(now)
	s.view.Disconnected(id, err)
	s.markers.stir = true
	s.viewChanged()
	return s.end()
}

// viewChanged carries out what the view of the cluster learnt.
func (s *Sender) viewChanged() {
	for _, c := range s.view.Changes() {
		s.markers.stir = true
		switch c.Kind {
		case cluster.LinkChanged:
			s.event(sender.LinkChanged{Up: c.Up, Err: c.Text})
			s.reader.release(noTopic)
		case cluster.ClusterBound:
			s.w.ClusterID, s.urgent = c.Text, true
		case cluster.ClusterForeign:
			s.stop = &sender.ForeignClusterError{Bound: s.view.ID(), Found: c.Text}
		case cluster.MetadataTaken:
			s.reader.release(noTopic)
			if s.starter.phase == running {
				s.markers.start()
			}
		case cluster.TopicFailed:
			if c.Text != "" {
				s.event(sender.TopicTrouble{Topic: c.Topic.Name, Code: c.Code, Message: c.Text})
			}
		case cluster.TopicBound:
			if s.followed[c.Topic.Number].guest {
				continue
			}
			s.w.Bindings = append(s.w.Bindings, spool.LaneBinding{Lane: s.followed[c.Topic.Number].id, TopicID: c.Topic.Bound})
		case cluster.TopicRecreated:
			s.recreated(s.followed[c.Topic.Number])
		case cluster.TopicUpdated:
			l := s.followed[c.Topic.Number]
			if l.missing >= 0 && l.missing < l.remote.Count {
				l.missing = -1
			}
			if l.remote.Count != l.counted {
				l.counted = l.remote.Count
				s.event(sender.PartitionsCounted{Topic: l.topic, Count: l.counted})
			}
		}
	}
}

// recreated: nothing of the topic can be in doubt outside the open transaction, so its records go to
// the new one.
func (s *Sender) recreated(l *lane) {
	s.audit("topic %s was created anew: %v, was %v", l.topic, l.remote.Current, l.remote.Bound)
	if c := s.sending; c != nil {
		for _, x := range c.lanes {
			if x == l {
				s.runner.fail(c, protocol.None, "topic "+l.topic+" was created anew")
			}
		}
	}
	s.view.Rebind(l.remote)
	for _, p := range l.parts {
		// Its sequences go on: Produce may have gone to the new topic by name before this was seen, and whoever is given
		// a sequence twice is told that it was acknowledged, and is not in the log.
		p.known, p.offset = false, -1
	}
	if !l.guest {
		s.w.Bindings = append(s.w.Bindings, spool.LaneBinding{Lane: l.id, TopicID: l.remote.Bound, ResetFacts: true})
		s.urgent = true
	}
}

// reachMs is how long a coordinator that is not connected is waited for before it is looked up again.
const reachMs = 1000

// coordinate puts what the transactional id's machine wants on the wire.
func (s *starter) coordinate() {
	m := s.m
	if m == nil || s.phase == fenced || s.phase == parked {
		return
	}
	if m.State() == txn.FatalError {
		s.broken()
		s.wake(s.now.Age + 1) // to go on from there
		return
	}
	if s.begun.held == nil {
		r, at := m.Next(s.now.Age)
		if at > 0 {
			s.wake(at)
		}
		if r == nil {
			return
		}
		s.begun.held, s.begun.heldAt = r, s.now.Age
	}
	r := s.begun.held
	if r.Broker != txn.AnyBroker && !s.reach(r.Broker, s.begun.heldAt) {
		if s.now.Age-s.begun.heldAt >= reachMs {
			s.begun.held = nil
			m.Answer(s.now.Age, txn.Reply{Lost: "its broker cannot be reached"})
			m.Lose(r.Broker)
			s.wake(s.now.Age + s.cfg.RetryBackoffMs)
		}
		return
	}
	s.begun.held = nil
	s.request(sender.Request{Kind: sender.KindControl, Broker: r.Broker, Message: r.Message, MinVersion: r.MinVersion, MaxVersion: r.MaxVersion},
		&request{kind: reqTxn, m: m, init: r.Kind == txn.InitProducerID})
}

// reach reports whether a broker is connected, and has it connected if not.
func (s *starter) reach(id int32, since int64) bool {
	b := s.view.Broker(id)
	if b != nil && b.Up {
		return true
	}
	if b == nil {
		s.view.Want()
	} else {
		s.view.Connect(b)
	}
	s.wake(since + reachMs)
	return false
}

func (s *starter) onTxn(q *request, resp sender.Response) {
	if q.init && resp.Err != nil && resp.Written {
		s.late.sent(s.now.Age)
	}
	if q.m != s.m {
		return // of a machine that was given up
	}
	reply := txn.Reply{Message: resp.Message, Written: resp.Written, Unsupported: resp.Unsupported}
	if resp.Err != nil {
		reply.Message, reply.Lost = nil, cluster.ErrText(resp.Err)
	}
	before := s.m.State()
	s.m.Answer(s.now.Age, reply)
	if _, _, detail := s.m.Err(); detail != "" && before == s.m.State() && before != txn.Ready {
		s.trial.say(detail)
	}
}

// askVersions asks which transaction.version is finalized: at the start, and now and then.
func (s *starter) askVersions() {
	if s.askedVersions || s.version > 0 && s.now.Age-s.versionsAt < s.cfg.MetadataMaxAgeMs || s.view.Generation() == 0 || !s.view.Link().Up {
		return
	}
	if s.now.Age < s.versionsNext {
		s.wake(s.versionsNext)
		return
	}
	s.askedVersions, s.versionsAt = true, s.now.Age
	r := kmsg.NewPtrApiVersionsRequest()
	r.ClientSoftwareName, r.ClientSoftwareVersion = "spoold", "unknown"
	s.request(sender.Request{Kind: sender.KindControl, Broker: sender.AnyBroker, Message: r, MaxVersion: 4}, &request{kind: reqVersions})
}

func (s *starter) onVersions(resp sender.Response) {
	s.askedVersions = false
	r, ok := resp.Message.(*kmsg.ApiVersionsResponse)
	if !ok || resp.Err != nil || r.ErrorCode != 0 {
		s.versionsTries++
		s.versionsNext = s.now.Age + s.backoff.After(s.versionsTries)
		s.wake(s.versionsNext)
		s.view.Want() // it says, too, whether any broker can be reached
		return
	}
	s.version, s.finalized, s.versionsTries = txn.V1, 0, 0
	for _, f := range r.FinalizedFeatures {
		if f.Name == "transaction.version" {
			s.finalized = f.MaxVersionLevel
		}
	}
	if s.finalized >= txn.V2 {
		s.version = txn.V2
	}
}
