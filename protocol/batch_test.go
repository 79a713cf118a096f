package protocol

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// testRecords encodes n records with kmsg, the oracle.
func testRecords(n int) []byte {
	var b []byte
	for i := range n {
		b = oracleRecord(b, int64(i*3), int32(i), []byte("key"), []byte("value"), []kmsg.Header{{Key: "h", Value: []byte{byte(i)}}})
	}
	return b
}

// oracleRecord appends a record as kmsg encodes it.
func oracleRecord(dst []byte, timestampDelta int64, offsetDelta int32, key, value []byte, headers []kmsg.Header) []byte {
	r := kmsg.Record{TimestampDelta: int32(timestampDelta), TimestampDelta64: timestampDelta, OffsetDelta: offsetDelta,
		Key: key, Value: value, Headers: headers}
	raw := r.AppendTo(nil) // with a length of 0, one byte
	r.Length = int32(len(raw) - 1)
	return r.AppendTo(dst)
}

// testBatch makes a batch of n small records.
func testBatch(t testing.TB, h BatchHeader, n int) []byte {
	t.Helper()
	batch := append(make([]byte, BatchHeaderSize), testRecords(n)...)
	h.Count = int32(n)
	WriteBatchHeader(batch, h)
	if err := VerifyBatch(batch); err != nil {
		t.Fatalf("VerifyBatch of what WriteBatchHeader wrote: %v", err)
	}
	return batch
}

func TestBatchHeaderIsTheseBytes(t *testing.T) {
	batch := append(make([]byte, BatchHeaderSize), oracleRecord(nil, 0, 0, nil, []byte("hello"), nil)...)
	WriteBatchHeader(batch, BatchHeader{
		Attributes: Attributes(CodecNone), FirstTimestamp: 0x0102030405060708, MaxTimestamp: 0x1112131415161718,
		Identity: ProducerIdentity{0x2122232425262728, 0x3132}, Base: 0x41424344, Count: 1,
	})
	want := "0000000000000000" + // base offset
		"0000003d" + // 49 bytes of header after the length, 12 of record
		"ffffffff" + "02" + // leader epoch, magic
		"fd3f61f6" + // CRC-32C, worked out bit by bit elsewhere
		"0000" + "00000000" + // attributes, last offset delta
		"0102030405060708" + "1112131415161718" +
		"2122232425262728" + "3132" + "41424344" + // producer id, epoch, base sequence
		"00000001" +
		"16" + "00" + "00" + "00" + "01" + "0a" + hex.EncodeToString([]byte("hello")) + "00"
	if got := hex.EncodeToString(batch); got != want {
		t.Errorf("batch is\n%s, want\n%s", got, want)
	}
}

// Both ways: what we write kmsg reads, and what kmsg writes we read.
func TestBatchHeadersAgreeWithKmsg(t *testing.T) {
	rnd := newRand(t, 20)
	for range 500 {
		h := randomHeader(rnd)
		records := testRecords(int(h.Count))
		batch := append(make([]byte, BatchHeaderSize), records...)
		WriteBatchHeader(batch, h)
		var theirs kmsg.RecordBatch
		if err := theirs.ReadFrom(batch); err != nil {
			t.Fatalf("kmsg does not read our batch of %+v: %v", h, err)
		}
		if got, want := uint32(theirs.CRC), crc32.Checksum(batch[21:], crc32.MakeTable(crc32.Castagnoli)); got != want {
			t.Fatalf("CRC is %08x, want %08x", got, want)
		}
		if again := theirs.AppendTo(nil); !bytes.Equal(again, batch) {
			t.Fatalf("kmsg writes %x where we wrote %x", again, batch)
		}
		if theirs.ProducerID != int64(h.Identity.ID) || theirs.ProducerEpoch != int16(h.Identity.Epoch) ||
			theirs.FirstSequence != int32(h.Base) || theirs.NumRecords != h.Count || theirs.LastOffsetDelta != h.Count-1 ||
			theirs.FirstTimestamp != h.FirstTimestamp || theirs.MaxTimestamp != h.MaxTimestamp ||
			theirs.Attributes != int16(h.Attributes) || theirs.PartitionLeaderEpoch != -1 || theirs.FirstOffset != 0 {
			t.Fatalf("kmsg reads %+v where we wrote %+v", theirs, h)
		}
		theirs.FirstOffset, theirs.PartitionLeaderEpoch = rnd.Int64(), rnd.Int32()
		theirs.LastOffsetDelta += rnd.Int32N(3) // as compaction leaves it
		stored := theirs.AppendTo(nil)
		want := h
		want.BaseOffset, want.LeaderEpoch, want.LastOffsetDelta = Offset(theirs.FirstOffset), theirs.PartitionLeaderEpoch, theirs.LastOffsetDelta
		got, size, rest, err := NextBatchHeader(append(stored, 1, 2, 3))
		if err != nil || got != want || size != len(stored) || len(rest) != 3 {
			t.Fatalf("read %+v, size %d, rest %d, err %v; want %+v, %d, 3", got, size, len(rest), err, want, len(stored))
		}
	}
}

