package disk

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

var (
	seedFlag     = flag.Uint64("disk.seed", 0, "run the random program of this seed only")
	programsFlag = flag.Int("disk.programs", 30, "how many random programs, at least")
)

// So many programs that even what is rare comes to pass in one of them.
const enough = 120

// make sim-ci runs more programs, until all that is rare has come to pass.
func TestSpoolBoltDoesWhatItsModelDoesInRandomPrograms(t *testing.T) {
	first, count, most := rand.Uint64()>>1, *programsFlag, *programsFlag
	if *seedFlag != 0 {
		first, count, most = *seedFlag, 1, 1
	}
	all := count >= enough
	if all {
		most = 25 * count
	}
	came := map[string]int{}
	n := 0
	for ; n < count || n < most && missing(came) != nil; n++ {
		seed := first + uint64(n)
		if text := run(seed, came); text != "" {
			t.Fatalf("seed %d: %s\nreplay: go test ./integration/sim/disk -run '^%s$' -disk.seed %d", seed, text, t.Name(), seed)
		}
	}
	t.Logf("%d programs; came to pass in the files: %v", n, came)
	if left := missing(came); left != nil && all {
		t.Errorf("no program came by %q: the test proves less than it says", left)
	}
}

// missing is what programs are to come by and did not.
func missing(came map[string]int) (out []string) {
	for _, what := range []string{
		"segment renamed", "remains carried", "segments off the list", "segments unlinked", "segment not unlinked", "unlinked segment back",
		"start cut off", "meta page torn", "data pages torn", "killed amid writing", "new segment: not there", "new segment: under its first name",
		"lock file cut short", "closed in order", "commit failed", "commit met a full disk", "killed in a commit", "power cut in a commit", "killed between commits",
		"repeat", "repeat waits for its key to be carried", "key reused", "no room for a key", "full", "copy", "copy taken over", "dead letter", "seal", "note",
	} {
		if came[what] == 0 {
			out = append(out, what)
		}
	}
	return out
}

// run runs one program, and says what was found.
func run(seed uint64, came map[string]int) (text string) {
	rng := rand.New(rand.NewPCG(seed, 1))
	rules := Rules{MaxBytes: 8<<10 + rng.Int64N(64<<10), Keys: spool.KeyRule{Window: int64(15+rng.IntN(60)) * 60_000, Floor: 15 * 60_000, Max: 4 + rng.IntN(40)}}
	p := &program{Rand: rng, rules: rules, real: NewReal("s", rules, seed), twin: NewModel("s", rules), came: came, now: 1_700_000_000_000, boots: 1, host: map[Disk]*string{}}
	p.real.dir.came = came
	p.booted = p.now - 50_000
	defer func() {
		bug := recover()
		if d, ok := bug.(*Difference); ok {
			text = d.Text
		} else if bug != nil {
			panic(bug)
		}
		p.real.Close()
		if _, err := os.Stat(p.real.dir.spool()); text == "" && !errors.Is(err, os.ErrNotExist) {
			text = "Close leaves its directory"
		}
	}()
	for range 40 + rng.IntN(80) {
		p.step()
	}
	p.end(false)
	p.open()
	return ""
}

// program does the same with both disks.
type program struct {
	*rand.Rand
	rules  Rules
	real   *Real
	twin   *Model
	came   map[string]int
	host   map[Disk]*string
	now    int64
	booted int64
	boots  int
	up     bool
	busy   bool
	dirty  bool // the open group has something
	keyed  []*bolt.BatchInput
	writes uint64
	number int // of the step
	// decided: a Write before this one of the same commit settles something. Who decides twice about one entry is wrong.
	decided bool
}

func (p *program) clock() Clock {
	return Clock{Boot: func() int64 { return p.now - p.booted }, Wall: func() int64 { return p.now + 5 }, Boots: p.boots}
}

func (p *program) one(n int) bool { return p.IntN(n) == 0 }

func (p *program) step() {
	p.number++
	p.now += p.Int64N(20)
	if p.one(25) {
		p.now += p.Int64N(40 * 60_000)
	}
	switch n := p.IntN(30); {
	case !p.up:
		p.open()
	case n < 12:
		p.append()
	case n < 14 && len(p.keyed) > 0:
		p.again()
	case n < 26 && p.busy:
		p.finish()
	case n < 26:
		p.begin()
	case n == 26:
		p.read()
	case n == 27 && p.busy:
		p.fail()
	case n == 28:
		p.end(p.one(2))
	case n == 29:
		p.copy()
	}
}

