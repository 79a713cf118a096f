package loop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/protocol/conn"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// Core is what decides (package sender).
type Core interface {
	Start(now spool.Time) *sender.Effects
	Committed(now spool.Time, c *spool.Committed) *sender.Effects
	Fed(now spool.Time, f *sender.Fed) *sender.Effects
	Handle(now spool.Time, r sender.Response) *sender.Effects
	Disconnected(now spool.Time, broker int32, err error) *sender.Effects
	Tick(now spool.Time) *sender.Effects
	Flush(now spool.Time) *sender.Effects
	Closing(now spool.Time) *sender.Effects
	Resolve(now spool.Time, topic string, partition int32, c sender.Choice) (*sender.Effects, sender.Resolved, error)
	Status(now spool.Time) sender.Status
	Recovered(topic string) // of trouble that was reported; "": that of the transactional id
	Splits() int64
	Settled(lane spool.LaneID) spool.Index
}

// Store is what is durable (package spool/bolt).
type Store interface {
	Submit(w *spool.Write, urgent bool)
	Commits() <-chan *bolt.Commit
	Resolve(d *spool.Delivery)
	Read(lane spool.LaneID, from spool.Index, max int, buf []byte) ([]spool.Section, spool.Index, []byte, error)
	Now() spool.Time
	Lanes() (bolt.Stats, []bolt.LaneStats)
	Aged(lane spool.LaneID, before int64) spool.Index
}

// Options are the loop's part of the configuration. All must be given.
type Options struct {
	Servers           []string // bootstrap.servers
	ClientID          string
	Version           string // of spoold, for brokers' metrics
	Codec             protocol.Codec
	Level             int
	ReconnectBackoff  time.Duration
	ReconnectMax      time.Duration
	ConnectTimeout    time.Duration
	ConnectTimeoutMax time.Duration
	Rebootstrap       time.Duration // metadata.recovery.rebootstrap.trigger.ms
	MaxIdle           time.Duration // connections.max.idle.ms; not positive: never
	DeliveryTimeout   time.Duration // after which a record is given up; 0: never
	MaxAge            time.Duration // after which a record is dropped; 0: never
	DropOldest        bool          // there are topics whose oldest records are dropped at their quota
	Dial              func(ctx context.Context, network, addr string) (net.Conn, error)
	// Security is asked for each connection (conn.Options). Stamp changes when what it gives changes. nil: plain text.
	Security  func(context.Context) (conn.Security, error)
	Stamp     func() uint64
	Event     func(sender.Event) // called on the loop's goroutine; must not block. nil: not
	Produced  func(Produced)     // as Event, when a Produce request has ended, before what came of it
	Delivered func()             // called after deliveries were resolved; must not block. nil: not

	dial func(ctx context.Context, addr string, timeout time.Duration) (wire, error) // tests
}

// Loop carries out what the core decides. See the package's promise.
type Loop struct {
	core  Core
	store Store
	opt   Options

	inbox    *inbox
	snapshot atomic.Pointer[Snapshot]
	troubles troubles
	over     chan struct{} // closed when run has returned
	err      error         // why; valid once over is closed

	// What follows is run's alone.
	now        spool.Time
	commits    <-chan *bolt.Commit
	links      *links
	operations *operations
	encoder    *encoder
	feeder     *feeder
	progress   *progress
	asks       map[uint64]chan<- asked
	lastAsk    uint64
	splits     int64             // as reported
	replies    []sender.Response // answers that need no wire, until the effects at hand are carried out
	timer      *time.Timer
	expiry     expiry
	wakeAt     int64 // Age; 0: never
	published  int64 // Age
	every      int64 // ms between snapshots
	changed    bool  // since published
	writes     writes
	closing    bool   // what is sealed goes out, and answers come; nothing else
	stopAfter  uint64 // Write to make durable before stopping
	stopWith   error
	finished   bool
	online     map[uint64]*Online // units that are not spooled, by id
	early      []*Online          // of these, those that the core does not have yet
	onlineID   uint64
}

