package check

import (
	"slices"
	"strings"
	"testing"
)

func TestAnOrdinaryDayBreaksNoLaw(t *testing.T) {
	run(t, []chapter{{"nothing more", func(*story) {}, nil}})
}

func TestAHistoryOfNothingBreaksNoLaw(t *testing.T) {
	if got := Check(&History{}); len(got) != 0 {
		t.Errorf("the checker says %v", got)
	}
}

func TestEveryLawIsBrokenBySomeChapter(t *testing.T) {
	all := slices.Concat(losses, duplicates, orders, units, inventions, answers, keys, limits, lives, stops, copies, counts)
	for _, law := range Laws {
		name, _, _ := strings.Cut(law.Name, " ")
		if !slices.ContainsFunc(all, func(c chapter) bool { return len(c.want) == 1 && strings.HasPrefix(c.want[0], name+": ") }) {
			t.Errorf("no chapter breaks %q and nothing else", law.Name)
		}
	}
}

func TestOfEachLawNoMoreThanThreeViolationsAreTold(t *testing.T) {
	got := told(func(s *story) {
		for range 4 {
			s.settled(s.spooled(0, "a"), OutcomeAcked)
		}
		s.undone(s.spooled(1, "b"))
		s.answered(s.sent(1, "b"), OK)
	})
	want := []string{
		"P1: record 8 (host 0, topic a) was settled as acked and is in no log",
		"P1: record 9 (host 0, topic a) was settled as acked and is in no log",
		"P1: record 10 (host 0, topic a) was settled as acked and is in no log",
		`P6: the client of record 13 (host 1, topic b) was told "ok" at 1021 ms, before it was on the disk`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("the checker says %q, want %q", got, want)
	}
}

func TestASpooledRecordIsInALogOrADeadLetterOrStillThere(t *testing.T) { run(t, losses) }

var losses = []chapter{
	{"settled as acked and in no log", func(s *story) {
		s.settled(s.spooled(0, "a"), OutcomeAcked)
	}, []string{"P1: record 8 (host 0, topic a) was settled as acked and is in no log"}},
	{"settled as acked and only in a log that was deleted", func(s *story) {
		s.delivered(s.spooled(1, "b"), 0)
		s.log("b", 0).Deleted = true
	}, nil},
	{"settled as dead-lettered and in no dead letter", func(s *story) {
		s.settled(s.spooled(0, "a"), OutcomeDead)
	}, []string{"P1: record 8 (host 0, topic a) was settled as dead-lettered and is not among the dead letters"}},
	{"not left and not in its spool", func(s *story) {
		s.spooled(1, "b")
	}, []string{"P1: record 8 (host 1, topic b) was durable, has not left and is not in its spool"}},
	{"not left and in the spool of a host that stopped", func(s *story) {
		s.h.Hosted[1].Stopped = true
		s.pending(s.spooled(1, "b"))
	}, nil},
	{"in a log, and neither left nor in its spool", func(s *story) {
		s.appended(s.spooled(1, "b"), 0)
	}, []string{"P1: record 8 (host 1, topic b) was durable, has not left and is not in its spool"}},
	{"never durable, and nowhere", func(s *story) {
		s.answered(s.sent(1, "b"), Unknown)
	}, nil},
	{"undone with the disk, and nowhere", func(s *story) {
		s.undone(s.spooled(1, "b"))
	}, nil},
	{"undone with the disk and all that became of it", func(s *story) {
		r := s.spooled(1, "b")
		s.dead(r)
		s.undone(r)
		s.h.Dead = s.h.Dead[:len(s.h.Dead)-1]
	}, nil},
	{"undone, spooled again and then lost", func(s *story) {
		r := s.spooled(1, "b")
		s.delivered(r, 0)
		s.undone(r)
		s.durable(r)
	}, []string{"P1: record 8 (host 1, topic b) was durable, has not left and is not in its spool"}},
	{"put back into the spool and then lost", func(s *story) {
		r := s.spooled(1, "b")
		s.delivered(r, 0)
		s.back(r)
	}, []string{"P1: record 8 (host 1, topic b) was durable, has not left and is not in its spool"}},
}

