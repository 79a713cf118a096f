package world

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/integration/sim/disk"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// Stage is one host and one cluster for a scenario that is written down: nothing befalls them but what the scenario does, and
// how long things take is all that is drawn. Its host delivers without a transactional id. Not safe for concurrent use.
type Stage struct {
	Cluster *broker.Cluster
	// Fate decides what becomes of a request to a broker; nil: each is served.
	Fate func(to int32, r sender.Request) Fate
	// Edit may change an answer of a broker; nil: none is changed.
	Edit   func(from int32, m kmsg.Response)
	Sent   []Copy         // Produce requests in the order in which they were written; a scenario may empty it
	Events []sender.Event // of all processes of the host; a scenario may empty it

	w       *World
	h       *host
	waiting int // records that were given to the host and have no answer yet
}

// Fate is what becomes of a request.
type Fate uint8

// What may become of a request.
const (
	Serve  Fate = iota
	Refuse      // it is answered at once with an error, and was not written
	Drop        // it is not served, and the connection ends
	Lose        // it is served, its answer is lost, and the connection ends
	Hold        // it is served, and neither it nor what was written behind it is answered
)

// Copy is a Produce request as it was written.
type Copy struct {
	Broker  int32
	Batches []accumulator.Batch
	message kmsg.Request
}

// Saved is the disk of a host at a moment.
type Saved struct {
	day  *savedDay
	host *host
}

// Entry is a record that is durable in the host's spool.
type Entry struct {
	Topic         string
	Value         []byte
	Pending, Dead bool
}

// NewStage has a cluster without topics, and a host with an empty disk and no process.
func NewStage(cfg broker.Config) *Stage {
	w := &World{counts: map[string]int{}, calm: true, plan: &Plan{Seed: cfg.Seed, Brokers: max(cfg.Brokers, 1), Hosts: []Host{{
		MaxBytes: 1 << 30, MaxKeys: 1, SettleMs: 20, CommitMs: 2,
	}}}}
	w.trace.want = true
	w.ag.Set(epoch)
	s := &Stage{w: w}
	w.stage = s
	s.Cluster = s.NewCluster(cfg)
	w.cluster = s.Cluster
	s.h = newHost(w, 0)
	w.hosts = []*host{s.h}
	return s
}

// NewCluster is another cluster; see Lead.
func (s *Stage) NewCluster(cfg broker.Config) *broker.Cluster {
	c := broker.New(cfg, &s.w.ag)
	c.Tell = s.w.tell
	return c
}

// Lead has new connections of the host lead to a cluster.
func (s *Stage) Lead(c *broker.Cluster) { s.h.cluster = c }

// Start starts a process on the host's disk.
func (s *Stage) Start(cfg sender.Config) {
	s.h.plan.Sender, s.h.gone = cfg, false
	s.h.start()
}

// Kill ends the host's process: what is not on its disk is gone, and a commit under way is there or not.
func (s *Stage) Kill() {
	s.waiting = 0
	s.h.end(check.Killed, false, "killed")
}

// Stopped is why the core wants its process to end; nil: it does not.
func (s *Stage) Stopped() error { return s.h.stopWith }

// Running reports whether the host has a process.
func (s *Stage) Running() bool { return s.h.up }

// Core is what the host's process runs.
func (s *Stage) Core() *sender.Sender { return s.h.core.(*sender.Sender) }

// Carry does what the core wants.
func (s *Stage) Carry(e *sender.Effects) { s.h.carry(e) }

// Now is the time on the host.
func (s *Stage) Now() spool.Time { return s.h.now() }

// Ms is the time since the beginning.
func (s *Stage) Ms() int64 { return s.w.ms() }

// Shift has the host's clock jump.
func (s *Stage) Shift(ms int64) { s.h.wall += ms }

// Step does the next thing that is due.
func (s *Stage) Step() { s.w.ag.Step() }

// Next is when that is, as Ms counts.
func (s *Stage) Next() int64 {
	at, _ := s.w.ag.Next()
	return max(at-epoch, s.Ms())
}

// Pass lets time go by, and does what is due meanwhile.
func (s *Stage) Pass(ms int64) { s.w.ag.Run(s.w.ag.Now() + ms) }

// Append gives records to the host, which are to be durable together.
func (s *Stage) Append(records ...bolt.RecordInput) {
	w, op := s.w, check.Op{First: len(s.w.hist.Records), Count: len(records)}
	for _, r := range records {
		w.hist.Records = append(w.hist.Records, check.Record{Op: len(w.hist.Ops), Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value})
	}
	w.hist.Ops = append(w.hist.Ops, op)
	s.waiting += op.Count
	s.h.take(len(w.hist.Ops)-1, &bolt.BatchInput{Records: records}, func(check.Result) { s.waiting -= op.Count })
}

