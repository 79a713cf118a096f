package transaction

import (
	"fmt"
	"slices"
)

// While it is not seen whether a transaction has ended in a partition, nothing is written to it, and a transaction with records for it
// cannot end. That may last: a partition with fewer in-sync replicas than min.insync.replicas has no high watermark for as long
// (KIP-966). So its topic waits then, and nothing else does.
type unsure struct{ *Sender }

const unsureAfter = 5_000 // ms

func (s unsure) look(x *place) {
	switch {
	case x.part == nil:
	case x.part.id >= x.part.lane.remote.Count: // a former topic had it
		s.over(x)
	case s.now.Age-x.since >= unsureAfter:
		s.begin(x)
	}
}

func (s unsure) begin(x *place) {
	if s.markers.want(x); x.sight == unseen && !x.unsure {
		x.unsure = true
		x.part.lane.unsure++
	}
}

// over: it is seen now, or it is known that the marker is missing.
func (s unsure) over(x *place) {
	if x.unsure {
		x.unsure = false
		x.part.lane.unsure--
		s.reader.release(noTopic)
	}
}

// unsureWhy says what its topic waits for.
func (l *lane) unsureWhy() string {
	for _, p := range l.parts {
		if p.mark.unsure {
			why := fmt.Sprintf("partition %d: it is not seen whether the last transaction has ended there", p.id)
			if p.mark.why != "" {
				why += ": " + p.mark.why
			}
			return why
		}
	}
	return ""
}

// unsent reports whether records of c wait for such a partition.
func (l *lane) unsent(c *cut) bool {
	return l.unsure > 0 && slices.ContainsFunc(l.parts, func(p *partition) bool { return p.mark.unsure && p.waits(c) })
}

// waits reports whether records of c were not sent to p because of what was before.
func (p *partition) waits(c *cut) bool {
	return p.mark.sight == unseen && len(p.queue) > 0 && p.queue[0].cut == c && !p.queue[0].sent
}
