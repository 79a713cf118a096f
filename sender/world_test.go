package sender_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// world is one host and one cluster under a seed: one goroutine, one clock, every
// fault drawn.
type world struct {
	rng     *rand.Rand
	now     spool.Time
	cluster *modelCluster
	disk    *modelSpool
	s       *sender.Sender
	life    int // of the host: what belongs to an earlier one is dropped, but for requests on the wire

	events  []event
	order   uint64
	conns   map[int32]*modelConn
	writes  []*spool.Write
	records []rec // waiting for a commit
	commit  bool  // a commit is under way
	wakeAt  int64
	sent    map[string]uint64 // records committed: value to order of commit in its key
	n       uint64
	fatal   error
	trace   []string
	keys    int
	topics  []string
	// lose: the request is served, its answer is lost and the connection cut. hold: it
	// is served and never answered. drop: it is not even served, and the connection cut.
	lose, hold, drop func(broker int32, r sender.Request) bool
	calm             bool                      // nothing arrives late
	refuse           func(sender.Request) bool // answered at once: not written
	refused          int
	seen             []sender.Request // Produce requests as they were sent, copied
	told             []sender.Event
}

type rec struct {
	topic string
	key   []byte
	value []byte
	ts    int64
}

type event struct {
	at    int64
	order uint64
	life  int
	do    func()
}

// modelConn is a connection: answers come in the order of requests.
type modelConn struct {
	broker  int32
	up      bool
	waiting []sender.Request // unanswered, in order
	ready   map[uint64]sender.Response
	served  map[uint64]bool
	lastIn  int64 // arrival of the last request
}

func newWorld(seed uint64, brokers int32) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 77)), disk: newModelSpool(), conns: map[int32]*modelConn{}, sent: map[string]uint64{}, keys: 4}
	w.cluster = newModelCluster(w.rng, brokers)
	w.now = spool.Time{Wall: w.cluster.now, Age: 1}
	return w
}

func (w *world) logf(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%6d ", w.now.Age)+fmt.Sprintf(format, args...))
	if len(w.trace) > 400 {
		w.trace = w.trace[200:]
	}
}

func (w *world) after(ms int64, life int, do func()) {
	w.order++
	w.events = append(w.events, event{at: w.now.Age + ms, order: w.order, life: life, do: do})
}

func (w *world) start(cfg sender.Config) {
	w.life++
	w.conns = map[int32]*modelConn{}
	w.writes, w.records, w.commit, w.wakeAt = nil, nil, false, 0
	w.s = sender.New(whole(cfg), w.disk.recovered())
	w.logf("start %d", w.life)
	w.carry(w.s.Start(w.now))
}

// crash ends the host: nothing but the disk and what is on the wire survives.
func (w *world) crash(cfg sender.Config) {
	w.logf("crash")
	for _, c := range w.conns {
		w.scatter(c)
	}
	w.start(cfg)
}

// scatter: the unanswered requests of a lost connection may still arrive, much later.
func (w *world) scatter(c *modelConn) {
	for _, r := range c.waiting {
		if c.served[r.ID] || r.Kind != sender.KindProduce || w.calm {
			continue
		}
		if w.rng.IntN(3) > 0 {
			continue
		}
		frozen := freeze(r)
		w.after(w.rng.Int64N(300), -1, func() {
			w.logf("late copy arrives: %s", describe(frozen))
			_, _ = w.cluster.serve(c.broker, frozen)
		})
	}
	c.waiting = nil
}

