package bolt

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// crashRig runs single steps against a store and a model, copies the
// directory at every point where a crash may part two steps, and opens the copies.
type crashRig struct {
	t      *testing.T
	rng    *rand.Rand
	o      Options
	l      *testLoop
	m      *model
	mu     sync.Mutex // of copies and points: files are unlinked in the background
	copies []dirCopy
	points map[string]int
	step   int
	share  float64
	pad    string
}

type dirCopy struct {
	dir, point string
}

func (c *crashRig) copyAt(point string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.points[point]++
	if strings.HasSuffix(point, "commit") && rand.Float64() > c.share {
		return
	}
	dir := filepath.Join(c.t.TempDir(), "copy")
	copyDir(c.t, c.o.Path, dir)
	c.copies = append(c.copies, dirCopy{dir, point})
}

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		in, err := os.Open(filepath.Join(from, e.Name()))
		if os.IsNotExist(err) {
			continue // unlinked meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(filepath.Join(to, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(out, in); err != nil {
			t.Fatal(err)
		}
		_, _ = in.Close(), out.Close()
	}
}

// checkCopies opens what was copied during a step that led from before to after.
func (c *crashRig) checkCopies(before, after *model) {
	for _, cp := range c.copies {
		o := c.o
		o.Path, o.Adopt, o.Faults = cp.dir, true, nil
		want := after
		if cp.point == "before commit" || strings.HasPrefix(cp.point, "segment ") {
			want = before
		}
		what := fmt.Sprintf("step %d, copy at %q", c.step, cp.point)
		l, r := openLoop(c.t, o)
		want.check(c.t, what, l.s, r)
		l.close()
		if err := os.RemoveAll(cp.dir); err != nil {
			c.t.Fatal(err)
		}
	}
	c.copies = nil
}

// appendSome makes one commit of a few records.
func (c *crashRig) appendSome() {
	n := 1 + c.rng.IntN(20)
	b := &BatchInput{Unit: c.rng.IntN(2) == 0}
	for range n {
		topic := fmt.Sprintf("t%d", c.rng.IntN(3))
		l := c.m.lane(topic)
		v := fmt.Sprintf("%s-%d-%s", topic, len(l.values), c.pad[:c.rng.IntN(len(c.pad))])
		l.values = append(l.values, v)
		b.Records = append(b.Records, RecordInput{Topic: topic, Timestamp: 5, Partition: -1, Value: []byte(v)})
	}
	c.m.spooledUnit(b)
	if c.rng.IntN(3) == 0 {
		name, v := fmt.Sprintf("n%d", c.rng.IntN(4)), fmt.Sprint(c.step)
		c.m.notes[name] = v
		b.Notes = append(b.Notes, Note{name, []byte(v)})
	}
	c.batch(b)
}

func (c *crashRig) batch(b *BatchInput) {
	c.t.Helper()
	tk, err := c.l.s.AppendBatch(context.Background(), b)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := tk.Spooled(context.Background()); err != nil {
		c.t.Fatal(err)
	}
	// The commit's aftermath (stats, unlinking) is over when the loop has it.
	if n := len(b.Records); n > 0 {
		last := b.Records[n-1].Topic
		c.l.wait(func() bool {
			id, ok := c.l.lanes[last]
			return ok && len(c.l.entries[id]) > 0
		})
	}
}

func (c *crashRig) appendKeyed() {
	topic := fmt.Sprintf("t%d", c.rng.IntN(3))
	key, value := fmt.Sprintf("key%d", c.step), fmt.Sprintf("v%d-", c.step)
	b := keyed(key, topic, value)
	l := c.m.lane(topic)
	for i := range b.Records {
		l.values = append(l.values, string(b.Records[i].Value))
	}
	c.m.keys[key] = topic + "/" + value
	c.batch(b)
}

