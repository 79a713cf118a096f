package transaction

import (
	"fmt"
	"math/rand/v2"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/txn"
)

// Config is what the sender goes by, besides what package sender's does. It has no defaults of its own.
type Config struct {
	sender.Config
	ID         string // transactional.id
	TimeoutMs  int64  // transaction.timeout.ms
	MaxBytes   int    // of records in one transaction
	MaxRecords int
	Finish     bool // find out what became of the last transaction, and end with sender.ErrFinished
}

// Sender delivers in transactions. Not safe for concurrent use: the loop owns it. It joins its four
// parts, and has what all of them need.
type Sender struct {
	cfg     Config
	now     spool.Time
	eff     sender.Effects
	acc     *accumulator.Accumulator
	view    *cluster.View
	backoff *protocol.Backoff

	spoolID     string
	incarnation uint64

	lanes    []*lane // by LaneID
	followed []*lane // the same and those of topics that nothing was spooled for, by the number of their topic
	byTopic  map[string]*lane
	calls    uint64
	turn     int // where the next look begins, so that no lane and no partition starves

	m     *txn.Machine
	known spool.Transaction // as it is on disk, or is about to be

	fill    *cut // takes admissions, or is full
	sending *cut // the open transaction's; nil: none is open. The same as fill while it grows
	ending  *cut // decided: EndTxn is under way, or about to be

	starter  starter    // what a start does first, and the requests of the transactional id
	reader   reader     // from the spool into batches
	runner   runner     // begin, decide, end
	producer producer   // Produce requests and their answers
	markers  markers    // whether the ends of transactions are marked in the logs
	says     brokerView // what the coordinator says of the transactional id, for people

	reqs  map[uint64]*request
	reqID uint64

	w       spool.Write // being composed
	then    []func()    // to do when w is durable
	urgent  bool
	writeID uint64
	writes  []pendingWrite

	flushing bool
	closing  bool
	closedAt int64
	onlyEnd  bool // under a former transactional id: what was committed is confirmed, and nothing else is sent
	stop     error
}

// starter finds out what became of the last transaction, and sends what the transactional id needs.
type starter struct {
	*Sender
	phase phase
	begun beginning // how far the start has come
	trial trouble   // why nothing goes on, for people

	askedVersions bool
	versionsAt    int64 // Age at which transaction.version was asked for last
	versionsTries int   // in vain
	versionsNext  int64 // Age before which it is not asked for again
	version       int16 // that the cluster has finalized calls for; 0: not known yet
	finalized     int16 // what it has

	late     lateInits
	sawAbort uint64 // ordinal of the decided transaction that its coordinator has ended with abort; 0: none was seen
}

// reader admits units to the cut that is being filled, and puts their records into batches.
type reader struct {
	*Sender
	feedID  uint64
	feeding int              // bytes asked for and not here yet
	alone   [1]spool.UnitRun // see single
	short   bool             // a lane waits for memory
}

// runner begins, decides and ends transactions.
type runner struct {
	*Sender
	queue     []*online // units that are not spooled, and wait for their turn
	undecided *online   // was decided, and its outcome is not known yet
	shape     shape
	pace      pace
}

// producer puts batches on the wire.
type producer struct {
	*Sender
	retries uint64
	splits  int64
}

type pendingWrite struct {
	id   uint64
	then []func()
}

// New makes a sender from what a start found. rec is not kept.
func New(cfg Config, rec *spool.Recovered) *Sender {
	s := &Sender{
		cfg: cfg,
		acc: accumulator.New(accumulator.Config{
			BatchSize: cfg.BatchSize, BufferMemory: cfg.BufferMemory, LingerMs: cfg.LingerMs, Compressed: cfg.Compressed, Partitioner: cfg.Partitioner, Seed: cfg.Seed,
			Uniform: cfg.Uniform, AvailabilityMs: cfg.AvailabilityMs,
		}),
		backoff:     &protocol.Backoff{Ms: cfg.RetryBackoffMs, MaxMs: cfg.RetryBackoffMaxMs, Rand: rand.New(rand.NewPCG(cfg.Seed, rec.Incarnation))},
		spoolID:     rec.SpoolID,
		incarnation: rec.Incarnation,
		byTopic:     make(map[string]*lane),
		known:       rec.Transaction,
		reqs:        make(map[uint64]*request),
	}
	s.starter.Sender, s.reader.Sender, s.runner.Sender, s.producer.Sender, s.markers.Sender, s.says.Sender = s, s, s, s, s, s
	s.says.owner = sender.AnyBroker
	s.markers.groups = make(map[string]*place)
	s.view = cluster.New(cluster.Config{
		ID: rec.ClusterID, AutoCreate: cfg.AutoCreate,
		RetryBackoffMs: cfg.RetryBackoffMs, MetadataMaxAgeMs: cfg.MetadataMaxAgeMs, MetadataMaxIdleMs: cfg.MetadataMaxIdleMs, Backoff: s.backoff,
	})
	for i := range rec.Lanes {
		r := &rec.Lanes[i]
		l := s.reader.addLane(r.ID, r.Topic, r.TopicID)
		l.end, l.settled = r.End, r.Settled.Clone()
		l.recovered, l.unreadable = r.End, r.Missing
		l.remote.Pending = l.pending() > 0
		l.inspect = l.remote.Pending
		s.view.SetPending(l.remote, l.settled.Low() < l.end)
	}
	s.markers.recover()
	for _, l := range s.lanes {
		l.rewind()
	}
	if rec.Stopped != "" {
		s.stop = &sender.StoppedError{Reason: rec.Stopped, Recorded: true}
	}
	s.starter.hold()
	s.starter.restart()
	if s.known.Fenced != "" {
		s.starter.phase = fenced
	}
	return s
}

