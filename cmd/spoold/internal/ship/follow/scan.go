package follow

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/ship"
)

// group is a log: its rotated files, the oldest first, and the file that is written now.
type group struct {
	base  string
	files []*file
	dirty bool // something may be there to be read
}

// scan looks which files are there, which of them were read before, and where they go on.
func (w *Follower) scan(ctx context.Context) error {
	if err := w.settle(ctx, 0); err != nil { // positions that are written below must not be ahead of the disk
		return err
	}
	list, dirs := w.find.find(w.known())
	w.watch.dirs(dirs)
	w.watch.links = w.find.links
	for _, f := range w.files {
		f.missing = true
	}
	w.index(list)
	left := w.recognise(list)
	w.notes = nil
	for i := range left {
		c := &left[i]
		p, follow, err := w.place(c)
		if err != nil {
			w.unplaced(c, err)
			continue
		}
		if p == nil {
			continue
		}
		if follow {
			w.follow(c, p)
		}
		if p.Offset > 0 || p.Ignored {
			w.notes = append(w.notes, w.note(p))
		}
	}
	notes := append(append(w.notes, w.forget()...), w.see()...)
	w.reportGaps(w.now())
	w.order()
	if len(notes) == 0 {
		return nil
	}
	err := w.send(ctx, "", spoold.Batch{Notes: notes}, 0)
	if err == nil {
		err = w.settle(ctx, 0)
	}
	return err
}

// known are the files of all positions, and where each was last.
func (w *Follower) known() map[ship.FileID]string {
	known := make(map[ship.FileID]string)
	for _, p := range w.positions {
		if !p.Ignored && w.find.wants(p.Path) {
			known[p.FileID] = p.Path
		}
	}
	return known
}

// index sorts what is known, and what was found, by log.
func (w *Follower) index(list []candidate) {
	w.blocked = make(map[string]bool)
	w.active = make(map[string]*candidate)
	for i := range list {
		if c := &list[i]; !c.name.Rotated() {
			w.active[c.name.Base] = c
		}
	}
	w.byLog = make(map[string][]*ship.Position)
	w.held = make(map[uint64]*file)
	for _, f := range w.files {
		w.held[f.pos.ID] = f
	}
	for _, p := range w.positions {
		base := w.nameOf(p.Path).Base
		w.logs[base] = true
		if f := w.held[p.ID]; p.Offset > 0 || f != nil && (len(f.first) > 0 || f.h != nil) {
			w.byLog[base] = append(w.byLog[base], p)
		}
	}
}

func (w *Follower) nameOf(path string) ship.Name {
	if w.o.Single {
		return ship.Name{Path: path, Base: path}
	}
	return ship.ParseName(path)
}

// recognise takes those candidates that are followed already, or go on where the position of the same
// file says. The others come back, those of one log in the order in which they were written.
func (w *Follower) recognise(list []candidate) (left []candidate) {
	byFile := make(map[ship.FileID][]*ship.Position)
	for _, p := range w.positions {
		byFile[p.FileID] = append(byFile[p.FileID], p)
	}
	for i := range list {
		c := &list[i]
		if f := w.files[c.id]; f != nil {
			if w.found(f, c) {
				continue
			}
			w.replaced(f)
			left = append(left, *c)
			continue
		}
		p, err := w.fitting(c, byFile[c.id])
		switch {
		case err != nil:
			w.unplaced(c, err)
		case p == nil:
			w.wasCut(c, byFile[c.id])
			left = append(left, *c)
		case !p.Ignored:
			w.follow(c, p)
		}
	}
	slices.SortStableFunc(left, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.name.Base, b.name.Base), ship.Older(&a.name, &b.name), a.modified.Compare(b.modified))
	})
	return left
}

// unplaced: nothing is known of a file that was renamed or removed after it was listed. The next scan lists it anew.
func (w *Follower) unplaced(c *candidate, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		w.watch.scan = true
		w.blocked[c.name.Base] = true
		return
	}
	w.fail(c.name.Path, err)
}

// found takes note of where a followed file is now. false: it holds other bytes than those that were read.
func (w *Follower) found(f *file, c *candidate) bool {
	f.missing = false
	if f.h == nil && !w.same(f, c) {
		return false
	}
	if f.name.Path == c.name.Path {
		f.look()
		return !f.unread() || f.intact()
	}
	w.o.Report(Event{Kind: Rotated, Path: f.name.Path, Offset: f.pos.Offset, Detail: "its name is " + c.name.Path + " now"})
	f.named(c)
	f.look()
	return !f.unread() || f.intact()
}

// same reports whether a closed file is the candidate. Its number may have been given to another file since.
func (w *Follower) same(f *file, c *candidate) bool {
	if c.gzip != f.read.Gzip {
		return false
	}
	if c.size == f.size && c.modified.Equal(f.modified) || f.pos.Offset == 0 {
		return true
	}
	ok, err := fits(c, f.pos)
	return ok || err != nil
}

// named gives the file a candidate's name. A name that does not look like its log is used to open it only: it
// stays in its log, and the next start looks for it in the directory.
func (f *file) named(c *candidate) {
	if c.name.Base != f.name.Base {
		f.name.Path = c.name.Path
		return
	}
	f.name = c.name
	f.pos.Path, f.read.Path = f.name.Path, f.name.Path
}

