package powercut

import (
	"maps"
	"math"
	"slices"
)

// Sector is what a disk writes wholly or not at all.
const Sector = 512

// Never is the end of what did not end: of a call under way when the power was cut.
const Never = math.MaxInt

// When is the time that a change took, in ticks of the caller's own clock.
type When struct{ Start, End int }

// Disk is one directory: what is safe, and what is not yet. Not safe for concurrent use.
type Disk struct {
	files []*File
	names map[string]*File // as processes see it
	moves []move           // of names, since the last sync of the directory
	made  int

	// Sort says what sort of file has a name, for the tally; nil: they are all of one.
	Sort func(name string) string
}

// File is an inode. Its number stays what it is through a power cut.
type File struct {
	Number  int
	data    []byte // what is safe
	size    int64
	pending []change // since
	name    string   // under which it is safe; "": none
}

// Image is a file as the power cut left it.
type Image struct {
	Data []byte // the beginning; the rest up to Size is zero
	Size int64
}

type kind uint8

const (
	write    kind = iota // data at off
	truncate             // to size
	allocate             // at least size bytes
)

func (k kind) String() string { return [...]string{"write", "truncate", "allocate"}[k] }

// change is one of a file's content.
type change struct {
	When
	kind kind
	data []byte
	off  int64
	size int64
}

// move is a change of a file's name. "" as from: it is made; as to: it is unlinked.
type move struct {
	When
	file *File
	from string
	to   string
}

// label is what the tally calls a move.
func (d *Disk) label(m move) string {
	kind, name := "rename", m.to
	switch {
	case m.from == "":
		kind = "creation"
	case m.to == "":
		kind, name = "unlink", m.from
	}
	if d.Sort != nil {
		kind += " of " + d.Sort(name)
	}
	return kind
}

// New is a disk that holds before, all of it safe.
func New(before map[string]Image) *Disk {
	d := &Disk{names: map[string]*File{}}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		f := d.add(name)
		f.data, f.size, f.name = before[name].Data, before[name].Size, name
	}
	return d
}

func (d *Disk) add(name string) *File {
	d.made++
	f := &File{Number: d.made}
	d.files = append(d.files, f)
	d.names[name] = f
	return f
}

// Find is the file that processes see under a name, or nil.
func (d *Disk) Find(name string) *File { return d.names[name] }

// Names are those that processes see, sorted.
func (d *Disk) Names() []string { return slices.Sorted(maps.Keys(d.names)) }

// Create makes a file, unless there is one of that name.
func (d *Disk) Create(name string, at When) *File {
	if f := d.names[name]; f != nil {
		return f
	}
	f := d.add(name)
	d.moves = append(d.moves, move{at, f, "", name})
	return f
}

// Rename gives a file another name, under which there may be another file.
func (d *Disk) Rename(from, to string, at When) {
	f := d.names[from]
	delete(d.names, from)
	d.names[to] = f
	d.moves = append(d.moves, move{at, f, from, to})
}

// Unlink takes a file's name away, if it is there.
func (d *Disk) Unlink(name string, at When) {
	if f := d.names[name]; f != nil {
		delete(d.names, name)
		d.moves = append(d.moves, move{at, f, name, ""})
	}
}

// SyncNames ends a sync of the directory that began then.
func (d *Disk) SyncNames(began int) {
	d.moves = slices.DeleteFunc(d.moves, func(m move) bool {
		if m.End >= began {
			return false
		}
		for _, f := range d.files {
			if m.to != "" && f.name == m.to {
				f.name = "" // a rename takes the place of another file
			}
		}
		m.file.name = m.to
		return true
	})
	if len(d.moves) > 0 {
		return
	}
	seen := map[*File]bool{}
	for _, f := range d.names {
		seen[f] = true
	}
	d.files = slices.DeleteFunc(d.files, func(f *File) bool { return f.name == "" && !seen[f] })
}

// Write puts data at off. The file keeps data.
func (f *File) Write(off int64, data []byte, at When) {
	f.pending = append(f.pending, change{When: at, kind: write, off: off, data: data})
}

// Truncate makes the file end at size.
func (f *File) Truncate(size int64, at When) {
	f.pending = append(f.pending, change{When: at, kind: truncate, size: size})
}

// Allocate makes the file end at size or later.
func (f *File) Allocate(size int64, at When) {
	f.pending = append(f.pending, change{When: at, kind: allocate, size: size})
}

// Sync ends a sync that began then: it makes safe what had ended before.
func (f *File) Sync(began int) {
	f.pending = slices.DeleteFunc(f.pending, func(c change) bool {
		if c.End >= began {
			return false
		}
		f.data, f.size = c.apply(f.data, f.size, nil)
		return true
	})
}

// Content is what is read from the disk now, when nothing is lost.
func (f *File) Content() ([]byte, int64) {
	data, size := slices.Clone(f.data), f.size
	for i := range f.pending {
		data, size = f.pending[i].apply(data, size, nil)
	}
	return data, size
}

// apply carries a change out. keep says which of its sectors arrive, nil: all.
func (c *change) apply(data []byte, size int64, keep func(sector int64) bool) ([]byte, int64) {
	switch c.kind {
	case truncate:
		if c.size < int64(len(data)) {
			data = data[:c.size:c.size]
		}
		return data, c.size
	case allocate:
		return data, max(size, c.size)
	}
	return Put(data, size, c.off, c.data, keep)
}

// Put writes into the beginning of a file, at off, what keep says of the sectors of what is written; nil: all. It gives
// the beginning, which may have grown, and the file's size.
func Put(data []byte, size, off int64, written []byte, keep func(sector int64) bool) ([]byte, int64) {
	end := off + int64(len(written))
	for from := off; from < end; {
		to := min((from/Sector+1)*Sector, end)
		if keep == nil || keep(from/Sector) {
			if n := to - int64(len(data)); n > 0 {
				data = append(data, make([]byte, n)...)
			}
			copy(data[from:to], written[from-off:to-off])
			size = max(size, to)
		}
		from = to
	}
	return data, size
}

// Waiting is how many changes are not safe now.
func (d *Disk) Waiting() int {
	n := len(d.moves)
	for _, f := range d.files {
		n += len(f.pending)
	}
	return n
}
