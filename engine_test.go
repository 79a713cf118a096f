package spoold

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/sender/loop"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// failing is a store whose commits fail when the test says so.
type failing struct {
	*bolt.Store
	commits chan *bolt.Commit
	fail    chan error
	held    atomic.Pointer[chan struct{}]
}

func newFailing(s *bolt.Store) *failing {
	f := &failing{Store: s, commits: make(chan *bolt.Commit, 1), fail: make(chan error, 1)}
	go f.pass(s.Commits())
	return f
}

// pass hands commits on, until one fails, or until the store has ended. A loop that has ended takes none.
func (f *failing) pass(commits <-chan *bolt.Commit) {
	defer close(f.commits)
	fail := f.fail
	var queue []*bolt.Commit
	for {
		var out chan<- *bolt.Commit
		var first *bolt.Commit
		if len(queue) > 0 {
			out, first = f.commits, queue[0]
		}
		select {
		case out <- first:
			queue = queue[1:]
		case err := <-fail:
			queue = append(queue, &bolt.Commit{Err: err})
			fail = nil
		case c, ok := <-commits:
			switch {
			case ok && fail != nil: // nobody is told of any behind one that failed
				queue = append(queue, c)
			case !ok:
				f.rest(queue)
				return
			}
		}
	}
}

// rest hands on what is left when the store has ended, to a loop that has not.
func (f *failing) rest(queue []*bolt.Commit) {
	for _, c := range queue {
		select {
		case f.commits <- c:
		case <-time.After(50 * time.Millisecond):
			return
		}
	}
}

func (f *failing) Commits() <-chan *bolt.Commit { return f.commits }

// hold has the loop wait for release in its next call of Lanes.
func (f *failing) hold(release chan struct{}) { f.held.Store(&release) }

func (f *failing) Lanes() (bolt.Stats, []bolt.LaneStats) {
	if release := f.held.Load(); release != nil {
		<-*release
	}
	return f.Store.Lanes()
}

// offline opens a spool whose store can fail; the cluster is never there.
func offline(t *testing.T) (*Producer, chan *failing) {
	t.Helper()
	return offlineWith(t, Hooks{})
}

func offlineWith(t *testing.T, hooks Hooks) (*Producer, chan *failing) {
	t.Helper()
	return offlineEnv(t, Env{Hooks: hooks})
}

func spoolOne(t *testing.T, p *Producer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	d, err := p.Send(ctx, Record{Topic: "t", Value: []byte("v")})
	if err == nil {
		err = d.Spooled(ctx)
	}
	if err != nil {
		t.Fatalf("Send = %v", err)
	}
}

// closed is a context that waits for nothing.
func closed() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestAFullDiskInACommitOpensTheSpoolAgainInTheSameProducer(t *testing.T) {
	p, stores := offline(t)
	spoolOne(t, p)
	(<-stores).fail <- &bolt.SpaceError{Err: syscall.ENOSPC}
	select {
	case <-stores: // opened again
	case <-time.After(20 * time.Second):
		t.Fatal("the spool was not opened again")
	}
	spoolOne(t, p)
	if st := p.Status(); st.Accepted != 2 || st.Pending != 2 || st.State != "running" {
		t.Errorf("Status = %+v, want 2 accepted and running", st)
	}
	if err := p.Close(closed()); err != nil {
		t.Errorf("Close = %v", err)
	}
}

// A damaged segment is set aside once: there is nothing to wait for, however short the spool was open.
func TestASpoolWithADamagedSegmentIsOpenedAgainAtOnce(t *testing.T) {
	p, stores := offline(t)
	p.engines.pause = time.Hour
	spoolOne(t, p)
	(<-stores).fail <- &spool.CorruptError{Segment: 1, Block: spool.NoBlock, What: "a test says so"}
	select {
	case <-stores:
	case <-time.After(20 * time.Second):
		t.Fatal("the spool was not opened again")
	}
	spoolOne(t, p)
	if err := p.Close(closed()); err != nil {
		t.Errorf("Close = %v", err)
	}
}

