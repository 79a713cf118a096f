package txn

import (
	"cmp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// contents are the partitions and offsets of a transaction, and how far the coordinators have them.
type contents struct {
	partitions map[protocol.TopicPartition]bool // false: to be announced
	adding     []protocol.TopicPartition        // in the AddPartitions under way
	offsets    []*GroupOffsets                  // to be committed, the first next
	refused    []string                         // topics that may not be written to
	keyless    string                           // the topic that the transaction's own number may not be committed for, or ""
}

// Partitions is how many partitions the transaction has.
func (c *contents) Partitions() int { return len(c.partitions) }

// Refused are the topics of this transaction that may not be written to.
func (c *contents) Refused() []string { return c.refused }

// ProgressRefused is the topic that the transaction's own number may not be committed for, or "". It may be for another one.
func (c *contents) ProgressRefused() string { return c.keyless }

func (c *contents) refuse(topic string) {
	if !slices.Contains(c.refused, topic) {
		c.refused = append(c.refused, topic)
	}
}

func (c *contents) addPartitions(id string, who protocol.ProducerIdentity) kmsg.Request {
	q := kmsg.NewPtrAddPartitionsToTxnRequest()
	q.TransactionalID = id
	q.ProducerID, q.ProducerEpoch = int64(who.ID), int16(who.Epoch)
	c.adding = c.adding[:0]
	for tp, added := range c.partitions {
		if !added {
			c.adding = append(c.adding, tp)
		}
	}
	slices.SortFunc(c.adding, func(a, b protocol.TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	for _, tp := range c.adding {
		if n := len(q.Topics); n == 0 || q.Topics[n-1].Topic != tp.Topic {
			t := kmsg.NewAddPartitionsToTxnRequestTopic()
			t.Topic = tp.Topic
			q.Topics = append(q.Topics, t)
		}
		t := &q.Topics[len(q.Topics)-1]
		t.Partitions = append(t.Partitions, tp.Partition)
	}
	return q
}

func (c *contents) commitOffsets(id string, who protocol.ProducerIdentity) kmsg.Request {
	g := c.offsets[0]
	q := kmsg.NewPtrTxnOffsetCommitRequest()
	q.TransactionalID, q.Group = id, g.ID
	q.ProducerID, q.ProducerEpoch = int64(who.ID), int16(who.Epoch)
	q.Generation, q.MemberID = g.Generation, g.Member
	if g.Instance != "" {
		q.InstanceID = &g.Instance
	}
	slices.SortStableFunc(g.Offsets, func(a, b Offset) int { return cmp.Compare(a.Topic, b.Topic) })
	for i := range g.Offsets {
		o := &g.Offsets[i]
		if n := len(q.Topics); n == 0 || q.Topics[n-1].Topic != o.Topic {
			t := kmsg.NewTxnOffsetCommitRequestTopic()
			t.Topic = o.Topic
			q.Topics = append(q.Topics, t)
		}
		t := &q.Topics[len(q.Topics)-1]
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch = o.Partition, o.Offset, o.LeaderEpoch
		p.Metadata = &o.Metadata
		t.Partitions = append(t.Partitions, p)
	}
	return q
}

// partitionsAdded takes the answer to AddPartitionsToTxn. some: the coordinator has one of them now.
func (c *contents) partitionsAdded(r *kmsg.AddPartitionsToTxnResponse) (worst protocol.ErrorCode, detail string, some bool) {
	missing := slices.Clone(c.adding)
	for i := range r.Topics {
		t := &r.Topics[i]
		for _, p := range t.Partitions {
			tp := protocol.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			code := protocol.ErrorCode(p.ErrorCode)
			missing = slices.DeleteFunc(missing, func(x protocol.TopicPartition) bool { return x == tp })
			if _, ours := c.partitions[tp]; !ours {
				continue
			}
			if code == protocol.None {
				c.partitions[tp], some = true, true
				continue
			}
			if code == protocol.TopicAuthorizationFailed {
				c.refuse(tp.Topic)
			}
			if worst == protocol.None || worst == protocol.OperationNotAttempted {
				worst, detail = code, tp.String()+": "+code.String()
			}
		}
	}
	c.adding = c.adding[:0]
	if worst == protocol.None && len(missing) > 0 {
		return protocol.UnknownTopicOrPartition, "the response does not mention " + missing[0].String(), some
	}
	if worst == protocol.TopicAuthorizationFailed {
		detail += ": grant WRITE on topic " + strings.Join(c.refused, ", ")
	}
	return worst, detail, some
}

// offsetsCommitted takes the answer to TxnOffsetCommit.
func (c *contents) offsetsCommitted(r *kmsg.TxnOffsetCommitResponse) (worst protocol.ErrorCode, detail string) {
	if len(c.offsets) == 0 {
		return protocol.None, "" // the transaction was given up meanwhile
	}
	g := c.offsets[0]
	var left []Offset
	for _, o := range g.Offsets {
		code, found := protocol.None, false
		for i := range r.Topics {
			for _, p := range r.Topics[i].Partitions {
				if r.Topics[i].Topic == o.Topic && p.Partition == o.Partition {
					code, found = protocol.ErrorCode(p.ErrorCode), true
				}
			}
		}
		if !found {
			code = protocol.UnknownTopicOrPartition
		}
		if code == protocol.None {
			continue
		}
		left = append(left, o)
		if worst == protocol.None {
			worst, detail = code, "group "+g.ID+", "+o.TopicPartition.String()+": "+code.String()
			switch code {
			case protocol.GroupAuthorizationFailed:
				detail += ": grant READ on group " + g.ID
			case protocol.IllegalGeneration, protocol.UnknownMemberID, protocol.StaleMemberEpoch:
				detail += ": the group has given out its partitions anew without this member, or its generation is an older one: poll again, and go on from the committed offsets"
			case protocol.FencedInstanceID:
				detail += ": another member has this one's group.instance.id"
			case protocol.TopicAuthorizationFailed:
				detail += ": grant READ on topic " + o.Topic
				if strings.HasPrefix(g.ID, GroupID("")) && len(g.Offsets) == 1 {
					c.keyless = o.Topic
				}
			}
		}
	}
	if g.Offsets = left; len(left) == 0 { // else only what failed is tried again
		c.offsets = c.offsets[1:]
	}
	return worst, detail
}
