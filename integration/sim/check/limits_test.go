package check

import "testing"

func TestMemoryDiskAndRequestsUnderWayStayWithinTheirLimits(t *testing.T) { run(t, limits) }

func sampledWith(more func(*Sample)) func(*story) {
	return func(s *story) { s.sampled(1, more) }
}

var limits = []chapter{
	{"more on the disk than is allowed", sampledWith(func(x *Sample) { x.Bytes = 101 }),
		[]string{"P8: host 1 at 1000 ms: 101 bytes on the disk, the limit is 100"}},
	{"more batches in memory than are allowed", sampledWith(func(x *Sample) { x.Buffer = 91 }),
		[]string{"P8: host 1 at 1000 ms: 91 bytes of batches in memory, the limit is 90"}},
	{"more requests in flight than are allowed", sampledWith(func(x *Sample) { x.InFlight = 6 }),
		[]string{"P8: host 1 at 1000 ms: 6 Produce requests in flight on one connection, the limit is 5"}},
	{"more batches of a partition in flight than are allowed", sampledWith(func(x *Sample) { x.Unanswered = 5 }),
		[]string{"P8: host 1 at 1000 ms: 5 batches of one partition in flight, the limit is 4"}},
	{"as much of everything as is allowed", func(s *story) { s.sampled(1) }, nil},
}

func TestWhatCanLeaveDoesAndNobodySpins(t *testing.T) { run(t, lives) }

// many tells one event more often than once.
func (s *story) many(n int, e Event) {
	for range n {
		s.tell(e)
		s.at = 1000
	}
}

var lives = []chapter{
	{"records that have not left when all was waited for", func(s *story) {
		s.pending(s.spooled(1, "b"))
		s.pending(s.spooled(1, "b"))
		s.h.Quiet = -1
	}, []string{"P9: host 1: 2 records have not left long after the last fault, the first of them record 8 (host 1, topic b)"}},
	{"a record that has not left though all was quiet", func(s *story) {
		s.pending(s.spooled(0, "a"))
	}, []string{"P9: host 0: 1 records have not left long after the last fault, the first of them record 8 (host 0, topic a)"}},
	{"records that have not left of a host that stopped: somebody else has no answer", func(s *story) {
		s.pending(s.spooled(1, "b"))
		s.h.Hosted[1].Stopped = true
		s.h.Quiet = -1
	}, []string{"P9: requests are not answered long after the last fault"}},
	{"requests that have no answer when all was waited for", func(s *story) { s.h.Quiet = -1 },
		[]string{"P9: requests are not answered long after the last fault"}},
	{"quiet from the first ms on", func(s *story) { s.h.Quiet = 0 }, nil},
	{"parked for what no fault calls for", func(s *story) {
		s.h.Parks = []Park{{Host: 1, Topic: "b", Partition: 0, Reason: "the broker forgot"}}
	}, []string{"P9: host 1: b-0 is parked (the broker forgot), and no fault calls for that"}},
	{"parked for what a fault calls for", func(s *story) {
		s.h.Parks = []Park{{Host: 1, Topic: "b", Partition: 0, Reason: "the topic was deleted"}}
	}, nil},
	{"2001 requests at once", func(s *story) { s.many(1, Event{Kind: Sent, Host: 1, N: maxRequests + 1}) },
		[]string{"P9: host 1 made 2001 requests within 100 ms, at 1000 ms: it spins"}},
	{"2001 requests, the last of them within the window", func(s *story) {
		s.many(1, Event{Kind: Sent, Host: 1, N: maxRequests})
		s.at = 1100
		s.tell(Event{Kind: Sent, Host: 1, N: 1})
	}, []string{"P9: host 1 made 2001 requests within 100 ms, at 1100 ms: it spins"}},
	{"2001 requests, the last of them later", func(s *story) {
		s.many(1, Event{Kind: Sent, Host: 1, N: maxRequests})
		s.at = 1101
		s.tell(Event{Kind: Sent, Host: 1, N: 1})
	}, nil},
	{"2001 requests of two hosts", func(s *story) {
		s.tell(Event{Kind: Sent, Host: 0, N: 1})
		s.tell(Event{Kind: Sent, Host: 1, N: maxRequests})
	}, nil},
	{"4002 requests in one window: told twice", func(s *story) {
		s.many(2, Event{Kind: Sent, Host: 1, N: maxRequests + 1})
	}, []string{
		"P9: host 1 made 2001 requests within 100 ms, at 1000 ms: it spins",
		"P9: host 1 made 2001 requests within 100 ms, at 1000 ms: it spins",
	}},
	{"6001 alarms at once", func(s *story) { s.many(maxAlarms+1, Event{Kind: Woken, Host: 1}) },
		[]string{"P9: host 1 had itself woken 6001 times within 60000 ms, at 1000 ms: it spins"}},
	{"6001 alarms, the last of them within the window", func(s *story) {
		s.at = 70_000
		s.tell(Event{Kind: Woken, Host: 1}) // its window begins here
		for range maxAlarms - 1 {
			s.at = 70_000
			s.tell(Event{Kind: Woken, Host: 1})
		}
		s.at = 130_000
		s.tell(Event{Kind: Woken, Host: 1})
	}, []string{"P9: host 1 had itself woken 6001 times within 60000 ms, at 130000 ms: it spins"}},
	{"6001 alarms, the last of them later", func(s *story) {
		s.many(maxAlarms, Event{Kind: Woken, Host: 1})
		s.at = 61_001
		s.tell(Event{Kind: Woken, Host: 1})
	}, nil},
	{"6000 alarms and 2000 requests", func(s *story) {
		s.many(maxAlarms, Event{Kind: Woken, Host: 1})
		s.tell(Event{Kind: Sent, Host: 1, N: maxRequests})
	}, nil},
}

