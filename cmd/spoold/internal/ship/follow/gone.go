package follow

import (
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/ship"
)

// forget drops files that are gone and read to their end, and the oldest positions of such files when there are
// too many.
func (w *Follower) forget() (notes []spoold.Note) {
	for _, f := range w.files {
		if !f.missing || w.blocked[f.name.Base] {
			continue
		}
		f.look()
		quiet := w.now().Sub(f.changed)
		switch {
		case f.h == nil: // it was removed while it was closed
			if f.most > f.pos.Offset && !f.done {
				w.noteCut(f.pos, f.most-f.pos.Offset, true)
			}
			w.drop(f)
		case !f.unread() && len(f.buf) == 0 && (f.links == 0 && quiet >= w.o.Quiet || quiet >= 12*w.o.Quiet):
			w.drop(f)
		}
	}
	held := make(map[uint64]bool)
	for _, f := range w.files {
		held[f.pos.ID] = true
	}
	var gone []uint64
	for id, p := range w.positions {
		switch {
		case held[id] || w.there(p) || w.find.hides(p.Path):
		case p.Offset == 0 && !p.Ignored && w.cut[id] != (cut{}):
			// Bytes that were seen are gone: it is reported.
		case p.Offset == 0 && !p.Ignored:
			delete(w.positions, id) // nothing was read
		default:
			gone = append(gone, id)
		}
	}
	slices.Sort(gone)
	for len(gone) > w.o.Remember {
		notes = append(notes, spoold.Note{Name: w.o.noteName(gone[0])})
		delete(w.positions, gone[0])
		gone = gone[1:]
	}
	return notes
}

// there reports whether the file of a position that is not followed is still where it was.
func (w *Follower) there(p *ship.Position) bool {
	if !p.Ignored {
		return false
	}
	info, err := os.Stat(p.Path)
	if err != nil {
		return false
	}
	id, _ := idOf(info)
	return id == p.FileID
}

// reportGaps says what was cut off and found in no other file, after some time: a copy may be being compressed. The notes
// are for the spool: a start finds the file as it is now, and must not report it again.
func (w *Follower) reportGaps(at time.Time) (notes []spoold.Note) {
	for _, id := range slices.Sorted(maps.Keys(w.cut)) {
		unread, seen, p := w.cut[id].unread, w.cut[id].seen, w.positions[id]
		if at.Sub(w.cut[id].at) < w.o.Quiet || p != nil && w.blocked[w.o.nameOf(p.Path).Base] {
			continue
		}
		delete(w.cut, id)
		if p == nil {
			continue
		}
		if p.Cut = true; p.Offset > 0 {
			notes = append(notes, w.o.note(p))
		}
		if seen && unread == 0 && isLink(p.Path) && !w.o.behindLink(p.Path) {
			w.gap(p, 0, "the file behind this symbolic link was truncated or written anew, and lines that came between the last look and that may be lost: a copy of it is not looked for, as its name is that of a rotated file or is followed by itself. Follow the target's own path")
			continue
		}
		if seen && unread == 0 {
			w.o.Report(Event{Kind: Rotated, Path: p.Path, Offset: p.Offset, Detail: "the file was truncated or written anew after all of it that was seen had been read"})
			continue
		}
		w.gap(p, unread, "the file was truncated, written anew or removed, and no copy of it was found: bytes behind this offset that were not read are lost to spoold")
	}
	return notes
}
