package transaction

import (
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// loseMissing gives up the records of an aborted transaction that damage to the spool has taken: they cannot be read to be sent again.
func (s *Sender) loseMissing(d *spool.Decision) {
	for _, r := range d.Cut {
		l := s.lanes[r.Lane]
		for _, m := range l.unreadable {
			for i := max(m.First, r.First); i < min(m.End, r.End); i++ {
				if l.settled.Contains(i) {
					continue
				}
				one := []spool.Span{{First: i, End: i + 1}}
				l.settle(one[0], s.now.Age)
				s.w.Settle = append(s.w.Settle, spool.Settlement{
					Lane: l.id, Spans: one, Outcome: spool.OutcomeLost, Why: "a segment of the spool was damaged", At: s.now.Wall,
				})
				s.eff.Deliver = append(s.eff.Deliver, spool.Delivery{
					Lane: l.id, Spans: one, Partition: -1, Offset: protocol.NoOffset, Timestamp: -1, Err: spool.ErrLost,
				})
			}
		}
	}
}
