package bolt

import (
	"fmt"
	"slices"
	"sort"
	"weak"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// answers keeps who holds tickets of which entries, and what they are to be answered. It is under mu.
type answers struct{ *Store }

// Resolve answers those who hold tickets of the entries. Called by the loop, after
// it received the commit of the entries.
func (s *Store) Resolve(d *spool.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(d.Lane) >= len(s.laneByID) {
		return
	}
	l := s.laneByID[d.Lane]
	if len(l.places) == 0 && len(l.attached) == 0 {
		return
	}
	skip := 0
	for _, sp := range d.Spans {
		i := sort.Search(len(l.places), func(i int) bool { return l.places[i].span.End > sp.First })
		for ; i < len(l.places) && l.places[i].span.First < sp.End; i++ {
			l.places[i].resolve(sp, d, skip)
		}
		for i := range l.attached {
			l.attached[i].resolve(sp, d, skip)
		}
		skip += sp.Len()
	}
	l.sweep()
}

// resolve passes on the part of sp that is in this place.
func (p *place) resolve(sp spool.Span, d *spool.Delivery, skip int) {
	part := spool.Span{First: max(sp.First, p.span.First), End: min(sp.End, p.span.End)}
	if part.First >= part.End {
		return
	}
	if r := p.receipt.Value(); r != nil {
		r.resolve(p.section, part, d, skip+int(part.First-sp.First))
	}
}

// sweep forgets places that nobody holds a ticket of. It costs as much as is kept, and
// is done again when that has doubled.
func (l *lane) sweep() {
	if len(l.places)+len(l.attached) <= l.sweepAt {
		return
	}
	dead := func(p place) bool { return p.receipt.Value() == nil }
	l.places = slices.DeleteFunc(l.places, dead)
	l.attached = slices.DeleteFunc(l.attached, dead)
	l.sweepAt = 2*(len(l.places)+len(l.attached)) + 16
}

// publish keeps where a committed group's tickets are. Under mu.
func (s *answers) publish(g *group) {
	w := weak.Make(g.receipt)
	for i, sect := range g.sections {
		l := sect.lane
		g.receipt.addSection(l.id, sect.first, sect.count)
		if l.group == g {
			l.group, l.sect = nil, nil
		}
		l.sweep()
		l.places = append(l.places, place{spool.Span{First: sect.first, End: sect.first + spool.Index(sect.count)}, w, i})
	}
}

// settleAttached answers repeats of earlier processes' batches with what a Write says of their
// entries: the loop's Resolve may have come before they attached. Under mu.
func (s *answers) settleAttached(w *spool.Write) {
	for i := range w.Settle {
		x := &w.Settle[i]
		l := s.laneByID[x.Lane]
		if len(l.attached) == 0 {
			continue
		}
		d := spool.Delivery{Offset: protocol.NoOffset, Timestamp: -1, Partition: -1, Err: outcomeError(x.Outcome)}
		for _, sp := range x.Spans {
			for i := range l.attached {
				l.attached[i].resolve(sp, &d, 0)
			}
		}
	}
}

func outcomeError(o spool.Outcome) error {
	switch o {
	case spool.OutcomeDeadLettered:
		return ErrDeadLettered
	case spool.OutcomeExpired:
		return ErrExpired
	case spool.OutcomeLost:
		return ErrLost
	}
	return nil
}

// attach gives a repeat the tickets of the first batch with its key. Under mu.
func (s *answers) attach(b *BatchInput, hit spool.KeyHit) (Tickets, error) {
	runs := hit.Runs
	next := make(map[*lane]spool.Index, len(runs))
	end := make(map[*lane]spool.Index, len(runs))
	for _, r := range runs {
		l := s.laneByID[r.Lane]
		next[l], end[l] = r.First, r.First+spool.Index(r.Count)
	}
	t := Tickets{list: make([]Ticket, 0, len(b.Records)), receipt: s.past, duplicate: true}
	for _, g := range []*group{s.open, s.committing} {
		if g != nil && g.keyBlock == hit.Block {
			t.receipt = g.receipt
		}
	}
	var fresh *Receipt
	for i := range b.Records {
		l := s.lanes[b.Records[i].Topic]
		if l == nil || next[l] >= end[l] {
			return Tickets{}, fmt.Errorf("%w: the digests are equal, the batches are not", ErrKeyReused)
		}
		at := next[l]
		next[l]++
		ticket, ok := s.find(l, at)
		if !ok {
			if fresh == nil {
				fresh = s.attachFresh(runs)
			}
			ticket = fresh.ticket(l.id, at)
		}
		t.list = append(t.list, ticket)
		if r := ticket.receipt; r != t.receipt && !slices.Contains(t.others, r) {
			t.others = append(t.others, r)
		}
	}
	return t, nil
}

// find is the ticket of an entry, if its group is not committed, or if
// somebody holds a ticket of it. Under mu.
func (s *answers) find(l *lane, at spool.Index) (Ticket, bool) {
	for _, g := range []*group{s.open, s.committing} {
		if g == nil {
			continue
		}
		for i, sect := range g.sections {
			if sect.lane == l && at >= sect.first && at < sect.first+spool.Index(sect.count) {
				return Ticket{g.receipt, int32(i), int32(at - sect.first)}, true
			}
		}
	}
	i := sort.Search(len(l.places), func(i int) bool { return l.places[i].span.End > at })
	if i < len(l.places) && l.places[i].span.First <= at {
		if r := l.places[i].receipt.Value(); r != nil {
			return Ticket{r, int32(l.places[i].section), int32(at - l.places[i].span.First)}, true
		}
	}
	return Ticket{}, false
}

// attachFresh makes a receipt for entries whose own is gone: they are committed.
// What has left the spool is acked, place unknown, or a dead letter. Under mu.
func (s *answers) attachFresh(runs []spool.KeyRun) *Receipt {
	r := newReceipt()
	close(r.done)
	s.view.RLock()
	defer s.view.RUnlock()
	for i, run := range runs {
		r.addSection(run.Lane, run.First, run.Count)
		p := place{spool.Span{First: run.First, End: run.First + spool.Index(run.Count)}, weak.Make(r), i}
		s.answerGone(run.Lane, &p)
		l := s.laneByID[run.Lane]
		l.sweep()
		l.attached = append(l.attached, p)
	}
	return r
}

// ticket is the ticket of an entry in a receipt of runs.
func (r *Receipt) ticket(lane spool.LaneID, at spool.Index) Ticket {
	for i := range r.sections {
		if s := &r.sections[i]; s.lane == lane && at >= s.first && at < s.first+spool.Index(s.count) {
			return Ticket{r, int32(i), int32(at - s.first)}
		}
	}
	return Ticket{}
}
