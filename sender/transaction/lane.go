package transaction

import (
	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

// lane is a topic's way through the spool.
type lane struct {
	id         spool.LaneID
	topic      string
	remote     *cluster.Topic
	end        spool.Index // one above the last committed entry
	settled    *spool.Set
	counted    int32        // partitions, as they were reported last
	guest      bool         // nothing was ever spooled for the topic: it has no LaneID
	unreadable []spool.Span // damage to the spool has taken them, and their fate is not known
	recovered  spool.Index  // entries below it were spooled by an earlier process
	flushTo    spool.Index
	since      int64 // Age since which the first record that has not left is the same one

	pos  spool.Index // all below is in batches of this process, or has left
	gate spool.Index // all below was admitted to a cut
	from spool.Index // what was admitted to the cut being filled begins here
	in   *cut        // the cut that from is of

	parts  []*partition
	sticky int32 // partition of records without a key, until its batch is full

	why     stall
	waitFor *lane // for otherLane, and for noTopic if it is that lane's
	detail  string
	retryAt int64 // Age: the topic is not tried before, because of detail
	retries int
	blocked string // what the cluster refused, or what a unit waits for, when the topic was tried last; "": nothing, or a record has left since
	noKeyTo int64  // Age: progress is not committed on the topic before, because the cluster refused it there
	early   early
	held    spool.Index // nothing up to here is sent: a parked transaction has it; 0: none has
	heldWhy string
	parked  string             // why an operator has to decide on its next unit; "": nobody has
	lost    int                // partitions where the marker of a transaction is missing
	unsure  int                // partitions where it is not seen whether one has ended, see unsure.go
	unread  bool               // this principal may not read the topic: where transactions end in it cannot be seen
	inspect bool               // a former process may have left a transaction open in it
	missing int32              // a record waits for this partition, which the topic does not have; -1: none
	lacking spool.Index        // that record, or the first one here of its unit
	swept   []spool.UnitRun    // the unit whose entries a sweep reads
	sizing  accumulator.Sizing // of its batches
	alone   spool.Index        // below it every record goes in a batch of its own: one of them was refused

	lookedAt uint64 // call in which canWrite was found out
	canWrite bool

	feedID uint64 // of the Feed under way, or 0
	bytes  int    // asked for by it
}

// stall is why a lane's next entry is not taken.
type stall uint8

const (
	free      stall = iota
	noMemory        // until a batch was acknowledged
	cutFull         // until the next cut is filled
	noTopic         // until metadata says something else, or retryAt
	otherLane       // the unit has entries in waitFor, which was not read up to them
)

func (s *reader) addLane(id spool.LaneID, topic string, bound protocol.TopicID) *lane {
	l := &lane{id: id, topic: topic, remote: s.view.Follow(topic, bound), settled: newSettled(), missing: -1}
	s.lanes = append(s.lanes, l)
	s.followed = append(s.followed, l)
	s.byTopic[topic] = l
	return l
}

func newSettled() *spool.Set { return spool.NewSet(0) }

func (l *lane) pending() int { return int(l.end) - l.settled.CountIn(spool.Span{End: l.end}) }

// rewind has everything that has not left read again.
func (l *lane) rewind() {
	l.pos = min(l.settled.NextAbsent(0), l.end)
	l.gate, l.from, l.in = l.pos, l.pos, nil
	l.why, l.waitFor = free, nil
}

// skip moves an index over what has left.
func (l *lane) skip(i spool.Index) spool.Index {
	if i >= l.end {
		return i
	}
	return min(l.settled.NextAbsent(i), l.end)
}
