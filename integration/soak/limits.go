package soak

import (
	"fmt"

	"github.com/spoold/spoold/integration/crash"
)

// Limits are what a sample must stay under, whatever happens.
type Limits struct {
	Anon        int64 // anonymous memory
	Disk        int64 // bytes of the spool's files
	Descriptors int
	Threads     int
	Routines    int // goroutines
}

// Grow makes each at least what it is in o.
func (l *Limits) Grow(o Limits) {
	l.Anon, l.Disk = max(l.Anon, o.Anon), max(l.Disk, o.Disk)
	l.Descriptors, l.Threads, l.Routines = max(l.Descriptors, o.Descriptors), max(l.Threads, o.Threads), max(l.Routines, o.Routines)
}

// Check says what is over its limit, or what a status must never show.
func (l *Limits) Check(s *Sample) error {
	if s.Disk > l.Disk {
		return fmt.Errorf("soak: the spool's files occupy %d bytes, the limit is %d", s.Disk, l.Disk)
	}
	if s.Routines > l.Routines {
		return fmt.Errorf("soak: there are %d goroutines, the limit is %d", s.Routines, l.Routines)
	}
	if u := s.Use; u != nil {
		switch {
		case u.Anon > l.Anon:
			return fmt.Errorf("soak: anonymous memory is %d bytes, the limit is %d", u.Anon, l.Anon)
		case u.Descriptors > l.Descriptors:
			return fmt.Errorf("soak: %d descriptors are open, the limit is %d", u.Descriptors, l.Descriptors)
		case u.Threads > l.Threads:
			return fmt.Errorf("soak: there are %d threads, the limit is %d", u.Threads, l.Threads)
		}
	}
	if st := s.Status; st != nil {
		switch {
		case st.Parked() != "":
			return fmt.Errorf("soak: parked, and nothing that happened calls for it: %s", st.Parked())
		case st.DeadLettered != 0 || st.Expired != 0:
			return fmt.Errorf("soak: %d records are dead-lettered, %d expired: none should be", st.DeadLettered, st.Expired)
		case st.Accepted < s.Answered:
			return fmt.Errorf("soak: clients were told that %d records are spooled, the spool knows of %d", s.Answered, st.Accepted)
		}
	}
	return nil
}

// History is what only grows: over kills, too.
type History struct{ last *crash.Status }

// Check says what went back since the sample before.
func (h *History) Check(s *Sample) error {
	if s.Status == nil {
		return nil
	}
	last := h.last
	h.last = s.Status
	switch {
	case last == nil:
	case s.Status.Accepted < last.Accepted:
		return fmt.Errorf("soak: accepted went back from %d to %d", last.Accepted, s.Status.Accepted)
	case s.Status.Acked < last.Acked:
		return fmt.Errorf("soak: acked went back from %d to %d", last.Acked, s.Status.Acked)
	}
	return nil
}

// Peaks is the most of each that was seen.
type Peaks struct {
	Anon, File, Disk, SpoolBytes int64
	Descriptors, Threads         int
	Routines                     int
	Pending                      uint64
	Oldest                       float64
	Keys, Segments               int
	Samples                      int
	Limits                       Limits // the widest that there were
}

// Add takes one more sample.
func (p *Peaks) Add(s *Sample) {
	p.Samples++
	p.Disk, p.Routines = max(p.Disk, s.Disk), max(p.Routines, s.Routines)
	if u := s.Use; u != nil {
		p.Anon, p.File = max(p.Anon, u.Anon), max(p.File, u.File)
		p.Descriptors, p.Threads = max(p.Descriptors, u.Descriptors), max(p.Threads, u.Threads)
	}
	if st := s.Status; st != nil {
		p.Pending, p.SpoolBytes, p.Oldest = max(p.Pending, st.Pending), max(p.SpoolBytes, st.SpoolBytes), max(p.Oldest, st.Oldest)
		p.Keys, p.Segments = max(p.Keys, st.Keys), max(p.Segments, st.Segments)
	}
}
