package loop

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/protocol/conn"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// patience bounds every wait of a test: reached only when something is broken.
const patience = 10 * time.Second

// fakeCore answers each call with what the test planned for it, and reports the
// calls in order.
type fakeCore struct {
	calls chan string
	mu    sync.Mutex
	plan  map[string][]sender.Effects
	last  sender.Response
	left  map[spool.LaneID]*spool.Set // by what was delivered
}

func newFakeCore() *fakeCore {
	return &fakeCore{calls: make(chan string, 1000), plan: make(map[string][]sender.Effects), left: make(map[spool.LaneID]*spool.Set)}
}

// on plans the effects of the next call of that name that has no plan yet.
func (c *fakeCore) on(call string, e sender.Effects) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plan[call] = append(c.plan[call], e)
}

func (c *fakeCore) called(call, detail string) *sender.Effects {
	c.mu.Lock()
	defer c.mu.Unlock()
	var e sender.Effects
	if p := c.plan[call]; len(p) > 0 {
		e, c.plan[call] = p[0], p[1:]
	}
	for i := range e.Deliver {
		for _, sp := range e.Deliver[i].Spans {
			c.settled(e.Deliver[i].Lane).Add(sp)
		}
	}
	c.calls <- call + detail
	return &e
}

func (c *fakeCore) Splits() int64 { return 0 }

func (c *fakeCore) Recovered(topic string) { c.calls <- "recovered " + topic }

func (c *fakeCore) settled(id spool.LaneID) *spool.Set {
	if c.left[id] == nil {
		c.left[id] = spool.NewSet(0)
	}
	return c.left[id]
}

func (c *fakeCore) Settled(id spool.LaneID) spool.Index {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settled(id).Low()
}

func (c *fakeCore) Start(spool.Time) *sender.Effects { return c.called("start", "") }
func (c *fakeCore) Committed(_ spool.Time, d *spool.Committed) *sender.Effects {
	return c.called("committed", fmt.Sprintf(" %d", d.Writes))
}
func (c *fakeCore) Fed(_ spool.Time, f *sender.Fed) *sender.Effects {
	return c.called("fed", fmt.Sprintf(" %d %d", f.ID, f.Next))
}
func (c *fakeCore) Handle(_ spool.Time, r sender.Response) *sender.Effects {
	outcome := "ok"
	if r.Err != nil {
		outcome = "error"
		if r.Written {
			outcome += " written"
		}
	}
	e := c.called("handle", fmt.Sprintf(" %d %s", r.ID, outcome))
	c.mu.Lock()
	c.last = r
	c.mu.Unlock()
	return e
}
func (c *fakeCore) Disconnected(_ spool.Time, broker int32, _ error) *sender.Effects {
	return c.called("disconnected", fmt.Sprintf(" %d", broker))
}
func (c *fakeCore) Tick(spool.Time) *sender.Effects  { return c.called("tick", "") }
func (c *fakeCore) Flush(spool.Time) *sender.Effects { return c.called("flush", "") }
func (c *fakeCore) Closing(spool.Time) *sender.Effects {
	return c.called("closing", "")
}
func (c *fakeCore) Status(spool.Time) sender.Status { return sender.Status{} }
func (c *fakeCore) Resolve(_ spool.Time, topic string, _ int32, _ sender.Choice) (*sender.Effects, sender.Resolved, error) {
	return c.called("resolve", " "+topic), sender.Resolved{}, nil
}

// expect waits for calls in this order.
func (c *fakeCore) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-c.calls:
			if got != w {
				t.Fatalf("core was called with %q, want %q", got, w)
			}
		case <-time.After(patience):
			t.Fatalf("core was not called, want %q", w)
		}
	}
}

// fakeStore reports what it was asked, and commits when the test says so.
type fakeStore struct {
	did     chan string
	commits chan *bolt.Commit
	asked   atomic.Int64 // for the time
	began   time.Time
	readErr error
}

func newFakeStore() *fakeStore {
	return &fakeStore{did: make(chan string, 1000), commits: make(chan *bolt.Commit, 1), began: time.Now()}
}

func (s *fakeStore) Submit(w *spool.Write, urgent bool) {
	s.did <- fmt.Sprintf("submit %d %v", w.ID, urgent)
}
func (s *fakeStore) Commits() <-chan *bolt.Commit { return s.commits }
func (s *fakeStore) Resolve(d *spool.Delivery)    { s.did <- fmt.Sprintf("resolve %v", d.Spans) }
func (s *fakeStore) Read(_ spool.LaneID, from spool.Index, _ int, buf []byte) ([]spool.Section, spool.Index, []byte, error) {
	return nil, from + 10, buf, s.readErr
}
func (s *fakeStore) Lanes() (bolt.Stats, []bolt.LaneStats) { return bolt.Stats{}, nil }
func (s *fakeStore) Aged(spool.LaneID, int64) spool.Index  { return 0 }
func (s *fakeStore) Now() spool.Time {
	s.asked.Add(1)
	return spool.Time{Age: 1000 + time.Since(s.began).Milliseconds()}
}

