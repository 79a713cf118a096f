package world

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/integration/sim/disk"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// host is a machine: a disk, clocks, and at times a process. The process is what sender/loop, the root
// package and the daemon are: it carries out what the core wants.
type host struct {
	w       *World
	id      int
	plan    *Host
	net     *rand.Rand
	chance  *rand.Rand // of its disk
	disk    disk.Disk
	cluster *broker.Cluster // that it is led to

	booted int64 // when the machine was
	boots  int
	reboot bool  // it was cut from power since
	down   int64 // no process starts until
	bound  bool  // the spool belongs to a cluster
	wall   int64 // its clock is off by

	// What is outside of the process and breaks.
	paused       int64     // until
	backlog      []func()  // what is due when the pause ends
	apart        int64     // no broker is reached until
	foreignUntil int64     // brokers of another cluster are met until
	full         int64     // the disk is full until
	lack         int       // number of the last shortage
	slow         int64     // the disk is slow until
	fail         FaultKind // the next commit meets

	saved   *savedDay                // the disk on an earlier day, to be put back
	day     int                      // how often the disk was put back
	former  protocol.ProducerID      // that the original and its copy used last
	left    map[int]bool             // records whose settlement is durable
	records [][]int                  // by lane: record numbers, by index, as they are durable
	byBatch map[*bolt.BatchInput]int // batch to op
	served  []*broker.Conn           // lost connections of which the broker still serves what had arrived
	aged    map[place]int64          // when a batch was sent whose timestamps are so old that a broker may forget its producer
	rivals  int                      // how often another producer has asked for its transactional id
	onlines uint64                   // transactions that were not spooled, so far
	gone    bool                     // stopped for good
	stuck   bool                     // a partition of it stays parked: no choice is right

	// The process.
	life       int
	crowd      crowd
	up         bool
	closing    bool
	core       core
	online     map[uint64]func(sender.OnlineEnd) // who waits for a transaction that is not spooled
	links      map[int32]*link
	committing bool
	owed       []*spool.Write
	urgent     bool
	settleAt   int64               // ms; 0: no
	waiters    map[uint64][]waiter // by group
	acks       map[disk.Spot][]func(partition int32, offset int64, err error)
	appended   bool  // the open group has something
	wake       int   // number of the wake-up that counts
	wakes      int64 // when that is; 0: none is to come
	stopAfter  uint64
	stopWith   error
	submitted  uint64
}

// savedDay is a disk, and what the world knew of it.
type savedDay struct {
	disk    disk.Disk
	life    int // process that ran then
	records [][]int
	left    map[int]bool // records that had left
	bound   bool         // to the cluster
}

// waiter is called when its group is durable, or not.
type waiter struct {
	op   int
	tell func(check.Result)
}

func newHost(w *World, id int) *host {
	p := &w.plan.Hosts[id]
	h := &host{w: w, id: id, plan: p, net: w.stream(streamNet, id), chance: w.stream(streamDisk, id), cluster: w.cluster,
		booted: epoch - 1000 - int64(id)*77, boots: 1, wall: p.Wall, byBatch: map[*bolt.BatchInput]int{}, left: map[int]bool{}, aged: map[place]int64{}}
	rules := p.rules()
	name, seed := fmt.Sprintf("spool-%d", id), w.plan.Seed<<8|uint64(id)
	switch {
	case p.Alone:
		h.disk = disk.NewAlone(rules, seed)
	case p.Real:
		h.disk = disk.NewReal(name, rules, seed)
	default:
		h.disk = disk.NewModel(name, rules)
	}
	h.disk.OnDurable(h.durable)
	return h
}

func (h *host) clock() disk.Clock {
	return disk.Clock{
		Boot:  func() int64 { return h.w.ag.Now() - h.booted },
		Wall:  func() int64 { return h.w.ag.Now() + h.wall },
		Boots: h.boots,
	}
}

func (h *host) now() spool.Time { return h.disk.Now() }

// after calls do later, if the process is still the same; while the host is paused it waits.
func (h *host) after(ms int64, do func()) {
	life := h.life
	h.w.ag.After(ms, func() { h.run(life, do) })
}

func (h *host) run(life int, do func()) {
	switch {
	case h.life != life || !h.up:
	case h.w.ag.Now() < h.paused:
		h.backlog = append(h.backlog, func() { h.run(life, do) })
	default:
		do()
	}
}

// start starts a process on the disk.
func (h *host) start() {
	if h.up || h.gone || h.w.ag.Now() < h.down {
		return
	}
	if h.reboot {
		h.reboot, h.booted, h.boots = false, h.w.ag.Now()-1, h.boots+1
	}
	h.life++
	rec, err := h.disk.Open(h.clock())
	if err != nil {
		panic(fmt.Sprintf("host %d does not start: %v", h.id, err))
	}
	h.up, h.closing, h.committing, h.urgent, h.appended = true, false, false, false, false
	h.links, h.waiters, h.acks = map[int32]*link{}, map[uint64][]waiter{}, map[disk.Spot][]func(int32, int64, error){}
	h.owed, h.settleAt, h.stopWith, h.stopAfter, h.submitted, h.wakes = nil, 0, nil, 0, 0, 0
	h.w.tell("host %d: process %d starts: %d seals, %d partitions", h.id, h.life, len(rec.Seals), len(rec.Partitions))
	h.w.event(check.Event{Kind: check.Began, Host: h.id})
	if h.cluster != h.w.cluster {
		h.w.event(check.Event{Kind: check.Moved, Host: h.id})
	}
	h.core = newCore(h.plan, rec)
	h.online = map[uint64]func(sender.OnlineEnd){}
	h.carry(h.core.Start(h.now()))
	expireAt(h)
	h.crowd = crowd{}
	clearDead(h)
	look(h)
	for _, c := range h.w.clients {
		if c.h == h {
			c.began()
		}
	}
}

