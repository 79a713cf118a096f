package disk

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// directory is where the spool's files are, and what a crash may make of them.
type directory struct {
	rng    *rand.Rand        // of what exactly a crash leaves
	home   string            // of the spool's directory and of limbo; "": nothing was opened yet
	copied map[string][]byte // files that are to be there then; nil: none
	adopt  bool              // the lock file is another one than the spool was made with
	path   string            // of the active file
	size   int64             // of it, when it was synced last
	gone   map[string]bool   // in limbo: files that were unlinked, and the directory was not synced since
	came   map[string]int    // what came to pass in the files, by name
}

// memory is a directory on a file system in memory, where there is one.
func memory() string {
	if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
		return "/dev/shm"
	}
	return ""
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("disk: the simulation's own files: %v", err))
	}
}

// segments are the names of the segment files, ascending.
func segments(dir string) (out []string) {
	list, err := os.ReadDir(dir)
	must(err)
	for _, e := range list {
		if strings.HasSuffix(e.Name(), ".db") {
			out = append(out, e.Name())
		}
	}
	return out
}

// image is a file's bytes.
type image struct {
	path  string
	bytes []byte
}

func (d *directory) spool() string { return filepath.Join(d.home, "spool") }
func (d *directory) limbo() string { return filepath.Join(d.home, "limbo") }

// readAll reads all files.
func (d *directory) readAll() map[string][]byte {
	out := map[string][]byte{}
	list, err := os.ReadDir(d.spool())
	must(err)
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(d.spool(), e.Name()))
		must(err)
		out[e.Name()] = b
	}
	return out
}

// newest is the file that commits go to.
func (d *directory) newest() string {
	list := segments(d.spool())
	return filepath.Join(d.spool(), list[len(list)-1])
}

// active reads it.
func (d *directory) active() image {
	path := d.newest()
	b, err := os.ReadFile(path)
	must(err)
	return image{path, b}
}

// settled: a commit is through, and the file synced.
func (d *directory) settled() {
	st, err := os.Stat(d.path)
	must(err)
	d.size = st.Size()
}

// undo makes the active file what it may be if the commit that made after of before is not durable. made: if the file was
// made for this commit, what it was called meanwhile.
func (d *directory) undo(before, after image, made string, power bool) {
	b := before.bytes
	if after.bytes != nil {
		var how string
		b, how = torn(d.rng, before.bytes, after.bytes, d.size, power)
		d.came[how]++
		must(os.WriteFile(before.path, b, 0o600))
	}
	if made == "" {
		return
	}
	switch d.rng.IntN(4) {
	case 0:
		d.came["new segment: not there"]++
		must(os.Remove(before.path))
	case 1:
		d.came["new segment: under its first name"]++
		must(os.Remove(before.path))
		must(os.WriteFile(filepath.Join(d.spool(), made), b[:d.rng.IntN(len(b)+1)], 0o600))
	}
}

// unlinking does work that may unlink segments. What it unlinks is kept: until the directory is synced, it may come back.
func (d *directory) unlinking(work func()) (unlinked []string) {
	for _, name := range segments(d.spool()) {
		must(os.Link(filepath.Join(d.spool(), name), filepath.Join(d.limbo(), name)))
	}
	work()
	there := segments(d.spool())
	for _, name := range segments(d.limbo()) {
		switch {
		case slices.Contains(there, name):
			must(os.Remove(filepath.Join(d.limbo(), name)))
		case !d.gone[name]:
			d.gone[name] = true
			unlinked = append(unlinked, name)
		}
	}
	return unlinked
}

// back gives an unlinked file back.
func (d *directory) back(name string) {
	must(os.Rename(filepath.Join(d.limbo(), name), filepath.Join(d.spool(), name)))
	delete(d.gone, name)
}

// forgetLimbo: the directory was synced.
func (d *directory) forgetLimbo() {
	for name := range d.gone {
		must(os.Remove(filepath.Join(d.limbo(), name)))
	}
	clear(d.gone)
}

// powerCut is what a power cut does besides: files come back, and the lock file, which is never synced, may be short.
func (d *directory) powerCut() {
	for _, name := range slices.Sorted(maps.Keys(d.gone)) {
		if one(d.rng, 2) {
			d.came["unlinked segment back"]++
			d.back(name)
		}
	}
	d.forgetLimbo()
	lock := filepath.Join(d.spool(), "lock")
	if st, err := os.Stat(lock); err == nil && one(d.rng, 6) {
		d.came["lock file cut short"]++
		must(os.Truncate(lock, d.rng.Int64N(st.Size()+1)))
	}
}

// lay makes the directory, with what a copied disk holds.
func (d *directory) lay() {
	if d.home != "" {
		return
	}
	home, err := os.MkdirTemp(memory(), "spoold-sim-")
	must(err)
	d.home = home
	must(os.Mkdir(d.limbo(), 0o700))
	if d.copied == nil {
		return
	}
	must(os.Mkdir(d.spool(), 0o700))
	for name, b := range d.copied {
		must(os.WriteFile(filepath.Join(d.spool(), name), b, 0o600))
	}
	d.copied, d.adopt = nil, true
}
