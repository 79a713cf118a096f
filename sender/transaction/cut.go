package transaction

import (
	"github.com/spoold/spoold/spool"
)

// cut is what one Kafka transaction carries: of each of its lanes the run from lane.from up to
// lane.gate, as long as it is the one being filled.
type cut struct {
	lanes    []*lane
	runs     []spool.CutLane   // of lanes, once it was fixed
	units    [][]spool.UnitRun // of more than one record
	records  int
	admitted int // units
	bytes    int
	since    int64 // Age of the first admission
	beganAt  int64 // Age at which its transaction was begun
	lasts    int64 // its time-out, ms
	full     bool  // it has come to a limit
	closed   bool  // it takes no more
	fixed    bool  // closed, and all of it was read
	onWire   int   // Produce requests' batches that are not answered

	unacked int // batches made and not acknowledged
	acked   []acked
	parts   map[*partition]*written

	online  *online      // the unit that it carries alone, and that is not spooled
	healing *healing     // it carries nothing: it has missing markers written
	touched []*partition // that the coordinator may know of

	key     string // topic of the progress key
	ordinal uint64
	failed  bool // it will be aborted once nothing of it is on the wire
	why     string
	dead    []deadUnit // what goes to the dead letters after the abort
	closeAt int64      // Age at which it was closed
}

// acked is a batch that is on all in-sync replicas.
type acked struct {
	lane      *lane
	partition int32
	spans     []spool.Span
	offset    int64
	stamp     int64
	bytes     int
	records   int32
}

// written is what a transaction wrote to a partition.
type written struct {
	first   int64 // offset; -1: a duplicate was acknowledged, without an offset
	last    int64
	records int32
}

func newCut() *cut { return &cut{parts: make(map[*partition]*written)} }

// open reports whether units may be admitted.
func (c *cut) open() bool { return !c.closed && !c.full }

// hindered says why it cannot go on: it has a topic where a marker is missing, or is not seen.
func (c *cut) hindered() string {
	for _, l := range c.lanes {
		switch {
		case l.lost > 0:
			return "a marker that a transaction before it has left is missing"
		case l.unsent(c):
			return l.topic + ": " + l.unsureWhy()
		}
	}
	return ""
}

// read reports whether all that was admitted is in batches.
func (c *cut) read() bool {
	if c.fixed {
		return true
	}
	for _, l := range c.lanes {
		if l.skip(l.pos) < l.gate {
			return false
		}
	}
	return true
}

// fix keeps what the cut carries: its lanes go on to the next one.
func (c *cut) fix() {
	c.closed, c.fixed = true, true
	for _, l := range c.lanes {
		c.runs = append(c.runs, spool.CutLane{Lane: l.id, Span: spool.Span{First: l.from, End: l.gate}})
		for _, p := range l.parts {
			if p.open != nil && p.open.cut == c {
				p.open.batch.Finish()
				p.open = nil
			}
		}
	}
}

// unitOf is the unit that an entry belongs to.
func (c *cut) unitOf(lane spool.LaneID, i spool.Index) []spool.UnitRun {
	for _, u := range c.units {
		for _, r := range u {
			if sp := r.Span(); r.Lane == lane && i >= sp.First && i < sp.End {
				return u
			}
		}
	}
	return []spool.UnitRun{{Lane: lane, First: i, Count: 1}}
}
