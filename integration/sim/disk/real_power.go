package disk

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spoold/spoold/spool/bolt"
)

// What a kill, a power cut and a failed commit leave in the files. Whether the commit under way is durable is given; how the
// files look then is chosen among what can be, with what spool/bolt assumes of a disk: a sync is honest, and what was not
// synced may be there in any part, sectors cut in two.

func (r *Real) dir() string   { return filepath.Join(r.home, "spool") }
func (r *Real) limbo() string { return filepath.Join(r.home, "limbo") }

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

// readAll reads all files.
func (r *Real) readAll() map[string][]byte {
	out := map[string][]byte{}
	list, err := os.ReadDir(r.dir())
	must(err)
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(r.dir(), e.Name()))
		must(err)
		out[e.Name()] = b
	}
	return out
}

// image is a file's bytes.
type image struct {
	path  string
	bytes []byte
}

// newest is the file that commits go to.
func (r *Real) newest() string {
	list := segments(r.dir())
	return filepath.Join(r.dir(), list[len(list)-1])
}

// active reads it.
func (r *Real) active() image {
	path := r.newest()
	b, err := os.ReadFile(path)
	must(err)
	return image{path, b}
}

// settled: a commit is through, and the file synced.
func (r *Real) settled() {
	st, err := os.Stat(r.path)
	must(err)
	r.size = st.Size()
}

// openCut is a start that is cut off before its commit is durable.
func (r *Real) openCut(c Clock) {
	l := r.newLife(c)
	var before, after image
	l.first = func(do func() error) error {
		before = r.active()
		r.size = int64(len(before.bytes))
		if r.one(4) {
			return errKilled
		}
		if err := do(); err != nil {
			return err
		}
		after = r.active()
		return errKilled
	}
	if _, _, err := bolt.Open(l.options); !errors.Is(err, errKilled) {
		differ("it does not open: %v", err)
	}
	r.came["start cut off"]++
	r.undo(before, after, l.made, r.one(2))
	if r.one(2) {
		r.powerCut()
	}
}

// fail makes the commit under way fail.
func (r *Real) fail(durable, full bool) {
	l := r.life
	cause := error(&os.PathError{Op: "fdatasync", Path: r.dir(), Err: syscall.EIO})
	if full {
		cause = &os.PathError{Op: "write", Path: r.dir(), Err: syscall.ENOSPC}
	}
	before, after, err := r.interrupted(durable, cause)
	var space *bolt.SpaceError
	if !errors.Is(err, bolt.ErrPoisoned) || errors.As(err, &space) != full {
		differ("a commit meets %v, and says %v", cause, err)
	}
	for i := range l.promises {
		l.promises[i].unknown()
	}
	if _, err := l.store.AppendBatch(over, &bolt.BatchInput{Key: "after the end"}); !errors.Is(err, bolt.ErrPoisoned) {
		differ("after a commit that failed, Append says %v", err)
	}
	if !durable {
		r.undo(before, after, l.made, true)
	}
}

// interrupted lets the store end at the commit under way. after has no bytes if bbolt was not asked.
func (r *Real) interrupted(durable bool, cause error) (before, after image, err error) {
	l := r.life
	before = r.active()
	ask := durable || !r.one(4)
	l.dead = true
	r.cutWork()
	l.orders <- func(do func() error) error {
		if !ask {
			return cause
		}
		if err := l.carry(do); err != nil {
			return err
		}
		after = r.active()
		return cause
	}
	err = l.died()
	r.life = nil
	if !errors.Is(err, cause) {
		differ("a commit that ends with %v says %v", cause, err)
	}
	if l.early {
		differ("a caller was told that a batch is spooled before the commit was through")
	}
	return before, after, err
}

// cut ends the process.
func (r *Real) cut(durable, power bool) {
	l := r.life
	switch {
	case !l.busy && !l.filling && r.one(4):
		r.came["closed in order"]++
		l.stop()
		r.life = nil
	case durable && r.one(2):
		l.orders <- l.carry
		l.until(atRest)
		fallthrough
	case !l.busy:
		r.cutWork()
		l.kill()
		r.life = nil
	default:
		before, after, _ := r.interrupted(durable, errKilled)
		if !durable {
			r.undo(before, after, l.made, power)
		}
	}
}

// undo makes the active file what it may be if the commit that made after of before is not durable. made: if the file was
// made for this commit, what it was called meanwhile.
func (r *Real) undo(before, after image, made string, power bool) {
	b := before.bytes
	if after.bytes != nil {
		var how string
		b, how = torn(r.rng, before.bytes, after.bytes, r.size, power)
		r.came[how]++
		must(os.WriteFile(before.path, b, 0o600))
	}
	if made == "" {
		return
	}
	switch r.rng.IntN(4) {
	case 0:
		r.came["new segment: not there"]++
		must(os.Remove(before.path))
	case 1:
		r.came["new segment: under its first name"]++
		must(os.Remove(before.path))
		must(os.WriteFile(filepath.Join(r.dir(), made), b[:r.rng.IntN(len(b)+1)], 0o600))
	}
}

