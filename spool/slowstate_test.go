package spool

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/spoold/spoold/protocol"
)

// slowState is a State as anybody would write it: an outcome for each entry, lists and maps, and
// nothing that is kept up to date because it could be worked out.
type slowState struct {
	binding  Binding
	lanes    []*slowLane
	seals    map[SealKey]Seal
	parts    map[partitionKey]PartitionState
	notes    map[string]string
	segments map[uint64]SegmentInfo
	dead     map[deadRef]bool
	audit    []AuditEntry
}

type slowLane struct {
	topic  string
	id     protocol.TopicID
	left   []Outcome // by index; 0: it has not
	counts []CountFact
	sticky []StickyFact
}

func newSlowState() *slowState {
	return &slowState{
		seals: map[SealKey]Seal{}, parts: map[partitionKey]PartitionState{}, notes: map[string]string{},
		segments: map[uint64]SegmentInfo{}, dead: map[deadRef]bool{},
	}
}

func (m *slowState) apply(w *Write) {
	if w.ClusterID != "" {
		m.binding.ClusterID = w.ClusterID
	}
	if w.Identity != nil {
		m.binding.Former = *w.Identity
	}
	for _, b := range w.Bindings {
		l := m.lanes[b.Lane]
		if l.id = b.TopicID; b.ResetFacts {
			l.counts, l.sticky = nil, nil
		}
	}
	for _, f := range w.Facts {
		l := m.lanes[f.Lane]
		for _, c := range f.Counts {
			l.counts = append(slices.DeleteFunc(l.counts, func(x CountFact) bool { return x.From == c.From }), c)
		}
		for _, c := range f.Sticky {
			l.sticky = append(slices.DeleteFunc(l.sticky, func(x StickyFact) bool { return x.From == c.From }), c)
		}
	}
	for _, k := range w.Unseal {
		delete(m.seals, k)
	}
	for _, s := range w.Seals {
		s.Spans = slowJoin(s.Spans)
		m.seals[s.SealKey] = s
	}
	for _, d := range w.DeadLetters {
		m.dead[deadRef{d.Lane, d.Index}] = true
	}
	for _, s := range w.Settle {
		m.settle(s)
	}
	for _, p := range w.Partitions {
		m.parts[partitionKey{p.Lane, p.Partition}] = p
	}
	if w.Stop != "" {
		m.binding.Stopped = w.Stop
	}
	if w.ClearStop {
		m.binding.Stopped = ""
	}
	m.audit = append(m.audit, w.Audit...)
}

func slowJoin(spans []Span) (out []Span) {
	for _, sp := range spans {
		for i := sp.First; i < sp.End; i++ {
			if n := len(out); n > 0 && out[n-1].End == i {
				out[n-1].End++
			} else {
				out = append(out, Span{i, i + 1})
			}
		}
	}
	return out
}

func (m *slowState) settle(s Settlement) {
	l := m.lanes[s.Lane]
	for _, sp := range s.Spans {
		for i := sp.First; i < sp.End; i++ {
			if l.left[i] == 0 {
				l.left[i] = s.Outcome
			}
		}
	}
	maps.DeleteFunc(m.seals, func(k SealKey, seal Seal) bool {
		return k.Lane == s.Lane && l.allLeft(seal.Spans)
	})
	low := l.low()
	for len(l.counts) > 1 && l.counts[1].From <= low {
		l.counts = l.counts[1:]
	}
	for len(l.sticky) > 1 && l.sticky[1].From <= low {
		l.sticky = l.sticky[1:]
	}
}

func (l *slowLane) allLeft(spans []Span) bool {
	for _, sp := range spans {
		for i := sp.First; i < sp.End; i++ {
			if l.left[i] == 0 {
				return false
			}
		}
	}
	return true
}

func (l *slowLane) low() Index {
	if i := slices.Index(l.left, 0); i >= 0 {
		return Index(i)
	}
	return l.end()
}

func (l *slowLane) end() Index { return Index(len(l.left)) }

func (l *slowLane) counters() Counters {
	c := Counters{Accepted: uint64(len(l.left))}
	for _, o := range l.left {
		switch o {
		case OutcomeAcked:
			c.Acked++
		case OutcomeDeadLettered:
			c.DeadLettered++
		case OutcomeExpired:
			c.Expired++
		case OutcomeLost:
			c.Lost++
		}
	}
	return c
}

