package crashstates

import (
	"bytes"
	"hash/maphash"
	"math/rand/v2"
	"path/filepath"
	"slices"

	"github.com/spoold/spoold/integration/powercut"
)

const sector = powercut.Sector

// Lies are promises that the disk does not keep, to see that the checks bite.
type Lies struct {
	FileSync bool // a sync of a file does nothing
	DirSync  bool // a sync of the directory does nothing
}

// Disk replays a trace, and knows at each line what is safe and what is not.
type Disk struct {
	*powercut.Disk
	Marks []Event // that have begun, in order

	lies   Lies
	dir    string
	issued []Event // not begun yet: by Start
	ending []Event // syncs, not ended yet: by End
	line   int
	base   int // how often something became safe, or was lost for good
	sums   map[*powercut.File]versionSum
}

// versionSum is the sum of the sectors of what is safe of a file, at one of its versions.
type versionSum struct {
	version int
	sum     uint64
}

// Image is a file as the power cut left it.
type Image = powercut.Image

// NewDisk begins at a directory that holds before, all of it safe.
func NewDisk(dir string, before map[string]Image, events []Event, lies Lies) *Disk {
	d := &Disk{Disk: powercut.New(before), lies: lies, dir: dir, issued: events, sums: map[*powercut.File]versionSum{}}
	for _, f := range d.Files {
		f.Data = bytes.Clone(f.Data)
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
	name, at := filepath.Base(e.Path), powercut.When{Start: e.Start, End: e.End}
	f := d.Find(name)
	switch e.Kind {
	case Mark:
		d.Marks = append(d.Marks, *e)
	case Restart: // warm: it reads what the page cache holds, also what a failed sync has lost
		if !e.Warm {
			d.base += d.DropCache(rand.New(rand.NewPCG(e.Seed, 3)))
		}
	case Create:
		d.Create(name, at)
	case Rename:
		d.Rename(name, filepath.Base(e.NewPath), at)
	case Unlink:
		d.Unlink(name, at)
	}
	if f == nil {
		return
	}
	switch e.Kind {
	case Write:
		f.Write(e.Off, e.Data, at)
	case Truncate:
		f.Truncate(e.Size, at)
	case Allocate:
		f.Allocate(e.Size, at)
	}
}

// sync makes safe what had ended before it began, or loses it.
func (d *Disk) sync(e *Event) {
	f := d.Find(filepath.Base(e.Path))
	switch {
	case e.Path == d.dir:
		if e.Kind != FailedSync && !d.lies.DirSync { // a directory is in the journal: what failed now is written by the next sync
			d.base += d.SyncNames(e.Start)
		}
	case f == nil || d.lies.FileSync:
	case e.Kind == FailedSync:
		f.LoseSync(e.Start)
	default:
		d.base += f.Sync(e.Start)
	}
}

// Visible is what a process reads now.
func (d *Disk) Visible() map[string]Image {
	out := map[string]Image{}
	for _, name := range d.Names() {
		out[name] = image(d.Find(name).Content())
	}
	return out
}

func image(data []byte, size int64) Image {
	return Image{Data: bytes.TrimRight(data[:min(int64(len(data)), size)], "\x00"), Size: size}
}

// sumOfFile is the sum of the sectors of what is safe of a file.
func (d *Disk) sumOfFile(f *powercut.File) uint64 {
	known, ok := d.sums[f]
	if !ok || known.version != f.Version {
		known = versionSum{version: f.Version}
		for at := int64(0); at*sector < int64(len(f.Data)); at++ {
			known.sum += sumOf(at, safe(f, at))
		}
		d.sums[f] = known
	}
	return known.sum
}

// safe is what is safe of a sector.
func safe(f *powercut.File, at int64) []byte {
	switch from, to := at*sector, (at+1)*sector; {
	case from >= int64(len(f.Data)):
		return zeros[:]
	case to > int64(len(f.Data)):
		return padded(bytes.Clone(f.Data[from:]), sector)
	default:
		return f.Data[from:to]
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
