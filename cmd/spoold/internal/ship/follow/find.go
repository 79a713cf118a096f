package follow

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spoold/spoold/cmd/spoold/internal/ship"
	"github.com/spoold/spoold/internal/shortage"
)

// candidate is a file that may be one to follow.
type candidate struct {
	name     ship.Name
	id       ship.FileID
	size     int64
	modified time.Time
	gzip     bool
	first    []byte // its first bytes
	explicit bool   // a pattern names it; otherwise it is a rotated file of a log that one names
}

// finder looks for files. It remembers which directories had nothing new.
type finder struct {
	o        *Options
	wait     bool                 // until directories do not change
	links    bool                 // a path is a symbolic link: changes of its file are not notified
	between  func()               // called between looks at two files; tests change them there
	searched map[string]time.Time // directories whose files were all compared with missing ones, and their time of change
	readDir  func(string) ([]fs.DirEntry, error)
	short    *FileError            // the last search met a shortage: what it found is worthless
	denied   map[string]*FileError // by path: what the last search could not look at
	reported map[string]bool       // paths of short and denied that were reported as problems
}

// restless is how long a directory must not have changed to be listed as it is: a file that is renamed meanwhile may be
// listed under a former name, or not at all.
const restless = 10 * time.Millisecond

// listings is how often one search lists directories that change, at most.
const listings = 6

// find lists the files that the patterns name, and the rotated files of the same logs. known are the files of
// positions: those that have another name now are looked for in their directories. unsure are the logs of which a file
// may be missing in the list: files of them were renamed or removed between the last two listings.
func (w *finder) find(ctx context.Context, known map[ship.FileID]string) (list []candidate, dirs []string, unsure map[string]bool) {
	w.short = nil
	for try := 1; ; try++ {
		begin, before := time.Now(), list
		list, dirs = w.list(known)
		if w.o.Single || !w.wait || !slices.ContainsFunc(dirs, func(dir string) bool {
			info, err := os.Stat(dir)
			return err == nil && info.ModTime().After(begin.Add(-restless))
		}) {
			return list, dirs, nil
		}
		if try > 1 {
			unsure = moved(before, list)
			if len(unsure) == 0 || try == listings {
				return list, dirs, unsure
			}
		}
		select {
		case <-ctx.Done():
			return list, dirs, unsure
		case <-time.After(restless / 2):
		}
	}
}

// moved are the logs with a file that has not the same name in both lists, or none in the second. Files that only the second
// list has may be new: they do not count.
func moved(before, after []candidate) map[string]bool {
	type named struct {
		id   ship.FileID
		path string
	}
	there := make(map[named]bool, len(after))
	for i := range after {
		there[named{after[i].id, after[i].name.Path}] = true
	}
	logs := make(map[string]bool)
	for i := range before {
		if c := &before[i]; !there[named{c.id, c.name.Path}] {
			logs[c.name.Base] = true
		}
	}
	return logs
}