// same compares what both answer.
func (p *program) same(what string, a, b any) {
	if !reflect.DeepEqual(a, b) {
		differ("%s: with spool/bolt the caller is told %+v, without %+v", what, a, b)
	}
}

func (p *program) open() {
	a, err := p.real.Open(p.clock())
	b, err2 := p.twin.Open(p.clock())
	p.same("open", []any{err, a.Incarnation, a.Counters, a.Seals, a.Partitions, a.Former}, []any{err2, b.Incarnation, b.Counters, b.Seals, b.Partitions, b.Former})
	p.up, p.busy, p.dirty = true, false, false
}

func (p *program) batch() *bolt.BatchInput {
	b := &bolt.BatchInput{}
	for range 1 + p.IntN(8) {
		r := bolt.RecordInput{Topic: string(rune('a' + p.IntN(4))), Timestamp: bolt.NoTimestamp, Partition: -1, Value: []byte(fmt.Sprint(p.number, strings.Repeat("x", p.IntN(200))))}
		if p.one(4) {
			r.Value = append(r.Value, strings.Repeat("y", p.IntN(2500))...)
		}
		if p.one(5) {
			r.Timestamp, r.Partition, r.Key = p.now-p.Int64N(1000), p.Int32N(3), []byte("k")
		}
		b.Records = append(b.Records, r)
	}
	if p.one(4) {
		n := bolt.Note{Name: fmt.Sprint("n", p.IntN(3)), Value: []byte(fmt.Sprint(p.number))}
		if p.one(6) {
			n.Value = nil
		}
		b.Notes = append(b.Notes, n)
		p.came["note"]++
	}
	if p.one(2) {
		b.Scope, b.Key = "/", fmt.Sprint("key", p.number)
	}
	return b
}

func (p *program) append() {
	b := p.batch()
	r, err := p.put(b)
	if err == nil && b.Key != "" && !r.Repeat {
		p.keyed = append(p.keyed, b)
	}
}

// again sends a key once more, at times with something else.
func (p *program) again() {
	old := p.keyed[p.IntN(len(p.keyed))]
	if p.one(2) {
		old = p.keyed[len(p.keyed)-1-p.IntN(min(8, len(p.keyed)))] // whose key is not forgotten yet
	}
	if p.one(3) {
		old = &bolt.BatchInput{Scope: old.Scope, Key: old.Key, Records: p.batch().Records}
	}
	r, err := p.put(old)
	if r.Repeat {
		p.came["repeat"]++
	}
	if errors.Is(err, ErrKeyReused) {
		p.came["key reused"]++
	}
}

func (p *program) put(b *bolt.BatchInput) (Receipt, error) {
	now := p.real.Now()
	p.same("now", now, p.twin.Now())
	r, err := p.real.Append(b, now)
	r2, err2 := p.twin.Append(b, now)
	p.same("append", []any{r, err}, []any{r2, err2})
	switch {
	case errors.Is(err, ErrKeyWindow):
		p.came["no room for a key"]++
	case errors.Is(err, ErrFull):
		p.came["full"]++
	}
	p.dirty = p.dirty || err == nil && !r.Repeat
	return r, err
}

func (p *program) begin() {
	writes := p.draw()
	if !p.dirty && len(writes) == 0 {
		return
	}
	now := p.real.Now()
	p.real.Begin(writes, now)
	p.twin.Begin(writes, now)
	p.busy, p.dirty = true, false
	for p.one(2) && len(p.keyed) > 0 { // keys that the commit may carry to another segment
		p.again()
	}
}

func (p *program) finish() {
	p.same("commits", p.real.Finish(), p.twin.Finish())
	p.busy = false
	p.same("counters", p.real.Counters(), p.twin.Counters())
}

func (p *program) read() {
	for i := range p.twin.lanes {
		id := spool.LaneID(i)
		if i >= p.twin.st.Lanes() {
			break
		}
		from, size := spool.Index(p.IntN(len(p.twin.lanes[i].entries)+1)), 1+p.IntN(8000)
		a, next, err := p.real.Read(id, from, size)
		b, next2, err2 := p.twin.Read(id, from, size)
		p.same("read", []any{a, next, err}, []any{b, next2, err2})
	}
}

func (p *program) fail() {
	durable, full := p.one(2), p.one(2)
	a, b := p.real.Fail(durable, full), p.twin.Fail(durable, full)
	p.same("failure", a.Error(), b.Error())
	p.came[map[bool]string{true: "commit met a full disk", false: "commit failed"}[full]]++
	p.end(p.one(3))
}

