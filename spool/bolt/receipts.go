package bolt

import (
	"fmt"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// Receipts are what is left of a Store that has ended (Options.KeepReceipts): the receipts of
// entries that are on disk, for as long as somebody holds a ticket of them. Another Store of the
// same spool may adopt them, and answers from then on.
type Receipts struct{ lanes []*lane }

// Receipts gives the receipts away, once. To be called after Close.
func (s *Store) Receipts() *Receipts {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &Receipts{s.kept}
	s.kept = nil
	return r
}

// Close answers those that are open with ErrClosed.
func (r *Receipts) Close() {
	why := fmt.Errorf("%w: the record is spooled, a later start delivers it", ErrClosed)
	for _, l := range r.lanes {
		for _, places := range [][]place{l.places, l.attached} {
			for i := range places {
				if receipt := places[i].receipt.Value(); receipt != nil {
					receipt.close(why)
				}
			}
		}
	}
	r.lanes = nil
}

// Adopt takes the receipts of the Store that had this spool before. To be called before anything is
// appended or resolved. What has left the spool meanwhile is acked, place unknown, or a dead letter.
func (s *Store) Adopt(r *Receipts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view.RLock()
	defer s.view.RUnlock()
	for _, former := range r.lanes {
		l := s.lanes[former.topic]
		if l == nil || l.id != former.id {
			continue // it has no entries on disk, so nobody has a ticket of one
		}
		l.places, l.attached = append(l.places, former.places...), append(l.attached, former.attached...)
		for _, places := range [][]place{l.places, l.attached} {
			for i := range places {
				s.answers.answerGone(l.id, &places[i])
			}
		}
	}
	r.lanes = nil
}

// answerGone answers for the entries of a place that have left the spool. Under mu and view.
func (s *answers) answerGone(lane spool.LaneID, p *place) {
	if p.receipt.Value() == nil {
		return
	}
	settled := s.state.Settled(lane)
	gone := spool.Delivery{Offset: protocol.NoOffset, Timestamp: -1, Partition: -1}
	for at := p.span.First; at < p.span.End; at++ {
		if !settled.Contains(at) {
			continue
		}
		gone.Err = outcomeError(s.state.Outcome(lane, at))
		p.resolve(spool.Span{First: at, End: at + 1}, &gone, 0)
	}
}