// carry does what the core wants, in the order of the fields.
func (w *world) carry(e *sender.Effects) {
	if e.Write != nil {
		w.writes = append(w.writes, e.Write)
		if e.Urgent {
			w.beginCommit()
		} else {
			w.after(20, w.life, w.beginCommit) // settle.ms
		}
	}
	if e.Stop != nil {
		w.fatal = e.Stop
		return
	}
	for _, r := range e.Requests {
		w.send(r)
	}
	for _, f := range e.Feed {
		w.after(w.rng.Int64N(3), w.life, func() { w.carry(w.s.Fed(w.now, w.disk.feed(f))) })
	}
	for _, ev := range e.Events {
		w.logf("event %T%+v", ev, ev)
		w.told = append(w.told, ev)
	}
	w.wakeAt = e.WakeAt
	if os.Getenv("WORLD_DEBUG") != "" {
		w.logf("  effects: write %v urgent %v requests %d feed %v wake %d", e.Write != nil, e.Urgent, len(e.Requests), e.Feed, e.WakeAt)
	}
	if len(w.records) > 0 {
		w.beginCommit()
	}
}

func (w *world) beginCommit() {
	if w.commit || len(w.writes)+len(w.records) == 0 {
		return
	}
	w.commit = true
	w.after(w.rng.Int64N(3), w.life, w.endCommit)
}

// endCommit makes durable all that is due and tells the core.
func (w *world) endCommit() {
	w.commit = false
	c := &spool.Committed{}
	for _, wr := range w.writes {
		w.disk.apply(wr)
		c.Writes = wr.ID
	}
	w.writes = nil
	for _, r := range w.records {
		id, fresh := w.disk.lane(r.topic)
		if fresh {
			c.Lanes = append(c.Lanes, spool.NewLane{ID: id, Topic: r.topic})
		}
		var e []byte
		size := spool.BodySize(r.key, r.value, nil)
		e = spool.AppendEntry(nil, r.ts, protocol.NoPartition, r.key, r.value, nil, size)
		i := spool.Index(len(w.disk.entries[id]))
		w.disk.entries[id] = append(w.disk.entries[id], e)
		c.Sections = append(c.Sections, spool.Section{Lane: id, Spans: []spool.Span{{First: i, End: i + 1}}, Bytes: e})
		w.n++
		w.sent[string(r.value)] = w.n
	}
	w.records = nil
	w.carry(w.s.Committed(w.now, c))
}

func (w *world) send(r sender.Request) {
	broker := r.Broker
	if broker == sender.AnyBroker {
		broker = w.rng.Int32N(w.cluster.brokers)
		life := w.life
		w.after(1+w.rng.Int64N(4), life, func() {
			m, err := w.cluster.serve(broker, r)
			w.carry(w.s.Handle(w.now, sender.Response{ID: r.ID, Message: m, Err: err}))
		})
		return
	}
	c := w.conns[broker]
	if r.Kind == sender.KindConnect {
		w.after(1+w.rng.Int64N(3), w.life, func() {
			w.conns[broker] = &modelConn{broker: broker, up: true, ready: map[uint64]sender.Response{}, served: map[uint64]bool{}}
			w.carry(w.s.Handle(w.now, sender.Response{ID: r.ID, Conn: sender.Conn{Broker: broker, ProduceMax: 13}}))
		})
		return
	}
	if w.refuse != nil && w.refuse(r) {
		w.refused++
		w.after(0, w.life, func() {
			w.carry(w.s.Handle(w.now, sender.Response{ID: r.ID, Err: errors.New("the connection has ended")}))
		})
		return
	}
	if c == nil || !c.up {
		w.after(0, w.life, func() {
			w.carry(w.s.Handle(w.now, sender.Response{ID: r.ID, Err: errors.New("not connected")}))
		})
		return
	}
	w.logf("send to %d: %s", broker, describe(r))
	c.waiting = append(c.waiting, r)
	if r.Kind == sender.KindProduce {
		w.seen = append(w.seen, freeze(r))
	}
	at := max(w.now.Age+w.rng.Int64N(4), c.lastIn)
	c.lastIn = at
	w.after(at-w.now.Age, w.life, func() { w.arrive(c, r) })
}

