package spool

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"slices"
)

// A dead letter is an entry that the cluster refused for good. It has left the lane, as counters and the lane's reader
// see it, but it is held: it stays in its block and is carried like any other, until it is dropped or replayed. That it is
// one is a bit in the state; why is a Mark, beside the idempotency keys of the commit that made it one.

// Mark says why an entry is a dead letter. It counts while the entry is one.
type Mark struct {
	DeadLetter
	Serial uint64 // rises with every dead letter of the spool
	Bytes  int64  // of the entry
}

// Gone says which entries of a lane are needed no more: they have left, and are not dead letters.
type Gone struct {
	settled *Set
	dead    deadSet
}

// Contains reports whether entry i is needed no more.
func (g Gone) Contains(i Index) bool { return g.settled.Contains(i) && !g.dead.contains(i) }

// CountIn is how many entries of sp are needed no more.
func (g Gone) CountIn(sp Span) int { return g.settled.CountIn(sp) - g.dead.countIn(sp) }

// deadSet is a set of a few indexes anywhere in a lane, by chunks. None of them is empty.
type deadSet map[uint64]*chunk

func (d deadSet) contains(i Index) bool {
	c := d[uint64(i)>>chunkShift]
	return c != nil && c[i%chunkBits/64]&(1<<(i%64)) != 0
}

func (d deadSet) add(i Index) bool {
	key := uint64(i) >> chunkShift
	if d[key] == nil {
		d[key] = new(chunk)
	}
	was := d.contains(i)
	d[key][i%chunkBits/64] |= 1 << (i % 64)
	return !was
}

func (d deadSet) remove(i Index) bool {
	if !d.contains(i) {
		return false
	}
	key := uint64(i) >> chunkShift
	d[key][i%chunkBits/64] &^= 1 << (i % 64)
	if *d[key] == (chunk{}) {
		delete(d, key)
	}
	return true
}

func (d deadSet) countIn(sp Span) (n int) {
	for key, c := range d {
		base := Index(key << chunkShift)
		if base >= sp.End || base+chunkBits <= sp.First {
			continue
		}
		if sp.First <= base && base+chunkBits <= sp.End {
			for _, w := range c {
				n += bits.OnesCount64(w)
			}
			continue
		}
		for i := max(base, sp.First); i < min(base+chunkBits, sp.End); i++ {
			if c[i%chunkBits/64]&(1<<(i%64)) != 0 {
				n++
			}
		}
	}
	return n
}

// each calls yield with all indexes of one chunk, ascending.
func (c *chunk) each(yield func(offset uint16)) {
	for i, w := range c {
		for ; w != 0; w &= w - 1 {
			yield(uint16(i*64 + bits.TrailingZeros64(w)))
		}
	}
}

// Gone says which entries of the lane are needed no more. It changes with the state.
func (st *State) Gone(id LaneID) Gone { return Gone{st.lanes[id].settled, st.lanes[id].dead} }

// DeadLetters is how many there are.
func (st *State) DeadLetters() int { return st.deadCount + len(st.legacy) }

// DeadLettered reports whether an entry is among the dead letters.
func (st *State) DeadLettered(id LaneID, i Index) bool {
	_, ok := st.legacy[deadRef{id, i}]
	return ok || st.lanes[id].dead.contains(i)
}

// EachDead calls yield with every dead letter of a lane, ascending.
func (st *State) EachDead(id LaneID, yield func(Index)) {
	d := st.lanes[id].dead
	for _, key := range slices.Sorted(maps.Keys(d)) {
		d[key].each(func(offset uint16) { yield(Index(key<<chunkShift) + Index(offset)) })
	}
}

// NextSerial gives the next dead letter its number.
func (st *State) NextSerial(out *Changes) uint64 {
	st.serial++
	e := newEnc()
	e.u64(st.serial)
	out.put([]byte{prefixSerial}, e.b)
	return st.serial
}

