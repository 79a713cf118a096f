package check

import "testing"

func TestAnswersAreTrue(t *testing.T) { run(t, answers) }

var answers = []chapter{
	{"ok before the sync", func(s *story) {
		r := s.sent(1, "b")
		s.answered(r, OK)
		s.durable(r)
		s.delivered(r, 0)
	}, []string{`P6: the client of record 8 (host 1, topic b) was told "ok" at 1001 ms, before it was on the disk`}},
	{"ok when only the first of two is on the disk", func(s *story) {
		r := s.sentMany(1, "b", 2)
		s.durable(r)
		s.answered(r, OK)
		s.durable(r + 1)
		s.delivered(r, 0)
		s.delivered(r+1, 0)
	}, []string{`P6: the client of record 9 (host 1, topic b) was told "ok" at 1002 ms, before it was on the disk`}},
	{"ok when none of three is: told once", func(s *story) {
		s.answered(s.sentMany(1, "b", 3), OK)
	}, []string{`P6: the client of record 8 (host 1, topic b) was told "ok" at 1001 ms, before it was on the disk`}},
	{"ok when it was on the disk of a day that was undone", func(s *story) {
		r := s.sent(1, "b")
		s.durable(r)
		s.undone(r)
		s.answered(r, OK)
	}, []string{`P6: the client of record 8 (host 1, topic b) was told "ok" at 1003 ms, before it was on the disk`}},
	{"ok for the second attempt, of what the first has stored", func(s *story) {
		r := s.sent(1, "b")
		s.durable(r)
		s.asked(r)
		s.answered(r, OK)
		s.delivered(r, 0)
	}, nil},
	{"refused, and it is on the disk", func(s *story) {
		r := s.sent(1, "b")
		s.durable(r)
		s.answered(r, Refused)
		s.delivered(r, 0)
	}, []string{"P6: the client of record 8 (host 1, topic b) was told that nothing is stored, and it is"}},
	{"refused, and a part of it came onto the disk later", func(s *story) {
		r := s.sentMany(1, "b", 2)
		s.answered(r, Refused)
		s.durable(r)
		s.durable(r + 1)
		s.delivered(r, 0)
		s.delivered(r+1, 0)
	}, []string{"P6: the client of record 8 (host 1, topic b) was told that nothing is stored, and it is"}},
	{"refused, and it is in a log: it never was on the disk either", func(s *story) {
		r := s.sent(1, "b")
		s.answered(r, Refused)
		s.appended(r, 0)
	}, []string{
		"P5: b-0 at 1: record 8 (host 1, topic b) is there and never was on its host's disk",
		"P6: the client of record 8 (host 1, topic b) was told that nothing is stored, and it is",
	}},
	{"refused, and it is among the dead letters", func(s *story) {
		r := s.sent(1, "b")
		s.answered(r, Refused)
		s.durable(r)
		s.dead(r)
	}, []string{"P6: the client of record 8 (host 1, topic b) was told that nothing is stored, and it is"}},
	{"not answered, and that it was asked for is not told either", func(s *story) {
		r := s.sent(1, "b")
		s.h.Events = s.h.Events[:len(s.h.Events)-1]
		s.durable(r)
		s.delivered(r, 0)
	}, nil},
	{"both attempts refused, and it is on the disk", func(s *story) {
		r := s.sent(1, "b")
		s.answered(r, Refused)
		s.asked(r)
		s.durable(r)
		s.answered(r, Refused)
		s.delivered(r, 0)
	}, []string{"P6: the client of record 8 (host 1, topic b) was told that nothing is stored, and it is"}},
	{"one attempt refused, and what the other stored is on the disk", func(s *story) {
		r := s.sent(1, "b")
		s.asked(r)
		s.answered(r, Refused)
		s.durable(r)
		s.delivered(r, 0)
	}, nil},
	{"its key was others', and it is on the disk", func(s *story) {
		r := s.sent(1, "b")
		s.op(r).Foreign = true
		s.durable(r)
		s.answered(r, Reused)
		s.delivered(r, 0)
	}, []string{"P6: the client of record 8 (host 1, topic b) was told that nothing is stored, and it is"}},
	{"unknown, and it is on the disk", func(s *story) {
		r := s.sent(1, "b")
		s.answered(r, Unknown)
		s.durable(r)
		s.delivered(r, 0)
	}, nil},
	{"acked at an offset where it is not", func(s *story) {
		r := s.spooled(1, "b")
		s.appended(r, 0)
		s.acked(r, 0, 2)
		s.settled(r, OutcomeAcked)
	}, []string{"P6: record 8 (host 1, topic b) was told to be acked on partition 0 at 2, and is not there"}},
	{"acked on a partition where it is not", func(s *story) {
		r := s.spooled(0, "a")
		s.appended(r, 1)
		s.acked(r, 0, 1)
		s.settled(r, OutcomeAcked)
	}, []string{"P6: record 8 (host 0, topic a) was told to be acked on partition 0 at 1, and is not there"}},
	{"acked at the first offset, where another is", func(s *story) {
		r := s.spooled(1, "b")
		s.appended(r, 0)
		s.acked(r, 0, 0)
		s.settled(r, OutcomeAcked)
	}, []string{"P6: record 8 (host 1, topic b) was told to be acked on partition 0 at 0, and is not there"}},
	{"acked at a place that is not known", func(s *story) {
		r := s.spooled(1, "b")
		s.appended(r, 0)
		s.acked(r, 0, -1)
		s.settled(r, OutcomeAcked)
	}, nil},
	{"acked at a place that is not known, before it came into a log", func(s *story) {
		r := s.spooled(1, "b")
		s.acked(r, 0, -1)
		s.delivered(r, 0)
	}, nil},
	{"acked at a place that is not known, and in no log", func(s *story) {
		s.h.Hosted[1].Stopped = true
		r := s.spooled(1, "b")
		s.acked(r, 0, -1)
		s.pending(r)
	}, []string{"P6: record 8 (host 1, topic b) was told to be acked, and is in no log"}},
	{"expired and in a log", func(s *story) {
		r := s.spooled(1, "b")
		s.appended(r, 0)
		s.settled(r, OutcomeExpired)
	}, []string{"P6: record 8 (host 1, topic b) has expired and is in b-0 at 1"}},
	{"expired and in a log that was deleted", func(s *story) {
		r := s.spooled(1, "b")
		s.appended(r, 0)
		s.settled(r, OutcomeExpired)
		s.log("b", 0).Deleted = true
	}, nil},
	{"expired and in a log, of a disk that was put back to a day before it", func(s *story) {
		r := s.spooled(1, "b")
		s.delivered(r, 0)
		s.undone(r)
		s.durable(r)
		s.settled(r, OutcomeExpired)
	}, nil},
	{"acked in a log that was deleted", func(s *story) {
		s.delivered(s.spooled(1, "b"), 0)
		s.log("b", 0).Deleted = true
	}, nil},
}

