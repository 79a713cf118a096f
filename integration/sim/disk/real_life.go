package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// life is one process' use of the store. The store commits on a goroutine of its own: it is made to stand still where
// bbolt is about to commit, and where a commit is through and its callers know, and goes on when it is told to. So
// the two goroutines take turns, and never run both.
type life struct {
	r       *Real
	store   *bolt.Store
	options bolt.Options

	first    func(do func() error) error // what is done with the commit of Open
	opened   atomic.Bool                 // Open is over: the committer may look at once
	warming  bool
	warmed   bool
	dead     bool   // nothing is written any more
	busy     bool   // a commit is under way
	filling  bool   // the open group has something
	early    bool   // somebody was told of a commit before it was through
	deadFull bool   // the last commit said so
	made     string // what a segment's file is called while it is made, if one was made for the commit under way; or ""
	stands   chan place
	orders   chan func(do func() error) error // at atCommit: what to do
	rest     chan bool                        // at atRest: whether to go on
	end      chan struct{}
	works    []func()          // background work that is not done yet
	promises []promise         // answers that are due, of the group under way and of the open one
	expected []spool.Committed // what the receiver of Commits has not been told yet
}

// place is where the committer stands.
type place int

const (
	atCommit place = iota + 1
	atRest
)

// patience is how long the committer may take from one place to the next. It is not measured but where it hangs.
const patience = 60 * time.Second

// over is a context that has ended: nothing that takes it waits.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

var errKilled = errors.New("killed")

func (r *Real) newLife(c Clock) *life {
	l := &life{r: r, stands: make(chan place), orders: make(chan func(func() error) error), rest: make(chan bool), end: make(chan struct{})}
	through := func(do func() error) error { return do() }
	l.first = through
	l.options = bolt.Options{
		Path: r.dir.spool(), SegmentBytes: r.tune.segment, GroupBytes: r.tune.group, MaxBytes: r.tune.limit, MinFreeBytes: -1,
		RewriteAfter: -1, // at the next commit that finds the segment as the last one did
		KeyWindow:    time.Duration(r.rules.Keys.Window) * time.Millisecond, MaxKeys: r.rules.Keys.Max,
		Adopt: r.dir.adopt, Now: func() time.Time { return time.UnixMilli(c.Wall()) }, Observe: l.observe,
		Faults: &bolt.Faults{
			Boot: func() int64 { return c.Boot() + r.shift }, Commit: l.commit, Point: l.point, Go: l.background,
			Fallocate: l.fallocate, AllocSize: 64 << 10, Ordered: true,
		},
	}
	r.rules.options(&l.options)
	return l
}

// groupBytes is bolt.Options.GroupBytes of a spool alone. One with a Model beside it has more than an open group ever takes: the Model
// knows no limit of it.
const (
	groupBytes         = 64 << 10
	comparedGroupBytes = 1 << 20
)

func (l *life) open() *spool.Recovered {
	store, found, err := bolt.Open(l.options)
	if err != nil {
		differ("it does not open: %v", err)
	}
	l.store = store
	l.opened.Store(true)
	return found
}

// warm makes a commit of nothing, so that the committer stands still before anything is appended: else it would
// take the first batch alone.
func (l *life) warm() {
	l.warming = true
	l.store.Submit(&spool.Write{}, true)
	if l.warmed { // it stands still, and finds what is to be committed when it goes on
		l.rest <- true
	}
	l.warmed = true
	l.until(atRest)
	l.warming = false
	l.expected = append(l.expected, spool.Committed{})
}

// commit is bolt.Faults.Commit.
func (l *life) commit(do func() error) error {
	if !l.opened.Load() {
		return l.first(do)
	}
	if l.warming {
		return do()
	}
	select {
	case l.stands <- atCommit:
	case <-l.end:
		return errKilled
	}
	select {
	case order := <-l.orders:
		return order(do)
	case <-l.end:
		return errKilled
	}
}

// carry is an order: commit, and nobody may know before you are back.
func (l *life) carry(do func() error) error {
	err := do()
	for i := range l.promises {
		l.early = l.early || l.promises[i].answered()
	}
	return err
}

// observe is bolt.Options.Observe.
func (l *life) observe(st bolt.CommitStats) {
	if l.r.dropped += st.Dropped; st.Dropped > 0 {
		l.r.dir.came["dead letters dropped for others"] += st.Dropped
	}
	select {
	case l.stands <- atRest:
	case <-l.end:
		runtime.Goexit()
	}
	select {
	case goOn := <-l.rest:
		if goOn {
			return
		}
	case <-l.end:
	}
	runtime.Goexit()
}

// point is bolt.Faults.Point.
func (l *life) point(name string) {
	l.r.dir.came[name]++
	if name == "segment made" {
		list, err := os.ReadDir(l.r.dir.spool())
		must(err)
		l.made = list[len(list)-1].Name()
	}
}

