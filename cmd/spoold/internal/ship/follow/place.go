package follow

import (
	"cmp"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spoold/spoold/cmd/spoold/internal/ship"
)

// fitting is the newest of the positions that was made from the candidate's file.
func fitting(c *candidate, positions []*ship.Position) (*ship.Position, error) {
	slices.SortFunc(positions, func(a, b *ship.Position) int { return cmp.Compare(b.ID, a.ID) })
	for _, p := range positions {
		if p.Offset == 0 {
			continue // nothing of its file is known
		}
		if ok, err := fits(c, p); ok || err != nil {
			return p, err
		}
	}
	return nil, nil
}

// place decides what a file is that has no position of its own: the continuation of one that was cut off or removed, a
// copy of one that is still read, or a new one. nil: it is nothing to read, or not yet.
func (w *Follower) place(c *candidate) (p *ship.Position, follow bool, err error) {
	if c.size == 0 {
		return nil, false, nil // nothing is in it; it is looked at again when there is
	}
	if c.gzip {
		if _, err := os.Stat(strings.TrimSuffix(c.name.Path, ".gz")); err == nil {
			return nil, false, nil // it is being compressed
		}
	}
	old, wait, err := w.continues(c)
	if err != nil || wait {
		return nil, false, err
	}
	if old != nil {
		w.o.Report(Event{Kind: Rotated, Path: old.Path, Offset: old.Offset, Detail: "it goes on in " + c.name.Path})
		w.adopted(c, old)
		old.FileID, old.Path, old.Gzip = c.id, c.name.Path, c.gzip
		return old, !old.Ignored, nil
	}
	if c.first, err = c.begin(); err != nil || len(c.first) == 0 {
		return nil, false, err // it was truncated this moment: the next scan sees what is there then
	}
	p = &ship.Position{ID: w.nextID, FileID: c.id, Path: c.name.Path, Gzip: c.gzip, OfLog: w.ofLog(&c.name)}
	w.nextID++
	if !c.explicit && firstSight(w, &c.name) {
		if err := ignore(c, p); err != nil {
			return nil, false, err
		}
	}
	w.positions[p.ID] = p
	if c.name.Rotated() { // a copy of a file of which nothing was read is a new file
		maps.DeleteFunc(w.cut, func(id uint64, what cut) bool {
			q := w.positions[id]
			return q != nil && q.Offset == 0 && w.o.nameOf(q.Path).Base == c.name.Base && c.size >= what.unread
		})
	}
	return p, !p.Ignored, nil
}

// firstSight reports whether rotated files of a log are looked for the first time where this one is: it was there before.
func firstSight(w *Follower, n *ship.Name) bool {
	if own := ship.ParseName(n.Path).Base; own != n.Base { // beside a link's target
		return !w.lookedBehind(own, n.Base)
	}
	return !w.logs[n.Base] && !w.looked(n.Base)
}

// ofLog reports whether a file that was not seen before held a log's lines under the log's own name: it has that name, or
// rotation took it away, as there is a log of that name.
func (w *Follower) ofLog(n *ship.Name) bool {
	if !n.Rotated() || w.active[n.Base] != nil {
		return true
	}
	for _, p := range w.positions {
		if p.OfLog && w.o.nameOf(p.Path).Base == n.Base {
			return true
		}
	}
	return false
}

// continues finds the position that goes on in the candidate: its own file is gone, or holds other bytes. wait: it
// is too early to say.
func (w *Follower) continues(c *candidate) (p *ship.Position, wait bool, err error) {
	var free []*ship.Position
	for _, q := range w.byLog[c.name.Base] {
		f := w.held[q.ID]
		if f != nil {
			q = f.pos
		}
		switch {
		case f == nil || w.files[f.id] != f:
			if q.Offset > 0 {
				free = append(free, q)
			}
		case f.missing:
			// Read to its end what is open and has no name, before its copy takes over.
			ok, err := fits(c, q)
			if q.Offset == 0 {
				ok, err = begins(c, f.first)
			}
			if err != nil {
				return nil, false, err
			}
			if !ok {
				continue
			}
			f.look()
			if f.h != nil && f.unread() {
				return nil, true, nil
			}
			w.drop(f)
			if q.Offset > 0 {
				free = append(free, q)
			}
		}
	}
	// What is listed may have been compressed, or copied, since.
	for _, f := range w.files {
		if f.missing || f.name.Base != c.name.Base || !c.name.Rotated() || f.read.Gzip && f.h == nil && !c.gzip {
			continue
		}
		ok, err := fits(c, f.pos)
		if f.pos.Offset == 0 {
			ok, err = len(f.first) > 0, nil
			if ok {
				ok, err = begins(c, f.first)
			}
		}
		if ok || err != nil {
			return nil, true, err
		}
	}
	if log := w.active[c.name.Base]; log != nil && c.name.Rotated() {
		f := w.files[log.id]
		switch copied, sure, err := copyOf(c, log); {
		case err != nil || copied:
			return nil, true, err
		case f != nil && !f.intact():
			w.replaced(f)
			return nil, true, nil
		case !sure:
			w.watch.scan = true
			w.blocked[c.name.Base] = true
			return nil, true, nil
		}
	}
	if !c.name.Rotated() { // the same bytes under the same name: somebody wrote the file anew
		free = slices.DeleteFunc(free, func(q *ship.Position) bool { return q.Path != c.name.Path })
	}
	if p, err = fitting(c, free); p != nil || err != nil {
		return p, false, err
	}
	for _, q := range free {
		if _, isCut := w.cut[q.ID]; !isCut && !w.overwritten[q.ID] || !c.name.Rotated() {
			continue
		}
		if ok, err := readBefore(c, q); err != nil || ok {
			if ok {
				err = w.readAlready(c, q)
			}
			return nil, true, err
		}
	}
	return nil, false, nil
}

// readAlready makes a copy known of which every byte was read from the original.
func (w *Follower) readAlready(c *candidate, p *ship.Position) error {
	q := &ship.Position{ID: w.nextID, FileID: c.id, Path: c.name.Path}
	if err := ignore(c, q); err != nil {
		return err
	}
	w.nextID++
	w.positions[q.ID] = q
	w.o.Report(Event{Kind: Rotated, Path: p.Path, Offset: p.Offset, Detail: "its copy " + c.name.Path + " was read before it was made"})
	delete(w.cut, p.ID)
	w.notes = append(w.notes, w.o.note(q))
	return nil
}

// ignore makes p the position at the end of a file that is not to be read.
func ignore(c *candidate, p *ship.Position) error {
	h, err := c.open()
	if err != nil {
		return err
	}
	defer h.Close()
	p.Ignored = true
	head, before := make([]byte, min(c.size, ship.HeadSize)), make([]byte, min(c.size, ship.MarkerSize))
	if _, err := h.ReadAt(head, 0); err != nil {
		return err
	}
	if _, err := h.ReadAt(before, c.size-int64(len(before))); err != nil {
		return err
	}
	p.Offset, p.Head, p.Marker = c.size, head, before
	return nil
}
