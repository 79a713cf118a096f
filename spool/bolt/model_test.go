package bolt

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/spool"
)

// model is a slow and simple spool.
type model struct {
	lanes   map[string]*modelLane
	order   []string
	notes   map[string]string
	seals   map[spool.SealKey]spool.Seal
	parts   map[string]spool.PartitionState
	keys    map[string]string // key -> topic/first value
	cluster string
	dead    int
	units   map[unitPlace][]spool.UnitRun
	txn     spool.Transaction
}

type modelLane struct {
	values  []string
	settled map[int]spool.Outcome
	sticky  []spool.StickyFact
}

func newModel() *model {
	return &model{lanes: map[string]*modelLane{}, notes: map[string]string{}, seals: map[spool.SealKey]spool.Seal{}, parts: map[string]spool.PartitionState{}, keys: map[string]string{},
		units: map[unitPlace][]spool.UnitRun{}, txn: spool.NewState().Transaction()}
}

func (m *model) clone() *model {
	c := *m
	c.lanes = map[string]*modelLane{}
	for k, l := range m.lanes {
		c.lanes[k] = &modelLane{slices.Clone(l.values), maps.Clone(l.settled), slices.Clone(l.sticky)}
	}
	c.order, c.notes, c.seals, c.parts, c.keys = slices.Clone(m.order), maps.Clone(m.notes), maps.Clone(m.seals), maps.Clone(m.parts), maps.Clone(m.keys)
	c.units = maps.Clone(m.units)
	return &c
}

func (m *model) lane(topic string) *modelLane {
	if m.lanes[topic] == nil {
		m.lanes[topic] = &modelLane{settled: map[int]spool.Outcome{}}
		m.order = append(m.order, topic)
	}
	return m.lanes[topic]
}

// check compares an open store with the model.
func (m *model) check(t testing.TB, what string, s *Store, r *spool.Recovered) {
	t.Helper()
	if len(r.Lanes) != len(m.order) {
		t.Fatalf("%s: %d lanes, want %d", what, len(r.Lanes), len(m.order))
	}
	var want spool.Counters
	for i, topic := range m.order {
		l, got := m.lanes[topic], r.Lanes[i]
		if got.Topic != topic || int(got.End) != len(l.values) {
			t.Fatalf("%s: lane %d is %q up to %d, want %q up to %d", what, i, got.Topic, got.End, topic, len(l.values))
		}
		c := spool.Counters{Accepted: uint64(len(l.values))}
		pending := map[spool.Index]string{}
		for k, v := range l.values {
			switch l.settled[k] {
			case 0:
				pending[spool.Index(k)] = v
			case spool.OutcomeAcked:
				c.Acked++
			case spool.OutcomeDeadLettered:
				c.DeadLettered++
			case spool.OutcomeExpired:
				c.Expired++
			}
			if got.Settled.Contains(spool.Index(k)) != (l.settled[k] != 0) {
				t.Fatalf("%s: %s[%d]: settled %v, want %v", what, topic, k, !(l.settled[k] != 0), l.settled[k] != 0)
			}
		}
		want = want.Add(c)
		if got.Counters != c {
			t.Fatalf("%s: counters of %s: %+v, want %+v", what, topic, got.Counters, c)
		}
		if read := readAll(t, s, got.ID); !maps.Equal(read, pending) {
			t.Fatalf("%s: %s: read %d records, want %d", what, topic, len(read), len(pending))
		}
		if n := len(l.sticky); n > 0 {
			if k := len(got.Facts.Sticky); k == 0 || got.Facts.Sticky[k-1] != l.sticky[n-1] {
				t.Fatalf("%s: facts of %s: %+v, want the last to be %+v", what, topic, got.Facts.Sticky, l.sticky[n-1])
			}
		}
	}
	if r.Counters != want {
		t.Fatalf("%s: counters %+v, want %+v", what, r.Counters, want)
	}
	seals := map[spool.SealKey]spool.Seal{}
	for _, x := range r.Seals {
		seals[x.SealKey] = x
	}
	if !reflect.DeepEqual(seals, m.seals) {
		t.Fatalf("%s: seals %+v, want %+v", what, seals, m.seals)
	}
	parts := map[string]spool.PartitionState{}
	for _, p := range r.Partitions {
		parts[fmt.Sprint(p.Lane, p.Partition)] = p
	}
	if !reflect.DeepEqual(parts, m.parts) || r.ClusterID != m.cluster {
		t.Fatalf("%s: partitions %+v, want %+v", what, parts, m.parts)
	}
	for name, v := range m.notes {
		if got, ok := s.Note(name); !ok || string(got) != v {
			t.Fatalf("%s: note %q = %q, %v; want %q", what, name, got, ok, v)
		}
	}
	for key, v := range m.keys {
		topic, value, _ := strings.Cut(v, "/")
		tk, err := s.AppendBatch(context.Background(), keyed(key, topic, value))
		if err != nil || !tk.Duplicate() {
			t.Fatalf("%s: key %q: duplicate %v, %v", what, key, tk.Duplicate(), err)
		}
	}
	m.checkUnits(t, what, s, r)
	if got := s.Stats().DeadLetters; got != m.dead {
		t.Fatalf("%s: %d dead letters, want %d", what, got, m.dead)
	}
}

func keyed(key, topic, value string) *BatchInput {
	b := &BatchInput{Key: key, Scope: "/"}
	for i := range 3 {
		b.Records = append(b.Records, RecordInput{Topic: topic, Timestamp: NoTimestamp, Partition: -1, Value: []byte(value + strconv.Itoa(i))})
	}
	return b
}

// dropSeals forgets the seals all of whose entries have left.
func (m *model) dropSeals() {
	for k, x := range m.seals {
		left := true
		for _, sp := range x.Spans {
			for i := sp.First; i < sp.End; i++ {
				left = left && m.lanes[m.order[k.Lane]].settled[int(i)] != 0
			}
		}
		if left {
			delete(m.seals, k)
		}
	}
}

// quiet waits until the committer waits for work and nothing runs in the background.
func (l *testLoop) quiet() {
	l.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		l.s.mu.Lock()
		idle := l.s.idle
		l.s.mu.Unlock()
		if idle {
			l.s.begin.Lock() // what begins meanwhile waits
			l.s.work.Wait()
			l.s.begin.Unlock()
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatal("the committer is busy for 20 s")
		}
		runtime.Gosched()
	}
}

// testSeed is SPOOL_SEED, or a new one; it is printed.
func testSeed(t testing.TB) uint64 {
	seed := rand.Uint64()
	if v := os.Getenv("SPOOL_SEED"); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("replay: SPOOL_SEED=%d go test ./spool/bolt -run '^%s$'", seed, t.Name())
	return seed
}