// writes are the ids of those that the core had made.
type writes struct {
	submitted uint64 // the last one
	awaited   uint64 // the last urgent one
	durable   uint64 // every one up to it is
}

// New makes a loop over a store that was just opened. The core belongs to the
// loop from here on. Run starts it.
func New(core Core, store Store, rec *spool.Recovered, opt Options) *Loop {
	l := &Loop{
		core: core, store: store, opt: opt,
		inbox: newInbox(), over: make(chan struct{}),
		commits:  store.Commits(),
		encoder:  newEncoder(opt.Codec, opt.Level, min(4, runtime.GOMAXPROCS(0))),
		progress: newProgress(rec, core.Settled),
		asks:     make(map[uint64]chan<- asked),
	}
	l.links = newLinks(&l.opt, l.inbox, &l.now)
	l.links.answer, l.links.reply, l.links.produced, l.links.encoding = l.handle, l.reply, l.produced, l.encoder.encoding
	l.links.ended = func(broker int32, err error) { l.carry(l.core.Disconnected(l.now, broker, err)) }
	l.links.bindCluster(rec.ClusterID)
	l.feeder = &feeder{read: store.Read, fed: l.fed}
	l.operations = &operations{core: core, feeder: l.feeder, now: &l.now, writes: &l.writes, carry: l.carry}
	l.now = store.Now()
	l.expiry = expiry{timeout: opt.DeliveryTimeout.Milliseconds(), maxAge: opt.MaxAge.Milliseconds(), began: l.now.Age, swept: make(map[spool.LaneID]spool.Index), over: make(map[spool.LaneID]struct{})}
	if q, ok := store.(quotaStore); ok && opt.DropOldest {
		l.expiry.quotas = q
	}
	l.expiry.records(l.now.Age)
	l.ageBacklog()
	l.publish()
	return l
}

// Run starts the loop's goroutines.
func (l *Loop) Run() {
	l.feeder.start()
	go l.run()
}

func (l *Loop) run() {
	defer close(l.over)
	l.timer = time.NewTimer(time.Hour)
	l.carry(l.core.Start(l.now))
	l.flushReplies()
	var crowded <-chan struct{} // nil: it never is
	if l.expiry.quotas != nil {
		crowded = l.expiry.quotas.Crowded()
	}
	for !l.finished {
		l.arm()
		select {
		case <-l.inbox.signal:
			l.now = l.store.Now()
			for _, message := range l.inbox.take() {
				message()
				l.flushReplies()
			}
		case c, ok := <-l.commits:
			l.now = l.store.Now()
			l.committed(c, ok)
		case <-crowded:
			l.now = l.store.Now()
			l.crowded()
		case <-l.timer.C:
			l.now = l.store.Now()
			l.tick()
		}
		l.flushReplies()
		l.swept()
		l.checkQuiet()
		if l.changed && l.now.Age-l.published >= l.every {
			l.publish()
		}
	}
	l.end()
}

// arm sets the timer to what comes first: the core's wake-up or a snapshot that is due.
func (l *Loop) arm() {
	next := l.now.Age + 60_000 // a suspended host's timers stand still: look now and then
	if l.wakeAt != 0 {
		next = min(next, l.wakeAt)
	}
	if l.expiry.at != 0 {
		next = min(next, l.expiry.at)
	}
	if l.changed {
		next = min(next, l.published+l.every)
	}
	if at := l.links.releaseAt(); at != 0 {
		next = min(next, at)
	}
	l.timer.Reset(time.Duration(max(0, next-l.now.Age)) * time.Millisecond)
}

func (l *Loop) tick() {
	l.links.closeIdle()
	l.links.release()
	if l.wakeAt != 0 && l.now.Age >= l.wakeAt && (!l.closing || l.busy()) {
		l.wakeAt = 0
		l.carry(l.core.Tick(l.now))
	}
	l.expire()
}

