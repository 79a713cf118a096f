package idempotence

import (
	"math"
	"slices"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/recovery"
	"github.com/spoold/spoold/spool"
)

// batches are those of a partition that are sealed and not settled, and the copies of them on the wire.
type batches struct {
	// window[0] is the oldest. len(window) <= MaxInFlight, but for what a start found and the halves of a batch
	// that was cut: a broker remembers no more than a producer's last five batches of a partition.
	window []*Sealed // but for those in refusedMaybe
	onWire int       // copies on the wire

	// refusedMaybe were refused, but perhaps another copy of them is in the log (Seal.Refused). boundKnown: the
	// first batch of the next epoch was acked, at bound: no copy can enter the log behind that.
	refusedMaybe []*Sealed
	boundKnown   bool
	bound        protocol.Offset
}

// RestoreSeal takes a seal that a start found.
func (bs *batches) RestoreSeal(s *spool.Seal) {
	b := &Sealed{Seal: *s, durable: true, found: true, offset: protocol.NoOffset, stamp: -1}
	if s.Refused != 0 {
		b.code = s.Refused
		bs.refusedMaybe = append(bs.refusedMaybe, b)
	} else {
		bs.window = append(bs.window, b)
	}
}

// Waiting reports whether the fate of any batch is not decided.
func (bs *batches) Waiting() bool { return len(bs.window) > 0 || len(bs.refusedMaybe) > 0 }

// Seals is how many batches are sealed and not settled.
func (bs *batches) Seals() int { return len(bs.window) + len(bs.refusedMaybe) }

// OnWire is how many copies are on the wire.
func (bs *batches) OnWire() int { return bs.onWire }

// InFlight is how many batches are sealed and not settled, but for those that were refused and may be in the log.
func (bs *batches) InFlight() int { return len(bs.window) }

// InDoubt is how many records of an unknown fate there are.
func (bs *batches) InDoubt() int { return records(bs.window) + records(bs.refusedMaybe) }

// RefusedMaybe is how many records were refused and are perhaps in the log.
func (bs *batches) RefusedMaybe() int { return records(bs.refusedMaybe) }

// overtaken reports whether something behind an unanswered batch was acked.
func (bs *batches) overtaken() bool {
	return slices.ContainsFunc(bs.window[min(1, len(bs.window)):], func(b *Sealed) bool { return b.acked })
}

// doubtful reports whether any copy of any batch may be in the log without our knowledge.
func (bs *batches) doubtful() bool { return slices.ContainsFunc(bs.window, (*Sealed).inDoubt) }

// oldest is the smallest of the largest timestamps in the window; sent: only of those on the wire.
func (bs *batches) oldest(sent bool) int64 {
	oldest := int64(math.MaxInt64)
	for _, b := range bs.window {
		if b.sent || !sent {
			oldest = min(oldest, b.Seal.MaxTimestamp)
		}
	}
	return oldest
}

// sent notes that a copy of b is on the wire.
func (bs *batches) sent(b *Sealed) {
	b.sent = true
	b.copies++
	b.code, b.message, b.bad = 0, "", nil
	bs.onWire++
}

// waitsForTime reports whether the front of the window does.
func (bs *batches) waitsForTime() bool { return len(bs.window) > 0 && bs.window[0].notUntil > 0 }

// SealedSpans is the entries that are sealed and not settled.
func (bs *batches) SealedSpans() (spans []spool.Span) {
	for _, b := range slices.Concat(bs.refusedMaybe, bs.window) {
		spans = append(spans, b.Seal.Spans...)
	}
	return spans
}

func records(list []*Sealed) int {
	n := 0
	for _, b := range list {
		n += int(b.Seal.Count)
	}
	return n
}

// inOrder puts the window in the order of sequences, counted from first, which is not always the order of sealing: the
// halves of a batch are sealed after what follows it.
func (bs *batches) inOrder(first protocol.Sequence) {
	slices.SortFunc(bs.window, func(a, b *Sealed) int {
		return first.Distance(a.Seal.Base) - first.Distance(b.Seal.Base)
	})
}

// unsent is the first batch of the window that is neither on the wire nor acked, or nil.
func (bs *batches) unsent() *Sealed {
	for _, b := range bs.window {
		if !b.sent && !b.acked {
			return b
		}
	}
	return nil
}

// holdsBytes reports whether the bytes of any batch of the window are in memory.
func (bs *batches) holdsBytes() bool {
	return slices.ContainsFunc(bs.window, func(b *Sealed) bool { return b.Batch != nil })
}

// maybeSeen reports whether a record may be in the log, or may enter it, as far as answers say. A copy that went by the
// topic's id and was answered UNKNOWN_TOPIC_ID does not count.
func (bs *batches) maybeSeen() bool {
	return len(bs.refusedMaybe) > 0 ||
		slices.ContainsFunc(bs.window, func(b *Sealed) bool { return b.acked || b.found || b.maybe > b.unknownID })
}

// forRecovery is the window as the resolver sees it. What was settled before lies below the offset above.
func (bs *batches) forRecovery(above protocol.Offset) []recovery.Batch {
	list := make([]recovery.Batch, len(bs.window))
	for i, b := range bs.window {
		list[i] = recovery.Batch{
			Base: b.Seal.Base, Count: b.Seal.Count, MaxTimestamp: b.Seal.MaxTimestamp,
			SealedAge: b.Seal.SealedAge, Tail: max(b.Seal.Tail, above),
			Doubtful: b.inDoubt(), Acked: b.acked, Offset: b.offset, Lost: b.lost,
		}
	}
	return list
}

// refusedAt is where t shows the first of refusedMaybe in the log, or NoOffset.
func (bs *batches) refusedAt(t *recovery.Tail) protocol.Offset {
	b := bs.refusedMaybe[0]
	at := protocol.NoOffset
	for _, l := range t.Batches {
		skip := l.Base.Distance(b.Seal.Base)
		if l.Identity == b.Seal.Identity && skip+int(b.Seal.Count) <= int(l.Count) {
			at = l.Offset + protocol.Offset(skip)
		}
	}
	return at
}

// dropRefused takes the first of refusedMaybe off the list, and reports whether it was the last.
func (bs *batches) dropRefused() bool {
	bs.refusedMaybe = bs.refusedMaybe[1:]
	if len(bs.refusedMaybe) > 0 {
		return false
	}
	bs.boundKnown = false
	return true
}
