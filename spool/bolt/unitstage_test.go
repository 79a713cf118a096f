package bolt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold/spool"
)

// stageRig runs staged units, plain records, settlements, aborts and restarts in random order, and compares what can be
// read with a list, in the spool as in copies of it that were made at the points where a process may be killed.
type stageRig struct {
	t      *testing.T
	rng    *rand.Rand
	o      Options
	l      *testLoop
	topics []string
	want   map[string][]string // by topic: all values that were committed
	left   map[string]int      // how many of them have left
	open   []*openStage
	n      int

	mu     sync.Mutex // the committer makes copies
	copies []string   // of the spool as it was at a point
}

type openStage struct {
	u      *StagedUnit
	values map[string][]string
}

func newStageRig(t *testing.T, seed uint64) *stageRig {
	r := &stageRig{t: t, rng: rand.New(rand.NewPCG(seed, 7)), topics: []string{"a", "b", "c"}, want: map[string][]string{}, left: map[string]int{}}
	r.o = tinyOptions(t.TempDir())
	r.o.SegmentBytes = 64 << 10
	r.o.RewriteAfter = time.Millisecond
	points := rand.New(rand.NewPCG(seed, 8))
	r.o.Faults = &Faults{Point: func(string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.copies) == 0 && points.IntN(8) == 0 {
			dir := t.TempDir()
			copyDir(t, r.o.Path, dir)
			r.copies = append(r.copies, dir)
		}
	}, Go: func(work func()) { work() }}
	r.l, _ = openLoop(t, r.o)
	return r
}

// taken gives the copies that were made since it was called last.
func (r *stageRig) taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	copies := r.copies
	r.copies = nil
	return copies
}

func (r *stageRig) value() string {
	r.n++
	return fmt.Sprintf("%d-%s", r.n, strings.Repeat("x", r.rng.IntN(2000)))
}

// stage writes a chunk of a unit.
func (r *stageRig) stage(x *openStage) {
	var list []RecordInput
	values := map[string][]string{}
	for range 1 + r.rng.IntN(8) {
		topic, v := r.topics[r.rng.IntN(len(r.topics))], r.value()
		list = append(list, RecordInput{Topic: topic, Timestamp: 1, Partition: -1, Value: []byte(v)})
		values[topic] = append(values[topic], v)
	}
	if err := x.u.Stage(short(r.t), list); err != nil {
		r.t.Fatal(err)
	}
	for topic, v := range values {
		x.values[topic] = append(x.values[topic], v...)
	}
}

func (r *stageRig) step() {
	switch k := r.rng.IntN(20); {
	case k < 3 && len(r.open) < 3:
		r.open = append(r.open, &openStage{BeginUnit(r.l.s), map[string][]string{}})
	case k < 12 && len(r.open) > 0:
		r.stage(r.open[r.rng.IntN(len(r.open))])
	case k < 14 && len(r.open) > 0:
		x := r.take()
		if _, err := x.u.Commit(short(r.t), nil); err != nil {
			r.t.Fatal(err)
		}
		for topic, v := range x.values {
			r.want[topic] = append(r.want[topic], v...)
		}
	case k == 14 && len(r.open) > 0:
		r.take().u.Abort()
	case k < 17:
		topic, v := r.topics[r.rng.IntN(len(r.topics))], r.value()
		mustAppend(r.t, r.l.s, topic, v)
		r.want[topic] = append(r.want[topic], v)
	case k < 19:
		topic := r.topics[r.rng.IntN(len(r.topics))]
		if n := len(r.want[topic]) - r.left[topic]; n > 0 {
			end := r.left[topic] + 1 + r.rng.IntN(n)
			r.sync()
			r.l.settle(topic, spool.Span{First: spool.Index(r.left[topic]), End: spool.Index(end)})
			r.left[topic] = end
		}
	default:
		r.l.close()
		r.open = nil // a start ends them
		r.l, _ = openLoop(r.t, r.o)
	}
}

func (r *stageRig) take() *openStage {
	i := r.rng.IntN(len(r.open))
	x := r.open[i]
	r.open = slices.Delete(r.open, i, i+1)
	return x
}