func (s *fakeStore) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-s.did:
			if got != w {
				t.Fatalf("store did %q, want %q", got, w)
			}
		case <-time.After(patience):
			t.Fatalf("store did nothing, want %q", w)
		}
	}
}

// fakeWire is a connection that answers when the test says so.
type fakeWire struct {
	mu    sync.Mutex
	dones []conn.Done
	sent  chan string
	over  chan struct{}
	once  sync.Once
	err   error
}

func newFakeWire() *fakeWire {
	return &fakeWire{sent: make(chan string, 100), over: make(chan struct{})}
}

func (w *fakeWire) Version(_, most int16) (int16, bool) {
	if most >= 0 {
		return most, true
	}
	return 9, true
}
func (w *fakeWire) Do(req kmsg.Request, _ time.Duration, done conn.Done) {
	w.add(done)
	w.sent <- kmsg.NameForKey(req.Key())
}
func (w *fakeWire) Produce(p *conn.ProduceRequest, _ time.Duration, done conn.Done) {
	parts, err := p.Encode(nil)
	w.add(done)
	w.sent <- fmt.Sprintf("Produce v%d %d %v", p.Version, len(parts), err)
	for _, part := range parts {
		if err := protocol.VerifyBatch(part.Batch); err != nil {
			w.sent <- err.Error()
		}
	}
}
func (w *fakeWire) add(done conn.Done) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dones = append(w.dones, done)
}

// answer answers the oldest request.
func (w *fakeWire) answer(resp kmsg.Response, written bool, err error) {
	w.mu.Lock()
	done := w.dones[0]
	w.dones = w.dones[1:]
	w.mu.Unlock()
	done(resp, written, err)
}
func (w *fakeWire) Close(err error) {
	w.once.Do(func() {
		w.mu.Lock()
		w.err = err
		dones := w.dones
		w.dones = nil
		w.mu.Unlock()
		for _, done := range dones {
			done(nil, true, err)
		}
		close(w.over)
	})
}
func (w *fakeWire) Done() <-chan struct{} { return w.over }
func (w *fakeWire) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *fakeWire) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-w.sent:
		if got != want {
			t.Fatalf("sent %q, want %q", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("nothing was sent, want %q", want)
	}
}

// rig is a loop among fakes.
type rig struct {
	loop  *Loop
	core  *fakeCore
	store *fakeStore
	dials chan string
	wires chan *fakeWire // what the next dial gives; nil: it fails
}

func newRig(t *testing.T, opt Options, rec *spool.Recovered) *rig {
	t.Helper()
	r := &rig{core: newFakeCore(), store: newFakeStore(), dials: make(chan string, 100), wires: make(chan *fakeWire, 100)}
	if rec != nil {
		for _, l := range rec.Lanes {
			r.core.left[l.ID] = l.Settled.Clone()
		}
	}
	opt.Servers = []string{"seed1:1", "seed2:2"}
	opt.ReconnectBackoff, opt.ReconnectMax = time.Millisecond, 2*time.Millisecond
	opt.Rebootstrap = max(opt.Rebootstrap, time.Hour)
	opt.ConnectTimeout, opt.ConnectTimeoutMax = time.Second, time.Second
	opt.dial = func(ctx context.Context, addr string, _ time.Duration) (wire, error) {
		r.dials <- addr
		select {
		case w := <-r.wires:
			if w == nil {
				return nil, errors.New("refused")
			}
			return w, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if rec == nil {
		rec = &spool.Recovered{}
	}
	r.loop = New(r.core, r.store, rec, opt)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r.loop.Close(ctx)
	})
	return r
}

func (r *rig) over(t *testing.T) error {
	t.Helper()
	select {
	case <-r.loop.Over():
		return r.loop.Err()
	case <-time.After(patience):
		t.Fatal("the loop did not end")
		return nil
	}
}

// connected brings up broker 1, whose connection is w.
func (r *rig) connected(t *testing.T, w *fakeWire, next ...sender.Effects) {
	t.Helper()
	seed := newFakeWire()
	r.wires <- seed
	r.core.on("start", sender.Effects{Requests: []sender.Request{control(1, sender.AnyBroker)}})
	r.core.on("handle", sender.Effects{Requests: []sender.Request{{ID: 2, Kind: sender.KindConnect, Broker: 1}}})
	for _, e := range next {
		r.core.on("handle", e)
	}
	r.loop.Run()
	r.core.expect(t, "start")
	seed.expect(t, "Metadata")
	r.wires <- w
	seed.answer(metadata(1), true, nil)
	r.core.expect(t, "handle 1 ok", "handle 2 ok")
}

func control(id uint64, broker int32) sender.Request {
	return sender.Request{ID: id, Kind: sender.KindControl, Broker: broker, Message: kmsg.NewPtrMetadataRequest(), MaxVersion: -1, Timeout: 1000}
}

func metadata(brokers ...int32) *kmsg.MetadataResponse {
	resp := kmsg.NewPtrMetadataResponse()
	for _, id := range brokers {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = id, fmt.Sprintf("broker%d", id), 9092
		resp.Brokers = append(resp.Brokers, b)
	}
	return resp
}
