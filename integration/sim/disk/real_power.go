package disk

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"

	"github.com/spoold/spoold/spool/bolt"
)

// What a kill, a power cut and a failed commit leave in the files. Whether the commit under way is durable is given; how the
// files look then is chosen among what can be, with what spool/bolt assumes of a disk: a sync is honest, and what was not
// synced may be there in any part, sectors cut in two.

// openCut is a start that is cut off before its commit is durable.
func (r *Real) openCut(c Clock) {
	l := r.newLife(c)
	var before, after image
	l.first = func(do func() error) error {
		before = r.dir.active()
		r.dir.size = int64(len(before.bytes))
		if one(r.rng, 4) {
			return errKilled
		}
		if err := do(); err != nil {
			return err
		}
		after = r.dir.active()
		return errKilled
	}
	if _, _, err := bolt.Open(l.options); !errors.Is(err, errKilled) {
		differ("it does not open: %v", err)
	}
	r.dir.came["start cut off"]++
	r.dir.undo(before, after, l.made, one(r.rng, 2))
	if one(r.rng, 2) {
		r.dir.powerCut()
	}
}

// fail makes the commit under way fail.
func (r *Real) fail(durable, full bool) {
	l := r.life
	cause := error(&os.PathError{Op: "fdatasync", Path: r.dir.spool(), Err: syscall.EIO})
	if full {
		cause = &os.PathError{Op: "write", Path: r.dir.spool(), Err: syscall.ENOSPC}
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
		r.dir.undo(before, after, l.made, true)
	}
}

// interrupted lets the store end at the commit under way. after has no bytes if bbolt was not asked.
func (r *Real) interrupted(durable bool, cause error) (before, after image, err error) {
	l := r.life
	before = r.dir.active()
	ask := durable || !one(r.rng, 4)
	l.dead = true
	r.cutWork()
	l.orders <- func(do func() error) error {
		if !ask {
			return cause
		}
		if err := l.carry(do); err != nil {
			return err
		}
		after = r.dir.active()
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
	case !l.busy && !l.filling && one(r.rng, 4):
		r.dir.came["closed in order"]++
		l.stop()
		r.life = nil
	case durable && one(r.rng, 2):
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
			r.dir.undo(before, after, l.made, power)
		}
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

// cutWork ends background work at any point: what it would have done after that is undone.
func (r *Real) cutWork() {
	works := r.life.works
	r.life.works = nil
	done := r.rng.IntN(len(works) + 1)
	for i, w := range works {
		for _, name := range r.dir.unlinking(w) {
			if i >= done {
				r.dir.came["segment not unlinked"]++
				r.dir.back(name)
			}
		}
	}
}
