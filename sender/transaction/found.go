package transaction

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/txn"
)

func (s *starter) findCoordinator(key string, kind int8) {
	s.askCoordinator(sender.AnyBroker, key, kind)
}

func (s *starter) askCoordinator(broker int32, key string, kind int8) {
	s.begun.asked = true
	q := kmsg.NewPtrFindCoordinatorRequest()
	q.CoordinatorKey, q.CoordinatorKeys, q.CoordinatorType = key, []string{key}, kind
	s.request(sender.Request{Kind: sender.KindControl, Broker: broker, Message: q, MinVersion: 1, MaxVersion: 4}, &request{kind: reqFind, begun: s.begun.id})
}

func (s *starter) askProgress() {
	if !s.reachForStart(s.begun.group) {
		return
	}
	s.begun.asked = true
	q := offsetFetch(txn.GroupID(s.known.ID), s.phase == judging)
	s.request(sender.Request{Kind: sender.KindControl, Broker: s.begun.group, Message: q, MinVersion: 7, MaxVersion: 9}, &request{kind: reqProgress, begun: s.begun.id})
}

// reachForStart is reach for a coordinator of the start procedure.
func (s *starter) reachForStart(id int32) bool {
	if s.begun.heldAt == 0 {
		s.begun.heldAt = s.now.Age
	}
	if s.reach(id, s.begun.heldAt) {
		s.begun.heldAt = 0
		return true
	}
	if s.now.Age-s.begun.heldAt >= reachMs {
		s.begun.heldAt = 0
		s.begun.nobody()
		s.failed("the coordinator's broker cannot be reached")
	}
	return false
}

// copied: this spool was restored, or it has a clone that was used.
func (s *starter) copied(why string) {
	reason := fmt.Sprintf("transactional id %s: %s", s.known.ID, why)
	s.w.Stop, s.urgent = reason, true
	s.stop = &sender.StoppedError{Reason: reason}
}

// progressOf is what an answer to OffsetFetch says, in any of its versions.
func progressOf(r *kmsg.OffsetFetchResponse) (protocol.ErrorCode, []txn.Progress) {
	var list []txn.Progress
	code := protocol.ErrorCode(r.ErrorCode)
	one := func(topic string, partition int32, offset int64, metadata *string, errorCode int16) {
		p := txn.Progress{TopicPartition: protocol.TopicPartition{Topic: topic, Partition: partition}, Ordinal: offset}
		if metadata != nil {
			p.Metadata = *metadata
		}
		switch c := protocol.ErrorCode(errorCode); {
		case c == protocol.UnstableOffsetCommit:
			p.Unstable = true
		case c != protocol.None && code == protocol.None:
			code = c
		}
		list = append(list, p)
	}
	for _, g := range r.Groups {
		if g.ErrorCode != 0 {
			code = protocol.ErrorCode(g.ErrorCode)
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				one(t.Topic, p.Partition, p.Offset, p.Metadata, p.ErrorCode)
			}
		}
	}
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			one(t.Topic, p.Partition, p.Offset, p.Metadata, p.ErrorCode)
		}
	}
	if code == protocol.GroupIDNotFound {
		code = protocol.None // nothing was ever committed
	}
	return code, list
}

// waitsForStable reports whether an offset belongs to a transaction that has not ended, and the time
// to wait for that is not over.
func (s *starter) waitsForStable(list []txn.Progress) bool {
	for _, p := range list {
		if !p.Unstable {
			continue
		}
		if s.begun.unstable == 0 {
			s.begun.unstable = s.now.Age
		}
		if s.now.Age-s.begun.unstable < s.cfg.RequestTimeoutMs {
			s.after(s.cfg.RetryBackoffMs, fmt.Sprintf("the progress on %s belongs to a transaction that has not ended", p.TopicPartition))
			return true
		}
	}
	return false
}
