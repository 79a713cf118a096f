package check

import "fmt"

// What is more than this is a busy loop: requests within 100 ms, alarms within a minute.
const (
	maxRequests = 2000
	maxAlarms   = 6000
)

// bounded: memory, disk and requests under way stay within their limits.
func (f *facts) bounded() (out []Violation) {
	for i := range f.h.Events {
		e := &f.h.Events[i]
		if e.Kind != Sampled {
			continue
		}
		s := e.Sample
		what := ""
		switch {
		case s.Bytes > s.MaxBytes:
			what = fmt.Sprintf("%d bytes on the disk, the limit is %d", s.Bytes, s.MaxBytes)
		case s.Overdrawn != "":
			what = s.Overdrawn
		case s.Owned > s.MaxOwned:
			what = fmt.Sprintf("the spool's files own %d bytes, the limit is %d", s.Owned, s.MaxOwned)
		case s.Buffer > s.MaxBuffer:
			what = fmt.Sprintf("%d bytes of batches in memory, the limit is %d", s.Buffer, s.MaxBuffer)
		case s.InFlight > s.MaxInFlight:
			what = fmt.Sprintf("%d Produce requests in flight on one connection, the limit is %d", s.InFlight, s.MaxInFlight)
		case s.Unanswered > s.MaxUnanswered:
			what = fmt.Sprintf("%d batches of one partition in flight, the limit is %d", s.Unanswered, s.MaxUnanswered)
		}
		if what != "" {
			out = append(out, broken("P8", "host %d at %d ms: %s", e.Host, e.At, what))
		}
	}
	return out
}

// alive: once faults have healed all that is not parked leaves; nothing is parked for no reason; nobody spins.
func (f *facts) alive() (out []Violation) {
	// Whatever Quiet says: it is told by what a host counts, and this by what its disk holds.
	for i := range f.h.Hosted {
		if n := len(f.h.Hosted[i].Pending); n > 0 && !f.h.Hosted[i].Stopped {
			out = append(out, broken("P9", "host %d: %d records have not left long after the last fault, the first of them %s", i, n, f.name(f.h.Hosted[i].Pending[0])))
		}
	}
	if f.h.Quiet < 0 && len(out) == 0 {
		out = append(out, broken("P9", "requests are not answered long after the last fault"))
	}
	for _, p := range f.h.Parks {
		if !f.h.Allowed[p.Reason] {
			out = append(out, broken("P9", "host %d: %s-%d is parked (%s), and no fault calls for that", p.Host, p.Topic, p.Partition, p.Reason))
		}
	}
	return append(out, f.spinning()...)
}

// spinning looks for hosts that ask, or have themselves woken, without end.
func (f *facts) spinning() (out []Violation) {
	type window struct {
		from int64
		n    int
	}
	asked, woken := make([]window, f.h.Hosts), make([]window, f.h.Hosts)
	more := func(w *window, e *Event, n int, length int64, most int, what string) {
		if e.At-w.from > length {
			*w = window{from: e.At}
		}
		if w.n += n; w.n > most {
			out = append(out, broken("P9", "host %d %s within %d ms, at %d ms: it spins", e.Host, fmt.Sprintf(what, w.n), length, e.At))
			w.n = 0
		}
	}
	for i := range f.h.Events {
		switch e := &f.h.Events[i]; e.Kind {
		case Sent:
			more(&asked[e.Host], e, e.N, 100, maxRequests, "made %d requests")
		case Woken:
			more(&woken[e.Host], e, 1, 60_000, maxAlarms, "had itself woken %d times")
		}
	}
	return out
}

// failStop: a process whose disk has failed tells nobody "ok", and ends; it says what it ends for.
func (f *facts) failStop() (out []Violation) {
	failed := make([]bool, f.h.Hosts)
	at := make([]int64, f.h.Hosts)
	for i := range f.h.Events {
		e := &f.h.Events[i]
		switch e.Kind {
		case Broken:
			failed[e.Host], at[e.Host] = true, e.At
		case Ended:
			switch was := failed[e.Host]; {
			case e.Result == Bug:
				out = append(out, broken("P10", "the process of host %d ended at %d ms: %s", e.Host, e.At, e.Text))
			case was && e.Result != Poison && e.Result != Killed:
				out = append(out, broken("P10", "the process of host %d ended at %d ms as if its disk had not failed: %s", e.Host, e.At, e.Text))
			case !was && e.Result == Poison:
				out = append(out, broken("P10", "the process of host %d ended at %d ms for its disk, which had not failed: %s", e.Host, e.At, e.Text))
			}
			failed[e.Host] = false
		case Answered:
			if host := f.h.Ops[e.Op].Host; failed[host] && e.Result == OK {
				out = append(out, broken("P10", "host %d told request %d \"ok\" after its disk had failed", host, e.Op))
			}
		}
	}
	for host, is := range failed {
		if is {
			out = append(out, broken("P10", "the process of host %d lives on after its disk had failed at %d ms", host, at[host]))
		}
	}
	return out
}

