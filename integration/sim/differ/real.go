package differ

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/sim/raw"
)

// real is a cluster of Apache Kafka.
type real struct {
	ctx   context.Context
	c     *kafka.Cluster
	addrs []string
	wires map[int32]*wire
	// paused brokers do not answer.
	paused [brokers]bool
}

func newReal(ctx context.Context, c *kafka.Cluster) *real {
	return &real{ctx: ctx, c: c, addrs: strings.Split(c.Bootstrap(), ","), wires: map[int32]*wire{}}
}

func (r *real) ask(to int32, req kmsg.Request) (kmsg.Response, error) {
	w := r.wires[to]
	if w == nil {
		var err error
		if w, err = dial(r.addrs[to]); err != nil {
			return nil, err
		}
		r.wires[to] = w
	}
	resp, err := w.ask(req)
	if err != nil {
		_ = w.conn.Close() // it is of no use any more
		delete(r.wires, to)
	}
	return resp, err
}

func (r *real) firstBroker() int32 { return 1 }

func (r *real) hangUp() {
	for id, w := range r.wires {
		_ = w.conn.Close() // the broker is going
		delete(r.wires, id)
	}
}

func (r *real) create(name string, k *kind) (id [16]byte, err error) {
	props := map[string]string{"message.timestamp.after.max.ms": fmt.Sprint(k.cfg.After)} // the default is not every version's
	maps.Copy(props, k.props)
	if err := r.c.CreateTopic(r.ctx, name, int32(k.partitions), props); err != nil {
		return id, err
	}
	if err := r.usable(name, k.partitions); err != nil {
		return id, err
	}
	listed, err := r.c.Admin().ListTopics(r.ctx, name)
	if err != nil {
		return id, fmt.Errorf("differ: id of topic %s: %w", name, err)
	}
	return listed[name].ID, nil
}

// usable waits until broker 0 answers for all partitions of a topic as a leader.
func (r *real) usable(name string, partitions int) error {
	for p := range int32(partitions) {
		if err := r.probe(name, p, 1, "CORRUPT_MESSAGE"); err != nil {
			return err
		}
	}
	return nil
}

// ready waits until broker 0 has producer ids to give.
func (r *real) ready() error { return r.until("a broker with producer ids", hasIDs(r)) }

// hasIDs is a question to broker 0: a new one has to ask the controller for producer ids first.
func hasIDs(s side) func() (bool, string) {
	return func() (bool, string) {
		resp, err := s.ask(0, raw.InitProducerID(4, -1, -1))
		if err != nil {
			return false, err.Error()
		}
		code := resp.(*kmsg.InitProducerIDResponse).ErrorCode
		return code == 0, raw.Code(code)
	}
}

// probe produces a batch of some size with a wrong checksum until the answer is the one that is wanted. It leaves no
// trace; by the answer one sees whether the broker leads the partition, and which limit it has.
func (r *real) probe(name string, partition int32, bytes int, want string) error {
	s := raw.Spec{PID: -1, Epoch: -1, Base: -1, Junk: max(0, bytes-raw.HeaderSize), BadSum: true}
	return r.until(fmt.Sprintf("%s-%d answering %s to %d bytes", name, partition, want, bytes), func() (bool, string) {
		resp, err := r.ask(0, raw.Produce(9, -1, 1000, raw.Part{Topic: name, Partition: partition, Records: s.Bytes()}))
		if err != nil {
			return false, err.Error()
		}
		code := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode
		return raw.Code(code) == want, raw.Code(code)
	})
}

// until asks again and again.
func (r *real) until(what string, holds func() (ok bool, instead string)) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(60 * time.Second)
	for {
		ok, instead := holds()
		if ok {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("differ: after a minute: not %s, but %s", what, instead)
		}
		select {
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		case <-tick.C:
		}
	}
}

func (r *real) remove(name string) error {
	if err := r.c.DeleteTopic(r.ctx, name); err != nil {
		return err
	}
	return r.probe(name, 0, 1, "UNKNOWN_TOPIC_OR_PARTITION")
}

func (r *real) grow(name string, partitions int) error {
	answers, err := r.c.Admin().UpdatePartitions(r.ctx, partitions, name)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		return fmt.Errorf("differ: %d partitions for %s: %w", partitions, name, err)
	}
	return r.usable(name, partitions)
}

func (r *real) limit(name string, bytes int) error {
	if err := r.c.AlterTopicConfig(r.ctx, name, map[string]string{"max.message.bytes": fmt.Sprint(bytes)}); err != nil {
		return err
	}
	if err := r.probe(name, 0, bytes, "CORRUPT_MESSAGE"); err != nil {
		return err
	}
	return r.probe(name, 0, bytes+1, "MESSAGE_TOO_LARGE")
}

func (r *real) restart(inOrder bool, topics map[string]int) error {
	r.hangUp()
	end := r.c.Kill
	if inOrder {
		end = r.c.Stop
	}
	if err := end(0); err != nil {
		return fmt.Errorf("differ: end the broker: %w", err)
	}
	if err := r.c.Start(r.ctx, 0); err != nil {
		return err
	}
	if err := r.ready(); err != nil {
		return err
	}
	for name, partitions := range topics {
		if err := r.usable(name, partitions); err != nil {
			return err
		}
	}
	return nil
}

func (r *real) forget(name string, partition int32, pids []int64) error {
	return r.until(fmt.Sprintf("%s-%d without %v", name, partition, pids), func() (bool, string) {
		resp, err := r.ask(0, raw.DescribeProducers(name, partition))
		if err != nil {
			return false, err.Error()
		}
		p := &resp.(*kmsg.DescribeProducersResponse).Topics[0].Partitions[0]
		known := slices.ContainsFunc(p.ActiveProducers, func(a kmsg.DescribeProducersResponseTopicPartitionActiveProducer) bool {
			return slices.Contains(pids, a.ProducerID)
		})
		return !known && p.ErrorCode == 0, raw.Code(p.ErrorCode)
	})
}
