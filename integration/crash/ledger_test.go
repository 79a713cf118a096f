package crash

import (
	"math/rand/v2"
	"testing"
)

// The oracle itself: each fault must be seen, and nothing else.
func TestLedgerSeesLossDuplicatesDisorderAndForeignBytes(t *testing.T) {
	type rec struct{ partition, client, n int }
	straight := []rec{{0, 0, 0}, {0, 0, 1}, {0, 0, 2}, {1, 1, 0}, {1, 1, 1}}
	tests := []struct {
		name    string
		records []rec
		change  bool
		want    Verdict
	}{
		{name: "all is well", records: straight, want: Verdict{Records: 5}},
		{name: "one is lost", records: []rec{{0, 0, 0}, {0, 0, 2}, {1, 1, 0}, {1, 1, 1}}, want: Verdict{Records: 4, Lost: 1}},
		{name: "the last is lost", records: straight[:4], want: Verdict{Records: 4, Lost: 1}},
		{name: "all are lost", want: Verdict{Lost: 5}},
		{name: "one is there twice", records: append([]rec{{0, 0, 0}}, straight...), want: Verdict{Records: 6, Duplicated: 1}},
		{name: "two are swapped", records: []rec{{0, 0, 1}, {0, 0, 0}, {0, 0, 2}, {1, 1, 0}, {1, 1, 1}}, want: Verdict{Records: 5, Reordered: 1}},
		{name: "one went astray", records: []rec{{0, 0, 0}, {0, 0, 1}, {2, 0, 2}, {1, 1, 0}, {1, 1, 1}}, want: Verdict{Records: 5, Strayed: 1}},
		{name: "bytes are changed", records: straight, change: true, want: Verdict{Records: 6, Changed: 1}},
		{name: "one was never sent", records: append([]rec{{1, 1, 2}}, straight...), want: Verdict{Records: 6, Changed: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := NewLedger(7, 2, 20)
			l.Answered(0, 3)
			l.Answered(1, 2)
			reading := l.Read()
			for i, r := range tt.records {
				reading.Record(int32(r.partition), int64(i), []byte(Key(r.client)), l.Value(r.client, r.n))
			}
			if tt.change {
				v := l.Value(0, 0)
				v[len(v)-1] ^= 1
				reading.Record(0, 99, []byte(Key(0)), v)
			}
			got := reading.Verdict()
			if got.String() == "" || got.OK() != (tt.name == "all is well") {
				t.Errorf("OK() = %v for %v", got.OK(), got)
			}
			got.First = nil
			if got.String() != tt.want.String() {
				t.Errorf("got %v\nwant %v", got, &tt.want)
			}
		})
	}
}

func TestRecordThatWasGivenUpMayBeThereOnceOrNotAtAll(t *testing.T) {
	for _, copies := range []int{0, 1, 2} {
		l := NewLedger(7, 1, 20)
		l.Answered(0, 1)
		l.GaveUp(0)
		l.Answered(0, 3)
		reading := l.Read()
		reading.Record(0, 0, []byte(Key(0)), l.Value(0, 0))
		for range copies {
			reading.Record(0, 1, []byte(Key(0)), l.Value(0, 1))
		}
		reading.Record(0, 2, []byte(Key(0)), l.Value(0, 2))
		if v := reading.Verdict(); v.OK() != (copies < 2) {
			t.Errorf("%d copies: %v", copies, v)
		}
	}
}

// Values of a few bytes say nothing of their own: their place must tell, and every fault must still be seen.
func TestLedgerSeesFaultsAmongValuesOfAFewBytes(t *testing.T) {
	all := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	tests := []struct {
		name string
		read []int
		ok   bool
	}{
		{"all is well", all, true},
		{"the first is lost", all[1:], false},
		{"one is lost", append([]int{0, 1, 2}, all[4:]...), false},
		{"the last is lost", all[:9], false},
		{"one is there twice", append([]int{0, 1, 2, 2}, all[3:]...), false},
		{"the last is there twice", append(all[:10:10], 9), false},
		{"two are swapped", append([]int{0, 2, 1}, all[3:]...), false},
		{"one was never sent", append(all[:10:10], 10), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := NewLedger(7, 2, 20)
			l.Size = func(_ int, r *rand.Rand) int { return 1 + r.IntN(3) }
			l.Answered(1, 10)
			reading := l.Read()
			for i, n := range tt.read {
				v := l.Value(1, n)
				if len(v) > 3 {
					t.Fatalf("value %d has %d bytes, want at most 3", n, len(v))
				}
				reading.Record(0, int64(i), []byte(Key(1)), v)
			}
			if v := reading.Verdict(); v.OK() != tt.ok {
				t.Errorf("OK() = %v for %v", v.OK(), v)
			}
		})
	}
}

// More partitions move a key once each time, perhaps to where it was before. What moves more often has lost its order.
func TestLedgerLetsAClientMoveOnceForEachTimeTheTopicGrew(t *testing.T) {
	type rec struct{ partition, n int }
	moved := []rec{{2, 3}, {2, 4}, {0, 0}, {0, 1}, {0, 2}} // partitions are read in any order
	tests := []struct {
		name    string
		grown   int
		records []rec
		want    Verdict
	}{
		{"it did not grow", 0, moved, Verdict{Records: 5, Strayed: 1}},
		{"it grew", 1, moved, Verdict{Records: 5}},
		{"to and fro", 1, []rec{{0, 0}, {0, 1}, {0, 3}, {2, 2}, {2, 4}}, Verdict{Records: 5, Strayed: 1}},
		{"three partitions", 1, []rec{{0, 0}, {0, 1}, {1, 2}, {2, 3}, {2, 4}}, Verdict{Records: 5, Strayed: 1}},
		{"three partitions, it grew twice", 2, []rec{{0, 0}, {0, 1}, {1, 2}, {2, 3}, {2, 4}}, Verdict{Records: 5}},
		{"there and back, it grew twice", 2, []rec{{0, 0}, {0, 1}, {0, 4}, {2, 2}, {2, 3}}, Verdict{Records: 5}},
		{"there and back, it grew once", 1, []rec{{0, 0}, {0, 1}, {0, 4}, {2, 2}, {2, 3}}, Verdict{Records: 5, Strayed: 1}},
		{"out of order on the new one", 1, []rec{{0, 0}, {0, 1}, {2, 3}, {2, 2}, {2, 4}}, Verdict{Records: 5, Reordered: 1}},
		{"there on both", 1, []rec{{0, 0}, {0, 1}, {0, 2}, {2, 2}, {2, 3}, {2, 4}}, Verdict{Records: 6, Duplicated: 1}},
		{"lost on the way", 1, []rec{{0, 0}, {0, 1}, {2, 3}, {2, 4}}, Verdict{Records: 4, Lost: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := NewLedger(7, 1, 20)
			l.Answered(0, 5)
			for range tt.grown {
				l.Grew()
			}
			reading := l.Read()
			for i, r := range tt.records {
				reading.Record(int32(r.partition), int64(i), []byte(Key(0)), l.Value(0, r.n))
			}
			got := reading.Verdict()
			got.First = nil
			if got.String() != tt.want.String() {
				t.Errorf("got %v\nwant %v", got, &tt.want)
			}
		})
	}
}
