package spool

import (
	"slices"
	"strings"
	"testing"
)

func TestASectionGivesItsEntriesUnderTheirIndexes(t *testing.T) {
	var b []byte
	for _, v := range []string{"a", "b", "c"} {
		b = AppendEntry(b, 1, -1, nil, []byte(v), nil, BodySize(nil, []byte(v), nil))
	}
	s := Section{Spans: []Span{{First: 3, End: 5}, {First: 9, End: 10}}, Bytes: b}
	var at []Index
	var values string
	take := func(i Index, e *Entry) bool {
		r, err := e.Record()
		if err != nil {
			t.Fatal(err)
		}
		at, values = append(at, i), values+string(r.Value)
		return i < 9
	}
	if err := s.Each(take); err != nil || !slices.Equal(at, []Index{3, 4, 9}) || values != "abc" {
		t.Errorf("%v %q, %v", at, values, err)
	}
	at = nil
	if err := s.Each(func(i Index, _ *Entry) bool { at = append(at, i); return false }); err != nil || len(at) != 1 {
		t.Errorf("%v, %v: it was to stop after one", at, err)
	}
	s.Spans[1].End++
	if err := s.Each(func(Index, *Entry) bool { return true }); err == nil || !strings.HasPrefix(err.Error(), "entry 10: ") {
		t.Errorf("an entry that is not there: %v", err)
	}
}
