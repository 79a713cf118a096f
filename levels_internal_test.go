package spoold

import (
	"testing"

	"github.com/spoold/spoold/protocol"
)

// Each codec has its own key; compression.level, where it is set, is that of whatever codec.
func TestTheLevelOfACodecIsThatOfItsKey(t *testing.T) {
	for name, want := range map[string]struct {
		codec protocol.Codec
		level int
	}{"gzip": {protocol.CodecGzip, 8}, "lz4": {protocol.CodecLZ4, 12}, "zstd": {protocol.CodecZstd, 19}} {
		for _, general := range []string{"", "5"} {
			c := DefaultConfig()
			set := map[string]string{"compression.type": name, "compression.gzip.level": "8", "compression.lz4.level": "12", "compression.zstd.level": "19"}
			if general != "" {
				set["compression.level"], want.level = general, 5
			}
			for k, v := range set {
				if err := c.Set(k, v); err != nil {
					t.Fatal(err)
				}
			}
			if codec, level := c.codec(); codec != want.codec || level != want.level {
				t.Errorf("%s, compression.level %q: codec %d, level %d; want %d, %d", name, general, codec, level, want.codec, want.level)
			}
		}
	}
}
