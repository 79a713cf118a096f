package codec

import (
	"bytes"
	"errors"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/spoold/spoold/protocol"
)

// A zstd frame says how much memory its reader needs. 128 MiB are read, as by Kafka's own reader, and no more.
func TestAZstdWindowIsReadUpToKafkasLimit(t *testing.T) {
	want := records(1000)
	for _, window := range []int{usualWindow, 2 * usualWindow, maxWindow, 2 * maxWindow} {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, zstd.WithWindowSize(window), zstd.WithSingleSegment(false), zstd.WithLowerEncoderMem(true), zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range [][]byte{want[:500], want[500:]} { // in two blocks, so that the frame cannot say its size
			if _, err := w.Write(part); err != nil {
				t.Fatal(err)
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := Decompress(nil, b.Bytes(), protocol.CodecZstd, len(want))
		switch {
		case window > maxWindow && !errors.Is(err, zstd.ErrWindowSizeExceeded):
			t.Errorf("a window of %d bytes: %v, want it refused", window, err)
		case window <= maxWindow && (err != nil || !bytes.Equal(got, want)):
			t.Errorf("a window of %d bytes: %v", window, err)
		}
	}
}