func (w *world) arrive(c *modelConn, r sender.Request) {
	if !c.up {
		return
	}
	if w.drop != nil && w.drop(c.broker, r) {
		w.after(1, w.life, func() { w.cut(c) })
		return
	}
	m, err := w.cluster.serve(c.broker, r)
	c.served[r.ID] = true
	if w.hold != nil && w.hold(c.broker, r) {
		return
	}
	if w.lose != nil && w.lose(c.broker, r) {
		w.after(1, w.life, func() { w.cut(c) })
		return
	}
	c.ready[r.ID] = sender.Response{ID: r.ID, Message: m, Err: err}
	w.after(w.rng.Int64N(4), w.life, func() { w.answer(c) })
}

// answer hands over the answers that are next in order.
func (w *world) answer(c *modelConn) {
	for c.up && len(c.waiting) > 0 {
		resp, ok := c.ready[c.waiting[0].ID]
		if !ok {
			return
		}
		delete(c.ready, resp.ID)
		c.waiting = c.waiting[1:]
		w.carry(w.s.Handle(w.now, resp))
	}
}

func (w *world) cut(c *modelConn) {
	if c == nil || !c.up {
		return
	}
	w.logf("cut connection to %d", c.broker)
	c.up = false
	lost := c.waiting
	written := len(lost)
	if w.drop == nil && w.rng.IntN(3) == 0 {
		written = w.rng.IntN(len(lost) + 1) // the last ones never left the host
	}
	for k, r := range lost {
		if c.served[r.ID] {
			written = max(written, k+1)
		}
	}
	c.waiting = lost[:written]
	w.scatter(c)
	for i, r := range lost {
		w.carry(w.s.Handle(w.now, sender.Response{ID: r.ID, Err: errors.New("cut"), Written: i < written}))
	}
	w.carry(w.s.Disconnected(w.now, c.broker, errors.New("cut")))
}

// step does the next thing that is due, or lets time pass.
func (w *world) step() {
	best := -1
	for i, e := range w.events {
		if best < 0 || e.at < w.events[best].at || e.at == w.events[best].at && e.order < w.events[best].order {
			best = i
		}
	}
	at := int64(1<<62 - 1)
	if best >= 0 {
		at = w.events[best].at
	}
	if w.wakeAt > 0 && w.wakeAt < at {
		w.pass(w.wakeAt)
		w.carry(w.s.Tick(w.now))
		return
	}
	if best < 0 {
		w.pass(w.now.Age + 1)
		return
	}
	e := w.events[best]
	w.events = append(w.events[:best], w.events[best+1:]...)
	w.pass(e.at)
	if e.life == w.life || e.life == -1 {
		e.do()
	}
}

func (w *world) pass(age int64) {
	if d := age - w.now.Age; d > 0 {
		w.now.Age += d
		w.now.Wall += d
		w.cluster.now += d
	}
}

func (w *world) produce(n int) {
	for range n {
		w.n++
		r := rec{topic: w.topics[w.rng.IntN(len(w.topics))], ts: w.now.Wall, value: fmt.Appendf(nil, "v%d", w.n)}
		if k := w.rng.IntN(w.keys + 1); k > 0 {
			r.key = []byte{byte(k)}
		}
		w.records = append(w.records, r)
	}
	w.beginCommit()
}

func describe(r sender.Request) string {
	if r.Kind != sender.KindProduce {
		return fmt.Sprintf("%d %T", r.ID, r.Message)
	}
	out := fmt.Sprintf("%d produce", r.ID)
	for _, b := range r.Batches {
		out += fmt.Sprintf(" %s-%d %v seq %d+%d", b.Topic, b.Partition, b.Identity, b.Base, b.Count)
	}
	return out
}

// freeze copies a request, for one that arrives after its batches were recycled.
func freeze(r sender.Request) sender.Request {
	out := r
	out.Batches = nil
	for _, b := range r.Batches {
		c := *b
		c.Buf = append([]byte(nil), b.Buf...)
		out.Batches = append(out.Batches, &c)
	}
	return out
}
