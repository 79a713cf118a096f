package spool

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"testing"

	"github.com/spoold/spoold/integration/program"
	"github.com/spoold/spoold/protocol"
)

// FuzzWhatCarriesAChecksumIsReadBackOrRefused reads its input as a block, a block of idempotency keys or
// a head, and what becomes of it on disk.
//
// Law: what was encoded is decoded the same, from the whole and from its ends alone; with any bit
// flipped, bytes cut off or added, or under another number, it is an error; and damage with a checksum
// that was made to fit is an error, or a value that is the same when it is encoded and decoded again.
func FuzzWhatCarriesAChecksumIsReadBackOrRefused(f *testing.F) {
	for kind := range byte(3) {
		f.Add([]byte{kind, 2, 9, 3, 1, 20, 2, 7, 7, 7, 1, 5, 1, 0, 4, 40, 3, 1, 0, 200})
		f.Add([]byte{kind, 1, 9, 1, 1, 20, 1, 7, 1, 1, 2, 3, 1, 1, 1, 1, 1, 1, 7})
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		p := program.New(script)
		switch p.Below(3) {
		case 0:
			fuzzBlock(t, p)
		case 1:
			fuzzKeys(t, p)
		case 2:
			fuzzHead(t, p)
		}
	})
}

// damage changes b somewhere, and reports whether a checksum is to be made to fit afterwards.
func damage(p *program.Program, b []byte) (bad []byte, mend bool) {
	bad = bytes.Clone(b)
	switch p.Below(4) {
	case 0:
		at := p.Below(len(bad))
		bad[at] ^= 1 << p.Below(8)
		return bad, false
	case 1:
		return bad[:p.Below(len(bad))], false
	case 2:
		return append(bad, p.Byte()), false
	}
	for range 1 + p.Below(3) {
		switch at := p.Below(len(bad)); p.Below(4) {
		case 0, 1:
			bad[len(bad)-1-at%min(len(bad), 60)] = p.Byte() // numbers stand at the end
		case 2:
			bad = slices.Delete(bad, at, at+1)
		case 3:
			bad = slices.Insert(bad, at, p.Byte())
		}
		if len(bad) == 0 {
			break
		}
	}
	return bad, true
}

// someBlock has up to four sections of a few bytes each.
func someBlock(p *program.Program) ([]byte, []BlockSection) {
	b := make([]byte, BlockHeader)
	var sections []BlockSection
	for range p.Below(5) {
		s := BlockSection{Lane: LaneID(p.Int32()), Off: len(b)}
		at := Index(p.Int64() & maxNumber)
		for range 1 + p.Below(3) {
			end := at + 1 + Index(p.Below(300))
			s.Spans = append(s.Spans, Span{at, end})
			at = end + 1 + Index(p.Below(300))
		}
		b = append(b, p.Bytes(40)...)
		s.Len = len(b) - s.Off
		sections = append(sections, s)
	}
	return b, sections
}

// readBlock is a block's directory, once every section's checksum was looked at.
func readBlock(b []byte, number uint64) ([]BlockSection, error) {
	sections, err := BlockDirectory(b, number)
	for i := range sections {
		s := &sections[i]
		if err == nil {
			err = s.Check(b[s.Off : s.Off+s.Len])
		}
	}
	return sections, err
}

