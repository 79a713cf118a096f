package bolt

import (
	"context"
	"fmt"
)

// Poll is Acked without waiting: ok is false while there is no answer.
func (t Ticket) Poll() (a Ack, err error, ok bool) {
	r := t.receipt
	if r == nil {
		return Ack{}, fmt.Errorf("empty ticket: %w", ErrInvalid), true
	}
	select {
	case <-r.done:
		if r.err != nil {
			return Ack{}, r.err, true
		}
	default:
		return Ack{}, nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.sections[t.section]
	if s.acks != nil && s.acks[t.ordinal].known {
		a := s.acks[t.ordinal]
		return Ack{a.partition, a.offset, a.timestamp}, s.errs[int(t.ordinal)], true
	}
	return Ack{}, r.closed, r.closed != nil
}

// Sync waits until everything that was appended before the call is committed, and
// counted by Stats. The error is that of Ticket.Spooled.
func (s *Store) Sync(ctx context.Context) error {
	s.mu.Lock()
	r := s.past
	switch {
	case s.err != nil:
		s.mu.Unlock()
		return s.err
	case s.open.bytes > 0 || len(s.open.keys) > 0 || len(s.open.notes) > 0 || len(s.open.clears) > 0:
		r = s.open.receipt
	case s.committing != nil:
		r = s.committing.receipt
	}
	s.mu.Unlock()
	return r.spooled(ctx)
}

// Settle is Sync for what was submitted, too, which does not wait for company any longer.
func Settle(ctx context.Context, s *Store) error {
	s.mu.Lock()
	if s.err != nil || s.closing || len(s.writes) == 0 {
		s.mu.Unlock()
		return s.Sync(ctx)
	}
	s.urgent = true
	r := s.open.receipt
	s.wake()
	s.mu.Unlock()
	return r.spooled(ctx)
}
