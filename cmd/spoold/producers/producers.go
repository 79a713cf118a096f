package producers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/protocol/conn"
)

const describeProducersKey = 61

// Describe has the cluster answer DescribeProducers from its logs from now on.
func Describe(c *kfake.Cluster) {
	d := &describer{cluster: c, logs: make(map[partition]*state)}
	c.ControlKey(describeProducersKey, d.answer)
}

type describer struct {
	cluster *kfake.Cluster
	mu      sync.Mutex
	logs    map[partition]*state
}

type partition struct {
	topic  protocol.TopicID
	number int32
}

// state is what was read of a log so far.
type state struct {
	next  protocol.Offset
	known map[protocol.ProducerID]protocol.BatchHeader // newest batch of each
}

func (d *describer) answer(r kmsg.Request) (kmsg.Response, error, bool) {
	d.cluster.KeepControl()
	req := r.(*kmsg.DescribeProducersRequest)
	resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
	resp.SetVersion(req.GetVersion())
	node := d.cluster.CurrentNode()
	// The logs are read through the cluster itself, which must not wait for us meanwhile.
	d.cluster.SleepControl(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, t := range req.Topics {
			topic := kmsg.NewDescribeProducersResponseTopic()
			topic.Topic = t.Topic
			for _, p := range t.Partitions {
				topic.Partitions = append(topic.Partitions, d.describe(node, t.Topic, p))
			}
			resp.Topics = append(resp.Topics, topic)
		}
	})
	return resp, nil, true
}

func (d *describer) describe(node int32, topic string, number int32) kmsg.DescribeProducersResponseTopicPartition {
	r := kmsg.NewDescribeProducersResponseTopicPartition()
	r.Partition = number
	info, part := d.cluster.TopicInfo(topic), d.cluster.PartitionInfo(topic, number)
	switch {
	case info == nil || part == nil:
		r.ErrorCode = int16(protocol.UnknownTopicOrPartition)
		return r
	case part.Leader != node:
		r.ErrorCode = int16(protocol.NotLeaderOrFollower)
		return r
	}
	key := partition{info.TopicID, number}
	st := d.logs[key]
	if st == nil {
		st = &state{known: make(map[protocol.ProducerID]protocol.BatchHeader)}
		d.logs[key] = st
	}
	st.next = max(st.next, protocol.Offset(part.LogStartOffset))
	if err := d.read(node, topic, number, st, protocol.Offset(part.HighWatermark)); err != nil {
		r.ErrorCode = int16(protocol.UnknownServerError)
		message := err.Error()
		r.ErrorMessage = &message
		return r
	}
	for id, h := range st.known {
		p := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		p.ProducerID, p.ProducerEpoch = int64(id), int32(h.Identity.Epoch)
		p.LastSequence, p.LastTimestamp = int32(h.LastSequence()), h.MaxTimestamp
		p.CoordinatorEpoch, p.CurrentTxnStartOffset = -1, -1
		r.ActiveProducers = append(r.ActiveProducers, p)
	}
	return r
}

// patience bounds a read of a log, which is in this process.
const patience = 10 * time.Second

// read brings st up to the high watermark.
func (d *describer) read(node int32, topic string, number int32, st *state, high protocol.Offset) error {
	if st.next >= high {
		return nil
	}
	addrs := d.cluster.ListenAddrs()
	if int(node) >= len(addrs) {
		return fmt.Errorf("producers: node %d has no address", node)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := conn.Dial(ctx, conn.Options{Addr: addrs[node], ClientID: "producers"})
	if err != nil {
		return err
	}
	defer func() {
		c.Close(nil)
		<-c.Done()
	}()
	for st.next < high {
		log, err := fetch(c, topic, number, st.next)
		if err != nil {
			return err
		}
		before := st.next
		if err := st.take(log); err != nil {
			return err
		}
		if st.next == before {
			return nil // a broker that keeps nothing (BlackholeProduce)
		}
	}
	return nil
}

// fetch asks by topic name, which the last version that can is 12.
func fetch(c *conn.Conn, topic string, number int32, from protocol.Offset) ([]byte, error) {
	req := kmsg.NewPtrFetchRequest()
	version, ok := c.Version(req.Key(), 12)
	if !ok {
		return nil, errors.New("producers: the broker supports no Fetch")
	}
	req.Version, req.ReplicaID, req.MaxBytes, req.SessionEpoch = version, -1, 8<<20, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = number, int64(from), 8<<20, -1
	req.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	type result struct {
		resp kmsg.Response
		err  error
	}
	done := make(chan result, 1)
	c.Do(req, patience, func(resp kmsg.Response, _ bool, err error) { done <- result{resp, err} })
	r := <-done
	if r.err != nil {
		return nil, r.err
	}
	resp := r.resp.(*kmsg.FetchResponse)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, errors.New("producers: Fetch was answered for another partition")
	}
	got := &resp.Topics[0].Partitions[0]
	if got.ErrorCode != 0 {
		return nil, protocol.ErrorCode(got.ErrorCode)
	}
	return got.RecordBatches, nil
}

// take notes the batches of a piece of log.
func (s *state) take(log []byte) error {
	for {
		h, _, rest, err := protocol.NextBatchHeader(log)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
		log = rest
		s.next = max(s.next, h.LastOffset()+1)
		if h.Identity.Valid() && h.Attributes&protocol.AttributeControl == 0 {
			s.known[h.Identity.ID] = h
		}
	}
}
