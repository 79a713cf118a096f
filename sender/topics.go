package sender

import (
	"fmt"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// topics are all that records were ever spooled for, with their partitions.
type topics struct {
	*call
	lanes    []*lane // ascending by ID
	byTopic  map[string]*lane
	flushing int // lanes of which not all has left that Flush was for
}

func (ts *topics) addLane(id spool.LaneID, topic string, bound protocol.TopicID, acc *accumulator.Lane) *lane {
	l := &lane{id: id, topic: topic, remote: ts.view.Follow(topic, bound), acc: acc}
	ts.lanes = append(ts.lanes, l)
	ts.byTopic[topic] = l
	return l
}

func (ts *topics) restoreLane(r *spool.Lane) {
	acc := accumulator.NewLane(r.ID, r.Topic, r.End, 0, r.Facts)
	acc.RestoreSettled(r.Settled)
	acc.RestoreMissing(r.Missing)
	l := ts.addLane(r.ID, r.Topic, r.TopicID, acc)
	l.backlog = acc.Pending()
	ts.view.SetPending(l.remote, l.backlog)
}

func (ts *topics) lane(id spool.LaneID) *lane {
	if int(id) < len(ts.lanes) && ts.lanes[id].id == id {
		return ts.lanes[id] // ids are given without gaps
	}
	for _, l := range ts.lanes {
		if l.id == id {
			return l
		}
	}
	panic(fmt.Sprintf("sender: lane %d was never announced", id))
}

// partition is partition n of l, made if need be.
func (ts *topics) partition(l *lane, n int32) *partition {
	for int32(len(l.parts)) <= n {
		l.parts = append(l.parts, &partition{lane: l, Machine: idempotence.New(l.acc, int32(len(l.parts)))})
	}
	return l.parts[n]
}

func (ts *topics) restorePartition(st *spool.PartitionState) {
	p := ts.partition(ts.lane(st.Lane), st.Partition)
	p.Restore(st)
	p.lane.remote.RestoreEpoch(p.ID, st.LeaderEpoch)
}

// collect notes what a call of p's machine changed for others. What it left in Steps is taken when the call of the
// core ends.
func (ts *topics) collect(p *partition) {
	l := p.lane
	ts.left(l)
	if n := p.Sequences(); !ts.checked && n.LastOffset >= 0 {
		l.remote.Expected = max(l.remote.Expected, p.ID+1)
	}
	if ts.e.Damage != nil && ts.stop == nil {
		ts.stop = &DamageError{ts.e.Damage}
	}
}

// left notes that entries of l may have left.
func (ts *topics) left(l *lane) {
	ts.view.SetPending(l.remote, l.acc.Pending())
	if l.flushing && l.acc.Settled() >= l.flushTo {
		l.flushing = false
		ts.flushing--
	}
}