// fitting is the newest of the positions that was made from the candidate's file.
func (w *Follower) fitting(c *candidate, positions []*ship.Position) (*ship.Position, error) {
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
	p = &ship.Position{ID: w.nextID, FileID: c.id, Path: c.name.Path, Gzip: c.gzip}
	w.nextID++
	if !c.explicit && !w.logs[c.name.Base] && !w.looked(c.name.Base) {
		if err := ignore(c, p); err != nil {
			return nil, false, err
		}
	}
	w.positions[p.ID] = p
	if c.name.Rotated() { // a copy of a file of which nothing was read is a new file
		maps.DeleteFunc(w.cut, func(id uint64, what cut) bool {
			q := w.positions[id]
			return q != nil && q.Offset == 0 && w.nameOf(q.Path).Base == c.name.Base && c.size >= what.unread
		})
	}
	return p, !p.Ignored, nil
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
	if p, err = w.fitting(c, free); p != nil || err != nil {
		return p, false, err
	}
	for _, q := range free {
		if _, isCut := w.cut[q.ID]; !isCut || !c.name.Rotated() {
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

// adopted: the candidate takes over the position of a file that was cut off. What that file had and the candidate
// does not is lost.
func (w *Follower) adopted(c *candidate, p *ship.Position) {
	lost := w.cut[p.ID].unread - (c.size - p.Offset)
	delete(w.cut, p.ID)
	if lost > 0 && !c.gzip {
		w.gap(p, lost, "the file was truncated after a copy of it was made: bytes that were written in between are lost to spoold")
	}
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
	w.notes = append(w.notes, w.note(q))
	return nil
}

// see makes a note of every pattern that was looked for: rotated files that turn up from now on are new.
func (w *Follower) see() (notes []spoold.Note) {
	if w.o.Single {
		return nil
	}
	for _, pattern := range w.o.Patterns {
		if name := w.seenName(pattern); !w.seenNotes[name] {
			w.seen[name], w.seenNotes[name] = true, true
			notes = append(notes, spoold.Note{Name: name, Value: []byte(pattern[:min(len(pattern), 1024)])})
		}
	}
	return notes
}

// looked reports whether a pattern that names this log was looked for before.
func (w *Follower) looked(base string) bool {
	return slices.ContainsFunc(w.o.Patterns, func(p string) bool { return names(p, base) && w.seen[w.seenName(p)] })
}

func (w *Follower) seenName(pattern string) string {
	sum := sha256.Sum256([]byte(pattern))
	return fmt.Sprintf("%s%s%x", w.prefix(), seenPrefix, sum[:8])
}

const seenPrefix = "seen-"

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

// follow begins to read a file at its position.
func (w *Follower) follow(c *candidate, p *ship.Position) {
	f := &file{pos: p, read: clone(p), name: w.nameOf(p.Path), id: c.id, size: c.size, most: c.size, changed: w.now()}
	f.split.Format = w.o.Format
	f.pos.FileID, f.read.FileID = c.id, c.id
	f.named(c)
	if w.cutFrom[c.id] {
		f.skipNUL = p.Offset == 0
		delete(w.cutFrom, c.id)
	}
	delete(w.cut, p.ID)
	if p.Offset == 0 && !p.Gzip {
		f.first = c.first
	}
	if !p.Gzip && len(w.files) < w.o.MaxOpen {
		_ = f.open() // so that it can be read to its end if it is removed; whoever reads it reports an error
	}
	w.files[c.id] = f
	w.stats.files.Store(int64(len(w.files)))
	w.o.Report(Event{Kind: Opened, Path: c.name.Path, Offset: p.Offset})
}

// drop ends the reading of a file; its position stays.
func (w *Follower) drop(f *file) {
	f.close()
	f.rewind()
	delete(w.files, f.id)
	w.stats.files.Store(int64(len(w.files)))
}

// order sorts the files of each log.
func (w *Follower) order() {
	groups := make(map[string]*group)
	for _, f := range w.files {
		g := groups[f.name.Base]
		if g == nil {
			g = &group{base: f.name.Base, dirty: true}
			groups[g.base] = g
		}
		g.files = append(g.files, f)
	}
	for _, g := range groups {
		var before []*file
		if old := w.groups[g.base]; old != nil {
			before = old.files
		}
		g.files = inOrder(g.files, before)
	}
	w.groups = groups
	w.turns = slices.Sorted(maps.Keys(groups))
}

// inOrder sorts the files of a log by their names. A file that has lost its name stays behind the one that it stood
// behind before.
func inOrder(files, before []*file) []*file {
	sorted := slices.DeleteFunc(slices.Clone(files), func(f *file) bool { return f.missing })
	slices.SortFunc(sorted, func(a, b *file) int {
		return cmp.Or(ship.Older(&a.name, &b.name), a.modified.Compare(b.modified), cmp.Compare(a.pos.ID, b.pos.ID))
	})
	place := 0
	for _, f := range before {
		if at := slices.Index(sorted, f); at >= 0 {
			place = at + 1
		} else if slices.Contains(files, f) {
			sorted = slices.Insert(sorted, place, f)
			place++
		}
	}
	for _, f := range files {
		if !slices.Contains(sorted, f) {
			sorted = slices.Insert(sorted, 0, f)
		}
	}
	return sorted
}

// absolute makes patterns independent of the working directory, so that a path is the same in every run.
func absolute(patterns []string) ([]string, error) {
	out := make([]string, 0, len(patterns))
	for _, p := range patterns {
		if _, err := filepath.Match(p, ""); err != nil {
			return nil, &FileError{p, errors.New("the pattern is not well-formed: a [ without its ]")}
		}
		a, err := filepath.Abs(p)
		if err != nil {
			return nil, &FileError{p, err}
		}
		out = append(out, a)
	}
	return out, nil
}
