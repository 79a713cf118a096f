package disk

import (
	"fmt"
	"os"
)

// Lack has every attempt to have room, or a file, ahead fail with err from now on: something else has taken all that the system has of
// it. nil: it was given back.
func (a *Alone) Lack(err error) { a.real.lack = err }

// lacks is what an attempt to have size bytes of f fails with.
func (r *Real) lacks(f *os.File) error {
	if r.lack == nil {
		return nil
	}
	r.dir.came["no room ahead: "+r.lack.Error()]++
	return &os.PathError{Op: "open", Path: f.Name(), Err: r.lack}
}

// look has the committer, which stands still, look for room. It would else do that every now and then.
func (a *Alone) look() {
	l := a.real.life
	l.made = ""
	l.warm()
	a.real.rotated()
	a.real.dir.settled()
}

// Owned is what the files own, and what they may.
func (a *Alone) Owned() (bytes, most int64) { return a.stats.DiskBytes, a.stats.Limit }

// What the files of a spool may own beyond twice what is held, when all is at rest: four segments, each of at least eight states, and
// the state.
const (
	segmentsAhead = 4
	stateBytes    = 64 << 10
	restCommits   = 30 // until all is at rest
)

// Roomless says what is wrong with the room that the spool has taken, once all is delivered, or that it has no rest; or "".
func (a *Alone) Roomless() (what string) {
	defer unfit()
	l := a.real.life
	for range restCommits {
		a.look()
		l.work()
		st := l.store.Stats()
		most := 2*st.Bytes + segmentsAhead*max(a.real.tune.segment, 8*stateBytes) + stateBytes
		switch {
		case st.Full != "":
			what = "nothing is taken: " + st.Full
		case st.DiskBytes > most:
			what = fmt.Sprintf("its files own %d bytes, and may own %d with %d held", st.DiskBytes, most, st.Bytes)
		case l.made != "":
			what = "with nothing to do it goes from one segment to the next: " + l.made
		default:
			return ""
		}
	}
	return what
}