func TestAProcessWhoseDiskHasFailedTellsNobodyOKAndEnds(t *testing.T) { run(t, stops) }

// failed is a disk that fails: its process ends, and another begins.
func (s *story) failed(host int) {
	s.tell(Event{Kind: Broken, Host: host})
	s.tell(Event{Kind: Ended, Host: host, Result: Poison, Text: "the disk failed"})
	s.tell(Event{Kind: Began, Host: host})
}

var stops = []chapter{
	{"ok from a process whose disk has failed", func(s *story) {
		r := s.sent(1, "b")
		s.durable(r)
		s.tell(Event{Kind: Broken, Host: 1})
		s.answered(r, OK)
		s.tell(Event{Kind: Ended, Host: 1, Result: Poison})
		s.delivered(r, 0)
	}, []string{`P10: host 1 told request 8 "ok" after its disk had failed`}},
	{"ok from a process while the disk of another host has failed", func(s *story) {
		s.tell(Event{Kind: Broken, Host: 0})
		s.delivered(s.spooled(1, "b"), 0)
		s.tell(Event{Kind: Ended, Host: 0, Result: Poison})
	}, nil},
	{"unknown from a process whose disk has failed", func(s *story) {
		r := s.sent(1, "b")
		s.tell(Event{Kind: Broken, Host: 1})
		s.answered(r, Unknown)
		s.tell(Event{Kind: Ended, Host: 1, Result: Poison})
	}, nil},
	{"ok from the process after the one whose disk has failed", func(s *story) {
		s.failed(1)
		s.delivered(s.spooled(1, "b"), 0)
	}, nil},
	{"a process that panicked", func(s *story) {
		s.tell(Event{Kind: Ended, Host: 1, Result: Bug, Text: "index out of range"})
	}, []string{"P10: the process of host 1 ended at 1000 ms: index out of range"}},
	{"a process that ended as it should, and its disk had failed", func(s *story) {
		s.tell(Event{Kind: Broken, Host: 1})
		s.tell(Event{Kind: Ended, Host: 1, Result: Stopped, Text: "stopped"})
	}, []string{"P10: the process of host 1 ended at 1001 ms as if its disk had not failed: stopped"}},
	{"a process that panicked after its disk had failed: told once", func(s *story) {
		s.tell(Event{Kind: Broken, Host: 1})
		s.tell(Event{Kind: Ended, Host: 1, Result: Bug, Text: "index out of range"})
	}, []string{"P10: the process of host 1 ended at 1001 ms: index out of range"}},
	{"a process that was killed after its disk had failed", func(s *story) {
		s.tell(Event{Kind: Broken, Host: 1})
		s.tell(Event{Kind: Ended, Host: 1, Result: Killed, Text: "power cut"})
	}, nil},
	{"a process that ended for its disk, which had not failed", func(s *story) {
		s.tell(Event{Kind: Broken, Host: 0})
		s.tell(Event{Kind: Ended, Host: 0, Result: Poison, Text: "the disk failed"})
		s.tell(Event{Kind: Ended, Host: 1, Result: Poison, Text: "the disk failed"})
	}, []string{"P10: the process of host 1 ended at 1002 ms for its disk, which had not failed: the disk failed"}},
	{"a process that ended twice for its disk, which failed once", func(s *story) {
		s.failed(1)
		s.stopped(1, Poison, "the disk failed")
	}, []string{"P10: the process of host 1 ended at 1003 ms for its disk, which had not failed: the disk failed"}},
	{"a process that was killed", func(s *story) {
		s.tell(Event{Kind: Ended, Host: 1, Result: Killed, Text: "killed"})
	}, nil},
}

