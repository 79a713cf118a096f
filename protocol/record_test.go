package protocol

import (
	"bytes"
	"encoding/binary"
	"math"
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

// Law: what we read, kmsg reads the same; what kmsg reads and would write again with the same bytes,
// we read; and what we read is the same record when kmsg has written it again.
func FuzzRecordReadingNeverPanicsAndRoundTrips(f *testing.F) {
	f.Add(oracleRecord(nil, 1, 2, []byte("key"), []byte("value"), []kmsg.Header{{Key: "h", Value: []byte("v")}}))
	f.Add(oracleRecord(nil, -1, 0, nil, nil, nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var theirs kmsg.Record
		theyRead := theirs.ReadFrom(raw) == nil
		r, rest, err := NextRecord(raw)
		if err != nil {
			if again := theirs.AppendTo(nil); theyRead && int(theirs.Length) == len(again)-varintLen(theirs.Length) && bytes.Equal(again, raw) {
				t.Fatalf("kmsg reads and writes %x, and we say: %v", raw, err)
			}
			return
		}
		headers := readHeaders(t, r)
		if !theyRead || theirs.TimestampDelta64 != r.TimestampDelta || theirs.OffsetDelta != r.OffsetDelta || theirs.Attributes != r.Attributes ||
			!same(theirs.Key, r.Key) || !same(theirs.Value, r.Value) || len(theirs.Headers) != len(headers) {
			t.Fatalf("%x is %+v to us, and to kmsg %+v (%v)", raw, r, theirs, theyRead)
		}
		for i, h := range headers {
			if theirs.Headers[i].Key != h.Key || !same(theirs.Headers[i].Value, h.Value) {
				t.Fatalf("%x: header %d is %+v to us, and to kmsg %+v", raw, i, h, theirs.Headers[i])
			}
		}
		encoded := oracleRecord(nil, r.TimestampDelta, r.OffsetDelta, r.Key, r.Value, headers)
		again, left, err := NextRecord(encoded)
		if err != nil || len(left) != 0 || again.TimestampDelta != r.TimestampDelta || again.OffsetDelta != r.OffsetDelta ||
			!same(again.Key, r.Key) || !same(again.Value, r.Value) || again.HeaderCount != r.HeaderCount {
			t.Fatalf("%x is read as %+v, encoded again as %+v, %v", raw[:len(raw)-len(rest)], r, again, err)
		}
	})
}

// readHeaders takes a record's headers apart.
func readHeaders(t *testing.T, r Record) []kmsg.Header {
	var headers []kmsg.Header
	for b := r.Headers; len(b) > 0; {
		k, v, next, err := NextHeader(b)
		if err != nil {
			t.Fatalf("NextRecord took headers that NextHeader does not: %v", err)
		}
		headers, b = append(headers, kmsg.Header{Key: string(k), Value: v}), next
	}
	if len(headers) != r.HeaderCount {
		t.Fatalf("%d headers, the record says %d", len(headers), r.HeaderCount)
	}
	return headers
}

// same tells null from empty.
func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func varintLen(v int32) int { return len(binary.AppendVarint(nil, int64(v))) }

// slowTags reads what kmsg.SkipTags asks for, a byte at a time.
type slowTags struct {
	b    []byte
	long bool // a number had more than 32 bits, which Kafka's have not
}

type endOfTags struct{}

func (s *slowTags) Uvarint() uint32 {
	v := uint64(0)
	for shift := 0; ; shift += 7 {
		b := s.Span(1)[0]
		if shift >= 64 {
			panic(endOfTags{})
		}
		v |= uint64(b&0x7f) << shift
		s.long = s.long || shift > 28 || v > math.MaxUint32
		if b < 0x80 {
			return uint32(v)
		}
	}
}

func (s *slowTags) Span(n int) []byte {
	if n > len(s.b) {
		panic(endOfTags{})
	}
	span := s.b[:n]
	s.b = s.b[n:]
	return span
}

// skip is what kmsg skips, or false.
func (s *slowTags) skip() (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			if _, end := p.(endOfTags); !end {
				panic(p)
			}
			ok = false
		}
	}()
	kmsg.SkipTags(s)
	return true
}

// Law: what is skipped is what kmsg skips, as long as no number has more bits than Kafka's have: then
// we may be milder, and never go past the end.
func FuzzSkipTagsNeverReadsPastTheEnd(f *testing.F) {
	f.Add([]byte{0, 1})
	f.Add([]byte{1, 0, 2, 9, 9, 7})
	f.Add([]byte{2, 0x80, 1, 0, 5, 1, 9, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		rest, err := SkipTags(b)
		if err == nil && (!bytes.HasSuffix(b, rest) || len(rest) >= len(b)) {
			t.Fatalf("SkipTags(%x) = %x, which is no later part of it", b, rest)
		}
		slow := &slowTags{b: b}
		ok := slow.skip()
		if !slow.long && ok != (err == nil) || !slow.long && ok && !bytes.Equal(slow.b, rest) {
			t.Fatalf("SkipTags(%x) = %x, %v; kmsg leaves %x (%v)", b, rest, err, slow.b, ok)
		}
	})
}
