package check

import "testing"

func TestOffsetsOfAnInputGoWithItsRecords(t *testing.T) { run(t, inputs) }

// input is a request of two records that are made of an input; its group has committed so many, and the client was told so.
func (s *story) input(committed int64, told Result) int {
	r := s.sentMany(1, "b", 2, func(x *Record) { x.Given, x.Timestamp = true, 700 })
	s.op(r).Unit, s.op(r).Online = true, true
	s.h.Inputs = map[int]*Input{3: {Ops: []int{s.h.Records[r].Op}, Told: []Result{told}, Committed: committed}}
	return r
}

func (s *story) both(r int, more ...func(*Entry)) {
	s.appended(r, 0, more...)
	s.appended(r+1, 0, more...)
}

var inputs = []chapter{
	{"committed with its offset", func(s *story) { s.both(s.input(1, OK), in(5)) }, nil},
	{"committed with its offset, and nobody was told", func(s *story) { s.both(s.input(1, Unknown), in(5)) }, nil},
	{"aborted, and so is its offset", func(s *story) { s.both(s.input(0, Refused), aborted) }, nil},
	{"to be aborted, with a marker that was lost", func(s *story) { s.both(s.input(0, Unknown), endless(false)) }, nil},
	{"to be committed, with a marker that was lost", func(s *story) { s.both(s.input(0, Unknown), endless(true)) }, []string{"P4: record 8 (host 1, topic b): its transaction has not ended",
		"P4: record 8 (host 1, topic b) is visible, and offset 1 of its input is not committed, but 0", "P4: record 9 (host 1, topic b) is visible, and offset 1 of its input is not committed, but 0"}},
	{"an offset without its records", func(s *story) { s.input(1, OK) }, []string{
		"P1: record 8 (host 1, topic b) is in no log, and offset 1 of its input is committed", "P1: record 9 (host 1, topic b) is in no log, and offset 1 of its input is committed"}},
	{"records without their offset", func(s *story) { s.both(s.input(0, Unknown), in(5)) }, []string{
		"P4: record 8 (host 1, topic b) is visible, and offset 1 of its input is not committed, but 0", "P4: record 9 (host 1, topic b) is visible, and offset 1 of its input is not committed, but 0"}},
	{"told to be committed, and aborted", func(s *story) { s.both(s.input(0, OK), aborted) }, []string{
		"P6: client 3 was told that its transaction of input 0 was committed: true, and its group has offset 0"}},
	{"told to be aborted, and committed", func(s *story) { s.both(s.input(1, Refused), in(5)) }, []string{
		"P6: client 3 was told that its transaction of input 0 was committed: false, and its group has offset 1"}},
	{"with another timestamp", func(s *story) {
		s.both(s.input(1, OK), in(5), func(e *Entry) { e.Timestamp = 701 })
	}, []string{"P5: b-0 at 1: record 8 (host 1, topic b) has timestamp 701, sent with 700", "P5: b-0 at 2: record 9 (host 1, topic b) has timestamp 701, sent with 700"}},
}
