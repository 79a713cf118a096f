package sender

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

// Config is what the sender goes by. All of it must be given: defaults are those of the configuration keys, in the
// root package.
type Config struct {
	BatchSize         int   // bytes
	BufferMemory      int   // bytes of batches in memory
	MaxRequestSize    int   // bytes of one Produce request, but for its first batch
	MaxInFlight       int   // requests per connection, and batches per partition: 1 to idempotence.MaxInFlight
	LingerMs          int64 // 0: none
	RequestTimeoutMs  int64
	RetryBackoffMs    int64
	RetryBackoffMaxMs int64
	MetadataMaxAgeMs  int64
	MetadataMaxIdleMs int64 // a topic that no record waits for is not asked about after this time
	MarginMs          int64 // see protocol.Margin
	FinishOnly        bool  // seal nothing: end with ErrFinished once nothing is sealed or parked
	CheckCluster      bool  // stop when the first cluster that is reached is another one than the spool's
	AutoCreate        bool  // ask the cluster to create topics that it does not have
	Partitioner       protocol.Partitioner
	Seed              uint64
}

// Sender is the whole producer but for IO. Not safe for concurrent use: the loop
// owns it.
type Sender struct {
	cfg     Config
	now     spool.Time
	eff     Effects
	backoff protocol.Backoff
	acc     *accumulator.Accumulator

	lanes   []*lane // ascending by ID
	byTopic map[string]*lane
	active  []*partition // those with anything to do, in no order that matters
	view    *cluster.View
	// foreignCluster is the id of another cluster that was met last and reported, since the link was up.
	foreignCluster string

	turn int // where the next drain begins, so that none starves

	former   protocol.ProducerIdentity // of the last start that had one
	identity protocol.ProducerIdentity // of this start; valid once it is durable
	clones   cloneCheck
	identify identify

	reqs    map[uint64]*request
	reqID   uint64
	feedID  uint64
	feeding int // bytes asked for and not here yet
	// Lanes that are behind, in turn, and those that could take nothing when Accumulator.Wakes was stalledAt.
	behind, stalled []*lane
	stalledAt       uint64
	extra           extra

	e       idempotence.Env // with the Write that is being composed, and all else that machines left
	then    []func()        // to do when the Write is durable
	writeID uint64
	writes  []pendingWrite

	flushing int  // lanes of which not all has left that Flush was for
	closing  bool // see Closing
	stop     error
}

type pendingWrite struct {
	id     uint64
	sealed []*idempotence.Sealed
	then   []func()
}

// New makes a sender from what a start found. rec is not kept.
func New(cfg Config, rec *spool.Recovered) *Sender {
	s := &Sender{
		cfg: cfg,
		acc: accumulator.New(accumulator.Config{
			BatchSize: cfg.BatchSize, BufferMemory: cfg.BufferMemory, LingerMs: cfg.LingerMs, Partitioner: cfg.Partitioner, Seed: cfg.Seed,
		}),
		byTopic:  make(map[string]*lane),
		former:   rec.Former,
		identity: protocol.NoIdentity,
		reqs:     make(map[uint64]*request),
	}
	s.backoff = protocol.Backoff{Ms: cfg.RetryBackoffMs, MaxMs: cfg.RetryBackoffMaxMs, Rand: rand.New(rand.NewPCG(cfg.Seed, rec.Incarnation))}
	s.view = cluster.New(cluster.Config{
		ID: rec.ClusterID, AutoCreate: cfg.AutoCreate, RetryBackoffMs: cfg.RetryBackoffMs,
		MetadataMaxAgeMs: cfg.MetadataMaxAgeMs, MetadataMaxIdleMs: cfg.MetadataMaxIdleMs, Backoff: &s.backoff,
	})
	s.e = idempotence.Env{Accumulator: s.acc, Config: idempotence.Config{
		MaxInFlight: cfg.MaxInFlight, MarginMs: cfg.MarginMs, RetryBackoffMaxMs: cfg.RetryBackoffMaxMs, Backoff: &s.backoff,
	}}
	for i := range rec.Lanes {
		s.restoreLane(&rec.Lanes[i])
	}
	for i := range rec.Partitions {
		s.restorePartition(&rec.Partitions[i])
	}
	for i := range rec.Seals {
		s.restoreSeal(&rec.Seals[i])
	}
	for _, l := range s.lanes {
		for _, p := range l.parts {
			p.Restored()
		}
		l.remote.Expected = l.knownPartitions()
		s.wantFeed(l)
	}
	if rec.Stopped != "" {
		s.stop = &StoppedError{Reason: rec.Stopped, Recorded: true}
	}
	return s
}

// Start begins to work: it asks for metadata if there is anything to deliver.
func (s *Sender) Start(now spool.Time) *Effects {
	s.begin(now)
	var r Recovery
	for _, l := range s.lanes {
		r.Pending += l.acc.CountPending()
		for _, p := range l.parts {
			if n := p.Seals(); n > 0 {
				r.Seals += n
				r.Partitions++
			}
		}
	}
	s.event(r)
	return s.end()
}

// Tick is to be called at WakeAt.
func (s *Sender) Tick(now spool.Time) *Effects {
	s.begin(now)
	return s.end()
}

