package crash

import "testing"

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
