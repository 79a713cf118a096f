package crashstates

import (
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
)

const sector = 512

// Lies are promises that the disk does not keep, to see that the checks bite.
type Lies struct {
	FileSync bool // a sync of a file does nothing
	DirSync  bool // a sync of the directory does nothing
}

// Disk replays a trace, and knows at each line what is safe and what is not.
type Disk struct {
	lies   Lies
	dir    string
	issued []Event // not begun yet: by Start
	ending []Event // syncs, not ended yet: by End
	files  []*file
	names  map[string]*file // as the processes see it
	moves  []move           // of names, since the last sync of the directory
	line   int
	Marks  []Event // that have begun, in order
}

// file is an inode.
type file struct {
	data    []byte // what is safe
	size    int64
	pending []Event // writes since
	name    string  // under which it is safe; "": none
}

// move is a change of a file's name. "" as from: it is made; as to: it is unlinked.
type move struct {
	file  *file
	from  string
	to    string
	end   int // line
	start int
}

// NewDisk begins at a directory that holds before, all of it safe.
func NewDisk(dir string, before map[string]Image, events []Event, lies Lies) *Disk {
	d := &Disk{lies: lies, dir: dir, issued: events, names: map[string]*file{}}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		f := &file{data: before[name].Data, size: before[name].Size, name: name}
		d.files = append(d.files, f)
		d.names[name] = f
	}
	for _, e := range events {
		if e.Kind == Sync && e.End != never {
			d.ending = append(d.ending, e)
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
			d.issue(d.issued[0])
			d.issued = d.issued[1:]
		}
	}
}

func (d *Disk) issue(e Event) {
	name := filepath.Base(e.Path)
	f := d.names[name]
	switch e.Kind {
	case Mark:
		d.Marks = append(d.Marks, e)
	case Create:
		if f == nil {
			f = new(file)
			d.files = append(d.files, f)
			d.names[name] = f
			d.moves = append(d.moves, move{f, "", name, e.End, e.Start})
		}
	case Rename:
		to := filepath.Base(e.NewPath)
		delete(d.names, name)
		d.names[to] = f
		d.moves = append(d.moves, move{f, name, to, e.End, e.Start})
	case Unlink:
		if f != nil {
			delete(d.names, name)
			d.moves = append(d.moves, move{f, name, "", e.End, e.Start})
		}
	case Write, Truncate, Allocate:
		if f != nil {
			f.pending = append(f.pending, e)
		}
	}
}

// sync makes safe what had ended before it began.
func (d *Disk) sync(e *Event) {
	if e.Path == d.dir {
		if !d.lies.DirSync {
			d.moves = slices.DeleteFunc(d.moves, func(m move) bool {
				if m.end < e.Start {
					m.file.name = m.to
				}
				return m.end < e.Start
			})
		}
		return
	}
	f := d.names[filepath.Base(e.Path)]
	if f == nil || d.lies.FileSync {
		return
	}
	f.pending = slices.DeleteFunc(f.pending, func(w Event) bool {
		if w.End >= e.Start {
			return false
		}
		f.data, f.size = apply(f.data, f.size, &w, nil)
		return true
	})
}

// apply carries a write out. keep says which of its sectors arrive, nil: all.
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
	for from := e.Off; from < e.Off+int64(len(e.Data)); {
		to := min((from/sector+1)*sector, e.Off+int64(len(e.Data)))
		if keep == nil || keep(from/sector) {
			if n := to - int64(len(data)); n > 0 {
				data = append(data, make([]byte, n)...)
			}
			copy(data[from:to], e.Data[from-e.Off:to-e.Off])
			size = max(size, to)
		}
		from = to
	}
	return data, size
}

// Image is a file as the power cut left it.
type Image struct {
	Data []byte // the beginning; the rest up to Size is zero
	Size int64
}

// Tally counts what was injected.
type Tally map[string]int

// Cut is the directory after a power cut now.
func (d *Disk) Cut(rng *rand.Rand, tally Tally) map[string]Image {
	names := d.cutNames(rng, tally)
	out := map[string]Image{}
	for _, f := range d.files { // of two that have one name, the later one
		if name := names[f]; name != "" {
			data, size := f.cut(rng, tally)
			out[name] = Image{data, size}
		}
	}
	return out
}

// cutNames decides which changes of names are kept.
func (d *Disk) cutNames(rng *rand.Rand, tally Tally) map[*file]string {
	names := map[*file]string{}
	for _, f := range d.files {
		names[f] = f.name
	}
	if len(d.moves) == 0 {
		return names
	}
	policy := rng.IntN(4)
	tally[[...]string{"names: all kept", "names: none kept", "names: first ones kept", "names: any file's kept"}[policy]]++
	kept := len(d.moves)
	switch policy {
	case 1:
		kept = 0
	case 2:
		kept = rng.IntN(kept + 1)
	case 3: // each file stops somewhere on its own way
		stopped := map[*file]bool{}
		for _, m := range d.moves {
			if stopped[m.file] = stopped[m.file] || rng.IntN(2) == 0; !stopped[m.file] {
				d.moved(m, names, tally)
			}
		}
		return names
	}
	for _, m := range d.moves[:kept] {
		d.moved(m, names, tally)
	}
	for _, m := range d.moves[kept:] {
		tally["lost "+m.kind()]++
	}
	return names
}

func (d *Disk) moved(m move, names map[*file]string, tally Tally) {
	names[m.file] = m.to
	tally["kept "+m.kind()]++
}

func (m move) kind() string {
	switch {
	case m.from == "":
		return "creation"
	case m.to == "":
		return "unlink"
	}
	return "rename"
}

// cut decides what is kept of a file's writes.
func (f *file) cut(rng *rand.Rand, tally Tally) ([]byte, int64) {
	data, size := slices.Clone(f.data), f.size
	if len(f.pending) == 0 {
		return data, size
	}
	policy := rng.IntN(6)
	tally[[...]string{"writes: all kept", "writes: none kept", "writes: first ones kept", "writes: first ones, the last torn", "writes: any kept", "writes: any sectors kept"}[policy]]++
	first := rng.IntN(len(f.pending) + 1)
	for i := range f.pending {
		w := &f.pending[i]
		var keep func(int64) bool
		switch policy {
		case 1:
			tally["lost "+w.Kind.String()]++
			continue
		case 2, 3:
			if i == first && policy == 3 && w.Kind == Write {
				last := w.Off/sector + rng.Int64N(int64(len(w.Data))/sector+1)
				keep = func(at int64) bool { return at < last }
				tally["torn write"]++
			} else if i >= first {
				tally["lost "+w.Kind.String()]++
				continue
			}
		case 4:
			if rng.IntN(2) == 0 {
				tally["lost "+w.Kind.String()]++
				continue
			}
		case 5:
			if w.Kind == Write {
				tally["torn write"]++
			}
			keep = func(int64) bool { return rng.IntN(2) == 0 }
		}
		data, size = apply(data, size, w, keep)
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