// Start begins to work.
func (s *Sender) Start(now spool.Time) *sender.Effects {
	s.enter(now)
	var r sender.Recovery
	for _, l := range s.lanes {
		r.Pending += uint64(l.pending())
	}
	if s.known.Decision.Open() {
		r.Seals = 1
		r.Partitions = len(s.known.Decision.Partitions)
	}
	s.event(r)
	if s.incarnation > 1 {
		s.starter.late.sent(now.Age)
	}
	if f := (formerID{&s.starter}); f.leaving() && (s.known.ID == "" || s.known.Fenced != "") { // nothing of ours is open
		f.forget()
	}
	return s.end()
}

// Tick is to be called at WakeAt.
func (s *Sender) Tick(now spool.Time) *sender.Effects {
	s.enter(now)
	return s.end()
}

// Flush makes everything spooled so far leave without lingering.
func (s *Sender) Flush(now spool.Time) *sender.Effects {
	s.enter(now)
	s.flushing = true
	for _, l := range s.lanes {
		l.flushTo = l.end
	}
	return s.end()
}

// Closing admits nothing more: the open transaction is ended, with commit if all that it was to
// carry is in memory.
func (s *Sender) Closing(now spool.Time) *sender.Effects {
	s.enter(now)
	s.closing, s.closedAt = true, s.now.Age
	for _, o := range s.runner.queue {
		s.runner.endOnline(o, false, "the spool is closed")
	}
	s.runner.queue = nil
	return s.end()
}

// closingMs is how long is waited while closing for markers, and for a cluster that cannot be reached. What is open there the next
// start ends.
const closingMs = 1000

// Busy reports whether a transaction is open or being ended, while closing.
func (s *Sender) Busy() bool {
	waited := s.now.Age - s.closedAt
	marking := len(s.markers.waiting) > 0 && waited < closingMs
	ending := (s.sending != nil || s.ending != nil) && (waited < closingMs || s.view.Link().Up)
	return s.stop == nil && (ending || marking || len(s.writes) > 0 && s.urgent) && s.starter.phase == running
}

// Splits is how many batches were refused and are sent again as single records.
func (s *Sender) Splits() int64 { return s.producer.splits }

// enter begins every public call, end ends it.
func (s *Sender) enter(now spool.Time) {
	if now.Age < s.now.Age {
		now.Age = s.now.Age
	}
	s.now = now
	s.calls++
	s.view.Begin(now.Age)
	e := &s.eff
	clear(e.Requests)
	clear(e.Recycle)
	*e = sender.Effects{
		Requests: e.Requests[:0], Deliver: e.Deliver[:0], Feed: e.Feed[:0], Recycle: e.Recycle[:0], Events: e.Events[:0],
		Ended: e.Ended[:0],
	}
}

func (s *Sender) end() *sender.Effects {
	if s.stop == nil {
		s.progress()
	}
	s.emit()
	s.eff.Stop = s.stop
	if s.stop != nil {
		s.eff.Requests, s.eff.Feed, s.eff.WakeAt = s.eff.Requests[:0], s.eff.Feed[:0], 0
		return &s.eff
	}
	if at := s.view.WakeAt(); at > 0 {
		s.wake(at)
	}
	return &s.eff
}

// progress does whatever can be done now.
func (s *Sender) progress() {
	s.flushed()
	s.view.Update()
	s.viewChanged()
	if s.starter.phase == fenced || s.stop != nil {
		s.says.look()
		s.viewRequests()
		return
	}
	s.starter.askVersions()
	if s.starter.phase != running {
		s.starter.starting()
	}
	if s.starter.phase == running {
		if !s.onlyEnd {
			s.reader.feed()
		}
		s.runner.run()
		s.producer.produce()
		s.markers.look()
		if s.closing && s.now.Age < s.closedAt+closingMs {
			s.wake(s.closedAt + closingMs) // see Busy
		}
	}
	s.starter.coordinate()
	s.says.look()
	s.viewRequests()
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

// emit closes the Write that was composed, if there is one.
func (s *Sender) emit() {
	if s.w.Empty() {
		return
	}
	s.writeID++
	w := s.w
	w.ID = s.writeID
	s.writes = append(s.writes, pendingWrite{id: w.ID, then: s.then})
	s.eff.Write, s.eff.Urgent = &w, s.urgent
	s.w, s.then, s.urgent = spool.Write{}, nil, false
}

// durable is told which Writes were committed.
func (s *Sender) durable(upTo uint64) {
	k := 0
	for ; k < len(s.writes) && s.writes[k].id <= upTo; k++ {
		for _, f := range s.writes[k].then {
			f()
		}
	}
	s.writes = append(s.writes[:0], s.writes[k:]...)
}

// put has what is known of the transactional id written with this call's Write, at once.
func (s *Sender) put() {
	t := s.known
	s.w.Transaction, s.urgent = &t, true
}

func (s *Sender) event(e sender.Event) { s.eff.Events = append(s.eff.Events, e) }

func (s *Sender) audit(format string, args ...any) {
	s.w.Audit = append(s.w.Audit, spool.AuditEntry{At: s.now.Wall, What: fmt.Sprintf(format, args...)})
}

// flushed ends a flush when all that it was for has left.
func (s *Sender) flushed() {
	if s.flushing {
		s.flushing = len(s.markers.waiting) > 0
		for _, l := range s.lanes {
			if l.settled.Low() < l.flushTo {
				s.flushing = true
			}
		}
	}
	s.acc.Hurry = s.flushing || s.closing || s.reader.short
}
