package powercut

import (
	"maps"
	"math"
	"math/rand/v2"
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
	Files []*File
	Moves []*Move // of names, since the last sync of the directory

	names map[string]*File // as processes see it
	made  int
	seq   int

	// Sort says what sort of file has a name, for the tally; nil: they are all of one.
	Sort func(name string) string
}

// File is an inode. Its number stays what it is through a power cut.
type File struct {
	Number  int
	Data    []byte // what is safe: the beginning, the rest up to Size is zero
	Size    int64
	Version int    // goes up when what is safe changes
	Name    string // under which it is safe; "": none
	Pending []*Change
	disk    *Disk
}

// Image is a file as the power cut left it.
type Image struct {
	Data []byte // the beginning; the rest up to Size is zero
	Size int64
}

// Kind is what a change does.
type Kind uint8

// The kinds.
const (
	Write    Kind = iota // Data at Off
	Truncate             // to Size
	Allocate             // at least Size bytes
)

func (k Kind) String() string { return [...]string{"write", "truncate", "allocate"}[k] }

// Change is one of a file's content that no sync has made safe.
type Change struct {
	When
	Seq  int // the order of changes, those of names among them
	Kind Kind
	Data []byte
	Off  int64
	Size int64
	// Lost: a sync that covered it has failed. The page cache holds it, and takes it for written: no
	// later sync writes it.
	Lost bool
	Over map[int64]bool // its sectors that a later write has replaced for good
}

// Move is a change of a file's name. "" as From: it is made; as To: it is unlinked.
type Move struct {
	When
	Seq      int
	File     *File
	From, To string
}

// Kind is "creation", "rename" or "unlink".
func (m *Move) Kind() string {
	switch {
	case m.From == "":
		return "creation"
	case m.To == "":
		return "unlink"
	}
	return "rename"
}

// label is what the tally calls a move.
func (d *Disk) label(m *Move) string {
	if d.Sort == nil {
		return m.Kind()
	}
	if m.To == "" {
		return m.Kind() + " of " + d.Sort(m.From)
	}
	return m.Kind() + " of " + d.Sort(m.To)
}

// New is a disk that holds before, all of it safe.
func New(before map[string]Image) *Disk {
	d := &Disk{names: map[string]*File{}}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		f := d.add(name)
		f.Data, f.Size, f.Name = before[name].Data, before[name].Size, name
	}
	return d
}

func (d *Disk) add(name string) *File {
	d.made++
	f := &File{Number: d.made, disk: d}
	d.Files = append(d.Files, f)
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
	d.move(at, f, "", name)
	return f
}

// Rename gives a file another name, under which there may be another file.
func (d *Disk) Rename(from, to string, at When) {
	f := d.names[from]
	delete(d.names, from)
	d.names[to] = f
	d.move(at, f, from, to)
}

// Unlink takes a file's name away, if it is there.
func (d *Disk) Unlink(name string, at When) {
	if f := d.names[name]; f != nil {
		delete(d.names, name)
		d.move(at, f, name, "")
	}
}

func (d *Disk) move(at When, f *File, from, to string) {
	d.Moves = append(d.Moves, &Move{When: at, Seq: d.next(), File: f, From: from, To: to})
}

func (d *Disk) next() int {
	d.seq++
	return d.seq
}

// Seq is that of the last change.
func (d *Disk) Seq() int { return d.seq }

// SyncNames ends a sync of the directory that began then, and says how many changes it made safe.
func (d *Disk) SyncNames(began int) (safe int) {
	waiting := len(d.Moves)
	d.Moves = slices.DeleteFunc(d.Moves, func(m *Move) bool {
		if m.End >= began {
			return false
		}
		for _, f := range d.Files {
			if m.To != "" && f.Name == m.To {
				f.Name = "" // a rename takes the place of another file
			}
		}
		m.File.Name = m.To
		return true
	})
	safe = waiting - len(d.Moves)
	if len(d.Moves) > 0 {
		return safe
	}
	seen := map[*File]bool{}
	for _, f := range d.names {
		seen[f] = true
	}
	d.Files = slices.DeleteFunc(d.Files, func(f *File) bool { return f.Name == "" && !seen[f] })
	return safe
}

// Page is what the page cache keeps, and forgets, as one.
const Page = 4096