// end ends the process, whatever it was doing.
func (h *host) end(why check.Result, power bool, text string) {
	if !h.up {
		return
	}
	h.w.tell("host %d: process %d ends: %s", h.id, h.life, text)
	h.w.event(check.Event{Kind: check.Ended, Host: h.id, Result: why, Text: text})
	h.up = false
	h.life++
	for _, b := range h.w.brokerIDs() {
		if l := h.links[b]; l != nil {
			l.abandon()
		}
	}
	for _, c := range h.w.clients {
		if c.h == h {
			c.reset()
		}
	}
	h.disk.Crash(power, func(n int) int { return h.chance.IntN(n) })
	h.core, h.links = nil, nil
}

// carry does what the core wants, in the order of the fields.
func (h *host) carry(e *sender.Effects) {
	if e.Write != nil {
		h.submitted = e.Write.ID
		h.owed = append(h.owed, e.Write)
		h.urgent = h.urgent || e.Urgent
		if !e.Urgent && h.settleAt == 0 {
			h.settleAt = h.w.ag.Now() + h.plan.SettleMs
			h.after(h.plan.SettleMs, h.commit)
		}
	}
	if e.Stop != nil && h.stopWith == nil {
		h.stopWith, h.stopAfter = e.Stop, h.submitted
		if len(h.owed) == 0 && !h.committing {
			h.after(0, h.stopped)
		} else {
			h.urgent = true
		}
		h.commit()
		return
	}
	for i := range e.Requests {
		h.request(e.Requests[i])
	}
	h.deliver(e.Deliver)
	for _, end := range e.Ended {
		if tell := h.online[end.ID]; tell != nil {
			delete(h.online, end.ID)
			h.after(0, func() { tell(end) })
		}
	}
	for i := range e.Feed {
		f := e.Feed[i]
		h.after(h.net.Int64N(3), func() { h.feed(f) })
	}
	if h.w.trace.want {
		for _, ev := range e.Events {
			h.w.tell("host %d: %T%+v", h.id, ev, ev)
		}
	}
	h.w.stage.report(e.Events)
	for _, ev := range e.Events {
		if _, ok := ev.(sender.CopyUnchecked); ok {
			h.w.event(check.Event{Kind: check.Unchecked, Host: h.id})
		}
	}
	h.wakeAt(e.WakeAt)
	h.sent(len(e.Requests))
	h.commit()
}

func (h *host) sent(n int) {
	if n > 0 {
		h.w.event(check.Event{Kind: check.Sent, Host: h.id, N: n})
	}
}

func (h *host) feed(f sender.Feed) {
	sections, next, err := h.disk.Read(f.Lane, f.From, f.Bytes)
	if err != nil {
		h.end(check.Bug, false, "read back: "+err.Error())
		return
	}
	h.carry(h.core.Fed(h.now(), &sender.Fed{ID: f.ID, Lane: f.Lane, From: f.From, Sections: sections, Next: next}))
}

// wakeAt sets the core's alarm.
func (h *host) wakeAt(age int64) {
	at := h.w.ag.Now() + max(age-h.now().Age, 0)
	if age == 0 || h.closing {
		at = 0
	} else if at == h.wakes {
		return // as it is set already
	}
	h.wake, h.wakes = h.wake+1, at
	if at == 0 {
		return
	}
	mine := h.wake
	h.after(at-h.w.ag.Now(), func() {
		if mine == h.wake {
			h.wakes = 0
			h.w.event(check.Event{Kind: check.Woken, Host: h.id})
			h.carry(h.core.Tick(h.now()))
		}
	})
}

// deliver reports to callers what became of their records.
func (h *host) deliver(list []spool.Delivery) {
	for i := range list {
		d := &list[i]
		offset := int64(d.Offset)
		for _, sp := range d.Spans {
			for k := sp.First; k < sp.End; k++ {
				h.delivered(disk.Spot{Lane: d.Lane, Index: k}, d.Partition, offset, d.Err)
				if offset >= 0 {
					offset++
				}
			}
		}
	}
}

func (h *host) delivered(s disk.Spot, partition int32, offset int64, err error) {
	if r := h.record(s); r >= 0 && err == nil {
		h.w.event(check.Event{Kind: check.Acked, Host: h.id, Record: r, Partition: partition, Offset: offset})
	}
	for _, tell := range h.acks[s] {
		tell(partition, offset, err)
	}
	delete(h.acks, s)
}

// record is the number of the record at a place, or -1.
func (h *host) record(s disk.Spot) int {
	if int(s.Lane) < len(h.records) && int(s.Index) < len(h.records[s.Lane]) {
		return h.records[s.Lane][s.Index]
	}
	return -1
}

// stopped ends a process that the core has stopped, once what it wanted to write is durable.
func (h *host) stopped() {
	var copied *sender.StoppedError
	var foreign *sender.ForeignClusterError
	switch {
	case errors.As(h.stopWith, &copied):
		h.end(check.Copied, false, h.stopWith.Error())
		h.gone = true
	case errors.As(h.stopWith, &foreign):
		h.end(check.Foreign, false, h.stopWith.Error())
	default:
		h.end(check.Bug, false, h.stopWith.Error())
	}
}
