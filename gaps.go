package spoold

import (
	"slices"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// Gap is a run of a topic's records that left the spool without having been delivered: dropped by policy, or lost to damage.
type Gap struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"` // -1: not known, or several
	First     uint64 `json:"first"`     // the records' places among those of the topic in the spool, from 0
	Last      uint64 `json:"last"`
	Count     int    `json:"count"`
	Outcome   string `json:"outcome"` // "expired" or "lost"
	At        int64  `json:"at"`      // ms since 1970
	Why       string `json:"why"`
}

// gapsOf are gaps of the spool as this package documents them; nil if there are none.
func gapsOf(list []bolt.Gap) []Gap {
	var out []Gap
	for _, g := range list {
		outcome := "expired"
		if g.Outcome == spool.OutcomeLost {
			outcome = "lost"
		}
		out = append(out, Gap{
			Topic: g.Topic, Partition: g.Partition, First: uint64(g.First), Last: uint64(g.End - 1), Count: g.Len(), Outcome: outcome, At: g.At, Why: g.Why,
		})
	}
	return out
}

// suspects are the segments that were found damaged while the Producer ran: of those every byte is looked at when the spool is opened.
type suspects []uint64

// add reports whether err says that a segment is damaged which was not among them.
func (s *suspects) add(err error) bool {
	damage := find[*CorruptError](err)
	if damage == nil || slices.Contains(*s, damage.Segment) {
		return false
	}
	*s = append(*s, damage.Segment)
	return true
}

// tellDamage reports the segments that a start has set aside.
func (h *Hooks) tellDamage(list []spool.SegmentDamage) {
	for i := range list {
		d := &list[i]
		call(h, h.SegmentDamaged, SegmentDamaged{
			Segment: d.Segment, Path: d.Path, What: d.What, Kept: d.Kept, Lost: d.Lost, InDoubt: d.InDoubt, DeadLetters: d.Dead, Divided: d.Divided, KeyBlocks: d.Keys,
		})
	}
}
