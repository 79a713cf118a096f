package follow

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/ship"
	"github.com/spoold/spoold/internal/shortage"
)

// group is a log: its rotated files, the oldest first, and the file that is written now.
type group struct {
	base  string
	files []*file
	dirty bool // something may be there to be read
}

// searched reports what could not be looked at. false: for lack of descriptors or memory, and all files stay as they are until
// directories can be listed.
func (w *Follower) searched() bool {
	denied := w.find.denied
	if short := w.find.short; short != nil {
		denied = map[string]*FileError{short.Path: short}
	}
	for path := range w.unread {
		_, err := os.Lstat(path)
		if w.find.reported[path] && denied[path] == nil || errors.Is(err, fs.ErrNotExist) {
			w.mended(path)
		}
	}
	w.find.reported = make(map[string]bool, len(denied))
	for path, e := range denied {
		w.find.reported[path] = true
		w.fail(path, e.Err)
	}
	return w.find.short == nil
}

// scan looks which files are there, which of them were read before, and where they go on.
func (w *Follower) scan(ctx context.Context) error {
	if err := w.settle(ctx, 0); err != nil { // positions that are written below must not be ahead of the disk
		return err
	}
	list, dirs, unsure := w.find.find(ctx, w.known())
	if !w.searched() {
		return nil
	}
	w.watch.dirs(dirs)
	w.watch.links = w.find.links
	for _, f := range w.files {
		f.missing = !w.find.hides(f.name.Path)
	}
	w.index(list)
	w.hold(unsure)
	left := w.recognise(list)
	w.notes = nil
	fresh := make(map[string]bool)
	for i := range left {
		c := &left[i]
		if w.blocked[c.name.Base] {
			continue // a file that is older may be the one that goes on where this one seems to
		}
		w.find.between()
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
			fresh[c.name.Base] = true
		}
		if p.Offset > 0 || p.Ignored {
			w.notes = append(w.notes, w.o.note(p))
		}
	}
	// What was written before the bytes of a new file may have got its name, or have been copied, after the files were listed. It was
	// so before the new file was opened: the next list has it, and only then the new one is read.
	for base := range fresh {
		w.blocked[base], w.watch.scan = true, true
	}
	notes := append(append(w.notes, w.forget()...), w.see(w.find.hides)...)
	notes = append(notes, w.reportGaps(w.now())...)
	w.order()
	return w.commit(ctx, notes)
}

// commit has notes in the spool when it comes back without an error.
func (w *Follower) commit(ctx context.Context, notes []spoold.Note) error {
	if len(notes) == 0 {
		return nil
	}
	err := w.send(ctx, "", spoold.Batch{Notes: notes}, 0)
	if err == nil {
		err = w.settle(ctx, 0)
	}
	return err
}

// maxUnsure is how many scans in a row hold a log back: about three seconds of renaming without a pause.
const maxUnsure = 100

// hold keeps the logs back of which a file may be missing in the list, until a list is sure. A directory whose
// files are renamed or removed all the time is taken as it was listed in the end.
func (w *Follower) hold(unsure map[string]bool) {
	for base := range w.unsure {
		if !unsure[base] {
			delete(w.unsure, base)
		}
	}
	for base := range unsure {
		if w.unsure[base]++; w.unsure[base] <= maxUnsure {
			w.blocked[base], w.watch.scan = true, true
		}
	}
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
	w.overwritten = make(map[uint64]bool)
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
		base := w.o.nameOf(p.Path).Base
		w.logs[base] = true
		if f := w.held[p.ID]; p.Offset > 0 || f != nil && (len(f.first) > 0 || f.h != nil) {
			w.byLog[base] = append(w.byLog[base], p)
		}
	}
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
		w.find.between()
		if f := w.files[c.id]; f != nil {
			if w.found(f, c) {
				continue
			}
			w.replaced(f)
			left = append(left, *c)
			continue
		}
		p, err := fitting(c, byFile[c.id])
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
	if shortage.Is(err) {
		w.blocked[c.name.Base] = true
	}
	w.fail(c.name.Path, err)
}

// found takes note of where a followed file is now. false: it holds other bytes than those that were read.
func (w *Follower) found(f *file, c *candidate) bool {
	f.missing = false
	if f.h == nil && !f.same(c) {
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

// follow begins to read a file at its position.
func (w *Follower) follow(c *candidate, p *ship.Position) {
	f := &file{pos: p, read: clone(p), name: w.o.nameOf(p.Path), id: c.id, size: c.size, most: c.size, changed: w.now()}
	f.split.Format = w.o.Format
	f.pos.FileID, f.read.FileID = c.id, c.id
	f.named(c)
	if w.cutFrom[c.id] {
		f.skipNUL = p.Offset == 0
		delete(w.cutFrom, c.id)
	}
	delete(w.cut, p.ID)
	p.Cut, f.read.Cut = false, false
	if p.Offset == 0 && !p.Gzip {
		f.first = c.first
	}
	if !p.Gzip && len(w.files) < w.o.MaxOpen {
		if f.open() == nil { // so that it can be read to its end if it is removed; whoever reads it reports an error
			w.mended(c.name.Path)
		}
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
