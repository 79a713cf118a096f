package world

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/integration/sim/disk"
	"github.com/spoold/spoold/protocol"
)

// fault has one come to pass, if it can.
func (w *World) fault(f *Fault) {
	if w.calm {
		return
	}
	w.tell("fault: %+v", *f)
	if w.hostFault(f) || w.netFault(f) || w.brokerFault(f) || w.topicFault(f) {
		w.count(string(f.Kind))
		w.trace.mix(int64(len(f.Kind)), f.At, int64(f.A), int64(f.B), f.D)
	}
}

func (w *World) hostFault(f *Fault) bool {
	if int(f.A) >= len(w.hosts) {
		return false
	}
	h := w.hosts[f.A]
	now := w.ag.Now()
	switch f.Kind {
	case KillHost, PowerCut, StopHost, Restore, Foreign:
		if !h.up {
			if f.Kind == KillHost {
				w.missed = f
			}
			return false
		}
		return h.ends(f)
	case ForeignCluster:
		return meetForeignCluster(h, f)
	case Rival:
		rival(w, h, rivalTries)
		return false // counted when the coordinator has let it
	case PauseHost:
		h.pause(f.D)
	case ClockJump:
		// Within a night a clock may be wrong by no more than what lies between the margin and the broker's expiry.
		if off := h.wall + f.D; w.nights() && (off > 3*3600_000 || off < -3*3600_000) {
			return false
		}
		h.wall += f.D
	case DiskSlow:
		h.slow = now + f.D
	case DiskFull:
		if !lacks(h, f.D) {
			h.full = now + f.D
		}
	case DiskNoSpace, DiskError:
		h.fail = f.Kind
		return false // counted when a commit meets it
	case Night:
		w.night = max(w.night, now+f.D)
	default:
		return false
	}
	return true
}

// amends carries a kill out that met a host which was down, if nothing else was killed: a history has a kill. Another
// host will do.
func (w *World) amends() {
	if !w.plan.Whole || w.missed == nil || w.kills() > 0 {
		return
	}
	for i, h := range w.hosts {
		if h.up {
			w.fault(&Fault{At: w.ms(), Kind: KillHost, A: int32(i), D: 1})
			return
		}
	}
}

// kills is how many processes of hosts were killed so far.
func (w *World) kills() int { return w.counts[string(KillHost)] + w.counts[string(PowerCut)] }

// nights reports whether the plan has hours without anybody.
func (w *World) nights() bool {
	return slices.ContainsFunc(w.plan.Faults, func(f Fault) bool { return f.Kind == Night })
}

// ends has a host's process end in one way or another, and begin again.
func (h *host) ends(f *Fault) bool {
	switch f.Kind {
	case KillHost:
		h.end(check.Killed, false, "killed")
	case PowerCut:
		h.end(check.Killed, true, "power cut")
		h.reboot = true
	case StopHost:
		h.stop(f.D)
		return true
	case Restore:
		return h.restore()
	case Foreign:
		if !h.bound {
			return false
		}
		h.end(check.Killed, false, "led to another cluster")
		h.abroad()
		return true
	}
	h.paused, h.down = 0, h.w.ag.Now()+f.D
	h.w.ag.After(f.D, h.start)
	return true
}

// stop ends a process in good order: nothing more is sealed, what is under way may still be answered.
func (h *host) stop(patience int64) {
	if h.closing {
		return
	}
	h.closing = true
	h.carry(h.core.Closing(h.now()))
	life := h.life
	h.w.ag.After(patience/2, func() {
		if h.life == life && h.up {
			h.end(check.Stopped, false, "stopped")
		}
	})
	h.w.ag.After(patience+1, func() {
		if !h.up {
			h.start()
		}
	})
}

// pause stops a host for a while, process, timers and all.
func (h *host) pause(ms int64) {
	h.paused = max(h.paused, h.w.ag.Now()+ms)
	h.w.ag.After(ms, func() {
		if h.w.ag.Now() < h.paused {
			return
		}
		due := h.backlog
		h.backlog = nil
		for _, do := range due {
			do()
		}
	})
}

