package oracle

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/program"
	"github.com/spoold/spoold/protocol"
)

// FuzzWhatKgoWritesIsReadTheSameByUs reads its input as a log of batches that kmsg writes and kgo compresses,
// with what compaction, transactions and append times make of them, and as damage.
//
// Law: of an undamaged log both make the same records, to its end. Of a damaged one, with checksums made to
// fit or not: a batch that we take kgo takes, with the same records, and one that we refuse it refuses as
// well, refusal says why, or it asks for a zstd window that is larger than any that we read.
func FuzzWhatKgoWritesIsReadTheSameByUs(f *testing.F) {
	for c := range byte(5) {
		f.Add([]byte{c, 2, 3, 9, 1, 130, 3, 'k', 'e', 3, 'v', 'w', 2, 2, 'h', 3, 'x', 'y', 0, 1, 4, 200, 1, 0, 50})
	}
	compressors := [5]kgo.Compressor{}
	for i, c := range []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		var err error
		if compressors[i+1], err = kgo.DefaultCompressor(c); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		p := program.New(script)
		var log []byte
		at := p.Int64() & (1<<40 - 1)
		for range 1 + p.Below(3) {
			b := kmsBatch(p, compressors[p.Below(5)])
			b.FirstOffset = at
			at += int64(b.LastOffsetDelta) + 1 + int64(p.Below(3))
			log = append(log, finish(b)...)
		}
		want, err := theirs(log)
		if err != nil {
			t.Fatalf("kgo does not read its own log: %v", err)
		}
		got, _, err := ours(log)
		if err == nil {
			err = compare(got, want)
		}
		if err != nil {
			t.Fatalf("%x: %v", log, err)
		}
		for range p.Below(3) {
			log = hurt(p, log)
		}
		agree(t, log)
	})
}

