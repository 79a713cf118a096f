package protocol

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// record is a record of these fields, with its length before it.
func record(fields ...[]byte) []byte {
	body := bytes.Join(fields, nil)
	return append(binary.AppendVarint(nil, int64(len(body))), body...)
}

func varint(v int64) []byte { return binary.AppendVarint(nil, v) }

func TestARecordThatEndsTooEarlyIsAnErrorThatSaysWhere(t *testing.T) {
	attributes := []byte{0}
	tests := []struct {
		name string
		raw  []byte
		want string
	}{
		{"nothing", nil, "length of"},
		{"a length of six bytes", []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0}, "length of"},
		{"a length over 32 bits", varint(math.MaxInt32 + 1), "length of"},
		{"a length under 32 bits", varint(math.MinInt32 - 1), "length of"},
		{"a negative length", varint(-1), "length of"},
		{"more than there is", varint(1), "length of"},
		{"no attributes", record(), "attributes of"},
		{"no timestamp delta", record(attributes), "timestamp delta of"},
		{"no offset delta", record(attributes, varint(1)), "offset delta of"},
		{"no key", record(attributes, varint(1), varint(1)), "key of"},
		{"no value", record(attributes, varint(1), varint(1), varint(-1)), "value of"},
		{"no header count", record(attributes, varint(1), varint(1), varint(-1), varint(-1)), "header count of"},
		{"a negative header count", record(attributes, varint(1), varint(1), varint(-1), varint(-1), varint(-1)), "header count of"},
		{"no header key", record(attributes, varint(1), varint(1), varint(-1), varint(-1), varint(1)), "header key of"},
		{"a key of length -2", record(attributes, varint(1), varint(1), varint(-2), varint(-1), varint(0)), "key of"},
		{"bytes behind the last header", record(attributes, varint(1), varint(1), varint(-1), varint(-1), varint(0), varint(0)), "end of"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := NextRecord(tt.raw); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one about the %s the record", err, tt.want)
			}
		})
	}
}

// A value that claims one byte more than its record has does not take it from the next record.
func TestAFieldDoesNotReachIntoTheNextRecord(t *testing.T) {
	first := record([]byte{0}, varint(0), varint(0), varint(-1), varint(3), []byte("ab"))
	if _, _, err := NextRecord(append(first, record([]byte{0}, varint(0), varint(1), varint(-1), varint(-1), varint(0))...)); err == nil {
		t.Error("a value of 3 bytes was read from a record that ends after 2")
	}
}

func TestDeltasMayHaveAll32Bits(t *testing.T) {
	for _, delta := range []int64{math.MinInt32, math.MaxInt32} {
		r, rest, err := NextRecord(record([]byte{0}, varint(0), varint(delta), varint(-1), varint(-1), varint(0)))
		if err != nil || int64(r.OffsetDelta) != delta || len(rest) != 0 {
			t.Errorf("offset delta %d is read as %d, %v", delta, r.OffsetDelta, err)
		}
	}
}

func TestTagsMayEndWhereTheBytesEndAndNoByteLater(t *testing.T) {
	tests := []struct {
		name string
		raw  []byte
		ok   bool
	}{
		{"nothing", nil, false},
		{"no tags", []byte{0}, true},
		{"one tag, to the end", []byte{1, 7, 2, 'a', 'b'}, true},
		{"an empty tag, to the end", []byte{1, 7, 0}, true},
		{"a tag one byte too long", []byte{1, 7, 3, 'a', 'b'}, false},
		{"a tag two bytes too long", []byte{1, 7, 4, 'a', 'b'}, false},
		{"a tag without its size", []byte{1, 7}, false},
		{"a tag less than said", []byte{2, 7, 1, 'a'}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rest, err := SkipTags(tt.raw)
			if (err == nil) != tt.ok || len(rest) != 0 {
				t.Errorf("rest %x, error %v; want one: %v", rest, err, !tt.ok)
			}
		})
	}
}

