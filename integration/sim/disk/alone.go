package disk

import (
	"errors"
	"maps"
	"slices"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// Alone is spool/bolt itself, and no Model beside it that knows better: what it finds, answers and reads is what the host
// gets, right or wrong, and the laws judge what comes of that. Its limit is the store's own. What was put where it notes
// itself, to tell the core of a commit and the world of what is durable; from where a lane goes on, the store says at a start.
type Alone struct {
	real   *Real
	told   func([]DurableBatch, []*spool.Write)
	ends   map[string]*end
	group  uint64 // the open one
	open   []item
	taken  *stage
	groups map[spool.KeyDigest]uint64 // of keyed batches of this life
	wait   []promise
	pieces []piece // of units that are not committed, which callers wait for
	dead   map[Spot]bool
	keyed  map[Spot]request // what of the records that are durable came with a key
	stats  bolt.Stats
	untold bool // a commit became durable, and nobody was told
}

// request is a record of a batch.
type request struct {
	batch  *bolt.BatchInput
	record int
}

// NewAlone is an empty disk. Nothing is on it before the first Open.
func NewAlone(rules Rules, seed uint64) *Alone {
	return &Alone{real: newReal(rules, rules.MaxBytes, seed), dead: map[Spot]bool{}, keyed: map[Spot]request{}}
}

// unfit is what a Difference is where nothing is compared: the store does not do its work, and nothing is wrong with the disk.
func unfit() {
	bug := recover()
	if d, ok := bug.(*Difference); ok {
		panic("spool/bolt, on a disk without a fault: " + d.Text)
	} else if bug != nil {
		panic(bug)
	}
}

// OnDurable implements Disk.
func (a *Alone) OnDurable(f func([]DurableBatch, []*spool.Write)) { a.told = f }

// Open implements Disk.
func (a *Alone) Open(c Clock) (*spool.Recovered, error) {
	defer unfit()
	a.real.dir.lay()
	found := a.real.enter(c)
	a.group, a.groups, a.ends = 1, map[spool.KeyDigest]uint64{}, map[string]*end{}
	a.open, a.taken, a.wait, a.pieces = nil, nil, nil, nil
	for i := range found.Lanes {
		l := &found.Lanes[i]
		a.ends[l.Topic] = &end{l.ID, l.End}
	}
	a.stats = a.real.life.store.Stats()
	a.real.life.deadFull = found.DeadFull
	if a.untold { // the commit that a crash met may have dropped some, and nobody was told
		a.real.dropped, a.untold = len(a.dead)-a.stats.DeadLetters, false
	}
	return found, nil
}

// Append implements Disk.
func (a *Alone) Append(b *bolt.BatchInput, now spool.Time) (Receipt, error) {
	defer unfit()
	l := a.real.life
	got, err := l.store.AppendBatch(over, b)
	if errors.Is(err, bolt.ErrFull) && !l.busy && !l.filling {
		a.look()
		got, err = l.store.AppendBatch(over, b)
	}
	switch {
	case errors.Is(err, bolt.ErrFull):
		a.real.dir.came["records refused"]++
		return Receipt{}, ErrFull
	case err != nil:
		return Receipt{}, err
	}
	r := Receipt{Group: a.group, Repeat: got.Duplicate()}
	if r.Repeat {
		r.Group = a.whose(b)
	} else {
		a.place(b, now)
	}
	p := promise{batch: b, receipt: r, tickets: got}
	if p.answered() {
		r.Group = 0
	} else {
		a.wait = append(a.wait, p)
	}
	return r, nil
}

// whose is the group that a repeat waits for, if it waits: that of the first one, or the commit under way, which carries its key.
func (a *Alone) whose(b *bolt.BatchInput) uint64 {
	key, _ := digest(b)
	g, known := a.groups[key]
	if a.taken != nil && (!known || g < a.taken.group) {
		return a.taken.group
	}
	return g
}

// place notes where the records of a batch are.
func (a *Alone) place(b *bolt.BatchInput, now spool.Time) {
	it := item{batch: b}
	lane := func(topic string) *end { return a.lane(&it, topic) }
	unit := unitOf(b, lane)
	for i := range b.Records {
		r := &b.Records[i]
		e := lane(r.Topic)
		it.entries = append(it.entries, encode(r, now, unitAt(unit, e)))
		it.spots = append(it.spots, Spot{e.id, e.next})
		e.next++
	}
	if b.Key != "" {
		key, _ := digest(b)
		a.groups[key] = a.group
	}
	a.open = append(a.open, it)
	a.real.life.filling = true
}

// lane is the end of a topic's lane, which is made if need be.
func (a *Alone) lane(it *item, topic string) *end {
	e := a.ends[topic]
	if e == nil {
		e = &end{id: spool.LaneID(len(a.ends))}
		a.ends[topic] = e
		it.lanes = append(it.lanes, spool.NewLane{ID: e.id, Topic: topic})
	}
	return e
}

// Begin implements Disk.
func (a *Alone) Begin(writes []*spool.Write, _ spool.Time) {
	defer unfit()
	if len(a.open) == 0 && len(writes) == 0 && !a.real.life.filling { // a piece of a unit fills it, too
		return
	}
	s := &stage{group: a.group, items: a.open, writes: writes}
	for i := range s.items {
		it := &s.items[i]
		s.events.Lanes = append(s.events.Lanes, it.lanes...)
		for k, spot := range it.spots {
			if it.staged == nil || !it.staged[k] {
				s.section(spot, it.entries[k], s.items[i:])
			}
		}
		s.stagedSections(it)
	}
	for _, w := range writes {
		s.events.Writes = w.ID
	}
	a.taken, a.open = s, nil
	a.group++
	a.real.begin(writes)
}

// Finish implements Disk.
func (a *Alone) Finish() []Commit {
	defer unfit()
	s := a.taken
	if s == nil {
		return nil
	}
	a.real.finish()
	a.settlePieces(s.group, false)
	s.events.DeadFull = a.real.life.deadFull
	a.stats = a.real.life.store.Stats()
	a.durable()
	return []Commit{{s.group, s.events}}
}

// durable: the commit under way is.
func (a *Alone) durable() {
	s := a.taken
	a.taken = nil
	for i := range s.items {
		it := &s.items[i]
		for k, spot := range it.spots {
			if it.batch.Key != "" {
				a.keyed[spot] = request{it.batch, k}
			}
		}
	}
	for _, w := range s.writes {
		for i := range w.DeadLetters {
			a.dead[Spot{w.DeadLetters[i].Lane, w.DeadLetters[i].Index}] = true
		}
	}
	if a.told != nil {
		a.told(s.batches(), s.writes)
	}
}

// Answered implements Disk.
func (a *Alone) Answered() (out []uint64) {
	silent := map[uint64]bool{}
	for i := range a.wait {
		p := &a.wait[i]
		silent[p.receipt.Group] = silent[p.receipt.Group] || p.tickets.Spooled(over) != nil
	}
	left := a.wait[:0]
	for _, p := range a.wait {
		switch g := p.receipt.Group; {
		case silent[g]:
			left = append(left, p)
		case len(out) == 0 || out[len(out)-1] != g:
			out = append(out, g)
		}
	}
	a.wait = left
	for _, g := range a.throughPieces() {
		if !slices.Contains(out, g) {
			out = append(out, g)
		}
	}
	return out
}

// Fail implements Disk.
func (a *Alone) Fail(durable, full bool) error {
	defer unfit()
	a.real.fail(durable, full)
	a.settlePieces(a.group, true)
	a.pieces = nil
	if durable {
		a.durable()
		a.untold = true
	}
	a.taken = nil
	return failure(full)
}

// Crash implements Disk.
func (a *Alone) Crash(power bool, pick func(n int) int) {
	defer unfit()
	ways := 1
	if a.taken != nil {
		ways = 2
	}
	durable := pick(ways) == 1
	if a.real.life != nil {
		a.real.cut(durable, power)
	}
	if power {
		a.real.dir.powerCut()
	}
	if durable && a.taken != nil {
		a.durable()
		a.untold = true
	}
	a.taken, a.wait, a.pieces = nil, nil, nil
}

// Now implements Disk.
func (a *Alone) Now() spool.Time { return a.real.life.store.Now() }

// Read implements Disk.
func (a *Alone) Read(lane spool.LaneID, from spool.Index, bytes int) ([]spool.Section, spool.Index, error) {
	sections, next, _, err := a.real.life.store.Read(lane, from, bytes, nil)
	return sections, next, err
}

// Note implements Disk.
func (a *Alone) Note(name string) ([]byte, bool) { return a.real.life.store.Note(name) }

// DeadLettered implements Disk. The store tells those who repeat a request. Of a record without a key it tells nobody: what
// it was asked for counts.
func (a *Alone) DeadLettered(lane spool.LaneID, i spool.Index) bool {
	if r, ok := a.keyed[Spot{lane, i}]; ok {
		if got, err := a.real.life.store.AppendBatch(over, r.batch); err == nil && got.Duplicate() {
			if _, why, ok := got.At(r.record).Poll(); ok {
				return errors.Is(why, bolt.ErrDeadLettered)
			}
		}
	}
	return a.dead[Spot{lane, i}]
}

// Counters implements Disk.
func (a *Alone) Counters() spool.Counters { return a.stats.Counters }

// Bytes implements Disk.
func (a *Alone) Bytes() int64 { return a.stats.Bytes }

// Came says what came to pass in the files, and how often.
func (a *Alone) Came() map[string]int { return a.real.Came() }

// Copy implements Disk.
func (a *Alone) Copy() Disk {
	return &Alone{real: a.real.copyFiles(), dead: maps.Clone(a.dead), keyed: maps.Clone(a.keyed), stats: a.stats}
}

// Close implements Disk.
func (a *Alone) Close() { a.real.Close() }
