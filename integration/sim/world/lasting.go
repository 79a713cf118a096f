package world

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/integration/sim/disk"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// streamLasting is Draw's own, as streamReal is.
const streamLasting = 0x1a57

// Lasting is trouble of one topic that is still there when all other faults have ended: its records wait, those of others must
// leave meanwhile, and the process must show it. Then it ends, too.
type Lasting struct {
	Kind    LastingKind
	Topic   string // its own
	Host    int    // that its records come to
	At      int64  // ms until the first of them
	Records int
	Steps   int   `json:",omitempty"` // in which they come; 0: in 20
	Bytes   int   // of each
	D       int64 // by how much a stamp is out of the topic's limit, ms
	ByTime  bool  `json:",omitempty"` // a stamp ahead: nobody mends it, time passes
}

// LastingKind is a kind of trouble.
type LastingKind string

// Kinds of trouble.
const (
	Missing   LastingKind = "topic that is not there"
	Absent    LastingKind = "records for a partition that the topic does not have"
	Ahead     LastingKind = "stamps ahead of the topic's limit"
	Aged      LastingKind = "stamps that grow too old while they wait"
	Forbidden LastingKind = "topic that may not be written for long"
	Stale     LastingKind = "stamps behind the topic's limit"
	Flood     LastingKind = "refused records by the thousand"
)

var lastingKinds = []LastingKind{Missing, Absent, Ahead, Aged, Forbidden, Stale, Flood}

// The limits of the topics that stamps are out of. Records that are older than an hour are too old for good.
const (
	afterMs  = 3600_000
	beforeMs = 2 * 3600_000
	agedMs   = 20_000
)

// waits reports whether records of the kind may wait until it ends (Stale: where the host's clock is slow). Those of others become
// dead letters.
func (k LastingKind) waits() bool { return k != Flood }

// lasting gives one seed in five a topic or two that have trouble. It draws from a stream of its own.
func (d *drawing) lasting() {
	x := rand.New(rand.NewPCG(d.p.Seed, streamLasting))
	if d.copied != nil || d.restores || x.IntN(5) != 0 {
		return
	}
	p := d.p
	for i := range 1 + x.IntN(2) {
		l := Lasting{Kind: lastingKinds[x.IntN(len(lastingKinds))], Topic: fmt.Sprintf("trouble-%d", i), Host: x.IntN(len(p.Hosts)),
			At: x.Int64N(p.Chaos), Records: 1 + x.IntN(400), Bytes: 12 + x.IntN(80), D: 30_000 + x.Int64N(600_000), ByTime: x.IntN(2) == 0}
		if l.Kind == Flood {
			l.Records = 1000 + x.IntN(1000)
			p.Hosts[l.Host].Sender.MaxRequestSize += 20_000 // a record of its own request each would take all the time there is
		}
		d.allowed[spool.ParkRefused] = true
		h := &p.Hosts[l.Host]
		h.Sender.AutoCreate = false
		h.MaxBytes += int64(l.Records) * int64(l.Bytes+64)
		p.Lasting = append(p.Lasting, l)
	}
}

// begin makes the topic of a trouble, and has its records come, a few at a time.
func (l *Lasting) begin(w *World) {
	cfg := broker.TopicConfig{}
	switch l.Kind {
	case Missing:
		w.hist.Counts[l.Topic] = []int32{1}
	case Ahead:
		cfg.After = afterMs
	case Aged:
		cfg.Before = agedMs
	case Stale:
		cfg.Before = beforeMs
	case Flood:
		cfg.Refuse, cfg.Named = func([]byte) bool { return true }, l.D%2 == 0
	}
	if l.Kind != Missing {
		w.create(&Topic{Name: l.Topic, Partitions: 1, Replicas: 1, Settings: cfg})
	}
	l.deny(w)
	w.ag.After(l.At, func() { w.troubled(l, l.Records) })
}

// deny takes the right away that the trouble is about.
func (l *Lasting) deny(w *World) {
	if l.Kind == Forbidden || l.Kind == Aged {
		w.cluster.Deny(broker.Write, l.Topic, true)
	}
}

// end mends what the trouble is.
func (l *Lasting) end(w *World) {
	switch l.Kind {
	case Missing:
		w.create(&Topic{Name: l.Topic, Partitions: 1, Replicas: 1})
	case Absent:
		w.cluster.Grow(l.Topic, absentPartition+1)
	case Ahead:
		if !l.ByTime {
			w.cluster.Configure(l.Topic, func(t *brokerTopic) { t.After = 0 })
		}
	case Aged:
		w.cluster.Configure(l.Topic, func(t *brokerTopic) { t.Before = 0 })
		w.cluster.Deny(broker.Write, l.Topic, false)
	case Forbidden:
		w.cluster.Deny(broker.Write, l.Topic, false)
	case Stale:
		w.hosts[l.Host].wall = 0
	}
}

// absentPartition is what records of Absent ask for.
const absentPartition = 3

// troubled has the next records of a trouble come to its host, until they have all come.
func (w *World) troubled(l *Lasting, left int) {
	h := w.hosts[l.Host]
	if left <= 0 || w.calm || h.gone {
		return
	}
	step := l.Records/cmp.Or(l.Steps, 20) + 1
	w.ag.After(5, func() { w.troubled(l, left-step) })
	if !h.up || w.ag.Now() < h.paused || h.closing {
		return
	}
	w.count(string(l.Kind))
	op := check.Op{Host: h.id, First: len(w.hist.Records), Count: min(left, step)}
	b := &bolt.BatchInput{}
	for range op.Count {
		b.Records = append(b.Records, l.record(w))
	}
	w.hist.Ops = append(w.hist.Ops, op)
	number := len(w.hist.Ops) - 1
	h.take(number, b, func(r check.Result) {
		w.event(check.Event{Kind: check.Answered, Host: h.id, Op: number, Result: r})
	})
}

