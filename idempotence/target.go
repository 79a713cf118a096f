package idempotence

import (
	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// target is where the records of a Machine come from and go to: a lane, its queue for one partition, and the partition.
type target struct {
	ID    int32 // of the partition
	Lane  *accumulator.Lane
	Queue *accumulator.Partition

	blockedAt int64 // Age since which the queue is blocked, or not
}

// Block says whether records may be taken for the partition, or others may use the memory.
func (t *target) Block(e *Env, blocked bool) {
	if t.Queue.Blocked() != blocked {
		t.blockedAt = e.Now.Age
		t.Lane.Block(e.Accumulator, t.Queue, blocked)
	}
}

// deadLetter takes the records of b at the places bad out of the way. inDoubt: they may be in the log all the same.
func (t *target) deadLetter(e *Env, b *Sealed, bad []int32, inDoubt bool) {
	k, n := 0, int32(0)
	for _, sp := range b.Seal.Spans {
		for i := sp.First; i < sp.End; i++ {
			switch {
			case k == len(bad) || bad[k] != n:
			case t.Lane.Missing(i):
				t.lose(e, []spool.Span{{First: i, End: i + 1}})
				k++
			default:
				why := b.code.Refusal(b.why(n))
				err := &RefusedError{Code: b.code.String(), Message: why}
				e.Write.DeadLetters = append(e.Write.DeadLetters, spool.DeadLetter{
					Lane: t.Lane.ID, Index: i, Partition: t.ID, Code: b.code, Message: why,
					Attempts: int32(b.copies), At: e.Now.Wall, InDoubt: inDoubt,
				})
				one := []spool.Span{{First: i, End: i + 1}}
				e.leave(t.Lane, one, spool.OutcomeDeadLettered)
				e.Deliver = append(e.Deliver, spool.Delivery{
					Lane: t.Lane.ID, Spans: one, Partition: t.ID, Offset: protocol.NoOffset, Timestamp: -1, Err: err,
				})
				e.event(RecordDeadLettered{Topic: t.Lane.Topic, Partition: t.ID, Index: i, Code: b.code, Message: why})
				k++
			}
			n++
		}
	}
	e.Urgent = true
}

// lose gives up records that are not known to have reached the log and cannot be read any more.
func (t *target) lose(e *Env, spans []spool.Span) {
	if len(spans) == 0 {
		return
	}
	t.Lane.Settle(e.Accumulator, spans)
	e.Write.Settle = append(e.Write.Settle, spool.Settlement{
		Lane: t.Lane.ID, Spans: spans, Outcome: spool.OutcomeLost, Why: "a segment of the spool was damaged", At: e.Now.Wall, Partition: t.ID, HasPartition: true,
	})
	e.Deliver = append(e.Deliver, spool.Delivery{
		Lane: t.Lane.ID, Spans: spans, Partition: t.ID, Offset: protocol.NoOffset, Timestamp: -1, Err: spool.ErrLost,
	})
}

// heals reports whether time heals the refusal of the record at a place. It needs the batch's bytes.
func (t *target) heals(e *Env, b *Sealed, place int32) bool {
	if b.code != protocol.InvalidTimestamp || b.Batch == nil {
		return false
	}
	stamp, err := b.Batch.Timestamp(place)
	if err != nil {
		e.Damage = err
		return false
	}
	return stamp > e.Now.Wall-staleMs || protocol.TimestampAhead(b.why(place), stamp)
}

// healsWhole reports whether time heals all that was refused of b, and the place of the first such record.
func (t *target) healsWhole(e *Env, b *Sealed) (place int32, heals bool) {
	if b.code != protocol.InvalidTimestamp || b.Batch == nil {
		return 0, false
	}
	bad := b.badRecords()
	if len(bad) == 0 {
		bad = b.allRecords()
	}
	return bad[0], len(t.forGood(e, b, bad)) == 0
}

// forGood leaves, of the refused records of b, those that time does not heal.
func (t *target) forGood(e *Env, b *Sealed, bad []int32) (stay []int32) {
	for _, place := range bad {
		if !t.heals(e, b, place) {
			stay = append(stay, place)
		}
	}
	return stay
}

// acked notes that the records of a batch are on all in-sync replicas, from offset on.
func (t *target) acked(e *Env, b *Sealed, offset protocol.Offset) {
	e.leave(t.Lane, b.Seal.Spans, spool.OutcomeAcked)
	e.Deliver = append(e.Deliver, spool.Delivery{
		Lane: t.Lane.ID, Spans: b.Seal.Spans, Partition: t.ID, Offset: offset, Timestamp: b.stamp,
	})
}
