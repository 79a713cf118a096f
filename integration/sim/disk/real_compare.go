package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// comparison is what of the store is held against the Model, and what it needs for that.
type comparison struct {
	r     *Real
	keyed []*bolt.BatchInput // that were taken, for look-ups
	notes map[string]bool    // names
	// unasked: the Model was asked for a key, and the store was not. Old keys are forgotten when one asks for a new one.
	unasked bool
}

// remember notes what look-ups will ask for.
func (c *comparison) remember(b *bolt.BatchInput) {
	if b.Key != "" {
		c.keyed = append(c.keyed, b)
	}
	for _, n := range b.Notes {
		c.notes[n.Name] = true
	}
}

// point compares what is told without reading. A commit has just been made.
func (c *comparison) point() {
	m, st := c.r.model, c.r.life.store
	got, lanes := st.Lanes()
	now := m.now()
	if got.Counters != m.st.Counters() || got.DeadLetters != m.st.DeadLetters() || got.Lanes != m.st.Lanes() || len(lanes) != m.st.Lanes() {
		differ("counters %+v, %d dead letters, %d lanes; not %+v, %d, %d", got.Counters, got.DeadLetters, got.Lanes, m.st.Counters(), m.st.DeadLetters(), m.st.Lanes())
	}
	if !c.unasked && (got.Keys != m.index.Len() || got.KeysAge.Milliseconds() != now-m.index.OldestAge(now)) {
		differ("%d idempotency keys, the oldest %v old; not %d and %d ms", got.Keys, got.KeysAge, m.index.Len(), now-m.index.OldestAge(now))
	}
	for i := range lanes {
		id := spool.LaneID(i)
		want := bolt.LaneStats{Topic: m.st.Topic(id), Low: m.st.Settled(id).Low(), Counters: m.st.LaneCounters(id), Dead: m.st.LaneDeadLetters(id)}
		if lanes[i] != want {
			differ("lane %d is %+v, not %+v", i, lanes[i], want)
		}
	}
	c.bytes(got.Bytes)
	if one(c.r.rng, 4) {
		c.files(got.Segments)
	}
}

// files counts files: what is off the list, or was never on it, is to be removed.
func (c *comparison) files(want int) {
	list, err := os.ReadDir(c.r.dir.spool())
	must(err)
	got := -1 // one is the lock
	for _, e := range list {
		if !strings.HasSuffix(e.Name(), ".tmp") { // the next segment, which is made ahead
			got++
		}
	}
	if len(c.r.life.works) == 0 && got != want {
		differ("there are %d files, but %d segments", got, want)
	}
}

// bytes compares what counts against the limit with its bounds: every entry that has not left is in a page
// that counts; when none is left, only idempotency keys count.
func (c *comparison) bytes(got int64) {
	m := c.r.model
	var least, keys int64
	for i, l := range m.lanes {
		settled := m.st.Settled(spool.LaneID(i))
		for k := settled.NextAbsent(0); k < l.durable; k = settled.NextAbsent(k + 1) {
			least += int64(len(l.entries[k]))
		}
	}
	if len(m.keys) > 0 {
		keys = m.keyBytes
	}
	if got < least || m.st.Counters().Pending() == 0 && m.st.DeadLetters() == 0 && got > keys {
		differ("%d bytes count against the limit: %d are of entries that have not left, at most %d of idempotency keys", got, least, keys)
	}
}

// all compares everything, at a start.
func (c *comparison) all() {
	c.point()
	for i := range c.r.model.lanes {
		id, end := spool.LaneID(i), c.r.model.lanes[i].durable
		bytes := 1 << c.r.rng.IntN(16)
		for at := spool.Index(0); at < end; {
			next := c.read(id, at, bytes)
			if next <= at {
				differ("reading lane %d from %d on ends at %d of %d", id, at, next, end)
			}
			at = next
		}
		c.read(id, end, bytes)
		if end > 0 {
			c.read(id, spool.Index(c.r.rng.Int64N(int64(end))), bytes)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.notes)) {
		c.note(name)
	}
	c.keys()
}

