package broker

import (
	"fmt"
	"slices"

	"github.com/spoold/spoold/integration/sim/raw"
)

// replica is one broker's copy of one partition: log, high watermark, producer state (Partition, UnifiedLog).
type replica struct {
	node   *node
	topic  *topic
	number int32
	gone   bool // deleted

	view    *topicView // of the node, with the topic's configuration
	log     []entry
	start   int64   // log start offset
	saved   int64   // start as it is written down
	raised  int64   // when start was
	deleted []entry // below it, but still in the segment's file, down to floor
	floor   int64
	hw      int64 // high watermark

	producers map[int64]*producer
	verifying map[int64]verifying // by producer id
	verified  int64               // the last such number
	snapshots []snapshot          // by offset, ascending

	leader     int32
	epoch      int32
	version    int32
	isr        []int32
	replicas   []int32
	epochStart int64 // where the log ended when this reign began

	// As a leader.
	followers []follower
	waiting   []*delayed
	watching  bool
	watchMs   int64
	// As a follower.
	source   *replica // the leader's, when it was last asked
	tick     func()   // fetchNow, made once
	fetching bool     // tick will be called
	patience int64    // until it fetches again in vain
	truncate bool     // to where the leader's log agrees, before the first fetch of an epoch
}

// entry is one batch in the log.
type entry struct {
	offset int64
	count  int64 // offsets that it takes
	epoch  int32 // leader epoch under which it was appended
	pid    int64
	pepoch int16
	base   int32
	last   int32
	maxTS  int64
	raw    raw.Batch // as a Fetch gives it

	transactional bool
	v2            bool  // it is of a producer of KIP-890; of a marker: its epoch is newer than its transaction's
	serial        int64 // number of the transaction that it belongs to
	unread        bool  // it went below the log start while that was open
	marker        markerKind
	reign         int32 // of a marker: epoch of the coordinator that wrote it
	began         int64 // of a marker: first offset of the transaction that it ends here; its own: of none
	note          any   // in internal topics: what was written
}

func (e *entry) end() int64 { return e.offset + e.count }

// follower is what a leader has of another replica.
type follower struct {
	id         int32
	replica    *replica
	end        int64 // its log end, by its last fetch; -1: it has sent none in this reign
	caughtUp   int64 // when it last had all
	lastFetch  int64
	endAtFetch int64 // the leader's log end then
}

// String leaves out what differs from run to run.
func (f follower) String() string {
	return fmt.Sprintf("{%d end %d caught up at %d, fetched at %d}", f.id, f.end, f.caughtUp, f.lastFetch)
}

func (r *replica) end() int64 {
	if n := len(r.log); n > 0 {
		return r.log[n-1].end()
	}
	return r.start
}

func (r *replica) leads() bool { return r.leader == r.node.id && !r.gone }

// assume takes the role that the controller has given.
func (r *replica) assume(s partitionView) {
	r.version, r.replicas = s.version, s.replicas
	newReign := s.epoch != r.epoch
	wasLeader := r.leads()
	r.leader, r.epoch, r.isr = s.leader, s.epoch, slices.Clone(s.isr)
	if r.leads() {
		if newReign || !wasLeader {
			r.reign()
		}
		r.raiseHW()
		r.settleWaiting()
		r.pokeFollowers() // who thought it was in sync may not be
		return
	}
	r.followers = nil
	transactions{r}.resign()
	r.settleWaiting() // what waits here for a high watermark is not ours to give any more
	if newReign {
		r.truncate = true
	}
	r.patience = 0
	r.poke()
}

// reign begins to lead: nothing is known of the followers (Replica.resetReplicaState).
func (r *replica) reign() {
	r.epochStart, r.watchMs = r.end(), 0
	r.verifying = nil
	transactions{r}.coordinate()
	r.followers = r.followers[:0]
	now := r.node.c.now()
	for _, id := range r.replicas {
		if id == r.node.id {
			continue
		}
		f := follower{id: id, end: -1, endAtFetch: -1}
		if slices.Contains(r.isr, id) {
			f.caughtUp = now
		}
		r.followers = append(r.followers, f)
	}
	r.watch()
}

// append puts a batch at the end of the log of a leader.
func (r *replica) append(e entry) {
	r.log = append(r.log, e)
	r.remember(&e)
	r.raiseHW()
	r.pokeFollowers()
	r.watch()
}

// raiseHW is Partition.maybeIncrementLeaderHW.
func (r *replica) raiseHW() {
	if !r.leads() || len(r.isr) < r.minISR() {
		return
	}
	hw := r.end()
	now := r.node.c.now()
	for i := range r.followers {
		f := &r.followers[i]
		in := slices.Contains(r.isr, f.id)
		if f.end < hw && (in || r.nearlyIn(f, now)) {
			hw = f.end
		}
	}
	if hw > r.hw {
		r.hw = hw
		r.settleWaiting()
		r.pokeFollowers()
	}
}

// nearlyIn: a follower outside of the ISR that keeps up is waited for, so that it can join.
func (r *replica) nearlyIn(f *follower, now int64) bool {
	return (f.end == r.end() || f.caughtUp > 0 && now-f.caughtUp <= r.node.c.cfg.Lag) && r.node.c.controller.active(f.id)
}

func (r *replica) minISR() int { return min(max(r.view.config.MinISR, 1), len(r.replicas)) }

// watch looks after a while whether a follower has fallen behind (isr-expiration).
func (r *replica) watch() {
	if r.watching || !r.leads() || len(r.isr) < 2 || !r.behind() {
		return
	}
	r.watching = true
	reign, size := r.epoch, len(r.isr)
	r.node.after(max(r.node.c.cfg.Lag+1, r.watchMs), func() {
		r.watching = false
		if r.leads() {
			r.shrinkISR()
			r.watchMs = min(2*max(r.watchMs, r.node.c.cfg.Lag+1), 5000) // a leader that is cut off cannot, perhaps all night
			if r.epoch != reign || len(r.isr) != size {
				r.watchMs = 0
			}
			r.watch()
		}
	})
}

func (r *replica) behind() bool {
	for i := range r.followers {
		if r.followers[i].end < r.end() {
			return true
		}
	}
	return false
}

func (r *replica) shrinkISR() {
	now := r.node.c.now()
	keep := r.isr
	for i := range r.followers {
		f := &r.followers[i]
		if slices.Contains(r.isr, f.id) && f.end != r.end() && now-f.caughtUp > r.node.c.cfg.Lag {
			keep = without(keep, f.id)
		}
	}
	if len(keep) < len(r.isr) {
		r.alter(keep)
	}
}

// alter asks the controller for another ISR, and takes it at once if it is given.
func (r *replica) alter(isr []int32) {
	if r.node.cutOff || int(r.number) >= len(r.topic.parts) {
		return
	}
	p := r.topic.parts[r.number]
	if r.node.c.controller.alterISR(r.node.id, p, r.epoch, r.version, isr) {
		r.isr, r.version = slices.Clone(isr), p.version
		if v := r.node.views[r.topic.name]; v != nil && v.topic == r.topic {
			s := v.parts[r.number]
			s.isr, s.version = r.isr, r.version
			v.parts[r.number] = s
		}
		r.raiseHW()
		r.settleWaiting()
	}
}
