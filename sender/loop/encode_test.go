package loop

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/protocol/codec"
)

// A batch is compressed as its codec and level say: the bytes are those of that level, and not of the default.
func TestTheLevelReachesTheCodec(t *testing.T) {
	buf := make([]byte, protocol.BatchHeaderSize)
	for i := range 3000 {
		buf = fmt.Appendf(buf, `{"order":%d,"item":"%x"}`, i, i*i*7919)
	}
	for _, c := range []protocol.Codec{protocol.CodecGzip, protocol.CodecLZ4, protocol.CodecZstd} {
		sizes := make(map[int]int)
		for _, level := range []int{1, 9, 17} {
			en := newEncoder(c, level, 1)
			got := en.encode(&accumulator.Batch{Buf: buf, Identity: protocol.ProducerIdentity{ID: 1}, Count: 3000}).bytes()
			en.close()
			want, err := codec.Compress(nil, buf[protocol.BatchHeaderSize:], c, level)
			if err != nil || !bytes.Equal(got[protocol.BatchHeaderSize:], want) {
				t.Errorf("codec %d, level %d: %d bytes, want %d, %v", c, level, len(got)-protocol.BatchHeaderSize, len(want), err)
			}
			sizes[len(want)]++
		}
		if len(sizes) < 2 {
			t.Errorf("codec %d: all levels make as many bytes: this test proves nothing", c)
		}
	}
}

// A batch is given once the size that it became, when that is known, and a topic's next batches are filled by it.
func TestABatchIsToldOfItsSizeOnTheWire(t *testing.T) {
	buf := append(make([]byte, protocol.BatchHeaderSize), bytes.Repeat([]byte("again and "), 1000)...)
	en := newEncoder(protocol.CodecLZ4, 1, 1)
	defer en.close()
	b := &accumulator.Batch{Buf: buf, Count: 1}
	e := en.encode(b)
	want := len(e.bytes())
	if e.setSize(); b.WireSize() != want || want > len(buf)/10 {
		t.Errorf("the batch says %d bytes, want %d", b.WireSize(), want)
	}
	en.recycle(b)
	again := en.encode(b)
	b.Shell = nil
	again.bytes()
	if again.setSize(); again.sized {
		t.Error("a batch that was given up got a size")
	}
	plain := newEncoder(protocol.CodecNone, 0, 0)
	b = &accumulator.Batch{Buf: buf, Count: 1}
	e = plain.encode(b)
	e.bytes()
	if e.setSize(); b.WireSize() != len(buf) {
		t.Errorf("without compression the batch says %d bytes, want %d", b.WireSize(), len(buf))
	}
}