// Flush makes everything spooled so far ready at once, until it has left.
func (s *Sender) Flush(now spool.Time) *Effects {
	s.begin(now)
	for _, l := range s.lanes {
		l.flushTo = l.acc.End
		if !l.flushing && l.acc.Pending() {
			l.flushing = true
			s.flushing++
		}
	}
	return s.end()
}

// Pending is how many entries of topic below end have not left; for Flush and tests.
func (s *Sender) Pending() uint64 {
	var n uint64
	for _, l := range s.lanes {
		n += l.acc.CountPending()
	}
	return n
}

// Seeds of the effects: every public method begins and ends with these.

func (s *Sender) begin(now spool.Time) {
	if now.Age < s.now.Age {
		now.Age = s.now.Age
	}
	s.now = now
	s.view.Begin(now.Age)
	e := &s.eff
	clear(e.Sealed)
	clear(e.Requests)
	clear(e.Recycle)
	*e = Effects{
		Sealed: e.Sealed[:0], Requests: e.Requests[:0], Deliver: e.Deliver[:0], Feed: e.Feed[:0],
		Recycle: e.Recycle[:0], Events: e.Events[:0],
	}
}

func (s *Sender) end() *Effects {
	if s.stop == nil {
		s.progress()
	}
	s.emit()
	s.eff.Stop = s.stop
	if s.stop != nil {
		s.eff.Requests, s.eff.Feed, s.eff.WakeAt = s.eff.Requests[:0], s.eff.Feed[:0], 0
	}
	return &s.eff
}

// progress is the Sender's runOnce: whatever can be done now is done.
func (s *Sender) progress() {
	s.acc.Hurry = s.flushing > 0
	for _, p := range s.active {
		s.advance(p)
		if s.stop != nil {
			return
		}
	}
	s.control()
	s.view.AskExpiration()
	s.ask()
	s.produce()
	s.feed()
	s.retire()
	s.finish()
	s.viewRequests()
	if at := s.view.WakeAt(); at != 0 {
		s.wake(at)
	}
}

// control asks for what everything else needs: metadata, then a producer id.
func (s *Sender) control() {
	s.view.Update()
	if s.view.Generation() > 0 && (s.cloneChecked() || s.mayUseIdentity()) {
		s.askIdentity()
	}
}

// retire drops from active what has nothing to do.
func (s *Sender) retire() {
	k := 0
	for _, p := range s.active {
		if p.Idle() {
			p.active = false
			continue
		}
		s.active[k] = p
		k++
	}
	clear(s.active[k:])
	s.active = s.active[:k]
}

func (s *Sender) activate(p *partition) {
	if !p.active {
		p.active, p.since = true, s.now.Age
		s.active = append(s.active, p)
	}
}

// wake asks for a Tick at the latest at age at.
func (s *Sender) wake(at int64) {
	if at <= s.now.Age {
		at = s.now.Age + 1
	}
	if s.eff.WakeAt == 0 || at < s.eff.WakeAt {
		s.eff.WakeAt = at
	}
}

// emit takes what machines left, and closes the Write that was composed, if there is one.
func (s *Sender) emit() {
	e, eff := &s.e, &s.eff
	eff.Sealed, e.Encode = e.Encode, eff.Sealed
	eff.Deliver, e.Deliver = e.Deliver, eff.Deliver
	eff.Recycle, e.Recycle = e.Recycle, eff.Recycle
	eff.Events, e.Events = e.Events, eff.Events
	if e.WakeAt != 0 {
		s.wake(e.WakeAt)
		e.WakeAt = 0
	}
	w := &e.Write
	w.Partitions = slices.Grow(w.Partitions, len(e.Changed))
	for _, m := range e.Changed {
		w.Partitions = append(w.Partitions, s.lane(m.Lane.ID).parts[m.ID].state())
	}
	clear(e.Changed)
	e.Changed = e.Changed[:0]
	if len(e.Sealed) > 0 { // the facts that sealed records were placed by are durable with them
		s.acc.FreshFacts(func(f spool.LaneFacts) { w.Facts = append(w.Facts, f) })
	}
	if w.Empty() {
		return
	}
	s.writeID++
	out := *w
	out.ID = s.writeID
	s.writes = append(s.writes, pendingWrite{id: out.ID, sealed: e.Sealed, then: s.then})
	eff.Write, eff.Urgent = &out, e.Urgent
	e.Write, e.Sealed, s.then, e.Urgent = spool.Write{}, nil, nil, false
}

// durable is told which Writes were committed.
func (s *Sender) durable(upTo uint64) {
	k := 0
	for ; k < len(s.writes) && s.writes[k].id <= upTo; k++ {
		for _, b := range s.writes[k].sealed {
			b.Durable()
		}
		for _, f := range s.writes[k].then {
			f()
		}
	}
	s.writes = append(s.writes[:0], s.writes[k:]...)
}

// Splits is how many batches were cut in two since this start, because the broker refused them.
func (s *Sender) Splits() int64 { return s.e.Splits }

func (s *Sender) event(e Event) { s.e.Events = append(s.e.Events, e) }

func (s *Sender) audit(format string, args ...any) {
	s.e.Write.Audit = append(s.e.Write.Audit, spool.AuditEntry{At: s.now.Wall, What: fmt.Sprintf(format, args...)})
}