// Write puts data at off. The file keeps data.
func (f *File) Write(off int64, data []byte, at When) {
	if slices.ContainsFunc(f.Pending, func(c *Change) bool { return c.Lost }) {
		off, data = f.pages(off, data)
	}
	f.add(Change{When: at, Kind: Write, Off: off, Data: data})
}

// pages makes a write one of whole pages, if one of them may have been forgotten by a sync that failed: the page
// cache writes pages, and the next sync writes this one with all that is on it.
func (f *File) pages(off int64, data []byte) (int64, []byte) {
	from, to := off/Page*Page, (off+int64(len(data))+Page-1)/Page*Page
	seen, size := f.Content()
	seen, size = Put(seen, size, off, data, nil)
	if n := min(to, size) - int64(len(seen)); n > 0 {
		seen = append(seen, make([]byte, n)...)
	}
	return from, seen[from:min(to, size)]
}

// Truncate makes the file end at size.
func (f *File) Truncate(size int64, at When) {
	f.add(Change{When: at, Kind: Truncate, Size: size})
}

// Allocate makes the file end at size or later.
func (f *File) Allocate(size int64, at When) {
	f.add(Change{When: at, Kind: Allocate, Size: size})
}

func (f *File) add(c Change) {
	c.Seq = f.disk.next()
	f.Pending = append(f.Pending, &c)
}

// Sync ends a sync that began then: it makes safe what had ended before, and says how many changes that were.
func (f *File) Sync(began int) (safe int) {
	waiting := len(f.Pending)
	f.Pending = slices.DeleteFunc(f.Pending, func(c *Change) bool {
		if c.End >= began || c.Lost {
			return false
		}
		f.secure(c, nil)
		for _, older := range f.Pending {
			if older.Lost && older.Seq < c.Seq && c.Kind == Write {
				older.replaced(c)
			}
		}
		return true
	})
	return waiting - len(f.Pending)
}

// secure makes a change safe. What was lost before it in the same place does not come back.
func (f *File) secure(c *Change, keep func(sector int64) bool) {
	f.Data, f.Size = c.Apply(f.Data, f.Size, keep)
	f.Version++
}

// replaced says that the sectors that both have are w's from now on.
func (c *Change) replaced(w *Change) {
	if c.Over == nil {
		c.Over = map[int64]bool{}
	}
	for at := w.Off / Sector; at*Sector < w.Off+int64(len(w.Data)); at++ {
		c.Over[at] = true
	}
}

// LoseSync ends, as failed, a sync that began then: what it covered stays in the page cache, and on no disk.
func (f *File) LoseSync(began int) {
	for _, c := range f.Pending {
		c.Lost = c.Lost || c.Kind == Write && c.End < began
	}
}

// DropCache forgets what failed syncs have lost: some of the sectors had arrived, none, about half or all of a file's. It says of
// how many changes.
func (d *Disk) DropCache(rng *rand.Rand) (lost int) {
	for _, f := range d.Files {
		share := rng.IntN(3)
		f.Pending = slices.DeleteFunc(f.Pending, func(c *Change) bool {
			if c.Lost {
				lost++
				f.secure(c, func(int64) bool { return share == 2 || share == 1 && rng.IntN(2) == 0 })
			}
			return c.Lost
		})
	}
	return lost
}

// Content is what is read from the disk now, when nothing is lost.
func (f *File) Content() ([]byte, int64) {
	data, size := slices.Clone(f.Data), f.Size
	for _, c := range f.Pending {
		data, size = c.Apply(data, size, nil)
	}
	return data, size
}

// Apply carries a change out on the beginning of a file and its size. keep says which of its sectors arrive, nil: all; those that
// were replaced for good never do.
func (c *Change) Apply(data []byte, size int64, keep func(sector int64) bool) ([]byte, int64) {
	switch c.Kind {
	case Truncate:
		if c.Size < int64(len(data)) {
			data = data[:c.Size:c.Size]
		}
		return data, c.Size
	case Allocate:
		return data, max(size, c.Size)
	}
	if len(c.Over) > 0 {
		chosen := keep
		keep = func(at int64) bool { return !c.Over[at] && (chosen == nil || chosen(at)) }
	}
	return Put(data, size, c.Off, c.Data, keep)
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
	n := len(d.Moves)
	for _, f := range d.Files {
		n += len(f.Pending)
	}
	return n
}
