package transaction

import (
	"fmt"
	"math"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
)

// Without READ on a topic its leader does not say which transactions are open there. What DESCRIBE allows is asked then: the last
// stable offset, which no open transaction is below, nor one whose marker is not replicated yet (ListOffsets, read_committed). It
// shows that ours has ended as well, but not that ours is the one that is open: a transaction of another producer holds it back, too.
// So it is waited for longer than a marker is otherwise, before one that may not be missing is written.

// stableLooks is how often the last stable offset is looked at before a marker is taken for missing. At lookMaxMs these are 5 s.
const stableLooks = 17

// mayNotRead is what is said of a topic whose leader may not be asked for open transactions.
const mayNotRead = "this principal may write but not read the topic: grant READ, so that spoold can see whether the broker has marked the end of each transaction. " +
	"Without it records also wait for transactions of other producers that are open before them in the same partition"

// unread looks for the ends of transactions in topics that this principal may not read.
type unread struct{ *markers }

// note notes that l is such a topic.
func (s unread) note(l *lane) {
	if !l.unread {
		l.unread = true
		s.event(sender.TopicTrouble{Topic: l.topic, Code: protocol.TopicAuthorizationFailed, Message: mayNotRead, Delivered: true})
	}
}

// stable takes what the last stable offset of a place shows.
// A broker that starts again takes the first record that is left of a transaction for its beginning, where the log's start was raised
// into it: then its first offset is no measure.
func (s unread) stable(x *place, log shownLog, joined bool) {
	switch {
	case log.refused && x.open: // a marker more does no harm, a missing one does
		s.stillOpen(x, joined)
		return
	case log.refused:
		s.see(x)
		return
	case log.code != protocol.None || log.end < 0 || log.stable == -1:
		s.failed(x, log.says())
		return
	case !x.shown.stable || x.shown.other(log):
		x.shown = shown{end: log.end, epoch: log.epoch, stable: true}
	}
	if log.stable == notAsked {
		return // it is asked for at once
	}
	// What is open at a look began below the end of the log then, and ours with its first record.
	upTo := min(x.shown.end, x.end())
	if x.of != nil && x.first >= 0 && log.start >= 0 && log.start <= x.first {
		upTo = min(upTo, x.first+1)
	}
	if log.stable >= upTo {
		// A former process may have left a transaction open behind the one that is waited for.
		x.later = x.of != nil && x.of.cut == nil && log.stable < x.shown.end
		s.closed(x)
		return
	}
	x.looks++
	x.why = fmt.Sprintf("the last stable offset is %d: it, or a transaction of another producer before it, is open", log.stable)
	if x.looks >= stableLooks<<min(x.heals, 6) && (joined || s.sending == nil && s.ending == nil) {
		s.lose(x)
		return
	}
	s.pause(x)
}

// end is above all records of the transaction that is waited for in x.
func (x *place) end() int64 {
	if x.of == nil || x.last < 0 {
		return math.MaxInt64
	}
	return x.last + 1
}