// kmsBatch is a batch as a broker may store it: some records may be gone, their offsets are not.
func kmsBatch(p *program.Program, compress kgo.Compressor) *kmsg.RecordBatch {
	b := &kmsg.RecordBatch{PartitionLeaderEpoch: p.Int32(), Magic: 2, FirstTimestamp: p.Int64(), MaxTimestamp: p.Int64(), ProducerID: p.Int64(), ProducerEpoch: int16(p.Int64()), FirstSequence: p.Int32()}
	for _, flag := range []protocol.Attributes{protocol.AttributeLogAppendTime, protocol.AttributeTransactional, protocol.AttributeControl} {
		if p.Below(4) == 3 {
			b.Attributes |= int16(flag)
		}
	}
	last := int32(-1)
	var raw []byte
	for range p.Below(6) {
		last += 1 + int32(p.Below(8)/6)
		delta := p.Int64()
		r := kmsg.Record{Attributes: int8(p.Byte()), TimestampDelta: int32(delta), TimestampDelta64: delta, OffsetDelta: last, Key: p.Bytes(300), Value: p.Bytes(2000)}
		for range p.Below(3) {
			r.Headers = append(r.Headers, kmsg.Header{Key: string(p.Bytes(20)), Value: p.Bytes(40)})
		}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // a length of 0 takes one byte
		raw = r.AppendTo(raw)
		b.NumRecords++
	}
	b.LastOffsetDelta = max(last, 0) + int32(p.Below(4)/3)
	b.Records = raw
	if compress != nil {
		packed, c := compress.Compress(new(bytes.Buffer), raw)
		b.Records = packed
		b.Attributes |= int16(c)
	}
	return b
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// finish writes a batch with the right length and checksum.
func finish(b *kmsg.RecordBatch) []byte {
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	mend(raw)
	return raw
}

func mend(batch []byte) {
	binary.BigEndian.PutUint32(batch[17:], crc32.Checksum(batch[21:], castagnoli))
}

// hurt damages the log somewhere, and may make the checksum of the first batch fit.
func hurt(p *program.Program, log []byte) []byte {
	bad := bytes.Clone(log)
	if len(bad) == 0 {
		return bad
	}
	switch at := p.Below(len(bad)); p.Below(5) {
	case 0:
		bad[at] ^= 1 << p.Below(8)
	case 1:
		bad[at%min(len(bad), 64)] = p.Byte()
	case 2:
		bad = bad[:at]
	case 3: // a record more or less, in a batch that stays as long as it says
		if len(bad) > 61 {
			binary.BigEndian.PutUint32(bad[57:], uint32(p.Int32()))
		}
	case 4:
		if len(bad) > 61 {
			bad[61+at%min(len(bad)-61, 40)] = p.Byte()
		}
	}
	if _, size, _, err := protocol.NextBatchHeader(bad); err == nil && p.Yes() {
		mend(bad[:size])
	}
	return bad
}

// agree compares both readers on any log, a batch at a time: no checksum covers offsets, and kgo
// passes over what lies below the last one.
func agree(t *testing.T, log []byte) {
	for {
		_, size, rest, err := protocol.NextBatchHeader(log)
		if err != nil {
			break
		}
		got, _, err := ours(log[:size])
		if err != nil {
			break
		}
		want, err := theirs(log[:size])
		if err == nil {
			err = compare(got, want)
		}
		if err != nil {
			t.Fatalf("we take %x: %v", log[:size], err)
		}
		log = rest
	}
	// The batch that we refuse: kgo may take it only for a reason.
	if len(log) < 18 {
		return
	}
	length := int(int32(binary.BigEndian.Uint32(log[8:]))) + 12
	if length < 18 || length > len(log) {
		return // kgo stops there, too
	}
	records, err := theirs(log[:length])
	var b kmsg.RecordBatch
	_ = b.ReadFrom(log[:length])
	if err == nil && len(records) == int(b.NumRecords) && refusal(log[:length]) == "" {
		_, _, ourErr := ours(log[:length])
		if errors.Is(ourErr, zstd.ErrWindowSizeExceeded) {
			return // over the 128 MiB that Kafka's own reader takes; codec's tests hold the limit
		}
		t.Fatalf("kgo takes %x as %v, and we say: %v", log[:length], records, ourErr)
	}
}

// A whole client of kgo's writes through a fake broker; what it sends is read as a broker's log would be.
func TestWhatAKgoClientProducesIsReadTheSameByUs(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	var mu sync.Mutex
	var log []byte
	next := uint64(0)
	broker.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			for _, part := range topic.Partitions {
				b := bytes.Clone(part.Records)
				binary.BigEndian.PutUint64(b, next) // as the broker will
				next += uint64(binary.BigEndian.Uint32(b[57:]))
				log = append(log, b...)
			}
		}
		return nil, nil, false
	})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	random := func(n int) []byte {
		if rng.IntN(4) == 0 {
			return nil
		}
		return bytes.Repeat([]byte{byte(rng.Uint32())}, rng.IntN(n))
	}
	for _, c := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		log, next = nil, 0
		client, err := kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...), kgo.ProducerBatchCompression(c), kgo.ManualFlushing(), kgo.ProducerBatchMaxBytes(20_000))
		if err != nil {
			t.Fatal(err)
		}
		var want []record
		for range 300 {
			r := &kgo.Record{Topic: "t", Key: random(50), Value: random(3000)}
			x := record{Key: r.Key, Value: r.Value}
			for range rng.IntN(3) {
				h := kgo.RecordHeader{Key: fmt.Sprint(rng.IntN(9)), Value: random(9)}
				r.Headers = append(r.Headers, h)
				x.Headers = append(x.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
			}
			client.Produce(context.Background(), r, nil)
			want = append(want, x)
		}
		if err := client.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		client.Close()
		mu.Lock()
		got, batches, err := ours(log)
		mu.Unlock()
		if err != nil || len(got) != len(want) || batches < 2 {
			t.Fatalf("codec %v: %d of %d records in %d batches, %v", c, len(got), len(want), batches, err)
		}
		for i := range got {
			// What the client chose itself is compared with what its own reader says.
			want[i].Offset, want[i].Nanos, want[i].Identity = int64(i), got[i].Nanos, got[i].Identity
		}
		if err := compare(got, want); err != nil {
			t.Fatalf("codec %v: %v", c, err)
		}
		same, err := theirs(log)
		if err == nil {
			err = compare(got, same)
		}
		if err != nil {
			t.Fatalf("codec %v: kgo of its own: %v", c, err)
		}
	}
}