func TestNoRecordIsInTheLogsTwice(t *testing.T) { run(t, duplicates) }

var duplicates = []chapter{
	{"twice in one log", func(s *story) {
		r := s.spooled(1, "b")
		s.appended(r, 0)
		s.delivered(r, 0)
	}, []string{"P2: record 8 (host 1, topic b) is in the logs 2 times: b-0 at 1 and b-0 at 2"}},
	{"three times in two logs", func(s *story) {
		r := s.spooled(0, "a")
		s.delivered(r, 1)
		s.appended(r, 1)
		s.appended(r, 0)
	}, []string{"P2: record 8 (host 0, topic a) is in the logs 3 times: a-0 at 3 and a-1 at 1"}},
	{"in the logs of two topics: one of them nobody asked for", func(s *story) {
		r := s.spooled(1, "b")
		s.delivered(r, 0)
		s.h.Logs = append(s.h.Logs, Log{Topic: "c", Entries: []Entry{{Offset: 7, Timestamp: 500, Value: []byte("v8"), Record: r}}})
	}, []string{
		"P2: record 8 (host 1, topic b) is in the logs 2 times: b-0 at 1 and c-0 at 7",
		"P5: c-0 at 7: record 8 (host 1, topic b) was sent to another topic",
	}},
	{"dead-lettered and in a log", func(s *story) {
		r := s.spooled(1, "b")
		s.appended(r, 0)
		s.dead(r)
	}, []string{"P2: record 8 (host 1, topic b) was dead-lettered and is in b-0 at 1"}},
	{"once in a log that was deleted and once in the new one", func(s *story) {
		r := s.spooled(1, "b")
		s.appended(r, 0)
		s.log("b", 0).Deleted = true
		s.delivered(r, 0)
	}, nil},
	{"dead-lettered and in a log that was deleted", func(s *story) {
		r := s.spooled(1, "b")
		s.appended(r, 0)
		s.log("b", 0).Deleted = true
		s.dead(r)
	}, nil},
	{"twice, of a disk that was put back to a day before it", func(s *story) {
		r := s.spooled(1, "b")
		s.delivered(r, 0)
		s.undone(r)
		s.durable(r)
		s.answered(r, OK)
		s.delivered(r, 0)
	}, nil},
	{"dead-lettered and in a log, of a disk that was put back to a day before it", func(s *story) {
		r := s.spooled(1, "b")
		s.delivered(r, 0)
		s.undone(r)
		s.durable(r)
		s.dead(r)
	}, nil},
	{"twice, sent again by a copy that did not notice what it is", func(s *story) {
		r := s.spooled(1, "b")
		s.delivered(r, 0)
		s.back(r)
		s.delivered(r, 0)
	}, []string{"P2: record 8 (host 1, topic b) is in the logs 2 times: b-0 at 1 and b-0 at 2"}},
	{"twice, sent again by a copy that said that it could not look", func(s *story) {
		r := s.spooled(1, "b")
		s.delivered(r, 0)
		s.back(r)
		s.tell(Event{Kind: Unchecked, Host: 1})
		s.delivered(r, 0)
	}, nil},
	{"twice, sent again by a copy, and another host could not look", func(s *story) {
		r := s.spooled(1, "b")
		s.delivered(r, 0)
		s.back(r)
		s.tell(Event{Kind: Unchecked, Host: 0})
		s.delivered(r, 0)
	}, []string{"P2: record 8 (host 1, topic b) is in the logs 2 times: b-0 at 1 and b-0 at 2"}},
	{"twice, sent again by a copy that did not notice, and a later copy could not look", func(s *story) {
		r := s.spooled(1, "b")
		s.delivered(r, 0)
		s.back(r)
		s.delivered(r, 0)
		s.tell(Event{Kind: Unchecked, Host: 1})
	}, []string{"P2: record 8 (host 1, topic b) is in the logs 2 times: b-0 at 1 and b-0 at 2"}},
	{"twice, sent again by a copy, and its host could not look before that day", func(s *story) {
		r := s.spooled(1, "b")
		s.delivered(r, 0)
		s.tell(Event{Kind: Unchecked, Host: 1})
		s.back(r)
		s.delivered(r, 0)
	}, []string{"P2: record 8 (host 1, topic b) is in the logs 2 times: b-0 at 1 and b-0 at 2"}},
}

