package spoold

import "github.com/spoold/spoold/spool/bolt"

// RepairReport is what Repair has made.
type RepairReport struct {
	Kept            uint64          `json:"kept"` // records that are pending in the new spool
	Lost            int             `json:"lost"` // records that this repair found to be gone
	InDoubt         int             `json:"in_doubt"`
	DeadLettersLost int             `json:"dead_letters_lost"`
	Damaged         []DamagedReport `json:"damaged"`
	Gaps            []Gap           `json:"gaps"`
}

// DamagedReport is one damaged file of a spool.
type DamagedReport struct {
	Path string `json:"path"` // in the new spool, where it is kept
	What string `json:"what"`
	Kept int    `json:"kept"`
	Lost int    `json:"lost"`
}

// Incomplete reports whether anything is gone.
func (r *RepairReport) Incomplete() bool { return r.Lost+r.InDoubt+r.DeadLettersLost > 0 }

// Repair makes a new spool in the directory to, which must not be there, of all that can be vouched for of the one in from, which is
// not changed. copied is called with the bytes that were copied and all there are. A *CorruptError: the spool's state is damaged, and
// it cannot be known what was delivered: nothing is made then. A *LockedError: a process has the spool. It blocks on the disk.
func Repair(from, to string, copied func(done, all int64)) (*RepairReport, error) {
	made, err := bolt.Repair(from, to, copied)
	if err != nil {
		return nil, public(err)
	}
	rep := &RepairReport{Kept: made.Counters.Pending(), Damaged: []DamagedReport{}, Gaps: []Gap{}}
	for i := range made.Damage {
		d := &made.Damage[i]
		rep.Lost, rep.InDoubt, rep.DeadLettersLost = rep.Lost+d.Lost, rep.InDoubt+d.InDoubt, rep.DeadLettersLost+d.Dead
		rep.Damaged = append(rep.Damaged, DamagedReport{Path: d.Path, What: d.What, Kept: d.Kept, Lost: d.Lost})
		var gaps []bolt.Gap
		for _, g := range d.Gaps {
			gaps = append(gaps, bolt.Gap{Gap: g, Topic: made.Topics[g.Lane]})
		}
		rep.Gaps = append(rep.Gaps, gapsOf(gaps)...)
	}
	return rep, nil
}
