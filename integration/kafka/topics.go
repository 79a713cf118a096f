package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Admin is a client that goes around the links, for what has no function here.
func (c *Cluster) Admin() *kadm.Client { return c.adm }

// answered makes a change until the cluster answers. A broker closes the connection, without an answer, when its controller
// does not know a version of the forwarded request yet: at a start, or when another one has become controller. done is the
// error of a change that a former try has made.
func answered(ctx context.Context, done error, change func() error) error {
	var lost *kgo.ErrFirstReadEOF
	var last error
	err := until(ctx, func() (bool, error) {
		err := change()
		if errors.As(err, &lost) {
			last = err
			return false, nil
		}
		if last != nil && done != nil && errors.Is(err, done) {
			err = nil
		}
		return true, err
	})
	if err != nil && ctx.Err() != nil {
		return errors.Join(err, last)
	}
	return err
}

// CreateTopic makes a topic on all brokers and waits until each partition has a leader.
func (c *Cluster) CreateTopic(ctx context.Context, topic string, partitions int32, configs map[string]string) error {
	values := make(map[string]*string, len(configs))
	for k, v := range configs {
		values[k] = &v
	}
	err := answered(ctx, kerr.TopicAlreadyExists, func() error {
		answer, err := c.adm.CreateTopic(ctx, partitions, int16(len(c.brokers)), values, topic)
		if err == nil {
			err = answer.Err
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("kafka: create topic %s: %w", topic, err)
	}
	for p := range partitions {
		if _, err := c.Leader(ctx, topic, p); err != nil {
			return err
		}
	}
	return nil
}

// DeleteTopic deletes a topic and waits until the cluster no longer lists it.
func (c *Cluster) DeleteTopic(ctx context.Context, topic string) error {
	err := answered(ctx, kerr.UnknownTopicOrPartition, func() error {
		answer, err := c.adm.DeleteTopic(ctx, topic)
		if err == nil {
			err = answer.Err
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("kafka: delete topic %s: %w", topic, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err = until(ctx, func() (bool, error) {
		topics, err := c.adm.ListTopics(ctx, topic)
		return err == nil && !topics.Has(topic), nil
	})
	if err != nil {
		return fmt.Errorf("kafka: topic %s is still listed after its deletion: %w", topic, err)
	}
	return nil
}

// AlterTopicConfig sets configuration keys of a topic.
func (c *Cluster) AlterTopicConfig(ctx context.Context, topic string, configs map[string]string) error {
	var alter []kadm.AlterConfig
	for k, v := range configs {
		alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: k, Value: &v})
	}
	err := answered(ctx, nil, func() error {
		answers, err := c.adm.AlterTopicConfigs(ctx, alter, topic)
		for _, a := range answers {
			if err == nil {
				err = a.Err
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("kafka: alter the configuration of topic %s: %w", topic, err)
	}
	return nil
}

// Leader is the number (from 0) of the broker that leads a partition. It waits
// while there is none.
func (c *Cluster) Leader(ctx context.Context, topic string, partition int32) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	leader := -1
	err := until(ctx, func() (bool, error) {
		topics, err := c.adm.ListTopics(ctx, topic)
		d, ok := topics[topic].Partitions[partition]
		leader = int(d.Leader) - 1
		return err == nil && ok && d.Err == nil && leader >= 0, nil
	})
	if err != nil {
		return -1, fmt.Errorf("kafka: leader of %s-%d: %w", topic, partition, err)
	}
	return leader, nil
}

// InSync waits until every partition of a topic has all its replicas in sync.
func (c *Cluster) InSync(ctx context.Context, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, brokerPatience)
	defer cancel()
	err := until(ctx, func() (bool, error) {
		topics, err := c.adm.ListTopics(ctx, topic)
		whole := err == nil && len(topics[topic].Partitions) > 0
		for _, p := range topics[topic].Partitions {
			whole = whole && p.Err == nil && p.Leader >= 0 && len(p.ISR) == len(p.Replicas)
		}
		return whole, nil
	})
	if err != nil {
		return fmt.Errorf("kafka: replicas of %s are not in sync: %w", topic, err)
	}
	return nil
}

// Record is what a reader finds in a log.
type Record = kgo.Record

// Scan reads a topic from its start up to where it ends now, as another client
// sees it, and calls f with each record, in offset order within a partition.
func (c *Cluster) Scan(ctx context.Context, topic string, f func(*Record) error) error {
	return c.scan(ctx, topic, f)
}

// ScanCommitted is Scan without the records of transactions that were aborted. None may be open.
func (c *Cluster) ScanCommitted(ctx context.Context, topic string, f func(*Record) error) error {
	return c.scan(ctx, topic, f, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
}

func (c *Cluster) scan(ctx context.Context, topic string, f func(*Record) error, how ...kgo.Opt) error {
	ends, err := c.adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("kafka: end offsets of %s: %w", topic, err)
	}
	starts, err := c.adm.ListStartOffsets(ctx, topic)
	if err != nil {
		return fmt.Errorf("kafka: start offsets of %s: %w", topic, err)
	}
	left := make(map[int32]int64)
	from := make(map[int32]kgo.Offset)
	ends.Each(func(o kadm.ListedOffset) {
		first, _ := starts.Lookup(topic, o.Partition)
		if o.Offset > first.Offset {
			left[o.Partition] = o.Offset
			from[o.Partition] = kgo.NewOffset().At(first.Offset)
		}
	})
	if len(left) == 0 {
		return nil
	}
	var seeds []string
	for _, b := range c.brokers {
		seeds = append(seeds, b.internal)
	}
	reader, err := kgo.NewClient(append(how, kgo.SeedBrokers(seeds...), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))...)
	if err != nil {
		return fmt.Errorf("kafka: reader: %w", err)
	}
	defer reader.Close()
	for len(left) > 0 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return fmt.Errorf("kafka: read %s, %d partitions not at their end: %w", topic, len(left), err)
		}
		var failed error
		fetches.EachRecord(func(r *kgo.Record) {
			end, open := left[r.Partition]
			if !open || failed != nil {
				return // written after we began to read
			}
			if !r.Attrs.IsControl() {
				failed = f(r)
			}
			if r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// ReadAll is what Scan finds, by partition.
func (c *Cluster) ReadAll(ctx context.Context, topic string) (map[int32][]*Record, error) {
	found := make(map[int32][]*Record)
	err := c.Scan(ctx, topic, func(r *Record) error {
		found[r.Partition] = append(found[r.Partition], r)
		return nil
	})
	return found, err
}
