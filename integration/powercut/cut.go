package powercut

import (
	"math/rand/v2"
	"slices"
)

// Tally counts what was injected.
type Tally map[string]int

// Cut is the directory after a power cut now.
func (d *Disk) Cut(rng *rand.Rand, tally Tally) map[string]Image {
	out := map[string]Image{}
	for name, f := range d.After(rng, tally).names {
		out[name] = Image{f.Data, f.Size}
	}
	return out
}

// After is the disk after a power cut now: the files have their numbers, and all is safe.
func (d *Disk) After(rng *rand.Rand, tally Tally) *Disk {
	names := d.cutNames(rng, tally)
	after := &Disk{names: map[string]*File{}, made: d.made, Sort: d.Sort}
	for _, f := range d.Files { // of two that have one name, the later one
		if name := names[f]; name != "" {
			data, size := f.cut(rng, tally)
			after.names[name] = &File{Number: f.Number, Data: data, Size: size, Name: name, disk: after}
		}
	}
	for _, name := range after.Names() {
		after.Files = append(after.Files, after.names[name])
	}
	slices.SortFunc(after.Files, func(a, b *File) int { return a.Number - b.Number })
	return after
}

// cutNames decides which changes of names are kept.
func (d *Disk) cutNames(rng *rand.Rand, tally Tally) map[*File]string {
	names := map[*File]string{}
	for _, f := range d.Files {
		names[f] = f.Name
	}
	if len(d.Moves) == 0 {
		return names
	}
	policy := rng.IntN(4)
	tally[[...]string{"names: all kept", "names: none kept", "names: first ones kept", "names: any file's kept"}[policy]]++
	kept := len(d.Moves)
	switch policy {
	case 1:
		kept = 0
	case 2:
		kept = rng.IntN(kept + 1)
	case 3: // each file stops somewhere on its own way
		stopped := map[*File]bool{}
		for _, m := range d.Moves {
			if stopped[m.File] = stopped[m.File] || rng.IntN(2) == 0; !stopped[m.File] {
				d.keep(m, names, tally)
			} else {
				tally["lost "+d.label(m)]++
			}
		}
		return names
	}
	for _, m := range d.Moves[:kept] {
		d.keep(m, names, tally)
	}
	for _, m := range d.Moves[kept:] {
		tally["lost "+d.label(m)]++
	}
	return names
}

func (d *Disk) keep(m *Move, names map[*File]string, tally Tally) {
	for f, name := range names {
		if m.To != "" && name == m.To {
			names[f] = "" // a rename takes the place of another file
		}
	}
	names[m.File] = m.To
	tally["kept "+d.label(m)]++
}

// cut decides what is kept of a file's writes.
func (f *File) cut(rng *rand.Rand, tally Tally) ([]byte, int64) {
	data, size := slices.Clone(f.Data), f.Size
	if len(f.Pending) == 0 {
		return data, size
	}
	policy := rng.IntN(6)
	tally[[...]string{"writes: all kept", "writes: none kept", "writes: first ones kept", "writes: first ones, the last torn", "writes: any kept", "writes: any sectors kept"}[policy]]++
	first := rng.IntN(len(f.Pending) + 1)
	for i := range f.Pending {
		c := f.Pending[i]
		var keep func(int64) bool
		switch policy {
		case 1:
			tally["lost "+c.Kind.String()]++
			continue
		case 2, 3:
			if i == first && policy == 3 && c.Kind == Write {
				last := c.Off/Sector + rng.Int64N(int64(len(c.Data))/Sector+1)
				keep = func(at int64) bool { return at < last }
			} else if i >= first {
				tally["lost "+c.Kind.String()]++
				continue
			}
		case 4:
			if rng.IntN(2) == 0 {
				tally["lost "+c.Kind.String()]++
				continue
			}
		case 5:
			keep = func(int64) bool { return rng.IntN(2) == 0 }
		}
		data, size = c.tear(data, size, keep, "", tally)
	}
	return data, size
}

// tear applies a change of which some sectors may not arrive, and counts what that was.
func (c *Change) tear(data []byte, size int64, keep func(int64) bool, why string, tally Tally) ([]byte, int64) {
	if keep == nil || c.Kind != Write {
		return c.Apply(data, size, nil)
	}
	kept, lost := 0, 0
	data, size = c.Apply(data, size, func(at int64) bool {
		if keep(at) {
			kept++
			return true
		}
		lost++
		return false
	})
	switch {
	case lost > 0 && kept > 0:
		tally["torn write"+why]++
	case lost > 0:
		tally["lost write"+why]++
	}
	return data, size
}

// FailSync ends, as failed, a sync that began then. Of what had ended before, some may have
// reached the disk; the system counts all of it as written and never tries again. Of the
// last write at least its first sector is lost, and no later sync makes it safe. That the file has become
// longer is not lost: it waits for another sync.
func (f *File) FailSync(began int, rng *rand.Rand, tally Tally) {
	var due, rest []*Change
	last := -1
	for _, c := range f.Pending {
		if c.End >= began {
			rest = append(rest, c)
			continue
		}
		if c.Kind == Write {
			last = len(due)
		}
		due = append(due, c)
	}
	policy := rng.IntN(3)
	var sizes []*Change
	for i, c := range due {
		if c.Kind != Write {
			sizes = append(sizes, c)
			continue
		}
		arrived := rng.IntN(2) == 0
		f.Data, f.Size = c.tear(f.Data, f.Size, func(at int64) bool {
			switch {
			case policy == 0, i == last && at == c.Off/Sector:
				return false
			case policy == 1:
				return arrived
			}
			return rng.IntN(2) == 0
		}, " by a failed sync", tally)
		sizes = append(sizes, &Change{When: c.When, Seq: c.Seq, Kind: Allocate, Size: c.Off + int64(len(c.Data))})
	}
	f.Pending = append(sizes, rest...)
	f.Version++
}