// copiesAreNoticed: a process that is led to another cluster shows that, or stops for it where it was told to; one stops for that, or
// for being a copy, only where it is. (That a copy which would do harm stops is what P1 and P2 show.)
func (f *facts) copiesAreNoticed() (out []Violation) {
	moved, restored := make([]bool, f.h.Hosts), make([]bool, f.h.Hosts)
	for i := range f.h.Events {
		e := &f.h.Events[i]
		switch e.Kind {
		case Restored:
			restored[e.Host] = true
		case Moved:
			if e.N == 1 {
				out = append(out, broken("P11", "host %d was led to another cluster, and has not noticed at %d ms", e.Host, e.At))
			}
			moved[e.Host] = true
		case Ended:
			if e.Result == Copied && !restored[e.Host] || e.Result == Foreign && !moved[e.Host] {
				out = append(out, broken("P11", "host %d stopped for no reason at %d ms: %s", e.Host, e.At, e.Text))
			}
			moved[e.Host] = false
		}
	}
	return out
}

// conservation: what a disk counts is what it holds, at every commit; and a record is in one place, once.
func (f *facts) conservation() (out []Violation) {
	have := make([]Sample, f.h.Hosts)
	here, left := make([]bool, len(f.h.Records)), make([]Outcome, len(f.h.Records))
	for i := range f.h.Events {
		e := &f.h.Events[i]
		n := &have[e.Host]
		switch e.Kind {
		case Durable:
			n.Accepted++
			here[e.Record], left[e.Record] = true, 0
		case Undone, Back:
			if e.Kind == Undone {
				n.Accepted--
				here[e.Record] = false
			}
			n.leave(left[e.Record], -1)
			left[e.Record] = 0
		case Left:
			switch {
			case !here[e.Record]:
				out = append(out, broken("P12", "%s left its spool at %d ms and was not there", f.name(e.Record), e.At))
			case left[e.Record] != 0:
				out = append(out, broken("P12", "%s left its spool a second time at %d ms", f.name(e.Record), e.At))
			}
			n.leave(e.Outcome, 1)
			left[e.Record] = e.Outcome
		case Sampled:
			s := e.Sample
			if s.Accepted != n.Accepted || s.Acked != n.Acked || s.DeadLettered != n.DeadLettered || s.Expired != n.Expired {
				out = append(out, broken("P12", "host %d at %d ms counts accepted %d, acked %d, dead-lettered %d, expired %d; its disk holds %d, %d, %d, %d",
					e.Host, e.At, s.Accepted, s.Acked, s.DeadLettered, s.Expired, n.Accepted, n.Acked, n.DeadLettered, n.Expired))
			}
		}
	}
	return append(out, f.onePlace()...)
}

// onePlace: what is in a spool at the end was put there and has not left, and what is among the dead letters left so.
func (f *facts) onePlace() (out []Violation) {
	pending := make([]bool, len(f.h.Records))
	for i := range f.h.Hosted {
		for _, r := range f.h.Hosted[i].Pending {
			switch {
			case !f.durable[r].ever || f.undone[r]:
				out = append(out, broken("P12", "%s is in the spool of host %d and was not put there", f.name(r), i))
			case f.outcome[r] != 0:
				out = append(out, broken("P12", "%s has left and is still in its spool", f.name(r)))
			case pending[r]:
				out = append(out, broken("P12", "%s is in its spool twice at the end", f.name(r)))
			}
			pending[r] = true
		}
	}
	for _, d := range f.h.Dead {
		if o := f.outcome[d.Record]; o != OutcomeDead && o != OutcomeExpired { // what has expired is kept as a dead letter
			out = append(out, broken("P12", "%s is among the dead letters of host %d and did not leave as one", f.name(d.Record), d.Host))
		}
	}
	return out
}

// leave counts a record that has left, or is back.
func (s *Sample) leave(o Outcome, n int) {
	switch o {
	case OutcomeAcked:
		s.Acked += uint64(n)
	case OutcomeDead:
		s.DeadLettered += uint64(n)
	case OutcomeExpired:
		s.Expired += uint64(n)
	}
}
