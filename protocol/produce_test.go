package protocol

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/program"
)

var producePartitions = []ProducePartition{
	{Topic: "orders", TopicID: TopicID{1, 2, 3}, Partition: 0, Batch: []byte("first batch")},
	{Topic: "orders", TopicID: TopicID{1, 2, 3}, Partition: 5, Batch: bytes.Repeat([]byte("x"), 300)},
	{Topic: strings.Repeat("t", 249), TopicID: TopicID{4}, Partition: 1 << 30, Batch: []byte("b")},
}

// oracleProduce is the same request as kmsg encodes it.
func oracleProduce(version int16, correlation, timeoutMillis int32, clientID string, partitions []ProducePartition) []byte {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, -1, timeoutMillis
	for _, p := range partitions {
		n := len(req.Topics)
		if n == 0 || req.Topics[n-1].TopicID != p.TopicID {
			topic := kmsg.NewProduceRequestTopic()
			topic.Topic, topic.TopicID = p.Topic, p.TopicID
			req.Topics = append(req.Topics, topic)
			n++
		}
		partition := kmsg.NewProduceRequestTopicPartition()
		partition.Partition, partition.Records = p.Partition, p.Batch
		req.Topics[n-1].Partitions = append(req.Topics[n-1].Partitions, partition)
	}
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, req, correlation)
}

func TestProduceRequestIsWhatKmsgWritesInEveryVersion(t *testing.T) {
	e := ProduceEncoder{ClientID: "edge-7"}
	for version := ProduceMinVersion; version <= ProduceMaxVersion; version++ {
		for n := range len(producePartitions) + 1 {
			pieces, size, err := e.Encode(version, 77, 25000, producePartitions[:n])
			if err != nil {
				t.Fatalf("version %d: %v", version, err)
			}
			got := bytes.Join(pieces, nil)
			want := oracleProduce(version, 77, 25000, "edge-7", producePartitions[:n])
			if !bytes.Equal(got, want) {
				t.Errorf("version %d, %d partitions:\n%x, want\n%x", version, n, got, want)
			}
			if size != len(got) || int(binary.BigEndian.Uint32(got))+4 != size {
				t.Errorf("version %d: size %d, length field %d, %d bytes", version, size, binary.BigEndian.Uint32(got), len(got))
			}
		}
	}
}

func TestProduceRequestIsReadBackByKmsgInEveryVersion(t *testing.T) {
	var e ProduceEncoder
	for version := ProduceMinVersion; version <= ProduceMaxVersion; version++ {
		pieces, _, err := e.Encode(version, 1, 30000, producePartitions)
		if err != nil {
			t.Fatal(err)
		}
		header := 4 + 2 + 2 + 4 + 2
		if version >= 9 {
			header++
		}
		var req kmsg.ProduceRequest
		req.Version = version
		if err := req.ReadFrom(bytes.Join(pieces, nil)[header:]); err != nil {
			t.Fatalf("version %d: kmsg: %v", version, err)
		}
		if req.Acks != -1 || req.TransactionID != nil || req.TimeoutMillis != 30000 || len(req.Topics) != 2 || len(req.Topics[0].Partitions) != 2 {
			t.Fatalf("version %d: read back as %+v", version, req)
		}
		if version >= 13 && req.Topics[0].TopicID != producePartitions[0].TopicID || version < 13 && req.Topics[0].Topic != "orders" {
			t.Errorf("version %d: topic %q, id %x", version, req.Topics[0].Topic, req.Topics[0].TopicID)
		}
		if got := req.Topics[0].Partitions[1]; got.Partition != 5 || !bytes.Equal(got.Records, producePartitions[1].Batch) {
			t.Errorf("version %d: partition %d, %d bytes", version, got.Partition, len(got.Records))
		}
	}
}

func TestProduceRequestCopiesNoBatchAndAllocatesNothing(t *testing.T) {
	var e ProduceEncoder
	pieces, _, err := e.Encode(13, 1, 1, producePartitions)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, p := range pieces {
		for _, part := range producePartitions {
			if &p[0] == &part.Batch[0] && len(p) == len(part.Batch) {
				found++
			}
		}
	}
	if found != len(producePartitions) {
		t.Errorf("%d of %d batches stand in the request as they are", found, len(producePartitions))
	}
	n := testing.AllocsPerRun(100, func() {
		if _, _, err := e.Encode(13, 1, 1, producePartitions); err != nil {
			t.Error(err)
		}
	})
	if n != 0 {
		t.Errorf("encoding makes %v allocations, want none", n)
	}
}

func TestProduceRequestThatCannotBeWrittenIsAnError(t *testing.T) {
	var e ProduceEncoder
	for _, version := range []int16{-1, 2, 14} {
		if _, _, err := e.Encode(version, 1, 1, producePartitions); err == nil {
			t.Errorf("version %d is taken", version)
		}
	}
	if _, _, err := e.Encode(9, 1, 1, []ProducePartition{{Topic: strings.Repeat("t", 1<<15)}}); err == nil {
		t.Error("a topic name of 32 KiB is taken")
	}
	e.ClientID = strings.Repeat("c", 1<<15)
	if _, _, err := e.Encode(9, 1, 1, producePartitions); err == nil {
		t.Error("a client.id of 32 KiB is taken")
	}
}

