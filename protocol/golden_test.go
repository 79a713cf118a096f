package protocol

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// javaBatch is a batch as Apache Kafka 4.3.1's MemoryRecordsBuilder wrote it: producer
// 4242/7, base sequence 2147483646, four records (a fifth where they are compressed).
func javaBatch(t testing.TB, codec string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/java/" + codec + ".hex")
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
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