func TestAProcessThatLivesOnAfterItsDiskHasFailedIsSeen(t *testing.T) {
	s := ordinaryDay()
	s.at = 1000
	s.tell(Event{Kind: Broken, Host: 1})
	want := Violation{"P10", "the process of host 1 lives on after its disk had failed at 1000 ms"}
	if got := Check(s.h); len(got) != 1 || got[0] != want {
		t.Errorf("the checker says %v, want %v", got, want)
	}
}

func TestAProcessStopsOnlyForAnotherClusterOrAsACopy(t *testing.T) { run(t, copies) }

func (s *story) stopped(host int, as Result, text string) {
	s.tell(Event{Kind: Ended, Host: host, Result: as, Text: text})
	s.tell(Event{Kind: Began, Host: host})
}

var copies = []chapter{
	{"led to another cluster, and not noticed", func(s *story) {
		s.tell(Event{Kind: Moved, Host: 1})
		s.tell(Event{Kind: Moved, Host: 1, N: 1})
	}, []string{"P11: host 1 was led to another cluster, and has not noticed at 1001 ms"}},
	{"led to another cluster, and noticed", func(s *story) {
		s.tell(Event{Kind: Moved, Host: 1})
		s.stopped(1, Foreign, "another cluster")
	}, nil},
	{"led to another cluster, and killed before it noticed", func(s *story) {
		s.tell(Event{Kind: Moved, Host: 1})
		s.stopped(1, Killed, "led back")
	}, nil},
	{"stopped for another cluster, and led to none", func(s *story) {
		s.stopped(1, Foreign, "another cluster")
	}, []string{"P11: host 1 stopped for no reason at 1000 ms: another cluster"}},
	{"stopped for another cluster after it was led back", func(s *story) {
		s.tell(Event{Kind: Moved, Host: 1})
		s.stopped(1, Killed, "led back")
		s.stopped(1, Foreign, "another cluster")
	}, []string{"P11: host 1 stopped for no reason at 1003 ms: another cluster"}},
	{"stopped for another cluster, and another host was led to it", func(s *story) {
		s.tell(Event{Kind: Moved, Host: 0})
		s.stopped(1, Foreign, "another cluster")
	}, []string{"P11: host 1 stopped for no reason at 1001 ms: another cluster"}},
	{"stopped for being a copy, and it is none", func(s *story) {
		s.stopped(1, Copied, "a copy")
	}, []string{"P11: host 1 stopped for no reason at 1000 ms: a copy"}},
	{"stopped for being a copy, and only led to another cluster", func(s *story) {
		s.tell(Event{Kind: Moved, Host: 1})
		s.stopped(1, Copied, "a copy")
	}, []string{"P11: host 1 stopped for no reason at 1001 ms: a copy"}},
	{"stopped for being a copy, and another host's disk was put back", func(s *story) {
		s.tell(Event{Kind: Restored, Host: 0})
		s.stopped(1, Copied, "a copy")
	}, []string{"P11: host 1 stopped for no reason at 1001 ms: a copy"}},
	{"stopped for being a copy, after its disk was put back and it was killed once", func(s *story) {
		s.tell(Event{Kind: Restored, Host: 1})
		s.stopped(1, Killed, "killed")
		s.stopped(1, Copied, "a copy")
	}, nil},
}

func TestADiskCountsWhatItHoldsAtEveryCommit(t *testing.T) { run(t, counts) }

