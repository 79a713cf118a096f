package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// Real is spool/bolt itself in a directory in memory, and a Model beside it. Both get the same calls. What the caller
// is told is what the Model says, so that a history is the same on either; what the store says otherwise is a Difference.
//
// Its limit is not the Model's: spool/bolt counts the pages of whole blocks, the Model entries. So the store's own
// is out of reach here, and what it counts is compared (see compareBytes).
type Real struct {
	model *Model // nil: nobody compares; see Alone
	rules Rules
	rng   *rand.Rand // of what the caller does not choose: sizes, and what exactly a crash leaves
	tune  tuning
	lack  error // see Alone.Lack
	// dropped dead letters, as far as that was told. See Alone.Overdrawn.
	dropped int

	dir     *directory
	life    *life // nil: no process
	compare *comparison

	boots int
	shift int64 // from CLOCK_BOOTTIME as the host has it to what the store is told
}

// tuning is small: rotation, carrying and trimming are to happen in short histories.
type tuning struct {
	segment int64
	extend  bool // files own their room ahead; else the file system cannot do that
	limit   int64
	group   int // bolt.Options.GroupBytes
}

// A Difference is what spool/bolt does other than its contract says. It is panicked with.
type Difference struct{ Text string }

func (d *Difference) Error() string { return "disk: spool/bolt is not as its model: " + d.Text }

func differ(format string, args ...any) {
	panic(&Difference{fmt.Sprintf(format, args...)})
}

// NewReal is an empty disk. Nothing is on it before the first Open.
func NewReal(id string, rules Rules, seed uint64) *Real {
	r := newReal(rules, 1<<40, seed)
	r.model, r.tune.group = NewModel(id, rules), comparedGroupBytes
	return r
}

func newReal(rules Rules, limit int64, seed uint64) *Real {
	r := blank(rules, seed, map[string]int{})
	r.tune = tuning{segment: 8 << 10 << r.rng.IntN(4), extend: r.rng.IntN(2) == 0, limit: limit, group: groupBytes}
	return r
}

// blank is a disk with nothing on it. What comes to pass is counted in came.
func blank(rules Rules, seed uint64, came map[string]int) *Real {
	r := &Real{rules: rules, rng: rand.New(rand.NewPCG(seed, 0x4ea1))}
	r.dir = &directory{rng: r.rng, gone: map[string]bool{}, came: came}
	r.compare = &comparison{r: r, notes: map[string]bool{}}
	return r
}

// one is true once in n times.
func one(rng *rand.Rand, n int) bool { return rng.IntN(n) == 0 }

// OnDurable implements Disk.
func (r *Real) OnDurable(f func([]DurableBatch, []*spool.Write)) { r.model.OnDurable(f) }

// Open implements Disk.
func (r *Real) Open(c Clock) (*spool.Recovered, error) {
	r.dir.lay()
	seen := r.compare.look()
	found := r.enter(c)
	want, err := r.model.Open(c)
	if err != nil {
		return nil, err
	}
	if text := sameRecovered(found, want); text != "" {
		differ("a start finds %s", text)
	}
	seen.compare(want)
	r.compare.unasked = false
	r.compare.all()
	return want, nil
}

// enter is a start. Now and then the first attempt is cut off.
func (r *Real) enter(c Clock) *spool.Recovered {
	if c.Boots != r.boots { // the store sees one boot only: it is told of a boot time that does not go on
		r.boots, r.shift = c.Boots, -c.Boot()
	}
	if one(r.rng, 4) {
		r.openCut(c)
	}
	r.life = r.newLife(c)
	found := r.life.open()
	r.dir.adopt = false
	r.life.warm()
	r.dir.path = r.dir.newest()
	r.dir.settled()
	return found
}

// Append implements Disk.
func (r *Real) Append(b *bolt.BatchInput, now spool.Time) (Receipt, error) {
	want, err := r.model.Append(b, now)
	if errors.Is(err, ErrFull) {
		r.compare.unasked = r.compare.unasked || b.Key != ""
		return want, err
	}
	got, gotErr := r.life.store.AppendBatch(over, b)
	if !errors.Is(gotErr, err) {
		differ("a batch with key %q is answered %v, not %v", b.Key, gotErr, err)
	}
	if err != nil {
		return want, err
	}
	if !want.Repeat {
		r.life.filling = true
		r.compare.remember(b)
		r.compare.unasked = r.compare.unasked && b.Key == ""
	}
	p := promise{batch: b, receipt: want, tickets: got}
	if got.Duplicate() != want.Repeat || got.Len() != len(b.Records) {
		differ("a batch with key %q: repeat %v with %d tickets, not %v with %d", b.Key, got.Duplicate(), got.Len(), want.Repeat, len(b.Records))
	}
	if s := r.model.taken; want.Group == 0 && s != nil && !p.answered() {
		// The commit under way carries the key to another segment. Until it is through the repeat waits, and if it
		// fails hears that nobody knows: both are true.
		r.dir.came["repeat waits for its key to be carried"]++
		p.receipt.Group = s.group
	}
	if p.receipt.Group != 0 {
		p.pending()
		r.life.promises = append(r.life.promises, p)
	} else {
		p.kept()
		r.compare.places(&p)
	}
	return want, nil
}

