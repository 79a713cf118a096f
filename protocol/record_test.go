package protocol

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestNullAndEmptyAreNotTheSame(t *testing.T) {
	for _, tt := range []struct{ key, value []byte }{
		{nil, nil}, {[]byte{}, nil}, {nil, []byte{}}, {[]byte{}, []byte{}}, {[]byte("k"), nil},
	} {
		raw := oracleRecord(nil, -5, 7, tt.key, tt.value, nil)
		r, rest, err := NextRecord(raw)
		if err != nil || len(rest) != 0 {
			t.Fatalf("NextRecord(%x): %v, %d bytes left", raw, err, len(rest))
		}
		if (r.Key == nil) != (tt.key == nil) || (r.Value == nil) != (tt.value == nil) || r.TimestampDelta != -5 || r.OffsetDelta != 7 {
			t.Errorf("key %#v, value %#v read back as %+v", tt.key, tt.value, r)
		}
	}
}

func TestRecordsAgreeWithKmsg(t *testing.T) {
	rnd := newRand(t, 21)
	random := func() []byte {
		if rnd.IntN(4) == 0 {
			return nil
		}
		b := make([]byte, rnd.IntN(300))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	for range 1000 {
		headers := make([]kmsg.Header, rnd.IntN(4))
		for i := range headers {
			headers[i] = kmsg.Header{Key: string(random()), Value: random()}
		}
		from, to := rnd.Int64()>>rnd.IntN(64), rnd.Int64()>>rnd.IntN(64)
		delta := to - from
		key, value := random(), random()
		raw := oracleRecord(nil, delta, rnd.Int32(), key, value, headers)
		r, rest, err := NextRecord(raw)
		if err != nil || len(rest) != 0 || r.TimestampDelta != delta || !bytes.Equal(r.Key, key) || !bytes.Equal(r.Value, value) || r.HeaderCount != len(headers) {
			t.Fatalf("NextRecord(%x) = %+v, %d left, %v", raw, r, len(rest), err)
		}
		b := r.Headers
		for _, want := range headers {
			var k, v []byte
			if k, v, b, err = NextHeader(b); err != nil || string(k) != want.Key || !bytes.Equal(v, want.Value) || (v == nil) != (want.Value == nil) {
				t.Fatalf("header %q=%q read as %q=%q, %v", want.Key, want.Value, k, v, err)
			}
		}
	}
}

func TestDamagedRecordsAreErrors(t *testing.T) {
	good := oracleRecord(nil, 1, 2, []byte("k"), []byte("v"), []kmsg.Header{{Key: "h"}})
	for end := range good {
		if _, _, err := NextRecord(good[:end]); err == nil {
			t.Errorf("record cut at %d of %d is taken", end, len(good))
		}
	}
	huge := append(binary.AppendVarint(nil, 12), 0, 0, 0)
	huge = binary.AppendVarint(huge, 1<<31-1) // a key of 2 GiB
	if _, _, err := NextRecord(append(huge, make([]byte, 10)...)); err == nil {
		t.Error("a key longer than its record is taken")
	}
	nullHeaderKey := []byte{16, 0, 0, 0, 1, 1, 2, 1, 1}
	if _, _, err := NextRecord(nullHeaderKey); err == nil {
		t.Error("a null header key is taken")
	}
}

func FuzzRecordReadingNeverPanicsAndRoundTrips(f *testing.F) {
	f.Add(oracleRecord(nil, 1, 2, []byte("key"), []byte("value"), []kmsg.Header{{Key: "h", Value: []byte("v")}}))
	f.Add(oracleRecord(nil, -1, 0, nil, nil, nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, rest, err := NextRecord(raw)
		if err != nil {
			return
		}
		var headers []kmsg.Header
		for b := r.Headers; len(b) > 0; {
			var k, v []byte
			if k, v, b, err = NextHeader(b); err != nil {
				t.Fatalf("NextRecord took headers that NextHeader does not: %v", err)
			}
			headers = append(headers, kmsg.Header{Key: string(k), Value: v})
		}
		if len(headers) != r.HeaderCount {
			t.Fatalf("%d headers, the record says %d", len(headers), r.HeaderCount)
		}
		// Law: encoded by the oracle and read again, it is the same record.
		encoded := oracleRecord(nil, r.TimestampDelta, r.OffsetDelta, r.Key, r.Value, headers)
		again, left, err := NextRecord(encoded)
		if err != nil || len(left) != 0 || again.TimestampDelta != r.TimestampDelta || again.OffsetDelta != r.OffsetDelta ||
			!bytes.Equal(again.Key, r.Key) || !bytes.Equal(again.Value, r.Value) || (again.Key == nil) != (r.Key == nil) ||
			(again.Value == nil) != (r.Value == nil) || again.HeaderCount != r.HeaderCount {
			t.Fatalf("%x is read as %+v, encoded again as %+v, %v", raw[:len(raw)-len(rest)], r, again, err)
		}
	})
}

func FuzzSkipTagsNeverReadsPastTheEnd(f *testing.F) {
	f.Add([]byte{0, 1})
	f.Add([]byte{1, 0, 2, 9, 9, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		rest, err := SkipTags(b)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(b, rest) || len(rest) >= len(b) {
			t.Fatalf("SkipTags(%x) = %x, which is no later part of it", b, rest)
		}
	})
}