// record makes the next record of a trouble.
func (l *Lasting) record(w *World) bolt.RecordInput {
	n := len(w.hist.Records)
	r := check.Record{Op: len(w.hist.Ops), Topic: l.Topic, Partition: -1, Value: fmt.Appendf(nil, "u%d:%0*d", n, l.Bytes, n)}
	in := bolt.RecordInput{Topic: l.Topic, Timestamp: bolt.NoTimestamp, Partition: -1}
	switch l.Kind {
	case Absent:
		r.Partition = absentPartition
	case Ahead:
		r.Given, r.Timestamp = true, w.ag.Now()+afterMs+l.D
	case Aged:
		r.Given, r.Timestamp = true, w.ag.Now()
	case Stale:
		r.Given, r.Timestamp = true, w.ag.Now()-beforeMs-l.D
	}
	if r.Given {
		in.Timestamp = r.Timestamp
	}
	in.Partition, in.Value = r.Partition, r.Value
	w.hist.Records = append(w.hist.Records, r)
	return in
}

// outlast is the time in which all is well but for lasting trouble: what has none leaves, and what has is shown. Then the trouble ends.
func (w *World) outlast() {
	if len(w.plan.Lasting) == 0 {
		return
	}
	w.tell("only lasting trouble is left")
	for i := range w.plan.Lasting {
		w.plan.Lasting[i].deny(w)
	}
	w.settle(w.soundQuiet)
	for _, h := range w.hosts {
		if waits := besides(h); len(waits) > 0 {
			w.hist.Waits = append(w.hist.Waits, waits...)
			w.tell("host %d: %d bytes in memory, %+v", h.id, h.core.Buffered(), h.core.Status(h.now()))
		}
	}
	w.until(shownMs, func() bool { return false })
	w.tell("lasting trouble ends")
	for i := range w.plan.Lasting {
		w.plan.Lasting[i].end(w)
	}
	w.until(mendedMs, w.quiet)
	w.until(healMs, w.cluster.Quiet) // a partition that was added last has no leader at once
}

// shownMs is how long records wait until it is looked whether that is shown; mendedMs is how long they may wait for time to pass,
// and for the next attempt, of which there is one in 5 minutes. A stamp that a host with a slow clock took for a new one is too old for
// good once its clock is right.
const (
	shownMs  = 100_000
	mendedMs = 1500_000
)

// troubles reports whether a topic has lasting trouble.
func (w *World) troubles(topic string) bool {
	for i := range w.plan.Lasting {
		if w.plan.Lasting[i].Topic == topic && w.plan.Lasting[i].Kind.waits() {
			return true
		}
	}
	return false
}

// soundQuiet is quiet, but for what has lasting trouble.
func (w *World) soundQuiet() bool {
	if !w.clientsDone() {
		return false
	}
	for _, h := range w.hosts {
		if !h.gone && (!h.up || h.committing || h.appended || len(besides(h)) > 0 && !h.stuck) {
			return false
		}
	}
	return true
}

// besides are the topics without lasting trouble of which records wait.
func besides(h *host) (out []check.Wait) {
	if !h.up || h.gone || h.stuck {
		return nil
	}
	for _, t := range h.core.Status(h.now()).Topics {
		if t.Settled < t.End && !h.w.troubles(t.Topic) && !wantsRecord(h, t.Trouble) {
			out = append(out, check.Wait{At: h.w.ms(), Host: h.id, Topic: t.Topic, Besides: true})
		}
	}
	return out
}

// wantsRecord reports whether a refused batch of a topic is decided by the ack of a further record, which a small spool that another topic
// fills does not take. It is shown as the topic's own trouble.
func wantsRecord(h *host, trouble string) bool {
	_, small := h.disk.(*disk.Alone)
	return small && strings.Contains(trouble, "refused, and perhaps in the log")
}

// looking looks at what a host's process shows, every now and then.
type looking struct {
	*host
	life int
	last map[string]stand
}

// stand is how far a topic has come, and since when. One that was created anew begins to be delivered to when that is seen.
type stand struct {
	settled, since int64
	id             protocol.TopicID
}

// lookMs is how far two looks are apart.
const lookMs = 20_000

// look begins it for a process that has just started.
func look(h *host) {
	l := &looking{h, h.life, map[string]stand{}}
	l.again()
}

func (l *looking) again() { l.after(lookMs, l.once) }

// once notes each topic whose first record that has not left is the same for over a minute, and whether that is shown.
func (l *looking) once() {
	now := l.w.ag.Now()
	st := l.core.Status(l.now())
	for i := range st.Topics {
		t := &st.Topics[i]
		was, known := l.last[t.Topic]
		if !known || was.settled != int64(t.Settled) || was.id != t.TopicID || !st.LinkUp || t.Settled >= t.End {
			l.last[t.Topic] = stand{int64(t.Settled), now, t.TopicID}
			continue
		}
		shown := t.Trouble != "" || t.State == "parked"
		if ms := now - was.since; ms > 60_000 && l.now().Age-st.LinkSince > 60_000 {
			l.w.hist.Waits = append(l.w.hist.Waits, check.Wait{At: l.w.ms(), Host: l.id, Topic: t.Topic, Ms: ms, Shown: shown})
		}
		if shown { // once an operator has resolved it, it has a minute again
			l.last[t.Topic] = stand{int64(t.Settled), now, t.TopicID}
		}
	}
	l.again()
}