func TestAnyOtherFailureOfACommitStopsTheProducerForGood(t *testing.T) {
	p, stores := offline(t)
	spoolOne(t, p)
	(<-stores).fail <- errors.Join(bolt.ErrPoisoned, syscall.EIO)
	select {
	case <-p.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the Producer goes on")
	}
	if err := p.Err(); !errors.Is(err, ErrUnknown) || ExitCode(err) != ExitIO {
		t.Errorf("Err() = %v, exit code %d", err, ExitCode(err))
	}
	if _, err := p.Send(context.Background(), Record{Topic: "t"}); !errors.Is(err, ErrUnknown) {
		t.Errorf("Send = %v, want ErrUnknown", err)
	}
	if err := p.Close(closed()); !errors.Is(err, ErrUnknown) {
		t.Errorf("Close = %v, want what stopped it", err)
	}
}

func TestCloseWhileTheSpoolIsOpenedAgainLeavesNothingOpen(t *testing.T) {
	for range 10 {
		p, stores := offline(t)
		(<-stores).fail <- &bolt.SpaceError{Err: syscall.ENOSPC}
		_ = p.Close(closed()) // the error of the commit, or none if the spool was open again
		select {
		case <-p.Done():
		default:
			t.Fatal("Done is open after Close")
		}
		if again, err := Open(p.cfg, Env{Dial: p.env.Dial}); err != nil {
			t.Fatalf("the spool is still in use: %v", err)
		} else if err := again.Close(closed()); err != nil {
			t.Fatal(err)
		}
	}
}

// That what was in doubt under another transactional.id is resolved is why the spool is opened again, and no failure.
func TestCloseOnceDoubtIsResolvedIsNoFailure(t *testing.T) {
	p, _ := offline(t)
	if err := p.Close(closed()); err != nil {
		t.Fatal(err)
	}
	full := &SpaceError{Err: syscall.ENOSPC}
	for _, tt := range []struct{ ended, want error }{{sender.ErrFinished, nil}, {full, full}} {
		if next, err := p.engines.reopen(time.Time{}, tt.ended, nil); next != nil || !errors.Is(err, tt.want) {
			t.Errorf("an engine that ended with %v is followed by %v, %v", tt.ended, next, err)
		}
	}
}

func TestRepeatedLinesAreHeldBackAndHooksAreNot(t *testing.T) {
	var out bytes.Buffer
	told := 0
	env := Env{Logger: slog.New(slog.NewTextHandler(&out, nil)), Hooks: Hooks{LinkChanged: func(LinkChanged) { told++ }}}
	h := env.withDefaults(&Config{}).Hooks
	down := LinkChanged{Err: "refused"}
	for range 3 {
		h.LinkChanged(down)
	}
	h.LinkChanged(LinkChanged{Up: true})
	h.TopicTrouble(TopicTrouble{Topic: "t", Code: ErrorCode(protocol.TopicAuthorizationFailed)})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], "event=link.down") || !strings.Contains(lines[1], "event=link.up") {
		t.Errorf("logged:\n%s", out.String())
	}
	if told != 4 {
		t.Errorf("the program's hook was called %d times, want 4", told)
	}
}

// A program with the library has each line in its log that says the last of something, and no repetition, whichever part wrote it.
func TestTheLogOfAProgramHoldsRepetitionsBackAndEndsWithTheLastState(t *testing.T) {
	var out bytes.Buffer
	p, _ := offlineEnv(t, Env{Logger: slog.New(slog.NewTextHandler(&out, nil))})
	for i := range 9 {
		p.env.Hooks.TopicTrouble(TopicTrouble{Topic: "a", Message: fmt.Sprint("reason ", i)})
		p.env.Logger.Warn("full", "event", "spool.reopen")
	}
	_ = p.Close(closed())
	if text := out.String(); strings.Count(text, "spool.reopen") != 1 || strings.Count(text, "topic.trouble") != 6 || !strings.Contains(text, "reason 8") {
		t.Errorf("want one line of nine, and six of nine with the last:\n%s", text)
	}
}