// Begin implements Disk: the committer has gone as far as to the call of bbolt's own commit.
func (r *Real) Begin(writes []*spool.Write, now spool.Time) {
	r.model.Begin(writes, now)
	if r.model.taken == nil {
		return
	}
	r.begin(writes)
	for i := range r.life.promises {
		r.life.promises[i].pending()
	}
}

func (r *Real) begin(writes []*spool.Write) {
	l := r.life
	l.busy, l.filling = true, false
	for _, w := range writes {
		l.store.Submit(w, true)
	}
	l.made = ""
	l.rest <- true
	l.until(atCommit)
	r.rotated()
	if one(r.rng, 2) {
		l.work()
	}
}

// Finish implements Disk.
func (r *Real) Finish() []Commit {
	s := r.model.taken
	done := r.model.Finish()
	if s == nil {
		return done
	}
	r.finish()
	l := r.life
	l.expected = append(l.expected, s.events)
	list := l.take(s.group)
	for i := range list {
		list[i].kept()
		r.compare.places(&list[i])
	}
	for i := range l.promises { // of the next group
		l.promises[i].pending()
	}
	if one(r.rng, 2) {
		l.work()
	}
	r.compare.point()
	for i := range s.events.Sections {
		sec := &s.events.Sections[i]
		r.compare.read(sec.Lane, sec.Spans[0].First, 1)
	}
	return done
}

// rotated notes that a segment was made, if one was: file and directory were synced.
func (r *Real) rotated() {
	if r.life.made != "" {
		r.dir.forgetLimbo()
		r.dir.path = r.dir.newest()
		r.dir.settled()
	}
}

func (r *Real) finish() {
	l := r.life
	l.orders <- l.carry
	l.until(atRest)
	l.busy = false
	r.dir.settled()
}

// Answered implements Disk.
func (r *Real) Answered() []uint64 { return r.model.Answered() }

// Fail implements Disk.
func (r *Real) Fail(durable, full bool) error {
	r.fail(durable, full)
	return r.model.Fail(durable, full)
}

// Crash implements Disk.
func (r *Real) Crash(power bool, pick func(n int) int) {
	durable := pick(r.model.ways()) == 1
	if r.life != nil {
		r.cut(durable, power)
	}
	if power {
		r.dir.powerCut()
	}
	r.model.interrupt(durable)
}

// Now implements Disk.
func (r *Real) Now() spool.Time {
	want := r.model.Now()
	if got := r.life.store.Now(); got != want {
		differ("it is %+v, not %+v", got, want)
	}
	return want
}

// Read implements Disk.
func (r *Real) Read(lane spool.LaneID, from spool.Index, bytes int) ([]spool.Section, spool.Index, error) {
	r.compare.read(lane, from, bytes)
	return r.model.Read(lane, from, bytes)
}

// Note implements Disk.
func (r *Real) Note(name string) ([]byte, bool) {
	r.compare.note(name)
	return r.model.Note(name)
}

// DeadLettered implements Disk.
func (r *Real) DeadLettered(lane spool.LaneID, i spool.Index) bool {
	return r.model.DeadLettered(lane, i)
}

// Counters implements Disk.
func (r *Real) Counters() spool.Counters { return r.model.Counters() }

// Bytes implements Disk.
func (r *Real) Bytes() int64 { return r.model.Bytes() }

// Came says what came to pass in the files, and how often.
func (r *Real) Came() map[string]int { return r.dir.came }

// Copy implements Disk: the files as they are now. They are put into a directory when the copy is opened, and taken over there.
func (r *Real) Copy() Disk {
	c := r.copyFiles()
	c.model = r.model.copy()
	c.compare.keyed = append(c.compare.keyed, r.compare.keyed...)
	for n := range r.compare.notes {
		c.compare.notes[n] = true
	}
	return c
}

func (r *Real) copyFiles() *Real {
	c := blank(r.rules, r.rng.Uint64(), r.dir.came)
	c.tune, c.boots, c.shift, c.dropped = r.tune, r.boots, r.shift, r.dropped
	c.dir.copied = r.dir.copied
	if r.dir.home != "" {
		c.dir.copied = r.dir.readAll()
	}
	return c
}

// Close implements Disk.
func (r *Real) Close() {
	if r.life != nil { // a Difference was found, and is told already
		func() {
			defer func() { _ = recover() }()
			r.life.kill()
		}()
		r.life = nil
	}
	if r.dir.home != "" {
		must(os.RemoveAll(r.dir.home))
		r.dir.home = ""
	}
}