// keys asks for every idempotency key that a start found.
func (c *comparison) keys() {
	now := c.r.model.Now()
	for _, b := range c.keyed {
		if key, _ := digest(b); c.r.model.known[key] {
			_, _ = c.r.Append(b, now) // what it says was compared
		}
	}
}

func (c *comparison) note(name string) {
	got, ok := c.r.life.store.Note(name)
	want, wanted := c.r.model.Note(name)
	if ok != wanted || !bytes.Equal(got, want) {
		differ("note %q is %q (%v), not %q (%v)", name, got, ok, want, wanted)
	}
}

// read compares entries, not how they are put into sections: what was carried stands otherwise than it came.
func (c *comparison) read(lane spool.LaneID, from spool.Index, size int) spool.Index {
	sections, next, _, err := c.r.life.store.Read(lane, from, size, nil)
	if err != nil {
		differ("lane %d cannot be read from %d on: %v", lane, from, err)
	}
	l, settled := c.r.model.lanes[lane], c.r.model.st.Settled(lane)
	have := map[spool.Index]bool{}
	for i := range sections {
		rest := sections[i].Bytes
		for _, sp := range sections[i].Spans {
			for k := sp.First; k < sp.End; k++ {
				_, after, err := spool.NextEntry(rest)
				if err != nil || sections[i].Lane != lane || k >= l.durable || !bytes.Equal(rest[:len(rest)-len(after)], l.entries[k]) || have[k] {
					differ("entry %d of lane %d, read from %d on, is another one (%v; twice: %v; durable up to %d)", k, lane, from, err, have[k], l.durable)
				}
				have[k], rest = true, after
			}
		}
		if len(rest) > 0 {
			differ("%d bytes behind the entries %v of lane %d", len(rest), sections[i].Spans, lane)
		}
	}
	if next > l.durable || next <= settled.NextAbsent(from) && next < l.durable {
		differ("reading lane %d from %d on ends at %d; durable up to %d, the next that has not left is %d", lane, from, next, l.durable, settled.NextAbsent(from))
	}
	for k := settled.NextAbsent(from); k < next; k = settled.NextAbsent(k + 1) {
		if !have[k] {
			differ("entry %d of lane %d is missing, read from %d to %d", k, lane, from, next)
		}
	}
	return next
}

// places lets the loop tell of the delivery of a batch's entries, each with a number that names its place: the
// batch's tickets must hear of their own entries. Of what has left, a repeat may know that only.
func (c *comparison) places(p *promise) {
	for _, s := range p.receipt.Spots {
		d := spool.Delivery{Lane: s.Lane, Spans: []spool.Span{{First: s.Index, End: s.Index + 1}}, Partition: int32(s.Lane), Offset: protocol.Offset(s.Index), Timestamp: -1}
		c.r.life.store.Resolve(&d)
	}
	for k, s := range p.receipt.Spots {
		a, err, ok := p.tickets.At(k).Poll()
		if ok && err == nil && a.Partition == int32(s.Lane) && a.Offset == protocol.Offset(s.Index) {
			continue
		}
		left, dead := c.r.model.st.Settled(s.Lane).Contains(s.Index), c.r.model.st.DeadLettered(s.Lane, s.Index)
		if ok && p.receipt.Repeat && left && a.Offset == protocol.NoOffset && errors.Is(err, bolt.ErrDeadLettered) == dead {
			continue
		}
		differ("record %d of %v hears %+v, %v (%v): it is at %v (it has left: %v, as a dead letter: %v)", k, p, a, err, ok, s, left, dead)
	}
}

// sight is what one sees who looks at the spool while no process has it.
type sight struct {
	found   *spool.Recovered
	entries map[Spot]string
}