func fuzzBlock(t *testing.T, p *program.Program) {
	number := uint64(p.Int64())
	raw, sections := someBlock(p)
	b := SealBlock(raw, number, sections)
	got, err := readBlock(b, number)
	if err != nil || !slices.EqualFunc(got, sections, func(x, y BlockSection) bool { return reflect.DeepEqual(x, y) }) {
		t.Fatalf("%x: read %+v, %v; want %+v", b, got, err, sections)
	}
	tail := b[len(b)-BlockTail(b[max(0, len(b)-20):]):]
	if ends, err := ParseBlockDirectory(b[:BlockHeader], tail, len(b), number); err != nil || !reflect.DeepEqual(ends, got) {
		t.Fatalf("%x: its ends say %+v, %v", b, ends, err)
	}
	if _, err := readBlock(b, number+1); err == nil {
		t.Fatalf("%x is taken for block %d, too", b, number+1)
	}
	bad, mend := damage(p, b)
	if n := BlockTail(bad); mend && n >= blockFooter && n <= len(bad)-BlockHeader {
		binary.LittleEndian.PutUint32(bad[len(bad)-4:], blockCRC(number, bad[:BlockHeader], bad[len(bad)-n:len(bad)-4]))
	}
	got, err = readBlock(bad, number)
	if err != nil {
		return
	}
	if !mend && !bytes.Equal(bad, b) {
		t.Fatalf("%x is taken for a block, it was %x", bad, b)
	}
	end := BlockHeader
	for _, s := range got {
		end = s.Off + s.Len
	}
	again := SealBlock(bytes.Clone(bad[:end]), number, slices.Clone(got))
	if back, err := readBlock(again, number); err != nil || !reflect.DeepEqual(back, got) {
		t.Fatalf("%x is read as %+v, made again as %+v, %v", bad, got, back, err)
	}
}

func fuzzKeys(t *testing.T, p *program.Program) {
	number := uint64(p.Int64())
	var keys []KeyRecord
	for range p.Below(5) {
		k := KeyRecord{Digest: KeyDigest{p.Byte(), 15: p.Byte()}, Body: uint64(p.Int64()), Age: p.Int64() & maxNumber}
		for range p.Below(4) {
			k.Runs = append(k.Runs, KeyRun{LaneID(p.Int32()), Index(p.Int64() & maxNumber), int(p.Int32() & 0x7fffffff)})
		}
		keys = append(keys, k)
	}
	b := EncodeKeys(number, keys, nil)
	same := func(x, y []KeyRecord) bool { return len(x) == len(y) && (len(x) == 0 || reflect.DeepEqual(x, y)) }
	if got, _, err := DecodeKeys(number, b); err != nil || !same(got, keys) {
		t.Fatalf("keys %+v, %v; want %+v", got, err, keys)
	}
	if _, _, err := DecodeKeys(number+1, b); err == nil {
		t.Fatalf("%x is taken for the keys of commit %d, too", b, number+1)
	}
	bad, mend := damage(p, b)
	if n := len(bad) - 4; mend && n > 0 {
		binary.LittleEndian.PutUint32(bad[n:], keysCRC(number, bad[:n]))
	}
	got, marks, err := DecodeKeys(number, bad)
	if err != nil {
		return
	}
	if !mend && !bytes.Equal(bad, b) {
		t.Fatalf("%x is taken for keys, it was %x", bad, b)
	}
	if again, ms, err := DecodeKeys(number, EncodeKeys(number, got, marks)); err != nil || !same(again, got) || !slices.Equal(ms, marks) {
		t.Fatalf("keys %+v, encoded again %+v, %v", got, again, err)
	}
}

func fuzzHead(t *testing.T, p *program.Program) {
	h := Head{
		Segment: uint64(p.Int64()), Block: uint64(p.Int64()), Age: p.Int64(), BootTime: p.Int64(), Boot: [16]byte{p.Byte(), 15: p.Byte()}, Pairs: uint64(p.Int64()),
		PairSum: Sum(p.Int64()), Blocks: uint64(p.Int64()), BlockSum: Sum(p.Int64()), Keys: uint64(p.Int64()), KeySum: Sum(p.Int64()),
	}
	b := AppendHead(nil, &h)
	if got, err := DecodeHead(b); err != nil || got != h {
		t.Fatalf("head %+v, %v; want %+v", got, err, h)
	}
	bad, mend := damage(p, b)
	if n := len(bad) - 4; mend && n > 0 {
		binary.LittleEndian.PutUint32(bad[n:], CRC(bad[:n]))
	}
	got, err := DecodeHead(bad)
	if err != nil {
		return
	}
	again := AppendHead(nil, &got)
	if mend { // with its checksum made to fit, a head of an older version is read, and written again as one of this version
		bad[3] = again[3]
		binary.LittleEndian.PutUint32(bad[len(bad)-4:], CRC(bad[:len(bad)-4]))
	}
	if !mend && !bytes.Equal(bad, b) || !bytes.Equal(again, bad) {
		t.Fatalf("%x is taken for a head, it was %x", bad, b)
	}
}