// What compaction leaves of a batch whose records are all gone: a header, which keeps the producer's last sequence.
func TestABatchWithoutRecordsIsRead(t *testing.T) {
	batch := make([]byte, BatchHeaderSize)
	WriteBatchHeader(batch, BatchHeader{Identity: ProducerIdentity{ID: 1}, Base: 5, Count: 1})
	binary.BigEndian.PutUint32(batch[57:], 0)
	h, size, rest, err := NextBatchHeader(batch)
	if err != nil || size != BatchHeaderSize || len(rest) != 0 || h.Count != 0 || h.LastSequence() != 5 {
		t.Errorf("header %+v of %d bytes, %d left, %v", h, size, len(rest), err)
	}
}

// The pieces of a request point into one buffer, which must not move while they are made.
func TestALongClientIDIsPartOfTheRequest(t *testing.T) {
	for version := ProduceMinVersion; version <= ProduceMaxVersion; version++ {
		for _, length := range []int{600, 1000, math.MaxInt16} {
			e := ProduceEncoder{ClientID: strings.Repeat("c", length)}
			pieces, size, err := e.Encode(version, 7, 1000, producePartitions)
			if err != nil {
				t.Fatal(err)
			}
			got, want := bytes.Join(pieces, nil), oracleProduce(version, 7, 1000, e.ClientID, producePartitions)
			if size != len(want) || !bytes.Equal(got, want) {
				t.Errorf("version %d, client.id of %d bytes: %d bytes are not the %d that they should be", version, length, size, len(want))
			}
		}
	}
	e := ProduceEncoder{ClientID: strings.Repeat("c", math.MaxInt16+1)}
	if _, _, err := e.Encode(ProduceMaxVersion, 7, 1000, producePartitions); err == nil || !strings.Contains(err.Error(), "client.id of 32768 bytes") {
		t.Errorf("error %v", err)
	}
}

// The pieces of a request are of one buffer, whatever the length of its names: its first bytes are its length, which is written last.
func TestALongTransactionalIDIsPartOfTheRequest(t *testing.T) {
	list := make([]ProducePartition, 40)
	for i := range list {
		list[i] = ProducePartition{Topic: "topic-" + strconv.Itoa(i), TopicID: TopicID{byte(i)}, Batch: []byte("b")}
	}
	lengths := []int{math.MaxInt16}
	for n := 0; n < 4000; n += 3 {
		lengths = append(lengths, n)
	}
	for _, length := range lengths {
		e := ProduceEncoder{ClientID: "c", TransactionalID: strings.Repeat("t", length)}
		pieces, size, err := e.Encode(ProduceMaxVersion, 7, 1000, list)
		if err != nil {
			t.Fatal(err)
		}
		raw := bytes.Join(pieces, nil)
		if says := int(binary.BigEndian.Uint32(raw)); len(raw) != size || says != size-4 || !bytes.Contains(raw, []byte(e.TransactionalID)) {
			t.Errorf("transactional.id of %d bytes: %d bytes on the wire, of %d, and their length field says %d", length, len(raw), size, says)
		}
	}
	e := ProduceEncoder{TransactionalID: strings.Repeat("t", math.MaxInt16+1)}
	if _, _, err := e.Encode(ProduceMaxVersion, 7, 1000, producePartitions); err == nil || !strings.Contains(err.Error(), "transactional.id of 32768 bytes") {
		t.Errorf("error %v", err)
	}
}

func TestATopicNameHasAtMost32767Bytes(t *testing.T) {
	var e ProduceEncoder
	list := []ProducePartition{{Topic: strings.Repeat("t", math.MaxInt16), Batch: []byte("b")}}
	if _, _, err := e.Encode(ProduceMinVersion, 7, 1000, list); err != nil {
		t.Errorf("a name of 32767 bytes: %v", err)
	}
	list[0].Topic += "t"
	if _, _, err := e.Encode(ProduceMinVersion, 7, 1000, list); err == nil {
		t.Error("a name of 32768 bytes was written")
	}
}

