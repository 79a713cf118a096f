package crashstates

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// options keep files small, so that a state is cheap and segments come and go.
func options(dir string) bolt.Options {
	return bolt.Options{
		Path: dir, SegmentBytes: 24 << 10, GroupBytes: 4 << 10, MaxBatch: 16 << 10, MinFreeBytes: -1,
		SettleAfter: 2 * time.Millisecond, RewriteAfter: time.Millisecond,
	}
}

// Model is what must be in the spool. It is slow and simple.
type Model struct {
	topics []string // in the order of their lanes
	lanes  map[string]*laneModel
	notes  map[string]string
	keys   map[string]string // the topic and value that a key was used for
	seals  map[spool.SealKey]spool.Seal
	dead   int
}

type laneModel struct {
	values  []string
	settled map[spool.Index]spool.Outcome
}

func newModel() *Model {
	return &Model{lanes: map[string]*laneModel{}, notes: map[string]string{}, keys: map[string]string{}, seals: map[spool.SealKey]spool.Seal{}}
}

func (m *Model) clone() *Model {
	c := *m
	c.lanes = map[string]*laneModel{}
	for k, l := range m.lanes {
		c.lanes[k] = &laneModel{slices.Clone(l.values), maps.Clone(l.settled)}
	}
	c.topics, c.notes, c.keys, c.seals = slices.Clone(m.topics), maps.Clone(m.notes), maps.Clone(m.keys), maps.Clone(m.seals)
	return &c
}

// Step is what a caller or the loop does at once: a batch, or a Write.
type Step struct {
	Batch *bolt.BatchInput
	Write *spool.Write
}

// next makes step number n, which is the same for the same seed and model, and carries it out in the model.
func (m *Model) next(seed uint64, n int) Step {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	if rng.IntN(3) == 0 {
		if w := m.write(rng, n); w != nil {
			return Step{Write: w}
		}
	}
	b := &bolt.BatchInput{}
	count, most := 1+rng.IntN(8), 700
	if rng.IntN(12) == 0 {
		count, most = 1, 12<<10
	}
	keyed := rng.IntN(4) == 0
	for range count {
		topic := fmt.Sprintf("t%d", rng.IntN(3))
		l := m.lane(topic)
		v := fmt.Sprintf("%d/%s/%d/", n, topic, len(l.values))
		v += strings.Repeat(string(rune('a'+n%26)), rng.IntN(most))
		l.values = append(l.values, v)
		b.Records = append(b.Records, bolt.RecordInput{Topic: topic, Timestamp: int64(n), Partition: -1, Key: []byte(topic), Value: []byte(v)})
	}
	if keyed {
		b.Scope, b.Key = "/", fmt.Sprintf("key%d", n)
		m.keys[b.Key] = fmt.Sprint(n)
	}
	if rng.IntN(3) == 0 {
		name, v := fmt.Sprintf("n%d", rng.IntN(4)), fmt.Sprint(n)
		if m.notes[name] != "" && rng.IntN(4) == 0 {
			delete(m.notes, name)
			b.Notes = append(b.Notes, bolt.Note{Name: name})
		} else {
			m.notes[name] = v
			b.Notes = append(b.Notes, bolt.Note{Name: name, Value: []byte(v)})
		}
	}
	return Step{Batch: b}
}

func (m *Model) lane(topic string) *laneModel {
	if m.lanes[topic] == nil {
		m.lanes[topic] = &laneModel{settled: map[spool.Index]spool.Outcome{}}
		m.topics = append(m.topics, topic)
	}
	return m.lanes[topic]
}

// write makes a Write that settles and seals, or nil if there is nothing to do it to.
func (m *Model) write(rng *rand.Rand, n int) *spool.Write {
	if len(m.topics) == 0 {
		return nil
	}
	id := spool.LaneID(rng.IntN(len(m.topics)))
	l := m.lanes[m.topics[id]]
	first := spool.Index(0)
	for int(first) < len(l.values) && l.settled[first] != 0 {
		first++
	}
	if rng.IntN(4) == 0 { // one is left behind, to keep its segment alive
		first++
	}
	end := min(spool.Index(len(l.values)), first+spool.Index(rng.IntN(50)))
	outcome := spool.Outcome(1 + rng.IntN(3))
	if outcome == spool.OutcomeDeadLettered {
		for first < end && l.settled[first] != 0 {
			first++
		}
		end = min(end, first+1)
	}
	if first >= end {
		return nil
	}
	w := &spool.Write{Settle: []spool.Settlement{{Lane: id, Spans: []spool.Span{{First: first, End: end}}, Outcome: outcome}}}
	for i := first; i < end; i++ {
		if l.settled[i] == 0 {
			l.settled[i] = outcome
			if outcome == spool.OutcomeDeadLettered {
				w.DeadLetters = append(w.DeadLetters, spool.DeadLetter{Lane: id, Index: i, Code: 10, Message: "too large"})
				m.dead++
			}
		}
	}
	m.seal(w, id, l, n)
	return w
}

// seal seals the first entries that have not left, and forgets seals of which nothing is left.
func (m *Model) seal(w *spool.Write, id spool.LaneID, l *laneModel, n int) {
	from := spool.Index(0)
	for int(from) < len(l.values) && l.settled[from] != 0 {
		from++
	}
	to := from
	for int(to) < len(l.values) && l.settled[to] == 0 && to < from+4 {
		to++
	}
	if from < to {
		x := spool.Seal{
			SealKey: spool.SealKey{Lane: id, Partition: 1, Identity: protocol.ProducerIdentity{ID: 7, Epoch: 2}, Base: protocol.Sequence(n)},
			Count:   int32(to - from), Spans: []spool.Span{{First: from, End: to}}, TopicID: protocol.TopicID{1, 2}, MaxTimestamp: 5, SealedAt: 6, SealedAge: 7, Tail: 8, Ordinal: uint64(n),
		}
		w.Seals = append(w.Seals, x)
		m.seals[x.SealKey] = x
	}
	maps.DeleteFunc(m.seals, func(k spool.SealKey, x spool.Seal) bool {
		for _, sp := range x.Spans {
			for i := sp.First; i < sp.End; i++ {
				if m.lanes[m.topics[k.Lane]].settled[i] == 0 {
					return false
				}
			}
		}
		return true
	})
}

