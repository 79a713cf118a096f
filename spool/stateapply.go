package spool

import (
	"fmt"
)

// Apply carries out a Write, in the order of its fields. An error means that
// the Write speaks of what does not exist: a bug of the caller, and the state
// must not be used any more.
func (st *State) Apply(w *Write, out *Changes) error {
	rebind := w.ClusterID != "" || w.Identity != nil || w.Stop != "" || w.ClearStop
	if w.ClusterID != "" {
		st.Binding.ClusterID = w.ClusterID
	}
	if w.Identity != nil {
		st.Binding.Former = *w.Identity
	}
	for _, b := range w.Bindings {
		l, err := st.lane(b.Lane, "binding")
		if err != nil {
			return err
		}
		l.topicID = b.TopicID
		if b.ResetFacts {
			out.dropFacts(l, l.facts)
			l.facts = Facts{}
		}
		out.lane(l)
	}
	for _, f := range w.Facts {
		if err := st.addFacts(f, out); err != nil {
			return err
		}
	}
	for _, k := range w.Unseal {
		st.unseal(k, out)
	}
	for i := range w.Seals {
		if err := st.putSeal(w.Seals[i], out); err != nil {
			return err
		}
	}
	// Before their settlement, which may free their block.
	for _, d := range w.DeadLetters {
		l, err := st.lane(d.Lane, "dead letter")
		if err != nil {
			return err
		}
		if d.Index >= l.end {
			return fmt.Errorf("dead letter %d of %q, which ends at %d", d.Index, l.topic, l.end)
		}
		st.PutDead(d.Lane, d.Index)
	}
	for _, s := range w.Settle {
		if err := st.settle(s, out); err != nil {
			return err
		}
	}
	for _, p := range w.Partitions {
		if _, err := st.lane(p.Lane, "partition"); err != nil {
			return err
		}
		st.parts[partitionKey{p.Lane, p.Partition}] = p
		out.partition(p)
	}
	if w.Transaction != nil {
		for _, x := range w.Transaction.cuts() {
			if l, err := st.lane(x.Lane, "decision"); err != nil {
				return err
			} else if x.End > l.end || x.First > x.End {
				return fmt.Errorf("decision on %q over %v, but the lane ends at %d", l.topic, x.Span, l.end)
			}
		}
		st.txn = *w.Transaction
		out.transaction(&st.txn)
	}
	if w.Stop != "" {
		st.Binding.Stopped = w.Stop
	}
	if w.ClearStop {
		st.Binding.Stopped = ""
	}
	for _, a := range w.Audit {
		st.addAudit(a, out)
	}
	if rebind {
		st.Rebind(out)
	}
	return nil
}

func (st *State) lane(id LaneID, what string) (*laneState, error) {
	if int(id) >= len(st.lanes) {
		return nil, fmt.Errorf("%s of lane %d, but there are %d lanes", what, id, len(st.lanes))
	}
	return st.lanes[id], nil
}

func (st *State) addFacts(f LaneFacts, out *Changes) error {
	l, err := st.lane(f.Lane, "fact")
	if err != nil {
		return err
	}
	for _, c := range f.Counts {
		if n := len(l.facts.Counts); n > 0 && l.facts.Counts[n-1].From > c.From {
			return fmt.Errorf("partition count of %q from %d comes after one from %d", l.topic, c.From, l.facts.Counts[n-1].From)
		} else if n > 0 && l.facts.Counts[n-1].From == c.From {
			l.facts.Counts[n-1] = c
		} else {
			l.facts.Counts = append(l.facts.Counts, c)
		}
	}
	for _, c := range f.Sticky {
		if n := len(l.facts.Sticky); n > 0 && l.facts.Sticky[n-1].From > c.From {
			return fmt.Errorf("sticky run of %q from %d comes after one from %d", l.topic, c.From, l.facts.Sticky[n-1].From)
		} else if n > 0 && l.facts.Sticky[n-1].From == c.From {
			l.facts.Sticky[n-1] = c
		} else {
			l.facts.Sticky = append(l.facts.Sticky, c)
		}
	}
	out.facts(l.id, f.Facts)
	return nil
}

