package loop

import (
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// expirer is a Core that can give up records that have waited for too long.
type expirer interface {
	Expire(lane spool.LaneID, end, swept spool.Index) *sender.Waiting
	Drop(lane spool.LaneID, end, swept spool.Index, rule string) *sender.Waiting
}

// expiry has records that wait for longer than delivery.timeout.ms given up, and those that wait for longer than spool.max.age
// dropped. It goes by the spool's clock, which a step of the host's does not move. delivery.timeout.ms takes what an earlier
// process spooled for as old as this one, and spool.max.age goes by what the spool keeps of ages: a record never leaves too early.
type expiry struct {
	timeout int64 // ms; 0: never
	maxAge  int64 // ms; 0: never
	began   int64 // Age of the start
	sweeps  bool  // one was begun, and its end was not noticed yet
	quotas  quotaStore
	over    map[spool.LaneID]struct{} // lanes that are above their quota
	at      int64                     // Age of the next look; 0: nothing waits
	swept   map[spool.LaneID]spool.Index
}

// Between two looks, ms: a record is given up so much later than its time at most, and as much again for what a mark covers.
const (
	leastLook = 50
	mostLook  = 5000
)

func (x *expiry) interval() int64 {
	shortest := x.timeout
	if x.maxAge > 0 && (shortest == 0 || x.maxAge < shortest) {
		shortest = x.maxAge
	}
	if shortest == 0 {
		return leastLook
	}
	return min(max(shortest/20, leastLook), mostLook)
}

// They are in the gaps of what is dropped by age, or because a topic is at its quota.
const (
	tooOld    = "spool.max.age is over"
	overQuota = "topic.quota.bytes is reached"
)

// quotaStore is a Store with topics whose oldest records are to be dropped at a quota.
type quotaStore interface {
	Crowded() <-chan struct{}
	TakeCrowded() []spool.LaneID
	Excess(lane spool.LaneID, from spool.Index) spool.Index
}

// records notes that some wait.
func (x *expiry) records(now int64) {
	if x.timeout+x.maxAge > 0 && x.at == 0 {
		x.at = now + x.interval()
	}
}

// expired is one above the last record of the lane that was committed so long ago that all before it expire now.
func (l *laneProgress) expired(before, began int64) (end spool.Index) {
	for _, m := range l.marks {
		if max(m.age, began)+l.every > before { // what a mark covers came within so many ms
			break
		}
		end = m.end
	}
	return end
}

// expire looks for records that have waited for too long, if it is time. One lane at a time is swept.
func (l *Loop) expire() {
	x := &l.expiry
	if x.at == 0 || l.now.Age < x.at || l.closing {
		return
	}
	core, ok := l.core.(expirer)
	if !ok {
		x.at = 0
		return
	}
	x.at = l.now.Age + x.interval()
	if l.operations.sweep != nil {
		return
	}
	for id := range x.over {
		if w := l.excess(core, id); w != nil {
			l.sweep(w)
			return
		}
	}
	if x.timeout+x.maxAge == 0 && len(x.over) == 0 {
		x.at = 0
		return
	}
	pending := len(x.over) > 0
	for id, lane := range l.progress.lanes {
		if l.core.Settled(id) >= lane.end {
			continue
		}
		pending = true
		if w := l.overdue(core, id, lane); w != nil {
			l.sweep(w)
			return
		}
	}
	if !pending {
		x.at = 0
	}
}

// sweep has records leave, and looks again when they have.
func (l *Loop) sweep(w *sender.Waiting) {
	l.expiry.swept[w.Lane] = max(l.expiry.swept[w.Lane], w.End)
	l.expiry.sweeps = true
	l.operations.begin(w, make(chan struct{}))
}

// swept looks again at once when a sweep has ended, if lanes are above their quota.
func (l *Loop) swept() {
	x := &l.expiry
	if !x.sweeps || l.operations.sweep != nil {
		return
	}
	if x.sweeps = false; len(x.over) > 0 {
		x.at = l.now.Age
	}
}

// excess is what is to leave of a lane so that it fits its quota, or nil.
func (l *Loop) excess(core expirer, id spool.LaneID) *sender.Waiting {
	x := &l.expiry
	end := x.quotas.Excess(id, x.swept[id])
	if end == 0 {
		delete(x.over, id)
		return nil
	}
	if lane := l.progress.lanes[id]; lane == nil || lane.end < end {
		return nil // the loop has not been given all of it yet
	}
	return core.Drop(id, end, x.swept[id], overQuota)
}

// crowded takes the lanes that are above their quota.
func (l *Loop) crowded() {
	x := &l.expiry
	for _, id := range x.quotas.TakeCrowded() {
		x.over[id] = struct{}{}
	}
	if x.at = l.now.Age; len(x.over) > 0 {
		l.expire()
	}
}

// overdue is what is to leave of a lane now, or nil.
func (l *Loop) overdue(core expirer, id spool.LaneID, lane *laneProgress) *sender.Waiting {
	x := &l.expiry
	if x.timeout > 0 {
		if end := lane.expired(l.now.Age-x.timeout, x.began); end > 0 {
			if w := core.Expire(id, end, x.swept[id]); w != nil {
				return w
			}
		}
	}
	if x.maxAge > 0 {
		if end := l.store.Aged(id, l.now.Age-x.maxAge); end > 0 {
			return core.Drop(id, end, x.swept[id], tooOld)
		}
	}
	return nil
}