// FuzzDamagedPairsAreAnErrorOrAState puts wrong pairs beside, or in place of, those of a state.
//
// Law: loading them is an error, or a state whose counters add up, whose pairs, all written again, make
// the same state, and which goes on: a write that speaks of what exists is carried out.
func FuzzDamagedPairsAreAnErrorOrAState(f *testing.F) {
	_, changes := testState(f)
	good := pairs(changes)
	keys := sortedKeys(good)
	for i := range keys {
		f.Add([]byte{byte(i), 0, 3, 1})
		f.Add([]byte{byte(i), 3, 2, 9, 1, byte(i), 5})
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		p := program.New(script)
		m := make(map[string][]byte, len(good))
		for k, v := range good {
			m[k] = v
		}
		for range 3 {
			damagePair(p, m, keys[p.Below(len(keys))])
		}
		st, err := load(m)
		if err != nil {
			return
		}
		again, err := load(pairs(everything(st)))
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		again.legacy, again.serial, again.audit, again.firstAudit = st.legacy, st.serial, st.audit, st.firstAudit // their contents are not kept in memory
		if got, want := recovered(again), recovered(st); !reflect.DeepEqual(got, want) || !reflect.DeepEqual(again.notes, st.notes) || !reflect.DeepEqual(again.segments, st.segments) || !reflect.DeepEqual(again.gaps, st.gaps) {
			t.Fatalf("written again it is %+v, was %+v", got, want)
		}
		goOn(t, st)
	})
}

// recovered is what a start finds, with its seals in one order even where two claim one ordinal.
func recovered(st *State) *Recovered {
	r := st.Recovered()
	slices.SortFunc(r.Seals, func(a, b Seal) int { return bytes.Compare(sealKey(a.SealKey), sealKey(b.SealKey)) })
	return r
}

// damagePair changes the pair of a key: its value, its key, or both; or forgets it.
func damagePair(p *program.Program, m map[string][]byte, k string) {
	v := bytes.Clone(m[k])
	switch p.Below(5) {
	case 0:
		if len(v) > 0 {
			v[p.Below(len(v))] = p.Byte()
		}
	case 1:
		delete(m, k)
		return
	case 2:
		v = p.Bytes(600)
	case 3:
		other := []byte(k)
		other[p.Below(len(other))] = p.Byte()
		k = string(other)
	case 4:
		if at := p.Below(len(v) + 1); p.Yes() {
			v = v[:at]
		} else {
			v = slices.Insert(v, at, p.Byte())
		}
	}
	m[k] = v
}

// goOn has everything that is left settled.
func goOn(t *testing.T, st *State) {
	var out Changes
	for i := range st.Lanes() {
		id := LaneID(i)
		left := st.End(id) - Index(st.Settled(id).CountIn(Span{0, st.End(id)}))
		c := st.LaneCounters(id)
		if c.Pending() != uint64(left) {
			t.Fatalf("lane %d: %d pending, %d have not left", i, c.Pending(), left)
		}
		if st.End(id) > 1<<20 {
			continue // a set of so many is another matter
		}
		w := &Write{Settle: []Settlement{{Lane: id, Spans: []Span{{0, st.End(id)}}, Outcome: OutcomeAcked}}, Partitions: []PartitionState{{Lane: id}}}
		if err := st.Apply(w, &out); err != nil {
			t.Fatalf("settle all of lane %d: %v", i, err)
		}
		if n := st.LaneCounters(id).Pending(); n != 0 {
			t.Fatalf("lane %d: all has left, %d are pending", i, n)
		}
	}
	st.Flush(&out)
}

