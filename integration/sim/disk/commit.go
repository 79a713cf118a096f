package disk

import (
	"encoding/binary"
	"fmt"
	"slices"
	"syscall"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// Append implements Disk.
func (m *Model) Append(b *bolt.BatchInput, now spool.Time) (Receipt, error) {
	var rec *spool.KeyRecord
	if b.Key != "" {
		key, body := digest(b)
		hit, verdict := m.index.Find(key, body, now.Age)
		switch verdict {
		case spool.KeyRepeat:
			return m.found(b, hit), nil
		case spool.KeyReused:
			return Receipt{}, ErrKeyReused
		case spool.KeyNoRoom:
			return Receipt{}, ErrKeyWindow
		}
		rec = &spool.KeyRecord{Digest: key, Body: body, Age: now.Age}
	}
	if m.live >= m.rules.MaxBytes {
		return Receipt{}, ErrFull
	}
	it := item{batch: b, spots: make([]Spot, 0, len(b.Records)), entries: make([][]byte, 0, len(b.Records))}
	unit := unitOf(b, func(topic string) *end { return m.lane(&it, topic) })
	for i := range b.Records {
		m.appendRecord(&it, &b.Records[i], now, rec, unit)
	}
	if rec != nil {
		it.key, it.keyBlock = rec, m.groupBlock()
		m.index.Add(*rec, it.keyBlock)
	}
	m.open.items = append(m.open.items, it)
	return Receipt{Group: m.open.number, Spots: it.spots}, nil
}

// groupBlock is the block that the open group's keys go to.
func (m *Model) groupBlock() *spool.KeyBlock {
	for i := range m.open.items {
		if b := m.open.items[i].keyBlock; b != nil {
			return b
		}
	}
	return new(spool.KeyBlock)
}

func (m *Model) appendRecord(it *item, r *bolt.RecordInput, now spool.Time, key *spool.KeyRecord, unit []spool.UnitRun) {
	e := m.lane(it, r.Topic)
	raw := encode(r, now, unitAt(unit, e))
	it.entries = append(it.entries, raw)
	it.spots = append(it.spots, Spot{e.id, e.next})
	m.live += int64(len(raw))
	if key != nil {
		run := -1
		for i := range key.Runs {
			if key.Runs[i].Lane == e.id {
				run = i
			}
		}
		if run < 0 {
			key.Runs = append(key.Runs, spool.KeyRun{Lane: e.id, First: e.next})
			run = len(key.Runs) - 1
		}
		key.Runs[run].Count++
	}
	e.next++
}

func encode(r *bolt.RecordInput, now spool.Time, unit []spool.UnitRun) []byte {
	ts := r.Timestamp
	if ts == bolt.NoTimestamp {
		ts = now.Wall
	}
	size := spool.BodySize(r.Key, r.Value, r.Headers)
	if unit != nil {
		return spool.AppendUnitEntry(nil, unit, ts, r.Partition, r.Key, r.Value, r.Headers, size)
	}
	return spool.AppendEntry(make([]byte, 0, size+32), ts, r.Partition, r.Key, r.Value, r.Headers, size)
}

// found is the receipt of a repeat: where the first one is, and what makes it durable.
func (m *Model) found(b *bolt.BatchInput, hit spool.KeyHit) Receipt {
	r := Receipt{Repeat: true}
	next := map[spool.LaneID]spool.Index{}
	for _, run := range hit.Runs {
		next[run.Lane] = run.First
	}
	for i := range b.Records {
		lane := m.ends[b.Records[i].Topic].id
		r.Spots = append(r.Spots, Spot{lane, next[lane]})
		next[lane]++
	}
	if hit.Block.Number == 0 { // its commit has not begun
		r.Group = m.open.number
	} else if m.taken != nil && hit.Block.Number == m.taken.number {
		r.Group = m.taken.group
	}
	return r
}

// Begin implements Disk.
func (m *Model) Begin(writes []*spool.Write, now spool.Time) {
	g := m.open
	m.open = m.newGroup()
	if len(g.items) > 0 || len(writes) > 0 {
		m.taken = m.stage(g.number, g.items, writes, now)
	}
}

// stage applies to the state in memory what a commit says, and composes what goes to the disk.
func (m *Model) stage(group uint64, items []item, writes []*spool.Write, now spool.Time) *stage {
	m.block++
	s := &stage{number: m.block, group: group, items: items, writes: writes, age: now.Age, boot: m.clock.Boot()}
	m.index.Expire(m.now())
	s.gone = m.index.TakeEmptied()
	must := func(err error) {
		if err != nil {
			panic(fmt.Sprintf("disk: a commit speaks of what does not exist: %v", err))
		}
	}
	var keys []spool.KeyRecord
	for i := range items {
		it := &items[i]
		for _, l := range it.lanes {
			must(m.st.AddLane(l, &s.changes))
			s.events.Lanes = append(s.events.Lanes, l)
			m.lanes = append(m.lanes, &laneLog{topic: l.Topic})
		}
		for k, spot := range it.spots {
			m.lanes[spot.Lane].entries = append(m.lanes[spot.Lane].entries, it.entries[k])
			m.st.Append(spot.Lane, 1)
			s.section(spot, it.entries[k], items[i:])
		}
		for _, n := range it.batch.Notes {
			m.st.PutNote(n.Name, n.Value, &s.changes)
		}
		if it.key != nil {
			keys = append(keys, *it.key)
			it.keyBlock.Number, it.keyBlock.Segment = s.number, 1
		}
	}
	for _, w := range writes {
		m.settled(w)
		must(m.st.Apply(w, &s.changes))
		s.events.Writes = w.ID
	}
	m.st.Flush(&s.changes)
	if len(keys) > 0 {
		s.keys = spool.EncodeKeys(s.number, keys, nil)
	}
	return s
}

// section adds an entry to what the core will be told. rest is what may hold more of its lane.
func (s *stage) section(spot Spot, raw []byte, rest []item) {
	for i := range s.events.Sections {
		if sec := &s.events.Sections[i]; sec.Lane == spot.Lane {
			sec.Spans[0].End++
			sec.Bytes = append(sec.Bytes, raw...)
			return
		}
	}
	s.events.Sections = append(s.events.Sections, spool.Section{Lane: spot.Lane, Spans: []spool.Span{{First: spot.Index, End: spot.Index + 1}}, Bytes: append(make([]byte, 0, bytesOf(spot.Lane, rest)), raw...)})
}

// bytesOf is how long the entries of a lane are together.
func bytesOf(lane spool.LaneID, items []item) (n int) {
	for i := range items {
		for k, spot := range items[i].spots {
			if spot.Lane == lane {
				n += len(items[i].entries[k])
			}
		}
	}
	return n
}

// settled gives the room back that a Write frees.
func (m *Model) settled(w *spool.Write) {
	for i := range w.Settle {
		x := &w.Settle[i]
		set := m.st.Settled(x.Lane)
		for _, sp := range x.Spans {
			for k := sp.First; k < sp.End; k++ {
				if !set.Contains(k) && int(k) < len(m.lanes[x.Lane].entries) {
					m.live -= int64(len(m.lanes[x.Lane].entries[k]))
				}
			}
		}
	}
}

// put changes pairs on the disk.
func (m *Model) put(c *spool.Changes) {
	for _, kv := range c.List {
		if kv.Value == nil {
			delete(m.pairs, string(kv.Key))
		} else {
			m.pairs[string(kv.Key)] = kv.Value
		}
	}
}

// durable carries a stage to the disk.
func (m *Model) durable(s *stage) {
	m.put(&s.changes)
	m.age, m.boot, m.boots = s.age, s.boot, m.clock.Boots
	for i := range s.events.Sections {
		sec := &s.events.Sections[i]
		l := m.lanes[sec.Lane]
		l.durable = sec.Spans[0].End
		l.blocks = append(l.blocks, sec.Spans[0])
	}
	for _, b := range s.gone {
		delete(m.keys, b.Number)
	}
	if len(m.keys) == 0 {
		m.keyBytes = 0
	}
	if s.keys != nil {
		m.keys[s.number] = s.keys
		m.keyBytes += int64(len(s.keys)) + 64
	}
	m.tell(s)
}

func (m *Model) tell(s *stage) {
	if m.told != nil {
		m.told(s.batches(), s.writes)
	}
}

func (s *stage) batches() (list []DurableBatch) {
	for i := range s.items {
		it := &s.items[i]
		b := DurableBatch{Batch: it.batch, Spots: it.spots, Timestamps: make([]int64, 0, len(it.entries))}
		for _, raw := range it.entries {
			e, _, err := spool.NextEntry(raw)
			if err != nil {
				panic(fmt.Sprintf("disk: an entry that was just made cannot be read: %v", err))
			}
			b.Timestamps = append(b.Timestamps, e.Timestamp)
		}
		list = append(list, b)
	}
	return list
}

// Finish implements Disk.
func (m *Model) Finish() []Commit {
	s := m.taken
	if s == nil {
		return nil
	}
	m.durable(s)
	m.taken = nil
	m.kept = append(m.kept, s.group)
	return []Commit{{s.group, s.events}}
}

// Answered implements Disk.
func (m *Model) Answered() []uint64 {
	list := m.kept
	m.kept = nil
	return list
}

// interrupt ends the commit under way; memory goes with it.
func (m *Model) interrupt(durable bool) {
	if durable && m.taken != nil {
		m.durable(m.taken)
	}
	m.drop()
}

// Fail implements Disk.
func (m *Model) Fail(durable, full bool) error {
	m.interrupt(durable)
	return failure(full)
}

func failure(full bool) error {
	if full {
		return &bolt.SpaceError{Err: syscall.ENOSPC}
	}
	return fmt.Errorf("%w: %w", bolt.ErrPoisoned, syscall.EIO)
}

// Read implements Disk. A block is given whole, as spool/bolt does: it may begin below from, and some of it may have left.
func (m *Model) Read(lane spool.LaneID, from spool.Index, bytes int) (out []spool.Section, next spool.Index, err error) {
	l := m.lanes[lane]
	settled := m.st.Settled(lane)
	next = min(settled.NextAbsent(from), l.durable)
	k, _ := slices.BinarySearchFunc(l.blocks, next, func(b spool.Span, at spool.Index) int {
		if b.End <= at {
			return -1
		}
		return 1
	})
	for size := 0; k < len(l.blocks) && size < bytes; k++ {
		b := l.blocks[k]
		if next = min(settled.NextAbsent(next), l.durable); next >= b.End {
			continue
		}
		sec := spool.Section{Lane: lane, Spans: []spool.Span{b}}
		room := 0
		for i := b.First; i < b.End; i++ {
			room += len(l.entries[i])
		}
		sec.Bytes = make([]byte, 0, room)
		for i := b.First; i < b.End; i++ {
			sec.Bytes = append(sec.Bytes, l.entries[i]...)
		}
		size += len(sec.Bytes)
		out, next = append(out, sec), b.End
	}
	return out, next, nil
}

func laneKey(id int) []byte { return binary.BigEndian.AppendUint32([]byte{'l'}, uint32(id)) }
