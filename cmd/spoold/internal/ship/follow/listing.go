package follow

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spoold/spoold/internal/shortage"
)

// entries are those of a directory. One that cannot be listed for a shortage makes the whole list worthless: its files would be
// taken for removed ones.
func (w *finder) entries(dir string) []fs.DirEntry {
	entries, err := os.ReadDir(dir)
	if shortage.Is(err) && w.short == nil {
		w.short = &FileError{dir, err}
	}
	return entries
}

// glob is filepath.Glob, which does not say that a directory could not be read.
func (w *finder) glob(pattern string) (paths []string) {
	if !strings.ContainsAny(pattern, `*?[\`) {
		if _, err := os.Lstat(pattern); err == nil {
			paths = append(paths, pattern)
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