func TestAFullSpoolIsLoggedOnceWithItsReasonAndItsEnd(t *testing.T) {
	var out bytes.Buffer
	l := roomLog{log: slog.New(slog.NewTextHandler(&out, nil))}
	l.taken(nil)
	l.full(bolt.Stats{}) // the disk is behind, the spool is not full
	for range 3 {
		l.full(bolt.Stats{Full: "no room ahead"})
	}
	l.taken(nil)
	l.taken(nil)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `event=spool.full reason="no room ahead"`) || !strings.Contains(lines[1], "event=spool.room") {
		t.Errorf("logged:\n%s", out.String())
	}
}

func TestExitCodesTellFailuresApart(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{&ConfigError{Key: "k"}, 78},
		{ErrForeign, 65},
		{&ForeignClusterError{}, 65},
		{&StoppedError{}, 65},
		{&ResolveError{Nothing: true}, 64},
		{&ResolveError{Again: true}, 75},
		{&CorruptError{}, 65},
		{&LockedError{}, 75},
		{ErrFull, 75},
		{syscall.EACCES, 77},
		{ErrUnknown, 74},
		{&SpaceError{Err: syscall.ENOSPC}, 75},
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, 75},
		{context.DeadlineExceeded, 69},
		{errors.New("what?"), 70},
	} {
		if got := ExitCode(tt.err); got != tt.want {
			t.Errorf("ExitCode(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestStatusMayBeAskedFromManyGoroutinesWhileItCloses(t *testing.T) {
	p, _ := offline(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-p.Done():
					return
				default:
					if p.Status() == nil || p.Peek() == nil {
						t.Error("no status")
					}
				}
			}
		})
	}
	spoolOne(t, p)
	if err := p.Close(closed()); err != nil {
		t.Errorf("Close = %v", err)
	}
	wg.Wait()
}

// Others fill the disk, too, while nothing is committed.
func TestTheStatusHasWhatIsFreeOfTheDiskNow(t *testing.T) {
	p, _ := offline(t)
	defer func() { _ = p.Close(closed()) }()
	const size = 64 << 20
	before := p.Peek().DiskFreeBytes
	if err := os.WriteFile(filepath.Join(t.TempDir(), "file"), make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	if after := p.Peek().DiskFreeBytes; after > before-size/2 { // other tests write, and free, too
		t.Errorf("%d bytes are free with a file of %d bytes more, %d were", after, size, before)
	}
}

// The loop may end, as it does when a Close's context has ended, before the last commits were made. The committer waited with the third
// of them until 30 s were over, and so did Close.
func TestTheSpoolIsClosedThoughItsLastCommitsAreTakenByNobody(t *testing.T) {
	p, _ := offline(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Close(over); err != nil {
		t.Fatal(err)
	}
	p.engines.seam = func(s *bolt.Store) loop.Store { return s }
	e, err := p.engines.open(nil)
	if err != nil {
		t.Fatal(err)
	}
	e.loop.Close(over)
	var last bolt.Ticket
	for n := range 4 {
		if last, err = e.store.Append(t.Context(), "t", 1, -1, nil, []byte("v"), nil); err != nil {
			t.Fatal(err)
		}
		if n < 3 { // the fourth is not committed as long as nobody takes the first
			if err := last.Spooled(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	closed := make(chan error, 1)
	go func() { closed <- e.close() }()
	select {
	case err = <-closed:
	case <-time.After(20 * time.Second):
		t.Fatal("it is not closed after 20 s")
	}
	if err == nil {
		err = last.Spooled(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}