// Write has a commit make w durable while there is no process. The next start finds it.
func (s *Stage) Write(w *spool.Write) {
	d := s.h.disk
	if _, err := d.Open(s.h.clock()); err != nil {
		panic(fmt.Sprintf("world: a disk does not open: %v", err))
	}
	d.Begin([]*spool.Write{w}, d.Now())
	d.Finish()
	d.Crash(false, func(int) int { return 0 })
}

// Cut ends the host's connection to a broker, if there is one.
func (s *Stage) Cut(to int32) {
	if l := s.h.links[to]; l != nil {
		l.lost("cut")
	}
}

// Unanswered is how many batches are on the wire.
func (s *Stage) Unanswered() (n int) {
	for _, b := range s.w.brokerIDs() {
		if l := s.h.links[b]; l != nil && l.up {
			for _, x := range l.waiting {
				n += len(x.r.Batches)
			}
		}
	}
	return n
}

// Arrive has a broker receive a request once more, over a connection of its own.
func (s *Stage) Arrive(c *Copy) {
	if conn, ok := s.Cluster.Open(c.Broker, func() {}); ok {
		conn.Receive(c.message, func(kmsg.Response) {})
		conn.Close(true)
	}
}

// Save is the disk as it is now.
func (s *Stage) Save() *Saved {
	s.h.save()
	return &Saved{s.h.saved, s.h}
}

// PutBack kills the host's process, and has its disk be as it was.
func (s *Stage) PutBack(old *Saved) {
	s.Kill()
	s.h.disk = old.day.disk.Copy()
	s.h.disk.OnDurable(s.h.durable)
	s.h.left, s.h.bound, s.h.records = maps.Clone(old.day.left), old.day.bound, nil
	for _, lane := range old.day.records {
		s.h.records = append(s.h.records, slices.Clone(lane))
	}
}

// Recovered is what a start would find.
func (s *Saved) Recovered() *spool.Recovered { return found(s.host, s.day.disk) }

// Recovered is what a start would find on the host's disk.
func (s *Stage) Recovered() *spool.Recovered { return found(s.h, s.h.disk) }

// Pending is how many records have not left the host's disk, and how many are not durable there yet.
func (s *Stage) Pending() int {
	n := s.waiting - len(s.h.left)
	for _, lane := range s.h.records {
		n += len(lane)
	}
	return n
}

// Spooled are the values of all records in the order in which they were made durable.
func (s *Stage) Spooled() (values [][]byte) {
	for i := range s.w.hist.Events {
		if e := &s.w.hist.Events[i]; e.Kind == check.Durable {
			values = append(values, s.w.hist.Records[e.Record].Value)
		}
	}
	return values
}

// Entries are the records of the host's spool.
func (s *Stage) Entries() (list []Entry) {
	d := s.h.disk.Copy()
	rec := opened(s.h, d)
	for lane := range rec.Lanes {
		l := &rec.Lanes[lane]
		for i, r := range s.h.records[l.ID] {
			at := spool.Index(i)
			list = append(list, Entry{Topic: l.Topic, Value: s.w.hist.Records[r].Value, Pending: !l.Settled.Contains(at), Dead: d.DeadLettered(l.ID, at)})
		}
	}
	return list
}

// Trace is what happened last.
func (s *Stage) Trace() []string { return s.w.trace.tail(100) }

// decide is the fate of a request on its way to a broker.
func (s *Stage) decide(to int32, r sender.Request) Fate {
	if s == nil || s.Fate == nil {
		return Serve
	}
	return s.Fate(to, r)
}

// wrote notes a request that is on the wire, and what becomes of it.
func (s *Stage) wrote(to int32, x *written, fate Fate) {
	if s == nil {
		return
	}
	x.lose, x.drop, x.hold = fate == Lose, fate == Drop, fate == Hold
	if x.r.Kind != sender.KindProduce {
		return
	}
	c := Copy{Broker: to, message: x.msg}
	for _, b := range x.r.Batches {
		copied := *b
		copied.Buf = bytes.Clone(b.Buf)
		c.Batches = append(c.Batches, copied)
	}
	s.Sent = append(s.Sent, c)
}

func (s *Stage) edit(from int32, m kmsg.Response) {
	if s != nil && s.Edit != nil {
		s.Edit(from, m)
	}
}

func (s *Stage) report(events []sender.Event) {
	if s != nil {
		s.Events = append(s.Events, events...)
	}
}

var errEnded = errors.New("the connection has ended")

func found(h *host, d disk.Disk) *spool.Recovered { return opened(h, d.Copy()) }

func opened(h *host, d disk.Disk) *spool.Recovered {
	rec, err := d.Open(h.clock())
	if err != nil {
		panic(fmt.Sprintf("world: a disk does not open: %v", err))
	}
	return rec
}