func (r *stageRig) sync() {
	if err := r.l.s.Sync(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// pending is what can be read of each topic.
func (r *stageRig) pending(s *Store) map[string][]string {
	out := map[string][]string{}
	for topic, l := range s.lanes {
		all := readAll(r.t, s, l.id)
		for _, i := range slices.Sorted(maps.Keys(all)) {
			out[topic] = append(out[topic], all[i])
		}
	}
	return out
}

func (r *stageRig) wanted() map[string][]string {
	out := map[string][]string{}
	for topic, v := range r.want {
		if v := v[r.left[topic]:]; len(v) > 0 {
			out[topic] = v
		}
	}
	return out
}

func (r *stageRig) check(dir string, want ...map[string][]string) {
	r.t.Helper()
	o := r.o
	o.Path, o.Adopt, o.Faults = dir, true, &Faults{}
	l, _ := openLoop(r.t, o)
	got := r.pending(l.s)
	for _, w := range want {
		if reflect.DeepEqual(got, w) {
			l.close()
			checkNoProblems(r.t, dir)
			return
		}
	}
	r.t.Fatalf("a start finds %s, want one of %s", brief(got), brief(want...))
}

func checkNoProblems(t *testing.T, dir string) {
	t.Helper()
	rep, err := Check(dir, func(int64, int64) {})
	if err != nil || len(rep.Problems) > 0 {
		t.Fatalf("%v %+v", err, rep)
	}
}

func brief(list ...map[string][]string) string {
	var b strings.Builder
	for _, m := range list {
		for _, topic := range slices.Sorted(maps.Keys(m)) {
			b.WriteString(" " + topic + ":")
			for _, v := range m[topic] {
				head, _, _ := strings.Cut(v, "-")
				b.WriteString(" " + head)
			}
		}
		b.WriteString(" |")
	}
	return b.String()
}

// Law: staged records are in no topic before their unit is committed, and in their places as soon as it is, in whichever
// segments they are; a process that is killed at any point leaves the units before or after its step, whole.
func TestAStagedUnitIsThereWholeOrNotAtAllWheneverItEnds(t *testing.T) {
	for seed := range uint64(2) {
		r := newStageRig(t, seed)
		for range 40 {
			before := r.wanted()
			r.taken()
			r.step()
			r.sync()
			after := r.wanted()
			if got := r.pending(r.l.s); !reflect.DeepEqual(got, after) {
				t.Fatalf("seed %d: can be read: %s, want %s", seed, brief(got), brief(after))
			}
			for _, dir := range r.taken() {
				r.check(dir, before, after)
			}
		}
		r.l.close()
		r.check(r.o.Path, r.wanted())
	}
}

// The disk is given back after Abort, and by a start that finds staged records of nobody.
func TestAUnitThatIsNotCommittedGivesItsRoomBack(t *testing.T) {
	o := tinyOptions(t.TempDir())
	o.StagedBytes, o.RewriteAfter = 4<<20, time.Millisecond
	l, _ := openLoop(t, o)
	big := func(u *StagedUnit) error {
		return u.Stage(short(t), []RecordInput{{Topic: "a", Timestamp: 1, Partition: -1, Value: make([]byte, 16<<10)}, {Topic: "a", Timestamp: 1, Partition: -1, Value: make([]byte, 12<<10)}})
	}
	full := func() *StagedUnit {
		u := BeginUnit(l.s)
		for {
			switch err := big(u); {
			case errors.Is(err, ErrStagedFull):
				return u
			case err != nil:
				t.Fatal(err)
			}
		}
	}
	u := full()
	if owned := ownedOnDisk(t, o.Path); owned < 4<<20 || owned > 8<<20 {
		t.Errorf("4 MiB of staged records own %d bytes", owned)
	}
	if st := l.s.Stats(); st.Counters.Accepted != 0 {
		t.Errorf("%d records are accepted, and nothing was committed", st.Counters.Accepted)
	}
	u.Abort()
	if err := big(u); !errors.Is(err, ErrUnitOver) {
		t.Errorf("after Abort: %v", err)
	}
	l.within(0)
	full()
	l.close()
	l, _ = openLoop(t, o)
	l.within(0)
	l.close()
}