func (w *finder) list(known map[ship.FileID]string) (list []candidate, dirs []string) {
	seen := make(map[ship.FileID]bool)
	w.denied = nil
	add := func(path string, explicit bool) {
		w.between()
		info, err := os.Stat(path)
		switch {
		case explicit && errors.Is(err, fs.ErrPermission):
			w.cannot(filepath.Dir(path), err) // so none of its files can be looked at
			return
		case explicit && err != nil:
			w.cannot(path, err)
			return
		case err != nil || !info.Mode().IsRegular():
			return
		}
		id, _ := idOf(info)
		if seen[id] {
			return // another name of the same file
		}
		seen[id] = true
		name := w.o.nameOf(path)
		list = append(list, candidate{name: name, id: id, size: info.Size(), modified: info.ModTime(), gzip: name.Gzip, explicit: explicit})
	}
	paths, watch := w.expand()
	links := make(map[string]bool)
	for _, path := range paths {
		if isLink(path) {
			links[path] = true
		}
	}
	w.links = len(links) > 0
	// A link that rotation made of a log is the older name of it: the log's own goes first. So does a target that is named itself.
	slices.SortStableFunc(paths, func(a, b string) int {
		x, y := ship.ParseName(a), ship.ParseName(b)
		return cmp.Or(boolInt(x.Rotated())-boolInt(y.Rotated()), boolInt(links[a])-boolInt(links[b]))
	})
	if !w.o.Single {
		w.findBehind(paths, links)
	}
	for _, path := range paths {
		add(path, true)
	}
	if w.o.Single {
		return list, watch
	}
	bases := w.bases(list, known)
	for _, dir := range watch {
		if _, ok := bases[dir]; !ok {
			bases[dir] = nil
		}
	}
	for dir := range bases {
		watch = append(watch, dir)
		entries, err := w.readDir(dir)
		if shortage.Is(err) {
			w.cannot(dir, err)
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if name := w.o.nameOf(path); name.Rotated() && (slices.Contains(bases[dir], name.Base) || w.wants(name.Base)) {
				add(path, false)
			}
		}
		w.search(dir, entries, known, seen, add)
	}
	slices.Sort(watch)
	return list, slices.Compact(watch)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// expand is what the patterns name now, and the directories in which that may change.
func (w *finder) expand() (paths, watch []string) {
	if w.o.Single {
		return w.o.Patterns, []string{existing(filepath.Dir(w.o.Patterns[0]))}
	}
	for _, pattern := range w.o.Patterns {
		if info, err := os.Stat(pattern); err == nil {
			if !info.IsDir() {
				paths, watch = append(paths, pattern), append(watch, filepath.Dir(pattern))
				continue
			}
			watch = append(watch, pattern)
			for _, e := range w.entries(pattern) {
				if !strings.HasPrefix(e.Name(), ".") {
					paths = append(paths, filepath.Join(pattern, e.Name()))
				}
			}
			continue
		}
		found := w.glob(pattern)
		paths = append(paths, found...)
		for _, path := range found {
			watch = append(watch, filepath.Dir(path))
		}
		watch = append(watch, existing(filepath.Dir(pattern)))
	}
	return paths, watch
}

// existing is the deepest directory above a path that is there and has no wildcard.
func existing(dir string) string {
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return dir
		}
		dir = up
	}
}

// bases are the logs that the patterns mean, by directory: of files that are there, of names that have no
// wildcard, and of files that were read before.
func (w *finder) bases(list []candidate, known map[ship.FileID]string) map[string][]string {
	bases := make(map[string][]string)
	add := func(base string) {
		dir := filepath.Dir(base)
		if !slices.Contains(bases[dir], base) {
			bases[dir] = append(bases[dir], base)
		}
	}
	for i := range list {
		add(list[i].name.Base)
	}
	for _, path := range known {
		if w.wants(path) {
			add(w.o.nameOf(path).Base)
		}
	}
	for target, log := range w.o.behind {
		dir := filepath.Dir(target)
		bases[dir] = append(bases[dir], log)
	}
	for _, pattern := range w.o.Patterns {
		if info, err := os.Stat(pattern); (err != nil || !info.IsDir()) && !strings.ContainsAny(pattern, `*?[\`) {
			add(ship.ParseName(pattern).Base)
		}
	}
	return bases
}

// wants reports whether a pattern names the path, or the log that it belongs to.
func (w *finder) wants(path string) bool {
	if w.o.Single {
		return path == w.o.Patterns[0]
	}
	return w.means(path, w.o.nameOf(path).Base)
}

// means reports whether a pattern names the path or its log.
func (w *finder) means(path, base string) bool {
	return slices.ContainsFunc(w.o.Patterns, func(pattern string) bool { return names(pattern, path) || names(pattern, base) })
}

// names reports whether a pattern is a path, its directory, or a glob that it matches.
func names(pattern, path string) bool {
	ok, err := filepath.Match(pattern, path)
	return path == pattern || filepath.Dir(path) == pattern || ok && err == nil
}

// search looks for known files that have a name which rotation does not give. It looks at a directory
// again only when something was made, renamed or removed there.
func (w *finder) search(dir string, entries []fs.DirEntry, known map[ship.FileID]string, seen map[ship.FileID]bool, add func(string, bool)) {
	lost := false
	for id, path := range known {
		lost = lost || !seen[id] && filepath.Dir(path) == dir
	}
	info, err := os.Stat(dir)
	if !lost || err != nil || info.ModTime().Equal(w.searched[dir]) {
		return
	}
	w.searched[dir] = info.ModTime()
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}
		id, _ := idOf(info)
		if path, ok := known[id]; ok && filepath.Dir(path) == dir {
			add(filepath.Join(dir, e.Name()), false)
		}
	}
}
