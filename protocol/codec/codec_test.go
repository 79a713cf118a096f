package codec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/spoold/spoold/protocol"
)

var all = []protocol.Codec{protocol.CodecNone, protocol.CodecGzip, protocol.CodecSnappy, protocol.CodecLZ4, protocol.CodecZstd}

// records is n bytes that compress about as well as log lines do.
func records(n int) []byte {
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, `{"ts":%d,"level":"info","msg":"order accepted","id":"%x","items":%d}`, 1700000000000+b.Len(), rnd.Uint64(), rnd.IntN(9))
	}
	return b.Bytes()[:n]
}

func TestWhatIsCompressedIsDecompressedAtEveryLevel(t *testing.T) {
	for _, c := range all {
		for _, level := range []int{-1000, -1, DefaultLevel, 1, 3, 6, 9, 12, 17, 22, 1000} {
			for _, n := range []int{0, 1, 100, 64 << 10, 64<<10 + 1, 300_000} {
				src := records(n)
				packed, err := Compress([]byte("before"), src, c, level)
				if err != nil || !bytes.HasPrefix(packed, []byte("before")) {
					t.Fatalf("codec %d level %d, %d bytes: %v", c, level, n, err)
				}
				got, err := Decompress([]byte("dst"), packed[6:], c, n)
				if err != nil || string(got[:3]) != "dst" || !bytes.Equal(got[3:], src) {
					t.Fatalf("codec %d level %d: %d bytes come back as %d, %v", c, level, n, len(got)-3, err)
				}
			}
		}
	}
}

func TestLevelsMeanWhatTheyMeanInKafka(t *testing.T) {
	for _, tt := range []struct{ level, gzip, lz4, zstd int }{
		{DefaultLevel, 0, 0, 2}, // zstd 3
		{-1, 0, 0, 1},           // gzip's -1 is its default
		{1, 1, 1, 1}, {3, 3, 2, 2}, {6, 6, 3, 3},
		{9, 9, 0, 3}, // lz4's default: fast
		{10, 9, 5, 4}, {17, 9, 9, 4}, {22, 9, 9, 4},
	} {
		if g, l, z := gzipLevel(tt.level), lz4Level(tt.level), zstdLevel(tt.level); g != tt.gzip || l != tt.lz4 || z != tt.zstd {
			t.Errorf("level %d: gzip %d, lz4 %d, zstd %d; want %d, %d, %d", tt.level, g, l, z, tt.gzip, tt.lz4, tt.zstd)
		}
	}
}

// Of the same text, the highest level makes fewer bytes than the lowest, a default makes those of what it stands for, and what is beyond the highest is the highest.
func TestLevelsReachTheCodec(t *testing.T) {
	src := records(200_000)
	size := func(c protocol.Codec, level int) int {
		packed, err := Compress(nil, src, c, level)
		if err != nil {
			t.Fatal(err)
		}
		return len(packed)
	}
	for _, tt := range []struct {
		name         string
		c            protocol.Codec
		low, high    int
		standard, is int // a default, and the level that it stands for
		beyond       int
	}{
		{"gzip", protocol.CodecGzip, 1, 9, -1, DefaultLevel, 20},
		{"lz4", protocol.CodecLZ4, 1, 17, DefaultLevel, 9, 40},
		{"zstd", protocol.CodecZstd, 1, 22, DefaultLevel, 3, 90},
	} {
		low, high := size(tt.c, tt.low), size(tt.c, tt.high)
		if high >= low {
			t.Errorf("%s: level %d makes %d bytes, level %d %d", tt.name, tt.low, low, tt.high, high)
		}
		if a, b := size(tt.c, tt.standard), size(tt.c, tt.is); a != b {
			t.Errorf("%s: the default makes %d bytes, level %d %d", tt.name, a, tt.is, b)
		}
		if got := size(tt.c, tt.beyond); got != high {
			t.Errorf("%s: level %d makes %d bytes, level %d %d", tt.name, tt.beyond, got, tt.high, high)
		}
	}
}

