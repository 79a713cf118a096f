package conn

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

func TestProduceGoesToTheLogInEveryVersionTheBrokerHas(t *testing.T) {
	c := dial(t, Options{Addr: cluster(t).ListenAddrs()[0]})
	id := topicID(t, c)
	sequence := protocol.Sequence(0)
	best, _ := c.Version(protocol.ProduceKey, -1)
	if best != protocol.ProduceMaxVersion {
		t.Fatalf("best version of Produce is %d, want %d", best, protocol.ProduceMaxVersion)
	}
	for version := protocol.ProduceMinVersion; version <= best; version++ {
		p := produceOne(c, id, batch(sequence))
		p.Version = version
		ch := make(chan answer, 1)
		c.Produce(p, time.Minute, once(t, ch))
		a := wait(t, ch, "an ack")
		if a.err != nil {
			t.Fatalf("version %d: %v", version, a.err)
		}
		part := a.resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		if part.ErrorCode != 0 || part.BaseOffset != int64(sequence) {
			t.Fatalf("version %d: %v at offset %d, want %d", version, protocol.ErrorCode(part.ErrorCode), part.BaseOffset, sequence)
		}
		sequence++
	}
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, _ = c.Version(fetch.Key(), 12)
	fetch.MaxBytes = 1 << 20
	part := kmsg.NewFetchRequestTopicPartition() // not a literal: brokers refuse tags without their defaults
	part.PartitionMaxBytes = 1 << 20
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = "orders", id, append(topic.Partitions, part)
	fetch.Topics = append(fetch.Topics, topic)
	a := wait(t, ask(t, c, fetch, time.Minute), "a fetch")
	if a.err != nil {
		t.Fatal(a.err)
	}
	log := a.resp.(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches
	for want := protocol.Sequence(0); want < sequence; want++ {
		h, size, rest, err := protocol.NextBatchHeader(log)
		if err != nil || h.Base != want || h.BaseOffset != protocol.Offset(want) {
			t.Fatalf("batch %d of the log is %+v, %v", want, h, err)
		}
		if err := protocol.VerifyBatch(log[:size]); err != nil {
			t.Error(err)
		}
		log = rest
	}
}

func TestProduceTakesItsBatchesWhenItIsWritten(t *testing.T) {
	c := dial(t, Options{Addr: cluster(t).ListenAddrs()[0]})
	id := topicID(t, c)
	compressed := make(chan []byte)
	p := produceOne(c, id, nil)
	p.Encode = func(dst []protocol.ProducePartition) ([]protocol.ProducePartition, error) {
		return append(dst, protocol.ProducePartition{Topic: "orders", TopicID: id, Batch: <-compressed}), nil
	}
	ch := make(chan answer, 1)
	c.Produce(p, time.Minute, once(t, ch))
	behind := ask(t, c, metadata(c), time.Minute)
	compressed <- batch(0)
	if a := wait(t, ch, "an ack"); a.err != nil || a.resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode != 0 {
		t.Errorf("produce: %+v", a)
	}
	if a := wait(t, behind, "what is behind it"); a.err != nil {
		t.Errorf("metadata behind it: %v", a.err)
	}
}

func TestBatchesThatCannotBeMadeFailTheirRequestAlone(t *testing.T) {
	c := dial(t, Options{Addr: cluster(t).ListenAddrs()[0]})
	broken := errors.New("compressor broke")
	p := &ProduceRequest{Version: 9, Encode: func([]protocol.ProducePartition) ([]protocol.ProducePartition, error) { return nil, broken }}
	ch := make(chan answer, 1)
	c.Produce(p, time.Minute, once(t, ch))
	if a := wait(t, ch, "the refusal"); !errors.Is(a.err, broken) || a.written {
		t.Errorf("produce: %+v, want %v and nothing written", a, broken)
	}
	if a := wait(t, ask(t, c, metadata(c), time.Minute), "metadata"); a.err != nil {
		t.Errorf("the connection is of no use any more: %v", a.err)
	}
}

func TestCloseTellsNobodyWhileBatchesAreBeingMade(t *testing.T) {
	c := dial(t, Options{Addr: cluster(t).ListenAddrs()[0]})
	begun, release := make(chan struct{}), make(chan struct{})
	p := &ProduceRequest{Version: 13, Encode: func(dst []protocol.ProducePartition) ([]protocol.ProducePartition, error) {
		close(begun)
		<-release
		return append(dst, protocol.ProducePartition{Batch: batch(0)}), nil
	}}
	ch := make(chan answer, 1)
	c.Produce(p, time.Minute, once(t, ch))
	wait(t, begun, "the writer")
	c.Close(nil)
	select {
	case a := <-ch:
		t.Errorf("told %+v while its batches are being read", a)
	case <-c.Done():
		t.Error("done while the writer is at work")
	case <-time.After(20 * time.Millisecond): // nothing to wait for: it must not happen
	}
	close(release)
	if a := wait(t, ch, "the end"); !errors.Is(a.err, ErrClosed) || a.written {
		t.Errorf("told %+v, want ErrClosed and nothing written", a)
	}
}
