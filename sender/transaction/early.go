package transaction

import (
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// early is what a lane has wait for the broker's clock. A broker refuses a record whose timestamp is ahead of its clock, as a host with a
// fast clock stamps it, and takes it later: its transaction is aborted, and its unit is left out of those that follow, with what stands
// behind it. What stands before it goes on.
type early struct {
	at    spool.Index // the first entry of the unit
	until int64       // Age: it is not tried before
	why   string
	tries int
	low   spool.Index // below it all had left at the first of these tries
}

// Between two tries, ms.
const (
	earlyFirst = 5_000
	earlyLast  = 300_000
)

// holds is the Age before which a unit with such a run is not tried; 0: it may be.
func (x *early) holds(r *spool.UnitRun, now int64) int64 {
	if x.until <= now || r.Span().End <= x.at {
		return 0
	}
	return x.until
}

// comesEarly has the unit of entry i, at a place of a refused batch, wait if the broker says that it is ahead of its clock.
func (s *runner) comesEarly(f *flight, place int32, i spool.Index, a *answer, detail string) bool {
	if a.code != protocol.InvalidTimestamp || f.cut.online != nil {
		return false
	}
	stamp, err := f.batch.Timestamp(place)
	if err != nil || !protocol.TimestampAhead(a.message, stamp) {
		return false // bytes that are damaged are found when they are read
	}
	l := f.part.lane
	for _, r := range f.cut.unitOf(l.id, i) {
		if r.Lane == l.id {
			i = r.First
		}
	}
	x, low := &l.early, l.settled.Low()
	if x.until > s.now.Age { // another record of this transaction was refused so
		x.at = min(x.at, i)
		return true
	}
	if low > x.low {
		x.low, x.tries = low, 0
	}
	pause := int64(earlyFirst)
	for range x.tries {
		pause = min(2*pause, earlyLast)
	}
	x.at, x.until, x.why, x.tries = i, s.now.Age+pause, "ahead of the broker's clock, and tried again until that is no longer so: "+detail, x.tries+1
	s.wake(x.until)
	if x.tries == 1 {
		s.event(sender.TopicTrouble{Topic: l.topic, Code: a.code, Message: x.why})
	}
	return true
}