func (p *program) end(power bool) {
	if !p.up {
		return
	}
	switch {
	case !p.busy:
		p.came["killed between commits"]++
	case power:
		p.came["power cut in a commit"]++
	default:
		p.came["killed in a commit"]++
	}
	way := p.IntN(2)
	pick := func(n int) int { return way % n }
	p.real.Crash(power, pick)
	p.twin.Crash(power, pick)
	if power {
		p.now += p.Int64N(1000)
		p.booted, p.boots = p.now-p.Int64N(100_000), p.boots+1
	}
	p.up, p.busy, p.dirty = false, false, false
}

// copy looks at a copy, and now and then goes on with it.
func (p *program) copy() {
	a, b := p.real.Copy().(*Real), p.twin.Copy().(*Model)
	p.came["copy"]++
	if !p.one(3) {
		found, err := a.Open(p.clock())
		want, err2 := b.Open(p.clock())
		p.same("open of a copy", []any{found.Counters, found.Seals, err}, []any{want.Counters, want.Seals, err2})
		a.Close()
		return
	}
	p.came["copy taken over"]++
	p.end(true)
	p.real.Close()
	p.real, p.twin = a, b
}

// draw draws what a sender could want to write.
func (p *program) draw() (out []*spool.Write) {
	p.decided = false
	for range p.IntN(3) {
		p.writes++
		w := &spool.Write{ID: p.writes}
		if p.one(10) {
			w.ClusterID, w.Identity = "c", &spool.Identity{ID: protocol.ProducerID(p.writes), Epoch: 1}
		}
		if p.one(30) {
			w.Stop, w.Audit = "a copy", []spool.AuditEntry{{At: 1, What: "seen"}}
		}
		for range p.IntN(4) {
			p.lane(w)
		}
		p.decided = p.decided || len(w.Settle) > 0
		if !w.Empty() {
			out = append(out, w)
		}
	}
	return out
}

func (p *program) lane(w *spool.Write) {
	m := p.twin
	if m.st.Lanes() == 0 {
		return
	}
	id := spool.LaneID(p.IntN(m.st.Lanes()))
	end, settled := m.lanes[id].durable, m.st.Settled(id)
	at := settled.NextAbsent(spool.Index(p.IntN(int(end) + 1)))
	if p.one(2) {
		at = settled.NextAbsent(0)
	}
	if at >= end {
		return
	}
	to := min(end, at+1+spool.Index(p.IntN(40)))
	switch p.IntN(6) {
	case 0:
		if p.decided || len(w.Settle) > 0 {
			return
		}
		w.DeadLetters = append(w.DeadLetters, spool.DeadLetter{Lane: id, Index: at, Code: 10, Message: "too large"})
		w.Settle = append(w.Settle, spool.Settlement{Lane: id, Spans: []spool.Span{{First: at, End: at + 1}}, Outcome: spool.OutcomeDeadLettered})
		p.came["dead letter"]++
	case 1:
		s := spool.Seal{SealKey: spool.SealKey{Lane: id, Partition: 1, Identity: spool.Identity{ID: 7, Epoch: 2}, Base: protocol.Sequence(p.writes)}, Ordinal: p.writes, SealedAge: 7, Tail: 8}
		for k := at; k < to && len(s.Spans) < 4; k = settled.NextAbsent(k + 1 + spool.Index(p.IntN(2))) {
			s.Spans = append(s.Spans, spool.Span{First: k, End: k + 1})
			s.Count++
		}
		w.Seals = append(w.Seals, s)
		p.came["seal"]++
	case 2:
		w.Partitions = append(w.Partitions, spool.PartitionState{Lane: id, Partition: p.Int32N(3), Next: protocol.Sequence(p.writes), LeaderEpoch: 3})
		w.Facts = append(w.Facts, spool.LaneFacts{Lane: id, Facts: spool.Facts{Sticky: []spool.StickyFact{{From: end, Partition: p.Int32N(3)}}}})
	default:
		if len(w.DeadLetters) > 0 || p.decided {
			return
		}
		outcome := []spool.Outcome{spool.OutcomeAcked, spool.OutcomeExpired}[p.IntN(2)]
		w.Settle = append(w.Settle, spool.Settlement{Lane: id, Spans: []spool.Span{{First: at, End: to}}, Outcome: outcome})
	}
}
