package transaction

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/txn"
)

// maxNoted is how many topics and groups of units that are not spooled a start looks at.
const maxNoted = 256

// groupHeals is how often a marker is written for a group: what is open there may be somebody else's.
const groupHeals = 3

// follow is the lane of a topic, which has none in the spool perhaps.
func (s *markers) follow(topic string) *lane {
	l := s.byTopic[topic]
	if l == nil {
		l = &lane{topic: topic, guest: true, remote: s.view.Follow(topic, protocol.TopicID{}), settled: newSettled(), missing: -1}
		s.followed = append(s.followed, l)
		s.byTopic[topic] = l
		s.view.Want()
	}
	return l
}

// inGroups looks for markers in the offsets of groups.
type inGroups struct{ *markers }

// offsets is where the end of a transaction is marked that commits offsets of a group.
func (s inGroups) offsets(g *txn.GroupOffsets) *place {
	x := s.place(g.ID)
	x.offsets = x.offsets[:0]
	for i := range g.Offsets {
		x.offsets = append(x.offsets, g.Offsets[i].TopicPartition)
	}
	return x
}

// place is that of a group, which is made if need be.
func (s inGroups) place(id string) *place {
	x := s.groups[id]
	if x == nil {
		x = &place{group: id, broker: sender.AnyBroker, first: -1}
		s.groups[id] = x
		s.inOrder = append(s.inOrder, x)
	}
	return x
}

// wait has c, of a former process, wait for its marker in the offsets of groups. Which of them it committed offsets of is not
// known, but no other transaction can have left some pending there: none is begun before the end of the last one is seen in all of
// them, see unsure, nor one with offsets before it is on disk that they were seen.
func (s inGroups) wait(c *committed) {
	for _, x := range s.inOrder {
		s.await(c, x, -1, -1, false)
	}
}

// unsure reports whether it is to be seen whether the last transaction has ended in the offsets of groups. Our own progress may be
// in the same partition of __consumer_offsets, where the marker of the next transaction ends whatever this producer id has pending,
// of all groups (GroupCoordinator.onTransactionCompleted). A group whose coordinator cannot be asked for long is in another one: our own can.
func (s inGroups) unsure() bool {
	for _, x := range s.inOrder {
		switch {
		case x.sight == lost:
			return true
		case x.sight == unseen && (x.open || s.now.Age-x.since < unsureAfter || !x.listed):
			s.want(x)
			if x.sight == unseen {
				if at := x.since + unsureAfter; at > s.now.Age { // else it is open, and looked at
					s.wake(at)
				}
				return true
			}
		}
	}
	return false
}

// note writes down, before the transaction begins, which topics and groups a unit has that is not spooled. It reports whether they are on disk.
func (s *markers) note(o *online) bool {
	if s.noting {
		return false
	}
	topics, groups := s.known.Topics, s.known.Groups
	more := false
	for _, l := range o.lanes {
		topics, more = noted(topics, l.topic, more)
	}
	if s.confirming > 0 && len(o.unit.Groups) > 0 {
		s.urgent = true
		return false
	}
	for i := range o.unit.Groups {
		groups, more = noted(groups, o.unit.Groups[i].ID, more)
	}
	if !more {
		return true
	}
	s.known.Topics, s.known.Groups = topics, groups
	s.put()
	s.noting = true
	s.then = append(s.then, func() { s.noting = false })
	return false
}

func noted(list []string, name string, more bool) ([]string, bool) {
	for _, x := range list {
		if x == name {
			return list, more
		}
	}
	list = append(list[:len(list):len(list)], name)
	if len(list) > maxNoted {
		list = list[1:]
	}
	return list, true
}

