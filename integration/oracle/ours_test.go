package oracle

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/integration/program"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/protocol/codec"
	"github.com/spoold/spoold/spool"
)

// FuzzWhatWeWriteIsReadTheSameByKgo reads its input as records, a codec, and where they are cut.
//
// Law: records that go the product's way, through entries of the spool, batches of the accumulator, a split
// now and then, compression and the batch's header, come out of kgo as they went in: key, value and headers,
// null and empty apart, timestamp, offset, producer id and epoch; kmsg reads the sequences, counts and
// timestamps that were meant, over the wrap too; and our own reader agrees.
func FuzzWhatWeWriteIsReadTheSameByKgo(f *testing.F) {
	for c := range byte(5) {
		f.Add([]byte{c, 3, 9, 1, 130, 3, 'k', 'e', 3, 'v', 'w', 2, 2, 'h', 3, 'x', 'y', 0, 1, 4, 200, 1, 0, 50})
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		p := program.New(script)
		c, level := protocol.Codec(p.Below(5)), int(int16(p.Int64()))
		identity := protocol.ProducerIdentity{ID: protocol.ProducerID(p.Int64() & (1<<63 - 1)), Epoch: protocol.ProducerEpoch(p.Below(1 << 15))}
		base := protocol.Sequence(p.Int32() & (1<<31 - 1))
		var log []byte
		var want []record
		offset := int64(0)
		for _, b := range batches(t, p, identity, &want) {
			b.Identity, b.Base = identity, base
			base = base.Next(int(b.Count))
			halves := []*accumulator.Batch{b}
			if b.Count > 1 && p.Below(4) == 3 {
				var err error
				if halves, err = b.Cut([]int32{b.Count / 2}); err != nil {
					t.Fatal(err)
				}
			}
			for _, b := range halves {
				log = append(log, stored(t, encode(t, b, c, level), b, offset)...)
				offset += int64(b.Count)
			}
		}
		for i := range want {
			want[i].Offset = int64(i)
		}
		got, err := theirs(log)
		if err == nil {
			err = compare(got, want)
		}
		if err != nil {
			t.Fatalf("codec %d: kgo: %v", c, err)
		}
		got, _, err = ours(log)
		if err == nil {
			err = compare(got, want)
		}
		if err != nil {
			t.Fatalf("codec %d: we: %v", c, err)
		}
	})
}

// batches takes records through a lane, and notes what should come out.
func batches(t *testing.T, p *program.Program, id protocol.ProducerIdentity, want *[]record) []*accumulator.Batch {
	a := accumulator.New(accumulator.Config{BatchSize: 200 + p.Below(8000), BufferMemory: 1 << 20})
	l := accumulator.NewLane(0, "t", 0, 0, spool.Facts{})
	l.SetPartitions(1)
	l.Block(a, l.Partition(0), false)
	sec := spool.Section{}
	for range 1 + p.Below(20) {
		r := record{Identity: id, Key: p.Bytes(300), Value: p.Bytes(2000)}
		timestamp := p.Int64() & (1<<63 - 1)
		r.Nanos = timestamp * 1e6
		var headers []spool.Header
		for range p.Below(3) {
			h := spool.Header{Key: string(p.Bytes(20)), Value: p.Bytes(40)}
			headers = append(headers, h)
			r.Headers = append(r.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		sec.Bytes = spool.AppendEntry(sec.Bytes, timestamp, protocol.NoPartition, r.Key, r.Value, headers, spool.BodySize(r.Key, r.Value, headers))
		*want = append(*want, r)
	}
	l.End = spool.Index(len(*want))
	sec.Spans = []spool.Span{{First: 0, End: l.End}}
	if all, err := l.Feed(a, 0, []spool.Section{sec}); !all || err != nil {
		t.Fatalf("fed: %v, %v", all, err)
	}
	var out []*accumulator.Batch
	for q := l.Partition(0); !q.Empty(); {
		out = append(out, q.Pop(a))
	}
	return out
}

// encode makes a batch's bytes for the wire, as the encoder of sender/loop does.
func encode(t *testing.T, b *accumulator.Batch, c protocol.Codec, level int) []byte {
	h := protocol.BatchHeader{FirstTimestamp: b.FirstTimestamp, MaxTimestamp: b.MaxTimestamp, Identity: b.Identity, Base: b.Base, Count: b.Count}
	out, err := codec.Compress(make([]byte, protocol.BatchHeaderSize), b.Records(), c, level)
	if err != nil {
		t.Fatal(err)
	}
	if c == protocol.CodecNone || len(out) >= len(b.Buf) {
		out = bytes.Clone(b.Buf)
	} else {
		h.Attributes = protocol.Attributes(c)
	}
	protocol.WriteBatchHeader(out, h)
	return out
}

// stored is a batch as a broker stores it, once kmsg has read what it would check.
func stored(t *testing.T, raw []byte, b *accumulator.Batch, offset int64) []byte {
	var k kmsg.RecordBatch
	if err := k.ReadFrom(raw); err != nil {
		t.Fatalf("kmsg does not read %x: %v", raw, err)
	}
	if k.FirstSequence != int32(b.Base) || k.NumRecords != b.Count || k.LastOffsetDelta != b.Count-1 || k.MaxTimestamp != b.MaxTimestamp || k.FirstTimestamp != b.FirstTimestamp ||
		k.ProducerID != int64(b.Identity.ID) || k.ProducerEpoch != int16(b.Identity.Epoch) || k.PartitionLeaderEpoch != -1 || k.Magic != 2 || int(k.Length) != len(raw)-12 {
		t.Fatalf("kmsg reads %+v, want the batch at sequence %d of %d records", k, b.Base, b.Count)
	}
	k.FirstOffset, k.PartitionLeaderEpoch = offset, 7 // no checksum covers them
	return k.AppendTo(nil)
}
