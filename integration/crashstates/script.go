package crashstates

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// Script says what a workload does: one of the scenes, or what comes of its seed.
type Script struct {
	Seed  uint64
	Scene string // or ""
}

func (x Script) env() string { return fmt.Sprintf("%s=%d %s", envScript, x.Seed, x.Scene) }

func parseScript(s string) (x Script, err error) {
	seed, scene, _ := strings.Cut(s, " ")
	x.Scene = scene
	if x.Seed, err = strconv.ParseUint(seed, 10, 64); err != nil {
		return x, fmt.Errorf("crashstates: script %q: %w", s, err)
	}
	return x, nil
}

const noteNames = 4

// taste is how one seed's workload differs from another's.
type taste struct {
	segment  int64 // SegmentBytes
	grow     int   // by how much files grow
	settles  int   // one in so many steps settles
	leaves   int   // one in so many settlements leaves one behind, to keep its segment alive
	records  int   // most in a batch
	size     int   // most bytes in one
	keyed    int   // one in so many batches has a key
	together int   // one in so many batches is not waited for
}

func (x Script) taste() taste {
	if x.Scene != "" {
		return taste{segment: 8 << 10, grow: 16 << 10, together: 1 << 30}
	}
	rng := rand.New(rand.NewPCG(x.Seed, 1<<40))
	pick := func(of ...int) int { return of[rng.IntN(len(of))] }
	return taste{
		segment: int64(pick(8, 12, 24, 48)) << 10, grow: pick(16, 64) << 10, settles: pick(2, 2, 2, 3), leaves: pick(4, 16, 32, 64),
		records: pick(1, 4, 8), size: pick(50, 300, 700), keyed: pick(2, 4, 16), together: pick(2, 3, 8),
	}
}

// options keep files small, so that a state is cheap and segments come and go.
func (x Script) options(dir string) bolt.Options {
	t := x.taste()
	rewrite := time.Millisecond
	if x.Scene != "" {
		rewrite = -1 // with the commits of the scene, and no others
	}
	return bolt.Options{
		Path: dir, SegmentBytes: t.segment, GroupBytes: 4 << 10, MaxBatch: 16 << 10, MinFreeBytes: -1,
		SettleAfter: 2 * time.Millisecond, RewriteAfter: rewrite,
		Faults: &bolt.Faults{AllocSize: t.grow},
	}
}

// next makes step number n, which is the same for the same script and model, and carries it out in the model.
func (x Script) next(m *Model, n int) Step {
	if x.Scene != "" {
		return scenes[x.Scene].step(m, n, sceneSize(x.Seed))
	}
	t := x.taste()
	rng := rand.New(rand.NewPCG(x.Seed, uint64(n)))
	if rng.IntN(t.settles) == 0 {
		if w := t.write(m, rng, n); w != nil {
			return Step{Write: w}
		}
	}
	b := &bolt.BatchInput{}
	count, most := 1+rng.IntN(t.records), t.size
	if rng.IntN(24) == 0 {
		count, most = 1, 12<<10
	}
	keyed := rng.IntN(t.keyed) == 0
	for range count {
		m.add(b, n, fmt.Sprintf("t%d", rng.IntN(3)), rng.IntN(most))
	}
	if keyed {
		m.key(b, n)
	}
	if rng.IntN(3) == 0 {
		name, v := fmt.Sprintf("n%d", rng.IntN(noteNames)), strconv.Itoa(n)
		if m.notes[name] != "" && rng.IntN(4) == 0 {
			v = ""
		}
		m.note(b, name, v)
	}
	return Step{Batch: b}
}

