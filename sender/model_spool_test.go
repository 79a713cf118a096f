package sender_test

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// modelSpool is the contract of a spool without a disk: what a commit holds is durable at
// once and survives a crash; what is not committed is gone.
type modelSpool struct {
	topics   []string
	entries  [][][]byte // per lane: encoded entries
	bound    []protocol.TopicID
	settled  []*spool.Set
	facts    []spool.Facts
	parts    map[[2]int64]spool.PartitionState
	seals    map[spool.SealKey]spool.Seal
	dead     map[spool.LaneID][]spool.Index
	cluster  string
	former   spool.Identity
	pending  spool.Identity
	stopped  string
	starts   uint64
	maxWrite uint64
	whole    bool // what has left is still given: a block goes only as a whole
}

func newModelSpool() *modelSpool {
	return &modelSpool{
		parts: map[[2]int64]spool.PartitionState{}, seals: map[spool.SealKey]spool.Seal{},
		dead: map[spool.LaneID][]spool.Index{}, former: protocol.NoIdentity, pending: protocol.NoIdentity,
	}
}

func (m *modelSpool) lane(topic string) (spool.LaneID, bool) {
	if i := slices.Index(m.topics, topic); i >= 0 {
		return spool.LaneID(i), false
	}
	m.topics = append(m.topics, topic)
	m.entries = append(m.entries, nil)
	m.bound = append(m.bound, protocol.TopicID{})
	m.settled = append(m.settled, spool.NewSet(0))
	m.facts = append(m.facts, spool.Facts{})
	return spool.LaneID(len(m.topics) - 1), true
}

// apply makes a Write durable.
func (m *modelSpool) apply(w *spool.Write) {
	if w.ID <= m.maxWrite {
		panic("model: writes out of order")
	}
	m.maxWrite = w.ID
	if w.ClusterID != "" {
		m.cluster = w.ClusterID
	}
	if w.Identity != nil {
		m.pending = *w.Identity
	}
	for _, b := range w.Bindings {
		m.bound[b.Lane] = b.TopicID
		if b.ResetFacts {
			m.facts[b.Lane] = spool.Facts{}
		}
	}
	for _, f := range w.Facts {
		d := &m.facts[f.Lane]
		for _, c := range f.Sticky {
			if n := len(d.Sticky); n > 0 && d.Sticky[n-1].From > c.From {
				panic(fmt.Sprintf("model: sticky run from %d after one from %d", c.From, d.Sticky[n-1].From))
			}
		}
		for _, c := range f.Counts {
			if n := len(d.Counts); n > 0 && d.Counts[n-1].From > c.From {
				panic(fmt.Sprintf("model: partition count from %d after one from %d", c.From, d.Counts[n-1].From))
			}
		}
		d.Counts = append(d.Counts, f.Counts...)
		d.Sticky = append(d.Sticky, f.Sticky...)
	}
	for _, k := range w.Unseal {
		delete(m.seals, k)
	}
	for _, s := range w.Seals {
		s.Spans = slices.Clone(s.Spans)
		m.seals[s.SealKey] = s
	}
	for _, s := range w.Settle {
		for _, sp := range s.Spans {
			if n := m.settled[s.Lane].Add(sp); n != sp.Len() {
				panic(fmt.Sprintf("model: %v of lane %d settled twice", sp, s.Lane))
			}
		}
	}
	for _, d := range w.DeadLetters {
		m.dead[d.Lane] = append(m.dead[d.Lane], d.Index)
	}
	for _, p := range w.Partitions {
		m.parts[[2]int64{int64(p.Lane), int64(p.Partition)}] = p
	}
	if w.Stop != "" {
		m.stopped = w.Stop
	}
}

// recovered is what a start finds.
func (m *modelSpool) recovered() *spool.Recovered {
	if m.pending.Valid() {
		m.former, m.pending = m.pending, protocol.NoIdentity
	}
	m.starts++
	m.maxWrite = 0
	r := &spool.Recovered{SpoolID: "model", Incarnation: m.starts, ClusterID: m.cluster, Former: m.former, Stopped: m.stopped}
	for i, t := range m.topics {
		r.Lanes = append(r.Lanes, spool.Lane{
			ID: spool.LaneID(i), Topic: t, TopicID: m.bound[i], End: spool.Index(len(m.entries[i])),
			Settled: m.settled[i].Clone(),
			Facts:   spool.Facts{Counts: slices.Clone(m.facts[i].Counts), Sticky: slices.Clone(m.facts[i].Sticky)},
		})
	}
	for _, p := range m.parts {
		r.Partitions = append(r.Partitions, p)
	}
	slices.SortFunc(r.Partitions, func(a, b spool.PartitionState) int {
		return int(int64(a.Lane)<<32+int64(a.Partition)) - int(int64(b.Lane)<<32+int64(b.Partition))
	})
	for _, s := range m.seals {
		r.Seals = append(r.Seals, s)
	}
	slices.SortFunc(r.Seals, func(a, b spool.Seal) int { return int(a.Ordinal) - int(b.Ordinal) })
	return r
}

// feed answers a Feed as a spool does that has dropped what is settled.
func (m *modelSpool) feed(f sender.Feed) *sender.Fed {
	out := &sender.Fed{ID: f.ID, Lane: f.Lane, From: f.From, Next: f.From}
	size := 0
	all := m.entries[f.Lane]
	var sec spool.Section
	sec.Lane = f.Lane
	for i := f.From; i < spool.Index(len(all)); i++ {
		out.Next = i + 1
		if m.settled[f.Lane].Contains(i) && !m.whole {
			continue
		}
		if n := len(sec.Spans); n > 0 && sec.Spans[n-1].End == i {
			sec.Spans[n-1].End++
		} else {
			sec.Spans = append(sec.Spans, spool.Span{First: i, End: i + 1})
		}
		sec.Bytes = append(sec.Bytes, all[i]...)
		if size += len(all[i]); size >= f.Bytes {
			break
		}
	}
	if len(sec.Spans) > 0 {
		out.Sections = []spool.Section{sec}
	}
	return out
}

// clone is a copy of the directory.
func (m *modelSpool) clone() *modelSpool {
	d := *m
	d.topics, d.bound = slices.Clone(m.topics), slices.Clone(m.bound)
	d.entries, d.settled, d.facts = nil, nil, nil
	for i := range m.topics {
		d.entries = append(d.entries, slices.Clone(m.entries[i]))
		d.settled = append(d.settled, m.settled[i].Clone())
		d.facts = append(d.facts, spool.Facts{Counts: slices.Clone(m.facts[i].Counts), Sticky: slices.Clone(m.facts[i].Sticky)})
	}
	d.parts, d.seals, d.dead = maps.Clone(m.parts), maps.Clone(m.seals), maps.Clone(m.dead)
	return &d
}
