package spoold

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender/loop"
)

// PartitionInfo is a partition of a topic as a broker describes it.
type PartitionInfo struct {
	Partition   int32
	Leader      int32   // broker id; -1: none
	LeaderEpoch int32   // -1: not known
	Replicas    []int32 // broker ids
	InSync      []int32 // of Replicas
	Offline     []int32 // of Replicas
}

// TopicError: a broker refuses to describe a topic: there is none of that name, or it may not be read or written.
type TopicError struct {
	Topic string
	Code  ErrorCode
}

func (e *TopicError) Error() string { return fmt.Sprintf("topic %s: %s", e.Topic, e.Code) }

// PartitionsFor asks the cluster for a topic's partitions, in ascending order. It does not make
// the topic. It waits for a broker that answers, at most max.block.ms or until ctx ends; the error says
// why none did. A *TopicError: the broker's answer; the topic may be one that has just been
// created or deleted. ErrClosed. Safe for concurrent use.
func (p *Producer) PartitionsFor(ctx context.Context, topic string) ([]PartitionInfo, error) {
	return p.askPartitions(ctx, topic, 0)
}

// createWait is how long a cluster that is asked to create a topic may say that there is none: it does while it creates it.
const createWait = 5 * time.Second

// askPartitions asks until a broker answers. With create above 0 that topic is to be created, and an answer that there is none does
// not count for so long after the first of them.
func (p *Producer) askPartitions(ctx context.Context, topic string, create time.Duration) ([]PartitionInfo, error) {
	if err := checkTopic(topic); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.cfg.MaxBlock, ErrMaxBlock)
	defer cancel()
	var last error
	var until time.Time // of create
	for {
		parts, err := p.partitions(ctx, topic, create > 0)
		if create > 0 && until.IsZero() && absent(err) {
			until = time.Now().Add(create)
		}
		switch {
		case absent(err) && time.Now().Before(until):
			last = err
		case err == nil || errors.Is(err, ErrClosed) || as[*TopicError](err):
			return parts, err
		case ctx.Err() == nil:
			last = err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("partitions of topic %s: %w", topic, context.Cause(ctx)), last)
		case <-time.After(max(p.cfg.RetryBackoff, time.Millisecond)):
		}
	}
}

// absent reports whether a broker has said that there is no such topic.
func absent(err error) bool {
	var t *TopicError
	return errors.As(err, &t) && protocol.ErrorCode(t.Code) == protocol.UnknownTopicOrPartition
}

// partitions asks once; create: the topic is to be created if there is none.
func (p *Producer) partitions(ctx context.Context, topic string, create bool) ([]PartitionInfo, error) {
	e, err := p.current()
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrMetadataRequest()
	one := kmsg.NewMetadataRequestTopic()
	one.Topic = &topic
	req.Topics = append(req.Topics, one)
	req.AllowAutoTopicCreation = create
	resp, err := e.loop.Ask(ctx, req, p.cfg.RequestTimeout.Milliseconds())
	if errors.Is(err, loop.ErrOver) {
		select {
		case <-e.replaced: // opened again, or closed: current says which
		case <-ctx.Done():
		}
		return nil, err
	}
	meta, ok := resp.(*kmsg.MetadataResponse)
	if err != nil || !ok {
		return nil, public(err)
	}
	return partitionsOf(topic, meta)
}

func partitionsOf(topic string, meta *kmsg.MetadataResponse) ([]PartitionInfo, error) {
	for i := range meta.Topics {
		t := &meta.Topics[i]
		switch {
		case t.Topic == nil || *t.Topic != topic:
			continue
		case protocol.ErrorCode(t.ErrorCode) == protocol.LeaderNotAvailable:
			return nil, fmt.Errorf("topic %s: %s", topic, ErrorCode(t.ErrorCode)) // it is being made: ask again
		case t.ErrorCode != 0:
			return nil, &TopicError{Topic: topic, Code: ErrorCode(t.ErrorCode)}
		}
		parts := make([]PartitionInfo, len(t.Partitions))
		for j := range t.Partitions {
			q := &t.Partitions[j]
			parts[j] = PartitionInfo{Partition: q.Partition, Leader: q.Leader, LeaderEpoch: q.LeaderEpoch,
				Replicas: q.Replicas, InSync: q.ISR, Offline: q.OfflineReplicas}
		}
		slices.SortFunc(parts, func(a, b PartitionInfo) int { return cmp.Compare(a.Partition, b.Partition) })
		return parts, nil
	}
	return nil, fmt.Errorf("topic %s is not in the broker's answer", topic)
}
