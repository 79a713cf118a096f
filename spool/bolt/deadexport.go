package bolt

import (
	"fmt"
	"os"
	"slices"

	"github.com/spoold/spoold/spool"
)

// Limits of what is in memory at once of dead letters that are read one after the other. One entry is always taken.
const (
	exportBytes   = 1 << 20
	exportLetters = 4096
)

// deadReader is where dead letters are read.
type deadReader interface {
	// DeadLetters lists the oldest, at most so many.
	DeadLetters(f DeadFilter, most int) ([]DeadLetter, error)
	// eachDeadEntry yields the entries of dead letters, each section read once; raw is valid during the call.
	eachDeadEntry(letters []DeadLetter, yield func(ref deadRef, raw []byte)) error
	// gone reports whether one is no dead letter any more.
	gone(ref deadRef) bool
}

// EachDead calls yield with dead letters and their entries, oldest first, until it returns false. Those that come meanwhile are not
// among them, and those that go may be left out. The entry is valid during the call. It blocks on the disk. Safe from any goroutine.
func EachDead(s *Store, f DeadFilter, yield func(DeadLetter, []byte) (bool, error)) error {
	s.view.RLock()
	last := uint64(0)
	if n := len(s.dead.marks); n > 0 {
		last = s.dead.marks[n-1].Serial
	}
	s.view.RUnlock()
	return eachDead(liveDead{s.dead}, f, last, yield)
}

// EachDead is the function EachDead for a spool that no daemon has.
func (in *Inspection) EachDead(f DeadFilter, yield func(DeadLetter, []byte) (bool, error)) error {
	marks := in.marks()
	if len(marks) == 0 {
		return nil
	}
	all, err := in.open(imageParts{})
	defer all.close()
	if err != nil {
		return err
	}
	return eachDead(&stillDead{in, marks, all}, f, marks[len(marks)-1].Serial, yield)
}

func eachDead(from deadReader, f DeadFilter, last uint64, yield func(DeadLetter, []byte) (bool, error)) error {
	most := int64(exportBytes)
	for {
		list, err := from.DeadLetters(f, exportLetters)
		if err != nil || len(list) == 0 {
			return err
		}
		for len(list) > 0 {
			n, size := 1, list[0].Bytes
			for n < len(list) && size+list[n].Bytes <= most {
				size += list[n].Bytes
				n++
			}
			entries, err := entriesOf(from, list[:n])
			if err != nil && n > 1 {
				most = 0 // one at a time: what stands before the damage is intact
				continue
			}
			if err != nil {
				return err
			}
			if more, err := someDead(from, list[:n], entries, last, yield); !more || err != nil {
				return err
			}
			f.After, list = list[n-1].Serial, list[n:]
		}
	}
}

func entriesOf(from deadReader, list []DeadLetter) (map[deadRef][]byte, error) {
	entries := make(map[deadRef][]byte, len(list))
	err := from.eachDeadEntry(slices.Clone(list), func(ref deadRef, raw []byte) { entries[ref] = slices.Clone(raw) })
	return entries, err
}

// someDead is eachDead for a few.
func someDead(from deadReader, list []DeadLetter, entries map[deadRef][]byte, last uint64, yield func(DeadLetter, []byte) (bool, error)) (more bool, err error) {
	for _, d := range list {
		raw := entries[d.ref()]
		switch {
		case d.Serial > last:
			return false, nil
		case raw == nil && from.gone(d.ref()):
			continue
		case raw == nil:
			return false, fmt.Errorf("record %d of lane %d is not in the spool any more", d.Index, d.Lane)
		}
		if more, err := yield(d, raw); !more || err != nil {
			return false, err
		}
	}
	return true, nil
}

// liveDead reads those of an open spool.
type liveDead struct{ *deadLetters }

func (s liveDead) DeadLetters(f DeadFilter, most int) ([]DeadLetter, error) {
	return s.Store.DeadLetters(f, most), nil
}

func (s liveDead) gone(ref deadRef) bool {
	s.view.RLock()
	defer s.view.RUnlock()
	return !s.state.DeadLettered(ref.lane, ref.index)
}

// stillDead reads those of a spool that no daemon has.
type stillDead struct {
	in    *Inspection
	marks []*mark
	all   sources
}

func (s *stillDead) DeadLetters(f DeadFilter, most int) ([]DeadLetter, error) {
	return listDead(s.in.found.state, s.marks, &f, most), nil
}

func (s *stillDead) gone(deadRef) bool { return false }

func (s *stillDead) eachDeadEntry(letters []DeadLetter, yield func(deadRef, []byte)) error {
	byLane := make(map[spool.LaneID]map[spool.Index]bool)
	for i := range letters {
		d := &letters[i]
		if byLane[d.Lane] == nil {
			byLane[d.Lane] = make(map[spool.Index]bool)
		}
		byLane[d.Lane][d.Index] = true
	}
	for lane, want := range byLane {
		for i := range s.all {
			if err := s.all[i].some(lane, want, func(e EntryInfo) { yield(deadRef{lane, e.Index}, e.Raw) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// some yields those entries of a lane that are wanted, and takes them out of want.
func (x *source) some(lane spool.LaneID, want map[spool.Index]bool, yield func(EntryInfo)) error {
	l := x.index.lanes[lane]
	if l == nil {
		return nil
	}
	found := make(map[int]bool) // sections, by their places in l.refs
	for at := range want {
		if i := l.search(at); i < len(l.refs) && l.refs[i].span.First <= at {
			found[i] = true
		}
	}
	for i := range found {
		info := EntryInfo{Lane: lane, Segment: x.number, Block: l.refs[i].block.number}
		err := l.refs[i].entries(x.f, spool.NewSet(0), func(_ spool.LaneID, at spool.Index) bool { return want[at] }, info, func(e EntryInfo) bool {
			delete(want, e.Index)
			yield(e)
			return true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// DeadEntry is Store.DeadEntry for a spool that no daemon has.
func (in *Inspection) DeadEntry(lane spool.LaneID, at spool.Index) (found []byte, err error) {
	for _, n := range in.numbers() {
		if found, err = in.entry(n, lane, at); found != nil || err != nil {
			return found, err
		}
	}
	return nil, fmt.Errorf("record %d of lane %d is not in the spool any more", at, lane)
}

// entry finds an entry in one segment, or nil.
func (in *Inspection) entry(number uint64, lane spool.LaneID, at spool.Index) (found []byte, err error) {
	im, err := in.read(number, imageParts{})
	if err != nil {
		return nil, err
	}
	f, err := os.Open(segmentFile(in.dir, number))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	x := source{number, f, im.index(unitRunsOf(in.found.state)), nil}
	err = x.some(lane, map[spool.Index]bool{at: true}, func(e EntryInfo) { found = slices.Clone(e.Raw) })
	return found, err
}