func TestNoPieceOfARequestIsEmpty(t *testing.T) {
	for version := ProduceMinVersion; version <= ProduceMaxVersion; version++ {
		var e ProduceEncoder
		pieces, _, err := e.Encode(version, 7, 1000, producePartitions)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range pieces {
			if len(p) == 0 {
				t.Errorf("version %d: piece %d of %d is empty", version, i, len(pieces))
			}
		}
	}
}

// A length field has 32 bits with a sign. The batches are never touched: they take no memory.
func TestARequestHasAtMost2GiB(t *testing.T) {
	var e ProduceEncoder
	half := make([]byte, 1<<30)
	list := []ProducePartition{{Topic: "t", Batch: half}, {Topic: "t", Partition: 1, Batch: []byte("b")}}
	_, size, err := e.Encode(ProduceMaxVersion, 7, 1000, list)
	if err != nil {
		t.Fatal(err)
	}
	// A longer batch takes more bytes for its length: 4 instead of 1 (that of one byte), for 2^30 five.
	list[1].Batch = half[:math.MaxInt32-size-3]
	if _, size, err = e.Encode(ProduceMaxVersion, 7, 1000, list); err != nil || size > math.MaxInt32 {
		t.Fatalf("%d bytes: %v", size, err)
	}
	list[1].Batch = half[:len(list[1].Batch)+math.MaxInt32-size]
	if _, size, err = e.Encode(ProduceMaxVersion, 7, 1000, list); err != nil || size != math.MaxInt32 {
		t.Errorf("%d bytes, %v; want %d bytes", size, err, math.MaxInt32)
	}
	list[1].Batch = half[:len(list[1].Batch)+1]
	if _, _, err = e.Encode(ProduceMaxVersion, 7, 1000, list); err == nil || !strings.Contains(err.Error(), "2147483648 bytes, at most 2147483647") {
		t.Errorf("error %v, want one that says how long the request would be", err)
	}
}

func TestTheNumbersThatMeanNothing(t *testing.T) {
	if NoOffset != -1 || NoSequence != -1 || NoProducerID != -1 || NoPartition != -1 || UnknownServerError != -1 {
		t.Error("Kafka's own value for nothing, and for an error that is not known, is -1")
	}
	if !(TopicID{}).IsZero() || (TopicID{15: 1}).IsZero() {
		t.Error("a topic id is zero if all of it is")
	}
	if got, want := Class(len(classNames)).String(), "class "+strconv.Itoa(len(classNames)); got != want {
		t.Errorf("a class without a name is called %q, want %q", got, want)
	}
}

// Exponential, with a jitter of 20 % either way, never above the limit and never nothing.
func TestABackoffDoublesUpToItsLimit(t *testing.T) {
	b := &Backoff{Ms: 100, MaxMs: 1000, Rand: rand.New(rand.NewPCG(1, 2))}
	for attempt, want := range map[int]int64{0: 100, 1: 100, 2: 200, 3: 400, 4: 800, 5: 1000, 6: 1000, 60: 1000} {
		low, high := int64(math.MaxInt64), int64(0)
		for range 2000 {
			d := b.After(attempt)
			low, high = min(low, d), max(high, d)
		}
		if low != want*80/100 || high != min(want*120/100, 1000) {
			t.Errorf("attempt %d waits %d to %d ms, want %d to %d", attempt, low, high, want*80/100, min(want*120/100, 1000))
		}
	}
	if d := (&Backoff{Ms: 100, MaxMs: 100}).After(9); d != 100 {
		t.Errorf("with a limit that is the back-off, %d ms, want 100 without jitter", d)
	}
	if d := (&Backoff{Rand: b.Rand}).After(3); d != 1 {
		t.Errorf("with a back-off of 0, %d ms, want 1", d)
	}
	if d := (&Backoff{Ms: 500, MaxMs: 100, Rand: b.Rand}).After(9); d != 100 {
		t.Errorf("with a limit below the back-off, %d ms, want the limit of 100", d)
	}
}
