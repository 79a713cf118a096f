package broker

import (
	"cmp"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// groupCoordinator is a broker's part as coordinator of groups, while it leads the partition of offsetsTopic. Groups have no
// members here: offsets are all that there is of them.
type groupCoordinator struct {
	replica *replica // nil: it leads none
	loaded  bool
}

// committedOffsets is what one TxnOffsetCommit wrote.
type committedOffsets struct {
	group string
	list  []committedOffset
}

type committedOffset struct {
	topic    string
	id       protocol.TopicID // an offset goes with its topic
	number   int32
	offset   int64
	metadata string
	at       int64
}

// mostMetadata is offset.metadata.max.bytes.
const mostMetadata = 4096

// Versions of TxnOffsetCommit.
const (
	hasMembers       = 3
	offsetsAbortable = 4
	addsOffsets      = 5 // KIP-890
)

func (g *groupCoordinator) ready() protocol.ErrorCode {
	switch {
	case g.replica == nil || !g.replica.leads():
		return protocol.NotCoordinator
	case !g.loaded:
		return protocol.CoordinatorLoadInProgress
	}
	return protocol.None
}

// commit is TxnOffsetCommit (KafkaApis.handleTxnOffsetCommitRequest, GroupCoordinatorService.commitTransactionalOffsets).
func (g *groupCoordinator) commit(n *node, m *kmsg.TxnOffsetCommitRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrTxnOffsetCommitResponse()
	resp.SetVersion(m.GetVersion())
	resp.ThrottleMillis = n.throttle()
	note := committedOffsets{group: m.Group}
	codes := map[txnPart]protocol.ErrorCode{}
	for i := range m.Topics {
		for j := range m.Topics[i].Partitions {
			p := &m.Topics[i].Partitions[j]
			part := txnPart{m.Topics[i].Topic, p.Partition}
			o := committedOffset{topic: part.topic, number: part.number, offset: p.Offset, at: n.c.now()}
			if p.Metadata != nil {
				o.metadata = *p.Metadata
			}
			v := n.views[part.topic]
			switch {
			case v == nil || p.Partition >= int32(len(v.parts)):
				codes[part] = protocol.UnknownTopicOrPartition
			case !n.c.may(Read, part.topic):
				codes[part] = protocol.TopicAuthorizationFailed
			case len(o.metadata) > mostMetadata:
				codes[part] = protocol.OffsetMetadataTooLarge
			default:
				o.id = v.topic.id
				note.list = append(note.list, o)
			}
		}
	}
	answer := func(all protocol.ErrorCode) {
		for i := range m.Topics {
			t := kmsg.NewTxnOffsetCommitResponseTopic()
			t.Topic = m.Topics[i].Topic
			for j := range m.Topics[i].Partitions {
				out := kmsg.NewTxnOffsetCommitResponseTopicPartition()
				out.Partition = m.Topics[i].Partitions[j].Partition
				out.ErrorCode = int16(cmp.Or(codes[txnPart{t.Topic, out.Partition}], all))
				t.Partitions = append(t.Partitions, out)
			}
			resp.Topics = append(resp.Topics, t)
		}
		reply(resp)
	}
	code := g.ready()
	switch {
	case !n.c.may(Transact, m.TransactionalID):
		code = protocol.TransactionalIDAuthorizationFailed
	case !n.c.may(Group, m.Group):
		code = protocol.GroupAuthorizationFailed
	case code == protocol.None && n.c.chance(n.c.Weather.Unavailable):
		code = protocol.CoordinatorNotAvailable
	}
	if code != protocol.None || len(note.list) == 0 {
		answer(code)
		return
	}
	w := who{id: m.TransactionalID, pid: m.ProducerID, epoch: m.ProducerEpoch, v2: m.GetVersion() >= addsOffsets}
	part := txnPart{offsetsTopic, 0}
	transactional{n}.check(w, []txnPart{part}, checkTries, func(v *verification) {
		if code := v.ofOffsets(part, m.GetVersion()); code != protocol.None {
			answer(code)
			return
		}
		if m.GetVersion() >= hasMembers && m.Generation >= 0 { // the transaction has the partition by now
			answer(g.stranger(m.Group))
			return
		}
		n.groups.append(v, note, answer)
	})
}

// stranger is what a member of a group without members is answered.
func (g *groupCoordinator) stranger(group string) protocol.ErrorCode {
	if len(g.offsets(group, true).list) == 0 {
		return protocol.IllegalGeneration
	}
	return protocol.UnknownMemberID
}

// append writes offsets as a batch of the transaction.
func (g *groupCoordinator) append(v *verification, note committedOffsets, done func(protocol.ErrorCode)) {
	if code := g.ready(); code != protocol.None {
		done(code)
		return
	}
	r := g.replica
	e := entry{pid: v.pid, pepoch: v.epoch, base: -1, last: -1, maxTS: r.node.c.now(), transactional: true, v2: v.adds, note: note}
	if p := r.producers[v.pid]; p != nil && p.epoch > v.epoch {
		done(protocol.InvalidProducerEpoch)
		return
	}
	if code := (transactions{r}).inTransaction(&e, v); code != protocol.None {
		done(code)
		return
	}
	delete(r.verifying, v.pid)
	transactions{r}.replicate(e, func(code protocol.ErrorCode) {
		switch code {
		case protocol.NotEnoughReplicas, protocol.RequestTimedOut:
			code = protocol.CoordinatorNotAvailable
		case protocol.NotLeaderOrFollower:
			code = protocol.NotCoordinator
		}
		done(code)
	})
}

// ofOffsets is what TxnOffsetCommit is answered when its group's partition may not be written to.
func (v *verification) ofOffsets(p txnPart, version int16) protocol.ErrorCode {
	switch code := v.code[p]; code {
	case protocol.ProducerFenced:
		return protocol.InvalidProducerEpoch
	case protocol.NetworkException, protocol.NotCoordinator, protocol.CoordinatorNotAvailable:
		return protocol.CoordinatorNotAvailable
	case protocol.ConcurrentTransactions:
		if v.adds {
			return code
		}
		return protocol.CoordinatorNotAvailable
	case protocol.TransactionAbortable:
		if version < offsetsAbortable {
			return protocol.InvalidTxnState
		}
		return code
	default:
		return code
	}
}

// groupOffsets are a group's offsets as its log has them.
type groupOffsets struct {
	list    map[txnPart]committedOffset
	pending map[txnPart]bool // a transaction that has not ended carries one
}

// offsets reads the log (OffsetMetadataManager.replay): what a transaction has committed counts when its marker is there.
func (g *groupCoordinator) offsets(group string, toEnd bool) groupOffsets {
	type written struct {
		committedOffset
		at int64 // in the log
	}
	open := map[int64][]written{} // by producer id
	last := map[txnPart]int64{}
	out := groupOffsets{list: map[txnPart]committedOffset{}, pending: map[txnPart]bool{}}
	r := g.replica
	for i := range r.log {
		e := &r.log[i]
		if !toEnd && e.end() > r.hw {
			break
		}
		if e.marker != noMarker {
			for _, w := range open[e.pid] {
				if part := (txnPart{w.topic, w.number}); e.marker == commitMarker && w.at >= last[part] {
					out.list[part], last[part] = w.committedOffset, w.at
				}
			}
			delete(open, e.pid)
			continue
		}
		if note, ok := e.note.(committedOffsets); ok && note.group == group {
			for _, o := range note.list {
				open[e.pid] = append(open[e.pid], written{o, e.offset})
			}
		}
	}
	for _, list := range open {
		for _, w := range list {
			out.pending[txnPart{w.topic, w.number}] = true
		}
	}
	g.expire(&out)
	return out
}

// expire takes out what is too old, or was committed for a topic that is no more (OffsetMetadataManager.cleanupExpiredOffsets).
func (g *groupCoordinator) expire(o *groupOffsets) {
	n := g.replica.node
	maps.DeleteFunc(o.list, func(p txnPart, x committedOffset) bool {
		return n.ids[x.id] == nil || !o.pending[p] && n.c.now()-x.at >= n.c.cfg.Retention
	})
}

// Versions of OffsetFetch.
const (
	asksStable  = 7
	asksGroups  = 8
	knowsGroups = 10 // a group that is not there has an error
)

// offsetFetch gives all offsets of groups (KafkaApis.fetchAllOffsetsForGroup), or those that are asked for (fetchOffsetsForGroup).
func (n transactional) offsetFetch(m *kmsg.OffsetFetchRequest) kmsg.Response {
	if m.GetVersion() < asksStable || m.GetVersion() >= knowsGroups {
		panic("broker: the model has OffsetFetch in versions 7 to 9")
	}
	resp := kmsg.NewPtrOffsetFetchResponse()
	resp.SetVersion(m.GetVersion())
	resp.ThrottleMillis = n.throttle()
	if m.GetVersion() < asksGroups {
		var asked []txnPart
		for i := range m.Topics {
			for _, p := range m.Topics[i].Partitions {
				asked = append(asked, txnPart{m.Topics[i].Topic, p})
			}
		}
		topics, code := n.groupOffsets(m.Group, asked, m.RequireStable)
		resp.ErrorCode = int16(code)
		for _, t := range topics {
			old := kmsg.NewOffsetFetchResponseTopic()
			old.Topic = t.Topic
			for _, p := range t.Partitions {
				o := kmsg.NewOffsetFetchResponseTopicPartition()
				o.Partition, o.Offset, o.LeaderEpoch, o.Metadata, o.ErrorCode = p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode
				old.Partitions = append(old.Partitions, o)
			}
			resp.Topics = append(resp.Topics, old)
		}
		return resp
	}
	for i := range m.Groups {
		g := kmsg.NewOffsetFetchResponseGroup()
		g.Group = m.Groups[i].Group
		var asked []txnPart
		for _, t := range m.Groups[i].Topics {
			for _, p := range t.Partitions {
				asked = append(asked, txnPart{t.Topic, p})
			}
		}
		topics, code := n.groupOffsets(g.Group, asked, m.RequireStable)
		g.Topics, g.ErrorCode = topics, int16(code)
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}

// groupOffsets are those of partitions; with none, of all that the group has committed, which leaves out what only an open transaction
// carries.
func (n transactional) groupOffsets(group string, asked []txnPart, stable bool) (topics []kmsg.OffsetFetchResponseGroupTopic, code protocol.ErrorCode) {
	code = n.groups.ready()
	switch {
	case !n.c.may(Group, group):
		code = protocol.GroupAuthorizationFailed
	case code == protocol.None && n.c.chance(n.c.Weather.Unavailable):
		code = protocol.CoordinatorLoadInProgress
	}
	if code != protocol.None {
		return nil, code
	}
	all := n.groups.offsets(group, stable)
	if len(asked) == 0 {
		asked = slices.SortedFunc(maps.Keys(all.list), comparePart)
	}
	for _, part := range asked {
		if k := len(topics); k == 0 || topics[k-1].Topic != part.topic {
			t := kmsg.NewOffsetFetchResponseGroupTopic()
			t.Topic = part.topic
			topics = append(topics, t)
		}
		o, ok := all.list[part]
		if !ok {
			o.offset = -1
		}
		p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = part.number, o.offset, -1, kmsg.StringPtr(o.metadata)
		if stable && all.pending[part] { // that only, and nothing of what was committed before
			p.Offset, p.Metadata, p.ErrorCode = -1, kmsg.StringPtr(""), int16(protocol.UnstableOffsetCommit)
		}
		t := &topics[len(topics)-1]
		t.Partitions = append(t.Partitions, p)
	}
	return topics, protocol.None
}
