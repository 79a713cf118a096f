package sender

import (
	"math/rand/v2"

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
	Compressed        bool  // batches are compressed into copies, which count as memory
	Partitioner       protocol.Partitioner
	Uniform           bool  // records without a key go to any partition alike, whatever its queue
	AvailabilityMs    int64 // and to none whose broker takes nothing for so long; 0: however long
	Seed              uint64
}

// Sender is the whole producer but for IO. Not safe for concurrent use: the loop
// owns it.
type Sender struct {
	parts
	feeds     *feeds
	changes   *changes
	questions *questions
	clones    *cloneCheck
	identify  *identify
	drain     *drain
	writes    writes
}

// parts are what all others work on. They see the same ones.
type parts struct {
	*call
	*topics
	*requests
	*work
}

// New makes a sender from what a start found. rec is not kept.
func New(cfg Config, rec *spool.Recovered) *Sender {
	s := build(cfg, rec)
	s.e.DeadFull = rec.DeadFull
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
		s.feeds.wantFeed(l)
	}
	if rec.Stopped != "" {
		s.stop = &StoppedError{Reason: rec.Stopped, Recorded: true}
	}
	return s
}

// build makes the parts of a sender and joins them.
func build(cfg Config, rec *spool.Recovered) *Sender {
	c := &call{cfg: cfg}
	c.acc = accumulator.New(accumulator.Config{
		BatchSize: cfg.BatchSize, BufferMemory: cfg.BufferMemory, LingerMs: cfg.LingerMs, Compressed: cfg.Compressed, Partitioner: cfg.Partitioner, Seed: cfg.Seed,
		Uniform: cfg.Uniform, AvailabilityMs: cfg.AvailabilityMs,
	})
	c.backoff = protocol.Backoff{Ms: cfg.RetryBackoffMs, MaxMs: cfg.RetryBackoffMaxMs, Rand: rand.New(rand.NewPCG(cfg.Seed, rec.Incarnation))}
	c.view = cluster.New(cluster.Config{
		ID: rec.ClusterID, AutoCreate: cfg.AutoCreate, RetryBackoffMs: cfg.RetryBackoffMs,
		MetadataMaxAgeMs: cfg.MetadataMaxAgeMs, MetadataMaxIdleMs: cfg.MetadataMaxIdleMs, Backoff: &c.backoff,
	})
	c.e = idempotence.Env{Accumulator: c.acc, Identity: protocol.NoIdentity, Former: rec.Former, Config: idempotence.Config{
		MaxInFlight: cfg.MaxInFlight, MarginMs: cfg.MarginMs, RetryBackoffMaxMs: cfg.RetryBackoffMaxMs, Backoff: &c.backoff,
	}}
	p := parts{
		call:     c,
		topics:   &topics{call: c, byTopic: make(map[string]*lane)},
		requests: &requests{call: c, reqs: make(map[uint64]*request)},
		work:     &work{call: c},
	}
	s := &Sender{parts: p, feeds: &feeds{parts: p, reads: make(map[uint64]*partition)}, questions: &questions{parts: p}, identify: &identify{parts: p}}
	s.changes = &changes{parts: p, feeds: s.feeds}
	s.clones = &cloneCheck{parts: p, questions: s.questions}
	s.drain = &drain{parts: p, changes: s.changes, ready: make(map[int32]*readyList)}
	return s
}

// Start begins to work: it asks for metadata if there is anything to deliver.
func (s *Sender) Start(now spool.Time) *Effects {
	s.start(now)
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
	s.all = true
	return s.end()
}

// Tick is to be called at WakeAt.
func (s *Sender) Tick(now spool.Time) *Effects {
	s.start(now)
	return s.end()
}

// Flush makes everything spooled so far ready at once, until it has left.
func (s *Sender) Flush(now spool.Time) *Effects {
	s.start(now)
	for _, l := range s.lanes {
		l.flushTo = l.acc.End
		if !l.flushing && l.acc.Pending() {
			l.flushing = true
			s.flushing++
		}
	}
	s.all = true // none of them lingers
	return s.end()
}

// Closing has nothing more sealed or read back: what is sealed already still goes out,
// and its answers settle it. So a stop in good order leaves little in doubt.
func (s *Sender) Closing(now spool.Time) *Effects {
	s.start(now)
	s.closing, s.all = true, true
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

// Every call begins with start and ends with end.
func (s *Sender) start(now spool.Time) {
	s.begin(now)
	s.beginWork()
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
	s.acc.Hurry = s.flushing > 0 || s.feeds.exhausted
	s.touchAll()
	s.feeds.touchStarved()
	for k := 0; k < len(s.touched); k++ { // a look at one may touch others
		s.look(s.touched[k])
		if s.stop != nil {
			return
		}
	}
	s.reachAgain(s.view.WakeAt())
	s.control()
	s.view.AskExpiration()
	s.questions.ask()
	s.drain.produce()
	s.feeds.feed()
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
	if s.view.Generation() == 0 {
		return
	}
	before := s.checked
	if over := s.clones.done(); over && !before {
		s.allNext = true // all may be sealed that waited for it
	}
	if s.mayUseIdentity() {
		s.identify.ask()
	}
}

// Splits is how many batches were cut in two since this start, because the broker refused them.
func (s *Sender) Splits() int64 { return s.e.Splits }