const counted = "P12: host 1 at 1000 ms counts "

// The ordinary day left host 1 with three records: one acked in a, one in b, one expired.
var counts = []chapter{
	{"one more accepted", sampledWith(func(x *Sample) { x.Accepted++ }),
		[]string{counted + "accepted 4, acked 2, dead-lettered 0, expired 1; its disk holds 3, 2, 0, 1"}},
	{"one less acked", sampledWith(func(x *Sample) { x.Acked-- }),
		[]string{counted + "accepted 3, acked 1, dead-lettered 0, expired 1; its disk holds 3, 2, 0, 1"}},
	{"one more dead-lettered", sampledWith(func(x *Sample) { x.DeadLettered++ }),
		[]string{counted + "accepted 3, acked 2, dead-lettered 1, expired 1; its disk holds 3, 2, 0, 1"}},
	{"one less expired", sampledWith(func(x *Sample) { x.Expired-- }),
		[]string{counted + "accepted 3, acked 2, dead-lettered 0, expired 0; its disk holds 3, 2, 0, 1"}},
	{"a record that left twice", func(s *story) {
		r := s.spooled(1, "b")
		s.delivered(r, 0)
		s.settled(r, OutcomeAcked)
	}, []string{"P12: record 8 (host 1, topic b) left its spool a second time at 1005 ms"}},
	{"a record that left before it was there", func(s *story) {
		r := s.sent(1, "b")
		s.settled(r, OutcomeExpired)
		s.durable(r)
	}, []string{"P12: record 8 (host 1, topic b) left its spool at 1001 ms and was not there"}},
	{"a record that left after it was undone", func(s *story) {
		r := s.spooled(1, "b")
		s.undone(r)
		s.settled(r, OutcomeExpired)
	}, []string{"P12: record 8 (host 1, topic b) left its spool at 1004 ms and was not there"}},
	{"a record that left again after its disk was put back", func(s *story) {
		r := s.spooled(1, "b")
		s.delivered(r, 0)
		s.back(r)
		s.settled(r, OutcomeAcked)
	}, nil},
	{"a record that has left and is in its spool", func(s *story) {
		s.h.Hosted[1].Stopped = true
		r := s.spooled(1, "b")
		s.delivered(r, 0)
		s.pending(r)
	}, []string{"P12: record 8 (host 1, topic b) has left and is still in its spool"}},
	{"a record that is in its spool twice at the end", func(s *story) {
		s.h.Hosted[1].Stopped = true
		r := s.spooled(1, "b")
		s.pending(r)
		s.pending(r)
	}, []string{"P12: record 8 (host 1, topic b) is in its spool twice at the end"}},
	{"a record in a spool where it was never durable", func(s *story) {
		s.h.Hosted[1].Stopped = true
		s.pending(s.sent(1, "b"))
	}, []string{"P12: record 8 (host 1, topic b) is in the spool of host 1 and was not put there"}},
	{"a record in a spool after it was undone", func(s *story) {
		s.h.Hosted[1].Stopped = true
		r := s.spooled(1, "b")
		s.undone(r)
		s.pending(r)
	}, []string{"P12: record 8 (host 1, topic b) is in the spool of host 1 and was not put there"}},
	{"a dead letter of a record that was acked", func(s *story) {
		r := s.spooled(1, "b")
		s.delivered(r, 0)
		s.h.Dead = append(s.h.Dead, Dead{Host: 1, Record: r})
	}, []string{"P12: record 8 (host 1, topic b) is among the dead letters of host 1 and did not leave as one"}},
	{"each outcome, undone and put back", func(s *story) {
		acked, dead, expired, twice := s.spooled(1, "b"), s.spooled(1, "b"), s.spooled(1, "b"), s.spooled(1, "b")
		s.delivered(acked, 0)
		s.dead(dead)
		s.settled(expired, OutcomeExpired)
		s.sampled(1)
		s.undone(expired)
		s.sampled(1)
		s.back(dead)
		s.sampled(1)
		s.settled(dead, OutcomeDead)
		s.undone(twice)
		s.sampled(1)
		s.durable(twice)
		s.sampled(1)
		s.settled(twice, OutcomeExpired)
		s.undone(acked)
		s.sampled(1)
		s.durable(acked)
		s.settled(acked, OutcomeAcked)
	}, nil},
}