// pruneFacts forgets what no unsettled entry is under any more.
func (st *State) pruneFacts(l *laneState, out *Changes) {
	low := l.settled.Low()
	var gone Facts
	i := 0
	for i+1 < len(l.facts.Counts) && l.facts.Counts[i+1].From <= low {
		i++
	}
	gone.Counts, l.facts.Counts = l.facts.Counts[:i], l.facts.Counts[i:]
	i = 0
	for i+1 < len(l.facts.Sticky) && l.facts.Sticky[i+1].From <= low {
		i++
	}
	gone.Sticky, l.facts.Sticky = l.facts.Sticky[:i], l.facts.Sticky[i:]
	out.dropFacts(l, gone)
}

func (st *State) putSeal(s Seal, out *Changes) error {
	l, err := st.lane(s.Lane, "seal")
	if err != nil {
		return err
	}
	n := 0
	var at Index
	for _, sp := range s.Spans {
		if sp.First < at || sp.First >= sp.End || sp.End > l.end {
			return fmt.Errorf("seal of %q holds %v, but the lane ends at %d and spans ascend", l.topic, s.Spans, l.end)
		}
		at = sp.End
		n += sp.Len()
	}
	if n != int(s.Count) || n == 0 {
		return fmt.Errorf("seal of %q says %d records and holds %d", l.topic, s.Count, n)
	}
	s.Spans = joinSpans(s.Spans)
	p := &s
	st.seals[s.SealKey], l.seals[s.SealKey] = p, p
	out.seal(p)
	return nil
}

func (st *State) unseal(k SealKey, out *Changes) {
	if _, ok := st.seals[k]; !ok {
		return
	}
	delete(st.seals, k)
	delete(st.lanes[k.Lane].seals, k)
	out.delete(sealKey(k))
}

func (st *State) settle(s Settlement, out *Changes) error {
	l, err := st.lane(s.Lane, "settlement")
	if err != nil {
		return err
	}
	n := uint64(0)
	for _, sp := range s.Spans {
		if sp.First > sp.End || sp.End > l.end {
			return fmt.Errorf("settlement of %q at %v, but the lane ends at %d", l.topic, sp, l.end)
		}
		if sp.First == sp.End {
			continue
		}
		if sp.First > l.settled.Low() {
			if l.dirtyChunks == nil {
				l.dirtyChunks = make(map[uint64]struct{})
			}
			dirtyChunks(l.dirtyChunks, sp)
		}
		if s.Outcome != OutcomeAcked {
			st.noteLeft(l, &s, sp, out)
		}
		n += uint64(l.settled.Add(sp))
	}
	l.found(s.Spans, out)
	var c Counters
	switch s.Outcome {
	case OutcomeAcked:
		c.Acked = n
	case OutcomeDeadLettered:
		c.DeadLettered = n
	case OutcomeExpired:
		c.Expired = n
	case OutcomeLost:
		c.Lost = n
	default:
		return fmt.Errorf("settlement of %q with outcome %d", l.topic, s.Outcome)
	}
	l.counters, st.counters = l.counters.Add(c), st.counters.Add(c)
	l.dirty = true
	// A seal has done its work when every record of it has left.
	for k, seal := range l.seals {
		if l.settled.Contains(seal.Spans[0].First) && st.sealLeft(l, seal) {
			st.unseal(k, out)
		}
	}
	st.pruneFacts(l, out)
	l.pruneAges()
	return nil
}

func (st *State) sealLeft(l *laneState, s *Seal) bool {
	for _, sp := range s.Spans {
		if l.settled.CountIn(sp) != sp.Len() {
			return false
		}
	}
	return true
}
