package spool

import (
	"maps"
	"slices"
)

// Entries may leave without an ack: dropped, expired, lost to damage, put to the dead letters. What became of them stays
// known: their counters for ever, a Gap for the last of what was dropped or lost, and the outcome of each entry as long as
// a repeat of its idempotency key may ask.

// Gap says that entries of a lane left without having been delivered, and why.
type Gap struct {
	Lane LaneID
	Span
	Partition int32 // -1: not known, or several
	Outcome   Outcome
	At        int64  // wall clock, ms
	Why       string // for people
}

// losses are what a State keeps of entries that left without an ack.
type losses struct {
	of       *State
	gaps     []Gap  // oldest first
	firstGap uint64 // number of the first of them
}

// maxGaps is how many gaps are kept.
const maxGaps = 10_000

// Gaps are the last of them, oldest first. The slice must not be changed.
func (x *losses) Gaps() []Gap { return x.gaps }

// GapsForgotten is how many older ones are not kept any more.
func (x *losses) GapsForgotten() uint64 { return x.firstGap }

// addGap records a gap, or makes the last one larger.
func (x *losses) addGap(g Gap, out *Changes) {
	if n := len(x.gaps); n > 0 {
		last := &x.gaps[n-1]
		if last.Lane == g.Lane && last.End == g.First && last.Partition == g.Partition && last.Outcome == g.Outcome && last.Why == g.Why {
			last.End, last.At = g.End, g.At
			out.gap(x.firstGap+uint64(n-1), last)
			return
		}
	}
	x.gaps = append(x.gaps, g)
	out.gap(x.firstGap+uint64(len(x.gaps)-1), &g)
	x.of.gapBytes += g.room()
	x.of.trimGaps(out)
}

// Lose says that entries are in no file any more. What is sealed, or in a transaction that is decided and has no outcome, may
// have been delivered all the same: it goes on pending, as Missing, until that is known. All else leaves at once. It returns
// the parts that left.
func (x *losses) Lose(s Settlement, out *Changes) ([]Span, error) {
	l, err := x.of.lane(s.Lane, "loss")
	if err != nil {
		return nil, err
	}
	covered := x.covered(l)
	var now, later []Span
	for _, sp := range s.Spans {
		for _, part := range l.settled.AbsentIn(sp) {
			for i := part.First; i < part.End; i++ {
				if covered.Contains(i) {
					later = addIndex(later, i)
				} else {
					now = addIndex(now, i)
				}
			}
		}
	}
	if len(later) > 0 {
		l.missing = joinSorted(append(l.missing, later...))
		out.missing(l)
	}
	s.Spans, s.Outcome = now, OutcomeLost
	return now, x.of.settle(s, out)
}

// Missing are the entries of a lane that are in no file, and whose fate is not known.
func (x *losses) Missing(id LaneID) []Span { return x.of.lanes[id].missing }

// NextHere is the smallest index at or above from that has not left and is not missing.
func (x *losses) NextHere(id LaneID, from Index) Index {
	l := x.of.lanes[id]
	at := l.settled.NextAbsent(from)
	for _, sp := range l.missing {
		if at >= sp.First && at < sp.End {
			at = l.settled.NextAbsent(sp.End)
		}
	}
	return at
}

// covered is what may be on the cluster though it is not settled.
func (x *losses) covered(l *laneState) *Set {
	set := NewSet(0)
	for _, seal := range l.seals {
		for _, sp := range seal.Spans {
			set.Add(sp)
		}
	}
	for _, c := range x.of.txn.undecided() {
		if c.Lane == l.id {
			set.Add(c.Span)
		}
	}
	return set
}

// AbsentIn gives the runs of sp that are not in the set, in order.
func (s *Set) AbsentIn(sp Span) (out []Span) {
	for i := s.NextAbsent(sp.First); i < sp.End; i = s.NextAbsent(i) {
		end := i + 1
		for end < sp.End && !s.Contains(end) {
			end++
		}
		out = append(out, Span{i, end})
		i = end
	}
	return out
}