// abroad starts the process where its bootstrap servers lead to another cluster.
func (h *host) abroad() {
	w := h.w
	if w.other == nil {
		cfg := w.plan.Cluster
		cfg.Brokers, cfg.Seed, cfg.ID = w.plan.Brokers, w.plan.Seed*8+streamOther, "another-cluster"
		w.other = broker.New(cfg, &w.ag)
		for i := range w.plan.Topics {
			t := &w.plan.Topics[i]
			w.other.CreateTopic(t.Name, t.Partitions, t.Replicas, t.config())
		}
	}
	h.cluster, h.paused, h.down = w.other, 0, 0
	h.start()
	life, began := h.life, w.ag.Now()
	w.ag.After(abroadMs, func() {
		if h.life == life && h.up && h.apart <= began && h.paused <= began && !h.showsForeign() {
			w.event(check.Event{Kind: check.Moved, Host: h.id, N: 1})
		}
		h.end(check.Killed, false, "led back")
		h.cluster = w.cluster
		h.start()
	})
}

// showsForeign reports whether status says that the brokers are of another cluster.
func (h *host) showsForeign() bool {
	st := h.core.Status(h.now())
	return !st.LinkUp && st.Foreign != ""
}

// abroadMs is how long a host is led to another cluster: time enough to notice.
const abroadMs = 400

// save keeps the disk as it is, for Restore.
func (h *host) save() {
	if !h.up || h.gone {
		return
	}
	s := &savedDay{disk: h.disk.Copy(), life: h.life, left: maps.Clone(h.left), bound: h.bound}
	for _, lane := range h.records {
		s.records = append(s.records, slices.Clone(lane))
	}
	h.saved = s
}

// restore puts the disk back to the day of save. Promised is only what happens if the spool was not given another
// producer id since.
func (h *host) restore() bool {
	s := h.saved
	if s == nil || s.life != h.life || h.lastID(s.disk) != h.lastID(h.disk) {
		return false
	}
	h.former = h.lastID(h.disk)
	for _, b := range h.w.brokerIDs() { // what the original has on the way arrives before the copy asks, or never
		if l := h.links[b]; l != nil {
			if l.waiting = nil; l.up {
				l.conn.Forget()
			}
		}
	}
	for _, c := range h.served {
		c.Forget()
	}
	h.served = nil
	h.end(check.Killed, true, "its disk is put back")
	h.saved, h.reboot, h.day = nil, true, h.day+1
	h.disk.Close()
	h.disk = s.disk
	h.disk.OnDurable(h.durable)
	for lane := range h.records {
		for i, r := range h.records[lane] {
			was := lane < len(s.records) && i < len(s.records[lane])
			switch {
			case r < 0:
			case !was:
				h.w.event(check.Event{Kind: check.Undone, Host: h.id, Record: r})
			case !s.left[r]: // whether the original had settled it since, or had only sent it
				h.w.event(check.Event{Kind: check.Back, Host: h.id, Record: r})
			}
		}
	}
	h.records, h.bound, h.left = s.records, s.bound, s.left
	for _, c := range h.w.clients { // nothing is known of the keys that a copy has
		if c.h == h {
			c.past = nil
		}
	}
	for i := range h.w.hist.Ops {
		if o := &h.w.hist.Ops[i]; o.Host == h.id {
			o.Foreign = false
		}
	}
	h.w.event(check.Event{Kind: check.Restored, Host: h.id})
	h.down = h.w.ag.Now() + 5
	h.w.ag.After(5, h.start)
	return true
}

// lastID is the producer id that a disk used last.
func (h *host) lastID(d disk.Disk) protocol.ProducerID {
	d = d.Copy()
	defer d.Close()
	rec, err := d.Open(h.clock())
	if err != nil {
		panic(fmt.Sprintf("world: a disk does not open: %v", err))
	}
	return rec.Former.ID
}