// committed takes what a spool commit made durable.
func (l *Loop) committed(c *bolt.Commit, ok bool) {
	if !ok {
		l.finish(errors.New("the spool was closed"))
		return
	}
	if c.Err != nil {
		l.finish(c.Err)
		return
	}
	l.progress.committed(&c.Committed, l.now.Age)
	if len(c.Sections) > 0 {
		l.expiry.records(l.now.Age)
	}
	effects := l.core.Committed(l.now, &c.Committed)
	l.writes.durable = max(l.writes.durable, c.Writes)
	c.Release() // the core has copied what it keeps
	l.carry(effects)
	if len(l.early) > 0 {
		takeOnline(l, l.core.(onlineCore), false)
	}
	l.checkFlush()
	l.operations.check()
	if l.stopWith != nil && l.writes.durable >= l.stopAfter {
		l.finish(l.stopWith)
	}
}

// handle gives one Response to the core.
func (l *Loop) handle(r sender.Response) {
	if l.answerAsk(&r) {
		return
	}
	l.carry(l.core.Handle(l.now, r))
}

// reply gives a Response after the effects at hand were carried out: the core is
// not called while it waits for what it asked.
func (l *Loop) reply(r sender.Response) { l.replies = append(l.replies, r) }

func (l *Loop) flushReplies() {
	for len(l.replies) > 0 && !l.finished {
		r := l.replies[0]
		l.replies = l.replies[1:]
		l.handle(r)
	}
}

// fed is called by the reader.
func (l *Loop) fed(f sender.Fed, buf []byte, err error) {
	l.inbox.post(func() {
		if err != nil {
			l.finish(fmt.Errorf("read back lane %d from %d: %w", f.Lane, f.From, err))
			return
		}
		if f.ID == sweepFeed {
			l.operations.swept(&f, buf)
			return
		}
		effects := l.core.Fed(l.now, &f)
		l.feeder.give(buf)
		l.carry(effects)
	})
}

// carry carries out effects in field order. A core call is not made inside it.
func (l *Loop) carry(e *sender.Effects) {
	if e == nil || l.finished {
		return
	}
	l.changed = true
	if e.Write != nil {
		l.writes.submitted = e.Write.ID
		l.links.bindCluster(e.Write.ClusterID)
		if e.Urgent {
			l.writes.awaited = e.Write.ID
		}
		l.store.Submit(e.Write, e.Urgent)
	}
	l.onlineEnded(e.Ended)
	if e.Stop != nil {
		l.deliver(e.Deliver)
		l.report(e.Events)
		l.stop(e)
		return
	}
	for _, b := range e.Sealed {
		l.encoder.encode(b)
	}
	for i := range e.Requests {
		if r := &e.Requests[i]; !l.closing || r.Kind == sender.KindProduce || l.busy() {
			l.links.request(r)
		} // else the next start asks again
	}
	l.deliver(e.Deliver)
	if len(e.Feed) > 0 {
		l.feeder.ask(e.Feed)
	}
	for _, b := range e.Recycle {
		l.encoder.recycle(b)
	}
	l.report(e.Events)
	l.wakeAt = e.WakeAt
	if len(e.Deliver) > 0 {
		l.checkFlush()
	}
}

// deliver passes on what became of records.
func (l *Loop) deliver(deliveries []spool.Delivery) {
	for i := range deliveries {
		d := &deliveries[i]
		l.store.Resolve(d)
	}
	if len(deliveries) > 0 && l.opt.Delivered != nil {
		l.opt.Delivered()
	}
}

// report passes events on.
func (l *Loop) report(events []sender.Event) {
	if l.opt.Event == nil {
		return
	}
	for _, event := range events {
		l.troubles.note(event)
		l.opt.Event(event)
	}
}