func TestFranzGoReadsWhatWeCompress(t *testing.T) {
	oracle := kgo.DefaultDecompressor()
	for _, c := range all {
		src := records(200_000)
		packed, err := Compress(nil, src, c, DefaultLevel)
		if err != nil {
			t.Fatal(err)
		}
		got, err := oracle.Decompress(packed, kgo.CompressionCodecType(c))
		if err != nil || !bytes.Equal(got, src) {
			t.Errorf("codec %d: kgo reads %d bytes of %d: %v", c, len(got), len(src), err)
		}
	}
}

// Batches as Apache Kafka 4.3.1's MemoryRecordsBuilder compressed them; snappy with xerial framing.
func TestWhatJavaCompressesIsRead(t *testing.T) {
	for name, c := range map[string]protocol.Codec{"gzip": protocol.CodecGzip, "snappy": protocol.CodecSnappy, "lz4": protocol.CodecLZ4, "zstd": protocol.CodecZstd} {
		batch := javaBatch(t, name)
		h, _, _, err := protocol.NextBatchHeader(batch)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := Decompress(nil, batch[protocol.BatchHeaderSize:], c, 1<<20)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := protocol.VerifyRecords(h, plain); err != nil || h.Count != 5 {
			t.Errorf("%s: %d records: %v", name, h.Count, err)
		}
	}
}

func javaBatch(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("../testdata/java/" + name + ".hex")
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecompressionBombIsRefusedAndTakesLittleMemory(t *testing.T) {
	const limit = 1 << 20
	bomb := make([]byte, 64<<20)
	for _, c := range all[1:] {
		packed, err := Compress(nil, bomb, c, DefaultLevel)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = Decompress(nil, packed, c, limit)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("codec %d: %d bytes that become %d: err is %v, want ErrTooLarge", c, len(packed), len(bomb), err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 24<<20 {
			t.Errorf("codec %d: took %d MiB to find out that %d bytes are too many", c, took>>20, len(bomb))
		}
	}
}

func TestASnappyLengthThatNoDataCanReachTakesNoMemory(t *testing.T) {
	lie := []byte{0xff, 0xff, 0xff, 0xff, 0x07, 0, 0} // says 2 GiB
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Decompress(nil, lie, protocol.CodecSnappy, 1<<31-1)
	runtime.ReadMemStats(&after)
	if err == nil {
		t.Error("a lying length is taken")
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("took %d bytes", took)
	}
}

func TestDamagedDataIsAnErrorThatSaysWhere(t *testing.T) {
	for _, c := range all[1:] {
		packed, err := Compress(nil, records(5000), c, DefaultLevel)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decompress([]byte("kept"), packed[:len(packed)/2], c, 1<<20)
		if err == nil || !strings.HasPrefix(err.Error(), "decompress ") || string(got) != "kept" {
			t.Errorf("codec %d, cut in half: %q, err %v", c, got, err)
		}
	}
	if _, err := Compress(nil, nil, 5, DefaultLevel); !errors.Is(err, ErrUnknown) {
		t.Errorf("Compress with codec 5: %v", err)
	}
	if _, err := Decompress(nil, nil, 7, 10); !errors.Is(err, ErrUnknown) {
		t.Errorf("Decompress with codec 7: %v", err)
	}
}

func BenchmarkCompress(b *testing.B) {
	src := records(64 << 10)
	for i, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		b.Run(name, func(b *testing.B) {
			var dst []byte
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if dst, err = Compress(dst[:0], src, all[i], DefaultLevel); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(src))/float64(len(dst)), "ratio")
		})
	}
}

// Memory is promised whatever is configured: an encoder may not take several times a batch.
func TestAZstdEncoderTakesLittleMoreMemoryThanItsBatch(t *testing.T) {
	src := make([]byte, 160<<10)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range src {
		src[i] = 'a' + byte(r.IntN(16))
	}
	for range 3 {
		runtime.GC() // a pool forgets after two
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	out, err := Compress(nil, src, protocol.CodecZstd, DefaultLevel)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 6<<20 {
		t.Errorf("a new encoder took %d bytes for a batch of %d (%d compressed)", took, len(src), len(out))
	}
}
