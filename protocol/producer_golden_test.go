package protocol_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/protocol/codec"
	"github.com/spoold/spoold/spool"
)

const producerTime = 1700000000000

// producerRecords are what integration/oracle/golden/Golden.java sends.
var producerRecords = []spool.Record{
	{Key: []byte("key"), Value: []byte("value")},
	{Timestamp: 1, Value: []byte("no key")},
	{Timestamp: 1, Key: []byte{}, Value: []byte("empty key")},
	{Timestamp: -5, Key: []byte("null value")},
	{Timestamp: 70, Key: []byte("empty value"), Value: []byte{}},
	{Timestamp: 70},
	{Timestamp: 9000, Key: []byte{}, Value: []byte{}, Headers: []spool.Header{{Key: "trace", Value: []byte("abc")}, {Key: "null"},
		{Value: []byte{}}, {Key: "trace", Value: []byte("again")}}},
	{Timestamp: 9001, Key: []byte("long"), Value: bytes.Repeat([]byte("0123456789"), 30), Headers: []spool.Header{{Key: "ä", Value: []byte("ö")}}},
}

// producerBatch is a batch that Apache Kafka's own Java producer sent ("make golden" writes it anew).
func producerBatch(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/producer/" + name + ".hex")
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBatchesOfJavasProducerAreReadWithEveryCodec(t *testing.T) {
	for name, c := range map[string]protocol.Codec{"none": protocol.CodecNone, "gzip": protocol.CodecGzip, "snappy": protocol.CodecSnappy,
		"lz4": protocol.CodecLZ4, "zstd": protocol.CodecZstd} {
		batch := producerBatch(t, name)
		if err := protocol.VerifyBatch(batch); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		h, _, _, err := protocol.NextBatchHeader(batch)
		if err != nil || h.Attributes.Codec() != c || int(h.Count) != len(producerRecords) || h.Identity != (protocol.ProducerIdentity{ID: 4242, Epoch: 7}) ||
			h.Base != 0 || h.FirstTimestamp != producerTime || h.MaxTimestamp != producerTime+9001 {
			t.Errorf("%s: header %+v, %v", name, h, err)
		}
		records, err := codec.Decompress(nil, batch[protocol.BatchHeaderSize:], c, 1<<20)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := protocol.VerifyRecords(h, records); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i, want := range producerRecords {
			r, rest, err := protocol.NextRecord(records)
			if err != nil {
				t.Fatalf("%s, record %d: %v", name, i, err)
			}
			got := spool.Record{Timestamp: r.TimestampDelta, Key: r.Key, Value: r.Value, Headers: headers(t, &r)}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, record %d is %+v, want %+v", name, i, got, want)
			}
			records = rest
		}
	}
}

func headers(t *testing.T, r *protocol.Record) (all []spool.Header) {
	t.Helper()
	rest := r.Headers
	for range r.HeaderCount {
		key, value, next, err := protocol.NextHeader(rest)
		if err != nil {
			t.Fatal(err)
		}
		all, rest = append(all, spool.Header{Key: string(key), Value: value}), next
	}
	return all
}

// The way of a record here, through an entry of the spool, ends in the bytes that Java's producer sends.
func TestWeWriteTheBytesThatJavasProducerWrites(t *testing.T) {
	b := make([]byte, protocol.BatchHeaderSize)
	for i, r := range producerRecords {
		section := spool.AppendEntry(nil, r.Timestamp, 0, r.Key, r.Value, r.Headers, spool.BodySize(r.Key, r.Value, r.Headers))
		e, _, err := spool.NextEntry(section)
		if err != nil {
			t.Fatal(err)
		}
		b = spool.AppendRecord(b, e.Body, e.Timestamp, int32(i))
	}
	protocol.WriteBatchHeader(b, protocol.BatchHeader{FirstTimestamp: producerTime, MaxTimestamp: producerTime + 9001,
		Identity: protocol.ProducerIdentity{ID: 4242, Epoch: 7}, Count: int32(len(producerRecords))})
	if want := producerBatch(t, "none"); !bytes.Equal(b, want) {
		t.Errorf("batch is\n%x, Java's producer writes\n%x", b, want)
	}
}