// PutDead makes a settled entry a dead letter.
func (st *State) PutDead(id LaneID, i Index) {
	l := st.lanes[id]
	if l.dead == nil {
		l.dead = make(deadSet)
	}
	if l.dead.add(i) {
		st.deadCount++
		l.deadCount++
		l.deadChanged(i)
	}
}

// ClearDead makes a dead letter an entry that is needed no more, and reports whether it was one.
func (st *State) ClearDead(id LaneID, i Index) bool {
	if int(id) >= len(st.lanes) || !st.lanes[id].dead.remove(i) {
		return false
	}
	st.deadCount--
	st.lanes[id].deadCount--
	st.lanes[id].deadChanged(i)
	st.lanes[id].leftOtherwise(Span{i, i + 1}, OutcomeDeadLettered)
	return true
}

func (l *laneState) deadChanged(i Index) {
	if l.dirtyDead == nil {
		l.dirtyDead = make(map[uint64]struct{})
	}
	l.dirtyDead[uint64(i)>>chunkShift] = struct{}{}
	l.dirty = true
}

// flushDead adds the chunks of dead letters that have changed: see chunk.encode.
func (l *laneState) flushDead(out *Changes) {
	for _, key := range slices.Sorted(maps.Keys(l.dirtyDead)) {
		c := l.dead[key]
		if c == nil {
			out.delete(deadChunkKey(l.id, key))
			continue
		}
		out.put(deadChunkKey(l.id, key), c.encode())
	}
	clear(l.dirtyDead)
}

func deadChunkKey(id LaneID, chunk uint64) []byte {
	return binary.BigEndian.AppendUint64(key32(prefixDeadChunk, id), chunk)
}

// loadDead puts in what flushDead wrote: of entries that have left.
func (st *State) loadDead(l *laneState, key uint64, b []byte) error {
	bad := fmt.Errorf("%w: dead letters %d of lane %d", errValue, key, l.id)
	c, ok := decodeChunk(b)
	if !ok || key > uint64(l.end)>>chunkShift {
		return bad
	}
	all := true
	c.each(func(offset uint16) {
		i := Index(key<<chunkShift) + Index(offset)
		if all = all && i < l.end && l.settled.Contains(i); all {
			st.PutDead(l.id, i)
		}
	})
	if !all {
		return bad
	}
	clear(l.dirtyDead)
	return nil
}

// Former dead letters are those of format version 1, which kept copies of them in the state.

// FormerDead gives a few of them.
func (st *State) FormerDead(most int) (out []FormerDead) {
	for ref := range st.legacy {
		out = append(out, FormerDead{ref.lane, ref.index})
		if len(out) == most {
			break
		}
	}
	slices.SortFunc(out, func(a, b FormerDead) int {
		if a.Lane != b.Lane {
			return int(a.Lane) - int(b.Lane)
		}
		return int(a.Index) - int(b.Index)
	})
	return out
}

// FormerDead names a dead letter of format version 1.
type FormerDead struct {
	Lane  LaneID
	Index Index
}

// Key is that of its pair.
func (f FormerDead) Key() []byte { return deadKey(f.Lane, f.Index) }

// Decode reads the value of its pair: why, and the entry.
func (f FormerDead) Decode(value []byte) (DeadLetter, []byte, error) {
	v := dec{b: value, what: "dead letter"}
	d, entry := decodeDeadLetter(&v)
	d.Lane, d.Index = f.Lane, f.Index
	return d, entry, v.done()
}

// MoveDead makes one of them a dead letter of this version.
func (st *State) MoveDead(f FormerDead, out *Changes) {
	delete(st.legacy, deadRef{f.Lane, f.Index})
	out.delete(f.Key())
	st.PutDead(f.Lane, f.Index)
}

// HasFormerDead reports whether there are any.
func (st *State) HasFormerDead() bool { return len(st.legacy) > 0 }