// write makes a Write that settles and seals, or nil if there is nothing to do it to.
func (t taste) write(m *Model, rng *rand.Rand, n int) *spool.Write {
	if len(m.topics) == 0 {
		return nil
	}
	id := spool.LaneID(rng.IntN(len(m.topics)))
	l := m.lanes[m.topics[id]]
	first := spool.Index(0)
	for int(first) < len(l.values) && l.settled[first] != 0 {
		first++
	}
	if rng.IntN(t.leaves) == 0 { // one is left behind
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
	return m.settle(n, id, spool.Span{First: first, End: end}, outcome)
}

// scene is a workload of a few steps, so small that every state of it can be made.
type scene struct {
	before string // lives that are not traced
	lives  string // that are
	needs  []Kind // what the trace must have
	step   func(m *Model, n, size int) Step
}

// sceneSizes is how many sizes of records each scene is done with.
const sceneSizes = 4

// sceneSize is the size of a scene's records, by its seed.
func sceneSize(seed uint64) int { return []int{20, 300, 700, 1200}[seed%sceneSizes] }

// batch is a step with records of one topic.
func batch(m *Model, n int, topic string, sizes ...int) Step {
	b := &bolt.BatchInput{}
	for _, size := range sizes {
		m.add(b, n, topic, size)
	}
	return Step{Batch: b}
}

// scenes by name. The size of their records decides how many sectors a commit writes.
var scenes = map[string]scene{
	"a spool is made":                       {lives: "0", needs: []Kind{Create, Rename, Sync}, step: few},
	"the first records":                     {before: "0", lives: "1", needs: []Kind{Write, Sync}, step: few},
	"a start with nothing to do":            {before: "3", lives: "0", needs: []Kind{Write, Sync}, step: few},
	"a new segment":                         {before: "2", lives: "1", needs: []Kind{Create, Rename, Write}, step: few},
	"records leave":                         {before: "2", lives: "2", needs: []Kind{Write, Sync}, step: leaving},
	"a segment goes":                        {before: "3", lives: "2", needs: []Kind{Unlink}, step: going},
	"remains are carried":                   {before: "4", lives: "6", needs: []Kind{Unlink, Write}, step: carrying},
	"a key and a note":                      {before: "1", lives: "1", needs: []Kind{Write}, step: noted},
	"a dead letter":                         {before: "1", lives: "1", needs: []Kind{Write}, step: dying},
	"a record that makes the file grow":     {before: "1", lives: "1", needs: []Kind{Truncate}, step: growing},
	"two lives, the first one ends by kill": {before: "1", lives: "1k,1", needs: []Kind{Write}, step: few},
	"a transaction in several segments":     {before: "2", lives: "1", needs: []Kind{Create, Rename, Write}, step: staging},
}

// staging has a segment that is full, and then a transaction of two topics, whose records are on the disk before it is committed.
func staging(m *Model, n, size int) Step {
	if n < 3 {
		return few(m, n, size)
	}
	b := &bolt.BatchInput{}
	for _, topic := range []string{"t", "u", "t", "t"} {
		m.add(b, n, topic, size)
	}
	m.note(b, "n0", "x")
	return Step{Batch: b, Staged: true}
}

// few is a step that fills a part of a page, or one.
func few(m *Model, n, size int) Step { return batch(m, n, "t", size, size) }

func leaving(m *Model, n, size int) Step {
	if n == 3 {
		return Step{Write: m.settle(n, 0, spool.Span{End: 2}, spool.OutcomeAcked)}
	}
	return few(m, n, size)
}

// going has two segments, and then nothing in the first.
func going(m *Model, n, size int) Step {
	if n == 4 {
		return Step{Write: m.settle(n, 0, spool.Span{End: 4}, spool.OutcomeAcked)}
	}
	return few(m, n, size)
}

// carrying has two segments, and then one record in the first, which is carried into the second.
func carrying(m *Model, n, size int) Step {
	switch n {
	case 1:
		return batch(m, n, "t", size/4, 20, 20, 20, 20, 20)
	case 4:
		return Step{Write: m.settle(n, 0, spool.Span{First: 1, End: 8}, spool.OutcomeAcked)}
	}
	return batch(m, n, "t", size/4)
}

func noted(m *Model, n, size int) Step {
	s := few(m, n, size)
	if n == 2 {
		m.key(s.Batch, n)
		m.note(s.Batch, "n0", "x")
	}
	return s
}

func dying(m *Model, n, size int) Step {
	if n == 2 {
		return Step{Write: m.settle(n, 0, spool.Span{End: 1}, spool.OutcomeDeadLettered)}
	}
	return few(m, n, size)
}

func growing(m *Model, n, size int) Step {
	if n == 2 {
		return batch(m, n, "t", 3000+size)
	}
	return few(m, n, size)
}