// look asks the group's coordinator whether offsets are pending.
func (s inGroups) look(x *place) {
	if x.heals >= groupHeals || x.of == nil && x.offsets == nil && x.heals > 0 {
		s.stir = true
		s.see(x)
		return
	}
	if x.broker == sender.AnyBroker {
		x.asked = true
		q := kmsg.NewPtrFindCoordinatorRequest()
		q.CoordinatorKey, q.CoordinatorKeys = x.group, []string{x.group}
		s.request(sender.Request{Kind: sender.KindControl, Broker: sender.AnyBroker, Message: q, MinVersion: 1, MaxVersion: 4},
			&request{kind: reqGroup, places: []*place{x}})
		return
	}
	if !s.starter.reach(x.broker, s.now.Age) {
		x.looks++
		x.broker = sender.AnyBroker
		x.askAt = s.now.Age + s.backoff.After(min(x.looks, 10))
		s.later(x.askAt)
		return
	}
	x.asked = true
	q := offsetFetch(x.group, true, x.offsets...)
	s.request(sender.Request{Kind: sender.KindControl, Broker: x.broker, Message: q, MinVersion: 7, MaxVersion: 9},
		&request{kind: reqGroup, places: []*place{x}, joined: s.joined()})
}

func (s inGroups) answered(q *request, resp sender.Response) {
	x := q.places[0]
	x.asked, s.stir = false, true
	if x.sight != unseen {
		return
	}
	if resp.Err != nil {
		x.broker = sender.AnyBroker
		s.failed(x, resp.Err.Error())
		return
	}
	switch r := resp.Message.(type) {
	case *kmsg.FindCoordinatorResponse:
		code, node := coordinatorOf(r)
		if code != protocol.None || node < 0 {
			s.failed(x, code.String())
			return
		}
		x.broker = node
	case *kmsg.OffsetFetchResponse:
		code, list := progressOf(r)
		switch {
		case code == protocol.GroupAuthorizationFailed:
			s.see(x)
		case code != protocol.None:
			x.broker = sender.AnyBroker
			s.failed(x, code.String())
		case pending(list, x.offsets):
			s.stillOpen(x, q.joined)
		case x.offsets == nil && x.heals == 0: // of a former process: what the group has committed never before is not shown, and may be pending
			x.unshown = true
			s.lose(x)
		default:
			s.closed(x)
		}
	default:
		s.failed(x, "no answer")
	}
}

// pending reports whether an offset of a transaction that is open is among them.
func pending(list []txn.Progress, of []protocol.TopicPartition) bool {
	for _, p := range list {
		if !p.Unstable {
			continue
		}
		if of == nil {
			return true
		}
		for _, tp := range of {
			if tp == p.TopicPartition {
				return true
			}
		}
	}
	return false
}

func coordinatorOf(r *kmsg.FindCoordinatorResponse) (protocol.ErrorCode, int32) {
	if len(r.Coordinators) > 0 {
		return protocol.ErrorCode(r.Coordinators[0].ErrorCode), r.Coordinators[0].NodeID
	}
	return protocol.ErrorCode(r.ErrorCode), r.NodeID
}

// offsetFetch asks for the offsets of a group: for those of partitions, or for all that were committed. Of all, a broker leaves out
// what only an open transaction carries.
func offsetFetch(group string, stable bool, of ...protocol.TopicPartition) kmsg.Request {
	q := kmsg.NewPtrOffsetFetchRequest()
	q.Group = group
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.Topics = group, nil
	g.MemberEpoch = -1
	q.Topics = nil
	for _, tp := range of {
		if n := len(q.Topics); n == 0 || q.Topics[n-1].Topic != tp.Topic {
			q.Topics = append(q.Topics, kmsg.OffsetFetchRequestTopic{Topic: tp.Topic})
			g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: tp.Topic})
		}
		n := len(q.Topics) - 1
		q.Topics[n].Partitions = append(q.Topics[n].Partitions, tp.Partition)
		g.Topics[n].Partitions = q.Topics[n].Partitions
	}
	q.Groups = append(q.Groups, g)
	q.RequireStable = stable
	return q
}