func addIndex(spans []Span, i Index) []Span {
	if n := len(spans); n > 0 && spans[n-1].End == i {
		spans[n-1].End++
		return spans
	}
	return append(spans, Span{i, i + 1})
}

func joinSorted(spans []Span) []Span {
	set := NewSet(0)
	for _, sp := range spans {
		set.Add(sp)
	}
	return slices.Collect(set.Spans)
}

// found forgets which of sp were missing: they have left.
func (l *laneState) found(spans []Span, out *Changes) {
	if len(l.missing) == 0 {
		return
	}
	set := NewSet(0)
	for _, sp := range l.missing {
		set.Add(sp)
	}
	before := len(l.missing)
	for _, sp := range spans {
		set.Remove(sp)
	}
	if left := slices.Collect(set.Spans); !slices.Equal(left, l.missing) || before != len(left) {
		l.missing = left
		out.missing(l)
	}
}

// leftOtherwise notes that entries left without an ack.
func (l *laneState) leftOtherwise(sp Span, o Outcome) {
	if l.otherwise == nil {
		l.otherwise = make(map[Outcome]deadSet)
		l.dirtyOther = make(map[outcomeChunk]struct{})
	}
	d := l.otherwise[o]
	if d == nil {
		d = make(deadSet)
		l.otherwise[o] = d
	}
	for i := sp.First; i < sp.End; i++ {
		d.add(i)
		l.dirtyOther[outcomeChunk{o, uint64(i) >> chunkShift}] = struct{}{}
	}
	l.dirty = true
}

// outcomeChunk names a chunk of one outcome's entries.
type outcomeChunk struct {
	outcome Outcome
	chunk   uint64
}

// Outcome is how a settled entry left, as far as it is known still: acked, unless it was noted to be otherwise.
func (x *losses) Outcome(id LaneID, i Index) Outcome {
	if x.of.DeadLettered(id, i) {
		return OutcomeDeadLettered
	}
	for o, d := range x.of.lanes[id].otherwise {
		if d.contains(i) {
			return o
		}
	}
	return OutcomeAcked
}

// LaneDeadLetters is how many dead letters there are of a lane, without those of format version 1 that are not moved yet.
func (x *losses) LaneDeadLetters(id LaneID) int { return x.of.lanes[id].deadCount }

// ForgetOutcomes forgets how entries left that no idempotency key speaks of: those of a lane below the first index that
// lowest has for it, or all of them if it has none.
func (x *losses) ForgetOutcomes(lowest map[LaneID]Index, out *Changes) {
	for _, l := range x.of.lanes {
		first, some := lowest[l.id]
		for o, d := range l.otherwise {
			for key := range d {
				if !some || Index(key+1)<<chunkShift <= first {
					delete(d, key)
					delete(l.dirtyOther, outcomeChunk{o, key})
					out.delete(outcomeKey(l.id, o, key))
				}
			}
		}
	}
}

// flushOutcomes adds the chunks that have changed.
func (l *laneState) flushOutcomes(out *Changes) {
	keys := slices.SortedFunc(maps.Keys(l.dirtyOther), func(a, b outcomeChunk) int {
		if a.outcome != b.outcome {
			return int(a.outcome) - int(b.outcome)
		}
		return int(a.chunk) - int(b.chunk)
	})
	for _, k := range keys {
		out.put(outcomeKey(l.id, k.outcome, k.chunk), l.otherwise[k.outcome][k.chunk].encode())
	}
	clear(l.dirtyOther)
}

// noteLeft keeps what becomes of entries that leave without an ack. What a dead letter's bit says need not be kept twice.
func (x *losses) noteLeft(l *laneState, s *Settlement, sp Span, out *Changes) {
	if s.Outcome != OutcomeExpired && s.Outcome != OutcomeLost {
		return
	}
	g := Gap{Lane: l.id, Partition: -1, Outcome: s.Outcome, At: s.At, Why: s.Why}
	if s.HasPartition {
		g.Partition = s.Partition
	}
	for _, g.Span = range l.settled.AbsentIn(sp) {
		l.leftOtherwise(g.Span, s.Outcome)
		x.addGap(g, out)
	}
}