func (l *slowLane) spans() []Span {
	var out []Span
	for i, o := range l.left {
		if n := len(out); o != 0 && n > 0 && out[n-1].End == Index(i) {
			out[n-1].End++
		} else if o != 0 {
			out = append(out, Span{Index(i), Index(i) + 1})
		}
	}
	return out
}

// compare says what of st is not so.
func (m *slowState) compare(st *State) error {
	r := st.Recovered()
	if st.Binding != m.binding || r.ClusterID != m.binding.ClusterID || r.Former != m.binding.Former || r.Stopped != m.binding.Stopped {
		return fmt.Errorf("binding %+v, want %+v", st.Binding, m.binding)
	}
	if len(r.Lanes) != len(m.lanes) || st.Lanes() != len(m.lanes) {
		return fmt.Errorf("%d lanes, want %d", len(r.Lanes), len(m.lanes))
	}
	var all Counters
	for i, want := range m.lanes {
		got, c := r.Lanes[i], want.counters()
		all = all.Add(c)
		var spans []Span
		got.Settled.Spans(func(sp Span) bool { spans = append(spans, sp); return true })
		if id, ok := st.Lane(want.topic); !ok || id != LaneID(i) || got.Topic != want.topic || got.TopicID != want.id || got.End != want.end() {
			return fmt.Errorf("lane %d is %+v, want %q up to %d", i, got, want.topic, want.end())
		}
		if !slices.Equal(spans, want.spans()) {
			return fmt.Errorf("lane %d: %v have left, want %v", i, spans, want.spans())
		}
		for k, o := range want.left {
			if known := st.Outcome(LaneID(i), Index(k)); o != 0 && known != o && !(o == OutcomeDeadLettered && known == OutcomeAcked) {
				return fmt.Errorf("entry %d of lane %d left with outcome %d, want %d", k, i, known, o)
			}
		}
		if got.Counters != c || st.LaneCounters(LaneID(i)) != c {
			return fmt.Errorf("lane %d: counters %+v, want %+v", i, got.Counters, c)
		}
		if !slices.Equal(got.Facts.Counts, want.counts) || !slices.Equal(got.Facts.Sticky, want.sticky) {
			return fmt.Errorf("lane %d: facts %+v, want %v and %v", i, got.Facts, want.counts, want.sticky)
		}
	}
	if r.Counters != all || st.Counters() != all || all.Pending() != all.Accepted-all.Acked-all.DeadLettered-all.Expired-all.Lost {
		return fmt.Errorf("counters %+v, want %+v", r.Counters, all)
	}
	return m.compareRest(st, r)
}

func (m *slowState) compareRest(st *State, r *Recovered) error {
	seals := map[SealKey]Seal{}
	for i, s := range r.Seals {
		seals[s.SealKey] = s
		if i > 0 && r.Seals[i-1].Lane > s.Lane {
			return fmt.Errorf("seals are not in the order of lanes")
		}
	}
	if !reflect.DeepEqual(seals, m.seals) {
		return fmt.Errorf("seals %+v, want %+v", seals, m.seals)
	}
	parts := map[partitionKey]PartitionState{}
	for _, p := range r.Partitions {
		parts[partitionKey{p.Lane, p.Partition}] = p
	}
	if !maps.Equal(parts, m.parts) {
		return fmt.Errorf("partitions %+v, want %+v", parts, m.parts)
	}
	segments := map[uint64]SegmentInfo{}
	for _, s := range st.Segments() {
		segments[s.Number] = s
	}
	if !reflect.DeepEqual(segments, m.segments) {
		return fmt.Errorf("segments %+v, want %+v", segments, m.segments)
	}
	for name, want := range m.notes {
		if got, ok := st.Note(name); !ok || string(got) != want {
			return fmt.Errorf("note %q is %q, want %q", name, got, want)
		}
	}
	if len(st.notes) != len(m.notes) || st.DeadLetters() != len(m.dead) {
		return fmt.Errorf("%d notes, %d dead letters; want %d, %d", len(st.notes), st.DeadLetters(), len(m.notes), len(m.dead))
	}
	for ref := range m.dead {
		if !st.DeadLettered(ref.lane, ref.index) {
			return fmt.Errorf("entry %d of lane %d is not among the dead letters", ref.index, ref.lane)
		}
		if g := st.Gone(ref.lane); g.Contains(ref.index) || g.CountIn(Span{ref.index, ref.index + 1}) != 0 {
			return fmt.Errorf("dead letter %d of lane %d is not needed any more", ref.index, ref.lane)
		}
	}
	return nil
}
