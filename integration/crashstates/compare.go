package crashstates

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// facts are what Differs compares, worked out once.
type facts struct {
	lanes []laneFacts
	sum   spool.Counters
}

type laneFacts struct {
	counters spool.Counters
	settled  []spool.Span
}

func (m *Model) work() *facts {
	if m.facts != nil {
		return m.facts
	}
	x := &facts{}
	for _, topic := range m.topics {
		l := m.lanes[topic]
		y := laneFacts{counters: spool.Counters{Accepted: uint64(len(l.values))}}
		for i, outcome := range l.settled {
			at := spool.Index(i)
			switch outcome {
			case 0:
				continue
			case spool.OutcomeAcked:
				y.counters.Acked++
			case spool.OutcomeDeadLettered:
				y.counters.DeadLettered++
			case spool.OutcomeExpired:
				y.counters.Expired++
			}
			if n := len(y.settled); n > 0 && y.settled[n-1].End == at {
				y.settled[n-1].End++
			} else {
				y.settled = append(y.settled, spool.Span{First: at, End: at + 1})
			}
		}
		x.lanes = append(x.lanes, y)
		x.sum = x.sum.Add(y.counters)
	}
	m.facts = x
	return x
}

// Differs says how an open spool differs from the model, or "". It appends nothing.
func (m *Model) Differs(s *bolt.Store, r *spool.Recovered) string {
	if len(r.Lanes) != len(m.topics) {
		return fmt.Sprintf("%d topics, not %d", len(r.Lanes), len(m.topics))
	}
	x := m.work()
	for i, topic := range m.topics {
		got, l, want := &r.Lanes[i], m.lanes[topic], &x.lanes[i]
		if got.Topic != topic || int(got.End) != len(l.values) {
			return fmt.Sprintf("topic %d is %q with %d records, not %q with %d", i, got.Topic, got.End, topic, len(l.values))
		}
		if settled := slices.Collect(got.Settled.Spans); !slices.Equal(settled, want.settled) {
			return fmt.Sprintf("%s: settled is %v, not %v", topic, settled, want.settled)
		}
		if got.Counters != want.counters {
			return fmt.Sprintf("%s: counters %+v, not %+v", topic, got.Counters, want.counters)
		}
	}
	if r.Counters != x.sum {
		return fmt.Sprintf("counters %+v, not %+v", r.Counters, x.sum)
	}
	for n := range noteNames {
		name := fmt.Sprintf("n%d", n)
		v, ok := s.Note(name)
		if want, has := m.notes[name]; ok != has || string(v) != want {
			return fmt.Sprintf("note %s is %q, not %q", name, v, want)
		}
	}
	if len(r.Seals) != len(m.seals) {
		return fmt.Sprintf("%d seals, not %d", len(r.Seals), len(m.seals))
	}
	for i := range r.Seals {
		want, ok := m.seals[r.Seals[i].SealKey]
		if !ok || !sameSeal(&r.Seals[i], &want) {
			return fmt.Sprintf("seal %+v, not %+v", r.Seals[i], want)
		}
	}
	st := s.Stats()
	if st.DeadLetters != m.dead {
		return fmt.Sprintf("%d dead letters, not %d", st.DeadLetters, m.dead)
	}
	if st.Keys != len(m.keys) {
		return fmt.Sprintf("%d idempotency keys, not %d", st.Keys, len(m.keys))
	}
	return ""
}

// sameSeal compares everything in two seals.
func sameSeal(a, b *spool.Seal) bool {
	x, y := *a, *b
	x.Spans, y.Spans = nil, nil
	return slices.Equal(a.Spans, b.Spans) && reflect.DeepEqual(x, y)
}

// same reports whether two models are of the same spool.
func (m *Model) same(o *Model) bool {
	return m == o || slices.Equal(m.topics, o.topics) && maps.Equal(m.notes, o.notes) && maps.Equal(m.keys, o.keys) &&
		m.dead == o.dead && reflect.DeepEqual(m.seals, o.seals) && reflect.DeepEqual(m.lanes, o.lanes)
}

// Contents compares every record that has not left, byte for byte.
func (m *Model) Contents(s *bolt.Store) error {
	for id, topic := range m.topics {
		l := m.lanes[topic]
		seen := make([]bool, len(l.values))
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
		for i, outcome := range l.settled {
			if outcome == 0 && !seen[i] {
				return fmt.Errorf("%s[%d] is missing", topic, i)
			}
		}
	}
	return nil
}

func (l *laneModel) compare(topic string, sect *spool.Section, seen []bool) error {
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
			if int(i) < len(l.values) && l.settled[i] != 0 {
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
	for _, n := range m.keys {
		if err := repeat(n, true); err != nil {
			return err
		}
	}
	for _, n := range absent {
		if err := repeat(n, false); err != nil {
			return err
		}
	}
	return nil
}
