package follow

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spoold/spoold/internal/shortage"
)

// cannot takes note of what the search could not look at: nothing is known then of that, and of what is below it. A shortage makes the
// whole search worthless.
func (w *finder) cannot(path string, err error) {
	switch {
	case shortage.Is(err):
		if w.short == nil {
			w.short = &FileError{path, err}
		}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
	case w.denied[path] == nil:
		if w.denied == nil {
			w.denied = make(map[string]*FileError)
		}
		w.denied[path] = &FileError{path, err}
	}
}

// hides reports whether the last search could not look at a path or at a directory above it: what is there is not gone.
func (w *finder) hides(path string) bool {
	for len(w.denied) > 0 {
		if w.denied[path] != nil {
			return true
		}
		up := filepath.Dir(path)
		if up == path {
			break
		}
		path = up
	}
	return false
}

// entries are those of a directory that a pattern needs. Its files would be taken for removed ones if it cannot be listed.
func (w *finder) entries(dir string) []fs.DirEntry {
	entries, err := w.readDir(dir)
	if err != nil {
		if info, no := os.Stat(dir); no == nil && !info.IsDir() {
			return nil // a file among the directories that a glob means
		}
		w.cannot(dir, err)
	}
	return entries
}

// glob is filepath.Glob, which does not say that a directory could not be read.
func (w *finder) glob(pattern string) (paths []string) {
	if !strings.ContainsAny(pattern, `*?[\`) {
		if _, err := os.Lstat(pattern); err == nil {
			paths = append(paths, pattern)
		} else {
			w.cannot(pattern, err)
		}
		return paths
	}
	dir, last := filepath.Split(pattern)
	dirs := []string{dir}
	if parent := filepath.Clean(dir); strings.ContainsAny(dir, `*?[\`) && parent != pattern {
		dirs = w.glob(parent)
	}
	for _, dir := range dirs {
		for _, e := range w.entries(filepath.Clean(dir)) {
			if ok, err := filepath.Match(last, e.Name()); ok && err == nil { // the pattern was examined at the start
				paths = append(paths, filepath.Join(dir, e.Name()))
			}
		}
	}
	return paths
}
