package follow

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// A compressed file that was cut off ended a line where it was cut, and was whole for the exit code. Its rest came as another record.
func TestADamagedCompressedFileIsReportedAndNoLineIsCutThere(t *testing.T) {
	var want []string
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	for i := range 50_000 {
		want = append(want, fmt.Sprintf("line %d %x", i, i*i))
		fmt.Fprintln(z, want[i])
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	whole := packed.Bytes()
	n := len(whole)
	for _, tt := range []struct {
		what string
		file []byte
		all  bool // lines
	}{
		{"cut off in the middle", whole[:n/2], false},
		{"without its checksum", whole[:n-8], true},
		{"with another checksum", slices.Concat(whole[:n-8], []byte{1, 2, 3, 4}, whole[n-4:]), true},
		{"with something behind it", slices.Concat(whole, []byte("something behind it")), true},
	} {
		r := newRig(t, 1, "*")
		r.options.Once = true
		r.do(os.WriteFile(r.path("app.log.1.gz"), tt.file, 0o600))
		r.start()
		var fault *FileError
		if err := r.w.Run(t.Context()); !errors.As(err, &fault) || !strings.Contains(fault.Error(), "cut off or damaged") {
			t.Errorf("%s: Run = %v", tt.what, err)
		}
		got := len(r.store.values)
		if got == 0 || got > len(want) || tt.all && got != len(want) || !tt.all && r.store.values[got-1] != want[got-1] {
			t.Errorf("%s: %d records, the last %q", tt.what, got, r.store.values[max(got, 1)-1])
		}
		r.do(os.Remove(r.path("app.log.1.gz")))
		r.do(os.WriteFile(r.path("app.log.1.gz"), whole, 0o600))
		r.start()
		r.do(r.w.Run(t.Context()))
		if tt.what == "cut off in the middle" && !slices.Equal(r.store.values, want) {
			t.Errorf("%s, and then whole: %d records, want %d", tt.what, len(r.store.values), len(want))
		}
	}
}

// A compressed file that is being copied here is cut off for a while, and a damaged one is not decompressed again and again.
func TestACompressedFileThatGrowsIsReadToItsEnd(t *testing.T) {
	r := newRig(t, 1, "*")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	for i := range 1000 {
		fmt.Fprintf(z, "line %d %x\n", i, i*i*i)
	}
	r.do(z.Close())
	file := r.path("app.log.1.gz")
	r.do(os.WriteFile(file, packed.Bytes()[:packed.Len()/2], 0o600))
	r.start()
	r.look()
	half := len(r.store.values)
	if s := r.w.Stats(); half == 0 || s.Unreadable != 1 {
		t.Errorf("%d records and %+v of one half", half, s)
	}
	r.look()
	failed := 0
	for _, e := range r.events {
		if e.Kind == Failed {
			failed++
		}
	}
	r.do(os.WriteFile(file, packed.Bytes(), 0o600))
	r.look()
	if s := r.w.Stats(); len(r.store.values) != 1000 || s.Unreadable != 0 || s.Splits != 0 || failed != 1 {
		t.Errorf("%d records of the whole, reported %d times, and %+v", len(r.store.values), failed, s)
	}
}
