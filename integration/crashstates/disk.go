package crashstates

import (
	"bytes"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"

	"github.com/spoold/spoold/integration/powercut"
)

const (
	sector = powercut.Sector
	page   = 4096 // what the page cache keeps, and forgets, as one
)

// Lies are promises that the disk does not keep, to see that the checks bite.
type Lies struct {
	FileSync bool // a sync of a file does nothing
	DirSync  bool // a sync of the directory does nothing
}

// Disk replays a trace, and knows at each line what is safe and what is not.
type Disk struct {
	Marks []Event // that have begun, in order

	lies   Lies
	dir    string
	issued []Event // not begun yet: by Start
	ending []Event // syncs, not ended yet: by End
	files  []*file
	names  map[string]*file // as the processes see it
	moves  []*move          // of names, since the last sync of the directory
	line   int
	seq    int // of the last change
	base   int // how often something became safe, or was lost for good
}

// file is an inode. What is safe of it is data, made up with zeros to whole sectors.
type file struct {
	data    []byte
	size    int64
	sum     uint64 // of data's sectors
	pending []*change
	name    string // under which it is safe; "": none
}

// change is a write, or a new size, that no sync has made safe.
type change struct {
	Event
	seq int
	// lost: a sync that covered it has failed. The page cache holds it, and takes it for written: no
	// later sync writes it.
	lost bool
	over map[int64]bool // its sectors that a later write has replaced for good
}

// move is a change of a file's name. "" as from: it is made; as to: it is unlinked.
type move struct {
	file       *file
	from, to   string
	start, end int // lines
	seq        int
}

// Image is a file as the power cut left it.
type Image struct {
	Data []byte // the beginning; the rest up to Size is zero
	Size int64
}

// NewDisk begins at a directory that holds before, all of it safe.
func NewDisk(dir string, before map[string]Image, events []Event, lies Lies) *Disk {
	d := &Disk{lies: lies, dir: dir, issued: events, names: map[string]*file{}}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		f := &file{name: name}
		f.put(bytes.Clone(before[name].Data), before[name].Size)
		d.files = append(d.files, f)
		d.names[name] = f
	}
	for i := range events {
		if e := &events[i]; e.isSync() && e.End != never {
			d.ending = append(d.ending, *e)
		}
	}
	slices.SortFunc(d.ending, func(a, b Event) int { return a.End - b.End })
	return d
}

// Advance goes on until everything that began at line or before has begun.
func (d *Disk) Advance(line int) {
	for d.line < line {
		d.line++
		for len(d.ending) > 0 && d.ending[0].End <= d.line {
			d.sync(&d.ending[0])
			d.ending = d.ending[1:]
		}
		for len(d.issued) > 0 && d.issued[0].Start <= d.line {
			d.issue(&d.issued[0])
			d.issued = d.issued[1:]
		}
	}
}

func (d *Disk) issue(e *Event) {
	name := filepath.Base(e.Path)
	f := d.names[name]
	switch e.Kind {
	case Mark:
		d.Marks = append(d.Marks, *e)
	case Restart:
		d.restart(e.Warm, e.Seed)
	case Create:
		if f == nil {
			f = new(file)
			d.files = append(d.files, f)
			d.names[name] = f
			d.move(f, "", name, e)
		}
	case Rename:
		to := filepath.Base(e.NewPath)
		delete(d.names, name)
		d.names[to] = f
		d.move(f, name, to, e)
	case Unlink:
		if f != nil {
			delete(d.names, name)
			d.move(f, name, "", e)
		}
	case Write, Truncate, Allocate:
		if f != nil {
			d.seq++
			f.pending = append(f.pending, &change{Event: *f.whole(e), seq: d.seq})
		}
	}
}

func (d *Disk) move(f *file, from, to string, e *Event) {
	d.seq++
	d.moves = append(d.moves, &move{file: f, from: from, to: to, start: e.Start, end: e.End, seq: d.seq})
}

// whole makes a write one of whole pages if one of them may have been forgotten by a sync that failed: the page
// cache writes pages, and the next sync writes this one with all that is on it.
func (f *file) whole(e *Event) *Event {
	if e.Kind != Write || !slices.ContainsFunc(f.pending, func(c *change) bool { return c.lost }) {
		return e
	}
	from, to := e.Off/page*page, (e.Off+int64(len(e.Data))+page-1)/page*page
	data, size := f.visible()
	data, size = apply(data, size, e, nil)
	w := *e
	w.Off, w.Data = from, slices.Clone(padded(data, to)[from:min(to, size)])
	return &w
}

