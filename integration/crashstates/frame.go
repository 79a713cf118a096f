package crashstates

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"

	"github.com/spoold/spoold/integration/powercut"
)

// frame is all that waits at one moment, in the pieces that a power cut keeps or loses.
type frame struct {
	files  []*fileFrame // of the directory, also those of which nothing waits
	units  []unit       // in the order of the changes
	groups []group      // the units of each change
	slots  []slot

	now []cell // of each slot, by the last sum
	buf []byte // for cells that no write has whole
}

// unit is one of these pieces: a sector of a write, a new size, a change of a name. Sectors that change nothing are left out; those
// that only make the file longer are one unit together, of which the first few may be kept.
type unit struct {
	file  *fileFrame
	kind  Kind
	slot  int     // of a write
	at    int     // in the sector
	data  []byte  // of a write
	whole uint64  // the sum, if data is the whole sector
	end   int64   // of a write: where it ends in the file; else the new size
	ends  []int64 // where sectors that only make the file longer end
	to    string  // of a change of a name
}

// choices is in how many ways a unit can be kept.
func (u *unit) choices() int { return max(1, len(u.ends)) }

// choice is the value of Kept that is way number n, from 1 on.
func (u *unit) choice(n int) uint8 {
	if n == 0 || n < u.choices() {
		return uint8(n)
	}
	return whole
}

// group are the units of one change.
type group struct {
	seq      int
	from, to int // units
	kind     string
}

// slot is a sector that a unit may change.
type slot struct {
	file *fileFrame
	at   int64 // sector
	safe []byte
	sum  uint64 // of safe
}

// cell is what a slot holds.
type cell struct {
	data []byte // nil: what is safe
	sum  uint64
}

// fileFrame is a file in a frame, and what the last sum made of it.
type fileFrame struct {
	*powercut.File
	sum     uint64 // of what is safe
	slots   []int  // ascending by sector
	resized bool   // a new size waits
	least   int64  // the smallest size that it may have
	longer  bool   // a write waits that may make it longer
	nameNow string
	sizeNow int64
	sumNow  uint64
	stopped bool // the rest of the changes of its name is lost
}

// Kept says of each unit what is kept: 0 nothing, whole all, k the first 8*k bytes of a sector, or the first k sectors.
type Kept []uint8

const whole = 255

// frame takes d apart.
func (d *Disk) frame() *frame {
	fr := &frame{}
	byFile := map[*powercut.File]*fileFrame{}
	for _, f := range d.Files {
		x := &fileFrame{File: f, sum: d.sumOfFile(f), least: f.Size}
		fr.files = append(fr.files, x)
		byFile[f] = x
	}
	type waiting struct {
		c *powercut.Change
		m *powercut.Move
		f *fileFrame
	}
	var all []waiting
	for _, x := range fr.files {
		for _, c := range x.Pending {
			all = append(all, waiting{c: c, f: x})
		}
	}
	for _, m := range d.Moves {
		all = append(all, waiting{m: m, f: byFile[m.File]})
	}
	seq := func(w waiting) int {
		if w.c != nil {
			return w.c.Seq
		}
		return w.m.Seq
	}
	slices.SortFunc(all, func(a, b waiting) int { return cmp.Compare(seq(a), seq(b)) })
	b := builder{fr: fr, slots: map[slotKey]*versions{}}
	for _, w := range all {
		g := group{seq: seq(w), from: len(fr.units)}
		if w.c != nil {
			g.kind = w.c.Kind.String()
			b.change(w.f, w.c)
		} else {
			g.kind = w.m.Kind()
			fr.units = append(fr.units, unit{file: w.f, kind: Rename, to: w.m.To})
		}
		if g.to = len(fr.units); g.to > g.from {
			fr.groups = append(fr.groups, g)
		}
	}
	for _, x := range fr.files {
		slices.SortFunc(x.slots, func(i, k int) int { return cmp.Compare(fr.slots[i].at, fr.slots[k].at) })
	}
	fr.now = make([]cell, len(fr.slots))
	return fr
}

type slotKey struct {
	f  *powercut.File
	at int64
}

// versions are what a sector may hold. many: it may also be cut off, and all that follows counts.
type versions struct {
	slot int
	seen [][]byte
	many bool
}

// builder collects units and slots.
type builder struct {
	fr    *frame
	slots map[slotKey]*versions
}

func (b *builder) slot(f *fileFrame, at int64) *versions {
	key := slotKey{f.File, at}
	v := b.slots[key]
	if v == nil {
		safe := safe(f.File, at)
		v = &versions{slot: len(b.fr.slots), seen: [][]byte{safe}}
		b.slots[key] = v
		b.fr.slots = append(b.fr.slots, slot{f, at, safe, sumOf(at, safe)})
		f.slots = append(f.slots, v.slot)
	}
	return v
}

