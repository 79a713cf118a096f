package protocol

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// javaBatch is a batch as Apache Kafka 4.3.1's MemoryRecordsBuilder wrote it: producer
// 4242/7, base sequence 2147483646, four records (a fifth where they are compressed).
func javaBatch(t testing.TB, codec string) []byte {
	t.Helper()
	return readHex(t, "testdata/java/"+codec+".hex")
}

func TestBatchIsByteForByteWhatJavaWrites(t *testing.T) {
	b := make([]byte, BatchHeaderSize)
	b = oracleRecord(b, 0, 0, []byte("key"), []byte("value"), nil)
	b = oracleRecord(b, 5, 1, nil, []byte("no key"), nil)
	b = oracleRecord(b, -1000, 2, []byte{}, nil, nil)
	b = oracleRecord(b, 100, 3, []byte("h"), []byte{}, []kmsg.Header{{Key: "trace", Value: []byte("abc")}, {Key: "null"}, {Value: []byte{}}})
	WriteBatchHeader(b, BatchHeader{FirstTimestamp: 1700000000000, MaxTimestamp: 1700000000100,
		Identity: ProducerIdentity{4242, 7}, Base: 2147483646, Count: 4})
	if want := javaBatch(t, "none"); !bytes.Equal(b, want) {
		t.Errorf("batch is\n%x, Java writes\n%x", b, want)
	}
}

func TestJavasBatchesAreReadWithEveryCodec(t *testing.T) {
	for name, codec := range map[string]Codec{"none": CodecNone, "gzip": CodecGzip, "snappy": CodecSnappy, "lz4": CodecLZ4, "zstd": CodecZstd} {
		batch := javaBatch(t, name)
		if err := VerifyBatch(batch); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		h, _, _, err := NextBatchHeader(batch)
		want := Sequence(1)
		if codec != CodecNone {
			want = 2
		}
		if err != nil || h.Attributes.Codec() != codec || h.LastSequence() != want || h.Identity != (ProducerIdentity{4242, 7}) {
			t.Errorf("%s: header %+v, last sequence %d, err %v", name, h, h.LastSequence(), err)
		}
	}
}

// What a Fetch from Apache Kafka brought, cut off inside the fourth batch: three
// records each, the third batch over the wrap.
func TestLogsOfRealBrokersAreWalkedOverTheWrapToTheCutOff(t *testing.T) {
	for _, version := range []string{"3.9.1", "4.3.1"} {
		log := readHex(t, "testdata/broker/kafka-"+version+"-log.hex")
		for i, want := range []struct {
			offset     Offset
			base, last Sequence
			codec      Codec
		}{
			{0, 2147483640, 2147483642, CodecNone},
			{3, 2147483643, 2147483645, CodecGzip},
			{6, 2147483646, 0, CodecSnappy},
		} {
			h, size, rest, err := NextBatchHeader(log)
			if err != nil {
				t.Fatalf("%s, batch %d: %v", version, i, err)
			}
			if err := VerifyBatch(log[:size]); err != nil {
				t.Errorf("%s, batch %d: %v", version, i, err)
			}
			if h.BaseOffset != want.offset || h.LastOffset() != want.offset+2 || h.Base != want.base || h.LastSequence() != want.last ||
				h.Attributes.Codec() != want.codec || h.Count != 3 || h.LeaderEpoch != 0 || h.Identity != (ProducerIdentity{0, 0}) {
				t.Errorf("%s, batch %d: %+v, last sequence %d; want %+v", version, i, h, h.LastSequence(), want)
			}
			log = rest
		}
		if _, _, _, err := NextBatchHeader(log); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: the cut-off batch is %v, want %v", version, err, io.ErrUnexpectedEOF)
		}
	}
}

func readHex(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return b
}
