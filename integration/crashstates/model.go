package crashstates

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// Model is what must be in the spool. It is slow and simple.
type Model struct {
	topics []string // in the order of their lanes
	lanes  map[string]*laneModel
	notes  map[string]string
	keys   map[string]int // in which step a key was used
	seals  map[spool.SealKey]spool.Seal
	dead   int

	facts *facts // once the model does not change any more
}

type laneModel struct {
	values  []string
	settled []spool.Outcome // of each value; 0: it has not left
}

func newModel() *Model {
	return &Model{lanes: map[string]*laneModel{}, notes: map[string]string{}, keys: map[string]int{}, seals: map[spool.SealKey]spool.Seal{}}
}

func (m *Model) clone() *Model {
	c := *m
	c.facts = nil
	c.lanes = map[string]*laneModel{}
	for k, l := range m.lanes {
		c.lanes[k] = &laneModel{slices.Clone(l.values), slices.Clone(l.settled)}
	}
	c.topics, c.notes, c.keys, c.seals = slices.Clone(m.topics), maps.Clone(m.notes), maps.Clone(m.keys), maps.Clone(m.seals)
	return &c
}

// Step is what a caller or the loop does at once: a batch, or a Write.
type Step struct {
	Batch *bolt.BatchInput
	Write *spool.Write
	// Staged: the batch is a transaction of which each record is written before it is committed.
	Staged bool
}

func (m *Model) lane(topic string) *laneModel {
	if m.lanes[topic] == nil {
		m.lanes[topic] = &laneModel{}
		m.topics = append(m.topics, topic)
	}
	return m.lanes[topic]
}

// add puts a record of about size bytes into a batch of step n.
func (m *Model) add(b *bolt.BatchInput, n int, topic string, size int) {
	l := m.lane(topic)
	v := fmt.Sprintf("%d/%s/%d/", n, topic, len(l.values))
	v += strings.Repeat(string(rune('a'+n%26)), size)
	l.values, l.settled = append(l.values, v), append(l.settled, 0)
	b.Records = append(b.Records, bolt.RecordInput{Topic: topic, Timestamp: int64(n), Partition: -1, Key: []byte(topic), Value: []byte(v)})
}

// key gives a batch of step n an idempotency key.
func (m *Model) key(b *bolt.BatchInput, n int) {
	b.Scope, b.Key = "/", fmt.Sprintf("key%d", n)
	m.keys[b.Key] = n
}

// note gives a batch a note; "" deletes it.
func (m *Model) note(b *bolt.BatchInput, name, value string) {
	if value == "" {
		delete(m.notes, name)
		b.Notes = append(b.Notes, bolt.Note{Name: name})
		return
	}
	m.notes[name] = value
	b.Notes = append(b.Notes, bolt.Note{Name: name, Value: []byte(value)})
}

// settle makes a Write of step n: entries leave, and the first ones that have not are sealed.
func (m *Model) settle(n int, id spool.LaneID, sp spool.Span, outcome spool.Outcome) *spool.Write {
	l := m.lanes[m.topics[id]]
	w := &spool.Write{Settle: []spool.Settlement{{Lane: id, Spans: []spool.Span{sp}, Outcome: outcome}}}
	for i := sp.First; i < sp.End; i++ {
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

func (m *Model) accepted() (n uint64) {
	for _, l := range m.lanes {
		n += uint64(len(l.values))
	}
	return n
}