// Law: in every version kmsg reads the request that was meant, name or id, partition and batch, from
// whatever the encoder was used for before; it writes the same bytes; and what a request cannot hold
// is an error, nothing else is.
func FuzzProduceRequestIsReadBackByKmsg(f *testing.F) {
	f.Add([]byte{0, 4, 'e', 'd', 'g', 'e', 13, 2, 1, 5, 'a', 'b', 9, 7, 3, 1, 0, 200, 200, 9})
	f.Add([]byte{1, 0, 3, 1, 9, 0, 4, 2})
	f.Fuzz(func(t *testing.T, script []byte) {
		p := program.New(script)
		e := ProduceEncoder{ClientID: string(p.Bytes(1 << 16))}
		for range 4 {
			fuzzProduce(t, p, &e)
		}
	})
}

func fuzzProduce(t *testing.T, p *program.Program, e *ProduceEncoder) {
	version := int16(p.Below(16))
	correlation, timeout := p.Int32(), p.Int32()
	var list []ProducePartition
	tooLong := len(e.ClientID) > math.MaxInt16
	for range p.Below(9) {
		part := ProducePartition{Topic: string(p.Bytes(20)), TopicID: TopicID{byte(p.Below(3))}, Partition: p.Int32(), Batch: p.Bytes(1 << 10)}
		if n := len(list); n > 0 && p.Yes() {
			part.Topic, part.TopicID = list[n-1].Topic, list[n-1].TopicID
		}
		if p.Below(64) == 63 {
			part.Topic = strings.Repeat("t", math.MaxInt16-1+p.Below(3))
		}
		tooLong = tooLong || len(part.Topic) > math.MaxInt16
		list = append(list, part)
	}
	pieces, size, err := e.Encode(version, correlation, timeout, list)
	if wanted := version >= 3 && version <= 13 && !tooLong; wanted != (err == nil) {
		t.Fatalf("version %d, client.id of %d bytes, %d partitions: %v", version, len(e.ClientID), len(list), err)
	}
	if err != nil {
		return
	}
	got := bytes.Join(pieces, nil)
	if size != len(got) {
		t.Fatalf("%d bytes, and it says %d", len(got), size)
	}
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, -1, timeout
	for i, part := range list {
		if i == 0 || part.Topic != list[i-1].Topic || part.TopicID != list[i-1].TopicID {
			topic := kmsg.NewProduceRequestTopic()
			topic.Topic, topic.TopicID = part.Topic, part.TopicID
			req.Topics = append(req.Topics, topic)
		}
		last := &req.Topics[len(req.Topics)-1]
		partition := kmsg.NewProduceRequestTopicPartition()
		partition.Partition, partition.Records = part.Partition, part.Batch
		if partition.Records == nil {
			partition.Records = []byte{} // we have no null batches: there is none without records
		}
		last.Partitions = append(last.Partitions, partition)
	}
	want := kmsg.NewRequestFormatter(kmsg.FormatterClientID(e.ClientID)).AppendRequest(nil, req, correlation)
	if !bytes.Equal(got, want) {
		t.Fatalf("version %d: we write %x, kmsg %x", version, got, want)
	}
	readBack(t, version, got, e.ClientID, list)
}

// readBack takes a request apart with kmsg.
func readBack(t *testing.T, version int16, raw []byte, clientID string, list []ProducePartition) {
	body := raw[4+2+2+4+2+len(clientID):]
	if version >= 9 {
		body = body[1:] // tags of the header
	}
	var req kmsg.ProduceRequest
	req.Version = version
	if err := req.ReadFrom(body); err != nil {
		t.Fatalf("version %d: kmsg does not read %x: %v", version, raw, err)
	}
	n := 0
	for _, topic := range req.Topics {
		for _, part := range topic.Partitions {
			want := list[n]
			if version >= 13 && topic.TopicID != want.TopicID || version < 13 && topic.Topic != want.Topic || part.Partition != want.Partition || !bytes.Equal(part.Records, want.Batch) {
				t.Fatalf("version %d: partition %d is read back as %q %x %d, want %+v", version, n, topic.Topic, topic.TopicID, part.Partition, want)
			}
			n++
		}
	}
	if n != len(list) || req.Acks != -1 || req.TransactionID != nil {
		t.Fatalf("version %d: %d partitions of %d, acks %d, transactional id %v", version, n, len(list), req.Acks, req.TransactionID)
	}
}

func BenchmarkProduceEncode(b *testing.B) {
	e := ProduceEncoder{ClientID: "spoold"}
	partitions := make([]ProducePartition, 50)
	for i := range partitions {
		partitions[i] = ProducePartition{Topic: "orders", TopicID: TopicID{1}, Partition: int32(i), Batch: make([]byte, 16<<10)}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := e.Encode(13, 1, 30000, partitions); err != nil {
			b.Fatal(err)
		}
	}
}