// background is bolt.Faults.Go: at once, or when a commit is under way, or when it is through.
func (l *life) background(work func()) {
	if l.dead || one(l.r.rng, 3) {
		l.r.dir.unlinking(work)
		return
	}
	l.works = append(l.works, work)
}

// work does what is to be done in the background.
func (l *life) work() {
	works := l.works
	l.works = nil
	for _, w := range works {
		l.r.dir.unlinking(w)
	}
}

// fallocate is bolt.Faults.Fallocate: in memory nothing is reserved, but a file may become larger.
func (l *life) fallocate(f *os.File, offset, size int64) error {
	if err := l.r.lacks(f); err != nil && !l.dead {
		return err
	}
	if l.dead || !l.r.tune.extend {
		return syscall.EOPNOTSUPP
	}
	st, err := f.Stat()
	if err == nil && st.Size() < offset+size {
		err = f.Truncate(offset + size)
	}
	return err
}

// until waits for the committer to stand still.
func (l *life) until(want place) {
	hung := time.NewTimer(patience)
	defer hung.Stop()
	for {
		select {
		case at := <-l.stands:
			if at != want {
				differ("a commit that nobody asked for (at place %d, not %d)", at, want)
			}
			for len(l.store.Commits()) > 0 {
				l.heard(<-l.store.Commits())
			}
			if l.early {
				differ("a caller was told that a batch is spooled before the commit was through")
			}
			return
		case c := <-l.store.Commits():
			if c == nil {
				differ("the committer ends")
			}
			if c.Err != nil {
				differ("a commit fails: %v", c.Err)
			}
			l.heard(c)
		case <-hung.C:
			differ("a commit hangs")
		}
	}
}

// heard compares what the loop is told of a commit.
func (l *life) heard(c *bolt.Commit) {
	if l.deadFull = c.DeadFull; l.r.model == nil {
		c.Release()
		return
	}
	if len(l.expected) == 0 {
		differ("a commit is told that nobody asked for: %+v", c.Committed)
	}
	want := l.expected[0]
	l.expected = l.expected[1:]
	got := &c.Committed
	same := got.Writes == want.Writes && slices.Equal(got.Lanes, want.Lanes) && len(got.Sections) == len(want.Sections)
	for i := 0; same && i < len(want.Sections); i++ {
		a, b := &got.Sections[i], &want.Sections[i]
		same = a.Lane == b.Lane && slices.Equal(a.Spans, b.Spans) && string(a.Bytes) == string(b.Bytes)
	}
	if !same {
		differ("a commit is told as %+v, not %+v", *got, want)
	}
	c.Release()
}

// died waits until the store has ended by itself, and gives the last commit's error.
func (l *life) died() (last error) {
	hung := time.NewTimer(patience)
	defer hung.Stop()
	for {
		select {
		case c, ok := <-l.store.Commits():
			switch {
			case !ok:
				return last
			case c.Err != nil:
				last = c.Err
			default:
				l.heard(c)
			}
		case <-hung.C:
			differ("the store does not end")
		}
	}
}

// kill ends the process where it stands.
func (l *life) kill() {
	l.dead = true
	l.work()
	close(l.end)
	if l.store != nil {
		_ = l.died()
	}
}

// stop ends the process in good order. Nothing may be due.
func (l *life) stop() {
	l.dead = true
	l.work()
	l.rest <- true
	if err := l.store.Close(context.Background()); err != nil {
		differ("it does not close: %v", err)
	}
	_ = l.died()
}

// take gives the promises of a group.
func (l *life) take(group uint64) (out []promise) {
	left := l.promises[:0]
	for _, p := range l.promises {
		if p.receipt.Group == group {
			out = append(out, p)
		} else {
			left = append(left, p)
		}
	}
	l.promises = left
	return out
}

// promise is a batch whose caller waits for an answer.
type promise struct {
	batch   *bolt.BatchInput
	receipt Receipt
	tickets bolt.Tickets
}

func (p *promise) String() string {
	return fmt.Sprintf("a batch with key %q of %d records, first at %v", p.batch.Key, len(p.batch.Records), p.receipt.Spots)
}

func (p *promise) answered() bool {
	return !errors.Is(p.tickets.Spooled(over), context.Canceled)
}

// pending: nobody may know yet.
func (p *promise) pending() {
	if p.answered() {
		differ("the answer to %v is there before its commit: %v", p, p.tickets.Spooled(over))
	}
}

// kept: it is spooled.
func (p *promise) kept() {
	if err := p.tickets.Spooled(over); err != nil {
		differ("%v is spooled, and the answer is %v", p, err)
	}
}

// unknown: nobody knows.
func (p *promise) unknown() {
	if err := p.tickets.Spooled(over); !errors.Is(err, bolt.ErrPoisoned) {
		differ("a commit has failed, and the answer to %v is %v", p, err)
	}
}
