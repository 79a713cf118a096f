package follow

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/ship"
)

// isLink reports whether a path is a symbolic link: changes of its file are notified under another path.
func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// maxFormer bounds how many links are remembered that are not there now.
const maxFormer = 1000

// findBehind looks where the links among paths lead to: rotated files and copies are beside the target. A link to a path that a
// pattern means by itself, or to one that looks like a rotated file, has none: those beside such a target are other logs' files. A link
// that leads nowhere for the moment keeps the target it had.
func (w *finder) findBehind(paths []string, links map[string]bool) {
	behind, led := make(map[string]string), make(map[string]bool)
	for _, path := range paths {
		if !links[path] {
			continue
		}
		target := targetOf(path)
		if target == "" {
			continue
		}
		led[path] = true
		name := ship.ParseName(target)
		log := ship.ParseName(path)
		if _, twice := behind[target]; twice || name.Rotated() || log.Rotated() || w.means(target, target) {
			continue
		}
		behind[target] = path
	}
	for target, path := range w.o.behind {
		if _, other := behind[target]; !other && !led[path] && len(behind) < len(led)+maxFormer {
			behind[target] = path
		}
	}
	w.o.behind = behind
}

// targetOf is where a symbolic link leads to, also if there is no file now; "": it leads nowhere.
func targetOf(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	target, err := os.Readlink(path)
	if err != nil {
		return ""
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(path), target)
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(target))
	if err != nil {
		return ""
	}
	return filepath.Join(dir, filepath.Base(target))
}

// behindLink reports whether a path is a link whose rotated files and copies are looked for.
func (o *Options) behindLink(path string) bool {
	for _, log := range o.behind {
		if log == path {
			return true
		}
	}
	return false
}

// seeBehind makes a note of every target of a link: what turns up beside it from now on is new. Notes of links that are gone are kept,
// as these may come back, up to a limit.
func (l *lookedFor) seeBehind() (notes []spoold.Note) {
	there := make(map[string]bool)
	for target, log := range l.options.behind {
		name := l.behindName(target, log)
		if there[name] = true; !l.seenNotes[name] {
			l.seen[name], l.seenNotes[name] = true, true
			value := log + " -> " + target
			notes = append(notes, spoold.Note{Name: name, Value: []byte(value[:min(len(value), 1024)])})
		}
	}
	var gone []string
	for name := range l.seenNotes {
		if strings.HasPrefix(name, l.options.prefix()+seenBehindPrefix) && !there[name] {
			gone = append(gone, name)
		}
	}
	if len(gone) <= maxFormer {
		return notes
	}
	slices.Sort(gone)
	for _, name := range gone {
		delete(l.seen, name)
		delete(l.seenNotes, name)
		notes = append(notes, spoold.Note{Name: name})
	}
	return notes
}

// lookedBehind reports whether rotated files were looked for beside this target of the log before.
func (l *lookedFor) lookedBehind(target, log string) bool { return l.seen[l.behindName(target, log)] }

func (l *lookedFor) behindName(target, log string) string {
	sum := sha256.Sum256([]byte(log + "\x00" + target))
	return fmt.Sprintf("%s%s%x", l.options.prefix(), seenBehindPrefix, sum[:8])
}

const seenBehindPrefix = seenPrefix + "behind-"