// FuzzEntriesAreReadBackAndBecomeKafkasRecords reads its input as a record, or as the bytes of an entry.
//
// Law: a record is read back from its entry as it was, null and empty apart, and from the Kafka record
// that its body becomes, by protocol's reader; every size is as it was foretold; and any bytes are an error,
// or an entry that leaves less behind and is the same when it is written again.
func FuzzEntriesAreReadBackAndBecomeKafkasRecords(f *testing.F) {
	f.Add([]byte{0, 5, 130, 3, 'k', 'e', 3, 'v', 'w', 2, 2, 'h', 3, 'x', 'y', 0, 1})
	f.Add(append([]byte{1}, AppendEntry(nil, 1, -1, []byte("k"), nil, nil, BodySize([]byte("k"), nil, nil))...))
	f.Fuzz(func(t *testing.T, script []byte) {
		p := program.New(script)
		if p.Below(2) == 1 {
			rawEntry(t, p.Rest())
			return
		}
		r := Record{Timestamp: p.Int64(), Partition: max(p.Int32(), -1), Key: p.Bytes(300), Value: p.Bytes(1 << 10)}
		for range p.Below(4) {
			r.Headers = append(r.Headers, Header{string(p.Bytes(200)), p.Bytes(200)})
		}
		size := BodySize(r.Key, r.Value, r.Headers)
		b := AppendEntry(nil, r.Timestamp, r.Partition, r.Key, r.Value, r.Headers, size)
		if len(b) != EntrySize(size, r.Partition) || len(r.Headers) == 0 && len(b) > MaxEntryOverhead+len(r.Key)+len(r.Value) {
			t.Fatalf("%d bytes, EntrySize says %d", len(b), EntrySize(size, r.Partition))
		}
		e, rest, err := NextEntry(append(bytes.Clone(b), "rest"...))
		if err != nil || string(rest) != "rest" || e.HasKey != (r.Key != nil) || !bytes.Equal(e.Key, r.Key) || e.Timestamp != r.Timestamp || e.Partition != r.Partition {
			t.Fatalf("%+v, %q, %v", e, rest, err)
		}
		if got, err := e.Record(); err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("%+v, %v; want %+v", got, err, r)
		}
		asKafkas(t, e, r, p.Int64(), p.Int32())
	})
}

// asKafkas compares the record of a batch with what it was made of.
func asKafkas(t *testing.T, e Entry, r Record, timestampDelta int64, offsetDelta int32) {
	raw := AppendRecord(nil, e.Body, timestampDelta, offsetDelta)
	if len(raw) != RecordSize(len(e.Body), timestampDelta, offsetDelta) || len(raw) > len(e.Body)+5+1+10+5 {
		t.Fatalf("record of %d bytes, RecordSize says %d", len(raw), RecordSize(len(e.Body), timestampDelta, offsetDelta))
	}
	k, rest, err := protocol.NextRecord(raw)
	if err != nil || len(rest) != 0 || k.TimestampDelta != timestampDelta || k.OffsetDelta != offsetDelta || k.HeaderCount != len(r.Headers) ||
		!bytes.Equal(k.Key, r.Key) || (k.Key == nil) != (r.Key == nil) || !bytes.Equal(k.Value, r.Value) || (k.Value == nil) != (r.Value == nil) {
		t.Fatalf("%+v is %+v in a batch, %v", r, k, err)
	}
	left := k.Headers
	for _, h := range r.Headers {
		key, value, next, err := protocol.NextHeader(left)
		if err != nil || string(key) != h.Key || !bytes.Equal(value, h.Value) || (value == nil) != (h.Value == nil) {
			t.Fatalf("header %+v is %q=%q in a batch, %v", h, key, value, err)
		}
		left = next
	}
}

func rawEntry(t *testing.T, b []byte) {
	e, rest, err := NextEntry(b)
	if err != nil {
		return
	}
	if len(rest) >= len(b) || !bytes.HasSuffix(b, rest) {
		t.Fatal("nothing was consumed")
	}
	r, err := e.Record()
	if err != nil {
		return
	}
	size := BodySize(r.Key, r.Value, r.Headers)
	if size > len(e.Body) || e.HasKey != (r.Key != nil) || !bytes.Equal(e.Key, r.Key) {
		t.Fatalf("a body of %d bytes, with key %q (%v), holds %+v", len(e.Body), e.Key, e.HasKey, r)
	}
	again, left, err := NextEntry(AppendEntry(nil, r.Timestamp, r.Partition, r.Key, r.Value, r.Headers, size))
	if err != nil || len(left) != 0 {
		t.Fatalf("%+v, written again: %v", r, err)
	}
	if back, err := again.Record(); err != nil || !reflect.DeepEqual(back, r) {
		t.Fatalf("%+v, written again: %+v, %v", r, back, err)
	}
}