// Differs says how an open spool differs from the model, or "". It appends nothing.
func (m *Model) Differs(s *bolt.Store, r *spool.Recovered) string {
	if len(r.Lanes) != len(m.topics) {
		return fmt.Sprintf("%d topics, not %d", len(r.Lanes), len(m.topics))
	}
	var sum spool.Counters
	for i, topic := range m.topics {
		got, l := &r.Lanes[i], m.lanes[topic]
		if got.Topic != topic || int(got.End) != len(l.values) {
			return fmt.Sprintf("topic %d is %q with %d records, not %q with %d", i, got.Topic, got.End, topic, len(l.values))
		}
		want := spool.Counters{Accepted: uint64(len(l.values))}
		for k := range spool.Index(len(l.values)) {
			outcome := l.settled[k]
			switch outcome {
			case spool.OutcomeAcked:
				want.Acked++
			case spool.OutcomeDeadLettered:
				want.DeadLettered++
			case spool.OutcomeExpired:
				want.Expired++
			}
			if got.Settled.Contains(k) != (outcome != 0) {
				return fmt.Sprintf("%s[%d]: settled is %v", topic, k, outcome == 0)
			}
		}
		if got.Counters != want {
			return fmt.Sprintf("%s: counters %+v, not %+v", topic, got.Counters, want)
		}
		sum = sum.Add(want)
	}
	if r.Counters != sum {
		return fmt.Sprintf("counters %+v, not %+v", r.Counters, sum)
	}
	for n := range 4 {
		name := fmt.Sprintf("n%d", n)
		v, ok := s.Note(name)
		if want, has := m.notes[name]; ok != has || string(v) != want {
			return fmt.Sprintf("note %s is %q, not %q", name, v, want)
		}
	}
	seals := map[spool.SealKey]spool.Seal{}
	for _, x := range r.Seals {
		seals[x.SealKey] = x
	}
	if !reflect.DeepEqual(seals, m.seals) {
		return fmt.Sprintf("%d seals %+v, not %d %+v", len(seals), seals, len(m.seals), m.seals)
	}
	if got := s.Stats().DeadLetters; got != m.dead {
		return fmt.Sprintf("%d dead letters, not %d", got, m.dead)
	}
	return ""
}

// Contents compares every record that has not left, byte for byte.
func (m *Model) Contents(s *bolt.Store) error {
	for id, topic := range m.topics {
		l := m.lanes[topic]
		seen := map[spool.Index]bool{}
		var buf []byte
		for at := spool.Index(0); ; {
			sections, next, b, err := s.Read(spool.LaneID(id), at, 64<<10, buf)
			if err != nil {
				return fmt.Errorf("read %s from %d: %w", topic, at, err)
			}
			if len(sections) == 0 {
				break
			}
			for i := range sections {
				if err := l.compare(topic, &sections[i], seen); err != nil {
					return err
				}
			}
			buf, at = b, next
		}
		for i := range l.values {
			if k := spool.Index(i); l.settled[k] == 0 && !seen[k] {
				return fmt.Errorf("%s[%d] is missing", topic, k)
			}
		}
	}
	return nil
}

func (l *laneModel) compare(topic string, sect *spool.Section, seen map[spool.Index]bool) error {
	b := sect.Bytes
	for _, sp := range sect.Spans {
		for i := sp.First; i < sp.End; i++ {
			e, rest, err := spool.NextEntry(b)
			if err != nil {
				return fmt.Errorf("%s[%d]: %w", topic, i, err)
			}
			r, err := e.Record()
			if err != nil {
				return fmt.Errorf("%s[%d]: %w", topic, i, err)
			}
			b = rest
			if l.settled[i] != 0 {
				continue // it may still be in its block
			}
			if int(i) >= len(l.values) || string(r.Value) != l.values[i] || !bytes.Equal(r.Key, []byte(topic)) || seen[i] {
				return fmt.Errorf("%s[%d] is %.60q, or is there twice", topic, i, r.Value)
			}
			seen[i] = true
		}
	}
	return nil
}

// Keys repeats requests: with keys that the model knows they must be duplicates, and with those of
// absent they must not. This appends.
func (m *Model) Keys(ctx context.Context, s *bolt.Store, steps map[int]Step, absent []int) error {
	repeat := func(n int, known bool) error {
		t, err := s.AppendBatch(ctx, steps[n].Batch)
		if err != nil {
			return fmt.Errorf("repeat step %d with its key: %w", n, err)
		}
		if t.Duplicate() != known {
			return fmt.Errorf("step %d repeated with its key: known is %v", n, t.Duplicate())
		}
		return t.Spooled(ctx)
	}
	for _, v := range m.keys {
		var n int
		if _, err := fmt.Sscan(v, &n); err != nil {
			return err
		}
		if err := repeat(n, true); err != nil {
			return err
		}
	}
	for _, n := range absent {
		if b := steps[n].Batch; b != nil && b.Key != "" {
			if err := repeat(n, false); err != nil {
				return err
			}
		}
	}
	return nil
}
