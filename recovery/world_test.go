package recovery

import (
	"slices"
	"testing"

	"github.com/spoold/spoold/integration/program"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// world is one partition as it really is: a leader's log, how much of it is replicated, what the
// leader remembers of our producer id, and copies of batches that are still on their way. It knows
// Kafka's rules and nothing of the Resolver's.
type world struct {
	t    testing.TB
	p    *program.Program
	now  spool.Time
	me   protocol.ProducerIdentity
	log  []entry // of our producer id, ascending by offset
	end  protocol.Offset
	hw   protocol.Offset
	low  protocol.Offset // log start
	mind *memory         // nil: the leader has no state for our producer id
	all  []*sealed       // what was in doubt at first; the first settled of it are settled
	late []*sealed       // copies written to a socket that have not arrived
	n    int             // settled

	denied, deaf bool // we may not ask; we may not read
	confused     bool // the leader says that batches are out of order which are not
	// What happened that a Resolver cannot make good, and may park for.
	excuse string
	// foreign: somebody else used our identity. unclean: replicated records were lost.
	foreign, unclean bool
	vouched          bool              // the leader said, over this connection, that it has state for our epoch,
	heard            protocol.Sequence // up to here
	absent, looked   bool              // it said that it has none; its log was read since
	amnesia, early   bool              // it forgets us before it is asked next, inside the margin; it did
	acked            bool              // something was, before all of this, with this largest timestamp
	stamp            int64
	refused          protocol.ErrorCode // what the last copy was refused with
	quiet            bool               // nothing has happened since the leader was asked
	healed           bool
}

// entry is one batch in the log. A batch that was cut in two since may stand there whole.
type entry struct {
	epoch  protocol.ProducerEpoch
	base   protocol.Sequence
	count  int32
	offset protocol.Offset
	stamp  int64 // its largest timestamp
	alien  bool  // somebody else's, under our identity
}

func (l *entry) last() protocol.Sequence { return l.base.Last(int(l.count)) }

// memory is a ProducerStateEntry.
type memory struct {
	epoch   protocol.ProducerEpoch
	last    protocol.Sequence
	stamp   int64
	batches []entry // the last ones, at most five; one after a replica's restart
}

// sealed is one of our batches, and what was done with it.
type sealed struct {
	Batch
	found  bool            // sealed by an earlier process
	copies int             // that were ever written to a socket
	offset protocol.Offset // where it is in the log, or NoOffset
	safe   bool            // was seen below the high watermark
}

const (
	expiry = 24 * hourMs // producer.id.expiration.ms
	margin = 20 * hourMs
	travel = 2 * hourMs // no copy is longer on its way
)

func newWorld(t testing.TB, p *program.Program) (*world, *Resolver) {
	w := &world{t: t, p: p, now: now, me: me, end: 100, hw: 100}
	next := protocol.Sequence(0)
	lastStamp := int64(0)
	settled := protocol.NoSequence
	if p.Yes() { // something was acked before
		next = []protocol.Sequence{10, 2147483640, 2147483647, 1}[p.Below(4)]
		lastStamp = w.now.Wall - w.ages()
		settled = next.Next(1<<31 - 1)
		w.append(entry{epoch: me.Epoch, base: next.Next(1<<31 - 2), count: 2, stamp: lastStamp})
		w.hw = w.end
	} else if p.Yes() { // the epoch before ours is remembered
		w.append(entry{epoch: me.Epoch - 1, base: 5, count: 3, stamp: w.now.Wall})
		w.hw = w.end
	}
	w.acked, w.stamp = settled != protocol.NoSequence, lastStamp
	w.seal(next, settled, lastStamp)
	facts := Facts{Identity: me, Next: next, Settled: settled, LastMaxTimestamp: lastStamp, MarginMs: margin}
	var list []Batch
	for _, b := range w.all {
		list = append(list, b.Batch)
		facts.Next = b.last().Next(1)
	}
	return w, New(facts, list)
}

// ages is how old a timestamp is: young, near the margin, or days.
func (w *world) ages() int64 {
	return []int64{1000, 1000, 1000, 19 * hourMs, 21 * hourMs, 25 * hourMs, 70 * hourMs, -hourMs}[w.p.Below(8)]
}

// seal makes the batches in doubt, by the sender's rules: one alone where the leader may not know us
// or not remember, else up to six. What was sent was sent in order, and what of it arrived, too.
func (w *world) seal(next, settled protocol.Sequence, lastStamp int64) {
	limit := 1
	found := w.p.Yes()
	tail := w.end - protocol.Offset(w.p.Below(3))
	stamp := w.now.Wall - w.ages()
	if settled != protocol.NoSequence && w.now.Wall-lastStamp < margin && w.now.Wall-stamp < margin {
		limit = 6
	}
	n := w.p.Below(limit + 1)
	sent := w.p.Below(n + 1)
	arrived := w.p.Below(sent + 1)
	for i := range n {
		b := &sealed{found: found, offset: protocol.NoOffset}
		b.Batch = Batch{
			Base: next, Count: 1 + int32(w.p.Below(3)), MaxTimestamp: stamp, SealedAge: w.now.Age - int64(w.p.Below(3))*hourMs/2, Tail: tail,
			Doubtful: found || i < sent, Offset: protocol.NoOffset,
		}
		next = next.Next(int(b.Count))
		w.all = append(w.all, b)
		if i < sent {
			b.copies++
			w.late = append(w.late, b)
		}
		if i < arrived {
			w.arrive(b)
			if w.p.Yes() || !w.inside(b) {
				w.late = w.late[:len(w.late)-1] // the only copy
			} else {
				b.copies++
			}
		}
	}
	whole := arrived == 0 || w.p.Below(4) < 3
	if !whole {
		w.cut(w.p.Below(arrived))
	}
	w.hw += protocol.Offset(w.p.Below(int(w.end-w.hw) + 1))
	w.replicate(w.hw)
	for _, b := range w.all {
		if !w.inside(b) {
			w.excuseFor("a batch was old")
		}
	}
	if found || !whole || len(w.all) < 2 || !w.p.Yes() {
		return
	}
	// A later one may have been answered while an earlier answer was lost.
	for _, b := range w.all[1:] {
		if b.safe && w.p.Yes() {
			b.Acked, b.Offset, b.Doubtful = true, b.offset, false
		}
	}
}

// cut puts two halves in the place of a batch that is in the log: it was refused, and cut in two, before a
// copy of the whole was found to be there.
func (w *world) cut(i int) {
	b := w.all[i]
	if b.Count < 2 {
		return
	}
	left, right := *b, *b
	left.Count = b.Count / 2
	right.Base, right.Count = b.Base.Next(int(left.Count)), b.Count-left.Count
	w.all = slices.Replace(w.all, i, i+1, &left, &right)
	w.late = slices.DeleteFunc(w.late, func(late *sealed) bool { return late == b }) // the whole: out of order now
}

// append puts a batch of ours into the log, behind some of others.
func (w *world) append(l entry) {
	w.end += protocol.Offset(w.p.Below(3))
	l.offset = w.end
	for _, old := range w.log {
		if skip := old.base.Distance(l.base); !old.alien && old.epoch == l.epoch && skip < int(old.count) {
			w.t.Fatalf("sequence %d of epoch %d is in the log twice, at offset %d and %d", l.base, l.epoch, old.offset, l.offset)
		}
	}
	w.end += protocol.Offset(l.count)
	w.log = append(w.log, l)
	w.remember(l)
}

func (w *world) remember(l entry) {
	if w.mind == nil || w.mind.epoch != l.epoch {
		w.mind = &memory{epoch: l.epoch}
	}
	m := w.mind
	m.last, m.stamp = l.last(), l.stamp
	if m.batches = append(m.batches, l); len(m.batches) > 5 {
		m.batches = m.batches[1:]
	}
}

// arrive is what the leader does with a copy: it appends it, knows it again (then offset says where
// it is), or refuses it.
func (w *world) arrive(b *sealed) (protocol.ErrorCode, protocol.Offset) {
	m := w.mind
	switch {
	case m == nil:
	case w.confused && m.epoch == w.me.Epoch:
		return protocol.OutOfOrderSequenceNumber, protocol.NoOffset
	case m.epoch > w.me.Epoch:
		return protocol.InvalidProducerEpoch, protocol.NoOffset
	case m.epoch < w.me.Epoch:
		if b.Base != 0 {
			return protocol.OutOfOrderSequenceNumber, protocol.NoOffset
		}
	default:
		for _, l := range m.batches {
			if l.base == b.Base && l.last() == b.last() {
				return protocol.None, l.offset
			}
		}
		if m.last.Next(1) != b.Base {
			return protocol.OutOfOrderSequenceNumber, protocol.NoOffset
		}
	}
	w.append(entry{epoch: w.me.Epoch, base: b.Base, count: b.Count, stamp: b.MaxTimestamp})
	w.place()
	return protocol.None, b.offset
}

// place notes where each batch is.
func (w *world) place() {
	for _, b := range w.all {
		b.offset = protocol.NoOffset
		for _, l := range w.log {
			if skip := l.base.Distance(b.Base); !l.alien && l.epoch == w.me.Epoch && skip+int(b.Count) <= int(l.count) {
				b.offset = l.offset + protocol.Offset(skip)
			}
		}
	}
}

// replicate moves the high watermark up.
func (w *world) replicate(to protocol.Offset) {
	w.hw = max(w.hw, to)
	w.place()
	for _, b := range w.all {
		b.safe = b.safe || b.offset != protocol.NoOffset && b.offset+protocol.Offset(b.Count) <= w.hw
	}
}

// expired reports whether the leader may forget us.
func (w *world) expired() bool { return w.mind != nil && w.now.Wall-w.mind.stamp >= expiry }

// event is something that happens by itself. It reports whether the connection went with it.
func (w *world) event() (cut bool) {
	switch w.p.Below(14) {
	case 0: // a late copy arrives, or is lost for good
		if len(w.late) > 0 {
			k := w.p.Below(len(w.late))
			b := w.late[k]
			w.late = slices.Delete(w.late, k, k+1)
			if w.p.Yes() {
				w.arrive(b)
			}
		}
	case 1:
		w.replicate(w.end)
	case 2:
		d := []int64{1000, hourMs, 3 * hourMs, 30 * hourMs}[w.p.Below(4)]
		w.now.Wall, w.now.Age = w.now.Wall+d, w.now.Age+d
		if d > travel {
			w.late = nil
		}
	case 3:
		if w.expired() {
			w.mind = nil
			w.excuseFor("the leader forgot us")
		}
	case 4: // retention
		w.low = max(w.low, min(w.hw, w.low+90+protocol.Offset(w.p.Below(30))))
		w.excuseFor("the log was cut")
	case 5:
		w.restarted()
	case 6:
		w.failOver(w.hw + protocol.Offset(w.p.Below(int(w.end-w.hw)+1)))
		return true
	case 7:
		if w.p.Below(4) == 0 { // unclean: nothing is promised then, not even an end
			w.excuseFor("the log went back")
			w.unclean = true
			w.failOver(w.low + protocol.Offset(w.p.Below(int(w.end-w.low)+1)))
			return true
		}
	case 8:
		if w.p.Below(8) == 0 && w.mind != nil {
			w.clone()
		}
	case 9:
		w.denied = w.denied || w.p.Below(4) == 0 && !w.early // who may not ask relies on the margin alone
	case 10:
		w.deaf = w.deaf || w.p.Below(8) == 0
	case 11:
		return true
	case 12:
		if w.confused = !w.confused && w.p.Below(4) == 0; w.confused {
			w.excuseFor("the leader was confused")
		}
	case 13:
		w.amnesia = !w.denied && !w.unclean
	}
	return false
}

// clone has somebody else use our identity: at a higher epoch, or beyond all that we sealed.
func (w *world) clone() {
	w.foreign = true
	if w.p.Yes() || w.mind.epoch != w.me.Epoch {
		w.mind.epoch = w.me.Epoch + 1
		return
	}
	base := w.mind.last.Next(1)
	beyond := w.mind.last
	if n := len(w.all); n > 0 && base.Distance(w.all[n-1].last()) < 1<<30 {
		beyond = w.all[n-1].last()
	}
	count := int32(base.Distance(beyond.Next(1))) + 1 + int32(w.p.Below(3))
	l := entry{epoch: w.me.Epoch, base: base, count: count, offset: w.end, stamp: w.now.Wall, alien: true}
	w.end += protocol.Offset(count)
	w.log = append(w.log, l)
	w.remember(l)
}

// restarted: a replica remembers one batch after its start.
func (w *world) restarted() {
	if w.mind != nil {
		w.mind.batches = w.mind.batches[len(w.mind.batches)-1:]
	}
}

func (w *world) excuseFor(what string) {
	if w.excuse == "" {
		w.excuse = what
	}
}

// failOver makes a replica leader that has the log up to end: what it remembers is what it has.
func (w *world) failOver(end protocol.Offset) {
	w.log = slices.DeleteFunc(w.log, func(l entry) bool { return l.offset+protocol.Offset(l.count) > end })
	if end < w.end {
		w.late = nil // they are on their way to the leader that was
	}
	mind := w.mind
	w.mind, w.end = nil, end
	w.hw = min(w.hw, end)
	if mind != nil && mind.epoch > w.me.Epoch { // somebody else's, whose batches are not in this log
		w.mind = mind
	} else if mind != nil {
		for _, l := range w.log {
			w.remember(l)
		}
	}
	if w.p.Yes() {
		w.restarted()
	}
	w.place()
}
