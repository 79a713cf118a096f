package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The compressed bytes of a file were sent, cut at newlines.
func TestProduceRefusesACompressedFile(t *testing.T) {
	for start, want := range map[string]string{"\x1f\x8b\x08\x00": "gzip", "\x28\xb5\x2f\xfd\x00": "zstd", "": "", "\x1f": "", "\x1f\x8b": "", "a line\n": ""} {
		path := filepath.Join(t.TempDir(), "input")
		if err := os.WriteFile(path, []byte(start), 0o600); err != nil {
			t.Fatal(err)
		}
		in, regular, err := (&produceOpts{file: path}).open(nil)
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), "is compressed ("+want+")") {
				t.Errorf("%q: %v", start, err)
			}
			continue
		}
		if err != nil || !regular {
			t.Errorf("%q: %v", start, err)
			continue
		}
		in.Close()
	}
}
