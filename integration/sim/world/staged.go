package world

import (
	"errors"
	"math/rand/v2"

	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/integration/sim/disk"
	"github.com/spoold/spoold/spool/bolt"
)

// streamStaged is Draw's own, as streamReal is.
const streamStaged = 0x57a6

// staged has all hosts of one seed in twenty with transactional ids keep their spools in files of spool/bolt, and write units to the
// disk in pieces before they are committed.
func (d *drawing) staged() {
	p := d.p
	x := rand.New(rand.NewPCG(p.Seed, streamStaged))
	if p.Cluster.Transactions == 0 || x.IntN(20) > 0 {
		return
	}
	for i := range p.Hosts {
		h := &p.Hosts[i]
		h.Real, h.Alone, h.MaxBytes, h.Piece = false, true, max(8*h.MaxBytes, smallestSpool), 1+x.IntN(6)
	}
}

// pieces is a unit on its way to the disk.
type pieces struct {
	op    int
	batch *bolt.BatchInput
	unit  *disk.Staged
	tell  func(check.Result)
	tries int // that were refused, one after the other
	left  int // pieces after which it is aborted; 0: it is not
}

// pieceTries is how often a piece is refused until its unit is given up.
const pieceTries = 30

// stager writes a host's units in pieces.
type stager struct{ *host }

// inPieces reports whether the host writes a batch in pieces.
func (h stager) inPieces(b *bolt.BatchInput) bool {
	return h.plan.Piece > 0 && b.Unit && b.Key == "" && len(b.Records) > 1 && h.chance.IntN(4) > 0
}

// takePieces is take of a batch that goes to the disk in pieces. Some are aborted half-way.
func (h stager) takePieces(op int, b *bolt.BatchInput, tell func(check.Result)) {
	s := &pieces{op: op, batch: b, unit: h.disk.(*disk.Alone).BeginUnit(b), tell: tell}
	if h.chance.IntN(8) == 0 {
		s.left = 1 + h.chance.IntN(3)
	}
	h.piece(s)
}

// piece writes the next one of a unit, or commits it.
func (h stager) piece(s *pieces) {
	d := h.disk.(*disk.Alone)
	if s.left--; h.closing || h.stopWith != nil || h.w.ag.Now() < h.full || s.left == 0 || s.tries == pieceTries {
		h.appended = d.AbortUnit(s.unit) || h.appended
		h.commit()
		s.tell(check.Refused)
		return
	}
	if s.unit.Whole() {
		h.wholeUnit(s)
		return
	}
	r, err := d.Stage(s.unit, 1+h.chance.IntN(h.plan.Piece))
	if h.pieceLater(s, err) {
		return
	}
	s.tries = 0
	if r.Group == 0 {
		h.after(0, func() { h.piece(s) })
		return
	}
	h.waiters[r.Group] = append(h.waiters[r.Group], waiter{s.op, func(x check.Result) {
		if x != check.OK { // nothing of it counts
			s.tell(check.Refused)
			return
		}
		h.after(h.chance.Int64N(3), func() { h.piece(s) })
	}})
	h.appended = true
	h.commit()
}

// wholeUnit commits a unit of which all is on the disk.
func (h stager) wholeUnit(s *pieces) {
	r, err := h.disk.(*disk.Alone).CommitUnit(s.unit)
	if h.pieceLater(s, err) {
		return
	}
	h.byBatch[s.batch] = s.op
	h.waiters[r.Group] = append(h.waiters[r.Group], waiter{s.op, s.tell})
	h.appended = true
	h.commit()
}

// pieceLater has what was refused tried again, as one who waits for room does.
func (h stager) pieceLater(s *pieces, err error) bool {
	switch {
	case errors.Is(err, disk.ErrFull):
		s.tries++
		s.left++ // not this one
		h.after(1+h.chance.Int64N(20), func() { h.piece(s) })
		return true
	case err != nil:
		panic("a unit in pieces: " + err.Error())
	}
	return false
}