func TestARequestIsStoredOnceAndWholly(t *testing.T) { run(t, keys) }

var keys = []chapter{
	{"twice in its spool", func(s *story) {
		r := s.spooled(1, "b")
		s.durable(r)
		s.delivered(r, 0)
	}, []string{"P7: record 8 (host 1, topic b) is in its spool twice, the second time at 2"}},
	{"twice in its spool, and what is in the log is the first", func(s *story) {
		r, last := s.spooled(1, "b"), s.spooled(1, "b")
		s.durableWith(r, 600)
		s.delivered(r, 0)
		s.delivered(last, 0)
	}, []string{"P7: record 8 (host 1, topic b) is in its spool twice, the second time at 3"}},
	{"twice in its spool, and each left it", func(s *story) {
		r := s.spooled(1, "b")
		s.delivered(r, 0)
		s.durable(r)
		s.settled(r, OutcomeAcked)
	}, []string{"P7: record 8 (host 1, topic b) is in its spool twice, the second time at 2"}},
	{"twice in its spool, and the first was undone with the disk", func(s *story) {
		r := s.spooled(1, "b")
		s.undone(r)
		s.durable(r)
		s.delivered(r, 0)
	}, nil},
	{"twice in its spool after it was undone", func(s *story) {
		r := s.spooled(1, "b")
		s.undone(r)
		s.durable(r)
		s.durable(r)
		s.delivered(r, 0)
	}, []string{"P7: record 8 (host 1, topic b) is in its spool twice, the second time at 3"}},
	{"taken under a key that was others'", func(s *story) {
		r := s.spooled(1, "b")
		s.op(r).Foreign = true
		s.delivered(r, 0)
	}, []string{"P7: request 8 has a key that was used for others, and was taken"}},
	{"refused for a key that was nobody's", func(s *story) {
		s.answered(s.sent(1, "b"), Reused)
	}, []string{"P7: request 8 was told that its key was used for others, and it was not"}},
	{"refused for a key that was nobody's, and another host's disk was put back", func(s *story) {
		s.tell(Event{Kind: Restored, Host: 0})
		s.answered(s.sent(1, "b"), Reused)
	}, []string{"P7: request 8 was told that its key was used for others, and it was not"}},
	{"refused for a key of which nobody knows, since the disk was put back", func(s *story) {
		s.answered(s.sent(1, "b"), Reused)
		s.tell(Event{Kind: Restored, Host: 1})
	}, nil},
	{"refused under a key that was others'", func(s *story) {
		r := s.sent(1, "b")
		s.op(r).Foreign = true
		s.answered(r, Reused)
	}, nil},
	{"in the spool but for its last record", func(s *story) {
		r := s.sentMany(1, "b", 2)
		s.durable(r)
		s.answered(r, Unknown)
		s.delivered(r, 0)
	}, []string{"P7: request 8 is in the spool in part"}},
	{"in the spool but for its first record", func(s *story) {
		r := s.sentMany(1, "b", 2)
		s.durable(r + 1)
		s.answered(r, Unknown)
		s.delivered(r+1, 0)
	}, []string{"P7: request 8 is in the spool in part"}},
}