const (
	sector = 512
	page   = 4096
)

// torn is a file as it may be after a commit that was not carried to its end: bbolt writes pages of data, syncs, and
// then writes one of the two meta pages, which makes the commit count.
func torn(rng *rand.Rand, before, after []byte, synced int64, power bool) (out []byte, how string) {
	out = slices.Clone(after)
	meta := 0
	if !bytes.Equal(part(before, page, 2*page), after[page:2*page]) {
		meta = page
	}
	copy(out[meta:meta+page], before[meta:])
	if power && rng.IntN(3) == 0 {
		// Its record is 80 bytes. Cut anywhere it is not whole; a cut that leaves out one byte only would look like damage.
		cut := 8 * (1 + rng.IntN(9))
		copy(out[meta:meta+cut], after[meta:meta+cut])
		if bytes.Equal(out[meta:meta+80], after[meta:meta+80]) {
			copy(out[meta:meta+page], before[meta:])
		}
		return out, "meta page torn"
	}
	var changed []int // sectors
	for at := 2 * page; at < len(after); at += sector {
		if !bytes.Equal(part(before, at, at+sector), after[at:at+sector]) {
			changed = append(changed, at)
		}
	}
	old := func(at int) { copy(out[at:at+sector], part(before, at, at+sector)) }
	if !power { // the kernel keeps what was written, and bbolt writes in order
		for _, at := range changed[rng.IntN(len(changed)+1):] {
			old(at)
		}
		return out, "killed amid writing"
	}
	chance := []float64{0.02, 0.3, 0.7, 0.98}[rng.IntN(4)]
	last := 0
	for _, at := range changed {
		if rng.Float64() < chance {
			old(at)
			continue
		}
		last = at + sector
		if rng.IntN(8) == 0 { // cut in two
			cut := rng.IntN(sector)
			copy(out[at+cut:at+sector], part(before, at+cut, at+sector))
		}
	}
	sizes := []int{int(synced), len(before), len(after)}
	if size := sizes[rng.IntN(3)]; size >= last {
		out = out[:size]
	}
	return out, "data pages torn"
}

// part is b[from:to], with zeros where b has ended.
func part(b []byte, from, to int) []byte {
	if to <= len(b) {
		return b[from:to]
	}
	out := make([]byte, to-from)
	if from < len(b) {
		copy(out, b[from:])
	}
	return out
}

// unlinking does work that may unlink segments. What it unlinks is kept: until the directory is synced, it may come back.
func (r *Real) unlinking(work func()) (unlinked []string) {
	for _, name := range segments(r.dir()) {
		must(os.Link(filepath.Join(r.dir(), name), filepath.Join(r.limbo(), name)))
	}
	work()
	there := segments(r.dir())
	for _, name := range segments(r.limbo()) {
		switch {
		case slices.Contains(there, name):
			must(os.Remove(filepath.Join(r.limbo(), name)))
		case !r.gone[name]:
			r.gone[name] = true
			unlinked = append(unlinked, name)
		}
	}
	return unlinked
}

// cutWork ends background work at any point: what it would have done after that is undone.
func (r *Real) cutWork() {
	works := r.life.works
	r.life.works = nil
	done := r.rng.IntN(len(works) + 1)
	for i, w := range works {
		for _, name := range r.unlinking(w) {
			if i >= done {
				r.came["segment not unlinked"]++
				r.back(name)
			}
		}
	}
}

// back gives an unlinked file back.
func (r *Real) back(name string) {
	must(os.Rename(filepath.Join(r.limbo(), name), filepath.Join(r.dir(), name)))
	delete(r.gone, name)
}

// forgetLimbo: the directory was synced.
func (r *Real) forgetLimbo() {
	for name := range r.gone {
		must(os.Remove(filepath.Join(r.limbo(), name)))
	}
	clear(r.gone)
}

// powerCut is what a power cut does besides: files come back, and the lock file, which is never synced, may be short.
func (r *Real) powerCut() {
	for _, name := range slices.Sorted(maps.Keys(r.gone)) {
		if r.one(2) {
			r.came["unlinked segment back"]++
			r.back(name)
		}
	}
	r.forgetLimbo()
	lock := filepath.Join(r.dir(), "lock")
	if st, err := os.Stat(lock); err == nil && r.one(6) {
		r.came["lock file cut short"]++
		must(os.Truncate(lock, r.rng.Int64N(st.Size()+1)))
	}
}