func randomHeader(rnd *rand.Rand) BatchHeader {
	return BatchHeader{
		Attributes:     Attributes(rnd.IntN(5)) | Attributes(rnd.IntN(2))<<3,
		FirstTimestamp: rnd.Int64() - rnd.Int64(), MaxTimestamp: rnd.Int64() - rnd.Int64(),
		Identity: ProducerIdentity{ProducerID(rnd.Int64()), ProducerEpoch(rnd.IntN(math.MaxInt16 + 1))},
		Base:     Sequence(rnd.Int32()), Count: 1 + rnd.Int32N(20),
	}
}

func TestCompactionLowersTheCountButNotTheLastSequence(t *testing.T) {
	h := BatchHeader{BaseOffset: 100, Base: math.MaxInt32 - 1, LastOffsetDelta: 4, Count: 1}
	if h.LastSequence() != 2 || h.LastOffset() != 104 {
		t.Errorf("last sequence %d, last offset %d; want 2, 104", h.LastSequence(), h.LastOffset())
	}
	if h.Base = NoSequence; h.LastSequence() != NoSequence {
		t.Errorf("a batch without a sequence ends at %d", h.LastSequence())
	}
}

func TestFetchAnswerIsWalkedToItsCutOffEnd(t *testing.T) {
	one := testBatch(t, BatchHeader{Identity: ProducerIdentity{1, 0}}, 3)
	two := testBatch(t, BatchHeader{Identity: ProducerIdentity{1, 0}, Base: 3}, 2)
	log := append(bytes.Clone(one), two...)
	for end := range len(log) + 1 {
		var got []Sequence
		rest := log[:end]
		var err error
		for err == nil {
			var h BatchHeader
			var next []byte
			if h, _, next, err = NextBatchHeader(rest); err == nil {
				got, rest = append(got, h.Base), next
			}
		}
		whole := end == 0 || end == len(one) || end == len(log)
		wantBatches := 0
		if end >= len(one) {
			wantBatches++
		}
		if end == len(log) {
			wantBatches++
		}
		if len(got) != wantBatches || whole && !errors.Is(err, io.EOF) || !whole && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d of %d: %d batches, then %v", end, len(log), len(got), err)
		}
	}
}

func TestEveryFlippedBitOfABatchIsNoticed(t *testing.T) {
	good := testBatch(t, BatchHeader{Identity: ProducerIdentity{7, 1}, Base: 9}, 4)
	for bit := range len(good) * 8 {
		at := bit / 8
		if at < 8 || at >= 12 && at < 16 {
			continue // base offset and leader epoch are the broker's: no checksum covers them
		}
		bad := bytes.Clone(good)
		bad[at] ^= 1 << (bit % 8)
		if err := VerifyBatch(bad); err == nil {
			t.Errorf("bit %d of byte %d flipped: VerifyBatch says nothing", bit%8, at)
		}
	}
}

func TestDamagedHeadersAreErrorsThatSayWhat(t *testing.T) {
	good := testBatch(t, BatchHeader{Identity: ProducerIdentity{7, 1}}, 1)
	damage := func(change func(b []byte)) []byte {
		b := bytes.Clone(good)
		change(b)
		return b
	}
	for name, log := range map[string][]byte{
		"old message format":   damage(func(b []byte) { b[16] = 1 }),
		"length below header":  damage(func(b []byte) { copy(b[8:], []byte{0, 0, 0, 48}) }),
		"negative length":      damage(func(b []byte) { b[8] = 0xff }),
		"negative base offset": damage(func(b []byte) { b[0] = 0x80 }),
		"negative count":       damage(func(b []byte) { b[57] = 0x80 }),
		"more than its span":   damage(func(b []byte) { b[60] = 2 }),
	} {
		if _, _, _, err := NextBatchHeader(log); !errors.Is(err, ErrBatch) {
			t.Errorf("%s: err is %v, want ErrBatch", name, err)
		}
	}
}

func TestBatchThatABrokerMustNotSeeIsAPanic(t *testing.T) {
	good := BatchHeader{Identity: ProducerIdentity{7, 1}, Count: 1}
	for name, change := range map[string]func(*BatchHeader){
		"epoch -1 with a producer id": func(h *BatchHeader) { h.Identity.Epoch = -1 },
		"no producer id":              func(h *BatchHeader) { h.Identity.ID = -1 },
		"sequence -1":                 func(h *BatchHeader) { h.Base = -1 },
		"no records":                  func(h *BatchHeader) { h.Count = 0 },
	} {
		h := good
		change(&h)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: written without a word", name)
				}
			}()
			WriteBatchHeader(make([]byte, 100), h)
		}()
	}
}