func (w *World) netFault(f *Fault) bool {
	if int(f.A) >= len(w.hosts) {
		return false
	}
	h := w.hosts[f.A]
	switch f.Kind {
	case Cut, Hang:
		if !h.up || h.links[f.B] == nil || !h.links[f.B].up {
			return false
		}
		if f.Kind == Cut {
			h.after(0, func() { h.links[f.B].lost("cut") })
		} else {
			h.links[f.B].hung = w.ag.Now() + f.D
		}
	case Apart:
		h.apart = max(h.apart, w.ag.Now()+f.D)
		for _, b := range w.brokerIDs() {
			if h.up && h.links[b] != nil {
				l := h.links[b]
				h.after(0, func() { l.lost("cut") })
			}
		}
	default:
		return false
	}
	return true
}

func (w *World) brokerFault(f *Fault) bool {
	c, id := w.cluster, f.A
	if id >= w.plan.Brokers {
		return false
	}
	later := func(do func()) { w.ag.After(f.D, do) }
	switch f.Kind {
	case KillBroker:
		if !c.Alive(id) {
			return false
		}
		c.Kill(id)
		later(func() { c.Start(id) })
	case StopBroker:
		if !c.Alive(id) {
			return false
		}
		c.Shutdown(id)
		later(func() { c.Start(id) })
	case PauseBroker:
		c.Pause(id)
		later(func() { c.Resume(id) })
	case CutOff:
		c.CutOff(id, true)
		later(func() { c.CutOff(id, false) })
	case SlowBroker:
		c.Slow(id, true)
		later(func() { c.Slow(id, false) })
	case Rolling:
		for k, b := range w.brokerIDs() {
			at := int64(k) * f.D
			w.ag.After(at, func() {
				if !w.calm {
					c.Shutdown(b)
				}
			})
			w.ag.After(at+f.D/2, func() { c.Start(b) })
		}
	default:
		return false
	}
	return true
}

// restorePolicy has brokers refuse again what they always do, and nothing else.
func (w *World) restorePolicy(topic string) {
	for i := range w.plan.Topics {
		if t := &w.plan.Topics[i]; t.Name == topic {
			w.cluster.Configure(topic, func(c *broker.TopicConfig) { c.Refuse = t.config().Refuse })
		}
	}
}

func (w *World) topicFault(f *Fault) bool {
	c := w.cluster
	switch f.Kind {
	case MoveLeader:
		return c.Move(f.Name, f.B, f.A)
	case Grow:
		c.Grow(f.Name, int(f.B))
		w.hist.Counts[f.Name] = append(w.hist.Counts[f.Name], f.B)
	case Retain:
		c.Retain(f.Name, f.B, f.D)
	case Recreate:
		for i := range w.plan.Topics {
			if t := &w.plan.Topics[i]; t.Name == f.Name {
				if !c.Exists(t.Name) {
					return false
				}
				c.DeleteTopic(t.Name)
				w.hist.Reborn[t.Name] = w.cluster.ProduceMax() < 13
				w.ag.After(f.D, func() { w.create(t) })
			}
		}
	case LowerMax:
		c.Configure(f.Name, func(t *broker.TopicConfig) { t.MaxMessageBytes = int(f.B) })
		w.ag.After(f.D, func() { c.Configure(f.Name, func(t *broker.TopicConfig) { t.MaxMessageBytes = 0 }) })
	case Policy:
		c.Configure(f.Name, func(t *broker.TopicConfig) { t.Refuse = func([]byte) bool { return true } })
		w.ag.After(f.D, func() { w.restorePolicy(f.Name) })
	case Deny:
		right := broker.Right(f.B)
		c.Deny(right, f.Name, true)
		w.ag.After(f.D, func() { c.Deny(right, f.Name, false) })
	default:
		return false
	}
	return true
}
