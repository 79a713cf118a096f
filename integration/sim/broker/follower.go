package broker

import "slices"

// A follower asks its leader for what comes behind its own log; by that the leader learns how far it is.
// What it asks for shows what it took of the fetch before: a leader learns of an append one fetch later.

const batchesPerFetch = 8 // bounds one fetch

func (r *replica) pokeFollowers() {
	for i := range r.followers {
		f := &r.followers[i]
		if f.replica == nil || f.replica.gone {
			f.replica = r.on(f.id)
		}
		if f.replica != nil {
			f.replica.poke()
		}
	}
}

// on is the same partition's replica on another broker.
func (r *replica) on(id int32) *replica {
	return r.node.c.nodes[id].replicas[replicaKey{r.topic.id, r.number}]
}

// poke has a follower fetch soon.
func (r *replica) poke() { r.pokeIn(r.node.c.within(r.node.c.cfg.Fetch)) }

func (r *replica) pokeIn(ms int64) {
	if r.fetching || r.gone || !r.node.alive || r.leader < 0 || r.leads() {
		return
	}
	r.fetching = true
	r.node.c.agenda.After(ms, r.tick)
}

// fetchNow is what tick does, unless the process has ended meanwhile.
func (r *replica) fetchNow() {
	switch {
	case !r.fetching:
	case r.node.paused:
		r.node.backlog = append(r.node.backlog, r.tick)
	default:
		r.fetching = false
		r.fetch()
	}
}

func (r *replica) fetch() {
	c := r.node.c
	if r.gone || r.leads() || r.leader < 0 {
		return
	}
	n := c.nodes[r.leader]
	if r.source == nil || r.source.node != n || r.source.gone {
		r.source = r.on(r.leader)
	}
	from := r.source
	switch {
	case r.node.slow || r.node.cutOff:
		return // it is poked when that ends
	case n.cutOff || !n.running() || from == nil || !from.leads() || from.epoch != r.epoch:
		r.pokeAgain() // the last three: one of them does not know yet
		return
	}
	if r.truncate {
		r.truncate = false
		r.cut(r.agreesTo(from))
	}
	if r.end() < from.start { // what comes next was deleted meanwhile (AbstractFetcherThread.handleOutOfRangeError)
		r.restart(from.start)
	}
	hw := from.hw // the answer has it as it was before this request showed the leader anything (Partition.readRecords)
	from.fetchedBy(r.node.id, r.end())
	before := r.end()
	r.copyFrom(from)
	r.hw = max(r.hw, min(hw, r.end()))
	r.raiseStart(from.start)
	r.retain(from.floor)
	switch {
	case r.end() != before || r.end() < from.end() || r.hw < from.hw:
		r.patience = 0
		r.poke()
	case !slices.Contains(from.isr, r.node.id):
		r.pokeAgain() // it asks on and on: what it waits for may be the controller's to decide
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
// end the leader has not seen (OffsetsForLeaderEpoch, KIP-101). Below the leader's log start Kafka cannot compare: its
// follower keeps what it has there, even records that were never replicated, and makes state of their producers from them; or it fails,
// where they overlap the leader's first batch (UnexpectedAppendOffsetException). No client can notice, so this one drops them.
func (r *replica) agreesTo(from *replica) int64 {
	gone := r.node.c.archive[replicaKey{r.topic.id, r.number}]
	for i := len(r.log) - 1; i >= 0; i-- {
		e := &r.log[i]
		same := func(x entry) bool { return x.offset == e.offset && x.epoch == e.epoch }
		if e.end() <= from.start && slices.ContainsFunc(gone, same) {
			return e.end()
		}
		if k, ok := slices.BinarySearchFunc(from.log, e.offset, func(x entry, o int64) int { return int(x.offset - o) }); ok && same(from.log[k]) {
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
	if !slices.Contains(r.isr, id) && end >= r.hw && end >= r.epochStart && r.node.c.controller.active(id) {
		r.alter(append(slices.Clone(r.isr), id))
	}
	r.raiseHW()
	if end < r.end() {
		r.watch()
	}
}