// sync makes safe what had ended before it began, or loses it.
func (d *Disk) sync(e *Event) {
	if e.Path == d.dir {
		if e.Kind == FailedSync || d.lies.DirSync {
			return // a directory is in the journal: what failed now is written by the next sync
		}
		d.moves = slices.DeleteFunc(d.moves, func(m *move) bool {
			if m.end < e.Start {
				m.file.name = m.to
				d.base++
			}
			return m.end < e.Start
		})
		return
	}
	f := d.names[filepath.Base(e.Path)]
	if f == nil || d.lies.FileSync {
		return
	}
	if e.Kind == FailedSync {
		for _, c := range f.pending {
			c.lost = c.lost || c.Kind == Write && c.End < e.Start
		}
		return
	}
	f.pending = slices.DeleteFunc(f.pending, func(c *change) bool {
		if c.End >= e.Start || c.lost {
			return false
		}
		d.base++
		f.secure(c)
		return true
	})
}

// secure makes a change safe. What was lost before it in the same place does not come back.
func (f *file) secure(c *change) {
	data, size := apply(f.data, f.size, &c.Event, c.keep)
	f.put(data, size)
	if c.Kind != Write {
		return
	}
	for _, older := range f.pending {
		if older.lost && older.seq < c.seq {
			older.replaced(c)
		}
	}
}

func (c *change) keep(at int64) bool { return !c.over[at] }

// replaced says that the sectors that both have are w's from now on.
func (c *change) replaced(w *change) {
	if c.over == nil {
		c.over = map[int64]bool{}
	}
	for at := w.Off / sector; at*sector < w.Off+int64(len(w.Data)); at++ {
		c.over[at] = true
	}
}

// restart is what happens between the end of a process and the start of the next one on the same host. Warm: it reads what
// the page cache holds, also what a failed sync has lost. Else the cache was dropped, and it reads what the disk holds:
// some of the lost sectors, all the others. (What no sync has covered is still to be written: that it reads in any case.)
func (d *Disk) restart(warm bool, seed uint64) {
	if warm {
		return
	}
	rng := rand.New(rand.NewPCG(seed, 3))
	for _, f := range d.files {
		share := rng.IntN(3) // of the lost sectors that arrived: none, about half, all
		f.pending = slices.DeleteFunc(f.pending, func(c *change) bool {
			if c.lost {
				d.base++
				data, size := apply(f.data, f.size, &c.Event, func(at int64) bool {
					return c.keep(at) && (share == 2 || share == 1 && rng.IntN(2) == 0)
				})
				f.put(data, size)
			}
			return c.lost
		})
	}
}

// Visible is what a process reads now.
func (d *Disk) Visible() map[string]Image {
	out := map[string]Image{}
	for name, f := range d.names {
		data, size := f.visible()
		out[name] = image(data, size)
	}
	return out
}

func (f *file) visible() ([]byte, int64) {
	data, size := slices.Clone(f.data), f.size
	for _, c := range f.pending {
		data, size = apply(data, size, &c.Event, c.keep)
	}
	return data, size
}

func image(data []byte, size int64) Image {
	return Image{bytes.TrimRight(data[:min(int64(len(data)), size)], "\x00"), size}
}

// put sets what is safe.
func (f *file) put(data []byte, size int64) {
	f.data, f.size, f.sum = padded(data, 0), size, 0
	for at := int64(0); at < int64(len(f.data)); at += sector {
		f.sum += sumOf(at/sector, f.data[at:at+sector])
	}
}

// padded is data with zeros behind it: at least so long, and whole sectors.
func padded(data []byte, least int64) []byte {
	least = (max(least, int64(len(data))) + sector - 1) / sector * sector
	if n := least - int64(len(data)); n > 0 {
		data = append(data, make([]byte, n)...)
	}
	return data
}

// apply carries a change out. keep says which of its sectors arrive, nil: all.
func apply(data []byte, size int64, e *Event, keep func(sector int64) bool) ([]byte, int64) {
	switch e.Kind {
	case Truncate:
		if e.Size < int64(len(data)) {
			data = data[:e.Size:e.Size]
		}
		return data, e.Size
	case Allocate:
		return data, max(size, e.Size)
	}
	return powercut.Put(data, size, e.Off, e.Data, keep)
}

var (
	sumSeed = maphash.MakeSeed()
	zeros   [sector]byte
)

// sumOf is a sector's part of the sum of its file. A sector of zeros and one that is not there are the same.
func sumOf(at int64, b []byte) uint64 {
	if bytes.Equal(b, zeros[:len(b)]) {
		return 0
	}
	return mix(maphash.Bytes(sumSeed, b) + uint64(at)*0x9e3779b97f4a7c15)
}

// mix spreads a number's bits.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