func TestAPartitionIsInTheOrderOfEachSpool(t *testing.T) { run(t, orders) }

// swapped has two records of host 1 stand in b-0 in the wrong order.
func swapped(s *story) (first, second int) {
	first, second = s.spooled(1, "b"), s.spooled(1, "b")
	s.delivered(second, 0)
	s.delivered(first, 0)
	return first, second
}

var orders = []chapter{
	{"the later of two stands first", func(s *story) { swapped(s) },
		[]string{"P3: b-0: record 8 (host 1, topic b), number 1 of its spool, stands at 2 behind record 9 (host 1, topic b), number 2"}},
	{"an earlier one stands behind a later one, and one of another host between them", func(s *story) {
		r, other := s.spooled(1, "b"), s.spooled(0, "b")
		last := s.spooled(1, "b")
		s.delivered(last, 0)
		s.delivered(other, 0)
		s.delivered(r, 0)
	}, []string{"P3: b-0: record 8 (host 1, topic b), number 1 of its spool, stands at 3 behind record 10 (host 1, topic b), number 2"}},
	{"two that claim one place in their spool", func(s *story) {
		r := s.spooled(1, "b")
		s.index["1b"] = 1
		s.delivered(r, 0)
		s.delivered(s.spooled(1, "b"), 0)
	}, []string{"P3: b-0: record 9 (host 1, topic b), number 1 of its spool, stands at 2 behind record 8 (host 1, topic b), number 1"}},
	{"the very first record stands behind the second", func(s *story) {
		*s = *beginning()
		swapped(s)
	}, []string{"P3: b-0: record 0 (host 1, topic b), number 0 of its spool, stands at 1 behind record 1 (host 1, topic b), number 1"}},
	{"the very first record stands first, and has a later place in its spool", func(s *story) {
		*s = *beginning()
		s.index["1b"] = 5
		r := s.spooled(1, "b")
		s.index["1b"] = 0
		s.delivered(r, 0)
		s.delivered(s.spooled(1, "b"), 0)
	}, []string{"P3: b-0: record 1 (host 1, topic b), number 0 of its spool, stands at 1 behind record 0 (host 1, topic b), number 5"}},
	{"the later of two stands first, in another partition", func(s *story) {
		r, last := s.spooled(0, "a"), s.spooled(0, "a")
		s.delivered(last, 1)
		s.delivered(r, 0)
	}, nil},
	{"the later stands first, of two hosts", func(s *story) {
		r, last := s.spooled(1, "b"), s.spooled(0, "b")
		s.delivered(last, 0)
		s.delivered(r, 0)
	}, nil},
	{"the later of two stands first in a log that was deleted", func(s *story) {
		swapped(s)
		s.log("b", 0).Deleted = true
	}, nil},
	{"the later of two stands first in a topic that was created anew where Produce goes by name", func(s *story) {
		swapped(s)
		s.h.Reborn["b"] = true
	}, nil},
	{"the later of two stands first, and another topic was created anew", func(s *story) {
		swapped(s)
		s.h.Reborn["a"] = true
	}, []string{"P3: b-0: record 8 (host 1, topic b), number 1 of its spool, stands at 2 behind record 9 (host 1, topic b), number 2"}},
	{"what was undone and sent again stands where it likes", func(s *story) {
		r := s.spooled(1, "b")
		s.undone(r)
		last := s.spooled(1, "b")
		s.durable(r)
		s.delivered(r, 0)
		s.delivered(last, 0)
	}, nil},
}
