package accumulator

import (
	"slices"
	"testing"

	"github.com/spoold/spoold/spool"
)

// What damage has taken is missing until it has left.
func TestMissingEntriesAreThoseThatHaveNotLeft(t *testing.T) {
	e := newEntries(20)
	e.RestoreMissing([]spool.Span{{First: 3, End: 6}, {First: 10, End: 12}})
	e.settle(spool.Span{First: 4, End: 5})
	var got []spool.Index
	for i := range spool.Index(20) {
		if e.Missing(i) {
			got = append(got, i)
		}
	}
	if want := []spool.Index{3, 5, 10, 11}; !slices.Equal(got, want) {
		t.Errorf("missing are %v, want %v", got, want)
	}
	for _, tt := range []struct{ spans, want []spool.Span }{
		{[]spool.Span{{First: 0, End: 20}}, []spool.Span{{First: 3, End: 4}, {First: 5, End: 6}, {First: 10, End: 12}}},
		{[]spool.Span{{First: 5, End: 11}}, []spool.Span{{First: 5, End: 6}, {First: 10, End: 11}}},
		{[]spool.Span{{First: 0, End: 3}, {First: 6, End: 10}, {First: 12, End: 20}}, nil},
	} {
		if got := e.MissingOf(tt.spans); !slices.Equal(got, tt.want) {
			t.Errorf("missing of %v are %v, want %v", tt.spans, got, tt.want)
		}
	}
}