func (b *builder) change(f *fileFrame, c *powercut.Change) {
	switch c.Kind {
	case powercut.Truncate:
		if !f.resized && !f.longer && c.Size == f.Size {
			return
		}
		for at := c.Size / sector; at*sector < int64(len(f.Data)); at++ {
			b.slot(f, at).many = true // it may become zero
		}
		for _, i := range f.slots {
			if s := &b.fr.slots[i]; (s.at+1)*sector > c.Size {
				b.slot(f, s.at).many = true
			}
		}
		f.resized, f.least = true, min(f.least, c.Size)
		b.fr.units = append(b.fr.units, unit{file: f, kind: Truncate, end: c.Size})
		return
	case powercut.Allocate:
		if !f.resized && c.Size <= f.Size {
			return
		}
		f.resized = true
		b.fr.units = append(b.fr.units, unit{file: f, kind: Allocate, end: c.Size})
		return
	}
	f.longer = f.longer || c.Off+int64(len(c.Data)) > f.Size
	longer := unit{file: f, kind: Allocate}
	for from := c.Off; from < c.Off+int64(len(c.Data)); {
		at := from / sector
		to := min((at+1)*sector, c.Off+int64(len(c.Data)))
		if !c.Over[at] && !b.sector(f, c, at, from, to) && to > f.least {
			longer.ends = append(longer.ends, to)
		}
		from = to
	}
	for len(longer.ends) >= whole {
		longer.ends = longer.ends[1:]
	}
	if n := len(longer.ends); n > 0 {
		longer.end = longer.ends[n-1]
		b.fr.units = append(b.fr.units, longer)
	}
}

// sector adds one sector of a write, and reports whether what is in it can make a difference.
func (b *builder) sector(f *fileFrame, c *powercut.Change, at, from, to int64) bool {
	data := c.Data[from-c.Off : to-c.Off]
	v := b.slot(f, at)
	u := unit{file: f, kind: Write, slot: v.slot, at: int(from % sector), data: data, end: to}
	if len(data) == sector {
		u.whole = sumOf(at, data)
	}
	if !v.many && !slices.ContainsFunc(v.seen, func(s []byte) bool { return !bytes.Equal(s, data) }) {
		return false
	}
	v.seen = append(v.seen, data)
	b.fr.units = append(b.fr.units, u)
	return true
}

// sum works out what is left when kept is, and gives a number that is the same for the same state, and
// for no other one (but by a chance of one in 2^64). What it worked out stays until the next call.
func (fr *frame) sum(kept Kept) uint64 {
	for i := range fr.slots {
		fr.now[i] = cell{nil, fr.slots[i].sum}
	}
	fr.buf = fr.buf[:0]
	for _, f := range fr.files {
		f.nameNow, f.sizeNow, f.stopped = f.Name, f.Size, false
	}
	for i := range fr.units {
		u := &fr.units[i]
		f := u.file
		switch {
		case u.kind == Rename:
			if f.stopped = f.stopped || kept[i] == 0; !f.stopped {
				f.nameNow = u.to
			}
		case kept[i] == 0:
		case u.kind == Truncate:
			if f.sizeNow = u.end; len(f.slots) > 0 {
				fr.cutOff(f)
			}
		case u.kind == Allocate && kept[i] != whole:
			f.sizeNow = max(f.sizeNow, u.ends[kept[i]-1])
		case u.kind == Allocate:
			f.sizeNow = max(f.sizeNow, u.end)
		case kept[i] == whole && len(u.data) == sector:
			fr.now[u.slot] = cell{u.data, u.whole}
			f.sizeNow = max(f.sizeNow, u.end)
		default:
			n := len(u.data)
			if kept[i] != whole {
				n = min(n, 8*int(kept[i]))
			}
			b := fr.patched(u.slot)
			copy(b[u.at:], u.data[:n])
			fr.now[u.slot] = cell{b, sumOf(fr.slots[u.slot].at, b)}
			f.sizeNow = max(f.sizeNow, u.end-int64(len(u.data)-n))
		}
	}
	total := uint64(0)
	for _, f := range fr.files {
		f.sumNow = f.sum
		for _, i := range f.slots {
			f.sumNow += fr.now[i].sum - fr.slots[i].sum
		}
		if f.nameNow != "" {
			total += mix(maphash.String(sumSeed, f.nameNow) ^ mix(f.sumNow+mix(uint64(f.sizeNow))))
		}
	}
	return total
}

// patched is a copy of what a slot holds, to be changed.
func (fr *frame) patched(i int) []byte {
	from := fr.now[i].data
	if from == nil {
		from = fr.slots[i].safe
	}
	if cap(fr.buf)-len(fr.buf) < sector {
		fr.buf = make([]byte, 0, 16*sector+2*cap(fr.buf)) // cells keep the old one
	}
	fr.buf = append(fr.buf, from...)
	return fr.buf[len(fr.buf)-sector:]
}

// cutOff makes zero what is behind the end of a file.
func (fr *frame) cutOff(f *fileFrame) {
	for _, i := range f.slots {
		s := &fr.slots[i]
		if (s.at+1)*sector > f.sizeNow {
			b := fr.patched(i)
			clear(b[max(0, f.sizeNow-s.at*sector):])
			fr.now[i] = cell{b, sumOf(s.at, b)}
		}
	}
}

// shown calls yield with each file that has a name in the state of the last sum. Of two that have one name, the later counts.
func (fr *frame) shown(yield func(f *fileFrame)) {
	for i, f := range fr.files {
		hidden := slices.ContainsFunc(fr.files[i+1:], func(g *fileFrame) bool { return g.nameNow == f.nameNow })
		if f.nameNow != "" && !hidden {
			yield(f)
		}
	}
}

// images is the state of the last sum.
func (fr *frame) images() map[string]Image {
	out := map[string]Image{}
	fr.shown(func(f *fileFrame) {
		data := padded(slices.Clone(f.Data), 0)
		for _, i := range f.slots {
			if at := fr.slots[i].at * sector; fr.now[i].data != nil {
				data = padded(data, at+sector)
				copy(data[at:], fr.now[i].data)
			}
		}
		out[f.nameNow] = image(data, f.sizeNow)
	})
	return out
}