// settleSome writes one Write with settlements, seals and more.
func (c *crashRig) settleSome() {
	if len(c.m.order) == 0 {
		return
	}
	w := &spool.Write{}
	topic := c.m.order[c.rng.IntN(len(c.m.order))]
	id := spool.LaneID(slices.Index(c.m.order, topic))
	l := c.m.lanes[topic]
	from := 0
	for from < len(l.values) && l.settled[from] != 0 {
		from++
	}
	if c.rng.IntN(3) == 0 && len(l.values) > 0 {
		from = c.rng.IntN(len(l.values))
	}
	to := min(len(l.values), from+c.rng.IntN(60))
	if c.rng.IntN(8) == 0 && from < to { // a stuck one: its neighbours leave
		from++
	}
	out := spool.Outcome(1 + c.rng.IntN(3))
	if out == spool.OutcomeDeadLettered {
		for from < to && l.settled[from] != 0 {
			from++
		}
		to = min(to, from+1)
	}
	if from < to {
		for i := from; i < to; i++ {
			if l.settled[i] == 0 {
				l.settled[i] = out
				if out == spool.OutcomeDeadLettered {
					w.DeadLetters = append(w.DeadLetters, spool.DeadLetter{Lane: id, Index: spool.Index(i), Code: 10, Message: "too large"})
					c.m.dead++
				}
			}
		}
		w.Settle = append(w.Settle, spool.Settlement{Lane: id, Spans: []spool.Span{{First: spool.Index(from), End: spool.Index(to)}}, Outcome: out})
	}
	c.sealSome(w, id, l)
	c.m.dropSeals()
	p := spool.PartitionState{Lane: id, Partition: int32(c.rng.IntN(3)), Identity: protocol.ProducerIdentity{ID: 7, Epoch: 1}, Next: protocol.Sequence(c.step), Settled: -1, LastOffset: protocol.Offset(c.step)}
	if c.rng.IntN(4) == 0 {
		p.Park = spool.Park{Reason: spool.ParkRefused, Detail: "seen", At: 3}
	}
	w.Partitions = append(w.Partitions, p)
	c.m.parts[fmt.Sprint(p.Lane, p.Partition)] = p
	f := spool.StickyFact{From: spool.Index(len(l.values)), Partition: int32(c.step % 3)}
	w.Facts = append(w.Facts, spool.LaneFacts{Lane: id, Facts: spool.Facts{Sticky: []spool.StickyFact{f}}})
	l.sticky = append(l.sticky, f)
	c.decide(w)
	if c.m.cluster == "" {
		w.ClusterID, c.m.cluster = "abc", "abc"
	}
	c.l.write(w)
}

// sealSome seals a few entries that have not left, next to each other or not.
func (c *crashRig) sealSome(w *spool.Write, id spool.LaneID, l *modelLane) {
	var spans []spool.Span
	n := 0
	for i := range l.values {
		if l.settled[i] == 0 && c.rng.IntN(3) == 0 && n < 5 {
			spans = addIndex(spans, spool.Index(i))
			n++
		}
	}
	if n == 0 {
		return
	}
	seal := spool.Seal{
		SealKey: spool.SealKey{Lane: id, Partition: 1, Identity: protocol.ProducerIdentity{ID: 7, Epoch: 2}, Base: protocol.Sequence(c.step)},
		Count:   int32(n), Spans: spans, TopicID: protocol.TopicID{1, 2}, MaxTimestamp: 5, SealedAt: 6, SealedAge: 7, Tail: 8, Ordinal: uint64(c.step),
	}
	w.Seals = append(w.Seals, seal)
	c.m.seals[seal.SealKey] = seal
	if c.rng.IntN(3) == 0 {
		for k := range c.m.seals {
			w.Unseal = append(w.Unseal, k)
			if k != seal.SealKey { // Unseal comes before Seals
				delete(c.m.seals, k)
			}
			break
		}
	}
}

func (c *crashRig) reopen() {
	c.l.quiet()
	counted := accountsOf(c.l.s)
	c.l.close()
	sameAccounts(c.t, fmt.Sprintf("step %d", c.step), c.o.Path, counted)
	l, r := openLoop(c.t, c.o)
	c.l = l
	c.copies = nil
	c.m.check(c.t, fmt.Sprintf("step %d, after a restart", c.step), l.s, r)
}

// run makes steps and checks all crash points of each. It makes more, up to ten times as many, until each of points was
// come by.
func (c *crashRig) run(steps int, points ...string) {
	missed := func(p string) bool { return c.points[p] == 0 }
	for c.step = 1; c.step <= steps || c.step <= 10*steps && slices.ContainsFunc(points, missed); c.step++ {
		before := c.m.clone()
		switch n := c.rng.IntN(20); {
		case n < 9:
			c.appendSome()
		case n < 11:
			c.appendKeyed()
		case n < 19:
			c.settleSome()
		default:
			c.reopen()
		}
		c.l.quiet()
		c.checkCopies(before, c.m)
	}
	c.reopen()
}

func newCrashRig(t *testing.T, seed uint64, share float64) *crashRig {
	o := tinyOptions(t.TempDir())
	o.SegmentBytes, o.GroupBytes = 48<<10, 8<<10
	c := &crashRig{t: t, rng: rand.New(rand.NewPCG(seed, 1)), m: newModel(), points: map[string]int{}, share: share, pad: strings.Repeat("x", 900)}
	o.Faults, o.RewriteAfter = &Faults{Point: c.copyAt}, -1 // else commits of nothing come at any time
	c.o = o
	c.l, _ = openLoop(t, o)
	c.copies = nil
	return c
}

// S-38, and every other moment between two steps.
func TestEveryCrashPointLeavesTheStateBeforeOrAfterTheCommit(t *testing.T) {
	t.Parallel()
	seed := testSeed(t)
	c := newCrashRig(t, seed, 0.15)
	points := []string{"before commit", "after commit", "segment made", "segment renamed", "new segment committed", "remains carried", "segments off the list", "segments unlinked"}
	c.run(160, points...)
	c.l.close()
	for _, p := range points {
		if c.points[p] == 0 {
			t.Errorf("no step came by %q: the test proves less than it says", p)
		}
	}
	t.Logf("crash points: %v", c.points)
}