func TestBatchHeaderWritingAndWalkingAllocateNothing(t *testing.T) {
	batch := testBatch(t, BatchHeader{Identity: ProducerIdentity{1, 0}}, 100)
	h := BatchHeader{Identity: ProducerIdentity{1, 0}, Count: 100}
	n := testing.AllocsPerRun(100, func() {
		WriteBatchHeader(batch, h)
		if VerifyBatch(batch) != nil {
			t.Error("batch does not verify")
		}
	})
	if n != 0 {
		t.Errorf("writing a header and verifying 100 records make %v allocations, want none", n)
	}
}

// Law: the header of what we take for a whole batch is what kmsg reads, whole batches follow one
// another to the end of the log, a batch that verifies has the records that its header says, as kmsg
// reads them, and is the same but for what is the broker's alone when we write its header again.
func FuzzBatchReadingNeverPanicsAndAgreesWithItself(f *testing.F) {
	one := testBatch(f, BatchHeader{Identity: ProducerIdentity{1, 0}}, 3)
	f.Add(one, byte(0))
	f.Add(append(bytes.Clone(one), one[:70]...), byte(1))
	f.Add([]byte{}, byte(0))
	f.Fuzz(func(t *testing.T, log []byte, mend byte) {
		log = bytes.Clone(log)
		for {
			h, size, rest, err := NextBatchHeader(log)
			if err != nil {
				if len(log) == 0 && !errors.Is(err, io.EOF) {
					t.Fatalf("the end of the log is %v", err)
				}
				return
			}
			if size < BatchHeaderSize || size+len(rest) != len(log) || !bytes.Equal(log[size:], rest) {
				t.Fatalf("batch of %d bytes and %d after it in a log of %d", size, len(rest), len(log))
			}
			if mend&1 == 0 { // or no mutation would get past it
				binary.BigEndian.PutUint32(log[17:], crc32.Checksum(log[21:size], castagnoli))
			}
			checkHeader(t, h, log[:size])
			checkWhole(t, h, log[:size])
			log = rest
		}
	})
}

// checkHeader compares a header with what kmsg reads.
func checkHeader(t *testing.T, h BatchHeader, batch []byte) {
	var theirs kmsg.RecordBatch
	if err := theirs.ReadFrom(batch); err != nil {
		t.Fatalf("kmsg does not read %x: %v", batch, err)
	}
	want := BatchHeader{
		BaseOffset: Offset(theirs.FirstOffset), LeaderEpoch: theirs.PartitionLeaderEpoch, Attributes: Attributes(theirs.Attributes),
		LastOffsetDelta: theirs.LastOffsetDelta, FirstTimestamp: theirs.FirstTimestamp, MaxTimestamp: theirs.MaxTimestamp,
		Identity: ProducerIdentity{ProducerID(theirs.ProducerID), ProducerEpoch(theirs.ProducerEpoch)},
		Base:     Sequence(theirs.FirstSequence), Count: theirs.NumRecords,
	}
	if h != want || int(theirs.Length) != len(batch)-lengthEnd || !bytes.Equal(theirs.Records, batch[BatchHeaderSize:]) {
		t.Fatalf("%x is %+v to us, and to kmsg %+v", batch, h, want)
	}
}

// checkWhole looks at a batch that verifies.
func checkWhole(t *testing.T, h BatchHeader, batch []byte) {
	err := VerifyBatch(batch)
	if sum := crc32.Checksum(batch[21:], crc32.MakeTable(crc32.Castagnoli)); err == nil && sum != binary.BigEndian.Uint32(batch[17:]) {
		t.Fatalf("%x verifies, its CRC-32C is %08x", batch, sum)
	}
	if err != nil || h.Attributes.Codec() != CodecNone {
		return
	}
	records, last := batch[BatchHeaderSize:], int32(-1)
	for i := range h.Count {
		var theirs kmsg.Record
		if err := theirs.ReadFrom(records); err != nil || theirs.OffsetDelta <= last || theirs.OffsetDelta > h.LastOffsetDelta {
			t.Fatalf("%x verifies; kmsg reads record %d at offset delta %d after %d, %v", batch, i, theirs.OffsetDelta, last, err)
		}
		records, last = records[varintLen(theirs.Length)+int(theirs.Length):], theirs.OffsetDelta
	}
	if len(records) != 0 {
		t.Fatalf("%x verifies, and %d bytes stand behind its records", batch, len(records))
	}
	if h.Identity.Valid() && h.Base >= 0 && h.Count > 0 && h.LastOffsetDelta == h.Count-1 {
		again := bytes.Clone(batch)
		WriteBatchHeader(again, h)
		if !bytes.Equal(again[16:], batch[16:]) {
			t.Fatalf("written again it is %x, was %x", again, batch)
		}
	}
}

func BenchmarkWriteBatchHeader(b *testing.B) {
	for _, size := range []int{16 << 10, 1 << 20} {
		b.Run(map[int]string{16 << 10: "16KiB", 1 << 20: "1MiB"}[size], func(b *testing.B) {
			batch := make([]byte, size)
			h := BatchHeader{Identity: ProducerIdentity{1, 0}, Count: 100}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				WriteBatchHeader(batch, h)
			}
		})
	}
}
