package world

import (
	"bytes"
	"fmt"
	"runtime/debug"

	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/integration/sim/disk"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// How long things may take once everything is whole, ms. Generous: what is looked for is what never ends.
const (
	healMs  = 30_000
	quietMs = 120_000
)

// heal makes everything whole, lets clients have their last answers, and waits until it is quiet.
func (w *World) heal() {
	w.tell("heal")
	w.calm = true
	w.cluster.Heal()
	for i := range w.plan.Topics {
		w.create(&w.plan.Topics[i])
	}
	for _, h := range w.hosts {
		h.heal()
	}
	w.until(healMs, func() bool { return w.late == 0 && w.cluster.Quiet() && w.clientsDone() })
	for i := range w.plan.Topics {
		w.cluster.Configure(w.plan.Topics[i].Name, func(t *brokerTopic) { t.MaxMessageBytes = 0 })
		w.restorePolicy(w.plan.Topics[i].Name)
	}
	w.outlast()
	w.hist.Healed = w.ms()
	w.hist.Quiet = -1
	if w.settle(w.quiet) {
		w.hist.Quiet = w.ms()
	} else if w.trace.want {
		w.tell("the cluster at the end:\n%v", w.cluster)
		for _, h := range w.hosts {
			if h.up {
				w.tell("host %d at the end: committing %v, %d writes owed, due at %d, disk %+v; %+v", h.id, h.committing, len(h.owed), h.settleAt-epoch, h.disk.Counters(), h.core.Status(h.now()))
			}
		}
	}
}

// settle lets all be delivered that can, and an operator decide on what is parked, until so is true.
func (w *World) settle(so func() bool) bool {
	for range 4 {
		w.nudge()
		if w.until(quietMs/4+8*w.backoff(), so) {
			return true
		}
		w.operate()
	}
	return so()
}

// backoff is the longest that a host waits before it tries again.
func (w *World) backoff() (ms int64) {
	for i := range w.plan.Hosts {
		ms = max(ms, w.plan.Hosts[i].Sender.RetryBackoffMaxMs)
	}
	return ms
}

func (h *host) heal() {
	if d, ok := h.disk.(*disk.Alone); ok {
		d.Lack(nil)
	}
	h.apart, h.foreignUntil, h.full, h.slow, h.fail, h.down = 0, 0, 0, 0, "", 0
	if h.cluster != h.w.cluster {
		h.end(check.Killed, false, "led back")
		h.cluster = h.w.cluster
	}
	if h.paused > h.w.ag.Now() {
		h.paused = h.w.ag.Now()
		h.pause(0)
	}
	for _, b := range h.w.brokerIDs() {
		if h.up && h.links[b] != nil {
			h.links[b].hung = 0
		}
	}
	if h.closing {
		h.end(check.Stopped, false, "stopped")
	}
	h.start()
}

func (w *World) clientsDone() bool {
	for _, c := range w.clients {
		behindPark := c.h.stuck && c.processor != nil // its transaction waits for what no operator can decide on
		if !c.done && !c.h.gone && !refusedForGood(c.h) && !behindPark {
			return false
		}
	}
	return true
}

// nudge sends one record more to each partition: a refused batch of which a copy may turn up is decided by
// the next ack behind it.
func (w *World) nudge() {
	for _, h := range w.hosts {
		if !h.up || h.closing {
			continue
		}
		for i := range w.plan.Topics {
			t := &w.plan.Topics[i]
			for _, now := range w.cluster.Topics() {
				for p := range now.Partitions {
					if now.Name == t.Name && !now.Deleted {
						w.nudgePartition(h, t, p)
					}
				}
			}
		}
	}
}

func (w *World) nudgePartition(h *host, t *Topic, p int32) {
	if n := len(w.hist.Records); t.Refuse > 0 && n%t.Refuse == t.Refuse-1 {
		w.nudgeRecord(h, t, p) // it would be refused itself: it is never sent
	}
	n, op := len(w.hist.Records), len(w.hist.Ops)
	v := w.nudgeRecord(h, t, p)
	b := &bolt.BatchInput{Records: []bolt.RecordInput{{Topic: t.Name, Timestamp: bolt.NoTimestamp, Partition: p, Key: []byte("n"), Value: v}}}
	h.take(op, b, func(r check.Result) {
		w.tell("host %d: nudge %d for %s-%d: %d", h.id, n, t.Name, p, r)
		w.event(check.Event{Kind: check.Answered, Host: h.id, Op: op, Result: r})
	})
}

// nudgeRecord makes the next record, for a partition, and gives its value.
func (w *World) nudgeRecord(h *host, t *Topic, p int32) []byte {
	n := len(w.hist.Records)
	v := fmt.Appendf(nil, "u%d:nudge", n)
	w.hist.Records = append(w.hist.Records, check.Record{Op: len(w.hist.Ops), Topic: t.Name, Partition: p, Key: []byte("n"), Value: v})
	w.hist.Ops = append(w.hist.Ops, check.Op{Host: h.id, First: n, Count: 1})
	return v
}

// quiet reports whether all that could be done is done.
func (w *World) quiet() bool {
	if !w.clientsDone() {
		return false
	}
	if len(openTransactions(w)) > 0 || !inputs(w) {
		return false
	}
	for _, h := range w.hosts {
		if !h.gone && (!h.up || h.committing || h.appended || h.disk.Counters().Pending() > 0 && !h.stuck) {
			return false
		}
	}
	return true
}

// unreleased says which hosts whose records have all left still hold memory for batches: what is not given back is short for ever.
func unreleased(w *World) (out []check.Violation) {
	for _, h := range w.hosts {
		if !h.up || h.gone || h.stuck || h.committing || h.disk.Counters().Pending() > 0 {
			continue
		}
		if n := h.core.Buffered(); n > 0 {
			out = append(out, check.Violation{Law: "P8", Text: fmt.Sprintf("host %d, with everything delivered: %d bytes of batches in memory", h.id, n)})
		}
	}
	return out
}

// judge gathers what is true at the end, and has it checked.
func (w *World) judge() []check.Violation {
	out := append(roomless(w), unreleased(w)...)
	w.hist.Open, w.halves = openTransactions(w), halved(w)
	if !inputs(w) {
		out = append(out, check.Violation{Law: "simulator", Text: "no coordinator of groups at the end"})
	}
	for _, h := range w.hosts {
		h.end(check.Stopped, false, "the run is over")
		hosted, found := h.inspect()
		w.hist.Hosted = append(w.hist.Hosted, hosted)
		out = append(out, found...)
	}
	w.hist.Allowed = map[string]bool{}
	for _, r := range w.plan.Allowed {
		w.hist.Allowed[r] = true
	}
	for _, t := range w.cluster.Topics() {
		for p := range t.Partitions {
			list, ok := w.cluster.Log(t.ID, p)
			if !ok {
				out = append(out, check.Violation{Law: "simulator", Text: fmt.Sprintf("%s-%d has no leader at the end", t.Name, p)})
			}
			l := check.Log{Topic: t.Name, ID: t.ID.String(), Partition: p, Deleted: t.Deleted}
			n := 0
			for i := range list {
				n += len(list[i].Records)
			}
			l.Entries = make([]check.Entry, 0, n)
			for i := range list {
				b := &list[i]
				of := w.transaction(b)
				for k := range b.Records {
					e := w.entry(t.Name, b.Offset+int64(k), &b.Records[k])
					e.Of, e.Unread = of, b.Unread
					l.Entries = append(l.Entries, e)
				}
			}
			w.hist.Logs = append(w.hist.Logs, l)
		}
	}
	return append(out, check.Check(&w.hist)...)
}

func (w *World) entry(topic string, offset int64, r *brokerRecord) check.Entry {
	e := check.Entry{Offset: offset, Timestamp: r.Timestamp, Key: r.Key, Value: r.Value, Record: numberOf(r.Value)}
	if r.Value == nil {
		e.Record = numberOf(r.Key)
	}
	for i := range w.plan.Topics {
		e.Appended = e.Appended || w.plan.Topics[i].Name == topic && w.plan.Topics[i].AppendTime
	}
	for _, x := range r.Headers {
		e.Headers = append(e.Headers, check.Header{Key: string(x.Key), Value: x.Value})
	}
	return e
}

// inspect reads a host's disk as the next start would.
func (h *host) inspect() (hosted check.Hosted, out []check.Violation) {
	hosted.Stopped = h.gone || h.stuck
	bad := func(law, format string, args ...any) {
		out = append(out, check.Violation{Law: law, Text: fmt.Sprintf("host %d: "+format, append([]any{h.id}, args...)...)})
	}
	d := h.disk.Copy()
	defer d.Close()
	rec, err := d.Open(h.clock())
	if err != nil {
		bad("P10", "its disk does not open at the end: %v", err)
		return hosted, out
	}
	for i := range rec.Lanes {
		lane := &rec.Lanes[i]
		seen := map[spool.Index]bool{}
		for at := spool.Index(0); at < lane.End; {
			sections, next, err := d.Read(lane.ID, at, 1<<20)
			if err != nil {
				bad("P1", "its disk cannot be read at the end: %v", err)
				break
			}
			for k := range sections {
				h.pending(lane, &sections[k], seen, &hosted, bad)
			}
			if next <= at {
				break
			}
			at = next
		}
		for k := spool.Index(0); k < lane.End; k++ {
			if !lane.Settled.Contains(k) && !seen[k] {
				bad("P1", "entry %d of %s has not left, and is not there", k, lane.Topic)
			}
			if r := h.record(disk.Spot{Lane: lane.ID, Index: k}); r >= 0 && d.DeadLettered(lane.ID, k) {
				h.w.hist.Dead = append(h.w.hist.Dead, check.Dead{Host: h.id, Record: r})
			}
		}
	}
	return hosted, out
}

// pending notes the records of a section that have not left, and compares them with what was sent.
func (h *host) pending(lane *spool.Lane, sec *spool.Section, seen map[spool.Index]bool, hosted *check.Hosted, bad func(law, format string, args ...any)) {
	err := sec.Each(func(k spool.Index, e *spool.Entry) bool {
		if lane.Settled.Contains(k) {
			return true
		}
		seen[k] = true
		n := h.record(disk.Spot{Lane: lane.ID, Index: k})
		got, err := e.Record()
		if n < 0 || err != nil || !bytes.Equal(got.Value, h.w.hist.Records[n].Value) || !bytes.Equal(got.Key, h.w.hist.Records[n].Key) {
			bad("P5", "entry %d of %s is not record %d that was put there: %q (%v)", k, lane.Topic, n, got.Value, err)
			return true
		}
		hosted.Pending = append(hosted.Pending, n)
		return true
	})
	if err != nil {
		bad("P5", "%s: %v", lane.Topic, err)
	}
}

func stack() string { return string(debug.Stack()) }