// look looks now and then.
func (c *comparison) look() *sight {
	if !one(c.r.rng, 3) {
		return nil
	}
	in, err := bolt.Look(c.r.dir.spool())
	if len(c.r.model.pairs) == 0 && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		differ("nobody can look at it: %v", err)
	}
	defer in.Close()
	s := &sight{found: in.Recovered, entries: map[Spot]string{}}
	blocks := map[uint64]map[uint64]bool{} // by segment: those with entries that have not left
	err = in.Entries(func(e bolt.EntryInfo) bool {
		s.entries[Spot{e.Lane, e.Index}] = string(e.Raw)
		if blocks[e.Segment] == nil {
			blocks[e.Segment] = map[uint64]bool{}
		}
		blocks[e.Segment][e.Block] = true
		return true
	})
	if err != nil {
		differ("nobody can look at its entries: %v", err)
	}
	compareSegments(in.Segments(), blocks, in.Stats.DeadLetters)
	for i := range c.r.model.lanes {
		lane, l := &s.found.Lanes[i], c.r.model.lanes[i]
		for k := lane.Settled.NextAbsent(0); k < l.durable; k = lane.Settled.NextAbsent(k + 1) {
			at := Spot{lane.ID, k}
			if s.entries[at] != string(l.entries[k]) {
				differ("one who looks sees %q as entry %v, not %q", s.entries[at], at, l.entries[k])
			}
			delete(s.entries, at)
		}
	}
	if len(s.entries) > 0 {
		differ("one who looks sees entries that are not there: %v", s.entries)
	}
	return s
}

// compareSegments finds what is settled and still there. It goes with the commit that settles it; what that commit itself
// carried, or left, goes with the next one. Dead letters hold their blocks.
func compareSegments(list []bolt.SegmentStats, needed map[uint64]map[uint64]bool, dead int) {
	for i, x := range list {
		n := len(needed[x.Number])
		switch {
		case dead == 0 && x.Active && int(x.Blocks) > n+1:
			differ("the active segment %d has %d blocks, and %d have entries that have not left", x.Number, x.Blocks, n)
		case dead == 0 && !x.Active && n == 0 && i < len(list)-2:
			differ("segment %d is on the list, and all of its entries have left", x.Number)
		}
	}
}

// compare compares what was seen with what the next start finds.
func (s *sight) compare(want *spool.Recovered) {
	if s == nil {
		return
	}
	s.found.Incarnation++
	if text := sameRecovered(s.found, want); text != "" {
		differ("one who looks sees %s", text)
	}
}

// sameRecovered says where two starts differ; the spool's id is drawn.
func sameRecovered(got, want *spool.Recovered) string {
	type field struct {
		name      string
		got, want any
	}
	for _, f := range []field{
		{"incarnation", got.Incarnation, want.Incarnation}, {"cluster", got.ClusterID, want.ClusterID}, {"producer id", got.Former, want.Former},
		{"stop", got.Stopped, want.Stopped}, {"counters", got.Counters, want.Counters}, {"number of lanes", len(got.Lanes), len(want.Lanes)},
		{"partitions", got.Partitions, want.Partitions}, {"seals", got.Seals, want.Seals},
	} {
		if a, b := fmt.Sprintf("%+v", f.got), fmt.Sprintf("%+v", f.want); a != b {
			return fmt.Sprintf("%s %s, not %s", f.name, a, b)
		}
	}
	for i := range want.Lanes {
		a, b := describeLane(&got.Lanes[i]), describeLane(&want.Lanes[i])
		if a != b {
			return fmt.Sprintf("lane %s, not %s", a, b)
		}
	}
	return ""
}

func describeLane(l *spool.Lane) string {
	out := fmt.Sprintf("%d %q %v up to %d, %+v %+v, left", l.ID, l.Topic, l.TopicID, l.End, l.Facts, l.Counters)
	l.Settled.Spans(func(s spool.Span) bool {
		out += " " + s.String()
		return true
	})
	return out
}
