package transaction

import (
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// deadUnit is a unit of which the cluster refused a record for good.
type deadUnit struct {
	runs      []spool.UnitRun
	lane      spool.LaneID // of the refused record
	index     spool.Index
	partition int32
	code      protocol.ErrorCode
	message   string
}

// refused: the cluster does not take a batch, now or later. Its transaction is aborted; the whole
// unit of each record that is to blame goes to the dead letters, and the rest goes again. Where
// nobody says which record it is, each goes in a batch of its own next time. What is ahead of the broker's clock waits.
func (s *runner) refused(f *flight, a answer, detail string) {
	l := f.part.lane
	switch {
	case f.cut.online != nil: // it is not spooled: its client learns why
	case len(a.bad) > 0 || f.batch.Count == 1:
		for n, i := range f.batch.Indexes {
			if bad := f.batch.Count == 1 || contains(a.bad, int32(n)); bad && !s.comesEarly(f, int32(n), i, &a, detail) {
				f.cut.dead = append(f.cut.dead, deadUnit{
					runs: f.cut.unitOf(l.id, i), lane: l.id, index: i, partition: f.part.id, code: a.code, message: a.code.Refusal(a.message),
				})
			}
		}
	default:
		s.producer.splits++
		if a.code == protocol.MessageTooLarge || a.code == protocol.RecordListTooLarge {
			l.sizing.TooLarge(s.now.Age, f.batch)
		}
		l.alone = max(l.alone, f.batch.Spans[len(f.batch.Spans)-1].End)
	}
	s.fail(f.cut, a.code, detail)
}

func contains(list []int32, n int32) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}

const otherRefused = "another record of its transaction was refused: "

// bury moves units to the dead letters, each whole. Their transaction was aborted.
func (s *runner) bury(list []deadUnit) {
	for i := range list {
		u := &list[i]
		if s.lanes[u.lane].settled.Contains(u.index) {
			continue // two of its records were refused
		}
		for _, r := range u.runs {
			l := s.lanes[r.Lane]
			err := &sender.RefusedError{Code: u.code.String(), Message: u.message}
			others := u.message
			if u.code != protocol.None {
				others = otherRefused + u.code.String()
			}
			if r.Lane != u.lane {
				err.Message = others
			}
			for at := r.First; at < r.Span().End; at++ {
				d := spool.DeadLetter{Lane: r.Lane, Index: at, Partition: -1, Code: u.code, Message: u.message, Attempts: 1, At: s.now.Wall}
				if r.Lane == u.lane && at == u.index {
					d.Partition = u.partition
				} else {
					d.Message = others
				}
				s.w.DeadLetters = append(s.w.DeadLetters, d)
				s.event(sender.RecordDeadLettered{Topic: l.topic, Partition: d.Partition, Index: at, Code: d.Code, Message: d.Message})
			}
			s.leave(l, r.Span(), spool.OutcomeDeadLettered)
			s.eff.Deliver = append(s.eff.Deliver, spool.Delivery{
				Lane: r.Lane, Spans: []spool.Span{r.Span()}, Partition: u.partition, Offset: protocol.NoOffset, Timestamp: -1, Err: err,
			})
		}
		s.urgent = true
	}
}

// leave notes that entries have left the spool.
func (s *runner) leave(l *lane, sp spool.Span, o spool.Outcome) {
	s.w.Settle = append(s.w.Settle, spool.Settlement{Lane: l.id, Spans: []spool.Span{sp}, Outcome: o})
	l.settle(sp, s.now.Age)
	s.view.SetPending(l.remote, l.settled.Low() < l.end)
}

// settle notes that entries are not to be sent any more.
func (l *lane) settle(sp spool.Span, age int64) {
	low := l.settled.Low()
	if l.settled.Add(sp); l.settled.Low() > low {
		l.since, l.blocked = age, ""
	}
}
