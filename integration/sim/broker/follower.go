package broker

import "slices"

// A follower asks its leader for what comes behind its own log; by that the leader learns how far it is.
// What it asked for tells of the fetch before: a leader knows of an append one fetch later.

// batchesPerFetch bounds one fetch.
const batchesPerFetch = 8

func (r *replica) pokeFollowers() {
	for i := range r.followers {
		n := r.node.c.nodes[r.followers[i].id]
		if f := n.replicas[replicaKey{r.topic.id, r.number}]; f != nil {
			f.poke()
		}
	}
}

// poke has a follower fetch soon.
func (r *replica) poke() { r.pokeIn(r.node.c.within(r.node.c.cfg.Fetch)) }

func (r *replica) pokeIn(ms int64) {
	if r.fetching || r.gone || !r.node.alive || r.leader < 0 || r.leads() {
		return
	}
	r.fetching = true
	r.node.after(ms, func() {
		r.fetching = false
		r.fetch()
	})
}

func (r *replica) fetch() {
	c := r.node.c
	if r.gone || r.leads() || r.leader < 0 {
		return
	}
	n := c.nodes[r.leader]
	from := n.replicas[replicaKey{r.topic.id, r.number}]
	if r.node.slow || r.node.cutOff || n.cutOff || !n.running() {
		return // it is poked when that ends
	}
	if from == nil || !from.leads() || from.epoch != r.epoch {
		r.pokeAgain() // one of them does not know yet
		return
	}
	if r.truncate {
		r.truncate = false
		r.cut(r.agreesTo(from))
	}
	if r.end() < from.start { // all it has was deleted meanwhile (truncateFullyAndStartAt)
		r.raiseStart(from.start)
		r.log, r.producers, r.snapshots = nil, map[int64]*producer{}, nil
	}
	from.fetchedBy(r.node.id, r.end())
	before := r.end()
	r.copyFrom(from)
	// The high watermark that came with the answer.
	if hw := min(from.hw, r.end()); hw > r.hw {
		r.hw = hw
	}
	r.raiseStart(from.start)
	switch {
	case r.end() != before || r.end() < from.end() || r.hw < from.hw:
		r.patience = 0
		r.poke()
	case !slices.Contains(from.isr, r.node.id):
		r.pokeAgain() // the controller, or the leader, has not heard of it yet
	default:
		r.patience = 0
	}
}

// pokeAgain has a follower fetch again after a while, which grows: what is waited for may take all night.
func (r *replica) pokeAgain() {
	const longest = 5000
	r.patience = min(2*r.patience+r.node.c.cfg.Learn+r.node.c.cfg.Fetch, longest)
	r.pokeIn(r.patience)
}

// agreesTo is the offset up to which this log is the leader's: what lies above was appended in a reign whose
// end the leader has not seen (OffsetsForLeaderEpoch, KIP-101).
func (r *replica) agreesTo(from *replica) int64 {
	for i := len(r.log) - 1; i >= 0; i-- {
		e := &r.log[i]
		if e.end() <= from.start {
			return e.end()
		}
		if k, ok := slices.BinarySearchFunc(from.log, e.offset, func(x entry, o int64) int { return int(x.offset - o) }); ok && from.log[k].epoch == e.epoch {
			return e.end()
		}
	}
	return r.start
}

func (r *replica) copyFrom(from *replica) {
	end := r.end()
	// The first batch that ends above it: where a log starts within a batch, that is the batch.
	k, _ := slices.BinarySearchFunc(from.log, end, func(x entry, o int64) int { return int(x.end() - 1 - o) })
	for n := 0; k < len(from.log) && n < batchesPerFetch; n++ {
		e := from.log[k]
		r.log = append(r.log, e)
		r.remember(&e)
		k++
	}
}

// fetchedBy is Partition.updateFollowerFetchState.
func (r *replica) fetchedBy(id int32, end int64) {
	i := slices.IndexFunc(r.followers, func(f follower) bool { return f.id == id })
	if i < 0 {
		return
	}
	f := &r.followers[i]
	now := r.node.c.now()
	if end >= r.end() {
		f.caughtUp = max(f.caughtUp, now)
	} else if end >= f.endAtFetch && f.endAtFetch >= 0 {
		f.caughtUp = max(f.caughtUp, f.lastFetch)
	}
	f.end, f.lastFetch, f.endAtFetch = end, now, r.end()
	if !slices.Contains(r.isr, id) && end >= r.hw && end >= r.epochStart && r.node.c.active(id) {
		r.alter(append(slices.Clone(r.isr), id))
	}
	r.raiseHW()
	if end < r.end() {
		r.watch()
	}
}
