package accumulator

import (
	"strings"
	"testing"

	"github.com/spoold/spoold/spool"
)

// stamped is a batch of records with such timestamps.
func stamped(stamps ...int64) *Batch {
	b := &Batch{Buf: make([]byte, head)}
	for i, stamp := range stamps {
		b.add(spool.Index(i), stamp, []byte{1, 0, 1, 0, 0})
	}
	return b
}

func TestEachPlaceHasItsRecordsTimestamp(t *testing.T) {
	stamps := []int64{1000, 990, 1_000_000, 1000}
	b := stamped(stamps...)
	for place, want := range stamps {
		if got, err := b.Timestamp(int32(place)); err != nil || got != want {
			t.Errorf("record %d: timestamp %d, %v; want %d", place, got, err, want)
		}
	}
	if _, err := b.Timestamp(4); err == nil {
		t.Error("a record behind the last has a timestamp")
	}
	b.Buf = b.Buf[:len(b.Buf)-1]
	if _, err := b.Timestamp(3); err == nil {
		t.Error("a record that is cut short has a timestamp")
	}
}

// Pieces hold their records and little more memory than those take.
func TestABatchIsCutAtEachPlace(t *testing.T) {
	stamps := make([]int64, 100)
	b := stamped(stamps...)
	pieces, err := b.Cut([]int32{10, 50, 99})
	if err != nil || len(pieces) != 4 {
		t.Fatalf("%d pieces, %v", len(pieces), err)
	}
	for n, want := range []spool.Span{{First: 0, End: 10}, {First: 10, End: 50}, {First: 50, End: 99}, {First: 99, End: 100}} {
		p := pieces[n]
		if len(p.Spans) != 1 || p.Spans[0] != want || int(p.Count) != want.Len() || p.Base != b.Base.Next(int(want.First)) || !p.full {
			t.Errorf("piece %d: %v, %d records from sequence %d; want %v", n, p.Spans, p.Count, p.Base, want)
		}
		if cap(p.Buf) > len(b.Buf) {
			t.Errorf("piece %d of a batch of %d bytes holds %d", n, len(b.Buf), cap(p.Buf))
		}
	}
	if whole, err := b.Cut(nil); err != nil || len(whole) != 1 || whole[0].Count != b.Count {
		t.Errorf("cut nowhere it is %d batches, %v", len(whole), err)
	}
	for _, places := range [][]int32{{0}, {100}, {5, 5}, {5, 3}} {
		if _, err := b.Cut(places); err == nil {
			t.Errorf("it is cut before records %v", places)
		}
	}
	b.Buf = b.Buf[:len(b.Buf)-1]
	if _, err := b.Cut([]int32{10}); err == nil {
		t.Error("a batch that is cut short is cut in two")
	}
}

// A record's length, timestamp delta and offset delta may each be cut short or run over.
func TestAHeadThatIsNoRecordsIsAnError(t *testing.T) {
	for name, raw := range map[string][]byte{
		"nothing":                     {},
		"a length that does not end":  {0x80},
		"a length that is too long":   {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"no timestamp delta":          {6, 0, 0x80, 0x80},
		"no offset delta":             {6, 0, 0, 0x80},
		"less than the shortest head": {4, 0, 0},
		"no more than attributes":     {2, 0},
	} {
		if _, _, _, err := cutRecord(raw); err == nil {
			t.Errorf("%s: % x is taken for a record", name, raw)
		}
	}
}

// A batch is made again from the entries of its seal alone, wherever they stand in what was read, and holds no more memory than it needs.
func TestASealedBatchIsReadAgain(t *testing.T) {
	lg := &log{}
	for i := range 10 {
		lg.add(nil, []byte{byte(i)}, 0)
	}
	seal := func() *spool.Seal {
		return &spool.Seal{Count: 4, Spans: []spool.Span{{First: 1, End: 3}, {First: 4, End: 5}, {First: 8, End: 9}}}
	}
	s := seal()
	bu := NewBuilder("t", s)
	for _, end := range []spool.Index{2, 4, 7} {
		if whole, err := bu.Feed(s, lg.from(bu.Next(), end), end); whole || err != nil {
			t.Fatalf("up to %d: whole %v, %v", end, whole, err)
		}
	}
	if bu.Next() != 8 {
		t.Errorf("the next entry is %d, want 8", bu.Next())
	}
	if whole, err := bu.Feed(s, lg.from(8, 10), 10); !whole || err != nil {
		t.Fatalf("whole %v, %v", whole, err)
	}
	if b := bu.Batch; b.Count != 4 || cap(b.Buf) > len(b.Buf)+64 {
		t.Errorf("%d records, %d bytes of %d", b.Count, len(b.Buf), cap(b.Buf))
	}
	for name, feed := range map[string]func(s *spool.Seal) error{
		"is sealed but not in the spool": func(s *spool.Seal) error {
			_, err := NewBuilder("t", s).Feed(s, lg.from(2, 10), 10)
			return err
		},
		"counts 5 records": func(s *spool.Seal) error {
			s.Count = 5
			_, err := NewBuilder("t", s).Feed(s, lg.from(0, 10), 10)
			return err
		},
		"entry 9 of lane": func(s *spool.Seal) error {
			list := lg.from(0, 10)
			list[0].Bytes = list[0].Bytes[:len(list[0].Bytes)-1]
			_, err := NewBuilder("t", s).Feed(s, list, 10)
			return err
		},
	} {
		if err := feed(seal()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one with %q", err, name)
		}
	}
}
